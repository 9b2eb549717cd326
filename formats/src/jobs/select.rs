//! Entries as people name them: by label, or by a certificate's fingerprint where labels repeat.

use super::list::sha256_hex;
use crate::error::{Error, Result};
use crate::format::{Format, Labels};
use crate::model::{Entry, Store};
use std::borrow::Cow;

/// The place of the one entry that `name` means: a label, as the format compares them, or `sha256:HEX` of a
/// certificate. `Kind::Refused` where there is none, or more than one.
pub fn by_label(store: &Store, name: &str, format: &dyn Format) -> Result<usize> {
    let found = all_by_label(store, name, format);
    match found[..] {
        [one] => Ok(one),
        [] => Err(Error::refused(format!("no entry has the label \"{name}\""))
            .hint("keyferry list shows the labels")),
        _ => Err(Error::refused(format!("{} entries have the label \"{name}\"", found.len()))
            .hint("say which one with sha256:HEX, as keyferry list --json shows it")),
    }
}

/// Every entry that `name` means: first the very label, else what lists and reports call an entry without one, else as
/// the format compares labels.
pub fn all_by_label(store: &Store, name: &str, format: &dyn Format) -> Vec<usize> {
    let places = |is: &dyn Fn(&Entry) -> bool| -> Vec<usize> {
        store.entries.iter().enumerate().filter(|(_, e)| is(e)).map(|(at, _)| at).collect()
    };
    if let Some(hash) = name.strip_prefix("sha256:") {
        let found = places(&|e| e.object().is_some_and(|o| sha256_hex(o).eq_ignore_ascii_case(hash)));
        if !found.is_empty() {
            return found;
        }
    }
    let exact = places(&|e| e.label.as_ref().is_some_and(|l| l.text() == name));
    if !exact.is_empty() {
        return exact;
    }
    let unnamed = places(&|e| e.label_text().is_empty() && super::labels::shown(e) == name);
    if !unnamed.is_empty() {
        return unnamed;
    }
    let wanted = folded(name, format);
    places(&|e| e.label.as_ref().is_some_and(|l| folded(&l.text(), format) == wanted))
}

/// A label as the format compares it.
pub fn folded<'a>(label: &'a str, format: &dyn Format) -> Cow<'a, str> {
    match format.carries().labels {
        Labels::Unique(fold) => fold(label),
        _ => Cow::Borrowed(label),
    }
}
