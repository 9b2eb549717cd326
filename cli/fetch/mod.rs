//! Bundles brought in: from a file or from the network, verified, and kept in the state folder under their
//! digest, so that a bundle is there when its source is away, and an unchanged one costs one small request.

mod source;

use crate::config::{Bundle, Verify, span_of};
use crate::files::{PUBLIC, read, write};
use formats::bundle::{MANIFEST_SUFFIX, Manifest, SIGNATURE_SUFFIX};
use formats::jobs::list::sha256_hex;
use formats::{Error, Kind};
use serde::{Deserialize, Serialize};
use source::{Got, Place};
use std::path::{Path, PathBuf};

/// No signature is larger.
const SIGNATURE_LIMIT: u64 = 64 * 1024;

/// A bundle that may be believed.
pub struct Ready {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is, where its publisher says that.
    pub manifest: Option<Manifest>,
    /// Why it is the last good one and not what its source has now.
    pub warning: Option<String>,
}

/// What is known of a bundle from before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    /// SHA-256 of the bundle, and so its name.
    sha256: String,
    /// The highest serial that was ever believed.
    #[serde(default)]
    serial: Option<u64>,
    /// SHA-256 of its manifest.
    #[serde(default)]
    manifest: Option<String>,
    /// What the server calls this version of what is asked for first: the manifest, or the bundle.
    #[serde(default)]
    etag: Option<String>,
}

/// The folder of one bundle in the state folder.
struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    fn open(state: &Path, name: &str) -> formats::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = state.join("bundles").join(name);
        // Readable by the owners of the stores, who build from it.
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder).map_err(|e| {
            Error::io(Kind::Write, format!("can't be made: {}", formats::place::reason(&e)), e)
                .in_file(&folder)
        })?;
        Ok(Shelf { folder })
    }

    fn known(&self) -> formats::Result<Option<Known>> {
        let path = self.folder.join("known.json");
        let Some(json) = read(&path, 1 << 20)? else { return Ok(None) };
        // Not ignored: it holds the serial below which nothing is believed.
        serde_json::from_slice(&json).map(Some).map_err(|e| {
            Error::malformed(format!("what is known of the bundle can't be read: {e}"))
                .hint("delete it only if you know that no older bundle may come")
                .in_file(&path)
        })
    }

    fn bundle(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}.pem"))
    }

    fn manifest(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}{MANIFEST_SUFFIX}"))
    }

    /// The last good bundle.
    fn last(&self, known: &Known) -> formats::Result<Option<(PathBuf, Option<Manifest>)>> {
        let path = self.bundle(&known.sha256);
        if !path.is_file() {
            return Ok(None);
        }
        let manifest = match &known.manifest {
            Some(hash) => {
                let place = self.manifest(hash);
                let Some(json) = read(&place, u64::MAX - 1)? else { return Ok(None) };
                Some(Manifest::parse(&json).map_err(|e| e.in_file(&place))?)
            }
            None => None,
        };
        Ok(Some((path, manifest)))
    }

    /// Keeps a bundle that was verified, the knowledge of it last; the ones before go.
    fn keep(&self, known: &Known, bundle: Option<&[u8]>, manifest: Option<&[u8]>) -> formats::Result<()> {
        if let Some(bytes) = bundle {
            write(&self.bundle(&known.sha256), bytes, PUBLIC)?;
        }
        if let (Some(hash), Some(bytes)) = (&known.manifest, manifest) {
            write(&self.manifest(hash), bytes, PUBLIC)?;
        }
        write(&self.folder.join("known.json"), &serde_json::to_vec_pretty(known).unwrap_or_default(), PUBLIC)
    }
}

/// Brings a bundle in. `now` is in seconds since 1970.
pub fn fetch(bundle: &Bundle, state: &Path, now: i64) -> formats::Result<Ready> {
    let named = |e: Error| match e.place().path {
        Some(_) => e,
        None => e.in_file(Path::new(&bundle.source)),
    };
    let shelf = Shelf::open(state, bundle.name())?;
    let known = shelf.known()?;
    let verify = bundle.verify()?;
    let source = Place::of(bundle)?;
    let got = Getting { bundle, shelf: &shelf, known: known.as_ref(), source: &source, now };
    let outcome = source.patiently(|| match &verify {
        Verify::Signed(key) => got.signed(key),
        Verify::Pinned(hash) => got.pinned(hash),
        Verify::Nothing => got.anything(),
    });
    let mut ready = match (outcome, &known) {
        (Ok(ready), _) => ready,
        // Its source is away, not lying: then the last good one counts.
        (Err(e), Some(known)) if e.kind() == Kind::Read => match shelf.last(known).map_err(named)? {
            Some((path, manifest)) if got.is_meant(&verify, known) => {
                Ready { path, manifest, warning: Some(named(e).to_string()) }
            }
            _ => return Err(named(e)),
        },
        (Err(e), _) => return Err(named(e)),
    };
    if matches!(verify, Verify::Signed(_)) {
        let max_age = bundle.max_age.as_deref().map(|a| span_of("max_age", a)).transpose()?;
        let manifest = ready.manifest.as_ref().ok_or_else(|| Error::refused("the bundle has no manifest"))?;
        manifest.is_for(now, max_age.map(|ms| ms / 1000), bundle.audience.as_deref()).map_err(named)?;
    } else {
        ready.manifest = None;
    }
    Ok(ready)
}

/// Why nothing was got, and whether asking again may help.
struct Failed {
    error: Error,
    again: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { again: error.kind() == Kind::Read, error }
    }
}

/// What was fetched doesn't fit together, as it may while it is being published.
fn mismatch(error: Error) -> Failed {
    Failed { error, again: true }
}

struct Getting<'a> {
    bundle: &'a Bundle,
    shelf: &'a Shelf,
    known: Option<&'a Known>,
    source: &'a Place,
    now: i64,
}

impl Getting<'_> {
    /// Whether what is known was verified as the configuration wants it now.
    fn is_meant(&self, verify: &Verify, known: &Known) -> bool {
        match verify {
            Verify::Signed(_) => known.manifest.is_some(),
            Verify::Pinned(hash) => known.sha256 == *hash,
            Verify::Nothing => true,
        }
    }

    fn same(&self, known: &Known) -> formats::Result<Option<Ready>> {
        let last = self.shelf.last(known)?;
        Ok(last.map(|(path, manifest)| Ready { path, manifest, warning: None }))
    }

    /// The manifest first: as long as it is the same, nothing else is asked for.
    fn signed(&self, key: &formats::bundle::PublicKey) -> Result<Ready, Failed> {
        let known =
            self.known.filter(|k| k.manifest.is_some() && self.shelf.last(k).is_ok_and(|l| l.is_some()));
        let limit = self.bundle.max_size;
        let (json, etag) =
            match self.source.get(MANIFEST_SUFFIX, limit, known.and_then(|k| k.etag.as_deref()))? {
                Got::Same => match known.map(|k| self.same(k)).transpose()?.flatten() {
                    Some(ready) => return Ok(ready),
                    None => {
                        return Err(Error::new(
                            Kind::Read,
                            "says that nothing has changed, but nothing is here",
                        )
                        .into());
                    }
                },
                Got::Bytes(json, etag) => (json, etag),
            };
        let hash = sha256_hex(&json);
        if let Some(known) = known.filter(|k| k.manifest.as_ref() == Some(&hash))
            && let Some(ready) = self.same(known)?
        {
            return Ok(ready);
        }
        let signature =
            self.source.whole(&format!("{MANIFEST_SUFFIX}{SIGNATURE_SUFFIX}"), SIGNATURE_LIMIT)?;
        key.verify(&json, &String::from_utf8_lossy(&signature)).map_err(mismatch)?;
        let manifest = Manifest::parse(&json)?;
        let seen = self.known.and_then(|k| k.serial);
        if seen.is_some_and(|s| manifest.serial < s) {
            return Err(Error::refused(format!(
                "the bundle has serial {}, and {} was seen before: it is an old one",
                manifest.serial,
                seen.unwrap_or(0)
            ))
            .hint("somebody may be keeping you from the newer one")
            .into());
        }
        if seen == Some(manifest.serial)
            && self.known.is_some_and(|k| k.manifest.as_ref().is_some_and(|m| *m != hash))
        {
            return Err(Error::refused(format!("two bundles have the serial {}", manifest.serial))
                .hint("each bundle needs a serial of its own: keyferry bundle create --base does that")
                .into());
        }
        // Before it is fetched: a bundle for others, or of last year, is none.
        let max_age = self.bundle.max_age.as_deref().map(|a| span_of("max_age", a)).transpose()?;
        manifest.is_for(self.now, max_age.map(|ms| ms / 1000), self.bundle.audience.as_deref())?;
        let kept = self.known.is_some_and(|k| k.sha256 == manifest.sha256);
        let here = kept.then(|| read(&self.shelf.bundle(&manifest.sha256), limit)).transpose()?.flatten();
        let (bytes, fresh) = match here {
            Some(bytes) => (bytes, false),
            None => (self.source.whole("", limit)?, true),
        };
        manifest.covers(&bytes).map_err(mismatch)?;
        let next = Known {
            sha256: manifest.sha256.clone(),
            serial: Some(manifest.serial),
            manifest: Some(hash),
            etag,
        };
        self.shelf.keep(&next, fresh.then_some(&bytes), Some(&json))?;
        let path = self.shelf.bundle(&manifest.sha256);
        Ok(Ready { path, manifest: Some(manifest), warning: None })
    }

    fn pinned(&self, hash: &str) -> Result<Ready, Failed> {
        if let Some(known) = self.known.filter(|k| k.sha256 == hash)
            && let Some(ready) = self.same(known)?
        {
            return Ok(ready);
        }
        let bytes = self.source.whole("", self.bundle.max_size)?;
        let found = sha256_hex(&bytes);
        if found != hash {
            return Err(Error::refused(format!(
                "the bundle's SHA-256 is {found}, not the one that is pinned"
            ))
            .into());
        }
        Ok(self.store(bytes, None)?)
    }

    fn anything(&self) -> Result<Ready, Failed> {
        let known = self.known.filter(|k| self.shelf.last(k).is_ok_and(|l| l.is_some()));
        match self.source.get("", self.bundle.max_size, known.and_then(|k| k.etag.as_deref()))? {
            Got::Same => match known.map(|k| self.same(k)).transpose()?.flatten() {
                Some(ready) => Ok(ready),
                None => {
                    Err(Error::new(Kind::Read, "says that nothing has changed, but nothing is here").into())
                }
            },
            Got::Bytes(bytes, etag) => Ok(self.store(bytes, etag)?),
        }
    }

    fn store(&self, bytes: Vec<u8>, etag: Option<String>) -> formats::Result<Ready> {
        let sha256 = sha256_hex(&bytes);
        let serial = self.known.and_then(|k| k.serial);
        self.shelf.keep(
            &Known { sha256: sha256.clone(), serial, manifest: None, etag },
            Some(&bytes),
            None,
        )?;
        Ok(Ready { path: self.shelf.bundle(&sha256), manifest: None, warning: None })
    }
}
