//! Signers that fail, and signers whose signatures do not belong to their public key.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use possession::server::Introspector;
use possession::*;

use super::{
    ENDPOINT, ISSUER, JSON, Script, Setup, at, body_challenge, header_challenge, key, response, token,
};
use crate::common::TOKEN;

type Signed = Result<Vec<u8>, Box<dyn StdError + Send + Sync>>;

/// A key store: its public key is what it shows, and `sign` is what it does.
struct KeyStore<F> {
    algorithm: Algorithm,
    public: PublicKey,
    sign: F,
    signatures: Arc<AtomicUsize>,
}

impl<F: Fn(&[u8]) -> Signed + Send + Sync> KeyStore<F> {
    /// Returns the store and the number of signatures that were asked of it.
    fn new(algorithm: Algorithm, public: PublicKey, sign: F) -> (Self, Arc<AtomicUsize>) {
        let signatures = Arc::<AtomicUsize>::default();
        (Self { algorithm, public, sign, signatures: Arc::clone(&signatures) }, signatures)
    }
}

impl<F: Fn(&[u8]) -> Signed + Send + Sync> Signer for KeyStore<F> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Signed {
        self.signatures.fetch_add(1, Ordering::SeqCst);
        (self.sign)(message)
    }
}

/// A store that shows another public key than that of the key it signs with.
fn lying(algorithm: Algorithm) -> (impl Signer, Arc<AtomicUsize>) {
    let used = key(algorithm);
    KeyStore::new(algorithm, key(algorithm).to_public(), move |message: &[u8]| used.sign(message))
}

fn refusal(code: &str) -> super::HttpResponse {
    response(400, &[JSON], format!(r#"{{"error":"{code}"}}"#))
}

fn assert_is_of_the_signer(error: &Error, what: &str) {
    assert_eq!(*error.kind(), ErrorKind::Signer, "{what}: {error}");
    assert!(error.to_string().contains("does not verify under the public key"), "{what}: {error}");
    assert!(!error.is_transient(), "{what}");
}

/// The server's `invalid_dpop_proof` does not say why. Keycloak reports `invalid_request`. One signature
/// is made for each request and none for the check, because key stores charge for them.
#[test]
fn a_signer_with_another_public_key_is_detected_at_the_first_refusal_of_a_proof() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let refusals = [
            refusal("invalid_dpop_proof"),
            refusal("invalid_request"),
            refusal("invalid_client"),
            response(401, &[("www-authenticate", r#"DPoP error="invalid_dpop_proof""#)], ""),
            response(401, &[], ""),
        ];
        for refusal in refusals {
            // With a nonce challenge before it, and without.
            for challenges in [vec![], vec![body_challenge(&["n-1"])]] {
                let (signer, signatures) = lying(algorithm);
                let setup = Setup { prover: Some(Prover::new(signer).unwrap()), ..Setup::new() };
                let script = Script::new(challenges.into_iter().chain([refusal.clone(), token()]));
                let error = setup.run_over(&script).unwrap_err();
                assert_is_of_the_signer(&error, &format!("{:?}", refusal.status()));
                assert!(error.to_string().contains(ENDPOINT), "{error}");
                assert_eq!(signatures.load(Ordering::SeqCst), script.sent().len());
            }
        }
        // At a resource.
        let (signer, signatures) = lying(algorithm);
        let (setup, prover) = (Setup::new(), Prover::new(signer).unwrap());
        let resource = "https://api.example/r";
        let call = || ResourceRequest::new(&setup.server, &prover, TOKEN, &Method::GET, resource).unwrap();
        let challenge = r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA""#;
        let refusals = [response(401, &[("www-authenticate", challenge)], ""), response(401, &[], "")];
        for (first, nonce) in refusals.into_iter().zip(["n-1", "n-2"]) {
            let before = signatures.load(Ordering::SeqCst);
            let script = Script::new([header_challenge(&[nonce]), first, response(200, &[], "")]);
            let error = call().run(&http::Request::default(), &script).unwrap_err();
            assert_is_of_the_signer(&error, "resource");
            assert!(error.to_string().contains(resource), "{error}");
            assert_eq!((signatures.load(Ordering::SeqCst) - before, script.sent().len()), (2, 2));
        }
        // A server that verifies nothing is not contradicted.
        let script = Script::new([response(200, &[], "")]);
        assert_eq!(call().run(&http::Request::default(), &script).unwrap().status(), 200);
    }
}

#[test]
fn a_signer_with_another_public_key_is_detected_at_the_first_refusal_of_an_assertion() {
    for code in ["invalid_client", "invalid_request", "unauthorized_client"] {
        let (signer, signatures) = lying(Algorithm::Es256);
        let auth = ClientAuth::private_key_jwt(signer);
        let setup = Setup::new().with(auth.clone());
        let script = Script::new([body_challenge(&["n-1"]), refusal(code), token()]);
        assert_is_of_the_signer(&setup.run_over(&script).unwrap_err(), code);
        assert_eq!((signatures.load(Ordering::SeqCst), script.sent().len()), (2, 2));
        // Without proofs, too.
        let (result, _) = Setup { prover: None, ..setup }.run([refusal(code)]);
        assert_is_of_the_signer(&result.unwrap_err(), code);
        // At the introspection endpoint.
        let server = AuthorizationServer::builder(ISSUER).member("introspection_endpoint", ENDPOINT);
        let client = Client::new("api").unwrap();
        let script = Script::new([refusal(code)]);
        let tokens = Introspector::new(&server.build().unwrap(), &client, &auth, "api", script).unwrap();
        let error = server::TokenValidator::validate(&tokens, TOKEN, at(1_000_000)).unwrap_err();
        let server::TokenError::Unavailable(error) = error else { panic!("{error}") };
        assert_is_of_the_signer(&error, code);
    }
}

/// What the server says is reported unchanged where the signature is right, or cannot be verified by
/// this crate.
#[test]
fn the_refusal_of_a_sound_signature_is_the_server_s() {
    let p521 = format!(r#"{{"kty":"EC","crv":"P-521","x":"{0}","y":"{0}"}}"#, "A".repeat(88));
    let p521 = PublicKey::from_jwk(&p521).unwrap();
    let (unknown, _) = KeyStore::new(Algorithm::Es512, p521, |_: &[u8]| Ok(vec![1; 132]));
    for prover in
        [Prover::new(key(Algorithm::Ed25519)), Prover::new(key(Algorithm::Es256)), Prover::new(unknown)]
    {
        let setup = Setup { prover: Some(prover.unwrap()), ..Setup::new() };
        for code in ["invalid_dpop_proof", "invalid_client", "invalid_request"] {
            let error = setup.run([refusal(code)]).0.unwrap_err();
            assert_eq!(error.oauth().map(OAuthError::error), Some(code), "{error}");
        }
    }
}

#[derive(Debug, PartialEq)]
struct Throttled;

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many requests to the key service")
    }
}

impl StdError for Throttled {}

/// In proofs and in assertions. The reason that the signer gave is the source.
#[test]
fn a_signer_can_mark_its_error_as_transient() {
    type Fail = fn() -> Box<dyn StdError + Send + Sync>;
    let cases: [(Fail, bool); 6] = [
        (|| Throttled.into(), false),
        (|| Error::transient_signer(Throttled).into(), true),
        // The errors of an HTTP client that talks to a key service.
        (|| Error::timeout(Throttled).into(), true),
        (|| Error::transport(Throttled).into(), true),
        (|| Error::too_large(1).into(), false),
        (|| KeyPair::generate(Algorithm::Es512).unwrap_err().into(), false),
    ];
    for (fail, transient) in cases {
        let store =
            |algorithm| KeyStore::new(algorithm, key(algorithm).to_public(), move |_: &[u8]| Err(fail())).0;
        let by_assertion = Setup::new().with(ClientAuth::private_key_jwt(store(Algorithm::Ed25519)));
        let by_proof = Setup { prover: Some(Prover::new(store(Algorithm::Es256)).unwrap()), ..Setup::new() };
        for setup in [by_assertion, by_proof] {
            let error = setup.refused();
            assert_eq!((error.kind(), error.is_transient()), (&ErrorKind::Signer, transient), "{error}");
            assert!(error.to_string().contains("signing with the key's `Signer`"), "{error}");
            let source = StdError::source(&error).unwrap();
            let said = source.downcast_ref::<Throttled>().is_some()
                || source.downcast_ref::<Error>().is_some_and(|error| *error.kind() != ErrorKind::Signer);
            assert!(said, "{source}");
        }
    }
    let error = Error::transient_signer(Throttled);
    assert_eq!(StdError::source(&error).unwrap().downcast_ref::<Throttled>(), Some(&Throttled));
    assert!(error.to_string().contains("too many requests"), "{error}");
    // What a signer says is shown in safe characters.
    let error = Error::transient_signer("slot \"3\"\r\n\u{1b}[31m");
    assert!(error.to_string().chars().all(|c| matches!(c, ' '..='~')), "{error}");
}

/// A missing HTTP client is an error of the program and not of the network, so it is not worth a retry.
#[cfg(not(feature = "ureq"))]
#[test]
fn a_missing_http_client_is_a_configuration_error() {
    let setup = Setup::new();
    let options = setup.options();
    let error = client_credentials_grant_request(
        &setup.server,
        &setup.client,
        &setup.auth,
        Parameters::new(),
        &options,
    )
    .map(drop)
    .unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (&ErrorKind::Configuration, false), "{error}");
    for error in [
        Session::builder(ISSUER, "app").discover().unwrap_err(),
        Session::builder(ISSUER, "app").server(setup.server.clone()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_transient()), (&ErrorKind::Configuration, false), "{error}");
        assert!(error.to_string().contains("SessionBuilder::http"), "{error}");
    }
}
