//! Copies of a database: how a state is kept that a rollback goes back to.
//!
//! A copy is a database of its own, page for page what SQLite's backup gives. Going back is a change in
//! place like any other: the rows of both files in one transaction.

use super::edit::{ATTACHED, Live};
use super::layout::*;
use super::modules;
use super::sql::{self, Db, failed};
use crate::error::{Error, Kind, Result};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The names of a copy's files in a connection.
const OLD_KEY: &str = "old_key";
const OLD_CERT: &str = "old_cert";
/// Tables that anything changes: where they are, and where in the copy.
const TABLES: [(&str, &str, &str); 3] =
    [(ATTACHED, OLD_CERT, "nssPublic"), ("main", OLD_KEY, "nssPrivate"), ("main", OLD_KEY, "metaData")];

/// Copies the database in `folder` into `to`, synced by nobody yet.
pub fn copy(folder: &Path, to: &Path) -> Result<()> {
    for table in [Table::Public, Table::Private] {
        let from = Db::read(folder, table)?;
        let path = to.join(table.file());
        create(&path)?;
        backup(&from.connection, &path).map_err(|e| e.in_file(&path))?;
    }
    let mut text = Vec::new();
    let list = folder.join(MODULES);
    match sql::open(&list).and_then(|f| f.take(modules::LONGEST).read_to_end(&mut text)) {
        Ok(_) => create(&to.join(MODULES))?.write_all(&text).map_err(|e| unwritten(e, &to.join(MODULES))),
        // It may be missing.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(Kind::Read, "can't be read", e).in_file(&list)),
    }
}

fn backup(from: &Connection, to: &Path) -> Result<()> {
    let failed = |e| failed(e, Kind::Write);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags).map_err(failed)?;
    // Nobody knows the file before it is complete and synced.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").map_err(failed)?;
    let outcome = Backup::new(from, &mut copy).and_then(|b| b.step(-1)).map_err(failed)?;
    if outcome != StepResult::Done {
        return Err(Error::new(Kind::Busy, "the database is in use"));
    }
    copy.close().map_err(|(_, e)| failed(e))
}

/// An empty file, its owner's alone.
fn create(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| unwritten(e, path))
}

fn unwritten(e: std::io::Error, path: &Path) -> Error {
    let reason = crate::place::reason(&e);
    Error::io(Kind::Write, format!("can't be written: {reason}"), e).in_file(path)
}

/// Makes the database in `folder` hold the rows of the copy, in one transaction. `before` is told the state
/// that this will give.
///
/// Columns that came since stay, and are empty. Tables of others' stay as they are, and so does the list of
/// modules, which no change of keys and certificates touches.
pub fn restore(folder: &Path, copy: &Path, before: &dyn Fn(&str) -> Result<()>) -> Result<()> {
    let live = Live::open(folder)?;
    // Here and not later: closing a file would drop the locks of the transaction.
    let after = State::of(folder)?.after();
    attach(&live.connection, OLD_KEY, &copy.join(KEY_DB))?;
    attach(&live.connection, OLD_CERT, &copy.join(CERT_DB))?;
    live.change(|live| {
        for (database, old, table) in TABLES {
            refill(&live.connection, database, old, table).map_err(|e| live.failed(e))?;
            if !same(&live.connection, database, old, table).map_err(|e| live.failed(e))? {
                let what = format!("reading back: {table} is not what it was; nothing was committed");
                return Err(Error::new(Kind::Write, what).in_file(folder));
            }
        }
        for database in ["main", ATTACHED] {
            touch(&live.connection, database).map_err(|e| live.failed(e))?;
        }
        before(&after.to_string())
    })
}

/// Whether both hold the same rows.
pub fn is_same(folder: &Path, copy: &Path) -> Result<bool> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_in_memory_with_flags(flags).map_err(|e| failed(e, Kind::Read))?;
    let unread = |e| failed(e, Kind::Read).in_file(copy);
    sql::distrust(&connection).map_err(unread)?;
    attach(&connection, "key", &folder.join(KEY_DB))?;
    attach(&connection, ATTACHED, &folder.join(CERT_DB))?;
    attach(&connection, OLD_KEY, &copy.join(KEY_DB))?;
    attach(&connection, OLD_CERT, &copy.join(CERT_DB))?;
    for (database, old, table) in TABLES {
        let database = if database == "main" { "key" } else { database };
        if !same(&connection, database, old, table).map_err(unread)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn attach(connection: &Connection, name: &str, path: &Path) -> Result<()> {
    let uri = sql::readable(path)?;
    let attached = connection.execute(&format!("ATTACH DATABASE ?1 AS {name}"), [uri]);
    attached.map(drop).map_err(|e| failed(e, Kind::Read).in_file(path))
}

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

/// Puts the copy's rows in the place of those that are there, in their order.
fn refill(connection: &Connection, database: &str, old: &str, table: &str) -> rusqlite::Result<()> {
    let there = sql::columns(connection, database, table)?;
    let wanted = sql::columns(connection, old, table)?.unwrap_or_default();
    for column in wanted.iter().filter(|c| there.as_ref().is_some_and(|t| !t.contains(c))) {
        connection.execute_batch(&format!("ALTER TABLE {database}.{table} ADD COLUMN {}", quoted(column)))?;
    }
    if there.is_some() {
        connection.execute_batch(&format!("DELETE FROM {database}.{table}"))?;
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let columns: Vec<String> = wanted.iter().map(|c| quoted(c)).collect();
    let columns = columns.join(", ");
    connection.execute_batch(&format!(
        "INSERT INTO {database}.{table} (rowid, {columns}) SELECT rowid, {columns} FROM {old}.{table} ORDER BY rowid"
    ))
}

/// Whether both tables have the same rows; a column that only one of them has must be empty.
fn same(connection: &Connection, a: &str, b: &str, table: &str) -> rusqlite::Result<bool> {
    let (in_a, in_b) = (sql::columns(connection, a, table)?, sql::columns(connection, b, table)?);
    let (Some(in_a), Some(in_b)) = (&in_a, &in_b) else { return Ok(in_a.is_none() && in_b.is_none()) };
    let none = |sql: String| connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(|n| n == 0);
    let mut shared = Vec::new();
    for column in in_a {
        let name = quoted(column);
        if in_b.contains(column) {
            shared.push(name);
        } else if !none(format!("SELECT count(*) FROM {a}.{table} WHERE {name} IS NOT NULL"))? {
            return Ok(false);
        }
    }
    for column in in_b.iter().filter(|c| !in_a.contains(c)) {
        if !none(format!("SELECT count(*) FROM {b}.{table} WHERE {} IS NOT NULL", quoted(column)))? {
            return Ok(false);
        }
    }
    let columns = shared.join(", ");
    let sizes = format!("SELECT (SELECT count(*) FROM {a}.{table}) - (SELECT count(*) FROM {b}.{table})");
    // With how often each is there: rows may repeat, and both tables have as many.
    let counted = |of: &str| format!("SELECT {columns}, count(*) FROM {of}.{table} GROUP BY {columns}");
    Ok(none(sizes)? && none(format!("SELECT count(*) FROM ({} EXCEPT {})", counted(a), counted(b)))?)
}

/// Writes the header anew as it is, so that the file's counter goes up whatever else was written.
fn touch(connection: &Connection, database: &str) -> rusqlite::Result<()> {
    let version: i64 =
        connection.query_row(&format!("PRAGMA {database}.user_version"), [], |row| row.get(0))?;
    connection.execute_batch(&format!("PRAGMA {database}.user_version = {version}"))
}

/// Which files the database is, and their counters of changes (sqlite.org/fileformat2.html, 1.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State([FileState; 2]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    counter: u32,
}

impl State {
    /// Of the database in `folder`. Not to be asked for while a transaction of this process is open: closing
    /// a file drops all locks on it.
    pub fn of(folder: &Path) -> Result<Self> {
        let one = |name: &str| {
            let path = folder.join(name);
            let read = || -> std::io::Result<FileState> {
                let file = sql::open(&path)?;
                let meta = file.metadata()?;
                let mut counter = [0; 4];
                file.read_exact_at(&mut counter, 24)?;
                let counter = u32::from_be_bytes(counter);
                Ok(FileState { device: meta.dev(), inode: meta.ino(), counter })
            };
            read().map_err(|e| Error::io(Kind::Read, "can't be looked at", e).in_file(&path))
        };
        Ok(State([one(KEY_DB)?, one(CERT_DB)?]))
    }

    /// After one change of both.
    fn after(self) -> Self {
        State(self.0.map(|f| FileState { counter: f.counter.wrapping_add(1), ..f }))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [key, cert] = self.0.map(|f| format!("{}:{}:{}", f.device, f.inode, f.counter));
        write!(f, "{key} {cert}")
    }
}
