//! Whole sign-ins at the test server: pushed or not, as a public and as a confidential client.

use possession::testing::{Endpoint, Nonces, Quirk, TestServer};
use possession::*;

use crate::common::server::{always, member, once, respond, with};
use crate::common::{JSON, values};
use crate::support::{LONG, code, key, nothing_twice};

const CALLBACK: &str = "http://127.0.0.1:8080/callback";

struct Setup<'a> {
    server: &'a TestServer,
    metadata: AuthorizationServer,
    client: Client,
    auth: ClientAuth,
    prover: Prover,
    http: Transport,
}

impl<'a> Setup<'a> {
    fn new(server: &'a TestServer, auth: ClientAuth) -> Self {
        let http = Transport::builder().timeout(LONG).build();
        let discovery = Discovery::dangerous_allow_http_on_loopback(server.issuer()).unwrap();
        Self {
            server,
            metadata: discovery.run(&http).unwrap(),
            client: Client::new(server.client_id()).unwrap(),
            auth,
            prover: Prover::new(key(Algorithm::Es256)).unwrap(),
            http,
        }
    }

    fn confidential(server: &'a TestServer) -> Self {
        Self::new(server, ClientAuth::client_secret_basic(server.client_secret()))
    }

    /// The same setup at a server whose metadata lack that member.
    fn without(self, member: &str) -> Self {
        let metadata = self.metadata.to_builder().member(member, serde_json::Value::Null);
        Self { metadata: metadata.build().unwrap(), ..self }
    }

    fn options(&self) -> RequestOptions<'_> {
        RequestOptions::new().prover(&self.prover).http(&self.http)
    }

    fn start(&self) -> Result<(String, PendingAuthorization), Error> {
        let request = AuthorizationRequest::new(CALLBACK).scope("read write").login_hint("alice@example.com");
        authorization_request(&self.metadata, &self.client, &self.auth, request, &self.options())
    }

    fn code(&self) -> Result<AuthorizationCode, Error> {
        let (url, pending) = self.start()?;
        pending.receive(&self.server.authorize(&url).unwrap())
    }

    fn tokens(&self, code: AuthorizationCode) -> Result<TokenResponse, Error> {
        let (server, client, auth) = (&self.metadata, &self.client, &self.auth);
        let response =
            authorization_code_grant_request(server, client, auth, code, Parameters::new(), &self.options())?;
        process_authorization_code_response(server, client, response)
    }

    fn sign_in(&self) -> Result<TokenResponse, Error> {
        self.tokens(self.code()?)
    }
}

#[test]
fn a_user_signs_in_and_the_tokens_are_bound_to_the_key() {
    for (public, pushed, required) in
        [(false, true, false), (false, false, false), (true, true, true), (true, false, false)]
    {
        let server = with(|server| {
            let server = if required { server.require_pushed_authorization_requests() } else { server };
            if public { server.public_client() } else { server }
        });
        let setup = match public {
            true => Setup::new(&server, ClientAuth::none()),
            false => Setup::confidential(&server),
        };
        let setup = if pushed { setup } else { setup.without("pushed_authorization_request_endpoint") };
        // As in atproto.
        always(&server, Endpoint::Token, member("sub", "\"did:plc:alice\""));
        let tokens = setup.sign_in().unwrap();
        assert_eq!(tokens.jkt(), Some(setup.prover.thumbprint()));
        assert_eq!(tokens.member("sub").unwrap(), "did:plc:alice");
        let pushes = server.received_at(Endpoint::PushedAuthorization);
        assert_eq!(!pushes.is_empty(), pushed, "{public} {required}");
        let of_browser = &server.received_at(Endpoint::Authorization)[0];
        let jkt = setup.prover.thumbprint().to_string();
        match pushes.last() {
            // RFC 9126 §4: the parameters are not in the browser's URL.
            Some(push) => {
                assert!(push.proof().is_some(), "RFC 9449 §10.1");
                let form: Vec<_> = form_urlencoded::parse(&push.body).into_owned().collect();
                assert_eq!(values(&form, "dpop_jkt"), [&*jkt]);
                assert_eq!(values(&form, "client_id").len(), 1);
                assert_eq!(values(&form, "login_hint"), ["alice@example.com"]);
                assert_eq!(of_browser.query_field("login_hint"), None);
                assert_eq!(of_browser.query_field("client_id").as_deref(), Some(server.client_id()));
            }
            None => assert_eq!(of_browser.query_field("dpop_jkt").as_deref(), Some(&*jkt)),
        }
        nothing_twice(&server);
        let refreshed = {
            let (metadata, client, auth) = (&setup.metadata, &setup.client, &setup.auth);
            let token = tokens.refresh_token().unwrap();
            let options = setup.options();
            let response =
                refresh_token_grant_request(metadata, client, auth, token, Parameters::new(), &options)
                    .unwrap();
            process_refresh_token_response(metadata, client, response).unwrap()
        };
        assert_eq!(refreshed.jkt(), Some(setup.prover.thumbprint()));
        assert_ne!(refreshed.refresh_token(), tokens.refresh_token());
    }
}

/// RFC 9126 §2.1 and RFC 6749 §2.3.1: every method sends `client_id`, and none sends it twice.
#[test]
fn every_authentication_method_pushes_with_one_client_identifier() {
    let server = with(|server| server.client_public_key(key(Algorithm::Es256).public_key().clone()));
    for auth in [
        ClientAuth::none(),
        ClientAuth::client_secret_basic("s"),
        ClientAuth::client_secret_post("s"),
        ClientAuth::client_secret_jwt("0123456789abcdef0123456789abcdef", HmacAlgorithm::Hs256),
        ClientAuth::private_key_jwt(key(Algorithm::Es256)),
        ClientAuth::client_assertion(|_| Ok("a".to_owned())),
    ] {
        let setup = Setup::new(&server, auth);
        let all =
            ["none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"];
        let metadata = setup.metadata.to_builder().token_endpoint_auth_methods_supported(all);
        let setup = Setup { metadata: metadata.build().unwrap(), ..setup };
        server.clear_received();
        drop(setup.start());
        let pushed = &server.received_at(Endpoint::PushedAuthorization)[0];
        let form: Vec<_> = form_urlencoded::parse(&pushed.body).into_owned().collect();
        assert_eq!(values(&form, "client_id"), [server.client_id()], "{:?}", setup.auth);
    }
}

#[test]
fn a_server_that_requires_pushed_requests_gets_nothing_else() {
    let server = with(|server| server.require_pushed_authorization_requests());
    let setup = Setup::confidential(&server).without("pushed_authorization_request_endpoint");
    let error = setup.start().unwrap_err();
    assert!(*error.kind() == ErrorKind::Metadata && error.to_string().contains("RFC 9126"), "{error}");
    assert!(server.received_at(Endpoint::Authorization).is_empty());
}

/// RFC 9449 §10.1: a server may insist on the proof; §8: and on a nonce in it.
#[test]
fn a_pushed_request_is_retried_for_a_nonce_and_refusals_are_errors() {
    let server = with(|server| server);
    always(&server, Endpoint::PushedAuthorization, Quirk::RequireProof);
    let setup = Setup::confidential(&server);
    assert!(setup.sign_in().is_ok());
    let pushes = server.received_at(Endpoint::PushedAuthorization);
    assert_eq!(pushes.len(), 2, "one challenge");
    server.behave();
    once(&server, Endpoint::PushedAuthorization, Quirk::OAuthError("invalid_scope".to_owned()));
    assert_eq!(code(&setup.start().unwrap_err()), Some("invalid_scope"));
    for body in ["{}", r#"{"request_uri":7}"#, r#"{"request_uri":""}"#, r#"{"request_uri":"a b"}"#, "[]"] {
        once(&server, Endpoint::PushedAuthorization, respond(201, &[JSON], body));
        let error = setup.start().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content { status: 201 }), "{body} {error}");
    }
    // It is not sent again without a response.
    server.clear_received();
    once(&server, Endpoint::PushedAuthorization, Quirk::CloseWithoutResponse);
    assert_eq!(*setup.start().unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(server.received_at(Endpoint::PushedAuthorization).len(), 1);
}

/// RFC 6749 §4.1.2, §10.5: a code that is sent twice costs the tokens, so a lost response is not followed by
/// a second request.
#[test]
fn a_code_is_sent_once_even_if_the_response_is_lost() {
    let server = with(|server| server.nonces(Nonces::Off));
    let setup = Setup::confidential(&server);
    let received = setup.code().unwrap();
    once(&server, Endpoint::Token, Quirk::LoseTokenResponse);
    assert_eq!(*setup.tokens(received).unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(server.received_at(Endpoint::Token).len(), 1);
}

/// RFC 9449 §10: the code is worth nothing to somebody with another key, here and at the server.
#[test]
fn a_code_is_used_with_the_key_and_the_server_and_the_client_of_its_request() {
    let server = with(|server| server);
    let setup = Setup::confidential(&server);
    let thief = Setup::confidential(&server);
    let error = thief.tokens(setup.code().unwrap()).unwrap_err();
    assert!(*error.kind() == ErrorKind::Parameter && error.to_string().contains("dpop_jkt"), "{error}");
    // A thief who has another client library.
    let (url, pending) = setup.start().unwrap();
    let callback = server.authorize(&url).unwrap();
    let stolen = form_urlencoded::parse(callback.split_once('?').unwrap().1.as_bytes())
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let verifier = serde_json::from_str::<serde_json::Value>(&pending.to_json()).unwrap();
    let stolen = AuthorizationCode::new(stolen)
        .redirect_uri(CALLBACK)
        .code_verifier(verifier["code_verifier"].as_str().unwrap());
    let error = thief.tokens(stolen).unwrap_err();
    assert!(matches!(code(&error), Some("invalid_grant" | "invalid_dpop_proof")), "{error}");
    let other = with(|server| server);
    let error = Setup { prover: setup.prover.clone(), ..Setup::confidential(&other) }
        .tokens(setup.code().unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("another authorization server"), "{error}");
    let code = setup.code().unwrap();
    let other = Setup { client: Client::new("other").unwrap(), ..setup };
    assert!(other.tokens(code).unwrap_err().to_string().contains("another client"));
    assert!(server.received_at(Endpoint::Token).iter().all(|received| {
        let form: Vec<_> = form_urlencoded::parse(&received.body).into_owned().collect();
        values(&form, "code_verifier").len() == 1
    }));
}

/// The response of a sign-in goes into a session.
#[test]
fn the_tokens_of_a_sign_in_become_a_session() {
    let server = with(|server| server);
    let setup = Setup::confidential(&server);
    let session = Session::builder(server.issuer(), server.client_id())
        .auth(setup.auth.clone())
        .prover(&setup.prover)
        .grant(Grant::tokens(setup.sign_in().unwrap()))
        .server(setup.metadata.clone())
        .unwrap();
    assert_eq!(session.get(&server.resource("/orders")).unwrap().status(), 200);
}
