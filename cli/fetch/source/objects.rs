//! Objects of S3, Google Cloud Storage and Azure Blob Storage: one published bundle for a whole fleet. What the
//! `object_store` crate asks for goes through the client that all other addresses go through, so that trust in
//! servers, proxies and limits are the same.

use super::{Got, too_large};
use crate::config::{Bundle, Verify};
use formats::{Error, Kind};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, ClientOptions, GetOptions, ObjectStore, RetryConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An object, and what lies beside it.
pub struct Object {
    store: Box<dyn ObjectStore>,
    /// From the root of its bucket or container.
    path: String,
    runtime: tokio::runtime::Runtime,
    limit: Arc<AtomicU64>,
}

impl Object {
    /// Finds the store and who we are to it: from the environment, as that store's own tools do, and from the
    /// bundle's `options`. Nothing is asked for yet.
    pub fn open(bundle: &Bundle, agent: ureq::Agent, until: Instant) -> formats::Result<Self> {
        let bad = || Error::malformed("is no address of an object, such as s3://BUCKET/bundle.pem");
        let (scheme, rest) = bundle.source.split_once("://").ok_or_else(bad)?;
        let (bucket, path) =
            rest.split_once('/').filter(|(b, p)| !b.is_empty() && !p.is_empty()).ok_or_else(bad)?;
        let limit = Arc::new(AtomicU64::new(0));
        let client = Client { agent, until, limit: Arc::clone(&limit), plain: false };
        // The bucket alone: its path may hold what an address must not.
        let url = format!("{scheme}://{bucket}");
        let believes_anybody = matches!(bundle.verify()?, Verify::Nothing);
        // The builders have no trait in common.
        macro_rules! store {
            ($builder:ty, $key:ty) => {{
                let mut builder = <$builder>::from_env().with_url(url);
                for (key, value) in &bundle.options {
                    let key = key
                        .parse::<$key>()
                        .map_err(|_| Error::malformed(format!("options: {key} is none of {scheme}://")))?;
                    builder = builder.with_config(key, value);
                }
                let plain = builder.get_config_value(&<$key>::Client(ClientConfigKey::AllowHttp));
                if believes_anybody && plain.is_some_and(|v| v != "false") {
                    return Err(Error::malformed("plain HTTP and verify = \"none\" would believe anybody"));
                }
                // Tried again by us, who know how long it may take altogether.
                let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
                builder.with_http_connector(client).with_retry(once).build().map(|s| Box::new(s) as _)
            }};
        }
        let store = match scheme {
            "s3" => store!(AmazonS3Builder, AmazonS3ConfigKey),
            "gs" => store!(GoogleCloudStorageBuilder, GoogleConfigKey),
            "az" => store!(MicrosoftAzureBuilder, AzureConfigKey),
            _ => return Err(bad()),
        };
        let store = store.map_err(|e| Error::malformed(one_line(&e)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|e| Error::io(Kind::Read, "no runtime for object stores", e))?;
        Ok(Object { store, path: path.to_owned(), runtime, limit })
    }

    /// What is called as the object is, and `suffix`.
    pub fn get(&self, suffix: &str, limit: u64, etag: Option<&str>) -> formats::Result<Got> {
        let path = object_store::path::Path::parse(format!("{}{suffix}", self.path))
            .map_err(|e| Error::malformed(one_line(&e)))?;
        self.limit.store(limit, Ordering::Relaxed);
        let options = GetOptions { if_none_match: etag.map(str::to_owned), ..GetOptions::default() };
        let got = self.runtime.block_on(async {
            let got = self.store.get_opts(&path, options).await?;
            let etag = got.meta.e_tag.clone();
            Ok((got.bytes().await?, etag))
        });
        match got {
            Ok((bytes, etag)) => Ok(Got::Bytes(bytes.to_vec(), etag)),
            Err(object_store::Error::NotModified { .. }) => Ok(Got::Same),
            Err(e) if is_too_large(&e) => Err(too_large(limit)),
            // Asked for what isn't there or isn't ours: no answer of another kind will come by asking again.
            Err(
                e @ (object_store::Error::NotFound { .. }
                | object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }),
            ) => Err(Error::refused(format!("can't be fetched: {}", one_line(&e)))),
            Err(e) => Err(Error::new(Kind::Read, format!("can't be fetched: {}", one_line(&e)))),
        }
    }
}

/// Stores answer with pages of XML.
fn one_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(400) {
        line.truncate(at);
        line.push('…');
    }
    line
}

fn is_too_large(error: &object_store::Error) -> bool {
    std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source())
        .any(|e| matches!(e.downcast_ref(), Some(ureq::Error::BodyExceedsLimit(_))))
}

/// Our client of HTTP as that crate wants it.
#[derive(Clone, Debug)]
struct Client {
    agent: ureq::Agent,
    until: Instant,
    /// The most bytes that are read.
    limit: Arc<AtomicU64>,
    /// Whether plain HTTP may be asked: by configuration, or for the credentials of a machine in a cloud, which
    /// come from an address on its own link.
    plain: bool,
}

impl HttpConnector for Client {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|v| v == "true");
        Ok(HttpClient::new(Client { plain, ..self.clone() }))
    }
}

#[async_trait::async_trait]
impl HttpService for Client {
    // It blocks: nothing else waits on this runtime.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.uri().scheme_str() != Some("https") && !self.plain {
            return Err(HttpError::new(
                HttpErrorKind::Unknown,
                ureq::Error::RequireHttpsOnly(request.uri().to_string()),
            ));
        }
        let (parts, body) = request.into_parts();
        let body = body.as_bytes().cloned().unwrap_or_default();
        let answer = if body.is_empty() {
            self.send(ureq::http::Request::from_parts(parts, ()))
        } else {
            self.send(ureq::http::Request::from_parts(parts, &*body))
        };
        answer.map_err(|e| {
            let kind = match e {
                ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
                ureq::Error::BodyExceedsLimit(_) => HttpErrorKind::Decode,
                _ => HttpErrorKind::Request,
            };
            HttpError::new(kind, e)
        })
    }
}

impl Client {
    fn send(&self, request: ureq::http::Request<impl ureq::AsSendBody>) -> Result<HttpResponse, ureq::Error> {
        let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
        // A request that was signed holds for the server that it was signed for.
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(left))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let (parts, mut body) = self.agent.run(request)?.into_parts();
        let limit = self.limit.load(Ordering::Relaxed);
        if body.content_length().is_some_and(|n| n > limit) {
            return Err(ureq::Error::BodyExceedsLimit(limit));
        }
        let bytes = body.with_config().limit(limit).read_to_vec()?;
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }
}
