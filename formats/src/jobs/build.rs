//! One store staged: written, its losses weighed, read back, compared.

use super::AllowLoss;
use super::verify::Expected;
use crate::context::Ctx;
use crate::error::Result;
use crate::format::Format;
use crate::model::{Loss, Store};
use crate::place::{Source, Staging};

/// A prepared store and where it goes.
pub(super) struct Build<'a> {
    pub store: &'a Store,
    /// The store that it replaces, if it is of the same format.
    pub base: Option<&'a Source>,
    pub format: &'static dyn Format,
    pub ctx: &'a Ctx<'a>,
    pub allow: &'a AllowLoss,
}

impl Build<'_> {
    /// Writes into `staging` and reads it back. `losses` holds those of the preparation; the writer's are
    /// added. False: a loss is not allowed, what was staged is of no use.
    pub(super) fn stage(&self, staging: &mut Staging, losses: &mut Vec<Loss>) -> Result<bool> {
        // Refused anyway, and then derivations and encryption would be for nothing.
        if !losses.iter().all(|l| self.allow.allows(l)) {
            return Ok(false);
        }
        let named = |e: crate::Error| e.in_format(self.format.name());
        losses.extend(self.format.write(self.store, self.base, staging, self.ctx).map_err(named)?);
        if !losses.iter().all(|l| self.allow.allows(l)) {
            return Ok(false);
        }
        let expected = Expected::of(self.store, self.format);
        let back = self.format.read(&staging.source()?, self.ctx).map_err(named)?;
        expected.check(&back, self.ctx).map_err(named)?;
        Ok(true)
    }
}

/// Whether both stores have the same password, so that keys may be copied as they stand.
pub(super) fn same_password(a: &Ctx<'_>, b: &Ctx<'_>) -> Result<bool> {
    Ok(match (a.secrets.store()?, b.secrets.store()?) {
        (Some(a), Some(b)) => a.bytes() == b.bytes(),
        _ => false,
    })
}
