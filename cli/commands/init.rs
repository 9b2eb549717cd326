//! `keyferry init`: a first configuration from what IBM MQ is told already.

use super::Program;
use crate::config::{Config, USUAL};
use crate::error::{Failure, Result};
use crate::files::{PRIVATE, read, write_new};
use formats::error::Printable;
use formats::{Error, Kind, by_suffix};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write a first configuration
///
/// From MQ AMS's keystore.conf or MQ's mqclient.ini: the stores that they name become sets in the configuration. What
/// they say of passwords is not taken over: a kdb is opened by its stash, for other stores the configuration names a file
/// that you make. Nothing is overwritten.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// keystore.conf or mqclient.ini
    #[arg(required = true, value_name = "FILE")]
    from: Vec<PathBuf>,

    /// Where the bundle comes from
    #[arg(long, value_name = "SOURCE")]
    bundle: String,

    /// How it is verified: minisign:KEY, sha256:HEX or none
    #[arg(long, value_name = "HOW")]
    verify: String,

    /// The configuration to write; - prints it
    #[arg(long, short, value_name = "FILE", default_value = USUAL)]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  keyferry init ~/.mqs/keystore.conf --bundle https://trust.example/partners.pem --verify minisign:RWQ… -o -
  keyferry init /var/mqm/mqclient.ini --bundle /srv/ca.pem --verify none";

/// Writes it.
pub fn run(program: &Program, args: &Args) -> Result {
    let mut stores = Vec::new();
    for path in &args.from {
        let bytes =
            read(path, 1 << 20)?.ok_or_else(|| Error::new(Kind::Read, "is not there").in_file(path))?;
        let text = String::from_utf8_lossy(&bytes);
        let found = stores_of(&text, path.parent().unwrap_or(Path::new("/")));
        if found.is_empty() {
            return Err(Error::malformed("names no store")
                .hint(
                    "keystore.conf has lines such as cms.keystore = PATH, mqclient.ini SSLKeyRepository=PATH",
                )
                .in_file(path)
                .into());
        }
        stores.extend(found);
    }
    let source = match args.bundle.contains("://") {
        true => args.bundle.clone(),
        false => std::path::absolute(&args.bundle)?.to_string_lossy().into_owned(),
    };
    let text = configuration(&source, &args.verify, &stores);
    Config::parse(&text)?;
    if args.output.as_os_str() == "-" {
        let mut out = program.ui.out();
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    }
    if let Some(folder) = args.output.parent() {
        std::fs::create_dir_all(folder).map_err(|e| {
            Failure::from(
                Error::io(Kind::Write, format!("can't be made: {}", formats::place::reason(&e)), e)
                    .in_file(folder),
            )
        })?;
    }
    write_new(&args.output, text.as_bytes(), PRIVATE)?;
    let place = args.output.to_string_lossy();
    program.ui.note(&format!("{}: written; keyferry config check shows what it means", Printable(&place)));
    Ok(())
}

/// A store that a file of MQ's names.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// What the file calls it: `cms.keystore`.
    by: String,
    path: PathBuf,
    has_stash: bool,
}

/// The stores in a `keystore.conf` or an `mqclient.ini`: lines `key = value`, keys in any case. A path without an
/// extension gets the one that MQ puts to it.
fn stores_of(text: &str, folder: &Path) -> Vec<Found> {
    const KEYS: [(&str, &str); 4] = [
        ("cms.keystore", "kdb"),
        ("jks.keystore", "jks"),
        ("jceks.keystore", "jceks"),
        ("sslkeyrepository", "kdb"),
    ];
    let lines = text.lines().filter_map(|l| l.split_once('='));
    let found = lines.filter_map(|(key, value)| {
        let (key, value) = (key.trim(), value.trim());
        let (_, suffix) = KEYS.iter().find(|(k, _)| k.eq_ignore_ascii_case(key))?;
        let mut path = folder.join(value);
        if by_suffix(&path).is_none() {
            let whole = PathBuf::from(format!("{}.{suffix}", path.display()));
            // Users write names of Java stores with any extension or none.
            path = if *suffix == "kdb" || whole.exists() || !path.exists() { whole } else { path };
        }
        Some(Found { by: key.to_owned(), has_stash: *suffix == "kdb", path })
    });
    found.filter(|f| !f.path.as_os_str().is_empty()).collect()
}

fn configuration(source: &str, verify: &str, stores: &[Found]) -> String {
    // A JSON string is a basic string of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "# keyferry config schema prints what else can stand here.\n\n[[bundle]]\nsource = {}\nverify = {}\n",
        quoted(source),
        quoted(verify)
    );
    for store in stores {
        let path = store.path.to_string_lossy();
        text.push_str(&format!("\n# {}\n[[store]]\npath = {}\n", store.by, quoted(&path)));
        if !store.has_stash {
            let password = format!("file:{path}.pw");
            text.push_str(&format!(
                "# A file of yours with the store's password on its first line, mode 0600.\npassword = {}\n",
                quoted(&password)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_found_under_any_spelling() {
        let text = "# AMS\r\nCMS.Keystore = /home/ann/.mqs/ann\r\ncms.certificate = ann\njks.keystore=/home/ann/ann.jks\n\
                    jks.encrypted = no\nSSL:\n   SSLKeyRepository=keys/client\n";
        let found = stores_of(text, Path::new("/var/mqm"));
        let paths: Vec<_> = found.iter().map(|f| f.path.to_string_lossy().into_owned()).collect();
        assert_eq!(paths, ["/home/ann/.mqs/ann.kdb", "/home/ann/ann.jks", "/var/mqm/keys/client.kdb"]);
        let text = configuration("/srv/\"b\".pem", "none", &found);
        let config = Config::parse(&text.replace("/srv/\\\"b\\\".pem", "/srv/b.pem"));
        assert!(config.is_ok_and(|c| c.store.len() == 3), "{text}");
    }
}
