//! Minisign's file of a secret key: what its password protects is XORed with a stream that scrypt makes of it.
//!
//! ```text
//! untrusted comment: …
//! base64: "Ed" | "Sc" or 0 | "B2" | salt 32 | ops 8 | memory 8 | key number 8, key 64, BLAKE2b-256 of all that 32
//! ```
//!
//! Done here and not by the crate, which takes the password as a text that it doesn't wipe.

use crate::error::{Error, Kind, Result};
use crate::model::Password;
use minisign::SecretKey;
use std::ops::Range;
use zeroize::Zeroizing;

const KDF: Range<usize> = 2..4;
const SALT: Range<usize> = 6..38;
const OPS: Range<usize> = 38..46;
const MEMORY: Range<usize> = 46..54;
const SECRET: Range<usize> = 54..158;
const CHECKSUM: Range<usize> = 126..158;
const SCRYPT: &[u8] = b"Sc";
/// The costs of keys that are made here, as minisign's own implementation in Rust has them: 32 MiB.
const COSTS: [u64; 2] = [1 << 20, 1 << 25];
/// Minisign's own keys ask for this much; more is refused. In bytes.
const MOST_MEMORY: u64 = 1 << 30;

type Bytes = Zeroizing<Vec<u8>>;

/// Opens a key's file. `Kind::Password` where the password is wrong or missing.
pub(super) fn open(file: &str, password: Option<&Password>) -> Result<SecretKey> {
    let no_key = || Error::malformed("not a secret key of minisign");
    let line = file.lines().nth(1).unwrap_or_default().trim();
    let decoded = base64_simd::STANDARD.decode_to_vec(line);
    let mut bytes = decoded.map(Zeroizing::new).map_err(|_| no_key())?;
    if bytes.len() != SECRET.end {
        return Err(no_key());
    }
    let zero =
        |bytes: &Bytes, range| bytes.get::<Range<usize>>(range).is_some_and(|b| b.iter().all(|b| *b == 0));
    let sealed = bytes.get(KDF) == Some(SCRYPT);
    match password {
        Some(password) if sealed => mask(&mut bytes, password)?,
        // Minisign 0.10 writes no checksum where there is no password.
        None if zero(&bytes, KDF) && zero(&bytes, CHECKSUM) => {}
        // The crate looks at the checksum where a key has had a password.
        None if zero(&bytes, KDF) => put(&mut bytes, KDF, SCRYPT),
        _ => return Err(wrong()),
    }
    let key = SecretKey::from_bytes(&bytes).map_err(|_| no_key())?;
    if key.is_encrypted() { Err(wrong()) } else { Ok(key) }
}

/// The file of a new key.
pub(super) fn seal(key: &SecretKey, password: Option<&Password>) -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(key.to_bytes());
    if let Some(password) = password {
        put(&mut bytes, KDF, SCRYPT);
        let [ops, memory] = COSTS.map(u64::to_le_bytes);
        put(&mut bytes, OPS, &ops);
        put(&mut bytes, MEMORY, &memory);
        let salt = bytes.get_mut(SALT).unwrap_or_default();
        getrandom::fill(salt).map_err(|e| Error::new(Kind::Write, "no random salt").caused_by(e))?;
        mask(&mut bytes, password)?;
    }
    let text = Zeroizing::new(base64_simd::STANDARD.encode_to_string(&bytes[..]));
    let what = if password.is_some() { "encrypted " } else { "" };
    Ok(Zeroizing::new(format!("untrusted comment: minisign {what}secret key\n{}\n", *text)))
}

fn wrong() -> Error {
    Error::password("the password of the signing key is wrong or missing")
}

fn put(bytes: &mut Bytes, range: Range<usize>, value: &[u8]) {
    if let Some(room) = bytes.get_mut(range) {
        room.copy_from_slice(value);
    }
}

/// Enciphers what is plain, and the other way round.
fn mask(bytes: &mut Bytes, password: &Password) -> Result<()> {
    let number = |range: Range<usize>| {
        bytes.get(range).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes).unwrap_or(u64::MAX)
    };
    let params = params(number(OPS), number(MEMORY)).ok_or_else(|| {
        Error::too_large("the signing key's file asks for more memory than any key of minisign does")
    })?;
    let salt = bytes.get(SALT).unwrap_or_default();
    let mut stream = Zeroizing::new([0; SECRET.end - SECRET.start]);
    scrypt::scrypt(password.bytes(), salt, &params, &mut *stream).map_err(|_| wrong())?;
    let secret = bytes.get_mut(SECRET).unwrap_or_default();
    secret.iter_mut().zip(stream.iter()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(())
}

/// What libsodium makes of limits for work and memory (`crypto_pwhash_scryptsalsa208sha256`).
fn params(ops: u64, memory: u64) -> Option<scrypt::Params> {
    const R: u32 = 8;
    let ops = ops.max(32768);
    let little = ops < memory / 32;
    let most = if little { ops / (u64::from(R) * 4) } else { memory / (u64::from(R) * 128) };
    let log_n = (1..63).find(|n| 1u64 << n > most / 2)?;
    let p = if little { 1 } else { u32::try_from(((ops / 4) >> log_n).min(0x3fff_ffff)).ok()? / R };
    let fits = memory <= MOST_MEMORY && (128 * u64::from(R)) << log_n <= MOST_MEMORY;
    fits.then(|| scrypt::Params::new(log_n, R, p).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_what_it_sealed() -> Result<()> {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().map_err(|_| wrong())?;
        let password = |text: &str| Password::new(text.as_bytes().to_vec());
        let file = seal(&pair.sk, Some(&password("one")))?;
        assert_eq!(open(&file, Some(&password("one")))?.keynum(), pair.sk.keynum());
        let kind = |p: Option<&Password>| open(&file, p).map_err(|e| e.kind()).err();
        assert_eq!(kind(Some(&password("two"))), Some(Kind::Password));
        assert_eq!(kind(None), Some(Kind::Password));
        // And the crate, which knows the format by itself.
        let theirs = minisign::SecretKeyBox::from_string(&file).map_err(|_| wrong())?;
        assert!(theirs.into_secret_key(Some("one".to_owned())).is_ok());
        let plain = seal(&pair.sk, None)?;
        assert_eq!(open(&plain, None)?.keynum(), pair.sk.keynum());
        assert_eq!(open("x\nAAAA\n", None).map_err(|e| e.kind()).err(), Some(Kind::Malformed));
        Ok(())
    }

    #[test]
    fn costs_are_bounded() {
        assert!(params(1 << 20, 1 << 25).is_some());
        // Minisign's own, made in C.
        assert!(params(33_554_432, 1_073_741_824).is_some());
        assert!(params(33_554_432, 1 << 32).is_none());
        assert!(params(u64::MAX, u64::MAX).is_none());
    }
}
