//! Whole requests at a resource server. The numbers in the names are rows of the project's threat catalogue.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use possession::server::*;

use possession::server::*;
use possession::*;
use serde_json::json;

const ORIGIN: &str = "https://api.example";
const NOW: u64 = 1_700_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// Knows three tokens, and counts how often it is asked.
#[derive(Clone)]
struct Tokens {
    bound_to: Thumbprint,
    asked: Arc<AtomicUsize>,
}

impl TokenValidator for Tokens {
    fn validate(&self, access_token: &str, _: SystemTime) -> Result<AccessToken, TokenError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let claims = |claims: serde_json::Value| AccessToken::new(claims.as_object().unwrap().clone());
        match access_token {
            "bound" => {
                claims(json!({"sub": "me", "scope": "read", "cnf": {"jkt": self.bound_to.to_string()}}))
            }
            "unbound" => claims(json!({"sub": "me", "scope": "read"})),
            "down" => Err(TokenError::Unavailable(Error::timeout("no answer"))),
            _ => Err(TokenError::Inactive),
        }
    }
}

struct Setup {
    key: KeyPair,
    asked: Arc<AtomicUsize>,
    api: ResourceServer,
}

fn setup() -> Setup {
    let key = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let tokens = Tokens { bound_to: key.public_key().thumbprint(), asked: Arc::clone(&asked) };
    let api = ResourceServer::new(ORIGIN, Verifier::new(MemoryReplayStore::new(1_000)), tokens).unwrap();
    Setup { key, asked, api }
}

fn proof(key: &KeyPair, method: &str, url: &str, token: &str) -> String {
    Proof::new(&method.parse().unwrap(), url).unwrap().access_token(token).sign(key, now()).unwrap()
}

fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

type Fields<'a> = &'a [(&'a str, &'a str)];
/// Status and `error`.
type Code = (u16, Option<String>);

/// Status, `error` and the schemes of an answer; and that it is one that may be given.
fn answer(rejection: &Rejection) -> (u16, Option<String>, Vec<String>) {
    let response = rejection.to_response();
    let challenges = Challenge::from_headers(response.headers()).unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.body(), "");
    // RFC 9110 §15.5.2: a 401 has a challenge; RFC 9449 §7.1: with the algorithms.
    assert_eq!(challenges.is_empty(), response.status() == StatusCode::SERVICE_UNAVAILABLE);
    for challenge in challenges.iter().filter(|challenge| challenge.scheme() == "dpop") {
        assert_eq!(challenge.param("algs"), Some("ES256 EdDSA Ed25519"));
    }
    let error = challenges.first().and_then(|challenge| challenge.param("error")).map(str::to_owned);
    let schemes = challenges.iter().map(|challenge| challenge.scheme().to_owned()).collect();
    (response.status().as_u16(), error, schemes)
}

fn code(rejection: &Rejection) -> Code {
    let (status, error, schemes) = answer(rejection);
    assert!(status == 503 || schemes == ["dpop"], "{schemes:?}");
    (status, error)
}

fn error(code: &str) -> Option<String> {
    Some(code.to_owned())
}

#[test]
fn who_is_asking() {
    let Setup { key, asked, api } = setup();
    let proof = proof(&key, "GET", "https://api.example/orders", "bound");
    // V-55: scheme in any case, more than one space; query and fragment do not matter.
    for (field, target, fresh) in [("DPoP bound", "/orders?page=2", true), ("dpop   bound", "/orders", false)]
    {
        let parts = parts("GET", target, &[("authorization", field), ("dpop", &proof)]);
        match api.authenticate(&parts, now()) {
            Ok(caller) => {
                assert!(fresh);
                assert_eq!(caller.thumbprint(), Some(key.public_key().thumbprint()));
                assert_eq!(caller.token().claim("sub"), Some(&json!("me")));
                assert!(api.require_scope(&caller, "read").is_ok());
                let refused = api.require_scope(&caller, "write").unwrap_err();
                assert_eq!(refused.reason(), &Reason::Scope { needed: "write".to_owned() });
                assert_eq!(code(&refused), (403, error("insufficient_scope")));
                let challenge = Challenge::from_headers(refused.to_response().headers()).unwrap();
                assert_eq!(challenge[0].param("scope"), Some("write"));
            }
            Err(rejection) => assert_eq!((fresh, rejection.reason()), (false, &Reason::Replayed)),
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// V-55, V-60: credentials that are missing, doubled or malformed.
#[test]
fn v55_credentials() {
    let Setup { key, asked, api } = setup();
    let proof = proof(&key, "GET", "https://api.example/", "bound");
    let dpop = ("dpop", proof.as_str());
    let invalid = (400, error("invalid_request"));
    let none = (401, None);
    let rows: [(Fields, &str, Code); 17] = [
        (&[], "/", none.clone()),
        (&[dpop], "/", none.clone()),
        (&[("authorization", "Basic YTpi"), dpop], "/", none.clone()),
        (&[("authorization", "DPoPx bound"), dpop], "/", none.clone()),
        (&[("authorization", "DPoP bound"), ("authorization", "DPoP bound"), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP bound"), ("authorization", "Bearer bound"), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP"), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP "), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP\tbound"), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP bound other"), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP bound,"), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP \"bound\""), dpop], "/", invalid.clone()),
        (&[("authorization", "DPoP b\u{f6}und"), dpop], "/", invalid.clone()),
        (&[("authorization", ""), dpop], "/", none.clone()),
        (&[("authorization", "DPoP bound"), dpop], "/?access_token=bound", invalid.clone()),
        (&[("authorization", "DPoP bound"), dpop], "/?a=b&access%5Ftoken=x", invalid.clone()),
        (&[("authorization", "DPoP bound"), dpop], "*", invalid),
    ];
    for (fields, target, expected) in rows {
        let rejection = api.authenticate(&parts("GET", target, fields), now()).unwrap_err();
        assert_eq!(code(&rejection), expected, "{fields:?} {target}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody was asked about any of them");
    assert!(api.authenticate(&parts("GET", "/", &[("authorization", "DPoP bound"), dpop]), now()).is_ok());
}

/// V-50, V-52, V-54: stolen tokens, downgrades, proofs for something else.
#[test]
fn v50_stolen_tokens_and_downgrades() {
    let Setup { key, asked, api } = setup();
    let thief = KeyPair::generate(Algorithm::Es256).unwrap();
    let url = "https://api.example/";
    let own = |token: &str| proof(&key, "GET", url, token);
    let ask = |api: &ResourceServer, fields: &[(&str, &str)]| {
        let rejection = api.authenticate(&parts("GET", "/", fields), now()).unwrap_err();
        (code(&rejection), rejection.reason().clone())
    };
    let dpop =
        |token: &str, proof: &str| ask(&api, &[("authorization", &format!("DPoP {token}")), ("dpop", proof)]);
    let (token_error, proof_error) = ((401, error("invalid_token")), (401, error("invalid_dpop_proof")));

    let (seen, reason) = dpop("bound", &proof(&thief, "GET", url, "bound"));
    assert_eq!(seen, token_error);
    assert!(matches!(reason, Reason::Binding { seen, .. } if seen == thief.public_key().thumbprint()));
    assert_eq!(dpop("unbound", &own("unbound")), (token_error.clone(), Reason::UnboundToken));
    assert_eq!(dpop("other", &own("other")), (token_error.clone(), Reason::Token(TokenError::Inactive)));
    assert_eq!(dpop("bound", &own("unbound")), (proof_error.clone(), Reason::Ath));
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(dpop("bound", &proof(&key, "POST", url, "bound")).0, proof_error);
    assert_eq!(dpop("bound", &proof(&key, "GET", "https://api.example/other", "bound")).0, proof_error);
    assert_eq!(dpop("bound", "garbage").0, proof_error);
    assert_eq!(ask(&api, &[("authorization", "DPoP bound")]), (proof_error.clone(), Reason::NoProof));
    let (first, second) = (own("bound"), own("bound"));
    let two = ask(&api, &[("authorization", "DPoP bound"), ("dpop", &first), ("dpop", &second)]);
    assert_eq!(two, (proof_error.clone(), Reason::SeveralProofs { fields: 2 }));
    assert_eq!(asked.load(Ordering::SeqCst), before, "a token is looked up for a good proof only");

    // RFC 9449 §7.2. Without Bearer tokens, nobody needs to be asked what it is.
    let bearer = [("authorization", "Bearer bound"), ("dpop", first.as_str())];
    assert_eq!(ask(&api, &bearer), (token_error.clone(), Reason::BearerNotAccepted));
    assert_eq!(ask(&api, &bearer[..1]), (token_error.clone(), Reason::BearerNotAccepted));
    assert_eq!(asked.load(Ordering::SeqCst), before);
    let both = api.clone().accept_unbound_bearer();
    for fields in [&bearer[..], &bearer[..1]] {
        let rejection = both.authenticate(&parts("GET", "/", fields), now()).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::BoundTokenAsBearer);
        let (status, error, schemes) = answer(&rejection);
        assert_eq!((status, error.as_deref()), (401, Some("invalid_token")));
        // RFC 9449 figure 18.
        assert_eq!(schemes, ["bearer", "dpop"]);
    }
    let caller =
        both.authenticate(&parts("GET", "/", &[("authorization", "bearer unbound")]), now()).unwrap();
    assert_eq!((caller.thumbprint(), caller.proof().is_none()), (None, true));
    // Nobody can tell: the server's fault, and so said.
    let (seen, reason) = dpop("down", &own("down"));
    assert_eq!(seen, (503, None));
    assert!(matches!(reason, Reason::Token(TokenError::Unavailable(_))));
}

fn answer_of(api: &ResourceServer, parts: &Parts) -> Result<(), Code> {
    api.authenticate(parts, now()).map(drop).map_err(|rejection| code(&rejection))
}

/// V-28, V-29, V-31: where the request went is this server's to say.
#[test]
fn v29_origin_and_path() {
    let Setup { key, api, .. } = setup();
    let token = ("authorization", "DPoP bound");
    let evil = proof(&key, "GET", "https://evil.example/orders", "bound");
    let liars = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "proto=https;host=evil.example"),
    ];
    let fields: Vec<_> = liars.iter().copied().chain([token, ("dpop", &evil)]).collect();
    for target in ["/orders", "https://evil.example/orders"] {
        assert_eq!(answer_of(&api, &parts("GET", target, &fields)), Err((401, error("invalid_dpop_proof"))));
        let mine = proof(&key, "GET", "https://api.example/orders", "bound");
        let fields: Vec<_> = liars.iter().copied().chain([token, ("dpop", &mine)]).collect();
        assert_eq!(answer_of(&api, &parts("GET", target, &fields)), Ok(()));
    }
    // Another spelling of the same path, and other paths (RFC 3986 §6.2.2).
    for (path, target, fine) in [
        ("/%7Eme/a", "/~me/a", true),
        ("/a%2fb", "/a%2Fb", true),
        ("/a%2Fb", "/a/b", false),
        ("/a/", "/a", false),
        ("/a", "/A", false),
        ("//a", "/a", false),
    ] {
        let proof = proof(&key, "GET", &format!("{ORIGIN}{path}"), "bound");
        let seen = answer_of(&api, &parts("GET", target, &[token, ("dpop", &proof)]));
        assert_eq!(seen.is_ok(), fine, "{path} for {target}");
    }
    // What routers and proofs would read in two ways.
    let proof = proof(&key, "GET", "https://api.example/files/x", "bound");
    for target in ["/users/../files/x", "/users/%2e%2E/files/x", "/./files/x"] {
        let seen = answer_of(&api, &parts("GET", target, &[token, ("dpop", &proof)]));
        assert_eq!(seen, Err((400, error("invalid_request"))), "{target}");
    }
    let verifier = || Verifier::new(MemoryReplayStore::new(1));
    let tokens = Tokens { bound_to: key.public_key().thumbprint(), asked: Arc::default() };
    for bad in
        ["api.example", "https://api.example/v1", "https://api.example?x", "https://u@api.example", "ftp://a"]
    {
        assert_eq!(
            *ResourceServer::new(bad, verifier(), tokens.clone()).unwrap_err().kind(),
            ErrorKind::Url,
            "{bad}"
        );
    }
}

/// V-29: behind a proxy that is trusted, and only among the origins that are this server's.
#[test]
fn v29_a_trusted_proxy() {
    let Setup { key, api, .. } = setup();
    let other = "https://other.example:8443";
    let api = api.trust_forwarded_origins([other]).unwrap();
    let rows: [(Fields, &str, Option<u16>); 13] = [
        (&[], ORIGIN, None),
        (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "other.example:8443")], other, None),
        (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example:443")], ORIGIN, None),
        (&[("forwarded", "for=1.2.3.4;proto=https;host=\"other.example:8443\"")], other, None),
        (&[("forwarded", "Host=API.example; Proto=https")], ORIGIN, None),
        // Named, and so not the first one.
        (&[("forwarded", "proto=https;host=\"other.example:8443\"")], ORIGIN, Some(401)),
        (
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")],
            "https://evil.example",
            Some(400),
        ),
        (&[("x-forwarded-proto", "http"), ("x-forwarded-host", "api.example")], ORIGIN, Some(400)),
        (&[("x-forwarded-host", "api.example")], ORIGIN, Some(400)),
        (
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example, other.example")],
            ORIGIN,
            Some(400),
        ),
        (
            &[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "api.example"),
                ("x-forwarded-host", "api.example"),
            ],
            ORIGIN,
            Some(400),
        ),
        (&[("forwarded", "proto=https;host=api.example"), ("x-forwarded-proto", "https")], ORIGIN, Some(400)),
        (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example/evil")], ORIGIN, Some(400)),
    ];
    for (fields, origin, refused) in rows {
        let proof = proof(&key, "GET", &format!("{origin}/"), "bound");
        let mut all = fields.to_vec();
        all.extend([("authorization", "DPoP bound"), ("dpop", proof.as_str())]);
        let seen = answer_of(&api, &parts("GET", "/", &all));
        assert_eq!(seen.err().map(|(status, _)| status), refused, "{fields:?}");
    }
    assert!(setup().api.trust_forwarded_origins(["https://other.example/path"]).is_err());
}

/// V-59: what the peer writes does not come back.
#[test]
fn v59_nothing_is_reflected() {
    let Setup { key, api, .. } = setup();
    let evil = "canary\"\\,;=x";
    let rows = [
        vec![("authorization", format!("DPoP {evil}"))],
        vec![("authorization", format!("{evil} t"))],
        vec![
            ("authorization", "DPoP canary".to_owned()),
            ("dpop", proof(&key, "GET", "https://api.example/", "canary")),
        ],
        vec![("authorization", "DPoP bound".to_owned()), ("dpop", evil.to_owned())],
        vec![
            ("authorization", "DPoP bound".to_owned()),
            ("dpop", proof(&key, "CANARY", "https://api.example/", "bound")),
        ],
        vec![
            ("authorization", "DPoP bound".to_owned()),
            ("dpop", proof(&key, "GET", "https://canary.example/", "bound")),
        ],
    ];
    for row in rows {
        let fields: Vec<_> = row.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let rejection = api.authenticate(&parts("GET", "/", &fields), now()).unwrap_err();
        let response = format!("{:?}", rejection.to_response()).to_lowercase();
        assert!(!response.contains("canary"), "{response}");
    }
}

/// The nonce on its way: asked for, given, renewed.
#[test]
fn nonces_through_a_resource_server() {
    let Setup { key, api: _, asked } = setup();
    let tokens = Tokens { bound_to: key.public_key().thumbprint(), asked: Arc::clone(&asked) };
    let verifier =
        Verifier::new(MemoryReplayStore::new(100)).require_nonces(StatelessNonces::generate().unwrap());
    let api = ResourceServer::new(ORIGIN, verifier, tokens).unwrap();
    let prover = Prover::new(key).unwrap();
    let call = |time: SystemTime| {
        let proof = Proof::new(&Method::GET, "https://api.example/").unwrap().access_token("bound");
        let proof = prover.prove(ServerRole::ResourceServer, proof, time).unwrap();
        let parts = parts("GET", "/", &[("authorization", "DPoP bound"), ("dpop", &proof)]);
        let mut headers = HeaderMap::new();
        let outcome = match api.authenticate(&parts, time) {
            Ok(caller) => {
                caller.add_headers(&mut headers);
                Ok(())
            }
            Err(rejection) => {
                headers = rejection.to_response().headers().clone();
                Err(code(&rejection))
            }
        };
        (outcome, prover.record_nonce(ServerRole::ResourceServer, "https://api.example/", &headers).unwrap())
    };
    assert_eq!(call(now()), (Err((401, error("use_dpop_nonce"))), true));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(call(now()), (Ok(()), false));
    let later = now() + Duration::from_secs(200);
    assert_eq!(call(later), (Ok(()), true), "it grows old, and its successor comes along");
    assert_eq!(call(later + Duration::from_secs(140)), (Ok(()), false));
}

// -------------------------------------------------------------------------------------------------- whole responses

/// Tables that compare the whole of each response: status, every field, the body.
mod whole_responses {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use base64ct::{Base64UrlUnpadded, Encoding};
    use http::request::Parts;
    use http::{HeaderMap, HeaderValue, Request};
    use possession::server::*;
    use possession::server::{
        AccessToken, Authenticated, InsertOutcome, JwtValidator, MemoryReplayStore, Reason, Rejection,
        ReplayKey, ReplayStore, ReplayStoreError, ResourceServer, StatelessNonces, TokenError,
        TokenValidator, Verifier,
    };
    use possession::*;
    use serde_json::{Value, json};
    use sha2::Digest;

    /// RFC 8037 Appendix A.1.
    const MINE: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    /// RFC 9449 figures 13 and 14.
    const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
    const ORIGIN: &str = "https://api.example.com";
    const URL: &str = "https://api.example.com/orders";
    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn mine() -> KeyPair {
        KeyPair::from_jwk(MINE).unwrap()
    }

    fn other() -> KeyPair {
        KeyPair::generate(Algorithm::Ed25519).unwrap()
    }

    /// The tokens that were issued, and how often somebody asked.
    #[derive(Default)]
    struct Table {
        tokens: HashMap<&'static str, AccessToken>,
        fault: Option<TokenError>,
        asked: AtomicUsize,
    }

    impl Table {
        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    impl TokenValidator for Table {
        fn validate(&self, access_token: &str, _: SystemTime) -> Result<AccessToken, TokenError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match &self.fault {
                Some(fault) => Err(fault.clone()),
                None => self.tokens.get(access_token).cloned().ok_or(TokenError::Inactive),
            }
        }
    }

    /// `TOKEN` is bound to `mine`, `unbound` to nobody.
    fn table() -> Arc<Table> {
        let claims = |claims: Value| AccessToken::new(claims.as_object().unwrap().clone()).unwrap();
        let bound = json!({"sub": "s", "scope": "read write", "cnf": {"jkt": mine().public_key().thumbprint().to_string()}});
        let tokens = [(TOKEN, claims(bound)), ("unbound", claims(json!({"sub": "s", "scope": "read"})))];
        Arc::new(Table { tokens: tokens.into(), ..Table::default() })
    }

    fn verifier() -> Verifier {
        Verifier::new(MemoryReplayStore::new(10_000))
    }

    fn server() -> ResourceServer {
        ResourceServer::new(ORIGIN, verifier(), table()).unwrap()
    }

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        for (name, text) in fields {
            headers.append(*name, value(text));
        }
        headers
    }

    fn request(target: &str, headers: HeaderMap) -> Parts {
        let mut request = Request::get(target).body(()).unwrap();
        *request.headers_mut() = headers;
        request.into_parts().0
    }

    /// A proof by that key for `URL` and that token.
    fn proof_by(key: &KeyPair, token: &str) -> String {
        Proof::new(&http::Method::GET, URL).unwrap().access_token(token).sign(key, at(NOW)).unwrap()
    }

    fn proof() -> String {
        proof_by(&mine(), TOKEN)
    }

    fn proof_for(url: &str) -> String {
        Proof::new(&http::Method::GET, url).unwrap().access_token(TOKEN).sign(&mine(), at(NOW)).unwrap()
    }

    /// A proof with claims that the crate would not write.
    fn proof_saying(changes: &Value) -> String {
        let key = mine();
        let mut claims = json!({"jti": "by hand", "htm": "GET", "htu": URL, "iat": NOW, "ath": ATH});
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}}"#, key.public_key().to_jwk());
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        let signed = format!("{}.{}", encode(&header), encode(&claims.to_string()));
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&key.sign(signed.as_bytes()).unwrap()))
    }

    fn ask(server: &ResourceServer, headers: &[(&'static str, &str)]) -> Result<Authenticated, Rejection> {
        server.authenticate(&request("/orders", fields(headers)), at(NOW))
    }

    fn dpop() -> String {
        format!("DPoP {TOKEN}")
    }

    // ------------------------------------------------------------------------------------------------------------- answers

    const ALGS: &str = r#"algs="ES256 EdDSA Ed25519""#;

    /// The whole of a response: status, every field in order, the body.
    type Answer = (u16, Vec<(String, String)>, String);

    fn answer(rejection: &Rejection) -> Answer {
        let response = rejection.to_response();
        let mut headers: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        // What is written is what a client reads (RFC 9110 §11.6.1).
        for (name, value) in &headers {
            if name == "www-authenticate" {
                let challenges = Challenge::parse(value.as_bytes()).unwrap();
                assert_eq!(challenges.len(), 1, "{value}");
                assert!(["dpop", "bearer"].contains(&challenges[0].scheme()), "{value}");
                if challenges[0].scheme() == "dpop" {
                    // Or it stands in the challenge for Bearer, where that was tried.
                    assert!([rejection.error(), None].contains(&challenges[0].param("error")), "{value}");
                    assert_eq!(challenges[0].param("algs"), Some("ES256 EdDSA Ed25519"));
                }
            }
        }
        (response.status().as_u16(), headers, response.body().clone())
    }

    fn with_challenges(status: u16, challenges: &[&str]) -> Answer {
        let mut headers = vec![("cache-control".to_owned(), "no-store".to_owned())];
        headers.extend(
            challenges.iter().map(|challenge| ("www-authenticate".to_owned(), (*challenge).to_owned())),
        );
        headers.sort();
        (status, headers, String::new())
    }

    /// RFC 9449 §7.1: a `DPoP` challenge that lists `algs`, with an error where one is due.
    fn challenged(status: u16, error: Option<&str>) -> Answer {
        let error = error.map(|error| format!(r#"error="{error}", "#)).unwrap_or_default();
        with_challenges(status, &[&format!("DPoP {error}{ALGS}")])
    }

    fn nothing_told() -> Answer {
        with_challenges(503, &[])
    }

    // --------------------------------------------------------------------------------------------------------- credentials

    /// V-55, V-60: one `Authorization` field of one token. RFC 9110 §11.4 has the scheme in any case and one space or more
    /// before the token; RFC 6750 §3.1 has 400 for what is presented wrongly, and no error where nothing was presented.
    #[test]
    fn v55_credentials() {
        let two = ("authorization", "DPoP b");
        let (ok, none, wrong) =
            (None, Some(challenged(401, None)), Some(challenged(400, Some("invalid_request"))));
        let one = |value: &str| vec![("authorization", value.to_owned())];
        let and = |value: &str, (name, more): (&'static str, &str)| {
            vec![("authorization", value.to_owned()), (name, more.to_owned())]
        };
        type Row = (Vec<(&'static str, String)>, &'static str, Option<Answer>);
        let rows: Vec<Row> = vec![
            (one(&format!("DPoP {TOKEN}")), "/orders", ok.clone()),
            (one(&format!("dpop {TOKEN}")), "/orders", ok.clone()),
            (one(&format!("DPOP {TOKEN}")), "/orders", ok.clone()),
            (one(&format!("dPoP   {TOKEN}")), "/orders", ok.clone()),
            (one(&dpop()), "/orders?token=x&access=token", ok.clone()),
            // Nothing that is an access token.
            (vec![], "/orders", none.clone()),
            (vec![], "/orders?access_token=x", none.clone()),
            (one("Basic dXNlcjpwYXNz"), "/orders", none.clone()),
            (one("Digest username=\"u\""), "/orders", none.clone()),
            (one(&format!("DPoPx {TOKEN}")), "/orders", none.clone()),
            (vec![("proxy-authorization", dpop())], "/orders", none),
            // Presented wrongly.
            (one("DPoP"), "/orders", wrong.clone()),
            (one("DPoP "), "/orders", wrong.clone()),
            (one("Bearer"), "/orders", wrong.clone()),
            (one(&format!("DPoP\t{TOKEN}")), "/orders", wrong.clone()),
            (one(&format!("DPoP \t{TOKEN}")), "/orders", wrong.clone()),
            (one(&format!("DPoP,{TOKEN}")), "/orders", wrong.clone()),
            (one(&format!("DPoP \"{TOKEN}\"")), "/orders", wrong.clone()),
            (one(&format!("DPoP {TOKEN},")), "/orders", wrong.clone()),
            (one(&format!("DPoP {TOKEN}, DPoP {TOKEN}")), "/orders", wrong.clone()),
            (one(&format!("DPoP {TOKEN} {TOKEN}")), "/orders", wrong.clone()),
            (one(&format!("DPoP token={TOKEN}")), "/orders", wrong.clone()),
            (one(&format!("DPoP {TOKEN}=a")), "/orders", wrong.clone()),
            (one(&format!("DPoP {TOKEN}\u{e9}")), "/orders", wrong.clone()),
            (and(&dpop(), ("authorization", &dpop())), "/orders", wrong.clone()),
            (and(&dpop(), two), "/orders", wrong.clone()),
            (and(&dpop(), ("authorization", "Basic dXNlcjpwYXNz")), "/orders", wrong.clone()),
            (and(&dpop(), ("authorization", "Bearer unbound")), "/orders", wrong.clone()), // RFC 9449 figure 19
            // In more places than one (RFC 6750 §2).
            (one(&dpop()), "/orders?access_token=x", wrong.clone()),
            (one(&dpop()), "/orders?a=b&access_token", wrong.clone()),
            (one(&dpop()), "/orders?access%5Ftoken=x", wrong.clone()),
            (one("Bearer unbound"), "/orders?access_token=unbound", wrong),
        ];
        let mut seen_wrong = Vec::new();
        for (row, (headers, target, expected)) in rows.into_iter().enumerate() {
            let (table, proof) = (table(), proof());
            let server = ResourceServer::new(ORIGIN, verifier(), Arc::clone(&table)).unwrap();
            let mut all: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            all.push(("dpop", &proof));
            let seen = server.authenticate(&request(target, fields(&all)), at(NOW));
            let seen = seen.err().map(|rejection| answer(&rejection));
            // What is not one access token is looked up nowhere.
            if seen != expected || table.asked() != usize::from(expected.is_none()) {
                seen_wrong
                    .push(format!("row {row}: {headers:?} {target}: {seen:?}, asked {}", table.asked()));
            }
        }
        assert!(seen_wrong.is_empty(), "{}", seen_wrong.join("\n"));
    }

    /// RFC 9449 §7.2: where it is plain with which scheme the client tried, the challenge of that scheme says what was wrong.
    #[test]
    fn the_error_stands_in_the_challenge_of_the_scheme_that_was_tried() {
        let error_of = |rejection: &Rejection, scheme: &str| {
            let challenges = Challenge::from_headers(rejection.to_response().headers()).unwrap();
            let challenge = challenges.iter().find(|challenge| challenge.scheme() == scheme).unwrap();
            challenge.param("error").map(str::to_owned)
        };
        let both = server().accept_unbound_bearer();
        let proof = proof_by(&mine(), "nobodys");
        let by_dpop = ask(&both, &[("authorization", "DPoP nobodys"), ("dpop", &proof)]).unwrap_err();
        let by_bearer = ask(&both, &[("authorization", "Bearer nobodys")]).unwrap_err();
        let invalid = Some("invalid_token".to_owned());
        assert_eq!((error_of(&by_dpop, "dpop"), error_of(&by_dpop, "bearer")), (invalid.clone(), None));
        assert_eq!((error_of(&by_bearer, "dpop"), error_of(&by_bearer, "bearer")), (None, invalid));
    }

    // --------------------------------------------------------------------------------------------------------------- proofs

    /// V-50, V-54, V-60: what may be wrong with a proof, what the peer is told, and whether anybody was asked for the token.
    #[test]
    fn v50_v54_proofs() {
        let (table, stolen) = (table(), other());
        let server = ResourceServer::new(ORIGIN, verifier(), Arc::clone(&table)).unwrap();
        let sha512 = Base64UrlUnpadded::encode_string(&sha2::Sha512::digest(TOKEN));
        let hex: String = sha2::Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
        let (missing, ath_reason) = (|claim| Reason::Claim { claim }, || Reason::Ath);
        let binding = Reason::Binding {
            expected: mine().public_key().thumbprint(),
            seen: stolen.public_key().thumbprint(),
        };
        let spent = proof();
        assert!(ask(&server, &[("authorization", &dpop()), ("dpop", &spent)]).is_ok());
        let (proof_error, token_error) = ("invalid_dpop_proof", "invalid_token");
        // (proofs, reason, error, lookups of the token)
        let rows: Vec<(Vec<String>, Reason, &str, usize)> = vec![
            (vec![], Reason::NoProof, proof_error, 0),
            (vec![proof(), proof()], Reason::SeveralProofs { fields: 2 }, proof_error, 0),
            (vec![proof(), String::new()], Reason::SeveralProofs { fields: 2 }, proof_error, 0),
            (vec![proof_saying(&json!({"ath": null}))], missing("ath"), proof_error, 0),
            (vec![proof_saying(&json!({"ath": ""}))], missing("ath"), proof_error, 0),
            (vec![proof_saying(&json!({"ath": 1}))], missing("ath"), proof_error, 0),
            (vec![proof_saying(&json!({"ath": ath("other")}))], ath_reason(), proof_error, 0),
            (vec![proof_saying(&json!({"ath": hex}))], ath_reason(), proof_error, 0),
            (vec![proof_saying(&json!({"ath": format!("{ATH}=")}))], ath_reason(), proof_error, 0),
            (vec![proof_saying(&json!({"ath": &ATH[..42]}))], ath_reason(), proof_error, 0),
            (vec![proof_saying(&json!({"ath": sha512}))], ath_reason(), proof_error, 0),
            (vec![proof_saying(&json!({"ath": ath(&dpop())}))], ath_reason(), proof_error, 0),
            (
                vec![proof_saying(&json!({"htm": "POST"}))],
                Reason::Htm { expected: "GET".into(), seen: "POST".into() },
                proof_error,
                0,
            ),
            (
                vec![proof_saying(&json!({"iat": NOW - 61}))],
                Reason::Stale { age: Duration::from_secs(61), allowed: Duration::from_secs(60) },
                proof_error,
                0,
            ),
            // V-50: a stolen token, with a proof that is good but for the key (RFC 9449 figure 16).
            (vec![proof_by(&stolen, TOKEN)], binding, token_error, 1),
            (vec![spent], Reason::Replayed, proof_error, 1),
        ];
        for (row, (proofs, reason, error, lookups)) in rows.into_iter().enumerate() {
            let before = table.asked();
            let authorization = dpop();
            let mut headers = vec![("authorization", authorization.as_str())];
            headers.extend(proofs.iter().map(|proof| ("dpop", proof.as_str())));
            let rejection = ask(&server, &headers).unwrap_err();
            assert_eq!(rejection.reason(), &reason, "row {row}");
            assert_eq!(answer(&rejection), challenged(401, Some(error)), "row {row}");
            assert_eq!(table.asked() - before, lookups, "row {row}");
        }
        // Nothing of it burned the `jti` of the proofs by hand.
        let caller =
            ask(&server, &[("authorization", &dpop()), ("dpop", &proof_saying(&json!({})))]).unwrap();
        assert_eq!(caller.thumbprint(), Some(mine().public_key().thumbprint()));
        assert_eq!(caller.proof().unwrap().jti(), "by hand");
        assert_eq!(
            (caller.token().jkt(), caller.token().claim("sub")),
            (caller.thumbprint(), Some(&json!("s")))
        );
    }

    /// A token that is not accepted, whatever is wrong with it, is answered alike; the log knows.
    #[test]
    fn v60_bad_tokens_are_answered_alike() {
        let claim = || "sub".to_owned();
        let faults = [
            TokenError::Typ,
            TokenError::Algorithm { alg: "none".to_owned() },
            TokenError::UnknownKey,
            TokenError::Signature,
            TokenError::Issuer,
            TokenError::Audience,
            TokenError::Expired { seconds: 7 },
            TokenError::NotYetValid { seconds: 7 },
            TokenError::Claim { claim: claim() },
            TokenError::Confirmation,
            TokenError::Inactive,
        ];
        for fault in faults {
            let table = Table { fault: Some(fault.clone()), ..Table::default() };
            let server = ResourceServer::new(ORIGIN, verifier(), table).unwrap();
            let proof = proof();
            let rejection = ask(&server, &[("authorization", &dpop()), ("dpop", &proof)]).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::Token(fault));
            assert_eq!(answer(&rejection), challenged(401, Some("invalid_token")));
            // A proof is spent with a token that counts, and not before.
            let fine = ResourceServer::new(ORIGIN, verifier(), self::table()).unwrap();
            assert!(ask(&fine, &[("authorization", &dpop()), ("dpop", &proof)]).is_ok());
        }
    }

    /// V-41, V-60: this server's own trouble is 503, with nothing of what it is, and nobody is let in.
    #[test]
    fn v60_own_faults_tell_nothing() {
        struct Full;
        impl ReplayStore for Full {
            fn insert_if_absent(
                &self,
                _: &ReplayKey,
                _: SystemTime,
                _: SystemTime,
            ) -> Result<InsertOutcome, ReplayStoreError> {
                Err(ReplayStoreError::Full { capacity: 1 })
            }
        }
        let fault = Some(TokenError::Unavailable(Error::timeout("10.1.2.3 does not answer")));
        let down = Table { fault, ..Table::default() };
        let down = ResourceServer::new(ORIGIN, verifier(), down).unwrap().accept_unbound_bearer();
        let full = ResourceServer::new(ORIGIN, Verifier::new(Full), table()).unwrap();
        let proof = proof();
        let authorization = dpop();
        let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        let rejections = [
            ask(&down, &headers),
            ask(&down, &[("authorization", "Bearer unbound")]),
            ask(&full, &headers),
            server().authenticate(&request("/orders", fields(&headers)), before_1970),
        ];
        for rejection in rejections.map(Result::unwrap_err) {
            assert!(rejection.is_server_fault() && rejection.error().is_none(), "{rejection}");
            assert_eq!(answer(&rejection), nothing_told(), "{rejection}");
        }
    }

    /// V-44 at whole requests: the challenge for a nonce comes before anybody is asked for the token, and a response carries the
    /// next one.
    #[test]
    fn v44_nonces_of_whole_requests() {
        let secret: Vec<u8> = (0..32).collect();
        let nonces = || StatelessNonces::new(&secret).unwrap();
        let table = table();
        let server =
            ResourceServer::new(ORIGIN, verifier().require_nonces(nonces()), Arc::clone(&table)).unwrap();
        let with = |nonce: &str, now: u64| {
            let proof =
                Proof::new(&http::Method::GET, URL).unwrap().access_token(TOKEN).nonce(nonce.to_owned());
            let proof = proof.sign(&mine(), at(now)).unwrap();
            server.authenticate(
                &request("/orders", fields(&[("authorization", &dpop()), ("dpop", &proof)])),
                at(now),
            )
        };
        let rejection = ask(&server, &[("authorization", &dpop()), ("dpop", &proof())]).unwrap_err();
        let nonce = rejection.nonce().unwrap().to_owned();
        let mut expected = challenged(401, Some("use_dpop_nonce"));
        expected.1.insert(1, ("dpop-nonce".to_owned(), nonce.clone()));
        assert_eq!((answer(&rejection), table.asked()), (expected, 0));
        assert_eq!(with("forged", NOW).unwrap_err().error(), Some("use_dpop_nonce"));
        assert_eq!(table.asked(), 0);

        // In the first half of its life a nonce is not replaced, in the second it is, and once with each response.
        for (age, renewed) in [(0, false), (150, false), (151, true), (300, true)] {
            let caller = with(&nonce, NOW + age).unwrap();
            let mut headers = fields(&[("dpop-nonce", "of some layer"), ("cache-control", "public")]);
            caller.add_headers(&mut headers);
            let next: Vec<_> = headers.get_all("dpop-nonce").iter().map(|n| n.to_str().unwrap()).collect();
            match renewed {
                false => assert_eq!(
                    (next, &headers["cache-control"]),
                    (vec!["of some layer"], &HeaderValue::from_static("public"))
                ),
                true => {
                    assert_eq!(next, Vec::from_iter(caller.proof().unwrap().next_nonce()));
                    assert_eq!(headers["cache-control"], "no-store"); // RFC 9449 §8.2
                    assert!(with(next[0], NOW + 400).is_ok(), "the next one is good for longer");
                }
            }
        }
        // A caller without a proof has none to get.
        let lax = ResourceServer::new(ORIGIN, verifier().offer_nonces(nonces()), self::table()).unwrap();
        let caller = ask(&lax.accept_unbound_bearer(), &[("authorization", "Bearer unbound")]).unwrap();
        let mut headers = HeaderMap::new();
        caller.add_headers(&mut headers);
        assert!(headers.is_empty());
    }

    /// RFC 6750 §3.1, §3: 403 `insufficient_scope` with the scope that is needed, which is the server's own word.
    #[test]
    fn scopes() {
        let server = server();
        let caller = ask(&server, &[("authorization", &dpop()), ("dpop", &proof())]).unwrap();
        for scope in ["read", "write"] {
            assert!(server.require_scope(&caller, scope).is_ok());
        }
        for scope in ["delete", "rea", "READ", "readwrite", "read write", ""] {
            let rejection = server.require_scope(&caller, scope).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::Scope { needed: scope.to_owned() });
            let challenge = format!(r#"DPoP error="insufficient_scope", scope="{scope}", {ALGS}"#);
            assert_eq!(answer(&rejection), with_challenges(403, &[&challenge]), "{scope}");
        }
    }

    // ----------------------------------------------------------------------------------------------------------------- URLs

    /// V-28, V-30, V-31: the URL of the request is the configured origin and the path that came; spellings of one URL (RFC 3986
    /// §6.2.2, §6.2.3) match, others do not, and none is repaired.
    #[test]
    fn v28_v30_v31_urls() {
        let rows = [
            // (target of the request, htu, whether they are one)
            ("/orders", "https://api.example.com/orders", true),
            ("/orders?a=b", "https://api.example.com/orders", true),
            ("/orders", "https://api.example.com/orders?a=b#c", true),
            ("/orders", "HTTPS://API.Example.Com:443/orders", true),
            ("/~a", "https://api.example.com/%7Ea", true),
            ("/%7ea", "https://api.example.com/~a", true),
            ("/%c3%a9", "https://api.example.com/%C3%A9", true),
            ("/", "https://api.example.com", true),
            ("/orders", "https://api.example.com/./a/../orders", true),
            ("/orders", "https://api.example.com/orders/", false),
            ("/orders/", "https://api.example.com/orders", false),
            ("/orders", "https://api.example.com//orders", false),
            ("/orders", "https://api.example.com/Orders", false),
            ("/a/b", "https://api.example.com/a%2Fb", false),
            ("/orders", "https://api.example.com:8443/orders", false),
            ("/orders", "http://api.example.com/orders", false),
            ("/orders", "https://api.example.com./orders", false),
            ("/orders", "https://evil.example/orders", false),
            ("/orders", "https://api.example.com/token", false), // V-31: made for the token endpoint
            ("/orders", "/orders", false),
            ("/orders", "https:/api.example.com/orders", false),
            ("/orders", "https://api.example.com\\orders", false),
            ("/orders", "https://api.example.com/orders ", false),
            ("/orders", "https://u@api.example.com/orders", false),
        ];
        for (target, htu, fine) in rows {
            let proof = proof_saying(&json!({"htu": htu}));
            let headers = fields(&[("authorization", &dpop()), ("dpop", &proof)]);
            let seen = server().authenticate(&request(target, headers), at(NOW));
            assert_eq!(
                seen.as_ref().map(drop).map_err(Rejection::error),
                if fine { Ok(()) } else { Err(Some("invalid_dpop_proof")) },
                "{target} {htu}"
            );
        }
        // A path that servers read in two ways is the fault of the request, whatever the proof says.
        for target in ["/a/../orders", "/./orders", "/%2e%2e/orders", "*"] {
            let proof = proof();
            let headers = fields(&[("authorization", &dpop()), ("dpop", &proof)]);
            let rejection = server().authenticate(&request(target, headers), at(NOW)).unwrap_err();
            assert!(matches!(rejection.reason(), Reason::RequestUrl(_)), "{target}: {rejection}");
            assert_eq!(answer(&rejection), challenged(400, Some("invalid_request")), "{target}");
        }
        // V-30: long ones are refused for their length, or take no time to speak of (the proof may have 16 KiB).
        for htu in [format!("{ORIGIN}/{}", "../".repeat(3_000)), format!("{ORIGIN}/{}", "a".repeat(1 << 20))]
        {
            let proof = proof_saying(&json!({"htu": htu}));
            let headers = fields(&[("authorization", &dpop()), ("dpop", &proof)]);
            let rejection = server().authenticate(&request("/orders", headers), at(NOW)).unwrap_err();
            assert_eq!(rejection.error(), Some("invalid_dpop_proof"));
        }
        for bad in [
            "",
            "api.example.com",
            "https://",
            "https://api.example.com/a",
            "https://api.example.com/?a",
            "https://u@api.example.com",
            "ftp://api.example.com",
        ] {
            assert_eq!(
                *ResourceServer::new(bad, verifier(), table()).unwrap_err().kind(),
                ErrorKind::Url,
                "{bad}"
            );
            assert_eq!(*server().trust_forwarded_origins([bad]).unwrap_err().kind(), ErrorKind::Url, "{bad}");
        }
    }

    /// V-29 with a proxy that is trusted: it may name one of the origins that are this server's, in one way, and no other.
    #[test]
    fn v29_a_trusted_proxy() {
        const B: &str = "https://b.example.com/orders";
        const C: &str = "http://127.0.0.1:8080/orders";
        let server =
            server().trust_forwarded_origins(["https://b.example.com", "http://127.0.0.1:8080"]).unwrap();
        let (f, proto, host) = ("forwarded", "x-forwarded-proto", "x-forwarded-host");
        type Row<'a> = (&'a [(&'static str, &'a str)], Option<&'a str>);
        let rows: [Row; 44] = [
            // Nothing is said: its own.
            (&[], Some(URL)),
            (&[("host", "b.example.com")], Some(URL)),
            (&[(f, "for=192.0.2.1")], Some(URL)),
            (&[(f, "for=192.0.2.1;by=203.0.113.43")], Some(URL)),
            // Named.
            (&[(f, "proto=https;host=api.example.com")], Some(URL)),
            (&[(f, "proto=https;host=b.example.com")], Some(B)),
            (&[(f, "host=b.example.com;proto=https")], Some(B)),
            (&[(f, "HOST=B.Example.Com;Proto=HTTPS")], Some(B)),
            (&[(f, r#"for="[2001:db8::1]:4711";host="b.example.com";proto="https""#)], Some(B)),
            (&[(f, r#"for=_hidden;proto=https;host="b.example.com:443""#)], Some(B)),
            (&[(f, r#"proto=http;host="127.0.0.1:8080""#)], Some(C)),
            (&[(proto, "https"), (host, "api.example.com")], Some(URL)),
            (&[(proto, "https"), (host, "b.example.com")], Some(B)),
            (&[(proto, "HTTPS"), (host, "b.example.com:443")], Some(B)),
            (&[(proto, "http"), (host, "127.0.0.1:8080")], Some(C)),
            // Not this server's.
            (&[(f, "proto=https;host=evil.example")], None),
            (&[(proto, "https"), (host, "evil.example")], None),
            (&[(proto, "http"), (host, "b.example.com")], None),
            (&[(proto, "https"), (host, "b.example.com:8443")], None),
            (&[(proto, "http"), (host, "127.0.0.1")], None),
            (&[(proto, "https"), (host, "b.example.com.evil.example")], None),
            (&[(proto, "https"), (host, "u@b.example.com")], None),
            (&[(proto, "https"), (host, "b.example.com/x")], None),
            (&[(proto, "https"), (host, "b.example.com?x")], None),
            (&[(proto, "https://b.example.com/?"), (host, "evil.example")], None),
            // Several, or none that can be told.
            (&[(f, "proto=https;host=b.example.com"), (f, "proto=https;host=b.example.com")], None),
            (&[(f, "proto=https;host=b.example.com, proto=https;host=b.example.com")], None),
            (&[(f, "proto=https;host=b.example.com;host=evil.example")], None),
            (&[(f, "proto=https;proto=https;host=b.example.com")], None),
            (&[(proto, "https"), (host, "b.example.com"), (host, "evil.example")], None),
            (&[(proto, "https"), (proto, "https"), (host, "b.example.com")], None),
            (&[(proto, "https"), (host, "b.example.com, evil.example")], None),
            (&[(proto, "https,http"), (host, "b.example.com")], None),
            (&[(f, "proto=https;host=b.example.com"), (proto, "https"), (host, "b.example.com")], None),
            (&[(f, "for=192.0.2.1"), (host, "b.example.com")], None),
            // Half.
            (&[(f, "proto=https")], None),
            (&[(f, "host=b.example.com")], None),
            (&[(proto, "https")], None),
            (&[(host, "b.example.com")], None),
            // None that can be read.
            (&[(f, "b.example.com")], None),
            (&[(f, "proto=https;host=")], None),
            (&[(f, r#"proto=https;host="b.example.com"#)], None),
            (&[(proto, ""), (host, "")], None),
            (&[(proto, "https"), (host, "b.ex\u{e4}mple.com")], None),
        ];
        for (named, expected) in rows {
            let mut accepted = Vec::new();
            for htu in [URL, B, C, "https://evil.example/orders"] {
                let (proof, authorization) = (proof_for(htu), dpop());
                let mut headers = vec![("authorization", authorization.as_str()), ("dpop", &proof)];
                headers.extend(named);
                let seen = server.authenticate(&request("/orders", fields(&headers)), at(NOW));
                match (seen, expected) {
                    (Ok(_), _) => accepted.push(htu),
                    (Err(rejection), Some(_)) => {
                        assert!(matches!(rejection.reason(), Reason::Htu { .. }), "{named:?}: {rejection}")
                    }
                    (Err(rejection), None) => {
                        assert_eq!(answer(&rejection), challenged(400, Some("invalid_request")), "{named:?}")
                    }
                }
            }
            assert_eq!(accepted, Vec::from_iter(expected), "{named:?}");
        }
    }

    // -------------------------------------------------------------------------------------------------------------- hygiene

    /// V-59: whatever a request says, wherever: the response is one of the fixed ones, and has not a word of it.
    #[test]
    fn v59_nothing_of_the_request_is_answered() {
        const MARK: &str = "evilmark";
        let tails = ["", "\"", "\\", "\u{e9}", ", Bearer error=\"x\"", "<b>", &"A".repeat(9_000)];
        let mut answers = std::collections::HashSet::new();
        let mut refused = 0;
        let jwts = || {
            let mut jwk: Value = serde_json::from_str(mine().public_key().to_jwk()).unwrap();
            jwk["kid"] = "k".into();
            JwtValidator::with_keys("https://as.example.com", ORIGIN, &json!({"keys": [jwk]}).to_string())
                .unwrap()
        };
        for tail in tails {
            let text = format!("{MARK}{tail}");
            let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
            // Access tokens by the issuer's own key, with the text in each place.
            let token = |header: &Value, claims: &Value| {
                let signed = format!("{}.{}", encode(header), encode(claims));
                let signature = mine().sign(signed.as_bytes()).unwrap();
                format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
            };
            let with = |mut value: Value, name: &str| {
                value[name] = text.clone().into();
                value
            };
            let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "k"});
            let claims = json!({"iss": "https://as.example.com", "aud": ORIGIN, "sub": "s", "client_id": "c", "jti": "j", "iat": NOW, "exp": NOW + 60});
            let mut tokens = vec![text.clone(), format!("{text}.a.b")];
            tokens.extend(
                ["typ", "alg", "kid", "crit", &text].map(|name| token(&with(header.clone(), name), &claims)),
            );
            tokens.extend(
                ["iss", "aud", "exp", "nbf", "cnf", &text]
                    .map(|name| token(&header, &with(claims.clone(), name))),
            );
            let mut requests: Vec<(String, Vec<(&'static str, String)>)> = Vec::new();
            for token in tokens {
                let ath = ath(&token);
                let headers = vec![
                    ("authorization", format!("DPoP {token}")),
                    ("dpop", proof_saying(&json!({"ath": ath}))),
                ];
                requests.push(("/orders".to_owned(), headers));
            }
            for name in ["jti", "htm", "htu", "iat", "exp", "nbf", "ath", "nonce"] {
                let headers = vec![("authorization", dpop()), ("dpop", proof_saying(&json!({name: text})))];
                requests.push(("/orders".to_owned(), headers));
            }
            for field in [
                text.clone(),
                format!("DPoP {text} {text}"),
                format!("{text} {text}"),
                format!("Bearer {text}"),
            ] {
                requests.push(("/orders".to_owned(), vec![("authorization", field), ("dpop", text.clone())]));
            }
            for (name, value) in
                [("forwarded", format!("host={text};proto=https")), ("x-forwarded-host", text.clone())]
            {
                requests.push((
                    "/orders".to_owned(),
                    vec![("authorization", dpop()), (name, value), ("dpop", proof())],
                ));
            }
            requests.push((format!("/{MARK}/../x"), vec![("authorization", dpop()), ("dpop", proof())]));
            requests.push((
                format!("/{MARK}?access_token={MARK}"),
                vec![("authorization", dpop()), ("dpop", proof())],
            ));

            let policy = || verifier().require_nonces(possession::testing::FixedNonces::new(["n"]));
            for (target, headers) in requests {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let servers = [
                    ResourceServer::new(ORIGIN, verifier(), jwts()),
                    ResourceServer::new(ORIGIN, policy(), table()),
                    ResourceServer::new(ORIGIN, verifier(), table())
                        .unwrap()
                        .accept_unbound_bearer()
                        .trust_forwarded_origins([]),
                ];
                for server in servers.map(Result::unwrap) {
                    let Err(rejection) = server.authenticate(&request(&target, fields(&headers)), at(NOW))
                    else {
                        continue;
                    };
                    refused += 1;
                    // For the log: one line without control characters.
                    assert!(!rejection.to_string().chars().any(char::is_control), "{rejection}");
                    let answer = answer(&rejection);
                    assert!(!format!("{answer:?}").contains(MARK), "{answer:?}");
                    answers.insert(format!("{answer:?}"));
                }
            }
        }
        assert!(refused > 7 * 20 * 2, "{refused}");
        // Of three servers: two policies of nonces, one or two schemes; five errors or none.
        assert!(answers.len() <= 12, "{answers:#?}");
    }
}
