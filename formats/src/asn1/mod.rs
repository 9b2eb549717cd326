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

pub use certificate::{CertFields, RequestFields, cert_fields, request_fields};
pub(crate) use reader::{MAX_DEPTH, plain};
pub use reader::{Reader, Tag, Tlv};
pub use writer::{header_len, integer, octet_string, oid as oid_tlv, put_header, tlv, tlv_of};
