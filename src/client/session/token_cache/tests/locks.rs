//! No foreign code runs under a lock.

use super::*;

/// What foreign code sees of the locks of a cache. It runs on the thread of the test only.
#[derive(Clone, Default)]
struct Locks {
    cache: Arc<Mutex<std::sync::Weak<TokenCache>>>,
    looked: Arc<AtomicU32>,
    held: Arc<AtomicU32>,
}

impl Locks {
    fn look(&self) {
        let Some(cache) = self.cache.lock().unwrap().upgrade() else { return };
        self.looked.fetch_add(1, Ordering::SeqCst);
        let slots = cache.slots.try_lock();
        let slots: Option<Vec<_>> = slots
            .ok()
            .map(|slots| (0..3).filter_map(|number| slots.get(&slot_key(number)).cloned()).collect());
        let free = slots.is_some_and(|slots| slots.iter().all(|slot| slot.state.try_lock().is_ok()))
            && cache.refused_client.try_lock().is_ok();
        self.held.fetch_add(u32::from(!free), Ordering::SeqCst);
    }
}

fn slot_key(number: u8) -> CacheKey {
    static KEY: std::sync::OnceLock<Thumbprint> = std::sync::OnceLock::new();
    let jkt = *KEY.get_or_init(|| KeyPair::generate(Algorithm::Ed25519).unwrap().to_public().thumbprint());
    CacheKey { parameters: [number; 32], jkt }
}

struct WatchingClock(ManualClock, Locks);

impl Clock for WatchingClock {
    fn now(&self) -> SystemTime {
        self.1.look();
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.1.look();
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        self.1.look();
        self.0.sleep(duration);
    }
}

struct WatchingSigner(KeyPair, Locks);

impl crate::jose::signer::Signer for WatchingSigner {
    fn public_key(&self) -> &crate::jose::public_key::PublicKey {
        self.0.public_key()
    }

    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        crate::jose::signer::Signer::sign(&self.0, message)
    }
}

impl Drop for WatchingSigner {
    fn drop(&mut self) {
        self.1.look();
    }
}

/// A clock, a source or a signer that panics or waits under a lock would stop every other thread.
#[test]
fn no_foreign_code_runs_under_a_lock() {
    let (clock, locks) = (ManualClock::new(), Locks::default());
    let watching: Arc<dyn Clock> = Arc::new(WatchingClock(clock.clone(), locks.clone()));
    let cache = Arc::new(TokenCache::new(watching, MINUTE, None));
    *locks.cache.lock().unwrap() = Arc::downgrade(&cache);
    // Each token has a signer of its own, which is dropped with the token.
    let fetch = |number: u8, outcome: Result<TokenResponse, FetchFailure>, total| {
        let outcome = Mutex::new(Some(outcome));
        let mut source = Script::new(|_, _| {
            locks.look();
            outcome.lock().unwrap().take().unwrap()
        });
        let signer = WatchingSigner(KeyPair::generate(Algorithm::Ed25519).unwrap(), locks.clone());
        source.prover = Prover::new(signer).unwrap();
        let deadline = Deadline::after(total, &clock);
        cache.valid_token(&cache.slot(&slot_key(number)), &source, deadline)
    };
    let good = || Ok(response("t", Some(3600)));
    let drops_signers: [&dyn Fn(); 7] = [
        // A renewal, an expired token, a refusal, a discarded token.
        &|| clock.advance(3_550 * SECOND),
        &|| clock.advance(3_600 * SECOND),
        &|| {
            let token = fetch(0, good(), MINUTE).unwrap();
            cache.record_accepted(&slot_key(0), &token, "https://api.example");
            let key = slot_key(0);
            cache.record_refused(&key, &token, "https://api.example");
            clock.advance(2 * SECOND);
            assert_eq!(cache.replace_refused(&key, &token, "https://api.example"), None);
        },
        &|| cache.discard(&slot_key(0)),
        &|| cache.remove(&slot_key(0)),
        &|| cache.keep_only(&KeyPair::generate(Algorithm::Ed25519).unwrap().to_public().thumbprint()),
        &|| {
            for number in 0..=u16::try_from(MAX_SLOTS).unwrap() {
                let mut parameters = [9; 32];
                parameters[..2].copy_from_slice(&number.to_be_bytes());
                cache.slot(&CacheKey { parameters, ..slot_key(9) });
            }
        },
    ];
    for (number, drop_signer) in drops_signers.into_iter().enumerate() {
        let looked = locks.looked.load(Ordering::SeqCst);
        assert!(fetch(0, good(), MINUTE).is_ok());
        drop_signer();
        assert!(fetch(0, good(), MINUTE).is_ok());
        assert!(locks.looked.load(Ordering::SeqCst) > looked);
        assert_eq!(locks.held.load(Ordering::SeqCst), 0, "case {number}");
    }
    // Failures of every kind, and no time left.
    for (status, total) in [(503, MINUTE), (400, MINUTE), (400, MINUTE), (400, Duration::ZERO)] {
        cache.slot(&slot_key(1)).discard();
        let _ = fetch(1, Err(failure(status, Some(300))), total);
        clock.advance(301 * SECOND);
    }
    assert_eq!(locks.held.load(Ordering::SeqCst), 0);
}
