//! What a worker does: one set of stores rebuilt.

use super::hook;
use super::order::{Answer, Hooked, Order, Problem, StoreOrder};
use crate::commands::Program;
use crate::error::Result;
use crate::place::StoreArg;
use crate::rebuilt::Report;
use crate::secrets::{Given, Passwords};
use formats::bundle::Role;
use formats::jobs::Input;
use formats::jobs::rebuild::{Approval, Bundle, KeySource, Rebuild, Target, current, rebuild};
use formats::query::dn::Pattern;
use formats::{Ctx, Error, Kind, NoSecrets, Options, by_name};
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::time::Duration;

/// Works an order off.
pub fn work(program: &Program, order: &Order) -> Answer {
    let mut answer = Answer::default();
    if let Err(failure) = carry_out(program, order, &mut answer) {
        answer.error = Some(Problem::of(failure));
    }
    answer
}

fn carry_out(program: &Program, order: &Order, answer: &mut Answer) -> Result {
    let stores = order.stores.iter().map(argument).collect::<formats::Result<Vec<_>>>()?;
    let key = order.key.as_ref().map(|k| StoreArg::parse_with_label(&program.ui, &OsString::from(k)));
    let mut given: Vec<String> = stores
        .iter()
        .zip(&order.stores)
        .filter_map(|(arg, s)| Some(format!("{}={}", arg.name(), s.password.as_ref()?)))
        .collect();
    if let (Some((arg, _)), Some(spec)) = (&key, &order.key_password) {
        given.push(format!("{}={spec}", arg.name()));
    }
    let named: Vec<&StoreArg> = stores.iter().chain(key.as_ref().map(|(arg, _)| arg)).collect();
    let key_source = key.as_ref().map(|(arg, _)| arg.open()).transpose()?;
    let session = program.session()?;
    let given = Given { password: &given, to_password: None, key_password: &[], opened: &[] };
    let passwords = Passwords::new(&program.ui, given, &named, false)?;
    let secrets: Vec<_> =
        stores.iter().map(|s| if s.path.exists() { passwords.of(s) } else { passwords.of_new(s) }).collect();
    let key_secrets = key.as_ref().map(|(arg, _)| passwords.of(arg));
    let options = order.stores.iter().map(options).collect::<Vec<_>>();
    let plain = Options::default();
    let sources = order
        .bundles
        .iter()
        .map(|b| formats::place::Source::open(&b.path))
        .collect::<formats::Result<Vec<_>>>()?;
    let mut gates = order.gates.gates()?;
    gates.approved = approval(&order.approve);
    let bundles = order.bundles.iter().zip(&sources).map(|(b, source)| {
        Ok(Bundle {
            input: Input {
                source,
                format: None,
                ctx: Ctx { secrets: &NoSecrets, options: &plain, session: &session },
            },
            manifest: b.manifest.as_ref(),
            only_under: match &b.only_under {
                Some(text) => Some((text.clone(), Pattern::parse(text, false)?)),
                None => None,
            },
        })
    });
    let on_step = crate::failpoint::on_step();
    let ran: RefCell<Vec<Hooked>> = RefCell::default();
    let unfit = Cell::new(false);
    let after = || {
        hooks(order, &order.after, &ran)?;
        hooks(order, &order.probe, &ran).inspect_err(|_| unfit.set(true))
    };
    let outcome = rebuild(&Rebuild {
        targets: stores
            .iter()
            .zip(&order.stores)
            .zip(secrets.iter().zip(&options))
            .map(|((arg, s), (secrets, options))| Target {
                path: &s.store,
                pointer: s.pointer.as_deref(),
                format: arg.format,
                ctx: Ctx { secrets, options, session: &session },
                roles: s.roles.as_deref() as Option<&[Role]>,
                allow: crate::config::losses(&s.allow_loss),
                keep: s.keep,
                retention_ms: s.retention_ms,
                heeds_hold: !order.ignore_hold,
            })
            .collect(),
        bundles: bundles.collect::<formats::Result<_>>()?,
        gates,
        key: key.as_ref().zip(key_source.as_ref()).zip(key_secrets.as_ref()).map(
            |(((arg, label), source), secrets)| {
                let ctx = Ctx { secrets, options: &plain, session: &session };
                KeySource { input: Input { source, format: arg.format, ctx }, label: label.clone() }
            },
        ),
        mode: order.mode,
        on_step: &on_step,
        after: &after,
    });
    // What was started with the new stores has to go back to the old ones, too. How that ends is told with the rest.
    let _ = unfit.get().then(|| hooks(order, &order.after, &ran));
    answer.hooks = ran.into_inner();
    let done = outcome?;
    answer.warnings = done.warnings;
    answer.reports = done.stores.iter().map(Report::from).collect();
    if !done.written {
        for (store, order) in done.stores.iter().zip(&order.stores) {
            let allow = crate::config::losses(&order.allow_loss);
            let refused = store.losses.iter().filter(|l| !allow.allows(l));
            answer.refused.extend(refused.map(crate::rebuilt::LossRow::from));
        }
    }
    Ok(())
}

/// The store as it would be named: where it is now. One that has gone meanwhile, or a link that leads nowhere, is no
/// new store.
fn argument(store: &StoreOrder) -> formats::Result<StoreArg> {
    let path = match &store.pointer {
        Some(settings) => current(settings, &store.store)?,
        None => store.store.clone(),
    };
    let gone = |e: std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    if !store.create && path.metadata().err().is_some_and(gone) {
        return Err(Error::new(Kind::Read, "is not there").in_file(&path));
    }
    let format = store.format.as_deref().and_then(by_name);
    Ok(StoreArg { text: path.clone().into_os_string(), format, path })
}

fn options(store: &StoreOrder) -> Options {
    let mut options = Options::default();
    store.options.iter().for_each(|(name, value)| options.set(name, value));
    options
}

/// Runs programs; the first that fails ends it.
fn hooks(order: &Order, programs: &[Vec<String>], ran: &RefCell<Vec<Hooked>>) -> formats::Result<()> {
    let stores: Vec<_> = order.stores.iter().map(|s| s.store.to_string_lossy()).collect();
    for argv in programs {
        let (hooked, outcome) =
            hook::run(argv, &stores.join("\n"), Duration::from_millis(order.after_timeout_ms));
        ran.borrow_mut().push(hooked);
        outcome?;
    }
    Ok(())
}

/// What was approved, by the words of `--approve`.
fn approval(words: &[String]) -> Approval {
    let has = |word: &str| words.iter().any(|w| w == word);
    Approval {
        removals: has("removals"),
        cas: has("cas"),
        second_keys: has("second-keys"),
        certificates: words.iter().map(|w| w.to_ascii_lowercase()).collect(),
    }
}

/// Reads an order from standard input, for the command that workers run.
pub fn read_order() -> formats::Result<Order> {
    serde_json::from_reader(std::io::stdin().lock())
        .map_err(|e| Error::malformed(format!("not an order: {e}")))
}
