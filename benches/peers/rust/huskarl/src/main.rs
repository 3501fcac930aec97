//! huskarl: huskarl-core with huskarl-crypto-native makes proofs, huskarl-resource-server verifies them. All
//! of it is async; no future here is ever pending.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_executor::block_on;
use http::{HeaderMap, Method, Uri};
use huskarl_core::crypto::signer::{AsymmetricJwsSigner, AsymmetricJwsSignerSelector};
use huskarl_core::crypto::verifier::JwsVerifierPlatform;
use huskarl_core::dpop::{
    DPoPNonceChecker, NonceCheck, ResourceDPoP, ResourceServerDPoP, hash_access_token_for_dpop,
};
use huskarl_core::jwk::PublicJwk;
use huskarl_core::jwt::Jwt;
use huskarl_core::platform::MaybeSendBoxFuture;
use huskarl_core::secrets::SecretString;
use huskarl_crypto_native::NativeVerifierPlatform;
use huskarl_crypto_native::asymmetric::signer::{GenerateAlgorithm, PrivateKey};
use huskarl_resource_server::validator::dpop_proof::DPoPProofValidator;
use huskarl_resource_server::validator::rfc9068::Rfc9068Validator;
use peer_common::{
    Workload, arguments, installed, measure, measure_each_once, report, verify_lines, workload,
};

fn main() {
    let (arguments, workload) = (arguments(), workload());
    let time = arguments.time;
    match arguments.operation.as_str() {
        "proof" => {
            let maker = Maker::new(&workload);
            let microseconds = measure(time, || {
                std::hint::black_box(maker.prove(&workload.access_token));
                true
            });
            report(&installed("huskarl-core"), "proof", microseconds);
        }
        "check" => {
            let (maker, checker) = (Maker::new(&workload), Checker::new(&workload));
            let make = || maker.prove(&workload.access_token);
            let check =
                |proof: &String| block_on(checker.check(proof, &workload.access_token, &maker.jkt)).is_some();
            report(&installed("huskarl-resource-server"), "check", measure_each_once(time, make, check));
        }
        // The access token is a JWT that is validated together with its proof: one for all requests, or a new
        // one for each.
        operation @ ("check-with-token" | "check-with-new-token") => {
            let (maker, issuer) = (Maker::new(&workload), key());
            let new_token = || access_token(&workload, &issuer, &maker.jkt);
            let one = (operation == "check-with-token").then(&new_token);
            let validator = TokenAndProof::new(&workload, public(&issuer));
            let make = || {
                let token = one.clone().unwrap_or_else(&new_token);
                headers(&maker.prove(&token), &token)
            };
            let microseconds = measure_each_once(time, make, |headers| validator.accepts(headers));
            report(&installed("huskarl-resource-server"), operation, microseconds);
        }
        "print" => println!("{}", Maker::new(&workload).prove(&workload.access_token)),
        "verify" => {
            let checker = Checker::new(&workload);
            verify_lines(|case| {
                block_on(checker.check(&case.proof, &case.access_token, &case.jkt)).is_some()
            });
        }
        "verify-with-token" => verify_lines(|case| {
            let jwks = case.jwks.as_ref().expect("keys");
            let key = serde_json::from_value(jwks["keys"][0].clone()).expect("a key");
            TokenAndProof::new(&workload, key).accepts(&headers(&case.proof, &case.access_token))
        }),
        other => panic!("huskarl has no operation {other}"),
    }
}

fn key() -> PrivateKey {
    PrivateKey::generate(GenerateAlgorithm::Es256, None).expect("a key")
}

fn public(key: &PrivateKey) -> PublicJwk {
    block_on(key.select_asymmetric_signer()).public_key_jwk().into_owned()
}

struct Maker {
    dpop: ResourceDPoP,
    jkt: String,
    method: Method,
    uri: Uri,
}

impl Maker {
    fn new(workload: &Workload) -> Self {
        let key = key();
        let jkt = public(&key).thumbprint();
        let dpop = ResourceDPoP::builder().signer(key).build();
        let uri: Uri = workload.url.parse().expect("a URI");
        dpop.update_nonce(&uri, workload.nonce.clone());
        Self { dpop, jkt, method: workload.method.parse().expect("a method"), uri }
    }

    fn prove(&self, access_token: &str) -> String {
        let token = SecretString::new(access_token);
        let proof = block_on(self.dpop.proof(&self.method, &self.uri, &token, &self.jkt));
        proof.expect("a proof").expect("a proof").expose_secret().to_owned()
    }
}

/// Verifies the proof alone. huskarl checks structure, signature and time, and returns the rest for
/// comparison.
struct Checker<'a> {
    validator: DPoPProofValidator,
    workload: &'a Workload,
}

impl<'a> Checker<'a> {
    fn new(workload: &'a Workload) -> Self {
        let validator = DPoPProofValidator::builder()
            .jws_verifier_platform(Arc::new(NativeVerifierPlatform))
            .max_proof_age(Duration::from_secs(workload.max_age))
            .allowed_signing_algorithms(vec!["ES256".to_owned()])
            .build();
        Self { validator, workload }
    }

    async fn check(&self, proof: &str, access_token: &str, jkt: &str) -> Option<()> {
        let proof = self.validator.validate(proof).await.ok()?;
        let Workload { method, url, nonce, .. } = self.workload;
        let matches = proof.htm.as_ref() == Some(method)
            && proof.htu.as_ref() == Some(url)
            && proof.nonce.as_ref() == Some(nonce)
            && proof.ath? == hash_access_token_for_dpop(access_token);
        (matches && proof.jti.is_some() && proof.iat.is_some() && proof.thumbprint? == jkt).then_some(())
    }
}

/// Verifies access token and proof.
struct TokenAndProof {
    validator: Rfc9068Validator,
    method: Method,
    uri: Uri,
}

/// Accepts one nonce.
struct FixedNonce(String);

impl DPoPNonceChecker for FixedNonce {
    fn check_nonce<'a>(
        &'a self,
        nonce: Option<&'a str>,
    ) -> MaybeSendBoxFuture<'a, Result<NonceCheck, huskarl_core::Error>> {
        let check = match nonce == Some(&self.0) {
            true => NonceCheck::Valid,
            false => NonceCheck::Invalid(self.0.clone()),
        };
        Box::pin(async { Ok(check) })
    }
}

impl TokenAndProof {
    fn new(workload: &Workload, issuer: PublicJwk) -> Self {
        let keys = move |_: Option<&huskarl_core::EndpointUrl>, platform: Arc<dyn JwsVerifierPlatform>| {
            let key = issuer.clone();
            Box::pin(async move {
                let verifier = platform.create_verifier_from_jwk(key).await;
                Ok(verifier.expect("a key that can be used"))
            }) as MaybeSendBoxFuture<'static, Result<_, huskarl_core::Error>>
        };
        let validator = Rfc9068Validator::builder()
            .issuer(workload.issuer.clone())
            .audience(workload.audience.clone())
            .jws_verifier_factory(keys)
            .max_dpop_proof_age(Duration::from_secs(workload.max_age))
            .dpop_nonce_checker(FixedNonce(workload.nonce.clone()))
            .require_dpop(true);
        Self {
            validator: block_on(validator.build()).expect("a validator"),
            method: workload.method.parse().expect("a method"),
            uri: workload.url.parse().expect("a URI"),
        }
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        let result = block_on(self.validator.validate_request(headers, &self.method, &self.uri, None));
        matches!(result.outcome, Ok(Some(_)))
    }
}

fn headers(proof: &str, access_token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("DPoP {access_token}").parse().expect("a field"));
    headers.insert("dpop", proof.parse().expect("a field"));
    headers
}

#[derive(Clone, serde::Serialize)]
struct Claims<'a> {
    client_id: &'a str,
    cnf: Confirmation<'a>,
}

#[derive(Clone, serde::Serialize)]
struct Confirmation<'a> {
    jkt: &'a str,
}

fn access_token(workload: &Workload, issuer: &PrivateKey, jkt: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time");
    let token = Jwt::builder()
        .typ("at+jwt")
        .iss(workload.issuer.clone())
        .audience(workload.audience.clone())
        .sub("client")
        .issued_now()
        .exp(UNIX_EPOCH + now + Duration::from_secs(3600))
        .claims(Claims { client_id: "client", cnf: Confirmation { jkt } })
        .build();
    let signer = block_on(issuer.select_asymmetric_signer());
    block_on(token.to_jws_compact(&*signer)).expect("a token").expose_secret().to_owned()
}
