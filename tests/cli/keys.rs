//! `possession key` and `possession proof`: what they make is random, and is looked at by the library.

use http::Method;
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::{KeyPair, Signer};

use crate::program::{Folder, command, finish, from_base64url, run};

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
    assert!(ran.stderr.contains("exists, and a key is never overwritten"), "{ran:?}");
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

/// An assertion of `private_key_jwt` has the kid, by which the server finds the public key.
#[test]
fn a_public_jwk_has_the_kid_and_the_algorithm_of_its_file_and_nothing_else() {
    let folder = Folder::new();
    let jwk = run(&["key", "generate"]).stdout;
    let members = "\"kid\":\"a\\\"b\",\"alg\":\"ES256\",\"use\":\"sig\",\"x5t\":\"AAAA\",\"ext\":true";
    let file = folder.write("key.jwk", &jwk.replacen('{', &format!("{{{members},"), 1));
    let public = run(&["key", "public", &file]);
    let (key, public) = (KeyPair::from_jwk(&jwk).unwrap(), public.json());
    let mut expected: serde_json::Value = serde_json::from_str(key.public_key().to_jwk()).unwrap();
    expected["kid"] = "a\"b".into();
    expected["alg"] = "ES256".into();
    assert_eq!(public, expected);
    assert_eq!(run(&["key", "check", &file]).json()["public_jwk"], expected);
    let public_file = folder.write("public.jwk", &public.to_string());
    assert_eq!(run(&["key", "convert", &public_file]).json(), expected);
    assert_eq!(run(&["key", "public", &public_file]).json(), expected);
}

/// RFC 9964: `alg` is part of a key of ML-DSA, and is there once.
#[test]
fn a_public_jwk_has_each_member_once() {
    let folder = Folder::new();
    let bytes = "A".repeat(1312 / 3 * 4 + 2); // 1,312 bytes of zero
    let jwk = format!(r#"{{"kty":"AKP","kid":"1","alg":"ML-DSA-44","pub":"{bytes}"}}"#);
    let converted = run(&["key", "convert", &folder.write("key.jwk", &jwk)]).stdout;
    assert_eq!(converted.matches("\"alg\"").count(), 1, "{converted}");
    assert_eq!(run(&["key", "convert", &folder.write("again.jwk", &converted)]).stdout, converted);
}

/// RFC 7517 §4.2 to §4.4, as for private keys.
#[test]
fn a_public_jwk_for_another_purpose_is_refused() {
    let folder = Folder::new();
    let public = run(&["key", "public", &folder.write("key.jwk", &run(&["key", "generate"]).stdout)]).json();
    for (name, value, is_right) in [
        ("alg", "ES256".into(), true),
        ("alg", "ES384".into(), false),
        ("alg", "HS256".into(), false),
        ("alg", "".into(), true),
        ("use", "sig".into(), true),
        ("use", "enc".into(), false),
        ("key_ops", serde_json::json!(["sign", "verify"]), true),
        ("key_ops", serde_json::json!(["encrypt"]), false),
    ] {
        let mut jwk = public.clone();
        jwk[name] = value;
        let ran = run(&["key", "check", &folder.write("public.jwk", &jwk.to_string())]);
        assert_eq!(ran.status, Some(if is_right { 0 } else { 1 }), "{jwk}: {ran:?}");
        assert!(is_right || ran.stderr.contains("no algorithm") || ran.stderr.contains("not for signatures"));
    }
}

/// As `openssl` writes keys of a PKCS#12 file.
#[test]
fn a_public_key_may_have_comments_in_any_encoding() {
    let folder = Folder::new();
    let private = folder.write("key.jwk", &run(&["key", "generate"]).stdout);
    let public = run(&["key", "public", &private, "--format", "pem"]).stdout;
    let file = folder.path("public.pem");
    std::fs::write(&file, [b"friendlyName: Schl\xfcssel\n", public.as_bytes()].concat()).unwrap();
    let thumbprints = [&file, &private].map(|file| run(&["key", "thumbprint", file]).stdout);
    assert!(!thumbprints[0].is_empty() && thumbprints[0] == thumbprints[1], "{thumbprints:?}");
}

/// The text has a comment, which not every reader of PEM skips.
#[test]
fn a_key_on_standard_input_is_read_as_one_in_a_file() {
    let folder = Folder::new();
    let pem = run(&["key", "generate", "--format", "pem"]).stdout;
    let file = folder.write("key.pem", &format!("# a comment\n{pem}"));
    let from_file = run(&["key", "thumbprint", &file]);
    let mut thumbprint = command(&["key", "thumbprint", "-"]);
    let from_input = finish(thumbprint.stdin(std::fs::File::open(&file).unwrap()));
    assert_eq!((from_input.status, &from_input.stdout), (Some(0), &from_file.stdout), "{from_input:?}");
    let mut proof = command(&["proof", "GET", "https://api.example.com/", "--key", "-"]);
    let proof = finish(proof.stdin(std::fs::File::open(&file).unwrap()));
    assert_eq!(proof.status, Some(0), "{proof:?}");
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
    // The proof alone does not show how many there are.
    let expected: Vec<_> =
        (1..=12).map(|number| serde_json::Value::from((number > 1).then_some(true))).collect();
    let holds = explained.json()["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["holds"].clone())
        .collect::<Vec<_>>();
    assert_eq!(holds, expected);

    // The key is private, and is not shown.
    let explained = run(&["explain", &file]).stdout;
    let d = std::fs::read_to_string(&file).unwrap();
    let d = d.split("\"d\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!explained.contains(d) && explained.contains(&jkt), "{explained}");
}

#[test]
fn the_name_of_the_file_says_which_format_it_has() {
    let folder = Folder::new();
    for (name, options, begin) in [
        ("a.pem", &[][..], "-----BEGIN PRIVATE KEY-----"),
        ("a.PEM", &[], "-----BEGIN PRIVATE KEY-----"),
        ("a.jwk", &[], "{"),
        ("b.pem", &["--format", "jwk"], "{"),
        ("b.jwk", &["--format", "pem"], "-----BEGIN PRIVATE KEY-----"),
    ] {
        let file = folder.path(name);
        assert_eq!(run(&[&["key", "generate", "-o", &file], options].concat()).status, Some(0), "{name}");
        assert!(std::fs::read_to_string(&file).unwrap().starts_with(begin), "{name} {options:?}");
    }
}

/// Ed25519 has two names (RFC 8037 §3.1, RFC 9864 §2.2), and a server may know one of them.
#[test]
fn a_proof_has_the_name_of_the_algorithm_that_was_asked_for() {
    let folder = Folder::new();
    let file = folder.path("key.pem");
    run(&["key", "generate", "--alg", "Ed25519", "-o", &file]);
    for (options, alg) in
        [(&[][..], "EdDSA"), (&["--alg", "EdDSA"], "EdDSA"), (&["--dpop-alg", "Ed25519"], "Ed25519")]
    {
        let proof = ["proof", "GET", "https://api.example.com/", "--dpop-key", &file];
        let ran = run(&[&proof[..], options].concat());
        let header = from_base64url(ran.stdout.split('.').next().unwrap()).unwrap();
        assert!(header.contains(&format!("\"alg\":\"{alg}\"")), "{options:?}: {header}");
        let proof_file = folder.write("proof.txt", &ran.stdout);
        assert_eq!(run(&["explain", &proof_file]).status, Some(0), "{options:?}");
    }
}

/// RFC 9110 §9.1
#[test]
fn a_method_in_small_letters_is_used_as_it_is_with_a_warning() {
    let folder = Folder::new();
    let file = folder.path("key.jwk");
    run(&["key", "generate", "-o", &file]);
    let ran = run(&["proof", "get", "https://api.example.com/", "--key", &file]);
    assert_eq!(ran.status, Some(0));
    assert!(ran.stderr.contains("methods are case-sensitive: get is not GET"), "{}", ran.stderr);
    let claims = from_base64url(ran.stdout.split('.').nth(1).unwrap()).unwrap();
    assert!(claims.contains("\"htm\":\"get\""), "{claims}");
    assert_eq!(run(&["proof", "GET", "https://api.example.com/", "--key", &file]).stderr, "");
}

/// Nonces, thumbprints and identifiers are often base64url, whose texts may begin with a hyphen.
#[test]
fn values_may_begin_with_a_hyphen() {
    let folder = Folder::new();
    let key = folder.path("key.jwk");
    assert_eq!(run(&["key", "generate", "-o", &key]).status, Some(0));
    let url = "https://api.example.com/";
    let proof = run(&["proof", "GET", url, "--key", &key, "--nonce", "-Xabc"]);
    assert_eq!(proof.status, Some(0), "{proof:?}");
    let file = folder.write("proof", &proof.stdout);
    let jkt = "-ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let explained =
        run(&["explain", &file, "--method", "GET", "--url", url, "--nonce", "-Xabc", "--jkt", jkt]);
    assert!(explained.stdout.contains("10  holds"), "{explained:?}");
}
