//! `possession key`: generates, converts and checks keys.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use possession::zeroize::Zeroizing;
use possession::{Algorithm, KeyPair, PublicKey, Signer, Thumbprint};
use serde_json::{Value, json};

use crate::failure::Failure;
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
        /// The algorithm that the key is for. `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`
        /// generates RSA keys
        #[arg(long, value_name = "ALG", default_value = "ES256")]
        alg: Generated,
        #[command(flatten)]
        target: Target,
    },
    /// Write a private or public key in another format
    ///
    /// A public JWK is written without members that are not part of the key, such as kid and alg.
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

/// A key that was read.
enum AnyKey {
    Private(Box<KeyPair>),
    Public(Box<PublicKey>),
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
                target.write(&AnyKey::Private(Box::new(KeyPair::generate(algorithm)?)))
            }
            Action::Convert { file, target } => target.write(&read(&file)?),
            Action::Check { file } => output::pretty_json(&read(&file)?.describe()?),
            Action::Thumbprint { file } => {
                output::write(format!("{}\n", read(&file)?.public().thumbprint()).as_bytes())
            }
            Action::Public { file, format } => match format {
                Format::Jwk => output::pretty_json(&public_jwk(read(&file)?.public())?),
                Format::Pem => output::write(read(&file)?.public().to_spki_pem()?.as_bytes()),
            },
        }
    }
}

impl Target {
    fn write(&self, key: &AnyKey) -> Result<(), Failure> {
        let extension = self.output.as_deref().and_then(Path::extension);
        let by_name = match extension.is_some_and(|extension| extension.eq_ignore_ascii_case("pem")) {
            true => Format::Pem,
            false => Format::Jwk,
        };
        let text = match (key, self.format.unwrap_or(by_name)) {
            (AnyKey::Private(key), Format::Jwk) => key.to_jwk(),
            (AnyKey::Private(key), Format::Pem) => key.to_pkcs8_pem()?,
            (AnyKey::Public(key), Format::Jwk) => Zeroizing::new(key.to_jwk().to_owned()),
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

fn read(file: &Path) -> Result<AnyKey, Failure> {
    let bytes = Zeroizing::new(read_file(file)?);
    let wrong =
        |error: possession::Error| format!("reading {}: {}", file.display(), in_words_of_the_program(&error));
    let public = |key: Result<PublicKey, possession::Error>| -> Result<AnyKey, Failure> {
        Ok(AnyKey::Public(Box::new(key.map_err(wrong)?)))
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let jwk: Option<Value> = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok();
    let is_private = text.contains("PRIVATE KEY-----");
    if jwk.as_ref().is_some_and(|jwk| jwk.get("kty").is_some() && jwk.get("d").is_none()) {
        return public(PublicKey::from_jwk(text));
    }
    if text.contains("PUBLIC KEY-----") && !is_private {
        return public(PublicKey::from_spki_pem(text));
    }
    if text.contains("-----BEGIN CERTIFICATE-----") && !is_private {
        return Err(format!(
            "reading {}: it is a certificate (`openssl x509 -pubkey -noout -in FILE` writes its public key)",
            file.display()
        )
        .into());
    }
    if let Ok(key) = PublicKey::from_spki_der(&bytes) {
        return Ok(AnyKey::Public(Box::new(key)));
    }
    // A pipe can be read once.
    let key = match file.is_file() {
        true => KeyPair::from_file(file),
        false => from_bytes(&bytes),
    };
    let key = key.map_err(|error| match in_words_of_the_program(&error) {
        text if text.contains("it is not the DER of") => format!(
            "reading {}: it is neither the DER of a private key (unencrypted PKCS#8, PKCS#1) nor of a public one \
             (SubjectPublicKeyInfo)",
            file.display()
        ),
        _ => wrong(error),
    })?;
    Ok(AnyKey::Private(Box::new(key)))
}

/// Reads a private key.
pub fn read_private(file: &Path) -> Result<KeyPair, Failure> {
    let wrong = |error| format!("reading {}: {}", file.display(), in_words_of_the_program(&error));
    let key = match file == Path::new("-") {
        true => from_bytes(&Zeroizing::new(read_file(file)?)),
        false => KeyPair::from_file(file),
    };
    Ok(key.map_err(wrong)?)
}

/// Returns what is wrong with a key, without what the library was doing with which file. There is no
/// `Signer` to implement here.
fn in_words_of_the_program(error: &possession::Error) -> String {
    let text = error.to_string().replace("needs a `Signer` of yours", "this program cannot sign with");
    match text.strip_prefix("reading a private key from ").and_then(|rest| rest.split_once(": ")) {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

fn from_bytes(bytes: &[u8]) -> Result<KeyPair, possession::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with('{') => KeyPair::from_jwk(text),
        Ok(text) if text.contains("-----BEGIN RSA PRIVATE KEY-----") => KeyPair::from_pkcs1_pem(text),
        Ok(text) => KeyPair::from_pkcs8_pem(text),
        Err(_) => KeyPair::from_pkcs8_der(bytes),
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
        let public_jwk = public_jwk(self.public())?;
        let (kind, algorithm) = match self {
            Self::Private(key) => ("private", json!(key.algorithm().name())),
            Self::Public(_) => ("public", algorithms(&public_jwk)),
        };
        Ok(json!({
            "kind": kind,
            "alg": algorithm,
            "jkt": Thumbprint::to_string(&self.public().thumbprint()),
            "public_jwk": public_jwk,
        }))
    }
}

/// Returns the algorithm of a public key, or those of an RSA key (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9964).
fn algorithms(jwk: &Value) -> Value {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    match (member("kty"), member("crv")) {
        (_, Some("P-256")) => json!("ES256"),
        (_, Some("P-384")) => json!("ES384"),
        (_, Some("P-521")) => json!("ES512"),
        (_, Some("Ed25519")) => json!("EdDSA"),
        (Some("RSA"), _) => json!(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        _ => json!(member("alg")),
    }
}

fn public_jwk(key: &PublicKey) -> Result<Value, Failure> {
    Ok(serde_json::from_str(key.to_jwk())?)
}
