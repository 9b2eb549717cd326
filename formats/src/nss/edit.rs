//! An existing database changed in place: one SQLite transaction over both files.
//!
//! A browser's folder is its whole profile, and its database may be open, so nothing is exchanged: what
//! differs from the wanted store is inserted, changed or deleted, and every row, column and object besides
//! stays. The work is in this order, so that other programs wait for milliseconds only:
//!
//! 1. read the database, note its version
//! 2. derive keys, sign and encipher what is new
//! 3. begin, check that nobody changed it meanwhile, write, read everything back, commit
//!
//! `key4.db` is the connection's main database and `cert9.db` is attached to it, both with rollback
//! journals: then SQLite commits both or none, also through a crash.

use super::decode::{self, WANTED, decode_open, log_in};
use super::encode::{Maker, Plan, PlannedCertificate, Protection, Rows};
use super::keys::Public;
use super::layout::*;
use super::protect::{ITERATIONS, PasswordEntry};
use super::sql::{self, Db, Object, failed, record_id};
use super::trust::{self, Words};
use crate::asn1::{cert_fields, tlv};
use crate::context::Ctx;
use crate::crypto::public::{identity, spki_of_pkcs8};
use crate::error::{Error, Kind, Result};
use crate::model::{Entry, Item, Level, Loss, LossKind, Store};
use rusqlite::{Connection, OpenFlags};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// How long to wait for another program's transaction.
const PATIENCE: Duration = Duration::from_secs(5);
/// The name of `cert9.db` in the connection.
pub const ATTACHED: &str = "cert";

/// Makes the database in `folder` hold `store`, which was prepared as for a writer. What it says of
/// certificates, trust, private keys and revocation lists is done; secret keys and objects that we don't
/// understand are added but never taken away.
///
/// Errors: `Kind::Password` without the right password (nothing can be signed then); `Kind::Busy` when
/// another program holds or changes the database. After any error it is as it was.
///
/// `save` is called when there is something to change, before it is; without it nothing is changed.
pub fn apply(
    folder: &Path,
    store: &Store,
    save: Option<&dyn Fn() -> Result<()>>,
    ctx: &Ctx<'_>,
) -> Result<Vec<Loss>> {
    let live = save.map(|save| Live::open(folder).map(|live| (live, save))).transpose()?;
    let before = decode::decode(folder, ctx)?;
    let index = Index::read(folder)?;
    let mut plan = Plan::new(store, ctx)?;
    let changes = Changes::between(&before, &index, &plan, ctx)?;
    if let Some((live, save)) = live.filter(|_| !changes.is_empty()) {
        save()?;
        live.change(|live| {
            changes.execute(&live.connection).map_err(|e| live.failed(e))?;
            let public = Db::open(&live.connection, ATTACHED, folder.join(CERT_DB));
            let private = Db::open(&live.connection, "main", folder.join(KEY_DB));
            let after = decode_open(&public, Some(Ok(private)), ctx)?;
            check(&before, &after, &plan)
        })?;
    }
    plan.losses.extend(changes.notes);
    Ok(plan.losses)
}

/// Puts back the state before a change that was interrupted, and puts a log away that was left. SQLite does
/// that for whoever may write, and only then: reading can't.
pub fn recover(folder: &Path) -> Result<()> {
    let waits = |name: &str| {
        let beside = |suffix: &str| {
            let file = folder.join(format!("{name}{suffix}"));
            file.metadata().is_ok_and(|m| m.len() > 0)
        };
        beside("-journal") || beside("-wal")
    };
    if !waits(CERT_DB) && !waits(KEY_DB) && super_journals(folder).is_empty() {
        return Ok(());
    }
    let connection = connect(folder).map_err(|e| failed(e, Kind::Write).in_file(folder))?;
    clear(&connection, folder).map_err(|e| failed(e, Kind::Write).in_file(folder))?;
    // Where this is the last connection, a log is put away now.
    connection.close().map_err(|(_, e)| failed(e, Kind::Write).in_file(folder))
}

/// The files by which SQLite commits both databases at once, while it does (`pager.c`, super-journals). One
/// that is left when nobody does is of no use to anybody.
fn super_journals(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = |name: &std::ffi::OsStr| {
        let digits =
            name.as_encoded_bytes().strip_prefix(KEY_DB.as_bytes()).and_then(|n| n.strip_prefix(b"-mj"));
        digits.is_some_and(|d| d.len() == 9 && d.iter().all(u8::is_ascii_hexdigit))
    };
    list.filter(|item| ours(&item.file_name())).map(|item| item.path()).collect()
}

/// Removes those that are left, under a lock with which nobody else commits.
fn clear(connection: &Connection, folder: &Path) -> rusqlite::Result<()> {
    if !super_journals(folder).is_empty() {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for path in super_journals(folder) {
            // What can't be removed does no harm.
            let _ = std::fs::remove_file(path);
        }
        connection.execute_batch("ROLLBACK")?;
    }
    Ok(())
}

/// Both files in one connection that may write.
pub struct Live {
    /// `key4.db` is `main`, `cert9.db` is [`ATTACHED`].
    pub connection: Rc<Connection>,
    folder: PathBuf,
    version: (i64, i64),
    /// Databases that keep a write-ahead log, and will again.
    logs: Vec<&'static str>,
}

impl Live {
    /// Opens them. A database with a write-ahead log is taken to a rollback journal meanwhile, for SQLite
    /// commits two files as one only so (sqlite.org/lang_attach.html); nobody else may have it open for
    /// that. Its header is changed in a transaction of its own, so a crash leaves the one or the other.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut logs = Vec::new();
        for (name, database) in [(KEY_DB, "main"), (CERT_DB, ATTACHED)] {
            let path = folder.join(name);
            if sql::examine(&path).map_err(|e| e.in_file(&path))? != sql::Journal::Rollback {
                logs.push(database);
            }
        }
        let named = |e: rusqlite::Error| failed(e, Kind::Write).in_file(folder);
        let mut live = Live {
            connection: Rc::new(connect(folder).map_err(named)?),
            folder: folder.to_owned(),
            version: (0, 0),
            logs,
        };
        for database in &live.logs {
            if !journal_mode(&live.connection, database, "delete").map_err(named)? {
                let e = Error::new(Kind::Busy, "it keeps a write-ahead log, and another program has it open");
                return Err(e
                    .hint("close the browser or program that uses it; both files can't be changed as one before")
                    .in_file(folder));
            }
        }
        live.version = version(&live.connection).map_err(named)?;
        Ok(live)
    }

    /// Does it in one transaction, and commits if all is well.
    pub fn change(&self, work: impl FnOnce(&Live) -> Result<()>) -> Result<()> {
        let run = |sql: &str| self.connection.execute_batch(sql).map_err(|e| self.failed(e));
        run("BEGIN IMMEDIATE")?;
        let go = || {
            if version(&self.connection).map_err(|e| self.failed(e))? != self.version {
                return Err(Error::new(Kind::Busy, "changed by another program while this one worked")
                    .hint("run again, so that the change is taken into account")
                    .in_file(&self.folder));
            }
            work(self)?;
            run("COMMIT")
        };
        go().inspect_err(|_| {
            // What fails here was rolled back already, or will be by whoever opens the file next.
            let _ = self.connection.execute_batch("ROLLBACK");
        })
    }

    /// An error of SQLite's while changing.
    pub fn failed(&self, e: rusqlite::Error) -> Error {
        failed(e, Kind::Write).in_file(&self.folder)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for database in &self.logs {
            // As it was; another journal is no harm.
            let _ = journal_mode(&self.connection, database, "wal");
        }
    }
}

/// Sets it; false: it is another still, for somebody else has the file open.
fn journal_mode(connection: &Connection, database: &str, mode: &str) -> rusqlite::Result<bool> {
    let sql = format!("PRAGMA {database}.journal_mode = {mode}");
    match connection.query_row(&sql, [], |row| row.get::<_, String>(0)) {
        Ok(now) => Ok(now == mode),
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        Err(e) => Err(e),
    }
}

fn connect(folder: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(sql::writable(&folder.join(KEY_DB)), flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection
        .execute(&format!("ATTACH DATABASE ?1 AS {ATTACHED}"), [sql::writable(&folder.join(CERT_DB))])?;
    sql::distrust(&connection)?;
    // Reads from both, so an interrupted change is taken back now.
    for database in ["main", ATTACHED] {
        let sql = format!("SELECT count(*) FROM {database}.sqlite_master");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
    }
    Ok(connection)
}

/// Changes with every commit of anybody else.
fn version(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let of = |database: &str| {
        connection.query_row(&format!("PRAGMA {database}.data_version"), [], |row| row.get::<_, i64>(0))
    };
    Ok((of("main")?, of(ATTACHED)?))
}

/// A private key's row.
struct PrivateRow {
    id: u32,
    /// The identifier that its public key's row shares.
    cka_id: Option<Vec<u8>>,
    /// Which key it is (see `crypto::public::identity`).
    public: Option<Vec<u8>>,
}

/// Which row is what.
#[derive(Default)]
struct Index {
    /// By DER: ids and labels of the rows.
    certificates: HashMap<Vec<u8>, Vec<(u32, Vec<u8>)>>,
    /// By issuer and serial number.
    trust: HashMap<Vec<u8>, Vec<Object>>,
    /// By CKA_ID.
    public_keys: HashMap<Vec<u8>, Vec<u32>>,
    crls: Vec<(u32, Vec<u8>)>,
    /// Packed rows of objects that we don't understand.
    others: HashSet<Vec<u8>>,
    private_keys: Vec<PrivateRow>,
    ids: HashSet<u32>,
    /// The integrity records of each object.
    records: HashMap<(Table, u32), Vec<String>>,
    password: Option<PasswordEntry>,
}

impl Index {
    fn read(folder: &Path) -> Result<Self> {
        let mut out = Index::default();
        let db = Db::read(folder, Table::Public)?;
        // What is wrong with an object was said when the store was read; such rows stay.
        db.objects(Table::Public, WANTED, |object| out.public(object.ok()))?;
        db.objects(Table::Public, &[], |object| out.other(object.ok()))?;
        let db = Db::read(folder, Table::Private)?;
        db.objects(Table::Private, &[], |object| out.private(object.ok()))?;
        let meta = db.meta()?.unwrap_or_default();
        out.password = meta.password;
        for (table, filed, attribute) in meta.records.into_keys() {
            // Some releases filed records under ids with bits of their own.
            let id = filed & MAX_ID;
            // Nor may a new object get an id that an old one's records still have.
            out.ids.insert(id);
            out.records.entry((table, id)).or_default().push(record_id(table, filed, attribute));
        }
        Ok(out)
    }

    fn public(&mut self, object: Option<Object>) {
        let Some(mut object) = object else { return };
        self.ids.insert(object.id);
        match object.class {
            class::CERTIFICATE => {
                let label = object.get(LABEL).unwrap_or_default().to_vec();
                let der = object.take(VALUE).unwrap_or_default();
                self.certificates.entry(der).or_default().push((object.id, label));
            }
            class::NSS_TRUST | class::TRUST => {
                let key = [object.get(ISSUER), object.get(SERIAL)].map(Option::unwrap_or_default).concat();
                self.trust.entry(key).or_default().push(object);
            }
            class::PUBLIC_KEY => {
                self.public_keys.entry(object.take(ID).unwrap_or_default()).or_default().push(object.id);
            }
            class::NSS_CRL => {
                let crl = object.take(VALUE).unwrap_or_default();
                self.crls.push((object.id, crl));
            }
            _ => {}
        }
    }

    fn other(&mut self, object: Option<Object>) {
        let known = [class::CERTIFICATE, class::PUBLIC_KEY, class::NSS_CRL];
        if let Some(object) = object.filter(|o| !known.contains(&o.class)) {
            self.others.insert(decode::pack(&object, &[]));
        }
    }

    fn private(&mut self, object: Option<Object>) {
        let Some(object) = object else { return };
        self.ids.insert(object.id);
        if object.class == class::PRIVATE_KEY {
            let public = Public::of_object(&object).map(|p| identity(&p.spki()));
            let cka_id = object.get(ID).map(<[u8]>::to_vec);
            self.private_keys.push(PrivateRow { id: object.id, cka_id, public });
        }
    }
}

/// What is to be done.
#[derive(Default)]
struct Changes {
    delete: Vec<(Table, u32)>,
    /// Rows of `cert9.db` that stay, with the attributes that change.
    update: Vec<Object>,
    delete_records: Vec<String>,
    rows: Rows,
    notes: Vec<Loss>,
}

impl Changes {
    fn between(before: &Store, index: &Index, plan: &Plan<'_>, ctx: &Ctx<'_>) -> Result<Self> {
        let entry = index.password.as_ref().ok_or_else(|| {
            Error::malformed("the key database is not initialised: a password was never set")
                .hint("certutil -N, or a browser's first start, sets one")
        })?;
        let master = log_in(entry, ctx)?.ok_or_else(|| {
            Error::password("the database's password is needed: trust and keys are signed with it")
        })?;
        let rounds = entry.rounds().and_then(|n| u32::try_from(n).ok()).unwrap_or(ITERATIONS);
        let protection = Protection::new(master, rounds, ctx)?;
        let first_id = 1 + (u32::from_be_bytes(ctx.session.rng.bytes()?) & (MAX_ID >> 1));
        let maker = Maker::new(&protection, first_id, ctx.session).beside(index.ids.clone());
        let mut making = Making { before, index, maker, out: Changes::default() };
        making.certificates(plan)?;
        making.keys(plan, ctx)?;
        making.the_rest(plan, ctx)?;
        let Making { maker, mut out, .. } = making;
        out.rows = maker.rows;
        Ok(out)
    }

    fn is_empty(&self) -> bool {
        let rows = &self.rows;
        self.delete.is_empty() && self.update.is_empty() && rows.public.is_empty() && rows.private.is_empty()
    }

    fn execute(&self, connection: &Connection) -> rusqlite::Result<()> {
        let database = |table| if table == Table::Public { ATTACHED } else { "main" };
        for table in [Table::Public, Table::Private] {
            let rows = if table == Table::Public { &self.rows.public } else { &self.rows.private };
            let updated: &[Object] = if table == Table::Public { &self.update } else { &[] };
            add_columns(connection, database(table), table, rows.iter().chain(updated))?;
        }
        for (table, id) in &self.delete {
            let sql = format!("DELETE FROM {}.{} WHERE id = ?1", database(*table), table.name());
            connection.execute(&sql, [i64::from(*id)])?;
        }
        for id in &self.delete_records {
            connection.execute("DELETE FROM main.metaData WHERE id = ?1", [id])?;
        }
        for object in &self.update {
            for (attribute, value) in object.values().iter().filter(|(t, _)| *t != CLASS) {
                let name = Table::Public.name();
                let sql = format!("UPDATE {ATTACHED}.{name} SET {} = ?1 WHERE id = ?2", column(*attribute));
                connection.execute(&sql, (&value[..], i64::from(object.id)))?;
            }
        }
        sql::insert(connection, ATTACHED, Table::Public, &self.rows.public)?;
        sql::insert(connection, "main", Table::Private, &self.rows.private)?;
        sql::put_records(connection, "main", &self.rows.records)
    }
}

/// The columns that new rows need and the table lacks, as newer releases of NSS add them.
fn add_columns<'a>(
    connection: &Connection,
    database: &str,
    table: Table,
    objects: impl Iterator<Item = &'a Object>,
) -> rusqlite::Result<()> {
    let present: HashSet<Type> = sql::columns(connection, database, table.name())?
        .unwrap_or_default()
        .iter()
        .filter_map(|c| attribute(c))
        .collect();
    let wanted: HashSet<Type> = objects.flat_map(|o| o.values().iter().map(|(t, _)| *t)).collect();
    for missing in wanted.difference(&present) {
        let sql = format!("ALTER TABLE {database}.{} ADD COLUMN {}", table.name(), column(*missing));
        connection.execute(&sql, [])?;
    }
    Ok(())
}

struct Making<'a> {
    before: &'a Store,
    index: &'a Index,
    maker: Maker<'a>,
    out: Changes,
}

impl Making<'_> {
    fn certificates(&mut self, plan: &Plan<'_>) -> Result<()> {
        let mut believed = HashMap::with_capacity(self.before.entries.len());
        for entry in &self.before.entries {
            if let Some(certificate) = entry.certificate() {
                believed.insert(&**certificate, words_of(entry));
            }
        }
        let planned: HashSet<&[u8]> = plan.certificates.iter().map(|c| c.der).collect();
        let stays: HashSet<Vec<u8>> = plan.certificates.iter().map(name_of).collect();
        for certificate in &plan.certificates {
            self.certificate(certificate)?;
            let now = believed.get(certificate.der).copied().flatten();
            if certificate.wanted {
                self.trust(certificate, certificate.words, now)?;
            } else if let Some(now) = now {
                // It stays for a chain; nobody wants it trusted any more.
                self.trust(certificate, Some(now.without_trust()), Some(now))?;
            }
        }
        for der in believed.keys().filter(|der| !planned.contains(*der)) {
            for (id, _) in self.index.certificates.get(*der).into_iter().flatten() {
                self.delete(Table::Public, *id);
            }
            let Ok(fields) = cert_fields(der) else { continue };
            let name = [fields.issuer, &tlv(0x02, fields.serial)].concat();
            for object in self.index.trust.get(&name).into_iter().flatten().filter(|_| !stays.contains(&name))
            {
                self.delete(Table::Public, object.id);
            }
        }
        Ok(())
    }

    /// The row, or its label where it is there.
    fn certificate(&mut self, certificate: &PlannedCertificate<'_>) -> Result<()> {
        let Some(rows) = self.index.certificates.get(certificate.der) else {
            return self.maker.certificate(certificate);
        };
        let label = certificate.label.as_ref().map_or(&[][..], |l| l.bytes());
        for (id, now) in rows.iter().filter(|(_, now)| certificate.wanted && now != label) {
            // A certificate that was never named needs no name.
            if label.is_empty() && now.is_empty() {
                continue;
            }
            let mut row = Object::new(*id, class::CERTIFICATE);
            row.set(LABEL, label);
            self.out.update.push(row);
        }
        Ok(())
    }

    fn trust(
        &mut self,
        certificate: &PlannedCertificate<'_>,
        want: Option<Words>,
        now: Option<Words>,
    ) -> Result<()> {
        let same = |a: Words, b: Words| a == b || (a.says_nothing() && b.says_nothing());
        let (want, have) = (want.unwrap_or(Words::none()), now.unwrap_or(Words::none()));
        if same(want, have) {
            return Ok(());
        }
        let objects = self.index.trust.get(&name_of(certificate)).map_or(&[][..], Vec::as_slice);
        let old: Vec<&Object> = objects.iter().filter(|o| o.class == class::NSS_TRUST).collect();
        // The newer class is believed first, so what it says must not contradict; without it both agree.
        for object in objects.iter().filter(|o| o.class == class::TRUST) {
            self.delete(Table::Public, object.id);
        }
        match old.first() {
            None => self.maker.trust(certificate, want),
            Some(first) => {
                let mut row = Object::new(first.id, class::NSS_TRUST);
                self.maker.set_trust(&mut row, certificate.der, want)?;
                self.out.update.push(row);
                for more in old.iter().skip(1) {
                    self.delete(Table::Public, more.id);
                }
                Ok(())
            }
        }
    }

    fn keys(&mut self, plan: &Plan<'_>, ctx: &Ctx<'_>) -> Result<()> {
        let planned: HashSet<Vec<u8>> =
            plan.keys.iter().map(|k| identity(&k.private.public.spki())).collect();
        // Only those that could be read: what we don't understand is not ours to delete.
        let mut read = HashSet::new();
        for entry in &self.before.entries {
            if let Item::Key { key, .. } = &entry.item {
                let public = key.open(ctx).and_then(|k| spki_of_pkcs8(&k.bytes));
                read.extend(public.ok().flatten().map(|s| identity(&s)));
            }
        }
        let there: HashSet<&Vec<u8>> =
            self.index.private_keys.iter().filter_map(|row| row.public.as_ref()).collect();
        for key in &plan.keys {
            if !there.contains(&identity(&key.private.public.spki())) {
                self.maker.key(key)?;
            }
        }
        for PrivateRow { id, cka_id, public } in &self.index.private_keys {
            if public.as_ref().is_some_and(|p| read.contains(p) && !planned.contains(p)) {
                self.delete(Table::Private, *id);
                let public_rows = cka_id.as_ref().and_then(|c| self.index.public_keys.get(c));
                for row in public_rows.into_iter().flatten() {
                    self.delete(Table::Public, *row);
                }
            }
        }
        Ok(())
    }

    /// Secret keys, revocation lists, and what we don't understand.
    fn the_rest(&mut self, plan: &Plan<'_>, ctx: &Ctx<'_>) -> Result<()> {
        let mut known = Vec::new();
        for entry in self.before.entries.iter().filter(|e| matches!(e.item, Item::Symmetric(_))) {
            known.extend(secret_of(entry, ctx)?);
        }
        for entry in &plan.symmetric {
            if !secret_of(entry, ctx)?.is_some_and(|s| known.contains(&s)) {
                self.maker.symmetric(entry)?;
            }
        }
        if plan.symmetric.len() < known.len() {
            let detail = "secret keys are never deleted from a database in use: a browser's saved passwords hang on them";
            self.out.notes.push(Loss::new(LossKind::Note, "", detail));
        }
        for crl in &plan.crls {
            if !self.index.crls.iter().any(|(_, have)| have == crl) {
                self.maker.crl(crl)?;
            }
        }
        for (id, _) in self.index.crls.iter().filter(|(_, have)| !plan.crls.contains(&&have[..])) {
            self.delete(Table::Public, *id);
        }
        for entry in &plan.others {
            if !entry.object().is_some_and(|packed| self.index.others.contains(&**packed)) {
                self.maker.other(entry)?;
            }
        }
        Ok(())
    }

    fn delete(&mut self, table: Table, id: u32) {
        self.out.delete.push((table, id));
        self.out.delete_records.extend(self.index.records.get(&(table, id)).into_iter().flatten().cloned());
    }
}

/// Issuer and serial number, as trust objects name a certificate.
fn name_of(certificate: &PlannedCertificate<'_>) -> Vec<u8> {
    [certificate.fields.issuer, &tlv(0x02, certificate.fields.serial)].concat()
}

/// The words that are believed of an entry that was read.
fn words_of(entry: &Entry) -> Option<Words> {
    let kept = entry.attr(decode::NAME, trust::ATTR).and_then(Words::of_attr);
    kept.or_else(|| entry.trust.as_ref().map(Words::of_trust))
}

/// Label and algorithm, and the value.
type NamedSecret = (Vec<u8>, zeroize::Zeroizing<Vec<u8>>);

/// Label, algorithm and value of a secret key, to tell whether it is there.
fn secret_of(entry: &Entry, ctx: &Ctx<'_>) -> Result<Option<NamedSecret>> {
    let Some(secret) = entry.secret() else { return Ok(None) };
    let key = secret.open(ctx)?;
    let name =
        [entry.label_text().as_bytes(), b"\0", key.algorithm.as_deref().unwrap_or("").as_bytes()].concat();
    Ok(Some((name, key.bytes.clone())))
}

/// Whether what is there before the commit is what was planned.
fn check(before: &Store, after: &Store, plan: &Plan<'_>) -> Result<()> {
    let wrong = |what: String| {
        Err(Error::new(Kind::Write, format!("reading back what was changed: {what}; nothing was committed")))
    };
    if after.defects.len() > before.defects.len() {
        return wrong(after.defects.last().map_or_else(String::new, |d| d.message().to_owned()));
    }
    let mut read: HashMap<&[u8], &Entry> = HashMap::with_capacity(after.entries.len());
    let mut keys = HashSet::new();
    for entry in &after.entries {
        if let Some(certificate) = entry.certificate() {
            read.insert(certificate, entry);
        }
        if let (Item::Key { .. }, Some(Ok(fields))) =
            (&entry.item, entry.certificate().map(|c| cert_fields(c)))
        {
            keys.insert(identity(fields.spki));
        }
    }
    for certificate in &plan.certificates {
        let Some(entry) = read.get(certificate.der) else {
            return wrong("a certificate is missing".to_owned());
        };
        let label = entry.label_text();
        if certificate.wanted && certificate.label != entry.label {
            return wrong(format!("the label \"{label}\" is not the one that was wanted"));
        }
        let want = certificate.words.unwrap_or(Words::none()).trust();
        let trust = entry.trust.clone().unwrap_or_default();
        let trusted = trust.levels.iter().any(|l| matches!(l, Level::Anchor | Level::Peer));
        if if certificate.wanted { trust != want } else { trusted } {
            return wrong(format!("the trust of \"{label}\" is not what was wanted"));
        }
    }
    let orphans =
        after.entries.iter().filter(|e| matches!(&e.item, Item::Key { chain, .. } if chain.is_empty()));
    let missing = |k: &&super::encode::PlannedKey<'_>| !keys.contains(&identity(&k.private.public.spki()));
    if plan.keys.iter().filter(missing).count() > orphans.count() {
        return wrong("a private key is missing".to_owned());
    }
    let planned: HashSet<&[u8]> = plan.certificates.iter().map(|c| c.der).collect();
    if read.keys().any(|der| !planned.contains(der)) {
        return wrong("a certificate is there that should be gone".to_owned());
    }
    Ok(())
}
