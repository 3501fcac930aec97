//! No proof makes the verifier panic. The input is used as it is, and as header and claims of a JWS with a
//! signature of the right length, so that the fuzzer need not find valid base64url.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use libfuzzer_sys::fuzz_target;
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, Thumbprint};

fuzz_target!(|data: &[u8]| {
    let verifier = Verifier::new(MemoryReplayStore::new(64)).algorithms([
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Ed25519,
        Algorithm::Rs256,
        Algorithm::Ps512,
    ]);
    let strict = verifier.clone().require_nonces(FixedNonces::new(["n"]));
    let now = UNIX_EPOCH + Duration::from_secs(1_562_262_616);
    let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().expect("RFC 9449 figure 9");
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let (header, claims) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let framed = [64, 96, 256]
        .map(|length| format!("{}.{}.{}", encode(header), encode(claims), encode(&vec![1; length])));
    for proof in framed.iter().map(String::as_bytes).chain([data]) {
        let request = ReceivedRequest::from_fields(
            &http::Method::POST,
            "https://server.example.com/token",
            vec![proof],
        );
        let request = request.expect("a valid URL");
        assert!(strict.verify_token_request(&request, now).is_err(), "no signature of the input is valid");
        assert!(verifier.verify_resource_request(&request, "token", &jkt, now).is_err());
    }
});
