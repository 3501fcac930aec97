//! The authorization server, and the connections to it and to resources.

use std::path::PathBuf;

use http::Method;
use possession::{AuthorizationServer, Discovery, HttpClient, Proof, Transport};

use crate::failure::{Failure, refused, usage};
use crate::options::secret::read_file;

/// The connections to all servers.
#[derive(clap::Args)]
#[command(next_help_heading = "Connections")]
pub struct TransportOptions {
    /// Trust the CA certificates in this PEM file, instead of those of Mozilla's root program
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The client certificate with its chain: PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "cert_key")]
    pub cert: Option<PathBuf>,
    /// The private key of the client certificate: PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub cert_key: Option<PathBuf>,
    /// Allow plain http to servers on loopback
    #[arg(long)]
    pub dangerous_http: bool,
}

impl TransportOptions {
    pub fn transport(&self) -> Result<Transport, Failure> {
        let mut transport = Transport::builder();
        if let Some(ca) = &self.ca {
            let wrong = |error| format!("reading {}: {error}", ca.display());
            transport = transport.root_certificates_pem(&read_file(ca)?).map_err(wrong)?;
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.cert_key) {
            let wrong = |error| format!("reading {} and {}: {error}", cert.display(), key.display());
            transport =
                transport.client_certificate_pem(&read_file(cert)?, &read_file(key)?).map_err(wrong)?;
        }
        Ok(transport.build())
    }

    /// Refuses a URL with plain http, unless it is allowed on loopback.
    pub fn check_scheme(&self, url: &str) -> Result<(), Failure> {
        let is_http = scheme(absolute(url)?).eq_ignore_ascii_case("http");
        match is_http && !self.dangerous_http {
            true => {
                Err(usage(format!("{url} is not https (--dangerous-http allows plain http on loopback)")))
            }
            false => Ok(()),
        }
    }
}

/// Refuses a URL that no proof can name.
pub fn absolute(url: &str) -> Result<&str, Failure> {
    let is_http = ["http", "https"].iter().any(|name| scheme(url).eq_ignore_ascii_case(name));
    match Proof::new(&Method::GET, url) {
        Ok(_) => Ok(url),
        Err(_) if url.is_empty() => Err(usage("the URL is empty")),
        Err(error) if is_http => Err(refused(error)),
        Err(_) => Err(usage(format!("{url} is not a URL that begins with https:// or http://"))),
    }
}

fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// The authorization server.
#[derive(clap::Args)]
#[command(next_help_heading = "Authorization server")]
pub struct ServerOptions {
    /// The issuer identifier of the server. Its metadata is fetched
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The token endpoint of the server. No metadata is fetched then; --issuer is needed nevertheless
    #[arg(long, value_name = "URL", requires = "issuer")]
    pub token_endpoint: Option<String>,
}

impl ServerOptions {
    /// Returns the issuer identifier.
    pub fn issuer(&self) -> Result<&str, Failure> {
        self.issuer.as_deref().ok_or_else(|| usage("--issuer is missing"))
    }

    /// Discovers the server, unless the options say where its token endpoint is.
    pub fn server(
        &self,
        transport: &TransportOptions,
        http: &dyn HttpClient,
    ) -> Result<AuthorizationServer, Failure> {
        let issuer = self.issuer()?;
        for url in [Some(issuer), self.token_endpoint.as_deref()].into_iter().flatten() {
            transport.check_scheme(url)?;
        }
        if let Some((start, _)) = issuer.split_once("/.well-known/") {
            return Err(usage(format!("--issuer is {start}, not the URL of its metadata")));
        }
        let discovery = match (&self.token_endpoint, transport.dangerous_http) {
            (None, false) => Discovery::new(issuer),
            (None, true) => Discovery::dangerous_allow_http_on_loopback(issuer),
            (Some(endpoint), dangerous) => {
                let builder = AuthorizationServer::builder(issuer).token_endpoint(endpoint);
                let builder = if dangerous { builder.dangerous_allow_http_on_loopback() } else { builder };
                return builder.build().map_err(refused);
            }
        };
        Ok(discovery.map_err(refused)?.run(http)?)
    }
}
