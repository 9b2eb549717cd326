//! OpenSSL's trust settings, which follow the certificate in a `TRUSTED CERTIFICATE` block.
//!
//! ```text
//! CertAux ::= SEQUENCE { trust   SEQUENCE OF OID OPTIONAL,
//!                        reject  [0] IMPLICIT SEQUENCE OF OID OPTIONAL,
//!                        alias   UTF8String OPTIONAL,
//!                        keyid   OCTET STRING OPTIONAL,
//!                        other   [1] IMPLICIT SEQUENCE OF AlgorithmIdentifier OPTIONAL }
//! ```
//!
//! OpenSSL `x509_vfy` and `x_x509a.c` as of 3.0: a purpose that is listed is trusted, one that is rejected
//! is not, and once a list is there purposes outside it are not either.

use crate::asn1::{Reader, Tag, cert_fields, oid};
use crate::error::Result;
use crate::model::{Attr, Label, Level, Purpose, Trust};

/// The attribute that keeps the settings as they stood, so that a file written anew keeps them.
pub(super) const ATTR: &str = "trust-settings";

/// What the settings say.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub trust: Option<Trust>,
    pub label: Option<Label>,
}

/// Reads the settings of `certificate`.
pub(super) fn read(settings: &[u8], certificate: &[u8]) -> Result<Settings> {
    let mut fields = Reader::new(settings, 0).expect(Tag::SEQUENCE, "trust settings")?.reader();
    let is_ca = cert_fields(certificate)?.is_ca();
    let trusted = fields.optional(Tag::SEQUENCE)?;
    let rejected = fields.optional(Tag::context(0))?;
    let alias = fields.optional(Tag::UTF8_STRING)?;
    let mut trust = Trust::default();
    let lists = [(trusted, if is_ca { Level::Anchor } else { Level::Peer }), (rejected, Level::Distrusted)];
    for (list, level) in lists {
        let Some(list) = list else { continue };
        let mut ids = list.reader();
        while let Some(id) = ids.next()? {
            set(&mut trust, id.content, level);
        }
    }
    let said = trusted.is_some() || rejected.is_some();
    Ok(Settings { trust: said.then_some(trust), label: alias.map(|a| Label::from(a.content)) })
}

/// The settings as an attribute of the certificate's entry.
pub(super) fn attr(settings: &[u8]) -> Attr {
    Attr::new(super::NAME, ATTR, settings)
}

const PURPOSES: [(&str, Purpose); 4] = [
    ("1.3.6.1.5.5.7.3.1", Purpose::Server),
    ("1.3.6.1.5.5.7.3.2", Purpose::Client),
    ("1.3.6.1.5.5.7.3.4", Purpose::Email),
    ("1.3.6.1.5.5.7.3.3", Purpose::Code),
];

fn set(trust: &mut Trust, id: &[u8], level: Level) {
    if id == oid::ANY_EXTENDED_KEY_USAGE {
        trust.levels = [level; 4];
        return;
    }
    let dotted = oid::dotted(id);
    match PURPOSES.iter().find(|(known, _)| *known == dotted) {
        Some((_, purpose)) => trust.levels[*purpose as usize] = level,
        None => trust.usages.push((dotted, level)),
    }
}
