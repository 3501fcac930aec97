//! Explains metadata, and finds what is wrong with them.

use possession::{Algorithm, AuthorizationServer};
use serde_json::{Map, Value};

use super::explanation::Explanation;
use crate::jwt::without_secrets;

/// Explains metadata of a protected resource, if they have `resource` and no `issuer`, or else of an
/// authorization server.
pub fn explain(document: Value) -> Explanation {
    let mut members = document.as_object().cloned().unwrap_or_default();
    // Some servers write null for what they do not have.
    members.retain(|_, value| !value.is_null());
    let is_resource = members.contains_key("resource") && !members.contains_key("issuer");
    let (kind, findings) = match is_resource {
        true => ("protected resource metadata", protected_resource(&members)),
        false => ("authorization server metadata", authorization_server(&members)),
    };
    let mut explanation = Explanation::new(kind, without_secrets(document.clone()));
    (explanation.problems, explanation.notes) = (findings.problems, findings.notes);
    if explanation.content != document {
        explanation.problems.push("it has what nobody should see, and metadata are public".to_owned());
    }
    explanation
}

#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Checks a URL that requests go to or an identifier that is one, and returns it.
    fn url(&mut self, name: &str, value: &Value) -> Option<http::Uri> {
        let Some(text) = value.as_str() else {
            self.problem(format!("{name} is not a string"));
            return None;
        };
        let uri = text.parse::<http::Uri>().ok().filter(|uri| uri.scheme().is_some() && uri.host().is_some());
        let Some(uri) = uri else {
            self.problem(format!("{name} is not an absolute URL such as https://host/path"));
            return None;
        };
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(&uri) => {
                self.note(format!("{name} has plain http, on loopback: for tests"))
            }
            _ => self.problem(format!("{name} is not an https URL")),
        }
        if text.contains('#') {
            self.problem(format!("{name} has a fragment"));
        }
        Some(uri)
    }

    /// Checks an issuer identifier (RFC 8414 §2).
    fn issuer(&mut self, name: &str, value: &Value) -> Option<http::Uri> {
        let url = self.url(name, value)?;
        if url.query().is_some() {
            self.problem(format!("{name} has a query (RFC 8414 §2)"));
        }
        Some(url)
    }

    /// Checks a list of names, and returns it.
    fn names<'a>(&mut self, members: &'a Map<String, Value>, name: &str) -> Option<Vec<&'a str>> {
        let value = members.get(name)?;
        let names =
            value.as_array().and_then(|names| names.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        match &names {
            None => self.problem(format!("{name} is not an array of strings")),
            Some(names) if names.is_empty() => {
                self.problem(format!("{name} is empty (a list without values is left out, RFC 8414 §3.2)"));
            }
            Some(_) => {}
        }
        names
    }

    fn dpop_algorithms(&mut self, members: &Map<String, Value>) {
        for name in self.names(members, "dpop_signing_alg_values_supported").into_iter().flatten() {
            if name == "none" || name.starts_with("HS") {
                self.problem(format!(
                    "{name} is no asymmetric algorithm, and no proof may use it (RFC 9449 §4.3 check 5)"
                ));
            } else if Algorithm::from_name(name).is_none() {
                self.note(format!("{} is no signature algorithm that is known here", Value::from(name)));
            }
        }
    }
}

fn is_loopback(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// The lists of RFC 8414 §2 that are not looked at more closely.
const LISTS: [&str; 11] = [
    "scopes_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "ui_locales_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
];

fn authorization_server(members: &Map<String, Value>) -> Findings {
    let mut findings = Findings::default();
    let text = members.get("issuer").and_then(Value::as_str).unwrap_or_default();
    let issuer = match members.get("issuer") {
        Some(issuer) => findings.issuer("issuer", issuer),
        None => {
            findings.problem("there is no issuer (RFC 8414 §2)");
            None
        }
    };
    if findings.problems.is_empty() {
        let builder = AuthorizationServer::builder(text).dangerous_allow_http_on_loopback();
        if let Err(error) = builder.document(Value::Object(members.clone()).to_string()).build() {
            findings.problem(error.to_string());
        }
    }
    if !members.contains_key("token_endpoint") {
        findings.problem("there is no token_endpoint (RFC 8414 §2)");
    }
    let aliases = members.get("mtls_endpoint_aliases").and_then(Value::as_object).into_iter().flatten();
    for (name, value) in members.iter().chain(aliases) {
        if !(name.ends_with("_endpoint") || name == "jwks_uri") {
            continue;
        }
        let url = findings.url(name, value);
        let host = url.as_ref().and_then(http::Uri::host);
        let of_issuer = issuer.as_ref().and_then(http::Uri::host);
        if let (Some(host), Some(of_issuer)) = (host, of_issuer)
            && !host.eq_ignore_ascii_case(of_issuer)
        {
            findings.note(format!("{name} is on another host than the issuer: {host}"));
        }
    }
    for name in LISTS {
        findings.names(members, name);
    }
    if members.contains_key("authorization_endpoint") && !members.contains_key("response_types_supported") {
        findings.problem("there is no response_types_supported (RFC 8414 §2)");
    }
    let methods = findings.names(members, "code_challenge_methods_supported");
    if methods.is_some_and(|methods| !methods.is_empty() && !methods.contains(&"S256")) {
        findings.problem(
            "code_challenge_methods_supported does not have S256, which clients need (RFC 9700 §2.1.1)",
        );
    }
    findings.dpop_algorithms(members);
    for (name, what) in [
        ("dpop_signing_alg_values_supported", "it does not say that it supports DPoP (RFC 9449 §5.1)"),
        ("pushed_authorization_request_endpoint", "no pushed authorization requests (RFC 9126)"),
        ("code_challenge_methods_supported", "it does not say that it supports PKCE (RFC 8414 §2)"),
        (
            "authorization_response_iss_parameter_supported",
            "responses need not have iss, which protects against mix-up (RFC 9207)",
        ),
    ] {
        if !members.contains_key(name) {
            findings.note(format!("no {name}: {what}"));
        }
    }
    findings
}

/// RFC 9728 §2
fn protected_resource(members: &Map<String, Value>) -> Findings {
    let mut findings = Findings::default();
    let resource = findings.url("resource", members.get("resource").unwrap_or(&Value::Null));
    if resource.is_some_and(|url| url.query().is_some()) {
        findings.note("resource has a query, which it should not have (RFC 9728 §1.2)");
    }
    match findings.names(members, "authorization_servers") {
        None if !members.contains_key("authorization_servers") => {
            findings.note("it names no authorization server");
        }
        names => names.into_iter().flatten().for_each(|issuer| {
            findings.issuer(&format!("the authorization server {issuer}"), &Value::from(issuer));
        }),
    }
    if let Some(url) = members.get("jwks_uri") {
        findings.url("jwks_uri", url);
    }
    findings.dpop_algorithms(members);
    let requires_dpop = members.get("dpop_bound_access_tokens_required");
    if requires_dpop.is_some_and(|value| !value.is_boolean()) {
        findings.problem("dpop_bound_access_tokens_required is not a boolean");
    }
    if !members.contains_key("dpop_signing_alg_values_supported") {
        findings.note(match requires_dpop.and_then(Value::as_bool) {
            Some(true) => {
                "it requires DPoP, and does not say with which algorithms: no \
                 dpop_signing_alg_values_supported"
            }
            _ => "it does not say that it supports DPoP (RFC 9728 §2)",
        });
    }
    findings
}
