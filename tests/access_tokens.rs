//! Access tokens at a resource server: JWTs (RFC 9068) with the keys of their issuer, and introspection (RFC 7662). The
//! numbers in the names are rows of the project's threat catalogue.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use common::{Jwt, form, values};
use possession::server::*;
use possession::server::*;
use possession::*;
use serde_json::{Value, json};

const ISSUER: &str = "https://as.example";
const AUDIENCE: &str = "https://api.example";
const NOW: u64 = 1_700_000_000;
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key(algorithm: Algorithm) -> KeyPair {
    KeyPair::generate(algorithm).unwrap()
}

fn header() -> Value {
    json!({"typ": "at+jwt", "alg": "ES256", "kid": "k1"})
}

/// RFC 9068 §2.2.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "s", "client_id": "c", "jti": "j", "iat": NOW, "exp": NOW + 60,
        "cnf": {"jkt": JKT}, "scope": "read write",
    })
}

fn set(mut value: Value, name: &str, to: impl Into<Value>) -> Value {
    value[name] = to.into();
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

fn jwt(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = Base64UrlUnpadded::encode_string(&key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

fn jwk(key: &KeyPair, kid: &str, more: &Value) -> Value {
    let mut jwk: Value = serde_json::from_str(key.public_key().to_jwk()).unwrap();
    jwk["kid"] = kid.into();
    jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    jwk
}

fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

fn validator(key: &KeyPair) -> JwtValidator {
    JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(&[jwk(key, "k1", &json!({}))])).unwrap()
}

// ------------------------------------------------------------------------------------------------------------------ JWT

/// V-58, V-51, V-53: one defect a row.
#[test]
fn v58_jwt_access_tokens() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    let ask = |header: &Value, claims: &Value| tokens.validate(&jwt(&key, header, claims), at(NOW));
    let token = ask(&header(), &claims()).unwrap();
    assert_eq!(token.jkt().unwrap().to_string(), JKT);
    assert_eq!(token.claim("sub"), Some(&json!("s")));
    assert!(
        token.has_scope("read")
            && token.has_scope("write")
            && !token.has_scope("rea")
            && !token.has_scope("")
    );
    assert!(!token.has_scope("read write") && format!("{token:?}").contains("cnf"));

    // RFC 9068 §4, RFC 7515 §4.1.9: a media type.
    for typ in ["application/at+jwt", "AT+JWT"] {
        assert!(ask(&set(header(), "typ", typ), &claims()).is_ok(), "{typ}");
    }
    for typ in [
        json!("JWT"),
        json!("dpop+jwt"),
        json!("application/jwt"),
        json!("text/at+jwt"),
        json!(1),
        json!(null),
    ] {
        assert_eq!(ask(&set(header(), "typ", typ.clone()), &claims()), Err(TokenError::Typ), "{typ}");
    }
    assert_eq!(ask(&without(header(), "typ"), &claims()), Err(TokenError::Typ));
    let lenient = tokens.clone().dangerous_accept_typ("JWT");
    assert!(lenient.validate(&jwt(&key, &set(header(), "typ", "jwt"), &claims()), at(NOW)).is_ok());

    for alg in ["none", "HS256", "RS256", "ES384", "EdDSA", "es256", ""] {
        let seen = ask(&set(header(), "alg", alg), &claims());
        assert!(
            // RS256 is listed (RFC 9068 §2.1), and checked with the feature `ring`.
            matches!(
                seen,
                Err(TokenError::Algorithm { .. }
                    | TokenError::NoSignatureVerifier { algorithm: Algorithm::Rs256 }
                    | TokenError::UnknownKey)
            ),
            "{alg}: {seen:?}"
        );
    }
    for kid in [json!("k2"), json!(""), json!(1), json!(null)] {
        assert_eq!(ask(&set(header(), "kid", kid.clone()), &claims()), Err(TokenError::UnknownKey), "{kid}");
    }
    assert!(ask(&without(header(), "kid"), &claims()).is_ok());
    let crit = ask(&set(header(), "crit", json!(["x"])), &claims());
    assert!(matches!(crit, Err(TokenError::Malformed(_))));
    let unsigned = jwt(&key, &header(), &claims());
    let unsigned =
        format!("{}.{}", unsigned.rsplit_once('.').unwrap().0, Base64UrlUnpadded::encode_string(&[1; 64]));
    assert_eq!(tokens.validate(&unsigned, at(NOW)), Err(TokenError::Signature));
    // V-22: a key in the token itself is nothing.
    let own = self::key(Algorithm::Es256);
    let forged = jwt(&own, &set(header(), "jwk", jwk(&own, "k1", &json!({}))), &claims());
    assert_eq!(tokens.validate(&forged, at(NOW)), Err(TokenError::Signature));

    for iss in [json!("https://as.example/"), json!("https://AS.example"), json!([ISSUER]), json!(1)] {
        assert_eq!(ask(&header(), &set(claims(), "iss", iss.clone())), Err(TokenError::Issuer), "{iss}");
    }
    for (aud, fine) in [
        (json!(["https://other.example", AUDIENCE]), true),
        (json!("https://api.example/"), false),
        (json!(["https://other.example"]), false),
        (json!([]), false),
        (json!({AUDIENCE: 1}), false),
        (json!(1), false),
    ] {
        let expected = if fine { Ok(()) } else { Err(TokenError::Audience) };
        assert_eq!(ask(&header(), &set(claims(), "aud", aud.clone())).map(drop), expected, "{aud}");
    }
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let missing = Err(TokenError::Claim { claim: claim.to_owned() });
        assert_eq!(ask(&header(), &without(claims(), claim)).map(drop), missing);
        assert_eq!(ask(&header(), &set(claims(), claim, json!(null))).map(drop), missing);
    }
    let other_profile = tokens.clone().required_claims(["azp"]);
    let azp = set(without(without(claims(), "client_id"), "jti"), "azp", "c");
    assert!(other_profile.validate(&jwt(&key, &header(), &azp), at(NOW)).is_ok());
    assert!(other_profile.validate(&jwt(&key, &header(), &without(azp, "exp")), at(NOW)).is_err());
    // `exp` is the first moment at which it is over, with 5 seconds for the clocks (RFC 7519 §4.1.4).
    for (exp, fine) in [
        (json!(NOW - 4), true),
        (json!(NOW - 5), false),
        (json!(NOW as f64 - 4.5), true),
        (json!("x"), false),
        (json!(-1), false),
    ] {
        assert_eq!(ask(&header(), &set(claims(), "exp", exp.clone())).is_ok(), fine, "{exp}");
    }
    for (nbf, fine) in [(NOW + 5, true), (NOW + 6, false)] {
        assert_eq!(ask(&header(), &set(claims(), "nbf", nbf)).is_ok(), fine, "{nbf}");
    }
    let strict = tokens.clone().leeway(Duration::ZERO);
    assert!(strict.validate(&jwt(&key, &header(), &set(claims(), "exp", NOW)), at(NOW)).is_err());
    // V-51, V-53: a binding that is not understood in full must not be ignored.
    for cnf in [
        json!(null),
        json!({}),
        json!([]),
        json!(JKT),
        json!({"jkt": 1}),
        json!({"jkt": ""}),
        json!({"jkt": format!("{JKT}=")}),
        json!({"jkt": "37".repeat(32)}),
        json!({"x5t#S256": JKT}),
        json!({"jkt": JKT, "x5t#S256": JKT}),
        json!({"jkt": null}),
    ] {
        assert_eq!(
            ask(&header(), &set(claims(), "cnf", cnf.clone())),
            Err(TokenError::Confirmation),
            "{cnf}"
        );
    }
    assert_eq!(ask(&header(), &without(claims(), "cnf")).unwrap().jkt(), None);
    for garbage in ["", "a", "a.b.c", "....", &"a".repeat(20_000)] {
        assert!(matches!(tokens.validate(garbage, at(NOW)), Err(TokenError::Malformed(_))));
    }
}

/// RFC 7517 §5: what is not understood is passed over; what is not for signatures, or private, is not used.
#[test]
fn keys_of_a_set() {
    let (es, ed) = (key(Algorithm::Es256), key(Algorithm::Ed25519));
    let with = |keys: &[Value]| JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(keys));
    let token = jwt(&es, &header(), &claims());
    let good = jwk(&es, "k1", &json!({"use": "sig", "alg": "ES256", "key_ops": ["verify"]}));
    let strange = json!({"kty": "ML-DSA", "kid": "k1"});
    assert!(with(&[strange.clone(), json!(1), good]).unwrap().validate(&token, at(NOW)).is_ok());
    for more in [json!({"use": "enc"}), json!({"key_ops": ["encrypt"]}), json!({"d": "AA"})] {
        assert_eq!(*with(&[jwk(&es, "k1", &more)]).unwrap_err().kind(), ErrorKind::Key, "{more}");
    }
    for (alg, expected) in [("ES256", true), ("ES384", false)] {
        let seen = with(&[jwk(&es, "k1", &json!({"alg": alg}))]).unwrap().validate(&token, at(NOW));
        assert_eq!(seen.is_ok(), expected, "{alg}");
    }
    for bad in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
        assert!(JwtValidator::with_keys(ISSUER, AUDIENCE, bad).is_err(), "{bad}");
    }
    // Two keys of one name: the one that fits is found. Both names of Ed25519.
    let both = with(&[jwk(&es, "k1", &json!({})), jwk(&ed, "k1", &json!({"alg": "EdDSA"}))]).unwrap();
    for alg in ["EdDSA", "Ed25519"] {
        assert!(both.validate(&jwt(&ed, &set(header(), "alg", alg), &claims()), at(NOW)).is_ok());
        let only_es = both.clone().algorithms([Algorithm::Es256]);
        assert!(only_es.validate(&jwt(&ed, &set(header(), "alg", alg), &claims()), at(NOW)).is_err());
    }
}

// ---------------------------------------------------------------------------------------------------------- remote keys

type Answer = Box<dyn Fn() -> Result<http::Response<Vec<u8>>, Error> + Send + Sync>;

/// An authorization server's `jwks_uri`, or its introspection endpoint.
#[derive(Clone, Default)]
struct Remote {
    requests: Arc<AtomicUsize>,
    sent: Arc<Mutex<Vec<http::Request<RequestBody>>>>,
    answer: Arc<Mutex<Option<Answer>>>,
}

impl Remote {
    fn answers(&self, status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.does(move || {
            let response = http::Response::builder().status(status).header("content-type", content_type);
            Ok(response.body(body.clone()).unwrap())
        });
    }

    fn does(&self, answer: impl Fn() -> Result<http::Response<Vec<u8>>, Error> + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Some(Box::new(answer));
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl HttpClient for Remote {
    fn send(&self, request: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.sent.lock().unwrap().push(request);
        let answer = self.answer.lock().unwrap().take().unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&answer));
        *self.answer.lock().unwrap() = Some(answer);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn server() -> AuthorizationServer {
    AuthorizationServer::builder(ISSUER)
        .token_endpoint("https://as.example/token")
        .member("jwks_uri", "https://as.example/jwks")
        .member("introspection_endpoint", "https://as.example/introspect")
        .build()
        .unwrap()
}

#[test]
fn keys_are_kept_and_fetched_again_when_it_is_time() {
    let (first, second) = (key(Algorithm::Es256), key(Algorithm::Es256));
    let remote = Remote::default();
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |key: &KeyPair, kid: &str, now: u64| {
        let claims = set(claims(), "exp", now + 60);
        tokens.validate(&jwt(key, &set(header(), "kid", kid), &claims), at(now)).map(drop)
    };
    remote.answers(200, "application/jwk-set+json", jwks(&[jwk(&first, "k1", &json!({}))]));
    for now in [NOW, NOW + 1, NOW + 899] {
        assert_eq!(ask(&first, "k1", now), Ok(()));
    }
    assert_eq!(remote.requests(), 1);
    let sent = remote.sent.lock().unwrap()[0].uri().to_string();
    assert_eq!(sent, "https://as.example/jwks");
    // An unknown kid fetches at once, and then no more often than once a minute, whoever asks for whatever.
    for (now, requests) in [(NOW + 890, 2), (NOW + 891, 2), (NOW + 949, 2), (NOW + 951, 3), (NOW + 951, 3)] {
        assert_eq!(ask(&second, &format!("u{now}"), now), Err(TokenError::UnknownKey));
        assert_eq!(remote.requests(), requests, "{}", now - NOW);
    }
    // Threads read the clock in another order than they come: that is no clock set back.
    assert_eq!(ask(&second, "u", NOW + 950), Err(TokenError::UnknownKey));
    assert_eq!(ask(&first, "k1", NOW + 950), Ok(()));
    assert_eq!(remote.requests(), 3);
    // The server has a new key.
    remote.answers(200, "application/json", jwks(&[jwk(&second, "k2", &json!({}))]));
    assert_eq!(ask(&second, "k2", NOW + 1012), Ok(()));
    assert_eq!(ask(&first, "k1", NOW + 1013), Err(TokenError::UnknownKey));
    // What cannot be fetched leaves the old keys, for a day.
    let failures: [(u16, &str, &str); 5] = [
        (500, "text/html", "<html>"),
        (200, "text/html", "<html>"),
        (200, "application/json", "{"),
        (302, "application/json", "{}"),
        (200, "application/json", r#"{"keys":1}"#),
    ];
    let mut now = NOW + 1012;
    for (status, content_type, body) in failures {
        now += 901;
        remote.answers(status, content_type, body);
        let before = remote.requests();
        assert_eq!((ask(&second, "k2", now), remote.requests()), (Ok(()), before + 1));
    }
    assert_eq!(ask(&second, "k2", NOW + 1012 + 86_399), Ok(()));
    assert!(matches!(ask(&second, "k2", NOW + 1012 + 86_400), Err(TokenError::Unavailable(_))));
    // A set without keys is the server's word that none counts any more.
    remote.answers(200, "application/json", jwks(&[jwk(&second, "k2", &json!({}))]));
    assert_eq!(ask(&second, "k2", NOW + 90_000), Ok(()));
    remote.answers(200, "application/json", jwks(&[]));
    assert_eq!(ask(&second, "k2", NOW + 91_000), Err(TokenError::UnknownKey));
}

#[test]
fn without_keys_nobody_is_let_in() {
    let (key, remote) = (key(Algorithm::Es256), Remote::default());
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |now| tokens.validate(&jwt(&key, &header(), &set(claims(), "exp", NOW + 999)), at(now));
    remote.does(|| Err(Error::timeout("too slow")));
    for (now, requests) in [(NOW, 1), (NOW + 4, 1), (NOW + 6, 2)] {
        let error = ask(now).unwrap_err();
        assert!(
            matches!(&error, TokenError::Unavailable(error) if *error.kind() == ErrorKind::Timeout),
            "{error}"
        );
        assert_eq!(remote.requests(), requests);
    }
    // A panic in the HTTP client wedges nothing.
    remote.does(|| panic!("in the HTTP client"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(NOW + 20)));
    assert!(panicked.is_err());
    assert!(matches!(ask(NOW + 21), Err(TokenError::Unavailable(_))));
    remote.answers(200, "application/json", jwks(&[jwk(&key, "k1", &json!({}))]));
    assert!(ask(NOW + 30).is_ok());
    let no_keys =
        AuthorizationServer::builder(ISSUER).token_endpoint("https://as.example/token").build().unwrap();
    assert_eq!(*JwtValidator::new(&no_keys, AUDIENCE, remote).unwrap_err().kind(), ErrorKind::Metadata);
}

/// Single flight: however many threads need the keys, one request fetches them.
#[test]
fn one_request_serves_all_threads() {
    let (key, remote) = (key(Algorithm::Ed25519), Remote::default());
    let set_of_keys = jwks(&[jwk(&key, "k1", &json!({}))]);
    remote.answers(200, "application/json", set_of_keys);
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let token = jwt(&key, &set(header(), "alg", "EdDSA"), &claims());
    let start = Barrier::new(32);
    let fine = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            tokens.validate(&token, at(NOW)).is_ok()
        };
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|fine| *fine).count()
    });
    assert_eq!((fine, remote.requests()), (32, 1));
}

/// An algorithm from outside, for tokens and proofs alike: only where it is listed, and only for its kind of key.
#[test]
fn outside_algorithms_plug_in() {
    struct Toy;
    impl SignatureVerifier for Toy {
        fn supports(&self, algorithm: Algorithm) -> bool {
            algorithm == Algorithm::Es512
        }

        fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
            assert_eq!(algorithm, Algorithm::Es512);
            key.to_jwk().contains("P-521")
                && signature == message.iter().rev().take(132).copied().collect::<Vec<_>>()
        }
    }
    // RFC 7515 A.4
    let p521 = json!({"kty": "EC", "crv": "P-521", "kid": "k1",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"});
    let sign = |header: &Value, claims: &Value, good: bool| {
        let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature: Vec<u8> = signed.bytes().rev().take(132).collect();
        signature[0] ^= u8::from(!good);
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
    };
    let header = set(header(), "alg", "ES512");
    let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(std::slice::from_ref(&p521))).unwrap();
    let listed = || tokens.clone().algorithms([Algorithm::Es512]);
    for (tokens, good, fine) in [
        (tokens.clone().signature_verifier(Toy), true, false),
        (listed(), true, false),
        (listed().signature_verifier(Toy), true, true),
        (listed().signature_verifier(Toy), false, false),
    ] {
        assert_eq!(tokens.validate(&sign(&header, &claims(), good), at(NOW)).is_ok(), fine);
    }
    let proof = |good| {
        let claims = json!({"jti": "j", "htm": "GET", "htu": "https://api.example/", "iat": NOW});
        sign(&json!({"typ": "dpop+jwt", "alg": "ES512", "jwk": without(p521.clone(), "kid")}), &claims, good)
    };
    let verifier =
        || Verifier::new(MemoryReplayStore::new(9)).algorithms([Algorithm::Es256, Algorithm::Es512]);
    for (verifier, good, fine, algs) in [
        (verifier(), true, false, r#"{"error":"invalid_dpop_proof"}"#),
        (verifier().signature_verifier(Toy), true, true, ""),
        (verifier().signature_verifier(Toy), false, false, r#"{"error":"invalid_dpop_proof"}"#),
    ] {
        let proof = proof(good);
        let request =
            ReceivedRequest::from_fields(&http::Method::GET, "https://api.example/", vec![proof.as_bytes()])
                .unwrap();
        match verifier.verify_token_request(&request, at(NOW)) {
            Ok(_) => assert!(fine),
            Err(rejection) => assert_eq!((fine, rejection.to_response().body().as_str()), (false, algs)),
        }
    }
    // The challenge lists what is checked, and only that.
    let empty = ReceivedRequest::from_fields(&http::Method::GET, "https://api.example/", vec![]).unwrap();
    for (verifier, algs) in [(verifier(), "ES256"), (verifier().signature_verifier(Toy), "ES256 ES512")] {
        let rejection =
            verifier.verify_resource_request(&empty, "t", &JKT.parse().unwrap(), at(NOW)).unwrap_err();
        let challenges = Challenge::from_headers(rejection.to_response().headers()).unwrap();
        assert_eq!(challenges[0].param("algs"), Some(algs));
    }
}

/// RFC 7518 §3.4: R || S of full size. Libraries for ECDSA often take DER too, so nothing of another length reaches one.
#[test]
fn outside_checkers_see_signatures_of_the_right_length() {
    struct Credulous;
    impl SignatureVerifier for Credulous {
        fn supports(&self, algorithm: Algorithm) -> bool {
            algorithm == Algorithm::Es512
        }

        fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
            true
        }
    }
    let coordinate = Base64UrlUnpadded::encode_string(&[1; 66]);
    let jwk = json!({"kty": "EC", "crv": "P-521", "kid": "k1", "x": coordinate, "y": coordinate});
    let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(&[jwk])).unwrap();
    let tokens = tokens.algorithms([Algorithm::Es512]).signature_verifier(Credulous);
    for (length, fine) in [(132, true), (3, false), (131, false), (133, false), (139, false)] {
        let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signature = Base64UrlUnpadded::encode_string(&vec![1; length]);
        let token = format!("{}.{}.{signature}", encode(&set(header(), "alg", "ES512")), encode(&claims()));
        assert_eq!(tokens.validate(&token, at(NOW)).is_ok(), fine, "{length}");
    }
}

// -------------------------------------------------------------------------------------------------------- introspection

fn introspector(remote: &Remote, auth: ClientAuth) -> Introspector {
    Introspector::new(&server(), &Client::new("rs").unwrap(), &auth, AUDIENCE, remote.clone()).unwrap()
}

fn active() -> Value {
    json!({"active": true, "aud": AUDIENCE, "iss": ISSUER, "exp": NOW + 60, "cnf": {"jkt": JKT}, "token_type": "DPoP"})
}

/// What is sent: the token in the body, one credential, and no proof (RFC 7662 §2.1, RFC 9449 §6.2).
#[test]
fn introspection_requests() {
    let remote = Remote::default();
    remote.answers(200, "application/json", active().to_string());
    let methods = [
        (ClientAuth::client_secret_basic("s"), vec!["token", "token_type_hint"], true),
        (
            ClientAuth::client_secret_post("s"),
            vec!["token", "token_type_hint", "client_secret", "client_id"],
            false,
        ),
        (
            ClientAuth::private_key_jwt(key(Algorithm::Es256)),
            vec!["token", "token_type_hint", "client_assertion", "client_assertion_type", "client_id"],
            false,
        ),
    ];
    for (auth, names, basic) in methods {
        assert!(introspector(&remote, auth).validate("tok~en==", at(NOW)).is_ok());
        let sent = remote.sent.lock().unwrap().pop().unwrap();
        assert_eq!(
            (sent.method(), sent.uri().to_string().as_str()),
            (&http::Method::POST, "https://as.example/introspect")
        );
        assert_eq!(
            (sent.headers().contains_key("authorization"), sent.headers().contains_key("dpop")),
            (basic, false)
        );
        let form = form(sent.body());
        assert_eq!(form.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(values(&form, "token"), ["tok~en=="]);
        if let [assertion] = values(&form, "client_assertion")[..] {
            assert_eq!(Jwt::decode(assertion).claims["aud"], ISSUER);
        }
    }
    assert!(
        format!("{:?}", introspector(&remote, ClientAuth::client_secret_post("canary")))
            .find("canary")
            .is_none()
    );
    // What no Authorization header can hold is not asked about.
    let before = remote.requests();
    assert_eq!(introspector(&remote, ClientAuth::none()).validate("a b", at(NOW)), Err(TokenError::Inactive));
    assert_eq!(remote.requests(), before);
}

/// V-56 and what else an answer may say.
#[test]
fn v56_introspection_answers() {
    let remote = Remote::default();
    let tokens = introspector(&remote, ClientAuth::client_secret_basic("s"));
    let ask = |status, content_type, body: String| {
        remote.answers(status, content_type, body);
        tokens.validate("token", at(NOW))
    };
    let json = |value: Value| ask(200, "application/json", value.to_string());
    assert_eq!(json(active()).unwrap().jkt().unwrap().to_string(), JKT);
    // Whatever `token_type` says, the binding stands; and nothing but an access token will do.
    assert!(json(set(active(), "token_type", "bearer")).unwrap().jkt().is_some());
    assert!(json(without(active(), "token_type")).unwrap().jkt().is_some());
    for kind in
        [json!("refresh_token"), json!("N_A"), json!(7), json!("urn:ietf:params:oauth:token-type:id_token")]
    {
        assert_eq!(json(set(active(), "token_type", kind.clone())), Err(TokenError::Kind), "{kind}");
    }
    assert_eq!(json(without(active(), "cnf")), Err(TokenError::Confirmation), "DPoP without a key");
    assert_eq!(json(set(without(active(), "cnf"), "token_type", "Bearer")).unwrap().jkt(), None);
    assert_eq!(json(set(active(), "cnf", json!({}))), Err(TokenError::Confirmation));
    // `active: false` wins over all the rest.
    assert_eq!(json(set(active(), "active", false)), Err(TokenError::Inactive));
    assert_eq!(json(json!({"active": false})), Err(TokenError::Inactive));
    assert_eq!(json(set(active(), "exp", NOW)), Err(TokenError::Expired { seconds: 0 }));
    assert!(matches!(json(set(active(), "nbf", NOW + 1)), Err(TokenError::NotYetValid { seconds: 1 })));
    assert_eq!(json(set(active(), "aud", "https://other.example")), Err(TokenError::Audience));
    assert_eq!(json(without(active(), "aud")), Err(TokenError::Audience));
    assert_eq!(json(set(active(), "iss", "https://evil.example")), Err(TokenError::Issuer));
    for missing in
        [json!({}), json!({"active": "true"}), json!({"active": 1}), json!({"active": null}), json!([])]
    {
        assert!(matches!(json(missing.clone()), Err(TokenError::Unavailable(_))), "{missing}");
    }
    let unavailable = [
        (401, "application/json", r#"{"error":"invalid_client"}"#),
        (500, "text/html", "<html>"),
        (503, "application/json", "{}"),
        (302, "text/plain", ""),
        (200, "text/html", r#"{"active":true}"#),
        (200, "application/json", r#"{"active":false,"active":true}"#),
        (429, "application/json", r#"{"error":"slow_down"}"#),
    ];
    for (status, content_type, body) in unavailable {
        assert!(
            matches!(ask(status, content_type, body.to_owned()), Err(TokenError::Unavailable(_))),
            "{status} {body}"
        );
    }
    let unknown = ask(400, "application/json", r#"{"error":"unsupported_token_type"}"#.to_owned());
    assert_eq!(unknown, Err(TokenError::Inactive));
    let any = introspector(&remote, ClientAuth::client_secret_basic("s")).dangerous_any_audience();
    remote.answers(200, "application/json", without(active(), "aud").to_string());
    assert!(any.validate("token", at(NOW)).is_ok());
}

#[test]
fn introspection_is_cached_no_longer_than_it_may() {
    let remote = Remote::default();
    let tokens = introspector(&remote, ClientAuth::client_secret_basic("s")).cache(Duration::from_secs(30));
    // (time, what the server would say, whether it is asked, whether the token passes)
    let rows = [
        (NOW, true, true, true),
        (NOW + 29, false, false, true),
        (NOW + 30, true, true, true),
        // A clock that was set back makes nothing last.
        (NOW + 20, false, true, false),
        // That it is not active is kept for 10 seconds.
        (NOW + 29, true, false, false),
        (NOW + 61, false, true, false),
        (NOW + 70, true, false, false),
        (NOW + 71, false, true, false),
    ];
    for (now, says, asked, passes) in rows {
        let answer = set(set(active(), "active", says), "exp", NOW + 1000);
        remote.answers(200, "application/json", answer.to_string());
        let before = remote.requests();
        let seen = tokens.validate("token", at(now));
        assert_eq!((remote.requests() - before, seen.is_ok()), (usize::from(asked), passes), "{}", now - NOW);
    }
    // No longer than `exp`, and each token for itself.
    remote.answers(200, "application/json", set(active(), "exp", NOW + 5).to_string());
    let before = remote.requests();
    assert!(tokens.validate("short", at(NOW)).is_ok() && tokens.validate("short", at(NOW + 4)).is_ok());
    assert_eq!(remote.requests(), before + 1);
    assert!(tokens.validate("short", at(NOW + 5)).is_err());
    assert!(tokens.validate("other", at(NOW)).is_ok());
    assert_eq!(remote.requests(), before + 3);
}

// ---------------------------------------------------------------------------------------------------- further edges

/// RFC 7519 §4.1.4, §4.1.5: `exp` is the first moment in which the token is over, `nbf` the first in which it is good; the
/// leeway moves both by its seconds, and no setting wraps.
#[test]
fn v58_times() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key);
    let header = set(header(), "alg", "EdDSA");
    let expired = |seconds| Err(TokenError::Expired { seconds });
    let early = |seconds| Err(TokenError::NotYetValid { seconds });
    let claim = |claim: &str| Err(TokenError::Claim { claim: claim.to_owned() });
    type Row = (u64, &'static str, Value, Result<(), TokenError>);
    let rows: Vec<Row> = vec![
        (0, "exp", json!(NOW + 1), Ok(())),
        (0, "exp", json!(NOW), expired(0)),
        (0, "exp", json!(NOW - 7), expired(7)),
        (0, "exp", json!(NOW as f64 + 0.5), Ok(())),
        (0, "exp", json!(0), expired(NOW)),
        (60, "exp", json!(NOW - 59), Ok(())),
        (60, "exp", json!(NOW - 60), expired(60)),
        (u64::MAX, "exp", json!(1), Ok(())),
        (0, "exp", json!(253_402_300_799_u64), Ok(())),
        (0, "exp", json!(253_402_300_800_u64), claim("exp")),
        (0, "exp", json!(u64::MAX), claim("exp")),
        (0, "exp", json!(-1), claim("exp")),
        (0, "exp", json!(1e300), claim("exp")),
        (0, "exp", json!(NOW.to_string()), claim("exp")),
        (0, "exp", json!(true), claim("exp")),
        (0, "exp", json!([NOW + 60]), claim("exp")),
        (0, "nbf", json!(NOW), Ok(())),
        (0, "nbf", json!(NOW + 1), early(1)),
        (0, "nbf", json!(NOW as f64 + 0.5), Ok(())), // RFC 7519 §2: in the second in which it becomes good
        (60, "nbf", json!(NOW + 60), Ok(())),
        (60, "nbf", json!(NOW + 61), early(61)),
        (u64::MAX, "nbf", json!(253_402_300_799_u64), Ok(())),
        (0, "nbf", json!("x"), claim("nbf")),
        (0, "nbf", json!(null), claim("nbf")),
        (0, "nbf", json!(-1), claim("nbf")),
    ];
    for (leeway, name, value, expected) in rows {
        let tokens = tokens.clone().leeway(Duration::from_secs(leeway));
        let seen =
            tokens.validate(&jwt(&key, &header, &set(claims(), name, value.clone())), at(NOW)).map(drop);
        assert_eq!(seen, expected, "leeway {leeway}, {name} {value}");
    }
    // A clock that cannot be right is this server's fault, and the token passes for nothing.
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
    let seen = tokens.validate(&jwt(&key, &header, &claims()), before_1970);
    assert!(matches!(seen, Err(TokenError::Unavailable(error)) if *error.kind() == ErrorKind::Clock));
}

/// V-58: required claims that are there and empty; and those of another profile.
#[test]
fn v58_required_claims() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key);
    let header = set(header(), "alg", "EdDSA");
    let missing = |claim: &str| Err(TokenError::Claim { claim: claim.to_owned() });
    for claim in ["iss", "aud", "sub", "client_id", "iat", "jti", "exp"] {
        let seen = tokens.validate(&jwt(&key, &header, &set(claims(), claim, "")), at(NOW)).map(drop);
        assert_eq!(seen, missing(claim));
    }
    let profile = tokens.clone().required_claims(["azp"]);
    let plain = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "azp": "c"});
    assert!(profile.validate(&jwt(&key, &header, &plain), at(NOW)).is_ok());
    for claim in ["iss", "aud", "exp", "azp"] {
        let seen = profile.validate(&jwt(&key, &header, &without(plain.clone(), claim)), at(NOW)).map(drop);
        assert_eq!(seen, missing(claim));
    }
    // None beyond the three that are always demanded.
    let bare = tokens.required_claims([""; 0]);
    assert!(bare.validate(&jwt(&key, &header, &without(plain.clone(), "azp")), at(NOW)).is_ok());
    for claim in ["iss", "aud", "exp"] {
        let seen = bare.validate(&jwt(&key, &header, &without(plain.clone(), claim)), at(NOW)).map(drop);
        assert_eq!(seen, missing(claim));
    }
}

/// RFC 7515 §4.1.9: `application/` may be left out, by whoever sends a type and by whoever names one.
#[test]
fn v58_types_in_both_spellings() {
    let key = key(Algorithm::Ed25519);
    for accepted in ["JWT", "jwt", "application/jwt", "application/JWT"] {
        let tokens = validator(&key).dangerous_accept_typ(accepted);
        for (typ, fine) in [
            ("JWT", true),
            ("jwt", true),
            ("application/jwt", true),
            ("at+jwt", true),
            ("application/application/at+jwt", false),
            ("text/jwt", false),
            ("id+jwt", false),
            ("", false),
            (" at+jwt", false),
        ] {
            let header = json!({"typ": typ, "alg": "EdDSA"});
            let seen = tokens.validate(&jwt(&key, &header, &claims()), at(NOW)).map(drop);
            assert_eq!(seen, if fine { Ok(()) } else { Err(TokenError::Typ) }, "{accepted} {typ}");
        }
    }
}

/// V-12, V-22: what the token's own header offers as a key is not used: a JWK, a URL, a certificate, the issuer's public key as
/// a secret; nor is the key of the proof, which is in `cnf`.
#[test]
fn v22_keys_come_from_the_issuer_alone() {
    let (issuer, attacker) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
    let remote = Remote::default();
    remote.answers(200, "application/json", jwks(&[jwk(&issuer, "k1", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let header = set(header(), "alg", "EdDSA");
    let own = jwk(&attacker, "k1", &json!({}));
    let bound = set(claims(), "cnf", json!({"jkt": attacker.public_key().thumbprint().to_string()}));
    for (name, value) in [
        ("jwk", own.clone()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["AAAA"])),
        ("jwks", json!({"keys": [own]})),
        ("x", json!(1)),
    ] {
        for header in
            [set(header.clone(), name, value.clone()), without(set(header.clone(), name, value), "kid")]
        {
            for claims in [&claims(), &bound] {
                let forged = jwt(&attacker, &header, claims);
                assert_eq!(tokens.validate(&forged, at(NOW)), Err(TokenError::Signature), "{name}");
                assert!(tokens.validate(&jwt(&issuer, &header, claims), at(NOW)).is_ok(), "{name}");
            }
        }
    }
    // Nothing but the `jwks_uri` was asked, and that once.
    let sent: Vec<_> = remote.sent.lock().unwrap().iter().map(|sent| sent.uri().to_string()).collect();
    assert_eq!(sent, ["https://as.example/jwks"]);
    // A MAC over the token with the public key as its secret has the length of none that is accepted, and the wrong name.
    let mac = jwt(&attacker, &set(header, "alg", "HS256"), &claims());
    assert_eq!(tokens.validate(&mac, at(NOW)), Err(TokenError::Algorithm { alg: "HS256".to_owned() }));
}

/// A token that could not be accepted whatever its key makes this server fetch nothing.
#[test]
fn keys_are_fetched_for_tokens_that_may_count() {
    let (key, remote) = (key(Algorithm::Ed25519), Remote::default());
    remote.answers(200, "application/json", jwks(&[jwk(&key, "k1", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let header = set(header(), "alg", "EdDSA");
    let hopeless = [
        "garbage".to_owned(),
        jwt(&key, &set(header.clone(), "typ", "JWT"), &claims()),
        jwt(&key, &set(header.clone(), "alg", "none"), &claims()),
        jwt(&key, &set(header.clone(), "kid", 1), &claims()),
        jwt(&key, &header, &set(claims(), "iss", "https://evil.example")),
        jwt(&key, &header, &set(claims(), "aud", "https://evil.example")),
        jwt(&key, &header, &set(claims(), "exp", NOW - 60)),
        jwt(&key, &header, &without(claims(), "sub")),
    ];
    for token in hopeless {
        assert!(tokens.validate(&token, at(NOW)).is_err());
        assert_eq!(remote.requests(), 0, "{token}");
    }
    assert!(tokens.validate(&jwt(&key, &header, &claims()), at(NOW)).is_ok());
    assert_eq!(remote.requests(), 1);
    let sent = &remote.sent.lock().unwrap()[0];
    assert_eq!((sent.method(), sent.body().len()), (&http::Method::GET, 0));
    assert!(!sent.headers().contains_key("authorization") && !sent.headers().contains_key("dpop"));
}

/// A clock that is set back by an hour fetches once, and then goes on as before; by a few seconds, not even that.
#[test]
fn a_clock_set_back_keeps_no_keys_for_ever() {
    let (first, second, remote) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519), Remote::default());
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |key: &KeyPair, now: u64| {
        let claims = set(claims(), "exp", NOW + 10_000);
        tokens.validate(&jwt(key, &json!({"typ": "at+jwt", "alg": "EdDSA"}), &claims), at(now)).is_ok()
    };
    remote.answers(200, "application/json", jwks(&[jwk(&first, "k1", &json!({}))]));
    assert!(ask(&first, NOW) && ask(&first, NOW - 5) && ask(&first, NOW - 59));
    assert_eq!(remote.requests(), 1);
    remote.answers(200, "application/json", jwks(&[jwk(&second, "k2", &json!({}))]));
    assert!(ask(&second, NOW - 3_600) && ask(&second, NOW - 3_600) && ask(&second, NOW - 2_800));
    assert_eq!(remote.requests(), 2);
    assert!(!ask(&first, NOW - 2_799));
}

/// Waits in the HTTP client until the test lets it go on.
struct Gate {
    entered: Mutex<std::sync::mpsc::Receiver<()>>,
    go_on: Mutex<std::sync::mpsc::Sender<()>>,
}

/// `remote` answers with `outcome` when the gate is opened. Nothing here waits for ever.
fn gate(
    remote: &Remote,
    outcome: impl Fn() -> Result<http::Response<Vec<u8>>, Error> + Send + Sync + 'static,
) -> Gate {
    let ((enter, entered), (open, opened)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let (enter, opened) = (Mutex::new(enter), Mutex::new(opened));
    remote.does(move || {
        enter.lock().unwrap().send(()).unwrap();
        opened.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        outcome()
    });
    Gate { entered: Mutex::new(entered), go_on: Mutex::new(open) }
}

impl Gate {
    fn wait(&self) {
        self.entered.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
    }

    fn open(&self) {
        self.go_on.lock().unwrap().send(()).unwrap();
    }
}

/// While one thread fetches, who has a key at hand, be it an old one, does not wait; who needs the fetch waits for it, and
/// fetches nothing itself.
#[test]
fn nobody_waits_without_need() {
    let (old, new, remote) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519), Remote::default());
    remote.answers(200, "application/json", jwks(&[jwk(&old, "old", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |key: &KeyPair, kid: &str, now: u64| {
        let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid});
        tokens.validate(&jwt(key, &header, &set(claims(), "exp", NOW + 9_999)), at(now)).map(drop)
    };
    assert_eq!(ask(&old, "old", NOW), Ok(()));
    let both = jwks(&[jwk(&old, "old", &json!({})), jwk(&new, "new", &json!({}))]);
    // For keys that grew old, and for a kid that is not among them: the one who fetches, and when.
    for (asked, kid, now) in [(&old, "old", NOW + 1_000), (&new, "unknown", NOW + 1_100)] {
        let both = both.clone();
        let gate = gate(&remote, move || Ok(http::Response::new(both.clone().into_bytes())));
        let (before, started) = (remote.requests(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| ask(asked, kid, now));
            gate.wait();
            // The gate is shut, and these come back all the same.
            let known: Vec<_> = (0..31).map(|_| scope.spawn(|| ask(&old, "old", now))).collect();
            assert!(known.into_iter().all(|thread| thread.join().unwrap() == Ok(())));
            assert!(!fetching.is_finished());
            let waiting: Vec<_> = (0..31)
                .map(|_| {
                    scope.spawn(|| {
                        started.fetch_add(1, Ordering::SeqCst);
                        ask(&new, "new", now)
                    })
                })
                .collect();
            while started.load(Ordering::SeqCst) < 31 {
                std::thread::yield_now();
            }
            gate.open();
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == Ok(())));
            let expected = if kid == "old" { Ok(()) } else { Err(TokenError::UnknownKey) };
            assert_eq!(fetching.join().unwrap(), expected);
        });
        assert_eq!(remote.requests(), before + 1, "{kid}");
    }
}

/// A panic in the HTTP client, and an error, free the threads that wait for it; each gets an answer, and later all is well.
#[test]
fn a_fetch_that_fails_wedges_nobody() {
    let key = key(Algorithm::Ed25519);
    let token = jwt(&key, &set(header(), "alg", "EdDSA"), &set(claims(), "exp", NOW + 999));
    for panics in [true, false] {
        let remote = Remote::default();
        let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
        let ask = |now| tokens.validate(&token, at(now)).map(drop);
        let gate = gate(&remote, move || match panics {
            true => panic!("in the HTTP client"),
            false => Err(Error::transport("connection refused")),
        });
        let started = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let fetching =
                scope.spawn(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(NOW))));
            gate.wait();
            let waiting: Vec<_> = (0..31)
                .map(|_| {
                    scope.spawn(|| {
                        started.fetch_add(1, Ordering::SeqCst);
                        ask(NOW)
                    })
                })
                .collect();
            while started.load(Ordering::SeqCst) < 31 {
                std::thread::yield_now();
            }
            gate.open();
            for thread in waiting {
                assert!(matches!(thread.join().unwrap(), Err(TokenError::Unavailable(_))));
            }
            let outcome = fetching.join().unwrap();
            assert_eq!(outcome.is_err(), panics);
        });
        assert_eq!(remote.requests(), 1, "no storm of those who waited");
        remote.answers(200, "application/json", jwks(&[jwk(&key, "k1", &json!({}))]));
        assert!(ask(NOW + 1).is_err());
        // The pause of 5 seconds counts from the end of the fetch, and that took as long as the threads took to start.
        assert_eq!(ask(NOW + 100), Ok(()));
    }
}

/// The other ways in which an introspecting server authenticates: one credential each (RFC 6749 §2.3), an assertion for the
/// issuer that is never used twice (RFC 7523bis §4), and with a certificate the alias (RFC 8705 §5).
#[test]
fn introspection_credentials() {
    let remote = Remote::default();
    remote.answers(200, "application/json", active().to_string());
    let secret = "a secret of 32 bytes or so, this";
    let assertion = ["token", "token_type_hint", "client_assertion", "client_assertion_type", "client_id"];
    let plain = ["token", "token_type_hint", "client_id"];
    let aliases = json!({"introspection_endpoint": "https://mtls.as.example/introspect", "token_endpoint": "https://mtls.as.example/token"});
    let document = |members: &[(&str, Value)]| {
        let builder = AuthorizationServer::builder(ISSUER)
            .token_endpoint("https://as.example/token")
            .member("introspection_endpoint", "https://as.example/introspect");
        members
            .iter()
            .fold(builder, |builder, (name, value)| builder.member(name, value.clone()))
            .build()
            .unwrap()
    };
    let with_aliases = document(&[("mtls_endpoint_aliases", aliases)]);
    let other_alias =
        document(&[("mtls_endpoint_aliases", json!({"token_endpoint": "https://mtls.as.example/token"}))]);
    let (own, alias) = ("https://as.example/introspect", "https://mtls.as.example/introspect");
    let rs = || Client::new("rs").unwrap();
    let rows: Vec<(&AuthorizationServer, Client, ClientAuth, &[&str], &str)> = vec![
        (&with_aliases, rs(), ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256), &assertion, own),
        (&with_aliases, rs(), ClientAuth::private_key_jwt(key(Algorithm::Ed25519)), &assertion, own),
        (&with_aliases, rs(), ClientAuth::none(), &plain, own),
        (&with_aliases, rs(), ClientAuth::tls_client_auth(), &plain, alias),
        (&with_aliases, rs(), ClientAuth::self_signed_tls_client_auth(), &plain, alias),
        (
            &with_aliases,
            rs().use_mtls_endpoint_aliases(),
            ClientAuth::client_secret_basic("s"),
            &plain[..2],
            alias,
        ),
        (&other_alias, rs(), ClientAuth::tls_client_auth(), &plain, own),
    ];
    for (server, client, auth, names, endpoint) in rows {
        let tokens = Introspector::new(server, &client, &auth, AUDIENCE, remote.clone()).unwrap();
        let mut jtis = Vec::new();
        for _ in 0..2 {
            assert!(tokens.validate("token", at(NOW)).is_ok());
            let sent = remote.sent.lock().unwrap().pop().unwrap();
            assert_eq!((sent.uri().to_string().as_str(), sent.uri().query()), (endpoint, None));
            let form = form(sent.body());
            assert_eq!(form.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names, "{auth:?}");
            assert_eq!(sent.headers()["content-type"], "application/x-www-form-urlencoded");
            assert!(!sent.headers().contains_key("dpop"));
            if let [assertion] = values(&form, "client_assertion")[..] {
                let assertion = Jwt::decode(assertion);
                // A string, the issuer's own, whatever the endpoint is called.
                assert_eq!(assertion.claims["aud"], json!(ISSUER));
                assert_eq!(
                    (assertion.text("iss"), assertion.text("sub")),
                    ("rs".to_owned(), "rs".to_owned())
                );
                jtis.push(assertion.jti());
            }
        }
        assert!(jtis.is_empty() || jtis[0] != jtis[1]);
    }
    // What cannot work is said at once.
    let new = |server: &AuthorizationServer, auth: ClientAuth| {
        Introspector::new(server, &rs(), &auth, AUDIENCE, remote.clone())
            .map(drop)
            .map_err(|error| error.kind().clone())
    };
    let basic = || ClientAuth::client_secret_basic("s");
    let nowhere =
        AuthorizationServer::builder(ISSUER).token_endpoint("https://as.example/token").build().unwrap();
    assert_eq!(new(&nowhere, basic()), Err(ErrorKind::Metadata));
    let listed = document(&[("introspection_endpoint_auth_methods_supported", json!(["private_key_jwt"]))]);
    assert_eq!(new(&listed, basic()), Err(ErrorKind::AuthMethod));
    assert_eq!(new(&listed, ClientAuth::private_key_jwt(key(Algorithm::Ed25519))), Ok(()));
    assert_eq!(
        new(&with_aliases, ClientAuth::client_secret_jwt("short", HmacAlgorithm::Hs256)),
        Err(ErrorKind::AuthMethod)
    );
    // What the token endpoint takes says nothing of this one.
    let elsewhere = document(&[("token_endpoint_auth_methods_supported", json!(["private_key_jwt"]))]);
    assert_eq!(new(&elsewhere, basic()), Ok(()));
    struct Bare;
    impl HttpClient for Bare {
        fn send(&self, _: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
            Err(Error::transport("unreachable"))
        }

        fn has_client_certificate(&self) -> Option<bool> {
            Some(false)
        }
    }
    let bare = |auth| Introspector::new(&with_aliases, &rs(), &auth, AUDIENCE, Bare).map(drop);
    assert_eq!(*bare(ClientAuth::tls_client_auth()).unwrap_err().kind(), ErrorKind::AuthMethod);
    assert!(bare(basic()).is_ok());
}

/// What is kept of introspection, and what is not: no trouble of the server's, no token's answer for another's, nothing at all
/// unless so configured, and no `exp` is outlived, be it one with a fraction.
#[test]
fn what_introspection_keeps() {
    let remote = Remote::default();
    let make = || introspector(&remote, ClientAuth::client_secret_basic("s"));
    let asked = |tokens: &Introspector, token: &str, now: u64| {
        let before = remote.requests();
        let seen = tokens.validate(token, at(now)).map(drop);
        (remote.requests() - before, seen)
    };
    let says = |value: &Value| remote.answers(200, "application/json", value.to_string());
    says(&active());
    let plain = make();
    for _ in 0..2 {
        assert_eq!(asked(&plain, "a", NOW), (1, Ok(())));
    }
    let cached = make().cache(Duration::from_secs(30));
    remote.does(|| Err(Error::timeout("no answer")));
    for _ in 0..2 {
        let (requests, seen) = asked(&cached, "a", NOW);
        assert!(requests == 1 && matches!(seen, Err(TokenError::Unavailable(_))));
    }
    says(&set(active(), "aud", "https://other.example"));
    for _ in 0..2 {
        assert_eq!(asked(&cached, "a", NOW), (1, Err(TokenError::Audience)));
    }
    says(&active());
    assert_eq!(asked(&cached, "a", NOW), (1, Ok(())));
    says(&json!({"active": false}));
    assert_eq!(asked(&cached, "a", NOW + 1), (0, Ok(())));
    assert_eq!(asked(&cached, "b", NOW + 1), (1, Err(TokenError::Inactive)));
    assert_eq!(asked(&cached, "A", NOW + 1), (1, Err(TokenError::Inactive)));
    // The binding is kept with it.
    assert_eq!(cached.validate("a", at(NOW + 2)).unwrap().jkt().unwrap().to_string(), JKT);
    // A life of no length keeps nothing, one without end keeps to `exp`.
    says(&active());
    let (never, ever) = (make().cache(Duration::ZERO), make().cache(Duration::MAX));
    for _ in 0..2 {
        assert_eq!(asked(&never, "a", NOW), (1, Ok(())));
    }
    assert!(matches!(asked(&ever, "a", NOW), (1, Ok(()))));
    says(&set(active(), "exp", NOW as f64 + 5.5));
    let cached = make().cache(Duration::from_secs(30));
    assert_eq!([asked(&cached, "c", NOW), asked(&cached, "c", NOW + 4)], [(1, Ok(())), (0, Ok(()))]);
    assert_eq!(asked(&cached, "c", NOW + 6), (1, Err(TokenError::Expired { seconds: 1 })));
}

/// A checker from outside has no say in what this crate checks, and none in what is not listed.
#[test]
fn outside_checkers_do_not_stand_above_the_crate() {
    struct Yes;
    impl SignatureVerifier for Yes {
        fn supports(&self, _: Algorithm) -> bool {
            true
        }

        fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
            true
        }
    }
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let (key, other) = (key(algorithm), key(algorithm));
        let header = set(header(), "alg", algorithm.name());
        let forged = jwt(&other, &header, &claims());
        let tokens = validator(&key).signature_verifier(Yes);
        assert_eq!(tokens.validate(&forged, at(NOW)), Err(TokenError::Signature));
        // Not listed, or not for this kind of key.
        assert!(matches!(
            tokens.validate(&jwt(&other, &set(header.clone(), "alg", "ES384"), &claims()), at(NOW)),
            Err(TokenError::Algorithm { .. })
        ));
        let listed = tokens.algorithms([Algorithm::Rs256, Algorithm::Es384]);
        for alg in ["RS256", "ES384"] {
            let seen = listed.validate(&jwt(&other, &set(header.clone(), "alg", alg), &claims()), at(NOW));
            assert_eq!(seen, Err(TokenError::UnknownKey), "{alg}");
        }
        let verifier = Verifier::new(MemoryReplayStore::new(9)).signature_verifier(Yes);
        let proof =
            Proof::new(&http::Method::GET, "https://api.example/").unwrap().sign(&key, at(NOW)).unwrap();
        let forged =
            format!("{}.{}", proof.rsplit_once('.').unwrap().0, Base64UrlUnpadded::encode_string(&[1; 64]));
        let request =
            ReceivedRequest::from_fields(&http::Method::GET, "https://api.example/", vec![forged.as_bytes()])
                .unwrap();
        assert_eq!(
            verifier.verify_token_request(&request, at(NOW)).unwrap_err().reason(),
            &Reason::Signature
        );
    }
}
