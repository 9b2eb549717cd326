//! What a target can't hold: listed, never dropped in silence.

use std::fmt;

/// The kinds of loss, as `--allow-loss=KIND` names them, and of note (nothing anybody relies on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossKind {
    /// A private key can't be carried (not held by the target, or its password wasn't given).
    Key,
    /// A secret key can't be carried.
    Secret,
    /// A certificate can't be carried.
    Cert,
    /// A request can't be carried.
    Request,
    /// A CRL can't be carried.
    Crl,
    /// Something else that the source holds can't be carried.
    Other,
    /// An object of the source could not be read.
    Unreadable,
    /// A trust setting can't be expressed and becomes weaker.
    Trust,
    /// A certificate would be trusted for more than its source says.
    TrustRaised,
    /// A label can't be kept, or two would become one.
    Label,
    /// The mark of the default key can't be kept.
    Default,
    /// A chain's certificates can't be kept with their key.
    Chain,
    /// A fact of the source's format that somebody may rely on.
    Attribute,
    /// A note: cosmetic, such as a creation date or the case of a label.
    Note,
}

impl LossKind {
    /// Every kind that is a loss; `Note` is none.
    pub const ALL: &'static [LossKind] = &[
        LossKind::Key,
        LossKind::Secret,
        LossKind::Cert,
        LossKind::Request,
        LossKind::Crl,
        LossKind::Other,
        LossKind::Unreadable,
        LossKind::Trust,
        LossKind::TrustRaised,
        LossKind::Label,
        LossKind::Default,
        LossKind::Chain,
        LossKind::Attribute,
    ];

    /// The word for `--allow-loss` and JSON.
    pub fn name(self) -> &'static str {
        match self {
            LossKind::Key => "key",
            LossKind::Secret => "secret",
            LossKind::Cert => "cert",
            LossKind::Request => "request",
            LossKind::Crl => "crl",
            LossKind::Other => "other",
            LossKind::Unreadable => "unreadable",
            LossKind::Trust => "trust",
            LossKind::TrustRaised => "trust-raised",
            LossKind::Label => "label",
            LossKind::Default => "default",
            LossKind::Chain => "chain",
            LossKind::Attribute => "attribute",
            LossKind::Note => "note",
        }
    }
}

/// One thing that the target can't hold as the source does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What kind.
    pub kind: LossKind,
    /// The entry, where it is one entry's.
    pub label: Option<String>,
    /// One line for people: what, and why.
    pub detail: String,
}

impl Loss {
    /// A loss of one entry (an empty label counts as none).
    pub fn new(kind: LossKind, label: impl Into<String>, detail: impl Into<String>) -> Self {
        let label = label.into();
        Loss { kind, label: (!label.is_empty()).then_some(label), detail: detail.into() }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::error::Printable;
        write!(f, "{}: ", self.kind.name())?;
        if let Some(label) = &self.label {
            write!(f, "\"{}\": ", Printable(label))?;
        }
        write!(f, "{}", Printable(&self.detail))
    }
}
