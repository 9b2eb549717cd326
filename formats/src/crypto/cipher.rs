//! Ciphers as the stores use them: CBC with PKCS#7 padding, and RC4.

use aes::{Aes128, Aes192, Aes256};
use camellia::{Camellia128, Camellia192, Camellia256};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::common::InnerUser;
use cbc::cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit,
    StreamCipher,
};
use cbc::{Decryptor, Encryptor};
use des::{Des, TdesEde2, TdesEde3};
use rc2::Rc2;
use rc4::Rc4;
use zeroize::Zeroizing;

/// A cipher, without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as everywhere
pub enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    Camellia128,
    Camellia192,
    Camellia256,
    Des,
    /// Two-key triple DES.
    TdesEde2,
    TdesEde3,
    Rc2 {
        /// Bytes of the key.
        key_len: usize,
        /// Effective bits of it (RFC 2268 section 2).
        bits: usize,
    },
    Rc4 {
        /// Bytes of the key.
        key_len: usize,
    },
}

/// Runs `$body` with `$c` the keyed block cipher; RC4 is not one.
macro_rules! keyed {
    ($cipher:expr, $key:expr, $c:ident => $body:expr, $rc4:expr) => {
        match $cipher {
            Cipher::Aes128 => Aes128::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::Aes192 => Aes192::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::Aes256 => Aes256::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::Camellia128 => Camellia128::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::Camellia192 => Camellia192::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::Camellia256 => Camellia256::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::Des => Des::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::TdesEde2 => TdesEde2::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::TdesEde3 => TdesEde3::new_from_slice($key).ok().and_then(|$c| $body),
            Cipher::Rc2 { bits, .. } => rc2($key, bits).and_then(|$c| $body),
            Cipher::Rc4 { .. } => $rc4,
        }
    };
}

impl Cipher {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Cipher::Aes128 => "AES-128",
            Cipher::Aes192 => "AES-192",
            Cipher::Aes256 => "AES-256",
            Cipher::Camellia128 => "Camellia-128",
            Cipher::Camellia192 => "Camellia-192",
            Cipher::Camellia256 => "Camellia-256",
            Cipher::Des => "DES",
            Cipher::TdesEde2 => "two-key triple DES",
            Cipher::TdesEde3 => "triple DES",
            Cipher::Rc2 { bits: ..=64, .. } => "40-bit RC2",
            Cipher::Rc2 { .. } => "RC2",
            Cipher::Rc4 { key_len: ..=8 } => "40-bit RC4",
            Cipher::Rc4 { .. } => "RC4",
        }
    }

    /// Why it counts as weak today, if it does.
    pub fn weakness(self) -> Option<&'static str> {
        match self {
            Cipher::Des => Some("DES has keys of 56 bits"),
            Cipher::TdesEde2 | Cipher::TdesEde3 => Some(super::pbe::TDES),
            Cipher::Rc2 { .. } => Some("RC2 is broken or of 40 bits"),
            Cipher::Rc4 { .. } => Some("RC4 is broken"),
            _ => None,
        }
    }

    /// Bytes of a key.
    pub fn key_len(self) -> usize {
        match self {
            Cipher::Des => 8,
            Cipher::Aes128 | Cipher::Camellia128 | Cipher::TdesEde2 => 16,
            Cipher::Aes192 | Cipher::Camellia192 | Cipher::TdesEde3 => 24,
            Cipher::Aes256 | Cipher::Camellia256 => 32,
            Cipher::Rc2 { key_len, .. } | Cipher::Rc4 { key_len } => key_len,
        }
    }

    /// Bytes of an initial vector, which is a block; 0 for RC4.
    pub fn iv_len(self) -> usize {
        match self {
            Cipher::Rc4 { .. } => 0,
            Cipher::Des | Cipher::TdesEde2 | Cipher::TdesEde3 | Cipher::Rc2 { .. } => 8,
            _ => 16,
        }
    }

    /// Bytes that `plain` bytes become.
    pub fn sealed_len(self, plain: usize) -> usize {
        match self.iv_len() {
            0 => plain,
            block => (plain / block + 1) * block,
        }
    }

    /// Deciphers and takes the padding off. `None` where key, vector or data have an impossible length
    /// or the padding is wrong, as after a wrong password.
    pub fn decrypt(self, key: &[u8], iv: &[u8], data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(vec![0; data.len()]);
        let len = self.decrypt_to(key, iv, data, &mut out)?;
        out.truncate(len);
        Some(out)
    }

    /// The same into `out`, which is as long as `data`; how many bytes it came to.
    pub fn decrypt_to(self, key: &[u8], iv: &[u8], data: &[u8], out: &mut [u8]) -> Option<usize> {
        keyed!(self, key, c => cbc_decrypt(c, iv, data, out), {
            let out = out.get_mut(..data.len())?;
            out.copy_from_slice(data);
            Rc4::new_from_slice(key).ok()?.apply_keystream(out);
            Some(data.len())
        })
    }

    /// Pads and enciphers the first `plain` bytes of `buffer`, which has room for
    /// [`Cipher::sealed_len`] bytes and is filled by it. `None` where a length doesn't fit.
    pub fn encrypt_in_place(self, key: &[u8], iv: &[u8], buffer: &mut [u8], plain: usize) -> Option<()> {
        self.start(key, iv)?.last(buffer, plain)
    }

    /// Begins to encipher something that comes in parts. `None` where a length doesn't fit.
    pub fn start(self, key: &[u8], iv: &[u8]) -> Option<Box<dyn Enciphering>> {
        keyed!(self, key, c => cbc_start(c, iv), {
            Some(Box::new(Rc4::new_from_slice(key).ok()?))
        })
    }
}

/// A cipher at work on something long.
pub trait Enciphering {
    /// Enciphers as many whole blocks as `buffer` begins with, in place; how many bytes those are.
    fn blocks(&mut self, buffer: &mut [u8]) -> usize;

    /// Pads and enciphers the first `plain` bytes of `buffer`, which are the last of all, in place. `None`
    /// where the padding doesn't fit.
    fn last(self: Box<Self>, buffer: &mut [u8], plain: usize) -> Option<()>;
}

impl<C> Enciphering for Encryptor<C>
where
    C: BlockCipherEncrypt,
    Encryptor<C>: BlockModeEncrypt,
{
    fn blocks(&mut self, buffer: &mut [u8]) -> usize {
        let (blocks, rest) = Block::<Self>::slice_as_chunks_mut(buffer);
        let rest = rest.len();
        self.encrypt_blocks(blocks);
        buffer.len() - rest
    }

    fn last(self: Box<Self>, buffer: &mut [u8], plain: usize) -> Option<()> {
        self.encrypt_padded::<Pkcs7>(buffer, plain).ok().map(drop)
    }
}

impl Enciphering for Rc4 {
    fn blocks(&mut self, buffer: &mut [u8]) -> usize {
        self.apply_keystream(buffer);
        buffer.len()
    }

    fn last(mut self: Box<Self>, buffer: &mut [u8], _: usize) -> Option<()> {
        self.apply_keystream(buffer);
        Some(())
    }
}

fn cbc_start<C>(cipher: C, iv: &[u8]) -> Option<Box<dyn Enciphering>>
where
    C: BlockCipherEncrypt + 'static,
    Encryptor<C>: InnerUser<Inner = C> + InnerIvInit + BlockModeEncrypt,
{
    Some(Box::new(Encryptor::<C>::inner_iv_slice_init(cipher, iv).ok()?))
}

fn cbc_decrypt<C>(cipher: C, iv: &[u8], data: &[u8], out: &mut [u8]) -> Option<usize>
where
    C: BlockCipherDecrypt,
    Decryptor<C>: InnerUser<Inner = C> + InnerIvInit + BlockModeDecrypt,
{
    let mode = Decryptor::<C>::inner_iv_slice_init(cipher, iv).ok()?;
    mode.decrypt_padded_b2b::<Pkcs7>(data, out).ok().map(<[u8]>::len)
}

/// The crate indexes by both numbers, so they are checked here: RFC 2268 allows keys of 1 to 128 bytes
/// and 1 to 1024 effective bits.
fn rc2(key: &[u8], bits: usize) -> Option<Rc2> {
    ((1..=128).contains(&key.len()) && (1..=1024).contains(&bits))
        .then(|| Rc2::new_with_eff_key_len(key, bits))
}
