//! ASN.1 on the wire: a reader of BER and DER that knows byte offsets, and a writer of DER.
//!
//! The reader is ours because the stores in the field need it: NSS writes indefinite lengths inside the
//! MACed part of a PKCS#12, which strict readers refuse. It never re-encodes, never allocates by a length
//! read from the input, and bounds nesting.

pub mod armour;
mod certificate;
pub mod oid;
pub mod pkcs7;
pub mod pkcs8;
mod reader;
pub mod shape;
mod writer;

pub use certificate::{CertFields, cert_fields};
pub use reader::{Reader, Tag, Tlv};
pub use writer::{header_len, integer, octet_string, oid as oid_tlv, put_header, tlv, tlv_of};

/// Whether `b` begins like a BCFKS store rather than an encrypted PKCS#8 key: the outer SEQUENCE holds
/// two SEQUENCEs whose first is an `ObjectStore` that begins with an encryption scheme in one more
/// SEQUENCE (org.bouncycastle.asn1.bc.ObjectStore; seen on a file made by Bouncy Castle 1.72).
pub(crate) fn bcfks_shape(b: &[u8]) -> bool {
    // Headers only: the file may be longer than what was probed.
    let mut at = 0;
    for _ in 0..3 {
        match (b.get(at), b.get(at + 1)) {
            (Some(0x30), Some(l)) if *l < 0x80 => at += 2,
            (Some(0x30), Some(l)) if *l <= 0x84 => at += 2 + (*l & 0x7f) as usize,
            _ => return false,
        }
    }
    b.get(at) == Some(&0x06) && {
        // SEQUENCE SEQUENCE SEQUENCE OID: a certificate has INTEGER or [0] in the third place, an
        // encrypted PKCS#8 has the OID there.
        true
    }
}
