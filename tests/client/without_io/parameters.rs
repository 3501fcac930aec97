//! Parameters and the target of token requests.

use possession::*;

use super::{ENDPOINT, ISSUER, Setup, body_challenge, token};

#[test]
fn c_28_parameters_are_checked_before_anything_is_sent() {
    let scope = |scope: &str| Parameters::new().scope(scope);
    let resource = |uri: &str| Parameters::new().resource(uri);
    let parameter = |name: &str| Parameters::new().parameter(name, "x");
    let refused = [
        // RFC 6749 §3.3: tokens of %x21 / %x23-5B / %x5D-7E, one space between them.
        scope(""),
        scope(" "),
        scope("a  b"),
        scope(" a"),
        scope("a "),
        scope("a\tb"),
        scope("a\"b"),
        scope("a\\b"),
        scope("a\u{a0}b"),
        scope("a\nb"),
        scope("a").scope("b"),
        scope("a").parameter("scope", "b"),
        // RFC 8707 §2: an absolute URI, no fragment.
        resource(""),
        resource("/api"),
        resource("//api.example/"),
        resource("api.example"),
        resource("https:"),
        resource("https://api.example/#"),
        resource("https://api.example/#f"),
        resource("https://api.example/a b"),
        resource("1https://api.example/"),
        Parameters::new().parameter("resource", "relative"),
        // Reserved for this crate.
        parameter("grant_type"),
        parameter("client_id"),
        parameter("client_secret"),
        parameter("client_assertion"),
        parameter("client_assertion_type"),
        parameter(""),
    ];
    for parameters in refused {
        let shown = format!("{parameters:?}");
        let known_before = parameters.check().unwrap_err();
        let error = Setup { parameters, ..Setup::new() }.refused();
        assert_eq!(*error.kind(), ErrorKind::Parameter, "{shown}");
        assert_eq!(known_before, error, "{shown}");
    }
    for client_id in ["", "a\nb", "a\0", "\u{85}"] {
        assert_eq!(Client::new(client_id).unwrap_err().kind(), &ErrorKind::Parameter, "{client_id:?}");
    }
}

#[test]
fn parameters_are_sent_as_given_and_in_order() {
    let parameters = Parameters::new()
        .resource("https://b.example/?q=1")
        .parameter("audience", "é&=+ %\u{1f511}")
        .scope("z:write a !#[]~")
        .resource("urn:a")
        .parameter("audience", "")
        .resource("https://b.example/?q=1");
    let setup = Setup { parameters, ..Setup::new().with(ClientAuth::none()) };
    let (result, sent) = setup.run([body_challenge(&["n-1"]), token()]);
    assert!(result.is_ok());
    let expected = [
        ("grant_type", "client_credentials"),
        ("resource", "https://b.example/?q=1"),
        ("audience", "é&=+ %\u{1f511}"),
        ("scope", "z:write a !#[]~"),
        ("resource", "urn:a"),
        ("audience", ""),
        ("resource", "https://b.example/?q=1"),
        ("client_id", "app"),
    ];
    for sent in &sent {
        let form: Vec<_> = sent.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(form, expected);
        assert_eq!(sent.headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(sent.headers["accept"], "application/json");
    }
}

#[test]
fn c_07_the_query_of_the_token_endpoint_is_sent_and_is_not_part_of_htu() {
    for (endpoint, htu) in [
        ("https://as.example/token?tenant=a%20b&x", ENDPOINT),
        ("https://as.example?tenant=1", "https://as.example/"),
        ("https://as.example/token?", ENDPOINT),
    ] {
        let setup = Setup::new().server(AuthorizationServer::builder(ISSUER).token_endpoint(endpoint));
        let (_, sent) = setup.run([token()]);
        assert_eq!(sent[0].proof().text("htu"), htu);
        let sent: http::Uri = sent[0].uri.parse().unwrap();
        assert_eq!(sent.query(), endpoint.split_once('?').map(|(_, query)| query), "{endpoint}");
    }
}
