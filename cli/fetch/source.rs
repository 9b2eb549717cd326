//! Where a bundle is: a file, an address of the web, or an object in a store. Asking again, and the limits of size
//! and time, are here.

#[cfg(feature = "object-store")]
mod objects;

use super::{Failed, Ready};
use crate::commands::beside;
use crate::config::{Bundle, span_of};
use crate::files::read;
use formats::{Error, Kind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// So often a source is asked before it counts as away.
const TRIES: u32 = 4;

/// What asking for something brings.
pub enum Got {
    /// It is what it was.
    Same,
    /// Its bytes, and what the server calls this version.
    Bytes(Vec<u8>, Option<String>),
}

/// Where a bundle is.
pub enum Place {
    File(PathBuf),
    Web {
        url: String,
        agent: Box<ureq::Agent>,
        until: Instant,
    },
    #[cfg(feature = "object-store")]
    Object {
        object: Box<objects::Object>,
        until: Instant,
    },
}

impl Place {
    pub fn of(bundle: &Bundle) -> formats::Result<Place> {
        if !bundle.is_remote() {
            return Ok(Place::File(PathBuf::from(&bundle.source)));
        }
        let timeout =
            Duration::from_millis(u64::try_from(span_of("timeout", &bundle.timeout)?).unwrap_or(60_000));
        let agent = agent(bundle, timeout)?;
        let until = Instant::now() + timeout;
        #[cfg(feature = "object-store")]
        if bundle.is_object() {
            let object = Box::new(objects::Object::open(bundle, agent, until)?);
            return Ok(Place::Object { object, until });
        }
        Ok(Place::Web { url: bundle.source.clone(), agent: Box::new(agent), until })
    }

    /// When to stop asking again.
    fn until(&self) -> Option<Instant> {
        match self {
            Place::File(_) => None,
            Place::Web { until, .. } => Some(*until),
            #[cfg(feature = "object-store")]
            Place::Object { until, .. } => Some(*until),
        }
    }

    /// Tries again where the source is away, or where what was fetched doesn't fit together, as it may while it
    /// is being published.
    pub fn patiently(&self, get: impl Fn() -> Result<Ready, Failed>) -> formats::Result<Ready> {
        let mut pause = Duration::from_millis(300);
        for _ in 1..TRIES {
            match (get(), self.until()) {
                (Err(Failed { error, again: true }), Some(until)) => {
                    // All machines of a fleet come at the same minute, and come back at different ones.
                    let wait = pause.mul_f64(0.5 + jitter());
                    if Instant::now() + wait >= until {
                        return Err(error);
                    }
                    std::thread::sleep(wait);
                    pause *= 3;
                }
                (outcome, _) => return outcome.map_err(|f| f.error),
            }
        }
        get().map_err(|f| f.error)
    }

    pub fn whole(&self, suffix: &str, limit: u64) -> formats::Result<Vec<u8>> {
        match self.get(suffix, limit, None)? {
            Got::Bytes(bytes, _) => Ok(bytes),
            Got::Same => Err(Error::new(Kind::Read, "gives nothing")),
        }
    }

    /// What is called as the bundle is, and `suffix`.
    pub fn get(&self, suffix: &str, limit: u64, etag: Option<&str>) -> formats::Result<Got> {
        match self {
            Place::File(path) => {
                let path = beside(path, suffix);
                let bytes = read(&path, limit)?
                    .ok_or_else(|| Error::new(Kind::Read, "is not there").in_file(&path))?;
                Ok(Got::Bytes(bytes, None))
            }
            Place::Web { url, agent, until } => {
                // A query belongs to the end of the address.
                let url = match url.split_once('?') {
                    Some((path, query)) => format!("{path}{suffix}?{query}"),
                    None => format!("{url}{suffix}"),
                };
                let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
                download(agent, &url, limit, etag, left).map_err(|e| e.in_file(Path::new(&url)))
            }
            #[cfg(feature = "object-store")]
            Place::Object { object, .. } => object.get(suffix, limit, etag),
        }
    }
}

/// The client of all requests: whom it trusts, how it goes through proxies (from the environment), its limits.
fn agent(bundle: &Bundle, timeout: Duration) -> formats::Result<ureq::Agent> {
    let roots = match &bundle.ca_file {
        Some(path) => RootCerts::new_with_certs(&roots(path)?),
        None => RootCerts::PlatformVerifier,
    };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .https_only(bundle.source.starts_with("https://"))
        .max_redirects(5)
        .timeout_global(Some(timeout))
        .timeout_connect(Some(timeout.min(Duration::from_secs(15))))
        .user_agent(concat!("keyferry/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    Ok(config.build().new_agent())
}

fn download(
    agent: &ureq::Agent,
    url: &str,
    limit: u64,
    etag: Option<&str>,
    left: Duration,
) -> formats::Result<Got> {
    let away = |e: ureq::Error| match e {
        ureq::Error::BodyExceedsLimit(_) => too_large(limit),
        e => Error::new(Kind::Read, format!("can't be fetched: {e}")),
    };
    let mut request = agent.get(url).config().timeout_global(Some(left)).build();
    if let Some(etag) = etag {
        request = request.header("If-None-Match", etag);
    }
    let mut answer = request.call().map_err(away)?;
    let status = answer.status().as_u16();
    match status {
        304 => return Ok(Got::Same),
        200 => {}
        // Asked for what isn't there or isn't ours: no answer of another kind will come by asking again.
        400..=499 if status != 408 && status != 429 => {
            return Err(Error::refused(format!("can't be fetched: the server answers {}", answer.status())));
        }
        _ => {
            return Err(Error::new(
                Kind::Read,
                format!("can't be fetched: the server answers {}", answer.status()),
            ));
        }
    }
    let version = answer.headers().get("etag").and_then(|v| v.to_str().ok()).map(str::to_owned);
    if answer.body().content_length().is_some_and(|n| n > limit) {
        return Err(too_large(limit));
    }
    let bytes = answer.body_mut().with_config().limit(limit).read_to_vec().map_err(away)?;
    Ok(Got::Bytes(bytes, version))
}

fn too_large(limit: u64) -> Error {
    Error::too_large(format!("is larger than {limit} bytes")).hint("max_size raises the bound")
}

/// The certificates of a PEM file.
fn roots(path: &Path) -> formats::Result<Vec<Certificate<'static>>> {
    let source = formats::place::Source::open(path)?;
    let session = formats::Session::new(0);
    let options = formats::Options::default();
    let ctx = formats::Ctx { secrets: &formats::NoSecrets, options: &options, session: &session };
    let loaded = formats::jobs::load(&formats::jobs::Input { source: &source, format: None, ctx })?;
    let all = loaded.store.entries.iter().filter_map(|e| e.certificate());
    let all: Vec<_> = all.map(|c| Certificate::from_der(c).to_owned()).collect();
    if all.is_empty() {
        return Err(Error::malformed("holds no certificates").in_file(path));
    }
    Ok(all)
}

/// From 0 to 1.
fn jitter() -> f64 {
    let mut byte = [0];
    // Without randomness all wait as long.
    let _ = formats::Rng::system().fill(&mut byte);
    f64::from(byte[0]) / 255.0
}
