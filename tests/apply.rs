//! Whole machines kept up to date: bundles made, signed, fetched and refused; sets of stores changed together or not
//! at all; what stops a run until somebody approves it.

#[cfg(feature = "object-store")]
mod objects;

use crate::support::{Ran, keyferry, must, run, scratch};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A machine: certificates of people, a bundle with its signature, homes with stores, a configuration.
pub struct Machine {
    pub dir: tempfile::TempDir,
}

pub const SPEC: &str = "file:pw";

impl Machine {
    /// With certificates of a CA and of these people, and a signing key.
    pub fn new(people: &[&str]) -> Self {
        let machine = Machine { dir: scratch() };
        // A temporary folder that nobody else can write, and that owners of stores can go through.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(machine.dir.path(), open).unwrap();
        std::fs::write(machine.path("pw"), "client-password\n").unwrap();
        std::fs::set_permissions(machine.path("pw"), std::fs::Permissions::from_mode(0o644)).unwrap();
        machine.certificate("root", "/O=SSS/CN=Root");
        people.iter().for_each(|p| machine.certificate(p, &format!("/C=GB/O=SSS/CN={p}")));
        machine.ours(&["bundle", "keygen", "trust", "--to-password", "none"]);
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    pub fn openssl(&self, arguments: &[&str]) {
        must(Command::new("openssl").args(arguments).current_dir(self.dir.path()));
    }

    /// NAME.crt and NAME.key.
    pub fn certificate(&self, name: &str, subject: &str) {
        let (key, crt) = (format!("{name}.key"), format!("{name}.crt"));
        let new =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90"];
        let ca = if name.starts_with("root") { "critical,CA:TRUE" } else { "CA:FALSE" };
        let constraint = format!("basicConstraints={ca}");
        self.openssl(
            &[&new[..], &["-subj", subject, "-keyout", &key, "-out", &crt, "-addext", &constraint]].concat(),
        );
    }

    /// web.crt and web.key, for a server on the loopback.
    fn server_certificate(&self) {
        let new =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"];
        let names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "web.key", "-out", "web.crt"];
        self.openssl(&[&new[..], &names, &leaf].concat());
    }

    /// Changes a text of the machine; what is there must be there.
    #[track_caller]
    fn replace(&self, name: &str, good: &str, bad: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(good), "{text}");
        std::fs::write(self.path(name), text.replace(good, bad)).unwrap();
    }

    /// Our program in the machine's folder; it must end well.
    #[track_caller]
    pub fn ours(&self, arguments: &[&str]) -> Ran {
        must(keyferry().args(arguments).current_dir(self.dir.path()))
    }

    pub fn ends(&self, arguments: &[&str]) -> Ran {
        run(keyferry().args(arguments).current_dir(self.dir.path()))
    }

    /// bundle.pem with the certificates of these people, signed.
    pub fn publish(&self, people: &[&str], more: &[&str]) {
        let base = self.path("bundle.pem").exists();
        let mut arguments = vec!["bundle".to_owned(), "create".to_owned(), "bundle.pem".to_owned()];
        if base {
            let serial = self.manifest()["serial"].as_u64().unwrap() + 1;
            arguments.extend(["--serial".to_owned(), serial.to_string()]);
        }
        people.iter().for_each(|p| arguments.extend(["--add".to_owned(), format!("{p}.crt")]));
        arguments.extend(more.iter().map(|m| (*m).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.ours(&arguments);
        self.ours(&["bundle", "sign", "bundle.pem", "--key", "trust.key", "--password", "none"]);
    }

    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("bundle.pem.manifest.json")).unwrap()).unwrap()
    }

    /// A store with this person's key.
    pub fn store(&self, name: &str, person: &str) {
        let place = self.path(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let both: String = ["key", "crt"]
            .iter()
            .map(|e| std::fs::read_to_string(self.path(&format!("{person}.{e}"))).unwrap())
            .collect();
        std::fs::write(self.path("both.pem"), both).unwrap();
        self.ours(&["convert", "both.pem", name, "--to-password", SPEC, "--allow-loss"]);
    }

    /// The configuration for what `stores` says.
    pub fn configure(&self, more: &str, stores: &str) {
        let text = format!(
            "state = \"{}\"\nmetrics = \"{}\"\n{more}\n[[bundle]]\nsource = \"{}\"\nverify = \"minisign:{}\"\n{stores}",
            self.text("state"),
            self.text("metrics.prom"),
            self.text("bundle.pem"),
            self.text("trust.pub"),
        );
        std::fs::write(self.path("k.toml"), text).unwrap();
    }

    pub fn rule(&self, pattern: &str, more: &str) -> String {
        format!(
            "[[store]]\npath = \"{}\"\npassword = \"file:{}\"\n{more}\n",
            self.text(pattern),
            self.text("pw")
        )
    }

    pub fn apply(&self, more: &[&str]) -> Ran {
        self.ends(&[&["apply", "--config", "k.toml"], more].concat())
    }

    /// The fingerprint of the public half of a store's one key.
    pub fn key_of(&self, store: &str) -> String {
        let listed = self.ours(&["list", store, "--json", "--kind", "key", "--password", SPEC]).out;
        let rows: Vec<Value> = serde_json::from_str(&listed).unwrap();
        assert_eq!(rows.len(), 1, "{listed}");
        rows[0]["spki_sha256"].as_str().unwrap().to_owned()
    }

    /// The common names of the certificates in a store, its key's own included.
    pub fn holds(&self, store: &str) -> Vec<String> {
        let listed = self.ours(&["list", store, "--json", "--password", SPEC]).out;
        let rows: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let name = |r: &Value| r["subject"].as_str().unwrap().split(['=', ',']).nth(1).unwrap().to_owned();
        let mut names: Vec<_> = rows.iter().map(name).collect();
        names.sort();
        names
    }
}

pub fn stamp(path: &Path) -> (u64, i64, i64) {
    let meta = path.metadata().unwrap();
    (meta.ino(), meta.mtime(), meta.mtime_nsec())
}

#[test]
fn bundles_are_the_same_bytes_and_minisign_agrees() {
    let machine = Machine::new(&["ann", "bob"]);
    let make = |name: &str, more: &[&str]| {
        let add = ["--add", "ann.crt", "--add", "bob.crt", "--add", "ca=root.crt", "--date", "2026-01-02"];
        machine.ours(&[&["bundle", "create", name], &add[..], more].concat());
        let read = |s: &str| std::fs::read_to_string(machine.path(&format!("{name}{s}"))).unwrap();
        (read(""), read(".manifest.json"))
    };
    let first = make("one.pem", &[]);
    assert_eq!(first, make("two.pem", &[]));
    assert!(!first.0.contains("PRIVATE"));
    // What has nothing new is not written.
    let again = machine.ours(&["bundle", "create", "three.pem", "--base", "one.pem"]);
    assert!(!machine.path("three.pem").exists(), "{}", again.err);
    // A store with a key brings its certificate, never the key.
    machine.store("ann.p12", "ann");
    machine.ours(&["bundle", "create", "four.pem", "--add", "ann.p12", "--password", SPEC]);
    let text = std::fs::read_to_string(machine.path("four.pem")).unwrap();
    assert!(!text.contains("PRIVATE") && text.matches("BEGIN CERTIFICATE").count() == 1);

    machine.ours(&["bundle", "sign", "one.pem", "--key", "trust.key", "--password", "none"]);
    machine.ours(&["bundle", "verify", "one.pem", "--public-key", "trust.pub"]);
    let minisign =
        |arguments: &[&str]| run(Command::new("minisign").args(arguments).current_dir(machine.dir.path()));
    let good = minisign(&["-V", "-p", "trust.pub", "-m", "one.pem.manifest.json"]);
    assert_eq!(good.status, 0, "{}{}", good.out, good.err);
    // And minisign's own keys and signatures are ours.
    let made = minisign(&["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"]);
    assert_eq!(made.status, 0, "{}{}", made.out, made.err);
    let signed = minisign(&["-S", "-s", "theirs.key", "-m", "two.pem.manifest.json", "-t", "by hand"]);
    assert_eq!(signed.status, 0, "{}{}", signed.out, signed.err);
    let good = machine.ours(&["bundle", "verify", "two.pem", "--public-key", "theirs.pub"]);
    assert!(good.out.contains("by hand"), "{}", good.out);
    machine.ours(&["bundle", "sign", "two.pem", "--key", "theirs.key", "--password", "none"]);
    let good = minisign(&["-V", "-p", "theirs.pub", "-m", "two.pem.manifest.json"]);
    assert_eq!(good.status, 0, "{}{}", good.out, good.err);
    // Another key, another manifest, another bundle.
    let other = machine.ends(&["bundle", "verify", "one.pem", "--public-key", "theirs.pub"]);
    assert_eq!(other.status, 5, "{}", other.err);
    let bundle = std::fs::read_to_string(machine.path("one.pem")).unwrap();
    std::fs::write(machine.path("one.pem"), bundle.replacen('A', "B", 1)).unwrap();
    assert_eq!(machine.ends(&["bundle", "verify", "one.pem", "--public-key", "trust.pub"]).status, 5);
}

#[test]
fn bundles_are_compared_by_certificate() {
    let machine = Machine::new(&["ann", "bob"]);
    machine.ours(&["bundle", "create", "a.pem", "--add", "ann.crt", "--add", "bob.crt"]);
    machine.certificate("ann", "/C=GB/O=SSS/CN=ann");
    machine.certificate("cy", "/C=GB/O=SSS/CN=cy");
    machine.ours(&["bundle", "create", "b.pem", "--add", "ann.crt", "--add", "cy.crt"]);
    let found = machine.ends(&["bundle", "diff", "a.pem", "b.pem", "--json"]);
    assert_eq!(found.status, 1);
    let found: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(found["added"][0]["subject"], "CN=cy,O=SSS,C=GB");
    assert_eq!(found["removed"][0]["subject"], "CN=bob,O=SSS,C=GB");
    assert_eq!(found["renewed"][0][1]["subject"], "CN=ann,O=SSS,C=GB");
    machine.ours(&["bundle", "diff", "a.pem", "a.pem"]);
    // What goes may stay for a while.
    let next = ["bundle", "create", "c.pem", "--base", "b.pem", "--remove", "CN=cy,O=SSS,C=GB"];
    machine.ours(&[&next[..], &["--keep-until", "2099-01-01"]].concat());
    machine.ours(&["bundle", "diff", "b.pem", "c.pem"]);
    machine.ours(&[&next[..], &["--date", "2099-01-01", "--keep-until", "2099-01-01"]].concat());
    assert_eq!(machine.ends(&["bundle", "diff", "b.pem", "c.pem"]).status, 1);
    assert_eq!(
        machine.ends(&["bundle", "create", "d.pem", "--base", "b.pem", "--remove", "CN=nobody"]).status,
        5
    );
}

#[test]
fn what_could_do_harm_stops_until_it_is_approved() {
    let people = ["ann", "bob", "cy", "dan"];
    let machine = Machine::new(&people);
    machine.store("client.p12", "ann");
    machine.configure("", &machine.rule("client.p12", ""));
    machine.publish(&["ann", "bob", "cy", "dan", "root"], &[]);
    let before = stamp(&machine.path("client.p12"));
    let stopped = machine.apply(&[]);
    assert_eq!(stopped.status, 5, "{}{}", stopped.out, stopped.err);
    assert!(stopped.out.contains("new CA CN=Root"), "{}", stopped.out);
    assert_eq!(stamp(&machine.path("client.p12")), before);
    // By its fingerprint, as the stop says.
    let approve = stopped.out.lines().find_map(|l| l.trim().strip_prefix("--approve ")).unwrap().to_owned();
    let planned = machine.apply(&["--dry-run", "--approve", &approve]);
    assert!(planned.status == 0 && planned.out.contains("would be replaced"), "{}", planned.out);
    assert_eq!(stamp(&machine.path("client.p12")), before);
    let done = machine.apply(&["--approve", &approve]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert_eq!(machine.holds("client.p12"), ["Root", "ann", "bob", "cy", "dan"]);
    // Nothing new: nothing written.
    let before = stamp(&machine.path("client.p12"));
    let same = machine.apply(&[]);
    assert!(same.status == 0 && same.out.contains("unchanged"), "{}{}", same.out, same.err);
    assert_eq!(stamp(&machine.path("client.p12")), before);

    // Half of the people at once.
    machine.publish(&["ann", "bob", "root"], &[]);
    let stopped = machine.apply(&[]);
    assert!(
        stopped.status == 5 && stopped.out.contains("would remove 2 of 4"),
        "{}{}",
        stopped.out,
        stopped.err
    );
    assert_eq!(machine.apply(&["--approve", "removals"]).status, 0);
    assert_eq!(machine.holds("client.p12"), ["Root", "ann", "bob"]);

    // Another key for a name that is known, and for the owner of this store.
    machine.certificate("bob", "/C=GB/O=SSS/CN=bob");
    machine.publish(&["ann", "bob", "root"], &[]);
    let stopped = machine.apply(&[]);
    assert!(stopped.status == 5 && stopped.out.contains("another key for CN=bob"), "{}", stopped.out);
    assert_eq!(machine.apply(&["--approve", "second-keys"]).status, 0);
    let key = machine.key_of("client.p12");
    machine.certificate("ann", "/C=GB/O=SSS/CN=ann");
    machine.publish(&["ann", "bob", "root"], &[]);
    let ahead = machine.apply(&["--approve", "second-keys"]);
    assert!(ahead.status == 0 && ahead.out.contains("ahead of your key"), "{}{}", ahead.out, ahead.err);
    // The key that was there is there.
    assert_eq!(machine.key_of("client.p12"), key);

    // Never drop, whoever approves.
    machine.configure("gates = { never_drop = [\"CN=bob\"] }", &machine.rule("client.p12", ""));
    machine.publish(&["ann", "root"], &[]);
    let stopped = machine.apply(&["--approve", "removals"]);
    assert!(stopped.status == 5 && stopped.out.contains("never to be dropped"), "{}", stopped.out);

    let history = machine.ours(&["history", "--config", "k.toml"]).out;
    assert!(
        history.contains("+ CN=Root") && history.contains("stopped") && history.contains("- CN=cy"),
        "{history}"
    );
    let metrics = std::fs::read_to_string(machine.path("metrics.prom")).unwrap();
    assert!(metrics.contains("keyferry_stores{outcome=\"stopped\"} 1"), "{metrics}");
    assert!(metrics.contains("keyferry_last_run_success 0"), "{metrics}");
}

#[test]
fn what_is_distrusted_goes_and_does_not_come_back() {
    let machine = Machine::new(&["ann", "bob"]);
    machine.store("client.jks", "ann");
    machine.configure("", &machine.rule("client.jks", ""));
    machine.publish(&["ann", "bob", "root"], &[]);
    assert_eq!(machine.apply(&["--approve", "cas"]).status, 0);
    let rows = machine.ours(&["list", "client.jks", "--json", "--dn", "CN=bob", "--password", SPEC]).out;
    let rows: Value = serde_json::from_str(&rows).unwrap();
    let hash = rows[0]["sha256"].as_str().unwrap().to_owned();
    machine.publish(&["ann", "bob", "root"], &["--distrust", &format!("{hash}:key was stolen")]);
    let done = machine.apply(&[]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert_eq!(machine.holds("client.jks"), ["Root", "ann"]);
    let back = machine.ends(&["rollback", "client.jks", "--password", SPEC]);
    assert!(back.status == 5 && back.err.contains("distrusted"), "{}", back.err);
    assert_eq!(machine.holds("client.jks"), ["Root", "ann"]);
    // One's own certificate is nobody's to take away in silence.
    let rows = machine.ours(&["list", "client.jks", "--json", "--kind", "key", "--password", SPEC]).out;
    let rows: Value = serde_json::from_str(&rows).unwrap();
    machine.publish(&["root"], &["--distrust", rows[0]["sha256"].as_str().unwrap()]);
    let stopped = machine.apply(&[]);
    assert!(stopped.status == 5 && stopped.out.contains("own key"), "{}{}", stopped.out, stopped.err);
}

#[test]
fn going_back_holds_until_a_newer_bundle_comes() {
    let machine = Machine::new(&["ann", "bob", "cy"]);
    for (store, format) in [("client.p12", "p12"), ("nssdb", "nss")] {
        let _ = std::fs::remove_file(machine.path("bundle.pem"));
        let _ = std::fs::remove_dir_all(machine.path("state"));
        machine.store(&format!("{format}:{store}"), "ann");
        machine.configure("", &machine.rule(store, ""));
        machine.publish(&["ann", "bob", "root"], &[]);
        assert_eq!(machine.apply(&["--approve", "cas"]).status, 0, "{store}");
        machine.ours(&["rollback", store, "--password", SPEC]);
        assert_eq!(machine.holds(store), ["ann"]);
        let held = machine.apply(&["--approve", "cas"]);
        assert!(held.status == 0 && held.out.contains("went back"), "{store}: {}{}", held.out, held.err);
        assert_eq!(machine.holds(store), ["ann"]);
        machine.publish(&["ann", "bob", "cy", "root"], &[]);
        assert_eq!(machine.apply(&["--approve", "cas"]).status, 0, "{store}");
        assert_eq!(machine.holds(store), ["Root", "ann", "bob", "cy"]);
    }
}

#[test]
fn stores_take_the_roles_that_they_ask_for() {
    let machine = Machine::new(&["ann", "bob"]);
    machine.store("ams.p12", "ann");
    let rules = [
        machine.rule("ams.p12", ""),
        machine.rule("trust.p12", "roles = [\"ca\"]\ncreate = true"),
        machine.rule("people.jks", "roles = [\"recipient\"]\ncreate = true\nallow_loss = [\"trust-raised\"]"),
    ];
    machine.configure("", &rules.concat());
    machine.publish(&["ann", "bob", "root"], &[]);
    let done = machine.apply(&["--approve", "cas"]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert_eq!(machine.holds("ams.p12"), ["Root", "ann", "bob"]);
    assert_eq!(machine.holds("trust.p12"), ["Root"]);
    assert_eq!(machine.holds("people.jks"), ["ann", "bob"]);
    // A leaf is no anchor where a store can say so.
    std::fs::create_dir(machine.path("profile")).unwrap();
    must(Command::new("certutil").args([
        "-N",
        "--empty-password",
        "-d",
        &format!("sql:{}", machine.text("profile")),
    ]));
    let rule = format!("[[store]]\npath = \"{}\"\npassword = \"none\"\n", machine.text("profile"));
    machine.configure("gates = { new_cas = false }", &rule);
    assert_eq!(machine.apply(&[]).status, 0);
    let rows = machine.ours(&["list", "profile", "--json", "--password", "none"]).out;
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let is_root = row["subject"] == "CN=Root,O=SSS";
        assert_eq!(row["trust"].as_array().unwrap().len(), if is_root { 4 } else { 0 }, "{row}");
    }
}

#[test]
fn a_hook_that_fails_puts_the_whole_set_back() {
    let machine = Machine::new(&["ann", "bob"]);
    machine.store("client.p12", "ann");
    machine.store("client.jks", "ann");
    let hook = |text: &str| {
        let hook = format!("after = [[\"/bin/sh\", \"-c\", \"{text}\"]]");
        let rules = [machine.rule("client.p12", &hook), machine.rule("client.jks", &hook)].concat();
        machine.configure("gates = { new_cas = false }", &rules);
    };
    machine.publish(&["ann", "bob", "root"], &[]);
    hook("echo no such service; exit 3");
    let before = ["client.p12", "client.jks"].map(|s| std::fs::read(machine.path(s)).unwrap());
    let failed = machine.apply(&[]);
    assert_eq!(failed.status, 7, "{}{}", failed.out, failed.err);
    assert!(failed.err.contains("no such service"), "{}", failed.err);
    assert_eq!(["client.p12", "client.jks"].map(|s| std::fs::read(machine.path(s)).unwrap()), before);
    // Once for the set, with little of the environment and both names.
    hook("echo $KEYFERRY_STORES ${SECRET:-none} >> ran");
    let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
    std::fs::write(machine.path("k.toml"), text.replace(">> ran", &format!(">> {}", machine.text("ran"))))
        .unwrap();
    let done = run(keyferry()
        .args(["apply", "--config", "k.toml"])
        .env("SECRET", "x")
        .current_dir(machine.dir.path()));
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    let ran = std::fs::read_to_string(machine.path("ran")).unwrap();
    let names = format!("{} {} none\n", machine.text("client.p12"), machine.text("client.jks"));
    assert_eq!(ran, names);
}

#[test]
fn configurations_that_others_can_write_are_refused() {
    let machine = Machine::new(&["ann"]);
    machine.store("client.p12", "ann");
    machine.configure("", &machine.rule("client.p12", ""));
    machine.publish(&["ann"], &[]);
    machine.ours(&["config", "check", "--config", "k.toml"]);
    for (mode, place) in [(0o666, "k.toml"), (0o775, ".")] {
        let path = machine.path(place);
        let before = path.metadata().unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = machine.apply(&[]);
        assert!(refused.status == 5 && refused.err.contains("written by others"), "{place}: {}", refused.err);
        std::fs::set_permissions(&path, before).unwrap();
    }
    for (good, bad, say) in [
        ("verify = \"minisign", "verify = \"maxisign", "verify"),
        ("[[store]]", "[[stores]]", "stores"),
        ("source = \"/", "source = \"", "absolute"),
        ("password = \"file:", "password = \"pass:", "password"),
    ] {
        let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
        assert!(text.contains(good));
        std::fs::write(machine.path("bad.toml"), text.replace(good, bad)).unwrap();
        let refused = machine.ends(&["config", "check", "--config", "bad.toml"]);
        assert!(refused.status == 3 && refused.err.contains(say), "{bad}: {}", refused.err);
    }
    let schema: Value = serde_json::from_str(&machine.ours(&["config", "schema"]).out).unwrap();
    for field in ["state", "bundle", "store", "gates", "metrics"] {
        assert!(schema["properties"][field].is_object(), "{field}");
    }
}

/// `tests/oracles/https_server.py` in the folder `web`.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(machine: &Machine) -> Self {
        std::fs::create_dir(machine.path("web")).unwrap();
        machine.server_certificate();
        let script = crate::support::root().join("tests/oracles/https_server.py");
        let mut process = Command::new("python3")
            .arg(script)
            .arg(machine.path("web"))
            .arg(machine.path("web.crt"))
            .arg(machine.path("web.key"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Server { process, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn servers_that_are_slow_or_lie_change_nothing() {
    let machine = Machine::new(&["ann", "bob", "cy"]);
    machine.store("client.p12", "ann");
    let server = Server::start(&machine);
    machine.publish(&["ann", "bob"], &["--expires", "30d"]);
    machine.configure("", &machine.rule("client.p12", ""));
    let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
    let source = format!("source = \"{}\"", machine.text("bundle.pem"));
    let remote = format!(
        "source = \"https://localhost:{}/bundle.pem\"\nca_file = \"{}\"\ntimeout = \"60s\"\nmax_size = 1000000",
        server.port,
        machine.text("web.crt")
    );
    assert!(text.contains(&source));
    std::fs::write(machine.path("k.toml"), text.replace(&source, &remote)).unwrap();
    let files = ["bundle.pem", "bundle.pem.manifest.json", "bundle.pem.manifest.json.minisig"];
    let upload = || {
        for file in files {
            std::fs::copy(machine.path(file), machine.path(&format!("web/{file}"))).unwrap();
        }
    };
    let mode = |m: &str| std::fs::write(machine.path("web/mode"), m).unwrap();
    let requests = || {
        let text = std::fs::read_to_string(machine.path("web/requests")).unwrap_or_default();
        let _ = std::fs::remove_file(machine.path("web/requests"));
        text.lines().count()
    };
    mode("honest");
    // A server that nobody knows.
    let known = std::fs::read_to_string(machine.path("web.crt")).unwrap();
    std::fs::copy(machine.path("root.crt"), machine.path("web.crt")).unwrap();
    upload();
    let stranger = machine.apply(&[]);
    assert_eq!(stranger.status, 3, "{}{}", stranger.out, stranger.err);
    std::fs::write(machine.path("web.crt"), known).unwrap();
    requests();
    let done = machine.apply(&[]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert_eq!(requests(), 3);
    // One small request where nothing is new.
    assert_eq!(machine.apply(&[]).status, 0);
    assert_eq!(requests(), 1);

    // What can't be had: the last good bundle goes on to be used, and that is said.
    let before = stamp(&machine.path("client.p12"));
    machine.publish(&["ann", "bob", "cy"], &["--expires", "30d"]);
    upload();
    let patience = |from: &str, to: &str| {
        let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
        assert!(text.contains(from));
        std::fs::write(machine.path("k.toml"), text.replace(from, to)).unwrap();
    };
    patience("timeout = \"60s\"", "timeout = \"4s\"");
    for bad in ["slow", "long", "cut", "down", "away"] {
        mode(bad);
        let kept = machine.apply(&[]);
        assert_eq!(kept.status, 0, "{bad}: {}{}", kept.out, kept.err);
        assert!(kept.err.contains("the last good one is used"), "{bad}: {}", kept.err);
        assert_eq!(stamp(&machine.path("client.p12")), before, "{bad}");
    }
    for bad in ["endless", "gone"] {
        mode(bad);
        let refused = machine.apply(&[]);
        assert!([3, 5].contains(&refused.status), "{bad}: {}{}", refused.out, refused.err);
        assert_eq!(stamp(&machine.path("client.p12")), before, "{bad}");
    }
    // A busy machine may take longer over honest answers.
    patience("timeout = \"4s\"", "timeout = \"60s\"");
    mode("honest");
    assert_eq!(machine.apply(&[]).status, 0);
    assert_eq!(machine.holds("client.p12"), ["ann", "bob", "cy"]);

    // Lies: an old bundle, another one under the same serial, a frozen one, a wrong signature, a private key.
    let before = stamp(&machine.path("client.p12"));
    let serial = machine.manifest()["serial"].as_u64().unwrap();
    let lie = |name: &str, people: &[&str], more: &[&str], say: &str| {
        machine.publish(people, more);
        upload();
        let refused = machine.apply(&[]);
        assert!(
            [3, 5].contains(&refused.status),
            "{name}: {} {}{}",
            refused.status,
            refused.out,
            refused.err
        );
        assert!(refused.err.contains(say), "{name}: {}", refused.err);
        assert_eq!(stamp(&machine.path("client.p12")), before, "{name}");
    };
    let fresh = || files.iter().for_each(|f| std::fs::remove_file(machine.path(f)).unwrap());
    fresh();
    lie("old", &["ann"], &["--serial", &(serial - 1).to_string()], "an old one");
    fresh();
    lie("twin", &["ann"], &["--serial", &serial.to_string()], "two bundles");
    fresh();
    let next = (serial + 1).to_string();
    lie("frozen", &["ann"], &["--serial", &next, "--date", "2026-01-01", "--expires", "1d"], "expired");
    fresh();
    lie("others", &["ann"], &["--serial", &next, "--audience", "moon"], "moon");
    fresh();
    machine.ours(&["bundle", "create", "bundle.pem", "--add", "ann.crt", "--serial", &next]);
    machine.ours(&["bundle", "keygen", "mallory", "--to-password", "none"]);
    machine.ours(&["bundle", "sign", "bundle.pem", "--key", "mallory.key", "--password", "none"]);
    upload();
    let refused = machine.apply(&[]);
    assert!(refused.status == 5 && refused.err.contains("signature"), "{}{}", refused.out, refused.err);
    // A bundle that isn't the manifest's: rubbish of the right size, or a key.
    fresh();
    machine.publish(&["ann", "cy"], &["--serial", &next]);
    upload();
    let key = std::fs::read_to_string(machine.path("bob.key")).unwrap();
    let bundle = std::fs::read_to_string(machine.path("bundle.pem")).unwrap();
    std::fs::write(machine.path("web/bundle.pem"), format!("{bundle}{key}")).unwrap();
    let refused = machine.apply(&[]);
    assert!(refused.status == 5 && refused.err.contains("not the one of its manifest"), "{}", refused.err);
    assert_eq!(stamp(&machine.path("client.p12")), before);
}

#[test]
fn unsigned_bundles_need_words_and_never_hold_keys() {
    let machine = Machine::new(&["ann", "bob"]);
    machine.store("client.p12", "ann");
    machine.configure("", &machine.rule("client.p12", ""));
    let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
    let signed = format!("verify = \"minisign:{}\"", machine.text("trust.pub"));
    let verify = |how: &str| std::fs::write(machine.path("k.toml"), text.replace(&signed, how)).unwrap();
    std::fs::copy(machine.path("bob.crt"), machine.path("bundle.pem")).unwrap();
    verify("");
    assert_eq!(machine.apply(&[]).status, 3);
    verify("verify = \"none\"");
    assert_eq!(machine.apply(&[]).status, 0);
    assert_eq!(machine.holds("client.p12"), ["ann", "bob"]);
    verify(&format!("verify = \"sha256:{}\"", "ab".repeat(32)));
    let refused = machine.apply(&[]);
    assert!(refused.status == 5 && refused.err.contains("pinned"), "{}", refused.err);
    // A key that came in by mistake.
    let both = ["bob.key", "bob.crt"].map(|f| std::fs::read_to_string(machine.path(f)).unwrap()).concat();
    std::fs::write(machine.path("bundle.pem"), both).unwrap();
    verify("verify = \"none\"");
    let refused = machine.apply(&[]);
    assert!(refused.status == 5 && refused.err.contains("private or secret key"), "{}", refused.err);
    // A partner may bring only his own.
    std::fs::copy(machine.path("bob.crt"), machine.path("bundle.pem")).unwrap();
    verify("verify = \"none\"\nonly_under = \"O=PARTNER\"");
    let refused = machine.apply(&[]);
    assert!(refused.status == 5 && refused.err.contains("may not bring"), "{}", refused.err);
}

#[test]
fn two_runs_at_once_and_a_rewritten_history() {
    let machine = Machine::new(&["ann", "bob"]);
    machine.store("client.p12", "ann");
    machine.configure("", &machine.rule("client.p12", "after = [[\"/bin/sleep\", \"3\"]]"));
    machine.publish(&["ann", "bob"], &[]);
    let mut first = keyferry()
        .args(["apply", "--config", "k.toml"])
        .current_dir(machine.dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while !machine.path("client.p12.old-1").exists() && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(machine.apply(&[]).status, 6);
    assert!(first.wait().unwrap().success());
    let head = machine.ours(&["history", "--config", "k.toml", "--head"]).out;
    assert_eq!(head.trim().len(), 64);
    let path = machine.path("state/history.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{}{text}", text.replace("replaced", "created"))).unwrap();
    let refused = machine.ends(&["history", "--config", "k.toml"]);
    assert!(refused.status == 3 && refused.err.contains("line 2"), "{}", refused.err);
}

/// Every command of the administrator's page, in its order.
#[test]
fn the_administrators_page_is_true() {
    let machine = Machine::new(&["ann", "bob"]);
    machine.certificate("root2", "/O=SSS/CN=Root2");
    machine.store("home/ann/client.p12", "ann");
    machine.store("home/ann/client.kdb", "ann");
    machine.ours(&["stash", "home/ann/client.kdb", "--password", SPEC]);
    std::fs::copy(machine.path("pw"), machine.path("home/ann/client.pw")).unwrap();
    std::fs::write(machine.path("signing.pw"), "signing-password\n").unwrap();
    ["trust.key", "trust.pub"].iter().for_each(|f| std::fs::remove_file(machine.path(f)).unwrap());
    let page = std::fs::read_to_string(crate::support::root().join("docs/administrator.md")).unwrap();
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 7);
    let program = Path::new(env!("CARGO_BIN_EXE_keyferry")).parent().unwrap().to_owned();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    for block in blocks {
        let mut shell = Command::new("bash");
        shell.args(["-euc", block]).env("PATH", &path).current_dir(machine.dir.path());
        let ran = run(&mut shell);
        assert_eq!(ran.status, 0, "{block}\n{}\n{}", ran.out, ran.err);
    }
}
