#!/usr/bin/env python3
"""ML-DSA by the `cryptography` package, whose OpenSSL knows it: the system's does not yet.

    mldsa.py verify ISSUER CERTIFICATE    the certificate is signed by the issuer's key
    mldsa.py request FILE                 the request is signed by its own key; prints its subject
    mldsa.py make NAME BITS               a key of ML-DSA-BITS, its own CA certificate and a request: NAME.key,
                                          NAME.pem and NAME.csr
    mldsa.py sign CA REQUEST FILE         signs a request by CA.key and CA.pem
    mldsa.py same KEY CERTIFICATE         the certificate is for the key
"""
import datetime
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat,
                                                          load_pem_private_key)

read = lambda name: Path(name).read_bytes()
certificate = lambda name: x509.load_pem_x509_certificate(read(name))
private_key = lambda name: load_pem_private_key(read(name), None)


def issue(subject, issuer, public_key, signer, ca):
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number(), start,
                                      start + datetime.timedelta(days=90))
    return builder.add_extension(x509.BasicConstraints(ca, None), True).sign(signer, None)


def make(name, bits):
    key = getattr(mldsa, f'MLDSA{bits}PrivateKey').generate()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    Path(f'{name}.key').write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    own = issue(subject, subject, key.public_key(), key, True)
    Path(f'{name}.pem').write_bytes(own.public_bytes(Encoding.PEM))
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, None)
    Path(f'{name}.csr').write_bytes(request.public_bytes(Encoding.PEM))


def sign(ca, request, file):
    asked = x509.load_pem_x509_csr(read(request))
    assert asked.is_signature_valid
    signed = issue(asked.subject, certificate(f'{ca}.pem').subject, asked.public_key(), private_key(f'{ca}.key'), False)
    Path(file).write_bytes(signed.public_bytes(Encoding.PEM) + read(f'{ca}.pem'))


match sys.argv[1:]:
    case ['verify', issuer, leaf]:
        certificate(leaf).verify_directly_issued_by(certificate(issuer))
    case ['request', file]:
        asked = x509.load_pem_x509_csr(read(file))
        assert asked.is_signature_valid
        print(asked.subject.rfc4514_string())
    case ['make', name, bits]:
        make(name, bits)
    case ['sign', ca, request, file]:
        sign(ca, request, file)
    case ['same', key, leaf]:
        assert private_key(key).public_key() == certificate(leaf).public_key()
    case _:
        sys.exit(__doc__)
