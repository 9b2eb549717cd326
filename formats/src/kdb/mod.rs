//! Key databases of IBM's GSKit, which IBM calls CMS: `NAME.kdb` with `NAME.rdb`, `NAME.crl` and `NAME.sth`.
//!
//! Integers are unsigned 32-bit, big-endian. M is 16, 20 or 48 bytes in format 3, 4 or 6 ([`protect`]).
//!
//! | offset | bytes |
//! |---|---|
//! | 0x00 | `37 48`, format (3, 4, 6), minor (2 in a .kdb, 1 in the others) |
//! | 0x04 | the password's expiry, seconds since 1970; 0: never |
//! | 0x08 | `X509KEY`, `X509KYP` (.rdb) or `X509CRL` (.crl), and a zero |
//! | 0x10 | bytes of a slot, number of slots |
//! | 0x18 | salt: 23 bytes without a zero, and a zero |
//! | 0x30 | check value, which proves the password: M bytes |
//! | 0x30+M | integrity value, which covers all else: M bytes |
//! | 0x30+2M | the slots, each with one record ([`record`]), zeros after it |
//!
//! Certificates stand in the clear; each private key is wrapped with the database's password. A key pair's
//! record holds its own certificate only, so chains are made from the other records ([`chain`]); a secret key
//! hides in a certificate ([`carrier`]). IBM's words: personal certificate (our key), signer (a certificate
//! on its own), stash.
//!
//! Sources: files of GSKit 8.0.60.5 and its answers to files written and broken on purpose; see
//! docs/formats/kdb.md.

mod carrier;
mod chain;
mod companion;
mod decode;
mod encode;
mod erased;
mod examine;
mod layout;
mod lock;
mod options;
mod protect;
mod record;
pub mod stash;
#[cfg(test)]
mod tests;

use crate::context::Ctx;
use crate::error::Result;
use crate::fact::Fact;
use crate::format::{Carries, Format, Labels, Match, Opt, PasswordUse, TrustRange};
use crate::model::{Entry, ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};
use layout::{MAGIC, Role};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// IBM's CMS key database.
pub struct Kdb;

impl Format for Kdb {
    fn name(&self) -> &'static str {
        layout::NAME
    }

    fn title(&self) -> &'static str {
        "IBM key database (GSKit, CMS)"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["kdb"]
    }

    fn implied_suffix(&self) -> Option<&'static str> {
        Some("kdb")
    }

    fn carries(&self) -> Carries {
        Carries {
            items: &[ItemKind::Key, ItemKind::Cert, ItemKind::Request, ItemKind::Secret],
            labels: Labels::Unique(|label| Cow::Borrowed(label)),
            many: true,
            trust: TrustRange::OneBit,
            password: PasswordUse::Always,
            swap: true,
        }
    }

    fn options(&self) -> &'static [Opt] {
        options::OPTIONS
    }

    fn marks_default(&self) -> bool {
        true
    }

    fn flat(&self) -> bool {
        true
    }

    fn cannot_hold(&self, entry: &Entry) -> Option<String> {
        encode::refuses(entry).map(str::to_owned)
    }

    fn beside(&self) -> &'static [ItemKind] {
        &[ItemKind::Request]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["sth", "rdb", "crl"]
    }

    fn password_file(&self, store: &Path) -> Option<PathBuf> {
        Some(store.with_extension("sth"))
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        let companion = [Role::Requests, Role::Crls].iter().any(|r| probe.head.get(8..16) == Some(r.tag()));
        if !probe.head.starts_with(&MAGIC) || companion {
            return Match::No;
        }
        // No text has a control character third.
        if probe.head.get(2).is_some_and(|format| *format < b' ') { Match::Yes } else { Match::Maybe }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        decode::decode(from, ctx)
    }

    fn examine(&self, from: &Source, _: &Store, ctx: &Ctx<'_>) -> Vec<Fact> {
        examine::examine(from, ctx)
    }

    fn erased(&self, from: &Source) -> Result<Vec<Entry>> {
        erased::erased(from)
    }

    fn write(
        &self,
        store: &Store,
        base: Option<&Source>,
        to: &mut Staging,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        encode::encode(store, base, to, ctx)
    }
}
