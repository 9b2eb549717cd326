//! Certificates that their issuers have taken back: by the lists that the store has, and by whatever the caller
//! asks. Nothing is fetched here.

use super::rules::{REVOCATION_UNKNOWN, REVOKED};
use super::{Check, Findings, Held, Subject};
use crate::crypto::sign::verify_signed;
use crate::jobs::revocation::{Status, by_crl};
use crate::model::Item;
use crate::query::time::rfc3339;

pub(super) const REVOCATION: Check = Check { rules: &[&REVOKED, &REVOCATION_UNKNOWN], run: revocation };

fn revocation(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let entries = &subject.loaded.store.entries;
    let lists: Vec<_> =
        entries.iter().filter_map(|e| if let Item::Crl(c) = &e.item { Some(c) } else { None }).collect();
    if lists.is_empty() && subject.asked.revoked.is_none() {
        return;
    }
    for held in subject.certificates.iter().filter(|c| !c.is_self_issued()) {
        let Some(issuer) = issuer(subject, held) else { continue };
        let own = lists.iter().filter_map(|list| by_crl(held.der, issuer.der, list, subject.now).ok());
        let taken_back = |s: &Status| matches!(s, Status::Revoked { .. });
        let status = own.into_iter().find(taken_back);
        match status.or_else(|| (subject.asked.revoked?)(held.der, issuer.der)) {
            Some(Status::Revoked { since, reason }) => {
                let why = reason.map_or_else(String::new, |r| format!(" ({})", r.name()));
                let text = format!("its issuer revoked it on {}{why}", rfc3339(since));
                findings.certificate(&REVOKED, &held.label, held.der, text);
            }
            Some(Status::Unknown(why)) => {
                findings.certificate(&REVOCATION_UNKNOWN, &held.label, held.der, why);
            }
            Some(Status::Good) | None => {}
        }
    }
}

/// The certificate of the store that has issued another.
fn issuer<'a>(subject: &'a Subject<'a>, held: &Held<'_>) -> Option<&'a Held<'a>> {
    let signed = |c: &&Held<'_>| {
        c.fields.subject == held.fields.issuer && verify_signed(held.der, c.fields.spki).unwrap_or(false)
    };
    subject.certificates.iter().find(signed)
}
