//! A store's newest old generation back in its place: by one rename, or in one transaction where the store is a
//! folder that is changed where it is.

use super::list::sha256_hex;
use super::stash::stashed;
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::format::detect;
use crate::model::Item;
use crate::mq::Settings;
use crate::place::Source;
use crate::storeset::{self, Generation, Lock, Record, Step};
use std::path::{Path, PathBuf};

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
            let led = Led::by(store)?;
            let inspect = |generation: &Generation| {
                no_distrusted(&generation.file, record.as_ref(), ctx)?;
                led.no_distrusted(&generation.file, ctx)?;
                inspect(store, generation, ctx)
            };
            let to = storeset::rollback(&storeset::Rollback { store, inspect: &inspect, on_step })?;
            let mut warnings: Vec<String> = hold(store, record.as_ref()).into_iter().collect();
            warnings.extend(led.hold(ctx.session.now_ms));
            return Ok(RolledBack { to, warnings });
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

/// The stores that a settings file of IBM MQ leads to; of any other file, none. What it led to before stands in its own
/// old generations.
struct Led<'a> {
    settings: &'a Path,
    /// Setting and store.
    now: Vec<(&'static str, PathBuf)>,
}

impl<'a> Led<'a> {
    fn by(settings: &'a Path) -> Result<Self> {
        let named = settings.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let mut led = Led { settings, now: Vec::new() };
        if named.ends_with(".conf") || named.ends_with(".ini") {
            led.now = led.stores(settings)?;
        }
        Ok(led)
    }

    /// The stores that a state of the settings file leads to.
    fn stores(&self, state: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
        let folder = self.settings.parent().unwrap_or(Path::new("/"));
        let all = Settings::read(self.settings, state)?.stores(folder);
        Ok(all.into_iter().map(|n| (n.setting, n.path)).collect())
    }

    /// The stores that will be led to, each with the one that is, where that is another.
    fn changes(&self, state: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let was = |setting: &str| self.now.iter().find(|(s, _)| *s == setting).map(|(_, path)| path.clone());
        let will = if self.now.is_empty() { Vec::new() } else { self.stores(state)? };
        let changed = will.into_iter().filter_map(|(setting, path)| Some((was(setting)?, path)));
        Ok(changed.filter(|(was, will)| was != will).collect())
    }

    fn no_distrusted(&self, state: &Path, ctx: &Ctx<'_>) -> Result<()> {
        for (was, will) in self.changes(state)? {
            // The stash beside it opens it; what has none is opened as the caller says.
            let format = Source::open(&will).and_then(|s| detect(&s.probe()?)).ok();
            let secrets = stashed(format.and_then(|f| f.stash_file(&will)));
            let ctx = match &secrets {
                Some(secrets) => Ctx { secrets, ..*ctx },
                None => *ctx,
            };
            no_distrusted(&will, Record::read(&was).as_ref(), &ctx)?;
        }
        Ok(())
    }

    /// Notes beside each store that is led to now what was gone back from.
    fn hold(&self, now_ms: i64) -> Vec<String> {
        let note = |(now, was): (PathBuf, PathBuf)| {
            let none = || Record::made(String::new(), String::new(), now_ms);
            let record = Record::read(&now).unwrap_or_else(none).after(Record::read(&was)?);
            record.write(&now).err().map(|e| e.to_string())
        };
        let back = |changes: Vec<(PathBuf, PathBuf)>| changes.into_iter().map(|(was, now)| (now, was));
        self.changes(self.settings).map(back).into_iter().flatten().filter_map(note).collect()
    }
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
    let beside = format.password_file(store).filter(|_| generation.file == generation.path);
    let Some(secrets) = stashed(beside) else { return Ok(format.companions()) };
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
