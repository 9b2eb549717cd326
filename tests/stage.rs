//! Generations that are built now and switched to later, and sets whose switch was cut off.

use crate::apply::{Machine, SPEC, stamp};
use crate::kdb::{gskit, without_gskit};
use crate::support::{Ran, keyferry, must, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A set of three formats.
const SET: [&str; 3] = ["client.kdb", "client.p12", "client.jks"];

/// Ann's stores, which hold what `people` were in the bundle.
fn with_set(stores: &[&str], people: &[&str]) -> Machine {
    let machine = Machine::new(&["ann", "bob", "cy"]);
    stores.iter().for_each(|s| machine.store(s, "ann"));
    let rules: String = stores.iter().map(|s| machine.rule(s.rsplit(':').next().unwrap(), "")).collect();
    machine.configure("gates = { new_cas = false }", &rules);
    machine.publish(people, &[]);
    assert_eq!(machine.apply(&[]).status, 0);
    machine
}

fn status(machine: &Machine) -> Vec<Value> {
    serde_json::from_str(&machine.ours(&["status", "--config", "k.toml", "--json"]).out).unwrap()
}

fn staged(store: &str) -> String {
    format!("{store}.staged")
}

/// What each store holds.
fn all(machine: &Machine, stores: &[&str]) -> Vec<Vec<String>> {
    stores.iter().map(|s| machine.holds(s)).collect()
}

/// Runs `apply`, which is killed at the Nth time that a step comes.
fn killed_at(machine: &Machine, step: &str, arguments: &[&str]) -> Ran {
    let mut command = keyferry();
    command.args(["apply", "--config", "k.toml"]).args(arguments).current_dir(machine.dir.path());
    run(command.env("KEYFERRY_FAILPOINT", step))
}

#[test]
fn what_is_staged_waits_and_takes_its_place_later() {
    let stores = ["client.kdb", "client.p12", "client.jks", "nssdb"];
    let machine = with_set(&["client.kdb", "client.p12", "client.jks", "nss:nssdb"], &["ann", "bob", "root"]);
    assert!(status(&machine).iter().all(|s| s["staged"].is_null()));
    machine.publish(&["ann", "bob", "cy", "root"], &[]);
    let before = stores.map(|s| stamp(&machine.path(s)));
    let done = machine.apply(&["--stage"]);
    assert!(done.status == 0 && done.out.contains("staged"), "{}{}", done.out, done.err);
    assert_eq!(stores.map(|s| stamp(&machine.path(s))), before);
    assert_eq!(all(&machine, &stores), [["Root", "ann", "bob"]; 4]);
    // Complete stores, for whoever wants to look.
    assert_eq!(machine.holds("client.p12.staged/client.p12"), ["Root", "ann", "bob", "cy"]);
    for (row, store) in status(&machine).iter().zip(stores) {
        assert_eq!(row["staged"]["fits"], true, "{row}");
        assert_eq!(row["staged"]["inputs"].as_str().unwrap().len(), 64);
        if store != "nssdb" {
            let bytes = std::fs::read(machine.path(store)).unwrap();
            assert_eq!(row["staged"]["store"], crate::support::sha256(&bytes), "{row}");
        }
    }
    // No tree and no pattern takes it for a store.
    let listed = machine.ours(&["list", "-r", ".", "--password", SPEC]).out;
    assert!(!listed.contains(".staged"), "{listed}");
    // Nothing that tidies up takes it, and going back never goes there.
    machine.ours(&["prune", "client.p12", "--keep", "0", "--older-than", "0s"]);
    assert!(machine.path(&staged("client.p12")).is_dir());
    let back = machine.ends(&["rollback", "client.p12", "--password", SPEC]);
    assert_eq!(back.status, 5, "{}", back.err);
    // Another one takes the place of the first.
    let first = std::fs::read(machine.path("client.p12.staged/client.p12")).unwrap();
    machine.publish(&["ann", "cy", "bob"], &[]);
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    assert_ne!(std::fs::read(machine.path("client.p12.staged/client.p12")).unwrap(), first);
    let second = std::fs::read(machine.path("client.p12.staged/client.p12")).unwrap();

    let done = machine.apply(&["--commit"]);
    assert!(done.status == 0 && done.out.contains("replaced"), "{}{}", done.out, done.err);
    assert!(done.out.contains("CN=cy"), "{}", done.out);
    assert_eq!(all(&machine, &stores), [["ann", "bob", "cy"]; 4]);
    assert_eq!(std::fs::read(machine.path("client.p12")).unwrap(), second);
    assert!(stores.iter().all(|s| !machine.path(&staged(s)).exists()));
    let history = machine.ours(&["history", "--config", "k.toml"]).out;
    assert!(history.contains("staged") && history.contains("replaced"), "{history}");
    // Nothing is left to do, for either.
    for how in [&["--commit"][..], &["--stage"], &[]] {
        let same = machine.apply(how);
        assert!(same.status == 0 && same.out.contains("unchanged"), "{how:?}: {}{}", same.out, same.err);
    }
    assert!(stores.iter().all(|s| !machine.path(&staged(s)).exists()));
    machine.ours(&["rollback", "client.p12", "--password", SPEC]);
    assert_eq!(machine.holds("client.p12"), ["Root", "ann", "bob"]);
    let text = machine.ours(&["status", "--config", "k.toml"]).out;
    assert_eq!(text.matches("held: somebody went back").count(), 1, "{text}");
    // The publisher has another key for Ann than this machine.
    machine.certificate("ann", "/C=GB/O=SSS/CN=ann");
    machine.publish(&["ann", "bob"], &[]);
    assert_eq!(machine.apply(&["--approve", "removals", "--approve", "second-keys"]).status, 0);
    for row in status(&machine) {
        assert!(row["notes"][0].as_str().unwrap().contains("ahead of your key"), "{row}");
        assert!(row["held"].is_null() && row["key_days_left"] == 89, "{row}");
    }
}

/// Changes one thing after all was staged; the commit must then end so, with nothing switched.
#[track_caller]
fn refused_after(machine: &Machine, say: &str) {
    let before: Vec<_> = SET.iter().map(|s| std::fs::read(machine.path(s)).unwrap()).collect();
    let refused = machine.apply(&["--commit"]);
    assert_eq!(refused.status, 6, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains(say), "{}", refused.err);
    let after: Vec<_> = SET.iter().map(|s| std::fs::read(machine.path(s)).unwrap()).collect();
    assert!(before == after);
}

#[test]
fn nothing_stale_is_switched_to() {
    let machine = with_set(&SET, &["ann", "bob"]);
    let refused = machine.apply(&["--commit"]);
    assert_eq!(refused.status, 0, "all is current: {}", refused.err);
    machine.publish(&["ann", "bob", "root"], &[]);
    let refused = machine.apply(&["--commit"]);
    assert!(refused.status == 5 && refused.err.contains("nothing is staged"), "{}", refused.err);

    // The last store of the set was changed.
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    machine.ours(&["add", "client.jks", "cy.crt", "--password", SPEC, "--allow-loss"]);
    refused_after(&machine, "was changed since");
    let row = &status(&machine)[2];
    assert_eq!(row["staged"]["fits"], false, "{row}");
    machine.ours(&["prune", "client.jks"]);
    machine.ours(&["prune", "client.p12"]);
    assert!(!machine.path("client.jks.staged").exists() && machine.path("client.p12.staged").exists());

    // A staged file.
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    let path = machine.path("client.jks.staged/client.jks");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    refused_after(&machine, "staged generation was changed");

    // A bundle with a higher serial; and one that distrusts somebody.
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    machine.publish(&["ann", "bob", "cy", "root"], &[]);
    refused_after(&machine, "serial 3");
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    let hash = machine.ours(&["list", "bob.crt", "--json"]).out;
    let hash: Value = serde_json::from_str(&hash).unwrap();
    let bundle = machine.manifest();
    machine.publish(&["ann", "bob", "cy", "root"], &["--distrust", hash[0]["sha256"].as_str().unwrap()]);
    assert_ne!(machine.manifest(), bundle);
    refused_after(&machine, "serial 4");
    // Without a set, by flags.
    let rebuild = ["rebuild", "client.p12", "--bundle", "root.crt", "--password", SPEC];
    machine.ours(&[&rebuild[..], &["--stage"]].concat());
    let other = ["rebuild", "client.p12", "--bundle", "cy.crt", "--password", SPEC, "--commit"];
    let refused = machine.ends(&other);
    assert!(refused.status == 6 && refused.err.contains("has changed"), "{}", refused.err);
    machine.ours(&[&rebuild[..], &["--commit"]].concat());
    assert_eq!(machine.holds("client.p12"), ["Root", "ann"]);
}

/// What waits was stopped by nothing when it was staged; what counts is what would stop it now.
#[test]
fn what_was_staged_must_hold_by_todays_rules() {
    let machine = with_set(&SET, &["ann", "bob", "cy"]);
    let rules = SET.map(|s| machine.rule(s, "")).concat();
    let before: Vec<_> = SET.iter().map(|s| std::fs::read(machine.path(s)).unwrap()).collect();
    let unchanged =
        || SET.iter().zip(&before).all(|(s, was)| std::fs::read(machine.path(s)).unwrap() == *was);
    let stops = |approve: &[&str], status: i32, say: &str| {
        let ran = machine.apply(&[&["--commit"], approve].concat());
        assert_eq!(ran.status, status, "{say}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(say), "{say}: {}{}", ran.out, ran.err);
        assert!(unchanged(), "{say}");
    };
    let stage = |gates: &str, approve: &[&str]| {
        machine.configure(&format!("gates = {{ {gates} }}"), &rules);
        let staged = machine.apply(&[&["--stage"], approve].concat());
        assert_eq!(staged.status, 0, "{gates}: {}{}", staged.out, staged.err);
    };
    // A new CA, and the gate is closed since.
    machine.publish(&["ann", "bob", "cy", "root"], &[]);
    stage("new_cas = false", &[]);
    machine.configure("", &rules);
    stops(&[], 5, "would bring in the new CA CN=Root");
    let told = machine.apply(&["--commit", "--json"]);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert!(told.as_array().unwrap().iter().all(|r| r["stops"][0]["approve"].is_string()), "{told}");
    // An approval that was given for staging only. One that is given now counts.
    stage("", &["--approve", "cas"]);
    stops(&[], 5, "would bring in the new CA CN=Root");
    // Removals, all the more where subjects must stay.
    machine.publish(&["ann"], &[]);
    stage("max_removed_percent = 100", &[]);
    machine.configure("", &rules);
    stops(&[], 5, "would remove 2 of 2");
    machine.configure("gates = { max_removed_percent = 100, max_removed = 1 }", &rules);
    stops(&[], 5, "would remove 2 of 2");
    machine.configure("gates = { never_drop = [\"CN=cy\"] }", &rules);
    stops(&["--approve", "removals"], 5, "never to be dropped");
    // Another key for a name.
    let first = ["crt", "key"].map(|e| std::fs::read(machine.path(&format!("bob.{e}"))).unwrap());
    machine.certificate("bob", "/C=GB/O=SSS/CN=bob");
    machine.publish(&["ann", "bob", "cy"], &[]);
    stage("second_keys = false", &[]);
    machine.configure("", &rules);
    stops(&[], 5, "would bring in another key for CN=bob");
    ["crt", "key"]
        .iter()
        .zip(first)
        .for_each(|(e, b)| std::fs::write(machine.path(&format!("bob.{e}")), b).unwrap());
    // Another's organisation: what the bundle may bring is among what it was made from.
    machine.certificate("dan", "/O=Other/CN=dan");
    machine.publish(&["ann", "bob", "cy", "dan"], &[]);
    stage("", &[]);
    let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
    let bounded = text.replace("[[bundle]]\n", "[[bundle]]\nonly_under = \"O=SSS\"\n");
    assert_ne!(bounded, text);
    std::fs::write(machine.path("k.toml"), bounded).unwrap();
    let refused = machine.apply(&["--commit"]);
    assert!([5, 6].contains(&refused.status) && unchanged(), "{}{}", refused.out, refused.err);
    // Distrusted since, by another bundle that these stores are kept from, too.
    std::fs::write(machine.path("k.toml"), &text).unwrap();
    let hash = machine.ours(&["list", "dan.crt", "--json"]).out;
    let hash: Value = serde_json::from_str(&hash).unwrap();
    let hash = hash[0]["sha256"].as_str().unwrap();
    let others = ["ann", "bob", "cy"].map(|p| ["--add".to_owned(), format!("{p}.crt")]).concat();
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    machine.ours(&[&["bundle", "create", "other.pem", "--distrust", hash], &others[..]].concat());
    machine.ours(&["bundle", "sign", "other.pem", "--key", "trust.key", "--password", "none"]);
    let other = text.replace("bundle.pem", "other.pem").replace("/state\"", "/state-of-other\"");
    std::fs::write(machine.path("other.toml"), other).unwrap();
    let other = machine.ours(&["apply", "--config", "other.toml"]);
    assert!(other.out.contains("unchanged") && unchanged(), "{}{}", other.out, other.err);
    stops(&[], 6, "was distrusted since");
    // By the same bundle under the same serial.
    stage("", &[]);
    let serial = machine.manifest()["serial"].to_string();
    let same =
        ["bundle", "create", "bundle.pem", "--add", "dan.crt", "--serial", &serial, "--distrust", hash];
    machine.ours(&[&same[..], &others[..]].concat());
    machine.ours(&["bundle", "sign", "bundle.pem", "--key", "trust.key", "--password", "none"]);
    let refused = machine.apply(&["--commit"]);
    assert!(refused.status != 0 && unchanged(), "{}{}", refused.out, refused.err);
    // Nor does a key go that nobody gives up any more.
    let other_key = ["rebuild", "client.p12", "--bundle", "root.crt", "--key", "bob.p12", "--password", SPEC];
    machine.store("bob.p12", "bob");
    machine.ours(&[&other_key[..], &["--stage", "--allow-loss=key"]].concat());
    let refused = machine.ends(&[&other_key[..], &["--commit"]].concat());
    assert!(refused.status == 5 && unchanged(), "{}{}", refused.out, refused.err);
    machine.ours(&[&other_key[..], &["--commit", "--allow-loss=key"]].concat());
    assert_eq!(machine.holds("client.p12"), ["Root", "bob"]);
}

#[test]
fn a_set_that_was_cut_off_is_completed_by_the_next_run() {
    for (commit, stores) in [(false, &SET[..]), (true, &SET), (false, &["nssdb", "client.p12", "nss2"])] {
        let formats: Vec<String> = stores
            .iter()
            .map(|s| if s.starts_with("nss") { format!("nss:{s}") } else { (*s).to_owned() })
            .collect();
        let formats: Vec<&str> = formats.iter().map(String::as_str).collect();
        let machine = with_set(&formats, &["ann", "bob"]);
        let ran = machine.path("ran");
        let hook = format!("after = [[\"/bin/sh\", \"-c\", \"echo ran >> {}\"]]", ran.display());
        let rules: String = stores.iter().map(|s| machine.rule(s, &hook)).collect();
        machine.configure("gates = { new_cas = false }", &rules);
        let old = all(&machine, stores);
        // A database has no folder of its own to sync.
        let last = if stores == SET { 4 } else { 3 };
        for at in 1..=last {
            machine.publish(&["ann", "bob", ["cy", "root"][at % 2]], &[]);
            let new =
                vec![if at % 2 == 0 { vec!["ann", "bob", "cy"] } else { vec!["Root", "ann", "bob"] }; 3];
            let before = all(&machine, stores);
            if commit {
                assert_eq!(machine.apply(&["--stage"]).status, 0);
            }
            let _ = std::fs::remove_file(&ran);
            // Killed before the first, second, third rename; and when all are through, before the hooks.
            let step = if at < 4 { format!("rename:{at}") } else { "syncfolder:3".to_owned() };
            let how: &[&str] = if commit { &["--commit"] } else { &[] };
            let cut = killed_at(&machine, &step, how);
            assert_eq!(cut.status, 7, "{stores:?} {step}: {}{}", cut.out, cut.err);
            let now = all(&machine, stores);
            let switched = now.iter().zip(&new).filter(|(a, b)| a == b).count();
            assert_eq!(switched, at - 1, "{step}: {now:?}");
            for row in status(&machine) {
                let says = if at == 1 { Value::Null } else { "forward".into() };
                assert_eq!(row["interrupted"], says, "{step}: {row}");
            }
            if at > 1 {
                let text = machine.ours(&["status", "--config", "k.toml"]).out;
                assert!(text.contains("the next run completes it"), "{text}");
                let planned = machine.apply(&["--dry-run"]);
                assert!(planned.err.contains("the next run completes it"), "{}", planned.err);
                assert_eq!(all(&machine, stores), now);
            }
            let healed = machine.apply(how);
            assert_eq!(healed.status, 0, "{step}: {}{}", healed.out, healed.err);
            assert_eq!(healed.err.contains("it was completed"), at > 1, "{step}: {}", healed.err);
            assert_eq!(all(&machine, stores), new, "{step}");
            assert_eq!(std::fs::read_to_string(&ran).unwrap(), "ran\n", "{step}");
            assert!(stores.iter().all(|s| !machine.path(&staged(s)).exists()), "{step}");
            assert!(machine.apply(&[]).out.contains("unchanged"));
            // The set before is what a rollback gives.
            if at == 3 {
                for store in stores {
                    machine.ours(&["rollback", store, "--password", SPEC]);
                }
                assert_eq!(all(&machine, stores), before);
                assert_eq!(machine.apply(&["--ignore-hold"]).status, 0);
            }
        }
        assert_ne!(all(&machine, stores), old);
    }
}

#[test]
fn a_set_that_was_cut_off_and_can_t_be_completed_is_taken_back() {
    for damaged in [true, false] {
        let machine = with_set(&SET, &["ann", "bob"]);
        let before = all(&machine, &SET);
        machine.publish(&["ann", "bob", "root"], &[]);
        killed_at(&machine, "rename:3", &[]);
        if damaged {
            std::fs::write(machine.path("client.jks.staged/client.jks"), "damaged").unwrap();
        } else {
            machine.ours(&["add", "client.jks", "cy.crt", "--password", SPEC, "--allow-loss"]);
        }
        let text = machine.ours(&["status", "--config", "k.toml"]).out;
        assert!(text.contains("the next run takes it back"), "{text}");
        // What the run finds then is refused, and in one case the bundle itself, so that it shows what was healed.
        if damaged {
            std::fs::write(machine.path("bundle.pem.manifest.json.minisig"), "nobody signed this").unwrap();
        }
        machine.configure("gates = { max_removed = 0 }", &SET.map(|s| machine.rule(s, "")).concat());
        let healed = machine.apply(&[]);
        assert!(
            [3, 5].contains(&healed.status) && healed.err.contains("it was taken back"),
            "{}{}",
            healed.out,
            healed.err
        );
        assert_eq!(all(&machine, &SET[..2]), before[..2]);
        assert!(SET.iter().all(|s| !machine.path(&staged(s)).exists()));
        assert!(status(&machine).iter().all(|s| s["interrupted"].is_null()));
        machine.publish(&["ann", "bob", "root"], &[]);
        assert_eq!(machine.apply(&["--approve", "cas", "--approve", "removals"]).status, 0);
        assert_eq!(all(&machine, &SET), [["Root", "ann", "bob"]; 3]);
    }
}

/// A home with a `keystore.conf` that leads to a kdb and a JKS, configured with that as the pointer.
fn with_settings() -> Machine {
    let machine = Machine::new(&["ann", "bob", "cy"]);
    machine.store("home/ann/ann.kdb", "ann");
    machine.store("home/ann/ann.jks", "ann");
    machine.ours(&["stash", "home/ann/ann.kdb", "--password", SPEC]);
    let ann = machine.text("home/ann/ann");
    let text = format!(
        "# ours\r\nCMS.keystore  = {ann}\r\ncms.certificate = ann\r\n\r\njks.keystore={ann}\r\n\
         jks.encrypted = yes\r\njks.keystore_pass = <AMS>!2!c2l4dGVlbg==!a=b!\r\nwho knows\r\n"
    );
    std::fs::write(machine.path("home/ann/keystore.conf"), text).unwrap();
    configure_pointer(&machine, "");
    machine
}

fn configure_pointer(machine: &Machine, more: &str) {
    let pointer = format!("pointer = \"{}\"\n{more}", machine.text("home/*/keystore.conf"));
    let kdb = format!("[[store]]\npath = \"{}\"\n{pointer}\n", machine.text("home/*/ann.kdb"));
    let rules = kdb + &machine.rule("home/*/ann.jks", &pointer);
    machine.configure("gates = { new_cas = false, max_removed_percent = 100 }", &rules);
}

fn conf(machine: &Machine) -> String {
    std::fs::read_to_string(machine.path("home/ann/keystore.conf")).unwrap()
}

/// What the stores hold that the file leads to.
fn led(machine: &Machine) -> [Vec<String>; 2] {
    let text = conf(machine);
    let value =
        |key: &str| text.lines().find_map(|l| l.split_once('=').filter(|(k, _)| k.trim() == key)).unwrap().1;
    [format!("{}.kdb", value("CMS.keystore").trim()), format!("{}.jks", value("jks.keystore").trim())]
        .map(|store| machine.holds(&store))
}

fn generations(machine: &Machine) -> Vec<String> {
    let list = std::fs::read_dir(machine.path("home/ann")).unwrap();
    let names = list.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|n| n.contains(".gen-")).collect();
    names.sort();
    names
}

#[test]
fn a_settings_file_is_switched_for_all_its_stores_at_once() {
    let machine = with_settings();
    let before =
        ["home/ann/ann.kdb", "home/ann/ann.jks", "home/ann/ann.sth"].map(|s| stamp(&machine.path(s)));
    let first = conf(&machine);
    machine.publish(&["ann", "bob"], &[]);
    let planned = machine.apply(&["--dry-run"]);
    assert!(planned.status == 0 && conf(&machine) == first, "{}{}", planned.out, planned.err);
    let done = machine.apply(&[]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    let ann = machine.text("home/ann/ann");
    let expected = first
        .replace(&format!("CMS.keystore  = {ann}"), &format!("CMS.keystore  = {ann}.kdb.gen-1/ann"))
        .replace(&format!("jks.keystore={ann}"), &format!("jks.keystore={ann}.jks.gen-1/ann"));
    assert_eq!(conf(&machine), expected);
    assert_eq!(led(&machine), [["ann", "bob"]; 2]);
    assert_eq!(
        ["home/ann/ann.kdb", "home/ann/ann.jks", "home/ann/ann.sth"].map(|s| stamp(&machine.path(s))),
        before,
        "the generation before stays where it is"
    );
    assert_eq!(generations(&machine), ["ann.jks.gen-1", "ann.kdb.gen-1"]);
    let same = machine.apply(&[]);
    assert!(same.status == 0 && same.out.contains("unchanged"), "{}{}", same.out, same.err);
    // Staged, then switched.
    machine.publish(&["ann", "bob", "root"], &[]);
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    assert_eq!(conf(&machine), expected);
    let rows = status(&machine);
    assert!(rows.iter().all(|r| r["staged"]["fits"] == true), "{rows:?}");
    assert!(rows[0]["store"].as_str().unwrap().ends_with("ann.kdb.gen-1/ann.kdb"), "{rows:?}");
    let done = machine.apply(&["--commit"]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert_eq!(led(&machine), [["Root", "ann", "bob"]; 2]);
    assert_eq!(generations(&machine).len(), 4);

    // Going back is one rename as well, and holds.
    machine.ours(&["rollback", "home/ann/keystore.conf"]);
    assert_eq!(conf(&machine), expected);
    assert!(status(&machine).iter().all(|r| r["held"] == true));
    let held = machine.apply(&[]);
    assert!(held.status == 0 && held.out.contains("went back"), "{}{}", held.out, held.err);
    machine.publish(&["ann", "bob", "cy", "root"], &[]);
    assert_eq!(machine.apply(&[]).status, 0);
    assert_eq!(led(&machine), [["Root", "ann", "bob", "cy"]; 2]);

    // What a hook refuses is led to no more. A program that was just started may still open it: it stays as long as
    // old generations do.
    let (now, there) = (conf(&machine), generations(&machine));
    machine.publish(&["ann"], &[]);
    for refused in 1..3 {
        configure_pointer(&machine, "after = [[\"/bin/false\"]]");
        assert_eq!(machine.apply(&[]).status, 7);
        assert_eq!(conf(&machine), now);
        assert_eq!(generations(&machine).len(), there.len() + 2 * refused);
    }
    configure_pointer(&machine, "after = [[\"/bin/false\"]]\nretention = \"0s\"");
    assert_eq!(machine.apply(&[]).status, 7);
    assert_eq!((conf(&machine), generations(&machine)), (now.clone(), there.clone()));
    // Nor does a kill before the one rename; after it, it is done.
    configure_pointer(&machine, "");
    assert_eq!(killed_at(&machine, "rename:1", &[]).status, 7);
    assert_eq!(conf(&machine), now);
    assert_eq!(machine.apply(&[]).status, 0);
    assert_eq!(led(&machine), [["ann"]; 2]);
    // Old generations go when no old settings file leads to them.
    configure_pointer(&machine, "keep = 1\nretention = \"0s\"");
    machine.publish(&["ann", "bob"], &[]);
    let done = machine.apply(&[]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert_eq!(generations(&machine).len(), 4, "{:?}", generations(&machine));
    machine.ours(&["rollback", "home/ann/keystore.conf"]);
    assert_eq!(led(&machine), [["ann"]; 2]);
    // What is distrusted doesn't come back that way either.
    let hash = machine.ours(&["list", "bob.crt", "--json"]).out;
    let hash: Value = serde_json::from_str(&hash).unwrap();
    machine.publish(&["ann", "bob"], &[]);
    assert_eq!(machine.apply(&[]).status, 0);
    machine.publish(&["ann"], &["--distrust", hash[0]["sha256"].as_str().unwrap()]);
    assert_eq!(machine.apply(&[]).status, 0);
    let back = machine.ends(&["rollback", "home/ann/keystore.conf", "--password", SPEC]);
    assert!(back.status == 5 && back.err.contains("distrusted"), "{}{}", back.out, back.err);
    assert_eq!(led(&machine), [["ann"]; 2]);
    // A file that leads elsewhere is nobody's to change.
    let elsewhere = conf(&machine).replace("jks.keystore=", "jks.keystore=/nowhere");
    std::fs::write(machine.path("home/ann/keystore.conf"), &elsewhere).unwrap();
    machine.publish(&["ann", "cy"], &[]);
    let refused = machine.apply(&[]);
    assert!(refused.status == 5 && refused.err.contains("leads to no generation"), "{}", refused.err);
    assert_eq!(conf(&machine), elsewhere);
}

/// The store as it was found, before a settings file led to generations: it goes as they do, when nothing needs it.
#[test]
fn the_first_store_goes_when_nothing_leads_to_it() {
    let machine = with_settings();
    machine.publish(&["ann", "bob"], &[]);
    assert_eq!(machine.apply(&[]).status, 0);
    let there = |name: &str| machine.path(&format!("home/ann/{name}")).exists();
    let prune = |keep: &str, age: &str, more: &[&str]| {
        let settings = ["prune", "home/ann/keystore.conf", "--keep", keep, "--older-than", age];
        machine.ours(&[&settings[..], &["--password", SPEC], more].concat())
    };
    for (row, name) in status(&machine).iter().zip(["ann.kdb", "ann.jks"]) {
        let old: Vec<_> =
            row["generations"].as_array().unwrap().iter().map(|g| g["path"].as_str().unwrap()).collect();
        assert_eq!(old, [machine.text(&format!("home/ann/{name}"))]);
    }
    // An old generation of the settings file leads there, as long as that stays.
    for (keep, age) in [("0", "1h"), ("1", "0s")] {
        assert!(prune(keep, age, &[]).out.is_empty());
    }
    let planned = prune("0", "0s", &["--dry-run"]).out;
    for name in ["keystore.conf.old-1", "ann.kdb", "ann.jks"] {
        assert!(
            planned.lines().any(|l| l.ends_with(&format!("home/ann/{name}"))) && there(name),
            "{planned}"
        );
    }
    // Somebody else is led there: by another file, a link, or a second name.
    let kdb = machine.text("home/ann/ann.kdb");
    let other = format!("SSL:\n   SSLKeyRepository={}\n", machine.text("home/ann/ann"));
    std::fs::write(machine.path("home/ann/mqclient.ini"), other).unwrap();
    let gone = prune("0", "0s", &["--dry-run"]).out;
    assert!(gone.contains("ann.jks\n") && !gone.contains("ann.kdb\n"), "{gone}");
    std::fs::remove_file(machine.path("home/ann/mqclient.ini")).unwrap();
    std::os::unix::fs::symlink("ann.kdb", machine.path("home/ann/link.kdb")).unwrap();
    assert!(!prune("0", "0s", &["--dry-run"]).out.contains("ann.kdb\n"));
    std::fs::remove_file(machine.path("home/ann/link.kdb")).unwrap();
    std::fs::hard_link(&kdb, machine.path("second.kdb")).unwrap();
    let kept = prune("0", "0s", &["--dry-run"]);
    assert!(!kept.out.contains("ann.kdb\n") && kept.err.contains("second name"), "{}{}", kept.out, kept.err);
    std::fs::remove_file(machine.path("second.kdb")).unwrap();
    // It holds a key that nothing else does: one that waits for its certificate. Then the other one goes alone.
    machine.ours(&[
        "request",
        "create",
        &kdb,
        "-l",
        "waits",
        "--dn",
        "CN=waits",
        "--key-type",
        "ec:p256",
        "--file",
        "waits.csr",
        "--password",
        SPEC,
    ]);
    assert!(there("ann.rdb"));
    let kept = prune("0", "0s", &[]);
    assert!(kept.err.contains("ann.kdb: stays, for it holds a private key"), "{}{}", kept.out, kept.err);
    assert!(there("ann.kdb") && there("ann.rdb") && there("ann.sth") && !there("ann.jks"));
    assert!(!there("keystore.conf.old-1"));
    machine.ours(&["request", "delete", &kdb, "waits", "--yes", "--password", SPEC]);
    // The stash stays, for whoever takes the password from it.
    let gone = prune("0", "0s", &[]).out;
    assert!(gone.lines().any(|l| l.ends_with("home/ann/ann.kdb")), "{gone}");
    assert!(!there("ann.kdb") && !there("ann.rdb") && there("ann.sth"));
    // All goes on without it.
    assert!(machine.apply(&[]).out.contains("unchanged"));
    machine.publish(&["ann", "bob", "root"], &[]);
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    assert_eq!(machine.apply(&["--commit"]).status, 0);
    assert_eq!(led(&machine), [["Root", "ann", "bob"]; 2]);
    machine.ours(&["rollback", "home/ann/keystore.conf"]);
    assert_eq!(led(&machine), [["ann", "bob"]; 2]);

    // `apply` does the same.
    let machine = with_settings();
    let there = |name: &str| machine.path(&format!("home/ann/{name}")).exists();
    configure_pointer(&machine, "keep = 1\nretention = \"0s\"");
    for (n, people) in [&["ann", "bob"][..], &["ann", "cy"], &["ann", "bob", "cy"]].iter().enumerate() {
        machine.publish(people, &[]);
        let done = machine.apply(&["--approve", "second-keys"]);
        assert_eq!(done.status, 0, "{}{}", done.out, done.err);
        assert_eq!(led(&machine), [*people; 2]);
        let stays = n == 0;
        assert!(["ann.kdb", "ann.jks"].iter().all(|f| there(f) == stays), "{n}");
    }
}

/// A set of which `keystore.conf` leads to two stores, between two that are replaced where they are: whichever of them a
/// run that was cut off had switched, the next one switches the rest or takes all back, and nothing ever touches a file
/// that the settings lead to or led to.
#[test]
fn a_mixed_set_is_healed_whatever_was_switched() {
    let machine = with_settings();
    machine.store("home/ann/one.p12", "ann");
    machine.store("home/ann/two.jks", "ann");
    let ran = machine.path("ran");
    let hook = format!("after = [[\"/bin/sh\", \"-c\", \"echo ran >> {}\"]]", ran.display());
    let pointer = format!("pointer = \"{}\"", machine.text("home/*/keystore.conf"));
    let rules = [("one.p12", ""), ("ann.kdb", &*pointer), ("two.jks", &hook), ("ann.jks", &pointer)];
    let rules = rules.map(|(name, more)| machine.rule(&format!("home/*/{name}"), more)).concat();
    machine.configure("gates = { new_cas = false, max_removed_percent = 100 }", &rules);
    machine.publish(&["ann", "bob"], &[]);
    assert_eq!(machine.apply(&[]).status, 0);
    machine.publish(&["ann", "bob", "root"], &[]);
    assert_eq!(machine.apply(&["--stage"]).status, 0);
    let at = |folder: &str, name: &str| machine.path(&format!("{folder}/ann/{name}"));
    let copy = |from: &Path, to: &Path| {
        let _ = std::fs::remove_dir_all(to);
        must(Command::new("cp").arg("-a").arg("-T").args([from, to]));
    };
    for staged in ["one.p12", "two.jks", "ann.kdb", "ann.jks"] {
        std::fs::write(at("home", &format!("{staged}.staged/keyferry.begun")), "").unwrap();
    }
    copy(&machine.path("home"), &machine.path("before"));
    assert_eq!(machine.apply(&["--commit"]).status, 0);
    copy(&machine.path("home"), &machine.path("after"));
    let old_conf = std::fs::read(at("before", "keystore.conf")).unwrap();
    // What is not completed is stopped by that, so that it shows what was healed.
    machine.configure("gates = { max_removed_percent = 100 }", &rules);
    // A file that the settings lead to, or led to, stays what it is: the same inode with the same bytes.
    let watched = || {
        let folders = generations(&machine).into_iter().chain([".".to_owned()]);
        let names = folders.flat_map(|f| ["ann.kdb", "ann.sth", "ann.jks"].map(|n| format!("{f}/{n}")));
        let files = names.map(|n| at("home", &n)).filter(|p| p.is_file());
        files.map(|p| (p.metadata().unwrap().ino(), std::fs::read(&p).unwrap(), p)).collect::<Vec<_>>()
    };
    let units = [
        &["one.p12", "one.p12.old-2"][..],
        &["two.jks", "two.jks.old-2"],
        &["keystore.conf", "keystore.conf.old-2", "ann.kdb.gen-2", "ann.jks.gen-2"],
    ];
    let kinds =
        || [machine.holds("home/ann/one.p12"), machine.holds("home/ann/two.jks"), led(&machine)[0].clone()];
    let (old, new) = (vec!["ann", "bob"], vec!["Root", "ann", "bob"]);
    for state in 0..8 {
        // What has taken its place no longer waits, or still does; what waits is whole, or not.
        for (damaged, gone) in [(false, false), (state < 7, state == 7)] {
            copy(&machine.path("before"), &machine.path("home"));
            let switched = |unit: usize| state & 1 << unit != 0;
            for name in (0..3).filter(|u| switched(*u)).flat_map(|u| units[u]) {
                must(Command::new("cp").arg("-a").args([at("after", name), at("home", "")]));
            }
            if gone {
                std::fs::remove_dir_all(at("home", "one.p12.staged")).unwrap();
            }
            let waits = ["one.p12", "two.jks", "ann.jks"];
            let waits =
                (0..3).find(|u| !switched(*u)).map(|u| at("home", &format!("{0}.staged/{0}", waits[u])));
            if let (Some(waits), true) = (&waits, damaged) {
                std::fs::write(waits, "damaged").unwrap();
            }
            let way = match (state, damaged && waits.is_some()) {
                (0, _) => None,
                (_, false) => Some("forward"),
                (_, true) => Some("back"),
            };
            let what = format!("state {state:03b}, damaged {damaged}, gone {gone}");
            for row in status(&machine) {
                let own = row["store"].as_str().unwrap().ends_with("one.p12") && gone;
                assert!(own || row["interrupted"].as_str() == way, "{what}: {row}");
            }
            let before = watched();
            assert_eq!(led(&machine)[0], led(&machine)[1], "{what}");
            let _ = std::fs::remove_file(&ran);
            let healed = machine.apply(&[]);
            let ends = if way == Some("forward") { 0 } else { 5 };
            assert_eq!(healed.status, ends, "{what}: {}{}", healed.out, healed.err);
            assert_eq!(
                healed.err.contains("it was completed"),
                way == Some("forward"),
                "{what}: {}",
                healed.err
            );
            assert_eq!(
                healed.err.contains("it was taken back"),
                way == Some("back"),
                "{what}: {}",
                healed.err
            );
            let expected = if way == Some("forward") { &new } else { &old };
            assert_eq!(kinds(), [&expected[..]; 3], "{what}");
            assert_eq!(led(&machine), [&expected[..]; 2], "{what}");
            assert_eq!(ran.exists(), way == Some("forward"), "{what}");
            for (inode, bytes, path) in &before {
                assert_eq!(path.metadata().unwrap().ino(), *inode, "{what}: {}", path.display());
                assert!(std::fs::read(path).unwrap() == *bytes, "{what}: {}", path.display());
            }
            if way == Some("back") {
                assert!(std::fs::read(at("home", "keystore.conf")).unwrap() == old_conf, "{what}");
            }
            let names = std::fs::read_dir(at("home", "")).unwrap().map(|e| e.unwrap().file_name());
            let wrong = |n: &String| n.contains(".old-") && !n.ends_with("old-1") && n.starts_with("ann");
            let names: Vec<_> = names.map(|n| n.into_string().unwrap()).filter(wrong).collect();
            assert!(names.is_empty(), "{what}: a generation has generations: {names:?}");
            if way.is_some() {
                let waits = |n: &str| at("home", &format!("{n}.staged")).exists();
                assert!(!["one.p12", "two.jks", "ann.kdb", "ann.jks"].into_iter().any(waits), "{what}");
            }
            // All of it goes on from there.
            let done = machine.apply(&["--approve", "cas"]);
            assert_eq!(done.status, 0, "{what}: {}{}", done.out, done.err);
            assert_eq!(kinds(), [&new[..]; 3], "{what}");
            assert!(machine.apply(&[]).out.contains("unchanged"), "{what}");
        }
    }
}

/// The store that `mqclient.ini` leads to, as MQ takes its value: without `.kdb` (up to 9.2 it must be), with any other
/// extension.
fn repository(machine: &Machine) -> PathBuf {
    let text = std::fs::read_to_string(machine.path("mqm/mqclient.ini")).unwrap();
    let mut values = text.lines().filter_map(|l| l.trim().strip_prefix("SSLKeyRepository="));
    let value = values.next_back().unwrap();
    let path = PathBuf::from(value);
    if path.is_file() { path } else { PathBuf::from(format!("{value}.kdb")) }
}

/// What GSKit finds in it, opened as a client does first: with the stash beside it.
fn gskit_opens(machine: &Machine) -> usize {
    let store = repository(machine);
    assert!(store.with_extension("sth").is_file(), "{store:?}");
    if without_gskit() {
        return machine.holds(store.to_str().unwrap()).len();
    }
    gskit(&["open-stashed"], &store, &["--stash-file", store.with_extension("sth").to_str().unwrap()]);
    gskit_finds(&store).len()
}

/// The same for `mqclient.ini`: a kdb by its stem, one with a dot in it, and a PKCS#12 as MQ takes it from 9.3 on.
#[test]
fn mqclient_ini_is_switched_rolled_back_and_healed() {
    for (name, value) in [("client.kdb", "client"), ("mq.v9.kdb", "mq.v9"), ("client.p12", "client.p12")] {
        let machine = Machine::new(&["ann", "bob", "cy"]);
        let store = format!("mqm/{name}");
        machine.store(&store, "ann");
        machine.ours(&["stash", &store, "--password", SPEC]);
        machine.store("mqm/java.jks", "ann");
        let ini = |repository: &str| {
            format!(
                "# SSLKeyRepository=/not/this\r\nCHANNELS:\r\n   SSLKeyRepository=/nor/this\r\nSSL:\r\n   \
                 SSLKeyRepository={repository}\r\n   CertificateLabel=ann\r\n   \
                 SSLKeyRepositoryPassword=<SSLKR>!2!c2l4dGVlbg==!a=b!\r\nwho knows\r\n"
            )
        };
        let first = ini(&machine.text(&format!("mqm/{value}")));
        let read = || std::fs::read_to_string(machine.path("mqm/mqclient.ini")).unwrap();
        std::fs::write(machine.path("mqm/mqclient.ini"), &first).unwrap();
        let pointer = format!("pointer = \"{}\"", machine.text("mqm/mqclient.ini"));
        // A PKCS#12 that `init` finds is opened by its stash.
        let password =
            format!("password = \"stash:{}\"\n", repository(&machine).with_extension("sth").display());
        let own = format!("[[store]]\npath = \"{}\"\n{pointer}\n", machine.text(&store));
        let own = if name.ends_with(".p12") { own + &password } else { own };
        let configure = |more: &str| {
            let rules = machine.rule("mqm/java.jks", more) + &own;
            machine.configure("gates = { new_cas = false, max_removed_percent = 100 }", &rules);
        };
        configure("");
        let holds = || machine.holds(repository(&machine).to_str().unwrap());
        let before = stamp(&machine.path(&store));
        machine.publish(&["ann", "bob"], &[]);
        let done = machine.apply(&[]);
        assert_eq!(done.status, 0, "{name}: {}{}", done.out, done.err);
        let second = ini(&machine.text(&format!("mqm/{name}.gen-1/{value}")));
        assert_eq!(read(), second, "{name}");
        assert_eq!(stamp(&machine.path(&store)), before, "{name}");
        assert_eq!(holds(), ["ann", "bob"]);
        let entries = gskit_opens(&machine);
        assert!(machine.apply(&[]).out.contains("unchanged"), "{name}");
        // Cut off before and after the rename of the file: the next run completes it, by the file alone.
        machine.publish(&["ann", "bob", "root"], &[]);
        assert_eq!(killed_at(&machine, "rename:2", &[]).status, 7);
        assert_eq!(
            (read(), machine.holds("mqm/java.jks")),
            (second.clone(), vec!["Root".into(), "ann".into(), "bob".into()])
        );
        assert_eq!(holds().len(), entries, "{name}");
        let folder = format!("mqm/{name}.gen-1");
        let generation = stamp(&machine.path(&format!("{folder}/{name}")));
        let healed = machine.apply(&[]);
        assert!(
            healed.status == 0 && healed.err.contains("it was completed"),
            "{name}: {}{}",
            healed.out,
            healed.err
        );
        assert_eq!(holds(), ["Root", "ann", "bob"], "{name}");
        assert_eq!(gskit_opens(&machine), entries + 1, "{name}");
        assert_eq!(stamp(&machine.path(&format!("{folder}/{name}"))), generation, "{name}");
        assert!(!machine.path(&format!("{folder}/{name}.old-1")).exists(), "{name}");
        machine.publish(&["ann", "cy"], &[]);
        assert_eq!(killed_at(&machine, "syncfolder:2", &["--approve", "second-keys"]).status, 7);
        assert_eq!(holds(), ["ann", "cy"], "{name}");
        let (ini_then, healed) = (read(), machine.apply(&[]));
        assert!(
            healed.status == 0 && healed.err.contains("it was completed"),
            "{name}: {}{}",
            healed.out,
            healed.err
        );
        assert_eq!((read(), holds().len()), (ini_then, entries), "{name}");
        // A hook that fails puts the file back; what is staged is switched to.
        let now = read();
        machine.publish(&["ann"], &[]);
        configure("after = [[\"/bin/false\"]]");
        assert_eq!(machine.apply(&[]).status, 7);
        assert_eq!((read(), holds().len()), (now.clone(), entries), "{name}");
        configure("");
        machine.publish(&["ann", "bob", "cy"], &[]);
        assert_eq!(machine.apply(&["--stage"]).status, 0);
        assert_eq!(read(), now, "{name}");
        assert_eq!(machine.apply(&["--commit"]).status, 0);
        assert_eq!(holds(), ["ann", "bob", "cy"], "{name}");
        // Back, which holds; and what nothing leads to goes.
        machine.ours(&["rollback", "mqm/mqclient.ini"]);
        assert_eq!(holds(), ["ann", "cy"], "{name}");
        let held = machine.apply(&[]);
        assert!(held.out.contains("went back"), "{name}: {}{}", held.out, held.err);
        let gone = machine.ours(&[
            "prune",
            "mqm/mqclient.ini",
            "--keep",
            "0",
            "--older-than",
            "0s",
            "--password",
            SPEC,
        ]);
        assert!(gone.out.lines().any(|l| l.ends_with(&store)), "{name}: {}{}", gone.out, gone.err);
        assert!(!machine.path(&store).exists(), "{name}");
        assert_eq!(gskit_opens(&machine), entries, "{name}");
        assert_eq!(read(), ini(repository(&machine).to_str().unwrap().trim_end_matches(".kdb")), "{name}");
    }
}

#[test]
fn a_probe_that_fails_puts_the_set_back() {
    let machine = with_set(&SET[1..], &["ann", "bob"]);
    let log = machine.text("log");
    let configure = |probe: &str| {
        let hooks = format!(
            "after = [[\"/bin/sh\", \"-c\", \"echo restarted >> {log}\"]]\n\
             probe = [[\"/bin/sh\", \"-c\", \"echo probed $KEYFERRY_STORES >> {log}; {probe}\"]]"
        );
        let rules: String = SET[1..].iter().map(|s| machine.rule(s, &hooks)).collect();
        machine.configure("gates = { new_cas = false }", &rules);
    };
    let log = || std::fs::read_to_string(machine.path("log")).unwrap();
    let probed = format!("probed {} {}\n", machine.text("client.p12"), machine.text("client.jks"));
    machine.publish(&["ann", "bob", "root"], &[]);
    let before = SET[1..].iter().map(|s| std::fs::read(machine.path(s)).unwrap()).collect::<Vec<_>>();
    configure("echo no answer; exit 9");
    let failed = machine.apply(&[]);
    assert!(failed.status == 7 && failed.err.contains("no answer"), "{}{}", failed.out, failed.err);
    let now = SET[1..].iter().map(|s| std::fs::read(machine.path(s)).unwrap()).collect::<Vec<_>>();
    assert!(now == before);
    // What was restarted with the new stores is restarted with the old ones.
    assert_eq!(log(), format!("restarted\n{probed}restarted\n"));
    assert!(SET.iter().all(|s| !machine.path(&staged(s)).exists()));
    configure("exit 0");
    assert_eq!(machine.apply(&[]).status, 0);
    assert_eq!(log(), format!("restarted\n{probed}restarted\nrestarted\n{probed}"));
    assert_eq!(all(&machine, &SET[1..]), [["Root", "ann", "bob"]; 2]);
    let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
    std::fs::write(machine.path("k.toml"), text.replace("probe = [[\"/", "probe = [[\"")).unwrap();
    assert_eq!(machine.ends(&["config", "check", "--config", "k.toml"]).status, 3);
}

/// A home on a server that is gone: its password file is a pipe that nobody writes into.
#[test]
fn a_home_that_hangs_holds_no_status_up() {
    let machine = Machine::new(&["ann", "bob"]);
    for (n, home) in ["a", "b", "c"].into_iter().enumerate() {
        machine.store(&format!("home/{home}/client.p12"), "ann");
        let password = machine.path(&format!("home/{home}/pw"));
        match home {
            "b" => drop(must(Command::new("mkfifo").arg("-m600").arg(password))),
            _ => drop(must(Command::new("cp").arg(machine.path("pw")).arg(password))),
        }
        // As root, in other users' homes.
        if rustix::process::geteuid().is_root() {
            let owner = (20_100 + n).to_string();
            must(
                Command::new("chown")
                    .arg("-R")
                    .arg(format!("{owner}:{owner}"))
                    .arg(machine.path(&format!("home/{home}"))),
            );
        }
    }
    let (all, own) = (machine.text("pw"), machine.text("home/*/pw"));
    for (more, jobs) in [(&[][..], ""), (&["--json"], "jobs = 1")] {
        machine.configure(
            &format!("limit = \"2s\"\n{jobs}"),
            &machine.rule("home/*/client.p12", "").replace(&all, &own),
        );
        let begun = std::time::Instant::now();
        let seen = machine.ends(&[&["status", "--config", "k.toml"], more].concat());
        assert!(begun.elapsed().as_secs() < 20);
        assert_eq!(seen.status, 8, "{}{}", seen.out, seen.err);
        assert!(seen.err.contains("home/b/client.p12: took longer than 2 s"), "{}", seen.err);
        for home in ["a", "c"] {
            assert!(seen.out.contains(&format!("home/{home}/client.p12")), "{}", seen.out);
        }
        assert_eq!(seen.out.matches("CN=ann").count(), if jobs.is_empty() { 4 } else { 8 }, "{}", seen.out);
    }
}

/// How many updates the readers have to bear; more with KEYFERRY_SWAPS.
fn swaps() -> usize {
    std::env::var("KEYFERRY_SWAPS").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}

/// Runs `apply` with the one bundle and the other in turn until so many updates are through and the reader has looked
/// often enough.
fn alternate(machine: &Machine, reads: &AtomicUsize) {
    let signed = format!("verify = \"minisign:{}\"", machine.text("trust.pub"));
    let text = std::fs::read_to_string(machine.path("k.toml")).unwrap();
    assert!(text.contains(&signed));
    std::fs::write(machine.path("k.toml"), text.replace(&signed, "verify = \"none\"")).unwrap();
    let bundles = [&["ann", "bob"][..], &["ann", "cy", "root"]].map(|people| {
        let one = |p: &&str| std::fs::read_to_string(machine.path(&format!("{p}.crt"))).unwrap();
        people.iter().map(one).collect::<String>()
    });
    // The stores may hold what the first says.
    let mut n = 1;
    while n <= swaps() || reads.load(Ordering::Relaxed) < 6 {
        std::fs::write(machine.path("bundle.pem"), &bundles[n % 2]).unwrap();
        let done = machine.apply(&["--approve", "removals", "--approve", "second-keys"]);
        assert!(done.status == 0 && done.out.contains("replaced"), "{}{}", done.out, done.err);
        n += 1;
    }
}

/// The fingerprints that GSKit finds in a kdb.
fn gskit_finds(kdb: &Path) -> BTreeSet<String> {
    let password = "client-password";
    let listed = gskit(&["list"], kdb, &["--pw", password]);
    let entries = listed["entries"].as_array().unwrap().iter();
    entries.map(|e| e["sha256"].as_str().unwrap().to_owned()).collect()
}

/// The fingerprints that keytool finds in a Java store.
fn keytool_finds(jks: &Path) -> BTreeSet<String> {
    let mut keytool = Command::new("keytool");
    keytool.args(["-list", "-storepass", "client-password", "-keystore"]).arg(jks);
    let out = must(&mut keytool).out;
    let lines = out.lines().filter_map(|l| l.split_once("(SHA-256): "));
    lines.map(|(_, hash)| hash.trim().replace(':', "").to_lowercase()).collect()
}

/// The labels that certutil finds in an NSS database, where it finds the key too.
fn certutil_finds(machine: &Machine, folder: &str) -> Vec<String> {
    let certutil = |what: &str| {
        let database = format!("sql:{}", machine.text(folder));
        must(Command::new("certutil").args([what, "-d", &database, "-f", &machine.text("pw")])).out
    };
    assert!(certutil("-K").contains("ann"));
    let listed = certutil("-L");
    let lines = listed.lines().skip_while(|l| !l.contains("SSL,S/MIME")).skip(1);
    let mut labels: Vec<String> = lines
        .filter_map(|l| l.trim_end().rsplit_once(' '))
        .map(|(label, _)| label.trim_end().to_owned())
        .collect();
    labels.sort();
    labels
}

/// Whoever reads the settings file once, and then takes its time, has both stores of one generation.
#[test]
fn programs_that_start_meanwhile_never_mix_generations() {
    if without_gskit() {
        return;
    }
    let machine = with_settings();
    configure_pointer(&machine, "retention = \"1h\"");
    let (reads, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let text = conf(&machine);
                let value = |key: &str| {
                    let line = text.lines().find_map(|l| l.split_once('=').filter(|(k, _)| k.trim() == key));
                    line.unwrap().1.trim().to_owned()
                };
                let kdb = PathBuf::from(format!("{}.kdb", value("CMS.keystore")));
                let jks = PathBuf::from(format!("{}.jks", value("jks.keystore")));
                gskit(&["open-stashed"], &kdb, &[]);
                let (theirs, javas) = (gskit_finds(&kdb), keytool_finds(&jks));
                assert!(!theirs.is_empty() && theirs == javas, "{text}: {theirs:?} {javas:?}");
                seen.insert(theirs);
                reads.fetch_add(1, Ordering::Relaxed);
            }
            seen.len()
        });
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| alternate(&machine, &reads)));
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 1);
        written.unwrap();
    });
}

/// Each store is whole at every moment, whoever opens it.
#[test]
fn programs_that_start_meanwhile_find_whole_stores() {
    if without_gskit() {
        return;
    }
    let machine = with_set(&["client.kdb", "client.p12", "nss:nssdb"], &["ann", "bob"]);
    machine.ours(&["stash", "client.kdb", "--password", SPEC]);
    let rules = ["client.kdb", "client.p12", "nssdb"].map(|s| machine.rule(s, "")).concat();
    machine.configure("gates = { new_cas = false, max_removed_percent = 100 }", &rules);
    let reads = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                gskit(&["open-stashed"], &machine.path("client.kdb"), &[]);
                let mut openssl = Command::new("openssl");
                openssl.args(["pkcs12", "-nodes", "-passin", "pass:client-password", "-in"]);
                let out = must(openssl.arg(machine.path("client.p12"))).out;
                assert!(out.contains("PRIVATE KEY") && out.contains("CN = ann"), "{out}");
                let labels = certutil_finds(&machine, "nssdb");
                let whole = labels == ["ann", "bob"] || labels == ["Root", "ann", "cy"];
                assert!(whole, "certutil found {labels:?}");
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| alternate(&machine, &reads)));
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        written.unwrap();
    });
}
