//! Sends requests to the servers under test: not too fast, only to the origins that were named, and with a
//! record of what was sent and what came back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use possession::{Challenge, Error, HttpClient, RequestBody, Transport};
use serde_json::{Value, json};

use super::origin::Origin;
use super::pace::Pace;
use super::record::{Exchange, describe_request, describe_response};
use crate::failure::Failure;
use crate::output;
use crate::secrets::Secrets;

/// How often a wait looks whether Ctrl-C was pressed.
const TICK: Duration = Duration::from_millis(50);
/// How long a response may take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(1);
/// The exit status of a program that SIGINT ends.
const INTERRUPTED: i32 = 130;

pub struct Prober {
    transport: Arc<Transport>,
    /// The origins that requests may go to.
    origins: Vec<Origin>,
    pace: Mutex<Pace>,
    seen: Mutex<LastSeen>,
    secrets: Mutex<Secrets>,
    requests: AtomicU64,
    /// Set by Ctrl-C.
    interrupted: Arc<AtomicBool>,
}

/// What was sent and received.
#[derive(Default)]
struct LastSeen {
    record: Vec<Exchange>,
    /// The header fields of the last response that had a nonce.
    with_nonce: Option<HeaderMap>,
    /// The pause that the last response asked for.
    retry_after: Option<Duration>,
}

impl Prober {
    pub fn new(transport: Transport, origins: Vec<Origin>, pace: Pace) -> Result<Self, Failure> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
            output::note("Ending with what is known so far. Press Ctrl-C again to end at once.");
        })?;
        Ok(Self {
            transport: Arc::new(transport),
            origins,
            pace: Mutex::new(pace),
            seen: Mutex::default(),
            secrets: Mutex::default(),
            requests: AtomicU64::new(0),
            interrupted,
        })
    }

    /// Returns the time between two requests.
    pub fn interval(&self) -> Duration {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).interval()
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns what was sent and received since the last call.
    pub fn take_record(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.seen().record)
    }

    /// Returns the header fields of the last response that had a nonce.
    pub fn response_with_nonce(&self) -> Option<HeaderMap> {
        self.seen().with_nonce.clone()
    }

    /// Forgets that response, and returns its nonce.
    pub fn take_nonce(&self) -> Option<String> {
        nonce(&self.seen().with_nonce.take()?)
    }

    /// Returns the pause that the last response asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        self.seen().retry_after
    }

    /// Waits, but not after Ctrl-C. Returns whether all of the time has passed.
    pub fn wait(&self, time: Duration) -> bool {
        let start = Instant::now();
        while !self.is_interrupted() {
            let rest = time.saturating_sub(start.elapsed());
            if rest.is_zero() {
                return true;
            }
            std::thread::sleep(rest.min(TICK));
        }
        false
    }

    /// Sends a request on a thread of its own, so that Ctrl-C need not wait for a server that does not
    /// respond.
    fn transmit(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        let (sender, receiver) = mpsc::channel();
        let transport = Arc::clone(&self.transport);
        std::thread::spawn(move || {
            // Nobody receives it after Ctrl-C.
            let _ = sender.send(transport.send(request));
        });
        let mut since_interrupted = None;
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(response) => return response,
                Err(RecvTimeoutError::Timeout) if !self.is_interrupted() => {}
                Err(RecvTimeoutError::Timeout) => {
                    let since: Instant = *since_interrupted.get_or_insert_with(Instant::now);
                    if since.elapsed() > GRACE {
                        return Err(Error::transport("interrupted"));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::transport("the request was not sent"));
                }
            }
        }
    }

    /// Takes a text that must not be shown.
    pub fn add_secret(&self, secret: &str) {
        self.secrets().add(secret);
    }

    /// Returns a text without secrets.
    pub fn hide(&self, text: &str) -> String {
        self.secrets().hide(text)
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, LastSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Prober {
    /// Sends a request when it is time.
    fn send(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        let origin = Origin::of(request.uri());
        if !origin.as_ref().is_some_and(|origin| self.origins.contains(origin)) {
            let origin = origin.map_or_else(|| request.uri().to_string(), |origin| origin.to_string());
            return Err(Error::transport(format!(
                "{origin} is not one of the servers that were named (--also {origin} allows requests to it)"
            )));
        }
        let pause = self.pace.lock().unwrap_or_else(PoisonError::into_inner).wait(Instant::now());
        if !self.wait(pause) {
            return Err(Error::transport("interrupted"));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let described = {
            let mut secrets = self.secrets();
            secrets.add_request(&request);
            describe_request(&request, &secrets)
        };
        let response = self.transmit(request);
        let shown = {
            let mut secrets = self.secrets();
            match &response {
                Ok(response) => {
                    secrets.add_response(response);
                    describe_response(response, &secrets)
                }
                Err(error) => json!({ "error": secrets.hide(&error.to_string()) }),
            }
        };
        let mut seen = self.seen();
        seen.record.push(Exchange { request: described, response: shown });
        seen.retry_after = response.as_ref().ok().and_then(|response| pause_after(response.headers()));
        if let Ok(response) = &response
            && response.headers().contains_key("dpop-nonce")
        {
            seen.with_nonce = Some(response.headers().clone());
        }
        drop(seen);
        response
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.transport.has_client_certificate()
    }
}

/// Returns the nonce of a response that demands one.
pub fn asked_nonce(response: &Response<Vec<u8>>) -> Option<String> {
    offered_nonce(response).filter(|_| demands_nonce(response))
}

/// Returns whether a response demands a nonce: in a challenge, or in the error of its body (RFC 9449 §8, §9).
pub fn demands_nonce(response: &Response<Vec<u8>>) -> bool {
    let in_challenge = Challenge::from_headers(response.headers())
        .unwrap_or_default()
        .iter()
        .any(|challenge| challenge.param("error") == Some("use_dpop_nonce"));
    let in_body = || member(response, "error").as_deref() == Some("use_dpop_nonce");
    matches!(response.status().as_u16(), 400 | 401) && (in_challenge || in_body())
}

/// Returns the `DPoP-Nonce` of a response.
pub fn offered_nonce(response: &Response<Vec<u8>>) -> Option<String> {
    nonce(response.headers())
}

fn nonce(headers: &HeaderMap) -> Option<String> {
    headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()).map(str::to_owned)
}

/// Returns a member of a JSON body that is a string.
pub fn member(response: &Response<Vec<u8>>, name: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(response.body()).ok()?;
    Some(body.get(name)?.as_str()?.to_owned())
}

fn pause_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.trim().parse().map(Duration::from_secs).ok()
}
