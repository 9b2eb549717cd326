//! For what a certificate is relied upon, and which key is the default.

use crate::asn1::cert_fields;
use crate::error::{Error, Result};
use crate::format::{Format, TrustRange};
use crate::jobs::select::by_label;
use crate::model::{Attr, Entry, Item, Level, Store, Trust};
use crate::nss::{self, Words};

/// The trust that is wanted, all of it: what is not named is neither trusted nor distrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By purpose.
    Trust(Trust),
    /// In NSS's letters, which can say more in its own databases.
    Letters(Words),
}

impl Wanted {
    /// In the terms of the model.
    pub fn trust(&self) -> Trust {
        match self {
            Wanted::Trust(trust) => trust.clone(),
            Wanted::Letters(words) => words.trust(),
        }
    }
}

/// Sets the trust of one certificate; false: it has it.
///
/// `Kind::Unsupported` in a format that has no such setting. `Kind::Refused` for an anchor that may not issue
/// certificates, unless NSS's letters ask for it.
pub fn set_trust(store: &mut Store, format: &dyn Format, label: &str, wanted: &Wanted) -> Result<bool> {
    let no = |what: String| Err(Error::unsupported(what));
    match format.carries().trust {
        TrustRange::None => return no(format!("{} says nothing of trust", format.name())),
        TrustRange::AlwaysAnchor => {
            return no(format!(
                "in a {} every certificate on its own is trusted for everything, which can't be changed",
                format.name()
            ));
        }
        TrustRange::OneBit | TrustRange::PerPurpose => {}
    }
    let at = by_label(store, label, format)?;
    let Some(entry) = store.entries.get_mut(at) else { return Ok(false) };
    let Some(certificate) = entry.certificate() else {
        return Err(Error::refused("it is no certificate").in_entry(label));
    };
    if matches!(entry.item, Item::Key { .. }) && format.in_place().is_none() {
        return no(format!("{} has no trust for the certificate of a private key", format.name()));
    }
    let trust = wanted.trust();
    let is_ca = cert_fields(certificate).is_ok_and(|f| f.is_ca());
    if trust.levels.contains(&Level::Anchor)
        && !is_ca
        && format.carries().trust == TrustRange::PerPurpose
        && matches!(wanted, Wanted::Trust(_))
    {
        return Err(Error::refused("it is no CA: as an anchor it would vouch for others")
            .in_entry(label)
            .hint("--peer accepts it itself"));
    }
    let words = match wanted {
        Wanted::Letters(words) if format.in_place().is_some() => Some(*words),
        _ => None,
    };
    let same = |entry: &Entry| match words {
        Some(words) => {
            nss::words(entry) == words || (nss::words(entry).says_nothing() && words.says_nothing())
        }
        // A format that can say no "not trusted" has said nothing of it.
        None => entry.trust.clone().unwrap_or_default() == trust,
    };
    if same(entry) {
        return Ok(false);
    }
    nss::forget_words(entry);
    if let Some(words) = words {
        entry.attrs.push(Attr::new(nss::NAME, nss::WORDS, words.attr()));
    }
    entry.trust = Some(trust);
    Ok(true)
}

/// Makes one key the default; false: it is.
pub fn set_default(store: &mut Store, format: &dyn Format, label: &str) -> Result<bool> {
    if !format.marks_default() {
        return Err(Error::unsupported(format!("{} marks no key as the default", format.name())));
    }
    let at = by_label(store, label, format)?;
    if !store.entries.get(at).is_some_and(|e| matches!(e.item, Item::Key { .. })) {
        return Err(Error::refused(format!("\"{label}\" is no key with a certificate"))
            .hint("keyferry list --kind key shows the keys"));
    }
    let mut changed = false;
    for (place, entry) in store.entries.iter_mut().enumerate() {
        changed |= entry.default != (place == at);
        entry.default = place == at;
    }
    Ok(changed)
}
