//! Values that hold secrets, without a connection: requests, parameters, received requests and keys.

use std::time::SystemTime;

use http::{HeaderMap, Method};
use possession::server::*;
use possession::*;

use crate::watch::{ACCESS_TOKEN, PARAMETER, QUERY, REFRESH_TOKEN, SECRET, Watch};

/// Every authentication method that has a secret.
pub fn methods(watch: &mut Watch) -> Vec<ClientAuth> {
    let mut key = |algorithm| watch.new_key(algorithm);
    vec![
        ClientAuth::client_secret_basic(SECRET),
        ClientAuth::client_secret_basic_unencoded(SECRET),
        ClientAuth::client_secret_post(SECRET),
        ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs256),
        ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs512),
        ClientAuth::client_secret_jwt(&SECRET[..62], HmacAlgorithm::Hs512), // too short: refused
        ClientAuth::private_key_jwt(key(Algorithm::Es256)),
        ClientAuth::private_key_jwt_with(key(Algorithm::Ed25519), AssertionOptions::new().kid("k")),
    ]
}

#[test]
fn c_71_requests_and_responses_without_io_do_not_show_their_secrets() {
    let mut watch = Watch::new();
    let server =
        AuthorizationServer::builder("https://as.example").token_endpoint("https://as.example/token");
    let (server, client) = (server.build().unwrap(), Client::new("app").unwrap());
    let body = format!(
        r#"{{"access_token":"{ACCESS_TOKEN}","token_type":"DPoP","refresh_token":"{REFRESH_TOKEN}","expires_in":0}}"#
    );
    for auth in methods(&mut watch) {
        let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
        let options = RequestOptions::new().prover(&prover);
        let parameters = Parameters::new().scope("a");
        let Ok(mut exchange) =
            TokenRequest::client_credentials(&server, &client, &auth, parameters, &options)
        else {
            continue;
        };
        watch.show(&exchange);
        let now = SystemTime::now();
        let request = exchange.request(now).unwrap();
        for name in ["authorization", "dpop"] {
            if let Some(value) = request.headers().get(name) {
                watch.credential(value.to_str().unwrap().rsplit(' ').next().unwrap());
            }
        }
        for (name, value) in form_urlencoded::parse(request.body()) {
            if name == "client_assertion" {
                watch.credential(&value);
            }
        }
        watch.show((&request, request.body(), request.headers(), &exchange));
        let response = http::Response::builder().header("content-type", "application/json");
        let step = exchange.receive(response.body(body.clone().into_bytes()).unwrap(), now).unwrap();
        watch.show(&step);
        let Step::Done(response) = step else { continue };
        let token = process_client_credentials_response(&server, &client, response).unwrap();
        assert_eq!((token.access_token(), token.refresh_token()), (ACCESS_TOKEN, Some(REFRESH_TOKEN)));
        watch.show(&token);

        let url = format!("https://api.example/?{QUERY}");
        let mut call = ResourceRequest::new(&server, &prover, ACCESS_TOKEN, &Method::GET, &url).unwrap();
        let mut headers = HeaderMap::new();
        call.authorize(&mut headers, now).unwrap();
        watch.credential(headers["dpop"].to_str().unwrap());
        watch.show((&call, &headers));
        watch.show(Proof::new(&http::Method::GET, &url).unwrap().access_token(ACCESS_TOKEN));
    }
    watch.check(&[]);
}

#[test]
fn c_71_a_login_does_not_show_its_state_verifier_and_code() {
    let mut watch = Watch::new();
    let server = AuthorizationServer::builder("https://as.example")
        .member("authorization_endpoint", "https://as.example/authorize")
        .build()
        .unwrap();
    let client = Client::new("app").unwrap();
    let prover = Prover::new(watch.new_key(Algorithm::Es256)).unwrap();
    let options = RequestOptions::new().prover(&prover);
    let request = AuthorizationRequest::new("https://client.example/cb").parameter("x", PARAMETER);
    watch.show(&request);
    let code = "code-canary-98f13708210194c475687be6106a3b84";
    for query in [format!("code={code}"), format!("code={code}&code={code}"), format!("error={code}%00")] {
        let (_, pending) = request.clone().front_channel(&server, &client, &options).unwrap();
        let json = pending.to_json();
        let stored: serde_json::Value = serde_json::from_str(&json).unwrap();
        for secret in [pending.state(), stored["code_verifier"].as_str().unwrap(), code] {
            watch.secret(secret);
        }
        watch.show(&pending);
        watch.show(CodeVerifier::new(stored["code_verifier"].as_str().unwrap()));
        watch.show(PendingAuthorization::from_json(&json[1..]));
        let [again, elsewhere] = [(); 2].map(|()| PendingAuthorization::from_json(&json).unwrap());
        let query = format!("{query}&state={}", pending.state());
        watch.show(again.receive_query(&query.replace("state=", "state=x")));
        watch.show(elsewhere.receive(&format!("https://other.example/?{query}")));
        watch.show(pending.receive_query(&query));
    }
    watch.check(&[]);
}

/// What reaches the listener is not logged, whether it is refused or not.
#[cfg(feature = "loopback")]
#[test]
fn c_71_a_listener_on_loopback_does_not_show_the_code() {
    use std::io::Write;

    let mut watch = Watch::new();
    let server = AuthorizationServer::builder("https://as.example")
        .member("authorization_endpoint", "https://as.example/authorize")
        .build()
        .unwrap();
    let builder = LoopbackListener::builder();
    watch.show(&builder);
    let listener = builder.bind().unwrap();
    watch.show(&listener);
    let request = AuthorizationRequest::new(listener.redirect_uri());
    let (client, options) = (Client::new("app").unwrap(), RequestOptions::new());
    let (_, pending) = request.front_channel(&server, &client, &options).unwrap();
    let code = "code-canary-b6d767d2f8ed5d21a44b0e5886680cb9";
    [pending.state(), code].into_iter().for_each(|secret| watch.secret(secret));
    let host = listener.redirect_uri().split('/').nth(2).unwrap().to_owned();
    let right =
        format!("GET /callback?code={code}&state={} HTTP/1.1\r\nHost: {host}\r\n\r\n", pending.state());
    let requests = ["/callback", "Host: ", "GET ", "state=", ""].map(|part| match part {
        "" => right.clone(),
        part => right.replace(part, "x"),
    });
    let streams = requests.map(|request| {
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    });
    watch.show(listener.receive(pending));
    drop(streams);
    watch.check(&[]);
}

/// Parameters may hold secrets (a password, a token to exchange), and the library wipes them for that
/// reason.
#[test]
fn c_71_parameters_do_not_show_their_values() {
    let mut watch = Watch::new();
    watch.show(Parameters::new().parameter("subject_token", PARAMETER));
    watch.check(&[]);
}

/// A proof that a server received could be used until it has been verified.
#[test]
fn c_71_a_received_request_does_not_show_its_proof() {
    let mut watch = Watch::new();
    let key = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let proof = Proof::new(&http::Method::POST, "https://as.example/token")
        .unwrap()
        .sign(&key, SystemTime::now())
        .unwrap();
    // All of it: nothing else shows the header at its start.
    watch.secret(&proof);
    let headers = HeaderMap::from_iter([("dpop".parse().unwrap(), proof.parse().unwrap())]);
    watch.show(ReceivedRequest::new(&Method::POST, "https://as.example/token", &headers).unwrap());
    watch.check(&[]);
}

#[test]
fn c_71_the_error_about_a_key_does_not_show_it() {
    let mut watch = Watch::new();
    let key = watch.new_key(Algorithm::Es256);
    let (jwk, pem) = (key.to_jwk(), key.to_pkcs8_pem().unwrap());
    let other = KeyPair::generate(Algorithm::Es256).unwrap();
    let json: serde_json::Value = serde_json::from_str(&jwk).unwrap();
    let with = |name: &str, value: serde_json::Value| {
        let mut json = json.clone();
        json[name] = value;
        json.to_string()
    };
    let other: serde_json::Value = serde_json::from_str(other.to_public().to_jwk()).unwrap();
    let jwks = [
        jwk.replace('}', ""),
        jwk.replace("}", ",}"),
        jwk.replace("}", ",\"d\":1}"),
        with("x", other["x"].clone()),
        with("kty", "RSA".into()),
        with("crv", "P-384".into()),
        with("alg", "RS256".into()),
        with("kid", 1.into()),
        format!("\"{}\"", json["d"].as_str().unwrap()),
        json["d"].as_str().unwrap().to_owned(),
    ];
    for jwk in jwks {
        let error = KeyPair::from_jwk(&jwk).unwrap_err();
        watch.show_error(&error);
        watch.show_result(PublicKey::from_jwk(&jwk));
        watch.show_result(Thumbprint::from_jwk(&jwk));
    }
    watch.show_error(&PublicKey::from_jwk(&jwk).unwrap_err());
    let pems = [
        pem.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        pem.replace("-----END", "-----"),
        pem.replace("M", "!"),
        pem.replacen("MIGH", "MIGI", 1),
        pem.lines().nth(1).unwrap().to_owned(),
    ];
    for pem in pems {
        watch.show_error(&KeyPair::from_pkcs8_pem(&pem).unwrap_err());
        #[cfg(feature = "ureq")]
        {
            let builder = Transport::builder();
            watch.show_result(builder.clone().client_certificate_pem(pem.as_bytes(), pem.as_bytes()));
            watch.show_result(builder.root_certificates_pem(pem.as_bytes()));
        }
    }
    watch.check(&[]);
}
