//! Private keys in files.

use std::fs;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::key_pair::KeyPair;
use crate::private_file::{OnConflict, Temporary, Written, shown};

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
        let temporary = Temporary::beside(path, "possession-key")?;
        temporary.publish(content.as_bytes(), path, on_conflict).map_err(|error| {
            let doing = format!("writing a private key to {}", shown(path));
            Error::new(ErrorKind::Key, doing, error.to_string()).with_source(error)
        })
    }
}
