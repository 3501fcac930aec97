//! How a probe behaves towards servers and users.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use possession::{Algorithm, KeyPair};
use serde_json::{Value, json};

use super::measure::{NonceLifetime, edge, nonce_lifetime};
use super::pace::{Pace, Pauses};
use super::{FAST, ids, others, probe_as, probe_rs};
use crate::program::{Folder, Ran, command, finish, from_base64url, run};
use crate::target::fault::Check::{Htm, HtuPath, Typ};
use crate::target::fault::Fault;
use crate::target::{
    CLIENT_ID, CLIENT_SECRET, Nonces, REDIRECT_URI, Role, Seen, Setup, Target, character_references,
};

#[test]
fn the_exit_status_says_whether_a_must_is_violated() {
    let target = Target::start(Setup::default());
    assert_eq!(probe_rs(&target, &["--only", "htm-other"]).status, Some(0));
    let target = Target::start(Setup { fault: Fault::Without(Htm), ..Setup::default() });
    assert_eq!(probe_rs(&target, &["--only", "htm-other"]).status, Some(1));
    assert_eq!(probe_rs(&target, &["--only", "typ-jwt"]).status, Some(0));
}

#[test]
fn a_wrong_command_line_is_found_before_a_request_is_sent() {
    let target = Target::start(Setup::default());
    let (call, issuer) = (target.resource(), target.issuer());
    let key = Folder::new();
    let token = key.write("token", "a-token");
    let client = ["--client-id", CLIENT_ID, "--auth", "none"];
    let rows: [(&[&str], &str); 11] = [
        (&["rs", "--call", &call, "--only", "no-such-case"], "--only no-such-case is not the name of a case"),
        (&["rs", "--call", &call, "--rate", "0", "--dangerous-http"], "--rate is not a positive number"),
        (&["rs", "--call", &call], "--dangerous-http allows plain http on loopback"),
        (&["rs", "--call", "http://192.0.2.1/", "--dangerous-http"], "http://192.0.2.1/ is not https"),
        (&["rs", "--call", "ftp://192.0.2.1/"], "ftp://192.0.2.1/"),
        (&["rs", "--call", "https://user:word@api.example/"], "user"),
        (&["rs"], "--call <URL>"),
        (&["rs", "--call", &call, "--dangerous-http", "--token-file", &token], "--dpop-key is missing"),
        (&["as", "--issuer", issuer, "--auth", "none"], "--client-id is missing"),
        (&["as", "--issuer", issuer, "--grant", "device_code"], "--grant device_code cannot be probed"),
        (&["as", "--issuer", issuer, "--grant", "refresh_token"], "--dpop-key is missing"),
    ];
    for (arguments, message) in rows {
        let more = if arguments.contains(&"--grant") { &client[..] } else { &[] };
        let ran = run(&[&["probe"], arguments, more].concat());
        assert_eq!(ran.status, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(message) && ran.stdout.is_empty(), "{message}: {ran:?}");
    }
    assert!(target.requests().is_empty());
}

/// What metadata name could be anybody's server.
#[test]
fn requests_go_only_to_origins_that_were_named() {
    let other = Target::start(Setup::default());
    let token_endpoint = Some(format!("{}/token", other.issuer()));
    let target = Target::start(Setup { token_endpoint, ..Setup::default() });
    for probe in [probe_as, probe_rs] {
        let ran = probe(&target, &["--only", "htm-other"]);
        assert_eq!(ran.status, Some(2), "{ran:?}");
        let message = format!("--also {} allows requests to it", other.issuer());
        assert!(ran.stderr.contains(&message), "{ran:?}");
        assert!(other.requests().is_empty());
    }
    // The same for what is found out to be asked only later.
    let device_endpoint = Some(format!("{}/device", other.issuer()));
    let with_device = Target::start(Setup { device_endpoint, ..Setup::default() });
    let ran = probe_rs(&with_device, &["--grant", "device_code"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&format!("{} is not one of the servers", other.issuer())), "{ran:?}");
    assert!(other.requests().is_empty());
    let ran = probe_as(&target, &["--only", "htm-other", "--also", other.issuer()]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(other.requests().iter().all(|request| request.path == "/token"));
    assert!(!other.requests().is_empty());
}

/// The rate limit, by the instants at which requests are sent: however late each is ready, no interval of one
/// second has more of them than allowed.
#[test]
fn no_second_has_more_requests_than_allowed() {
    for rate in [0.5, 5.0, 7.0] {
        let mut pace = Pace::per_second(rate).unwrap();
        assert_eq!(pace.interval(), Duration::from_secs_f64(1.0 / rate));
        let (start, mut now) = (Instant::now(), Instant::now());
        let mut sent = Vec::new();
        for late in [0, 10, 0, 900, 0, 0, 3000, 150, 0, 0, 0, 0, 0, 450, 0, 0, 0, 0, 0, 0] {
            now += pace.wait(now);
            sent.push(now.duration_since(start));
            now += Duration::from_millis(late);
        }
        let second = Duration::from_secs(1);
        for (i, from) in sent.iter().enumerate() {
            let within = sent[i..].iter().filter(|at| **at - *from < second).count();
            assert!(within <= rate.ceil() as usize, "{within} requests in a second, and {rate} are allowed");
        }
    }
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Pace::per_second(rate).is_none(), "{rate}");
    }
}

/// Every request passes the rate limit, those before the first case as well: with one in a hundred seconds,
/// the second is never sent.
#[cfg(unix)]
#[test]
fn the_rate_limit_counts_discovery_and_token_requests() {
    let target = Target::start(Setup::default());
    let interruption = interrupt_at(&target, 1, 1);
    let ran = interruption(&["--rate", "0.01"]);
    assert_eq!(target.requests().len(), 1);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("interrupted"), "{ran:?}");
}

/// Runs a probe of the resource, and presses Ctrl-C so many times while request number `at` is being
/// processed. The response is held back until the program has said that it ends.
#[cfg(unix)]
fn interrupt_at(target: &Target, at: usize, times: usize) -> impl FnOnce(&[&str]) -> Ran {
    signal_at(target, at, vec!["-INT"; times], || {})
}

/// The same with other signals, and with something that is done before the response.
#[cfg(unix)]
fn signal_at(
    target: &Target,
    at: usize,
    signals: Vec<&'static str>,
    before_response: impl Fn() + Send + 'static,
) -> impl FnOnce(&[&str]) -> Ran {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Command;
    use std::sync::mpsc;

    let (pid_known, pid) = mpsc::channel::<u32>();
    let (line_seen, lines) = mpsc::channel::<()>();
    let (pid, lines) = (std::sync::Mutex::new(pid), std::sync::Mutex::new(lines));
    target.on_request(move |number| {
        if number == at {
            let pid = pid.lock().unwrap().recv().unwrap().to_string();
            for signal in &signals {
                assert!(Command::new("kill").args([signal, pid.as_str()]).status().unwrap().success());
                // Until it has said so, or has ended.
                let _ = lines.lock().unwrap().recv();
            }
            before_response();
        }
    });
    let (resource, issuer) = (target.resource(), target.issuer().to_owned());
    move |more| {
        let server = ["probe", "rs", "--call", &resource, "--issuer", &issuer, "--dangerous-http"];
        let client = ["--client-id", CLIENT_ID, "--auth", "client_secret_basic", "--secret-env", "SECRET"];
        let arguments = [&server[..], &client, more].concat();
        let mut child = command(&arguments).env("SECRET", CLIENT_SECRET).spawn().unwrap();
        pid_known.send(child.id()).unwrap();
        let mut output = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            text
        });
        let mut stderr = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains("Ending with what is known so far") {
                line_seen.send(()).unwrap();
            }
            stderr += &format!("{line}\n");
        }
        drop(line_seen);
        let status = child.wait().unwrap().code();
        Ran { status, stdout: stdout.join().unwrap(), stderr }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_probe_with_what_is_known_so_far() {
    let all = run(&["probe", "rs", "--list", "--format", "json"]).json().as_array().unwrap().len();
    // One of them in a case, and the other in the correct request after it.
    for at in [70, 71] {
        let target = Target::start(Setup::default());
        let ran = interrupt_at(&target, at, 1)(&[&FAST[..], &["--format", "json"]].concat());
        let report = ran.json();
        assert_eq!(target.requests().len(), at);
        assert_eq!(ran.status, Some(3), "{ran:?}");
        assert_eq!(report["summary"]["ended_early"], "it was interrupted");
        let found = ids(&report, "enforced").len();
        assert!(found > 20, "{report}");
        // Nobody sent a request that was refused.
        assert!(!report.to_string().contains("a correct request was refused"), "{report}");
        assert_eq!(report["findings"].as_array().unwrap().len(), all);
        assert!(ids(&report, "not tested").len() > 20);
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_ends_early_is_no_success_for_ci_systems() {
    let target = Target::start(Setup::default());
    let ran = interrupt_at(&target, 70, 1)(&[&FAST[..], &["--format", "junit"]].concat());
    let report = quick_junit::Report::deserialize_from_str(&ran.stdout).unwrap();
    let errors: Vec<_> =
        report.test_suites[0].test_cases.iter().filter(|case| case.name.starts_with("run:")).collect();
    assert_eq!((report.errors, errors.len()), (1, 1), "{}", ran.stdout);
    let all = run(&["probe", "rs", "--list", "--format", "json"]).json().as_array().unwrap().len();
    assert_eq!(report.tests, all + 1);
}

/// Nothing is said about rules that no response was about.
#[test]
fn what_could_not_be_found_out_has_an_exit_status_of_its_own() {
    let target = Target::start(Setup { nonces: Nonces::Off, ..Setup::default() });
    let ran = probe_rs(&target, &["--only", "nonce-forged"]);
    assert_eq!(ran.status, Some(3), "{ran:?}");
    assert!(ran.stdout.contains("Nothing was found out.") && !ran.stdout.contains("No violation"), "{ran:?}");
    // It locks the client out at once.
    let target = Target::start(Setup { lock_after: Some(0), nonces: Nonces::Off, ..Setup::default() });
    let ran = probe_rs(&target, &[]);
    assert_eq!(ran.status, Some(3), "{ran:?}");
    assert!(ran.stdout.contains("Nothing was found out.") && !ran.stdout.contains("No violation"), "{ran:?}");
    assert!(ran.stdout.contains("The run ended early after 1 of "), "{ran:?}");
    let target = Target::start(Setup { lock_after: Some(25), ..Setup::default() });
    let ran = probe_rs(&target, &[]);
    assert!(ran.stdout.contains("In these, no violation of a MUST was found."), "{ran:?}");
    // The reader closes the pipe.
    for (fault, status) in [(Fault::Nothing, 0), (Fault::Without(Htm), 1)] {
        let target = Target::start(Setup { fault, ..Setup::default() });
        let server = ["probe", "rs", "--call", &target.resource(), "--issuer", target.issuer()];
        let client = ["--client-id", CLIENT_ID, "--auth", "client_secret_basic", "--secret-env", "SECRET"];
        let more = ["--dangerous-http", "--only", "htm-other"];
        let arguments = [&server[..], &client, &more, &FAST].concat();
        let mut child = command(&arguments).env("SECRET", CLIENT_SECRET).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(status));
    }
}

/// The transport would wait for the response for half a minute.
#[cfg(unix)]
#[test]
fn ctrl_c_does_not_wait_for_a_server_that_does_not_respond() {
    use std::sync::{Mutex, mpsc};

    let target = Target::start(Setup::default());
    let (has_ended, end) = mpsc::channel::<()>();
    let end = Mutex::new(end);
    let start = Instant::now();
    let hang = move || {
        let _ = end.lock().unwrap().recv();
    };
    let ran = signal_at(&target, 70, vec!["-INT"], hang)(&[&FAST[..], &["--format", "json"]].concat());
    drop(has_ended);
    assert_eq!(ran.json()["summary"]["ended_early"], "it was interrupted");
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[cfg(unix)]
#[test]
fn sigterm_ends_a_probe_as_ctrl_c_does() {
    let target = Target::start(Setup::default());
    let ran = signal_at(&target, 70, vec!["-TERM"], || {})(&[&FAST[..], &["--format", "json"]].concat());
    assert_eq!((ran.status, target.requests().len()), (Some(3), 70));
    assert_eq!(ran.json()["summary"]["ended_early"], "it was interrupted");
}

#[cfg(unix)]
#[test]
fn ctrl_c_again_ends_a_probe_at_once() {
    let target = Target::start(Setup::default());
    let ran = interrupt_at(&target, 60, 2)(&FAST);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(130), ""), "{ran:?}");
}

/// A server that refuses everything after some wrong proofs seems to enforce all that follows.
#[test]
fn a_server_that_locks_the_client_out_enforces_nothing_from_then_on() {
    for (kind, probe) in [(Role::Resource, probe_rs as fn(&_, &[&str]) -> _), (Role::Authorization, probe_as)]
    {
        let target = Target::start(Setup { lock_after: Some(25), faulty: kind, ..Setup::default() });
        let ran: Ran = probe(&target, &["--format", "json"]);
        let report = ran.json();
        assert_eq!(ran.status, Some(3), "{ran:?}");
        assert_eq!(report["summary"]["ended_early"], "a correct request no longer succeeds");
        let (enforced, unclear) = (ids(&report, "enforced"), ids(&report, "unclear"));
        // Proofs without a nonce count as well.
        assert!(enforced.contains("not-a-jwt") && enforced.len() <= 25, "{enforced:?}");
        assert_eq!(unclear.len(), 1, "{unclear:?}");
        assert!(ids(&report, "not tested").contains("htm-other"));
        // Nothing is sent to a server that refuses everything.
        assert!(target.requests().len() < 80, "{}", target.requests().len());
    }
}

#[test]
fn a_client_that_was_locked_out_goes_on_with_a_new_token() {
    let target = Target::start(Setup { lock_after: Some(25), unlocks: true, ..Setup::default() });
    let ran = probe_rs(&target, &["--format", "json"]);
    let report = ran.json();
    assert_eq!(report["summary"]["ended_early"], Value::Null, "{report}");
    // The cases after which the token had to be replaced were run again.
    assert_eq!(others(&report, &["enforced", "accepted", "not tested"]), [""; 0]);
    assert!(ids(&report, "enforced").len() > 85);
}

#[test]
fn a_correct_request_that_fails_is_shown_and_ends_the_probe() {
    let target = Target::start(Setup::default());
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let folder = Folder::new();
    let key = folder.write("key.jwk", &key.to_jwk());
    let server = ["probe", "rs", "--call", &target.resource(), "--dangerous-http"];
    let arguments = [&server[..], &["--token-env", "TOKEN", "--dpop-key", &key], &FAST].concat();
    let ran = finish(command(&arguments).env("TOKEN", "unknown-token"));
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
    let url = target.resource();
    assert!(ran.stderr.contains(&format!("a correct request of {url} does not succeed")), "{ran:?}");
    assert!(ran.stderr.contains("status 401, WWW-Authenticate: DPoP realm="), "{ran:?}");
    assert!(ran.stderr.contains("invalid_token") && !ran.stderr.contains("unknown-token"), "{ran:?}");
    assert!(ran.stderr.contains("bound to the key of --dpop-key?"), "{ran:?}");
    assert_eq!(target.requests().len(), 1);
    let rows = [
        (format!("{url}-other"), "status 404). Is the URL right?"),
        (format!("{}/moved", target.issuer()), "Location: /api/Orders). Name the URL that it redirects to"),
        // Nothing listens there.
        ("http://127.0.0.1:1/orders".to_owned(), "http://127.0.0.1:1/orders does not succeed"),
    ];
    for (url, message) in rows {
        let server = ["probe", "rs", "--call", &url, "--dangerous-http"];
        let arguments = [&server[..], &["--token-env", "TOKEN", "--dpop-key", &key], &FAST].concat();
        let ran = finish(command(&arguments).env("TOKEN", "unknown-token"));
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains(message), "{message}: {ran:?}");
    }
}

#[test]
fn a_server_that_is_unavailable_in_the_beginning_is_asked_again() {
    for (unavailable_for, status, requests) in [(2, 0, 5), (100, 1, 6)] {
        let target = Target::start(Setup { unavailable_for, nonces: Nonces::Off, ..Setup::default() });
        let ran = probe_rs(&target, &["--only", "htm-other"]);
        assert_eq!(ran.status, Some(status), "{ran:?}");
        // Metadata, the token, and then the first request with at most three more.
        let first = target.requests().iter().take(requests).filter(|seen| seen.path == "/api/Orders").count();
        assert_eq!(first, requests - 2);
        assert!(status == 0 || target.requests().len() == requests, "{}", target.requests().len());
    }
}

/// Two minutes at once, and five in all.
#[test]
fn the_pauses_that_a_server_asks_for_have_a_limit() {
    let [minute, second] = [60, 1].map(Duration::from_secs);
    let mut pauses = Pauses::default();
    assert!(!pauses.allow(2 * minute + second) && pauses.were_refused());
    let mut pauses = Pauses::default();
    assert!(pauses.allow(2 * minute) && pauses.allow(2 * minute));
    assert!(!pauses.were_refused());
    assert!(!pauses.allow(minute + second) && pauses.were_refused());
    assert!(pauses.allow(minute) && !pauses.allow(second));
}

#[test]
fn a_table_tells_problems_from_the_rest() {
    let target = Target::start(Setup { fault: Fault::Without(Typ), ..Setup::default() });
    let ran = probe_rs(&target, &["--problems"]);
    let lines: Vec<_> = ran.stdout.lines().collect();
    // The subject, three findings, and the summary.
    assert_eq!(lines.len(), 6, "{}", ran.stdout);
    assert!(lines[1..4].iter().all(|line| line.starts_with("NOT ENFORCED")), "{}", ran.stdout);
    let page = probe_rs(&target, &["--problems", "--format", "html"]).stdout;
    assert_eq!(page.matches("<tr").count(), 4, "{page}");
    assert_eq!(probe_rs(&target, &["--problems", "--format", "junit"]).status, Some(2));
    // What has the same reason is one line.
    let target = Target::start(Setup { lock_after: Some(25), ..Setup::default() });
    let table = probe_rs(&target, &[]).stdout;
    let folded: Vec<_> = table.lines().filter(|line| line.contains("no longer succeeds")).collect();
    assert_eq!(folded.len(), 2, "{table}");
    assert!(folded[0].ends_with(" cases: a correct request no longer succeeds"), "{table}");
    assert!(table.contains(": no other address") || !table.contains("--node"), "{table}");
}

/// Returns what nobody else may see: secrets, tokens, private keys and signatures of proofs.
fn secrets(target: &Target) -> BTreeSet<String> {
    let mut secrets: BTreeSet<_> = target.issued().into_iter().collect();
    secrets.insert(CLIENT_SECRET.to_owned());
    for request in target.requests() {
        secrets.extend(secrets_of(&request));
    }
    secrets
}

fn secrets_of(request: &Seen) -> Vec<String> {
    let values = |name: &str| -> Vec<String> {
        request.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let credentials =
        values("authorization").into_iter().map(|field| field.split(' ').nth(1).unwrap().to_owned());
    let mut secrets: Vec<_> = credentials.filter(|text| text != "made-up-token").collect();
    for proof in values("dpop").iter().flat_map(|field| field.split(',')) {
        let segments: Vec<_> = proof.trim().split('.').collect();
        secrets.extend(segments.iter().skip(2).filter(|text| text.len() > 40).map(|text| (*text).to_owned()));
        let header: Option<Value> =
            from_base64url(segments[0]).and_then(|text| serde_json::from_str(&text).ok());
        let d = header.and_then(|header| Some(header["jwk"]["d"].as_str()?.to_owned()));
        secrets.extend(d.filter(|d| d.len() > 20));
    }
    secrets
}

/// A resource may have the data of users in the names of members too.
#[test]
fn of_a_response_that_is_no_error_nothing_is_shown() {
    let target = Target::start(Setup { fault: Fault::Without(Htm), ..Setup::default() });
    let ran = probe_rs(&target, &["--format", "json", "--only", "htm-other"]);
    assert!(ran.stdout.contains("NOT ENFORCED") && !ran.stdout.contains("orders\\\""), "{}", ran.stdout);
}

/// What is in a parameter and in a query.
const PARAMETER: &str = "a-secret-parameter-7f2e";

/// The server repeats all of a request in its response, as debugging endpoints do.
#[test]
fn no_secret_is_in_any_output() {
    for format in ["text", "json", "junit", "html"] {
        for kind in ["rs", "as"] {
            let target = Target::start(Setup { echoes: true, ..Setup::default() });
            let resource = format!("{}?apikey={PARAMETER}", target.resource());
            let (subject, more) = match kind {
                "rs" => (["--call", &resource], &[][..]),
                _ => (["--redirect-uri", REDIRECT_URI], &["--param-env", "apikey=PARAMETER"][..]),
            };
            let server = ["--issuer", target.issuer(), "--dangerous-http", "--format", format];
            let client =
                ["--client-id", CLIENT_ID, "--auth", "client_secret_basic", "--secret-env", "SECRET"];
            let arguments = [&["probe", kind], &subject[..], &server, &client, more, &FAST].concat();
            let mut command = command(&arguments);
            // With characters that have several spellings.
            let parameter = format!("\"a\" /+\\ {PARAMETER} &é");
            let ran = finish(command.env("SECRET", CLIENT_SECRET).env("PARAMETER", parameter));
            assert_eq!(ran.status, Some(0), "{ran:?}");
            // No spelling changes these.
            for core in [PARAMETER, "0123456789abcdef"] {
                assert!(!ran.stdout.contains(core) && !ran.stderr.contains(core), "{format}: {core}");
            }
            let hexadecimal: String = PARAMETER.bytes().map(|byte| format!("{byte:02X}")).collect();
            let digits = ran.stdout.replace(['%', '\\', 'u'], "").replace("00", "").to_ascii_uppercase();
            assert!(!digits.contains(&hexadecimal), "{format}");
            let html = ran.stdout.replace("&amp;", "&").replace("&#x", "").replace(';', "");
            assert!(!html.to_ascii_uppercase().contains(&hexadecimal), "{format}");
            // Reports do not have all of a long text.
            for start in ["a-secret", "01234567"] {
                let references = character_references(start);
                assert!(!ran.stdout.replace("&amp;", "&").contains(&references), "{format}");
            }
            if format != "text" && format != "junit" {
                // It was seen, and hidden.
                assert!(ran.stdout.contains("error_description"), "{format}: {}", ran.stdout);
            }
            let secrets = secrets(&target);
            assert!(secrets.len() > 100 && secrets.iter().any(|secret| secret.len() == 43), "a private key");
            for secret in secrets {
                assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "{format}: {secret}");
            }
        }
    }
}

#[test]
fn the_page_is_complete_in_itself() {
    let target = Target::start(Setup { fault: Fault::Without(Typ), ..Setup::default() });
    let ran = probe_rs(&target, &["--format", "html"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let page = ran.stdout;
    assert!(page.starts_with("<!DOCTYPE html>"));
    let elements = elements(&page);
    let names: BTreeSet<_> = elements.iter().map(|(name, _)| name.as_str()).collect();
    let loading = ["script", "link", "img", "iframe", "object", "embed", "base", "form", "a", "svg"];
    assert!(loading.iter().all(|name| !names.contains(name)), "{names:?}");
    for (name, attributes) in &elements {
        let refers = ["src", "href", "action", "style", "on"].iter().any(|attribute| {
            attributes.split_whitespace().any(|text| text.to_ascii_lowercase().starts_with(attribute))
        });
        assert!(!refers, "<{name} {attributes}>");
    }
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    // The worst is in front.
    let first = page.find("NOT ENFORCED").unwrap();
    assert!(first < page.find(">enforced<").unwrap());
    assert!(page.contains("<code>typ-missing</code>") && page.contains("3 MUSTs are not enforced."));
}

/// A server must not be able to put elements onto the page, or control characters into the terminal.
#[test]
fn text_of_a_server_stays_text() {
    let text = "<script>alert(1)</script>\u{1b}[31m";
    let server = Target::start(Setup { description: Some(text.to_owned()), ..Setup::default() });
    for format in ["text", "json", "junit", "html"] {
        let ran = probe_rs(&server, &["--format", format]);
        assert!(!ran.stdout.contains('\u{1b}'), "{format}");
        if format == "html" {
            assert!(!ran.stdout.contains("<script") && ran.stdout.contains("&lt;script"));
            elements(&ran.stdout);
        }
    }
}

/// Returns the elements of a page with their attributes, and fails unless each is closed.
fn elements(page: &str) -> Vec<(String, String)> {
    let (mut open, mut elements) = (Vec::new(), Vec::new());
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "{tag}"),
            None if name.starts_with('!') => {}
            None => {
                elements.push((name.to_owned(), attributes.to_owned()));
                // What never has content.
                if !["meta", "br"].contains(&name) {
                    open.push(name.to_owned());
                }
            }
        }
    }
    assert_eq!(open, [""; 0]);
    elements
}

#[test]
fn the_junit_report_has_every_case() {
    let target = Target::start(Setup { fault: Fault::Without(Typ), ..Setup::default() });
    let ran = probe_rs(&target, &["--format", "junit"]);
    assert_eq!(ran.status, Some(1));
    let report = quick_junit::Report::deserialize_from_str(&ran.stdout).unwrap();
    assert_eq!(report.failures, 3);
    let cases = &report.test_suites[0].test_cases;
    let names: BTreeSet<_> =
        cases.iter().map(|case| case.name.split(':').next().unwrap().to_owned()).collect();
    let listed = run(&["probe", "rs", "--list", "--format", "json"]).json();
    let listed = listed.as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap().to_owned());
    assert_eq!(names, listed.collect());
    let failed = cases.iter().find(|case| case.name.starts_with("typ-jwt:")).unwrap();
    let quick_junit::TestCaseStatus::NonSuccess { message, .. } = &failed.status else {
        panic!("{failed:?}")
    };
    assert_eq!(message.as_ref().unwrap().as_str(), "NOT ENFORCED (RFC 9449 §4.3 check 4)");
}

/// Programs read it: its members stay as they are, and a second run differs in nothing but times and random
/// texts.
#[test]
fn the_json_report_keeps_its_form() {
    let target = Target::start(Setup { fault: Fault::Without(Typ), ..Setup::default() });
    let [first, second] = [(); 2].map(|()| {
        let mut report = probe_rs(&target, &["--format", "json"]).json();
        for finding in report["findings"].as_array_mut().unwrap() {
            let members: Vec<_> = finding.as_object().unwrap().keys().cloned().collect();
            let mut expected = vec!["demand", "exchanges", "id", "level", "source", "title", "verdict"];
            expected.extend(finding.get("why").map(|_| "why"));
            assert_eq!(members, expected);
            assert_ne!(finding.get("why"), Some(&json!("")));
            let exchanges = finding["exchanges"].take();
            for exchange in exchanges.as_array().unwrap() {
                let members =
                    |part: &str| exchange[part].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                assert_eq!(members("request"), ["authorization", "form_fields", "method", "proofs", "url"]);
                assert_eq!(members("response"), ["body", "headers", "status"]);
            }
        }
        report["date"].take();
        report
    });
    assert_eq!(first, second);
    let members: Vec<_> = first.as_object().unwrap().keys().cloned().collect();
    let expected =
        ["date", "findings", "iat_window_s", "kind", "nonce_lifetime_s", "possession", "summary", "url"];
    assert_eq!(members, expected);
    let counted = ["accepted", "enforced", "not_enforced", "not_tested", "too_strict", "unclear"];
    let counts: u64 = counted.iter().map(|name| first["summary"][name].as_u64().unwrap()).sum();
    assert_eq!(counts, first["findings"].as_array().unwrap().len() as u64);
    assert_eq!(first["summary"]["violations_of_must"], 3);
    assert_eq!(first["summary"]["ended_early"], Value::Null);
}

#[test]
fn an_edge_is_found_to_the_second() {
    let window = |offset: i64| Ok::<_, ()>((-300..=7).contains(&offset));
    assert_eq!(edge(-1, window), Ok(Some(-300)));
    assert_eq!(edge(1, window), Ok(Some(7)));
    assert_eq!(edge(1, |offset| Ok::<_, ()>(offset == 0)), Ok(Some(0)));
    assert_eq!(edge(1, |_| Ok::<_, ()>(true)), Ok(None));
    assert_eq!(edge(-1, |_| Err(())), Err(()));
    let mut requests = 0;
    edge(-1, |offset| {
        requests += 1;
        Ok::<_, ()>(offset > -60)
    })
    .unwrap();
    assert_eq!(requests, 13);
}

#[test]
fn the_lifetime_of_a_nonce_is_found_between_two_powers_of_two() {
    let lives = |seconds: u64| move |after: u64| Ok::<_, ()>(Some(after < seconds));
    assert_eq!(nonce_lifetime(60, lives(0)), Ok(Some(NonceLifetime::Once)));
    assert_eq!(nonce_lifetime(60, lives(1)), Ok(Some(NonceLifetime::Between(0, 1))));
    assert_eq!(nonce_lifetime(60, lives(30)), Ok(Some(NonceLifetime::Between(16, 32))));
    assert_eq!(nonce_lifetime(60, lives(300)), Ok(Some(NonceLifetime::AtLeast(60))));
    assert_eq!(nonce_lifetime(0, lives(300)), Ok(Some(NonceLifetime::AtLeast(0))));
    let interrupted = |after: u64| Ok::<_, ()>((after < 4).then_some(true));
    assert_eq!(nonce_lifetime(60, interrupted), Ok(Some(NonceLifetime::AtLeast(2))));
    assert_eq!(nonce_lifetime(60, |_| Ok::<_, ()>(None)), Ok(None));
}

#[test]
fn the_accepted_times_and_the_uses_of_a_nonce_are_measured() {
    let target = Target::start(Setup { nonces: Nonces::Uses(1), ..Setup::default() });
    let measured = ["--measure-iat", "--measure-nonce", "60", "--only", "typ-jwt"];
    let report = probe_rs(&target, &[&measured[..], &["--format", "json"]].concat()).json();
    // The target accepts 60 s and 10 s. A request may be on its way for a while.
    let window = &report["iat_window_s"];
    let [oldest, newest] = ["oldest", "newest"].map(|edge| window[edge].as_i64().unwrap());
    assert!((-60..=-45).contains(&oldest) && (10..=25).contains(&newest), "{window}");
    assert_eq!(report["nonce_lifetime_s"], json!({ "at_least": null, "less_than": null, "uses": 1 }));
    let text = probe_rs(&target, &measured).stdout;
    assert!(text.contains("A nonce is accepted once."), "{text}");
    assert!(text.contains(" s ago and at most "), "{text}");

    // Not by refusals that are about something else.
    let target = Target::start(Setup { lock_for: 1, ..Setup::default() });
    let measured = ["--measure-iat", "--measure-nonce", "0", "--only", "unknown-claim"];
    let report = probe_rs(&target, &[&measured[..], &["--format", "json"]].concat()).json();
    assert_eq!(report["iat_window_s"], Value::Null, "{report}");
    let text = probe_rs(&target, &measured).stdout;
    let why = "Which iat is accepted was not measured: a correct request was refused afterwards as well.";
    assert!(text.contains(why), "{text}");

    let target = Target::start(Setup::default());
    let nothing_waited = ["--measure-nonce", "0", "--only", "typ-jwt", "--format", "json"];
    let report = probe_rs(&target, &nothing_waited).json();
    assert_eq!(report["nonce_lifetime_s"], json!({ "at_least": 0, "less_than": null, "uses": null }));
    assert_eq!(report["iat_window_s"], Value::Null);
}

/// Writes the page that docs/probe-page.sh takes a picture of: of a server that does not compare the path.
#[test]
#[ignore = "it writes a file for the documentation"]
fn write_the_page_of_the_documentation() {
    let target = Target::start(Setup { fault: Fault::Without(HtuPath), ..Setup::default() });
    let ran = probe_rs(&target, &["--measure-iat", "--format", "html"]);
    std::fs::write(std::env::var("PROBE_PAGE").unwrap(), ran.stdout).unwrap();
}
