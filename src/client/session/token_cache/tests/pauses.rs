//! Pauses after failures and refusals, and the probes that end them.

use super::*;

/// Half of each pause is random, and each is twice as long as the one before: at most 250, 500, 1000, 2000
/// ms.
#[test]
fn a_failing_server_is_asked_five_times_with_growing_pauses() {
    for status in [429, 500, 502, 503, 504, 599] {
        let (setup, source) = (Setup::new(), Script::new(|_, _| Err(failure(status, None))));
        let error = setup.token(&source).unwrap_err();
        assert_eq!((error.status(), source.fetched()), (Some(status), 5));
        assert!(error.to_string().contains("asked 5 times"), "{error}");
        let slept = setup.clock.sleeps();
        assert_eq!(slept.len(), 4);
        for (slept, most) in slept.iter().zip([250, 500, 1_000, 2_000]) {
            let most = Duration::from_millis(most);
            assert!((most / 2..=most).contains(slept), "{slept:?} of {most:?}");
        }
    }
    // Two clients do not retry in the same moment: of 64 pauses hardly two are equal.
    let pauses: std::collections::HashSet<_> = (0..64)
        .map(|_| {
            let setup = Setup::new();
            let source = scripted([Err(failure(503, None)), Ok(response("t", None))]);
            setup.token(&source).unwrap();
            setup.clock.sleeps()
        })
        .collect();
    assert!(pauses.len() > 16, "{}", pauses.len());
}

#[test]
fn a_permanent_refusal_is_repeated_after_a_pause_that_grows_from_one_second_to_five_minutes() {
    for status in [400, 401, 403, 404] {
        let (setup, source) = (Setup::new(), Script::new(|_, _| Err(failure(status, None))));
        let error = setup.token(&source).unwrap_err();
        assert_eq!((error.status(), error.to_string().contains("not tried again")), (Some(status), false));
        let (mut pauses, mut refused_at) = (Vec::new(), setup.clock.elapsed());
        for asked in 1..=12 {
            while source.fetched() == asked {
                let error = setup.token(&source).unwrap_err();
                assert_eq!((error.status(), error.is_transient()), (Some(status), false));
                let says = "the same credentials and parameters are not tried again for";
                assert!(source.fetched() > asked || error.to_string().contains(says), "{error}");
                setup.clock.advance(SECOND / 4);
            }
            let again_at = setup.clock.elapsed() - SECOND / 4;
            pauses.push((again_at - refused_at).as_secs_f64());
            refused_at = again_at;
        }
        for (pause, longest) in pauses.iter().zip([2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]) {
            let longest = f64::from(longest);
            assert!((longest / 2.0..=longest + 0.25).contains(pause), "{pauses:?}");
        }
        assert!(setup.clock.sleeps().is_empty(), "no call waits for it");
    }
}

/// The server works again: the next refusal has a short pause.
#[test]
fn a_token_ends_the_pauses_after_refusals() {
    let setup = Setup::new();
    let refused = || Err(failure(400, None));
    let source = scripted([
        refused(),
        refused(),
        refused(),
        Ok(response("t", None)),
        refused(),
        Ok(response("u", None)),
    ]);
    for pause in [2, 4, 8] {
        assert!(setup.token(&source).is_err());
        setup.clock.advance(pause * SECOND);
    }
    assert_eq!(setup.token(&source).unwrap(), "t");
    setup.slot.discard();
    assert!(setup.token(&source).is_err());
    setup.clock.advance(2 * SECOND);
    assert_eq!(setup.token(&source).unwrap(), "u");
}

#[test]
fn retry_after_is_honoured_within_the_deadline() {
    let setup = Setup::new();
    let source = scripted([Err(failure(429, Some(7))), Ok(response("t", Some(3600)))]);
    assert_eq!(setup.token(&source).unwrap(), "t");
    let slept = setup.clock.sleeps();
    assert!(matches!(*slept, [slept] if (7 * SECOND..=8 * SECOND).contains(&slept)), "{slept:?}");

    // Longer than the call may take: the call fails at once, and the server is not asked before the pause is
    // over.
    let setup = Setup::new();
    let source = scripted([Err(failure(503, Some(90))), Ok(response("t", Some(3600)))]);
    let error = setup.token(&source).unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert!(error.to_string().contains("asked once; it is not asked again for 9"), "{error}");
    let error = setup.token(&source).unwrap_err();
    assert!(
        matches!(*error.kind(), ErrorKind::BackOff { retry_after } if retry_after > 89 * SECOND),
        "{error}"
    );
    assert!(error.is_transient() && error.to_string().contains("not asked again for 9"), "{error}");
    assert_eq!((source.fetched(), setup.clock.sleeps()), (1, vec![]));
    // A call whose deadline is late enough waits for it.
    setup.clock.advance(60 * SECOND);
    assert_eq!(setup.token(&source).unwrap(), "t");
    assert!(matches!(*setup.clock.sleeps(), [slept] if (30 * SECOND..=31 * SECOND).contains(&slept)));
}

/// A value of an hour, or one without limit, may be a mistake: after five minutes one call asks.
#[test]
fn q_38_retry_after_is_honoured_up_to_five_minutes() {
    for named in [300, 3600, u64::MAX] {
        let setup = Setup::new();
        let source = scripted([Err(failure(503, Some(named))), Ok(response("t", Some(3600)))]);
        assert!(setup.token(&source).is_err());
        setup.clock.advance(5 * MINUTE - SECOND);
        let error = setup.token_within(&source, SECOND / 2).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::BackOff { retry_after: SECOND }, "{named}");
        assert_eq!(source.fetched(), 1);
        setup.clock.advance(SECOND);
        assert_eq!(setup.token_within(&source, SECOND / 2).unwrap(), "t", "{named}");
        assert!(setup.clock.sleeps().is_empty());
    }
}

/// The time of day may be set, and the monotonic clock may stand still while the machine is suspended.
#[test]
fn q_38_a_pause_ends_when_either_clock_says_so() {
    type Change<'a> = (&'a str, &'a dyn Fn(&ManualClock));
    // The pause of the server, and that of a token whose renewal was refused.
    for (status, cached) in [(503, None), (400, Some("old"))] {
        let clocks: [Change<'_>; 3] = [
            ("suspended, or set ahead", &|clock| clock.set(clock.now() + 201 * SECOND)),
            ("set back", &|clock| {
                clock.set(clock.now() - 60 * MINUTE);
                clock.advance(201 * SECOND);
            }),
            ("before 1970", &|clock| {
                clock.set(SystemTime::UNIX_EPOCH - 60 * MINUTE);
                clock.advance(201 * SECOND);
            }),
        ];
        for (what, pass) in clocks {
            let setup = Setup::with(20 * MINUTE, None);
            let old = cached.map(|name| Ok(response(name, Some(3600))));
            let refused = [Err(failure(status, Some(200))), Ok(response("new", Some(3600)))];
            let source = scripted(old.into_iter().chain(refused));
            if cached.is_some() {
                assert_eq!(setup.token(&source).unwrap(), "old");
                setup.clock.advance(45 * MINUTE);
            }
            assert_eq!(setup.token(&source).ok().as_deref(), cached);
            setup.clock.advance(199 * SECOND);
            assert_eq!(setup.token_within(&source, 2 * SECOND / 3).ok().as_deref(), cached, "{what}");
            pass(&setup.clock);
            assert_eq!(setup.token(&source).unwrap(), "new", "{what}");
            assert!(setup.clock.sleeps().is_empty(), "{what}");
        }
    }
}

/// After the pause, whatever token the calls need.
#[test]
fn after_a_pause_one_call_probes_the_server_while_the_others_wait() {
    for works in [true, false] {
        let (setup, requests) = (Setup::new(), AtomicU32::new(0));
        let source = Script::new(|number, _| match (number, requests.fetch_add(1, Ordering::SeqCst)).0 {
            0 => Err(failure(503, Some(200))),
            1 => {
                while setup.tokens.breaker.waiting() < 9 {
                    thread::yield_now();
                }
                assert_eq!(requests.load(Ordering::SeqCst), 2, "no other request was sent");
                match works {
                    true => Ok(response("t", Some(3600))),
                    false => Err(failure(503, Some(200))),
                }
            }
            _ => Ok(response("t", Some(3600))),
        });
        assert!(setup.token(&source).is_err());
        setup.clock.advance(201 * SECOND);
        let slots: Vec<_> = (0..10).map(|_| TokenSlot::default()).collect();
        let token = |slot| {
            let deadline = Deadline::after(MINUTE, &setup.clock);
            setup.tokens.valid_token(slot, &source, deadline).map(drop)
        };
        let got: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = slots.iter().map(|slot| scope.spawn(move || token(slot))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let refused = got
            .iter()
            .filter(|got| got.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::BackOff { .. })));
        match works {
            true => assert!(got.iter().all(Result::is_ok) && source.fetched() == 11),
            false => assert_eq!((refused.count(), source.fetched()), (9, 2)),
        }
    }
}

/// A call that has a valid token does not wait for the probe, and one that waits has a deadline.
#[test]
fn a_probe_delays_no_call_that_has_a_token() {
    let setup = Setup::new();
    let other = TokenSlot::default();
    let source = Script::new(|number, _| match number {
        0 | 2 | 3 => Ok(response("t", Some(3600))),
        1 => Err(failure(503, Some(1))),
        _ => unreachable!("a further request"),
    });
    assert_eq!(setup.token(&source).unwrap(), "t");
    // Due for renewal, and valid for half a minute more.
    setup.clock.advance(3_560 * SECOND);
    let deadline = |span| Deadline::after(span, &setup.clock);
    assert!(setup.tokens.valid_token(&other, &source, deadline(SECOND / 2)).is_err());
    setup.clock.advance(3 * SECOND);
    let probe = Script::new(|_, _| {
        assert_eq!(setup.token(&source).unwrap(), "t");
        let third = TokenSlot::default();
        let error = setup.tokens.valid_token(&third, &source, deadline(SECOND / 1000)).err().unwrap();
        assert_eq!(*error.kind(), ErrorKind::Timeout);
        Ok(response("probe", Some(3600)))
    });
    assert!(setup.tokens.valid_token(&other, &probe, deadline(MINUTE)).is_ok());
    assert_eq!(source.fetched(), 2);
    // Everybody may send again.
    assert_eq!(setup.token(&source).unwrap(), "t");
    assert_eq!((source.fetched(), setup.clock.sleeps()), (3, vec![]));
}

/// A signer that fails, or a deadline that ends, ends the probe without an outcome: the next call probes.
#[test]
fn a_probe_without_an_outcome_leaves_the_next_call_to_probe() {
    for cause in [FailureCause::Deadline, FailureCause::Request] {
        let setup = Setup::new();
        let source = Script::new(|number, _| match number {
            0 => Err(failure(503, Some(10))),
            1 => {
                let error = match cause {
                    FailureCause::Deadline => Error::timeout("slow"),
                    _ => Error::new(ErrorKind::Signer, "signing", "no"),
                };
                Err(FetchFailure { cause, ..error.into() })
            }
            _ => Ok(response("t", None)),
        });
        assert!(setup.token_within(&source, SECOND).is_err());
        setup.clock.advance(11 * SECOND);
        assert!(setup.token_within(&source, SECOND).is_err());
        assert_eq!(setup.token_within(&source, SECOND).unwrap(), "t");
        assert_eq!((source.fetched(), setup.clock.sleeps()), (3, vec![]));
    }
}

/// Whatever calls to the other origins do meanwhile.
#[test]
fn c_75_an_origin_that_refuses_new_tokens_gets_another_after_a_pause_that_grows_to_a_minute() {
    let (setup, source) = (Setup::new(), tokens_of(None));
    let (key, token) = one_token(&setup, &source);
    let (bad, good) = ("https://bad.example", "https://good.example");
    let mut pauses = Vec::new();
    for fetched in 1..=12 {
        let start = setup.clock.elapsed();
        loop {
            let current = token();
            setup.tokens.record_accepted(&key, &current, good);
            if setup.tokens.replace_refused(&key, &current, bad).is_none() {
                break;
            }
            // A public path of the same origin.
            setup.tokens.record_accepted(&key, &current, bad);
            assert_eq!(source.fetched(), fetched);
            setup.clock.advance(SECOND / 4);
        }
        pauses.push((setup.clock.elapsed() - start).as_secs_f64());
        // The call is repeated, and the new token is refused as well.
        setup.tokens.record_refused(&key, &token(), bad);
    }
    assert_eq!(pauses.remove(0), 0.0, "the first refusal");
    for (pause, longest) in pauses.iter().zip([2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]) {
        let longest = f64::from(longest);
        assert!((longest / 2.0..=longest + 0.25).contains(pause), "{pauses:?}");
    }
    // Another origin is not affected.
    assert_eq!(setup.tokens.replace_refused(&key, &token(), good), None);
}

/// The token was the cause: the next one that is refused is replaced at once.
#[test]
fn c_75_an_origin_that_accepts_the_new_token_has_no_pause() {
    let (setup, source) = (Setup::new(), tokens_of(None));
    let (key, token) = one_token(&setup, &source);
    let origin = "https://api.example";
    for _ in 0..10 {
        let current = token();
        assert_eq!(setup.tokens.replace_refused(&key, &current, origin), None);
        // A late response to the token before says nothing.
        setup.tokens.record_accepted(&key, &current, origin);
        setup.tokens.record_accepted(&key, &token(), origin);
    }
    assert_eq!(source.fetched(), 11);
}

/// Wrong credentials are wrong for every token, and right ones end the pause.
#[test]
fn a_refused_client_is_not_tried_with_other_parameters_before_the_pause_is_over() {
    let setup = Setup::new();
    let refused = |code: &str| {
        let error = OAuthError::new(401, code.to_owned(), None, None);
        let error = Error::new(ErrorKind::OAuth(error), "requesting", "no");
        Err(error.into())
    };
    let token = |source: &dyn TokenSource| {
        let deadline = Deadline::after(MINUTE, &setup.clock);
        setup.tokens.valid_token(&TokenSlot::default(), source, deadline).map(drop)
    };
    let source = scripted([refused("invalid_client"), Ok(response("t", None)), refused("invalid_scope")]);
    assert!(token(&source).is_err());
    for _ in 0..100 {
        let error = token(&source).unwrap_err();
        assert!(error.to_string().contains("are not tried again for"), "{error}");
    }
    assert_eq!(source.fetched(), 1);
    // Another key is other credentials.
    let other_key = tokens_of(None);
    assert!(token(&other_key).is_ok());
    assert!(token(&source).is_ok(), "the server accepts the client");
    // A scope is another matter.
    assert!(token(&source).is_err());
    assert!(token(&tokens_of(None)).is_ok());
}
