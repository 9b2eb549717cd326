//! A store into rows: what NSS would have inserted, ready before a transaction is opened.

use super::decode::{self, ROW, derive_salts, unpack};
use super::keys::{self, Numbers, Private, Public, RSA_NUMBERS};
use super::layout::*;
use super::protect::{ITERATIONS, Master, SALT};
use super::sql::{Object, record_id};
use super::trust::{self, NSS_WORDS, PKCS11_WORDS, Words};
use crate::asn1::{CertFields, Reader, Tag, cert_fields, oid, tlv};
use crate::context::{Ctx, Session};
use crate::error::{Error, Result};
use crate::model::{Entry, Item, KeyMaterial, Label, Level, Link, Loss, LossKind, Secret, Store, Trust};
use crate::query::dn;
use md5::Md5;
use sha1::{Digest, Sha1};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The option that sets the rounds of every derivation.
pub const ITERATIONS_OPTION: &str = "nss-iterations";
/// The option that gives every record a salt of its own, as NSS does.
pub const SALT_OPTION: &str = "nss-salt-per-record";
/// What NSS reads back without complaint, and we within the budget.
const RANGE: std::ops::RangeInclusive<u32> = 1..=5_000_000;
/// Salts derived at a time: enough for all cores, few enough to stay in the session's cache.
const BATCH: usize = 512;

/// Rows for both tables, and their integrity records.
#[derive(Default)]
pub struct Rows {
    pub public: Vec<Object>,
    pub private: Vec<Object>,
    /// Ids and values for `metaData`.
    pub records: Vec<(String, Vec<u8>)>,
}

/// How a run protects what it writes.
pub struct Protection {
    pub master: Master,
    pub rounds: u32,
    /// One salt for all records of objects that have an id; `None`: each has its own.
    shared: Option<[u8; SALT]>,
}

impl Protection {
    /// By the options, with a fresh salt.
    pub fn new(master: Master, rounds: u32, ctx: &Ctx<'_>) -> Result<Self> {
        let shared = match ctx.options.get(SALT_OPTION) {
            Some("yes") => None,
            _ => Some(ctx.session.rng.bytes()?),
        };
        Ok(Protection { master, rounds, shared })
    }
}

/// The rounds for a database with this password: NSS's own number, or the option's.
pub fn rounds(password: &[u8], ctx: &Ctx<'_>) -> Result<u32> {
    // With an empty password nothing is protected, and only at one round does NSS try it by itself.
    if password.is_empty() {
        return Ok(1);
    }
    let Some(text) = ctx.options.get(ITERATIONS_OPTION) else { return Ok(ITERATIONS) };
    text.parse().ok().filter(|n| RANGE.contains(n)).ok_or_else(|| {
        Error::refused(format!(
            "{ITERATIONS_OPTION} must be a number from {} to {}",
            RANGE.start(),
            RANGE.end()
        ))
    })
}

/// What a store comes to in NSS's terms, before ids and protection: certificates once each, keys once each.
#[derive(Default)]
pub struct Plan<'a> {
    pub certificates: Vec<PlannedCertificate<'a>>,
    pub keys: Vec<PlannedKey<'a>>,
    pub symmetric: Vec<&'a Entry>,
    pub crls: Vec<&'a [u8]>,
    pub others: Vec<&'a Entry>,
    pub losses: Vec<Loss>,
}

pub struct PlannedCertificate<'a> {
    pub der: &'a [u8],
    pub fields: CertFields<'a>,
    pub label: Option<Label>,
    /// `None`: no trust object.
    pub words: Option<Words>,
    /// Somebody asked for it, not only for a chain that it is in.
    pub wanted: bool,
}

pub struct PlannedKey<'a> {
    pub private: Private,
    pub label: Option<Label>,
    pub subject: Option<&'a [u8]>,
}

impl<'a> Plan<'a> {
    /// Of a prepared store. Errors: a key that isn't open, or whose numbers don't fit each other.
    pub fn new(store: &'a Store, ctx: &Ctx<'_>) -> Result<Self> {
        let mut plan = Plan::default();
        let mut names = Names::default();
        let mut at: HashMap<&'a [u8], usize> = HashMap::with_capacity(store.entries.len());
        let mut keys = HashSet::new();
        for entry in &store.entries {
            plan.entry(entry, &mut at, &mut keys, ctx).map_err(|e| e.in_entry(entry.label_text()))?;
            plan.losses.extend(losses_of(entry));
        }
        for certificate in &plan.certificates {
            if let Some(label) = &certificate.label {
                names.note(label, certificate.fields.subject);
            }
        }
        for entry in &store.entries {
            let Item::Key { chain, .. } = &entry.item else { continue };
            for link in chain.iter().skip(1) {
                plan.link(link, &mut at, &mut names)?;
            }
        }
        Ok(plan)
    }

    fn entry(
        &mut self,
        entry: &'a Entry,
        at: &mut HashMap<&'a [u8], usize>,
        keys: &mut HashSet<*const Secret>,
        ctx: &Ctx<'_>,
    ) -> Result<()> {
        match &entry.item {
            Item::Cert(der) => self.certificate(der, entry, at)?,
            Item::Key { key, chain } => {
                let leaf = chain.first().map(|l| &*l.cert);
                if let Some(leaf) = leaf {
                    self.certificate(leaf, entry, at)?;
                }
                if keys.insert(Arc::as_ptr(key)) {
                    self.key(key.open(ctx)?, entry, leaf)?;
                }
            }
            Item::Symmetric(_) => self.symmetric.push(entry),
            Item::Crl(crl) => self.crls.push(crl),
            Item::Other { .. } => self.others.push(entry),
            Item::Request { .. } => return Err(Error::refused("NSS keeps no requests")),
        }
        Ok(())
    }

    fn certificate(&mut self, der: &'a [u8], entry: &Entry, at: &mut HashMap<&'a [u8], usize>) -> Result<()> {
        if at.contains_key(der) {
            return Ok(()); // one that `nicknames` left twice would be shown once anyway
        }
        let fields = cert_fields(der).map_err(Error::without_offset)?;
        at.insert(der, self.certificates.len());
        let words = words_for(entry, &fields);
        self.certificates.push(PlannedCertificate {
            der,
            fields,
            label: entry.label.clone(),
            words,
            wanted: true,
        });
        Ok(())
    }

    /// A certificate that is here only for a key's chain.
    fn link(&mut self, link: &'a Link, at: &mut HashMap<&'a [u8], usize>, names: &mut Names) -> Result<()> {
        if at.contains_key(&*link.cert) {
            return Ok(());
        }
        let fields = cert_fields(&link.cert).map_err(Error::without_offset)?;
        at.insert(&link.cert, self.certificates.len());
        let label = Some(names.take(link.label.as_ref(), &fields));
        self.certificates.push(PlannedCertificate {
            der: &link.cert,
            fields,
            label,
            words: None,
            wanted: false,
        });
        Ok(())
    }

    fn key(&mut self, key: &KeyMaterial, entry: &Entry, leaf: Option<&'a [u8]>) -> Result<()> {
        let private = Private::of_pkcs8(&key.bytes).map_err(Error::without_offset)?;
        private.check()?;
        let id = private.public.id();
        if self.keys.iter().any(|k| k.private.public.id() == id) {
            return Ok(());
        }
        if matches!(private.public, Public::Ed25519 { .. }) {
            let detail = "older releases of NSS (3.87) have no use for Ed25519 keys";
            self.losses.push(Loss::new(LossKind::Note, entry.label_text(), detail));
        }
        let subject = leaf.and_then(|c| cert_fields(c).ok()).map(|f| f.subject);
        self.keys.push(PlannedKey { private, label: entry.label.clone(), subject });
        Ok(())
    }

    /// Derivations that writing all of it takes, apart from records under the shared salt.
    fn salts(&self, per_record: bool) -> usize {
        let of_key = |k: &PlannedKey<'_>| match k.private.numbers {
            Numbers::Rsa(_) => 12 + if per_record { 4 } else { 0 },
            Numbers::One(_) => 2,
        };
        let trusted = self.certificates.iter().filter(|c| c.words.is_some()).count();
        let records = if per_record { 7 * trusted + 6 * self.others.len() } else { 0 };
        self.keys.iter().map(of_key).sum::<usize>() + 2 * self.symmetric.len() + records
    }
}

/// What an entry's trust becomes. `None`: no trust object, which means that nothing is said.
fn words_for(entry: &Entry, fields: &CertFields<'_>) -> Option<Words> {
    let trust = match (&entry.trust, &entry.item) {
        (Some(trust), _) => trust.clone(),
        // Nobody said: a CA on its own is there to be trusted, a leaf to be accepted.
        (None, Item::Cert(_)) => Trust::all(if fields.is_ca() { Level::Anchor } else { Level::Peer }),
        (None, _) => Trust::default(),
    };
    // Words that levels can't say are kept while the levels are still theirs.
    let kept = entry.attr(decode::NAME, trust::ATTR).and_then(Words::of_attr);
    if let Some(words) = kept.filter(|w| w.trust().levels == trust.levels) {
        return Some(words);
    }
    let says = trust.levels.iter().any(|l| *l != Level::Unset);
    says.then(|| Words::of_trust(&trust))
}

/// What NSS can't say about an entry.
fn losses_of(entry: &Entry) -> Vec<Loss> {
    let mut out = Vec::new();
    let label = entry.label_text();
    if entry.default {
        out.push(Loss::new(LossKind::Default, &*label, "NSS has no default key"));
    }
    let said = |t: &Trust| {
        let covered = |level: Level| t.levels.contains(&level) || level == Level::Unset;
        t.is_full_anchor() || t.usages.iter().all(|(_, level)| covered(*level))
    };
    if let Some(trust) = entry.trust.as_ref().filter(|t| !said(t)) {
        let usages: Vec<&str> = trust.usages.iter().map(|(oid, _)| &**oid).collect();
        let detail = format!("NSS can't say trust for the purposes {}", usages.join(", "));
        out.push(Loss::new(LossKind::Trust, &*label, detail));
    }
    if label.contains(':') {
        let detail = "certutil takes what stands before a colon for a token's name, so it finds this label only as \"NSS Certificate DB:LABEL\"";
        out.push(Loss::new(LossKind::Note, &*label, detail));
    }
    out
}

/// Labels for certificates that only chains bring.
#[derive(Default)]
struct Names {
    owner: HashMap<Label, Vec<u8>>,
    of_subject: HashMap<Vec<u8>, Label>,
}

impl Names {
    fn note(&mut self, label: &Label, subject: &[u8]) {
        self.owner.entry(label.clone()).or_insert_with(|| subject.to_vec());
        self.of_subject.entry(subject.to_vec()).or_insert_with(|| label.clone());
    }

    /// The label that the subject has, else the given one, else the certificate's name; numbered where
    /// another subject has it.
    fn take(&mut self, given: Option<&Label>, fields: &CertFields<'_>) -> Label {
        if let Some(known) = self.of_subject.get(fields.subject) {
            return known.clone();
        }
        let name = || {
            let part = |id| dn::attribute_text(fields.subject, id).filter(|t| !t.trim().is_empty());
            let found = [oid::CN, oid::O, oid::OU].into_iter().find_map(part);
            Label::from(found.unwrap_or_else(|| dn::rfc4514(fields.subject)))
        };
        let wanted = given.filter(|l| !l.bytes().is_empty()).cloned().unwrap_or_else(name);
        let mut label = wanted.clone();
        let mut n = 2;
        while self.owner.contains_key(&label) {
            label = Label::from(&[wanted.bytes(), format!(" #{n}").as_bytes()].concat()[..]);
            n += 1;
        }
        self.note(&label, fields.subject);
        label
    }
}

/// Makes rows with ids of their own and protects them.
pub struct Maker<'a> {
    protection: &'a Protection,
    session: &'a Session,
    next_id: u32,
    /// Ids that are not free.
    taken: HashSet<u32>,
    /// Salts drawn and derived beforehand, and how many are still to be wanted.
    salts: Vec<[u8; SALT]>,
    expected: usize,
    pub rows: Rows,
}

impl<'a> Maker<'a> {
    /// Ids begin at `first_id` and go up.
    pub fn new(protection: &'a Protection, first_id: u32, session: &'a Session) -> Self {
        Maker {
            protection,
            session,
            next_id: first_id,
            taken: HashSet::new(),
            salts: Vec::new(),
            expected: 0,
            rows: Rows::default(),
        }
    }

    /// The same beside objects that have these ids.
    #[must_use]
    pub fn beside(mut self, taken: HashSet<u32>) -> Self {
        self.taken = taken;
        self
    }

    /// So many salts will be wanted, so that their keys can be derived on all cores.
    pub fn expect(&mut self, salts: usize) {
        self.expected += salts;
    }

    /// Everything of a plan.
    pub fn all(&mut self, plan: &Plan<'_>) -> Result<()> {
        self.expected += plan.salts(self.protection.shared.is_none());
        for key in &plan.keys {
            self.key(key)?;
        }
        for certificate in &plan.certificates {
            self.certificate(certificate)?;
            if let Some(words) = certificate.words {
                self.trust(certificate, words)?;
            }
        }
        for entry in &plan.symmetric {
            self.symmetric(entry)?;
        }
        for crl in &plan.crls {
            self.crl(crl)?;
        }
        for entry in &plan.others {
            self.other(entry)?;
        }
        Ok(())
    }

    pub fn certificate(&mut self, certificate: &PlannedCertificate<'_>) -> Result<()> {
        let fields = &certificate.fields;
        let mut row = self.object(class::CERTIFICATE, false)?;
        row.set(LABEL, label_bytes(certificate.label.as_ref()));
        row.set(VALUE, certificate.der);
        row.set(CERTIFICATE_TYPE, [0; 4]);
        row.set(ISSUER, fields.issuer);
        row.set(SERIAL, tlv(0x02, fields.serial));
        row.set(SUBJECT, fields.subject);
        // For algorithms that NSS has no keys of, any value will do: nothing is joined by it.
        let id = Public::of_spki(fields.spki).map_or_else(|| Sha1::digest(fields.spki).to_vec(), |p| p.id());
        row.set(ID, id);
        row.set(MODIFIABLE, [1]);
        if let Some(email) = email(fields) {
            row.set(NSS_EMAIL, email);
        }
        self.rows.public.push(row);
        Ok(())
    }

    pub fn trust(&mut self, certificate: &PlannedCertificate<'_>, words: Words) -> Result<()> {
        let mut row = self.object(class::NSS_TRUST, false)?;
        row.set(LABEL, EMPTY);
        row.set(ISSUER, certificate.fields.issuer);
        row.set(SERIAL, tlv(0x02, certificate.fields.serial));
        row.set(MODIFIABLE, [1]);
        self.set_trust(&mut row, certificate.der, words)?;
        self.rows.public.push(row);
        Ok(())
    }

    /// The words of a trust object, with what ties it to its certificate, and their records.
    pub fn set_trust(&mut self, row: &mut Object, der: &[u8], words: Words) -> Result<()> {
        for (attribute, word) in NSS_WORDS.into_iter().zip(words.words) {
            row.set(attribute, word.to_be_bytes());
        }
        row.set(NSS_STEP_UP, [u8::from(words.step_up)]);
        row.set(NSS_SHA1, &Sha1::digest(der)[..]);
        row.set(NSS_MD5, &Md5::digest(der)[..]);
        self.sign_row(Table::Public, row)
    }

    pub fn key(&mut self, key: &PlannedKey<'_>) -> Result<()> {
        let (public, id) = (&key.private.public, key.private.public.id());
        let mut row = self.object(class::PRIVATE_KEY, true)?;
        row.set(LABEL, label_bytes(key.label.as_ref()));
        row.set(KEY_TYPE, public.key_type().to_be_bytes());
        row.set(SUBJECT, key.subject.unwrap_or(EMPTY));
        row.set(ID, &*id);
        row.set(SENSITIVE, [1]);
        let rsa = matches!(public, Public::Rsa { .. });
        let ec = matches!(public, Public::Ec { .. });
        let signs_recoverably = !matches!(public, Public::Ed25519 { .. });
        let flags = [
            (DECRYPT, rsa),
            (UNWRAP, rsa),
            (SIGN, true),
            (SIGN_RECOVER, signs_recoverably),
            (DERIVE, ec),
            (EXTRACTABLE, true),
            (LOCAL, false),
            (NEVER_EXTRACTABLE, false),
            (ALWAYS_SENSITIVE, false),
            (MODIFIABLE, true),
        ];
        for (attribute, on) in flags {
            row.set(attribute, [u8::from(on)]);
        }
        row.set(START_DATE, EMPTY);
        row.set(END_DATE, EMPTY);
        row.set(NSS_DB, public.bare());
        set_public(&mut row, public);
        match &key.private.numbers {
            Numbers::Rsa(numbers) => {
                for (attribute, number) in RSA_NUMBERS.into_iter().zip(numbers) {
                    self.seal(&mut row, attribute, number)?;
                }
            }
            Numbers::One(value) => self.seal(&mut row, VALUE, value)?,
        }
        self.sign_row(Table::Private, &row)?;
        self.rows.private.push(row);
        self.public_key(public, &id)
    }

    /// The row by which certutil knows that a certificate has a key here.
    fn public_key(&mut self, public: &Public, id: &[u8]) -> Result<()> {
        let mut row = self.object(class::PUBLIC_KEY, false)?;
        row.set(LABEL, EMPTY);
        row.set(KEY_TYPE, public.key_type().to_be_bytes());
        row.set(SUBJECT, EMPTY);
        row.set(ID, id);
        let rsa = matches!(public, Public::Rsa { .. });
        let ec = matches!(public, Public::Ec { .. });
        let flags = [
            (ENCRYPT, rsa),
            (WRAP, rsa),
            (VERIFY, true),
            (VERIFY_RECOVER, rsa),
            (DERIVE, ec),
            (LOCAL, false),
            (MODIFIABLE, true),
        ];
        for (attribute, on) in flags {
            row.set(attribute, [u8::from(on)]);
        }
        row.set(START_DATE, EMPTY);
        row.set(END_DATE, EMPTY);
        set_public(&mut row, public);
        match public {
            // A point stands in an OCTET STRING, Ed25519's value doesn't (NSS 3.125).
            Public::Ec { point, .. } => row.set(EC_POINT, tlv(0x04, point)),
            Public::Ed25519 { value } => row.set(EC_POINT, &**value),
            Public::Dsa { y, .. } => row.set(VALUE, &**y),
            Public::Rsa { .. } => {}
        }
        self.sign_row(Table::Public, &row)?;
        self.rows.public.push(row);
        Ok(())
    }

    pub fn symmetric(&mut self, entry: &Entry) -> Result<()> {
        let key = entry.secret().and_then(|s| s.opened());
        let key = key.ok_or_else(|| Error::unsupported("the secret key is not open"))?;
        let name = key.algorithm.as_deref().unwrap_or_default();
        let number = secret_type(name)
            .ok_or_else(|| Error::unsupported(format!("NSS has no secret keys of the type {name}")))?;
        let id = self.id()?;
        let kept = entry.attr(decode::NAME, ROW).and_then(|packed| unpack(id, packed));
        let mut row = match kept.filter(|o| o.class == class::SECRET_KEY) {
            Some(row) => row,
            None => {
                let mut row = Object::new(id, class::SECRET_KEY);
                for (attribute, on) in SECRET_FLAGS {
                    row.set(*attribute, [u8::from(*on)]);
                }
                for attribute in [ID, START_DATE, END_DATE] {
                    row.set(attribute, EMPTY);
                }
                row.set(VALUE_LEN, u32::try_from(key.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
                row
            }
        };
        row.set(LABEL, label_bytes(entry.label.as_ref()));
        row.set(KEY_TYPE, number.to_be_bytes());
        self.seal(&mut row, VALUE, &key.bytes)?;
        self.sign_row(Table::Private, &row)?;
        self.rows.private.push(row);
        Ok(())
    }

    pub fn crl(&mut self, crl: &[u8]) -> Result<()> {
        let issuer = crl_issuer(crl).ok_or_else(|| Error::malformed("no revocation list"))?;
        let mut row = self.object(class::NSS_CRL, false)?;
        row.set(LABEL, EMPTY);
        row.set(VALUE, crl);
        row.set(SUBJECT, issuer);
        row.set(MODIFIABLE, [1]);
        row.set(NSS_URL, EMPTY);
        row.set(NSS_KRL, [0]);
        self.rows.public.push(row);
        Ok(())
    }

    /// An object that came out of an NSS database and was not understood.
    pub fn other(&mut self, entry: &Entry) -> Result<()> {
        let id = self.id()?;
        let Item::Other { body, .. } = &entry.item else { return Ok(()) };
        let Some(row) = unpack(id, body) else {
            return Err(Error::unsupported("an object of another format").in_entry(entry.label_text()));
        };
        self.sign_row(Table::Public, &row)?;
        self.rows.public.push(row);
        Ok(())
    }

    fn object(&mut self, class: u32, private: bool) -> Result<Object> {
        let mut row = Object::new(self.id()?, class);
        row.set(TOKEN, [1]);
        row.set(PRIVATE, [u8::from(private)]);
        Ok(row)
    }

    fn id(&mut self) -> Result<u32> {
        loop {
            let id = self.next_id;
            if id > MAX_ID {
                return Err(Error::too_large("more objects than NSS can number"));
            }
            self.next_id += 1;
            if !self.taken.contains(&id) {
                return Ok(id);
            }
        }
    }

    /// Enciphers one attribute, with its record. Neither salt is ever shared.
    pub fn seal(&mut self, row: &mut Object, attribute: Type, value: &[u8]) -> Result<()> {
        let (salt, for_record) = (self.salt()?, self.salt()?);
        let Protection { master, rounds, .. } = self.protection;
        row.set(attribute, master.seal_with(&salt, value, *rounds, self.session)?);
        let record = master.sign(&for_record, *rounds, (0, attribute, value), self.session)?;
        self.rows.records.push((record_id(Table::Private, row.id, attribute), record));
        Ok(())
    }

    /// The records of a row's clear attributes.
    fn sign_row(&mut self, table: Table, row: &Object) -> Result<()> {
        for (attribute, value) in row.values().iter().filter(|(t, _)| is_signed(*t)) {
            self.sign(table, row.id, *attribute, value)?;
        }
        Ok(())
    }

    /// The record of one clear attribute.
    pub fn sign(&mut self, table: Table, id: u32, attribute: Type, value: &[u8]) -> Result<()> {
        let salt = match self.protection.shared {
            Some(shared) => shared,
            None => self.salt()?,
        };
        let Protection { master, rounds, .. } = self.protection;
        let record = master.sign(&salt, *rounds, (id, attribute, value), self.session)?;
        self.rows.records.push((record_id(table, id, attribute), record));
        Ok(())
    }

    /// A fresh salt whose key is already derived.
    fn salt(&mut self) -> Result<[u8; SALT]> {
        if self.salts.is_empty() {
            for _ in 0..self.expected.clamp(1, BATCH) {
                self.salts.push(self.session.rng.bytes()?);
            }
            self.expected = self.expected.saturating_sub(self.salts.len());
            let Protection { master, rounds, .. } = self.protection;
            if *rounds > 1 {
                // Nobody's file asks for this work.
                self.session.budget.grant(u64::from(*rounds) * self.salts.len() as u64);
                let wanted: Vec<_> = self.salts.iter().map(|s| (s.to_vec(), *rounds)).collect();
                derive_salts(master, &wanted, self.session);
            }
        }
        self.salts.pop().ok_or_else(|| Error::unsupported("no salt"))
    }
}

/// Clear attributes that have a record.
pub fn is_signed(attribute: Type) -> bool {
    matches!(
        attribute,
        MODULUS
            | PUBLIC_EXPONENT
            | NSS_OVERRIDE_EXTENSIONS
            | NSS_STEP_UP
            | NSS_SHA1
            | NSS_MD5
            | NAME_HASH_ALGORITHM
            | HASH_OF_CERTIFICATE
    ) || NSS_WORDS.contains(&attribute)
        || PKCS11_WORDS.contains(&attribute)
}

/// What NSS gives a secret key that it imports.
const SECRET_FLAGS: &[(Type, bool)] = &[
    (TOKEN, true),
    (PRIVATE, true),
    (SENSITIVE, true),
    (ENCRYPT, true),
    (DECRYPT, true),
    (SIGN, true),
    (VERIFY, true),
    (WRAP, true),
    (UNWRAP, true),
    (DERIVE, true),
    (EXTRACTABLE, true),
    (LOCAL, false),
    (NEVER_EXTRACTABLE, false),
    (ALWAYS_SENSITIVE, false),
    (MODIFIABLE, true),
];

/// The CKA_KEY_TYPE for a secret key's algorithm, in Java's words or as a number.
pub fn secret_type(name: &str) -> Option<u32> {
    let known = SECRET_KEYS.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(number, _)| *number);
    known.or_else(|| u32::from_str_radix(name.strip_prefix("0x")?, 16).ok())
}

fn set_public(row: &mut Object, public: &Public) {
    match public {
        Public::Rsa { n, e } => {
            row.set(MODULUS, &**n);
            row.set(PUBLIC_EXPONENT, &**e);
        }
        Public::Ec { curve, .. } => row.set(EC_PARAMS, &**curve),
        Public::Ed25519 { .. } => row.set(EC_PARAMS, keys::ed25519()),
        Public::Dsa { p, q, g, .. } => {
            row.set(PRIME, &**p);
            row.set(SUBPRIME, &**q);
            row.set(BASE, &**g);
        }
    }
}

fn label_bytes(label: Option<&Label>) -> &[u8] {
    label.map_or(EMPTY, |l| l.bytes())
}

/// The first e-mail address, in lower case: the subject's, else the first alternative name's.
fn email(fields: &CertFields<'_>) -> Option<Vec<u8>> {
    if let Some(text) = dn::attribute_text(fields.subject, oid::EMAIL_ADDRESS).filter(|t| !t.is_empty()) {
        return Some(text.to_ascii_lowercase().into_bytes());
    }
    let names = fields.extension(&[0x55, 0x1d, 0x11])?;
    let mut names = Reader::new(names, 0).expect(Tag::SEQUENCE, "SubjectAltName").ok()?.reader();
    while let Ok(Some(name)) = names.next() {
        // rfc822Name [1]
        if name.tag == Tag::context_primitive(1) && !name.content.is_empty() {
            return Some(name.content.to_ascii_lowercase());
        }
    }
    None
}

/// The issuer of a CRL (RFC 5280 section 5.1).
pub fn crl_issuer(crl: &[u8]) -> Option<&[u8]> {
    let outer = Reader::new(crl, 0).expect(Tag::SEQUENCE, "CertificateList").ok()?;
    let mut tbs = outer.reader().expect(Tag::SEQUENCE, "TBSCertList").ok()?.reader();
    tbs.optional(Tag::INTEGER).ok()?;
    tbs.expect(Tag::SEQUENCE, "signature").ok()?;
    tbs.expect(Tag::SEQUENCE, "issuer").ok().map(|i| i.raw)
}

/// Why an entry can't be held, if it can't; its key is open.
pub fn cannot_hold(entry: &Entry) -> Option<String> {
    let opened = entry.secret().and_then(|s| s.opened());
    match (&entry.item, opened) {
        (Item::Key { .. }, Some(key)) => match Private::of_pkcs8(&key.bytes) {
            Ok(private) if !is_usable(&private.public) => Some("NSS can't use keys on this curve".to_owned()),
            Ok(_) => None,
            // Damage is for the writer to report.
            Err(e) if e.kind() == crate::error::Kind::Unsupported => Some(e.message().to_owned()),
            Err(_) => None,
        },
        (Item::Symmetric(_), Some(key)) => {
            let name = key.algorithm.as_deref().unwrap_or_default();
            secret_type(name).is_none().then(|| format!("NSS has no secret keys of the type {name}"))
        }
        (Item::Other { body, .. }, _) => {
            let ours = entry.attr(decode::NAME, ROW).is_some() && unpack(0, body).is_some();
            (!ours).then(|| "NSS has no such objects".to_owned())
        }
        (Item::Crl(crl), _) => crl_issuer(crl).is_none().then(|| "it is no revocation list".to_owned()),
        _ => None,
    }
}

fn is_usable(public: &Public) -> bool {
    let Public::Ec { curve, .. } = public else { return true };
    [oid::P256, oid::P384, oid::P521].iter().any(|known| curve.get(2..) == Some(*known))
}
