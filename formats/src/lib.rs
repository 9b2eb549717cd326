//! Readers and writers of certificate and key stores around one common model.
//!
//! ```text
//! place (bytes) → Format::read → model::Store → Format::write → place::Staging → storeset (swap)
//! ```
//!
//! The library has no terminal, no environment and no global state: passwords, options, randomness and
//! the clock come in through [`Ctx`]. A newcomer reads [`model`] first, then [`Format`] and its table
//! [`FORMATS`], then one of the folders named after a format.

pub mod asn1;
pub mod bundle;
mod context;
pub mod crypto;
mod der;
pub mod error;
pub mod explain;
mod fact;
mod foreign;
mod format;
mod hex;
pub mod issue;
mod jks;
pub mod jobs;
mod kdb;
mod loose;
pub mod model;
pub mod mq;
pub mod nss;
mod p12;
mod p7b;
mod pem;
pub mod place;
pub mod query;
pub mod storeset;

pub use context::{Budget, Ctx, KeyCache, NoSecrets, OnePassword, Options, Rng, Secrets, Session};
pub use error::{Error, Kind, Result};
pub use fact::Fact;
pub use format::{
    Carries, FORMATS, Format, InPlace, Labels, Match, Opt, PasswordUse, TrustRange, User, by_name, by_suffix,
    detect, names,
};
pub use kdb::stash;
