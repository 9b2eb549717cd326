//! A store's newest old generation back: by one rename, or in one transaction where the store is a folder that
//! is changed where it is.

use crate::error::{Error, Result};
use crate::format::detect;
use crate::place::Source;
use crate::storeset::{self, Lock, Step};
use std::path::{Path, PathBuf};

/// Goes back, and returns the generation that the store holds now. `store`: links resolved (see
/// [`storeset::resolve`]).
pub fn rollback(store: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<PathBuf> {
    let go = || {
        if !store.is_dir() {
            let _lock = Lock::take(store)?;
            return storeset::rollback(store, on_step);
        }
        let format = detect(&Source::open(store)?.probe()?)?;
        let in_place = format.in_place().ok_or_else(|| {
            Error::unsupported(format!("a {} store that is a folder has no generations", format.name()))
        })?;
        let _lock = Lock::take(store)?;
        storeset::roll_back(store, in_place, on_step).map_err(|e| e.in_format(format.name()))
    };
    go().map_err(|e| e.in_file(store))
}
