//! Verification of DPoP proofs (RFC 9449 §4.3).

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use crate::crypto::{are_equal, sha256};
use crate::dpop::htu::Htu;
use crate::dpop::server_role::ServerRole;
use crate::error::Error;
use crate::jose::algorithm::Algorithm;
use crate::jose::base64url::from_base64url_to;
use crate::jose::json::{Json, Object};
use crate::jose::jwk_use::{KeyOperation, check_algorithm, check_operation};
use crate::jose::jws::{Header, Jws};
use crate::jose::public_key::{PublicKey, Thumbprint, private_member};
use crate::server::accepted_algorithms::{AcceptedAlgorithms, SignatureVerifier};
use crate::server::claim_values::string_claim;
use crate::server::clock_tolerance::earliest_at_any_node;
use crate::server::nonce::NonceSource;
use crate::server::nonce_policy::{NonceCheck, NoncePolicy};
use crate::server::presented_token::PresentedToken;
use crate::server::proof_lifetime::{ProofLifetime, TimePolicy};
use crate::server::reason::Reason;
use crate::server::received_request::ReceivedRequest;
use crate::server::rejection::{BearerChallenge, Refusal, Rejection};
use crate::server::replay::{InsertOutcome, ProofRecord, ReplayStore, ReplayStoreError, check_not_lost};
use crate::server::verified_proof::{ProofContents, VerifiedProof};
use crate::text::printable;

/// Verifies DPoP proofs: one call makes every check of RFC 9449 §4.3.
///
/// One verifier serves all threads. By default it accepts `ES256` and Ed25519, and proofs that are up to 60
/// seconds old and up to 10 seconds ahead of this machine's clock.
///
/// Give each endpoint its own replay store. Authenticate the client of a token request before its proof is
/// verified: at an endpoint that is open to all, anybody can fill the store with proofs by keys of their
/// own, and a full store rejects all proofs.
///
/// ```
/// use std::time::SystemTime;
/// use possession::*;
/// use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
///
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000));
///
/// # let key = KeyPair::generate(Algorithm::Es256)?;
/// # let now = SystemTime::now();
/// # let proof = Proof::new(&http::Method::POST, "https://server.example.com/token")?.sign(&key, now)?;
/// # let mut headers = http::HeaderMap::new();
/// # headers.insert("dpop", proof.parse().unwrap());
/// # let method = http::Method::POST;
/// // At the token endpoint. The URL is taken from the server's configuration, not from the request.
/// let request = ReceivedRequest::new(&method, "https://server.example.com/token", &headers)?;
/// match verifier.verify_token_request(&request, now) {
///     Ok(proof) => println!("bind the token to {}", proof.thumbprint()),
///     Err(rejection) => println!("log {}, send {:?}", rejection.reason(), rejection.to_response()),
/// }
/// # assert!(verifier.verify_token_request(&request, now).is_err()); // the same proof again
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    algorithms: AcceptedAlgorithms,
    times: TimePolicy,
    nonces: NoncePolicy,
    replay: Arc<dyn ReplayStore>,
    refuse_proofs_from_before_start: bool,
}

impl Verifier {
    /// Creates a verifier that records accepted proofs in `replay`.
    #[must_use]
    pub fn new(replay: impl ReplayStore + 'static) -> Self {
        Self {
            algorithms: AcceptedAlgorithms::default(),
            times: TimePolicy {
                max_age: Duration::from_secs(60),
                // FAPI 2.0 Security Profile §5.3.2.1 demands it of authorization servers, and its
                // conformance suite sends proofs that are 8 seconds ahead to resource servers.
                leeway: Duration::from_secs(10),
                trust_nonce_time: false,
            },
            nonces: NoncePolicy::Off,
            replay: Arc::new(replay),
            refuse_proofs_from_before_start: false,
        }
    }

    /// Records accepted proofs in another store, for example one whose size has been computed from the other
    /// settings: see [`capacity`](Self::capacity).
    #[must_use]
    pub fn replay_store(self, replay: impl ReplayStore + 'static) -> Self {
        Self { replay: Arc::new(replay), ..self }
    }

    /// Accepts these algorithms and no others. An algorithm without a verifier is never accepted.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms.accept(algorithms);
        self
    }

    /// Adds a verifier for signatures of algorithms that this crate does not verify. List these algorithms in
    /// [`algorithms`](Self::algorithms) too.
    #[must_use]
    pub fn signature_verifier(mut self, verifier: impl SignatureVerifier + 'static) -> Self {
        self.algorithms.add_verifier(verifier);
        self
    }

    /// Demands a nonce of this source in each proof (RFC 9449 §8, §9).
    ///
    /// A proof without a valid nonce is rejected with `use_dpop_nonce` and a new nonce. One source may serve
    /// both the token endpoint and resources, because nonces of one role are not valid in the other.
    #[must_use]
    pub fn require_nonces(self, source: impl NonceSource + 'static) -> Self {
        Self { nonces: NoncePolicy::Required(Arc::new(source)), ..self }
    }

    /// Offers nonces without demanding them: a client whose proof has none is given one
    /// ([`next_nonce`](VerifiedProof::next_nonce)). A nonce that is present must be valid.
    ///
    /// This is for a period of transition, until all clients use nonces. A client may ignore the nonce that
    /// it was given, although RFC 9449 §11.3 does not allow a server to accept that.
    #[must_use]
    pub fn offer_nonces(self, source: impl NonceSource + 'static) -> Self {
        Self { nonces: NoncePolicy::Optional(Arc::new(source)), ..self }
    }

    /// Uses the time in a valid nonce in place of `iat` (RFC 9449 §11.1), so that a client whose clock is
    /// wrong is served. A proof is then accepted for as long as its nonce. The nonce source must know when
    /// its nonces were made and when they expire ([`NonceState::Valid`](crate::server::NonceState::Valid)).
    #[must_use]
    pub fn trust_nonce_time(mut self) -> Self {
        self.times.trust_nonce_time = true;
        self
    }

    /// Refuses proofs without a nonce that may have been accepted before the process was started, by
    /// comparing `iat` with the start plus the [`leeway`](Self::leeway). It is for a server without nonces
    /// whose replay store is in memory: such a store is empty after a restart, and the proofs of the last 70
    /// seconds could be used once more.
    ///
    /// What it costs: after each restart, all proofs are refused for 10 seconds with the default leeway, and
    /// those of clients whose clocks are behind for as much longer. The response is 503 with `Retry-After`.
    /// With [`require_nonces`](Self::require_nonces) no call fails for good, and this is not needed: a nonce
    /// that was made before the start is answered with `use_dpop_nonce` and a new one, once for each client.
    /// It makes no difference with a store that outlives the process, such as one in Redis that was not
    /// started at the same time.
    #[must_use]
    pub fn refuse_proofs_from_before_start(mut self) -> Self {
        self.refuse_proofs_from_before_start = true;
        self
    }

    /// Sets how old a proof may be, in whole seconds (RFC 9449 §11.1): 60 by default.
    ///
    /// Verifiers that share a replay store, clones included, must have the same `max_age` and, with
    /// [`trust_nonce_time`](Self::trust_nonce_time), the same nonce lifetime: when one of them has forgotten
    /// a proof, no other may still accept it.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.times.max_age = Duration::from_secs(max_age.as_secs());
        self
    }

    /// Sets the leeway: how far `iat` and `nbf` of a proof may be ahead of this machine's clock, in whole
    /// seconds. It is 10 seconds by default, as FAPI 2.0 Security Profile §5.3.2.1 demands.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.times.leeway = Duration::from_secs(leeway.as_secs());
        self
    }

    /// Returns how long the replay store remembers a proof at most: 84 seconds with the default settings.
    ///
    /// That is `max_age` and `leeway`, because a proof may be dated ahead, with 10 seconds for the clocks of
    /// other nodes and 4 because a store keeps entries a little longer. With
    /// [`trust_nonce_time`](Self::trust_nonce_time) it is the lifetime of a nonce, twice 10 seconds for the
    /// clocks of other nodes, and 4: 324 seconds for [`StatelessNonces`](crate::server::StatelessNonces) with
    /// the default lifetime. A [`NonceSource`] of your own must say how long its nonces are valid
    /// ([`nonce_lifetime`](NonceSource::nonce_lifetime)).
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.times.retention(&self.nonces)
    }

    /// Returns how many proofs the replay store must be able to hold if up to `proofs_per_second` are
    /// accepted, on all nodes together if they share it: the rate times the [`retention`](Self::retention).
    /// `None` if the number cannot be expressed. The guide page on [sizing](crate::guide::sizing) says what
    /// that costs.
    ///
    /// ```
    /// use possession::server::{MemoryReplayStore, StatelessNonces, Verifier};
    ///
    /// let verifier = Verifier::new(MemoryReplayStore::new(0))
    ///     .require_nonces(StatelessNonces::generate()?)
    ///     .trust_nonce_time();
    /// let capacity = verifier.capacity(1_000).ok_or("too many proofs")?;
    /// assert_eq!(capacity, 324_000);
    /// let verifier = verifier.replay_store(MemoryReplayStore::new(capacity));
    /// # let _ = verifier;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn capacity(&self, proofs_per_second: u64) -> Option<usize> {
        let retention = self.retention();
        let seconds = retention.as_secs().checked_add(u64::from(retention.subsec_nanos() > 0))?;
        usize::try_from(proofs_per_second.checked_mul(seconds)?).ok()
    }

    /// Verifies the proof of a request to the token endpoint. Bind the token to the
    /// [`thumbprint`](VerifiedProof::thumbprint) of the proof (RFC 9449 §5, §6).
    ///
    /// # Errors
    /// Returns the first check that failed.
    pub fn verify_token_request(
        &self,
        request: &ReceivedRequest<'_>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.verify(request, ServerRole::AuthorizationServer, None, None, now)
    }

    /// Verifies the proof of a request to the token endpoint that must come from one key: the `dpop_jkt` of
    /// the authorization request (RFC 9449 §10), or the key that a refresh token is bound to (§5).
    ///
    /// # Errors
    /// Returns the first check that failed.
    pub fn verify_token_request_bound_to(
        &self,
        request: &ReceivedRequest<'_>,
        jkt: &Thumbprint,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.verify(request, ServerRole::AuthorizationServer, None, Some(jkt), now)
    }

    /// Verifies the proof of a request to a protected resource: that it was made for this access token, by
    /// the key that the token is bound to (RFC 9449 §7.1).
    ///
    /// The caller provides the token from `Authorization: DPoP`, and `jkt` from the `cnf` claim of the
    /// validated token or from introspection (§6). A [`ResourceServer`](crate::server::ResourceServer) does
    /// all of this.
    ///
    /// # Errors
    /// Returns the first check that failed.
    pub fn verify_resource_request(
        &self,
        request: &ReceivedRequest<'_>,
        access_token: &str,
        jkt: &Thumbprint,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.verify(request, ServerRole::ResourceServer, Some(access_token), Some(jkt), now)
    }

    fn verify(
        &self,
        request: &ReceivedRequest<'_>,
        role: ServerRole,
        access_token: Option<&str>,
        jkt: Option<&Thumbprint>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.check(request, role, access_token, now)
            .and_then(|proof| self.accept(proof, jkt, now))
            .map_err(|refusal| self.reject(refusal, role, BearerChallenge::Absent))
    }

    /// Makes every check of RFC 9449 §4.3 that needs neither the key a token is bound to nor the replay
    /// store. Cheap checks come first and the signature last.
    pub(crate) fn check(
        &self,
        request: &ReceivedRequest<'_>,
        role: ServerRole,
        access_token: Option<&str>,
        now: SystemTime,
    ) -> Result<UnrecordedProof, Refusal> {
        // Check 1: there is one `DPoP` header field.
        let proof = match *request.proofs.as_slice() {
            [proof] => std::str::from_utf8(proof).map_err(|_| Reason::NotAscii)?,
            [] => return Err(Reason::NoProof.into()),
            _ => return Err(Reason::SeveralProofs { fields: request.proofs.len() }.into()),
        };

        // Check 2: its value is a single, well-formed JWT. The claims are parsed below.
        let jws = Jws::parse(proof).map_err(Reason::Malformed)?;
        let header = jws.header().map_err(Reason::Malformed)?;

        // Check 4: `typ` is `dpop+jwt`.
        if header.get("typ").and_then(Json::as_str) != Some("dpop+jwt") {
            return Err(Reason::Typ.into());
        }

        // Check 5: `alg` is an asymmetric algorithm that is supported and accepted, and not `none`.
        let algorithm = header.algorithm(&self.algorithms).map_err(Reason::from)?;

        // Check 7: `jwk` does not contain a private key.
        let key = embedded_key(&header, algorithm)?;
        let thumbprint = key.thumbprint();

        // Check 3: all required claims are present: `jti` here, each of the others where its value is
        // checked below.
        let claims = jws.claims().map_err(Reason::Malformed)?;
        let jti = required_string(&claims, "jti")?;

        // Check 8: `htm` is the method of the request.
        let htm = required_string(&claims, "htm")?;
        if htm != request.method.as_str() {
            let (expected, actual) = (request.method.to_string(), printable(htm, 40));
            return Err(Reason::Htm { expected, actual }.into());
        }

        // Check 9: `htu` is the URL of the request. The query and the fragment of neither matter.
        check_htu(required_string(&claims, "htu")?, &request.url)?;

        // Check 11: `iat` is within the acceptable window. If the time in the nonce counts, this is checked
        // below.
        let lifetime = match self.times.trust_nonce_time {
            true => None,
            false => Some(self.times.check_by_clock(&claims, now)?),
        };

        // Check 12, first half: `ath` is the hash of the access token. `accept` compares the key.
        let token_hash = access_token.map(|token| check_ath(&claims, token)).transpose()?;

        // Check 6: the signature verifies with the key in `jwk`.
        match self.algorithms.verify(&jws, algorithm, &key) {
            Some(true) => {}
            Some(false) => {
                let wrong_key = |error: Error| Reason::Jwk { detail: error.to_string() };
                return Err(key.check_point().map_or_else(wrong_key, |()| Reason::Signature).into());
            }
            None => return Err(Reason::NoSignatureVerifier { algorithm }.into()),
        }

        // Check 10: `nonce` is one that this server issued. The source is asked after the signature has been
        // verified: nobody obtains a nonce, learns whether one is valid, or uses one up, without having the
        // key.
        let recording_since = self.replay.recording_since(now);
        let nonce = self.nonces.check(&claims, role, &thumbprint, now, recording_since);
        let lifetime = match lifetime {
            Some(lifetime) => lifetime,
            None => self.times.check_by_nonce(&claims, &nonce, now)?,
        };
        let nonce_made = match nonce {
            NonceCheck::Passed { made, .. } => made,
            _ => None,
        };
        let renew_nonce = match nonce {
            NonceCheck::NotUsed => false,
            NonceCheck::Passed { renew, .. } => renew,
            NonceCheck::Failed(reason) => {
                return Err(Refusal { reason, nonce: self.make_nonce(role, &thumbprint, now) });
            }
        };

        if let Some(since) =
            recording_since.filter(|_| self.refuse_proofs_from_before_start && nonce_made.is_none())
        {
            check_not_lost(lifetime.accepted_from, since).map_err(Reason::ReplayStore)?;
        }

        let jti_length = jti.len();
        let jti_and_nonce = [jti, claims.text("nonce").unwrap_or_default()].concat();
        drop((header, claims));
        let (payload, claims) = (jws.into_payload(), OnceLock::new());
        let iat = lifetime.iat;
        let contents = Arc::new(ProofContents { key, jti_and_nonce, jti_length, iat, payload, claims });
        let proof = VerifiedProof { contents, next_nonce: None };
        Ok(UnrecordedProof { proof, role, token_hash, lifetime, nonce_made, renew_nonce })
    }

    /// Makes the remaining checks: the key that the token is bound to, whether the nonce can be used up
    /// and, last of all, the replay store. A proof that is rejected for any other reason uses up neither
    /// its nonce nor its `jti`.
    pub(crate) fn accept(
        &self,
        unrecorded: UnrecordedProof,
        jkt: Option<&Thumbprint>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Refusal> {
        let UnrecordedProof { mut proof, role, lifetime, nonce_made, renew_nonce, .. } = unrecorded;
        // Check 12, second half: the key of the proof is the one that the access token is bound to. A thief
        // of the token learns no more than that the request is refused, as it would be for an unknown token.
        let actual = proof.thumbprint();
        if let Some(expected) = jkt.filter(|expected| **expected != actual) {
            return Err(Reason::Binding { expected: *expected, actual }.into());
        }

        // Time may have passed since check 11, and the replay store may have forgotten a proof that expired
        // meanwhile.
        if lifetime.accepted_until < now.checked_sub(Duration::from_secs(1)).unwrap_or(now) {
            let age = now.duration_since(proof.iat()).unwrap_or_default();
            return Err(Reason::Stale { age, allowed: self.times.max_age }.into());
        }

        // Check 10, second half: the nonce is used up, if the source accepts each nonce once.
        if !self.nonces.consume(proof.contents.nonce(), role, &actual, now) {
            return Err(Refusal { reason: Reason::Nonce, nonce: self.make_nonce(role, &actual, now) });
        }

        // RFC 9449 §11.1: each proof is accepted once.
        let record = ProofRecord::new(&actual, proof.jti(), lifetime.at_any_node(nonce_made));
        match self.replay.insert_if_absent(&record, now) {
            Ok(InsertOutcome::Inserted) => {}
            Ok(InsertOutcome::AlreadyPresent) => return Err(Reason::Replayed.into()),
            // A proof with a new nonce is known not to be one of the lost ones.
            Err(ReplayStoreError::Forgotten { until, .. })
                if nonce_made.is_some() && earliest_at_any_node(now) > until =>
            {
                let nonce = self.make_nonce(role, &actual, now);
                return Err(Refusal { reason: Reason::NonceOlderThanStore, nonce });
            }
            Err(ReplayStoreError::TooManyProofs { allowed, retry_after }) => {
                return Err(Reason::TooManyProofs { allowed, retry_after }.into());
            }
            Err(error) => return Err(Reason::ReplayStore(error).into()),
        }
        if renew_nonce {
            proof.next_nonce = self.make_nonce(role, &actual, now);
        }
        Ok(proof)
    }

    /// Makes a nonce that counts as made since the replay store has been recording proofs. Requests of the
    /// first moment may have read the clock before the first of them was seen.
    fn make_nonce(&self, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> Option<String> {
        let since = self.replay.recording_since(now).unwrap_or(now);
        self.nonces.make(role, jkt, now.max(since))
    }

    /// Returns whether a verification needs I/O: that of the replay store, of the nonce source or of a
    /// signature verifier.
    pub(crate) fn needs_io(&self) -> bool {
        self.replay.needs_io() || self.nonces.needs_io() || self.algorithms.need_io()
    }

    /// Assembles a rejection, which lists the accepted algorithms.
    pub(crate) fn reject(&self, refusal: Refusal, role: ServerRole, bearer: BearerChallenge) -> Rejection {
        Rejection::new(refusal, role, self.algorithms.names(), bearer)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithms", &self.algorithms)
            .field("max_age", &self.times.max_age)
            .field("leeway", &self.times.leeway)
            .finish_non_exhaustive()
    }
}

/// A proof that passed every check but those of [`Verifier::accept`].
pub(crate) struct UnrecordedProof {
    proof: VerifiedProof,
    role: ServerRole,
    /// The hash of the access token that it was made for.
    token_hash: Option<[u8; 32]>,
    lifetime: ProofLifetime,
    /// When its nonce was made, where it is known.
    nonce_made: Option<SystemTime>,
    /// Whether the response carries a new nonce.
    renew_nonce: bool,
}

impl UnrecordedProof {
    /// Returns the access token that the proof was made for as it was presented.
    pub(crate) fn presented_token<'a>(&self, access_token: &'a str) -> PresentedToken<'a> {
        let jkt = self.proof.thumbprint();
        match self.token_hash {
            Some(hash) => PresentedToken::with_hash(access_token, jkt, hash),
            None => PresentedToken::new(access_token, Some(&jkt)),
        }
    }
}

/// Checks and reads the `jwk` header parameter (RFC 9449 §4.3 checks 5 and 7). The key is used for this
/// proof alone.
fn embedded_key(header: &Header<'_>, algorithm: Algorithm) -> Result<PublicKey, Reason> {
    let wrong = |detail: String| Reason::Jwk { detail };
    let Some(Json::Object(jwk)) = header.get("jwk") else {
        return Err(wrong("there is none, or it is not an object".to_owned()));
    };
    if let Some(name) = private_member(jwk) {
        return Err(wrong(format!("it has the private member `{name}`")));
    }
    check_algorithm(jwk, algorithm).map_err(wrong)?;
    check_operation(jwk, KeyOperation::Verify).map_err(wrong)?;
    // That its point lies on the curve is checked with the signature.
    let key = PublicKey::from_unchecked_members(jwk).map_err(|error| wrong(error.to_string()))?;
    match key.fits(algorithm) {
        true => Ok(key),
        false => Err(wrong(format!("it is not a key for {algorithm}"))),
    }
}

fn check_htu(htu: &str, expected: &Htu) -> Result<(), Reason> {
    // Text in normal form is compared without being parsed.
    if expected.is_normal_form(htu) {
        return Ok(());
    }
    match htu.parse::<Htu>() {
        Ok(actual) if actual == *expected => Ok(()),
        Ok(actual) => Err(Reason::Htu { expected: expected.clone(), actual }),
        Err(error) => Err(Reason::HtuMalformed(error)),
    }
}

/// Returns the hash of the access token.
fn check_ath(claims: &Object<'_>, access_token: &str) -> Result<[u8; 32], Reason> {
    let seen = required_string(claims, "ath")?;
    let hash = sha256(access_token.as_bytes());
    match from_base64url_to(seen) {
        Some(seen) if are_equal(&seen, &hash) => Ok(hash),
        _ => Err(Reason::Ath),
    }
}

/// Returns a claim that must be a string and not empty.
fn required_string<'a>(claims: &'a Object<'_>, claim: &'static str) -> Result<&'a str, Reason> {
    string_claim(claims, claim).ok_or(Reason::Claim { claim })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpop::proof::Proof;
    use crate::jose::key_pair::KeyPair;
    use crate::jose::signer::Signer as _;
    use crate::server::memory_replay_store::MemoryReplayStore;

    /// The issuer took so long that the proof is stale by now. That must not be what a thief is told, who
    /// would get another error code for an unknown token.
    #[test]
    fn v_64_the_binding_is_compared_before_the_age_of_the_proof_is_checked_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let key = || KeyPair::generate(Algorithm::Ed25519).unwrap();
        let (owner, thief) = (key(), key());
        let url = "https://api.example/a";
        let proof = Proof::new(&http::Method::GET, url).unwrap().access_token("t").sign(&thief, now).unwrap();
        let fields = vec![proof.as_bytes()];
        let request = ReceivedRequest::from_fields(&http::Method::GET, url, fields).unwrap();
        let verifier = Verifier::new(MemoryReplayStore::new(10));
        let refusal = |jkt: Thumbprint| {
            let proof = verifier.check(&request, ServerRole::ResourceServer, Some("t"), now).ok().unwrap();
            let later = now + Duration::from_secs(90);
            verifier.accept(proof, Some(&jkt), later).err().unwrap().reason
        };
        assert!(matches!(refusal(owner.public_key().thumbprint()), Reason::Binding { .. }));
        assert!(matches!(refusal(thief.public_key().thumbprint()), Reason::Stale { .. }));
    }
}
