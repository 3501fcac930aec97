//! Requests to the endpoints beside the token endpoint, and protected resource metadata.

use possession::*;
use serde_json::{Value, json};

use super::{ENDPOINT, HttpResponse, ISSUER, SECRET, Script, Sent, Setup, at, key, prover, response, token};
use crate::common::{JSON, form, values};

const REVOKE: &str = "https://as.example/revoke";
const INTROSPECT: &str = "https://as.example/introspect";
const DEVICE: &str = "https://as.example/device_authorization";

fn setup() -> Setup {
    Setup::new().server(
        AuthorizationServer::builder(ISSUER)
            .token_endpoint(ENDPOINT)
            .member("revocation_endpoint", REVOKE)
            .member("introspection_endpoint", INTROSPECT)
            .member("device_authorization_endpoint", DEVICE)
            .member("registration_endpoint", "https://as.example/register"),
    )
}

fn revoke(
    setup: &Setup,
    responses: impl IntoIterator<Item = HttpResponse>,
) -> (Result<(), Error>, Vec<Sent>) {
    let script = Script::new(responses);
    let Setup { server, client, auth, .. } = setup;
    let options = setup.options().http(&script);
    let parameters = Parameters::new().parameter("token_type_hint", "refresh_token");
    let result = revocation_request(server, client, auth, "45ghiukldjahdnhzdauz", parameters, &options)
        .and_then(|response| process_revocation_response(server, client, response));
    (result, script.sent())
}

fn introspect(setup: &Setup, response: HttpResponse) -> (Result<Introspection, Error>, Vec<Sent>) {
    let script = Script::new([response]);
    let Setup { server, client, auth, .. } = setup;
    let options = setup.options().http(&script);
    let result = introspection_request(server, client, auth, "mF_9.B5f-4.1JqM", Parameters::new(), &options)
        .and_then(|response| process_introspection_response(server, client, response));
    (result, script.sent())
}

/// RFC 7009 §2.1; RFC 9449 defines proofs for the token endpoint and for pushed requests only.
#[test]
fn a_revocation_has_token_hint_and_client_authentication_and_no_proof() {
    let (result, sent) = revoke(&setup(), [response(200, &[], "")]);
    assert_eq!(result, Ok(()));
    assert_eq!((sent.len(), &*sent[0].uri), (1, REVOKE));
    assert_eq!(values(&sent[0].form, "token"), ["45ghiukldjahdnhzdauz"]);
    assert_eq!(values(&sent[0].form, "token_type_hint"), ["refresh_token"]);
    assert_eq!(sent[0].assertion().text("aud"), ISSUER);
    assert!(!sent[0].headers.contains_key("dpop"));
    // §2.2.1: after 503 the token still exists.
    let (error, _) = revoke(&setup(), [response(503, &[], "")]);
    assert!(error.unwrap_err().is_transient());
    let unsupported = response(400, &[JSON], r#"{"error":"unsupported_token_type"}"#);
    let error = revoke(&setup(), [unsupported]).0.unwrap_err();
    assert_eq!(error.oauth().unwrap().error(), "unsupported_token_type");
    // An error is not taken for a success, whatever its status.
    let (error, _) = revoke(&setup(), [response(200, &[JSON], r#"{"error":"invalid_client"}"#)]);
    assert_eq!(error.unwrap_err().oauth().unwrap().error(), "invalid_client");
    for status in [204, 302, 404, 500] {
        assert!(revoke(&setup(), [response(status, &[("location", "/")], "")]).0.is_err(), "{status}");
    }
    // It has no nonce to be retried with.
    let challenge = response(400, &[JSON, ("dpop-nonce", "n")], r#"{"error":"use_dpop_nonce"}"#);
    let (error, sent) = revoke(&setup(), [challenge, response(200, &[], "")]);
    assert!(error.is_err() && sent.len() == 1);
}

/// The servers of atproto need a proof to revoke anything, with a nonce as at the token endpoint.
#[test]
fn a_revocation_has_a_proof_and_is_retried_for_a_nonce_where_the_caller_says_so() {
    let Setup { server, client, auth, .. } = &setup();
    let prover = prover();
    let nonce = response(400, &[JSON, ("dpop-nonce", "n-1")], r#"{"error":"use_dpop_nonce"}"#);
    let script = Script::new([nonce, response(200, &[], "")]);
    let options = RequestOptions::new().prover(&prover).prove_revocation().http(&script);
    let response = revocation_request(server, client, auth, "t", Parameters::new(), &options).unwrap();
    assert_eq!(process_revocation_response(server, client, response), Ok(()));
    // Other endpoints still get none.
    let refused = introspection_request(server, client, auth, "t", Parameters::new(), &options);
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Transport, "the script has ended");
    let sent = script.sent();
    let proofs: Vec<_> = sent[..2].iter().map(Sent::proof).collect();
    assert_eq!([proofs[0].text("htu"), proofs[1].text("htu")], [REVOKE, REVOKE]);
    assert_eq!((proofs[0].nonce(), proofs[1].nonce()), (None, Some("n-1")));
    assert!(!sent[2].headers.contains_key("dpop"));
}

/// RFC 9449 §8.2: a nonce comes with any response of the server.
#[test]
fn a_nonce_that_another_endpoint_sent_is_used_at_the_token_endpoint() {
    let setup = setup();
    assert!(revoke(&setup, [response(200, &[("dpop-nonce", "n-9")], "")]).0.is_ok());
    assert_eq!(setup.next_nonce().as_deref(), Some("n-9"));
}

#[test]
fn an_introspection_says_whether_the_token_is_active() {
    let active = r#"{"active":true,"scope":"read","cnf":{"jkt":"x"}}"#;
    let (result, sent) = introspect(&setup(), response(200, &[JSON], active));
    let introspection = result.unwrap();
    assert!(introspection.active() && introspection.member("scope").unwrap() == "read");
    assert!(!format!("{introspection:?}").contains("read"));
    assert_eq!((values(&sent[0].form, "token"), &*sent[0].uri), (vec!["mF_9.B5f-4.1JqM"], INTROSPECT));
    assert!(!sent[0].headers.contains_key("dpop"));
    assert!(!introspect(&setup(), response(200, &[JSON], r#"{"active":false}"#)).0.unwrap().active());
    for bad in ["{}", r#"{"active":"true"}"#, "[]", ""] {
        let error = introspect(&setup(), response(200, &[JSON], bad)).0.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content { .. }), "{bad} {error}");
    }
}

/// RFC 8414 §2: each endpoint has its own list of methods; that of the token endpoint holds for devices (RFC
/// 8628 §3.1).
#[test]
fn every_authentication_method_works_at_every_endpoint() {
    let methods = || {
        [
            ClientAuth::none(),
            ClientAuth::client_secret_basic(SECRET),
            ClientAuth::client_secret_post(SECRET),
            ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs256),
            ClientAuth::private_key_jwt(key(Algorithm::Es256)),
            ClientAuth::client_assertion(|_| Ok("a.b.c".to_owned())),
            ClientAuth::tls_client_auth(),
            ClientAuth::self_signed_tls_client_auth(),
        ]
    };
    let credentials = |sent: &Sent| {
        let names: Vec<_> = sent.form.iter().map(|(name, _)| name.clone()).collect();
        let of_client = |name: &String| name.starts_with("client_");
        let fields: Vec<_> = names.into_iter().filter(of_client).collect();
        (sent.headers.contains_key("authorization"), fields)
    };
    for (at_token, at_revocation) in methods().into_iter().zip(methods()) {
        let method = at_token.method();
        let (result, sent) = setup().with(at_token).run([token()]);
        assert!(result.is_ok(), "{method}");
        let expected = credentials(&sent[0]);
        let setup = setup().with(at_revocation);
        let (result, sent) = revoke(&setup, [response(200, &[], "")]);
        assert!(result.is_ok() && credentials(&sent[0]) == expected, "{method}");
        let (result, sent) = introspect(&setup, response(200, &[JSON], r#"{"active":false}"#));
        assert!(result.is_ok() && credentials(&sent[0]) == expected, "{method}");
        let script = Script::new([response(400, &[JSON], r#"{"error":"invalid_scope"}"#)]);
        let (server, client, options) = (&setup.server, &setup.client, setup.options().http(&script));
        let response =
            device_authorization_request(server, client, &setup.auth, Parameters::new(), &options).unwrap();
        assert!(process_device_authorization_response(server, client, response).is_err());
        assert_eq!(credentials(&script.sent()[0]), expected, "{method}");
    }
    // The lists of the metadata are obeyed.
    let lists = |name: &str| {
        let server = setup().server.to_builder().member(name, json!(["client_secret_basic"]));
        setup().server(server)
    };
    let refused = |setup: Setup| *revoke(&setup, []).0.unwrap_err().kind() == ErrorKind::AuthMethod;
    assert!(refused(lists("revocation_endpoint_auth_methods_supported")));
    assert!(!refused(lists("introspection_endpoint_auth_methods_supported")));
    assert!(!refused(lists("token_endpoint_auth_methods_supported")));
}

/// RFC 8705 §5: the aliases are for all endpoints.
#[test]
fn a_client_with_a_certificate_uses_the_alias_of_the_endpoint() {
    let aliases = json!({ "revocation_endpoint": "https://mtls.as.example/revoke" });
    let server = setup().server.to_builder().member("mtls_endpoint_aliases", aliases);
    let setup = setup().server(server).with(ClientAuth::tls_client_auth());
    let (_, sent) = revoke(&setup, [response(200, &[], "")]);
    assert_eq!(sent[0].uri, "https://mtls.as.example/revoke");
    let (_, sent) = introspect(&setup, response(200, &[JSON], r#"{"active":false}"#));
    assert_eq!(sent[0].uri, INTROSPECT);
}

#[test]
fn an_endpoint_that_the_metadata_do_not_have_is_named() {
    let setup = Setup::new();
    for (error, name) in [
        (revoke(&setup, []).0.unwrap_err(), "revocation_endpoint"),
        (introspect(&setup, token()).0.unwrap_err(), "introspection_endpoint"),
        (
            RegistrationRequest::new(&setup.server, &ClientMetadata::new()).unwrap_err(),
            "registration_endpoint",
        ),
    ] {
        assert!(*error.kind() == ErrorKind::Metadata && error.to_string().contains(name), "{error}");
    }
}

/// The assertion is dated by the server's clock, which the token endpoint showed.
#[test]
fn an_assertion_for_another_endpoint_has_the_time_of_the_server() {
    let Setup { server, client, auth, .. } = setup();
    let prover = prover();
    let options = RequestOptions::new().prover(&prover);
    let now = at(1_000_000);
    let mut request =
        TokenRequest::client_credentials(&server, &client, &auth, Parameters::new(), &options).unwrap();
    request.request(now).unwrap();
    // A minute behind.
    let date = ("date", "Mon, 12 Jan 1970 13:45:40 GMT");
    let refused = response(400, &[JSON, date], r#"{"error":"invalid_dpop_proof"}"#);
    assert_eq!(request.receive(refused, now).unwrap().retry(), Ok(()));
    request.request(now).unwrap();
    request.receive(token(), now).unwrap();
    let mut request =
        EndpointRequest::revocation(&server, &client, &auth, "t", Parameters::new(), &options).unwrap();
    let iat = Sent::new(&request.request(now).unwrap()).assertion().time("iat");
    assert!((999_938..=999_941).contains(&iat), "{iat}");
}

trait Retry {
    fn retry(&self) -> Result<(), ()>;
}

impl<T> Retry for Step<T> {
    fn retry(&self) -> Result<(), ()> {
        if matches!(self, Step::Retry) { Ok(()) } else { Err(()) }
    }
}

/// RFC 7591 §3.1, §3.2.1; RFC 9449 §5.2.
#[test]
fn a_registration_asks_for_bound_tokens_and_returns_the_client() {
    let server = setup().server;
    let metadata = ClientMetadata::new()
        .redirect_uris(["http://127.0.0.1/callback"])
        .member("token_endpoint_auth_method", "client_secret_basic");
    let registration = RegistrationRequest::new(&server, &metadata).unwrap();
    let request = registration.request().unwrap();
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/register"));
    assert_eq!(request.headers()["content-type"], "application/json");
    let sent: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(
        sent,
        json!({
            "dpop_bound_access_tokens": true,
            "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": "client_secret_basic",
        })
    );
    let process = |status, body: &str| {
        let response = registration.receive(response(status, &[JSON], body), at(0))?;
        process_registration_response(&server, response)
    };
    let body = r#"{"client_id":"s6BhdRkqt3","client_secret":"cf136dc3c1fc","client_secret_expires_at":0}"#;
    let registered = process(201, body).unwrap();
    assert_eq!(registered.client().client_id(), "s6BhdRkqt3");
    assert_eq!(registered.client_secret(), Some("cf136dc3c1fc"));
    assert_eq!(registered.member("client_secret_expires_at").unwrap(), 0);
    assert!(!format!("{registered:?}").contains("cf136"));
    for bad in ["{}", r#"{"client_id":7}"#, r#"{"client_id":"a","client_secret":{}}"#, "x"] {
        assert!(matches!(process(201, bad).unwrap_err().kind(), ErrorKind::Content { .. }), "{bad}");
    }
    assert!(process(201, r#"{"client_id":""}"#).is_err());
    let error = process(400, r#"{"error":"invalid_redirect_uri"}"#).unwrap_err();
    assert_eq!(error.oauth().unwrap().error(), "invalid_redirect_uri");
    let redirect = registration.receive(response(307, &[("location", "https://evil.example")], ""), at(0));
    assert_eq!(*redirect.unwrap_err().kind(), ErrorKind::Redirect { status: 307 });
    for bad in [json!(false), Value::Null, json!("true")] {
        let metadata = ClientMetadata::new().member("dpop_bound_access_tokens", bad);
        let error = RegistrationRequest::new(&server, &metadata).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Parameter);
    }
    let script = Script::new([response(201, &[JSON], body)]);
    let response = registration_request(&server, &metadata, &RequestOptions::new().http(&script)).unwrap();
    assert_eq!(process_registration_response(&server, response).unwrap().client().client_id(), "s6BhdRkqt3");
    assert!(form(b"").is_empty());
}

mod protected_resources {
    use super::*;

    const RESOURCE: &str = "https://api.example/orders";

    fn document(members: Value) -> HttpResponse {
        response(200, &[JSON], members.to_string())
    }

    /// The examples of RFC 9728 §3.1, and §1.2: the query of the identifier is kept.
    #[test]
    fn the_location_is_between_host_and_path() {
        for (resource, location) in [
            (
                "https://resource.example.com",
                "https://resource.example.com/.well-known/oauth-protected-resource",
            ),
            (
                "https://resource.example.com/",
                "https://resource.example.com/.well-known/oauth-protected-resource",
            ),
            (
                "https://resource.example.com/resource1",
                "https://resource.example.com/.well-known/oauth-protected-resource/resource1",
            ),
            (
                "https://resource.example.com:8443/a/b?k=v",
                "https://resource.example.com:8443/.well-known/oauth-protected-resource/a/b?k=v",
            ),
        ] {
            let discovery = ProtectedResourceDiscovery::new(resource).unwrap();
            assert_eq!(discovery.request().unwrap().uri(), location);
        }
        for bad in
            ["http://api.example", "https://api.example/#f", "https://u@api.example", "api.example", ""]
        {
            assert_eq!(*ProtectedResourceDiscovery::new(bad).unwrap_err().kind(), ErrorKind::Url, "{bad}");
        }
        let loopback = "http://127.0.0.1:8000/mcp";
        assert!(ProtectedResourceDiscovery::new(loopback).is_err());
        assert!(ProtectedResourceDiscovery::dangerous_allow_http_on_loopback(loopback).is_ok());
    }

    #[test]
    fn its_members_are_read() {
        let servers = ["https://as.example", "https://as.example/t"];
        let script = Script::new([document(json!({
            "resource": RESOURCE,
            "authorization_servers": servers,
            "scopes_supported": ["read"],
            "dpop_bound_access_tokens_required": true,
            "resource_name": null,
        }))]);
        let resource = protected_resource_metadata(RESOURCE, &script).unwrap();
        assert_eq!(
            (resource.resource(), resource.authorization_servers()),
            (RESOURCE, &servers.map(str::to_owned)[..])
        );
        assert_eq!(resource.member("dpop_bound_access_tokens_required"), Some(&Value::Bool(true)));
        assert_eq!(resource.member("resource_name"), None);
        assert_eq!(resource.origin(), "https://api.example");
        // §7.6: only a server that the caller knows gets credentials. Issuers are compared as text.
        assert_eq!(
            resource.authorization_server_among(["https://as.example/t"]).unwrap(),
            "https://as.example/t"
        );
        for known in [vec![], vec!["https://as.example/"], vec!["https://AS.example"]] {
            let error = resource.authorization_server_among(known).unwrap_err();
            assert!(*error.kind() == ErrorKind::Metadata && error.to_string().contains("https://as.example"));
        }
    }

    /// RFC 9728 §3.3: "the resource value returned MUST be identical", else impersonation (§7.3).
    #[test]
    fn a_document_of_another_resource_is_refused() {
        for bad in [
            json!({ "resource": "https://api.example/orders/" }),
            json!({ "resource": "https://evil.example/orders" }),
            json!({ "resource": "https://api.example" }),
            json!({ "resource": null }),
            json!({}),
            json!({ "resource": RESOURCE, "authorization_servers": "https://as.example" }),
            json!({ "resource": RESOURCE, "authorization_servers": [7] }),
            json!([]),
        ] {
            let error =
                protected_resource_metadata(RESOURCE, &Script::new([document(bad.clone())])).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{bad}");
        }
        for (status, kind) in
            [(404, ErrorKind::Status { status: 404 }), (302, ErrorKind::Redirect { status: 302 })]
        {
            let script = Script::new([response(status, &[("location", "/x")], "")]);
            assert_eq!(*protected_resource_metadata(RESOURCE, &script).unwrap_err().kind(), kind);
        }
        assert!(
            protected_resource_metadata(RESOURCE, &Script::new([document(json!({ "resource": RESOURCE }))]))
                .is_ok()
        );
    }

    /// RFC 9728 §5.1, its example; §3.3: the document must be that of the requested URL.
    #[test]
    fn a_challenge_says_where_the_document_is() {
        let field = br#"DPoP algs="ES256", Bearer resource_metadata="https://other.example/meta""#;
        let challenges = Challenge::parse(field).unwrap();
        let discovery = ProtectedResourceDiscovery::from_challenges(RESOURCE, &challenges).unwrap();
        assert_eq!(discovery.request().unwrap().uri(), "https://other.example/meta");
        assert!(discovery.receive(document(json!({ "resource": RESOURCE }))).is_ok());
        let other = document(json!({ "resource": "https://other.example/meta" }));
        assert_eq!(*discovery.receive(other).unwrap_err().kind(), ErrorKind::Metadata);
        // For a resource whose identifier covers several URLs, which the caller vouches for.
        let whole_host = || document(json!({ "resource": "https://api.example" }));
        assert!(discovery.receive(whole_host()).is_err());
        let vouched =
            discovery.clone().dangerous_resource("https://api.example").receive(whole_host()).unwrap();
        assert_eq!((vouched.resource(), vouched.origin()), ("https://api.example", "https://api.example"));
        let none = Challenge::parse(b"DPoP algs=\"ES256\"").unwrap();
        let error = ProtectedResourceDiscovery::from_challenges(RESOURCE, &none).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata);
        for bad in ["http://api.example/meta", "file:///etc/passwd", "/meta"] {
            let field = format!("DPoP resource_metadata=\"{bad}\"");
            let challenges = Challenge::parse(field.as_bytes()).unwrap();
            let error = ProtectedResourceDiscovery::from_challenges(RESOURCE, &challenges).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Url, "{bad}");
        }
    }
}
