//! Bundles that are objects in a store: S3 by moto, which checks signatures; Google's and Azure's by what they are
//! asked for.

use super::{Machine, Server, stamp};
use crate::support::{Ran, keyferry, run};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

const FILES: [&str; 3] = ["bundle.pem", "bundle.pem.manifest.json", "bundle.pem.manifest.json.minisig"];

/// `tests/oracles/s3_server.py`.
struct S3 {
    process: Ended,
    answers: BufReader<std::process::ChildStdout>,
    port: String,
    id: String,
    secret: String,
}

impl S3 {
    fn start(machine: &Machine) -> Self {
        let root = crate::support::root();
        let mut process = Command::new(root.join(".venv/bin/python"))
            .arg(root.join("tests/oracles/s3_server.py"))
            .arg(machine.dir.path())
            .arg(machine.path("web.crt"))
            .arg(machine.path("web.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().expect("moto is installed by scripts/test");
        S3 { port: word(), id: word(), secret: word(), process: Ended(process), answers }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.process.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    fn put(&mut self) {
        self.ask(&format!("put {}", FILES.join(" ")));
    }

    /// `apply` as the user of the bucket.
    fn apply(&self, machine: &Machine, secret: &str) -> Ran {
        let mut ours = keyferry();
        ours.args(["apply", "--config", "k.toml"]).current_dir(machine.dir.path());
        run(ours.env("AWS_ACCESS_KEY_ID", &self.id).env("AWS_SECRET_ACCESS_KEY", secret))
    }
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The configuration, its bundle coming from `source`.
fn configure(machine: &Machine, source: &str, options: &str) {
    machine.configure("", &machine.rule("client.p12", ""));
    let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
    let local = format!("source = \"{}\"", machine.text("bundle.pem"));
    assert!(text.contains(&local));
    let remote = format!(
        "source = \"{source}\"\nca_file = \"{}\"\ntimeout = \"10s\"\noptions = {{ {options} }}",
        machine.text("web.crt")
    );
    std::fs::write(machine.path("k.toml"), text.replace(&local, &remote)).unwrap();
}

/// A server with a bundle of ann and bob in its folder `trust`, as a bucket's objects are asked for.
fn serve(machine: &Machine) -> Server {
    let server = Server::start(machine);
    std::fs::write(machine.path("web/mode"), "honest").unwrap();
    std::fs::create_dir(machine.path("web/trust")).unwrap();
    machine.publish(&["ann", "bob"], &["--expires", "30d"]);
    for file in FILES {
        std::fs::copy(machine.path(file), machine.path(&format!("web/trust/{file}"))).unwrap();
    }
    server
}

#[test]
fn a_bundle_comes_from_s3() {
    let machine = Machine::new(&["ann", "bob", "cy"]);
    machine.store("client.p12", "ann");
    machine.server_certificate();
    let mut s3 = S3::start(&machine);
    machine.publish(&["ann", "bob"], &["--expires", "30d"]);
    s3.put();
    let reach = format!("aws_region = \"eu-central-1\", aws_endpoint = \"https://localhost:{}\"", s3.port);
    configure(&machine, "s3://trust/fleet/bundle.pem", &reach);

    let done = s3.apply(&machine, &s3.secret);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert_eq!(machine.holds("client.p12"), ["ann", "bob"]);
    assert_eq!(s3.ask("requests"), "200 200 200");
    // One small request where nothing is new.
    assert_eq!(s3.apply(&machine, &s3.secret).status, 0);
    assert_eq!(s3.ask("requests"), "304");
    machine.publish(&["ann", "bob", "cy"], &["--expires", "30d"]);
    s3.put();
    assert_eq!(s3.apply(&machine, &s3.secret).status, 0);
    assert_eq!(machine.holds("client.p12"), ["ann", "bob", "cy"]);

    // Somebody who isn't that user; an object that isn't there; one that is too large: nothing changes.
    let before = stamp(&machine.path("client.p12"));
    let refused = s3.apply(&machine, "guessed");
    assert!(refused.status == 5 && refused.err.contains("SignatureDoesNotMatch"), "{}", refused.err);
    assert!(!refused.err.contains("guessed"), "{}", refused.err);
    configure(&machine, "s3://trust/fleet/other.pem", &reach);
    let absent = s3.apply(&machine, &s3.secret);
    assert!(absent.status == 5 && absent.err.contains("NoSuchKey"), "{}{}", absent.status, absent.err);
    configure(&machine, "s3://trust/fleet/bundle.pem", &reach);
    machine.replace("k.toml", "timeout = \"10s\"", "timeout = \"10s\"\nmax_size = 100");
    std::fs::remove_dir_all(machine.path("state")).unwrap();
    let large = s3.apply(&machine, &s3.secret);
    assert!(large.err.contains("is larger than 100 bytes"), "{}{}", large.status, large.err);
    // A server in clear text is asked only where it is allowed in words.
    let clear = format!("aws_endpoint = \"http://localhost:{}\"", s3.port);
    configure(&machine, "s3://trust/fleet/bundle.pem", &clear);
    let refused = s3.apply(&machine, &s3.secret);
    assert!(refused.status == 3 && refused.err.contains("https"), "{}{}", refused.status, refused.err);
    assert_eq!(stamp(&machine.path("client.p12")), before);
}

#[test]
fn a_bundle_comes_from_the_stores_of_google_and_azure() {
    let machine = Machine::new(&["ann", "bob"]);
    let server = serve(&machine);
    let at = format!("https://localhost:{}", server.port);
    let stores = [
        ("gs", format!("google_base_url = \"{at}\", google_skip_signature = \"true\"")),
        (
            "az",
            format!(
                "azure_endpoint = \"{at}\", azure_storage_account_name = \"fleet\", azure_skip_signature = \"true\""
            ),
        ),
    ];
    for (scheme, options) in stores {
        let _ = std::fs::remove_dir_all(machine.path("state"));
        let _ = std::fs::remove_file(machine.path("client.p12"));
        machine.store("client.p12", "ann");
        configure(&machine, &format!("{scheme}://trust/bundle.pem"), &options);
        let done = machine.apply(&[]);
        assert_eq!(done.status, 0, "{scheme}: {}{}", done.out, done.err);
        assert_eq!(machine.holds("client.p12"), ["ann", "bob"], "{scheme}");
        std::fs::remove_file(machine.path("web/requests")).unwrap();
        assert_eq!(machine.apply(&[]).status, 0);
        let requests = std::fs::read_to_string(machine.path("web/requests")).unwrap();
        // Of the manifest, with the version that is known.
        assert!(requests.starts_with("/trust/bundle.pem.manifest.json \""), "{requests}");
        assert_eq!(requests.lines().count(), 1, "{requests}");
    }
}

/// All that comes from the network goes the way that the environment says.
#[test]
fn bundles_come_through_a_proxy() {
    let machine = Machine::new(&["ann", "bob"]);
    let server = serve(&machine);
    let script = crate::support::root().join("tests/oracles/proxy.py");
    let mut proxy = Command::new("python3");
    let proxy = proxy.arg(script).arg(machine.path("connects")).stdout(Stdio::piped()).spawn().unwrap();
    let (mut proxy, mut line) = (Ended(proxy), String::new());
    BufReader::new(proxy.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at = format!("https://localhost:{}", server.port);
    let objects = format!("google_base_url = \"{at}\", google_skip_signature = \"true\"");
    for (source, options) in
        [(format!("{at}/trust/bundle.pem"), ""), ("gs://trust/bundle.pem".to_owned(), &objects)]
    {
        let _ = std::fs::remove_file(machine.path("client.p12"));
        let _ = std::fs::remove_dir_all(machine.path("state"));
        machine.store("client.p12", "ann");
        configure(&machine, &source, options);
        let mut ours = keyferry();
        ours.args(["apply", "--config", "k.toml"]).current_dir(machine.dir.path());
        let done = run(ours.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", line.trim())));
        assert_eq!(done.status, 0, "{}{}", done.out, done.err);
        let connects = std::fs::read_to_string(machine.path("connects")).unwrap();
        assert!(connects.lines().all(|l| l == format!("localhost:{}", server.port)) && !connects.is_empty());
        std::fs::remove_file(machine.path("connects")).unwrap();
    }
}

#[test]
fn what_is_said_of_an_object_store_is_checked() {
    let machine = Machine::new(&["ann"]);
    machine.server_certificate();
    machine.publish(&["ann"], &[]);
    let cases = [
        ("s3://trust/b.pem", "aws_secret_access_key = \"abc\"", "belongs in the environment"),
        ("az://trust/b.pem", "azure_storage_sas_key = \"abc\"", "belongs in the environment"),
        ("https://trust.example/b.pem", "aws_region = \"x\"", "options are for object stores"),
    ];
    for (source, options, say) in cases {
        configure(&machine, source, options);
        let refused = machine.ends(&["config", "check", "--config", "k.toml"]);
        assert!(refused.status == 3 && refused.err.contains(say), "{source}: {}", refused.err);
    }
    configure(&machine, "s3://trust/b.pem", "aws_regoin = \"x\"");
    let refused = machine.apply(&[]);
    assert!(refused.status == 3 && refused.err.contains("aws_regoin is none of s3://"), "{}", refused.err);
    configure(&machine, "s3://trust/b.pem", "aws_allow_http = \"true\"");
    let pinned = format!("minisign:{}", machine.text("trust.pub"));
    machine.replace("k.toml", &pinned, "none");
    let refused = machine.apply(&[]);
    assert!(refused.status == 3 && refused.err.contains("believe anybody"), "{}", refused.err);
}
