//! Changes of a correct proof, one each, with what a server should do with it.

use base64ct::Encoding as _;
use serde_json::{Value, json};

use super::case::{Change, Defect, Endpoints, Level, Need, Right, Rule};
use super::changed_url::UrlParts;
use super::malformed_proof::{ProofParts, Signature, encode};
use super::weak_rsa;

const fn refuse(id: &'static str, source: &'static str, title: &'static str, change: Change) -> Defect {
    let rule = Rule { id, source, level: Level::Must, right: Right::Refuse, title };
    Defect { rule, change, needs: &[], at: Endpoints::Both, is_age: false }
}

const fn accept(id: &'static str, source: &'static str, title: &'static str, change: Change) -> Defect {
    let rule = Rule { id, source, level: Level::Interoperability, right: Right::Accept, title };
    Defect { rule, change, needs: &[], at: Endpoints::Both, is_age: false }
}

impl Defect {
    const fn should(mut self) -> Self {
        self.rule.level = Level::Should;
        self
    }

    const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    const fn age(mut self) -> Self {
        self.is_age = true;
        self
    }

    const fn at(mut self, at: Endpoints) -> Self {
        self.at = at;
        self
    }
}

const CHECK_2: &str = "RFC 9449 §4.3 check 2";
const CHECK_3: &str = "RFC 9449 §4.3 check 3";
const CHECK_4: &str = "RFC 9449 §4.3 check 4";
const CHECK_5: &str = "RFC 9449 §4.3 check 5";
const CHECK_6: &str = "RFC 9449 §4.3 check 6";
const CHECK_7: &str = "RFC 9449 §4.3 check 7";
const CHECK_8: &str = "RFC 9449 §4.3 check 8";
const CHECK_9: &str = "RFC 9449 §4.3 check 9";
const CHECK_10: &str = "RFC 9449 §4.3 check 10";
const CHECK_11: &str = "RFC 9449 §4.3 check 11";
const CHECK_12: &str = "RFC 9449 §4.3 check 12";
const FAPI_TIME: &str = "FAPI 2.0 Security Profile §5.3.2.1";
const EXTENSIBLE: &str = "RFC 7519 §4, RFC 7515 §4.2";
const HOUR: u64 = 3600;

/// Every change of a proof.
pub fn all() -> Vec<Defect> {
    [
        form(),
        header(),
        algorithms(),
        keys(),
        signatures(),
        claims(),
        method_and_url(),
        times(),
        tokens(),
        nonces(),
        acceptable(),
    ]
    .concat()
}

fn form() -> Vec<Defect> {
    vec![
        refuse("not-a-jwt", CHECK_2, "a text that is no JWT", |proof, _| {
            proof.finish = |_| "proof".to_owned()
        }),
        refuse("two-segments", CHECK_2, "a JWT without its signature segment", |proof, _| {
            proof.finish =
                |proof| proof.rsplit_once('.').map_or(String::new(), |(signed, _)| signed.to_owned());
        }),
        refuse("four-segments", CHECK_2, "a JWT with a fourth segment", |proof, _| {
            proof.finish = |proof| format!("{proof}.e30");
        }),
        refuse("two-proofs-joined", CHECK_2, "two proofs in one field, with a comma between", |proof, _| {
            proof.finish = |proof| format!("{proof}, {proof}");
        }),
        refuse("padded-base64", "RFC 7515 §2", "base64url with padding", |proof, _| {
            proof.finish = |proof| format!("{proof}==");
        }),
        refuse("header-not-json", CHECK_2, "a header that is not JSON", |proof, _| {
            proof.header_text = Some("typ=dpop+jwt".to_owned());
        }),
        refuse("payload-not-json", CHECK_2, "a payload that is not JSON", |proof, _| {
            proof.claims_text = Some("jti=1".to_owned());
        }),
        refuse("payload-array", CHECK_2, "a payload that is an array", |proof, _| {
            proof.claims_text = Some(format!("[{}]", Value::Object(proof.claims.clone())));
        }),
        refuse(
            "duplicate-htm",
            "RFC 7519 §4",
            "the claim htm twice, with another method first",
            |proof, _| {
                proof.claims_text = Some(duplicate(&proof.claims, "htm", "OTHER"));
            },
        )
        .should(),
        refuse(
            "duplicate-alg",
            "RFC 7515 §4",
            "the header parameter alg twice, with none first",
            |proof, _| {
                proof.header_text = Some(duplicate(&proof.header, "alg", "none"));
            },
        )
        .should(),
    ]
}

/// Returns the text of an object with a member of that name in front.
fn duplicate(members: &serde_json::Map<String, Value>, name: &str, first: &str) -> String {
    let text = Value::Object(members.clone()).to_string();
    format!("{{\"{name}\":\"{first}\",{}", text.strip_prefix('{').unwrap_or_default())
}

fn header() -> Vec<Defect> {
    vec![
        refuse("typ-missing", CHECK_4, "no typ", |proof, _| drop(proof.header.remove("typ"))),
        refuse("typ-jwt", CHECK_4, "typ is JWT", |proof, _| proof.set_header("typ", "JWT")),
        refuse("typ-at-jwt", CHECK_4, "typ is at+jwt, that of access tokens", |proof, _| {
            proof.set_header("typ", "at+jwt");
        }),
        refuse(
            "crit-unknown",
            "RFC 7515 §4.1.11",
            "crit names an extension that does not exist",
            |proof, _| {
                proof.set_header("crit", json!(["https://example.com/unknown"]));
                proof.set_header("https://example.com/unknown", true);
            },
        ),
        refuse("crit-empty", "RFC 7515 §4.1.11", "crit is an empty array", |proof, _| {
            proof.set_header("crit", json!([]));
        }),
    ]
}

fn algorithms() -> Vec<Defect> {
    vec![
        refuse("alg-missing", CHECK_5, "no alg", |proof, _| drop(proof.header.remove("alg"))),
        refuse("alg-none", CHECK_5, "alg is none, and the signature is empty", |proof, _| {
            proof.set_header("alg", "none");
            proof.signature = Signature::Empty;
        }),
        refuse("alg-none-cased", CHECK_5, "alg is nOnE, and the signature is empty", |proof, _| {
            proof.set_header("alg", "nOnE");
            proof.signature = Signature::Empty;
        }),
        refuse("alg-none-signed", CHECK_5, "alg is none, and there is a signature", |proof, _| {
            proof.set_header("alg", "none");
        }),
        refuse("hmac-with-jwk", CHECK_5, "HS256 with the JWK of the public key as the secret", |proof, _| {
            let jwk = proof.header.get("jwk").map(Value::to_string).unwrap_or_default();
            proof.set_header("alg", "HS256");
            proof.signature = Signature::Hmac(jwk.into_bytes());
        }),
        refuse(
            "hmac-with-x",
            CHECK_5,
            "HS256 with the member x (RSA: n) of the public key as the secret",
            |proof, _| {
                let jwk = proof.header.get("jwk");
                let number = jwk.and_then(|jwk| jwk.get("x").or_else(|| jwk.get("n")));
                let key = number.and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec();
                proof.set_header("alg", "HS256");
                proof.signature = Signature::Hmac(key);
            },
        ),
        refuse("hmac-with-oct", CHECK_5, "HS256 with a symmetric key in jwk", |proof, _| {
            let secret = b"0123456789abcdef0123456789abcdef";
            proof.set_header("jwk", json!({ "kty": "oct", "k": encode(secret) }));
            proof.set_header("alg", "HS256");
            proof.signature = Signature::Hmac(secret.to_vec());
        })
        .at(Endpoints::Token),
        refuse("alg-unknown", CHECK_5, "alg is not registered", |proof, _| proof.set_header("alg", "XS256")),
        refuse("alg-lower-case", CHECK_5, "alg in lower case", |proof, _| {
            let name = proof.header.get("alg").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            proof.set_header("alg", name);
        }),
        refuse("alg-of-other-key", CHECK_6, "alg does not belong to the type of the key", |proof, _| {
            proof.set_header("alg", "RS256");
        }),
        refuse("alg-number", CHECK_5, "alg is a number", |proof, _| proof.set_header("alg", 256)),
    ]
}

fn keys() -> Vec<Defect> {
    vec![
        refuse("jwk-missing", CHECK_6, "no jwk", |proof, _| drop(proof.header.remove("jwk"))),
        refuse("jwk-null", CHECK_6, "jwk is null", |proof, _| proof.set_header("jwk", Value::Null)),
        refuse("jwk-string", CHECK_6, "jwk is a string", |proof, _| {
            let jwk = proof.header.get("jwk").map(Value::to_string);
            proof.set_header("jwk", jwk);
        }),
        refuse("jwk-private", CHECK_7, "jwk contains the private key", |proof, _| {
            let private = serde_json::from_str::<Value>(&proof.key.to_jwk()).unwrap_or_default();
            let d = private.get("d").cloned().unwrap_or_default();
            proof.set_jwk_member("d", d);
        })
        .needs(&[Need::NewKey]),
        refuse(
            "jwk-private-made-up",
            CHECK_7,
            "jwk has a member d that is not the private key",
            |proof, _| {
                proof.set_jwk_member("d", "AAAA");
            },
        ),
        refuse("jwk-off-curve", CHECK_6, "the point in jwk is not on its curve", |proof, _| {
            proof.set_jwk_member("x", encode(&[1; 32]));
        }),
        refuse("jwk-no-kty", CHECK_6, "jwk without kty", |proof, _| {
            if let Some(jwk) = proof.header.get_mut("jwk").and_then(Value::as_object_mut) {
                jwk.remove("kty");
            }
        }),
        refuse("jwk-of-other-key", CHECK_6, "jwk is another key than the one that signed", |proof, _| {
            proof.set_jwk_of_other_key();
        })
        .at(Endpoints::Token),
        refuse(
            "ed25519-small-order",
            "RFC 8032 §8.9, RFC 8037",
            "an Ed25519 key of small order, under which one signature fits any text",
            |proof, _| {
                let identity = [&[1_u8][..], &[0; 31]].concat();
                proof.set_header("alg", "EdDSA");
                proof.set_header("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&identity) }));
                proof.signature = Signature::Bytes([identity, vec![0; 32]].concat());
            },
        )
        .at(Endpoints::Token),
        refuse(
            "rsa-exponent-one",
            "RFC 8017 §3.1",
            "an RSA key with e = 1, whose signature is the padded hash",
            |proof, _| {
                proof.set_header("alg", "RS256");
                proof.set_header("jwk", weak_rsa::exponent_one_jwk());
                proof.signature = Signature::From(weak_rsa::sign_with_exponent_one);
            },
        )
        .at(Endpoints::Token),
        refuse("rsa-1024", "RFC 7518 §3.3", "an RSA key of 1024 bits", |proof, _| {
            proof.set_header("alg", "RS256");
            proof.set_header("jwk", weak_rsa::short_jwk());
            proof.signature = Signature::From(weak_rsa::sign_with_short_key);
        })
        .at(Endpoints::Token),
    ]
}

fn signatures() -> Vec<Defect> {
    vec![
        refuse("signature-corrupt", CHECK_6, "one bit of the signature is wrong", |proof, _| {
            proof.signature = Signature::Corrupt;
        }),
        refuse("signature-other-key", CHECK_6, "the signature is by another key than jwk", |proof, _| {
            proof.signature = Signature::ByOtherKey;
        }),
        refuse("signature-truncated", CHECK_6, "the signature lacks its last byte", |proof, _| {
            proof.signature = Signature::Truncated;
        }),
        refuse("signature-empty", CHECK_6, "the signature is empty", |proof, _| {
            proof.signature = Signature::Empty;
        }),
        refuse("signature-zero", CHECK_6, "the signature consists of zeros (CVE-2022-21449)", |proof, _| {
            proof.signature = Signature::Zero;
        }),
        refuse("signature-der", "RFC 7518 §3.4", "an ECDSA signature in DER", |proof, _| {
            proof.signature = Signature::Der;
        })
        .needs(&[Need::Es256]),
        refuse("claims-changed", CHECK_6, "a claim was changed after the proof was signed", |proof, _| {
            proof.finish = |proof| {
                let mut segments: Vec<_> = proof.split('.').map(str::to_owned).collect();
                if let Some(claims) = segments.get_mut(1) {
                    let decoded = base64ct::Base64UrlUnpadded::decode_vec(claims).unwrap_or_default();
                    *claims = encode(&[decoded, vec![b' ']].concat());
                }
                segments.join(".")
            };
        }),
    ]
}

fn claims() -> Vec<Defect> {
    vec![
        refuse("jti-missing", CHECK_3, "no jti", |proof, _| drop(proof.claims.remove("jti"))),
        refuse("jti-empty", CHECK_3, "jti is empty", |proof, _| proof.set_claim("jti", "")),
        refuse("jti-number", CHECK_3, "jti is a number", |proof, _| proof.set_claim("jti", proof.iat())),
        refuse("htm-missing", CHECK_3, "no htm", |proof, _| drop(proof.claims.remove("htm"))),
        refuse("htu-missing", CHECK_3, "no htu", |proof, _| drop(proof.claims.remove("htu"))),
        refuse("iat-missing", CHECK_3, "no iat", |proof, _| drop(proof.claims.remove("iat"))),
        refuse("iat-string", CHECK_3, "iat is a string", |proof, _| {
            proof.set_claim("iat", proof.iat().to_string());
        }),
        refuse("htu-array", CHECK_3, "htu is an array of the right URL", |proof, _| {
            proof.set_claim("htu", json!([proof.claim("htu")]));
        }),
    ]
}

fn method_and_url() -> Vec<Defect> {
    vec![
        refuse("htm-other", CHECK_8, "htm is another method", |proof, target| {
            proof.set_claim("htm", if target.method == "PUT" { "GET" } else { "PUT" });
        }),
        refuse("htm-lower-case", CHECK_8, "htm in lower case", |proof, target| {
            proof.set_claim("htm", target.method.to_lowercase());
        }),
        refuse("htu-other-host", CHECK_9, "htu has another host", |proof, _| {
            change_url(proof, |url| url.host = "other.example".to_owned());
        }),
        refuse("htu-subdomain", CHECK_9, "htu has a host that begins like the right one", |proof, _| {
            change_url(proof, |url| url.host = format!("{}.other.example", url.host));
        }),
        refuse("htu-other-port", CHECK_9, "htu has another port", |proof, _| {
            change_url(proof, |url| url.port = ":4711".to_owned());
        }),
        refuse("htu-other-scheme", CHECK_9, "htu has another scheme", |proof, _| {
            change_url(proof, |url| {
                url.write_port();
                url.scheme = if url.scheme == "https" { "http" } else { "https" }.to_owned();
            });
        }),
        refuse("htu-origin-alone", CHECK_9, "htu is the origin without the path", |proof, _| {
            change_url(proof, |url| url.path = if url.path == "/" { "/other" } else { "/" }.to_owned());
        }),
        refuse("htu-longer-path", CHECK_9, "htu has a longer path", |proof, _| {
            change_url(proof, |url| url.path = format!("{}/other", url.path.trim_end_matches('/')));
        }),
        refuse("htu-trailing-slash", CHECK_9, "htu has another slash at its end", |proof, _| {
            change_url(proof, |url| url.path.push('/'));
        }),
        refuse(
            "htu-path-case",
            "RFC 3986 §6.2.2.1",
            "a letter of the path in htu has another case",
            |proof, _| {
                change_url(proof, UrlParts::change_case_of_path);
            },
        )
        .needs(&[Need::PathWithLetters]),
        refuse("htu-double-slash", CHECK_9, "the path in htu begins with two slashes", |proof, _| {
            change_url(proof, |url| url.path.insert(0, '/'));
        }),
        refuse(
            "htu-dot-segments",
            "RFC 3986 §6.2.2.3",
            "the path in htu leads elsewhere through dot segments",
            |proof, _| {
                change_url(proof, |url| {
                    url.path = format!("{}/../somewhere-else", url.path.trim_end_matches('/'));
                });
            },
        ),
        refuse("htu-path-alone", CHECK_9, "htu is the path alone", |proof, _| {
            proof.set_claim("htu", UrlParts::read(proof.claim("htu")).path);
        }),
        refuse(
            "htu-user-information",
            CHECK_9,
            "htu has user information in front of the host",
            |proof, _| change_url(proof, |url| url.host.insert_str(0, "user@")),
        ),
        refuse("htu-empty", CHECK_9, "htu is empty", |proof, _| proof.set_claim("htu", "")),
    ]
}

/// Changes a part of `htu`.
fn change_url(proof: &mut ProofParts<'_>, change: fn(&mut UrlParts)) {
    let mut url = UrlParts::read(proof.claim("htu"));
    change(&mut url);
    proof.set_claim("htu", url.to_string());
}

fn times() -> Vec<Defect> {
    let age = |id, title, change| refuse(id, CHECK_11, title, change).age();
    vec![
        age("iat-hour-old", "iat is an hour ago", |proof, _| {
            proof.set_claim("iat", proof.iat().saturating_sub(HOUR));
        }),
        age("iat-day-old", "iat is a day ago", |proof, _| {
            proof.set_claim("iat", proof.iat().saturating_sub(24 * HOUR));
        }),
        age("iat-hour-ahead", "iat is an hour ahead", |proof, _| {
            proof.set_claim("iat", proof.iat().saturating_add(HOUR));
        }),
        age("iat-day-ahead", "iat is a day ahead", |proof, _| {
            proof.set_claim("iat", proof.iat().saturating_add(24 * HOUR));
        }),
        age("iat-milliseconds", "iat is in milliseconds", |proof, _| {
            proof.set_claim("iat", proof.iat().saturating_mul(1000));
        }),
        age("iat-zero", "iat is 0", |proof, _| proof.set_claim("iat", 0)),
        age("iat-negative", "iat is negative", |proof, _| proof.set_claim("iat", -1)),
        refuse("exp-past", "RFC 7519 §4.1.4", "exp was a minute ago", |proof, _| {
            proof.set_claim("exp", proof.iat().saturating_sub(60));
        }),
        refuse("nbf-hour-ahead", "RFC 7519 §4.1.5", "nbf is an hour ahead", |proof, _| {
            proof.set_claim("nbf", proof.iat().saturating_add(HOUR));
        }),
    ]
}

fn tokens() -> Vec<Defect> {
    let token = |id, title, change| refuse(id, CHECK_12, title, change).at(Endpoints::Resource);
    vec![
        token("ath-missing", "no ath", |proof, _| drop(proof.claims.remove("ath"))),
        token("ath-other-token", "ath is the hash of another token", |proof, _| {
            proof.set_claim("ath", possession::ath("another-token"));
        }),
        token("ath-token-itself", "ath is the token and not its hash", |proof, target| {
            proof.set_claim("ath", target.access_token.clone());
        }),
        token("ath-padded", "ath in base64url with padding", |proof, _| {
            proof.set_claim("ath", format!("{}=", proof.claim("ath")));
        }),
        token("ath-empty", "ath is empty", |proof, _| proof.set_claim("ath", "")),
        token("other-key", "a correct proof by another key than that of the token", |proof, _| {
            proof.set_jwk_of_other_key();
            proof.signature = Signature::ByOtherKey;
        }),
    ]
}

fn nonces() -> Vec<Defect> {
    let nonce = |id, title, change| refuse(id, CHECK_10, title, change).needs(&[Need::Nonce]);
    vec![
        nonce("nonce-forged", "a nonce that the server never gave", |proof, _| {
            proof.set_claim("nonce", "c2lsbHktbm9uY2U");
        }),
        nonce("nonce-changed", "a nonce of the server with another last character", |proof, _| {
            let nonce = proof.claim("nonce");
            let last = if nonce.ends_with('A') { 'B' } else { 'A' };
            let kept: String = nonce.chars().take(nonce.chars().count().saturating_sub(1)).collect();
            proof.set_claim("nonce", format!("{kept}{last}"));
        }),
        nonce("nonce-empty", "an empty nonce", |proof, _| proof.set_claim("nonce", "")),
        nonce("nonce-missing", "no nonce, although the server asks for one", |proof, _| {
            proof.claims.remove("nonce");
        }),
        nonce("nonce-array", "the nonce in an array", |proof, _| {
            proof.set_claim("nonce", json!([proof.claim("nonce")]));
        }),
    ]
}

fn acceptable() -> Vec<Defect> {
    vec![
        accept("unknown-header", EXTENSIBLE, "an unknown header parameter", |proof, _| {
            proof.set_header("x-note", json!({ "any": ["value"] }));
        }),
        accept("unknown-claim", EXTENSIBLE, "an unknown claim", |proof, _| {
            proof.set_claim("x-note", json!({ "any": ["value"] }));
        }),
        accept("jwk-kid", "RFC 7517 §4", "jwk with kid, use and an unknown member", |proof, _| {
            proof.set_jwk_member("kid", "key-1");
            proof.set_jwk_member("use", "sig");
            proof.set_jwk_member("x-note", "any");
        }),
        accept("htu-query", CHECK_9, "htu with a query, which is ignored", |proof, _| {
            proof.set_claim("htu", format!("{}?a=b", proof.claim("htu")));
        }),
        accept("htu-fragment", CHECK_9, "htu with a fragment, which is ignored", |proof, _| {
            proof.set_claim("htu", format!("{}#a", proof.claim("htu")));
        }),
        accept("htu-host-case", "RFC 3986 §6.2.2.1", "scheme and host of htu in upper case", |proof, _| {
            change_url(proof, |url| {
                url.scheme.make_ascii_uppercase();
                url.host.make_ascii_uppercase();
            });
        }),
        accept(
            "htu-default-port",
            "RFC 3986 §6.2.3",
            "htu with the default port written out",
            |proof, _| {
                change_url(proof, UrlParts::write_port);
            },
        )
        .needs(&[Need::DefaultPort]),
        accept("iat-10-s-old", FAPI_TIME, "iat is 10 s ago", |proof, target| {
            proof.set_claim("iat", target.now.saturating_sub(10));
        }),
        accept("iat-8-s-ahead", FAPI_TIME, "iat is 8 s ahead", |proof, target| {
            proof.set_claim("iat", target.now.saturating_add(8));
        }),
        accept("iat-fraction", "RFC 7519 §2", "iat with a fraction of a second", |proof, _| {
            let iat = proof.iat();
            proof.set_claim("iat", json!(iat as f64 + 0.5));
        }),
        accept("nbf-and-exp", "RFC 7519 §4.1", "nbf is now, and exp in five minutes", |proof, target| {
            proof.set_claim("nbf", target.now.saturating_sub(1));
            proof.set_claim("exp", target.now.saturating_add(300));
        }),
        accept("jti-long", "RFC 7519 §4.1.7", "a jti of 200 characters", |proof, _| {
            let jti = format!("{}{}", proof.claim("jti"), "-".repeat(200));
            proof.set_claim("jti", jti.chars().take(200).collect::<String>());
        }),
        accept("escaped-claims", "RFC 8259 §7", "escaped characters in the values of claims", |proof, _| {
            let text = Value::Object(proof.claims.clone()).to_string();
            proof.claims_text = Some(text.replace("://", ":\\/\\/"));
        }),
    ]
}
