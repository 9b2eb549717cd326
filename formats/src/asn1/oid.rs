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
    /// Extended key usage: TLS servers
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// Extended key usage: TLS clients
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// Extended key usage: code signing
    CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
    /// Extended key usage: S/MIME
    EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
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
    /// PKCS#12 PBE: SHA-1 and 128 bit RC4
    PBE_RC4_128 = "1.2.840.113549.1.12.1.1";
    /// PKCS#12 PBE: SHA-1 and 40 bit RC4
    PBE_RC4_40 = "1.2.840.113549.1.12.1.2";
    /// PKCS#12 PBE: SHA-1 and three-key triple DES
    PBE_3DES = "1.2.840.113549.1.12.1.3";
    /// PKCS#12 PBE: SHA-1 and two-key triple DES
    PBE_2DES = "1.2.840.113549.1.12.1.4";
    /// PKCS#12 PBE: SHA-1 and 128 bit RC2
    PBE_RC2_128 = "1.2.840.113549.1.12.1.5";
    /// PKCS#12 PBE: SHA-1 and 40 bit RC2
    PBE_RC2_40 = "1.2.840.113549.1.12.1.6";
    /// PKCS#5 pbeWithMD5AndDES-CBC
    PBE_MD5_DES = "1.2.840.113549.1.5.3";
    /// PKCS#5 pbeWithMD5AndRC2-CBC
    PBE_MD5_RC2 = "1.2.840.113549.1.5.6";
    /// PKCS#5 pbeWithSHA1AndDES-CBC
    PBE_SHA1_DES = "1.2.840.113549.1.5.10";
    /// PKCS#5 pbeWithSHA1AndRC2-CBC
    PBE_SHA1_RC2 = "1.2.840.113549.1.5.11";
    /// PKCS#5 PBKDF2
    PBKDF2 = "1.2.840.113549.1.5.12";
    /// PKCS#5 PBES2
    PBES2 = "1.2.840.113549.1.5.13";
    /// PKCS#5 PBMAC1
    PBMAC1 = "1.2.840.113549.1.5.14";
    /// scrypt
    SCRYPT = "1.3.6.1.4.1.11591.4.11";
    /// AES-128-CBC
    AES128_CBC = "2.16.840.1.101.3.4.1.2";
    /// AES-192-CBC
    AES192_CBC = "2.16.840.1.101.3.4.1.22";
    /// AES-256-CBC
    AES256_CBC = "2.16.840.1.101.3.4.1.42";
    /// DES-EDE3-CBC
    DES_EDE3_CBC = "1.2.840.113549.3.7";
    /// DES-CBC
    DES_CBC = "1.3.14.3.2.7";
    /// RC2-CBC
    RC2_CBC = "1.2.840.113549.3.2";
    /// Camellia-128-CBC
    CAMELLIA128_CBC = "1.2.392.200011.61.1.1.1.2";
    /// Camellia-192-CBC
    CAMELLIA192_CBC = "1.2.392.200011.61.1.1.1.3";
    /// Camellia-256-CBC
    CAMELLIA256_CBC = "1.2.392.200011.61.1.1.1.4";
    /// MD5
    MD5 = "1.2.840.113549.2.5";
    /// SHA-1
    SHA1 = "1.3.14.3.2.26";
    /// SHA-224
    SHA224 = "2.16.840.1.101.3.4.2.4";
    /// SHA-256
    SHA256 = "2.16.840.1.101.3.4.2.1";
    /// SHA-384
    SHA384 = "2.16.840.1.101.3.4.2.2";
    /// SHA-512
    SHA512 = "2.16.840.1.101.3.4.2.3";
    /// SHA-512/224
    SHA512_224 = "2.16.840.1.101.3.4.2.5";
    /// SHA-512/256
    SHA512_256 = "2.16.840.1.101.3.4.2.6";
    /// HMAC-MD5
    HMAC_MD5 = "1.2.840.113549.2.6";
    /// HMAC-SHA-1
    HMAC_SHA1 = "1.2.840.113549.2.7";
    /// HMAC-SHA-224
    HMAC_SHA224 = "1.2.840.113549.2.8";
    /// HMAC-SHA-256
    HMAC_SHA256 = "1.2.840.113549.2.9";
    /// HMAC-SHA-384
    HMAC_SHA384 = "1.2.840.113549.2.10";
    /// HMAC-SHA-512
    HMAC_SHA512 = "1.2.840.113549.2.11";
    /// HMAC-SHA-512/224
    HMAC_SHA512_224 = "1.2.840.113549.2.12";
    /// HMAC-SHA-512/256
    HMAC_SHA512_256 = "1.2.840.113549.2.13";
    /// GSKit's key protection of formats 3 and 4, from a draft of PKCS#12
    GSK_3DES = "1.2.840.113549.1.12.5.1.3";
    /// GSKit's extension that holds a secret key
    GSK_SECRET_KEY = "1.3.6.1.4.999999999.999999999.999999999.718375.55524.2.5001";
    /// sha1WithRSAEncryption
    SHA1_RSA = "1.2.840.113549.1.1.5";
    /// sha256WithRSAEncryption
    SHA256_RSA = "1.2.840.113549.1.1.11";
    /// sha384WithRSAEncryption
    SHA384_RSA = "1.2.840.113549.1.1.12";
    /// sha512WithRSAEncryption
    SHA512_RSA = "1.2.840.113549.1.1.13";
    /// ecdsa-with-SHA1
    SHA1_ECDSA = "1.2.840.10045.4.1";
    /// ecdsa-with-SHA256
    SHA256_ECDSA = "1.2.840.10045.4.3.2";
    /// ecdsa-with-SHA384
    SHA384_ECDSA = "1.2.840.10045.4.3.3";
    /// ecdsa-with-SHA512
    SHA512_ECDSA = "1.2.840.10045.4.3.4";
    /// ML-DSA-44
    ML_DSA_44 = "2.16.840.1.101.3.4.3.17";
    /// ML-DSA-65
    ML_DSA_65 = "2.16.840.1.101.3.4.3.18";
    /// ML-DSA-87
    ML_DSA_87 = "2.16.840.1.101.3.4.3.19";
    /// Key usage
    KEY_USAGE = "2.5.29.15";
    /// Extended key usage
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// Subject alternative name
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// CRL number
    CRL_NUMBER = "2.5.29.20";
    /// Reason of a revocation
    CRL_REASON = "2.5.29.21";
    /// Time from which a certificate is revoked
    INVALIDITY_DATE = "2.5.29.24";
    /// The list says more than its own certificates
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    /// PKCS#9 extensionRequest
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
    /// Microsoft's szOID_CERT_EXTENSIONS, the same under another name
    MS_EXTENSION_REQUEST = "1.3.6.1.4.1.311.2.1.14";
    /// OCSP signing
    OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
    /// Time stamping
    TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
    /// Authority information access
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// OCSP as an access method
    OCSP = "1.3.6.1.5.5.7.48.1";
    /// A basic OCSP response
    OCSP_BASIC = "1.3.6.1.5.5.7.48.1.1";
    /// OCSP nonce
    OCSP_NONCE = "1.3.6.1.5.5.7.48.1.2";
    /// countryName
    COUNTRY = "2.5.4.6";
    /// commonName
    CN = "2.5.4.3";
    /// organizationName
    O = "2.5.4.10";
    /// organizationalUnitName
    OU = "2.5.4.11";
}
