//! Loose objects: keys, certificates, lists and requests that lie one after the other, as in PEM, DER and
//! PKCS#7 files, and how they become entries.
//!
//! Those formats say nothing of which certificate belongs to which key. [`Pile`] collects what a file
//! holds; [`Pile::into_store`] pairs keys with certificates and requests by public key, gives each key
//! its chain, and leaves the rest as entries of their own (see [`pair`] and [`chain`]).

mod chain;
mod pair;
mod seal;
#[cfg(test)]
pub(crate) mod tests;
mod trust;

pub(crate) use pair::NOBODYS;
pub(crate) use seal::{EncryptedPkcs8, Place, passwords};
pub(crate) use trust::trust_loss;

use crate::asn1::shape::{Shape, shape};
use crate::asn1::{Reader, Tag, cert_fields, pkcs7, pkcs8};
use crate::context::Ctx;
use crate::crypto::public;
use crate::error::{Error, Result};
use crate::model::{Buffer, Der, Entry, Item, KeyMaterial, Label, Seal, Secret, Store};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// More defects than this are told in one sentence: a hostile file has millions.
const MAX_DEFECTS: usize = 1000;

/// What was found, in the order of the file.
pub(crate) struct Pile {
    format: &'static str,
    pieces: Vec<Piece>,
    defects: Vec<Arc<Error>>,
    more_defects: usize,
    warnings: Vec<String>,
    /// Stores of other formats that were found inside.
    nested: Vec<Store>,
    /// The file that is being read, where it isn't the store itself.
    file: Option<PathBuf>,
}

/// One object: an entry in the making. A key has no chain yet.
struct Piece {
    entry: Entry,
    hint: Option<Box<Hint>>,
}

/// What helps to pair a key or certificate.
#[derive(Default)]
struct Hint {
    /// localKeyID, as bytes.
    key_id: Option<Vec<u8>>,
    /// A key's algorithm: content octets of its OID.
    algorithm: Option<Vec<u8>>,
    /// A key's public half.
    spki: Option<Vec<u8>>,
}

/// What stood beside an object and says more about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub label: Option<Label>,
    pub key_id: Option<Vec<u8>>,
    /// The curve's parameters, where they stood before a key that names none.
    pub curve: Option<Vec<u8>>,
}

impl Note {
    fn text(&self) -> Option<String> {
        self.label.as_ref().map(|l| l.text().into_owned())
    }
}

impl Pile {
    /// An empty pile of a file of this format.
    pub fn new(format: &'static str) -> Self {
        Pile {
            format,
            pieces: Vec::new(),
            defects: Vec::new(),
            more_defects: 0,
            warnings: Vec::new(),
            nested: Vec::new(),
            file: None,
        }
    }

    /// Adds an object that can't be read.
    pub fn defect(&mut self, error: Error) {
        let error = match &self.file {
            Some(file) => error.in_file(file),
            None => error,
        };
        if self.defects.len() < MAX_DEFECTS {
            self.defects.push(Arc::new(error));
        } else {
            self.more_defects += 1;
        }
    }

    /// From now on objects come from this file of a folder, which defects are to name.
    pub fn in_file(&mut self, path: &Path) {
        self.file = Some(path.to_owned());
    }

    /// Adds something that people should know.
    pub fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    /// Adds the entries of a store of another format that was found inside.
    pub fn nest(&mut self, store: Store) {
        self.nested.push(store);
    }

    /// Nothing was found yet, not even something bad.
    pub fn found_nothing(&self) -> bool {
        self.is_empty() && self.defects.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.nested.is_empty()
    }

    /// Makes room for this many more objects.
    pub fn reserve(&mut self, objects: usize) {
        self.pieces.reserve(objects);
    }

    /// Adds an entry that needs no look inside.
    pub fn entry(&mut self, mut entry: Entry, note: Note) {
        entry.label = note.label;
        let hint = note.key_id.map(|id| Box::new(Hint { key_id: Some(id), ..Hint::default() }));
        self.pieces.push(Piece { entry, hint });
    }

    /// Adds a certificate. The bytes must be one; what follows it in `der` is returned.
    pub fn certificate<'a>(&mut self, der: &'a Der, note: Note) -> Result<&'a [u8]> {
        let (certificate, rest) = first_certificate(der)?;
        self.entry(Entry::new(Item::Cert(certificate)), note);
        Ok(rest)
    }

    /// Adds whatever `der` begins with, by its shape. `place` is where it is in the file. Returns what
    /// follows the object.
    pub fn object<'a>(&mut self, der: &'a Der, place: Place, note: Note) -> Result<&'a [u8]> {
        let Some(kind) = shape(der) else {
            return Err(unknown(der).at(place.start()));
        };
        let whole = Reader::new(der, 0).any("an object").map_err(|e| place.locate(e))?;
        let rest = &der[whole.raw.len()..];
        self.whole(kind, part(der, whole.raw), place, note).map_err(|e| place.locate(e))?;
        Ok(rest)
    }

    /// Adds an object of a known shape. Offsets of errors count from its begin.
    fn whole(&mut self, kind: Shape, der: Der, place: Place, note: Note) -> Result<()> {
        match kind {
            Shape::Certificate => {
                cert_fields(&der)?;
                self.entry(Entry::new(Item::Cert(der)), note);
            }
            Shape::Crl => self.entry(Entry::new(Item::Crl(der)), note),
            Shape::Request => self.entry(Entry::new(Item::Request { csr: der, key: None }), note),
            Shape::PublicKey => {
                self.entry(Entry::new(Item::Other { what: "PUBLIC KEY".to_owned(), body: der }), note);
            }
            Shape::Pkcs8 | Shape::Pkcs1 | Shape::Sec1 | Shape::Dsa => self.clear_key(&der, note)?,
            Shape::EncryptedPkcs8 => {
                let seal = EncryptedPkcs8::new(self.format, der, place, note.text());
                self.sealed_key(seal, None, note);
            }
            Shape::Pkcs7 => self.bundle(&der, place, &note)?,
            Shape::Pkcs12 => return Err(Error::unsupported("a PKCS#12 store inside")),
        }
        Ok(())
    }

    /// Adds the objects of a file that holds one or several, one after the other.
    pub fn objects(&mut self, file: &Arc<Buffer>) {
        let mut at = 0;
        while let Some(der) = Der::slice(file, at..file.len()).filter(|d| !d.is_empty()) {
            if shape(&der).is_some_and(Shape::is_clear_key) {
                file.wipe_on_drop();
            }
            match self.object(&der, Place::At(at as u64), Note::default()) {
                Ok(rest) => at = file.len() - rest.len(),
                Err(_) if at > 0 && der.iter().all(|b| b.is_ascii_whitespace() || *b == 0) => {
                    return self.warn(format!("{} bytes of padding follow the last object", der.len()));
                }
                Err(e) if at > 0 && shape(&der).is_none() => {
                    let text = format!("{} bytes follow the last object", der.len());
                    return self.defect(Error::malformed(text).at(at as u64).caused_by(e));
                }
                Err(e) => {
                    self.defect(e);
                    // The next object begins where this one's header says it ends.
                    match Reader::new(&der, 0).next() {
                        Ok(Some(whole)) => at += whole.raw.len(),
                        _ => return,
                    }
                }
            }
        }
    }

    /// Adds a private key in the clear, in PKCS#8 or an older form. The caller sees to it that the bytes
    /// it came from are wiped.
    pub fn clear_key(&mut self, key: &[u8], note: Note) -> Result<()> {
        let bytes = pkcs8::to_pkcs8(key, note.curve.as_deref())?
            .ok_or_else(|| Error::malformed("not a private key"))?;
        // A key of which no more can be told moves unharmed.
        let spki = public::spki_of_pkcs8(&bytes).map_err(Error::without_offset)?;
        let algorithm = public::pkcs8_algorithm(&bytes)?.to_vec();
        let secret =
            self.same_key(&bytes).unwrap_or_else(|| Arc::new(Secret::clear(KeyMaterial::pkcs8(bytes))));
        self.key(secret, Hint { key_id: note.key_id, algorithm: Some(algorithm), spki }, note.label);
        Ok(())
    }

    /// Adds a key that opens later. `algorithm` is what the file says of it outside.
    pub fn sealed_key(&mut self, seal: impl Seal + 'static, algorithm: Option<&[u8]>, note: Note) {
        let hint = Hint { key_id: note.key_id, algorithm: algorithm.map(<[u8]>::to_vec), spki: None };
        self.key(Arc::new(Secret::sealed(seal)), hint, note.label);
    }

    fn key(&mut self, key: Arc<Secret>, hint: Hint, label: Option<Label>) {
        let mut entry = Entry::new(Item::Key { key, chain: Vec::new() });
        entry.label = label;
        self.pieces.push(Piece { entry, hint: Some(Box::new(hint)) });
    }

    /// The last key, if it has the same bytes: two entries of one key share it.
    fn same_key(&self, pkcs8: &Zeroizing<Vec<u8>>) -> Option<Arc<Secret>> {
        use subtle::ConstantTimeEq;
        let last = self.pieces.iter().rev().find_map(|p| match &p.entry.item {
            Item::Key { key, .. } => Some(key),
            _ => None,
        })?;
        let same = last.opened().is_some_and(|k| bool::from(k.bytes.as_slice().ct_eq(pkcs8)));
        same.then(|| Arc::clone(last))
    }

    /// Adds what a PKCS#7 bundle holds. Offsets of errors count from its begin.
    fn bundle(&mut self, der: &Der, place: Place, note: &Note) -> Result<()> {
        let bundle = pkcs7::signed_data(der, 0)?;
        if bundle.signed {
            self.warn("the bundle is signed; signatures are neither checked nor carried".to_owned());
        }
        // A label beside a bundle of one is that one's.
        let label = note.label.as_ref().filter(|_| bundle.certificates.len() == 1);
        for (raw, at) in bundle.certificates {
            let note = Note { label: label.cloned(), ..Note::default() };
            if let Err(e) = self.certificate(&part(der, raw), note) {
                self.defect(place.locate(e.shifted(at).at(at)));
            }
        }
        for (raw, _) in bundle.crls {
            self.entry(Entry::new(Item::Crl(part(der, raw))), Note::default());
        }
        for at in bundle.others {
            let text = "neither a certificate nor a revocation list";
            self.defect(place.locate(Error::unsupported(text).at(at)));
        }
        Ok(())
    }

    /// The newest entry, to say more of it.
    pub fn last_entry(&mut self) -> Option<&mut Entry> {
        self.pieces.last_mut().map(|p| &mut p.entry)
    }

    /// Keeps one of each certificate and list that occurs several times: folders hold links and copies.
    pub fn without_copies(&mut self) {
        let mut seen = HashSet::with_hasher(foldhash::quality::RandomState::default());
        let first = |p: &Piece| match &p.entry.item {
            Item::Cert(d) | Item::Crl(d) | Item::Request { csr: d, key: None } => seen.insert(d.to_vec()),
            _ => true,
        };
        self.pieces.retain(first);
    }

    /// The store: keys paired, chains built, the rest in the order of the file. When nothing could be
    /// read the first defect is the error.
    pub fn into_store(mut self, ctx: &Ctx<'_>) -> Result<Store> {
        if self.is_empty() && !self.defects.is_empty() {
            let first = self.defects.swap_remove(0);
            return Err(Arc::try_unwrap(first).unwrap_or_else(|e| Error::malformed(e.message().to_owned())));
        }
        if self.more_defects > 0 {
            let text = format!("{} more objects can't be read", self.more_defects);
            self.defects.push(Arc::new(Error::malformed(text)));
        }
        let mut store = Store { defects: self.defects, warnings: self.warnings, ..Store::default() };
        store.entries = pair::entries(self.pieces, ctx);
        for nested in self.nested {
            store.entries.extend(nested.entries);
            store.facts.extend(nested.facts);
            store.defects.extend(nested.defects);
            store.warnings.extend(nested.warnings);
        }
        Ok(store)
    }
}

/// The certificate that `der` begins with, and what follows it.
pub(crate) fn first_certificate(der: &Der) -> Result<(Der, &[u8])> {
    let mut reader = Reader::new(der, 0);
    let raw = reader.expect(Tag::SEQUENCE, "Certificate")?.raw;
    cert_fields(raw)?;
    let rest = &der[raw.len()..];
    if rest.is_empty() {
        return Ok((der.clone(), rest));
    }
    Ok((part(der, raw), rest))
}

/// A part of an object that was read from it.
fn part(der: &Der, raw: &[u8]) -> Der {
    // It lies inside, unless BER pieces were joined.
    der.part(raw).unwrap_or_else(|| Der::new(raw.to_vec()))
}

/// Bytes of a key in the clear as an object whose buffer is wiped.
pub(crate) fn secret_der(bytes: &[u8]) -> Der {
    let buffer = Buffer::secret(bytes.to_vec());
    Der::slice(&buffer, 0..buffer.len()).unwrap_or_else(|| Der::new(Vec::new()))
}

fn unknown(der: &[u8]) -> Error {
    Error::malformed(match der.first() {
        Some(0x30) => "not a certificate, key, request or revocation list",
        _ => "not a DER object of any known kind",
    })
}
