//! Cases for every server that verifies proofs.

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use possession::{Algorithm, RequestBody, Signer};

use super::case::{Case, Defect, Endpoints, Level, Need, Property, Seen};
use super::changed_url::UrlParts;
use super::defects;
use super::prober::Prober;
use super::runner::Probe;
use crate::failure::Failure;
use crate::secrets::texts;

/// A page in a browser, of another origin than the server.
const PAGE: HeaderValue = HeaderValue::from_static("https://page.example");

const NO_NONCES: &str = "the server does not use nonces";

/// Returns the changes of a proof that this endpoint can be tested with.
pub fn changed_proofs<P: Probe>(endpoint: Endpoints) -> impl Iterator<Item = Case<P>> {
    let is_useful = move |defect: &Defect| defect.at == Endpoints::Both || defect.at == endpoint;
    defects::all().into_iter().filter(is_useful).map(Case::from)
}

pub fn requests<P: Probe>() -> Vec<Case<P>> {
    vec![
        Case::refuse(
            "two-fields",
            "RFC 9449 §4.3 check 1",
            Level::Must,
            "two DPoP fields with a correct proof each",
            |own, prober| {
                let make = |own: &P| Ok(vec![own.correct_proof()?, own.correct_proof()?]);
                let response = own.send_with_nonce(prober, &make)?;
                Ok(own.seen(&response))
            },
        ),
        Case::refuse("replay", "RFC 9449 §11.1", Level::Should, "the same proof twice", |own, prober| {
            own.replay(prober, &|own, prober, proof| own.send(prober, &[proof]))
        }),
        Case::refuse(
            "replay-jti",
            "RFC 9449 §11.1",
            Level::Should,
            "a second proof with the same jti",
            |own, prober| {
                own.replay(prober, &|own, prober, proof| {
                    let first = crate::jwt::Decoded::read(&proof).and_then(|decoded| decoded.claims.ok());
                    let jti = first.and_then(|claims| claims.get("jti").cloned()).unwrap_or_default();
                    let second = own.proof(&|proof, target| {
                        proof.set_claim("jti", jti.clone());
                        proof.set_claim("iat", target.now.saturating_sub(2));
                    })?;
                    own.send(prober, &[second])
                })
            },
        ),
    ]
}

pub fn nonces<P: Probe>() -> Vec<Case<P>> {
    let nonce = |id, source, level, title, run| Case::property(id, source, level, title, run);
    vec![
        nonce(
            "nonce-one-field",
            "RFC 9449 §8",
            Level::Must,
            "one DPoP-Nonce in a response",
            |_: &mut P, prober| {
                Ok(nonces_of(prober).map_or_else(no_nonces, |nonces| {
                    holds(nonces.len() == 1, || format!("there are {}", nonces.len()))
                }))
            },
        ),
        nonce(
            "nonce-syntax",
            "RFC 9449 §8.1",
            Level::Must,
            "nonces of the characters that RFC 9449 allows",
            |_, prober| {
                let is_allowed = |c: u8| matches!(c, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                Ok(nonces_of(prober).map_or_else(no_nonces, |nonces| {
                    let wrong =
                        nonces.iter().find(|nonce| nonce.is_empty() || !nonce.bytes().all(is_allowed));
                    holds(wrong.is_none(), || format!("the nonce is {}", wrong.cloned().unwrap_or_default()))
                }))
            },
        ),
        nonce(
            "nonce-no-store",
            "RFC 9449 §8.2",
            Level::Should,
            "Cache-Control: no-store in a response with a nonce",
            |_, prober| {
                Ok(prober.response_with_nonce().map_or_else(no_nonces, |headers| {
                    holds(is_uncacheable(&headers), || cache_control(&headers))
                }))
            },
        ),
    ]
}

/// Returns the nonces of the last response that had one.
fn nonces_of(prober: &Prober) -> Option<Vec<String>> {
    Some(texts(&prober.response_with_nonce()?, "dpop-nonce"))
}

fn no_nonces() -> Property {
    Property::NotTested(NO_NONCES.to_owned())
}

pub fn holds(is_right: bool, instead: impl FnOnce() -> String) -> Property {
    if is_right { Property::Holds } else { Property::Fails(instead()) }
}

/// Returns whether no cache keeps the response.
pub fn is_uncacheable(headers: &HeaderMap) -> bool {
    list(headers, "cache-control").iter().any(|directive| directive == "no-store")
}

/// Says what `Cache-Control` is.
pub fn cache_control(headers: &HeaderMap) -> String {
    match list(headers, "cache-control").join(", ") {
        none if none.is_empty() => "there is no Cache-Control".to_owned(),
        value => format!("Cache-Control is {value}"),
    }
}

/// What browsers need before a script on a page of another origin can use DPoP.
pub fn cors<P: Probe>() -> Vec<Case<P>> {
    vec![
        Case::accept(
            "cors-preflight",
            "Fetch Standard (CORS)",
            "the fields Authorization and DPoP in a script's request",
            |own, prober| {
                let mut request = own.target().bare_request(Method::OPTIONS)?;
                let method = HeaderValue::from_str(&own.target().method)?;
                request.headers_mut().insert("access-control-request-method", method);
                let fields = HeaderValue::from_static("authorization,dpop");
                request.headers_mut().insert("access-control-request-headers", fields);
                let response = from_a_page(own, prober, request)?;
                let allowed = list(response.headers(), "access-control-allow-headers");
                // `*` does not stand for Authorization.
                let dpop = ["dpop", "*"].iter().any(|name| allowed.iter().any(|allowed| allowed == name));
                let authorization = allowed.iter().any(|allowed| allowed == "authorization");
                Ok(by_cors(&response, response.status().is_success() && dpop && authorization))
            },
        ),
        Case::accept(
            "cors-expose",
            "RFC 9449 §8, Fetch Standard (CORS)",
            "the fields DPoP-Nonce and WWW-Authenticate of a response, in a script",
            |own, prober| {
                let request = own.request()?;
                let response = from_a_page(own, prober, request)?;
                let exposed = list(response.headers(), "access-control-expose-headers");
                let is_exposed = |name: &str| exposed.iter().any(|exposed| exposed == name || exposed == "*");
                let sent = ["dpop-nonce", "www-authenticate"]
                    .into_iter()
                    .filter(|name| response.headers().contains_key(*name));
                let sent: Vec<_> = sent.collect();
                if sent.is_empty() {
                    return Ok(Seen::NotTested(
                        "the response to a request without a proof has none".to_owned(),
                    ));
                }
                Ok(by_cors(&response, sent.into_iter().all(is_exposed)))
            },
        ),
    ]
}

/// Sends a request as a browser does for a page of another origin.
fn from_a_page<P: Probe>(
    own: &mut P,
    prober: &Prober,
    mut request: Request<RequestBody>,
) -> Result<Response<Vec<u8>>, Failure> {
    request.headers_mut().insert("origin", PAGE);
    own.exchange(prober, request)
}

fn by_cors(response: &Response<Vec<u8>>, is_allowed: bool) -> Seen {
    match response.headers().contains_key("access-control-allow-origin") {
        false => Seen::NotTested("the server allows no pages of other origins".to_owned()),
        true if is_allowed => Seen::Accepted,
        true => Seen::Refused,
    }
}

/// Returns the members of a header field that is a list, in lower case.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let members = values.flat_map(|value| value.split(','));
    members.map(|member| member.trim().to_ascii_lowercase()).filter(|member| !member.is_empty()).collect()
}

/// Returns what is missing of what does not depend on the kind of server.
pub fn lacks<P: Probe>(own: &P, need: Need, is_new_key: bool) -> Option<String> {
    let (target, (key, _)) = (own.target(), own.keys());
    let url = UrlParts::read(&target.url);
    let missing = match need {
        Need::Nonce if target.nonce.is_none() => NO_NONCES,
        Need::Es256 if key.algorithm() != Algorithm::Es256 => "the key is not one for ES256",
        Need::NewKey if !is_new_key => "it would disclose the private key of --dpop-key",
        Need::DefaultPort if !url.port.is_empty() => "the URL has a port of its own",
        Need::PathWithLetters if !url.path.contains(|c: char| c.is_ascii_alphabetic()) => {
            "the path of the URL has no letters"
        }
        _ => return None,
    };
    Some(missing.to_owned())
}
