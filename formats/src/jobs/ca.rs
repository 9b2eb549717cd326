//! A small certificate authority: a key in a store that signs requests and revocation lists.

use super::keygen::same_label;
use crate::asn1::{CertFields, cert_fields, oid};
use crate::context::Ctx;
use crate::crypto::public::spki_key_info;
use crate::crypto::sign::{Digest, Signer};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::issue::{
    Crl, Draft, Extension, Extensions, KeyUsage, Profile, Reason, Request, Revoked, random_serial,
};
use crate::model::{Der, Entry, Item, Store};
use crate::query::{dn::rfc4514, time};

/// A certificate authority, ready to sign.
pub struct Authority {
    /// Its certificate and those above it.
    pub chain: Vec<Der>,
    signer: Signer,
}

impl Authority {
    /// The key of a store that is to sign; without `label` the only one that may. `digest` as in [`Signer::new`].
    pub fn of(
        store: &Store,
        format: &dyn Format,
        label: Option<&str>,
        digest: Option<Digest>,
        ctx: &Ctx<'_>,
    ) -> Result<Authority> {
        let is_ca = |e: &&Entry| {
            matches!(e.item, Item::Key { .. })
                && e.certificate().and_then(|c| cert_fields(c).ok()).is_some_and(|f| f.is_ca())
        };
        let entry = match label {
            Some(label) => store
                .entries
                .iter()
                .find(|e| matches!(e.item, Item::Key { .. }) && same_label(format, &e.label_text(), label))
                .ok_or_else(|| Error::refused(format!("no key has the label \"{label}\"")))?,
            None => {
                let mut all = store.entries.iter().filter(is_ca);
                match (all.next(), all.next()) {
                    (Some(one), None) => one,
                    (None, _) => {
                        return Err(Error::refused(
                            "no key of this store belongs to a certificate authority",
                        ));
                    }
                    _ => {
                        return Err(Error::refused("several keys of this store may sign")
                            .hint("name one: STORE#LABEL"));
                    }
                }
            }
        };
        let text = entry.label_text().into_owned();
        Self::checked(entry, digest, ctx).map_err(|e| e.in_entry(text))
    }

    fn checked(entry: &Entry, digest: Option<Digest>, ctx: &Ctx<'_>) -> Result<Authority> {
        let Item::Key { key, chain } = &entry.item else {
            return Err(Error::refused("it is no key"));
        };
        let leaf = chain.first().ok_or_else(|| Error::refused("a key without a certificate can't sign"))?;
        let fields = cert_fields(&leaf.cert)?;
        if !fields.is_ca() {
            return Err(Error::refused("its certificate is not one of a certificate authority")
                .hint("keyferry keygen --profile ca makes one that is"));
        }
        let signer = Signer::new(&key.open(ctx)?.bytes, digest)?;
        Ok(Authority { chain: chain.iter().map(|l| l.cert.clone()).collect(), signer })
    }

    fn fields(&self) -> Result<CertFields<'_>> {
        let leaf =
            self.chain.first().ok_or_else(|| Error::refused("a key without a certificate can't sign"))?;
        cert_fields(leaf)
    }

    fn may(&self, usage: KeyUsage) -> Result<()> {
        match Extensions::read(self.fields()?.extensions)?.key_usages() {
            Some(usages) if !usages.contains(&usage) => {
                Err(Error::refused(format!("the authority's key usage does not allow {}", usage.name())))
            }
            _ => Ok(()),
        }
    }

    /// The path length that is left for a CA below: `None` where there is no bound.
    fn path_left(&self) -> Result<Option<u64>> {
        let mut left: Option<u64> = None;
        let mut below = 0u64;
        for certificate in &self.chain {
            let fields = cert_fields(certificate)?;
            if let Some(Some(bound)) = Extensions::read(fields.extensions)?.ca() {
                let rest = bound.checked_sub(below).ok_or_else(|| {
                    Error::refused(format!("the chain is longer than \"{}\" allows", rfc4514(fields.subject)))
                })?;
                left = Some(left.map_or(rest, |l| l.min(rest)));
            }
            // Self-issued certificates don't count (RFC 5280 section 4.2.1.9).
            below += u64::from(fields.issuer != fields.subject);
        }
        Ok(left)
    }
}

/// What of a request goes into the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copied {
    /// The alternative names; usages are the profile's.
    #[default]
    Names,
    /// Usages too, but none that only a CA has.
    Usages,
    /// Nothing but the name and the key.
    Nothing,
}

/// A certificate to make.
pub struct SignRequest<'a> {
    /// The request.
    pub csr: &'a [u8],
    /// What the certificate is for.
    pub profile: Profile,
    /// What of the request's wishes it gets.
    pub copied: Copied,
    /// Another subject than the request's: a whole `Name`.
    pub subject: Option<Vec<u8>>,
    /// Extensions that stand against those of request and profile.
    pub extensions: Extensions,
    /// How many CAs may follow, for the profile `ca`.
    pub path: Option<u64>,
    /// Now, seconds since 1970.
    pub now: i64,
    /// The end that was asked for, seconds since 1970; without it a year, or the authority's own end.
    pub not_after: Option<i64>,
}

/// A certificate that was made.
#[derive(Debug)]
pub struct Signed {
    /// The certificate.
    pub certificate: Der,
    /// What the request asked for and did not get.
    pub refused: Vec<String>,
}

const YEAR: i64 = 365 * 86_400;

/// Signs a request, which must be signed by its own key.
pub fn sign_request(authority: &Authority, job: &SignRequest<'_>) -> Result<Signed> {
    authority.may(KeyUsage::KeyCertSign)?;
    let fields = authority.fields()?;
    let request = Request::read(job.csr)?;
    strong_enough(&request.spki)?;
    let not_after = validity(&fields, job)?;
    let mut path = job.path;
    match (job.profile, authority.path_left()?) {
        (Profile::Ca, Some(0)) => {
            return Err(Error::refused(
                "the authority may sign no other authority: its path length is used up",
            ));
        }
        (Profile::Ca, Some(left)) => {
            if path.is_some_and(|p| p >= left) {
                return Err(Error::refused(format!(
                    "the authority allows a path length of at most {}",
                    left - 1
                )));
            }
            path = path.or(Some(left - 1));
        }
        _ => {}
    }
    let (mut extensions, refused) = wished(&request.extensions, job);
    job.extensions.0.iter().for_each(|e| extensions.set(e.clone()));
    job.profile.apply(&mut extensions, &request.spki, path)?;
    extensions.set(Extension::subject_key_id(&request.spki)?);
    extensions.set(Extension::authority_key_id(&fields)?);
    let subject = job.subject.clone().unwrap_or(request.subject);
    let nameless = subject.len() <= 2;
    if nameless && (job.profile == Profile::Ca || extensions.get(oid::SUBJECT_ALT_NAME).is_none()) {
        return Err(Error::refused("a certificate without a name"));
    }
    // The only name must be understood (RFC 5280 section 4.2.1.6).
    if let Some(names) = extensions.0.iter_mut().find(|e| e.id == oid::SUBJECT_ALT_NAME) {
        names.critical = nameless;
    }
    let draft = Draft {
        serial: random_serial()?,
        issuer: fields.subject.to_vec(),
        subject,
        not_before: job.now,
        not_after,
        spki: request.spki,
        extensions,
    };
    let refused =
        refused.into_iter().filter(|e| draft.extensions.get(&e.id).is_none_or(|has| has.value != e.value));
    let refused = refused.map(|e| name(&e.id)).collect();
    Ok(Signed { certificate: Der::new(draft.sign(&authority.signer)?), refused })
}

fn strong_enough(spki: &[u8]) -> Result<()> {
    let info = spki_key_info(spki);
    match (&*info.algorithm, info.bits) {
        ("RSA", Some(bits)) if bits < 2048 => {
            Err(Error::refused(format!("an RSA key of {bits} bits is too weak; 2048 is the least")))
        }
        _ => Ok(()),
    }
}

/// The end of a certificate: never after its authority's own.
fn validity(authority: &CertFields<'_>, job: &SignRequest<'_>) -> Result<i64> {
    let end = time::seconds(authority.not_after).unwrap_or(i64::MAX);
    if end <= job.now || time::seconds(authority.not_before).is_some_and(|s| s > job.now) {
        return Err(Error::refused("the authority's certificate is not valid now"));
    }
    match job.not_after {
        Some(asked) if asked <= job.now => Err(Error::refused("a certificate that has ended already")),
        Some(asked) if asked > end => Err(Error::refused(format!(
            "the authority's own certificate ends before that, on {}",
            time::rfc3339(end)
        ))),
        Some(asked) => Ok(asked),
        None => Ok((job.now + YEAR).min(end)),
    }
}

/// What a request may have, and what it may not.
fn wished(asked: &Extensions, job: &SignRequest<'_>) -> (Extensions, Vec<Extension>) {
    let mut out = Extensions::default();
    let mut refused = Vec::new();
    for wish in &asked.0 {
        let granted = match (wish.id.as_slice(), job.copied) {
            (oid::SUBJECT_ALT_NAME, Copied::Names | Copied::Usages) => true,
            (oid::KEY_USAGE, Copied::Usages) => {
                let usages = asked.key_usages().unwrap_or_default();
                let only_ca = [KeyUsage::KeyCertSign, KeyUsage::CrlSign];
                job.profile == Profile::Ca || !usages.iter().any(|u| only_ca.contains(u))
            }
            (oid::EXTENDED_KEY_USAGE, Copied::Usages) => true,
            // These are made anew whatever was asked for.
            (oid::SUBJECT_KEY_ID | oid::AUTHORITY_KEY_ID, _) => continue,
            _ => false,
        };
        match granted {
            true => out.set(wish.clone()),
            false => refused.push(wish.clone()),
        }
    }
    (out, refused)
}

/// An extension's name, else its dotted OID.
fn name(id: &[u8]) -> String {
    match id {
        oid::SUBJECT_ALT_NAME => "subjectAltName".to_owned(),
        oid::KEY_USAGE => "keyUsage".to_owned(),
        oid::EXTENDED_KEY_USAGE => "extKeyUsage".to_owned(),
        oid::BASIC_CONSTRAINTS => "basicConstraints".to_owned(),
        other => oid::dotted(other),
    }
}

/// A new revocation list, or one that follows `before`.
pub struct SignCrl<'a> {
    /// The list that this one follows, of the same authority.
    pub before: Option<&'a [u8]>,
    /// What is revoked now: serial numbers (the content of their INTEGERs) and why.
    pub revoke: Vec<(Vec<u8>, Option<Reason>)>,
    /// Now, seconds since 1970.
    pub now: i64,
    /// When the next list is due, seconds since 1970.
    pub next_update: i64,
}

/// Signs a revocation list. What is on the list before stays, with its date and reason, but a hold that
/// `removeFromCRL` ends.
pub fn sign_crl(authority: &Authority, job: &SignCrl<'_>) -> Result<Vec<u8>> {
    authority.may(KeyUsage::CrlSign)?;
    let fields = authority.fields()?;
    let mut crl = match job.before {
        Some(before) => {
            let crl = Crl::read(before)?;
            if crl.issuer != fields.subject || !crate::crypto::sign::verify_signed(before, fields.spki)? {
                return Err(Error::refused("the list is not one of this authority"));
            }
            if crl.partial {
                return Err(Error::unsupported("the list says things that would be lost"));
            }
            crl
        }
        None => Crl { issuer: fields.subject.to_vec(), ..Crl::default() },
    };
    for (serial, reason) in &job.revoke {
        let held = crl.entry(serial).map(|e| e.reason == Reason::parse("certificateHold"));
        match (held, reason.filter(|r| r.name() == "removeFromCRL")) {
            (Some(true), _) => crl.revoked.retain(|r| r.serial != *serial),
            (_, Some(_)) => return Err(Error::refused("only what is on hold leaves the list")),
            (Some(false), None) => continue,
            (None, None) => {}
        }
        if reason.is_none_or(|r| r.name() != "removeFromCRL") {
            crl.revoked.push(Revoked { serial: serial.clone(), since: job.now, reason: *reason });
        }
    }
    crl.number = Some(crl.next_number());
    crl.this_update = job.now;
    crl.next_update = Some(job.next_update);
    crl.sign(&fields, &authority.signer)
}
