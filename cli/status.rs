//! What is known of stores, for `keyferry status`: for people, for scripts, and from a worker to the program that started it.

use crate::commands::Program;
use crate::commands::rollback::file;
use crate::error::Result;
use crate::place::{StoreArg, shown};
use crate::secrets::{Given, Passwords};
use crate::sets::order::{Answer, Order, Problem, StoreOrder};
use crate::time::now_ms;
use crate::ui::{BOLD, Out, RED, Ui, YELLOW};
use formats::error::Printable;
use formats::jobs::list::{Row, row};
use formats::jobs::rebuild::{Waiting, Way, current, folders, waiting};
use formats::jobs::{Input, load};
use formats::model::ItemKind;
use formats::query::time::{parse, rfc3339};
use formats::storeset::{Generation, Record, generations};
use formats::{Ctx, Error, Options, Session, by_name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is known of one store.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// As it is called.
    pub store: String,
    #[serde(flatten)]
    content: Option<Content>,
    generations: Vec<Old>,
    /// The generation that waits to become the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staged: Option<Staged>,
    /// A run was cut off while it switched the store's set; the next one goes this way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interrupted: Option<Way>,
    /// Somebody went back, and runs of keyferry apply leave the store alone until a newer bundle comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    /// What the last update had to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_update: Option<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    format: String,
    entries: Map<String, Value>,
    keys: Vec<Value>,
    expired: usize,
    expiring: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_to_expire: Option<Value>,
    /// Whole days until that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    days_left: Option<i64>,
    /// Whole days until the first certificate of a key ends; below zero once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_days_left: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Old {
    path: String,
    saved: String,
}

/// A generation that waits.
#[derive(Debug, Serialize, Deserialize)]
struct Staged {
    path: String,
    /// When it was built.
    time: String,
    /// The digest of the inputs that it was built from.
    inputs: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
    /// SHA-256 of the store that it was built from; of a folder, what tells its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    /// The store and the staged files are still as they were then.
    fits: bool,
}

impl From<&Waiting> for Staged {
    fn from(waiting: &Waiting) -> Self {
        let record = &waiting.staged.note.record;
        Staged {
            path: shown(&waiting.staged.path()),
            time: record.time.clone(),
            inputs: record.inputs.clone(),
            serial: record.serial,
            store: waiting.staged.member().and_then(|m| m.base.clone()),
            fits: waiting.fits,
        }
    }
}

/// Thirty days, in seconds.
const SOON: i64 = 30 * 86_400;

/// A store to look at.
pub struct Asked {
    pub arg: StoreArg,
    /// Where it was first, if it is in a folder of its own now.
    pub home: Option<PathBuf>,
}

/// What was seen of a store, and what was wrong with it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    pub status: Option<Status>,
    pub problem: Option<Problem>,
}

/// What a worker sees of the stores of its set.
pub fn of_set(program: &Program, order: &Order) -> Answer {
    let asked = |store: &StoreOrder| {
        let path = store.pointer.as_ref().map_or(Ok(store.store.clone()), |p| current(p, &store.store))?;
        let home = store.pointer.is_some().then(|| store.store.clone());
        let format = store.format.as_deref().and_then(by_name);
        Ok(Asked { arg: StoreArg { text: path.clone().into(), format, path }, home })
    };
    let look = || -> Result<Vec<Seen>> {
        let stores = order.stores.iter().map(asked).collect::<Result<Vec<_>, Error>>()?;
        let specs = stores.iter().zip(&order.stores);
        let given = specs.filter_map(|(s, o)| Some(format!("{}={}", s.arg.name(), o.password.as_ref()?)));
        look(program, &stores, &given.chain(order.passwords.iter().cloned()).collect::<Vec<_>>())
    };
    match look() {
        Ok(seen) => Answer { seen, ..Answer::default() },
        Err(failure) => Answer { error: Some(Problem::of(failure)), ..Answer::default() },
    }
}

/// Looks at stores; `given` are their passwords.
pub fn look(program: &Program, stores: &[Asked], given: &[String]) -> Result<Vec<Seen>> {
    let given = Given { password: given, ..program.given() };
    let named: Vec<_> = stores.iter().map(|s| &s.arg).collect();
    let passwords = Passwords::new(&program.ui, given, &named, false)?;
    let session = program.session()?;
    let one = |store: &Asked| {
        let path = file(&store.arg)?;
        let home = store.home.as_ref().unwrap_or(&path);
        let (status, error) = status(&store.arg, &path, home, &passwords, &session);
        Ok(Seen { status: Some(status), problem: error.as_ref().map(Problem::from) })
    };
    stores.iter().map(one).collect()
}

/// Generations and record are shown even of a store that can't be read: that is when they are wanted.
fn status(
    store: &StoreArg,
    path: &Path,
    home: &Path,
    passwords: &Passwords<'_>,
    session: &Session,
) -> (Status, Option<Error>) {
    let (content, read) = apart(content(store, passwords, session));
    let (old, listed) = apart(generations(path));
    let mut old: Vec<_> = old.unwrap_or_default().iter().map(Old::from).collect();
    if home != path {
        let folders = folders(home).unwrap_or_default();
        old.extend(folders.iter().filter(|(_, f)| !path.starts_with(f)).map(Old::of_folder));
        // As it was found first, and what it was before.
        old.extend(home.is_file().then(|| Old::found(home)));
        old.extend(generations(home).unwrap_or_default().iter().map(Old::from));
    }
    let (waits, looked) = apart(waiting(home));
    let waits = waits.flatten();
    let record = Record::read(path);
    let status = Status {
        store: store.name(),
        content,
        generations: old,
        staged: waits.as_ref().map(Staged::from),
        interrupted: waits.and_then(|w| w.interrupted),
        held: record.as_ref().is_some_and(|r| r.hold.is_some()),
        last_update: record.as_ref().and_then(|r| serde_json::to_value(r).ok()),
        notes: record.map(|r| r.notes).unwrap_or_default(),
    };
    (status, read.or(listed).or(looked))
}

fn apart<T>(result: Result<T, Error>) -> (Option<T>, Option<Error>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(e) => (None, Some(e)),
    }
}

impl Old {
    /// A generation that a settings file has led to.
    fn of_folder((_, folder): &(u64, PathBuf)) -> Self {
        Old::found(folder)
    }

    fn found(path: &Path) -> Self {
        let saved = path.metadata().map_or(0, |m| m.ctime());
        Old { path: shown(path), saved: rfc3339(saved) }
    }
}

impl From<&Generation> for Old {
    fn from(g: &Generation) -> Self {
        Old { path: shown(&g.path), saved: rfc3339(g.saved_ms / 1000) }
    }
}

fn content(store: &StoreArg, passwords: &Passwords<'_>, session: &Session) -> Result<Content, Error> {
    let source = formats::place::Source::open(&store.path)?;
    let secrets = passwords.of(store);
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session };
    let loaded = load(&Input { source: &source, format: store.format, ctx })?;
    let entries = &loaded.store.entries;
    let count = |k: &ItemKind| entries.iter().filter(|e| e.item.kind() == *k).count();
    let counts = ItemKind::ALL.iter().map(|k| (k, count(k))).filter(|(_, n)| *n > 0);
    let counts = counts.map(|(k, n)| (k.name().to_owned(), n.into())).collect();

    let name = store.name();
    let rows: Vec<Row> = entries.iter().map(|e| row(&name, loaded.format.name(), e)).collect();
    let seconds = now_ms() / 1000;
    let (now, soon) = (rfc3339(seconds), rfc3339(seconds + SOON));
    let ends = || rows.iter().filter_map(|r| r.not_after.as_deref());
    let days = |row: &Row| Some((parse(row.not_after.as_deref()?)? - seconds).div_euclid(86_400));
    let first = rows
        .iter()
        .filter(|r| r.not_after.as_deref().is_some_and(|e| e > now.as_str()))
        .min_by(|a, b| a.not_after.cmp(&b.not_after));
    Ok(Content {
        format: loaded.format.name().to_owned(),
        entries: counts,
        expired: ends().filter(|e| *e <= now.as_str()).count(),
        expiring: ends().filter(|e| *e > now.as_str() && *e <= soon.as_str()).count(),
        days_left: first.and_then(days),
        key_days_left: rows.iter().filter(|r| r.kind == ItemKind::Key.name()).filter_map(days).min(),
        first_to_expire: first.map(value),
        keys: rows.iter().filter(|r| r.kind == ItemKind::Key.name()).map(value).collect(),
    })
}

/// Prints it for people.
pub fn print(ui: &Ui, out: &mut Out, status: &Status) -> Result {
    let format = status.content.as_ref().map_or("unreadable", |c| &c.format);
    writeln!(out, "{}", ui.paint(BOLD, &format!("{}  {format}", Printable(&status.store))))?;
    if let Some(content) = &status.content {
        let counts: Vec<_> = content.entries.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        writeln!(
            out,
            "  entries: {}",
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        )?;
        for key in &content.keys {
            let default = if key["default"] == true { " (default)" } else { "" };
            writeln!(out, "  key {}{default}", described(key))?;
        }
        if content.expired > 0 {
            writeln!(out, "  {}", ui.paint(RED, &format!("expired: {}", content.expired)))?;
        }
        if content.expiring > 0 {
            let text = format!("expiring within 30 days: {}", content.expiring);
            writeln!(out, "  {}", ui.paint(YELLOW, &text))?;
        }
        if let Some(first) = &content.first_to_expire {
            let left = content.days_left.map_or_else(String::new, |d| format!(" ({d} days left)"));
            writeln!(out, "  first to expire: {}{left}", described(first))?;
        }
        if let Some(days) = content.key_days_left {
            let text = format!("days left for the key: {days}");
            let style = if days < 0 { RED } else { YELLOW };
            let text = if days < SOON / 86_400 { ui.paint(style, &text) } else { text };
            writeln!(out, "  {text}")?;
        }
    }
    for old in &status.generations {
        writeln!(out, "  old {}  saved {}", old.path, old.saved)?;
    }
    if status.held {
        let text = "held: somebody went back; keyferry apply leaves it alone until a newer bundle comes";
        writeln!(out, "  {}", ui.paint(YELLOW, text))?;
    }
    for note in &status.notes {
        writeln!(out, "  {}", ui.paint(YELLOW, &Printable(note).to_string()))?;
    }
    if let Some(staged) = &status.staged {
        let serial = staged.serial.map_or_else(String::new, |s| format!("  serial {s}"));
        writeln!(out, "  staged {}  built {}{serial}", staged.path, Printable(&staged.time))?;
        writeln!(out, "    from {}", Printable(&staged.inputs))?;
        writeln!(
            out,
            "    and the store {}",
            Printable(staged.store.as_deref().unwrap_or("that was not there"))
        )?;
        if !staged.fits && status.interrupted.is_none() {
            let text = "the store or the staged files have changed since; keyferry prune deletes it";
            writeln!(out, "    {}", ui.paint(YELLOW, text))?;
        }
    }
    if let Some(way) = status.interrupted {
        let text = match way {
            Way::Forward => "an update of its set was interrupted; the next run completes it",
            Way::Back => "an update of its set was interrupted; the next run takes it back",
        };
        writeln!(out, "  {}", ui.paint(RED, text))?;
    }
    if let Some(Value::Object(record)) = &status.last_update {
        writeln!(out, "  last update:")?;
        // What is said above already, or is for programs.
        for (field, value) in record.iter().filter(|(f, _)| *f != "notes" && *f != "hold") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "    {}: {}", Printable(field), Printable(&value))?;
        }
    }
    Ok(())
}

/// One entry, as `list` has it.
fn value(row: &Row) -> Value {
    serde_json::to_value(row).unwrap_or_default()
}

fn described(row: &Value) -> String {
    let text = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or("-");
    let day = text("not_after");
    let day = day.get(..10).unwrap_or("-");
    format!("\"{}\"  {}  until {}", Printable(text("label")), Printable(text("subject")), Printable(day))
}
