//! Bytes into a store. Keys stay sealed; certificates are ranges of the file's buffer.

use super::layout::*;
use super::{mutf8, protect, serial};
use crate::asn1::{Reader, Tag};
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::model::{
    Attr, Buffer, Der, Entry, Item, KeyMaterial, Label, Level, Link, Password, Seal, Secret, Store, Trust,
};
use foldhash::fast::RandomState;
use sha1::Digest;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Reads a whole store.
pub fn decode(variant: &'static Variant, bytes: &Arc<Buffer>, ctx: &Ctx<'_>) -> Result<Store> {
    let mut decoder =
        Decoder { variant, bytes, cursor: Cursor::new(bytes), typed: true, defects: Vec::new() };
    let (version, count) = decoder.header()?;
    let mut entries = Vec::new();
    // Not sized by the count: it is the file's word, and every entry takes bytes.
    for _ in 0..count {
        entries.extend(decoder.entry()?);
    }
    let content = decoder.cursor.pos();
    let digest: [u8; DIGEST_LEN] = decoder.cursor.array("the integrity digest")?;
    let surplus = decoder.cursor.rest().len();

    let authenticated = authenticate(variant, &bytes[..content], &digest, ctx)?;
    for entry in &mut entries {
        entry.authenticated = Some(authenticated);
    }
    let mut store = Store {
        entries,
        facts: vec![Attr::new(FACTS, VERSION_FACT, version.to_string().into_bytes())],
        defects: decoder.defects,
        warnings: Vec::new(),
    };
    if surplus > 0 {
        store.warnings.push(format!("{surplus} bytes after the end of the store are ignored"));
    }
    drop_shadowed(&mut store);
    Ok(store)
}

/// Whether the digest was checked; an error if it does not match.
fn authenticate(
    variant: &Variant,
    content: &[u8],
    expected: &[u8; DIGEST_LEN],
    ctx: &Ctx<'_>,
) -> Result<bool> {
    let Some(password) = ctx.secrets.store()? else {
        return Ok(false);
    };
    let found = protect::store_digest(&password)?.chain_update(content).finalize();
    if bool::from(found.as_slice().ct_eq(expected)) {
        return Ok(true);
    }
    let name = variant.name;
    Err(Error::password(format!(
        "the store's password is wrong, or the file is damaged (a {name} can't tell these apart)"
    )))
}

/// Java keeps the last of several entries with one label, so that is what the store means; a certificate
/// that goes by this is worth a warning, a key is a defect.
fn drop_shadowed(store: &mut Store) {
    let mut seen = HashSet::with_capacity_and_hasher(store.entries.len(), RandomState::default());
    let mut keep: Vec<bool> = store.entries.iter().rev().map(|e| seen.insert(&e.label)).collect();
    if !keep.contains(&false) {
        return;
    }
    keep.reverse();
    let mut keep = keep.into_iter();
    let Store { entries, defects, warnings, .. } = store;
    entries.retain(|entry| {
        let kept = keep.next().unwrap_or(true);
        if !kept && entry.secret().is_some() {
            let lost = "a later entry with the same label hides this key, also from Java";
            defects.push(Arc::new(Error::malformed(lost).in_entry(entry.label_text())));
        } else if !kept {
            let label = entry.label_text();
            warnings.push(format!("two entries are labelled \"{label}\": the last counts, as in Java"));
        }
        kept
    });
}

struct Decoder<'a> {
    variant: &'static Variant,
    bytes: &'a Arc<Buffer>,
    cursor: Cursor<'a>,
    /// Version 2: a type stands before each certificate.
    typed: bool,
    defects: Vec<Arc<Error>>,
}

impl<'a> Decoder<'a> {
    fn header(&mut self) -> Result<(u32, u32)> {
        let name = self.variant.name;
        let magic: [u8; 4] = self.cursor.array("the magic number")?;
        if magic != self.variant.magic {
            return Err(Error::malformed(format!("not a {name}: it begins otherwise")).at(0));
        }
        let at = self.cursor.pos() as u64;
        let version = self.cursor.u32("the version")?;
        if !matches!(version, 1 | VERSION) {
            return Err(Error::unsupported(format!("a {name} of version {version}")).at(at));
        }
        self.typed = version == VERSION;
        Ok((version, self.cursor.u32("the number of entries")?))
    }

    /// The next entry; `None` where it became a defect.
    fn entry(&mut self) -> Result<Option<Entry>> {
        let at = self.cursor.pos() as u64;
        let kind = self.cursor.u32("an entry's kind")?;
        if !(matches!(kind, KEY | CERT) || kind == SECRET && self.variant.secrets) {
            return Err(Error::malformed(format!("an entry of the unknown kind {kind}")).at(at));
        }
        let label = self.cursor.text("an entry's label")?;
        let label = match mutf8::decode(label) {
            Some(text) => Label::from(&*text),
            None => Label::from(label),
        };
        self.content(kind, &label).map_err(|e| e.in_entry(label.text()))
    }

    fn content(&mut self, kind: u32, label: &Label) -> Result<Option<Entry>> {
        let date = self.cursor.i64("the entry's date")?;
        let item = match kind {
            KEY => {
                let key = self.private_key(label)?;
                Item::Key { key, chain: self.chain(label)? }
            }
            SECRET => Item::Symmetric(self.secret_key(label)?),
            _ => match self.trusted(label)? {
                Some(item) => item,
                None => return Ok(None),
            },
        };
        let anchor = matches!(item, Item::Cert(_));
        let mut entry = Entry::new(item).with_label(label.clone());
        // Java accepts every certificate on its own as the end of a chain, whatever for.
        entry.trust = anchor.then(|| Trust::all(Level::Anchor));
        // Not pushed: that would reserve room for four.
        entry.attrs = vec![Attr::new(FACTS, DATE, date.to_string().into_bytes())];
        Ok(Some(entry))
    }

    fn private_key(&mut self, label: &Label) -> Result<Arc<Secret>> {
        let body = self.cursor.body("the protected key")?;
        self.sealed(body, label, protect::open_private)
    }

    fn secret_key(&mut self, label: &Label) -> Result<Arc<Secret>> {
        let at = self.cursor.pos() as u64;
        let (_, len) = serial::sealed_object(self.cursor.rest(), at)?;
        let body = self.cursor.range(len, "the sealed key")?;
        self.sealed(body, label, |body, at, password, ctx| {
            protect::open_secret(&serial::sealed_object(body, at)?.0, at, password, ctx)
        })
    }

    fn sealed(&self, body: Range<usize>, label: &Label, open: Open) -> Result<Arc<Secret>> {
        let at = body.start as u64;
        let (variant, label) = (self.variant, label.clone());
        Ok(Arc::new(Secret::sealed(Protected { variant, label, body: self.der(body)?, at, open })))
    }

    fn chain(&mut self, label: &Label) -> Result<Vec<Link>> {
        let at = self.cursor.pos() as u64;
        let count = self.cursor.u32("the chain's length")? as usize;
        let left = self.cursor.rest().len();
        // The JDK reads 0xFFFFFFFF as -1 and shows a key without certificates.
        if count > left / MIN_CERT {
            let message = format!("a chain of {count} certificates where {left} bytes are left");
            return Err(Error::malformed(message).at(at));
        }
        let mut chain = Vec::new();
        let mut whole = true;
        for _ in 0..count {
            let (kind, body) = self.certificate()?;
            // The chain ends where a link is broken; the key stays.
            if whole {
                match self.x509(kind, body.clone())? {
                    Some(cert) => chain.push(Link::from(cert)),
                    None => whole = false,
                }
                if !whole {
                    self.defect("a certificate of the key's chain is no X.509 certificate", label, &body);
                }
            }
        }
        Ok(chain)
    }

    fn trusted(&mut self, label: &Label) -> Result<Option<Item>> {
        let (kind, body) = self.certificate()?;
        if !is_x509(kind) {
            let what = format!("certificate of type {}", String::from_utf8_lossy(kind));
            return Ok(Some(Item::Other { what, body: self.der(body)? }));
        }
        let cert = self.x509(kind, body.clone())?;
        if cert.is_none() {
            self.defect("the certificate is no X.509 certificate", label, &body);
        }
        Ok(cert.map(Item::Cert))
    }

    /// A certificate's type and place.
    fn certificate(&mut self) -> Result<(&'a [u8], Range<usize>)> {
        let kind = if self.typed { self.cursor.text("the certificate's type")? } else { X509 };
        Ok((kind, self.cursor.body("the certificate")?))
    }

    /// The certificate at `body`, without what stands after it; `None` if it is none. Only its outermost
    /// header is looked at.
    fn x509(&self, kind: &[u8], body: Range<usize>) -> Result<Option<Der>> {
        let bytes = self.bytes.get(body.clone()).unwrap_or_default();
        match Reader::new(bytes, 0).expect(Tag::SEQUENCE, "Certificate") {
            Ok(cert) if is_x509(kind) => self.der(body.start..body.start + cert.raw.len()).map(Some),
            _ => Ok(None),
        }
    }

    fn defect(&mut self, message: &'static str, label: &Label, body: &Range<usize>) {
        let error = Error::malformed(message).at(body.start as u64).in_entry(label.text());
        self.defects.push(Arc::new(error));
    }

    fn der(&self, at: Range<usize>) -> Result<Der> {
        // The cursor hands out ranges of this very buffer.
        Der::slice(self.bytes, at).ok_or_else(|| Error::malformed("a part outside the file"))
    }
}

/// Java looks the type up among the names of its certificate factories, in any case of letters.
fn is_x509(kind: &[u8]) -> bool {
    kind.eq_ignore_ascii_case(X509) || kind.eq_ignore_ascii_case(b"X509")
}

/// Deciphers bytes that begin at an offset in the file with one password.
type Open = fn(&[u8], u64, &Password, &Ctx<'_>) -> Result<KeyMaterial>;

/// A private or secret key as it stands in the file.
struct Protected {
    variant: &'static Variant,
    label: Label,
    body: Der,
    at: u64,
    open: Open,
}

impl Seal for Protected {
    fn format(&self) -> &'static str {
        self.variant.name
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.body)
    }

    /// Tries the passwords given for the key, then the store's.
    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let label = self.label.text();
        let mut refused = None;
        for password in ctx.secrets.key(Some(&label))? {
            match (self.open)(&self.body, self.at, &password, ctx) {
                Err(e) if e.kind() == Kind::Password => refused = Some(e),
                done => return done.map_err(|e| e.in_entry(label)),
            }
        }
        if let Some(password) = ctx.secrets.store()? {
            match (self.open)(&self.body, self.at, &password, ctx) {
                Err(e) if e.kind() == Kind::Password => refused = Some(e),
                done => return done.map_err(|e| e.in_entry(label)),
            }
        }
        let missing = || Error::password("no password was given for the key");
        Err(refused
            .unwrap_or_else(missing)
            .in_entry(label)
            .hint("a key may have its own password: --key-password LABEL=SPEC"))
    }
}
