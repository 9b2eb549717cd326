//! Broken and malicious input: the class of the error, where it points, and what it costs to find out.

use crate::golden::{Case, cases};
use crate::support::{NOW_MS, Ran, World, keyferry, must, nobody, run, scratch, testdata};
use formats::model::Entry;
use formats::place::Source;
use formats::{Budget, Kind, OnePassword, Secrets, Session, jobs};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Address space for the program when it reads hostile files: 256 MiB.
const MEMORY: u64 = 256 << 20;

#[test]
fn malformed_files_are_located() {
    let mut located = 0;
    for case in cases().iter().filter(|c| c.manifest["error"] == "malformed") {
        let world = World::new();
        let source = Source::open(&case.path).unwrap();
        let size = std::fs::metadata(&case.path).unwrap().len();
        let error = match world.load(&source, &case.passwords()) {
            // What has no bytes has no format either.
            Err(_) if size == 0 => continue,
            Err(error) => error,
            // One record is wrong, and the others are there.
            Ok(loaded) => {
                let offset = loaded.store.defects[0].place().offset;
                assert!(offset.is_some_and(|o| o > 0 && o < size), "{}: {offset:?}", case.name);
                continue;
            }
        };
        assert!(error.place().path.as_ref().is_some_and(|p| p == &case.path), "{}: {error}", case.name);
        assert!(error.place().format.is_some(), "{}: {error}", case.name);
        let offset = error.place().offset.unwrap_or_else(|| panic!("{}: no byte: {error}", case.name));
        assert!(offset <= size, "{}: byte {offset} of {size}", case.name);
        located += 1;
    }
    assert!(located >= 4, "only {located} malformed files were met");
    // The entry at fault has a name by then.
    for name in ["bad-jks-cert-length.jks", "bad-jks-chain-count.jks"] {
        let source = Source::open(&testdata("java").join(name)).unwrap();
        let error = World::new().load(&source, &OnePassword::new("changeit")).unwrap_err();
        assert_eq!(error.place().label.as_deref(), Some("x"), "{name}: {error}");
    }
}

#[test]
fn a_store_that_is_written_to_while_it_is_read_is_busy() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    let whole = std::fs::read(testdata("p12/ossl-default.p12")).unwrap();
    must(Command::new("mkfifo").arg(at("password")));
    for (status, command) in [
        (6, &["list", "s.p12"][..]),
        (6, &["convert", "s.p12", "jks:copy.jks", "--to-password", "env:NEW"]),
        (8, &["list", "-r", "."]),
    ] {
        std::fs::write(at("s.p12"), &whole).unwrap();
        let mut program = keyferry();
        program.current_dir(dir.path()).env("NEW", "changeit").args(command);
        let mut child = program.args(["--password", "file:password"]).stderr(Stdio::piped()).spawn().unwrap();
        // It waits for its password, and has the store open by then.
        let mut password = std::fs::File::options().write(true).open(at("password")).unwrap();
        let descriptors = format!("/proc/{}/fd", child.id());
        let is_store = |fd: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_link(fd.unwrap().path()).is_ok_and(|p| p.ends_with("s.p12"))
        };
        while !std::fs::read_dir(&descriptors).is_ok_and(|mut all| all.any(is_store)) {
            assert!(child.try_wait().unwrap().is_none(), "{command:?} did not open the store");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::fs::write(at("s.p12"), &whole[..whole.len() / 2]).unwrap();
        // It may have noticed already, and not ask any more.
        let _ = password.write_all(b"changeit");
        drop(password);
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{command:?}: {err}");
        assert!(err.contains("s.p12") && err.contains("written to while it was read"), "{command:?}: {err}");
        assert!(!at("copy.jks").exists());
    }
}

#[test]
fn a_hostile_iteration_count_costs_nothing() {
    for name in ["bad-iter-mac.p12", "bad-iter-pbkdf2.p12"] {
        let (world, secrets) = (World::new(), OnePassword::new("changeit"));
        let source = Source::open(&testdata("p12").join(name)).unwrap();
        let begun = Instant::now();
        let error = world.load(&source, &secrets).and_then(|l| open_all(&l, &world, &secrets)).unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge, "{name}: {error}");
        // Its honest MAC may be worked off, the two thousand million rounds may not.
        assert!(world.session.budget.spent() <= 10_000, "{name}: {}", world.session.budget.spent());
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}: {:?}", begun.elapsed());
    }
}

#[test]
fn the_budget_bounds_a_whole_store() {
    let mut world = World::new();
    world.session.budget = Budget::new(Budget::PER_PARAMETER, 25_000);
    let secrets = OnePassword::new("changeit");
    // 10,000 rounds each for the MAC, the certificates and two keys.
    let source = Source::open(&testdata("p12/jdk17-default.p12")).unwrap();
    let loaded = world.load(&source, &secrets).unwrap();
    let error = open_all(&loaded, &world, &secrets).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    assert!(world.session.budget.spent() <= 25_000);
}

#[test]
fn keys_that_nobody_asks_for_stay_sealed() {
    let (world, secrets) = (World::new(), OnePassword::new("changeit"));
    let source = Source::open(&testdata("p12/jdk17-default.p12")).unwrap();
    let loaded = world.load(&source, &secrets).unwrap();
    let listing = world.session.budget.spent();
    assert!((10_000..=20_000).contains(&listing), "listing took {listing} rounds");
    open_all(&loaded, &world, &secrets).unwrap();
    assert_eq!(world.session.budget.spent() - listing, 20_000, "two keys of 10,000 rounds");
}

#[test]
fn hostile_files_fit_into_little_memory() {
    let dir = scratch();
    let mut seen = 0;
    for (name, bytes) in crafted() {
        let path = dir.path().join(&name);
        std::fs::write(&path, bytes).unwrap();
        let ran = list_within(MEMORY, &path);
        assert!(matches!(ran.status, 3 | 4), "{name}: status {}\n{}", ran.status, ran.err);
        assert!(ran.err.contains(&name), "{name} is not named: {}", ran.err);
        seen += 1;
    }
    for case in cases().iter().filter(|c| !c.manifest["error"].is_null()) {
        let ran = list_within(MEMORY, &case.path);
        // A key that can't be opened is no obstacle to a list of certificates.
        let lazy = case.file() == "bad-iter-pbkdf2.p12" && ran.status == 0;
        assert!(lazy || matches!(ran.status, 3 | 4), "{}: {}\n{}", case.name, ran.status, ran.err);
        seen += 1;
    }
    assert!(seen > 20, "only {seen} files were tried");
    // The bound isn't what stops them: a good store is read within it.
    let good = list_within(MEMORY, &testdata("java/jks-basic.jks"));
    assert_eq!(good.status, 0, "{}", good.err);
}

#[test]
fn mutated_files_never_panic() {
    let seed = std::env::var("KEYFERRY_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let each: usize = std::env::var("KEYFERRY_TEST_MUTANTS").ok().and_then(|s| s.parse().ok()).unwrap_or(40);
    let mut mutants = 0;
    let mut failures = Vec::new();
    // A panic is caught and reported with its file; the hook would only repeat it.
    std::panic::set_hook(Box::new(|_| {}));
    for case in cases() {
        let original = std::fs::read(&case.path).unwrap();
        let mut random = Random(seed ^ (original.len() as u64 * 0x9e37_79b9));
        let mut session = small_session();
        for n in 0..each {
            let bytes = mutate(&original, &mut random);
            let begun = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| digest(&case, bytes, &mut session)));
            if outcome.is_err() {
                failures.push(format!("{}: mutant {n} of seed {seed} panics", case.name));
                session = small_session();
            }
            if begun.elapsed() > Duration::from_secs(5) {
                failures.push(format!(
                    "{}: mutant {n} of seed {seed} takes {:?}",
                    case.name,
                    begun.elapsed()
                ));
            }
            mutants += 1;
        }
    }
    drop(std::panic::take_hook());
    assert!(failures.is_empty(), "{} of {mutants}:\n{}", failures.len(), failures.join("\n"));
    assert!(mutants >= 120 * each, "only {mutants} mutants were tried");
}

/// Reads with and without password, opens every key, makes every row.
fn digest(case: &Case, bytes: Vec<u8>, session: &mut Session) {
    let source = Source::memory(case.file(), bytes);
    let passwords = case.passwords();
    for secrets in [&passwords as &dyn Secrets, nobody()] {
        // A new budget for each, but the keys derived so far: most mutants share their salts.
        session.budget = small_session().budget;
        let options = formats::Options::default();
        let ctx = formats::Ctx { secrets, options: &options, session };
        let input = jobs::Input { source: &source, format: None, ctx };
        if let Ok(loaded) = jobs::load(&input) {
            for entry in &loaded.store.entries {
                let _ = entry.secret().map(|s| s.open(&ctx).is_ok());
                let row = jobs::list::row("mutant", loaded.format.name(), entry);
                let json = serde_json::to_string(&row).unwrap();
                assert!(!json.contains('\n'));
            }
        }
    }
}

/// Every database of testdata/ with one of its files changed, read like the files.
#[test]
fn mutated_databases_never_panic() {
    let folders: Vec<_> = std::fs::read_dir(testdata("nss")).unwrap().map(|e| e.unwrap().path()).collect();
    let mut random = Random(7);
    let mut session = small_session();
    // The rounds that NSS writes would use the budget up, and with it the reading.
    session.budget = Budget::new(20_000, 2_000_000);
    let mut mutants = 0;
    for folder in folders.iter().filter(|f| f.is_dir()) {
        for name in ["cert9.db", "key4.db", "cert8.db", "key3.db"] {
            let Ok(original) = std::fs::read(folder.join(name)) else { continue };
            for n in 0..12 {
                let dir = scratch();
                for item in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
                    if item.is_file() {
                        std::fs::copy(&item, dir.path().join(item.file_name().unwrap())).unwrap();
                    }
                }
                std::fs::write(dir.path().join(name), scattered(&original, &mut random)).unwrap();
                let begun = Instant::now();
                let read = catch_unwind(AssertUnwindSafe(|| read_database(dir.path(), &mut session)));
                assert!(read.is_ok(), "{}: mutant {n} of {name} panics", folder.display());
                let took = begun.elapsed();
                assert!(
                    took < Duration::from_secs(5),
                    "{}: mutant {n} of {name}: {took:?}",
                    folder.display()
                );
                mutants += 1;
            }
        }
    }
    assert!(mutants > 800, "only {mutants}");
}

/// Changes anywhere, not only at the beginning: what matters in a database lies on its pages.
fn scattered(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = mutate(original, random);
    for _ in 0..random.below(20) {
        let at = random.below(out.len());
        if let Some(byte) = out.get_mut(at) {
            *byte ^= 1 << random.below(8);
        }
    }
    out
}

fn read_database(folder: &std::path::Path, session: &mut Session) {
    for secrets in [&OnePassword::new("Keystore-1") as &dyn Secrets, nobody()] {
        session.budget = Budget::new(20_000, 2_000_000);
        let options = formats::Options::default();
        let ctx = formats::Ctx { secrets, options: &options, session };
        let source = Source::open(folder).unwrap();
        let Ok(loaded) = jobs::load(&jobs::Input { source: &source, format: formats::by_name("nss"), ctx })
        else {
            continue;
        };
        for entry in &loaded.store.entries {
            let _ = entry.secret().map(|s| s.open(&ctx).is_ok());
            serde_json::to_string(&jobs::list::row("mutant", "nss", entry)).unwrap();
        }
    }
}

#[test]
fn hostile_databases_fit_into_little_memory() {
    use std::os::unix::fs::symlink;
    let dir = scratch();
    let database = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        for file in ["cert9.db", "key4.db"] {
            std::fs::copy(testdata("nss/nopw-keys").join(file), folder.join(file)).unwrap();
        }
        folder
    };
    let sql = |folder: &std::path::Path, file: &str, text: &str| {
        rusqlite::Connection::open(folder.join(file)).unwrap().execute_batch(text).unwrap();
    };
    let listed = |folder: &std::path::Path| {
        let ran = run(capped(MEMORY, folder).env("KEYFERRY_PASSWORD", ""));
        assert!([0, 3, 4, 8].contains(&ran.status), "{}: {} {}", folder.display(), ran.status, ran.err);
        ran
    };
    // The bound isn't what stops them.
    assert_eq!(listed(&database("good")).status, 0);
    // A pipe, a device, a link to itself in the place of a file.
    for (name, make) in [
        (
            "pipe",
            &(|p: &std::path::Path| drop(must(Command::new("mkfifo").arg(p)))) as &dyn Fn(&std::path::Path),
        ),
        ("zero", &|p| symlink("/dev/zero", p).unwrap()),
        ("itself", &|p| symlink(p, p).unwrap()),
    ] {
        for file in ["cert9.db", "key4.db"] {
            let folder = database(&format!("{name}-{file}"));
            std::fs::remove_file(folder.join(file)).unwrap();
            make(&folder.join(file));
            let ran = listed(&folder);
            assert!(ran.err.contains(file), "{name}: {}", ran.err);
        }
    }
    // A header that speaks of four thousand million pages, and a row of a thousand million bytes.
    for (name, file, at, bytes) in [
        ("pages", "cert9.db", 28, [0xff; 4]),
        ("pages-of-keys", "key4.db", 28, [0xff; 4]),
        ("free", "cert9.db", 32, [0, 0, 0, 2]),
    ] {
        let folder = database(name);
        let mut content = std::fs::read(folder.join(file)).unwrap();
        content[at..at + 4].copy_from_slice(&bytes);
        std::fs::write(folder.join(file), content).unwrap();
        listed(&folder);
    }
    // Views, triggers and computed columns in the place of tables don't run.
    let folder = database("view");
    sql(&folder, "cert9.db", "ALTER TABLE nssPublic RENAME TO real;
        CREATE VIEW nssPublic AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, x'00000001' AS a0 FROM n;");
    assert_eq!(listed(&folder).status, 3);
    let folder = database("computed");
    sql(&folder, "cert9.db", "ALTER TABLE nssPublic ADD COLUMN a12345 AS (zeroblob(900000000));");
    assert_eq!(listed(&folder).status, 0);
    // Records that ask for work: with the empty password they prove nothing, so the first bound holds.
    let folder = database("work");
    let huge = "30820076306206092a864886f70d01050e3055303406092a864886f70d01050c3027042020202020202020202020202020202020202020202020202020202020202020202020020200";
    sql(&folder, "key4.db", &format!("UPDATE metaData SET item1 = x'{huge}' WHERE id LIKE 'sig_cert%'"));
    listed(&folder);
    shared_pages(&database("shared"), &listed);
}

/// Many rows whose values lie on the same pages: little on the disk, much in memory.
fn shared_pages(folder: &std::path::Path, listed: &dyn Fn(&std::path::Path) -> Ran) {
    let path = folder.join("cert9.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    // The rows of one leaf page, each with a value of a megabyte.
    connection
        .execute_batch(
            "DROP INDEX issuer; DROP INDEX subject; DROP INDEX label; DROP INDEX ckaid; VACUUM;
             INSERT INTO nssPublic (id, a0, a1, a11) VALUES (500, x'00000001', x'01', randomblob(1000000));
             INSERT INTO nssPublic (id, a0, a1, a11) VALUES (501, x'00000001', x'01', randomblob(1000000));",
        )
        .unwrap();
    drop(connection);
    // The last four bytes of a cell name its first overflow page: both get the same one.
    let mut content = std::fs::read(&path).unwrap();
    let before = listed(folder);
    let pages: Vec<usize> = (0..content.len() / 4096).collect();
    let mut cells = Vec::new();
    for page in pages.into_iter().filter(|p| content[p * 4096] == 0x0d) {
        let at = page * 4096;
        let count = usize::from(u16::from_be_bytes([content[at + 3], content[at + 4]]));
        for cell in 0..count {
            let slot = at + 8 + 2 * cell;
            let start = at + usize::from(u16::from_be_bytes([content[slot], content[slot + 1]]));
            // A payload of a million bytes has a length of three bytes, 0xbd 0x84 …
            if content[start] & 0x80 != 0 && content[start + 1] & 0x80 != 0 {
                cells.push((start, slot));
            }
        }
    }
    assert!(cells.len() >= 2, "{} big cells", cells.len());
    // Every slot of its page points to the first big cell.
    let (start, slot) = cells[0];
    let page = slot / 4096 * 4096;
    let offset = u16::try_from(start - page).unwrap().to_be_bytes();
    let room = (start - page - 8) / 2;
    let count = room.min(1500);
    for n in 0..count {
        content[page + 8 + 2 * n..page + 10 + 2 * n].copy_from_slice(&offset);
    }
    content[page + 3..page + 5].copy_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
    std::fs::write(&path, content).unwrap();
    let ran = listed(folder);
    assert_ne!(ran.err, before.err);
    assert!([3, 8].contains(&ran.status) && ran.err.contains("damaged"), "{} {}", ran.status, ran.err);
}

fn small_session() -> Session {
    let mut session = Session::new(NOW_MS);
    session.budget = Budget::new(200_000, 400_000);
    session
}

fn open_all(loaded: &jobs::Loaded, world: &World, secrets: &dyn Secrets) -> formats::Result<()> {
    let ctx = world.ctx(secrets);
    loaded.store.entries.iter().filter_map(Entry::secret).try_for_each(|s| s.open(&ctx).map(drop))
}

/// `keyferry list` with so much address space and ten seconds of CPU.
fn list_within(memory: u64, path: &std::path::Path) -> Ran {
    run(&mut capped(memory, path))
}

fn capped(memory: u64, path: &std::path::Path) -> Command {
    let program = keyferry();
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--as={memory}"))
        .arg("--cpu=10")
        .arg("--core=0")
        .arg(program.get_program())
        .arg("list")
        .arg(path)
        .env_clear()
        .env("KEYFERRY_PASSWORD", "changeit")
        .stdin(std::process::Stdio::null());
    command
}

/// Files that lie about lengths, counts and depth.
fn crafted() -> Vec<(String, Vec<u8>)> {
    let word = |n: u32| n.to_be_bytes();
    let head = |magic: [u8; 4], count: u32| [magic, word(2), word(count)].concat();
    let (jks, jceks) = ([0xfe, 0xed, 0xfe, 0xed], [0xce; 4]);
    let label = [&[0u8, 1][..], b"x", &[0; 8]].concat();
    let mut out = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| out.push((name.to_owned(), bytes));
    for (name, magic) in [("jks", jks), ("jceks", jceks)] {
        add(&format!("count.{name}"), head(magic, u32::MAX));
        add(&format!("magic.{name}"), magic.to_vec());
        let key = [&head(magic, 1), &word(1)[..], &label, &word(u32::MAX), b"abc"].concat();
        add(&format!("key-length.{name}"), key);
        let alias = [&head(magic, 1), &word(2)[..], &[0xff, 0xff], b"short"].concat();
        add(&format!("alias-length.{name}"), alias);
    }
    // A serialized object that claims an array of two thousand million bytes, and one that refers to
    // itself.
    let object = |tail: &[u8]| [&head(jceks, 1), &word(3)[..], &label, b"\xac\xed\0\x05", tail].concat();
    add(
        "array.jceks",
        object(b"\x75\x72\0\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\0\0\x78\x70\x7f\xff\xff\xff"),
    );
    add("itself.jceks", object(&[0x73, 0x71, 0, 0x7e, 0, 0].repeat(1000)));
    add("deep.p12", [&[0x30, 0x80, 0x02, 0x01, 0x03][..], &[0x30, 0x80].repeat(1 << 20)].concat());
    add("deep.der", [0x30, 0x80].repeat(1 << 20));
    add("deep-strings.p12", {
        let oid = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80";
        [&[0x30, 0x80, 0x02, 0x01, 0x03][..], oid, &[0x24, 0x80].repeat(1 << 20)].concat()
    });
    add("length.der", b"\x30\x84\xff\xff\xff\xff\x30\x84\xff\xff\xff\xf0".to_vec());
    add("length.p12", b"\x30\x84\x7f\xff\xff\xff\x02\x01\x03\x30\x84\x7f\xff\xff\xf0".to_vec());
    add("unfinished.pem", b"-----BEGIN CERTIFICATE-----\n".repeat(100_000));
    add("dashes.pem", [b"-----BEGIN ".to_vec(), vec![b'-'; 4 << 20]].concat());
    add("no-end.pem", [b"-----BEGIN CERTIFICATE-----\n".to_vec(), b"AAAA\n".repeat(1 << 18)].concat());
    add("empty.pem", Vec::new());
    add("zeros.p12", vec![0; 1 << 16]);
    out
}

/// A generator of the test's own: small, seeded, the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }
}

/// One to three changes of the kinds that break parsers.
fn mutate(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = original.to_vec();
    for _ in 0..=random.below(3) {
        // Early bytes are headers and counts: hit them more often.
        let end = if random.below(2) == 0 { out.len().min(200) } else { out.len() };
        let at = random.below(end);
        match random.below(7) {
            0 => out.truncate(at),
            1 if at < out.len() => out[at] ^= 1 << random.below(8),
            2 if at < out.len() => out[at] = random.next() as u8,
            3 => {
                let extreme = [0, 1, 0x7f, 0x80, 0x84, 0xff][random.below(6)];
                let span = at..out.len().min(at + 1 + random.below(4));
                out[span].fill(extreme);
            }
            4 => drop(out.drain(at..out.len().min(at + 1 + random.below(16)))),
            5 => {
                let piece = out[at..out.len().min(at + 1 + random.below(64))].to_vec();
                let to = random.below(out.len());
                out.splice(to..to, piece);
            }
            _ => out.extend((0..random.below(32)).map(|_| random.next() as u8)),
        }
    }
    out
}

#[test]
fn the_program_says_which_file_which_entry_and_which_byte() {
    let path = testdata("java/bad-jks-cert-length.jks");
    let ran = run(keyferry().arg("list").arg(&path).env("KEYFERRY_PASSWORD", "changeit"));
    assert_eq!(ran.status, 3);
    for part in ["bad-jks-cert-length.jks: jks: entry \"x\": ", " at byte 0x"] {
        assert!(ran.err.contains(part), "{part:?} is not in {}", ran.err);
    }
}

#[test]
fn one_bad_store_of_many_does_not_stop_the_others() {
    let (good, bad) = (testdata("java/jks-basic.jks"), testdata("java/bad-jks-truncated.jks"));
    let mut command = keyferry();
    command.args(["list", "--jsonl"]).arg(&bad).arg(&good).env("KEYFERRY_PASSWORD", "changeit");
    let ran = run(&mut command);
    assert_eq!(ran.status, 8, "{}", ran.err);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.err.contains("bad-jks-truncated.jks"), "{}", ran.err);
    // The same store alone is no longer "incomplete" but unreadable.
    let alone = run(keyferry().args(["list"]).arg(&bad).env("KEYFERRY_PASSWORD", "changeit"));
    assert_eq!(alone.status, 3, "{}", alone.err);
    must(keyferry().args(["list"]).arg(&good).env("KEYFERRY_PASSWORD", "changeit"));
}

#[test]
fn a_wrong_password_is_not_read_as_damage_by_the_program() {
    for name in ["java/jks-basic.jks", "java/jceks-basic.jceks", "p12/ossl-default.p12"] {
        let ran = run(keyferry().arg("list").arg(testdata(name)).env("KEYFERRY_PASSWORD", "wrong-one"));
        assert_eq!(ran.status, 4, "{name}: {}", ran.err);
        assert!(!ran.err.contains("wrong-one"), "a password is printed: {}", ran.err);
    }
}
