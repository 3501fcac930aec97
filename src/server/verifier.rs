//! Verification of DPoP proofs (RFC 9449 §4.3).

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use subtle::ConstantTimeEq;

use crate::dpop::htu::Htu;
use crate::dpop::proof::ath;
use crate::dpop::server_role::ServerRole;
use crate::jose::algorithm::Algorithm;
use crate::jose::json::{Json, Object};
use crate::jose::jwk_use::{KeyOperation, check_algorithm, check_operation};
use crate::jose::jws::{Header, Jws};
use crate::jose::public_key::{PublicKey, Thumbprint, private_member};
use crate::server::accepted_algorithms::{AcceptedAlgorithms, SignatureVerifier};
use crate::server::claims::{MAX_TIME, NumericDate, string_claim};
use crate::server::nonce::{NonceSource, NonceState};
use crate::server::received_request::ReceivedRequest;
use crate::server::rejection::{Reason, Rejection};
use crate::server::replay::{InsertOutcome, ReplayKey, ReplayStore};
use crate::server::verified_proof::VerifiedProof;
use crate::text::is_nonce;
use crate::time::unix_seconds;

/// How far the clocks of two nodes that share a replay store may disagree: so much longer is a proof remembered than it is
/// accepted.
const NODE_CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

/// Checks DPoP proofs: everything RFC 9449 §4.3 demands, in one call that cannot be half done.
///
/// One verifier serves all threads. Give each endpoint its own replay store, and authenticate the client of a token request
/// first: at an endpoint that is open to all, whoever likes can fill the store with proofs by keys of their own, and a full
/// store rejects. By default it accepts `ES256` and Ed25519, proofs up to 60 seconds old and up to
/// 5 seconds ahead of this machine's clock.
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
/// // At the token endpoint: the URL is the server's own, from its configuration, not from the request's headers.
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
    signatures: AcceptedAlgorithms,
    max_age: Duration,
    leeway: Duration,
    replay: Arc<dyn ReplayStore>,
    nonces: NoncePolicy,
    trust_nonce_time: bool,
}

#[derive(Clone)]
enum NoncePolicy {
    Off,
    Optional(Arc<dyn NonceSource>),
    Required(Arc<dyn NonceSource>),
}

impl Verifier {
    /// A verifier that remembers proofs in `replay`, for as long as they could be accepted again.
    #[must_use]
    pub fn new(replay: impl ReplayStore + 'static) -> Self {
        Self {
            signatures: AcceptedAlgorithms::default(),
            max_age: Duration::from_secs(60),
            leeway: Duration::from_secs(5),
            replay: Arc::new(replay),
            nonces: NoncePolicy::Off,
            trust_nonce_time: false,
        }
    }

    /// The algorithms to accept, and no others. Those that nobody here checks are never accepted.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.signatures.accept(algorithms);
        self
    }

    /// Checks signatures of algorithms that this crate does not check. List them in [`algorithms`](Self::algorithms) too.
    #[must_use]
    pub fn signature_verifier(mut self, checker: impl SignatureVerifier + 'static) -> Self {
        self.signatures.add(checker);
        self
    }

    /// Demands a nonce of this source in each proof (RFC 9449 §8, §9): a proof without a valid one is answered with
    /// `use_dpop_nonce` and a new nonce. One source may serve the token endpoint and resources: it tells their nonces apart.
    #[must_use]
    pub fn require_nonces(self, source: impl NonceSource + 'static) -> Self {
        Self { nonces: NoncePolicy::Required(Arc::new(source)), ..self }
    }

    /// Offers nonces without demanding them: [`next_nonce`](VerifiedProof::next_nonce) has one for a client whose proof had
    /// none. A nonce that is there must be valid. A client may go on without the nonce it was given, which RFC 9449 §11.3
    /// forbids a server to accept: this is for a time of change, until all clients use nonces.
    #[must_use]
    pub fn offer_nonces(self, source: impl NonceSource + 'static) -> Self {
        Self { nonces: NoncePolicy::Optional(Arc::new(source)), ..self }
    }

    /// Lets the time in a valid nonce stand in for `iat` (RFC 9449 §11.1), so that clients whose clock is wrong are served:
    /// a proof is then good as long as its nonce is. For sources that know when they made a nonce.
    #[must_use]
    pub fn trust_nonce_time(self) -> Self {
        Self { trust_nonce_time: true, ..self }
    }

    /// How old a proof may be, in whole seconds (RFC 9449 §11.1). Verifiers that share a replay store, clones included,
    /// must have the same, and the same nonce lifetime where
    /// [`trust_nonce_time`](Self::trust_nonce_time) is set: what one of them forgets, the other must not accept any more.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age: Duration::from_secs(max_age.as_secs()), ..self }
    }

    /// How far ahead of this machine's clock a proof may be dated, in whole seconds.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway: Duration::from_secs(leeway.as_secs()), ..self }
    }

    /// Checks the proof of a request to the token endpoint. Bind the token to the
    /// [`thumbprint`](VerifiedProof::thumbprint) it gives (RFC 9449 §5, §6).
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_token_request(
        &self,
        request: &ReceivedRequest<'_>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.check(request, ServerRole::AuthorizationServer, None, None, now)
    }

    /// Checks the proof of a request to the token endpoint that must come from one key: the `dpop_jkt` of the
    /// authorization request (RFC 9449 §10) or the key a refresh token is bound to (§5).
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_token_request_bound_to(
        &self,
        request: &ReceivedRequest<'_>,
        jkt: &Thumbprint,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.check(request, ServerRole::AuthorizationServer, None, Some(jkt), now)
    }

    /// Checks the proof of a request to a protected resource: that it was made for this access token, by the key the
    /// token is bound to (RFC 9449 §7.1). Token and `jkt` come from you: the token from `Authorization: DPoP`, its `jkt`
    /// from the `cnf` claim of the token after *its* checks, or from introspection (§6). [`ResourceServer`] does all of it.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_resource_request(
        &self,
        request: &ReceivedRequest<'_>,
        access_token: &str,
        jkt: &Thumbprint,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.check(request, ServerRole::ResourceServer, Some(access_token), Some(jkt), now)
    }

    fn check(
        &self,
        request: &ReceivedRequest<'_>,
        part: ServerRole,
        access_token: Option<&str>,
        jkt: Option<&Thumbprint>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        let examined = self.examine(request, part, access_token, now)?;
        self.accept(examined, part, jkt, now)
    }

    /// Every check that needs neither the key a token is bound to nor memory: cheap ones first, the signature last but for
    /// the nonce, which only who can sign is told of.
    pub(crate) fn examine(
        &self,
        request: &ReceivedRequest<'_>,
        part: ServerRole,
        access_token: Option<&str>,
        now: SystemTime,
    ) -> Result<Examined, Rejection> {
        let mut fresh = None;
        self.checks(request, part, access_token, now, &mut fresh)
            .map_err(|reason| self.rejection(reason, part).with_nonce(fresh))
    }

    /// The rest: the binding, and the `jti` burned last.
    pub(crate) fn accept(
        &self,
        examined: Examined,
        part: ServerRole,
        jkt: Option<&Thumbprint>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        let Examined { proof, accepted_until } = examined;
        let seen = proof.thumbprint();
        // Time may have passed since the window was looked at, and a store may have forgotten what ended meanwhile.
        if accepted_until < now.checked_sub(Duration::from_secs(1)).unwrap_or(now) {
            let age = now.duration_since(proof.iat).unwrap_or_default();
            return Err(self.rejection(Reason::Stale { age, allowed: self.max_age }, part));
        }
        let remembered_until = accepted_until.checked_add(NODE_CLOCK_TOLERANCE).unwrap_or(accepted_until);
        let reason = match jkt.filter(|expected| **expected != seen) {
            Some(expected) => Reason::Binding { expected: *expected, seen },
            None => {
                match self.replay.insert_if_absent(&ReplayKey::new(&seen, &proof.jti), remembered_until, now)
                {
                    Ok(InsertOutcome::Inserted) => return Ok(proof),
                    Ok(InsertOutcome::AlreadyPresent) => Reason::Replayed,
                    Err(error) => Reason::ReplayStore(error),
                }
            }
        };
        Err(self.rejection(reason, part))
    }

    /// A rejection that lists what is accepted here.
    pub(crate) fn rejection(&self, reason: Reason, part: ServerRole) -> Rejection {
        Rejection::new(reason, part, self.signatures.names())
    }

    /// `fresh` gets the nonce to go with a rejection.
    fn checks(
        &self,
        request: &ReceivedRequest<'_>,
        part: ServerRole,
        access_token: Option<&str>,
        now: SystemTime,
        fresh: &mut Option<String>,
    ) -> Result<Examined, Reason> {
        let proof = match *request.proofs.as_slice() {
            [proof] => std::str::from_utf8(proof).map_err(|_| Reason::NotAscii)?,
            [] => return Err(Reason::NoProof),
            _ => return Err(Reason::SeveralProofs { fields: request.proofs.len() }),
        };
        let jws = Jws::parse(proof).map_err(Reason::Malformed)?;
        let header = jws.header().map_err(Reason::Malformed)?;
        if header.get("typ").and_then(Json::as_str) != Some("dpop+jwt") {
            return Err(Reason::Typ);
        }
        let algorithm = header.algorithm(&self.signatures)?;
        let key = embedded_key(&header, algorithm)?;
        let thumbprint = key.thumbprint();

        let claims = jws.claims().map_err(Reason::Malformed)?;
        let jti = required_text(&claims, "jti")?.to_owned();
        let htm = required_text(&claims, "htm")?;
        if htm != request.method.as_str() {
            let (expected, seen) = (request.method.to_string(), crate::text::printable(htm, 40));
            return Err(Reason::Htm { expected, seen });
        }
        let htu = required_text(&claims, "htu")?;
        // What is written in normal form needs no reading to be compared.
        if !request.url.is_normal_form(htu) {
            match htu.parse::<Htu>() {
                Ok(htu) if htu == request.url => {}
                Ok(htu) => return Err(Reason::Htu { expected: request.url.clone(), seen: htu }),
                Err(error) => return Err(Reason::HtuMalformed(error)),
            }
        }
        let nonce = self.nonce(&claims, part, &thumbprint, now);
        let window = self.window(&claims, &nonce, now)?;
        if let Some(token) = access_token {
            check_ath(&claims, token)?;
        }

        match self.signatures.verify(&jws, algorithm, &key) {
            Some(true) => {}
            Some(false) => return Err(Reason::Signature),
            None => return Err(Reason::NoSignatureVerifier { algorithm }),
        }
        let next_nonce = match nonce {
            Nonce::NotUsed => None,
            Nonce::Fine { renew: false, .. } => None,
            Nonce::Fine { renew: true, .. } => self.make_nonce(part, &thumbprint, now),
            Nonce::Refused(reason) => {
                *fresh = self.make_nonce(part, &thumbprint, now);
                return Err(reason);
            }
        };
        drop((header, claims));
        let (payload, claims) = (jws.into_payload(), OnceLock::new());
        let proof = VerifiedProof { key, jti, iat: window.iat, payload, claims, next_nonce };
        Ok(Examined { proof, accepted_until: window.accepted_until })
    }

    /// RFC 9449 §4.3 check 10.
    fn nonce(&self, claims: &Object<'_>, part: ServerRole, jkt: &Thumbprint, now: SystemTime) -> Nonce {
        let (source, required) = match &self.nonces {
            NoncePolicy::Off => return Nonce::NotUsed,
            NoncePolicy::Optional(source) => (source, false),
            NoncePolicy::Required(source) => (source, true),
        };
        let nonce = match claims.get("nonce") {
            Some(Json::String(nonce)) => nonce,
            None if !required => return Nonce::Fine { renew: true, until: None },
            None => return Nonce::Refused(Reason::NoNonce),
            Some(_) => return Nonce::Refused(Reason::Nonce),
        };
        match source.check(nonce, part, jkt, now) {
            NonceState::Valid { until, ageing } if is_nonce(nonce) => Nonce::Fine { renew: ageing, until },
            _ => Nonce::Refused(Reason::Nonce),
        }
    }

    fn make_nonce(&self, part: ServerRole, jkt: &Thumbprint, now: SystemTime) -> Option<String> {
        let (NoncePolicy::Optional(source) | NoncePolicy::Required(source)) = &self.nonces else {
            return None;
        };
        let nonce = source.make(part, Some(jkt), now);
        nonce.inspect_err(|error| log::error!("no nonce can be given: {error}")).ok()
    }

    /// RFC 9449 §4.3 check 11, and `exp` and `nbf` where they are present (RFC 7519 §4.1.4, §4.1.5).
    fn window(&self, claims: &Object<'_>, nonce: &Nonce, now: SystemTime) -> Result<Window, Reason> {
        let now = unix_seconds(now).map_err(Reason::Clock)?;
        let (max_age, skew) = (self.max_age.as_secs(), self.leeway.as_secs());
        let date = |claim| NumericDate::of(claims, claim).map_err(|()| Reason::Claim { claim });
        let iat = date("iat")?.ok_or(Reason::Claim { claim: "iat" })?;
        let time = |seconds| {
            UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Reason::Claim { claim: "iat" })
        };
        if self.trust_nonce_time {
            // By the client's own clock, whatever that shows.
            if date("exp")?.is_some_and(|exp| exp.ceiling() <= iat.floor()) {
                return Err(Reason::Expired);
            }
            if date("nbf")?.is_some_and(|nbf| nbf.floor() > iat.ceiling()) {
                return Err(Reason::NotYetValid);
            }
            match nonce {
                Nonce::Fine { until: Some(until), .. } => {
                    return Ok(Window { iat: time(iat.floor())?, accepted_until: *until });
                }
                // The client is to come again with a good nonce: whatever its clock says.
                Nonce::Refused(_) => {
                    return Ok(Window { iat: time(iat.floor())?, accepted_until: time(now)? });
                }
                _ => {}
            }
        }
        // A fraction counts for the end it is nearer to being refused at.
        if iat.ceiling() > now.saturating_add(skew) {
            let ahead = Duration::from_secs(iat.ceiling().saturating_sub(now));
            return Err(Reason::Future { ahead, allowed: self.leeway });
        }
        let end = iat.floor().saturating_add(max_age).min(MAX_TIME);
        if end < now {
            let age = Duration::from_secs(now.saturating_sub(iat.floor()));
            return Err(Reason::Stale { age, allowed: self.max_age });
        }
        if date("exp")?.is_some_and(|exp| exp.ceiling() <= now) {
            return Err(Reason::Expired);
        }
        if date("nbf")?.is_some_and(|nbf| nbf.floor() > now.saturating_add(skew)) {
            return Err(Reason::NotYetValid);
        }
        Ok(Window { iat: time(iat.floor())?, accepted_until: time(end)? })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithms", &self.signatures)
            .field("max_age", &self.max_age)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

/// A proof that passed all but the last checks.
pub(crate) struct Examined {
    proof: VerifiedProof,
    accepted_until: SystemTime,
}

struct Window {
    iat: SystemTime,
    accepted_until: SystemTime,
}

/// What came of the nonce of a proof.
enum Nonce {
    NotUsed,
    /// Valid, or not needed; `renew`: the response should carry one.
    Fine {
        renew: bool,
        until: Option<SystemTime>,
    },
    Refused(Reason),
}

/// RFC 9449 §4.3 check 12.
fn check_ath(claims: &Object<'_>, access_token: &str) -> Result<(), Reason> {
    let seen = required_text(claims, "ath")?;
    match seen.as_bytes().ct_eq(ath(access_token).as_bytes()).into() {
        true => Ok(()),
        false => Err(Reason::Ath),
    }
}

/// RFC 9449 §4.3 checks 5 to 7: the `jwk` header, which is used for this proof and nothing else.
fn embedded_key(header: &Header<'_>, algorithm: Algorithm) -> Result<PublicKey, Reason> {
    let wrong = |wrong: String| Reason::Jwk { wrong };
    let Some(Json::Object(jwk)) = header.get("jwk") else {
        return Err(wrong("there is none, or it is not an object".to_owned()));
    };
    if let Some(name) = private_member(jwk) {
        return Err(wrong(format!("it has the private member `{name}`")));
    }
    check_algorithm(jwk, algorithm).map_err(wrong)?;
    check_operation(jwk, KeyOperation::Verify).map_err(wrong)?;
    let key = PublicKey::from_members(jwk).map_err(|error| wrong(error.to_string()))?;
    match key.fits(algorithm) {
        true => Ok(key),
        false => Err(wrong(format!("it is not a key for {algorithm}"))),
    }
}

/// A claim that must be a string with something in it.
fn required_text<'a>(claims: &'a Object<'_>, claim: &'static str) -> Result<&'a str, Reason> {
    string_claim(claims, claim).ok_or(Reason::Claim { claim })
}
