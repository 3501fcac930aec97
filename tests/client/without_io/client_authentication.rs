//! Client authentication.

use std::collections::HashSet;
use std::time::Duration;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use possession::server::Introspector;
use possession::*;
use serde_json::json;

use super::{
    Call, ENDPOINT, ISSUER, JSON, SECRET, Script, Sent, Setup, at, body_challenge, key, response, token,
};
use crate::common::{Jwt, TOKEN, form, values};

/// Every method: its name, and how often it sends `Authorization`, `client_secret`, `client_assertion` and
/// `client_id`.
fn methods() -> Vec<(&'static str, ClientAuth, [usize; 4])> {
    vec![
        ("none", ClientAuth::none(), [0, 0, 0, 1]),
        ("client_secret_basic", ClientAuth::client_secret_basic(SECRET), [1, 0, 0, 0]),
        ("client_secret_basic", ClientAuth::client_secret_basic_unencoded(SECRET), [1, 0, 0, 0]),
        ("client_secret_post", ClientAuth::client_secret_post(SECRET), [0, 1, 0, 1]),
        ("client_secret_jwt", ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs256), [0, 0, 1, 1]),
        ("private_key_jwt", ClientAuth::private_key_jwt(key(Algorithm::Es256)), [0, 0, 1, 1]),
        ("tls_client_auth", ClientAuth::tls_client_auth(), [0, 0, 0, 1]),
        ("self_signed_tls_client_auth", ClientAuth::self_signed_tls_client_auth(), [0, 0, 0, 1]),
    ]
}

/// RFC 6749 §2.3: one method in each request; §2.3.1: no credential in the URL.
#[test]
fn c_58_each_method_sends_exactly_one_credential_and_none_in_the_url() {
    for (name, auth, [authorization, secrets, assertions, ids]) in methods() {
        assert_eq!(auth.method(), name);
        let (result, sent) = Setup::new().with(auth).run([body_challenge(&["n-1"]), token()]);
        assert!(result.is_ok(), "{name}");
        for sent in &sent {
            let count = |field| values(&sent.form, field).len();
            assert_eq!(sent.uri, ENDPOINT);
            assert_eq!(sent.headers.get_all("authorization").iter().count(), authorization, "{name}");
            assert_eq!(count("client_secret"), secrets, "{name}");
            assert_eq!(
                (count("client_assertion"), count("client_assertion_type")),
                (assertions, assertions),
                "{name}"
            );
            assert_eq!(count("client_id"), ids, "{name}");
            // One method sends the secret itself, in one place.
            let readable = sent.form.iter().filter(|(_, value)| value.contains(SECRET)).count();
            assert_eq!(readable, secrets, "{name}");
            if assertions == 1 {
                let kind = values(&sent.form, "client_assertion_type")[0];
                assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"); // RFC 7523 §2.2
            }
        }
    }
}

/// RFC 6749 §2.3.1: form-encoded, with a colon between, in Base64. The test decodes it as a server does.
#[test]
fn c_59_basic_decodes_back_to_identifier_and_secret() {
    let texts = [
        "plain",
        "a:b",
        "100%",
        "%41",
        "a+b",
        "a/b",
        "a&b=c",
        "a b",
        "é",
        "\u{1f511}",
        "~!*'()",
        ":",
        "+%2B",
    ];
    let decode_half = |half: &str| {
        let decoded = form(format!("x={half}").as_bytes());
        assert_eq!(decoded.len(), 1, "{half}");
        decoded[0].1.clone()
    };
    for id in texts {
        for secret in texts.iter().copied().chain([""]) {
            let setup = Setup { client: Client::new(id).unwrap(), ..Setup::new() };
            let (result, sent) = setup.with(ClientAuth::client_secret_basic(secret)).run([token()]);
            assert!(result.is_ok());
            let header = sent[0].headers["authorization"].to_str().unwrap();
            let pair = Base64::decode_vec(header.strip_prefix("Basic ").unwrap()).unwrap();
            let pair = String::from_utf8(pair).unwrap();
            let (left, right) = pair.split_once(':').unwrap();
            assert!(!right.contains(':'), "one separator: {pair}");
            assert_eq!([decode_half(left), decode_half(right)], [id, secret]);
        }
    }
    // Not encoded, for servers that do not decode: RFC 7617 §2 has no colon in the identifier.
    let auth = ClientAuth::client_secret_basic_unencoded("p:1+%é");
    let (_, sent) = Setup::new().with(auth.clone()).run([token()]);
    let header = sent[0].headers["authorization"].to_str().unwrap();
    assert_eq!(Base64::decode_vec(&header["Basic ".len()..]).unwrap(), "app:p:1+%é".as_bytes());
    let error = Setup { client: Client::new("a:b").unwrap(), ..Setup::new() }.with(auth).refused();
    assert_eq!(*error.kind(), ErrorKind::AuthMethod);
}

/// Q-33, RFC 6749 Appendix A.2: a secret consists of visible characters and spaces. One that was read
/// from a file often ends with a line break. The server would refuse it as `%0A`, and nobody would see
/// why.
#[test]
fn q_33_a_secret_with_control_characters_is_refused_before_anything_is_sent() {
    let by_each_method = |secret: &str| {
        [
            ClientAuth::client_secret_basic(secret),
            ClientAuth::client_secret_basic_unencoded(secret),
            ClientAuth::client_secret_post(secret),
            ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256),
            ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs512),
        ]
    };
    for control in ["\n", "\r\n", "\r", "\t", "\0", "\u{1b}", "\u{7f}", "\u{85}"] {
        for secret in
            [format!("{SECRET}{control}"), format!("{control}{SECRET}"), format!("{SECRET}{control}{SECRET}")]
        {
            for auth in by_each_method(&secret) {
                let error = Setup::new().with(auth.clone()).refused();
                assert_eq!(*error.kind(), ErrorKind::Parameter, "{auth:?} {control:?}");
                let text = error.to_string();
                assert!(text.contains("client secret") && text.contains("line break"), "{text}");
                assert!(!text.contains(SECRET), "{text}");
                // A resource server authenticates with the same secret.
                let server = AuthorizationServer::builder(ISSUER).member("introspection_endpoint", ENDPOINT);
                let server = server.build().unwrap();
                let client = Client::new("api").unwrap();
                let made = Introspector::new(&server, &client, &auth, "api", Script::new([]));
                assert_eq!(*made.unwrap_err().kind(), ErrorKind::Parameter, "{auth:?} {control:?}");
            }
        }
        // The identifier, for the same reason (Appendix A.1).
        assert_eq!(*Client::new(format!("app{control}")).unwrap_err().kind(), ErrorKind::Parameter);
    }
    // Spaces at the end are part of a secret, and so are other characters.
    for secret in [format!("{SECRET} "), format!(" {SECRET}"), format!("{SECRET}\u{e9}\u{a0}")] {
        for auth in by_each_method(&secret) {
            assert!(Setup::new().with(auth).run([token()]).0.is_ok(), "{secret:?}");
        }
    }
}

/// RFC 7523bis §4, RFC 7523 §3.
#[test]
fn c_60_c_61_an_assertion_names_client_and_issuer_and_is_valid_for_60_seconds() {
    let issuers = ["https://as.example", "https://as.example/", "https://AS.Example:443/t%2fx/"];
    // Not the issuer's host: the token endpoint of an honest server, which a malicious document could name.
    let endpoint = "https://honest.example/token";
    let signer = key(Algorithm::Es256);
    let public = signer.to_public();
    let auths = [
        (ClientAuth::private_key_jwt(signer), "ES256"),
        (ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs256), "HS256"),
    ];
    let mut seen = HashSet::new();
    for issuer in issuers {
        for (auth, alg) in &auths {
            let server = AuthorizationServer::builder(issuer).token_endpoint(endpoint);
            let setup = Setup { client: Client::new("app \"é").unwrap(), ..Setup::new().server(server) };
            let setup = setup.with(auth.clone());
            let mut exchange = TokenRequest::client_credentials(
                &setup.server,
                &setup.client,
                &setup.auth,
                Parameters::new(),
                &setup.options(),
            )
            .unwrap();
            let sent = Sent::new(&exchange.request(at(1_000_000)).unwrap());
            let jwt = sent.assertion();
            assert_eq!(jwt.header, json!({ "alg": alg, "typ": "client-authentication+jwt" }));
            assert_eq!([jwt.text("iss"), jwt.text("sub")], ["app \"é", "app \"é"]);
            assert_eq!(jwt.claims["aud"], json!(issuer));
            assert!((999_999..=1_000_000).contains(&jwt.time("iat")));
            assert_eq!(jwt.time("exp") - jwt.time("iat"), 60);
            assert!(seen.insert(jwt.jti()) && jwt.jti().len() >= 16);
            match *alg {
                "ES256" => assert!(public.verify_jws(&jwt.text).is_ok()),
                _ => assert_eq!(signature(&jwt), mac::<Hmac<sha2::Sha256>>(SECRET, &jwt)),
            }
            // C-63: `typ` tells the two kinds of JWT apart.
            assert_eq!(sent.proof().header["typ"], "dpop+jwt");
        }
    }
}

fn signature(jwt: &Jwt) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(jwt.text.rsplit('.').next().unwrap()).unwrap()
}

fn mac<M: Mac + KeyInit>(secret: &str, jwt: &Jwt) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(jwt.text.rsplit_once('.').unwrap().0.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn c_60_each_option_of_an_assertion_changes_one_thing() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"own"}"#;
    let assertion = |options: Option<AssertionOptions>| {
        // The key of RFC 8037 Appendix A.1, with a `kid`.
        let signer = KeyPair::from_jwk(jwk).unwrap();
        let auth = match options {
            Some(options) => ClientAuth::private_key_jwt_with(signer, options),
            None => ClientAuth::private_key_jwt(signer),
        };
        let (result, sent) = Setup::new().with(auth).run([token()]);
        result.unwrap();
        sent[0].assertion()
    };
    let default = assertion(None);
    assert_eq!(default.header, json!({ "alg": "EdDSA", "kid": "own", "typ": "client-authentication+jwt" }));
    let options = AssertionOptions::new;
    let header = |alg, kid, typ: Option<&str>| match typ {
        Some(typ) => json!({ "alg": alg, "kid": kid, "typ": typ }),
        None => json!({ "alg": alg, "kid": kid }),
    };
    let typ = Some("client-authentication+jwt");
    let cases = [
        (options(), header("EdDSA", "own", typ), ISSUER, 60),
        (options().kid("other\""), header("EdDSA", "other\"", typ), ISSUER, 60),
        (options().alg("Ed25519"), header("Ed25519", "own", typ), ISSUER, 60),
        (options().typ(Some("JWT")), header("EdDSA", "own", Some("JWT")), ISSUER, 60),
        (options().typ(None), header("EdDSA", "own", None), ISSUER, 60),
        (options().lifetime(Duration::from_secs(1)), header("EdDSA", "own", typ), ISSUER, 1),
        (options().lifetime(Duration::from_secs(300)), header("EdDSA", "own", typ), ISSUER, 300),
        (options().dangerous_token_endpoint_as_audience(), header("EdDSA", "own", typ), ENDPOINT, 60),
        (
            options().dangerous_audience("https://bank.example/é\""),
            header("EdDSA", "own", typ),
            "https://bank.example/é\"",
            60,
        ),
        // The last one counts.
        (
            options().dangerous_audience("x").dangerous_token_endpoint_as_audience(),
            header("EdDSA", "own", typ),
            ENDPOINT,
            60,
        ),
    ];
    for (options, header, aud, lifetime) in cases {
        let jwt = assertion(Some(options));
        assert_eq!((&jwt.header, &jwt.claims["aud"]), (&header, &json!(aud)));
        assert_eq!(jwt.time("exp") - jwt.time("iat"), lifetime);
        let names = |jwt: &Jwt| jwt.claims.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&jwt), names(&default));
    }
    // The same options with a secret.
    let options = options().kid("k").typ(None).lifetime(Duration::from_secs(10));
    let auth = ClientAuth::client_secret_jwt_with(SECRET, HmacAlgorithm::Hs384, options);
    let (_, sent) = Setup::new().with(auth).run([token()]);
    let jwt = sent[0].assertion();
    assert_eq!(jwt.header, json!({ "alg": "HS384", "kid": "k" }));
    assert_eq!(jwt.time("exp") - jwt.time("iat"), 10);
    // No server should accept these.
    for lifetime in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(301), Duration::MAX] {
        let auth = ClientAuth::private_key_jwt_with(
            key(Algorithm::Es256),
            AssertionOptions::new().lifetime(lifetime),
        );
        assert_eq!(*Setup::new().with(auth).refused().kind(), ErrorKind::Parameter, "{lifetime:?}");
    }
    for audience in ["", "a\n", "\0"] {
        let options = AssertionOptions::new().dangerous_audience(audience);
        let auth = ClientAuth::private_key_jwt_with(key(Algorithm::Es256), options);
        assert_eq!(*Setup::new().with(auth).refused().kind(), ErrorKind::Parameter, "{audience:?}");
    }
    for alg in ["ES256", "none", "HS256", "eddsa"] {
        let auth =
            ClientAuth::private_key_jwt_with(key(Algorithm::Ed25519), AssertionOptions::new().alg(alg));
        assert_eq!(*Setup::new().with(auth).refused().kind(), ErrorKind::Algorithm, "{alg}");
    }
}

/// RFC 7518 §3.2.
#[test]
fn c_62_the_secret_of_an_hmac_is_at_least_as_long_as_its_hash() {
    type Check = fn(&str, &Jwt) -> Vec<u8>;
    let cases: [(HmacAlgorithm, &str, usize, Check); 3] = [
        (HmacAlgorithm::Hs256, "HS256", 32, mac::<Hmac<sha2::Sha256>>),
        (HmacAlgorithm::Hs384, "HS384", 48, mac::<Hmac<sha2::Sha384>>),
        (HmacAlgorithm::Hs512, "HS512", 64, mac::<Hmac<sha2::Sha512>>),
    ];
    for (algorithm, name, length, check) in cases {
        for secret in ["", &SECRET[..length - 1]] {
            let error = Setup::new().with(ClientAuth::client_secret_jwt(secret, algorithm)).refused();
            assert_eq!(*error.kind(), ErrorKind::AuthMethod);
            assert!(
                error.to_string().contains(name) && error.to_string().contains(&length.to_string()),
                "{error}"
            );
        }
        // Bytes count, not characters.
        for secret in [SECRET[..length].to_owned(), "é".repeat(length / 2)] {
            let (result, sent) =
                Setup::new().with(ClientAuth::client_secret_jwt(&*secret, algorithm)).run([token()]);
            assert!(result.is_ok());
            let jwt = sent[0].assertion();
            assert_eq!(jwt.header["alg"], name);
            assert_eq!(signature(&jwt), check(&secret, &jwt));
        }
    }
}

#[test]
fn c_63_one_key_for_assertions_and_proofs_is_refused() {
    let pem = key(Algorithm::Es256).to_pkcs8_pem().unwrap();
    let same = || KeyPair::from_pkcs8_pem(&pem).unwrap();
    let setup = Setup { prover: Some(Prover::new(same()).unwrap()), ..Setup::new() };
    let error = setup.with(ClientAuth::private_key_jwt(same())).refused();
    assert_eq!(*error.kind(), ErrorKind::AuthMethod);
    assert!(
        error.to_string().contains("private_key_jwt") && error.to_string().contains("two keys"),
        "{error}"
    );
    // Without proofs, the key has one purpose.
    let setup = Setup { prover: None, ..Setup::new() };
    let bearer = response(200, &[JSON], r#"{"access_token":"a","token_type":"Bearer"}"#);
    assert!(setup.with(ClientAuth::private_key_jwt(same())).run([bearer]).0.is_ok());
}

#[test]
fn a_method_that_the_metadata_do_not_list_is_refused_before_anything_is_sent() {
    let all: Vec<_> = methods().into_iter().map(|(name, _, _)| name).collect();
    for (name, auth, _) in methods() {
        let listing = |names: Vec<&str>| {
            let server = AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
            Setup::new().with(auth.clone()).server(server.token_endpoint_auth_methods_supported(names))
        };
        assert!(listing(vec!["x", name]).run([token()]).0.is_ok(), "{name}");
        let others: Vec<_> = all.iter().copied().filter(|other| *other != name).collect();
        for list in [others, vec!["NONE", "Client_Secret_Basic"]] {
            let error = listing(list.clone()).refused();
            assert_eq!(*error.kind(), ErrorKind::AuthMethod);
            let text = error.to_string();
            assert!(text.contains(name) && list.iter().all(|other| text.contains(other)), "{text}");
        }
        // RFC 8414 §2: without the member, it is `client_secret_basic`.
        let document = json!({ "issuer": ISSUER, "token_endpoint": ENDPOINT }).to_string();
        let setup = Setup::new().with(auth).server(AuthorizationServer::builder(ISSUER).document(document));
        match name {
            "client_secret_basic" => assert!(setup.run([token()]).0.is_ok()),
            _ => assert_eq!(*setup.refused().kind(), ErrorKind::AuthMethod),
        }
    }
}

#[test]
fn an_algorithm_of_assertions_that_the_metadata_do_not_list_is_refused() {
    let server = |listed: &[&str]| {
        AuthorizationServer::builder(ISSUER)
            .token_endpoint(ENDPOINT)
            .token_endpoint_auth_signing_alg_values_supported(listed.iter().copied())
    };
    let es256 = || ClientAuth::private_key_jwt(key(Algorithm::Es256));
    let named =
        |alg| ClientAuth::private_key_jwt_with(key(Algorithm::Es256), AssertionOptions::new().alg(alg));
    let hs = |algorithm| ClientAuth::client_secret_jwt(SECRET, algorithm);
    let cases = [
        (es256(), vec!["RS256", "ES256"], true),
        (es256(), vec!["RS256", "HS256"], false),
        // RFC 8414 §3.2: an empty list says nothing.
        (es256(), vec![], true),
        (named("ES256"), vec!["ES256"], true),
        // The option does not make the server support the algorithm.
        (named("ES256"), vec!["RS256"], false),
        (hs(HmacAlgorithm::Hs512), vec!["HS512"], true),
        (hs(HmacAlgorithm::Hs512), vec!["HS256", "hs512"], false),
    ];
    for (auth, listed, good) in cases {
        let setup = Setup::new().with(auth).server(server(&listed));
        match good {
            true => assert!(setup.run([token()]).0.is_ok(), "{listed:?}"),
            false => {
                let (result, sent) = setup.run([token()]);
                assert_eq!((result.is_ok(), sent.len()), (false, 0), "{listed:?}");
                assert_eq!(*result.unwrap_err().kind(), ErrorKind::Algorithm, "{listed:?}");
            }
        }
    }
}

/// RFC 9864 gives EdDSA with Ed25519 the name `Ed25519`. RFC 8037 called it `EdDSA`, which more servers
/// know.
#[test]
fn c_53_proofs_and_assertions_use_an_algorithm_name_that_the_metadata_list() {
    let jwk = |alg: &str| {
        // RFC 8037 Appendix A.1
        let member = if alg.is_empty() { String::new() } else { format!(r#","alg":"{alg}""#) };
        KeyPair::from_jwk(&format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"{member}}}"#)).unwrap()
    };
    // The `alg` of the key, what the server lists, the name to send.
    type Case = (&'static str, Option<&'static [&'static str]>, Option<&'static str>);
    let cases: [Case; 13] = [
        ("", None, Some("EdDSA")),
        ("", Some(&["ES256", "EdDSA"]), Some("EdDSA")),
        ("", Some(&["Ed25519"]), Some("Ed25519")),
        ("", Some(&["Ed25519", "EdDSA"]), Some("EdDSA")),
        ("Ed25519", None, Some("Ed25519")),
        ("Ed25519", Some(&["EdDSA"]), Some("EdDSA")),
        ("Ed25519", Some(&["EdDSA", "Ed25519"]), Some("Ed25519")),
        ("EdDSA", Some(&["Ed25519"]), Some("Ed25519")),
        ("", Some(&["ES256"]), None),
        ("", Some(&["none"]), None),
        ("", Some(&["HS256"]), None),
        ("", Some(&["ed25519", "eddsa", "Ed448"]), None),
        ("", Some(&[]), Some("EdDSA")),
    ];
    for (alg, listed, name) in cases {
        let server = || AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
        let listed = listed.map(|listed| listed.iter().copied());
        let dpop = match listed.clone() {
            Some(listed) => server().dpop_signing_alg_values_supported(listed),
            None => server(),
        };
        let client = match listed.clone() {
            Some(listed) => server().token_endpoint_auth_signing_alg_values_supported(listed),
            None => server(),
        };
        let proving = Setup { prover: Some(Prover::new(jwk(alg)).unwrap()), ..Setup::new().server(dpop) };
        let asserting = Setup::new().with(ClientAuth::private_key_jwt(jwk(alg))).server(client);
        match name {
            Some(name) => {
                assert_eq!(proving.run([token()]).1[0].proof().header["alg"], name, "{alg} {listed:?}");
                assert_eq!(Call::new(&proving, "GET", "https://api.example/").proof().header["alg"], name);
                assert_eq!(asserting.run([token()]).1[0].assertion().header["alg"], name, "{alg} {listed:?}");
            }
            None => {
                for setup in [&proving, &asserting] {
                    assert_eq!(*setup.refused().kind(), ErrorKind::Algorithm, "{listed:?}");
                }
                let prover = proving.prover.as_ref().unwrap();
                let resource = "https://api.example/";
                let call = ResourceRequest::new(&proving.server, prover, TOKEN, &Method::GET, resource);
                assert_eq!(*call.unwrap_err().kind(), ErrorKind::Algorithm);
            }
        }
    }
}

/// RFC 8705 §5: requests go to the alias, and the audience of the assertion stays the issuer.
#[test]
fn c_10_mutual_tls_uses_the_alias_for_url_and_htu_and_the_issuer_for_aud() {
    let alias = "https://mtls.as.example/token?t=1";
    let server = || AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
    let mtls_client = || Client::new("app").unwrap().use_mtls_endpoint_aliases();
    let plain_client = || Client::new("app").unwrap();
    let pkjwt = || ClientAuth::private_key_jwt(key(Algorithm::Es256));
    let cases = [
        (ClientAuth::tls_client_auth(), plain_client(), true),
        (ClientAuth::self_signed_tls_client_auth(), plain_client(), true),
        (pkjwt(), mtls_client(), true),
        (pkjwt(), plain_client(), false),
    ];
    for (auth, client, aliased) in cases {
        let setup = Setup { client, ..Setup::new().with(auth) };
        let with_alias = Setup { ..setup }.server(server().mtls_token_endpoint(alias));
        let (result, sent) = with_alias.run([token()]);
        assert!(result.is_ok());
        let (uri, htu) =
            if aliased { (alias, "https://mtls.as.example/token") } else { (ENDPOINT, ENDPOINT) };
        assert_eq!((&*sent[0].uri, &*sent[0].proof().text("htu")), (uri, htu));
        assert_eq!(values(&sent[0].form, "client_id"), ["app"]);
        if !values(&sent[0].form, "client_assertion").is_empty() {
            assert_eq!(sent[0].assertion().text("aud"), ISSUER);
        }
        let (_, sent) = Setup { ..with_alias }.server(server()).run([token()]);
        assert_eq!(sent[0].uri, ENDPOINT, "without an alias");
    }
    // A client that is known to have no certificate cannot authenticate with one.
    let script = Script { certificate: Some(false), ..Script::new([token()]) };
    let error = Setup::new().with(ClientAuth::tls_client_auth()).run_over(&script).unwrap_err();
    assert_eq!((error.kind(), script.sent().len()), (&ErrorKind::AuthMethod, 0));
}
