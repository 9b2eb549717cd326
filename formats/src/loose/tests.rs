use super::*;
use crate::context::{NoSecrets, OnePassword, Options, Secrets, Session};
use crate::crypto::pbe;
use sample::*;

/// Small objects made by hand: enough for everything that moves certificates without parsing them.
pub(crate) mod sample {
    use crate::asn1::{oid, tlv, tlv_of};
    use crate::crypto::public::spki_of_pkcs8;

    fn seq(parts: &[&[u8]]) -> Vec<u8> {
        tlv_of(0x30, parts)
    }

    /// An EC key whose scalar is `n`, as PKCS#8.
    pub fn key(n: u8) -> Vec<u8> {
        let algorithm = seq(&[&tlv(6, oid::EC), &tlv(6, oid::P256)]);
        let sec1 = seq(&[&[2, 1, 1], &tlv(4, &[[0; 31].as_slice(), &[n]].concat())]);
        seq(&[&[2, 1, 0], &algorithm, &tlv(4, &sec1)])
    }

    pub fn spki(n: u8) -> Vec<u8> {
        spki_of_pkcs8(&key(n)).expect("key").expect("a known curve")
    }

    fn name(cn: &str) -> Vec<u8> {
        seq(&[&tlv(0x31, &seq(&[&tlv(6, oid::CN), &tlv(0x0c, cn.as_bytes())]))])
    }

    fn signed(tbs: &[u8]) -> Vec<u8> {
        seq(&[tbs, &seq(&[&[6, 1, 42]]), &[3, 3, 0, 1, 2]])
    }

    /// A certificate of key `n`; `ids`: subject and authority key identifiers.
    pub fn cert_with(subject: &str, issuer: &str, n: u8, ca: bool, ids: (&[u8], &[u8])) -> Vec<u8> {
        let extension = |id: &[u8], value: &[u8]| seq(&[&tlv(6, id), &tlv(4, value)]);
        let mut extensions = extension(oid::BASIC_CONSTRAINTS, &seq(&[if ca { &[1, 1, 255] } else { &[] }]));
        if !ids.0.is_empty() {
            extensions.extend(extension(oid::SUBJECT_KEY_ID, &tlv(4, ids.0)));
        }
        if !ids.1.is_empty() {
            extensions.extend(extension(oid::AUTHORITY_KEY_ID, &seq(&[&tlv(0x80, ids.1)])));
        }
        let time = tlv(0x17, b"260101000000Z");
        signed(&seq(&[
            &tlv(0xa0, &[2, 1, 2]),
            &[2, 1, n],
            &seq(&[&[6, 1, 42]]),
            &name(issuer),
            &seq(&[&time, &time]),
            &name(subject),
            &spki(n),
            &tlv(0xa3, &seq(&[&extensions])),
        ]))
    }

    pub fn cert(subject: &str, issuer: &str, n: u8) -> Vec<u8> {
        cert_with(subject, issuer, n, false, (&[], &[]))
    }

    pub fn ca(subject: &str, issuer: &str, n: u8) -> Vec<u8> {
        cert_with(subject, issuer, n, true, (&[], &[]))
    }

    pub fn csr(subject: &str, n: u8) -> Vec<u8> {
        signed(&seq(&[&[2, 1, 0], &name(subject), &spki(n), &[0xa0, 0]]))
    }

    pub fn crl(issuer: &str) -> Vec<u8> {
        let time = tlv(0x17, b"260101000000Z");
        signed(&seq(&[&[2, 1, 1], &seq(&[&[6, 1, 42]]), &name(issuer), &time]))
    }

    /// The names of a certificate's subject, of a CSR's, of a CRL's issuer: the last text in its name.
    pub fn cn(der: &[u8]) -> String {
        let at = |what: &[u8]| der.windows(what.len()).rposition(|w| w == what);
        let cn = at(&[&[6, 3][..], oid::CN, &[0x0c]].concat()).map(|at| at + 6);
        let text = cn.and_then(|at| der.get(at + 1..at + 1 + *der.get(at)? as usize));
        text.map(|t| String::from_utf8_lossy(t).into_owned()).unwrap_or_default()
    }
}

/// One line for each entry: kind, label, `+` for an open key and `~` for a sealed one, chain.
pub(crate) fn shown(store: &Store) -> Vec<String> {
    let line = |e: &Entry| {
        let label = e.label.as_ref().map(|l| format!("[{}]", l.text())).unwrap_or_default();
        let key = e.secret().map_or("", |k| if k.opened().is_some() { "+" } else { "~" });
        let names = match &e.item {
            Item::Key { chain, .. } => chain.iter().map(|l| cn(&l.cert)).collect::<Vec<_>>().join(" < "),
            Item::Other { what, .. } => what.clone(),
            _ => e.object().map(|d| cn(d)).unwrap_or_default(),
        };
        format!("{}{label}{key} {names}", e.item.kind().name())
    };
    store.entries.iter().map(line).collect()
}

pub(crate) fn with<T>(secrets: &dyn Secrets, f: impl FnOnce(&Ctx<'_>) -> T) -> T {
    let (options, session) = (Options::default(), Session::new(0));
    f(&Ctx { secrets, options: &options, session: &session })
}

/// What to lay on the pile.
enum Lay {
    Key(u8),
    /// Enciphered under "secret".
    Sealed(u8),
    Object(Vec<u8>),
}
use Lay::{Key, Object, Sealed};

fn paired_with(secrets: &dyn Secrets, lay: &[(Lay, Option<u8>)]) -> Vec<String> {
    let mut pile = Pile::new("pem");
    for (what, id) in lay {
        let note = Note { key_id: id.map(|n| vec![n]), ..Note::default() };
        let der = Der::new(match what {
            Key(n) => key(*n),
            Sealed(n) => with(&NoSecrets, |ctx| {
                pbe::encrypt_pkcs8(&key(*n), &crate::model::Password::new(b"secret".to_vec()), ctx)
                    .expect("sealed")
            }),
            Object(der) => der.clone(),
        });
        assert!(pile.object(&der, Place::At(0), note).expect("an object").is_empty());
    }
    shown(&with(secrets, |ctx| pile.into_store(ctx)).expect("a store"))
}

fn paired(lay: Vec<Lay>) -> Vec<String> {
    paired_with(&NoSecrets, &lay.into_iter().map(|l| (l, None)).collect::<Vec<_>>())
}

fn leaf(name: &str, n: u8) -> Lay {
    Object(cert(name, "inter", n))
}

fn inter() -> Lay {
    Object(ca("inter", "root", 100))
}

fn root() -> Lay {
    Object(ca("root", "root", 101))
}

#[test]
fn a_key_takes_its_certificate_and_chain_wherever_they_stand() {
    let want = ["key+ a < inter < root"];
    assert_eq!(paired(vec![Key(1), leaf("a", 1), inter(), root()]), want);
    assert_eq!(paired(vec![root(), leaf("a", 1), inter(), Key(1)]), want);
    assert_eq!(paired(vec![Key(1), leaf("a", 1), root()]), ["key+ a", "cert root"]);
    assert_eq!(paired(vec![Key(1), root()]), ["key+ ", "cert root"]);
    let two = ["key+ a < inter < root", "key+ b < inter < root", "cert other"];
    let other = || Object(ca("other", "other", 9));
    assert_eq!(paired(vec![Key(1), Key(2), leaf("b", 2), inter(), leaf("a", 1), root(), other()]), two);
}

#[test]
fn a_repeated_ca_stands_on_its_own_too() {
    let want = ["key+ a < inter", "cert inter"];
    assert_eq!(paired(vec![Key(1), leaf("a", 1), inter(), inter()]), want);
    let shared = vec![Key(1), leaf("a", 1), inter(), Key(2), leaf("b", 2), inter()];
    assert_eq!(paired(shared), ["key+ a < inter", "key+ b < inter"], "one copy for each chain");
    assert_eq!(paired(vec![Key(1), leaf("a", 1), leaf("a", 1)]), ["key+ a"], "a leaf adds nothing");
}

#[test]
fn one_key_with_two_certificates_is_two_entries() {
    assert_eq!(paired(vec![Key(1), leaf("old", 1), leaf("new", 1)]), ["key+ old", "key+ new"]);
    let written = vec![Key(1), leaf("old", 1), Key(1), leaf("new", 1)];
    assert_eq!(paired(written), ["key+ old", "key+ new"]);
    assert_eq!(paired(vec![Key(1), Key(1), leaf("a", 1)]), ["key+ a"], "a key that repeats another");
    let named = [(Key(1), Some(7)), (leaf("other", 1), None), (leaf("own", 1), Some(7))];
    assert_eq!(paired_with(&NoSecrets, &named), ["key+ own", "cert other"], "localKeyID among equals");
    let lying = [(Key(1), Some(7)), (leaf("foreign", 2), Some(7)), (leaf("own", 1), None)];
    assert_eq!(paired_with(&NoSecrets, &lying), ["key+ own", "cert foreign"], "localKeyID never pairs alone");
}

#[test]
fn requests_have_keys_too() {
    assert_eq!(paired(vec![Key(1), Object(csr("r", 1))]), ["request+ r"]);
    assert_eq!(paired(vec![Object(csr("r", 1)), Key(2)]), ["request r", "key+ "]);
    let both = vec![Key(1), leaf("a", 1), Object(csr("r", 1)), Object(crl("root"))];
    assert_eq!(paired(both), ["key+ a", "request+ r", "crl root"]);
    assert_eq!(paired(vec![Sealed(1), Object(csr("r", 1))]), ["request~ r"]);
}

#[test]
fn sealed_keys_go_by_what_leaves_no_doubt() {
    assert_eq!(paired(vec![Sealed(1), root(), inter(), leaf("a", 1)]), ["key~ a < inter < root"]);
    assert_eq!(paired(vec![Sealed(1), inter(), root()]), ["key~ inter < root"], "a CA's own key");
    assert_eq!(paired(vec![Sealed(1), leaf("a", 1), leaf("b", 2)]), ["key~ ", "cert a", "cert b"]);
    let ids = [(Sealed(1), Some(1)), (leaf("b", 2), Some(2)), (leaf("a", 1), Some(1))];
    assert_eq!(paired_with(&NoSecrets, &ids), ["key~ a", "cert b"]);
    let rows = vec![Sealed(1), leaf("a", 1), Sealed(2), leaf("b", 2), inter()];
    assert_eq!(paired(rows), ["key~ a < inter", "key~ b < inter"]);
    let rows = vec![leaf("a", 1), Sealed(1), leaf("b", 2), Sealed(2)];
    assert_eq!(paired(rows), ["key~ a", "key~ b"]);
    let mixed = vec![Key(2), Sealed(1), leaf("b", 2), leaf("a", 1)];
    assert_eq!(paired(mixed), ["key+ b", "key~ a"], "what is surely another's is out of the question");
}

#[test]
fn a_doubt_is_settled_by_a_password() {
    let lay = || [(Sealed(1), None), (leaf("b", 2), None), (leaf("a", 1), None), (Sealed(2), None)];
    let open = paired_with(&OnePassword::new("secret"), &lay());
    assert_eq!(open, ["key+ a", "key+ b"]);
    assert_eq!(paired_with(&OnePassword::new("wrong"), &lay()).len(), 4);
}

#[test]
fn issuers_are_confirmed_by_key_identifiers() {
    let wrong = Object(cert_with("ca", "wrong", 8, true, (&[1], &[])));
    let silent = Object(cert_with("ca", "silent", 9, true, (&[], &[])));
    let right = Object(cert_with("ca", "right", 10, true, (&[2], &[])));
    let lay = |rest: Vec<Lay>| {
        let mut all = vec![Key(1), Object(cert_with("a", "ca", 1, false, (&[], &[2])))];
        all.extend(rest);
        all
    };
    assert_eq!(paired(lay(vec![wrong, silent, right]))[0], "key+ a < ca");
    let store = {
        let mut pile = Pile::new("pem");
        for der in [
            key(1),
            cert_with("a", "ca", 1, false, (&[], &[2])),
            ca("ca", "x", 8),
            cert_with("ca", "right", 10, true, (&[2], &[])),
        ] {
            pile.object(&Der::new(der), Place::At(0), Note::default()).expect("object");
        }
        with(&NoSecrets, |ctx| pile.into_store(ctx)).expect("store")
    };
    let Item::Key { chain, .. } = &store.entries[0].item else { panic!("a key") };
    assert_eq!(*chain[1].cert, *cert_with("ca", "right", 10, true, (&[2], &[])));
}

#[test]
fn chains_end_where_a_circle_would_close() {
    let lay = vec![Key(1), Object(cert("a", "x", 1)), Object(ca("x", "y", 2)), Object(ca("y", "x", 3))];
    assert_eq!(paired(lay), ["key+ a < x < y"]);
}

#[test]
fn many_keys_below_one_ca_take_linear_time() {
    let mut pile = Pile::new("pem");
    let (leaf, ca) = (Der::new(cert("a", "inter", 1)), Der::new(ca("inter", "inter", 100)));
    let key = Der::new(key(1));
    for _ in 0..300 {
        for der in [&key, &leaf, &ca] {
            pile.object(der, Place::At(0), Note::default()).expect("object");
        }
    }
    let store = with(&NoSecrets, |ctx| pile.into_store(ctx)).expect("store");
    assert_eq!(store.entries.len(), 300);
}

#[test]
fn trust_that_can_not_be_said() {
    use crate::model::{Level, LossKind, Trust};
    let loss = |der: Vec<u8>, trust: Option<Trust>| {
        let mut entry = Entry::new(Item::Cert(Der::new(der)));
        entry.trust = trust;
        trust_loss(&entry, "X").map(|l| l.kind)
    };
    let (root, leaf) = (ca("r", "r", 1), cert("l", "r", 2));
    let part = Trust { levels: [Level::Anchor, Level::Unset, Level::Anchor, Level::Anchor], usages: vec![] };
    for (der, trust, want) in [
        (&root, None, None),
        (&root, Some(Trust::all(Level::Anchor)), None),
        (&leaf, Some(Trust::all(Level::Peer)), None),
        (&leaf, Some(Trust::all(Level::Anchor)), None),
        (&root, Some(part), Some(LossKind::TrustRaised)),
        (&root, Some(Trust::all(Level::Peer)), Some(LossKind::TrustRaised)),
        (&root, Some(Trust::all(Level::Unset)), Some(LossKind::TrustRaised)),
        (&leaf, Some(Trust::all(Level::Distrusted)), Some(LossKind::TrustRaised)),
    ] {
        assert_eq!(loss(der.clone(), trust.clone()), want, "{trust:?}");
    }
}
