//! Generations that are kept for later, and taken when they still fit.

use super::commit::{Built, warn};
use super::compare::compare;
use super::located::{Located, Next};
use super::policy;
use super::wanted::Wanted;
use super::{Rebuild, StoreReport};
use crate::error::{Error, Kind, Result};
use crate::jobs::Set;
use crate::jobs::list::{hex, sha256_hex};
use crate::model::{Item, Loss, LossKind, Store};
use crate::place::{Source, Staging};
use crate::storeset::{Lost, Member, Note, Record, Staged, digest};

/// Keeps what was built for every store that is to change: all of it, or nothing.
pub(super) fn keep_all(job: &Rebuild<'_>, built: &mut [Built<'_>], warnings: &mut Vec<String>) -> Result<()> {
    let mut stagings = Vec::with_capacity(built.len());
    let mut set = Vec::new();
    for (place, digest, next, report) in built.iter_mut() {
        let mut staging = match next.take() {
            Some(Next::Ready(staging)) => staging,
            Some(Next::InPlace(wanted)) => changed_copy(place, &wanted)?,
            Some(Next::Same) => {
                warn(place.record(job, digest, report), warnings);
                continue;
            }
            other => {
                *next = other;
                continue;
            }
        };
        set.push(member(place, &mut staging).map_err(|e| e.in_file(place.target.path))?);
        stagings.push(staging);
    }
    let mut stagings = stagings.into_iter();
    let mut failed = None;
    for (place, digest, next, report) in built.iter_mut().filter(|b| b.2.is_none() && b.3.changed) {
        let Some(staging) = stagings.next() else { break };
        let losses = report.losses.iter().map(noted).collect();
        let note = Note::new(place.made_from(job, digest, report, String::new()), set.clone(), losses);
        match Staged::keep(staging, place.home(), note) {
            Ok(staged) => {
                report.staged = Some(staged.path());
                *next = Some(Next::Waiting(Box::new(staged)));
            }
            Err(e) => {
                failed = Some(e);
                break;
            }
        }
    }
    failed.map_or(Ok(()), |e| {
        discard(built);
        Err(e)
    })
}

/// Gives up what was kept. What can't be deleted is replaced another time.
pub(super) fn discard(built: &[Built<'_>]) {
    for staged in built.iter().filter(|b| b.3.staged.is_some()).map(|b| b.0.home()) {
        let _ = Staged::discard(staged);
    }
}

/// A store that is changed where it is, copied and changed there.
fn changed_copy(place: &Located<'_>, wanted: &Store) -> Result<Staging> {
    let in_place = place
        .format
        .in_place()
        .ok_or_else(|| Error::unsupported("a store of this format can't be changed in place"))?;
    let mut staging = Staging::beside(&place.path);
    let copy = staging.folder()?;
    in_place.copy(&place.path, copy)?;
    in_place.apply(copy, wanted, Some(&|| Ok(())), &place.target.ctx)?;
    Ok(staging)
}

fn member(place: &Located<'_>, staging: &mut Staging) -> Result<Member> {
    let source = staging.source()?;
    let unread = |e| Error::io(Kind::Read, "can't be read", e);
    Ok(Member {
        home: std::path::absolute(place.home()).map_err(unread)?,
        path: std::path::absolute(&place.path).map_err(unread)?,
        pointer: match &place.pointed {
            Some(pointed) => Some(std::path::absolute(&pointed.settings).map_err(unread)?),
            None => None,
        },
        format: place.format.name().to_owned(),
        base: place.base()?,
        next: match source.is_directory() {
            true => None,
            false => Some(digest(source.path()).map_err(unread)?),
        },
    })
}

/// The generation that is kept for this store, where it is to take its place now: `Kind::Busy` where anything has
/// changed that it was made from, and where it has changed itself. What stops a store from being replaced is asked
/// again, by today's gates and approvals.
pub(super) fn take(
    job: &Rebuild<'_>,
    wanted: &Wanted,
    place: &Located<'_>,
    digest: &[u8; 32],
    report: &mut StoreReport,
) -> Result<Next> {
    let anew = "keyferry apply --stage (or rebuild --stage) builds it anew";
    let busy = |why: String| Err(Error::new(Kind::Busy, why).hint(anew));
    let Some(staged) = Staged::read(place.home())? else {
        return Err(Error::refused("nothing is staged for it").hint(anew));
    };
    if let Some(why) = outdated(job, &staged, digest) {
        return busy(format!("{why} since it was staged; nothing was switched"));
    }
    if staged.member().is_none_or(|m| m.format != place.format.name())
        || staged.member().and_then(|m| m.base.clone()) != place.base()?
    {
        return busy("the store was changed since the next one was staged; nothing was switched".to_owned());
    }
    staged.check().map_err(|e| e.hint(anew))?;
    let named = |m: &Member| {
        job.targets.iter().any(|t| {
            let path = crate::storeset::resolve(t.path)
                .and_then(|p| std::path::absolute(p).map_err(|e| Error::io(Kind::Read, "can't be found", e)));
            path.is_ok_and(|p| p == m.home)
        })
    };
    if let Some(other) = staged.note.set.iter().find(|m| !named(m)) {
        let why = format!("it was staged together with {}, which is not named", other.path.display());
        return Err(Error::refused(why).hint(anew));
    }
    let (current, next) = both(place, &staged)?;
    if let Some(sha256) = distrusted_since(&staged, &next) {
        return busy(format!(
            "the certificate {sha256} was distrusted since it was staged; nothing was switched"
        ));
    }
    report.created = place.current.is_none();
    compare(&current, &next, report);
    report.notes = wanted.ahead(&current);
    report.stops = wanted.distrusted_keys(&current).collect();
    report.stops.extend(policy::stops(job, wanted, &current, report));
    report.losses = staged.note.losses.iter().filter_map(loss).collect();
    report.changed = report.stops.is_empty() && report.losses.iter().all(|l| place.target.allow.allows(l));
    Ok(if report.changed { Next::Waiting(Box::new(staged)) } else { Next::Refused })
}

/// What has come since, if anything.
fn outdated(job: &Rebuild<'_>, staged: &Staged, digest: &[u8; 32]) -> Option<String> {
    let was = &staged.note.record;
    let serial = policy::serial(&job.bundles);
    if let (Some(now), Some(then)) = (serial, was.serial)
        && now != then
    {
        return Some(format!("a bundle with serial {now} has come (it was made from serial {then})"));
    }
    let known: Set<&str> = was.distrust.iter().map(String::as_str).collect();
    if policy::distrust(&job.bundles).any(|d| !known.contains(&*d.sha256)) {
        return Some("certificates were distrusted".to_owned());
    }
    (was.inputs != hex(digest))
        .then(|| "what it was made from (bundles, key, options, this program) has changed".to_owned())
}

/// The store as it is, and as it is to be.
fn both(place: &Located<'_>, staged: &Staged) -> Result<(Store, Store)> {
    let read = |source: &Source| place.format.read(source, &place.target.ctx);
    let current = place.current.as_ref().map(read).transpose()?.unwrap_or_default();
    let next = match staged.member().is_some_and(|m| m.next.is_none()) {
        true => read(&Source::open(&staged.path())?)?,
        false => read(&staged.open()?.source()?)?,
    };
    Ok((current, next))
}

/// A certificate of the staged store that a run since then, with whatever bundle, noted as distrusted beside a store of
/// the set. What was noted before is for the bundle to say again, or not.
fn distrusted_since(staged: &Staged, next: &Store) -> Option<String> {
    let records = staged.note.set.iter().filter_map(|m| Record::read(&m.path));
    let since = records.filter(|r| r.time >= staged.note.record.time);
    let distrust: Set<String> = since.flat_map(|r| r.distrust).collect();
    let all = next.entries.iter().flat_map(|e| match &e.item {
        Item::Key { chain, .. } => chain.iter().map(|l| &l.cert).collect(),
        _ => e.certificate().into_iter().collect::<Vec<_>>(),
    });
    if distrust.is_empty() {
        return None;
    }
    all.map(|c| sha256_hex(c)).find(|h| distrust.contains(h))
}

fn noted(loss: &Loss) -> Lost {
    Lost { kind: loss.kind.name().to_owned(), label: loss.label.clone(), detail: loss.detail.clone() }
}

/// A loss that was noted; of notes that are none, nothing.
fn loss(lost: &Lost) -> Option<Loss> {
    let kind = LossKind::ALL.iter().find(|k| k.name() == lost.kind)?;
    Some(Loss::new(*kind, lost.label.clone().unwrap_or_default(), lost.detail.clone()))
}
