//! An inventory as a Parquet file, which DuckDB, Spark and Trino query as they find it. The columns are those
//! of the JSON form; `docs/inventory.md` describes them.

use crate::error::Result;
use crate::rights::as_owner_of;
use formats::jobs::list::Row;
use formats::query::time;
use formats::{Error, Kind};
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows are gathered up to so many, so that memory stays flat.
const GROUP: usize = 8192;

/// How a column's value is got from a row.
enum Get {
    Text(fn(&Row) -> Option<&str>),
    Truth(fn(&Row) -> Option<bool>),
    Number(fn(&Row) -> Option<i32>),
    Long(fn(&Row) -> Option<i64>),
    /// RFC 3339 text as milliseconds.
    Time(fn(&Row) -> Option<&str>),
    List(fn(&Row) -> Option<Vec<&str>>),
}

/// The columns: the line of the schema, and the value.
const COLUMNS: &[(&str, Get)] = &[
    ("required binary store (STRING)", Get::Text(|r| Some(&r.store))),
    ("optional binary store_hex (STRING)", Get::Text(|r| r.store_hex.as_deref())),
    ("required binary format (STRING)", Get::Text(|r| Some(r.format))),
    ("optional binary label (STRING)", Get::Text(|r| r.label.as_deref())),
    ("optional binary label_hex (STRING)", Get::Text(|r| r.label_hex.as_deref())),
    ("required binary kind (STRING)", Get::Text(|r| Some(r.kind))),
    ("required boolean default", Get::Truth(|r| Some(r.default))),
    ("optional binary subject (STRING)", Get::Text(|r| r.subject.as_deref())),
    ("optional binary issuer (STRING)", Get::Text(|r| r.issuer.as_deref())),
    ("optional binary serial (STRING)", Get::Text(|r| r.serial.as_deref())),
    ("optional int64 not_before (TIMESTAMP(MILLIS,true))", Get::Time(|r| r.not_before.as_deref())),
    ("optional int64 not_after (TIMESTAMP(MILLIS,true))", Get::Time(|r| r.not_after.as_deref())),
    ("optional binary sha256 (STRING)", Get::Text(|r| r.sha256.as_deref())),
    ("optional binary spki_sha256 (STRING)", Get::Text(|r| r.spki_sha256.as_deref())),
    ("optional binary key_algorithm (STRING)", Get::Text(|r| r.key.as_ref().map(|k| &*k.algorithm))),
    ("optional int32 key_bits", Get::Number(|r| r.key.as_ref()?.bits.and_then(|b| i32::try_from(b).ok()))),
    ("optional binary key_curve (STRING)", Get::Text(|r| r.key.as_ref()?.curve.as_deref())),
    ("trust", Get::List(|r| r.trust.as_ref().map(|t| t.to_vec()))),
    ("distrust", Get::List(|r| r.distrust.as_ref().map(|t| t.to_vec()))),
    ("optional boolean authenticated", Get::Truth(|r| r.authenticated)),
    ("chain", Get::List(|r| r.chain.as_ref().map(|c| c.iter().map(String::as_str).collect()))),
    ("optional binary match (STRING)", Get::Text(|r| r.grade)),
    ("optional binary file_owner (STRING)", Get::Text(|r| r.file.as_ref().map(|f| &*f.owner))),
    ("optional int64 file_uid", Get::Long(|r| r.file.as_ref().map(|f| f.uid.into()))),
    ("optional binary file_mode (STRING)", Get::Text(|r| r.file.as_ref().map(|f| &*f.mode))),
    ("optional int64 file_size", Get::Long(|r| r.file.as_ref().and_then(|f| i64::try_from(f.size).ok()))),
    ("optional int64 file_mtime (TIMESTAMP(MILLIS,true))", Get::Time(|r| r.file.as_ref().map(|f| &*f.mtime))),
];

fn schema() -> String {
    let column = |(line, get): &(&str, Get)| match get {
        Get::List(_) => format!(
            "  optional group {line} (LIST) {{ repeated group list {{ required binary element (STRING); }} }}\n"
        ),
        _ => format!("  {line};\n"),
    };
    format!("message keyferry {{\n{}}}", COLUMNS.iter().map(column).collect::<String>())
}

/// Writes rows into a file, which has its name when all of them are there.
pub struct Inventory {
    target: PathBuf,
    temporary: PathBuf,
    writer: Option<SerializedFileWriter<File>>,
    rows: Vec<Row>,
}

impl Inventory {
    /// Begins a file that replaces `target` at the end.
    pub fn new(target: &Path) -> Result<Inventory> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = target.with_file_name(name);
        let open = || OpenOptions::new().write(true).create_new(true).open(&temporary);
        let file = as_owner_of(target, open);
        let file = file.map_err(|e| {
            Error::new(Kind::Write, "the inventory can't be written").caused_by(e).in_file(target)
        })?;
        let schema = parse_message_type(&schema()).map_err(|e| failed(target, e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_created_by(format!("keyferry {}", env!("CARGO_PKG_VERSION")));
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build()));
        let writer = Some(writer.map_err(|e| failed(target, e))?);
        Ok(Inventory { target: target.to_owned(), temporary, writer, rows: Vec::new() })
    }

    /// Takes a row.
    pub fn put(&mut self, row: Row) -> Result {
        self.rows.push(row);
        if self.rows.len() == GROUP { self.flush() } else { Ok(()) }
    }

    /// Completes the file and gives it its name.
    pub fn end(mut self) -> Result {
        self.flush()?;
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(|e| failed(&self.target, e))?;
        }
        let renamed = as_owner_of(&self.target, || std::fs::rename(&self.temporary, &self.target));
        Ok(renamed.map_err(|e| {
            Error::new(Kind::Write, "the inventory can't be given its name")
                .caused_by(e)
                .in_file(&self.target)
        })?)
    }

    fn flush(&mut self) -> Result {
        let rows = std::mem::take(&mut self.rows);
        let Some(writer) = self.writer.as_mut().filter(|_| !rows.is_empty()) else { return Ok(()) };
        let written = writer.next_row_group().and_then(|mut group| {
            COLUMNS.iter().try_for_each(|(_, get)| column(&mut group, get, &rows))?;
            group.close().map(drop)
        });
        Ok(written.map_err(|e| failed(&self.target, e))?)
    }
}

impl Drop for Inventory {
    fn drop(&mut self) {
        // Gone already where it was completed.
        let _ = as_owner_of(&self.target, || std::fs::remove_file(&self.temporary));
    }
}

fn failed(target: &Path, e: ParquetError) -> Error {
    Error::new(Kind::Write, "the inventory can't be written").caused_by(e).in_file(target)
}

/// Values, and for each row whether it has one.
fn split<T>(rows: &[Row], get: impl Fn(&Row) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let mut values = Vec::with_capacity(rows.len());
    let levels = rows.iter().map(|r| get(r).map(|v| values.push(v)).map_or(0, |()| 1)).collect();
    (values, levels)
}

fn column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    get: &Get,
    rows: &[Row],
) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else { return Ok(()) };
    let bytes = |t: &str| ByteArray::from(t.as_bytes().to_vec());
    let milliseconds = |t: &str| time::parse(t).map(|s| s.saturating_mul(1000));
    match get {
        Get::Text(get) => {
            let (values, levels) = split(rows, |r| get(r).map(bytes));
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Get::Truth(get) => {
            let (values, levels) = split(rows, get);
            writer.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
        Get::Number(get) => {
            let (values, levels) = split(rows, get);
            writer.typed::<Int32Type>().write_batch(&values, Some(&levels), None)?;
        }
        Get::Long(get) => {
            let (values, levels) = split(rows, get);
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Get::Time(get) => {
            let (values, levels) = split(rows, |r| get(r).and_then(milliseconds));
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Get::List(get) => {
            let (mut values, mut levels, mut repeats) = (Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                // 0: no list, 1: an empty one, 2: a value; repeated: further values of the same list.
                let list = get(row);
                let empty = list.as_ref().map_or(0, |_| 1);
                let list = list.unwrap_or_default();
                if list.is_empty() {
                    levels.push(empty);
                    repeats.push(0);
                }
                for (n, value) in list.into_iter().enumerate() {
                    values.push(bytes(value));
                    levels.push(2);
                    repeats.push(i16::from(n > 0));
                }
            }
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), Some(&repeats))?;
        }
    }
    writer.close()
}
