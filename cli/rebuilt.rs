//! What became of rebuilt stores: for people, for scripts, and from a worker to the program that started it.

use crate::place::shown;
use crate::ui::{BOLD, DIM, GREEN, RED, Ui, YELLOW};
use formats::error::Printable;
use formats::jobs::rebuild::{Mode, Named, StoreReport, Way};
use formats::model::Loss;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// More names than these are for programs, which ask for `--json`: they would push everything else off the
/// screen.
const NAMED: usize = 200;

/// One store's report, in the shape of its JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub store: String,
    pub format: String,
    pub changed: bool,
    pub created: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The generation that was kept for later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<String>,
    /// What an interrupted run had left half done was completed (forward) or taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<Way>,
    pub added: Vec<Certificate>,
    pub removed: Vec<Certificate>,
    pub keys: Vec<Certificate>,
    pub losses: Vec<LossRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<StopRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub pruned: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// How many came and went besides those in the lists, where these are cut for people.
    #[serde(skip)]
    more: [usize; 2],
}

/// A certificate that came, went, or stands with a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    pub label: String,
    pub subject: String,
    pub sha256: String,
}

/// A loss.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LossRow {
    pub kind: String,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What stands in the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StopRow {
    pub detail: String,
    /// What approves it; absent: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
}

impl From<&StoreReport> for Report {
    fn from(store: &StoreReport) -> Self {
        Report::with(store, usize::MAX)
    }
}

impl Report {
    /// With no more names than are printed: the text of tens of thousands costs as much as moving them.
    pub fn for_people(store: &StoreReport) -> Self {
        Report::with(store, NAMED)
    }

    fn with(store: &StoreReport, most: usize) -> Self {
        let named = |list: &[Named]| list.iter().take(most).map(Certificate::from).collect();
        Report {
            store: store.path.to_string_lossy().into_owned(),
            format: store.format.to_owned(),
            changed: store.changed,
            created: store.created,
            held: store.held,
            staged: store.staged.as_ref().map(|p| shown(p)),
            healed: store.healed,
            added: named(&store.added),
            removed: named(&store.removed),
            keys: named(&store.keys),
            losses: store.losses.iter().map(LossRow::from).collect(),
            stops: store
                .stops
                .iter()
                .map(|s| StopRow { detail: s.detail.clone(), approve: s.approve.clone() })
                .collect(),
            notes: store.notes.clone(),
            pruned: store.pruned.iter().map(|p| shown(p)).collect(),
            kept: store.kept,
            old: store.old.as_ref().map(|o| shown(o)),
            more: [&store.added, &store.removed].map(|l| l.len().saturating_sub(most)),
        }
    }
}

impl From<&Named> for Certificate {
    fn from(n: &Named) -> Self {
        Certificate { label: n.label.clone(), subject: n.subject(), sha256: n.sha256() }
    }
}

impl From<&Loss> for LossRow {
    fn from(loss: &Loss) -> Self {
        LossRow {
            kind: loss.kind.name().to_owned(),
            detail: loss.detail.clone(),
            label: loss.label.as_ref().map(|l| l.as_str().to_owned()),
        }
    }
}

impl Report {
    /// Prints it for people.
    pub fn print(&self, ui: &Ui, mode: Mode, out: &mut impl Write) -> std::io::Result<()> {
        let planned = mode == Mode::Plan;
        let verb = match (self.changed, self.created, planned) {
            (true, ..) if self.staged.is_some() => "staged",
            (false, ..) if self.held => "left as it is, for somebody went back from this bundle",
            (false, ..) if !self.stops.is_empty() => "stopped",
            (false, ..) if self.healed == Some(Way::Forward) => "an interrupted update was completed",
            (false, ..) if self.healed == Some(Way::Back) => "an interrupted update was taken back",
            (false, ..) => "unchanged",
            (true, true, false) => "created",
            (true, false, false) => "replaced",
            (true, true, true) => "would be created",
            (true, false, true) => "would be replaced",
        };
        let kept = [("old", &self.old), ("next", &self.staged)];
        let kept = kept.iter().filter_map(|(what, at)| Some(format!(" ({what}: {})", at.as_ref()?)));
        let saved: String = kept.collect();
        writeln!(out, "{}: {}: {verb}{saved}", Printable(&self.store), self.format)?;
        for stop in &self.stops {
            writeln!(out, "  {}", ui.paint(RED, &format!("! {}", Printable(&stop.detail))))?;
            if let Some(approve) = &stop.approve {
                writeln!(out, "    {}", ui.paint(BOLD, &format!("--approve {approve}")))?;
            }
        }
        for note in &self.notes {
            writeln!(out, "  {}", ui.paint(YELLOW, &Printable(note).to_string()))?;
        }
        if !self.changed && self.stops.is_empty() {
            return Ok(());
        }
        let [more_added, more_removed] = self.more;
        let lists = [("+", GREEN, &self.added, more_added), ("-", RED, &self.removed, more_removed)];
        for (mark, style, list, more) in lists {
            for named in list.iter().take(NAMED) {
                writeln!(out, "  {}", ui.paint(style, &format!("{mark} {}", named.described())))?;
            }
            let more = more + list.len().saturating_sub(NAMED);
            if more > 0 {
                let rest = format!("{mark} {more} more; --json names all");
                writeln!(out, "  {}", ui.paint(style, &rest))?;
            }
        }
        for key in &self.keys {
            writeln!(out, "  key {}", key.described())?;
        }
        let pruned = match self.pruned.len() {
            0 => String::new(),
            n => format!(", {n} old deleted"),
        };
        let Some(kept) = self.kept else { return Ok(()) };
        let (added, removed) = (self.added.len() + more_added, self.removed.len() + more_removed);
        let summary = format!("{added} added, {removed} removed, {kept} kept{pruned}");
        writeln!(out, "  {}", ui.paint(DIM, &summary))
    }
}

impl Certificate {
    fn described(&self) -> String {
        format!("\"{}\"  {}", Printable(&self.label), Printable(&self.subject))
    }
}
