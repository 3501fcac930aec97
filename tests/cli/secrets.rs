//! `possession explain` shows no secret of any document.

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::program::{Folder, run};
use crate::target::{Setup, Target, character_references};

/// What must not be seen.
const SECRET: &str = "s3cr3t-TEXT_that-nobody-may-see";

fn jwt(header: &str, claims: &str) -> String {
    let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    format!("{}.{}.{}", encode(header), encode(claims), encode("signature"))
}

/// The members are those of RFC 7518 §6, and of OAuth messages (RFC 6749, RFC 7591, RFC 8628).
#[test]
fn a_secret_is_hidden_wherever_a_document_has_it() {
    let private = format!(r#"{{"kty":"EC","crv":"P-256","x":"eA","y":"eQ","d":"{SECRET}"}}"#);
    let text = serde_json::Value::from(private.as_str());
    let header = |jwk: &str| format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk}}}"#);
    let metadata = |members: &str| {
        format!(
            r#"{{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token",{members}}}"#
        )
    };
    let mut documents = vec![
        private.clone(),
        format!(r#"{{"keys":[{private}]}}"#),
        jwt(&header(&private), "{}"),
        jwt(&header(&format!("[{private}]")), "{}"),
        jwt(&header(&format!(r#"["EC","P-256","{SECRET}"]"#)), "{}"),
        jwt(&header(&text.to_string()), "{}"),
        jwt(&header(&format!(r#""{SECRET}""#)), "{}"),
        jwt(
            &header("{}"),
            &format!(r#"{{"htm":{private},"htu":{private},"nonce":{private},"ath":{private}}}"#),
        ),
        jwt(&format!(r#"{{"typ":{private},"alg":{private},"jwk":{{"alg":{private}}}}}"#), "{}"),
        jwt(r#"{"alg":"ES256"}"#, &format!(r#"{{"cnf":{{"jwk":{private}}}}}"#)),
        jwt(r#"{"alg":"ES256"}"#, &format!(r#"{{"act":{{"access_token":"{SECRET}"}}}}"#)),
        metadata(&format!(r#""jwks":{{"keys":[{private}]}}"#)),
        metadata(&format!(r#""software":{text}"#)),
        metadata(&format!(r#""note":"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----""#)),
        metadata(&format!(
            r#""other":"{}.{SECRET}""#,
            jwt(r#"{"alg":"ES256"}"#, "{}").rsplit_once('.').unwrap().0
        )),
        format!(r#"{{"resource":"https://api.example.com","deeper":[{{"jwk":{private}}}]}}"#),
    ];
    for message in [
        format!(
            "GET /?access_token={SECRET} HTTP/1.1\nHost: a.example\nAuthorization: DPoP {SECRET}\nDPoP: a\nX: {SECRET}"
        ),
        format!(
            "POST / HTTP/1.1\nAuthorization: DPoP a\nDPoP: {}\n\nclient_secret={SECRET}",
            jwt(&header(&private), "{}")
        ),
        format!(
            "HTTP/1.1 400 Bad Request\n\n{{\"error\":\"a\",\"access_token\":\"{SECRET}\",\"token_type\":\"DPoP\"}}"
        ),
        format!(
            r#"{{"issuer":"a","client_id":"b","redirect_uri":"c","state":"d","code_verifier":"{SECRET}"}}"#
        ),
        format!(r#"{{"access_token":"{SECRET}","token_type":"DPoP","refresh_token":"{SECRET}"}}"#),
    ] {
        documents.push(message);
    }
    for name in ["p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        documents.push(metadata(&format!(r#""jwks":{{"keys":[{{"kty":"RSA","{name}":"{SECRET}"}}]}}"#)));
    }
    for name in [
        "client_secret",
        "access_token",
        "refresh_token",
        "id_token",
        "code",
        "assertion",
        "client_assertion",
        "registration_access_token",
        "clientSecret",
    ] {
        documents.push(metadata(&format!(r#""{name}":"{SECRET}""#)));
        documents.push(metadata(&format!(r#""deeper":[{{"{name}":["{SECRET}"]}}]"#)));
    }
    let folder = Folder::new();
    for document in documents {
        let file = folder.write("document", &document);
        for options in [&[][..], &["--format", "json"]] {
            let ran = run(&[&["explain", &file], options].concat());
            let seen = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!seen.contains(SECRET), "{document}\n{seen}");
            let is_explained =
                ["not shown", "FAILS", "\"holds\": false"].iter().any(|text| seen.contains(text));
            assert!(is_explained, "{document}\n{seen}");
        }
        for kind in ["proof", "token", "challenge", "jwk", "metadata"] {
            let ran = run(&["explain", &file, "--as", kind]);
            assert!(
                !ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET),
                "{kind}: {document}\n{ran:?}"
            );
        }
    }
}

#[test]
fn of_a_stored_session_only_is_shown_who_it_is_for() {
    let session = format!(
        r#"{{"version":1,"issuer":"https://as.example.com","client_id":"my-client","grant":"refresh_token",
        "jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","key":{{"kty":"EC","d":"{SECRET}"}},
        "refresh_token":"{SECRET}","began_with":"{SECRET}","other":"{SECRET}",
        "tokens":[{{"parameters":"a","received_at":1,"response":{{"access_token":"{SECRET}"}}}}],
        "servers":[{{"role":"authorization_server","origin":"https://as.example.com","nonce":"{SECRET}"}}]}}"#
    );
    let folder = Folder::new();
    let ran = run(&["explain", &folder.write("session.json", &session)]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(!ran.stdout.contains(SECRET), "{}", ran.stdout);
    for shown in ["a stored session of possession", "https://as.example.com", "my-client", "0ZcOCORZNYy"] {
        assert!(ran.stdout.contains(shown), "{shown}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("metadata"), "{}", ran.stdout);
}

/// A proof that has the access token in the place of its hash.
#[test]
fn an_access_token_in_ath_is_hidden() {
    let folder = Folder::new();
    let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"https://a.example/","iat":1,"ath":"{SECRET}"}}"#);
    let proof = folder.write("proof", &jwt(r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{}}"#, &claims));
    let token = folder.write("token", SECRET);
    let ran = run(&["explain", &proof, "--token-file", &token]);
    assert_eq!(ran.status, Some(1));
    assert!(!ran.stdout.contains(SECRET) && ran.stdout.contains("it is the token itself"), "{}", ran.stdout);
}

/// U+202E reverses the text that follows it; U+2066 and U+E0041 are as invisible (Unicode, general category
/// Cf).
#[test]
fn characters_that_change_how_text_is_shown_are_replaced() {
    let folder = Folder::new();
    let (bidi, isolate, tag) = ('\u{202e}', '\u{2066}', '\u{e0041}');
    let file =
        folder.write("jwt", &jwt(r#"{"alg":"ES256"}"#, &format!(r#"{{"a":"x{bidi}{isolate}{tag}y"}}"#)));
    let text = run(&["explain", &file]).stdout;
    assert!(text.contains("x\u{fffd}\u{fffd}\u{fffd}y"), "{text}");
    // JSON has an escape for each, of UTF-16.
    let ran = run(&["explain", &file, "--format", "json"]);
    assert!(ran.stdout.contains(r"x\u202e\u2066\udb40\udc41y"), "{}", ran.stdout);
    assert_eq!(ran.json()["content"]["claims"]["a"], format!("x{bidi}{isolate}{tag}y"));
}

/// The server repeats what is in the query, each time in another spelling.
#[test]
fn the_values_of_a_query_are_hidden_when_a_server_repeats_them() {
    let folder = Folder::new();
    let (key, token) = (folder.path("key.jwk"), folder.write("token", "the-access-token"));
    run(&["key", "generate", "-o", &key]);
    let target = Target::start(Setup { echoes: true, ..Setup::default() });
    let url = format!("{}?apikey=a+b%2Fhunter2%26lt%3B", target.resource());
    let call = ["call", "-v", "GET", &url, "--token-file", &token, "--dpop-key", &key, "--dangerous-http"];
    for _ in 0..15 {
        let ran = run(&call);
        assert!(ran.stderr.contains("error_description = "), "{ran:?}");
        let is_shown = |text: &str| ran.stderr.contains(text);
        assert!(!is_shown("hunter2") && !is_shown(&character_references("hunter2")), "{}", ran.stderr);
        assert!(!is_shown("&#x68;&#x75;&#x6E;") && !is_shown("%68%75%6E"), "{}", ran.stderr);
    }
}

#[test]
fn secrets_are_known_by_their_names() {
    for name in [
        "access_token",
        "sessionToken",
        "client-secret",
        "API_KEY",
        "apikey",
        "passwd",
        "code",
        "d",
        "assertion",
    ] {
        assert!(crate::jwt::is_secret(name), "{name}");
    }
    for name in ["token_type", "token_endpoint", "expires_in", "scope", "issuer", "tokens", "jti", "error"] {
        assert!(!crate::jwt::is_secret(name), "{name}");
    }
}
