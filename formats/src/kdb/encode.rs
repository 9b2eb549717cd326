//! A store into a set of files: slots are made, hashed and written piece by piece.

use super::chain::Signers;
use super::companion::{self, Change};
use super::decode::split_pair;
use super::layout::*;
use super::protect::{self, Integrity};
use super::record::{self, Content, Record};
use super::{carrier, options, stash};
use crate::asn1::{cert_fields, request_fields};
use crate::context::{Ctx, Session};
use crate::crypto::sign::KeyType;
use crate::error::{Error, Result};
use crate::model::{Entry, Item, Level, Loss, LossKind, Password, Secret, Store, Trust};
use crate::place::{PIECE, Source, StagedFile, Staging};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

/// Longer labels are no trouble to GSKit's library; command lines and MQ were not tried.
const LONG_LABEL: usize = 127;

/// Writes `store` and what belongs beside it; returns what the set can't say.
pub fn encode(store: &Store, base: Option<&Source>, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
    let password = ctx.secrets.store()?.filter(|p| !p.bytes().is_empty()).ok_or_else(|| {
        Error::password("a kdb can't be written without a password, and not with an empty one")
    })?;
    let base = base.map(|b| Base::of(b, &password).map(|facts| (b, facts))).transpose()?;
    let base_facts = base.as_ref().map(|(_, facts)| facts);
    let version = options::version(ctx)?.or(base_facts.map(|b| b.version)).unwrap_or(Version::V4);
    let mut losses = Vec::new();
    let expires = expiry(store, base_facts, ctx, &mut losses)?;
    let writer = Writer { version, expires, password: &password, session: ctx.session };

    let mut planner = Planner { writer: &writer, default: false, losses: &mut losses };
    let (mut records, mut requests) = (Vec::with_capacity(store.entries.len()), Vec::new());
    for entry in &store.entries {
        let planned = planner.plan(entry, ctx).map_err(|e| e.in_entry(entry.label_text()))?;
        if planned.content == Content::Request { requests.push(planned) } else { records.push(planned) }
    }
    broken_chains(store, &mut losses);
    writer.write(Role::Keys, &records, &mut to.file()?)?;
    drop(records);
    let change = Change {
        writer: &writer,
        requests: &requests,
        base: base.as_ref().map(|(source, _)| *source),
        same_password: base_facts.is_some_and(|b| b.same_password),
        stash: options::stash(ctx)?,
    };
    companion::write(&change, to, &mut losses)?;
    Ok(losses)
}

/// What the store that is being rewritten says in its header.
struct Base {
    version: Version,
    expires: u32,
    same_password: bool,
}

impl Base {
    fn of(base: &Source, password: &Password) -> Result<Self> {
        let (header, check) = read_header(base, Role::Keys)?;
        let same_password = super::decode::prove_password(&header, &check, password).is_ok();
        Ok(Base { version: header.version, expires: header.expires, same_password })
    }
}

/// Header and check value of a database.
pub fn read_header(from: &Source, role: Role) -> Result<(Header, Vec<u8>)> {
    let mut fixed = [0; FIXED];
    let mut reader = from.reader()?;
    super::decode::fill(&mut *reader, &mut fixed)?;
    let header = Header::parse(&fixed, role, from.size()?)?;
    let mut check = vec![0; header.version.value_len()];
    super::decode::fill(&mut *reader, &mut check)?;
    Ok((header, check))
}

/// The option's, else that of the store that is rewritten under its password, else that of the source. A new
/// password has no old date.
fn expiry(store: &Store, base: Option<&Base>, ctx: &Ctx<'_>, losses: &mut Vec<Loss>) -> Result<u32> {
    if let Some(given) = options::expires(ctx)? {
        return Ok(given);
    }
    match base {
        Some(base) if base.same_password => Ok(base.expires),
        Some(base) => {
            if base.expires != 0 {
                losses.push(Loss::new(
                    LossKind::Note,
                    "",
                    "the new password has no date of expiry; the old one had",
                ));
            }
            Ok(0)
        }
        None => {
            let fact = store.facts.iter().find(|f| f.format == NAME && f.id == EXPIRES_FACT);
            Ok(fact.and_then(|f| std::str::from_utf8(&f.value).ok()?.parse().ok()).unwrap_or(0))
        }
    }
}

/// A record before it has a number.
pub struct Planned<'a> {
    /// What it holds.
    pub content: Content,
    /// The certificate or request.
    pub object: Cow<'a, [u8]>,
    key: Cow<'a, [u8]>,
    /// The label's bytes.
    pub label: &'a [u8],
    trusted: bool,
    default: bool,
}

impl Planned<'_> {
    fn record(&self) -> Record<'_> {
        Record {
            content: self.content,
            object: &self.object,
            key: &self.key,
            label: self.label,
            trusted: self.trusted,
            default: self.default,
        }
    }
}

/// Makes records of entries.
struct Planner<'a, 'w> {
    writer: &'w Writer<'a>,
    /// A default key was seen.
    default: bool,
    losses: &'w mut Vec<Loss>,
}

impl Planner<'_, '_> {
    fn plan<'e>(&mut self, entry: &'e Entry, ctx: &Ctx<'_>) -> Result<Planned<'e>> {
        let label = entry.label.as_ref().map(|l| l.bytes()).unwrap_or_default();
        if label.is_empty() {
            return Err(Error::refused("an entry without a label"));
        }
        // Its certificate is looked at when the record is made.
        if let Some(why) = refuses_parts(entry) {
            return Err(Error::refused(why));
        }
        if label.len() > LONG_LABEL {
            let detail =
                format!("a label of {} bytes; programs around GSKit may stop at {LONG_LABEL}", label.len());
            self.losses.push(Loss::new(LossKind::Note, entry.label_text(), detail));
        }
        let none = Cow::Borrowed(&[][..]);
        let (content, object, key) = match &entry.item {
            Item::Cert(cert) => (Content::Certificate, Cow::Borrowed(&**cert), none),
            Item::Key { key, chain } => {
                let leaf = chain.first().map(|l| &*l.cert).unwrap_or_default();
                if is_ml_dsa(leaf) {
                    let detail = "GSKit (8.0.60.5) opens the kdb and does not see this key of ML-DSA in it";
                    self.losses.push(Loss::new(LossKind::Note, entry.label_text(), detail));
                }
                (Content::KeyPair, Cow::Borrowed(leaf), self.writer.wrapped(key)?)
            }
            Item::Request { csr, key } => {
                let key = key.as_ref().map(|k| self.writer.wrapped(k)).transpose()?.unwrap_or(none);
                (Content::Request, Cow::Borrowed(&**csr), key)
            }
            Item::Symmetric(secret) => {
                if let Some(name) = secret.opened().and_then(|k| k.algorithm.as_deref()) {
                    let detail = format!("a kdb keeps the secret key, but not that it is one for {name}");
                    self.losses.push(Loss::new(LossKind::Attribute, entry.label_text(), detail));
                }
                let (certificate, key) = self.writer.carried(secret, label, ctx)?;
                (Content::KeyPair, certificate, key)
            }
            other => {
                return Err(Error::refused(format!(
                    "a kdb can't hold entries of the kind {}",
                    other.kind().name()
                )));
            }
        };
        let trusted = self.trusted(entry);
        let default = self.is_default(entry);
        Ok(Planned { content, object, key, label, trusted, default })
    }

    /// The trusted bit. A kdb has one for all purposes.
    fn trusted(&mut self, entry: &Entry) -> bool {
        let untrusted = entry.attr(NAME, UNTRUSTED).is_some();
        let (trust, is_cert) = match (&entry.trust, &entry.item) {
            (Some(trust), Item::Cert(_)) => (trust, true),
            (Some(trust), _) => (trust, false),
            // GSKit's own new records are trusted, whatever they hold.
            (None, _) => return !untrusted,
        };
        let mut lose = |kind, detail: &str| self.losses.push(Loss::new(kind, entry.label_text(), detail));
        if trust.distrusts() {
            lose(LossKind::Trust, "it is distrusted; a kdb can only leave it untrusted");
            return false;
        }
        if !is_cert {
            return !untrusted;
        }
        let anchor = |t: &Trust| t.levels.contains(&Level::Anchor);
        let peer = |t: &Trust| t.levels.contains(&Level::Peer);
        let is_ca = entry.certificate().and_then(|c| cert_fields(c).ok()).is_some_and(|f| f.is_ca());
        match () {
            () if trust.is_full_anchor() => true,
            () if anchor(trust) => {
                lose(
                    LossKind::TrustRaised,
                    "it is an anchor for some purposes only; a kdb trusts it for all",
                );
                true
            }
            // Trusted, it vouches for nobody but itself, as a peer does.
            () if peer(trust) && !is_ca => true,
            () if peer(trust) => {
                lose(
                    LossKind::Trust,
                    "it is accepted itself but vouches for nobody; a kdb can only leave it untrusted",
                );
                false
            }
            () => false,
        }
    }

    /// At most one record is the default.
    fn is_default(&mut self, entry: &Entry) -> bool {
        if entry.default && std::mem::replace(&mut self.default, true) {
            let detail = "another entry is the default already";
            self.losses.push(Loss::new(LossKind::Default, entry.label_text(), detail));
            return false;
        }
        entry.default
    }
}

fn is_ml_dsa(certificate: &[u8]) -> bool {
    let kind = cert_fields(certificate).ok().and_then(|f| KeyType::of_spki(f.spki));
    matches!(kind, Some(KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87))
}

/// Why a kdb can't hold an entry of a kind that it otherwise holds.
pub fn refuses(entry: &Entry) -> Option<&'static str> {
    refuses_parts(entry).or_else(|| match &entry.item {
        Item::Cert(_) | Item::Key { .. } => {
            let readable = entry.certificate().is_some_and(|c| record::check_certificate(c).is_ok());
            // With one such record GSKit refuses the whole file.
            (!readable).then_some("it is no certificate that can be read")
        }
        _ => None,
    })
}

/// The same without a look into certificates.
fn refuses_parts(entry: &Entry) -> Option<&'static str> {
    // GSKit ends labels there.
    if entry.label.as_ref().is_some_and(|l| l.bytes().contains(&0)) {
        return Some("a kdb's labels can't hold a zero byte");
    }
    match &entry.item {
        Item::Key { chain, .. } if chain.is_empty() => {
            Some("a kdb holds no private key without its certificate")
        }
        Item::Request { key: None, .. } => Some("a kdb holds no request without its private key"),
        Item::Request { csr, .. } if request_fields(csr).is_err() => {
            Some("it is no request that can be read")
        }
        Item::Symmetric(key) => match key.opened().map(|k| k.bytes.len()) {
            Some(0) => Some("a secret key of no bytes"),
            Some(len) if len > carrier::MOST => Some("a kdb holds secret keys of up to 245 bytes"),
            _ => None,
        },
        _ => None,
    }
}

/// Chains that will not be found again from the certificates of the store.
fn broken_chains(store: &Store, losses: &mut Vec<Loss>) {
    let chains = || {
        store.entries.iter().filter_map(|e| match &e.item {
            Item::Key { chain, .. } if chain.len() > 1 => Some((e, chain)),
            _ => None,
        })
    };
    if chains().next().is_none() {
        return;
    }
    let certificates: Vec<&[u8]> =
        store.entries.iter().filter_map(|e| e.certificate()).map(|c| &**c).collect();
    let signers = Signers::new(certificates.clone());
    for (entry, chain) in chains() {
        let Some((leaf, rest)) = chain.split_first() else { continue };
        let found = signers.chain(&leaf.cert);
        let same = rest.len() <= found.len()
            && rest.iter().zip(&found).all(|(l, at)| certificates.get(*at) == Some(&&*l.cert));
        if !same {
            let detail = "a kdb makes chains from its certificates by name, and this one comes out otherwise";
            losses.push(Loss::new(LossKind::Chain, entry.label_text(), detail));
        }
    }
}

/// What all databases of the set share.
pub struct Writer<'a> {
    /// The container's format.
    pub version: Version,
    /// Seconds since 1970, 0: never.
    pub expires: u32,
    /// The password.
    pub password: &'a Arc<Password>,
    /// Randomness, budget.
    pub session: &'a Session,
}

impl Writer<'_> {
    /// Writes one database.
    pub fn write(&self, role: Role, records: &[Planned<'_>], out: &mut StagedFile<'_>) -> Result<()> {
        let needed = records.iter().zip(1..).map(|(r, id)| r.record().slot_len(id)).max().unwrap_or(0);
        let slot = if needed <= SLOT { SLOT } else { needed.next_multiple_of(SLOT_STEP) };
        let mut database = self.begin(role, slot, records.len(), out)?;
        let mut piece = Vec::with_capacity((PIECE + slot).min(slot * records.len()));
        for (record, id) in records.iter().zip(1..) {
            let end = piece.len() + slot;
            let at = |e: Error| e.in_entry(String::from_utf8_lossy(record.label)).without_offset();
            record.record().put(id, &mut piece).map_err(at)?;
            piece.resize(end, 0);
            if piece.len() >= PIECE {
                database.add(&piece, out)?;
                piece.clear();
            }
        }
        database.add(&piece, out)?;
        database.end(out)
    }

    /// The same slots under this password: for databases that hold nothing wrapped.
    pub fn resign(
        &self,
        role: Role,
        header: &Header,
        slots: &mut dyn Read,
        out: &mut StagedFile<'_>,
    ) -> Result<()> {
        let mut database = self.begin(role, header.slot, header.count, out)?;
        let mut failed = None;
        super::decode::slots(slots, header, |_, piece| {
            if failed.is_none() {
                failed = database.add(piece, out).err();
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        database.end(out)
    }

    fn begin(&self, role: Role, slot: usize, count: usize, out: &mut StagedFile<'_>) -> Result<Begun<'_>> {
        let mut salt = [0; 23];
        stash::fill_without_zeros(&mut salt, &self.session.rng)?;
        let header = Header::new(self.version, role, self.expires, slot, count, salt)?;
        let check = protect::check_value(self.version, self.password, &header.raw);
        out.put(&header.raw)?;
        out.put(&check)?;
        // The integrity value is known last.
        out.put(&vec![0; check.len()])?;
        Ok(Begun { at: FIXED + check.len(), integrity: Integrity::new(&header, &check, self.password)? })
    }

    /// The key, wrapped anew; or as it was, where it couldn't be opened.
    fn wrapped<'k>(&self, key: &'k Secret) -> Result<Cow<'k, [u8]>> {
        if let Some(clear) = key.opened() {
            return protect::wrap(self.version, &clear.bytes, self.password, self.session).map(Cow::Owned);
        }
        own_pair(key).map(|(_, key)| Cow::Borrowed(key))
    }

    /// The certificate that carries a secret key, and its own key. A carrier that is there is kept: making
    /// one takes a new pair of keys.
    fn carried<'k>(&self, secret: &'k Secret, label: &[u8], ctx: &Ctx<'_>) -> Result<Pair<'k>> {
        let passwords = std::slice::from_ref(self.password);
        match (own_pair(secret), secret.opened()) {
            (Ok((certificate, key)), None) => Ok((Cow::Borrowed(certificate), Cow::Borrowed(key))),
            (Ok((certificate, key)), Some(_)) if protect::unwrap(key, 0, passwords, ctx).is_ok() => {
                Ok((Cow::Borrowed(certificate), Cow::Borrowed(key)))
            }
            (_, Some(clear)) => {
                let (certificate, pkcs8) = carrier::make(&clear.bytes, label, self.session)?;
                let key = protect::wrap(self.version, &pkcs8, self.password, self.session)?;
                Ok((Cow::Owned(certificate), Cow::Owned(key)))
            }
            (Err(e), None) => Err(e),
        }
    }
}

/// A certificate (or request) and its wrapped key.
type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Certificate and wrapped key of a key that came from a kdb.
fn own_pair(key: &Secret) -> Result<(&[u8], &[u8])> {
    let raw = key.seal().filter(|s| s.format() == NAME).and_then(|s| s.raw());
    raw.map_or_else(|| Err(Error::password("the key is still sealed in another format's way")), split_pair)
}

/// A database being written.
struct Begun<'a> {
    at: usize,
    integrity: Integrity<'a>,
}

impl Begun<'_> {
    fn add(&mut self, slots: &[u8], out: &mut StagedFile<'_>) -> Result<()> {
        self.integrity.update(slots);
        out.put(slots)
    }

    fn end(self, out: &mut StagedFile<'_>) -> Result<()> {
        out.patch(self.at, &self.integrity.finish())
    }
}

/// The requests of a store by what makes them the same: label and bytes.
pub fn by_label<'a>(requests: &'a [Planned<'_>]) -> HashMap<(&'a [u8], &'a [u8]), ()> {
    requests.iter().map(|r| ((r.label, &*r.object), ())).collect()
}
