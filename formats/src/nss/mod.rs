//! NSS databases, the stores of browsers and of C programs that use NSS: one folder, three files.
//!
//! | file | holds | table |
//! |---|---|---|
//! | `cert9.db` | certificates, public keys, trust objects, revocation lists | `nssPublic` |
//! | `key4.db` | private and secret keys; the password entry and integrity records | `nssPrivate`, `metaData` |
//! | `pkcs11.txt` | the list of PKCS #11 modules | |
//!
//! Both databases are SQLite files. An object is a row, an attribute a column: `a` and the attribute's type
//! in hex (`layout`); values are bytes, enciphered where they are secret, and authenticated where they
//! are keys or trust (`protect`). NSS's words: nickname (our label), token (our store).
//!
//! Sources: NSS's source of 3.87 and 3.124; verified with the tools of 3.87 in both directions and with
//! databases of 3.125.

mod chain;
mod copy;
mod create;
mod dbm;
mod decode;
mod edit;
mod encode;
mod keys;
mod layout;
pub mod modules;
mod passwd;
mod protect;
mod sql;
#[cfg(test)]
mod tests;
mod trust;
mod users;

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, InPlace, Labels, Match, Opt, PasswordUse, TrustRange, User};
use crate::model::{Entry, ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};
use std::path::Path;
use zeroize::Zeroizing;

pub use decode::NAME;
pub use trust::{ATTR as WORDS, Words};

/// The words that an entry's trust is in, as far as they are believed.
pub fn words(entry: &Entry) -> Words {
    let kept = entry.attr(NAME, WORDS).and_then(Words::of_attr);
    kept.or_else(|| entry.trust.as_ref().map(Words::of_trust)).unwrap_or(Words::none())
}

/// Takes from an entry what words of its own it has, for its trust changes.
pub fn forget_words(entry: &mut Entry) {
    entry.attrs.retain(|a| !(a.format == NAME && a.id == WORDS));
}

/// NSS databases.
pub struct Nss;

impl Format for Nss {
    fn name(&self) -> &'static str {
        decode::NAME
    }

    fn title(&self) -> &'static str {
        "NSS database folder (Firefox, Chromium, certutil)"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &[]
    }

    fn carries(&self) -> Carries {
        Carries {
            items: &[ItemKind::Key, ItemKind::Cert, ItemKind::Secret, ItemKind::Crl, ItemKind::Other],
            labels: Labels::BySubject,
            many: true,
            trust: TrustRange::PerPurpose,
            password: PasswordUse::KeysByChoice,
            swap: true,
        }
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        // A folder with that file is meant to be one, even where the file is damaged.
        let has = |name: &str| probe.directory && probe.path.join(name).symlink_metadata().is_ok();
        if has(layout::CERT_DB) || has(dbm::CERT_DB) { Match::Yes } else { Match::No }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        let folder = folder(from)?;
        let has = |name: &str| folder.join(name).symlink_metadata().is_ok();
        if has(dbm::CERT_DB) && !has(layout::CERT_DB) {
            return dbm::decode(folder, ctx);
        }
        decode::decode(folder, ctx)
    }

    fn write(
        &self,
        store: &Store,
        _base: Option<&Source>,
        to: &mut Staging,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        create::create(store, to, ctx)
    }

    fn fit_trust(&self, entry: &mut Entry) {
        trust::lower_leaf(entry);
    }

    fn cannot_hold(&self, entry: &Entry) -> Option<String> {
        encode::cannot_hold(entry)
    }

    fn canonical_key(&self, pkcs8: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        keys::Private::of_pkcs8(pkcs8).ok().map(|k| k.pkcs8())
    }

    fn in_place(&self) -> Option<&dyn InPlace> {
        Some(self)
    }

    fn folder_files(&self) -> &'static [&'static str] {
        &[layout::CERT_DB, layout::KEY_DB, layout::MODULES]
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["sql", "dbm"]
    }

    fn options(&self) -> &'static [Opt] {
        &[
            Opt {
                name: encode::ITERATIONS_OPTION,
                values: &[],
                value_name: "COUNT",
                default: "10000",
                help: "rounds of key derivation, from 1 to 5000000; 1 with an empty password",
            },
            Opt {
                name: encode::SALT_OPTION,
                values: &[
                    ("no", "one fresh salt for all trust records of a run, which NSS reads 15 times faster"),
                    ("yes", "a salt for each, as NSS itself writes"),
                ],
                value_name: "CHOICE",
                default: "no",
                help: "whether each integrity record of a new database has a salt of its own",
            },
        ]
    }
}

impl InPlace for Nss {
    fn recover(&self, store: &Path) -> Result<()> {
        // The older form is only read.
        if store.join(layout::CERT_DB).symlink_metadata().is_ok() { edit::recover(store) } else { Ok(()) }
    }

    fn apply(
        &self,
        store: &Path,
        wanted: &Store,
        before: Option<&dyn Fn() -> Result<()>>,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        not_older(store)?;
        edit::apply(store, wanted, before, ctx)
    }

    fn change_password(
        &self,
        store: &Path,
        before: Option<&dyn Fn() -> Result<()>>,
        ctx: &Ctx<'_>,
        to: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        not_older(store)?;
        passwd::change_password(store, before, ctx, to)
    }

    fn copy(&self, store: &Path, to: &Path) -> Result<()> {
        not_older(store)?;
        copy::copy(store, to)
    }

    fn restore(&self, store: &Path, copy: &Path, before: &dyn Fn(&str) -> Result<()>) -> Result<()> {
        not_older(store)?;
        copy::restore(store, copy, before)
    }

    fn is_same(&self, store: &Path, copy: &Path) -> Result<bool> {
        copy::is_same(store, copy)
    }

    fn state(&self, store: &Path) -> Result<String> {
        Ok(copy::State::of(store)?.to_string())
    }

    fn users(&self, store: &Path) -> Vec<User> {
        users::users(store)
    }
}

fn not_older(store: &Path) -> Result<()> {
    if store.join(layout::CERT_DB).symlink_metadata().is_ok() {
        return Ok(());
    }
    Err(Error::unsupported("this older form of NSS's databases is only read")
        .hint("keyferry convert writes a new one: nss:DIR"))
}

fn folder(from: &Source) -> Result<&Path> {
    if from.is_directory() {
        return Ok(from.path());
    }
    Err(Error::malformed("an NSS database is a folder with cert9.db and key4.db"))
}
