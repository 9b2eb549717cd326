//! PKCS#12 (`.p12`, `.pfx`): RFC 7292, with PBES2 of RFC 8018 and PBMAC1 of RFC 9579.
//!
//! ```text
//! PFX
//! ├ authSafe: OCTET STRING of AuthenticatedSafe, over which the MAC goes        decode
//! │  ├ encryptedData → SafeContents: certificates, CRLs                         bag
//! │  └ data          → SafeContents: keys and secrets, each enciphered          bag, seal
//! └ macData                                                                     mac
//! ```
//! Reading takes BER at every level, for NSS writes indefinite lengths even inside what the MAC covers.
//! The way inwards is [`decode`] (bytes to bags), then [`pair`] (bags to entries, with [`chain`]); the way
//! outwards [`encode`], with the algorithms of a [`profile`].
//!
//! How it maps to the model:
//!
//! | PKCS#12 | model |
//! |---|---|
//! | key bag and the certificate of the same public key | `Key` with its chain |
//! | certificate with Java's trustedKeyUsage | `Cert`, an anchor for the usages that stand there |
//! | certificate without it, in no chain | `Cert`, trust unknown |
//! | certificate without it, in a chain | no entry of its own |
//! | secretBag | `Symmetric`; of another type than Java's `Other` |
//! | crlBag | `Crl` |
//! | sdsiCertificate, unknown bags | `Other`, a SafeBag without its attributes |
//! | friendlyName, localKeyID | label; made anew, but for what an edit doesn't touch |
//! | other attributes | `Attr`, named by OID, the value a SET's DER |
//!
//! `authenticated` is true only where a MAC was there and fits: a store without MAC, or read without a
//! password, has proved nothing.

mod bag;
mod chain;
mod decode;
mod encode;
mod mac;
mod names;
mod pair;
mod piece;
mod profile;
mod seal;
#[cfg(test)]
mod tests;
mod trust;

use crate::context::Ctx;
use crate::error::Result;
use crate::fact::Fact;
use crate::format::{Carries, Format, Labels, Match, Opt, PasswordUse, TrustRange, lower_case};
use crate::model::{Entry, Item, ItemKind, Loss, Secret, Store};
use crate::place::{Probe, Source, Staging};
use std::path::{Path, PathBuf};

/// The format's name.
const NAME: &str = "p12";

/// PKCS#12.
pub struct P12;

impl Format for P12 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "PKCS#12"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["p12", "pfx", "pkcs12"]
    }

    fn carries(&self) -> Carries {
        Carries {
            items: &[ItemKind::Key, ItemKind::Cert, ItemKind::Secret, ItemKind::Crl, ItemKind::Other],
            labels: Labels::Unique(lower_case),
            many: true,
            trust: TrustRange::OneBit,
            password: PasswordUse::WithKeys,
            swap: true,
        }
    }

    /// Java numbers what has no name, and knows it by that.
    fn holds_unnamed(&self) -> bool {
        true
    }

    fn options(&self) -> &'static [Opt] {
        profile::OPTIONS
    }

    /// IBM MQ's, from 9.3 on.
    fn stash_file(&self, store: &Path) -> Option<PathBuf> {
        Some(store.with_extension("sth")).filter(|stash| stash != store)
    }

    fn cannot_hold(&self, entry: &Entry) -> Option<String> {
        let nameless = |k: &Secret| k.opened().is_some_and(|k| k.algorithm.is_none());
        matches!(&entry.item, Item::Symmetric(key) if nameless(key))
            .then(|| "a secret key without the name of its algorithm is no key to Java".to_owned())
    }

    fn keep_unsaid(&self, entry: &mut Entry) {
        if matches!(entry.item, Item::Cert(_)) && entry.trust.is_none() {
            entry.attrs.push(trust::unmarked());
        }
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        if is_pfx(probe.head) { Match::Yes } else { Match::No }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        Ok(pair::store(decode::decode(from.bytes()?, ctx)?, ctx))
    }

    fn examine(&self, from: &Source, store: &Store, _: &Ctx<'_>) -> Vec<Fact> {
        let mut facts = vec![Fact::OnePassword];
        if let Ok(Ok(parts)) = from.bytes().map(decode::outer_protection) {
            facts.extend(parts.into_iter().map(|(what, how)| Fact::Protected { what, how }));
        }
        // Java shows a lone certificate only with its own attribute on it.
        let hidden = store.entries.iter().filter(|e| matches!(e.item, Item::Cert(_)) && e.trust.is_none());
        facts.extend(hidden.map(|e| Fact::HiddenFromJava(e.label_text().into_owned())));
        facts
    }

    fn write(
        &self,
        store: &Store,
        base: Option<&Source>,
        to: &mut Staging,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        encode::encode(store, base, to, ctx)
    }
}

/// A SEQUENCE, in whatever form of length, that begins with INTEGER 3.
fn is_pfx(head: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = head else { return false };
    let more = if *length > 0x80 { usize::from(*length & 0x7f) } else { 0 };
    rest.get(more..).is_some_and(|content| content.starts_with(&[0x02, 0x01, 0x03, 0x30]))
}
