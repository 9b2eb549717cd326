//! The doctor: what is wrong with a store, or soon will be.
//!
//! Each check is one function in a table; it looks at a store that was read and says what it finds by a rule of
//! [`rules`]. What only a format knows comes from `Format::examine` and from each key's `Seal`.

mod access;
mod certificates;
mod chains;
mod container;
mod files;
mod generations;
mod keys;
mod labels;
mod mounts;
mod revocation;
pub mod rules;

use super::list::{Row, row, sha256_hex};
use super::revocation::Status;
use super::{Input, Loaded, load};
use crate::asn1::{CertFields, cert_fields, oid};
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::fact::Fact;
use crate::model::{Der, Entry, Item, Level};
use crate::place::path_hex;
use crate::query::{dn, time};
use crate::storeset;
use rules::{Rule, Severity};
use serde::Serialize;
use std::path::Path;

/// One thing that was found, in the shape of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The store as the caller named it.
    pub store: String,
    /// The bytes of its path in hex, where that isn't UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_hex: Option<String>,
    /// Its format, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'static str>,
    /// The rule's name.
    pub code: &'static str,
    /// `error`, `warning` or `info`.
    #[serde(serialize_with = "word")]
    pub severity: Severity,
    /// The entry's label, or its certificate's subject where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The certificate's fingerprint, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What was found. Text from the file is not made printable yet.
    pub message: String,
    /// What to do.
    pub advice: &'static str,
}

fn word<S: serde::Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(severity.name())
}

/// Says whether a certificate is revoked, given it and its issuer; `None`: it was not asked.
pub type AskRevoked<'a> = dyn Fn(&[u8], &[u8]) -> Option<Status> + Sync + 'a;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What ends within so many seconds is said.
    pub within: i64,
    /// Old generations count as left over from this age (milliseconds) on.
    pub retention_ms: i64,
    /// And when so many newer ones exist.
    pub keep: usize,
    /// Asked of every certificate whose issuer is in the store, after the lists that the store has.
    pub revoked: Option<&'a AskRevoked<'a>>,
    /// Old generations are looked into like the stores of today; otherwise, as long as there is a newer one, only
    /// what counts of them is asked: do they open, who can read them, how are they protected.
    pub old_like_new: bool,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Asked {
            within: 30 * 86_400,
            retention_ms: 7 * 86_400_000,
            keep: 2,
            revoked: None,
            old_like_new: false,
        }
    }
}

/// What was found in one store.
#[derive(Debug)]
pub struct Checked {
    /// Its format.
    pub format: &'static str,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
    /// Whether parts of it could not be read.
    pub incomplete: bool,
    /// What it holds, as `list` has it.
    pub rows: Vec<Row>,
    /// Every certificate in it, those of chains too, each once.
    pub certificates: Vec<Card>,
}

/// A certificate, as far as an overview of many stores shows it.
#[derive(Clone, Debug)]
pub struct Card {
    /// SHA-256 of its DER, lower-case hex.
    pub sha256: String,
    /// RFC 4514 text.
    pub subject: String,
    /// RFC 4514 text.
    pub issuer: String,
    /// The last attribute of the subject that names somebody: CN, else OU, else O, else all of it.
    pub name: String,
    /// Its end, in seconds since 1970, where that can be read.
    pub not_after: Option<i64>,
    /// It may issue certificates.
    pub ca: bool,
    /// The store has its private key.
    pub key: bool,
    /// What its issuer is found by: the names as they stand, and key identifiers.
    pub subject_der: Vec<u8>,
    /// See `subject_der`.
    pub issuer_der: Vec<u8>,
    /// See `subject_der`.
    pub subject_key_id: Option<Vec<u8>>,
    /// See `subject_der`.
    pub authority_key_id: Option<Vec<u8>>,
}

impl Card {
    fn of(held: &Held<'_>) -> Card {
        let fields = &held.fields;
        let subject = dn::rfc4514(fields.subject);
        let name = [oid::CN, oid::OU, oid::O].iter().find_map(|id| dn::attribute_text(fields.subject, id));
        Card {
            sha256: sha256_hex(held.der),
            issuer: dn::rfc4514(fields.issuer),
            name: name.filter(|n| !n.trim().is_empty()).unwrap_or_else(|| subject.clone()),
            subject,
            not_after: time::seconds(fields.not_after),
            ca: fields.is_ca(),
            key: held.leaf,
            subject_der: fields.subject.to_vec(),
            issuer_der: fields.issuer.to_vec(),
            subject_key_id: fields.subject_key_id().map(<[u8]>::to_vec),
            authority_key_id: fields.authority_key_id().map(<[u8]>::to_vec),
        }
    }
}

/// One check.
struct Check {
    /// The rules that it may find something by.
    rules: &'static [&'static Rule],
    run: fn(&Subject<'_>, &mut Findings<'_>),
}

const CHECKS: &[&Check] = &[
    &container::READ,
    &container::STASH,
    &container::FACTS,
    &generations::GENERATIONS,
    &keys::KEYS,
    &keys::PROTECTION,
    &keys::TWICE,
    &certificates::VALIDITY,
    &certificates::WEAKNESS,
    &certificates::NAMES,
    &chains::CHAINS,
    &revocation::REVOCATION,
    &labels::LABELS,
    &files::FILES,
];

/// What counts of an old generation: who goes back needs it to open, and its keys may be those of today.
const CHECKS_OF_OLD: &[&Check] = &[&container::READ, &keys::PROTECTION, &files::FILES];

/// A store that was read, and all that the checks look at.
struct Subject<'a> {
    path: Option<&'a Path>,
    loaded: &'a Loaded,
    facts: Vec<Fact>,
    /// What was deleted and is still there.
    erased: Vec<Entry>,
    certificates: Vec<Held<'a>>,
    ctx: &'a Ctx<'a>,
    asked: &'a Asked<'a>,
    /// Seconds since 1970.
    now: i64,
}

/// A certificate in a store, once however often it is there.
struct Held<'a> {
    der: &'a Der,
    fields: CertFields<'a>,
    /// The label of the entry that it is in.
    label: String,
    /// A private key's own.
    leaf: bool,
    /// Trusted, as far as the store says anything.
    anchor: bool,
    /// It stands on its own, not only in a key's chain.
    lone: bool,
}

impl Held<'_> {
    fn is_self_issued(&self) -> bool {
        self.fields.issuer == self.fields.subject
    }
}

/// Findings in the making.
struct Findings<'a> {
    store: &'a str,
    store_hex: Option<String>,
    format: Option<&'static str>,
    all: Vec<Finding>,
}

impl Findings<'_> {
    /// About the store.
    fn store(&mut self, rule: &'static Rule, message: impl Into<String>) {
        self.push(rule, None, None, message.into());
    }

    /// About one entry.
    fn entry(&mut self, rule: &'static Rule, label: &str, message: impl Into<String>) {
        self.push(rule, Some(label.to_owned()), None, message.into());
    }

    /// About one certificate.
    fn certificate(&mut self, rule: &'static Rule, label: &str, der: &[u8], message: impl Into<String>) {
        self.push(rule, Some(label.to_owned()), Some(sha256_hex(der)), message.into());
    }

    fn push(&mut self, rule: &'static Rule, entry: Option<String>, sha256: Option<String>, message: String) {
        self.all.push(Finding {
            store: self.store.to_owned(),
            store_hex: self.store_hex.clone(),
            format: self.format,
            code: rule.code,
            severity: rule.severity,
            entry,
            sha256,
            message,
            advice: rule.advice,
        });
    }

    /// The worst first, otherwise in the order in which they were found.
    fn sorted(mut self) -> Vec<Finding> {
        self.all.sort_by_key(|f| std::cmp::Reverse(f.severity));
        self.all
    }
}

/// Checks one store. `name` is the store as the caller named it. An error: it can't be read, and [`failed`]
/// makes findings of that.
pub fn check(name: &str, input: &Input<'_>, asked: &Asked<'_>) -> Result<Checked> {
    let loaded = load(input)?;
    let ctx = &input.ctx;
    let path = input.source.identity().is_some() || input.source.is_directory();
    let format = loaded.format.name();
    let store_hex = path_hex(input.source.path());
    let mut findings = Findings { store: name, store_hex, format: Some(format), all: Vec::new() };
    let subject = Subject {
        path: path.then(|| input.source.path()),
        facts: loaded.format.examine(input.source, &loaded.store, ctx),
        erased: loaded.format.erased(input.source).unwrap_or_default(),
        certificates: certificates(&loaded, &mut findings),
        loaded: &loaded,
        ctx,
        asked,
        now: ctx.session.now_ms.div_euclid(1000),
    };
    let old = !asked.old_like_new && subject.path.is_some_and(is_outdated);
    for check in if old { CHECKS_OF_OLD } else { CHECKS } {
        let before = findings.all.len();
        (check.run)(&subject, &mut findings);
        debug_assert!(
            findings.all.iter().skip(before).all(|f| check.rules.iter().any(|r| r.code == f.code)),
            "a check finds by the rules that it names"
        );
    }
    Ok(Checked {
        format,
        findings: findings.sorted(),
        incomplete: !loaded.store.defects.is_empty(),
        rows: loaded.store.entries.iter().map(|e| row(name, format, e)).collect(),
        certificates: subject.certificates.iter().map(Card::of).collect(),
    })
}

/// Whether this is an old generation of a store that is there.
fn is_outdated(path: &Path) -> bool {
    storeset::generation_of(path).is_some_and(|(store, _)| store.exists())
}

/// The findings about a store that can't be read.
pub fn failed(name: &str, path: &Path, error: &Error, ctx: &Ctx<'_>) -> Vec<Finding> {
    let mut findings =
        Findings { store: name, store_hex: path_hex(path), format: error.place().format, all: Vec::new() };
    if error.kind() == Kind::Password {
        findings.store(&rules::WRONG_PASSWORD, error.message());
        container::stash_of_closed(path, ctx, &mut findings);
    } else {
        findings.store(&rules::DOES_NOT_OPEN, error.message());
    }
    if error.kind() != Kind::Read {
        files::of_unreadable(path, &mut findings);
    }
    findings.sorted()
}

/// Every certificate once: entries of their own first, so that these give the label.
fn certificates<'a>(loaded: &'a Loaded, findings: &mut Findings<'_>) -> Vec<Held<'a>> {
    let mut known: super::Map<&Der, usize> = super::Map::default();
    let mut out: Vec<Held<'a>> = Vec::new();
    let mut add = |der: &'a Der, entry: &Entry, leaf: bool, lone: bool, findings: &mut Findings<'_>| {
        let anchor = lone && is_anchor(entry, der);
        if let Some(held) = known.get(der).and_then(|at| out.get_mut(*at)) {
            held.leaf |= leaf;
            held.anchor |= anchor;
            held.lone |= lone;
            return;
        }
        match cert_fields(der) {
            Ok(fields) => {
                known.insert(der, out.len());
                let label = if lone || leaf { label(entry) } else { dn::rfc4514(fields.subject) };
                out.push(Held { der, fields, label, leaf, anchor, lone });
            }
            Err(e) => {
                let text = format!("its certificate can't be read: {}", e.message());
                findings.entry(&rules::CERTIFICATE_UNREADABLE, &label(entry), text);
            }
        }
    };
    for entry in &loaded.store.entries {
        match &entry.item {
            Item::Cert(der) => add(der, entry, false, true, findings),
            Item::Key { chain, .. } => {
                if let Some(leaf) = chain.first() {
                    add(&leaf.cert, entry, true, false, findings);
                }
            }
            _ => {}
        }
    }
    for entry in &loaded.store.entries {
        if let Item::Key { chain, .. } = &entry.item {
            chain.iter().skip(1).for_each(|link| add(&link.cert, entry, false, false, findings));
        }
    }
    out
}

/// Whether a chain may end in it: the store says so, or can't say and it is a CA.
fn is_anchor(entry: &Entry, der: &Der) -> bool {
    match &entry.trust {
        Some(trust) => trust.levels.contains(&Level::Anchor),
        None => cert_fields(der).is_ok_and(|f| f.is_ca()),
    }
}

/// The label of an entry, or what stands for it.
fn label(entry: &Entry) -> String {
    let text = entry.label_text();
    if !text.is_empty() {
        return text.into_owned();
    }
    let subject = entry.certificate().and_then(|c| cert_fields(c).ok()).map(|f| dn::rfc4514(f.subject));
    subject.unwrap_or_else(|| format!("({} without a label)", entry.item.kind().name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_belongs_to_a_check() {
        // These are found where a store is read.
        let elsewhere =
            [&rules::DOES_NOT_OPEN, &rules::WRONG_PASSWORD, &rules::CERTIFICATE_UNREADABLE].map(|r| r.code);
        for rule in rules::RULES {
            let found = CHECKS.iter().any(|c| c.rules.iter().any(|r| r.code == rule.code));
            assert!(found || elsewhere.contains(&rule.code), "{}", rule.code);
            assert_eq!(rules::RULES.iter().filter(|r| r.code == rule.code).count(), 1);
            assert!(rule.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", rule.code);
        }
    }
}
