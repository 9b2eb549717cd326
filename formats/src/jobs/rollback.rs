//! A store's newest old generation back in its place: by one rename, or in one transaction where the store is a
//! folder that is changed where it is.

use crate::context::{Ctx, OnePassword, Options, Session};
use crate::error::{Error, Kind, Result};
use crate::format::detect;
use crate::place::Source;
use crate::stash;
use crate::storeset::{self, Generation, Lock, Step};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was done.
#[derive(Debug)]
pub struct RolledBack {
    /// The generation that the store holds now.
    pub to: PathBuf,
    /// Programs that have the store open.
    pub warnings: Vec<String>,
}

/// Goes back, under the store's lock. `store`: links resolved (see [`storeset::resolve`]).
///
/// A generation that is the store alone comes back beside the companions that are there. Where their password
/// is another (other tools change it in place), it is refused.
pub fn rollback(store: &Path, session: &Session, on_step: &dyn Fn(Step) -> Result<()>) -> Result<RolledBack> {
    let go = || -> Result<RolledBack> {
        if !store.is_dir() {
            let _lock = Lock::take(store)?;
            let inspect = |generation: &Generation| inspect(store, generation, session);
            let to = storeset::rollback(&storeset::Rollback { store, inspect: &inspect, on_step })?;
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

fn inspect(store: &Path, generation: &Generation, session: &Session) -> Result<&'static [&'static str]> {
    let source = Source::open(&generation.file)?;
    // Of what can't be recognised nothing is known that would speak against it.
    let Ok(format) = source.probe().and_then(|p| detect(&p)) else { return Ok(&[]) };
    let beside = format.password_file(store).filter(|p| generation.file == generation.path && p.is_file());
    let stash = beside.map(|p| Source::open(&p)).transpose()?;
    let Some(password) = stash.as_ref().and_then(|s| s.bytes().ok()).and_then(|b| stash::read(b).ok()) else {
        return Ok(format.companions());
    };
    let secrets = OnePassword(Arc::new(password));
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session };
    match format.read(&source, &ctx) {
        Err(e) if e.kind() == Kind::Password => Err(Error::refused(
            "the stash beside the store holds another password than this old generation has",
        )
        .hint("move the stash away, roll back, and write one with keyferry stash")
        .in_file(&generation.path)),
        _ => Ok(format.companions()),
    }
}
