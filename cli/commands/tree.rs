//! Options of every command that goes through folders, and what they mean for the walk.

use super::Program;
use crate::error::Result;
use crate::place::StoreArg;
use crate::secrets::Passwords;
use formats::{Budget, Format, NoSecrets, Secrets, Session};
use std::path::{Path, PathBuf};

/// How folders are gone through.
#[derive(clap::Args)]
#[command(next_help_heading = "Folders")]
pub struct TreeOptions {
    /// Go on into other file systems that are mounted below a folder
    #[arg(long)]
    cross_file_systems: bool,

    /// Passwords by path: lines of PATTERN = SPEC, the first that fits counts
    #[arg(long, value_name = "FILE")]
    password_rules: Option<PathBuf>,

    /// Use no password at all, stashes beside stores neither: list what can be read without
    #[arg(long)]
    no_secrets: bool,

    /// Most rounds of key derivation for all stores together
    #[arg(long, value_name = "N", default_value_t = Budget::TREE, hide_default_value = true)]
    max_work: u64,
}

impl TreeOptions {
    /// Whether mounts are entered.
    pub fn cross_file_systems(&self) -> bool {
        self.cross_file_systems
    }

    /// Whether passwords are left alone.
    pub fn no_secrets(&self) -> bool {
        self.no_secrets
    }

    /// The passwords for stores that are found, with the rules.
    pub fn passwords<'a>(&self, program: &'a Program, stores: &[&StoreArg]) -> Result<Passwords<'a>> {
        self.with_rules(program.passwords_of_trees(stores)?)
    }

    /// The same passwords, and those of the rules.
    pub fn with_rules<'a>(&self, mut passwords: Passwords<'a>) -> Result<Passwords<'a>> {
        if let Some(file) = &self.password_rules {
            passwords.add_rules(file)?;
        }
        Ok(passwords)
    }

    /// The passwords of one store that was found.
    pub fn secrets_of<'a>(
        &self,
        passwords: &'a Passwords<'_>,
        path: &Path,
        format: &'static dyn Format,
    ) -> Box<dyn Secrets + 'a> {
        match self.no_secrets {
            true => Box::new(NoSecrets),
            false => Box::new(passwords.of_found(path, format)),
        }
    }

    /// What all stores share, with one budget for all.
    pub fn session(&self, program: &Program) -> Result<Session> {
        let mut session = program.session()?;
        let each = program.global.max_iterations.unwrap_or(Budget::PER_PARAMETER);
        session.budget = Budget::new(each, self.max_work);
        Ok(session)
    }
}
