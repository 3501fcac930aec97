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
    Proof::new(method, url).unwrap().access_token(token).sign(key, now()).unwrap()
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
        assert_eq!(schemes, ["dpop", "bearer"]);
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
        let proof = Proof::new(Method::GET.as_str(), "https://api.example/").unwrap().access_token("bound");
        let proof = prover.prove(Part::ResourceServer, proof, time).unwrap();
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
        (outcome, prover.learn(Part::ResourceServer, "https://api.example/", &headers).unwrap())
    };
    assert_eq!(call(now()), (Err((401, error("use_dpop_nonce"))), true));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(call(now()), (Ok(()), false));
    let later = now() + Duration::from_secs(200);
    assert_eq!(call(later), (Ok(()), true), "it grows old, and its successor comes along");
    assert_eq!(call(later + Duration::from_secs(140)), (Ok(()), false));
}
