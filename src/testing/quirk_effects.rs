//! What quirks do to a whole response. Quirks of proofs, client authentication and token responses take
//! effect where those are handled.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::quirk::Quirk;
use super::response::{Close, ResponseBody, ServerResponse, Stall};
use crate::dpop::header_names::DPOP_NONCE;

/// Returns the response of a quirk that replaces the correct one.
pub(super) fn replacement(quirk: &Quirk) -> Option<ServerResponse> {
    Some(match quirk {
        Quirk::Redirect { status, location } => {
            ServerResponse::new(*status).header("location", location.as_str()).body("moved")
        }
        Quirk::Refuse { status, retry_after } => {
            let response = ServerResponse::new(*status);
            match retry_after {
                Some(seconds) => response.header("retry-after", seconds.to_string()),
                None => response,
            }
        }
        Quirk::Respond(response) => response.clone().into(),
        Quirk::Html { status } => ServerResponse::new(*status)
            .header("content-type", "text/html; charset=utf-8")
            .body("<!doctype html><title>Bad gateway</title><p>Try again later."),
        Quirk::RawBytes(bytes) => {
            let mut response = ServerResponse::new(200);
            response.delivery.raw_bytes = Some(bytes.clone());
            response
        }
        _ => return None,
    })
}

/// Changes a finished response. `proof_nonce` is the nonce of the proof in the request.
pub(super) fn apply(quirk: &Quirk, response: &mut ServerResponse, proof_nonce: Option<&str>) {
    let nonce_field = |nonce: &str| (DPOP_NONCE.to_string(), nonce.to_owned());
    let delivery = &mut response.delivery;
    match quirk {
        Quirk::WithoutNonce => response.remove_header(DPOP_NONCE.as_str()),
        Quirk::Nonce(nonces) => {
            response.remove_header(DPOP_NONCE.as_str());
            response.headers.extend(nonces.iter().map(|nonce| nonce_field(nonce)));
        }
        Quirk::RepeatNonce => {
            if let Some(nonce) = proof_nonce {
                response.remove_header(DPOP_NONCE.as_str());
                response.headers.push(nonce_field(nonce));
            }
        }
        Quirk::Header { name, value } => response.headers.push((name.clone(), value.clone())),
        Quirk::WithoutHeader(name) => response.remove_header(name),
        Quirk::ContentType(value) => {
            response.remove_header("content-type");
            response.headers.push(("content-type".to_owned(), value.clone()));
        }
        // A JSON parser without a limit reads white space to its end.
        Quirk::LargeBody(length) => response.body = ResponseBody::Repeated { byte: b' ', length: *length },
        Quirk::Gzip { padding } => {
            response.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
            if let ResponseBody::Bytes(bytes) = &mut response.body {
                *bytes = gzip(*padding, bytes);
            }
        }
        Quirk::HugeHead(bytes) => delivery.head_padding = *bytes,
        Quirk::ManyFields(count) => {
            response.headers.extend((0..*count).map(|i| (format!("x-field-{i}"), "x".to_owned())));
        }
        Quirk::WrongLength(difference) => delivery.content_length_error = *difference,
        Quirk::Silence => delivery.stall = Some(Stall::BeforeHead),
        Quirk::SilentBody => delivery.stall = Some(Stall::AfterHead),
        Quirk::Drip(pause) => delivery.pause_per_byte = Some(*pause),
        Quirk::InterimResponses(count) => delivery.interim_responses = *count,
        Quirk::CloseWithoutResponse => delivery.close = Some(Close::WithoutResponse),
        Quirk::CloseMidway => delivery.close = Some(Close::Midway),
        Quirk::CloseAfterResponse => delivery.close = Some(Close::AfterResponse),
        _ => {}
    }
}

/// Compresses `padding` bytes of white space and `body`.
fn gzip(padding: usize, body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = [b' '; 64 * 1024];
    let mut left = padding;
    while left > 0 {
        let count = left.min(spaces.len());
        // Writing to memory does not fail.
        let _ = encoder.write_all(spaces.get(..count).unwrap_or_default());
        left = left.saturating_sub(count);
    }
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
