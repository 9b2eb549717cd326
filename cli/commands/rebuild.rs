//! `keyferry rebuild`: client stores made anew from a public bundle and the key that stays here.

use super::Program;
use super::convert::say_losses;
use super::options::{FormatOptions, How, LossOptions};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::rebuilt::Report;
use crate::secrets::StorePasswords;
use formats::error::Printable;
use formats::jobs::Input;
use formats::jobs::rebuild::{
    Bundle, Gates, KeySource, RETENTION_MS, Rebuild, Rebuilt, StoreReport, Target, rebuild,
};
use formats::model::Loss;
use formats::place::Source;
use formats::{Ctx, Error, Kind, Session};
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

/// Rebuild client stores from a bundle of certificates and the key they hold
///
/// Each STORE is made anew: the private keys it holds now (or those of --key) with their chains, and the
/// certificates of the bundles. All stores are built, read back and checked before the first is moved into
/// place, each by one rename, so that a client that starts at any moment sees one complete store. The old
/// ones stay as NAME.old-N. A store that would not change is not touched; where the bundles and the key are
/// those of the last run it isn't even read, so that its password isn't checked.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The stores to rebuild; the format of a new one is its prefix, else its extension
    #[arg(required = true, value_name = "STORE")]
    stores: Vec<OsString>,

    /// Certificates that the stores are to hold; may be given several times
    #[arg(long, short, required = true, value_name = "BUNDLE")]
    bundle: Vec<OsString>,

    /// Take the private keys from here, not from the current stores
    #[arg(long, value_name = "SRC[#LABEL]")]
    key: Option<OsString>,

    /// Old generations to keep; older ones go when they are over seven days old
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,

    #[command(flatten)]
    how: How,

    /// Run this after a change, with the shell; if it fails, the old stores are put back
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,

    #[command(flatten)]
    loss: LossOptions,

    /// Print a JSON array with one report for each store
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    options: FormatOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry rebuild client.jks client.p12 --bundle partners.pem --password file:client.pw
  keyferry rebuild client.p12 --bundle partners.p7b --dry-run
  keyferry rebuild client.kdb client.p12 --bundle partners.pem --stage
  keyferry rebuild new.jks --bundle ca.pem --key old.p12#alice --exec 'systemctl restart client'";

/// A store that is read, with its passwords.
struct Opened<'a> {
    arg: &'a StoreArg,
    source: Source,
    secrets: StorePasswords<'a>,
}

impl Opened<'_> {
    fn input<'b>(&'b self, args: &'b Args, session: &'b Session) -> Input<'b> {
        let ctx = Ctx { secrets: &self.secrets, options: args.options.values(), session };
        Input { source: &self.source, format: self.arg.format, ctx }
    }
}

/// Rebuilds.
pub fn run(program: &Program, args: &Args) -> Result {
    let stores: Vec<_> = args.stores.iter().map(|s| StoreArg::parse_existing(&program.ui, s)).collect();
    if let Some(bad) = stores.iter().find(|s| s.is_stdio()) {
        return Err(Failure::usage(format!("{}: a store that is rebuilt must be a file", bad.name())));
    }
    let bundles: Vec<_> = args.bundle.iter().map(|s| StoreArg::parse_existing(&program.ui, s)).collect();
    let (key, key_label) = args.key.as_deref().map(|k| StoreArg::parse_with_label(&program.ui, k)).unzip();
    let named: Vec<&StoreArg> = stores.iter().chain(&bundles).chain(&key).collect();
    if named.iter().filter(|s| s.is_stdio()).count() > 1 {
        return Err(Failure::usage("standard input can be one store only"));
    }

    // Everything is opened before the first password is read (see `secrets`).
    let sources = bundles.iter().chain(&key).map(StoreArg::open).collect::<Result<Vec<_>>>()?;
    let session = program.session()?;
    let passwords = program.passwords(&named)?;
    let mut opened: Vec<_> = bundles
        .iter()
        .chain(&key)
        .zip(sources)
        .map(|(arg, source)| Opened { arg, source, secrets: passwords.of(arg) })
        .collect();
    let opened_key = key.as_ref().and_then(|_| opened.pop());
    let secrets: Vec<_> =
        stores.iter().map(|s| if s.path.exists() { passwords.of(s) } else { passwords.of_new(s) }).collect();

    let on_step = crate::failpoint::on_step();
    let allow = args.loss.allowed();
    let after = || args.exec.as_deref().map_or(Ok(()), execute);
    let done = rebuild(&Rebuild {
        targets: stores
            .iter()
            .zip(&secrets)
            .map(|(s, secrets)| Target {
                path: &s.path,
                pointer: None,
                format: s.format,
                ctx: Ctx { secrets, options: args.options.values(), session: &session },
                roles: None,
                allow: allow.clone(),
                keep: args.keep,
                retention_ms: RETENTION_MS,
                heeds_hold: false,
            })
            .collect(),
        bundles: opened.iter().map(|o| Bundle::plain(o.input(args, &session))).collect(),
        gates: Gates::default(),
        key: opened_key
            .as_ref()
            .map(|o| KeySource { input: o.input(args, &session), label: key_label.clone().flatten() }),
        mode: args.how.mode(),
        on_step: &on_step,
        after: &after,
    })?;
    finish(program, args, &done)
}

/// Runs the hook. Its output goes to standard error: standard output is for our own results.
fn execute(command: &str) -> formats::Result<()> {
    let failed = |why: String| Error::new(Kind::Write, format!("--exec failed: {why}"));
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::null());
    if let Ok(stderr) = rustix::io::dup(rustix::stdio::stderr()) {
        shell.stdout(Stdio::from(stderr));
    }
    match shell.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string()).hint("the old stores were put back")),
        Err(e) => Err(failed("the shell can't be started".to_owned()).caused_by(e)),
    }
}

fn finish(program: &Program, args: &Args, done: &Rebuilt) -> Result {
    let allow = args.loss.allowed();
    for warning in &done.warnings {
        program.ui.warn(&Printable(warning).to_string());
    }
    let refused: Vec<Loss> = done
        .stores
        .iter()
        .flat_map(|s| s.losses.iter().filter(|l| !allow.allows(l)).map(|l| of_store(s, l)))
        .collect();
    if !done.written && !refused.is_empty() {
        return Err(Failure::Losses(refused));
    }
    for store in &done.stores {
        say_losses(program, &store.losses.iter().map(|l| of_store(store, l)).collect::<Vec<_>>());
    }
    let mut out = program.ui.out();
    if args.json {
        let reports: Vec<_> = done.stores.iter().map(Report::from).collect();
        serde_json::to_writer_pretty(&mut out, &reports)?;
        writeln!(out)?;
    } else {
        for store in &done.stores {
            Report::for_people(store).print(&program.ui, args.how.mode(), &mut out)?;
        }
    }
    Ok(out.flush()?)
}

/// With several stores a loss names its own.
fn of_store(store: &StoreReport, loss: &Loss) -> Loss {
    Loss { detail: format!("{} ({})", loss.detail, store.path.display()), ..loss.clone() }
}
