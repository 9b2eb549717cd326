//! A store into blocks: each key with its chain first, then everything on its own.

use super::note;
use crate::asn1::armour;
use crate::context::Ctx;
use crate::crypto::pbe::{Keyer, ROUNDS, Recipe};
use crate::error::{Error, Result};
use crate::loose::{Index, trust_losses};
use crate::model::{Der, Entry, Item, Label, Link, Loss, Password, Secret, Store};
use crate::place::Staging;
use sha1::{Digest, Sha1};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) fn encode(store: &Store, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
    let mut losses = Vec::new();
    let mut writer = Writer { to, ctx, keyers: Vec::new(), out: Vec::new() };
    let chains = Chains::new(store);
    for entry in &store.entries {
        let named = |e: Error| e.in_entry(entry.label_text());
        match &entry.item {
            Item::Key { key, chain } => {
                let id = chain.first().map(|leaf| Sha1::digest(&*leaf.cert).to_vec());
                writer.key(key, entry.label.as_ref(), id.as_deref()).map_err(named)?;
                for (at, cert) in chains.of(chain).into_iter().enumerate() {
                    let id = id.as_deref().filter(|_| at == 0);
                    writer.block("CERTIFICATE", cert, None, id)?;
                }
            }
            Item::Request { csr, key: Some(key) } => {
                writer.key(key, entry.label.as_ref(), None).map_err(named)?;
                writer.block("CERTIFICATE REQUEST", csr, None, None)?;
            }
            _ => {}
        }
    }
    for entry in &store.entries {
        if let Some((label, der)) = public(entry) {
            writer.block(label, der, entry.label.as_ref(), None)?;
            losses.extend(trust_losses(entry, super::NAME));
        }
    }
    writer.flush()?;
    Ok(losses)
}

/// The words and bytes of an entry without a key.
fn public(entry: &Entry) -> Option<(&'static str, &Der)> {
    match &entry.item {
        Item::Cert(der) => Some(("CERTIFICATE", der)),
        Item::Crl(der) => Some(("X509 CRL", der)),
        Item::Request { csr, key: None } => Some(("CERTIFICATE REQUEST", csr)),
        _ => None,
    }
}

/// The chains as a reader will build them. It takes issuers from wherever they stand in the file, so a
/// chain is written up to the last issuer that the store has: else that one's own entry would be taken for
/// the chain and be none any more.
struct Chains<'a> {
    all: Vec<&'a Der>,
    index: Option<Index<'a>>,
}

impl<'a> Chains<'a> {
    fn new(store: &'a Store) -> Self {
        let keys = store.entries.iter().any(|e| matches!(e.item, Item::Key { .. }));
        if !keys {
            return Chains { all: Vec::new(), index: None };
        }
        let links = store.entries.iter().flat_map(|e| match &e.item {
            Item::Key { chain, .. } => chain.as_slice(),
            _ => &[],
        });
        let lone = store.entries.iter().filter_map(|e| match &e.item {
            Item::Cert(der) => Some(der),
            _ => None,
        });
        let all: Vec<&Der> = links.map(|l| &l.cert).chain(lone).collect();
        let index = Index::new(all.iter().copied().enumerate());
        Chains { all, index: Some(index) }
    }

    fn of(&self, chain: &'a [Link]) -> Vec<&'a Der> {
        let mut out: Vec<&Der> = chain.iter().map(|l| &l.cert).collect();
        let (Some(leaf), Some(index)) = (chain.first(), &self.index) else { return out };
        for issuer in index.issuers(&leaf.cert) {
            if let Some(der) = self.all.get(issuer)
                && !out.contains(der)
            {
                out.push(der);
            }
        }
        out
    }
}

struct Writer<'a> {
    to: &'a mut Staging,
    ctx: &'a Ctx<'a>,
    /// One derivation for all keys under one password.
    keyers: Vec<(Arc<Password>, Keyer)>,
    out: Vec<u8>,
}

/// Text gathered before it goes on.
const GATHER: usize = 64 * 1024;

impl Writer<'_> {
    fn block(&mut self, label: &str, der: &[u8], name: Option<&Label>, id: Option<&[u8]>) -> Result<()> {
        note::put(&mut self.out, name, id);
        armour::put_block(&mut self.out, label, der);
        if self.out.len() >= GATHER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.to.file()?.put(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn key(&mut self, key: &Secret, name: Option<&Label>, id: Option<&[u8]>) -> Result<()> {
        note::put(&mut self.out, name, id);
        self.flush()?;
        let block = self.key_block(key, name)?;
        self.to.file()?.put(&block)
    }

    fn key_block(&mut self, key: &Secret, name: Option<&Label>) -> Result<Zeroizing<Vec<u8>>> {
        let Some(open) = key.opened() else {
            let raw = key.seal().filter(|s| s.format() == super::NAME).and_then(|s| s.raw());
            let raw = raw.ok_or_else(|| Error::password("the private key is still sealed"))?;
            return Ok(Zeroizing::new([raw, b"\n"].concat()));
        };
        let text = name.map(|n| n.text().into_owned());
        let own = self.ctx.secrets.key(text.as_deref())?.into_iter().next();
        let password = match own {
            Some(own) => Some(own),
            None => self.ctx.secrets.store()?,
        };
        match password {
            None => Ok(armour::block("PRIVATE KEY", &open.bytes)),
            Some(password) => {
                let session = self.ctx.session;
                let sealed = self.keyer(&password)?.next(session)?.seal_pkcs8(&open.bytes)?;
                Ok(armour::block("ENCRYPTED PRIVATE KEY", &sealed))
            }
        }
    }

    fn keyer(&mut self, password: &Arc<Password>) -> Result<&Keyer> {
        let at = match self.keyers.iter().position(|(p, _)| p.bytes() == password.bytes()) {
            Some(at) => at,
            None => {
                let keyer = Keyer::new(Recipe::AES256_SHA256, password, ROUNDS, self.ctx.session)?;
                self.keyers.push((Arc::clone(password), keyer));
                self.keyers.len() - 1
            }
        };
        Ok(&self.keyers[at].1)
    }
}
