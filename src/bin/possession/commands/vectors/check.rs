//! Checks the cases of files of test vectors.

// By its path: `tests/vectors.rs` includes this file.
#[path = "sign_in.rs"]
mod sign_in;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Response};
use possession::server::{
    MemoryReplayStore, NonceSource, NonceState, Reason, ReceivedRequest, Rejection, VerifiedProof, Verifier,
};
use possession::{
    Algorithm, AuthorizationServer, Challenge, Client, ClientAuth, Discovery, ErrorKind, Htu, KeyPair,
    Parameters, Prover, PublicKey, RequestOptions, ServerRole, Signer, Step, Thumbprint, TokenRequest, ath,
    process_client_credentials_response,
};
use serde_json::{Map, Value};

use super::format::{self, Case};

/// What a case came to: nothing, or what was expected and what was seen.
pub type Outcome = Result<(), String>;

/// The algorithms that are not checked in this build: what an implementation must accept comes to a refusal
/// that names them.
const NEED_RING: &[&str] = match cfg!(feature = "ring") {
    true => &[],
    false => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES384"],
};

/// Returns every case of a file with its outcome, and one entry for a text that is not such a file. The JSON
/// Schema of the files, which is beside them, has no cases.
pub fn check_file(name: &Path, text: &[u8]) -> Vec<(String, Outcome)> {
    if is_schema(name, text) {
        return Vec::new();
    }
    let read = match format::read(text) {
        Ok(read) => read,
        Err(why) => return vec![("(file)".to_owned(), Err(why))],
    };
    let checked = read.cases.into_iter().map(|(id, case)| {
        let outcome = catch_unwind(AssertUnwindSafe(|| check_case(read.kind.name, &case?)));
        (id, outcome.unwrap_or_else(|_| Err("it made the program panic".to_owned())))
    });
    checked.collect()
}

/// Returns the names of the cases of a file.
#[allow(dead_code, reason = "the tests of the vectors do not list them")]
pub fn list(name: &Path, text: &[u8]) -> Vec<String> {
    match format::read(text) {
        _ if is_schema(name, text) => Vec::new(),
        Ok(read) => read.cases.into_iter().map(|(id, _)| id).collect(),
        Err(_) => vec!["(file)".to_owned()],
    }
}

/// Returns whether a file is the JSON Schema and not a file of test vectors.
fn is_schema(name: &Path, text: &[u8]) -> bool {
    let document: Value = serde_json::from_slice(text).unwrap_or_default();
    name.file_name() == Some("schema.json".as_ref())
        && document.get("$schema").is_some()
        && document.get("kind").is_none()
        && document.get("cases").is_none()
}

fn check_case(kind: &str, case: &Case) -> Outcome {
    match kind {
        "proof" => proof(case),
        "replay" => replay(case),
        "thumbprint" => {
            let jkt = Thumbprint::from_jwk(&json(case, "jwk")?).map_err(|error| error.to_string())?;
            same("jkt", text(case, "jkt")?, &jkt.to_string())
        }
        "ath" => same("ath", text(case, "ath")?, &ath(text(case, "access_token")?)),
        "htu" => htu(case),
        "challenge" => challenge(case),
        "token_response" => token_response(case),
        "discovery" => discovery(case),
        "basic" => basic(case),
        "jws" => jws(case),
        "signature" => signature(case),
        "pkce" => sign_in::pkce(case),
        "dpop_jkt" => sign_in::dpop_jkt(case),
        "authorization_response" => sign_in::authorization_response(case),
        other => Err(format!("the kind {other} is not known")),
    }
}

// ------------------------------------------------------------------------------------------------------- the
// kinds

fn proof(case: &Case) -> Outcome {
    let fields = match case.get("proof_headers") {
        Some(fields) => strings(fields).ok_or("`proof_headers` is not an array of strings")?,
        None => vec![text(case, "proof")?],
    };
    let context = Context::of(case)?;
    let seen = context.check(&context.verifier(), &fields);
    let expected_jkt = case.get("jkt").and_then(Value::as_str);
    let unchecked = fields.first().and_then(|proof| unchecked(proof));
    match (text(case, "expect")?, seen) {
        ("accept", seen) if unchecked.is_some() => match (unchecked, seen) {
            (Some(expected), Err(Refusal::Rejected(rejection))) => match rejection.reason() {
                Reason::NoSignatureVerifier { algorithm } => {
                    same("the algorithm that is refused", expected, algorithm.name())
                }
                other => Err(format!("expected {expected} to be refused as not checked, but got: {other}")),
            },
            _ => Err("it was accepted by an algorithm that is not checked in this build".to_owned()),
        },
        ("accept", Ok(proof)) => match expected_jkt {
            Some(jkt) => same("jkt", jkt, &proof.thumbprint().to_string()),
            None => Ok(()),
        },
        ("policy", _) => Ok(()),
        ("reject", Err(refusal)) => match case.get("reason").and_then(Value::as_str) {
            Some(expected) if case.get("sole") != Some(&Value::Bool(false)) => {
                match refusal.names().contains(&expected) {
                    true => Ok(()),
                    false => {
                        Err(format!("expected the reason `{expected}`, but it was refused with: {refusal}"))
                    }
                }
            }
            _ => Ok(()),
        },
        ("accept", Err(why)) => Err(format!("expected accept, but it was refused: {why}")),
        ("reject", Ok(_)) => Err("expected reject, but it was accepted".to_owned()),
        (other, _) => Err(format!("`expect` {other} is not known")),
    }
}

/// The algorithm of a JWS, where it is one of those that are not checked in this build.
fn unchecked(jws: &str) -> Option<&'static str> {
    let header = Base64UrlUnpadded::decode_vec(jws.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    needs_ring(header.get("alg")?.as_str()?)
}

fn needs_ring(alg: &str) -> Option<&'static str> {
    NEED_RING.iter().copied().find(|name| *name == alg)
}

/// The refusal of what is not done in this build: of that kind, and it says of which algorithm and what it
/// needs.
fn refused_by_name<T>(seen: Result<T, possession::Error>, alg: &str) -> Outcome {
    match seen {
        Ok(_) => Err(format!("{alg} needs the feature `ring`, but it was accepted without")),
        Err(error) => {
            let text = error.to_string();
            match *error.kind() == ErrorKind::Algorithm && text.contains(alg) && text.contains("`ring`") {
                true => Ok(()),
                false => Err(format!("expected {alg} to be refused by name, but got: {text}")),
            }
        }
    }
}

/// The names that the schema has for the check that failed.
fn names(reason: &Reason) -> &'static [&'static str] {
    match reason {
        Reason::NoProof | Reason::SeveralProofs { .. } => &["fields"],
        Reason::NotAscii => &["base64"],
        // Numbers beyond what the JSON parser takes are malformed to it before they are a claim.
        Reason::Malformed(_) => &["segments", "base64", "json", "unique", "escape", "crit", "alg", "iat"],
        Reason::Typ => &["typ"],
        // Keys and signatures of an algorithm that is not checked in this build are not looked at.
        Reason::NoSignatureVerifier { .. } => &["alg", "jwk", "private", "key", "key-alg", "signature"],
        Reason::Algorithm { .. } => &["alg"],
        Reason::Jwk { .. } => &["jwk", "private", "key", "key-alg"],
        Reason::Claim { claim: "jti" } => &["jti"],
        Reason::Claim { claim: "htm" } | Reason::Htm { .. } => &["htm"],
        Reason::Claim { claim: "htu" } | Reason::Htu { .. } | Reason::HtuMalformed(_) => &["htu"],
        Reason::Claim { claim: "iat" } | Reason::Stale { .. } | Reason::Future { .. } => &["iat"],
        Reason::Claim { claim: "exp" } | Reason::Expired => &["exp"],
        Reason::Claim { claim: "nbf" } | Reason::NotYetValid => &["nbf"],
        Reason::Claim { claim: "ath" } | Reason::Ath => &["ath"],
        Reason::Binding { .. } => &["jkt"],
        Reason::Signature => &["signature"],
        Reason::NoNonce | Reason::Nonce => &["nonce"],
        _ => &[],
    }
}

fn replay(case: &Case) -> Outcome {
    let context = Context::of(case)?;
    let verifier = context.verifier();
    let steps = case.get("steps").and_then(Value::as_array).ok_or("`steps` is missing")?;
    for (at, step) in steps.iter().enumerate() {
        let step = strings(step).ok_or("a step is not an array of strings")?;
        let [proof, expected] = *step.as_slice() else {
            return Err("a step is not a proof and what is expected of it".to_owned());
        };
        let seen = match context.check(&verifier, &[proof]) {
            Ok(_) => "accept",
            Err(Refusal::Rejected(rejection)) if *rejection.reason() == Reason::Replayed => "replay",
            Err(_) => "reject",
        };
        same(&format!("step {}", at + 1), expected, seen)?;
    }
    Ok(())
}

/// What a proof is checked against.
struct Context<'a> {
    method: http::Method,
    url: &'a str,
    now: SystemTime,
    max_age: Duration,
    leeway: Duration,
    nonces: Option<Vec<&'a str>>,
    access_token: Option<&'a str>,
    /// What a token says it is bound to; it may be malformed.
    jkt: Option<Result<Thumbprint, possession::Error>>,
    algs: Option<Vec<Algorithm>>,
}

/// Why a proof was not accepted.
enum Refusal {
    Rejected(Box<Rejection>),
    /// The crate cannot represent a member of the context, which is named.
    Context(&'static str, possession::Error),
}

impl Refusal {
    /// The names that the format has for the check that failed.
    fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Rejected(rejection) => names(rejection.reason()),
            Self::Context("jkt", _) => &["jkt"],
            Self::Context(..) => &["htu"],
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rejected(rejection) => write!(f, "{}", rejection.reason()),
            Self::Context(member, error) => write!(f, "`context.{member}`: {error}"),
        }
    }
}

impl<'a> Context<'a> {
    fn of(case: &'a Case) -> Result<Self, String> {
        let context = case.get("context").and_then(Value::as_object).ok_or("`context` is missing")?;
        let seconds = |name: &str| {
            let seconds = context.get(name).and_then(Value::as_u64);
            seconds.map(Duration::from_secs).ok_or_else(|| format!("`{name}` is not a number of seconds"))
        };
        let list = |name: &str| context.get(name).and_then(strings);
        let now = context.get("now").and_then(Value::as_i64).ok_or("`now` is not a whole number")?;
        let since = Duration::from_secs(now.unsigned_abs());
        let now = if now < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
        Ok(Self {
            method: text(context, "method")?.parse().map_err(|_| "`method` is not an HTTP method")?,
            url: text(context, "url")?,
            now: now.ok_or("`now` is beyond what this machine can say")?,
            max_age: seconds("max_age_s")?,
            leeway: seconds("future_skew_s")?,
            nonces: list("nonces"),
            access_token: context.get("access_token").and_then(Value::as_str),
            jkt: context.get("jkt").and_then(Value::as_str).map(str::parse),
            algs: list("algs").map(|names| names.into_iter().filter_map(Algorithm::from_name).collect()),
        })
    }

    fn verifier(&self) -> Verifier {
        let verifier = Verifier::new(MemoryReplayStore::new(1024)).max_age(self.max_age).leeway(self.leeway);
        let verifier = match &self.nonces {
            Some(nonces) => {
                verifier.require_nonces(KnownNonces(nonces.iter().map(|nonce| (*nonce).to_owned()).collect()))
            }
            None => verifier,
        };
        match &self.algs {
            Some(algs) => verifier.algorithms(algs.iter().copied()),
            None => verifier,
        }
    }

    fn check(&self, verifier: &Verifier, fields: &[&str]) -> Result<VerifiedProof, Refusal> {
        let proofs = fields.iter().map(|field| field.as_bytes()).collect();
        let request = ReceivedRequest::from_fields(&self.method, self.url, proofs)
            .map_err(|error| Refusal::Context("url", error))?;
        let bound = self.jkt.clone().transpose().map_err(|error| Refusal::Context("jkt", error))?;
        let checked = match (self.access_token, bound) {
            (Some(token), bound) => match bound.or_else(|| own_jkt(fields)) {
                Some(jkt) => verifier.verify_resource_request(&request, token, &jkt, self.now),
                // Without a key of its own it is refused before the binding matters.
                None => verifier.verify_token_request(&request, self.now),
            },
            (None, Some(jkt)) => verifier.verify_token_request_bound_to(&request, &jkt, self.now),
            (None, None) => verifier.verify_token_request(&request, self.now),
        };
        checked.map_err(|rejection| Refusal::Rejected(Box::new(rejection)))
    }
}

/// The nonces that a context lists: the first is issued, and all are accepted.
struct KnownNonces(Vec<String>);

impl NonceSource for KnownNonces {
    fn make(
        &self,
        _: ServerRole,
        _: Option<&Thumbprint>,
        _: SystemTime,
    ) -> Result<String, possession::Error> {
        // An empty nonce is not sent.
        Ok(self.0.first().cloned().unwrap_or_default())
    }

    fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
        match self.0.iter().any(|known| known == nonce) {
            true => NonceState::Valid { made: None, until: None, ageing: false },
            false => NonceState::Invalid,
        }
    }

    fn needs_io(&self) -> bool {
        false
    }
}

/// The key a proof names, for a context that names none: then any key may have made it.
fn own_jkt(fields: &[&str]) -> Option<Thumbprint> {
    let header = Base64UrlUnpadded::decode_vec(fields.first()?.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    Thumbprint::from_jwk(&header.get("jwk")?.to_string()).ok()
}

fn htu(case: &Case) -> Outcome {
    let a = text(case, "a")?.parse::<Htu>();
    let expected = text(case, "expect")?;
    let seen = match (case.get("b").and_then(Value::as_str), a) {
        (_, Err(_)) => "invalid",
        (None, Ok(_)) => "valid",
        (Some(b), Ok(a)) => match b.parse::<Htu>() {
            Ok(b) if a == b => "equal",
            Ok(_) => "different",
            Err(_) => "invalid",
        },
    };
    match expected {
        "policy" => Ok(()),
        _ => same("outcome", expected, seen),
    }
}

fn challenge(case: &Case) -> Outcome {
    let headers = case.get("headers").and_then(strings).ok_or("`headers` is not an array of strings")?;
    let seen: Result<Vec<_>, _> = headers.iter().map(|field| Challenge::parse(field.as_bytes())).collect();
    let seen =
        seen.map(|fields| fields.into_iter().flatten().map(|challenge| challenge_json(&challenge)).collect());
    match (case.get("expect").and_then(Value::as_str), case.get("challenges"), seen) {
        (Some("policy"), _, _) | (Some("invalid"), _, Err(_)) => Ok(()),
        (Some("invalid"), _, Ok(seen)) => {
            Err(format!("expected invalid, but it is valid: {}", Value::Array(seen)))
        }
        (None, Some(expected), Ok(seen)) => match Value::Array(seen) {
            seen if seen == *expected => Ok(()),
            seen => same("challenges", &expected.to_string(), &seen.to_string()),
        },
        (None, Some(_), Err(error)) => Err(error.to_string()),
        _ => Err("it has neither `challenges` nor a known `expect`".to_owned()),
    }
}

fn challenge_json(challenge: &Challenge) -> Value {
    let params: Map<_, _> =
        challenge.params().iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let mut members = Map::from_iter([
        ("scheme".to_owned(), Value::from(challenge.scheme())),
        ("params".to_owned(), Value::Object(params)),
    ]);
    if let Some(token68) = challenge.token68() {
        members.insert("token68".to_owned(), Value::from(token68));
    }
    Value::Object(members)
}

fn token_response(case: &Case) -> Outcome {
    let seen = answer(case).and_then(process);
    match (text(case, "expect")?, seen) {
        ("token", Ok(())) | ("error", Err(_)) | ("policy", _) => Ok(()),
        ("token", Err(why)) => Err(format!("expected a token, but got: {why}")),
        ("error", Ok(())) => Err("expected an error, but got a token".to_owned()),
        (other, _) => Err(format!("`expect` {other} is not known")),
    }
}

fn answer(case: &Case) -> Result<Response<Vec<u8>>, String> {
    let status = case.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let mut response = Response::builder().status(status.ok_or("`status` is not a status")?);
    for (name, value) in case.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value.as_str().unwrap_or_default().as_bytes());
        response = response.header(name, value.map_err(|error| error.to_string())?);
    }
    response.body(text(case, "body")?.as_bytes().to_vec()).map_err(|error| error.to_string())
}

/// Lets the response answer a request with a proof.
fn process(response: Response<Vec<u8>>) -> Outcome {
    let run = || -> Result<Option<()>, possession::Error> {
        let server = AuthorizationServer::builder("https://server.example.com")
            .token_endpoint("https://server.example.com/token")
            .build()?;
        let (client, auth) = (Client::new("client")?, ClientAuth::client_secret_basic("secret"));
        let options = RequestOptions::new().prover(&Prover::new(KeyPair::generate(Algorithm::Es256)?)?);
        let mut exchange =
            TokenRequest::client_credentials(&server, &client, &auth, Parameters::new(), &options)?;
        let now = SystemTime::now();
        exchange.request(now)?;
        match exchange.receive(response, now)? {
            Step::Retry => Ok(None),
            Step::Done(response) => {
                process_client_credentials_response(&server, &client, response).map(|_| Some(()))
            }
        }
    };
    match run() {
        Ok(Some(())) => Ok(()),
        Ok(None) => Err("the server asks for a nonce".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn discovery(case: &Case) -> Outcome {
    let seen = Discovery::new(text(case, "issuer")?);
    match (case.get("expect").and_then(Value::as_str), seen) {
        (Some("invalid"), Err(_)) | (Some("policy"), _) => Ok(()),
        (Some("invalid"), Ok(discovery)) => {
            Err(format!("expected invalid, but it is valid, with metadata at {:?}", discovery.urls()))
        }
        (Some(other), _) => Err(format!("`expect` {other} is not known")),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(discovery)) => {
            let [oauth, openid] = discovery.urls();
            same("oauth", text(case, "oauth")?, &oauth)?;
            same("openid", text(case, "openid")?, &openid)
        }
    }
}

/// Either the same header, or one that says the same: more characters may be escaped than must.
fn basic(case: &Case) -> Outcome {
    let (id, secret) = (text(case, "client_id")?, text(case, "client_secret")?);
    let header = basic_header(id, secret).map_err(|error| error.to_string())?;
    let (expected, seen) = (text(case, "header")?, header.to_str().unwrap_or_default());
    let says = |header: &str| {
        let pair = String::from_utf8(Base64::decode_vec(header.strip_prefix("Basic ")?).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        let decode = |half: &str| {
            let form = format!("v={half}");
            form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned())
        };
        Some((decode(id)?, decode(secret)?))
    };
    match says(seen) == Some((id.to_owned(), secret.to_owned())) && says(expected) == says(seen) {
        true => Ok(()),
        false => same("header", expected, seen),
    }
}

/// Returns the `Authorization` header of a token request.
fn basic_header(client_id: &str, secret: &str) -> Result<HeaderValue, possession::Error> {
    let server = AuthorizationServer::builder("https://server.example.com")
        .token_endpoint("https://server.example.com/token")
        .build()?;
    let (client, auth) = (Client::new(client_id)?, ClientAuth::client_secret_basic(secret));
    let options = RequestOptions::new();
    let mut request = TokenRequest::client_credentials(&server, &client, &auth, Parameters::new(), &options)?;
    let mut request = request.request(SystemTime::now())?;
    Ok(request.headers_mut().remove("authorization").unwrap_or(HeaderValue::from_static("")))
}

fn jws(case: &Case) -> Outcome {
    let (jwk, jws) = (json(case, "jwk")?, text(case, "jws")?);
    let symmetric = case.get("jwk").and_then(|jwk| jwk.get("kty")) == Some(&Value::from("oct"));
    let seen = match symmetric {
        true => {
            mac(case.get("jwk").and_then(|jwk| jwk.get("k")).and_then(Value::as_str).unwrap_or_default(), jws)
        }
        false => {
            let seen = public_half(&jwk).and_then(|key| key.verify_jws(jws).map(drop));
            if let (Some(alg), "accept") = (unchecked(jws), text(case, "expect")?) {
                return refused_by_name(seen, alg);
            }
            seen.map_err(|error| error.to_string())
        }
    };
    match (text(case, "expect")?, seen) {
        ("accept", Ok(())) | ("reject", Err(_)) | ("policy", _) => Ok(()),
        ("accept", Err(why)) => Err(format!("expected accept, but it was refused: {why}")),
        ("reject", Ok(())) => Err("expected reject, but the signature is valid".to_owned()),
        (other, _) => Err(format!("`expect` {other} is not known")),
    }
}

/// RFC examples print private keys; what is checked needs the public half.
fn public_half(jwk: &str) -> Result<PublicKey, possession::Error> {
    let mut members: Map<String, Value> = serde_json::from_str(jwk).unwrap_or_default();
    members.retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
    PublicKey::from_jwk(&Value::Object(members).to_string())
}

/// The crate makes MACs (for `client_secret_jwt`) and never accepts one, so this check is the example's own.
fn mac(key: &str, jws: &str) -> Outcome {
    let decode =
        |text: &str| Base64UrlUnpadded::decode_vec(text).map_err(|_| "it is not base64url".to_owned());
    let (signed, tag) = jws.rsplit_once('.').ok_or("it is not a JWS")?;
    let header = decode(signed.split('.').next().unwrap_or_default())?;
    let header: Value = serde_json::from_slice(&header).map_err(|error| error.to_string())?;
    if header.get("alg") != Some(&Value::from("HS256")) {
        return Err("its alg is not HS256".to_owned());
    }
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&decode(key)?).map_err(|error| error.to_string())?;
    mac.chain_update(signed).verify_slice(&decode(tag)?).map_err(|error| error.to_string())
}

fn signature(case: &Case) -> Outcome {
    let bytes = |name: &str| {
        let text = text(case, name)?;
        let bytes = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        bytes.collect::<Option<Vec<_>>>().ok_or_else(|| format!("`{name}` is not hexadecimal"))
    };
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let (key, public) = (encode(&bytes("key")?), bytes("public_key")?);
    let ec = |crv: &str, point: &[u8]| {
        let (x, y) = point.split_at(point.len() / 2);
        serde_json::json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y), "d": key})
    };
    let alg = text(case, "alg")?;
    let jwk = match (alg, public.as_slice()) {
        ("ES256", [4, point @ ..]) if point.len() == 64 => ec("P-256", point),
        ("ES384", [4, point @ ..]) if point.len() == 96 => ec("P-384", point),
        ("Ed25519", x) => {
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": encode(x), "d": key})
        }
        _ => return Err("its `alg` and `public_key` are not ones to sign with".to_owned()),
    };
    let pair = KeyPair::from_jwk(&jwk.to_string());
    if let Some(alg) = needs_ring(alg) {
        return refused_by_name(pair, alg);
    }
    let pair = pair.map_err(|error| error.to_string())?;
    let (message, expected) = (bytes("message")?, bytes("signature")?);
    let sign = || pair.sign(&message).map_err(|error| error.to_string());
    let (seen, again) = (sign()?, sign()?);
    if seen == again || !alg.starts_with("ES") {
        return same("signature", &encode(&expected), &encode(&seen));
    }
    // Signing uses randomness, which ECDSA admits: there is no one right signature.
    let algorithm = pair.algorithm();
    [("expected", expected), ("own", seen), ("second", again)].iter().try_for_each(|(what, signature)| {
        let holds = pair.public_key().verify(algorithm, &message, signature);
        holds.map_err(|error| format!("the {what} signature: {error}"))
    })
}

// ---------------------------------------------------------------------------------------------- reading JSON

fn same(what: &str, expected: &str, seen: &str) -> Outcome {
    match expected == seen {
        true => Ok(()),
        false => Err(format!("{what}: expected {expected}, but got {seen}")),
    }
}

fn text<'a>(members: &'a Case, name: &str) -> Result<&'a str, String> {
    members.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is not a string"))
}

/// The text of a member that is a JSON object.
fn json(members: &Case, name: &str) -> Result<String, String> {
    members.get(name).map(Value::to_string).ok_or_else(|| format!("`{name}` is missing"))
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}
