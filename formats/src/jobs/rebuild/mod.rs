//! Client stores made anew from a public bundle and the private key that stays here.
//!
//! ```text
//! located    each store as it is now, under its lock
//! inputs     is there anything to do?
//! wanted     certificates of the bundles, by role, and keys → what the store shall hold
//! policy     what may not happen by itself: gates, distrust
//! located    built beside, read back
//! staging    kept for later; taken when it still fits
//! commit     all stores moved into place, or none
//! pruning    what is old enough goes
//! healing    what an interrupted run of these left half done
//! ```

mod commit;
mod compare;
mod healing;
mod inputs;
mod located;
mod pointed;
mod policy;
mod pruning;
mod staging;
mod wanted;

pub use healing::{Waiting, Way, waiting};
pub use pointed::{current, folders};
pub(super) use policy::usual_roles;
pub use policy::{Approval, Bundle, Gates, Stop};
pub use pruning::{Prune, Pruned, prune};

use super::list::sha256_hex;
use super::{AllowLoss, Input, Set};
use crate::asn1::cert_fields;
use crate::bundle::Role;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Format, detect};
use crate::model::{Der, Loss};
use crate::place::Source;
use crate::query::dn;
use crate::storeset::{self, Step};
use commit::{Built, commit_all};
use inputs::Inputs;
use located::{Located, Next};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use wanted::Wanted;

/// How long old generations stay at least when nobody says: seven days.
pub const RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

/// One store to rebuild.
pub struct Target<'a> {
    /// Its path.
    pub path: &'a Path,
    /// The settings file of IBM MQ that leads to it (`keystore.conf`, `mqclient.ini`). Then `path` is where the store was
    /// first; its generations are folders beside that, and the file is rewritten to lead there.
    pub pointer: Option<&'a Path>,
    /// Its format where the caller names one; else the current store's, else by suffix.
    pub format: Option<&'static dyn Format>,
    /// Its password and options.
    pub ctx: Ctx<'a>,
    /// The roles of the certificates that it takes; `None`: all.
    pub roles: Option<&'a [Role]>,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Old generations to keep.
    pub keep: usize,
    /// Old generations younger than this stay, however many there are.
    pub retention_ms: i64,
    /// Leave it as it is while a rollback holds (see [`storeset::Record`]).
    pub heeds_hold: bool,
}

impl Target<'_> {
    /// Whether it is of a format whose stores are folders, changed where they are.
    fn may_be_folder(&self, path: &Path) -> Result<bool> {
        let format = match self.format {
            Some(format) => format,
            None => detect(&Source::open(path)?.probe()?).map_err(|e| e.in_file(path))?,
        };
        Ok(format.in_place().is_some())
    }
}

/// Where the private keys come from, if not from the current store.
pub struct KeySource<'a> {
    /// The store that holds them.
    pub input: Input<'a>,
    /// Only this key.
    pub label: Option<String>,
}

/// How far a rebuild goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The stores are replaced.
    #[default]
    Replace,
    /// Nothing is written.
    Plan,
    /// The next generations are built, checked and kept; the stores stay as they are.
    Stage,
    /// The generations that were kept take their places, if nothing has changed since. `Kind::Busy` where it has.
    Commit,
    /// Only what an interrupted run has left half done is completed or taken back.
    Heal,
}

/// What to rebuild and how.
pub struct Rebuild<'a> {
    /// The stores.
    pub targets: Vec<Target<'a>>,
    /// The bundles; together they say which certificates the stores hold.
    pub bundles: Vec<Bundle<'a>>,
    /// What may not happen by itself.
    pub gates: Gates,
    /// Another source of the private keys.
    pub key: Option<KeySource<'a>>,
    /// How far to go.
    pub mode: Mode,
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
    /// The certificate.
    pub certificate: Der,
}

impl Named {
    /// Its subject, RFC 4514.
    pub fn subject(&self) -> String {
        cert_fields(&self.certificate).map(|f| dn::rfc4514(f.subject)).unwrap_or_default()
    }

    /// SHA-256 of its DER, lower-case hex.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.certificate)
    }
}

/// What became of one store.
#[derive(Debug, Default)]
pub struct StoreReport {
    /// Its path.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static str,
    /// It was written, or with [`Mode::Plan`] and [`Mode::Stage`] would be.
    pub changed: bool,
    /// It did not exist before.
    pub created: bool,
    /// Certificates that came in.
    pub added: Vec<Named>,
    /// Certificates that went.
    pub removed: Vec<Named>,
    /// How many certificates stayed; `None` where the record showed that nothing changed, so that nothing
    /// was counted.
    pub kept: Option<usize>,
    /// The private keys it holds.
    pub keys: Vec<Named>,
    /// Nothing was done: somebody went back from what these inputs make of it.
    pub held: bool,
    /// The generation that was kept for later.
    pub staged: Option<PathBuf>,
    /// What was done first, because an earlier run had been interrupted.
    pub healed: Option<Way>,
    /// What its owner should know.
    pub notes: Vec<String>,
    /// What stands in the way, until somebody approves it.
    pub stops: Vec<Stop>,
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
    /// False: refused, because of losses that nobody allowed or stops that nobody approved; nothing was written.
    pub written: bool,
    /// One report a store, in the order of the targets.
    pub stores: Vec<StoreReport>,
    /// What readers had to say.
    pub warnings: Vec<String>,
}

/// Rebuilds every target: all are built and read back before the first is moved into place. What an interrupted run
/// has left half done is completed or taken back first.
pub fn rebuild(job: &Rebuild<'_>) -> Result<Rebuilt> {
    let mut report = Rebuilt { written: true, ..Rebuilt::default() };
    no_repeats(&job.targets)?;
    let healed = healing::heal_all(job, &mut report.warnings)?;
    if job.mode == Mode::Heal {
        let report_of = |(target, healed): (&Target<'_>, _)| StoreReport {
            path: target.path.to_owned(),
            healed,
            ..StoreReport::default()
        };
        report.stores = job.targets.iter().zip(healed).map(report_of).collect();
        return Ok(report);
    }
    let mut places = Vec::with_capacity(job.targets.len());
    for target in &job.targets {
        places.push(Located::find(target, job.mode == Mode::Plan).map_err(|e| e.in_file(target.path))?);
    }
    let inputs = Inputs::new(job);
    let mut wanted = None;
    let mut built = Vec::with_capacity(places.len());
    for (place, healed) in places.into_iter().zip(healed) {
        let path = place.target.path;
        let digest = inputs.digest(&place)?;
        let mut store = StoreReport {
            path: path.to_owned(),
            format: place.format.name(),
            healed,
            ..StoreReport::default()
        };
        store.held = place.is_held(&digest, inputs.serial());
        if store.held || place.is_current(&digest)? {
            built.push((place, digest, None, store));
            continue;
        }
        let wanted = match &mut wanted {
            Some(w) => w,
            none => none.insert(Wanted::load(job, &mut report.warnings)?),
        };
        let next = match job.mode {
            Mode::Commit => staging::take(job, wanted, &place, &digest, &mut store),
            _ => place.build(job, wanted, &mut store),
        };
        let next = next.map_err(|e| e.in_file(path))?;
        report.written &= next.allowed();
        built.push((place, digest, Some(next), store));
    }
    if report.written {
        carry_out(job, &mut built, &mut report.warnings)?;
    }
    // A plan says it, too.
    if job.mode != Mode::Stage {
        for (place, _, _, store) in built.iter().filter(|(_, _, _, s)| s.changed && !s.created) {
            if let Some(in_place) = place.format.in_place() {
                report.warnings.extend(in_place.users(&place.path).iter().map(|u| u.warning(&store.path)));
            }
        }
    }
    report.stores = built.into_iter().map(|(_, _, _, store)| store).collect();
    Ok(report)
}

/// What is done with what was built.
fn carry_out(job: &Rebuild<'_>, built: &mut [Built<'_>], warnings: &mut Vec<String>) -> Result<()> {
    match job.mode {
        Mode::Plan | Mode::Heal => Ok(()),
        Mode::Stage => staging::keep_all(job, built, warnings),
        Mode::Commit => commit_all(job, built, warnings),
        // Of one store the rename is all there is to be interrupted; and a note can't name what is no text.
        Mode::Replace if renames(built) < 2 || built.iter().any(|b| b.0.path.to_str().is_none()) => {
            commit_all(job, built, warnings)
        }
        Mode::Replace => {
            staging::keep_all(job, built, warnings)?;
            let done = commit_all(job, built, warnings);
            if done.is_err() {
                staging::discard(built);
            }
            built.iter_mut().for_each(|b| b.3.staged = None);
            done
        }
    }
}

/// How many renames there will be: stores that a settings file leads to have one together.
fn renames(built: &[Built<'_>]) -> usize {
    let new = || built.iter().filter(|b| b.2.as_ref().is_some_and(Next::is_new));
    let files: Set<_> = new().filter_map(|b| b.0.pointed.as_ref()).map(|p| &p.settings).collect();
    files.len() + new().filter(|b| b.0.pointed.is_none()).count()
}

/// A store that is named twice would wait for its own lock.
fn no_repeats(targets: &[Target<'_>]) -> Result<()> {
    let mut seen = Set::default();
    for target in targets {
        let path = storeset::resolve(target.path)?;
        // Where its folder can't be found, that is said later.
        let path = match path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }) {
            Some(folder) => {
                folder.canonicalize().unwrap_or_default().join(path.file_name().unwrap_or_default())
            }
            None => path,
        };
        if !seen.insert(path) {
            return Err(Error::refused("is named twice").in_file(target.path));
        }
    }
    Ok(())
}
