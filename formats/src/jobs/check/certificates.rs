//! Certificates: when they end, how they are signed, how long their keys are, whether names repeat.

use super::rules::{
    CERTIFICATE_EXPIRED, CERTIFICATE_EXPIRING, KEY_EXPIRED, KEY_EXPIRING, NOT_YET_VALID, SAME_NAME,
    SAME_NAME_CA, WEAK_KEY, WEAK_SIGNATURE,
};
use super::{Check, Findings, Held, Subject};
use crate::asn1::{Reader, Tag, oid};
use crate::crypto::public::{identity, spki_key_info};
use crate::jobs::Map;
use crate::query::dn;
use crate::query::time::{rfc3339, seconds};

pub(super) const VALIDITY: Check = Check {
    rules: &[&KEY_EXPIRED, &KEY_EXPIRING, &CERTIFICATE_EXPIRED, &CERTIFICATE_EXPIRING, &NOT_YET_VALID],
    run: |subject, findings| subject.certificates.iter().for_each(|c| validity(subject, c, findings)),
};

fn validity(subject: &Subject<'_>, held: &Held<'_>, findings: &mut Findings<'_>) {
    let now = subject.now;
    let (expired, expiring) = match held.leaf {
        true => (&KEY_EXPIRED, &KEY_EXPIRING),
        false => (&CERTIFICATE_EXPIRED, &CERTIFICATE_EXPIRING),
    };
    if let Some(begin) = seconds(held.fields.not_before).filter(|begin| *begin > now) {
        let text = format!("begins {}", day(begin));
        findings.certificate(&NOT_YET_VALID, &held.label, held.der, text);
    }
    match seconds(held.fields.not_after) {
        Some(end) if end <= now => {
            let text = format!("ended {}, {} ago", day(end), days(now - end));
            findings.certificate(expired, &held.label, held.der, text);
        }
        Some(end) if end - now <= subject.asked.within => {
            let text = format!("ends {}, in {}", day(end), days(end - now));
            findings.certificate(expiring, &held.label, held.der, text);
        }
        _ => {}
    }
}

fn day(seconds: i64) -> String {
    rfc3339(seconds).chars().take_while(|c| *c != 'T').collect()
}

fn days(seconds: i64) -> String {
    match seconds / 86_400 {
        1 => "1 day".to_owned(),
        0 => "less than a day".to_owned(),
        n => format!("{n} days"),
    }
}

pub(super) const WEAKNESS: Check = Check { rules: &[&WEAK_SIGNATURE, &WEAK_KEY], run: weakness };

fn weakness(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    for held in &subject.certificates {
        // Nobody relies on what a root says of itself.
        if !held.is_self_issued()
            && let Some(name) = signature(held.der).and_then(weak_signature)
        {
            findings.certificate(&WEAK_SIGNATURE, &held.label, held.der, format!("signed with {name}"));
        }
        let key = spki_key_info(held.fields.spki);
        let least = match &*key.algorithm {
            "RSA" | "RSA-PSS" | "DSA" => 2048,
            "EC" => 224,
            _ => 0,
        };
        if let Some(bits) = key.bits.filter(|bits| *bits < least) {
            let text = format!("its {} key has {bits} bits", key.algorithm);
            findings.certificate(&WEAK_KEY, &held.label, held.der, text);
        }
    }
}

/// The OID of a certificate's signature algorithm.
fn signature(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(certificate, 0).expect(Tag::SEQUENCE, "Certificate").ok()?.reader();
    fields.expect(Tag::SEQUENCE, "TBSCertificate").ok()?;
    let algorithm = fields.expect(Tag::SEQUENCE, "signatureAlgorithm").ok()?;
    algorithm.reader().expect(Tag::OID, "algorithm").ok().map(|id| id.content)
}

/// Its name, if it is a weak one.
fn weak_signature(id: &[u8]) -> Option<&'static str> {
    const WEAK: &[(&str, &str)] = &[
        ("1.2.840.113549.1.1.2", "MD2 and RSA"),
        ("1.2.840.113549.1.1.3", "MD4 and RSA"),
        ("1.2.840.113549.1.1.4", "MD5 and RSA"),
        ("1.2.840.113549.1.1.5", "SHA-1 and RSA"),
        ("1.3.14.3.2.29", "SHA-1 and RSA"),
        ("1.2.840.10040.4.3", "SHA-1 and DSA"),
        ("1.3.14.3.2.27", "SHA-1 and DSA"),
        ("1.2.840.10045.4.1", "SHA-1 and ECDSA"),
    ];
    let id = oid::dotted(id);
    WEAK.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

pub(super) const NAMES: Check = Check { rules: &[&SAME_NAME, &SAME_NAME_CA], run: names };

/// So many others are named.
const NAMED: usize = 5;

fn names(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let mut by_name: Map<&[u8], Vec<&Held<'_>>> = Map::default();
    for held in &subject.certificates {
        by_name.entry(held.fields.subject).or_default().push(held);
    }
    for held in &subject.certificates {
        let Some(group) = by_name.get(held.fields.subject).filter(|g| g.len() > 1) else { continue };
        // Said once, of the first.
        if !group.first().is_some_and(|first| std::ptr::eq(*first, held)) {
            continue;
        }
        let own = identity(held.fields.spki);
        let mut others: Vec<_> = group
            .iter()
            .filter(|o| identity(o.fields.spki) != own)
            .map(|o| format!("\"{}\"", o.label))
            .collect();
        if others.is_empty() {
            continue;
        }
        let more = others.len().saturating_sub(NAMED);
        others.truncate(NAMED);
        if more > 0 {
            others.push(format!("{more} more"));
        }
        let rule = if group.iter().all(|c| c.fields.is_ca()) { &SAME_NAME_CA } else { &SAME_NAME };
        let name = dn::rfc4514(held.fields.subject);
        let text = format!("{name} is also the subject of {}, with another key", others.join(", "));
        findings.certificate(rule, &held.label, held.der, text);
    }
}
