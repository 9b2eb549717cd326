//! The stash: a store's password in a file beside it, for programs that nobody types to.
//!
//! ```text
//! masked = (password ‖ 00 ‖ filler without zeros) ⊕ F5 in every byte, at least 129 bytes
//! form 1 = masked
//! form 2 = salt (32) ‖ SHA-256(01 ‖ salt) ‖ masked ⊕ a keystream made from the salt and a constant
//! ```
//!
//! Neither form depends on a machine or a user: whoever can read a stash has the password. Verified with
//! GSKit 8.0.60.5 in both directions.

use crate::context::Rng;
use crate::crypto::Hash;
use crate::error::{Error, Result};
use crate::model::Password;
use crate::place::Source;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How a stash hides the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The classic one, which every GSKit reads.
    One,
    /// What current GSKit writes.
    Two,
}

/// What a stash has at least behind its mask: 128 bytes and a zero.
const LEAST: usize = 129;
/// More than any stash has.
const MOST: usize = 64 << 10;
const MASK: u8 = 0xf5;
const SALT: usize = 32;
const HEAD: usize = 64;
/// On average 256 rounds are needed; this many are needed one time in 10^17.
const MOST_ROUNDS: usize = 10_000;

/// The password in a stash file, whose bytes are wiped: they hold it all but in the clear.
pub(crate) fn read_from(stash: &Source) -> Result<Password> {
    let bytes = stash.bytes()?;
    stash.wipe_on_drop();
    read(bytes)
}

/// The password in a stash. `Password` errors: it holds none that could be used.
pub fn read(stash: &[u8]) -> Result<Password> {
    if stash.len() > MOST {
        return Err(bad("is too long"));
    }
    let masked = match form_of(stash) {
        Form::One => stash,
        Form::Two => stash.get(HEAD..).unwrap_or_default(),
    };
    if masked.len() < LEAST {
        return Err(bad("is too short"));
    }
    let mut plain = Zeroizing::new(masked.to_vec());
    if let (Form::Two, Some(head)) = (form_of(stash), stash.first_chunk::<HEAD>()) {
        apply_keystream(head, &mut plain)?;
    }
    plain.iter_mut().for_each(|b| *b ^= MASK);
    let end = plain.iter().position(|b| *b == 0).ok_or_else(|| bad("holds no password"))?;
    // GSKit refuses a further zero as well; only right after the first it lets one pass.
    if plain.iter().skip(end + 2).any(|b| *b == 0) {
        return Err(bad("is damaged"));
    }
    Ok(Password::new(plain.get(..end).unwrap_or_default().to_vec()))
}

/// The form of a stash, by its content: by length they can't be told apart.
pub fn form_of(stash: &[u8]) -> Form {
    match stash.first_chunk::<HEAD>() {
        Some(head) if head[SALT..] == check(&head[..SALT])[..] => Form::Two,
        _ => Form::One,
    }
}

/// A stash of `password`, which is neither empty nor holds a zero byte.
pub fn write(password: &Password, form: Form, rng: &Rng) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = password.bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Error::refused("a stash can't hold an empty password, nor one with a zero byte"));
    }
    let head = match form {
        Form::One => 0,
        Form::Two => HEAD,
    };
    let len = LEAST.max(bytes.len() + 1);
    let mut out = Zeroizing::new(vec![0; head + len]);
    let (before, masked) = out.split_at_mut(head);
    fill_without_zeros(masked, rng)?;
    masked.iter_mut().zip(bytes.iter().chain(&[0])).for_each(|(m, b)| *m = *b);
    masked.iter_mut().for_each(|b| *b ^= MASK);
    if let Some(before) = before.first_chunk_mut::<HEAD>() {
        loop {
            rng.fill(&mut before[..SALT])?;
            let check = check(&before[..SALT]);
            before[SALT..].copy_from_slice(&check);
            // A salt that asks for too many rounds is as rare as can be, but is not written.
            if apply_keystream(before, masked).is_ok() {
                break;
            }
        }
    }
    Ok(out)
}

/// Random bytes that are no zeros.
pub(super) fn fill_without_zeros(out: &mut [u8], rng: &Rng) -> Result<()> {
    rng.fill(out)?;
    for byte in out.iter_mut() {
        while *byte == 0 {
            rng.fill(std::slice::from_mut(byte))?;
        }
    }
    Ok(())
}

fn check(salt: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix([1]).chain_update(salt).finalize().into()
}

/// Adds the keystream of form 2. Each block is an HMAC over all blocks before it, so the work grows with
/// the square of the length, which [`MOST`] bounds.
fn apply_keystream(head: &[u8; HEAD], data: &mut [u8]) -> Result<()> {
    let mut s: [u8; 32] = Sha256::digest(head).into();
    let mut rounds = 0;
    // At least once, whatever it begins with: so GSKit does it, and one salt in 256 shows it.
    loop {
        rounds += 1;
        if rounds > MOST_ROUNDS {
            return Err(bad("asks for too much work"));
        }
        s = Sha256::digest(s).into();
        if s[8] == 3 {
            break;
        }
    }
    for _ in 0..64 {
        s = Sha256::digest(s).into();
    }
    let seed = Hash::Sha256.hmac(&s, CONSTANT);
    let mut history = Zeroizing::new(Hash::Sha256.hmac(&seed, &[1, 1, 2, 3, 5, 8]));
    let mut stream = Zeroizing::new(Vec::with_capacity(data.len() + 32));
    while stream.len() < data.len() {
        let block = Zeroizing::new(Hash::Sha256.hmac(&seed, &history));
        stream.extend_from_slice(&block);
        // The whole keystream so far goes before all that was hashed before.
        history = Zeroizing::new([&stream[..], &history[..]].concat());
    }
    data.iter_mut().zip(stream.iter()).for_each(|(d, s)| *d ^= s);
    Ok(())
}

fn bad(what: &str) -> Error {
    Error::password(format!("the stash {what}"))
}

/// These characters, not the bytes they spell.
const CONSTANT: &[u8; 128] = b"13EC6D5C885056915AB35FAD2BDDF39F40D7C57B8B4D28F66B61B75F391446FD\
                               A96751174DBD9713D02E0B38732E763501DBBB85EC60E437929ED2AA8981B36B";
