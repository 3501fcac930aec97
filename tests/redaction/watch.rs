//! Everything that was shown, everything that must not be in it, and the search.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::sync::Arc;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
#[cfg(feature = "testing")]
use possession::testing::TestServer;
use possession::*;

use crate::capture::{self, Record};

// No two of these share twelve bytes, so the one that leaked can be identified, and a query is not part of
// another secret.
pub const SECRET: &str = "canary-secret-8f14e45fceea167a5a36dedd4bea2543c9f0f895fb98ab9159f51fd0297e236d";
pub const REFRESH_TOKEN: &str = "refresh-canary-45c48cce2e2d7fbdea1afc51c7c6ad26";
pub const ACCESS_TOKEN: &str = "access-canary-d3d9446802a44259755d38e6d163e820";
pub const PARAMETER: &str = "parameter-canary-6512bd43d9caa6e02c990b0a82652dca";
pub const QUERY: &str = "query-canary-c20ad4d76fe97759aa27a0c99bff6710";
pub const BODY: &str = "body-canary-c51ce410c124a10e0db5e4b97fc2af39";
pub const PASSWORD: &str = "password-canary-70efdf2ec9b086079795c442636b55fb";

/// The number of bytes by which a secret is recognized.
const PIECE: usize = 12;

/// The forms in which a piece of a secret would be readable: pieces at its start, in its middle and at its
/// end, as text, in hexadecimal, as `Debug` shows slices, and in base64 at each of the three positions of
/// an encoder.
fn forms(secret: &[u8]) -> HashSet<String> {
    let starts = [0, (secret.len() - PIECE) / 2, secret.len() - PIECE];
    let piece_forms = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
        let hex_list = format!("{bytes:02x?}").trim_matches(['[', ']']).to_owned();
        let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
        // Nine bytes at an offset divisible by three give twelve characters that depend on no other byte.
        let base64 = (0..3).flat_map(|skip| {
            [
                Base64::encode_string(&bytes[skip..skip + 9]),
                Base64UrlUnpadded::encode_string(&bytes[skip..skip + 9]),
            ]
        });
        text.into_iter().chain([hex.to_uppercase(), hex, list, hex_list]).chain(base64).collect::<Vec<_>>()
    };
    starts.into_iter().flat_map(|start| piece_forms(&secret[start..start + PIECE])).collect()
}

/// The forms of many secrets, by the twelve bytes that each form begins with, so that a text is searched
/// for all at once.
struct Forms(HashMap<Vec<u8>, Vec<String>>);

impl Forms {
    fn new<'a>(secrets: impl Iterator<Item = &'a Vec<u8>>) -> Self {
        let mut by_start = HashMap::<_, Vec<_>>::new();
        for form in secrets.flat_map(|secret| forms(secret)) {
            by_start.entry(form.as_bytes()[..PIECE].to_vec()).or_default().push(form);
        }
        Self(by_start)
    }

    fn occur_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        bytes.windows(PIECE).enumerate().any(|(at, window)| {
            let forms = self.0.get(window);
            forms.is_some_and(|forms| forms.iter().any(|form| bytes[at..].starts_with(form.as_bytes())))
        })
    }
}

/// What was shown, and what must not be in it.
#[derive(Default)]
pub struct Watch {
    shown: Vec<String>,
    secrets: Vec<Vec<u8>>,
    /// Secret in what this crate shows. Other crates may log the URLs they are given, with the query.
    secrets_of_urls: Vec<Vec<u8>>,
}

impl Watch {
    /// Watches the secrets that every test uses.
    pub fn new() -> Self {
        let mut watch = Self::empty();
        for secret in [SECRET, REFRESH_TOKEN, ACCESS_TOKEN, PARAMETER, BODY, PASSWORD] {
            watch.secret(secret);
        }
        watch.secrets_of_urls.push(QUERY.into());
        watch
    }

    /// Watches nothing yet.
    pub fn empty() -> Self {
        capture::start();
        Self::default()
    }

    pub fn secret(&mut self, secret: impl AsRef<[u8]>) {
        assert!(secret.as_ref().len() >= PIECE, "too short to be recognized");
        self.secrets.push(secret.as_ref().to_vec());
    }

    /// A JWT begins with its header, which is not secret. Its claims and its signature are.
    pub fn credential(&mut self, text: &str) {
        match text.split('.').collect::<Vec<_>>()[..] {
            [_, claims, signature] => [claims, signature].into_iter().for_each(|part| self.secret(part)),
            _ => self.secret(text),
        }
    }

    /// The private parts of a key: its scalar in both encodings, and the lines of its PEM.
    pub fn key(&mut self, key: &KeyPair) {
        let jwk: serde_json::Value = serde_json::from_str(&key.to_jwk()).unwrap();
        let d = jwk["d"].as_str().unwrap();
        self.secret(d);
        self.secret(Base64UrlUnpadded::decode_vec(d).unwrap());
        for line in key.to_pkcs8_pem().unwrap().lines().filter(|line| !line.starts_with('-')) {
            // The first line begins, and the last may end, with what is not secret. The private bytes are
            // at the ends.
            self.secret(line.get(line.len().saturating_sub(16)..).unwrap());
        }
        self.show(key);
        self.show_both(key.to_public().thumbprint());
    }

    pub fn new_key(&mut self, algorithm: Algorithm) -> KeyPair {
        let key = KeyPair::generate(algorithm).unwrap();
        self.key(&key);
        key
    }

    pub fn show(&mut self, value: impl Debug) {
        self.shown.extend([format!("{value:?}"), format!("{value:#?}")]);
    }

    pub fn show_both(&mut self, value: impl Debug + Display) {
        self.shown.extend([value.to_string(), format!("{value:#}")]);
        self.show(value);
    }

    /// An error with all its sources. An error that ureq wraps is not a source of it.
    pub fn show_error(&mut self, error: &(dyn StdError + 'static)) {
        self.show_both(error);
        #[cfg(feature = "ureq")]
        if let Some(ureq::Error::Other(inner)) = error.downcast_ref() {
            self.show_error(&**inner);
        }
        if let Some(source) = error.source() {
            self.show_error(source);
        }
    }

    pub fn show_result<T: Debug, E: StdError + 'static>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                self.show(&value);
                Some(value)
            }
            Err(error) => {
                self.show_error(&error);
                None
            }
        }
    }

    #[cfg(feature = "ureq")]
    pub fn show_token(&mut self, session: &Session) {
        let Some(token) = self.show_result(session.access_token()) else { return };
        self.secret(token.access_token());
        self.show(token.scope());
    }

    /// Watches all credentials that the server received. Returns how many, so that a test knows that there
    /// were some.
    #[cfg(feature = "testing")]
    pub fn sent(&mut self, server: &TestServer) -> usize {
        let before = self.secrets.len();
        for received in server.received() {
            for field in received.header_values("authorization") {
                self.credential(field.split_once(' ').unwrap().1);
            }
            received.header_values("dpop").into_iter().for_each(|proof| self.credential(proof));
            received.form_field("client_assertion").iter().for_each(|assertion| self.credential(assertion));
        }
        self.secrets.len() - before
    }

    /// The same for a server that writes what a test tells it to.
    #[cfg(feature = "ureq")]
    pub fn sent_to(&mut self, peer: &crate::common::Peer) {
        for seen in peer.seen() {
            let form = crate::common::form(&seen.body);
            for field in seen.header_values("authorization") {
                self.credential(field.split_once(' ').unwrap().1);
            }
            seen.header_values("dpop").into_iter().for_each(|proof| self.credential(proof));
            let assertions = crate::common::values(&form, "client_assertion");
            assertions.into_iter().for_each(|assertion| self.credential(assertion));
        }
    }

    /// How many secrets are watched and how many texts were shown, so that a test knows that there was
    /// something to see.
    pub fn counts(&self) -> (usize, usize) {
        (self.secrets.len(), self.shown.len())
    }

    /// Whether a form of a secret is in the text.
    pub fn is_in(&self, text: &str) -> bool {
        Forms::new(self.secrets.iter().chain(&self.secrets_of_urls)).occur_in(text)
    }

    /// The texts, shown or logged, that contain a form of a secret.
    pub fn leaks(&self, records: &[Arc<Record>]) -> Vec<String> {
        let everywhere = Forms::new(self.secrets.iter());
        let here = Forms::new(self.secrets.iter().chain(&self.secrets_of_urls));
        let records =
            records.iter().map(|record| (record.is_ours(), format!("{}: {}", record.target, record.text)));
        // Most texts occur many times.
        let texts: HashSet<_> = self.shown.iter().map(|text| (true, text.clone())).chain(records).collect();
        let is_leak = |ours: bool, text: &str| if ours { &here } else { &everywhere }.occur_in(text);
        texts.into_iter().filter(|(ours, text)| is_leak(*ours, text)).map(|(_, text)| text).collect()
    }

    /// Checks that nothing leaked, in any thread; and that this test has seen each of `expected`, in a
    /// record of the crate in its own thread or in what it showed.
    pub fn check(&self, expected: &[&str]) {
        let leaks = self.leaks(&capture::records());
        assert!(leaks.is_empty(), "{} {}:\n{}", capture::REPORT, leaks.len(), leaks.join("\n"));
        let records = capture::records_of_this_thread();
        let logged = || records.iter().filter(|record| record.is_ours()).map(|record| &record.text);
        for text in expected {
            let seen = logged().chain(&self.shown).any(|shown| shown.contains(text));
            assert!(seen, "no record and no shown value contains {text:?}");
        }
    }
}
