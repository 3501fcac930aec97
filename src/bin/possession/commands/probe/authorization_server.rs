//! Probes the token endpoint of an authorization server, its metadata and its endpoint for pushed requests.

use http::Response;
use possession::{
    AuthorizationRequest, AuthorizationServer, Client, ClientAuth, KeyPair, Parameters, Prover,
    PushedAuthorizationRequest, RequestOptions, TokenRequest,
};
use serde_json::Value;

use super::case::{Defect, Finding, Level, Needs, Right, Rule, Verdict};
use super::malformed_proof::{ProofParts, Target};
use super::prober::{self, Prober, Seen, asked_nonce, offered_nonce};
use super::runner::{Case, Probe};
use crate::failure::Failure;

/// A token endpoint and a client of it.
pub struct TokenEndpoint<'a> {
    pub server: &'a AuthorizationServer,
    pub client: &'a Client,
    pub auth: &'a ClientAuth,
    pub parameters: Parameters,
    pub key: &'a KeyPair,
    pub other_key: &'a KeyPair,
    /// The refresh token of a public client, bound to the key.
    pub refresh_token: Option<String>,
    /// A redirect URI of the client, for pushed authorization requests.
    pub redirect_uri: Option<String>,
    nonce: Option<String>,
    /// The last token response.
    last: Option<Response<Vec<u8>>>,
}

impl<'a> TokenEndpoint<'a> {
    pub fn new(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        parameters: Parameters,
        key: &'a KeyPair,
        other_key: &'a KeyPair,
    ) -> Self {
        Self {
            server,
            client,
            auth,
            parameters,
            key,
            other_key,
            refresh_token: None,
            redirect_uri: None,
            nonce: None,
            last: None,
        }
    }

    fn url(&self) -> &str {
        self.server.member("token_endpoint").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the algorithms of proofs that the metadata list.
    fn listed_algorithms(&self) -> Vec<&str> {
        let listed = self.server.member("dpop_signing_alg_values_supported").and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Pushes a correct authorization request, and then one with `dpop_jkt` of another key.
    fn push_with_other_jkt(&mut self, prober: &mut Prober) -> Result<Seen, Failure> {
        let jkt = |key: &KeyPair| possession::Signer::public_key(key).thumbprint().to_string();
        let (own, other) = (jkt(self.key), jkt(self.other_key));
        let mut last = Seen::Unclear("nothing was sent".to_owned());
        for named in [own.as_str(), other.as_str()] {
            let prover = Prover::new(KeyPair::from_jwk(&self.key.to_jwk())?)?;
            let options = RequestOptions::new().prover(&prover);
            let redirect_uri = self.redirect_uri.clone().unwrap_or_default();
            let request = AuthorizationRequest::new(redirect_uri);
            let mut push =
                PushedAuthorizationRequest::new(self.server, self.client, self.auth, request, &options)?;
            // The second time with the nonce that the server asked for.
            for _ in 0..2 {
                let mut request = push.request(std::time::SystemTime::now())?;
                let form = String::from_utf8_lossy(request.body()).replace(&own, named);
                *request.body_mut() = possession::RequestBody::from(form.into_bytes());
                let response = prober.send(request)?;
                last = match response.status().as_u16() {
                    200 | 201 => Seen::Accepted,
                    400 | 401 => Seen::Refused,
                    status => Seen::Unclear(format!("the status is {status}")),
                };
                if asked_nonce(&response).is_none() {
                    break;
                }
                push.receive(response, std::time::SystemTime::now())?;
            }
            if named == own && last != Seen::Accepted {
                return Ok(Seen::Unclear("a correct pushed request was not accepted".to_owned()));
            }
        }
        Ok(last)
    }

    fn target(&self) -> Target {
        Target {
            method: "POST".to_owned(),
            url: self.url().to_owned(),
            access_token: None,
            nonce: self.nonce.clone(),
            now: prober::now(),
        }
    }

    fn proof(&self, change: &dyn Fn(&mut ProofParts<'_>, &Target)) -> Result<String, Failure> {
        prober::proof(&self.target(), (self.key, self.other_key), change)
    }

    /// Sends a token request with these proofs. It authenticates the client afresh each time.
    fn send(&mut self, prober: &mut Prober, proofs: &[String]) -> Result<Response<Vec<u8>>, Failure> {
        let options = RequestOptions::new();
        let parameters = self.parameters.clone();
        let mut token_request = match &self.refresh_token {
            Some(token) => {
                TokenRequest::refresh_token(self.server, self.client, self.auth, token, parameters, &options)?
            }
            None => {
                TokenRequest::client_credentials(self.server, self.client, self.auth, parameters, &options)?
            }
        };
        let mut request = token_request.request(std::time::SystemTime::now())?;
        for proof in proofs {
            request.headers_mut().append("dpop", http::HeaderValue::from_str(proof)?);
        }
        let response = prober.send(request)?;
        if let Some(nonce) = offered_nonce(&response) {
            self.nonce = Some(nonce);
        }
        // A refresh token may be replaced with each use.
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if let (Some(_), Some(new)) = (&self.refresh_token, body.get("refresh_token").and_then(Value::as_str))
        {
            self.refresh_token = Some(new.to_owned());
        }
        Ok(response)
    }

    fn send_with_nonce(
        &mut self,
        prober: &mut Prober,
        make: &dyn Fn(&Self) -> Result<Vec<String>, Failure>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let proofs = make(self)?;
        let response = self.send(prober, &proofs)?;
        match asked_nonce(&response) {
            Some(nonce) => {
                self.nonce = Some(nonce);
                let proofs = make(self)?;
                self.send(prober, &proofs)
            }
            None => Ok(response),
        }
    }
}

/// Returns what a token response says about the proof: a token of any type means that the defect was overlooked.
fn seen(response: &Response<Vec<u8>>) -> Seen {
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let error = body.get("error").and_then(Value::as_str).unwrap_or_default();
    match response.status().as_u16() {
        200 | 201 if body.get("access_token").is_some() => Seen::Accepted,
        // These say nothing about the proof.
        _ if matches!(error, "invalid_client" | "invalid_scope" | "unauthorized_client" | "slow_down") => {
            Seen::Unclear(format!("the error is {error}"))
        }
        400 | 401 => Seen::Refused,
        status => Seen::Unclear(format!("the status is {status}")),
    }
}

impl Probe for TokenEndpoint<'_> {
    fn baseline(&mut self, prober: &mut Prober) -> Result<Seen, Failure> {
        let response = self.send_with_nonce(prober, &|own| Ok(vec![own.proof(&|_, _| {})?]))?;
        let seen = seen(&response);
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let token_type = body.get("token_type").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.last = Some(response);
        Ok(match seen {
            Seen::Accepted if !token_type.eq_ignore_ascii_case("DPoP") => {
                Seen::Unclear(format!("the token_type is {token_type} and not DPoP (RFC 9449 §5)"))
            }
            seen => seen,
        })
    }

    fn can_try(&self, defect: &Defect) -> Result<(), String> {
        match defect.needs {
            Needs::AccessToken => Err("proofs have no access token at the token endpoint".to_owned()),
            Needs::Nonce if self.nonce.is_none() => Err("the server does not use nonces".to_owned()),
            Needs::Es256 if possession::Signer::algorithm(self.key) != possession::Algorithm::Es256 => {
                Err("the key is not one for ES256".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn try_defect(&mut self, prober: &mut Prober, defect: &Defect) -> Result<Seen, Failure> {
        if defect.needs == Needs::Nonce {
            let proof = self.proof(&defect.change)?;
            return Ok(seen(&self.send(prober, &[proof])?));
        }
        Ok(seen(&self.send_with_nonce(prober, &|own| Ok(vec![own.proof(&defect.change)?]))?))
    }

    fn accepts_iat(&mut self, prober: &mut Prober, offset: i64) -> Result<Seen, Failure> {
        let response = self.send_with_nonce(prober, &|own| {
            Ok(vec![own.proof(&|proof, target| {
                proof.set_claim("iat", i64::try_from(target.now).unwrap_or(i64::MAX).saturating_add(offset));
            })?])
        })?;
        Ok(seen(&response))
    }

    fn cases(&self) -> Vec<Case<Self>> {
        let refuse = Case::<Self>::refuse;
        let mut cases = vec![
            refuse(
                "no-proof",
                "RFC 9449 §5.2",
                Level::Should,
                "a token request without a proof, by a client that uses DPoP",
                |own, prober| Ok(seen(&own.send(prober, &[])?)),
            ),
            refuse(
                "two-fields",
                "RFC 9449 §4.3 check 1",
                Level::Must,
                "two DPoP fields with a valid proof each",
                |own, prober| {
                    let response = own.send_with_nonce(prober, &|own| {
                        Ok(vec![own.proof(&|_, _| {})?, own.proof(&|_, _| {})?])
                    })?;
                    Ok(seen(&response))
                },
            ),
            refuse("replay", "RFC 9449 §11.1", Level::Should, "the same proof twice", |own, prober| {
                let proof = own.proof(&|_, _| {})?;
                let first = own.send(prober, std::slice::from_ref(&proof))?;
                let (proof, first) = match asked_nonce(&first) {
                    Some(nonce) => {
                        own.nonce = Some(nonce);
                        let proof = own.proof(&|_, _| {})?;
                        let first = own.send(prober, std::slice::from_ref(&proof))?;
                        (proof, first)
                    }
                    None => (proof, first),
                };
                if seen(&first) != Seen::Accepted {
                    return Ok(Seen::Unclear("the first use of the proof was not accepted".to_owned()));
                }
                Ok(seen(&own.send(prober, &[proof])?))
            }),
            refuse(
                "cacheable-token",
                "RFC 6749 §5.1",
                Level::Must,
                "a token response without Cache-Control: no-store",
                |own, prober| {
                    own.baseline(prober)?;
                    let field =
                        own.last.as_ref().and_then(|response| response.headers().get("cache-control"));
                    let field =
                        field.and_then(|field| field.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
                    Ok(if field.contains("no-store") { Seen::Refused } else { Seen::Accepted })
                },
            ),
            refuse(
                "token-not-bound",
                "RFC 9449 §6.1",
                Level::Must,
                "a JWT access token without the thumbprint of the key",
                |own, prober| {
                    own.baseline(prober)?;
                    let body =
                        own.last.as_ref().map(|response| response.body().as_slice()).unwrap_or_default();
                    let body: Value = serde_json::from_slice(body).unwrap_or_default();
                    let token = body.get("access_token").and_then(Value::as_str).unwrap_or_default();
                    let claims = crate::jwt::Decoded::read(token).and_then(|decoded| decoded.claims.ok());
                    let Some(claims) = claims else {
                        return Ok(Seen::Unclear("the access token is no JWT".to_owned()));
                    };
                    let jkt = possession::Signer::public_key(own.key).thumbprint().to_string();
                    let bound = claims.pointer("/cnf/jkt").and_then(Value::as_str);
                    Ok(if bound == Some(jkt.as_str()) { Seen::Refused } else { Seen::Accepted })
                },
            ),
        ];
        cases.push(refuse(
            "alg-unlisted",
            "RFC 9449 §5.1",
            Level::Should,
            "a correct proof by an algorithm that the metadata do not list",
            |own, prober| {
                let listed: Vec<_> = own.listed_algorithms().into_iter().map(str::to_owned).collect();
                if listed.is_empty() {
                    return Ok(Seen::Unclear("the metadata list no algorithms".to_owned()));
                }
                let Some(key) = prober::unlisted_key(&listed)? else {
                    return Ok(Seen::Unclear("the metadata list every algorithm that is tried".to_owned()));
                };
                let make = |own: &Self| Ok(vec![prober::proof(&own.target(), (&key, own.key), &|_, _| {})?]);
                Ok(seen(&own.send_with_nonce(prober, &make)?))
            },
        ));
        if self.redirect_uri.is_some() {
            cases.push(refuse(
                "par-other-jkt",
                "RFC 9449 §10.1",
                Level::Must,
                "a pushed request whose dpop_jkt is not the key of its proof",
                Self::push_with_other_jkt,
            ));
        }
        if self.refresh_token.is_some() {
            cases.push(refuse(
                "refresh-other-key",
                "RFC 9449 §5",
                Level::Must,
                "the refresh token of a public client with another key",
                |own, prober| {
                    let make = |own: &Self| {
                        let proof = prober::proof(&own.target(), (own.other_key, own.key), &|_, _| {})?;
                        Ok(vec![proof])
                    };
                    Ok(seen(&own.send_with_nonce(prober, &make)?))
                },
            ));
        }
        cases
    }

    fn observations(&mut self, _: &mut Prober) -> Result<Vec<Finding>, Failure> {
        let metadata = |id, source, level, title, is_right: bool, why: String| Finding {
            rule: Rule { id, source, level, right: Right::Refuse, title },
            verdict: if is_right { Verdict::Enforced } else { Verdict::NotEnforced },
            why,
            exchanges: Vec::new(),
        };
        let names = self.listed_algorithms();
        let symmetric: Vec<&str> =
            names.iter().copied().filter(|name| *name == "none" || name.starts_with("HS")).collect();
        let own = possession::Signer::algorithm(self.key);
        Ok(vec![
            metadata(
                "metadata-no-algorithms",
                "RFC 9449 §5.1",
                Level::Should,
                "metadata without dpop_signing_alg_values_supported",
                !names.is_empty(),
                String::new(),
            ),
            metadata(
                "metadata-symmetric",
                "RFC 9449 §5.1",
                Level::Must,
                "metadata that list none or a symmetric algorithm for proofs",
                symmetric.is_empty(),
                symmetric.join(", "),
            ),
            metadata(
                "metadata-unlisted",
                "RFC 9449 §5.1",
                Level::Should,
                "metadata without the algorithm of a proof that was accepted",
                names.is_empty() || own.names().iter().any(|name| names.contains(name)),
                format!("the proofs were signed with {own}"),
            ),
        ])
    }
}
