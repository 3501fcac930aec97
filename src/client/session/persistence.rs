//! A session in its store: what it starts with, and when it reads, locks and writes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::deadline::Deadline;
use super::token_cache::{CachedToken, Demand, FailureCause, FetchFailure, Fetched};
use crate::client::known_servers::KnownServer;
use crate::client::prover::Prover;
use crate::client::session_store::stored_session::{StoredSession, StoredToken};
use crate::client::session_store::{SessionStore, StoreLock};
use crate::client::token_response::{TokenResponse, TokenType};
use crate::error::{Error, ErrorKind, StoreProblem};
use crate::jose::key_pair::KeyPair;
use crate::jose::public_key::Thumbprint;
use crate::sync;
use crate::text::printable;
use crate::time::{Clock, TimePoint};

/// The store of a session, and what is known about its content.
///
/// Its methods call the store, which is foreign code, so none of them runs under a lock of this process. The
/// lock of the store is another thing: it is held during a token request, so that several processes make one.
pub(super) struct Persistence {
    settings: Settings,
    state: Mutex<State>,
}

/// Whose session is stored, and where.
pub(super) struct Settings {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) grant: &'static str,
    pub(super) accept_bearer: bool,
    pub(super) clock: Arc<dyn Clock>,
}

struct State {
    /// The key of the session.
    jkt: Thumbprint,
    /// Whether the key is stored with the session, if it is in memory.
    stores_key: bool,
    /// The key of the session that was in the store when it was last read or written. One with a key that is
    /// neither this nor the own one belongs to somebody else by now, and is not replaced.
    stored_jkt: Option<Thumbprint>,
    /// What was known about servers when the session was last read or written.
    servers: Vec<KnownServer>,
    /// Whether the session was ended: nothing is stored any more.
    ended: bool,
}

/// What a session starts with.
pub(super) struct Opened {
    pub(super) persistence: Persistence,
    pub(super) prover: Prover,
    pub(super) tokens: Vec<StoredToken>,
}

/// What the store has, seen with its lock in hand.
pub(super) struct Locked<'a> {
    pub(super) stored: Option<StoredSession>,
    _lock: StoreLock<'a>,
}

impl Persistence {
    /// Reads the stored session. Its key is used unless there is another one, and a new key is stored at
    /// once, so that processes which start together have the same.
    ///
    /// # Errors
    /// Those of the store; [`StoreProblem::OtherSession`] if it has the session of another client; those of
    /// `generate`.
    pub(super) fn open(
        settings: Settings,
        key: Option<Prover>,
        generate: impl FnOnce() -> Result<KeyPair, Error>,
        deadline: Deadline,
    ) -> Result<Opened, Error> {
        let mut stored = settings.load()?;
        let stores_key = key.is_none();
        let prover = match (key, &stored) {
            (Some(prover), _) => prover,
            (None, Some(stored)) => stored_key(stored)?,
            (None, None) => {
                let lock = settings.store.lock(deadline.remaining(&*settings.clock))?;
                stored = settings.load()?;
                let prover = match &stored {
                    // Another process was faster.
                    Some(stored) => stored_key(stored)?,
                    None => {
                        let prover = Prover::new(generate()?)?;
                        let mut session = settings.new_session(prover.thumbprint());
                        set_key(&mut session, &prover)?;
                        settings.store.save(&session)?;
                        stored = Some(session);
                        prover
                    }
                };
                drop(lock);
                prover
            }
        };
        let (jkt, stored_jkt) = (prover.thumbprint(), stored.as_ref().map(|stored| stored.jkt));
        let (mut tokens, mut servers) = (Vec::new(), Vec::new());
        if let Some(stored) = stored {
            prover.restore_servers(&stored.servers);
            servers = stored.servers;
            match stored.jkt == jkt {
                true => tokens = stored.tokens,
                false => {
                    log::info!("the stored tokens are not used: they are bound to the key {}", stored.jkt)
                }
            }
            tokens.retain(|token| settings.accepts(token));
        }
        let state = State { jkt, stores_key, stored_jkt, servers, ended: false };
        Ok(Opened { persistence: Self { settings, state: Mutex::new(state) }, prover, tokens })
    }

    /// Returns the token that another process has stored, or makes the request and stores its token. Other
    /// processes wait meanwhile, unless they have a valid token.
    ///
    /// This is for tokens that can be requested again. If the store fails, the session goes on without it.
    pub(super) fn fetch(
        &self,
        parameters: [u8; 32],
        prover: &Prover,
        demand: &Demand<'_>,
        deadline: Deadline,
        request: impl FnOnce() -> Result<(Arc<TokenResponse>, TimePoint), FetchFailure>,
    ) -> Result<Fetched, FetchFailure> {
        let issued = |(response, sent)| Fetched::Issued { response, sent };
        if !self.is_current(prover) {
            return request().map(issued);
        }
        let locked = match self.lock_for(demand, deadline) {
            Ok(locked) => locked,
            Err(error) if demand.is_ahead_of_expiry && is_locked(&error) => {
                return Err(FetchFailure { cause: FailureCause::Store, ..error.into() });
            }
            Err(error) => {
                log::warn!("the session continues without its store: {error}");
                return request().map(issued);
            }
        };
        if let Some(token) = self.token_of_others(&locked, parameters, prover, demand) {
            return Ok(Fetched::Stored(token));
        }
        let (response, sent) = request()?;
        let token = StoredToken { parameters, response: Arc::clone(&response) };
        if let Err(error) = self.save(locked, prover, Some(token)) {
            log::warn!("a token was not stored, and the session continues with it: {error}");
        }
        Ok(Fetched::Issued { response, sent })
    }

    /// Stores the session with another key, and with the only token that is bound to it.
    pub(super) fn rotate(&self, prover: &Prover, token: StoredToken, deadline: Deadline) {
        sync::lock(&self.state).jkt = prover.thumbprint();
        if !self.is_current(prover) {
            return;
        }
        let save = || {
            let locked = self.lock(deadline.remaining(&*self.settings.clock))?;
            self.save(locked, prover, Some(token))
        };
        if let Err(error) = save() {
            log::warn!("a new key was not stored with its session, which continues with it: {error}");
        }
    }

    /// Stores what has become known about servers, for a session that nobody uses any more. It is no loss if
    /// that is not possible.
    pub(super) fn save_servers(&self, prover: &Prover) {
        if !self.is_current(prover) || sync::lock(&self.state).servers == prover.known_servers() {
            return;
        }
        let save = || match self.lock(Duration::ZERO)? {
            locked if locked.stored.as_ref().is_some_and(|stored| stored.jkt == prover.thumbprint()) => {
                self.save(locked, prover, None)
            }
            _ => Ok(()),
        };
        if let Err(error) = save() {
            log::info!("the newest nonces were not stored: {error}");
        }
    }

    /// Stores nothing from now on, and returns what is stored, to be [deleted](Self::delete).
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn end(&self, deadline: Deadline) -> Result<Locked<'_>, Error> {
        sync::lock(&self.state).ended = true;
        self.lock(deadline.remaining(&*self.settings.clock))
    }

    /// Deletes the stored session.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn delete(&self, locked: Locked<'_>) -> Result<(), Error> {
        let deleted = self.settings.store.delete();
        drop(locked);
        deleted
    }

    /// Whether the session of that key is to be stored.
    fn is_current(&self, prover: &Prover) -> bool {
        let state = sync::lock(&self.state);
        !state.ended && state.jkt == prover.thumbprint()
    }

    /// Locks the store for a token request. A call that has a valid token does not wait. Without one, half of
    /// its time is left for the request.
    fn lock_for(&self, demand: &Demand<'_>, deadline: Deadline) -> Result<Locked<'_>, Error> {
        self.lock(match demand.is_ahead_of_expiry {
            true => Duration::ZERO,
            false => deadline.remaining(&*self.settings.clock) / 2,
        })
    }

    fn lock(&self, timeout: Duration) -> Result<Locked<'_>, Error> {
        let lock = self.settings.store.lock(timeout)?;
        Ok(Locked { stored: self.settings.load()?, _lock: lock })
    }

    /// Takes what another process has learned and stored: about servers, and the token, if it can be used.
    fn token_of_others(
        &self,
        locked: &Locked<'_>,
        parameters: [u8; 32],
        prover: &Prover,
        demand: &Demand<'_>,
    ) -> Option<CachedToken> {
        let stored = locked.stored.as_ref().filter(|stored| stored.jkt == prover.thumbprint())?;
        prover.restore_servers(&stored.servers);
        let mut tokens = stored.tokens.iter().filter(|token| self.settings.accepts(token));
        let token = tokens.find(|token| token.parameters == parameters)?;
        let token = demand.accept(&token.response)?;
        let client = printable(&self.settings.client_id, 80);
        log::info!("a token of {client} that another process has stored is used");
        Some(token)
    }

    /// Stores the session with what is known now, and with that token.
    fn save(&self, locked: Locked<'_>, prover: &Prover, token: Option<StoredToken>) -> Result<(), Error> {
        let jkt = prover.thumbprint();
        let (stores_key, stored_jkt) = {
            let state = sync::lock(&self.state);
            (state.stores_key, state.stored_jkt)
        };
        let mut session = match locked.stored {
            Some(stored) if stored.jkt == jkt => stored,
            Some(stored) if Some(stored.jkt) != stored_jkt => {
                log::info!("the session is not stored: the stored one has the key {} by now", stored.jkt);
                return Ok(());
            }
            _ => self.settings.new_session(jkt),
        };
        if stores_key {
            set_key(&mut session, prover)?;
        }
        if let Some(token) = token {
            session.set_token(token, self.settings.clock.now());
        }
        session.servers = prover.known_servers();
        self.settings.store.save(&session)?;
        let mut state = sync::lock(&self.state);
        state.stored_jkt = Some(jkt);
        let replaced = std::mem::replace(&mut state.servers, session.servers);
        drop(state);
        drop(replaced);
        Ok(())
    }
}

impl Settings {
    fn new_session(&self, jkt: Thumbprint) -> StoredSession {
        StoredSession::new(&self.issuer, &self.client_id, self.grant, jkt)
    }

    /// Reads the stored session and checks whose it is.
    fn load(&self) -> Result<Option<StoredSession>, Error> {
        let Some(stored) = self.store.load()? else { return Ok(None) };
        let own = (&*self.issuer, &*self.client_id, self.grant);
        let found = (stored.issuer(), stored.client_id(), stored.grant());
        if found == own {
            return Ok(Some(stored));
        }
        let shown = |(issuer, client_id, grant)| {
            let (issuer, client_id) = (printable(issuer, 200), printable(client_id, 80));
            format!("{client_id} at {issuer} (grant {})", printable(grant, 80))
        };
        let wrong = format!(
            "it is the session of {}, and this is one of {} (give each its own store, or delete the stored one)",
            shown(found),
            shown(own)
        );
        Err(Error::new(ErrorKind::Store(StoreProblem::OtherSession), "using a stored session", wrong))
    }

    /// Whether the session may use a token of that type: one with other settings may have stored it.
    fn accepts(&self, token: &StoredToken) -> bool {
        match token.response.token_type() {
            TokenType::Dpop => true,
            TokenType::Bearer => self.accept_bearer,
            TokenType::NotApplicable => false,
        }
    }
}

/// Returns a prover with the key of a stored session.
fn stored_key(stored: &StoredSession) -> Result<Prover, Error> {
    let doing = "using the key of a stored session";
    match stored.key_pair().map_err(|error| error.while_doing(doing))? {
        Some(key) => Prover::new(key),
        None => {
            let wrong = format!(
                "the key {} is not stored with it (give it to `SessionBuilder::key`, or delete the stored session)",
                stored.jkt
            );
            Err(Error::new(ErrorKind::Configuration, doing, wrong))
        }
    }
}

/// Stores a key with its session, if it is in memory.
fn set_key(session: &mut StoredSession, prover: &Prover) -> Result<(), Error> {
    prover.key_pair().map_or(Ok(()), |key| session.set_key(key))
}

fn is_locked(error: &Error) -> bool {
    *error.kind() == ErrorKind::Store(StoreProblem::Locked)
}
