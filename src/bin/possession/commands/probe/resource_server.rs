//! Probes a protected resource.

use http::Response;
use possession::{Challenge, KeyPair};

use super::case::{Defect, Finding, Level, Needs, Right, Rule};
use super::malformed_proof::{ProofParts, Target};
use super::prober::{self, Prober, Seen, asked_nonce, offered_nonce};
use super::runner::{Case, Probe};
use crate::failure::Failure;

/// A resource and a token for it.
pub struct ResourceServer<'a> {
    pub method: String,
    pub url: String,
    pub access_token: String,
    pub key: &'a KeyPair,
    pub other_key: &'a KeyPair,
    /// Other addresses of the same resource, behind the same public URL.
    pub nodes: Vec<String>,
    /// A nonce of the authorization server.
    pub foreign_nonce: Option<String>,
    nonce: Option<String>,
}

impl<'a> ResourceServer<'a> {
    pub fn new(
        method: String,
        url: String,
        access_token: String,
        key: &'a KeyPair,
        other_key: &'a KeyPair,
    ) -> Self {
        Self {
            method,
            url,
            access_token,
            key,
            other_key,
            nodes: Vec::new(),
            foreign_nonce: None,
            nonce: None,
        }
    }

    fn target(&self) -> Target {
        Target {
            method: self.method.clone(),
            url: self.url.clone(),
            access_token: Some(self.access_token.clone()),
            nonce: self.nonce.clone(),
            now: prober::now(),
        }
    }

    fn proof(&self, change: &dyn Fn(&mut ProofParts<'_>, &Target)) -> Result<String, Failure> {
        prober::proof(&self.target(), (self.key, self.other_key), change)
    }

    /// Sends these proofs with the token, to `url`.
    fn send_to(
        &mut self,
        prober: &mut Prober,
        url: &str,
        scheme: &str,
        proofs: &[String],
    ) -> Result<Response<Vec<u8>>, Failure> {
        let authorization = format!("{scheme} {}", self.access_token);
        let request = prober::request(&self.method, url, Some(&authorization), proofs, None)?;
        let response = prober.send(request)?;
        if let Some(nonce) = offered_nonce(&response) {
            self.nonce = Some(nonce);
        }
        Ok(response)
    }

    fn send(&mut self, prober: &mut Prober, proofs: &[String]) -> Result<Response<Vec<u8>>, Failure> {
        let url = self.url.clone();
        self.send_to(prober, &url, "DPoP", proofs)
    }

    /// Sends what `make` makes, and once more with the nonce if the server asks for one.
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

    /// A replay: the same proof twice, at the resource or at another of its addresses.
    fn replay(&mut self, prober: &mut Prober, second: Option<&str>) -> Result<Seen, Failure> {
        let first = self.send_with_nonce(prober, &|own| Ok(vec![own.proof(&|_, _| {})?]))?;
        if seen(&first) != Seen::Accepted {
            return Ok(Seen::Unclear("the first use of the proof was not accepted".to_owned()));
        }
        // A proof that is accepted now is sent twice: the nonce may have changed with the first response.
        let proof = self.proof(&|_, _| {})?;
        let response = self.send(prober, std::slice::from_ref(&proof))?;
        if seen(&response) != Seen::Accepted {
            return Ok(Seen::Unclear("the first use of the proof was not accepted".to_owned()));
        }
        let url = second.map_or_else(|| self.url.clone(), str::to_owned);
        let response = self.send_to(prober, &url, "DPoP", &[proof])?;
        Ok(match asked_nonce(&response) {
            // A nonce that is used once protects from replay as well.
            Some(_) => Seen::Refused,
            None => seen(&response),
        })
    }
}

/// Returns what a response says about the request.
fn seen(response: &Response<Vec<u8>>) -> Seen {
    match response.status().as_u16() {
        200..=299 | 304 => Seen::Accepted,
        400 | 401 => Seen::Refused,
        status => Seen::Unclear(format!("the status is {status}")),
    }
}

impl Probe for ResourceServer<'_> {
    fn baseline(&mut self, prober: &mut Prober) -> Result<Seen, Failure> {
        let response = self.send_with_nonce(prober, &|own| Ok(vec![own.proof(&|_, _| {})?]))?;
        Ok(seen(&response))
    }

    fn can_try(&self, defect: &Defect) -> Result<(), String> {
        match defect.needs {
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
            let response = self.send(prober, &[proof])?;
            return Ok(seen(&response));
        }
        let response = self.send_with_nonce(prober, &|own| Ok(vec![own.proof(&defect.change)?]))?;
        Ok(match asked_nonce(&response) {
            // The nonce is right, and the server asks for one again: it has not said anything about the defect.
            Some(_) if defect.rule.right == Right::Accept => Seen::Refused,
            _ => seen(&response),
        })
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
            refuse("no-proof", "RFC 9449 §7.1", Level::Must, "no DPoP field", |own, prober| {
                Ok(seen(&own.send(prober, &[])?))
            }),
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
            refuse(
                "bearer-with-proof",
                "RFC 9449 §7.1",
                Level::Must,
                "the bound token as Bearer, with a valid proof",
                |own, prober| {
                    let (url, proof) = (own.url.clone(), own.proof(&|_, _| {})?);
                    Ok(seen(&own.send_to(prober, &url, "Bearer", &[proof])?))
                },
            ),
            refuse(
                "bearer-without-proof",
                "RFC 9449 §7.2",
                Level::Must,
                "the bound token as Bearer, without a proof",
                |own, prober| {
                    let url = own.url.clone();
                    Ok(seen(&own.send_to(prober, &url, "Bearer", &[])?))
                },
            ),
            refuse(
                "other-token",
                "RFC 9449 §7.1",
                Level::Must,
                "a token that was made up",
                |own, prober| {
                    let genuine = std::mem::replace(&mut own.access_token, "made-up-token".to_owned());
                    let response = own.send_with_nonce(prober, &|own| Ok(vec![own.proof(&|_, _| {})?]));
                    own.access_token = genuine;
                    Ok(seen(&response?))
                },
            ),
            refuse("replay", "RFC 9449 §11.1", Level::Should, "the same proof twice", |own, prober| {
                own.replay(prober, None)
            }),
            Case {
                rule: Rule {
                    id: "scheme-case",
                    source: "RFC 9110 §11.1",
                    level: Level::Interoperability,
                    right: Right::Accept,
                    title: "the scheme dpop in lower case",
                },
                run: |own, prober| {
                    let url = own.url.clone();
                    let proof = own.proof(&|_, _| {})?;
                    Ok(seen(&own.send_to(prober, &url, "dpop", &[proof])?))
                },
            },
            refuse(
                "nonce-of-other-role",
                "RFC 9449 §9",
                Level::Should,
                "a nonce of the authorization server",
                |own, prober| {
                    let Some(foreign) = own.foreign_nonce.clone() else {
                        return Ok(Seen::Unclear("no nonce of the authorization server is known".to_owned()));
                    };
                    if own.nonce.is_none() {
                        return Ok(Seen::Unclear("the server does not use nonces".to_owned()));
                    }
                    let proof = own.proof(&|proof, _| proof.set_claim("nonce", foreign.as_str()))?;
                    Ok(seen(&own.send(prober, &[proof])?))
                },
            ),
            refuse(
                "challenge",
                "RFC 9449 §7.1",
                Level::Must,
                "a 401 without a DPoP challenge",
                |own, prober| {
                    let response = own.send(prober, &[])?;
                    let challenges = Challenge::from_headers(response.headers()).unwrap_or_default();
                    Ok(match response.status().as_u16() {
                        401 if challenges.iter().any(|challenge| challenge.scheme() == "dpop") => {
                            Seen::Refused
                        }
                        401 => Seen::Accepted,
                        status => Seen::Unclear(format!("the status is {status}")),
                    })
                },
            ),
        ];
        if !self.nodes.is_empty() {
            cases.push(refuse(
                "replay-other-node",
                "RFC 9449 §11.1",
                Level::Should,
                "the same proof at another node",
                |own, prober| {
                    for node in own.nodes.clone() {
                        let outcome = own.replay(prober, Some(&node))?;
                        if outcome != Seen::Refused {
                            return Ok(outcome);
                        }
                    }
                    Ok(Seen::Refused)
                },
            ));
        }
        cases
    }

    fn observations(&mut self, _: &mut Prober) -> Result<Vec<Finding>, Failure> {
        Ok(Vec::new())
    }
}
