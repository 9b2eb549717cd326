//! `keyferry default`: which key a store offers when nobody names one.

use super::Program;
use super::convert::say_losses;
use super::options::LossOptions;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use formats::error::Printable;
use formats::jobs::edit::{Edit, edit};
use formats::jobs::{Input, load};
use formats::model::{Item, Store};
use formats::{Ctx, Error, Format, Options};
use std::ffi::OsString;
use std::io::Write;

/// Show or set a store's default key
///
/// Programs that name no label use the default key. Without LABEL its label is printed, and the status is 1
/// when the store has none.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The key that is to be the default
    label: Option<String>,

    #[command(flatten)]
    loss: LossOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry default client.kdb
  keyferry default client.kdb alice";

/// Shows or sets it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    let Some(label) = &args.label else { return show(program, &arg) };
    if arg.is_stdio() {
        return Err(Failure::usage("a store that is changed must be a file"));
    }
    let session = program.session()?;
    let passwords = program.passwords(&[&arg])?;
    let secrets = passwords.of(&arg);
    let allow = args.loss.allowed();
    let on_step = crate::failpoint::on_step();
    let done = edit(&Edit {
        path: &arg.path,
        format: arg.format,
        ctx: Ctx { secrets: &secrets, options: &Options::default(), session: &session },
        change: &|store, format| set(store, format, label),
        allow: allow.clone(),
        on_step: &on_step,
    })?;
    for warning in &done.warnings {
        program.ui.warn(&Printable(warning).to_string());
    }
    if !done.changed && !done.losses.is_empty() {
        return Err(Failure::Losses(done.losses.into_iter().filter(|l| !allow.allows(l)).collect()));
    }
    say_losses(program, &done.losses);
    let outcome = if done.changed { "is the default now" } else { "is the default already" };
    program.ui.note(&format!("{}: \"{}\" {outcome}", Printable(&arg.name()), Printable(label)));
    Ok(())
}

fn show(program: &Program, arg: &StoreArg) -> Result {
    let source = arg.open()?;
    let session = program.session()?;
    let passwords = program.passwords(&[arg])?;
    let secrets = passwords.of(arg);
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &session };
    let loaded = load(&Input { source: &source, format: arg.format, ctx })?;
    let mut out = program.ui.out();
    let defaults: Vec<_> = loaded.store.entries.iter().filter(|e| e.default).collect();
    for entry in &defaults {
        writeln!(out, "{}", Printable(&entry.label_text()))?;
    }
    out.flush()?;
    if defaults.is_empty() { Err(Failure::No) } else { Ok(()) }
}

fn set(store: &mut Store, format: &'static dyn Format, label: &str) -> formats::Result<bool> {
    if !format.marks_default() {
        return Err(Error::unsupported(format!("{} marks no key as the default", format.name())));
    }
    let is_it = |e: &formats::model::Entry| e.label_text() == label && matches!(e.item, Item::Key { .. });
    if !store.entries.iter().any(is_it) {
        let there = store.entries.iter().any(|e| e.label_text() == label);
        return Err(Error::refused(match there {
            true => format!("\"{label}\" is no key with a certificate"),
            false => format!("no entry has the label \"{label}\""),
        })
        .hint("keyferry list --kind key shows the keys"));
    }
    let mut changed = false;
    for entry in &mut store.entries {
        let wanted = is_it(entry);
        changed |= entry.default != wanted;
        entry.default = wanted;
    }
    Ok(changed)
}
