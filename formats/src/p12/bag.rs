//! SafeContents: the bags and their attributes.
//!
//! ```text
//! SafeBag ::= SEQUENCE { bagId OID, bagValue [0] ANY, bagAttributes SET OF Attribute OPTIONAL }
//! Attribute ::= SEQUENCE { attrId OID, attrValues SET OF ANY }
//! CertBag   ::= SEQUENCE { certId OID, certValue [0] OCTET STRING }     CRLBag is alike
//! SecretBag ::= SEQUENCE { secretTypeId OID, secretValue [0] ANY }
//! ```
//! RFC 7292 section 4.2; attributes in RFC 2985 section 5.5.

use super::piece::Piece;
use super::{NAME, trust};
use crate::asn1::{self, Reader, Tag, Tlv, oid};
use crate::error::{Error, Result};
use crate::model::{Attr, Buffer, Der, KeyMaterial, Label, Trust};
use zeroize::Zeroizing;

/// One bag.
pub(super) struct Bag {
    pub content: Content,
    pub attributes: Attributes,
}

/// What a bag holds.
pub(super) enum Content {
    /// A private key in the clear, PKCS#8.
    Key(KeyMaterial),
    /// An `EncryptedPrivateKeyInfo`.
    ShroudedKey(Piece),
    /// A certificate.
    Cert(Der),
    /// A revocation list.
    Crl(Der),
    /// A secret key as Java keeps it: an `EncryptedPrivateKeyInfo` whose payload is the raw key.
    ShroudedSecret(Piece),
    /// Another type; `what` as in [`what`], `body` a SafeBag without attributes.
    Other { what: String, body: Der },
}

/// A bag's attributes.
#[derive(Default)]
pub(super) struct Attributes {
    /// friendlyName.
    pub name: Option<Label>,
    /// localKeyID.
    pub id: Option<Der>,
    /// What Java's trustedKeyUsage says, if it is there.
    pub trust: Option<Trust>,
    /// All that need keeping.
    pub rest: Vec<Attr>,
    /// friendlyName is no proper string.
    pub odd_name: bool,
    /// The SET itself, where there is one.
    pub written: Option<Der>,
    /// The writer makes the very same of a name and what is in `rest`.
    pub usual: bool,
}

impl Attributes {
    /// The same as a writer has them that keeps what stood there; `None` for what is no SET of attributes.
    pub fn of_set(raw: &[u8]) -> Option<Attributes> {
        if raw.is_empty() {
            return Some(Attributes::default());
        }
        let buffer = Buffer::new(raw.to_vec());
        let piece = Piece::file(&buffer).ok()?;
        let set = piece.reader().next().ok()??;
        read_attributes(&piece, &set).ok()
    }
}

/// Reads the bags of one SafeContents into `bags`; what can't be read while its frame is sound goes into
/// `defects`.
pub(super) fn read_all(contents: &Piece, bags: &mut Vec<Bag>, defects: &mut Vec<Error>) -> Result<()> {
    let mut outer = contents.reader();
    let list = outer.expect(Tag::SEQUENCE, "SafeContents").map_err(|e| contents.placed(e))?;
    read_list(contents, list.reader(), bags, defects).map_err(|e| contents.placed(e))
}

fn read_list(
    piece: &Piece,
    mut list: Reader<'_>,
    bags: &mut Vec<Bag>,
    defects: &mut Vec<Error>,
) -> Result<()> {
    while let Some(bag) = list.next()? {
        match read_bag(piece, &bag) {
            Ok(Found::Bag(bag)) => bags.push(bag),
            // Depth is bounded by the reader.
            Ok(Found::Nested(inner)) => read_list(piece, inner, bags, defects)?,
            Err(e) => defects.push(piece.placed(e.at(bag.at))),
        }
    }
    Ok(())
}

enum Found<'a> {
    Bag(Bag),
    Nested(Reader<'a>),
}

fn read_bag<'a>(piece: &Piece, bag: &Tlv<'a>) -> Result<Found<'a>> {
    if bag.tag != Tag::SEQUENCE {
        return Err(bag.error("SafeBag expected"));
    }
    let mut fields = bag.reader();
    let id = fields.expect(Tag::OID, "bagId")?;
    let explicit = fields.expect(Tag::context(0), "bagValue")?;
    let attributes = match fields.next()? {
        Some(set) => read_attributes(piece, &set)?,
        None => Attributes::default(),
    };
    let value = explicit.reader().any("bagValue")?;
    let content = match id.content {
        oid::SAFE_CONTENTS_BAG => return Ok(Found::Nested(value.reader())),
        oid::CERT_BAG => typed(piece, &value, oid::X509_CERTIFICATE)?.map(Content::Cert),
        oid::CRL_BAG => typed(piece, &value, oid::X509_CRL)?.map(Content::Crl),
        oid::SHROUDED_KEY_BAG => Some(Content::ShroudedKey(piece.element(&value)?)),
        oid::KEY_BAG => Some(Content::Key(clear_key(piece, &value)?)),
        oid::SECRET_BAG => secret(piece, &value)?,
        _ => None,
    };
    let content = match content {
        Some(content) => content,
        None => {
            let body = asn1::tlv_of(0x30, &[id.raw, &piece.element(&explicit)?.bytes]);
            // It may hold a secret.
            let buffer = Buffer::secret(body);
            let body = Der::slice(&buffer, 0..buffer.len()).ok_or_else(|| bag.error("an empty bag"))?;
            Content::Other { what: what(id.content, &value), body }
        }
    };
    Ok(Found::Bag(Bag { content, attributes }))
}

/// The content of a CertBag or CRLBag of the type `id`; `None` if it has another.
fn typed(piece: &Piece, value: &Tlv<'_>, id: &[u8]) -> Result<Option<Der>> {
    let mut fields = value.reader();
    if fields.expect(Tag::OID, "the bag's type")?.content != id {
        return Ok(None);
    }
    let explicit = fields.expect(Tag::context(0), "the bag's value")?;
    let string = explicit.reader().any("the bag's value")?;
    if string.tag.primitive() != Tag::OCTET_STRING {
        return Err(string.error("an OCTET STRING expected in the bag"));
    }
    let object = piece.octets(&string)?;
    let sound = Reader::new(&object.bytes, 0).expect(Tag::SEQUENCE, "object");
    match sound {
        Ok(o) if o.raw.len() == object.bytes.len() => Ok(Some(object.bytes)),
        _ => Err(string.error("the bag holds no DER object")),
    }
}

fn clear_key(piece: &Piece, value: &Tlv<'_>) -> Result<KeyMaterial> {
    piece.wipe_on_drop();
    let key = piece.element(value)?;
    key.wipe_on_drop();
    Ok(KeyMaterial::pkcs8(Zeroizing::new(key.bytes.to_vec())))
}

/// A secret key as Java keeps it; `None` for a secret of another type, which is a key for nothing that is
/// known here.
fn secret(piece: &Piece, value: &Tlv<'_>) -> Result<Option<Content>> {
    let mut fields = value.reader();
    if fields.expect(Tag::OID, "secretTypeId")?.content != oid::SHROUDED_KEY_BAG {
        piece.wipe_on_drop();
        return Ok(None);
    }
    let explicit = fields.expect(Tag::context(0), "secretValue")?;
    let inner = explicit.reader().any("secretValue")?;
    // Java wraps the structure into an OCTET STRING; RFC 7292 would have it bare.
    let wrapped = inner.tag.primitive() == Tag::OCTET_STRING;
    let info = if wrapped { piece.octets(&inner)? } else { piece.element(&inner)? };
    Ok(Some(Content::ShroudedSecret(info)))
}

/// What a bag of another type is called: the bag's OID, and for bags of certificates and CRLs that of
/// their type.
fn what(id: &[u8], value: &Tlv<'_>) -> String {
    let inner =
        || value.reader().expect(Tag::OID, "type").map(|t| oid::dotted(t.content)).unwrap_or_default();
    match id {
        oid::CERT_BAG if inner() == oid::dotted(oid::SDSI_CERTIFICATE) => SDSI.to_owned(),
        oid::CERT_BAG => format!("{CERTIFICATE}{}", inner()),
        oid::CRL_BAG => format!("{CRL}{}", inner()),
        oid::SECRET_BAG => format!("secret of type {}", inner()),
        _ => format!("bag {}", oid::dotted(id)),
    }
}

/// Whether what [`what`] calls so may be shown to anybody.
pub(super) fn is_public(what: &str) -> bool {
    what == SDSI || what.starts_with(CERTIFICATE) || what.starts_with(CRL)
}

const SDSI: &str = "SDSI certificate";
const CERTIFICATE: &str = "certificate of type ";
const CRL: &str = "CRL of type ";

/// Whether `body` is what [`Content::Other`] keeps under the name `claim`. Gives back its two fields.
pub(super) fn is_other<'a>(claim: &str, body: &'a [u8]) -> Option<&'a [u8]> {
    let mut outer = Reader::new(body, 0);
    let bag = outer.expect(Tag::SEQUENCE, "SafeBag").ok().filter(|_| outer.is_empty())?;
    let mut fields = bag.reader();
    let id = fields.expect(Tag::OID, "bagId").ok()?;
    let value = fields.expect(Tag::context(0), "bagValue").ok()?.reader().any("bagValue").ok()?;
    (fields.is_empty() && what(id.content, &value) == claim).then_some(bag.content)
}

fn read_attributes(piece: &Piece, set: &Tlv<'_>) -> Result<Attributes> {
    if set.tag != Tag::SET {
        return Err(set.error("bagAttributes expected"));
    }
    let written = Some(piece.element(set)?.bytes);
    let mut out = Attributes { written, usual: true, ..Attributes::default() };
    let mut before: (usize, &[u8]) = (0, &[]);
    let mut list = set.reader();
    while let Some(attribute) = list.next()? {
        let mut fields = attribute.reader();
        let id = fields.expect(Tag::OID, "attrId")?;
        out.usual &= before < (attribute.content.len(), id.content);
        before = (attribute.content.len(), id.content);
        let values = fields.expect(Tag::SET, "attrValues")?;
        match id.content {
            oid::FRIENDLY_NAME if out.name.is_none() => {
                if let Some(value) = values.reader().next()? {
                    (out.name, out.odd_name) = name(&value);
                    out.usual &= value.tag == Tag::BMP_STRING;
                }
            }
            oid::LOCAL_KEY_ID if out.id.is_none() => {
                if let Some(value) = values.reader().next()? {
                    out.id = Some(piece.octets(&value)?.bytes);
                }
            }
            oid::JAVA_TRUSTED_KEY_USAGE => {
                out.trust = Some(trust::of_usages(&values)?);
                // Only what a writer of today doesn't write anyway need be remembered.
                if values.raw != trust::ANY_USAGE {
                    out.rest.push(kept(piece, &id, &values)?);
                }
            }
            oid::FRIENDLY_NAME | oid::LOCAL_KEY_ID => out.usual = false,
            _ => out.rest.push(kept(piece, &id, &values)?),
        }
    }
    let named = out.name.as_ref().is_some_and(|n| !n.bytes().is_empty());
    out.usual &= named && !out.odd_name && out.id.is_none();
    Ok(out)
}

fn kept(piece: &Piece, id: &Tlv<'_>, values: &Tlv<'_>) -> Result<Attr> {
    Ok(Attr::new(NAME, oid::dotted(id.content), &*piece.element(values)?.bytes))
}

/// The text of a friendlyName, and whether something about it is odd: surrogates without their half, an
/// odd count of bytes (both met; Java takes them), another type than BMPString (UTF8String was met).
fn name(value: &Tlv<'_>) -> (Option<Label>, bool) {
    if value.tag != Tag::BMP_STRING {
        return (Some(Label::from(value.content)), value.tag != Tag::UTF8_STRING);
    }
    let odd = !value.content.len().is_multiple_of(2);
    let units = value.content.chunks_exact(2).filter_map(|u| <[u8; 2]>::try_from(u).ok());
    let text: Result<String, _> = char::decode_utf16(units.clone().map(u16::from_be_bytes)).collect();
    match text {
        Ok(text) => (Some(Label::from(text)), odd),
        Err(_) => {
            let units: Vec<u16> = units.map(u16::from_be_bytes).collect();
            (Some(Label::from(String::from_utf16_lossy(&units))), true)
        }
    }
}
