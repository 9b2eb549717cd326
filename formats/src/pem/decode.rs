//! Text into objects.

use super::parts::{Part, Parts};
use super::{legacy, notes, settings};
use crate::asn1::armour::{self, Block};
use crate::asn1::shape::{Shape, shape};
use crate::context::Ctx;
use crate::crypto::Cipher;
use crate::error::{Error, Kind, Result};
use crate::format::{Match, detect};
use crate::loose::{EncryptedPkcs8, Note, Pile, Place, secret_der};
use crate::model::{Buffer, Der, Entry, Item, Room};
use crate::place::Source;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Fewer bytes of text than one object takes, but for the smallest of keys.
const SMALL_OBJECT: usize = 600;

/// Adds everything that a text holds to `pile`.
pub(super) fn file(source: &Source, pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let mut parts = Parts::of(source)?;
    let mut curve = None;
    let mut first = true;
    while let Some(part) = parts.next().map_err(|e| e.in_file(source.path()))? {
        let (found, arena) = cut(&part, pile)?;
        if found.is_empty() && part.whole && pile.found_nothing() && armour::looks_bare(part.text) {
            return bare(source, part.text, pile, ctx);
        }
        let whole = part.whole;
        let only = whole && found.len() == 1;
        let (text, objects) = (part.text.len(), found.len());
        let mut reader = Reader { source, arena, pile, ctx, curve };
        if first {
            reader.pile.reserve(objects);
        }
        for block in found {
            let at = block.at;
            if let Err(e) = reader.block(block) {
                // A store inside that doesn't open is the whole answer when it is all there is.
                if only && e.kind() == Kind::Password {
                    return Err(e);
                }
                reader.pile.defect(e.at(at));
            }
        }
        curve = reader.curve;
        if first && !whole {
            // As if all parts were like the first, so that room for all is claimed once.
            let all = objects.saturating_mul(parts.count() - 1);
            pile.reserve(all.min(text.saturating_mul(parts.count()) / SMALL_OBJECT));
        }
        first = false;
    }
    Ok(())
}

/// A block that was decoded.
struct Found<'a> {
    label: &'a str,
    at: u64,
    raw: &'a [u8],
    /// The text before it, with notes on it.
    before: &'a [u8],
    body: Body,
}

enum Body {
    /// These bytes of the arena.
    Plain(Range<usize>),
    /// A key in the clear.
    Secret(Zeroizing<Vec<u8>>),
    /// A key enciphered by headers.
    Legacy(Range<usize>, Box<Result<(Cipher, Vec<u8>), String>>),
}

/// Decodes every block: what is no secret into one buffer, so that objects are ranges of it.
fn cut<'a>(part: &Part<'a>, pile: &mut Pile) -> Result<(Vec<Found<'a>>, Arc<Buffer>)> {
    let (text, base) = (part.text, part.base);
    // Base64 yields at most three quarters of the text.
    let mut arena = Arena { room: Room::new(text.len() / 4 * 3 + 3)?, used: 0 };
    let mut scratch = Zeroizing::new(Vec::new());
    let mut found = Vec::new();
    for block in armour::blocks(text) {
        match block.and_then(|b| Ok((b, body(&b, &mut scratch, &mut arena)?))) {
            Ok((b, body)) => {
                found.push(Found { label: b.label, at: base + b.at, raw: b.raw, before: b.before, body });
            }
            Err(e) => pile.defect(e.shifted(base)),
        }
    }
    arena.room.truncate(arena.used);
    Ok((found, Buffer::new(arena.room)))
}

/// Decoded blocks, one behind the other.
struct Arena {
    room: Room,
    used: usize,
}

impl Arena {
    /// Decodes one more; where it lies.
    fn add(&mut self, block: &Block<'_>, scratch: &mut Vec<u8>) -> Result<Range<usize>> {
        let from = self.used;
        self.used += block.decode(scratch, &mut self.room[from..])?;
        Ok(from..self.used)
    }
}

fn body(block: &Block<'_>, scratch: &mut Vec<u8>, arena: &mut Arena) -> Result<Body> {
    if !block.label.ends_with("PRIVATE KEY") || block.label == "ENCRYPTED PRIVATE KEY" {
        return arena.add(block, scratch).map(Body::Plain);
    }
    if legacy::is_enciphered(block) {
        return Ok(Body::Legacy(arena.add(block, scratch)?, Box::new(legacy::cipher(block))));
    }
    block.decode_secret().map(Body::Secret)
}

/// Makes objects of decoded blocks.
struct Reader<'r, 'c> {
    source: &'r Source,
    arena: Arc<Buffer>,
    pile: &'r mut Pile,
    ctx: &'r Ctx<'c>,
    /// The `EC PARAMETERS` that stood just before.
    curve: Option<Vec<u8>>,
}

impl Reader<'_, '_> {
    fn block(&mut self, found: Found<'_>) -> Result<()> {
        let Found { label, at, raw, before, body } = found;
        let mut note = notes::read(before);
        note.curve = self.curve.take();
        match body {
            Body::Plain(range) => match Der::slice(&self.arena, range) {
                Some(der) => self.plain(label, at, &der, note),
                None => Ok(()), // the range came from this very arena
            },
            Body::Secret(bytes) => {
                self.source.wipe_on_drop();
                self.secret(label, at, &bytes, note)
            }
            Body::Legacy(range, cipher) => {
                if let Some(body) = Der::slice(&self.arena, range) {
                    let block = Der::new(raw.to_vec());
                    let key = legacy::LegacyKey::new(block, body, *cipher, at, &note);
                    self.pile.sealed_key(key, legacy::algorithm(label), note);
                }
                Ok(())
            }
        }
    }

    fn plain(&mut self, label: &str, at: u64, der: &Der, note: Note) -> Result<()> {
        match label {
            "CERTIFICATE" | "X509 CERTIFICATE" => match self.pile.certificate(der, note.clone()) {
                Ok(rest) => self.rest(label, at, rest),
                Err(_) if shape(der) != Some(Shape::Certificate) => self.other(label, at, der, note),
                Err(e) => Err(e.without_offset()),
            },
            "TRUSTED CERTIFICATE" => self.trusted(der, note).map_err(Error::without_offset),
            "ENCRYPTED PRIVATE KEY" if shape(der) == Some(Shape::EncryptedPkcs8) => {
                let text = note.label.as_ref().map(|l| l.text().into_owned());
                let seal = EncryptedPkcs8::new(super::NAME, der.clone(), Place::Near(at), text);
                self.pile.sealed_key(seal, None, note);
                Ok(())
            }
            "EC PARAMETERS" => {
                self.curve = Some(der.to_vec());
                Ok(())
            }
            _ => self.other(label, at, der, note),
        }
    }

    /// By content, whatever the label says.
    fn other(&mut self, label: &str, at: u64, der: &Der, note: Note) -> Result<()> {
        match shape(der) {
            Some(Shape::Pkcs12) => self.nested(der),
            Some(Shape::PublicKey) | None if !super::LABELS.contains(&label) => {
                let item = Item::Other { what: label.to_owned(), body: der.clone() };
                self.pile.entry(Entry::new(item), note);
                Ok(())
            }
            None => self.nested(der),
            kind => {
                if kind.is_some_and(Shape::is_clear_key) {
                    // A key under the label of something public: its bytes are everywhere.
                    self.arena.wipe_on_drop();
                    self.source.wipe_on_drop();
                }
                let rest = self.pile.object(der, Place::Near(at), note)?;
                self.rest(label, at, rest)
            }
        }
    }

    /// A block whose label says that it is a private key in the clear.
    fn secret(&mut self, label: &str, at: u64, bytes: &[u8], note: Note) -> Result<()> {
        let kind = shape(bytes);
        if kind.is_none() && !super::LABELS.contains(&label) {
            // OPENSSH PRIVATE KEY and others that only their own tools read.
            let item = Item::Other { what: label.to_owned(), body: secret_der(bytes) };
            self.pile.entry(Entry::new(item), note);
            return Ok(());
        }
        let der = secret_der(bytes);
        let rest = self.pile.object(&der, Place::Near(at), note)?;
        self.rest(label, at, rest)
    }

    fn trusted(&mut self, der: &Der, note: Note) -> Result<()> {
        let named = note.label.is_some();
        let rest = self.pile.certificate(der, note)?;
        let certificate = &der[..der.len() - rest.len()];
        if rest.is_empty() {
            return Ok(());
        }
        let said = settings::read(rest, certificate)?;
        if let Some(entry) = self.pile.last_entry() {
            entry.trust = said.trust;
            entry.attrs.push(settings::attr(rest));
            if !named {
                entry.label = said.label;
            }
        }
        Ok(())
    }

    /// A store of another format in armour, as RACF exports PKCS#12.
    fn nested(&mut self, bytes: &[u8]) -> Result<()> {
        nested(self.source.path(), bytes, self.pile, self.ctx)
    }

    /// Bytes after the object in a block.
    fn rest(&mut self, label: &str, at: u64, rest: &[u8]) -> Result<()> {
        if rest.is_empty() {
            return Ok(());
        }
        Err(Error::malformed(format!("{} bytes follow the object in a {label} block", rest.len())).at(at))
    }
}

/// A text that is base64 without armour.
fn bare(source: &Source, text: &[u8], pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let bytes = armour::decode_bare(text)?;
    let kind = shape(&bytes);
    if matches!(kind, None | Some(Shape::Pkcs12)) {
        return nested(source.path(), &bytes, pile, ctx);
    }
    let clear = kind.is_some_and(Shape::is_clear_key);
    if clear {
        source.wipe_on_drop();
    }
    let der = if clear { secret_der(&bytes) } else { Der::new(bytes.to_vec()) };
    let rest = pile.object(&der, Place::Near(0), Note::default())?;
    if !rest.is_empty() {
        pile.defect(Error::malformed(format!("{} bytes follow the object", rest.len())).at(0));
    }
    Ok(())
}

/// Reads a store of another format, found by content.
fn nested(path: &Path, bytes: &[u8], pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let source = Source::memory(path, bytes.to_vec());
    let probe = source.probe()?;
    let format = detect(&probe)?;
    // What PEM, DER and PKCS#7 hold is read here; and only a store that is surely one is worth a try.
    if ["pem", "der", "p7b"].contains(&format.name()) || format.detect(&probe) != Match::Yes {
        return Err(Error::malformed("not an object of any known kind"));
    }
    pile.nest(format.read(&source, ctx).map_err(|e| e.without_offset().in_format(format.name()))?);
    Ok(())
}
