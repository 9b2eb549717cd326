//! Java KeyStore.

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, Labels, Match, PasswordUse, TrustRange};
use crate::model::{ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};

/// Java KeyStore.
pub struct Jks;

impl Format for Jks {
    fn name(&self) -> &'static str {
        "jks"
    }
    fn title(&self) -> &'static str {
        "Java KeyStore"
    }
    fn suffixes(&self) -> &'static [&'static str] {
        &["jks"]
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
/// JCEKS.
pub struct Jceks;
impl Format for Jceks {
    fn name(&self) -> &'static str {
        "jceks"
    }
    fn title(&self) -> &'static str {
        "Java KeyStore"
    }
    fn suffixes(&self) -> &'static [&'static str] {
        &["jceks"]
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
