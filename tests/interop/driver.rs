//! Calls the functions of the crate that the interop checks name: reads one JSON object a line, such as
//! `{"call": "refresh", "refresh_token": "…", "key": "a"}`, and writes its outcome as one line of JSON. For
//! the checks only: its standard output contains tokens.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io::Write;

use http::Method;
use possession::{
    Algorithm, AuthorizationCode, AuthorizationRequest, AuthorizationServer, Client, ClientAuth,
    ClientMetadata, DeviceAuthorization, Discovery, Error, Grant, KeyPair, Parameters, PendingAuthorization,
    ProtectedResourceDiscovery, Prover, RequestBody, RequestOptions, ResourceRequest, Session, SystemClock,
    TokenResponse, Transport,
};
use serde_json::{Map, Value, json};

type AnyError = Box<dyn StdError>;
type Outcome = Result<Value, AnyError>;

fn main() -> Result<(), AnyError> {
    let mut lines = std::io::stdin().lines();
    let settings = lines.next().ok_or("the first line must have the settings")??;
    let mut driver = match Driver::new(&Command::parse(&settings)?) {
        Ok(driver) => driver,
        Err(error) => return write(&failure(&*error)),
    };
    write(&json!({}))?;
    for line in lines {
        let outcome = Command::parse(&line?).and_then(|command| driver.run(&command));
        write(&outcome.unwrap_or_else(|error| failure(&*error)))?;
    }
    Ok(())
}

fn write(outcome: &Value) -> Result<(), AnyError> {
    Ok(writeln!(std::io::stdout(), "{outcome}")?)
}

fn failure(error: &(dyn StdError + 'static)) -> Value {
    let error_of_crate = error.downcast_ref::<Error>();
    let kind = error_of_crate.map(|error| format!("{:?}", error.kind()));
    let kind = kind.map(|kind| kind.split([' ', '(']).next().unwrap_or_default().to_owned());
    let oauth = error_of_crate.and_then(Error::oauth).map(|oauth| oauth.error().to_owned());
    let status = error_of_crate.and_then(Error::status);
    json!({ "failed": error.to_string(), "kind": kind, "error": oauth, "status": status })
}

/// One line of the input.
struct Command(Map<String, Value>);

impl Command {
    fn parse(line: &str) -> Result<Self, AnyError> {
        Ok(Self(serde_json::from_str(line)?))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, AnyError> {
        self.text(name).ok_or_else(|| format!("`{name}` is missing").into())
    }

    /// Returns the parameters of a request: `{"parameters": {"scope": "read"}}`.
    fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let members = self.0.get("parameters").and_then(Value::as_object).into_iter().flatten();
        members.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }
}

/// One client of one authorization server.
struct Driver {
    http: Transport,
    server: AuthorizationServer,
    client: Client,
    auth: ClientAuth,
    provers: HashMap<String, Prover>,
    prove_revocation: bool,
    device: Option<DeviceAuthorization>,
    tokens: Option<TokenResponse>,
}

impl Driver {
    fn new(settings: &Command) -> Result<Self, AnyError> {
        let mut http = Transport::builder();
        if let Some(ca) = settings.text("ca") {
            http = http.root_certificates_pem(ca.as_bytes())?;
        }
        let http = http.build();
        let server = Discovery::dangerous_allow_http_on_loopback(settings.required("issuer")?)?.run(&http)?;
        let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
        let other = prover.with_key(KeyPair::generate(Algorithm::Es256)?)?;
        let provers = [("a".to_owned(), prover), ("b".to_owned(), other)].into();
        let client = Client::new(settings.text("client_id").unwrap_or("none yet"))?;
        let auth = client_auth(settings)?;
        let prove_revocation = settings.0.get("prove_revocation") == Some(&Value::Bool(true));
        Ok(Self { http, server, client, auth, provers, prove_revocation, device: None, tokens: None })
    }

    fn run(&mut self, command: &Command) -> Outcome {
        let prover = command.text("key").map(|name| self.provers.get(name).ok_or("there is no such key"));
        let prover = prover.transpose()?.cloned();
        let mut options = RequestOptions::new().http(&self.http);
        if self.prove_revocation {
            options = options.prove_revocation();
        }
        if let Some(prover) = &prover {
            options = options.prover(prover);
        }
        let (server, client, auth) = (&self.server, &self.client, &self.auth);
        let mut parameters = Parameters::new();
        for (name, value) in command.parameters() {
            parameters = parameters.parameter(name, value);
        }
        let tokens = match command.required("call")? {
            "thumbprint" => {
                return Ok(json!(prover.ok_or("`key` is missing")?.thumbprint().to_string()));
            }
            "resource_metadata" => {
                let resource = command.required("resource")?;
                let found = ProtectedResourceDiscovery::dangerous_allow_http_on_loopback(resource)?
                    .run(&self.http)?;
                let issuer = found.authorization_server_among([server.issuer()])?;
                return Ok(json!({ "resource": found.resource(), "authorization_server": issuer }));
            }
            "register" => return self.register(command),
            "authorize" => {
                let mut request = AuthorizationRequest::new(command.required("redirect_uri")?);
                for (name, value) in command.parameters() {
                    request = request.parameter(name, value);
                }
                let (url, pending) = match command.text("by") {
                    None => possession::authorization_request(server, client, auth, request, &options)?,
                    Some("front_channel") => request.front_channel(server, client, &options)?,
                    Some(other) => return Err(format!("`by` is {other}").into()),
                };
                return Ok(json!({ "url": url, "pending": pending.to_json().as_str() }));
            }
            "callback" => {
                let pending = PendingAuthorization::from_json(command.required("pending")?)?;
                let code = pending.receive(command.required("url")?)?;
                let response = possession::authorization_code_grant_request(
                    server, client, auth, code, parameters, &options,
                )?;
                possession::process_authorization_code_response(server, client, response)?
            }
            // The code and what belongs to it, without what the crate knows of its key.
            "code" => {
                let code = AuthorizationCode::new(command.required("code")?)
                    .redirect_uri(command.required("redirect_uri")?)
                    .code_verifier(command.required("code_verifier")?);
                let response = possession::authorization_code_grant_request(
                    server, client, auth, code, parameters, &options,
                )?;
                possession::process_authorization_code_response(server, client, response)?
            }
            "refresh" => {
                let token = command.required("refresh_token")?;
                let response = possession::refresh_token_grant_request(
                    server, client, auth, token, parameters, &options,
                )?;
                possession::process_refresh_token_response(server, client, response)?
            }
            "device" => {
                let response =
                    possession::device_authorization_request(server, client, auth, parameters, &options)?;
                let device = possession::process_device_authorization_response(server, client, response)?;
                let shown = json!({
                    "user_code": device.user_code(),
                    "verification_uri": device.verification_uri(),
                    "verification_uri_complete": device.verification_uri_complete(),
                    "expires_in": device.expires_in().as_secs(),
                });
                self.device = Some(device);
                return Ok(shown);
            }
            "device_code" => {
                let device = self.device.as_ref().ok_or("there is no device authorization")?;
                let response = possession::device_code_grant_request(
                    server, client, auth, device, parameters, &options,
                )?;
                possession::process_device_code_response(server, client, response)?
            }
            "poll" => {
                let device = self.device.as_ref().ok_or("there is no device authorization")?;
                let clock = SystemClock::new();
                possession::poll_device_code(server, client, auth, device, parameters, &options, &clock)?
            }
            "grant" => {
                let grant_type = command.required("grant_type")?;
                let response = possession::token_endpoint_request(
                    server, client, auth, grant_type, parameters, &options,
                )?;
                possession::process_token_endpoint_response(server, client, response)?
            }
            "revoke" => {
                let token = command.required("token")?;
                let response =
                    possession::revocation_request(server, client, auth, token, parameters, &options)?;
                possession::process_revocation_response(server, client, response)?;
                return Ok(json!({}));
            }
            "introspect" => {
                let token = command.required("token")?;
                let response =
                    possession::introspection_request(server, client, auth, token, parameters, &options)?;
                let found = possession::process_introspection_response(server, client, response)?;
                let [client_id, scope, cnf] = ["client_id", "scope", "cnf"].map(|name| found.member(name));
                return Ok(json!({
                    "active": found.active(), "client_id": client_id, "scope": scope, "cnf": cnf,
                }));
            }
            "resource" => {
                let prover = prover.as_ref().ok_or("`key` is missing")?;
                let (token, url) = (command.required("token")?, command.required("url")?);
                let mut request = ResourceRequest::new(server, prover, token, &Method::GET, url)?;
                let response = request.run(&http::Request::new(RequestBody::default()), &self.http)?;
                return Ok(json!({ "status": response.status().as_u16() }));
            }
            "session" => return self.session(command, prover.as_ref().ok_or("`key` is missing")?),
            other => return Err(format!("there is no call {other}").into()),
        };
        let shown = json!({
            "access_token": tokens.access_token(),
            "refresh_token": tokens.refresh_token(),
            "id_token": tokens.unverified_id_token(),
            "token_type": tokens.token_type().to_string(),
            "scope": tokens.scope(),
            "sub": tokens.member("sub"),
            "jkt": tokens.jkt().map(|jkt| jkt.to_string()),
            "requests": tokens.requests(),
        });
        self.tokens = Some(tokens);
        Ok(shown)
    }

    /// Registers the client and uses what the server assigned from then on.
    fn register(&mut self, command: &Command) -> Outcome {
        let mut metadata = ClientMetadata::new();
        for (name, value) in command.0.get("metadata").and_then(Value::as_object).into_iter().flatten() {
            metadata = metadata.member(name, value.clone());
        }
        let options = RequestOptions::new().http(&self.http);
        let response = possession::registration_request(&self.server, &metadata, &options)?;
        let registered = possession::process_registration_response(&self.server, response)?;
        self.client = registered.client().clone();
        self.auth = match registered.client_secret() {
            Some(secret) => ClientAuth::client_secret_basic(secret),
            None => ClientAuth::none(),
        };
        let bound = registered.member("dpop_bound_access_tokens");
        Ok(
            json!({ "client_id": self.client.client_id(), "secret": registered.client_secret(), "bound": bound }),
        )
    }

    /// Makes a session of the last tokens, replaces its access token before all calls but the first, and ends
    /// it.
    fn session(&mut self, command: &Command, prover: &Prover) -> Outcome {
        let tokens = self.tokens.take().ok_or("there are no tokens")?;
        let mut session = Session::builder(self.server.issuer(), self.client.client_id())
            .auth(self.auth.clone())
            .grant(Grant::tokens(tokens))
            .prover(prover)
            .transport(self.http.clone());
        for (name, value) in command.parameters() {
            session = session.parameter(name, value);
        }
        if self.prove_revocation {
            session = session.prove_revocation();
        }
        let session = session.server(self.server.clone())?;
        let mut calls = Vec::new();
        for _ in 0..command.0.get("calls").and_then(Value::as_u64).unwrap_or(1) {
            if !calls.is_empty() {
                session.discard_token();
            }
            let status = session.get(command.required("url")?)?.status().as_u16();
            calls.push(json!({ "status": status, "access_token": session.access_token()?.access_token() }));
        }
        session.end()?;
        let after = session.get(command.required("url")?).map_or_else(|error| failure(&error), |_| json!({}));
        Ok(json!({ "calls": calls, "renewals": session.stats().renewals, "after": after }))
    }
}

fn client_auth(settings: &Command) -> Result<ClientAuth, AnyError> {
    Ok(match settings.text("method") {
        None | Some("none") => ClientAuth::none(),
        Some("client_secret_basic") => ClientAuth::client_secret_basic(settings.required("client_secret")?),
        Some("client_secret_post") => ClientAuth::client_secret_post(settings.required("client_secret")?),
        Some("private_key_jwt") => {
            let jwk = settings.0.get("jwk").ok_or("`jwk` is missing")?.to_string();
            ClientAuth::private_key_jwt(KeyPair::from_jwk(&jwk)?)
        }
        Some(other) => return Err(format!("`method` is {other}").into()),
    })
}
