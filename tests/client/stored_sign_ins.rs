//! Sign-ins that outlive their process: refresh tokens that rotate, shared by processes, and what a crash
//! costs.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, TestServer};
use possession::*;
use serde_json::Value;

use crate::common::JSON;
use crate::common::server::{always, get, once, respond, token_requests, with};
use crate::folder::Folder;
use crate::process::{self, Process, report};
use crate::signed_in::{SignedIn, refreshes, secret, sign_in};
use crate::support::{Foreign, jkt_of, key, nothing_twice, take_logged};

const HOUR: Duration = Duration::from_secs(3600);

/// A server, its clock, and a folder.
struct Scene {
    clock: ManualClock,
    server: TestServer,
    folder: Folder,
    public: bool,
}

impl Scene {
    fn new(public: bool) -> Self {
        let clock = ManualClock::new();
        let server = with(|server| {
            let server = if public { server.public_client() } else { server };
            server.clock(clock.clone()).token_lifetime(HOUR).nonces(Nonces::Lifetime(100 * HOUR))
        });
        Self { clock, server, folder: Folder::new(), public }
    }

    fn sign_in(&self) -> SignedIn {
        sign_in(&self.server, &self.clock, self.auth())
    }

    fn auth(&self) -> ClientAuth {
        if self.public { ClientAuth::none() } else { secret(&self.server) }
    }

    fn store(&self) -> FileStore {
        FileStore::new(&self.folder, "login").unwrap()
    }

    fn stored(&self) -> Value {
        serde_json::from_slice(&fs::read(self.store().path()).unwrap()).unwrap()
    }

    /// Settings without a grant and without a key.
    fn builder(&self) -> SessionBuilder {
        self.server.session().auth(self.auth()).clock(self.clock.clone()).store(self.store())
    }

    /// Starts a session with a sign-in, and stores its key.
    fn begin(&self, signed_in: SignedIn) -> Session {
        let builder = self.builder().prover(&signed_in.prover).store_key();
        builder.grant(Grant::tokens(signed_in.tokens)).discover().unwrap()
    }

    /// Starts a session with what is stored.
    fn resume(&self) -> Result<Session, Error> {
        self.builder().grant(Grant::stored()).discover()
    }
}

fn token(session: &Session) -> String {
    session.access_token().unwrap().access_token().to_owned()
}

fn is_ended(result: Result<impl Sized, Error>, words: &str) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionEnded, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

fn has_store_problem(result: Result<impl Sized, Error>, problem: StoreProblem) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Store(problem), "{error}");
}

/// No refresh token was sent twice, so none was taken for a stolen one.
fn each_refresh_token_was_sent_once(server: &TestServer) {
    let mut sent = refreshes(server);
    let all = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), all);
}

#[test]
fn a_user_signs_in_once_for_many_runs() {
    for public in [false, true] {
        let scene = Scene::new(public);
        let signed_in = scene.sign_in();
        let (jkt, first) = (signed_in.prover.thumbprint(), signed_in.tokens.access_token().to_owned());
        drop(scene.begin(signed_in));
        scene.server.clear_received();
        for _ in 0..3 {
            let session = scene.resume().unwrap();
            assert_eq!((token(&session), session.prover().thumbprint()), (first.clone(), jkt));
        }
        assert_eq!(token_requests(&scene.server).len(), 0, "the access token is valid");
        for run in 1..=3 {
            scene.clock.advance(HOUR);
            let session = scene.resume().unwrap();
            assert_eq!(get(&session, &scene.server), 200);
            assert_eq!(refreshes(&scene.server).len(), run);
            let stored = scene.stored();
            assert_eq!(
                (&stored["grant"], &stored["jkt"]),
                (&"refresh_token".into(), &jkt.to_string().into())
            );
            assert_eq!(stored["tokens"][0]["response"]["access_token"], token(&session));
            assert_eq!(stored["tokens"][0]["response"]["refresh_token"], stored["refresh_token"]);
        }
        each_refresh_token_was_sent_once(&scene.server);
        nothing_twice(&scene.server);
        // A session of another grant does not use it, and says what it is.
        let error = scene.builder().discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Store(StoreProblem::OtherSession));
        assert!(error.to_string().contains("(grant refresh_token)"), "{error}");
    }
}

#[test]
fn the_key_of_a_sign_in_is_stored_only_on_request() {
    let scene = Scene::new(true);
    let signed_in = scene.sign_in();
    let (prover, jkt) = (signed_in.prover.clone(), signed_in.prover.thumbprint().to_string());
    let session = scene.builder().prover(&prover).grant(Grant::tokens(signed_in.tokens)).discover().unwrap();
    let used = token(&session);
    drop(session);
    assert_eq!((scene.stored().get("key"), &scene.stored()["jkt"]), (None, &jkt.clone().into()));
    let error = scene.resume().unwrap_err();
    assert!(*error.kind() == ErrorKind::Configuration && error.to_string().contains(&jkt), "{error}");
    let with_key = || scene.builder().grant(Grant::stored()).prover(&prover);
    assert_eq!(token(&with_key().discover().unwrap()), used);
    // A public client's refresh token is bound to that key.
    let other = scene.builder().grant(Grant::stored()).key(key(Algorithm::Es256)).discover().unwrap_err();
    assert!(*other.kind() == ErrorKind::Configuration && other.to_string().contains(&jkt), "{other}");
    // From the next token on it is stored.
    scene.clock.advance(HOUR);
    token(&with_key().store_key().discover().unwrap());
    assert_eq!(scene.resume().unwrap().prover().thumbprint().to_string(), jkt);
    // Another signer cannot be stored.
    let elsewhere = key(Algorithm::Es256);
    let public = elsewhere.to_public();
    let sign = move |message: &[u8]| elsewhere.sign(message).unwrap();
    let builder = scene.builder().grant(Grant::stored()).key(Foreign(Algorithm::Es256, public, sign));
    assert_eq!(*builder.store_key().discover().unwrap_err().kind(), ErrorKind::Configuration);
}

#[test]
fn a_program_learns_at_its_start_that_the_user_must_sign_in() {
    for public in [false, true] {
        let scene = Scene::new(public);
        is_ended(scene.resume(), "there is none (sign in)");
        assert_eq!(scene.folder.names(), [""; 0]);
        drop(scene.begin(scene.sign_in()));
        let session = scene.resume().unwrap();
        scene.server.revoke_refresh_tokens();
        scene.clock.advance(HOUR);
        scene.server.clear_received();
        is_ended(session.access_token(), "(sign in again)");
        assert_eq!(token_requests(&scene.server).len(), 1, "{public}");
        // No process sends it again.
        assert_eq!(scene.stored().get("refresh_token"), None);
        is_ended(scene.resume(), "refused (sign in again)");
        is_ended(session.access_token(), "(sign in again)");
        assert_eq!(token_requests(&scene.server).len(), 1);
        let session = scene.begin(scene.sign_in());
        assert_eq!(get(&session, &scene.server), 200);
        assert_eq!(token(&scene.resume().unwrap()), token(&session));
    }
    // Without a store there is nothing to continue.
    let server = with(|server| server);
    let error = server.session().grant(Grant::stored()).discover().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Configuration, "{error}");
}

#[test]
fn the_same_refresh_token_continues_the_session_and_another_one_begins_a_new_one() {
    let scene = Scene::new(false);
    let signed_in = scene.sign_in();
    let given = signed_in.tokens.refresh_token().unwrap().to_owned();
    let configured = || {
        let builder = scene.builder().prover(&signed_in.prover);
        builder.grant(Grant::refresh_token(&given)).discover().unwrap()
    };
    scene.server.clear_received();
    for run in 1..=3 {
        assert_eq!(get(&configured(), &scene.server), 200);
        assert_eq!(refreshes(&scene.server).len(), run, "the configured one was replaced long ago");
        scene.clock.advance(HOUR);
    }
    assert_eq!(refreshes(&scene.server)[0], given);
    each_refresh_token_was_sent_once(&scene.server);
    let old = configured();
    // Another sign-in of the same client, with the tokens themselves.
    let begun = scene.begin(scene.sign_in());
    let newest = token(&begun);
    assert_eq!(scene.stored()["tokens"][0]["response"]["access_token"], newest);
    // The session that was replaced does not take over, and does not delete it.
    is_ended(old.access_token(), "the stored session was replaced by a newer one");
    let before = scene.stored();
    old.end().unwrap();
    drop(old);
    assert_eq!(scene.stored(), before);
    assert_eq!(token(&scene.resume().unwrap()), newest);
}

#[test]
fn sessions_that_share_a_sign_in_use_each_refresh_token_once() {
    let scene = Scene::new(true);
    let one = scene.begin(scene.sign_in());
    let two = scene.resume().unwrap();
    let derived = two.with_parameters(Parameters::new().scope("read")).unwrap();
    scene.server.clear_received();
    for round in 1..=3 {
        scene.clock.advance(HOUR);
        let new = token(&one);
        assert_eq!(token(&two), new, "it is taken from the store");
        assert_ne!(token(&derived), new, "for another scope, with the refresh token that was stored");
        assert_eq!(token(&one), new);
        assert_eq!(refreshes(&scene.server).len(), 2 * round);
    }
    each_refresh_token_was_sent_once(&scene.server);
    // All at once, from two stores.
    for _ in 0..5 {
        scene.clock.advance(HOUR);
        std::thread::scope(|scope| {
            for session in [&one, &two, &derived, &one, &two, &derived] {
                scope.spawn(|| assert_eq!(get(session, &scene.server), 200));
            }
        });
    }
    each_refresh_token_was_sent_once(&scene.server);
}

/// A file store whose operations fail on request, or that another process has locked.
struct Faulty {
    files: FileStore,
    load: AtomicBool,
    save: AtomicBool,
    lock: AtomicBool,
    locked: AtomicBool,
    /// What the next calls of `load` return in place of the newest session.
    stale: Mutex<Vec<String>>,
}

impl Faulty {
    fn new(scene: &Scene) -> Arc<Self> {
        let files = scene.store();
        let (load, save, lock, locked) = Default::default();
        Arc::new(Self { files, load, save, lock, locked, stale: Mutex::default() })
    }
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
        match self.stale.lock().unwrap().pop() {
            Some(json) => StoredSession::from_json(&json).map(Some),
            None => self.files.load(),
        }
    }

    fn save(&self, session: &StoredSession) -> Result<(), Error> {
        unless(&self.save)?;
        self.files.save(session)
    }

    fn delete(&self) -> Result<(), Error> {
        self.files.delete()
    }

    fn lock(&self, timeout: Duration) -> Result<StoreLock<'_>, Error> {
        unless(&self.lock)?;
        match self.locked.load(Ordering::SeqCst) {
            true => Err(Error::store_locked(timeout)),
            false => self.files.lock(timeout),
        }
    }
}

#[test]
fn a_new_refresh_token_that_cannot_be_stored_is_an_error_and_is_not_lost() {
    for (public, dropped) in [(true, false), (false, true)] {
        let scene = Scene::new(public);
        let store = Faulty::new(&scene);
        drop(scene.begin(scene.sign_in()));
        let session = scene.builder().grant(Grant::stored()).store(Arc::clone(&store)).discover().unwrap();
        let old = scene.stored();
        scene.server.clear_received();
        store.save.store(true, Ordering::SeqCst);
        scene.clock.advance(HOUR);
        let error = session.access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Store(StoreProblem::Failed));
        let text = error.to_string();
        assert!(
            text.contains("which the session keeps in memory") && text.contains("the disk is full"),
            "{text}"
        );
        assert_eq!(scene.stored(), old);
        // The access token that came with it is used.
        assert_eq!(get(&session, &scene.server), 200);
        assert_eq!(refreshes(&scene.server).len(), 1);
        // The new refresh token is stored before it is used.
        scene.clock.advance(HOUR);
        has_store_problem(session.access_token(), StoreProblem::Failed);
        assert_eq!(refreshes(&scene.server).len(), 1);
        store.save.store(false, Ordering::SeqCst);
        if dropped {
            // The last chance.
            drop(session);
            assert_ne!(scene.stored()["refresh_token"], old["refresh_token"]);
            assert_eq!(get(&scene.resume().unwrap(), &scene.server), 200);
        } else {
            assert_eq!(get(&session, &scene.server), 200);
        }
        assert_eq!(refreshes(&scene.server).len(), 2);
        each_refresh_token_was_sent_once(&scene.server);
    }
}

#[test]
fn an_access_token_alone_that_cannot_be_stored_is_a_warning() {
    let scene = Scene::new(true);
    let store = Faulty::new(&scene);
    drop(scene.begin(scene.sign_in()));
    let session = scene.builder().grant(Grant::stored()).store(Arc::clone(&store)).discover().unwrap();
    always(&scene.server, Endpoint::Token, Quirk::KeepRefreshToken { sent: true });
    store.save.store(true, Ordering::SeqCst);
    scene.clock.advance(HOUR);
    take_logged();
    assert_eq!(get(&session, &scene.server), 200);
    assert!(take_logged().contains("a token was not stored"));
}

/// A refresh token that another process may use at the same time would be taken for a stolen one.
#[test]
fn no_refresh_token_is_sent_without_the_lock_and_the_newest_state() {
    let scene = Scene::new(true);
    let store = Faulty::new(&scene);
    let session = {
        let signed_in = scene.sign_in();
        let builder = scene.builder().store(Arc::clone(&store)).prover(&signed_in.prover).store_key();
        builder.grant(Grant::tokens(signed_in.tokens)).discover().unwrap()
    };
    let old = token(&session);
    scene.server.clear_received();
    let problems = [
        (&store.lock, StoreProblem::Failed),
        (&store.locked, StoreProblem::Locked),
        (&store.load, StoreProblem::Failed),
    ];
    // A valid token is used meanwhile.
    scene.clock.advance(HOUR - Duration::from_secs(60));
    for (fails, _) in problems {
        fails.store(true, Ordering::SeqCst);
        assert_eq!(token(&session), old);
        fails.store(false, Ordering::SeqCst);
    }
    scene.clock.advance(Duration::from_secs(60));
    for (fails, problem) in problems {
        fails.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let error = session.access_token().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Store(problem), "{error}");
            assert_eq!(error.is_transient(), problem == StoreProblem::Locked);
        }
        fails.store(false, Ordering::SeqCst);
    }
    assert_eq!(token_requests(&scene.server).len(), 0);
    // That says nothing about the server, and is over at once.
    assert_eq!(get(&session, &scene.server), 200);
    assert_eq!(scene.clock.sleeps(), [Duration::ZERO; 0]);
    // Who deletes the stored session ends it.
    scene.clock.advance(HOUR);
    store.delete().unwrap();
    is_ended(session.access_token(), "the stored session was deleted (sign in again)");
}

#[test]
fn before_a_refused_refresh_token_ends_the_session_the_store_is_read_again() {
    let scene = Scene::new(true);
    let store = Faulty::new(&scene);
    drop(scene.begin(scene.sign_in()));
    let old = fs::read_to_string(store.files.path()).unwrap();
    let session = scene.builder().grant(Grant::stored()).store(Arc::clone(&store)).discover().unwrap();
    scene.clock.advance(HOUR);
    token(&scene.resume().unwrap());
    scene.clock.advance(HOUR);
    // This process reads the old session once more, as without a lock.
    store.stale.lock().unwrap().push(old);
    once(&scene.server, Endpoint::Token, respond(400, &[JSON], r#"{"error":"invalid_grant"}"#));
    assert_eq!(get(&session, &scene.server), 200);
    assert_eq!(get(&scene.resume().unwrap(), &scene.server), 200);
}

#[test]
fn the_end_of_a_session_revokes_the_newest_refresh_token_and_deletes_the_store() {
    let scene = Scene::new(true);
    let one = scene.begin(scene.sign_in());
    scene.clock.advance(HOUR);
    let newest = token(&scene.resume().unwrap());
    let refresh_token = scene.stored()["refresh_token"].as_str().unwrap().to_owned();
    let two = scene.resume().unwrap();
    one.end().unwrap();
    assert_eq!(scene.folder.names(), ["session-login.lock"]);
    let revoked = scene.server.received_at(Endpoint::Revocation);
    let revoked: Vec<_> = revoked.iter().map(|received| received.form_field("token").unwrap()).collect();
    assert_eq!(revoked, [refresh_token, newest]);
    drop(one);
    is_ended(scene.resume(), "there is none");
    two.discard_token();
    is_ended(two.access_token(), "the stored session was deleted");
    drop(two);
    assert_eq!(scene.folder.names(), ["session-login.lock"]);
}

#[test]
fn a_confidential_client_replaces_its_key_and_keeps_its_refresh_token() {
    let scene = Scene::new(false);
    let session = scene.begin(scene.sign_in());
    let other = scene.resume().unwrap();
    session.rotate_key(key(Algorithm::Ed25519)).unwrap();
    let jkt = session.prover().thumbprint();
    let stored = scene.stored();
    assert_eq!((&stored["jkt"], &stored["key"]["crv"]), (&jkt.to_string().into(), &"Ed25519".into()));
    assert_eq!(stored["tokens"].as_array().unwrap().len(), 1);
    let restarted = scene.resume().unwrap();
    assert_eq!((token(&restarted), restarted.prover().thumbprint()), (token(&session), jkt));
    // A session that still has the old key shares the refresh token, and stores no token of that key.
    scene.clock.advance(HOUR);
    assert_eq!(get(&other, &scene.server), 200);
    assert_eq!(scene.stored()["jkt"], jkt.to_string());
    assert_eq!(get(&restarted, &scene.server), 200);
    each_refresh_token_was_sent_once(&scene.server);
    assert!(jkt_of(crate::common::server::calls(&scene.server).last().unwrap()) == jkt.to_string());
}

/// Ends the process at a step of a rotation.
struct Abort {
    files: FileStore,
    http: Transport,
    step: String,
    saves: AtomicU32,
}

impl Abort {
    fn at(&self, step: &str) {
        if self.step == step {
            std::process::abort();
        }
    }
}

impl SessionStore for Abort {
    fn load(&self) -> Result<Option<StoredSession>, Error> {
        self.files.load()
    }

    fn save(&self, session: &StoredSession) -> Result<(), Error> {
        self.saves.fetch_add(1, Ordering::SeqCst);
        self.at("before it is stored");
        self.files.save(session)?;
        self.at("after it is stored");
        Ok(())
    }

    fn delete(&self) -> Result<(), Error> {
        self.files.delete()
    }

    fn lock(&self, timeout: Duration) -> Result<StoreLock<'_>, Error> {
        let lock = self.files.lock(timeout)?;
        self.at("with the lock");
        Ok(lock)
    }
}

struct AbortHttp(Arc<Abort>);

impl HttpClient for AbortHttp {
    fn send(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        let is_refresh = request.method() == http::Method::POST;
        if is_refresh {
            self.0.at("before the request");
        }
        let response = self.0.http.send(request)?;
        if is_refresh && response.status() == 200 {
            self.0.at("after the response");
        }
        Ok(response)
    }
}

fn start(task: &str, scene: &Scene) -> Process {
    let (server, folder) = (&scene.server, scene.folder.as_ref().to_str().unwrap());
    Process::start("stored_sign_ins::a_process", task, [folder, server.issuer(), server.client_id()])
}

/// Does nothing unless it is run by one of the tests below, in a process of its own.
#[test]
fn a_process() {
    let Some((task, [folder, issuer, client_id])) = process::task() else { return };
    let files = FileStore::new(folder, "login").unwrap();
    let store = Arc::new(Abort { files, http: Transport::new(), step: task, saves: AtomicU32::new(0) });
    let session = Session::builder(issuer, client_id)
        .dangerous_allow_http_on_loopback()
        .http(AbortHttp(Arc::clone(&store)))
        .store(Arc::clone(&store))
        .grant(Grant::stored())
        .discover()
        .unwrap();
    match &*store.step {
        "refresh five times" => {
            report("started");
            process::until_told();
            for _ in 0..5 {
                session.discard_token();
                token(&session);
            }
        }
        "refresh" => loop {
            session.discard_token();
            report(token(&session));
        },
        _ => {
            session.discard_token();
            token(&session);
            report("not reached");
        }
    }
}

/// A server by the clock of this machine, as other processes have it.
fn real_scene() -> Scene {
    let server = with(|server| server.public_client().token_lifetime(HOUR).max_received(100_000));
    Scene { clock: ManualClock::at(SystemTime::now()), server, folder: Folder::new(), public: true }
}

/// Threat S-02.
#[test]
fn s_02_processes_that_refresh_at_once_use_each_refresh_token_once() {
    let scene = real_scene();
    drop(scene.begin(scene.sign_in()));
    let mut processes: Vec<_> = (0..4).map(|_| start("refresh five times", &scene)).collect();
    processes.iter_mut().for_each(|process| assert_eq!(process.report().unwrap(), "started"));
    processes.iter_mut().for_each(Process::tell);
    processes.into_iter().for_each(Process::end);
    // A process takes the token of another one where it can, so there are fewer requests than tokens.
    assert!((5..=20).contains(&refreshes(&scene.server).len()));
    each_refresh_token_was_sent_once(&scene.server);
    assert_eq!(get(&scene.resume().unwrap(), &scene.server), 200);
}

/// Threat S-03. Whatever the step, the next process works on or says that the user must sign in again; the
/// latter only if the server has replaced the refresh token and nobody could store the new one.
#[test]
fn s_03_a_crash_at_a_step_of_a_rotation_loses_nothing_that_was_stored() {
    let cases = [
        ("with the lock", true),
        ("before the request", true),
        ("after the response", false),
        ("before it is stored", false),
        ("after it is stored", true),
    ];
    for (step, works) in cases {
        let scene = real_scene();
        drop(scene.begin(scene.sign_in()));
        let before = scene.stored()["refresh_token"].clone();
        let mut process = start(step, &scene);
        assert_eq!(process.report(), None, "{step}");
        drop(process);
        assert_eq!(scene.stored()["refresh_token"] != before, step == "after it is stored", "{step}");
        scene.server.clear_received();
        let session = scene.resume().unwrap();
        session.discard_token();
        if works {
            assert_eq!(get(&session, &scene.server), 200, "{step}");
            continue;
        }
        // The old token is tried once, and never again.
        is_ended(session.access_token(), "(sign in again)");
        is_ended(session.access_token(), "(sign in again)");
        // The access token has not expired, so the session could start.
        let session = scene.resume().unwrap();
        session.discard_token();
        is_ended(session.access_token(), "(sign in again)");
        let sent = token_requests(&scene.server);
        let sent: Vec<_> = sent.iter().filter_map(|request| request.form_field("refresh_token")).collect();
        assert_eq!(sent, [before.as_str().unwrap()], "{step}");
        assert_eq!(get(&scene.begin(scene.sign_in()), &scene.server), 200);
    }
}

/// Threat S-03. The process is killed at any moment of many rotations.
#[test]
fn s_03_a_process_that_is_killed_during_rotations_leaves_a_sign_in_or_asks_for_another() {
    let scene = real_scene();
    drop(scene.begin(scene.sign_in()));
    for round in 0..20 {
        let mut process = start("refresh", &scene);
        let has_failed = (0..=round % 3).any(|_| process.report().is_none());
        process.kill();
        // The stored access token works, also if the refresh token was lost. But the server may receive the
        // last request of a killed process only now, or in the next round. It then takes the refresh token
        // for a stolen one, and revokes all tokens.
        let outcome = scene.resume().and_then(|session| {
            let call = || session.get(&scene.server.resource("/")).map(|response| response.status().as_u16());
            let with_stored_token = call()?;
            session.discard_token();
            Ok((with_stored_token, call()?))
        });
        match outcome {
            Ok(statuses) => assert_eq!((statuses, has_failed), ((200, 200), false)),
            Err(error) => {
                is_ended(Err::<(), _>(error), "(sign in again)");
                drop(scene.begin(scene.sign_in()));
            }
        }
    }
}
