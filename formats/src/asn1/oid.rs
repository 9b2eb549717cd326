//! Object identifiers, as content octets (without tag and length), named after their arcs' owners.

/// Dotted text of an OID's content octets; `?` where they are no OID.
pub fn dotted(content: &[u8]) -> String {
    der::asn1::ObjectIdentifier::from_bytes(content).map_or_else(|_| "?".to_owned(), |o| o.to_string())
}

/// Content octets of a dotted OID, if it is one.
pub fn from_dotted(text: &str) -> Option<Vec<u8>> {
    der::asn1::ObjectIdentifier::new(text).ok().map(|o| o.as_bytes().to_vec())
}

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $dotted:literal;)*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("`", $dotted, "`")]
            pub const $name: &[u8] = const { der::asn1::ObjectIdentifier::new_unwrap($dotted) }.as_bytes();
        )*
    };
}

oids! {
    /// PKCS#7 data
    DATA = "1.2.840.113549.1.7.1";
    /// PKCS#7 signedData
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    /// PKCS#7 envelopedData
    ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    /// PKCS#7 encryptedData
    ENCRYPTED_DATA = "1.2.840.113549.1.7.6";
    /// PKCS#9 emailAddress
    EMAIL_ADDRESS = "1.2.840.113549.1.9.1";
    /// PKCS#9 friendlyName
    FRIENDLY_NAME = "1.2.840.113549.1.9.20";
    /// PKCS#9 localKeyId
    LOCAL_KEY_ID = "1.2.840.113549.1.9.21";
    /// PKCS#9 x509Certificate (in a certBag)
    X509_CERTIFICATE = "1.2.840.113549.1.9.22.1";
    /// PKCS#9 sdsiCertificate (in a certBag)
    SDSI_CERTIFICATE = "1.2.840.113549.1.9.22.2";
    /// PKCS#9 x509Crl (in a crlBag)
    X509_CRL = "1.2.840.113549.1.9.23.1";
    /// PKCS#12 keyBag
    KEY_BAG = "1.2.840.113549.1.12.10.1.1";
    /// PKCS#12 pkcs8ShroudedKeyBag
    SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2";
    /// PKCS#12 certBag
    CERT_BAG = "1.2.840.113549.1.12.10.1.3";
    /// PKCS#12 crlBag
    CRL_BAG = "1.2.840.113549.1.12.10.1.4";
    /// PKCS#12 secretBag
    SECRET_BAG = "1.2.840.113549.1.12.10.1.5";
    /// PKCS#12 safeContentsBag
    SAFE_CONTENTS_BAG = "1.2.840.113549.1.12.10.1.6";
    /// Java's trustedKeyUsage attribute
    JAVA_TRUSTED_KEY_USAGE = "2.16.840.1.113894.746875.1.1";
    /// Sun's key protector of JKS
    JKS_KEY_PROTECTOR = "1.3.6.1.4.1.42.2.17.1.1";
    /// Sun's PBEWithMD5AndTripleDES, the key protection of JCEKS
    JCEKS_PBE = "1.3.6.1.4.1.42.2.19.1";
    /// anyExtendedKeyUsage
    ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0";
    /// Basic constraints
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// Subject key identifier
    SUBJECT_KEY_ID = "2.5.29.14";
    /// Authority key identifier
    AUTHORITY_KEY_ID = "2.5.29.35";
    /// rsaEncryption
    RSA = "1.2.840.113549.1.1.1";
    /// id-RSASSA-PSS
    RSA_PSS = "1.2.840.113549.1.1.10";
    /// id-ecPublicKey
    EC = "1.2.840.10045.2.1";
    /// id-dsa
    DSA = "1.2.840.10040.4.1";
    /// Ed25519
    ED25519 = "1.3.101.112";
    /// Ed448
    ED448 = "1.3.101.113";
    /// X25519
    X25519 = "1.3.101.110";
    /// X448
    X448 = "1.3.101.111";
    /// secp256r1, P-256
    P256 = "1.2.840.10045.3.1.7";
    /// secp384r1, P-384
    P384 = "1.3.132.0.34";
    /// secp521r1, P-521
    P521 = "1.3.132.0.35";
    /// secp256k1
    K256 = "1.3.132.0.10";
    /// commonName
    CN = "2.5.4.3";
    /// organizationName
    O = "2.5.4.10";
    /// organizationalUnitName
    OU = "2.5.4.11";
}
