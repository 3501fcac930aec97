//! The checks of RFC 9449 §4.3, each by itself: a verifier stops at the first that fails, and a person wants
//! to know all of them. The checks decide nothing; [`possession::server::Verifier`] does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use possession::server::{MemoryReplayStore, Reason, ReceivedRequest, Verifier};
use possession::{Algorithm, Htu, PublicKey, ath};
use serde_json::Value;

use crate::jwt::{Decoded, PRIVATE, private_member, without_secrets};

/// One check.
#[derive(Debug)]
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
    pub method: Option<&'a Method>,
    pub url: Option<&'a str>,
    pub access_token: Option<&'a str>,
    /// The thumbprint that the token is bound to.
    pub jkt: Option<&'a str>,
    pub nonce: Option<&'a str>,
    /// The algorithms that the server accepts; `None` if that is not known.
    pub algorithms: Option<&'a [Algorithm]>,
    pub now: SystemTime,
    pub max_age: Duration,
    /// How far ahead of the clock a proof may be dated.
    pub leeway: Duration,
}

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

/// Makes every check for a proof. `fields` is the number of `DPoP` fields in its request, if that is known.
pub fn all(proof: Option<&str>, fields: Option<usize>, expected: &Expected<'_>) -> Vec<Check> {
    let proof = proof.map(Proof::read);
    let of = |check: &dyn Fn(&Proof) -> Outcome| match &proof {
        Some(proof) => check(proof),
        None => unknown("there is no proof"),
    };
    let outcomes: [(&'static str, Outcome); 12] = [
        ("there is one DPoP header field", number_of_fields(fields)),
        ("it is a well-formed JWT", of(&|proof| proof.well_formed())),
        (
            "it has the required claims jti, htm, htu and iat, and ath with an access token",
            of(&|proof| proof.required_claims(expected)),
        ),
        ("typ is dpop+jwt", of(&|proof| proof.typ())),
        ("alg is an asymmetric algorithm that the server accepts", of(&|proof| proof.alg(expected))),
        ("the signature verifies with the public key in jwk", of(&|proof| proof.signature())),
        ("jwk has no private key", of(&|proof| proof.private())),
        ("htm is the method of the request", of(&|proof| proof.htm(expected))),
        ("htu is the URL of the request, without query and fragment", of(&|proof| proof.htu(expected))),
        ("nonce is the one that the server gave", of(&|proof| proof.nonce(expected))),
        ("iat is recent, and neither exp nor nbf forbids the use", of(&|proof| proof.time(expected))),
        (
            "ath is the hash of the access token, which is bound to the key",
            of(&|proof| proof.token(expected)),
        ),
    ];
    (1..).zip(outcomes).map(|(number, (rule, (holds, why)))| Check { number, rule, holds, why }).collect()
}

fn number_of_fields(fields: Option<usize>) -> Outcome {
    match fields {
        None => unknown("that is not known without the whole request"),
        Some(1) => holds(""),
        Some(0) => fails("there is none"),
        Some(fields) => fails(format!("there are {fields}, of which the first is looked at here")),
    }
}

struct Proof {
    text: String,
    /// The parts, if there are three segments.
    decoded: Option<Decoded>,
}

impl Proof {
    fn read(text: &str) -> Self {
        Self { text: text.to_owned(), decoded: Decoded::read(text) }
    }

    /// Returns a header parameter, or why there is no header.
    fn header(&self, name: &str) -> Result<Option<&Value>, Outcome> {
        let header = self.decoded.as_ref().and_then(|decoded| decoded.header.as_ref().ok()?.as_object());
        let header = header.ok_or_else(|| unknown("the header cannot be read"))?;
        Ok(header.get(name))
    }

    /// Returns a claim, or why there are no claims.
    fn claim(&self, name: &str) -> Result<Option<&Value>, Outcome> {
        let claims = self.decoded.as_ref().and_then(|decoded| decoded.claims.as_ref().ok()?.as_object());
        let claims = claims.ok_or_else(|| unknown("the claims cannot be read"))?;
        Ok(claims.get(name))
    }

    /// The Verifier knows what two parsers could read differently: duplicate names, `crit`, base64url and
    /// more.
    fn well_formed(&self) -> Outcome {
        let fields = vec![self.text.as_bytes()];
        let Ok(request) = ReceivedRequest::from_fields(&Method::GET, "https://resource.example", fields)
        else {
            return unknown("");
        };
        let verified = Verifier::new(MemoryReplayStore::new(1)).verify_token_request(&request, UNIX_EPOCH);
        match verified.err().as_ref().map(possession::server::Rejection::reason) {
            Some(Reason::Malformed(error)) => fails(error.to_string()),
            Some(Reason::NotAscii) => fails("it has characters that are not ASCII"),
            _ => holds(""),
        }
    }

    fn required_claims(&self, expected: &Expected<'_>) -> Outcome {
        let mut wrong = Vec::new();
        for name in ["jti", "htm", "htu", "iat", "ath"] {
            let value = match self.claim(name) {
                Ok(value) => value,
                Err(outcome) => return outcome,
            };
            let is_right = match (name, value) {
                ("ath", None) => expected.access_token.is_none(),
                ("iat", value) => value.is_some_and(Value::is_number),
                // What jti is good for needs a text that is not empty.
                ("jti", value) => value.and_then(Value::as_str).is_some_and(|jti| !jti.is_empty()),
                (_, value) => value.is_some_and(Value::is_string),
            };
            if !is_right {
                wrong.push(name);
            }
        }
        match wrong.is_empty() {
            true => holds(""),
            false => fails(format!("missing or of the wrong type: {}", wrong.join(", "))),
        }
    }

    fn typ(&self) -> Outcome {
        match self.header("typ") {
            Ok(Some(Value::String(typ))) if typ == "dpop+jwt" => holds(""),
            Ok(Some(other)) => fails(format!("it is {}", shown(other))),
            Ok(None) => fails("there is no typ"),
            Err(outcome) => outcome,
        }
    }

    fn algorithm(&self) -> Result<Algorithm, Outcome> {
        let name = self.header("alg")?.ok_or_else(|| fails("there is no alg"))?;
        let known = name.as_str().and_then(Algorithm::from_name);
        known.ok_or_else(|| {
            fails(format!("{} is no asymmetric signature algorithm that is known here", shown(name)))
        })
    }

    fn alg(&self, expected: &Expected<'_>) -> Outcome {
        match (self.algorithm(), expected.algorithms) {
            (Err(outcome), _) => outcome,
            (Ok(algorithm), None) => {
                holds(format!("it is {algorithm}; which ones a server accepts is its choice"))
            }
            (Ok(algorithm), Some(accepted)) if accepted.contains(&algorithm) => {
                holds(format!("it is {algorithm}"))
            }
            (Ok(algorithm), Some(_)) => fails(format!("it is {algorithm}, which --alg does not name")),
        }
    }

    /// Returns the key, read without private members: whether it has some is another check.
    fn key(&self) -> Result<PublicKey, Outcome> {
        let mut jwk = self.header("jwk")?.ok_or_else(|| fails("there is no jwk"))?.clone();
        if let Some(members) = jwk.as_object_mut().filter(|members| members.get("kty") != Some(&"oct".into()))
        {
            members.retain(|name, _| !PRIVATE.contains(&name.as_str()));
        }
        PublicKey::from_jwk(&jwk.to_string()).map_err(|error| fails(error.to_string()))
    }

    fn signature(&self) -> Outcome {
        if let Err(outcome) = self.header("alg") {
            return outcome;
        }
        let Ok(algorithm) = self.algorithm() else { return unknown("the algorithm is not known here") };
        let key = match self.key() {
            Ok(key) => key,
            Err(outcome) => return outcome,
        };
        let of_key = self.header("jwk").ok().flatten().and_then(|jwk| jwk.get("alg"));
        if let Some(other) =
            of_key.filter(|alg| alg.as_str().and_then(Algorithm::from_name) != Some(algorithm))
        {
            return fails(format!("alg is {algorithm}, and the alg of the key is {}", shown(other)));
        }
        let signed = self.decoded.as_ref().and_then(|decoded| {
            decoded.signature.as_ref().ok().map(|signature| (decoded.signed.as_bytes(), signature))
        });
        let Some((signed, signature)) = signed else { return unknown("the signature cannot be read") };
        match key.verify(algorithm, signed, signature) {
            Ok(()) => holds(format!("the thumbprint of the key (jkt) is {}", key.thumbprint())),
            Err(error) => fails(error.to_string()),
        }
    }

    fn private(&self) -> Outcome {
        match self.header("jwk") {
            Ok(None) => unknown("there is no jwk"),
            Ok(Some(jwk)) => match private_member(jwk) {
                Some(name) => fails(format!("it has the member {name}: this key is compromised")),
                None => holds(""),
            },
            Err(outcome) => outcome,
        }
    }

    fn htm(&self, expected: &Expected<'_>) -> Outcome {
        let Some(method) = expected.method else { return unknown("no --method was given") };
        match self.claim("htm") {
            Ok(Some(htm)) if htm == method.as_str() => holds(""),
            Ok(Some(htm)) => fails(format!("it is {}, and the method is {method}", shown(htm))),
            Ok(None) => fails("there is no htm"),
            Err(outcome) => outcome,
        }
    }

    fn htu(&self, expected: &Expected<'_>) -> Outcome {
        let Some(url) = expected.url else { return unknown("no --url was given") };
        let htu = match self.claim("htu") {
            Ok(Some(Value::String(htu))) => htu,
            Ok(Some(other)) => return fails(format!("it is {}", shown(other))),
            Ok(None) => return fails("there is no htu"),
            Err(outcome) => return outcome,
        };
        match (htu.parse::<Htu>(), url.parse::<Htu>()) {
            (Ok(actual), Ok(expected)) if actual == expected => holds(""),
            (Ok(actual), Ok(expected)) => fails(format!("it is {actual}, and the URL is {expected}")),
            (Err(error), _) => fails(error.to_string()),
            (_, Err(error)) => fails(format!("--url: {error}")),
        }
    }

    fn nonce(&self, expected: &Expected<'_>) -> Outcome {
        match (expected.nonce, self.claim("nonce")) {
            (_, Err(outcome)) => outcome,
            (None, Ok(None)) => holds("it has none, and no --nonce was given"),
            (None, Ok(Some(nonce))) => unknown(format!("it is {}, and no --nonce was given", shown(nonce))),
            (Some(right), Ok(Some(Value::String(nonce)))) if nonce == right => holds(""),
            (Some(right), Ok(Some(nonce))) => {
                fails(format!("it is {}, and the server gave {}", shown(nonce), Value::from(right)))
            }
            (Some(_), Ok(None)) => fails("there is no nonce"),
        }
    }

    fn time(&self, expected: &Expected<'_>) -> Outcome {
        let now = seconds(expected.now);
        let [iat, exp, nbf] = match ["iat", "exp", "nbf"].map(|name| self.claim(name)) {
            [Ok(iat), Ok(exp), Ok(nbf)] => [iat, exp, nbf],
            [Err(outcome), ..] | [_, Err(outcome), _] | [_, _, Err(outcome)] => return outcome,
        };
        let Some(iat) = iat.and_then(Value::as_f64) else { return fails("there is no iat that is a number") };
        for (name, value) in [("exp", exp), ("nbf", nbf)] {
            if value.is_some_and(|value| !value.is_number()) {
                return fails(format!("{name} is not a number"));
            }
        }
        let (age, max_age, leeway) =
            (now - iat, expected.max_age.as_secs_f64(), expected.leeway.as_secs_f64());
        let date = format!("it is from {}", date(iat));
        if age > max_age {
            return fails(format!("{date}, {} ago, and at most {max_age} s are accepted", span(age)));
        }
        if -age > leeway {
            return fails(format!("{date}, {} ahead, and at most {leeway} s are accepted", span(-age)));
        }
        match (exp.and_then(Value::as_f64), nbf.and_then(Value::as_f64)) {
            (Some(exp), _) if exp <= now => fails(format!("exp was {} ago", span(now - exp))),
            (_, Some(nbf)) if nbf > now + leeway => fails(format!("nbf is {} ahead", span(nbf - now))),
            _ if age < 0.0 => holds(format!("it is {} ahead", span(-age))),
            _ => holds(format!("it is {} old", span(age))),
        }
    }

    fn token(&self, expected: &Expected<'_>) -> Outcome {
        let binding = self.binding(expected);
        let actual = match self.claim("ath") {
            Ok(actual) => actual,
            Err(outcome) => return outcome,
        };
        match (expected.access_token, actual) {
            (None, _) if binding.0 == Some(false) => binding,
            (None, None) => holds("it has none, and no access token was given"),
            (None, Some(_)) => unknown("no access token was given (--token-env, --token-file)"),
            (Some(_), None) => fails("there is no ath"),
            (Some(token), Some(actual)) if *actual == ath(token) => binding,
            (Some(token), Some(actual)) if *actual == *token => {
                fails(format!("it is the token itself, whose hash is {}", ath(token)))
            }
            (Some(token), Some(actual)) => {
                fails(format!("it is {}, and the hash of the token is {}", shown(actual), ath(token)))
            }
        }
    }

    /// Compares the key with the one that the token is bound to: that of `--jkt`, or the `cnf` of a JWT (RFC
    /// 9449 §6.1).
    fn binding(&self, expected: &Expected<'_>) -> Outcome {
        let token = expected.access_token.and_then(Decoded::read);
        let claims = token.and_then(|decoded| decoded.claims.ok()).unwrap_or_default();
        let of_token = claims.pointer("/cnf/jkt").and_then(Value::as_str);
        let Some(bound) = expected.jkt.or(of_token) else {
            return unknown("the hash is right; which key the token is bound to is not known (--jkt)");
        };
        match self.key() {
            Ok(key) if bound == key.thumbprint().to_string() => holds("the token is bound to this key"),
            Ok(key) => fails(format!("the token is bound to {bound}, and the key is {}", key.thumbprint())),
            Err(_) => unknown("the key cannot be read"),
        }
    }
}

/// Returns a value of the proof without secrets, which may be anywhere in it.
fn shown(value: &Value) -> Value {
    without_secrets(value.clone())
}

/// Returns a time in whole seconds since 1970, which may be before that.
pub fn seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64().floor(),
        Err(before) => -before.duration().as_secs_f64().ceil(),
    }
}

/// Returns a number of seconds that people can read.
pub fn span(seconds: f64) -> String {
    match seconds {
        86_400.0.. => format!("{seconds} s ({:.1} days)", seconds / 86_400.0),
        seconds => format!("{seconds} s"),
    }
}

/// Returns a date that people can read.
pub fn date(seconds: f64) -> String {
    // What httpdate can write: up to the year 9999.
    match seconds {
        0.0..253_402_300_800.0 => {
            let time =
                Duration::try_from_secs_f64(seconds).ok().and_then(|time| UNIX_EPOCH.checked_add(time));
            time.map_or_else(|| seconds.to_string(), httpdate::fmt_http_date)
        }
        seconds => seconds.to_string(),
    }
}
