//! Client stores made anew from a public bundle and the private key that stays here.

use super::build::Build;
use super::labels::shown;
use super::list::{hex, sha256_hex};
use super::prepare::prepare;
use super::verify::Expected;
use super::{AllowLoss, Input, Map, Set};
use crate::asn1::cert_fields;
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::format::{Format, detect};
use crate::model::{Der, Entry, Item, Loss, LossKind, Store, Trust};
use crate::place::{Source, Staging, cannot_read};
use crate::query::dn;
use crate::storeset::{self, Step};
use std::cell::OnceCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One store to rebuild.
pub struct Target<'a> {
    /// Its path.
    pub path: &'a Path,
    /// Its format where the caller names one; else the current store's, else by suffix.
    pub format: Option<&'static dyn Format>,
    /// Its password and options.
    pub ctx: Ctx<'a>,
}

impl Target<'_> {
    /// Whether it is of a format whose stores are folders, changed where they are.
    fn may_be_folder(&self, path: &Path) -> Result<bool> {
        let format = match self.format {
            Some(format) => format,
            None => detect(&Source::open(path)?.probe()?).map_err(|e| e.in_file(path))?,
        };
        Ok(format.in_place().is_some())
    }
}

/// Where the private keys come from, if not from the current store.
pub struct KeySource<'a> {
    /// The store that holds them.
    pub input: Input<'a>,
    /// Only this key.
    pub label: Option<String>,
}

/// What to rebuild and how.
pub struct Rebuild<'a> {
    /// The stores.
    pub targets: Vec<Target<'a>>,
    /// The bundles; together they say which certificates the stores hold.
    pub bundles: Vec<Input<'a>>,
    /// Another source of the private keys.
    pub key: Option<KeySource<'a>>,
    /// Old generations to keep.
    pub keep: usize,
    /// Plan only: nothing is written.
    pub dry_run: bool,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Called before each step of each swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
    /// Runs after the swaps when something changed (`--exec`); an error puts the old stores back.
    pub after: &'a dyn Fn() -> Result<()>,
}

/// A certificate in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its label in the store.
    pub label: String,
    /// The certificate.
    pub certificate: Der,
}

impl Named {
    /// Its subject, RFC 4514.
    pub fn subject(&self) -> String {
        cert_fields(&self.certificate).map(|f| dn::rfc4514(f.subject)).unwrap_or_default()
    }

    /// SHA-256 of its DER, lower-case hex.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.certificate)
    }
}

/// What became of one store.
#[derive(Debug, Default)]
pub struct StoreReport {
    /// Its path.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static str,
    /// It was (or with `dry_run` would be) written.
    pub changed: bool,
    /// It did not exist before.
    pub created: bool,
    /// Certificates that came in.
    pub added: Vec<Named>,
    /// Certificates that went.
    pub removed: Vec<Named>,
    /// How many certificates stayed; `None` where the record showed that nothing changed, so that nothing
    /// was counted.
    pub kept: Option<usize>,
    /// The private keys it holds.
    pub keys: Vec<Named>,
    /// What it doesn't hold as its sources do, notes included.
    pub losses: Vec<Loss>,
    /// The saved old generation.
    pub old: Option<PathBuf>,
    /// Old generations that were deleted.
    pub pruned: Vec<PathBuf>,
}

/// What became of all stores.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// False: refused because of losses that nobody allowed; nothing was written.
    pub written: bool,
    /// One report a store, in the order of the targets.
    pub stores: Vec<StoreReport>,
    /// What readers had to say.
    pub warnings: Vec<String>,
}

/// Rebuilds every target: all are built and read back before the first is moved into place.
pub fn rebuild(job: &Rebuild<'_>) -> Result<Rebuilt> {
    let mut report = Rebuilt { written: true, ..Rebuilt::default() };
    let mut places = Vec::with_capacity(job.targets.len());
    no_repeats(&job.targets)?;
    for target in &job.targets {
        places.push(Located::find(target, job.dry_run).map_err(|e| e.in_file(target.path))?);
    }
    let inputs = Inputs::new(job);
    let mut wanted = None;
    let mut built = Vec::with_capacity(places.len());
    for place in places {
        let path = place.target.path;
        let digest = inputs.digest(&place)?;
        let mut store =
            StoreReport { path: path.to_owned(), format: place.format.name(), ..StoreReport::default() };
        if place.is_current(&digest)? {
            built.push((place, digest, None, store));
            continue;
        }
        let wanted = match &mut wanted {
            Some(w) => w,
            none => none.insert(Wanted::load(job, &mut report.warnings)?),
        };
        let staged = place.build(job, wanted, &mut store).map_err(|e| e.in_file(path))?;
        report.written &= staged.allowed();
        built.push((place, digest, Some(staged), store));
    }
    if report.written && !job.dry_run {
        commit_all(job, &mut built, &mut report.warnings)?;
    }
    for (place, _, _, store) in built.iter().filter(|(_, _, _, s)| s.changed && !s.created) {
        if let Some(in_place) = place.format.in_place() {
            report.warnings.extend(in_place.users(&place.path).iter().map(|u| u.warning(&store.path)));
        }
    }
    report.stores = built.into_iter().map(|(_, _, _, store)| store).collect();
    Ok(report)
}

/// A store that is named twice would wait for its own lock.
fn no_repeats(targets: &[Target<'_>]) -> Result<()> {
    let mut seen = Set::default();
    for target in targets {
        let path = storeset::resolve(target.path)?;
        // Where its folder can't be found, that is said later.
        let path = match path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }) {
            Some(folder) => {
                folder.canonicalize().unwrap_or_default().join(path.file_name().unwrap_or_default())
            }
            None => path,
        };
        if !seen.insert(path) {
            return Err(Error::refused("is named twice").in_file(target.path));
        }
    }
    Ok(())
}

type Built<'a> = (Located<'a>, [u8; 32], Option<Staged>, StoreReport);

/// Moves every staged store into place. When one fails, those before it are put back.
///
/// What comes after the swaps (records, pruning) is not worth an error: the stores are the new ones.
fn commit_all(job: &Rebuild<'_>, built: &mut [Built<'_>], warnings: &mut Vec<String>) -> Result<()> {
    let mut done = Vec::new();
    for (place, digest, staged, report) in built.iter_mut() {
        match staged.take() {
            None | Some(Staged::Refused) => {}
            // Nothing to write, but the next run need not find that out again.
            Some(Staged::Same) => warn(place.record(digest), warnings),
            Some(Staged::InPlace(wanted)) => match change(place, &wanted, job.on_step) {
                Ok(changed) => {
                    report.old = changed.as_ref().map(|c| c.old().to_owned());
                    done.extend(changed.map(Done::Changed));
                }
                Err(e) => return Err(take_back(done, e.in_file(place.target.path))),
            },
            Some(Staged::Ready(staging)) => {
                let how = storeset::Commit {
                    store: &place.path,
                    expected: place.identity,
                    content: place.current.as_ref().and_then(|c| c.bytes().ok()).map(|b| &b[..]),
                    companions: place.format.companions(),
                    on_step: job.on_step,
                };
                match storeset::commit(staging, &how) {
                    Ok(committed) => {
                        report.old.clone_from(&committed.old);
                        done.push(Done::Swapped(committed));
                    }
                    Err(e) => return Err(take_back(done, e.in_file(place.target.path))),
                }
            }
        }
    }
    if !done.is_empty()
        && let Err(e) = (job.after)()
    {
        return Err(take_back(done, e));
    }
    for (place, digest, _, report) in built.iter_mut().filter(|(_, _, _, r)| r.changed) {
        warn(place.record(digest), warnings);
        let now = place.target.ctx.session.now_ms;
        match storeset::prune(&place.path, job.keep, RETENTION_MS, now, false) {
            Ok(pruned) => report.pruned = pruned,
            Err(e) => warn(Err(e), warnings),
        }
    }
    Ok(())
}

fn warn(outcome: Result<()>, warnings: &mut Vec<String>) {
    warnings.extend(outcome.err().map(|e| e.to_string()));
}

/// Something that can be taken back.
enum Done<'a> {
    Swapped(storeset::Committed),
    /// A store that was changed where it is.
    Changed(storeset::Changed<'a>),
}

impl Done<'_> {
    fn undo(self) -> Result<()> {
        match self {
            Done::Swapped(committed) => committed.undo(),
            Done::Changed(changed) => changed.undo(),
        }
    }
}

/// Changes a store where it is.
fn change<'a>(
    place: &Located<'_>,
    wanted: &Store,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Option<storeset::Changed<'a>>> {
    let Some(in_place) = place.format.in_place() else {
        return Err(Error::unsupported("a store of this format can't be changed in place"));
    };
    storeset::change(&place.path, in_place, on_step, |before| {
        in_place.apply(&place.path, wanted, Some(before), &place.target.ctx).map(drop)
    })
}

/// Takes commits back, the last first. The failure that led to it is reported; what can't be put back is
/// said with it.
fn take_back(done: Vec<Done<'_>>, cause: Error) -> Error {
    let failed = done.into_iter().rev().filter_map(|c| c.undo().err());
    failed.fold(cause, |cause, e| {
        let place = cause.place().path.clone();
        let both = storeset::not_put_back(&cause, &e);
        place.iter().fold(both, |e, path| e.in_file(path))
    })
}

/// Old generations younger than this stay, however many there are.
const RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

/// A target with what is there now. Holds its lock.
struct Located<'a> {
    target: &'a Target<'a>,
    /// Links resolved.
    path: PathBuf,
    current: Option<Source>,
    identity: Option<crate::place::Identity>,
    format: &'static dyn Format,
    _lock: Option<storeset::Lock>,
}

/// What building one store came to.
enum Staged {
    /// The current store is already what it should be.
    Same,
    /// Written and read back.
    Ready(Staging),
    /// To be changed where it is, so that it holds this.
    InPlace(Box<Store>),
    /// A loss that nobody allowed.
    Refused,
}

impl Staged {
    fn allowed(&self) -> bool {
        !matches!(self, Staged::Refused)
    }
}

impl<'a> Located<'a> {
    fn find(target: &'a Target<'a>, dry_run: bool) -> Result<Self> {
        let path = storeset::resolve(target.path)?;
        // Before anything is put beside a folder that is no store of ours.
        if path.is_dir() && !target.may_be_folder(&path)? {
            storeset::replaceable(&path)?;
        }
        // A dry run writes nothing, not even a lock file.
        let lock = if dry_run { None } else { Some(storeset::Lock::take(&path)?) };
        let current = if storeset::is_there(&path)? { Some(open(&path)?) } else { None };
        let found = current.as_ref().map(|c| c.probe().and_then(|p| detect(&p))).transpose()?;
        let format = match (target.format, found) {
            (Some(want), Some(have)) if want.name() != have.name() => {
                return Err(Error::refused(format!("the store is {}, not {}", have.name(), want.name()))
                    .hint("a rebuild keeps a store's format; keyferry convert --force changes it"));
            }
            (Some(format), _) | (None, Some(format)) => format,
            (None, None) => crate::format::by_suffix(target.path).ok_or_else(|| {
                Error::refused("a new store's format is not told by its name")
                    .hint(format!("write FORMAT:PATH; the formats are {}", crate::format::names()))
            })?,
        };
        if !format.carries().swap {
            return Err(Error::unsupported(format!("a {} store can't be swapped in", format.name())));
        }
        if let (Some(in_place), Some(true), false) =
            (format.in_place(), current.as_ref().map(Source::is_directory), dry_run)
        {
            in_place.recover(&path)?;
        }
        let identity = current.as_ref().and_then(Source::identity);
        Ok(Located { target, path, current, identity, format, _lock: lock })
    }

    /// Whether the last run had the same inputs and nobody has touched the store since.
    fn is_current(&self, digest: &[u8; 32]) -> Result<bool> {
        let (Some(_), Some(record)) = (&self.current, storeset::Record::read(&self.path)) else {
            return Ok(false);
        };
        Ok(record.inputs == hex(digest) && record.store_state == self.state()?)
    }

    /// Notes what this store was made from, for [`Located::is_current`].
    fn record(&self, digest: &[u8; 32]) -> Result<()> {
        storeset::Record::made(hex(digest), self.state()?, self.target.ctx.session.now_ms).write(&self.path)
    }

    /// What changes when anybody touches the store: which files they are, and when their content and their
    /// inodes were last changed, which nobody can set back.
    fn state(&self) -> Result<String> {
        let one = |path: &Path| -> Result<String> {
            let meta =
                path.metadata().map_err(|e| Error::io(Kind::Read, "can't be looked at", e).in_file(path))?;
            let (s, ns) = (meta.ctime(), meta.ctime_nsec());
            Ok(format!("{}:{}:{}:{s}.{ns:09}", meta.dev(), meta.ino(), meta.len()))
        };
        let files = self.format.folder_files();
        if files.is_empty() {
            return one(&self.path);
        }
        let states = files.iter().map(|f| one(&self.path.join(f)).unwrap_or_default());
        Ok(states.collect::<Vec<_>>().join(" "))
    }

    fn build(&self, job: &Rebuild<'_>, wanted: &Wanted, report: &mut StoreReport) -> Result<Staged> {
        let ctx = &self.target.ctx;
        let current = match &self.current {
            Some(source) => {
                fetch(source, &self.path)?;
                self.format.read(source, ctx).map_err(|e| e.in_format(self.format.name()))?
            }
            None => Store::default(),
        };
        report.created = self.current.is_none();
        let mut merged = wanted.merge(&current, ctx, &mut report.losses)?;
        let in_place =
            self.format.in_place().filter(|_| self.current.as_ref().is_some_and(Source::is_directory));
        if in_place.is_none() {
            // What can't be read of the current store may be a key. Changed in place, it stays.
            merged.defects.clone_from(&current.defects);
        }
        // A key that comes from elsewhere was opened there, so what is left sealed is this store's own.
        let (store, losses) = prepare(merged, ctx, self.format, &|| Ok(true))?;
        report.losses.extend(losses);
        compare(&current, &store, report);
        if self.current.is_some() && is_same(&current, &store, self.format, ctx) {
            // Nothing is lost by leaving a store as it is.
            report.losses.clear();
            return Ok(Staged::Same);
        }
        if let Some(in_place) = in_place {
            let named = |e: Error| e.in_format(self.format.name());
            report.losses.extend(in_place.apply(&self.path, &store, None, ctx).map_err(named)?);
            report.changed = report.losses.iter().all(|l| job.allow.allows(l));
            let ready = Staged::InPlace(Box::new(store));
            return Ok(if report.changed { ready } else { Staged::Refused });
        }
        let mut staging = if job.dry_run { Staging::memory() } else { Staging::beside(&self.path) };
        let build =
            Build { store: &store, base: self.current.as_ref(), format: self.format, ctx, allow: &job.allow };
        report.changed = build.stage(&mut staging, &mut report.losses)?;
        Ok(if report.changed { Staged::Ready(staging) } else { Staged::Refused })
    }
}

/// The current store, looked at while no program that knows of locks writes to it.
fn open(path: &Path) -> Result<Source> {
    let lock = storeset::ReadLock::take(path)?;
    let source = Source::open(path)?;
    source.probe()?;
    drop(lock);
    Ok(source)
}

/// Fetches all of it, with the same care. Only a store that is to change is worth the time.
fn fetch(source: &Source, path: &Path) -> Result<()> {
    let lock = storeset::ReadLock::take(path)?;
    if !source.is_directory() {
        source.bytes()?;
    }
    drop(lock);
    Ok(())
}

/// The digests of what all targets share, computed once.
struct Inputs<'a> {
    job: &'a Rebuild<'a>,
    shared: OnceCell<blake3::Hasher>,
}

impl<'a> Inputs<'a> {
    fn new(job: &'a Rebuild<'a>) -> Self {
        Inputs { job, shared: OnceCell::new() }
    }

    /// What decides how a store comes out, apart from passwords (whose change is a command of its own) and
    /// salts: the program, the bundles, the key source, the format and its options.
    fn digest(&self, place: &Located<'_>) -> Result<[u8; 32]> {
        let shared = match self.shared.get() {
            Some(s) => s,
            None => {
                let s = self.hash_shared()?;
                self.shared.get_or_init(|| s)
            }
        };
        let mut hash = shared.clone();
        add(&mut hash, place.format.name().as_bytes());
        for opt in place.format.options() {
            add(&mut hash, place.target.ctx.options.get(opt.name).unwrap_or_default().as_bytes());
        }
        Ok(hash.finalize().into())
    }

    fn hash_shared(&self) -> Result<blake3::Hasher> {
        let mut hash = blake3::Hasher::new();
        add(&mut hash, concat!("keyferry ", env!("CARGO_PKG_VERSION")).as_bytes());
        for bundle in &self.job.bundles {
            add_source(&mut hash, bundle.source)?;
        }
        if let Some(key) = &self.job.key {
            add(&mut hash, b"key");
            add_source(&mut hash, key.input.source)?;
            add(&mut hash, key.label.as_deref().unwrap_or_default().as_bytes());
        }
        Ok(hash)
    }
}

/// Adds a part with its length, so that no two lists of parts look alike.
fn add(hash: &mut blake3::Hasher, part: &[u8]) {
    hash.update(&(part.len() as u64).to_be_bytes());
    hash.update(part);
}

fn add_source(hash: &mut blake3::Hasher, source: &Source) -> Result<()> {
    if source.is_directory() {
        for member in source.members()? {
            add(hash, member.as_os_str().as_encoded_bytes());
            add_source(hash, &Source::open(&member)?)?;
        }
        return Ok(());
    }
    // Not kept in memory: where nothing changed, this is all that is read.
    let mut content = blake3::Hasher::new();
    content.update_reader(source.whole_reader()?).map_err(|e| cannot_read(e).in_file(source.path()))?;
    add(hash, content.finalize().as_bytes());
    Ok(())
}

/// What every store shall hold: the bundles' certificates and, where it comes from elsewhere, the key.
struct Wanted {
    /// Certificates and revocation lists, each once.
    public: Vec<Entry>,
    /// The private keys of `--key`.
    keys: Option<Vec<Entry>>,
}

impl Wanted {
    fn load(job: &Rebuild<'_>, warnings: &mut Vec<String>) -> Result<Self> {
        let mut public: Vec<Entry> = Vec::new();
        let mut seen: Set<Der> = Set::default();
        let mut is_new = |object: &Der| {
            // Before it is cloned, so that all clones know their print.
            object.print();
            seen.insert(object.clone())
        };
        for bundle in &job.bundles {
            let path = bundle.source.path();
            let loaded = super::load(bundle)?;
            bundle.source.unchanged()?;
            let named = |e: Error| e.in_format(loaded.format.name()).in_file(path);
            warnings.extend(loaded.store.warnings.iter().cloned());
            if let Some(defect) = loaded.store.defects.first() {
                return Err(named(
                    Error::malformed(format!("the bundle is damaged: {}", defect.message()))
                        .at_if(defect.place().offset)
                        .hint("a bundle is taken whole or not at all; fetch it again"),
                ));
            }
            if let Some(secret) = loaded.store.entries.iter().find(|e| e.secret().is_some()) {
                return Err(named(
                    Error::refused("the bundle holds a private or secret key")
                        .in_entry(shown(secret))
                        .hint("bundles are public; a key goes in with --key"),
                ));
            }
            let certificates =
                loaded.store.entries.iter().filter(|e| matches!(e.item, Item::Cert(_))).count();
            if certificates == 0 {
                return Err(named(
                    Error::refused("the bundle holds no certificates")
                        .hint("nothing was changed: an empty bundle would empty the stores"),
                ));
            }
            public.extend(loaded.store.entries.into_iter().filter(|e| e.object().is_some_and(&mut is_new)));
        }
        let keys = job.key.as_ref().map(|k| private_keys(k, warnings)).transpose()?;
        Ok(Wanted { public, keys })
    }

    /// The store to be: its keys (their chains with them), what else it holds that no bundle speaks of, and
    /// the bundles' certificates, those it has already as they stand in it.
    fn merge(&self, current: &Store, ctx: &Ctx<'_>, losses: &mut Vec<Loss>) -> Result<Store> {
        let mut entries = Vec::with_capacity(self.public.len() + 1);
        let known: Map<&Der, &Entry> = current.entries.iter().filter_map(|e| Some((lone(e)?, e))).collect();
        let crls = self.public.iter().any(|e| matches!(e.item, Item::Crl(_)));
        for entry in &current.entries {
            match &entry.item {
                Item::Cert(_) => {}
                Item::Crl(_) if crls => {}
                Item::Key { chain, .. } if self.keys.is_some() => {
                    let leaf = chain.first().map(|l| &l.cert);
                    let stays = self.keys.iter().flatten().any(|k| k.object() == leaf && leaf.is_some());
                    if !stays {
                        losses.push(Loss::new(
                            LossKind::Key,
                            shown(entry),
                            "the current store holds this private key, the source of --key does not",
                        ));
                    }
                }
                _ => entries.push(entry.clone()),
            }
        }
        for key in self.keys.iter().flatten() {
            let mut key = key.clone();
            // The label that the same certificate has now: programs look it up by that.
            let now = current
                .entries
                .iter()
                .find(|e| matches!(e.item, Item::Key { .. }) && e.object() == key.object());
            if let Some(now) = now {
                key.label = now.label.clone();
                key.default = now.default;
                if same_key(now, &key, ctx) {
                    key.attrs = now.attrs.clone();
                }
            }
            entries.push(key);
        }
        // A key's own certificate is there with the key; a second entry would only be another label for it.
        let leaves: Set<Der> =
            entries.iter().filter(|e| e.secret().is_some()).filter_map(|e| e.object().cloned()).collect();
        for new in &self.public {
            let Item::Cert(der) = &new.item else {
                entries.push(new.clone());
                continue;
            };
            if leaves.contains(der) {
                continue;
            }
            let mut entry = known.get(der).map_or_else(|| new.clone(), |e| (*e).clone());
            if new.trust.is_some() {
                entry.trust.clone_from(&new.trust);
            }
            entries.push(entry);
        }
        Ok(Store { entries, facts: current.facts.clone(), ..Store::default() })
    }
}

/// The same private key, so that what the current store says about it still holds.
fn same_key(now: &Entry, new: &Entry, ctx: &Ctx<'_>) -> bool {
    let open = |e: &Entry| e.secret().and_then(|s| s.open(ctx).ok().map(|k| k.bytes.clone()));
    matches!((open(now), open(new)), (Some(a), Some(b)) if a == b)
}

/// The keys of `--key`, opened: their passwords are that store's, not the target's.
fn private_keys(source: &KeySource<'_>, warnings: &mut Vec<String>) -> Result<Vec<Entry>> {
    let path = source.input.source.path();
    let loaded = super::load(&source.input)?;
    source.input.source.unchanged()?;
    let named = |e: Error| e.in_format(loaded.format.name()).in_file(path);
    warnings.extend(loaded.store.warnings.iter().cloned());
    let mut keys = Vec::new();
    for entry in loaded.store.entries {
        let wanted = source.label.as_ref().is_none_or(|l| selects(l, &entry));
        if !wanted || !matches!(entry.item, Item::Key { .. }) {
            continue;
        }
        if let Some(secret) = entry.secret() {
            secret.open(&source.input.ctx).map_err(|e| named(e.in_entry(shown(&entry))))?;
        }
        if entry.certificate().is_none() {
            return Err(named(
                Error::refused("the private key has no certificate")
                    .in_entry(shown(&entry))
                    .hint("put the key and its certificate chain into one file"),
            ));
        }
        // What only that format knows has no place in the client's store.
        keys.push(Entry { attrs: Vec::new(), trust: None, ..entry });
    }
    if keys.is_empty() {
        let message = match &source.label {
            Some(label) => format!("no private key has the label \"{label}\""),
            None => "no private key in it".to_owned(),
        };
        return Err(named(Error::refused(message).hint("keyferry list shows what a store holds")));
    }
    Ok(keys)
}

/// `LABEL` or `sha256:HEX` of the certificate, where labels repeat.
fn selects(label: &str, entry: &Entry) -> bool {
    match label.strip_prefix("sha256:") {
        Some(hash) => entry.certificate().is_some_and(|c| sha256_hex(c).eq_ignore_ascii_case(hash)),
        None => entry.label_text() == label,
    }
}

/// A certificate that stands on its own.
fn lone(entry: &Entry) -> Option<&Der> {
    match &entry.item {
        Item::Cert(c) => Some(c),
        _ => None,
    }
}

/// What comes in, what goes, what stays.
fn compare(current: &Store, new: &Store, report: &mut StoreReport) {
    fn all(store: &Store) -> Set<&Der> {
        store.entries.iter().filter_map(lone).collect()
    }
    let (before, after) = (all(current), all(new));
    let mut kept = 0;
    for entry in &new.entries {
        match (&entry.item, entry.certificate()) {
            (Item::Cert(c), _) if before.contains(c) => kept += 1,
            (Item::Cert(c), _) => report.added.push(named(entry, c)),
            (Item::Key { .. }, Some(c)) => report.keys.push(named(entry, c)),
            _ => {}
        }
    }
    let gone = current.entries.iter().filter_map(|e| match &e.item {
        Item::Cert(c) if !after.contains(c) => Some(named(e, c)),
        _ => None,
    });
    report.removed.extend(gone);
    report.kept = Some(kept);
}

fn named(entry: &Entry, certificate: &Der) -> Named {
    Named { label: shown(entry).into_owned(), certificate: certificate.clone() }
}

/// Whether the current store already is what was to be written: the same entries under the same labels,
/// keys and chains included, in any order.
fn is_same(current: &Store, new: &Store, format: &'static dyn Format, ctx: &Ctx<'_>) -> bool {
    let same_size = current.entries.len() == new.entries.len();
    fn trust(s: &Store) -> impl Iterator<Item = (&Der, &Trust)> {
        s.entries.iter().filter_map(|e| lone(e).zip(e.trust.as_ref()))
    }
    // Trust that a source can't state is no change; what it states and the store has otherwise, is.
    let trust_differs = || {
        let now: Map<&Der, &Trust> = trust(current).collect();
        trust(new).any(|(d, t)| now.get(d).is_some_and(|n| *n != t))
    };
    same_size
        && current.defects.is_empty()
        && !trust_differs()
        && Expected::of(new, format).check(current, ctx).is_ok()
}
