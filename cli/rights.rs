//! With whose rights a command works that root runs.
//!
//! A user may swap a file or a folder of his for a link at any moment, and whoever writes there with root's rights
//! writes where the user wants. So a command that writes a store in another user's folder becomes that user before it
//! opens anything there, and for good: what is swapped under it leads no further than he could go himself. What root
//! alone can change stays root's affair, as it was. `apply` has workers for the same ([`crate::sets`]).

use crate::commands::Global;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::sets::user::Owner;
use crate::sets::whose::{Whose, whose};
use crate::ui::Ui;
use clap::ArgMatches;
use formats::error::Printable;
use formats::place::path_text;
use formats::{Error, Kind};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a command writes.
pub enum Writes {
    /// No store: what else it writes, it writes by [`as_owner_of`].
    NoStore,
    /// The stores that these arguments name, and the files beside them.
    Stores(&'static [&'static str]),
    /// The first value of the first, unless one of the others is given: then all of them.
    FirstUnless(&'static str, &'static [&'static str]),
    /// All values but the last.
    AllButLast(&'static str),
}

/// What each command writes, by its whole name. One that isn't here is a mistake, which a test finds.
const COMMANDS: &[(&str, Writes)] = &[
    ("convert", Writes::Stores(&["dst"])),
    ("list", Writes::NoStore),
    ("show", Writes::NoStore),
    ("diff", Writes::NoStore),
    ("check", Writes::NoStore),
    ("report", Writes::NoStore),
    ("explain", Writes::NoStore),
    ("find", Writes::NoStore),
    ("dn diff", Writes::NoStore),
    ("rebuild", Writes::Stores(&["stores"])),
    ("status", Writes::NoStore),
    ("rollback", Writes::Stores(&["store"])),
    ("prune", Writes::Stores(&["store"])),
    ("create", Writes::Stores(&["store"])),
    ("add", Writes::Stores(&["store"])),
    ("extract", Writes::Stores(&["file"])),
    ("remove", Writes::FirstUnless("arguments", &["label", "subject", "sha256"])),
    ("rename", Writes::Stores(&["store"])),
    ("trust", Writes::Stores(&["store"])),
    ("default", Writes::Stores(&["store"])),
    ("passwd", Writes::Stores(&["store"])),
    ("random", Writes::NoStore),
    ("stash", Writes::Stores(&["store"])),
    ("unstash", Writes::NoStore),
    ("nss module list", Writes::NoStore),
    ("nss module add", Writes::Stores(&["dir"])),
    // It has workers.
    ("apply", Writes::NoStore),
    ("init", Writes::NoStore),
    ("config check", Writes::NoStore),
    ("config schema", Writes::NoStore),
    ("history", Writes::NoStore),
    ("bundle create", Writes::NoStore),
    ("bundle keygen", Writes::NoStore),
    ("bundle sign", Writes::NoStore),
    ("bundle verify", Writes::NoStore),
    ("bundle diff", Writes::NoStore),
    ("keygen", Writes::Stores(&["store"])),
    ("request create", Writes::Stores(&["store"])),
    ("request list", Writes::NoStore),
    ("request show", Writes::NoStore),
    ("request recreate", Writes::Stores(&["store"])),
    ("request delete", Writes::Stores(&["store"])),
    ("request sign", Writes::NoStore),
    ("request receive", Writes::AllButLast("paths")),
    ("renew", Writes::Stores(&["store"])),
    ("crl create", Writes::NoStore),
    ("crl add", Writes::NoStore),
    ("crl show", Writes::NoStore),
    ("migrate", Writes::Stores(&["stores", "rewrite"])),
    ("split", Writes::Stores(&["keys", "trust"])),
    ("merge", Writes::Stores(&["output"])),
    ("completions", Writes::NoStore),
    ("man", Writes::NoStore),
    ("work-set", Writes::NoStore),
    ("help-page", Writes::NoStore),
];

/// The whole name of a command, and its arguments.
fn named(found: &ArgMatches) -> (String, &ArgMatches) {
    let (mut name, mut at) = (String::new(), found);
    while let Some((part, below)) = at.subcommand() {
        name = if name.is_empty() { part.to_owned() } else { format!("{name} {part}") };
        at = below;
    }
    (name, at)
}

impl Writes {
    fn paths(&self, found: &ArgMatches) -> Vec<PathBuf> {
        let values = |id: &str| -> Vec<OsString> {
            let raw = found.try_get_raw(id).ok().flatten();
            raw.into_iter().flatten().map(OsStr::to_owned).collect()
        };
        let values = match self {
            Writes::NoStore => Vec::new(),
            Writes::Stores(ids) => ids.iter().flat_map(|id| values(id)).collect(),
            Writes::FirstUnless(id, others) => {
                let all = others.iter().any(|o| !values(o).is_empty());
                values(id).into_iter().take(if all { usize::MAX } else { 1 }).collect()
            }
            Writes::AllButLast(id) => {
                let mut all = values(id);
                all.pop();
                all
            }
        };
        let stores = values.into_iter().map(|v| StoreArg::parse(&v));
        stores.filter(|s| !s.is_stdio()).map(|s| s.path).collect()
    }
}

/// The user that this process has become.
pub struct Taken(Option<Owner>);

/// Becomes the user whose stores the command writes, where root runs it and that isn't root.
/// Files of passwords that root alone can change are opened before that.
pub fn take(ui: &Ui, global: &Global, found: &ArgMatches) -> Result<(Taken, Vec<(PathBuf, File)>)> {
    let none = || Ok((Taken(None), Vec::new()));
    if global.as_root || !rustix::process::geteuid().is_root() {
        return none();
    }
    let (name, found) = named(found);
    let paths = COMMANDS.iter().find(|(n, _)| *n == name).map(|(_, w)| w.paths(found)).unwrap_or_default();
    let folders_too = matches!(&*name, "migrate" | "remove");
    let Some((owner, path)) = one_owner(&paths, folders_too)? else { return none() };
    if found.try_contains_id("exec").unwrap_or(false) {
        return Err(Error::refused(
            "belongs to another user, for whom --exec starts no program at root's terminal",
        )
        .hint("run it afterwards; or keyferry apply, which has after = … for that; or --as-root")
        .in_file(&path)
        .into());
    }
    let opened = passwords(global);
    owner.become_for_good().map_err(|e| {
        let reason = formats::place::reason(&e);
        Error::io(Kind::Write, format!("can't become user {}, whose it is: {reason}", owner.uid), e)
            .hint("--as-root goes on with root's rights")
            .in_file(&path)
    })?;
    ui.note(&format!("{}: done with the rights of {}", Printable(&path_text(&path)), called(&owner)));
    Ok((Taken(Some(owner)), opened))
}

/// The password files that are root's own. What can't be opened is told by who needs it.
fn passwords(global: &Global) -> Vec<(PathBuf, File)> {
    let given = global.password.iter().chain(&global.to_password).chain(&global.key_password);
    let files = given.filter_map(|text| crate::secrets::file_of(text));
    let own = files.filter(|path| matches!(whose(path), Ok(Whose::Own)));
    own.filter_map(|path| File::open(&path).ok().map(|file| (path, file))).collect()
}

/// The one other user whose these are, and the first of them.
fn one_owner(paths: &[PathBuf], folders_too: bool) -> formats::Result<Option<(Owner, PathBuf)>> {
    let (mut own, mut other): (bool, Option<(Owner, PathBuf)>) = (false, None);
    for path in paths {
        let here = match whose(path).map_err(|e| unknown(path, &e))? {
            // What is found in it is looked at when it is found.
            Whose::Shared if folders_too && path.is_dir() => None,
            Whose::Shared => return Err(shared(path)),
            Whose::Own => None,
            Whose::Other(owner) => Some(owner),
        };
        own |= here.is_none();
        let Some(here) = here else { continue };
        match &other {
            Some((first, _)) if first.uid != here.uid => return Err(several(path)),
            Some(_) => {}
            None => other = Some((here, path.clone())),
        }
    }
    match other {
        Some((_, path)) if own => Err(several(&path)),
        other => Ok(other),
    }
}

const AS_ROOT: &str = "--as-root works with root's rights all the same";

/// A folder on the way is at fault; the store is what the command is about.
fn unknown(path: &Path, e: &Error) -> Error {
    let known = Error::new(e.kind(), format!("whose it is can't be told: {e}")).in_file(path);
    match e.hint_text() {
        Some(hint) => known.hint(format!("{hint}; {AS_ROOT}")),
        None => known.hint(AS_ROOT),
    }
}

fn shared(path: &Path) -> Error {
    Error::refused("is in a folder of root's that others can write into: they could lead root astray")
        .hint("run this as the store's user, or chmod go-w the folder; --as-root goes on all the same")
        .in_file(path)
}

fn several(path: &Path) -> Error {
    Error::refused("the stores that this would write belong to several users")
        .hint("one command for each of them; or --as-root, where nobody could lead root astray")
        .in_file(path)
}

fn called(owner: &Owner) -> String {
    match &owner.name {
        Some(name) => format!("{} (user {})", Printable(name), owner.uid),
        None => format!("user {}", owner.uid),
    }
}

/// That a store that was found in a folder is no other user's, where root is about to write it.
pub fn mine(global: &Global, path: &Path) -> formats::Result<()> {
    if global.as_root || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    match whose(path)? {
        Whose::Own => Ok(()),
        Whose::Shared => Err(shared(path)),
        Whose::Other(owner) => Err(Error::refused(format!("belongs to {}", called(&owner)))
            .hint("name it, or a folder of that user's, in a command of its own: then it is done with that user's rights")
            .in_file(path)),
    }
}

/// That a folder of root's own files is where nobody else can put links, where root is about to write there.
pub fn keeps_out_others(folder: &Path) -> formats::Result<()> {
    if !rustix::process::geteuid().is_root() || matches!(whose(folder)?, Whose::Own) {
        return Ok(());
    }
    Err(Error::refused("is where other users could put links for root")
        .hint("name a folder that root alone can write")
        .in_file(folder))
}

/// Writes a file that is no store, with the rights of whom the folder of `path` belongs to where root does it.
pub fn as_owner_of<T: Send>(
    path: &Path,
    write: impl FnOnce() -> std::io::Result<T> + Send,
) -> std::io::Result<T> {
    if !rustix::process::geteuid().is_root() {
        return write();
    }
    match whose(path) {
        Ok(Whose::Other(owner)) => owner.lends(write)?,
        // In a folder of root's nobody can make a name lead elsewhere, and a new file takes the name's place.
        Ok(Whose::Own | Whose::Shared) => write(),
        Err(e) => Err(std::io::Error::other(e)),
    }
}

impl Taken {
    /// Says after a failure what it may be due to.
    pub fn explain(&self, ui: &Ui, failure: &Failure) {
        let (Some(owner), Failure::Failed(e)) = (&self.0, failure) else { return };
        let cause = e.source().and_then(|c| c.downcast_ref::<std::io::Error>());
        if cause.is_some_and(|c| c.kind() == std::io::ErrorKind::PermissionDenied) {
            ui.hint(&format!(
                "this was done with the rights of {}; what that user can't read may come by standard input, a \
                 password by fd:N; --as-root keeps root's rights",
                called(owner)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole names of the commands that do something.
    fn all(command: &clap::Command, above: &str, out: &mut Vec<(String, Vec<String>)>) {
        for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
            let name = format!("{above} {}", sub.get_name()).trim().to_owned();
            if !sub.has_subcommands() {
                let ids = sub.get_arguments().map(|a| a.get_id().to_string()).collect();
                out.push((name.clone(), ids));
            }
            all(sub, &name, out);
        }
    }

    #[test]
    fn every_command_says_what_it_writes() {
        let mut commands = Vec::new();
        all(&crate::commands::whole_command(), "", &mut commands);
        for (name, ids) in &commands {
            let writes = COMMANDS.iter().find(|(n, _)| n == name);
            let wanted = match writes.unwrap_or_else(|| panic!("{name} is missing")).1 {
                Writes::NoStore => Vec::new(),
                Writes::Stores(ids) => ids.to_vec(),
                Writes::FirstUnless(id, others) => [&[id][..], others].concat(),
                Writes::AllButLast(id) => vec![id],
            };
            assert!(wanted.iter().all(|w| ids.iter().any(|id| id == w)), "{name}: {wanted:?} {ids:?}");
        }
        assert_eq!(commands.len(), COMMANDS.len());
    }
}
