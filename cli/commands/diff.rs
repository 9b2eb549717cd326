//! `keyferry diff`: two stores compared by what they hold.

use super::Program;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::ui::{DIM, GREEN, RED, YELLOW};
use formats::error::Printable;
use formats::jobs::diff::{Changed, Diff, Side, diff, open_bare_keys};
use formats::jobs::{Input, Loaded, load};
use formats::{Ctx, Options};
use std::ffi::OsString;
use std::io::Write;

/// Compare two stores
///
/// Certificates and keys are compared by content, whatever the formats and the order: what B has and A
/// hasn't (+), what A has and B hasn't (-), and what has another label, trust or chain or is the default (~). What one of the
/// formats can't say is not compared. The status is 1 when they differ.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The first store
    a: OsString,

    /// The second store
    b: OsString,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry diff client.jks client.p12 --password env:PW
  keyferry diff old.jks new.jks --password old.jks=env:OLD --password new.jks=env:NEW";

/// Compares.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let stores =
        [StoreArg::parse_existing(&program.ui, &args.a), StoreArg::parse_existing(&program.ui, &args.b)];
    if stores.iter().all(StoreArg::is_stdio) {
        return Err(Failure::usage("standard input can be one store only"));
    }
    let sources = [stores[0].open()?, stores[1].open()?];
    let passwords = program.passwords(&[&stores[0], &stores[1]])?;
    let session = program.session()?;
    let options = Options::default();
    let read = |at: usize| -> Result<Loaded> {
        let secrets = passwords.of(&stores[at]);
        let ctx = Ctx { secrets: &secrets, options: &options, session: &session };
        let loaded = load(&Input { source: &sources[at], format: stores[at].format, ctx })?;
        open_bare_keys(&loaded, &ctx);
        Ok(loaded)
    };
    let (a, b) = (read(0)?, read(1)?);
    let found = diff(&a, &b);
    print(program, args, &stores, &found)?;

    let mut incomplete = false;
    for (store, loaded) in stores.iter().zip([&a, &b]) {
        for defect in &loaded.store.defects {
            program.ui.store_error(&store.name(), defect);
            incomplete = true;
        }
    }
    match (incomplete, found.is_empty()) {
        (true, _) => Err(Failure::Incomplete),
        (false, true) => Ok(()),
        (false, false) => Err(Failure::No),
    }
}

fn print(program: &Program, args: &Args, stores: &[StoreArg; 2], found: &Diff) -> Result {
    let mut out = program.ui.out();
    if args.json {
        let object = serde_json::json!({
            "a": stores[0].name(),
            "b": stores[1].name(),
            "equal": found.is_empty(),
            "added": found.added,
            "removed": found.removed,
            "changed": found.changed,
            "same": found.same,
        });
        serde_json::to_writer_pretty(&mut out, &object)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let ui = &program.ui;
    for entry in &found.removed {
        writeln!(out, "{}", ui.paint(RED, &format!("- {}", described(entry))))?;
    }
    for entry in &found.added {
        writeln!(out, "{}", ui.paint(GREEN, &format!("+ {}", described(entry))))?;
    }
    for Changed { entry, changes } in &found.changed {
        writeln!(out, "{}", ui.paint(YELLOW, &format!("~ {}", described(entry))))?;
        for change in changes {
            writeln!(out, "    {}: {} → {}", change.what, Printable(&change.from), Printable(&change.to))?;
        }
    }
    let (removed, added, changed) = (found.removed.len(), found.added.len(), found.changed.len());
    let summary =
        format!("{removed} only in A, {added} only in B, {changed} changed, {} the same", found.same);
    writeln!(out, "{}", ui.paint(DIM, &summary))?;
    Ok(out.flush()?)
}

fn described(entry: &Side) -> String {
    let label = entry.label.as_deref().map_or_else(String::new, |l| format!(" \"{}\"", Printable(l)));
    let subject = entry.subject.as_deref().map_or_else(String::new, |s| format!("  {}", Printable(s)));
    format!("{}{label}{subject}", entry.kind)
}
