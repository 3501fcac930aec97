//! DPoP proof of possession ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)): for blocking programs
//! that obtain and use DPoP-bound access tokens, and for servers that verify the proofs.
//!
//! A Bearer token works for whoever has it. A DPoP-bound token works only together with a key that never
//! leaves the client: each request carries a *proof*, a small signed JWT that names the method (`htm`) and
//! the URL (`htu`) of that one request.
//!
//! # The simplest useful program
//!
//! ```no_run
//! # #[cfg(feature = "ureq")]
//! use possession::{Algorithm, ClientAuth, KeyPair, Session};
//!
//! # #[cfg(feature = "ureq")]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let session = Session::builder("https://as.example.com", "my-client")
//!         .auth(ClientAuth::client_secret_basic(std::env::var("CLIENT_SECRET")?))
//!         .key(KeyPair::generate(Algorithm::Es256)?)
//!         .scope("orders:read")
//!         .discover()?;
//!     let mut orders = session.get("https://api.example.com/orders")?;
//!     println!("{}: {}", orders.status(), orders.body_mut().read_to_string()?);
//!     Ok(())
//! }
//! # #[cfg(not(feature = "ureq"))] fn main() {}
//! ```
//!
//! A [`Session`] discovers the authorization server, gets a token when one is needed, renews it, puts token
//! and proof on each call, and retries a request when either server asks for a nonce. Clones share all of
//! that among threads. It can be left running for months: see [`guide::daemon`]. With a store it outlives the
//! process: see [`guide::keep_a_session`].
//!
//! # Step by step
//!
//! A session is built on functions that you can call yourself, after the model of oauth4webapi. The request
//! function takes server metadata, client metadata, client authentication, parameters and options; its
//! counterpart checks the response.
//!
//! ```no_run
//! # #[cfg(feature = "ureq")]
//! # fn main() -> Result<(), possession::Error> {
//! use possession::*;
//!
//! let client_http = Transport::new();
//! let server = AuthorizationServer::discover("https://as.example.com", &client_http)?;
//! let client = Client::new("my-client")?;
//! let auth = ClientAuth::private_key_jwt(KeyPair::from_file("client-key.jwk")?);
//! let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
//! let options = RequestOptions::new().prover(&prover).http(&client_http);
//!
//! let parameters = Parameters::new().scope("orders:read").resource("https://api.example.com");
//! let response = client_credentials_grant_request(&server, &client, &auth, parameters, &options)?;
//! let token = process_client_credentials_response(&server, &client, response)?;
//! assert_eq!(token.jkt(), Some(prover.thumbprint()));
//!
//! let url = "https://api.example.com/orders";
//! let mut call = ResourceRequest::new(&server, &prover, token.access_token(), &http::Method::GET, url)?;
//! let orders = call.run(&http::Request::default(), &client_http)?;
//! # let _ = orders;
//! # Ok(()) }
//! # #[cfg(not(feature = "ureq"))] fn main() {}
//! ```
//!
//! # Other grants
//!
//! Every grant and endpoint has such a pair of functions: authorization code, refresh token, device
//! authorization, token exchange, JWT bearer and any other ([`token_endpoint_request`]); pushed authorization
//! requests, revocation, introspection, registration; [`protected_resource_metadata`]. A [`Session`] gets its
//! tokens by the grant that [`SessionBuilder::grant`] names. See [`guide::sign_in`],
//! [`guide::act_for_a_user`] and, for tokens that outlive the process, [`guide::keep_a_session`].
//!
//! # Another HTTP client, or none
//!
//! [`SessionBuilder::http`] gives a session any [`HttpClient`] for its requests to the authorization server;
//! [`Session::authorize`] and [`Session::receive`] put token and proof on the calls that you send.
//! [`Session::agent`] makes a ureq agent instead.
//!
//! [`TokenRequest`], [`EndpointRequest`], [`ResourceRequest`] and [`Discovery`] do no I/O: each produces a
//! request, processes the response and says by a [`Step`] whether to retry. [`Proof`] makes a single proof.
//! See [`guide::http_client`].
//!
//! # The server half
//!
//! The module [`server`] verifies what clients send. A [`Verifier`](server::Verifier) makes every check of
//! RFC 9449 §4.3 and remembers proofs against replay. A [`ResourceServer`](server::ResourceServer)
//! authenticates whole requests: it validates access tokens as well, JWTs by a
//! [`JwtValidator`](server::JwtValidator) and others by an [`Introspector`](server::Introspector).
//! [`StatelessNonces`](server::StatelessNonces) makes and recognizes nonces. A
//! [`Rejection`](server::Rejection) has a precise reason for your log and a ready response with RFC codes
//! only for the peer. See [`guide::protect_an_api`] and [`guide::token_endpoint`].
//!
//! # What it insists on
//!
//! - **https**, unless an option with `dangerous` in its name allows plain http on loopback.
//! - **Redirects are never followed**: a proof, a token or a secret would be sent with it.
//! - **One retry** for a nonce, and only when a new one came with the challenge; one for a wrong clock, by a
//!   day at most, and ahead by five minutes at most unless the server demands nonces. Each attempt has its
//!   own proof and its own client assertion. A nonce belongs to an origin and a [`ServerRole`].
//! - **A `Bearer` token in response to a DPoP request is an error.**
//! - **URLs have one meaning**: user names, backslashes, white space, dot segments and numeric hosts other
//!   than dotted IPv4 are refused, not repaired. What is sent is what `htu` says.
//! - **Limits**: 30 seconds for a request, a minute for a call with all that it needs, 1 MiB for a response
//!   of an authorization server; each of them can be set.
//! - **Secrets** stay out of `Debug`, errors and log records, and are wiped from memory when dropped
//!   ([`KeyPair`] names the exceptions).
//!
//! [`guide::security`] has the rest, and [`guide::errors`] says what errors mean.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `ring` | yes | ES256 five times faster; ES384, RS256, RS384, RS512, PS256, PS384 and PS512, which are errors without it ([`guide::algorithms`]) |
//! | `ureq` | yes | [`Transport`], and the calls of a [`Session`] that go over it (`get`, `post`, `run`, `agent`) |
//! | `loopback` | yes | [`LoopbackListener`] and [`open_browser`], to sign users in on their own machine ([`guide::sign_in`]) |
//! | `json` | no | `Body::json` and [`JsonResponse`]: bodies of requests and responses by serde |
//! | `ureq-unversioned` | yes | host names are resolved only when a connection is opened, through `ureq::unversioned`; without it, for each request |
//! | `redis` | no | [`RedisReplayStore`](server::RedisReplayStore), for servers on several nodes ([`guide::several_nodes`]) |
//! | `cli` | no | the program `possession`: DPoP at the command line |
//! | `testing` | no | the module [`testing`]: a server that misbehaves on purpose ([`guide::testing_a_client`]) |
//!
//! Without `ureq` everything else works over your own [`HttpClient`]; without `ring` as well, the crate
//! depends on no C code. The crates `http` and, with the features, `ureq`, `serde`, `redis` and `r2d2` are
//! re-exported, because their types are part of this crate's interface. [`guide::daemon`] lists the records
//! for the crate `log`.
// The links to what a feature adds are checked in a build with all features.
#![cfg_attr(
    not(all(
        feature = "json",
        feature = "loopback",
        feature = "redis",
        feature = "testing",
        feature = "ureq"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]
// docs.rs shows beside each item which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod back_off;
mod circuit_breaker;
mod client;
mod crypto;
mod dpop;
mod error;
pub mod guide;
mod jose;
#[cfg(all(test, shuttle))]
mod models;
mod oauth;
mod private_file;
pub mod server;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;
mod url;

// Crates whose types are part of this crate's interface, so that a caller can name them in the same
// version: requests, responses and methods; claims; private keys that are wiped when dropped; the pool of
// the Redis store; the body of a session's response; what is read from JSON.
pub use http;
#[cfg(feature = "redis")]
pub use r2d2;
#[cfg(feature = "redis")]
pub use redis;
#[cfg(feature = "json")]
pub use serde;
pub use serde_json;
#[cfg(feature = "ureq")]
pub use ureq;
pub use zeroize;

pub use client::endpoints::endpoint_request::EndpointRequest;
pub use client::endpoints::endpoint_response::EndpointResponse;
pub use client::endpoints::introspection::{
    Introspection, introspection_request, process_introspection_response,
};
pub use client::endpoints::pushed_authorization_request::{
    PushedAuthorizationRequest, PushedAuthorizationResponse, authorization_request,
    process_pushed_authorization_response, pushed_authorization_request,
};
pub use client::endpoints::registration::{
    ClientMetadata, ClientRegistration, RegistrationRequest, process_registration_response,
    registration_request,
};
pub use client::endpoints::revocation::{process_revocation_response, revocation_request};
pub use client::grants::authorization_code::{
    AuthorizationCode, authorization_code_grant_request, process_authorization_code_response,
};
pub use client::grants::client_credentials::{
    client_credentials_grant_request, process_client_credentials_response,
};
pub use client::grants::device_code::{
    DeviceAuthorization, DevicePolling, device_authorization_request, device_code_grant_request,
    poll_device_code, process_device_authorization_response, process_device_code_response,
};
pub use client::grants::extension::{process_token_endpoint_response, token_endpoint_request};
pub use client::grants::jwt_bearer::{jwt_bearer_grant_request, process_jwt_bearer_response};
pub use client::grants::refresh_token::{process_refresh_token_response, refresh_token_grant_request};
pub use client::grants::token_endpoint_response::TokenEndpointResponse;
pub use client::grants::token_exchange::{
    TokenExchange, process_token_exchange_response, token_exchange_grant_request,
};
pub use client::grants::token_request::TokenRequest;
pub use client::grants::token_response::{TokenResponse, TokenType};
pub use client::parameters::Parameters;
pub use client::proofs::proof_target::ProofTarget;
pub use client::proofs::prover::Prover;
pub use client::request_options::RequestOptions;
pub use client::resource_request::ResourceRequest;
pub use client::session::Session;
#[cfg(feature = "ureq")]
pub use client::session::body::Body;
pub use client::session::builder::SessionBuilder;
pub use client::session::grant::Grant;
#[cfg(feature = "json")]
pub use client::session::json::JsonResponse;
pub use client::session::stats::Stats;
pub use client::session_store::file_store::FileStore;
pub use client::session_store::stored_session::StoredSession;
pub use client::session_store::{SessionStore, StoreLock};
pub use client::sign_in::authorization_request::AuthorizationRequest;
#[cfg(feature = "loopback")]
pub use client::sign_in::loopback::{LoopbackListener, LoopbackListenerBuilder};
#[cfg(feature = "loopback")]
pub use client::sign_in::open_browser::open_browser;
pub use client::sign_in::pending_authorization::PendingAuthorization;
pub use client::sign_in::pkce::CodeVerifier;
#[cfg(feature = "ureq")]
pub use client::transport::{Transport, TransportBuilder};
pub use dpop::htu::Htu;
pub use dpop::proof::{Proof, ath};
pub use dpop::server_role::ServerRole;
pub use error::{Error, ErrorKind, StoreProblem};
pub use jose::algorithm::Algorithm;
pub use jose::json::JsonError;
pub use jose::jws::JwsError;
pub use jose::key_pair::KeyPair;
pub use jose::public_key::{PublicKey, Thumbprint};
pub use jose::signer::{Signer, ecdsa_signature_from_der};
pub use oauth::challenge::{Challenge, ChallengeError};
pub use oauth::client::Client;
pub use oauth::client_assertion::AssertionOptions;
pub use oauth::client_auth::{ClientAuth, HmacAlgorithm};
pub use oauth::discovery::{Discovery, MetadataLocation};
pub use oauth::http_client::{HttpClient, RemainingTime, RequestBody};
pub use oauth::metadata::{AuthorizationServer, AuthorizationServerBuilder};
pub use oauth::oauth_error::OAuthError;
pub use oauth::protected_resource::{
    ProtectedResource, ProtectedResourceDiscovery, protected_resource_metadata,
};
pub use oauth::retry_after::retry_after;
pub use oauth::step::Step;
pub use time::{Clock, SystemClock};

/// The README's programs are compiled with the tests.
#[cfg(all(doctest, feature = "ureq"))]
#[doc = include_str!("../README.md")]
struct Readme;
