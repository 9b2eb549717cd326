//! What this program itself says: findings, kinds of error, kinds of loss, exit statuses.

use super::Topic;
use crate::error::Kind;
use crate::jobs::check::rules::{RULES, Severity};
use crate::model::LossKind;

/// All of them.
pub fn topics() -> Vec<Topic> {
    let findings = RULES.iter().map(|r| Topic {
        source: match r.severity {
            Severity::Error => "keyferry finding, an error",
            Severity::Warning => "keyferry finding, a warning",
            Severity::Info => "keyferry finding, for information",
        },
        code: r.code,
        number: None,
        meaning: r.meaning,
        cause: "",
        advice: r.advice,
    });
    let kinds = Kind::ALL.iter().map(|kind| {
        let (meaning, advice) = of_kind(*kind);
        Topic {
            source: "keyferry kind of error",
            code: kind.name(),
            number: None,
            meaning,
            cause: "",
            advice,
        }
    });
    let losses = LossKind::ALL.iter().chain(&[LossKind::Note]).map(|kind| {
        let (meaning, advice) = of_loss(*kind);
        Topic { source: "keyferry kind of loss", code: kind.name(), number: None, meaning, cause: "", advice }
    });
    let statuses = STATUSES.iter().zip(0..).map(|((code, meaning, advice), number)| Topic {
        source: "keyferry exit status",
        code,
        number: Some(number),
        meaning,
        cause: "",
        advice,
    });
    findings.chain(kinds).chain(losses).chain(statuses).collect()
}

fn of_kind(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Read => (
            "The bytes could not be had: the file is missing, may not be read, or the disk failed. Status 3.",
            "Look at the path and its permissions.",
        ),
        Kind::Malformed => (
            "The bytes are not what their format demands. The message names the byte. Status 3.",
            "Take a backup or an old generation; keyferry check says more of what is wrong.",
        ),
        Kind::Unsupported => (
            "It was recognised, and is something that this program can't do. Status 3.",
            "Convert it with its own tool to PKCS#12 or PEM first.",
        ),
        Kind::TooLarge => (
            "A length, a count or an amount of work is beyond a limit that protects from hostile files. Status 3.",
            "If you trust the file and it is about rounds of derivation, raise --max-iterations.",
        ),
        Kind::Password => (
            "A password is missing or wrong. In JKS and kdb a damaged file looks the same. Status 4.",
            "Give it with --password [STORE=]SPEC, or for one key with --key-password LABEL=SPEC.",
        ),
        Kind::Refused => (
            "Doing it would lose or overwrite something. Nothing was written. Status 5.",
            "Read what would be lost; --allow-loss=KIND or --force says that it is meant.",
        ),
        Kind::Busy => (
            "Another program holds the store, or changed it meanwhile. Nothing was written. Status 6.",
            "Try again when that program is done.",
        ),
        Kind::Write => (
            "Writing, syncing or renaming failed. The store is as it was. Status 7.",
            "Look for a full disk, a read-only file system, or missing permissions on the folder.",
        ),
    }
}

fn of_loss(kind: LossKind) -> (&'static str, &'static str) {
    const ALLOW: &str = "Choose a format that can hold it, or accept with --allow-loss=KIND.";
    match kind {
        LossKind::Key => (
            "A private key can't be carried: the target holds none of its kind, or its password wasn't given.",
            "Give --key-password LABEL=SPEC, choose another format, or accept with --allow-loss=key.",
        ),
        LossKind::Secret => ("A secret key can't be carried into this format.", ALLOW),
        LossKind::Cert => ("A certificate can't be carried into this format.", ALLOW),
        LossKind::Request => ("A certificate request can't be carried, or a pending one would go.", ALLOW),
        LossKind::Crl => ("A revocation list can't be carried into this format.", ALLOW),
        LossKind::Other => ("Something else that the source holds can't be carried.", ALLOW),
        LossKind::Unreadable => (
            "An object of the source could not be read, so it can't be carried.",
            "Look at it with keyferry check; accept with --allow-loss=unreadable.",
        ),
        LossKind::Trust => ("A trust setting can't be expressed and becomes weaker.", ALLOW),
        LossKind::TrustRaised => (
            "A certificate would be trusted for more than its source says, as in Java, where each lone certificate is an anchor.",
            "Leave it out, or accept with --allow-loss=trust-raised.",
        ),
        LossKind::Label => ("A label can't be kept, or two would become one.", ALLOW),
        LossKind::Default => ("The mark of the default key can't be kept.", ALLOW),
        LossKind::Chain => ("A chain's certificates can't be kept with their key.", ALLOW),
        LossKind::Attribute => ("A fact that only the source's format knows can't be kept.", ALLOW),
        LossKind::Note => (
            "Something cosmetic changes, such as a creation date or the case of a label. It refuses nothing.",
            "Nothing has to be done.",
        ),
    }
}

/// By number.
const STATUSES: &[(&str, &str, &str)] = &[
    ("0", "Done.", "Nothing has to be done."),
    (
        "1",
        "The answer is no: diff found differences, check found problems, a list by name or a search matched nothing.",
        "Read what was printed; it is no failure of the program.",
    ),
    ("2", "The command line is wrong.", "See --help of the command."),
    (
        "3",
        "An input can't be read or is malformed. Nothing was written.",
        "Read the message; keyferry check says more.",
    ),
    (
        "4",
        "A password is missing or wrong. Nothing was written.",
        "Give it with --password [STORE=]SPEC, or for one key with --key-password LABEL=SPEC.",
    ),
    (
        "5",
        "Refused: something would be lost or overwritten. Nothing was written.",
        "Read what would be lost; --allow-loss=KIND or --force says that it is meant.",
    ),
    (
        "6",
        "The store is locked, or changed while the command ran. Nothing was written.",
        "Try again when the other program is done.",
    ),
    (
        "7",
        "Writing, swapping or --exec failed. The store is as it was before.",
        "Look for a full disk, a read-only file system, or missing permissions; or at what --exec runs.",
    ),
    (
        "8",
        "Incomplete: some of several stores could not be read or changed. They are named, the others are done.",
        "Look at those that are named; the rest needs no second run.",
    ),
];
