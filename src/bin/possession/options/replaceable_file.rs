//! A file with a secret that a request uses up.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use possession::zeroize::Zeroizing;
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::options::secret::{Secret, text};
use crate::output;

/// A file with a secret that a request uses up, such as a refresh token. What its replacement needs is there
/// before the request is sent, because the old secret is worth nothing afterwards.
pub struct ReplaceableFile {
    /// Without symbolic links: the file is replaced and not the link.
    path: PathBuf,
    content: Secret,
    new: NamedTempFile,
    /// Other processes wait until it is closed. Only Unix can replace a file that is locked.
    _locked: Option<File>,
}

impl ReplaceableFile {
    /// Reads the file, and waits for other processes that use it.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        let failed = |error| format!("reading {}: {error}", file.display());
        let path = fs::canonicalize(file).map_err(failed)?;
        let (content, locked) = match cfg!(unix) {
            true => lock(&path).map(|(content, file)| (content, Some(file))).map_err(failed)?,
            false => (read(&path).map_err(failed)?, None),
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let new = NamedTempFile::new_in(folder)
            .map_err(|error| format!("replacing {} later, in its directory: {error}", file.display()))?;
        let content = text(content, file)?;
        Ok(Self { path, content, new, _locked: locked })
    }

    pub fn content(&self) -> &str {
        &self.content
    }

    /// Replaces the content in one step. Only the owner can read the new file.
    pub fn replace(mut self, content: &str) -> Result<(), Failure> {
        let written = self.new.write_all(content.as_bytes()).and_then(|()| self.new.as_file().sync_all());
        let persisted = match written {
            Ok(()) => self.new.persist(&self.path).map(drop).map_err(|error| (error.error, error.file)),
            Err(error) => Err((error, self.new)),
        };
        let Err((error, new)) = persisted else {
            // Without this, a power failure could bring the old secret back. Some systems cannot do it.
            if cfg!(unix) {
                let folder = self.path.parent().map(File::open);
                let _ = folder.and_then(Result::ok).map(|folder| folder.sync_all());
            }
            return Ok(());
        };
        let place = match new.keep() {
            Ok((_, place)) => format!("it is in {}", place.display()),
            Err(error) => format!("it is lost: {error}"),
        };
        let path = self.path.display();
        Err(format!("writing {path}, whose secret was replaced by a new one: {error}; {place}").into())
    }
}

/// Reads and locks the file that has that path.
fn lock(path: &Path) -> std::io::Result<(Zeroizing<Vec<u8>>, File)> {
    loop {
        let mut file = File::open(path)?;
        if let Err(error) = file.try_lock() {
            let error = std::io::Error::from(error);
            if error.kind() != ErrorKind::WouldBlock {
                return Err(error);
            }
            output::note(format_args!("another process uses {}: waiting for it", path.display()));
            file.lock()?;
        }
        let mut content = Zeroizing::default();
        file.read_to_end(&mut content)?;
        // A process that had the lock before has put another file in its place.
        if read(path)? == content {
            return Ok((content, file));
        }
    }
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    fs::read(path).map(Zeroizing::new)
}
