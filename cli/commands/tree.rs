//! Options of every command that goes through folders, and what they mean for the walk.

use super::Program;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::secrets::Passwords;
use formats::jobs::tree::{Found, Seen, Tree, walk_tree};
use formats::{Budget, Error, Format, Kind, NoSecrets, Options, Secrets, Session};
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

/// Which arguments are folders to go through.
#[derive(clap::Args)]
pub struct FolderOptions {
    /// Look for stores in folders and all that is below them
    #[arg(long, short)]
    pub recursive: bool,

    /// Look into old generations, locks and temporary files too
    #[arg(long, requires = "recursive")]
    pub all: bool,

    #[command(flatten)]
    pub tree: TreeOptions,
}

/// Where a walk begins, and what it takes along.
pub struct Below<'a> {
    pub program: &'a Program,
    pub root: &'a Path,
    pub passwords: &'a Passwords<'a>,
    pub session: &'a Session,
    /// Into old generations too.
    pub all: bool,
}

/// Whether an argument of a command that was told to go through folders is one.
pub fn is_tree(recursive: bool, store: &StoreArg) -> bool {
    recursive && store.format.is_none() && store.path.is_dir()
}

impl TreeOptions {
    /// Goes through the stores below a folder: `look` makes something of each, and `report` is handed that, or why
    /// it could not be looked into, in the order of the walk. A failure of `report` ends it.
    pub fn walk<T: Send>(
        &self,
        below: &Below<'_>,
        look: &(dyn Fn(&Found<'_>) -> Result<T, Error> + Sync),
        report: &mut dyn FnMut(PathBuf, Result<T, Error>) -> Result,
    ) -> Result {
        let tree = Tree {
            root: below.root,
            secrets: &|path, format| self.secrets_of(below.passwords, path, format),
            options: &Options::default(),
            session: below.session,
            all: below.all,
            cross_file_systems: self.cross_file_systems,
            threads: 0,
        };
        let mut progress = below.program.ui.progress();
        let (mut count, mut stopped) = (0, None);
        let ended = walk_tree(&tree, look, &mut |seen| {
            count += 1;
            progress.iter_mut().for_each(|p| p.at(count));
            let reported = match seen {
                Seen::Store(path, made) => report(path, Ok(made)),
                Seen::Failed(path, e) => report(path, Err(e)),
            };
            reported.map_err(|failure| {
                stopped = Some(failure);
                Error::new(Kind::Write, "stopped")
            })
        });
        stopped.map_or_else(|| ended.map_err(Failure::from), Err)
    }

    /// Whether passwords are left alone.
    pub fn no_secrets(&self) -> bool {
        self.no_secrets
    }

    /// The passwords of stores that are named, and where folders are gone through, of those that are found.
    pub fn passwords_for<'a>(
        &self,
        program: &'a Program,
        stores: &[&StoreArg],
        recursive: bool,
    ) -> Result<Passwords<'a>> {
        match recursive {
            true => self.passwords(program, stores),
            false => self.with_rules(program.passwords(stores)?),
        }
    }

    /// The passwords for stores that are found, with the rules.
    pub fn passwords<'a>(&self, program: &'a Program, stores: &[&StoreArg]) -> Result<Passwords<'a>> {
        self.with_rules(program.passwords_of_trees(stores)?)
    }

    /// The same passwords, and those of the rules.
    fn with_rules<'a>(&self, mut passwords: Passwords<'a>) -> Result<Passwords<'a>> {
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
