//! Numbers of PKCS #11 and of NSS: object classes, attribute types, trust words, tables.
//!
//! Source: PKCS #11 2.40 and 3.2, and NSS's `pkcs11t.h` and `pkcs11n.h`; the columns as NSS 3.87 creates
//! them.

/// An attribute's type, which names its column.
pub type Type = u32;

pub const CLASS: Type = 0x0;
pub const TOKEN: Type = 0x1;
pub const PRIVATE: Type = 0x2;
pub const LABEL: Type = 0x3;
pub const VALUE: Type = 0x11;
pub const CERTIFICATE_TYPE: Type = 0x80;
pub const ISSUER: Type = 0x81;
pub const SERIAL: Type = 0x82;
pub const NAME_HASH_ALGORITHM: Type = 0x8c;
pub const KEY_TYPE: Type = 0x100;
pub const SUBJECT: Type = 0x101;
pub const ID: Type = 0x102;
pub const SENSITIVE: Type = 0x103;
pub const ENCRYPT: Type = 0x104;
pub const DECRYPT: Type = 0x105;
pub const WRAP: Type = 0x106;
pub const UNWRAP: Type = 0x107;
pub const SIGN: Type = 0x108;
pub const SIGN_RECOVER: Type = 0x109;
pub const VERIFY: Type = 0x10a;
pub const VERIFY_RECOVER: Type = 0x10b;
pub const DERIVE: Type = 0x10c;
pub const START_DATE: Type = 0x110;
pub const END_DATE: Type = 0x111;
pub const MODULUS: Type = 0x120;
pub const PUBLIC_EXPONENT: Type = 0x122;
pub const PRIVATE_EXPONENT: Type = 0x123;
pub const PRIME_1: Type = 0x124;
pub const PRIME_2: Type = 0x125;
pub const EXPONENT_1: Type = 0x126;
pub const EXPONENT_2: Type = 0x127;
pub const COEFFICIENT: Type = 0x128;
pub const PRIME: Type = 0x130;
pub const SUBPRIME: Type = 0x131;
pub const BASE: Type = 0x132;
pub const VALUE_LEN: Type = 0x161;
pub const EXTRACTABLE: Type = 0x162;
pub const LOCAL: Type = 0x163;
pub const NEVER_EXTRACTABLE: Type = 0x164;
pub const ALWAYS_SENSITIVE: Type = 0x165;
pub const MODIFIABLE: Type = 0x170;
pub const EC_PARAMS: Type = 0x180;
pub const EC_POINT: Type = 0x181;
pub const TRUST_SERVER: Type = 0x62c;
pub const TRUST_CLIENT: Type = 0x62d;
pub const TRUST_CODE: Type = 0x62e;
pub const TRUST_EMAIL: Type = 0x62f;
pub const HASH_OF_CERTIFICATE: Type = 0x635;
pub const NSS_URL: Type = 0xce53_4351;
pub const NSS_EMAIL: Type = 0xce53_4352;
pub const NSS_KRL: Type = 0xce53_4358;
pub const NSS_OVERRIDE_EXTENSIONS: Type = 0xce53_4369;
pub const NSS_TRUST_SERVER: Type = 0xce53_6358;
pub const NSS_TRUST_CLIENT: Type = 0xce53_6359;
pub const NSS_TRUST_CODE: Type = 0xce53_635a;
pub const NSS_TRUST_EMAIL: Type = 0xce53_635b;
pub const NSS_STEP_UP: Type = 0xce53_6360;
pub const NSS_SHA1: Type = 0xce53_63b4;
pub const NSS_MD5: Type = 0xce53_63b5;
/// What NSS looks a private key up by: modulus, bare point, or public value.
pub const NSS_DB: Type = 0xd5a0_db00;

/// Object classes.
pub mod class {
    pub const CERTIFICATE: u32 = 1;
    pub const PUBLIC_KEY: u32 = 2;
    pub const PRIVATE_KEY: u32 = 3;
    pub const SECRET_KEY: u32 = 4;
    /// PKCS #11 3.2, written since NSS 3.114.
    pub const TRUST: u32 = 0xb;
    pub const NSS_CRL: u32 = 0xce53_4351;
    pub const NSS_SMIME: u32 = 0xce53_4352;
    pub const NSS_TRUST: u32 = 0xce53_4353;
}

/// Key types.
pub mod key {
    pub const RSA: u32 = 0;
    pub const DSA: u32 = 1;
    pub const EC: u32 = 3;
    pub const EC_EDWARDS: u32 = 0x40;
}

/// Types of secret keys with the names that Java has for them.
pub const SECRET_KEYS: &[(u32, &str)] = &[
    (0x1f, "AES"),
    (0x15, "DESede"),
    (0x13, "DES"),
    (0x11, "RC2"),
    (0x12, "ARCFOUR"),
    (0x27, "HmacMD5"),
    (0x28, "HmacSHA1"),
    (0x2e, "HmacSHA224"),
    (0x2b, "HmacSHA256"),
    (0x2c, "HmacSHA384"),
    (0x2d, "HmacSHA512"),
    (0x33, "ChaCha20"),
    (0x10, "Generic"),
];

/// An empty value: NULL would mean that the object has no such attribute.
pub const EMPTY: &[u8] = &[0xa5, 0x00, 0x5a];

/// Ids above are taken by NSS for bits of its own; such rows are invisible to it.
pub const MAX_ID: u32 = 0x3fff_ffff;

/// The two tables of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// `cert9.db`: everything but secrets.
    Public,
    /// `key4.db`: private and secret keys.
    Private,
}

impl Table {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Table::Public => "nssPublic",
            Table::Private => "nssPrivate",
        }
    }

    /// The file it is in.
    pub fn file(self) -> &'static str {
        match self {
            Table::Public => CERT_DB,
            Table::Private => KEY_DB,
        }
    }

    /// The word for it in the ids of integrity records.
    pub fn word(self) -> &'static str {
        match self {
            Table::Public => "cert",
            Table::Private => "key",
        }
    }
}

pub const CERT_DB: &str = "cert9.db";
pub const KEY_DB: &str = "key4.db";
pub const MODULES: &str = "pkcs11.txt";

/// The columns that NSS 3.87 creates, in its order. Newer releases add what they miss; older ones never
/// do, and then can't insert.
pub const COLUMNS: &[Type] = &[
    0x0,
    0x1,
    0x2,
    0x3,
    0x10,
    0x11,
    0x12,
    0x80,
    0x81,
    0x82,
    0x83,
    0x84,
    0x85,
    0x86,
    0x87,
    0x88,
    0x89,
    0x8a,
    0x8b,
    0x90,
    0x100,
    0x101,
    0x102,
    0x103,
    0x104,
    0x105,
    0x106,
    0x107,
    0x108,
    0x109,
    0x10a,
    0x10b,
    0x10c,
    0x110,
    0x111,
    0x120,
    0x121,
    0x122,
    0x123,
    0x124,
    0x125,
    0x126,
    0x127,
    0x128,
    0x129,
    0x130,
    0x131,
    0x132,
    0x133,
    0x134,
    0x160,
    0x161,
    0x162,
    0x163,
    0x164,
    0x165,
    0x166,
    0x170,
    0x180,
    0x181,
    0x200,
    0x201,
    0x202,
    0x210,
    0x300,
    0x301,
    0x302,
    0x400,
    0x401,
    0x402,
    0x403,
    0x404,
    0x405,
    0x406,
    0x480,
    0x481,
    0x482,
    0x500,
    0x501,
    0x502,
    0x503,
    0x4000_0211,
    0x4000_0212,
    0x8000_0001,
    0xce53_4351,
    0xce53_4352,
    0xce53_4353,
    0xce53_4354,
    0xce53_4355,
    0xce53_4356,
    0xce53_4357,
    0xce53_4358,
    0xce53_4364,
    0xce53_4365,
    0xce53_4366,
    0xce53_4367,
    0xce53_4368,
    0xce53_4369,
    0xce53_4373,
    0xce53_4374,
    0xce53_6351,
    0xce53_6352,
    0xce53_6353,
    0xce53_6354,
    0xce53_6355,
    0xce53_6356,
    0xce53_6357,
    0xce53_6358,
    0xce53_6359,
    0xce53_635a,
    0xce53_635b,
    0xce53_635c,
    0xce53_635d,
    0xce53_635e,
    0xce53_635f,
    0xce53_6360,
    0xce53_63b4,
    0xce53_63b5,
    0xd5a0_db00,
];

/// The indices that NSS makes: name and column.
pub const INDICES: &[(&str, Type)] =
    &[("issuer", ISSUER), ("subject", SUBJECT), ("label", LABEL), ("ckaid", ID)];

/// A column's name.
pub fn column(attribute: Type) -> String {
    format!("a{attribute:x}")
}

/// The attribute of a column, if it is one.
pub fn attribute(column: &str) -> Option<Type> {
    let digits = column.strip_prefix('a')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u32::from_str_radix(digits, 16).ok().filter(|_| plain)
}

/// A ULONG: four bytes, big-endian, on every platform. `None` for any other length.
pub fn word(value: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(value).ok().map(u32::from_be_bytes)
}
