//! `possession proof`: prints one proof.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::builder::PossibleValuesParser;
use possession::zeroize::Zeroizing;
use possession::{Algorithm, ErrorKind, KeyPair, Proof, Signer};
use serde_json::{Value, json};

use crate::commands::token::method;
use crate::failure::{Failure, refused};
use crate::key_file::read_private;
use crate::options::secret::TokenOptions;
use crate::options::server::absolute;
use crate::output;

/// Print one DPoP proof, for another HTTP client.
///
/// It is valid for one request of this method and URL, for a short time.
#[derive(clap::Args)]
#[command(after_long_help = "\
Example, with the access token in the environment variable TOKEN:
  curl -i -H \"DPoP: $(possession proof GET $URL --key key.jwk --token-env TOKEN)\" \\
    -H \"Authorization: DPoP $TOKEN\" $URL
A server that requires a nonce refuses this, and its response has one in the field DPoP-Nonce, for --nonce.")]
pub struct MakeProof {
    /// The method of the request
    method: String,
    /// The URL of the request
    url: String,
    /// The private key that signs the proof: PEM, JWK or DER; - is standard input
    #[arg(long, value_name = "FILE", alias = "dpop-key")]
    key: PathBuf,
    /// The algorithm, for a key that has several, such as PS256 for an RSA key; or Ed25519, for servers that
    /// know EdDSA by that name only
    #[arg(long, value_name = "ALG", value_parser = PossibleValuesParser::new(ALGORITHMS), alias = "dpop-alg")]
    alg: Option<String>,
    /// The nonce that the server asked for
    #[arg(long, value_name = "NONCE", allow_hyphen_values = true)]
    nonce: Option<String>,
    #[command(flatten)]
    token: TokenOptions,
}

/// The algorithms that the keys of this program can sign with.
const ALGORITHMS: [&str; 10] =
    ["ES256", "ES384", "EdDSA", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

impl MakeProof {
    pub fn run(self) -> Result<(), Failure> {
        let mut key = read_private(&self.key)?;
        if let Some(name) = &self.alg {
            key = key.with_algorithm(name.parse().map_err(refused)?).map_err(refused)?;
            // The other name of EdDSA is that of the JWK (RFC 9864 §2.2).
            if key.algorithm() == Algorithm::Ed25519 {
                let mut jwk: Value = serde_json::from_str(&key.to_jwk())?;
                if let Some(members) = jwk.as_object_mut() {
                    members.insert("alg".to_owned(), json!(name));
                }
                key = KeyPair::from_jwk(&Zeroizing::new(jwk.to_string()))?;
            }
        }
        let (method, token) = (method(&self.method)?, self.token.read()?);
        let mut proof = Proof::new(&method, absolute(&self.url)?)?;
        if let Some(token) = &token {
            proof = proof.access_token(token);
        }
        if let Some(nonce) = self.nonce {
            proof = proof.nonce(nonce);
        }
        let proof = proof.sign(&key, SystemTime::now()).map_err(|error| match error.kind() {
            ErrorKind::Parameter => refused(error), // the nonce
            _ => error.into(),
        })?;
        output::write(format!("{proof}\n").as_bytes())
    }
}
