//! `NAME.update.json`: what a store was last made from. Advice for people, for `status`, and for a rebuild
//! that has nothing to do; nothing goes wrong when it is missing, old or forged (a forged one can at most
//! keep a rebuild from doing what the forger, who may write to the folder, could as well undo).

use super::{beside, failed, generations};
use crate::error::{Kind, Result};
use crate::place::temporary_beside;
use crate::query::time;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// More than any record has.
const LIMIT: u64 = 64 * 1024;
/// The version of the record's shape.
const VERSION: u32 = 1;

/// What the last run did to a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this record's shape.
    pub version: u32,
    /// Program and version.
    pub tool: String,
    /// `committed`, or `rolled-back`.
    pub state: String,
    /// For `committed`: the number that this store will get as an old generation. For `rolled-back`: that of
    /// the generation that was put back.
    pub generation: u64,
    /// SHA-256 over all inputs and options, lower-case hex; empty when there were none.
    pub inputs_sha256: String,
    /// SHA-256 of the store, lower-case hex.
    pub store_sha256: String,
    /// When, RFC 3339 in UTC.
    pub time: String,
}

impl Record {
    /// A record of a store that was made now (milliseconds since 1970). [`Record::write`] fills in the
    /// generation.
    pub fn made(inputs_sha256: String, store_sha256: String, now_ms: i64) -> Self {
        Record {
            version: VERSION,
            tool: concat!("keyferry ", env!("CARGO_PKG_VERSION")).to_owned(),
            state: "committed".to_owned(),
            generation: 0,
            inputs_sha256,
            store_sha256,
            time: time::rfc3339(now_ms.div_euclid(1000)),
        }
    }

    /// A record of a rollback to generation `generation`.
    pub(super) fn rolled_back(generation: u64, store_sha256: String, now_ms: i64) -> Self {
        let made = Record::made(String::new(), store_sha256, now_ms);
        Record { state: "rolled-back".to_owned(), generation, ..made }
    }

    /// The record of `store`; `None` when there is none that can be understood.
    pub fn read(store: &Path) -> Option<Record> {
        let path = path_of(store);
        // No link, no pipe: whatever lies there, reading it must not hang or wander off.
        let file = path.symlink_metadata().ok()?.is_file().then(|| std::fs::File::open(&path).ok())??;
        let mut text = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut text).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (text.len() as u64 <= LIMIT && record.version == VERSION).then_some(record)
    }

    /// Writes it beside `store`, by a temporary file and a rename.
    pub fn write(&self, store: &Path) -> Result<()> {
        let path = path_of(store);
        let mut record = self.clone();
        if record.generation == 0 {
            record.generation = generations::highest(store)? + 1;
        }
        let mut text = serde_json::to_vec_pretty(&record)
            .map_err(|e| failed(Kind::Write, "can't be written", &path, e))?;
        text.push(b'\n');
        let mut temp = temporary_beside(&path)?;
        temp.write_all(&text).map_err(|e| failed(Kind::Write, "can't be written", &path, e))?;
        // Not synced: a record that a power cut takes with it is only work done again.
        temp.persist(&path).map_err(|e| failed(Kind::Write, "can't be replaced", &path, e.error))?;
        Ok(())
    }
}

/// Where the record of `store` is.
pub(super) fn path_of(store: &Path) -> PathBuf {
    beside(store, ".update.json")
}
