//! What a format is, and the one table of them.

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::fact::Fact;
use crate::model::{Entry, ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// One store format. It states all facts about itself: help, detection, options, completions, the
/// tables of the documentation and the test cases are derived from [`FORMATS`].
pub trait Format: Sync {
    /// The name, as in `jks:PATH` and `--to jks`.
    fn name(&self) -> &'static str;

    /// Other names that mean the same in `NAME:PATH`.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// What it is, for people: "Java KeyStore".
    fn title(&self) -> &'static str;

    /// File name extensions that stand for it when an output is named, without the dot.
    fn suffixes(&self) -> &'static [&'static str];

    /// The extension that programs of this format put to a name themselves, so that people leave it out.
    fn implied_suffix(&self) -> Option<&'static str> {
        None
    }

    /// What it can hold.
    fn carries(&self) -> Carries;

    /// Options of its own, for the command line.
    fn options(&self) -> &'static [Opt] {
        &[]
    }

    /// Whether facts (`Attr`) that `format` put on an entry find a place in this one.
    fn keeps(&self, format: &str) -> bool {
        self.name() == format
    }

    /// Whether it can mark one key as the default.
    fn marks_default(&self) -> bool {
        false
    }

    /// Whether labels come back in lower case.
    fn folds_labels(&self) -> bool {
        false
    }

    /// Whether an entry may go without the label that others get, where it is in such a store already.
    fn holds_unnamed(&self) -> bool {
        false
    }

    /// Whether each key may have a password of its own, unlike the store's.
    fn own_key_passwords(&self) -> bool {
        false
    }

    /// Why an entry of a kind that [`Format::carries`] names can't be held after all (an unknown curve, an
    /// object of another format); `None` where it can. Its key is open.
    fn cannot_hold(&self, entry: &Entry) -> Option<String> {
        let _ = entry;
        None
    }

    /// Takes down what an entry says of trust where its source could say no less: in a format that means it for
    /// anchors, a leaf that some other format merely trusts must not become one.
    fn fit_trust(&self, entry: &mut Entry) {
        let _ = entry;
    }

    /// Notes on an entry of a store that is edited what its source leaves unsaid, where the writer would say it of
    /// an entry that comes from elsewhere.
    fn keep_unsaid(&self, entry: &mut Entry) {
        let _ = entry;
    }

    /// A private key's PKCS#8 as it comes back, where the format keeps a key's numbers and not the bytes
    /// around them; `None` where bytes come back as they went in.
    fn canonical_key(&self, pkcs8: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let _ = pkcs8;
        None
    }

    /// How an existing store of this format is changed, if it must not be exchanged.
    fn in_place(&self) -> Option<&dyn InPlace> {
        None
    }

    /// The files of a store that is a folder; none for stores that are files. A folder can't go to standard
    /// output.
    fn folder_files(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it holds each certificate once and as an entry of its own, the signers of a key's chain too,
    /// and makes chains from them. Then `jobs::prepare` hands a store over in that shape.
    fn flat(&self) -> bool {
        false
    }

    /// Kinds of entry that stand in a file beside the store, and so can't go to standard output.
    fn beside(&self) -> &'static [ItemKind] {
        &[]
    }

    /// Suffixes of the files that belong to a store beside it, and open only with it.
    fn companions(&self) -> &'static [&'static str] {
        &[]
    }

    /// The file beside a store that holds its password for programs, if the format has such files. It is
    /// the caller who looks there: formats get passwords from `Ctx` alone.
    fn password_file(&self, _store: &Path) -> Option<PathBuf> {
        None
    }

    /// Where programs look for the password if they do so at all. Unlike [`Format::password_file`] it is no part of
    /// the store, and it may hold the password of another one of that name.
    fn stash_file(&self, store: &Path) -> Option<PathBuf> {
        self.password_file(store)
    }

    /// Whether these bytes are of this format. Content decides, never the name.
    fn detect(&self, probe: &Probe<'_>) -> Match;

    /// Reads a whole store. Keys stay sealed where that saves work. Entries that can't be read while
    /// others can go into `Store::defects`.
    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store>;

    /// What is remarkable about a store that was read from `from`. What can't be found out is left out.
    fn examine(&self, from: &Source, store: &Store, ctx: &Ctx<'_>) -> Vec<Fact> {
        let _ = (from, store, ctx);
        Vec::new()
    }

    /// What was deleted and still stands in the file, for who looks for keys that people believe gone. Not
    /// part of the store.
    fn erased(&self, from: &Source) -> Result<Vec<Entry>> {
        let _ = from;
        Ok(Vec::new())
    }

    /// Writes `store` into `to` and returns what it could not express.
    ///
    /// The store was prepared by `jobs::prepare`: it holds only kinds of entry that [`Format::carries`]
    /// names; labels obey `Carries::labels`; every secret is open, or sealed by this very format under
    /// the password that `ctx` has (then the writer copies `Seal::raw`). `base` is the store that is
    /// being rewritten, if it is of this format.
    fn write(
        &self,
        store: &Store,
        base: Option<&Source>,
        to: &mut Staging,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>>;
}

/// Changes an existing store where it is, for stores that are folders and that other programs have open.
pub trait InPlace {
    /// Takes back what an interrupted change of anybody's has left half done. For jobs that write anyway.
    fn recover(&self, store: &Path) -> Result<()>;

    /// Makes the store at `store` hold `wanted`, prepared as for [`Format::write`], in one transaction: what
    /// it holds besides and this program doesn't understand stays. It reads back before it commits. After an
    /// error the store is as it was. Returns what the store can't say.
    ///
    /// `before` is called when there is something to change, before it is; where it fails, nothing is
    /// changed. Without it nothing is changed at all.
    fn apply(
        &self,
        store: &Path,
        wanted: &Store,
        before: Option<&dyn Fn() -> Result<()>>,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>>;

    /// Puts all that the store's password protects under another one, in one transaction, as `apply` does it.
    /// `ctx` has the old password, `to` the new one.
    fn change_password(
        &self,
        store: &Path,
        before: Option<&dyn Fn() -> Result<()>>,
        ctx: &Ctx<'_>,
        to: &Ctx<'_>,
    ) -> Result<Vec<Loss>>;

    /// Copies the store into the empty folder `to`, as one state of it.
    fn copy(&self, store: &Path, to: &Path) -> Result<()>;

    /// Makes the store hold what `copy` holds, in one transaction. `before` is called with the state (see
    /// [`InPlace::state`]) that the store will have then.
    fn restore(&self, store: &Path, copy: &Path, before: &dyn Fn(&str) -> Result<()>) -> Result<()>;

    /// Whether the store holds the same as `copy`.
    fn is_same(&self, store: &Path, copy: &Path) -> Result<bool>;

    /// A text that is another after each change of the store by anybody.
    fn state(&self, store: &Path) -> Result<String>;

    /// The programs that have the store open, as far as that can be seen.
    fn users(&self, store: &Path) -> Vec<User>;
}

/// A running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub program: String,
    /// Its process id.
    pub pid: u32,
}

impl User {
    /// What to say when a store is changed that this program has open.
    pub fn warning(&self, store: &Path) -> String {
        let (store, User { program, pid }) = (store.display(), self);
        format!(
            "{store}: {program} (process {pid}) has it open; restart {program}, which may go on with what it has read"
        )
    }
}

/// How sure a format is that bytes are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// They are not.
    No,
    /// They may be (a bare DER SEQUENCE, text that has a PEM line somewhere).
    Maybe,
    /// They are: a magic number or an unmistakable structure.
    Yes,
}

/// What a format can hold, as a table row.
#[derive(Clone, Copy, Debug)]
pub struct Carries {
    /// The kinds of entry.
    pub items: &'static [ItemKind],
    /// Labels.
    pub labels: Labels,
    /// Whether more than one entry fits.
    pub many: bool,
    /// What it can say of trust.
    pub trust: TrustRange,
    /// What protects it.
    pub password: PasswordUse,
    /// Whether a new store can take the place of the current one by renaming.
    pub swap: bool,
}

/// How a format labels its entries.
#[derive(Clone, Copy, Debug)]
pub enum Labels {
    /// Not at all.
    None,
    /// It may; two may be equal.
    Optional,
    /// Every entry has one, and no two are equal after this function (`JKS` compares in lower case).
    Unique(fn(&str) -> Cow<'_, str>),
    /// Every certificate is there once and has one; two may be equal only if the subjects are (NSS).
    BySubject,
}

/// What a format can say of a certificate's trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustRange {
    /// Nothing; a certificate on its own is just there.
    None,
    /// Every certificate on its own is an anchor for everything (Java).
    AlwaysAnchor,
    /// Trusted or not, for everything.
    OneBit,
    /// A level for each purpose.
    PerPurpose,
}

/// How a format uses a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordUse {
    /// It has none.
    Never,
    /// Only around private keys, and then by choice.
    KeysByChoice,
    /// Needed as soon as the store holds a key; without keys it may be left off.
    WithKeys,
    /// Always.
    Always,
}

/// An option of one format, from which the command line's own is built.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// The long name, without dashes: `p12-profile`.
    pub name: &'static str,
    /// The allowed values with one line of help each; empty for a free value.
    pub values: &'static [(&'static str, &'static str)],
    /// What stands for the value in help texts.
    pub value_name: &'static str,
    /// The value when it isn't given, as help shows it.
    pub default: &'static str,
    /// One line of help.
    pub help: &'static str,
}

/// Every format, in the order of help texts and of detection among equals.
pub const FORMATS: &[&dyn Format] = &[
    &crate::kdb::Kdb,
    &crate::jks::Jks,
    &crate::jks::Jceks,
    &crate::p12::P12,
    &crate::pem::Pem,
    &crate::der::DerFile,
    &crate::p7b::P7b,
    &crate::nss::Nss,
];

/// The format called `name`.
pub fn by_name(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|f| f.name() == name || f.aliases().contains(&name))
}

/// What Java's `String.toLowerCase(Locale.ENGLISH)` makes of a label: every character by Unicode's full
/// mapping, whatever the language (`İ` becomes `i` and a combining dot).
pub fn lower_case(label: &str) -> Cow<'_, str> {
    if label.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(label);
    }
    let lower = label.to_lowercase();
    if lower == label { Cow::Borrowed(label) } else { Cow::Owned(lower) }
}

/// The format that a file name's extension stands for, in any case of letters.
pub fn by_suffix(path: &Path) -> Option<&'static dyn Format> {
    let suffix = path.extension()?.to_str()?.to_ascii_lowercase();
    FORMATS.iter().copied().find(|f| f.suffixes().contains(&suffix.as_str()))
}

/// The names of all formats, for messages: `jks, jceks, p12, …`.
pub fn names() -> String {
    FORMATS.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ")
}

/// The format of what `probe` shows, by content alone. An error names a format that is known but not
/// supported, or says that none was recognised.
pub fn detect(probe: &Probe<'_>) -> Result<&'static dyn Format> {
    let best = FORMATS.iter().copied().map(|f| (f.detect(probe), f));
    // `max_by_key` would take the last among equals; the table's order counts, so the first.
    let best = best.fold(None, |best: Option<(Match, &'static dyn Format)>, (m, f)| match best {
        Some((b, _)) if b >= m => best,
        _ if m == Match::No => best,
        _ => Some((m, f)),
    });
    match best {
        Some((Match::Yes, f)) => Ok(f),
        best => match (crate::foreign::name(probe), best) {
            (Some(what), _) => Err(Error::unsupported(format!("this is a {what}, which can't be read"))
                .hint("convert it with its own tool to PKCS#12 or PEM first")),
            (None, Some((_, f))) => Ok(f),
            (None, None) => Err(Error::malformed(if probe.head.is_empty() && !probe.directory {
                "the file is empty"
            } else {
                "not a keystore of any known format"
            })
            .hint(format!("known formats: {}; FORMAT:PATH forces one", names()))),
        },
    }
}
