//! The twelve checks of RFC 9449 §4.3, each by itself: a verifier stops at the first that fails, and a person
//! wants to know all of them. The checks decide nothing; [`possession::server::Verifier`] does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use possession::server::{MemoryReplayStore, Reason, ReceivedRequest, Verifier};
use possession::{Algorithm, Htu, PublicKey, ath};
use serde_json::Value;

use crate::jwt::Decoded;

/// One check.
pub struct Check {
    /// Its number in RFC 9449 §4.3.
    pub number: u8,
    pub rule: &'static str,
    /// Whether it holds; `None` if that cannot be said.
    pub holds: Option<bool>,
    /// Why not, or what was compared.
    pub why: String,
}

/// What the proof should be for.
pub struct Expected<'a> {
    pub request: Option<(&'a Method, &'a str)>,
    pub access_token: Option<&'a str>,
    pub nonce: Option<&'a str>,
    pub now: SystemTime,
    pub max_age: Duration,
}

/// How far ahead of the clock a proof may be dated: FAPI 2.0 Security Profile §5.3.2.1.
const LEEWAY: u64 = 10;

/// The outcome of a check: whether it holds, and why not.
type Outcome = (Option<bool>, String);

fn holds(text: impl Into<String>) -> Outcome {
    (Some(true), text.into())
}

fn fails(why: impl Into<String>) -> Outcome {
    (Some(false), why.into())
}

fn unknown(why: impl Into<String>) -> Outcome {
    (None, why.into())
}

/// Makes every check.
pub fn all(text: &str, decoded: &Decoded, expected: &Expected<'_>) -> Vec<Check> {
    let empty = Value::Null;
    let header = decoded.header.as_ref().unwrap_or(&empty);
    let claims = decoded.claims.as_ref().unwrap_or(&empty);
    let proof = Proof { text, decoded, header, claims };
    let outcomes: [(&'static str, Outcome); 12] = [
        ("there is one DPoP header field", holds("one proof was given")),
        ("it is a well-formed JWT", proof.well_formed()),
        (
            "it has the required claims jti, htm, htu and iat, and ath with an access token",
            proof.claims(expected),
        ),
        ("typ is dpop+jwt", proof.typ()),
        ("alg is a registered asymmetric algorithm, and not none", proof.alg()),
        ("the signature verifies with the public key in jwk", proof.signature()),
        ("jwk has no private key", proof.private()),
        ("htm is the method of the request", proof.htm(expected)),
        ("htu is the URL of the request, without query and fragment", proof.htu(expected)),
        ("nonce is the one that the server gave", proof.nonce(expected)),
        ("iat is recent", proof.iat(expected)),
        ("ath is the hash of the access token, which is bound to the key", proof.ath(expected)),
    ];
    (1..).zip(outcomes).map(|(number, (rule, (holds, why)))| Check { number, rule, holds, why }).collect()
}

struct Proof<'a> {
    text: &'a str,
    decoded: &'a Decoded,
    header: &'a Value,
    claims: &'a Value,
}

impl Proof<'_> {
    fn well_formed(&self) -> Outcome {
        let parts = [
            ("the header", self.decoded.header.as_ref().err()),
            ("the payload", self.decoded.claims.as_ref().err()),
            ("the signature", self.decoded.signature.as_ref().err()),
        ];
        match parts.iter().find_map(|(part, why)| why.map(|why| format!("{part}: {why}"))) {
            Some(why) => fails(why),
            None if !self.header.is_object() || !self.claims.is_object() => {
                fails("header and payload are not both JSON objects")
            }
            None => match self.strict() {
                None => holds(""),
                Some(why) => fails(why),
            },
        }
    }

    /// Returns what a verifier finds in the form of the proof: duplicate names, `crit`, and what else two
    /// parsers could read differently.
    fn strict(&self) -> Option<String> {
        let fields = vec![self.text.as_bytes()];
        let request = ReceivedRequest::from_fields(&Method::GET, "https://resource.example", fields).ok()?;
        let rejection =
            Verifier::new(MemoryReplayStore::new(1)).verify_token_request(&request, UNIX_EPOCH).err()?;
        match rejection.reason() {
            reason @ Reason::Malformed(_) => Some(reason.to_string()),
            _ => None,
        }
    }

    fn claims(&self, expected: &Expected<'_>) -> Outcome {
        let text = |name: &str| {
            self.claims.get(name).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()))
        };
        let mut missing: Vec<_> = ["jti", "htm", "htu"].into_iter().filter(|name| !text(name)).collect();
        if !self.claims.get("iat").is_some_and(Value::is_number) {
            missing.push("iat");
        }
        if expected.access_token.is_some() && !text("ath") {
            missing.push("ath");
        }
        match missing.is_empty() {
            true => holds(""),
            false => fails(format!("missing or not of the right type: {}", missing.join(", "))),
        }
    }

    fn typ(&self) -> Outcome {
        match self.header.get("typ") {
            Some(Value::String(typ)) if typ == "dpop+jwt" => holds(""),
            Some(other) => fails(format!("it is {other}")),
            None => fails("there is no typ"),
        }
    }

    fn algorithm(&self) -> Result<Algorithm, Outcome> {
        let Some(name) = self.header.get("alg") else { return Err(fails("there is no alg")) };
        let known = name.as_str().and_then(Algorithm::from_name);
        known.ok_or_else(|| fails(format!("{name} is no asymmetric signature algorithm that is known here")))
    }

    fn alg(&self) -> Outcome {
        match self.algorithm() {
            Ok(algorithm) => {
                holds(format!("it is {algorithm}; which ones a server accepts is its own choice"))
            }
            Err(outcome) => outcome,
        }
    }

    fn key(&self) -> Result<PublicKey, String> {
        let jwk = self.header.get("jwk").ok_or("there is no jwk")?;
        PublicKey::from_jwk(&jwk.to_string()).map_err(|error| error.to_string())
    }

    fn signature(&self) -> Outcome {
        let (key, algorithm) = match (self.key(), self.algorithm()) {
            (Ok(key), Ok(algorithm)) => (key, algorithm),
            (Err(why), _) => return fails(why),
            (_, Err(_)) => return unknown("the algorithm is not known here"),
        };
        let Ok(signature) = &self.decoded.signature else { return fails("there is no readable signature") };
        match key.verify(algorithm, self.decoded.signed.as_bytes(), signature) {
            Ok(()) => holds(format!("its thumbprint (jkt) is {}", key.thumbprint())),
            Err(error) => fails(error.to_string()),
        }
    }

    fn private(&self) -> Outcome {
        let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
        let jwk = self.header.get("jwk");
        match private.iter().find(|name| jwk.is_some_and(|jwk| jwk.get(**name).is_some())) {
            Some(name) => fails(format!("it has the member {name}: this key is compromised")),
            None if jwk.is_none() => fails("there is no jwk"),
            None => holds(""),
        }
    }

    fn htm(&self, expected: &Expected<'_>) -> Outcome {
        let Some((method, _)) = expected.request else { return unknown("no --method was given") };
        match self.claims.get("htm").and_then(Value::as_str) {
            Some(htm) if htm == method.as_str() => holds(""),
            Some(htm) => fails(format!("it is {htm}, and the method is {method}")),
            None => fails("there is no htm"),
        }
    }

    fn htu(&self, expected: &Expected<'_>) -> Outcome {
        let Some((_, url)) = expected.request else { return unknown("no --url was given") };
        let Some(htu) = self.claims.get("htu").and_then(Value::as_str) else {
            return fails("there is no htu");
        };
        match (htu.parse::<Htu>(), url.parse::<Htu>()) {
            (Ok(actual), Ok(expected)) if actual == expected => holds(""),
            (Ok(actual), Ok(expected)) => fails(format!("it is {actual}, and the URL is {expected}")),
            (Err(error), _) => fails(error.to_string()),
            (_, Err(error)) => unknown(format!("--url: {error}")),
        }
    }

    fn nonce(&self, expected: &Expected<'_>) -> Outcome {
        match (expected.nonce, self.claims.get("nonce")) {
            (None, None) => holds("it has none, and no --nonce was given"),
            (None, Some(nonce)) => unknown(format!("it is {nonce}, and no --nonce was given")),
            (Some(expected), Some(Value::String(nonce))) if nonce == expected => holds(""),
            (Some(_), Some(nonce)) => fails(format!("it is {nonce}")),
            (Some(_), None) => fails("there is no nonce"),
        }
    }

    fn iat(&self, expected: &Expected<'_>) -> Outcome {
        let Some(iat) = self.claims.get("iat").and_then(Value::as_f64) else {
            return fails("there is no iat");
        };
        let now = expected.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let age = now as f64 - iat;
        if age > expected.max_age.as_secs() as f64 {
            fails(format!("it is {age} s old, and at most {} s are accepted", expected.max_age.as_secs()))
        } else if -age > LEEWAY as f64 {
            fails(format!("it is {} s ahead of the clock, and at most {LEEWAY} s are accepted", -age))
        } else {
            holds(format!("it is {age} s old"))
        }
    }

    fn ath(&self, expected: &Expected<'_>) -> Outcome {
        let actual = self.claims.get("ath").and_then(Value::as_str);
        let Some(token) = expected.access_token else {
            return match actual {
                Some(_) => unknown("no access token was given (--token-env, --token-file)"),
                None => holds("it has none, and no access token was given"),
            };
        };
        match actual {
            Some(actual) if actual == ath(token) => self.binding(token),
            Some(actual) => fails(format!("it is {actual}, and the hash of the token is {}", ath(token))),
            None => fails("there is no ath"),
        }
    }

    /// Compares the key with the `cnf` of a token that is a JWT (RFC 9449 §6.1).
    fn binding(&self, token: &str) -> Outcome {
        let claims = Decoded::read(token).and_then(|decoded| decoded.claims.ok());
        let Some(bound) = claims.as_ref().and_then(|claims| claims.pointer("/cnf/jkt")) else {
            return holds("the hash is right; the token does not say which key it is bound to");
        };
        match self.key() {
            Ok(key) if bound == &key.thumbprint().to_string() => holds("the token is bound to this key"),
            Ok(key) => fails(format!("the token is bound to {bound}, and the key is {}", key.thumbprint())),
            Err(why) => fails(why),
        }
    }
}
