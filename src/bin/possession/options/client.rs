//! The client and how it authenticates.

use std::path::PathBuf;

use clap::ValueEnum;
use possession::{AssertionOptions, Client, ClientAuth, HmacAlgorithm};

use crate::failure::{Failure, refused, usage};
use crate::key_file::read_private;
use crate::options::refuse_unused;
use crate::options::secret::{Secret, read_or_ask};
use crate::options::server::TransportOptions;

/// The client.
#[derive(clap::Args)]
#[command(next_help_heading = "Client")]
pub struct ClientOptions {
    /// The client identifier
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub client_id: Option<String>,
    /// How the client authenticates. By default private_key_jwt with --key, client_secret_basic with a
    /// secret, and none without either
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
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
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
        Client::new(client_id).map_err(refused)
    }

    pub fn auth(&self, transport: &TransportOptions) -> Result<ClientAuth, Failure> {
        let method = self.method();
        self.check_unused(method)?;
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
                let mut key = read_private(file)?;
                if let Some(name) = &self.auth_alg {
                    key = key.with_algorithm(name.parse().map_err(refused)?).map_err(refused)?;
                    options = options.alg(name); // of the two names of Ed25519, this one
                }
                ClientAuth::private_key_jwt_with(key, options)
            }
            Method::TlsClientAuth => certificate(ClientAuth::tls_client_auth())?,
            Method::SelfSignedTlsClientAuth => certificate(ClientAuth::self_signed_tls_client_auth())?,
        })
    }

    /// Returns the authentication method. If none is given, the other options tell which it is.
    pub fn method(&self) -> Method {
        let has_secret = self.secret_env.is_some() || self.secret_file.is_some();
        self.auth.unwrap_or(match (self.key.is_some(), has_secret) {
            (true, _) => Method::PrivateKeyJwt,
            (false, true) => Method::ClientSecretBasic,
            (false, false) => Method::None,
        })
    }

    /// Refuses options that say nothing to the authentication method.
    fn check_unused(&self, method: Method) -> Result<(), Failure> {
        let is_secret =
            matches!(method, Method::ClientSecretBasic | Method::ClientSecretPost | Method::ClientSecretJwt);
        let is_assertion = matches!(method, Method::ClientSecretJwt | Method::PrivateKeyJwt);
        let unused = [
            ("--secret-env", !is_secret && self.secret_env.is_some()),
            ("--secret-file", !is_secret && self.secret_file.is_some()),
            ("--key", method != Method::PrivateKeyJwt && self.key.is_some()),
            ("--kid", !is_assertion && self.kid.is_some()),
            ("--auth-alg", !is_assertion && self.auth_alg.is_some()),
        ];
        let with = match (self.auth, method) {
            (None, Method::PrivateKeyJwt) => "with --key".to_owned(),
            _ => format!("with --auth {}", method.name()),
        };
        refuse_unused(&unused, &with)
    }

    fn secret(&self) -> Result<Secret, Failure> {
        let (env, file) = (self.secret_env.as_deref(), self.secret_file.as_deref());
        read_or_ask(env, file, "client secret", "name it with --secret-env or --secret-file")
    }
}

impl Method {
    /// Returns its name in the registry of IANA.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
