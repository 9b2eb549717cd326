//! `keyferry man`: the manual pages.

use super::Program;
use crate::error::Result;
use crate::files::{PUBLIC, write};
use clap::Command;
use formats::{Error, Kind};
use std::path::{Path, PathBuf};

/// Write the manual pages
///
/// One page for the program and one for each command, named keyferry.1, keyferry-convert.1 and so on.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder to write into; it is made if it isn't there
    dir: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  keyferry man ~/.local/share/man/man1";

/// Writes them.
pub fn run(program: &Program, args: &Args) -> Result {
    std::fs::create_dir_all(&args.dir).map_err(|e| failed(&args.dir, e))?;
    let whole = super::whole_command();
    let mut pages = vec![("keyferry".to_owned(), whole.clone())];
    below(&whole, "keyferry", &mut pages);
    for (name, command) in pages {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        let path = args.dir.join(format!("{name}.1"));
        write(&path, &page, PUBLIC)?;
        program.ui.note(&path.display().to_string());
    }
    Ok(())
}

/// A page for each command below `command`, at any depth.
fn below(command: &Command, above: &str, pages: &mut Vec<(String, Command)>) {
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        let name = format!("{above}-{}", sub.get_name());
        pages.push((name.clone(), sub.clone().name(name.clone()).version(env!("CARGO_PKG_VERSION"))));
        below(sub, &name, pages);
    }
}

fn failed(path: &Path, e: std::io::Error) -> Error {
    Error::new(Kind::Write, "can't be written")
        .caused_by(e)
        .in_file(path)
        .hint("name a folder you may write to")
}
