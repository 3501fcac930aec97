//! Client authentication (rows C-58 … C-64, Q-10, Q-11, Q-25).

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, Received, TestServer, When};
use possession::*;
use serde_json::Value;

use crate::certificates::client_certificate;
use crate::common::server::{SECOND, always, calls, get, once, respond, statuses, token_requests, with};
use crate::common::{JSON, Jwt};
use crate::support::{SHORT, code, key, nothing_twice, token_of};

/// Every method that IANA has registered, and the two encodings of `Basic`.
fn methods(secret: &str, key: &KeyPair) -> Vec<ClientAuth> {
    let key = || KeyPair::from_jwk(&key.to_jwk()).unwrap();
    vec![
        ClientAuth::none(),
        ClientAuth::client_secret_basic(secret),
        ClientAuth::client_secret_basic_unencoded(secret),
        ClientAuth::client_secret_post(secret),
        ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256),
        ClientAuth::private_key_jwt(key()),
        ClientAuth::tls_client_auth(),
        ClientAuth::self_signed_tls_client_auth(),
    ]
}

/// RFC 6749 §2.3: one method in each request, in the first and in the retry, and no credential anywhere
/// else.
#[test]
fn c_58_each_method_sends_one_credential_and_nothing_else() {
    let client = key(Algorithm::Es256);
    let server = with(|server| server.public_client().client_public_key(client.to_public()));
    let secret = server.client_secret();
    for auth in methods(secret, &client) {
        server.clear_received();
        server.rotate_nonces();
        let method = auth.method();
        let session = server.session().auth(auth).transport(client_certificate()).discover().unwrap();
        assert_eq!(get(&session, &server), 200, "{method}");
        let requests = token_requests(&server);
        assert_eq!(requests.len(), 2, "{method}: a challenge and the retry");
        for request in &requests {
            let form = request.form();
            let fields = |name: &str| form.iter().filter(|(field, _)| field == name).count();
            let found = [
                request.header_values("authorization").len(),
                fields("client_secret"),
                fields("client_assertion"),
            ];
            let expected = match method {
                "client_secret_basic" => [1, 0, 0],
                "client_secret_post" => [0, 1, 0],
                "client_secret_jwt" | "private_key_jwt" => [0, 0, 1],
                _ => [0, 0, 0],
            };
            assert_eq!(found, expected, "{method}");
            assert_eq!(fields("client_assertion_type"), expected[2], "{method}");
            assert_eq!(fields("client_id"), usize::from(method != "client_secret_basic"), "{method}");
            assert_eq!((request.method.as_str(), &*request.target), ("POST", "/token"), "{method}");
            assert!(
                request.header_values("content-type")[0].starts_with("application/x-www-form-urlencoded")
            );
            assert!(request.header_values("cookie").is_empty());
            let holds = |text: &str| text.contains(secret);
            let in_head = request.headers.values().any(|value| holds(value.to_str().unwrap()));
            let in_form = form.iter().filter(|(_, value)| holds(value)).count();
            assert_eq!((in_head, in_form), (false, expected[1]), "{method}");
        }
        // A resource receives no credential.
        for call in calls(&server) {
            assert!(call.body.is_empty() && call.header_values("authorization").len() == 1);
            token_of(&call);
        }
    }
    nothing_twice(&server);
}

/// RFC 6749 §2.3.1 and Appendix B, RFC 7617 §2: one colon separates two halves that form-decode to the
/// identifier and the secret, and the server authenticates the client.
#[test]
fn c_59_identifiers_and_secrets_of_any_characters_arrive_unchanged() {
    let odd = [
        ":",
        "%",
        "+",
        "/",
        "&",
        "=",
        " ",
        "\"",
        "\\",
        "é",
        "ü\u{1F600}",
        "%3A",
        "%20",
        "+%2B",
        "a:b:c",
        "::",
        "~*'()",
    ];
    let cases =
        odd.map(|odd| (odd, odd)).into_iter().chain([("app", ""), ("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw")]);
    for (id, secret) in cases {
        for auth in [ClientAuth::client_secret_basic(secret), ClientAuth::client_secret_post(secret)] {
            let server = with(|server| server.client(id, secret));
            let post = auth.method() == "client_secret_post";
            let session = server.session().auth(auth).discover().unwrap();
            session.access_token().unwrap_or_else(|error| panic!("{id:?} {secret:?} {error}"));
            for request in token_requests(&server) {
                if post {
                    let fields = [request.form_field("client_id"), request.form_field("client_secret")];
                    assert_eq!(fields.map(Option::unwrap), [id, secret]);
                    continue;
                }
                let [field] = request.header_values("authorization")[..] else { panic!("one") };
                let pair = Base64::decode_vec(field.strip_prefix("Basic ").unwrap()).unwrap();
                let pair = String::from_utf8(pair).unwrap();
                assert!(pair.is_ascii(), "{pair}");
                let halves: Vec<_> = pair.split(':').collect();
                // With a name and `=`, so that each half is the value of a field.
                let decode = |half: &&str| {
                    let field = format!("x={half}");
                    form_urlencoded::parse(field.as_bytes()).next().unwrap().1.into_owned()
                };
                assert_eq!(halves.iter().map(decode).collect::<Vec<_>>(), [id, secret], "{pair}");
            }
        }
    }
    // Not encoded, for servers that do not decode. An identifier with a colon is refused, because it could
    // not be separated from the secret.
    let server = with(|server| server.client("a+b", "%20:c d"));
    always(&server, Endpoint::Token, Quirk::RawBasic);
    let raw = || ClientAuth::client_secret_basic_unencoded("%20:c d");
    assert_eq!(get(&server.session().auth(raw()).discover().unwrap(), &server), 200);
    let server = with(|server| server.client("a:b", "%20:c d"));
    assert_eq!(*server.session().auth(raw()).discover().unwrap_err().kind(), ErrorKind::AuthMethod);
}

/// rfc7523bis §4, FAPI 2.0 §5.3.3: at a server that accepts nothing dated ahead of its clock. An issuer with
/// a path keeps its last slash or has none, which a URL library would change.
#[test]
fn c_60_an_assertion_names_the_issuer_as_written_is_short_lived_and_never_dated_ahead() {
    let client = key(Algorithm::Ed25519);
    for suffix in ["", "/", "/tenant", "/tenant/", "/A%2fb"] {
        let clock = ManualClock::new();
        let server = with(|server| {
            server.clock(clock.clone()).client_public_key(client.to_public()).leeway(Duration::ZERO)
        });
        let issuer = format!("{}{suffix}", server.issuer());
        always(&server, Endpoint::Token, Quirk::AssertionAudience(issuer.clone()));
        let assertions = methods(server.client_secret(), &client)
            .into_iter()
            .filter(|auth| auth.method().ends_with("_jwt"));
        for auth in assertions {
            let metadata =
                AuthorizationServer::builder(&issuer).token_endpoint(format!("{}/token", server.issuer()));
            let metadata = metadata.dangerous_allow_http_on_loopback().build().unwrap();
            let session = server.session().auth(auth).clock(clock.clone()).server(metadata).unwrap();
            assert_eq!(get(&session, &server), 200, "{issuer}");
        }
        let mut jtis = HashSet::new();
        for request in token_requests(&server) {
            let assertion = request.assertion().unwrap();
            let claims = &assertion.claims;
            assert_eq!(claims["aud"], issuer, "a string, and not an array of one");
            assert_eq!(assertion.header["typ"], "client-authentication+jwt");
            assert_eq!([&claims["iss"], &claims["sub"]], [server.client_id(); 2]);
            let [iat, exp] = ["iat", "exp"].map(|name| claims[name].as_u64().unwrap());
            let now = request.at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            assert!(iat <= now && now < exp && exp - iat <= 300, "{claims} at {now}");
            assert!(jtis.insert(claims["jti"].to_string()));
            // It is no proof, and does not name the DPoP key.
            assert!(assertion.header.get("jwk").is_none() && claims.get("htu").is_none());
        }
        assert!(jtis.len() >= 3);
    }
}

/// CVE-2025-27370: the audience is the issuer, and no endpoint in the metadata changes it.
#[test]
fn c_61_the_audience_never_follows_the_token_endpoint() {
    let client = key(Algorithm::Es256);
    let auth = || ClientAuth::private_key_jwt(KeyPair::from_jwk(&client.to_jwk()).unwrap());
    let server = || with(|server| server.client_public_key(client.to_public()));
    let (honest, attacker) = (server(), server());
    let document = |issuer: &str, endpoint: &str, more: &str| {
        format!(
            r#"{{"issuer":"{issuer}","token_endpoint":"{endpoint}/token","token_endpoint_auth_methods_supported":["private_key_jwt"]{more}}}"#
        )
    };
    let audiences = |at: &TestServer| -> Vec<Value> {
        token_requests(at).iter().map(|one| one.assertion().unwrap().claims["aud"].clone()).collect()
    };
    // The attacker's own metadata send the assertion to the honest server, which sees that it has another
    // audience.
    always(
        &attacker,
        Endpoint::Metadata,
        respond(200, &[JSON], document(attacker.issuer(), honest.issuer(), "")),
    );
    let session = attacker.session().auth(auth()).discover().unwrap();
    let error = session.access_token().unwrap_err();
    assert_eq!(code(&error), Some("invalid_client"), "{error}");
    assert_eq!((audiences(&honest), honest.counts().tokens), (vec![attacker.issuer().into()], 0));
    // The same with the alias for mutual TLS.
    honest.clear_received();
    attacker.behave();
    let alias = format!(r#","mtls_endpoint_aliases":{{"token_endpoint":"{}/token"}}"#, honest.issuer());
    always(
        &attacker,
        Endpoint::Metadata,
        respond(200, &[JSON], document(attacker.issuer(), attacker.issuer(), &alias)),
    );
    let discovery = Discovery::dangerous_allow_http_on_loopback(attacker.issuer()).unwrap();
    let transport = client_certificate();
    let metadata = discovery.run(&transport).unwrap();
    let prover = Prover::new(key(Algorithm::Es256)).unwrap();
    let client_id = Client::new("test-client").unwrap().use_mtls_endpoint_aliases();
    let options = RequestOptions::new().prover(&prover).http(&transport);
    let auth_method = auth();
    let response =
        client_credentials_grant_request(&metadata, &client_id, &auth_method, Parameters::new(), &options)
            .unwrap();
    assert!(process_client_credentials_response(&metadata, &client_id, response).is_err());
    assert_eq!(audiences(&honest), [attacker.issuer()]);
    // A document that names the honest issuer, or any other, is not used where the attacker serves it.
    for named in [honest.issuer(), &format!("{}/token", attacker.issuer()), ""] {
        for server in [&honest, &attacker] {
            server.behave();
            server.clear_received();
        }
        always(&attacker, Endpoint::Metadata, respond(200, &[JSON], document(named, attacker.issuer(), "")));
        let error = attacker.session().auth(auth()).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{named}");
        assert!(token_requests(&attacker).is_empty() && honest.received().is_empty());
    }
}

/// RFC 7518 §3.2: at least as many bytes (not characters) as the hash has.
#[test]
fn c_62_a_secret_shorter_than_the_hash_is_refused() {
    for (algorithm, least) in
        [(HmacAlgorithm::Hs256, 32), (HmacAlgorithm::Hs384, 48), (HmacAlgorithm::Hs512, 64)]
    {
        for (secret, fine) in [
            (String::new(), false),
            ("s".repeat(least - 1), false),
            ("é".repeat(least / 2 - 1), false),
            ("s".repeat(least), true),
            ("é".repeat(least / 2), true),
        ] {
            let server = with(|server| server.client("app", &secret));
            let auth = ClientAuth::client_secret_jwt(&secret, algorithm);
            match server.session().auth(auth).discover() {
                Ok(session) => assert!(fine && get(&session, &server) == 200, "{algorithm:?} {secret}"),
                Err(error) => {
                    assert!(
                        !fine && *error.kind() == ErrorKind::AuthMethod,
                        "{algorithm:?} {secret} {error}"
                    );
                    assert!(token_requests(&server).is_empty());
                }
            }
        }
    }
}

/// RFC 8725 §3.9, 8725bis: one key, one purpose. A session never has one key for both, and neither API makes
/// the JWT of the other: `typ` is what tells them apart.
#[test]
fn c_63_one_key_has_one_purpose_and_neither_jwt_is_accepted_as_the_other() {
    let client = key(Algorithm::Es256);
    let again = || KeyPair::from_jwk(&client.to_jwk()).unwrap();
    let server = with(|server| server.client_public_key(client.to_public()));
    let builder = || server.session().auth(ClientAuth::private_key_jwt(again()));
    let prover = Prover::new(again()).unwrap();
    for refused in [builder().key(again()).discover(), builder().prover(&prover).discover()] {
        assert_eq!(*refused.unwrap_err().kind(), ErrorKind::AuthMethod);
    }
    let session = builder().discover().unwrap();
    assert_eq!(*session.rotate_key(again()).unwrap_err().kind(), ErrorKind::AuthMethod);
    assert!(token_requests(&server).is_empty());
    assert_eq!(get(&session, &server), 200);

    // No assertion has the `typ` of a proof, in any case and with or without `application/` (RFC 7515
    // §4.1.9).
    let before = token_requests(&server).len();
    for typ in ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt", "Application/DPOP+jwt"] {
        for auth in [
            ClientAuth::private_key_jwt_with(again(), AssertionOptions::new().typ(Some(typ))),
            ClientAuth::client_secret_jwt_with(
                server.client_secret(),
                HmacAlgorithm::Hs256,
                AssertionOptions::new().typ(Some(typ)),
            ),
        ] {
            let error = server.session().auth(auth).discover().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Parameter, "{typ}");
        }
    }
    assert_eq!(token_requests(&server).len(), before);
    // A proof with the claims of an assertion is typed as a proof, and authenticates no client.
    let mut proof = Proof::new(&http::Method::POST, &format!("{}/token", server.issuer())).unwrap();
    for (name, value) in [("iss", server.client_id()), ("sub", server.client_id()), ("aud", server.issuer())]
    {
        proof = proof.claim(name, value);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let proof = proof.claim("exp", now + 60).sign(&client, SystemTime::now()).unwrap();
    assert_eq!(Jwt::decode(&proof).header["typ"], "dpop+jwt");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", server.client_id()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &proof),
    ];
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let response = config.new_agent().post(format!("{}/token", server.issuer())).send_form(form).unwrap();
    assert_eq!(response.status(), 401);
}

/// Whatever a request failed of, the next one has another assertion and another proof: the server may have
/// seen the first.
#[test]
fn c_64_every_attempt_has_its_own_assertion() {
    let client = key(Algorithm::Es256);
    for hmac in [false, true] {
        let clock = ManualClock::new();
        let server = with(|server| server.clock(clock.clone()).client_public_key(client.to_public()));
        let auth = match hmac {
            true => ClientAuth::client_secret_jwt(server.client_secret(), HmacAlgorithm::Hs256),
            false => ClientAuth::private_key_jwt(KeyPair::from_jwk(&client.to_jwk()).unwrap()),
        };
        let transport = Transport::builder().timeout(SHORT).build();
        let builder = server.session().auth(auth).transport(transport).clock(clock.clone());
        let session = builder.deadline(600 * SECOND).discover().unwrap();
        for (quirk, what) in [
            (Quirk::Silence, "no response"),
            (Quirk::SilentBody, "half an response"),
            (Quirk::CloseWithoutResponse, "the connection lost"),
            (Quirk::CloseMidway, "the connection lost midway"),
            (Quirk::Refuse { status: 503, retry_after: Some(5) }, "503"),
            (Quirk::Refuse { status: 429, retry_after: None }, "429"),
            (Quirk::Challenge, "another nonce"),
            (Quirk::RefuseProofs, "refused"),
        ] {
            server.clear_received();
            session.discard_token();
            once(&server, Endpoint::Token, quirk);
            let first = session.access_token();
            if first.is_err() {
                session.discard_token();
                assert!(session.access_token().is_ok(), "{what}");
            }
            let attempts = token_requests(&server);
            assert!(attempts.len() >= 2, "{what}: {}", attempts.len());
            for jwt in [Received::assertion, Received::proof] {
                let jtis: HashSet<_> =
                    attempts.iter().map(|one| jwt(one).unwrap().claims["jti"].to_string()).collect();
                assert_eq!(jtis.len(), attempts.len(), "{what}");
            }
            nothing_twice(&server);
        }
        // When the server's clock is an hour behind, the assertion is dated anew as well.
        server.clear_received();
        session.discard_token();
        server.set_clock_offset(-3600);
        session.access_token().or_else(|_| session.access_token()).unwrap();
        let dated = |request: Received| request.assertion().unwrap().claims["iat"].as_u64().unwrap();
        let dates: Vec<_> = token_requests(&server).into_iter().map(dated).collect();
        assert!(dates.len() >= 2 && dates[0] - dates[dates.len() - 1] >= 3_599, "{dates:?}");
        nothing_twice(&server);
    }
}

/// The server authenticates the client first, so that the challenge has already used up the assertion.
#[test]
fn q_10_each_attempt_has_its_own_assertion_and_proof() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let clock = ManualClock::new();
    let server = with(|server| server.client_public_key(key.to_public()).clock(clock.clone()));
    server.misbehave(Endpoint::Token, When::Next(2), Quirk::CloseWithoutResponse);
    let auth = ClientAuth::private_key_jwt(key);
    let session = server.session().auth(auth).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    // Two lost requests, a challenge, and a token.
    let received = server.received_at(Endpoint::Token);
    let assertions: HashSet<_> =
        received.iter().map(|one| one.assertion().unwrap().claims["jti"].to_string()).collect();
    assert_eq!(assertions.len(), received.len());
    let responses: Vec<_> = received.iter().map(|one| one.status.map(|status| status.as_u16())).collect();
    assert_eq!(responses, [None, None, Some(400), Some(200)]);
    nothing_twice(&server);
}

#[test]
fn q_10_a_429_is_retried_with_a_new_assertion_and_proof() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let clock = ManualClock::new();
    let server =
        with(|server| server.clock(clock.clone()).client_public_key(key.to_public()).nonces(Nonces::Off));
    server.misbehave(Endpoint::Token, When::Next(2), Quirk::Refuse { status: 429, retry_after: Some(3) });
    let auth = ClientAuth::private_key_jwt(key);
    let session = server.session().auth(auth).clock(clock.clone()).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(statuses(&server.received_at(Endpoint::Token)), [429, 429, 200]);
    assert!(
        clock.sleeps().iter().all(|slept| (3 * SECOND..=4 * SECOND).contains(slept))
            && clock.sleeps().len() == 2
    );
    nothing_twice(&server);
}

#[test]
fn q_11_assertions_for_older_servers_are_options() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let jwk = key.to_jwk();
    let server = with(|server| server.client_public_key(key.to_public()));
    let endpoint = format!("{}/token", server.issuer());
    let token = |options: AssertionOptions| {
        let auth = ClientAuth::private_key_jwt_with(KeyPair::from_jwk(&jwk).unwrap(), options);
        server.session().auth(auth).discover().unwrap().access_token()
    };
    let plain = AssertionOptions::new;
    let cases = [
        (Quirk::AssertionAudience(endpoint), plain().dangerous_token_endpoint_as_audience()),
        (Quirk::AssertionType(Some("JWT".to_owned())), plain().typ(Some("JWT"))),
        (Quirk::AssertionType(None), plain().typ(None)),
        (Quirk::AssertionLifetime(30 * SECOND), plain().lifetime(30 * SECOND)),
    ];
    for (quirk, option) in cases {
        always(&server, Endpoint::Token, quirk.clone());
        let error = token(plain()).unwrap_err();
        assert_eq!(code(&error), Some("invalid_client"), "{quirk:?}");
        assert!(token(option).is_ok(), "{quirk:?}");
        server.behave();
    }
    // HelseID: at most a minute, which the defaults satisfy.
    always(&server, Endpoint::Token, Quirk::AssertionLifetime(60 * SECOND));
    assert!(token(plain()).is_ok());
}

#[test]
fn q_25_basic_credentials_are_form_encoded_unless_the_caller_opts_out() {
    let secret = "a+b/c=d%e f&g:h";
    let server = with(|server| server.client("app%1", secret));
    let token = |auth| server.session().auth(auth).discover().unwrap().access_token();
    assert!(token(ClientAuth::client_secret_basic(secret)).is_ok());
    assert!(token(ClientAuth::client_secret_basic_unencoded(secret)).is_err());
    always(&server, Endpoint::Token, Quirk::RawBasic);
    assert!(token(ClientAuth::client_secret_basic(secret)).is_err());
    assert!(token(ClientAuth::client_secret_basic_unencoded(secret)).is_ok());
}
