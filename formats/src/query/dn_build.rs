//! A name as people write it, as the DER that goes into requests and certificates.
//!
//! Read are RFC 4514 and RFC 1779 (`CN=alice, O="SSS, Ltd"`), OpenSSL's slashes (`/C=GB/O=SSS/CN=alice`) and its
//! printed form (`C = GB, O = SSS, CN = alice`). The first two list the most specific part first, which DER
//! has last; OpenSSL's forms, and a list that begins with a country and ends with anything else than one,
//! are in DER's order already.

use super::dn::type_oid;
use crate::asn1::{Reader, Tag, oid, oid_tlv, tlv, tlv_of};
use crate::error::{Error, Kind, Result};

const COUNTRY: &[u8] = oid::COUNTRY;

/// A whole `Name`. An error says what isn't understood; an empty text is the empty name.
pub fn name_from_text(text: &str) -> Result<Vec<u8>> {
    let text = text.trim();
    let mut input = Text { rest: text.strip_prefix('/').unwrap_or(text), slashes: text.starts_with('/') };
    let mut rdns: Vec<Vec<Pair>> = vec![Vec::new()];
    let mut blanks_around = true;
    while !input.rest.trim_start().is_empty() {
        let (pair, spaced, joined) = input.pair()?;
        blanks_around &= spaced;
        if let Some(rdn) = rdns.last_mut() {
            rdn.push(pair);
        }
        if !joined {
            rdns.push(Vec::new());
        }
    }
    if rdns.last().is_some_and(Vec::is_empty) {
        rdns.pop();
    } else {
        return Err(bad("a \"+\" that nothing follows"));
    }
    let is_country = |rdn: Option<&Vec<Pair>>| rdn.is_some_and(|r| r.iter().any(|p| p.id == COUNTRY));
    let from_the_root = rdns.len() > 1 && is_country(rdns.first()) && !is_country(rdns.last());
    if !(input.slashes || blanks_around || from_the_root) {
        rdns.reverse();
    }
    let sets = rdns.iter().map(|rdn| set_of(rdn)).collect::<Vec<_>>();
    Ok(tlv(0x30, &sets.concat()))
}

/// One `type=value`.
struct Pair {
    id: Vec<u8>,
    value: Vec<u8>,
}

/// DER sorts what is in a SET (X.690 section 11.6).
fn set_of(rdn: &[Pair]) -> Vec<u8> {
    let mut pairs: Vec<_> = rdn.iter().map(|p| tlv_of(0x30, &[&oid_tlv(&p.id), &p.value])).collect();
    pairs.sort();
    tlv(0x31, &pairs.concat())
}

struct Text<'a> {
    rest: &'a str,
    slashes: bool,
}

impl Text<'_> {
    /// The next pair, whether blanks stood on both sides of its `=`, whether another one of the same RDN
    /// follows.
    fn pair(&mut self) -> Result<(Pair, bool, bool)> {
        let (word, value) =
            self.rest.split_once('=').ok_or_else(|| bad(format!("\"{}\" has no value", self.rest.trim())))?;
        let spaced = word.ends_with(' ') && value.starts_with(' ');
        let word = word.trim();
        let id = type_oid(word)
            .ok_or_else(|| bad(format!("\"{word}\" is no attribute type (CN, OU, O, 2.5.4.3, …)")))?;
        self.rest = value.trim_start();
        let value = match self.rest.strip_prefix('#') {
            Some(_) => self.hex()?,
            None => encoded(&id, &self.value()?).map_err(|m| bad(format!("{word}: {m}")))?,
        };
        self.rest = self.rest.trim_start();
        let joined = match self.rest.chars().next() {
            None => false,
            Some('/') if self.slashes => self.skip(false),
            Some(',' | ';') if !self.slashes => self.skip(false),
            Some('+') => self.skip(true),
            Some(_) => return Err(bad(format!("what does \"{}\" belong to?", self.rest))),
        };
        Ok((Pair { id, value }, spaced, joined))
    }

    fn skip(&mut self, joined: bool) -> bool {
        self.rest = self.rest.get(1..).unwrap_or_default();
        joined
    }

    /// `#` and the hex of a whole element.
    fn hex(&mut self) -> Result<Vec<u8>> {
        let digits = self.rest.get(1..).unwrap_or_default();
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let (digits, rest) = digits.split_at(end);
        self.rest = rest;
        let byte = |at: usize| digits.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        let whole = |b: &Vec<u8>| {
            let mut reader = Reader::new(b, 0);
            reader.any("a value").is_ok() && reader.is_empty()
        };
        bytes.filter(whole).ok_or_else(|| bad(format!("#{digits} is no encoded value")))
    }

    /// A value's text: quoted or not, backslashes taken out.
    fn value(&mut self) -> Result<String> {
        let quoted = self.rest.starts_with('"');
        let mut chars = self.rest.char_indices().skip(usize::from(quoted));
        let mut out = Vec::new();
        // Blanks written with a backslash belong to the value; others at its end don't.
        let mut keep = 0;
        let mut end = self.rest.len();
        let mut closed = !quoted;
        while let Some((at, c)) = chars.next() {
            let stops = match c {
                '"' if quoted => {
                    closed = true;
                    keep = out.len();
                    end = at + 1;
                    break;
                }
                '/' => self.slashes,
                ',' | ';' => !self.slashes,
                '+' => true,
                _ => false,
            };
            if stops && !quoted {
                end = at;
                break;
            }
            if c != '\\' {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if quoted || !c.is_whitespace() {
                    keep = out.len();
                }
                continue;
            }
            let (at, c) = chars.next().ok_or_else(|| bad("a backslash at the end"))?;
            let pair = self.rest.get(at..at + 2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            match pair.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    chars.next();
                }
                None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            keep = out.len();
        }
        if !closed {
            return Err(bad("a quote that isn't closed"));
        }
        out.truncate(keep);
        self.rest = self.rest.get(end..).unwrap_or_default();
        String::from_utf8(out).map_err(|_| bad("escaped bytes that are no UTF-8"))
    }
}

/// Types whose values are of one string type (RFC 5280 appendix A.1, RFC 4519): PrintableString, IA5String.
const PRINTABLE: &[&str] = &["2.5.4.6", "2.5.4.5", "2.5.4.46", "1.3.6.1.4.1.311.60.2.1.3"];
const IA5: &[&str] = &["1.2.840.113549.1.9.1", "0.9.2342.19200300.100.1.25"];

/// The value as its type demands; UTF8String where there is a choice.
fn encoded(id: &[u8], text: &str) -> std::result::Result<Vec<u8>, &'static str> {
    let dotted = oid::dotted(id);
    let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
    if text.is_empty() {
        return Err("an empty value");
    }
    let tag = if id == COUNTRY && text.len() != 2 {
        return Err("a country has two letters");
    } else if PRINTABLE.contains(&&*dotted) {
        if !text.chars().all(printable) {
            return Err("only plain letters, digits and a few marks are allowed here");
        }
        0x13
    } else if IA5.contains(&&*dotted) {
        if !text.is_ascii() {
            return Err("only ASCII is allowed here");
        }
        0x16
    } else {
        Tag::UTF8_STRING.0
    };
    Ok(tlv(tag, text.as_bytes()))
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Kind::Refused, format!("not a distinguished name: {}", message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::dn::rfc4514;

    #[test]
    fn every_dialect_is_one_name() {
        let want = name_from_text("CN=COLIN PAICE,O=SSS,C=GB").expect("a name");
        for same in [
            "/C=GB/O=SSS/CN=COLIN PAICE",
            "C = GB, O = SSS, CN = COLIN PAICE",
            "C=GB,O=SSS,CN=COLIN PAICE",
            "cn=COLIN PAICE ; o=\"SSS\"; c=GB",
            "2.5.4.3=COLIN\\20PAICE,OID.2.5.4.10=SSS,C=#13024742",
        ] {
            assert_eq!(name_from_text(same).expect(same), want, "{same}");
        }
    }

    #[test]
    fn text_comes_back() {
        for text in [
            "CN=a\\+b\\, c,O=\\ x\\ ,C=GB",
            "CN=X+UID=u1,O=SSS",
            "UID=jdoe,OU=OU2,OU=OU1,DC=example,DC=com",
            "emailAddress=a@b.example,CN=München",
            "CN=only",
            "",
        ] {
            assert_eq!(rfc4514(&name_from_text(text).expect(text)), text);
        }
        for bad in ["XX=1", "CN", "CN=", "CN=\"a", "CN=a\\", "C=GBR", "CN=a+", "C=#13", "CN=\"a\" b", "E=ü"]
        {
            assert_eq!(name_from_text(bad).map_err(|e| e.kind()), Err(Kind::Refused), "{bad}");
        }
    }
}
