//! The two parts: what they answer when nothing is wrong, and where quirks come in.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use http::request::Parts;
use http::{Method, StatusCode, Uri, header};
use serde_json::{Map, Value, json};
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::TestServerBuilder;
use super::nonces::{GivenNonces, Nonces};
use super::quirk::{ChallengeForm, Endpoint, Quirk, Quirks};
use super::received::{DecodedJwt, Log, Received};
use super::wire::{Answer, Close, Incoming, Payload, Silence};

use crate::client::clock_offset::ClockOffset;
use crate::crypto::{hmac, random};
use crate::dpop::server_role::ServerRole;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend;
use crate::jose::base64url::base64url;
use crate::jose::json::Json;
use crate::jose::jws::Jws;
use crate::jose::public_key::Thumbprint;
use crate::server::ResourceServer;
use crate::server::access_token::{AccessToken, TokenValidator};
use crate::server::reason::Reason;
use crate::server::received_request::ReceivedRequest;
use crate::server::rejection::{BearerChallenge, Refusal, Rejection};
use crate::server::replay::MemoryReplayStore;
use crate::server::token_error::TokenError;
use crate::server::verifier::Verifier;
use crate::sync;
use crate::time::unix_seconds;

const METADATA: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
const METHODS: [&str; 7] = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
];
/// Bodies up to this are made whole, so that every quirk can be had with them.
const SHORT: u64 = 1024 * 1024;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(super) struct Service {
    pub(super) setup: TestServerBuilder,
    pub(super) issuer: String,
    pub(super) resource_origin: String,
    pub(super) quirks: Quirks,
    pub(super) nonces: GivenNonces,
    /// Seconds that are added to the clock.
    pub(super) offset: AtomicI64,
    pub(super) log: Log,
    verifier: Verifier,
    tokens: Arc<Tokens>,
    revoked_keys: Mutex<HashSet<Thumbprint>>,
    assertions: Mutex<HashSet<String>>,
    proofs: AtomicU64,
}

/// The access tokens that were given.
#[derive(Default)]
struct Tokens(Mutex<HashMap<String, Given>>);

struct Given {
    claims: Map<String, Value>,
    end: Option<SystemTime>,
}

/// What came, and what is to be done about it.
struct Request<'a> {
    endpoint: Endpoint,
    part: ServerRole,
    /// Where it was sent to.
    origin: &'a str,
    parts: &'a Parts,
    proof: Option<DecodedJwt>,
    quirks: &'a [Quirk],
    now: SystemTime,
}

type Form = Vec<(String, String)>;

impl Service {
    pub(super) fn new(setup: TestServerBuilder, issuer: String, resource_origin: String) -> io::Result<Self> {
        let nonces = GivenNonces::new(setup.nonces);
        let algorithms = setup.dpop_algorithms.iter().filter_map(|name| Algorithm::from_name(name));
        let verifier =
            Verifier::new(MemoryReplayStore::new(1_000_000)).algorithms(algorithms).leeway(setup.leeway);
        let verifier = match setup.nonces {
            Nonces::Off => verifier,
            _ => verifier.require_nonces(nonces.clone()),
        };
        // Fails now rather than in a request.
        random::<1>().map_err(io::Error::other)?;
        Ok(Self {
            log: Log::new(setup.keep),
            setup,
            issuer,
            resource_origin,
            quirks: Quirks::default(),
            nonces,
            offset: AtomicI64::new(0),
            verifier,
            tokens: Arc::default(),
            revoked_keys: Mutex::default(),
            assertions: Mutex::default(),
            proofs: AtomicU64::new(0),
        })
    }

    pub(super) fn revoke_tokens(&self) {
        self.tokens.lock().clear();
    }

    pub(super) fn revoke_key(&self, jkt: &Thumbprint) {
        locked(&self.revoked_keys).insert(*jkt);
        let bound = json!({ "jkt": jkt.to_string() });
        self.tokens.lock().retain(|_, given| given.claims.get("cnf") != Some(&bound));
    }

    fn now(&self) -> SystemTime {
        ClockOffset(self.offset.load(Ordering::SeqCst)).apply(self.setup.clock.now())
    }

    /// One request, at the authorization server's origin or the resource's.
    pub(super) fn answer(
        &self,
        origin_is_issuer: bool,
        connection: usize,
        incoming: &mut Incoming<'_>,
    ) -> Answer {
        let origin = if origin_is_issuer { &self.issuer } else { &self.resource_origin };
        let parts = incoming.parts.clone();
        let alias = self.setup.mtls_alias && !origin_is_issuer;
        let (endpoint, part) = match parts.uri.path() {
            path if origin_is_issuer && METADATA.contains(&path) => {
                (Endpoint::Metadata, ServerRole::AuthorizationServer)
            }
            "/token" if origin_is_issuer || alias => (Endpoint::Token, ServerRole::AuthorizationServer),
            _ => (Endpoint::Resource, ServerRole::ResourceServer),
        };
        let quirks = self.quirks.at(endpoint);
        let now = self.now();
        let mut received = Received {
            endpoint,
            method: parts.method.clone(),
            target: incoming.target.clone(),
            origin: origin.clone(),
            headers: parts.headers.clone(),
            body: Vec::new(),
            connection,
            at: now,
            status: None,
        };
        let proof = received.proof();
        let nonce = proof.as_ref().and_then(|proof| proof.text("nonce")).map(str::to_owned);
        let request = Request { endpoint, part, origin, parts: &parts, proof, quirks: &quirks, now };
        let mut answer = match quirks.iter().find_map(Quirk::answer) {
            Some(answer) => {
                received.body = incoming.body().unwrap_or_default();
                answer
            }
            None => self.respond(&request, incoming, &mut received.body),
        };
        if incoming.is_broken() {
            answer.delivery.close = Some(Close::Instead);
        }
        if !answer.has("date")
            && let Some(date) = http_date(now)
        {
            answer = answer.header("date", date);
        }
        for quirk in &quirks {
            quirk.edit(&mut answer, nonce.as_deref());
            self.log.count(|counts| &mut counts.quirks);
        }
        let unanswered = answer.delivery.raw.is_some()
            || answer.delivery.silence == Some(Silence::FromTheStart)
            || answer.delivery.close == Some(Close::Instead);
        received.status = StatusCode::from_u16(answer.status).ok().filter(|_| !unanswered);
        self.log.add(received);
        answer
    }

    fn respond(&self, request: &Request<'_>, incoming: &mut Incoming<'_>, body: &mut Vec<u8>) -> Answer {
        match (request.endpoint, &request.parts.method) {
            (Endpoint::Metadata, &Method::GET) => Answer::json(200, self.metadata().to_string()),
            (Endpoint::Token, &Method::POST) => {
                *body = incoming.body().unwrap_or_default();
                self.token(request, body)
            }
            (Endpoint::Metadata | Endpoint::Token, _) => Answer::new(405),
            (Endpoint::Resource, _) => self.resource(request, incoming, body),
        }
    }

    /// RFC 8414 §2.
    fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        // What it checks: and of the key that the client has, whatever that signs by.
        let by_key = |algorithm: &Algorithm| {
            matches!(algorithm, Algorithm::Es256 | Algorithm::Ed25519)
                || self.setup.client_key.as_ref().is_some_and(|key| key.fits(*algorithm))
        };
        let asymmetric = Algorithm::ALL.into_iter().filter(|algorithm| backend::supports(*algorithm));
        let asymmetric = asymmetric.filter(by_key).flat_map(|algorithm| algorithm.names()).copied();
        let algorithms: Vec<_> = ["HS256", "HS384", "HS512"].into_iter().chain(asymmetric).collect();
        let mut metadata = json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": METHODS,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "dpop_signing_alg_values_supported": self.setup.dpop_algorithms,
        });
        if self.setup.mtls_alias
            && let Some(metadata) = metadata.as_object_mut()
        {
            let alias = json!({ "token_endpoint": format!("{}/token", self.resource_origin) });
            metadata.insert("mtls_endpoint_aliases".to_owned(), alias);
        }
        metadata
    }

    /// RFC 6749 §4.4 with RFC 9449 §5: who the client is first, then its proof.
    fn token(&self, request: &Request<'_>, body: &[u8]) -> Answer {
        let form: Form = form_urlencoded::parse(body).into_owned().collect();
        match self.authenticate(request, &form) {
            Ok(()) => {}
            Err("invalid_client") => {
                let challenge = "Basic realm=\"test server\"";
                return oauth_error(401, "invalid_client").header("www-authenticate", challenge);
            }
            Err(code) => return oauth_error(400, code),
        }
        let (jkt, next_nonce) = match self.check_proof(request) {
            Ok(checked) => checked,
            Err(rejection) => return self.refuse(request, &rejection),
        };
        if field(&form, "grant_type") != Some("client_credentials") {
            return oauth_error(400, "unsupported_grant_type");
        }
        let Some(token) = random::<24>().ok().map(|bytes| base64url(&bytes)) else {
            return oauth_error(500, "server_error");
        };
        let bearer = request.quirks.iter().any(|quirk| matches!(quirk, Quirk::Bearer));
        let mut claims = Map::new();
        claims.insert("client_id".to_owned(), self.setup.client_id.as_str().into());
        if let Some(scope) = field(&form, "scope") {
            claims.insert("scope".to_owned(), scope.into());
        }
        if !bearer {
            claims.insert("cnf".to_owned(), json!({ "jkt": jkt.to_string() }));
        }
        let lifetime = self.setup.token_lifetime.as_secs();
        let end = request.now.checked_add(Duration::from_secs(lifetime));
        self.tokens.lock().insert(token.clone(), Given { claims, end });
        self.log.count(|counts| &mut counts.tokens);

        let text = |value: &str| Value::from(value).to_string();
        let mut members = vec![
            ("access_token".to_owned(), text(&token)),
            ("token_type".to_owned(), text(if bearer { "Bearer" } else { "DPoP" })),
            ("expires_in".to_owned(), lifetime.to_string()),
        ];
        if let Some(scope) = field(&form, "scope") {
            members.push(("scope".to_owned(), text(scope)));
        }
        for quirk in request.quirks {
            match quirk {
                Quirk::Member { name, json } => match members.iter_mut().find(|(known, _)| known == name) {
                    Some((_, value)) => value.clone_from(json),
                    None => members.push((name.clone(), json.clone())),
                },
                Quirk::SecondMember { name, json } => members.push((name.clone(), json.clone())),
                Quirk::WithoutMember(name) => members.retain(|(known, _)| known != name),
                _ => {}
            }
        }
        let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", text(name))).collect();
        let answer = Answer::json(200, format!("{{{}}}", members.join(",")));
        let answer = answer.header("cache-control", "no-store").header("pragma", "no-cache");
        with_nonce(answer, next_nonce)
    }

    /// RFC 9449 §7: any path, once the credentials are good.
    fn resource(&self, request: &Request<'_>, incoming: &mut Incoming<'_>, body: &mut Vec<u8>) -> Answer {
        let caller = match self.check_call(request) {
            Ok(caller) => caller,
            Err(rejection) => {
                let waits = request.parts.headers.contains_key(header::EXPECT);
                if !waits {
                    *body = incoming.body().unwrap_or_default();
                }
                return self.refuse(request, &rejection);
            }
        };
        *body = incoming.body().unwrap_or_default();
        let answer = match request.parts.uri.path().strip_prefix("/bytes/").map(str::parse) {
            Some(Ok(length)) => {
                let mut answer = Answer::new(200).header("content-type", "application/octet-stream");
                answer.body = match usize::try_from(length) {
                    Ok(short) if length <= SHORT => Payload::Bytes(vec![b'x'; short]),
                    _ => Payload::Repeated(b'x', Some(length)),
                };
                answer
            }
            _ => {
                let echo = json!({
                    "method": request.parts.method.as_str(),
                    "target": incoming.target,
                    "bytes": body.len(),
                    "scope": caller.token().claim("scope"),
                    "jkt": caller.thumbprint().map(|jkt| jkt.to_string()),
                });
                Answer::json(200, echo.to_string())
            }
        };
        with_nonce(answer, caller.proof().and_then(|proof| proof.next_nonce()).map(str::to_owned))
    }

    /// What is refused beyond what RFC 9449 §4.3 demands, as some server does.
    fn check_strictly(&self, request: &Request<'_>) -> Result<(), Rejection> {
        let refuse = |reason| Err(self.rejection(reason, request));
        let nonce = || self.nonces.fresh(request.part, request.now).ok();
        let proof = request.proof.as_ref();
        for quirk in request.quirks {
            match quirk {
                Quirk::Challenge => {
                    let refusal = Refusal { reason: Reason::NoNonce, nonce: nonce() };
                    return Err(self.rejection(refusal, request));
                }
                Quirk::RefuseProofs => return refuse(Reason::Signature),
                Quirk::RefuseNonces if proof.is_some_and(|proof| proof.text("nonce").is_some()) => {
                    return refuse(Reason::Claim { claim: "nonce" });
                }
                Quirk::ProofsInAll(most) if self.proofs.fetch_add(1, Ordering::SeqCst) >= *most => {
                    return refuse(Reason::Replayed);
                }
                _ => {}
            }
        }
        let Some(proof) = proof else {
            return Ok(());
        };
        let alg = proof.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        if !self.setup.dpop_algorithms.iter().any(|known| known == alg) {
            return refuse(Reason::Algorithm { alg: crate::text::printable(alg, 40) });
        }
        let forbidden: &[&'static str] = match request.part {
            ServerRole::AuthorizationServer => &["ath", "iss", "exp"],
            ServerRole::ResourceServer => &["iss", "exp"],
        };
        if let Some(claim) = forbidden.iter().find(|claim| proof.claims.get(**claim).is_some()) {
            return refuse(Reason::Claim { claim });
        }
        let jwk = proof.header.get("jwk").and_then(Value::as_object).cloned().unwrap_or_default();
        if jwk.keys().any(|member| !["kty", "crv", "x", "y", "n", "e"].contains(&member.as_str())) {
            return refuse(Reason::Jwk { wrong: "it has more members than its key needs".to_owned() });
        }
        let jkt = Thumbprint::from_jwk(&Value::Object(jwk).to_string());
        if jkt.is_ok_and(|jkt| locked(&self.revoked_keys).contains(&jkt)) {
            return refuse(Reason::Jwk { wrong: "the key was revoked".to_owned() });
        }
        Ok(())
    }

    fn check_proof(&self, request: &Request<'_>) -> Result<(Thumbprint, Option<String>), Rejection> {
        self.check_strictly(request)?;
        let (origin, parts) = seen_as(request);
        let received = ReceivedRequest::from_parts(&origin, &parts)
            .map_err(|error| self.rejection(Reason::RequestUrl(error), request))?;
        let proof = self.verifier.verify_token_request(&received, request.now)?;
        Ok((proof.thumbprint(), proof.next_nonce().map(str::to_owned)))
    }

    fn check_call(&self, request: &Request<'_>) -> Result<crate::server::Authenticated, Rejection> {
        // Who brings no credentials is told which to bring, whatever else is wrong today.
        if request.parts.headers.contains_key(header::AUTHORIZATION) {
            self.check_strictly(request)?;
        }
        let (origin, parts) = seen_as(request);
        let server = ResourceServer::new(&origin, self.verifier.clone(), Arc::clone(&self.tokens));
        let server = server
            .map_err(|error| self.rejection(Reason::RequestUrl(error), request))?
            .accept_unbound_bearer();
        server.authenticate(&parts, request.now)
    }

    fn rejection(&self, refusal: impl Into<Refusal>, request: &Request<'_>) -> Rejection {
        Rejection::new(refusal, request.part, self.algs(), BearerChallenge::Absent)
    }

    fn algs(&self) -> String {
        self.setup.dpop_algorithms.join(" ")
    }

    /// The response of the crate's server half, unless a quirk shapes it.
    fn refuse(&self, request: &Request<'_>, rejection: &Rejection) -> Answer {
        if rejection.error() == Some("use_dpop_nonce") {
            self.log.count(|counts| &mut counts.challenges);
        }
        let (mut form, mut code, mut algs) = (None, None, None);
        for quirk in request.quirks {
            match quirk {
                Quirk::Form(shape) => form = Some(*shape),
                Quirk::ErrorCode(other) if rejection.error() == Some("invalid_dpop_proof") => {
                    code = Some(other.as_str());
                }
                Quirk::Algs(listed) => algs = Some(listed.as_str()),
                _ => {}
            }
        }
        let Some(own) = rejection.error().filter(|_| !rejection.is_server_fault()) else {
            return rejection.to_response().into();
        };
        let listed = self.algs();
        let (code, algs) = (code.unwrap_or(own), algs.unwrap_or(&listed));
        let form = form.unwrap_or(match request.part {
            ServerRole::AuthorizationServer => ChallengeForm::Json,
            // A challenge with the algorithms of this server.
            ServerRole::ResourceServer if matches!(own, "invalid_dpop_proof" | "use_dpop_nonce") => {
                ChallengeForm::Header
            }
            ServerRole::ResourceServer => return rejection.to_response().into(),
        });
        let answer = shaped(form, code, algs).header("cache-control", "no-store");
        with_nonce(answer, rejection.nonce().map(str::to_owned))
    }

    /// RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2.
    fn authenticate(&self, request: &Request<'_>, form: &Form) -> Result<(), &'static str> {
        let setup = &self.setup;
        let fields: Vec<_> = request.parts.headers.get_all(header::AUTHORIZATION).iter().collect();
        let used = [!fields.is_empty(), field(form, "client_secret").is_some()]
            .into_iter()
            .chain([field(form, "client_assertion").is_some()])
            .filter(|used| *used)
            .count();
        let named = field(form, "client_id");
        if used > 1 || fields.len() > 1 || named.is_some_and(|id| id != setup.client_id) {
            return Err("invalid_request");
        }
        let is_client = if let Some(basic) = fields.first() {
            let raw = request.quirks.iter().any(|quirk| matches!(quirk, Quirk::RawBasic));
            basic_credentials(basic.as_bytes(), raw)
                .is_some_and(|(id, secret)| id == setup.client_id && equal(&secret, &setup.client_secret))
        } else if let Some(secret) = field(form, "client_secret") {
            named.is_some() && equal(secret, &setup.client_secret)
        } else if let Some(assertion) = field(form, "client_assertion") {
            field(form, "client_assertion_type") == Some(ASSERTION_TYPE)
                && self.check_assertion(assertion, request).is_some()
        } else {
            named.is_some() && setup.public_client
        };
        if is_client { Ok(()) } else { Err("invalid_client") }
    }

    /// RFC 7523 §3, once; `None` for whatever is wrong with it.
    fn check_assertion(&self, assertion: &str, request: &Request<'_>) -> Option<()> {
        let setup = &self.setup;
        let jws = Jws::parse(assertion).ok()?;
        let secret = setup.client_secret.as_bytes();
        let header = jws.header().ok()?;
        let mac = match header.alg().ok()? {
            "HS256" => Some(hmac::<Sha256>(secret, jws.signed()).ok()?),
            "HS384" => Some(hmac::<Sha384>(secret, jws.signed()).ok()?),
            "HS512" => Some(hmac::<Sha512>(secret, jws.signed()).ok()?),
            _ => None,
        };
        let holds = match mac {
            Some(mac) => bool::from(mac.as_slice().ct_eq(jws.signature())),
            None => setup.client_key.as_ref()?.verify_jws(assertion).is_ok(),
        };
        let (mut audience, mut typ, mut longest) =
            (self.issuer.as_str(), Some(Some("client-authentication+jwt")), Duration::from_secs(300));
        for quirk in request.quirks {
            match quirk {
                Quirk::AssertionAudience(other) => audience = other,
                Quirk::AssertionType(other) => typ = Some(other.as_deref()),
                Quirk::AssertionLifetime(most) => longest = *most,
                _ => {}
            }
        }
        let claims = jws.claims().ok()?;
        let text = |claim: &str| claims.text(claim);
        let time = |claim: &str| match claims.get(claim) {
            Some(Json::Number(number)) => number.as_u64(),
            _ => None,
        };
        let now = unix_seconds(request.now).ok()?;
        let (iat, exp) = (time("iat")?, time("exp")?);
        let fine = holds
            && text("iss") == Some(&setup.client_id)
            && text("sub") == Some(&setup.client_id)
            && text("aud") == Some(audience)
            && typ == Some(header.get("typ").and_then(Json::as_str))
            && now < exp
            && iat <= now.saturating_add(setup.leeway.as_secs())
            && exp.checked_sub(iat)? <= longest.as_secs()
            && locked(&self.assertions).insert(text("jti")?.to_owned());
        fine.then_some(())
    }
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Given>> {
        locked(&self.0)
    }
}

impl TokenValidator for Tokens {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        let mut given = self.lock();
        // Old ones go when somebody asks, so that a server that runs long does not grow.
        if given.len().is_multiple_of(1024) {
            given.retain(|_, given| given.end.is_none_or(|end| now < end));
        }
        let known = given.get(access_token).ok_or(TokenError::Inactive)?;
        if known.end.is_some_and(|end| now >= end) {
            return Err(TokenError::Inactive);
        }
        AccessToken::new(known.claims.clone())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    sync::lock(mutex)
}

/// The request as the server takes it to be, which on a bad day is not how it came.
fn seen_as(request: &Request<'_>) -> (String, Parts) {
    let (mut origin, mut parts) = (request.origin.to_owned(), request.parts.clone());
    for quirk in request.quirks {
        match quirk {
            Quirk::DecodedHtu => {
                let path = parts.uri.path().replace("%40", "@").replace("%3A", ":");
                parts.uri = path.parse::<Uri>().unwrap_or(parts.uri);
            }
            Quirk::HtuOrigin(other) => origin.clone_from(other),
            _ => {}
        }
    }
    (origin, parts)
}

fn shaped(form: ChallengeForm, code: &str, algs: &str) -> Answer {
    let json = |status: u16| oauth_error(status, code);
    let challenge = |value: String| Answer::new(401).header("www-authenticate", value);
    let plain = format!(r#"DPoP error="{code}", algs="{algs}""#);
    match form {
        ChallengeForm::Json => json(400),
        ChallengeForm::Header => challenge(plain),
        ChallengeForm::HeaderWith400 => Answer::new(400).header("www-authenticate", plain),
        ChallengeForm::HeaderAndHtml => {
            challenge(plain).header("content-type", "text/html").body("<p>Unauthorized</p>")
        }
        ChallengeForm::ErrorLast => challenge(format!(
            r#"DPoP algs="{algs}", authorization_uri="https://example.com/authorize", realm="api", scope="a b", error="{code}""#
        )),
        ChallengeForm::Unquoted => challenge(format!("DPoP error={code}")),
        ChallengeForm::AfterBearer => challenge(format!(r#"Bearer realm="a, DPoP b", {plain}"#)),
        ChallengeForm::TwoFields => challenge("Bearer".to_owned()).header("www-authenticate", plain),
        ChallengeForm::OddlySpaced => {
            challenge(format!(",, Negotiate YWJj==,dPoP   ERROR =\t{code} ,,algs=\"{algs}\",\t"))
        }
        ChallengeForm::UnderBearer => challenge(format!(r#"Bearer error="{code}", DPoP algs="{algs}""#)),
        ChallengeForm::InsideRealm => challenge(format!(r#"DPoP realm="{code}_x", algs="{algs}""#)),
    }
}

fn oauth_error(status: u16, code: &str) -> Answer {
    Answer::json(status, json!({ "error": code }).to_string())
}

fn with_nonce(answer: Answer, nonce: Option<String>) -> Answer {
    match nonce {
        Some(nonce) => answer.header("dpop-nonce", nonce),
        None => answer,
    }
}

fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn basic_credentials(value: &[u8], raw: bool) -> Option<(String, String)> {
    let value = std::str::from_utf8(value).ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(Base64::decode_vec(value).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    if raw {
        return Some((id.to_owned(), secret.to_owned()));
    }
    // A name without a value, as forms have it.
    let decode = |half: &str| {
        let decoded = form_urlencoded::parse(half.as_bytes()).next();
        decoded.map(|(half, _)| half.into_owned()).unwrap_or_default()
    };
    Some((decode(id), decode(secret)))
}

/// RFC 9110 §5.6.7, for the years that have four digits.
fn http_date(now: SystemTime) -> Option<String> {
    (unix_seconds(now).ok()? < 253_402_300_800).then(|| httpdate::fmt_http_date(now))
}
