//! The list of PKCS #11 modules, `pkcs11.txt`: shown, and added to, byte for byte otherwise.
//!
//! Stanzas of `key=value` lines, an empty line after each, `#` before comments. NSS's own module is the one
//! without a library. Source: NSS's `secmod.db` text form, as certutil and modutil of 3.87 write it.

use super::layout::MODULES;
use crate::error::{Error, Kind, Result};
use crate::place::{Source, Staging};
use crate::storeset::{self, Step};
use std::path::{Path, PathBuf};

/// A longer list is none.
pub(super) const LONGEST: u64 = 16 << 20;

/// A module of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The library that implements it; `None` for NSS's own.
    pub library: Option<String>,
}

/// A module was added, or was there already.
#[derive(Debug)]
pub struct Added {
    /// False: it was there.
    pub changed: bool,
    /// The saved old list, where there was one.
    pub old: Option<PathBuf>,
    /// Programs that have the database open.
    pub warnings: Vec<String>,
}

/// The modules of the database in `folder`, in their order.
pub fn list(folder: &Path) -> Result<Vec<Module>> {
    super::not_older(folder)?;
    let path = folder.join(MODULES);
    // NSS goes without the list.
    if !storeset::is_there(&path)? {
        return Ok(parse(text_for(folder)));
    }
    Ok(parse(&read(&path)?.1))
}

/// Adds a module at the end of the list, by one rename; the old list stays beside it as `pkcs11.txt.old-N`. A
/// library that is named with its folder must be there; it is not run.
///
/// Errors: `Kind::Refused` where the name or the library is taken, or can't be written down.
pub fn add(folder: &Path, name: &str, library: &str, on_step: &dyn Fn(Step) -> Result<()>) -> Result<Added> {
    super::not_older(folder)?;
    for (what, text) in [("name", name), ("library", library)] {
        if text.trim() != text || text.is_empty() || text.chars().any(char::is_control) {
            return Err(Error::refused(format!("the {what} \"{text}\" can't stand in a list of modules")));
        }
    }
    if library.contains('/') && !Path::new(library).is_file() {
        return Err(Error::refused(format!("the library {library} is not there")));
    }
    let _lock = storeset::Lock::take(folder)?;
    let path = storeset::resolve(&folder.join(MODULES))?;
    storeset::clear_leftovers(&path);
    let (source, text) = match storeset::is_there(&path)? {
        true => read(&path).map(|(source, text)| (Some(source), text))?,
        false => (None, text_for(folder).into_bytes()),
    };
    let module = Module { name: name.to_owned(), library: Some(library.to_owned()) };
    let mut report = Added { changed: false, old: None, warnings: Vec::new() };
    if !is_new(&module, &parse(&text)).map_err(|e| e.in_file(&path))? {
        return Ok(report);
    }
    let mut staging = Staging::beside(&path);
    staging.file()?.put(&with(&text, &module))?;
    let how = storeset::Commit {
        companions: &[],
        store: &path,
        expected: source.as_ref().and_then(Source::identity),
        content: source.as_ref().and_then(|s| s.bytes().ok()).map(|b| &b[..]),
        on_step,
    };
    report.old = storeset::commit(staging, &how)?.old;
    report.changed = true;
    report.warnings = super::users::users(folder).iter().map(|u| u.warning(folder)).collect();
    Ok(report)
}

fn read(path: &Path) -> Result<(Source, Vec<u8>)> {
    let source = Source::open(path)?;
    if source.size()? > LONGEST {
        return Err(Error::too_large("no list of modules is so long").in_file(path));
    }
    let bytes = source.bytes()?.to_vec();
    Ok((source, bytes))
}

/// False: it is in the list already.
fn is_new(module: &Module, all: &[Module]) -> Result<bool> {
    for other in all {
        if other == module {
            return Ok(false);
        }
        let library = || other.library.as_deref().unwrap_or("NSS itself").to_owned();
        if other.name == module.name {
            return Err(Error::refused(format!("a module \"{}\" is there: {}", module.name, library())));
        }
        if other.library == module.library {
            // One library under two names would be started twice.
            return Err(Error::refused(format!("{} is there as \"{}\"", library(), other.name)));
        }
    }
    Ok(true)
}

/// The list with one more module, in modutil's words.
fn with(text: &[u8], module: &Module) -> Vec<u8> {
    let mut out = text.to_vec();
    // The last stanza must have ended.
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    let ended = out.ends_with(b"\n\n") || out.ends_with(b"\n\r\n") || out.is_empty();
    if !ended {
        out.push(b'\n');
    }
    let library = module.library.as_deref().unwrap_or_default();
    out.extend_from_slice(format!("library={library}\nname={}\n\n", module.name).as_bytes());
    out
}

fn parse(text: impl AsRef<[u8]>) -> Vec<Module> {
    let text = String::from_utf8_lossy(text.as_ref());
    let mut out = Vec::new();
    let mut stanza: Option<Module> = None;
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            out.extend(stanza.take());
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if line.starts_with('#') {
            continue;
        }
        let module = stanza.get_or_insert(Module { name: String::new(), library: None });
        match key {
            "library" => module.library = Some(value.to_owned()).filter(|l| !l.is_empty()),
            "name" => value.clone_into(&mut module.name),
            _ => {}
        }
    }
    out
}

/// The list with NSS's own module in it, as certutil 3.87 writes it for a new database in `target`.
pub fn text_for(target: &Path) -> String {
    let text = target.to_string_lossy();
    // NSS goes by the folder it was told, not by this; a name that would need care is left out.
    let plain = text.chars().all(|c| !c.is_control() && !"'\"\\{}()[]<>".contains(c));
    let text = if plain { &text } else { "." };
    format!(
        "library=\nname=NSS Internal PKCS #11 Module\nparameters=configdir='sql:{text}' certPrefix='' \
         keyPrefix='' secmod='secmod.db' flags= updatedir='' updateCertPrefix='' updateKeyPrefix='' \
         updateid='' updateTokenDescription='' \nNSS=Flags=internal,critical trustOrder=75 cipherOrder=100 \
         slotParams=(1={{slotFlags=[ECC,RSA,DSA,DH,RC2,RC4,DES,RANDOM,SHA1,MD5,MD2,SSL,TLS,AES,Camellia,SEED,\
         SHA256,SHA512] askpw=any timeout=30}})\n\n"
    )
}

/// Writes it into a new database's folder.
pub fn create(folder: &Path, target: &Path) -> Result<()> {
    use std::io::Write;
    super::create::file(folder, MODULES)?.write_all(text_for(target).as_bytes()).map_err(|e| {
        let reason = crate::place::reason(&e);
        Error::io(Kind::Write, format!("{MODULES} can't be written: {reason}"), e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, library: Option<&str>) -> Module {
        Module { name: name.to_owned(), library: library.map(str::to_owned) }
    }

    #[test]
    fn stanzas_comments_and_line_ends() {
        assert_eq!(parse(text_for(Path::new("/a"))), [module("NSS Internal PKCS #11 Module", None)]);
        let text =
            "# mine\r\nlibrary=/a.so\r\nname=A = a\r\nNSS=Flags=x\r\n\r\n\r\nname=B\nlibrary=b.so\n#c\nodd";
        assert_eq!(parse(text), [module("A = a", Some("/a.so")), module("B", Some("b.so"))]);
        assert_eq!(parse([0xff, b'\n']), [module("", None)]);
        assert!(parse("").is_empty());
    }

    #[test]
    fn what_is_there_stays_byte_for_byte() {
        let new = module("N", Some("/n.so"));
        for (text, gap) in
            [("", ""), ("name=A", "\n\n"), ("name=A\n", "\n"), ("name=A\n\n", ""), ("name=A\r\n\r\n", "")]
        {
            let made = with(text.as_bytes(), &new);
            assert_eq!(String::from_utf8_lossy(&made), format!("{text}{gap}library=/n.so\nname=N\n\n"));
            assert_eq!(parse(&made).last(), Some(&new));
        }
    }

    #[test]
    fn names_and_libraries_are_taken_once() {
        let all = [module("A", Some("/a.so")), module("own", None)];
        assert!(is_new(&module("B", Some("/b.so")), &all).is_ok_and(|new| new));
        assert!(is_new(&module("A", Some("/a.so")), &all).is_ok_and(|new| !new));
        for (name, library) in [("A", "/b.so"), ("own", "/b.so"), ("B", "/a.so")] {
            assert_eq!(is_new(&module(name, Some(library)), &all).map_err(|e| e.kind()), Err(Kind::Refused));
        }
    }
}
