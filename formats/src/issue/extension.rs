//! Extensions of certificates and requests: made from words, read from certificates (RFC 5280 section 4.2).

use crate::asn1::{CertFields, Reader, Tag, header_len, oid, oid_tlv, tlv, tlv_of};
use crate::crypto::sign::public_bits;
use crate::error::{Error, Kind, Result};
use crate::query::dn_build::name_from_text;
use sha1::{Digest, Sha1};
use std::net::IpAddr;

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its OID, content octets.
    pub id: Vec<u8>,
    /// Whoever doesn't know it must refuse the certificate.
    pub critical: bool,
    /// The content of `extnValue`: DER.
    pub value: Vec<u8>,
}

impl Extension {
    /// An extension.
    pub fn new(id: &[u8], critical: bool, value: Vec<u8>) -> Self {
        Extension { id: id.to_vec(), critical, value }
    }

    /// basicConstraints; `path` is how many CAs may follow.
    pub fn basic_constraints(ca: bool, path: Option<u64>) -> Self {
        let path = path.map(crate::asn1::integer).unwrap_or_default();
        let flag: &[u8] = if ca { &[1, 1, 0xff] } else { &[] };
        Extension::new(oid::BASIC_CONSTRAINTS, true, tlv_of(0x30, &[flag, if ca { &path } else { &[] }]))
    }

    /// subjectKeyIdentifier by method 1 of RFC 5280 section 4.2.1.2.
    pub fn subject_key_id(spki: &[u8]) -> Result<Self> {
        let id = Sha1::digest(public_bits(spki)?);
        Ok(Extension::new(oid::SUBJECT_KEY_ID, false, tlv(0x04, &id)))
    }

    /// authorityKeyIdentifier of an issuer: its own subject key identifier, else one made from its key.
    pub fn authority_key_id(issuer: &CertFields<'_>) -> Result<Self> {
        let id = match issuer.subject_key_id() {
            Some(id) => id.to_vec(),
            None => Sha1::digest(public_bits(issuer.spki)?).to_vec(),
        };
        Ok(Extension::new(oid::AUTHORITY_KEY_ID, false, tlv(0x30, &tlv(0x80, &id))))
    }

    /// keyUsage, critical as RFC 5280 advises.
    pub fn key_usage(usages: &[KeyUsage]) -> Self {
        let bits = usages.iter().fold(0u16, |bits, u| bits | 0x8000 >> (*u as u16));
        let [first, second] = bits.to_be_bytes();
        let bytes: &[u8] = if second == 0 { &[first] } else { &[first, second] };
        let unused = bits.trailing_zeros().min(15) as u8 % 8;
        Extension::new(oid::KEY_USAGE, true, tlv_of(0x03, &[&[unused], bytes]))
    }

    /// extKeyUsage.
    pub fn extended_key_usage(usages: &[Usage]) -> Self {
        let ids: Vec<u8> = usages.iter().flat_map(|u| oid_tlv(&u.0)).collect();
        Extension::new(oid::EXTENDED_KEY_USAGE, false, tlv(0x30, &ids))
    }

    /// subjectAltName; critical where there is no other name.
    pub fn alternative_names(names: &[Name], critical: bool) -> Self {
        let names: Vec<u8> = names.iter().flat_map(|n| n.0.iter().copied()).collect();
        Extension::new(oid::SUBJECT_ALT_NAME, critical, tlv(0x30, &names))
    }

    fn der(&self) -> Vec<u8> {
        let critical: &[u8] = if self.critical { &[1, 1, 0xff] } else { &[] };
        tlv_of(0x30, &[&oid_tlv(&self.id), critical, &tlv(0x04, &self.value)])
    }
}

/// A list of extensions, each of them once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(pub Vec<Extension>);

impl Extensions {
    /// Reads the content of an `Extensions` SEQUENCE, as in [`CertFields::extensions`].
    pub fn read(content: &[u8]) -> Result<Self> {
        let mut list = Reader::new(content, 0);
        let mut out = Extensions::default();
        while let Some(extension) = list.next()? {
            let mut fields = extension.reader();
            let id = fields.expect(Tag::OID, "extnID")?.content;
            let critical = fields.optional(Tag::BOOLEAN)?.is_some_and(|b| b.content.iter().any(|v| *v != 0));
            let value = fields.expect(Tag::OCTET_STRING, "extnValue")?.content;
            out.set(Extension::new(id, critical, value.to_vec()));
        }
        Ok(out)
    }

    /// The extension of this OID.
    pub fn get(&self, id: &[u8]) -> Option<&Extension> {
        self.0.iter().find(|e| e.id == id)
    }

    /// Puts an extension in, in place of one of its kind.
    pub fn set(&mut self, extension: Extension) {
        match self.0.iter_mut().find(|e| e.id == extension.id) {
            Some(there) => *there = extension,
            None => self.0.push(extension),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole `Extensions` SEQUENCE.
    pub fn der(&self) -> Vec<u8> {
        let all: Vec<Vec<u8>> = self.0.iter().map(Extension::der).collect();
        let len = all.iter().map(Vec::len).sum();
        let mut out = Vec::with_capacity(header_len(len) + len);
        crate::asn1::put_header(&mut out, 0x30, len);
        all.iter().for_each(|e| out.extend_from_slice(e));
        out
    }

    /// The key usages, if the extension is there.
    pub fn key_usages(&self) -> Option<Vec<KeyUsage>> {
        let value = &self.get(oid::KEY_USAGE)?.value;
        let bits = Reader::new(value, 0).expect(Tag::BIT_STRING, "KeyUsage").ok()?.content;
        let set = |u: &KeyUsage| {
            let n = *u as usize;
            bits.get(1 + n / 8).is_some_and(|b| b & 0x80 >> (n % 8) != 0)
        };
        Some(KeyUsage::ALL.iter().map(|(_, u)| *u).filter(|u| set(u)).collect())
    }

    /// The extended key usages, if the extension is there.
    pub fn extended_key_usages(&self) -> Option<Vec<Usage>> {
        let value = &self.get(oid::EXTENDED_KEY_USAGE)?.value;
        let mut list = Reader::new(value, 0).expect(Tag::SEQUENCE, "ExtKeyUsageSyntax").ok()?.reader();
        let mut out = Vec::new();
        while let Ok(Some(id)) = list.next() {
            out.push(Usage(id.content.to_vec()));
        }
        Some(out)
    }

    /// The alternative names, as they stand.
    pub fn alternative_names(&self) -> Vec<Name> {
        let Some(extension) = self.get(oid::SUBJECT_ALT_NAME) else { return Vec::new() };
        let Ok(list) = Reader::new(&extension.value, 0).expect(Tag::SEQUENCE, "GeneralNames") else {
            return Vec::new();
        };
        let mut list = list.reader();
        std::iter::from_fn(|| list.next().ok().flatten()).map(|n| Name(n.raw.to_vec())).collect()
    }

    /// The path length of basic constraints: `None` without the extension or where it is no CA; inside, `None`
    /// where there is no bound.
    pub fn ca(&self) -> Option<Option<u64>> {
        let value = &self.get(oid::BASIC_CONSTRAINTS)?.value;
        let mut fields = Reader::new(value, 0).expect(Tag::SEQUENCE, "BasicConstraints").ok()?.reader();
        let ca = fields.optional(Tag::BOOLEAN).ok()??;
        if ca.content.iter().all(|b| *b == 0) {
            return None;
        }
        Some(fields.optional(Tag::INTEGER).ok()?.and_then(|n| n.unsigned().ok()))
    }
}

/// What a key may be used for: the bits of keyUsage, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // RFC 5280 section 4.2.1.3 says it
pub enum KeyUsage {
    DigitalSignature = 0,
    NonRepudiation = 1,
    KeyEncipherment = 2,
    DataEncipherment = 3,
    KeyAgreement = 4,
    KeyCertSign = 5,
    CrlSign = 6,
    EncipherOnly = 7,
    DecipherOnly = 8,
}

impl KeyUsage {
    /// Every usage with its name.
    pub const ALL: &'static [(&'static str, KeyUsage)] = &[
        ("digitalSignature", KeyUsage::DigitalSignature),
        ("nonRepudiation", KeyUsage::NonRepudiation),
        ("keyEncipherment", KeyUsage::KeyEncipherment),
        ("dataEncipherment", KeyUsage::DataEncipherment),
        ("keyAgreement", KeyUsage::KeyAgreement),
        ("keyCertSign", KeyUsage::KeyCertSign),
        ("cRLSign", KeyUsage::CrlSign),
        ("encipherOnly", KeyUsage::EncipherOnly),
        ("decipherOnly", KeyUsage::DecipherOnly),
    ];

    /// By name, in any case of letters; `contentCommitment` is nonRepudiation.
    pub fn parse(text: &str) -> Option<KeyUsage> {
        let text = if text.eq_ignore_ascii_case("contentCommitment") { "nonRepudiation" } else { text };
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, u)| *u)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, u)| *u == self).map_or("", |(name, _)| name)
    }
}

/// An extended key usage: an OID's content octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub Vec<u8>);

impl Usage {
    /// The usages that have names.
    pub const NAMED: &'static [(&'static str, &'static [u8])] = &[
        ("serverAuth", oid::SERVER_AUTH),
        ("clientAuth", oid::CLIENT_AUTH),
        ("codeSigning", oid::CODE_SIGNING),
        ("emailProtection", oid::EMAIL_PROTECTION),
        ("timeStamping", oid::TIME_STAMPING),
        ("OCSPSigning", oid::OCSP_SIGNING),
        ("any", oid::ANY_EXTENDED_KEY_USAGE),
    ];

    /// By name in any case of letters, or dotted.
    pub fn parse(text: &str) -> Option<Usage> {
        let named = Self::NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, id)| id.to_vec()).or_else(|| oid::from_dotted(text)).map(Usage)
    }

    /// Its name, else dotted.
    pub fn name(&self) -> String {
        let named = Self::NAMED.iter().find(|(_, id)| *id == self.0);
        named.map_or_else(|| oid::dotted(&self.0), |(name, _)| (*name).to_owned())
    }
}

/// A GeneralName, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Vec<u8>);

impl Name {
    /// `dns:HOST`, `ip:ADDRESS`, `email:ADDRESS`, `uri:URI`, `dn:NAME`, `rid:OID`; without a word before it an
    /// address, an e-mail address or a host by its look. An error says what is wrong.
    pub fn parse(text: &str) -> Result<Name> {
        let (word, value) = text.split_once(':').unwrap_or(("", text));
        let (word, value) = match word.to_ascii_lowercase().as_str() {
            "dns" => ("dns", value),
            "ip" => ("ip", value),
            "email" | "mail" => ("email", value),
            "uri" | "url" => ("uri", value),
            "dn" | "dirname" => ("dn", value),
            "rid" => ("rid", value),
            _ if text.parse::<IpAddr>().is_ok() => ("ip", text),
            "" if text.contains('@') => ("email", text),
            "" => ("dns", text),
            _ if text.contains("://") => ("uri", text),
            _ => return Err(Self::bad(text, "dns:, ip:, email:, uri: or dn: is wanted before it")),
        };
        let plain = |tag: u8| {
            // Commas are for lists, which the caller makes; only a URI may hold one.
            let odd = |c: char| !c.is_ascii_graphic() || (c == ',' && tag != 0x86);
            match value.is_empty() || value.contains(odd) {
                true => Err(Self::bad(text, "letters outside ASCII, blanks and commas don't stand in it")),
                false => Ok(tlv(tag, value.as_bytes())),
            }
        };
        Ok(Name(match word {
            "email" => plain(0x81)?,
            "uri" => plain(0x86)?,
            "dn" => tlv(0xa4, &name_from_text(value)?),
            "rid" => tlv(0x88, &oid::from_dotted(value).ok_or_else(|| Self::bad(text, "no OID"))?),
            "ip" => match value.parse::<IpAddr>() {
                Ok(IpAddr::V4(a)) => tlv(0x87, &a.octets()),
                Ok(IpAddr::V6(a)) => tlv(0x87, &a.octets()),
                Err(_) => return Err(Self::bad(text, "no IP address")),
            },
            _ => plain(0x82)?,
        }))
    }

    fn bad(text: &str, why: &str) -> Error {
        Error::new(Kind::Refused, format!("not an alternative name: \"{text}\": {why}"))
    }

    /// As [`Name::parse`] reads it.
    pub fn text(&self) -> String {
        let Ok(name) = Reader::new(&self.0, 0).any("GeneralName") else { return "?".to_owned() };
        let text = || String::from_utf8_lossy(name.content).into_owned();
        match (name.tag.0, name.content) {
            (0x81, _) => format!("email:{}", text()),
            (0x82, _) => format!("dns:{}", text()),
            (0x86, _) => format!("uri:{}", text()),
            (0xa4, inner) => format!("dn:{}", crate::query::dn::rfc4514(inner)),
            (0x88, id) => format!("rid:{}", oid::dotted(id)),
            (0x87, &[a, b, c, d]) => format!("ip:{}", IpAddr::from([a, b, c, d])),
            (0x87, bytes) => match <[u8; 16]>::try_from(bytes) {
                Ok(a) => format!("ip:{}", IpAddr::from(a)),
                Err(_) => "ip:?".to_owned(),
            },
            (tag, _) => format!("other:{tag:#04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_usage_bits_are_minimal() {
        let value = |u: &[KeyUsage]| Extension::key_usage(u).value;
        assert_eq!(value(&[KeyUsage::DigitalSignature]), [3, 2, 7, 0x80]);
        assert_eq!(value(&[KeyUsage::KeyCertSign, KeyUsage::CrlSign]), [3, 2, 1, 0x06]);
        assert_eq!(value(&[KeyUsage::KeyAgreement, KeyUsage::DecipherOnly]), [3, 3, 7, 0x08, 0x80]);
        assert_eq!(value(&[KeyUsage::EncipherOnly]), [3, 2, 0, 1]);
        let all: Vec<_> = KeyUsage::ALL.iter().map(|(_, u)| *u).collect();
        assert_eq!(Extensions(vec![Extension::key_usage(&all)]).key_usages(), Some(all));
    }

    #[test]
    fn names_come_back() {
        for (text, want) in [
            ("host.example", "dns:host.example"),
            ("10.0.0.1", "ip:10.0.0.1"),
            ("::1", "ip:::1"),
            ("a@b.example", "email:a@b.example"),
            ("https://x.example/y", "uri:https://x.example/y"),
            ("DN:CN=a,O=b", "dn:CN=a,O=b"),
            ("rid:1.2.3", "rid:1.2.3"),
            ("IP:2001:db8::1", "ip:2001:db8::1"),
        ] {
            assert_eq!(Name::parse(text).expect(text).text(), want);
        }
        for bad in ["dns:", "ip:x", "dns:a b", "weird:x", "dns:ü.example", "a@b,dns:c"] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_come_back() {
        let mut list = Extensions::default();
        list.set(Extension::basic_constraints(true, Some(0)));
        list.set(Extension::extended_key_usage(&[Usage::parse("clientauth").expect("a usage")]));
        list.set(Extension::basic_constraints(true, Some(3)));
        let der = list.der();
        let content = Reader::new(&der, 0).expect(Tag::SEQUENCE, "list").expect("list").content;
        let back = Extensions::read(content).expect("a list");
        assert_eq!((back.ca(), back.0.len()), (Some(Some(3)), 2));
        assert_eq!(back, list);
        assert_eq!(back.extended_key_usages().expect("usages")[0].name(), "clientAuth");
        assert_eq!(Extensions(vec![Extension::basic_constraints(false, None)]).ca(), None);
    }
}
