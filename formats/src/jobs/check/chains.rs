//! Chains: does each key's certificate lead to a trusted one in the same store.

use super::rules::{CHAIN_BROKEN, CHAIN_INCOMPLETE, CHAIN_UNCHECKED, ROOT_NOT_TRUSTED};
use super::{Check, Findings, Held, Subject};
use crate::crypto::path::{self, Verdict};
use crate::jobs::{Map, Set};
use crate::query::dn;
use std::cell::OnceCell;

pub(super) const CHAINS: Check =
    Check { rules: &[&CHAIN_BROKEN, &CHAIN_INCOMPLETE, &CHAIN_UNCHECKED, &ROOT_NOT_TRUSTED], run };

fn run(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    if !subject.certificates.iter().any(|c| c.leaf) {
        return;
    }
    let mut issuers = Issuers { by_subject: Map::default(), folded: OnceCell::new() };
    for held in &subject.certificates {
        issuers.by_subject.entry(held.fields.subject).or_default().push(held);
    }
    for leaf in subject.certificates.iter().filter(|c| c.leaf) {
        look(subject, leaf, &issuers, findings);
    }
}

/// Every certificate, by the name under which it issues.
struct Issuers<'a, 'b> {
    by_subject: Map<&'a [u8], Vec<&'b Held<'a>>>,
    /// The names without case and spelling, when somebody is missing.
    folded: OnceCell<Set<String>>,
}

impl Issuers<'_, '_> {
    /// Whether somebody has this name in whatever spelling.
    fn has_alike(&self, name: &str) -> bool {
        let fold = |name: &[u8]| dn::fold(&dn::rfc4514(name)).into_owned();
        let all = self.folded.get_or_init(|| self.by_subject.keys().map(|name| fold(name)).collect());
        all.contains(&*dn::fold(name))
    }
}

fn look(subject: &Subject<'_>, leaf: &Held<'_>, known: &Issuers<'_, '_>, findings: &mut Findings<'_>) {
    let mut say = |rule, text: String| findings.certificate(rule, &leaf.label, leaf.der, text);
    if leaf.is_self_issued() {
        // A self-signed certificate is its own chain. One that only has its issuer's name is not.
        match path::is_self_signed(leaf.der) {
            Some(true) => return,
            None => {
                return say(
                    &CHAIN_UNCHECKED,
                    "it is signed with an algorithm that isn't checked here".to_owned(),
                );
            }
            Some(false) => {}
        }
    }
    let above = above(leaf, known);
    let ders = |wanted: &dyn Fn(&Held<'_>) -> bool| -> Vec<&[u8]> {
        above.held.iter().filter(|h| wanted(h)).map(|h| &h.der[..]).collect()
    };
    let others = ders(&|h| !h.is_self_issued());
    let verdict = path::verify(leaf.der, &ders(&|h| h.anchor), &others, subject.now);
    match verdict {
        Verdict::Complete => {}
        Verdict::Broken(why) => say(&CHAIN_BROKEN, why),
        Verdict::Unknown(why) => say(&CHAIN_UNCHECKED, why),
        Verdict::NoIssuer => {
            let roots = ders(&|h| h.is_self_issued());
            match path::verify(leaf.der, &roots, &others, subject.now) {
                Verdict::Complete => {
                    let root = above.held.iter().find(|h| h.is_self_issued());
                    let name = root.map(|r| dn::rfc4514(r.fields.subject)).unwrap_or_default();
                    say(&ROOT_NOT_TRUSTED, format!("the root {name} is in the store, but not trusted by it"));
                }
                Verdict::Broken(why) => say(&CHAIN_BROKEN, why),
                Verdict::Unknown(why) => say(&CHAIN_UNCHECKED, why),
                Verdict::NoIssuer => say(&CHAIN_INCOMPLETE, format!("{} is not in the store", above.missing)),
            }
        }
    }
}

/// What stands above a certificate, by names.
struct Above<'a, 'b> {
    held: Vec<&'b Held<'a>>,
    /// The first issuer that isn't there.
    missing: String,
}

/// A chain is never longer than this; a loop of cross-certificates is.
const MOST: usize = 64;

/// Every certificate that may be in a path from `leaf`, each once.
fn above<'a, 'b>(leaf: &Held<'_>, known: &Issuers<'a, 'b>) -> Above<'a, 'b> {
    let mut out = Above { held: Vec::new(), missing: String::new() };
    let mut names: Vec<&[u8]> = vec![leaf.fields.issuer];
    let mut at = 0;
    while let Some(name) = names.get(at).copied() {
        at += 1;
        let issuers = known.by_subject.get(name).map(Vec::as_slice).unwrap_or_default();
        let fits = |i: &&&Held<'_>| i.der != leaf.der && (issuers.len() <= MOST || names_key(leaf, i));
        let issuers: Vec<_> = issuers.iter().filter(fits).take(MOST).collect();
        if issuers.is_empty() && out.missing.is_empty() {
            out.missing = missing(name, known);
        }
        for issuer in issuers {
            out.held.push(issuer);
            let next = issuer.fields.issuer;
            if names.len() < MOST && !names.contains(&next) {
                names.push(next);
            }
        }
    }
    out
}

/// Whether an issuer has the key that a certificate names, where both say so. Of thousands of one name it is
/// among these.
fn names_key(certificate: &Held<'_>, issuer: &Held<'_>) -> bool {
    let ids = (certificate.fields.authority_key_id(), issuer.fields.subject_key_id());
    !matches!(ids, (Some(wanted), Some(own)) if wanted != own)
}

/// The name of who is missing; and whether somebody has the same name in another spelling.
fn missing(name: &[u8], known: &Issuers<'_, '_>) -> String {
    let text = dn::rfc4514(name);
    if known.has_alike(&text) {
        format!("{text}, in the very encoding that the issuer's name has,")
    } else {
        text
    }
}
