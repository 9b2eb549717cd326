//! `keyferry nss`: what only NSS databases have.

use super::Program;
use crate::error::{Failure, Result};
use crate::place::{StoreArg, shown};
use crate::ui::BOLD;
use formats::error::Printable;
use formats::nss::modules;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// Show or change what only NSS databases have
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    /// The PKCS #11 modules that programs load which use the database
    #[command(subcommand)]
    Module(Module),
}

#[derive(clap::Subcommand)]
enum Module {
    List(List),
    Add(Add),
}

/// List the modules
///
/// In their order, with the library of each; NSS's own has none. The database needs no password for it.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct List {
    /// The folder of the database
    dir: OsString,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Add a module
///
/// It goes to the end of pkcs11.txt, all else in that file stays byte for byte, and the old file stays as
/// pkcs11.txt.old-N, which keyferry rollback DIR/pkcs11.txt puts back. Programs load the module when they are
/// started next. The library is not run, so whether it works is for modutil -list to say.
#[derive(clap::Args)]
#[command(after_help = ADD_EXAMPLES)]
struct Add {
    /// The folder of the database
    dir: OsString,

    /// The module's name
    #[arg(long, value_name = "N")]
    name: String,

    /// Its library: a path, or a name that the system finds
    #[arg(long, value_name = "PATH")]
    library: String,
}

const LIST_EXAMPLES: &str = "\
Examples:
  keyferry nss module list ~/.pki/nssdb";

const ADD_EXAMPLES: &str = "\
Examples:
  keyferry nss module add ~/.pki/nssdb --name SoftHSM --library /usr/lib/softhsm/libsofthsm2.so";

/// Does it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    match &args.part {
        Part::Module(Module::List(args)) => list(program, args),
        Part::Module(Module::Add(args)) => add(program, args),
    }
}

fn folder(dir: &std::ffi::OsStr) -> Result<PathBuf> {
    let arg = StoreArg::parse(dir);
    if arg.is_stdio() || arg.format.is_some_and(|f| f.name() != "nss") {
        return Err(Failure::usage("modules are listed in the folder of an NSS database"));
    }
    Ok(arg.path)
}

fn list(program: &Program, args: &List) -> Result {
    let folder = folder(&args.dir)?;
    let all = modules::list(&folder).map_err(|e| e.in_file(&folder))?;
    let mut out = program.ui.out();
    if args.json {
        let rows: Vec<_> = all
            .iter()
            .map(|m| match &m.library {
                Some(library) => serde_json::json!({"name": m.name, "library": library}),
                None => serde_json::json!({"name": m.name}),
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
    } else {
        for module in &all {
            let library = module.library.as_deref().unwrap_or("(NSS itself)");
            let name = program.ui.paint(BOLD, &Printable(&module.name).to_string());
            writeln!(out, "{name}  {}", Printable(library))?;
        }
    }
    Ok(out.flush()?)
}

fn add(program: &Program, args: &Add) -> Result {
    let folder = folder(&args.dir)?;
    let on_step = crate::failpoint::on_step();
    // Programs that load it have other working folders.
    let library = match args.library.contains('/') {
        true => std::path::absolute(&args.library)?.to_string_lossy().into_owned(),
        false => args.library.clone(),
    };
    let done = modules::add(&folder, &args.name, &library, &on_step).map_err(|e| e.in_file(&folder))?;
    for warning in &done.warnings {
        program.ui.warn(&Printable(warning).to_string());
    }
    let outcome = if done.changed { "added" } else { "is there already" };
    let saved = done.old.as_ref().map_or_else(String::new, |o| format!(" (old: {})", shown(o)));
    program.ui.note(&format!(
        "{}: module \"{}\" {outcome}{saved}",
        Printable(&folder.to_string_lossy()),
        Printable(&args.name)
    ));
    Ok(())
}
