//! `keyferry init`: a first configuration from what IBM MQ is told already.

use super::Program;
use crate::config::{Config, USUAL};
use crate::error::{Failure, Result};
use crate::files::{PRIVATE, write_new};
use formats::error::Printable;
use formats::mq::{Named, SettingsFile};
use formats::{Error, Kind};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write a first configuration
///
/// From MQ AMS's keystore.conf or MQ's mqclient.ini: the stores that they name become sets in the configuration. What
/// they say of passwords is not taken over: a kdb is opened by its stash, for other stores the configuration names a file
/// that you make. Nothing is overwritten.
///
/// Where one of these files names several stores, programs take all of them by it. Then the configuration has `pointer`:
/// an update leaves the stores alone, makes the next ones in folders beside them, and rewrites the file to lead there, so
/// that who starts meanwhile has all old or all new ones. Take those lines out where a program knows the stores by their
/// own paths.
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
        let file = SettingsFile::open(path)?;
        let found = file.stores();
        if found.is_empty() {
            return Err(Error::malformed("names no store")
                .hint(
                    "keystore.conf has lines such as cms.keystore = PATH, mqclient.ini SSLKeyRepository=PATH",
                )
                .in_file(path)
                .into());
        }
        stores.extend(found.into_iter().map(|store| (file.path().to_owned(), store)));
    }
    let stores = distinct(&stores);
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
    if stores.iter().any(|s| s.pointer.is_some()) {
        program.ui.note(
            "with pointer, updates are made in folders beside the stores, and the settings file is led there: \
             programs that know the stores by their own paths stay with the old ones",
        );
    }
    Ok(())
}

/// A store, and the settings that name it.
struct Found<'a> {
    settings: Vec<&'static str>,
    store: &'a Named,
    /// The settings file, where it names several stores and no other file names this one: for that would go on leading
    /// to the generation that is there now.
    pointer: Option<&'a Path>,
}

/// Each store once.
fn distinct(named: &[(PathBuf, Named)]) -> Vec<Found<'_>> {
    let mut all: Vec<Found<'_>> = Vec::new();
    for (_, store) in named {
        match all.iter_mut().find(|f| f.store.path == store.path) {
            Some(found) => found.settings.push(store.setting),
            None => all.push(Found { settings: vec![store.setting], store, pointer: None }),
        }
    }
    for found in &mut all {
        let own = || named.iter().filter(|(_, s)| s.path == found.store.path).map(|(file, _)| file);
        let Some(file) = own().next().filter(|file| own().all(|f| f == *file)) else { continue };
        let others = named.iter().any(|(f, s)| f == file && s.path != found.store.path);
        found.pointer = others.then_some(file);
    }
    all
}

fn configuration(source: &str, verify: &str, stores: &[Found<'_>]) -> String {
    // A JSON string is a basic string of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "# keyferry config schema prints what else can stand here.\n\n[[bundle]]\nsource = {}\nverify = {}\n",
        quoted(source),
        quoted(verify)
    );
    if stores.iter().any(|s| s.pointer.is_some()) {
        text.push_str(
            "\n# With pointer, an update makes the next stores in folders beside these, and leads the settings file there by\n\
             # one rename. Without it each store is replaced where it is.\n",
        );
    }
    for Found { settings, store, pointer } in stores {
        let path = store.path.to_string_lossy();
        text.push_str(&format!("\n# {}\n[[store]]\npath = {}\n", settings.join(", "), quoted(&path)));
        if let Some(pointer) = pointer {
            text.push_str(&format!("pointer = {}\n", quoted(&pointer.to_string_lossy())));
        }
        let stash = store.path.with_extension("sth");
        let is_kdb = store.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("kdb"));
        text.push_str(&match store.format == "kdb" && stash.is_file() {
            _ if is_kdb => String::new(),
            // A PKCS#12 for MQ from 9.3 on.
            true => format!("password = {}\n", quoted(&format!("stash:{}", stash.to_string_lossy()))),
            false => format!(
                "# A file of yours with the store's password on its first line, mode 0600.\npassword = {}\n",
                quoted(&format!("file:{path}.pw"))
            ),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::mq::Settings;

    /// What is made of these files.
    fn made(files: &[(&str, &str)]) -> Config {
        let stores = files.iter().flat_map(|(path, text)| {
            let named = Settings::parse(Path::new(path), (*text).into()).stores(Path::new("/var/mqm"));
            named.into_iter().map(move |n| (PathBuf::from(path), n))
        });
        let stores: Vec<_> = stores.collect();
        let text = configuration("/srv/\"b\".pem", "none", &distinct(&stores));
        Config::parse(&text.replace("/srv/\\\"b\\\".pem", "/srv/b.pem"))
            .unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    #[test]
    fn it_is_a_configuration() {
        let conf = "CMS.Keystore = /home/ann/.mqs/ann\r\njks.keystore=/home/ann/ann.jks\r\n";
        let pointers = |files: &[(&str, &str)]| -> Vec<Option<String>> {
            made(files).store.into_iter().map(|s| s.pointer).collect()
        };
        let own = Some("/x/keystore.conf".to_owned());
        assert_eq!(pointers(&[("/x/keystore.conf", conf)]), [own.clone(), own.clone()]);
        // One store is replaced by one rename; one that two files name would be lost to the other file.
        let ini = "SSL:\n  SSLKeyRepository=/home/ann/.mqs/ann\n";
        assert_eq!(pointers(&[("/x/mqclient.ini", ini)]), [None]);
        assert_eq!(pointers(&[("/x/keystore.conf", conf), ("/x/mqclient.ini", ini)]), [None, own]);
        let twice = "cms.keystore = /a\npkcs11.secondary_keystore = /a\n";
        assert_eq!(pointers(&[("/x/keystore.conf", twice)]), [None]);
    }
}
