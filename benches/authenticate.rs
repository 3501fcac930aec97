//! Compares the authentication of whole requests with one bare verification of an ES256 signature: `cargo
//! bench --features testing --bench authenticate`.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, SystemTime};

use common::bare::{es256, split};
use common::requests::{ISSUER, Issuer, ORIGIN, proof, request, resource_server};
use common::{Bench, at_most, side_by_side};
use http::request::Parts;
use http::{Request, Response};
use possession::server::{Introspector, ResourceServer, TokenValidator};
use possession::{
    Algorithm, AuthorizationServer, Client, ClientAuth, Error, HttpClient, KeyPair, RequestBody, Thumbprint,
};

fn main() {
    let (key, issuer) = (KeyPair::generate(Algorithm::Es256).expect("a key"), Issuer::new());
    let (_, verify) = es256(&key);
    let jkt = key.to_public().thumbprint();
    let authenticate = |api: &ResourceServer, request: &Parts| {
        api.authenticate(request, SystemTime::now()).expect("a valid request")
    };

    // One token for all requests, whose signature is verified with the first of them.
    let token = issuer.token(&jkt);
    let (seen, nonce) = resource_server(issuer.validator());
    let seen = Bench::with_inputs(|| request(&key, &token, &nonce), |request| authenticate(&seen, request));

    let (unseen, nonce) = resource_server(issuer.validator());
    let new_token = || request(&key, &issuer.token(&jkt), &nonce);
    let unseen = Bench::with_inputs(new_token, |request| authenticate(&unseen, request));

    let (introspected, nonce) = resource_server(introspector(&jkt));
    let opaque = || request(&key, common::TOKEN, &nonce);
    let introspected = Bench::with_inputs(opaque, |request| authenticate(&introspected, request));

    // A proof for the JWT is as long as one for an opaque token.
    let bare = Bench::with_inputs(
        || split(&proof(&key, &token, &nonce)),
        |(message, signature)| verify(message.as_bytes(), signature),
    );
    let [seen, unseen, introspected, bare] = side_by_side([seen, unseen, introspected, bare]);
    println!(
        "a request with a JWT seen before {:.1} µs, with a new JWT {:.1}, introspected before {:.1}; bare {:.1}",
        seen.median(),
        unseen.median(),
        introspected.median(),
        bare.median()
    );
    let backend = if cfg!(feature = "ring") { "ring" } else { "p256" };
    let line = |what: &str| format!("authenticate, {what} / bare {backend} verification");
    at_most(&line("JWT seen before"), seen.over(&bare), 1.25);
    at_most(&line("new ES256 JWT"), unseen.over(&bare), 2.15);
    at_most(&line("introspection cached"), introspected.over(&bare), 1.25);
}

/// Returns a validator that caches the response of an authorization server.
fn introspector(jkt: &Thumbprint) -> impl TokenValidator + 'static {
    let server = AuthorizationServer::builder(ISSUER)
        .member("token_endpoint", format!("{ISSUER}/token"))
        .member("introspection_endpoint", format!("{ISSUER}/introspect"))
        .build()
        .expect("metadata");
    let mut claims = Issuer::claims(jkt);
    claims["active"] = true.into();
    let http = OneResponse(claims.to_string());
    let client = Client::new("orders-api").expect("a client");
    let auth = ClientAuth::client_secret_basic("secret");
    let tokens = Introspector::new(&server, &client, &auth, ORIGIN, http).expect("a validator");
    tokens.cache(Duration::from_secs(3600))
}

/// An authorization server that gives one response to all requests.
struct OneResponse(String);

impl HttpClient for OneResponse {
    fn send(&self, _: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(self.0.clone().into_bytes()).expect("a response"))
    }
}
