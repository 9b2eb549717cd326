//! The life of a key from its request to its certificate.
//!
//! A key waits where its format has room for waiting keys: as a request in a `.rdb` beside a kdb or in a PEM
//! file, as a key with a certificate by itself in Java's stores (keytool's way), as a key alone in PKCS#12 and
//! NSS; keytool's way is understood there too. PKCS#12 keeps the name and the wishes in two attributes of PKCS#9, unstructuredName and
//! extensionRequest; NSS has no room for them.
//!
//! A certificate is received by its public key and never by name. The certificates that come with it make the
//! key's chain and nothing else: none becomes an anchor that an anchor of the store does not vouch for.

use super::Input;
use super::keygen::{Subject, free_label, same_label, secret, self_signed, wishes};
use super::labels::shown;
use crate::asn1::{CertFields, Reader, Tag, cert_fields, oid, tlv};
use crate::context::Ctx;
use crate::crypto::public::{identity, spki_of_pkcs8};
use crate::crypto::sign::{Digest, KeyType, Signer, generate, verify_signed};
use crate::error::{Error, Kind, Result};
use crate::format::{Format, Labels, TrustRange};
use crate::issue::{Extensions, KeyUsage, Request};
use crate::model::{Attr, Der, Entry, Item, ItemKind, Label, Level, Link, Secret, Store, Trust};
use crate::query::dn::rfc4514;
use crate::query::time;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How a format keeps a key that waits for its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// As a request with its key.
    Request,
    /// As a key with a certificate by itself.
    SelfSigned,
    /// As a key without a certificate.
    Alone,
}

impl Keeping {
    /// The way of a format; an error where it has none.
    pub fn of(format: &dyn Format) -> Result<Keeping> {
        let carries = format.carries();
        let holds = |kind| carries.many && carries.items.contains(&kind);
        // keytool shows no key without a certificate.
        match carries.trust {
            _ if holds(ItemKind::Request) && holds(ItemKind::Key) => Ok(Keeping::Request),
            TrustRange::AlwaysAnchor if holds(ItemKind::Key) => Ok(Keeping::SelfSigned),
            _ if holds(ItemKind::Key) => Ok(Keeping::Alone),
            _ => Err(Error::unsupported(format!(
                "{} keeps no keys that wait for a certificate",
                format.name()
            ))),
        }
    }

    /// The word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Keeping::Request => "request",
            Keeping::SelfSigned => "self-signed",
            Keeping::Alone => "key",
        }
    }
}

/// A key that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its label.
    pub label: String,
    /// How it is kept.
    pub keeping: Keeping,
    /// The name that was asked for, where the format keeps it.
    pub subject: Option<Vec<u8>>,
    /// What was asked for besides, where the format keeps it.
    pub extensions: Extensions,
    /// The public key.
    pub spki: Vec<u8>,
    /// The request itself, where the format keeps it.
    pub csr: Option<Der>,
    at: usize,
}

impl Waiting {
    /// Name for messages.
    pub fn subject_text(&self) -> Option<String> {
        self.subject.as_ref().map(|s| rfc4514(s))
    }
}

/// Every key of `store` that waits for a certificate. Keys without a certificate are opened.
pub fn waiting(store: &Store, format: &dyn Format, ctx: &Ctx<'_>) -> Result<Vec<Waiting>> {
    let mut out = Vec::new();
    for (at, entry) in store.entries.iter().enumerate() {
        out.extend(
            waits(entry, format, ctx).map_err(|e| e.in_entry(shown(entry)))?.map(|w| Waiting { at, ..w }),
        );
    }
    Ok(out)
}

fn waits(entry: &Entry, format: &dyn Format, ctx: &Ctx<'_>) -> Result<Option<Waiting>> {
    let label = shown(entry).into_owned();
    let found = |keeping, subject, extensions, spki, csr| {
        Some(Waiting { label: label.clone(), keeping, subject, extensions, spki, csr, at: 0 })
    };
    Ok(match &entry.item {
        Item::Request { csr, key: Some(_) } => {
            let r = Request::read_unproven(csr)?;
            found(Keeping::Request, Some(r.subject), r.extensions, r.spki, Some(csr.clone()))
        }
        Item::Key { key, chain } if chain.is_empty() => match spki_of_pkcs8(&key.open(ctx)?.bytes)? {
            Some(spki) => {
                let (subject, extensions) = kept_wishes(entry);
                found(Keeping::Alone, subject, extensions, spki, None)
            }
            None => None,
        },
        Item::Key { chain, .. } if Keeping::of(format).is_ok_and(|k| k != Keeping::Request) => {
            let [leaf] = chain.as_slice() else { return Ok(None) };
            let fields = cert_fields(&leaf.cert)?;
            is_placeholder(&fields)?.then(|| wishes(&fields)).transpose()?.and_then(|wishes| {
                found(Keeping::SelfSigned, Some(fields.subject.to_vec()), wishes, fields.spki.to_vec(), None)
            })
        }
        _ => None,
    })
}

/// A certificate of a key by itself that nobody is meant to rely on: not an authority's, and of no more days than
/// keytool gives where it isn't told.
fn is_placeholder(fields: &CertFields<'_>) -> Result<bool> {
    let (from, until) = (time::seconds(fields.not_before), time::seconds(fields.not_after));
    let short = from.zip(until).is_some_and(|(from, until)| until - from <= PLACEHOLDER);
    Ok(short && fields.subject == fields.issuer && Extensions::read(fields.extensions)?.ca().is_none())
}

/// PKCS#9 unstructuredName
const UNSTRUCTURED_NAME: &str = "1.2.840.113549.1.9.2";
/// PKCS#9 extensionRequest
const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";

/// The name and wishes of a key alone, as the attributes that PKCS#12 keeps.
fn wishes_to_keep(format: &dyn Format, subject: &Subject) -> Vec<Attr> {
    if format.name() != "p12" {
        return Vec::new();
    }
    let name = tlv(0x31, &tlv(Tag::UTF8_STRING.0, rfc4514(&subject.name).as_bytes()));
    let mut out = vec![Attr::new("p12", UNSTRUCTURED_NAME, name)];
    if !subject.extensions.is_empty() {
        out.push(Attr::new("p12", EXTENSION_REQUEST, tlv(0x31, &subject.extensions.der())));
    }
    out
}

fn kept_wishes(entry: &Entry) -> (Option<Vec<u8>>, Extensions) {
    let inside = |id: &str, tag: Tag| {
        let set = Reader::new(entry.attr("p12", id)?, 0).expect(Tag::SET, "attribute values").ok()?;
        set.reader().expect(tag, "an attribute's value").ok()
    };
    let name = inside(UNSTRUCTURED_NAME, Tag::UTF8_STRING).and_then(|t| std::str::from_utf8(t.content).ok());
    let subject = name.and_then(|n| crate::query::dn_build::name_from_text(n).ok());
    let wishes = inside(EXTENSION_REQUEST, Tag::SEQUENCE).and_then(|t| Extensions::read(t.content).ok());
    (subject, wishes.unwrap_or_default())
}

/// A new request.
pub struct NewRequest<'a> {
    /// The label that the key waits under, and later has.
    pub label: &'a str,
    /// Whom it is for.
    pub subject: &'a Subject,
    /// The key.
    pub key: RequestKey,
    /// The digest of its signature, where the key leaves a choice.
    pub digest: Option<Digest>,
    /// Seconds since 1970.
    pub now: i64,
}

/// Which key a request is for.
pub enum RequestKey {
    /// A new one.
    New(KeyType),
    /// One that is there: PKCS#8.
    Known(Zeroizing<Vec<u8>>),
}

/// A placeholder's certificate ends after so many seconds: keytool's 90 days.
const PLACEHOLDER: i64 = 90 * 86_400;

/// Makes a request, and a key that waits in `store`; returns the request.
pub fn create(store: &mut Store, format: &dyn Format, job: &NewRequest<'_>) -> Result<Der> {
    free_label(store, format, job.label)?;
    let keeping = Keeping::of(format)?;
    let pkcs8 = match &job.key {
        RequestKey::New(kind) => generate(*kind)?,
        RequestKey::Known(key) => key.clone(),
    };
    let csr = Der::new(sign_request(&pkcs8, job.subject, job.digest)?);
    let (item, attrs) = match keeping {
        Keeping::Request => (Item::Request { csr: csr.clone(), key: Some(secret(pkcs8)) }, Vec::new()),
        Keeping::Alone => {
            (Item::Key { key: secret(pkcs8), chain: Vec::new() }, wishes_to_keep(format, job.subject))
        }
        Keeping::SelfSigned => {
            let until = (job.now, job.now + PLACEHOLDER);
            let own = Der::new(self_signed(&pkcs8, job.subject, until, job.digest)?);
            (Item::Key { key: secret(pkcs8), chain: vec![Link::from(own)] }, Vec::new())
        }
    };
    let mut entry = Entry::new(item).with_label(job.label);
    entry.attrs = attrs;
    store.entries.push(entry);
    Ok(csr)
}

fn sign_request(pkcs8: &[u8], subject: &Subject, digest: Option<Digest>) -> Result<Vec<u8>> {
    let alternative = subject.extensions.get(oid::SUBJECT_ALT_NAME).is_some();
    if subject.name.len() <= 2 && !alternative {
        return Err(Error::refused("a request without a name").hint("give the name with --dn"));
    }
    Request::make(&subject.name, &subject.extensions, &Signer::new(pkcs8, digest)?)
}

/// The key that waits under `label`; an error names those that wait.
pub fn find<'a>(list: &'a [Waiting], format: &dyn Format, label: &str) -> Result<&'a Waiting> {
    list.iter().find(|w| same_label(format, &w.label, label)).ok_or_else(|| {
        let others: Vec<_> = list.iter().map(describe).collect();
        let hint = match others.as_slice() {
            [] => "no key waits in this store; keyferry request create makes one".to_owned(),
            others => format!("waiting: {}", others.join("; ")),
        };
        Error::refused(format!("no key waits under the label \"{label}\"")).hint(hint)
    })
}

/// `"label" for DN`.
pub fn describe(waiting: &Waiting) -> String {
    match waiting.subject_text() {
        Some(name) => format!("\"{}\" for {name}", waiting.label),
        None => format!("\"{}\"", waiting.label),
    }
}

/// Makes the request of a waiting key again; with `subject` another one for the same key. Returns it, and
/// whether the store has changed.
pub fn recreate(
    store: &mut Store,
    format: &dyn Format,
    label: &str,
    subject: Option<&Subject>,
    digest: Option<Digest>,
    ctx: &Ctx<'_>,
) -> Result<(Der, bool)> {
    let list = waiting(store, format, ctx)?;
    let found = find(&list, format, label)?;
    if let (Some(csr), None, None) = (&found.csr, subject, digest) {
        return Ok((csr.clone(), false));
    }
    let kept = || {
        let name = found.subject.clone().ok_or_else(|| {
            Error::refused(format!("{} does not keep the name that a key waits for", format.name()))
                .hint("give it with --dn")
        })?;
        Ok::<_, Error>(Subject { name, extensions: found.extensions.clone() })
    };
    let subject = subject.cloned().map_or_else(kept, Ok)?;
    let pkcs8 = open(&store.entries, found.at, ctx)?;
    let made = Der::new(sign_request(&pkcs8, &subject, digest)?);
    let Some(entry) = store.entries.get_mut(found.at) else { return Ok((made, false)) };
    let changed = match &mut entry.item {
        Item::Request { csr, key } => {
            *csr = made.clone();
            *key = Some(secret(pkcs8));
            true
        }
        Item::Key { chain, .. } if chain.is_empty() => {
            let attrs = wishes_to_keep(format, &subject);
            entry.attrs.retain(|a| a.id != UNSTRUCTURED_NAME && a.id != EXTENSION_REQUEST);
            let any = !attrs.is_empty();
            entry.attrs.extend(attrs);
            any
        }
        _ => false,
    };
    Ok((made, changed))
}

fn open(entries: &[Entry], at: usize, ctx: &Ctx<'_>) -> Result<Zeroizing<Vec<u8>>> {
    let secret = entries.get(at).and_then(Entry::secret);
    let secret = secret.ok_or_else(|| Error::unsupported("the entry has no private key"))?;
    Ok(secret.open(ctx)?.bytes.clone())
}

/// Takes a waiting key out of the store.
pub fn delete(store: &mut Store, format: &dyn Format, label: &str, ctx: &Ctx<'_>) -> Result<Waiting> {
    let list = waiting(store, format, ctx)?;
    let found = find(&list, format, label)?.clone();
    store.entries.remove(found.at);
    Ok(found)
}

/// The certificates of a file: PEM, DER, PKCS#7, or any store.
pub fn certificates(input: &Input<'_>) -> Result<Vec<Der>> {
    let loaded = super::load(input)?;
    let mut out: Vec<Der> = Vec::new();
    for entry in loaded.store.entries {
        match entry.item {
            Item::Cert(certificate) => out.push(certificate),
            Item::Key { chain, .. } => out.extend(chain.into_iter().map(|l| l.cert)),
            _ => {}
        }
    }
    if out.is_empty() {
        return Err(Error::malformed("holds no certificate").in_file(input.source.path()));
    }
    Ok(out)
}

/// What became of a certificate.
#[derive(Clone, Debug)]
pub struct Received {
    /// The label that the key has now.
    pub label: String,
    /// The label that its forerunner has now, where there was one.
    pub old: Option<String>,
    /// The certificate.
    pub certificate: Der,
    /// Certificates in its chain.
    pub chain: usize,
    /// The name at whose certificate the chain ends, where the store trusts none of the chain.
    pub untrusted: Option<String>,
}

/// What waits under this mark after a label takes the label when its certificate comes.
pub const SUCCESSOR: &str = " (renewal)";

/// Finds the key of one of `certificates` among those of `store`, waiting ones first, and joins them; `None`
/// where it has none of them. A certificate that the key has already changes nothing.
///
/// `activate`: a successor takes its forerunner's label at once.
pub fn receive(
    store: &mut Store,
    format: &dyn Format,
    certificates: &[Der],
    activate: bool,
    now: i64,
    ctx: &Ctx<'_>,
) -> Result<Option<Received>> {
    let Some((place, leaf)) = owner(store, format, certificates, ctx)? else { return Ok(None) };
    let pool: Vec<Der> = certificates.iter().cloned().chain(all_certificates(store)).collect();
    let chain = chain_of(leaf, &pool);
    let untrusted = untrusted(store, &chain);
    if let (Labels::BySubject, false) = (format.carries().labels, activate) {
        return Err(Error::unsupported(format!(
            "{} labels all certificates of one subject alike",
            format.name()
        ))
        .hint("its programs take the newest one that is there: use keyferry request receive"));
    }
    let known: Vec<Der> = all_certificates(store).collect();
    let Some(entry) = store.entries.get(place) else { return Ok(None) };
    let Some(key) = entry.secret().cloned() else { return Ok(None) };
    // In its new place nothing stands that could be kept.
    let key = secret(key.open(ctx)?.bytes.clone());
    let label = shown(entry).into_owned();
    let fresh = Item::Key { key: Arc::clone(&key), chain: chain.iter().cloned().map(Link::from).collect() };
    let waits = waits(entry, format, ctx)?.is_some();
    let mut done = Received {
        label: label.clone(),
        old: None,
        certificate: leaf.clone(),
        chain: chain.len(),
        untrusted,
    };
    if waits {
        if let Some(entry) = store.entries.get_mut(place) {
            entry.item = fresh;
            entry.attrs.retain(|a| a.id != UNSTRUCTURED_NAME && a.id != EXTENSION_REQUEST);
            // A key without a label is called by its certificate now.
            done.label = shown(entry).into_owned();
        }
        if let (true, Some(base)) = (activate, label.strip_suffix(SUCCESSOR)) {
            done.old = take_label(store, format, place, base, now)?;
            base.clone_into(&mut done.label);
        }
    } else {
        // The same key with another certificate: the old one stays beside it.
        if let Some(Item::Key { key: own, .. }) = store.entries.get_mut(place).map(|e| &mut e.item) {
            *own = key;
        }
        store.entries.push(Entry::new(fresh).with_label(format!("{label}{SUCCESSOR}")));
        let place = store.entries.len() - 1;
        match activate {
            true => done.old = take_label(store, format, place, &label, now)?,
            false => done.label = format!("{label}{SUCCESSOR}"),
        }
    }
    if format.flat() {
        let vouched = vouched_for(store, format, &chain);
        for (at, signer) in chain.iter().enumerate().skip(1).filter(|(_, c)| !known.contains(c)) {
            let mut entry = Entry::new(Item::Cert(signer.clone()));
            // On its own it would count as an anchor where nothing else is said.
            entry.trust = Some(if at < vouched { Trust::all(Level::Anchor) } else { Trust::default() });
            store.entries.push(entry);
        }
    }
    Ok(Some(done))
}

/// The entry whose key one of the certificates is for, and that certificate: entries that wait come first, and
/// one that has the certificate already doesn't count.
fn owner<'a>(
    store: &Store,
    format: &dyn Format,
    certificates: &'a [Der],
    ctx: &Ctx<'_>,
) -> Result<Option<(usize, &'a Der)>> {
    let mut of_file = Vec::new();
    for certificate in certificates {
        of_file.push((identity(cert_fields(certificate)?.spki), certificate));
    }
    let fitting = |spki: &[u8]| {
        let wanted = identity(spki);
        of_file.iter().filter(move |(id, _)| *id == wanted).map(|(_, c)| *c).collect::<Vec<_>>()
    };
    for waiting in waiting(store, format, ctx)? {
        let own = store.entries.get(waiting.at).and_then(Entry::certificate);
        if let Some(certificate) = fitting(&waiting.spki).into_iter().find(|c| own != Some(*c)) {
            return Ok(Some((waiting.at, certificate)));
        }
    }
    let mut there = None;
    for (at, entry) in store.entries.iter().enumerate() {
        let (Item::Key { .. }, Some(leaf)) = (&entry.item, entry.certificate()) else { continue };
        let Ok(fields) = cert_fields(leaf) else { continue };
        for certificate in fitting(fields.spki) {
            match certificate == leaf {
                true => there = Some(shown(entry).into_owned()),
                false if there.is_none() => return Ok(Some((at, certificate))),
                false => {}
            }
        }
    }
    match there {
        Some(label) => Err(Error::refused(format!("the key \"{label}\" has this certificate already"))),
        None => Ok(None),
    }
}

fn all_certificates(store: &Store) -> impl Iterator<Item = Der> + '_ {
    store.entries.iter().flat_map(|e| match &e.item {
        Item::Cert(c) => vec![c.clone()],
        Item::Key { chain, .. } => chain.iter().map(|l| l.cert.clone()).collect(),
        _ => Vec::new(),
    })
}

/// Longer chains are nobody's.
const LONGEST: usize = 12;

/// A certificate with its issuers, as far as they are in `pool`: by name and signature. Where a signature is of
/// an algorithm that isn't checked here, the name alone decides, as in any chain that is stored.
pub fn chain_of(leaf: &Der, pool: &[Der]) -> Vec<Der> {
    let mut chain = vec![leaf.clone()];
    while let Some(last) = chain.last() {
        let Ok(fields) = cert_fields(last) else { break };
        if fields.issuer == fields.subject || chain.len() >= LONGEST {
            break;
        }
        let signed_by = |c: &&Der| {
            cert_fields(c).is_ok_and(|issuer| {
                issuer.subject == fields.issuer && verify_signed(last, issuer.spki).unwrap_or(true)
            })
        };
        match pool.iter().find(signed_by) {
            Some(issuer) if !chain.contains(issuer) => chain.push(issuer.clone()),
            _ => break,
        }
    }
    chain
}

/// Whether the store says that `certificate` is an anchor. Whoever has the issuer's own key trusts it; where a
/// store says nothing of trust, being there is enough.
fn is_anchor(store: &Store, certificate: &Der) -> bool {
    store.entries.iter().any(|e| match &e.item {
        Item::Cert(own) => {
            own == certificate && e.trust.as_ref().is_none_or(|t| t.levels.contains(&Level::Anchor))
        }
        Item::Key { .. } => e.certificate() == Some(certificate),
        _ => false,
    })
}

/// The place of the first anchor in a chain, if the format has one bit of trust and the signatures up to there
/// hold; else 0. GSKit uses no key whose signers are not all trusted, and a signer below an anchor is trusted
/// already by whatever follows chains, so that its bit raises nothing.
fn vouched_for(store: &Store, format: &dyn Format, chain: &[Der]) -> usize {
    if format.carries().trust != TrustRange::OneBit {
        return 0;
    }
    let anchor = chain.iter().enumerate().skip(1).find(|(_, c)| is_anchor(store, c)).map_or(0, |(at, _)| at);
    let holds = |pair: &[Der]| match pair {
        [below, above] => cert_fields(above).is_ok_and(|above| {
            let usages = Extensions::read(above.extensions).map(|e| e.key_usages());
            let may = usages.is_ok_and(|u| u.is_none_or(|u| u.contains(&KeyUsage::KeyCertSign)));
            may && above.is_ca() && verify_signed(below, above.spki).unwrap_or(false)
        }),
        _ => false,
    };
    let links = chain.get(..=anchor).unwrap_or_default();
    if links.windows(2).all(holds) { anchor } else { 0 }
}

/// The name where a chain ends, if the store trusts none of its issuers.
fn untrusted(store: &Store, chain: &[Der]) -> Option<String> {
    let last = chain.last()?;
    let fields = cert_fields(last).ok()?;
    (!chain.iter().skip(1).any(|c| is_anchor(store, c))).then(|| match fields.issuer == fields.subject {
        true => rfc4514(fields.subject),
        false => rfc4514(fields.issuer),
    })
}

/// Gives the entry at `place` the label `base`; who has it goes to `LABEL (old DATE)`, the mark of the default
/// goes over. Returns the forerunner's new label.
fn take_label(
    store: &mut Store,
    format: &dyn Format,
    place: usize,
    base: &str,
    now: i64,
) -> Result<Option<String>> {
    if let Labels::BySubject = format.carries().labels {
        // All certificates of one subject have one label there.
        if let Some(entry) = store.entries.get_mut(place) {
            entry.label = Some(Label::from(base));
        }
        return Ok(None);
    }
    let date = time::rfc3339(now);
    let date = date.get(..10).unwrap_or_default();
    let taken = |store: &Store, text: &str| store.entries.iter().any(|e| same_label(format, &shown(e), text));
    let mut old = format!("{base} (old {date})");
    let mut n = 2;
    while taken(store, &old) {
        old = format!("{base} (old {date} #{n})");
        n += 1;
    }
    let is_old = |at: usize, e: &Entry| at != place && same_label(format, &shown(e), base);
    let mut moved = None;
    let mut default = false;
    for (at, entry) in store.entries.iter_mut().enumerate() {
        if is_old(at, entry) {
            default |= std::mem::take(&mut entry.default);
            entry.label = Some(Label::from(&*old));
            moved = Some(old.clone());
        }
    }
    if let Some(entry) = store.entries.get_mut(place) {
        entry.label = Some(Label::from(base));
        entry.default |= default;
    }
    Ok(moved)
}

/// A request for a key's successor.
pub struct Renewal<'a> {
    /// The key.
    pub label: &'a str,
    /// The new key's kind; `None` keeps the key.
    pub new_key: Option<KeyType>,
    /// The digest of the request's signature, where the key leaves a choice.
    pub digest: Option<Digest>,
    /// Seconds since 1970.
    pub now: i64,
}

/// Makes a request with the name, alternative names and usages of a key's certificate. A new key waits as
/// `LABEL (renewal)`; with the same key nothing in the store changes, for the certificate finds its key.
/// Returns the request, and the label of what waits.
pub fn renew(
    store: &mut Store,
    format: &dyn Format,
    job: &Renewal<'_>,
    ctx: &Ctx<'_>,
) -> Result<(Der, Option<String>)> {
    let (subject, key) = current(store, format, job.label)?;
    let Some(kind) = job.new_key else {
        let pkcs8 = &key.open(ctx)?.bytes;
        return Ok((Der::new(sign_request(pkcs8, &subject, job.digest)?), None));
    };
    let label = format!("{}{SUCCESSOR}", job.label);
    free_label(store, format, &label).map_err(|e| {
        e.hint(format!(
            "keyferry request recreate writes the request of \"{label}\" again; keyferry request delete gives it up"
        ))
    })?;
    let new = NewRequest {
        label: &label,
        subject: &subject,
        key: RequestKey::New(kind),
        digest: job.digest,
        now: job.now,
    };
    Ok((create(store, format, &new)?, Some(label.clone())))
}

/// What a key's certificate says of its subject, and the key.
fn current(store: &Store, format: &dyn Format, label: &str) -> Result<(Subject, Arc<Secret>)> {
    let entry = store
        .entries
        .iter()
        .find(|e| matches!(e.item, Item::Key { .. }) && same_label(format, &shown(e), label));
    let (Some(leaf), Some(key)) =
        (entry.and_then(Entry::certificate), entry.and_then(|e| e.secret()).cloned())
    else {
        return Err(Error::refused(format!("no key with a certificate has the label \"{label}\""))
            .hint("keyferry list --kind key shows the keys"));
    };
    let fields = cert_fields(leaf)?;
    Ok((Subject { name: fields.subject.to_vec(), extensions: wishes(&fields)? }, key))
}

/// The public key of a key's certificate.
pub fn public_key(store: &Store, format: &dyn Format, label: &str) -> Result<Vec<u8>> {
    let is_it = |e: &&Entry| matches!(e.item, Item::Key { .. }) && same_label(format, &shown(e), label);
    let entry = store.entries.iter().find(is_it);
    let leaf = entry.and_then(Entry::certificate);
    let leaf =
        leaf.ok_or_else(|| Error::refused(format!("no key with a certificate has the label \"{label}\"")))?;
    Ok(cert_fields(leaf)?.spki.to_vec())
}

/// The certificate that has come for the successor of `label`, if it is one of `certificates`.
pub fn published(store: &Store, format: &dyn Format, label: &str, certificates: &[Der]) -> Option<Der> {
    let own = successor(store, format, label).and_then(|at| store.entries.get(at)?.certificate());
    own.filter(|c| certificates.contains(c)).cloned()
}

/// Where the successor of `label` stands.
fn successor(store: &Store, format: &dyn Format, label: &str) -> Option<usize> {
    let successor = format!("{label}{SUCCESSOR}");
    store.entries.iter().position(|e| same_label(format, &shown(e), &successor))
}

/// Makes the successor of `label`, whose certificate has come, the key of that label.
pub fn activate(store: &mut Store, format: &dyn Format, label: &str, now: i64) -> Result<Received> {
    let place = successor(store, format, label);
    let entry = place.and_then(|at| store.entries.get(at));
    let waiting = || {
        Error::refused(format!("nothing waits to follow \"{label}\"")).hint("keyferry renew makes a request")
    };
    let (Some(place), Some(entry)) = (place, entry) else { return Err(waiting()) };
    let signed = match (&entry.item, entry.certificate()) {
        (Item::Key { .. }, Some(c)) if !is_placeholder(&cert_fields(c)?)? => Some(c),
        _ => None,
    };
    let Some(certificate) = signed.cloned() else {
        return Err(Error::refused(format!("the certificate for \"{label}{SUCCESSOR}\" has not come yet"))
            .hint("keyferry renew --publish takes it in"));
    };
    let chain = match &entry.item {
        Item::Key { chain, .. } => chain.len(),
        _ => 0,
    };
    let starts = time::seconds(cert_fields(&certificate)?.not_before);
    if starts.is_some_and(|s| s > now) {
        return Err(Error::new(Kind::Refused, format!("the certificate for \"{label}\" is not valid yet")));
    }
    let old = take_label(store, format, place, label, now)?;
    Ok(Received { label: label.to_owned(), old, certificate, chain, untrusted: None })
}
