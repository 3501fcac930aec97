//! Probes a protected resource.

use http::{HeaderValue, Method, Request, Response};
use possession::{Challenge, KeyPair, RequestBody};

use super::case::{Case, Endpoints, Level, Need, Property, Seen};
use super::common_cases::{self, holds};
use super::prober::Prober;
use super::runner::Probe;
use super::target::Target;
use crate::failure::Failure;

/// Gets an access token.
pub type GetToken<'a> = Box<dyn Fn(&Prober) -> Result<String, Failure> + 'a>;

/// A resource and a token for it.
pub struct ResourceServer<'a> {
    pub method: Method,
    pub url: String,
    pub access_token: String,
    pub key: &'a KeyPair,
    /// Whether the key was made for this run.
    pub is_new_key: bool,
    pub other_key: &'a KeyPair,
    /// Other addresses of the same resource, behind the same public URL.
    pub nodes: Vec<String>,
    /// A nonce of the authorization server.
    pub foreign_nonce: Option<String>,
    /// Gets another token, if the token is not one that was given.
    pub get_token: Option<GetToken<'a>>,
    pub nonce: Option<String>,
}

impl ResourceServer<'_> {
    /// Creates a request of a URL with the token and an authentication scheme.
    fn request_to(&self, url: &str, scheme: &str) -> Result<Request<RequestBody>, Failure> {
        let mut request =
            Target { url: url.to_owned(), ..self.target() }.bare_request(self.method.clone())?;
        let authorization = HeaderValue::from_str(&format!("{scheme} {}", self.access_token))?;
        request.headers_mut().insert("authorization", authorization);
        Ok(request)
    }

    /// Sends a proof and the token to a URL.
    fn send_to(
        &mut self,
        prober: &Prober,
        url: &str,
        scheme: &str,
        proof: &str,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = self.request_to(url, scheme)?;
        request.headers_mut().insert("dpop", HeaderValue::from_str(proof)?);
        self.exchange(prober, request)
    }

    /// Sends the token as `scheme`, with a correct proof that has a current nonce.
    fn send_as(&mut self, prober: &Prober, scheme: &str) -> Result<Seen, Failure> {
        let url = self.url.clone();
        let response = self.retry_with_nonce(|own| {
            let proof = own.correct_proof()?;
            own.send_to(prober, &url, scheme, &proof)
        })?;
        Ok(self.seen(&response))
    }

    /// Sends a proof that was accepted to the other nodes.
    fn replay_at_nodes(&mut self, prober: &Prober) -> Result<Seen, Failure> {
        for node in self.nodes.clone() {
            // A node that refuses every proof for this URL protects from nothing.
            let first = self.retry_with_nonce(|own| {
                let proof = own.correct_proof()?;
                own.send_to(prober, &node, "DPoP", &proof)
            })?;
            if self.seen(&first) != Seen::Accepted {
                return Ok(Seen::Unclear(format!("{node} accepts no proof for {}", self.url)));
            }
            let seen =
                self.replay(prober, &|own, prober, proof| own.send_to(prober, &node, "DPoP", &proof))?;
            if !matches!(seen, Seen::Refused | Seen::PreventedBy(_)) {
                return Ok(seen);
            }
        }
        Ok(Seen::Refused)
    }
}

impl Probe for ResourceServer<'_> {
    fn cases() -> Vec<Case<Self>> {
        let all = common_cases::changed_proofs(Endpoints::Resource).chain(requests());
        all.chain(common_cases::requests())
            .chain(common_cases::nonces())
            .chain(common_cases::cors())
            .collect()
    }

    fn target(&self) -> Target {
        Target::new(self.method.as_str(), &self.url, Some(&self.access_token), self.nonce.as_deref())
    }

    fn keys(&self) -> (&KeyPair, &KeyPair) {
        (self.key, self.other_key)
    }

    fn set_nonce(&mut self, nonce: String) {
        self.nonce = Some(nonce);
    }

    fn request(&self) -> Result<Request<RequestBody>, Failure> {
        self.request_to(&self.url, "DPoP")
    }

    fn receive(&mut self, _: &Response<Vec<u8>>) {}

    fn judge(&self, response: &Response<Vec<u8>>) -> Seen {
        match response.status().as_u16() {
            200..=299 | 304 => Seen::Accepted,
            400 | 401 => Seen::Refused,
            status => Seen::Unclear(format!("the status is {status}")),
        }
    }

    fn lacks(&self, need: Need) -> Option<String> {
        let missing = match need {
            Need::ForeignNonce if self.foreign_nonce.is_none() => {
                "no nonce of the authorization server is known"
            }
            Need::Nodes if self.nodes.is_empty() => "no other address of the resource is known (--node)",
            _ => return common_cases::lacks(self, need, self.is_new_key),
        };
        Some(missing.to_owned())
    }

    fn renew(&mut self, prober: &Prober) -> Result<bool, Failure> {
        let Some(get_token) = &self.get_token else { return Ok(false) };
        // Not the nonce of this server.
        prober.take_nonce();
        self.access_token = get_token(prober)?;
        self.foreign_nonce = prober.take_nonce().or_else(|| self.foreign_nonce.take());
        Ok(true)
    }
}

fn requests<'a>() -> Vec<Case<ResourceServer<'a>>> {
    vec![
        Case::refuse(
            "no-proof",
            "RFC 9449 §7.1",
            Level::Must,
            "a bound token without a proof",
            |own: &mut ResourceServer<'a>, prober| {
                let response = own.send(prober, &[])?;
                // There is no proof that a nonce could be added to.
                Ok(own.judge(&response))
            },
        ),
        Case::refuse(
            "bearer-with-proof",
            "RFC 9449 §7.1",
            Level::Must,
            "a bound token as Bearer, with a correct proof",
            |own: &mut ResourceServer<'a>, prober| own.send_as(prober, "Bearer"),
        ),
        Case::refuse(
            "bearer-without-proof",
            "RFC 9449 §7.2",
            Level::Must,
            "a bound token as Bearer, without a proof",
            |own: &mut ResourceServer<'a>, prober| {
                let request = own.request_to(&own.url, "Bearer")?;
                let response = own.exchange(prober, request)?;
                Ok(own.judge(&response))
            },
        ),
        Case::refuse(
            "unknown-token",
            "RFC 9449 §7.1",
            Level::Must,
            "a token that was made up, with a correct proof",
            |own: &mut ResourceServer<'a>, prober| {
                let genuine = std::mem::replace(&mut own.access_token, "made-up-token".to_owned());
                let response = own.send_with_nonce(prober, &|own| Ok(vec![own.correct_proof()?]));
                own.access_token = genuine;
                Ok(own.seen(&response?))
            },
        ),
        Case::refuse(
            "nonce-of-other-role",
            "RFC 9449 §9",
            Level::Should,
            "a nonce of the authorization server",
            |own: &mut ResourceServer<'a>, prober| {
                let foreign = own.foreign_nonce.clone().unwrap_or_default();
                let proof = own.proof(&|proof, _| proof.set_claim("nonce", foreign.as_str()))?;
                let response = own.send(prober, &[proof])?;
                Ok(own.judge(&response))
            },
        )
        .needs(&[Need::Nonce, Need::ForeignNonce]),
        Case::refuse(
            "replay-other-node",
            "RFC 9449 §11.1",
            Level::Should,
            "a proof that another node has accepted",
            |own: &mut ResourceServer<'a>, prober| own.replay_at_nodes(prober),
        )
        .needs(&[Need::Nodes]),
        Case::accept(
            "scheme-case",
            "RFC 9110 §11.1",
            "the scheme dpop in lower case",
            |own: &mut ResourceServer<'a>, prober| own.send_as(prober, "dpop"),
        ),
        Case::property(
            "challenge",
            "RFC 9449 §7.1",
            Level::Must,
            "a 401 with a DPoP challenge for a request without credentials",
            |own: &mut ResourceServer<'a>, prober| {
                Ok(match own.challenge(prober)? {
                    Ok(_) => Property::Holds,
                    Err(property) => property,
                })
            },
        ),
        Case::property(
            "challenge-algs",
            "RFC 9449 §7.1",
            Level::Should,
            "the accepted algorithms in its challenge (algs)",
            |own: &mut ResourceServer<'a>, prober| {
                Ok(match own.challenge(prober)? {
                    Ok(challenge) => {
                        holds(challenge.param("algs").is_some(), || "there is no algs".to_owned())
                    }
                    Err(_) => Property::Unclear("there is no DPoP challenge".to_owned()),
                })
            },
        ),
        Case::property(
            "error-code",
            "RFC 9449 §7.1",
            Level::Should,
            "the error invalid_dpop_proof in the challenge for a proof with another method",
            |own: &mut ResourceServer<'a>, prober| {
                let make = |own: &ResourceServer<'a>| {
                    Ok(vec![own.proof(&|proof, _| proof.set_claim("htm", "OTHER"))?])
                };
                let response = own.send_with_nonce(prober, &make)?;
                Ok(match own.seen(&response) {
                    Seen::Refused => {
                        let challenges = Challenge::from_headers(response.headers()).unwrap_or_default();
                        let codes = challenges.iter().filter_map(|challenge| challenge.param("error"));
                        let codes: Vec<_> = codes.collect();
                        holds(codes.contains(&"invalid_dpop_proof"), || match codes.as_slice() {
                            [] => "there is no error".to_owned(),
                            codes => format!("it is {}", codes.join(", ")),
                        })
                    }
                    Seen::Accepted => Property::Unclear("the proof was accepted".to_owned()),
                    Seen::PreventedBy(why) | Seen::Unclear(why) | Seen::NotTested(why) => {
                        Property::Unclear(why)
                    }
                })
            },
        ),
    ]
}

impl ResourceServer<'_> {
    /// Returns the DPoP challenge for a request without credentials, or what there is instead.
    fn challenge(&mut self, prober: &Prober) -> Result<Result<Challenge, Property>, Failure> {
        let request = self.target().bare_request(self.method.clone())?;
        let response = self.exchange(prober, request)?;
        let status = response.status().as_u16();
        if status != 401 {
            return Ok(Err(Property::Unclear(format!("the status is {status}"))));
        }
        let challenges = Challenge::from_headers(response.headers()).unwrap_or_default();
        let challenge = challenges.into_iter().find(|challenge| challenge.scheme() == "dpop");
        Ok(challenge.ok_or_else(|| Property::Fails("there is no DPoP challenge".to_owned())))
    }
}
