//! Checks the cases about signing a user in.

use std::error::Error as StdError;
use std::time::SystemTime;

use possession::{
    Algorithm, AuthorizationCode, AuthorizationRequest, AuthorizationServer, Client, ClientAuth,
    CodeVerifier, Error, ErrorKind, Parameters, PendingAuthorization, Prover, PublicKey, RequestOptions,
    Signer, TokenRequest,
};
use serde_json::{Map, Value, json};

use super::{Case, Outcome, json, same, text};

const REDIRECT_URI: &str = "https://client.example/cb";
const CLIENT_ID: &str = "client";

pub fn pkce(case: &Case) -> Outcome {
    match (
        case.get("expect").and_then(|expect| expect.as_str()),
        CodeVerifier::new(text(case, "code_verifier")?),
    ) {
        (None, Ok(verifier)) => same("code_challenge", text(case, "code_challenge")?, &verifier.challenge()),
        (None, Err(error)) => Err(error.to_string()),
        (Some("invalid"), Ok(_)) => Err("expected invalid, but it is valid".to_owned()),
        _ => Ok(()),
    }
}

pub fn dpop_jkt(case: &Case) -> Outcome {
    let key = PublicKeyOnly::new(&json(case, "jwk")?).map_err(|error| error.to_string())?;
    let prover = Prover::new(key).map_err(|error| error.to_string())?;
    let options = RequestOptions::new().prover(&prover);
    let dpop_jkt = text(case, "dpop_jkt")?;
    match (text(case, "expect")?, exchange_bound_code(dpop_jkt, &options)) {
        ("accept", Ok(())) => same("dpop_jkt", dpop_jkt, &own_dpop_jkt(&options)?),
        ("accept", Err(error)) => Err(format!("expected accept, but it was refused: {error}")),
        ("reject", Ok(())) => Err("expected reject, but it was accepted".to_owned()),
        _ => Ok(()),
    }
}

/// Makes a token request for a code that is bound by `dpop_jkt`.
fn exchange_bound_code(dpop_jkt: &str, options: &RequestOptions<'_>) -> Result<(), Error> {
    let state = "an-authorization-request";
    let pending = pending("https://as.example", false, state, Some(dpop_jkt))?;
    let code = pending.receive_query(&format!("code=x&state={state}"))?;
    with_token_request("https://as.example", code, options, |_| Ok(()))
}

/// Returns the `dpop_jkt` of an authorization request.
fn own_dpop_jkt(options: &RequestOptions<'_>) -> Result<String, String> {
    let url = || -> Result<String, Error> {
        let server = AuthorizationServer::builder("https://as.example")
            .member("authorization_endpoint", "https://as.example/authorize")
            .build()?;
        let request = AuthorizationRequest::new(REDIRECT_URI);
        request.front_channel(&server, &Client::new(CLIENT_ID)?, options).map(|(url, _)| url)
    };
    let url = url().map_err(|error| error.to_string())?;
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let value = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "dpop_jkt");
    value.map(|(_, value)| value.into_owned()).ok_or_else(|| "the request has no `dpop_jkt`".to_owned())
}

pub fn authorization_response(case: &Case) -> Outcome {
    let (issuer, state, query) = (text(case, "issuer")?, text(case, "state")?, text(case, "query")?);
    let iss_supported = case.get("iss_supported").and_then(|value| value.as_bool()).unwrap_or_default();
    let seen = pending(issuer, iss_supported, state, None).and_then(|pending| pending.receive_query(query));
    match (text(case, "expect")?, seen) {
        ("code", Ok(code)) => {
            let seen = code_of(issuer, code).map_err(|error| error.to_string())?;
            same("code", text(case, "code")?, &seen)
        }
        ("error", Err(error)) => match error.oauth() {
            Some(oauth) => same("error", text(case, "error")?, oauth.error()),
            None => Err(format!("expected an OAuth error, but got: {error}")),
        },
        ("reject", Err(error)) if *error.kind() == ErrorKind::AuthorizationResponse => {
            let reason = text(case, "reason")?;
            let named = match reason {
                "state" => "`state`",
                "iss" => "`iss`",
                "repeated" => "more than once",
                _ => return Ok(()),
            };
            match error.to_string().contains(named) {
                true => Ok(()),
                false => Err(format!("expected the reason `{reason}`, but it was refused with: {error}")),
            }
        }
        ("policy", _) => Ok(()),
        (expected, Ok(_)) => Err(format!("expected {expected}, but got a code")),
        (expected, Err(error)) => Err(format!("expected {expected}, but got: {error}")),
    }
}

/// An authorization request that waits for its response.
fn pending(
    issuer: &str,
    iss_supported: bool,
    state: &str,
    dpop_jkt: Option<&str>,
) -> Result<PendingAuthorization, Error> {
    let mut stored = json!({
        "version": 1, "issuer": issuer, "client_id": CLIENT_ID, "redirect_uri": REDIRECT_URI,
        "state": state, "iss_required": iss_supported,
        "code_verifier": CodeVerifier::generate()?.as_str(),
    });
    if let (Some(dpop_jkt), Some(members)) = (dpop_jkt, stored.as_object_mut()) {
        members.insert("dpop_jkt".to_owned(), dpop_jkt.into());
    }
    PendingAuthorization::from_json(&stored.to_string())
}

/// Returns the code as a token request sends it.
fn code_of(issuer: &str, code: AuthorizationCode) -> Result<String, Error> {
    with_token_request(issuer, code, &RequestOptions::new(), |mut request| {
        let request = request.request(SystemTime::now())?;
        let value = form_urlencoded::parse(request.body()).find(|(name, _)| name == "code");
        Ok(value.map(|(_, value)| value.into_owned()).unwrap_or_default())
    })
}

fn with_token_request<T>(
    issuer: &str,
    code: AuthorizationCode,
    options: &RequestOptions<'_>,
    use_it: impl FnOnce(TokenRequest<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let server = AuthorizationServer::builder(issuer).token_endpoint("https://as.example/token").build()?;
    let (client, auth) = (Client::new(CLIENT_ID)?, ClientAuth::none());
    use_it(TokenRequest::authorization_code(&server, &client, &auth, code, Parameters::new(), options)?)
}

/// A key whose private half is not there: nothing is signed before a request is sent.
struct PublicKeyOnly {
    key: PublicKey,
    algorithm: Algorithm,
}

impl PublicKeyOnly {
    fn new(jwk: &str) -> Result<Self, Error> {
        let members: Map<String, Value> = serde_json::from_str(jwk).unwrap_or_default();
        let member = |name: &str| members.get(name).and_then(Value::as_str);
        let algorithm = match (member("kty"), member("crv")) {
            (Some("RSA"), _) => Algorithm::Rs256,
            (_, Some("P-384")) => Algorithm::Es384,
            (_, Some("Ed25519")) => Algorithm::Ed25519,
            _ => Algorithm::Es256,
        };
        Ok(Self { key: PublicKey::from_jwk(jwk)?, algorithm })
    }
}

impl Signer for PublicKeyOnly {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        Err("there is no private key".into())
    }
}
