//! `keyferry migrate`: clients' stores moved to another format, with what belongs to them.

use super::Program;
use super::convert::{counted, say_losses};
use super::delivery::refused;
use super::options::{FormatOptions, LossOptions};
use super::tree::{Below, TreeOptions};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::secrets::Passwords;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use formats::error::Printable;
use formats::jobs::migrate::{Migrate, Migrated, destination, migrate};
use formats::jobs::tree::Found;
use formats::jobs::{AllowLoss, Input};
use formats::model::Loss;
use formats::mq::{Pointed, SettingsFile};
use formats::place::path_text;
use formats::{Ctx, Error, FORMATS, Format, Kind, PasswordUse, Session, by_name};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Move key databases to PKCS#12 for MQ 9.3 and later, with what belongs to them
///
/// NAME.kdb becomes NAME.p12 beside it, with the same owner, mode, labels and password, so that NAME.sth opens both. It is
/// read back and compared before it gets its name; one that was moved before stays as it is. The key database and all that is beside it stay as they are: AMS's C
/// client reads no PKCS#12. What PKCS#12 can't hold is said: the mark of the default key becomes a setting, pending
/// requests stay with the key database, and a certificate that isn't trusted there is refused, for GSKit trusts every
/// one in a PKCS#12.
///
/// Then it prints what to change in the settings of MQ. --rewrite does that for a file of them: one value changes, all
/// else stays byte for byte.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Stores, or folders with stores in them and below
    #[arg(required = true, value_name = "STORE|DIR")]
    stores: Vec<OsString>,

    /// The new format
    #[arg(long, value_name = "FORMAT", value_parser = target_parser())]
    to: &'static dyn Format,

    /// An mqclient.ini or keystore.conf to rewrite: what leads to a store that is moved leads to the new one; the file
    /// as it was is kept as FILE.old-N
    #[arg(long, value_name = "FILE")]
    rewrite: Vec<PathBuf>,

    /// Show what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Print one JSON array, with an object for each store
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    loss: LossOptions,

    #[command(flatten)]
    tree: TreeOptions,

    #[command(flatten)]
    options: FormatOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry migrate client.kdb --to p12 --dry-run
  keyferry migrate client.kdb --to p12 --rewrite /var/mqm/mqclient.ini
  keyferry migrate /var/mqm/clients --to p12 --json
  keyferry migrate client.p12 --to kdb --password stash:client.sth";

/// Formats of one file that a password protects, as MQ's clients have them.
fn target_parser() -> impl TypedValueParser<Value = &'static dyn Format> {
    let fits = |f: &&&dyn Format| {
        f.folder_files().is_empty()
            && matches!(f.carries().password, PasswordUse::Always | PasswordUse::WithKeys)
    };
    let names = FORMATS.iter().filter(fits).map(|f| PossibleValue::new(f.name()).help(f.title()));
    PossibleValuesParser::new(names).try_map(|name| by_name(&name).ok_or("not a format"))
}

/// Moves them.
pub fn run(program: &Program, args: &Args) -> Result {
    if program.global.to_password.is_some() {
        return Err(Failure::usage_hint(
            "migrate keeps the password, for the stash holds it",
            "keyferry convert writes a store with another one; keyferry passwd changes it later",
        ));
    }
    if args.json {
        program.ui.errors_as_json();
    }
    let run = Run {
        program,
        args,
        allow: args.loss.allowed(),
        session: args.tree.session(program)?,
        rows: Vec::new(),
        failed: false,
    };
    run.through()
}

struct Run<'a> {
    program: &'a Program,
    args: &'a Args,
    allow: AllowLoss,
    session: Session,
    rows: Vec<Value>,
    /// One of several could not be moved; it was named.
    failed: bool,
}

/// A store that is moved or was.
struct Store {
    arg: StoreArg,
    found: bool,
}

impl Run<'_> {
    fn through(mut self) -> Result {
        let ui = &self.program.ui;
        let named: Vec<_> = self.args.stores.iter().map(|s| StoreArg::parse_existing(ui, s)).collect();
        let all: Vec<_> = named.iter().collect();
        let passwords = self.args.tree.passwords(self.program, &all)?;
        let mut stores = Vec::new();
        for arg in &named {
            match arg.path.is_dir() && arg.format.is_none() {
                true => self.find(&arg.path, &passwords, &mut stores)?,
                false => stores.push(Store { arg: arg.clone(), found: false }),
            }
        }
        if stores.is_empty() && !self.failed {
            let what = source_of(self.args.to);
            return Err(Error::new(Kind::Read, format!("there is no {what} here"))
                .in_file(&named[0].path)
                .into());
        }
        self.settings_fit(&stores)?;
        let single = stores.len() == 1 && !self.failed;
        let mut moved = Vec::new();
        for store in &stores {
            match self.one(store, &passwords) {
                Ok(done) => moved.push((store.arg.path.clone(), done)),
                Err(failure) if single => return Err(failure),
                Err(failure) => self.note_failure(&store.arg, &failure),
            }
        }
        let rewritten = self.rewrite(&moved)?;
        self.report(&moved, &rewritten)?;
        if self.failed { Err(Failure::Incomplete) } else { Ok(()) }
    }

    /// The stores in a tree that can be moved.
    fn find(&mut self, root: &Path, passwords: &Passwords<'_>, out: &mut Vec<Store>) -> Result {
        let wanted = source_of(self.args.to);
        let session = &self.session;
        let below = Below { program: self.program, root, passwords, session, all: false };
        let mut failed = false;
        let look = |found: &Found<'_>| Ok(found.format.name() == wanted);
        self.args.tree.walk(&below, &look, &mut |path, seen| {
            match seen {
                Ok(true) => out.push(Store { arg: StoreArg::parse(path.as_os_str()), found: true }),
                Ok(false) => {}
                Err(error) => {
                    self.program.ui.store_error(&path_text(&path), &error);
                    failed = true;
                }
            }
            Ok(())
        })?;
        self.failed |= failed;
        Ok(())
    }

    /// That every file that is to be rewritten leads to one of the stores, and can lead to its successor.
    fn settings_fit(&self, stores: &[Store]) -> Result {
        for path in &self.args.rewrite {
            let mut file = SettingsFile::open(path)?;
            let mut leads = false;
            for store in stores {
                let from = &store.arg.path;
                let to = destination(from, self.args.to);
                // A run before this one may have rewritten it.
                leads |=
                    file.leads_to(&to) || !file.point(from, &to).map_err(|e| e.in_file(path))?.is_empty();
            }
            if !leads {
                return Err(Error::refused("names none of the stores that are moved").in_file(path).into());
            }
        }
        Ok(())
    }

    fn one(&self, store: &Store, passwords: &Passwords<'_>) -> Result<Migrated> {
        let arg = &store.arg;
        if arg.is_stdio() {
            return Err(Failure::usage("a store that is moved must be a file"));
        }
        if store.found {
            crate::rights::mine(&self.program.global, &arg.path)?;
        }
        let source = arg.open()?;
        let format = arg.format.map_or_else(|| formats::detect(&source.probe()?), Ok);
        let format = format.map_err(|e| e.in_file(&arg.path))?;
        let secrets = match store.found {
            true => self.args.tree.secrets_of(passwords, &arg.path, format),
            false => Box::new(passwords.of(arg)),
        };
        let session = if store.found { self.session.part() } else { self.program.session()? };
        let on_step = crate::failpoint::on_step();
        let done = migrate(&Migrate {
            from: Input {
                source: &source,
                format: Some(format),
                ctx: Ctx { secrets: &*secrets, options: self.args.options.values(), session: &session },
            },
            to: self.args.to,
            allow: self.allow.clone(),
            dry_run: self.args.dry_run,
            on_step: &on_step,
        })?;
        for warning in &done.done.warnings {
            self.program.ui.warn(&Printable(warning).to_string());
        }
        if !done.done.written {
            return Err(refused(vec![done.done], &self.allow));
        }
        Ok(done)
    }

    fn note_failure(&mut self, store: &StoreArg, failure: &Failure) {
        match failure {
            Failure::Failed(error) => self.program.ui.store_error(&store.name(), error),
            Failure::Losses(losses) => {
                let what: Vec<_> = losses.iter().map(Loss::to_string).collect();
                let error =
                    Error::refused(format!("this would be lost: {}", what.join("; "))).in_file(&store.path);
                self.program.ui.store_error(&store.name(), &error);
            }
            other => other.report(&self.program.ui),
        }
        self.failed = true;
    }

    /// Rewrites the settings, for the stores that were moved.
    fn rewrite(&self, moved: &[(PathBuf, Migrated)]) -> Result<Vec<(PathBuf, Vec<Pointed>)>> {
        let mut out = Vec::new();
        for path in &self.args.rewrite {
            let mut file = SettingsFile::open(path)?;
            let mut pointed = Vec::new();
            for (from, done) in moved {
                let here = file.point(from, &done.to).map_err(|e| e.in_file(path))?;
                if let Some(label) = label_setting(done)
                    && here.iter().any(|p| p.setting == REPOSITORY)
                    && file.settings.get(LABEL).is_none()
                {
                    file.settings.set(LABEL, OsStr::new(label)).map_err(|e| e.in_file(path))?;
                    let now = OsString::from(label);
                    pointed.push(Pointed { setting: LABEL, before: OsString::new(), now });
                }
                pointed.extend(here);
            }
            if !self.args.dry_run {
                let on_step = crate::failpoint::on_step();
                // The old file stays as it is saved; that it can be taken back is of no use here.
                let _ = file.save(&on_step)?;
            }
            out.push((path.clone(), pointed));
        }
        Ok(out)
    }

    fn report(&mut self, moved: &[(PathBuf, Migrated)], rewritten: &[(PathBuf, Vec<Pointed>)]) -> Result {
        let mut out = self.program.ui.out();
        for (from, done) in moved {
            if self.args.json {
                self.rows.push(row(from, done, rewritten, self.args));
            } else {
                say_losses(self.program, &done.done.losses);
                for line in lines(from, done, self.args) {
                    writeln!(out, "{line}")?;
                }
            }
        }
        if self.args.json {
            serde_json::to_writer_pretty(&mut out, &self.rows)?;
            writeln!(out)?;
        }
        out.flush()?;
        for (path, pointed) in rewritten {
            let would = if self.args.dry_run { "would become " } else { "is " };
            for Pointed { setting, now, .. } in pointed {
                let (path, now) = (path_text(path), now.to_string_lossy());
                self.program.ui.note(&format!(
                    "{}: {setting} {would}{} now",
                    Printable(&path),
                    Printable(&now)
                ));
            }
        }
        Ok(())
    }
}

/// What of a tree is moved to this format.
fn source_of(to: &dyn Format) -> &'static str {
    if to.name() == "kdb" { "p12" } else { "kdb" }
}

const REPOSITORY: &str = "SSL:SSLKeyRepository";
const LABEL: &str = "SSL:CertificateLabel";

/// The label that MQ must be told, for the new store can't mark the key. One that MQ looks for anyway is none.
fn label_setting(done: &Migrated) -> Option<&str> {
    done.default.as_deref().filter(|l| !l.to_lowercase().starts_with("ibmwebspheremq"))
}

/// What MQ's settings must say: where, and the text.
fn settings(done: &Migrated, to: &dyn Format) -> Vec<(&'static str, String)> {
    let whole = std::path::absolute(&done.to).unwrap_or_else(|_| done.to.clone());
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let (path, stem) = (name(&whole), name(&whole.with_extension("")));
    let label = label_setting(done).map(|l| format!("CertificateLabel={l}"));
    // Java has aliases in small letters.
    let ams = |stanza: &str| {
        let label = done.label.as_ref().map(|l| ("keystore.conf", format!("{stanza}.certificate = {l}")));
        std::iter::once(("keystore.conf", format!("{stanza}.keystore = {stem}"))).chain(label)
    };
    match to.name() {
        "kdb" => vec![
            ("environment", format!("MQSSLKEYR={stem}")),
            ("mqclient.ini SSL:", format!("SSLKeyRepository={stem}")),
            ("queue manager", format!("ALTER QMGR SSLKEYR('{stem}')")),
        ]
        .into_iter()
        .chain(ams("cms"))
        .collect(),
        "p12" => vec![
            ("environment", format!("MQSSLKEYR={path}")),
            ("mqclient.ini SSL:", format!("SSLKeyRepository={path}")),
            ("queue manager", format!("ALTER QMGR SSLKEYR('{path}')")),
        ]
        .into_iter()
        .chain(label.map(|l| ("mqclient.ini SSL:", l)))
        .collect(),
        java => {
            let kind = java.to_uppercase();
            let option = format!("-Djavax.net.ssl.keyStore={path} -Djavax.net.ssl.keyStoreType={kind}");
            std::iter::once(("Java", option)).chain(ams(java)).collect()
        }
    }
}

/// Whether GSKit reads it, which takes the password from a stash.
fn by_gskit(format: &dyn Format) -> bool {
    format.stash_file(Path::new("store")).is_some()
}

fn lines(from: &Path, done: &Migrated, args: &Args) -> Vec<String> {
    let text = |path: &Path| Printable(&path_text(path)).to_string();
    let verb = match (done.already, args.dry_run) {
        (true, _) => "was moved before",
        (_, true) => "would be moved",
        _ => "moved",
    };
    let mut out =
        vec![format!("{}: {verb} to {}: {}", text(from), text(&done.to), counted(&done.done.counts))];
    match &done.stash {
        Some(stash) if by_gskit(args.to) => out.push(format!("  {} opens both", text(stash))),
        Some(stash) => out.push(format!("  its password is the one in {}", text(stash))),
        None if !by_gskit(args.to) => {}
        None => out.push(format!(
            "  there is no stash; MQ needs one (keyferry stash {}), or SSLKeyRepositoryPassword or MQKEYRPWD",
            text(from)
        )),
    }
    for label in &done.requests {
        out.push(format!("  the request \"{}\" stays pending in {}", Printable(label), text(from)));
    }
    out.push(match args.to.name() {
        "p12" => {
            "  MQ from 9.3 on takes it, by its whole name (without an extension it takes .kdb):".to_owned()
        }
        _ => "  settings that lead to it:".to_owned(),
    });
    for (place, setting) in settings(done, args.to) {
        out.push(format!("    {place:18} {}", Printable(&setting)));
    }
    if args.to.name() == "p12" {
        out.push(format!(
            "  keep {}: AMS's C client (cms.keystore in keystore.conf) and MQ up to 9.2 read no PKCS#12",
            text(from)
        ));
    }
    out
}

fn row(from: &Path, done: &Migrated, rewritten: &[(PathBuf, Vec<Pointed>)], args: &Args) -> Value {
    let losses = done.done.losses.iter().map(|l| match &l.label {
        Some(label) => json!({ "kind": l.kind.name(), "label": label, "detail": l.detail }),
        None => json!({ "kind": l.kind.name(), "detail": l.detail }),
    });
    let counts = done.done.counts.iter().map(|(kind, n)| (kind.name().to_owned(), json!(n)));
    let settings = settings(done, args.to).into_iter().map(|(at, s)| json!({ "place": at, "setting": s }));
    let mut row = json!({
        "store": path_text(from),
        "to": path_text(&done.to),
        "format": args.to.name(),
        "written": !args.dry_run && !done.already,
        "already": done.already,
        "counts": counts.collect::<serde_json::Map<_, _>>(),
        "requests": done.requests,
        "losses": losses.collect::<Vec<_>>(),
        "settings": settings.collect::<Vec<_>>(),
        "rewritten": rewritten.iter().map(|(p, _)| path_text(p)).collect::<Vec<_>>(),
    });
    if let Some(stash) = &done.stash {
        row["stash"] = json!(path_text(stash));
    }
    if let Some(default) = &done.default {
        row["default"] = json!(default);
    }
    row
}
