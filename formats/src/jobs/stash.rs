//! A store's password into the file beside it that programs take it from.

use super::{Input, load};
use crate::context::OnePassword;
use crate::error::{Error, Kind, Result};
use crate::format::FORMATS;
use crate::model::Password;
use crate::place::Source;
use crate::stash::{self, Form};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The password in a stash, as all there is to try. `None`: there is no stash, or none that can be read.
pub(super) fn stashed(stash: Option<PathBuf>) -> Option<OnePassword> {
    let source = Source::open(&stash.filter(|path| path.is_file())?).ok()?;
    Some(OnePassword(Arc::new(stash::read_from(&source).ok()?)))
}

/// Writes the stash of the store at `path`, whose password must open it. `form`: else that of the stash that
/// is there, else the current one. Returns where it is.
pub fn write_stash(path: &Path, input: &Input<'_>, form: Option<Form>) -> Result<PathBuf> {
    let password = input
        .ctx
        .secrets
        .store()?
        .ok_or_else(|| Error::password("there is no password to stash").in_file(path))?;
    // Opening proves the password; GSKit's own call doesn't, and stashes whatever it is given.
    let loaded = load(input)?;
    let place = loaded
        .format
        .stash_file(path)
        .ok_or_else(|| Error::unsupported(format!("{} has no stash", loaded.format.name())).in_file(path))?;
    let current = if place.is_file() { Some(Source::open(&place)?) } else { None };
    if loaded.format.password_file(path).is_none() {
        is_for_gskit(&password).map_err(|e| e.in_file(path))?;
        if let Some(current) = &current {
            is_no_others(path, current, &password).map_err(|e| e.in_file(&place))?;
        }
    }
    let before = current.as_ref().map(|c| c.bytes().map(|b| stash::form_of(b))).transpose()?;
    let bytes = stash::write(&password, form.or(before).unwrap_or(Form::Two), &input.ctx.session.rng)?;
    replace(&place, &bytes).map_err(|e| e.in_file(&place))?;
    Ok(place)
}

/// GSKit 8.0.60.5 opens no PKCS#12 by a password with other characters, whoever wrote it.
pub(super) fn is_for_gskit(password: &Password) -> Result<()> {
    if password.bytes().is_ascii() {
        return Ok(());
    }
    Err(Error::refused("its password has characters that aren't ASCII, by which GSKit opens no PKCS#12")
        .hint("keyferry passwd gives it another one"))
}

/// A store that always has a stash may stand beside this one, under the same name.
fn is_no_others(path: &Path, current: &Source, password: &Password) -> Result<()> {
    current.bytes()?;
    let holds_it = stash::read_from(current).is_ok_and(|p| p.bytes() == password.bytes());
    let owners = FORMATS.iter().filter(|f| f.password_file(path).is_some()).flat_map(|f| f.suffixes());
    match owners.map(|s| path.with_extension(s)).find(|owner| owner != path && owner.is_file()) {
        Some(owner) if !holds_it => {
            Err(Error::refused(format!("holds the password of {}, which is another one", owner.display()))
                .hint("give both stores one password with keyferry passwd, or this one another name"))
        }
        _ => Ok(()),
    }
}

/// By one rename, with the mode that the file has, else 0600. No old one is kept: it would be one more copy of
/// a password.
fn replace(place: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |what: &'static str| move |e: std::io::Error| Error::io(Kind::Write, what, e);
    let folder = place.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = std::fs::metadata(place).map_or(0o600, |m| m.permissions().mode() & 0o777);
    let mut temp = tempfile::Builder::new()
        .prefix(".stash.")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(failed("can't create a temporary file beside it"))?;
    temp.write_all(bytes).map_err(failed("can't be written"))?;
    temp.as_file().set_permissions(Permissions::from_mode(mode)).map_err(failed("can't get its mode"))?;
    temp.as_file().sync_all().map_err(failed("can't be written"))?;
    temp.persist(place).map_err(|e| failed("can't be replaced")(e.error))?;
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed("its folder can't be written"))
}
