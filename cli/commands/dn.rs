//! `keyferry dn`: distinguished names by themselves.

use super::Program;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::ui::{DIM, GREEN, RED};
use formats::asn1::{cert_fields, request_fields};
use formats::error::Printable;
use formats::jobs::{Input, load};
use formats::model::{Entry, Item};
use formats::query::dn::{Comparison, Name, compare};
use formats::{Ctx, Error, Kind, Options};
use std::ffi::{OsStr, OsString};
use std::io::Write;

/// Compare distinguished names
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    Diff(Diff),
}

/// Show where two names differ
///
/// RDN by RDN, with the code points of the characters that differ: a blank and a no-break blank look alike, and
/// so do Latin and Cyrillic letters. The status is 1 when they differ as MQ AMS compares them: any other
/// order, case or blank is a difference.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct Diff {
    /// A name as any tool writes it, or STORE#LABEL for the subject of an entry
    a: OsString,

    /// The other
    b: OsString,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry dn diff 'CN=COLIN PAICE,O=SSS,C=GB' client.kdb#colin
  keyferry dn diff '/C=GB/O=SSS/CN=colin' 'C = GB, O = SSS, CN = colin'";

/// Does it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let Part::Diff(args) = &args.part;
    let sides = [Side::of(program, &args.a), Side::of(program, &args.b)];
    let [a, b] = [sides[0].name(program, &sides)?, sides[1].name(program, &sides)?];
    let found = compare(&a, &b);
    print(program, args.json, &found)?;
    if found.equal { Ok(()) } else { Err(Failure::No) }
}

enum Side {
    Text(String),
    Entry(StoreArg, Option<String>),
}

impl Side {
    fn of(program: &Program, text: &OsStr) -> Side {
        let (store, label) = StoreArg::parse_with_label(&program.ui, text);
        match store.is_stdio() || store.path.exists() {
            true => Side::Entry(store, label),
            false => Side::Text(text.to_string_lossy().into_owned()),
        }
    }

    fn name(&self, program: &Program, sides: &[Side; 2]) -> Result<Name> {
        let (store, label) = match self {
            Side::Entry(store, label) => (store, label.as_deref()),
            Side::Text(text) if !text.contains('=') => {
                return Err(Failure::usage(format!("{text}: neither a name like CN=a,O=b nor a store")));
            }
            Side::Text(text) => {
                return Name::of_text(text).map_err(|e| Failure::usage(format!("{text}: {e}")));
            }
        };
        let stores: Vec<_> = sides
            .iter()
            .filter_map(|s| if let Side::Entry(store, _) = s { Some(store) } else { None })
            .collect();
        let source = store.open()?;
        let passwords = program.passwords(&stores)?;
        let secrets = passwords.of(store);
        let session = program.session()?;
        let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &session };
        let loaded = load(&Input { source: &source, format: store.format, ctx })?;
        let fits = |e: &&Entry| label.is_none_or(|l| super::show::is_wanted(e, Some(l)));
        let mut subjects = loaded.store.entries.iter().filter(fits).filter_map(subject);
        let Some(name) = subjects.next() else {
            let what =
                label.map_or_else(|| "no entry".to_owned(), |l| format!("no entry \"{}\"", Printable(l)));
            let e = Error::new(Kind::Read, format!("{what} has a subject")).in_file(&store.path);
            return Err(e.hint("keyferry list shows the labels").into());
        };
        if label.is_none() && subjects.any(|other| other != name) {
            return Err(Failure::usage_hint(
                format!("{} holds several subjects", store.name()),
                "say which one: STORE#LABEL",
            ));
        }
        Ok(Name::of_der(name))
    }
}

fn subject(entry: &Entry) -> Option<&[u8]> {
    match &entry.item {
        Item::Request { csr, .. } => request_fields(csr).ok().map(|f| f.subject),
        _ => cert_fields(entry.certificate()?).ok().map(|f| f.subject),
    }
}

fn print(program: &Program, json: bool, found: &Comparison) -> Result {
    let mut out = program.ui.out();
    if json {
        serde_json::to_writer_pretty(&mut out, found)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let ui = &program.ui;
    for pair in &found.rdns {
        if pair.equal {
            writeln!(out, "  {}", Printable(pair.a.as_deref().unwrap_or_default()))?;
            continue;
        }
        for (mark, style, text) in [("-", RED, &pair.a), ("+", GREEN, &pair.b)] {
            if let Some(text) = text {
                writeln!(out, "{}", ui.paint(style, &format!("{mark} {}", Printable(text))))?;
            }
        }
        for d in &pair.differences {
            let side = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
            writeln!(out, "    character {}: {} → {}", d.at, side(&d.a), side(&d.b))?;
        }
    }
    let verdict = match (found.grade, found.same_encoding) {
        (Some("exact"), Some(false)) => "the same text; the encodings differ (types of strings)",
        (Some("exact"), _) => "the same",
        (Some("reordered"), _) => "the same attributes in another order: AMS will not match this",
        (Some(_), _) => "the same but for case or blanks: AMS will not match this",
        (None, _) => "different names",
    };
    writeln!(out, "{}", ui.paint(DIM, verdict))?;
    Ok(out.flush()?)
}
