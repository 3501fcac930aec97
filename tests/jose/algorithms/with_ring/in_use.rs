//! Proofs, access tokens and client assertions with each algorithm.

use std::sync::Arc;

use base64ct::Encoding;
use possession::server::{
    JwtValidator, MemoryReplayStore, Reason, ReceivedRequest, TokenError, TokenValidator, Verifier,
};
use possession::{
    Algorithm, AssertionOptions, AuthorizationServer, Client, ClientAuth, Error, ErrorKind, KeyPair,
    Parameters, Proof, Prover, RequestOptions, ServerRole, Signer, TokenRequest,
};
use serde_json::{Value, json};

use super::super::{ALL, numbers_of, openssl, rsa_jwk};
use super::{NOW, URL, key, now};
use crate::encoding::{assert_refused, b64u, with};

fn received(proof: &str) -> ReceivedRequest<'_> {
    ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof.as_bytes()]).unwrap()
}

/// RFC 9449 §4.3, check 5. The default list has none of these algorithms.
#[test]
fn a_proof_is_accepted_where_its_algorithm_is_listed() {
    let memory = || Verifier::new(MemoryReplayStore::new(100));
    for algorithm in ALL {
        let key = Arc::new(key(algorithm));
        let prover = Prover::new(Arc::clone(&key)).unwrap();
        let proofs = [
            prover
                .prove(ServerRole::ResourceServer, Proof::new(&http::Method::GET, URL).unwrap(), now())
                .unwrap(),
            Proof::new(&http::Method::GET, URL).unwrap().sign(&key, now()).unwrap(),
        ];
        for proof in proofs {
            for verifier in [memory().algorithms([algorithm]), memory().algorithms(ALL)] {
                let seen = verifier.verify_token_request(&received(&proof), now()).unwrap();
                assert_eq!(seen.thumbprint(), key.public_key().thumbprint());
            }
            let others = ALL.into_iter().filter(|other| *other != algorithm);
            for verifier in [memory(), memory().algorithms(others), memory().algorithms([])] {
                let rejection = verifier.verify_token_request(&received(&proof), now()).unwrap_err();
                assert_eq!(rejection.reason(), &Reason::Algorithm { alg: algorithm.name().to_owned() });
            }
            // With the signature of another proof.
            let other = Proof::new(&http::Method::GET, URL).unwrap().sign(&key, now()).unwrap();
            let mixed =
                format!("{}.{}", proof.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
            let rejection =
                memory().algorithms(ALL).verify_token_request(&received(&mixed), now()).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::Signature, "{algorithm}");
        }
    }
    // The challenge lists what is accepted.
    let none = ReceivedRequest::from_fields(&http::Method::GET, URL, vec![]).unwrap();
    let jkt = key(Algorithm::Es384).public_key().thumbprint();
    let rejection =
        memory().algorithms(ALL).verify_resource_request(&none, "token", &jkt, now()).unwrap_err();
    let challenges = possession::Challenge::from_headers(rejection.to_response().headers()).unwrap();
    let algs: Vec<_> = challenges[0].params().iter().filter(|(name, _)| *name == "algs").collect();
    assert_eq!(algs[0].1, "RS256 RS384 RS512 PS256 PS384 PS512 ES384");
}

/// RFC 9068 §4: tokens of servers that sign with RSA or P-384.
#[test]
fn an_access_token_is_accepted_where_its_algorithm_is_listed() {
    let (issuer, audience) = ("https://as.example", "https://api.example");
    for algorithm in ALL {
        let key = key(algorithm);
        let mut jwk: Value = serde_json::from_str(key.public_key().to_jwk()).unwrap();
        jwk["kid"] = "k1".into();
        let encode = |value: &Value| b64u(value.to_string().as_bytes());
        let header = json!({"typ": "at+jwt", "alg": algorithm.name(), "kid": "k1"});
        let claims = json!({"iss": issuer, "aud": audience, "sub": "s", "client_id": "c", "jti": "j", "iat": NOW,
            "exp": NOW + 60, "cnf": {"jkt": key.public_key().thumbprint().to_string()}});
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.sign(signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", b64u(&signature));
        let of = |jwk: &Value| {
            JwtValidator::with_keys(issuer, audience, &json!({"keys": [jwk]}).to_string()).unwrap()
        };
        let seen = of(&jwk).algorithms([algorithm]).validate(&token, now()).unwrap();
        assert_eq!(seen.jkt(), Some(key.public_key().thumbprint()));
        // RFC 7517 §4.4: the key may name its algorithm.
        jwk["alg"] = algorithm.name().into();
        assert!(of(&jwk).algorithms([algorithm]).validate(&token, now()).is_ok(), "{algorithm}");
        let other = if algorithm == Algorithm::Ps512 { Algorithm::Ps256 } else { Algorithm::Ps512 };
        // RFC 9068 §2.1: RS256 is mandatory.
        jwk.as_object_mut().unwrap().remove("alg");
        let refused = || Err(TokenError::Algorithm { alg: algorithm.name().to_owned() });
        match of(&jwk).validate(&token, now()) {
            Ok(seen) => assert_eq!((algorithm, seen.jkt().is_some()), (Algorithm::Rs256, true)),
            seen => assert_eq!((algorithm == Algorithm::Rs256, seen), (false, refused())),
        }
        assert_eq!(of(&jwk).algorithms([other]).validate(&token, now()), refused());
        jwk["alg"] = other.name().into();
        assert!(
            of(&jwk).algorithms(ALL).validate(&token, now()).is_err(),
            "{algorithm} by a key for {other}"
        );
        jwk.as_object_mut().unwrap().remove("alg");
        let mut altered = signature;
        altered[20] ^= 1;
        let altered = format!("{signed}.{}", b64u(&altered));
        assert_eq!(of(&jwk).algorithms([algorithm]).validate(&altered, now()), Err(TokenError::Signature));
    }
}

/// The assertion of a client at a server that lists these algorithms.
fn assertion(
    key: KeyPair,
    options: AssertionOptions,
    listed: Option<&[&str]>,
) -> Result<(Value, String), Error> {
    let server =
        AuthorizationServer::builder("https://as.example").token_endpoint("https://as.example/token");
    let server = match listed {
        Some(listed) => server.token_endpoint_auth_signing_alg_values_supported(listed.iter().copied()),
        None => server,
    };
    let auth = ClientAuth::private_key_jwt_with(key, options);
    let (server, client) = (server.build()?, Client::new("app")?);
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    let options = RequestOptions::new().prover(&prover);
    let mut exchange =
        TokenRequest::client_credentials(&server, &client, &auth, Parameters::new(), &options)?;
    let request = exchange.request(now())?;
    let form: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
    let (_, jwt) = form.into_iter().find(|(name, _)| name == "client_assertion").unwrap();
    let header = base64ct::Base64UrlUnpadded::decode_vec(jwt.split('.').next().unwrap()).unwrap();
    Ok((serde_json::from_slice(&header).unwrap(), jwt))
}

/// RFC 7523 §3: the list of the server decides only whether the assertion may be sent.
#[test]
fn an_assertion_has_the_algorithm_of_its_key() {
    for algorithm in ALL {
        let lists = [None, Some(vec!["ES256", algorithm.name()]), Some(ALL.map(Algorithm::name).to_vec())];
        for listed in lists {
            let (header, jwt) =
                assertion(key(algorithm), AssertionOptions::new(), listed.as_deref()).unwrap();
            assert_eq!(header["alg"], algorithm.name());
            assert!(key(algorithm).to_public().verify_jws(&jwt).is_ok(), "{algorithm}");
        }
        let wanted = AssertionOptions::new().alg(algorithm.name());
        assert_eq!(assertion(key(algorithm), wanted, None).unwrap().0["alg"], algorithm.name());
    }
    let jwk = with(&rsa_jwk(&numbers_of(openssl::RSA_2048)), r#""kid":"k1","alg":"PS256""#);
    let (header, _) = assertion(KeyPair::from_jwk(&jwk).unwrap(), AssertionOptions::new(), None).unwrap();
    assert_eq!((&header["alg"], &header["kid"]), (&json!("PS256"), &json!("k1")));

    // The key could sign with an algorithm of the server but is set to another one.
    let refused = |key: KeyPair, options: AssertionOptions, listed: &[&str], words: &[&str]| {
        assert_refused(assertion(key, options, Some(listed)), &ErrorKind::Algorithm, words, words[0]);
    };
    let advice = "KeyPair::with_algorithm";
    let plain = || KeyPair::from_pkcs8_pem(openssl::RSA_2048).unwrap();
    refused(plain(), AssertionOptions::new(), &["PS256"], &["RS256", "only: PS256", advice]);
    refused(
        key(Algorithm::Ps256),
        AssertionOptions::new(),
        &["ES256", "RS256"],
        &["PS256", "only: ES256 RS256", advice],
    );
    refused(
        plain(),
        AssertionOptions::new().alg("PS256"),
        &["PS256"],
        &["RS256", "PS256 was asked for", advice],
    );
    // The key cannot sign with any algorithm of the server.
    refused(plain(), AssertionOptions::new(), &["ES256", "EdDSA"], &["RS256", "only: ES256 EdDSA"]);
    refused(key(Algorithm::Es384), AssertionOptions::new(), &["RS256"], &["ES384", "only: RS256"]);
}
