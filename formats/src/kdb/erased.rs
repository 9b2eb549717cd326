//! What erased slots still hold: GSKit marks a slot and leaves its bytes, so a key that people believe gone is
//! there until the slot is used again.

use super::decode::{fill, lone_key, slots};
use super::layout::{ERASED, FIXED, Header, Role, SLOT_HEAD};
use super::record::{Content, Record};
use crate::error::Result;
use crate::model::{Der, Entry, Item, Label};
use crate::place::Source;

/// Key pairs and certificates in erased slots of the store, and requests in those of its `.rdb`. Records that
/// can't be read any more are left out: nobody promised them.
pub fn erased(from: &Source) -> Result<Vec<Entry>> {
    let mut out = in_file(from, Role::Keys)?;
    if let Some(requests) = from.companion("rdb")? {
        out.append(&mut in_file(&requests, Role::Requests).unwrap_or_default());
    }
    Ok(out)
}

fn in_file(from: &Source, role: Role) -> Result<Vec<Entry>> {
    let mut reader = from.reader()?;
    let mut fixed = [0; FIXED];
    fill(&mut *reader, &mut fixed)?;
    let header = Header::parse(&fixed, role, from.size()?)?;
    let mut values = [0; 2 * 48];
    fill(&mut *reader, &mut values[..2 * header.version.value_len()])?;
    let mut out = Vec::new();
    let first = header.version.header_len();
    slots(&mut *reader, &header, |number, piece| {
        for (n, slot) in piece.chunks_exact(header.slot).enumerate() {
            let at = first + (number + n) * header.slot + SLOT_HEAD;
            out.extend(record(slot, at as u64).map(|record| entry(&record, at as u64)));
        }
    })?;
    Ok(out)
}

fn record(slot: &[u8], at: u64) -> Option<Record<'_>> {
    let word = |at: usize| slot.get(at..)?.first_chunk().map(|w| u32::from_be_bytes(*w));
    if word(0)? != ERASED {
        return None;
    }
    Record::parse(slot.get(SLOT_HEAD..)?.get(..word(8)? as usize)?, at).ok()
}

fn entry(record: &Record<'_>, at: u64) -> Entry {
    let label = Label::from(record.label);
    let object = Der::new(record.object.to_vec());
    let key = || lone_key(label.clone(), record.object, record.key, at);
    let item = match record.content {
        Content::Certificate => Item::Cert(object),
        Content::Request => Item::Request { key: Some(key()), csr: object },
        Content::KeyPair => Item::Key { key: key(), chain: vec![object.into()] },
    };
    Entry { authenticated: Some(false), ..Entry::new(item).with_label(label) }
}
