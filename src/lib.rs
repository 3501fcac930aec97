//! DPoP proof of possession (RFC 9449) for blocking programs that get and use sender-constrained access tokens, and for
//! servers that check the proofs.
//!
//! A Bearer token works for whoever has it. A DPoP-bound token works only together with a key that never leaves the
//! client: each request carries a *proof*, a small signed JWT that names the method (`htm`) and the URL (`htu`) of that
//! one request.
//!
//! # The simplest useful program
//!
//! ```no_run
//! use possession::{Algorithm, ClientAuth, KeyPair, Session};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let session = Session::builder("https://as.example.com", "my-client")
//!         .auth(ClientAuth::client_secret_basic(std::env::var("CLIENT_SECRET")?))
//!         .key(KeyPair::generate(Algorithm::Es256)?)
//!         .scope("orders:read")
//!         .discover()?;
//!     let orders = session.get("https://api.example.com/orders")?.body_mut().read_to_string()?;
//!     println!("{orders}");
//!     Ok(())
//! }
//! ```
//!
//! A [`Session`] discovers the authorization server, gets a token when one is needed, keeps it live, puts token and proof
//! on each call, and answers the nonce challenges of both servers. Clones share all of that among threads, and it can be left
//! running: [what it does by itself](Session#what-it-does-by-itself). [`Session::agent`] makes a ureq agent of it;
//! [`Session::authorize`] serves another HTTP client.
//!
//! # Step by step
//!
//! The session stands on functions you can call yourself, after the model of oauth4webapi: the request takes server
//! metadata, client metadata, client authentication, parameters and options, and its twin checks the response.
//!
//! ```no_run
//! use possession::*;
//!
//! # fn main() -> Result<(), Error> {
//! let http = Transport::new();
//! let server = AuthorizationServer::discover("https://as.example.com", &http)?;
//! let client = Client::new("my-client")?;
//! let auth = ClientAuth::private_key_jwt(KeyPair::from_jwk(r#"{"kty":"EC", "…": "…"}"#)?);
//! let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
//! let options = RequestOptions::new().prover(&prover).http(&http);
//!
//! let parameters = Parameters::new().scope("orders:read").resource("https://api.example.com");
//! let response = client_credentials_grant_request(&server, &client, &auth, parameters, &options)?;
//! let token = process_client_credentials_response(&server, &client, response)?;
//! assert_eq!(token.jkt(), Some(prover.thumbprint()));
//! # Ok(()) }
//! ```
//!
//! # Another HTTP client, or none
//!
//! [`TokenRequest`], [`ResourceRequest`] and [`Discovery`] hand out an [`http::Request`] and take in an [`http::Response`]
//! without any I/O, so that the whole protocol runs over any HTTP client and in tests without a socket. Implement
//! [`HttpClient`] and they are driven for you. [`Proof`] makes a single proof by hand.
//!
//! # The server's side
//!
//! A [`Verifier`] makes every check of RFC 9449 §4.3 and remembers proofs against replay; its entry for resource servers
//! takes the access token and the thumbprint it is bound to, so that neither can be forgotten. A [`Rejection`] has a
//! precise [`Reason`] for your logs and a ready response for the peer that tells only RFC codes. [`StatelessNonces`] make
//! and recognise nonces. A [`ResourceServer`] takes whole requests: it validates access tokens ([`JwtValidator`] for
//! RFC 9068, [`Introspector`] for RFC 7662) and their proofs, and answers who is asking. The [`guide`] goes through it.
//!
//! # What it insists on
//!
//! - **https**, unless an option with `dangerous` in its name allows plain http on loopback.
//! - **Redirects are never followed**: a proof, a token or a secret would go along.
//! - **One retry** for a nonce, and only when a new one came with the challenge; one for a clock, and only when the response's
//!   `Date` certainly differs, by a day at the most. Each attempt has a proof and a client assertion of its own. Nonces are
//!   kept by origin and by [`ServerRole`], from every response.
//! - **A `Bearer` token in answer to a DPoP request is an error.**
//! - **URLs mean one thing**: no user names, backslashes, white space, dot segments or numeric hosts other than dotted
//!   IPv4; what could be read in two ways is refused, not repaired. What is sent is what `htu` says.
//! - **Bounds**: 30 seconds for a request, a minute for a call with all that it takes, 1 MiB for a response of an
//!   authorization server, all settable.
//! - **Secrets** stay out of `Debug`, errors and logs, and are wiped from memory when dropped
//!   ([`KeyPair`] says what is not).
//!
//! # Features
//!
//! `redis` brings `RedisReplayStore`, for servers on more than one machine.
//!
//! `ring` (on by default) makes ES256 five times faster, and brings ES384, RS256, RS384, RS512, PS256, PS384 and PS512: keys of
//! them, signatures and checks. Without it such a key is an error that says so, and nothing else changes.
//!
//! `testing` brings the module `testing`: an authorization server and a resource that misbehave on purpose, for tests of
//! clients.
//!
//! `ureq` (on by default) brings [`Transport`] and [`Session`]. Without it the crate proves, builds grants, drives
//! exchanges and verifies. Without `ring` as well it depends on no C code.
//!
//! The crates `http` and, with the features, `ureq`, `redis` and `r2d2` are re-exported, since their types are part of this
//! crate's interface. Records for the `log` crate (debug: each request and retry; info: each token, each pause; warn: what a
//! server does against the RFCs, clocks that differ, a proof that is refused again, a token that was not renewed) name
//! servers, clients and statuses, never a secret, a token or a proof. ureq's own records show URLs with their queries; those of
//! `ureq_proto` at trace level show everything, so [`Transport`] sends nothing while a logger takes them.
#![cfg_attr(not(feature = "ureq"), allow(rustdoc::broken_intra_doc_links))] // Session and Transport are not there

mod client;
mod crypto;
mod dpop;
mod error;
pub mod guide;
mod jose;
mod oauth;
pub mod server;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;
mod url;

pub use http;
#[cfg(feature = "redis")]
pub use r2d2;
#[cfg(feature = "redis")]
pub use redis;
#[cfg(feature = "ureq")]
pub use ureq;

pub use client::client_credentials::{client_credentials_grant_request, process_client_credentials_response};
pub use client::parameters::Parameters;
pub use client::proof_target::ProofTarget;
pub use client::prover::Prover;
pub use client::request_options::RequestOptions;
pub use client::resource_request::ResourceRequest;
#[cfg(feature = "ureq")]
pub use client::session::{Body, Session, SessionBuilder, Stats};
pub use client::token_endpoint_response::TokenEndpointResponse;
pub use client::token_request::TokenRequest;
pub use client::token_response::{TokenResponse, TokenType};
#[cfg(feature = "ureq")]
pub use client::transport::{Transport, TransportBuilder};
pub use dpop::htu::Htu;
pub use dpop::proof::{Proof, ath};
pub use dpop::server_role::ServerRole;
pub use error::{Error, ErrorKind};
pub use jose::algorithm::Algorithm;
pub use jose::jws::JwsError;
pub use jose::key_pair::KeyPair;
pub use jose::public_key::{PublicKey, Thumbprint};
pub use jose::signer::{Signer, ecdsa_signature_from_der};
pub use oauth::challenge::Challenge;
pub use oauth::client::Client;
pub use oauth::client_assertion::AssertionOptions;
pub use oauth::client_auth::{ClientAuth, HmacAlgorithm};
pub use oauth::discovery::Discovery;
pub use oauth::http_client::{HttpClient, RequestBody};
pub use oauth::metadata::{AuthorizationServer, AuthorizationServerBuilder};
pub use oauth::oauth_error::OAuthError;
pub use oauth::step::Step;
pub use time::{Clock, SystemClock};

/// The README's programs are compiled with the tests.
#[cfg(all(doctest, feature = "ureq"))]
#[doc = include_str!("../README.md")]
struct Readme;
