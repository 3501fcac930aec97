//! What a session with a store starts with: the stored session, or a new one.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::deadline::Deadline;
use super::grant::Source;
use super::persistence::{Persistence, Settings, State, set_key};
use crate::client::proofs::prover::Prover;
use crate::client::session_store::stored_session::{StoredSession, StoredToken};
use crate::crypto::sha256;
use crate::error::{Error, ErrorKind};
use crate::jose::key_pair::KeyPair;

/// What a session starts with.
pub(super) struct Opened {
    pub(super) persistence: Persistence,
    pub(super) prover: Prover,
    pub(super) tokens: Vec<StoredToken>,
    pub(super) refresh_token: Option<Zeroizing<String>>,
}

/// How a session is to start.
pub(super) struct Start<'a> {
    pub(super) grant: &'a Source,
    /// The digest of the parameters that the tokens of a sign-in belong to.
    pub(super) parameters: [u8; 32],
    /// The key that the caller gave.
    pub(super) key: Option<Prover>,
    /// Whether that key is to be stored.
    pub(super) store_key: bool,
    /// Whether a refresh token is bound to the key.
    pub(super) is_public_client: bool,
}

/// What the settings and the store lead to.
enum Plan {
    Continue(StoredSession),
    /// A new session is stored, in place of that one.
    Begin(Option<StoredSession>),
    /// Nothing is stored before there is a token.
    Wait,
}

impl Opened {
    /// Continues the stored session, or stores a new one. Its key is used unless there is another one. A new
    /// key is stored at once, so that processes which start together have the same; and so are tokens that
    /// cannot be requested again.
    ///
    /// # Errors
    /// Those of the store and of `generate`; [`SessionEnded`](ErrorKind::SessionEnded) if the user must sign
    /// in; [`Configuration`](ErrorKind::Configuration) if the key is missing or another one is needed.
    pub(super) fn new(
        settings: Settings,
        start: Start<'_>,
        generate: impl FnOnce() -> Result<KeyPair, Error>,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        if start.store_key && start.key.as_ref().is_some_and(|key| key.key_pair().is_none()) {
            let wrong = "only a `KeyPair` can be stored, not another `Signer` (leave out `store_key`)";
            return Err(Error::new(ErrorKind::Configuration, OPENING, wrong));
        }
        match start.plan(settings.load()?)? {
            Plan::Continue(stored) => return Self::continued(settings, start, stored),
            Plan::Wait => return Self::waiting(settings, start, generate),
            Plan::Begin(_) => {}
        }
        let store = Arc::clone(&settings.store);
        let lock = store.lock(deadline.remaining(&*settings.clock))?;
        let opened = match start.plan(settings.load()?)? {
            // Another process was faster.
            Plan::Continue(stored) => Self::continued(settings, start, stored),
            Plan::Begin(replaced) => Self::begun(settings, start, replaced, generate),
            Plan::Wait => Self::waiting(settings, start, generate),
        };
        drop(lock);
        opened
    }

    fn continued(settings: Settings, start: Start<'_>, stored: StoredSession) -> Result<Self, Error> {
        let (stores_key, has_refresh_token) = (start.stores_key(), start.has_refresh_token());
        let prover = match start.key {
            Some(prover) => prover,
            None => stored_key(&stored)?,
        };
        let jkt = prover.thumbprint();
        if has_refresh_token && start.is_public_client && stored.jkt != jkt {
            let wrong = format!(
                "its refresh token is bound to the key {}, and another one was given (RFC 9449 §5)",
                stored.jkt
            );
            return Err(Error::new(ErrorKind::Configuration, OPENING, wrong));
        }
        prover.restore_servers(&stored.servers);
        let mut tokens = stored.tokens;
        if stored.jkt != jkt {
            log::info!("the stored tokens are not used: they are bound to the key {}", stored.jkt);
            tokens.clear();
        }
        let (now, began_with) = (settings.clock.now(), stored.began_with);
        tokens.retain(|token| settings.accepts(token) && !token.has_expired(now));
        if has_refresh_token && stored.refresh_token.is_none() && tokens.is_empty() {
            let wrong = "it has no refresh token, or one that was refused (sign in again)";
            return Err(Error::new(ErrorKind::SessionEnded, OPENING, wrong));
        }
        let state = State {
            began_with,
            jkt,
            stores_key,
            stored_jkt: Some(stored.jkt),
            servers: stored.servers,
            metadata_fetched_at: stored.metadata.map(|metadata| metadata.fetched_at),
            ended: false,
        };
        let persistence = Persistence::new(settings, state);
        Ok(Self { persistence, prover, tokens, refresh_token: stored.refresh_token })
    }

    fn begun(
        settings: Settings,
        start: Start<'_>,
        replaced: Option<StoredSession>,
        generate: impl FnOnce() -> Result<KeyPair, Error>,
    ) -> Result<Self, Error> {
        let (stores_key, began_with) = (start.stores_key(), start.began_with());
        let (tokens, refresh_token) = start.grant.start(start.parameters)?;
        let prover = start.key.map_or_else(|| Prover::new(generate()?), Ok)?;
        if let Some(replaced) = replaced {
            log::info!("the stored session is replaced by a new one of the same client");
            prover.restore_servers(&replaced.servers);
        }
        let jkt = prover.thumbprint();
        let mut session = settings.new_session(jkt);
        session.began_with = began_with;
        session.tokens = tokens;
        session.refresh_token = refresh_token;
        if stores_key {
            set_key(&mut session, &prover)?;
        }
        session.servers = prover.known_servers();
        session.metadata.clone_from(&settings.metadata);
        settings.store.save(&session)?;
        let StoredSession { tokens, refresh_token, servers, metadata, .. } = session;
        let metadata_fetched_at = metadata.map(|metadata| metadata.fetched_at);
        let state = State {
            began_with,
            jkt,
            stores_key,
            stored_jkt: Some(jkt),
            servers,
            metadata_fetched_at,
            ended: false,
        };
        Ok(Self { persistence: Persistence::new(settings, state), prover, tokens, refresh_token })
    }

    fn waiting(
        settings: Settings,
        start: Start<'_>,
        generate: impl FnOnce() -> Result<KeyPair, Error>,
    ) -> Result<Self, Error> {
        let (stores_key, began_with) = (start.stores_key(), start.began_with());
        let prover = start.key.map_or_else(|| Prover::new(generate()?), Ok)?;
        let jkt = prover.thumbprint();
        let state = State {
            began_with,
            jkt,
            stores_key,
            stored_jkt: None,
            servers: Vec::new(),
            metadata_fetched_at: None,
            ended: false,
        };
        let persistence = Persistence::new(settings, state);
        Ok(Self { persistence, prover, tokens: Vec::new(), refresh_token: None })
    }
}

impl Start<'_> {
    fn plan(&self, stored: Option<StoredSession>) -> Result<Plan, Error> {
        Ok(match (self.grant, stored) {
            (Source::Stored, None) => {
                let wrong = "there is none (sign in)";
                return Err(Error::new(ErrorKind::SessionEnded, OPENING, wrong));
            }
            (Source::RefreshToken(_) | Source::Tokens(_), stored) => match stored {
                Some(stored) if stored.began_with == self.began_with() => Plan::Continue(stored),
                stored => Plan::Begin(stored),
            },
            (_, Some(stored)) => Plan::Continue(stored),
            (_, None) if self.stores_key() => Plan::Begin(None),
            (_, None) => Plan::Wait,
        })
    }

    fn stores_key(&self) -> bool {
        self.store_key || self.key.is_none()
    }

    fn has_refresh_token(&self) -> bool {
        matches!(self.grant, Source::RefreshToken(_) | Source::Tokens(_) | Source::Stored)
    }

    /// The hash of the token that the session begins with.
    fn began_with(&self) -> Option<[u8; 32]> {
        Some(sha256(match self.grant {
            Source::RefreshToken(token) => token.as_bytes(),
            Source::Tokens(response) => {
                response.refresh_token().unwrap_or(response.access_token()).as_bytes()
            }
            _ => return None,
        }))
    }
}

const OPENING: &str = "continuing a stored session";

/// Returns a prover with the key of a stored session.
fn stored_key(stored: &StoredSession) -> Result<Prover, Error> {
    match stored.key_pair().map_err(|error| error.while_doing(OPENING))? {
        Some(key) => Prover::new(key),
        None => {
            let wrong = format!(
                "its key {} is not stored with it (give it to `SessionBuilder::key`, or delete the stored session)",
                stored.jkt
            );
            Err(Error::new(ErrorKind::Configuration, OPENING, wrong))
        }
    }
}
