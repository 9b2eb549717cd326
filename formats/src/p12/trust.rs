//! Java's trustedKeyUsage: what it says, and what is said with it.
//!
//! Its value is a SET of extended key usages, normally anyExtendedKeyUsage alone. Java takes a certificate
//! that has it for an anchor of everything, whatever stands there (verified: JDK 11, 17, 25). We take it
//! by its word, so that a conversion trusts nobody for more than was written down; and a level for one
//! purpose that we write is a raise, for Java will not heed it.

use super::NAME;
use crate::asn1::{self, Reader, Tag, Tlv, oid};
use crate::error::Result;
use crate::model::{Attr, Level, Purpose, Trust};
use std::borrow::Cow;

/// SET { anyExtendedKeyUsage }.
pub(super) const ANY_USAGE: &[u8] = &[0x31, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x25, 0x00];

/// The trust that an attribute's values give.
pub(super) fn of_usages(values: &Tlv<'_>) -> Result<Trust> {
    let mut out = Trust::default();
    let mut list = values.reader();
    while let Some(usage) = list.next()? {
        if usage.tag != Tag::OID {
            continue;
        }
        match PURPOSES.iter().find(|(id, _)| *id == usage.content) {
            _ if usage.content == oid::ANY_EXTENDED_KEY_USAGE => out.levels = [Level::Anchor; 4],
            Some((_, purpose)) => out.levels[*purpose as usize] = Level::Anchor,
            None => out.usages.push((oid::dotted(usage.content), Level::Anchor)),
        }
    }
    Ok(out)
}

/// What an entry has in place of the attribute where it is to stay without: Java trusts what has it, so that a
/// certificate must not get it by the way.
pub(super) fn unmarked() -> Attr {
    Attr::new(NAME, oid::dotted(oid::JAVA_TRUSTED_KEY_USAGE), [])
}

/// The same for a SET as it was kept.
pub(super) fn of_kept(set: &[u8]) -> Option<Trust> {
    Reader::new(set, 0).expect(Tag::SET, "usages").and_then(|set| of_usages(&set)).ok()
}

/// The SET that gives `trust` as far as it can be given: anchors and peers alike are trusted.
pub(super) fn to_usages(trust: &Trust) -> Cow<'static, [u8]> {
    let trusted = |l: &Level| matches!(l, Level::Anchor | Level::Peer);
    if trust.levels.iter().all(trusted) && trust.usages.is_empty() {
        return Cow::Borrowed(ANY_USAGE);
    }
    let any = trust.levels.iter().all(trusted).then(|| oid::ANY_EXTENDED_KEY_USAGE.to_vec());
    let purposes = PURPOSES.iter().filter(|(_, p)| any.is_none() && trusted(&trust.level(*p)));
    let others = trust.usages.iter().filter(|(_, l)| trusted(l)).filter_map(|(id, _)| oid::from_dotted(id));
    let mut ids: Vec<Vec<u8>> = purposes
        .map(|(id, _)| id.to_vec())
        .chain(others)
        .chain(any.clone())
        .map(|id| asn1::oid_tlv(&id))
        .collect();
    ids.sort(); // DER orders a SET
    Cow::Owned(asn1::tlv(Tag::SET.0, &ids.concat()))
}

/// RFC 5280 section 4.2.1.12.
const PURPOSES: [(&[u8], Purpose); 4] = [
    (oid::SERVER_AUTH, Purpose::Server),
    (oid::CLIENT_AUTH, Purpose::Client),
    (oid::EMAIL_PROTECTION, Purpose::Email),
    (oid::CODE_SIGNING, Purpose::Code),
];
