//! `keyferry history`: what `apply` has done on this machine.

use super::Program;
use crate::config::{Config, USUAL};
use crate::error::Result;
use crate::history::{BEGINNING, Entry, read};
use crate::ui::{BOLD, GREEN, RED};
use formats::error::Printable;
use std::io::Write;
use std::path::PathBuf;

/// Show what keyferry apply has done
///
/// Who ran it and when, which stores changed, which certificates came and went. Every line of the history holds the
/// hash of the one before, and that is checked; note the last one elsewhere (--head), and nobody can rewrite what
/// was before it unnoticed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,

    /// Print the hash of the last line alone
    #[arg(long)]
    head: bool,

    /// Print a JSON array
    #[arg(long, conflicts_with = "head")]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry history
  keyferry history --head";

/// Shows it.
pub fn run(program: &Program, args: &Args) -> Result {
    let config = Config::read(&args.config)?;
    let all = read(&config.state)?;
    let mut out = program.ui.out();
    if args.head {
        writeln!(out, "{}", all.last().map_or(BEGINNING, |(_, hash)| hash))?;
    } else if args.json {
        let entries: Vec<&Entry> = all.iter().map(|(e, _)| e).collect();
        serde_json::to_writer_pretty(&mut out, &entries)?;
        writeln!(out)?;
    } else {
        for (entry, _) in &all {
            print(program, entry, &mut out)?;
        }
    }
    Ok(out.flush()?)
}

fn print(program: &Program, entry: &Entry, out: &mut impl Write) -> Result {
    let ui = &program.ui;
    let who = match &entry.sudo_user {
        Some(name) => format!("user {} for {}", entry.uid, Printable(name)),
        None => format!("user {}", entry.uid),
    };
    let bundles: Vec<_> = entry
        .bundles
        .iter()
        .map(|(name, serial)| serial.map_or_else(|| name.clone(), |s| format!("{name} {s}")))
        .collect();
    let head =
        format!("{}  {}  {who}  {}", entry.time, Printable(&entry.command), Printable(&bundles.join(", ")));
    writeln!(out, "{}", ui.paint(BOLD, &head))?;
    for change in &entry.stores {
        writeln!(out, "  {}: {}", Printable(&change.store), change.outcome)?;
        for (mark, style, list) in [("+", GREEN, &change.added), ("-", RED, &change.removed)] {
            for one in list {
                let text = format!("{mark} {}  {}", Printable(&one.subject), one.sha256);
                writeln!(out, "    {}", ui.paint(style, &text))?;
            }
        }
        for said in &change.said {
            writeln!(out, "    {}", Printable(said))?;
        }
    }
    Ok(())
}
