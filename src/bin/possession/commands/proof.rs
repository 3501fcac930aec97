//! `possession proof`: prints one proof.

use std::path::PathBuf;
use std::time::SystemTime;

use possession::{KeyPair, Proof};

use crate::commands::token::method;
use crate::failure::{Failure, usage};
use crate::options::secret::TokenOptions;
use crate::output;

/// Print one DPoP proof, for another HTTP client.
///
/// It is valid for one request of this method and URL, for a short time.
#[derive(clap::Args)]
#[command(after_long_help = "\
Example, with the access token in the environment variable TOKEN:
  curl -H \"DPoP: $(possession proof GET $URL --key key.jwk --token-env TOKEN)\" \\
    -H \"Authorization: DPoP $TOKEN\" $URL")]
pub struct MakeProof {
    /// The method of the request
    method: String,
    /// The URL of the request
    url: String,
    /// The private key that signs the proof: PEM, JWK or DER
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The algorithm, for a key that has several: PS256 for an RSA key, for example
    #[arg(long, value_name = "ALG")]
    alg: Option<String>,
    /// The nonce that the server asked for
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,
    #[command(flatten)]
    token: TokenOptions,
}

impl MakeProof {
    pub fn run(self) -> Result<(), Failure> {
        let mut key = KeyPair::from_file(&self.key)?;
        if let Some(name) = &self.alg {
            let wrong = |error: possession::Error| usage(error.to_string());
            key = key.with_algorithm(name.parse().map_err(wrong)?).map_err(wrong)?;
        }
        let (method, token) = (method(&self.method)?, self.token.read()?);
        let mut proof = Proof::new(&method, &self.url)?;
        if let Some(token) = &token {
            proof = proof.access_token(token);
        }
        if let Some(nonce) = self.nonce {
            proof = proof.nonce(nonce);
        }
        output::write(format!("{}\n", proof.sign(&key, SystemTime::now())?).as_bytes())
    }
}
