use super::*;
use crate::context::{NoSecrets, OnePassword, Secrets};
use crate::error::Kind;
use crate::loose::tests::{sample, shown, with};
use crate::model::{Der, Entry, Item, KeyMaterial, Label, Level, Link, LossKind, Purpose, Secret, Trust};
use proptest::prelude::*;
use std::sync::Arc;
use zeroize::Zeroizing;

fn block(label: &str, der: &[u8]) -> String {
    String::from_utf8(armour::block(label, der).to_vec()).expect("ASCII")
}

fn read_with(text: &[u8], secrets: &dyn Secrets) -> Result<Store> {
    with(secrets, |ctx| Pem.read(&Source::memory("x.pem", text.to_vec()), ctx))
}

fn read(text: &str) -> Store {
    read_with(text.as_bytes(), &NoSecrets).expect("a store")
}

fn written(store: &Store, secrets: &dyn Secrets) -> (Vec<u8>, Vec<Loss>) {
    let mut to = Staging::memory();
    let losses = with(secrets, |ctx| Pem.write(store, None, &mut to, ctx)).expect("written");
    (to.into_memory().expect("memory").to_vec(), losses)
}

fn open_key(n: u8) -> Arc<Secret> {
    Arc::new(Secret::clear(KeyMaterial::pkcs8(Zeroizing::new(sample::key(n)))))
}

fn store(entries: Vec<Entry>) -> Store {
    Store { entries, ..Store::default() }
}

fn key_entry(n: u8, chain: &[Vec<u8>]) -> Entry {
    let chain = chain.iter().map(|c| Link::from(Der::new(c.clone()))).collect();
    Entry::new(Item::Key { key: open_key(n), chain })
}

/// Made with `openssl ecparam -genkey` and `openssl ec -aes256` and so on (3.0.19); the password is "secret".
const LEGACY: &[(&str, &str)] = &[
    (
        "AES-256-CBC,B5ACCB60828C8DC54748C3227E01D9F1",
        "/zf24h5Xp71fmYc2q5n3W67+IxwWy3EIwP/lgLsi+8Armwmn0d5TNqJ4+KFvxZ50\n\
         HEb/cSXixiLJHl5DxmtoJhT+4Ne+/f76+DpoG+LN6PDXJbgn9M9WF9ORtLeneKl+\n\
         f482DQ/rzkQ1Xe7eoKaMJBord31VksIs6RYxtMtt1xs=",
    ),
    (
        "DES-EDE3-CBC,94D090683144E6B5",
        "GYBtz5Gp1Qh2rtYyqzRwPD0+NEG7+8a+jYpaiF9et6B8GwaIlHrqfk3qqYDi9uy7\n\
         azKfmvLMPgx44NgOcM57BDK5u4W95+6/i83GHqTFTonni8F727dtMA2MHqlGs563\n\
         9cJaaG2izYlsWnwsoUHQlZUlwcXrugcNA4XDGcpRR1M=",
    ),
    (
        "DES-CBC,9735069119CCBADF",
        "6APLt1Z5U9CYWAe/TQRLH+hhJW8SZ/KoDcYqQ1tcAzKEqTHWj0pzHPclgmRbkonN\n\
         e+cvTT6TerN1oalYGiOTSUviedT4MScszLYsqm5iC4paSMGWkSmg2/lAvVPzp+gg\n\
         XA0yT2p9LuXza5VW4OW/f4OjQ7JqyI5UP58bLS1+8cY=",
    ),
];

/// The same key enciphered as PKCS#8.
const PKCS8: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHrMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAia8+/Tg+CbHQIBATAM
BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBAgQQsJeibQR6iATXonTH4Q6bYwSBkLUS
StwcVfOOhuVAvofOTh/qnhNVMUBuAsSKuaupJU0rngdUHMoO3bbYZ5yLCfwol9tS
WI2OJTG55ZtHFuSBKxAlnvh0ImZyAiEkTJpuEQ9mlMT/HoXTdUIC3ggeOqeBckQI
26nX6+26TcM1icdHx5qA5x+NFE5qfuWox7CSpcrSP27oooU9qz7BCCuJ5SpQZw==
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl x509 -trustout -addtrust serverAuth -addreject emailProtection -setalias 'An alias'`.
const TRUSTED: &str = "-----BEGIN TRUSTED CERTIFICATE-----
MIIBbjCCARWgAwIBAgIUXaht/Dym87BeCAvZ0hoZXcTnenswCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBeDAgFw0yNjExMjUxNzI2NTdaGA8yMTA5MDExNDE3MjY1N1ow
DDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGvUGNqb6vzn
+p4gthS5KVKrJXyCBXtdsPKr65X3NfXIoubj+YNeE2EPESdWpz/p6nDFJqefvjuw
lSUqLCNbWxSjUzBRMB0GA1UdDgQWBBSjHg/n2UVD0fLhVcHVzaxVDjhq7jAfBgNV
HSMEGDAWgBSjHg/n2UVD0fLhVcHVzaxVDjhq7jAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0cAMEQCID4IZjME4j3esk4vnsjFD0J2rDWtjm1yNkeWDeK3M54k
AiAT3a8A57E4+DX9iCyvfxgy4TktTchqRkldonbr3WVMczAiMAoGCCsGAQUFBwMB
oAoGCCsGAQUFBwMEDAhBbiBhbGlhcw==
-----END TRUSTED CERTIFICATE-----
";

fn legacy(info: &str, body: &str) -> String {
    format!(
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: {info}\n\n{body}\n-----END EC PRIVATE KEY-----\n"
    )
}

#[test]
fn every_label_is_read_by_its_content() {
    let (cert, ca) = (sample::cert("leaf", "ca", 1), sample::ca("ca", "ca", 2));
    let bundle = {
        let (head, between, tail) = crate::asn1::pkcs7::frame(cert.len() + ca.len(), 0);
        [head, cert.clone(), ca.clone(), between, tail].concat()
    };
    for (label, der, want) in [
        ("CERTIFICATE", &cert, &["cert leaf"][..]),
        ("X509 CERTIFICATE", &cert, &["cert leaf"]),
        ("TRUSTED CERTIFICATE", &cert, &["cert leaf"]),
        ("X509 CRL", &sample::crl("ca"), &["crl ca"]),
        ("CERTIFICATE REQUEST", &sample::csr("r", 1), &["request r"]),
        ("NEW CERTIFICATE REQUEST", &sample::csr("r", 1), &["request r"]),
        ("PRIVATE KEY", &sample::key(1), &["key+ "]),
        ("PKCS7", &bundle, &["cert leaf", "cert ca"]),
        ("CMS", &bundle, &["cert leaf", "cert ca"]),
        ("CERTIFICATE", &bundle, &["cert leaf", "cert ca"]),
        ("CERTIFICATE", &sample::csr("r", 1), &["request r"]),
        ("CERTIFICATE", &sample::key(1), &["key+ "]),
        ("PUBLIC KEY", &sample::spki(1), &["other PUBLIC KEY"]),
        ("DH PARAMETERS", &vec![0x30, 3, 2, 1, 5], &["other DH PARAMETERS"]),
        ("OPENSSH PRIVATE KEY", &b"openssh-key-v1".to_vec(), &["other OPENSSH PRIVATE KEY"]),
    ] {
        assert_eq!(shown(&read(&block(label, der))), want, "{label}");
    }
    let parameters = block("EC PARAMETERS", &[6, 3, 42, 42, 42]) + &block("CERTIFICATE", &cert);
    assert_eq!(shown(&read(&parameters)), ["cert leaf"]);
}

#[test]
fn bad_blocks_are_defects_at_their_bytes() {
    let good = block("CERTIFICATE", &sample::cert("a", "b", 1));
    let bad = block("CERTIFICATE", &[0x30, 3, 2, 1, 5]);
    let junk = block("CERTIFICATE", &[sample::cert("c", "b", 2), vec![0; 3]].concat());
    let store = read(&[&good[..], &bad, &junk].concat());
    assert_eq!(shown(&store), ["cert a", "cert c"]);
    let offsets: Vec<_> = store.defects.iter().map(|e| e.place().offset).collect();
    assert_eq!(offsets, [Some(good.len() as u64), Some((good.len() + bad.len()) as u64)]);
    let e = read_with(bad.as_bytes(), &NoSecrets).expect_err("nothing good in it");
    assert_eq!((e.kind(), e.place().offset), (Kind::Malformed, Some(0)));
    let many = read(&(good + &bad.repeat(1500)));
    assert_eq!(many.defects.len(), 1001, "bounded, and the rest is told");
}

#[test]
fn texts_without_a_block_are_errors() {
    let utf16: Vec<u8> = "-----BEGIN CERTIFICATE-----\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for text in [&utf16[..], b"", b"----BEGIN CERTIFICATE----\nAQID\n----END CERTIFICATE----\n", b"hello"] {
        let e = read_with(text, &NoSecrets).expect_err("no block");
        assert_eq!(e.kind(), Kind::Malformed);
    }
    let e = read_with(&utf16, &NoSecrets).expect_err("no block");
    assert!(e.hint_text().is_some_and(|h| h.contains("UTF-16")));
}

#[test]
fn old_encryption_opens_with_its_password_only() {
    let want = {
        let store = read_with(PKCS8.as_bytes(), &NoSecrets).expect("store");
        let key = store.entries[0].secret().cloned().expect("a key");
        with(&OnePassword::new("secret"), |ctx| key.open(ctx).map(|k| k.bytes.to_vec())).expect("opens")
    };
    for (info, body) in LEGACY {
        let store = read(&("chatter\n".to_owned() + &legacy(info, body)));
        assert_eq!(shown(&store), ["key~ "]);
        let key = store.entries[0].secret().cloned().expect("a key");
        for wrong in ["", "Secret", "x"] {
            let e = with(&OnePassword::new(wrong), |ctx| key.open(ctx).map(drop)).expect_err("wrong");
            assert_eq!((e.kind(), e.place().offset), (Kind::Password, Some(8)));
        }
        let e = with(&NoSecrets, |ctx| key.open(ctx).map(drop)).expect_err("no password");
        assert_eq!(e.kind(), Kind::Password);
        let open = with(&OnePassword::new("secret"), |ctx| key.open(ctx).map(|k| k.bytes.to_vec()));
        assert_eq!(open.expect("opens"), want, "{info}");
    }
    let odd = read(&legacy("IDEA-CBC,0011223344556677", "AQID"));
    let key = odd.entries[0].secret().cloned().expect("a key");
    let e =
        with(&OnePassword::new("secret"), |ctx| key.open(ctx).map(drop)).expect_err("a cipher we have not");
    assert_eq!(e.kind(), Kind::Unsupported);
}

#[test]
fn sealed_keys_move_as_they_are() {
    let text = [PKCS8.to_owned(), legacy(LEGACY[0].0, LEGACY[0].1)].concat();
    let before = read(&text);
    let (again, losses) = written(&before, &OnePassword::new("secret"));
    assert!(losses.is_empty());
    let after = read_with(&again, &NoSecrets).expect("store");
    let raw = |s: &Store| -> Vec<Vec<u8>> {
        s.entries.iter().map(|e| e.secret().and_then(|k| k.seal()?.raw()).expect("raw").to_vec()).collect()
    };
    assert_eq!(raw(&before), raw(&after));
    let mut to = Staging::memory();
    let foreign =
        store(vec![Entry::new(Item::Key { key: Arc::new(Secret::sealed(Foreign)), chain: vec![] })]);
    let e = with(&NoSecrets, |ctx| Pem.write(&foreign, None, &mut to, ctx)).expect_err("sealed by another");
    assert_eq!(e.kind(), Kind::Password);
}

struct Foreign;

impl crate::model::Seal for Foreign {
    fn format(&self) -> &'static str {
        "jks"
    }
    fn raw(&self) -> Option<&[u8]> {
        Some(b"x")
    }
    fn open(&self, _: &Ctx<'_>) -> Result<KeyMaterial> {
        Err(Error::password("no"))
    }
}

#[test]
fn a_password_enciphers_and_none_does_not() {
    let chain = [sample::cert("a", "ca", 1), sample::ca("ca", "ca", 2)];
    let entry = || key_entry(1, &chain).with_label("my key");
    let (text, _) = written(&store(vec![entry()]), &NoSecrets);
    assert_eq!(shown(&read_with(&text, &NoSecrets).expect("store")), ["key[my key]+ a < ca"]);
    let (text, _) = written(&store(vec![entry()]), &OnePassword::new("pw"));
    let text = String::from_utf8(text).expect("ASCII");
    assert!(text.contains("BEGIN ENCRYPTED PRIVATE KEY") && !text.contains("BEGIN PRIVATE KEY"));
    let back = read(&text);
    assert_eq!(shown(&back), ["key[my key]~ a < ca"]);
    let key = back.entries[0].secret().cloned().expect("key");
    let open = with(&OnePassword::new("pw"), |ctx| key.open(ctx).map(|k| k.bytes.to_vec()));
    assert_eq!(open.expect("opens"), sample::key(1));
    let bare = written(&store(vec![key_entry(1, &chain)]), &NoSecrets).0;
    assert!(
        bare.starts_with(b"-----BEGIN PRIVATE KEY-----\n"),
        "nothing but blocks where nothing is labelled"
    );
}

#[test]
fn enciphered_keys_keep_their_certificates() {
    let (a, b, ca) = (sample::cert("a", "ca", 1), sample::cert("b", "ca", 2), sample::ca("ca", "ca", 3));
    let entries = vec![
        Entry::new(Item::Cert(Der::new(sample::cert("lone", "ca", 9)))),
        key_entry(1, &[a.clone(), ca.clone()]),
        key_entry(2, &[b.clone(), ca.clone()]),
        key_entry(7, &[]),
        Entry::new(Item::Cert(Der::new(ca.clone()))),
    ];
    let (text, _) = written(&store(entries), &OnePassword::new("pw"));
    let back = shown(&read_with(&text, &NoSecrets).expect("store"));
    assert_eq!(back, ["key~ a < ca", "key~ b < ca", "key~ ", "cert lone", "cert ca"]);
}

#[test]
fn trust_settings_go_back_as_they_came() {
    let mut before = read(TRUSTED);
    let entry = &before.entries[0];
    assert_eq!(entry.label_text(), "An alias");
    let trust = entry.trust.as_ref().expect("trust");
    assert_eq!(trust.level(Purpose::Server), Level::Anchor);
    assert_eq!(trust.level(Purpose::Email), Level::Distrusted);
    assert_eq!(trust.level(Purpose::Code), Level::Unset);
    let (text, losses) = written(&before, &NoSecrets);
    assert_eq!((String::from_utf8_lossy(&text).into_owned(), losses.len()), (TRUSTED.to_owned(), 0));
    before.entries[0].label = Some("other".into());
    let (text, _) = written(&before, &NoSecrets);
    assert_eq!(read_with(&text, &NoSecrets).expect("store").entries[0].label_text(), "other");
    before.entries[0].trust = Some(Trust::all(Level::Distrusted));
    let (text, losses) = written(&before, &NoSecrets);
    assert!(text.windows(27).any(|w| w == b"-----BEGIN CERTIFICATE-----"));
    assert_eq!(losses.iter().map(|l| l.kind).collect::<Vec<_>>(), [LossKind::TrustRaised]);
}

#[test]
fn what_pem_can_not_say_is_told() {
    let mut entry = key_entry(1, &[]);
    entry.default = true;
    let (_, losses) = written(&store(vec![entry.clone()]), &NoSecrets);
    assert_eq!(losses[0].kind, LossKind::Note, "the only key is the default anyway");
    let (_, losses) = written(&store(vec![entry, key_entry(2, &[])]), &NoSecrets);
    assert_eq!(losses.iter().map(|l| l.kind).collect::<Vec<_>>(), [LossKind::Default]);
    let e = with(&NoSecrets, |ctx| Pem.write(&Store::default(), None, &mut Staging::memory(), ctx));
    assert_eq!(e.expect_err("nothing").kind(), Kind::Refused);
}

#[test]
fn detection_goes_by_content() {
    let detect = |head: &[u8]| {
        let source = Source::memory("x.jks", head.to_vec());
        Pem.detect(&source.probe().expect("probe"))
    };
    for (text, want) in [
        (&b"-----BEGIN CERTIFICATE-----\n"[..], Match::Yes),
        (b"\xef\xbb\xbf  -----BEGIN RSA PRIVATE KEY-----\n", Match::Yes),
        (b"caf\xe9\n-----BEGIN CERTIFICATE-----\n", Match::Yes),
        (b"-----BEGIN PKCS7-----\n", Match::Maybe),
        (b"-----BEGIN SOMETHING-----\n", Match::Maybe),
        (b"-----BEGIN PGP MESSAGE-----\n", Match::No),
        (b"Certificate:\n    Data:\n", Match::Maybe),
        (b"\0\x01-----BEGIN CERTIFICATE-----\n", Match::No),
        (b"hello", Match::No),
        (b"\x30\x82\x01\x00", Match::No),
        (b"", Match::No),
    ] {
        assert_eq!(detect(text), want, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_folder_is_one_store() {
    let folder = tempfile::tempdir().expect("folder");
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("file");
    let (leaf, ca) = (sample::cert("a", "ca", 1), sample::ca("ca", "ca", 2));
    put("cert.pem", block("CERTIFICATE", &leaf).as_bytes());
    put("fullchain.pem", (block("CERTIFICATE", &leaf) + &block("CERTIFICATE", &ca)).as_bytes());
    put("privkey.pem", block("PRIVATE KEY", &sample::key(1)).as_bytes());
    put("other.der", &sample::ca("other", "other", 5));
    put("README", b"nothing to see");
    put("torn.pem", &block("CERTIFICATE", &ca).as_bytes()[..60]);
    put(".hidden.pem", block("CERTIFICATE", &sample::ca("hidden", "hidden", 6)).as_bytes());
    std::os::unix::fs::symlink("other.der", folder.path().join("0a1b2c3d.0")).expect("link");
    let source = Source::open(folder.path()).expect("folder");
    let store = with(&NoSecrets, |ctx| Pem.read(&source, ctx)).expect("store");
    assert_eq!(shown(&store), ["cert other", "key+ a < ca"]);
    assert_eq!(store.warnings.len(), 1);
    let defects: Vec<_> = store.defects.iter().map(|e| e.place().path.clone()).collect();
    assert_eq!(defects, [Some(folder.path().join("torn.pem"))]);
}

/// Entries of every kind, with labels of any text.
fn any_store() -> impl Strategy<Value = Store> {
    let label = proptest::option::of(any::<String>());
    let entry = (0u8..6, 1u8..20, label).prop_map(|(kind, n, label)| {
        let name = format!("n{n}");
        let ca = || sample::ca("ca", "root", 200);
        let mut entry = match kind {
            0 => key_entry(n, &[sample::cert(&name, "ca", n), ca()]),
            1 => key_entry(n + 100, &[]),
            2 => Entry::new(Item::Cert(Der::new(sample::cert(&name, "elsewhere", n + 50)))),
            3 => Entry::new(Item::Crl(Der::new(sample::crl(&name)))),
            4 => Entry::new(Item::Request {
                csr: Der::new(sample::csr(&name, n + 30)),
                key: Some(open_key(n + 30)),
            }),
            _ => Entry::new(Item::Cert(Der::new(sample::ca(&name, &name, n + 70)))),
        };
        entry.label = label.map(Label::from);
        entry
    });
    proptest::collection::vec(entry, 1..6).prop_map(|entries| {
        // Each object once: what stands twice may be merged.
        let mut seen = std::collections::HashSet::new();
        let once = |e: &Entry| {
            seen.insert(e.object().map(|d| d.to_vec()).unwrap_or_else(|| {
                e.secret().and_then(|k| k.opened()).map(|k| k.bytes.to_vec()).unwrap_or_default()
            }))
        };
        let mut entries = entries;
        entries.retain({
            let mut once = once;
            move |e| once(e)
        });
        store(entries)
    })
}

/// The entries as lines in an order of their own.
fn sorted(store: &Store) -> Vec<String> {
    let mut lines = shown(store);
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(store in any_store(), encipher in any::<bool>()) {
        let password = OnePassword::new("pw");
        let secrets: &dyn Secrets = if encipher { &password } else { &NoSecrets };
        let (text, losses) = written(&store, secrets);
        prop_assert!(losses.is_empty());
        let back = read_with(&text, secrets).expect("read back");
        prop_assert!(back.defects.is_empty());
        with(secrets, |ctx| back.entries.iter().filter_map(|e| e.secret()).for_each(|k| drop(k.open(ctx))));
        prop_assert_eq!(sorted(&back), sorted(&store));
        // A second reader finds the same blocks.
        let blocks = pem::parse_many(&text).expect("the pem crate reads it");
        prop_assert_eq!(blocks.len(), armour::blocks(&text).count());
        for (theirs, ours) in blocks.iter().zip(armour::blocks(&text)) {
            let ours = ours.expect("block");
            prop_assert_eq!(theirs.tag(), ours.label);
            prop_assert_eq!(theirs.contents(), &ours.decode_secret().expect("body")[..]);
        }
    }

    #[test]
    fn no_text_panics(cut in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), at in any::<prop::sample::Index>()) {
        let whole = [TRUSTED, PKCS8, &legacy(LEGACY[0].0, LEGACY[0].1), &block("PRIVATE KEY", &sample::key(1)),
            &block("CERTIFICATE", &sample::cert("a", "b", 1)), &block("CERTIFICATE REQUEST", &sample::csr("r", 1)),
            "Bag Attributes\n    friendlyName (escaped): \\u{20}\n    localKeyID: 01\n",
            &block("X509 CRL", &sample::crl("a"))].concat().into_bytes();
        let mut text = whole.clone();
        for (place, byte) in &cut {
            let place = place.index(text.len());
            text[place] = *byte;
        }
        let _ = read_with(&text, &OnePassword::new("secret"));
        text.truncate(at.index(text.len()));
        let _ = read_with(&text, &NoSecrets);
        // The same within the objects, where armour can't catch it.
        let mut damaged = String::new();
        for block in armour::blocks(&whole).flatten() {
            let Ok(mut der) = block.decode_secret() else { continue };
            for (place, byte) in &cut {
                let place = place.index(der.len());
                der[place] ^= *byte;
            }
            damaged += &self::block(block.label, &der);
        }
        let _ = read_with(damaged.as_bytes(), &OnePassword::new("secret"));
    }
}
