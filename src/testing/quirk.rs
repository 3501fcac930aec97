//! What a server may do on a bad day.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;

use super::wire::{Answer, Close, Payload, Silence};
use crate::sync;

/// Where a request came to, or a [`Quirk`] takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// The authorization server's metadata.
    Metadata,
    /// The token endpoint.
    Token,
    /// Everything else.
    Resource,
}

/// How often a [`Quirk`] takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Each time.
    Always,
    /// So many times, from the next on.
    Next(u32),
    /// Once in so many times.
    Every(u32),
}

/// One thing that a server does on a bad day. [`TestServer::misbehave`](crate::testing::TestServer::misbehave) says where and
/// when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Quirk {
    // ---- Answers in place of the right one
    /// Redirects.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The value of `Location`.
        location: String,
    },
    /// Fails, or has too much to do: an answer without a body.
    Refuse {
        /// Such as 429, 500 or 503.
        status: u16,
        /// The seconds of `Retry-After`.
        retry_after: Option<u64>,
    },
    /// Answers this, whatever was asked.
    Respond(Response<Vec<u8>>),
    /// An HTML page with that status, as proxies have it.
    Html {
        /// The status code.
        status: u16,
    },
    /// These bytes, for whatever no other quirk does.
    Bytes(Vec<u8>),

    // ---- Challenges and nonces
    /// Asks for a nonce, with a new one each time, whatever the proof has.
    Challenge,
    /// Puts refusals of proofs into another form than RFC 9449 shows.
    Form(ChallengeForm),
    /// Refuses for another reason: `invalid_request` in place of `invalid_dpop_proof`, as Keycloak does.
    ErrorCode(String),
    /// Refuses proofs that have a nonce, as servers may that never gave one.
    RefuseNonces,
    /// Leaves `DPoP-Nonce` out.
    WithoutNonce,
    /// Says this in `DPoP-Nonce`, in one field for each.
    Nonce(Vec<String>),
    /// Says in `DPoP-Nonce` what the proof had.
    RepeatNonce,
    /// Lists these in the challenge's `algs`.
    Algs(String),

    // ---- Proofs
    /// Refuses every proof as `invalid_dpop_proof`.
    RefuseProofs,
    /// Decodes the path before it compares it with `htu`, as Okta does.
    DecodedHtu,
    /// Takes `htu` to be under this origin, as servers behind a proxy do.
    HtuOrigin(String),
    /// Refuses as `invalid_dpop_proof` after so many proofs, as Spring does that remembers a thousand for each key.
    ProofsInAll(u64),

    // ---- Client authentication
    /// Takes client identifier and secret as they stand in `Basic`, not form-decoded.
    RawBasic,
    /// Demands this as the audience of assertions: a token endpoint, say, as older servers do.
    AssertionAudience(String),
    /// Demands this as the `typ` of assertions, or none: `JWT`, as HelseID does.
    AssertionType(Option<String>),
    /// Demands assertions that live so long at the most.
    AssertionLifetime(Duration),

    // ---- Token responses
    /// Binds the token to no key, and says `Bearer`.
    Bearer,
    /// Writes this JSON as the member of that name, in place of what stands there or at the end.
    Member {
        /// The name.
        name: String,
        /// Its value: JSON, or what shall stand there instead.
        json: String,
    },
    /// Writes a member once more, with this JSON.
    SecondMember {
        /// The name.
        name: String,
        /// Its value.
        json: String,
    },
    /// Leaves a member out.
    WithoutMember(String),

    // ---- Heads and bodies
    /// Adds a header field.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Leaves a header field out.
    WithoutHeader(String),
    /// Says another `Content-Type`.
    ContentType(String),
    /// Sends a body of so many bytes; without a number it does not end.
    Giant(Option<u64>),
    /// Sends the body compressed with gzip, which nobody asked for, and so many bytes of white space before it, as a bomb
    /// has them.
    Gzip {
        /// How many.
        bomb: usize,
    },
    /// So many bytes more in the head.
    HugeHead(usize),
    /// So many header fields more.
    ManyFields(usize),
    /// `Content-Length` says so many bytes more than there are, or fewer.
    WrongLength(i64),

    // ---- Time and connections
    /// Never answers.
    Silence,
    /// Never sends the body.
    SilentBody,
    /// Sends one byte after each such pause.
    Drip(Duration),
    /// So many `100 Continue` before the answer.
    Interim(usize),
    /// Closes the connection without an answer.
    CloseInstead,
    /// Closes it in the middle of the body.
    CloseMidway,
    /// Closes it after the answer, and the head does not say so.
    CloseAfter,
}

/// The form of a refusal that RFC 9449 shows as JSON (§8) for the token endpoint and as a challenge (§9) for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeForm {
    /// 400 and JSON, at a resource too.
    Json,
    /// 401 and a challenge, at the token endpoint too.
    Header,
    /// 400 and a challenge, as Okta's API.
    HeaderWith400,
    /// A challenge, and a body that is HTML, as rauthy.
    HeaderAndHtml,
    /// `algs, authorization_uri, realm, scope, error`, as Okta.
    ErrorLast,
    /// Values without quotes, as rauthy.
    Unquoted,
    /// `Bearer` first, in the same field.
    AfterBearer,
    /// A field for each scheme.
    TwoFields,
    /// Odd case, white space around `=`, empty list members, a `token68` beside it.
    OddlySpaced,
    /// The error in a `Bearer` challenge, as esignet. No DPoP challenge is there to be answered.
    UnderBearer,
    /// The code inside another value, as alien-id: `realm="use_dpop_nonce_x"`. Not a challenge for a nonce.
    InsideRealm,
}

/// Those that are told.
#[derive(Default)]
pub(super) struct Quirks(Mutex<Vec<Told>>);

struct Told {
    at: Endpoint,
    when: When,
    quirk: Quirk,
    times: u32,
}

impl Quirks {
    pub(super) fn add(&self, at: Endpoint, when: When, quirk: Quirk) {
        self.lock().push(Told { at, when, quirk, times: 0 });
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Those that take effect on the next answer there.
    pub(super) fn at(&self, endpoint: Endpoint) -> Vec<Quirk> {
        let mut told = self.lock();
        let here = told.iter_mut().filter(|told| told.at == endpoint);
        here.filter_map(|told| {
            told.times = told.times.wrapping_add(1);
            let now = match told.when {
                When::Always => true,
                When::Next(times) => told.times <= times,
                When::Every(times) => told.times.is_multiple_of(times.max(1)),
            };
            now.then(|| told.quirk.clone())
        })
        .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Told>> {
        sync::lock(&self.0)
    }
}

impl fmt::Debug for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|told| &told.quirk)).finish()
    }
}

impl Quirk {
    /// The answer that is given whatever was asked.
    pub(super) fn answer(&self) -> Option<Answer> {
        Some(match self {
            Self::Redirect { status, location } => {
                Answer::new(*status).header("location", location.as_str()).body("moved")
            }
            Self::Refuse { status, retry_after } => {
                let answer = Answer::new(*status);
                match retry_after {
                    Some(seconds) => answer.header("retry-after", seconds.to_string()),
                    None => answer,
                }
            }
            Self::Respond(response) => response.clone().into(),
            Self::Html { status } => Answer::new(*status)
                .header("content-type", "text/html; charset=utf-8")
                .body("<!doctype html><title>Bad gateway</title><p>Try again later."),
            Self::Bytes(bytes) => {
                let mut answer = Answer::new(200);
                answer.delivery.raw = Some(bytes.clone());
                answer
            }
            _ => return None,
        })
    }

    /// What it does to an answer that is ready. `nonce` is what the proof had.
    pub(super) fn edit(&self, answer: &mut Answer, nonce: Option<&str>) {
        let delivery = &mut answer.delivery;
        match self {
            Self::WithoutNonce => answer.remove("dpop-nonce"),
            Self::Nonce(nonces) => {
                answer.remove("dpop-nonce");
                let fields = nonces.iter().map(|nonce| ("dpop-nonce".to_owned(), nonce.clone()));
                answer.headers.extend(fields);
            }
            Self::RepeatNonce => {
                if let Some(nonce) = nonce {
                    answer.remove("dpop-nonce");
                    answer.headers.push(("dpop-nonce".to_owned(), nonce.to_owned()));
                }
            }
            Self::Header { name, value } => answer.headers.push((name.clone(), value.clone())),
            Self::WithoutHeader(name) => answer.remove(name),
            Self::ContentType(value) => {
                answer.remove("content-type");
                answer.headers.push(("content-type".to_owned(), value.clone()));
            }
            // White space, so that JSON that is not bounded would be read to its end.
            Self::Giant(bytes) => answer.body = Payload::Repeated(b' ', *bytes),
            Self::Gzip { bomb } => {
                answer.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
                if let Payload::Bytes(bytes) = &mut answer.body {
                    *bytes = gzip(*bomb, bytes);
                }
            }
            Self::HugeHead(bytes) => delivery.padding = *bytes,
            Self::ManyFields(count) => {
                answer.headers.extend((0..*count).map(|i| (format!("x-field-{i}"), "x".to_owned())));
            }
            Self::WrongLength(surplus) => delivery.surplus = *surplus,
            Self::Silence => delivery.silence = Some(Silence::FromTheStart),
            Self::SilentBody => delivery.silence = Some(Silence::AfterTheHead),
            Self::Drip(pause) => delivery.drip = Some(*pause),
            Self::Interim(count) => delivery.interim = *count,
            Self::CloseInstead => delivery.close = Some(Close::Instead),
            Self::CloseMidway => delivery.close = Some(Close::Midway),
            Self::CloseAfter => delivery.close = Some(Close::After),
            _ => {}
        }
    }
}

fn gzip(bomb: usize, body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let mut left = bomb;
    let spaces = [b' '; 64 * 1024];
    while left > 0 {
        let now = left.min(spaces.len());
        // Writing to memory does not fail.
        let _ = encoder.write_all(spaces.get(..now).unwrap_or_default());
        left = left.saturating_sub(now);
    }
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
