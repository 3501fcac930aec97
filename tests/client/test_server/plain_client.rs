//! A client that sends plain requests to the test server, so that the tests of its endpoints need no other
//! client function of the crate than proofs.

use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{Method, Response};
use possession::testing::{ManualClock, TestServer};
use possession::{Algorithm, Clock, KeyPair, Proof, Signer};
use serde_json::Value;

/// The code verifier of RFC 7636 Appendix B and its challenge.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const CALLBACK: &str = "http://127.0.0.1:8080/callback";

/// A key and what identifies the client. The requests of one client can have different keys.
pub struct PlainClient<'a> {
    pub server: &'a TestServer,
    pub key: KeyPair,
    /// The identifier alone, or with the secret in the body.
    pub credentials: Vec<(&'static str, String)>,
    /// The clock of its proofs, where it is not that of the machine.
    pub clock: Option<ManualClock>,
}

/// A response, as far as the tests look at it.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub nonce: Option<String>,
    pub body: String,
}

impl<'a> PlainClient<'a> {
    pub fn confidential(server: &'a TestServer) -> Self {
        let secret = ("client_secret", server.client_secret().to_owned());
        let public = Self::public(server);
        Self { credentials: [public.credentials.clone(), vec![secret]].concat(), ..public }
    }

    pub fn public(server: &'a TestServer) -> Self {
        let credentials = vec![("client_id", server.client_id().to_owned())];
        Self { server, key: KeyPair::generate(Algorithm::Es256).unwrap(), credentials, clock: None }
    }

    /// The same client with another key.
    pub fn with_other_key(&self) -> Self {
        let key = KeyPair::generate(Algorithm::Es256).unwrap();
        Self { server: self.server, key, credentials: self.credentials.clone(), clock: self.clock.clone() }
    }

    pub fn with_clock(self, clock: &ManualClock) -> Self {
        Self { clock: Some(clock.clone()), ..self }
    }

    fn now(&self) -> SystemTime {
        self.clock.as_ref().map_or_else(SystemTime::now, Clock::now)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.issuer())
    }

    /// A POST without a proof.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.post_with(path, fields, &[])
    }

    /// A POST with a proof, which is sent again with the nonce that the server asks for.
    pub fn prove(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = self.post_with(path, fields, &[self.proof(path, None)]);
        match (reply.error().as_deref(), &reply.nonce) {
            (Some("use_dpop_nonce"), Some(nonce)) => {
                self.post_with(path, fields, &[self.proof(path, Some(nonce))])
            }
            _ => reply,
        }
    }

    pub fn proof(&self, path: &str, nonce: Option<&str>) -> String {
        let mut proof = Proof::new(&Method::POST, &self.url(path)).unwrap();
        if let Some(nonce) = nonce {
            proof = proof.nonce(nonce.to_owned());
        }
        proof.sign(&self.key, self.now()).unwrap()
    }

    pub fn post_with(&self, path: &str, fields: &[(&str, &str)], proofs: &[String]) -> Reply {
        let mut request = agent().post(self.url(path));
        for proof in proofs {
            request = request.header("dpop", proof);
        }
        let form = [self.credentials(), fields.to_vec()].concat();
        Reply::new(request.send_form(form).unwrap())
    }

    pub fn credentials(&self) -> Vec<(&str, &str)> {
        self.credentials.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// The parameters of a valid authorization request, with those that are to be set or, without a value,
    /// left out.
    pub fn authorization_parameters(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let client_id = self.server.client_id();
        let usual = [
            ("client_id", client_id),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("state", "xyz"),
            ("scope", "read write"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let kept = usual.into_iter().filter(|(name, _)| !is_changed(name));
        let set = changes.iter().copied().filter(|(_, value)| !value.is_empty());
        kept.chain(set).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The parameters of the callback to an authorization request in the browser.
    pub fn authorize(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let callback = self.server.authorize(&self.authorization_url(changes)).unwrap();
        parameters(&callback)
    }

    pub fn authorization_url(&self, changes: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.authorization_parameters(changes));
        format!("{}?{}", self.url("/authorize"), query.finish())
    }

    pub fn code(&self, changes: &[(&str, &str)]) -> String {
        value(&self.authorize(changes), "code").unwrap()
    }

    pub fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Reply {
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let kept = usual.into_iter().filter(|(name, _)| !is_changed(name));
        let fields: Vec<_> = kept.chain(changes.iter().copied()).collect();
        self.prove("/token", &fields)
    }

    /// The tokens of a login.
    pub fn log_in(&self) -> Reply {
        self.exchange(&self.code(&[]), &[])
    }

    pub fn refresh(&self, refresh_token: &str, more: &[(&str, &str)]) -> Reply {
        let fields = [&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)], more].concat();
        self.prove("/token", &fields)
    }

    /// The status of a request for a resource.
    pub fn get(&self, access_token: &str) -> u16 {
        let url = self.server.resource("/orders");
        let get = |nonce: Option<String>| {
            let mut proof = Proof::new(&Method::GET, &url).unwrap().access_token(access_token);
            if let Some(nonce) = nonce {
                proof = proof.nonce(nonce);
            }
            let request = agent().get(&url).header("authorization", format!("DPoP {access_token}"));
            let proof = proof.sign(&self.key, self.now()).unwrap();
            Reply::new(request.header("dpop", proof).call().unwrap())
        };
        let reply = get(None);
        // A refused token comes without a nonce.
        match (reply.status, reply.nonce) {
            (401, Some(nonce)) => get(Some(nonce)).status,
            (status, _) => status,
        }
    }

    /// The claims of an active token.
    pub fn introspect(&self, token: &str) -> Value {
        let reply = self.post("/introspect", &[("token", token)]);
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    }

    pub fn jkt(&self) -> String {
        self.key.public_key().thumbprint().to_string()
    }
}

impl Reply {
    pub fn new(mut response: Response<ureq::Body>) -> Self {
        let nonce = response.headers().get("dpop-nonce").map(|nonce| nonce.to_str().unwrap().to_owned());
        let body = response.body_mut().read_to_string().unwrap();
        Self { status: response.status().as_u16(), nonce, body }
    }

    /// A member of the JSON object.
    pub fn member(&self, name: &str) -> Value {
        serde_json::from_str::<Value>(&self.body).map_or(Value::Null, |body| body[name].clone())
    }

    pub fn text(&self, name: &str) -> String {
        self.member(name).as_str().unwrap_or_else(|| panic!("{name} in {self:?}")).to_owned()
    }

    pub fn error(&self) -> Option<String> {
        self.member("error").as_str().map(str::to_owned)
    }

    /// Status and error code.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.text("error"))
    }
}

pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
    config.build().new_agent()
}

/// A JWT with these claims, signed by a key for ES256.
pub fn jwt(key: &KeyPair, header: &str, claims: &Value) -> String {
    let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let signed = format!("{}.{}", encode(header), encode(&claims.to_string()));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
}

/// The status and the error code of RFC 6749 §5.2.
pub fn refused(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

/// The parameters in the query of a URL.
pub fn parameters(url: &str) -> Vec<(String, String)> {
    let (_, query) = url.split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub fn pairs(parameters: &[(String, String)]) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

pub fn value(parameters: &[(String, String)], name: &str) -> Option<String> {
    parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}
