//! What a person should know about a set: companions that don't fit it, keys in erased slots, the end of its
//! password.

use super::decode::{self, Database};
use super::encode::read_header;
use super::layout::{ERASED, Role, SLOT_HEAD};
use super::record::{Content, Record};
use crate::context::Ctx;
use crate::error::{Kind, Result};
use crate::fact::Fact;
use crate::place::Source;

/// What can be found out; what can't is left out.
pub fn examine(from: &Source, ctx: &Ctx<'_>) -> Vec<Fact> {
    let mut facts = erased_keys(from).unwrap_or_default();
    for (suffix, role, blocks) in [("rdb", Role::Requests, true), ("crl", Role::Crls, false)] {
        // GSKit doesn't open a database beside such a .rdb; a .crl it passes over.
        if let Some(why) = misfit(from, suffix, role, ctx) {
            facts.push(Fact::BadCompanion { suffix, blocks, why });
        }
    }
    facts
}

/// Why a companion doesn't fit; `None`: it does, or isn't there.
fn misfit(from: &Source, suffix: &str, role: Role, ctx: &Ctx<'_>) -> Option<String> {
    let companion = match from.companion(suffix) {
        Ok(companion) => companion?,
        Err(e) => return Some(e.message().to_owned()),
    };
    let password = ctx.secrets.store().ok().flatten();
    match Database::read(&companion, role, password.as_deref()) {
        Ok(_) => None,
        Err(e) if e.kind() == Kind::Password => Some("it has another password than the store".to_owned()),
        Err(e) => Some(format!("it can't be read: {}", e.message())),
    }
}

/// The end of the password, and the labels of key pairs in slots that count no more, where the old content
/// still stands.
fn erased_keys(from: &Source) -> Result<Vec<Fact>> {
    let (header, _) = read_header(from, Role::Keys)?;
    let mut reader = from.reader()?;
    decode::fill(&mut *reader, &mut vec![0; header.version.header_len()])?;
    let mut facts = Vec::new();
    if header.expires != 0 {
        facts.push(Fact::PasswordExpires(i64::from(header.expires)));
    }
    decode::slots(&mut *reader, &header, |_, piece| {
        facts.extend(piece.chunks_exact(header.slot).filter_map(erased_key).map(Fact::ErasedKey));
    })?;
    Ok(facts)
}

fn erased_key(slot: &[u8]) -> Option<String> {
    let word = |at: usize| slot.get(at..)?.first_chunk().map(|w| u32::from_be_bytes(*w));
    if word(0)? != ERASED {
        return None;
    }
    let record = slot.get(SLOT_HEAD..)?.get(..word(8)? as usize)?;
    let record = Record::parse(record, 0).ok()?;
    (record.content == Content::KeyPair).then(|| String::from_utf8_lossy(record.label).into_owned())
}
