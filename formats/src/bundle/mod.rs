//! Trust bundles: a file of certificates, a manifest that says what it is, and a signature over the manifest.
//!
//! ```text
//! partners.pem                          certificates, readable by anybody
//! partners.pem.manifest.json            serial, dates, audience, digest and roles: `Manifest`
//! partners.pem.manifest.json.minisig    minisign's signature over the manifest
//! ```
//!
//! A bundle alone can be pinned by its digest. The manifest adds what a digest can't say: that there is a newer
//! bundle than this one (serial), that this one is too old to be believed (expiry), for whom it is (audience),
//! which certificates are CAs, recipients or signers (roles), which must go (distrust).

mod manifest;
mod signature;
mod signing_key;

pub use manifest::{Distrusted, MANIFEST_SUFFIX, Manifest, Member, Role};
pub use signature::{PublicKey, SIGNATURE_SUFFIX, generate, sign};
