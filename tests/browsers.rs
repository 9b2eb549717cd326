//! What NSS databases are for: browsers that trust a server through a CA that we put into them, and refuse it
//! without; servers and clients of NSS with keys that we put there.

use crate::support::{Ran, keyferry, must, run, scratch};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PASSWORD: &str = "Keystore-4";
/// A browser on a busy machine takes its time; one that does nothing in this has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// A CA, and what it has signed: a server called localhost, and a client.
struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Authority { dir: scratch() };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = [
            "req",
            "-x509",
            "-subj",
            "/CN=Loopback CA",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "50",
        ];
        let is_ca = ["-addext", "basicConstraints=critical,CA:TRUE"];
        authority.openssl(&[&ca[..], &curve, &is_ca].concat());
        for (name, kind, usage) in [
            (
                "localhost",
                &curve[..],
                "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
            ),
            (
                "rsa",
                &["-newkey", "rsa:2048", "-nodes"],
                "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n",
            ),
            ("client", &curve, "extendedKeyUsage=clientAuth\n"),
        ] {
            let file = |ending: &str| format!("{name}.{ending}");
            let subject = format!("/CN={}", if name == "client" { name } else { "localhost" });
            authority.openssl(
                &[&["req", "-subj", &subject, "-keyout", &file("key"), "-out", &file("csr")], kind].concat(),
            );
            std::fs::write(authority.path(&file("ext")), usage).unwrap();
            let (csr, ext, pem) = (file("csr"), file("ext"), file("pem"));
            let by = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "20"];
            authority.openssl(&[&by[..], &["-in", &csr, "-extfile", &ext, "-out", &pem]].concat());
            let text: String = ["key", "pem"]
                .iter()
                .map(|e| std::fs::read_to_string(authority.path(&file(e))).unwrap())
                .collect();
            std::fs::write(authority.path(&format!("{name}-all.pem")), text).unwrap();
        }
        std::fs::write(authority.path("password"), PASSWORD).unwrap();
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        must(Command::new("openssl").args(arguments).current_dir(self.dir.path()));
    }

    fn keyferry(&self, arguments: &[&str]) -> Ran {
        must(keyferry().args(arguments).current_dir(self.dir.path()).env("KEYFERRY_PASSWORD", ""))
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process with all that it starts, ended when dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = || Stdio::from(std::fs::File::options().create(true).append(true).open(log).unwrap());
        command.process_group(0).stdin(Stdio::null()).stdout(log()).stderr(log());
        match command.spawn() {
            Ok(child) => Running(child),
            Err(e) => panic!("{command:?} can't be run ({e}); scripts/test installs what the tests need"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Waits until something listens there.
fn wait_for(port: u16) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A TLS server with one page. It writes down which files it was asked for, and how handshakes ended.
struct Server {
    _process: Running,
    port: u16,
    log: PathBuf,
}

impl Server {
    fn start(authority: &Authority) -> Self {
        Self::start_with(authority, "server.log", &[])
    }

    /// One that lets in only who has a certificate of our CA's.
    fn for_clients(authority: &Authority) -> Self {
        let wants = ["-CAfile", "ca.pem", "-Verify", "3", "-verify_return_error"];
        Self::start_with(authority, "server-for-clients.log", &wants)
    }

    fn start_with(authority: &Authority, log: &str, more: &[&str]) -> Self {
        let log = authority.path(log);
        std::fs::write(authority.path("page.html"), "<title>A page</title>").unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-WWW", "-cert", "localhost.pem", "-key", "localhost.key", "-accept"]);
        // It looks for a port itself: one that was found for it may be somebody else's by then.
        command.arg("127.0.0.1:0").args(more).current_dir(authority.dir.path());
        let process = Running::start(&mut command, &log);
        let begun = Instant::now();
        let port = loop {
            let said = std::fs::read_to_string(&log).unwrap();
            let port = said.lines().find_map(|l| l.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok());
            if let Some(port) = port {
                break port;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no server: {said}");
            std::thread::sleep(Duration::from_millis(50));
        };
        Server { _process: process, port, log }
    }

    /// Whether the browser loads the page. What it says of the server is a TLS alert; a server that wants a
    /// client's certificate says itself that none came.
    fn is_trusted_by(&self, browser: &mut Command, log: &Path) -> (bool, Running) {
        let known = std::fs::read_to_string(&self.log).unwrap().len();
        browser.arg(format!("https://localhost:{}/page.html", self.port));
        let running = Running::start(browser, log);
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(&self.log).unwrap().split_off(known);
            if text.contains("FILE:page.html") {
                return (true, running);
            }
            let refused =
                ["alert unknown ca", "alert certificate unknown", "peer did not return a certificate"];
            if refused.iter().any(|r| text.contains(r)) {
                return (false, running);
            }
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "{browser:?} asked for nothing:\n{text}\n{}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The first of these programs that is installed.
pub fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = names
        .iter()
        .find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| p.is_file()));
    found.unwrap_or_else(|| panic!("none of {names:?} is installed; scripts/test does that"))
}

#[test]
fn chromium_trusts_what_we_put_into_its_database() {
    let authority = Authority::new();
    let server = Server::start(&authority);
    let home = authority.path("home");
    let folder = home.join(".pki/nssdb");
    std::fs::create_dir_all(home.join(".pki")).unwrap();
    let db = format!("nss:{}", folder.display());
    // Somebody else's CA, which must not let ours in.
    let other = crate::support::testdata("demo/demo-root.pem");
    authority.keyferry(&["convert", other.to_str().unwrap(), &db, "--to-password", "none"]);
    let program = program(&["chromium", "google-chrome", "chromium-browser"]);
    let loads = |profile: &str| {
        let mut chromium = Command::new(&program);
        chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        chromium.args(["--no-first-run", "--disable-background-networking", "--dump-dom"]);
        chromium.arg(format!("--user-data-dir={}", authority.path(profile).display()));
        chromium.env("HOME", &home).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        server.is_trusted_by(&mut chromium, &authority.path("chromium.log")).0
    };
    assert!(!loads("one"), "it trusts a server whose CA it doesn't know");
    authority.keyferry(&["rebuild", &db, "--bundle", "ca.pem"]);
    assert!(loads("two"), "it doesn't trust the CA in {db}");
    authority.keyferry(&["rollback", &db]);
    assert!(!loads("three"), "it trusts a CA that was taken back");
}

#[test]
fn firefox_trusts_what_we_put_into_its_profile() {
    let authority = Authority::new();
    let server = Server::start(&authority);
    let profile = authority.path("profile");
    std::fs::create_dir(&profile).unwrap();
    let calm = "user_pref(\"datareporting.policy.dataSubmissionEnabled\", false);\n\
                user_pref(\"browser.shell.checkDefaultBrowser\", false);\n\
                user_pref(\"app.normandy.enabled\", false);\n\
                user_pref(\"browser.safebrowsing.update.enabled\", false);\n\
                user_pref(\"network.captive-portal-service.enabled\", false);\n\
                user_pref(\"network.connectivity-service.enabled\", false);\n\
                user_pref(\"security.default_personal_cert\", \"Select Automatically\");\n";
    std::fs::write(profile.join("user.js"), calm).unwrap();
    let program = program(&["firefox-esr", "firefox"]);
    let loads_from = |server: &Server, shot: &str| {
        let mut firefox = Command::new(&program);
        firefox.args(["--headless", "--no-remote", "--profile"]).arg(&profile);
        firefox.arg("--screenshot").arg(authority.path(shot)).env("HOME", authority.dir.path());
        server.is_trusted_by(&mut firefox, &authority.path("firefox.log"))
    };
    let loads = |shot: &str| loads_from(&server, shot);
    // It makes the database itself, and has it open while we change it.
    let (trusted, running) = loads("one.png");
    assert!(!trusted, "it trusts a server whose CA it doesn't know");
    let db = format!("nss:{}", profile.display());
    let files = ["cert9.db", "key4.db"].map(|f| profile.join(f));
    let begun = Instant::now();
    while !files.iter().all(|f| f.metadata().is_ok_and(|m| m.len() > 0)) && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    let changed = authority.keyferry(&["rebuild", &db, "--bundle", "ca.pem"]);
    assert!(changed.err.contains("has it open; restart"), "{}", changed.err);
    drop(running);
    let (trusted, running) = loads("two.png");
    drop(running);
    assert!(trusted, "it doesn't trust the CA in its profile");
    let for_clients = Server::for_clients(&authority);
    let (let_in, running) = loads_from(&for_clients, "keyless.png");
    drop(running);
    assert!(!let_in, "the server lets in a browser without a key");
    authority.keyferry(&["rebuild", &db, "--bundle", "ca.pem", "--key", "client-all.pem"]);
    // On a busy machine it may connect before it has read its keys.
    let let_in = (0..4).any(|n| {
        let (let_in, running) = loads_from(&for_clients, &format!("key-{n}.png"));
        drop(running);
        let_in
    });
    assert!(let_in, "it doesn't show its key to the server");
    authority.keyferry(&["rollback", &db]);
    authority.keyferry(&["rollback", &db]);
    let (trusted, running) = loads("three.png");
    drop(running);
    assert!(!trusted, "it trusts a CA that was taken back");
}

/// `selfserv` and `tstclnt` of NSS with our databases, and OpenSSL on the other side.
#[test]
fn nss_speaks_tls_with_our_keys_both_ways() {
    let authority = Authority::new();
    let spec = format!("file:{}", authority.path("password").display());
    for (from, db) in [("localhost", "server"), ("rsa", "server-rsa"), ("client", "client")] {
        let (from, db) = (format!("{from}-all.pem"), format!("nss:{db}"));
        authority.keyferry(&["convert", &from, &db, "--to-password", &spec, "--allow-loss"]);
        // A CA that came with the key, for its chain, would be no anchor; this one is.
        let mut anchor = keyferry();
        anchor.args(["rebuild", &db, "--bundle", "ca.pem", "--password", &spec]);
        must(anchor.current_dir(authority.dir.path()));
    }
    let demo = crate::support::testdata("demo/demo-root.pem").to_string_lossy().into_owned();
    for (from, db) in [("ca.pem", "nss:keyless"), (&demo, "nss:stranger")] {
        authority.keyferry(&["convert", from, db, "--to-password", &spec]);
    }
    let folder = |name: &str| format!("sql:{}", authority.path(name).display());
    let label = |name: &str| {
        let listed = authority.keyferry(&["list", name, "--kind", "key", "--json", "--password", &spec]).out;
        let rows: serde_json::Value = serde_json::from_str(&listed).unwrap();
        rows[0]["label"].as_str().unwrap().to_owned()
    };
    std::fs::write(authority.path("request"), "GET / HTTP/1.0\r\n\r\n").unwrap();
    // Whether the server answers a request: only then has it accepted the client, too.
    let client = |db: &str, port: u16| {
        let log = authority.path(&format!("{db}-{port}.log"));
        let mut tstclnt = Command::new("sh");
        tstclnt.args([
            "-c",
            "exec tstclnt \"$@\" < request",
            "sh",
            "-4",
            "-h",
            "localhost",
            "-p",
            &port.to_string(),
        ]);
        tstclnt.args(["-w", PASSWORD, "-d", &folder(db)]).current_dir(authority.dir.path());
        let mut running = Running::start(&mut tstclnt, &log);
        let begun = Instant::now();
        loop {
            let ended = running.0.try_wait().unwrap().is_some();
            if String::from_utf8_lossy(&std::fs::read(&log).unwrap()).contains("HTTP/1.0 200") {
                return true;
            }
            if ended || begun.elapsed() > PATIENCE {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    for server in ["server", "server-rsa"] {
        let port = free_port();
        let mut selfserv = Command::new("selfserv");
        selfserv.args(["-d", &folder(server), "-n", &label(server), "-p", &port.to_string()]);
        selfserv.args(["-V", "tls1.2:tls1.3", "-r", "-r", "-w", PASSWORD]);
        let running = Running::start(&mut selfserv, &authority.path("selfserv.log"));
        wait_for(port);
        let said = || std::fs::read_to_string(authority.path("selfserv.log")).unwrap();
        // The server wants a certificate of the client's, and gets ours.
        assert!(client("client", port), "{server}: {}", said());
        assert!(!client("keyless", port), "{server}: it takes a client without a key");
        assert!(!client("stranger", port), "{server}: a client without our CA trusts it");
        let mut openssl = Command::new("timeout");
        openssl.args([
            "20",
            "openssl",
            "s_client",
            "-connect",
            &format!("127.0.0.1:{port}"),
            "-CAfile",
            "ca.pem",
        ]);
        openssl.args(["-cert", "client.pem", "-key", "client.key", "-verify_return_error"]);
        let ran = run(openssl.current_dir(authority.dir.path()).stdin(Stdio::null()));
        assert!(ran.out.contains("Verify return code: 0 (ok)"), "{server}: {}{}", ran.out, ran.err);
        drop(running);
    }
    // NSS's client with our key against OpenSSL's server.
    let port = free_port();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-cert", "rsa.pem", "-key", "rsa.key", "-CAfile", "ca.pem", "-Verify", "3"]);
    server.args(["-verify_return_error", "-www", "-accept", &format!("127.0.0.1:{port}")]);
    let running = Running::start(server.current_dir(authority.dir.path()), &authority.path("openssl.log"));
    wait_for(port);
    assert!(client("client", port));
    assert!(!client("keyless", port) && !client("stranger", port));
    drop(running);
}
