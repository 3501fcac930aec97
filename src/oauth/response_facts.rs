//! Reading HTTP responses of authorization servers and protected resources.

use std::borrow::Cow;
use std::time::SystemTime;

use http::header::{AGE, DATE};
use http::{HeaderMap, StatusCode, header};
use zeroize::Zeroizing;

use crate::dpop::header_names::DPOP_NONCE;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::challenge::Challenge;
use crate::oauth::oauth_error::OAuthError;
use crate::text::{is_error_code, is_nonce, without_bom_bytes};

pub(crate) const USE_DPOP_NONCE: &str = "use_dpop_nonce";
pub(crate) const INVALID_DPOP_PROOF: &str = "invalid_dpop_proof";
const INVALID_TOKEN: &str = "invalid_token";

/// The facts of a response that decide what happens next. Each response is read once, into one of these.
///
/// Challenges, `Date` and the media type matter in a refusal only (status 400 or 401), so they are not read
/// in other responses.
pub(crate) struct ResponseFacts<'a> {
    role: ServerRole,
    status: StatusCode,
    /// Whether the body of a refusal may be JSON that names its error.
    has_readable_body: bool,
    /// Whether the body of a refusal broke off, so that the error it names is unknown.
    is_body_lost: bool,
    nonce: NonceUpdate<'a>,
    date: Option<SystemTime>,
    refusal: Refusal,
}

/// The reasons that a response gives for a refusal.
#[derive(Default)]
pub(crate) struct Refusal {
    /// The OAuth error of the JSON body.
    pub(crate) oauth_error: Option<OAuthError>,
    /// The challenges of all `WWW-Authenticate` fields that can be parsed.
    pub(crate) challenges: Vec<Challenge>,
    /// Whether a `WWW-Authenticate` field cannot be parsed.
    pub(crate) has_malformed_challenge: bool,
}

/// What the `DPoP-Nonce` fields of a response say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceUpdate<'a> {
    /// There is no such field.
    Absent,
    /// The nonce to use from now on.
    Nonce(&'a str),
    /// Several fields, or a nonce that no proof can carry. Both are forbidden (RFC 9449 §8, §8.1), so none
    /// is used.
    Invalid,
}

impl<'a> ResponseFacts<'a> {
    /// Reads a response of the token endpoint. The error code is the one of the JSON body (RFC 6749 §5.2);
    /// the DPoP challenges decide only where the body names none.
    pub(crate) fn from_token_endpoint(response: &'a http::Response<Vec<u8>>) -> Self {
        let status = response.status();
        let mut facts = Self::new(ServerRole::AuthorizationServer, status, response.headers());
        facts.refusal.oauth_error = match (is_json(response.headers()), facts.has_readable_body) {
            // Some servers send their errors with the status 200.
            (true, _) if !status.is_redirection() => parse_oauth_error(status, response.body()),
            // Under another media type, the body is read only to recognize a challenge.
            (false, true) => parse_oauth_error(status, response.body())
                .filter(|error| matches!(error.error(), USE_DPOP_NONCE | INVALID_DPOP_PROOF)),
            _ => None,
        };
        facts
    }

    /// Reads a response of a protected resource. The error code is the one of its DPoP challenges (RFC 9449
    /// §7.1); the body decides only where they name none.
    pub(crate) fn from_resource(status: StatusCode, headers: &'a HeaderMap, body: Option<&[u8]>) -> Self {
        let mut facts = Self::new(ServerRole::ResourceServer, status, headers);
        if let Some(body) = body {
            facts.read_body(body);
        }
        facts
    }

    fn new(role: ServerRole, status: StatusCode, headers: &'a HeaderMap) -> Self {
        let mut facts = Self {
            role,
            status,
            has_readable_body: false,
            is_body_lost: false,
            nonce: NonceUpdate::from_headers(headers),
            date: None,
            refusal: Refusal::default(),
        };
        if !facts.is_refusal() {
            return facts;
        }
        facts.has_readable_body = may_be_json(headers);
        // A cached response is as old as it says (RFC 9111 §5.1).
        facts.date = date(headers).filter(|_| !headers.contains_key(AGE));
        for field in headers.get_all(header::WWW_AUTHENTICATE) {
            match Challenge::parse(field.as_bytes()) {
                Ok(mut challenges) => facts.refusal.challenges.append(&mut challenges),
                Err(_) => facts.refusal.has_malformed_challenge = true,
            }
        }
        facts
    }

    /// Adds the body of a resource's response. It matters only in a refusal whose DPoP challenges name no
    /// error, and there whatever its media type is.
    pub(crate) fn read_body(&mut self, body: &[u8]) {
        if self.is_refusal() && self.dpop_error().is_none() {
            self.refusal.oauth_error = parse_oauth_error(self.status, body);
        }
    }

    /// Adds the start of a body that broke off. If it names no error, the error is unknown.
    #[cfg_attr(not(feature = "ureq"), allow(dead_code, reason = "only a session reads from a connection"))]
    pub(crate) fn read_broken_body(&mut self, start: &[u8]) {
        self.read_body(start);
        self.is_body_lost = self.refusal.oauth_error.is_none();
    }

    /// Returns whether the start of the body is to be read, since only it can name the error: the response is
    /// a refusal whose DPoP challenges name none, and its media type is one that servers send JSON with. A
    /// body that is not short is worth waiting for if it may belong to a nonce challenge, or may decide
    /// whether the token is refused.
    #[cfg_attr(not(feature = "ureq"), allow(dead_code, reason = "only a session reads from a connection"))]
    pub(crate) fn needs_body(&self, is_short: bool) -> bool {
        let decides_on_token = self.status == StatusCode::UNAUTHORIZED && self.challenge_error().is_none();
        let is_worth_waiting = is_short || decides_on_token || self.nonce != NonceUpdate::Absent;
        self.is_refusal() && self.has_readable_body && self.dpop_error().is_none() && is_worth_waiting
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns whether the status is one that challenges come with: 401, or 400 as token endpoints and some
    /// resource servers send.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)
    }

    /// Returns the OAuth error code of a refusal, or of a token endpoint's error with a status of success.
    pub(crate) fn error_code(&self) -> Option<&str> {
        let in_body = || self.refusal.oauth_error.as_ref().map(OAuthError::error);
        match self.role {
            ServerRole::AuthorizationServer if self.status.is_success() => in_body(),
            _ if !self.is_refusal() => None,
            ServerRole::AuthorizationServer => in_body().or_else(|| self.dpop_error()),
            ServerRole::ResourceServer => self.dpop_error().or_else(in_body),
        }
    }

    /// Returns the `error` of the DPoP challenges. Among several, one that asks for a nonce takes
    /// precedence.
    pub(crate) fn dpop_error(&self) -> Option<&str> {
        let mut errors = self.challenges("dpop").filter_map(|challenge| challenge.param("error"));
        let first = errors.next()?;
        let asks_for_nonce = |error: &&str| *error == USE_DPOP_NONCE;
        Some(if asks_for_nonce(&first) { first } else { errors.find(asks_for_nonce).unwrap_or(first) })
    }

    /// Returns the `error` of any challenge, whatever its scheme.
    fn challenge_error(&self) -> Option<&str> {
        let mut errors = self.refusal.challenges.iter().filter_map(|challenge| challenge.param("error"));
        self.dpop_error().or_else(|| errors.next())
    }

    /// Returns whether the response is a refusal that names no error, in its challenges or in its body.
    pub(crate) fn names_no_error(&self) -> bool {
        let is_named = self.challenge_error().is_some() || self.refusal.oauth_error.is_some();
        self.is_refusal() && !is_named && !self.is_body_lost
    }

    /// Returns whether a 401 refuses the access token itself: it says `invalid_token` or names no error,
    /// since RFC 6750 §3 makes the code optional. Many servers say so in a `Bearer` challenge, whatever the
    /// type of the token.
    pub(crate) fn refuses_token(&self) -> bool {
        let mut bearer_errors = self.challenges("bearer").filter_map(|challenge| challenge.param("error"));
        let says_so = match (self.challenge_error(), &self.refusal.oauth_error) {
            (Some(error), _) => error == INVALID_TOKEN || bearer_errors.any(|error| error == INVALID_TOKEN),
            (None, Some(error)) => error.error() == INVALID_TOKEN,
            (None, None) => !self.is_body_lost,
        };
        self.status == StatusCode::UNAUTHORIZED && says_so
    }

    /// Returns whether a new nonce is worth a retry: the server asks for one, refuses the proof, or refuses
    /// the request in a way that does not exclude the nonce as the reason.
    pub(crate) fn may_lack_nonce(&self) -> bool {
        let names_proof = matches!(self.error_code(), Some(USE_DPOP_NONCE | INVALID_DPOP_PROOF));
        let is_bare_challenge = || self.names_no_error() && self.challenges("dpop").next().is_some();
        let refuses_token = || self.role == ServerRole::ResourceServer && self.refuses_token();
        names_proof || is_bare_challenge() || refuses_token()
    }

    /// Returns the signature algorithms that the DPoP challenges list (RFC 9449 §7.1).
    pub(crate) fn algs(&self) -> Vec<String> {
        let lists = self.challenges("dpop").filter_map(|challenge| challenge.param("algs"));
        lists.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect()
    }

    pub(crate) fn nonce(&self) -> NonceUpdate<'a> {
        self.nonce
    }

    /// Returns the time at which the server generated a refusal. A response from a cache has none.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        self.date
    }

    pub(crate) fn into_refusal(self) -> Refusal {
        self.refusal
    }

    fn challenges(&self, scheme: &'static str) -> impl Iterator<Item = &Challenge> {
        self.refusal.challenges.iter().filter(move |challenge| challenge.scheme() == scheme)
    }
}

impl<'a> NonceUpdate<'a> {
    pub(crate) fn from_headers(headers: &'a HeaderMap) -> Self {
        let mut fields = headers.get_all(DPOP_NONCE).iter();
        let nonce = match (fields.next(), fields.next()) {
            (None, _) => return Self::Absent,
            (Some(field), None) => field.to_str().ok().filter(|nonce| is_nonce(nonce)),
            _ => None,
        };
        nonce.map_or(Self::Invalid, Self::Nonce)
    }
}

/// Returns the time at which a response was generated (RFC 9110 §6.6.1).
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Requires a response to be a successful JSON document: no redirect, status 200, media type JSON.
///
/// # Errors
/// [`Redirect`](ErrorKind::Redirect), [`Status`](ErrorKind::Status) and [`Content`](ErrorKind::Content),
/// which say what was being done.
pub(crate) fn require_json(
    status: StatusCode,
    headers: &HeaderMap,
    doing: impl Fn() -> String,
) -> Result<(), Error> {
    refuse_redirect(status, &doing)?;
    if status != StatusCode::OK {
        let status = status.as_u16();
        let wrong = format!("the response has status {status}");
        return Err(Error::new(ErrorKind::Status { status }, doing(), wrong));
    }
    require_json_type(status, headers, doing)
}

/// Requires the media type of a response to be JSON.
///
/// # Errors
/// [`Content`](ErrorKind::Content).
pub(crate) fn require_json_type(
    status: StatusCode,
    headers: &HeaderMap,
    doing: impl Fn() -> String,
) -> Result<(), Error> {
    match is_json(headers) {
        true => Ok(()),
        false => {
            let wrong = "the response is not application/json";
            Err(Error::new(ErrorKind::Content { status: status.as_u16() }, doing(), wrong))
        }
    }
}

/// Refuses a redirect: it is never followed with a proof, a token or a client secret.
///
/// # Errors
/// [`Redirect`](ErrorKind::Redirect).
pub(crate) fn refuse_redirect(status: StatusCode, doing: impl Fn() -> String) -> Result<(), Error> {
    if !status.is_redirection() {
        return Ok(());
    }
    let status = status.as_u16();
    let wrong = format!(
        "the response is a redirect (status {status}), and a redirect is never followed with a proof or a secret"
    );
    Err(Error::new(ErrorKind::Redirect { status }, doing(), wrong))
}

/// Returns whether a body may be read as JSON: its media type is JSON or missing, or `text/plain`, as some
/// servers send.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_none_or(|essence| {
        essence == "application/json"
            || essence == "text/plain"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// Returns whether a refusal may have a JSON body although its media type is not JSON. Deployed servers send
/// theirs as `text/html`, `text/javascript` and `application/octet-stream`.
fn may_be_json(headers: &HeaderMap) -> bool {
    media_type(headers)
        .is_none_or(|essence| essence.starts_with("text/") || essence.starts_with("application/"))
}

/// Returns the media type in lower case and without its parameters; `None` if there is no such field.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Returns the OAuth error of a response (RFC 6749 §5.2), if its status and its body are those of one.
pub(crate) fn oauth_error(response: &http::Response<Vec<u8>>) -> Option<OAuthError> {
    let status = response.status();
    let possible = status.is_client_error() || status.is_server_error();
    (possible && is_json(response.headers())).then(|| parse_oauth_error(status, response.body())).flatten()
}

fn parse_oauth_error(status: StatusCode, body: &[u8]) -> Option<OAuthError> {
    let body = without_bom_bytes(body);
    if let Ok(members) = json::parse_object(body) {
        return oauth_error_from(status, &members);
    }
    // A description that no parser accepts must not hide the error code.
    let repaired = with_readable_strings(body);
    oauth_error_from(status, &json::parse_object(repaired.as_bytes()).ok()?)
}

fn oauth_error_from(status: StatusCode, members: &json::Object<'_>) -> Option<OAuthError> {
    let error = members.text("error").filter(|error| is_error_code(error) && error.len() <= 200)?;
    let text = |name: &str| members.text(name).map(str::to_owned);
    Some(OAuthError::new(status.as_u16(), error.to_owned(), text("error_description"), text("error_uri")))
}

/// Replaces what makes a string of a JSON text unreadable: bytes that are not UTF-8 and lone surrogates by
/// U+FFFD, control characters by spaces. The copy is wiped, since the text may contain a secret.
fn with_readable_strings(body: &[u8]) -> Zeroizing<String> {
    let text = match String::from_utf8_lossy(body) {
        Cow::Borrowed(text) => Zeroizing::new(text.to_owned()),
        Cow::Owned(text) => Zeroizing::new(text),
    };
    // Nothing gets longer, so no part of the copy is moved and left behind.
    let mut readable = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let low_follows = || rest.get(6..).and_then(surrogate).is_some_and(|low| low >= 0xdc00);
        let (length, replacement) = match (first, surrogate(rest)) {
            (_, Some(..0xdc00)) if low_follows() => (12, None),
            (_, Some(_)) => (6, Some("\\ufffd")),
            // The character after a backslash begins no escape of its own.
            ('\\', None) => (1 + rest.chars().nth(1).map_or(0, char::len_utf8), None),
            (..' ', None) => (1, Some(" ")),
            (other, None) => (other.len_utf8(), None),
        };
        let (taken, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        readable.push_str(replacement.unwrap_or(taken));
        rest = after;
    }
    readable
}

/// Returns the surrogate that an escape at the start of a text stands for.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    matches!(unit, 0xd800..=0xdfff).then_some(unit)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn resource(status: u16, fields: &[(&'static str, &str)], body: &str) -> Option<String> {
        let headers = headers(fields);
        let status = StatusCode::from_u16(status).unwrap();
        let facts = ResponseFacts::from_resource(status, &headers, Some(body.as_bytes()));
        facts.error_code().map(str::to_owned)
    }

    fn token_endpoint(status: u16, fields: &[(&'static str, &str)], body: &str) -> Option<String> {
        let mut response = http::Response::new(body.as_bytes().to_vec());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        *response.headers_mut() = headers(fields);
        ResponseFacts::from_token_endpoint(&response).error_code().map(str::to_owned)
    }

    #[test]
    fn a_resource_names_its_error_in_the_challenge_first_and_a_token_endpoint_in_the_body() {
        let fields = [("www-authenticate", "DPoP error=\"use_dpop_nonce\"")];
        let body = r#"{"error":"invalid_dpop_proof"}"#;
        for status in [400, 401] {
            assert_eq!(resource(status, &fields, body).as_deref(), Some("use_dpop_nonce"));
            assert_eq!(resource(status, &[], body).as_deref(), Some("invalid_dpop_proof"));
            assert_eq!(token_endpoint(status, &fields, body).as_deref(), Some("invalid_dpop_proof"));
            assert_eq!(token_endpoint(status, &fields, "").as_deref(), Some("use_dpop_nonce"));
        }
        for status in [200, 403, 500] {
            assert_eq!(resource(status, &fields, body), None);
        }
        // A token endpoint may send its error with a status of success, and its challenge may not.
        assert_eq!(token_endpoint(200, &fields, body).as_deref(), Some("invalid_dpop_proof"));
        assert_eq!(token_endpoint(200, &fields, "{}"), None);
        for status in [302, 403, 500] {
            assert_eq!(token_endpoint(status, &fields, body), None);
        }
        assert_eq!(resource(401, &[("www-authenticate", "Bearer error=\"use_dpop_nonce\"")], ""), None);
    }

    #[test]
    fn a_challenge_that_asks_for_a_nonce_takes_precedence_and_malformed_fields_are_skipped() {
        let fields = [
            ("www-authenticate", "DPoP error=\"unterminated"),
            (
                "www-authenticate",
                "DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA\", Basic realm=\"x\"",
            ),
            (
                "www-authenticate",
                "DPoP error=\"use_dpop_nonce\", algs=\"PS256\", Bearer error=\"invalid_token\"",
            ),
        ];
        assert_eq!(resource(401, &fields, "").as_deref(), Some("use_dpop_nonce"));
        assert_eq!(resource(401, &fields[..2], "").as_deref(), Some("invalid_dpop_proof"));
        let all = headers(&fields);
        let facts = ResponseFacts::from_resource(StatusCode::UNAUTHORIZED, &all, None);
        assert_eq!(facts.algs(), ["ES256", "EdDSA", "PS256"]);
        assert!(facts.refuses_token() && !facts.needs_body(true) && facts.refusal.has_malformed_challenge);
        let facts = ResponseFacts::from_resource(StatusCode::BAD_REQUEST, &all, None);
        assert!(!facts.refuses_token(), "a 400 is not about the token");
    }

    #[test]
    fn only_a_refusal_whose_challenges_name_no_error_needs_its_body() {
        let needs_body = |status: u16, fields: &[(&'static str, &str)], is_short| {
            let headers = headers(fields);
            ResponseFacts::from_resource(StatusCode::from_u16(status).unwrap(), &headers, None)
                .needs_body(is_short)
        };
        let nonce = ("dpop-nonce", "n");
        for is_short in [true, false] {
            assert!(needs_body(401, &[], is_short) && needs_body(400, &[nonce], is_short));
            assert!(needs_body(401, &[("content-type", "text/html")], is_short));
            assert!(!needs_body(401, &[("content-type", "image/png")], is_short));
            assert!(!needs_body(403, &[nonce], is_short));
            assert!(!needs_body(401, &[nonce, ("www-authenticate", "DPoP error=invalid_token")], is_short));
            // Only a nonce challenge or the refusal of a token is worth waiting for.
            let bearer = ("www-authenticate", "Bearer error=invalid_token");
            assert_eq!(needs_body(400, &[("www-authenticate", "DPoP algs=ES256")], is_short), is_short);
            assert_eq!(needs_body(401, &[bearer], is_short), is_short);
            assert!(needs_body(401, &[bearer, nonce], is_short));
        }
    }

    /// RFC 6750 §3 makes the error code optional: a 401 without one may be about the token.
    #[test]
    fn a_401_refuses_the_token_if_it_says_so_or_names_no_error() {
        let refuses = |status: u16, field: &str, body: &str| {
            let fields = [("www-authenticate", field)];
            let headers = headers(if field.is_empty() { &[] } else { &fields });
            let status = StatusCode::from_u16(status).unwrap();
            ResponseFacts::from_resource(status, &headers, Some(body.as_bytes())).refuses_token()
        };
        for field in ["", "DPoP", "DPoP algs=ES256", "Bearer scope=\"openid webid\"", "Token", "DPoP a=\""] {
            assert!(
                refuses(401, field, "") && refuses(401, field, "<p>") && !refuses(400, field, ""),
                "{field}"
            );
            assert!(refuses(401, field, r#"{"error":"invalid_token"}"#), "{field}");
            assert!(!refuses(401, field, r#"{"error":"insufficient_scope"}"#), "{field}");
        }
        // The header comes first, whatever the body says.
        assert!(refuses(401, "Bearer error=invalid_token", r#"{"error":"insufficient_scope"}"#));
        for field in ["DPoP error=insufficient_scope", "Bearer error=use_dpop_nonce", "Other error=x"] {
            assert!(!refuses(401, field, r#"{"error":"invalid_token"}"#), "{field}");
        }
        // The error of a body that broke off is unknown, unless the start names it.
        let headers = HeaderMap::new();
        for (start, expected) in [("", false), (r#"{"err"#, false), (r#"{"error":"invalid_token"}"#, true)] {
            let mut facts = ResponseFacts::from_resource(StatusCode::UNAUTHORIZED, &headers, None);
            facts.read_broken_body(start.as_bytes());
            assert_eq!((facts.refuses_token(), facts.names_no_error()), (expected, false), "{start}");
        }
    }

    /// U+FFFD is what RFC 3629 decoders put in place of what they cannot read.
    #[test]
    fn a_description_that_cannot_be_read_hides_no_error_code() {
        let error = |body: &[u8]| parse_oauth_error(StatusCode::BAD_REQUEST, body);
        for (description, read) in [
            (&b"caf\xe9"[..], "caf\u{fffd}"),
            (br"\ud83d", "\u{fffd}"),
            (br"\uDC00x", "\u{fffd}x"),
            (br"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (br"\ud83d\u0041", "\u{fffd}A"),
            (br"\\ud83d \ud800", "\\ud83d \u{fffd}"),
            (b"two\nlines\0", "two lines "),
        ] {
            let body =
                [br#"{"error_description":""#, description, br#"","error":"invalid_client"}"#].concat();
            let error = error(&body).unwrap();
            assert_eq!((error.error(), error.raw_error_description()), ("invalid_client", Some(read)));
        }
        // The text is otherwise as strict as before.
        let bad: [&[u8]; 4] = [
            b"{\"error\":\"a\xff\"}",
            b"{\"error\":\"a\",\"error\":\"b\xff\"}",
            b"{\"error\":\"a\"",
            b"\xff\xfe{",
        ];
        for body in bad {
            assert_eq!(error(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn takes_exactly_one_valid_nonce() {
        let nonces: [&[(&'static str, &str)]; 5] = [
            &[],
            &[("dpop-nonce", "n-1")],
            &[("dpop-nonce", "n-1"), ("dpop-nonce", "n-2")],
            &[("dpop-nonce", "")],
            &[("dpop-nonce", "a b")],
        ];
        let updates = nonces.map(headers);
        assert_eq!(
            updates.each_ref().map(NonceUpdate::from_headers),
            [
                NonceUpdate::Absent,
                NonceUpdate::Nonce("n-1"),
                NonceUpdate::Invalid,
                NonceUpdate::Invalid,
                NonceUpdate::Invalid
            ]
        );
    }

    #[test]
    fn a_cached_or_malformed_date_is_none() {
        let date_of = |fields: &[(&'static str, &str)]| {
            let headers = headers(fields);
            ResponseFacts::from_resource(StatusCode::UNAUTHORIZED, &headers, None).date()
        };
        let date = ("date", "Sun, 09 Sep 2001 01:46:40 GMT");
        assert_eq!(date_of(&[date]), Some(UNIX_EPOCH + Duration::from_secs(1_000_000_000)));
        assert_eq!(date_of(&[date, ("age", "3")]), None);
        for malformed in ["", "yesterday", "-1", "1e400"] {
            assert_eq!(date_of(&[("date", malformed)]), None, "{malformed}");
        }
        assert_eq!(date_of(&[]), None);
    }
}
