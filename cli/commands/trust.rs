//! `keyferry trust`: for what a certificate is relied upon. And the options that say so for other commands.

use super::Program;
use super::change::{ChangeOptions, Target};
use crate::error::{Failure, Result};
use clap::builder::PossibleValuesParser;
use formats::error::Printable;
use formats::jobs::edits::{Wanted, set_trust};
use formats::model::{Level, Purpose, Trust};
use formats::nss::Words;
use std::ffi::OsString;

/// Set what a certificate is trusted for
///
/// What is said is all of it: a purpose that is not named is neither trusted nor distrusted afterwards. A key
/// database has one setting for all purposes; Java's stores and PEM have none.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The certificate: its label, or sha256:HEX
    label: String,

    /// NSS's letters for server and client, e-mail, code signing, as certutil has them: CT,C,C
    #[arg(conflicts_with_all = ["anchor", "peer", "distrust", "none"])]
    flags: Option<String>,

    #[command(flatten)]
    trust: TrustOptions,

    #[command(flatten)]
    change: ChangeOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry trust nss:db 'Example Root CA' --anchor server,client
  keyferry trust nss:db 'Example Root CA' --anchor server --distrust email
  keyferry trust nss:db 'Example Root CA' CT,C,C
  keyferry trust client.kdb partner --anchor all
  keyferry trust client.kdb partner --none";

/// Trust in words.
#[derive(clap::Args)]
pub struct TrustOptions {
    /// Chains may end at it, for these purposes: server, client, email, code, all
    #[arg(long, value_name = "PURPOSE", value_delimiter = ',', value_parser = purposes())]
    anchor: Vec<String>,

    /// It is accepted itself and vouches for nobody, for these purposes
    #[arg(long, value_name = "PURPOSE", value_delimiter = ',', value_parser = purposes())]
    peer: Vec<String>,

    /// It is never accepted, for these purposes
    #[arg(long, value_name = "PURPOSE", value_delimiter = ',', value_parser = purposes())]
    distrust: Vec<String>,

    /// Neither trusted nor distrusted for anything
    #[arg(long, conflicts_with_all = ["anchor", "peer", "distrust"])]
    none: bool,
}

fn purposes() -> PossibleValuesParser {
    PossibleValuesParser::new(Purpose::ALL.iter().map(|p| p.name()).chain([ALL]))
}

const ALL: &str = "all";

impl TrustOptions {
    /// What is wanted; `None` where nothing was said.
    pub fn trust(&self) -> Result<Option<Trust>> {
        let mut trust = Trust::default();
        let mut said = self.none;
        let levels =
            [(&self.anchor, Level::Anchor), (&self.peer, Level::Peer), (&self.distrust, Level::Distrusted)];
        for (names, level) in levels {
            for purpose in Purpose::ALL {
                if !names.iter().any(|n| n == purpose.name() || n == ALL) {
                    continue;
                }
                if trust.level(purpose) != Level::Unset {
                    return Err(Failure::usage(format!("two settings for the purpose {}", purpose.name())));
                }
                trust.levels[purpose as usize] = level;
                said = true;
            }
        }
        Ok(said.then_some(trust))
    }
}

/// Sets it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let wanted = match (&args.flags, args.trust.trust()?) {
        (Some(letters), _) => {
            Wanted::Letters(Words::parse(letters).map_err(|e| Failure::usage(e.message()))?)
        }
        (None, Some(trust)) => Wanted::Trust(trust),
        (None, None) => {
            return Err(Failure::usage_hint(
                "nothing says what it is to be trusted for",
                "give --anchor, --peer or --distrust with purposes, or --none",
            ));
        }
    };
    let target = Target::new(program, &args.store, &[], &args.change)?;
    let done = target.edit(&|store, format| set_trust(store, format, &args.label, &wanted))?;
    let line = match (done.changed, args.change.dry_run) {
        (true, false) => "trust changed",
        (true, true) => "its trust would change",
        (false, _) => "has that trust already",
    };
    target.say(&format!("\"{}\": {line}", Printable(&args.label)), &done);
    Ok(())
}
