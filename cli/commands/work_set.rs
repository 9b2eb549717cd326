//! `keyferry work-set`: a worker of `apply`. Its order comes on standard input, its answer goes to standard output.

use super::Program;
use crate::error::Result;
use crate::sets::work::{read_order, work};
use std::io::Write;

/// Work on one set of stores
#[derive(clap::Args)]
pub struct Args {}

/// Works.
pub fn run(program: &Program, _: &Args) -> Result {
    let order = read_order()?;
    let answer = work(program, &order);
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &answer)?;
    Ok(out.flush()?)
}
