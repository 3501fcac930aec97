//! A session in a file.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::lock_file::LockFile;
use super::stored_session::StoredSession;
use super::{SessionStore, StoreLock};
use crate::error::{Error, ErrorKind, StoreProblem};
use crate::private_file::{OnConflict, Temporary, remove_temporaries, shown, sync_folder};
use crate::text::printable;

/// The largest file that is read or written, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// The longest encoded name of a session. With what is added, file systems accept it.
const MAX_NAME: usize = 180;

/// Keeps a session in a file that only its owner may read.
///
/// ```no_run
/// use possession::{ClientAuth, FileStore, Session};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = Session::builder("https://as.example.com", "my-client")
///     .auth(ClientAuth::client_secret_basic(std::env::var("CLIENT_SECRET")?))
///     .store(FileStore::new("/var/lib/my-program", "orders")?)
///     .discover()?;
/// # Ok(()) }
/// ```
///
/// The content is in clear text: tokens, and the private key unless
/// [`SessionBuilder::key`](crate::SessionBuilder::key) supplies it. The page
/// [keep_a_session](crate::guide::keep_a_session) shows how the keychain of the system protects it.
///
/// # Files
///
/// The session `orders` is in `session-orders.json`, and `session-orders.lock` is the file that processes
/// lock. In the names of files, other characters than `a` to `z`, `0` to `9`, `-` and `_` are written as `%`
/// and the hexadecimal value of each byte: no name leads out of the directory, and names that differ in case
/// are different files on every system.
///
/// - The session is replaced atomically. Whenever a process is killed or the power fails, the file has the
///   old session or the new one.
/// - On Unix the file has the mode 0600, and a missing directory is created with the mode 0700. A session is
///   neither read nor written if others may read the file or write to the directory. On Windows, file and
///   directory have the permissions of the folder that they are created in: choose one in the profile of the
///   user.
/// - The file is not read through a symbolic link, and a link in its place is replaced.
/// - The lock is that of [`File::lock`]. The operating system releases it when a process ends, in whatever
///   way. The lock file remains when the session is deleted. A network file system without locks is an
///   error.
#[derive(Clone)]
pub struct FileStore {
    directory: PathBuf,
    /// The name of the files without their ends.
    stem: String,
    path: PathBuf,
    lock: std::sync::Arc<LockFile>,
}

impl FileStore {
    /// Creates a store for the session of that name in a directory. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) for a name that is empty or longer than 180 bytes when it is
    /// encoded, and for a directory whose name is empty.
    pub fn new(directory: impl AsRef<Path>, name: &str) -> Result<Self, Error> {
        let refuse = |wrong: String| Error::new(ErrorKind::Parameter, "naming the file of a session", wrong);
        let encoded = encode(name);
        if encoded.is_empty() || encoded.len() > MAX_NAME {
            return Err(refuse(format!(
                "the name is empty or longer than {MAX_NAME} bytes when it is encoded"
            )));
        }
        // Another working directory must not be another store.
        let directory = std::path::absolute(directory)
            .map_err(|error| refuse(format!("the directory: {error}")).with_source(error))?;
        let stem = format!("session-{encoded}");
        let path = directory.join(format!("{stem}.json"));
        let lock = LockFile::new(directory.join(format!("{stem}.lock"))).into();
        Ok(Self { directory, stem, path, lock })
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn doing(&self, action: &str) -> String {
        format!("{action} the session in {}", shown(&self.path))
    }

    /// Returns `None` if there is no file.
    fn read(&self, doing: &dyn Fn() -> String) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let failed = |error| failed(doing(), error);
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(not_a_file(doing())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        self.check_directory(doing)?;
        let file = match File::open(&self.path) {
            Ok(file) => file,
            // It was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if let Some(mode) = mode(&metadata).filter(|mode| mode & 0o077 != 0) {
            let path = shown(&self.path);
            let wrong = format!(
                "others may use the file, its mode is {mode:04o} (`chmod 600 '{path}'`, and \
                                 replace the secrets in it if others may have read them)"
            );
            return Err(Error::new(ErrorKind::Store(StoreProblem::Permissions), doing(), wrong));
        }
        if metadata.len() > MAX_FILE {
            return Err(too_large(doing()));
        }
        // The buffer never grows, because growing would leave a copy of the secrets behind. One byte more
        // shows a file that grows meanwhile.
        let capacity = usize::try_from(metadata.len()).unwrap_or(usize::MAX).saturating_add(1);
        let mut content = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(metadata.len().saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
        Ok(Some(content))
    }

    /// Creates the directory, unless there is one.
    fn create_directory(&self, doing: &dyn Fn() -> String) -> Result<(), Error> {
        if !self.directory.is_dir() {
            if self.directory.exists() {
                let wrong = format!("{} is a file, and a directory is needed", shown(&self.directory));
                return Err(Error::new(ErrorKind::Store(StoreProblem::Failed), doing(), wrong));
            }
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&self.directory).map_err(|error| failed(doing(), error))?;
        }
        self.check_directory(doing)
    }

    /// Refuses a directory in which others can replace files.
    fn check_directory(&self, doing: &dyn Fn() -> String) -> Result<(), Error> {
        let metadata = fs::metadata(&self.directory).map_err(|error| failed(doing(), error))?;
        match mode(&metadata).filter(|mode| mode & 0o022 != 0) {
            Some(mode) => {
                let path = shown(&self.directory);
                let wrong = format!(
                    "others may write to the directory, its mode is {mode:04o} (`chmod 700 '{path}'`, \
                                     or a directory for this program alone)"
                );
                Err(Error::new(ErrorKind::Store(StoreProblem::Permissions), doing(), wrong))
            }
            None => Ok(()),
        }
    }
}

impl SessionStore for FileStore {
    fn load(&self) -> Result<Option<StoredSession>, Error> {
        let doing = || self.doing("reading");
        let Some(content) = self.read(&doing)? else { return Ok(None) };
        StoredSession::from_json_bytes(&content).map(Some).map_err(|error| error.while_doing(doing()))
    }

    fn save(&self, session: &StoredSession) -> Result<(), Error> {
        let doing = || self.doing("writing");
        let failed = |error| failed(doing(), error);
        let content = session.to_json();
        if u64::try_from(content.len()).is_ok_and(|length| length > MAX_FILE) {
            return Err(too_large(doing()));
        }
        self.create_directory(&doing)?;
        let temporary = Temporary::beside(&self.path, &self.stem)?;
        temporary.publish(content.as_bytes(), &self.path, OnConflict::Replace).map_err(failed)?;
        // Those of processes that were killed. That they remain is no reason to fail.
        let _ = remove_temporaries(&self.directory, &self.stem);
        Ok(())
    }

    fn delete(&self) -> Result<(), Error> {
        let failed = |error| failed(self.doing("deleting"), error);
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        match remove_temporaries(&self.directory, &self.stem) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => sync_folder(&self.path),
        }
        Ok(())
    }

    fn lock(&self, timeout: Duration) -> Result<StoreLock<'_>, Error> {
        let doing = || self.doing("locking");
        self.create_directory(&doing)?;
        match self.lock.lock(timeout) {
            Ok(Some(locked)) => Ok(StoreLock::new(locked)),
            Ok(None) => Err(Error::store_locked(timeout).while_doing(self.doing("using"))),
            Err(error) => Err(failed(doing(), error)),
        }
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Returns the name of a session in the form in which it is part of the name of a file.
fn encode(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Returns the permissions of a file or directory, where the system has them in this form.
fn mode(metadata: &Metadata) -> Option<u32> {
    #[cfg(unix)]
    return Some(std::os::unix::fs::MetadataExt::mode(metadata) & 0o7777);
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

fn failed(doing: String, error: io::Error) -> Error {
    let wrong = printable(&error.to_string(), 200);
    Error::new(ErrorKind::Store(StoreProblem::Failed), doing, wrong).with_source(error)
}

fn not_a_file(doing: String) -> Error {
    let wrong = "it is not a regular file (a symbolic link is not followed)";
    Error::new(ErrorKind::Store(StoreProblem::Failed), doing, wrong)
}

fn too_large(doing: String) -> Error {
    let wrong = format!("it is larger than {MAX_FILE} bytes");
    Error::new(ErrorKind::Store(StoreProblem::Failed), doing, wrong)
}
