//! Staged stores moved into place, all or none.

use super::located::{Located, Staged};
use super::{Rebuild, StoreReport};
use crate::error::{Error, Result};
use crate::model::Store;
use crate::storeset::{self, Step};

pub(super) type Built<'a> = (Located<'a>, [u8; 32], Option<Staged>, StoreReport);

/// Moves every staged store into place. When one fails, those before it are put back.
///
/// What comes after the swaps (records, pruning) is not worth an error: the stores are the new ones.
pub(super) fn commit_all(
    job: &Rebuild<'_>,
    built: &mut [Built<'_>],
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut done = Vec::new();
    for (place, digest, staged, report) in built.iter_mut() {
        match staged.take() {
            None | Some(Staged::Refused) => {}
            // Nothing to write, but the next run need not find that out again.
            Some(Staged::Same) => warn(place.record(job, digest), warnings),
            Some(Staged::InPlace(wanted)) => match change(place, &wanted, job.on_step) {
                Ok(changed) => {
                    report.old = changed.as_ref().map(|c| c.old().to_owned());
                    done.extend(changed.map(Done::Changed));
                }
                Err(e) => return Err(take_back(done, e.in_file(place.target.path))),
            },
            Some(Staged::Ready(staging)) => {
                let how = storeset::Commit {
                    store: &place.path,
                    expected: place.identity,
                    content: place.current.as_ref().and_then(|c| c.bytes().ok()).map(|b| &b[..]),
                    companions: place.format.companions(),
                    on_step: job.on_step,
                };
                match storeset::commit(staging, &how) {
                    Ok(committed) => {
                        report.old.clone_from(&committed.old);
                        done.push(Done::Swapped(committed));
                    }
                    Err(e) => return Err(take_back(done, e.in_file(place.target.path))),
                }
            }
        }
    }
    if !done.is_empty()
        && let Err(e) = (job.after)()
    {
        return Err(take_back(done, e));
    }
    for (place, digest, _, report) in built.iter_mut().filter(|(_, _, _, r)| r.changed) {
        warn(place.record(job, digest), warnings);
        let now = place.target.ctx.session.now_ms;
        match storeset::prune(&place.path, place.target.keep, place.target.retention_ms, now, false) {
            Ok(pruned) => report.pruned = pruned,
            Err(e) => warn(Err(e), warnings),
        }
    }
    Ok(())
}

fn warn(outcome: Result<()>, warnings: &mut Vec<String>) {
    warnings.extend(outcome.err().map(|e| e.to_string()));
}

/// Something that can be taken back.
enum Done<'a> {
    Swapped(storeset::Committed),
    /// A store that was changed where it is.
    Changed(storeset::Changed<'a>),
}

impl Done<'_> {
    fn undo(self) -> Result<()> {
        match self {
            Done::Swapped(committed) => committed.undo(),
            Done::Changed(changed) => changed.undo(),
        }
    }
}

/// Changes a store where it is.
fn change<'a>(
    place: &Located<'_>,
    wanted: &Store,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Option<storeset::Changed<'a>>> {
    let Some(in_place) = place.format.in_place() else {
        return Err(Error::unsupported("a store of this format can't be changed in place"));
    };
    storeset::change(&place.path, in_place, on_step, |before| {
        in_place.apply(&place.path, wanted, Some(before), &place.target.ctx).map(drop)
    })
}

/// Takes commits back, the last first. The failure that led to it is reported; what can't be put back is
/// said with it.
fn take_back(done: Vec<Done<'_>>, cause: Error) -> Error {
    let failed = done.into_iter().rev().filter_map(|c| c.undo().err());
    failed.fold(cause, |cause, e| {
        let place = cause.place().path.clone();
        let both = storeset::not_put_back(&cause, &e);
        place.iter().fold(both, |e, path| e.in_file(path))
    })
}
