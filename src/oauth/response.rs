//! How responses of an authorization server are read.

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::oauth_error::OAuthError;
use crate::text::is_error_code;

/// The statuses that challenges come with: 401, and 400 from token endpoints and some resource servers.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)
}

pub(crate) fn refuse_redirect(status: StatusCode, doing: String) -> Result<(), Error> {
    if !status.is_redirection() {
        return Ok(());
    }
    let wrong = format!(
        "the server answered with the redirect {}, and a redirect is never followed with a proof or a secret",
        status.as_u16()
    );
    Err(Error::new(ErrorKind::Redirect { status: status.as_u16() }, doing, wrong))
}

/// Whether a body may be read as JSON: said to be, or nothing said, or only said to be text as some servers do.
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

/// The OAuth error of a response (RFC 6749 §5.2), if its status and its body are those of one.
pub(crate) fn oauth_error(response: &http::Response<Vec<u8>>) -> Option<OAuthError> {
    let status = response.status();
    let possible = status.is_client_error() || status.is_server_error();
    (possible && is_json(response.headers())).then(|| parse_oauth_error(status, response.body())).flatten()
}

pub(crate) fn parse_oauth_error(status: StatusCode, body: &[u8]) -> Option<OAuthError> {
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
