//! IBM MQ: reason codes and messages about stores, from IBM's public documentation.

use super::Topic;

const fn reason(
    number: u32,
    code: &'static str,
    meaning: &'static str,
    cause: &'static str,
    advice: &'static str,
) -> Topic {
    Topic { source: "IBM MQ reason MQRC", code, number: Some(number), meaning, cause, advice }
}

const fn amq(code: &'static str, meaning: &'static str, cause: &'static str, advice: &'static str) -> Topic {
    Topic { source: "IBM MQ message", code, number: None, meaning, cause, advice }
}

/// All of them.
#[rustfmt::skip]
pub const TOPICS: &[Topic] = &[
    reason(2063, "MQRC_SECURITY_ERROR", "A security service failed; with AMS, a message could not be signed, enciphered, opened or checked.",
        "AMS: keystore.conf not found or wrong, its label not in the store, the stash missing, or a recipient's certificate missing.",
        "keyferry check on the store that keystore.conf names; compare its label with keyferry list. The queue manager's or client's log has an AMQ message with more."),
    reason(2381, "MQRC_KEY_REPOSITORY_ERROR", "The key repository could not be opened or used.",
        "MQSSLKEYR or SSLKeyRepository names no store, or its password is not there.",
        "keyferry check STORE. Up to MQ 9.2 the value is the name without .kdb."),
    reason(2393, "MQRC_SSL_INITIALIZATION_ERROR", "TLS could not be set up.",
        "The store can't be opened, the stash does not fit, the label is not there, or a certificate did not pass.",
        "keyferry check STORE; the client's error log names the GSKit number, which keyferry explain knows too."),
    reason(2397, "MQRC_JSSE_ERROR", "Java's TLS failed; the linked exception says why.",
        "No path to a trusted root, a handshake refused by the peer, or a store that Java can't open.",
        "keyferry explain with the text of the linked exception."),
    reason(2400, "MQRC_UNSUPPORTED_CIPHER_SUITE", "The CipherSuite is not one that this Java knows.",
        "IBM's and Oracle's names differ (SSL_ and TLS_), or a policy in java.security disables it.",
        "Compare the channel's CipherSpec with the names of this Java; com.ibm.mq.cfg.useIBMCipherMappings=false for Oracle's."),
    amq("AMQ9631", "The CipherSpecs of the two ends of a channel differ.", "", "Make them equal, or use an ANY_ one."),
    amq("AMQ9633", "The certificate of a channel's peer did not pass the check.", "Its CA is not in the key repository, or it has expired.",
        "keyferry check on both sides' stores; keyferry rebuild STORE --bundle CAS adds CAs."),
    amq("AMQ9635", "The channel names no CipherSpec that is known.", "", "Correct SSLCIPH."),
    amq("AMQ9636", "The DN of the peer's certificate does not match SSLPEER.", "", "keyferry dn diff shows where two names differ."),
    amq("AMQ9637", "The channel's peer sent no certificate.", "The client's store has no personal certificate under its label.",
        "keyferry list --kind key STORE on that side; ibmwebspheremq<user> is the label that is looked for by default."),
    amq("AMQ9642", "There is no certificate for the channel.", "The label is not in the key repository.", "keyferry list --gskit STORE shows the labels."),
    amq("AMQ9657", "The key repository could not be opened.", "A wrong path, missing permissions, or a wrong password.", "keyferry check STORE as the user that the program runs as."),
    amq("AMQ9660", "The password stash of the key repository is absent or can't be used.", "The .sth is missing, or unreadable for this user.", "keyferry stash STORE --password SPEC writes one."),
    amq("AMQ9665", "The peer closed the connection during the handshake.", "It did not accept our certificate or cipher.", "Look at the peer's log, which knows why."),
    amq("AMQ9716", "The revocation status of the peer's certificate could not be told.", "OCSP or a CRL could not be reached.", "Look at the network, or at OCSPAuthentication in the configuration."),
];
