//! Generations that are built now and switched to later, and sets whose switch was cut off.

use crate::apply::{Machine, SPEC, stamp};
use crate::support::{Ran, keyferry, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        for at in 1..=4 {
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
            if at == 4 && stores.len() > SET.len() - 1 && stores[0] == "nssdb" {
                continue;
            }
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
        // What the run finds then is refused, so that it shows what was healed.
        machine.configure("gates = { max_removed = 0 }", &SET.map(|s| machine.rule(s, "")).concat());
        let healed = machine.apply(&[]);
        assert!(
            healed.status == 5 && healed.err.contains("it was taken back"),
            "{}{}",
            healed.out,
            healed.err
        );
        assert_eq!(all(&machine, &SET[..2]), before[..2]);
        assert!(SET.iter().all(|s| !machine.path(&staged(s)).exists()));
        assert!(status(&machine).iter().all(|s| s["interrupted"].is_null()));
        assert_eq!(machine.apply(&["--approve", "cas", "--approve", "removals"]).status, 0);
        assert_eq!(all(&machine, &SET), [["Root", "ann", "bob"]; 3]);
    }
}
