//! Reading HTTP responses of authorization servers and protected resources.

use std::time::SystemTime;

use http::header::{AGE, DATE};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::dpop::header_names::DPOP_NONCE;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::challenge::Challenge;
use crate::oauth::oauth_error::OAuthError;
use crate::text::{is_error_code, is_nonce};

/// The facts of a response that decide what happens next. Each response is read once, into one of these.
///
/// Challenges, `Date` and the media type matter in a refusal only (status 400 or 401), so they are not read
/// in other responses.
pub(crate) struct ResponseFacts<'a> {
    role: ServerRole,
    status: StatusCode,
    is_json: bool,
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
        let mut facts = Self::new(ServerRole::AuthorizationServer, response.status(), response.headers());
        facts.refusal.oauth_error = oauth_error(response);
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
        let nonce = NonceUpdate::from_headers(headers);
        let mut facts = Self { role, status, is_json: false, nonce, date: None, refusal: Refusal::default() };
        if !facts.is_refusal() {
            return facts;
        }
        facts.is_json = is_json(headers);
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

    /// Adds the body of a resource's response. It is read only where [`needs_body`](Self::needs_body) would
    /// ask for it, whatever its media type.
    pub(crate) fn read_body(&mut self, body: &[u8]) {
        if self.is_refusal() && self.dpop_error().is_none() {
            self.refusal.oauth_error = parse_oauth_error(self.status, body);
        }
    }

    /// Returns whether only the body can name the error: the response is a refusal whose DPoP challenges
    /// name none, and its media type is JSON.
    #[cfg(any(feature = "ureq", test))]
    pub(crate) fn needs_body(&self) -> bool {
        self.is_refusal() && self.is_json && self.dpop_error().is_none()
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns whether the status is one that challenges come with: 401, or 400 as token endpoints and some
    /// resource servers send.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)
    }

    /// Returns the OAuth error code of a refusal.
    pub(crate) fn error_code(&self) -> Option<&str> {
        if !self.is_refusal() {
            return None;
        }
        let in_body = || self.refusal.oauth_error.as_ref().map(OAuthError::error);
        match self.role {
            ServerRole::AuthorizationServer => in_body().or_else(|| self.dpop_error()),
            ServerRole::ResourceServer => self.dpop_error().or_else(in_body),
        }
    }

    /// Returns the `error` of the DPoP challenges. Among several, one that asks for a nonce takes
    /// precedence.
    pub(crate) fn dpop_error(&self) -> Option<&str> {
        let mut errors = self.challenges("dpop").filter_map(|challenge| challenge.param("error"));
        let first = errors.next()?;
        let asks_for_nonce = |error: &&str| *error == "use_dpop_nonce";
        Some(if asks_for_nonce(&first) { first } else { errors.find(asks_for_nonce).unwrap_or(first) })
    }

    /// Returns whether the resource refuses the access token itself: status 401 and `invalid_token`. Many
    /// servers say so in a `Bearer` challenge, whatever the type of the token.
    pub(crate) fn refuses_token(&self) -> bool {
        let mut challenges = self.challenges("dpop").chain(self.challenges("bearer"));
        self.status == StatusCode::UNAUTHORIZED
            && challenges.any(|challenge| challenge.param("error") == Some("invalid_token"))
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
    let status = status.as_u16();
    if status != 200 {
        let wrong = format!("the response has status {status}");
        return Err(Error::new(ErrorKind::Status { status }, doing(), wrong));
    }
    match is_json(headers) {
        true => Ok(()),
        false => {
            let wrong = "the response is not application/json";
            Err(Error::new(ErrorKind::Content { status }, doing(), wrong))
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
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || essence == "text/plain"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Returns the OAuth error of a response (RFC 6749 §5.2), if its status and its body are those of one.
pub(crate) fn oauth_error(response: &http::Response<Vec<u8>>) -> Option<OAuthError> {
    let status = response.status();
    let possible = status.is_client_error() || status.is_server_error();
    (possible && is_json(response.headers())).then(|| parse_oauth_error(status, response.body())).flatten()
}

fn parse_oauth_error(status: StatusCode, body: &[u8]) -> Option<OAuthError> {
    let mut members = json::parse_members(body).ok()?;
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let error = text("error")?;
    if !is_error_code(&error) || error.len() > 200 {
        return None;
    }
    Some(OAuthError::new(status.as_u16(), error, text("error_description"), text("error_uri")))
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
        assert!(facts.refuses_token() && !facts.needs_body() && facts.refusal.has_malformed_challenge);
        let facts = ResponseFacts::from_resource(StatusCode::BAD_REQUEST, &all, None);
        assert!(!facts.refuses_token(), "a 400 is not about the token");
    }

    #[test]
    fn only_a_refusal_in_json_whose_challenges_name_no_error_needs_its_body() {
        let needs_body = |status: u16, fields: &[(&'static str, &str)]| {
            let headers = headers(fields);
            ResponseFacts::from_resource(StatusCode::from_u16(status).unwrap(), &headers, None).needs_body()
        };
        assert!(needs_body(401, &[]) && needs_body(400, &[("www-authenticate", "DPoP algs=\"ES256\"")]));
        assert!(!needs_body(403, &[]) && !needs_body(401, &[("content-type", "text/html")]));
        assert!(!needs_body(401, &[("www-authenticate", "DPoP error=\"invalid_token\"")]));
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
