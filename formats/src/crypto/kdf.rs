//! Key derivations, paid for from the budget and kept in the session's cache.

use super::hash::Hash;
use crate::context::Session;
use crate::error::{Error, Result};
use zeroize::Zeroizing;

/// What the PKCS#12 derivation is for (RFC 7292 appendix B.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A cipher's key.
    Key = 1,
    /// An initial vector.
    Iv = 2,
    /// A MAC's key.
    Mac = 3,
}

/// A longer key is wanted by nobody; HMAC keys and ciphers take at most 128 bytes.
const MAX_KEY: usize = 256;
/// Memory that one scrypt may take, in bytes.
const SCRYPT_MEMORY: u64 = 1 << 30;

/// The derivation of RFC 7292 appendix B. `password` is the form that enters it, usually UTF-16 with a
/// terminator.
pub fn pkcs12(
    hash: Hash,
    purpose: Use,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
    len: usize,
    session: &Session,
) -> Result<Zeroizing<Vec<u8>>> {
    let name = [b'P', purpose as u8, hash as u8];
    derive(&name, hash, password, salt, rounds, len, session, |rounds, out| {
        hash.pkcs12(purpose as u8, password, salt, rounds, out);
    })
}

/// PBKDF2 (RFC 8018 section 5.2) with the hash's HMAC.
pub fn pbkdf2(
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
    len: usize,
    session: &Session,
) -> Result<Zeroizing<Vec<u8>>> {
    let name = [b'2', hash as u8];
    derive(&name, hash, password, salt, rounds, len, session, |rounds, out| {
        hash.pbkdf2(password, salt, rounds, out);
    })
}

/// PBKDF1 (RFC 8018 section 5.1); `len` is at most the hash's size.
pub fn pbkdf1(
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
    len: usize,
    session: &Session,
) -> Result<Zeroizing<Vec<u8>>> {
    let name = [b'1', hash as u8];
    let len = len.min(hash.size());
    derive(&name, hash, password, salt, rounds, len, session, |rounds, out| {
        hash.pbkdf1(password, salt, rounds, out);
    })
}

/// scrypt (RFC 7914). Its cost counts as 2·N·r·p rounds, and its memory of 128·N·r bytes is bounded.
pub fn scrypt(
    password: &[u8],
    salt: &[u8],
    (n, r, p): (u64, u64, u64),
    len: usize,
    session: &Session,
) -> Result<Zeroizing<Vec<u8>>> {
    let too_large = || Error::too_large(format!("scrypt with N={n}, r={r}, p={p} asks for too much memory"));
    let fits = |bytes: &u64| *bytes <= SCRYPT_MEMORY;
    let memory = n.checked_mul(r).and_then(|m| m.checked_mul(128)).filter(fits).ok_or_else(too_large)?;
    r.checked_mul(p).and_then(|m| m.checked_mul(128)).filter(fits).ok_or_else(too_large)?;
    let odd = || Error::malformed(format!("scrypt can't have N={n}, r={r}, p={p}"));
    if !n.is_power_of_two() || n < 2 || memory == 0 || p == 0 || len == 0 {
        return Err(odd());
    }
    let small = |v: u64| u32::try_from(v).map_err(|_| odd());
    let params = scrypt::Params::new(n.trailing_zeros() as u8, small(r)?, small(p)?).map_err(|_| odd())?;
    let len = checked_len(len)?;
    let numbers = [n, r, p, len as u64].map(u64::to_be_bytes);
    session.keys.get(&[b"scrypt", password, salt, numbers.as_flattened()], || {
        let cost = n.checked_mul(r).and_then(|c| c.checked_mul(p)).and_then(|c| c.checked_mul(2));
        session.budget.spend(cost.unwrap_or(u64::MAX))?;
        let mut out = Zeroizing::new(vec![0; len]);
        scrypt::scrypt(password, salt, &params, &mut out).map_err(|_| odd())?;
        Ok(out)
    })
}

/// The key from the cache, or after paying for every block of output.
#[allow(clippy::too_many_arguments)] // the parameters of a derivation are what they are
fn derive(
    name: &[u8],
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
    len: usize,
    session: &Session,
    work: impl FnOnce(u32, &mut [u8]),
) -> Result<Zeroizing<Vec<u8>>> {
    if rounds == 0 {
        return Err(Error::malformed("a key derivation of no rounds"));
    }
    let len = checked_len(len)?;
    let numbers = [rounds, len as u64].map(u64::to_be_bytes);
    session.keys.get(&[name, password, salt, numbers.as_flattened()], || {
        for _ in 0..len.div_ceil(hash.size()) {
            session.budget.spend(rounds)?;
        }
        let count = u32::try_from(rounds)
            .map_err(|_| Error::too_large(format!("{rounds} rounds of key derivation are refused")))?;
        let mut out = Zeroizing::new(vec![0; len]);
        work(count, &mut out);
        Ok(out)
    })
}

fn checked_len(len: usize) -> Result<usize> {
    if len > MAX_KEY {
        return Err(Error::too_large(format!("a derived key of {len} bytes is refused")));
    }
    Ok(len)
}
