//! Files that only their owner may read, replaced as a whole.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::crypto::random;
use crate::error::Error;
use crate::text::printable;

/// The end of the name of a temporary file.
const TEMPORARY: &str = ".tmp";

/// What happens to a file that exists.
#[derive(Clone, Copy)]
pub(crate) enum OnConflict {
    Keep,
    Replace,
}

pub(crate) enum Written {
    New,
    /// There is a file by now.
    NotNeeded,
}

/// A new file in the folder of another one. It is removed when it is dropped, unless it has got the
/// other's name.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Chooses a name that begins with a dot and `prefix`, and that no file has.
    pub(crate) fn beside(path: &Path, prefix: &str) -> Result<Self, Error> {
        let random = u64::from_ne_bytes(random()?);
        Ok(Self(path.with_file_name(format!(".{prefix}-{random:016x}{TEMPORARY}"))))
    }

    /// Writes the file and gives it the name `path`. Others see the old content or the new one, also after
    /// a loss of power. A symbolic link is replaced too, and not followed. On Unix only the owner may read
    /// and write the file (mode 0600); on Windows it has the permissions of its folder.
    pub(crate) fn publish(self, content: &[u8], path: &Path, on_conflict: OnConflict) -> io::Result<Written> {
        let mut options = OpenOptions::new();
        // The random name does not exist. If it does, it is not written through.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.0)?;
        steps::after("create");
        file.write_all(content)?;
        steps::after("write");
        file.sync_all()?;
        steps::after("sync");
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
        steps::after("rename");
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

/// Removes the temporary files with that prefix that a process left behind when it was killed.
pub(crate) fn remove_temporaries(folder: &Path, prefix: &str) -> io::Result<()> {
    let start = format!(".{prefix}-");
    let is_temporary = |name: &OsStr| {
        let random = name.to_str().and_then(|name| name.strip_prefix(&start)?.strip_suffix(TEMPORARY));
        random.is_some_and(|random| random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_temporary(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a change of a folder survive a loss of power. Not every system can: the file is then written all
/// the same.
pub(crate) fn sync_folder(path: &Path) {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    }
}

/// Returns a path for errors.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy(), 200)
}

/// The points at which a test ends the process.
mod steps {
    #[cfg(not(test))]
    pub(super) fn after(_: &str) {}

    #[cfg(test)]
    pub(super) fn after(step: &str) {
        if std::env::var(super::tests::ABORT_AFTER).is_ok_and(|last| last == step) {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// The environment variable that makes the process end after a step.
    pub(super) const ABORT_AFTER: &str = "POSSESSION_TEST_ABORT_AFTER";
    /// The file that the process which ends replaces.
    const FILE: &str = "POSSESSION_TEST_FILE";

    /// Does nothing unless it is run by the next test, in a process of its own.
    #[test]
    fn a_process_that_replaces_a_file() {
        if let Some(path) = std::env::var_os(FILE).map(PathBuf::from) {
            let temporary = Temporary::beside(&path, "test").unwrap();
            temporary.publish(b"new", &path, OnConflict::Replace).unwrap();
        }
    }

    #[test]
    fn a_process_that_ends_after_any_step_leaves_the_old_content_or_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let path = folder.join("file");
        let temporaries = || fs::read_dir(folder).unwrap().count() - 1;
        let cases =
            [("create", "old"), ("write", "old"), ("sync", "old"), ("rename", "new"), ("never", "new")];
        for (step, content) in cases {
            fs::write(&path, "old").unwrap();
            let ended = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "private_file::tests::a_process_that_replaces_a_file"])
                .envs([(ABORT_AFTER, step), (FILE, path.to_str().unwrap())])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert_eq!(ended.success(), step == "never", "{step}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content, "{step}");
            assert_eq!(temporaries(), usize::from(content == "old"), "{step}");
            // Another prefix, other digits and another end are not touched.
            for name in [".test-1.tmp", ".test-0123456789abcdeg.tmp", ".other-0123456789abcdef.tmp", "tmp"] {
                fs::write(folder.join(name), "").unwrap();
            }
            remove_temporaries(folder, "test").unwrap();
            assert_eq!(temporaries(), 4, "{step}");
            remove_temporaries(folder, "other").unwrap();
            assert_eq!(temporaries(), 3, "{step}");
            for name in [".test-1.tmp", ".test-0123456789abcdeg.tmp", "tmp"] {
                fs::remove_file(folder.join(name)).unwrap();
            }
        }
    }
}
