//! What a format finds remarkable about one of its stores, for `jobs::check` to judge.

use crate::crypto::pbe::Protection;

/// One fact about a container that the common model has no place for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// How contents, or the proof of the store's integrity, are protected. (How a key is, its `Seal` says.)
    Protected {
        /// What: `the contents`, `the MAC`.
        what: &'static str,
        /// How.
        how: Protection,
    },
    /// Java doesn't show this certificate.
    HiddenFromJava(String),
    /// Readers of this format expect the store's password to open the keys too.
    OnePassword,
    /// From this time on (seconds since 1970) programs refuse the store.
    PasswordExpires(i64),
    /// A file that belongs to the store doesn't fit it.
    BadCompanion {
        /// Its suffix, without the dot.
        suffix: &'static str,
        /// Programs refuse the store because of it.
        blocks: bool,
        /// What is wrong.
        why: String,
    },
}
