//! A page for people.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::super::case::Finding;
use super::{Report, weight};

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}\
h1{font-size:1.5rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ddd}\
.verdict{font-weight:600;white-space:nowrap}.demand{white-space:nowrap}\
.good .verdict{color:#1a7f37}.bad .verdict{color:#c1121f}.unsure .verdict{color:#9a6700}\
.summary{font-size:1.15rem}code{background:#f6f8fa;padding:0 .2rem}small{color:#555}\
pre{background:#f6f8fa;padding:.6rem;font-size:13px;overflow:auto;max-width:44rem;white-space:pre-wrap;\
overflow-wrap:anywhere}pre.response{border-left:3px solid #888}";

impl Report {
    /// Returns one page that refers to nothing outside of it. What is wrong comes first.
    pub fn to_html(&self) -> String {
        let page: Markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "DPoP: " (self.subject.url) }
                    style { (maud::PreEscaped(STYLE)) }
                }
                body {
                    h1 { "Which rules of DPoP does this " (self.subject.kind) " enforce?" }
                    p {
                        code { (self.subject.url) } ", " (self.subject.date)
                        ", possession " (env!("CARGO_PKG_VERSION"))
                    }
                    @for line in self.summary() { p.summary { (line) } }
                    @for line in self.measurements() { p { (line) } }
                    table {
                        thead { tr { th { "Verdict" } th { "The server" } th { "Case" } th { "Source" } } }
                        tbody { @for finding in self.by_weight() { (row(finding)) } }
                    }
                    p { small { "Tokens, secrets and signatures are not part of this page." } }
                }
            }
        };
        page.into_string()
    }
}

fn row(finding: &Finding) -> Markup {
    let class = match weight(finding) {
        0 => "bad",
        1..4 => "unsure",
        4 => "plain",
        _ => "good",
    };
    html! {
        tr class=(class) {
            td.verdict { (finding.verdict.name()) }
            td.demand { (finding.rule.demand()) }
            td {
                (finding.rule.title) " " code { (finding.rule.id) }
                @if !finding.why.is_empty() { br; small { (finding.why) } }
                @if !finding.exchanges.is_empty() {
                    details {
                        summary { "requests and responses" }
                        @for exchange in &finding.exchanges {
                            pre { (request(&exchange.request)) }
                            pre.response { (response(&exchange.response)) }
                        }
                    }
                }
            }
            td { (finding.rule.source) }
        }
    }
}

/// Returns a request in the form of HTTP. Of a proof, header and claims are on lines of their own.
fn request(request: &Value) -> String {
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![format!("{} {}", text("method"), text("url"))];
    if !text("authorization").is_empty() {
        lines.push(format!("Authorization: {}", text("authorization")));
    }
    for proof in request.get("proofs").and_then(Value::as_array).into_iter().flatten() {
        match (proof.get("header"), proof.get("claims")) {
            (Some(header), Some(claims)) => {
                lines.extend([format!("DPoP, claims: {claims}"), format!("DPoP, header: {header}")]);
            }
            _ => lines.push(format!("DPoP: {}", proof.as_str().unwrap_or_default())),
        }
    }
    let fields = request.get("form_fields").and_then(Value::as_array).into_iter().flatten();
    let fields: Vec<_> = fields.filter_map(Value::as_str).collect();
    if !fields.is_empty() {
        lines.push(format!("form with {}", fields.join(", ")));
    }
    lines.join("\n")
}

/// Returns a response in the form of HTTP, or why there is none.
fn response(response: &Value) -> String {
    if let Some(error) = response.get("error").and_then(Value::as_str) {
        return error.to_owned();
    }
    let mut lines = vec![response.get("status").map(Value::to_string).unwrap_or_default()];
    let headers = response.get("headers").and_then(Value::as_object).into_iter().flatten();
    lines.extend(headers.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default())));
    let body = response.get("body").and_then(Value::as_str).unwrap_or_default();
    if !body.is_empty() {
        lines.extend([String::new(), body.to_owned()]);
    }
    lines.join("\n")
}
