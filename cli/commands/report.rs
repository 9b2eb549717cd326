//! `keyferry report`: a page about all stores below folders.

use super::Program;
use super::check::{Look, Looked, summary};
use super::tree::TreeOptions;
use crate::error::{Failure, Result};
use crate::files::{PRIVATE, write};
use crate::report::{Inventory, MARK, StoreSeen, page};
use crate::time::span;
use formats::Error;
use formats::jobs::check::{Asked, Finding};
use formats::place::path_text;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Write a page about all stores below folders
///
/// One HTML file that loads nothing: when certificates end, what keyferry check finds, what each store holds, and
/// who issued whom; it can be searched, sorted and printed. It names where private keys are, so its mode is 0600;
/// chmod it for those who may read it. An older page of this command is replaced, any other file is not.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folders and stores
    #[arg(required = true, value_name = "DIR|STORE")]
    stores: Vec<OsString>,

    /// The file to write
    #[arg(long, value_name = "FILE", required = true)]
    html: PathBuf,

    #[command(flatten)]
    tree: TreeOptions,

    /// Mark what ends within this time (30d, 12h, 6w, 1y)
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = span)]
    within: i64,

    /// Look into old generations as stores of their own too
    #[arg(long)]
    all: bool,

    /// Replace whatever file is there
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry report /home /var/mqm --html keystores.html
  keyferry report . --html report.html --within 90d --password env:PW";

/// Looks and writes.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    if !args.force {
        replaceable(&args.html)?;
    }
    let now = program.session()?.now_ms.div_euclid(1000);
    let roots = args.stores.iter().map(|s| path_text(s.as_ref()).into_owned()).collect();
    let within = args.within / 1000;
    let mut inventory =
        Inventory { now, within, roots, stores: Vec::new(), certificates: std::collections::BTreeMap::new() };
    let asked = Asked { within, old_like_new: args.all, ..Asked::default() };
    let look =
        Look { program, stores: &args.stores, recursive: true, all: args.all, tree: &args.tree, asked };
    let outcome = look.through(&mut |found| {
        match found {
            Looked::Checked(name, checked) => {
                inventory.add(checked.certificates);
                let (format, rows, findings) = (Some(checked.format), checked.rows, checked.findings);
                inventory.stores.push(StoreSeen { name: name.to_owned(), format, rows, findings });
            }
            Looked::Failed(name, error, findings) => {
                program.ui.store_error(name, error);
                let name = name.to_owned();
                inventory.stores.push(StoreSeen { name, format: None, rows: Vec::new(), findings });
            }
        }
        Ok(())
    })?;
    write(&args.html, page(&inventory).as_bytes(), PRIVATE)?;
    let findings: Vec<Finding> = inventory.stores.into_iter().flat_map(|s| s.findings).collect();
    program.ui.note(&summary(&findings));
    if outcome.failed.is_some() || outcome.incomplete { Err(Failure::Incomplete) } else { Ok(()) }
}

/// Only a page of ours is replaced unasked: a misspelt name must not cost a store.
fn replaceable(path: &Path) -> Result {
    let refused = |what: &str| {
        let e = Error::refused(what.to_owned()).in_file(path).hint("--force replaces it");
        Err(Failure::Failed(e))
    };
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(meta) if !meta.is_file() => refused("it is there, and is no file"),
        Ok(_) => {
            let mut begin = Vec::new();
            let read =
                std::fs::File::open(path).and_then(|f| f.take(MARK.len() as u64).read_to_end(&mut begin));
            match read {
                Ok(_) if begin == MARK.as_bytes() => Ok(()),
                _ => refused("it is there, and is no page of this command"),
            }
        }
    }
}
