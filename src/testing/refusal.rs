//! The responses with which a test server refuses proofs and tokens.

use serde_json::json;

use super::quirk::{ChallengeForm, Quirk};
use super::request::Request;
use super::response::ServerResponse;
use crate::dpop::header_names::DPOP_NONCE;
use crate::dpop::server_role::ServerRole;
use crate::server::rejection::Rejection;

/// Builds the response of the crate's server half, unless a quirk changes it. `algs` are the algorithms of
/// the test server.
pub(super) fn refusal(request: &Request<'_>, rejection: &Rejection, algs: &str) -> ServerResponse {
    let Some(own_code) = rejection.error().filter(|_| !rejection.is_server_fault()) else {
        return rejection.to_response().into();
    };
    let default = match request.role {
        ServerRole::AuthorizationServer => ChallengeForm::Json,
        // The crate's own response would list the algorithms that it supports, not those of the test server.
        ServerRole::ResourceServer if matches!(own_code, "invalid_dpop_proof" | "use_dpop_nonce") => {
            ChallengeForm::Header
        }
        // No refusal of a proof.
        ServerRole::ResourceServer => return rejection.to_response().into(),
    };
    let build = |(form, code, algs): (ChallengeForm, &str, &str)| {
        let response = in_form(form, code, algs).header("cache-control", "no-store");
        with_nonce(response, rejection.nonce())
    };
    let mut facts = (default, own_code, algs);
    let mut response = build(facts);
    for active in request.quirks.iter() {
        let mut other = facts;
        match &active.quirk {
            Quirk::ChallengeForm(form) => other.0 = *form,
            Quirk::ErrorCode(code) if own_code == "invalid_dpop_proof" => other.1 = code,
            Quirk::Algs(algs) => other.2 = algs,
            _ => continue,
        }
        let changed = build(other);
        if request.quirks.applies(active, !changed.looks_like(&response)) {
            (facts, response) = (other, changed);
        }
    }
    response
}

/// Builds the response of RFC 6749 §5.2.
pub(super) fn oauth_error(status: u16, code: &str) -> ServerResponse {
    ServerResponse::json(status, json!({ "error": code }).to_string())
}

/// Adds `DPoP-Nonce` if there is a nonce.
pub(super) fn with_nonce(response: ServerResponse, nonce: Option<&str>) -> ServerResponse {
    match nonce {
        Some(nonce) => response.header(DPOP_NONCE.as_str(), nonce),
        None => response,
    }
}

fn in_form(form: ChallengeForm, code: &str, algs: &str) -> ServerResponse {
    let with_challenge =
        |status: u16, challenge: &str| ServerResponse::new(status).header("www-authenticate", challenge);
    let unauthorized = |challenge: &str| with_challenge(401, challenge);
    let usual = format!(r#"DPoP error="{code}", algs="{algs}""#);
    match form {
        ChallengeForm::Json => oauth_error(400, code),
        ChallengeForm::Header => unauthorized(&usual),
        ChallengeForm::HeaderWith400 => with_challenge(400, &usual),
        ChallengeForm::HeaderAndHtml => {
            unauthorized(&usual).header("content-type", "text/html").body("<p>Unauthorized</p>")
        }
        ChallengeForm::ErrorLast => unauthorized(&format!(
            r#"DPoP algs="{algs}", authorization_uri="https://example.com/authorize", realm="api", scope="a b", error="{code}""#
        )),
        ChallengeForm::Unquoted => unauthorized(&format!("DPoP error={code}")),
        ChallengeForm::AfterBearer => unauthorized(&format!(r#"Bearer realm="a, DPoP b", {usual}"#)),
        ChallengeForm::TwoFields => unauthorized("Bearer").header("www-authenticate", usual),
        ChallengeForm::OddlySpaced => {
            unauthorized(&format!(",, Negotiate YWJj==,dPoP   ERROR =\t{code} ,,algs=\"{algs}\",\t"))
        }
        ChallengeForm::InsideBearer => unauthorized(&format!(r#"Bearer error="{code}", DPoP algs="{algs}""#)),
        ChallengeForm::InsideRealm => unauthorized(&format!(r#"DPoP realm="{code}_x", algs="{algs}""#)),
    }
}
