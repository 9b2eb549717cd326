//! What may not happen by itself: gates, which somebody opens by approving, and rules that nobody opens.

use super::compare::lone;
use super::wanted::{Wanted, is_ca};
use super::{Input, Named, Rebuild, StoreReport};
use crate::asn1::cert_fields;
use crate::bundle::{Distrusted, Manifest, Role};
use crate::jobs::Set;
use crate::jobs::list::sha256_hex;
use crate::model::{Der, Item, Store};
use crate::query::dn::{Pattern, rfc4514};
use std::collections::HashMap;
use std::fmt;

/// A bundle, and what is known of it.
pub struct Bundle<'a> {
    /// The certificates.
    pub input: Input<'a>,
    /// What its publisher says of it; checked by the caller.
    pub manifest: Option<&'a Manifest>,
    /// It may bring only subjects that match this (its text, and what it means): a partner's bundle, its own
    /// organisation.
    pub only_under: Option<(String, Pattern)>,
}

impl<'a> Bundle<'a> {
    /// A bundle without a manifest, that may bring anything.
    pub fn plain(input: Input<'a>) -> Self {
        Bundle { input, manifest: None, only_under: None }
    }
}

/// The highest serial of bundles that have one.
pub(super) fn serial(bundles: &[Bundle<'_>]) -> Option<u64> {
    bundles.iter().filter_map(|b| b.manifest).map(|m| m.serial).max()
}

/// What any of the bundles distrusts.
pub(super) fn distrust<'a>(bundles: &'a [Bundle<'_>]) -> impl Iterator<Item = &'a Distrusted> {
    bundles.iter().filter_map(|b| b.manifest).flat_map(|m| &m.distrust)
}

/// When an existing store is not replaced until somebody has looked. The default has no gates.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// More removals than this in one store.
    pub max_removed: Option<usize>,
    /// More removals than this share of a store's certificates, in percent.
    pub max_removed_percent: Option<usize>,
    /// Authorities that the store doesn't hold.
    pub new_cas: bool,
    /// Another key for a subject that the store knows.
    pub second_keys: bool,
    /// Subjects that no bundle may take away. Nobody approves that.
    pub never_drop: Vec<Pattern>,
    /// What somebody has looked at.
    pub approved: Approval,
}

/// What somebody has approved.
#[derive(Clone, Debug, Default)]
pub struct Approval {
    /// Any removal.
    pub removals: bool,
    /// Any new authority.
    pub cas: bool,
    /// Any second key.
    pub second_keys: bool,
    /// These certificates: SHA-256 of the DER, lower-case hex.
    pub certificates: Vec<String>,
}

/// Why a store is not replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What approves it; `None`: nothing does.
    pub approve: Option<String>,
    /// What stands in the way.
    pub detail: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// What stands in the way of replacing `current`, after `report` has come to know the changes.
pub(super) fn stops(job: &Rebuild<'_>, wanted: &Wanted, current: &Store, report: &StoreReport) -> Vec<Stop> {
    let gates = &job.gates;
    let mut stops = Vec::new();
    // Nobody has relied on a store that isn't there.
    if report.created {
        return stops;
    }
    stops.extend(report.removed.iter().filter(|n| never_goes(job, wanted, &n.certificate)).map(|n| Stop {
        approve: None,
        detail: format!("would drop {}, which is never to be dropped", n.subject()),
    }));
    let distrusted = report.removed.iter().filter(|n| wanted.distrusts(&n.certificate)).count();
    let removed = report.removed.len() - distrusted;
    let before = report.removed.len() + report.kept.unwrap_or(0);
    let too_many = gates.max_removed.is_some_and(|most| removed > most);
    // One of five is a fifth, and no landslide.
    let too_large =
        gates.max_removed_percent.is_some_and(|most| removed > 1 && removed * 100 > before * most);
    if (too_many || too_large) && !gates.approved.removals {
        let detail = format!("would remove {removed} of {before} certificates");
        stops.push(Stop { approve: Some("removals".to_owned()), detail });
    }
    let known = known_keys(gates.second_keys, current);
    for new in &report.added {
        let sha256 = new.sha256();
        if gates.approved.certificates.contains(&sha256) || wanted.signs_a_key(current, &new.certificate) {
            continue;
        }
        if gates.new_cas && !gates.approved.cas && is_ca(&new.certificate) {
            stops.push(stop_for(&sha256, format!("would bring in the new CA {}", new.subject())));
        } else if gates.second_keys && !gates.approved.second_keys && has_other_key(&known, new) {
            stops.push(stop_for(&sha256, format!("would bring in another key for {}", new.subject())));
        }
    }
    stops
}

fn never_goes(job: &Rebuild<'_>, wanted: &Wanted, certificate: &Der) -> bool {
    matches_any(&job.gates.never_drop, certificate) && !wanted.distrusts(certificate)
}

fn stop_for(sha256: &str, detail: String) -> Stop {
    Stop { approve: Some(sha256.to_owned()), detail: format!("{detail} (SHA-256 {sha256})") }
}

fn matches_any(patterns: &[Pattern], certificate: &Der) -> bool {
    cert_fields(certificate).is_ok_and(|f| patterns.iter().any(|p| p.matches(f.subject)))
}

/// The public keys that a store has for each subject.
fn known_keys(wanted: bool, store: &Store) -> HashMap<&[u8], Set<&[u8]>> {
    let mut known: HashMap<&[u8], Set<&[u8]>> = HashMap::new();
    let certificates = store.entries.iter().filter(|_| wanted).filter_map(|e| e.certificate());
    for fields in certificates.filter_map(|c| cert_fields(c).ok()) {
        known.entry(fields.subject).or_default().insert(fields.spki);
    }
    known
}

fn has_other_key(known: &HashMap<&[u8], Set<&[u8]>>, new: &Named) -> bool {
    cert_fields(&new.certificate)
        .is_ok_and(|f| known.get(f.subject).is_some_and(|keys| !keys.contains(f.spki)))
}

impl Wanted {
    /// Whether one of the bundles says that this certificate must be nowhere.
    pub(super) fn distrusts(&self, certificate: &Der) -> bool {
        !self.distrusted.is_empty() && self.distrusted.contains(&sha256_hex(certificate))
    }

    /// This machine's own keys that the bundles distrust: nothing is to be done about that in silence.
    pub(super) fn distrusted_keys<'a>(&'a self, current: &'a Store) -> impl Iterator<Item = Stop> + 'a {
        self.all_keys(current).filter(|leaf| self.distrusts(leaf)).map(|leaf| Stop {
            approve: None,
            detail: format!(
                "the bundle distrusts the certificate of this store's own key, {}",
                subject(leaf)
            ),
        })
    }

    /// What to say where the bundle has another key for the owner of this store.
    pub(super) fn ahead(&self, current: &Store) -> Vec<String> {
        let own: Vec<_> = self.all_keys(current).filter_map(|l| cert_fields(l).ok()).collect();
        let mut said = Vec::new();
        for fields in self.public().filter_map(lone).filter_map(|c| cert_fields(c).ok()) {
            let mine = own.iter().any(|o| o.subject == fields.subject);
            if mine && !own.iter().any(|o| o.spki == fields.spki) {
                said.push(format!(
                    "the bundle is ahead of your key: it has {} with a key that this store doesn't hold",
                    rfc4514(fields.subject)
                ));
            }
        }
        said
    }
}

fn subject(certificate: &Der) -> String {
    cert_fields(certificate).map(|f| rfc4514(f.subject)).unwrap_or_default()
}

/// What a certificate is for where no manifest says it: a CA to end chains, anybody else to write to and to hear
/// from.
pub(crate) fn usual_roles(item: &Item) -> &'static [Role] {
    match item {
        Item::Cert(c) if is_ca(c) => &[Role::Ca],
        Item::Cert(_) => &[Role::Recipient, Role::Signer],
        _ => &Role::ALL,
    }
}
