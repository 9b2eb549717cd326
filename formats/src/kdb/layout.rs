//! The header that all three databases of a set share, and its limits.

use crate::error::{Error, Result};

/// The first two bytes.
pub const MAGIC: [u8; 2] = *b"7H";
/// The part of the header that comes before the two values, the same in every format.
pub const FIXED: usize = 48;
/// A slot's state, number and record length, before the record.
pub const SLOT_HEAD: usize = 12;
/// The slot size of every file without a large record.
pub const SLOT: usize = 5000;
/// Larger records grow all slots to a multiple of this.
pub const SLOT_STEP: usize = 1000;
/// The state of a slot that counts no more; its old content is still there.
pub const ERASED: u32 = 2;
/// The state of a slot that counts.
pub const IN_USE: u32 = 1;

/// No record fits into less.
const SLOT_LEAST: usize = 32;
/// GSKit has no limit; no certificate needs this.
const SLOT_MOST: usize = 16 << 20;

/// The format's name, also for facts.
pub const NAME: &str = "kdb";
/// Fact of a store: which of the three container formats it has.
pub const FORMAT_FACT: &str = "format";
/// Fact of a store: when its password expires, in decimal seconds since 1970.
pub const EXPIRES_FACT: &str = "password-expires";
/// Fact of an entry or of a chain's certificate whose trusted bit is off.
pub const UNTRUSTED: &str = "untrusted";

/// Which database of a set a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Certificates and key pairs, `.kdb`.
    Keys,
    /// Requests with their keys, `.rdb`.
    Requests,
    /// Revocation lists, `.crl`; never seen with content.
    Crls,
}

impl Role {
    /// The type tag.
    pub const fn tag(self) -> &'static [u8; 8] {
        match self {
            Role::Keys => b"X509KEY\0",
            Role::Requests => b"X509KYP\0",
            Role::Crls => b"X509CRL\0",
        }
    }

    /// The minor number that GSKit writes.
    pub const fn minor(self) -> u8 {
        match self {
            Role::Keys => 2,
            Role::Requests | Role::Crls => 1,
        }
    }
}

/// The container's format: which hash protects it, and how keys are wrapped in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MD5 and 3DES.
    V3,
    /// HMAC-SHA-1 and 3DES.
    V4,
    /// HMAC-SHA-384 and PBES2 with AES-256.
    V6,
}

impl Version {
    /// By the number in the header.
    pub fn by_number(number: u8) -> Option<Version> {
        [Version::V3, Version::V4, Version::V6].into_iter().find(|v| v.number() == number)
    }

    /// The number in the header.
    pub const fn number(self) -> u8 {
        match self {
            Version::V3 => 3,
            Version::V4 => 4,
            Version::V6 => 6,
        }
    }

    /// Bytes of the check value and of the integrity value.
    pub const fn value_len(self) -> usize {
        match self {
            Version::V3 => 16,
            Version::V4 => 20,
            Version::V6 => 48,
        }
    }

    /// Bytes before the first slot.
    pub const fn header_len(self) -> usize {
        FIXED + 2 * self.value_len()
    }
}

/// The fixed part of the header.
#[derive(Clone, Debug)]
pub struct Header {
    /// Its bytes, which the check value covers.
    pub raw: [u8; FIXED],
    /// The container's format.
    pub version: Version,
    /// Seconds since 1970, 0: never.
    pub expires: u32,
    /// Bytes of each slot.
    pub slot: usize,
    /// Slots, erased ones too.
    pub count: usize,
}

impl Header {
    /// Reads and checks the fixed part of a file of `size` bytes.
    pub fn parse(raw: &[u8; FIXED], role: Role, size: u64) -> Result<Header> {
        if raw[..2] != MAGIC {
            return Err(foreign("it begins otherwise").at(0));
        }
        let version = Version::by_number(raw[2])
            .ok_or_else(|| Error::unsupported(format!("a key database of format {}", raw[2])).at(2))?;
        if !matches!(raw[3], 1 | 2) {
            return Err(foreign("its minor number is neither 1 nor 2").at(3));
        }
        if raw[8..16] != role.tag()[..] {
            let other = [Role::Requests, Role::Crls].iter().any(|r| raw[8..16] == r.tag()[..]);
            return Err(match other && role == Role::Keys {
                true => foreign("it is the companion of one").at(8).hint("name the .kdb itself"),
                false => foreign("its type is another").at(8),
            });
        }
        let header = Header {
            raw: *raw,
            version,
            expires: word(raw, 4),
            slot: word(raw, 16) as usize,
            count: word(raw, 20) as usize,
        };
        header.check_size(size)?;
        Ok(header)
    }

    /// Nothing is allocated before the numbers are known to be true of the file.
    fn check_size(&self, size: u64) -> Result<()> {
        if !(SLOT_LEAST..=SLOT_MOST).contains(&self.slot) {
            return Err(Error::malformed(format!("slots of {} bytes", self.slot)).at(16));
        }
        // Two 32-bit numbers: the product fits.
        let whole = self.version.header_len() as u64 + self.slot as u64 * self.count as u64;
        if size < whole {
            let message = format!("truncated: {whole} bytes are due, {size} are there");
            return Err(Error::malformed(message).at(size));
        }
        if size > whole {
            return Err(Error::malformed(format!("{} bytes after the last slot", size - whole)).at(whole));
        }
        Ok(())
    }

    /// The fixed part of a new file. The salt is 23 bytes without a zero, and a zero.
    pub fn new(
        version: Version,
        role: Role,
        expires: u32,
        slot: usize,
        count: usize,
        salt: [u8; 23],
    ) -> Result<Self> {
        let number = |n: usize| {
            u32::try_from(n)
                .map_err(|_| Error::too_large("more slots or larger ones than a key database holds"))
        };
        let mut raw = [0; FIXED];
        raw[..2].copy_from_slice(&MAGIC);
        raw[2] = version.number();
        raw[3] = role.minor();
        raw[4..8].copy_from_slice(&expires.to_be_bytes());
        raw[8..16].copy_from_slice(role.tag());
        raw[16..20].copy_from_slice(&number(slot)?.to_be_bytes());
        raw[20..24].copy_from_slice(&number(count)?.to_be_bytes());
        raw[24..47].copy_from_slice(&salt);
        Ok(Header { raw, version, expires, slot, count })
    }
}

fn foreign(why: &str) -> Error {
    Error::malformed(format!("not a key database: {why}"))
}

fn word(raw: &[u8; FIXED], at: usize) -> u32 {
    u32::from_be_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
}
