//! Verifies proofs with the crate's own [`Verifier`] and, beyond RFC 9449 §4.3, as strictly as any server
//! known.

use std::collections::HashSet;
use std::sync::Arc;

use http::header;
use serde_json::Value;

use super::issued_tokens::IssuedTokens;
use super::nonces::{IssuedNonces, Nonces};
use super::quirk::Quirk;
use super::received::DecodedJwt;
use super::request::Request;
use super::settings::Settings;
use crate::dpop::server_role::ServerRole;
use crate::jose::algorithm::Algorithm;
use crate::jose::public_key::Thumbprint;
use crate::server::memory_replay_store::MemoryReplayStore;
use crate::server::reason::Reason;
use crate::server::received_request::ReceivedRequest;
use crate::server::rejection::{BearerChallenge, Refusal, Rejection};
use crate::server::verifier::Verifier;
use crate::server::{Authenticated, ResourceServer};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{self, Mutex};
use crate::text::printable;

pub(super) struct ProofPolicy {
    verifier: Verifier,
    nonces: IssuedNonces,
    algorithms: Vec<String>,
    is_strict: bool,
    revoked_keys: Mutex<HashSet<Thumbprint>>,
    /// The number of proofs that [`Quirk::MaxProofs`] has counted.
    proofs: AtomicU64,
}

impl ProofPolicy {
    pub(super) fn new(settings: &Settings, nonces: IssuedNonces) -> Self {
        // An algorithm with two names is in the list once.
        let is_named = |algorithm: &Algorithm| {
            settings.dpop_algorithms.iter().any(|name| algorithm.names().contains(&name.as_str()))
        };
        let algorithms = Algorithm::ALL.into_iter().filter(is_named);
        let replay = MemoryReplayStore::new(1_000_000)
            .max_proofs_per_key(usize::MAX)
            .clock(Arc::clone(&settings.clock));
        let verifier = Verifier::new(replay).algorithms(algorithms).leeway(settings.leeway);
        let verifier = match settings.nonces {
            Nonces::Off => verifier,
            _ => verifier.require_nonces(nonces.clone()),
        };
        Self {
            verifier,
            nonces,
            algorithms: settings.dpop_algorithms.clone(),
            is_strict: settings.strict_proofs,
            revoked_keys: Mutex::default(),
            proofs: AtomicU64::new(0),
        }
    }

    /// The value of `algs` in challenges.
    pub(super) fn algs(&self) -> String {
        self.algorithms.join(" ")
    }

    pub(super) fn revoke_key(&self, jkt: &Thumbprint) {
        sync::lock(&self.revoked_keys).insert(*jkt);
    }

    /// Verifies the proof of a token request. Returns the thumbprint of its key and the nonce to send in the
    /// response.
    pub(super) fn verify_token_request(
        &self,
        request: &Request<'_>,
    ) -> Result<(Thumbprint, Option<String>), Rejection> {
        self.check_strictly(request)?;
        let (origin, parts) = request.as_verified();
        let received = ReceivedRequest::from_parts(&origin, &parts)
            .map_err(|error| self.rejection(Reason::RequestUrl(error), request))?;
        let proof = self.verifier.verify_token_request(&received, request.now)?;
        Ok((proof.thumbprint(), proof.next_nonce().map(str::to_owned)))
    }

    /// Verifies access token and proof of a resource request.
    pub(super) fn authenticate(
        &self,
        request: &Request<'_>,
        tokens: &Arc<IssuedTokens>,
    ) -> Result<Authenticated, Rejection> {
        // A request without credentials gets the challenge that asks for them, whichever quirks are set.
        if request.parts.headers.contains_key(header::AUTHORIZATION) {
            self.check_strictly(request)?;
        }
        let (origin, parts) = request.as_verified();
        ResourceServer::new(&origin, self.verifier.clone(), Arc::clone(tokens))
            .map_err(|error| self.rejection(Reason::RequestUrl(error), request))?
            .accept_unbound_bearer()
            .authenticate(&parts, request.now)
    }

    /// Refuses what some server refuses although RFC 9449 §4.3 allows it, and what quirks say.
    fn check_strictly(&self, request: &Request<'_>) -> Result<(), Rejection> {
        let refuse = |reason: Reason| Err(self.rejection(reason, request));
        let proof = request.proof.as_ref();
        for active in request.quirks.iter() {
            match &active.quirk {
                Quirk::Challenge if request.quirks.applies(active, true) => {
                    let nonce = self.nonces.issue(request.role, request.now).ok();
                    return Err(self.rejection(Refusal { reason: Reason::NoNonce, nonce }, request));
                }
                Quirk::RefuseProofs if request.quirks.applies(active, true) => {
                    return refuse(Reason::Signature);
                }
                Quirk::RefuseNonces
                    if proof.is_some_and(|proof| proof.string_claim("nonce").is_some())
                        && request.quirks.applies(active, true) =>
                {
                    return refuse(Reason::Claim { claim: "nonce" });
                }
                Quirk::MaxProofs(max)
                    if self.proofs.fetch_add(1, Ordering::SeqCst) >= *max
                        && request.quirks.applies(active, true) =>
                {
                    return refuse(Reason::Replayed);
                }
                _ => {}
            }
        }
        proof.map_or(Ok(()), |proof| self.check_contents(proof, request.role).or_else(refuse))
    }

    fn check_contents(&self, proof: &DecodedJwt, role: ServerRole) -> Result<(), Reason> {
        let alg = proof.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        if !self.algorithms.iter().any(|name| name == alg) {
            return Err(Reason::Algorithm { alg: printable(alg, 40) });
        }
        let forbidden: &[&'static str] = match role {
            _ if !self.is_strict => &[],
            ServerRole::AuthorizationServer => &["ath", "iss", "exp"],
            ServerRole::ResourceServer => &["iss", "exp"],
        };
        if let Some(claim) = forbidden.iter().find(|claim| proof.claims.get(**claim).is_some()) {
            return Err(Reason::Claim { claim });
        }
        let jwk = proof.header.get("jwk").and_then(Value::as_object).cloned().unwrap_or_default();
        let is_needed = |member: &String| ["kty", "crv", "x", "y", "n", "e"].contains(&member.as_str());
        if self.is_strict && !jwk.keys().all(is_needed) {
            return Err(Reason::Jwk { detail: "it has more members than its key needs".to_owned() });
        }
        let jkt = Thumbprint::from_jwk(&Value::Object(jwk).to_string());
        if jkt.is_ok_and(|jkt| sync::lock(&self.revoked_keys).contains(&jkt)) {
            return Err(Reason::Jwk { detail: "the key was revoked".to_owned() });
        }
        Ok(())
    }

    fn rejection(&self, refusal: impl Into<Refusal>, request: &Request<'_>) -> Rejection {
        Rejection::new(refusal, request.role, self.algs(), BearerChallenge::Absent)
    }
}
