//! JKS and JCEKS, the key stores of Java: one container, two formats.
//!
//! All integers are big-endian; text is a `u16` length and Java's modified UTF-8 ([`mutf8`]).
//!
//! | part | bytes |
//! |---|---|
//! | magic | `FE ED FE ED` (JKS) or `CE CE CE CE` (JCEKS) |
//! | version | `u32`: 1 or 2 |
//! | count of entries | `u32` |
//! | entry: private key | `u32` 1; label; `i64` date; `u32` length, protected key; `u32` count, certificates, leaf first |
//! | entry: certificate | `u32` 2; label; `i64` date; certificate |
//! | entry: secret key (JCEKS) | `u32` 3; label; `i64` date; Java object stream, without a length ([`serial`]) |
//! | a certificate | version 2: type as text (`X.509`); `u32` length, DER. Version 1: without the type |
//! | digest | SHA-1 of password, a constant, and all before it ([`protect`]) |
//!
//! Dates are milliseconds since 1970. The store's password proves the digest; it enciphers nothing. Each
//! key has a password of its own, by habit the same. Java's words: alias (our label), trusted certificate
//! entry (our certificate on its own), key entry.
//!
//! Sources: the JDK's `sun.security.provider.JavaKeyStore` and `com.sun.crypto.provider.JceKeyStore`, as
//! JDK 11, 17 and 25 write and read them; verified with their files in both directions.

mod decode;
mod encode;
mod layout;
mod mutf8;
mod protect;
mod serial;
#[cfg(test)]
mod tests;

use crate::context::Ctx;
use crate::error::Result;
use crate::format::{Carries, Format, Labels, Match, Opt, PasswordUse, TrustRange, lower_case};
use crate::model::{Entry, Item, ItemKind, Loss, Secret, Store};
use crate::place::{Probe, Source, Staging};
use layout::{JCEKS, JKS, Variant};

/// Java KeyStore.
pub struct Jks;

/// Java's store with secret keys and iterated key protection.
pub struct Jceks;

impl Format for Jks {
    fn name(&self) -> &'static str {
        JKS.name
    }

    fn title(&self) -> &'static str {
        "Java KeyStore"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["jks"]
    }

    fn carries(&self) -> Carries {
        carries(&[ItemKind::Key, ItemKind::Cert])
    }

    fn keeps(&self, format: &str) -> bool {
        format == layout::FACTS
    }

    fn folds_labels(&self) -> bool {
        true
    }

    fn own_key_passwords(&self) -> bool {
        true
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        detect(&JKS, probe)
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        decode::decode(&JKS, from.bytes()?, ctx)
    }

    fn write(
        &self,
        store: &Store,
        _base: Option<&Source>,
        to: &mut Staging,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        encode::encode(&JKS, store, to, ctx)
    }
}

impl Format for Jceks {
    fn name(&self) -> &'static str {
        JCEKS.name
    }

    fn title(&self) -> &'static str {
        "Java KeyStore with secret keys (JCE)"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["jceks"]
    }

    fn carries(&self) -> Carries {
        carries(&[ItemKind::Key, ItemKind::Cert, ItemKind::Secret])
    }

    fn options(&self) -> &'static [Opt] {
        &[Opt {
            name: encode::ITERATIONS_OPTION,
            values: &[],
            value_name: "COUNT",
            default: "200000",
            help: "rounds of key derivation around each key, from 10000 to 5000000",
        }]
    }

    fn keeps(&self, format: &str) -> bool {
        format == layout::FACTS
    }

    fn folds_labels(&self) -> bool {
        true
    }

    fn own_key_passwords(&self) -> bool {
        true
    }

    fn cannot_hold(&self, entry: &Entry) -> Option<String> {
        let nameless = |k: &Secret| k.opened().is_some_and(|k| k.algorithm.is_none());
        match &entry.item {
            Item::Symmetric(key) if nameless(key) => {
                Some("a secret key without the name of its algorithm is no key to Java".to_owned())
            }
            // JDK 17: the store loads, but `keytool -list` dies of it and shows no entry. In a JKS it lives.
            Item::Key { chain, .. } if chain.is_empty() => {
                Some("keytool can't list a jceks that holds a key without a certificate; jks can".to_owned())
            }
            _ => None,
        }
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        detect(&JCEKS, probe)
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        decode::decode(&JCEKS, from.bytes()?, ctx)
    }

    fn write(
        &self,
        store: &Store,
        _base: Option<&Source>,
        to: &mut Staging,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        encode::encode(&JCEKS, store, to, ctx)
    }
}

fn carries(items: &'static [ItemKind]) -> Carries {
    Carries {
        items,
        labels: Labels::Unique(lower_case),
        many: true,
        trust: TrustRange::AlwaysAnchor,
        password: PasswordUse::Always,
        swap: true,
    }
}

fn detect(variant: &Variant, probe: &Probe<'_>) -> Match {
    if probe.head.starts_with(&variant.magic) { Match::Yes } else { Match::No }
}
