//! The requests that a test server received.

use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use super::form::Form;
use super::quirk::Endpoint;
use crate::dpop::header_names::DPOP;
use crate::jose::base64url::from_base64url;

/// A request that a [`TestServer`](crate::testing::TestServer) received.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::{Endpoint, TestServer};
///
/// let server = TestServer::start()?;
/// server.session().scope("orders:read").discover()?.access_token()?;
/// let requests = server.received_at(Endpoint::Token);
/// let request = requests.last().expect("a token request");
/// assert_eq!(request.method, "POST");
/// assert_eq!(request.form_field("scope").as_deref(), Some("orders:read"));
/// assert_eq!(request.header_values("content-type"), ["application/x-www-form-urlencoded"]);
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// The endpoint that received it.
    pub endpoint: Endpoint,
    /// The method.
    pub method: Method,
    /// The request target: path and query.
    pub target: String,
    /// The origin that received it.
    pub origin: String,
    /// All header fields.
    pub headers: HeaderMap,
    /// The body. It is empty where the request was refused before the body was read.
    pub body: Vec<u8>,
    /// The number of the connection, different for each connection of the process.
    pub connection: usize,
    /// The time of arrival by the server's clock.
    pub at: SystemTime,
    /// The status code of the response, or `None` where there was no response or one of raw bytes.
    pub status: Option<StatusCode>,
}

/// A compact JWS, decoded but not verified.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::{DecodedJwt, TestServer};
///
/// let server = TestServer::start()?;
/// let url = server.resource("/orders");
/// server.session().discover()?.get(&url)?;
/// let proof: DecodedJwt = server.received().pop().and_then(|request| request.proof()).expect("a proof");
/// assert_eq!(proof.header["typ"], "dpop+jwt");
/// assert_eq!(proof.claims["htu"], url);
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DecodedJwt {
    /// The JOSE header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
}

impl Received {
    /// Returns the values of a header field, in order. Values that are not visible ASCII are left out.
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// Decodes the proof. Returns `None` unless there is exactly one `DPoP` field and it can be decoded.
    #[must_use]
    pub fn proof(&self) -> Option<DecodedJwt> {
        match *self.header_values(DPOP.as_str()) {
            [proof] => DecodedJwt::decode(proof),
            _ => None,
        }
    }

    /// Decodes the client assertion, if there is one.
    #[must_use]
    pub fn assertion(&self) -> Option<DecodedJwt> {
        DecodedJwt::decode(&self.form_field("client_assertion")?)
    }

    /// Returns the first value of a field in the query of the request target.
    #[must_use]
    pub fn query_field(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        Form::parse(query.as_bytes()).field(name).map(str::to_owned)
    }

    /// Parses the body as a form and returns its fields, in order.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// Returns the first value of a form field.
    #[must_use]
    pub fn form_field(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl DecodedJwt {
    pub(super) fn decode(compact: &str) -> Option<Self> {
        let mut segments = compact.split('.');
        let mut decode = || serde_json::from_slice(&from_base64url(segments.next()?)?).ok();
        Some(Self { header: decode()?, claims: decode()? })
    }

    pub(super) fn string_claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }
}
