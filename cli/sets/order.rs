//! What a worker is told, and what it answers. Both are JSON, from and to the program that started it.

use crate::config::GateRules;
use crate::rebuilt::{LossRow, Report};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A set of stores and what to make of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    pub stores: Vec<StoreOrder>,
    pub bundles: Vec<BundleOrder>,
    /// `SRC` or `SRC#LABEL`.
    pub key: Option<String>,
    /// The SPEC of its password.
    pub key_password: Option<String>,
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
}

/// One store.
#[derive(Debug, Serialize, Deserialize)]
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
}

/// Why nothing was done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The name of its kind.
    pub kind: String,
    pub message: String,
    pub hint: Option<String>,
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
