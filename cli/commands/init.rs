//! `keyferry init`: a first configuration from what IBM MQ is told already.

use super::Program;
use crate::config::{Config, USUAL};
use crate::error::{Failure, Result};
use crate::files::{PRIVATE, write_new};
use formats::error::Printable;
use formats::mq::{Named, SettingsFile};
use formats::{Error, Kind};
use std::io::Write;
use std::path::PathBuf;

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
        let found = SettingsFile::open(path)?.stores();
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

fn configuration(source: &str, verify: &str, stores: &[Named]) -> String {
    // A JSON string is a basic string of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "# keyferry config schema prints what else can stand here.\n\n[[bundle]]\nsource = {}\nverify = {}\n",
        quoted(source),
        quoted(verify)
    );
    for store in stores {
        let path = store.path.to_string_lossy();
        text.push_str(&format!("\n# {}\n[[store]]\npath = {}\n", store.setting, quoted(&path)));
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
    use std::path::Path;

    #[test]
    fn it_is_a_configuration() {
        let text = "CMS.Keystore = /home/ann/.mqs/ann\r\njks.keystore=/home/ann/ann.jks\r\n";
        let settings = Settings::parse(Path::new("keystore.conf"), text.into());
        let text = configuration("/srv/\"b\".pem", "none", &settings.stores(Path::new("/var/mqm")));
        let config = Config::parse(&text.replace("/srv/\\\"b\\\".pem", "/srv/b.pem"));
        assert!(config.is_ok_and(|c| c.store.len() == 2), "{text}");
    }
}
