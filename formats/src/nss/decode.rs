//! Databases into a store.
//!
//! Certificates, trust and keys are rows of their own, tied by issuer and serial number, by key identifier,
//! and by the integrity records. Whatever is wrong with one object is said of that object.

use super::chain::Chains;
use super::keys::{self, Private, Public, RSA_NUMBERS};
use super::layout::*;
use super::protect::{self, Master, PasswordEntry, derivation};
use super::sql::{Db, Meta, Object};
use super::trust::{self, NSS_WORDS, PKCS11_WORDS, Words};
use crate::asn1::{cert_fields, tlv};
use crate::context::{Ctx, Session};
use crate::crypto::pbe::Protection;
use crate::crypto::public::identity;
use crate::error::{Error, Kind, Result};
use crate::model::{Attr, Der, Entry, Item, KeyMaterial, Label, Link, Seal, Secret, Store};
use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The format's name, in facts and seals.
pub const NAME: &str = "nss";
/// The fact that says: this entry's body is a packed row.
pub const ROW: &str = "row";

/// What is read of `nssPublic`; other attributes only of objects that are of no known class.
pub const WANTED: &[Type] = &[
    LABEL,
    VALUE,
    ISSUER,
    SERIAL,
    NAME_HASH_ALGORITHM,
    KEY_TYPE,
    ID,
    MODULUS,
    PUBLIC_EXPONENT,
    PRIME,
    SUBPRIME,
    BASE,
    EC_PARAMS,
    EC_POINT,
    TRUST_SERVER,
    TRUST_CLIENT,
    TRUST_CODE,
    TRUST_EMAIL,
    HASH_OF_CERTIFICATE,
    NSS_TRUST_SERVER,
    NSS_TRUST_CLIENT,
    NSS_TRUST_CODE,
    NSS_TRUST_EMAIL,
    NSS_STEP_UP,
    NSS_SHA1,
    NSS_MD5,
];

/// Reads the databases in `folder`.
pub fn decode(folder: &Path, ctx: &Ctx<'_>) -> Result<Store> {
    let public = Db::read(folder, Table::Public)?;
    let path = folder.join(KEY_DB);
    if path.symlink_metadata().is_err() {
        return decode_open(&public, None, ctx);
    }
    let private = Db::read(folder, Table::Private);
    decode_open(&public, Some(private), ctx)
}

/// The same for databases that are open; `private` is `None` where there is none.
pub fn decode_open(public: &Db, private: Option<Result<Db>>, ctx: &Ctx<'_>) -> Result<Store> {
    let mut store = Store::default();
    let public = PublicObjects::read(public, &mut store)?;
    let private = PrivateObjects::read(private, &mut store)?;
    let login = Login::new(private.meta.as_ref(), ctx, &mut store)?;
    let world = World { ctx, records: private.meta.map(|m| m.records).unwrap_or_default(), login };
    world.entries(public, private.objects, &mut store)?;
    Ok(store)
}

/// The objects of `cert9.db` by kind.
#[derive(Default)]
struct PublicObjects {
    certificates: Vec<Certificate>,
    /// By issuer and serial number, as they stand.
    trust: HashMap<Vec<u8>, Vec<Object>>,
    /// By key identifier.
    keys: HashMap<Vec<u8>, Public>,
    crls: Vec<Vec<u8>>,
    others: Vec<Object>,
}

/// A certificate's row.
pub struct Certificate {
    pub der: Der,
    pub label: Option<Label>,
    /// What keys are joined by.
    pub id: Option<Vec<u8>>,
}

impl Certificate {
    fn text(&self) -> String {
        let subject = || cert_fields(&self.der).map(|f| crate::query::dn::rfc4514(f.subject));
        self.label.as_ref().map_or_else(|| subject().unwrap_or_default(), |l| l.text().into_owned())
    }
}

impl PublicObjects {
    fn read(db: &Db, store: &mut Store) -> Result<Self> {
        let mut out = PublicObjects::default();
        let mut seen = HashSet::new();
        let mut unknown = HashSet::new();
        db.objects(Table::Public, WANTED, |object| {
            let sorted = object.and_then(|o| out.sort(o, &mut seen, &mut unknown));
            if let Err(e) = sorted {
                store.defects.push(Arc::new(e.in_file(db.path())));
            }
        })?;
        if !unknown.is_empty() {
            db.objects(Table::Public, &[], |object| {
                // What is wrong with the others was said the first time.
                out.others.extend(object.ok().filter(|o| unknown.contains(&o.id)));
            })?;
        }
        Ok(out)
    }

    fn sort(
        &mut self,
        mut object: Object,
        seen: &mut HashSet<Vec<u8>>,
        unknown: &mut HashSet<u32>,
    ) -> Result<()> {
        let label = label(&object);
        let name = display(&label, object.id);
        let named = |e: Error| e.without_offset().in_entry(&*name);
        match object.class {
            class::CERTIFICATE => {
                let id = object.take(ID);
                let Some(value) = object.take(VALUE) else {
                    return Err(named(Error::malformed("a certificate without content")));
                };
                cert_fields(&value)
                    .map_err(|e| named(Error::malformed(format!("no certificate: {}", e.message()))))?;
                // NSS shows a certificate once, however many rows it has.
                if seen.insert(Sha256::digest(&value).to_vec()) {
                    self.certificates.push(Certificate { der: Der::new(value), label, id });
                }
            }
            class::NSS_TRUST | class::TRUST => {
                let (Some(issuer), Some(serial)) = (object.get(ISSUER), object.get(SERIAL)) else {
                    return Err(named(Error::malformed("a trust object that names no certificate")));
                };
                self.trust.entry([issuer, serial].concat()).or_default().push(object);
            }
            class::PUBLIC_KEY => {
                if let (Some(public), Some(id)) = (Public::of_object(&object), object.take(ID)) {
                    self.keys.entry(id).or_insert(public);
                }
            }
            class::NSS_CRL => match object.take(VALUE) {
                Some(crl) => self.crls.push(crl),
                None => return Err(named(Error::malformed("a revocation list without content"))),
            },
            _ => drop(unknown.insert(object.id)),
        }
        Ok(())
    }
}

/// What `key4.db` holds.
#[derive(Default)]
struct PrivateObjects {
    objects: Vec<Object>,
    meta: Option<Meta>,
}

impl PrivateObjects {
    /// Certificates can be listed without it, so what is wrong with it is a defect. That it could not be read
    /// just now is an error: a store without its keys is not what is there.
    fn read(db: Option<Result<Db>>, store: &mut Store) -> Result<Self> {
        let mut out = PrivateObjects::default();
        let Some(db) = db else {
            let text = format!("{KEY_DB} is missing: no keys, and trust that nothing vouches for");
            store.warnings.push(text);
            return Ok(out);
        };
        let read = || {
            let db = db?;
            out.meta = db.meta()?;
            db.objects(Table::Private, &[], |object| match object {
                Ok(object) => out.objects.push(object),
                Err(e) => store.defects.push(Arc::new(e.in_file(db.path()))),
            })
        };
        match read() {
            Err(e) if !matches!(e.kind(), Kind::Malformed | Kind::Unsupported | Kind::TooLarge) => {
                return Err(e);
            }
            Err(e) => store.defects.push(Arc::new(e)),
            Ok(()) => {}
        }
        Ok(out)
    }
}

/// Whether and how the databases are opened.
struct Login {
    master: Option<Master>,
    entry: Option<Arc<PasswordEntry>>,
}

impl Login {
    fn new(meta: Option<&Meta>, ctx: &Ctx<'_>, store: &mut Store) -> Result<Self> {
        let Some(entry) = meta.and_then(|m| m.password.clone()) else {
            return Ok(Login { master: None, entry: None });
        };
        let master = match log_in(&entry, ctx) {
            Ok(master) => master,
            // Damage is no reason not to list; a password that was given must fit.
            Err(e) if e.kind() != Kind::Password && ctx.secrets.store()?.is_none() => {
                store.warnings.push(e.message().to_owned());
                None
            }
            Err(e) => return Err(e),
        };
        Ok(Login { master, entry: Some(Arc::new(entry)) })
    }
}

/// Derives the keys of these records on all cores, for later use. NSS gives each record a salt of its own, so a
/// long list of trusted CAs asks for more work than a command may do for a stranger's file; this one's password
/// entry was opened, and what its owner made asks for no more rounds than that.
pub fn derive_all<'a>(
    master: &Master,
    entry: &PasswordEntry,
    blobs: impl Iterator<Item = &'a [u8]>,
    ctx: &Ctx<'_>,
) {
    let wanted = derivations(blobs);
    let usual = entry.rounds().unwrap_or_default();
    // The empty password proves nothing.
    if usual > 1 {
        let own = wanted.iter().map(|(_, rounds)| u64::from(*rounds)).filter(|rounds| *rounds <= usual);
        ctx.session.budget.grant(own.sum());
    }
    derive_salts(master, &wanted, ctx.session);
}

/// Integrity records by table, object and attribute.
pub type Records = HashMap<(Table, u32, Type), Vec<u8>>;

/// The record of an attribute, and the id that it is filed under.
pub fn record_of(records: &Records, table: Table, id: u32, attribute: Type) -> Option<(u32, &Vec<u8>)> {
    // Releases 3.49 to 3.68 filed some under the id as it is in memory (PKCS #11 source of 3.69).
    let filed = [id, id | 0xc000_0000].into_iter();
    filed.filter_map(|filed| Some((filed, records.get(&(table, filed, attribute))?))).next()
}

/// The master key under the store's password, or the empty one, with which NSS is always logged in.
/// `None`: nobody gave a password, and one is needed.
pub fn log_in(entry: &PasswordEntry, ctx: &Ctx<'_>) -> Result<Option<Master>> {
    match ctx.secrets.store()? {
        Some(password) => match entry.open(password.bytes(), ctx.session)? {
            Some(master) => Ok(Some(master)),
            None => Err(Error::password("the password does not open the key database")),
        },
        // NSS tries the empty password only where the entry says one round.
        None if entry.rounds().is_none_or(|n| n == 1) => entry.open(b"", ctx.session),
        None => Ok(None),
    }
}

/// A private key's row, judged.
pub struct Key {
    pub secret: Arc<Secret>,
    pub label: Option<Label>,
    /// What certificates are joined by.
    pub id: Option<Vec<u8>>,
    pub public: Option<Public>,
    /// The id is the public key itself, so that its equality proves enough.
    pub by_value: bool,
    pub authenticated: Option<bool>,
    /// A certificate was found for it.
    pub used: bool,
}

struct World<'a> {
    ctx: &'a Ctx<'a>,
    records: Records,
    login: Login,
}

impl World<'_> {
    fn entries(&self, mut public: PublicObjects, private: Vec<Object>, store: &mut Store) -> Result<()> {
        let (mut keys, mut symmetric) = (Vec::new(), Vec::new());
        for object in private {
            let named = |e: Error| Arc::new(e.in_entry(display(&label(&object), object.id)));
            match object.class {
                class::PRIVATE_KEY => match self.key(&object, &public.keys) {
                    Ok(key) => keys.push(key),
                    Err(e) => store.defects.push(named(e)),
                },
                class::SECRET_KEY => match self.symmetric(&object) {
                    Ok(entry) => symmetric.push(entry),
                    Err(e) => store.defects.push(named(e)),
                },
                other => {
                    let what = format!("private object of class {other:#x}");
                    store.entries.push(Entry::new(Item::Other { what, body: Der::new(Vec::new()) }));
                }
            }
        }
        let private_others = std::mem::take(&mut store.entries);
        let judged = self.judge_all(&mut public, store)?;
        assemble(&public.certificates, &judged, keys, store);
        store.entries.extend(symmetric);
        store.entries.extend(public.crls.into_iter().map(|crl| Entry::new(Item::Crl(Der::new(crl)))));
        let orphans = public.trust.into_values().flatten();
        let mut others: Vec<Object> = public.others.into_iter().chain(orphans).collect();
        others.sort_by_key(|o| o.id);
        store.entries.extend(others.iter().map(other));
        store.entries.extend(private_others);
        Ok(())
    }

    /// A private key's row: whether all is there, and with a password whether it is genuine.
    fn key(&self, object: &Object, publics: &HashMap<Vec<u8>, Public>) -> Result<Key> {
        let Some(entry) = &self.login.entry else { return Err(uninitialised()) };
        let key_type = object.word(KEY_TYPE).ok_or_else(|| Error::malformed("a key without a type"))?;
        let sealed: &[Type] = match key_type {
            key::RSA => &RSA_NUMBERS,
            key::DSA | key::EC | key::EC_EDWARDS => &[VALUE],
            other => return Err(Error::unsupported(format!("unsupported key type {other:#x}"))),
        };
        let id = object.get(ID).map(<[u8]>::to_vec);
        let public = Public::of_object(object).or_else(|| publics.get(id.as_ref()?).cloned());
        let seal = NssSeal {
            entry: Arc::clone(entry),
            sealed: self.sealed(object, sealed)?,
            what: What::Private(public.clone()),
        };
        let authenticated = match &self.login.master {
            None => Some(false),
            Some(master) if key_type == key::RSA => {
                // The records of its clear numbers; the others are verified when the key is opened.
                let flaw = self.flaw(master, Table::Private, object, &[MODULUS, PUBLIC_EXPONENT])?;
                if let Some((attribute, flaw)) = flaw {
                    let what = name_of(attribute);
                    return Err(Error::malformed(format!("the integrity record of the key's {what} {flaw}")));
                }
                Some(true)
            }
            Some(master) => {
                seal.open_with(master, self.ctx.session)?;
                seal.sealed.iter().all(|s| s.record.is_some()).then_some(true)
            }
        };
        let secret = Arc::new(Secret::sealed(seal));
        Ok(Key { secret, label: label(object), id, public, by_value: false, authenticated, used: false })
    }

    fn symmetric(&self, object: &Object) -> Result<Entry> {
        let Some(entry) = &self.login.entry else { return Err(uninitialised()) };
        let key_type = object.word(KEY_TYPE).ok_or_else(|| Error::malformed("a key without a type"))?;
        let known = SECRET_KEYS.iter().find(|(number, _)| *number == key_type);
        let algorithm = known.map_or_else(|| format!("{key_type:#x}"), |(_, name)| (*name).to_owned());
        let seal = NssSeal {
            entry: Arc::clone(entry),
            sealed: self.sealed(object, &[VALUE])?,
            what: What::Symmetric(algorithm),
        };
        let authenticated = match &self.login.master {
            None => Some(false),
            Some(master) => {
                seal.open_with(master, self.ctx.session)?;
                seal.sealed.iter().all(|s| s.record.is_some()).then_some(true)
            }
        };
        let mut out = Entry::new(Item::Symmetric(Arc::new(Secret::sealed(seal))));
        out.label = label(object);
        out.authenticated = authenticated;
        let mut rest = object.clone();
        rest.take(VALUE);
        out.attrs.push(Attr::new(NAME, ROW, pack(&rest, &[VALUE])));
        Ok(out)
    }

    /// The enciphered attributes with their records, which must be there.
    fn sealed(&self, object: &Object, attributes: &[Type]) -> Result<Vec<SealedValue>> {
        let one = |attribute: &Type| {
            let blob = object
                .get(*attribute)
                .ok_or_else(|| Error::malformed(format!("a key without its {}", name_of(*attribute))))?;
            let record = self.record(Table::Private, object.id, *attribute);
            // The scheme before 3.49 had none.
            if record.is_none() && derivation(blob).is_some() {
                return Err(Error::malformed(format!(
                    "the integrity record of the key's {} is missing",
                    name_of(*attribute)
                )));
            }
            Ok(SealedValue { attribute: *attribute, blob: blob.to_vec(), record: record.cloned() })
        };
        attributes.iter().map(one).collect()
    }

    fn record(&self, table: Table, id: u32, attribute: Type) -> Option<&Vec<u8>> {
        record_of(&self.records, table, id, attribute).map(|(_, record)| record)
    }

    /// The first of these clear attributes whose record doesn't prove it, and why. An error: the budget of
    /// work is used up, so that nothing can be said.
    fn flaw(
        &self,
        master: &Master,
        table: Table,
        object: &Object,
        attributes: &[Type],
    ) -> Result<Option<(Type, String)>> {
        for attribute in attributes {
            let value = object.raw(*attribute).unwrap_or_default();
            let Some(record) = self.record(table, object.id, *attribute) else {
                return Ok(Some((*attribute, "is missing".to_owned())));
            };
            let admitted = || {
                let rounds = derivation(record).map_or(0, |(_, rounds)| rounds);
                self.ctx.session.budget.admit(u64::from(rounds)).is_ok()
            };
            match master.verify(record, (object.id, *attribute, value), self.ctx.session) {
                Ok(true) => {}
                Err(e) if e.kind() == Kind::TooLarge && admitted() => return Err(e),
                Err(e) if e.kind() == Kind::TooLarge => {
                    return Ok(Some((*attribute, e.message().to_owned())));
                }
                _ => return Ok(Some((*attribute, "does not match".to_owned()))),
            }
        }
        Ok(None)
    }

    /// What the trust objects say of each certificate. Those that belong to none stay in `public`.
    fn judge_all(&self, public: &mut PublicObjects, store: &mut Store) -> Result<Vec<Judged>> {
        let mut found = Vec::with_capacity(public.certificates.len());
        for certificate in &public.certificates {
            let fields = cert_fields(&certificate.der)?;
            let key = [fields.issuer, &tlv(0x02, fields.serial)].concat();
            found.push(public.trust.remove(&key));
        }
        if let (Some(master), Some(entry)) = (&self.login.master, &self.login.entry) {
            let all = found.iter().flatten().flatten();
            let wanted = all.flat_map(|o| authenticated_attributes(o).into_iter().map(move |t| (o.id, t)));
            let blobs = wanted.filter_map(|(id, t)| self.record(Table::Public, id, t));
            derive_all(master, entry, blobs.map(|b| &b[..]), self.ctx);
        }
        let judge = |(c, objects): (&Certificate, Option<Vec<Object>>)| match objects {
            Some(objects) => self.judge(c, objects, store),
            None => Ok(Judged::default()),
        };
        public.certificates.iter().zip(found).map(judge).collect()
    }

    fn judge(
        &self,
        certificate: &Certificate,
        mut objects: Vec<Object>,
        store: &mut Store,
    ) -> Result<Judged> {
        // Releases that know the new class believe it before the old one.
        objects.sort_by_key(|o| (o.class != class::TRUST, o.id));
        let Some(object) = objects.first() else { return Ok(Judged::default()) };
        if objects.get(1).is_some_and(|o| o.class == object.class) {
            store
                .warnings
                .push(format!("\"{}\": several trust objects; the first counts", certificate.text()));
        }
        if !hash_fits(object, &certificate.der) {
            store.warnings.push(format!(
                "\"{}\": its trust object was made for another certificate; trust is unknown",
                certificate.text()
            ));
            return Ok(Judged::default());
        }
        let words = Words::of(object);
        let Some(master) = &self.login.master else {
            return Ok(Judged { words: Some(words), authenticated: Some(false) });
        };
        let attributes = authenticated_attributes(object);
        Ok(match self.flaw(master, Table::Public, object, &attributes)? {
            None => Judged { words: Some(words), authenticated: (!attributes.is_empty()).then_some(true) },
            Some((attribute, flaw)) => {
                let error = Error::malformed(format!(
                    "the integrity record of its trust ({}) {flaw}; it is not trusted",
                    column(attribute)
                ));
                store.defects.push(Arc::new(error.in_entry(certificate.text())));
                Judged { words: None, authenticated: Some(false) }
            }
        })
    }
}

/// Certificates with their keys, then the keys that have none.
pub fn assemble(certificates: &[Certificate], judged: &[Judged], mut keys: Vec<Key>, store: &mut Store) {
    let owners = Owners::new(&keys);
    let joined: Vec<Option<usize>> = certificates.iter().map(|c| owners.of(c, &mut keys, store)).collect();
    certificate_entries(certificates, judged, &joined, &keys, store);
    for key in keys.into_iter().filter(|k| !k.used) {
        let mut entry = Entry::new(Item::Key { key: key.secret, chain: Vec::new() });
        entry.label = key.label;
        entry.authenticated = key.authenticated;
        store.entries.push(entry);
    }
}

/// The entries of all certificates, in their order; those that a key belongs to are that key's.
fn certificate_entries(
    certificates: &[Certificate],
    judged: &[Judged],
    joined: &[Option<usize>],
    keys: &[Key],
    store: &mut Store,
) {
    // Only where a chain is wanted at all.
    let chains = joined.iter().any(Option::is_some).then(|| {
        // What is no certificate was sorted out before.
        Chains::new(certificates.iter().filter_map(|c| cert_fields(&c.der).ok()).collect())
    });
    for (at, (certificate, judged)) in certificates.iter().zip(judged).enumerate() {
        let key = joined.get(at).copied().flatten().and_then(|k| keys.get(k));
        let item = match (key, &chains) {
            (Some(key), Some(chains)) => {
                let link = |at: usize| certificates.get(at).map(link);
                let chain = chains.of(at).into_iter().filter_map(link).collect();
                Item::Key { key: Arc::clone(&key.secret), chain }
            }
            _ => Item::Cert(certificate.der.clone()),
        };
        let mut entry = Entry::new(item);
        entry.label = certificate.label.clone();
        entry.trust = Some(judged.words.map(Words::trust).unwrap_or_default());
        entry.authenticated = match (key, judged.authenticated) {
            (Some(key), None) => key.authenticated,
            (Some(key), Some(own)) => key.authenticated.map(|k| k && own),
            (None, own) => own,
        };
        // Only what the levels can't say, or would not be believed of another format.
        let vouches =
            || entry.certificate().is_some_and(|c| trust::is_anchored_leaf(c, entry.trust.as_ref()));
        if let Some(words) = judged.words.filter(|w| *w != Words::of_trust(&w.trust()) || vouches()) {
            entry.attrs.push(Attr::new(NAME, trust::ATTR, words.attr()));
        }
        store.entries.push(entry);
    }
}

/// What is known of a certificate's trust.
#[derive(Clone, Copy, Default)]
pub struct Judged {
    pub words: Option<Words>,
    pub authenticated: Option<bool>,
}

/// The attributes whose records must match before a trust object is believed: those that say something,
/// and the hash that ties it to its certificate. None where it says nothing.
fn authenticated_attributes(object: &Object) -> Vec<Type> {
    let words = Words::of(object);
    let types = if object.class == class::TRUST { PKCS11_WORDS } else { NSS_WORDS };
    let says = types.into_iter().zip(words.words).filter(|(_, word)| Words::matters(*word));
    let mut out: Vec<Type> = says.map(|(t, _)| t).collect();
    if words.step_up {
        out.push(NSS_STEP_UP);
    }
    if !out.is_empty() {
        match object.class {
            class::TRUST => out.extend([NAME_HASH_ALGORITHM, HASH_OF_CERTIFICATE]),
            _ => out.push(NSS_SHA1),
        }
    }
    out
}

/// Whether the object was made for this very certificate.
fn hash_fits(object: &Object, der: &[u8]) -> bool {
    if object.class == class::TRUST {
        let Some(hash) = object.get(HASH_OF_CERTIFICATE) else { return false };
        return match object.word(NAME_HASH_ALGORITHM) {
            Some(0x220) => hash == &Sha1::digest(der)[..],
            Some(0x250) => hash == &Sha256::digest(der)[..],
            Some(0x260) => hash == &Sha384::digest(der)[..],
            Some(0x270) => hash == &Sha512::digest(der)[..],
            _ => false,
        };
    }
    object.get(NSS_SHA1) == Some(&Sha1::digest(der)[..])
        && object.get(NSS_MD5).is_none_or(|hash| hash == &Md5::digest(der)[..])
}

/// Which key a certificate belongs to.
struct Owners {
    by_id: HashMap<Vec<u8>, Vec<usize>>,
    by_public: HashMap<Vec<u8>, usize>,
}

impl Owners {
    fn new(keys: &[Key]) -> Self {
        let mut out = Owners { by_id: HashMap::new(), by_public: HashMap::new() };
        for (at, key) in keys.iter().enumerate() {
            if let Some(id) = &key.id {
                out.by_id.entry(id.clone()).or_default().push(at);
            }
            if let Some(public) = &key.public {
                out.by_public.entry(identity(&public.spki())).or_insert(at);
            }
        }
        out
    }

    /// NSS joins by identifier; the public keys must agree as well. Where they do, another identifier is no
    /// obstacle.
    fn of(&self, certificate: &Certificate, keys: &mut [Key], store: &mut Store) -> Option<usize> {
        if keys.is_empty() {
            return None;
        }
        let fields = cert_fields(&certificate.der).ok()?;
        let wanted = identity(fields.spki);
        let by_id = certificate.id.as_ref().and_then(|id| self.by_id.get(id));
        let mut found = self.by_public.get(&wanted).copied();
        for at in by_id.into_iter().flatten().copied() {
            let Some(key) = keys.get(at) else { continue };
            match &key.public {
                Some(public) if identity(&public.spki()) == wanted => found = Some(at),
                Some(_) => store.warnings.push(format!(
                    "\"{}\": a private key has its identifier but another public half; they are not joined",
                    certificate.text()
                )),
                None if key.by_value => found = Some(at),
                None => {}
            }
        }
        let key = keys.get_mut(found?)?;
        key.used = true;
        found
    }
}

fn link(certificate: &Certificate) -> Link {
    Link { label: certificate.label.clone(), ..Link::from(certificate.der.clone()) }
}

fn uninitialised() -> Error {
    Error::malformed("the key database is not initialised: a password was never set")
}

/// Salts and rounds of the derivations that these blobs ask for, each once, where it is work at all.
fn derivations<'a>(blobs: impl Iterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, u32)> {
    let mut wanted: HashSet<(Cow<'_, [u8]>, u32)> = HashSet::new();
    let mut last = None;
    for derivation in blobs.filter_map(derivation).filter(|(_, rounds)| *rounds > 1) {
        // Most have the salt of their neighbour, or one of their own.
        if last.as_ref() != Some(&derivation) {
            last = Some(derivation.clone());
            wanted.insert(derivation);
        }
    }
    wanted.into_iter().map(|(salt, rounds)| (salt.into_owned(), rounds)).collect()
}

/// Derives keys on all cores, for later use. What fails, fails again then.
pub fn derive_salts(master: &Master, wanted: &[(Vec<u8>, u32)], session: &Session) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
    if cores < 2 {
        return;
    }
    std::thread::scope(|scope| {
        for part in wanted.chunks(wanted.len().div_ceil(cores)) {
            scope.spawn(move || {
                for (salt, rounds) in part {
                    if master.derive(salt, *rounds, session).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// An enciphered attribute with its record.
struct SealedValue {
    attribute: Type,
    blob: Vec<u8>,
    record: Option<Vec<u8>>,
}

impl SealedValue {
    fn open(&self, master: &Master, session: &Session) -> Result<Zeroizing<Vec<u8>>> {
        let plain = master.open(&self.blob, session)?;
        if let Some(record) = &self.record {
            // The record of an enciphered attribute doesn't say whose it is.
            if !master.verify(record, (0, self.attribute, &plain), session)? {
                return Err(Error::malformed(format!(
                    "the integrity record of the key's {} does not match",
                    name_of(self.attribute)
                )));
            }
        }
        Ok(plain)
    }
}

/// A key as NSS keeps it.
struct NssSeal {
    entry: Arc<PasswordEntry>,
    sealed: Vec<SealedValue>,
    what: What,
}

enum What {
    Private(Option<Public>),
    /// The algorithm's name.
    Symmetric(String),
}

impl NssSeal {
    fn open_with(&self, master: &Master, session: &Session) -> Result<KeyMaterial> {
        let blobs = self.sealed.iter().flat_map(|s| [Some(&s.blob), s.record.as_ref()]).flatten();
        derive_salts(master, &derivations(blobs.map(|b| &b[..])), session);
        let mut values = Vec::with_capacity(self.sealed.len());
        for value in &self.sealed {
            values.push(value.open(master, session)?);
        }
        match &self.what {
            What::Symmetric(algorithm) => Ok(KeyMaterial {
                bytes: values.pop().unwrap_or_default(),
                algorithm: Some(algorithm.clone()),
            }),
            What::Private(Some(public)) => {
                let numbers = keys::numbers(public, values)?;
                let key = Private { public: public.clone(), numbers };
                key.check()?;
                Ok(KeyMaterial::pkcs8(key.pkcs8()))
            }
            What::Private(None) => Err(Error::unsupported("a private key whose public half is not stored")),
        }
    }
}

/// A key as the older form of the databases keeps it: a PKCS#8, enciphered as a whole.
pub struct Locked {
    pub entry: Arc<PasswordEntry>,
    pub blob: Vec<u8>,
}

impl Seal for Locked {
    fn format(&self) -> &'static str {
        NAME
    }

    fn protection(&self) -> Option<Protection> {
        protect::protection(&self.blob)
    }

    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let master = log_in(&self.entry, ctx)?.ok_or_else(needed)?;
        let pkcs8 = master.open(&self.blob, ctx.session)?;
        let key = Private::of_pkcs8(&pkcs8).map_err(Error::without_offset)?;
        key.check()?;
        Ok(KeyMaterial::pkcs8(key.pkcs8()))
    }
}

fn needed() -> Error {
    Error::password("the key database's password is needed")
}

impl Seal for NssSeal {
    fn format(&self) -> &'static str {
        NAME
    }

    fn protection(&self) -> Option<Protection> {
        protect::protection(&self.sealed.first()?.blob)
    }

    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let master = log_in(&self.entry, ctx)?.ok_or_else(needed)?;
        self.open_with(&master, ctx.session)
    }
}

fn other(object: &Object) -> Entry {
    let what = match object.class {
        class::NSS_SMIME => "S/MIME profile".to_owned(),
        class::TRUST | class::NSS_TRUST => "trust in a certificate that is not here".to_owned(),
        other => format!("object of class {other:#x}"),
    };
    let mut entry = Entry::new(Item::Other { what, body: Der::new(pack(object, &[])) });
    entry.label = label(object);
    entry.attrs.push(Attr::new(NAME, ROW, object.class.to_be_bytes().to_vec()));
    entry
}

/// A row's values as bytes: type, length, value, and so on.
pub fn pack(object: &Object, without: &[Type]) -> Vec<u8> {
    let mut out = Vec::new();
    for (attribute, value) in object.values().iter().filter(|(t, _)| !without.contains(t)) {
        out.extend_from_slice(&attribute.to_be_bytes());
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(value);
    }
    out
}

/// Back from it; the id is a new one. `None`: these bytes are no packed row.
pub fn unpack(id: u32, mut packed: &[u8]) -> Option<Object> {
    let mut object = Object::new(id, 0);
    while !packed.is_empty() {
        let (head, rest) = packed.split_at_checked(8)?;
        let (attribute, length) = (word(head.get(..4)?)?, word(head.get(4..)?)?);
        let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        object.set(attribute, value);
        packed = rest;
    }
    object.class = object.word(CLASS)?;
    Some(object)
}

fn label(object: &Object) -> Option<Label> {
    object.get(LABEL).map(Label::from)
}

fn display(label: &Option<Label>, id: u32) -> String {
    label.as_ref().map_or_else(|| format!("object {id}"), |l| l.text().into_owned())
}

/// An attribute in words, for messages.
fn name_of(attribute: Type) -> String {
    match attribute {
        VALUE => "value".to_owned(),
        MODULUS => "modulus".to_owned(),
        PUBLIC_EXPONENT => "public exponent".to_owned(),
        PRIVATE_EXPONENT => "private exponent".to_owned(),
        PRIME_1 | PRIME_2 => "primes".to_owned(),
        EXPONENT_1 | EXPONENT_2 => "CRT exponents".to_owned(),
        COEFFICIENT => "CRT coefficient".to_owned(),
        other => column(other),
    }
}
