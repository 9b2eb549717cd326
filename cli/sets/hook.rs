//! Programs that run after a change: without a shell, with little of the environment, for a limited time.

use super::child::{Kept, finish};
use super::order::Hooked;
use formats::{Error, Kind};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// So much of each of their outputs is kept.
const OUTPUT: Kept = Kept::First(16 * 1024);
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
    let ended = command.spawn().and_then(|child| finish(child, [OUTPUT; 2], limit));
    let output = ended.as_ref().map(|e| e.streams.concat()).unwrap_or_default();
    let ended = match ended {
        Err(e) => Err(format!("can't be started: {}", formats::place::reason(&e))),
        Ok(ended) => match ended.status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(status.to_string()),
            None => Err(format!("took longer than {} s and was killed", limit.as_secs())),
        },
    };
    let text = match &ended {
        Ok(()) => "exit status: 0".to_owned(),
        Err(why) => why.clone(),
    };
    let outcome = ended.map_err(|why| {
        Error::new(Kind::Write, format!("{program}: {why}")).hint("the stores of its set were put back")
    });
    (Hooked { program, ended: text, output: String::from_utf8_lossy(&output).into_owned() }, outcome)
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
