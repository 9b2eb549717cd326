//! Programs that run after a change: without a shell, with little of the environment, for a limited time.

use super::order::Hooked;
use formats::{Error, Kind};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// So much of their output is kept.
const OUTPUT: u64 = 16 * 1024;
/// Of the environment they get these, and what is said of the stores.
const PASSED: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ"];

/// Runs one; what it printed comes back with how it ended. `stores` are told to it in `KEYFERRY_STORES`, one a line.
pub fn run(argv: &[String], stores: &str, limit: Duration) -> (Hooked, formats::Result<()>) {
    let program = argv.first().cloned().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(argv.get(1..).unwrap_or_default()).env_clear().current_dir("/");
    command.envs(PASSED.iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
    command.env("KEYFERRY_STORES", stores);
    // A group of its own, so that all that it started ends with it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (ended, output) = match command.spawn() {
        Ok(child) => finish(child, limit),
        Err(e) => (Err(format!("can't be started: {}", formats::place::reason(&e))), String::new()),
    };
    let text = match &ended {
        Ok(()) => "exit status: 0".to_owned(),
        Err(why) => why.clone(),
    };
    let outcome = ended.map_err(|why| {
        Error::new(Kind::Write, format!("{program}: {why}")).hint("the stores of its set were put back")
    });
    (Hooked { program, ended: text, output }, outcome)
}

fn finish(mut child: Child, limit: Duration) -> (Result<(), String>, String) {
    let streams = [
        child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
        child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
    ];
    let (sender, receiver) = std::sync::mpsc::channel();
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut stream = stream;
            let _ = stream.by_ref().take(OUTPUT).read_to_end(&mut bytes);
            let _ = sender.send(bytes);
            // The rest is let go, or the program would wait for somebody to read it.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
    }
    drop(sender);
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break Ok(()),
            Ok(Some(status)) => break Err(status.to_string()),
            Ok(None) if begun.elapsed() < limit => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Ok(None) => {
                kill(&mut child);
                break Err(format!("took longer than {} s and was killed", limit.as_secs()));
            }
            Err(e) => break Err(formats::place::reason(&e)),
        }
    };
    // What it left running may hold the pipes open; that is not waited for.
    let deadline = Duration::from_millis(200);
    let mut output = Vec::new();
    while let Ok(bytes) = receiver.recv_timeout(deadline) {
        output.extend(bytes);
    }
    (ended, String::from_utf8_lossy(&output).into_owned())
}

fn kill(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(text: &str, limit: u64) -> (Hooked, bool) {
        let argv = ["/bin/sh", "-c", text].map(str::to_owned);
        let (hooked, outcome) = run(&argv, "a\nb", Duration::from_millis(limit));
        (hooked, outcome.is_ok())
    }

    #[test]
    fn they_end_well_or_not_or_are_killed() {
        let (hooked, good) = sh("echo $KEYFERRY_STORES $CARGO_MANIFEST_DIR; echo too >&2", 10_000);
        assert!(good && hooked.output.contains("a b\n") && hooked.output.contains("too\n"), "{hooked:?}");
        let (hooked, good) = sh("exit 3", 10_000);
        assert!(!good && hooked.ended.contains('3'), "{hooked:?}");
        let (hooked, good) = sh("sleep 60 & sleep 60", 100);
        assert!(!good && hooked.ended.contains("killed"), "{hooked:?}");
        let (_, outcome) = run(&["/no/such/program".to_owned()], "", Duration::from_secs(1));
        assert!(outcome.is_err());
        // More than is kept, and more than a pipe holds.
        let (hooked, good) = sh("head -c 300000 /dev/zero", 10_000);
        assert!(good && hooked.output.len() == 16 * 1024);
    }
}
