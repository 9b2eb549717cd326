//! What a bundle is, as its publisher says it.

use crate::error::{Error, Result};
use crate::hex::hex;
use crate::query::time;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What the manifest of `BUNDLE` is called: `BUNDLE` and this.
pub const MANIFEST_SUFFIX: &str = ".manifest.json";

/// The version of the form below. A later one may say things that must not be overlooked.
const VERSION: u32 = 1;

/// What a certificate is in a bundle for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An authority: a chain may end here.
    Ca,
    /// Somebody to encrypt for.
    Recipient,
    /// Somebody whose signatures are expected.
    Signer,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Ca, Role::Recipient, Role::Signer];

    /// Its name in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Role::Ca => "ca",
            Role::Recipient => "recipient",
            Role::Signer => "signer",
        }
    }

    /// The role called so.
    pub fn by_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.name() == name)
    }
}

/// The manifest of a bundle: JSON, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// Grows with each bundle. A reader refuses a lower one than it has seen.
    pub serial: u64,
    /// When it was made: RFC 3339, UTC.
    pub date: String,
    /// When it is no longer to be believed: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// For whom it is; empty: for everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// SHA-256 of the bundle file, lower-case hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// How many certificates it holds.
    pub count: usize,
    /// Each certificate, in the order of the file.
    pub entries: Vec<Member>,
    /// Certificates that must be nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distrust: Vec<Distrusted>,
}

/// One certificate of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// SHA-256 of its DER, lower-case hex.
    pub sha256: String,
    /// Its subject, RFC 4514, for people.
    pub subject: String,
    /// What it is for.
    pub roles: Vec<Role>,
    /// From this time on it counts as gone: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_until: Option<String>,
}

/// A certificate that must be nowhere, whatever vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distrusted {
    /// SHA-256 of its DER, lower-case hex.
    pub sha256: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Manifest {
    /// A manifest for a bundle file with these certificates.
    pub fn new(serial: u64, date: String, bundle: &[u8], entries: Vec<Member>) -> Self {
        Manifest {
            version: VERSION,
            serial,
            date,
            expires: None,
            audience: Vec::new(),
            sha256: digest(bundle),
            size: bundle.len() as u64,
            count: entries.len(),
            entries,
            distrust: Vec::new(),
        }
    }

    /// Reads one. `Kind::Malformed` where it is none, or says what this version doesn't understand.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let bad = |why: String| Error::malformed(format!("not a manifest of a bundle: {why}"));
        let manifest: Manifest = serde_json::from_slice(json).map_err(|e| {
            bad(e.to_string()).hint("a manifest of a later version may hold what this program doesn't know")
        })?;
        if manifest.version != VERSION {
            return Err(bad(format!("its version is {}, known is {VERSION}", manifest.version)));
        }
        let times = [Some(&manifest.date), manifest.expires.as_ref()].into_iter().flatten();
        let kept = manifest.entries.iter().filter_map(|e| e.keep_until.as_ref());
        if let Some(time) = times.chain(kept).find(|t| time::parse(t).is_none()) {
            return Err(bad(format!("\"{time}\" is no time such as 2026-01-02T03:04:05Z")));
        }
        if manifest.count != manifest.entries.len() {
            let listed = manifest.entries.len();
            return Err(bad(format!("it counts {} certificates and lists {listed}", manifest.count)));
        }
        Ok(manifest)
    }

    /// Its bytes, the same for the same content.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::malformed("the manifest can't be written").caused_by(e))?;
        json.push(b'\n');
        Ok(json)
    }

    /// That this is the bundle it speaks of.
    pub fn covers(&self, bundle: &[u8]) -> Result<()> {
        if bundle.len() as u64 == self.size && digest(bundle) == self.sha256 {
            return Ok(());
        }
        Err(Error::refused(format!(
            "the bundle is not the one of its manifest (serial {}): {} bytes, SHA-256 {}",
            self.serial,
            bundle.len(),
            digest(bundle)
        ))
        .hint("it may have been published while it was fetched; fetch both again"))
    }

    /// That it is meant for now and for `audience`.
    ///
    /// `now` is in seconds since 1970, `max_age` in seconds. `Kind::Refused` where it is too old, of the future
    /// by more than a day, or for others.
    pub fn is_for(&self, now: i64, max_age: Option<i64>, audience: Option<&str>) -> Result<()> {
        let date = time::parse(&self.date).unwrap_or(0);
        let serial = self.serial;
        if self.expires.as_deref().and_then(time::parse).is_some_and(|end| now >= end) {
            let end = self.expires.as_deref().unwrap_or_default();
            return Err(Error::refused(format!("the bundle (serial {serial}) expired at {end}"))
                .hint("its publisher has made no newer one, or somebody keeps it from you"));
        }
        if max_age.is_some_and(|age| now.saturating_sub(date) > age) {
            return Err(Error::refused(format!("the bundle (serial {serial}) is of {}: too old", self.date))
                .hint("its publisher has made no newer one, or somebody keeps it from you"));
        }
        if date.saturating_sub(now) > DAY {
            let text = format!("the bundle (serial {serial}) is of {}, which is in the future", self.date);
            return Err(Error::refused(text).hint("is this machine's clock right?"));
        }
        match audience {
            Some(who) if !self.audience.is_empty() && !self.audience.iter().any(|a| a == who) => {
                let for_whom = self.audience.join(", ");
                Err(Error::refused(format!("the bundle is for {for_whom}, not for {who}")))
            }
            Some(who) if self.audience.is_empty() => {
                Err(Error::refused(format!("the bundle doesn't say that it is for {who}")))
            }
            None if !self.audience.is_empty() => {
                let for_whom = self.audience.join(", ");
                Err(Error::refused(format!("the bundle is for {for_whom} alone"))
                    .hint("say which of these this machine is: audience"))
            }
            _ => Ok(()),
        }
    }

    /// The members by fingerprint, without those whose time is over at `now` (seconds since 1970).
    pub fn members(&self, now: i64) -> HashMap<&str, &Member> {
        let over = |m: &Member| m.keep_until.as_deref().and_then(time::parse).is_some_and(|end| now >= end);
        self.entries.iter().filter(|m| !over(m)).map(|m| (m.sha256.as_str(), m)).collect()
    }

    /// Whether a certificate with this fingerprint must be nowhere.
    pub fn distrusts(&self, sha256: &str) -> bool {
        self.distrust.iter().any(|d| d.sha256 == sha256)
    }
}

/// Seconds of a day: so far may clocks differ.
const DAY: i64 = 86_400;

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn manifest() -> Manifest {
        let member = Member {
            sha256: "aa".to_owned(),
            subject: "CN=a".to_owned(),
            roles: vec![Role::Ca],
            keep_until: Some("2026-02-01T00:00:00Z".to_owned()),
        };
        Manifest {
            expires: Some("2026-03-01T00:00:00Z".to_owned()),
            ..Manifest::new(7, "2026-01-01T00:00:00Z".to_owned(), b"bundle", vec![member])
        }
    }

    fn at(text: &str) -> i64 {
        time::parse(text).unwrap_or(0)
    }

    #[test]
    fn what_is_written_is_read() {
        let json = manifest().to_json().unwrap_or_default();
        assert_eq!(Manifest::parse(&json).ok(), Some(manifest()));
        let text = String::from_utf8_lossy(&json);
        for (from, to) in [
            ("\"version\": 1", "\"version\": 2"),
            ("\"serial\"", "\"cereal\""),
            ("2026-01-01", "2026-31-01"),
            ("\"count\": 1", "\"count\": 2"),
        ] {
            let other = text.replace(from, to);
            assert_ne!(other, text, "{from}");
            assert_eq!(Manifest::parse(other.as_bytes()).map_err(|e| e.kind()), Err(Kind::Malformed), "{to}");
        }
    }

    #[test]
    fn it_covers_its_bundle_alone() {
        assert!(manifest().covers(b"bundle").is_ok());
        assert!(manifest().covers(b"bundlf").is_err() && manifest().covers(b"bundle ").is_err());
    }

    #[test]
    fn it_is_for_its_time_and_audience() {
        let m = manifest();
        let now = at("2026-02-01T00:00:00Z");
        assert!(m.is_for(now, None, None).is_ok());
        assert!(m.is_for(at("2026-03-01T00:00:00Z"), None, None).is_err());
        assert!(m.is_for(now, Some(30 * DAY), None).is_err() && m.is_for(now, Some(31 * DAY), None).is_ok());
        assert!(m.is_for(at("2025-12-30T00:00:00Z"), None, None).is_err());
        assert!(m.is_for(now, None, Some("prod")).is_err());
        let m = Manifest { audience: vec!["prod".to_owned()], ..m };
        assert!(m.is_for(now, None, Some("prod")).is_ok());
        assert!(m.is_for(now, None, Some("test")).is_err() && m.is_for(now, None, None).is_err());
    }

    #[test]
    fn members_go_when_their_time_is_over() {
        let m = manifest();
        assert!(m.members(at("2026-01-31T23:59:59Z")).contains_key("aa"));
        assert!(m.members(at("2026-02-01T00:00:00Z")).is_empty());
    }
}
