"""Certificates with the names that tools print differently, for tests/names.rs.

usage: names.py FOLDER    Writes ca.pem, and NN.pem (key and certificate) for each case."""
import datetime
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.name import _ASN1Type as Type

OIDS = {"C": "2.5.4.6", "O": "2.5.4.10", "OU": "2.5.4.11", "CN": "2.5.4.3", "L": "2.5.4.7", "ST": "2.5.4.8",
        "STREET": "2.5.4.9", "UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25",
        "E": "1.2.840.113549.1.9.1", "UN": "1.2.840.113549.1.9.2", "SN": "2.5.4.4", "SERIAL": "2.5.4.5",
        "T": "2.5.4.12", "PC": "2.5.4.17", "GN": "2.5.4.42", "I": "2.5.4.43", "GQ": "2.5.4.44", "DNQ": "2.5.4.46",
        "PS": "2.5.4.65", "OI": "2.5.4.97", "BC": "2.5.4.15", "JC": "1.3.6.1.4.1.311.60.2.1.3",
        "X": "1.3.6.1.4.1.99999.1"}
U, P, I5, B = Type.UTF8String, Type.PrintableString, Type.IA5String, Type.BMPString
# In the order of the encoding; a list is an RDN of several.
CASES = [
    ["C=GB", "O=SSS", "CN=COLIN PAICE"],
    ["CN=COLIN PAICE", "O=SSS", "C=GB"],
    ["O=Acme, Ltd", "CN=c"],
    ["O=s", 'CN=a+b=c;d<e>f"g\\h/i#j'],
    ["O=s", "CN= lead trail "],
    ["O=two  spaces", "CN=c"],
    ["O=s", "CN=#hash"],
    ["O=s", ["CN=X", "UID=u1"]],
    ["L=München", "CN=名前 é"],
    ["O=s", ("CN", "Bmp é", B)],
    ["O=s", "CN=tab\tline\nend"],
    ["O=s", ("E", "a@b.example", I5)],
    [("DC", "com", I5), ("DC", "example", I5), "OU=OU1", "OU=OU2", "UID=jdoe"],
    ["O=s", "X=zz"],
    ["O=s", ("UN", "un", I5)],
    ["SN=Sur", ("SERIAL", "123", P), "ST=State", "STREET=1 Road"],
    ["T=Dr", "PC=8000", "GN=Given", "I=G.S."],
    ["GQ=Jr", ("DNQ", "q1", P), "PS=Nym", "OI=VATCH-1"],
    ["BC=Private", ("JC", "CH", P), "CN=both \"quoted\""],
    ["O=s", "CN=back\\slash"],
    ["O=s", "CN=bidi\u202e zero\u200bwidth"],
    [],
]


def attribute(text):
    name, value, kind = text if isinstance(text, tuple) else (*text.split("=", 1), None)
    kind = kind or (P if name == "C" else U)
    return x509.NameAttribute(x509.ObjectIdentifier(OIDS[name]), value, _type=kind, _validate=False)


def name(case):
    rdns = [[attribute(a) for a in (rdn if isinstance(rdn, list) else [rdn])] for rdn in case]
    return x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns])


def certificate(subject, key, issuer, issuer_key, ca):
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now - day,
                                      now + 90 * day)
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if not subject.rdns:
        # Without it Java refuses an empty name.
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("nobody.example")]), critical=True)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


folder = sys.argv[1]
ca_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
ca_name = name(["O=Names", "CN=Names CA"])
with open(f"{folder}/ca.pem", "w") as out:
    out.write(certificate(ca_name, ca_key, ca_name, ca_key, True))
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
for number, case in enumerate(CASES):
    with open(f"{folder}/{number:02}.pem", "w") as out:
        out.write(pem.decode() + certificate(name(case), key, ca_name, ca_key, False))
