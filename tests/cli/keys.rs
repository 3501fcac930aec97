//! `possession key` and `possession proof`: what they make is random, and is looked at by the library.

use http::Method;
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::{KeyPair, Signer};

use crate::program::{Folder, command, finish, run};

#[test]
fn a_generated_key_is_written_once_and_for_its_owner_alone() {
    let folder = Folder::new();
    let file = folder.path("key.jwk");
    let ran = run(&["key", "generate", "-o", &file]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), ""));
    let key = KeyPair::from_file(&file).unwrap();
    assert!(ran.stderr.contains(&key.public_key().thumbprint().to_string()), "{ran:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let ran = run(&["key", "generate", "-o", &file]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("File exists") || ran.stderr.contains("exists"), "{ran:?}");
    assert_eq!(KeyPair::from_file(&file).unwrap().public_key(), key.public_key());
}

#[test]
fn a_key_survives_every_conversion() {
    let folder = Folder::new();
    for algorithm in ["ES256", "ES384", "Ed25519"] {
        let jwk = run(&["key", "generate", "--alg", algorithm]).stdout;
        let jwk_file = folder.write("a.jwk", &jwk);
        let pem = run(&["key", "convert", &jwk_file, "--format", "pem"]).stdout;
        let pem_file = folder.write("a.pem", &pem);
        assert_eq!(run(&["key", "convert", &pem_file]).stdout, jwk, "{algorithm}");
        let thumbprints = [&jwk_file, &pem_file].map(|file| run(&["key", "thumbprint", file]).stdout);
        assert_eq!(thumbprints[0], thumbprints[1]);
        let public = run(&["key", "public", &pem_file]).stdout;
        let public_file = folder.write("public.jwk", &public);
        assert_eq!(run(&["key", "thumbprint", &public_file]).stdout, thumbprints[0]);
        assert!(!public.contains("\"d\""), "{public}");
    }
}

#[test]
fn a_proof_is_accepted_for_its_request_and_explained_as_correct() {
    let folder = Folder::new();
    let (url, file) = ("https://api.example.com/orders", folder.path("key.jwk"));
    run(&["key", "generate", "-o", &file]);
    let arguments = ["proof", "POST", url, "--key", &file, "--nonce", "a-nonce", "--token-env", "TOKEN"];
    let ran = finish(command(&arguments).env("TOKEN", "a-token"));
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    let proof = ran.stdout.strip_suffix('\n').unwrap();

    let fields = vec![proof.as_bytes()];
    let request = ReceivedRequest::from_fields(&Method::POST, url, fields).unwrap();
    let jkt = KeyPair::from_file(&file).unwrap().public_key().thumbprint();
    let verifier = Verifier::new(MemoryReplayStore::new(1));
    verifier.verify_resource_request(&request, "a-token", &jkt, std::time::SystemTime::now()).unwrap();

    let proof_file = folder.write("proof.txt", proof);
    let request = ["explain", &proof_file, "--method", "POST", "--url", url, "--nonce", "a-nonce"];
    let jkt = jkt.to_string();
    let arguments = [&request[..], &["--token-env", "TOKEN", "--jkt", &jkt, "--format", "json"]].concat();
    let explained = finish(command(&arguments).env("TOKEN", "a-token"));
    assert_eq!(explained.status, Some(0), "{explained:?}");
    assert!(explained.json()["checks"].as_array().unwrap().iter().all(|check| check["holds"] == true));

    // The key is private, and is not shown.
    let explained = run(&["explain", &file]).stdout;
    let d = std::fs::read_to_string(&file).unwrap();
    let d = d.split("\"d\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!explained.contains(d) && explained.contains(&jkt), "{explained}");
}
