//! Tests of the parts: protection, numbers, words, and files that are not what they should be.

use super::keys::{Numbers, Private};
use super::layout::*;
use super::protect::{Master, PasswordEntry};
use super::trust::Words;
use super::{Nss, decode};
use crate::asn1::{integer, octet_string, oid, oid_tlv, tlv_of};
use crate::context::{Ctx, NoSecrets, OnePassword, Options, Session};
use crate::error::Kind;
use crate::format::Format;
use crate::model::{Item, Store, Trust};
use crate::place::Source;
use std::fs;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/nss").join(name)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

/// The password entry of the golden database `ec`, made by NSS 3.87.
fn entry() -> PasswordEntry {
    PasswordEntry {
        salt: hex("bd2a95ccf560252c8f852cd772712f09e8a1bab9"),
        check: hex(concat!(
            "308182306e06092a864886f70d01050d3061304206092a864886f70d01050c30350420",
            "d26acd49b2afc6c2a1485ac174c4ec22b3a2e6a9ac91679b5ff242a122781a71",
            "02022710020120300a06082a864886f70d0209301b060960864801650304012a",
            "040e0aa9d2b692a59969e67e00ed4a4f041060df5adbaba761bdbe303f81acc93d45",
        )),
    }
}

fn session() -> Session {
    Session::new(0)
}

#[test]
fn the_password_entry_tells_wrong_from_damaged() {
    let (s, good) = (session(), entry());
    assert!(good.open(b"Keystore-1", &s).expect("entry").is_some());
    assert!(good.open(b"Keystore-2", &s).expect("entry").is_none());
    assert!(good.open(b"", &s).expect("entry").is_none());
    assert_eq!(good.rounds(), Some(10_000));
    let damaged = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = entry();
        f(&mut bad.check);
        bad.open(b"Keystore-1", &s).map(|m| m.is_some()).map_err(|e| e.kind())
    };
    assert_eq!(damaged(&|b| b.truncate(60)), Err(Kind::Malformed));
    assert_eq!(damaged(&|b| b.clear()), Err(Kind::Malformed));
    // Another cipher.
    assert_eq!(damaged(&|b| b[113 - 16] ^= 1), Err(Kind::Unsupported));
    // The ciphertext itself: as good as another password.
    assert_eq!(damaged(&|b| b[120] ^= 1), Ok(false));
}

#[test]
fn a_vector_as_the_standard_has_it_is_refused() {
    let with = |iv: &[u8]| {
        let prf = tlv_of(0x30, &[&oid_tlv(oid::HMAC_SHA256)]);
        let parameters = tlv_of(0x30, &[&octet_string(&[1; 32]), &integer(1), &integer(32), &prf]);
        let kdf = tlv_of(0x30, &[&oid_tlv(oid::PBKDF2), &parameters]);
        let aes = tlv_of(0x30, &[&oid_tlv(oid::AES256_CBC), &octet_string(iv)]);
        let algorithm = tlv_of(0x30, &[&oid_tlv(oid::PBES2), &tlv_of(0x30, &[&kdf, &aes])]);
        PasswordEntry { check: tlv_of(0x30, &[&algorithm, &octet_string(&[0; 16])]), ..entry() }
    };
    let open = |iv: &[u8]| with(iv).open(b"", &session()).map(|m| m.is_some());
    assert_eq!(open(&[0; 14]).ok(), Some(false));
    let error = open(&[0; 16]).expect_err("refused");
    assert!(error.kind() == Kind::Malformed && error.message().contains("14 bytes"), "{error}");
}

#[test]
fn records_bind_value_object_and_attribute() {
    let s = session();
    let master = Master::new(&[1; 20], b"password");
    let record = master.sign(&[7; 32], 5, (9, CLASS, b"value"), &s).expect("record");
    let verify =
        |id, attribute, value: &[u8]| master.verify(&record, (id, attribute, value), &s).expect("record");
    assert!(verify(9, CLASS, b"value"));
    assert!(!verify(8, CLASS, b"value") && !verify(9, TOKEN, b"value") && !verify(9, CLASS, b"valuf"));
    for at in [record.len() - 1, 40, 50] {
        let mut bad = record.clone();
        bad[at] ^= 1;
        let verified = master.verify(&bad, (9, CLASS, b"value"), &s);
        assert!(!verified.is_ok_and(|ok| ok), "byte {at}");
    }
    let sealed = master.seal(b"secret", 5, &s).expect("sealed");
    assert_eq!(master.open(&sealed, &s).expect("open").as_slice(), b"secret");
    assert!(master.verify(&sealed, (9, CLASS, b"value"), &s).is_err(), "no record");
    assert!(master.open(&tlv_of(0x30, &[&octet_string(b"x")]), &s).is_err());
}

#[test]
fn letters_are_certutils() {
    // What certutil 3.87 shows after it was given the string on the left.
    let pairs = [
        ("CT,C,C", "CT,C,C"),
        ("C,,", "C,,"),
        ("T,,", "T,,"),
        ("c,c,c", "c,c,c"),
        ("P,P,P", "P,P,P"),
        ("p,p,p", "p,p,p"),
        (",,", ",,"),
        ("CP,c,", "CP,c,"),
        ("pc,,", "p,,"),
        ("Cw,,", "C,,"),
        (",C,P", ",C,P"),
        ("TP,p,c", "TP,p,c"),
    ];
    for (given, shown) in pairs {
        let words = Words::parse(given).expect(given);
        assert_eq!(words.letters(false), shown);
        assert_eq!(Words::of_attr(&words.attr()), Some(words));
        assert_eq!(Words::of_trust(&words.trust()).trust(), words.trust(), "{given}");
    }
    assert!(Words::parse("C,C").is_err() && Words::parse("x,,").is_err());
    assert_eq!(Words::of_trust(&Trust::all(crate::model::Level::Anchor)).letters(true), "CTu,Cu,Cu");
}

fn read(folder: &Path, password: &str) -> crate::Result<Store> {
    let (options, session) = (Options::default(), session());
    let secrets = OnePassword::new(password);
    decode::decode(folder, &Ctx { secrets: &secrets, options: &options, session: &session })
}

#[test]
fn numbers_of_two_keys_are_told_apart() {
    let (options, session) = (Options::default(), session());
    let secrets = OnePassword::new("Keystore-1");
    let ctx = Ctx { secrets: &secrets, options: &options, session: &session };
    let store = decode::decode(&golden("personal"), &ctx).expect("golden");
    let mut rsa = Vec::new();
    let mut one = Vec::new();
    for entry in &store.entries {
        let Item::Key { key, .. } = &entry.item else { continue };
        let key = Private::of_pkcs8(&key.open(&ctx).expect("key").bytes).expect("key");
        key.check().expect("a sound key");
        assert_eq!(Private::of_pkcs8(&key.pkcs8()).expect("again").pkcs8(), key.pkcs8());
        match key.numbers {
            Numbers::Rsa(_) => rsa.push(key),
            Numbers::One(_) => one.push(key),
        }
    }
    assert_eq!((rsa.len(), one.len()), (2, 2));
    let (a, b) = (rsa.remove(0), rsa.remove(0));
    let (Numbers::Rsa(of_a), Numbers::Rsa(of_b)) = (&a.numbers, &b.numbers) else { panic!("RSA") };
    for n in 0..6 {
        let mut mixed = of_a.clone();
        mixed[n] = of_b[n].clone();
        let key = Private { public: a.public.clone(), numbers: Numbers::Rsa(mixed) };
        assert_eq!(key.check().map_err(|e| e.kind()), Err(Kind::Malformed), "number {n}");
    }
    let swapped = Private { public: a.public, numbers: b.numbers };
    assert!(swapped.check().is_err());
    let (bob, dsa) = (one.remove(0), one.remove(0));
    assert!(Private { public: bob.public, numbers: dsa.numbers }.check().is_err());
}

/// A copy of a golden database that may be written to.
fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for item in fs::read_dir(golden(name)).expect("golden").flatten() {
        if item.path().is_file() {
            fs::write(folder.path().join(item.file_name()), fs::read(item.path()).expect("file"))
                .expect("copy");
        }
    }
    folder
}

#[test]
fn no_damage_panics_or_writes() {
    for (name, files) in [("ec", ["cert9.db", "key4.db"]), ("legacy-dbm", ["cert8.db", "key3.db"])] {
        let folder = copied(name);
        for file in files {
            let path = folder.path().join(file);
            let good = fs::read(&path).expect("file");
            for at in (0..good.len()).step_by(good.len() / 120) {
                let mut bad = good.clone();
                bad[at] ^= 0xff;
                fs::write(&path, &bad).expect("write");
                let (options, session) = (Options::default(), session());
                let ctx = Ctx { secrets: &NoSecrets, options: &options, session: &session };
                let _ = Nss.read(&Source::open(folder.path()).expect("folder"), &ctx);
                assert_eq!(fs::read(&path).expect("file"), bad, "{file}: read and changed");
            }
            fs::write(&path, good).expect("write");
        }
        let count = fs::read_dir(folder.path()).expect("folder").count();
        assert_eq!(
            count,
            fs::read_dir(golden(name))
                .expect("golden")
                .filter(|f| f.as_ref().is_ok_and(|f| f.path().is_file()))
                .count()
        );
    }
}

#[test]
fn an_interrupted_change_is_reported_and_left() {
    let folder = copied("ec");
    let journal = folder.path().join("cert9.db-journal");
    // The magic of a rollback journal with one page in it (SQLite file format, section 3).
    let mut bytes = hex("d9d505f920a163d7000000010000000000000009000002000000100000000000");
    bytes.resize(512 + 4096 + 8, 0);
    fs::write(&journal, &bytes).expect("journal");
    let error = read(folder.path(), "Keystore-1").expect_err("hot");
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    assert!(error.hint_text().is_some());
    assert_eq!(fs::read(&journal).expect("journal"), bytes);
}

#[test]
fn a_view_is_no_table() {
    let folder = copied("ec");
    let db = rusqlite::Connection::open(folder.path().join("cert9.db")).expect("db");
    db.execute_batch("ALTER TABLE nssPublic RENAME TO t; CREATE VIEW nssPublic AS SELECT * FROM t")
        .expect("view");
    drop(db);
    let error = read(folder.path(), "Keystore-1").expect_err("view");
    assert_eq!(error.kind(), Kind::Malformed, "{error}");
}

#[test]
fn a_write_ahead_log_is_read_when_it_is_empty() {
    let folder = copied("ec");
    let db = rusqlite::Connection::open(folder.path().join("cert9.db")).expect("db");
    db.query_row("PRAGMA journal_mode = wal", [], |_| Ok(())).expect("mode");
    drop(db);
    assert_eq!(read(folder.path(), "Keystore-1").expect("store").entries.len(), 4);
    assert!(!folder.path().join("cert9.db-shm").exists());
    fs::write(folder.path().join("cert9.db-wal"), [1; 64]).expect("wal");
    assert_eq!(read(folder.path(), "Keystore-1").expect_err("open elsewhere").kind(), Kind::Busy);
}

#[test]
fn the_next_writer_takes_an_interrupted_change_back() {
    let (folder, copy) = (copied("ec"), copied("ec"));
    let before = fs::read(folder.path().join("cert9.db")).expect("file");
    let db = rusqlite::Connection::open(folder.path().join("cert9.db")).expect("db");
    // More than the cache holds, so that pages go to the file before any commit.
    db.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE nssPublic SET a3 = randomblob(60000)")
        .expect("change");
    for name in ["cert9.db", "cert9.db-journal"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).expect("copy");
    }
    drop(db);
    assert_ne!(fs::read(copy.path().join("cert9.db")).expect("file"), before, "half a change");
    let error = read(copy.path(), "Keystore-1").expect_err("hot");
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    super::edit::recover(copy.path()).expect("recovered");
    assert_eq!(fs::read(copy.path().join("cert9.db")).expect("file"), before);
    assert_eq!(read(copy.path(), "Keystore-1").expect("store").entries.len(), 4);
}
