//! No response of a token endpoint makes the client panic.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use possession::*;

fuzz_target!(|input: (u8, Vec<(String, Vec<u8>)>, Vec<u8>)| {
    let (status, headers, body) = input;
    let server =
        AuthorizationServer::builder("https://s.example").token_endpoint("https://s.example/t").build();
    let (server, client, auth) =
        (server.expect("valid input"), Client::new("c").expect("valid input"), ClientAuth::none());
    let options = RequestOptions::new();
    let mut request = TokenRequest::client_credentials(&server, &client, &auth, Parameters::new(), &options)
        .expect("valid input");
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    request.request(now).expect("valid input");
    let mut response = http::Response::builder().status(100 + u16::from(status) * 2);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) =
            (name.parse::<http::HeaderName>(), http::HeaderValue::from_bytes(&value))
        {
            response = response.header(name, value);
        }
    }
    let Ok(response) = response.body(body) else { return };
    if let Ok(Step::Done(response)) = request.receive(response, now) {
        match process_client_credentials_response(&server, &client, response) {
            Ok(token) => drop(token.access_token().to_owned()),
            Err(error) => assert!(error.to_string().bytes().all(|b| (b' '..=b'~').contains(&b)), "{error}"),
        }
    }
});
