//! Protected resource metadata of the test server (RFC 9728).

use possession::testing::{ChallengeForm, Endpoint, Nonces, Quirk, TestServer};
use serde_json::{Value, json};

use super::plain_client::{PlainClient, agent};
use crate::common::server::{member, once, start, with};

fn document(url: &str) -> Value {
    let mut response = agent().get(url).call().unwrap();
    assert_eq!(response.status(), 200, "{url}");
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

/// The challenges of a resource to a request without a token, or with a token and without a proof.
fn challenges(server: &TestServer, path: &str, token: Option<&str>) -> Vec<String> {
    let request = agent().get(server.resource(path));
    let request = match token {
        Some(token) => request.header("authorization", token),
        None => request,
    };
    let response = request.call().unwrap();
    let fields = response.headers().get_all("www-authenticate").iter();
    fields.map(|field| field.to_str().unwrap().to_owned()).collect()
}

/// RFC 9728 §2 and §3.1: the path of the resource follows the well-known path.
#[test]
fn each_resource_has_metadata() {
    let server = start();
    for path in ["", "/", "/orders", "/orders/1?page=2"] {
        let metadata = document(&server.resource(&format!("/.well-known/oauth-protected-resource{path}")));
        assert_eq!(metadata["resource"], server.resource(path));
        assert_eq!(metadata["authorization_servers"], json!([server.issuer()]));
        assert_eq!(metadata["dpop_bound_access_tokens_required"], true);
        assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA", "Ed25519"]));
    }
    // The resources at the origin of the authorization server have theirs there.
    let url = format!("{}/.well-known/oauth-protected-resource/orders", server.issuer());
    assert_eq!(document(&url)["resource"], format!("{}/orders", server.issuer()));
    assert_eq!(server.received_at(Endpoint::ResourceMetadata).len(), 5);
    assert_eq!(agent().post(url).send("").unwrap().status(), 405);
    // Other paths are resources.
    let response = agent().get(server.resource("/.well-known/oauth-protected-resources")).call().unwrap();
    assert_eq!(response.status(), 401);
    let elsewhere = json!(["https://attacker.example"]).to_string();
    once(&server, Endpoint::ResourceMetadata, member("authorization_servers", &elsewhere));
    let metadata = document(&server.resource("/.well-known/oauth-protected-resource"));
    assert_eq!(metadata["authorization_servers"], json!(["https://attacker.example"]));
}

/// RFC 9728 §5.1 and §3.3: a refused request learns where the metadata are, and they are those of its URL.
/// The query, which may contain a secret, is not repeated.
#[test]
fn challenges_name_the_metadata() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let token = client.log_in().text("access_token");
    let dpop = format!("DPoP {token}");
    for (path, resource) in [("/", "/"), ("/orders", "/orders"), ("/orders?page=2", "/orders")] {
        let url = server.resource(&format!("/.well-known/oauth-protected-resource{resource}"));
        let parameter = format!(r#"resource_metadata="{url}""#);
        assert_eq!(
            challenges(&server, path, None),
            [format!(r#"DPoP algs="ES256 EdDSA Ed25519", {parameter}"#), format!("Bearer {parameter}")]
        );
        assert_eq!(
            challenges(&server, path, Some(&dpop)),
            [format!(r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA Ed25519", {parameter}"#)]
        );
        assert_eq!(
            challenges(&server, path, Some("Bearer unknown")),
            [
                format!(r#"Bearer error="invalid_token", {parameter}"#),
                format!(r#"DPoP algs="ES256 EdDSA Ed25519", {parameter}"#),
            ]
        );
        assert_eq!(document(&url)["resource"], server.resource(resource));
    }
    // A challenge of the authorization server does not name a resource.
    once(&server, Endpoint::Token, Quirk::ChallengeForm(ChallengeForm::Header));
    let fields = agent().post(format!("{}/token", server.issuer())).send_form(client.credentials()).unwrap();
    assert_eq!(
        fields.headers()["www-authenticate"],
        r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA Ed25519""#
    );
}

#[test]
fn a_quirk_leaves_the_metadata_out_or_names_others() {
    let server = with(|server| server.nonces(Nonces::Off));
    let without = Quirk::ResourceMetadata(None);
    let other = Quirk::ResourceMetadata(Some("https://other.example/metadata".to_owned()));
    once(&server, Endpoint::Resource, without.clone());
    once(&server, Endpoint::Resource, other.clone());
    once(&server, Endpoint::Resource, without.clone());
    assert_eq!(
        challenges(&server, "/", None),
        [r#"DPoP algs="ES256 EdDSA Ed25519""#.to_owned(), "Bearer".to_owned()]
    );
    let changed = challenges(&server, "/", None);
    assert!(
        changed.iter().all(|field| field.contains(r#" resource_metadata="https://other.example/metadata""#))
    );
    assert_eq!(
        challenges(&server, "/", Some("DPoP x")),
        [r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA Ed25519""#]
    );
    assert_eq!(server.counts().quirks, 3);
    // Together with the form of the challenge.
    once(
        &server,
        Endpoint::Resource,
        Quirk::All(vec![other, Quirk::ChallengeForm(ChallengeForm::TwoFields)]),
    );
    let fields = challenges(&server, "/", Some("DPoP x"));
    assert_eq!(fields[0], "Bearer");
    assert!(fields[1].ends_with(r#", resource_metadata="https://other.example/metadata""#), "{fields:?}");
    // The token endpoint has no such parameter.
    once(&server, Endpoint::Token, without);
    PlainClient::confidential(&server).post("/token", &[]);
    assert_eq!(server.counts().quirks, 5);
}
