//! What the tests share: places, passwords, and running programs.

use formats::model::{Entry, Item, Password, Secret, Store};
use formats::place::Source;
use formats::{Ctx, Format, NoSecrets, Options, Secrets, Session, jobs};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// The time that stores of these tests are written at: 2026-01-02T03:04:05Z.
pub const NOW_MS: i64 = 1_767_323_045_000;

/// The top of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of testdata/.
pub fn testdata(relative: &str) -> PathBuf {
    root().join("testdata").join(relative)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Passwords of one store and of keys in it.
#[derive(Default)]
pub struct Passwords {
    pub store: Option<String>,
    /// For the key of that label, or whatever has none (`None`).
    pub keys: Vec<(Option<String>, String)>,
}

impl Passwords {
    pub fn one(text: &str) -> Self {
        Passwords { store: Some(text.to_owned()), keys: Vec::new() }
    }
}

impl Secrets for Passwords {
    fn store(&self) -> formats::Result<Option<Arc<Password>>> {
        Ok(self.store.as_ref().map(|p| password(p)))
    }
    fn key(&self, label: Option<&str>) -> formats::Result<Vec<Arc<Password>>> {
        let fits = |l: &Option<String>| l.is_none() || l.as_deref() == label;
        Ok(self.keys.iter().filter(|(l, _)| fits(l)).map(|(_, p)| password(p)).collect())
    }
}

fn password(text: &str) -> Arc<Password> {
    Arc::new(Password::new(text.as_bytes().to_vec()))
}

/// Options and session around one reading or writing.
pub struct World {
    pub options: Options,
    pub session: Session,
}

impl World {
    pub fn new() -> Self {
        World { options: Options::default(), session: Session::new(NOW_MS) }
    }

    pub fn ctx<'a>(&'a self, secrets: &'a dyn Secrets) -> Ctx<'a> {
        Ctx { secrets, options: &self.options, session: &self.session }
    }

    /// Recognises and reads.
    pub fn load(&self, source: &Source, secrets: &dyn Secrets) -> formats::Result<jobs::Loaded> {
        jobs::load(&jobs::Input { source, format: None, ctx: self.ctx(secrets) })
    }

    /// `source` as a store of `format`, written into memory.
    pub fn convert(
        &self,
        source: &Source,
        from: &dyn Secrets,
        format: &'static dyn Format,
        to: &dyn Secrets,
    ) -> formats::Result<jobs::deliver::Converted> {
        jobs::convert::convert(&jobs::convert::Convert {
            from: jobs::Input { source, format: None, ctx: self.ctx(from) },
            to: jobs::deliver::Target {
                to: jobs::Output::Memory,
                format,
                ctx: self.ctx(to),
                allow: jobs::AllowLoss::All,
                force: false,
                dry_run: false,
                like: None,
                on_step: &|_| Ok(()),
            },
            labels: Vec::new(),
            certs_only: false,
            key_label: None,
        })
    }
}

/// One entry, reduced to what can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub kind: &'static str,
    pub label: Option<String>,
    /// SHA-256 of the key's PKCS#8, or `ALGORITHM:HEX` of a secret key.
    pub secret: Option<String>,
    /// SHA-256 of the chain, or of the one object.
    pub objects: Vec<String>,
}

/// The entries of a store, with every key opened. A key that can't be opened is an error.
pub fn seen(store: &Store, ctx: &Ctx<'_>) -> formats::Result<Vec<Seen>> {
    store.entries.iter().map(|e| see(e, ctx)).collect()
}

fn see(entry: &Entry, ctx: &Ctx<'_>) -> formats::Result<Seen> {
    let opened = |s: &Arc<Secret>| s.open(ctx).map(|k| sha256(&k.bytes));
    let (secret, objects) = match &entry.item {
        Item::Key { key, chain } => (Some(opened(key)?), chain.iter().map(|l| sha256(&l.cert)).collect()),
        Item::Symmetric(key) => {
            let key = key.open(ctx)?;
            (Some(format!("{}:{}", key.algorithm.as_deref().unwrap_or("?"), hex(&key.bytes))), Vec::new())
        }
        Item::Request { csr, key } => (key.as_ref().map(opened).transpose()?, vec![sha256(csr)]),
        Item::Cert(d) | Item::Crl(d) | Item::Other { body: d, .. } => (None, vec![sha256(d)]),
    };
    Ok(Seen {
        kind: entry.item.kind().name(),
        label: entry.label.as_ref().map(|l| l.text().into_owned()),
        secret,
        objects,
    })
}

/// The program, with nothing of the caller's environment that it would listen to.
pub fn keyferry() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEYFERRY_") {
            command.env_remove(&name);
        }
    }
    command.env("NO_COLOR", "1").env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// How a program ended.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(o: Output) -> Self {
        Ran {
            // A signal has no code; -1 equals no status of the contract.
            status: o.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&o.stdout).into_owned(),
            err: String::from_utf8_lossy(&o.stderr).into_owned(),
        }
    }
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Ran {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) => output.into(),
        Err(e) => panic!("{name} can't be run ({e}); scripts/test installs what the tests need"),
    }
}

/// Runs to the end, which must be a good one.
#[track_caller]
pub fn must(command: &mut Command) -> Ran {
    let ran = run(command);
    assert_eq!(ran.status, 0, "{command:?}\n{}\n{}", ran.out, ran.err);
    ran
}

/// Says that the test at hand can't be run here, and leaves a mark that `scripts/test` counts.
pub fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("?").replace("::", ".");
    eprintln!("SKIPPED {name}: {why}");
    let marks = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped");
    std::fs::create_dir_all(&marks).unwrap();
    std::fs::write(marks.join(name), "").unwrap();
}

/// A temporary folder.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("keyferry-test-").tempdir().unwrap()
}

/// Nobody's password.
pub fn nobody() -> &'static dyn Secrets {
    &NoSecrets
}
