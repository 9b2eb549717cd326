#!/usr/bin/env python3
"""Builds the JKS/JCEKS/PKCS#12 golden files and their MANIFEST.json.
usage: make_stores.py CONFIG.json CERTDIR OUTDIR
env: JDK11 JDK17 JDK21 JDK25 = directories with bin/java ; CLS = compiled StoreTool ; BC = class path of Bouncy Castle jars (optional)
needs: openssl, pk12util/certutil, python packages cryptography, asn1crypto"""
import sys, os, json, subprocess, hashlib, struct, re, tempfile, base64, shutil
from pathlib import Path
from asn1crypto import core, pkcs12, cms, algos, keys, x509, pem as apem, crl as acrl
from cryptography import x509 as cx
from cryptography.hazmat.primitives import serialization as ser, hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
C = json.load(open(sys.argv[1])); CD = Path(sys.argv[2]); OUT = Path(sys.argv[3])
JO, PO = OUT/'java', OUT/'p12'
for d in (JO, PO): d.mkdir(parents=True, exist_ok=True)
E = os.environ; CLS = E['CLS']
JAVA = {v: E['JDK'+v]+'/bin/java' for v in ('11','17','21','25')}
def run(cmd, ok=True, **k):
    r = subprocess.run([str(c) for c in cmd], capture_output=True, **k)
    if ok and r.returncode: raise SystemExit(f'{cmd}\n{r.stdout.decode()}\n{r.stderr.decode()}')
    return r
def jesc(s): # escape to \uXXXX UTF-16 units for the line script
    return ''.join(c if 32 <= ord(c) < 127 and c != '\\' else ''.join('\\u%04x' % u for u in struct.unpack('>%dH' % (len(c.encode('utf-16-be'))//2), c.encode('utf-16-be'))) for c in s)
def pwf(s): return 'null' if s is None else '""' if s == '' else jesc(s)
def storetool(jdk, lines, outdir, props=()):
    with tempfile.NamedTemporaryFile('w', suffix='.txt', delete=False) as f: f.write('\n'.join('\t'.join(l) for l in lines)+'\n')
    cp = CLS + (':'+E['BC'] if any(l[0]=='store' and l[2].startswith('BC:') for l in lines) and E.get('BC') else '')
    extra = ['-Djava.security.properties='+E['WEAK']] if E.get('WEAK') else []
    r = run([JAVA[jdk], *extra, *props, '-cp', cp, 'StoreTool', 'build', f.name, CD, outdir]); o = r.stdout.decode()
    if 'FAIL' in o: print(o)
    os.unlink(f.name); return o
def pemder(p): return [b for _,_,b in apem.unarmor(Path(p).read_bytes(), multiple=True)]
def cert(n): return pemder(CD/(n+'.crt'))[0]
def chain(n): return pemder(CD/(n+'.chain'))
def key(n): return pemder(CD/(n+'.key'))[0]
def sha(b): return hashlib.sha256(b).hexdigest()
def cinfo(der):
    c = cx.load_der_x509_certificate(der); spki = c.public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo) if True else b''
    raw = x509.Certificate.load(der)['tbs_certificate']['subject_public_key_info'].dump()
    dn = subprocess.run(['openssl','x509','-inform','DER','-noout','-subject','-nameopt','RFC2253,-esc_msb,utf8'],input=der,capture_output=True).stdout.decode().strip()
    return {'subject': dn.removeprefix('subject='), 'sha256': sha(der), 'spki_sha256': sha(raw)}
def ch(n, only=None):
    return [cinfo(c) for c in chain(n)][:only]
def K(alias, n, keypass=None, chainlen=None, **x):
    return dict(alias=alias, kind='private-key', key_password=keypass, key_pkcs8_sha256=sha(key(n)), public_key_spki_sha256=cinfo(cert(n))['spki_sha256'], algorithm=ALG[n], chain=ch(n, chainlen), **x)
def T(alias, n, **x): return dict(alias=alias, kind='trusted-cert', cert=cinfo(cert(n)), **x)
def S(alias, alg, hexv, keypass=None, **x): return dict(alias=alias, kind='secret-key', algorithm=alg, key_password=keypass, secret_hex=hexv, **x)
ALG = dict(rsa='RSA-2048', rsa2='RSA-2048', ec='EC P-256', p384='EC P-384', k256='EC secp256k1', ed25519='Ed25519', ed448='Ed448', pss='RSASSA-PSS 2048', dsa='DSA 2048', mldsa='ML-DSA-65')
M = {'java': [], 'pkcs12': []}
def add(area, file, fmt, made, store, entries, note=None, expect='ok', **x):
    p = (JO if area=='java' else PO)/file
    if not p.exists(): print('MISSING', p); return
    M[area].append(dict(file=file, format=fmt, made_by=made, store_password=store, size=p.stat().st_size, file_sha256=sha(p.read_bytes()), expect=expect, note=note, entries=entries, **x))
ST, K1, K2 = C['store'], C['key'], C['key2']
AES = 'A1'*16; H = '0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20'; D3 = '0123456789abcdef23456789abcdef01456789abcdef0123'
low = str.lower
# ---------------------------------------------------------------- Java stores
L=[]; todo=[]
def jstore(jdk, file, typ, sp, items, note=None, area='java', fmt=None, props=(), expect='ok', alias_out=None, **x):
    outdir = JO if area=='java' else PO
    lines=[['store',file,typ,pwf(sp)]]; ents=[]
    fold = (lambda s:s) if typ=='CaseExactJKS' or typ.startswith('BC:') else low
    for it in items:
        if it[0]=='key':
            _,al,n,kp=it[:4]; lines.append(['key',jesc(al),pwf(sp if kp is None else kp),n]); ents.append(K(fold(al),n,sp if kp is None else kp))
        elif it[0]=='cert': lines.append(['cert',jesc(it[1]),it[2]]); ents.append(T(fold(it[1]),it[2]))
        else: lines.append(['secret',jesc(it[1]),pwf(sp if len(it)<5 or it[4] is None else it[4]),it[2],it[3]]); ents.append(S(fold(it[1]),it[2],it[3],sp if len(it)<5 or it[4] is None else it[4]))
    lines.append(['save']); storetool(jdk, lines, outdir, props)
    add(area, file, fmt or typ.replace('BC:',''), f'java.security.KeyStore API, JDK {jdk}'+(' '+' '.join(p.replace('-D','') for p in props) if props else ''), sp, ents, note, expect, **x)
key_=lambda a,n,p=None:('key',a,n,p)
crt_=lambda a,n:('cert',a,n)
sec_=lambda a,alg,h,p=None:('secret',a,alg,h,p)
basic=[key_(C['a_rsa'],'rsa'),crt_(C['a_trust'],'root'),crt_(C['a_trust2'],'inter')]
J17=lambda *a,**k: jstore('17',*a,**k)
J17('jks-basic.jks','JKS',ST,basic)
J17('jks-empty.jks','JKS',ST,[])
J17('jks-truststore.jks','JKS',ST,[crt_(C['a_trust'],'root'),crt_(C['a_umlaut'],'trust1'),crt_(C['a_cjk'],'trust2'),crt_('same-1','samedn1'),crt_('same-2','samedn2'),crt_(C['a_emoji'],'emoji')],'two CAs share one DN; non-ASCII DNs and aliases')
J17('jks-key-passwords.jks','JKS',ST,[key_(C['a_rsa'],'rsa',K1),key_(C['a_rsa2'],'rsa2',K2),key_(C['a_ec'],'ec')],'three keys, three passwords (third = store password)')
J17('jks-algorithms.jks','JKS',ST,[key_('ec','ec'),key_('p384','p384'),key_('ed25519','ed25519'),key_('ed448','ed448'),key_('pss','pss'),key_('dsa','dsa')])
J17('jks-alias-unicode.jks','JKS',ST,[crt_(C['a_umlaut'],'trust1'),crt_(C['a_cjk'],'trust2'),crt_(C['a_emoji'],'emoji'),crt_(C['a_nul'],'root'),crt_(C['a_turk'],'inter'),crt_('','samedn1')],'aliases: Latin-1, CJK, supplementary plane (2x3-byte surrogates), embedded NUL (C0 80), dotted capital I (lower-cases to i + U+0307), empty alias')
J17('jks-alias-case.jks','JKS',ST,[crt_(C['a_mixed'],'root'),key_(C['a_mixed']+'Key','ec')],'JKS folds aliases to lower case on write')
J17('jks-case-exact.jks','CaseExactJKS',ST,[crt_(C['a_mixed'],'root'),crt_(C['a_mixed'].lower(),'inter')],'CaseExactJKS: same bytes as JKS, aliases differ only by case; plain JKS loaders collapse the two',fmt='JKS')
J17('jks-password-latin1.jks','JKS',C['latin'],basic)
J17('jks-password-cjk.jks','JKS',C['cjk'],basic)
J17('jks-password-emoji.jks','JKS',C['emoji'],basic)
J17('jks-password-short.jks','JKS',C['short'],basic,'shorter than the six characters keytool demands; the API does not')
J17('jks-password-empty.jks','JKS','',basic)
J17('jceks-basic.jceks','JCEKS',ST,basic)
J17('jceks-mixed.jceks','JCEKS',ST,[key_(C['a_rsa'],'rsa',K1),crt_(C['a_trust'],'root'),sec_(C['a_sec'],'AES',H,K2),sec_(C['a_desc'],'DESede',D3),sec_('hmac','HmacSHA256','aa'*20)],'SecretKeyEntry = Java-serialized SealedObject around SecretKeySpec')
J17('jceks-key-passwords.jceks','JCEKS',ST,[key_(C['a_rsa'],'rsa',K1),key_(C['a_rsa2'],'rsa2',K2),key_(C['a_ec'],'ec')])
J17('jceks-iter-5000000.jceks','JCEKS',ST,[key_(C['a_ec'],'ec')],'5,000,000 PBE iterations, the largest count JDK 17 keeps',props=('-Djdk.jceks.iterationCount=5000000',))
J17('jceks-unicode.jceks','JCEKS',ST,[crt_(C['a_cjk'],'trust2'),crt_(C['a_emoji'],'emoji')])
J17('jceks-password-latin1.jceks','JCEKS',C['latin'],[crt_(C['a_trust'],'root')],'integrity digest uses UTF-16BE, as JKS; no keys, because the key cipher takes ASCII passwords only')
# keytool itself
KT=lambda jdk,*a: run([JAVA[jdk],'-m','java.base/sun.security.tools.keytool.Main',*a])
def ktool(file, typ, cmds, jdk='17', area='java'):
    p=(JO if area=='java' else PO)/file
    if p.exists(): p.unlink()
    for c in cmds: KT(jdk,*c,'-keystore',p,'-storetype',typ,'-storepass',ST)
    return p
def export_self(p, alias, typ):
    r=KT('25','-exportcert','-alias',alias,'-keystore',p,'-storetype',typ,'-storepass',ST).stdout; return r
p=ktool('keytool-genseckey.jceks','JCEKS',[['-genseckey','-alias',C['a_sec'],'-keyalg','AES','-keysize','256','-keypass',K1],['-importcert','-noprompt','-alias',C['a_trust'],'-file',CD/'root.crt']])
add('java','keytool-genseckey.jceks','JCEKS','keytool 17',ST,[dict(alias=low(C['a_sec']),kind='secret-key',algorithm='AES',key_password=K1,secret_hex=None,secret_bits=256),T(low(C['a_trust']),'root')],'secret value is random: check length only')
pp=JO/'keytool-importpass.jceks'
if pp.exists(): pp.unlink()
r=run([JAVA['17'],'-m','java.base/sun.security.tools.keytool.Main','-importpass','-alias','pw','-keystore',pp,'-storetype','JCEKS','-storepass',ST,'-keypass',K1],input=(C['key2']+'\n'+C['key2']+'\n').encode(),ok=False)
add('java','keytool-importpass.jceks','JCEKS','keytool 17 -importpass',ST,[dict(alias='pw',kind='secret-key',algorithm='PBEWithMD5AndDES',key_password=K1,secret_utf8=C['key2'])],'a stored pass phrase (PBEKey)')
p=ktool('keytool-genkeypair.jks','JKS',[['-genkeypair','-alias',C['a_mixed'],'-keyalg','RSA','-keysize','2048','-dname','CN=keytool made, O='+C['org'],'-validity','9000','-keypass',K1]])
d=export_self(p,C['a_mixed'],'JKS')
add('java','keytool-genkeypair.jks','JKS','keytool 17',ST,[dict(alias=low(C['a_mixed']),kind='private-key',key_password=K1,algorithm='RSA-2048',chain=[cinfo(d)])])
# JKS version 1 (hand made: no certificate type string) and broken stores
def jks_digest(body, pw): return hashlib.sha1(pw.encode('utf-16-be')+b'Mighty Aphrodite'+body).digest()
def mutf8(s):
    o=b''
    for (u,) in struct.iter_unpack('>H', s.encode('utf-16-be')):
        o += bytes([u]) if 1<=u<=0x7f else bytes([0xc0|u>>6,0x80|u&63]) if u<0x800 else bytes([0xe0|u>>12,0x80|u>>6&63,0x80|u&63])
    return struct.pack('>H',len(o))+o
def jks_protect(pkcs8, pw, salt):
    pb=pw.encode('utf-16-be'); ks=b''; d=salt
    while len(ks)<len(pkcs8): d=hashlib.sha1(pb+d).digest(); ks+=d
    body=salt+bytes(a^b for a,b in zip(pkcs8,ks))+hashlib.sha1(pb+pkcs8).digest()
    return keys.EncryptedPrivateKeyInfo({'encryption_algorithm':{'algorithm':'1.3.6.1.4.1.42.2.17.1.1','parameters':core.Null()},'encrypted_data':body}).dump() if False else \
        der_seq(der_seq(bytes.fromhex('060a2b060104012a021101010500')) + tlv(4,body))
def tlv(t,b):
    n=len(b); l=bytes([n]) if n<128 else (lambda q:bytes([0x80|len(q)])+q)(n.to_bytes((n.bit_length()+7)//8,'big'))
    return bytes([t])+l+b
def der_seq(b): return tlv(0x30,b)
def jks(version, ents, pw, magic=0xFEEDFEED):
    b=struct.pack('>III',magic,version,len(ents)); ts=1600000000000
    cd=lambda c: (b'' if version==1 else mutf8('X.509'))+struct.pack('>I',len(c))+c
    for e in ents:
        if e[0]=='key':
            k=jks_protect(key(e[2]),e[3],hashlib.sha1(e[1].encode()).digest()); b+=struct.pack('>I',1)+mutf8(e[1])+struct.pack('>qI',ts,len(k))+k+struct.pack('>I',len(chain(e[2])))+b''.join(map(cd,chain(e[2])))
        else: b+=struct.pack('>I',2)+mutf8(e[1])+struct.pack('>q',ts)+cd(cert(e[2]))
    return b+jks_digest(b,pw)
(JO/'jks-v1.jks').write_bytes(jks(1,[('key',low(C['a_rsa']),'rsa',ST),('cert',low(C['a_trust']),'root')],ST))
add('java','jks-v1.jks','JKS v1','own writer',ST,[K(low(C['a_rsa']),'rsa',ST),T(low(C['a_trust']),'root')],'version 1: no certificate-type string before each certificate')
(JO/'jks-duplicate-alias.jks').write_bytes(jks(2,[('cert','dup','root'),('cert','dup','inter')],ST))
add('java','jks-duplicate-alias.jks','JKS','own writer',ST,[T('dup','inter')],'the same alias twice: Java keeps the last')
(JO/'jks-upper-alias.jks').write_bytes(jks(2,[('cert',C['a_mixed'],'root')],ST))
add('java','jks-upper-alias.jks','JKS','own writer',ST,[T(C['a_mixed'],'root')],'stored alias has upper case letters (written by CaseExactJKS or third parties): JDK lists it but cannot fetch it, because look-ups fold to lower case')
b=bytearray((JO/'jks-basic.jks').read_bytes()); b[-1]^=1; (JO/'bad-jks-digest.jks').write_bytes(b)
add('java','bad-jks-digest.jks','JKS','own writer',ST,M['java'][0]['entries'],'last digest byte flipped: must fail with the password given; Java with a null password loads it',expect='integrity-error')
(JO/'bad-jks-truncated.jks').write_bytes(bytes(b[:len(b)//2])); add('java','bad-jks-truncated.jks','JKS','own writer',ST,[],expect='parse-error')
h=struct.pack('>III',0xFEEDFEED,2,1)+struct.pack('>I',1)+mutf8('x')+struct.pack('>qI',-1,16)+b'\0'*16+struct.pack('>I',0xFFFFFFFF); h+=jks_digest(h,ST)
(JO/'bad-jks-chain-count.jks').write_bytes(h); add('java','bad-jks-chain-count.jks','JKS','own writer',ST,[],'chain count 2^32-1 and timestamp -1: must be an error without a huge allocation or a panic (JDK 17 reads the count as -1 and loads the entry with no chain)',expect='parse-error')
h=struct.pack('>III',0xFEEDFEED,2,1)+struct.pack('>I',2)+mutf8('x')+struct.pack('>q',-1)+mutf8('X.509')+struct.pack('>I',len(cert('root')))+cert('root'); h+=jks_digest(h,ST)
(JO/'odd-jks-negative-time.jks').write_bytes(h); add('java','odd-jks-negative-time.jks','JKS','own writer',ST,[T('x','root')],'timestamp -1 ms (before 1970): Java accepts')
h=struct.pack('>III',0xFEEDFEED,2,1)+struct.pack('>I',2)+mutf8('x')+struct.pack('>q',0)+mutf8('X.509')+struct.pack('>I',0x7fffffff)+b'abc'; h+=jks_digest(h,ST)
(JO/'bad-jks-cert-length.jks').write_bytes(h); add('java','bad-jks-cert-length.jks','JKS','own writer',ST,[],'certificate length 2^31-1 in a tiny file',expect='parse-error')
if E.get('BC'):
    for t in ('BKS','UBER','BCFKS'):
        j=[key_(C['a_rsa'],'rsa'),crt_(C['a_trust'],'root')]; jstore('17','bc-basic.'+t.lower(),'BC:'+t,ST,j,'Bouncy Castle 1.72; out of the first scope')
# ---------------------------------------------------------------- Java-written PKCS#12
P=dict(area='pkcs12',fmt='PKCS12')
full=[key_(C['a_rsa'],'rsa'),key_(C['a_ec'],'ec'),crt_(C['a_trust'],'root'),crt_('extra-ca','trust1')]
for v in ('11','17','21','25'): jstore(v,f'jdk{v}-default.p12','PKCS12',ST,full,**P)
LEG=('-Dkeystore.pkcs12.legacy',)
jstore('17','jdk17-legacy.p12','PKCS12',ST,full,'JDK 17 with keystore.pkcs12.legacy: the algorithms JDK 8 wrote',props=LEG,**P)
jstore('17','jdk-multi-keypass.p12','PKCS12',ST,[key_(C['a_rsa'],'rsa',K1),key_(C['a_rsa2'],'rsa2',K2),key_(C['a_ec'],'ec')],'each key under its own password; certificates and MAC under the store password (the KeyStore API allows it, keytool does not)',**P)
jstore('17','jdk-secrets.p12','PKCS12',ST,[sec_(C['a_sec'],'AES',H),sec_(C['a_desc'],'DESede',D3),sec_('hmac','HmacSHA256','aa'*20),key_(C['a_ec'],'ec')],'secretBag holding an encrypted PKCS#8 whose payload is the raw key',**P)
jstore('17','jdk-alias-unicode.p12','PKCS12',ST,[crt_(C['a_umlaut'],'trust1'),crt_(C['a_cjk'],'trust2'),crt_(C['a_emoji'],'emoji'),crt_(C['a_turk'],'inter'),crt_('','samedn1'),key_(C['a_emoji']+'-k','ec')],'friendlyName BMPString with surrogate pairs; an empty one',**P)
jstore('17','jdk-alias-case.p12','PKCS12',ST,[crt_(C['a_mixed'],'root'),key_(C['a_mixed']+'Key','ec')],'Java folds PKCS#12 aliases to lower case',**P)
NOPW=('-Dkeystore.pkcs12.certProtectionAlgorithm=NONE','-Dkeystore.pkcs12.macAlgorithm=NONE')
jstore('17','jdk-passwordless-trust.p12','PKCS12',None,[crt_(C['a_trust'],'root'),crt_('extra-ca','trust1')],'no encryption and no MAC: the layout of a JDK 18+ cacerts file; loads with a null password',props=NOPW,**P)
jstore('17','jdk-mac-only.p12','PKCS12',ST,[crt_(C['a_trust'],'root')],'certificates in clear, MAC present',props=NOPW[:1],**P)
for nm,pr in (('aes128-hmacsha1',('-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithHmacSHA1AndAES_128','-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithHmacSHA1AndAES_128','-Dkeystore.pkcs12.macAlgorithm=HmacPBESHA1')),
  ('aes256-hmacsha512',('-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithHmacSHA512AndAES_256','-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithHmacSHA512AndAES_256','-Dkeystore.pkcs12.macAlgorithm=HmacPBESHA512')),
  ('rc4-128',('-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithSHA1AndRC4_128','-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithSHA1AndRC4_128'))):
    jstore('17',f'jdk-{nm}.p12','PKCS12',ST,[key_(C['a_rsa'],'rsa'),crt_(C['a_trust'],'root')],props=pr,**P)
# a JDK cannot write PKCS#12 under a non-ASCII password at all ("Password is not ASCII"), so there are no jdk-password-* files but the empty one
jstore('17','jdk-password-empty.p12','PKCS12','',basic,'char[0] password',**P)
jstore('17','jdk-password-empty-legacy.p12','PKCS12','',basic,props=LEG,**P)
jstore('25','jdk-algorithms.p12','PKCS12',ST,[key_('ec','ec'),key_('p384','p384'),key_('ed25519','ed25519'),key_('ed448','ed448'),key_('pss','pss'),key_('dsa','dsa')],**P)
f=PO/'jdk25-mldsa.p12'; f.unlink(missing_ok=True)
r=KT('25','-genkeypair','-alias','mldsa','-keyalg','ML-DSA-65','-dname','CN=mldsa.example.test, O='+C['org'],'-validity','9000','-keystore',f,'-storepass',ST)
d=export_self(f,'mldsa','PKCS12')
ci=dict(subject=None,sha256=sha(d),spki_sha256=sha(x509.Certificate.load(d)['tbs_certificate']['subject_public_key_info'].dump()))
add('pkcs12','jdk25-mldsa.p12','PKCS12','keytool 25 -keyalg ML-DSA-65',ST,[dict(alias='mldsa',kind='private-key',key_password=ST,algorithm='ML-DSA-65',chain=[ci])])
exec(open(Path(__file__).parent/'make_p12.py').read())
for area,d in (('java',JO),('pkcs12',PO)):
    (d/'MANIFEST.json').write_text(json.dumps(dict(note='expect: ok = every entry readable with the given passwords; others = the failure class a reader must report. key_password null = the store password. Fingerprints are SHA-256 of DER.',files=M[area]),indent=1,ensure_ascii=False)+'\n')
    print(area, len(M[area]), 'files', sum(x['size'] for x in M[area]), 'bytes')
