//! What a store is made from, as one digest: a run whose inputs are those of the last one has nothing to do.

use super::located::Located;
use super::{Rebuild, policy};
use crate::bundle::Role;
use crate::error::Result;
use crate::place::{Source, cannot_read};
use std::cell::OnceCell;

/// The digests of what all targets share, computed once.
pub(super) struct Inputs<'a> {
    job: &'a Rebuild<'a>,
    shared: OnceCell<blake3::Hasher>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(job: &'a Rebuild<'a>) -> Self {
        Inputs { job, shared: OnceCell::new() }
    }

    /// The serial of the bundles, where they have one.
    pub(super) fn serial(&self) -> Option<u64> {
        policy::serial(&self.job.bundles)
    }

    /// What decides how a store comes out, apart from passwords (whose change is a command of its own) and
    /// salts: the program, the bundles, the key source, the format and its options.
    pub(super) fn digest(&self, place: &Located<'_>) -> Result<[u8; 32]> {
        let shared = match self.shared.get() {
            Some(s) => s,
            None => {
                let s = self.hash_shared()?;
                self.shared.get_or_init(|| s)
            }
        };
        let mut hash = shared.clone();
        add(&mut hash, place.format.name().as_bytes());
        for role in place.target.roles.unwrap_or(&Role::ALL) {
            add(&mut hash, role.name().as_bytes());
        }
        for opt in place.format.options() {
            add(&mut hash, place.target.ctx.options.get(opt.name).unwrap_or_default().as_bytes());
        }
        Ok(hash.finalize().into())
    }

    fn hash_shared(&self) -> Result<blake3::Hasher> {
        let mut hash = blake3::Hasher::new();
        add(&mut hash, concat!("keyferry ", env!("CARGO_PKG_VERSION")).as_bytes());
        for bundle in &self.job.bundles {
            add_source(&mut hash, bundle.input.source)?;
            if let Some((text, _)) = &bundle.only_under {
                add(&mut hash, b"only under");
                add(&mut hash, text.as_bytes());
            }
            if let Some(manifest) = bundle.manifest {
                add(&mut hash, &manifest.to_json()?);
                // Members go when their time is over, without any change of the files.
                let now = self.job.targets.first().map_or(0, |t| t.ctx.session.now_ms / 1000);
                add(&mut hash, manifest.members(now).len().to_string().as_bytes());
            }
        }
        if let Some(key) = &self.job.key {
            add(&mut hash, b"key");
            add_source(&mut hash, key.input.source)?;
            add(&mut hash, key.label.as_deref().unwrap_or_default().as_bytes());
        }
        Ok(hash)
    }
}

/// Adds a part with its length, so that no two lists of parts look alike.
fn add(hash: &mut blake3::Hasher, part: &[u8]) {
    hash.update(&(part.len() as u64).to_be_bytes());
    hash.update(part);
}

fn add_source(hash: &mut blake3::Hasher, source: &Source) -> Result<()> {
    if source.is_directory() {
        for member in source.members()? {
            add(hash, member.as_os_str().as_encoded_bytes());
            add_source(hash, &Source::open(&member)?)?;
        }
        return Ok(());
    }
    // Not kept in memory: where nothing changed, this is all that is read.
    let mut content = blake3::Hasher::new();
    content.update_reader(source.whole_reader()?).map_err(|e| cannot_read(e).in_file(source.path()))?;
    add(hash, content.finalize().as_bytes());
    Ok(())
}
