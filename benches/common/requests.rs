//! Requests to a protected resource: an issuer of access tokens, the resource server, and a client that makes
//! each request with a new proof.

use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::request::Parts;
use possession::server::{
    JwtValidator, MemoryReplayStore, ResourceServer, StatelessNonces, TokenValidator, Verifier,
};
use possession::{Algorithm, KeyPair, Proof, Signer, Thumbprint};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://as.example.com";
pub const ORIGIN: &str = "https://api.example.com";

/// An issuer of JWT access tokens that are signed with ES256 (RFC 9068).
pub struct Issuer(KeyPair);

impl Issuer {
    pub fn new() -> Self {
        Self(KeyPair::generate(Algorithm::Es256).expect("a key"))
    }

    /// The claims of a token for that key.
    pub fn claims(jkt: &Thumbprint) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        json!({
            "iss": ISSUER, "aud": ORIGIN, "sub": "3f0c1b9e", "client_id": "orders-job", "iat": now,
            "exp": now + 3600, "jti": uuid(), "scope": "orders:read orders:write",
            "cnf": { "jkt": jkt.to_string() },
        })
    }

    /// Issues a new token.
    pub fn token(&self, jkt: &Thumbprint) -> String {
        let encode = |part: &Value| Base64UrlUnpadded::encode_string(part.to_string().as_bytes());
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": "2026-1" });
        let message = format!("{}.{}", encode(&header), encode(&Self::claims(jkt)));
        let signature = self.0.sign(message.as_bytes()).expect("a signature");
        format!("{message}.{}", Base64UrlUnpadded::encode_string(&signature))
    }

    /// A validator that has the key of the issuer.
    pub fn validator(&self) -> JwtValidator {
        let mut key: Value = serde_json::from_str(self.0.to_public().to_jwk()).expect("a key");
        key["kid"] = json!("2026-1");
        let keys = json!({ "keys": [key] }).to_string();
        JwtValidator::with_keys(ISSUER, ORIGIN, &keys).expect("a validator")
    }
}

fn uuid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("randomness");
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Returns a resource server that demands nonces and remembers proofs, and the nonce of its first challenge.
pub fn resource_server(tokens: impl TokenValidator + 'static) -> (ResourceServer, String) {
    let nonces = StatelessNonces::generate().expect("randomness");
    let verifier = Verifier::new(MemoryReplayStore::new(400_000)).require_nonces(nonces);
    let api = ResourceServer::new(ORIGIN, verifier, tokens).expect("a resource server");
    let key = KeyPair::generate(Algorithm::Es256).expect("a key");
    let challenge = api.authenticate(&request(&key, super::TOKEN, ""), SystemTime::now());
    let nonce = challenge.expect_err("a challenge").nonce().expect("a nonce").to_owned();
    (api, nonce)
}

/// Returns a proof for a request with that token.
pub fn proof(key: &KeyPair, token: &str, nonce: &str) -> String {
    let proof = Proof::new(&http::Method::GET, super::URL).expect("a proof").access_token(token);
    let proof = if nonce.is_empty() { proof } else { proof.nonce(nonce) };
    proof.sign(key, SystemTime::now()).expect("a proof")
}

/// Returns a request with that token and a new proof.
pub fn request(key: &KeyPair, token: &str, nonce: &str) -> Parts {
    let target = super::URL.strip_prefix(ORIGIN).expect("a URL of the server");
    let request = http::Request::get(target).header("authorization", format!("DPoP {token}"));
    request.header("dpop", proof(key, token, nonce)).body(()).expect("a request").into_parts().0
}
