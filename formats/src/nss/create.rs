//! A new database: three files in a folder of its own, each database in one transaction.

use super::encode::{Maker, Plan, Protection, Rows, rounds};
use super::layout::*;
use super::modules;
use super::protect::{PasswordEntry, SALT_BEFORE};
use super::sql::{self, failed};
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::model::{Loss, Store};
use crate::place::Staging;
use rusqlite::{Connection, OpenFlags};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `store` into the staged folder.
pub fn create(store: &Store, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
    let mut plan = Plan::new(store, ctx)?;
    let password = ctx.secrets.store()?;
    let password = password.as_ref().map_or(&[][..], |p| p.bytes());
    let rounds = rounds(password, ctx)?;
    let salt = ctx.session.rng.bytes::<SALT_BEFORE>()?.to_vec();
    let (entry, master) = PasswordEntry::new(salt, password, rounds, ctx.session)?;
    let protection = Protection::new(master, rounds, ctx)?;
    // Low enough that the table can grow for ever.
    let first_id = 1 + (u32::from_be_bytes(ctx.session.rng.bytes()?) & (MAX_ID >> 2));
    let mut maker = Maker::new(&protection, first_id, ctx.session);
    maker.all(&plan)?;
    let name = to.target().map(Path::to_owned);
    let folder = to.folder()?;
    write(folder, &maker.rows, &entry).map_err(|e| e.in_file(name.as_deref().unwrap_or(folder)))?;
    modules::create(folder, name.as_deref().unwrap_or(folder))?;
    Ok(std::mem::take(&mut plan.losses))
}

fn write(folder: &Path, rows: &Rows, entry: &PasswordEntry) -> Result<()> {
    let fill = |table: Table| {
        file(folder, table.file())?;
        let go = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(folder.join(table.file()), flags)?;
            // Nobody sees the file before it is complete and synced.
            connection.execute_batch(
                "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
                 PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE;",
            )?;
            connection.execute_batch(&sql::schema(table))?;
            let objects = if table == Table::Public { &rows.public } else { &rows.private };
            sql::insert(&connection, "main", table, objects)?;
            if table == Table::Private {
                sql::put_password(&connection, entry)?;
                sql::put_records(&connection, "main", &rows.records)?;
            }
            connection.execute_batch("COMMIT")?;
            connection.close().map_err(|(_, e)| e)
        };
        go().map_err(|e| failed(e, Kind::Write))
    };
    fill(Table::Public)?;
    fill(Table::Private)
}

/// An empty file, its owner's alone: SQLite would go by the umask.
pub fn file(folder: &Path, name: &str) -> Result<std::fs::File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name)).map_err(|e| {
        let reason = crate::place::reason(&e);
        Error::io(Kind::Write, format!("{name} can't be made: {reason}"), e)
    })
}
