//! not yet
use super::Program;
use crate::error::Result;
/// not yet
#[derive(clap::Args)]
pub struct Args {}
/// not yet
pub fn run(_: &Program, _: &Args) -> Result {
    Ok(())
}
