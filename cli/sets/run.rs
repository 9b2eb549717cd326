//! Workers: processes of this program that belong to the owners of the stores, so that nothing is opened with more
//! rights than its owner has.

use super::order::{Answer, Order, Problem};
use super::plan::Set;
use formats::{Error, Kind};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};

/// Has all sets worked on, `jobs` at a time (0: one for each core), and hands each answer to `report` in the order of
/// the sets.
pub fn run(
    sets: &[(Set<'_>, Order)],
    jobs: usize,
    report: &mut dyn FnMut(&Set<'_>, Answer) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let said = Mutex::new(HashSet::new());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if jobs == 0 { cores() } else { jobs }.min(sets.len());
    let next = AtomicUsize::new(0);
    let (sender, answers) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, said) = (sender.clone(), &next, &said);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((set, order)) = sets.get(at) else { return };
                    let answer = one(set, order, said).unwrap_or_else(|e| Answer {
                        error: Some(Problem {
                            kind: e.kind().name().to_owned(),
                            message: e.to_string(),
                            hint: e.hint_text().map(str::to_owned),
                        }),
                        ..Answer::default()
                    });
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

/// The most bytes of an answer: a report names every certificate that came or went.
const ANSWER: u64 = 256 << 20;
/// The most bytes of what a worker says besides.
const ERRORS: u64 = 1 << 20;

/// What comes from `stream`, up to a bound; then it is closed, so that who goes on writing ends.
fn bounded(stream: Option<impl Read>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What can't be read is missing in the answer, which is an error then.
        let _ = stream.take(limit).read_to_end(&mut bytes);
    }
    bytes
}

/// Starts one worker, tells it what to do and waits for its answer. What workers say on standard error is passed on,
/// each line once: a thousand of them would say the same of a password file that all of them use.
fn one(set: &Set<'_>, order: &Order, said: &Mutex<HashSet<String>>) -> formats::Result<Answer> {
    let failed = |what: &str, e: std::io::Error| {
        Error::io(Kind::Write, format!("{what}: {}", formats::place::reason(&e)), e).in_file(set.name())
    };
    let program = std::env::current_exe().map_err(|e| failed("this program can't be found", e))?;
    let mut command = Command::new(program);
    command.arg("work-set").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(owner) = set.owner {
        // Dropping root drops its groups, too.
        command.uid(owner.uid).gid(owner.gid).env("HOME", home(set.name())).current_dir("/");
        for name in ["USER", "LOGNAME", "XDG_RUNTIME_DIR"] {
            command.env_remove(name);
        }
    }
    let mut child = command.spawn().map_err(|e| failed("a worker can't be started", e))?;
    let json = serde_json::to_vec(order).unwrap_or_default();
    if let Some(mut stdin) = child.stdin.take() {
        // A worker that ends early says why itself.
        let _ = stdin.write_all(&json);
    }
    // It belongs to somebody else, who may make it say what he likes, for ever.
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let errors = std::thread::spawn(move || bounded(err, ERRORS));
    let answer = bounded(out, ANSWER);
    let errors = errors.join().unwrap_or_default();
    let status = child.wait().map_err(|e| failed("a worker can't be waited for", e))?;
    {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        for line in String::from_utf8_lossy(&errors).lines() {
            if said.insert(line.to_owned()) {
                // Nothing can be said about a closed stream.
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
    }
    serde_json::from_slice(&answer).map_err(|_| {
        Error::new(Kind::Write, format!("the worker ended without an answer ({status})")).in_file(set.name())
    })
}

/// The home that a store is in, as far as its place tells.
fn home(store: &Path) -> &Path {
    store.parent().unwrap_or(Path::new("/"))
}
