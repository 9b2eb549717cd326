//! `keyferry list`: what stores hold, as a table, JSON or CSV.

use super::Program;
use super::filter::FilterOptions;
use super::tree::{Below, FolderOptions, is_tree};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::secrets::Passwords;
use crate::time::now_ms;
use crate::ui::{BOLD, Out, RED, Table, Ui, YELLOW};
use formats::error::Printable;
use formats::jobs::Input;
use formats::jobs::list::{FileRow, Filter, Listed, Row, list};
use formats::jobs::tree::list_found;
use formats::place::{Source, path_text};
use formats::query::time::rfc3339;
use formats::{Ctx, Error, Kind, NoSecrets, Options, Secrets};
use std::ffi::OsString;
use std::io::Write;

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

    #[command(flatten)]
    folders: FolderOptions,

    #[command(flatten)]
    filter: FilterOptions,

    /// Print a JSON array
    #[arg(long, group = "form", help_heading = "Output")]
    json: bool,

    /// Print one JSON object a line
    #[arg(long, group = "form", help_heading = "Output")]
    jsonl: bool,

    /// Print comma-separated values; what a spreadsheet would take for a formula gets a ' before it
    #[arg(long, group = "form", help_heading = "Output")]
    csv: bool,

    /// Write a Parquet file instead, for DuckDB, Spark or Trino
    #[arg(long, value_name = "FILE", group = "form", help_heading = "Output")]
    parquet: Option<std::path::PathBuf>,

    /// Print labels as IBM's tools do: * default, - personal, ! trusted, # secret key
    #[arg(long, group = "form", help_heading = "Output")]
    gskit: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry list client.jks --password env:PW
  keyferry list -r /var/mqm --expiring 30d --jsonl
  keyferry list -r /home --password-rules /etc/keyferry.rules --csv > inventory.csv
  keyferry list partners.pem --dn 'CN=colin,O=SSS'
  keyferry list client.kdb --dn '/C=GB/O=SSS/CN=COLIN PAICE' --dn-exact --dn-style mq

docs/names.md has the patterns, grades and styles, docs/inventory.md the fields and the password rules.";

/// Lists.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    if args.json || args.jsonl {
        program.ui.errors_as_json();
    }
    let named: Vec<_> = args.stores.iter().map(|s| StoreArg::parse_existing(&program.ui, s)).collect();
    let is_tree = |s: &StoreArg| is_tree(args.folders.recursive, s);
    let single = named.len() == 1 && !named.iter().any(is_tree);
    let all: Vec<_> = named.iter().collect();
    let passwords = args.folders.tree.passwords_for(program, &all, args.folders.recursive)?;
    let filter = args.filter.filter()?;
    let mut listing = Listing {
        ui: &program.ui,
        printer: Printer::new(&program.ui, args, !single)?,
        failed: None,
        defects: false,
    };
    for (store, early) in named.iter().zip(open_early(&named)?) {
        if is_tree(store) {
            listing.tree(program, args, store, &filter, &passwords)?;
        } else {
            listing.store(program, args, store, early, &filter, &passwords)?;
        }
    }
    listing.end(single, args.filter.asks_for_something())
}

/// Opens what can't be opened any more once a password was read: standard input and pipes.
pub(super) fn open_early(named: &[StoreArg]) -> Result<Vec<Option<Source>>> {
    let plain = |s: &StoreArg| std::fs::metadata(&s.path).map_or(true, |m| m.is_file() || m.is_dir());
    let open = |s: &StoreArg| if plain(s) && !s.is_stdio() { Ok(None) } else { s.open().map(Some) };
    named.iter().map(open).collect()
}

/// One run: what is printed, and what failed.
struct Listing<'a> {
    ui: &'a Ui,
    printer: Printer<'a>,
    failed: Option<Kind>,
    defects: bool,
}

impl Listing<'_> {
    /// A store that the command line names.
    fn store(
        &mut self,
        program: &Program,
        args: &Args,
        store: &StoreArg,
        early: Option<Source>,
        filter: &Filter,
        passwords: &Passwords<'_>,
    ) -> Result {
        let name = store.name();
        let session = program.session()?;
        let own = passwords.of(store);
        let secrets: &dyn Secrets = if args.folders.tree.no_secrets() { &NoSecrets } else { &own };
        let ctx = Ctx { secrets, options: &Options::default(), session: &session };
        let source = match early.map_or_else(|| store.open(), Ok) {
            Ok(source) => source,
            Err(Failure::Failed(e)) => {
                self.fail(&name, &e);
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        match list(&name, &Input { source: &source, format: store.format, ctx }, filter) {
            Ok(mut listed) => {
                if let (true, Some(facts)) = (args.folders.recursive, source.facts()) {
                    let file = FileRow::of(facts);
                    listed.rows.iter_mut().for_each(|row| row.file = Some(file.clone()));
                }
                self.listed(&name, listed)
            }
            Err(e) => {
                self.fail(&name, &e);
                if source.is_directory() {
                    self.ui.hint("-r lists the stores in a folder and below it");
                }
                Ok(())
            }
        }
    }

    /// All stores below a folder.
    fn tree(
        &mut self,
        program: &Program,
        args: &Args,
        root: &StoreArg,
        filter: &Filter,
        passwords: &Passwords<'_>,
    ) -> Result {
        let FolderOptions { tree, all, .. } = &args.folders;
        let session = tree.session(program)?;
        let below = Below { program, root: &root.path, passwords, session: &session, all: *all };
        tree.walk(&below, &|found| list_found(found, filter), &mut |path, listed| {
            let name = path_text(&path);
            match listed {
                Ok(listed) => self.listed(&name, listed),
                Err(e) => {
                    self.fail(&name, &e);
                    Ok(())
                }
            }
        })
    }

    fn listed(&mut self, name: &str, listed: Listed) -> Result {
        let ui = self.ui;
        for warning in &listed.warnings {
            ui.warn(&format!("{}: {}", Printable(name), Printable(warning)));
        }
        // JSON and CSV say it of each entry.
        let unchecked = || listed.rows.iter().any(|r| r.authenticated == Some(false));
        if matches!(self.printer.form, Form::Table) && unchecked() {
            ui.note(&format!("{}: its integrity was not checked: no password was given", Printable(name)));
        }
        for defect in &listed.defects {
            ui.store_error(name, defect);
            self.defects = true;
        }
        self.printer.store(name, listed.format.name(), listed.rows)
    }

    fn fail(&mut self, name: &str, error: &Error) {
        self.ui.store_error(name, error);
        self.failed = Some(error.kind());
    }

    /// The end of the output, and the exit status.
    fn end(self, single: bool, asked: bool) -> Result {
        if let (true, Some(kind)) = (single, self.failed) {
            return Err(Failure::Reported(kind));
        }
        let nothing = self.printer.rows == 0;
        self.printer.end()?;
        if self.failed.is_some() || self.defects {
            Err(Failure::Incomplete)
        } else if asked && nothing {
            Err(Failure::No)
        } else {
            Ok(())
        }
    }
}

/// The forms of output.
enum Form {
    Table,
    Array,
    Lines,
    Csv,
    Gskit,
    #[cfg(feature = "parquet")]
    Parquet(Box<crate::parquet::Inventory>),
}

/// Prints rows in one of the forms.
struct Printer<'a> {
    ui: &'a Ui,
    out: Out,
    form: Form,
    headings: bool,
    rows: usize,
    now: String,
    soon: String,
}

#[cfg(feature = "parquet")]
fn parquet(file: &std::path::Path) -> Result<Form> {
    Ok(Form::Parquet(Box::new(crate::parquet::Inventory::new(file)?)))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &std::path::Path) -> Result<Form> {
    Err(Failure::usage_hint(
        "this program was built without Parquet",
        "build it with --features parquet, or let DuckDB read what --jsonl prints",
    ))
}

/// What expires within thirty days is marked.
const SOON: i64 = 30 * 86_400;
const CSV_HEAD: &str = "store,format,label,kind,default,subject,issuer,serial,not_before,not_after,sha256,\
                        spki_sha256,algorithm,bits,trust,distrust,authenticated,match,owner,mode,size,mtime";

impl<'a> Printer<'a> {
    fn new(ui: &'a Ui, args: &Args, headings: bool) -> Result<Self> {
        let form = match (args.json, args.jsonl, args.csv) {
            (true, ..) => Form::Array,
            (_, true, _) => Form::Lines,
            (.., true) => Form::Csv,
            _ if args.gskit => Form::Gskit,
            _ => Form::Table,
        };
        let form = match &args.parquet {
            Some(file) => parquet(file)?,
            None => form,
        };
        let now = now_ms() / 1000;
        let (now, soon) = (rfc3339(now), rfc3339(now + SOON));
        Ok(Printer { ui, out: ui.out(), form, headings, rows: 0, now, soon })
    }

    /// The rows of one store.
    fn store(&mut self, name: &str, format: &str, rows: Vec<Row>) -> Result {
        if let Form::Table = self.form {
            self.rows += rows.len();
            return self.table(name, format, rows);
        }
        if let Form::Gskit = self.form {
            writeln!(self.out, "Certificates found\n* default, - personal, ! trusted, # secret key")?;
        }
        #[cfg(feature = "parquet")]
        if let Form::Parquet(inventory) = &mut self.form {
            self.rows += rows.len();
            return rows.into_iter().try_for_each(|row| inventory.put(row));
        }
        rows.iter().try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: &Row) -> Result {
        self.rows += 1;
        match self.form {
            Form::Table => {}
            #[cfg(feature = "parquet")]
            Form::Parquet(_) => {}
            Form::Gskit => writeln!(self.out, "{}", gskit_line(row))?,
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

    fn table(&mut self, name: &str, format: &str, rows: Vec<Row>) -> Result {
        if rows.is_empty() {
            return Ok(());
        }
        if self.headings {
            let heading = format!("{}  {format}", Printable(name));
            writeln!(self.out, "{}", self.ui.paint(BOLD, &heading))?;
        }
        // A name that matches only almost is one that AMS does not take.
        let almost = |row: &Row| row.grade.filter(|g| *g != "exact");
        let graded = rows.iter().any(|r| almost(r).is_some());
        let heads = ["LABEL", "KIND", "SUBJECT", "EXPIRES", "MATCH"];
        let mut table = Table::new(&heads[..if graded { 5 } else { 4 }]);
        for row in rows {
            let grade = almost(&row).unwrap_or("exact").to_owned();
            let text = |t: Option<String>| match t.as_deref() {
                None => "-".to_owned(),
                // Seen, and told apart from none.
                Some(t) if t.trim().is_empty() => format!("\"{t}\""),
                Some(t) => Printable(t).to_string(),
            };
            let kind = if row.default { format!("{} (default)", row.kind) } else { row.kind.to_owned() };
            let expires = self.expires(row.not_after.as_deref());
            let mut cells = vec![(text(row.label), None), (kind, None), (text(row.subject), None), expires];
            if graded {
                cells.push((grade, None));
            }
            table.row(cells);
        }
        Ok(table.print(self.ui, &mut self.out, if self.headings { 2 } else { 0 }, 2)?)
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

    fn end(mut self) -> Result {
        #[cfg(feature = "parquet")]
        if let Form::Parquet(inventory) = self.form {
            return inventory.end();
        }
        match (&self.form, self.rows) {
            (Form::Array, 0) => self.out.write_all(b"[]\n")?,
            (Form::Array, _) => self.out.write_all(b"\n]\n")?,
            (Form::Csv, 0) => writeln!(self.out, "{CSV_HEAD}")?,
            _ => {}
        }
        Ok(self.out.flush()?)
    }
}

/// The marks and the label, as `runmqakm -cert -list` prints them. Requests are no certificates, and are not
/// among them there; here they have no mark.
fn gskit_line(row: &Row) -> String {
    let trusted = row.trust.as_ref().is_some_and(|t| !t.is_empty());
    let marks = match (row.kind, row.default) {
        ("key", true) => "*-",
        ("key", false) => "-",
        ("secret", _) => "#",
        ("cert", _) if trusted => "!",
        _ => "",
    };
    format!("{marks}\t{}", Printable(row.label.as_deref().unwrap_or_default()))
}

/// One line of CSV (RFC 4180), fields in the order of [`CSV_HEAD`].
fn csv_line(row: &Row) -> String {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let words = |t: &Option<Vec<&'static str>>| t.as_ref().map(|w| w.join(" ")).unwrap_or_default();
    let (key, file) = (row.key.as_ref(), row.file.as_ref());
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
        key.map(|k| k.algorithm.to_string()).unwrap_or_default(),
        key.and_then(|k| k.bits).map(|b| b.to_string()).unwrap_or_default(),
        words(&row.trust),
        words(&row.distrust),
        row.authenticated.map(|a| a.to_string()).unwrap_or_default(),
        row.grade.unwrap_or_default().to_owned(),
        file.map(|f| f.owner.clone()).unwrap_or_default(),
        file.map(|f| f.mode.clone()).unwrap_or_default(),
        file.map(|f| f.size.to_string()).unwrap_or_default(),
        file.map(|f| f.mtime.clone()).unwrap_or_default(),
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
