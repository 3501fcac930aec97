//! `possession probe`: finds out which rules a server enforces.

mod authorization_server;
mod case;
mod defects;
mod malformed_proof;
mod prober;
mod report;
mod resource_server;
mod runner;

use std::sync::Mutex;
use std::time::SystemTime;

use clap::{Subcommand, ValueEnum};
use possession::{Algorithm, Error, HttpClient, KeyPair, Prover, RequestBody, RequestOptions, Transport};

use self::authorization_server::TokenEndpoint;
use self::prober::Prober;
use self::report::Subject;
use self::resource_server::ResourceServer;
use self::runner::Results;
use crate::commands::token::method;
use crate::failure::{Failure, usage};
use crate::options::client::ClientOptions;
use crate::options::grant::GrantOptions;
use crate::options::key::KeyOptions;
use crate::options::secret::{TokenOptions, read};
use crate::options::server::{ServerOptions, TransportOptions};
use crate::output;

/// Find out which rules of RFC 9449 a server enforces.
///
/// Sends a correct request and then about a hundred with one defect each. Use it only on servers that you are
/// allowed to test. The exit status is 1 if a MUST is not enforced.
#[derive(clap::Args)]
pub struct Probe {
    #[command(subcommand)]
    target: TargetKind,
}

#[derive(Subcommand)]
enum TargetKind {
    /// Probe the token endpoint of an authorization server
    As(ProbeAs),
    /// Probe a protected resource
    Rs(ProbeRs),
}

#[derive(clap::Args)]
#[command(next_help_heading = "Probe")]
struct RunOptions {
    /// The cases to run, by name; may be repeated. By default all
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// The largest number of requests in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 5.0)]
    rate: f64,
    /// Find out which times of proofs are accepted, which takes some 25 requests more
    #[arg(long)]
    measure_iat: bool,
    /// An origin that requests may go to as well, such as https://api.example.com; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    also: Vec<String>,
    /// How the results are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Text,
    /// A JSON object with requests and responses, without secrets
    Json,
    /// JUnit XML, for CI systems
    Junit,
    /// A page to send to somebody
    Html,
}

#[derive(clap::Args)]
struct ProbeAs {
    /// A redirect URI of the client: pushed authorization requests are probed as well
    #[arg(long, value_name = "URI", help_heading = "Probe")]
    redirect_uri: Option<String>,
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    grant: GrantOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    transport: TransportOptions,
}

#[derive(clap::Args)]
struct ProbeRs {
    /// The resource: a URL where a request with a valid token succeeds
    #[arg(long, value_name = "URL")]
    call: String,
    /// The method of the requests, which should change nothing
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// Another address of the same resource, to which proofs for --call are sent; may be repeated
    #[arg(long, value_name = "URL")]
    node: Vec<String>,
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    token: TokenOptions,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    grant: GrantOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    transport: TransportOptions,
}

impl Probe {
    pub fn run(self) -> Result<(), Failure> {
        anstream::eprintln!("Use this only on servers that you are allowed to test.");
        match self.target {
            TargetKind::As(probe) => probe.run(),
            TargetKind::Rs(probe) => probe.run(),
        }
    }
}

impl ProbeAs {
    fn run(self) -> Result<(), Failure> {
        let (client, auth) = (self.client.client()?, self.client.auth(&self.transport)?);
        let parameters = self.grant.parameters()?;
        let transport = self.transport.transport()?;
        let server = self.server.server(&self.transport, &transport)?;
        let (key, other_key) = (key(&self.key)?, KeyPair::generate(Algorithm::Es256)?);
        let endpoint = server.member("token_endpoint").and_then(|url| url.as_str()).unwrap_or_default();
        let subject = subject("authorization server", server.issuer())?;
        let pushed = server.member("pushed_authorization_request_endpoint").and_then(|url| url.as_str());
        let pushed = pushed.filter(|_| self.redirect_uri.is_some());
        let origins: Vec<_> =
            [Some(endpoint), pushed].into_iter().flatten().map(origin).collect::<Result<_, _>>()?;
        let mut prober = self.run.prober(transport, origins)?;
        let mut probe = TokenEndpoint::new(&server, &client, &auth, parameters, &key, &other_key);
        probe.redirect_uri = self.redirect_uri.filter(|_| pushed.is_some());
        if self.grant.grant == "refresh_token" {
            let token = read(self.grant.grant_env.as_deref(), self.grant.grant_file.as_deref())?;
            probe.refresh_token = token.map(|token| token.to_string());
        }
        self.run.run(&mut probe, &mut prober, &subject)
    }
}

impl ProbeRs {
    fn run(self) -> Result<(), Failure> {
        method(&self.method)?;
        let transport = self.transport.transport()?;
        let (key, other_key) = (key(&self.key)?, KeyPair::generate(Algorithm::Es256)?);
        let (access_token, foreign_nonce) = self.access_token(&key, &transport)?;
        let mut origins = vec![origin(&self.call)?];
        for node in &self.node {
            origins.push(origin(node)?);
        }
        let subject = subject("resource server", &self.call)?;
        let mut prober = self.run.prober(transport, origins)?;
        let mut probe = ResourceServer::new(self.method, self.call, access_token, &key, &other_key);
        (probe.nodes, probe.foreign_nonce) = (self.node, foreign_nonce);
        self.run.run(&mut probe, &mut prober, &subject)
    }

    /// Returns the token, and the nonce of the authorization server if one was requested there.
    fn access_token(
        &self,
        key: &KeyPair,
        transport: &Transport,
    ) -> Result<(String, Option<String>), Failure> {
        if let Some(token) = self.token.read()? {
            return Ok((token.to_string(), None));
        }
        let (client, auth) = (self.client.client()?, self.client.auth(&self.transport)?);
        let server = self.server.server(&self.transport, transport)?;
        let prover = Prover::new(KeyPair::from_jwk(&key.to_jwk())?)?;
        let watch = NonceWatch { transport, nonce: Mutex::default() };
        let options = RequestOptions::new().prover(&prover).http(&watch);
        let token = self.grant.token(&server, &client, &auth, &options)?;
        let nonce = watch.nonce.into_inner().unwrap_or_default();
        Ok((token.access_token().to_owned(), nonce))
    }
}

impl RunOptions {
    fn prober(
        &self,
        transport: Transport,
        origins: impl IntoIterator<Item = String>,
    ) -> Result<Prober, Failure> {
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(usage("--rate is not a positive number"));
        }
        let mut origins: Vec<_> = origins.into_iter().collect();
        for also in &self.also {
            origins.push(origin(also)?);
        }
        Prober::new(transport, origins, self.rate)
    }

    fn run(
        &self,
        probe: &mut impl runner::Probe,
        prober: &mut Prober,
        subject: &Subject,
    ) -> Result<(), Failure> {
        let results: Results = runner::run(probe, prober, &self.only, self.measure_iat)?;
        if results.findings.is_empty() && !results.interrupted {
            return Err(usage("--only names no case"));
        }
        match self.format {
            Format::Text => subject.table(&results)?,
            Format::Json => output::pretty_json(&subject.to_json(&results))?,
            Format::Junit => output::write(format!("{}\n", subject.to_junit(&results)?).as_bytes())?,
            Format::Html => output::write(subject.to_html(&results).as_bytes())?,
        }
        match results.violations() {
            0 => Ok(()),
            _ => Err(Failure::Reported),
        }
    }
}

/// An HTTP client that remembers the last nonce.
struct NonceWatch<'a> {
    transport: &'a Transport,
    nonce: Mutex<Option<String>>,
}

impl HttpClient for NonceWatch<'_> {
    fn send(&self, request: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        let response = self.transport.send(request)?;
        if let (Some(nonce), Ok(mut last)) = (prober::offered_nonce(&response), self.nonce.lock()) {
            *last = Some(nonce);
        }
        Ok(response)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.transport.has_client_certificate()
    }
}

/// Returns the key of the options, or a new one for ES256, which every server should accept.
fn key(options: &KeyOptions) -> Result<KeyPair, Failure> {
    Ok(match options.key()? {
        Some(key) => key,
        None => KeyPair::generate(Algorithm::Es256)?,
    })
}

fn subject(kind: &'static str, url: &str) -> Result<Subject, Failure> {
    Ok(Subject { kind, url: url.to_owned(), date: httpdate::fmt_http_date(SystemTime::now()) })
}

/// Returns scheme, host and port of a URL.
fn origin(url: &str) -> Result<String, Failure> {
    let uri: http::Uri = url.parse().map_err(|_| usage(format!("{url} is not a URL")))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => Ok(format!("{scheme}://{authority}")),
        _ => Err(usage(format!("{url} is not a URL with scheme and host"))),
    }
}
