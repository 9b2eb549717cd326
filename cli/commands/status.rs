//! `keyferry status`: a store's keys, what expires, its generations, its last update.

use super::Program;
use crate::config::{Config, GateRules, USUAL, span_of};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::sets::order::{Order, Problem, StoreOrder};
use crate::sets::plan::{Set, filled, sets};
use crate::sets::run::run as run_sets;
use crate::status::{Asked, Seen, look, print};
use formats::jobs::rebuild::Mode;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// Show a store's keys, generations and last update
///
/// How many entries it holds, its keys with the ends of their certificates, how many certificates have
/// expired or soon will and how many days are left, its old generations, what waits to take its place and what it was
/// built from, whether a rollback holds or an update was interrupted (and which way the next run puts that right), and
/// what the last update noted. Without a store, every store of the configuration, with no more rights than its owner has;
/// a set of stores that can't be looked at in the configuration's `limit` is named, and the status is 8.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The stores
    #[arg(value_name = "STORE")]
    stores: Vec<OsString>,

    /// The configuration, where no store is named
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,

    /// Print a JSON array with one object for each store
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry status
  keyferry status client.jks --password env:PW
  keyferry status *.p12 --json";

/// Shows the status.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let ui = &program.ui;
    if args.json {
        ui.errors_as_json();
    }
    let named = |text: &OsString| Asked { arg: StoreArg::parse_existing(ui, text), home: None };
    let seen = match args.stores.is_empty() {
        true => of_config(program, &Config::read(&args.config)?)?,
        false => {
            let stores: Vec<_> = args.stores.iter().map(named).collect();
            look(program, &stores, program.given().password)?
        }
    };
    let count = seen.len();
    let (mut all, mut failed) = (Vec::new(), None);
    for Seen { status, problem } in seen {
        if let Some(problem) = problem {
            let e = problem.error();
            match &status {
                Some(status) => ui.store_error(&status.store, &e),
                None => crate::error::report(ui, &e),
            }
            failed = Some(e.kind());
        }
        all.extend(status);
    }
    let mut out = ui.out();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
    } else {
        all.iter().try_for_each(|s| print(ui, &mut out, s))?;
    }
    out.flush()?;
    match (failed, count) {
        (None, _) => Ok(()),
        (Some(kind), 1) => Err(Failure::Reported(kind)),
        (Some(_), _) => Err(Failure::Incomplete),
    }
}

/// Every store of a configuration, each set by a worker with no more rights than its owner has, and no more time than the
/// configuration gives.
fn of_config(program: &Program, config: &Config) -> Result<Vec<Seen>> {
    let (sets, errors) = sets(config)?;
    let unseen = |problem| Seen { status: None, problem: Some(problem) };
    let mut seen: Vec<Seen> = errors.iter().map(|e| unseen(Problem::from(e))).collect();
    let orders = sets.into_iter().map(|set| Ok((order(program, config, &set)?, set)));
    let orders: Vec<_> =
        orders.map(|both: Result<_>| both.map(|(order, set)| (set, order))).collect::<Result<_>>()?;
    run_sets(&orders, config.jobs, &mut |_, answer| {
        answer.warnings.iter().for_each(|w| program.ui.warn(w));
        seen.extend(answer.error.map(unseen));
        seen.extend(answer.seen);
        Ok(())
    })?;
    Ok(seen)
}

/// To look at a set.
fn order(program: &Program, config: &Config, set: &Set<'_>) -> Result<Order> {
    let stores = set.stores.iter().map(|store| StoreOrder {
        store: store.path.clone(),
        pointer: store.pointer.clone(),
        format: store.format.map(|f| f.name().to_owned()),
        password: store.rule.password.as_ref().map(|p| filled(p, &store.stars)),
        ..StoreOrder::default()
    });
    Ok(Order {
        look: true,
        owner: set.owner.clone(),
        stores: stores.collect(),
        passwords: program.given().password.to_vec(),
        limit_ms: u64::try_from(span_of("limit", &config.limit)?).unwrap_or(u64::MAX),
        gates: GateRules::default(),
        mode: Mode::Plan,
        ..Order::default()
    })
}
