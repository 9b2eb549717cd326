#!/bin/sh
# Makes the demo key anew: a small authority, an issuing authority below it, and alice's key with its
# chain, as one PKCS#12 file. Usage: gen.sh OUTDIR (needs OpenSSL 3).
set -eu
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/ext.cnf" <<'X'
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1, email:alice@example.test
X
key() { openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/$1.key" 2>/dev/null ||
        openssl genrsa -out "$work/$1.key" 2048 2>/dev/null; }
key root; key issuing; key alice
openssl req -new -x509 -key "$work/root.key" -days 7300 -subj '/C=GB/O=SSS/CN=SSS Demo Root CA' -out "$work/root.crt"
for pair in 'issuing root ca /C=GB/O=SSS/CN=SSS_Demo_Issuing_CA' 'alice issuing leaf /C=GB/O=SSS/CN=alice'; do
    set -- $pair
    openssl req -new -key "$work/$1.key" -subj "$(echo "$4" | tr _ ' ')" -out "$work/$1.csr"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$2.crt" -CAkey "$work/$2.key" -CAcreateserial \
        -days 7000 -extfile "$work/ext.cnf" -extensions "$3" -out "$work/$1.crt" 2>/dev/null
done
cat "$work/issuing.crt" "$work/root.crt" > "$work/chain.pem"
openssl pkcs12 -export -name alice -inkey "$work/alice.key" -in "$work/alice.crt" -certfile "$work/chain.pem" \
    -passout pass:demo-only -out "$out/alice.p12"
cp "$work/root.crt" "$out/demo-root.pem"
