//! The older form of the databases, read only: `cert8.db` and `key3.db`, Berkeley DB 1.85 hash files.
//!
//! | words of the header, 32 bits, big-endian | |
//! |---|---|
//! | 0, 1 | 00061561; version 2 |
//! | 2, 3 | byte order of the pages (1234: little); bytes of a page |
//! | 10, 15 | highest bucket; pages of the header |
//! | 17 to 48 | overflow pages before each doubling |
//!
//! A page begins with a count of 16-bit words and as many words in pairs: where a key and its value begin.
//! Key and value lie below each other from the end of the page. A pair whose second word is 0 names the
//! page that goes on; 1, 2 or 3 belong to a pair that is bigger than a page.
//!
//! Nothing here is authenticated but the keys, which an old triple DES scheme enciphers. Current releases
//! of NSS can't open these files any more. Verified with files of NSS 3.87.

use super::decode::{Certificate, Judged, Key, Locked, assemble};
use super::keys::magnitude;
use super::protect::PasswordEntry;
use super::sql::open;
use super::trust::{ANCHOR, DISTRUSTED, MUST_VERIFY, PEER, UNKNOWN, VALID_CA, Words};
use crate::asn1::{Reader, Tag, cert_fields, integer, octet_string, tlv_of};
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::model::{Der, Entry, Item, Label, Secret, Store};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

pub const CERT_DB: &str = "cert8.db";
const KEY_DB: &str = "key3.db";
/// Where values go that are too big for the file.
const BLOBS: &str = "cert8.dir";
/// A larger file is no key database.
const LIMIT: u64 = 256 << 20;

/// Reads the databases in `folder`.
pub fn decode(folder: &Path, ctx: &Ctx<'_>) -> Result<Store> {
    let mut store = Store::default();
    let path = folder.join(CERT_DB);
    let records = Records::read(&load(&path)?, folder, &mut store).map_err(|e| e.in_file(&path))?;
    let path = folder.join(KEY_DB);
    let keys = if path.symlink_metadata().is_err() {
        store.warnings.push(format!("{KEY_DB} is missing, so no keys"));
        Vec::new()
    } else {
        match load(&path).and_then(|bytes| private_keys(&bytes, ctx, &mut store)) {
            Ok(keys) => keys,
            Err(e) if e.kind() == Kind::Password => return Err(e),
            Err(e) => {
                store.defects.push(Arc::new(e.in_file(&path)));
                Vec::new()
            }
        }
    };
    let (certificates, judged) = records.certificates(&mut store);
    assemble(&certificates, &judged, keys, &mut store);
    store.entries.extend(records.crls.into_iter().map(|crl| Entry::new(Item::Crl(Der::new(crl)))));
    Ok(store)
}

fn load(path: &Path) -> Result<Vec<u8>> {
    let go = || {
        let mut bytes = Vec::new();
        open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = go().map_err(|e: std::io::Error| {
        let reason = crate::place::reason(&e);
        Error::io(Kind::Read, format!("can't be read: {reason}"), e).in_file(path)
    })?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::too_large(format!("more than {LIMIT} bytes are refused")).in_file(path));
    }
    Ok(bytes)
}

/// What `cert8.db` holds.
#[derive(Default)]
struct Records {
    /// Trust bits for SSL, e-mail and code, and the DER.
    certificates: Vec<([u16; 3], Vec<u8>)>,
    /// Nicknames by subject.
    nicknames: HashMap<Vec<u8>, Vec<u8>>,
    crls: Vec<Vec<u8>>,
}

impl Records {
    fn read(bytes: &[u8], folder: &Path, store: &mut Store) -> Result<Self> {
        let mut out = Records::default();
        for (key, value) in Hash::new(bytes)?.pairs()? {
            let value = match moved(&value) {
                None => value,
                Some(blob) => match fetch(folder, blob) {
                    Ok(value) => value,
                    Err(e) => {
                        store.defects.push(Arc::new(e));
                        continue;
                    }
                },
            };
            let done = out.record(&key, &value);
            if done.is_none() {
                store
                    .defects
                    .push(Arc::new(Error::malformed("a damaged record").in_file(&folder.join(CERT_DB))));
            }
        }
        Ok(out)
    }

    /// One record by the type in its key; `None` where it is too short.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (kind, name) = key.split_first()?;
        let body = value.get(3..);
        match kind {
            1 => {
                let body = body?;
                let trust = [short(body, 0)?, short(body, 2)?, short(body, 4)?];
                // The length has 16 bits; what the record has left tells the rest.
                let nickname = usize::from(short(body, 8)?);
                let der = body.get(10..body.len().checked_sub(nickname)?)?;
                self.certificates.push((trust, der.to_vec()));
            }
            3 => {
                let body = body?;
                let length = usize::from(short(body, 2)?);
                let nickname = body.get(6..6 + length)?;
                let nickname = nickname.strip_suffix(&[0]).unwrap_or(nickname);
                self.nicknames.insert(name.to_vec(), nickname.to_vec());
            }
            4 => {
                let body = body?;
                let length = usize::from(short(body, 0)?);
                let crl = body.get(4..)?;
                // As above: a long list has lost the upper bits of its length.
                let end = length + (crl.len().saturating_sub(length) >> 16 << 16);
                self.crls.push(crl.get(..end)?.to_vec());
            }
            _ => {}
        }
        Some(())
    }

    fn certificates(&self, store: &mut Store) -> (Vec<Certificate>, Vec<Judged>) {
        let mut out = (Vec::new(), Vec::new());
        for (trust, der) in &self.certificates {
            let fields = match cert_fields(der) {
                Ok(fields) => fields,
                Err(e) => {
                    let e = Error::malformed(format!("no certificate: {}", e.message()));
                    store.defects.push(Arc::new(e));
                    continue;
                }
            };
            let label = self.nicknames.get(fields.subject).filter(|n| !n.is_empty());
            let public = super::keys::Public::of_spki(fields.spki);
            out.0.push(Certificate {
                label: label.map(|n| Label::from(&**n)),
                id: public.map(|p| magnitude(p.bare()).to_vec()),
                der: Der::new(der.clone()),
            });
            out.1.push(Judged { words: Some(words(*trust)), authenticated: None });
        }
        out
    }
}

/// NSS's own translation of the bits, which its newer form of the databases shares.
fn words([ssl, email, code]: [u16; 3]) -> Words {
    const ORDER: [(u16, u32); 6] = [
        (0x10, ANCHOR),
        (0x02, PEER),
        (0x400, MUST_VERIFY),
        (0x800, UNKNOWN),
        (0x08, VALID_CA),
        (0x01, DISTRUSTED),
    ];
    let word =
        |bits: u16| ORDER.iter().find(|(bit, _)| bits & bit != 0).map_or(MUST_VERIFY, |(_, word)| *word);
    let client = if ssl & 0x80 != 0 { ANCHOR } else { UNKNOWN };
    Words { words: [word(ssl), client, word(email), word(code)], step_up: false }
}

/// A value that was moved into a file: its length and the file's name.
fn moved(value: &[u8]) -> Option<(u32, &[u8])> {
    if value.get(1) != Some(&8) {
        return None;
    }
    let length = <[u8; 4]>::try_from(value.get(4..8)?).ok().map(u32::from_le_bytes)?;
    let name = value.get(8..)?;
    Some((length, name.split(|b| *b == 0).next().unwrap_or_default()))
}

fn fetch(folder: &Path, (length, name): (u32, &[u8])) -> Result<Vec<u8>> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"+-=".contains(b);
    let name = name.strip_prefix(b"b").filter(|rest| rest.len() == 28 && rest.iter().all(plain));
    let name = name.and_then(|rest| std::str::from_utf8(rest).ok());
    let Some(name) = name else {
        return Err(
            Error::malformed("a record names a file that NSS would not").in_file(&folder.join(CERT_DB))
        );
    };
    let path = folder.join(BLOBS).join(format!("b{name}"));
    let bytes = load(&path)?;
    if bytes.len() as u64 != u64::from(length) {
        let text = format!("{} bytes where its record says {length}", bytes.len());
        return Err(Error::malformed(text).in_file(&path));
    }
    Ok(bytes)
}

/// The private keys of `key3.db`.
fn private_keys(bytes: &[u8], ctx: &Ctx<'_>, store: &mut Store) -> Result<Vec<Key>> {
    let pairs = Hash::new(bytes)?.pairs()?;
    let find = |name: &[u8]| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| &v[..]);
    let check = find(b"password-check").and_then(password_check);
    let (Some(salt), Some(check)) = (find(b"global-salt"), check) else {
        return Err(Error::malformed("the key database is not initialised: a password was never set"));
    };
    let entry = Arc::new(PasswordEntry { salt: salt.to_vec(), check });
    // Whether the password is right; the keys ask for it again when they are opened.
    if let Err(e) = super::decode::log_in(&entry, ctx) {
        if e.kind() == Kind::Password || ctx.secrets.store()?.is_some() {
            return Err(e);
        }
        store.warnings.push(e.message().to_owned());
    }
    let mut out = Vec::new();
    for (key, value) in pairs.iter().filter(|(k, _)| !is_special(k)) {
        match private_key(key, value, &entry) {
            Some(key) => out.push(key),
            None => store.defects.push(Arc::new(Error::malformed("a damaged key record"))),
        }
    }
    Ok(out)
}

fn is_special(key: &[u8]) -> bool {
    matches!(key, b"Version" | b"password-check" | b"global-salt")
}

/// `03, salt length, name length, salt, name`, and what follows.
fn headed(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = value.split_at_checked(3)?;
    let (salt, rest) = rest.split_at_checked(usize::from(*head.get(1)?))?;
    let (name, rest) = rest.split_at_checked(usize::from(*head.get(2)?))?;
    Some((salt, name, rest))
}

/// The password check in the shape that newer databases give it.
fn password_check(value: &[u8]) -> Option<Vec<u8>> {
    let (salt, _, rest) = headed(value)?;
    let (length, rest) = rest.split_first()?;
    let (id, body) = rest.split_at_checked(usize::from(*length))?;
    let parameters = tlv_of(0x30, &[&octet_string(salt), &integer(1)]);
    let algorithm = tlv_of(0x30, &[&tlv_of(0x06, &[id]), &parameters]);
    Some(tlv_of(0x30, &[&algorithm, &octet_string(body)]))
}

fn private_key(key: &[u8], value: &[u8], entry: &Arc<PasswordEntry>) -> Option<Key> {
    let (_, name, rest) = headed(value)?;
    let blob = Reader::new(rest, 0).expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo").ok()?.raw.to_vec();
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    Some(Key {
        secret: Arc::new(Secret::sealed(Locked { entry: Arc::clone(entry), blob })),
        label: (!name.is_empty()).then(|| Label::from(name)),
        id: Some(magnitude(key).to_vec()),
        public: None,
        // The id is the public key itself.
        by_value: true,
        authenticated: None,
        used: false,
    })
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    <[u8; 2]>::try_from(pair).ok().map(u16::from_be_bytes)
}

/// A hash file.
struct Hash<'a> {
    bytes: &'a [u8],
    little: bool,
    page: usize,
    buckets: usize,
    header: usize,
    spares: Vec<u32>,
}

/// Key and value.
type Pair = (Vec<u8>, Vec<u8>);

impl<'a> Hash<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let word = |n: usize| {
            let four = bytes.get(4 * n..4 * n + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
            four.map(u32::from_be_bytes).ok_or_else(|| Error::malformed("the file ends in its header").at(0))
        };
        if word(0)? != 0x0006_1561 || word(1)? != 2 {
            return Err(Error::malformed("not a Berkeley DB 1.85 hash file").at(0));
        }
        let little = match word(2)? {
            1234 => true,
            4321 => false,
            other => return Err(Error::malformed(format!("an unknown byte order {other}")).at(8)),
        };
        let page = word(3)? as usize;
        if !page.is_power_of_two() || !(256..=65536).contains(&page) {
            return Err(Error::malformed(format!("pages of {page} bytes")).at(12));
        }
        let (buckets, header) = (word(10)? as usize, word(15)? as usize);
        let pages = bytes.len().div_ceil(page);
        if buckets >= pages || header > pages {
            return Err(Error::malformed("damaged: more buckets than the file has pages").at(40));
        }
        let spares = (17..49).map(word).collect::<Result<_>>()?;
        Ok(Hash { bytes, little, page, buckets, header, spares })
    }

    /// Everything, bucket by bucket; no hash function is needed for that.
    fn pairs(&self) -> Result<Vec<Pair>> {
        let mut out = Vec::new();
        let mut seen = HashSet::new();
        for bucket in 0..=self.buckets {
            let mut next = Some(self.bucket_page(bucket));
            while let Some(page) = next {
                next = self.page_pairs(page, &mut seen, &mut out)?;
            }
        }
        Ok(out)
    }

    fn bucket_page(&self, bucket: usize) -> usize {
        // ceil(log2(bucket + 1)) - 1
        let doublings = (usize::BITS - bucket.leading_zeros()).checked_sub(1).map(|n| n as usize);
        let spare = doublings.and_then(|n| self.spares.get(n)).map_or(0, |s| *s as usize);
        bucket.saturating_add(self.header).saturating_add(spare)
    }

    fn overflow_page(&self, address: u16) -> usize {
        self.bucket_page((1 << (address >> 11)) - 1) + usize::from(address & 0x7ff)
    }

    /// The page, each at most once: a second visit would be a loop.
    fn open(&self, page: usize, seen: &mut HashSet<usize>) -> Result<Page<'a>> {
        let start = page.saturating_mul(self.page);
        let bytes = self.bytes.get(start..start.saturating_add(self.page));
        let damaged = |what| Err(Error::malformed(format!("damaged hash file: {what}")).at(start as u64));
        match bytes {
            None => damaged("a page beyond its end"),
            Some(_) if !seen.insert(page) => damaged("a page in two places"),
            Some(bytes) => Ok(Page { bytes, little: self.little, at: start as u64 }),
        }
    }

    /// The pairs of one page; the page that goes on, if one does.
    fn page_pairs(
        &self,
        page: usize,
        seen: &mut HashSet<usize>,
        out: &mut Vec<Pair>,
    ) -> Result<Option<usize>> {
        let page = self.open(page, seen)?;
        let count = page.count()?;
        let mut end = page.bytes.len();
        let mut n = 1;
        while n < count {
            let (first, second) = (page.word(n)?, page.word(n + 1)?);
            match second {
                0 => return Ok(Some(self.overflow_page(first))),
                1..=3 => return self.big(page, n, end, seen, out),
                _ => {
                    let (key, value) = (usize::from(first), usize::from(second));
                    out.push((page.part(key, end)?, page.part(value, key)?));
                    end = value;
                }
            }
            n += 2;
        }
        Ok(None)
    }

    /// A pair that is bigger than a page: the key on one or more pages, then the value.
    fn big(
        &self,
        mut page: Page<'a>,
        mut n: usize,
        mut end: usize,
        seen: &mut HashSet<usize>,
        out: &mut Vec<Pair>,
    ) -> Result<Option<usize>> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        loop {
            let (start, kind) = (usize::from(page.word(n)?), page.word(n + 1)?);
            key.extend(page.part(start, end)?);
            let count = page.count()?;
            if kind == 3 {
                // The value begins on the page where the key ends.
                value.extend(page.part(usize::from(page.word(count)?), start)?);
                if page.word(count + 1)? != 0 {
                    out.push((key, value));
                    return self.after_big(&page);
                }
            }
            let next = self.overflow_page(page.word(count.saturating_sub(1))?);
            page = self.open(next, seen)?;
            (n, end) = (1, page.bytes.len());
            if kind != 1 {
                break;
            }
        }
        loop {
            let (start, kind) = (usize::from(page.word(1)?), page.word(2)?);
            value.extend(page.part(start, page.bytes.len())?);
            match kind {
                2 => {
                    let next = self.overflow_page(page.word(page.count()?.saturating_sub(1))?);
                    page = self.open(next, seen)?;
                }
                3 => {
                    out.push((key, value));
                    return self.after_big(&page);
                }
                _ => return Err(Error::malformed("damaged hash file: a big pair without an end").at(page.at)),
            }
        }
    }

    /// Where the bucket goes on after the last page of a big pair.
    fn after_big(&self, page: &Page<'_>) -> Result<Option<usize>> {
        let count = page.count()?;
        if count <= 2 {
            return Ok(None);
        }
        Ok(Some(self.overflow_page(page.word(count - 1)?)))
    }
}

struct Page<'a> {
    bytes: &'a [u8],
    little: bool,
    at: u64,
}

impl Page<'_> {
    fn word(&self, n: usize) -> Result<u16> {
        let two = self.bytes.get(2 * n..2 * n + 2).and_then(|b| <[u8; 2]>::try_from(b).ok());
        let two =
            two.ok_or_else(|| Error::malformed("damaged hash file: a page without its words").at(self.at))?;
        Ok(if self.little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    }

    fn count(&self) -> Result<usize> {
        let count = usize::from(self.word(0)?);
        if count % 2 != 0 || 2 * count + 2 > self.bytes.len() {
            return Err(Error::malformed("damaged hash file: an impossible count of words").at(self.at));
        }
        Ok(count)
    }

    fn part(&self, from: usize, to: usize) -> Result<Vec<u8>> {
        let part = self.bytes.get(from..to).map(<[u8]>::to_vec);
        part.ok_or_else(|| Error::malformed("damaged hash file: a pair beyond its page").at(self.at))
    }
}
