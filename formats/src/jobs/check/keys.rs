//! Private keys: do they fit their certificates, how are they protected, are they there twice.

use super::rules::{
    FEW_ROUNDS, KEY_CLOSED, KEY_DAMAGED, KEY_IN_CLEAR, KEY_MISMATCH, KEY_PASSWORD_DIFFERS, KEY_TWICE,
    KEY_WITHOUT_CERTIFICATE, WEAK_PROTECTION,
};
use super::{Check, Findings, Subject, label};
use crate::asn1::cert_fields;
use crate::asn1::request_fields;
use crate::context::{Ctx, NoSecrets, Secrets};
use crate::crypto::pbe::Protection;
use crate::crypto::public::{identity, same_public_key, spki_of_pkcs8};
use crate::error::{Kind, Result};
use crate::fact::Fact;
use crate::jobs::Map;
use crate::model::{Entry, Item, Password, Secret};
use std::sync::Arc;

pub(super) const KEYS: Check = Check {
    rules: &[
        &KEY_MISMATCH,
        &KEY_DAMAGED,
        &KEY_CLOSED,
        &KEY_WITHOUT_CERTIFICATE,
        &KEY_PASSWORD_DIFFERS,
        &KEY_IN_CLEAR,
    ],
    run: |subject, findings| {
        let one_password = subject.facts.contains(&Fact::OnePassword);
        for entry in &subject.loaded.store.entries {
            if let Some(key) = entry.secret() {
                look(subject, entry, key, one_password, findings);
            }
        }
    },
};

fn look(subject: &Subject<'_>, entry: &Entry, key: &Secret, one_password: bool, findings: &mut Findings<'_>) {
    let label = label(entry);
    if matches!(&entry.item, Item::Key { chain, .. } if chain.is_empty()) {
        findings.entry(&KEY_WITHOUT_CERTIFICATE, &label, "the private key has no certificate");
    }
    if is_open(key, subject.ctx) {
        findings.entry(&KEY_IN_CLEAR, &label, "no password protects the key");
    }
    let opened = match key.open(subject.ctx) {
        Ok(opened) => opened,
        Err(e) if e.kind() == Kind::Malformed => return findings.entry(&KEY_DAMAGED, &label, e.message()),
        Err(e) => return findings.entry(&KEY_CLOSED, &label, e.message()),
    };
    if one_password && !opens_with_store_password(key, subject.ctx) {
        findings.entry(&KEY_PASSWORD_DIFFERS, &label, "the store's password does not open this key");
    }
    let public = match &entry.item {
        Item::Key { chain, .. } => chain.first().and_then(|l| cert_fields(&l.cert).ok()).map(|f| f.spki),
        Item::Request { csr, .. } => request_fields(csr).ok().map(|f| f.spki),
        _ => return,
    };
    match spki_of_pkcs8(&opened.bytes) {
        Err(e) => findings.entry(&KEY_DAMAGED, &label, e.message()),
        Ok(Some(own)) if public.is_some_and(|public| !same_public_key(&own, public)) => {
            findings.entry(&KEY_MISMATCH, &label, "the private key is not that of the certificate");
        }
        Ok(_) => {}
    }
}

/// Whether whoever can read the file has the key: it is in the clear, or enciphered with no password (NSS).
pub(super) fn is_open(key: &Secret, ctx: &Ctx<'_>) -> bool {
    key.seal().is_none_or(|seal| seal.open(&Ctx { secrets: &NoSecrets, ..*ctx }).is_ok())
}

/// The store's password and no other.
struct StoreOnly<'a>(&'a dyn Secrets);

impl Secrets for StoreOnly<'_> {
    fn store(&self) -> Result<Option<Arc<Password>>> {
        self.0.store()
    }
    fn key(&self, _: Option<&str>) -> Result<Vec<Arc<Password>>> {
        Ok(Vec::new())
    }
}

fn opens_with_store_password(key: &Secret, ctx: &Ctx<'_>) -> bool {
    let Some(seal) = key.seal() else { return true };
    let alone = StoreOnly(ctx.secrets);
    !seal.open(&Ctx { secrets: &alone, ..*ctx }).is_err_and(|e| e.kind() == Kind::Password)
}

/// What OpenSSL writes unless told otherwise; the JDK and NSS write 10,000.
const LEAST_ROUNDS: u64 = 2048;

pub(super) const PROTECTION: Check = Check { rules: &[&WEAK_PROTECTION, &FEW_ROUNDS], run: protection };

fn protection(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    for fact in &subject.facts {
        if let Fact::Protected { what, how } = fact {
            judge(how, &mut |rule, text| findings.store(rule, format!("{what}: {text}")));
        }
    }
    for entry in &subject.loaded.store.entries {
        let secret = entry.secret().filter(|s| !is_open(s, subject.ctx));
        if let Some(how) = secret.and_then(|s| s.seal()?.protection()) {
            judge(&how, &mut |rule, text| findings.entry(rule, &label(entry), format!("the key: {text}")));
        }
    }
}

fn judge(how: &Protection, say: &mut dyn FnMut(&'static super::rules::Rule, String)) {
    if let Some(why) = how.weak {
        say(&WEAK_PROTECTION, format!("{} ({why})", how.name));
    }
    if let Some(rounds) = how.rounds.filter(|r| *r < LEAST_ROUNDS) {
        say(&FEW_ROUNDS, format!("{} with {rounds} rounds", how.name));
    }
}

pub(super) const TWICE: Check = Check { rules: &[&KEY_TWICE], run: twice };

fn twice(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let mut known: Map<Vec<u8>, String> = Map::default();
    for entry in &subject.loaded.store.entries {
        let Item::Key { chain, .. } = &entry.item else { continue };
        let Some(fields) = chain.first().and_then(|l| cert_fields(&l.cert).ok()) else { continue };
        match known.entry(identity(fields.spki)) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(label(entry));
            }
            std::collections::hash_map::Entry::Occupied(first) => {
                let text = format!("the same key as \"{}\"", first.get());
                findings.entry(&KEY_TWICE, &label(entry), text);
            }
        }
    }
}
