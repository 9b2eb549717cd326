//! A store's newest old generation back in its place: by one rename, or in one transaction where the store is a
//! folder that is changed where it is.

use super::list::sha256_hex;
use crate::context::{Ctx, OnePassword};
use crate::error::{Error, Kind, Result};
use crate::format::detect;
use crate::model::Item;
use crate::place::Source;
use crate::stash;
use crate::storeset::{self, Generation, Lock, Record, Step};
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
/// is another (other tools change it in place), it is refused. So is one that holds what the last bundle
/// distrusts: to look for that, the generation is read with the passwords of `ctx`.
///
/// The store's record then says that somebody went back, so that runs that nobody watches don't go forward to
/// the same again.
pub fn rollback(store: &Path, ctx: &Ctx<'_>, on_step: &dyn Fn(Step) -> Result<()>) -> Result<RolledBack> {
    let record = Record::read(store);
    let go = || -> Result<RolledBack> {
        if !store.is_dir() {
            let _lock = Lock::take(store)?;
            let inspect = |generation: &Generation| {
                no_distrusted(&generation.file, record.as_ref(), ctx)?;
                inspect(store, generation, ctx)
            };
            let to = storeset::rollback(&storeset::Rollback { store, inspect: &inspect, on_step })?;
            return Ok(RolledBack { to, warnings: hold(store, record.as_ref()).into_iter().collect() });
        }
        let format = detect(&Source::open(store)?.probe()?)?;
        let in_place = format.in_place().ok_or_else(|| {
            Error::unsupported(format!("a {} store that is a folder has no generations", format.name()))
        })?;
        let _lock = Lock::take(store)?;
        let inspect = |generation: &Generation| no_distrusted(&generation.path, record.as_ref(), ctx);
        let to = storeset::roll_back(store, in_place, &inspect, on_step)
            .map_err(|e| e.in_format(format.name()))?;
        let mut warnings: Vec<String> = hold(store, record.as_ref()).into_iter().collect();
        warnings.extend(in_place.users(store).iter().map(|u| u.warning(store)));
        Ok(RolledBack { to, warnings })
    };
    go().map_err(|e| e.in_file(store))
}

/// Notes in the store's record that somebody went back. The store is the old one by now, so what can't be noted is a
/// warning.
fn hold(store: &Path, record: Option<&Record>) -> Option<String> {
    let record = record.filter(|r| r.hold.is_none())?.clone();
    record.held().write(store).err().map(|e| e.to_string())
}

/// That nothing comes back that the bundle of the last update distrusts.
fn no_distrusted(generation: &Path, record: Option<&Record>, ctx: &Ctx<'_>) -> Result<()> {
    let Some(distrust) = record.map(|r| &r.distrust).filter(|d| !d.is_empty()) else { return Ok(()) };
    let source = Source::open(generation)?;
    let loaded = super::load(&super::Input { source: &source, format: None, ctx: *ctx }).map_err(|e| {
        e.hint("the last bundle distrusts certificates, and whether they would come back can't be seen")
    })?;
    let all = loaded.store.entries.iter().flat_map(|e| match &e.item {
        Item::Key { chain, .. } => chain.iter().map(|l| &l.cert).collect(),
        _ => e.certificate().into_iter().collect::<Vec<_>>(),
    });
    match all.map(|c| sha256_hex(c)).find(|h| distrust.contains(h)) {
        Some(back) => {
            Err(Error::refused(format!("a distrusted certificate would come back: SHA-256 {back}"))
                .hint("the bundle of the last update says that it must be nowhere")
                .in_file(generation))
        }
        None => Ok(()),
    }
}

fn inspect(store: &Path, generation: &Generation, ctx: &Ctx<'_>) -> Result<&'static [&'static str]> {
    let source = Source::open(&generation.file)?;
    // Of what can't be recognised nothing is known that would speak against it.
    let Ok(format) = source.probe().and_then(|p| detect(&p)) else { return Ok(&[]) };
    let beside = format.password_file(store).filter(|p| generation.file == generation.path && p.is_file());
    let stash = beside.map(|p| Source::open(&p)).transpose()?;
    let Some(password) = stash.as_ref().and_then(|s| s.bytes().ok()).and_then(|b| stash::read(b).ok()) else {
        return Ok(format.companions());
    };
    let secrets = OnePassword(Arc::new(password));
    let ctx = Ctx { secrets: &secrets, ..*ctx };
    match format.read(&source, &ctx) {
        Err(e) if e.kind() == Kind::Password => Err(Error::refused(
            "the stash beside the store holds another password than this old generation has",
        )
        .hint("move the stash away, roll back, and write one with keyferry stash")
        .in_file(&generation.path)),
        _ => Ok(format.companions()),
    }
}
