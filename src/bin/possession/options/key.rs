//! The proof-of-possession key.

use std::path::PathBuf;

use possession::{Algorithm, AuthorizationServer, KeyPair, Prover};

use crate::failure::{Failure, refused, usage};
use crate::key_file::read_private;

/// The key that signs proofs.
#[derive(clap::Args)]
#[command(next_help_heading = "Proofs")]
pub struct KeyOptions {
    /// The algorithm of proofs: ES256, Ed25519 or another. By default one that the server lists
    #[arg(long, value_name = "ALG")]
    pub dpop_alg: Option<String>,
    /// The private key that signs proofs: PEM, JWK or DER. By default a new one
    #[arg(long, value_name = "FILE")]
    pub dpop_key: Option<PathBuf>,
}

/// The algorithms that keys are made for, with the preferred ones first.
const MADE: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Ed25519, Algorithm::Es384];

impl KeyOptions {
    /// Refuses an algorithm that is not one or that no key can be made for, and a key that cannot be read.
    pub fn check(&self) -> Result<(), Failure> {
        match (self.key()?, self.algorithm()?) {
            (None, Some(algorithm)) if !MADE.contains(&algorithm) => Err(usage(format!(
                "--dpop-alg {algorithm} needs --dpop-key (new keys are for ES256, Ed25519 or ES384)"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the key that the options name, if they do.
    pub fn key(&self) -> Result<Option<KeyPair>, Failure> {
        let Some(file) = &self.dpop_key else { return Ok(None) };
        let key = read_private(file)?;
        Ok(Some(match self.algorithm()? {
            Some(algorithm) => key.with_algorithm(algorithm).map_err(refused)?,
            None => key,
        }))
    }

    /// Returns a prover with that key, or with a new one whose algorithm the server lists.
    pub fn prover(&self, server: &AuthorizationServer) -> Result<Prover, Failure> {
        let key = match self.key()? {
            Some(key) => key,
            None => KeyPair::generate(self.algorithm()?.unwrap_or_else(|| listed_algorithm(server)))?,
        };
        Ok(Prover::new(key)?)
    }

    fn algorithm(&self) -> Result<Option<Algorithm>, Failure> {
        self.dpop_alg.as_ref().map(|name| name.parse().map_err(refused)).transpose()
    }
}

/// ES256, unless the server lists Ed25519 or ES384 and not that.
fn listed_algorithm(server: &AuthorizationServer) -> Algorithm {
    let listed = server.member("dpop_signing_alg_values_supported").and_then(|listed| listed.as_array());
    let names = listed.into_iter().flatten().filter_map(|name| name.as_str());
    let listed: Vec<_> = names.filter_map(Algorithm::from_name).collect();
    MADE.into_iter().find(|algorithm| listed.contains(algorithm)).unwrap_or(Algorithm::Es256)
}
