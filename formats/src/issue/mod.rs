//! Requests, certificates and revocation lists made here.
//!
//! The framing is ours and copies names and keys byte for byte, for chains are built by comparing names:
//! an issuer's name that went through a parser and back may differ from its subject. Signing is the
//! libraries' ([`crate::crypto::sign`]).

mod certificate;
mod crl;
mod extension;
mod profile;
mod request;

pub use certificate::{Draft, random_serial, time_element};
pub use crl::{Crl, Reason, Revoked};
pub use extension::{Extension, Extensions, KeyUsage, Name, Usage};
pub use profile::Profile;
pub use request::Request;
