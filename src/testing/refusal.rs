//! The responses with which a test server refuses proofs and tokens.

use serde_json::json;

use super::quirk::{ChallengeForm, Quirk};
use super::request::Request;
use super::resource_metadata;
use super::response::ServerResponse;
use crate::dpop::header_names::DPOP_NONCE;
use crate::dpop::server_role::ServerRole;
use crate::server::rejection::Rejection;

/// What quirks can change of a refusal.
#[derive(Clone)]
struct Facts<'a> {
    /// Form and error code, where a proof is refused. Other refusals are those of the crate's server half.
    proof: Option<(ChallengeForm, &'a str)>,
    algs: &'a str,
    /// The metadata of the resource (RFC 9728 §5.1).
    resource_metadata: Option<String>,
}

/// Builds the response of the crate's server half, unless a quirk changes it. `algs` are the algorithms of
/// the test server.
pub(super) fn refusal(request: &Request<'_>, rejection: &Rejection, algs: &str) -> ServerResponse {
    let own_code = rejection.error().filter(|_| !rejection.is_server_fault());
    let (proof, resource_metadata) = match request.role {
        ServerRole::AuthorizationServer => (own_code.map(|code| (ChallengeForm::Json, code)), None),
        // The crate's own response would list the algorithms that it supports, not those of the test server.
        ServerRole::ResourceServer => {
            let is_of_proof = |code: &&str| matches!(*code, "invalid_dpop_proof" | "use_dpop_nonce");
            let proof = own_code.filter(is_of_proof).map(|code| (ChallengeForm::Header, code));
            (proof, Some(resource_metadata::url(request)))
        }
    };
    let mut facts = Facts { proof, algs, resource_metadata };
    let mut response = build(&facts, rejection);
    for active in request.quirks.iter() {
        let mut other = facts.clone();
        match (&active.quirk, &mut other.proof) {
            (Quirk::ChallengeForm(form), Some((known, _))) => *known = *form,
            (Quirk::ErrorCode(code), Some((_, known))) if own_code == Some("invalid_dpop_proof") => {
                *known = code
            }
            (Quirk::Algs(algs), Some(_)) => other.algs = algs,
            (Quirk::ResourceMetadata(url), _) if request.role == ServerRole::ResourceServer => {
                other.resource_metadata.clone_from(url);
            }
            _ => continue,
        }
        let changed = build(&other, rejection);
        if request.quirks.applies(active, !changed.looks_like(&response)) {
            (facts, response) = (other, changed);
        }
    }
    response
}

fn build(facts: &Facts<'_>, rejection: &Rejection) -> ServerResponse {
    let Some((form, code)) = facts.proof else {
        let mut response = ServerResponse::from(rejection.to_response());
        let challenges = response.headers.iter_mut().filter(|(name, _)| name == "www-authenticate");
        if let Some(url) = &facts.resource_metadata {
            challenges.for_each(|(_, challenge)| {
                // A scheme alone has no parameter to separate from.
                let separator = if challenge.contains('=') { "," } else { "" };
                challenge.push_str(&format!(r#"{separator} resource_metadata="{url}""#));
            });
        }
        return response;
    };
    let response = in_form(form, code, facts).header("cache-control", "no-store");
    with_nonce(response, rejection.nonce())
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

fn in_form(form: ChallengeForm, code: &str, facts: &Facts<'_>) -> ServerResponse {
    let algs = facts.algs;
    let with_challenge =
        |status: u16, challenge: &str| ServerResponse::new(status).header("www-authenticate", challenge);
    let unauthorized = |challenge: &str| with_challenge(401, challenge);
    let metadata = facts.resource_metadata.as_ref();
    let metadata = metadata.map(|url| format!(r#", resource_metadata="{url}""#)).unwrap_or_default();
    let usual = format!(r#"DPoP error="{code}", algs="{algs}"{metadata}"#);
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
