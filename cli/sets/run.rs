//! Workers: processes of this program that belong to the owners of the stores, so that nothing is opened with more
//! rights than its owner has.

use super::child::{Kept, finish};
use super::order::{Answer, Order, Problem};
use super::plan::Set;
use formats::{Error, Kind};
use rustix::fs::{MemfdFlags, memfd_create};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Has all sets worked on, `jobs` at a time (0: as many as [`usual_jobs`]), and hands each answer to `report` in the order of
/// the sets.
pub fn run(
    sets: &[(Set<'_>, Order)],
    jobs: usize,
    report: &mut dyn FnMut(&Set<'_>, Answer) -> std::io::Result<()>,
) -> std::io::Result<()> {
    // What our caller left open is nothing to workers and the programs that they start.
    close_fds::set_fds_cloexec(3, &[]);
    let said = Mutex::new(HashSet::new());
    let threads = if jobs == 0 { usual_jobs() } else { jobs }.min(sets.len());
    let next = AtomicUsize::new(0);
    let (sender, answers) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, said) = (sender.clone(), &next, &said);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((set, order)) = sets.get(at) else { return };
                    let answer = one(set, order, said)
                        .unwrap_or_else(|e| Answer { error: Some(Problem::from(&e)), ..Answer::default() });
                    if sender.send((at, answer)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = std::collections::BTreeMap::new();
        let mut reported = 0;
        for (at, answer) in &answers {
            waiting.insert(at, answer);
            while let Some(answer) = waiting.remove(&reported) {
                if let Some((set, _)) = sets.get(reported) {
                    report(set, answer)?;
                }
                reported += 1;
            }
        }
        Ok(())
    })
}

/// Workers wait for the disk, to know that what they wrote is there, three times as long as they compute.
fn usual_jobs() -> usize {
    4 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// An answer: a report names every certificate that came or went.
const ANSWER: Kept = Kept::AtMost(256 << 20);
/// What a worker says besides.
const ERRORS: Kept = Kept::AtMost(1 << 20);
/// Of the environment workers get these, and the variables that passwords of their stores come from.
const PASSED: [&str; 5] = ["PATH", "LANG", "LC_ALL", "LC_MESSAGES", "TZ"];
/// These, too, where a worker is no other user than its caller.
const OWN: [&str; 4] = ["HOME", "USER", "LOGNAME", crate::secrets::VARIABLE];

/// Starts one worker, tells it what to do and waits for its answer.
fn one(set: &Set<'_>, order: &Order, said: &Mutex<HashSet<String>>) -> formats::Result<Answer> {
    let failed = |what: &str, e: std::io::Error| {
        Error::io(Kind::Write, format!("{what}: {}", formats::place::reason(&e)), e).in_file(set.name())
    };
    let child =
        worker(order).and_then(|mut w| w.spawn()).map_err(|e| failed("a worker can't be started", e))?;
    let limit = Duration::from_millis(order.limit_ms);
    let ended =
        finish(child, [ANSWER, ERRORS], limit).map_err(|e| failed("a worker can't be waited for", e))?;
    let [answer, errors] = &ended.streams;
    pass_on(&String::from_utf8_lossy(errors), said);
    let Some(status) = ended.status else {
        let what = format!("took longer than {} s and was ended", limit.as_secs());
        if order.look {
            return Err(Error::new(Kind::Read, what)
                .hint("limit = … in the configuration gives more time")
                .in_file(set.name()));
        }
        return Err(Error::new(Kind::Write, what)
            .hint("the next run puts right what it left; limit = … in the configuration gives more time")
            .in_file(set.name()));
    };
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| {
        Error::new(Kind::Write, format!("the worker ended without an answer ({status})")).in_file(set.name())
    })?;
    let asked = |name: &str| order.stores.iter().any(|s| s.store.to_string_lossy() == name);
    match answer.reports.iter().all(|r| asked(&r.store)) && answer.seen.len() <= order.stores.len() {
        true => Ok(answer),
        false => Err(Error::new(Kind::Write, "the worker answered for another's store").in_file(set.name())),
    }
}

/// The command that runs a worker. It starts with its caller's rights and gives them up before it opens anything:
/// so its user can neither look into it nor into its environment.
fn worker(order: &Order) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("work-set").stdin(told(order)?).stdout(Stdio::piped()).stderr(Stdio::piped()).env_clear();
    let specs =
        order.stores.iter().filter_map(|s| s.password.as_deref()).chain(order.key_password.as_deref());
    let named = specs.filter_map(|s| s.strip_prefix("env:"));
    let given = order.passwords.iter().map(|s| s.rsplit_once('=').map_or(&**s, |(_, spec)| spec));
    let named = named.chain(given.filter_map(|s| s.strip_prefix("env:")));
    let own = OWN.iter().filter(|_| order.owner.is_none());
    let passed = PASSED.iter().chain(own).chain(crate::failpoint::VARIABLES).copied().chain(named);
    command.envs(passed.filter_map(|name| Some((name, std::env::var_os(name)?))));
    if let Some(owner) = &order.owner {
        command.env("HOME", &owner.home).current_dir("/");
        let name = owner.name.iter().flat_map(|name| ["USER", "LOGNAME"].map(|v| (v, name)));
        command.envs(name);
    }
    Ok(command)
}

/// The order as a file in memory: no pipe that nobody may read.
fn told(order: &Order) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("order", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(order)?)?;
    file.rewind()?;
    Ok(file)
}

/// Passes on what workers say, each line once: a thousand of them would say the same of a password file that all of
/// them use.
fn pass_on(text: &str, said: &Mutex<HashSet<String>>) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    for line in text.lines() {
        if said.insert(line.to_owned()) {
            // Nothing can be said about a closed stream.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
