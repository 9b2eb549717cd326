//! Another password for a database that exists: the password entry, every enciphered attribute and every
//! integrity record of both files, in one transaction.
//!
//! The objects stay what they are. What is signed anew is what the old password proved: a record that did not
//! match before is left as it is and proves as little afterwards, for signing it would make a stranger's trust
//! genuine.

use super::decode::{decode_open, derive_all, log_in, record_of};
use super::edit::{ATTACHED, Live};
use super::encode::{Maker, Protection, rounds};
use super::keys::RSA_NUMBERS;
use super::layout::*;
use super::protect::{Master, PasswordEntry, SALT_BEFORE, SALT_SINCE, derivation};
use super::sql::{self, Db, Meta, Object, record_id};
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::model::{Entry, Loss, LossKind, Store};
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::Path;

/// The attribute of new releases that holds a seed instead of a key.
const SEED: Type = 0x637;

/// Puts the database in `folder` under the password of `to`. See [`super::edit::apply`] for `save` and errors.
///
/// `Kind::Malformed` where a private attribute can't be opened or is not proved: it could not be carried over.
/// A clear attribute with a record that does not match is a loss.
pub fn change_password(
    folder: &Path,
    save: Option<&dyn Fn() -> Result<()>>,
    ctx: &Ctx<'_>,
    to: &Ctx<'_>,
) -> Result<Vec<Loss>> {
    let live = save.map(|save| Live::open(folder).map(|live| (live, save))).transpose()?;
    let before = super::decode::decode(folder, ctx)?;
    let (mut change, losses) = Change::prepare(folder, ctx, to)?;
    let Some((live, save)) = live else { return Ok(losses) };
    save()?;
    live.change(|live| {
        change.execute(&live.connection).map_err(|e| live.failed(e))?;
        let public = Db::open(&live.connection, ATTACHED, folder.join(CERT_DB));
        let private = Db::open(&live.connection, "main", folder.join(KEY_DB));
        let after = decode_open(&public, Some(Ok(private)), to)?;
        same((&before, ctx), (&after, to))
    })?;
    Ok(losses)
}

/// What is written.
struct Change {
    entry: PasswordEntry,
    /// Rows of `nssPrivate` with their enciphered attributes.
    rows: Vec<Object>,
    records: Vec<(String, Vec<u8>)>,
    /// Records that were filed under other names than they are now.
    gone: Vec<String>,
}

impl Change {
    fn prepare(folder: &Path, ctx: &Ctx<'_>, to: &Ctx<'_>) -> Result<(Self, Vec<Loss>)> {
        let (mut public, mut private) = (Vec::new(), Vec::new());
        Db::read(folder, Table::Public)?.objects(Table::Public, &[], |o| public.push(o))?;
        let db = Db::read(folder, Table::Private)?;
        db.objects(Table::Private, &[], |o| private.push(o))?;
        let meta = db.meta()?.unwrap_or_default();
        let entry = meta.password.as_ref().ok_or_else(|| {
            Error::malformed("the key database is not initialised: a password was never set")
        })?;
        let old = log_in(entry, ctx)?
            .ok_or_else(|| Error::password("the database's present password is needed to change it"))?;
        // Rows that are no objects have nothing that is protected.
        let public: Vec<Object> = public.into_iter().filter_map(Result::ok).collect();
        let private: Vec<Object> = private.into_iter().filter_map(Result::ok).collect();
        let blobs = private.iter().flat_map(|o| sealed(o).map(|(_, b)| b));
        derive_all(&old, entry, blobs.chain(meta.records.values().map(|r| &r[..])), ctx);

        let password = to.secrets.store()?;
        let password = password.as_ref().map_or(&[][..], |p| p.bytes());
        let rounds = rounds(password, to)?;
        // NSS itself gives the empty password the older form.
        let long = entry.salt.len() == SALT_SINCE && !password.is_empty();
        let mut salt = vec![0; if long { SALT_SINCE } else { SALT_BEFORE }];
        to.session.rng.fill(&mut salt)?;
        let (new_entry, master) = PasswordEntry::new(salt, password, rounds, to.session)?;
        let protection = Protection::new(master, rounds, to)?;
        let mut work = Work {
            maker: Maker::new(&protection, 1, to.session),
            old: &old,
            meta: &meta,
            ctx,
            gone: Vec::new(),
            losses: Vec::new(),
        };
        work.maker.expect(private.iter().map(|o| 2 * sealed(o).count()).sum());
        let mut rows = Vec::new();
        for object in &private {
            let name = || object.get(LABEL).map_or_else(|| format!("object {}", object.id), lossy);
            rows.extend(work.row(object).map_err(|e| e.without_offset().in_entry(name()))?);
        }
        work.clear(Table::Public, &public)?;
        work.clear(Table::Private, &private)?;
        let Work { maker, gone, losses, .. } = work;
        Ok((Change { entry: new_entry, rows, records: maker.rows.records, gone }, losses))
    }

    fn execute(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for row in &self.rows {
            for (attribute, value) in row.values().iter().filter(|(t, _)| *t != CLASS) {
                let table = Table::Private.name();
                let sql = format!("UPDATE main.{table} SET {} = ?1 WHERE id = ?2", column(*attribute));
                connection.execute(&sql, (&value[..], i64::from(row.id)))?;
            }
        }
        for id in &self.gone {
            connection.execute("DELETE FROM main.metaData WHERE id = ?1", [id])?;
        }
        sql::put_records(connection, "main", &self.records)?;
        sql::put_password(connection, &self.entry)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The enciphered attributes of a row.
fn sealed(object: &Object) -> impl Iterator<Item = (Type, &[u8])> {
    let all = [VALUE, SEED].into_iter().chain(RSA_NUMBERS);
    all.filter_map(|t| object.get(t).map(|blob| (t, blob)))
}

struct Work<'a> {
    maker: Maker<'a>,
    old: &'a Master,
    meta: &'a Meta,
    ctx: &'a Ctx<'a>,
    gone: Vec<String>,
    losses: Vec<Loss>,
}

impl Work<'_> {
    /// A private row's enciphered attributes under the new password, with records.
    fn row(&mut self, object: &Object) -> Result<Option<Object>> {
        let mut row = Object::new(object.id, object.class);
        let mut any = false;
        for (attribute, blob) in sealed(object) {
            let plain = self.old.open(blob, self.ctx.session)?;
            let proof = record_of(&self.meta.records, Table::Private, object.id, attribute);
            let proved = match proof {
                Some((_, record)) => self.old.verify(record, (0, attribute, &plain), self.ctx.session)?,
                // The scheme before 3.49 had none.
                None => derivation(blob).is_none(),
            };
            if !proved {
                let what = format!("the integrity record of its attribute {} ", column(attribute));
                let flaw = if proof.is_some() { "does not match" } else { "is missing" };
                return Err(Error::malformed(what + flaw)
                    .hint("what can't be proved now would look genuine under the new password"));
            }
            if let Some((filed, _)) = proof.filter(|(filed, _)| *filed != object.id) {
                self.gone.push(record_id(Table::Private, filed, attribute));
            }
            self.maker.seal(&mut row, attribute, &plain)?;
            any = true;
        }
        Ok(any.then_some(row))
    }

    /// The records of clear attributes.
    fn clear(&mut self, table: Table, objects: &[Object]) -> Result<()> {
        let by_id: HashMap<u32, &Object> = objects.iter().map(|o| (o.id, o)).collect();
        // In an order of its own, so that the same store gives the same bytes.
        let mut records: Vec<_> = self.meta.records.iter().filter(|((t, ..), _)| *t == table).collect();
        records.sort_by_key(|((_, id, attribute), _)| (*id, *attribute));
        let mut unproved: Vec<u32> = Vec::new();
        for ((_, filed, attribute), record) in records {
            // One whose object is gone speaks of nothing.
            let Some(object) = by_id.get(&(filed & MAX_ID)) else { continue };
            if table == Table::Private && sealed(object).any(|(t, _)| t == *attribute) {
                continue;
            }
            let value = object.raw(*attribute).unwrap_or_default();
            if *filed == object.id
                && self.old.verify(record, (*filed, *attribute, value), self.ctx.session).unwrap_or(false)
            {
                self.maker.sign(table, object.id, *attribute, value)?;
            } else if unproved.last() != Some(filed) {
                unproved.push(*filed);
            }
        }
        self.losses.extend(unproved.iter().map(|id| {
            let detail = format!(
                "an integrity record of object {id:#x} does not match the old password; it stays as it is, and is not believed"
            );
            Loss::new(LossKind::Unreadable, "", detail)
        }));
        Ok(())
    }
}

/// Whether all that was there is there, and as well proved.
fn same((before, old): (&Store, &Ctx<'_>), (after, new): (&Store, &Ctx<'_>)) -> Result<()> {
    let wrong = |what: String| {
        Err(Error::new(Kind::Write, format!("reading back what was changed: {what}; nothing was committed")))
    };
    if after.defects.len() != before.defects.len() || after.entries.len() != before.entries.len() {
        let what = after.defects.last().map_or("it holds another number of entries", |d| d.message());
        return wrong(what.to_owned());
    }
    let key = |entry: &Entry, ctx: &Ctx<'_>| -> Result<_> {
        entry.secret().map(|s| s.open(ctx).map(|k| k.bytes.clone())).transpose()
    };
    for (a, b) in before.entries.iter().zip(&after.entries) {
        let alike = a.label == b.label
            && a.item.kind() == b.item.kind()
            && a.object() == b.object()
            && a.trust == b.trust
            && (a.authenticated == b.authenticated || (a.authenticated.is_none() && a.secret().is_some()))
            && key(a, old)? == key(b, new)?;
        if !alike {
            return wrong(format!("\"{}\" came back different", b.label_text()));
        }
    }
    Ok(())
}
