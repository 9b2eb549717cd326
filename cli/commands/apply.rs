//! `keyferry apply`: all stores of a machine brought up to date, as the configuration says.

use super::Program;
use super::options::How;
use crate::config::{Config, USUAL, span_of};
use crate::error::{Failure, Result};
use crate::fetch::{Ready, fetch};
use crate::files::{PUBLIC, write};
use crate::history::{self, Change, Entry};
use crate::rebuilt::LossRow;
use crate::sets::order::{Answer, BundleOrder, Order, StoreOrder};
use crate::sets::plan::{Set, filled, sets};
use crate::sets::run::run as run_sets;
use formats::error::Printable;
use formats::jobs::rebuild::Mode;
use formats::query::time::rfc3339;
use formats::storeset::staged_place;
use formats::{Error, Kind};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bring all stores of this machine up to date
///
/// Fetches the bundles that the configuration names and verifies them, finds the stores, and rebuilds each set of
/// them as keyferry rebuild does: built beside, read back, moved into place together; then the programs that are to
/// run after a change. A set that fails stays as it was, and the others go on. Run it from a timer: where nothing
/// changed, nothing is written. As root it works on each store as the store's owner.
///
/// What could do harm stops a store until somebody approves it: more removals than usual, new authorities, another
/// key for a name that is known.
///
/// With --stage everything is done but the switch: the next generations are built, checked and kept as NAME.staged,
/// and keyferry status shows them. --commit switches to them, a set at a time, all of its stores or none; where a
/// bundle, a store or a staged generation has changed since, nothing of the set is switched, and the status is 6.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,

    #[command(flatten)]
    how: How,

    /// Let pass what was looked at: a certificate's SHA-256, or all of removals, cas, second-keys
    #[arg(long, value_name = "WHAT")]
    approve: Vec<String>,

    /// Go on to what a rollback went back from
    #[arg(long)]
    ignore_hold: bool,

    /// Print a JSON array with one report for each store
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry apply --dry-run
  keyferry apply
  keyferry apply --approve 4b1c…e9
  keyferry apply --stage && keyferry status && keyferry apply --commit";

/// Applies it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let config = Config::read(&args.config)?;
    let session = program.session()?;
    let now = session.now_ms.div_euclid(1000);
    let _alone = alone(&config.state)?;
    let bundles = match fetch_all(program, &config, now) {
        Ok(bundles) => bundles,
        Err(e) => {
            heal(program, &config, args, now)?;
            return Err(e.into());
        }
    };
    let (found, failed) = sets(&config)?;
    failed.iter().for_each(|e| crate::error::report(&program.ui, e));
    let orders = found
        .into_iter()
        .map(|set| Ok((order(&config, &set, &bundles, args, args.how.mode())?, set)))
        .map(|both: Result<_>| both.map(|(order, set)| (set, order)))
        .collect::<Result<Vec<_>>>()?;
    let kind = failed.last().map(Error::kind);
    let mut outcome = Outcome { failed: failed.len(), kind, ..Outcome::default() };
    let mut out = program.ui.out();
    let mut progress = program.ui.progress();
    run_sets(&orders, config.jobs, &mut |set, answer| {
        outcome.add(program, set, &answer);
        if !args.json {
            for report in &answer.reports {
                // Of a thousand stores only those that change are worth a line.
                if orders.len() < 4
                    || report.changed
                    || report.held
                    || report.healed.is_some()
                    || !report.stops.is_empty()
                    || !report.notes.is_empty()
                {
                    report.print(&program.ui, args.how.mode(), &mut out)?;
                }
            }
        }
        outcome.reports.extend(answer.reports);
        if let Some(progress) = &mut progress {
            progress.at(outcome.sets);
        }
        Ok(())
    })?;
    if let Some(progress) = progress {
        progress.end();
    }
    if args.json {
        serde_json::to_writer_pretty(&mut out, &outcome.reports)?;
        writeln!(out)?;
    }
    out.flush()?;
    if args.how.mode() != Mode::Plan {
        record(program, &config, args, &bundles, &mut outcome, now);
    }
    outcome.end(program, orders.len() + failed.len())
}

/// One `apply` at a time: the state folder is locked.
fn alone(state: &Path) -> Result<std::fs::File> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |e: std::io::Error| {
        Error::io(Kind::Write, format!("the state folder can't be used: {}", formats::place::reason(&e)), e)
            .hint("state = … in the configuration names another")
            .in_file(state)
    };
    crate::rights::keeps_out_others(state)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(state).map_err(failed)?;
    let file =
        std::fs::File::options().create(true).append(true).open(state.join("apply.lock")).map_err(failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::new(Kind::Busy, "another keyferry apply is running").in_file(state))?;
    Ok(file)
}

fn fetch_all(program: &Program, config: &Config, now: i64) -> formats::Result<Vec<Ready>> {
    let mut bundles = Vec::with_capacity(config.bundle.len());
    for bundle in &config.bundle {
        let ready = fetch(bundle, &config.state, now)?;
        if let Some(warning) = &ready.warning {
            program.ui.warn(&format!("{}; the last good one is used", Printable(warning)));
        }
        bundles.push(ready);
    }
    Ok(bundles)
}

/// What an interrupted run has left half done is put right without a bundle, too.
fn heal(program: &Program, config: &Config, args: &Args, now: i64) -> Result {
    if args.how.mode() == Mode::Plan {
        return Ok(());
    }
    let waits = |set: &Set<'_>| set.stores.iter().any(|s| staged_place(&s.path).is_dir());
    let orders = sets(config)?.0.into_iter().filter(waits);
    let orders: Vec<_> = orders
        .map(|set| Ok((order(config, &set, &[], args, Mode::Heal)?, set)))
        .map(|both: Result<_>| both.map(|(order, set)| (set, order)))
        .collect::<Result<_>>()?;
    let mut outcome = Outcome::default();
    run_sets(&orders, config.jobs, &mut |set, answer| {
        outcome.add(program, set, &answer);
        Ok(())
    })?;
    note(program, config, args, &[], outcome.changes, now);
    Ok(())
}

fn order(config: &Config, set: &Set<'_>, bundles: &[Ready], args: &Args, mode: Mode) -> Result<Order> {
    let first = set.stores.first();
    let (mut after, mut probe) = (Vec::new(), Vec::new());
    let mut after_timeout_ms = 0;
    for store in &set.stores {
        for (all, own) in [(&mut after, &store.rule.after), (&mut probe, &store.rule.probe)] {
            for argv in own {
                let argv: Vec<_> = argv.iter().map(|a| filled(a, &store.stars)).collect();
                if !all.contains(&argv) {
                    all.push(argv);
                }
            }
        }
        after_timeout_ms = after_timeout_ms.max(span_of("after_timeout", &store.rule.after_timeout)?);
    }
    let stores = set.stores.iter().map(|store| {
        Ok(StoreOrder {
            store: store.path.clone(),
            pointer: store.pointer.clone(),
            format: store.format.map(|f| f.name().to_owned()),
            roles: store.rule.roles.clone(),
            password: store.rule.password.as_ref().map(|p| filled(p, &store.stars)),
            create: store.rule.create,
            keep: store.rule.keep,
            retention_ms: span_of("retention", &store.rule.retention)?,
            allow_loss: store.rule.allow_loss.clone(),
            options: store.rule.options.clone(),
        })
    });
    // Those of `after` run once more where a probe fails.
    let programs = i64::try_from(2 * after.len() + probe.len()).unwrap_or(i64::MAX);
    let programs = programs.saturating_mul(after_timeout_ms);
    let limit_ms = span_of("limit", &config.limit)?.saturating_add(programs);
    Ok(Order {
        look: false,
        passwords: Vec::new(),
        owner: set.owner.clone(),
        stores: stores.collect::<formats::Result<_>>()?,
        bundles: config
            .bundle
            .iter()
            .zip(bundles)
            .map(|(rule, ready)| BundleOrder {
                path: ready.path.clone(),
                manifest: ready.manifest.clone(),
                only_under: rule.only_under.clone(),
            })
            .collect(),
        key: first.and_then(|s| Some(filled(s.rule.key.as_ref()?, &s.stars))),
        key_password: first.and_then(|s| Some(filled(s.rule.key_password.as_ref()?, &s.stars))),
        gates: config.gates.clone(),
        approve: args.approve.clone(),
        mode,
        ignore_hold: args.ignore_hold,
        after,
        probe,
        after_timeout_ms: u64::try_from(after_timeout_ms).unwrap_or(60_000),
        limit_ms: u64::try_from(limit_ms).unwrap_or(u64::MAX),
    })
}

/// What became of all sets.
#[derive(Default)]
struct Outcome {
    sets: usize,
    /// Sets that failed, and what could not even be looked at.
    failed: usize,
    /// Sets that were stopped or refused.
    refused: usize,
    kind: Option<Kind>,
    reports: Vec<crate::rebuilt::Report>,
    changes: Vec<Change>,
}

impl Outcome {
    fn add(&mut self, program: &Program, set: &Set<'_>, answer: &Answer) {
        let ui = &program.ui;
        self.sets += 1;
        answer.warnings.iter().for_each(|w| ui.warn(&Printable(w).to_string()));
        self.changes.extend(answer.reports.iter().filter_map(Change::of));
        let mut said: Vec<String> = Vec::new();
        for hook in &answer.hooks {
            said.push(format!("{}: {}", hook.program, hook.ended));
            said.extend(hook.output.lines().take(20).map(str::to_owned));
        }
        if let Some(last) = self.changes.last_mut().filter(|_| answer.error.is_none()) {
            last.said.extend(said.iter().cloned());
        }
        if let Some(problem) = &answer.error {
            self.failed += 1;
            self.kind = Kind::ALL.iter().copied().find(|k| k.name() == problem.kind);
            let name = set.name().to_string_lossy();
            // A link's error names what it leads to.
            let named = problem.message.contains(&*name);
            let message = if named {
                problem.message.clone()
            } else {
                format!("{}: {}", Printable(&name), problem.message)
            };
            ui.error(&message);
            said.iter().skip(1).for_each(|line| ui.line(&format!("  {}", Printable(line))));
            if let Some(hint) = &problem.hint {
                ui.hint(hint);
            }
            said.insert(0, problem.message.clone());
            let store = set.name().to_string_lossy().into_owned();
            self.changes.push(Change {
                store,
                outcome: "failed".to_owned(),
                added: Vec::new(),
                removed: Vec::new(),
                said,
            });
        } else if !answer.refused.is_empty() {
            self.refused += 1;
            let text = |l: &LossRow| format!("{}: {}", l.kind, l.detail);
            ui.error(&format!(
                "{}: refused, for this would be lost",
                Printable(&set.name().to_string_lossy())
            ));
            answer.refused.iter().for_each(|l| ui.line(&format!("  {}", Printable(&text(l)))));
            let store = set.name().to_string_lossy().into_owned();
            let said = answer.refused.iter().map(text).collect();
            self.changes.push(Change {
                store,
                outcome: "refused".to_owned(),
                added: Vec::new(),
                removed: Vec::new(),
                said,
            });
        } else if answer.reports.iter().any(|r| !r.stops.is_empty()) {
            self.refused += 1;
        }
    }

    fn end(&self, program: &Program, sets: usize) -> Result {
        let stopped = self.reports.iter().any(|r| !r.stops.is_empty());
        if stopped {
            program.ui.hint("look at what stops it, then run it again with --approve");
        }
        match (self.failed, self.refused) {
            (0, 0) => Ok(()),
            (0, n) if n == sets => Err(Failure::Reported(Kind::Refused)),
            (n, 0) if n == sets => Err(Failure::Reported(self.kind.unwrap_or(Kind::Write))),
            _ => Err(Failure::Incomplete),
        }
    }
}

/// Writes history and metrics. What is done is done, so that they can't be written is a warning.
fn record(
    program: &Program,
    config: &Config,
    args: &Args,
    bundles: &[Ready],
    outcome: &mut Outcome,
    now: i64,
) {
    note(program, config, args, bundles, std::mem::take(&mut outcome.changes), now);
    if let Some(path) = &config.metrics {
        let text = metrics(config, bundles, outcome, now);
        if let Err(e) = write(path, text.as_bytes(), PUBLIC) {
            program.ui.warn(&e.to_string());
        }
    }
}

/// Adds a line to the history, where there is something to say.
fn note(program: &Program, config: &Config, args: &Args, bundles: &[Ready], stores: Vec<Change>, now: i64) {
    if stores.is_empty() {
        return;
    }
    let named = config.bundle.iter().zip(bundles);
    let entry = Entry {
        time: rfc3339(now),
        uid: rustix::process::getuid().as_raw(),
        sudo_user: std::env::var("SUDO_USER").ok(),
        command: "apply".to_owned(),
        bundles: named.map(|(b, r)| (b.name().to_owned(), r.manifest.as_ref().map(|m| m.serial))).collect(),
        approved: args.approve.clone(),
        stores,
        previous: String::new(),
    };
    if let Err(e) = history::add(&config.state, entry) {
        program.ui.warn(&e.to_string());
    }
}

/// Prometheus's text format, version 0.0.4.
fn metrics(config: &Config, bundles: &[Ready], outcome: &Outcome, now: i64) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: Vec<(String, f64)>| {
        let _ = writeln!(text, "# HELP keyferry_{name} {help}\n# TYPE keyferry_{name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "keyferry_{name}{labels} {value}");
        }
    };
    let seconds = |s: i64| f64::from(u32::try_from(s).unwrap_or(u32::MAX));
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let good = outcome.failed == 0 && outcome.refused == 0;
    gauge("last_run_timestamp_seconds", "When keyferry apply ran last.", vec![(String::new(), seconds(now))]);
    gauge(
        "last_run_success",
        "Whether every store is as the bundles say.",
        vec![(String::new(), f64::from(u8::from(good)))],
    );
    let stores = |outcome: &str| format!("{{outcome=\"{outcome}\"}}");
    let staged = outcome.reports.iter().filter(|r| r.staged.is_some()).count();
    let changed = outcome.reports.iter().filter(|r| r.changed).count() - staged;
    let stopped = outcome.reports.iter().filter(|r| !r.stops.is_empty()).count();
    let unchanged = outcome.reports.len() - changed - staged - stopped;
    gauge(
        "stores",
        "Stores by what the last run made of them.",
        vec![
            (stores("changed"), count(changed)),
            (stores("staged"), count(staged)),
            (stores("unchanged"), count(unchanged)),
            (stores("stopped"), count(stopped)),
            (stores("failed"), count(outcome.failed)),
        ],
    );
    let label = |name: &str| format!("{{bundle=\"{name}\"}}");
    let with =
        || config.bundle.iter().zip(bundles).filter_map(|(b, r)| Some((b.name(), r.manifest.as_ref()?)));
    gauge(
        "bundle_serial",
        "The serial of each bundle.",
        with().map(|(n, m)| (label(n), f64::from(u32::try_from(m.serial).unwrap_or(u32::MAX)))).collect(),
    );
    let time = |t: &str| formats::query::time::parse(t).unwrap_or(0);
    gauge(
        "bundle_date_timestamp_seconds",
        "When each bundle was made.",
        with().map(|(n, m)| (label(n), seconds(time(&m.date)))).collect(),
    );
    gauge(
        "bundle_certificates",
        "The certificates of each bundle.",
        with().map(|(n, m)| (label(n), count(m.count))).collect(),
    );
    let next = |ready: &Ready| ends(&ready.path).into_iter().filter(|e| *e > now).min();
    gauge(
        "bundle_next_expiry_timestamp_seconds",
        "When the first certificate of each bundle ends.",
        config
            .bundle
            .iter()
            .zip(bundles)
            .filter_map(|(b, r)| Some((label(b.name()), seconds(next(r)?))))
            .collect(),
    );
    text
}

/// When the certificates of a bundle end, in seconds since 1970.
fn ends(path: &Path) -> Vec<i64> {
    use formats::{Ctx, NoSecrets, Options, Session};
    let (options, session) = (Options::default(), Session::new(0));
    let ctx = Ctx { secrets: &NoSecrets, options: &options, session: &session };
    let Ok(source) = formats::place::Source::open(path) else { return Vec::new() };
    let Ok(loaded) = formats::jobs::load(&formats::jobs::Input { source: &source, format: None, ctx }) else {
        return Vec::new();
    };
    let ends = loaded.store.entries.iter().filter_map(|e| {
        formats::query::time::seconds(formats::asn1::cert_fields(e.certificate()?).ok()?.not_after)
    });
    ends.collect()
}
