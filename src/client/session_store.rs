//! Where a session is kept while no process runs it.

pub(crate) mod file_store;
mod lock_file;
pub(crate) mod stored_session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::stored_session::StoredSession;
use crate::error::Error;

/// Keeps one session between runs of a program, for all processes that share it: in a file
/// ([`FileStore`](crate::FileStore)), the keychain of the system, a database.
///
/// [`SessionBuilder::store`](crate::SessionBuilder::store) gives it to a session. A store of your own keeps
/// the text of [`StoredSession::to_json`], which contains tokens and may contain the private key. The page
/// [keep_a_session](crate::guide::keep_a_session) shows one for a keychain. The trait is object-safe. A store
/// in memory, for tests, looks like this:
///
/// ```
/// use std::sync::Mutex;
/// use std::time::Duration;
/// use possession::zeroize::Zeroizing;
/// use possession::{Error, SessionStore, StoreLock, StoredSession};
///
/// #[derive(Default)]
/// struct MemoryStore {
///     json: Mutex<Option<Zeroizing<String>>>,
///     lock: Mutex<()>,
/// }
///
/// impl SessionStore for MemoryStore {
///     fn load(&self) -> Result<Option<StoredSession>, Error> {
///         self.json.lock().unwrap().as_ref().map(|json| StoredSession::from_json(json)).transpose()
///     }
///
///     fn save(&self, session: &StoredSession) -> Result<(), Error> {
///         *self.json.lock().unwrap() = Some(session.to_json());
///         Ok(())
///     }
///
///     fn delete(&self) -> Result<(), Error> {
///         *self.json.lock().unwrap() = None;
///         Ok(())
///     }
///
///     fn lock(&self, _timeout: Duration) -> Result<StoreLock<'_>, Error> {
///         Ok(StoreLock::new(self.lock.lock().unwrap())) // a mutex knows no timeout
///     }
/// }
/// # let store = MemoryStore::default();
/// # assert!(store.load()?.is_none());
/// # let _lock = store.lock(Duration::ZERO)?;
/// # store.delete()?;
/// # Ok::<(), Error>(())
/// ```
pub trait SessionStore: Send + Sync {
    /// Returns the stored session; `None` if there is none. It is called with and without the lock.
    ///
    /// # Errors
    /// [`Error::store`] when the store cannot be read, and the error of [`StoredSession::from_json`]. What
    /// cannot be read must not be discarded: it may hold the only copy of a refresh token.
    fn load(&self) -> Result<Option<StoredSession>, Error>;

    /// Stores the session in place of the one that is stored. When it returns, the session must survive a
    /// crash. If it fails or is interrupted, the old session must still be there. A
    /// [`Session`](crate::Session) calls it only while it has the [`lock`](Self::lock).
    ///
    /// # Errors
    /// [`Error::store`] when the session could not be stored.
    fn save(&self, session: &StoredSession) -> Result<(), Error>;

    /// Deletes the stored session. It is no error if there is none. A [`Session`](crate::Session) calls it
    /// only while it has the [`lock`](Self::lock).
    ///
    /// # Errors
    /// [`Error::store`] when it could not be deleted.
    fn delete(&self) -> Result<(), Error>;

    /// Waits until no other process and no other thread has the lock, for `timeout` at most, and takes it. It
    /// is unlocked when the value that is returned is dropped, and when the process ends in any way. A
    /// timeout of zero does not wait. A [`Session`](crate::Session) holds the lock while it requests a token,
    /// so that other processes do not request one as well.
    ///
    /// # Errors
    /// [`Error::store_locked`] when the time is over, and [`Error::store`] when locking is not possible.
    fn lock(&self, timeout: Duration) -> Result<StoreLock<'_>, Error>;
}

/// The lock of a [`SessionStore`], which is unlocked when this is dropped.
#[must_use = "dropping the lock unlocks it"]
pub struct StoreLock<'a>(#[allow(dead_code, reason = "it is held until it is dropped")] Box<dyn Guard + 'a>);

/// Any value: what matters is that it is dropped.
trait Guard {}

impl<T> Guard for T {}

impl<'a> StoreLock<'a> {
    /// Takes a value that unlocks when it is dropped, such as a
    /// [`MutexGuard`](std::sync::MutexGuard).
    pub fn new(guard: impl Sized + 'a) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for StoreLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLock").finish_non_exhaustive()
    }
}

impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    fn load(&self) -> Result<Option<StoredSession>, Error> {
        (**self).load()
    }

    fn save(&self, session: &StoredSession) -> Result<(), Error> {
        (**self).save(session)
    }

    fn delete(&self) -> Result<(), Error> {
        (**self).delete()
    }

    fn lock(&self, timeout: Duration) -> Result<StoreLock<'_>, Error> {
        (**self).lock(timeout)
    }
}
