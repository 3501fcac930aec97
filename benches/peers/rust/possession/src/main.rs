//! possession itself, and its part in the self-test: its `Verifier` must accept the proofs of the other
//! peers, and it makes the valid and invalid proofs that the other peers must accept and refuse.

use std::ops::Deref;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::Method;
use peer_common::{Case, arguments, installed, measure, measure_each_once, report, verify_lines};
use possession::server::{JwtValidator, MemoryReplayStore, ReceivedRequest, ResourceServer, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, KeyPair, Proof, Prover, ServerRole, Signer, Thumbprint};
use serde_json::{Value, json};

/// The workload, its method parsed.
struct Workload {
    common: peer_common::Workload,
    method: Method,
}

impl Deref for Workload {
    type Target = peer_common::Workload;

    fn deref(&self) -> &peer_common::Workload {
        &self.common
    }
}

fn main() {
    let arguments = arguments();
    let common = peer_common::workload();
    let workload = Workload { method: common.method.parse().expect("a method"), common };
    let time = arguments.time;
    let peer = installed("possession");
    match arguments.operation.as_str() {
        "proof" => {
            let prover = Prover::new(key()).expect("a prover");
            let microseconds = measure(time, || {
                std::hint::black_box(prove(&prover, &workload, &workload.access_token));
                true
            });
            report(&peer, "proof", microseconds);
        }
        "check" => {
            let prover = Prover::new(key()).expect("a prover");
            let (verifier, jkt) = (verifier(&workload), prover.thumbprint());
            let check = |proof: &String| accepts(&verifier, &workload, proof, &workload.access_token, &jkt);
            let make = || prove(&prover, &workload, &workload.access_token);
            report(&peer, "check", measure_each_once(time, make, check));
        }
        // The access token is a JWT that is validated together with its proof: one for all requests, or a new
        // one for each.
        operation @ ("check-with-token" | "check-with-new-token") => {
            let (prover, issuer) = (Prover::new(key()).expect("a prover"), key());
            let new_token = || access_token(&workload, &issuer, &prover.thumbprint());
            let one = (operation == "check-with-token").then(&new_token);
            let api = api(&workload, &jwks(&issuer));
            let make = || {
                let token = one.clone().unwrap_or_else(&new_token);
                request(&workload, &prove(&prover, &workload, &token), &token)
            };
            let check = |parts: &http::request::Parts| api.authenticate(parts, SystemTime::now()).is_ok();
            report(&peer, operation, measure_each_once(time, make, check));
        }
        "print" => {
            println!("{}", prove(&Prover::new(key()).expect("a prover"), &workload, &workload.access_token))
        }
        "verify" => {
            let verifier = verifier(&workload);
            verify_lines(|Case { proof, jkt, access_token, .. }| {
                accepts(&verifier, &workload, proof, access_token, &jkt.parse().expect("a thumbprint"))
            });
        }
        "verify-with-token" => verify_lines(|Case { proof, access_token, jwks, .. }| {
            let jwks = jwks.as_ref().expect("keys").to_string();
            let request = request(&workload, proof, access_token);
            api(&workload, &jwks).authenticate(&request, SystemTime::now()).is_ok()
        }),
        "judge" => judge(&workload),
        "cases" => cases(&workload, false),
        "cases-with-token" => cases(&workload, true),
        other => panic!("possession has no operation {other}"),
    }
}

fn key() -> KeyPair {
    KeyPair::generate(Algorithm::Es256).expect("a key")
}

fn prove(prover: &Prover, workload: &Workload, access_token: &str) -> String {
    let proof = Proof::new(&workload.method, &workload.url).expect("a proof");
    let proof = proof.access_token(access_token).nonce(&workload.nonce);
    prover.prove(ServerRole::ResourceServer, proof, SystemTime::now()).expect("a proof")
}

fn verifier(workload: &Workload) -> Verifier {
    Verifier::new(MemoryReplayStore::new(1_000_000).max_proofs_per_key(usize::MAX))
        .require_nonces(FixedNonces::new([workload.nonce.as_str()]))
        .max_age(Duration::from_secs(workload.max_age))
}

fn accepts(
    verifier: &Verifier,
    workload: &Workload,
    proof: &str,
    access_token: &str,
    jkt: &Thumbprint,
) -> bool {
    let request = ReceivedRequest::from_fields(&workload.method, &workload.url, vec![proof.as_bytes()]);
    let request = request.expect("a request");
    verifier.verify_resource_request(&request, access_token, jkt, SystemTime::now()).is_ok()
}

fn api(workload: &Workload, jwks: &str) -> ResourceServer {
    let tokens = JwtValidator::with_keys(&workload.issuer, &workload.audience, jwks).expect("keys");
    ResourceServer::new("https://api.example.com", verifier(workload), tokens).expect("a resource server")
}

fn request(workload: &Workload, proof: &str, access_token: &str) -> http::request::Parts {
    let request = http::Request::builder().method(&workload.method).uri(&workload.url);
    let request = request.header("authorization", format!("DPoP {access_token}")).header("dpop", proof);
    request.body(()).expect("a request").into_parts().0
}

fn jwks(issuer: &KeyPair) -> String {
    let mut key: Value = serde_json::from_str(issuer.to_public().to_jwk()).expect("a key");
    key["kid"] = json!("1");
    key["alg"] = json!("ES256");
    json!({ "keys": [key] }).to_string()
}

/// Returns an access token (RFC 9068) that is bound to a key.
fn access_token(workload: &Workload, issuer: &KeyPair, jkt: &Thumbprint) -> String {
    let now = seconds();
    let claims = json!({
        "iss": workload.issuer, "aud": workload.audience, "sub": "client", "client_id": "client", "jti": "1",
        "iat": now, "exp": now + 3600, "cnf": { "jkt": jkt.to_string() },
    });
    jws(issuer, &json!({ "typ": "at+jwt", "alg": "ES256", "kid": "1" }), &claims)
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs()
}

fn jws(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| Base64UrlUnpadded::encode_string(part.to_string().as_bytes());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(message.as_bytes()).expect("a signature");
    format!("{message}.{}", Base64UrlUnpadded::encode_string(&signature))
}

/// Reads proofs, one per line, verifies each with its own key, and prints why a proof is refused.
fn judge(workload: &Workload) {
    let verifier = verifier(workload);
    for line in std::io::stdin().lines() {
        let proof = line.expect("a line");
        let jkt = header(&proof).and_then(|header| Thumbprint::from_jwk(&header["jwk"].to_string()).ok());
        let request = ReceivedRequest::from_fields(&workload.method, &workload.url, vec![proof.as_bytes()]);
        let request = request.expect("a request");
        match jkt {
            None => println!("refused: no key in its header"),
            Some(jkt) => {
                match verifier.verify_resource_request(
                    &request,
                    &workload.access_token,
                    &jkt,
                    SystemTime::now(),
                ) {
                    Ok(_) => println!("accepted"),
                    Err(rejection) => println!("refused: {}", rejection.reason()),
                }
            }
        }
    }
}

fn header(proof: &str) -> Option<Value> {
    let header = Base64UrlUnpadded::decode_vec(proof.split('.').next()?).ok()?;
    serde_json::from_slice(&header).ok()
}

/// Prints a valid proof, and proofs each of which is invalid in one respect.
fn cases(workload: &Workload, with_token: bool) {
    let (key, other, issuer) = (key(), key(), key());
    let jkt = key.to_public().thumbprint();
    let token = match with_token {
        true => access_token(workload, &issuer, &jkt),
        false => workload.access_token.clone(),
    };
    let now = seconds();
    let header = |key: &KeyPair| {
        let jwk: Value = serde_json::from_str(key.to_public().to_jwk()).expect("a key");
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk })
    };
    let mut jti = 0;
    let mut claims = |change: &dyn Fn(&mut Value)| {
        jti += 1;
        let mut claims = json!({
            "jti": format!("case-{jti}"), "htm": workload.method.as_str(), "htu": workload.url, "iat": now,
            "ath": possession::ath(&token), "nonce": workload.nonce,
        });
        change(&mut claims);
        claims
    };
    let mut with = |change: &dyn Fn(&mut Value)| jws(&key, &header(&key), &claims(change));
    let mut cases = vec![
        ("good", with(&|_| ())),
        ("htm", with(&|claims| claims["htm"] = json!("POST"))),
        ("htu", with(&|claims| claims["htu"] = json!("https://api.example.com/v1/orders/8f14e45e"))),
        ("ath", with(&|claims| claims["ath"] = json!(possession::ath("another")))),
        ("nonce", with(&|claims| claims["nonce"] = json!("another"))),
        ("past iat", with(&|claims| claims["iat"] = json!(now - 3600))),
        ("future iat", with(&|claims| claims["iat"] = json!(now + 3600))),
    ];
    let altered = |jws: String| {
        let (message, signature) = jws.rsplit_once('.').expect("a JWS");
        let mut bytes = Base64UrlUnpadded::decode_vec(signature).expect("a signature");
        bytes[40] ^= 1;
        format!("{message}.{}", Base64UrlUnpadded::encode_string(&bytes))
    };
    cases.push(("signature", altered(with(&|_| ()))));
    cases.push(("key", jws(&other, &header(&other), &claims(&|_| ()))));
    let mut changed = header(&key);
    changed["typ"] = json!("JWT");
    cases.push(("typ", jws(&key, &changed, &claims(&|_| ()))));
    let mut changed = header(&key);
    changed["alg"] = json!("none");
    cases.push(("alg", jws(&key, &changed, &claims(&|_| ()))));

    let keys: Value = serde_json::from_str(&jwks(&issuer)).expect("keys");
    let jkt = jkt.to_string();
    let print = |name: &str, proof: &str, token: &str| {
        println!(
            "{}",
            json!({ "name": name, "proof": proof, "jkt": jkt, "access_token": token, "jwks": keys })
        );
    };
    cases.iter().for_each(|(name, proof)| print(name, proof, &token));
    if with_token {
        let token = altered(token.clone());
        let proof =
            jws(&key, &header(&key), &claims(&|claims| claims["ath"] = json!(possession::ath(&token))));
        print("token", &proof, &token);
    }
}
