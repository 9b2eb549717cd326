//! Which stores the settings name, and how a setting is made to lead to another one.

use super::{Settings, Shape};
use crate::error::{Error, Result};
use crate::storeset::with_suffix;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A setting that names a store.
struct Pointer {
    /// Its name.
    name: &'static str,
    shape: Shape,
    /// The format, which is the extension that MQ puts to a name without one.
    format: &'static str,
    /// The setting of the label.
    label: Option<&'static str>,
    suffix: Suffix,
}

/// What MQ makes of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suffix {
    /// Written without; MQ puts it to the name.
    Never,
    /// With or without.
    Optional,
    /// Without for a kdb (up to MQ 9.2 it must be), with it for anything else (from MQ 9.3 on).
    ButForKdb,
}

#[rustfmt::skip]
const POINTERS: &[Pointer] = &[
    Pointer { name: "cms.keystore", shape: Shape::KeystoreConf, format: "kdb", label: Some("cms.certificate"), suffix: Suffix::Never },
    Pointer { name: "pkcs11.secondary_keystore", shape: Shape::KeystoreConf, format: "kdb", label: None, suffix: Suffix::Never },
    Pointer { name: "jks.keystore", shape: Shape::KeystoreConf, format: "jks", label: Some("jks.certificate"), suffix: Suffix::Optional },
    Pointer { name: "jceks.keystore", shape: Shape::KeystoreConf, format: "jceks", label: Some("jceks.certificate"), suffix: Suffix::Optional },
    Pointer { name: "SSL:SSLKeyRepository", shape: Shape::Ini, format: "kdb", label: Some("SSL:CertificateLabel"), suffix: Suffix::ButForKdb },
];

/// A store that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The setting: `cms.keystore`.
    pub setting: &'static str,
    /// The store's file, with the extension that MQ puts to the name.
    pub path: PathBuf,
    /// The format that the setting stands for: `kdb`.
    pub format: &'static str,
    /// The label that the settings name.
    pub label: Option<String>,
}

/// A setting that leads to another store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointed {
    /// The setting.
    pub setting: &'static str,
    /// Its value before.
    pub before: OsString,
    /// Its value now.
    pub now: OsString,
}

impl Settings {
    /// The stores that are named here; relative paths count from `folder`.
    pub fn stores(&self, folder: &Path) -> Vec<Named> {
        let found = self.pointers().filter_map(|pointer| {
            let value = self.get(pointer.name).filter(|v| !v.is_empty())?;
            let label = pointer.label.and_then(|l| self.get(l)).filter(|l| !l.is_empty());
            Some(Named {
                setting: pointer.name,
                path: meant(folder, &value, pointer),
                format: pointer.format,
                label: label.map(|l| l.to_string_lossy().into_owned()),
            })
        });
        found.collect()
    }

    /// Whether a setting leads to this store; relative paths count from `folder`.
    pub fn leads_to(&self, folder: &Path, store: &Path) -> bool {
        let store = whole(store);
        self.stores(folder).iter().any(|named| whole(&named.path) == store)
    }

    /// Makes every setting that leads to the store `from` lead to `to`, in the manner that its value has: with an
    /// extension or without, relative or not. What was changed; nothing where no setting leads there.
    ///
    /// `Kind::Refused` where a setting leads there that can't lead to a store of `to`'s extension: AMS's C client
    /// takes nothing but a kdb.
    pub fn point(&mut self, folder: &Path, from: &Path, to: &Path) -> Result<Vec<Pointed>> {
        let from = whole(from);
        let mut done = Vec::new();
        for pointer in self.pointers() {
            let Some(before) = self.get(pointer.name).filter(|v| !v.is_empty()) else { continue };
            if whole(&meant(folder, &before, pointer)) != from {
                continue;
            }
            let now = value(&before, folder, to, pointer)?;
            if self.set(pointer.name, &now)? {
                done.push(Pointed { setting: pointer.name, before, now });
            }
        }
        Ok(done)
    }

    fn pointers(&self) -> impl Iterator<Item = &'static Pointer> + use<> {
        let shape = self.shape;
        POINTERS.iter().filter(move |p| p.shape == shape)
    }
}

/// The file that a value means.
fn meant(folder: &Path, value: &OsString, pointer: &Pointer) -> PathBuf {
    let path = folder.join(value);
    let own = pointer.format;
    let with = with_suffix(&path, &format!(".{own}"));
    let has = |suffix: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(suffix));
    match pointer.suffix {
        // A name that ends so already is a mistake that `check` tells of; it means the store all the same.
        _ if has(own) => path,
        Suffix::Never => with,
        Suffix::ButForKdb if path.extension().is_some() && !with.exists() => path,
        Suffix::ButForKdb => with,
        // Users write names of Java stores with any extension or none.
        Suffix::Optional if with.exists() || !path.exists() && crate::by_suffix(&path).is_none() => with,
        Suffix::Optional => path,
    }
}

/// The value by which a setting leads to `to`.
fn value(before: &OsString, folder: &Path, to: &Path, pointer: &Pointer) -> Result<OsString> {
    let had = Path::new(before);
    let has = |suffix: &str| to.extension().is_some_and(|e| e.eq_ignore_ascii_case(suffix));
    let is_own = has(pointer.format);
    if pointer.suffix == Suffix::Never && !is_own {
        return Err(Error::refused(format!(
            "{} takes a {} and nothing else, so it can't lead to {}",
            pointer.name,
            pointer.format,
            to.display()
        )));
    }
    let with_extension = had.extension().is_some_and(|e| e.eq_ignore_ascii_case(pointer.format));
    let to = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let named = if is_own && !with_extension { to.with_extension("") } else { to };
    // From the nearest folder on the way there that leads to both.
    let rest = |at: &Path| {
        let parent = named.parent().map(whole)?;
        Some(parent.strip_prefix(whole(&folder.join(at))).ok()?.join(named.file_name()?))
    };
    let mut ways = had.ancestors().skip(1).filter(|_| had.is_relative());
    Ok(ways.find_map(|at| Some(at.join(rest(at)?))).unwrap_or(named).into())
}

/// A path that can be compared: links followed as far as there is something.
fn whole(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parent = absolute.parent().and_then(|p| p.canonicalize().ok());
    let beside = || Some(parent?.join(absolute.file_name()?));
    absolute.canonicalize().ok().or_else(beside).unwrap_or(absolute)
}
