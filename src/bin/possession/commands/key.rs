//! `possession key`: generates, converts and checks keys.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use possession::{Algorithm, KeyPair, PublicKey, Signer, Thumbprint};
use serde_json::{Value, json};

use crate::failure::{Failure, usage};
use crate::options::secret::{read_file, write_private};
use crate::output;

/// Generate, convert and check keys.
#[derive(clap::Args)]
pub struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Generate a private key
    Generate {
        /// ES256, Ed25519 or ES384
        #[arg(long, default_value = "ES256")]
        alg: String,
        #[command(flatten)]
        target: Target,
    },
    /// Write a private key in another format
    Convert {
        /// The private key: PEM, JWK or DER; - is standard input
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Check a private or public key, and print a JSON object: kind, alg, jkt and public_jwk
    Check {
        /// The key: PEM, JWK or DER, or a public JWK; - is standard input
        file: PathBuf,
    },
    /// Print the thumbprint of a key (RFC 7638), as in `cnf.jkt` and `dpop_jkt`
    Thumbprint {
        /// The key: PEM, JWK or DER, or a public JWK; - is standard input
        file: PathBuf,
    },
    /// Print the public half of a key as a JWK
    Public {
        /// The key: PEM, JWK or DER, or a public JWK; - is standard input
        file: PathBuf,
    },
}

#[derive(clap::Args)]
struct Target {
    /// The format to write
    #[arg(long, default_value = "jwk")]
    format: Format,
    /// The file to write, which must not exist; by default standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// JSON Web Key (RFC 7517)
    Jwk,
    /// PKCS#8 in PEM (RFC 7468)
    Pem,
}

/// A key that was read.
enum AnyKey {
    Private(Box<KeyPair>),
    Public(Box<PublicKey>),
}

impl Key {
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Generate { alg, target } => {
                let algorithm: Algorithm =
                    alg.parse().map_err(|error: possession::Error| usage(error.to_string()))?;
                target.write(&KeyPair::generate(algorithm)?)
            }
            Action::Convert { file, target } => match read(&file)? {
                AnyKey::Private(key) => target.write(&key),
                AnyKey::Public(_) => Err("the file has a public key (a private one can be converted)".into()),
            },
            Action::Check { file } => output::pretty_json(&read(&file)?.describe()?),
            Action::Thumbprint { file } => {
                output::write(format!("{}\n", read(&file)?.public().thumbprint()).as_bytes())
            }
            Action::Public { file } => output::pretty_json(&public_jwk(read(&file)?.public())?),
        }
    }
}

impl Target {
    fn write(&self, key: &KeyPair) -> Result<(), Failure> {
        let text = match self.format {
            Format::Jwk => key.to_jwk(),
            Format::Pem => key.to_pkcs8_pem()?,
        };
        let text = text.trim_end();
        let Some(file) = &self.output else {
            return output::write(format!("{text}\n").as_bytes());
        };
        write_private(file, format!("{text}\n").as_bytes())
            .map_err(|error| format!("writing {}: {error}", file.display()))?;
        output::note(format_args!("wrote {} (jkt {})", file.display(), key.public_key().thumbprint()));
        Ok(())
    }
}

fn read(file: &Path) -> Result<AnyKey, Failure> {
    let bytes = read_file(file)?;
    let jwk: Option<Value> = serde_json::from_slice(&bytes).ok();
    let is_public = jwk.as_ref().is_some_and(|jwk| jwk.get("kty").is_some() && jwk.get("d").is_none());
    Ok(match is_public {
        true => AnyKey::Public(Box::new(PublicKey::from_jwk(&String::from_utf8_lossy(&bytes))?)),
        false if file == Path::new("-") => AnyKey::Private(Box::new(from_bytes(&bytes)?)),
        false => AnyKey::Private(Box::new(KeyPair::from_file(file)?)),
    })
}

fn from_bytes(bytes: &[u8]) -> Result<KeyPair, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with('{') => Ok(KeyPair::from_jwk(text)?),
        Ok(text) => Ok(KeyPair::from_pkcs8_pem(text)?),
        Err(_) => Ok(KeyPair::from_pkcs8_der(bytes)?),
    }
}

impl AnyKey {
    fn public(&self) -> &PublicKey {
        match self {
            Self::Private(key) => key.public_key(),
            Self::Public(key) => key,
        }
    }

    fn describe(&self) -> Result<Value, Failure> {
        let algorithm = match self {
            Self::Private(key) => Some(key.algorithm().name()),
            Self::Public(_) => None,
        };
        Ok(json!({
            "kind": if algorithm.is_some() { "private" } else { "public" },
            "alg": algorithm,
            "jkt": Thumbprint::to_string(&self.public().thumbprint()),
            "public_jwk": public_jwk(self.public())?,
        }))
    }
}

fn public_jwk(key: &PublicKey) -> Result<Value, Failure> {
    Ok(serde_json::from_str(key.to_jwk())?)
}
