//! What the commands that change a store share: opening it, its passwords, `--dry-run`, and the report.

use super::Program;
use super::convert::say_losses;
use super::options::LossOptions;
use crate::error::{Failure, Result};
use crate::place::{StoreArg, shown};
use crate::secrets::{Passwords, StorePasswords};
use formats::error::Printable;
use formats::jobs::edit::{Change, Edit, Edited, edit};
use formats::jobs::edits::Line;
use formats::{Ctx, Options, Session};
use std::ffi::OsStr;

/// Options of every command that changes a store.
#[derive(clap::Args)]
pub struct ChangeOptions {
    /// Show what would change, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub loss: LossOptions,
}

/// A store that is to be changed.
pub struct Target<'a> {
    /// What every command works with.
    pub program: &'a Program,
    /// The store.
    pub arg: StoreArg,
    /// What all stores of the command share.
    pub session: Session,
    /// All passwords of the command.
    pub passwords: Passwords<'a>,
    options: &'a ChangeOptions,
}

impl<'a> Target<'a> {
    /// The store that `text` names, beside others that the command line names.
    pub fn new(
        program: &'a Program,
        text: &OsStr,
        others: &[&StoreArg],
        options: &'a ChangeOptions,
    ) -> Result<Self> {
        let arg = StoreArg::parse_existing(&program.ui, text);
        if arg.is_stdio() {
            return Err(Failure::usage("a store that is changed must be a file"));
        }
        let session = program.session()?;
        let all: Vec<&StoreArg> = std::iter::once(&arg).chain(others.iter().copied()).collect();
        let passwords = program.passwords(&all)?;
        Ok(Target { program, arg, session, passwords, options })
    }

    /// The store's passwords.
    pub fn secrets(&self) -> StorePasswords<'_> {
        self.passwords.of(&self.arg)
    }

    /// Makes a change of what the store holds.
    pub fn edit(&self, change: Change<'_>) -> Result<Edited> {
        let secrets = self.secrets();
        let on_step = crate::failpoint::on_step();
        let done = edit(&Edit {
            path: &self.arg.path,
            format: self.arg.format,
            ctx: Ctx { secrets: &secrets, options: &Options::default(), session: &self.session },
            to: None,
            change,
            allow: self.options.loss.allowed(),
            dry_run: self.options.dry_run,
            on_step: &on_step,
        })?;
        self.weigh(done)
    }

    /// Says what there is to say of a change; a loss that nobody allowed is a failure.
    pub fn weigh(&self, done: Edited) -> Result<Edited> {
        weigh(self.program, self.options, done)
    }

    /// Says one line of the store.
    pub fn say(&self, line: &str, done: &Edited) {
        let saved = done.old.as_ref().map_or_else(String::new, |o| format!(" (old: {})", shown(o)));
        let planned = if self.options.dry_run && done.changed { "; nothing was written" } else { "" };
        self.program.ui.note(&format!("{}: {line}{saved}{planned}", Printable(&self.arg.name())));
    }
}

/// Says what there is to say of a change; a loss that nobody allowed is a failure.
pub fn weigh(program: &Program, options: &ChangeOptions, done: Edited) -> Result<Edited> {
    for warning in &done.warnings {
        program.ui.warn(&Printable(warning).to_string());
    }
    let allow = options.loss.allowed();
    if !done.losses.iter().all(|l| allow.allows(l)) {
        return Err(Failure::Losses(done.losses.into_iter().filter(|l| !allow.allows(l)).collect()));
    }
    say_losses(program, &done.losses);
    Ok(done)
}

/// An entry in a line of a report.
pub fn said(line: &Line) -> String {
    let subject = match &*line.subject {
        "" => String::new(),
        subject => format!(": {}", Printable(subject)),
    };
    format!("{} \"{}\"{subject}", line.kind, Printable(&line.label))
}
