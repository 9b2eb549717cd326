//! Stores written and read again, and files put together by hand for what our own writer never makes.

use super::mac::Maker;
use super::profile::PROFILES;
use super::trust::{ANY_USAGE, of_kept, to_usages};
use super::{NAME, P12, bag, names};
use crate::asn1::{Reader, Tag, Tlv, integer, octet_string, oid, oid_tlv, tlv, tlv_of};
use crate::context::{Budget, Ctx, NoSecrets, OnePassword, Options, Rng, Secrets, Session};
use crate::crypto::public::spki_of_pkcs8;
use crate::crypto::{Hash, pbe};
use crate::error::{Kind, Result};
use crate::format::{Format, Match};
use crate::model::{
    Attr, Der, Entry, Item, KeyMaterial, Level, Link, Loss, LossKind, Password, Purpose, Secret, Store, Trust,
};
use crate::place::{Source, Staging};
use proptest::prelude::*;
use std::sync::Arc;
use zeroize::Zeroizing;

// ------------------------------------------------------------------ write → read

#[test]
fn every_profile_keeps_everything() {
    let store = mixed_store();
    for profile in PROFILES {
        for text in ["changeit", "", "pässwörd 🔑"] {
            let world = World::new(&[("p12-profile", profile.name), ("p12-iterations", "3")]);
            let (bytes, losses) = world.write(&store, &OnePassword::new(text)).expect(profile.name);
            assert!(losses.iter().all(|l| l.kind == LossKind::Note), "{losses:?}");
            let back = world.read(&bytes, &OnePassword::new(text)).expect(profile.name);
            same(&store, &back, &world.ctx(&OnePassword::new(text)));
            assert!(back.entries.iter().all(|e| e.authenticated == Some(true)));
            let e = world.read(&bytes, &OnePassword::new("other")).expect_err("wrong password");
            assert_eq!(e.kind(), Kind::Password, "{}", profile.name);
            assert_eq!(world.read(&bytes, &NoSecrets).expect_err("no password").kind(), Kind::Password);
        }
    }
}

#[test]
fn one_derivation_and_one_for_the_mac_and_none_to_read_back() {
    let world = World::new(&[]);
    let password = OnePassword::new("changeit");
    let (bytes, _) = world.write(&mixed_store(), &password).expect("written");
    assert_eq!(world.session.budget.spent(), 2 * pbe::ROUNDS);
    let back = world.read(&bytes, &password).expect("read");
    for secret in back.entries.iter().filter_map(Entry::secret) {
        secret.open(&world.ctx(&password)).expect("opened");
    }
    assert_eq!(world.session.budget.spent(), 2 * pbe::ROUNDS);
    // To whoever reads it in another command, the keys cost nothing beyond the certificates.
    let other = World::new(&[]);
    let back = other.read(&bytes, &password).expect("read");
    back.entries.iter().filter_map(Entry::secret).for_each(|s| drop(s.open(&other.ctx(&password))));
    assert_eq!(other.session.budget.spent(), 2 * pbe::ROUNDS);
}

#[test]
fn without_a_password_only_certificates() {
    let world = World::new(&[]);
    let e = world.write(&mixed_store(), &NoSecrets).expect_err("keys in the clear");
    assert_eq!((e.kind(), e.place().label.as_deref()), (Kind::Password, Some("server")));
    let store = store_of(vec![trusted("root", &root())]);
    let (bytes, losses) = world.write(&store, &NoSecrets).expect("written");
    assert_eq!(losses, []);
    let back = world.read(&bytes, &NoSecrets).expect("read");
    same(&store, &back, &world.ctx(&NoSecrets));
    assert_eq!(back.entries[0].authenticated, Some(false));
    assert_eq!(world.session.budget.spent(), 0);
    // A password is of no use and no harm, and is not even asked for.
    assert!(world.read(&bytes, &Unwilling).is_ok());
}

#[test]
fn a_key_that_stays_sealed_is_copied() {
    let world = World::new(&[("p12-iterations", "5")]);
    let (key, leaf) = pair(1, "CN=leaf");
    let sealed = world.seal(&key, "its own");
    let file = pfx(&[shrouded(&sealed, &[name("k"), id(b"1")]), cert_bag(&leaf, &[id(b"1")])]);
    let store = world.read(&file, &OnePassword::new("changeit")).expect("read");
    let (bytes, losses) = world.write(&store, &OnePassword::new("changeit")).expect("written");
    assert_eq!(losses, []);
    let back = world.read(&bytes, &OnePassword::new("changeit")).expect("read");
    let secret = back.entries[0].secret().expect("key");
    assert_eq!(secret.seal().and_then(|s| s.raw()), Some(&sealed[..]));
    assert!(secret.open(&world.ctx(&OnePassword::new("changeit"))).is_err());
    let both = TwoPasswords { store: "changeit", key: ("k", "its own") };
    assert_eq!(*secret.open(&world.ctx(&both)).expect("opened").bytes, key);
}

#[test]
fn a_rewritten_store_keeps_its_algorithms() {
    let store = store_of(vec![trusted("root", &root())]);
    let password = OnePassword::new("changeit");
    for (profile, rounds, kept) in [
        ("legacy", "20000", "20000"),
        ("java8", "10000", "10000"),
        ("pbmac1", "12000", "12000"),
        // Fewer rounds than ours are not kept: nobody needs them.
        ("modern", "7", "10000"),
    ] {
        let old = World::new(&[("p12-profile", profile), ("p12-iterations", rounds)]);
        let base = Source::memory("base", old.write(&store, &password).expect("written").0);
        let new = World::new(&[]);
        let mut staging = Staging::memory();
        P12.write(&store, Some(&base), &mut staging, &new.ctx(&password)).expect("written");
        let bytes = staging.into_memory().expect("in memory");
        let has = |id: &[u8]| bytes.windows(id.len()).any(|w| w == id);
        assert_eq!(has(oid::PBE_RC2_40), profile == "legacy", "{profile}");
        assert_eq!(has(oid::PBE_3DES), profile == "java8", "{profile}");
        assert_eq!(has(oid::PBMAC1), profile == "pbmac1", "{profile}");
        let facts = new.read(&bytes, &password).expect("read").facts;
        let mac = String::from_utf8_lossy(&facts[0].value).into_owned();
        assert!(mac.ends_with(&format!(", {kept} rounds")), "{mac}");
    }
}

#[test]
fn unknown_options_are_refused() {
    for (option, value) in [("p12-profile", "x"), ("p12-iterations", "0"), ("p12-iterations", "many")] {
        let world = World::new(&[(option, value)]);
        let e = world.write(&mixed_store(), &OnePassword::new("a")).expect_err(value);
        assert_eq!(e.kind(), Kind::Unsupported);
    }
    let world = World::new(&[("p12-iterations", "5000001")]);
    assert_eq!(world.write(&mixed_store(), &OnePassword::new("a")).expect_err("many").kind(), Kind::TooLarge);
    assert_eq!(world.session.budget.spent(), 0);
}

#[test]
fn what_cannot_be_said_is_a_loss() {
    let cert = root();
    let distrusted = Trust::all(Level::Distrusted);
    let server =
        Trust { levels: [Level::Anchor, Level::Unset, Level::Unset, Level::Unset], ..Trust::default() };
    for (trust, loss, trusted) in [
        (None, None, true),
        (Some(Trust::all(Level::Anchor)), None, true),
        (Some(Trust::all(Level::Unset)), Some(LossKind::Trust), false),
        (Some(distrusted), Some(LossKind::Trust), false),
        (Some(server), Some(LossKind::TrustRaised), true),
        (Some(Trust::all(Level::Peer)), Some(LossKind::TrustRaised), true), // a CA that is only a peer
    ] {
        let world = World::new(&[]);
        let entry = Entry { trust: trust.clone(), ..Entry::new(Item::Cert(cert.clone())).with_label("a") };
        let (bytes, losses) = world.write(&store_of(vec![entry]), &NoSecrets).expect("written");
        assert_eq!(losses.iter().map(|l| l.kind).collect::<Vec<_>>(), Vec::from_iter(loss), "{trust:?}");
        let back = world.read(&bytes, &NoSecrets).expect("read");
        assert_eq!(back.entries[0].trust.is_some(), trusted, "{trust:?}");
    }
    let foreign = Item::Other { what: "PKCS#11 module".to_owned(), body: Der::new(vec![1, 2, 3]) };
    let request = Item::Request { csr: cert.clone(), key: None };
    let unnamed = KeyMaterial { bytes: Zeroizing::new(vec![1]), algorithm: Some("Whatever".to_owned()) };
    let secret = Item::Symmetric(Arc::new(Secret::clear(unnamed)));
    for (item, kind) in [(foreign, LossKind::Other), (request, LossKind::Request), (secret, LossKind::Secret)]
    {
        let store = store_of(vec![Entry::new(item).with_label("a")]);
        let world = World::new(&[("p12-iterations", "1")]);
        let (bytes, losses) = world.write(&store, &OnePassword::new("a")).expect("written");
        assert!(losses.iter().any(|l| l.kind == kind && l.label.as_deref() == Some("a")), "{losses:?}");
        assert!(world.read(&bytes, &OnePassword::new("a")).expect("read").entries.is_empty());
    }
}

#[test]
fn usages_are_kept_as_they_were() {
    let set = tlv(0x31, &oid_tlv(oid::SERVER_AUTH));
    let file = pfx(&[cert_bag(&root(), &[name("a"), attribute(oid::JAVA_TRUSTED_KEY_USAGE, &set)])]);
    let world = World::new(&[]);
    let store = world.read(&file, &NoSecrets).expect("read");
    let trust = store.entries[0].trust.clone().expect("trust");
    assert_eq!((trust.level(Purpose::Server), trust.level(Purpose::Code)), (Level::Anchor, Level::Unset));
    let (bytes, losses) = world.write(&store, &NoSecrets).expect("written");
    assert_eq!(losses, []);
    assert_eq!(world.read(&bytes, &NoSecrets).expect("read").entries[0].trust, Some(trust));
    for trust in [
        Trust::all(Level::Anchor),
        Trust { levels: [Level::Anchor, Level::Unset, Level::Anchor, Level::Unset], ..Trust::default() },
        Trust { levels: [Level::Anchor; 4], usages: vec![("1.2.3".to_owned(), Level::Anchor)] },
        Trust { usages: vec![("1.2.3".to_owned(), Level::Anchor)], ..Trust::default() },
    ] {
        assert_eq!(of_kept(&to_usages(&trust)), Some(trust));
    }
}

#[test]
fn two_keys_of_one_leaf_get_two_ids() {
    let (key, leaf) = pair(1, "CN=leaf");
    let store = store_of(vec![key_entry("a", &key, &[&leaf]), key_entry("b", &key, &[&leaf])]);
    let world = World::new(&[("p12-iterations", "1")]);
    let (bytes, _) = world.write(&store, &OnePassword::new("x")).expect("written");
    let back = world.read(&bytes, &OnePassword::new("x")).expect("read");
    same(&store, &back, &world.ctx(&OnePassword::new("x")));
}

#[test]
fn a_chain_certificate_is_written_once() {
    let (ca, (a, leaf_a), (b, leaf_b)) = (root(), issued(1, "CN=a"), issued(2, "CN=b"));
    let store = store_of(vec![
        key_entry("a", &a, &[&leaf_a, &ca]),
        key_entry("b", &b, &[&leaf_b, &ca]),
        trusted("the root", &ca),
    ]);
    let world = World::new(&[("p12-iterations", "1")]);
    let (bytes, _) = world.write(&store, &OnePassword::new("x")).expect("written");
    same(
        &store,
        &world.read(&bytes, &OnePassword::new("x")).expect("read"),
        &world.ctx(&OnePassword::new("x")),
    );
    let others =
        world.write(&store_of(store.entries[..2].to_vec()), &OnePassword::new("x")).expect("written").0;
    // What the entry of its own adds is a name and a mark, not the certificate again.
    assert!(bytes.len() - others.len() < ca.len(), "{} {} {}", bytes.len(), others.len(), ca.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_store_survives(store in any_store(), password in ".{0,12}", profile in 0..PROFILES.len()) {
        let world = World::new(&[("p12-profile", PROFILES[profile].name), ("p12-iterations", "2")]);
        let password = OnePassword::new(&password);
        let (bytes, losses) = world.write(&store, &password).expect("written");
        prop_assert!(losses.iter().all(|l: &Loss| l.kind == LossKind::Note), "{losses:?}");
        let back = world.read(&bytes, &password).expect("read");
        same(&store, &back, &world.ctx(&password));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic(at in 0..10_000usize, bit in 0..8u32, cut: bool) {
        let world = World::new(&[("p12-iterations", "1")]);
        let password = OnePassword::new("x");
        let (mut bytes, _) = world.write(&mixed_store(), &password).expect("written");
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        // Octets that nobody looks at may change, such as a NULL; what they stand beside may not.
        if let Ok(store) = world.read(&bytes, &password) {
            prop_assert!(!cut);
            if store.entries.iter().any(|e| e.authenticated == Some(true)) {
                same(&mixed_store(), &store, &world.ctx(&password));
            }
        }
    }

    #[test]
    fn damage_behind_no_mac_is_no_panic(at in 0..10_000usize, bit in 0..8u32, ber: bool) {
        let world = World::new(&[]);
        let (key, leaf) = issued(1, "CN=a");
        let bags = [key_bag(&key, &[name("k"), id(b"1")]), cert_bag(&leaf, &[id(b"1")]), cert_bag(&root(), &[])];
        let mut bytes = if ber { pfx_in_ber(&bags, None) } else { pfx(&bags) };
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        drop(world.read(&bytes, &NoSecrets));
        bytes.truncate(at);
        prop_assert!(world.read(&bytes, &NoSecrets).is_err());
    }
}

// ------------------------------------------------------------------ reading others' files

#[test]
fn detection() {
    let detect = |b: &[u8]| P12.detect(&Source::memory("x", b.to_vec()).probe().expect("probe"));
    let der = pfx(&[]);
    assert_eq!(detect(&der), Match::Yes);
    assert_eq!(detect(&pfx_in_ber(&[], None)), Match::Yes);
    assert_eq!(detect(&[&[0x30, 0x84, 0, 0, 0, der[1]], &der[2..]].concat()), Match::Yes);
    for other in [&b""[..], b"0", &[0x30, 0x84], &pair(1, "CN=x").0, &root(), &[0x30, 3, 2, 1, 3]] {
        assert_eq!(detect(other), Match::No);
    }
}

#[test]
fn ber_at_every_level() {
    let (key, leaf) = issued(1, "CN=a");
    let set = tlv(0x31, &octet_string(b"kept"));
    let bags = [
        key_bag(&key, &[name("k"), id(b"1"), attribute(&[0x2a, 3], &set)]),
        cert_bag(&leaf, &[id(b"1")]),
        cert_bag(&root(), &[]),
    ];
    let world = World::new(&[]);
    let password = OnePassword::new("changeit");
    let mut ber = pfx_in_ber(&bags, Some("changeit"));
    ber.extend([0; 4]);
    let store = world.read(&ber, &password).expect("read");
    assert_eq!(store.warnings, Vec::<String>::new());
    assert_eq!(store.entries.len(), 1);
    assert_eq!(store.entries[0].authenticated, Some(true));
    assert_eq!(chain_of(&store.entries[0]), [leaf, root()]);
    // What may be written again is DER.
    assert_eq!(store.entries[0].attr(NAME, "1.2.3"), Some(&set[..]));
    assert_eq!(world.read(&ber, &OnePassword::new("x")).expect_err("wrong").kind(), Kind::Password);
}

#[test]
fn pairs_are_made_by_public_key() {
    let ((a, leaf_a), (b, leaf_b)) = (pair(1, "CN=a"), pair(2, "CN=b"));
    let renewed = certificate("CN=a again", "CN=a again", &spki_of(&a), None, None);
    let pairs = |bags: &[Vec<u8>]| -> Vec<(String, Vec<Der>)> {
        let store = World::new(&[]).read(&pfx(bags), &NoSecrets).expect("read");
        store.entries.iter().map(|e| (e.label_text().into_owned(), chain_of(e))).collect()
    };
    let one = |label: &str, chain: &[&Der]| (label.to_owned(), chain.iter().map(|c| (*c).clone()).collect());
    let (key_a, key_b) = (|i| key_bag(&a, &[name("a"), id(i)]), |i| key_bag(&b, &[name("b"), id(i)]));
    let none = &[][..];
    // No ids at all.
    assert_eq!(
        pairs(&[
            cert_bag(&leaf_b, none),
            cert_bag(&leaf_a, none),
            key_bag(&a, &[name("a")]),
            key_bag(&b, none)
        ]),
        [one("a", &[&leaf_a]), one("", &[&leaf_b])]
    );
    // One id for both.
    assert_eq!(
        pairs(&[key_a(b"1"), key_b(b"1"), cert_bag(&leaf_b, &[id(b"1")]), cert_bag(&leaf_a, &[id(b"1")])]),
        [one("a", &[&leaf_a]), one("b", &[&leaf_b])]
    );
    // The id of another's certificate, which is left over.
    assert_eq!(
        pairs(&[key_a(b"1"), cert_bag(&leaf_b, &[id(b"1"), name("stray")]), cert_bag(&leaf_a, none)]),
        [one("a", &[&leaf_a]), one("stray", &[])]
    );
    // Two certificates of one key are two entries; the id says which is the key's own.
    assert_eq!(
        pairs(&[key_a(b"1"), cert_bag(&renewed, &[name("new")]), cert_bag(&leaf_a, &[id(b"1")])]),
        [one("a", &[&leaf_a]), one("new", &[&renewed])]
    );
    // A key alone; a certificate alone.
    assert_eq!(pairs(&[key_a(b"1")]), [one("a", &[])]);
    assert_eq!(pairs(&[key_a(b"1"), cert_bag(&leaf_b, none)]), [one("a", &[]), one("", &[])]);
    // Two keys of one certificate.
    assert_eq!(
        pairs(&[key_a(b"1"), key_bag(&a, &[name("c"), id(b"2")]), cert_bag(&leaf_a, &[id(b"1")])]),
        [one("a", &[&leaf_a]), one("c", &[&leaf_a])]
    );
}

#[test]
fn plain_claims_are_believed_without_opening() {
    let world = World::new(&[]);
    let ((a, leaf_a), (b, leaf_b)) = (issued(1, "CN=a"), issued(2, "CN=b"));
    let (a, b) = (world.seal(&a, "one"), world.seal(&b, "two"));
    let spent = world.session.budget.spent();
    let java = [
        shrouded(&a, &[name("a"), id(b"Time 1")]),
        shrouded(&b, &[name("b"), id(b"Time 2")]),
        cert_bag(&leaf_a, &[name("a"), id(b"Time 1")]),
        cert_bag(&root(), &[]),
        cert_bag(&leaf_b, &[name("b"), id(b"Time 2")]),
        cert_bag(&root(), &[]),
    ];
    let store = world.read(&pfx(&java), &OnePassword::new("store")).expect("read");
    let chains: Vec<_> = store.entries.iter().map(chain_of).collect();
    assert_eq!(chains, [[leaf_a.clone(), root()], [leaf_b.clone(), root()]]);
    assert_eq!(world.session.budget.spent(), spent, "no key was opened");
    // With a certificate over they are opened; those that can't be still have what they claim.
    let over = [&java[..], &[cert_bag(&pair(9, "CN=stray").1, &[name("stray")])]].concat();
    let two = TwoPasswords { store: "store", key: ("b", "two") };
    let store = world.read(&pfx(&over), &two).expect("read");
    assert_eq!(store.entries.len(), 3);
    assert_eq!(chain_of(&store.entries[0]), [leaf_a, root()]);
    assert!(store.entries[0].secret().is_some_and(|s| s.opened().is_none()));
    assert!(store.entries[1].secret().is_some_and(|s| s.opened().is_some()));
}

#[test]
fn sealed_keys_that_share_an_id_are_not_guessed() {
    let world = World::new(&[]);
    let ((a, leaf_a), (b, leaf_b)) = (pair(1, "CN=a"), pair(2, "CN=b"));
    let file = |names: [&str; 2]| {
        pfx(&[
            shrouded(&world.seal(&a, "?"), &[name("a"), id(b"1")]),
            shrouded(&world.seal(&b, "?"), &[name("b"), id(b"1")]),
            cert_bag(&leaf_a, &[name(names[0]), id(b"1")]),
            cert_bag(&leaf_b, &[name(names[1]), id(b"1")]),
        ])
    };
    let read = |names| world.read(&file(names), &OnePassword::new("x")).expect("read");
    let store = read(["?", "?"]);
    assert_eq!(store.entries.len(), 4, "nothing is lost");
    assert!(store.warnings[0].contains("2 of the keys"), "{:?}", store.warnings);
    let store = read(["a", "b"]);
    assert_eq!(store.entries.iter().map(chain_of).collect::<Vec<_>>(), [[leaf_a.clone()], [leaf_b.clone()]]);
}

#[test]
fn chains_follow_key_identifiers() {
    let key = |n| spki_of(&pair(n, "CN=x").0);
    let ca = |n, ski| certificate("CN=CA", "CN=CA", &key(n), Some(ski), None);
    let (old, new) = (ca(20, b"old"), ca(21, b"new"));
    let leaf = certificate("CN=leaf", "CN=CA", &key(1), None, Some(b"new"));
    let stranger = certificate("CN=leaf", "CN=CA", &key(1), None, Some(b"none of them"));
    let chain = |leaf: &Der, others: &[&Der]| {
        let mut bags = vec![key_bag(&pair(1, "CN=x").0, &[id(b"1")]), cert_bag(leaf, &[id(b"1")])];
        bags.extend(others.iter().map(|c| cert_bag(c, &[])));
        let store = World::new(&[]).read(&pfx(&bags), &NoSecrets).expect("read");
        (chain_of(&store.entries[0]), store.entries.len())
    };
    assert_eq!(chain(&leaf, &[&old, &new]), (vec![leaf.clone(), new.clone()], 2));
    assert_eq!(chain(&leaf, &[&new, &old]), (vec![leaf.clone(), new.clone()], 2));
    assert_eq!(chain(&stranger, &[&new, &old]), (vec![stranger.clone()], 3));
    // Two that sign each other.
    let x = certificate("CN=X", "CN=Y", &key(30), None, None);
    let y = certificate("CN=Y", "CN=X", &key(31), None, None);
    let below = certificate("CN=leaf", "CN=X", &key(1), None, None);
    assert_eq!(chain(&below, &[&y, &x]), (vec![below.clone(), x.clone(), y.clone()], 1));
    // A chain without an end does not become one of thousands of links.
    let long: Vec<Der> = (0..200)
        .map(|n| certificate(&format!("CN={n}"), &format!("CN={}", n + 1), &key(40), None, None))
        .collect();
    let below = certificate("CN=leaf", "CN=0", &key(1), None, None);
    let (links, entries) = chain(&below, &long.iter().collect::<Vec<_>>());
    assert_eq!((links.len(), entries), (20, 1 + 200 - 19));
}

/// Thousands of keys and certificates that all claim each other: done at once, or never.
#[test]
fn claims_without_end() {
    let (key, leaf) = pair(1, "CN=x");
    let n = 5000;
    let certs: Vec<Der> = (0..n)
        .map(|at| certificate("CN=x", "CN=x", &spki_of(&key), Some(&at.to_string().into_bytes()), Some(b"?")))
        .collect();
    let broken = tlv_of(0x30, &[&integer(0), &tlv(0x30, &oid_tlv(oid::ED448)), &octet_string(b"")]);
    let mut bags: Vec<_> = (0..n).map(|_| key_bag(&broken, &[id(b"1"), name("k")])).collect();
    bags.push(key_bag(&key, &[id(b"1")]));
    bags.extend(certs.iter().chain([&leaf]).map(|c| cert_bag(c, &[id(b"1"), name("c")])));
    let store = World::new(&[]).read(&pfx(&bags), &NoSecrets).expect("read");
    // One certificate is the known key's, the others are further ones of it.
    assert_eq!(store.entries.len(), 2 * n as usize + 1);
}

#[test]
fn names_as_others_write_them() {
    let bmp = |b: &[u8]| attribute(oid::FRIENDLY_NAME, &tlv(0x31, &tlv(0x1e, b)));
    let utf8 = attribute(oid::FRIENDLY_NAME, &tlv(0x31, &tlv(0x0c, "näme".as_bytes())));
    let empty_set = attribute(oid::FRIENDLY_NAME, &tlv(0x31, b""));
    for (attr, label, odd) in [
        (name("näme🔑"), Some("näme🔑"), false),
        (name(""), Some(""), false),
        (utf8, Some("näme"), false),
        (bmp(&[0, b'a', 0, b'b', 0]), Some("ab"), true),
        (bmp(&[0xd8, 0, 0, b'a']), Some("\u{fffd}a"), true),
        (empty_set, None, false),
    ] {
        let store = World::new(&[]).read(&pfx(&[cert_bag(&root(), &[attr])]), &NoSecrets).expect("read");
        assert_eq!(store.entries[0].label.as_ref().map(|l| l.text().into_owned()).as_deref(), label);
        assert_eq!(!store.warnings.is_empty(), odd, "{label:?}");
    }
}

#[test]
fn bags_of_other_types_are_kept() {
    let value = |id: &[u8], v: &[u8]| tlv_of(0x30, &[&oid_tlv(id), &tlv(0xa0, &octet_string(v))]);
    let odd = [
        safe_bag(oid::CERT_BAG, &value(oid::SDSI_CERTIFICATE, b"sdsi"), &[name("s")]),
        safe_bag(oid::SECRET_BAG, &value(oid::DATA, b"secret"), &[name("x")]),
        safe_bag(&[0x2a, 3, 4], &integer(7), &[name("y"), attribute(&[0x2a, 9], &tlv(0x31, &integer(1)))]),
    ];
    let trust = attribute(oid::JAVA_TRUSTED_KEY_USAGE, ANY_USAGE);
    let nested = tlv(0x30, &cert_bag(&root(), &[name("n"), trust]));
    let nested = safe_bag(oid::SAFE_CONTENTS_BAG, &nested, &[]);
    let world = World::new(&[("p12-iterations", "1")]);
    let store = world.read(&pfx(&[&odd[..], &[nested]].concat()), &NoSecrets).expect("read");
    let whats: Vec<_> = store
        .entries
        .iter()
        .map(|e| match &e.item {
            Item::Other { what, .. } => what.clone(),
            item => item.kind().name().to_owned(),
        })
        .collect();
    let expected =
        ["SDSI certificate", "secret of type 1.2.840.113549.1.7.1", "bag 1.2.3.4", "cert"].map(str::to_owned);
    assert_eq!(whats, expected);
    let (bytes, _) = world.write(&store, &OnePassword::new("x")).expect("written");
    same(&store, &world.read(&bytes, &OnePassword::new("x")).expect("read"), &world.ctx(&NoSecrets));
    // What may be a secret is not written in the clear.
    assert_eq!(world.write(&store, &NoSecrets).expect_err("in the clear").kind(), Kind::Password);
}

#[test]
fn a_bad_bag_does_not_spoil_the_others() {
    let empty = safe_bag(oid::CERT_BAG, &tlv(0x30, b""), &[]);
    let file = pfx(&[empty, cert_bag(&root(), &[name("good")])]);
    let store = World::new(&[]).read(&file, &NoSecrets).expect("read");
    assert_eq!((store.entries.len(), store.defects.len()), (1, 1));
    assert!(store.defects[0].place().offset.is_some_and(|o| (o as usize) < file.len()));
}

#[test]
fn unsupported_protection_is_named() {
    let safe = |id: &[u8]| {
        let info = tlv_of(0x30, &[&oid_tlv(id), &tlv(0xa0, &tlv(0x30, b""))]);
        outer(&tlv(0x30, &info), None)
    };
    let world = World::new(&[]);
    let store = world.read(&safe(oid::ENVELOPED_DATA), &NoSecrets).expect("read");
    assert_eq!(store.defects[0].kind(), Kind::Unsupported);
    let info = tlv_of(0x30, &[&oid_tlv(oid::SIGNED_DATA), &tlv(0xa0, &tlv(0x30, b""))]);
    let signed = tlv_of(0x30, &[&integer(3), &info]);
    assert_eq!(world.read(&signed, &NoSecrets).expect_err("signed").kind(), Kind::Unsupported);
    let version = tlv_of(0x30, &[&integer(4), &info]);
    assert_eq!(world.read(&version, &NoSecrets).expect_err("version").kind(), Kind::Unsupported);
}

#[test]
fn hostile_counts_cost_nothing() {
    let digest = |alg: &[u8]| tlv_of(0x30, &[alg, &octet_string(&[0; 32])]);
    let null = |id: &[u8]| tlv_of(0x30, &[&oid_tlv(id), &[5, 0]]);
    let pbkdf2 = |n: u64, len: &[u8]| {
        let p = tlv_of(0x30, &[&octet_string(b"salt"), &integer(n), len, &null(oid::HMAC_SHA256)]);
        tlv_of(0x30, &[&oid_tlv(oid::PBKDF2), &p])
    };
    let pbmac1 = |kdf: &[u8]| {
        let p = tlv_of(0x30, &[kdf, &null(oid::HMAC_SHA256)]);
        tlv_of(0x30, &[&digest(&tlv_of(0x30, &[&oid_tlv(oid::PBMAC1), &p])), &octet_string(b"-")])
    };
    let classic = |n: &[u8]| tlv_of(0x30, &[&digest(&null(oid::SHA256)), &octet_string(b"salt"), n]);
    let world = World::new(&[]);
    for (mac, kind) in [
        (classic(&integer(0x7fff_ffff)), Kind::TooLarge),
        (classic(&integer(u64::MAX)), Kind::TooLarge),
        (classic(&[2, 1, 0]), Kind::Malformed),
        (classic(&[2, 1, 0x80]), Kind::Malformed),
        (pbmac1(&pbkdf2(0x7fff_ffff, &integer(32))), Kind::TooLarge),
        (pbmac1(&pbkdf2(1, &integer(1 << 40))), Kind::TooLarge),
        (pbmac1(&pbkdf2(1, b"")), Kind::Malformed), // RFC 9579 demands the key's length
    ] {
        let e = world.read(&outer(&tlv(0x30, b""), Some(&mac)), &OnePassword::new("x")).expect_err("hostile");
        assert_eq!(e.kind(), kind, "{e}");
    }
    let cipher = tlv_of(0x30, &[&oid_tlv(oid::AES256_CBC), &octet_string(&[0; 16])]);
    let params = tlv_of(0x30, &[&pbkdf2(0x7fff_ffff, b""), &cipher]);
    let info = tlv_of(0x30, &[&tlv_of(0x30, &[&oid_tlv(oid::PBES2), &params]), &octet_string(&[0; 16])]);
    let e = world.read(&pfx(&[shrouded(&info, &[name("k")])]), &OnePassword::new("x")).expect_err("hostile");
    assert_eq!((e.kind(), e.place().label.as_deref()), (Kind::TooLarge, Some("k")));
    assert_eq!(world.session.budget.spent(), 0);
}

#[test]
fn a_mac_with_every_hash() {
    let world = World::new(&[]);
    let password = Password::new(b"x".to_vec());
    let safe = tlv(0x30, b"");
    for hash in [
        Hash::Md5,
        Hash::Sha1,
        Hash::Sha224,
        Hash::Sha256,
        Hash::Sha384,
        Hash::Sha512,
        Hash::Sha512_224,
        Hash::Sha512_256,
    ] {
        for make in [Maker::classic, Maker::pbmac1] {
            let maker = make(hash, b"salt", 1, &password, &world.session).expect("keyed");
            let data = maker.over(&safe);
            assert_eq!(data.len(), maker.len());
            assert!(world.read(&outer(&safe, Some(&data)), &OnePassword::new("x")).is_ok(), "{hash:?}");
            let mut other = safe.clone();
            other.extend([0, 0]); // still an empty list for whoever doesn't check
            let e = world.read(&outer(&other, Some(&data)), &OnePassword::new("x")).expect_err("changed");
            assert_eq!(e.kind(), Kind::Password, "{hash:?}");
        }
    }
}

#[test]
fn contents_under_a_password_of_their_own() {
    let world = World::new(&[("p12-iterations", "1")]);
    let store = store_of(vec![trusted("a", &root())]);
    let (bytes, _) = world.write(&store, &OnePassword::new("contents")).expect("written");
    // The same AuthenticatedSafe under a MAC of another password.
    let safe = Reader::new(&bytes, 0)
        .expect(Tag::SEQUENCE, "PFX")
        .and_then(|pfx| {
            let mut fields = pfx.reader();
            fields.any("version")?;
            let mut info = fields.any("authSafe")?.reader();
            info.any("type")?;
            info.any("[0]")?.reader().any("octets")
        })
        .expect("safe");
    let maker = Maker::classic(Hash::Sha256, b"salt", 1, &Password::new(b"mac".to_vec()), &world.session);
    let file = outer(safe.content, Some(&maker.expect("keyed").over(safe.content)));
    let both = TwoPasswords { store: "mac", key: ("", "contents") };
    same(&store, &world.read(&file, &both).expect("read"), &world.ctx(&both));
    assert_eq!(world.read(&file, &OnePassword::new("mac")).expect_err("one").kind(), Kind::Password);
    assert_eq!(world.read(&file, &OnePassword::new("contents")).expect_err("one").kind(), Kind::Password);
}

#[test]
fn secret_names_go_both_ways() {
    for name in ["AES", "DESede", "HmacSHA256", "HmacSHA3-512", "ARCFOUR", "1.2.3.4"] {
        assert_eq!(names::of_oid(&names::to_oid(name).expect(name)), name);
    }
    assert_eq!(names::to_oid("hmacsha1").as_deref(), Some(oid::HMAC_SHA1));
    assert_eq!(names::to_oid("Whatever"), None);
}

#[test]
fn foreign_objects_are_not_taken_for_bags() {
    let bag = tlv_of(0x30, &[&oid_tlv(&[0x2a, 3, 4]), &tlv(0xa0, &integer(7))]);
    assert!(bag::is_other("bag 1.2.3.4", &bag).is_some());
    assert!(bag::is_other("bag 1.2.3.5", &bag).is_none());
    assert!(bag::is_other("bag 1.2.3.4", &[&bag[..], &[0]].concat()).is_none());
    assert!(bag::is_other("PKCS#11 module", b"library=x").is_none());
}

// ------------------------------------------------------------------ the world

struct World {
    options: Options,
    session: Session,
}

impl World {
    fn new(options: &[(&str, &str)]) -> Self {
        let mut set = Options::default();
        options.iter().for_each(|(name, value)| set.set(name, *value));
        let session = Session { rng: Rng::seeded([9; 32]), budget: Budget::default(), ..Session::new(0) };
        World { options: set, session }
    }

    fn ctx<'a>(&'a self, secrets: &'a dyn Secrets) -> Ctx<'a> {
        Ctx { secrets, options: &self.options, session: &self.session }
    }

    fn write(&self, store: &Store, secrets: &dyn Secrets) -> Result<(Vec<u8>, Vec<Loss>)> {
        let mut staging = Staging::memory();
        let losses = P12.write(store, None, &mut staging, &self.ctx(secrets))?;
        Ok((staging.into_memory().expect("in memory").to_vec(), losses))
    }

    fn read(&self, bytes: &[u8], secrets: &dyn Secrets) -> Result<Store> {
        P12.read(&Source::memory("x.p12", bytes.to_vec()), &self.ctx(secrets))
    }

    fn seal(&self, key: &[u8], password: &str) -> Vec<u8> {
        let password = Password::new(password.as_bytes().to_vec());
        pbe::encrypt_pkcs8(key, &password, &self.ctx(&NoSecrets)).expect("sealed")
    }
}

/// A store's password, and another for one key; for the label "" it is for contents.
struct TwoPasswords {
    store: &'static str,
    key: (&'static str, &'static str),
}

impl Secrets for TwoPasswords {
    fn store(&self) -> Result<Option<Arc<Password>>> {
        Ok(Some(Arc::new(Password::new(self.store.as_bytes().to_vec()))))
    }
    fn key(&self, label: Option<&str>) -> Result<Vec<Arc<Password>>> {
        let fits = label.unwrap_or_default() == self.key.0;
        Ok(fits.then(|| Arc::new(Password::new(self.key.1.as_bytes().to_vec()))).into_iter().collect())
    }
}

/// Nobody may be asked.
struct Unwilling;

impl Secrets for Unwilling {
    fn store(&self) -> Result<Option<Arc<Password>>> {
        panic!("asked for a password")
    }
    fn key(&self, _: Option<&str>) -> Result<Vec<Arc<Password>>> {
        panic!("asked for a password")
    }
}

/// Entries, in whatever order, with keys opened under `ctx`.
#[track_caller]
fn same(a: &Store, b: &Store, ctx: &Ctx<'_>) {
    let rows = |s: &Store| {
        let mut rows: Vec<String> = s.entries.iter().map(|e| row(e, ctx)).collect();
        rows.sort();
        rows
    };
    assert_eq!(b.defects.len(), 0);
    let (a, b) = (rows(a), rows(b));
    assert_eq!(a, b);
}

fn row(e: &Entry, ctx: &Ctx<'_>) -> String {
    let secret = e.secret().map(|s| {
        let key = s.open(ctx).expect("opened");
        (key.bytes.to_vec(), key.algorithm.clone())
    });
    let chain: Vec<_> = match &e.item {
        Item::Key { chain, .. } => chain.iter().map(|l| (l.cert.to_vec(), facts(&l.attrs))).collect(),
        _ => Vec::new(),
    };
    let object = e.object().map(|d| d.to_vec());
    format!("{:?}", (e.label_text(), e.item.kind().name(), secret, chain, object, &e.trust, facts(&e.attrs)))
}

/// But for how they were written.
fn facts(attrs: &[Attr]) -> Vec<Attr> {
    attrs.iter().filter(|a| !a.is_as_written()).cloned().collect()
}

fn chain_of(e: &Entry) -> Vec<Der> {
    match &e.item {
        Item::Key { chain, .. } => chain.iter().map(|l| l.cert.clone()).collect(),
        _ => Vec::new(),
    }
}

// ------------------------------------------------------------------ stores

fn store_of(entries: Vec<Entry>) -> Store {
    Store { entries, ..Store::default() }
}

/// One entry of every kind.
fn mixed_store() -> Store {
    let ((a, leaf_a), (b, leaf_b), (bare, _)) = (issued(1, "CN=a"), issued(2, "CN=b"), pair(3, "CN=x"));
    let mut key = key_entry("server", &a, &[&leaf_a, &root()]);
    key.attrs.push(Attr::new(NAME, "1.3.6.1.4.1.311.17.2", [0x31, 0]));
    let aes = KeyMaterial { bytes: Zeroizing::new(vec![7; 32]), algorithm: Some("AES".to_owned()) };
    let other = tlv_of(0x30, &[&oid_tlv(&[0x2a, 3, 4]), &tlv(0xa0, &integer(7))]);
    store_of(vec![
        key,
        key_entry("klient ü 🔑", &b, &[&leaf_b, &root()]),
        key_entry("bare", &bare, &[]),
        trusted("root", &root()),
        trusted("", &pair(4, "CN=unnamed").1),
        Entry::new(Item::Symmetric(Arc::new(Secret::clear(aes)))).with_label("aes"),
        Entry::new(Item::Crl(Der::new(tlv(0x30, b"\x30\x00")))).with_label("crl"),
        Entry::new(Item::Other { what: "bag 1.2.3.4".to_owned(), body: Der::new(other) }).with_label("other"),
    ])
}

/// Keys with chains of up to two, certificates, secrets; labels of any text, unlike each other.
fn any_store() -> impl Strategy<Value = Store> {
    let entry = (0..4u8, 1..200u8, "\\PC{0,8}", proptest::collection::vec(any::<u8>(), 0..40));
    proptest::collection::vec(entry, 0..8).prop_map(|list| {
        let entries = list.into_iter().enumerate().map(|(at, (kind, seed, text, bytes))| {
            let label = format!("{text}{at}");
            let (key, leaf) = issued(seed, "CN=leaf");
            match kind {
                0 => key_entry(&label, &key, &[&leaf, &root()]),
                1 => key_entry(&label, &pair(seed, "CN=alone").0, &[&pair(seed, "CN=alone").1]),
                2 => trusted(&label, &pair(seed, &format!("CN={at}")).1),
                _ => {
                    let bytes = Zeroizing::new(bytes);
                    let key = KeyMaterial { bytes, algorithm: Some("HmacSHA256".to_owned()) };
                    Entry::new(Item::Symmetric(Arc::new(Secret::clear(key)))).with_label(label)
                }
            }
        });
        store_of(entries.collect())
    })
}

fn key_entry(label: &str, key: &[u8], chain: &[&Der]) -> Entry {
    let key = Arc::new(Secret::clear(KeyMaterial::pkcs8(Zeroizing::new(key.to_vec()))));
    let chain = chain.iter().map(|c| Link::from((*c).clone())).collect();
    Entry::new(Item::Key { key, chain }).with_label(label)
}

fn trusted(label: &str, cert: &Der) -> Entry {
    let trust = Some(Trust::all(Level::Anchor));
    Entry { trust, ..Entry::new(Item::Cert(cert.clone())).with_label(label) }
}

// ------------------------------------------------------------------ keys and certificates

/// An Ed25519 key and a self-signed certificate of it.
fn pair(seed: u8, name: &str) -> (Vec<u8>, Der) {
    let key = ed25519(seed);
    let cert = certificate(name, name, &spki_of(&key), None, None);
    (key, cert)
}

/// A key and a certificate that [`root`] issued.
fn issued(seed: u8, name: &str) -> (Vec<u8>, Der) {
    let key = ed25519(seed);
    let cert = certificate(name, "CN=root", &spki_of(&key), None, Some(b"root"));
    (key, cert)
}

fn root() -> Der {
    certificate("CN=root", "CN=root", &spki_of(&ed25519(0)), Some(b"root"), None)
}

fn ed25519(seed: u8) -> Vec<u8> {
    let algorithm = tlv(0x30, &oid_tlv(oid::ED25519));
    tlv_of(0x30, &[&integer(0), &algorithm, &octet_string(&octet_string(&[seed; 32]))])
}

fn spki_of(key: &[u8]) -> Vec<u8> {
    spki_of_pkcs8(key).expect("sound").expect("known")
}

/// As much of a certificate as stores look at; the signature is none.
fn certificate(subject: &str, issuer: &str, spki: &[u8], ski: Option<&[u8]>, aki: Option<&[u8]>) -> Der {
    let name = |text: &str| {
        let value = tlv(0x0c, text.as_bytes());
        tlv(0x30, &tlv(0x31, &tlv_of(0x30, &[&oid_tlv(oid::CN), &value])))
    };
    let extension = |id: &[u8], v: &[u8]| tlv_of(0x30, &[&oid_tlv(id), &octet_string(v)]);
    let ski = ski.map(|k| extension(oid::SUBJECT_KEY_ID, &octet_string(k))).unwrap_or_default();
    let aki = aki.map(|k| extension(oid::AUTHORITY_KEY_ID, &tlv(0x30, &tlv(0x80, k)))).unwrap_or_default();
    let ca = tlv(0x30, if subject == issuer { &[1, 1, 0xff] } else { &[] });
    let ca = extension(oid::BASIC_CONSTRAINTS, &ca);
    let time = tlv(0x17, b"260101000000Z");
    let algorithm = tlv(0x30, &oid_tlv(oid::ED25519));
    let tbs = tlv_of(
        0x30,
        &[
            &tlv(0xa0, &integer(2)),
            &integer(1),
            &algorithm,
            &name(issuer),
            &tlv_of(0x30, &[&time, &time]),
            &name(subject),
            spki,
            &tlv(0xa3, &tlv_of(0x30, &[&ski, &aki, &ca])),
        ],
    );
    Der::new(tlv_of(0x30, &[&tbs, &algorithm, &tlv(0x03, &[0; 65])]))
}

// ------------------------------------------------------------------ files by hand

fn attribute(id: &[u8], set: &[u8]) -> Vec<u8> {
    tlv_of(0x30, &[&oid_tlv(id), set])
}

fn name(text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    attribute(oid::FRIENDLY_NAME, &tlv(0x31, &tlv(0x1e, &units)))
}

fn id(bytes: &[u8]) -> Vec<u8> {
    attribute(oid::LOCAL_KEY_ID, &tlv(0x31, &octet_string(bytes)))
}

fn safe_bag(id: &[u8], value: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    let set = if attributes.is_empty() { Vec::new() } else { tlv(0x31, &attributes.concat()) };
    tlv_of(0x30, &[&oid_tlv(id), &tlv(0xa0, value), &set])
}

fn cert_bag(cert: &Der, attributes: &[Vec<u8>]) -> Vec<u8> {
    let value = tlv_of(0x30, &[&oid_tlv(oid::X509_CERTIFICATE), &tlv(0xa0, &octet_string(cert))]);
    safe_bag(oid::CERT_BAG, &value, attributes)
}

fn key_bag(key: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    safe_bag(oid::KEY_BAG, key, attributes)
}

fn shrouded(info: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    safe_bag(oid::SHROUDED_KEY_BAG, info, attributes)
}

/// A file without MAC and encryption.
fn pfx(bags: &[Vec<u8>]) -> Vec<u8> {
    outer(&safe_of(bags), None)
}

fn safe_of(bags: &[Vec<u8>]) -> Vec<u8> {
    let contents = tlv(0x30, &bags.concat());
    tlv(0x30, &tlv_of(0x30, &[&oid_tlv(oid::DATA), &tlv(0xa0, &octet_string(&contents))]))
}

fn outer(safe: &[u8], mac: Option<&[u8]>) -> Vec<u8> {
    let info = tlv_of(0x30, &[&oid_tlv(oid::DATA), &tlv(0xa0, &octet_string(safe))]);
    tlv_of(0x30, &[&integer(3), &info, mac.unwrap_or_default()])
}

/// The same with indefinite lengths and OCTET STRINGs in pieces, inside and outside of what a MAC covers.
fn pfx_in_ber(bags: &[Vec<u8>], password: Option<&str>) -> Vec<u8> {
    let contents = ber(&tlv(0x30, &bags.concat()));
    let info = tlv_of(0x30, &[&oid_tlv(oid::DATA), &tlv(0xa0, &octet_string(&contents))]);
    let safe = ber(&tlv(0x30, &info));
    let mac = password.map(|p| {
        let password = Password::new(p.as_bytes().to_vec());
        let maker = Maker::classic(Hash::Sha1, b"salt", 2, &password, &Session::new(0));
        maker.expect("keyed").over(&safe)
    });
    ber(&outer(&safe, mac.as_deref()))
}

/// DER with every length that may be indefinite so, and OCTET STRINGs in pieces of 100 bytes.
fn ber(der: &[u8]) -> Vec<u8> {
    let element = Reader::new(der, 0).any("element").expect("DER");
    let children = |e: &Tlv<'_>| {
        let mut out = Vec::new();
        let mut list = e.reader();
        while let Some(child) = list.next().expect("DER") {
            out.extend(ber(child.raw));
        }
        out
    };
    let (tag, content) = match element.tag {
        Tag::OCTET_STRING => (0x24, element.content.chunks(100).flat_map(octet_string).collect()),
        t if t.is_constructed() => (t.0, children(&element)),
        _ => return der.to_vec(),
    };
    [&[tag, 0x80][..], &content, &[0, 0]].concat()
}
