//! PKCS#12.

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, Labels, Match, PasswordUse, TrustRange};
use crate::model::{ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};

/// PKCS#12.
pub struct P12;

impl Format for P12 {
    fn name(&self) -> &'static str {
        "p12"
    }
    fn title(&self) -> &'static str {
        "PKCS#12"
    }
    fn suffixes(&self) -> &'static [&'static str] {
        &["p12"]
    }
    fn carries(&self) -> Carries {
        Carries {
            items: &[ItemKind::Cert],
            labels: Labels::None,
            many: true,
            trust: TrustRange::None,
            password: PasswordUse::Never,
            swap: true,
        }
    }
    fn detect(&self, _: &Probe<'_>) -> Match {
        Match::No
    }
    fn read(&self, _: &Source, _: &Ctx<'_>) -> Result<Store> {
        Err(Error::unsupported("not yet"))
    }
    fn write(&self, _: &Store, _: Option<&Source>, _: &mut Staging, _: &Ctx<'_>) -> Result<Vec<Loss>> {
        Err(Error::unsupported("not yet"))
    }
}
