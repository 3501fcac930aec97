//! Setting up a session.

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::stats::Counters;
use super::tokens::Tokens;
use super::{Core, Session};

use crate::client::parameters::Parameters;
use crate::client::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::client::token_request::TokenRequest;
use crate::client::transport::Transport;
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::backend;
use crate::jose::key_pair::KeyPair;
use crate::jose::signer::Signer;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::discovery::Discovery;
use crate::oauth::metadata::AuthorizationServer;
use crate::text::printable;
use crate::time::{Clock, SystemClock};
use crate::url::{self, PlainHttp, Url};

/// How long before its end a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Sets up a [`Session`].
#[must_use]
pub struct SessionBuilder {
    issuer: String,
    client_id: String,
    auth: ClientAuth,
    prover: Option<Result<Prover, Error>>,
    parameters: Parameters,
    transport: Transport,
    endpoint_hosts: Option<Vec<String>>,
    resource_origins: Option<Vec<String>>,
    http: PlainHttp,
    accept_bearer: bool,
    deadline: Option<Duration>,
    renew_before: Duration,
    assumed_life: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl SessionBuilder {
    pub(super) fn new(issuer: String, client_id: String) -> Self {
        Self {
            issuer,
            client_id,
            auth: ClientAuth::none(),
            prover: None,
            parameters: Parameters::new(),
            transport: Transport::new(),
            endpoint_hosts: None,
            resource_origins: None,
            http: PlainHttp::Refused,
            accept_bearer: false,
            deadline: None,
            renew_before: RENEW_BEFORE,
            assumed_life: None,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// How the client authenticates. Without it: [`ClientAuth::none`], which few servers take in this grant.
    pub fn auth(self, auth: ClientAuth) -> Self {
        Self { auth, ..self }
    }

    /// The proof-of-possession key: a [`KeyPair`] (generated, or from a file, PEM or JWK) or any other [`Signer`]. Without it,
    /// a new one is generated for the session.
    pub fn key(self, key: impl Signer + 'static) -> Self {
        Self { prover: Some(Prover::new(key)), ..self }
    }

    /// The same, sharing the nonces of a prover that others use too.
    pub fn prover(self, prover: &Prover) -> Self {
        Self { prover: Some(Ok(prover.clone())), ..self }
    }

    /// The scope to ask for, as in [`Parameters::scope`].
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { parameters: self.parameters.scope(scope), ..self }
    }

    /// A resource the token is for, as in [`Parameters::resource`].
    pub fn resource(self, uri: impl Into<String>) -> Self {
        Self { parameters: self.parameters.resource(uri), ..self }
    }

    /// Any further parameter of the token request, as in [`Parameters::parameter`].
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { parameters: self.parameters.parameter(name, value), ..self }
    }

    /// The only origins (scheme, host and port, such as `https://api.example.com`) that the session calls. A call elsewhere is
    /// an error before a token is fetched.
    pub fn resource_origins<S: Into<String>>(self, origins: impl IntoIterator<Item = S>) -> Self {
        Self { resource_origins: Some(origins.into_iter().map(Into::into).collect()), ..self }
    }

    /// How long a call may take in all: waiting for a token, pauses and repeated requests included. A request to the
    /// resource has what is left of it, and not more than the transport's
    /// [`timeout`](crate::TransportBuilder::timeout). Without it: twice that timeout, so a minute unless set otherwise.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// How long before its end a token is renewed: a minute unless set otherwise, and never more than a third of its life. A
    /// thread that calls within that time renews, and the others go on with the token at hand.
    pub fn renew_before(self, renew_before: Duration) -> Self {
        Self { renew_before, ..self }
    }

    /// How long a token is taken to live whose response has no `expires_in`. Without it such a token is used until a
    /// resource refuses it. Zero: for one call each, and for those that wait for it at the same time.
    pub fn assume_expires_in(self, life: Duration) -> Self {
        Self { assumed_life: Some(life), ..self }
    }

    /// How requests are sent: CAs, client certificate, proxy, timeouts.
    pub fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// Where the time comes from: for tests, and for machines whose clock is elsewhere.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Refuses metadata with an endpoint on another host than the issuer's and these.
    pub fn endpoint_hosts<S: Into<String>>(self, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { endpoint_hosts: Some(hosts.into_iter().map(Into::into).collect()), ..self }
    }

    /// Makes DPoP optional: where the server answers with a `Bearer` token, calls are made with that, and without proofs.
    /// Whoever steals such a token can use it, so [`resource_origins`](Self::resource_origins) must say where it may go. Each
    /// one is told of in the log.
    pub fn dangerous_accept_bearer(self) -> Self {
        Self { accept_bearer: true, ..self }
    }

    /// Allows plain http for the authorization server and for resources whose host is `localhost`, `127.0.0.0/8` or
    /// `[::1]`. For tests on one machine: whoever can listen there can read tokens and secrets.
    pub fn dangerous_allow_http_on_loopback(self) -> Self {
        Self { http: PlainHttp::OnLoopback, ..self }
    }

    /// Fetches the server's metadata. The token is fetched when it is first needed.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::discover`] and of [`server`](Self::server).
    pub fn discover(self) -> Result<Session, Error> {
        let mut discovery = Discovery::with_plain_http(&self.issuer, self.http)?;
        if let Some(hosts) = &self.endpoint_hosts {
            discovery = discovery.endpoint_hosts(hosts);
        }
        let server = discovery.run(&self.transport)?;
        self.server(server)
    }

    /// Uses metadata that are at hand. Their issuer takes the place of the builder's, and plain http is allowed where they
    /// allow it.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter), [`AuthMethod`](ErrorKind::AuthMethod),
    /// [`Algorithm`](ErrorKind::Algorithm) and [`Url`](ErrorKind::Url) for what the builder was given.
    pub fn server(self, server: AuthorizationServer) -> Result<Session, Error> {
        let prover = match self.prover {
            Some(prover) => prover?,
            None => Prover::new(KeyPair::generate(preferred_algorithm(&server)?)?)?,
        };
        let client = Client::new(self.client_id)?;
        // What can be refused before a request is sent is refused now, not in the first call.
        let options = RequestOptions::new().prover(&prover);
        TokenRequest::client_credentials(&server, &client, &self.auth, self.parameters.clone(), &options)?;
        if self.accept_bearer && self.resource_origins.is_none() {
            let wrong =
                "`dangerous_accept_bearer` needs `resource_origins`: whoever gets a Bearer token can use it";
            return Err(Error::new(ErrorKind::Parameter, "setting up a session", wrong));
        }
        let origins = self.resource_origins.map(|origins| {
            let origin = |text: &String| {
                Url::origin_alone(text)
                    .map_err(|why| url::refused(ErrorKind::Url, "resource origin", text, why))
            };
            origins.iter().map(origin).collect::<Result<_, _>>()
        });
        let deadline = self.deadline.unwrap_or_else(|| self.transport.timeout().saturating_mul(2));
        let core = Core {
            client,
            server,
            auth: self.auth,
            prover: RwLock::new(prover),
            transport: self.transport,
            accept_bearer: self.accept_bearer,
            origins: origins.transpose()?,
            tokens: Tokens::new(Arc::clone(&self.clock), self.renew_before, self.assumed_life),
            clock: self.clock,
            counters: Counters::default(),
        };
        let (asked, parameters) = (self.parameters.digest(), Arc::new(self.parameters));
        Ok(Session { core: Arc::new(core), parameters, asked, deadline })
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("issuer", &if self.issuer.contains('@') { "(with an @)" } else { &self.issuer })
            .field("client_id", &self.client_id)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// The algorithm of the key that the session makes for itself.
fn preferred_algorithm(server: &AuthorizationServer) -> Result<Algorithm, Error> {
    let listed = server.dpop_algorithms();
    let mut made = [Algorithm::Es256, Algorithm::Ed25519, Algorithm::Es384]
        .into_iter()
        .filter(|algorithm| backend::checks(*algorithm));
    made.find(|algorithm| algorithm.name_for(listed, None).is_some()).ok_or_else(|| {
        let listed = printable(&listed.unwrap_or_default().join(" "), 200);
        let wrong = format!(
            "the server lists only: {listed}; no key for that is made here: give `SessionBuilder::key` one of yours"
        );
        Error::new(ErrorKind::Algorithm, "making a key for the proofs", wrong)
    })
}
