//! Blocks into a store.

use super::legacy::LegacyKey;
use super::{aux, note};
use crate::asn1::armour::{self, Block};
use crate::asn1::cert_fields;
use crate::asn1::shape::{Shape, shape};
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::loose::{EncryptedPkcs8, Note, Pile, first_certificate};
use crate::model::{Buffer, Der, Entry, Item, Level, Store};
use crate::place::Source;
use std::ops::Range;
use std::sync::Arc;

/// What a block's words announce.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Certificate,
    Trusted,
    Crl,
    Request,
    Bundle,
    Key,
    EncryptedKey,
    Curve,
    Pkcs12,
    /// Parameters and public keys: nothing that a store keeps.
    Aside,
}

/// Words of RFC 7468 and of what OpenSSL, keytool and GSKit write.
const WORDS: &[(&str, Word)] = &[
    ("CERTIFICATE", Word::Certificate),
    ("X509 CERTIFICATE", Word::Certificate),
    ("X.509 CERTIFICATE", Word::Certificate),
    ("TRUSTED CERTIFICATE", Word::Trusted),
    ("X509 CRL", Word::Crl),
    ("CERTIFICATE REQUEST", Word::Request),
    ("NEW CERTIFICATE REQUEST", Word::Request),
    ("PKCS7", Word::Bundle),
    ("PKCS #7 SIGNED DATA", Word::Bundle),
    ("CMS", Word::Bundle),
    ("PRIVATE KEY", Word::Key),
    ("RSA PRIVATE KEY", Word::Key),
    ("EC PRIVATE KEY", Word::Key),
    ("DSA PRIVATE KEY", Word::Key),
    ("ENCRYPTED PRIVATE KEY", Word::EncryptedKey),
    ("EC PARAMETERS", Word::Curve),
    ("PKCS12", Word::Pkcs12),
    ("DH PARAMETERS", Word::Aside),
    ("X9.42 DH PARAMETERS", Word::Aside),
    ("DSA PARAMETERS", Word::Aside),
    ("PUBLIC KEY", Word::Aside),
];

fn word(label: &str) -> Option<Word> {
    WORDS.iter().find(|(w, _)| *w == label).map(|(_, w)| *w)
}

/// Whether these words are ours to read; those of bundles alone belong to PKCS#7.
pub(super) fn is_known(label: &str) -> bool {
    word(label).is_some_and(|w| w != Word::Bundle)
}

/// A block whose bytes are in the arena, waiting to be looked at.
struct Cut {
    word: Word,
    at: u64,
    content: Range<usize>,
    note: Note,
}

/// Reads one file.
pub(super) fn file(from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
    let mut pile = Pile::new(super::NAME);
    collect(from.bytes()?, &mut pile, ctx)?;
    pile.into_store(ctx)
}

/// Reads the PEM, DER and PKCS#7 files of a folder as one store. Links and copies count once; a file that
/// can't be read is a defect with its name.
pub(super) fn folder(from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
    let mut pile = Pile::new(super::NAME);
    let members = from.members()?;
    for path in &members {
        let read = Source::open(path).and_then(|member| one_of_folder(&member, &mut pile, ctx));
        if let Err(e) = read {
            pile.defect(e.in_file(path));
        }
    }
    pile.without_copies();
    if pile.is_empty() {
        return Err(Error::malformed(format!("no certificate or key in any of its {} files", members.len())));
    }
    pile.into_store(ctx)
}

fn one_of_folder(member: &Source, pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let name = member.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let probe = member.probe()?;
    let Ok(format) = crate::format::detect(&probe) else { return Ok(()) };
    let sure = format.detect(&probe) == crate::format::Match::Yes;
    let read = if format.name() == super::NAME {
        collect(member.bytes()?, pile, ctx)
    } else if format.carries().password == crate::format::PasswordUse::Never
        || shape(probe.head).is_some_and(|s| s != Shape::Pkcs12)
    {
        objects(&der_of(member.bytes()?), pile)
    } else {
        pile.warn(format!("{name} is a {} store and is left out", format.name()));
        Ok(())
    };
    match read {
        // A text that only looked like PEM.
        Err(e) if !sure && e.kind() == Kind::Malformed => Ok(()),
        other => other,
    }
}

fn der_of(bytes: &Arc<Buffer>) -> Der {
    Der::slice(bytes, 0..bytes.len()).unwrap_or_else(|| Der::new(Vec::new()))
}

/// DER objects one after the other.
fn objects(der: &Der, pile: &mut Pile) -> Result<()> {
    let mut rest = der.clone();
    while !rest.is_empty() {
        let at = (der.len() - rest.len()) as u64;
        let after = pile.object(&rest, Some(at), Note::default())?;
        match rest.part(after) {
            Some(next) => rest = next,
            None => break,
        }
    }
    Ok(())
}

/// Adds what a text holds. An error only where there is nothing in it at all.
fn collect(buffer: &Arc<Buffer>, pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let text = armour::without_mark(buffer);
    let mut cutter = Cutter {
        buffer,
        pile,
        ctx,
        arena: Vec::new(),
        scratch: Vec::new(),
        cuts: Vec::new(),
        curve: None,
        found: false,
    };
    // As much as all blocks together can decode to, so that it never grows.
    cutter.arena.reserve_exact(text.len() / 4 * 3);
    for block in armour::blocks(text) {
        cutter.found = true;
        let added = block.and_then(|b| cutter.block(&b, (buffer.len() - text.len()) as u64));
        if let Err(e) = added {
            cutter.pile.defect(e);
        }
    }
    if !cutter.found {
        return bare(buffer, pile, ctx);
    }
    let Cutter { arena, cuts, .. } = cutter;
    let arena = Buffer::new(arena);
    for cut in cuts {
        let at = cut.at;
        if let Err(e) = place(cut, &arena, pile, ctx) {
            pile.defect(e.without_offset().at(at));
        }
    }
    Ok(())
}

struct Cutter<'a> {
    buffer: &'a Arc<Buffer>,
    pile: &'a mut Pile,
    ctx: &'a Ctx<'a>,
    /// The decoded bytes of all public blocks.
    arena: Vec<u8>,
    scratch: Vec<u8>,
    cuts: Vec<Cut>,
    /// Parameters that stood before an EC key.
    curve: Option<Vec<u8>>,
    found: bool,
}

impl Cutter<'_> {
    fn block(&mut self, block: &Block<'_>, mark: u64) -> Result<()> {
        let at = block.at + mark;
        let Some(word) = word(block.label) else {
            return Err(Error::unsupported(format!("a {} block can't be read", block.label)).at(at));
        };
        let mut note = note::read(block.before);
        match word {
            Word::Key => {
                note.curve = self.curve.take();
                return self.key(block, at, note);
            }
            Word::Curve => {
                let content = block.decode(&mut self.scratch, &mut self.arena)?;
                self.curve = Some(self.arena[content].to_vec());
                return Ok(());
            }
            Word::Aside => {
                self.pile.warn(format!(
                    "a {} block at byte {at:#x} is left out: a store has no place for it",
                    block.label
                ));
                return Ok(());
            }
            Word::EncryptedKey => {
                let mut body = Vec::with_capacity(block.decoded_bound());
                block.decode(&mut self.scratch, &mut body)?;
                let label = note.label.as_ref().map(|l| l.text().into_owned());
                let seal = EncryptedPkcs8::armoured(super::NAME, Der::new(body), self.raw(block), at, label);
                // Among the cuts only in place, for its neighbours may be what it belongs to.
                self.flush()?;
                self.pile.sealed_key(seal, None, note);
                return Ok(());
            }
            _ => {}
        }
        let content = block.decode(&mut self.scratch, &mut self.arena)?;
        self.cuts.push(Cut { word, at, content, note });
        Ok(())
    }

    fn key(&mut self, block: &Block<'_>, at: u64, note: Note) -> Result<()> {
        self.flush()?;
        if block.header("Proc-Type").is_some_and(|p| p.contains("ENCRYPTED")) {
            let mut body = Vec::with_capacity(block.decoded_bound());
            block.decode(&mut self.scratch, &mut body)?;
            let label = note.label.as_ref().map(|l| l.text().into_owned());
            let key = LegacyKey::new(block, body, self.raw(block), label, note.curve.clone())?;
            self.pile.sealed_key(key, None, note);
            return Ok(());
        }
        // The text itself is the key.
        self.buffer.wipe_on_drop();
        let content = block.decode_secret()?;
        self.pile.clear_key(&content, note).map_err(|e| e.without_offset().at(at))
    }

    /// The block as it stands, sharing the file's buffer.
    fn raw(&self, block: &Block<'_>) -> Der {
        der_of(self.buffer).part(block.raw).unwrap_or_else(|| Der::new(block.raw.to_vec()))
    }

    /// Hands over what was cut so far, so that a key comes after it.
    fn flush(&mut self) -> Result<()> {
        if self.cuts.is_empty() {
            return Ok(());
        }
        let rest = Vec::with_capacity(self.arena.capacity().saturating_sub(self.arena.len()));
        let arena = Buffer::new(std::mem::replace(&mut self.arena, rest));
        for cut in std::mem::take(&mut self.cuts) {
            let at = cut.at;
            if let Err(e) = place(cut, &arena, self.pile, self.ctx) {
                self.pile.defect(e.without_offset().at(at));
            }
        }
        Ok(())
    }
}

/// Adds one block's object.
fn place(cut: Cut, arena: &Arc<Buffer>, pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let der = Der::slice(arena, cut.content).ok_or_else(|| Error::malformed("a block outside its text"))?;
    match cut.word {
        Word::Certificate | Word::Trusted => match cert_fields(&der) {
            Ok(_) => certificate(&der, cut.word, cut.note, pile),
            // PKCS#7 and PKCS#12 go about under these words.
            Err(e) => match shape(&der) {
                Some(Shape::Pkcs12) => nested(&der, pile, ctx),
                Some(Shape::Certificate) | None => Err(e),
                Some(_) => pile.object(&der, None, cut.note).map(drop),
            },
        },
        Word::Pkcs12 => nested(&der, pile, ctx),
        Word::Crl if shape(&der) == Some(Shape::Crl) => {
            pile.entry(Entry::new(Item::Crl(der)), cut.note);
            Ok(())
        }
        _ => pile.object(&der, None, cut.note).map(drop),
    }
}

fn certificate(der: &Der, word: Word, note: Note, pile: &mut Pile) -> Result<()> {
    let rest = pile.certificate(der, note)?;
    if rest.is_empty() {
        return Ok(());
    }
    if word != Word::Trusted {
        pile.warn(format!("{} bytes after a certificate are ignored", rest.len()));
        return Ok(());
    }
    let anchor = match first_certificate(der).and_then(|(c, _)| Ok(cert_fields(&c)?.is_ca())) {
        Ok(true) => Level::Anchor,
        _ => Level::Peer,
    };
    pile.last_entry().map_or(Ok(()), |entry| aux::apply(rest, anchor, entry))
}

/// A store of another format inside: recognised by its content and read by its own reader.
fn nested(der: &[u8], pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let source = Source::memory("", der.to_vec());
    let format = crate::format::detect(&source.probe()?)?;
    if format.name() == super::NAME {
        return Err(Error::malformed("no PEM block, and not base64 of a store"));
    }
    pile.nest(format.read(&source, ctx).map_err(|e| e.in_format(format.name()))?);
    Ok(())
}

/// Base64 without armour: RACF exports PKCS#12 like that.
fn bare(text: &[u8], pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let none = || {
        Error::malformed("no PEM block: no line of the form -----BEGIN …-----")
            .hint("a PEM file is ASCII text; UTF-16 text must be converted first")
    };
    if !armour::looks_bare(&text[..text.len().min(4096)]) {
        return Err(none());
    }
    let decoded = armour::decode_bare(text).map_err(|_| none())?;
    match shape(&decoded) {
        Some(Shape::Pkcs12) => nested(&decoded, pile, ctx),
        Some(s) if s.is_clear_key() => pile.clear_key(&decoded, Note::default()),
        Some(_) => objects(&Der::new(decoded.to_vec()), pile).map_err(Error::without_offset),
        None => Err(none()),
    }
}
