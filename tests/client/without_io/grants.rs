//! The requests and responses of every grant. The fields are those of the RFC that is named with each.

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use possession::*;

use super::{ENDPOINT, HttpResponse, ISSUER, Script, Sent, Setup, at, body_challenge, response, token};
use crate::common::{JSON, TOKEN, values};

const AUTH_FIELDS: [&str; 3] = ["client_id", "client_assertion", "client_assertion_type"];

/// Makes the request of one grant and processes the response.
type Run = fn(&Setup, &RequestOptions<'_>) -> Result<TokenResponse, Error>;

fn parameters() -> Parameters {
    Parameters::new().scope("read write").resource("https://api.example")
}

/// A device authorization as in RFC 8628 §3.2, with the given `expires_in` and `interval`.
fn device(setup: &Setup, expires_in: u64, interval: u64) -> DeviceAuthorization {
    let body = format!(
        r#"{{"device_code":"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS","user_code":"WDJB-MJHT",
            "verification_uri":"https://as.example/device",
            "verification_uri_complete":"https://as.example/device?user_code=WDJB-MJHT",
            "expires_in":{expires_in},"interval":{interval}}}"#
    );
    let script = Script::new([response(200, &[JSON], body)]);
    let server = setup.server.to_builder().member("device_authorization_endpoint", ENDPOINT).build().unwrap();
    let options = setup.options().http(&script);
    let response =
        device_authorization_request(&server, &setup.client, &setup.auth, parameters(), &options).unwrap();
    process_device_authorization_response(&server, &setup.client, response).unwrap()
}

/// Each grant with the fields that it sends before the parameters.
fn grants() -> Vec<(Run, Vec<(&'static str, &'static str)>)> {
    vec![
        (
            // RFC 6749 §4.4.2.
            |setup, options| {
                let Setup { server, client, auth, .. } = setup;
                let response = client_credentials_grant_request(server, client, auth, parameters(), options)?;
                process_client_credentials_response(server, client, response)
            },
            vec![("grant_type", "client_credentials")],
        ),
        (
            // RFC 6749 §4.1.3, RFC 7636 §4.5.
            |setup, options| {
                let Setup { server, client, auth, .. } = setup;
                let code = AuthorizationCode::new("SplxlOBeZQQYbYS6WxSbIA")
                    .redirect_uri("https://client.example.com/cb")
                    .code_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
                let response =
                    authorization_code_grant_request(server, client, auth, code, parameters(), options)?;
                process_authorization_code_response(server, client, response)
            },
            vec![
                ("grant_type", "authorization_code"),
                ("code", "SplxlOBeZQQYbYS6WxSbIA"),
                ("redirect_uri", "https://client.example.com/cb"),
                ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            ],
        ),
        (
            // RFC 6749 §6.
            |setup, options| {
                let Setup { server, client, auth, .. } = setup;
                let token = "tGzv3JOkF0XG5Qx2TlKWIA";
                let response =
                    refresh_token_grant_request(server, client, auth, token, parameters(), options)?;
                process_refresh_token_response(server, client, response)
            },
            vec![("grant_type", "refresh_token"), ("refresh_token", "tGzv3JOkF0XG5Qx2TlKWIA")],
        ),
        (
            // RFC 8628 §3.4.
            |setup, options| {
                let Setup { server, client, auth, .. } = setup;
                let device = device(setup, 1800, 5);
                let response =
                    device_code_grant_request(server, client, auth, &device, parameters(), options)?;
                process_device_code_response(server, client, response)
            },
            vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("device_code", "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS"),
            ],
        ),
        (
            // RFC 8693 §2.1.
            |setup, options| {
                let Setup { server, client, auth, .. } = setup;
                let exchange = TokenExchange::new(
                    "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
                    TokenExchange::ACCESS_TOKEN,
                )
                .actor_token("eyJhbGciOiJFUzI1NiJ9.e30.c2ln", TokenExchange::JWT)
                .requested_token_type(TokenExchange::ACCESS_TOKEN);
                let response =
                    token_exchange_grant_request(server, client, auth, &exchange, parameters(), options)?;
                process_token_exchange_response(server, client, response)
            },
            vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC"),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("actor_token", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"),
                ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ],
        ),
        (
            // RFC 7523 §4.
            |setup, options| {
                let Setup { server, client, auth, .. } = setup;
                let assertion = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjE2In0.e30.c2ln";
                let response =
                    jwt_bearer_grant_request(server, client, auth, assertion, parameters(), options)?;
                process_jwt_bearer_response(server, client, response)
            },
            vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", "eyJhbGciOiJFUzI1NiIsImtpZCI6IjE2In0.e30.c2ln"),
            ],
        ),
        (
            // RFC 6749 §4.5; the grant of CIBA Core 1.0 §10.1.
            |setup, options| {
                let Setup { server, client, auth, .. } = setup;
                let grant_type = "urn:openid:params:grant-type:ciba";
                let parameters = Parameters::new()
                    .parameter("auth_req_id", "1c266114-a1be-4252-8ad1-04986c5b9ac1")
                    .scope("read write")
                    .resource("https://api.example");
                let response = token_endpoint_request(server, client, auth, grant_type, parameters, options)?;
                process_token_endpoint_response(server, client, response)
            },
            vec![
                ("grant_type", "urn:openid:params:grant-type:ciba"),
                ("auth_req_id", "1c266114-a1be-4252-8ad1-04986c5b9ac1"),
            ],
        ),
    ]
}

fn run(
    run: Run,
    setup: &Setup,
    responses: impl IntoIterator<Item = HttpResponse>,
) -> (Result<TokenResponse, Error>, Vec<Sent>) {
    let script = Script::new(responses);
    let result = run(setup, &setup.options().http(&script));
    (result, script.sent())
}

fn exchanged(token_type: &str) -> HttpResponse {
    let body = format!(
        r#"{{"access_token":"{TOKEN}","token_type":"{token_type}","sub":"did:plc:x",
            "issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}}"#
    );
    response(200, &[JSON], body)
}

#[test]
fn each_grant_sends_the_fields_of_its_rfc_and_the_parameters() {
    for (grant, mut expected) in grants() {
        let (token, sent) = run(grant, &Setup::new(), [exchanged("DPoP")]);
        let grant_type = expected[0].1;
        assert_eq!(token.unwrap().member("sub").unwrap(), "did:plc:x", "{grant_type}");
        let form: Vec<_> = sent[0].form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (form, auth): (Vec<_>, Vec<_>) =
            form.into_iter().partition(|(name, _)| !AUTH_FIELDS.contains(name));
        expected.extend([("scope", "read write"), ("resource", "https://api.example")]);
        assert_eq!(form, expected);
        assert_eq!((auth.len(), &*sent[0].uri), (3, ENDPOINT), "{grant_type}");
        assert_eq!(sent[0].proof().text("htu"), ENDPOINT);
    }
}

/// RFC 9449 §8, §4.2: a retry has its own proof and its own client assertion, and is otherwise the same
/// request.
#[test]
fn each_grant_is_retried_once_for_a_nonce_with_a_new_proof_and_a_new_assertion() {
    for (grant, expected) in grants() {
        let (token, sent) = run(grant, &Setup::new(), [body_challenge(&["n-1"]), exchanged("DPoP")]);
        assert!(token.is_ok() && sent.len() == 2, "{}", expected[0].1);
        assert_eq!((sent[0].proof().nonce(), sent[1].proof().nonce()), (None, Some("n-1")));
        assert_ne!(sent[0].proof().jti(), sent[1].proof().jti());
        assert_ne!(sent[0].assertion().jti(), sent[1].assertion().jti());
        for (name, value) in expected {
            assert_eq!(values(&sent[1].form, name), [value]);
        }
        // A second challenge is an error.
        let challenges = [body_challenge(&["n-1"]), body_challenge(&["n-1"]), token_body("DPoP")];
        let (error, sent) = run(grant, &Setup::new(), challenges);
        assert_eq!(error.unwrap_err().oauth().unwrap().error(), "use_dpop_nonce");
        assert_eq!(sent.len(), 2);
    }
}

fn token_body(token_type: &str) -> HttpResponse {
    response(200, &[JSON], format!(r#"{{"access_token":"{TOKEN}","token_type":"{token_type}"}}"#))
}

/// RFC 6749 §4.1.2: a code is used once. The server may have used up a code or a refresh token whose response
/// was lost.
#[test]
fn a_request_without_a_response_is_not_sent_again() {
    for (grant, expected) in grants() {
        let (error, sent) = run(grant, &Setup::new(), []);
        assert_eq!(*error.unwrap_err().kind(), ErrorKind::Transport);
        assert_eq!(sent.len(), 1, "{}", expected[0].1);
    }
}

#[test]
fn each_grant_refuses_a_bearer_token_and_reads_an_oauth_error() {
    for (grant, expected) in grants() {
        let (error, _) = run(grant, &Setup::new(), [exchanged("Bearer")]);
        assert_eq!(*error.unwrap_err().kind(), ErrorKind::TokenType { token_type: "Bearer".to_owned() });
        let refusal = response(400, &[JSON], r#"{"error":"invalid_grant"}"#);
        let (error, _) = run(grant, &Setup::new(), [refusal]);
        assert_eq!(error.unwrap_err().oauth().unwrap().error(), "invalid_grant", "{}", expected[0].1);
    }
}

/// A field that is set twice has two meanings (RFC 6749 §3.2: parameters must not be included more than
/// once).
#[test]
fn a_parameter_that_the_function_sets_is_refused() {
    let Setup { server, client, auth, .. } = Setup::new();
    let options = RequestOptions::new();
    let refused = |request: Result<TokenRequest<'_>, Error>| {
        let error = request.unwrap_err();
        assert!(*error.kind() == ErrorKind::Parameter && error.to_string().contains("set by the library"));
    };
    for name in ["code", "redirect_uri", "code_verifier", "grant_type", "client_id", "client_assertion"] {
        let code = AuthorizationCode::new("c").redirect_uri("https://client.example").code_verifier("v");
        let parameters = Parameters::new().parameter(name, "x");
        refused(TokenRequest::authorization_code(&server, &client, &auth, code, parameters, &options));
    }
    let parameters = || Parameters::new().parameter("refresh_token", "x");
    refused(TokenRequest::refresh_token(&server, &client, &auth, "r", parameters(), &options));
    // It is a parameter like any other where the function does not set it.
    assert!(TokenRequest::new(&server, &client, &auth, "other", parameters(), &options).is_ok());
    for grant_type in ["", "a b", "a\n"] {
        let request = TokenRequest::new(&server, &client, &auth, grant_type, Parameters::new(), &options);
        assert_eq!(*request.unwrap_err().kind(), ErrorKind::Parameter);
    }
    let code = AuthorizationCode::new("");
    let request =
        TokenRequest::authorization_code(&server, &client, &auth, code, Parameters::new(), &options);
    assert_eq!(*request.unwrap_err().kind(), ErrorKind::Parameter);
}

/// RFC 8693 §2.2.1: `N_A` is for tokens that are not access tokens, and `issued_token_type` is required.
#[test]
fn the_token_type_n_a_is_accepted_only_where_no_access_token_was_requested() {
    let setup = Setup::new();
    let run = |requested: Option<&str>, body: &str| {
        let script = Script::new([response(200, &[JSON], body)]);
        let exchange = TokenExchange::new("subject", TokenExchange::ACCESS_TOKEN);
        let exchange =
            requested.iter().fold(exchange, |exchange, requested| exchange.requested_token_type(*requested));
        let Setup { server, client, auth, .. } = &setup;
        let options = setup.options().http(&script);
        let response =
            token_exchange_grant_request(server, client, auth, &exchange, Parameters::new(), &options)?;
        process_token_exchange_response(server, client, response)
    };
    let n_a = r#"{"access_token":"<saml> with spaces","token_type":"N_A",
                  "issued_token_type":"urn:ietf:params:oauth:token-type:saml2"}"#;
    let token = run(Some(TokenExchange::SAML2), n_a).unwrap();
    assert_eq!((token.token_type(), token.jkt()), (TokenType::NotApplicable, None));
    assert_eq!(token.issued_token_type(), Some(TokenExchange::SAML2));
    assert_eq!(token.access_token(), "<saml> with spaces");
    for requested in [None, Some(TokenExchange::ACCESS_TOKEN)] {
        let error = run(requested, n_a).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "N_A".to_owned() }, "{requested:?}");
    }
    // Another token type is still refused where another token was requested.
    let bearer = n_a.replace("N_A", "Bearer").replace("<saml> with spaces", "t");
    assert!(matches!(
        run(Some(TokenExchange::SAML2), &bearer).unwrap_err().kind(),
        ErrorKind::TokenType { .. }
    ));
    let error = run(None, r#"{"access_token":"t","token_type":"DPoP"}"#).unwrap_err();
    assert!(error.to_string().contains("issued_token_type"), "{error}");
    for exchange in [
        TokenExchange::new("", "t"),
        TokenExchange::new("s", ""),
        TokenExchange::new("s", "t").actor_token("", "t"),
    ] {
        let Setup { server, client, auth, .. } = &setup;
        let request = TokenRequest::token_exchange(
            server,
            client,
            auth,
            &exchange,
            Parameters::new(),
            &setup.options(),
        );
        assert_eq!(*request.unwrap_err().kind(), ErrorKind::Parameter);
    }
}

#[test]
fn no_secret_of_a_grant_is_shown() {
    let shown = format!(
        "{:?}{:?}{:?}{:?}",
        AuthorizationCode::new("secret-1").code_verifier("secret-2"),
        TokenExchange::new("secret-3", "type").actor_token("secret-4", "type"),
        device(&Setup::new(), 1800, 5),
        ClientAuth::client_assertion(|_| Ok("secret-5".to_owned())),
    );
    assert!(!shown.contains("secret") && !shown.contains("GmRhm") && !shown.contains("WDJB"), "{shown}");
}

/// RFC 8628 §3.2: `device_code`, `user_code`, `verification_uri` and `expires_in` are required.
#[test]
fn a_device_authorization_has_its_required_members() {
    let setup = Setup::new();
    let read = |body: &str| {
        let script = Script::new([response(200, &[JSON], body)]);
        let server =
            setup.server.to_builder().member("device_authorization_endpoint", ENDPOINT).build().unwrap();
        let options = setup.options().http(&script);
        let (client, auth) = (&setup.client, &setup.auth);
        let response = device_authorization_request(&server, client, auth, parameters(), &options)?;
        // RFC 9449 defines no proof here.
        let sent = script.sent();
        assert!(!sent[0].headers.contains_key("dpop"));
        assert_eq!(values(&sent[0].form, "scope"), ["read write"]);
        process_device_authorization_response(&server, client, response)
    };
    let full = [
        ("device_code", r#""d""#),
        ("user_code", r#""WDJB-MJHT""#),
        ("verification_uri", r#""https://as.example/device""#),
        ("expires_in", "1800"),
    ];
    let body = |members: &[(&str, &str)]| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let device = read(&body(&full)).unwrap();
    assert_eq!((device.user_code(), device.verification_uri()), ("WDJB-MJHT", "https://as.example/device"));
    // §3.2: five seconds, if there is no `interval`.
    assert_eq!((device.expires_in().as_secs(), device.interval().as_secs()), (1800, 5));
    assert_eq!(device.verification_uri_complete(), None);
    for place in 0..full.len() {
        let mut members = full.to_vec();
        let (name, _) = members.remove(place);
        let error = read(&body(&members)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        for bad in ["{}", "true", "-1", "1.5"] {
            let mut members = full.to_vec();
            members[place].1 = bad;
            assert!(matches!(read(&body(&members)).unwrap_err().kind(), ErrorKind::Content { .. }), "{name}");
        }
    }
    // Opened by a browser, or shown on a terminal.
    for (name, bad) in [
        ("verification_uri", r#""javascript:alert(1)""#),
        ("verification_uri", r#""http://as.example/device""#),
        ("verification_uri_complete", r#""file:///etc/passwd""#),
        ("user_code", r#""\u001b[2J""#),
        ("user_code", r#""""#),
    ] {
        let mut members = full.to_vec();
        members.retain(|(own, _)| *own != name);
        members.push((name, bad));
        assert!(matches!(read(&body(&members)).unwrap_err().kind(), ErrorKind::Content { .. }), "{bad}");
    }
}

/// A clock that moves only when somebody waits, and records for how long.
#[derive(Default)]
struct TestClock(Mutex<Vec<u64>>);

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        at(1_000_000) + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.lock().unwrap().iter().sum())
    }

    fn sleep(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration.as_secs());
    }
}

fn refusal(code: &str) -> HttpResponse {
    response(400, &[JSON], format!(r#"{{"error":"{code}"}}"#))
}

/// RFC 8628 §3.5: the interval before each request, five seconds more after each `slow_down`, and longer
/// while there is no connection.
#[test]
fn polling_waits_as_long_as_the_server_says() {
    let setup = Setup::new();
    let device = device(&setup, 1800, 5);
    let poll = |responses: Vec<HttpResponse>| {
        let (script, clock) = (Script::new(responses), TestClock::default());
        let Setup { server, client, auth, .. } = &setup;
        let options = setup.options().http(&script);
        let result = poll_device_code(server, client, auth, &device, Parameters::new(), &options, &clock);
        (result, clock.0.into_inner().unwrap(), script.sent().len())
    };
    let script = vec![
        refusal("authorization_pending"),
        refusal("slow_down"),
        refusal("authorization_pending"),
        refusal("slow_down"),
        token(),
    ];
    let (token_response, waits, _) = poll(script);
    assert_eq!((token_response.unwrap().access_token(), waits), (TOKEN, vec![5, 5, 10, 10, 15]));
    let unavailable = response(503, &[("retry-after", "60")], "");
    let (result, waits, _) = poll(vec![unavailable, refusal("authorization_pending"), token()]);
    assert!(result.is_ok() && waits == [5, 60, 10], "{waits:?}");
    // The user refused, or something is wrong: nothing is sent any more.
    for code in ["access_denied", "expired_token", "invalid_grant", "invalid_client"] {
        let (result, waits, sent) = poll(vec![refusal("authorization_pending"), refusal(code), token()]);
        assert_eq!(result.unwrap_err().oauth().unwrap().error(), code);
        assert_eq!((waits, sent), (vec![5, 5], 2));
    }
    // A nonce is asked for within one poll.
    let (result, waits, sent) = poll(vec![body_challenge(&["n"]), token()]);
    assert!(result.is_ok() && waits == [5] && sent == 2);
}

#[test]
fn polling_ends_when_the_code_expires() {
    let setup = Setup::new();
    for (expires_in, interval, requests) in [(60, 20, 2), (4, 5, 1), (0, 0, 1), (u64::MAX, u64::MAX, 3)] {
        let device = device(&setup, expires_in, interval);
        let pending: RefCell<Vec<_>> = RefCell::default();
        let mut polling = DevicePolling::new(&device);
        let mut elapsed = Duration::ZERO;
        let error = loop {
            elapsed += polling.interval();
            pending.borrow_mut().push(elapsed);
            let script = Script::new([refusal("authorization_pending")]);
            let Setup { server, client, auth, .. } = &setup;
            let options = setup.options().http(&script);
            let sent = device_code_grant_request(server, client, auth, &device, Parameters::new(), &options)
                .unwrap();
            let error = process_device_code_response(server, client, sent).unwrap_err();
            if let Err(error) = polling.receive(error, elapsed) {
                break Some(error);
            }
            if pending.borrow().len() == 3 {
                break None;
            }
        };
        assert_eq!(pending.borrow().len(), requests, "{expires_in}");
        match error {
            Some(error) => assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}"),
            None => assert_eq!(expires_in, u64::MAX),
        }
    }
}

/// Each attempt of each request has a fresh assertion, for the issuer of the server.
#[test]
fn a_client_assertion_from_a_function_is_asked_for_at_each_attempt() {
    let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
    let supplier = {
        let asked = asked.clone();
        move |issuer: &str| {
            let mut asked = asked.lock().unwrap();
            asked.push(issuer.to_owned());
            Ok(format!("assertion-{}", asked.len()))
        }
    };
    let setup = Setup::new().with(ClientAuth::client_assertion(supplier));
    let (result, sent) = setup.run([body_challenge(&["n"]), token()]);
    assert!(result.is_ok());
    let assertions: Vec<_> = sent.iter().flat_map(|sent| values(&sent.form, "client_assertion")).collect();
    assert_eq!(assertions, ["assertion-1", "assertion-2"]);
    assert_eq!(*asked.lock().unwrap(), [ISSUER, ISSUER]);
    assert_eq!(
        values(&sent[0].form, "client_assertion_type"),
        ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    );
    // draft-ietf-oauth-spiffe-client-auth: another type.
    let spiffe = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
    let auth = ClientAuth::client_assertion_of_type("spiffe_jwt", spiffe, |_| Ok("svid".to_owned()));
    assert_eq!(auth.method(), "spiffe_jwt");
    let (_, sent) = Setup::new().with(auth.clone()).run([token()]);
    assert_eq!(values(&sent[0].form, "client_assertion_type"), [spiffe]);
    let server = AuthorizationServer::builder(ISSUER)
        .token_endpoint(ENDPOINT)
        .token_endpoint_auth_methods_supported(["private_key_jwt"]);
    assert_eq!(*Setup::new().with(auth).server(server).refused().kind(), ErrorKind::AuthMethod);
}

#[test]
fn a_function_that_fails_to_supply_an_assertion_is_named_as_the_cause() {
    type Failure = Box<dyn std::error::Error + Send + Sync>;
    let failing: [(fn() -> Failure, bool); 3] = [
        (|| "no such file".into(), false),
        (|| Error::transport("connection refused").into(), true),
        (|| Error::timeout("late").into(), true),
    ];
    for (failure, transient) in failing {
        let auth = ClientAuth::client_assertion(move |_| Err(failure()));
        let error = Setup::new().with(auth).refused();
        assert_eq!((error.kind(), error.is_transient()), (&ErrorKind::Callback, transient), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
    for bad in ["", "token\n"] {
        let auth = ClientAuth::client_assertion(|_| Ok(bad.to_owned()));
        assert_eq!(*Setup::new().with(auth).refused().kind(), ErrorKind::Callback);
    }
}
