//! The trust settings that OpenSSL puts after a certificate in `TRUSTED CERTIFICATE` blocks.
//!
//! ```text
//! CertAux ::= SEQUENCE {
//!     trust   SEQUENCE OF OBJECT IDENTIFIER OPTIONAL,
//!     reject  [0] IMPLICIT SEQUENCE OF OBJECT IDENTIFIER OPTIONAL,
//!     alias   UTF8String OPTIONAL,
//!     keyid   OCTET STRING OPTIONAL,
//!     other   [1] IMPLICIT SEQUENCE OF AlgorithmIdentifier OPTIONAL }
//! ```
//! Source: the manual page x509_trust and files of OpenSSL 3.0.

use crate::asn1::{Reader, Tag, oid};
use crate::error::Result;
use crate::model::{Attr, Entry, Label, Level, Purpose, Trust};

/// Sets what `aux` says on the certificate's entry; `anchor` is the level of a trusted purpose.
pub(super) fn apply(aux: &[u8], anchor: Level, entry: &mut Entry) -> Result<()> {
    let outer = Reader::new(aux, 0).expect(Tag::SEQUENCE, "the trust settings")?;
    let mut fields = outer.reader();
    let mut trust = Trust::default();
    let mut said = false;
    while let Some(field) = fields.next()? {
        match field.tag.0 {
            0x30 | 0xa0 => {
                let level = if field.tag == Tag::SEQUENCE { anchor } else { Level::Distrusted };
                let mut list = field.reader();
                while let Some(usage) = list.next()? {
                    set(&mut trust, usage.content, level);
                    said = true;
                }
            }
            0x0c if entry.label.is_none() => entry.label = Some(Label::from(field.content)),
            0x0c => {}
            0x04 => entry.attrs.push(Attr::new(super::NAME, "keyid", field.content)),
            _ => entry.attrs.push(Attr::new(super::NAME, "other", field.raw)),
        }
    }
    if said {
        entry.trust = Some(trust);
    }
    Ok(())
}

/// Extended key usages of the four purposes (RFC 5280 section 4.2.1.12).
const USAGES: &[(&str, Purpose)] = &[
    ("1.3.6.1.5.5.7.3.1", Purpose::Server),
    ("1.3.6.1.5.5.7.3.2", Purpose::Client),
    ("1.3.6.1.5.5.7.3.3", Purpose::Code),
    ("1.3.6.1.5.5.7.3.4", Purpose::Email),
];

fn set(trust: &mut Trust, usage: &[u8], level: Level) {
    // Rejection beats trust, whichever is written first.
    let raise = |l: &mut Level| *l = (*l).max(level);
    if usage == oid::ANY_EXTENDED_KEY_USAGE {
        trust.levels.iter_mut().for_each(raise);
        return;
    }
    let dotted = oid::dotted(usage);
    match USAGES.iter().find(|(o, _)| *o == dotted) {
        Some((_, purpose)) => raise(&mut trust.levels[*purpose as usize]),
        None => trust.usages.push((dotted, level)),
    }
}
