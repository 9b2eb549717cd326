//! GSKit: the numbers that its interface and MQ's error logs give, and the messages of its commands.
//!
//! Names are those that `gsk_strerror` of GSKit 8.0.60.5 gives. 10, 202, 408, 414 and 420 were provoked with it.

use super::Topic;

const fn gsk(
    number: u32,
    code: &'static str,
    meaning: &'static str,
    cause: &'static str,
    advice: &'static str,
) -> Topic {
    Topic { source: "GSKit", code, number: Some(number), meaning, cause, advice }
}

const fn ctgsk(
    code: &'static str,
    meaning: &'static str,
    cause: &'static str,
    advice: &'static str,
) -> Topic {
    Topic { source: "GSKit's commands", code, number: None, meaning, cause, advice }
}

/// All of them.
#[rustfmt::skip]
pub const TOPICS: &[Topic] = &[
    gsk(1, "GSK_INVALID_HANDLE", "The program used a handle that GSKit doesn't know.",
        "A fault in the program, or it went on after an error before.", "Look for the first error in its log."),
    gsk(3, "GSK_INTERNAL_ERROR", "GSKit failed for a reason of its own.", "",
        "Check the store with keyferry check; else collect a GSKit trace for its vendor."),
    gsk(4, "GSK_INSUFFICIENT_STORAGE", "There was not enough memory.", "", "Look at the limits of the process."),
    gsk(5, "GSK_INVALID_STATE", "The program called GSKit in the wrong order.", "", "Look for the first error in its log."),
    gsk(6, "GSK_KEY_LABEL_NOT_FOUND", "The store has no certificate with the label that the program names.",
        "The label in CERTLABL, keystore.conf or ibmwebspheremq<user> differs from the store's, perhaps in case only.",
        "keyferry list --gskit STORE shows the labels; keyferry rename changes one."),
    gsk(7, "GSK_CERTIFICATE_NOT_AVAILABLE", "The side that has to present a certificate has none.",
        "No personal certificate under the label, and none marked as default.",
        "keyferry list --kind key STORE; keyferry default STORE LABEL marks one."),
    gsk(8, "GSK_ERROR_CERT_VALIDATION", "A certificate did not pass the check.",
        "Expired, its CA missing from the store, revoked, or an algorithm that is switched off.",
        "keyferry check on both sides' stores."),
    gsk(9, "GSK_ERROR_CRYPTO", "A cryptographic step failed.", "A damaged key, or an algorithm that FIPS mode forbids.",
        "keyferry check STORE; look for weak-key and weak-signature."),
    gsk(10, "GSK_ERROR_ASN", "GSKit can't read the store or a certificate.",
        "The kdb is cut short or empty, is PEM or JKS in truth, or a broken .rdb stands beside a good kdb.",
        "keyferry check STORE tells which: does-not-open or companion-blocks."),
    gsk(13, "GSK_INVALID_PARAMETER", "The program gave GSKit a value that it doesn't take.", "", "Look at the program's configuration of TLS."),
    gsk(101, "GSK_OPEN_CIPHER_ERROR", "GSKit's cryptography could not be loaded.", "An incomplete installation of GSKit.", "Install GSKit anew."),
    gsk(102, "GSK_KEYFILE_IO_ERROR", "The store could not be read.", "Missing, unreadable for this user, or a disk error.",
        "Look at the path and its permissions; in MQ up to 9.2 the name is given without .kdb."),
    gsk(103, "GSK_KEYFILE_INVALID_FORMAT", "The store is not in a format that GSKit reads.", "A damaged file, or a JKS or PEM under the name of a kdb.",
        "keyferry list says what it is; keyferry convert STORE NEW.kdb makes a kdb of it."),
    gsk(104, "GSK_KEYFILE_DUPLICATE_KEY", "The store holds one key twice.", "", "keyferry check STORE: key-twice names them."),
    gsk(105, "GSK_KEYFILE_DUPLICATE_LABEL", "Two entries of the store have one label.", "", "keyferry check STORE: label-twice names them."),
    gsk(106, "GSK_BAD_FORMAT_OR_INVALID_PASSWORD", "The store is damaged, or the password is wrong.", "A stash of another password, or a file copied in part.",
        "keyferry check STORE tells them apart as far as that can be: stash-differs, does-not-open."),
    gsk(107, "GSK_KEYFILE_CERT_EXPIRED", "A certificate in the store has expired.", "", "keyferry list --expired STORE."),
    gsk(108, "GSK_ERROR_LOAD_GSKLIB", "A library of GSKit could not be loaded.", "An incomplete installation, or a search path for libraries.", "Install GSKit anew."),
    gsk(201, "GSK_NO_KEYFILE_PASSWORD", "GSKit was given neither a password nor a stash.", "The .sth beside the kdb is missing.",
        "keyferry stash STORE --password SPEC writes one."),
    gsk(202, "GSK_KEYRING_OPEN_ERROR", "The store could not be opened.",
        "It is missing, this user may not read it, or another program held a lock on it for over two seconds.",
        "Look at the path, its permissions and the user that the program runs as."),
    gsk(203, "GSK_RSA_TEMP_KEY_PAIR", "A temporary RSA key could not be made.", "", "Switch off export ciphers, which alone need it."),
    gsk(301, "GSK_CLOSE_FAILED", "Closing the environment failed.", "", "Look for the first error in the program's log."),
    gsk(401, "GSK_ERROR_BAD_DATE", "A certificate is not valid today.", "Expired, not yet valid, or the clock is wrong.", "keyferry list --expired STORE on both sides; look at the clock."),
    gsk(402, "GSK_ERROR_NO_CIPHERS", "The two sides have no cipher in common.", "Different CipherSpecs, or an RSA cipher with an EC certificate.", "Compare the CipherSpecs; keyferry show STORE LABEL tells the key's kind."),
    gsk(403, "GSK_ERROR_NO_CERTIFICATE", "The peer sent no certificate, and one is required.", "The client's store has no personal certificate under its label.",
        "keyferry list --kind key on the client's store."),
    gsk(404, "GSK_ERROR_BAD_CERTIFICATE", "The peer's certificate is malformed.", "", "keyferry show on the peer's store."),
    gsk(405, "GSK_ERROR_UNSUPPORTED_CERTIFICATE_TYPE", "The peer's certificate is of a kind that GSKit doesn't take.", "", "Use an RSA or EC certificate."),
    gsk(406, "GSK_ERROR_IO", "Reading or writing the connection failed.", "The peer went away, often because it did not like our certificate.", "Look at the peer's log."),
    gsk(407, "GSK_ERROR_BAD_KEYFILE_LABEL", "The label that was named is not in the store, or its certificate can't be used.", "A misspelt label, or one that differs in case.",
        "keyferry list --gskit STORE shows the labels."),
    gsk(408, "GSK_ERROR_BAD_KEYFILE_PASSWORD", "The password does not open the store.", "Wrong, the stash is missing, or the stash is that of another password. For a PKCS#12 also: the password has characters that aren't ASCII.",
        "keyferry check STORE: stash-differs; keyferry stash STORE --password SPEC writes it anew."),
    gsk(409, "GSK_ERROR_BAD_KEY_LEN_FOR_EXPORT", "The key is longer than an export cipher allows.", "", "Use a cipher of today."),
    gsk(410, "GSK_ERROR_BAD_MESSAGE", "The peer sent something that is no TLS.", "A plain connection to a TLS port, or the reverse.", "Compare both sides' channel definitions."),
    gsk(411, "GSK_ERROR_BAD_MAC", "A record was damaged on its way.", "", "Look at what stands between the two sides."),
    gsk(412, "GSK_ERROR_UNSUPPORTED", "The peer wants a protocol or an algorithm that isn't supported.", "", "Compare protocols and CipherSpecs."),
    gsk(413, "GSK_ERROR_BAD_CERT_SIG", "The signature of a certificate is wrong.", "Its CA has another key under the same name in this store.", "keyferry check STORE: same-name-ca, chain-broken."),
    gsk(414, "GSK_ERROR_BAD_CERT", "The peer's certificate was not accepted.", "Its issuer is not in the store, or is not trusted there.",
        "Add the CA: keyferry rebuild STORE --bundle CAS; keyferry find 'CN=…' finds who has it."),
    gsk(415, "GSK_ERROR_BAD_PEER", "The peer did not keep to the protocol.", "", "Look at the peer's log."),
    gsk(416, "GSK_ERROR_PERMISSION_DENIED", "The peer denied access.", "", "Look at the peer's log."),
    gsk(417, "GSK_ERROR_SELF_SIGNED", "The peer's certificate is self-signed and not in the store.", "", "Add the certificate itself to the store, if the peer is to be trusted."),
    gsk(420, "GSK_ERROR_SOCKET_CLOSED", "The peer closed the connection.", "It refused the protocol level, the cipher or our certificate.", "Look at the peer's log, which knows why."),
    gsk(428, "GSK_ERROR_NO_PRIVATE_KEY", "The certificate has no private key.", "A certificate was imported without its key.", "keyferry list --kind key STORE; keyferry find finds the key."),
    gsk(429, "GSK_ERROR_PKCS11_LIBRARY_NOTLOADED", "The token's library could not be loaded.", "A wrong path, or a library of 32 bits.", "keyferry token list with the same module."),
    gsk(430, "GSK_ERROR_PKCS11_TOKEN_LABELMISMATH", "No token has the label that was given.", "", "keyferry token list shows the labels."),
    gsk(431, "GSK_ERROR_PKCS11_TOKEN_NOTPRESENT", "The slot is empty.", "", "Insert the token; keyferry token list shows what is there."),
    gsk(432, "GSK_ERROR_PKCS11_TOKEN_BADPASSWORD", "The token's PIN is wrong.", "", "Mind that tokens lock after a few wrong ones."),
    gsk(440, "GSK_ERROR_PKCS11_DEVICE", "The token reported an error.", "", "Look for a CKR code in the log, and explain that."),
    gsk(447, "GSK_ERROR_CERTIFICATE_INVALIDSIGALG", "A certificate is signed with an algorithm that isn't allowed.", "SHA-1 or MD5, or one that the configuration leaves out.", "keyferry check on the peer's store: weak-signature."),
    gsk(457, "GSK_ERROR_UNUSABLE_CERTIFICATE", "The certificate can't be used for this.", "Its key usage, or the kind of its key, does not fit.", "keyferry show STORE LABEL."),
    gsk(458, "GSK_ERROR_INVALID_KEYSIZE", "A key is too short or too long.", "", "keyferry check STORE: weak-key."),
    ctgsk("CTGSK3026W", "The key file does not exist or can't be read.", "A wrong path; with -crypto also a wrong -tokenlabel (it then speaks of a file named pkcs11).",
        "Look at the path; for tokens keyferry token list shows the labels."),
    ctgsk("CTGSK2137W", "The label is not on the token.", "Also seen after a wrong PIN.", "Try the PIN first, with care; keyferry list pkcs11:token=… shows the labels."),
    ctgsk("CTGSK3034W", "The request that belongs to this certificate is not in the key database.", "It was made in another database, or on a token, or its .rdb is gone.",
        "keyferry find CERTIFICATE PATH… finds the request by its public key."),
];
