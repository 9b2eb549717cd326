//! A store's newest old generation back: by one rename, or in one transaction where the store is a folder that
//! is changed where it is.

use crate::error::{Error, Result};
use crate::format::detect;
use crate::place::Source;
use crate::storeset::{self, Lock, Step};
use std::path::{Path, PathBuf};

/// What was done.
#[derive(Debug)]
pub struct RolledBack {
    /// The generation that the store holds now.
    pub to: PathBuf,
    /// Programs that have the store open.
    pub warnings: Vec<String>,
}

/// Goes back. `store`: links resolved (see [`storeset::resolve`]).
pub fn rollback(store: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<RolledBack> {
    let go = || -> Result<RolledBack> {
        if !store.is_dir() {
            let _lock = Lock::take(store)?;
            let to = storeset::rollback(store, on_step)?;
            return Ok(RolledBack { to, warnings: Vec::new() });
        }
        let format = detect(&Source::open(store)?.probe()?)?;
        let in_place = format.in_place().ok_or_else(|| {
            Error::unsupported(format!("a {} store that is a folder has no generations", format.name()))
        })?;
        let _lock = Lock::take(store)?;
        let to = storeset::roll_back(store, in_place, on_step).map_err(|e| e.in_format(format.name()))?;
        let warnings = in_place.users(store).iter().map(|u| u.warning(store)).collect();
        Ok(RolledBack { to, warnings })
    };
    go().map_err(|e| e.in_file(store))
}
