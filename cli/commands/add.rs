//! `keyferry add`: what files hold, put into a store. And what `create` shares with it.

use super::Program;
use super::change::{ChangeOptions, Target, said};
use super::trust::TrustOptions;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::secrets::Passwords;
use formats::error::Printable;
use formats::jobs::Input;
use formats::jobs::edits::{Added, Adding, Incoming, Template, add, incoming};
use formats::{Ctx, Options, Session};
use std::cell::RefCell;
use std::ffi::OsString;

/// Add certificates and keys to a store
///
/// Each FILE may be in any format and hold any number of certificates, keys, revocation lists or requests; all that
/// the store doesn't hold yet comes in, which the certificates' bytes tell. FILE#LABEL takes one entry. A key and its
/// certificates may come in two files. A key that comes is put under the store's password.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// What to add: files or folders in any format, FORMAT:PATH, FILE#LABEL, or - for standard input
    #[arg(required = true)]
    files: Vec<OsString>,

    #[command(flatten)]
    adding: AddOptions,

    #[command(flatten)]
    change: ChangeOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry add client.kdb ca-bundle.pem
  keyferry add client.kdb partner-*.cer --label '{cn} {serial}'
  keyferry add trust.jks https.pem --label 'web server'
  keyferry add nss:db root.pem --anchor server
  keyferry add client.p12 old.p12#alice --password old.p12=env:OLD --password client.p12=env:PW";

/// How entries come in.
#[derive(clap::Args)]
pub struct AddOptions {
    /// The label that each gets: text with fields {cn}, {o}, {ou}, {email}, {serial}, {sha256}, {label}, {file}
    #[arg(long, short, value_name = "TEMPLATE")]
    label: Option<String>,

    /// Leave private keys, requests and secret keys out
    #[arg(long)]
    certs_only: bool,

    #[command(flatten)]
    trust: TrustOptions,
}

impl AddOptions {
    /// As the job takes it.
    pub fn adding(&self) -> Result<Adding> {
        let template = self.label.as_deref().map(Template::parse).transpose();
        let wrong = |e: formats::Error| {
            Failure::usage_hint(format!("--label: {}", e.message()), e.hint_text().unwrap_or_default())
        };
        Ok(Adding {
            label: template.map_err(wrong)?,
            trust: self.trust.trust()?,
            certs_only: self.certs_only,
        })
    }
}

/// The files that a command line names, each with the entry that is meant.
pub fn parse(program: &Program, files: &[OsString]) -> Vec<(StoreArg, Option<String>)> {
    files.iter().map(|f| StoreArg::parse_with_label(&program.ui, f)).collect()
}

/// Reads them.
pub fn read(
    program: &Program,
    files: &[(StoreArg, Option<String>)],
    passwords: &Passwords<'_>,
    session: &Session,
) -> Result<Vec<Incoming>> {
    // Before a password is read, after which pipes of others can't be opened any more.
    let sources = files.iter().map(|(arg, _)| arg.open()).collect::<Result<Vec<_>>>()?;
    let one = |((arg, label), source): (&(StoreArg, Option<String>), &_)| {
        let secrets = passwords.of(arg);
        let ctx = Ctx { secrets: &secrets, options: &Options::default(), session };
        let found = incoming(&Input { source, format: arg.format, ctx }, label.as_deref())?;
        for warning in &found.warnings {
            program.ui.warn(&format!("{}: {}", Printable(&arg.name()), Printable(warning)));
        }
        Ok(found)
    };
    files.iter().zip(&sources).map(one).collect()
}

/// Says what came and what was there.
pub fn say(program: &Program, added: &Added) {
    for line in &added.came {
        program.ui.note(&format!("  + {}", said(line)));
    }
    for line in &added.there {
        program.ui.note(&format!("  = {}, there already", said(line)));
    }
}

/// Adds.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let files = parse(program, &args.files);
    let how = args.adding.adding()?;
    let others: Vec<&StoreArg> = files.iter().map(|(arg, _)| arg).collect();
    let target = Target::new(program, &args.store, &others, &args.change)?;
    let files = read(program, &files, &target.passwords, &target.session)?;
    let added = RefCell::new(Added::default());
    let secrets = target.secrets();
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &target.session };
    let done = target.edit(&|store, format| {
        let what = add(store, format, &files, &how, &ctx)?;
        let any = !what.came.is_empty();
        added.replace(what);
        Ok(any)
    })?;
    let added = added.into_inner();
    say(program, &added);
    let line = match (added.came.len(), args.change.dry_run) {
        (0, _) => "all of it is there already".to_owned(),
        (n, false) => format!("{n} added"),
        (n, true) => format!("{n} would be added"),
    };
    target.say(&line, &done);
    Ok(())
}
