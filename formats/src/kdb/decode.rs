//! A file into a store, slot by slot: slots are mostly padding, so the whole file never stands in memory.

use super::chain::Signers;
use super::layout::*;
use super::protect::{self, Integrity};
use super::record::{Content, Record};
use super::{carrier, lock};
use crate::asn1::{Reader, Tag};
use crate::context::Ctx;
use crate::crypto::pbe::{self, Protection};
use crate::error::{Error, Kind, Result};
use crate::model::{
    Attr, Buffer, Der, Entry, Item, KeyMaterial, Label, Level, Link, Password, Room, Seal, Secret, Store,
    Trust,
};
use crate::place::{PIECE, Source, cannot_read};
use crate::query::time::rfc3339;
use foldhash::quality::RandomState;
use std::collections::HashSet;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// GSKit changes files in place, so a reader may see half a change; it is over after this.
const SETTLE: Duration = Duration::from_millis(60);

/// One database of a set, as it was read.
pub struct Database {
    /// The header.
    pub header: Header,
    /// Whether the password proved it.
    pub authenticated: bool,
    /// What was found, in the order of the file.
    pub found: Vec<Found>,
    /// Records that can't be read.
    pub defects: Vec<Arc<Error>>,
    /// What a person should know.
    pub warnings: Vec<String>,
    buffer: Arc<Buffer>,
}

/// One record.
pub struct Found {
    /// What it holds.
    pub content: Content,
    /// The label, until [`Database::entries`] takes it.
    pub label: Label,
    /// The trusted bit.
    pub trusted: bool,
    /// The default bit.
    pub default: bool,
    /// Where the record begins in the file.
    at: u64,
    object: Range<usize>,
    key: Range<usize>,
}

/// Reads the store with its requests.
pub fn decode(from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
    let password = ctx.secrets.store()?;
    let mut database = Database::read(from, Role::Keys, password.as_deref())?;
    let mut store = Store {
        facts: facts(&database.header),
        defects: std::mem::take(&mut database.defects),
        warnings: std::mem::take(&mut database.warnings),
        entries: Vec::new(),
    };
    store.entries = database.entries()?;
    expiry_warning(&database.header, ctx, &mut store.warnings);
    repeats(&store.entries, &mut store.warnings);
    match requests(from, password.as_deref()) {
        Ok(Some(mut requests)) => {
            store.entries.extend(requests.entries()?);
            store.defects.append(&mut requests.defects);
            store.warnings.append(&mut requests.warnings);
        }
        Ok(None) => {}
        Err(e) => store.warnings.push(format!("the pending requests in its .rdb are left out: {e}")),
    }
    Ok(store)
}

/// The request database beside the store.
fn requests(from: &Source, password: Option<&Password>) -> Result<Option<Database>> {
    let Some(companion) = from.companion("rdb")? else { return Ok(None) };
    Database::read(&companion, Role::Requests, password).map(Some)
}

fn facts(header: &Header) -> Vec<Attr> {
    let fact = |id, n: u32| Attr::new(NAME, id, n.to_string().into_bytes());
    vec![fact(FORMAT_FACT, u32::from(header.version.number())), fact(EXPIRES_FACT, header.expires)]
}

fn expiry_warning(header: &Header, ctx: &Ctx<'_>, warnings: &mut Vec<String>) {
    let expires = i64::from(header.expires);
    if expires != 0 && expires * 1000 < ctx.session.now_ms {
        warnings.push(format!(
            "its password expired at {}: GSKit refuses to open it, though the password still fits",
            rfc3339(expires)
        ));
    }
}

/// GSKit lists repeated labels and certificates; which of them a program gets is not known.
fn repeats(entries: &[Entry], warnings: &mut Vec<String>) {
    let mut labels = HashSet::with_capacity_and_hasher(entries.len(), RandomState::default());
    let mut objects = HashSet::with_capacity_and_hasher(entries.len(), RandomState::default());
    for entry in entries {
        if !labels.insert(entry.label.as_ref().map(Label::bytes)) {
            warnings.push(format!("several records are labelled \"{}\"", entry.label_text()));
        }
        if entry.object().is_some_and(|object| !objects.insert(object)) {
            warnings.push(format!("the certificate of \"{}\" is there twice", entry.label_text()));
        }
    }
}

impl Database {
    /// Reads a database. With a password its integrity is proved or the reading fails.
    pub fn read(from: &Source, role: Role, password: Option<&Password>) -> Result<Database> {
        let lock = lock::shared(from);
        match Self::attempt(from, role, password) {
            // Damaged, or in the middle of somebody's change.
            Err(e) if e.kind() == Kind::Malformed && password.is_some() && from.file().is_some() => {
                std::thread::sleep(SETTLE);
                Self::attempt(from, role, password).map_err(|e| match lock.refused {
                    true => Error::new(Kind::Busy, "another program is changing it").caused_by(e),
                    false => e,
                })
            }
            outcome => outcome,
        }
    }

    fn attempt(from: &Source, role: Role, password: Option<&Password>) -> Result<Database> {
        let mut reader = from.reader()?;
        let mut fixed = [0; FIXED];
        let size = from.size()?;
        if size < FIXED as u64 {
            return Err(Error::malformed(format!("truncated: its header alone takes {FIXED} bytes")).at(size));
        }
        fill(&mut *reader, &mut fixed)?;
        let header = Header::parse(&fixed, role, size)?;
        let mut values = [0; 2 * 48];
        let values = &mut values[..2 * header.version.value_len()];
        fill(&mut *reader, values)?;
        let (check, integrity) = values.split_at(header.version.value_len());
        let mut proof = None;
        if let Some(password) = password {
            prove_password(&header, check, password)?;
            proof = Some(Integrity::new(&header, check, password)?);
        }
        let mut gatherer = Gatherer { bytes: Gathered::for_file(&header)?, ..Gatherer::default() };
        let at = header.version.header_len() as u64;
        slots(&mut *reader, &header, |number, piece| {
            if let Some(proof) = &mut proof {
                proof.update(piece);
            }
            for (n, slot) in piece.chunks_exact(header.slot).enumerate() {
                let number = number + n;
                gatherer.slot(number, slot, at + (number * header.slot) as u64, role);
            }
        })?;
        let authenticated = proof.is_some();
        if let Some(proof) = proof
            && !bool::from(proof.finish().ct_eq(integrity))
        {
            return Err(Error::malformed("it is damaged: its integrity value does not match")
                .at((FIXED + header.version.value_len()) as u64)
                .hint("the password is right; what can still be read shows without it: --password none"));
        }
        let Gatherer { bytes, found, defects, warnings } = gatherer;
        Ok(Database { header, authenticated, found, defects, warnings, buffer: bytes.into_buffer() })
    }

    /// The records as entries, chains made from the certificates that are there.
    pub fn entries(&mut self) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(self.found.len());
        let labels: Vec<Label> = self.found.iter_mut().map(|f| std::mem::take(&mut f.label)).collect();
        for (found, label) in self.found.iter().zip(labels) {
            let item = match found.content {
                Content::Certificate => Item::Cert(self.der(&found.object)?),
                Content::Request => Item::Request {
                    csr: self.der(&found.object)?,
                    key: Some(self.key(found, &label, false)?),
                },
                Content::KeyPair if carrier::is_carrier(&self.buffer[found.object.clone()]) => {
                    Item::Symmetric(self.key(found, &label, true)?)
                }
                Content::KeyPair => {
                    let leaf = self.der(&found.object)?.into();
                    Item::Key { key: self.key(found, &label, false)?, chain: vec![leaf] }
                }
            };
            let mut entry = Entry::new(item).with_label(label);
            let certificate = entry.certificate().is_some();
            let level = if found.trusted { Level::Anchor } else { Level::Unset };
            entry.trust = certificate.then(|| Trust::all(level));
            entry.default = found.default;
            entry.authenticated = Some(self.authenticated);
            entry.attrs.extend(untrusted(found).filter(|_| found.content != Content::Certificate));
            entries.push(entry);
        }
        self.add_signers(&mut entries)?;
        Ok(entries)
    }

    /// Gives every key the signers that the store has.
    fn add_signers(&self, entries: &mut [Entry]) -> Result<()> {
        if !entries.iter().any(|e| matches!(e.item, Item::Key { .. })) {
            return Ok(());
        }
        let certificates: Vec<usize> =
            (0..self.found.len()).filter(|at| entries[*at].certificate().is_some()).collect();
        let bytes = |at: &usize| &self.buffer[self.found[*at].object.clone()];
        let signers = Signers::new(certificates.iter().map(bytes).collect());
        for at in 0..entries.len() {
            if !matches!(entries[at].item, Item::Key { .. }) {
                continue;
            }
            let mut above = Vec::new();
            for signer in signers.chain(bytes(&at)) {
                let place = certificates[signer];
                let mut link = Link::from(self.der(&self.found[place].object)?);
                link.label.clone_from(&entries[place].label);
                link.attrs.extend(untrusted(&self.found[place]));
                above.push(link);
            }
            if let Item::Key { chain, .. } = &mut entries[at].item {
                chain.append(&mut above);
            }
        }
        Ok(())
    }

    fn key(&self, found: &Found, label: &Label, carried: bool) -> Result<Arc<Secret>> {
        // The key stands right after its certificate, in the file as here.
        let pair = self.der(&(found.object.start..found.key.end))?;
        let certificate = found.object.len();
        Ok(Arc::new(Secret::sealed(Wrapped {
            label: label.clone(),
            pair,
            certificate,
            at: found.at,
            carried,
        })))
    }

    fn der(&self, at: &Range<usize>) -> Result<Der> {
        // The ranges were made with this very buffer.
        Der::slice(&self.buffer, at.clone()).ok_or_else(|| Error::malformed("a part outside the file"))
    }

    /// The object of a record.
    pub fn object(&self, found: &Found) -> &[u8] {
        self.buffer.get(found.object.clone()).unwrap_or_default()
    }
}

fn untrusted(found: &Found) -> impl Iterator<Item = Attr> {
    (!found.trusted).then(|| Attr::new(NAME, UNTRUSTED, *b"1")).into_iter()
}

/// Whether the password is the file's.
pub fn prove_password(header: &Header, check: &[u8], password: &Password) -> Result<()> {
    if password.bytes().is_empty() {
        return Err(Error::password("the empty password opens no key database that can be read here").hint(
            "how GSKit protects a database with an empty password is not known; give it another with GSKit",
        ));
    }
    if bool::from(protect::check_value(header.version, password, &header.raw).ct_eq(check)) {
        return Ok(());
    }
    Err(Error::password("the password is wrong, or the header is damaged (a kdb can't tell these apart)"))
}

/// Hands the slots on in pieces, with the number of the first.
pub fn slots(reader: &mut dyn Read, header: &Header, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
    let per_piece = (PIECE / header.slot).clamp(1, header.count.max(1));
    // No larger than the file, for the header's numbers were held against its size.
    let mut piece = vec![0; if header.count == 0 { 0 } else { per_piece * header.slot }];
    let mut number = 0;
    while number < header.count {
        let n = per_piece.min(header.count - number);
        let piece = &mut piece[..n * header.slot];
        fill(reader, piece)?;
        each(number, piece);
        number += n;
    }
    Ok(())
}

/// Reads exactly as much; a file that ends before was cut short since it was opened.
pub fn fill(reader: &mut dyn Read, out: &mut [u8]) -> Result<()> {
    reader.read_exact(out).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::malformed("truncated while it was read").caused_by(e),
        _ => cannot_read(e),
    })
}

/// Collects what the slots hold.
#[derive(Default)]
struct Gatherer {
    bytes: Gathered,
    found: Vec<Found>,
    defects: Vec<Arc<Error>>,
    warnings: Vec<String>,
}

/// What is kept of the slots: a fifth of a usual file, at most all of it.
#[derive(Default)]
struct Gathered {
    /// Of the whole file's size. What is not written to is not claimed of the system.
    large: Option<Room>,
    /// For small files.
    small: Vec<u8>,
    len: usize,
}

/// The size of a file from which on it is worth to have room for all of it.
const LARGE: usize = 4 << 20;

impl Gathered {
    /// The header's numbers were held against the file's size.
    fn for_file(header: &Header) -> Result<Self> {
        let size = header.slot.saturating_mul(header.count);
        let large = if size < LARGE { None } else { Some(Room::new(size)?) };
        Ok(Gathered { large, ..Gathered::default() })
    }

    fn push(&mut self, bytes: &[u8]) -> Range<usize> {
        let at = self.len..self.len + bytes.len();
        match &mut self.large {
            // A slot holds more than is kept of it, so there is room.
            Some(room) => {
                if let Some(free) = room.get_mut(at.clone()) {
                    free.copy_from_slice(bytes);
                }
            }
            None => self.small.extend_from_slice(bytes),
        }
        self.len = at.end;
        at
    }

    fn into_buffer(self) -> Arc<Buffer> {
        match self.large {
            Some(mut room) => {
                room.truncate(self.len);
                Buffer::new(room)
            }
            None => Buffer::new(self.small),
        }
    }
}

impl Gatherer {
    fn slot(&mut self, number: usize, slot: &[u8], at: u64, role: Role) {
        let word = |at: usize| slot.get(at..)?.first_chunk().map(|w| u32::from_be_bytes(*w));
        let (Some(state), Some(len)) = (word(0), word(8)) else { return };
        // Its old content is still there and counts no more.
        if state == ERASED {
            return;
        }
        let nth = number + 1;
        let record = slot[SLOT_HEAD..].get(..len as usize).ok_or_else(|| {
            Error::malformed(format!("{len} bytes where {} are left", slot.len() - SLOT_HEAD)).at(at + 8)
        });
        let record = record.and_then(|der| Record::parse(der, at + SLOT_HEAD as u64));
        let record = record.and_then(|r| match (role, r.content) {
            (Role::Requests, Content::Request) | (Role::Keys, Content::Certificate | Content::KeyPair) => {
                Ok(r)
            }
            _ => Err(Error::malformed("content that belongs into another database of the set").at(at)),
        });
        match record {
            Ok(record) => {
                if state != IN_USE {
                    let label = String::from_utf8_lossy(record.label);
                    self.warnings.push(format!("\"{label}\" is in a slot of the unknown state {state}"));
                }
                self.keep(&record, at + SLOT_HEAD as u64);
            }
            Err(e) => {
                let mut bad = Error::malformed(format!("record {nth} can't be read: {}", e.message()));
                bad = bad.at(e.place().offset.unwrap_or(at));
                self.defects.push(Arc::new(bad));
            }
        }
    }

    fn keep(&mut self, record: &Record<'_>, at: u64) {
        let object = self.bytes.push(record.object);
        let key = self.bytes.push(record.key);
        self.found.push(Found {
            content: record.content,
            label: Label::from(record.label),
            trusted: record.trusted,
            default: record.default,
            at,
            object,
            key,
        });
    }
}

/// The key of a record that stands by itself: `object` and `key` are its own.
pub fn lone_key(label: Label, object: &[u8], key: &[u8], at: u64) -> Arc<Secret> {
    let pair = Der::new([object, key].concat());
    Arc::new(Secret::sealed(Wrapped { label, pair, certificate: object.len(), at, carried: false }))
}

/// A key as it stands in its record.
struct Wrapped {
    label: Label,
    /// Certificate (or request) and `EncryptedPrivateKeyInfo`, one after the other.
    pair: Der,
    /// Bytes of the certificate.
    certificate: usize,
    /// Where the record begins in the file.
    at: u64,
    /// The key is what the certificate carries.
    carried: bool,
}

impl Seal for Wrapped {
    fn format(&self) -> &'static str {
        NAME
    }

    /// Certificate and key of the record.
    fn raw(&self) -> Option<&[u8]> {
        Some(&self.pair)
    }

    /// GSKit goes back to its own count with each change of the password, so that is nobody's choice.
    fn protection(&self) -> Option<Protection> {
        let (_, key) = self.pair.split_at_checked(self.certificate)?;
        let mut fields = Reader::new(key, 0).expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo").ok()?.reader();
        let found = pbe::protection(fields.expect(Tag::SEQUENCE, "the encryption algorithm").ok()?.raw)?;
        Some(Protection { rounds: None, ..found })
    }

    /// A database's keys are wrapped with its own password; other tools may have done otherwise.
    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let label = self.label.text();
        let mut passwords = ctx.secrets.key(Some(&label))?;
        passwords.extend(ctx.secrets.store()?);
        let (certificate, key) = self.pair.split_at_checked(self.certificate).unwrap_or_default();
        let opened = protect::unwrap(key, self.at, &passwords, ctx).and_then(|key| match self.carried {
            true => Ok(KeyMaterial { bytes: carrier::open(certificate, &key.bytes)?, algorithm: None }),
            false => Ok(key),
        });
        opened.map_err(|e| e.in_entry(label))
    }
}

/// The two parts of what [`Seal::raw`] gives: certificate (or request) and key.
pub fn split_pair(pair: &[u8]) -> Result<(&[u8], &[u8])> {
    let object = Reader::new(pair, 0).expect(Tag::SEQUENCE, "Certificate")?.raw;
    Ok(pair.split_at(object.len()))
}
