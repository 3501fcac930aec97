//! Probes the token endpoint of an authorization server, its metadata and its endpoint for pushed requests.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Request, Response};
use possession::{
    Algorithm, AuthorizationCode, AuthorizationRequest, AuthorizationServer, Client, ClientAuth, HttpClient,
    KeyPair, Parameters, Prover, PushedAuthorizationRequest, RequestBody, RequestOptions, Signer,
    TokenRequest,
};
use serde_json::Value;

use super::case::{Case, Endpoints, Level, Need, Property, Seen};
use super::common_cases::{self, cache_control, holds, is_uncacheable};
use super::malformed_proof::Signature;
use super::prober::{Prober, asked_nonce, demands_nonce, member};
use super::runner::Probe;
use super::target::Target;
use crate::failure::Failure;

/// Errors of a token response that say nothing about the proof.
const OTHER_ERRORS: [&str; 5] =
    ["invalid_client", "invalid_scope", "unauthorized_client", "slow_down", "temporarily_unavailable"];

/// Lets a user sign in, with a code that is bound to the key.
pub type SignIn<'a> = Box<dyn Fn(&Prober) -> Result<AuthorizationCode, Failure> + 'a>;

/// A token endpoint and a client of it.
pub struct TokenEndpoint<'a> {
    pub server: &'a AuthorizationServer,
    pub client: &'a Client,
    pub auth: &'a ClientAuth,
    pub parameters: Parameters,
    pub key: &'a KeyPair,
    /// Whether the key was made for this run.
    pub is_new_key: bool,
    pub other_key: &'a KeyPair,
    /// The refresh token of a public client, bound to the key. Without one, the grant is client credentials.
    pub refresh_token: Option<String>,
    /// Whether the client is public: only then, refresh tokens are bound to the key.
    pub is_public: bool,
    /// The refresh token of a user who signed in at a public client.
    pub user_refresh_token: Option<String>,
    /// Only if a user is to sign in.
    pub sign_in: Option<SignIn<'a>>,
    /// A redirect URI of the client, for pushed authorization requests.
    pub redirect_uri: Option<String>,
    pub nonce: Option<String>,
}

impl TokenEndpoint<'_> {
    fn url(&self) -> &str {
        text(self.server, "token_endpoint")
    }

    /// Returns the algorithms of proofs that the metadata list.
    fn listed_algorithms(&self) -> Vec<&str> {
        let listed = self.server.member("dpop_signing_alg_values_supported").and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Gets a token, and returns the response.
    fn token_response(&mut self, prober: &Prober) -> Result<Response<Vec<u8>>, Failure> {
        let response = self.send_with_nonce(prober, &|own| Ok(vec![own.correct_proof()?]))?;
        match self.seen(&response) {
            Seen::Accepted => Ok(response),
            _ => Err("a correct request was refused".into()),
        }
    }

    /// Pushes an authorization request that `change` changes, after one that is correct.
    fn push(&self, prober: &Prober, change: Push<'_>) -> Result<Seen, Failure> {
        let correct = self.push_one(prober, None)?;
        match correct {
            Seen::Accepted => self.push_one(prober, Some(change)),
            _ => Ok(Seen::Unclear("a correct pushed request was not accepted".to_owned())),
        }
    }

    fn push_one(&self, prober: &Prober, change: Option<Push<'_>>) -> Result<Seen, Failure> {
        let prover = Prover::new(KeyPair::from_jwk(&self.key.to_jwk())?)?;
        let options = RequestOptions::new().prover(&prover);
        let request = AuthorizationRequest::new(self.redirect_uri.clone().unwrap_or_default());
        let mut push =
            PushedAuthorizationRequest::new(self.server, self.client, self.auth, request, &options)?;
        let mut retried = false;
        loop {
            let mut request = push.request(SystemTime::now())?;
            if let Some(change) = change {
                change(&mut request)?;
            }
            let response = prober.send(request)?;
            let seen = match response.status().as_u16() {
                _ if retried && demands_nonce(&response) => {
                    Seen::Unclear("the server asks for a nonce again".to_owned())
                }
                200 | 201 => Seen::Accepted,
                400 | 401 => Seen::Refused,
                status => Seen::Unclear(format!("the status is {status}")),
            };
            if retried || asked_nonce(&response).is_none() {
                return Ok(seen);
            }
            push.receive(response, SystemTime::now())?;
            retried = true;
        }
    }
}

impl TokenEndpoint<'_> {
    /// Lets a user sign in, and exchanges the code with proofs by this key.
    fn exchange_code(&mut self, prober: &Prober, key: &KeyPair) -> Result<Seen, Failure> {
        let Some(sign_in) = &self.sign_in else { return Err("no user was to sign in".into()) };
        let code = sign_in(prober)?;
        let (server, client, auth) = (self.server, self.client, self.auth);
        // The library demands the key that the code is bound to. Its proof is replaced.
        let prover = Prover::new(KeyPair::from_jwk(&self.key.to_jwk())?)?;
        let options = RequestOptions::new().prover(&prover);
        let parameters = Parameters::new();
        let mut exchange =
            TokenRequest::authorization_code(server, client, auth, code, parameters, &options)?;
        let mut retried = false;
        loop {
            let mut request = exchange.request(SystemTime::now())?;
            let proof = self.proof_by(key, self.key, &|_, _| {})?;
            request.headers_mut().insert("dpop", HeaderValue::from_str(&proof)?);
            let response = self.exchange(prober, request)?;
            if retried || asked_nonce(&response).is_none() {
                // The first code is exchanged with the right key.
                if self.is_public && self.user_refresh_token.is_none() {
                    self.user_refresh_token = member(&response, "refresh_token");
                }
                return Ok(self.seen(&response));
            }
            retried = true;
        }
    }

    /// Uses a refresh token with proofs by another key.
    fn refresh_by_other_key(&mut self, prober: &Prober) -> Result<Seen, Failure> {
        // That the token is good shows with the right key.
        if self.baseline(prober)? != Seen::Accepted {
            return Ok(Seen::Unclear("the refresh token was refused with the right key as well".to_owned()));
        }
        let make = |own: &Self| Ok(vec![own.proof_by(own.other_key, own.key, &|_, _| {})?]);
        let response = self.send_with_nonce(prober, &make)?;
        Ok(self.seen(&response))
    }
}

/// Changes a pushed authorization request.
type Push<'a> = &'a dyn Fn(&mut Request<RequestBody>) -> Result<(), Failure>;

fn text<'a>(server: &'a AuthorizationServer, name: &str) -> &'a str {
    server.member(name).and_then(Value::as_str).unwrap_or_default()
}

fn jkt(key: &KeyPair) -> String {
    key.public_key().thumbprint().to_string()
}

impl Probe for TokenEndpoint<'_> {
    fn cases() -> Vec<Case<Self>> {
        let all = common_cases::changed_proofs(Endpoints::Token).chain(requests()).chain(pushed_requests());
        let all = all.chain(common_cases::requests()).chain(responses()).chain(common_cases::nonces());
        all.chain(common_cases::cors()).chain(metadata()).collect()
    }

    fn target(&self) -> Target {
        Target::new("POST", self.url(), None, self.nonce.as_deref())
    }

    fn keys(&self) -> (&KeyPair, &KeyPair) {
        (self.key, self.other_key)
    }

    fn set_nonce(&mut self, nonce: String) {
        self.nonce = Some(nonce);
    }

    /// Creates a token request. It authenticates the client afresh each time.
    fn request(&self) -> Result<Request<RequestBody>, Failure> {
        let (options, parameters) = (RequestOptions::new(), self.parameters.clone());
        let (server, client, auth) = (self.server, self.client, self.auth);
        let mut request = match &self.refresh_token {
            Some(token) => TokenRequest::refresh_token(server, client, auth, token, parameters, &options)?,
            None => TokenRequest::client_credentials(server, client, auth, parameters, &options)?,
        };
        Ok(request.request(SystemTime::now())?)
    }

    /// A refresh token may be replaced with each use.
    fn receive(&mut self, response: &Response<Vec<u8>>) {
        if self.refresh_token.is_some()
            && let Some(next) = member(response, "refresh_token")
        {
            self.refresh_token = Some(next);
        }
    }

    /// A token of any type means that the defect was overlooked.
    fn judge(&self, response: &Response<Vec<u8>>) -> Seen {
        let error = member(response, "error").unwrap_or_default();
        match response.status().as_u16() {
            200 | 201 if member(response, "access_token").is_some() => Seen::Accepted,
            _ if OTHER_ERRORS.contains(&error.as_str()) => Seen::Unclear(format!("the error is {error}")),
            400 | 401 => Seen::Refused,
            status => Seen::Unclear(format!("the status is {status}")),
        }
    }

    fn baseline(&mut self, prober: &Prober) -> Result<Seen, Failure> {
        let response = self.send_with_nonce(prober, &|own| Ok(vec![own.correct_proof()?]))?;
        let token_type = member(&response, "token_type").unwrap_or_default();
        Ok(match self.seen(&response) {
            Seen::Accepted if !token_type.eq_ignore_ascii_case("DPoP") => {
                Seen::Unclear(format!("the token_type is {token_type} and not DPoP (RFC 9449 §5)"))
            }
            seen => seen,
        })
    }

    fn lacks(&self, need: Need) -> Option<String> {
        let has_par = !text(self.server, "pushed_authorization_request_endpoint").is_empty();
        let missing = match need {
            Need::ListedAlgorithms if self.listed_algorithms().is_empty() => {
                "the metadata list no algorithms"
            }
            Need::PushedRequests if !has_par => "the metadata name no endpoint for pushed requests",
            Need::PushedRequests if self.redirect_uri.is_none() => {
                "no redirect URI of the client is known (--redirect-uri)"
            }
            Need::RefreshToken if !self.is_public => {
                "the client is not public, so that its refresh tokens are not bound to the key"
            }
            Need::RefreshToken if self.refresh_token.is_none() && self.sign_in.is_none() => {
                "no refresh token is known (--grant refresh_token, or --sign-in)"
            }
            Need::User if self.sign_in.is_none() => "no user was to sign in (--sign-in)",
            _ => return common_cases::lacks(self, need, self.is_new_key),
        };
        Some(missing.to_owned())
    }

    /// Each request authenticates the client anyway.
    fn renew(&mut self, _: &Prober) -> Result<bool, Failure> {
        Ok(false)
    }
}

fn requests<'a>() -> Vec<Case<TokenEndpoint<'a>>> {
    vec![
        Case::refuse(
            "no-proof",
            "RFC 9449 §5.2",
            Level::Should,
            "a token request without a proof, by a client that uses DPoP",
            |own: &mut TokenEndpoint<'a>, prober| {
                let response = own.send(prober, &[])?;
                // There is no proof that a nonce could be added to.
                Ok(own.judge(&response))
            },
        ),
        Case::refuse(
            "alg-unlisted",
            "RFC 9449 §5.1",
            Level::Should,
            "a correct proof by an algorithm that the metadata do not list",
            |own: &mut TokenEndpoint<'a>, prober| {
                let listed = own.listed_algorithms();
                let is_listed =
                    |algorithm: &Algorithm| algorithm.names().iter().any(|name| listed.contains(name));
                let candidates = [Algorithm::Ed25519, Algorithm::Es384, Algorithm::Es256];
                let Some(unlisted) = candidates.into_iter().find(|algorithm| !is_listed(algorithm)) else {
                    return Ok(Seen::NotTested("the metadata list every algorithm that is tried".to_owned()));
                };
                let key = KeyPair::generate(unlisted)?;
                let make = |own: &TokenEndpoint<'a>| Ok(vec![own.proof_by(&key, own.key, &|_, _| {})?]);
                let response = own.send_with_nonce(prober, &make)?;
                Ok(own.seen(&response))
            },
        )
        .needs(&[Need::ListedAlgorithms]),
        Case::refuse(
            "code-other-key",
            "RFC 9449 §10",
            Level::Must,
            "an authorization code with a correct proof by another key than it was requested with",
            |own: &mut TokenEndpoint<'a>, prober| match own.exchange_code(prober, own.key)? {
                Seen::Accepted => own.exchange_code(prober, own.other_key),
                _ => Ok(Seen::Unclear("a code was refused with the right key as well".to_owned())),
            },
        )
        .needs(&[Need::User]),
        Case::refuse(
            "refresh-other-key",
            "RFC 9449 §5",
            Level::Must,
            "the refresh token of a public client with a correct proof by another key",
            |own: &mut TokenEndpoint<'a>, prober| {
                // The grant of all other requests may be another.
                let of_grant = own.refresh_token.clone();
                if of_grant.is_none() && own.user_refresh_token.is_none() {
                    own.exchange_code(prober, own.key)?;
                }
                if of_grant.is_none() && own.user_refresh_token.is_none() {
                    return Ok(Seen::NotTested("the user's sign-in brought no refresh token".to_owned()));
                }
                own.refresh_token = of_grant.clone().or_else(|| own.user_refresh_token.take());
                let seen = own.refresh_by_other_key(prober);
                own.refresh_token = own.refresh_token.take().filter(|_| of_grant.is_some());
                seen
            },
        )
        .needs(&[Need::RefreshToken])
        .last(),
    ]
}

fn pushed_requests<'a>() -> Vec<Case<TokenEndpoint<'a>>> {
    vec![
        Case::refuse(
            "par-other-jkt",
            "RFC 9449 §10.1",
            Level::Must,
            "a pushed request whose dpop_jkt is not that of its proof",
            |own: &mut TokenEndpoint<'a>, prober| {
                let (right, wrong) = (jkt(own.key), jkt(own.other_key));
                own.push(prober, &|request| {
                    let form = String::from_utf8_lossy(request.body()).replace(&right, &wrong);
                    *request.body_mut() = RequestBody::from(form.into_bytes());
                    Ok(())
                })
            },
        )
        .needs(&[Need::PushedRequests]),
        Case::refuse(
            "par-invalid-proof",
            "RFC 9449 §10.1",
            Level::Must,
            "a pushed request whose proof has a wrong signature",
            |own: &mut TokenEndpoint<'a>, prober| {
                own.push(prober, &|request| {
                    let nonce = request.headers().get("dpop").and_then(|proof| proof.to_str().ok());
                    let claims =
                        nonce.and_then(crate::jwt::Decoded::read).and_then(|proof| proof.claims.ok());
                    let mut target = Target::new(
                        "POST",
                        text(own.server, "pushed_authorization_request_endpoint"),
                        None,
                        None,
                    );
                    target.nonce = claims.and_then(|claims| Some(claims.get("nonce")?.as_str()?.to_owned()));
                    let mut parts = super::malformed_proof::ProofParts::new(&target, own.key, own.other_key)?;
                    parts.signature = Signature::Corrupt;
                    request.headers_mut().insert("dpop", HeaderValue::from_str(&parts.sign()?)?);
                    Ok(())
                })
            },
        )
        .needs(&[Need::PushedRequests]),
    ]
}

fn responses<'a>() -> Vec<Case<TokenEndpoint<'a>>> {
    vec![
        Case::property(
            "error-code",
            "RFC 9449 §5",
            Level::Should,
            "the error invalid_dpop_proof for a proof with another method",
            |own: &mut TokenEndpoint<'a>, prober| {
                let make = |own: &TokenEndpoint<'a>| {
                    Ok(vec![own.proof(&|proof, _| proof.set_claim("htm", "OTHER"))?])
                };
                let response = own.send_with_nonce(prober, &make)?;
                let error = member(&response, "error").unwrap_or_default();
                Ok(match own.seen(&response) {
                    Seen::Refused => holds(error == "invalid_dpop_proof", || match error.as_str() {
                        "" => "there is no error".to_owned(),
                        other => format!("it is {other}"),
                    }),
                    Seen::Accepted => Property::Unclear("the proof was accepted".to_owned()),
                    Seen::PreventedBy(why) | Seen::Unclear(why) | Seen::NotTested(why) => {
                        Property::Unclear(why)
                    }
                })
            },
        ),
        Case::property(
            "token-no-store",
            "RFC 6749 §5.1",
            Level::Must,
            "Cache-Control: no-store in a token response",
            |own: &mut TokenEndpoint<'a>, prober| {
                let response = own.token_response(prober)?;
                let headers: &HeaderMap = response.headers();
                Ok(holds(is_uncacheable(headers), || cache_control(headers)))
            },
        ),
        Case::property(
            "token-bound",
            "RFC 9449 §6.1",
            Level::Must,
            "the thumbprint of the key in an access token that is a JWT (cnf.jkt)",
            |own: &mut TokenEndpoint<'a>, prober| {
                let token = member(&own.token_response(prober)?, "access_token").unwrap_or_default();
                let claims = crate::jwt::Decoded::read(&token).and_then(|decoded| decoded.claims.ok());
                let Some(claims) = claims else {
                    return Ok(Property::NotTested("the access token is no JWT".to_owned()));
                };
                let bound = claims.pointer("/cnf/jkt").and_then(Value::as_str);
                Ok(holds(bound == Some(jkt(own.key).as_str()), || match bound {
                    None => "there is no cnf.jkt".to_owned(),
                    Some(_) => "cnf.jkt is another key".to_owned(),
                }))
            },
        ),
    ]
}

fn metadata<'a>() -> Vec<Case<TokenEndpoint<'a>>> {
    vec![
        Case::property(
            "metadata-algorithms",
            "RFC 9449 §5.1",
            Level::Should,
            "dpop_signing_alg_values_supported in the metadata",
            |own: &mut TokenEndpoint<'a>, _| {
                Ok(holds(!own.listed_algorithms().is_empty(), || "the list is missing or empty".to_owned()))
            },
        ),
        Case::property(
            "metadata-asymmetric",
            "RFC 9449 §5.1",
            Level::Must,
            "only asymmetric algorithms in that list",
            |own: &mut TokenEndpoint<'a>, _| {
                let wrong = own.listed_algorithms().into_iter();
                let wrong: Vec<_> = wrong.filter(|name| *name == "none" || name.starts_with("HS")).collect();
                Ok(holds(wrong.is_empty(), || format!("it has {}", wrong.join(", "))))
            },
        )
        .needs(&[Need::ListedAlgorithms]),
        Case::property(
            "metadata-complete",
            "RFC 9449 §5.1",
            Level::Should,
            "in that list the algorithm of a proof that was accepted",
            |own: &mut TokenEndpoint<'a>, _| {
                let (names, own_names) = (own.listed_algorithms(), own.key.algorithm().names());
                let is_listed = own_names.iter().any(|name| names.contains(name));
                Ok(holds(is_listed, || format!("{} is missing", own.key.algorithm())))
            },
        )
        .needs(&[Need::ListedAlgorithms]),
    ]
}
