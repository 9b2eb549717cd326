//! How long the program takes beside others, on this machine and in one run: `cargo bench --bench peers`.
//!
//! Figures are CPU time (user and system) of whole processes, since starting counts too, and ratios to
//! ours. Peers run in turns with us, so that a busy moment hits all of them. Seconds of two machines or two
//! days say nothing; ratios of one run do. Peers: `keytool`, `openssl`, and the crates `pem`, `jks` and
//! `p12-keystore`, which this program runs as children of itself. A peer that isn't installed is left out.
//!
//! `cargo bench --bench peers -- 1000` sets the size of the larger bundle (10000).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PASSWORD: &str = "changeit";
const OURS: &str = "keyferry";
/// Runs of each command; the median counts.
const RUNS: usize = 5;
/// Short commands are run so often that the clock's ticks don't matter.
const ENOUGH_TICKS: u64 = 10;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().is_some_and(|a| a == "crate") {
        return crates::run(&args[1..]);
    }
    let large = args.first().and_then(|a| a.parse().ok()).unwrap_or(10_000);
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    for (name, peers) in workloads(dir.path(), large) {
        compare(&name, &peers, &mut number);
    }
}

/// One command of one peer. `%` in an argument stands for a number that is new in each run.
struct Peer {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
}

impl Peer {
    fn new(name: &'static str, program: impl Into<PathBuf>, args: &[&str]) -> Self {
        Peer { name, program: program.into(), args: args.iter().map(|a| (*a).to_owned()).collect() }
    }

    /// The program that is built here.
    fn ours(args: &[&str]) -> Self {
        Peer::new(OURS, env!("CARGO_BIN_EXE_keyferry"), args)
    }

    /// A crate, in a process of its own.
    fn crates(args: &[&str]) -> Self {
        let mut all = vec!["crate"];
        all.extend(args);
        Peer::new("Rust crates", std::env::current_exe().unwrap(), &all)
    }

    fn run(&self, n: u64) -> bool {
        let args = self.args.iter().map(|a| a.replace('%', &n.to_string()));
        let mut command = Command::new(&self.program);
        command.args(args).env("KEYFERRY_PASSWORD", PASSWORD).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    }
}

fn workloads(dir: &Path, large: usize) -> Vec<(String, Vec<Peer>)> {
    let at = |name: &str| dir.join(name).display().to_string();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/demo");
    let small = root.join("ca-bundle.pem").display().to_string();
    let alice = root.join("alice.p12").display().to_string();
    let bundle = at("large.pem");
    std::fs::write(&bundle, many_certificates(&small, large)).unwrap();
    let mut out = vec![(
        "start".to_owned(),
        vec![
            Peer::ours(&["--version"]),
            Peer::new("openssl", "openssl", &["version"]),
            Peer::new("java", "java", &["-version"]),
        ],
    )];
    for (count, pem) in [(142, &small), (large, &bundle)] {
        let (jks, p12) = (at(&format!("{count}.jks")), at(&format!("{count}.p12")));
        for store in [&jks, &p12] {
            assert!(Peer::ours(&["convert", pem, store]).run(0), "{pem} → {store}");
        }
        let (new_jks, new_p12, new_pem) = (at("%.jks"), at("%.p12"), at("%.pem"));
        out.push((
            format!("PEM → JKS, {count}"),
            vec![Peer::ours(&["convert", pem, &new_jks]), Peer::crates(&["pem-jks", pem, &new_jks])],
        ));
        let export =
            ["pkcs12", "-export", "-nokeys", "-passout", "pass:changeit", "-in", pem, "-out", &new_p12];
        out.push((
            format!("PEM → PKCS#12, {count}"),
            vec![
                Peer::ours(&["convert", pem, &new_p12]),
                Peer::crates(&["pem-p12", pem, &new_p12]),
                Peer::new("openssl", "openssl", &export),
            ],
        ));
        let print = ["pkcs12", "-nokeys", "-passin", "pass:changeit", "-in", &p12, "-out", &new_pem];
        out.push((
            format!("PKCS#12 → PEM, {count}"),
            vec![
                Peer::ours(&["convert", &p12, &new_pem]),
                Peer::crates(&["p12-pem", &p12, &new_pem]),
                Peer::new("openssl", "openssl", &print),
            ],
        ));
        for (kind, store) in [("JKS", &jks), ("PKCS#12", &p12)] {
            let list = ["-list", "-storepass", PASSWORD, "-keystore", store];
            let pattern = ["list", "--dn", "O=*", store];
            out.push((
                format!("list {kind}, {count}"),
                vec![Peer::ours(&pattern), Peer::new("keytool", "keytool", &list)],
            ));
        }
    }
    let (source, target) = (at("alice.p12"), at("%-key.jks"));
    let demo = Command::new(env!("CARGO_BIN_EXE_keyferry"))
        .args(["convert", &alice, &source, "--to-password", "env:TO"])
        .env("KEYFERRY_PASSWORD", "demo-only")
        .env("TO", PASSWORD)
        .status();
    assert!(demo.unwrap().success());
    let import = [
        "-importkeystore",
        "-noprompt",
        "-srckeystore",
        &source,
        "-srcstorepass",
        PASSWORD,
        "-destkeystore",
        &target,
        "-deststorepass",
        PASSWORD,
        "-deststoretype",
        "JKS",
    ];
    out.push((
        "one key, PKCS#12 → JKS".to_owned(),
        vec![Peer::ours(&["convert", &source, &target]), Peer::new("keytool", "keytool", &import)],
    ));
    out
}

/// Runs the peers in turns and prints the median of each, with its ratio to ours.
fn compare(name: &str, peers: &[Peer], number: &mut u64) {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for _ in 0..RUNS {
        for (peer, times) in peers.iter().zip(&mut times) {
            times.extend(measure(peer, number));
        }
    }
    println!("\n{name}");
    let median = |list: &mut Vec<f64>| {
        list.sort_by(f64::total_cmp);
        list.get(list.len() / 2).copied()
    };
    let ours = median(&mut times[0]).expect("our own program ran");
    for (peer, times) in peers.iter().zip(&mut times) {
        match median(times) {
            Some(ms) => println!("  {:12} {ms:10.2} ms {:9.2} ×", peer.name, ms / ours),
            None => println!("  {:12} not there, or failed", peer.name),
        }
    }
}

/// Milliseconds of CPU for one run; `None` when it fails.
fn measure(peer: &Peer, n: &mut u64) -> Option<f64> {
    let begun = child_ticks();
    let mut runs = 0;
    while child_ticks() - begun < ENOUGH_TICKS && runs < 50 {
        *n += 1;
        runs += 1;
        if !peer.run(*n) {
            return None;
        }
    }
    // A tick is 10 ms on Linux (USER_HZ is 100 everywhere that matters).
    Some((child_ticks() - begun) as f64 * 10.0 / f64::from(runs))
}

/// CPU time of ended children so far, in ticks: fields 16 and 17 of /proc/self/stat.
fn child_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    fields[13..15].iter().map(|f| f.parse::<u64>().unwrap()).sum()
}

/// `count` certificates that differ in their serial numbers: nobody here checks their signatures.
fn many_certificates(bundle: &str, count: usize) -> String {
    let originals = pem::parse_many(std::fs::read(bundle).unwrap()).unwrap();
    let mut out = String::new();
    for n in 0..count {
        let mut der = originals[n % originals.len()].contents().to_vec();
        let serial = formats::asn1::cert_fields(&der).unwrap().serial.to_vec();
        let at = der.windows(serial.len()).position(|w| w == serial).unwrap();
        let digits = u32::try_from(n).unwrap().to_be_bytes();
        let end = at + serial.len();
        let from = digits.len() - digits.len().min(serial.len() - 1);
        der[end - (digits.len() - from)..end].copy_from_slice(&digits[from..]);
        out.push_str(&pem::encode(&pem::Pem::new("CERTIFICATE", der)).replace("\r\n", "\n"));
    }
    out
}

/// The same work with the crates that are there.
mod crates {
    use super::PASSWORD;
    use std::fs::{File, read, write};

    pub fn run(args: &[String]) {
        let (from, to) = (&args[1], &args[2]);
        match args[0].as_str() {
            "pem-jks" => pem_to_jks(from, to),
            "pem-p12" => pem_to_p12(from, to),
            "p12-pem" => p12_to_pem(from, to),
            other => panic!("{other}?"),
        }
    }

    fn pem_to_jks(from: &str, to: &str) {
        let mut store = jks::KeyStore::new();
        for (n, block) in pem::parse_many(read(from).unwrap()).unwrap().into_iter().enumerate() {
            let certificate =
                jks::Certificate { cert_type: "X509".to_owned(), content: block.into_contents() };
            let entry =
                jks::TrustedCertificateEntry { creation_time: std::time::SystemTime::now(), certificate };
            store.set_trusted_certificate_entry(&format!("ca {n}"), entry).unwrap();
        }
        store.store(File::create(to).unwrap(), PASSWORD.as_bytes()).unwrap();
    }

    fn pem_to_p12(from: &str, to: &str) {
        let mut store = p12_keystore::KeyStore::new();
        for (n, block) in pem::parse_many(read(from).unwrap()).unwrap().iter().enumerate() {
            let cert = p12_keystore::Certificate::from_der(block.contents()).unwrap();
            store.add_entry(&format!("ca {n}"), p12_keystore::KeyStoreEntry::Certificate(cert));
        }
        write(to, store.writer(PASSWORD).write().unwrap()).unwrap();
    }

    fn p12_to_pem(from: &str, to: &str) {
        let policy = p12_keystore::Pkcs12ImportPolicy::Relaxed;
        let store = p12_keystore::KeyStore::from_pkcs12(&read(from).unwrap(), PASSWORD, policy).unwrap();
        let mut out = String::new();
        for (_, entry) in store.entries() {
            if let p12_keystore::KeyStoreEntry::Certificate(cert) = entry {
                out.push_str(&pem::encode(&pem::Pem::new("CERTIFICATE", cert.as_der())));
            }
        }
        write(to, out).unwrap();
    }
}
