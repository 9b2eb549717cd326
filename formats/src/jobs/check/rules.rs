//! The table of findings: every code, how bad it is, what it means and what to do. Help, `explain`, the page
//! docs/findings.md and the tests are held against it.

/// How bad a finding is. In ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Works today, and ought to be put right.
    Warning,
    /// Doesn't work, or lets somebody in.
    Error,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: &'static [Severity] = &[Severity::Error, Severity::Warning, Severity::Info];

    /// The word for JSON and `--fail-on`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One kind of finding.
#[derive(Debug)]
pub struct Rule {
    /// Its name, which stays.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, and why it matters.
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
}

macro_rules! rules {
    ($($name:ident $code:literal $severity:ident $meaning:literal $advice:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Rule =
                Rule { code: $code, severity: Severity::$severity, meaning: $meaning, advice: $advice };
        )*
        /// Every rule, in the order of the documentation.
        pub const RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    DOES_NOT_OPEN "does-not-open" Error
        "The file looks like a store and can't be read as one: it is damaged, cut short, or of a kind that isn't known."
        "Put a backup or an old generation in its place (keyferry status, keyferry rollback).";
    WRONG_PASSWORD "wrong-password" Error
        "The password that was given does not open the store, or none was given. In a JKS or a kdb, a damaged file can look the same."
        "Give the right one with --password; nobody can recover a lost one.";
    PARTS_UNREADABLE "parts-unreadable" Error
        "One object in the store can't be read, although the rest can."
        "Look at it with keyferry show, and replace it from where it came.";
    NOT_AUTHENTICATED "not-authenticated" Info
        "Nobody gave the store's password, so its integrity was not checked, and nothing proves that nobody changed it."
        "Check again with --password.";
    STASH_DIFFERS "stash-differs" Error
        "The stash beside the store holds another password than the store's: programs that rely on it get error 408."
        "Write it anew with keyferry stash.";
    STASH_UNREADABLE "stash-unreadable" Error
        "The stash beside the store is damaged and yields no password: programs that rely on it get error 408."
        "Write it anew with keyferry stash.";
    COMPANION_BLOCKS "companion-blocks" Error
        "The request database (.rdb) beside a kdb does not fit it. GSKit then refuses to open the kdb at all."
        "If no pending request is wanted from it, move it away; otherwise bring back the one that belongs to this kdb.";
    COMPANION_STALE "companion-stale" Warning
        "The revocation lists (.crl) beside a kdb do not fit it. GSKit passes them over."
        "Move the file away.";
    PASSWORD_EXPIRED "password-expired" Error
        "The kdb's password has an end, and it is past: GSKit refuses to open the store, though the password still fits."
        "Give the store a new password (keyferry passwd, or runmqakm -keydb -changepw).";
    PASSWORD_EXPIRING "password-expiring" Warning
        "The kdb's password has an end, and it is near: from then on GSKit refuses to open the store."
        "Give the store a new password (keyferry passwd, or runmqakm -keydb -changepw).";
    KEY_MISMATCH "key-mismatch" Error
        "The private key is not the one that the certificate beside it was made for: every handshake with it fails."
        "Find the key that fits with keyferry find, or request a new certificate for this one.";
    KEY_DAMAGED "key-damaged" Error
        "The private key was deciphered, and is no key."
        "Restore it from a backup or an old generation.";
    KEY_CLOSED "key-closed" Warning
        "The private key could not be opened, so it was not compared with its certificate: no password that was given fits, or how it is enciphered is not supported or asks for too much work."
        "Give the key's own password with --key-password LABEL=SPEC, unless the message names another cause.";
    KEY_WITHOUT_CERTIFICATE "key-without-certificate" Warning
        "A private key has no certificate in this store; no program can use it."
        "Add its certificate, or remove the key if it is not wanted.";
    KEY_PASSWORD_DIFFERS "key-password-differs" Warning
        "A key in a PKCS#12 has another password than the store. Java, GSKit and browsers use one password for both."
        "Convert the store with both passwords given; the copy has one.";
    KEY_IN_CLEAR "key-in-clear" Info
        "A private key lies unenciphered in the file: whoever can read the file has the key."
        "Keep the mode at 0600, or convert the store into one with a password.";
    KEY_TWICE "key-twice" Warning
        "The same private key stands under two labels. Programs that choose by label may present the wrong certificate."
        "Remove the one that is not used any more.";
    KEY_EXPIRED "key-expired" Error
        "The certificate of a private key has expired: peers refuse it."
        "Renew it (keyferry renew), and distribute the new certificate.";
    KEY_EXPIRING "key-expiring" Warning
        "The certificate of a private key ends soon."
        "Renew it (keyferry renew) before that day.";
    CERTIFICATE_EXPIRED "certificate-expired" Warning
        "A certificate that this store trusts or hands on has expired."
        "Remove it, or bring in its successor with keyferry rebuild.";
    CERTIFICATE_EXPIRING "certificate-expiring" Info
        "A certificate that this store trusts or hands on ends soon."
        "Bring in its successor with keyferry rebuild before that day.";
    NOT_YET_VALID "not-yet-valid" Error
        "A certificate begins in the future: until then peers refuse it. Or this machine's clock is wrong."
        "Check the clock, else wait.";
    CERTIFICATE_UNREADABLE "certificate-unreadable" Error
        "What stands where a certificate belongs can't be read as one."
        "Replace it from where it came.";
    CHAIN_INCOMPLETE "chain-incomplete" Error
        "The issuer of a key's certificate, or one above it, is not in the store: peers that know only the root can't check it."
        "Add the missing CA certificates (keyferry rebuild, keyferry add).";
    CHAIN_BROKEN "chain-broken" Error
        "The chain of a key's certificate does not hold: a signature is wrong, or a CA was not allowed to issue what it issued."
        "Get the right CA certificates from whoever issued the certificate.";
    REVOKED "revoked" Error
        "The issuer of a certificate has taken it back: peers that ask refuse it."
        "Have a new one issued (keyferry renew --new-key where the key is known to others), or remove it.";
    REVOCATION_UNKNOWN "revocation-unknown" Warning
        "It was asked whether a certificate is revoked, and nothing that can be relied upon says so or not."
        "Give the issuer's current list with --crl, or ask its responder with --ocsp.";
    CHAIN_UNCHECKED "chain-unchecked" Info
        "The chain has something that the library for paths doesn't check, so it is neither known good nor bad."
        "Check it with the program that is to use it, or with openssl verify.";
    ROOT_NOT_TRUSTED "root-not-trusted" Info
        "The chain ends in a root that comes with the key but that this store does not trust: good for presenting the key, not for accepting peers of the same CA."
        "Where peers are to be accepted through this store, add the root as a trusted certificate.";
    WEAK_SIGNATURE "weak-signature" Warning
        "A certificate is signed with MD2, MD5 or SHA-1: current programs refuse it, and it can be forged. Roots' own signatures don't count."
        "Have it issued anew with SHA-256 or better.";
    WEAK_KEY "weak-key" Warning
        "A public key is too short for today: RSA or DSA below 2048 bits, or a curve below 224."
        "Make a new key (keyferry keygen), and have a certificate issued for it.";
    WEAK_PROTECTION "weak-protection" Warning
        "A key or the store's contents are enciphered with an algorithm that counts as weak: JKS's own, DES, triple DES, RC2, RC4, or MD5."
        "Convert the store into PKCS#12, or write a kdb anew with --kdb-format 6. Until then its mode and its password are all that protects it.";
    FEW_ROUNDS "few-rounds" Warning
        "A password is stretched by fewer than 2,048 rounds, the least that current tools write: it is quickly guessed."
        "Convert the store anew; keyferry writes 10,000 rounds.";
    HIDDEN_FROM_JAVA "hidden-from-java" Info
        "Certificates in a PKCS#12 lack the attribute by which Java knows trusted certificates: Java doesn't show them."
        "If Java is to trust them, convert the store with keyferry, which writes the attribute.";
    EMPTY_TO_JAVA "empty-to-java" Warning
        "A PKCS#12 holds certificates, and Java shows none: all lack the attribute by which Java knows trusted certificates, as openssl pkcs12 leaves it out."
        "Convert the store with keyferry, which writes the attribute.";
    SAME_NAME "same-name" Warning
        "Two certificates have the same subject and different keys. Programs that look certificates up by name, as MQ AMS does for recipients, may take the wrong one."
        "Remove the one that is not used any more.";
    SAME_NAME_CA "same-name-ca" Info
        "Two CA certificates have the same subject and different keys, as after the renewal of a CA."
        "Remove the old one when nothing that it signed is in use any more.";
    LABEL_TWICE "label-twice" Warning
        "Several entries have the same label, as this format compares labels; programs find one of them."
        "Give one another label (keyferry rename).";
    LABEL_CASE "label-case" Info
        "Two labels differ in upper and lower case only: in JKS and PKCS#12 they would become one."
        "Give one another label (keyferry rename) before the store is converted.";
    SECRET_READABLE "secret-readable" Error
        "Other users of the machine can read a stash or a private key that no password protects."
        "chmod 600, or 640 with a group of those who need it; then change the password or the key, for it may be known.";
    STORE_READABLE "store-readable" Warning
        "Other users of the machine can read a store with private keys, and try passwords on it at leisure."
        "chmod 600, or 640 with a group of those who need it.";
    WRITABLE_BY_OTHERS "writable-by-others" Error
        "Other users of the machine can change the store or its stash, and so choose whom it trusts."
        "Take the right away with chmod go-w.";
    WRITABLE_BY_GROUP "writable-by-group" Warning
        "The group of the store, its stash or their folder can change or replace them, and so choose whom the store trusts."
        "chmod g-w, unless exactly that is meant.";
    FOLDER_WRITABLE "folder-writable" Error
        "Other users of the machine can put another file in the store's place, for they can write to its folder."
        "chmod o-w on the folder, or move the store.";
    OWNERS_DIFFER "owners-differ" Warning
        "The store, a file that belongs to it, or its folder belongs to another user (not root): that user can put something else in its place."
        "chown them to the user that the program runs as.";
    OWNER_NOT_USER "owner-not-user" Warning
        "The store lies below a folder of one user and belongs to another: programs of the user whose it seems to be may not be able to read it, and updates that run as that user can't replace it."
        "chown it to the user whose programs use it, or move it to where folders are root's.";
    ACCESS_LIST "access-list" Warning
        "An access control list lets users or groups read secrets, or change the store, whom the mode doesn't name."
        "Look at it with getfacl, and take off who needs no access with setfacl -x (setfacl -b: all).";
    READ_ONLY_MOUNT "read-only-mount" Info
        "The store lies on a file system that is mounted read-only here: nothing that runs here can bring in a new one."
        "Update the store where it is writable, on the host or in the image that it comes from.";
    MOUNTED_FILE "mounted-file" Warning
        "A file of the store is a mount point of its own, as when a container mounts one file: no rename can replace it here, and a new file that takes its place outside isn't seen here."
        "Mount the folder that it lies in.";
    STORE_IS_LINK "store-is-link" Info
        "The store's path is a symbolic link. Updates replace what it points to; tools that rename replace the link."
        "Name the file itself in configurations.";
    ERASED_KEY "erased-key" Warning
        "A private key that was deleted is still in the kdb, in a slot that counts no more. GSKit leaves such slots when a program ends without closing the store."
        "Write the store anew (keyferry convert STORE.kdb NEW.kdb), and destroy the old file.";
    OLD_GENERATIONS "old-generations" Info
        "Old generations of the store are beyond their time: more than two newer ones exist, and they are over seven days old. They hold the keys of their day."
        "keyferry prune deletes them.";
    KEY_IN_OLD_GENERATION "key-in-old-generation" Info
        "A private key that the store has no more is still in an old generation of it, which whoever believes it gone should know."
        "keyferry prune deletes old generations when their time is over; where the key must be gone now, destroy the file.";
    NOTE "note" Info
        "The reader of this format has something to say that fits no other code."
        "See the message.";
}

/// The rule called `code`.
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|r| r.code == code)
}
