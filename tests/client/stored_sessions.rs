//! Sessions that outlive their process and are shared by several.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, TestServer};
use possession::*;
use serde_json::Value;

use crate::common::server::{SECOND, always, calls, get, member, nonces, statuses, with};
use crate::folder::Folder;
use crate::process::{self, Process, report};
use crate::support::{Foreign, jkt_of, key, nothing_twice, take_logged, token_of};

const MINUTE: Duration = Duration::from_secs(60);

/// A server whose tokens and nonces live for an hour, its clock, and a folder.
struct Scene {
    clock: ManualClock,
    server: TestServer,
    folder: Folder,
}

impl Scene {
    fn new() -> Self {
        let clock = ManualClock::new();
        let server = with(|server| {
            server.clock(clock.clone()).nonces(Nonces::Lifetime(60 * MINUTE)).token_lifetime(60 * MINUTE)
        });
        Self { clock, server, folder: Folder::new() }
    }

    fn store(&self) -> FileStore {
        FileStore::new(&self.folder, "orders").unwrap()
    }

    fn builder(&self) -> SessionBuilder {
        self.server.session().clock(self.clock.clone()).store(self.store())
    }

    fn session(&self) -> Session {
        self.builder().discover().unwrap()
    }

    fn stored(&self) -> Value {
        serde_json::from_slice(&fs::read(self.store().path()).unwrap()).unwrap()
    }

    fn tokens(&self) -> u64 {
        self.server.counts().tokens
    }

    fn get(&self, session: &Session) -> u16 {
        get(session, &self.server)
    }

    fn stored_token(&self) -> String {
        self.stored()["tokens"][0]["response"]["access_token"].as_str().unwrap().to_owned()
    }

    /// The time by which every session renews a token of an hour: a minute before it expires.
    fn until_renewal(&self) {
        self.clock.advance(59 * MINUTE);
    }
}

fn token(session: &Session) -> String {
    session.access_token().unwrap().access_token().to_owned()
}

#[test]
fn a_program_that_runs_every_minute_requests_one_token_per_lifetime() {
    let scene = Scene::new();
    for run in 0..120 {
        assert_eq!(scene.get(&scene.session()), 200, "{run}");
        scene.clock.advance(MINUTE);
    }
    // Two hours. A token is renewed one to four minutes before it expires.
    assert_eq!(scene.tokens(), 3);
    let calls = calls(&scene.server);
    // The first run learns the nonces of both servers, and so do those after an hour.
    assert!(scene.server.counts().challenges <= 4, "{:?}", scene.server.counts());
    assert!(calls.iter().all(|call| jkt_of(call) == jkt_of(&calls[0])), "one key");
    nothing_twice(&scene.server);
    // Without a store, each run would have made two requests for a token.
    assert!(scene.server.counts().token_requests <= 5);
}

#[test]
fn a_session_continues_with_the_token_the_key_and_the_nonces_of_the_last_one() {
    let scene = Scene::new();
    let first = scene.session();
    assert_eq!(scene.get(&first), 200);
    let (jkt, used) = (first.prover().thumbprint(), token(&first));
    drop(first);
    scene.server.clear_received();
    let second = scene.session();
    assert_eq!((second.prover().thumbprint(), scene.get(&second)), (jkt, 200));
    let calls = calls(&scene.server);
    assert_eq!((statuses(&calls), token_of(&calls[0])), (vec![200], used));
    assert!(nonces(&calls)[0].is_some());
    let restored = second.access_token().unwrap();
    assert_eq!((restored.requests(), restored.jkt()), (0, Some(jkt)));
    assert_eq!((second.stats().tokens, second.stats().token_requests), (0, 0));
    // What is stored, in the format of the documentation.
    let stored = scene.stored();
    assert_eq!((&stored["version"], &stored["jkt"]), (&1.into(), &jkt.to_string().into()));
    assert_eq!(stored["issuer"], scene.server.issuer());
    assert_eq!(stored["client_id"], scene.server.client_id());
    assert_eq!(stored["key"]["kty"], "EC");
    assert_eq!(stored["tokens"][0]["response"]["access_token"], *restored.access_token());
    assert_eq!(stored["tokens"][0]["response"]["expires_in"], 3600);
    let roles: Vec<_> = stored["servers"].as_array().unwrap().iter().map(|server| &server["role"]).collect();
    assert_eq!(roles, ["authorization_server", "resource_server"]);
    // A session whose nonces have not changed writes nothing when it ends.
    let before = fs::metadata(scene.store().path()).unwrap().modified().unwrap();
    drop(second);
    assert_eq!(fs::metadata(scene.store().path()).unwrap().modified().unwrap(), before);
}

#[test]
fn the_clock_offset_of_a_server_is_known_to_the_next_session() {
    let scene = Scene::new();
    scene.server.set_clock_offset(-600);
    let first = scene.session();
    assert_eq!(scene.get(&first), 200);
    assert_eq!(first.stats().clock_offsets.len(), 2);
    let offsets = first.stats().clock_offsets;
    drop(first);
    scene.server.clear_received();
    let second = scene.session();
    assert_eq!(second.stats().clock_offsets, offsets);
    second.discard_token();
    assert_eq!(scene.get(&second), 200);
    assert_eq!(statuses(&scene.server.received()), [200, 200]);
}

fn metadata_requests(server: &TestServer) -> usize {
    server.received_at(Endpoint::Metadata).len()
}

/// Its endpoints are where they were an hour ago. A running session asks less often.
#[test]
fn the_metadata_are_stored_for_an_hour() {
    let scene = Scene::new();
    for minute in 0..60 {
        assert_eq!(scene.get(&scene.session()), 200, "{minute}");
        scene.clock.advance(MINUTE);
    }
    assert_eq!(metadata_requests(&scene.server), 1);
    for _ in 0..2 {
        drop(scene.session());
    }
    // The second of these knows what the first one has fetched, although no token was requested.
    assert_eq!(metadata_requests(&scene.server), 2);
    // A clock that was set back does not make them new for longer.
    let mut stored = scene.stored();
    let fetched_at = stored["metadata"]["fetched_at"].as_u64().unwrap();
    stored["metadata"]["fetched_at"] = (fetched_at + 100_000).into();
    fs::write(scene.store().path(), stored.to_string()).unwrap();
    drop(scene.session());
    assert_eq!(metadata_requests(&scene.server), 3);
}

/// A valid token is enough to call a resource.
#[test]
fn a_session_with_stored_metadata_starts_while_its_authorization_server_is_down() {
    let scene = Scene::new();
    // A token that lives longer than the metadata.
    let session = scene.builder().assume_expires_in(600 * MINUTE).discover().unwrap();
    always(&scene.server, Endpoint::Token, Quirk::WithoutMember("expires_in".to_owned()));
    assert_eq!(scene.get(&session), 200);
    drop(session);
    scene.server.behave();
    always(&scene.server, Endpoint::Metadata, Quirk::Refuse { status: 503, retry_after: None });
    for _ in 0..2 {
        scene.clock.advance(MINUTE);
        assert!(scene.builder().discover().is_ok());
        assert_eq!(metadata_requests(&scene.server), 1);
    }
    scene.clock.advance(60 * MINUTE);
    take_logged();
    let (session, logged) = (scene.builder().discover().unwrap(), take_logged());
    assert_eq!((token(&session), metadata_requests(&scene.server)), (scene.stored_token(), 2));
    assert!(logged.contains("the metadata that were stored"), "{logged}");
    // What is no outage is an error: the server may be another one by now.
    scene.server.behave();
    always(&scene.server, Endpoint::Metadata, member("issuer", "\"https://other.example\""));
    let error = scene.builder().discover().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Metadata);
}

/// A program that runs for days stores its tokens beside the metadata that others have fetched since.
#[test]
fn older_metadata_do_not_replace_those_that_another_process_has_fetched() {
    let scene = Scene::new();
    let old = scene.session();
    old.access_token().unwrap();
    scene.clock.advance(120 * MINUTE);
    drop(scene.session());
    let fetched_at = |scene: &Scene| scene.stored()["metadata"]["fetched_at"].as_u64().unwrap();
    let newest = fetched_at(&scene);
    old.discard_token();
    old.access_token().unwrap();
    assert_eq!((scene.stored_token(), fetched_at(&scene)), (token(&old), newest));
    drop(old);
    assert_eq!(fetched_at(&scene), newest);
}

/// After a week, the server may be another one.
#[test]
fn metadata_are_not_used_for_longer_than_a_week() {
    let scene = Scene::new();
    scene.session().access_token().unwrap();
    always(&scene.server, Endpoint::Metadata, Quirk::Refuse { status: 503, retry_after: None });
    scene.clock.advance(7 * 24 * 60 * MINUTE - SECOND);
    assert!(scene.builder().discover().is_ok());
    scene.clock.advance(SECOND);
    assert_eq!(scene.builder().discover().unwrap_err().kind(), &ErrorKind::Status { status: 503 });
}

/// What is stored is as good as what is fetched, and no better.
#[test]
fn stored_metadata_are_checked_like_fetched_ones() {
    let scene = Scene::new();
    scene.session().access_token().unwrap();
    let mut stored = scene.stored();
    stored["metadata"]["document"]["token_endpoint"] = "https://attacker.example/token".into();
    fs::write(scene.store().path(), stored.to_string()).unwrap();
    let hosts = || scene.builder().endpoint_hosts(["127.0.0.1"]);
    drop(hosts().discover().unwrap());
    assert_eq!(metadata_requests(&scene.server), 2, "they are fetched again");
}

/// Metadata of another issuer, and those of a location that was named, are not used.
#[test]
fn only_the_metadata_of_the_issuer_are_stored_and_used() {
    let scene = Scene::new();
    drop(scene.session().access_token().unwrap());
    let mut stored = scene.stored();
    stored["metadata"]["document"]["issuer"] = "https://other.example".into();
    fs::write(scene.store().path(), stored.to_string()).unwrap();
    drop(scene.session());
    assert_eq!(metadata_requests(&scene.server), 2);

    let elsewhere = || scene.builder().metadata_location(MetadataLocation::OAuth).discover().unwrap();
    drop((elsewhere(), elsewhere()));
    assert_eq!(metadata_requests(&scene.server), 4);
}

#[test]
fn each_derived_session_has_a_stored_token_of_its_own() {
    let scene = Scene::new();
    let scopes = ["a", "b", "c"];
    let derived = |session: &Session, scope: &str| {
        session.with_parameters(Parameters::new().scope(scope)).map(|session| token(&session)).unwrap()
    };
    let first = scene.session();
    let used = scopes.map(|scope| derived(&first, scope));
    drop(first);
    let second = scene.session();
    assert_eq!(scopes.map(|scope| derived(&second, scope)), used);
    assert_eq!((scene.tokens(), scene.stored()["tokens"].as_array().unwrap().len()), (3, 3));
    // Expired ones are not kept.
    scene.clock.advance(61 * MINUTE);
    assert!(!used.contains(&derived(&second, "a")));
    assert_eq!(scene.stored()["tokens"].as_array().unwrap().len(), 1);
}

/// Threat C-73.
#[test]
fn c_73_a_stored_token_is_used_only_while_it_is_valid_and_with_its_parameters_and_key() {
    let scene = Scene::new();
    let used = token(&scene.session());
    assert_ne!(token(&scene.builder().scope("more").discover().unwrap()), used);
    assert_eq!(token(&scene.session()), used);
    // Without an expiry it would be used until it is refused.
    scene.clock.advance(61 * MINUTE);
    assert_ne!(token(&scene.session()), used);
    assert_eq!(scene.tokens(), 3);
    // A token of another type than this session accepts.
    always(&scene.server, Endpoint::Token, Quirk::Bearer);
    let bearer = scene.builder().scope("bearer").resource_origins([scene.server.resource_origin()]);
    let bearer = || bearer.clone().dangerous_accept_bearer().discover().unwrap();
    let used = token(&bearer());
    assert_eq!(token(&bearer()), used);
    scene.server.behave();
    assert_ne!(token(&scene.builder().scope("bearer").discover().unwrap()), used);
}

#[test]
fn a_token_without_an_expiry_is_as_old_as_its_request() {
    let scene = Scene::new();
    always(&scene.server, Endpoint::Token, Quirk::WithoutMember("expires_in".to_owned()));
    let used = token(&scene.session());
    let assuming = || scene.builder().assume_expires_in(20 * MINUTE).discover().unwrap();
    scene.clock.advance(15 * MINUTE);
    assert_eq!((token(&assuming()), token(&scene.session())), (used.clone(), used.clone()));
    scene.clock.advance(6 * MINUTE);
    assert_eq!(token(&scene.session()), used);
    assert_ne!(token(&assuming()), used);
}

/// Threat S-04: a stolen file is of no use without the key, which is elsewhere.
#[test]
fn s_04_a_stored_session_without_its_key_gives_nobody_access() {
    let scene = Scene::new();
    let pem = key(Algorithm::Es256).to_pkcs8_pem().unwrap();
    let own_key = || KeyPair::from_pkcs8_pem(&pem).unwrap();
    let session = scene.builder().key(own_key()).discover().unwrap();
    assert_eq!(scene.get(&session), 200);
    let (used, server) = (token(&session), session.server().clone());
    drop(session);
    let text = fs::read_to_string(scene.store().path()).unwrap();
    let stored = scene.stored();
    assert_eq!(
        (stored.get("key"), stored["jkt"].as_str()),
        (None, Some(&*own_key().to_public().thumbprint().to_string()))
    );
    let jwk: Value = serde_json::from_str(&own_key().to_jwk()).unwrap();
    assert!(!text.contains(jwk["d"].as_str().unwrap()) && text.contains(&used));
    // The owner continues with it.
    assert_eq!(token(&scene.builder().key(own_key()).discover().unwrap()), used);
    // A session without the key is refused, and says which key it needs.
    let error = scene.builder().discover().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains(stored["jkt"].as_str().unwrap()), "{error}");
    assert_eq!(fs::read_to_string(scene.store().path()).unwrap(), text);
    // The token itself, with a proof by another key.
    let thief = Prover::new(key(Algorithm::Es256)).unwrap();
    let url = scene.server.resource("/orders");
    let mut call = ResourceRequest::new(&server, &thief, &used, &http::Method::GET, &url).unwrap();
    let response = call.run(&http::Request::default(), &Transport::new()).unwrap();
    assert_eq!(response.status(), 401);
}

#[test]
fn another_key_replaces_the_stored_one_and_its_tokens_and_keeps_the_nonces() {
    let scene = Scene::new();
    let used = token(&scene.session());
    let given = || scene.builder().key(KeyPair::from_jwk(JWK).unwrap()).discover().unwrap();
    take_logged();
    let session = given();
    assert!(take_logged().contains("the stored tokens are not used: they are bound to the key"));
    assert!(
        session.prover().nonces_learned() == 0 && scene.stored()["key"].is_object(),
        "nothing is replaced yet"
    );
    scene.server.clear_received();
    assert_ne!(token(&session), used);
    assert_eq!(statuses(&scene.server.received()), [200], "with the nonce that was stored");
    let stored = scene.stored();
    assert_eq!((stored.get("key"), stored["tokens"].as_array().unwrap().len()), (None, 1));
    assert_eq!(token(&given()), token(&session));
}

/// RFC 8037 Appendix A.1
const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// Threat S-07.
#[test]
fn s_07_the_session_of_another_client_or_server_is_not_used_and_not_replaced() {
    let (scene, other) = (Scene::new(), Scene::new());
    let mine = token(&scene.session());
    let text = fs::read_to_string(scene.store().path()).unwrap();
    let other_client = Session::builder(scene.server.issuer(), "other").dangerous_allow_http_on_loopback();
    for builder in [other_client, other.server.session()] {
        let error = builder.store(scene.store()).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Store(StoreProblem::OtherSession), "{error}");
        assert!(error.to_string().contains(scene.server.client_id()), "{error}");
    }
    assert_eq!(fs::read_to_string(scene.store().path()).unwrap(), text);
    assert_eq!(token(&scene.session()), mine);
}

/// Threat S-05.
#[test]
fn s_05_a_session_does_not_start_with_a_damaged_store_and_does_not_replace_it() {
    let scene = Scene::new();
    drop(scene.session());
    let text = fs::read_to_string(scene.store().path()).unwrap();
    let newer = text.replace("\"version\":1", "\"version\":2");
    for (content, problem) in [
        (&text[..text.len() - 1], StoreProblem::Damaged),
        ("", StoreProblem::Damaged),
        (&newer, StoreProblem::Version),
    ] {
        fs::write(scene.store().path(), content).unwrap();
        for builder in [scene.builder(), scene.builder().key(key(Algorithm::Es256))] {
            let error = builder.discover().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Store(problem), "{error}");
            assert!(error.to_string().contains("session-orders.json"), "{error}");
        }
        assert_eq!(fs::read_to_string(scene.store().path()).unwrap(), content);
    }
    // Another key than that of `jkt`.
    let mut stored: Value = serde_json::from_str(&text).unwrap();
    stored["key"] = serde_json::from_str(JWK).unwrap();
    fs::write(scene.store().path(), stored.to_string()).unwrap();
    let error = scene.builder().discover().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Store(StoreProblem::Damaged), "{error}");
    // If it is damaged while a session runs, the session works on and does not replace it.
    fs::write(scene.store().path(), &text).unwrap();
    let session = scene.session();
    fs::write(scene.store().path(), "damaged").unwrap();
    take_logged();
    assert_eq!(scene.get(&session), 200);
    assert!(take_logged().contains("the session continues without its store"));
    drop(session);
    assert_eq!(fs::read_to_string(scene.store().path()).unwrap(), "damaged");
}

#[test]
fn a_token_that_another_session_has_renewed_is_taken_from_the_store() {
    let scene = Scene::new();
    let (one, two) = (scene.session(), scene.session());
    let old = token(&one);
    // The other one has started before there was a token.
    take_logged();
    assert_eq!(token(&two), old);
    assert!(take_logged().contains("that another process has stored is used"));
    scene.until_renewal();
    let new = token(&one);
    assert_ne!(new, old);
    assert_eq!((token(&two), scene.tokens()), (new.clone(), 2));
    // A resource refuses it. The first session replaces it, and the other one, which learns that later, makes
    // no request.
    scene.server.revoke_tokens();
    assert_eq!([&one, &two].map(|session| scene.get(session)), [200, 200]);
    assert_eq!((token(&one), scene.tokens()), (token(&two), 3));
    assert_ne!(token(&one), new);
    // What is discarded or refused is not taken from the store again.
    let used = token(&one);
    one.discard_token();
    assert_ne!(token(&one), used);
    let restarted = scene.session();
    restarted.discard_token();
    assert_ne!(token(&restarted), token(&one));
    assert_eq!(scene.tokens(), 5);
    assert_eq!(one.stats().tokens, 4);
    assert_eq!((two.stats().tokens, two.stats().token_requests), (0, 0));
}

#[test]
fn a_call_with_a_valid_token_does_not_wait_for_the_lock() {
    let scene = Scene::new();
    let session = scene.session();
    let old = token(&session);
    scene.until_renewal();
    let store = scene.store();
    let lock = store.lock(Duration::ZERO).unwrap();
    for _ in 0..3 {
        assert_eq!(token(&session), old);
    }
    assert_eq!(scene.tokens(), 1);
    drop(lock);
    assert_ne!(token(&session), old);
    // That says nothing about the server: nothing is paused, and nothing has failed.
    assert_eq!((scene.tokens(), session.stats().failures, scene.clock.sleeps()), (2, 0, vec![]));
    // The start of a session waits as long as it may take, and a call without a token half as long.
    let store = Arc::new(Faulty::default());
    let session = scene.builder().store(Arc::clone(&store)).deadline(40 * SECOND).discover().unwrap();
    let old = token(&session);
    scene.until_renewal();
    assert_ne!(token(&session), old);
    drop(session);
    assert_eq!(*store.timeouts.lock().unwrap(), [40 * SECOND, 20 * SECOND, Duration::ZERO]);
}

/// A store in memory whose operations fail on request.
#[derive(Default)]
struct Faulty {
    json: Mutex<Option<zeroize::Zeroizing<String>>>,
    load: AtomicBool,
    save: AtomicBool,
    lock: AtomicBool,
    locked: AtomicBool,
    /// How long the lock was waited for.
    timeouts: Mutex<Vec<Duration>>,
}

fn unless(fails: &AtomicBool) -> Result<(), Error> {
    match fails.load(Ordering::SeqCst) {
        true => Err(Error::store(std::io::Error::other("the disk is full"))),
        false => Ok(()),
    }
}

impl SessionStore for Faulty {
    fn load(&self) -> Result<Option<StoredSession>, Error> {
        unless(&self.load)?;
        self.json.lock().unwrap().as_ref().map(|json| StoredSession::from_json(json)).transpose()
    }

    fn save(&self, session: &StoredSession) -> Result<(), Error> {
        unless(&self.save)?;
        *self.json.lock().unwrap() = Some(session.to_json());
        Ok(())
    }

    fn delete(&self) -> Result<(), Error> {
        unless(&self.save)?;
        *self.json.lock().unwrap() = None;
        Ok(())
    }

    fn lock(&self, timeout: Duration) -> Result<StoreLock<'_>, Error> {
        unless(&self.lock)?;
        self.timeouts.lock().unwrap().push(timeout);
        match self.locked.load(Ordering::SeqCst) {
            true => Err(Error::store_locked(timeout)),
            false => Ok(StoreLock::new(())),
        }
    }
}

#[test]
fn a_store_that_fails_does_not_stop_a_session_that_has_started() {
    let scene = Scene::new();
    for (name, fails) in [
        ("save", (|store| &store.save) as fn(&Faulty) -> &AtomicBool),
        ("lock", |store| &store.lock),
        ("locked", |store| &store.locked),
        ("load", |store| &store.load),
    ] {
        let store = Arc::new(Faulty::default());
        let session = scene.builder().store(Arc::clone(&store)).discover().unwrap();
        let stored = store.load().unwrap().unwrap().to_json();
        fails(&store).store(true, Ordering::SeqCst);
        take_logged();
        assert_eq!(scene.get(&session), 200, "{name}");
        let logged = take_logged();
        assert!(
            logged.contains("continues with") && logged.contains("the store") | logged.contains("lock"),
            "{logged}"
        );
        assert_eq!(scene.get(&session), 200, "{name}");
        assert_eq!(session.stats().tokens, 1, "{name}: the token is kept in memory");
        assert_eq!(store.json.lock().unwrap().as_ref().unwrap(), &stored, "{name}");
        // It is stored when the store works again, and here without another token.
        fails(&store).store(false, Ordering::SeqCst);
        session.discard_token();
        assert_eq!(scene.get(&session), 200, "{name}");
        assert!(store.load().unwrap().unwrap().to_json().contains(&token(&session)), "{name}");
    }
}

#[test]
fn a_store_that_fails_is_an_error_at_the_start() {
    let scene = Scene::new();
    for (fails, with_key) in [
        ((|store| &store.load) as fn(&Faulty) -> &AtomicBool, true),
        (|store| &store.load, false),
        (|store| &store.save, false),
        (|store| &store.lock, false),
    ] {
        let store = Arc::new(Faulty::default());
        fails(&store).store(true, Ordering::SeqCst);
        let builder = scene.builder().store(Arc::clone(&store));
        let builder = if with_key { builder.key(key(Algorithm::Es256)) } else { builder };
        let error = builder.discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Store(StoreProblem::Failed), "{error}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
    // Without something to store, nothing is locked or written.
    let store = Arc::new(Faulty::default());
    store.save.store(true, Ordering::SeqCst);
    store.locked.store(true, Ordering::SeqCst);
    let builder = scene.builder().store(Arc::clone(&store));
    assert!(builder.clone().key(key(Algorithm::Es256)).discover().is_ok());
    let error = builder.discover().unwrap_err();
    assert!(*error.kind() == ErrorKind::Store(StoreProblem::Locked) && error.is_transient(), "{error}");
}

#[test]
fn a_key_that_is_rotated_is_stored_like_the_first_one() {
    let scene = Scene::new();
    let session = scene.session();
    let old = token(&session);
    let next = key(Algorithm::Ed25519);
    let jkt = next.to_public().thumbprint();
    // The algorithms of the test server are all that the crate has.
    session.rotate_key(next).unwrap();
    let new = token(&session);
    assert_ne!(new, old);
    let stored = scene.stored();
    assert_eq!((&stored["jkt"], &stored["key"]["crv"]), (&jkt.to_string().into(), &"Ed25519".into()));
    assert_eq!(stored["tokens"].as_array().unwrap().len(), 1);
    let restarted = scene.session();
    assert_eq!((token(&restarted), restarted.prover().thumbprint()), (new.clone(), jkt));
    // A shared key pair is one too.
    restarted.rotate_key(Arc::new(key(Algorithm::Es256))).unwrap();
    assert_eq!(scene.stored()["key"]["kty"], "EC");
    // A session that does not know the new key replaces nothing.
    take_logged();
    session.discard_token();
    assert_eq!(scene.get(&session), 200);
    assert!(take_logged().contains("the session is not stored"));
    assert_eq!(scene.stored()["jkt"], restarted.prover().thumbprint().to_string());
    // Any other signer is not stored, and must be given to the next session.
    let elsewhere = key(Algorithm::Es256);
    let public = elsewhere.to_public();
    let sign = move |message: &[u8]| elsewhere.sign(message).unwrap();
    let signer = Foreign(Algorithm::Es256, public, sign);
    restarted.rotate_key(signer).unwrap();
    assert_eq!(scene.stored().get("key"), None);
    assert_eq!(*scene.builder().discover().unwrap_err().kind(), ErrorKind::Configuration);
}

#[test]
fn a_rotation_that_could_not_be_stored_is_stored_with_the_next_token() {
    let scene = Scene::new();
    let store = Arc::new(Faulty::default());
    let session = scene.builder().store(Arc::clone(&store)).discover().unwrap();
    let old = token(&session);
    store.save.store(true, Ordering::SeqCst);
    take_logged();
    session.rotate_key(key(Algorithm::Es256)).unwrap();
    assert!(take_logged().contains("a new key was not stored"));
    store.save.store(false, Ordering::SeqCst);
    // A process that starts now has the old key and its token.
    assert_eq!(token(&scene.builder().store(Arc::clone(&store)).discover().unwrap()), old);
    session.discard_token();
    let new = token(&session);
    let restarted = scene.builder().store(Arc::clone(&store)).discover().unwrap();
    assert_eq!((token(&restarted), restarted.prover().thumbprint()), (new, session.prover().thumbprint()));
}

/// Otherwise nobody could revoke the tokens any more.
#[test]
fn a_session_whose_tokens_cannot_be_revoked_can_be_kept() {
    let scene = Scene::new();
    let session = scene.session();
    session.access_token().unwrap();
    always(&scene.server, Endpoint::Revocation, Quirk::Refuse { status: 503, retry_after: None });
    assert_eq!(session.end_if_revoked().unwrap_err().kind(), &ErrorKind::Status { status: 503 });
    assert_eq!(session.access_token().unwrap_err().kind(), &ErrorKind::SessionEnded);
    drop(session);
    scene.server.behave();
    let again = scene.session();
    assert_eq!(token(&again), scene.stored_token());
    again.end_if_revoked().unwrap();
    assert!(!scene.store().path().exists());
    // Two attempts.
    assert_eq!(scene.server.received_at(Endpoint::Revocation).len(), 2);
}

#[test]
fn an_ended_session_is_revoked_and_deleted_and_not_stored_again() {
    let scene = Scene::new();
    let session = scene.session();
    let derived = session.with_parameters(Parameters::new().scope("a")).unwrap();
    let other = scene.session().with_parameters(Parameters::new().scope("b")).unwrap();
    let tokens = [&session, &derived, &other].map(token);
    assert_eq!(scene.get(&session), 200);
    session.end().unwrap();
    assert_eq!(scene.folder.names(), ["session-orders.lock"]);
    let revoked = scene.server.received_at(Endpoint::Revocation);
    let mut revoked: Vec<_> = revoked.iter().map(|received| received.form_field("token").unwrap()).collect();
    revoked.sort();
    assert_eq!(
        revoked,
        {
            let mut tokens = tokens.to_vec();
            tokens.sort();
            tokens
        },
        "also that of the other process"
    );
    for session in [&session, &derived] {
        assert_eq!(*session.access_token().unwrap_err().kind(), ErrorKind::SessionEnded);
    }
    assert_eq!(*session.rotate_key(key(Algorithm::Es256)).unwrap_err().kind(), ErrorKind::SessionEnded);
    drop((session, derived));
    assert_eq!(scene.folder.names(), ["session-orders.lock"]);
    assert!(!tokens.contains(&token(&scene.session())));
    // What cannot be deleted is an error, and the tokens are revoked all the same.
    for fails in
        [(|store| &store.save) as fn(&Faulty) -> &AtomicBool, |store| &store.lock, |store| &store.load]
    {
        let store = Arc::new(Faulty::default());
        let session = scene.builder().store(Arc::clone(&store)).discover().unwrap();
        let used = token(&session);
        fails(&store).store(true, Ordering::SeqCst);
        scene.server.clear_received();
        assert_eq!(*session.end().unwrap_err().kind(), ErrorKind::Store(StoreProblem::Failed));
        let revoked = scene.server.received_at(Endpoint::Revocation);
        assert_eq!(revoked[0].form_field("token"), Some(used));
    }
}

#[test]
fn nonces_are_stored_when_a_session_ends_unless_it_cannot_be_done_at_once() {
    let scene = Scene::new();
    let session = scene.session();
    assert_eq!(scene.get(&session), 200);
    let stored = scene.stored();
    scene.server.rotate_nonces();
    assert_eq!(scene.get(&session), 200);
    assert_eq!(scene.stored(), stored, "not with each response");
    let store = scene.store();
    let lock = store.lock(Duration::ZERO).unwrap();
    drop(session);
    assert_eq!(scene.stored(), stored);
    drop(lock);
    let session = scene.session();
    assert_eq!(scene.get(&session), 200);
    drop(session);
    assert_ne!(scene.stored()["servers"], stored["servers"]);
    // A clone keeps it, and one that was deleted is not stored again.
    let session = scene.session();
    scene.server.rotate_nonces();
    assert_eq!(scene.get(&session), 200);
    store.delete().unwrap();
    drop(session);
    assert!(store.load().unwrap().is_none());
}

fn start(task: &str, scene: &Scene) -> Process {
    let (server, folder) = (&scene.server, scene.folder.as_ref().to_str().unwrap());
    let arguments =
        [folder, server.issuer(), server.client_id(), server.client_secret(), server.resource_origin()];
    Process::start("stored_sessions::a_process", task, arguments)
}

/// Does nothing unless it is run by one of the tests below, in a process of its own.
#[test]
fn a_process() {
    let Some((task, [folder, issuer, client_id, secret, api])) = process::task() else { return };
    let session = Session::builder(issuer, client_id)
        .auth(ClientAuth::client_secret_basic(secret))
        .dangerous_allow_http_on_loopback()
        .store(FileStore::new(folder, "orders").unwrap())
        .discover()
        .unwrap();
    match &*task {
        "call" => {
            report("started");
            process::until_told();
            let response = session.get(&format!("{api}/orders")).unwrap();
            report(format!("{} {}", response.status().as_u16(), token(&session)));
        }
        "renew" => loop {
            session.discard_token();
            report(token(&session));
        },
        other => panic!("{other}"),
    }
}

/// A server by the clock of this machine, as other processes have it.
fn real_scene() -> Scene {
    let server = with(|server| server.token_lifetime(60 * MINUTE));
    Scene { clock: ManualClock::new(), server, folder: Folder::new() }
}

/// Threat S-02.
#[test]
fn s_02_processes_that_need_a_token_at_once_request_one() {
    for _ in 0..3 {
        let scene = real_scene();
        let mut processes: Vec<_> = (0..4).map(|_| start("call", &scene)).collect();
        processes.iter_mut().for_each(|process| assert_eq!(process.report().unwrap(), "started"));
        processes.iter_mut().for_each(Process::tell);
        let reports: Vec<_> = processes.iter_mut().map(|process| process.report().unwrap()).collect();
        assert!(
            reports.iter().all(|report| *report == reports[0] && report.starts_with("200 ")),
            "{reports:?}"
        );
        processes.into_iter().for_each(Process::end);
        assert_eq!(scene.tokens(), 1);
        let calls = calls(&scene.server);
        assert!(calls.iter().all(|call| jkt_of(call) == jkt_of(&calls[0])), "they share the key");
        nothing_twice(&scene.server);
    }
}

/// Threat S-03. The process is killed at any step of a renewal.
#[test]
fn s_03_a_process_that_is_killed_leaves_a_session_that_works() {
    let scene = real_scene();
    let mut key = None;
    for round in 0..20 {
        let mut process = start("renew", &scene);
        let reports = 1 + round % 3;
        let reported = (0..reports).map(|_| process.report().unwrap()).last().unwrap();
        process.kill();
        let stored = scene.stored();
        let session = scene.server.session().store(scene.store()).discover().unwrap();
        assert_eq!(scene.get(&session), 200);
        let used = token(&session);
        assert_eq!(stored["tokens"][0]["response"]["access_token"], *used, "the stored token is used");
        assert_eq!(session.stats().token_requests, 0);
        // It may have stored another token after the one that it reported.
        assert_eq!(reported.len(), used.len());
        let jkt = session.prover().thumbprint();
        assert_eq!(*key.get_or_insert(jkt), jkt);
    }
}
