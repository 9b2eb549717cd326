//! One store into another format.

use super::{AllowLoss, Input, Output};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::model::{ItemKind, Loss};
use crate::storeset::Step;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What to convert and how.
pub struct Convert<'a> {
    /// The source.
    pub from: Input<'a>,
    /// The destination.
    pub to: Output<'a>,
    /// Its format.
    pub to_format: &'static dyn Format,
    /// Its password and options.
    pub to_ctx: Ctx<'a>,
    /// Only entries with these labels; empty: all. A label that isn't there is an error.
    pub labels: Vec<String>,
    /// Leave keys, requests and secret keys out on purpose: the leaf of a key becomes a certificate.
    pub certs_only: bool,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Replace a destination that exists.
    pub force: bool,
    /// Called before each step of the swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// What was done, or why not.
#[derive(Debug, Default)]
pub struct Converted {
    /// False: refused, because of losses that nobody allowed; nothing was written.
    pub written: bool,
    /// The source's format.
    pub from_format: &'static str,
    /// Entries in the destination, by kind.
    pub counts: Vec<(ItemKind, usize)>,
    /// What the destination doesn't hold as the source does, notes included.
    pub losses: Vec<Loss>,
    /// What the reader had to say.
    pub warnings: Vec<String>,
    /// The saved old generation, where the destination existed.
    pub old: Option<PathBuf>,
    /// The store, for `Output::Memory`.
    pub bytes: Option<Zeroizing<Vec<u8>>>,
}

/// Converts: reads, prepares, stages, reads back, compares, moves into place.
pub fn convert(_job: &Convert<'_>) -> Result<Converted> {
    Err(Error::unsupported("not yet"))
}
