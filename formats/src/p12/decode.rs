//! From bytes to bags: PFX, MAC, AuthenticatedSafe.
//!
//! ```text
//! PFX ::= SEQUENCE { version INTEGER 3, authSafe ContentInfo, macData MacData OPTIONAL }
//! ContentInfo ::= SEQUENCE { contentType OID, content [0] ANY }
//! AuthenticatedSafe ::= SEQUENCE OF ContentInfo       -- in authSafe's OCTET STRING
//! EncryptedData ::= SEQUENCE { version INTEGER, SEQUENCE { OID, AlgorithmIdentifier, [0] OCTET STRING } }
//! ```

use super::bag::{self, Bag, Content};
use super::mac::Mac;
use super::piece::Piece;
use super::seal::without_repeats;
use crate::asn1::{Reader, Tag, Tlv, oid};
use crate::context::Ctx;
use crate::crypto::{Cipher, pbe};
use crate::error::{Error, Kind, Result};
use crate::model::{Attr, Buffer, Password};
use std::sync::Arc;

/// What a file holds.
#[derive(Default)]
pub(super) struct Contents {
    pub bags: Vec<Bag>,
    /// A MAC was there and fits.
    pub authenticated: bool,
    pub facts: Vec<Attr>,
    pub defects: Vec<Error>,
    pub warnings: Vec<String>,
}

/// Reads a whole file.
pub(super) fn decode(buffer: &Arc<Buffer>, ctx: &Ctx<'_>) -> Result<Contents> {
    let file = Piece::file(buffer)?;
    let pfx = Pfx::parse(&file)?;
    let mut out = Contents { warnings: pfx.warnings, ..Contents::default() };
    out.facts.push(Attr::new(super::NAME, "mac", describe(pfx.mac.as_ref()).into_bytes()));
    if let Some(mac) = &pfx.mac {
        out.authenticated = authenticate(mac, &pfx.safe, ctx)?;
    }
    let mut secrets = Contents::passwords(ctx);
    read_safe(&pfx.safe, &mut secrets, &mut out, ctx)?;
    out.bags.iter().try_for_each(|bag| admit(bag, ctx))?;
    Ok(out)
}

/// The outermost structure.
pub(super) struct Pfx<'a> {
    /// The octets of the AuthenticatedSafe.
    pub safe: Piece,
    pub mac: Option<Mac<'a>>,
    warnings: Vec<String>,
}

impl<'a> Pfx<'a> {
    pub fn parse(file: &'a Piece) -> Result<Self> {
        let mut outer = file.reader();
        let pfx = outer.expect(Tag::SEQUENCE, "PFX")?;
        let mut warnings = Vec::new();
        // Some writers fill a block with zeros.
        if outer.rest().iter().any(|b| *b != 0) {
            warnings.push(format!("{} bytes after the store's end are ignored", outer.rest().len()));
        }
        let mut fields = pfx.reader();
        let version = fields.expect(Tag::INTEGER, "PFX version")?;
        if version.unsigned()? != 3 {
            return Err(Error::unsupported("a version of PKCS#12 other than 3").at(version.at));
        }
        let info = ContentInfo::parse(&fields.expect(Tag::SEQUENCE, "authSafe")?)?;
        if info.id.content == oid::SIGNED_DATA {
            return Err(Error::unsupported("integrity by a signature instead of a password").at(info.id.at));
        }
        let safe = info.octets(file)?;
        let mac = fields.optional(Tag::SEQUENCE)?.map(|data| Mac::parse(&data)).transpose()?;
        Ok(Pfx { safe, mac, warnings })
    }
}

/// A ContentInfo of whatever type.
struct ContentInfo<'a> {
    id: Tlv<'a>,
    content: Option<Tlv<'a>>,
}

impl<'a> ContentInfo<'a> {
    fn parse(info: &Tlv<'a>) -> Result<Self> {
        if info.tag != Tag::SEQUENCE {
            return Err(info.error("ContentInfo expected"));
        }
        let mut fields = info.reader();
        let id = fields.expect(Tag::OID, "contentType")?;
        let content = match fields.optional(Tag::context(0))? {
            Some(explicit) => explicit.reader().next()?,
            None => None,
        };
        Ok(ContentInfo { id, content })
    }

    /// The octets of a ContentInfo of type data.
    fn octets(&self, within: &Piece) -> Result<Piece> {
        if self.id.content != oid::DATA {
            return Err(self.id.error("contents of type data expected"));
        }
        let string = self.content.ok_or_else(|| self.id.error("contents are missing"))?;
        if string.tag.primitive() != Tag::OCTET_STRING {
            return Err(string.error("OCTET STRING expected"));
        }
        within.octets(&string)
    }
}

fn describe(mac: Option<&Mac<'_>>) -> String {
    match mac.map(|m| (m.name(), m.rounds())) {
        None => "none".to_owned(),
        Some((name, None)) => name,
        Some((name, Some(rounds))) => format!("{name}, {rounds} rounds"),
    }
}

/// Whether the MAC fits; false where there is no password to find out with.
fn authenticate(mac: &Mac<'_>, safe: &Piece, ctx: &Ctx<'_>) -> Result<bool> {
    match ctx.secrets.store()? {
        None => Ok(false),
        Some(password) if mac.verify(&safe.bytes, &password, ctx.session)? => Ok(true),
        Some(_) => {
            Err(Error::password("the password is wrong, or the store is damaged: its MAC does not fit"))
        }
    }
}

/// Passwords for enciphered contents, asked for once and only if there are any.
struct Passwords<'a> {
    ctx: &'a Ctx<'a>,
    known: Option<Vec<Arc<Password>>>,
}

impl Contents {
    fn passwords<'a>(ctx: &'a Ctx<'a>) -> Passwords<'a> {
        Passwords { ctx, known: None }
    }
}

impl Passwords<'_> {
    fn get(&mut self) -> Result<&[Arc<Password>]> {
        if self.known.is_none() {
            let mut all: Vec<_> = self.ctx.secrets.store()?.into_iter().collect();
            all.extend(self.ctx.secrets.key(None)?);
            without_repeats(&mut all);
            self.known = Some(all);
        }
        Ok(self.known.as_deref().unwrap_or_default())
    }
}

fn read_safe(safe: &Piece, passwords: &mut Passwords<'_>, out: &mut Contents, ctx: &Ctx<'_>) -> Result<()> {
    let placed = |e| safe.placed(e);
    let mut list = safe.reader().expect(Tag::SEQUENCE, "AuthenticatedSafe").map_err(placed)?.reader();
    while let Some(info) = list.next().map_err(placed)? {
        let contents = match open_contents(safe, &info, passwords, ctx).map_err(placed) {
            Ok(contents) => contents,
            // The rest may still be of use.
            Err(e) if e.kind() == Kind::Unsupported => {
                out.defects.push(e);
                continue;
            }
            Err(e) => return Err(e),
        };
        bag::read_all(&contents, &mut out.bags, &mut out.defects)?;
    }
    Ok(())
}

fn open_contents(
    safe: &Piece,
    info: &Tlv<'_>,
    passwords: &mut Passwords<'_>,
    ctx: &Ctx<'_>,
) -> Result<Piece> {
    let info = ContentInfo::parse(info)?;
    match info.id.content {
        oid::ENCRYPTED_DATA => {
            let data = info.content.ok_or_else(|| info.id.error("contents are missing"))?;
            decipher(&data, passwords, ctx)
        }
        oid::ENVELOPED_DATA => {
            Err(Error::unsupported("contents enciphered for a public key instead of a password")
                .at(info.id.at))
        }
        _ => info.octets(safe),
    }
}

fn decipher(data: &Tlv<'_>, passwords: &mut Passwords<'_>, ctx: &Ctx<'_>) -> Result<Piece> {
    let mut fields = data.reader();
    fields.expect(Tag::INTEGER, "EncryptedData's version")?;
    let mut info = fields.expect(Tag::SEQUENCE, "EncryptedContentInfo")?.reader();
    info.expect(Tag::OID, "contentType")?;
    let algorithm = info.expect(Tag::SEQUENCE, "the encryption algorithm")?;
    let enciphered = info.any("the enciphered contents")?;
    if enciphered.tag.primitive() != Tag::context_primitive(0) {
        return Err(enciphered.error("enciphered contents expected"));
    }
    let octets = enciphered.octets()?;
    Piece::plain(pbe::decrypt(&algorithm, &octets, passwords.get()?, is_safe_contents, ctx)?)
}

/// One SEQUENCE that fills the whole: after a wrong password the padding is right one time in 256.
fn is_safe_contents(plain: &[u8]) -> bool {
    let mut outer = Reader::new(plain, 0);
    outer.expect(Tag::SEQUENCE, "SafeContents").is_ok() && outer.is_empty()
}

/// Refuses a key that asks for too much work, although it is opened only later.
fn admit(bag: &Bag, ctx: &Ctx<'_>) -> Result<()> {
    let Some(info) = shroud(bag) else { return Ok(()) };
    let Some((_, rounds)) = scheme(info) else { return Ok(()) };
    ctx.session.budget.admit(rounds).map_err(|e| {
        let e = e.at_if(info.at());
        match &bag.attributes.name {
            Some(name) => e.in_entry(name.text()),
            None => e,
        }
    })
}

fn shroud(bag: &Bag) -> Option<&Piece> {
    match &bag.content {
        Content::ShroudedKey(info) | Content::ShroudedSecret(info) => Some(info),
        _ => None,
    }
}

/// Cipher and rounds of an `EncryptedPrivateKeyInfo`; `None` where they make no sense, which is said when
/// the key is opened.
fn scheme(info: &Piece) -> Option<(Option<Cipher>, u64)> {
    let fields = info.reader().expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo").ok()?;
    pbe::facts(&fields.reader().any("the encryption algorithm").ok()?).ok()
}

/// How a file is protected, as far as that stands in the open.
#[derive(Default)]
pub(super) struct Protection {
    pub pbmac1: bool,
    /// Ciphers of PKCS#12's own schemes.
    pub ciphers: Vec<Cipher>,
    /// The most rounds of any derivation.
    pub rounds: u64,
}

/// Looks at a file's algorithm identifiers. What can't be made sense of is passed over.
pub(super) fn protection(buffer: &Arc<Buffer>) -> Result<Protection> {
    let file = Piece::file(buffer)?;
    let pfx = Pfx::parse(&file)?;
    let mac = pfx.mac.as_ref();
    let mut out = Protection {
        pbmac1: mac.is_some_and(Mac::is_pbmac1),
        rounds: mac.and_then(Mac::rounds).unwrap_or(0),
        ..Protection::default()
    };
    let mut list = pfx.safe.reader().expect(Tag::SEQUENCE, "AuthenticatedSafe")?.reader();
    while let Some(info) = list.next()? {
        let info = ContentInfo::parse(&info)?;
        if let (oid::ENCRYPTED_DATA, Some(data)) = (info.id.content, info.content) {
            let mut fields = data.reader();
            fields.any("version")?;
            let mut parts = fields.any("EncryptedContentInfo")?.reader();
            parts.any("contentType")?;
            out.note(pbe::facts(&parts.any("algorithm")?)?);
        } else if let Ok(contents) = info.octets(&pfx.safe) {
            let (mut bags, mut defects) = (Vec::new(), Vec::new());
            bag::read_all(&contents, &mut bags, &mut defects)?;
            for bag in bags {
                if let Some(algorithm) = shroud(&bag).and_then(scheme) {
                    out.note(algorithm);
                }
            }
        }
    }
    Ok(out)
}

/// How the MAC and each of the contents are protected.
pub(super) fn outer_protection(buffer: &Arc<Buffer>) -> Result<Vec<(&'static str, pbe::Protection)>> {
    let file = Piece::file(buffer)?;
    let pfx = Pfx::parse(&file)?;
    let mut out = Vec::new();
    if let Some(mac) = &pfx.mac {
        let how = pbe::Protection { name: mac.name(), weak: mac.weakness(), rounds: mac.rounds() };
        out.push(("the MAC", how));
    }
    let mut list = pfx.safe.reader().expect(Tag::SEQUENCE, "AuthenticatedSafe")?.reader();
    while let Some(info) = list.next()? {
        let info = ContentInfo::parse(&info)?;
        if let (oid::ENCRYPTED_DATA, Some(data)) = (info.id.content, info.content) {
            let mut fields = data.reader();
            fields.any("version")?;
            let mut parts = fields.any("EncryptedContentInfo")?.reader();
            parts.any("contentType")?;
            out.extend(pbe::protection(parts.any("algorithm")?.raw).map(|how| ("the contents", how)));
        }
    }
    Ok(out)
}

/// Whether private keys stand before the certificates.
pub(super) fn keys_first(buffer: &Arc<Buffer>) -> Result<bool> {
    let file = Piece::file(buffer)?;
    let pfx = Pfx::parse(&file)?;
    let mut list = pfx.safe.reader().expect(Tag::SEQUENCE, "AuthenticatedSafe")?.reader();
    let Some(info) = list.next()? else { return Ok(false) };
    let info = ContentInfo::parse(&info)?;
    if info.id.content != oid::DATA {
        return Ok(false);
    }
    let contents = info.octets(&pfx.safe)?;
    let mut bags = contents.reader().expect(Tag::SEQUENCE, "SafeContents")?.reader();
    let first = bags.next()?.map(|bag| bag.reader().expect(Tag::OID, "bagId")).transpose()?;
    Ok(first.is_some_and(|id| [oid::SHROUDED_KEY_BAG, oid::KEY_BAG, oid::SECRET_BAG].contains(&id.content)))
}

impl Protection {
    fn note(&mut self, (cipher, rounds): (Option<Cipher>, u64)) {
        self.ciphers.extend(cipher);
        self.rounds = self.rounds.max(rounds);
    }
}
