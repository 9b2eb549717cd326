//! `keyferry config`: the configuration checked, and its schema.

use super::Program;
use crate::config::{Config, USUAL};
use crate::error::{Failure, Result};
use crate::sets::plan::sets;
use formats::error::Printable;
use std::io::Write;
use std::path::PathBuf;

/// Check the configuration, or print its schema
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    Check(Check),
    /// Print the JSON Schema of the configuration
    Schema,
}

/// Check the configuration, and show the stores that it means
///
/// The file, who could write it, every value, and which stores its patterns find; stores that change together are
/// shown together. Nothing is fetched and no store is opened.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct Check {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  keyferry config check
  keyferry config check --config ./new.toml";

/// Does it.
pub fn run(program: &Program, args: &Args) -> Result {
    let mut out = program.ui.out();
    match &args.part {
        Part::Schema => {
            serde_json::to_writer_pretty(&mut out, &schemars::schema_for!(Config))?;
            writeln!(out)?;
        }
        Part::Check(args) => {
            let config = Config::read(&args.config)?;
            let (sets, failed) = sets(&config)?;
            for bundle in &config.bundle {
                let (name, source) = (Printable(bundle.name()), Printable(&bundle.source));
                writeln!(out, "bundle {name}: {source}, verified by {}", Printable(&bundle.verify))?;
            }
            for set in &sets {
                let owner = set.owner.as_ref().map_or_else(String::new, |o| format!(" (as user {})", o.uid));
                writeln!(out, "set{owner}:")?;
                for store in &set.stores {
                    writeln!(out, "  {}", Printable(&store.path.to_string_lossy()))?;
                }
            }
            out.flush()?;
            failed.iter().for_each(|e| crate::error::report(&program.ui, e));
            if !failed.is_empty() {
                return Err(Failure::Incomplete);
            }
        }
    }
    Ok(out.flush()?)
}
