//! A session in its store: when it reads, locks and writes.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::deadline::Deadline;
use super::token_cache::{CachedToken, Demand, FetchFailure, Fetched};
use crate::client::grants::token_response::{TokenResponse, TokenType};
use crate::client::proofs::known_servers::KnownServer;
use crate::client::proofs::prover::Prover;
use crate::client::session_store::stored_session::{StoredMetadata, StoredSession, StoredToken};
use crate::client::session_store::{SessionStore, StoreLock};
use crate::error::{Error, ErrorKind, StoreProblem};
use crate::jose::public_key::Thumbprint;
use crate::sync::{self, Mutex};
use crate::text::printable;
use crate::time::{Clock, TimePoint, unix_seconds};

/// How long the end of a session waits for the lock to store a refresh token.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// What was fetched when the session started, or was stored then; `None` if the caller has the metadata.
    pub(super) metadata: Option<StoredMetadata>,
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) struct State {
    /// What tells this session from others of the same client: the token that it began with. It does not
    /// change.
    pub(super) began_with: Option<[u8; 32]>,
    /// The key of the session.
    pub(super) jkt: Thumbprint,
    /// Whether the key is stored with the session, if it is in memory.
    pub(super) stores_key: bool,
    /// The key of the stored session when it was last read or written. If it has another one by now, another
    /// process has replaced it, and it is not replaced again.
    pub(super) stored_jkt: Option<Thumbprint>,
    /// What was known about servers when the session was last read or written.
    pub(super) servers: Vec<KnownServer>,
    /// When the metadata were fetched that were stored when the session was last read or written.
    pub(super) metadata_fetched_at: Option<u64>,
    /// Whether the session was ended: nothing is stored any more.
    pub(super) ended: bool,
}

/// What is to be stored, beside what is known about servers.
#[derive(Default)]
pub(super) struct Changes {
    /// A new access token.
    pub(super) token: Option<StoredToken>,
    /// The refresh token to use next, or none if it was refused; `None` if that does not change.
    pub(super) refresh_token: Option<Option<Zeroizing<String>>>,
}

/// What the store has, seen with its lock in hand.
pub(super) struct Locked<'a> {
    pub(super) stored: Option<StoredSession>,
    _lock: StoreLock<'a>,
}

impl Persistence {
    /// Takes over from [`Opened`](super::opened_session::Opened).
    pub(super) fn new(settings: Settings, state: State) -> Self {
        Self { settings, state: Mutex::new(state) }
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
        let issued = |(response, sent)| Fetched::Issued { response, sent, unsaved: None };
        if !self.is_current(prover) {
            return request().map(issued);
        }
        let mut locked = match self.lock_for(demand, deadline) {
            Ok(locked) => locked,
            Err(error) if demand.is_ahead_of_expiry && is_locked(&error) => {
                return Err(FetchFailure::not_sent(error));
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
        let token = Some(StoredToken { parameters, response: Arc::clone(&response) });
        if let Err(error) = self.save(&mut locked, prover, Changes { token, ..Changes::default() }) {
            log::warn!("a token was not stored, and the session continues with it: {error}");
        }
        Ok(issued((response, sent)))
    }

    /// Stores the session with another key, and with the only token that is bound to it.
    pub(super) fn rotate(&self, prover: &Prover, token: StoredToken, deadline: Deadline) {
        sync::lock(&self.state).jkt = prover.thumbprint();
        if !self.is_current(prover) {
            return;
        }
        let changes = Changes { token: Some(token), ..Changes::default() };
        let save = || {
            let mut locked = self.lock(deadline.remaining(&*self.settings.clock))?;
            self.save(&mut locked, prover, changes)
        };
        if let Err(error) = save() {
            log::warn!("a new key was not stored with its session, which continues with it: {error}");
        }
    }

    /// Stores what is not stored yet, for a session that nobody uses any more: what has become known about
    /// servers and their metadata, and `unsaved`, an access token with the refresh token that came with it.
    pub(super) fn close(&self, prover: &Prover, unsaved: Option<(StoredToken, Option<Zeroizing<String>>)>) {
        let is_known = {
            let state = sync::lock(&self.state);
            let fetched_at = self.settings.metadata.as_ref().map(|metadata| metadata.fetched_at);
            state.servers == prover.known_servers() && fetched_at <= state.metadata_fetched_at
        };
        if !self.is_current(prover) || unsaved.is_none() && is_known {
            return;
        }
        let (is_lost, timeout) = match unsaved {
            Some(_) => (true, LAST_TIMEOUT),
            None => (false, Duration::ZERO),
        };
        let changes = match unsaved {
            Some((token, refresh_token)) => {
                Changes { token: Some(token), refresh_token: Some(refresh_token) }
            }
            None => Changes::default(),
        };
        let save = || {
            let mut locked = self.lock(timeout)?;
            match locked.stored {
                Some(_) => self.save(&mut locked, prover, changes),
                None => Ok(()),
            }
        };
        match save() {
            Err(error) if is_lost => log::error!("a new refresh token was not stored and is lost: {error}"),
            // It costs a retry, or another fetch of the metadata.
            Err(error) => log::info!("the newest nonces and metadata were not stored: {error}"),
            Ok(()) => {}
        }
    }

    /// Stores nothing from now on, and returns what is stored of this session, to be
    /// [deleted](Self::delete).
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn end(&self, deadline: Deadline) -> Result<Locked<'_>, Error> {
        sync::lock(&self.state).ended = true;
        let mut locked = self.lock(deadline.remaining(&*self.settings.clock))?;
        locked.stored = locked.stored.filter(|stored| self.is_own(stored));
        Ok(locked)
    }

    /// Deletes the stored session, if there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn delete(&self, locked: Locked<'_>) -> Result<(), Error> {
        match locked.stored {
            Some(_) => self.settings.store.delete(),
            None => Ok(()),
        }
    }

    /// Whether the session of that key is to be stored.
    fn is_current(&self, prover: &Prover) -> bool {
        let state = sync::lock(&self.state);
        !state.ended && state.jkt == prover.thumbprint()
    }

    /// Locks the store for a token request. A call that has a valid token does not wait. Without one, half of
    /// its time is left for the request.
    pub(super) fn lock_for(&self, demand: &Demand<'_>, deadline: Deadline) -> Result<Locked<'_>, Error> {
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
    pub(super) fn token_of_others(
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

    /// Returns the stored refresh token.
    ///
    /// # Errors
    /// [`SessionEnded`](ErrorKind::SessionEnded) if what is stored is not this session any more.
    pub(super) fn refresh_token<'a>(
        &self,
        locked: &'a Locked<'_>,
        doing: impl FnOnce() -> String,
    ) -> Result<Option<&'a Zeroizing<String>>, Error> {
        let wrong = match &locked.stored {
            Some(stored) if self.is_own(stored) => return Ok(stored.refresh_token.as_ref()),
            Some(_) => "the stored session was replaced by a newer one (start the session again)",
            None => "the stored session was deleted (sign in again)",
        };
        Err(Error::new(ErrorKind::SessionEnded, doing(), wrong))
    }

    /// Reads the stored session again, which somebody may have replaced without the lock.
    pub(super) fn reload(&self, locked: &mut Locked<'_>) -> Result<(), Error> {
        locked.stored = self.settings.load()?;
        Ok(())
    }

    /// Stores the session with these changes and with what is known about servers.
    pub(super) fn save(
        &self,
        locked: &mut Locked<'_>,
        prover: &Prover,
        changes: Changes,
    ) -> Result<(), Error> {
        let jkt = prover.thumbprint();
        let (own, stored_jkt, stores_key) = {
            let state = sync::lock(&self.state);
            // The session was ended while this one waited for the lock, and what was stored is deleted.
            if state.ended {
                return Ok(());
            }
            (state.jkt, state.stored_jkt, state.stores_key)
        };
        let mut session = match locked.stored.take() {
            None => self.settings.new_session(jkt),
            Some(stored) if !self.is_own(&stored) => {
                log::info!("the session is not stored: the stored one was replaced by a newer one");
                locked.stored = Some(stored);
                return Ok(());
            }
            Some(mut stored) => {
                // The session has got its key since it was stored.
                if stored.jkt != jkt && Some(stored.jkt) == stored_jkt && jkt == own {
                    stored.change_key(jkt);
                }
                stored
            }
        };
        // With another key, the session does not have it yet or not any more, or another process has replaced
        // it. A refresh token is stored all the same.
        if session.jkt == jkt {
            if stores_key {
                set_key(&mut session, prover)?;
            }
            // One that is bound to a key that was given up is of no use.
            let is_bound = |token: &StoredToken| token.response.jkt().is_none_or(|bound| bound == jkt);
            if let Some(token) = changes.token.filter(is_bound) {
                session.set_token(token, self.settings.clock.now());
            }
        } else if changes.refresh_token.is_none() {
            log::info!("the session is not stored: the stored one has the key {} by now", session.jkt);
            locked.stored = Some(session);
            return Ok(());
        }
        if let Some(refresh_token) = changes.refresh_token {
            session.refresh_token = refresh_token;
        }
        session.servers = prover.known_servers();
        if let Some(metadata) = self.newer_metadata(session.metadata.as_ref()) {
            session.metadata = Some(metadata.clone());
        }
        self.settings.store.save(&session)?;
        let mut state = sync::lock(&self.state);
        state.stored_jkt = Some(session.jkt);
        state.metadata_fetched_at = session.metadata.as_ref().map(|metadata| metadata.fetched_at);
        let replaced = std::mem::replace(&mut state.servers, prover.known_servers());
        drop(state);
        drop(replaced);
        locked.stored = Some(session);
        Ok(())
    }

    /// Returns the metadata of this session, unless those that are stored are newer: another process may have
    /// fetched them. A time in the future is that of a wrong clock.
    fn newer_metadata(&self, stored: Option<&StoredMetadata>) -> Option<&StoredMetadata> {
        let now = unix_seconds(self.settings.clock.now()).unwrap_or_default();
        let stored_at = stored.map(|stored| stored.fetched_at).filter(|fetched_at| *fetched_at <= now);
        self.settings.metadata.as_ref().filter(|metadata| Some(metadata.fetched_at) > stored_at)
    }

    /// Whether what is stored is this session, and not a newer one of the same client.
    fn is_own(&self, stored: &StoredSession) -> bool {
        stored.began_with == sync::lock(&self.state).began_with
    }
}

impl Settings {
    pub(super) fn new_session(&self, jkt: Thumbprint) -> StoredSession {
        StoredSession::new(&self.issuer, &self.client_id, self.grant, jkt)
    }

    /// Reads the stored session and checks whose it is.
    pub(super) fn load(&self) -> Result<Option<StoredSession>, Error> {
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
    pub(super) fn accepts(&self, token: &StoredToken) -> bool {
        match token.response.token_type() {
            TokenType::Dpop => true,
            TokenType::Bearer => self.accept_bearer,
            TokenType::NotApplicable => false,
        }
    }
}

/// Stores a key with its session, if it is in memory.
pub(super) fn set_key(session: &mut StoredSession, prover: &Prover) -> Result<(), Error> {
    prover.key_pair().map_or(Ok(()), |key| session.set_key(key))
}

fn is_locked(error: &Error) -> bool {
    *error.kind() == ErrorKind::Store(StoreProblem::Locked)
}
