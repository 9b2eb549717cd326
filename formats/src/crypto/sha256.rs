//! The long part of key derivations with SHA-256, which nearly every store of today asks for: thousands of digests
//! of one digest each. Such a message is one block whose padding never changes, so all that is left to do is the
//! compression (FIPS 180-4 section 6.2.2, RustCrypto's); padding it anew each time costs a quarter more.

use super::Hash;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// FIPS 180-4 section 5.3.3.
const START: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const SIZE: usize = 32;
const BLOCK: usize = 64;
type State = [u32; 8];

/// `digest` becomes its own digest, so many times over.
pub(super) fn again(digest: &mut [u8; SIZE], times: u32) {
    let mut block = Padded::new(digest, SIZE);
    for _ in 0..times {
        block.compress(START);
    }
    *digest = *block.message();
}

/// PBKDF2 (RFC 8018 section 5.2) with HMAC-SHA-256.
pub(super) fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32, out: &mut [u8]) {
    let (inner, outer) = (keyed(password, 0x36), keyed(password, 0x5c));
    for (number, out) in (1u32..).zip(out.chunks_mut(SIZE)) {
        let mut sum = Zeroizing::new([0; SIZE]);
        let first = Hash::Sha256.hmac(password, &[salt, &number.to_be_bytes()].concat());
        sum.iter_mut().zip(first).for_each(|(s, f)| *s = f);
        // The key's block stands before the message.
        let mut block = Padded::new(&sum, BLOCK + SIZE);
        for _ in 1..rounds {
            block.compress(*inner);
            block.compress(*outer);
            sum.iter_mut().zip(block.message()).for_each(|(s, b)| *s ^= b);
        }
        out.iter_mut().zip(&*sum).for_each(|(o, s)| *o = *s);
    }
}

/// The state behind the block of HMAC's key (RFC 2104).
fn keyed(key: &[u8], pad: u8) -> Zeroizing<State> {
    let mut block = Zeroizing::new([0; BLOCK]);
    match block.get_mut(..key.len()) {
        Some(room) => room.copy_from_slice(key),
        None => block.iter_mut().zip(Sha256::digest(key)).for_each(|(b, k)| *b = k),
    }
    block.iter_mut().for_each(|b| *b ^= pad);
    let mut state = Zeroizing::new(START);
    compress256(&mut state, &[*block]);
    state
}

/// A block that is the end of a message: 32 bytes of it, and the padding.
struct Padded([u8; BLOCK]);

impl Padded {
    /// `len`: of the whole message.
    fn new(message: &[u8; SIZE], len: usize) -> Padded {
        let mut block = [0; BLOCK];
        let (head, tail) = block.split_at_mut(SIZE);
        head.copy_from_slice(message);
        tail[0] = 0x80;
        tail[SIZE - 8..].copy_from_slice(&(8 * len as u64).to_be_bytes());
        Padded(block)
    }

    fn message(&self) -> &[u8; SIZE] {
        self.0.first_chunk().unwrap_or(&[0; SIZE])
    }

    /// The digest of the message, before which `state` was reached, becomes the next message.
    fn compress(&mut self, mut state: State) {
        compress256(&mut state, std::slice::from_ref(&self.0));
        let (words, _) = self.0.as_chunks_mut();
        words.iter_mut().zip(state).for_each(|(word, s)| *word = s.to_be_bytes());
    }
}

impl Drop for Padded {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_gives_what_the_usual_one_gives() {
        let mut digest = [7; SIZE];
        let mut usual = digest.to_vec();
        for times in [0, 1, 5] {
            again(&mut digest, times);
            (0..times).for_each(|_| usual = Sha256::digest(&usual).to_vec());
            assert_eq!(digest.to_vec(), usual, "{times}");
        }
        for password in [0, 1, 63, 64, 65, 200].map(|len| vec![b'p'; len]) {
            for (rounds, len) in [(1, 32), (2, 1), (3, 100)] {
                let (mut ours, mut theirs) = (vec![0; len], vec![0; len]);
                Hash::Sha256.pbkdf2(&password, b"salt", rounds, &mut ours);
                pbkdf2::pbkdf2_hmac::<Sha256>(&password, b"salt", rounds, &mut theirs);
                assert_eq!(ours, theirs, "{} {rounds} {len}", password.len());
            }
        }
    }
}
