//! How a command ends badly: the exit status, the message and the hint, from one table.

use crate::ui::Ui;
use formats::model::Loss;
use formats::{Error, Kind};
use std::error::Error as _;
use std::io::Write;

/// Why a command did not end with status 0.
#[derive(Debug)]
pub enum Failure {
    /// The library (or a part of the program that works like it) says what, where and why.
    Failed(Error),
    /// The command line is wrong in a way that clap can't see.
    Usage {
        /// One line, lower case, no full stop.
        message: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// The command line is wrong, or help was asked for: clap has the words.
    Clap(clap::Error),
    /// The answer is no; whatever there was to say was printed as the result.
    No,
    /// Refused, because these would be lost.
    Losses(Vec<Loss>),
    /// Some of several failed; each was reported when it happened.
    Incomplete,
    /// A single failure that was reported when it happened.
    Reported(Kind),
    /// Nobody reads our output any more. Not worth a word.
    BrokenPipe,
}

/// Shorthand for results of commands.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::Usage { message: message.into(), hint: None }
    }

    /// A wrong command line, and what to do instead.
    pub fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// The exit status, as the command-line contract has it.
    pub fn status(&self) -> u8 {
        match self {
            Failure::Failed(e) => advice(e.kind()).0,
            Failure::Reported(kind) => advice(*kind).0,
            Failure::Usage { .. } => 2,
            Failure::Clap(e) => u8::try_from(e.exit_code()).unwrap_or(2),
            Failure::No => 1,
            Failure::Losses(_) => 5,
            Failure::Incomplete => 8,
            Failure::BrokenPipe => 0,
        }
    }

    /// Says on standard error what there is to say.
    pub fn report(&self, ui: &Ui) {
        match self {
            Failure::Failed(e) => report(ui, e),
            Failure::Usage { message, hint } => {
                ui.error(message);
                ui.hint(hint.as_deref().unwrap_or("see keyferry --help"));
            }
            Failure::Clap(e) => say(e),
            Failure::Losses(losses) => report_losses(ui, losses),
            Failure::No | Failure::Incomplete | Failure::Reported(_) | Failure::BrokenPipe => {}
        }
    }
}

/// What clap has to say. Its messages repeat arguments that it didn't expect, and one may be a password.
fn say(e: &clap::Error) {
    let text = e.render().ansi().to_string();
    let text = without_literals(text, std::env::args_os().map(|a| a.to_string_lossy().into_owned()));
    // Nothing can be said about closed streams.
    if e.use_stderr() {
        drop(write!(anstream::stderr(), "{text}"));
    } else {
        drop(write!(anstream::stdout(), "{text}"));
    }
}

fn without_literals(text: String, arguments: impl Iterator<Item = String>) -> String {
    arguments.fold(text, |text, argument| match argument.find(LITERAL) {
        Some(at) if argument.len() > at + LITERAL.len() => {
            text.replace(argument.get(at..).unwrap_or_default(), "pass:…")
        }
        _ => text,
    })
}

const LITERAL: &str = "pass:";

/// The one table: exit status and general hint for each kind of error.
fn advice(kind: Kind) -> (u8, Option<&'static str>) {
    match kind {
        Kind::Read | Kind::Malformed | Kind::Unsupported | Kind::TooLarge => (3, None),
        Kind::Password => (
            4,
            Some("give the password with --password [STORE=]SPEC; SPEC is env:NAME, file:PATH and others"),
        ),
        Kind::Refused => (5, None),
        Kind::Busy => (6, Some("nothing was written; try again when the other program is done")),
        Kind::Write => (7, Some("the store is as it was")),
    }
}

/// The message, its causes, the hint.
pub fn report(ui: &Ui, error: &Error) {
    ui.error(&error.to_string());
    let mut cause = error.source();
    while let Some(e) = cause {
        let text = words(e);
        // Many messages end with the system's words already.
        if !text.to_lowercase().starts_with(error.message().rsplit(": ").next().unwrap_or_default()) {
            ui.cause(&text);
        }
        cause = e.source();
    }
    if let Some(hint) = error.hint_text().or(advice(error.kind()).1) {
        ui.hint(hint);
    }
}

/// A cause in words, without Rust's "(os error 2)".
fn words(cause: &(dyn std::error::Error + 'static)) -> String {
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn report_losses(ui: &Ui, losses: &[Loss]) {
    ui.error("refused, for this would be lost; nothing was written");
    let mut kinds: Vec<&str> = Vec::new();
    for loss in losses {
        ui.line(&format!("  {loss}"));
        if !kinds.contains(&loss.kind.name()) {
            kinds.push(loss.kind.name());
        }
    }
    ui.hint(&format!("to go on without: --allow-loss={}", kinds.join(",")));
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Failed(e)
    }
}

impl From<clap::Error> for Failure {
    fn from(e: clap::Error) -> Self {
        Failure::Clap(e)
    }
}

/// Writing our own output failed.
impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::BrokenPipe;
        }
        Failure::Failed(Error::io(Kind::Write, "the output can't be written", e).hint("is the disk full?"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(e: serde_json::Error) -> Self {
        std::io::Error::from(e).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_passwords_are_not_repeated() {
        let arguments = ["x", "pass:", "a=pass:hunter2"].map(str::to_owned);
        let text = "unexpected argument 'a=pass:hunter2' found; SPEC is pass:LITERAL".to_owned();
        assert_eq!(
            without_literals(text, arguments.into_iter()),
            "unexpected argument 'a=pass:…' found; SPEC is pass:LITERAL"
        );
    }

    #[test]
    fn causes_are_words() {
        assert_eq!(words(&std::io::Error::from_raw_os_error(2)), "No such file or directory");
    }

    #[test]
    fn statuses_are_those_of_the_contract() {
        let of = |kind| Failure::Failed(Error::new(kind, "x")).status();
        assert_eq!(Kind::ALL.iter().map(|k| of(*k)).collect::<Vec<_>>(), [3, 3, 3, 3, 4, 5, 6, 7]);
        assert_eq!(Failure::usage("x").status(), 2);
        assert_eq!(Failure::No.status(), 1);
        assert_eq!(Failure::Losses(Vec::new()).status(), 5);
        assert_eq!(Failure::Incomplete.status(), 8);
        assert_eq!(Failure::Reported(Kind::Password).status(), 4);
        assert_eq!(Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).status(), 0);
        assert_eq!(Failure::from(std::io::Error::from(std::io::ErrorKind::StorageFull)).status(), 7);
    }
}
