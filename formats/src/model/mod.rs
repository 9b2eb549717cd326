//! The common model: what a store holds, whatever its format.
//!
//! It is small and knows no format. Certificates keep the DER bytes they came in; nothing is ever
//! re-encoded. Private keys may stay sealed (enciphered as they were found) until somebody needs them.
//! What one format knows and others don't travels as [`Attr`], so that a store rewritten in its own
//! format keeps what nobody touched.

mod der;
mod loss;
mod room;
mod secret;
mod trust;

pub use der::{Buffer, Der};
pub use loss::{Loss, LossKind};
pub(crate) use room::LARGE;
pub use room::Room;
pub use secret::{KeyMaterial, Password, Seal, Secret};
pub use trust::{Level, Purpose, Trust};

use crate::error::Error;
use std::borrow::Cow;
use std::sync::Arc;

/// Everything read from (or to be written to) one place, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// The entries, in file order.
    pub entries: Vec<Entry>,
    /// Facts about the store as a whole: version, expiry, profile.
    pub facts: Vec<Attr>,
    /// Objects that could not be read while the rest could. A conversion counts each as a loss.
    pub defects: Vec<Arc<Error>>,
    /// Things a person should know that lose nothing ("the last of two entries with one label wins").
    pub warnings: Vec<String>,
}

/// One entry: a certificate, a key with its chain, a request, a CRL, a secret key, or something else.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The label as stored, if the format has one and it was set.
    pub label: Option<Label>,
    /// What it is.
    pub item: Item,
    /// Trust per purpose; `None` where the source can't say.
    pub trust: Option<Trust>,
    /// The store's default key (kdb).
    pub default: bool,
    /// `Some(false)` when an integrity check exists but wasn't made (no password); `None` where the
    /// format has none (PEM, DER).
    pub authenticated: Option<bool>,
    /// Facts of one format about this entry.
    pub attrs: Vec<Attr>,
}

impl Entry {
    /// An entry of which nothing else is known.
    pub fn new(item: Item) -> Self {
        Entry { label: None, item, trust: None, default: false, authenticated: None, attrs: Vec::new() }
    }

    /// The same with a label.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<Label>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The DER object that stands for the entry: a certificate, a key's leaf, a CSR, a CRL.
    pub fn object(&self) -> Option<&Der> {
        match &self.item {
            Item::Cert(d) | Item::Crl(d) | Item::Other { body: d, .. } => Some(d),
            Item::Request { csr, .. } => Some(csr),
            Item::Key { chain, .. } => chain.first().map(|l| &l.cert),
            Item::Symmetric(_) => None,
        }
    }

    /// The certificate that stands for the entry: its own, or a key's leaf.
    pub fn certificate(&self) -> Option<&Der> {
        match &self.item {
            Item::Cert(_) | Item::Key { .. } => self.object(),
            _ => None,
        }
    }

    /// The private or secret key, if the entry has one.
    pub fn secret(&self) -> Option<&Arc<Secret>> {
        match &self.item {
            Item::Key { key, .. } | Item::Symmetric(key) => Some(key),
            Item::Request { key, .. } => key.as_ref(),
            _ => None,
        }
    }

    /// The label for people: lossy where it isn't UTF-8, empty where there is none.
    pub fn label_text(&self) -> Cow<'_, str> {
        self.label.as_ref().map_or(Cow::Borrowed(""), |l| l.text())
    }

    /// The value of one attribute.
    pub fn attr(&self, format: &str, id: &str) -> Option<&[u8]> {
        self.attrs.iter().find(|a| a.format == format && a.id == id).map(|a| &a.value[..])
    }
}

/// What an entry is.
#[derive(Clone, Debug)]
pub enum Item {
    /// A certificate on its own.
    Cert(Der),
    /// A certificate revocation list.
    Crl(Der),
    /// A private key with its chain, leaf first. An empty chain is a key without a certificate.
    Key {
        /// The private key; two certificates of one key are two entries that share it.
        key: Arc<Secret>,
        /// The chain, leaf first.
        chain: Vec<Link>,
    },
    /// A PKCS#10 request, with its key where the store keeps it.
    Request {
        /// The request.
        csr: Der,
        /// Its private key.
        key: Option<Arc<Secret>>,
    },
    /// A secret (symmetric) key.
    Symmetric(Arc<Secret>),
    /// Anything else that a format holds: `what` names it in that format's own words.
    Other {
        /// The format's own name for it.
        what: String,
        /// Its bytes.
        body: Der,
    },
}

impl Item {
    /// The word for JSON and `--kind`.
    pub fn kind(&self) -> ItemKind {
        match self {
            Item::Cert(_) => ItemKind::Cert,
            Item::Crl(_) => ItemKind::Crl,
            Item::Key { .. } => ItemKind::Key,
            Item::Request { .. } => ItemKind::Request,
            Item::Symmetric(_) => ItemKind::Secret,
            Item::Other { .. } => ItemKind::Other,
        }
    }
}

/// The kinds of entry, as scripts see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKind {
    /// A private key with its chain.
    Key,
    /// A certificate on its own.
    Cert,
    /// A certificate request.
    Request,
    /// A secret key.
    Secret,
    /// A revocation list.
    Crl,
    /// Anything else.
    Other,
}

impl ItemKind {
    /// Every kind.
    pub const ALL: &'static [ItemKind] =
        &[ItemKind::Key, ItemKind::Cert, ItemKind::Request, ItemKind::Secret, ItemKind::Crl, ItemKind::Other];

    /// The word for JSON and `--kind`.
    pub fn name(self) -> &'static str {
        match self {
            ItemKind::Key => "key",
            ItemKind::Cert => "cert",
            ItemKind::Request => "request",
            ItemKind::Secret => "secret",
            ItemKind::Crl => "crl",
            ItemKind::Other => "other",
        }
    }
}

/// One certificate of a key's chain, with what its format says about it.
#[derive(Clone, Debug)]
pub struct Link {
    /// The certificate.
    pub cert: Der,
    /// Its own label, where the format gives chain certificates one.
    pub label: Option<Label>,
    /// Facts of one format about it.
    pub attrs: Vec<Attr>,
}

impl From<Der> for Link {
    fn from(cert: Der) -> Self {
        Link { cert, label: None, attrs: Vec::new() }
    }
}

/// A label as stored: bytes, for some stores hold labels that are not UTF-8.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Box<[u8]>);

impl Label {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text, lossy.
    pub fn text(&self) -> Cow<'_, str> {
        // Twice as fast as the lossy way where nothing is lost.
        self.as_str().map_or_else(|| String::from_utf8_lossy(&self.0), Cow::Borrowed)
    }
}

impl std::fmt::Debug for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl From<&str> for Label {
    fn from(s: &str) -> Self {
        Label(s.as_bytes().into())
    }
}

impl From<String> for Label {
    fn from(s: String) -> Self {
        Label(s.into_bytes().into())
    }
}

impl From<&[u8]> for Label {
    fn from(s: &[u8]) -> Self {
        Label(s.into())
    }
}

const AS_WRITTEN: &str = "as written";

/// A fact that one format knows. Kept, written back into the same format, a loss elsewhere only where
/// the writer says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The format's name.
    pub format: &'static str,
    /// The fact's name: an OID, or a word that the format's page explains.
    pub id: Cow<'static, str>,
    /// Its value, in the format's own encoding.
    pub value: Box<[u8]>,
}

impl Attr {
    /// A fact.
    pub fn new(format: &'static str, id: impl Into<Cow<'static, str>>, value: impl Into<Box<[u8]>>) -> Self {
        Attr { format, id: id.into(), value: value.into() }
    }

    /// How the format itself had written what stands around an entry's object, from which all else was read. Its
    /// writer writes it so again as long as nobody changes it; it is no fact that another format could miss.
    pub fn as_written(format: &'static str, value: impl Into<Box<[u8]>>) -> Self {
        Attr::new(format, AS_WRITTEN, value)
    }

    /// Whether it is one of those.
    pub fn is_as_written(&self) -> bool {
        self.id == AS_WRITTEN
    }
}
