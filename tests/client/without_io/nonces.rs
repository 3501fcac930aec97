//! Nonces of token requests (RFC 9449 §8) and of origins (§9).

use std::time::Duration;

use http::HeaderMap;
use possession::*;

use super::{
    Call, ENDPOINT, HttpResponse, JSON, Sent, Setup, at, body_challenge, header_challenge, key, response,
    token, token_and_nonce,
};
use crate::common::{Jwt, TOKEN, token_json};

#[test]
fn c_30_a_challenge_in_body_or_header_leads_to_one_retry_with_a_new_proof_and_assertion() {
    for challenge in [body_challenge(&["n-1"]), header_challenge(&["n-1"])] {
        let setup = Setup::new();
        let (result, sent) = setup.run([challenge, token()]);
        let token = result.unwrap();
        assert_eq!((token.access_token(), token.token_type(), token.requests()), (TOKEN, TokenType::Dpop, 2));
        assert_eq!(token.jkt(), setup.prover.as_ref().map(Prover::thumbprint));
        assert_eq!(sent.len(), 2);
        let (proofs, assertions) =
            ([sent[0].proof(), sent[1].proof()], [sent[0].assertion(), sent[1].assertion()]);
        assert_eq!([proofs[0].nonce(), proofs[1].nonce()], [None, Some("n-1")]);
        assert_ne!(proofs[0].jti(), proofs[1].jti());
        assert_ne!(assertions[0].jti(), assertions[1].jti());
        for proof in &proofs {
            assert_eq!(proof.header["typ"], "dpop+jwt");
            assert_eq!([proof.text("htm"), proof.text("htu")], ["POST", ENDPOINT]);
            // `ath` is for protected resources (RFC 9449 §4.2), and some servers refuse it elsewhere.
            assert_eq!(proof.claims.get("ath"), None);
        }
        // Everything else is the same in the retry.
        let rest = |sent: &Sent| {
            let mut form = sent.form.clone();
            form.retain(|(name, _)| name != "client_assertion");
            (sent.uri.clone(), form)
        };
        assert_eq!(rest(&sent[0]), rest(&sent[1]));
    }
}

/// The clock is read again for the retry, and may have been set back meanwhile (C-54). Neither proof nor
/// assertion is dated ahead of it, nor more than one second behind.
#[test]
fn c_30_the_retry_is_dated_when_it_is_made() {
    for (first, second) in [(1_000_000, 1_000_100), (1_000_000, 999_000)] {
        let setup = Setup::new();
        let (options, parameters) = (setup.options(), Parameters::new());
        let mut exchange =
            TokenRequest::client_credentials(&setup.server, &setup.client, &setup.auth, parameters, &options)
                .unwrap();
        for now in [first, second] {
            let sent = Sent::new(&exchange.request(at(now) + Duration::from_millis(999)).unwrap());
            for jwt in [sent.proof(), sent.assertion()] {
                assert!((now - 1..=now).contains(&jwt.time("iat")), "{} at {now}", jwt.claims);
            }
            let _ = exchange.receive(body_challenge(&["n-1"]), at(now)).unwrap();
        }
    }
}

#[test]
fn c_31_a_server_that_always_challenges_gets_two_requests() {
    let fresh = |challenge: fn(&[&str]) -> HttpResponse| (0..9).map(move |n| challenge(&[&format!("n-{n}")]));
    let setup = Setup::new();
    let (result, sent) = setup.run(fresh(body_challenge));
    let error = result.unwrap_err();
    assert_eq!(
        error.oauth().map(|error| (error.status(), error.error())),
        Some((Some(400), "use_dpop_nonce"))
    );
    assert_eq!(sent.len(), 2);
    // The nonce of the failed retry is used next (C-34), and a known nonce does not prevent the retry
    // (C-33).
    let (_, sent) = setup.run(fresh(body_challenge));
    let nonces: Vec<_> = sent.iter().map(|sent| sent.proof().nonce().map(str::to_owned)).collect();
    assert_eq!(nonces, [Some("n-1".to_owned()), Some("n-0".to_owned())]);

    let (result, sent) = Setup::new().run(fresh(header_challenge));
    let error = result.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Challenge { status: 401, challenges } if challenges.len() == 1)
    );
    assert_eq!(sent.len(), 2);
}

#[test]
fn c_32_c_36_c_37_without_exactly_one_new_valid_nonce_there_is_no_retry() {
    let long = "n".repeat(1025);
    let cases: [&[&str]; 12] = [
        &[],
        &[""],
        &["sent"], // the one just sent
        &["has space"],
        &["has\"quote"],
        &["has\\backslash"],
        &["non-ascii-é"],
        &["tab\there"],
        &[&long],
        &["n-1", "n-2"],
        &["n-1", "n-1"],
        &["n-1", ""],
    ];
    for nonces in cases {
        for challenge in [body_challenge, header_challenge] {
            let setup = Setup::new();
            assert_eq!(setup.run([token_and_nonce("sent")]).1.len(), 1);
            let (result, sent) = setup.run([challenge(nonces), token()]);
            assert_eq!(sent.len(), 1, "{nonces:?}");
            assert!(matches!(result.unwrap_err().status(), Some(400 | 401)), "{nonces:?}");
            // An invalid value does not replace a nonce.
            assert_eq!(setup.next_nonce().as_deref(), Some("sent"), "{nonces:?}");
        }
    }
    // The longest nonce, and every character of NQCHAR (RFC 6749 Appendix A, by RFC 9449 §8.1).
    let characters: String = (0x21..=0x7e_u8).map(char::from).filter(|c| !"\"\\".contains(*c)).collect();
    for nonce in ["n".repeat(1024), characters] {
        let (result, sent) = Setup::new().run([body_challenge(&[&nonce]), token()]);
        assert!(result.is_ok());
        assert_eq!(sent[1].proof().nonce(), Some(&*nonce));
    }
}

#[test]
fn c_34_c_41_the_nonce_of_every_response_is_used_next_and_only_a_challenge_leads_to_a_retry() {
    let nonce = ("dpop-nonce", "new");
    let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce""#);
    let with_error =
        |status, error: &str| response(status, &[JSON, nonce], format!(r#"{{"error":"{error}"}}"#));
    let cases = [
        token_and_nonce("new"),
        // C-41, and C-29: the OAuth error takes precedence over a challenge in the header.
        with_error(401, "invalid_client"),
        with_error(400, "invalid_scope"),
        with_error(400, "USE_DPOP_NONCE"),
        response(401, &[JSON, nonce, challenge], r#"{"error":"invalid_client"}"#),
        // With these statuses it is no challenge.
        response(200, &[JSON, nonce, challenge], token_json(TOKEN, "")),
        response(403, &[nonce, challenge], ""),
        response(500, &[JSON, nonce, challenge], r#"{"error":"use_dpop_nonce"}"#),
        response(503, &[("content-type", "text/html"), nonce], "<p>"),
        response(302, &[("location", "https://evil.example"), nonce, challenge], ""),
        response(204, &[nonce], ""),
    ];
    for case in cases {
        let shown = format!("{case:?}");
        let setup = Setup::new();
        let (_, sent) = setup.run([case, token()]);
        assert_eq!(sent.len(), 1, "{shown}");
        assert_eq!(setup.next_nonce().as_deref(), Some("new"), "{shown}");
    }
    let setup = Setup::new();
    let (result, _) = setup.run([response(401, &[JSON, nonce, challenge], r#"{"error":"invalid_client"}"#)]);
    assert_eq!(
        result.unwrap_err().oauth().map(|error| error.error().to_owned()).as_deref(),
        Some("invalid_client")
    );
    // The successful retry's nonce replaces the challenge's.
    assert!(setup.run([body_challenge(&["n-1"]), token_and_nonce("n-2")]).0.is_ok());
    assert_eq!(setup.next_nonce().as_deref(), Some("n-2"));
}

#[test]
fn c_43_c_44_a_challenge_in_the_header_is_recognized() {
    let cases: [(&[&str], bool); 15] = [
        (&[r#"DPoP error="use_dpop_nonce""#], true),
        (&["dpop ERROR=use_dpop_nonce"], true),
        (&[r#"DPoP algs="ES256 PS256",realm="x" , scope="", error = "use_dpop_nonce""#], true),
        (&[r#"Bearer realm="a, b", DPoP algs="ES256", error="use_dpop_nonce""#], true),
        (&["Negotiate YWJj==, DPoP error=use_dpop_nonce"], true),
        (&["Basic realm=\"x\"", r#"DPoP error="use_dpop_nonce""#], true),
        (&["Broken \"", r#"DPoP error="use_dpop_nonce""#], true),
        (&[r#"Bearer error="use_dpop_nonce""#], false),
        (&[r#"Bearer error="use_dpop_nonce", DPoP algs="ES256""#], false),
        (&[r#"Basic realm="DPoP error=use_dpop_nonce""#], false),
        // A bare challenge with a nonce is one for a nonce, whatever its other parameters say.
        (&[r#"DPoP realm="use_dpop_nonce_x""#], true),
        (&[r#"DPoP error="x", realm="use_dpop_nonce""#], false),
        (&[r#"DPoP error="use_dpop_nonce_x""#], false),
        (&[r#"DPoP error="invalid_token", error_description="use_dpop_nonce""#], false),
        (&[r#"DPoP error="use_dpop_nonce"#], false),
    ];
    for (fields, challenged) in cases {
        let fields = fields.iter().map(|field| ("www-authenticate", *field));
        let headers: Vec<_> = fields.chain([("dpop-nonce", "n-1")]).collect();
        let (_, sent) = Setup::new().run([response(401, &headers, ""), token()]);
        assert_eq!(sent.len(), 1 + usize::from(challenged), "{headers:?}");
    }
}

#[test]
fn without_a_prover_there_is_no_proof_and_no_retry() {
    let setup = Setup { prover: None, ..Setup::new() };
    let (result, sent) = setup.run([body_challenge(&["n-1"]), token()]);
    assert_eq!(
        result.unwrap_err().oauth().map(|error| error.error().to_owned()).as_deref(),
        Some("use_dpop_nonce")
    );
    assert_eq!((sent.len(), sent[0].headers.get("dpop")), (1, None));
}

/// A signer that costs nothing, for many proofs. Their claims are read, their signatures are not.
struct Cheap(PublicKey);

impl Signer for Cheap {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }
    fn public_key(&self) -> &PublicKey {
        &self.0
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![1; 64])
    }
}

fn cheap_prover() -> Prover {
    Prover::new(Cheap(key(Algorithm::Es256).to_public())).unwrap()
}

fn learn(prover: &Prover, role: ServerRole, url: &str, nonce: &str) {
    let headers = HeaderMap::from_iter([("dpop-nonce".parse().unwrap(), nonce.parse().unwrap())]);
    assert!(prover.record_nonce(role, url, &headers).unwrap());
}

fn nonce_at(prover: &Prover, role: ServerRole, url: &str) -> Option<String> {
    let proof = Proof::new(&http::Method::GET, url).unwrap();
    Jwt::decode(&prover.prove(role, proof, at(1_000)).unwrap()).nonce().map(str::to_owned)
}

#[test]
fn c_35_a_nonce_belongs_to_an_origin_and_a_server_role() {
    let prover = cheap_prover();
    let (authorization, resource) = (ServerRole::AuthorizationServer, ServerRole::ResourceServer);
    learn(&prover, authorization, "https://host.example/token", "as");
    assert_eq!(nonce_at(&prover, resource, "https://host.example/token"), None);
    learn(&prover, resource, "https://host.example/api", "rs");
    learn(&prover, authorization, "https://host.example:8443/token", "as-8443");
    let cases = [
        (authorization, "https://host.example/other?q", Some("as")),
        (authorization, "https://host.example:443/token", Some("as")),
        (authorization, "https://HOST.Example/token", Some("as")),
        (authorization, "HTTPS://host.example", Some("as")),
        (resource, "https://host.example/token", Some("rs")),
        (authorization, "https://host.example:8443/", Some("as-8443")),
        (resource, "https://host.example:8443/", None),
        (authorization, "http://host.example/token", None),
        (authorization, "https://host.example:80/token", None),
        (authorization, "https://host.example.evil/token", None),
        (authorization, "https://sub.host.example/token", None),
        (authorization, "https://host.example./token", None),
    ];
    for (role, url, nonce) in cases {
        assert_eq!(nonce_at(&prover, role, url).as_deref(), nonce, "{role:?} {url}");
    }
    // Clones share; another prover knows nothing.
    assert_eq!(nonce_at(&prover.clone(), authorization, "https://host.example/").as_deref(), Some("as"));
    assert_eq!(nonce_at(&cheap_prover(), authorization, "https://host.example/"), None);
}

/// The same through a token request and a resource request.
#[test]
fn c_35_nonces_of_both_roles_of_one_origin_are_kept_apart() {
    let setup = Setup::new();
    assert!(setup.run([token_and_nonce("as")]).0.is_ok());
    let mut call = Call::new(&setup, "GET", "https://as.example/api");
    assert_eq!(call.proof().nonce(), None);
    assert!(!call.receive(200, &[("dpop-nonce", "rs")]));
    assert_eq!(setup.next_nonce().as_deref(), Some("as"));
    assert_eq!(Call::new(&setup, "GET", "https://as.example/api").proof().nonce(), Some("rs"));
}

#[test]
fn c_38_nonces_of_the_1000_most_recently_used_origins_are_kept() {
    let (prover, role) = (cheap_prover(), ServerRole::ResourceServer);
    let url = |n: usize| format!("https://h{n}.example/");
    learn(&prover, ServerRole::AuthorizationServer, &url(0), "other-role");
    for n in 0..10_000 {
        learn(&prover, role, &url(n), "n");
    }
    let known: Vec<usize> = (8_500..10_000).filter(|n| nonce_at(&prover, role, &url(*n)).is_some()).collect();
    assert_eq!(known, (9_000..10_000).collect::<Vec<_>>());
    assert!((0..8_500).step_by(50).all(|n| nonce_at(&prover, role, &url(n)).is_none()));
    // 9000 was used before 9001 and so on: a new origin evicts it, unless it is used now.
    assert!(nonce_at(&prover, role, &url(9_000)).is_some());
    learn(&prover, role, &url(10_000), "n");
    assert!(nonce_at(&prover, role, &url(9_000)).is_some());
    assert!(nonce_at(&prover, role, &url(9_001)).is_none());
    // A known origin evicts none, and the roles do not evict each other's nonces.
    learn(&prover, role, &url(9_500), "newer");
    assert!(nonce_at(&prover, role, &url(9_002)).is_some());
    assert_eq!(nonce_at(&prover, role, &url(9_500)).as_deref(), Some("newer"));
    assert_eq!(nonce_at(&prover, ServerRole::AuthorizationServer, &url(0)).as_deref(), Some("other-role"));
}
