//! What people want done, one function each: convert, rebuild, list and the rest. Jobs know formats
//! only through the trait, and print nothing.

mod build;
pub mod bundle;
pub mod ca;
pub mod check;
pub mod convert;
pub mod deliver;
pub mod diff;
pub mod edit;
pub mod edits;
pub mod find;
mod flat;
pub mod keygen;
mod labels;
pub mod list;
pub mod merge;
pub mod migrate;
mod nicknames;
pub mod passwd;
mod prepare;
pub mod random;
pub mod rebuild;
pub mod request;
pub mod revocation;
pub mod rollback;
pub mod select;
pub mod split;
pub mod stash;
pub mod tree;
mod verify;

use crate::context::Ctx;
use crate::error::Result;
use crate::format::{Format, Labels, detect};
use crate::model::{Loss, LossKind, Store};
use crate::place::Source;
use std::path::Path;

/// Maps over what files hold: a store has tens of thousands of certificates, and the standard hash of each
/// costs as much as moving it. Randomly keyed, so nobody can prepare collisions.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
/// See [`Map`].
type Set<T> = std::collections::HashSet<T, foldhash::fast::RandomState>;

/// A store to read: where, in which format (if the caller forces one), with which passwords.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Where.
    pub source: &'a Source,
    /// The format that the caller names; `None`: by content.
    pub format: Option<&'static dyn Format>,
    /// Passwords and options for it.
    pub ctx: Ctx<'a>,
}

/// A store that was read.
#[derive(Debug)]
pub struct Loaded {
    /// Its format.
    pub format: &'static dyn Format,
    /// Its content.
    pub store: Store,
}

impl std::fmt::Debug for dyn Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Recognises and reads a store; errors name file and format.
pub fn load(input: &Input<'_>) -> Result<Loaded> {
    let path = input.source.path();
    let format = match input.format {
        Some(format) => format,
        None => detect(&input.source.probe()?).map_err(|e| e.in_file(path))?,
    };
    let store = format.read(input.source, &input.ctx);
    // Before any other error: half a file is malformed, or has a wrong MAC, until it is complete.
    input.source.unchanged()?;
    let store = store.map_err(|e| e.in_format(format.name()).in_file(path))?;
    Ok(Loaded { format, store })
}

/// Whether a key's chain is made of the certificates that stand in the store as entries of their own.
fn makes_chains(format: &dyn Format) -> bool {
    format.flat() || matches!(format.carries().labels, Labels::BySubject)
}

/// Which losses the caller accepts.
#[derive(Clone, Debug, Default)]
pub enum AllowLoss {
    /// None: anything lost refuses the job.
    #[default]
    Nothing,
    /// Those of these kinds.
    Kinds(Vec<LossKind>),
    /// Whatever is lost.
    All,
}

impl AllowLoss {
    /// Whether this loss is accepted; notes always are.
    pub fn allows(&self, loss: &Loss) -> bool {
        loss.kind == LossKind::Note
            || match self {
                AllowLoss::Nothing => false,
                AllowLoss::Kinds(kinds) => kinds.contains(&loss.kind),
                AllowLoss::All => true,
            }
    }
}

/// Where a store goes.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// Into this file, by staging and one rename.
    File(&'a Path),
    /// Into memory, for standard output.
    Memory,
}
