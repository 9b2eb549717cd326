//! `NAME.update.json`: what a store was made from, for `status` and for runs that have nothing to do.
//!
//! Advice only. A missing, old or foreign record costs one full comparison, never a wrong store.

use super::{failed, files, folder, temp_prefix, with_suffix};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

const VERSION: u32 = 1;

/// What the last update of a store was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// The program and its version.
    pub tool: String,
    /// BLAKE3 (hex) over all inputs, as the job defines it.
    pub inputs: String,
    /// What tells the store after the update from any other, as the job defines it.
    pub store_state: String,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// The serial of the bundle, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// Certificates that must not come back: SHA-256, lower-case hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distrust: Vec<String>,
    /// What the owner of the store should know: that the bundle has another key for it, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Somebody went back from what this was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// What a store was taken back from: runs that nobody watches don't go there again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The inputs of that update, as in [`Record::inputs`].
    pub inputs: String,
    /// The serial of its bundle: a higher one ends the hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
}

impl Record {
    /// A record of an update at `now_ms` (milliseconds since 1970).
    pub fn made(inputs: String, store_state: String, now_ms: i64) -> Self {
        Record {
            version: VERSION,
            tool: concat!("keyferry ", env!("CARGO_PKG_VERSION")).to_owned(),
            inputs,
            store_state,
            time: crate::query::time::rfc3339(now_ms.div_euclid(1000)),
            serial: None,
            distrust: Vec::new(),
            notes: Vec::new(),
            hold: None,
        }
    }

    /// Notes that `store` was taken back from what this record speaks of.
    pub fn held(mut self) -> Self {
        self.hold = Some(Hold { inputs: std::mem::take(&mut self.inputs), serial: self.serial });
        self
    }

    /// Takes over from `other`, a record of the store that this one takes the place of, what is not to come again.
    pub fn after(mut self, other: Record) -> Self {
        self.distrust.clone_from(&other.distrust);
        self.hold = other.held().hold;
        self
    }

    /// The record beside `store`; `None` when there is none that can be understood.
    pub fn read(store: &Path) -> Option<Record> {
        let text = files::read_note(&with_suffix(store, ".update.json")).ok()?;
        serde_json::from_slice::<Record>(&text).ok().filter(|r| r.version == VERSION)
    }

    /// Puts the record beside `store`, by one rename.
    pub fn write(&self, store: &Path) -> Result<()> {
        let path = with_suffix(store, ".update.json");
        let write = || -> std::io::Result<()> {
            let text = files::note(self)?;
            // Created 0600. Not synced: it is advice, and what a power cut leaves of it is ignored.
            let mut temp = tempfile::Builder::new()
                .prefix(&temp_prefix(store))
                .suffix(".tmp")
                .tempfile_in(folder(store))?;
            temp.write_all(&text)?;
            temp.persist(&path)?;
            Ok(())
        };
        write().map_err(|e| failed("the record of the update can't be written", e).in_file(&path))
    }
}
