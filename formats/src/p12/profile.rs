//! Profiles: which algorithms a file is written with, for which readers.

use super::decode::{Protection, protection};
use super::mac::Maker;
use crate::context::Ctx;
use crate::crypto::pbe::{ROUNDS, Recipe};
use crate::crypto::{Cipher, Hash};
use crate::error::{Error, Result};
use crate::format::Opt;
use crate::model::Password;
use crate::place::Source;

/// What a file is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub name: &'static str,
    pub certs: Recipe,
    pub keys: Recipe,
    mac: MacKind,
    /// Rounds of each derivation.
    pub rounds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MacKind {
    Classic(Hash),
    Pbmac1(Hash),
}

/// `--p12-profile` and `--p12-iterations`.
pub(super) const OPTIONS: &[Opt] = &[
    Opt {
        name: "p12-profile",
        values: &[
            ("modern", "AES-256 and SHA-256: Java since 8u301, OpenSSL, NSS, Windows since 2019, GSKit"),
            ("java8", "triple DES and SHA-1, which any Java reads"),
            ("windows", "triple DES and SHA-1, 2,000 rounds: Windows before Server 2019"),
            ("gskit", "triple DES and SHA-1, 1,024 rounds: what GSKit itself writes"),
            ("pbmac1", "like modern with the MAC of RFC 9579: OpenSSL since 3.4"),
            ("legacy", "40 bit RC2 and triple DES: the default of decades, no protection of certificates"),
        ],
        value_name: "PROFILE",
        default: "modern, or what the store has that is rewritten",
        help: "algorithms of a PKCS#12 file",
    },
    Opt {
        name: "p12-iterations",
        values: &[],
        value_name: "N",
        default: "the profile's, 10,000 for modern; never fewer than the store has that is rewritten",
        help: "rounds of key derivation in a PKCS#12 file",
    },
];

impl Profile {
    /// From the options; without them what `base`, the store that is rewritten, has.
    pub fn choose(ctx: &Ctx<'_>, base: Option<&Source>) -> Result<Self> {
        let found = base.and_then(|b| b.bytes().and_then(protection).ok());
        let mut profile = match (ctx.options.get("p12-profile"), &found) {
            (Some(name), _) => by_name(name)?,
            (None, Some(found)) => like(found),
            (None, None) => MODERN,
        };
        match ctx.options.get("p12-iterations") {
            Some(text) => profile.rounds = iterations(text)?,
            None => profile.rounds = found.map_or(0, |f| f.rounds).max(profile.rounds),
        }
        Ok(profile)
    }

    /// The MAC, keyed.
    pub fn mac(&self, password: &Password, ctx: &Ctx<'_>) -> Result<Maker> {
        let session = ctx.session;
        // As long as the JDK's; the old readers are used to eight bytes.
        let salt = session.rng.bytes::<20>()?;
        let salt = if matches!(self.certs, Recipe::Pkcs12 { .. }) { &salt[..8] } else { &salt };
        match self.mac {
            MacKind::Classic(hash) => Maker::classic(hash, salt, self.rounds, password, session),
            MacKind::Pbmac1(hash) => Maker::pbmac1(hash, salt, self.rounds, password, session),
        }
    }
}

fn by_name(name: &str) -> Result<Profile> {
    PROFILES.iter().copied().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<_> = PROFILES.iter().map(|p| p.name).collect();
        Error::unsupported(format!("no PKCS#12 profile is called \"{name}\""))
            .hint(format!("profiles: {}", names.join(", ")))
    })
}

/// The profile of a file that we did not necessarily write: whoever reads it must be able to read its
/// successor.
fn like(found: &Protection) -> Profile {
    let rc2 = found.ciphers.contains(&Cipher::Rc2 { key_len: 5, bits: 40 });
    match found {
        _ if rc2 => LEGACY,
        _ if !found.ciphers.is_empty() => JAVA8,
        Protection { pbmac1: true, .. } => PBMAC1,
        _ => MODERN,
    }
}

fn iterations(text: &str) -> Result<u64> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        Error::unsupported(format!("\"{text}\" is no number of rounds")).hint("give a whole number above 0")
    })
}

const MODERN: Profile = Profile {
    name: "modern",
    certs: Recipe::AES256_SHA256,
    keys: Recipe::AES256_SHA256,
    mac: MacKind::Classic(Hash::Sha256),
    rounds: ROUNDS,
};
const PBMAC1: Profile = Profile { name: "pbmac1", mac: MacKind::Pbmac1(Hash::Sha256), ..MODERN };
const JAVA8: Profile = Profile {
    name: "java8",
    certs: Recipe::TRIPLE_DES,
    keys: Recipe::TRIPLE_DES,
    mac: MacKind::Classic(Hash::Sha1),
    rounds: ROUNDS,
};
const WINDOWS: Profile = Profile { name: "windows", rounds: 2_000, ..JAVA8 };
const GSKIT: Profile = Profile { name: "gskit", rounds: 1_024, ..JAVA8 };
const LEGACY: Profile = Profile { name: "legacy", certs: Recipe::RC2_40, rounds: 2_048, ..JAVA8 };

/// All of them.
pub(super) const PROFILES: &[Profile] = &[MODERN, JAVA8, WINDOWS, GSKIT, PBMAC1, LEGACY];
