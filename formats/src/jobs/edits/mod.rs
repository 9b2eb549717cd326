//! The changes that people make to a store: functions on what was read, which [`super::edit`] then writes.

mod add;
mod create;
mod extract;
mod remove;
mod rename;
mod template;
mod trust;

pub(super) use add::Names;
pub use add::{Added, Adding, Incoming, add, incoming};
pub use create::{Create, create};
pub use extract::{Extract, Part, extract};
pub use remove::{Taking, Which, plan, remove};
pub use rename::rename;
pub use template::Template;
pub use trust::{Wanted, set_default, set_trust};

use super::labels::shown;
use crate::asn1::{cert_fields, request_fields};
use crate::model::{Entry, Item};
use crate::query::dn;

/// An entry in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `key`, `cert` and so on.
    pub kind: &'static str,
    /// Its label, or what lists show where it has none.
    pub label: String,
    /// Its subject, RFC 4514; empty where it has none.
    pub subject: String,
}

impl Line {
    /// Of an entry.
    pub fn of(entry: &Entry) -> Self {
        let subject = match &entry.item {
            Item::Request { csr, .. } => request_fields(csr).map(|f| dn::rfc4514(f.subject)).ok(),
            _ => entry.certificate().and_then(|c| cert_fields(c).ok()).map(|f| dn::rfc4514(f.subject)),
        };
        Line {
            kind: entry.item.kind().name(),
            label: shown(entry).into_owned(),
            subject: subject.unwrap_or_default(),
        }
    }
}
