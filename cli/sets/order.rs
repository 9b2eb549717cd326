//! What a worker is told, and what it answers. Both are JSON, from and to the program that started it.

use super::user::Owner;
use crate::config::GateRules;
use crate::error::Failure;
use crate::rebuilt::{LossRow, Report};
use crate::status::Seen;
use formats::{Error, Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A set of stores and what to make of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Order {
    /// Only to look at the stores, for `status`.
    pub look: bool,
    /// Whom the worker is to become before it opens anything.
    pub owner: Option<Owner>,
    pub stores: Vec<StoreOrder>,
    pub bundles: Vec<BundleOrder>,
    /// `SRC` or `SRC#LABEL`.
    pub key: Option<String>,
    /// The SPEC of its password.
    pub key_password: Option<String>,
    /// What the command line says of passwords: `[STORE=]SPEC`.
    pub passwords: Vec<String>,
    pub gates: GateRules,
    /// What was approved: `removals`, `cas`, `second-keys`, or fingerprints.
    pub approve: Vec<String>,
    pub mode: formats::jobs::rebuild::Mode,
    /// Go on to what somebody went back from.
    pub ignore_hold: bool,
    pub after: Vec<Vec<String>>,
    /// Run after those of `after`.
    pub probe: Vec<Vec<String>>,
    pub after_timeout_ms: u64,
    /// When whoever started the worker ends it, in milliseconds from its start.
    pub limit_ms: u64,
}

/// One store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoreOrder {
    /// `FORMAT:PATH` or `PATH`.
    pub store: PathBuf,
    /// The settings file that leads to it.
    pub pointer: Option<PathBuf>,
    /// The name of its format, where that is said.
    pub format: Option<String>,
    /// Names of roles.
    pub roles: Option<Vec<formats::bundle::Role>>,
    /// The SPEC of its password.
    pub password: Option<String>,
    /// It may be new.
    pub create: bool,
    pub keep: usize,
    pub retention_ms: i64,
    pub allow_loss: Vec<String>,
    pub options: BTreeMap<String, String>,
}

/// A bundle that was verified.
#[derive(Debug, Serialize, Deserialize)]
pub struct BundleOrder {
    pub path: PathBuf,
    pub manifest: Option<formats::bundle::Manifest>,
    pub only_under: Option<String>,
}

/// What a worker did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    pub reports: Vec<Report>,
    pub warnings: Vec<String>,
    /// What was lost that nobody allowed; then nothing was written.
    pub refused: Vec<LossRow>,
    pub error: Option<Problem>,
    /// What the programs that ran after the change printed.
    pub hooks: Vec<Hooked>,
    /// What was seen, where that was all that was asked for.
    #[serde(default)]
    pub seen: Vec<Seen>,
}

/// Why nothing was done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The name of its kind.
    pub kind: String,
    pub message: String,
    pub hint: Option<String>,
}

impl From<&formats::Error> for Problem {
    fn from(e: &formats::Error) -> Self {
        Problem {
            kind: e.kind().name().to_owned(),
            message: e.to_string(),
            hint: e.hint_text().map(str::to_owned),
        }
    }
}

impl Problem {
    /// What a failure says.
    pub fn of(failure: Failure) -> Problem {
        match failure {
            Failure::Failed(e) => Problem::from(&e),
            Failure::Usage { message, hint } => Problem { kind: "refused".to_owned(), message, hint },
            other => Problem { kind: "refused".to_owned(), message: format!("{other:?}"), hint: None },
        }
    }

    /// As it was.
    pub fn error(self) -> Error {
        let kind = Kind::ALL.iter().copied().find(|k| k.name() == self.kind).unwrap_or(Kind::Read);
        let e = Error::new(kind, self.message);
        match self.hint {
            Some(hint) => e.hint(hint),
            None => e,
        }
    }
}

/// A program that ran after a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hooked {
    pub program: String,
    /// How it ended.
    pub ended: String,
    /// The first of what it printed.
    pub output: String,
}
