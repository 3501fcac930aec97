//! Every case has a target: a server with exactly that check left out is found not to enforce it, and a
//! server that refuses exactly that too much is found too strict.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::Output;
use std::sync::Mutex;
use std::thread;

use possession::{Algorithm, KeyPair};
use serde_json::Value;

use super::{FAST, ids, others, probe_as, probe_rs};
use crate::program::{Folder, Ran, command, finish, run};
use crate::target::fault::Check::{self, *};
use crate::target::fault::Excess::{self, *};
use crate::target::fault::Fault;
use crate::target::{CLIENT_ID, CLIENT_SECRET, Nonces, REFRESH_TOKEN, Role, Setup, Target};

/// The checks that both kinds of server make, with the cases that are not enforced when one is left out.
const BOTH: &[(Check, &[&str])] = &[
    (OneField, &["two-fields"]),
    (OneProof, &["two-proofs-joined"]),
    (ThreeSegments, &["four-segments"]),
    (NoPadding, &["padded-base64"]),
    (UniqueNames, &["duplicate-htm", "duplicate-alg"]),
    (
        Readable,
        &[
            "not-a-jwt",
            "two-segments",
            "four-segments",
            "two-proofs-joined",
            "padded-base64",
            "header-not-json",
            "payload-not-json",
            "payload-array",
            "duplicate-htm",
            "duplicate-alg",
        ],
    ),
    (Typ, &["typ-missing", "typ-jwt", "typ-at-jwt"]),
    (Crit, &["crit-unknown", "crit-empty"]),
    (NotNone, &["alg-none", "alg-none-cased", "alg-none-signed"]),
    (
        AlgOfKey,
        &[
            "alg-missing",
            "alg-unknown",
            "alg-lower-case",
            "alg-of-other-key",
            "alg-number",
            "alg-none-signed",
        ],
    ),
    (ReadableKey, &["jwk-missing", "jwk-null", "jwk-string", "jwk-off-curve", "jwk-no-kty"]),
    (PublicKey, &["jwk-private", "jwk-private-made-up"]),
    (NotZero, &["signature-zero"]),
    (NotDer, &["signature-der"]),
    (Jti, &["jti-missing", "jti-empty", "jti-number"]),
    (Required, &["htm-missing", "htu-missing", "iat-missing"]),
    (Types, &["iat-string", "htu-array"]),
    (Htm, &["htm-other", "htm-lower-case"]),
    (HtmCase, &["htm-lower-case"]),
    (HtuScheme, &["htu-other-scheme"]),
    (HtuHost, &["htu-other-host", "htu-subdomain"]),
    (HtuPort, &["htu-other-port"]),
    (
        HtuPath,
        &[
            "htu-origin-alone",
            "htu-longer-path",
            "htu-trailing-slash",
            "htu-path-case",
            "htu-double-slash",
            "htu-dot-segments",
        ],
    ),
    (HtuPathCase, &["htu-path-case"]),
    (HtuSlashes, &["htu-trailing-slash", "htu-double-slash"]),
    (HtuEnd, &["htu-longer-path", "htu-trailing-slash", "htu-dot-segments"]),
    (NoUserInformation, &["htu-user-information"]),
    (HtuAbsolute, &["htu-path-alone"]),
    (HtuNotEmpty, &["htu-empty"]),
    (NotOld, &["iat-hour-old", "iat-day-old", "iat-zero", "iat-negative"]),
    (NotFuture, &["iat-hour-ahead", "iat-day-ahead", "iat-milliseconds"]),
    (Exp, &["exp-past"]),
    (Nbf, &["nbf-hour-ahead"]),
    (NonceRequired, &["nonce-missing"]),
    (NonceType, &["nonce-array"]),
    (ReplayedJti, &["replay-jti"]),
    (ErrorCode, &["error-code"]),
    (OneNonce, &["nonce-one-field"]),
    (NonceSyntax, &["nonce-syntax"]),
    (NonceNoStore, &["nonce-no-store"]),
];

const RESOURCE: &[(Check, &[&str])] = &[
    (Proof, &["no-proof"]),
    (Asymmetric, &["hmac-with-jwk", "hmac-with-x"]),
    (
        Signature,
        &[
            "signature-corrupt",
            "signature-other-key",
            "signature-truncated",
            "signature-empty",
            "signature-zero",
            "signature-der",
            "claims-changed",
        ],
    ),
    (NonceKnown, &["nonce-forged", "nonce-changed", "nonce-empty", "nonce-of-other-role"]),
    (NonceRole, &["nonce-of-other-role"]),
    (AthRequired, &["ath-missing"]),
    (Ath, &["ath-other-token", "ath-token-itself", "ath-padded", "ath-empty"]),
    (Binding, &["other-key"]),
    (Replay, &["replay", "replay-other-node"]),
    (SharedReplay, &["replay-other-node"]),
    (KnownToken, &["unknown-token"]),
    (NoBearerWithProof, &["bearer-with-proof"]),
    (NoBearerWithoutProof, &["bearer-without-proof"]),
    (Challenge, &["challenge"]),
    (ChallengeAlgs, &["challenge-algs"]),
];

const TOKEN: &[(Check, &[&str])] = &[
    (Proof, &["no-proof"]),
    (Asymmetric, &["hmac-with-jwk", "hmac-with-x", "hmac-with-oct"]),
    (Replay, &["replay"]),
    (ListedAlg, &["alg-unlisted"]),
    (KeyOrder, &["ed25519-small-order"]),
    (RsaExponent, &["rsa-exponent-one"]),
    (RsaSize, &["rsa-1024"]),
    (
        Signature,
        &[
            "jwk-of-other-key",
            "ed25519-small-order",
            "rsa-exponent-one",
            "rsa-1024",
            "signature-corrupt",
            "signature-other-key",
            "signature-truncated",
            "signature-empty",
            "signature-zero",
            "signature-der",
            "claims-changed",
            "par-invalid-proof",
        ],
    ),
    (NonceKnown, &["nonce-forged", "nonce-changed", "nonce-empty"]),
    (ParJkt, &["par-other-jkt"]),
    (ParProof, &["par-invalid-proof"]),
    (TokenNoStore, &["token-no-store"]),
    (TokenBinding, &["token-bound"]),
    (ListsAlgorithms, &["metadata-algorithms"]),
    (ListsAsymmetric, &["metadata-asymmetric"]),
    (ListsAll, &["metadata-complete"]),
];

/// The cases that find nothing out without a check, since they build on it.
const UNCLEAR: &[(&str, Check, &[&str])] = &[
    ("rs", Htm, &["error-code"]),
    ("rs", Challenge, &["challenge-algs"]),
    ("as", Htm, &["error-code"]),
    // The client refuses such nonces, and does not sign with an algorithm that is not listed.
    ("as", OneNonce, &["par-other-jkt", "par-invalid-proof"]),
    ("as", NonceSyntax, &["par-other-jkt", "par-invalid-proof"]),
    ("as", ListsAll, &["par-other-jkt", "par-invalid-proof"]),
];

/// What is refused too much, with the case that finds it.
const EXCESS: &[(Excess, &str)] = &[
    (UnknownHeader, "unknown-header"),
    (UnknownClaim, "unknown-claim"),
    (JwkMembers, "jwk-kid"),
    (HtuQuery, "htu-query"),
    (HtuFragment, "htu-fragment"),
    (HtuCase, "htu-host-case"),
    (TenSecondsOld, "iat-10-s-old"),
    (EightSecondsAhead, "iat-8-s-ahead"),
    (Fraction, "iat-fraction"),
    (NbfAndExp, "nbf-and-exp"),
    (LongJti, "jti-long"),
    (Escapes, "escaped-claims"),
    (CorsPreflight, "cors-preflight"),
    (CorsExpose, "cors-expose"),
];

/// Cases that need a target of another kind, each with a test of its own.
const ELSEWHERE: [&str; 3] = ["code-other-key", "htu-default-port", "refresh-other-key"];

fn listed(kind: &str) -> BTreeSet<String> {
    let list = run(&["probe", kind, "--list", "--format", "json"]).json();
    list.as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap().to_owned()).collect()
}

fn names<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> BTreeSet<String> {
    names.into_iter().map(|name| (*name).to_owned()).collect()
}

/// Without this, a case that is added finds nothing out, and nobody notices.
#[test]
fn every_case_has_a_target() {
    for (kind, checks) in [("rs", RESOURCE), ("as", TOKEN)] {
        let mut with_target = names(BOTH.iter().chain(checks).flat_map(|(_, cases)| *cases));
        with_target.extend(names(EXCESS.iter().map(|(_, case)| case)));
        if kind == "rs" {
            with_target.insert("scheme-case".to_owned());
        }
        let listed = listed(kind);
        let elsewhere = names(&ELSEWHERE).intersection(&listed).cloned().collect();
        let without: BTreeSet<_> = listed.difference(&with_target).cloned().collect();
        assert_eq!(without, elsewhere, "{kind}");
        assert_eq!(with_target.difference(&listed).collect::<Vec<_>>(), [""; 0], "{kind}");
    }
}

/// Calls `test` for each item on a few threads, and reports all that failed.
fn for_each<T: Sync>(items: &[T], test: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, failed) = (Mutex::new(items.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(item) = { next.lock().unwrap().next() } {
                    if let Err(why) = test(item) {
                        failed.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

type ProbeTarget = fn(&Target, &[&str]) -> Ran;
const PROBES: [(Role, ProbeTarget); 2] = [(Role::Resource, probe_rs), (Role::Authorization, probe_as)];

fn report(kind: &str, fault: Fault) -> (Option<i32>, Value) {
    let (faulty, probe) = PROBES[usize::from(kind == "as")];
    // A nonce that the server demands may do what these do: see the test of that.
    let is_age = [Fault::Without(NotOld), Fault::Without(NotFuture)].contains(&fault);
    let nonces = if is_age { Nonces::Off } else { Nonces::On };
    let setup = Setup { fault, faulty, nonces, ..Setup::default() };
    let ran = probe(&Target::start(setup), &["--format", "json"]);
    (ran.status, ran.json())
}

const GOOD: [&str; 3] = ["enforced", "accepted", "not tested"];

#[test]
fn a_server_that_makes_every_check_is_found_to_enforce_everything() {
    for kind in ["rs", "as"] {
        let (status, report) = report(kind, Fault::Nothing);
        assert_eq!(others(&report, &GOOD), [""; 0], "{kind}");
        assert_eq!(status, Some(0), "{kind}");
        let not_tested = ids(&report, "not tested");
        let elsewhere = names(&ELSEWHERE).intersection(&listed(kind)).cloned().collect();
        assert_eq!(not_tested, elsewhere, "{kind}");
    }
}

#[test]
fn a_server_without_a_check_is_found_not_to_enforce_it() {
    let musts: BTreeMap<&str, BTreeSet<String>> = ["rs", "as"]
        .map(|kind| {
            let list = run(&["probe", kind, "--list", "--format", "json"]).json();
            let rules = list.as_array().unwrap().iter().filter(|rule| rule["level"] == "MUST");
            (kind, rules.map(|rule| rule["id"].as_str().unwrap().to_owned()).collect())
        })
        .into();
    let items: Vec<_> = [("rs", RESOURCE), ("as", TOKEN)]
        .into_iter()
        .flat_map(|(kind, checks)| {
            BOTH.iter().chain(checks).map(move |(check, cases)| (kind, *check, *cases))
        })
        .collect();
    for_each(&items, |(kind, check, cases)| {
        let (status, report) = report(kind, Fault::Without(*check));
        let found = ids(&report, "NOT ENFORCED");
        let unclear = UNCLEAR.iter().find(|(at, without, _)| (at, without) == (kind, check));
        let unclear = names(unclear.map_or(&[][..], |(.., cases)| *cases));
        let also = others(&report, &["enforced", "accepted", "not tested", "NOT ENFORCED"]);
        let has_must = |found: &BTreeSet<String>| found.iter().any(|id| musts[kind].contains(id));
        let expected_status = match has_must(&found) {
            true => 1,
            false if has_must(&unclear) => 3,
            false => 0,
        };
        let is_right = found == names(*cases)
            && ids(&report, "unclear") == unclear
            && also.len() == unclear.len()
            && status == Some(expected_status);
        match is_right {
            true => Ok(()),
            false => Err(format!(
                "{kind} without {check:?}: exit status {status:?}, not enforced {found:?} instead of {cases:?}, \
                 and {also:?}"
            )),
        }
    });
}

#[test]
fn a_server_that_refuses_too_much_is_found_too_strict() {
    let items: Vec<_> = ["rs", "as"]
        .into_iter()
        .flat_map(|kind| EXCESS.iter().map(move |(excess, case)| (kind, *excess, *case)))
        .chain([("rs", SchemeCase, "scheme-case")])
        .collect();
    for_each(&items, |(kind, excess, case)| {
        let (status, report) = report(kind, Fault::Refuses(*excess));
        let found = ids(&report, "too strict");
        let also = others(&report, &["enforced", "accepted", "not tested", "too strict"]);
        // That is no violation of RFC 9449.
        match found == names([case]) && also.is_empty() && status == Some(0) {
            true => Ok(()),
            false => {
                Err(format!("{kind}, {excess:?}: {status:?}, {found:?} instead of {case}, and {also:?}"))
            }
        }
    });
}

/// The case of the default port needs a server that has it. Where ports below 1024 cannot be used, nothing is
/// tested.
#[test]
fn the_default_port_may_be_written_out() {
    for (fault, verdict) in [(Fault::Nothing, "accepted"), (Fault::Refuses(HtuDefaultPort), "too strict")] {
        for (faulty, probe) in PROBES {
            // Addresses on loopback that no other program uses.
            let [_, _, high, low] = std::process::id().to_be_bytes();
            let last = [faulty == Role::Resource, fault == Fault::Nothing].map(u8::from);
            let address = ([127, high, low, 2 * last[0] + last[1] + 1], 80).into();
            if let Err(error) = std::net::TcpListener::bind(address) {
                eprintln!("not tested: port 80: {error}");
                return;
            }
            let target = Target::start(Setup { fault, faulty, address, ..Setup::default() });
            let ran = probe(&target, &["--format", "json"]);
            assert!(ids(&ran.json(), verdict).contains("htu-default-port"), "{}", ran.stdout);
        }
    }
}

/// A refresh token of a public client is bound to its key (RFC 9449 §5).
#[test]
fn a_refresh_token_that_is_bound_to_no_key_is_found() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let folder = Folder::new();
    let file = folder.write("key.jwk", &key.to_jwk());
    for (fault, verdict, status) in
        [(Fault::Nothing, "enforced", 0), (Fault::Without(RefreshBinding), "NOT ENFORCED", 1)]
    {
        let refresh_jkt = Some(key.to_public().thumbprint().to_string());
        let faulty = Role::Authorization;
        let target = Target::start(Setup { fault, faulty, refresh_jkt, ..Setup::default() });
        let grant = ["--grant", "refresh_token", "--grant-env", "REFRESH", "--dpop-key", &file];
        let client = ["--client-id", CLIENT_ID, "--auth", "none", "--format", "json"];
        let server = ["probe", "as", "--issuer", target.issuer(), "--dangerous-http"];
        let arguments = [&server[..], &client, &grant, &FAST].concat();
        let ran = finish(command(&arguments).env("REFRESH", REFRESH_TOKEN));
        let report = ran.json();
        assert!(ids(&report, verdict).contains("refresh-other-key"), "{}", ran.stdout);
        // The token was replaced with each use, and each replacement was used.
        assert_eq!(others(&report, &[&GOOD[..], &[verdict]].concat()), [""; 0]);
        assert_eq!(ran.status, Some(status));
        // The key of the option is never disclosed.
        assert!(ids(&report, "not tested").contains("jwk-private"));
        let d = key.to_jwk();
        let d = d.split("\"d\":\"").nth(1).unwrap().split('"').next().unwrap();
        for request in target.requests() {
            let proofs = request.headers.get_all("dpop").iter();
            let texts = proofs.flat_map(|proof| proof.to_str().unwrap().split('.'));
            let mut decoded = texts.map(|part| crate::program::from_base64url(part).unwrap_or_default());
            assert!(!decoded.any(|text| text.contains(d)));
        }
    }
}

/// Nonces that are good for one request, and none at all.
#[test]
fn servers_with_other_nonces_are_found_to_enforce_everything() {
    for nonces in [Nonces::Off, Nonces::Uses(1), Nonces::Uses(3), Nonces::Challenge] {
        let target = Target::start(Setup { nonces, ..Setup::default() });
        for ran in [probe_rs(&target, &["--format", "json"]), probe_as(&target, &["--format", "json"])] {
            let report = ran.json();
            assert_eq!(others(&report, &GOOD), [""; 0]);
            let is_tested = !ids(&report, "not tested").contains("nonce-forged");
            assert_eq!(is_tested, nonces != Nonces::Off);
        }
    }
}

/// A challenge for a nonce refuses nothing else: the token is accepted as Bearer as soon as the nonce is
/// right.
#[test]
fn a_demand_for_a_nonce_does_not_count_as_the_enforcement_of_another_rule() {
    let fault = Fault::Without(NoBearerWithProof);
    let target = Target::start(Setup { fault, nonces: Nonces::Challenge, ..Setup::default() });
    let ran = probe_rs(&target, &["--format", "json"]);
    let report = ran.json();
    assert_eq!(ids(&report, "NOT ENFORCED"), names(&["bearer-with-proof"]), "{report}");
    assert_eq!(others(&report, &[&GOOD[..], &["NOT ENFORCED"]].concat()), [""; 0]);
    assert_eq!(ran.status, Some(1));
    // The server does not get to it.
    let (status, report) = self::report("rs", Fault::Refuses(NonceForBearer));
    assert_eq!(ids(&report, "unclear"), names(&["bearer-with-proof"]), "{report}");
    assert_eq!(status, Some(3));
}

/// No client can send such a nonce back, so that no case about nonces can be run.
#[test]
fn a_nonce_that_is_not_ascii_is_found() {
    let fault = Fault::Without(NonceAscii);
    let target = Target::start(Setup { fault, nonces: Nonces::Off, ..Setup::default() });
    let ran = probe_rs(&target, &["--format", "json"]);
    let report = ran.json();
    assert_eq!(ids(&report, "NOT ENFORCED"), names(&["nonce-syntax", "nonce-no-store"]), "{report}");
    assert_eq!(ran.status, Some(1));
}

/// RFC 9449 §4.3 check 11: the creation time is that of `iat` or of a timestamp in the nonce.
#[test]
fn a_nonce_that_is_demanded_may_limit_the_age_of_proofs() {
    for (check, cases) in [(NotOld, "iat-hour-old"), (NotFuture, "iat-hour-ahead")] {
        for (nonces, verdict, status) in [(Nonces::On, "enforced", 0), (Nonces::Off, "NOT ENFORCED", 1)] {
            let target = Target::start(Setup { fault: Fault::Without(check), nonces, ..Setup::default() });
            let ran = probe_rs(&target, &["--format", "json", "--only", cases]);
            let finding = &ran.json()["findings"][0];
            assert_eq!((&finding["verdict"], ran.status), (&Value::from(verdict), Some(status)), "{finding}");
            let says_so = finding["why"].as_str().unwrap_or_default().contains("--measure-nonce");
            assert_eq!(says_so, nonces == Nonces::On);
        }
        // A nonce that the server offers and does not demand limits nothing.
        let target = Target::start(Setup {
            fault: Fault::Without(NonceRequired),
            nonces: Nonces::On,
            ..Setup::default()
        });
        let report = probe_rs(&target, &["--format", "json", "--only", cases]).json();
        assert_eq!(ids(&report, "enforced"), names(&[cases]));
    }
}

/// A server with such a limit refuses each case, whatever it checks.
#[test]
fn a_server_that_refuses_correct_requests_as_well_enforces_nothing() {
    let (fault, nonces) = (Fault::Without(HtuPath), Nonces::Off);
    for limit in [1, 2] {
        let target = Target::start(Setup { fault, limit, nonces, ..Setup::default() });
        let ran = probe_rs(&target, &["--format", "json"]);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.stderr.contains("correct requests are refused as well"), "{ran:?}");
    }
    // The limit begins during the run, as that of a minute or a day does.
    let target = Target::start(Setup { fault, limit: 2, limit_after: 20, nonces, ..Setup::default() });
    let ran = probe_rs(&target, &["--format", "json"]);
    let report = ran.json();
    // But for the challenge, which is for requests without a token.
    let enforced = ids(&report, "enforced");
    assert!(enforced.contains("not-a-jwt") && enforced.len() <= 12, "{enforced:?}");
    assert!(ids(&report, "unclear").contains("htm-other"), "{report}");
    assert_eq!(ids(&report, "NOT ENFORCED"), names(&[]));
    assert_eq!(ran.status, Some(3));
}

/// The server refuses every request for a moment after each wrong proof. That is no enforcement of what the
/// requests are about.
#[test]
fn a_momentary_lockout_hides_nothing() {
    for lock_for in [1, 2] {
        let fault = Fault::Without(HtuPath);
        let target = Target::start(Setup { fault, lock_for, ..Setup::default() });
        let ran = probe_rs(&target, &["--format", "json"]);
        let report = ran.json();
        let (_, cases) = BOTH.iter().find(|(check, _)| *check == HtuPath).unwrap();
        assert_eq!(ids(&report, "NOT ENFORCED"), names(*cases), "{lock_for}");
        assert_eq!(others(&report, &[&GOOD[..], &["NOT ENFORCED"]].concat()), [""; 0]);
        assert_eq!(ran.status, Some(1));
    }
}

/// The server accepts a wrong proof, and refuses the next requests, whatever they are. Of cases that follow
/// each other all but the first would seem to be enforced.
#[test]
fn a_refusal_after_a_wrong_request_that_was_accepted_is_no_enforcement() {
    for (fault, lock_after_fault) in [(Readable, 1), (Readable, 2), (HtuPath, 1), (Signature, 1)] {
        let setup = Setup { fault: Fault::Without(fault), lock_after_fault, ..Setup::default() };
        let ran = probe_rs(&Target::start(setup), &["--format", "json"]);
        let report = ran.json();
        let (_, cases) = BOTH.iter().chain(RESOURCE).find(|(check, _)| *check == fault).unwrap();
        assert_eq!(ids(&report, "NOT ENFORCED"), names(*cases), "{fault:?}, {lock_after_fault}");
        assert_eq!(others(&report, &[&GOOD[..], &["NOT ENFORCED"]].concat()), [""; 0]);
    }
}

/// The test is the browser of the user, who agrees at once.
fn run_with_a_browser(arguments: &[&str]) -> Output {
    let mut child = command(arguments).env("SECRET", CLIENT_SECRET).spawn().unwrap();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        if let Some(url) = line.unwrap().strip_prefix("To sign in, open ") {
            // It follows the redirect to the program.
            assert_eq!(ureq::get(url).call().unwrap().status(), 200);
        }
    }
    child.wait_with_output().unwrap()
}

/// The refresh token is that of the sign-in, while other requests use the client credentials grant.
#[test]
fn the_refresh_token_of_a_user_who_signs_in_is_tried_with_another_key() {
    for (fault, verdict, status) in
        [(Fault::Nothing, "enforced", 0), (Fault::Without(RefreshBinding), "NOT ENFORCED", 1)]
    {
        for only in [
            &["--only", "refresh-other-key"][..],
            &["--only", "code-other-key", "--only", "refresh-other-key"],
        ] {
            let (faulty, refresh_jkt) = (Role::Authorization, Some("of nobody".to_owned()));
            let target = Target::start(Setup { fault, faulty, refresh_jkt, ..Setup::default() });
            let server = ["probe", "as", "--issuer", target.issuer(), "--dangerous-http", "--format", "json"];
            let client = ["--client-id", CLIENT_ID, "--auth", "none", "--sign-in", "--no-browser"];
            let output = run_with_a_browser(&[&server[..], &client, only, &FAST].concat());
            let report = serde_json::from_slice(&output.stdout).unwrap();
            assert!(ids(&report, verdict).contains("refresh-other-key"), "{report}");
            assert_eq!(output.status.code(), Some(status));
            assert!(!report.to_string().contains("refresh-token-"), "{report}");
        }
    }
}

/// A code is bound to the key that it was requested with (RFC 9449 §10).
#[test]
fn a_code_that_is_bound_to_no_key_is_found() {
    for (fault, verdict, status) in
        [(Fault::Nothing, "enforced", 0), (Fault::Without(CodeBinding), "NOT ENFORCED", 1)]
    {
        let faulty = Role::Authorization;
        let target = Target::start(Setup { fault, faulty, ..Setup::default() });
        let server = ["probe", "as", "--issuer", target.issuer(), "--dangerous-http", "--format", "json"];
        let client = ["--client-id", CLIENT_ID, "--auth", "client_secret_basic", "--secret-env", "SECRET"];
        let sign_in = ["--sign-in", "--no-browser", "--only", "code-other-key"];
        let arguments = [&server[..], &client, &sign_in, &FAST].concat();
        let output = run_with_a_browser(&arguments);
        let report = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(ids(&report, verdict), names(&["code-other-key"]), "{report}");
        assert_eq!(output.status.code(), Some(status));
        assert!(!report.to_string().contains("authorization-code-"), "{report}");
    }
}
