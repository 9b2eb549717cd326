"""Python's side of tests/oracle.rs: opens a PKCS#12 with the `cryptography` package, whose OpenSSL is newer
than the system's.  usage: peer.py FILE PASSWORD    Prints the key's and each certificate's SHA-256."""
import hashlib
import sys

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

store = load_pkcs12(open(sys.argv[1], 'rb').read(), sys.argv[2].encode())
sha = lambda der: hashlib.sha256(der).hexdigest()
if store.key:
    print('key', sha(store.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())))
for cert in ([store.cert] if store.cert else []) + list(store.additional_certs):
    print('cert', (cert.friendly_name or b'').hex() or '-', sha(cert.certificate.public_bytes(Encoding.DER)))
