//! What a certificate is for, and so which extensions it gets.

use super::extension::{Extension, Extensions, KeyUsage, Usage};
use crate::asn1::oid;
use crate::crypto::public::spki_key_info;
use crate::error::{Error, Result};

/// A purpose with its usages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A TLS client.
    Client,
    /// A TLS server.
    Server,
    /// A certificate authority.
    Ca,
    /// A sender and recipient of IBM MQ's AMS.
    Ams,
}

impl Profile {
    /// Every profile: name, what it is, for help.
    pub const ALL: &'static [(&'static str, Profile, &'static str)] = &[
        ("client", Profile::Client, "TLS client: digitalSignature, clientAuth"),
        ("server", Profile::Server, "TLS server: digitalSignature, for RSA keyEncipherment, serverAuth"),
        ("ca", Profile::Ca, "certificate authority: keyCertSign, cRLSign"),
        (
            "ams",
            Profile::Ams,
            "IBM MQ AMS: signing and every encipherment that its policies want, emailProtection",
        ),
    ];

    /// By name.
    pub fn parse(text: &str) -> Option<Profile> {
        Self::ALL.iter().find(|(name, ..)| *name == text).map(|(_, p, _)| *p)
    }

    /// Puts in what the profile says of the key `spki` where `into` doesn't say it yet. `path` bounds how many
    /// CAs may follow a CA.
    pub fn apply(self, into: &mut Extensions, spki: &[u8], path: Option<u64>) -> Result<()> {
        let rsa = spki_key_info(spki).algorithm == "RSA";
        if self == Profile::Ams && !rsa {
            return Err(Error::refused("AMS needs an RSA key")
                .hint("make one with --key-type rsa:3072, or choose another --profile"));
        }
        use KeyUsage as K;
        let (usages, purposes): (&[K], &[&[u8]]) = match self {
            Profile::Client => (&[K::DigitalSignature], &[oid::CLIENT_AUTH]),
            Profile::Server if rsa => (&[K::DigitalSignature, K::KeyEncipherment], &[oid::SERVER_AUTH]),
            Profile::Server => (&[K::DigitalSignature], &[oid::SERVER_AUTH]),
            Profile::Ca => (&[K::KeyCertSign, K::CrlSign], &[]),
            Profile::Ams => {
                (&[K::DigitalSignature, K::KeyEncipherment, K::DataEncipherment], &[oid::EMAIL_PROTECTION])
            }
        };
        into.set(Extension::basic_constraints(self == Profile::Ca, path));
        if into.get(oid::KEY_USAGE).is_none() {
            into.set(Extension::key_usage(usages));
        }
        if into.get(oid::EXTENDED_KEY_USAGE).is_none() && !purposes.is_empty() {
            let purposes: Vec<Usage> = purposes.iter().map(|id| Usage(id.to_vec())).collect();
            into.set(Extension::extended_key_usage(&purposes));
        }
        Ok(())
    }
}
