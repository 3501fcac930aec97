//! Private keys in files: `to_file` and `load_or_generate`. Threat C-72.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use possession::{Algorithm, ErrorKind, KeyPair, PublicKey, Signer};
use tempfile::TempDir;

use crate::encoding::{assert_refused, with};
use crate::sample_keys::BOTH;

/// A folder of its own for a test. It is removed when it is dropped.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_key_is_generated_once_and_loaded_afterwards() {
    for algorithm in BOTH {
        for name in ["key.pem", "key", "key.jwk", "KEY.JSON"] {
            let folder = Folder::new();
            let path = folder.path(name);
            let made = KeyPair::load_or_generate(&path, algorithm).unwrap();
            assert_eq!(made.algorithm(), algorithm);
            let content = fs::read(&path).unwrap();
            assert_eq!(content.starts_with(b"{"), name.contains('.') && !name.contains("pem"), "{name}");
            for _ in 0..2 {
                let loaded = KeyPair::load_or_generate(&path, algorithm).unwrap();
                assert_eq!(loaded.to_public(), made.to_public());
            }
            assert_eq!(KeyPair::from_file(&path).unwrap().to_public(), made.to_public());
            assert_eq!(fs::read(&path).unwrap(), content, "the file was not written again");
            assert_eq!(folder.names(), [name], "no other file is left");
            #[cfg(unix)]
            assert_eq!(mode(&path), 0o600);
        }
    }
}

/// A reader that comes at any time, and a loss of power, find the whole old or the whole new content.
#[test]
fn a_key_is_written_as_a_whole_and_only_for_its_owner() {
    let folder = Folder::new();
    let path = folder.path("key.pem");
    fs::write(&path, "old content that is longer than any key ".repeat(100)).unwrap();
    let before = fs::File::open(&path).unwrap();
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    key.to_file(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), *key.to_pkcs8_pem().unwrap());
    // The old file was not overwritten: whoever has it open reads the old content.
    let old = std::io::read_to_string(before).unwrap();
    assert!(old.starts_with("old content") && old.len() == 4000);
    assert_eq!(folder.names(), ["key.pem"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        assert_eq!(mode(&path), 0o600);
        // The permissions of a file that is replaced are not kept.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        key.to_file(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        // A link is replaced: where it points to, others may read.
        let (link, target) = (folder.path("link"), folder.path("target"));
        fs::write(&target, "x").unwrap();
        symlink(&target, &link).unwrap();
        key.to_file(&link).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "x");
        assert!(KeyPair::from_file(&link).is_ok());
    }
}

/// A JWK keeps what PKCS#8 has no place for.
#[test]
fn a_jwk_file_keeps_the_kid_and_the_name_of_the_algorithm() {
    let folder = Folder::new();
    let jwk = KeyPair::generate(Algorithm::Ed25519).unwrap().to_jwk();
    let key = KeyPair::from_jwk(&with(&jwk, r#""kid":"k-1","alg":"Ed25519""#)).unwrap();
    let read = |name: &str| {
        key.to_file(folder.path(name)).unwrap();
        let read = KeyPair::load_or_generate(folder.path(name), Algorithm::Ed25519).unwrap();
        assert_eq!(read.to_public(), key.to_public());
        (read.key_id().map(str::to_owned), read.algorithm_name())
    };
    assert_eq!(read("key.jwk"), (Some("k-1".to_owned()), Some("Ed25519")));
    assert_eq!(read("key.pem"), (None, None));
}

/// Every thread gets the key of the file, whichever of them has written it.
#[test]
fn threads_that_start_together_get_one_key() {
    for _ in 0..20 {
        let (folder, start) = (Folder::new(), Barrier::new(8));
        let path = folder.path("key.pem");
        let keys: Vec<PublicKey> = std::thread::scope(|scope| {
            let load = || {
                start.wait();
                KeyPair::load_or_generate(&path, Algorithm::Es256).unwrap().to_public()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let written = KeyPair::from_file(&path).unwrap().to_public();
        assert!(keys.iter().all(|key| *key == written));
        assert_eq!(folder.names(), ["key.pem"]);
    }
}

/// A key that tokens or a registration are bound to must not be lost because a file cannot be read.
#[test]
fn a_file_that_is_not_a_key_of_that_algorithm_is_an_error_and_is_not_changed() {
    let folder = Folder::new();
    let path = folder.path("key.pem");
    let ed25519 = KeyPair::generate(Algorithm::Ed25519).unwrap().to_pkcs8_pem().unwrap();
    for (content, kind, words) in [
        ("", ErrorKind::Key, &["key.pem"][..]),
        ("damaged", ErrorKind::Key, &["key.pem"]),
        (&ed25519[..60], ErrorKind::Key, &["key.pem", "no end"]),
        (&ed25519, ErrorKind::Algorithm, &["key.pem", "ES256", "Ed25519"]),
    ] {
        fs::write(&path, content).unwrap();
        let loaded = KeyPair::load_or_generate(&path, Algorithm::Es256);
        assert_refused(loaded, &kind, words, content);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        assert_eq!(folder.names(), ["key.pem"]);
    }
    // A folder in its place, and no folder to write to.
    let inside = folder.path("missing").join("key.pem");
    for path in [folder.0.path(), &inside] {
        let loaded = KeyPair::load_or_generate(path, Algorithm::Es256);
        assert_refused(loaded, &ErrorKind::Key, &[path.file_name().unwrap().to_str().unwrap()], "path");
    }
    let written = KeyPair::generate(Algorithm::Es256).unwrap().to_file(&inside);
    assert_refused(written, &ErrorKind::Key, &["writing a private key", "key.pem"], "missing folder");
    assert_eq!(folder.names(), ["key.pem"]);
    // No key is generated of an algorithm that this crate does not generate, and no file is left.
    let loaded = KeyPair::load_or_generate(folder.path("rsa.pem"), Algorithm::Ps256);
    assert_refused(loaded, &ErrorKind::Algorithm, &["PS256"], "RSA");
    assert_eq!(folder.names(), ["key.pem"]);
}

/// An RSA key that was made elsewhere is loaded with the algorithm that the caller names.
#[cfg(feature = "ring")]
#[test]
fn an_rsa_key_of_a_file_signs_with_the_algorithm_of_the_caller() {
    let folder = Folder::new();
    let path = folder.path("key.pem");
    fs::write(&path, crate::algorithms::openssl::RSA_2048).unwrap();
    for algorithm in [Algorithm::Rs256, Algorithm::Ps384] {
        let key = KeyPair::load_or_generate(&path, algorithm).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let signature = key.sign(b"message").unwrap();
        key.public_key().verify(algorithm, b"message", &signature).unwrap();
    }
}
