//! Every file of testdata/, read and compared with its manifest, then written into every format that can
//! hold it and read back.

use crate::support::{Passwords, Seen, World, hex, nobody, seen, sha256, testdata};
use formats::asn1::cert_fields;
use formats::model::{Item, ItemKind, Level, LossKind, Purpose, Store};
use formats::place::Source;
use formats::{FORMATS, Format, Kind, Labels, Secrets};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fewer files than this mean that the walk went wrong.
const AT_LEAST: usize = 120;

#[test]
fn every_file_reads_as_its_manifest_says() {
    judge(&|case| case.check());
}

#[test]
fn every_good_store_survives_every_format() {
    let known = known_failing();
    let mut cases = cases();
    cases.retain(|c| c.is_ok() && !known.contains_key(&c.name));
    let (next, pairs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            for format in FORMATS.iter().copied() {
                match case.round_trip(format) {
                    Ok(tried) => drop(pairs.fetch_add(usize::from(tried), Ordering::Relaxed)),
                    Err(e) => {
                        failures.lock().unwrap().push(format!("{} → {}: {e}", case.name, format.name()));
                    }
                }
            }
        }
    };
    // Nearly all of it is key derivation: worth every core there is.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (mut failures, pairs) = (failures.into_inner().unwrap(), pairs.into_inner());
    failures.sort();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(pairs > 2 * AT_LEAST, "only {pairs} round trips were tried");
}

#[test]
fn a_wrong_password_is_told_apart_from_damage() {
    let mut tried = 0;
    let mut failures = Vec::new();
    for case in cases().iter().filter(|c| c.is_ok()) {
        let wrong = Passwords::one("not the password");
        let world = World::new();
        let outcome = case.load(&world, &wrong).and_then(|l| {
            let ctx = world.ctx(&wrong);
            seen(&l.store, &ctx).map(drop)
        });
        tried += 1;
        match outcome {
            Err(e) if e.kind() == Kind::Password => {}
            // Nothing in them is protected.
            Ok(()) if UNPROTECTED.contains(&case.file()) => {}
            Ok(()) => failures.push(format!("{}: opens under a wrong password", case.name)),
            Err(e) => failures.push(format!("{}: {:?}: {e}", case.name, e.kind())),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(tried > 100, "only {tried} files were tried");
}

/// What a format that claims such entries refuses all the same.
const REFUSED: &[(&str, &str)] = &[("key-without-cert.p12", "jceks")];
/// Neither MAC nor encryption.
const UNPROTECTED: &[&str] = &["ossl-clear-nomac.p12", "jdk-passwordless-trust.p12"];

#[test]
fn without_a_password_nothing_is_called_authenticated() {
    let mut read = 0;
    for case in cases().iter().filter(|c| c.is_ok() && c.file() != "jdk-passwordless-trust.p12") {
        let world = World::new();
        match case.load(&world, nobody()) {
            Ok(loaded) => {
                read += 1;
                for entry in &loaded.store.entries {
                    assert_ne!(entry.authenticated, Some(true), "{}: {:?}", case.name, entry.label);
                }
            }
            Err(e) => assert_eq!(e.kind(), Kind::Password, "{}: {e}", case.name),
        }
    }
    // Every JKS and JCEKS at least: their certificates are in the clear.
    assert!(read >= 25, "only {read} files could be read without a password");
}

#[test]
fn java_names_are_anchors_and_others_say_nothing() {
    let cases = cases();
    let one = |name: &str| cases.iter().find(|c| c.name == name).unwrap().load_ok();
    // Java itself looks only whether its mark is there. What the mark says is narrower, and nobody is to be
    // trusted for more than that by a conversion.
    let usages = one("p12/java-trust-usages.p12");
    let find = |label: &str| usages.entries.iter().find(|e| e.label_text() == label).unwrap();
    let anchor = |label: &str| {
        let trust = find(label).trust.as_ref().unwrap();
        Purpose::ALL.map(|p| trust.level(p) == Level::Anchor)
    };
    assert_eq!(anchor("server only"), [true, false, false, false]);
    assert_eq!(anchor("two usages"), [true, true, false, false]);
    assert_eq!(find("no attribute").trust, None);
    for name in ["java/jks-truststore.jks", "p12/jdk17-default.p12"] {
        let store = one(name);
        let mut certs = 0;
        for entry in store.entries.iter().filter(|e| matches!(e.item, Item::Cert(_))) {
            certs += 1;
            assert!(entry.trust.as_ref().is_some_and(|t| t.is_full_anchor()), "{name}: {:?}", entry.label);
        }
        assert!(certs >= 2, "{name}");
    }
}

/// Runs `check` on every case and holds the outcome against `known-failing.txt`.
fn judge(check: &dyn Fn(&Case) -> Result<(), String>) {
    let known = known_failing();
    let cases = cases();
    assert!(cases.len() >= AT_LEAST, "only {} files were found", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        match (check(case), known.get(&case.name)) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Err(e), None) => failures.push(format!("{}: {e}", case.name)),
            (Ok(()), Some(_)) => {
                failures.push(format!("{}: passes; take it out of known-failing.txt", case.name));
            }
        }
    }
    for name in known.keys().filter(|n| !cases.iter().any(|c| c.name == **n)) {
        failures.push(format!("{name}: in known-failing.txt, but not in any manifest"));
    }
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn known_failing() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(testdata("known-failing.txt")).unwrap();
    text.lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .map(|l| l.split_once(": ").unwrap_or_else(|| panic!("known-failing.txt: no reason: {l}")))
        .map(|(file, reason)| (file.to_owned(), reason.to_owned()))
        .collect()
}

/// One file of a manifest.
pub struct Case {
    /// `folder/file`.
    pub name: String,
    pub path: PathBuf,
    pub manifest: Value,
}

/// Every file of every manifest below testdata/.
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for folder in std::fs::read_dir(testdata("")).unwrap() {
        let folder = folder.unwrap();
        let Ok(text) = std::fs::read_to_string(folder.path().join("MANIFEST.json")) else { continue };
        let manifest: Value = serde_json::from_str(&text).unwrap();
        for file in manifest["files"].as_array().unwrap() {
            let name = file["file"].as_str().unwrap();
            out.push(Case {
                name: format!("{}/{name}", folder.file_name().to_string_lossy()),
                path: folder.path().join(name),
                manifest: file.clone(),
            });
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

impl Case {
    pub fn file(&self) -> &str {
        self.manifest["file"].as_str().unwrap()
    }

    pub fn is_ok(&self) -> bool {
        self.manifest["expect"] == "ok"
    }

    /// The passwords that the manifest gives, for the store and for each key.
    pub fn passwords(&self) -> Passwords {
        let store = self.manifest["store_password"].as_str().map(str::to_owned);
        let mut keys = Vec::new();
        for entry in self.entries() {
            if let Some(password) = entry["key_password"].as_str().filter(|p| Some(*p) != store.as_deref()) {
                keys.push((label(entry), password.to_owned()));
            }
        }
        if let Some(password) = self.manifest["content_password"].as_str() {
            keys.push((None, password.to_owned()));
        }
        Passwords { store, keys }
    }

    fn entries(&self) -> &[Value] {
        self.manifest["entries"].as_array().map_or(&[], Vec::as_slice)
    }

    fn load(&self, world: &World, secrets: &dyn Secrets) -> formats::Result<formats::jobs::Loaded> {
        world.load(&Source::open(&self.path)?, secrets)
    }

    fn load_ok(&self) -> Store {
        self.load(&World::new(), &self.passwords()).unwrap().store
    }

    /// Reads and compares with the manifest.
    fn check(&self) -> Result<(), String> {
        let bytes = std::fs::read(&self.path).map_err(|e| e.to_string())?;
        if self.manifest["file_sha256"] != sha256(&bytes) {
            return Err("the file isn't the one that the manifest describes".to_owned());
        }
        let (world, secrets) = (World::new(), self.passwords());
        let loaded = self.load(&world, &secrets);
        // What only opening a key brings to light names the entry; whoever opens it adds the file.
        let opened = |l: &formats::jobs::Loaded| {
            seen(&l.store, &world.ctx(&secrets)).map_err(|e| e.in_file(&self.path))
        };
        let outcome = loaded.and_then(|l| Ok((opened(&l)?, l)));
        match (outcome, self.is_ok()) {
            (Err(e), true) => Err(format!("{:?}: {e}", e.kind())),
            // One entry of several may be what is wrong.
            (Ok((_, loaded)), false) => match loaded.store.defects.first() {
                Some(defect) if self.manifest["error"] == defect.kind().name() => Ok(()),
                Some(defect) => Err(format!("{:?}: {defect}", defect.kind())),
                None => Err(format!("reads, but should be {}", self.manifest["expect"])),
            },
            (Err(e), false) => self.check_error(&e),
            (Ok((seen, loaded)), true) => {
                self.check_format(loaded.format)?;
                self.check_store(&loaded.store)?;
                self.compare(seen, &loaded.store)
            }
        }
    }

    fn check_format(&self, format: &dyn Format) -> Result<(), String> {
        let expected = match self.manifest["format"].as_str().unwrap() {
            "JKS" | "JKS v1" => "jks",
            "JCEKS" => "jceks",
            "PKCS12" => "p12",
            "KDB" => "kdb",
            other => panic!("{}: which format is {other}?", self.name),
        };
        if format.name() == expected { Ok(()) } else { Err(format!("taken for {}", format.name())) }
    }

    fn check_error(&self, error: &formats::Error) -> Result<(), String> {
        let expected = self.manifest["error"].as_str().unwrap();
        if error.kind().name() != expected {
            return Err(format!("{} instead of {expected}: {error}", error.kind().name()));
        }
        let text = error.to_string();
        if text.contains('\n') || !text.contains(self.file()) {
            return Err(format!("the message isn't one line that names the file: {text:?}"));
        }
        Ok(())
    }

    fn check_store(&self, store: &Store) -> Result<(), String> {
        if let Some(defect) = store.defects.first() {
            return Err(format!("a defect where there is none: {defect}"));
        }
        let silent = store.warnings.is_empty();
        if self.file() == "jks-duplicate-alias.jks" && silent {
            return Err("two entries became one without a warning".to_owned());
        }
        Ok(())
    }

    /// Each expected entry must be there once, and nothing besides.
    fn compare(&self, mut got: Vec<Seen>, store: &Store) -> Result<(), String> {
        let mut problems = Vec::new();
        for entry in self.entries() {
            let mut fits = got.iter().map(|g| differences(entry, g));
            match fits.by_ref().position(|d| d.is_empty()) {
                Some(at) => drop(got.swap_remove(at)),
                None => problems.push(format!("missing {} {:?}", entry["kind"], label(entry))),
            }
        }
        for extra in self.manifest["extra"].as_array().into_iter().flatten() {
            let at = got.iter().position(|g| is_extra(extra, g));
            match at {
                Some(at) => drop(got.swap_remove(at)),
                None => problems.push(format!("missing {extra}")),
            }
        }
        problems.extend(got.iter().map(|g| format!("unexpected {g:?}")));
        problems.extend(self.check_public_keys(store).err());
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    fn check_public_keys(&self, store: &Store) -> Result<(), String> {
        let expected: BTreeMap<&str, &str> = self.entries().iter().flat_map(certificates).collect();
        for entry in &store.entries {
            let chain: Vec<_> = match &entry.item {
                Item::Key { chain, .. } => chain.iter().map(|l| &l.cert).collect(),
                Item::Cert(cert) => vec![cert],
                _ => Vec::new(),
            };
            for cert in chain {
                let fields = cert_fields(cert).map_err(|e| e.to_string())?;
                let known = expected.get(sha256(cert).as_str());
                if known.is_some_and(|k| *k != sha256(fields.spki)) {
                    return Err(format!("the public key of {:?} differs", entry.label));
                }
            }
        }
        Ok(())
    }

    /// Into `format` and back. Whatever differs afterwards must be among the losses. `Ok(false)`: the
    /// format doesn't claim to hold such a store.
    fn round_trip(&self, format: &'static dyn Format) -> Result<bool, String> {
        let text = |e: formats::Error| format!("{:?}: {e}", e.kind());
        let (world, from, to) = (World::new(), self.passwords(), Passwords::one("changeit-2"));
        let source = Source::open(&self.path).map_err(text)?;
        let before = world.load(&source, &from).map_err(text)?.store;
        let carries = format.carries();
        let holds = |k: ItemKind| carries.items.contains(&k);
        // Folders don't go into memory, and NSS keeps chains apart: `nss` takes every store there.
        if !format.folder_files().is_empty() {
            return Ok(false);
        }
        if before.entries.is_empty()
            || !before.entries.iter().all(|e| holds(e.item.kind()))
            || (!carries.many && before.entries.len() != 1)
        {
            return Ok(false);
        }
        let converted = match world.convert(&source, &from, format, &to) {
            // Java can't hold a key without a certificate; keytool can't even list a JCEKS that does.
            Err(e) if e.kind() == Kind::Refused && REFUSED.contains(&(self.file(), format.name())) => {
                return Ok(false);
            }
            converted => converted.map_err(text)?,
        };
        let bytes = converted.bytes.as_ref().ok_or("nothing was written")?;
        let again = Source::memory("again", bytes.to_vec());
        let after = world.load(&again, &to).map_err(|e| format!("reading back: {}", text(e)))?;
        if after.format.name() != format.name() {
            return Err(format!("what was written is taken for {}", after.format.name()));
        }
        let mut want = seen(&before, &world.ctx(&from)).map_err(text)?;
        let mut got = seen(&after.store, &world.ctx(&to)).map_err(text)?;
        fold_labels(&mut want, format);
        fold_labels(&mut got, format);
        if format.flat() {
            let chains: Vec<Seen> = want.iter().filter(|w| w.objects.len() > 1).cloned().collect();
            unflatten(&chains, &want, &mut got);
        }
        let gone: Vec<_> = want.iter().filter(|w| count(&want, w) > count(&got, w)).collect();
        let come: Vec<_> = got.iter().filter(|g| count(&got, g) > count(&want, g)).collect();
        let lost = converted.losses.iter().any(|l| l.kind != LossKind::Note);
        let noted = !converted.losses.is_empty();
        // Labels may be made up or made unlike; that is a note. Anything else is a loss.
        let bare = |list: &[&Seen]| {
            let mut bare: Vec<_> = list.iter().map(|s| Seen { label: None, ..(*s).clone() }).collect();
            bare.sort();
            bare
        };
        let only_labels = bare(&gone) == bare(&come);
        if gone.is_empty() && come.is_empty() || lost || (only_labels && (noted || unlabelled(&gone))) {
            return Ok(true);
        }
        Err(format!("differs without a loss: gone {gone:?}, come {come:?}"))
    }
}

/// What a flat format does to `chains`: their signers come back as entries too, and a chain may be longer.
fn unflatten(chains: &[Seen], want: &[Seen], got: &mut Vec<Seen>) {
    let alone = |g: &Seen| want.iter().any(|w| w.kind == "cert" && w.objects == g.objects);
    let signer = |g: &Seen| g.kind == "cert" && chains.iter().any(|c| c.objects.contains(&g.objects[0]));
    got.retain(|g| !signer(g) || alone(g));
    for key in got.iter_mut().filter(|g| g.kind == "key") {
        let same = |w: &&Seen| w.secret == key.secret && key.objects.starts_with(&w.objects);
        if let Some(w) = want.iter().filter(|w| w.kind == "key").find(same) {
            key.objects = w.objects.clone();
        }
    }
}

/// Entries without a label get one made up where the format wants one.
fn unlabelled(gone: &[&Seen]) -> bool {
    gone.iter().all(|s| s.label.as_deref().unwrap_or("").is_empty())
}

fn count(list: &[Seen], one: &Seen) -> usize {
    list.iter().filter(|s| *s == one).count()
}

fn fold_labels(list: &mut [Seen], format: &dyn Format) {
    for seen in list {
        seen.label = match format.carries().labels {
            Labels::None => None,
            Labels::Optional | Labels::BySubject => seen.label.take(),
            Labels::Unique(fold) => seen.label.take().map(|l| fold(&l).into_owned()),
        };
    }
}

/// The label as stored; `alias` is how Java shows it.
fn label(entry: &Value) -> Option<String> {
    let stored = if entry["label"].is_null() { &entry["alias"] } else { &entry["label"] };
    stored.as_str().map(str::to_owned)
}

/// (fingerprint, fingerprint of the public key) of every certificate that an entry names.
fn certificates(entry: &Value) -> Vec<(&str, &str)> {
    let chain = entry["chain"].as_array().into_iter().flatten();
    chain
        .chain(entry.get("cert"))
        .filter_map(|c| Some((c["sha256"].as_str()?, c["spki_sha256"].as_str()?)))
        .collect()
}

fn is_extra(extra: &Value, got: &Seen) -> bool {
    extra["kind"] == got.kind
        && extra["cert"]["sha256"].as_str().is_none_or(|c| got.objects.first().is_some_and(|o| o == c))
}

/// In what an entry differs from what was read; what the manifest doesn't say can't differ.
fn differences(entry: &Value, got: &Seen) -> Vec<&'static str> {
    let mut out = Vec::new();
    let kind = match entry["kind"].as_str().unwrap() {
        "private-key" => "key",
        "trusted-cert" | "cert" => "cert",
        "secret-key" => "secret",
        // Not a key for anything that is known: Java ignores it too.
        "secret-raw" => "other",
        "crl" => "crl",
        "request" => "request",
        other => panic!("what is a {other}?"),
    };
    if kind != got.kind {
        out.push("kind");
    }
    if label(entry) != got.label {
        out.push("label");
    }
    let objects: Option<Vec<&str>> = match kind {
        "key" | "cert" => Some(certificates(entry).into_iter().map(|(c, _)| c).collect()),
        "crl" | "request" => entry["sha256"].as_str().map(|s| vec![s]),
        _ => None,
    };
    if objects.is_some_and(|o| o != got.objects) {
        out.push("certificates");
    }
    if !same_secret(entry, got.secret.as_deref()) {
        out.push("key");
    }
    out
}

fn same_secret(entry: &Value, got: Option<&str>) -> bool {
    if let Some(sha) = entry["key_pkcs8_sha256"].as_str() {
        return got == Some(sha);
    }
    if entry["kind"] != "secret-key" {
        return true;
    }
    let algorithm = entry["algorithm"].as_str().unwrap_or("?");
    let Some((name, value)) = got.and_then(|g| g.split_once(':')) else { return false };
    let text = entry["secret_utf8"].as_str().map(|t| hex(t.as_bytes()));
    let expected = entry["secret_hex"].as_str().map(str::to_lowercase).or(text);
    let bits = entry["secret_bits"].as_u64();
    name == algorithm
        && expected.is_none_or(|e| e == value)
        && bits.is_none_or(|b| value.len() as u64 * 4 == b)
}
