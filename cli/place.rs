//! How stores are named on the command line: `PATH`, `FORMAT:PATH`, `-`, `SRC#LABEL`.

use crate::error::{Failure, Result};
use crate::ui::Ui;
use formats::error::Printable;
use formats::place::{Identity, Source, path_text};
use formats::{Error, FORMATS, Format, by_name, by_suffix, names};
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// More than this on standard input is no keystore.
const LIMIT: u64 = 2 << 30;

/// A store as the command line names it.
#[derive(Clone, Debug)]
pub struct StoreArg {
    /// As written.
    pub text: OsString,
    /// The format, where a prefix names one.
    pub format: Option<&'static dyn Format>,
    /// The path, `-` for standard input or output.
    pub path: PathBuf,
}

impl StoreArg {
    /// Splits a format's name off. A prefix that is no format's name belongs to the path.
    pub fn parse(text: &OsStr) -> StoreArg {
        let whole = || StoreArg { text: text.to_owned(), format: None, path: text.into() };
        let bytes = text.as_bytes();
        let Some(colon) = bytes.iter().position(|b| *b == b':') else { return whole() };
        let (prefix, rest) = (&bytes[..colon], OsStr::from_bytes(&bytes[colon + 1..]));
        match std::str::from_utf8(prefix).ok().and_then(by_name) {
            Some(format) => StoreArg { text: text.to_owned(), format: Some(format), path: rest.into() },
            None => whole(),
        }
    }

    /// The same for a store that is there, with the extension that its own programs would put to the name (IBM MQ
    /// takes `client` for `client.kdb`) where nothing has the name as it is; that is said.
    pub fn parse_existing(ui: &Ui, text: &OsStr) -> StoreArg {
        let mut store = StoreArg::parse(text);
        if let Some(whole) = store.with_implied_suffix() {
            ui.note(&format!("{} is taken for {}", Printable(&store.name()), Printable(&path_text(&whole))));
            store.path = whole;
        }
        store
    }

    fn with_implied_suffix(&self) -> Option<PathBuf> {
        if self.is_stdio() || self.path.file_name().is_none() || self.path.symlink_metadata().is_ok() {
            return None;
        }
        let formats = FORMATS.iter().filter(|f| self.format.is_none_or(|own| own.name() == f.name()));
        let names = formats.filter_map(|f| f.implied_suffix()).map(|suffix| {
            let mut name = self.path.clone().into_os_string();
            name.push(".");
            name.push(suffix);
            PathBuf::from(name)
        });
        names.into_iter().find(|name| name.is_file())
    }

    /// Splits `#LABEL` off, at the first `#` whose left side exists.
    pub fn parse_with_label(ui: &Ui, text: &OsStr) -> (StoreArg, Option<String>) {
        let bytes = text.as_bytes();
        let marks = bytes.iter().enumerate().filter(|(_, b)| **b == b'#').map(|(at, _)| at);
        for at in marks {
            let left = StoreArg::parse(OsStr::from_bytes(&bytes[..at]));
            if left.is_stdio() || left.path.exists() || left.with_implied_suffix().is_some() {
                let left = StoreArg::parse_existing(ui, &left.text);
                let label = String::from_utf8_lossy(&bytes[at + 1..]).into_owned();
                return (left, (!label.is_empty()).then_some(label));
            }
        }
        (StoreArg::parse_existing(ui, text), None)
    }

    /// It is `-`.
    pub fn is_stdio(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// The path for messages, JSON and `--password STORE=…`.
    pub fn name(&self) -> String {
        path_text(&self.path).into_owned()
    }

    /// The texts by which `--password STORE=SPEC` may mean this store.
    pub fn aliases(&self) -> [String; 2] {
        [self.text.to_string_lossy().into_owned(), self.name()]
    }

    /// Opens it; standard input is read to its end.
    pub fn open(&self) -> Result<Source> {
        if self.is_stdio() {
            return Ok(Source::memory("-", standard_input()?));
        }
        Source::open(&self.path).map_err(|e| self.explain(e).into())
    }

    /// Adds a hint where the missing file looks like a format that this program doesn't have.
    fn explain(&self, e: Error) -> Error {
        match self.path.to_str().and_then(|p| p.split_once(':')) {
            Some((word, _)) if !self.path.exists() && word.chars().all(|c| c.is_ascii_alphanumeric()) => {
                e.hint(format!("\"{word}\" is not one of the formats: {}", names()))
            }
            _ => e,
        }
    }
}

fn standard_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes);
    let failed = |m: &'static str| Error::new(formats::Kind::Read, m).in_file(Path::new("-"));
    match read {
        Err(e) => Err(failed("standard input can't be read").caused_by(e).into()),
        Ok(n) if n as u64 > LIMIT => Err(Error::too_large("more than 2 GiB on standard input").into()),
        Ok(_) => Ok(bytes),
    }
}

/// A path that was derived from one that the caller named, without the `./` that this may have added;
/// safe to print.
pub fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    formats::error::Printable(&path_text(path)).to_string()
}

/// A destination: where, and in which format.
#[derive(Debug)]
pub struct Destination {
    /// Where.
    pub store: StoreArg,
    /// In which format.
    pub format: &'static dyn Format,
}

impl Destination {
    /// The format is the prefix, else `--to`, else what the file's extension stands for.
    pub fn resolve(text: &OsStr, to: Option<&'static dyn Format>) -> Result<Destination> {
        let store = StoreArg::parse(text);
        let format = match (store.format, to) {
            (Some(prefix), Some(to)) if prefix.name() != to.name() => {
                return Err(Failure::usage(format!(
                    "{} says {}, --to says {}",
                    store.text.to_string_lossy(),
                    prefix.name(),
                    to.name()
                )));
            }
            (Some(prefix), _) => prefix,
            (None, Some(to)) => to,
            (None, None) => by_suffix(&store.path).ok_or_else(|| unknown(&store))?,
        };
        Ok(Destination { store, format })
    }

    /// Whether it is the very file that was read.
    pub fn is_file(&self, read: Option<Identity>) -> bool {
        let here = std::fs::metadata(&self.store.path).ok().map(|m| Identity::of(&m));
        matches!((read, here), (Some(a), Some(b)) if !self.store.is_stdio()
            && (a.device, a.inode) == (b.device, b.inode))
    }
}

fn unknown(store: &StoreArg) -> Failure {
    Failure::usage_hint(
        format!("which format is {} to have?", store.name()),
        format!("give --to FORMAT or FORMAT:PATH, with one of: {}", names()),
    )
}

/// Writes a store to standard output; never binary data onto a terminal.
pub fn to_standard_output(ui: &Ui, bytes: &[u8]) -> Result {
    if std::io::stdout().is_terminal() && is_binary(bytes) {
        return Err(Error::refused("binary data is not written to a terminal")
            .hint("name a file, or send it through a pipe")
            .into());
    }
    let mut out = ui.out();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

fn is_binary(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err() || bytes.iter().any(|b| *b < b' ' && !b"\t\r\n".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Color;

    fn parse(text: &str) -> (Option<&'static str>, String) {
        let s = StoreArg::parse(OsStr::new(text));
        (s.format.map(|f| f.name()), s.name())
    }

    #[test]
    fn only_known_names_are_prefixes() {
        assert_eq!(parse("jks:a:b"), (Some("jks"), "a:b".into()));
        assert_eq!(parse("pem:-"), (Some("pem"), "-".into()));
        assert_eq!(parse("C:foo"), (None, "C:foo".into()));
        assert_eq!(parse("plain"), (None, "plain".into()));
        assert_eq!(parse(":x"), (None, ":x".into()));
        assert_eq!(parse("./jks:x"), (None, "./jks:x".into()));
    }

    #[test]
    fn labels_split_where_the_left_side_exists() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("a#b.p12");
        std::fs::write(&file, b"x").expect("file");
        let file = file.to_str().expect("text");
        let split = |t: String| {
            let (s, l) = StoreArg::parse_with_label(&Ui::new(Color::Never, true), OsStr::new(&t));
            (s.format.map(|f| f.name()), s.name(), l)
        };
        assert_eq!(split(format!("{file}#c#d")), (None, file.into(), Some("c#d".into())));
        assert_eq!(split(format!("p12:{file}#c")), (Some("p12"), file.into(), Some("c".into())));
        assert_eq!(split(format!("{file}#")), (None, file.into(), None));
        assert_eq!(split(file.into()), (None, file.into(), None));
        assert_eq!(split("none#x".into()), (None, "none#x".into(), None));
    }

    #[test]
    fn destinations_have_one_format() {
        let format = |t: &str, to: Option<&str>| {
            Destination::resolve(OsStr::new(t), to.and_then(by_name)).map(|d| d.format.name())
        };
        assert_eq!(format("a.JKS", None).ok(), Some("jks"));
        assert_eq!(format("a.jks", Some("pem")).ok(), Some("pem"));
        assert_eq!(format("pem:a.jks", None).ok(), Some("pem"));
        assert_eq!(format("pem:a", Some("jks")).map_err(|e| e.status()), Err(2));
        assert_eq!(format("-", None).map_err(|e| e.status()), Err(2));
        assert_eq!(format("a.unknown", None).map_err(|e| e.status()), Err(2));
    }

    #[test]
    fn text_is_not_binary() {
        assert!(!is_binary(b"-----BEGIN\r\n\tx\n"));
        assert!(is_binary(&[0x30, 0x82]) && is_binary(&[0]));
    }
}
