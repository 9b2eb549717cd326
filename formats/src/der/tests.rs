use super::*;
use crate::context::{NoSecrets, OnePassword, Secrets};
use crate::error::Kind;
use crate::loose::tests::{sample, shown, with};
use crate::model::{Der, Entry, KeyMaterial};
use proptest::prelude::*;
use std::sync::Arc;
use zeroize::Zeroizing;

fn read_with(bytes: &[u8], secrets: &dyn Secrets) -> Result<Store> {
    with(secrets, |ctx| DerFile.read(&Source::memory("x.der", bytes.to_vec()), ctx))
}

fn written(entry: Entry, secrets: &dyn Secrets) -> (Vec<u8>, Vec<LossKind>) {
    let store = Store { entries: vec![entry], ..Store::default() };
    let mut to = Staging::memory();
    let losses = with(secrets, |ctx| DerFile.write(&store, None, &mut to, ctx)).expect("written");
    (to.into_memory().expect("memory").to_vec(), losses.into_iter().map(|l| l.kind).collect())
}

fn key(n: u8) -> Item {
    let key = Arc::new(Secret::clear(KeyMaterial::pkcs8(Zeroizing::new(sample::key(n)))));
    Item::Key { key, chain: vec![Der::new(sample::cert("a", "b", n)).into()] }
}

#[test]
fn one_object_or_several() {
    let cert = sample::cert("a", "b", 1);
    assert_eq!(shown(&read_with(&cert, &NoSecrets).expect("one")), ["cert a"]);
    let all = [sample::key(1), cert.clone(), sample::ca("b", "b", 2), sample::crl("b")].concat();
    assert_eq!(shown(&read_with(&all, &NoSecrets).expect("several")), ["key+ a < b", "crl b"]);
}

#[test]
fn what_follows_is_told() {
    let cert = sample::cert("a", "b", 1);
    let store = read_with(&[&cert[..], b"junk"].concat(), &NoSecrets).expect("store");
    assert_eq!(store.defects[0].place().offset, Some(cert.len() as u64));
    let store = read_with(&[&cert[..], b"\r\n"].concat(), &NoSecrets).expect("store");
    assert_eq!((store.defects.len(), store.warnings.len()), (0, 1));
    let odd = [&cert[..], &[0x30, 3, 2, 1, 5], &cert].concat();
    let store = read_with(&odd, &NoSecrets).expect("store");
    assert_eq!((store.entries.len(), store.defects.len()), (1, 1));
    for bad in [&b""[..], b"text", &cert[..40], &[0x30, 0x80]] {
        assert_eq!(read_with(bad, &NoSecrets).expect_err("bad").kind(), Kind::Malformed);
    }
}

#[test]
fn written_objects_stand_alone() {
    let cert = Der::new(sample::cert("a", "b", 1));
    assert_eq!(written(Entry::new(Item::Cert(cert.clone())), &NoSecrets), (cert.to_vec(), vec![]));
    assert_eq!(written(Entry::new(key(1)), &NoSecrets), (sample::key(1), vec![LossKind::Chain]));
    let (sealed, _) = written(Entry::new(key(1)), &OnePassword::new("pw"));
    let store = read_with(&sealed, &NoSecrets).expect("store");
    let sealed_key = store.entries[0].secret().expect("key");
    let e = with(&OnePassword::new("no"), |ctx| sealed_key.open(ctx).map(drop)).expect_err("wrong");
    assert_eq!(e.kind(), Kind::Password);
    let open = with(&OnePassword::new("pw"), |ctx| sealed_key.open(ctx).map(|k| k.bytes.to_vec()));
    assert_eq!(open.expect("opens"), sample::key(1));
    let csr = Der::new(sample::csr("r", 1));
    let Item::Key { key, .. } = key(1) else { panic!("a key") };
    let request = Entry::new(Item::Request { csr: csr.clone(), key: Some(key) });
    assert_eq!(written(request, &NoSecrets), (csr.to_vec(), vec![LossKind::Key]));
}

#[test]
fn detection_leaves_others_alone() {
    let detect = |bytes: &[u8]| DerFile.detect(&Source::memory("x", bytes.to_vec()).probe().expect("probe"));
    assert_eq!(detect(&sample::cert("a", "b", 1)), Match::Yes);
    assert_eq!(detect(&sample::key(1)), Match::Yes);
    assert_eq!(detect(&crate::asn1::tlv_of(0x30, &[&[2, 1, 3], &[0x30, 3, 6, 1, 42]])), Match::No, "PKCS#12");
    assert_eq!(detect(&[0x30, 0x80, 6, 1, 42]), Match::No, "PKCS#7");
    assert_eq!(detect(b"-----BEGIN"), Match::No);
}

proptest! {
    #[test]
    fn no_bytes_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = [sample::key(1), sample::cert("a", "b", 1), sample::csr("r", 2), sample::crl("b")].concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read_with(&bytes, &OnePassword::new("x"));
    }
}
