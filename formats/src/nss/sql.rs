//! The SQLite files: opening them safely, reading rows, inserting rows.
//!
//! A file may come from anywhere, so nothing in its schema is trusted: no views, no triggers, no computed
//! columns, and only tables that are tables. Reading never writes: a file that waits for the recovery of
//! an interrupted change is reported, not repaired.

use super::layout::{self, CLASS, COLUMNS, EMPTY, INDICES, MAX_ID, Table, Type, column};
use super::protect::PasswordEntry;
use crate::error::{Error, Kind, Result};
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// How long another program may hold the database before we give up.
const PATIENCE: Duration = Duration::from_secs(5);
/// A larger file is no key database; refusing it bounds memory.
const LIMIT: u64 = 2 << 30;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// One object: a row without its NULLs.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its id, unique in its table.
    pub id: u32,
    /// Its class.
    pub class: u32,
    values: Vec<(Type, Vec<u8>)>,
}

impl Object {
    /// A new object.
    pub fn new(id: u32, class: u32) -> Self {
        Object { id, class, values: vec![(CLASS, class.to_be_bytes().to_vec())] }
    }

    /// An attribute's value, if it has one and it isn't empty.
    pub fn get(&self, attribute: Type) -> Option<&[u8]> {
        self.raw(attribute).filter(|v| *v != EMPTY && !v.is_empty())
    }

    /// An attribute's value as stored.
    pub fn raw(&self, attribute: Type) -> Option<&[u8]> {
        self.values.iter().find(|(t, _)| *t == attribute).map(|(_, v)| &v[..])
    }

    /// A value of four bytes.
    pub fn word(&self, attribute: Type) -> Option<u32> {
        self.raw(attribute).and_then(layout::word)
    }

    /// Takes a value out.
    pub fn take(&mut self, attribute: Type) -> Option<Vec<u8>> {
        let value = self.values.iter_mut().find(|(t, _)| *t == attribute);
        value.map(|(_, v)| std::mem::take(v)).filter(|v| *v != EMPTY && !v.is_empty())
    }

    /// Adds or replaces a value; an empty one becomes what stands for it.
    pub fn set(&mut self, attribute: Type, value: impl Into<Vec<u8>>) {
        let mut value = value.into();
        if value.is_empty() {
            value = EMPTY.to_vec();
        }
        match self.values.iter_mut().find(|(t, _)| *t == attribute) {
            Some((_, v)) => *v = value,
            None => self.values.push((attribute, value)),
        }
    }

    /// How many bytes its values have.
    fn bytes(&self) -> usize {
        self.values.iter().map(|(_, v)| v.len()).sum()
    }

    /// All values.
    pub fn values(&self) -> &[(Type, Vec<u8>)] {
        &self.values
    }
}

/// An open database file.
pub struct Db {
    pub connection: Rc<Connection>,
    /// Its name in the connection.
    database: &'static str,
    path: PathBuf,
}

impl Db {
    /// Opens the file of `table` in `folder` for reading. The snapshot that is seen stays the same until the
    /// value is dropped.
    pub fn read(folder: &Path, table: Table) -> Result<Self> {
        let path = folder.join(table.file());
        let uri = readable(&path)?;
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&uri, flags)?;
            distrust(&connection)?;
            connection.busy_timeout(PATIENCE)?;
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = open().map_err(|e| failed(e, Kind::Read).in_file(&path))?;
        Ok(Db { connection: Rc::new(connection), database: "main", path })
    }

    /// A database that a connection has open already, under the name `database`.
    pub fn open(connection: &Rc<Connection>, database: &'static str, path: PathBuf) -> Self {
        Db { connection: Rc::clone(connection), database, path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The columns of a table that hold values, `None` if there is no such table.
    pub fn columns(&self, table: &str) -> Result<Option<Vec<String>>> {
        columns(&self.connection, self.database, table).map_err(|e| self.failed(e))
    }

    /// Hands every object of `table` to `each`, in the order of insertion, with those of `wanted`'s
    /// attributes that it has (empty: all). What is no object is handed over as an error.
    pub fn objects(&self, table: Table, wanted: &[Type], mut each: impl FnMut(Result<Object>)) -> Result<()> {
        let Some(columns) = self.columns(table.name())? else {
            return Err(
                Error::malformed(format!("the table {} is missing", table.name())).in_file(&self.path)
            );
        };
        let chosen: Vec<Type> = columns
            .iter()
            .filter_map(|c| layout::attribute(c))
            .filter(|t| wanted.is_empty() || *t == CLASS || wanted.contains(t))
            .collect();
        if !chosen.contains(&CLASS) || !columns.iter().any(|c| c == "id") {
            return Err(
                Error::malformed(format!("the table {} has no objects", table.name())).in_file(&self.path)
            );
        }
        let names: Vec<String> = chosen.iter().map(|t| column(*t)).collect();
        let sql = format!("SELECT id, {} FROM {}.{}", names.join(", "), self.database, table.name());
        let mut left = size(&self.connection, self.database).map_err(|e| self.failed(e))?;
        let mut go = || {
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let object = object(row, &chosen)?;
                let bytes = object.as_ref().map_or(0, Object::bytes);
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return Ok(false),
                }
                each(object);
            }
            Ok(true)
        };
        match go().map_err(|e| self.failed(e))? {
            true => Ok(()),
            false => Err(overfull().in_file(&self.path)),
        }
    }

    /// The whole of `metaData`, `None` if there is no such table.
    pub fn meta(&self) -> Result<Option<Meta>> {
        if self.columns("metaData")?.is_none() {
            return Ok(None);
        }
        match meta(&self.connection, self.database).map_err(|e| self.failed(e))? {
            Some(meta) => Ok(Some(meta)),
            None => Err(overfull().in_file(&self.path)),
        }
    }

    fn failed(&self, e: rusqlite::Error) -> Error {
        failed(e, Kind::Read).in_file(&self.path)
    }
}

/// What `metaData` holds.
#[derive(Default)]
pub struct Meta {
    /// The password entry.
    pub password: Option<PasswordEntry>,
    /// Integrity records by table, object id and attribute type.
    pub records: HashMap<(Table, u32, Type), Vec<u8>>,
}

/// Bytes of a database. Its values together can't be more, unless many share the same pages, which no writer
/// does: a small file could fill all memory so.
fn size(connection: &Connection, database: &str) -> rusqlite::Result<usize> {
    let number = |what: &str| {
        connection.query_row(&format!("PRAGMA {database}.{what}"), [], |row| row.get::<_, i64>(0))
    };
    Ok(usize::try_from(number("page_count")?.saturating_mul(number("page_size")?)).unwrap_or(0))
}

fn overfull() -> Error {
    Error::malformed("damaged SQLite database: more data than the file has room for")
}

/// Reads `metaData`; `None`: there is more than there can be. Rows of other names are nobody's business.
fn meta(connection: &Connection, database: &str) -> rusqlite::Result<Option<Meta>> {
    let mut left = size(connection, database)?;
    let mut statement = connection.prepare(&format!("SELECT id, item1, item2 FROM {database}.metaData"))?;
    let mut rows = statement.query([])?;
    let mut out = Meta::default();
    while let Some(row) = rows.next()? {
        let (id, first) = (row.get_ref(0)?, row.get_ref(1)?);
        let (Ok(id), Ok(first)) = (id.as_str(), first.as_blob()) else { continue };
        match left.checked_sub(id.len() + first.len()) {
            Some(rest) => left = rest,
            None => return Ok(None),
        }
        if id == "password" {
            let check = row.get_ref(2)?.as_blob().unwrap_or_default();
            out.password = Some(PasswordEntry { salt: first.to_vec(), check: check.to_vec() });
        } else if let Some(key) = record_key(id) {
            out.records.insert(key, first.to_vec());
        }
    }
    Ok(Some(out))
}

/// The id of an integrity record.
pub fn record_id(table: Table, object: u32, attribute: Type) -> String {
    format!("sig_{}_{object:08x}_{attribute:08x}", table.word())
}

fn record_key(id: &str) -> Option<(Table, u32, Type)> {
    let (word, rest) = id.strip_prefix("sig_")?.split_once('_')?;
    let table = [Table::Public, Table::Private].into_iter().find(|t| t.word() == word)?;
    let (object, attribute) = rest.split_once('_')?;
    let hex = |s: &str| {
        let plain = s.len() == 8 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        u32::from_str_radix(s, 16).ok().filter(|_| plain)
    };
    Some((table, hex(object)?, hex(attribute)?))
}

fn object(row: &Row<'_>, chosen: &[Type]) -> rusqlite::Result<Result<Object>> {
    let id = match row.get_ref(0)? {
        ValueRef::Integer(id) => id,
        _ => return Ok(Err(Error::malformed("an object whose id is no number"))),
    };
    let named = |e: Error| e.in_entry(format!("object {id}"));
    let Some(id) = u32::try_from(id).ok().filter(|id| *id <= MAX_ID) else {
        return Ok(Err(named(Error::malformed("an object id that NSS does not see"))));
    };
    let mut values = Vec::with_capacity(12);
    for (at, attribute) in chosen.iter().enumerate() {
        match row.get_ref(at + 1)? {
            ValueRef::Null => {}
            ValueRef::Blob(value) => values.push((*attribute, value.to_vec())),
            _ => {
                let message = format!("the attribute {} is not stored as bytes", column(*attribute));
                return Ok(Err(named(Error::malformed(message))));
            }
        }
    }
    let mut object = Object { id, class: 0, values };
    Ok(match object.word(CLASS) {
        Some(class) => {
            object.class = class;
            Ok(object)
        }
        None => Err(named(Error::malformed("the object's class is not a number of four bytes"))),
    })
}

/// The columns of a table that hold values: not the computed ones. `None`: no such table, or a view or a
/// virtual table in its place.
pub fn columns(
    connection: &Connection,
    database: &str,
    table: &str,
) -> rusqlite::Result<Option<Vec<String>>> {
    let sql = format!(
        "SELECT count(*) FROM {database}.sqlite_master WHERE name = ?1 AND type = 'table' AND rootpage > 0"
    );
    if connection.query_row(&sql, [table], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let mut statement = connection.prepare(&format!("PRAGMA {database}.table_xinfo({table})"))?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(1)?, row.get::<_, i64>(6)?)))?;
    let mut out = Vec::new();
    for row in rows {
        let (name, hidden) = row?;
        if hidden == 0 {
            out.push(name);
        }
    }
    Ok(Some(out))
}

/// Nothing in the file's schema runs.
pub fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(())
}

/// The URI by which SQLite opens a file for reading, and writes nothing.
pub fn readable(path: &Path) -> Result<String> {
    let query = match examine(path).map_err(|e| e.in_file(path))? {
        Journal::Rollback => "mode=ro",
        // A file in write-ahead mode can't be opened without writing beside it, unless nothing else is there.
        Journal::Log => "immutable=1",
        Journal::PendingLog => {
            let e = Error::new(Kind::Busy, "another program has it open, or did not close it well (-wal)");
            return Err(e
                .hint("close the browser or program that uses it, which puts its log away")
                .in_file(path));
        }
    };
    Ok(format!("file:{}?{query}", escaped(path)))
}

/// The same for changing it.
pub fn writable(path: &Path) -> String {
    format!("file:{}?mode=rw", escaped(path))
}

/// How a file keeps what is needed after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// What was there before, in `-journal`.
    Rollback,
    /// What comes, in `-wal`; there is nothing in it.
    Log,
    /// There is something in it.
    PendingLog,
}

/// Opens a file without waiting, should it be a pipe.
pub fn open(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

/// Looks at a file before SQLite does: whether it is one, whole, and how it keeps its journal.
pub fn examine(path: &Path) -> Result<Journal> {
    let opened = open(path).and_then(|f| f.metadata().map(|m| (f, m)));
    let (mut file, meta) = opened.map_err(|e| {
        let reason = crate::place::reason(&e);
        Error::io(Kind::Read, format!("can't be opened: {reason}"), e)
    })?;
    if !meta.is_file() {
        return Err(Error::new(Kind::Read, "not a file"));
    }
    if meta.len() > LIMIT {
        return Err(Error::too_large(format!("{} bytes, more than {LIMIT} are refused", meta.len())));
    }
    let mut head = [0; 100];
    if file.read_exact(&mut head).is_err() || !head.starts_with(MAGIC) {
        return Err(Error::malformed("not an SQLite database, so no NSS database").at(0));
    }
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).is_ok_and(|m| m.len() > 0)
    };
    let journal = match (head[18] == 2 || head[19] == 2, beside("-wal")) {
        (false, _) => Journal::Rollback,
        (true, false) => Journal::Log,
        (true, true) => Journal::PendingLog,
    };
    // With a journal or a log beside it the file's size isn't settled.
    if journal != Journal::PendingLog && !beside("-journal") {
        whole(&head, meta.len())?;
    }
    Ok(journal)
}

/// Whether the file is as long as its header says.
fn whole(head: &[u8; 100], size: u64) -> Result<()> {
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let page = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        n => u64::from(n),
    };
    // The count is valid only where the last writer kept it: the change counters agree.
    let expected = page * u64::from(word(28));
    if word(24) == word(92) && size < expected {
        return Err(Error::malformed(format!("damaged: cut off after {size} of {expected} bytes")).at(size));
    }
    Ok(())
}

/// A path inside a `file:` URI.
fn escaped(path: &Path) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => out.push(char::from(*byte)),
            b if b.is_ascii_alphanumeric() => out.push(char::from(*b)),
            b => {
                let _ = write!(out, "%{b:02x}");
            }
        }
    }
    out
}

/// SQLite's errors in our terms. `kind` is what an unspecific one means.
pub fn failed(e: rusqlite::Error, kind: Kind) -> Error {
    /// `SQLITE_READONLY_RECOVERY`, `_CANTLOCK`, `_ROLLBACK`: a change was interrupted.
    const INTERRUPTED: [i32; 3] = [264, 520, 776];
    let Some(inner) = e.sqlite_error().copied() else {
        return Error::new(kind, format!("SQLite: {e}")).caused_by(e);
    };
    let error = match inner.code {
        _ if INTERRUPTED.contains(&inner.extended_code) => Error::new(
            Kind::Busy,
            "a program that was changing it did not finish",
        )
        .hint(
            "the next program that writes to it puts back the state before: keyferry rebuild, or its browser",
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Error::new(Kind::Busy, "the database is in use")
                .hint("close the browser or program that uses it, and try again")
        }
        ErrorCode::DatabaseCorrupt => Error::malformed("damaged SQLite database"),
        ErrorCode::NotADatabase => Error::malformed("not an SQLite database, so no NSS database"),
        ErrorCode::TooBig => Error::too_large("a value too big for SQLite"),
        ErrorCode::DiskFull => Error::new(Kind::Write, "the disk is full"),
        ErrorCode::ReadOnly => Error::new(Kind::Write, "the database can't be written"),
        _ => Error::new(kind, format!("SQLite: {e}")),
    };
    error.caused_by(e)
}

/// The statements that make the tables of a file, as NSS does.
pub fn schema(table: Table) -> String {
    let name = table.name();
    let columns: Vec<String> = COLUMNS.iter().map(|t| column(*t)).collect();
    let mut sql =
        format!("CREATE TABLE {name} (id PRIMARY KEY UNIQUE ON CONFLICT ABORT, {});\n", columns.join(", "));
    for (index, attribute) in INDICES {
        sql.push_str(&format!("CREATE INDEX {index} ON {name} ({});\n", column(*attribute)));
    }
    if table == Table::Private {
        sql.push_str("CREATE TABLE metaData (id PRIMARY KEY UNIQUE ON CONFLICT REPLACE, item1, item2);\n");
    }
    sql
}

/// Inserts objects; objects with the same attributes share a statement. `database` is the attached name.
pub fn insert<'a>(
    connection: &Connection,
    database: &str,
    table: Table,
    objects: impl IntoIterator<Item = &'a Object>,
) -> rusqlite::Result<()> {
    let mut statements: Vec<(Vec<Type>, rusqlite::Statement<'_>)> = Vec::new();
    for object in objects {
        let shape = || object.values.iter().map(|(t, _)| *t);
        let at = match statements.iter().position(|(types, _)| types.iter().copied().eq(shape())) {
            Some(at) => at,
            None => {
                let types: Vec<Type> = shape().collect();
                let names: Vec<String> = types.iter().map(|t| column(*t)).collect();
                let marks = vec!["?"; types.len() + 1].join(", ");
                let sql = format!(
                    "INSERT INTO {database}.{} (id, {}) VALUES ({marks})",
                    table.name(),
                    names.join(", ")
                );
                statements.push((types, connection.prepare(&sql)?));
                statements.len() - 1
            }
        };
        if let Some((_, statement)) = statements.get_mut(at) {
            statement.raw_bind_parameter(1, i64::from(object.id))?;
            for (n, (_, value)) in object.values.iter().enumerate() {
                statement.raw_bind_parameter(n + 2, &value[..])?;
            }
            statement.raw_execute()?;
        }
    }
    Ok(())
}

/// Stores the password entry, in place of the one that is there.
pub fn put_password(connection: &Connection, entry: &PasswordEntry) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO metaData (id, item1, item2) VALUES ('password', ?1, ?2)",
        (&entry.salt[..], &entry.check[..]),
    )?;
    Ok(())
}

/// Stores integrity records.
pub fn put_records(
    connection: &Connection,
    database: &str,
    records: &[(String, Vec<u8>)],
) -> rusqlite::Result<()> {
    let sql = format!("INSERT OR REPLACE INTO {database}.metaData (id, item1, item2) VALUES (?1, ?2, NULL)");
    let mut statement = connection.prepare(&sql)?;
    for (id, record) in records {
        statement.execute((&**id, &record[..]))?;
    }
    Ok(())
}
