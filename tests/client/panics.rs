//! One token request for all threads, and code of the caller that panics (row C-74).

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use possession::testing::{Endpoint, ManualClock, Nonces, Quirk};
use possession::*;

use crate::common::server::{SECOND, always, get, start, with};
use crate::support::{Foreign, key, nothing_twice};

/// A call that has not ended by then hangs.
const HANGS: Duration = Duration::from_secs(20);

/// Runs a closure in so many threads at the same moment.
fn at_once<T: Send>(threads: usize, run: impl Fn() -> T + Sync) -> Vec<thread::Result<T>> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let start = || {
            barrier.wait();
            run()
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    })
}

/// A hundred threads at no token, at an expired one, at one due for renewal, at a discarded one and at a
/// revoked one.
#[test]
fn c_74_a_hundred_threads_make_one_token_request() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Off).max_received(0));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    let events: [(&str, &dyn Fn()); 5] = [
        ("none", &|| {}),
        ("expired", &|| clock.advance(2 * 3600 * SECOND)),
        ("due", &|| clock.advance(3570 * SECOND)),
        ("discarded", &|| session.discard_token()),
        ("revoked", &|| server.revoke_tokens()),
    ];
    for (what, happens) in events {
        happens();
        server.clear_received();
        let statuses = at_once(100, || get(&session, &server));
        assert!(statuses.into_iter().all(|status| status.unwrap() == 200), "{what}");
        let counts = server.counts();
        assert_eq!((counts.token_requests, counts.tokens), (1, 1), "{what}");
        // At a revoked token, a call is repeated at most once.
        assert!((100..=200).contains(&counts.resource_requests), "{what}");
        assert!(what == "revoked" || counts.resource_requests == 100, "{what}");
    }
    nothing_twice(&server);
    assert_eq!((session.stats().tokens, session.stats().renewals, session.stats().failures), (5, 4, 0));
}

/// The thread that fetches the token for all panics in the signer: another thread takes over.
#[test]
fn c_74_a_panicking_signer_fails_one_thread_and_no_other() {
    let (armed, signs) = (Arc::new(AtomicBool::new(false)), Arc::new(key(Algorithm::Ed25519)));
    let (trap, inner) = (Arc::clone(&armed), Arc::clone(&signs));
    let signer = Foreign(Algorithm::Ed25519, signs.to_public(), move |message: &[u8]| {
        if trap.swap(false, Ordering::SeqCst) {
            // A panic without the message of the panic hook.
            std::panic::resume_unwind(Box::new("broken signer"));
        }
        inner.sign(message).unwrap()
    });
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Off));
    let session = server.session().key(signer).clock(clock.clone()).discover().unwrap();
    for round in ["the token", "the token again", "a call"] {
        server.clear_received();
        if round != "a call" {
            clock.advance(2 * 3600 * SECOND);
        }
        armed.store(true, Ordering::SeqCst);
        let results = at_once(100, || get(&session, &server));
        let lost = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(lost, 1, "{round}");
        assert!(results.into_iter().flatten().all(|status| status == 200), "{round}");
        let counts = server.counts();
        let tokens = u64::from(round != "a call");
        assert_eq!((counts.token_requests, counts.resource_requests), (tokens, 99), "{round}");
    }
    // In a key rotation: the session keeps its key.
    let before = session.prover().thumbprint();
    let broken = Foreign(Algorithm::Ed25519, key(Algorithm::Ed25519).to_public(), |_: &[u8]| {
        std::panic::resume_unwind(Box::new("broken signer"))
    });
    let rotating = session.clone();
    assert!(thread::spawn(move || rotating.rotate_key(broken)).join().is_err());
    assert_eq!((session.prover().thumbprint(), get(&session, &server)), (before, 200));
    session.rotate_key(key(Algorithm::Es256)).unwrap();
    assert_eq!(get(&session, &server), 200);
    nothing_twice(&server);
}

/// A clock that panics when it is read for the n-th time.
#[derive(Clone)]
struct Panicking(ManualClock, Arc<AtomicI64>);

impl Panicking {
    fn read(&self) {
        if self.1.fetch_sub(1, Ordering::SeqCst) == 0 {
            std::panic::resume_unwind(Box::new("broken clock"));
        }
    }
}

impl Clock for Panicking {
    fn now(&self) -> SystemTime {
        self.read();
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.read();
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        self.read();
        self.0.sleep(duration);
    }
}

/// The caller's clock is read also where other threads wait. Wherever a panic comes from there, the next
/// call succeeds. In every state: no token, one that is due, one that has expired, and a server that failed
/// before.
#[test]
fn c_74_after_a_panic_at_any_reading_of_the_clock_the_session_works() {
    const NEVER: i64 = i64::MAX / 2;
    let clock = ManualClock::new();
    let left = Arc::new(AtomicI64::new(NEVER));
    let server = with(|server| server.clock(clock.clone()).max_received(0));
    let builder = server.session().clock(Panicking(clock.clone(), Arc::clone(&left)));
    let session = builder.deadline(60 * SECOND).discover().unwrap();
    /// In a thread of its own, which is left behind if it hangs.
    fn call(session: &Session, url: String) -> Option<bool> {
        let (session, (sender, receiver)) = (session.clone(), mpsc::channel());
        let run = move || {
            let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| session.get(&url)));
            // Nobody receives from a thread that was left behind.
            let _ = sender.send(called.map(|response| response.is_ok()));
        };
        thread::spawn(run);
        receiver.recv_timeout(HANGS).expect("a call that ends").ok()
    }
    let fails = || always(&server, Endpoint::Token, Quirk::Refuse { status: 503, retry_after: Some(20) });
    let states: [(&str, &dyn Fn()); 4] = [
        ("none", &|| session.discard_token()),
        ("due", &|| clock.advance(3570 * SECOND)),
        ("expired", &|| clock.advance(2 * 3600 * SECOND)),
        ("in back-off", &|| {
            // It failed until the deadline of one call: the next begins during the pause.
            fails();
            session.discard_token();
            assert_eq!(call(&session, server.resource("/")), Some(false));
            server.behave();
        }),
    ];
    for (state, reach) in states {
        let mut panicked = 0;
        for at in 0.. {
            assert_eq!(
                call(&session, server.resource("/")),
                Some(true),
                "{state} {at}: a token to begin with"
            );
            reach();
            left.store(at, Ordering::SeqCst);
            let result = call(&session, server.resource("/"));
            let read_so_often = left.swap(NEVER, Ordering::SeqCst) < 0;
            match result {
                None => panicked += 1,
                Some(_) => assert!(!read_so_often, "{state} {at}: a panic without effect"),
            }
            server.behave();
            clock.advance(SECOND);
            assert_eq!(call(&session, server.resource("/")), Some(true), "{state} {at}");
            if !read_so_often {
                break;
            }
        }
        assert!(panicked >= 5, "{state}: {panicked}");
    }
    nothing_twice(&server);
}

/// A panic while a body is read reaches the caller. Only its connection is lost.
#[test]
fn c_74_after_a_panicking_body_the_session_works() {
    struct Broken(usize);
    impl std::io::Read for Broken {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                std::panic::resume_unwind(Box::new("broken body"));
            }
            self.0 -= 1;
            bytes.fill(b'x');
            Ok(bytes.len())
        }
    }
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    assert_eq!(get(&session, &server), 200);
    for reads in [0, 1, 3] {
        let url = server.resource("/");
        let results =
            at_once(8, || session.put(&url, "text/plain", Body::from_reader(Broken(reads))).is_ok());
        assert!(results.into_iter().all(|result| result.is_err()), "{reads}");
        let results =
            at_once(8, || agent.put(&url).send(ureq::SendBody::from_owned_reader(Broken(reads))).is_ok());
        assert!(results.into_iter().all(|result| result.is_err()), "{reads}");
        let statuses = at_once(8, || get(&session, &server));
        assert!(statuses.into_iter().all(|status| status.unwrap() == 200), "{reads}");
    }
    assert_eq!(server.counts().tokens, 1);
    nothing_twice(&server);
}
