//! Authorization responses (RFC 6749 §4.1.2, RFC 9207).

use possession::*;
use serde_json::json;

use super::authorization_requests::{REDIRECT_URI, client, server};
use super::{ENDPOINT, ISSUER, Sent, at, prover};
use crate::common::{form, values};

/// A request whose response must have `iss` if `iss_required`.
fn pending(iss_required: bool) -> PendingAuthorization {
    let server = server(json!({ "authorization_response_iss_parameter_supported": iss_required }));
    let request = AuthorizationRequest::new(REDIRECT_URI);
    request.front_channel(&server, &client(), &RequestOptions::new()).unwrap().1
}

/// The outcome of a query in which `STATE` stands for the right state.
fn receive(iss_required: bool, query: &str) -> Result<AuthorizationCode, Error> {
    let pending = pending(iss_required);
    let query = query.replace("STATE", pending.state());
    pending.receive_query(&query)
}

fn refused(iss_required: bool, query: &str, why: &str) {
    let error = receive(iss_required, query).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::AuthorizationResponse, "{query}: {error}");
    assert!(error.to_string().contains(why), "{query}: {error}");
    assert!(!error.is_transient());
}

/// RFC 6749 §4.1.2 and RFC 9207 §2.1. Unknown parameters are ignored, and an empty one is none (§3.1).
#[test]
fn a_response_to_the_request_is_a_code() {
    let iss = "https%3A%2F%2Fas.example";
    for query in [
        format!("code=SplxlOBeZQQYbYS6WxSbIA&state=STATE&iss={iss}"),
        format!("?iss={iss}&state=STATE&code=SplxlOBeZQQYbYS6WxSbIA&session_state=x&session_state=y"),
        "code=SplxlOBeZQQYbYS6WxSbIA&state=STATE&iss=https://as.example&error=&response=".to_owned(),
    ] {
        let code = receive(true, &query).unwrap();
        assert_eq!((code.issuer(), code.jkt()), (Some(ISSUER), None));
    }
    assert!(receive(false, "code=%7E+x&state=STATE").is_ok());
}

/// RFC 9700 §4.5: the attacker has the code of somebody else and puts it into the response of a login of
/// their own. The server compares the code with the challenge of its own login, and with the key.
#[test]
fn l_01_a_code_is_sent_with_the_verifier_and_the_key_of_the_login_that_received_it() {
    let (own_key, other_key) = (prover(), prover());
    let options = RequestOptions::new().prover(&own_key);
    let server = server(json!({ "token_endpoint": ENDPOINT }));
    let (client, auth) = (client(), ClientAuth::none());
    let login = || {
        let request = AuthorizationRequest::new(REDIRECT_URI);
        let (url, pending) = request.front_channel(&server, &client, &options).unwrap();
        let query = form(url.split_once('?').unwrap().1.as_bytes());
        let response = format!("code=injected&state={}", pending.state());
        let code = pending.receive_query(&response).unwrap();
        (values(&query, "code_challenge")[0].to_owned(), code)
    };
    let token_request = |server, client, options: &RequestOptions<'_>| {
        let (challenge, code) = login();
        assert_eq!(code.jkt(), Some(own_key.thumbprint()));
        TokenRequest::authorization_code(server, client, &auth, code, Parameters::new(), options)
            .map(|request| (challenge, request))
    };
    let (challenge, mut request) = token_request(&server, &client, &options).unwrap();
    let sent = Sent::new(&request.request(at(1_000_000)).unwrap());
    let field = |name| values(&sent.form, name);
    let [verifier] = field("code_verifier")[..] else { panic!("one code_verifier") };
    assert_eq!(CodeVerifier::new(verifier).unwrap().challenge(), challenge);
    assert_eq!((field("code"), field("redirect_uri")), (vec!["injected"], vec![REDIRECT_URI]));
    let jwk = sent.proof().header["jwk"].to_string();
    assert_eq!(Thumbprint::from_jwk(&jwk).unwrap(), own_key.thumbprint());

    let elsewhere = AuthorizationServer::builder("https://other.example").token_endpoint(ENDPOINT);
    let (elsewhere, other_client) = (elsewhere.build().unwrap(), Client::new("other").unwrap());
    let other_options = RequestOptions::new().prover(&other_key);
    for (server, client, options) in [
        (&elsewhere, &client, &options),
        (&server, &other_client, &options),
        (&server, &client, &other_options),
        (&server, &client, &RequestOptions::new()),
    ] {
        let error = token_request(server, client, options).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Parameter, "{error}");
    }
}

/// RFC 6749 §10.12: a page of somebody else makes the browser call the redirect URI with a code of theirs.
#[test]
fn l_05_a_response_without_the_state_of_the_request_is_refused() {
    for query in ["code=x", "code=x&state=", "state=", "", "error=access_denied"] {
        refused(false, query, "no `state`");
    }
    for query in
        ["code=x&state=x", "code=x&state=STATE%00", "code=x&state=STATE+", "error=access_denied&state=STAT"]
    {
        refused(false, query, "`state` is not");
    }
    let pending = pending(false);
    let state = pending.state();
    let other = if state.ends_with('A') { "B" } else { "A" };
    let close = format!("{}{other}", &state[..state.len() - 1]);
    for (query, expected) in [
        (format!("code=x&state={state}"), true),
        (format!("?state={state}"), true),
        (format!("code=x&state={close}"), false),
        (format!("code=x&state={}", &state[..state.len() - 1]), false),
        (format!("code=x&state={state}&state={state}"), false),
        (format!("code=x&State={state}"), false),
        ("code=x&state=".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(pending.matches_state(&query), expected, "{query}");
    }
}

/// The value that knows the state is consumed, and every request has a new state.
#[test]
fn l_04_the_response_of_an_earlier_login_is_refused() {
    let (first, second) = (pending(false), pending(false));
    let query = format!("code=x&state={}", first.state());
    assert!(!second.matches_state(&query));
    assert!(first.receive_query(&query).is_ok());
    let error = second.receive_query(&query).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::AuthorizationResponse);
}

/// RFC 9207 §2.4: the comparison is simple string comparison, and comes before anything else is believed.
#[test]
fn l_02_a_response_of_another_issuer_is_refused() {
    for iss_required in [true, false] {
        for iss in [
            "https://attacker.example",
            "https://as.example/",
            "HTTPS://as.example",
            "https://as.example:443",
            "https://as.example%00",
            "null",
        ] {
            refused(iss_required, &format!("code=x&state=STATE&iss={iss}"), "`iss` is");
            refused(iss_required, &format!("error=access_denied&state=STATE&iss={iss}"), "`iss` is");
        }
    }
    refused(true, "code=x&state=STATE", "no `iss`");
    refused(true, "code=x&state=STATE&iss=", "no `iss`");
    refused(true, "error=access_denied&state=STATE", "no `iss`");
    assert!(receive(false, "code=x&state=STATE").is_ok());
}

#[test]
fn a_parameter_that_is_there_twice_is_refused() {
    for query in [
        "code=x&code=x&state=STATE",
        "code=x&c%6Fde=y&state=STATE",
        "code=x&state=STATE&state=STATE",
        "code=x&state=STATE&state=",
        "code=x&state=STATE&iss=https://as.example&iss=https://attacker.example",
        "error=a&error=b&state=STATE",
    ] {
        refused(false, query, "more than once");
    }
}

/// A browser shows a fragment to nobody, so a response with `response_mode=fragment` looks empty.
#[test]
fn what_is_no_response_is_refused() {
    refused(false, "response=eyJ.eyJ.x", "JARM");
    refused(false, "response=eyJ.eyJ.x&state=STATE&code=x", "JARM");
    refused(false, "state=STATE", "neither `code` nor `error`");
    refused(false, "state=STATE&code=&error=", "neither `code` nor `error`");
    refused(false, "state=STATE&access_token=x&id_token=y", "neither `code` nor `error`");
    refused(false, "state=STATE&code=a%0Ab", "`code` has characters");
    refused(false, "state=STATE&code=%E9", "`code` has characters");
    refused(false, "state=STATE&error=a%22b", "`error` is not");
    refused(false, &format!("state=STATE&error={}", "a".repeat(201)), "`error` is not");
}

/// RFC 6749 §4.1.2.1.
#[test]
fn an_error_of_the_server_is_typed_and_shown_in_safe_characters() {
    let query = "error=access_denied&error_description=no%0A%22way%22&error_uri=https%3A%2F%2Fx&state=STATE";
    let error = receive(false, query).unwrap_err();
    let oauth = error.oauth().unwrap();
    assert_eq!((oauth.error(), oauth.status(), error.status()), ("access_denied", None, None));
    assert_eq!(oauth.raw_error_description(), Some("no\n\"way\""));
    assert_eq!(oauth.raw_error_uri(), Some("https://x"));
    assert_eq!(oauth.to_string(), "access_denied (no?'way')");
    assert!(error.to_string().contains("access_denied (no?'way')") && !error.is_transient(), "{error}");
    // RFC 6749 §4.1.2.1: these stand for the status codes 500 and 503.
    for code in ["server_error", "temporarily_unavailable"] {
        assert!(receive(false, &format!("state=STATE&error={code}")).unwrap_err().is_transient());
    }
    // A code beside an error is not used.
    assert!(receive(false, "code=x&error=access_denied&state=STATE").unwrap_err().oauth().is_some());
}

/// RFC 9700 §4.4.2.2: a redirect URI of its own for every issuer tells their responses apart.
#[test]
fn l_05_a_response_that_came_to_another_url_is_refused() {
    let receive = |url: &str| {
        let pending = pending(false);
        let url = url.replace("STATE", pending.state());
        pending.receive(&url)
    };
    for url in [
        "https://client.example/cb?code=x&state=STATE",
        "https://CLIENT.example:443/cb?code=x&state=STATE#_=_",
        "https://client.example/%63b?a=https://other.example/&code=x&state=STATE",
    ] {
        assert!(receive(url).is_ok(), "{url}");
    }
    for url in [
        "https://other.example/cb?code=x&state=STATE",
        "http://client.example/cb?code=x&state=STATE",
        "https://client.example:444/cb?code=x&state=STATE",
        "https://client.example/cb/?code=x&state=STATE",
        "https://client.example/other?code=x&state=STATE",
        "/cb?code=x&state=STATE",
        "code=x&state=STATE",
    ] {
        let error = receive(url).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::AuthorizationResponse, "{url}");
        assert!(error.to_string().contains("https://client.example/cb"), "{error}");
    }
    assert_eq!(*receive(REDIRECT_URI).unwrap_err().kind(), ErrorKind::AuthorizationResponse);
}

/// A redirect URI may have a query, and a private scheme has no normal form.
#[test]
fn the_query_of_the_redirect_uri_is_not_part_of_the_response() {
    for redirect_uri in ["https://client.example/cb?tenant=1&code_2=x", "com.example.app:/cb?tenant=1"] {
        let request = AuthorizationRequest::new(redirect_uri);
        let (_, pending) =
            request.front_channel(&server(json!({})), &client(), &RequestOptions::new()).unwrap();
        let url = format!("{redirect_uri}&code=x&state={}", pending.state());
        assert!(pending.receive(&url).is_ok(), "{url}");
    }
}
