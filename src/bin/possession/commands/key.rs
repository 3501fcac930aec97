//! `possession key`: generates, converts and checks keys.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use possession::zeroize::Zeroizing;
use possession::{Algorithm, KeyPair, Signer, Thumbprint};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::key_file::{AnyKey, KeyFile};
use crate::options::secret::write_private;
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
        /// The algorithm that the key is for. `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`
        /// generates RSA keys
        #[arg(long, value_name = "ALG", default_value = "ES256")]
        alg: Generated,
        #[command(flatten)]
        target: Target,
    },
    /// Write a private or public key in another format
    ///
    /// Of the members of a JWK that are not part of the key, a JWK keeps kid and alg. PEM has neither.
    Convert {
        /// The private or public key: PEM, JWK or DER; - is standard input
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Check a private or public key, and print a JSON object: kind, alg, jkt and public_jwk
    ///
    /// alg is a list for a public RSA key, which has several algorithms.
    Check {
        /// The private or public key: PEM, JWK or DER; - is standard input
        file: PathBuf,
    },
    /// Print the thumbprint of a key (RFC 7638), as in `cnf.jkt` and `dpop_jkt`
    Thumbprint {
        /// The private or public key: PEM, JWK or DER; - is standard input
        file: PathBuf,
    },
    /// Print the public half of a key
    ///
    /// A JWK has the kid and alg of the JWK that it is made from.
    Public {
        /// The private or public key: PEM, JWK or DER; - is standard input
        file: PathBuf,
        /// The format to print
        #[arg(long, default_value = "jwk")]
        format: Format,
    },
}

#[derive(clap::Args)]
struct Target {
    /// The format to write. By default pem for a file whose name ends with .pem, and jwk otherwise
    #[arg(long)]
    format: Option<Format>,
    /// The file to write, which must not exist; by default standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// JSON Web Key (RFC 7517)
    Jwk,
    /// PEM (RFC 7468): PKCS#8 for a private key, SubjectPublicKeyInfo for a public one
    Pem,
}

/// An algorithm that keys are generated for.
#[derive(Clone, Copy, ValueEnum)]
enum Generated {
    #[value(name = "ES256")]
    Es256,
    #[value(name = "Ed25519", alias = "EdDSA")]
    Ed25519,
    #[value(name = "ES384")]
    Es384,
}

impl Key {
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Generate { alg, target } => {
                let algorithm = match alg {
                    Generated::Es256 => Algorithm::Es256,
                    Generated::Ed25519 => Algorithm::Ed25519,
                    Generated::Es384 => Algorithm::Es384,
                };
                target.write(&KeyFile::from(KeyPair::generate(algorithm)?))
            }
            Action::Convert { file, target } => target.write(&KeyFile::read(&file)?),
            Action::Check { file } => output::pretty_json(&describe(&KeyFile::read(&file)?)?),
            Action::Thumbprint { file } => {
                output::write(format!("{}\n", KeyFile::read(&file)?.public().thumbprint()).as_bytes())
            }
            Action::Public { file, format } => match format {
                Format::Jwk => {
                    let jwk: Value = serde_json::from_str(&KeyFile::read(&file)?.public_jwk())?;
                    output::pretty_json(&jwk)
                }
                Format::Pem => output::write(KeyFile::read(&file)?.public().to_spki_pem()?.as_bytes()),
            },
        }
    }
}

impl Target {
    fn write(&self, key: &KeyFile) -> Result<(), Failure> {
        let extension = self.output.as_deref().and_then(Path::extension);
        let by_name = match extension.is_some_and(|extension| extension.eq_ignore_ascii_case("pem")) {
            true => Format::Pem,
            false => Format::Jwk,
        };
        let format = self.format.unwrap_or(by_name);
        if matches!(format, Format::Pem) && key.has_members_of_jwk() {
            output::note("PEM has neither the kid nor the alg of the JWK");
        }
        let text = match (&key.key, format) {
            (AnyKey::Private(key), Format::Jwk) => key.to_jwk(),
            (AnyKey::Private(key), Format::Pem) => key.to_pkcs8_pem()?,
            (AnyKey::Public(_), Format::Jwk) => Zeroizing::new(key.public_jwk()),
            (AnyKey::Public(key), Format::Pem) => Zeroizing::new(key.to_spki_pem()?),
        };
        let text = text.trim_end();
        let Some(file) = &self.output else {
            return output::write(format!("{text}\n").as_bytes());
        };
        write_private(file, format!("{text}\n").as_bytes()).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => format!("{} exists, and a key is never overwritten", file.display()),
            _ => format!("writing {}: {error}", file.display()),
        })?;
        output::note(format_args!("wrote {} (jkt {})", file.display(), key.public().thumbprint()));
        Ok(())
    }
}

fn describe(key: &KeyFile) -> Result<Value, Failure> {
    let public_jwk: Value = serde_json::from_str(&key.public_jwk())?;
    let (kind, algorithm) = match (&key.key, key.algorithms().as_slice()) {
        (AnyKey::Private(key), _) => ("private", json!(key.algorithm().name())),
        (AnyKey::Public(_), ["EdDSA", _]) => ("public", json!("EdDSA")),
        (AnyKey::Public(_), [algorithm]) => ("public", json!(algorithm)),
        (AnyKey::Public(_), algorithms) => ("public", json!(algorithms)),
    };
    Ok(json!({
        "kind": kind,
        "alg": algorithm,
        "jkt": Thumbprint::to_string(&key.public().thumbprint()),
        "public_jwk": public_jwk,
    }))
}
