//! Client stores made anew from a public bundle and the private key that stays here.

use super::{AllowLoss, Input};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::model::Loss;
use crate::storeset::Step;
use std::path::{Path, PathBuf};

/// One store to rebuild.
pub struct Target<'a> {
    /// Its path.
    pub path: &'a Path,
    /// Its format where the caller names one; else the current store's, else by suffix.
    pub format: Option<&'static dyn Format>,
    /// Its password and options.
    pub ctx: Ctx<'a>,
}

/// Where the private keys come from, if not from the current store.
pub struct KeySource<'a> {
    /// The store that holds them.
    pub input: Input<'a>,
    /// Only this key.
    pub label: Option<String>,
}

/// What to rebuild and how.
pub struct Rebuild<'a> {
    /// The stores.
    pub targets: Vec<Target<'a>>,
    /// The bundles; together they say which certificates the stores hold.
    pub bundles: Vec<Input<'a>>,
    /// Another source of the private keys.
    pub key: Option<KeySource<'a>>,
    /// Old generations to keep.
    pub keep: usize,
    /// Plan only: nothing is written.
    pub dry_run: bool,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Called before each step of each swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
    /// Runs after the swaps when something changed (`--exec`); an error puts the old stores back.
    pub after: &'a dyn Fn() -> Result<()>,
}

/// A certificate in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its label in the store.
    pub label: String,
    /// Its subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of its DER, lower-case hex.
    pub sha256: String,
}

/// What became of one store.
#[derive(Debug, Default)]
pub struct StoreReport {
    /// Its path.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static str,
    /// It was (or with `dry_run` would be) written.
    pub changed: bool,
    /// It did not exist before.
    pub created: bool,
    /// Certificates that came in.
    pub added: Vec<Named>,
    /// Certificates that went.
    pub removed: Vec<Named>,
    /// How many stayed.
    pub kept: usize,
    /// The private keys it holds.
    pub keys: Vec<Named>,
    /// What it doesn't hold as its sources do, notes included.
    pub losses: Vec<Loss>,
    /// The saved old generation.
    pub old: Option<PathBuf>,
    /// Old generations that were deleted.
    pub pruned: Vec<PathBuf>,
}

/// What became of all stores.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// False: refused because of losses that nobody allowed; nothing was written.
    pub written: bool,
    /// One report a store, in the order of the targets.
    pub stores: Vec<StoreReport>,
    /// What readers had to say.
    pub warnings: Vec<String>,
}

/// Rebuilds every target: all are built and read back before the first is moved into place.
pub fn rebuild(_job: &Rebuild<'_>) -> Result<Rebuilt> {
    Err(Error::unsupported("not yet"))
}
