//! Known answers and hostile parameters.
//!
//! The derivations' answers were computed by OpenSSL 3.0.19 (`openssl kdf`), the enciphered keys by its
//! `pkcs8 -topk8 -iter 5` with the options that stand beside them, except where an RFC is named.

use super::kdf::{self, Use};
use super::pbe::{self, Keyer, Recipe};
use super::{Cipher, Hash};
use crate::asn1::{octet_string, oid, oid_tlv, tlv_of};
use crate::context::{Budget, Ctx, NoSecrets, Options, Rng, Session};
use crate::error::Kind;
use crate::model::Password;
use std::sync::Arc;

#[test]
fn pkcs12_derivation() {
    let smeg = hex("0073006d006500670000");
    let salt = hex("0a58cf64530d823f");
    for (hash, purpose, rounds, want) in PKCS12 {
        let want = hex(want);
        let got = kdf::pkcs12(*hash, *purpose, &smeg, &salt, *rounds, want.len(), &session());
        assert_eq!(got.expect("derived").to_vec(), want, "{hash:?} {purpose:?} {rounds}");
    }
}

#[test]
fn pbkdf2_with_every_hash() {
    for (hash, want) in PBKDF2 {
        let got = kdf::pbkdf2(*hash, b"password", b"salt", 3, 40, &session());
        assert_eq!(got.expect("derived").to_vec(), hex(want), "{hash:?}");
    }
}

#[test]
fn pbkdf1() {
    let salt = hex("78578e5a5d63cb06");
    for (hash, want) in
        [(Hash::Sha1, "dc19847e05c64d2faf10ebfb4a3d2a20"), (Hash::Md5, "c11246e6b87e77a09ab0643de76e1ea7")]
    {
        let got = kdf::pbkdf1(hash, b"password", &salt, 1000, 16, &session());
        assert_eq!(got.expect("derived").to_vec(), hex(want));
    }
}

/// RFC 7914 section 12, second vector.
#[test]
fn scrypt() {
    let got = kdf::scrypt(b"password", b"NaCl", (1024, 8, 16), 64, &session()).expect("derived");
    let want = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d\
                9830dac727afb94a83ee6d8360cbdfa2cc0640";
    assert_eq!(got.to_vec(), hex(want));
}

/// RFC 4231, test cases 1 and 6 (a key longer than a block).
#[test]
fn hmac() {
    let got = Hash::Sha256.hmac(&[0x0b; 20], b"Hi There");
    assert_eq!(got, hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
    let got = Hash::Sha256.hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
    assert_eq!(got, hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

#[test]
fn keys_enciphered_by_openssl() {
    assert!(ENCIPHERED.len() > 20);
    with(&session(), |ctx| {
        for (options, enciphered) in ENCIPHERED {
            let enciphered = hex(enciphered);
            let open = |passwords: &[&str]| {
                let passwords: Vec<_> = passwords.iter().copied().map(password).collect();
                pbe::decrypt_pkcs8(&enciphered, 0, &passwords, ctx)
            };
            assert_eq!(open(&["sesame"]).expect(options).bytes.to_vec(), hex(KEY), "{options}");
            assert_eq!(open(&["x", "sesame"]).expect(options).bytes.to_vec(), hex(KEY), "{options}");
            assert_eq!(open(&["Sesame", ""]).expect_err(options).kind(), Kind::Password, "{options}");
            assert_eq!(open(&[]).expect_err(options).kind(), Kind::Password, "{options}");
        }
    });
}

#[test]
fn what_we_encipher_opens_again() {
    let recipes = [Recipe::AES256_SHA256, Recipe::TRIPLE_DES, Recipe::RC2_40];
    let key = hex(KEY);
    with(&session(), |ctx| {
        for recipe in recipes {
            for text in ["changeit", "", "pässwörd", "鍵パスワード", "key🔑pass"] {
                let password = password(text);
                let keyer = Keyer::new(recipe, &password, 3, ctx.session).expect("keyer");
                let keyed = keyer.next(ctx.session).expect("keyed");
                let mut out = vec![7];
                keyed.put_pkcs8(&key, &mut out).expect("enciphered");
                assert_eq!(out.len(), 1 + keyed.pkcs8_len(key.len()));
                let back = pbe::decrypt_pkcs8(&out[1..], 1, &[password], ctx).expect("opened");
                assert_eq!(*back.bytes, key);
            }
        }
        let sealed = pbe::encrypt_pkcs8(&key, &password("a"), ctx).expect("enciphered");
        assert_eq!(pbe::decrypt_pkcs8(&sealed, 0, &[password("a")], ctx).expect("open").bytes.to_vec(), key);
    });
}

#[test]
fn a_key_derived_once_serves_every_part() {
    with(&session(), |ctx| {
        let keyer = Keyer::new(Recipe::AES256_SHA256, &password("a"), 100, ctx.session).expect("keyer");
        let parts = [(); 3].map(|()| keyer.next(ctx.session).expect("keyed"));
        assert_eq!(ctx.session.budget.spent(), 100);
        assert_ne!(parts[0].algorithm(), parts[1].algorithm(), "each part has its own vector");
        let keyer = Keyer::new(Recipe::TRIPLE_DES, &password("a"), 100, ctx.session).expect("keyer");
        let parts = [(); 2].map(|()| keyer.next(ctx.session).expect("keyed"));
        assert_ne!(parts[0].algorithm(), parts[1].algorithm(), "each part has its own salt");
        // Two blocks of SHA-1 for the key and one for the vector, twice.
        assert_eq!(ctx.session.budget.spent(), 100 + 600);
    });
}

/// Writers in the field that let other bytes than UTF-16 into the derivation of PKCS#12.
#[test]
fn other_forms_of_a_password() {
    let forms = [
        ("", vec![]),
        ("ä", vec![0, 0xc3, 0, 0xa4, 0, 0]),
        ("ä", vec![0, 0x43, 0, 0x24, 0, 0]),
        ("ä", vec![0, 0xe4, 0, 0]),
    ];
    let (salt, key) = ([9; 8], hex(KEY));
    with(&session(), |ctx| {
        for (text, form) in forms {
            let derive = |purpose, len| kdf::pkcs12(Hash::Sha1, purpose, &form, &salt, 2, len, ctx.session);
            let (k, iv) = (derive(Use::Key, 24).expect("key"), derive(Use::Iv, 8).expect("iv"));
            let mut sealed = key.clone();
            sealed.resize(Cipher::TdesEde3.sealed_len(key.len()), 0);
            Cipher::TdesEde3.encrypt_in_place(&k, &iv, &mut sealed, key.len()).expect("enciphered");
            let parameters = tlv_of(0x30, &[&octet_string(&salt), &[2, 1, 2]]);
            let algorithm = tlv_of(0x30, &[&oid_tlv(oid::PBE_3DES), &parameters]);
            let info = tlv_of(0x30, &[&algorithm, &octet_string(&sealed)]);
            let back = pbe::decrypt_pkcs8(&info, 0, &[password(text)], ctx).expect(text);
            assert_eq!(back.bytes.to_vec(), key, "{text:?} as {form:x?}");
        }
    });
}

/// Work is refused before it is done: nothing is spent.
#[test]
fn hostile_counts() {
    let session = session();
    with(&session, |ctx| {
        for (n, kind) in [
            ("02047fffffff", Kind::TooLarge),
            ("020900ffffffffffffffff", Kind::TooLarge),
            ("020b00ffffffffffffffffffff", Kind::TooLarge),
            ("020100", Kind::Malformed),
            ("0201ff", Kind::Malformed),
        ] {
            let parameters = tlv_of(0x30, &[&octet_string(&[9; 8]), &hex(n)]);
            let algorithm = tlv_of(0x30, &[&oid_tlv(oid::PBE_3DES), &parameters]);
            let info = tlv_of(0x30, &[&algorithm, &octet_string(&[0; 8])]);
            let e = pbe::decrypt_pkcs8(&info, 0, &[password("a")], ctx).expect_err(n);
            assert_eq!(e.kind(), kind, "{n}: {e}");
        }
    });
    for (n, r, p, kind) in [
        (1 << 40, 8, 1, Kind::TooLarge),
        (1 << 22, 8, 1, Kind::TooLarge),
        (2, 1 << 40, 1, Kind::TooLarge),
        (2, 1, 1 << 62, Kind::TooLarge),
        (1 << 20, 8, 1, Kind::TooLarge), // memory is enough, the budget is not
        (1000, 8, 1, Kind::Malformed),
        (0, 8, 1, Kind::Malformed),
        (1024, 0, 1, Kind::Malformed),
        (1024, 8, 0, Kind::Malformed),
    ] {
        let e = kdf::scrypt(b"", b"", (n, r, p), 32, &session).expect_err("refused");
        assert_eq!(e.kind(), kind, "{n} {r} {p}: {e}");
    }
    assert_eq!(session.budget.spent(), 0);
}

#[test]
fn each_block_of_output_is_paid_for() {
    let session = Session { budget: Budget::new(10, 25), ..session() };
    let derive = |n| kdf::pbkdf2(Hash::Sha1, b"a", b"b", 10, n, &session);
    assert!(derive(40).is_ok());
    assert_eq!(session.budget.spent(), 20);
    assert!(derive(40).is_ok(), "from the cache");
    assert_eq!(derive(41).expect_err("three blocks").kind(), Kind::TooLarge);
}

#[test]
fn unknown_and_odd_schemes() {
    with(&session(), |ctx| {
        let open = |b: &[u8]| pbe::decrypt_pkcs8(b, 0x100, &[password("a")], ctx).expect_err("odd");
        let e = open(&hex("300f300b06092a864886f70d0105630400"));
        assert_eq!((e.kind(), e.place().offset), (Kind::Unsupported, Some(0x104)), "{e}");
        assert_eq!(open(b"0").kind(), Kind::Malformed);
        for (_, enciphered) in ENCIPHERED {
            let whole = hex(enciphered);
            for end in 0..whole.len() {
                assert_eq!(open(&whole[..end]).kind(), Kind::Malformed, "cut at {end}");
            }
        }
    });
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|c| (c as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

fn password(text: &str) -> Arc<Password> {
    Arc::new(Password::new(text.as_bytes().to_vec()))
}

fn session() -> Session {
    Session { rng: Rng::seeded([5; 32]), ..Session::new(0) }
}

fn with<T>(session: &Session, f: impl FnOnce(&Ctx<'_>) -> T) -> T {
    f(&Ctx { secrets: &NoSecrets, options: &Options::default(), session })
}

const PKCS12: &[(Hash, Use, u64, &str)] = &[
    (Hash::Sha1, Use::Key, 1, "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"),
    (Hash::Sha1, Use::Iv, 1, "79993dfe048d3b76"),
    (Hash::Sha1, Use::Mac, 1, "9ba6ef317b8cb9f4760ab2fa2e51c066f0dce645"),
    (
        Hash::Sha1,
        Use::Key,
        1000,
        "65a0185313e1be626a62223edc56a602e45d07570bd6c4473ed445ecb448cfe70904695806c29d709dd015fc4d2234080cbfa8e6\
         c9f0158c782e0edd",
    ),
    (
        Hash::Sha224,
        Use::Key,
        7,
        "c80bbab62e45bee199c2c6d47b090dcadcb0e2d40cc679ca582adab827b2edebc5ba79527627a50a",
    ),
    (
        Hash::Sha256,
        Use::Iv,
        3,
        "bbc0800b78b66984b4b1de141bdeb2d04b119521e14ddbea3a62df7ee9c1c4b699e86977c0e11110ecef2c7eee066fce13e1de6e\
         f4e074503c84b63f9e54ab6a4fc9ba5125384ef6c46e6c66c2a469ab733487a61e9e56a4df810d5efa14aad1880010bd",
    ),
    (
        Hash::Sha384,
        Use::Key,
        3,
        "84948eb3014f6e93997bebd4dc2320ab08dfb1fc70367536162e7483933ffa327bc9bf3a8137280e1182338310aea89baf78f14b\
         c19d760efa54461c",
    ),
    (
        Hash::Sha512,
        Use::Mac,
        2,
        "7d156e000721b04e694425fd1480c6da84f3bf9b29a2e153a5a91c14bf2f4e70ef220b1d00031ccce1ae5bfaf93099437e122781\
         56a0b14620349b0389d6daede438b48194ca202ad4c08d20f3ed65078b526a16651b2673028830abce54fdef7b8e5b69b05a7935\
         8c2f5ceea92880cd527629aa15ae654bf093c0e9e0e4107ac150",
    ),
    (
        Hash::Sha512_224,
        Use::Key,
        2,
        "b92f6218a2ca34946bee087e9c77351a05fb8f1c18f17791b1dbccc33b306fcfbede09931dd76ff7396b804915c57068806119f3\
         2192632537216860",
    ),
    (
        Hash::Sha512_256,
        Use::Key,
        2,
        "20f98bf55aec7e9b62633625b8f63bd7eeb411895fb01d228518d8feea3fa008e1db753c58a1e04b8612921b0f3124788385b73a\
         40a473ae0b872efe",
    ),
];

const PBKDF2: &[(Hash, &str)] = &[
    (Hash::Sha1, "6b4e26125c25cf21ae35ead955f479ea2e71f6ff9e400029f04810eece31355533bb2ed348e604da"),
    (Hash::Sha224, "947cf079cfc7f2016dcd7ec418840443edaabb90c496f98cabeec4bfb1a5a4aaff68cca92cf05a6d"),
    (Hash::Sha256, "ad35240ac683febfaf3cd49d845473fbbbaa2437f5f82d5a415ae00ac76c6bfccf9a9b8d6d2fe4a1"),
    (Hash::Sha384, "1bfb451b6087e5d24eeffb57d7284448da95b581d35a1887d9a6e756af559b1fb4798a4529502f87"),
    (Hash::Sha512, "b6b07cb2cebf4ad84468391a543824fccffe0e0769dbe6bddf10a65673c4b648e612d44918f9ce9a"),
    (Hash::Sha512_224, "635aed8aaa4449ea97f7119b559de27ab73a3f614d617a62e700ea72e3f18c9b4f4021c964445624"),
    (Hash::Sha512_256, "9fa42ea03f8f8ac08be344def79d9c031e8f773f20a1061f5f38b37f01d32943ddc662e95a95dd1e"),
];

/// An Ed25519 key made for these tests.
const KEY: &str =
    "302e020100300506032b65700422042069749741ad3e6329ebff5027617b1e73192ba40ef3c47833b5dc84451f36e99e";

const ENCIPHERED: &[(&str, &str)] = &[
    (
        "-v1 PBE-MD5-DES",
        "3056301a06092a864886f70d010503300d040815d1ca2d0ce7007b02010504384239a4f03df7d58c961438ac89864ca59b0946162b5c16cae8caf8a590e332992a04a794a63b9b2dbccc4f97eff3f8f843c58326fafc9fec",
    ),
    (
        "-v1 PBE-SHA1-DES",
        "3056301a06092a864886f70d01050a300d0408ebc04816d52099e902010504381e6d21250c76f98b097fd820718ae2591fc5b595ed0e23f5b2351013799e12c7175356806fd7470fd95fc052f117d960c214b781afed8362",
    ),
    (
        "-v1 PBE-MD5-RC2-64",
        "3056301a06092a864886f70d010506300d040842b6f420be8d9f92020105043878c5eff0dd22b3f5199238dff13ef15a0668b19933fb0caa626044f4f94c2b36d03f1a84d98d92c0cd9b8c02e14153f098c408a21ed68e28",
    ),
    (
        "-v1 PBE-SHA1-RC2-64",
        "3056301a06092a864886f70d01050b300d040814b1c92b8aff8d380201050438c7444ea836633fe7b4ac1f2c3c47742d84f8e838f5c409acebaa6ca8cc926bf8b4711cad531f3ef877b3b8a9b647c642f4913e82ba0cd9f0",
    ),
    (
        "-v1 PBE-SHA1-RC4-128",
        "304f301b060a2a864886f70d010c0101300d0408de8db5952075a6330201050430ed3ed3a9b4ab994e83ed95f38f8e2b7da818cc263d687cff37574aa5923bdd4382422e16b042a6ce1748215264c7b61d",
    ),
    (
        "-v1 PBE-SHA1-RC4-40",
        "304f301b060a2a864886f70d010c0102300d0408c8c727167ce0a237020105043009df1f5b3e6e894de9f9ce125aef92904ba25aaa4ed1f725aaf61635c84d164d7c87405214228072374cccdce0688e75",
    ),
    (
        "-v1 PBE-SHA1-3DES",
        "3057301b060a2a864886f70d010c0103300d0408be8839f774fb97ef0201050438852b1ad7e27064c0498902f012dff4ca8afa1dbf94b45f0a113a6d1299fb43527ed79ee1bed373584bba578d2a82b06e1325f661950d117a",
    ),
    (
        "-v1 PBE-SHA1-2DES",
        "3057301b060a2a864886f70d010c0104300d0408f1197a24cdc1c9840201050438902852f23c5b8c6044b3c6fdbac0759010c7957b06589a5fa28615ecbdf8d51cba6be0e2f1d0ce93c9afa1ad86ff2bbb13c739ff21215467",
    ),
    (
        "-v1 PBE-SHA1-RC2-128",
        "3057301b060a2a864886f70d010c0105300d0408e3c7e43c6b72385e0201050438073dc3de56726d5b4dc1278bfa8e7d7e63bad4cc5c4e38f7e0752287ec478aa3fc1a27052f92619bb783e312b13306a16612718cc4e723fc",
    ),
    (
        "-v1 PBE-SHA1-RC2-40",
        "3057301b060a2a864886f70d010c0106300d040844ac83969747e86f0201050438c6e66acbb87396b4b5869d193b55cee2d7d56f242f3dac1975f2123a05425b625834f314060b1334990126bd1ef217cabd557b5cb2943873",
    ),
    (
        "-v2 aes-128-cbc -v2prf hmacWithSHA1",
        "30818c304806092a864886f70d01050d303b301a06092a864886f70d01050c300d040800e1aacd9c21b400020105301d06096086480165030401020410183a003313cd5ee8d5f9dff5d07c86d0044087e8c3a1fd4210c4f9b3bb2847dffa4e3ff66cdd28ad3765fa4e7b3f6e1eb145c0d0c6a5319434a874287c8b4611440c5b4e4d0d02ced0039f5ab712645d163b",
    ),
    (
        "-v2 aes-192-cbc -v2prf hmacWithSHA224",
        "30819a305606092a864886f70d01050d3049302806092a864886f70d01050c301b04082ff5378cc38728e0020105300c06082a864886f70d02080500301d0609608648016503040116041042d51e1465404b8394cfe409ceaa70060440c73ebfd6a442249511fc76c0197a94e5ef792d42a31bf455d38a6f572e52dd525d2649f6a9e07971ec70d110dbd4f442ac74b7cfa21ed6ae746d6a269e2121ff",
    ),
    (
        "-v2 aes-256-cbc -v2prf hmacWithSHA384",
        "30819a305606092a864886f70d01050d3049302806092a864886f70d01050c301b040886c9ae4d4d39345f020105300c06082a864886f70d020a0500301d060960864801650304012a041023006ae2f7a8059e30c15fb30f355f900440d05b973c122825267fab84a2c38204c358f9a768bafa4fb9b0794644a30708332574bcb51c867da261e888c1a2e13377e145164cf00d39d199bfd3d8c0c0a025",
    ),
    (
        "-v2 des3 -v2prf hmacWithSHA512",
        "308189304d06092a864886f70d01050d3040302806092a864886f70d01050c301b0408831fb85e40d65d7b020105300c06082a864886f70d020b0500301406082a864886f70d03070408cf36f732ed4080080438209f44cee2d81d1a27955206c54cb6364b7e8d99b4c61c478830cddbacdb24275b18028885714931381919b371efe6123ab566e09ce98344",
    ),
    (
        "-v2 des -v2prf hmacWithSHA256",
        "308186304a06092a864886f70d01050d303d302806092a864886f70d01050c301b0408098b0d89715922cf020105300c06082a864886f70d02090500301106052b0e0302070408d27e5a2237adfe73043842127fbd8fcc2ce81eff2a086ad2de7c496d5ffe2221c3cf1cc2c6f3b5706a6b986e2eca85f70948d86a1ba289c16b19720ecf4ce1f6345f",
    ),
    (
        "-v2 rc2 -v2prf hmacWithSHA256",
        "308191305506092a864886f70d01050d3048302b06092a864886f70d01050c301e04082862c5e2c0682faf020105020110300c06082a864886f70d02090500301906082a864886f70d0302300d02013a04081bfd63d51aa9260e04381c62a9254f42105cc0a37d70825b4927003cbe87d78b0354728203067015c2ce7ed523e6dddbfcedf8d7881ad86dea3899f2d38a407981de",
    ),
    (
        "-v2 rc2-40-cbc -v2prf hmacWithSHA256",
        "308192305606092a864886f70d01050d3049302b06092a864886f70d01050c301e04081bb7cf299e0db2b3020105020105300c06082a864886f70d02090500301a06082a864886f70d0302300e020200a004085b0916f0f8744ad10438a72928f294e1057a03d136c6a22f85c69d7d33b224e1f28e15bc4d1cd4b22360fbb2758e4de70ee3cb109703c52586806649f9702b6d888a",
    ),
    (
        "-v2 rc2-64-cbc",
        "308191305506092a864886f70d01050d3048302b06092a864886f70d01050c301e040817a9ed4b3dbd2bd7020105020108300c06082a864886f70d02090500301906082a864886f70d0302300d0201780408b387f02f6499cf240438a81d096d9070c397ac79b90aa0c2b26426e68cb4d9c594f6f34d62aa29b31da1b6c9ff2995939a3235333e6770d23e84cdf5b599262981b9",
    ),
    (
        "-v2 camellia-128-cbc",
        "30819c305806092a864886f70d01050d304b302806092a864886f70d01050c301b04081fecf04471481220020105300c06082a864886f70d02090500301f060b2a83088c9a4b3d0101010204109dcd47ff91345dda6aabfc5f4b512a3b044096c6343a0227842c1d9cd59bd4fec0e4ec5c38bbbf20afcbe88e4b4e2b6c796447a9f8efd73ef8a4e46d64979a11cfd8ac1bfaac99e0b5a436fb03324f1311c6",
    ),
    (
        "-v2 camellia-192-cbc -v2prf hmacWithSHA512-224",
        "30819c305806092a864886f70d01050d304b302806092a864886f70d01050c301b040876e29722c0afbd57020105300c06082a864886f70d020c0500301f060b2a83088c9a4b3d010101030410f378ab60a9795233c95d9f6bda2b535f04400065e9fe263e3538918a4e102e9232227e1cdf52cdbdc94c8520ed6a037c747a63a9232643859d443ad2431d6c37b8fbe2b1481be9d88c9703678af92af78cc8",
    ),
    (
        "-v2 camellia-256-cbc -v2prf hmacWithSHA512-256",
        "30819c305806092a864886f70d01050d304b302806092a864886f70d01050c301b04088aedfea584b1515f020105300c06082a864886f70d020d0500301f060b2a83088c9a4b3d010101040410325ccbd1a3e6ae9c726fb1fa6e563ea904401c30477b5df49aa325a8f64db80f95f010fd47e95c070f55f1886b7c89122af12517b3a070099dec927d18c64e291a7915bf72de57fe174a4053d63b492e40d1",
    ),
    (
        "-v2 aes-256-cbc -scrypt -scrypt_N 1024 -scrypt_r 4 -scrypt_p 2",
        "308193304f06092a864886f70d01050d3042302106092b06010401da47040b30140408270dddd60aa5b1f202020400020104020102301d060960864801650304012a0410f5a622ef36bcfc7bdad02fab069727c2044078c3e25afdcd22522a8ab0bbe95a6a60d33eb3db94373555ea167802d7b5c1a5de2fc81e1dd3b3b6a0155acdc8725777ee055a8d5c391000ce0e490366cd77e0",
    ),
];
