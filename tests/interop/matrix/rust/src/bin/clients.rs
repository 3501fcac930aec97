//! Usage: clients PACKAGE. Makes proofs with a crate; see ../../README.md.

use anyhow::{Context, Result, anyhow};
use atproto_identity::key::{KeyData, KeyType, generate_key};
use atproto_oauth::dpop::{auth_dpop, request_dpop};
use http::{Method, Uri};
use huskarl_core::crypto::signer::{AsymmetricJwsSigner, AsymmetricJwsSignerSelector};
use huskarl_core::dpop::{ResourceDPoP, ResourceServerDPoP};
use huskarl_core::secrets::SecretString;
use huskarl_crypto_native::asymmetric::signer::{GenerateAlgorithm, PrivateKey};
use possession_interop_matrix::{Hello, Request, print, print_proof, requests};
use turbomcp_dpop::DpopProofGenerator;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let package = std::env::args().nth(1).expect("usage: clients PACKAGE");
    print(&match package.as_str() {
        "huskarl-core" => Hello::new(&package, &["ES256", "ES384", "Ed25519", "RS256", "PS256"], true),
        "atproto-oauth" => Hello::new(&package, &["ES256"], false),
        "turbomcp-dpop" => Hello::new(&package, &["ES256"], true),
        other => panic!("no client {other}"),
    });
    let key = generate_key(KeyType::P256Private).expect("a key");
    for request in requests() {
        print_proof(match package.as_str() {
            "huskarl-core" => huskarl(&request).await,
            "atproto-oauth" => atproto(&request, &key),
            _ => turbomcp(&request).await,
        });
    }
}

async fn huskarl(request: &Request) -> Result<String> {
    let algorithm = match request.alg.as_str() {
        "ES256" => GenerateAlgorithm::Es256,
        "ES384" => GenerateAlgorithm::Es384,
        "Ed25519" => GenerateAlgorithm::Ed25519,
        "RS256" => GenerateAlgorithm::Rs256 { modulus_length: 2048 },
        _ => GenerateAlgorithm::Ps256 { modulus_length: 2048 },
    };
    let key = PrivateKey::generate(algorithm, None).map_err(|error| anyhow!("{error}"))?;
    let jkt = key.select_asymmetric_signer().await.public_key_jwk().into_owned().thumbprint();
    let (method, uri): (Method, Uri) = (request.method.parse()?, request.url.parse()?);
    let dpop = ResourceDPoP::builder().signer(key).build();
    if let Some(nonce) = &request.nonce {
        dpop.update_nonce(&uri, nonce.clone());
    }
    let token = SecretString::new(request.access_token.as_deref().unwrap_or_default());
    let proof = dpop.proof(&method, &uri, &token, &jkt).await.map_err(|error| anyhow!("{error}"))?;
    Ok(proof.context("there is no proof")?.expose_secret().to_owned())
}

/// It takes the URL as it is to be in the proof.
fn atproto(request: &Request, key: &KeyData) -> Result<String> {
    let (method, url) = (&request.method, request.url_without_query());
    let (proof, _, _) = match &request.access_token {
        Some(token) => request_dpop(key, method, url, token)?,
        None => auth_dpop(key, method, url)?,
    };
    Ok(proof)
}

async fn turbomcp(request: &Request) -> Result<String> {
    let prover = DpopProofGenerator::new_simple().await.map_err(|error| anyhow!("{error}"))?;
    let (token, nonce) = (request.access_token.as_deref(), request.nonce.as_deref());
    let proof = prover.generate_proof_with_params(&request.method, &request.url, token, nonce, None).await;
    Ok(proof.map_err(|error| anyhow!("{error}"))?.to_jwt_string())
}
