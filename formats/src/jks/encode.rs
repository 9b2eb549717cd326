//! A store into bytes, piece by piece: no second copy of it stands in memory.

use super::layout::*;
use super::{mutf8, protect};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::lower_case;
use crate::model::{Der, Entry, Item, KeyMaterial, Link, Loss, LossKind, Password, Secret, Store, Trust};
use crate::place::{StagedFile, Staging};
use foldhash::fast::RandomState;
use sha1::{Digest, Sha1};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// The option that sets the rounds around each key of a JCEKS.
pub const ITERATIONS_OPTION: &str = "jceks-iterations";

/// Writes `store`, in its order; returns what the format can't say.
pub fn encode(variant: &Variant, store: &Store, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
    let name = variant.name;
    let Some(password) = ctx.secrets.store()? else {
        return Err(Error::password(format!("a {name} can't be written without a password")));
    };
    let mut losses = Vec::new();
    // All that can be refused without deriving keys is refused before the first byte.
    let labels = labels(store, &mut losses)?;
    let count = length(store.entries.len(), "the store")?;
    let mut encoder = Encoder {
        variant,
        store_password: &password,
        iterations: iterations(ctx)?,
        ctx,
        out: Out { file: to.file()?, digest: protect::store_digest(&password)? },
        head: Vec::new(),
    };
    encoder.out.put(&[&variant.magic[..], &VERSION.to_be_bytes(), &count.to_be_bytes()].concat())?;
    for (entry, label) in store.entries.iter().zip(&labels) {
        encoder.entry(entry, label).map_err(|e| e.in_entry(entry.label_text()))?;
        losses.extend(loss_of(entry));
    }
    encoder.out.finish()?;
    Ok(losses)
}

/// The labels as they will stand in the file.
fn labels<'a>(store: &'a Store, losses: &mut Vec<Loss>) -> Result<Vec<Cow<'a, [u8]>>> {
    let mut out = Vec::with_capacity(store.entries.len());
    for entry in &store.entries {
        let label = label(entry, losses).map_err(|e| e.in_entry(entry.label_text()))?;
        out.push(label);
    }
    losses.extend(lowered(store));
    let mut seen = HashSet::with_capacity_and_hasher(out.len(), RandomState::default());
    for (entry, label) in store.entries.iter().zip(&out) {
        if !seen.insert(label) {
            return Err(Error::refused("another entry has the same label, as Java compares them")
                .in_entry(entry.label_text()));
        }
    }
    Ok(out)
}

/// One note for all labels whose case changes: a bundle has hundreds.
fn lowered(store: &Store) -> Option<Loss> {
    let mut changed = store
        .entries
        .iter()
        .filter_map(|e| e.label.as_ref()?.as_str())
        .filter(|text| lower_case(text) != **text);
    let first = changed.next()?;
    let detail = match changed.count() {
        0 => "the label is written in lower case, as Java has it".to_owned(),
        more => {
            let entries = if more == 1 { "entry" } else { "entries" };
            format!(
                "the labels of this and {more} other {entries} are written in lower case, as Java has them"
            )
        }
    };
    Some(Loss::new(LossKind::Note, first, detail))
}

fn label<'a>(entry: &'a Entry, losses: &mut Vec<Loss>) -> Result<Cow<'a, [u8]>> {
    let Some(label) = &entry.label else {
        return Err(Error::refused("an entry without a label"));
    };
    let bytes = match label.as_str() {
        Some(text) => match lower_case(text) {
            Cow::Borrowed(text) => mutf8::encode(text),
            Cow::Owned(lower) => Cow::Owned(mutf8::encode(&lower).into_owned()),
        },
        // Half of a surrogate pair: no Unicode text, but Java's.
        None if mutf8::is_java(label.bytes()) => Cow::Borrowed(label.bytes()),
        None => {
            let text = label.text();
            let detail = "the label is not UTF-8; what can't be read of it is replaced";
            losses.push(Loss::new(LossKind::Label, &*text, detail));
            Cow::Owned(mutf8::encode(&lower_case(&text)).into_owned())
        }
    };
    if u16::try_from(bytes.len()).is_err() {
        return Err(Error::too_large(format!(
            "the label takes {} bytes, more than 65535 don't fit",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// What Java can't say about an entry, or says too much.
fn loss_of(entry: &Entry) -> Option<Loss> {
    match (&entry.item, &entry.trust) {
        (Item::Cert(_), Some(trust)) if !trust.is_full_anchor() => {
            Some(Loss::new(LossKind::TrustRaised, entry.label_text(), raised(trust)))
        }
        (Item::Key { chain, .. }, _) if chain.is_empty() => {
            let detail = "a key without certificates: Java keeps it, but gives it to no application that asks for the entry";
            Some(Loss::new(LossKind::Note, entry.label_text(), detail))
        }
        _ => None,
    }
}

fn raised(trust: &Trust) -> &'static str {
    if trust.distrusts() {
        "it is distrusted, but Java trusts every certificate on its own for everything"
    } else {
        "it is no anchor for everything, but Java trusts every certificate on its own so"
    }
}

fn iterations(ctx: &Ctx<'_>) -> Result<u32> {
    let Some(text) = ctx.options.get(ITERATIONS_OPTION) else {
        return Ok(protect::ITERATIONS);
    };
    text.parse().ok().filter(|n| protect::ITERATION_RANGE.contains(n)).ok_or_else(|| {
        let (least, most) = protect::ITERATION_RANGE.into_inner();
        Error::refused(format!("{ITERATIONS_OPTION} must be a number from {least} to {most}"))
    })
}

/// Java's lengths are signed.
fn length(len: usize, what: &str) -> Result<u32> {
    i32::try_from(len)
        .map(i32::cast_unsigned)
        .map_err(|_| Error::too_large(format!("{what} has more parts or bytes than Java can count: {len}")))
}

struct Encoder<'a> {
    variant: &'a Variant,
    store_password: &'a Password,
    iterations: u32,
    ctx: &'a Ctx<'a>,
    out: Out<'a>,
    /// Small fields, gathered so that each entry is a few writes.
    head: Vec<u8>,
}

impl Encoder<'_> {
    fn entry(&mut self, entry: &Entry, label: &[u8]) -> Result<()> {
        let kind = match &entry.item {
            Item::Key { .. } => KEY,
            Item::Cert(_) => CERT,
            Item::Symmetric(_) if self.variant.secrets => SECRET,
            other => {
                let (name, what) = (self.variant.name, other.kind().name());
                return Err(Error::refused(format!("a {name} can't hold entries of the kind {what}")));
            }
        };
        self.head.clear();
        self.head.extend(kind.to_be_bytes());
        // `label` has checked the length.
        self.head.extend((label.len() as u16).to_be_bytes());
        self.head.extend(label);
        self.head.extend(self.date(entry).to_be_bytes());
        match &entry.item {
            Item::Key { key, chain } => self.key(entry, key, chain),
            Item::Symmetric(key) => {
                let body = self.protected(entry, key, Self::seal_secret)?;
                self.out.put(&self.head)?;
                self.out.put(&body)
            }
            Item::Cert(cert) => self.certificate(cert),
            // Refused above.
            _ => Ok(()),
        }
    }

    /// The date that the entry came with, else now.
    fn date(&self, entry: &Entry) -> i64 {
        let known = entry.attr(FACTS, DATE).and_then(|d| std::str::from_utf8(d).ok()?.parse().ok());
        known.unwrap_or(self.ctx.session.now_ms)
    }

    fn key(&mut self, entry: &Entry, key: &Secret, chain: &[Link]) -> Result<()> {
        let body = self.protected(entry, key, Self::seal_private)?;
        self.head.extend(length(body.len(), "the protected key")?.to_be_bytes());
        self.out.put(&self.head)?;
        self.out.put(&body)?;
        self.out.put(&length(chain.len(), "the chain")?.to_be_bytes())?;
        self.head.clear();
        chain.iter().try_for_each(|link| self.certificate(&link.cert))
    }

    /// A certificate after what is gathered.
    fn certificate(&mut self, cert: &Der) -> Result<()> {
        self.head.extend((X509.len() as u16).to_be_bytes());
        self.head.extend(X509);
        self.head.extend(length(cert.len(), "the certificate")?.to_be_bytes());
        self.out.put(&self.head)?;
        self.head.clear();
        self.out.put(cert)
    }

    /// The key, enciphered anew; or as it was, where it is still sealed in this format's own way.
    fn protected<'k>(
        &self,
        entry: &Entry,
        key: &'k Secret,
        seal: impl Fn(&Self, &KeyMaterial, &Password) -> Result<Vec<u8>>,
    ) -> Result<Cow<'k, [u8]>> {
        if let Some(clear) = key.opened() {
            let own = self.key_password(entry)?;
            let password = own.as_deref().unwrap_or(self.store_password);
            return seal(self, clear, password).map(Cow::Owned);
        }
        let sealed = key.seal().filter(|s| s.format() == self.variant.name).and_then(|s| s.raw());
        sealed.map(Cow::Borrowed).ok_or_else(|| {
            Error::password("the key is still sealed in another format's way")
                .hint("give its password with --key-password LABEL=SPEC")
        })
    }

    /// A password of the key's own, under its label as given or as written.
    fn key_password(&self, entry: &Entry) -> Result<Option<Arc<Password>>> {
        let label = entry.label_text();
        if let Some(password) = self.ctx.secrets.key(Some(&label))?.into_iter().next() {
            return Ok(Some(password));
        }
        let lower = lower_case(&label);
        Ok(if lower == *label { None } else { self.ctx.secrets.key(Some(&lower))?.into_iter().next() })
    }

    fn seal_private(&self, key: &KeyMaterial, password: &Password) -> Result<Vec<u8>> {
        if self.variant.secrets {
            protect::seal_private(&key.bytes, password, self.iterations, self.ctx)
        } else {
            protect::mask_private(&key.bytes, password, &self.ctx.session.rng)
        }
    }

    fn seal_secret(&self, key: &KeyMaterial, password: &Password) -> Result<Vec<u8>> {
        let algorithm = key.algorithm.as_deref().filter(|a| !a.is_empty() && a.len() < 1000);
        let Some(algorithm) = algorithm else {
            return Err(Error::refused("a secret key without the name of its algorithm is no key to Java"));
        };
        if key.bytes.is_empty() {
            return Err(Error::refused("a secret key of no bytes is no key to Java"));
        }
        protect::seal_secret(algorithm, &key.bytes, password, self.iterations, self.ctx)
    }
}

/// The staged file, digested on the way.
struct Out<'a> {
    file: StagedFile<'a>,
    digest: Sha1,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.file.put(bytes)
    }

    fn finish(mut self) -> Result<()> {
        let digest = self.digest.finalize();
        self.file.put(&digest)
    }
}
