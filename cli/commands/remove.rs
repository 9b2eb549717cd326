//! `keyferry remove`: entries out of stores.

use super::Program;
use super::change::{ChangeOptions, said, weigh};
use super::tree::{Below, TreeOptions, is_tree};
use crate::error::{Failure, Result};
use crate::place::{StoreArg, shown};
use crate::secrets::Passwords;
use crate::ui::confirm;
use formats::error::Printable;
use formats::jobs::edit::{Edit, edit};
use formats::jobs::edits::{Line, Taking, Which, plan, remove};
use formats::jobs::{Input, load};
use formats::place::path_text;
use formats::query::dn::Pattern;
use formats::{Ctx, Error, Format, Kind, Options, Secrets, Session};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// Remove entries from stores
///
/// STORE LABEL takes one entry. With --subject, --sha256 or --label every argument is a store, or with -r a folder
/// of stores. What would go is shown first, and asked about unless --yes. A signer of a key that stays and the last
/// private key of a store go only if that is said.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store and the entry's label (or sha256:HEX); with one of the options below, stores
    #[arg(required = true, value_name = "STORE [LABEL]|STORE|DIR")]
    arguments: Vec<OsString>,

    /// Entries with this label; may be given several times
    #[arg(long, short, value_name = "L")]
    label: Vec<String>,

    /// Certificates whose whole subject is this, attribute for attribute; may be given several times
    #[arg(long, value_name = "DN")]
    subject: Vec<String>,

    /// The object with this fingerprint; may be given several times
    #[arg(long, value_name = "HEX")]
    sha256: Vec<String>,

    /// Look for stores in folders and all that is below them
    #[arg(long, short)]
    recursive: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Take signers of keys that stay too
    #[arg(long)]
    break_chains: bool,

    /// Take the last private key of a store too
    #[arg(long)]
    last_key: bool,

    #[command(flatten)]
    change: ChangeOptions,

    #[command(flatten)]
    tree: TreeOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry remove client.kdb 'old root'
  keyferry remove client.kdb trust.jks --subject 'CN=colin,O=SSS,C=GB' --dry-run
  keyferry remove -r /var/mqm --sha256 e9d2b8db… --yes";

/// A store with something to take.
struct Found {
    name: String,
    path: PathBuf,
    format: &'static dyn Format,
    lines: Vec<Line>,
    /// The place among the arguments, for its passwords; `None`: found in a folder.
    argument: Option<usize>,
}

/// Removes.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let (stores, which) = which(args)?;
    let stores: Vec<StoreArg> = stores.iter().map(|s| StoreArg::parse_existing(&program.ui, s)).collect();
    if stores.iter().any(StoreArg::is_stdio) {
        return Err(Failure::usage("a store that is changed must be a file"));
    }
    let all: Vec<&StoreArg> = stores.iter().collect();
    let passwords =
        if args.recursive { args.tree.passwords(program, &all)? } else { program.passwords(&all)? };
    let session = if args.recursive { args.tree.session(program)? } else { program.session()? };
    let mut job = Job {
        program,
        args,
        passwords: &passwords,
        session: &session,
        how: Taking { which, break_chains: args.break_chains, last_key: args.last_key },
        found: Vec::new(),
        failed: None,
    };
    let is_tree = |s: &StoreArg| is_tree(args.recursive, s);
    let single = stores.len() == 1 && !stores.iter().any(is_tree);
    for (at, store) in stores.iter().enumerate() {
        let looked = if is_tree(store) { job.look_below(store) } else { job.look(store, at) };
        job.note(&store.name(), looked, single)?;
    }
    if job.found.is_empty() && job.failed.is_none() {
        program.ui.note("nothing matches");
        return Err(Failure::No);
    }
    if !job.found.is_empty() {
        job.ask()?;
    }
    for found in std::mem::take(&mut job.found) {
        let taken = job.take(&found, stores.get(found.argument.unwrap_or(usize::MAX)));
        job.note(&found.name, taken, single)?;
    }
    if job.failed.is_some() { Err(Failure::Incomplete) } else { Ok(()) }
}

/// The stores, and what is to go.
fn which(args: &Args) -> Result<(&[OsString], Vec<Which>)> {
    let mut which: Vec<Which> = args.label.iter().map(|l| Which::Label(l.clone())).collect();
    for text in &args.subject {
        let wrong = |what: &str| Failure::usage(format!("--subject {text}: {what}"));
        if !text.contains('=') {
            return Err(wrong("a whole name is wanted, as in CN=colin,O=SSS,C=GB"));
        }
        if text.replace("\\\\", "").replace("\\*", "").contains('*') {
            return Err(wrong("a * stands for nothing here; \\* is the character"));
        }
        let pattern = Pattern::parse(text, true).map_err(|e| wrong(e.message()))?;
        which.push(Which::Subject(pattern));
    }
    for text in &args.sha256 {
        let hex: String = text.chars().filter(|c| *c != ':').collect();
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Failure::usage(format!("--sha256 {text}: 64 digits are wanted")));
        }
        which.push(Which::Sha256(hex));
    }
    match (&args.arguments[..], which.is_empty()) {
        (stores, false) => Ok((stores, which)),
        ([store, label], true) => {
            let label = label.to_str().ok_or_else(|| Failure::usage("the label is no text"))?;
            Ok((std::slice::from_ref(store), vec![Which::Label(label.to_owned())]))
        }
        _ => Err(Failure::usage_hint(
            "which entry is to go?",
            "keyferry remove STORE LABEL, or --subject, --sha256 or --label and any number of stores",
        )),
    }
}

struct Job<'a> {
    program: &'a Program,
    args: &'a Args,
    passwords: &'a Passwords<'a>,
    session: &'a Session,
    how: Taking,
    found: Vec<Found>,
    failed: Option<Kind>,
}

impl Job<'_> {
    /// A failure of one store of several is said, and the others go on.
    fn note(&mut self, name: &str, outcome: Result, single: bool) -> Result {
        match outcome {
            Err(failure) if single => Err(failure),
            Err(Failure::Failed(e)) => {
                self.program.ui.store_error(name, &e);
                self.failed = Some(e.kind());
                Ok(())
            }
            Err(failure) => {
                failure.report(&self.program.ui);
                self.failed = Some(Kind::Refused);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn look(&mut self, store: &StoreArg, at: usize) -> Result {
        let source = store.open()?;
        let secrets = self.passwords.of(store);
        let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: self.session };
        let (format, lines) = planned(&Input { source: &source, format: store.format, ctx }, &self.how)
            .map_err(|e| e.in_file(&store.path))?;
        if !lines.is_empty() {
            let (name, path) = (store.name(), store.path.clone());
            self.found.push(Found { name, path, format, lines, argument: Some(at) });
        }
        Ok(())
    }

    fn look_below(&mut self, root: &StoreArg) -> Result {
        let below = Below {
            program: self.program,
            root: &root.path,
            passwords: self.passwords,
            session: self.session,
            all: false,
        };
        let how = &self.how;
        let (mut found, mut failed) = (Vec::new(), None);
        self.args.tree.walk(&below, &|f| planned(&f.input, how), &mut |path, planned| {
            let name = path_text(&path).into_owned();
            match planned {
                Ok((format, lines)) if !lines.is_empty() => {
                    found.push(Found { name, path, format, lines, argument: None });
                }
                Ok(_) => {}
                Err(e) => {
                    self.program.ui.store_error(&name, &e);
                    failed = Some(e.kind());
                }
            }
            Ok(())
        })?;
        self.found.append(&mut found);
        self.failed = self.failed.or(failed);
        Ok(())
    }

    /// Shows what would go, and asks.
    fn ask(&self) -> Result {
        let ui = &self.program.ui;
        let count: usize = self.found.iter().map(|f| f.lines.len()).sum();
        let mut text = String::new();
        for found in &self.found {
            text.push_str(&format!("{}:\n", Printable(&found.name)));
            for line in &found.lines {
                text.push_str(&format!("  - {}\n", said(line)));
            }
        }
        if self.args.change.dry_run {
            let mut out = ui.out();
            out.write_all(text.as_bytes())?;
            return Ok(out.flush()?);
        }
        if self.args.yes {
            ui.note(text.trim_end());
            return Ok(());
        }
        ui.line(text.trim_end());
        let entries = if count == 1 { "this entry" } else { "these entries" };
        match confirm(&format!("Remove {entries}?")) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::refused("nothing was removed").into()),
            None => Err(Failure::usage_hint(
                "nobody can be asked whether to remove them: there is no terminal",
                "--yes removes them, --dry-run only shows them",
            )),
        }
    }

    fn take(&self, found: &Found, argument: Option<&StoreArg>) -> Result {
        if argument.is_none() {
            crate::rights::mine(&self.program.global, &found.path)?;
        }
        let secrets: Box<dyn Secrets> = match argument {
            Some(store) => Box::new(self.passwords.of(store)),
            None => self.args.tree.secrets_of(self.passwords, &found.path, found.format),
        };
        let on_step = crate::failpoint::on_step();
        let done = edit(&Edit {
            path: &found.path,
            format: Some(found.format),
            ctx: Ctx { secrets: &*secrets, options: &Options::default(), session: self.session },
            to: None,
            change: &|store, format| {
                let places = plan(store, format, &self.how)?;
                let lines = remove(store, format, &places);
                if lines == found.lines {
                    return Ok(true);
                }
                Err(Error::new(Kind::Busy, "was changed by another program meanwhile; nothing was written")
                    .hint("run again"))
            },
            allow: self.args.change.loss.allowed(),
            dry_run: self.args.change.dry_run,
            on_step: &on_step,
        })?;
        let done = weigh(self.program, &self.args.change, done)?;
        let outcome = if self.args.change.dry_run { "would be removed" } else { "removed" };
        let saved = done.old.as_ref().map_or_else(String::new, |o| format!(" (old: {})", shown(o)));
        self.program.ui.note(&format!("{}: {} {outcome}{saved}", Printable(&found.name), found.lines.len()));
        Ok(())
    }
}

/// A store's format, and what would go.
fn planned(input: &Input<'_>, how: &Taking) -> formats::Result<(&'static dyn Format, Vec<Line>)> {
    let loaded = load(input)?;
    let places = plan(&loaded.store, loaded.format, how)?;
    let lines = places.iter().filter_map(|at| loaded.store.entries.get(*at)).map(Line::of).collect();
    Ok((loaded.format, lines))
}
