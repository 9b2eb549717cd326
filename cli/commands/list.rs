//! `keyferry list`: what stores hold, as a table, JSON or CSV.

use super::Program;
use crate::error::{Failure, Result};
use crate::parallel::in_order;
use crate::place::StoreArg;
use crate::secrets::Passwords;
use crate::time::{now_ms, rfc3339, span};
use crate::ui::{BOLD, Out, Progress, RED, Table, Ui, YELLOW};
use clap::builder::PossibleValuesParser;
use formats::error::Printable;
use formats::jobs::list::{Row, row};
use formats::jobs::{Input, Loaded, load};
use formats::model::{Entry, ItemKind};
use formats::place::{Source, walk};
use formats::query::dn::Pattern;
use formats::query::names;
use formats::{Ctx, Error, Kind, Match, Options, Secrets, detect};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// List what stores hold
///
/// One line for each entry. Keys stay sealed: their passwords are not needed. Without a store's password
/// its entries are listed where the format allows it, and marked as not authenticated in JSON.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Stores, or with -r folders
    #[arg(required = true, value_name = "STORE|DIR")]
    stores: Vec<OsString>,

    /// Look for stores in folders and all that is below them
    #[arg(long, short)]
    recursive: bool,

    /// Look into old generations, locks and temporary files too
    #[arg(long, requires = "recursive")]
    all: bool,

    /// Only entries whose subject or issuer matches: CN=colin,O=SSS in any order, * as a wildcard, or a
    /// part of the name's text; of several patterns one must match
    #[arg(long, value_name = "PATTERN")]
    dn: Vec<String>,

    /// Compare names byte for byte, as MQ AMS does
    #[arg(long)]
    dn_exact: bool,

    /// Only entries of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',',
          value_parser = PossibleValuesParser::new(ItemKind::ALL.iter().map(|k| k.name())))]
    kind: Vec<String>,

    /// Only entries with this label; may be given several times
    #[arg(long, short, value_name = "L")]
    label: Vec<String>,

    /// Only certificates that expire within this time (30d, 12h, 6w, 1y), or have expired
    #[arg(long, value_name = "TIME", value_parser = span)]
    expiring: Option<i64>,

    /// Only certificates that have expired
    #[arg(long, conflicts_with = "expiring")]
    expired: bool,

    /// Print a JSON array
    #[arg(long, group = "form")]
    json: bool,

    /// Print one JSON object a line
    #[arg(long, group = "form")]
    jsonl: bool,

    /// Print comma-separated values; what a spreadsheet would take for a formula gets a ' before it
    #[arg(long, group = "form")]
    csv: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry list client.jks --password env:PW
  keyferry list -r /var/mqm --expiring 30d --jsonl
  keyferry list partners.pem --dn 'CN=colin,O=SSS'";

/// One thing to list.
struct Job {
    name: String,
    from: From,
}

enum From {
    /// Named on the command line; opened before where it can't be opened later.
    Named(StoreArg, Option<Source>),
    /// Found in a folder: it need not be a store at all.
    Found(PathBuf),
}

/// What a store gave.
enum Listed {
    /// Its format and the entries that match.
    Store { format: &'static str, rows: Vec<Row>, notes: Notes },
    /// A file in a folder that is no store.
    NoStore,
    /// It could not be read.
    Failed(Error),
}

/// What else there is to say of a store.
#[derive(Default)]
struct Notes {
    warnings: Vec<String>,
    defects: Vec<std::sync::Arc<Error>>,
    unauthenticated: bool,
}

/// Lists.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let filter = Filter::new(args)?;
    let ui = &program.ui;
    if args.json || args.jsonl {
        ui.errors_as_json();
    }
    let named: Vec<_> = args.stores.iter().map(|s| StoreArg::parse(s)).collect();
    let passwords = passwords(program, args, &named)?;
    let mut failed = Tally::default();
    let jobs = jobs(ui, args, named, &mut failed)?;
    let mut printer = Printer::new(ui, args, jobs.len() > 1 || args.recursive);
    let single = jobs.len() == 1 && !args.recursive;

    if let (true, [job]) = (single, &jobs[..]) {
        one(program, job, &filter, &passwords, &mut printer, &mut failed)?;
    } else {
        let mut progress = ui.progress();
        let work = |i: usize| jobs.get(i).map(|job| list(program, job, &filter, &passwords));
        in_order(jobs.len(), work, |i, listed| -> Result {
            if let Some(p) = &mut progress {
                p.at(i, jobs.len());
            }
            match (jobs.get(i), listed) {
                (Some(job), Some(listed)) => take(ui, job, listed, &mut printer, &mut failed),
                _ => Ok(()),
            }
        })?;
        progress.into_iter().for_each(Progress::end);
    }
    if !(single && failed.stores > 0) {
        printer.end()?;
    }
    failed.verdict(single, filter.asks() && printer.rows == 0)
}

fn passwords<'a>(program: &'a Program, args: &Args, named: &[StoreArg]) -> Result<Passwords<'a>> {
    let named: Vec<&StoreArg> = named.iter().collect();
    if args.recursive { program.passwords_of_trees(&named) } else { program.passwords(&named) }
}

/// What failed so far.
#[derive(Default)]
struct Tally {
    stores: usize,
    defects: usize,
    kind: Option<Kind>,
}

impl Tally {
    fn count(&mut self, ui: &Ui, name: &str, error: &Error) {
        ui.store_error(name, error);
        self.stores += 1;
        self.kind = Some(error.kind());
    }

    fn verdict(&self, single: bool, nothing: bool) -> Result {
        match (single, self.kind) {
            (true, Some(kind)) => Err(Failure::Reported(kind)),
            (false, Some(_)) => Err(Failure::Incomplete),
            _ if self.defects > 0 => Err(Failure::Incomplete),
            _ if nothing => Err(Failure::No),
            _ => Ok(()),
        }
    }
}

/// What is to be listed, folders looked through.
fn jobs(ui: &Ui, args: &Args, named: Vec<StoreArg>, failed: &mut Tally) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for store in named {
        if args.recursive && store.format.is_none() && store.path.is_dir() {
            for found in walk(&store.path, args.all) {
                match found {
                    Ok(path) => {
                        jobs.push(Job { name: path.to_string_lossy().into_owned(), from: From::Found(path) });
                    }
                    Err(e) => failed.count(ui, &store.name(), &e),
                }
            }
        } else {
            // Pipes can't be opened any more once a password was read (see `secrets`).
            let plain = std::fs::metadata(&store.path).map_or(true, |m| m.is_file() || m.is_dir());
            let opened = if plain && !store.is_stdio() { None } else { Some(store.open()?) };
            jobs.push(Job { name: store.name(), from: From::Named(store, opened) });
        }
    }
    Ok(jobs)
}

/// A single store: its rows go out one by one.
fn one(
    program: &Program,
    job: &Job,
    filter: &Filter,
    passwords: &Passwords<'_>,
    printer: &mut Printer<'_>,
    failed: &mut Tally,
) -> Result {
    match read(program, job, passwords) {
        Ok(Some(loaded)) => {
            printer.store(&job.name, loaded.format.name());
            for entry in &loaded.store.entries {
                if let Some(row) = filter.row(&job.name, loaded.format.name(), entry) {
                    printer.row(&row)?;
                }
            }
            say(&program.ui, &job.name, &Notes::of(&loaded), failed);
        }
        Ok(None) => {}
        Err(e) => failed.count(&program.ui, &job.name, &e),
    }
    Ok(())
}

/// One store of many, on some thread.
fn list(program: &Program, job: &Job, filter: &Filter, passwords: &Passwords<'_>) -> Listed {
    match read(program, job, passwords) {
        Ok(Some(loaded)) => {
            let format = loaded.format.name();
            let rows = loaded.store.entries.iter().filter_map(|e| filter.row(&job.name, format, e)).collect();
            Listed::Store { format, rows, notes: Notes::of(&loaded) }
        }
        Ok(None) => Listed::NoStore,
        Err(e) => Listed::Failed(e),
    }
}

fn take(ui: &Ui, job: &Job, listed: Listed, printer: &mut Printer<'_>, failed: &mut Tally) -> Result {
    match listed {
        Listed::Store { format, rows, notes } => {
            printer.store(&job.name, format);
            rows.iter().try_for_each(|row| printer.row(row))?;
            printer.store_end()?;
            say(ui, &job.name, &notes, failed);
        }
        Listed::NoStore => {}
        Listed::Failed(e) => failed.count(ui, &job.name, &e),
    }
    Ok(())
}

/// Reads one store; `None`: a file of a folder that is no store.
fn read(program: &Program, job: &Job, passwords: &Passwords<'_>) -> Result<Option<Loaded>, Error> {
    // A session of its own: what one file costs must not use up what another may.
    let session = program.session().map_err(plain)?;
    let (opened, options) = (|path: &Path| Source::open(path), Options::default());
    let load = |source: &Source, format, secrets: &dyn Secrets| {
        load(&Input { source, format, ctx: Ctx { secrets, options: &options, session: &session } })
    };
    match &job.from {
        From::Named(store, Some(source)) => load(source, store.format, &passwords.of(store)).map(Some),
        From::Named(store, None) => {
            let source = store.open().map_err(plain)?;
            load(&source, store.format, &passwords.of(store)).map(Some)
        }
        From::Found(path) => {
            let source = opened(path)?;
            let probe = source.probe()?;
            let format = match detect(&probe) {
                Ok(format) => format,
                Err(e) if e.kind() == Kind::Malformed => return Ok(None),
                Err(e) => return Err(e.in_file(path)),
            };
            let sure = format.detect(&probe) == Match::Yes;
            match load(&source, Some(format), &passwords.of_found(path)) {
                // Much begins like DER, and PEM lines stand in many texts.
                Err(e) if !sure && e.kind() == Kind::Malformed => Ok(None),
                loaded => loaded.map(Some),
            }
        }
    }
}

/// Opening and sessions fail with errors of the library, or because the command line is wrong.
fn plain(failure: Failure) -> Error {
    match failure {
        Failure::Failed(e) => e,
        Failure::Usage { message, .. } => Error::refused(message),
        _ => Error::refused("the command line is wrong"),
    }
}

impl Notes {
    fn of(loaded: &Loaded) -> Notes {
        Notes {
            warnings: loaded.store.warnings.clone(),
            defects: loaded.store.defects.clone(),
            unauthenticated: loaded.store.entries.iter().any(|e| e.authenticated == Some(false)),
        }
    }
}

fn say(ui: &Ui, name: &str, notes: &Notes, failed: &mut Tally) {
    for warning in &notes.warnings {
        ui.warn(&format!("{}: {}", Printable(name), Printable(warning)));
    }
    if notes.unauthenticated {
        ui.note(&format!("{}: its integrity was not checked: no password was given", Printable(name)));
    }
    for defect in &notes.defects {
        ui.store_error(name, defect);
    }
    failed.defects += notes.defects.len();
}

/// Which entries are wanted.
struct Filter {
    patterns: Vec<Pattern>,
    kinds: Vec<String>,
    labels: Vec<String>,
    /// RFC 3339; later ends are not wanted.
    until: Option<String>,
}

impl Filter {
    fn new(args: &Args) -> Result<Filter> {
        let parse = |text: &String| {
            Pattern::parse(text, args.dn_exact).map_err(|e| Failure::usage(format!("--dn {text}: {e}")))
        };
        let until = args.expiring.or(args.expired.then_some(0));
        Ok(Filter {
            patterns: args.dn.iter().map(parse).collect::<Result<_>>()?,
            kinds: args.kind.clone(),
            labels: args.label.clone(),
            until: until.map(|span| rfc3339(now_ms().saturating_add(span))),
        })
    }

    /// Whether finding nothing is the answer no.
    fn asks(&self) -> bool {
        !self.patterns.is_empty() || !self.labels.is_empty()
    }

    /// The entry as a row, if it is wanted. What is cheap to look at comes first.
    fn row(&self, store: &str, format: &'static str, entry: &Entry) -> Option<Row> {
        let kind = entry.item.kind().name();
        let wanted = (self.kinds.is_empty() || self.kinds.iter().any(|k| k == kind))
            && (self.labels.is_empty() || self.labels.iter().any(|l| *l == entry.label_text()))
            && (self.patterns.is_empty() || self.name_matches(entry));
        if !wanted {
            return None;
        }
        let row = row(store, format, entry);
        let in_time = match (&self.until, &row.not_after) {
            (None, _) => true,
            (Some(until), Some(end)) => end <= until,
            (Some(_), None) => false,
        };
        in_time.then_some(row)
    }

    fn name_matches(&self, entry: &Entry) -> bool {
        let names = names(entry);
        let matches = |name: &[u8]| self.patterns.iter().any(|p| p.matches(name));
        names.subject.is_some_and(matches) || names.issuer.is_some_and(matches)
    }
}

/// The forms of output.
enum Form {
    Table { rows: Vec<Row> },
    Array,
    Lines,
    Csv,
}

/// Prints rows in one of the forms.
struct Printer<'a> {
    ui: &'a Ui,
    out: Out,
    form: Form,
    headings: bool,
    store: Option<String>,
    rows: usize,
    now: String,
    soon: String,
}

const SOON: i64 = 30 * 86_400_000;
const CSV_HEAD: &str = "store,format,label,kind,default,subject,issuer,serial,not_before,not_after,sha256,\
                        spki_sha256,algorithm,bits,trust,distrust,authenticated";

impl<'a> Printer<'a> {
    fn new(ui: &'a Ui, args: &Args, headings: bool) -> Self {
        let form = match (args.json, args.jsonl, args.csv) {
            (true, ..) => Form::Array,
            (_, true, _) => Form::Lines,
            (.., true) => Form::Csv,
            _ => Form::Table { rows: Vec::new() },
        };
        let (now, soon) = (rfc3339(now_ms()), rfc3339(now_ms() + SOON));
        Printer { ui, out: ui.out(), form, headings, store: None, rows: 0, now, soon }
    }

    /// The following rows are of this store.
    fn store(&mut self, name: &str, format: &str) {
        self.store = self.headings.then(|| format!("{}  {format}", Printable(name)));
    }

    fn row(&mut self, row: &Row) -> Result {
        self.rows += 1;
        match &mut self.form {
            Form::Table { rows } => {
                // Hashes and the like are not shown.
                rows.push(Row {
                    label: row.label.clone(),
                    kind: row.kind,
                    default: row.default,
                    subject: row.subject.clone(),
                    not_after: row.not_after.clone(),
                    ..Row::default()
                });
            }
            Form::Array => {
                self.out.write_all(if self.rows == 1 { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(&mut self.out, row)?;
            }
            Form::Lines => {
                serde_json::to_writer(&mut self.out, row)?;
                self.out.write_all(b"\n")?;
            }
            Form::Csv => {
                if self.rows == 1 {
                    writeln!(self.out, "{CSV_HEAD}")?;
                }
                writeln!(self.out, "{}", csv_line(row))?;
            }
        }
        Ok(())
    }

    /// Tables are printed when their store is complete, for their columns' widths are known only then.
    fn store_end(&mut self) -> Result {
        let Form::Table { rows } = &mut self.form else { return Ok(()) };
        let rows = std::mem::take(rows);
        if rows.is_empty() {
            return Ok(());
        }
        let indent = match self.store.take() {
            Some(heading) => {
                writeln!(self.out, "{}", self.ui.paint(BOLD, &heading))?;
                2
            }
            None => 0,
        };
        let mut table = Table::new(&["LABEL", "KIND", "SUBJECT", "EXPIRES"]);
        for row in rows {
            let text = |t: &Option<String>| Printable(t.as_deref().unwrap_or("-")).to_string();
            let kind = if row.default { format!("{} (default)", row.kind) } else { row.kind.to_owned() };
            let expires = self.expires(row.not_after.as_deref());
            table.row(vec![(text(&row.label), None), (kind, None), (text(&row.subject), None), expires]);
        }
        Ok(table.print(self.ui, &mut self.out, indent, 2)?)
    }

    fn expires(&self, end: Option<&str>) -> (String, Option<anstyle::Style>) {
        let Some(end) = end else { return ("-".to_owned(), None) };
        let day = Printable(end.get(..10).unwrap_or(end));
        match end {
            end if *end <= *self.now => (format!("{day} (expired)"), Some(RED)),
            end if *end <= *self.soon => (format!("{day} (soon)"), Some(YELLOW)),
            _ => (day.to_string(), None),
        }
    }

    fn end(&mut self) -> Result {
        self.store_end()?;
        match (&self.form, self.rows) {
            (Form::Array, 0) => self.out.write_all(b"[]\n")?,
            (Form::Array, _) => self.out.write_all(b"\n]\n")?,
            (Form::Csv, 0) => writeln!(self.out, "{CSV_HEAD}")?,
            _ => {}
        }
        Ok(self.out.flush()?)
    }
}

/// One line of CSV (RFC 4180), fields in the order of [`CSV_HEAD`].
fn csv_line(row: &Row) -> String {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let words = |t: &Option<Vec<&'static str>>| t.as_ref().map(|w| w.join(" ")).unwrap_or_default();
    let key = row.key.as_ref();
    let fields = [
        row.store.clone(),
        row.format.to_owned(),
        text(&row.label),
        row.kind.to_owned(),
        row.default.to_string(),
        text(&row.subject),
        text(&row.issuer),
        text(&row.serial),
        text(&row.not_before),
        text(&row.not_after),
        text(&row.sha256),
        text(&row.spki_sha256),
        key.map(|k| k.algorithm.clone()).unwrap_or_default(),
        key.and_then(|k| k.bits).map(|b| b.to_string()).unwrap_or_default(),
        words(&row.trust),
        words(&row.distrust),
        row.authenticated.map(|a| a.to_string()).unwrap_or_default(),
    ];
    fields.iter().map(|f| csv_field(f)).collect::<Vec<_>>().join(",")
}

/// A field that no spreadsheet takes for a formula, in quotes where it must be.
fn csv_field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = Printable(text).to_string();
    let text = if formula { format!("'{text}") } else { text };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_and_no_formulas() {
        assert_eq!(csv_field("plain"), "plain");
        assert_eq!(csv_field("CN=a,O=b"), "\"CN=a,O=b\"");
        assert_eq!(csv_field("say \"x\""), "\"say \"\"x\"\"\"");
        for formula in ["=1+1", "+1", "-1", "@x"] {
            assert_eq!(csv_field(formula), format!("'{formula}"));
        }
        assert_eq!(csv_field("=a,b"), "\"'=a,b\"");
        assert_eq!(csv_line(&Row::default()).matches(',').count(), CSV_HEAD.matches(',').count());
    }
}
