//! Read, write, refuse: against stores that the JDK wrote, and against ourselves.

use super::layout::{CERT, JCEKS, JKS, KEY, SECRET};
use super::*;
use crate::context::{Budget, NoSecrets, OnePassword, Options, Rng, Secrets, Session};
use crate::error::Kind;
use crate::model::*;
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Everything around one test: passwords by label, options, a seeded session at a fixed time.
struct Bench {
    store: Option<&'static str>,
    keys: &'static [(&'static str, &'static str)],
    options: Options,
    session: Session,
}

impl Bench {
    fn new(store: &'static str, keys: &'static [(&'static str, &'static str)]) -> Self {
        let mut options = Options::default();
        options.set(encode::ITERATIONS_OPTION, "10000");
        let session = Session { rng: Rng::seeded([7; 32]), ..Session::new(1_700_000_000_000) };
        Bench { store: Some(store), keys, options, session }
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx { secrets: self, options: &self.options, session: &self.session }
    }

    fn read(&self, format: &dyn Format, bytes: &[u8]) -> Result<Store> {
        format.read(&Source::memory("test", bytes.to_vec()), &self.ctx())
    }

    fn write(&self, format: &dyn Format, store: &Store) -> Result<(Vec<u8>, Vec<Loss>)> {
        let mut to = Staging::memory();
        let losses = format.write(store, None, &mut to, &self.ctx())?;
        Ok((to.into_memory().expect("staged in memory").to_vec(), losses))
    }
}

impl Secrets for Bench {
    fn store(&self) -> Result<Option<Arc<Password>>> {
        Ok(self.store.map(password))
    }

    fn key(&self, label: Option<&str>) -> Result<Vec<Arc<Password>>> {
        Ok(self.keys.iter().filter(|(l, _)| Some(*l) == label).map(|(_, p)| password(p)).collect())
    }
}

fn password(text: &str) -> Arc<Password> {
    Arc::new(Password::new(text.as_bytes().to_vec()))
}

fn golden(base64: &str) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(base64).expect("base64")
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// A container of version `version` around `entries`, with a right digest for `changeit`.
fn container(magic: &[u8], version: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let count = (entries.len() as u32).to_be_bytes();
    let mut out = [magic, &version.to_be_bytes(), &count, &entries.concat()].concat();
    let mut digest = Sha1::new();
    "changeit".encode_utf16().for_each(|u| digest.update(u.to_be_bytes()));
    out.extend(digest.chain_update("Mighty Aphrodite").chain_update(&out).finalize());
    out
}

fn entry(kind: u32, label: &[u8], content: &[&[u8]]) -> Vec<u8> {
    let label_len = (label.len() as u16).to_be_bytes();
    [&kind.to_be_bytes()[..], &label_len, label, &[0; 8], &content.concat()].concat()
}

fn body(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn typed(kind: &str, bytes: &[u8]) -> Vec<u8> {
    [&(kind.len() as u16).to_be_bytes()[..], kind.as_bytes(), &body(bytes)].concat()
}

/// A SEQUENCE of `n` bytes of content: a certificate as far as the container looks.
fn certificate(n: usize) -> Vec<u8> {
    crate::asn1::tlv(0x30, &vec![n as u8; n])
}

fn labels(store: &Store) -> Vec<String> {
    store.entries.iter().map(|e| e.label_text().into_owned()).collect()
}

fn open(entry: &Entry, bench: &Bench) -> Result<(Vec<u8>, Option<String>)> {
    let key = entry.secret().expect("a key").open(&bench.ctx())?;
    Ok((key.bytes.to_vec(), key.algorithm.clone()))
}

fn lone(label: &str, cert: Vec<u8>) -> Entry {
    let mut entry = Entry::new(Item::Cert(Der::new(cert))).with_label(label);
    entry.trust = Some(Trust::all(Level::Anchor));
    entry
}

fn pair(label: &str, key: &[u8], chain: &[Vec<u8>]) -> Entry {
    let key = Arc::new(Secret::clear(KeyMaterial::pkcs8(Zeroizing::new(key.to_vec()))));
    let chain = chain.iter().map(|c| Link::from(Der::new(c.clone()))).collect();
    Entry::new(Item::Key { key, chain }).with_label(label)
}

fn secret(label: &str, octets: &[u8], algorithm: Option<&str>) -> Entry {
    let bytes = Zeroizing::new(octets.to_vec());
    let key = KeyMaterial { bytes, algorithm: algorithm.map(str::to_owned) };
    Entry::new(Item::Symmetric(Arc::new(Secret::clear(key)))).with_label(label)
}

fn store(entries: Vec<Entry>) -> Store {
    Store { entries, ..Store::default() }
}

/// A PKCS#8 `PrivateKeyInfo` of Ed25519: the one in the golden stores.
fn pkcs8() -> Vec<u8> {
    hex("302e020100300506032b65700422042009dc6fcd2d4e2d61234f3276d03e5e8244768df9478176e421bd95f38f81fa15")
}

const KEYS: &[(&str, &str)] = &[("alice", "key-pass"), ("aes", "aes-pass")];

#[test]
fn reads_what_the_jdk_wrote() {
    let bench = Bench::new("changeit", KEYS);
    let jks = bench.read(&Jks, &golden(JDK_JKS)).expect("jks");
    assert_eq!(labels(&jks), ["alice", "k🔑"]);
    assert!(jks.entries.iter().all(|e| e.authenticated == Some(true)));
    assert_eq!(open(&jks.entries[0], &bench).expect("key"), (pkcs8(), None));
    let Item::Key { chain, .. } = &jks.entries[0].item else { panic!("no key") };
    assert_eq!(chain.iter().map(|l| l.cert.len()).collect::<Vec<_>>(), [251]);
    assert_eq!(
        (jks.entries[0].trust.clone(), chain[0].cert.clone()),
        (None, jks.entries[1].object().cloned().expect("cert"))
    );
    assert_eq!(jks.entries[1].trust, Some(Trust::all(Level::Anchor)));
    assert_eq!(jks.entries[0].attr("jks", "date"), Some(&b"1795624338970"[..]));

    let jceks = bench.read(&Jceks, &golden(JDK_JCEKS)).expect("jceks");
    assert_eq!(labels(&jceks), ["phrase", "alice", "aes"]);
    let open = |n: usize| open(&jceks.entries[n], &bench).expect("key");
    assert_eq!(open(0), (b"stored".to_vec(), Some("PBEWithMD5AndDES".to_owned())));
    assert_eq!(open(1), (pkcs8(), None));
    assert_eq!(open(2), (b"0123456789abcdef".to_vec(), Some("AES".to_owned())));
}

#[test]
fn rewrites_sealed_keys_byte_for_byte() {
    // Only the store's password: the keys with others can't be opened, and are kept.
    let bench = Bench::new("changeit", &[]);
    for (format, file) in [(&Jks as &dyn Format, JDK_JKS), (&Jceks, JDK_JCEKS)] {
        let file = golden(file);
        let read = bench.read(format, &file).expect("read");
        let (written, losses) = bench.write(format, &read).expect("written");
        assert_eq!((written, losses), (file, vec![]), "{}", format.name());
    }
}

#[test]
fn a_sealed_key_does_not_go_into_another_format() {
    let bench = Bench::new("changeit", &[]);
    let jks = bench.read(&Jks, &golden(JDK_JKS)).expect("jks");
    let e = bench.write(&Jceks, &jks).expect_err("sealed");
    assert_eq!((e.kind(), e.place().label.as_deref()), (Kind::Password, Some("alice")));
}

#[test]
fn digests_passwords_outside_the_basic_plane() {
    // `key🔑ä`, an empty store, JDK 17.
    let file = hex("feedfeed00000002000000005c2ff79ffd0d30b7299f16759626aa0369e6ee52");
    let bench = Bench::new("key🔑ä", &[]);
    assert_eq!(bench.read(&Jks, &file).expect("read").entries.len(), 0);
    assert_eq!(bench.write(&Jks, &Store::default()).expect("written").0, file);
}

#[test]
fn the_same_halves_of_a_salt_are_told_apart() {
    // JDK 17: Cipher "PBEWithMD5AndTripleDES", password `changeit`, 7 rounds.
    for (salt, sealed) in [
        ("0102030401020304", "488d0369922fc0b120ee6cfdcea8db1a"),
        ("0102030405060708", "86b45eb76488f7e7cb774b2f67cbec3d"),
    ] {
        let parameters = [&hex("300d0408")[..], &hex(salt), &hex("020107")].concat();
        let sealed = hex(sealed);
        let parameters = crate::asn1::Reader::new(&parameters, 0).any("parameters").expect("DER");
        let cipher = protect::Pbe::parse(parameters).expect("parameters");
        let plain = cipher.decipher(&sealed, &password("changeit"), &Bench::new("", &[]).ctx());
        assert_eq!(plain.expect("plain").as_slice(), b"hello world");
    }
}

#[test]
fn wrong_and_missing_passwords() {
    let right = Bench::new("changeit", KEYS);
    let wrong = Bench::new("chengeit", &[("alice", "no"), ("aes", "no")]);
    let none = Ctx { secrets: &NoSecrets, ..right.ctx() };
    for (format, file) in [(&Jks as &dyn Format, JDK_JKS), (&Jceks, JDK_JCEKS)] {
        let source = Source::memory("test", golden(file));
        let e = format.read(&source, &wrong.ctx()).expect_err("wrong");
        assert_eq!(e.kind(), Kind::Password);
        assert!(e.message().contains("damaged"), "{e}");
        let read = format.read(&source, &none).expect("listed");
        assert!(read.entries.iter().all(|e| e.authenticated == Some(false)));
        for entry in read.entries.iter().filter(|e| e.secret().is_some()) {
            let secret = entry.secret().expect("key");
            for ctx in [none, wrong.ctx()] {
                let e = secret.open(&ctx).expect_err("wrong");
                assert_eq!(
                    (e.kind(), e.place().label.as_deref()),
                    (Kind::Password, Some(&*entry.label_text()))
                );
            }
            assert!(secret.open(&right.ctx()).is_ok());
        }
    }
}

#[test]
fn an_absurd_count_is_refused_before_the_work() {
    let mut bench = Bench::new("changeit", KEYS);
    bench.session.budget = Budget::new(9_999, 1_000_000);
    let read = bench.read(&Jceks, &golden(JDK_JCEKS)).expect("read");
    for entry in &read.entries {
        assert_eq!(open(entry, &bench).expect_err("too much").kind(), Kind::TooLarge);
    }
    assert_eq!(bench.session.budget.spent(), 0);
    let e = bench.write(&Jceks, &store(vec![pair("a", &pkcs8(), &[certificate(1)])])).expect_err("too much");
    assert_eq!(e.kind(), Kind::TooLarge);
}

#[test]
fn every_cut_is_malformed_and_knows_the_byte() {
    let bench = Bench::new("changeit", KEYS);
    for (format, file) in [(&Jks as &dyn Format, JDK_JKS), (&Jceks, JDK_JCEKS)] {
        let file = golden(file);
        for len in 0..file.len() {
            let e = bench.read(format, &file[..len]).expect_err("cut");
            assert_eq!(e.kind(), Kind::Malformed, "{len}: {e}");
            assert!(e.place().offset.is_some_and(|at| at <= len as u64), "{len}: {e}");
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bench = Bench::new("changeit", KEYS);
    for (format, file) in [(&Jks as &dyn Format, JDK_JKS), (&Jceks, JDK_JCEKS)] {
        let mut file = golden(file);
        for at in 0..file.len() {
            file[at] ^= 1 << (at % 8);
            assert!(bench.read(format, &file).is_err(), "byte {at}");
            file[at] ^= 1 << (at % 8);
        }
    }
}

#[test]
fn lengths_are_bounded_by_what_is_left() {
    let bench = Bench::new("changeit", &[]);
    let huge = &[0xff; 4];
    let protected = body(b"sealed");
    for (entries, at) in [
        (entry(KEY, b"x", &[huge]), 31),
        (entry(KEY, b"x", &[&protected, huge]), 37),
        (entry(CERT, b"x", &[&typed("X.509", b"")[..7], huge]), 38),
        (entry(9, b"x", &[]), 12),
        (entry(SECRET, b"x", &[]), 12),
    ] {
        let e = bench.read(&Jks, &container(&JKS.magic, 2, &[entries])).expect_err("too long");
        assert_eq!((e.kind(), e.place().offset), (Kind::Malformed, Some(at)), "{e}");
    }
    let mut many = container(&JKS.magic, 2, &[]);
    many[8..12].copy_from_slice(huge);
    assert_eq!(bench.read(&Jks, &many).expect_err("no such entries").kind(), Kind::Malformed);
    let future = container(&JKS.magic, 3, &[]);
    let e = bench.read(&Jks, &future).expect_err("version");
    assert_eq!((e.kind(), e.place().offset), (Kind::Unsupported, Some(4)));
    assert_eq!(
        bench.read(&Jceks, &container(&JKS.magic, 2, &[])).expect_err("magic").kind(),
        Kind::Malformed
    );
}

#[test]
fn version_1_has_no_types() {
    let bench = Bench::new("changeit", &[]);
    let chain = [&body(b"sealed")[..], &[0, 0, 0, 1], &body(&certificate(3))].concat();
    let entries = [entry(KEY, b"key", &[&chain]), entry(CERT, b"root", &[&body(&certificate(5))])];
    let read = bench.read(&Jks, &container(&JKS.magic, 1, &entries)).expect("read");
    assert_eq!(labels(&read), ["key", "root"]);
    assert_eq!(read.entries[0].certificate().expect("leaf")[..], certificate(3));
    assert_eq!(read.entries[1].certificate().expect("root")[..], certificate(5));
    assert_eq!(read.facts, [Attr::new("jks", "version", *b"1")]);
}

#[test]
fn the_last_of_two_equal_labels_counts() {
    let bench = Bench::new("changeit", &[]);
    let cert = |n| entry(CERT, b"dup", &[&typed("X.509", &certificate(n))]);
    let other = entry(CERT, b"Dup", &[&typed("X.509", &certificate(9))]);
    let read = bench.read(&Jks, &container(&JKS.magic, 2, &[cert(1), other.clone(), cert(2)])).expect("read");
    assert_eq!(labels(&read), ["Dup", "dup"]);
    assert_eq!(read.entries[1].object().expect("cert")[..], certificate(2));
    assert_eq!((read.warnings.len(), read.defects.len()), (1, 0));

    let key = entry(KEY, b"dup", &[&body(b"sealed"), &[0; 4]]);
    let read = bench.read(&Jks, &container(&JKS.magic, 2, &[key, cert(2)])).expect("read");
    assert_eq!(labels(&read), ["dup"]);
    assert_eq!((read.warnings.len(), read.defects.len()), (0, 1));
    assert_eq!(read.defects[0].place().label.as_deref(), Some("dup"));
}

#[test]
fn broken_certificates_cost_no_other_entry() {
    let bench = Bench::new("changeit", &[]);
    let broken = typed("X.509", b"garbage");
    let chain = [&body(b"sealed")[..], &[0, 0, 0, 3], &typed("X.509", &certificate(3)), &broken, &broken];
    let spare = [&certificate(4)[..], b"spare"].concat();
    let file = container(
        &JKS.magic,
        2,
        &[
            entry(CERT, b"broken", &[&broken]),
            entry(KEY, b"key", &chain),
            entry(CERT, b"spare", &[&typed("x.509", &spare)]),
            entry(CERT, b"pgp", &[&typed("PGP", b"whatever")]),
        ],
    );
    let read = bench.read(&Jks, &[&file[..], b"\0\0"].concat()).expect("read");
    assert_eq!(labels(&read), ["key", "spare", "pgp"]);
    let Item::Key { chain, .. } = &read.entries[0].item else { panic!("no key") };
    assert_eq!(chain.len(), 1);
    assert_eq!(read.entries[1].object().expect("cert")[..], certificate(4));
    let Item::Other { what, body } = &read.entries[2].item else { panic!("not other") };
    assert_eq!(
        (what.as_str(), &body[..], read.entries[2].trust.is_none()),
        ("certificate of type PGP", &b"whatever"[..], true)
    );
    assert_eq!(read.defects.iter().map(|d| d.place().offset).collect::<Vec<_>>(), [Some(43), Some(108)]);
    assert_eq!(read.warnings, ["2 bytes after the end of the store are ignored"]);
}

#[test]
fn dates_are_kept_or_made() {
    let bench = Bench::new("changeit", &[]);
    let mut old = lone("old", certificate(1));
    old.attrs.push(Attr::new("jks", "date", *b"-1"));
    let mut odd = lone("odd", certificate(2));
    odd.attrs.push(Attr::new("jks", "date", *b"yesterday"));
    let (file, _) = bench.write(&Jks, &store(vec![old, lone("new", certificate(3)), odd])).expect("written");
    let read = bench.read(&Jks, &file).expect("read");
    let dates: Vec<_> = read.entries.iter().map(|e| e.attr("jks", "date").expect("date")).collect();
    assert_eq!(dates, [&b"-1"[..], b"1700000000000", b"1700000000000"]);
}

#[test]
fn labels_become_lower_case_and_may_not_meet() {
    let bench = Bench::new("changeit", &[]);
    let entries =
        vec![lone("İSTANBUL", certificate(1)), lone("ΑΣ", certificate(2)), lone("", certificate(3))];
    let (file, losses) = bench.write(&Jks, &store(entries)).expect("written");
    assert_eq!(
        losses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "note: \"İSTANBUL\": the labels of this and 1 other entry are written in lower case, as Java has them"
        ]
    );
    assert_eq!(labels(&bench.read(&Jks, &file).expect("read")), ["i\u{307}stanbul", "ας", ""]);
    let Labels::Unique(fold) = Jks.carries().labels else { panic!("not unique") };
    assert_eq!(fold("İSTANBUL"), "i\u{307}stanbul");

    let refused = |entries| bench.write(&Jks, &store(entries)).map_err(|e| e.kind());
    let same = vec![lone("Same", certificate(1)), lone("sAME", certificate(2))];
    assert_eq!(refused(same), Err(Kind::Refused));
    let mut nameless = lone("x", certificate(1));
    nameless.label = None;
    assert_eq!(refused(vec![nameless]), Err(Kind::Refused));
    assert!(refused(vec![lone(&"\0".repeat(32_767), certificate(1))]).is_ok());
    assert_eq!(refused(vec![lone(&"\0".repeat(32_768), certificate(1))]), Err(Kind::TooLarge));
}

#[test]
fn labels_that_are_no_text() {
    let bench = Bench::new("changeit", &[]);
    let half = b"half\xed\xa0\xbd";
    let file = container(&JKS.magic, 2, &[entry(CERT, half, &[&typed("X.509", &certificate(1))])]);
    let mut read = bench.read(&Jks, &file).expect("read");
    assert_eq!(read.entries[0].label.as_ref().map(Label::bytes), Some(&half[..]));
    let (written, losses) = bench.write(&Jks, &read).expect("written");
    assert_eq!((written, losses.len()), (file, 0));

    read.entries[0].label = Some(Label::from(&b"caf\xe9"[..]));
    let (written, losses) = bench.write(&Jks, &read).expect("written");
    assert_eq!(losses.iter().map(|l| l.kind).collect::<Vec<_>>(), [LossKind::Label]);
    assert_eq!(labels(&bench.read(&Jks, &written).expect("read")), ["caf\u{fffd}"]);
}

#[test]
fn raised_trust_is_a_loss() {
    let bench = Bench::new("changeit", &[]);
    let mut entries = vec![lone("anchor", certificate(1)), lone("unknown", certificate(2))];
    entries[1].trust = None;
    for (label, level) in [("peer", Level::Peer), ("unset", Level::Unset), ("never", Level::Distrusted)] {
        let mut entry = lone(label, certificate(3));
        entry.trust.as_mut().expect("trust").levels[2] = level;
        entries.push(entry);
    }
    let (file, losses) = bench.write(&Jks, &store(entries)).expect("written");
    assert!(losses.iter().all(|l| l.kind == LossKind::TrustRaised));
    assert_eq!(
        losses.iter().map(|l| l.label.as_deref()).collect::<Vec<_>>(),
        [Some("peer"), Some("unset"), Some("never")]
    );
    assert!(losses[2].detail.contains("distrusted"));
    assert_eq!(bench.read(&Jks, &file).expect("read").entries.len(), 5);
}

#[test]
fn what_java_could_not_use_is_refused() {
    let bench = Bench::new("changeit", &[("ä", "kä")]);
    let refused = |format: &dyn Format, entry: Entry| {
        bench.write(format, &store(vec![entry])).map(drop).map_err(|e| (e.kind(), e.place().label.is_some()))
    };
    let csr = Entry::new(Item::Request { csr: Der::new(vec![]), key: None }).with_label("csr");
    assert_eq!(refused(&Jks, csr), Err((Kind::Refused, true)));
    assert_eq!(refused(&Jks, secret("s", b"12", Some("AES"))), Err((Kind::Refused, true)));
    assert_eq!(refused(&Jceks, secret("s", b"12", None)), Err((Kind::Refused, true)));
    assert_eq!(refused(&Jceks, secret("s", b"", Some("AES"))), Err((Kind::Refused, true)));
    assert_eq!(refused(&Jceks, secret("ä", b"12", Some("AES"))), Err((Kind::Password, true)));
    assert_eq!(refused(&Jceks, pair("ä", &pkcs8(), &[certificate(1)])), Err((Kind::Password, true)));
    assert!(Jceks.cannot_hold(&pair("a", &pkcs8(), &[])).is_some());
    assert!(Jks.cannot_hold(&pair("a", &pkcs8(), &[])).is_none());
    assert_eq!(refused(&Jks, pair("ä", &pkcs8(), &[])), Ok(()));
    // The store's password may be any.
    let bench = Bench::new("pässwörd", &[("a", "ascii")]);
    let (file, _) =
        bench.write(&Jceks, &store(vec![pair("a", &pkcs8(), &[certificate(1)])])).expect("written");
    assert_eq!(open(&bench.read(&Jceks, &file).expect("read").entries[0], &bench).expect("key").0, pkcs8());

    let mut none = Bench::new("", &[]);
    none.store = None;
    assert_eq!(none.write(&Jks, &Store::default()).expect_err("none").kind(), Kind::Password);
    for count in ["9999", "5000001", "-1", "many"] {
        none.store = Some("changeit");
        none.options.set(encode::ITERATIONS_OPTION, count);
        assert_eq!(none.write(&Jceks, &Store::default()).expect_err(count).kind(), Kind::Refused);
    }
}

#[test]
fn a_seed_makes_the_same_bytes() {
    let entries =
        || store(vec![pair("a", &pkcs8(), &[certificate(3)]), pair("b", &pkcs8(), &[certificate(4)])]);
    for format in [&Jks as &dyn Format, &Jceks] {
        let one = Bench::new("changeit", &[]).write(format, &entries()).expect("written").0;
        assert_eq!(one, Bench::new("changeit", &[]).write(format, &entries()).expect("written").0);
        let mut other = Bench::new("changeit", &[]);
        other.session.rng = Rng::seeded([8; 32]);
        assert_ne!(one, other.write(format, &entries()).expect("written").0);
    }
}

#[test]
fn secret_keys_are_written_as_the_jdk_does() {
    // JDK 17: new ObjectOutputStream(..).writeObject(new SecretKeySpec({1, 2, 3}, "AES")).
    let jdk = hex(concat!(
        "aced00057372001f6a617661782e63727970746f2e737065632e5365637265744b6579537065635b470b66e230614d02",
        "00024c0009616c676f726974686d7400124c6a6176612f6c616e672f537472696e673b5b00036b65797400025b427870",
        "740003414553757200025b42acf317f8060854e0020000787000000003010203"
    ));
    assert_eq!(*serial::put_secret_key("AES", &[1, 2, 3]), jdk);
    // And the sealed object: read from a JDK's store, it comes out as it was.
    let file = golden(JDK_JCEKS);
    let at = file.windows(4).position(|w| w == [0xac, 0xed, 0, 5]).expect("a stream");
    let (sealed, len) = serial::sealed_object(&file[at..], at as u64).expect("sealed");
    assert_eq!(serial::put_sealed_object(sealed.parameters, sealed.content), file[at..at + len]);
}

#[test]
fn only_known_java_classes_are_read() {
    let good = serial::put_secret_key("AES", &[1, 2, 3]);
    let kind = |bytes: &[u8]| serial::secret_key(bytes).map(drop).map_err(|e| e.kind());
    assert_eq!(kind(&good), Ok(()));
    let edit = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|w| w == from).expect("there");
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    assert_eq!(kind(&edit(b"SecretKeySpec", b"SecretKeySpok")), Err(Kind::Unsupported));
    // The class as its own ancestor, a reference to nowhere, a class that writes itself.
    assert_eq!(kind(&edit(&[0x78, 0x70], &[0x78, 0x71, 0, 0x7e, 0, 0])), Err(Kind::Malformed));
    assert_eq!(kind(&edit(&[0x78, 0x70], &[0x78, 0x71, 0, 0x7e, 0, 9])), Err(Kind::Malformed));
    assert_eq!(kind(&edit(&[0x4d, 2, 0, 2], &[0x4d, 3, 0, 2])), Err(Kind::Malformed));
    assert_eq!(kind(&edit(&[0, 0, 0, 3, 1], &[0xff, 0xff, 0xff, 0xff, 1])), Err(Kind::Malformed));
    assert_eq!(kind(&edit(b"\0\x03key", b"\0\x03kex")), Err(Kind::Malformed));
    for len in 0..good.len() {
        assert_eq!(kind(&good[..len]), Err(Kind::Malformed), "{len}");
    }
    let nested: Vec<u8> = std::iter::repeat_n(&good[4..good.len() - 20], 50).flatten().copied().collect();
    assert!(serial::secret_key(&[&good[..4], &nested].concat()).is_err());
    let bench = Bench::new("changeit", &[]);
    let spec = entry(SECRET, b"x", &[&good]);
    let e = bench.read(&Jceks, &container(&JCEKS.magic, 2, &[spec])).expect_err("not sealed");
    assert_eq!((e.kind(), e.place().offset), (Kind::Unsupported, Some(27)));
}

#[test]
fn modified_utf8() {
    for (text, bytes) in [
        ("plain", &b"plain"[..]),
        ("nul\0", b"nul\xc0\x80"),
        ("ä証", "ä証".as_bytes()),
        ("🔑", b"\xed\xa0\xbd\xed\xb4\x91"),
    ] {
        assert_eq!(&*mutf8::encode(text), bytes);
        assert_eq!(mutf8::decode(bytes).as_deref(), Some(text));
        assert!(mutf8::is_java(bytes));
    }
    // Ordinary UTF-8, alone and mixed; Java refuses both.
    assert_eq!(mutf8::decode("k🔑".as_bytes()).as_deref(), Some("k🔑"));
    assert_eq!(mutf8::decode(b"\xc0\x80\xf0\x9f\x94\x91").as_deref(), Some("\0🔑"));
    assert!(!mutf8::is_java("k🔑".as_bytes()));
    // Half of a pair, a cut, a stray tail, Latin-1, above U+10FFFF.
    for bad in [&b"\xed\xa0\xbd"[..], b"\xe8\xa8", b"\x80", b"caf\xe9", b"\xf4\x90\x80\x80"] {
        assert_eq!(mutf8::decode(bad), None, "{bad:x?}");
    }
}

#[test]
fn detects_by_magic_alone() {
    let probe = |head: &'static [u8]| Probe { head, size: None, path: "a.jks".as_ref(), directory: false };
    assert_eq!(Jks.detect(&probe(b"\xfe\xed\xfe\xed\0\0")), Match::Yes);
    assert_eq!(Jks.detect(&probe(b"\xce\xce\xce\xce")), Match::No);
    assert_eq!(Jceks.detect(&probe(b"\xce\xce\xce\xce")), Match::Yes);
    assert_eq!(Jks.detect(&probe(b"\xfe\xed")), Match::No);
}

/// An entry's parts, for comparison.
type Parts = (String, ItemKind, Vec<Vec<u8>>, Option<(Vec<u8>, Option<String>)>, Option<Trust>, Option<i64>);

fn parts(entry: &Entry, ctx: &Ctx<'_>) -> Parts {
    let certs = match &entry.item {
        Item::Key { chain, .. } => chain.iter().map(|l| l.cert.to_vec()).collect(),
        item => item_cert(item),
    };
    let key = entry.secret().map(|s| s.open(ctx).expect("opens"));
    let key = key.map(|k| (k.bytes.to_vec(), k.algorithm.clone()));
    let date = entry.attr("jks", "date").map(|d| String::from_utf8_lossy(d).parse().expect("a number"));
    (entry.label_text().into_owned(), entry.item.kind(), certs, key, entry.trust.clone(), date)
}

fn item_cert(item: &Item) -> Vec<Vec<u8>> {
    match item {
        Item::Cert(cert) => vec![cert.to_vec()],
        _ => vec![],
    }
}

fn any_entry(secrets: bool) -> impl Strategy<Value = Entry> {
    let cert = || (0usize..300).prop_map(certificate);
    let key = prop::collection::vec(any::<u8>(), 0..90).prop_map(|b| {
        // PKCS#8 as far as anybody looks.
        crate::asn1::tlv(0x30, &[&[2, 1, 0][..], &b].concat())
    });
    let lone = cert().prop_map(|c| lone("", c));
    let pair =
        (key, prop::collection::vec(cert(), usize::from(secrets)..4)).prop_map(|(k, c)| pair("", &k, &c));
    let octets = prop::collection::vec(any::<u8>(), 1..70);
    let secret = (octets, "\\PC{1,20}").prop_map(|(o, a)| secret("", &o, Some(&a)));
    let entry =
        if secrets { prop_oneof![lone, pair, secret].boxed() } else { prop_oneof![lone, pair].boxed() };
    (entry, any::<i64>()).prop_map(|(mut entry, date)| {
        entry.attrs.push(Attr::new("jks", "date", date.to_string().into_bytes()));
        entry
    })
}

fn any_store(secrets: bool) -> impl Strategy<Value = Store> {
    let labels = prop::collection::btree_set(any::<String>().prop_map(|l| l.to_lowercase()), 0..6);
    labels.prop_flat_map(move |labels| {
        let n = labels.len();
        prop::collection::vec(any_entry(secrets), n).prop_map(move |entries| {
            store(entries.into_iter().zip(&labels).map(|(e, l)| e.with_label(l.as_str())).collect())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn jks_comes_back(store in any_store(false), password in any::<String>()) {
        comes_back(&Jks, &store, &password);
    }

    #[test]
    fn jceks_comes_back(store in any_store(true), password in "[ -~]{0,20}") {
        comes_back(&Jceks, &store, &password);
    }

    #[test]
    fn labels_come_back(label in any::<String>()) {
        let bytes = mutf8::encode(&label);
        prop_assert!(mutf8::is_java(&bytes));
        let back = mutf8::decode(&bytes);
        prop_assert_eq!(back.as_deref(), Some(label.as_str()));
    }

    #[test]
    fn no_bytes_panic(at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..8)) {
        let bench = Bench::new("changeit", KEYS);
        for (format, file) in [(&Jks as &dyn Format, JDK_JKS), (&Jceks, JDK_JCEKS)] {
            let mut file = golden(file);
            let at = at.index(file.len());
            let end = file.len().min(at + bytes.len());
            file[at..end].copy_from_slice(&bytes[..end - at]);
            let source = Source::memory("test", file);
            let session = Session { budget: Budget::new(10_000, 30_000), ..Session::new(0) };
            let ctx = Ctx { secrets: &NoSecrets, session: &session, ..bench.ctx() };
            for entry in format.read(&source, &ctx).map(|s| s.entries).unwrap_or_default() {
                let _ = entry.secret().map(|s| s.open(&Ctx { secrets: &bench, ..ctx }).map(drop));
            }
        }
    }
}

fn comes_back(format: &dyn Format, store: &Store, password: &str) {
    let bench = Bench::new("", &[]);
    let secrets = OnePassword::new(password);
    let ctx = Ctx { secrets: &secrets, ..bench.ctx() };
    let mut to = Staging::memory();
    let losses = format.write(store, None, &mut to, &ctx).expect("written");
    assert!(losses.iter().all(|l| l.kind == LossKind::Note), "{losses:?}");
    let read = format.read(&to.source().expect("staged"), &ctx).expect("read");
    let all = |s: &Store| s.entries.iter().map(|e| parts(e, &ctx)).collect::<Vec<_>>();
    assert_eq!(all(&read), all(store));
    assert!(read.warnings.is_empty() && read.defects.is_empty());
    assert!(read.entries.iter().all(|e| e.authenticated == Some(true)));
}

/// JDK 17, JKS: `alice` (Ed25519, password `key-pass`), certificate `k🔑`; store password `changeit`.
const JDK_JKS: &str = "\
    /u3+7QAAAAIAAAACAAAAAQAFYWxpY2UAAAGiE40GGgAAAGwwajAOBgorBgEEASoCEQEBBQAEWFTbJhJ8XOvEz33cISxLW9ELsL\
    r0Bz3pZ5SGchGIbjIJN/J4hqpYt3rbzQTJoXzDE8oE/0NtMh7nf9rt60j4+VodIa0zi1pHx/+7HLqLU77ppbzjb6NrWGQAAAAB\
    AAVYLjUwOQAAAPswgfgwgaugAwIBAgIIWU7BS2vUj5YwBQYDK2VwMBAxDjAMBgNVBAMTBWFsaWNlMCAXDTI2MTEyNTE2MzIxNl\
    oYDzIxMjYxMTAxMTYzMjE2WjAQMQ4wDAYDVQQDEwVhbGljZTAqMAUGAytlcAMhAPZNrkFsC+/yhk3Kzy1ND5IOBNo1yloCJpGw\
    EF2VsrRPoyEwHzAdBgNVHQ4EFgQUWTu8o0cesTC1VtCCOtPI7W/RQGIwBQYDK2VwA0EAR+odNYK1UH3yJjsBlGSJGSm0BU9/Rb\
    wN9NnWJ2q7FJphkbUgjOdBbRt5lkPY7MJoNPDvPdeY7j/DRXKphkUDDQAAAAIAB2vtoL3ttJEAAAGiE40GHQAFWC41MDkAAAD7\
    MIH4MIGroAMCAQICCFlOwUtr1I+WMAUGAytlcDAQMQ4wDAYDVQQDEwVhbGljZTAgFw0yNjExMjUxNjMyMTZaGA8yMTI2MTEwMT\
    E2MzIxNlowEDEOMAwGA1UEAxMFYWxpY2UwKjAFBgMrZXADIQD2Ta5BbAvv8oZNys8tTQ+SDgTaNcpaAiaRsBBdlbK0T6MhMB8w\
    HQYDVR0OBBYEFFk7vKNHHrEwtVbQgjrTyO1v0UBiMAUGAytlcANBAEfqHTWCtVB98iY7AZRkiRkptAVPf0W8DfTZ1idquxSaYZ\
    G1IIznQW0beZZD2OzCaDTw7z3XmO4/w0VyqYZFAw19rjHa3HSXZ0n0Vh7O9YpYOWen6w==";

/// JDK 17, JCEKS with 10,000 rounds: `phrase` (a pass phrase, `changeit`), `alice` (`key-pass`), `aes`
/// (`aes-pass`).
const JDK_JCEKS: &str = "\
    zs7OzgAAAAIAAAADAAAAAwAGcGhyYXNlAAABohONBqus7QAFc3IAM2NvbS5zdW4uY3J5cHRvLnByb3ZpZGVyLlNlYWxlZE9iam\
    VjdEZvcktleVByb3RlY3Rvcs1XylnnMLtTAgAAeHIAGWphdmF4LmNyeXB0by5TZWFsZWRPYmplY3Q+Nj2mw7dUcAIABFsADWVu\
    Y29kZWRQYXJhbXN0AAJbQlsAEGVuY3J5cHRlZENvbnRlbnRxAH4AAkwACXBhcmFtc0FsZ3QAEkxqYXZhL2xhbmcvU3RyaW5nO0\
    wAB3NlYWxBbGdxAH4AA3hwdXIAAltCrPMX+AYIVOACAAB4cAAAABAwDgQIjb62RRyyGh8CAicQdXEAfgAFAAABGFhQVFQHveEg\
    JzKRFK6tLw8qIpGpmvQLHPWsRYTFRkykfADhaj268bO1OEWy7IR5k3jvneRdTgfTJgVYNtPvx97nPBJRez4kJ4cRpSHgkU4Z3Y\
    40ApmCpga01YokdF5LiqBovPuEacWv/RlvemuLTKAUdW7UoYD7q4TVDPIu77s0Ijz5j0kCr3ptlHM7ffAxsrs573iQWmI7vE0Y\
    /MejjZY+v10S9A+5gPUdRxw/H84FUB2U/dc/xucE9+3/MnrOcLpUKCXLPp97xz+IDezYMco76th2fGt3Q2X5OzCEzRYJUBsKrl\
    H438bNyJR1YPq1suWVL/6Bsv6tAtjFVR2vR53MuwFEHwrfr8by25jMuSHssXWh30CipVh0ABZQQkVXaXRoTUQ1QW5kVHJpcGxl\
    REVTdAAWUEJFV2l0aE1ENUFuZFRyaXBsZURFUwAAAAEABWFsaWNlAAABohONBh4AAABZMFcwGwYJKwYBBAEqAhMBMA4ECKwFcM\
    pRRI1RAgInEAQ4NRDKulhAFKBbtvZsw88AdN7zqMvY+ZtPa2SXMiOxX+zSnqtU6iLJWB+hjMxr1Yy48DgJlhHMqfMAAAABAAVY\
    LjUwOQAAAPswgfgwgaugAwIBAgIIWU7BS2vUj5YwBQYDK2VwMBAxDjAMBgNVBAMTBWFsaWNlMCAXDTI2MTEyNTE2MzIxNloYDz\
    IxMjYxMTAxMTYzMjE2WjAQMQ4wDAYDVQQDEwVhbGljZTAqMAUGAytlcAMhAPZNrkFsC+/yhk3Kzy1ND5IOBNo1yloCJpGwEF2V\
    srRPoyEwHzAdBgNVHQ4EFgQUWTu8o0cesTC1VtCCOtPI7W/RQGIwBQYDK2VwA0EAR+odNYK1UH3yJjsBlGSJGSm0BU9/RbwN9N\
    nWJ2q7FJphkbUgjOdBbRt5lkPY7MJoNPDvPdeY7j/DRXKphkUDDQAAAAMAA2FlcwAAAaITjQZOrO0ABXNyADNjb20uc3VuLmNy\
    eXB0by5wcm92aWRlci5TZWFsZWRPYmplY3RGb3JLZXlQcm90ZWN0b3LNV8pZ5zC7UwIAAHhyABlqYXZheC5jcnlwdG8uU2VhbG\
    VkT2JqZWN0PjY9psO3VHACAARbAA1lbmNvZGVkUGFyYW1zdAACW0JbABBlbmNyeXB0ZWRDb250ZW50cQB+AAJMAAlwYXJhbXNB\
    bGd0ABJMamF2YS9sYW5nL1N0cmluZztMAAdzZWFsQWxncQB+AAN4cHVyAAJbQqzzF/gGCFTgAgAAeHAAAAAQMA4ECEXyNTRz4e\
    OMAgInEHVxAH4ABQAAAJCbofBGHQbHetu0iLdKwOhPgDRtcbb1hL4BFeDTEKM0YIa7tiY0qV5QOjPrUOihh5L8L6BJzoYk0YGg\
    YdMaRKcwq+9FyupRvRz9kMwI34MufCGFdW0bDzZZ/dUlbmWtiiy3dKqBuAGVfFEEoOep2eIXSEap8/XYkDjLLMpNxQmCGWQgCI\
    VLcOWHamsDFAKSzgN0ABZQQkVXaXRoTUQ1QW5kVHJpcGxlREVTdAAWUEJFV2l0aE1ENUFuZFRyaXBsZURFUzsrB36pzlxwnAby\
    mmcbXfMKcuFT";
