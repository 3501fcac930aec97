//! The protected resource (RFC 9449 §7): every path, for every valid access token.

use http::header;
use serde_json::json;

use super::connection::IncomingRequest;
use super::received::Received;
use super::refusal::with_nonce;
use super::request::Request;
use super::response::{ResponseBody, ServerResponse};
use super::state::State;
use crate::server::Authenticated;
use crate::server::rejection::Rejection;

/// Bodies up to this length are held in memory, so that every quirk can change them.
const MAX_BUFFERED: u64 = 1024 * 1024;

/// Responds to a request and reads its body into `received`.
pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    incoming: &mut IncomingRequest<'_>,
    received: &mut Received,
) -> Result<ServerResponse, Rejection> {
    let caller = state.proofs.authenticate(request, &state.tokens);
    // A client that waits for `100 Continue` is refused before it sends the body.
    if caller.is_ok() || !request.parts.headers.contains_key(header::EXPECT) {
        received.body = incoming.read_body().unwrap_or_default();
    }
    let caller = caller?;
    let path = request.parts.uri.path();
    let response = match (state.scripts.respond(path, received), path.strip_prefix("/bytes/").map(str::parse))
    {
        (Some(scripted), _) => scripted,
        (None, Some(Ok(length))) => bytes(length),
        (None, _) => echo(request, received, &caller),
    };
    Ok(with_nonce(response, caller.proof().and_then(|proof| proof.next_nonce())))
}

fn bytes(length: u64) -> ServerResponse {
    let mut response = ServerResponse::new(200).header("content-type", "application/octet-stream");
    response.body = match usize::try_from(length) {
        Ok(buffered) if length <= MAX_BUFFERED => ResponseBody::Bytes(vec![b'x'; buffered]),
        _ => ResponseBody::Repeated { byte: b'x', length: Some(length) },
    };
    response
}

/// Describes the request as JSON.
fn echo(request: &Request<'_>, received: &Received, caller: &Authenticated) -> ServerResponse {
    let echo = json!({
        "method": request.parts.method.as_str(),
        "target": received.target,
        "bytes": received.body.len(),
        "scope": caller.token().claim("scope"),
        "jkt": caller.thumbprint().map(|jkt| jkt.to_string()),
    });
    ServerResponse::json(200, echo.to_string())
}
