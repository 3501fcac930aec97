//! Shared by the tests of the verifier: keys, proofs with any content, and checks of a whole response.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{HeaderMap, Response, StatusCode, header};
use possession::server::{
    InsertOutcome, MemoryReplayStore, ProofRecord, Reason, ReceivedRequest, Rejection, ReplayKey,
    ReplayStore, ReplayStoreError, VerifiedProof, Verifier,
};
use possession::{Challenge, KeyPair, ServerRole, Signer, Thumbprint};
use serde_json::{Value, json};

/// RFC 8037 Appendix A.1. Ed25519 is the faster algorithm in a build without optimization.
pub const MINE: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// RFC 7517 Appendix A.2.
pub const ES256: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;

/// The access token and its `ath` in RFC 9449, figures 13 and 14.
pub const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

pub const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

pub const URL: &str = "https://server.example.com/token";

/// The verifier's clock unless a test says otherwise. By default a proof may be 60 s old or 10 s ahead.
pub const NOW: u64 = 1_700_000_000;

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn key(jwk: &str) -> KeyPair {
    KeyPair::from_jwk(jwk).unwrap()
}

pub fn mine() -> KeyPair {
    key(MINE)
}

pub fn jkt(key: &KeyPair) -> Thumbprint {
    key.to_public().thumbprint()
}

pub fn header_of(key: &KeyPair) -> Value {
    let jwk: Value = serde_json::from_str(key.to_public().to_jwk()).unwrap();
    json!({"typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk})
}

/// Claims that are valid at `NOW` for both the token endpoint and the resource.
pub fn claims(jti: &str) -> Value {
    json!({"jti": jti, "htm": "POST", "htu": URL, "iat": NOW, "ath": ATH, "nonce": "n1"})
}

pub fn set(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

pub fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name).unwrap();
    object
}

/// A compact JWS with exactly this header and these claims, correctly signed.
pub fn jws(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&key.sign(signed.as_bytes()).unwrap()))
}

pub fn proof(claims: &Value) -> String {
    let key = mine();
    jws(&key, &header_of(&key), claims)
}

/// A proof with the signature of another message.
pub fn badly_signed(claims: &Value) -> String {
    let other = proof(&json!({}));
    let good = proof(claims);
    format!("{}.{}", good.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1)
}

pub fn received(proofs: &[String]) -> ReceivedRequest<'_> {
    ReceivedRequest::from_fields(&http::Method::POST, URL, proofs.iter().map(String::as_bytes).collect())
        .unwrap()
}

pub fn token_request(verifier: &Verifier, proof: &str, now: u64) -> Result<VerifiedProof, Reason> {
    let proofs = [proof.to_owned()];
    let seen = verifier.verify_token_request(&received(&proofs), at(now));
    seen.map_err(|rejection| rejection.reason().clone())
}

pub fn memory() -> Verifier {
    Verifier::new(MemoryReplayStore::new(100_000))
}

/// The arguments of one call of a replay store: the proof and the time of the request.
pub type Asked = (ProofRecord, SystemTime);

/// A replay store that implements the contract to the second: an entry is removed right after it ends. It
/// records its calls.
#[derive(Default)]
pub struct Exact {
    entries: Mutex<HashMap<ReplayKey, SystemTime>>,
    pub asked: Mutex<Vec<Asked>>,
}

impl ReplayStore for Exact {
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        self.asked.lock().unwrap().push((proof.clone(), now));
        let mut entries = self.entries.lock().unwrap();
        entries.retain(|_, end| *end >= now);
        match entries.insert(*proof.key(), proof.accepted_until()) {
            None => Ok(InsertOutcome::Inserted),
            Some(_) => Ok(InsertOutcome::AlreadyPresent),
        }
    }
}

pub fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

pub const ALGS: &str = "ES256 EdDSA Ed25519";

/// Checks the whole response of a rejection. V-59 and V-60; RFC 6749 §5.2 and RFC 9449 §5 and §8 for the
/// token endpoint, RFC 9449 §7.1 and §9 for the resource.
pub fn assert_response(rejection: &Rejection, part: ServerRole, error: Option<&str>, algs: &str) {
    // For the log: one line of ASCII, but for the sign with which the crate itself cites RFCs.
    let text = rejection.to_string();
    assert!(text.chars().all(|c| matches!(c, ' '..='~' | '§')), "{text:?}");

    // A fault of the server is not blamed on the proof.
    let own = matches!(rejection.reason(), Reason::Clock(_) | Reason::ReplayStore(_));
    assert_eq!((rejection.is_server_fault(), rejection.error()), (own, error));
    let response = rejection.to_response();
    let Some(error) = error else {
        // RFC 6585 §4
        let overuse = matches!(rejection.reason(), Reason::TooManyProofs { .. });
        let status = if overuse { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(response.status(), status);
        let pause: &[&str] = if overuse { &["retry-after"] } else { &[] };
        assert_eq!(names(response.headers()), [&["cache-control"], pause].concat());
        assert_eq!(response.body(), "");
        assert_common(&response, None);
        return;
    };
    // The nonce comes with the challenge that demands one.
    assert_eq!(rejection.nonce().is_some(), error == "use_dpop_nonce");
    let mut expected = vec!["cache-control", "content-type"];
    expected.extend(rejection.nonce().map(|_| "dpop-nonce"));
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(response.body(), &format!(r#"{{"error":"{error}"}}"#));
    match part {
        ServerRole::AuthorizationServer => {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        }
        ServerRole::ResourceServer => {
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            expected.push("www-authenticate");
            let challenges = Challenge::from_headers(response.headers()).unwrap();
            let [challenge] = challenges.as_slice() else { panic!("{challenges:?}") };
            assert_eq!((challenge.scheme(), challenge.token68()), ("dpop", None));
            let mut params = challenge.params().to_vec();
            params.sort();
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(params, [pair("algs", algs), pair("error", error)]);
        }
    }
    assert_eq!(names(response.headers()), expected);
    assert_common(&response, rejection.nonce());
}

pub fn assert_common(response: &Response<String>, nonce: Option<&str>) {
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store"); // RFC 9449 §8.2
    let nonces: Vec<_> =
        response.headers().get_all("dpop-nonce").iter().map(|n| n.to_str().unwrap()).collect();
    assert_eq!(nonces, Vec::from_iter(nonce)); // RFC 9449 §8: at most one
}
