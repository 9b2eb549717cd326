#!/usr/bin/env python3
"""Drive IBM's GSKit 8 library, as shipped inside the `ibm_db` Python package,
so that key databases can be checked against the real implementation.

    python3 -m venv v && v/bin/pip install ibm_db
    v/bin/python gskit.py version

Only the Python standard library is needed. Every call into the library happens
in a forked child, so a crash inside GSKit is reported as {"ok": false,
"crash": "SIGSEGV"} instead of taking the test run down.

The library is found in this order: $GSKIT_LIB (folder that holds
libgsk8km_64.so), the installed `ibm_db` distribution, every `clidriver` folder
on sys.path. Exit status: 0 when the operation succeeded, 1 otherwise, 2 for a
usage error, 3 when the library is not there.

Function prototypes below were established by black-box calls (there is no
public header in the package).
"""
import argparse
import base64
import ctypes as C
import hashlib
import json
import os
import re
import select
import signal
import socket
import ssl
import struct
import sys
import threading
import time

LONG = C.c_long          # every integer goes through a full register/stack slot
KM_NAME, SSL_NAME = "libgsk8km_64.so", "libgsk8ssl_64.so"

# GSKit SSL attribute numbers used here (public values of IBM's gskssl.h)
KEYRING_FILE, KEYRING_PW, KEYRING_LABEL, KEYRING_STASH = 201, 202, 203, 204
GSK_VERSION, SIGALG_LIST, CONNECT_PROTOCOL = 220, 245, 208
PARTNER_CERT_INFO, CERT_DN_PRINTABLE = 700, 616
GSK_FD, SESSION_TYPE, CLIENT, SERVER, SERVER_CL_AUTH = 300, 402, 507, 508, 509
PROTOCOLS_OFF = ((403, 511), (404, 513), (407, 519), (437, 0))   # SSLv2, v3, TLS 1.0, 1.1
TLS12 = 438
SIGALGS = ("GSK_TLS_SIGALG_RSA_WITH_SHA256,GSK_TLS_SIGALG_RSA_WITH_SHA384,"
           "GSK_TLS_SIGALG_RSA_WITH_SHA512,GSK_TLS_SIGALG_ECDSA_WITH_SHA256,"
           "GSK_TLS_SIGALG_ECDSA_WITH_SHA384")
# signature selector of the *SigExt calls (found by trying; 0 = library default, SHA-256)
SIG = {"default": 0, "md5": 1, "sha1": 2, "sha224": 3, "sha256": 4, "sha384": 5, "sha512": 6,
       "ecdsa-sha1": 20, "ecdsa-sha224": 21, "ecdsa-sha256": 22, "ecdsa-sha384": 23,
       "ecdsa-sha512": 24}


class GskError(Exception):
    def __init__(self, call, code, name):
        super().__init__(f"{call}: {code} {name}")
        self.call, self.code, self.name = call, code, name


# ------------------------------------------------------------------ library --
def find_lib_dir():
    env = os.environ.get("GSKIT_LIB")
    if env:
        return env if os.path.exists(os.path.join(env, KM_NAME)) else None
    try:
        import importlib.metadata as md
        for f in md.distribution("ibm_db").files or []:
            if f.name == KM_NAME:
                return os.path.dirname(os.path.realpath(f.locate()))
    except Exception:
        pass
    for base in sys.path:
        d = os.path.join(base or ".", "clidriver", "lib", "icc")
        if os.path.exists(os.path.join(d, KM_NAME)):
            return d
    return None


class Km:
    """Key-management API (GSKKM_*)."""

    def __init__(self):
        self.lib = C.CDLL(os.path.join(find_lib_dir(), KM_NAME))
        self.lib.GSKKM_strerror.restype = C.c_char_p
        self.check("GSKKM_Init", self.lib.GSKKM_Init())

    def name(self, rc):
        return (self.lib.GSKKM_strerror(LONG(rc)) or b"?").decode()

    def check(self, call, rc):
        if rc:
            raise GskError(call, rc, self.name(rc))

    def call(self, fn, *args):
        conv = [LONG(a) if isinstance(a, int) else a for a in args]
        self.check(fn, getattr(self.lib, fn)(*conv))

    def create(self, path, pw, expire=0, strong=0, populate=0, fips=0):
        h = C.c_void_p()
        self.call("GSKKM_CreateNewKeyDbEx", b(path), b(pw), expire, strong, populate, fips,
                  C.byref(h))
        return h

    def open(self, path, pw, mode=None):
        h = C.c_void_p()
        if mode:
            self.call("GSKKM_OpenKeyDbMode", b(path), b(pw), b(mode), C.byref(h))
        else:
            self.call("GSKKM_OpenKeyDb", b(path), b(pw), C.byref(h))
        return h

    def close(self, h):
        self.call("GSKKM_CloseKeyDb", h)

    def label_list(self, h, fn="GSKKM_GetKeyDbLabelList"):
        head = C.c_void_p()
        rc = getattr(self.lib, fn)(h, C.byref(head))
        if rc and not head.value:
            # an empty list is reported as an error by some calls
            if self.name(rc).endswith("_NULL"):
                return []
            self.check(fn, rc)
        out, node = [], head.value
        while node:
            text, node = struct.unpack("<QQ", C.string_at(node, 16))
            out.append(C.string_at(text))
        return out

    def item(self, h, label):
        p = C.c_void_p()
        self.call("GSKKM_GetKeyItemByLabel", h, b(label), C.byref(p))
        raw = C.string_at(p.value, 0x48)
        size, has_key = struct.unpack_from("<II", raw, 0x10)
        trusted, default = struct.unpack_from("<II", raw, 0x20)
        epki, = struct.unpack_from("<Q", raw, 0x28)
        chain, = struct.unpack_from("<Q", raw, 0x40)
        der = None
        if chain:
            cert, = struct.unpack("<Q", C.string_at(chain, 8))
            if cert:
                at, n = struct.unpack("<QI", C.string_at(cert, 12))
                der = C.string_at(at, n)
        return {"key_size": size, "private_key": bool(has_key), "trusted": bool(trusted),
                "default": bool(default), "der": der, "epki": epki}

    def nodes(self, labels):
        """Build the {label, next} list the import/export calls take."""
        keep, nxt = [], 0
        for lab in reversed(labels):
            s = C.create_string_buffer(b(lab))
            n = C.create_string_buffer(struct.pack("<QQ", C.addressof(s), nxt), 16)
            keep += [s, n]
            nxt = C.addressof(n)
        self._keep = keep
        return C.c_void_p(nxt) if nxt else None

    def dn(self, text):
        """Fill the library's DN structure from 'CN=..,O=..,C=..'."""
        slot = {"CN": 0, "OU": 1, "O": 2, "L": 3, "ST": 4, "POSTALCODE": 5, "C": 6, "EMAIL": 7,
                "DC": 8}
        buf, keep = C.create_string_buffer(0x68), []
        empty = C.create_string_buffer(b"")
        for i in range(12):
            struct.pack_into("<Q", buf, 8 * i, C.addressof(empty))
        for part in re.split(r"(?<!\\),", text):
            k, v = part.split("=", 1)
            s = C.create_string_buffer(v.strip().encode())
            keep.append(s)
            struct.pack_into("<Q", buf, 8 * slot[k.strip().upper()], C.addressof(s))
        self._dn = keep + [empty]
        return buf


def b(x):
    return x if isinstance(x, bytes) else os.fsencode(x)


# -------------------------------------------------------------- small DER kit --
OIDS = {"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O",
        "2.5.4.11": "OU", "2.5.4.5": "serialNumber", "2.5.4.17": "postalCode",
        "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress"}


def tlv(d, i=0):
    n, j = d[i + 1], i + 2
    if n & 0x80:
        k = n & 0x7F
        n, j = int.from_bytes(d[j:j + k], "big"), j + k
    return d[i], j, j + n


def kids(d):
    i, out = 0, []
    while i < len(d):
        t, a, z = tlv(d, i)
        out.append((t, d[a:z], d[i:z]))
        i = z
    return out


def oid(v):
    arcs, n, first = [], 0, True
    for c in v:
        n = n << 7 | c & 0x7F
        if not c & 0x80:
            if first:
                x = min(n // 40, 2)
                arcs, first = [x, n - 40 * x], False
            else:
                arcs.append(n)
            n = 0
    return ".".join(map(str, arcs))


def dn_text(v):
    """RFC 4514 order: last RDN first."""
    out = []
    for _, rdn, _ in kids(v):
        parts = []
        for _, ava, _ in kids(rdn):
            (_, o, _), (t, val, _) = kids(ava)[:2]
            enc = {0x1E: "utf-16-be", 0x14: "latin-1", 0x0C: "utf-8"}.get(t, "utf-8")
            s = re.sub(r'([,+"\\<>;])', r"\\\1", val.decode(enc, "replace"))
            parts.append(OIDS.get(oid(o), oid(o)) + "=" + s)
        out.append("+".join(parts))
    return ",".join(reversed(out))


def cert_facts(der):
    tbs = kids(kids(der)[0][1])[0][1]
    f = kids(tbs)
    if f[0][0] == 0xA0:
        f = f[1:]
    return {"subject": dn_text(f[4][1]), "issuer": dn_text(f[2][1]),
            "serial": f[0][1].hex(), "der_bytes": len(der),
            "sha256": hashlib.sha256(der).hexdigest(),
            "spki_sha256": hashlib.sha256(f[5][2]).hexdigest()}


def read_cert(path):
    data = open(path, "rb").read()
    m = re.search(rb"-----BEGIN [A-Z ]*CERTIFICATE-----(.*?)-----END", data, re.S)
    return base64.b64decode(m.group(1)) if m else data


def pem(der, what="CERTIFICATE"):
    t = base64.b64encode(der).decode()
    body = "\n".join(t[i:i + 64] for i in range(0, len(t), 64))
    return f"-----BEGIN {what}-----\n{body}\n-----END {what}-----\n"


def text(label):
    try:
        return label.decode()
    except UnicodeDecodeError:
        return {"hex": label.hex()}


# ---------------------------------------------------------------- commands --
def put_stash(km, db, pw, kind):
    """The old form is only written where no stash lies yet (GSKit keeps a new-form one new)."""
    sth = os.path.splitext(db)[0] + ".sth"
    if kind == "v1" and os.path.exists(sth):
        os.unlink(sth)
    km.call("GSKKM_StashKeyDbPwdEx", b(db), b(pw), 1 if kind == "v1" else 0)
    return os.path.getsize(sth)


def expiry(days):
    return int(time.time()) + days * 86400 if days else 0


def c_version(a):
    lib = C.CDLL(os.path.join(find_lib_dir(), SSL_NAME))
    env, p, n = C.c_void_p(), C.c_char_p(), C.c_int()
    lib.gsk_environment_open(C.byref(env))
    lib.gsk_attribute_get_buffer(env, GSK_VERSION, C.byref(p), C.byref(n))
    return {"gskit_version": (p.value or b"?").decode(), "lib_dir": find_lib_dir()}


def c_create(a):
    km = Km()
    h = km.create(a.db, a.pw, expiry(a.expire), 0, int(a.populate), int(a.fips))
    km.close(h)
    if a.stash:
        put_stash(km, a.db, a.pw, a.stash)
    return {}


def c_stash(a):
    return {"bytes": put_stash(Km(), a.db, a.pw, a.kind)}


def c_list(a):
    km = Km()
    t0 = time.perf_counter()
    h = km.open(a.db, a.pw, "ro" if a.readonly else None)
    t1 = time.perf_counter()
    labels = km.label_list(h)
    t2 = time.perf_counter()
    out = []
    for lab in labels if not a.names else []:
        it = km.item(h, lab)
        e = {"label": text(lab), "private_key": it["private_key"], "trusted": it["trusted"],
             "default": it["default"], "key_size": it["key_size"]}
        if it["der"]:
            e.update(cert_facts(it["der"]))
            # a secret key is kept by GSKit as a certificate record with a marker DN
            e["secret_key"] = it["private_key"] and e["subject"].endswith("OU=GSKIT,O=IBM,C=US")
        out.append(e)
    t3 = time.perf_counter()
    reqs = []
    if not a.names:
        try:
            reqs = [text(x) for x in km.label_list(h, "GSKKM_GetReqKeyDbLabelList")]
        except GskError as e:
            reqs = {"error": str(e)}
    exp = LONG(0)
    km.lib.GSKKM_GetKeyDbPwdExpireTime(b(a.db), b(a.pw), C.byref(exp))
    km.close(h)
    return {"count": len(labels), "entries": out if not a.names else [text(x) for x in labels],
            "requests": reqs, "password_expires": exp.value,
            "seconds": {"open": round(t1 - t0, 4), "labels": round(t2 - t1, 4),
                        "items": round(t3 - t2, 4)}}


def c_add_ca(a):
    km = Km()
    h = km.open(a.db, a.pw)
    der = read_cert(a.file)
    km.call("GSKKM_StoreCACert", h, der, len(der), b(a.label))
    km.close(h)
    return {"sha256": hashlib.sha256(der).hexdigest()}


def c_add_many(a):
    """Load every certificate of a PEM bundle, labels PREFIX00000 ...; report the time."""
    km = Km()
    h = km.open(a.db, a.pw)
    data = open(a.file, "rb").read()
    ders = [base64.b64decode(m) for m in re.findall(
        rb"-----BEGIN CERTIFICATE-----(.*?)-----END", data, re.S)]
    t0, marks = time.perf_counter(), {}
    for i, der in enumerate(ders):
        km.call("GSKKM_StoreCACert", h, der, len(der), b(f"{a.prefix}{i:05d}"))
        if i + 1 in (10, 100, 500, 1000, 2000, 5000, 10000):
            marks[i + 1] = round(time.perf_counter() - t0, 3)
    km.close(h)
    return {"added": len(ders), "seconds_total": round(time.perf_counter() - t0, 3),
            "seconds_after": marks}


def c_import_p12(a):
    km = Km()
    h = km.open(a.db, a.pw)
    km.call("GSKKM_ImportKeys", h, b(a.file), b(a.file_pw), km.nodes(a.label or []))
    km.close(h)
    return {}


def c_export_p12(a):
    km = Km()
    h = km.open(a.db, a.pw)
    km.call("GSKKM_ExportKeys", h, 0, b(a.out), b(a.out_pw), km.nodes(a.label or []))
    km.close(h)
    return {"bytes": os.path.getsize(a.out)}


def c_extract(a):
    km = Km()
    h = km.open(a.db, a.pw)
    der = km.item(h, a.label)["der"]
    km.close(h)
    with open(a.out, "wb") as f:
        f.write(der if a.der else pem(der).encode())
    return cert_facts(der)


def simple(fn, *fields):
    def run(a):
        km = Km()
        h = km.open(a.db, a.pw)
        vals = [getattr(a, f) for f in fields]
        km.call(fn, h, *[v if isinstance(v, int) else b(v) for v in vals])
        if not getattr(a, "crash", False):
            km.close(h)
        return {}
    return run


def c_set_trust(a):
    a.flag = 1 if a.state == "on" else 0
    return simple("GSKKM_SetTrustStatus", "label", "flag")(a)


def c_set_default(a):
    km = Km()
    h = km.open(a.db, a.pw)
    km.call("GSKKM_SetDefaultKeyByLabel", h, b(a.label))
    km.close(h)
    return {}


def c_chpw(a):
    km = Km()
    km.call("GSKKM_ChangeKeyDbPwd", b(a.db), b(a.pw), b(a.new_pw), expiry(a.expire))
    if a.stash:
        put_stash(km, a.db, a.new_pw, a.stash)
    return {}


def c_create_req(a):
    km = Km()
    h = km.open(a.db, a.pw)
    p, n = C.c_void_p(), C.c_int()
    km.call("GSKKM_CreateNewCertReqSigExt", h, b(a.label), a.size, km.dn(a.dn), SIG[a.sig], 0, 0,
            b(a.out), C.byref(p), C.byref(n))
    der = C.string_at(p.value, n.value)
    km.close(h)
    return {"csr_sha256": hashlib.sha256(der).hexdigest()}


def c_receive(a):
    km = Km()
    h = km.open(a.db, a.pw)
    der = read_cert(a.file)
    km.call("GSKKM_ReceiveCert", h, der, len(der), 0, 0, 0)
    km.close(h)
    return {}


def c_self_signed(a):
    km = Km()
    h = km.open(a.db, a.pw)
    km.call("GSKKM_CreateSelfSignedCertSigExt", h, b(a.label), 0, 2, a.size, km.dn(a.dn), a.days,
            SIG[a.sig], 0, 0, 0, 0)
    der = km.item(h, a.label)["der"]
    km.close(h)
    return cert_facts(der)


def c_secret(a):
    km = Km()
    h = km.open(a.db, a.pw)
    key = bytes.fromhex(a.hex)
    km.call("GSKKM_InsertSecretKey", h, b(a.label), key, len(key))
    km.close(h)
    return {}


def c_get_secret(a):
    km = Km()
    h = km.open(a.db, a.pw)
    p, n = C.c_void_p(), C.c_int()
    km.call("GSKKM_ExtractSecretKey", h, b(a.label), C.byref(p), C.byref(n))
    key = C.string_at(p.value, n.value)
    km.close(h)
    return {"hex": key.hex()}


def c_validate(a):
    km = Km()
    h = km.open(a.db, a.pw)
    res = C.c_void_p()
    km.call("GSKKM_ValidateCert", h, b(a.label), C.byref(res))
    km.close(h)
    return {"result": res.value or 0}


def c_strong(a):
    """Which passwords GSKit takes for strong ones. (The call: 1 is yes, 0 is no.)"""
    km = Km()
    return {"strong": [bool(km.lib.GSKKM_CheckPasswordStrength(b(p))) for p in a.password]}


def c_strerror(a):
    """The names of GSKit's numbers."""
    lib = C.CDLL(os.path.join(find_lib_dir(), SSL_NAME))
    lib.gsk_strerror.restype = C.c_char_p
    return {"names": {n: (lib.gsk_strerror(LONG(int(n))) or b"?").decode() for n in a.numbers.split(",")}}


def c_open(a):
    km = Km()
    h = km.open(a.db, a.pw, "ro" if a.readonly else None)
    n = len(km.label_list(h))
    km.close(h)
    return {"count": n}


def ssl_env(a, server=False):
    lib = C.CDLL(os.path.join(find_lib_dir(), SSL_NAME))
    lib.gsk_strerror.restype = C.c_char_p

    def must(call, rc):
        if rc:
            raise GskError(call, rc, (lib.gsk_strerror(LONG(rc)) or b"?").decode())
    env = C.c_void_p()
    must("gsk_environment_open", lib.gsk_environment_open(C.byref(env)))

    def setb(what, v):
        must(f"gsk_attribute_set_buffer({what})",
             lib.gsk_attribute_set_buffer(env, LONG(what), b(v), LONG(0)))
    setb(KEYRING_FILE, a.db)
    if a.pw is not None:
        setb(KEYRING_PW, a.pw)
    else:
        setb(KEYRING_STASH, a.stash_file or os.path.splitext(a.db)[0] + ".sth")
    if getattr(a, "label", None):
        setb(KEYRING_LABEL, a.label)
    lib.gsk_attribute_set_enum(env, LONG(SESSION_TYPE), LONG(SERVER if server else CLIENT))
    for k, v in PROTOCOLS_OFF:
        lib.gsk_attribute_set_enum(env, LONG(k), LONG(v))
    lib.gsk_attribute_set_enum(env, LONG(TLS12), LONG(1))
    setb(SIGALG_LIST, SIGALGS)
    must("gsk_environment_init", lib.gsk_environment_init(env))
    return lib, env, must


def c_ssl_init(a):
    lib, env, _ = ssl_env(a)
    lib.gsk_environment_close(C.byref(env))
    return {"gsk_environment_init": 0}


def c_open_stashed(a):
    # The stash is judged by the same code a real client runs.
    a.pw = a.label = None
    return c_ssl_init(a)


def c_watch(a):
    """Open the database again and again until standard input ends: by key management with a password, else as a
    client does. Says `ready` after the first time. What went wrong, and which numbers of labels were seen."""
    km = Km() if a.pw is not None else None
    opens, failures, counts = 0, [], set()
    while not select.select([sys.stdin], [], [], a.pause / 1000)[0]:
        opens += 1
        try:
            if km:
                h = km.open(a.db, a.pw, "ro")
                counts.add(len(km.label_list(h)))
                km.close(h)
            else:
                lib, env, _ = ssl_env(a)
                lib.gsk_environment_close(C.byref(env))
        except GskError as e:
            failures.append(str(e))
        if opens == 1:
            print("ready", flush=True)
    return {"opens": opens, "failures": failures, "counts": sorted(counts)}


def c_handshake(a):
    """TLS 1.2 client against host:port, key database + stash as a real client would use them."""
    lib, env, must = ssl_env(a)
    host, port = a.connect.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=15)
    sock.settimeout(None)
    soc, n = C.c_void_p(), C.c_int()
    must("gsk_secure_soc_open", lib.gsk_secure_soc_open(env, C.byref(soc)))
    lib.gsk_attribute_set_numeric_value(soc, LONG(GSK_FD), LONG(sock.fileno()))
    must("gsk_secure_soc_init", lib.gsk_secure_soc_init(soc))
    p = C.c_char_p()
    lib.gsk_attribute_get_buffer(soc, LONG(CONNECT_PROTOCOL), C.byref(p), C.byref(n))
    proto = (p.value or b"?").decode()
    msg = b(a.send + "\n")
    must("gsk_secure_soc_write", lib.gsk_secure_soc_write(soc, msg, LONG(len(msg)), C.byref(n)))
    lib.gsk_secure_soc_close(C.byref(soc))
    lib.gsk_environment_close(C.byref(env))
    sock.close()
    return {"protocol": proto, "sent": n.value}


def c_peer_names(a):
    """Handshakes with a server for each certificate; the other side's name as the library prints it."""
    lib, env, must = ssl_env(a)
    out = []
    for path in a.cert:
        ours, theirs = socket.socketpair()
        threading.Thread(target=serve, args=(theirs, path), daemon=True).start()
        soc = C.c_void_p()
        must("gsk_secure_soc_open", lib.gsk_secure_soc_open(env, C.byref(soc)))
        lib.gsk_attribute_set_numeric_value(soc, LONG(GSK_FD), LONG(ours.fileno()))
        rc = lib.gsk_secure_soc_init(soc)
        out.append(None if rc else partner(lib, soc).get(CERT_DN_PRINTABLE, b"").decode(errors="replace"))
        lib.gsk_secure_soc_close(C.byref(soc))
        ours.close()
    return {"names": out}


def serve(sock, path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    try:
        context.wrap_socket(sock, server_side=True).recv(1)
    except OSError:
        pass


def partner(lib, soc):
    """What the library says of the other side's certificate: bytes by number of the field."""
    head, n = C.c_void_p(), C.c_int()
    if lib.gsk_attribute_get_cert_info(soc, LONG(PARTNER_CERT_INFO), C.byref(head), C.byref(n)):
        return {}
    out = {}
    for at in range(n.value):
        # { number i32, padding, text pointer, length i32, padding }
        field, text, size = struct.unpack("<i4xQi4x", C.string_at(head.value + 24 * at, 24))
        if text and 0 <= size < 65536:
            out[field] = C.string_at(text, size)
    return out


# ---------------------------------------------------------------- plumbing --
def guarded(fn, args, limit):
    """Run fn(args) in a child; return (exit status, JSON object)."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r)
        signal.alarm(limit)
        try:
            res = {"ok": True, **(fn(args) or {})}
        except GskError as e:
            res = {"ok": False, "call": e.call, "code": e.code, "error": e.name}
        except Exception as e:                       # our own mistake or a missing file
            res = {"ok": False, "error": f"{type(e).__name__}: {e}"}
        with os.fdopen(w, "wb") as f:
            f.write(json.dumps(res).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    _, st = os.waitpid(pid, 0)
    if os.WIFSIGNALED(st):
        return {"ok": False, "crash": signal.Signals(os.WTERMSIG(st)).name}
    return json.loads(data) if data else {"ok": False, "error": "no result"}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    ap.add_argument("--limit", type=int, default=600, help="seconds before giving up")
    sub = ap.add_subparsers(dest="cmd", required=True)

    def cmd(name, fn, *opts, db=True, pw=True, **kw):
        p = sub.add_parser(name, **kw)
        if db:
            p.add_argument("db")
        if pw:
            p.add_argument("--pw", required=(pw is True))
        for names, o in opts:
            p.add_argument(*names.split(), **o)
        p.set_defaults(fn=fn)
        return p
    label = ("--label", {"required": True})
    labels = ("--label", {"action": "append"})
    file = ("--file", {"required": True})
    out = ("--out", {"required": True})
    stash = ("--stash", {"nargs": "?", "const": "v2", "choices": ["v1", "v2"]})
    exp = ("--expire", {"type": int, "default": 0, "metavar": "DAYS"})
    ro = ("--readonly", {"action": "store_true"})
    dn = ("--dn", {"required": True})
    size = ("--size", {"type": int, "default": 2048})
    sig = ("--sig", {"choices": SIG, "default": "default"})
    sth = ("--stash-file", {})

    cmd("version", c_version, db=False, pw=False)
    cmd("strerror", c_strerror, ("--numbers", {"required": True}), db=False, pw=False)
    cmd("strong", c_strong, ("password", {"nargs": "+"}), db=False, pw=False)
    cmd("create", c_create, stash, exp, ("--populate", {"action": "store_true"}),
        ("--fips", {"action": "store_true"}),
        help="the file name picks the type: *.kdb = CMS, *.p12 = PKCS#12")
    cmd("stash", c_stash, ("--kind", {"choices": ["v1", "v2"], "default": "v2"}))
    cmd("open", c_open, ro)
    cmd("list", c_list, ro, ("--names", {"action": "store_true", "help": "labels only"}))
    cmd("add-ca", c_add_ca, label, file)
    cmd("add-many", c_add_many, file, ("--prefix", {"default": "ca"}))
    cmd("import-p12", c_import_p12, file, ("--file-pw", {"required": True}), labels)
    cmd("export-p12", c_export_p12, out, ("--out-pw", {"required": True}), labels)
    cmd("extract", c_extract, label, out, ("--der", {"action": "store_true"}))
    cmd("delete", simple("GSKKM_DeleteKey", "label"), label,
        ("--crash", {"action": "store_true", "help": "end without closing: the erased slot stays"}))
    cmd("delete-req", simple("GSKKM_DeleteRequestKeyPair", "label"), label)
    cmd("rename", simple("GSKKM_SetKeyLabel", "label", "to"), label, ("--to", {"required": True}))
    cmd("set-default", c_set_default, label)
    cmd("set-trust", c_set_trust, label, ("state", {"choices": ["on", "off"]}))
    cmd("chpw", c_chpw, ("--new-pw", {"required": True}), exp, stash)
    cmd("create-req", c_create_req, label, dn, size, sig, out)
    cmd("receive", c_receive, file)
    cmd("self-signed", c_self_signed, label, dn, size, sig,
        ("--days", {"type": int, "default": 365}))
    cmd("add-secret", c_secret, label, ("--hex", {"required": True}))
    cmd("get-secret", c_get_secret, label)
    cmd("validate", c_validate, label)
    cmd("open-stashed", c_open_stashed, sth, pw=False)
    cmd("ssl-init", c_ssl_init, sth, ("--label", {}), pw="optional")
    cmd("watch", c_watch, sth, ("--pause", {"type": float, "default": 0, "metavar": "MS"}), pw="optional")
    cmd("handshake", c_handshake, sth, ("--label", {}), ("--connect", {"required": True}),
        ("--send", {"default": "hello"}), pw="optional")
    cmd("peer-names", c_peer_names, sth, ("--cert", {"action": "append", "required": True}),
        pw="optional")
    a = ap.parse_args()
    if not find_lib_dir():
        print(json.dumps({"ok": False, "error": "GSKit not found: pip install ibm_db, "
                          "or set GSKIT_LIB"}))
        return 3
    res = guarded(a.fn, a, a.limit)
    print(json.dumps(res, ensure_ascii=False, indent=1))
    return 0 if res["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
