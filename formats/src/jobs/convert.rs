//! One store into another format.

use super::Input;
use super::deliver::{Converted, Target};
use super::labels::shown;
use super::prepare::Kept;
use crate::error::{Error, Result};
use crate::format::Labels;
use crate::model::{Entry, Item, Label, Store};

/// What to convert and how.
pub struct Convert<'a> {
    /// The source.
    pub from: Input<'a>,
    /// The destination.
    pub to: Target<'a>,
    /// Only entries with these labels; empty: all. A label that isn't there is an error.
    pub labels: Vec<String>,
    /// Leave keys, requests and secret keys out on purpose: the chain of a key becomes certificates, its
    /// issuers without trust.
    pub certs_only: bool,
    /// The label that the one key gets.
    pub key_label: Option<String>,
}

/// Converts: reads, prepares, stages, reads back, compares, moves into place.
pub fn convert(job: &Convert<'_>) -> Result<Converted> {
    let mut loaded = super::load(&job.from)?;
    loaded.store = select(loaded.store, job)?;
    job.to.deliver(loaded, &job.from)
}

/// The entries that were asked for.
fn select(mut store: Store, job: &Convert<'_>) -> Result<Store> {
    if !job.labels.is_empty() {
        for label in &job.labels {
            if !store.entries.iter().any(|e| shown(e) == label.as_str()) {
                return Err(Error::refused(format!("no entry has the label \"{label}\""))
                    .hint("keyferry list shows the labels")
                    .in_file(job.from.source.path()));
            }
        }
        store.entries.retain(|e| job.labels.iter().any(|l| shown(e) == l.as_str()));
        // What can't be read wasn't asked for, unless its label was.
        store.defects.retain(|d| d.place().label.as_ref().is_some_and(|l| job.labels.contains(l)));
    }
    if job.certs_only {
        let mut public = Kept::new(job.to.format, store.entries.len());
        for entry in store.entries {
            match entry.item {
                Item::Cert(_) | Item::Crl(_) => public.entries.push(entry),
                // What isn't known may be a secret.
                _ => public.certificates_of(entry),
            }
        }
        store.entries = public.into_entries();
    }
    if let Some(label) = &job.key_label {
        relabel(&mut store, label, job.to.format.carries().labels)
            .map_err(|e| e.in_file(job.from.source.path()))?;
    }
    Ok(store)
}

/// Gives the one key its label.
fn relabel(store: &mut Store, label: &str, labels: Labels) -> Result<()> {
    let folded = |text: &str| match labels {
        Labels::Unique(fold) => fold(text).into_owned(),
        _ => text.to_owned(),
    };
    let is_key = |e: &Entry| matches!(e.item, Item::Key { .. });
    if store.entries.iter().any(|e| !is_key(e) && folded(&e.label_text()) == folded(label)) {
        return Err(Error::refused(format!("an entry that is no key has the label \"{label}\" already")));
    }
    let mut keys = store.entries.iter_mut().filter(|e| is_key(e));
    match (keys.next(), keys.next()) {
        (Some(key), None) => {
            key.label = Some(Label::from(label.to_owned()));
            Ok(())
        }
        (None, _) => Err(Error::refused(format!("there is no key to be labelled \"{label}\""))),
        (Some(_), Some(_)) => {
            let many = keys.count() + 2;
            Err(Error::refused(format!("one of {many} keys can be labelled \"{label}\", not all of them"))
                .hint("choose it with --label; keyferry list --kind key shows them"))
        }
    }
}
