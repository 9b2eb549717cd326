//! What stands beside a kdb: pending requests, revocation lists, the stash.
//!
//! GSKit refuses to open a kdb whose `.rdb` has another password, and a pending request holds a private key
//! that is nowhere else. So with an unchanged password what is there stays as it is where it can, and with a
//! new password everything is written anew under it.

use super::decode::Database;
use super::encode::{Planned, Writer, by_label, read_header};
use super::layout::Role;
use super::options::Stash;
use super::stash;
use crate::error::{Kind, Result};
use crate::model::{Loss, LossKind, Password};
use crate::place::{Source, Staging};

/// What is written, and instead of what.
pub struct Change<'a> {
    /// Password, format, expiry.
    pub writer: &'a Writer<'a>,
    /// The requests that the store has.
    pub requests: &'a [Planned<'a>],
    /// The store that is rewritten.
    pub base: Option<&'a Source>,
    /// It has the password that is written with.
    pub same_password: bool,
    /// Which stash is wanted.
    pub stash: Stash,
}

impl Change<'_> {
    /// What stands there now.
    fn current(&self, to: &Staging, suffix: &str) -> Result<Option<Source>> {
        match self.base {
            Some(base) => base.companion(suffix),
            None => to.current(suffix),
        }
    }
}

/// Stages what must change.
pub fn write(change: &Change<'_>, to: &mut Staging, losses: &mut Vec<Loss>) -> Result<()> {
    if !to.takes_companions() {
        return Ok(());
    }
    requests(change, to, losses)?;
    revocation_lists(change, to)?;
    write_stash(change, to, losses)
}

/// A request database that is there already.
struct Pending {
    /// It has the password that is written with.
    fits: bool,
    /// Label and bytes of its requests; `None` where they can't be read.
    requests: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Pending {
    fn read(from: &Source, password: &Password) -> Pending {
        let list = |d: Database| {
            let one = |f: &super::decode::Found| (f.label.bytes().to_vec(), d.object(f).to_vec());
            d.defects.is_empty().then(|| d.found.iter().map(one).collect())
        };
        match Database::read(from, Role::Requests, Some(password)) {
            Ok(database) => Pending { fits: true, requests: list(database) },
            Err(e) if e.kind() == Kind::Password => {
                let unproved = Database::read(from, Role::Requests, None).ok();
                Pending { fits: false, requests: unproved.and_then(list) }
            }
            Err(_) => Pending { fits: false, requests: None },
        }
    }
}

fn requests(change: &Change<'_>, to: &mut Staging, losses: &mut Vec<Loss>) -> Result<()> {
    let wanted = by_label(change.requests);
    let Some(current) = change.current(to, "rdb")? else {
        return if wanted.is_empty() { Ok(()) } else { write_requests(change, to) };
    };
    let pending = Pending::read(&current, change.writer.password);
    let stays = |(label, csr): &(Vec<u8>, Vec<u8>)| wanted.contains_key(&(&label[..], &csr[..]));
    match &pending.requests {
        Some(list) if pending.fits && list.len() == wanted.len() && list.iter().all(stays) => return Ok(()),
        // Taken out on purpose by whoever rewrites the store.
        Some(_) if pending.fits && change.base.is_some() => {}
        Some(list) => losses.extend(list.iter().filter(|r| !stays(r)).map(|(label, _)| {
            let label = String::from_utf8_lossy(label).into_owned();
            Loss::new(
                LossKind::Request,
                label,
                "this pending request in the .rdb beside the store, and its key",
            )
        })),
        None => {
            let detail = "the .rdb beside the store can't be read, and what it holds";
            losses.push(Loss::new(LossKind::Request, "", detail));
        }
    }
    write_requests(change, to)
}

fn write_requests(change: &Change<'_>, to: &mut Staging) -> Result<()> {
    change.writer.write(Role::Requests, change.requests, &mut to.companion("rdb")?)
}

/// Never seen with content, so nothing in it can be wrapped: its slots are kept under the new password.
/// GSKit does not look at one that can't be read, so that one stays.
fn revocation_lists(change: &Change<'_>, to: &mut Staging) -> Result<()> {
    let current = if change.same_password { None } else { change.current(to, "crl")? };
    let Some(current) = current else { return Ok(()) };
    let Ok((header, check)) = read_header(&current, Role::Crls) else { return Ok(()) };
    if super::decode::prove_password(&header, &check, change.writer.password).is_ok() {
        return Ok(());
    }
    let mut slots = current.reader()?;
    super::decode::fill(&mut *slots, &mut vec![0; header.version.header_len()])?;
    change.writer.resign(Role::Crls, &header, &mut *slots, &mut to.companion("crl")?)
}

/// A stash goes with a new password, in the form of the one that is there.
fn write_stash(change: &Change<'_>, to: &mut Staging, losses: &mut Vec<Loss>) -> Result<()> {
    if change.same_password {
        return Ok(());
    }
    let password = change.writer.password;
    let source = change.current(to, "sth")?;
    let current = source.as_ref().map(|c| c.bytes()).transpose()?;
    let fits =
        source.as_ref().is_some_and(|s| stash::read_from(s).is_ok_and(|p| p.bytes() == password.bytes()));
    let form = match change.stash {
        _ if fits => return Ok(()),
        Stash::None => {
            without_stash(current.is_some(), to, losses);
            return Ok(());
        }
        Stash::Form(form) => form,
        // A store that has none gets none by a new password; its programs take it from elsewhere.
        Stash::AsBefore if change.base.is_some() && current.is_none() => return Ok(()),
        Stash::AsBefore => current.map_or(stash::Form::Two, |c| stash::form_of(c)),
    };
    if password.bytes().contains(&0) {
        losses.push(Loss::new(LossKind::Note, "", "no .sth was written: it can't hold a zero byte"));
        without_stash(current.is_some(), to, losses);
        return Ok(());
    }
    let bytes = stash::write(password, form, &change.writer.session.rng)?;
    to.companion("sth")?.put(&bytes)
}

/// A stash of another password keeps every program out that relies on it.
fn without_stash(is_there: bool, to: &mut Staging, losses: &mut Vec<Loss>) {
    if is_there {
        to.leave_out("sth");
        let detail = "the .sth beside it holds another password than the new one, and goes";
        losses.push(Loss::new(LossKind::Note, "", detail));
    }
}
