//! The request that a proof is for.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Method, Request};
use possession::RequestBody;

use crate::failure::Failure;

/// The request that a proof is for.
#[derive(Clone)]
pub struct Target {
    pub method: String,
    pub url: String,
    pub access_token: Option<String>,
    pub nonce: Option<String>,
    /// The time in seconds since 1970.
    pub now: u64,
}

impl Target {
    /// Returns a request at this time.
    pub fn new(method: &str, url: &str, access_token: Option<&str>, nonce: Option<&str>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            access_token: access_token.map(str::to_owned),
            nonce: nonce.map(str::to_owned),
            now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// Creates a request of the URL without proof and token.
    pub fn bare_request(&self, method: Method) -> Result<Request<RequestBody>, Failure> {
        let mut request = Request::new(RequestBody::default());
        *request.method_mut() = method;
        *request.uri_mut() = self.url.parse()?;
        request.headers_mut().insert("accept", HeaderValue::from_static("*/*"));
        Ok(request)
    }
}
