//! Hash functions by object identifier, and what is built from them.

use crate::asn1::oid;
use digest::common::BlockSizeUser;
use digest::{FixedOutputReset, Output};
use hmac::digest;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};
use zeroize::Zeroizing;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as everywhere
pub enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
}

/// Runs `$body` with `$d` standing for the hash's type.
macro_rules! with {
    ($hash:expr, $d:ident => $body:expr) => {
        match $hash {
            Hash::Md5 => {
                type $d = Md5;
                $body
            }
            Hash::Sha1 => {
                type $d = Sha1;
                $body
            }
            Hash::Sha224 => {
                type $d = Sha224;
                $body
            }
            Hash::Sha256 => {
                type $d = Sha256;
                $body
            }
            Hash::Sha384 => {
                type $d = Sha384;
                $body
            }
            Hash::Sha512 => {
                type $d = Sha512;
                $body
            }
            Hash::Sha512_224 => {
                type $d = Sha512_224;
                $body
            }
            Hash::Sha512_256 => {
                type $d = Sha512_256;
                $body
            }
        }
    };
}

impl Hash {
    /// By the OID of the hash itself (RFC 8017 appendix B.1).
    pub fn by_digest_oid(content: &[u8]) -> Option<Hash> {
        TABLE.iter().find(|(_, digest, _)| *digest == content).map(|(hash, ..)| *hash)
    }

    /// By the OID of its HMAC (RFC 8018 appendix B.1).
    pub fn by_hmac_oid(content: &[u8]) -> Option<Hash> {
        TABLE.iter().find(|(_, _, hmac)| *hmac == content).map(|(hash, ..)| *hash)
    }

    /// The content octets of its own OID.
    pub fn digest_oid(self) -> &'static [u8] {
        TABLE.iter().find(|(hash, ..)| *hash == self).map_or(&[], |(_, digest, _)| digest)
    }

    /// The content octets of its HMAC's OID.
    pub fn hmac_oid(self) -> &'static [u8] {
        TABLE.iter().find(|(hash, ..)| *hash == self).map_or(&[], |(.., hmac)| hmac)
    }

    /// The name for people: `SHA-256`.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Md5 => "MD5",
            Hash::Sha1 => "SHA-1",
            Hash::Sha224 => "SHA-224",
            Hash::Sha256 => "SHA-256",
            Hash::Sha384 => "SHA-384",
            Hash::Sha512 => "SHA-512",
            Hash::Sha512_224 => "SHA-512/224",
            Hash::Sha512_256 => "SHA-512/256",
        }
    }

    /// Bytes of a digest.
    pub fn size(self) -> usize {
        with!(self, D => <D as Digest>::output_size())
    }

    /// HMAC of `data` under `key`.
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        with!(self, D => {
            // HMAC takes keys of any length; the error type can't be met.
            let mac = <Hmac<D> as KeyInit>::new_from_slice(key);
            mac.map(|m| m.chain_update(data).finalize().into_bytes().to_vec()).unwrap_or_default()
        })
    }

    /// Begins an HMAC over something that comes in parts.
    pub fn hmac_run(self, key: &[u8]) -> Option<Box<dyn Authenticating>> {
        with!(self, D => Some(Box::new(<Hmac<D> as KeyInit>::new_from_slice(key).ok()?)))
    }

    /// PBKDF2 (RFC 8018 section 5.2) with this hash's HMAC, without budget or cache.
    ///
    /// In the newer generation of the crates every round copies two states and wipes them, which costs a third
    /// more (measured with SHA-256, where it decides how long a tree takes); the older one leaves its states to
    /// be overwritten by what runs next.
    pub(super) fn pbkdf2(self, password: &[u8], salt: &[u8], rounds: u32, out: &mut [u8]) {
        if self == Hash::Sha256 {
            return pbkdf2_lean::pbkdf2_hmac::<sha2_lean::Sha256>(password, salt, rounds, out);
        }
        with!(self, D => pbkdf2::pbkdf2_hmac::<D>(password, salt, rounds, out));
    }

    /// PBKDF1 (RFC 8018 section 5.1), without budget or cache; `out` takes at most one digest.
    pub(super) fn pbkdf1(self, password: &[u8], salt: &[u8], rounds: u32, out: &mut [u8]) {
        with!(self, D => {
            let t = digested(D::new().chain_update(password).chain_update(salt), rounds);
            out.iter_mut().zip(t).for_each(|(o, t)| *o = t);
        });
    }

    /// The derivation of RFC 7292 appendix B.2, without budget or cache.
    pub(super) fn pkcs12(self, id: u8, password: &[u8], salt: &[u8], rounds: u32, out: &mut [u8]) {
        with!(self, D => pkcs12::<D>(id, password, salt, rounds, out));
    }
}

/// An HMAC at work on something long.
pub trait Authenticating {
    /// Goes on with `data`.
    fn update(&mut self, data: &[u8]);

    /// The MAC of all of it.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

impl<M: Mac> Authenticating for M {
    fn update(&mut self, data: &[u8]) {
        Mac::update(self, data);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        (*self).finalize().into_bytes().to_vec()
    }
}

/// The digest of what `hasher` has taken, digested until there were `rounds`. One state serves them all: a new one
/// a round would be wiped each time.
fn digested<D: Digest + FixedOutputReset>(mut hasher: D, rounds: u32) -> Output<D> {
    let mut digest = hasher.finalize_reset();
    for _ in 1..rounds {
        Digest::update(&mut hasher, &digest);
        Digest::finalize_into_reset(&mut hasher, &mut digest);
    }
    digest
}

/// RFC 7292 appendix B.2. `v` and `u` are the RFC's names for block and digest length.
fn pkcs12<D: Digest + FixedOutputReset + BlockSizeUser>(
    id: u8,
    password: &[u8],
    salt: &[u8],
    rounds: u32,
    out: &mut [u8],
) {
    let v = D::block_size();
    let diversifier = vec![id; v];
    let mut input = Zeroizing::new(Vec::with_capacity(padded(salt, v) + padded(password, v)));
    for part in [salt, password] {
        input.extend(part.iter().cycle().take(padded(part, v)));
    }
    let mut blocks = out.chunks_mut(<D as Digest>::output_size()).peekable();
    while let Some(block) = blocks.next() {
        let a = digested(D::new().chain_update(&diversifier).chain_update(&*input), rounds);
        block.iter_mut().zip(&a).for_each(|(o, a)| *o = *a);
        if blocks.peek().is_some() {
            input.chunks_mut(v).for_each(|i| add_with_one(i, &a));
        }
    }
}

/// `part` repeated to a whole number of blocks; nothing stays nothing.
fn padded(part: &[u8], block: usize) -> usize {
    part.len().div_ceil(block) * block
}

/// `i + a… + 1` modulo the block, where `a` is repeated to the block's length.
fn add_with_one(i: &mut [u8], a: &[u8]) {
    let mut carry = 1u16;
    let repeated = (0..i.len()).map(|at| a[at % a.len()]);
    for (i, a) in i.iter_mut().zip(repeated).rev() {
        carry += u16::from(*i) + u16::from(a);
        *i = carry as u8;
        carry >>= 8;
    }
}

/// The hash, its OID, its HMAC's OID.
const TABLE: &[(Hash, &[u8], &[u8])] = &[
    (Hash::Sha256, oid::SHA256, oid::HMAC_SHA256),
    (Hash::Sha1, oid::SHA1, oid::HMAC_SHA1),
    (Hash::Sha512, oid::SHA512, oid::HMAC_SHA512),
    (Hash::Sha384, oid::SHA384, oid::HMAC_SHA384),
    (Hash::Sha224, oid::SHA224, oid::HMAC_SHA224),
    (Hash::Sha512_224, oid::SHA512_224, oid::HMAC_SHA512_224),
    (Hash::Sha512_256, oid::SHA512_256, oid::HMAC_SHA512_256),
    (Hash::Md5, oid::MD5, oid::HMAC_MD5),
];
