//! `possession probe`: finds out which rules a server enforces.

mod authorization_server;
mod case;
mod changed_url;
mod common_cases;
mod defects;
mod first_request;
mod malformed_proof;
mod measure;
mod origin;
mod pace;
mod prober;
mod record;
mod report;
mod resource_server;
mod runner;
mod target;
mod weak_rsa;

use std::time::SystemTime;

use clap::{Subcommand, ValueEnum};
use possession::{Algorithm, AuthorizationServer, KeyPair, Prover, RequestOptions};
use serde_json::{Value, json};

use self::authorization_server::{SignIn, TokenEndpoint};
use self::case::Rule;
use self::origin::Origin;
use self::pace::Pace;
use self::prober::Prober;
use self::record::without_query_values;
use self::report::Report;
use self::resource_server::{GetToken, ResourceServer};
use self::runner::Plan;
use crate::commands::token::method;
use crate::failure::{Failure, usage};
use crate::options::client::{ClientOptions, Method};
use crate::options::grant::GrantOptions;
use crate::options::key::KeyOptions;
use crate::options::secret::{Secret, TokenOptions, read};
use crate::options::server::{ServerOptions, TransportOptions, absolute};
use crate::options::sign_in::SignInOptions;
use crate::output;

/// Find out which rules of RFC 9449 a server enforces.
///
/// Sends a correct request, and then about a hundred with one defect each. Use it only on servers that you
/// are allowed to test. Requests go only to the servers that the options name, and at most 5 in a second.
///
/// The exit status is 1 if the server does not enforce a rule that RFC 2119 calls a MUST. It is 3 if no such
/// rule was found, but not everything could be found out: a MUST is unclear, nothing could be tested, or the
/// run ended early. Ctrl-C ends it with what is known so far.
#[derive(clap::Args)]
#[command(after_long_help = "\
Example, with the client secret in the environment variable SECRET:
  possession probe rs --call https://api.example.com/orders --issuer https://as.example.com \\
    --client-id my-client --auth client_secret_basic --secret-env SECRET --format html >report.html")]
pub struct Probe {
    #[command(subcommand)]
    target: TargetKind,
}

#[derive(Subcommand)]
enum TargetKind {
    As(ProbeAs),
    Rs(ProbeRs),
}

#[derive(clap::Args)]
#[command(next_help_heading = "Probe")]
struct RunOptions {
    /// The cases to run, by name; may be repeated. By default all
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// List the cases, and send nothing
    #[arg(long)]
    list: bool,
    /// The largest number of requests in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 5.0)]
    rate: f64,
    /// Find out between which times of a proof (iat) it is accepted, which takes some 50 requests more
    #[arg(long)]
    measure_iat: bool,
    /// Find out how long a nonce is accepted. It is watched for at most so many seconds
    #[arg(long, value_name = "SECONDS")]
    measure_nonce: Option<u64>,
    /// A further origin that requests may go to, such as https://login.example.com; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    also: Vec<String>,
    /// How the results are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Show only what is not enforced, too strict or unclear, in a table or page
    #[arg(long)]
    problems: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table, with what is wrong at its end
    Text,
    /// A JSON object with requests and responses, without secrets
    Json,
    /// JUnit XML, for CI systems
    Junit,
    /// One page with requests and responses, without secrets, to send to somebody
    Html,
}

/// Probe the token endpoint of an authorization server.
///
/// Needs a client of the server, with the client credentials grant or a refresh token. With --grant
/// refresh_token, the token and its successors are used up. With --sign-in, the client needs the
/// authorization code grant as well.
#[derive(clap::Args)]
struct ProbeAs {
    /// A redirect URI of the client: pushed authorization requests are probed as well
    #[arg(long, value_name = "URI", help_heading = "Probe")]
    redirect_uri: Option<String>,
    #[command(flatten)]
    run: RunOptions,
    /// Sign a user in, twice: the binding of authorization codes is probed as well
    #[arg(long, help_heading = "Sign-in")]
    sign_in: bool,
    #[command(flatten)]
    browser: SignInOptions,
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

/// Probe a protected resource.
///
/// The access token is the one of --token-env or --token-file, whose key --dpop-key names, or is requested
/// first with the options of the command token.
#[derive(clap::Args)]
struct ProbeRs {
    /// The resource: a URL where a request with a valid token succeeds
    #[arg(long, value_name = "URL", required_unless_present = "list", help_heading = "Probe")]
    call: Option<String>,
    /// The method of the requests, which should change nothing
    #[arg(long, value_name = "METHOD", default_value = "GET", help_heading = "Probe")]
    method: String,
    /// Another address of the same resource, which accepts proofs for --call; may be repeated
    #[arg(long, value_name = "URL", help_heading = "Probe")]
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
        match self.target {
            TargetKind::As(probe) => probe.run(),
            TargetKind::Rs(probe) => probe.run(),
        }
    }
}

impl ProbeAs {
    fn run(self) -> Result<(), Failure> {
        let rules = rules::<TokenEndpoint<'_>>();
        if self.run.list {
            return list(&rules, self.run.format);
        }
        let plan = self.run.plan(&rules)?;
        match self.sign_in {
            true => self.browser.check(&self.grant.parameters)?,
            false => self.browser.check_unused("without --sign-in")?,
        }
        let (client, auth) = (self.client.client()?, self.client.auth(&self.transport)?);
        let parameters = self.grant.parameters()?;
        let refresh_token = self.refresh_token()?;
        let keys = Keys::new(&self.key)?;
        let prober = self.run.prober(&self.transport, &self.server, [])?;
        add_secrets(&prober, &self.client, &self.grant)?;
        refresh_token.iter().for_each(|token| prober.add_secret(token));
        let server = self.server.server(&self.transport, &prober)?;
        self.run.allows(&server, "token_endpoint", &self.server)?;
        if self.redirect_uri.is_some() || self.sign_in {
            self.run.allows(&server, "pushed_authorization_request_endpoint", &self.server)?;
        }
        // The code is bound to the key of the run.
        let prover = Prover::new(KeyPair::from_jwk(&keys.own.to_jwk())?)?;
        let sign_in: SignIn<'_> = Box::new(|prober| {
            let options = RequestOptions::new().prover(&prover).http(prober);
            self.browser.code(&server, &client, &auth, &self.grant.parameters, &options)
        });
        let probe = TokenEndpoint {
            server: &server,
            client: &client,
            auth: &auth,
            parameters,
            key: &keys.own,
            is_new_key: keys.is_new,
            other_key: &keys.other,
            refresh_token: refresh_token.map(|token| token.to_string()),
            is_public: self.client.method() == Method::None,
            user_refresh_token: None,
            sign_in: self.sign_in.then_some(sign_in),
            redirect_uri: self.redirect_uri.clone(),
            nonce: None,
        };
        run(probe, &prober, &plan, &self.run, Subject::new("authorization server", server.issuer()))
    }

    /// Returns the refresh token, if that is the grant.
    fn refresh_token(&self) -> Result<Option<Secret>, Failure> {
        match self.grant.name().replace('-', "_").as_str() {
            "client_credentials" => Ok(None),
            "refresh_token" if self.key.dpop_key.is_none() => {
                Err(usage("--dpop-key is missing: the key that the refresh token is bound to"))
            }
            "refresh_token" => {
                let token = read(self.grant.grant_env.as_deref(), self.grant.grant_file.as_deref())?;
                token.map(Some).ok_or_else(|| {
                    usage("the refresh token is missing: --grant-env or --grant-file names it")
                })
            }
            other => {
                let other = self.grant.grant.as_deref().unwrap_or(other);
                Err(usage(format!(
                    "--grant {other} cannot be probed (client_credentials and refresh_token can)"
                )))
            }
        }
    }
}

impl ProbeRs {
    fn run(self) -> Result<(), Failure> {
        let rules = rules::<ResourceServer<'_>>();
        if self.run.list {
            return list(&rules, self.run.format);
        }
        let plan = self.run.plan(&rules)?;
        let (method, url) = (method(&self.method)?, self.call.clone().unwrap_or_default());
        for url in [&url].into_iter().chain(&self.node) {
            absolute(url)?;
        }
        let keys = Keys::new(&self.key)?;
        let named = [&url].into_iter().chain(&self.node).map(String::as_str);
        let prober = self.run.prober(&self.transport, &self.server, named)?;
        add_secrets(&prober, &self.client, &self.grant)?;
        let (access_token, get_token) = match self.token.read()? {
            Some(_) if keys.is_new => {
                return Err(usage("--dpop-key is missing: the key that the token is bound to"));
            }
            Some(token) => {
                prober.add_secret(&token);
                (token.to_string(), None)
            }
            None => {
                let get_token = self.get_token(&keys.own, &prober)?;
                (get_token(&prober)?, Some(get_token))
            }
        };
        let probe = ResourceServer {
            method,
            url: url.clone(),
            access_token,
            key: &keys.own,
            is_new_key: keys.is_new,
            other_key: &keys.other,
            nodes: self.node.clone(),
            foreign_nonce: prober.take_nonce(),
            get_token,
            nonce: None,
        };
        run(probe, &prober, &plan, &self.run, Subject::new("resource server", &url))
    }

    /// Returns what requests a token, after the server has been discovered.
    fn get_token<'a>(&'a self, key: &KeyPair, prober: &Prober) -> Result<GetToken<'a>, Failure> {
        let (client, auth) = (self.client.client()?, self.client.auth(&self.transport)?);
        self.grant.check()?;
        let server = self.server.server(&self.transport, prober)?;
        self.run.allows(&server, "token_endpoint", &self.server)?;
        let prover = Prover::new(KeyPair::from_jwk(&key.to_jwk())?)?;
        Ok(Box::new(move |prober| {
            let options = RequestOptions::new().prover(&prover).http(prober);
            Ok(self.grant.token(&server, &client, &auth, &options)?.access_token().to_owned())
        }))
    }
}

/// What is probed, and when.
pub struct Subject {
    pub kind: &'static str,
    pub url: String,
    pub date: String,
}

impl Subject {
    fn new(kind: &'static str, url: &str) -> Self {
        Self { kind, url: without_query_values(url), date: httpdate::fmt_http_date(SystemTime::now()) }
    }
}

/// The keys of a run.
struct Keys {
    own: KeyPair,
    /// Whether the own key was made for this run.
    is_new: bool,
    /// A key that is bound to nothing.
    other: KeyPair,
}

impl Keys {
    /// Reads the key of the options, or makes one for ES256, which every server should accept.
    fn new(options: &KeyOptions) -> Result<Self, Failure> {
        let (own, is_new) = match options.key()? {
            Some(key) => (key, false),
            None => (KeyPair::generate(Algorithm::Es256)?, true),
        };
        Ok(Self { own, is_new, other: KeyPair::generate(Algorithm::Es256)? })
    }
}

/// Adds the secrets of the options, which a request need not contain as they are.
fn add_secrets(prober: &Prober, client: &ClientOptions, grant: &GrantOptions) -> Result<(), Failure> {
    let variables = grant.parameters.param_env.iter().filter_map(|pair| Some(pair.split_once('=')?.1));
    let variables = variables.chain(client.secret_env.as_deref()).chain(grant.grant_env.as_deref());
    for variable in variables {
        read(Some(variable), None)?.iter().for_each(|secret| prober.add_secret(secret));
    }
    // A pipe is read once, by what needs it.
    let files = client.secret_file.iter().chain(&grant.grant_file).filter(|file| file.is_file());
    for file in files {
        read(None, Some(file))?.iter().for_each(|secret| prober.add_secret(secret));
    }
    Ok(())
}

fn rules<P: runner::Probe>() -> Vec<Rule> {
    P::cases().into_iter().map(|case| case.rule).collect()
}

fn list(rules: &[Rule], format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::pretty_json(&Value::Array(
            rules
                .iter()
                .map(|rule| {
                    json!({
                        "id": rule.id,
                        "source": rule.source,
                        "level": rule.level.name(),
                        "demand": rule.demand(),
                        "title": rule.title,
                    })
                })
                .collect(),
        )),
        Format::Text => rules.iter().try_for_each(|rule| {
            output::line(format_args!(
                "{:<21} {:<14} {}, {}",
                rule.id,
                rule.demand(),
                rule.title,
                rule.source
            ))
        }),
        Format::Junit | Format::Html => Err(usage("--list has the formats text and json")),
    }
}

fn run(
    probe: impl runner::Probe,
    prober: &Prober,
    plan: &Plan,
    options: &RunOptions,
    subject: Subject,
) -> Result<(), Failure> {
    output::note(format_args!(
        "Probing {}. Use this only on servers that you are allowed to test.",
        subject.url
    ));
    let results = runner::run(probe, prober, plan)?;
    let report = Report { subject, results, only_problems: options.problems };
    let outcome = match &report.results {
        results if results.violations() > 0 => Err(Failure::Reported),
        results if results.is_complete() => Ok(()),
        _ => Err(Failure::Inconclusive),
    };
    let written = match options.format {
        Format::Text => report.table(),
        Format::Json => output::pretty_json(&report.to_json()),
        Format::Junit => report.to_junit().and_then(|text| output::write(format!("{text}\n").as_bytes())),
        Format::Html => output::write(report.to_html().as_bytes()),
    };
    written.and(outcome)
}

impl RunOptions {
    fn plan(&self, rules: &[Rule]) -> Result<Plan, Failure> {
        if let Some(unknown) = self.only.iter().find(|id| rules.iter().all(|rule| rule.id != **id)) {
            return Err(usage(format!("--only {unknown} is not the name of a case: --list shows them")));
        }
        if self.problems && matches!(self.format, Format::Json | Format::Junit) {
            return Err(usage("--problems is for the formats text and html"));
        }
        Ok(Plan { only: self.only.clone(), measure_iat: self.measure_iat, measure_nonce: self.measure_nonce })
    }

    /// Returns what sends requests: to these URLs, to the authorization server, and to what `--also` names.
    fn prober<'a>(
        &'a self,
        transport: &TransportOptions,
        server: &'a ServerOptions,
        urls: impl IntoIterator<Item = &'a str>,
    ) -> Result<Prober, Failure> {
        let pace = Pace::per_second(self.rate).ok_or_else(|| usage("--rate is not a positive number"))?;
        let servers = [&server.issuer, &server.token_endpoint].into_iter().flatten();
        let urls = urls.into_iter().chain(servers.chain(&self.also).map(String::as_str));
        let mut origins = Vec::new();
        for url in urls {
            let origin = origin(url)?;
            let is_allowed = origin.is_https() || transport.dangerous_http && origin.is_loopback();
            if !is_allowed {
                return Err(usage(format!(
                    "{url} is not https (--dangerous-http allows plain http on loopback)"
                )));
            }
            origins.push(origin);
        }
        Prober::new(transport.transport()?, origins, pace)
    }

    /// Refuses an endpoint on an origin that nobody named: the metadata could name anybody's.
    fn allows(
        &self,
        server: &AuthorizationServer,
        member: &str,
        options: &ServerOptions,
    ) -> Result<(), Failure> {
        let Some(url) = server.member(member).and_then(Value::as_str) else { return Ok(()) };
        let endpoint = origin(url).map_err(|_| format!("{member} of the metadata is no URL: {url}"))?;
        let named = [&options.issuer, &options.token_endpoint].into_iter().flatten().chain(&self.also);
        match named.map(|url| origin(url)).any(|named| named.is_ok_and(|named| named == endpoint)) {
            true => Ok(()),
            false => Err(usage(format!(
                "the metadata name {url} as {member}, on another origin than --issuer (--also {endpoint} \
                 allows requests to it)"
            ))),
        }
    }
}

/// Returns scheme, host and port of a URL.
fn origin(url: &str) -> Result<Origin, Failure> {
    let origin = url.parse().ok().and_then(|uri| Origin::of(&uri));
    origin.ok_or_else(|| usage(format!("{url} is not a URL of https or http")))
}
