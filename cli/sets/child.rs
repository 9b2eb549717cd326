//! Programs that were started: waited for, for a limited time, with a bounded part of what they print.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What is kept of an output, in bytes, and what becomes of the rest.
#[derive(Clone, Copy)]
pub enum Kept {
    /// The rest is let go, or the program would wait for somebody to read it.
    First(u64),
    /// There must not be more: the stream is closed, so that who goes on writing ends.
    AtMost(u64),
}

/// How one ended.
pub struct Ended {
    /// `None`: it took longer than it may, and was killed.
    pub status: Option<ExitStatus>,
    /// Standard output and standard error.
    pub streams: [Vec<u8>; 2],
}

/// What it left running may hold its streams open; for so long that is waited for.
const LEFT: Duration = Duration::from_millis(200);
/// An answer is on its way when its program has ended, and on a busy machine it takes more than a moment until it is read.
const ANSWERED: Duration = Duration::from_secs(30);

/// Waits for `child` for at most `limit`, then kills it with the group that it leads.
pub fn finish(mut child: Child, kept: [Kept; 2], limit: Duration) -> std::io::Result<Ended> {
    let (sender, receiver) = channel();
    if let Some(out) = child.stdout.take() {
        read(out, 0, kept, sender.clone());
    }
    if let Some(err) = child.stderr.take() {
        read(err, 1, kept, sender.clone());
    }
    drop(sender);
    let begun = Instant::now();
    let mut streams: [Vec<u8>; 2] = Default::default();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if begun.elapsed() < limit => {}
            None => break None,
        }
        // A stream that ends is as good as a sign that the program is about to.
        match receiver.recv_timeout(pause) {
            Ok((at, bytes)) => put(&mut streams, at, bytes),
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(Duration::from_millis(100)),
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        }
    };
    let patience = match status {
        Some(_) if matches!(kept, [Kept::AtMost(_), _]) => ANSWERED,
        Some(_) => LEFT,
        None => {
            kill(&mut child);
            LEFT
        }
    };
    while let Ok((at, bytes)) = receiver.recv_timeout(patience) {
        put(&mut streams, at, bytes);
    }
    Ok(Ended { status, streams })
}

fn put(streams: &mut [Vec<u8>; 2], at: usize, bytes: Vec<u8>) {
    if let Some(stream) = streams.get_mut(at) {
        *stream = bytes;
    }
}

fn read(stream: impl Read + Send + 'static, at: usize, kept: [Kept; 2], sender: Sender<(usize, Vec<u8>)>) {
    let (limit, rest) = match kept.get(at) {
        Some(Kept::First(limit)) => (*limit, true),
        Some(Kept::AtMost(limit)) => (*limit, false),
        None => return,
    };
    std::thread::spawn(move || {
        let (mut stream, mut bytes) = (stream, Vec::new());
        // What can't be read is missing, which is seen by what came.
        let _ = stream.by_ref().take(limit).read_to_end(&mut bytes);
        let _ = sender.send((at, bytes));
        drop(sender);
        if rest {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
}

fn kill(child: &mut Child) {
    // Where it leads none, there is no such group.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn an_answer_is_waited_for_when_its_program_has_ended() {
        // Long after what is left to others has been given up, however busy the machine is.
        for (kept, seconds, wanted) in [(Kept::AtMost(99), "0.5", "late\n"), (Kept::First(99), "15", "")] {
            let mut shell = Command::new("/bin/sh");
            shell
                .args(["-c", &format!("(sleep {seconds}; echo late) & exit 0")])
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let ended =
                finish(shell.spawn().expect("a shell"), [kept; 2], Duration::from_secs(20)).expect("an end");
            assert!(ended.status.is_some_and(|s| s.success()));
            assert_eq!(String::from_utf8_lossy(&ended.streams[0]), wanted);
        }
    }
}
