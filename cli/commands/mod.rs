//! The commands: one file each, with the arguments (whose comments are the help) and what they do.
//!
//! Everything that depends on the formats (names, options, help) is built from the table
//! [`formats::FORMATS`].

mod add;
mod apply;
mod bundle;
mod change;
mod check;
mod completions;
mod config;
mod convert;
mod create;
mod crl;
mod default;
mod delivery;
mod diff;
mod dn;
mod explain;
mod extract;
mod filter;
mod find;
mod help_page;
mod history;
mod init;
mod keygen;
mod keys;
mod list;
mod man;
mod merge;
mod migrate;
mod nss;
mod options;
mod passwd;
mod prune;
mod random;
mod rebuild;
mod remove;
mod rename;
mod renew;
mod report;
mod request;
mod revocation;
pub mod rollback;
mod show;
mod split;
mod stash;
mod status;
mod tree;
mod trust;
mod unstash;
mod work_set;

pub use bundle::{beside, public_key as bundle_key};

use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::secrets::{Given, Passwords, VARIABLE};
use crate::ui::{Color, Ui};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use formats::{Budget, FORMATS, Rng, Session};
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

/// One command: how its arguments are declared, and what runs.
struct Entry {
    name: &'static str,
    /// One line, for the list of commands; the rest is declared when the command is used.
    about: &'static str,
    declare: fn(Command) -> Command,
    run: fn(&Program, &ArgMatches) -> Result,
    hidden: bool,
}

macro_rules! commands {
    ($($name:literal $module:ident $about:literal $hidden:literal;)*) => {
        &[$(Entry {
            name: $name,
            about: $about,
            declare: $module::Args::augment_args,
            run: |program, found| $module::run(program, &$module::Args::from_arg_matches(found)?),
            hidden: $hidden,
        }),*]
    };
}

const COMMANDS: &[Entry] = commands! {
    "convert" convert "Convert a store into another format" false;
    "list" list "List what stores hold" false;
    "show" show "Show entries in full" false;
    "diff" diff "Compare two stores" false;
    "check" check "Check what is wrong with stores, or soon will be" false;
    "report" report "Write a page about all stores below folders" false;
    "explain" explain "Explain a code or a message, of ours or of another program" false;
    "find" find "Find who holds a certificate, and who its private key" false;
    "dn" dn "Compare distinguished names" false;
    "rebuild" rebuild "Rebuild client stores from a bundle of certificates and the key they hold" false;
    "status" status "Show a store's keys, generations and last update" false;
    "rollback" rollback "Put a store's newest old generation back" false;
    "prune" prune "Delete old generations that are no longer needed" false;
    "create" create "Create a store, empty or with what files hold" false;
    "add" add "Add certificates and keys to a store" false;
    "extract" extract "Write one entry into a file" false;
    "remove" remove "Remove entries from stores" false;
    "rename" rename "Give an entry another label" false;
    "trust" trust "Set what a certificate is trusted for" false;
    "default" default "Show or set a store's default key" false;
    "passwd" passwd "Change the password of a store and its keys, or of one key" false;
    "random" random "Print a random password" false;
    "stash" stash "Write a store's password into the stash beside it" false;
    "unstash" unstash "Print the password in a stash" false;
    "nss" nss "Show or change what only NSS databases have" false;
    "apply" apply "Bring all stores of this machine up to date" false;
    "init" init "Write a first configuration" false;
    "config" config "Check the configuration, or print its schema" false;
    "history" history "Show what keyferry apply has done" false;
    "bundle" bundle "Make, sign, verify and compare trust bundles" false;
    "keygen" keygen "Make a new key pair in a store" false;
    "request" request "Ask for certificates, sign requests, take certificates in" false;
    "renew" renew "Ask for the successor of a certificate, and let it take over" false;
    "crl" crl "Make and show the revocation lists of an authority" false;
    "migrate" migrate "Move key databases to PKCS#12 for MQ 9.3 and later, with what belongs to them" false;
    "split" split "Part a store into a key store and a trust store" false;
    "merge" merge "Put several stores into one" false;
    "completions" completions "Print completions for a shell" false;
    "man" man "Write the manual pages" false;
    "work-set" work_set "Work on one set of stores, for apply" true;
    "help-page" help_page "Print the command reference as Markdown" true;
};

/// Options of every command.
#[derive(clap::Args)]
pub struct Global {
    /// Password of a store; without STORE= it counts for every store that has none of its own
    #[arg(long, global = true, value_name = "[STORE=]SPEC", help_heading = "Passwords")]
    pub password: Vec<String>,

    /// Password of the store that is written, if it isn't the source's
    #[arg(long, global = true, value_name = "SPEC", help_heading = "Passwords")]
    pub to_password: Option<String>,

    /// Password of a key that has one of its own; without LABEL= it is tried for every such key
    #[arg(long, global = true, value_name = "[LABEL=]SPEC", help_heading = "Passwords")]
    pub key_password: Vec<String>,

    /// Most rounds of key derivation that one key of a file may ask for (all together: ten times this)
    #[arg(long, global = true, value_name = "N", help_heading = "Passwords")]
    pub max_iterations: Option<u64>,

    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub color: Color,

    /// Say nothing of what went well
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,

    /// Write the same bytes for the same input: time from SOURCE_DATE_EPOCH, salts that can be foreseen
    #[arg(long, global = true, help_heading = "Output")]
    pub reproducible: bool,

    /// As root: keep root's rights for a store in another user's folder, instead of taking that user's
    #[arg(long, global = true, help_heading = "Rights")]
    pub as_root: bool,
}

/// What every command works with.
pub struct Program {
    /// Messages and results.
    pub ui: Ui,
    /// The options of every command.
    pub global: Global,
    /// Files of passwords, opened before root's rights were given up.
    pub opened: Vec<(PathBuf, File)>,
}

impl Program {
    /// What all stores of this command share: work budget, randomness, clock.
    pub fn session(&self) -> Result<Session> {
        let mut session = Session::new(crate::time::now_ms());
        if let Some(most) = self.global.max_iterations {
            session.budget = Budget::new(most, most.saturating_mul(10).max(Budget::TOTAL));
        }
        if self.global.reproducible {
            let seconds = source_date_epoch()?;
            session.now_ms = seconds.saturating_mul(1000);
            session.rng = Rng::seeded(seed(seconds));
        }
        Ok(session)
    }

    /// The time that certificates and lists of this command begin at, in seconds since 1970.
    pub fn now(&self) -> Result<i64> {
        Ok(self.session()?.now_ms.div_euclid(1000))
    }

    /// The passwords for these stores.
    pub fn passwords(&self, stores: &[&StoreArg]) -> Result<Passwords<'_>> {
        Passwords::new(&self.ui, self.given(), stores, false)
    }

    /// The passwords where stores are found in folders.
    pub fn passwords_of_trees(&self, stores: &[&StoreArg]) -> Result<Passwords<'_>> {
        Passwords::new(&self.ui, self.given(), stores, true)
    }

    /// The passwords as the command line has them.
    pub fn given(&self) -> Given<'_> {
        Given {
            password: &self.global.password,
            to_password: self.global.to_password.as_deref(),
            key_password: &self.global.key_password,
            opened: &self.opened,
        }
    }

    /// For commands that write no store.
    pub fn refuse_to_password(&self) -> Result {
        match self.global.to_password {
            Some(_) => Err(Failure::usage("--to-password is for commands that write a store")),
            None => Ok(()),
        }
    }
}

/// The variable that reproducible builds take the time from (reproducible-builds.org, version 1.1).
fn source_date_epoch() -> Result<i64> {
    let value = std::env::var("SOURCE_DATE_EPOCH").ok();
    value.as_deref().and_then(|v| v.trim().parse().ok()).filter(|s| *s >= 0).ok_or_else(|| {
        Failure::usage(
            "--reproducible takes the time from the variable SOURCE_DATE_EPOCH: seconds since 1970",
        )
    })
}

fn seed(seconds: i64) -> [u8; 32] {
    let mut seed = *b"keyferry --reproducible salts 01";
    for (to, from) in seed.iter_mut().zip(seconds.to_le_bytes()) {
        *to ^= from;
    }
    seed
}

/// The command line with the commands that `wanted` says. What each takes is declared when it is looked at.
fn command(wanted: impl Fn(&Entry) -> bool) -> Command {
    let commands: Vec<_> = COMMANDS.iter().filter(|e| wanted(e)).collect();
    // The doc comment of `Global` would take the place of an `about` that was set before.
    let program = Global::augment_args(Command::new("keyferry"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Ferries certificates and keys between keystores, and keeps a client's keystores current")
        .long_about(None)
        // Where a command or --version is named, nobody will see it.
        .after_help(if commands.len() < COMMANDS.len() { String::new() } else { after_help() })
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(110);
    commands.into_iter().fold(program, |program, entry| {
        program
            .subcommand(Command::new(entry.name).about(entry.about).hide(entry.hidden).defer(entry.declare))
    })
}

/// The same with every command declared, for what describes them all.
pub fn whole_command() -> Command {
    let mut whole = command(|_| true);
    whole.build();
    whole
}

/// The formats, the SPECs, the exit statuses.
fn after_help() -> String {
    let mut text = String::from(
        "Stores:\n  A store is a path, FORMAT:PATH, or - for standard input or output. Inputs are recognised by \
         content.\n  An output's format is its prefix, else --to, else its extension.\n\nFormats:\n",
    );
    for format in FORMATS {
        let suffixes: Vec<String> = format.suffixes().iter().map(|s| format!(".{s}")).collect();
        let suffixes = if suffixes.is_empty() { String::new() } else { format!(" ({})", suffixes.join(" ")) };
        text.push_str(&format!("  {:<8}{}{suffixes}\n", format.name(), format.title()));
    }
    text.push_str(&format!(
        "\nPasswords:\n  SPEC is env:NAME, file:PATH (first line), fd:N, stdin, stash:PATH, prompt, none, or \
         pass:LITERAL.\n  Without one: a stash beside a kdb, else the variable {VARIABLE}, else a question at the terminal.\n\n\
         Exit status:\n{STATUSES}"
    ));
    text
}

const STATUSES: &str = "  0  done
  1  the answer is no: differences found, nothing matched
  2  the command line is wrong
  3  an input can't be read or is malformed; nothing was written
  4  a password is missing or wrong; nothing was written
  5  refused: something would be lost or overwritten
  6  the store is locked, or changed meanwhile; nothing was written
  7  writing, swapping or --exec failed; the store is as it was
  8  incomplete: some of several stores failed; they are named";

/// Parses, runs, reports.
pub fn main() -> ExitCode {
    crate::secrets::no_core_dumps();
    // Declaring a command copies every global option into it, which costs more than all else before the
    // work begins: where the first argument says which one is meant, or that none is, the others stay away.
    let first = std::env::args_os().nth(1);
    let named = |e: &Entry| first.as_deref().is_some_and(|f| f == e.name);
    let version = first.as_deref().is_some_and(|f| f == "--version" || f == "-V");
    let line = command(|e| named(e) || !(version || COMMANDS.iter().any(named)));
    let line = match line.try_get_matches() {
        Ok(line) => line,
        Err(e) => {
            let failure = Failure::Clap(e);
            // `--color` and `--quiet` are not known when the command line can't be read.
            failure.report(&Ui::new(Color::Auto, false));
            return ExitCode::from(failure.status());
        }
    };
    let global = match Global::from_arg_matches(&line) {
        Ok(global) => global,
        Err(e) => e.exit(),
    };
    let ui = Ui::new(global.color, global.quiet);
    let (taken, opened) = match crate::rights::take(&ui, &global, &line) {
        Ok(taken) => taken,
        Err(failure) => return ended(&ui, &failure),
    };
    let program = Program { ui, global, opened };
    let entry = line.subcommand().and_then(|(name, m)| COMMANDS.iter().find(|e| e.name == name).zip(Some(m)));
    let Some((entry, found)) = entry else { return ExitCode::from(2) };
    match (entry.run)(&program, found) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let status = ended(&program.ui, &failure);
            taken.explain(&program.ui, &failure);
            status
        }
    }
}

fn ended(ui: &Ui, failure: &Failure) -> ExitCode {
    failure.report(ui);
    ExitCode::from(failure.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        // Checks every command, for debug builds assert what clap demands.
        let all = whole_command();
        all.clone().debug_assert();
        assert_eq!(all.get_subcommands().filter(|c| c.get_name() != "help").count(), COMMANDS.len());
    }

    #[test]
    fn seeds_differ_by_time() {
        assert_ne!(seed(1), seed(2));
        assert_eq!(seed(7), seed(7));
    }
}
