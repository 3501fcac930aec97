//! A user who has signed in.

use possession::testing::{ManualClock, Received, TestServer};
use possession::*;

use crate::common::server::token_requests;
use crate::support::{LONG, key};

/// RFC 7636 Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "http://127.0.0.1:8080/callback";

/// A user who has signed in with a client of that server.
pub struct SignedIn {
    pub metadata: AuthorizationServer,
    pub client: Client,
    pub auth: ClientAuth,
    pub prover: Prover,
    pub tokens: TokenResponse,
    pub clock: ManualClock,
}

fn parameters_of(url: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(url.split_once('?').unwrap().1.as_bytes()).into_owned().collect()
}

pub fn sign_in(server: &TestServer, clock: &ManualClock, auth: ClientAuth) -> SignedIn {
    let http = Transport::builder().timeout(LONG).build();
    let discovery = Discovery::dangerous_allow_http_on_loopback(server.issuer()).unwrap();
    let metadata = discovery.run(&http).unwrap();
    let client = Client::new(server.client_id()).unwrap();
    let prover = Prover::new(key(Algorithm::Es256)).unwrap();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("client_id", server.client_id()),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "read write x"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("dpop_jkt", &prover.thumbprint().to_string()),
    ]);
    let url = format!("{}/authorize?{}", server.issuer(), query.finish());
    let callback = parameters_of(&server.authorize(&url).unwrap());
    let code = AuthorizationCode::new(&callback[0].1).redirect_uri(CALLBACK).code_verifier(VERIFIER);
    let options = RequestOptions::new().prover(&prover);
    // The time of the session, which need not be that of the machine.
    let mut request =
        TokenRequest::authorization_code(&metadata, &client, &auth, code, Parameters::new(), &options)
            .unwrap();
    let response = loop {
        let response = http.send(request.request(clock.now()).unwrap()).unwrap();
        match request.receive(response, clock.now()).unwrap() {
            Step::Retry => {}
            Step::Done(response) => break response,
        }
    };
    let tokens = process_authorization_code_response(&metadata, &client, response).unwrap();
    assert!(tokens.refresh_token().is_some());
    SignedIn { metadata, client, auth, prover, tokens, clock: clock.clone() }
}

pub fn secret(server: &TestServer) -> ClientAuth {
    ClientAuth::client_secret_post(server.client_secret())
}

impl SignedIn {
    pub fn builder(&self, grant: Grant) -> SessionBuilder {
        Session::builder(self.metadata.issuer(), self.client.client_id())
            .auth(self.auth.clone())
            .prover(&self.prover)
            .grant(grant)
            .transport(Transport::builder().timeout(LONG).build())
            .clock(self.clock.clone())
    }

    pub fn session(self) -> Session {
        let builder = self.builder(Grant::client_credentials());
        builder.grant(Grant::tokens(self.tokens)).server(self.metadata).unwrap()
    }
}

/// The refresh tokens that were sent, in order.
pub fn refreshes(server: &TestServer) -> Vec<String> {
    let field = |received: &Received| {
        let form: Vec<(String, String)> = form_urlencoded::parse(&received.body).into_owned().collect();
        form.into_iter().find(|(name, _)| name == "refresh_token").map(|(_, value)| value)
    };
    let answered = |received: &&Received| received.status.is_none_or(|status| status != 400);
    token_requests(server).iter().filter(answered).filter_map(field).collect()
}
