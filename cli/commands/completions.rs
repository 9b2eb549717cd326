//! `keyferry completions`: completions for a shell.

use super::Program;
use crate::error::Result;
use clap_complete::Shell;
use std::io::Write;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  keyferry completions bash > ~/.local/share/bash-completion/completions/keyferry
  keyferry completions zsh > ~/.zfunc/_keyferry
  keyferry completions fish > ~/.config/fish/completions/keyferry.fish";

/// Prints them.
pub fn run(program: &Program, args: &Args) -> Result {
    // Into memory first: the generator panics where its output can't be written.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::whole_command(), "keyferry", &mut text);
    let mut out = program.ui.out();
    out.write_all(&text)?;
    Ok(out.flush()?)
}
