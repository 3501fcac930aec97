//! A test server for clients: an authorization server and a protected resource that misbehave on request
//! (feature `testing`).
//!
//! Put it into your `[dev-dependencies]`:
//!
//! ```toml
//! possession = { version = "0.1", features = ["testing"] }
//! ```
//!
//! The simplest useful test makes a call through your client and looks at what the server received:
//!
//! ```
//! # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use possession::testing::TestServer;
//!
//! let server = TestServer::start()?;
//! let session = server.session().scope("orders:read").discover()?;
//! assert_eq!(session.get(&server.resource("/orders"))?.status(), 200);
//!
//! let request = server.received().pop().expect("a request");
//! assert_eq!(request.proof().expect("a proof").claims["htm"], "GET");
//! # Ok(()) }
//! # #[cfg(not(feature = "ureq"))] fn main() {}
//! ```
//!
//! # Misbehaviour
//!
//! A client is usually written against a server that works. Later, nonces rotate and expire, tokens and keys
//! are revoked, clocks differ, connections break, and responses are slow, huge, malformed, redirected or of
//! another kind than the client asked for. Each [`Quirk`] is one such fault, most of them known from a
//! deployed server. [`misbehave`](TestServer::misbehave) sets it for an [`Endpoint`]:
//!
//! ```
//! # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use possession::testing::{Endpoint, Quirk, TestServer, When};
//!
//! let server = TestServer::start()?;
//! let session = server.session().discover()?;
//!
//! // The first response of the token endpoint is 503 with `Retry-After: 0`.
//! let unavailable = Quirk::Refuse { status: 503, retry_after: Some(0) };
//! server.misbehave(Endpoint::Token, When::Next(1), unavailable);
//! assert_eq!(session.get(&server.resource("/orders"))?.status(), 200);
//!
//! // All tokens are revoked: the session gets another one.
//! server.revoke_tokens();
//! assert_eq!(session.get(&server.resource("/orders"))?.status(), 200);
//! assert_eq!(server.counts().tokens, 2);
//!
//! // No proof was sent twice.
//! assert_eq!(server.counts().repeated_proofs, 0);
//! # Ok(()) }
//! # #[cfg(not(feature = "ureq"))] fn main() {}
//! ```
//!
//! # Time
//!
//! With a [`ManualClock`], which sessions of the server share, hours pass without waiting:
//!
//! ```
//! # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use possession::testing::{ManualClock, TestServer};
//!
//! let clock = ManualClock::new();
//! let hour = Duration::from_secs(3600);
//! let server = TestServer::builder().clock(clock.clone()).token_lifetime(hour).start()?;
//! let session = server.session().discover()?;
//!
//! session.get(&server.resource("/"))?;
//! clock.advance(2 * hour);
//! session.get(&server.resource("/"))?;
//! assert_eq!(session.stats().tokens, 2);
//! # Ok(()) }
//! # #[cfg(not(feature = "ureq"))] fn main() {}
//! ```
//!
//! # Responses of your API
//!
//! [`on`](TestServer::on) scripts the responses of a resource. The server still verifies token and proof
//! first:
//!
//! ```
//! # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use http::Response;
//! use possession::testing::TestServer;
//!
//! let server = TestServer::start()?;
//! server.on("/orders", |request| match request.target.as_str() {
//!     "/orders?page=2" => Response::new("[3]"),
//!     _ => Response::new("[1,2]"),
//! });
//! let session = server.session().discover()?;
//! let mut page = session.get(&server.resource("/orders?page=2"))?;
//! assert_eq!(page.body_mut().read_to_string()?, "[3]");
//! # Ok(()) }
//! # #[cfg(not(feature = "ureq"))] fn main() {}
//! ```
//!
//! # Other clients
//!
//! The server speaks plain http on loopback, or https with a certificate of yours, and its metadata are where
//! RFC 8414 places them below [`issuer`](TestServer::issuer). Any client can be tested with it. It must not
//! protect anything real.

mod authorization_code_grant;
mod authorization_endpoint;
mod authorization_request;
mod browser;
mod client_authentication;
mod clients;
mod connection;
mod device_authorization;
mod device_code;
mod device_code_grant;
mod endpoint_error;
mod fields;
mod fixed_nonces;
mod form;
mod framing;
mod grant;
mod introspection;
mod issued_secrets;
mod issued_tokens;
mod json_document;
mod jwt_bearer_grant;
mod listener;
mod manual_clock;
mod metadata;
mod nonces;
mod paths;
mod proof_policy;
mod pushed_authorization;
mod quirk;
mod quirk_effects;
mod quirk_schedule;
mod received;
mod refresh_token;
mod refresh_token_grant;
mod refusal;
mod registration;
mod request;
mod request_log;
mod requested_access;
mod resource;
mod resource_metadata;
mod response;
mod revocation;
mod scripted_resources;
mod server;
mod service;
mod settings;
mod state;
mod tls;
mod token_endpoint;
mod token_exchange_grant;
mod token_request;
mod token_response;
mod trusted_assertions;

pub use self::fixed_nonces::FixedNonces;
pub use self::manual_clock::ManualClock;
pub use self::nonces::Nonces;
pub use self::quirk::{ChallengeForm, Endpoint, Quirk, When};
pub use self::received::{DecodedJwt, Received};
pub use self::request_log::Counts;
pub use self::server::{TestServer, TestServerBuilder};
