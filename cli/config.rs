//! The configuration: one file that says where bundles come from, which stores are kept from them, and what may
//! not happen. Its doc comments are the descriptions of the JSON Schema.

use crate::commands::bundle_key;
use crate::time::span;
use formats::bundle::{PublicKey, Role};
use formats::jobs::AllowLoss;
use formats::jobs::rebuild::Gates;
use formats::model::LossKind;
use formats::query::dn::Pattern;
use formats::{Error, Kind, Options, by_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where it is looked for when nobody says.
pub const USUAL: &str = "/etc/keyferry/keyferry.toml";
/// A larger file is no configuration.
const LIMIT: u64 = 1 << 20;

/// keyferry.toml
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of this program's own files: bundles that were fetched, serials that were seen, history
    #[serde(default = "usual_state")]
    pub state: PathBuf,
    /// Where certificates come from; together they say what the stores hold
    pub bundle: Vec<Bundle>,
    /// The stores that are kept
    pub store: Vec<Store>,
    /// What needs somebody's approval
    #[serde(default)]
    pub gates: GateRules,
    /// Where to write metrics for node_exporter's text file collector
    #[serde(default)]
    pub metrics: Option<PathBuf>,
    /// How many sets of stores are worked on at once; 0: as many as there are cores
    #[serde(default)]
    pub jobs: usize,
}

fn usual_state() -> PathBuf {
    PathBuf::from("/var/lib/keyferry")
}

/// A bundle
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// A path, or an https:// address; http:// only with a signature or a digest
    pub source: String,
    /// What it is called in messages and in the state folder [default: the last part of its source]
    #[serde(default)]
    pub name: Option<String>,
    /// How it is verified: "minisign:KEY" (a public key, or a file with it) verifies the manifest beside it,
    /// "sha256:HEX" pins it, "none" believes anything
    pub verify: String,
    /// The audience that this machine belongs to
    #[serde(default)]
    pub audience: Option<String>,
    /// The oldest manifest that is believed, such as "30d"
    #[serde(default)]
    pub max_age: Option<String>,
    /// The bundle may bring only subjects that match this pattern, such as "O=PARTNER"
    #[serde(default)]
    pub only_under: Option<String>,
    /// Time for fetching it, all retries included, such as "60s"
    #[serde(default = "usual_timeout")]
    pub timeout: String,
    /// The most bytes that are fetched
    #[serde(default = "usual_size")]
    pub max_size: u64,
    /// Certificates (PEM) that the server's must lead to, in place of the system's
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn usual_timeout() -> String {
    "60s".to_owned()
}

fn usual_size() -> u64 {
    64 << 20
}

/// A store, or many by a pattern
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// PATH or FORMAT:PATH; `*` stands for any name, so that /home/*/client.kdb means everybody's. What the stars
    /// stand for tells sets apart: stores with the same are built together and change together
    pub path: String,
    /// The settings file of IBM MQ that leads to this store (keystore.conf, mqclient.ini); `*` in `path` stands for what
    /// it stands for here. Each generation is then a folder of its own beside the store, and the file is rewritten to
    /// lead there: one rename for all stores of the set that it names, so that no client mixes their generations
    #[serde(default)]
    pub pointer: Option<String>,
    /// Which certificates of the bundles it takes: ca, recipient, signer [default: all]
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub roles: Option<Vec<Role>>,
    /// Where its password comes from: env:NAME, file:PATH, stash:PATH or none; `*` in it stands for what it stands
    /// for in the path [default: a stash beside a kdb]
    #[serde(default)]
    pub password: Option<String>,
    /// Where its private key comes from, SRC or SRC#LABEL, the same for a whole set [default: the store as it is]
    #[serde(default)]
    pub key: Option<String>,
    /// The password of `key` [default: the store's]
    #[serde(default)]
    pub key_password: Option<String>,
    /// Make it where it isn't there; without a pattern only
    #[serde(default)]
    pub create: bool,
    /// How many old generations stay at least
    #[serde(default = "usual_keep")]
    pub keep: usize,
    /// How long old generations stay at least
    #[serde(default = "usual_retention")]
    pub retention: String,
    /// Programs that run after the store changed, as its owner, without a shell: ["systemctl", "restart", "client"].
    /// When one fails, the whole set is put back
    #[serde(default)]
    pub after: Vec<Vec<String>>,
    /// Programs that run after those of `after` and find out whether the stores can be used, as `after` runs them. When
    /// one fails, the whole set is put back, and `after` runs once more
    #[serde(default)]
    pub probe: Vec<Vec<String>>,
    /// How long each of them may take
    #[serde(default = "usual_timeout")]
    pub after_timeout: String,
    /// Losses that are accepted, by their kinds
    #[serde(default)]
    pub allow_loss: Vec<String>,
    /// Options of the formats, such as p12-profile = "gskit"
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

fn usual_keep() -> usize {
    2
}

fn usual_retention() -> String {
    "7d".to_owned()
}

/// What needs somebody's approval: keyferry apply --approve
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateRules {
    /// The most certificates that may go from one store at once
    pub max_removed: usize,
    /// The largest share of a store's certificates that may go at once, in percent
    pub max_removed_percent: usize,
    /// Whether new authorities need approval
    pub new_cas: bool,
    /// Whether another key for a subject that is known needs approval
    pub second_keys: bool,
    /// Subjects that never go, as patterns
    pub never_drop: Vec<String>,
}

impl Default for GateRules {
    fn default() -> Self {
        GateRules {
            max_removed: 20,
            max_removed_percent: 10,
            new_cas: true,
            second_keys: true,
            never_drop: Vec::new(),
        }
    }
}

impl GateRules {
    /// As the job takes them.
    pub fn gates(&self) -> formats::Result<Gates> {
        let never_drop =
            self.never_drop.iter().map(|p| Pattern::parse(p, false)).collect::<Result<_, _>>()?;
        Ok(Gates {
            max_removed: Some(self.max_removed),
            max_removed_percent: Some(self.max_removed_percent),
            new_cas: self.new_cas,
            second_keys: self.second_keys,
            never_drop,
            approved: formats::jobs::rebuild::Approval::default(),
        })
    }
}

/// How a bundle is verified.
pub enum Verify {
    /// By the signature over its manifest.
    Signed(PublicKey),
    /// By its digest, lower-case hex.
    Pinned(String),
    /// Not at all.
    Nothing,
}

impl Bundle {
    /// What it is called.
    pub fn name(&self) -> &str {
        let last = || self.source.rsplit('/').next().unwrap_or_default();
        self.name.as_deref().unwrap_or_else(last)
    }

    /// Whether it comes over the network.
    pub fn is_remote(&self) -> bool {
        self.source.starts_with("https://") || self.source.starts_with("http://")
    }

    /// How it is verified.
    pub fn verify(&self) -> formats::Result<Verify> {
        let bad = || {
            Error::malformed(format!(
                "bundle {}: verify = \"{}\" is not understood",
                self.name(),
                self.verify
            ))
            .hint("it is \"minisign:KEY\", \"sha256:HEX\" or \"none\"")
        };
        match self.verify.split_once(':') {
            Some(("minisign", key)) => bundle_key(key).map(Verify::Signed),
            Some(("sha256", hex)) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Ok(Verify::Pinned(hex.to_ascii_lowercase()))
            }
            None if self.verify == "none" => Ok(Verify::Nothing),
            _ => Err(bad()),
        }
    }
}

/// Milliseconds of a span in the file.
pub fn span_of(field: &str, text: &str) -> formats::Result<i64> {
    span(text).map_err(|e| Error::malformed(format!("{field} = \"{text}\": {e}")))
}

impl Config {
    /// Reads the file. Refused where others than its owner or root could have written it, or put another in its
    /// place: what it says is done.
    pub fn read(path: &Path) -> formats::Result<Config> {
        trusted(path)?;
        let text = crate::files::read(path, LIMIT)?.ok_or_else(|| {
            Error::new(Kind::Read, "there is no configuration")
                .hint("keyferry init writes one; --config names another place")
                .in_file(path)
        })?;
        Config::parse(&String::from_utf8_lossy(&text)).map_err(|e| e.in_file(path))
    }

    /// Parses and checks it.
    pub fn parse(text: &str) -> formats::Result<Config> {
        let config: Config = toml::from_str(text).map_err(|e| {
            let at =
                e.span().map_or(0, |s| text.get(..s.start).unwrap_or_default().matches('\n').count() + 1);
            let line = if at > 0 { format!("line {at}: ") } else { String::new() };
            Error::malformed(format!("{line}{}", e.message().lines().collect::<Vec<_>>().join("; ")))
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> formats::Result<()> {
        let bad = |text: String| Err(Error::malformed(text));
        if self.bundle.is_empty() || self.store.is_empty() {
            return bad("there is nothing to do: it needs a [[bundle]] and a [[store]]".to_owned());
        }
        for (at, bundle) in self.bundle.iter().enumerate() {
            let name = bundle.name();
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
                return bad(format!("bundle {}: \"{name}\" is no name; set name = …", at + 1));
            }
            if self.bundle.iter().take(at).any(|b| b.name() == name) {
                return bad(format!("two bundles are called {name}; set name = …"));
            }
            let verify = bundle.verify()?;
            if bundle.source.starts_with("http://") && matches!(verify, Verify::Nothing) {
                return bad(format!("bundle {name}: http:// and verify = \"none\" would believe anybody"));
            }
            if !bundle.is_remote() && !Path::new(&bundle.source).is_absolute() {
                return bad(format!("bundle {name}: {} is no absolute path", bundle.source));
            }
            span_of("timeout", &bundle.timeout)?;
            bundle.max_age.as_deref().map(|a| span_of("max_age", a)).transpose()?;
            bundle.only_under.as_deref().map(|p| Pattern::parse(p, false)).transpose()?;
        }
        for store in &self.store {
            let path = store.path();
            if !path.1.is_absolute() {
                return bad(format!("store {}: is no absolute path", store.path));
            }
            if store.create && store.path.contains('*') {
                return bad(format!("store {}: create = true needs a path without *", store.path));
            }
            for spec in [&store.password, &store.key_password].into_iter().flatten() {
                if ["pass:", "fd:"].iter().any(|s| spec.starts_with(s)) || spec == "prompt" || spec == "stdin"
                {
                    return bad(format!("store {}: a password comes from env:, file: or stash:", store.path));
                }
            }
            for (what, programs) in [("after", &store.after), ("probe", &store.probe)] {
                if programs.iter().any(|a| a.first().is_none_or(|p| !Path::new(p).is_absolute())) {
                    return bad(format!("store {}: {what} names programs by absolute paths", store.path));
                }
            }
            if let Some(pointer) = &store.pointer {
                if !Path::new(pointer).is_absolute() {
                    return bad(format!("store {}: pointer is no absolute path", store.path));
                }
                if pointer.matches('*').count() < store.path.matches('*').count() {
                    return bad(format!("store {}: its path has more * than its pointer", store.path));
                }
                if store.create {
                    return bad(format!(
                        "store {}: create = true makes none that a pointer leads to",
                        store.path
                    ));
                }
            }
            span_of("retention", &store.retention)?;
            span_of("after_timeout", &store.after_timeout)?;
            store.losses()?;
            store.options()?;
        }
        self.gates.gates().map(drop)
    }
}

impl Store {
    /// The format that it names, and the path or pattern.
    pub fn path(&self) -> (Option<&'static dyn formats::Format>, &Path) {
        match self.path.split_once(':').and_then(|(name, rest)| Some((by_name(name)?, rest))) {
            Some((format, rest)) => (Some(format), Path::new(rest)),
            None => (None, Path::new(&self.path)),
        }
    }

    /// The losses that are accepted.
    pub fn losses(&self) -> formats::Result<AllowLoss> {
        let known = |name: &String| name == "all" || LossKind::ALL.iter().any(|k| k.name() == name);
        match self.allow_loss.iter().find(|n| !known(n)) {
            Some(name) => {
                Err(Error::malformed(format!("store {}: \"{name}\" is no kind of loss", self.path)))
            }
            None => Ok(losses(&self.allow_loss)),
        }
    }

    /// The options of the formats.
    pub fn options(&self) -> formats::Result<Options> {
        let mut options = Options::default();
        for (name, value) in &self.options {
            let known = formats::FORMATS.iter().flat_map(|f| f.options()).find(|o| o.name == name);
            let fits = known.is_some_and(|o| o.values.is_empty() || o.values.iter().any(|(v, _)| v == value));
            if !fits {
                return Err(Error::malformed(format!("store {}: no option {name} = \"{value}\"", self.path)));
            }
            options.set(name, value);
        }
        Ok(options)
    }
}

/// The losses that these names of kinds accept.
pub fn losses(names: &[String]) -> AllowLoss {
    if names.iter().any(|k| k == "all") {
        return AllowLoss::All;
    }
    let kinds: Vec<_> =
        LossKind::ALL.iter().copied().filter(|k| names.iter().any(|n| n == k.name())).collect();
    if kinds.is_empty() { AllowLoss::Nothing } else { AllowLoss::Kinds(kinds) }
}

/// That nobody but its owner and root can have written what is at `path`: neither it nor a folder above it.
fn trusted(path: &Path) -> formats::Result<()> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let own = rustix::process::geteuid().as_raw();
    for place in whole.ancestors() {
        let Ok(meta) = place.metadata() else { continue };
        let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
        let refuse = |why: String| {
            Err(Error::refused(why)
                .hint("what the configuration says is done; nobody else may be able to write it")
                .in_file(path))
        };
        if meta.uid() != 0 && meta.uid() != own {
            return refuse(format!("{} belongs to another user", place.display()));
        }
        if meta.mode() & 0o022 != 0 && !sticky {
            return refuse(format!("{} can be written by others", place.display()));
        }
    }
    Ok(())
}
