//! Private keys in files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crypto::random;
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::key_pair::KeyPair;
use crate::text::printable;

impl KeyPair {
    /// Reads the key of a file, or generates one and writes it to the file if there is none: for a
    /// service that keeps its key over restarts.
    ///
    /// Threads and processes that start together get the same key: the first one that has written the
    /// file wins. (On a file system without hard links the last one wins, and the others may have used
    /// their own key until they are restarted.) The file has the format and the permissions of
    /// [`to_file`](Self::to_file). A file that exists is never changed, also if it is empty or damaged.
    ///
    /// ```no_run
    /// use possession::{Algorithm, KeyPair};
    ///
    /// let key = KeyPair::load_or_generate("/var/lib/my-service/dpop-key.pem", Algorithm::Es256)?;
    /// # Ok::<(), possession::Error>(())
    /// ```
    ///
    /// # Errors
    /// - Those of [`from_file`](Self::from_file), and [`Algorithm`](ErrorKind::Algorithm) when the
    ///   algorithm does not fit the key of the file.
    /// - Those of [`generate`](Self::generate) and [`to_file`](Self::to_file) when there is no file.
    pub fn load_or_generate(path: impl AsRef<Path>, algorithm: Algorithm) -> Result<Self, Error> {
        let path = path.as_ref();
        let load = || {
            Self::from_file(path)?
                .with_algorithm(algorithm)
                .map_err(|error| error.while_doing(format!("using the private key in {}", shown(path))))
        };
        // Whatever else is wrong with the file is reported by the attempt to read it.
        if !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return load();
        }
        let key = Self::generate(algorithm)?;
        match key.write(path, OnConflict::Keep)? {
            Written::New => Ok(key),
            Written::NotNeeded => load(),
        }
    }

    /// Writes the key to a file: as a [JWK](Self::to_jwk) if the name ends with `.jwk` or `.json`, and
    /// as PEM of [PKCS#8](Self::to_pkcs8_pem) otherwise. PEM contains neither the `kid` nor the
    /// algorithm of an RSA key. [`from_file`](Self::from_file) reads both.
    ///
    /// The file is replaced atomically: others see the old content or the new one, also after a loss of
    /// power. A symbolic link is replaced too, and not followed. On Unix only the owner may read and
    /// write the file (mode 0600). On Windows it has the permissions of its folder.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when the file cannot be written, with the
    /// [`source`](std::error::Error::source).
    pub fn to_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(path.as_ref(), OnConflict::Replace).map(drop)
    }

    fn write(&self, path: &Path, on_conflict: OnConflict) -> Result<Written, Error> {
        let is_jwk = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("jwk") || end.eq_ignore_ascii_case("json"));
        let content: Zeroizing<String> = if is_jwk { self.to_jwk() } else { self.to_pkcs8_pem()? };
        let temporary = Temporary::beside(path)?;
        temporary.publish(content.as_bytes(), path, on_conflict).map_err(|error| {
            let doing = format!("writing a private key to {}", shown(path));
            Error::new(ErrorKind::Key, doing, error.to_string()).with_source(error)
        })
    }
}

/// What happens to a file that exists.
#[derive(Clone, Copy)]
enum OnConflict {
    Keep,
    Replace,
}

enum Written {
    New,
    /// There is a file by now.
    NotNeeded,
}

/// A new file in the folder of another one. It is removed when it is dropped, unless it has got the
/// other's name.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> Result<Self, Error> {
        let random = u64::from_ne_bytes(random()?);
        Ok(Self(path.with_file_name(format!(".possession-key-{random:016x}.tmp"))))
    }

    fn publish(self, content: &[u8], path: &Path, on_conflict: OnConflict) -> io::Result<Written> {
        let mut options = OpenOptions::new();
        // The random name does not exist. If it does, it is not written through.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.0)?;
        file.write_all(content)?;
        file.sync_all()?;
        drop(file);
        match on_conflict {
            OnConflict::Replace => fs::rename(&self.0, path)?,
            // Unlike renaming, linking fails if there is a file.
            OnConflict::Keep => match fs::hard_link(&self.0, path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Written::NotNeeded),
                // There are no hard links here.
                Err(_) if path.try_exists()? => return Ok(Written::NotNeeded),
                Err(_) => fs::rename(&self.0, path)?,
            },
        }
        sync_folder(path);
        Ok(Written::New)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename it is gone.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a new name survive a loss of power. Not every system can: the key is then written all the same.
fn sync_folder(path: &Path) {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy(), 200)
}
