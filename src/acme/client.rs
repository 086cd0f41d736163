//! HTTP to the authority: one request at a time, blocking, bounded in time and bytes.
//!
//! Owns how the authority is verified and what its last answer asked for (Retry-After), which errors don't carry. It follows no
//! redirects: a request is signed for its URL (RFC 8555 §6.4). Called on the thread of `keeper`.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::base::bounds::{ACME_ANSWER_BYTES_MAX, ACME_REQUEST_SECONDS};
use crate::base::clock;
use crate::config::AcmeConfig;
use crate::config::certificate::chain;

/// A client, to be given to `instant_acme`.
pub struct Client {
    agent: Agent,
    heard: Arc<Heard>,
}

/// What the authority has said last.
#[derive(Debug, Default)]
pub struct Heard {
    /// The status of its last answer; 0: there was none to the last request.
    status: AtomicU16,
    /// Retry-After in seconds from when it came, plus one; 0: it was not said.
    retry_after: AtomicU64,
}

impl Heard {
    /// The last answer's status; `None`: the last request had no answer.
    pub fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|&status| status != 0)
    }

    /// For how many seconds the last answer asked to be left alone.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after.load(Ordering::Relaxed).checked_sub(1)
    }
}

impl Client {
    /// Reads `ca_file`, or what the system trusts.
    ///
    /// # Errors
    /// There is nothing to verify the authority with.
    pub fn new(config: &AcmeConfig) -> Result<(Client, Arc<Heard>), String> {
        let roots = match &config.ca_file {
            Some(path) => chain(path)?,
            None => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    return Err(
                        "this system trusts no certificate authority; install its package ca-certificates, or name \
                                a \"ca_file\""
                            .to_owned(),
                    );
                }
                found.certs
            }
        };
        let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(ACME_REQUEST_SECONDS)))
            .user_agent("")
            .build()
            .new_agent();
        let heard = Arc::new(Heard::default());
        Ok((Client { agent, heard: heard.clone() }, heard))
    }

    fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        self.heard.status.store(0, Ordering::Relaxed);
        self.heard.retry_after.store(0, Ordering::Relaxed);
        let failed = |error: ureq::Error| Error::Other(format!("{error}").into());
        let (parts, body) = request.into_parts();
        let body = whole(body);
        let answer = match body.is_empty() {
            true => self.agent.run(Request::from_parts(parts, ())),
            false => self.agent.run(Request::from_parts(parts, body)),
        };
        let (parts, mut body) = answer.map_err(failed)?.into_parts();
        self.heard.status.store(parts.status.as_u16(), Ordering::Relaxed);
        let asked = parts.headers.get("retry-after").and_then(|value| seconds(value.to_str().ok()?));
        self.heard.retry_after.store(asked.map_or(0, |seconds| seconds.saturating_add(1)), Ordering::Relaxed);
        let bytes = body.with_config().limit(ACME_ANSWER_BYTES_MAX).read_to_vec().map_err(failed)?;
        Ok(BytesResponse::from(Response::from_parts(parts, BodyWrapper::from(bytes))))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(std::future::ready(self.ask(request)))
    }
}

/// The output of a future that only waits for [`Client`], and so never waits.
///
/// # Errors
/// It waits for something else.
pub fn ready<F: Future>(future: F) -> Result<F::Output, Error> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(Error::Str("a future waits for what nobody brings")),
    }
}

/// A body that is in memory.
fn whole(body: BodyWrapper<Bytes>) -> Vec<u8> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes
}

/// Retry-After in seconds from now (RFC 9110 §10.2.3).
fn seconds(value: &str) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(seconds);
    }
    let at = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(at.saturating_sub(clock::wall_seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_in_both_forms() {
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
        assert!(seconds("Tue, 31 Dec 2199 23:59:59 GMT").is_some_and(|seconds| seconds > 1_000_000));
        for bad in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_future_that_waits_is_an_error() {
        assert!(ready(std::future::pending::<()>()).is_err());
        assert!(matches!(ready(std::future::ready(5)), Ok(5)));
    }
}
