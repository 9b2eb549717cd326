//! Tests of single parts; whole files are read in the golden tests, and GSKit judges what is written there.

use super::stash::{self, Form};
use super::*;
use crate::context::{OnePassword, Options, Rng, Session};
use crate::error::Kind;
use crate::model::{Der, Item, Level, Password, Trust};
use proptest::prelude::*;

/// One password in both forms, as GSKit 8.0.60.5 wrote it.
const PASSWORD: &[u8] = b"Kdb-Spec-1";
const FORM_ONE: &str = "be9197d8a6859096d8c4f568b58769e0287e7171857ce758942270623478c5f3ec8f4d5806ef8c9fcc0679a31e61aa75\
     f06194e5ae0b7f5378b3cfc14f01697d852504697c3750fe652ff92827ee9daf4a46576c17b0cab241e53da49bdd6ed7\
     486565e3dcedbbbe8b85844d536ad45375959ee3e70b5145e94668d70966db1981";
const FORM_TWO: &str = "daa8fec4c09c5124fae2920534a9848b3b714b9ce237754dbb75815bb2516bb008412d13f2d2836e40012a76625cea1c\
     39b6bd1df081be4e95319c84a0cf82ea5a668fd753494f2bcb59138de941fc8441a7165161b66149a5690e0d42d6472c\
     8af039d9d4165e817af8c4247085be70e218fee17b0ba67de5a09d0fbab910ce34fcf7eab39101b3f5531a4d0551ef17\
     cbd72d969959ddf0bf37a9e2dad3d72a1d15f80aa985d4b40af0d8e2c71aab9e56ea1922391aade74cfbbff85a9d05ff\
     a7";

/// Of `Other-59`, with a salt whose first digest has a 3 at index 8 already: GSKit 8.0.60.5 goes on all the same.
const FORM_TWO_EARLY: &str = "81fd8d9b9862c118381edcb2374ff2517db1b850f8005c131ceef939f28db0b033df8f4fa1848c824ce6e7ded08cd72e\
     ade4da3728f45087a5252191875e4882e074b8512b4a091273b5f0b561e7114ef3d98e2916fe90182a2fa12d17eb73c4\
     bbc0827b5d4b6c57ffb38878e3dae40de71538cf8d6add20c9fa3aaee5f7421616c9dfd729384d506b930590380835a7\
     aa11a518283a479872b33b25f6fbd5b305e16b7a5e17a9c6892d37ae088532e31f5a45f3be9c6089d34055057965f306\
     2b";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

#[test]
fn stashes_of_gskit_are_read() {
    for (hex, form) in [(FORM_ONE, Form::One), (FORM_TWO, Form::Two)] {
        let stash = bytes(hex);
        assert_eq!(stash::form_of(&stash), form);
        assert_eq!(stash::read(&stash).expect("password").bytes(), PASSWORD);
    }
    assert_eq!(stash::read(&bytes(FORM_TWO_EARLY)).expect("password").bytes(), b"Other-59");
    // A damaged salt makes form 2 look like form 1, and that one has no end of its password where it should.
    let mut damaged = bytes(FORM_TWO);
    damaged[0] ^= 1;
    assert!(stash::read(&damaged).map_or(true, |p| p.bytes() != PASSWORD));
}

#[test]
fn no_stash_has_a_zero_in_its_filler() {
    let rng = Rng::system();
    for _ in 0..50 {
        let stash = stash::write(&Password::new(PASSWORD.to_vec()), Form::One, &rng).expect("stash");
        let zeros: Vec<_> = (0..stash.len()).filter(|at| stash[*at] == 0xf5).collect();
        assert_eq!(zeros, [PASSWORD.len()]);
    }
    let with_zero = Password::new(b"a\0b".to_vec());
    assert_eq!(stash::write(&with_zero, Form::Two, &rng).err().map(|e| e.kind()), Some(Kind::Refused));
}

/// The name of a `TBSCertificate` that has all the parts that a record is made from; `filler` bytes of it are an
/// extension.
fn certificate(serial: u32, filler: usize) -> Der {
    use crate::asn1::{tlv, tlv_of};
    let algorithm = tlv(0x30, &[0x06, 0x01, 0x2a]);
    let name = tlv(0x30, &[]);
    let validity = tlv_of(0x30, &[&tlv(0x17, b"250101000000Z"), &tlv(0x17, b"350101000000Z")]);
    let spki = tlv_of(0x30, &[&algorithm, &tlv(0x03, &[0, 1])]);
    let extension = tlv_of(0x30, &[&tlv(0x06, &[0x2a, 0x03]), &tlv(0x04, &vec![7; filler])]);
    let extensions = tlv(0xa3, &tlv(0x30, &extension));
    let serial = crate::asn1::integer(u64::from(serial));
    let tbs = tlv_of(
        0x30,
        &[&[0xa0, 3, 2, 1, 2], &serial, &algorithm, &name, &validity, &name, &spki, &extensions],
    );
    Der::new(tlv_of(0x30, &[&tbs, &algorithm, &tlv(0x03, &[0, 9])]))
}

/// Certificates of any label, size and flags; labels and certificates are each there once.
fn any_store() -> impl Strategy<Value = Store> {
    let entry = (any::<String>(), 0usize..9000, any::<bool>());
    prop::collection::vec(entry, 0..6).prop_map(|entries| {
        let made = entries.into_iter().zip(1..).map(|((label, filler, trusted), n)| {
            let label = format!("{}{n}", label.replace('\0', ""));
            let mut entry = Entry::new(Item::Cert(certificate(n, filler))).with_label(label.as_str());
            entry.trust = Some(Trust::all(if trusted { Level::Anchor } else { Level::Unset }));
            entry
        });
        Store { entries: made.collect(), ..Store::default() }
    })
}

fn written(store: &Store, number: &str, password: &str) -> Vec<u8> {
    let (mut options, session, secrets) = (Options::default(), Session::new(0), OnePassword::new(password));
    options.set("kdb-format", number);
    let mut staging = Staging::memory();
    let ctx = Ctx { secrets: &secrets, options: &options, session: &session };
    Kdb.write(store, None, &mut staging, &ctx).expect("written");
    staging.into_memory().expect("in memory").to_vec()
}

fn read(bytes: &[u8], password: &str) -> Result<Store> {
    let (options, session, secrets) = (Options::default(), Session::new(0), OnePassword::new(password));
    let ctx = Ctx { secrets: &secrets, options: &options, session: &session };
    Kdb.read(&Source::memory("x.kdb", bytes.to_vec()), &ctx)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_store_comes_back(store in any_store(), number in "[346]", password in ".{1,20}") {
        let bytes = written(&store, &number, &password);
        let back = read(&bytes, &password).expect("read");
        prop_assert!(back.defects.is_empty());
        let seen = |s: &Store| -> Vec<_> {
            s.entries.iter().map(|e| (e.label.clone(), e.object().cloned(), e.trust.clone())).collect()
        };
        prop_assert_eq!(seen(&back), seen(&store));
    }

    #[test]
    fn no_changed_byte_goes_unseen(number in "[346]", at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let entry = Entry::new(Item::Cert(certificate(1, 100))).with_label("one");
        let mut bytes = written(&Store { entries: vec![entry], ..Store::default() }, &number, "secret");
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(read(&bytes, "secret").is_err());
    }

    #[test]
    fn a_stash_comes_back(password in prop::collection::vec(1u8.., 1..400), two in any::<bool>()) {
        let form = if two { Form::Two } else { Form::One };
        let bytes = stash::write(&Password::new(password.clone()), form, &Rng::system()).expect("stash");
        prop_assert_eq!(stash::form_of(&bytes), form);
        let back = stash::read(&bytes).expect("read");
        prop_assert_eq!(back.bytes(), &password[..]);
    }

    #[test]
    fn no_bytes_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let entry = Entry::new(Item::Cert(certificate(1, 100))).with_label("one");
        let mut bytes = written(&Store { entries: vec![entry], ..Store::default() }, "4", "secret");
        // Where the lengths are: most of the rest is padding.
        let near = bytes.len().min(400);
        for (at, byte) in changes {
            bytes[at.index(near)] = byte;
        }
        // Without a password nothing keeps the records from being looked at.
        let (options, session) = (Options::default(), Session::new(0));
        let ctx = Ctx { secrets: &crate::NoSecrets, options: &options, session: &session };
        let _ = Kdb.read(&Source::memory("x.kdb", bytes), &ctx);
    }
}
