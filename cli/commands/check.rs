//! `keyferry check`: what is wrong with stores, or soon will be.

use super::Program;
use super::list::open_early;
use super::revocation::Revocation;
use super::tree::{Below, FolderOptions, TreeOptions, is_tree};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::secrets::Passwords;
use crate::time::span;
use crate::ui::{BOLD, DIM, Out, RED, Ui, YELLOW};
use clap::builder::PossibleValuesParser;
use formats::error::Printable;
use formats::jobs::Input;
use formats::jobs::check::rules::Severity;
use formats::jobs::check::{Asked, Checked, Finding, check, failed};
use formats::jobs::tree::Found;
use formats::place::{Source, path_text};
use formats::{Ctx, Error, Kind, NoSecrets, Options, Secrets, Session};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Check what is wrong with stores, or soon will be
///
/// Whether a store opens, its stash agrees, each private key fits its certificate, and each chain leads to a
/// trusted root; what has expired or soon will; weak algorithms; who can read and change the files; labels and
/// names that repeat; companions that don't fit; keys that were deleted and are still there. Each finding has a
/// code, which keyferry explain explains, and says what to do.
///
/// Nothing is asked over the network unless --ocsp or an address with --crl says so.
///
/// The status is 1 when something is found at or above --fail-on, and 8 when a store of several could not be
/// looked into.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("all", |all| all.help(ALL)))]
pub struct Args {
    /// Stores, or with -r folders
    #[arg(required = true, value_name = "STORE|DIR")]
    stores: Vec<OsString>,

    #[command(flatten)]
    folders: FolderOptions,

    /// Say what ends within this time (30d, 12h, 6w, 1y)
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = span)]
    within: i64,

    /// A revocation list to look into: a file, or an address that begins with http://; may be given several times
    #[arg(long, value_name = "FILE|URL", help_heading = "Revocation")]
    crl: Vec<String>,

    /// Ask the responders that the certificates name, over the network
    #[arg(long, help_heading = "Revocation")]
    ocsp: bool,

    /// How long to wait for an answer from the network
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span, help_heading = "Revocation")]
    net_timeout: i64,

    /// From which severity on the status is 1
    #[arg(long, value_name = "SEVERITY", default_value = "error",
          value_parser = PossibleValuesParser::new(Severity::ALL.iter().map(|s| s.name())))]
    fail_on: String,

    /// Print a JSON array of findings
    #[arg(long)]
    json: bool,
}

const ALL: &str = "Look into old generations like the stores of today, not only at what counts of them";

const EXAMPLES: &str = "\
Examples:
  keyferry check client.kdb
  keyferry check client.p12 --password env:PW --within 90d --fail-on warning
  keyferry check -r /home --json
  keyferry check client.kdb --crl issuing.crl
  keyferry check client.kdb --crl http://ca.example/issuing.crl --ocsp --net-timeout 5s
  keyferry explain stash-differs";

/// Checks.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let ui = &program.ui;
    if args.json {
        ui.errors_as_json();
    }
    let worst = Severity::ALL.iter().copied().find(|s| s.name() == args.fail_on).unwrap_or(Severity::Error);
    let mut printer =
        Printer { ui, out: ui.out(), json: args.json, count: 0, stores: 0, failing: false, worst };
    let revocation = Revocation::new(program, &args.crl, args.ocsp, args.net_timeout)?;
    let ask = |certificate: &[u8], issuer: &[u8]| revocation.of(certificate, issuer);
    let asked = Asked {
        within: args.within / 1000,
        revoked: revocation.is_asked().then_some(&ask),
        old_like_new: args.folders.all,
        ..Asked::default()
    };
    let look = Look {
        program,
        stores: &args.stores,
        recursive: args.folders.recursive,
        all: true,
        tree: &args.folders.tree,
        asked,
    };
    let outcome = look.through(&mut |found| match found {
        Looked::Checked(name, checked) => printer.store(name, Some(checked.format), &checked.findings),
        Looked::Failed(name, error, findings) => {
            printer.flush()?;
            ui.store_error(name, error);
            printer.store(name, None, &findings)
        }
    })?;
    printer.end()?;
    match outcome {
        Outcome { failed: Some(kind), single: true, .. } => Err(Failure::Reported(kind)),
        Outcome { failed: Some(_), .. } | Outcome { incomplete: true, .. } => Err(Failure::Incomplete),
        _ if printer.failing => Err(Failure::No),
        _ => Ok(()),
    }
}

/// A run through stores and trees, for `check` and `report`.
pub(super) struct Look<'a> {
    pub program: &'a Program,
    pub stores: &'a [OsString],
    pub recursive: bool,
    pub all: bool,
    pub tree: &'a TreeOptions,
    pub asked: Asked<'a>,
}

/// What was made of one store.
pub(super) enum Looked<'a> {
    Checked(&'a str, Checked),
    Failed(&'a str, &'a Error, Vec<Finding>),
}

/// How a run ended.
#[derive(Default)]
pub(super) struct Outcome {
    /// The last failure.
    pub failed: Option<Kind>,
    /// One store was named, and no tree.
    pub single: bool,
    /// Parts of a store could not be read.
    pub incomplete: bool,
}

type Report<'a> = dyn FnMut(Looked<'_>) -> Result + 'a;

impl Look<'_> {
    /// Checks every store, handing each to `report`.
    pub fn through(&self, report: &mut Report<'_>) -> Result<Outcome> {
        let program = self.program;
        let named: Vec<_> = self.stores.iter().map(|s| StoreArg::parse_existing(&program.ui, s)).collect();
        let is_tree = |s: &StoreArg| is_tree(self.recursive, s);
        let all: Vec<_> = named.iter().collect();
        let passwords = self.tree.passwords_for(program, &all, self.recursive)?;
        let single = named.len() == 1 && !named.iter().any(is_tree);
        let mut outcome = Outcome { single, ..Outcome::default() };
        for (store, early) in named.iter().zip(open_early(&named)?) {
            if is_tree(store) {
                self.tree(store, &passwords, &mut outcome, report)?;
            } else {
                self.store(store, early, &passwords, &mut outcome, report)?;
            }
        }
        Ok(outcome)
    }

    fn store(
        &self,
        store: &StoreArg,
        early: Option<Source>,
        passwords: &Passwords<'_>,
        outcome: &mut Outcome,
        report: &mut Report<'_>,
    ) -> Result {
        let session = self.program.session()?;
        let own = passwords.of(store);
        let secrets: &dyn Secrets = if self.tree.no_secrets() { &NoSecrets } else { &own };
        let ctx = Ctx { secrets, options: &Options::default(), session: &session };
        let source = match early.map_or_else(|| store.open(), Ok) {
            Ok(source) => Ok(source),
            Err(Failure::Failed(e)) => Err(e),
            Err(other) => return Err(other),
        };
        let checked = source.and_then(|source| {
            check(&store.name(), &Input { source: &source, format: store.format, ctx }, &self.asked)
        });
        hand_over(&store.name(), &store.path, checked, &session, outcome, report)
    }

    fn tree(
        &self,
        root: &StoreArg,
        passwords: &Passwords<'_>,
        outcome: &mut Outcome,
        report: &mut Report<'_>,
    ) -> Result {
        let session = self.tree.session(self.program)?;
        let below =
            Below { program: self.program, root: &root.path, passwords, session: &session, all: self.all };
        let look = |found: &Found<'_>| check(&path_text(found.path), &found.input, &self.asked);
        self.tree.walk(&below, &look, &mut |path, checked| {
            hand_over(&path_text(&path), &path, checked, &session, outcome, report)
        })
    }
}

fn hand_over(
    name: &str,
    path: &Path,
    checked: Result<Checked, Error>,
    session: &Session,
    outcome: &mut Outcome,
    report: &mut Report<'_>,
) -> Result {
    match checked {
        Ok(checked) => {
            outcome.incomplete |= checked.incomplete;
            report(Looked::Checked(name, checked))
        }
        Err(e) => {
            outcome.failed = Some(e.kind());
            let ctx = Ctx { secrets: &NoSecrets, options: &Options::default(), session };
            let findings = failed(name, path, &e, &ctx);
            report(Looked::Failed(name, &e, findings))
        }
    }
}

/// Prints findings in one of the forms.
struct Printer<'a> {
    ui: &'a Ui,
    out: Out,
    json: bool,
    count: usize,
    stores: usize,
    failing: bool,
    worst: Severity,
}

impl Printer<'_> {
    fn store(&mut self, name: &str, format: Option<&str>, findings: &[Finding]) -> Result {
        self.stores += 1;
        self.failing |= findings.iter().any(|f| f.severity >= self.worst);
        if self.json {
            for finding in findings {
                self.out.write_all(if self.count == 0 { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(&mut self.out, finding)?;
                self.count += 1;
            }
            return Ok(());
        }
        self.count += findings.len();
        let heading = format!("{}  {}", Printable(name), format.unwrap_or("unreadable"));
        writeln!(self.out, "{}  {}", self.ui.paint(BOLD, &heading), summary(findings))?;
        findings.iter().try_for_each(|f| self.finding(f))
    }

    fn finding(&mut self, finding: &Finding) -> Result {
        let style = match finding.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
            Severity::Info => DIM,
        };
        let severity = self.ui.paint(style, &format!("{:<7}", finding.severity.name()));
        let entry = finding.entry.as_ref().map_or_else(String::new, |e| format!("\"{}\": ", Printable(e)));
        writeln!(self.out, "  {severity}  {}: {entry}{}", finding.code, Printable(&finding.message))?;
        writeln!(self.out, "           {}", self.ui.paint(DIM, finding.advice))?;
        Ok(())
    }

    /// What was found so far comes before what standard error says next.
    fn flush(&mut self) -> Result {
        Ok(self.out.flush()?)
    }

    fn end(&mut self) -> Result {
        match (self.json, self.count) {
            (true, 0) => self.out.write_all(b"[]\n")?,
            (true, _) => self.out.write_all(b"\n]\n")?,
            (false, _) if self.stores == 0 => self.ui.note("no store was found"),
            (false, _) => {}
        }
        self.flush()
    }
}

/// `2 errors, 1 warning`.
pub(super) fn summary(findings: &[Finding]) -> String {
    let counts = Severity::ALL.iter().filter_map(|severity| {
        let n = findings.iter().filter(|f| f.severity == *severity).count();
        let plural = if n == 1 || *severity == Severity::Info { "" } else { "s" };
        (n > 0).then(|| format!("{n} {}{plural}", severity.name()))
    });
    let counts: Vec<_> = counts.collect();
    if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") }
}
