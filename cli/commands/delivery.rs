//! What the commands share that write a store elsewhere: its format, its password, and the report.

use super::Program;
use super::convert::{counted, say_losses};
use super::options::{FormatOptions, LossOptions, format_parser};
use crate::error::{Failure, Result};
use crate::place::{Destination, StoreArg, shown, to_standard_output};
use crate::secrets::DestinationPasswords;
use formats::error::Printable;
use formats::jobs::deliver::{Converted, Target};
use formats::jobs::{AllowLoss, Input, Output};
use formats::place::Source;
use formats::{Ctx, Format};

/// Options of every command that writes one store elsewhere.
#[derive(clap::Args)]
pub struct DeliveryOptions {
    /// The format to write
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    pub to: Option<&'static dyn Format>,

    #[command(flatten)]
    pub loss: LossOptions,

    /// Replace what is there; one old generation is kept
    #[arg(long, short)]
    pub force: bool,

    #[command(flatten)]
    pub options: FormatOptions,
}

/// A store that is read, opened.
pub type Opened = (StoreArg, Source);

/// Makes of the stores what the targets get; one outcome for each target.
pub type Job<'a> = dyn Fn(Vec<Input<'_>>, Vec<Target<'_>>) -> formats::Result<Vec<Converted>> + 'a;

/// What comes out of stores goes to others: finds the passwords for `job`, and says how it ended. A destination
/// without a password of its own takes that of the first store.
pub fn deliver(
    program: &Program,
    from: &[Opened],
    to: &[&Destination],
    how: &DeliveryOptions,
    dry_run: bool,
    job: &Job<'_>,
) -> Result {
    let session = program.session()?;
    let all: Vec<_> = from.iter().map(|(arg, _)| arg).chain(to.iter().map(|t| &t.store)).collect();
    let passwords = program.passwords(&all)?;
    let options = how.options.values();
    let on_step = crate::failpoint::on_step();
    let secrets: Vec<_> = from.iter().map(|(arg, _)| passwords.of(arg)).collect();
    let inputs = from.iter().zip(&secrets).map(|((arg, source), secrets)| Input {
        source,
        format: arg.format,
        ctx: Ctx { secrets, options, session: &session },
    });
    let first = secrets.first().ok_or_else(|| Failure::usage("no store is named"))?;
    let own: Vec<_> = to.iter().map(|t| DestinationPasswords::new(first, t)).collect::<Result<_>>()?;
    let targets = to.iter().zip(&own).map(|(to, secrets)| Target {
        to: if to.store.is_stdio() { Output::Memory } else { Output::File(&to.store.path) },
        format: to.format,
        ctx: Ctx { secrets, options, session: &session },
        allow: how.loss.allowed(),
        force: how.force,
        dry_run,
        like: None,
        on_step: &on_step,
    });
    let done = job(inputs.collect(), targets.collect())?;
    finish(program, to, how, dry_run, done)
}

/// Says how it ended, and writes what goes to standard output.
fn finish(
    program: &Program,
    to: &[&Destination],
    how: &DeliveryOptions,
    dry_run: bool,
    done: Vec<Converted>,
) -> Result {
    let ui = &program.ui;
    for warning in done.iter().flat_map(|d| &d.warnings) {
        ui.warn(&Printable(warning).to_string());
    }
    if done.iter().any(|d| !d.written) {
        return Err(refused(done, &how.loss.allowed()));
    }
    for (to, done) in to.iter().zip(done) {
        if let Some(bytes) = done.bytes.as_ref().filter(|_| !dry_run) {
            to_standard_output(ui, bytes)?;
        }
        say_losses(program, &done.losses);
        let place = if to.store.is_stdio() { "standard output".to_owned() } else { to.store.name() };
        let saved = done.old.map_or_else(String::new, |o| format!(", old: {}", shown(&o)));
        let planned = if dry_run { "; nothing was written" } else { "" };
        let (place, format, counts) = (Printable(&place), to.format.name(), counted(&done.counts));
        ui.note(&format!("{place}: {format}: {counts}{saved}{planned}"));
    }
    Ok(())
}

/// What was lost without permission.
pub fn refused(done: Vec<Converted>, allow: &AllowLoss) -> Failure {
    Failure::Losses(done.into_iter().flat_map(|d| d.losses).filter(|l| !allow.allows(l)).collect())
}
