//! `keyferry find`: who holds a certificate, and who its key.

use super::Program;
use super::filter::FilterOptions;
use super::tree::{Below, TreeOptions};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::ui::{BOLD, DIM, YELLOW};
use clap::builder::PossibleValuesParser;
use formats::error::Printable;
use formats::jobs::find::{Findings, Group, GroupBy, Holding, group, search};
use formats::jobs::tree::Found;
use formats::place::path_text;
use formats::{Error, Kind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

/// Find who holds a certificate, and who its private key
///
/// Goes through stores and all folders below, old generations too. From the certificates and requests whose
/// subject matches PATTERN it goes on to their private keys, by public key: as a key of a store, as a bare key
/// in a PEM file, with a request, in an old generation, in an erased slot of a kdb, where a deleted key stands
/// until the slot is used again. A private key that several stores hold is pointed out.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// PATTERN (left out where an option like --sha256 says what is looked for), then stores and folders
    #[arg(required = true, value_names = ["PATTERN", "PATH"], num_args = 1..)]
    what: Vec<OsString>,

    #[command(flatten)]
    tree: TreeOptions,

    #[command(flatten)]
    filter: FilterOptions,

    /// Put together what has the same certificate, the same key, or stands in the same store
    #[arg(long, value_name = "BY", help_heading = "Output",
          value_parser = PossibleValuesParser::new(GroupBy::ALL.iter().map(|g| g.name())))]
    group_by: Option<String>,

    /// Print a JSON array of findings, with --group-by of groups
    #[arg(long, help_heading = "Output")]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry find 'CN=PAYROLL,O=MYORG' /var/mqm /home
  keyferry find --sha256 4348a0e9 /etc /opt --json
  keyferry find --label ibmwebspheremqpayroll /var/mqm --group-by store";

/// Finds.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    if args.json {
        program.ui.errors_as_json();
    }
    let mut filter = args.filter.filter()?;
    let mut paths = &args.what[..];
    if !args.filter.asks_for_something() {
        let (pattern, rest) = paths.split_first().ok_or(Failure::No)?;
        filter.subject.push(args.filter.pattern("PATTERN", &pattern.to_string_lossy())?);
        paths = rest;
    }
    if paths.is_empty() {
        return Err(Failure::usage_hint("where is it to be looked for?", "keyferry find PATTERN PATH…"));
    }
    let roots: Vec<_> = paths.iter().map(|p| StoreArg::parse_existing(&program.ui, p)).collect();
    let passwords = args.tree.passwords(program, &roots.iter().collect::<Vec<_>>())?;
    let session = args.tree.session(program)?;
    let mut findings = Findings::default();
    let mut incomplete = false;
    for root in &roots {
        let below = Below { program, root: &root.path, passwords: &passwords, session: &session, all: true };
        let mut stores = 0;
        let look = |found: &Found<'_>| search(&path_text(found.path), &found.input, &filter);
        args.tree.walk(&below, &look, &mut |path, searched| {
            stores += 1;
            let defects = match searched {
                Ok(mut searched) => {
                    findings.add(&mut searched);
                    searched.defects
                }
                Err(e) => vec![Arc::new(e)],
            };
            defects.iter().for_each(|e| program.ui.store_error(&path_text(&path), e));
            incomplete |= !defects.is_empty();
            Ok(())
        })?;
        if stores == 0 && !root.path.is_dir() {
            let e = Error::new(Kind::Malformed, "not a keystore of any known format").in_file(&root.path);
            program.ui.store_error(&root.name(), &e);
            incomplete = true;
        }
    }
    let holdings = findings.holdings();
    let found = !holdings.is_empty();
    print(program, args, holdings)?;
    match (incomplete, found) {
        (true, _) => Err(Failure::Incomplete),
        (false, true) => Ok(()),
        (false, false) => Err(Failure::No),
    }
}

fn print(program: &Program, args: &Args, holdings: Vec<Holding>) -> Result {
    let mut out = program.ui.out();
    let by = args.group_by.as_deref().and_then(|name| GroupBy::ALL.iter().find(|g| g.name() == name));
    if args.json {
        match by {
            None => serde_json::to_writer_pretty(&mut out, &holdings)?,
            Some(by) => serde_json::to_writer_pretty(&mut out, &group(holdings, *by))?,
        }
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let by = by.copied().unwrap_or_default();
    let mut copies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for h in holdings.iter().filter(|h| h.key_in_stores.is_some() && !h.erased && h.generation.is_none()) {
        let stores = copies.entry(h.row.spki_sha256.clone().unwrap_or_default()).or_default();
        if !stores.contains(&h.row.store) {
            stores.push(h.row.store.clone());
        }
    }
    let ui = &program.ui;
    for Group { id, subject, not_after, holdings } in group(holdings, by) {
        let heading = match (by, subject) {
            (GroupBy::Store, _) => Printable(&id).to_string(),
            (_, Some(subject)) => Printable(&subject).to_string(),
            (_, None) => "(no name)".to_owned(),
        };
        writeln!(out, "{}", ui.paint(BOLD, &heading))?;
        if by != GroupBy::Store {
            let what = if by == GroupBy::Key { "public key" } else { "certificate" };
            let end = not_after.map_or_else(String::new, |t| format!(", ends {}", t.get(..10).unwrap_or(&t)));
            writeln!(out, "{}", ui.paint(DIM, &format!("  {what} sha256:{id}{end}")))?;
        }
        for holding in &holdings {
            writeln!(out, "  {}", described(holding, by))?;
        }
    }
    for (key, stores) in copies {
        let stores: Vec<_> = stores.iter().map(|s| Printable(s).to_string()).collect();
        let text = format!("{} stores hold the same private key (public key sha256:{key}): ", stores.len());
        writeln!(out, "{}{}", ui.paint(YELLOW, &text), stores.join(", "))?;
    }
    Ok(out.flush()?)
}

/// `client.kdb "payroll": certificate with its private key, erased`.
fn described(holding: &Holding, by: GroupBy) -> String {
    let row = &holding.row;
    let place = if by == GroupBy::Store { String::new() } else { format!("{}  ", Printable(&row.store)) };
    let label = row.label.as_deref().map_or_else(String::new, |l| format!("\"{}\"  ", Printable(l)));
    let mut text = match (row.kind, holding.private_key) {
        ("key", _) if row.sha256.is_none() => "private key alone".to_owned(),
        ("key", _) => "certificate and private key".to_owned(),
        ("request", true) => "request and private key".to_owned(),
        ("cert", _) => "certificate".to_owned(),
        (kind, _) => kind.to_owned(),
    };
    if holding.found_by == "public-key" {
        text.push_str(", found by its public key");
    }
    if let Some(label) = &holding.in_chain_of {
        text.push_str(&format!(", in the chain of \"{}\"", Printable(label)));
    }
    if let Some(n) = holding.generation {
        text.push_str(&format!(", in old generation {n}"));
    }
    if holding.erased {
        text.push_str(", deleted but still in the file");
    }
    if let Some(grade) = row.grade.filter(|g| *g != "exact") {
        text.push_str(&format!(", {grade}"));
    }
    format!("{place}{label}{text}")
}
