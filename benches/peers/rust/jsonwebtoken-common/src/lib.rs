//! The minimum of code that makes and verifies DPoP proofs with jsonwebtoken, a library for JWTs. The program
//! chooses the backend.

use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::EncodePrivateKey;
use peer_common::{
    Workload, arguments, installed, measure, measure_each_once, report, verify_lines, workload,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[derive(Serialize)]
struct Made<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    ath: &'a str,
    nonce: &'a str,
}

#[derive(Deserialize)]
struct Received {
    jti: String,
    htm: String,
    htu: String,
    iat: u64,
    ath: String,
    nonce: String,
}

struct Maker {
    key: EncodingKey,
    header: Header,
    jkt: String,
}

impl Maker {
    fn new() -> Self {
        let key = p256::SecretKey::random(&mut OsRng).to_pkcs8_der().expect("a key");
        let key = EncodingKey::from_ec_der(key.as_bytes());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a key");
        jwk.common = Default::default();
        let jkt = jwk.thumbprint(ThumbprintHash::SHA256).expect("a thumbprint");
        let header =
            Header { typ: Some("dpop+jwt".to_owned()), jwk: Some(jwk), ..Header::new(Algorithm::ES256) };
        Self { key, header, jkt }
    }

    fn prove(&self, workload: &Workload) -> String {
        let claims = Made {
            jti: &uuid::Uuid::new_v4().to_string(),
            htm: &workload.method,
            htu: &workload.url,
            iat: seconds(),
            ath: &ath(&workload.access_token),
            nonce: &workload.nonce,
        };
        encode(&self.header, &claims, &self.key).expect("a proof")
    }
}

struct Checker {
    workload: Workload,
    validation: Validation,
}

impl Checker {
    fn new() -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self { workload: workload(), validation }
    }

    fn check(&self, proof: &str, access_token: &str, jkt: &str) -> Option<()> {
        let header = decode_header(proof).ok()?;
        let jwk = header.jwk.as_ref()?;
        let named = header.typ.as_deref() == Some("dpop+jwt") && header.alg == Algorithm::ES256;
        let bound = named && jwk.thumbprint(ThumbprintHash::SHA256).ok()? == jkt;
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let Received { jti, htm, htu, iat, ath: hash, nonce } =
            decode::<Received>(proof, &key, &self.validation).ok()?.claims;
        let Workload { method, url, nonce: expected, max_age, .. } = &self.workload;
        let matches = !jti.is_empty() && htm == *method && htu == *url && nonce == *expected;
        (bound && matches && hash == ath(access_token) && seconds().abs_diff(iat) <= *max_age).then_some(())
    }
}

fn ath(access_token: &str) -> String {
    Base64UrlUnpadded::encode_string(&Sha256::digest(access_token))
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs()
}

/// Runs the program. `backend` is the name of the backend that it was built with.
pub fn main(backend: &str) {
    let (arguments, workload) = (arguments(), workload());
    let peer = format!("{} ({backend})", installed("jsonwebtoken"));
    match arguments.operation.as_str() {
        "proof" => {
            let maker = Maker::new();
            let microseconds = measure(arguments.time, || {
                std::hint::black_box(maker.prove(&workload));
                true
            });
            report(&peer, "proof", microseconds);
        }
        "check" => {
            let (maker, checker) = (Maker::new(), Checker::new());
            let check = |proof: &String| checker.check(proof, &workload.access_token, &maker.jkt).is_some();
            report(&peer, "check", measure_each_once(arguments.time, || maker.prove(&workload), check));
        }
        "print" => println!("{}", Maker::new().prove(&workload)),
        "verify" => {
            let checker = Checker::new();
            verify_lines(|case| checker.check(&case.proof, &case.access_token, &case.jkt).is_some());
        }
        other => panic!("jsonwebtoken has no operation {other}"),
    }
}
