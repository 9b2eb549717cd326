//! The names of attribute types: what we print, what other tools print, and what people write.

use crate::asn1::oid;

/// An attribute type: its OID, the name we print, what others print, and what else people write for it.
pub(super) struct Type {
    pub(super) oid: &'static [u8],
    /// RFC 4519's name, else the registry's. OpenSSL's short name is the same but for those in `openssl`.
    pub(super) name: &'static str,
    /// GSKit 8's, Java's (`X500Principal.toString`), NSS's; empty where they print the dotted OID.
    pub(super) gskit: &'static str,
    pub(super) java: &'static str,
    pub(super) nss: &'static str,
    /// What else is understood.
    pub(super) others: &'static [&'static str],
}

macro_rules! types {
    ($($dotted:literal $name:literal $gskit:literal $java:literal $nss:literal [$($other:literal),*];)*) => {
        &[$(Type {
            oid: const { der::asn1::ObjectIdentifier::new_unwrap($dotted) }.as_bytes(),
            name: $name,
            gskit: $gskit,
            java: $java,
            nss: $nss,
            others: &[$($other),*],
        }),*]
    };
}

/// As observed with GSKit 8.0.60, OpenJDK 17 and NSS 3.87. `SN` is the surname, as in OpenSSL and NSS.
pub(super) const TYPES: &[Type] = types! {
    "2.5.4.3" "CN" "CN" "CN" "CN" ["commonName"];
    "2.5.4.11" "OU" "OU" "OU" "OU" ["organizationalUnitName"];
    "2.5.4.10" "O" "O" "O" "O" ["organizationName"];
    "2.5.4.6" "C" "C" "C" "C" ["countryName"];
    "2.5.4.7" "L" "L" "L" "L" ["localityName"];
    "2.5.4.8" "ST" "ST" "ST" "ST" ["S", "SP", "stateOrProvinceName"];
    "0.9.2342.19200300.100.1.25" "DC" "DC" "DC" "DC" ["domainComponent"];
    "1.2.840.113549.1.9.1" "emailAddress" "MAIL" "EMAILADDRESS" "E" ["email"];
    "0.9.2342.19200300.100.1.1" "UID" "UID" "UID" "UID" ["userId"];
    "2.5.4.5" "serialNumber" "SERIALNUMBER" "SERIALNUMBER" "serialNumber" [];
    "2.5.4.4" "SN" "" "SURNAME" "SN" [];
    "2.5.4.42" "givenName" "GIVENNAME" "GIVENNAME" "givenName" ["GN", "G"];
    "2.5.4.43" "initials" "INITIALS" "INITIALS" "initials" [];
    "2.5.4.44" "generationQualifier" "GENERATION" "GENERATION" "generationQualifier" [];
    "2.5.4.12" "title" "T" "T" "title" [];
    "2.5.4.9" "STREET" "STREET" "STREET" "STREET" ["streetAddress"];
    "2.5.4.17" "postalCode" "PC" "" "postalCode" [];
    "2.5.4.46" "dnQualifier" "DNQ" "DNQ" "dnQualifier" [];
    "2.5.4.65" "pseudonym" "" "" "pseudonym" [];
    "2.5.4.97" "organizationIdentifier" "" "" "" [];
    "2.5.4.15" "businessCategory" "" "" "businessCategory" [];
    "2.5.4.13" "description" "" "" "" [];
    "2.5.4.16" "postalAddress" "" "" "postalAddress" [];
    "2.5.4.18" "postOfficeBox" "" "" "postOfficeBox" [];
    "2.5.4.20" "telephoneNumber" "" "" "" [];
    "2.5.4.41" "name" "" "" "" [];
    "2.5.4.45" "x500UniqueIdentifier" "" "" "" [];
    "2.5.4.51" "houseIdentifier" "" "" "houseIdentifier" [];
    "1.3.6.1.4.1.311.60.2.1.1" "jurisdictionL" "" "" "incorporationLocality" ["jurisdictionLocalityName"];
    "1.3.6.1.4.1.311.60.2.1.2" "jurisdictionST" "" "" "incorporationState" ["jurisdictionStateOrProvinceName"];
    "1.3.6.1.4.1.311.60.2.1.3" "jurisdictionC" "" "" "incorporationCountry" ["jurisdictionCountryName"];
    "1.2.840.113549.1.9.2" "unstructuredName" "" "" "" [];
    "1.2.840.113549.1.9.8" "unstructuredAddress" "" "" "" [];
};

impl Type {
    /// OpenSSL's short name.
    pub(super) fn openssl(&self) -> &'static str {
        match self.name {
            "givenName" => "GN",
            "STREET" => "street",
            name => name,
        }
    }

    fn is_called(&self, word: &str) -> bool {
        let mut names =
            [self.name, self.gskit, self.java, self.nss].into_iter().chain(self.others.iter().copied());
        !word.is_empty() && names.any(|n| n.eq_ignore_ascii_case(word))
    }
}

/// The type with this OID (content octets).
pub(super) fn by_oid(id: &[u8]) -> Option<&'static Type> {
    TYPES.iter().find(|t| t.oid == id)
}

/// The OID that a written type stands for: a name in any case of letters, `OID.1.2.3` or `1.2.3`.
pub(crate) fn type_oid(word: &str) -> Option<Vec<u8>> {
    TYPES.iter().find(|t| t.is_called(word)).map(|t| t.oid.to_vec()).or_else(|| {
        let dotted = word.get(..4).filter(|p| p.eq_ignore_ascii_case("OID.")).map_or(word, |_| &word[4..]);
        oid::from_dotted(dotted)
    })
}
