//! Labels where a certificate is one object, whatever entries name it, and two may share a label only if
//! they have the same subject: NSS's nicknames.

use super::labels::{Stays, made_from};
use crate::asn1::cert_fields;
use crate::crypto::public::{identity, spki_of_pkcs8};
use crate::model::{Entry, Item, Label, Link, Loss, LossKind, Secret};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Leaves one entry for each certificate, and gives every certificate a label that obeys the rule. Entries
/// without a certificate keep what they have, and so does what `stays` says was there before.
pub(super) fn fit(entries: &mut Vec<Entry>, stays: Stays<'_>, losses: &mut Vec<Loss>) {
    unite(entries, losses);
    pair(entries);
    let mut names = Names::default();
    let mut unnamed: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let stays: Vec<bool> = entries.iter().map(stays).collect();
    for (entry, _) in entries.iter().zip(&stays).filter(|(_, stays)| **stays) {
        if let (Some(label), Some(subject)) = (&entry.label, subject(entry)) {
            names.note(label, &subject);
        }
    }
    for ((at, entry), _) in entries.iter_mut().enumerate().zip(stays).filter(|(_, stays)| !stays) {
        let is_crl = matches!(entry.item, Item::Crl(_));
        if let Some(label) = entry.label.take_if(|_| is_crl) {
            losses.push(Loss::new(LossKind::Note, label.text(), "a revocation list has no label there"));
        }
        let Some(subject) = subject(entry) else { continue };
        match entry.label.as_ref().filter(|l| !l.bytes().is_empty()) {
            None => unnamed.entry(made_from(entry)).or_default().push(at),
            Some(label) => {
                let fitting = names.take(label, &subject);
                if fitting != *label {
                    let detail = format!(
                        "a certificate of another subject has this label; this one becomes \"{}\"",
                        fitting.text()
                    );
                    losses.push(Loss::new(LossKind::Label, label.text(), detail));
                    entry.label = Some(fitting);
                }
            }
        }
    }
    for (name, mut of) in unnamed {
        // Only where several want one name does their order matter.
        if of.len() > 1 {
            of.sort_by_cached_key(|at| {
                entries.get(*at).and_then(Entry::certificate).map(|c| Sha256::digest(c).to_vec())
            });
        }
        for at in of {
            let Some(entry) = entries.get_mut(at) else { continue };
            let Some(subject) = subject(entry) else { continue };
            entry.label = Some(match names.of_subject.get(&subject) {
                Some(known) => known.clone(),
                None => names.take(&Label::from(&*name), &subject),
            });
        }
    }
}

/// Labels given so far.
#[derive(Default)]
struct Names {
    owner: HashMap<Label, Vec<u8>>,
    of_subject: HashMap<Vec<u8>, Label>,
    /// Where the search for a free number goes on.
    next: HashMap<Label, usize>,
}

impl Names {
    /// `label` for a certificate of `subject`, or the first of `label #2`, `label #3` … that is free.
    fn take(&mut self, label: &Label, subject: &[u8]) -> Label {
        let fits = |owner: Option<&Vec<u8>>| owner.is_none_or(|o| o == subject);
        let mut found = label.clone();
        if !fits(self.owner.get(label)) {
            let mut n = self.next.get(label).copied().unwrap_or(2);
            loop {
                found = Label::from(&[label.bytes(), format!(" #{n}").as_bytes()].concat()[..]);
                if fits(self.owner.get(&found)) {
                    break;
                }
                n += 1;
            }
            self.next.insert(label.clone(), n);
        }
        self.note(&found, subject);
        found
    }

    fn note(&mut self, label: &Label, subject: &[u8]) {
        self.owner.entry(label.clone()).or_insert_with(|| subject.to_vec());
        self.of_subject.entry(subject.to_vec()).or_insert_with(|| label.clone());
    }
}

/// Drops entries that repeat a certificate. A key's entry outlives one of its certificate alone.
fn unite(entries: &mut Vec<Entry>, losses: &mut Vec<Loss>) {
    let mut first: HashMap<&[u8], usize> = HashMap::with_capacity(entries.len());
    let is_key = |e: &Entry| matches!(e.item, Item::Key { .. });
    let mut gone = Vec::new();
    for (keys, (at, entry)) in
        [true, false].into_iter().flat_map(|keys| entries.iter().enumerate().map(move |e| (keys, e)))
    {
        if keys == is_key(entry)
            && let Some(certificate) = entry.certificate()
            && let Some(first) = first.get(&**certificate).copied().or_else(|| {
                first.insert(certificate, at);
                None
            })
        {
            gone.push((at, first));
        }
    }
    if gone.is_empty() {
        return;
    }
    let mut keep = vec![true; entries.len()];
    for (at, first) in gone {
        let (Some(entry), Some(stays)) = (entries.get(at), entries.get(first)) else { continue };
        losses.extend(lost(entry, stays));
        let trust = entry.trust.clone();
        if let Some(k) = keep.get_mut(at) {
            *k = false;
        }
        if let Some(stays) = entries.get_mut(first).filter(|s| s.trust.is_none()) {
            stays.trust = trust;
        }
    }
    let mut keep = keep.into_iter();
    entries.retain(|_| keep.next().unwrap_or(true));
}

/// Certificates on their own whose key is here: they belong to it, for keys are found by their public half.
/// A renewal with the same key is the usual case.
fn pair(entries: &mut Vec<Entry>) {
    let mut keys: HashMap<Vec<u8>, (Arc<Secret>, Option<usize>)> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let Item::Key { key, chain } = &entry.item else { continue };
        let public = match entry.certificate().and_then(|c| cert_fields(c).ok()) {
            Some(fields) => Some(identity(fields.spki)),
            None => key.opened().and_then(|k| spki_of_pkcs8(&k.bytes).ok()?).map(|s| identity(&s)),
        };
        if let Some(public) = public {
            let orphan = chain.is_empty().then_some(at);
            keys.entry(public).or_insert_with(|| (Arc::clone(key), orphan));
        }
    }
    if keys.is_empty() {
        return;
    }
    let mut adopted: HashSet<usize> = HashSet::new();
    for entry in entries.iter_mut() {
        let Item::Cert(certificate) = &entry.item else { continue };
        let Ok(fields) = cert_fields(certificate) else { continue };
        if let Some((key, orphan)) = keys.get(&identity(fields.spki)) {
            entry.item = Item::Key { key: Arc::clone(key), chain: vec![Link::from(certificate.clone())] };
            adopted.extend(*orphan);
        }
    }
    let mut at = 0;
    entries.retain(|_| {
        at += 1;
        !adopted.contains(&(at - 1))
    });
}

/// What goes with an entry whose certificate another one has.
fn lost(entry: &Entry, stays: &Entry) -> Vec<Loss> {
    let mut out = Vec::new();
    if entry.label.is_some() && entry.label != stays.label {
        let detail = format!("the same certificate is kept once, as \"{}\"", stays.label_text());
        out.push(Loss::new(LossKind::Label, entry.label_text(), detail));
    }
    if entry.trust.is_some() && stays.trust.is_some() && entry.trust != stays.trust {
        let detail = "the same certificate is there twice with different trust; the first counts";
        out.push(Loss::new(LossKind::Trust, entry.label_text(), detail));
    }
    out
}

fn subject(entry: &Entry) -> Option<Vec<u8>> {
    let fields = cert_fields(entry.certificate()?).ok()?;
    Some(fields.subject.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::{oid, oid_tlv, tlv, tlv_of};
    use crate::model::Der;

    /// As much of a certificate as names and pairing need.
    fn certificate(cn: &str, serial: u8) -> Der {
        let value = tlv(0x0c, cn.as_bytes());
        let name = tlv(0x30, &tlv(0x31, &tlv_of(0x30, &[&oid_tlv(oid::CN), &value])));
        let (empty, serial) = (tlv(0x30, &[]), tlv(0x02, &[serial]));
        let validity = tlv_of(0x30, &[&tlv(0x17, b"260101000000Z"), &tlv(0x17, b"270101000000Z")]);
        let tbs = tlv_of(0x30, &[&serial, &empty, &name, &validity, &name, &empty]);
        Der::new(tlv(0x30, &tbs))
    }

    #[test]
    fn one_label_is_for_one_subject() {
        let cert = |cn: &str, serial, label: &str| {
            let entry = Entry::new(Item::Cert(certificate(cn, serial)));
            if label.is_empty() { entry } else { entry.with_label(label) }
        };
        let mut entries = vec![
            cert("a", 1, "x"),
            cert("a", 2, "x"),
            cert("b", 3, "x"),
            cert("a", 1, "y"),
            cert("c", 4, ""),
            cert("c", 5, ""),
            cert("a", 6, ""),
            cert("x", 7, ""),
        ];
        let mut losses = Vec::new();
        fit(&mut entries, &|_| false, &mut losses);
        let got: Vec<_> = entries.iter().map(|e| e.label_text().into_owned()).collect();
        assert_eq!(got, ["x", "x", "x #2", "c", "c", "x", "x #3"]);
        let lost: Vec<_> = losses.iter().map(|l| l.label.as_deref().unwrap_or_default()).collect();
        assert_eq!(lost, ["y", "x"]);
    }
}
