#!/usr/bin/env python3
"""Adds to the manifests what a reader that keeps everything must see and the makers didn't write down.
usage: adjust.py TESTDATA        (the folder that holds java/ and p12/; idempotent)

label   the name as the file stores it, where `alias` is how Java shows it
error   the kind of error expected, where `expect` isn't "ok"; "ok" files of formats that are not read
        become "unsupported"
extra   objects in the file that belong to no entry of the manifest"""
import json, sys
from pathlib import Path

KINDS = {'integrity-error': 'password', 'parse-error': 'malformed', 'resource-limit': 'too-large'}
LABELS = {('jdk-alias-case.p12', 'mixedcase'): 'MixedCase', ('jdk-alias-unicode.p12', 'i\u0307stanbul'): '\u0130STANBUL'}
# The certificate that a wrong localKeyID points at; a bag of a private type; a certificate bag that isn't X.509.
EXTRA = {
    'wrong-localkeyid.p12': [{'kind': 'cert', 'like': 'second.example.test'}],
    'unknown-bag.p12': [{'kind': 'other'}],
    'sdsi-cert.p12': [{'kind': 'other'}],
}
root = Path(sys.argv[1])
manifests = {area: json.loads((root / area / 'MANIFEST.json').read_text()) for area in ('java', 'p12')}
certs = {}
for m in manifests.values():
    for f in m['files']:
        for e in f['entries']:
            for c in e.get('chain', []) + ([e['cert']] if 'cert' in e else []):
                certs[c['subject']] = c
for area, m in manifests.items():
    m.pop('peers_note', None)
    for f in m['files']:
        f.pop('peers', None)
        if f['format'] in ('BKS', 'UBER', 'BCFKS'):
            f['expect'], f['error'] = 'unsupported', 'unsupported'
        elif f['expect'] != 'ok':
            f['error'] = KINDS[f['expect']]
        if f['file'] == 'bad-pbmac1-no-keylength.p12':
            f['error'] = 'malformed'
        for e in f['entries']:
            label = LABELS.get((f['file'], e['alias']))
            if label:
                e['label'] = label
        extra = EXTRA.get(f['file'])
        if extra:
            f['extra'] = []
            for x in extra:
                like = x.get('like')
                found = [c for s, c in certs.items() if like and s and like in s]
                f['extra'].append({'kind': x['kind'], **({'cert': found[0]} if found else {})})
    text = json.dumps(m, indent=1, ensure_ascii=False) + '\n'
    (root / area / 'MANIFEST.json').write_text(text)
