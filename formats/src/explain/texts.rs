//! Messages without a code: Java's keytool and TLS, OpenSSL, NSS.

use super::Topic;

const fn java(code: &'static str, meaning: &'static str, cause: &'static str, advice: &'static str) -> Topic {
    Topic { source: "Java", code, number: None, meaning, cause, advice }
}

const fn openssl(
    code: &'static str,
    meaning: &'static str,
    cause: &'static str,
    advice: &'static str,
) -> Topic {
    Topic { source: "OpenSSL", code, number: None, meaning, cause, advice }
}

const fn nss(code: &'static str, meaning: &'static str, cause: &'static str, advice: &'static str) -> Topic {
    Topic { source: "NSS", code, number: None, meaning, cause, advice }
}

/// All of them.
#[rustfmt::skip]
pub const TOPICS: &[Topic] = &[
    java("Keystore was tampered with, or password was incorrect", "The digest at the end of a JKS or JCEKS does not fit the password.", "A wrong password far more often than a changed file.",
        "Try the password with keyferry list; restore an old generation if it is right."),
    java("keystore password was incorrect", "The MAC or the contents of a PKCS#12 do not fit the password.", "A wrong password; or a store made with another encoding of a password that isn't ASCII.",
        "keyferry list STORE --password SPEC tries every encoding that is in use."),
    java("Cannot recover key", "The password opens the store and not the key.", "The key has a password of its own.",
        "Give it (key_pass, -keypass); keyferry check STORE: key-closed or key-password-differs."),
    java("Get Key failed", "The key of a PKCS#12 could not be deciphered.", "Its password differs from the store's.", "keyferry check STORE: key-password-differs; convert the store with both passwords given."),
    java("Given final block not properly padded", "Something was deciphered with the wrong key.", "A wrong password for a key.", "Give the key's own password."),
    java("Invalid keystore format", "The file is no store of the type that Java was told.", "A PEM, or a JCEKS opened as JKS.", "keyferry list says what it is; keyferry convert makes another of it."),
    java("toDerInputStream rejects tag type", "Java took the file for PKCS#12, and it is something else.", "A PEM or JCEKS file.", "keyferry list says what it is."),
    java("DerInputStream.getLength(): lengthTag", "Java took the file for PKCS#12, and it is something else or cut short.", "A JKS or PEM, or a transfer as text.", "keyferry list says what it is."),
    java("stream does not represent a PKCS12 key store", "The file is no PKCS#12.", "", "keyferry list says what it is."),
    java("Algorithm HmacPBESHA256 not available", "This Java is too old for the MAC of the store.", "A store of today's keytool or OpenSSL, read by Java 8 before update 301.",
        "Update Java, or convert it with keyferry convert --p12-profile java8."),
    java("trustAnchors parameter must be non-empty", "Java found no trusted certificate.", "A wrong path (Java takes a missing file for an empty store), or a PKCS#12 whose certificates lack Java's attribute.",
        "keyferry check STORE: empty-to-java; convert it with keyferry, which writes the attribute."),
    java("unable to find valid certification path to requested target", "No path leads from the server's certificate to a trusted one.", "The server's CA is not in the trust store, or the server doesn't send an intermediate.",
        "Add the CA: keyferry rebuild TRUSTSTORE --bundle CAS."),
    java("PKIX path building failed", "No path leads from the peer's certificate to a trusted one.", "Its CA is not in the trust store, or an intermediate is missing.", "Add the CA: keyferry rebuild TRUSTSTORE --bundle CAS."),
    java("PKIX path validation failed", "A path was found and is not valid.", "Something in it has expired, or uses a disabled algorithm.", "keyferry check on both stores."),
    java("Received fatal alert: bad_certificate", "The peer did not accept our certificate.", "Its CA is not in the peer's store.", "Add the CA to the peer's store; keyferry check on ours."),
    java("Received fatal alert: handshake_failure", "The two sides have no cipher, protocol or certificate in common.", "Often: no certificate was sent, for no key in the store fits the CAs that the server names.",
        "keyferry check STORE: chain-incomplete."),
    java("No trusted certificate found", "The peer's certificate leads to no trusted one.", "", "Add the CA to the trust store."),
    java("Certificates do not conform to algorithm constraints", "A certificate uses an algorithm that java.security disables.", "SHA-1, MD5, or a short RSA key.", "keyferry check on the peer's store: weak-signature, weak-key."),
    java("Public keys in reply and keystore don't match", "The certificate was not issued for the key under this alias.", "The request was made from another alias or store.", "keyferry find CERTIFICATE PATH… finds the key that fits."),
    java("Failed to establish chain from reply", "keytool can't lead the reply to a trusted certificate.", "The CA is neither in the store nor in cacerts.", "Import the CA first, or let keyferry rebuild do both."),
    java("Certificate reply and certificate in keystore are identical", "The reply is what is already there.", "", "Nothing has to be done."),
    java("> does not exist", "No entry has this alias.", "Aliases of JKS and PKCS#12 are in lower case in Java.", "keyferry list STORE shows the labels."),
    openssl("Mac verify error: invalid password?", "The MAC of the PKCS#12 does not fit the password.", "A wrong password.", "Try it with keyferry list, which knows the encodings of passwords that aren't ASCII."),
    openssl("bad decrypt", "Something was deciphered with the wrong key.", "A wrong password.", "Give the right one."),
    openssl("maybe wrong password", "Something was deciphered with the wrong key.", "A wrong password.", "Give the right one."),
    openssl("unsupported:Algorithm (RC2-40-CBC", "OpenSSL 3 leaves old ciphers to its legacy provider.", "A PKCS#12 with 40-bit RC2, as old tools write.", "Convert it with keyferry, or give openssl -legacy."),
    openssl("digital envelope routines::unsupported", "The cipher is not one of OpenSSL's default provider.", "A PKCS#12 or key with RC2, RC4 or DES.", "Convert it with keyferry, or give openssl -legacy."),
    openssl("no start line", "There is no PEM block of the kind that was looked for.", "A DER file, another kind of block, or a byte order mark before it.", "keyferry list says what it is; keyferry convert FILE OUT.pem."),
    openssl("wrong tag", "The bytes are not the structure that was looked for.", "PEM taken for DER, another kind of object, or a wrong password of a key.", "keyferry list says what it is."),
    openssl("not enough data", "The file is cut short, or is no DER.", "", "keyferry list says what it is."),
    openssl("key values mismatch", "Private key and certificate don't belong together.", "", "keyferry check says so of a store: key-mismatch; keyferry find finds the key that fits."),
    openssl("unable to load private key", "The file has no key that could be read.", "A wrong password, or a file of another kind.", "keyferry list says what it holds."),
    openssl("unable to get local issuer certificate", "The issuer of a certificate is not among the trusted ones, nor was it sent.", "A missing CA, often an intermediate.", "keyferry check STORE: chain-incomplete names who is missing."),
    openssl("unable to verify the first certificate", "The issuer of the peer's own certificate is not there.", "The server doesn't send its intermediate.", "Put the chain into the server's store; keyferry check STORE: chain-incomplete."),
    openssl("self-signed certificate in certificate chain", "The chain ends in a root that isn't trusted.", "", "Add that root to what is trusted, if it is to be."),
    openssl("self-signed certificate", "The certificate is its own issuer and isn't trusted.", "", "Add it to what is trusted, if it is to be."),
    openssl("certificate has expired", "A certificate is past its end.", "", "keyferry list --expired STORE; keyferry renew."),
    openssl("certificate is not yet valid", "A certificate begins in the future.", "Or the clock is wrong.", "Look at the clock."),
    openssl("certificate signature failure", "A signature is not its issuer's.", "Two CAs of one name and different keys.", "keyferry check STORE: same-name-ca."),
    openssl("ee key too small", "The certificate's key is too short for the security level.", "RSA below 2048 bits.", "Make a new key; keyferry check STORE: weak-key."),
    openssl("ca md too weak", "A CA's certificate is signed with an algorithm that is too weak for the security level.", "SHA-1 or MD5.", "Have it issued anew; keyferry check STORE: weak-signature."),
    nss("SEC_ERROR_BAD_PASSWORD", "The password of the database is wrong.", "", "keyferry list DIR --password SPEC."),
    nss("SEC_ERROR_BAD_DATABASE", "The database is missing, damaged or of another generation.", "A folder without cert9.db, or one that may not be read.", "keyferry check DIR."),
    nss("SEC_ERROR_LEGACY_DATABASE", "The database is of the old kind, cert8.db and key3.db, which current NSS doesn't open.", "", "keyferry convert DIR NEWDIR --to nss reads it and writes a current one."),
    nss("SEC_ERROR_UNKNOWN_ISSUER", "The issuer of a certificate is not in the database.", "", "Add the CA, with its trust: keyferry rebuild DIR --bundle CAS."),
    nss("SEC_ERROR_UNTRUSTED_ISSUER", "The issuer is there, and marked as not trusted.", "", "keyferry trust DIR LABEL FLAGS, if it is to be trusted."),
    nss("SEC_ERROR_CA_CERT_INVALID", "The issuer is no CA.", "A certificate without basicConstraints CA:TRUE was used to sign.", "keyferry show DIR LABEL."),
    nss("SEC_ERROR_EXPIRED_CERTIFICATE", "A certificate is past its end.", "", "keyferry list --expired DIR."),
    nss("SEC_ERROR_EXPIRED_ISSUER_CERTIFICATE", "The issuer's certificate is past its end.", "", "Bring in its successor: keyferry rebuild DIR --bundle CAS."),
    nss("SEC_ERROR_REUSED_ISSUER_AND_SERIAL", "Two certificates have the same issuer and serial number.", "A CA was made anew and began to count from the start.", "Remove the old ones: keyferry find 'CN=…' DIR finds them."),
    nss("SEC_ERROR_PKCS12_DECODING_PFX", "The file is no PKCS#12 that NSS can read.", "Damaged, or another format.", "keyferry list says what it is."),
    nss("SEC_ERROR_PKCS12_INVALID_MAC", "The MAC of the PKCS#12 does not fit.", "A wrong password.", "Try it with keyferry list."),
    nss("SEC_ERROR_CERT_SIGNATURE_ALGORITHM_DISABLED", "A certificate is signed with an algorithm that is switched off.", "SHA-1 or MD5.", "Have it issued anew; keyferry check DIR: weak-signature."),
];
