//! `possession login` and `possession logout`: the session of a user who has signed in.

use std::sync::Arc;
use std::time::Duration;

use possession::{
    AuthorizationServer, Client, ClientAuth, FileStore, Grant, HttpClient, Parameters, Prover,
    RequestOptions, Session, SessionStore, StoredSession, TokenResponse, authorization_code_grant_request,
    process_authorization_code_response,
};
use serde_json::json;

use crate::failure::Failure;
use crate::options::client::ClientOptions;
use crate::options::grant::{ParameterOptions, device};
use crate::options::key::KeyOptions;
use crate::options::server::{ServerOptions, TransportOptions};
use crate::options::session::{SessionOptions, with_transport};
use crate::options::sign_in::SignInOptions;
use crate::output;
use crate::trace::Traced;

/// Sign a user in, and keep the session for later calls.
///
/// Opens the browser for the authorization code grant with PKCE, pushed where the server supports that, and
/// waits on loopback for five minutes. With --device the user signs in on another device. --issuer and
/// --client-id are required. If the client authenticates, `call` and `logout` need the same options for that.
/// The tokens and their private key are stored in clear text in a file that only its owner can read (mode
/// 0600); `possession call --session NAME` uses them.
#[derive(clap::Args)]
pub struct Login {
    /// Let the user sign in on another device (RFC 8628)
    #[arg(long, help_heading = "Sign-in", conflicts_with_all = ["no_browser", "redirect_port", "redirect_path"])]
    device: bool,
    #[command(flatten)]
    sign_in: SignInOptions,
    #[command(flatten)]
    session: SessionOptions,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    parameters: ParameterOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    transport: TransportOptions,
}

/// Revoke the tokens of a stored session, and delete it.
#[derive(clap::Args)]
pub struct Logout {
    /// Only delete it, for an authorization server that cannot be reached: the tokens live until they expire.
    /// Without this, a session whose tokens cannot be revoked is kept
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    session: SessionOptions,
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    transport: TransportOptions,
}

/// How long the metadata are waited for that are stored with a new session.
const METADATA: Duration = Duration::from_secs(5);
/// How long a session is waited for that another process uses.
const LOCK: Duration = Duration::from_secs(15);

impl Login {
    pub fn run(self) -> Result<(), Failure> {
        let store = self.session.store()?;
        // A store that cannot be used is found before the user signs in.
        drop(store.lock(LOCK)?);
        let replaced = store.load()?;
        let client = self.client.client()?;
        let auth = self.client.auth(&self.transport)?;
        match self.device {
            true => self.parameters.parameters().map(drop)?,
            false => self.sign_in.check(&self.parameters)?,
        }
        self.key.check()?;
        if let Some(replaced) = &replaced {
            output::note(format_args!(
                "This will replace the session {} at {}, whose tokens then live until they expire (run `possession \
                 logout` first to revoke them).",
                self.session.name(),
                output::printable(replaced.issuer())
            ));
        }
        let transport = self.transport.transport()?;
        let http = Traced::new(transport.clone(), std::io::sink());
        let hide = |failure: Failure| failure.map_text(|text| http.hide(text));
        let server = self.server.server(&self.transport, &http).map_err(hide)?;
        let prover = self.key.prover(&server)?;
        let tokens = self.sign_in(&server, &client, &auth, &prover, &http).map_err(hide)?;
        // A session does not take the place of one of another client or server.
        let is_other = |replaced: &StoredSession| {
            replaced.issuer() != server.issuer() || replaced.client_id() != client.client_id()
        };
        if replaced.as_ref().is_some_and(is_other) {
            let lock = store.lock(LOCK)?;
            store.delete()?;
            drop(lock);
        }
        let summary = json!({
            "token_type": tokens.token_type().to_string(),
            "expires_in": tokens.expires_in().map(|life| life.as_secs()),
            "scope": tokens.scope(),
            "sub": tokens.member("sub"),
            "has_refresh_token": tokens.refresh_token().is_some(),
            "jkt": tokens.jkt().map(|jkt| jkt.to_string()),
            "session": store.path().display().to_string(),
        });
        let builder = Session::builder(server.issuer(), client.client_id())
            .auth(auth)
            .prover(&prover)
            .store_key()
            .grant(Grant::tokens(tokens))
            .store(store);
        let builder = with_transport(builder, &self.transport, transport);
        // The tokens are stored before anything else can fail or take long.
        builder.clone().server(server)?;
        if self.server.token_endpoint.is_none() {
            // With the metadata in the store, a call needs the server only for another token.
            let stored = builder.deadline(METADATA).discover();
            if let Err(error) = stored {
                let error = http.hide(&error.to_string());
                output::note(format_args!("the next call fetches the metadata again: {error}"));
            }
        }
        output::json(&summary)
    }

    fn sign_in(
        &self,
        server: &AuthorizationServer,
        client: &Client,
        auth: &ClientAuth,
        prover: &Prover,
        http: &dyn HttpClient,
    ) -> Result<TokenResponse, Failure> {
        let options = RequestOptions::new().prover(prover).http(http);
        if self.device {
            return device(server, client, auth, self.parameters.parameters()?, &options);
        }
        let code = self.sign_in.code(server, client, auth, &self.parameters, &options)?;
        let parameters = Parameters::new();
        let response = authorization_code_grant_request(server, client, auth, code, parameters, &options)?;
        Ok(process_authorization_code_response(server, client, response)?)
    }
}

impl Logout {
    pub fn run(self) -> Result<(), Failure> {
        let store = self.session.store()?;
        if !store.path().exists() {
            return Err(self.session.missing(&store));
        }
        let path = store.path().display().to_string();
        if self.local {
            let lock = store.lock(LOCK)?;
            store.delete()?;
            drop(lock);
            output::note(format_args!("deleted {path}; its tokens live until they expire"));
            return Ok(());
        }
        let http = Arc::new(Traced::new(self.transport.transport()?, std::io::sink()));
        let outcome = self.revoke(&store, &path, Arc::clone(&http) as _);
        outcome.map_err(|failure| failure.map_text(|text| http.hide(text)))
    }

    fn revoke(&self, store: &FileStore, path: &str, http: Arc<dyn HttpClient>) -> Result<(), Failure> {
        let kept = |failure: Failure| {
            failure.map_text(|text| format!("{text}; the session is still at {path} (--local deletes it)"))
        };
        let session = match self.session.open(&self.client, &self.transport, http) {
            Err(failure) if failure.is_ended_session() => {
                let lock = store.lock(LOCK)?;
                store.delete()?;
                drop(lock);
                output::note(format_args!("deleted {path}; the session had ended"));
                return Ok(());
            }
            session => session.map_err(kept)?,
        };
        session.end_if_revoked().map_err(|error| kept(error.into()))?;
        let issuer = session.server().issuer();
        match session.server().member("revocation_endpoint") {
            Some(_) => output::note(format_args!("revoked the tokens at {issuer} and deleted {path}")),
            None => output::note(format_args!(
                "deleted {path}; {issuer} has no revocation endpoint, so the tokens live until they expire"
            )),
        }
        Ok(())
    }
}
