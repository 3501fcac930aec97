//! Usage: verifiers PACKAGE. Verifies proofs with a crate; see ../../README.md.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use atproto_oauth::dpop::{DpopValidationConfig, validate_dpop_jwt};
use dpop_verifier::{DpopError, DpopVerifier, NonceMode, ReplayContext, ReplayStore};
use huskarl_core::dpop::hash_access_token_for_dpop;
use huskarl_crypto_native::NativeVerifierPlatform;
use huskarl_resource_server::validator::dpop_proof::DPoPProofValidator;
use possession_interop_matrix::{Hello, NONCE, Request, print, print_outcome, requests};
use serde_json::json;
use turbomcp_dpop::{DpopProofGenerator, ProofContext};

const ALL: [&str; 10] =
    ["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// Detects no replays: each proof is new.
struct NoReplayStore;

#[async_trait::async_trait]
impl ReplayStore for NoReplayStore {
    async fn insert_once(&mut self, _: [u8; 32], _: ReplayContext<'_>) -> Result<bool, DpopError> {
        Ok(true)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let package = std::env::args().nth(1).expect("usage: verifiers PACKAGE");
    print(&match package.as_str() {
        "huskarl-resource-server" => Hello::new(&package, &ALL, true),
        "dpop-verifier" => Hello::new(&package, &["ES256", "EdDSA"], true),
        "atproto-oauth" => Hello::new(&package, &["ES256", "ES384"], true),
        "turbomcp-dpop" => Hello::new(&package, &["ES256"], false),
        other => panic!("no verifier {other}"),
    });
    for request in requests() {
        if request.op == "nonce" {
            print(&json!({ "nonce": NONCE }));
            continue;
        }
        print_outcome(match package.as_str() {
            "huskarl-resource-server" => huskarl(&request).await,
            "dpop-verifier" => dpop_verifier(&request).await,
            "atproto-oauth" => atproto(&request),
            _ => turbomcp(&request).await,
        });
    }
}

fn bound(request: &Request, jkt: &str) -> Result<()> {
    ensure!(request.access_token.is_none() || request.jkt.as_deref() == Some(jkt), "another key");
    Ok(())
}

/// It checks structure, signature and time, and its validator of requests compares the rest as here.
async fn huskarl(request: &Request) -> Result<()> {
    let validator = DPoPProofValidator::builder()
        .jws_verifier_platform(Arc::new(NativeVerifierPlatform))
        .max_proof_age(Duration::from_secs(300))
        .allowed_signing_algorithms(ALL.iter().map(|alg| (*alg).to_owned()).collect())
        .build();
    let proof = validator.validate(request.proof()).await?;
    ensure!(proof.htm.as_ref() == Some(&request.method), "htm: {:?}", proof.htm);
    ensure!(proof.htu.as_deref() == Some(request.url_without_query()), "htu: {:?}", proof.htu);
    ensure!(request.nonce.is_none() || proof.nonce == request.nonce, "nonce: {:?}", proof.nonce);
    if let Some(token) = &request.access_token {
        ensure!(proof.ath == Some(hash_access_token_for_dpop(token)), "ath: {:?}", proof.ath);
    }
    bound(request, proof.thumbprint.as_deref().unwrap_or_default())
}

async fn dpop_verifier(request: &Request) -> Result<()> {
    let nonces = match &request.nonce {
        Some(nonce) => NonceMode::RequireEqual { expected_nonce: nonce.clone() },
        None => NonceMode::Disabled,
    };
    let verifier = DpopVerifier::new().with_max_age_seconds(300).with_nonce_mode(nonces);
    let token = request.access_token.as_deref();
    let mut store = NoReplayStore;
    let verified = verifier.verify(&mut store, request.proof(), &request.url, &request.method, token).await?;
    bound(request, &verified.jkt)
}

fn atproto(request: &Request) -> Result<()> {
    let (method, url) = (&request.method, request.url_without_query());
    let mut config = match &request.access_token {
        Some(token) => DpopValidationConfig::for_resource_request(method, url, token),
        None => DpopValidationConfig::for_authorization(method, url),
    };
    config.expected_nonce_values = request.nonce.iter().cloned().collect();
    bound(request, &validate_dpop_jwt(request.proof(), &config)?)
}

async fn turbomcp(request: &Request) -> Result<()> {
    let validator = DpopProofGenerator::new_simple().await?;
    let token = request.access_token.as_deref();
    let context = if token.is_some() { ProofContext::ResourceServer } else { ProofContext::TokenEndpoint };
    let validated =
        validator.parse_and_validate_jwt(request.proof(), &request.method, &request.url, token, context).await;
    let validated = validated.map_err(|error| anyhow!("{error}"))?;
    bound(request, &validated.thumbprint)
}
