//! How to protect an API, step by step. There is no code here but in the examples.
//!
//! # Protect an API in ten lines
//!
//! A [`ResourceServer`](crate::server::ResourceServer) takes a request and answers who is asking, or the response to refuse it
//! with. It needs to know its own origin, how access tokens are validated, and what to remember of proofs:
//!
//! ```no_run
//! # #[cfg(feature = "ureq")] {
//! use std::time::SystemTime;
//! use possession::*;
//! use possession::server::{JwtValidator, MemoryReplayStore, ResourceServer, StatelessNonces, Verifier};
//!
//! # fn main() -> Result<(), Error> {
//! let http = Transport::new();
//! let server = AuthorizationServer::discover("https://as.example.com", &http)?;
//! let tokens = JwtValidator::new(&server, "https://api.example.com", http)?;
//! let verifier = Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(StatelessNonces::generate()?);
//! let api = ResourceServer::new("https://api.example.com", verifier, tokens)?;
//!
//! # let (parts, _) = http::Request::new(()).into_parts();
//! match api.authenticate(&parts, SystemTime::now()) {
//!     Ok(caller) => println!("{:?}", caller.token().claim("sub")), // serve it; `caller.add_headers(…)` onto the response
//!     Err(rejection) => println!("{}", rejection.reason()),        // log it; answer `rejection.to_response()`
//! }
//! # Ok(()) }
//! # }
//! ```
//!
//! Tokens that are not JWTs are asked about at the authorization server: an [`Introspector`](crate::server::Introspector) in place
//! of the [`JwtValidator`](crate::server::JwtValidator). Tokens of your own are looked up by a
//! [`TokenValidator`](crate::server::TokenValidator) of yours. Fetching keys and introspection block: on an async server, call
//! `authenticate` where blocking is allowed (`examples/resource_server.rs` does so on axum).
//!
//! How large the replay store must be: proofs a second at the busiest, times
//! [`max_age`](crate::server::Verifier::max_age) plus [`leeway`](crate::server::Verifier::leeway) in seconds. When it is full,
//! requests are refused with 503, never let through.
//!
//! Authenticate before a router takes a prefix off the path, as nested routers do: the proof names the whole of it.
//!
//! # At the token endpoint
//!
//! [`Verifier::verify_token_request`](crate::server::Verifier::verify_token_request) checks the proof of a token request: put
//! [`cnf`](crate::server::VerifiedProof::cnf) into the token and answer `token_type: DPoP`. A refresh token that is bound to a key,
//! or an authorization request with `dpop_jkt`, is checked with
//! [`token_request_of`](crate::server::Verifier::verify_token_request_bound_to). Authenticate the client first: proofs by keys that anybody can
//! make fill the replay store. `examples/authorization_server.rs` is a small one.
//!
//! # Nonces
//!
//! With [`require_nonces`](crate::server::Verifier::require_nonces) a proof is worth nothing before the server has given a nonce, so
//! none can be made in advance. [`StatelessNonces`](crate::server::StatelessNonces) keep nothing per client. Give the nonce of
//! [`next_nonce`](crate::server::VerifiedProof::next_nonce) with successful responses ([`add_headers`](crate::server::Authenticated::add_headers)
//! does so), and a client that calls at least once in half a lifetime is challenged once in its life.
//! [`trust_nonce_time`](crate::server::Verifier::trust_nonce_time) serves clients whose clock is wrong.
//!
//! # More than one node
//!
//! Two things must be shared: the secret of the nonces, or each node would refuse the others'; and the replay store, or each
//! proof could be used once at every node. The secret comes from your configuration
//! ([`StatelessNonces::new`](crate::server::StatelessNonces::new)); the store is `RedisReplayStore` (feature `redis`), or a
//! [`ReplayStore`](crate::server::ReplayStore) of yours over anything with an atomic insert-if-absent. Without a shared store, short
//! nonces bound what a thief of one proof can do, and nothing more. Clocks of the nodes should agree within seconds.
//!
//! # Behind a proxy
//!
//! A proof names the URL the client called. What the proxy passes on may have another scheme, host and path, so the server's
//! public origin is configured, and nothing is taken from `Host`, `Forwarded` or `X-Forwarded-*`: a client could write them.
//! A server that is reached under several origins names them in
//! [`trust_forwarded_origins`](crate::server::ResourceServer::trust_forwarded_origins), for a proxy that sets or removes those fields
//! on every request. A proxy that changes the path must be told to leave it, or the original path given to
//! [`ReceivedRequest::new`](crate::server::ReceivedRequest::new).
//!
//! # Rotate the nonce secret
//!
//! 1. Every node: `StatelessNonces::new(old)?.accept(new)?`.
//! 2. Every node: `StatelessNonces::new(new)?.accept(old)?`.
//! 3. After the lifetime of a nonce, every node: `StatelessNonces::new(new)?`.
//!
//! No client notices. If the old secret is known to others, go to the third step at once: clients are challenged once.
//!
//! # Other algorithms
//!
//! A [`Verifier`](crate::server::Verifier) accepts ES256 and Ed25519, a [`JwtValidator`](crate::server::JwtValidator) RS256 as well. With the
//! feature `ring` ES384 and the RSA algorithms are checked too, once they are on the list: `algorithms([Algorithm::Es256,
//! Algorithm::Ps256])`. For others, ES512 and ML-DSA among them, and for a module that has a certificate, a
//! [`SignatureVerifier`](crate::server::SignatureVerifier) joins the verifier or the validator.
