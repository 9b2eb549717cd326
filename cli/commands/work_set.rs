//! `keyferry work-set`: a worker of `apply`. Its order comes on standard input, its answer goes to standard output.

use super::Program;
use crate::error::Result;
use crate::sets::order::{Answer, Order, Problem};
use crate::sets::work::{read_order, work};
use formats::{Error, Kind};
use std::io::Write;

/// Work on one set of stores
#[derive(clap::Args)]
pub struct Args {}

/// Works.
pub fn run(program: &Program, _: &Args) -> Result {
    let order = read_order()?;
    let answer = match become_owner(&order) {
        Ok(()) if order.look => crate::status::of_set(program, &order),
        Ok(()) => work(program, &order),
        Err(e) => Answer { error: Some(Problem::from(&e)), ..Answer::default() },
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &answer)?;
    Ok(out.flush()?)
}

/// From the caller's rights to those of the stores' owner; away from the caller's terminal, too.
fn become_owner(order: &Order) -> formats::Result<()> {
    let Some(owner) = &order.owner else { return Ok(()) };
    let become_it = || {
        rustix::process::setsid()?;
        owner.become_for_good()?;
        // When its caller ends, so does it. Whoever changes rights must ask for it anew.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        Ok(())
    };
    become_it().map_err(|e: std::io::Error| {
        let reason = formats::place::reason(&e);
        Error::io(Kind::Write, format!("can't become user {}: {reason}", owner.uid), e)
    })
}
