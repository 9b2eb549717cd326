//! Derivations and ciphers that several formats share: PKCS#5, PKCS#12 and what stands in their
//! algorithm identifiers.
//!
//! The primitives come from crates; the glue of the standards is here. All work is paid for from the
//! session's budget before it is done, and derived keys are kept for the length of one command. Start
//! with [`pbe`]: it turns an `AlgorithmIdentifier`, a password and enciphered bytes into bytes.

pub mod cipher;
pub mod hash;
pub mod kdf;
pub mod path;
pub mod pbe;
pub(crate) mod phrase;
pub mod public;
pub mod sign;

#[cfg(test)]
mod tests;

pub use cipher::{Cipher, Enciphering};
pub use hash::{Authenticating, Hash};
