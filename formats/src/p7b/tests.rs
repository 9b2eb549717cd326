use super::*;
use crate::context::{NoSecrets, Options, Session};
use crate::error::Kind;
use crate::loose::tests::{sample, shown};
use crate::model::{Entry, Level, LossKind, Trust};
use proptest::prelude::*;

fn with<T>(armoured: bool, f: impl FnOnce(&Ctx<'_>) -> T) -> T {
    let (mut options, session) = (Options::default(), Session::new(0));
    if armoured {
        options.set(ARMOUR, "pem");
    }
    f(&Ctx { secrets: &NoSecrets, options: &options, session: &session })
}

fn read(bytes: &[u8]) -> Result<Store> {
    with(false, |ctx| P7b.read(&Source::memory("x.p7b", bytes.to_vec()), ctx))
}

fn sample_store() -> Store {
    let cert = |der| Entry::new(Item::Cert(Der::new(der)));
    let entries = vec![
        cert(sample::cert("a", "ca", 1)),
        Entry::new(Item::Crl(Der::new(sample::crl("ca")))),
        cert(sample::ca("ca", "ca", 2)),
    ];
    Store { entries, ..Store::default() }
}

fn written(store: &Store, armoured: bool) -> (Vec<u8>, Vec<LossKind>) {
    let mut to = Staging::memory();
    let losses = with(armoured, |ctx| P7b.write(store, None, &mut to, ctx)).expect("written");
    (to.into_memory().expect("memory").to_vec(), losses.into_iter().map(|l| l.kind).collect())
}

#[test]
fn bundles_come_back_in_both_forms() {
    for armoured in [false, true] {
        let (bytes, losses) = written(&sample_store(), armoured);
        assert!(losses.is_empty());
        assert_eq!(bytes.starts_with(b"-----BEGIN PKCS7-----\n"), armoured);
        let probe = Source::memory("x", bytes.clone());
        assert_eq!(P7b.detect(&probe.probe().expect("probe")), Match::Yes);
        assert_eq!(shown(&read(&bytes).expect("bundle")), ["cert a", "cert ca", "crl ca"]);
        let empty = written(&Store::default(), armoured).0;
        assert!(read(&empty).expect("an empty bundle").entries.is_empty());
    }
}

#[test]
fn other_blocks_are_defects() {
    let text =
        [armour::block("PRIVATE KEY", &sample::key(1)).to_vec(), written(&sample_store(), true).0].concat();
    let store = read(&text).expect("bundle");
    assert_eq!((store.entries.len(), store.defects.len()), (3, 1));
    assert_eq!(store.defects[0].place().offset, Some(0));
    for bad in [&b""[..], b"text", &[0x30, 3, 2, 1, 5]] {
        assert_eq!(read(bad).expect_err("no bundle").kind(), Kind::Malformed);
    }
}

#[test]
fn trust_is_told() {
    let mut store = sample_store();
    store.entries[2].trust = Some(Trust::all(Level::Distrusted));
    assert_eq!(written(&store, false).1, [LossKind::TrustRaised]);
}

proptest! {
    #[test]
    fn no_bytes_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), armoured in any::<bool>()) {
        let mut bytes = written(&sample_store(), armoured).0;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }
}
