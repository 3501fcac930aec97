//! The client and how it authenticates.

use std::path::PathBuf;

use clap::ValueEnum;
use possession::{AssertionOptions, Client, ClientAuth, HmacAlgorithm, KeyPair};

use crate::failure::{Failure, usage};
use crate::options::secret::{Secret, read_or_ask};
use crate::options::server::TransportOptions;

/// The client.
#[derive(clap::Args)]
#[command(next_help_heading = "Client")]
pub struct ClientOptions {
    /// The client identifier
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// How the client authenticates
    #[arg(long, value_name = "METHOD")]
    pub auth: Option<Method>,
    /// The environment variable with the client secret
    #[arg(long, value_name = "NAME")]
    pub secret_env: Option<String>,
    /// A file with the client secret
    #[arg(long, value_name = "FILE", conflicts_with = "secret_env")]
    pub secret_file: Option<PathBuf>,
    /// The private key of private_key_jwt: PEM, JWK or DER
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The identifier of that key (kid), if it is not in the file
    #[arg(long, value_name = "KID")]
    pub kid: Option<String>,
    /// The algorithm of client assertions. For client_secret_jwt HS256 (the default), HS384 or HS512; for
    /// private_key_jwt one of the key, such as PS256 for an RSA key
    #[arg(long, value_name = "NAME")]
    pub auth_alg: Option<String>,
}

/// A client authentication method, by its name in the registry of IANA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Method {
    /// A public client
    None,
    /// The secret in an Authorization header field
    ClientSecretBasic,
    /// The secret in the body
    ClientSecretPost,
    /// An assertion made with the secret
    ClientSecretJwt,
    /// An assertion signed with a private key
    PrivateKeyJwt,
    /// A certificate of a CA
    TlsClientAuth,
    /// A self-signed certificate
    SelfSignedTlsClientAuth,
}

impl ClientOptions {
    pub fn client(&self) -> Result<Client, Failure> {
        let client_id = self.client_id.as_deref().ok_or_else(|| usage("--client-id is missing"))?;
        Ok(Client::new(client_id)?)
    }

    pub fn auth(&self, transport: &TransportOptions) -> Result<ClientAuth, Failure> {
        let method = self.auth.ok_or_else(|| {
            let names: Vec<_> = Method::value_variants().iter().map(|method| method.name()).collect();
            usage(format!("--auth is missing: {}", names.join(", ")))
        })?;
        self.auth_by(method, transport)
    }

    /// Returns the authentication method, which is `default` if none is given.
    pub fn auth_or(&self, default: Method, transport: &TransportOptions) -> Result<ClientAuth, Failure> {
        self.auth_by(self.auth.unwrap_or(default), transport)
    }

    fn auth_by(&self, method: Method, transport: &TransportOptions) -> Result<ClientAuth, Failure> {
        let certificate = |auth: ClientAuth| match transport.cert {
            Some(_) => Ok(auth),
            None => Err(usage(format!("--auth {} needs --cert and --cert-key", method.name()))),
        };
        let mut options = AssertionOptions::new();
        if let Some(kid) = &self.kid {
            options = options.kid(kid);
        }
        Ok(match method {
            Method::None => ClientAuth::none(),
            Method::ClientSecretBasic => ClientAuth::client_secret_basic(self.secret()?.as_str()),
            Method::ClientSecretPost => ClientAuth::client_secret_post(self.secret()?.as_str()),
            Method::ClientSecretJwt => {
                let algorithm = match self.auth_alg.as_deref() {
                    None | Some("HS256") => HmacAlgorithm::Hs256,
                    Some("HS384") => HmacAlgorithm::Hs384,
                    Some("HS512") => HmacAlgorithm::Hs512,
                    Some(other) => {
                        return Err(usage(format!("--auth-alg is HS256, HS384 or HS512, not {other}")));
                    }
                };
                ClientAuth::client_secret_jwt_with(self.secret()?.as_str(), algorithm, options)
            }
            Method::PrivateKeyJwt => {
                let file = self.key.as_ref();
                let file = file.ok_or_else(|| usage(format!("--auth {} needs --key", method.name())))?;
                let mut key = KeyPair::from_file(file)?;
                if let Some(name) = &self.auth_alg {
                    let wrong = |error: possession::Error| usage(error.to_string());
                    key = key.with_algorithm(name.parse().map_err(wrong)?).map_err(wrong)?;
                    options = options.alg(name); // of the two names of Ed25519, this one
                }
                ClientAuth::private_key_jwt_with(key, options)
            }
            Method::TlsClientAuth => certificate(ClientAuth::tls_client_auth())?,
            Method::SelfSignedTlsClientAuth => certificate(ClientAuth::self_signed_tls_client_auth())?,
        })
    }

    fn secret(&self) -> Result<Secret, Failure> {
        let (env, file) = (self.secret_env.as_deref(), self.secret_file.as_deref());
        read_or_ask(env, file, "client secret", "--secret-env or --secret-file names it")
    }
}

impl Method {
    /// Returns its name in the registry of IANA.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
