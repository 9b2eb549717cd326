//! From a store to bytes: lengths first, then the file in one go, of which only a window is in memory.
//!
//! What is written, beyond RFC 7292, and for whom:
//!
//! - friendlyName on every entry and on both halves of a pair: GSKit can't look up what has none, NSS
//!   takes it from the certificate, Java from the key.
//! - localKeyID on every key, unlike any other: NSS refuses a file with two equal ones, Java pairs the
//!   first match, and drops a key without one where there are several.
//! - Java's trustedKeyUsage on trusted certificates, without which Java drops them.
//! - Certificates of chains once each, although Java repeats them: it finds them all the same, and GSKit
//!   would rename a trusted one to its subject.
//! - Keys always enciphered: Java passes over those in the clear.
//!
//! Where a store is rewritten, bags that nobody changed keep their attributes byte for byte, and so their lack of a
//! name, by which Java would call them otherwise than before (it numbers those without), and their date of creation
//! (`Time …` in Java's localKeyID). Only a localKeyID that doesn't pair its key with its certificate is made anew.

use super::bag::{Attributes, is_other, is_public};
use super::profile::Profile;
use super::trust::{self, ANY_USAGE};
use super::{NAME, decode, names};
use crate::asn1::{self, header_len, oid, put_header};
use crate::context::Ctx;
use crate::crypto::pbe::{Keyed, Keyer};
use crate::crypto::{Authenticating, Enciphering};
use crate::error::{Error, Result};
use crate::model::{
    Attr, Entry, Item, ItemKind, KeyMaterial, Level, Link, Loss, LossKind, Secret, Store, Trust,
};
use crate::place::{PIECE, Source, StagedFile, Staging};
use foldhash::quality::RandomState;
use sha1::{Digest, Sha1};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet, hash_map};
use zeroize::Zeroizing;

/// Writes the whole file; what of `store` it doesn't hold.
pub(super) fn encode(
    store: &Store,
    base: Option<&Source>,
    to: &mut Staging,
    ctx: &Ctx<'_>,
) -> Result<Vec<Loss>> {
    let mut plan = Plan { rewrite: base.is_some(), ..Plan::default() };
    plan.keys_first = base.is_some_and(|b| b.bytes().and_then(decode::keys_first).unwrap_or(false));
    let Some(password) = ctx.secrets.store()? else {
        refuse_secrets(store)?;
        plan.fill(store, None, ctx)?;
        plan.note_nameless(store);
        file(&plan, None, None, to)?;
        return Ok(plan.losses);
    };
    let profile = Profile::choose(ctx, base)?;
    let certs = Keyer::new(profile.certs, &password, profile.rounds, ctx.session)?;
    let other;
    let keys = if profile.keys == profile.certs {
        &certs
    } else {
        other = Keyer::new(profile.keys, &password, profile.rounds, ctx.session)?;
        &other
    };
    plan.fill(store, Some(keys), ctx)?;
    if store.entries.iter().any(|e| matches!(e.item, Item::Crl(_) | Item::Other { .. })) {
        let text = "NSS and Firefox refuse a PKCS#12 that holds more than keys and certificates";
        plan.losses.push(Loss::new(LossKind::Note, "", text));
    }
    plan.note_nameless(store);
    if !password.bytes().is_ascii() {
        let text = "Java before 25 opens no PKCS#12 whose password is not ASCII";
        plan.losses.push(Loss::new(LossKind::Note, "", text));
    }
    let mac = profile.mac(&password, ctx)?;
    let keyed = if plan.open.is_empty() { None } else { Some(certs.next(ctx.session)?) };
    file(&plan, keyed.as_ref(), Some(&mac), to)?;
    Ok(plan.losses)
}

/// Without a password only what anybody may see is written.
fn refuse_secrets(store: &Store) -> Result<()> {
    let secret = store
        .entries
        .iter()
        .find(|e| e.secret().is_some() || matches!(&e.item, Item::Other { what, .. } if !is_public(what)));
    match secret {
        None => Ok(()),
        Some(e) => Err(Error::password("a PKCS#12 file with keys needs a password")
            .in_entry(e.label_text())
            .hint("give one, or leave the keys out with --certs-only")),
    }
}

/// All bags, with their lengths, before the first byte is written.
#[derive(Default)]
struct Plan<'a> {
    /// Bags for the first SafeContents, which is enciphered as a whole.
    open: Vec<Bag<'a>>,
    /// Bags whose content is enciphered by itself.
    shrouded: Vec<Bag<'a>>,
    /// The bags' attribute sets, one after the other.
    attributes: Vec<u8>,
    losses: Vec<Loss>,
    /// What is untouched keeps what stood there.
    rewrite: bool,
    /// Keys stand before certificates, as they stood: Java numbers entries without a name in the order of the file.
    keys_first: bool,
}

struct Bag<'a> {
    body: Body<'a>,
    /// Where its attributes end in [`Plan::attributes`]; they begin where the bag before it ended.
    attributes: std::ops::Range<usize>,
}

enum Body<'a> {
    Cert(&'a [u8]),
    Crl(&'a [u8]),
    /// The fields bagId and bagValue.
    Other(&'a [u8]),
    Key(Shroud<'a>),
    Secret(Shroud<'a>),
}

/// An `EncryptedPrivateKeyInfo`, or what it is made from.
enum Shroud<'a> {
    Copied(&'a [u8]),
    Fresh { pkcs8: Cow<'a, Zeroizing<Vec<u8>>>, keyed: Keyed },
}

/// One attribute.
enum Attribute<'a> {
    /// friendlyName, with the bytes of its UTF-16.
    Name(&'a str, usize),
    /// localKeyID
    Id(&'a [u8]),
    /// OID (content octets) and the SET.
    Kept(Cow<'a, [u8]>, &'a [u8]),
}

impl<'a> Plan<'a> {
    fn fill(&mut self, store: &'a Store, keyer: Option<&Keyer>, ctx: &Ctx<'_>) -> Result<()> {
        let mut chains = Chains::of(store, self.rewrite);
        let many_keys = chains.leaves.len() > 1;
        for entry in &store.entries {
            if entry.default && many_keys {
                let text = "PKCS#12 has no mark for the default key";
                self.losses.push(Loss::new(LossKind::Default, entry.label_text(), text));
            }
            let label = self.label(entry);
            match &entry.item {
                Item::Key { key, chain } => {
                    let keyer = keyer.ok_or_else(|| Error::password("a key needs a password"))?;
                    self.key(entry, label.as_deref(), key, chain, &mut chains, keyer, ctx)?;
                }
                Item::Cert(der) => self.cert(entry, label.as_deref(), der, &chains),
                Item::Crl(der) => {
                    let id = self.was(&entry.attrs).and_then(|w| w.id);
                    self.push(Body::Crl(der), label.as_deref(), id.as_deref(), &entry.attrs, None);
                }
                Item::Symmetric(secret) => {
                    let keyer = keyer.ok_or_else(|| Error::password("a key needs a password"))?;
                    self.secret(entry, label.as_deref(), secret, keyer, ctx)?;
                }
                Item::Other { what, body } => match is_other(what, body) {
                    Some(fields) => {
                        let id = self.was(&entry.attrs).and_then(|w| w.id);
                        self.push(Body::Other(fields), label.as_deref(), id.as_deref(), &entry.attrs, None);
                    }
                    None => self.lose(LossKind::Other, entry, format!("PKCS#12 holds no {what}")),
                },
                Item::Request { .. } => {
                    self.lose(LossKind::Request, entry, "PKCS#12 holds no requests".to_owned());
                }
            }
        }
        Ok(())
    }

    fn lose(&mut self, kind: LossKind, entry: &Entry, why: String) {
        self.losses.push(Loss::new(kind, entry.label_text(), why));
    }

    fn label(&mut self, entry: &'a Entry) -> Option<Cow<'a, str>> {
        if entry.label.as_ref().is_some_and(|l| l.as_str().is_none()) {
            let text = "PKCS#12 labels are Unicode, this one is not UTF-8";
            self.lose(LossKind::Label, entry, text.to_owned());
        }
        entry.label.as_ref().map(|l| l.text())
    }

    /// Entries that had no name in another file and get none here.
    fn note_nameless(&mut self, store: &Store) {
        let count = store.entries.iter().filter(|e| e.label_text().is_empty()).count();
        if count > 0 && !self.rewrite {
            let text = format!("{count} of the entries have no name, as before; GSKit can't look them up");
            self.losses.push(Loss::new(LossKind::Note, "", text));
        }
    }

    /// How an entry's attributes stood in the store that is rewritten.
    fn was(&self, attrs: &[Attr]) -> Option<Attributes> {
        if self.rewrite { as_written(attrs) } else { None }
    }

    #[allow(clippy::too_many_arguments)] // one call
    fn key(
        &mut self,
        entry: &'a Entry,
        label: Option<&str>,
        key: &'a Secret,
        chain: &'a [Link],
        chains: &mut Chains<'a>,
        keyer: &Keyer,
        ctx: &Ctx<'_>,
    ) -> Result<()> {
        self.note_trust_of_key(entry);
        let shroud = match (key.opened(), key.seal().filter(|s| s.format() == NAME)) {
            (None, Some(seal)) if seal.raw().is_some() => Shroud::Copied(seal.raw().unwrap_or_default()),
            _ => {
                let pkcs8 = Cow::Borrowed(&key.open(ctx)?.bytes);
                Shroud::Fresh { pkcs8, keyed: keyer.next(ctx.session)? }
            }
        };
        let (id, first) = chains.id(entry, chain);
        let (of_key, of_leaf) = self.names(entry, chain, label);
        self.push(Body::Key(shroud), of_key.as_deref(), Some(&id), &entry.attrs, None);
        for (at, link) in chain.iter().enumerate() {
            if at == 0 {
                self.push(Body::Cert(&link.cert), of_leaf.as_deref(), Some(&id), &link.attrs, None);
            } else if first && chains.takes(&link.cert) {
                let name = link.label.as_ref().map(|l| l.text());
                let id = self.was(&link.attrs).and_then(|w| w.id).filter(|id| !chains.has_id(id));
                self.push(Body::Cert(&link.cert), name.as_deref(), id.as_deref(), &link.attrs, None);
            }
        }
        Ok(())
    }

    /// The names of a key's bag and of its leaf's: the label, but where that is what a reader made of both.
    fn names(&self, entry: &Entry, chain: &[Link], label: Option<&str>) -> (Option<String>, Option<String>) {
        let same = label.map(str::to_owned);
        let text = |was: Attributes| was.name.map(|n| n.text().into_owned());
        let Some(key) = self.was(&entry.attrs).map(text) else { return (same.clone(), same) };
        let leaf = match chain.first().map(|l| self.was(&l.attrs).map(text)) {
            None => None,
            Some(Some(name)) => name,
            Some(None) => return (same.clone(), same),
        };
        if key.as_ref().or(leaf.as_ref()) == same.as_ref() { (key, leaf) } else { (same.clone(), same) }
    }

    fn note_trust_of_key(&mut self, entry: &Entry) {
        match &entry.trust {
            Some(t) if t.distrusts() => {
                let text = "Java's PKCS#12 can't say that a key's certificate is distrusted";
                self.lose(LossKind::Trust, entry, text.to_owned());
            }
            Some(t) if *t != Trust::default() => {
                let text = "PKCS#12 keeps no trust with a key's certificate";
                self.lose(LossKind::Note, entry, text.to_owned());
            }
            _ => {}
        }
    }

    fn cert(&mut self, entry: &'a Entry, label: Option<&str>, der: &'a [u8], chains: &Chains<'_>) {
        let usages = self.usages(entry, der);
        let id = self.was(&entry.attrs).and_then(|w| w.id).filter(|id| !chains.has_id(id));
        self.push(Body::Cert(der), label, id.as_deref(), &entry.attrs, usages.as_deref());
    }

    /// The value of Java's trustedKeyUsage for a certificate on its own; none for one that isn't trusted.
    fn usages(&mut self, entry: &'a Entry, der: &[u8]) -> Option<Cow<'a, [u8]>> {
        let kept = entry.attrs.iter().find(|a| is_usage(a)).map(|a| &*a.value);
        let Some(trust) = &entry.trust else {
            return Some(Cow::Borrowed(kept.unwrap_or(ANY_USAGE))).filter(|set| !set.is_empty());
        };
        if let Some(kept) = kept.filter(|k| trust::of_kept(k).as_ref() == Some(trust)) {
            return Some(Cow::Borrowed(kept));
        }
        let (kind, text) = match trust {
            t if t.is_full_anchor() => return Some(trust::to_usages(t)),
            t if t.distrusts() => {
                (LossKind::Trust, "PKCS#12 can't say that it is distrusted; it is written as not trusted")
            }
            t if !has(t, Level::Anchor) && !has(t, Level::Peer) => (
                LossKind::Trust,
                "PKCS#12 can't say that it is not trusted, only leave that open: Java trusts it no longer, GSKit does",
            ),
            t if raises(t, der) => {
                (LossKind::TrustRaised, "Java trusts it for everything, whatever usages PKCS#12 names")
            }
            t => return Some(trust::to_usages(t)),
        };
        self.lose(kind, entry, text.to_owned());
        (kind == LossKind::TrustRaised).then(|| trust::to_usages(trust))
    }

    fn secret(
        &mut self,
        entry: &'a Entry,
        label: Option<&str>,
        secret: &'a Secret,
        keyer: &Keyer,
        ctx: &Ctx<'_>,
    ) -> Result<()> {
        let shroud = match (secret.opened(), secret.seal().filter(|s| s.format() == NAME)) {
            (None, Some(seal)) if seal.raw().is_some() => Shroud::Copied(seal.raw().unwrap_or_default()),
            _ => match secret_as_pkcs8(secret.open(ctx)?) {
                Some(pkcs8) => Shroud::Fresh { pkcs8: Cow::Owned(pkcs8), keyed: keyer.next(ctx.session)? },
                None => {
                    let text = "its algorithm has no object identifier, which PKCS#12 needs";
                    self.lose(LossKind::Secret, entry, text.to_owned());
                    return Ok(());
                }
            },
        };
        // Java reads no secret without an id; which one doesn't matter.
        let made = || Sha1::digest(label.unwrap_or_default()).to_vec();
        let id = self.was(&entry.attrs).and_then(|w| w.id).map_or_else(made, |id| id.to_vec());
        self.push(Body::Secret(shroud), label, Some(&id), &entry.attrs, None);
        Ok(())
    }

    /// Adds a bag. `usage` is the value of Java's trustedKeyUsage. What stood there and says the same goes as it is.
    fn push(
        &mut self,
        body: Body<'a>,
        label: Option<&str>,
        id: Option<&[u8]>,
        kept: &[Attr],
        usage: Option<&[u8]>,
    ) {
        let start = self.attributes.len();
        let was = self.was(kept).filter(|was| says(was, label, id, kept, usage));
        if let Some(was) = was {
            self.attributes.extend_from_slice(was.written.as_deref().unwrap_or_default());
            return self.place(Bag { attributes: start..self.attributes.len(), body });
        }
        let mut list: Vec<Attribute<'_>> = Vec::with_capacity(3 + kept.len());
        list.extend(label.map(|l| Attribute::Name(l, l.encode_utf16().count() * 2)));
        list.extend(id.map(Attribute::Id));
        list.extend(usage.map(|u| Attribute::Kept(Cow::Borrowed(oid::JAVA_TRUSTED_KEY_USAGE), u)));
        for attr in own(kept) {
            list.extend(oid::from_dotted(&attr.id).map(|id| Attribute::Kept(Cow::Owned(id), &attr.value)));
        }
        // DER orders a SET OF by its members' encodings; shorter ones have the smaller length octets.
        list.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.id().cmp(b.id())));
        let total: usize = list.iter().map(|a| header_len(a.len()) + a.len()).sum();
        if total > 0 {
            put_header(&mut self.attributes, 0x31, total);
            list.iter().for_each(|a| a.put(&mut self.attributes));
        }
        self.place(Bag { attributes: start..self.attributes.len(), body });
    }

    fn place(&mut self, bag: Bag<'a>) {
        match bag.body {
            Body::Key(_) | Body::Secret(_) => self.shrouded.push(bag),
            _ => self.open.push(bag),
        }
    }
}

/// How a bag's attributes stood in the file that an entry was read from.
fn as_written(attrs: &[Attr]) -> Option<Attributes> {
    let attr = attrs.iter().find(|a| a.format == NAME && a.is_as_written())?;
    Attributes::of_set(&attr.value)
}

/// Whether attributes as they stood say just what is to be said.
fn says(
    was: &Attributes,
    label: Option<&str>,
    id: Option<&[u8]>,
    kept: &[Attr],
    usage: Option<&[u8]>,
) -> bool {
    let was_usage =
        was.trust.as_ref().map(|_| was.rest.iter().find(|a| is_usage(a)).map_or(ANY_USAGE, |a| &a.value));
    was.name.as_ref().map(|n| n.text()).as_deref() == label
        && was.id.as_deref() == id
        && was_usage == usage
        && own(&was.rest).eq(own(kept))
}

/// The attributes that are kept as they are.
fn own(attrs: &[Attr]) -> impl Iterator<Item = &Attr> {
    attrs.iter().filter(|a| a.format == NAME && !is_usage(a) && !a.is_as_written())
}

/// A friendlyName, a localKeyID and trustedKeyUsage are made anew; only the last may be kept.
fn is_usage(attr: &Attr) -> bool {
    attr.format == NAME && attr.id == "2.16.840.1.113894.746875.1.1"
}

fn has(trust: &Trust, level: Level) -> bool {
    trust.levels.contains(&level) || trust.usages.iter().any(|(_, l)| *l == level)
}

/// Whether trust for everything is more than `trust` says: a purpose is open, or a CA is only a peer.
fn raises(trust: &Trust, der: &[u8]) -> bool {
    let is_ca = || asn1::cert_fields(der).is_ok_and(|f| f.is_ca());
    trust.levels.contains(&Level::Unset) || (has(trust, Level::Peer) && is_ca())
}

/// Which certificates of chains are still to be written, and which leaves are there more than once.
struct Chains<'a> {
    /// Certificates that get a bag as a leaf or as an entry of their own, or have one already.
    placed: HashSet<&'a [u8], RandomState>,
    /// How many keys with this leaf were written.
    leaves: HashMap<&'a [u8], usize, RandomState>,
    /// The localKeyIDs of keys that are kept, and those that were made.
    ids: HashMap<Vec<u8>, Made, RandomState>,
}

/// Where a localKeyID is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// It stood on one key and its certificate.
    Before,
    /// It is new, or it stood on several.
    Now,
}

impl<'a> Chains<'a> {
    fn of(store: &'a Store, rewrite: bool) -> Self {
        let mut out =
            Chains { placed: HashSet::default(), leaves: HashMap::default(), ids: HashMap::default() };
        let mut above: HashSet<&[u8], RandomState> = HashSet::default();
        for entry in &store.entries {
            if let Item::Key { chain, .. } = &entry.item {
                out.leaves.extend(chain.first().map(|l| (&*l.cert, 0)));
                if let Some(id) = own_id(entry, chain).filter(|_| rewrite) {
                    out.ids.entry(id).and_modify(|made| *made = Made::Now).or_insert(Made::Before);
                }
                above.extend(chain.iter().skip(1).map(|l| &*l.cert));
            }
        }
        out.placed.extend(out.leaves.keys().copied());
        if !above.is_empty() {
            let certs = store.entries.iter().filter(|e| e.item.kind() == ItemKind::Cert);
            out.placed.extend(certs.filter_map(Entry::object).map(|d| &**d).filter(|d| above.contains(d)));
        }
        out
    }

    /// Whether this certificate of a chain needs a bag; from now on it has one.
    fn takes(&mut self, cert: &'a [u8]) -> bool {
        self.placed.insert(cert)
    }

    /// Whether it is a key's: no certificate but its leaf may have it.
    fn has_id(&self, id: &[u8]) -> bool {
        self.ids.contains_key(id)
    }

    /// The localKeyID for a key with this chain, and whether it is the first with its leaf.
    fn id(&mut self, entry: &Entry, chain: &'a [Link]) -> (Vec<u8>, bool) {
        // Keys without a certificate are counted together: no search through thousands.
        let leaf: &[u8] = chain.first().map_or(&[], |l| &l.cert);
        let count = self.leaves.entry(leaf).or_default();
        *count += 1;
        let mut n = *count as u64;
        let first = n == 1 || chain.is_empty();
        if let Some(id) = own_id(entry, chain).filter(|id| self.ids.get(id) == Some(&Made::Before)) {
            return (id, first);
        }
        let label = entry.label_text();
        let hash = Sha1::new().chain_update(chain.first().map_or(label.as_bytes(), |l| &*l.cert));
        loop {
            let hash = hash.clone();
            let hash = if n == 1 { hash } else { hash.chain_update(u64::to_be_bytes(n)) };
            let id = hash.finalize().to_vec();
            if let hash_map::Entry::Vacant(free) = self.ids.entry(id.clone()) {
                free.insert(Made::Now);
                return (id, first);
            }
            n += 1;
        }
    }
}

/// The localKeyID that a key and its certificate had in common.
fn own_id(entry: &Entry, chain: &[Link]) -> Option<Vec<u8>> {
    let id = as_written(&entry.attrs)?.id?;
    let paired = match chain.first() {
        None => true,
        Some(leaf) => as_written(&leaf.attrs)?.id.as_deref() == Some(&*id),
    };
    paired.then(|| id.to_vec())
}

/// Java's shape of a secret key: PKCS#8 whose algorithm names the cipher and whose key is the raw octets.
/// `None` where the algorithm has no OID.
fn secret_as_pkcs8(key: &KeyMaterial) -> Option<Zeroizing<Vec<u8>>> {
    let id = names::to_oid(key.algorithm.as_deref()?)?;
    let algorithm = asn1::tlv_of(0x30, &[&asn1::oid_tlv(&id), &[0x05, 0x00]]);
    let content = 3 + algorithm.len() + header_len(key.bytes.len()) + key.bytes.len();
    let mut out = Zeroizing::new(Vec::with_capacity(header_len(content) + content));
    put_header(&mut out, 0x30, content);
    out.extend_from_slice(&[0x02, 0x01, 0x00]);
    out.extend_from_slice(&algorithm);
    put_header(&mut out, 0x04, key.bytes.len());
    out.extend_from_slice(&key.bytes);
    Some(out)
}

impl Attribute<'_> {
    fn id(&self) -> &[u8] {
        match self {
            Attribute::Name(..) => oid::FRIENDLY_NAME,
            Attribute::Id(_) => oid::LOCAL_KEY_ID,
            Attribute::Kept(id, _) => id,
        }
    }

    /// Bytes of the SEQUENCE's content.
    fn len(&self) -> usize {
        let set = match self {
            Attribute::Name(_, n) => wrapped(wrapped(*n)),
            Attribute::Id(id) => wrapped(wrapped(id.len())),
            Attribute::Kept(_, set) => set.len(),
        };
        wrapped(self.id().len()) + set
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_header(out, 0x30, self.len());
        put_header(out, 0x06, self.id().len());
        out.extend_from_slice(self.id());
        match self {
            Attribute::Name(text, n) => {
                put_header(out, 0x31, wrapped(*n));
                put_header(out, 0x1e, *n);
                text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_be_bytes()));
            }
            Attribute::Id(id) => {
                put_header(out, 0x31, wrapped(id.len()));
                put_header(out, 0x04, id.len());
                out.extend_from_slice(id);
            }
            Attribute::Kept(_, set) => out.extend_from_slice(set),
        }
    }
}

/// Bytes of an element around a content of `len` bytes.
fn wrapped(len: usize) -> usize {
    header_len(len) + len
}

impl Shroud<'_> {
    fn len(&self) -> usize {
        match self {
            Shroud::Copied(raw) => raw.len(),
            Shroud::Fresh { pkcs8, keyed } => keyed.pkcs8_len(pkcs8.len()),
        }
    }

    fn put(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Shroud::Copied(raw) => out.extend_from_slice(raw),
            Shroud::Fresh { pkcs8, keyed } => keyed.put_pkcs8(pkcs8, out)?,
        }
        Ok(())
    }
}

impl Bag<'_> {
    /// Bytes of bagId and bagValue.
    fn fields_len(&self) -> usize {
        match &self.body {
            Body::Cert(der) => wrapped(oid::CERT_BAG.len()) + wrapped(typed_len(oid::X509_CERTIFICATE, der)),
            Body::Crl(der) => wrapped(oid::CRL_BAG.len()) + wrapped(typed_len(oid::X509_CRL, der)),
            Body::Other(fields) => fields.len(),
            Body::Key(shroud) => wrapped(oid::SHROUDED_KEY_BAG.len()) + wrapped(shroud.len()),
            Body::Secret(shroud) => wrapped(oid::SECRET_BAG.len()) + wrapped(secret_bag_len(shroud)),
        }
    }

    fn len(&self) -> usize {
        self.fields_len() + self.attributes.len()
    }

    fn put(&self, attributes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        put_header(out, 0x30, self.len());
        match &self.body {
            Body::Cert(der) => put_typed(oid::CERT_BAG, oid::X509_CERTIFICATE, der, out),
            Body::Crl(der) => put_typed(oid::CRL_BAG, oid::X509_CRL, der, out),
            Body::Other(fields) => out.extend_from_slice(fields),
            Body::Key(shroud) => {
                put_oid(out, oid::SHROUDED_KEY_BAG);
                put_header(out, 0xa0, shroud.len());
                shroud.put(out)?;
            }
            Body::Secret(shroud) => {
                put_oid(out, oid::SECRET_BAG);
                put_header(out, 0xa0, secret_bag_len(shroud));
                put_header(out, 0x30, secret_content_len(shroud));
                put_oid(out, oid::SHROUDED_KEY_BAG);
                put_header(out, 0xa0, wrapped(shroud.len()));
                put_header(out, 0x04, shroud.len());
                shroud.put(out)?;
            }
        }
        out.extend_from_slice(attributes.get(self.attributes.clone()).unwrap_or_default());
        Ok(())
    }
}

/// A CertBag or CRLBag as a whole.
fn typed_len(id: &[u8], der: &[u8]) -> usize {
    wrapped(typed_content_len(id, der))
}

fn typed_content_len(id: &[u8], der: &[u8]) -> usize {
    wrapped(id.len()) + wrapped(wrapped(der.len()))
}

fn put_typed(bag: &[u8], id: &[u8], der: &[u8], out: &mut Vec<u8>) {
    put_oid(out, bag);
    put_header(out, 0xa0, typed_len(id, der));
    put_header(out, 0x30, typed_content_len(id, der));
    put_oid(out, id);
    put_header(out, 0xa0, wrapped(der.len()));
    put_header(out, 0x04, der.len());
    out.extend_from_slice(der);
}

/// Java's SecretBag as a whole.
fn secret_bag_len(shroud: &Shroud<'_>) -> usize {
    wrapped(secret_content_len(shroud))
}

fn secret_content_len(shroud: &Shroud<'_>) -> usize {
    wrapped(oid::SHROUDED_KEY_BAG.len()) + wrapped(wrapped(shroud.len()))
}

fn put_oid(out: &mut Vec<u8>, id: &[u8]) {
    put_header(out, 0x06, id.len());
    out.extend_from_slice(id);
}

/// A SafeContents and the ContentInfo around it.
struct Safe<'a, 'b> {
    bags: &'b [Bag<'a>],
    /// Bytes of the SEQUENCE's content.
    content: usize,
    keyed: Option<&'b Keyed>,
}

impl<'a, 'b> Safe<'a, 'b> {
    fn new(bags: &'b [Bag<'a>], keyed: Option<&'b Keyed>) -> Option<Self> {
        let content = bags.iter().map(|b| wrapped(b.len())).sum();
        (!bags.is_empty()).then_some(Safe { bags, content, keyed })
    }

    /// Bytes of the OCTET STRING's content: the SafeContents, or what it is enciphered into.
    fn octets_len(&self) -> usize {
        let plain = wrapped(self.content);
        self.keyed.map_or(plain, |k| k.sealed_len(plain))
    }

    /// Bytes of EncryptedContentInfo's content.
    fn info_len(&self, keyed: &Keyed) -> usize {
        wrapped(oid::DATA.len()) + keyed.algorithm().len() + wrapped(self.octets_len())
    }

    /// Bytes of what stands in the ContentInfo's `[0]`.
    fn value_len(&self) -> usize {
        match self.keyed {
            None => wrapped(self.octets_len()),
            Some(keyed) => wrapped(VERSION_0.len() + wrapped(self.info_len(keyed))),
        }
    }

    fn id(&self) -> &'static [u8] {
        if self.keyed.is_some() { oid::ENCRYPTED_DATA } else { oid::DATA }
    }

    fn len(&self) -> usize {
        wrapped(self.id().len()) + wrapped(self.value_len())
    }

    fn put(&self, attributes: &[u8], to: &mut Outflow<'_>) -> Result<()> {
        let out = &mut *to.pending;
        put_header(out, 0x30, self.len());
        put_oid(out, self.id());
        put_header(out, 0xa0, self.value_len());
        match self.keyed {
            None => put_header(out, 0x04, self.octets_len()),
            Some(keyed) => {
                put_header(out, 0x30, VERSION_0.len() + wrapped(self.info_len(keyed)));
                out.extend_from_slice(VERSION_0);
                put_header(out, 0x30, self.info_len(keyed));
                put_oid(out, oid::DATA);
                out.extend_from_slice(keyed.algorithm());
                put_header(out, 0x80, self.octets_len());
            }
        }
        if let Some(keyed) = self.keyed {
            to.encipher(keyed)?;
        }
        put_header(&mut to.pending, 0x30, self.content);
        for bag in self.bags {
            bag.put(attributes, &mut to.pending)?;
            to.flow()?;
        }
        self.keyed.map_or(Ok(()), |k| to.enciphered(k))
    }
}

/// INTEGER 0.
const VERSION_0: &[u8] = &[0x02, 0x01, 0x00];
/// INTEGER 3.
const VERSION_3: &[u8] = &[0x02, 0x01, 0x03];

/// The whole file.
fn file(
    plan: &Plan<'_>,
    certs: Option<&Keyed>,
    mac: Option<&super::mac::Maker>,
    to: &mut Staging,
) -> Result<()> {
    let mut safes: Vec<_> =
        Safe::new(&plan.open, certs).into_iter().chain(Safe::new(&plan.shrouded, None)).collect();
    if plan.keys_first {
        safes.reverse();
    }
    let list: usize = safes.iter().map(|s| wrapped(s.len())).sum();
    let octets = wrapped(list);
    let auth_safe = wrapped(oid::DATA.len()) + wrapped(wrapped(octets));
    let content = VERSION_3.len() + wrapped(auth_safe) + mac.map_or(0, |m| m.len());
    let largest = safes.iter().flat_map(|s| s.bags).map(|b| wrapped(b.len())).max();
    let room = PIECE.min(wrapped(content)) + largest.unwrap_or(0) + SLACK;
    let mut to = Outflow::new(to.file()?, room);
    let out = &mut *to.pending;
    put_header(out, 0x30, content);
    out.extend_from_slice(VERSION_3);
    put_header(out, 0x30, auth_safe);
    put_oid(out, oid::DATA);
    put_header(out, 0xa0, wrapped(octets));
    put_header(out, 0x04, octets);
    to.pass()?;
    to.mac = mac.map(|m| m.start()).transpose()?;
    put_header(&mut to.pending, 0x30, list);
    for safe in &safes {
        safe.put(&plan.attributes, &mut to)?;
    }
    to.pass()?;
    if let (Some(maker), Some(run)) = (mac, to.mac.take()) {
        to.pending.extend_from_slice(&maker.data(&run.finish()));
        to.pass()?;
    }
    debug_assert_eq!(to.passed, wrapped(content), "lengths were computed first");
    Ok(())
}

/// The file on its way out: bytes are gathered, enciphered in place, run through the MAC and handed on.
struct Outflow<'a> {
    file: StagedFile<'a>,
    /// Gathered. Its room never grows, so that no key in the clear is left behind in an old one.
    pending: Zeroizing<Vec<u8>>,
    cipher: Option<Box<dyn Enciphering>>,
    mac: Option<Box<dyn Authenticating>>,
    /// Bytes that were handed on.
    passed: usize,
}

/// All headers that may stand before a bag, and the padding behind the last.
const SLACK: usize = 512;

impl<'a> Outflow<'a> {
    fn new(file: StagedFile<'a>, room: usize) -> Self {
        let pending = Zeroizing::new(Vec::with_capacity(room));
        Outflow { file, pending, cipher: None, mac: None, passed: 0 }
    }

    /// After each bag.
    fn flow(&mut self) -> Result<()> {
        if self.pending.len() < PIECE { Ok(()) } else { self.pass() }
    }

    /// Hands on what is complete: all, or the whole blocks of what is being enciphered.
    fn pass(&mut self) -> Result<()> {
        let done = match &mut self.cipher {
            Some(cipher) => cipher.blocks(&mut self.pending),
            None => self.pending.len(),
        };
        let (ready, _) = self.pending.split_at(done);
        if let Some(mac) = &mut self.mac {
            mac.update(ready);
        }
        self.file.put(ready)?;
        self.passed += done;
        self.pending.drain(..done);
        Ok(())
    }

    /// What comes from here on is enciphered.
    fn encipher(&mut self, keyed: &Keyed) -> Result<()> {
        self.pass()?;
        self.cipher = Some(keyed.start()?);
        Ok(())
    }

    /// Up to here.
    fn enciphered(&mut self, keyed: &Keyed) -> Result<()> {
        self.pass()?;
        let plain = self.pending.len();
        self.pending.resize(keyed.sealed_len(plain), 0);
        if let Some(cipher) = self.cipher.take() {
            let odd = || Error::unsupported("the cipher can't take this");
            cipher.last(&mut self.pending, plain).ok_or_else(odd)?;
        }
        self.pass()
    }
}
