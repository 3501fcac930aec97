//! JWT access tokens (RFC 9068) with the keys of their issuer. Threats V-22, V-51, V-53 and V-58. Key sets
//! that are fetched are tested in `key_sets.rs`.

use std::time::{Duration, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, ISSUER, JKT, Remote, claims, header, jwk, jwks, jwt, key, server, validator};
use crate::support::{NOW, at, set, without};

/// A valid token is accepted, and its claims and scopes can be read.
#[test]
fn v_58_a_valid_jwt_access_token_is_accepted() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    let ask = |header: &Value, claims: &Value| tokens.validate(&jwt(&key, header, claims), at(NOW));
    let token = ask(&header(), &claims()).unwrap();
    assert_eq!(token.jkt().unwrap().to_string(), JKT);
    assert_eq!(token.claim("sub"), Some(&json!("s")));
    assert!(
        token.has_scope("read")
            && token.has_scope("write")
            && !token.has_scope("rea")
            && !token.has_scope("")
    );
    assert!(!token.has_scope("read write") && format!("{token:?}").contains("cnf"));
}

fn wrong_typ(expected: &[&str], seen: Option<&str>) -> TokenError {
    let expected = expected.iter().map(ToString::to_string).collect();
    TokenError::Typ { expected, actual: seen.map(str::to_owned) }
}

/// RFC 9068 §4 and RFC 7515 §4.1.9: `typ` is a media type.
#[test]
fn v_58_only_the_access_token_types_are_accepted() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    let ask = |header: &Value, claims: &Value| tokens.validate(&jwt(&key, header, claims), at(NOW));
    for typ in ["application/at+jwt", "AT+JWT"] {
        assert!(ask(&set(header(), "typ", typ), &claims()).is_ok(), "{typ}");
    }
    for typ in [
        json!("JWT"),
        json!("dpop+jwt"),
        json!("application/jwt"),
        json!("text/at+jwt"),
        json!(1),
        json!(null),
    ] {
        let expected = Err(wrong_typ(&["at+jwt"], typ.as_str()));
        assert_eq!(ask(&set(header(), "typ", typ.clone()), &claims()), expected, "{typ}");
    }
    assert_eq!(ask(&without(header(), "typ"), &claims()), Err(wrong_typ(&["at+jwt"], None)));
    let lenient = tokens.clone().dangerous_accept_typ("JWT");
    assert!(lenient.validate(&jwt(&key, &set(header(), "typ", "jwt"), &claims()), at(NOW)).is_ok());
}

/// The algorithm is one that is listed, the key is found by its name in the key set of the issuer, and the
/// signature is correct.
#[test]
fn v_58_the_signature_is_verified_with_a_listed_algorithm_and_a_key_of_the_issuer() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    let ask = |header: &Value, claims: &Value| tokens.validate(&jwt(&key, header, claims), at(NOW));
    for alg in ["none", "HS256", "RS256", "ES384", "EdDSA", "es256", ""] {
        let seen = ask(&set(header(), "alg", alg), &claims());
        assert!(
            // RS256 is listed (RFC 9068 §2.1) and can be verified with the feature `ring`.
            matches!(
                seen,
                Err(TokenError::Algorithm { .. }
                    | TokenError::NoSignatureVerifier { algorithm: Algorithm::Rs256 }
                    | TokenError::UnknownKey)
            ),
            "{alg}: {seen:?}"
        );
    }
    for kid in [json!("k2"), json!(""), json!(1), json!(null)] {
        assert_eq!(ask(&set(header(), "kid", kid.clone()), &claims()), Err(TokenError::UnknownKey), "{kid}");
    }
    assert!(ask(&without(header(), "kid"), &claims()).is_ok());
    let crit = ask(&set(header(), "crit", json!(["x"])), &claims());
    assert!(matches!(crit, Err(TokenError::Malformed(_))));
    let unsigned = jwt(&key, &header(), &claims());
    let unsigned =
        format!("{}.{}", unsigned.rsplit_once('.').unwrap().0, Base64UrlUnpadded::encode_string(&[1; 64]));
    assert_eq!(tokens.validate(&unsigned, at(NOW)), Err(TokenError::Signature));
    // V-22: a key in the token itself is not used.
    let own = crate::issuer::key(Algorithm::Es256);
    let forged = jwt(&own, &set(header(), "jwk", jwk(&own, "k1", &json!({}))), &claims());
    assert_eq!(tokens.validate(&forged, at(NOW)), Err(TokenError::Signature));
}

/// `iss` and `aud` are compared code point for code point (RFC 7519 §4.1.1 and §4.1.3). A required claim
/// that is missing or `null` refuses the token.
#[test]
fn v_58_issuer_audience_and_required_claims_are_checked() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    let ask = |header: &Value, claims: &Value| tokens.validate(&jwt(&key, header, claims), at(NOW));
    for iss in [json!("https://as.example/"), json!("https://AS.example"), json!([ISSUER]), json!(1)] {
        let expected =
            TokenError::Issuer { expected: ISSUER.to_owned(), actual: iss.as_str().map(str::to_owned) };
        assert_eq!(ask(&header(), &set(claims(), "iss", iss.clone())), Err(expected), "{iss}");
    }
    let others: Vec<_> = (0..20).map(|n| format!("https://{n}.example")).collect();
    // (aud, what the error shows of it, if there is one)
    let rows: [(Value, Option<&[&str]>); 8] = [
        (json!(["https://other.example", AUDIENCE]), None),
        (json!("https://api.example/"), Some(&["https://api.example/"])),
        (json!(["https://other.example"]), Some(&["https://other.example"])),
        (json!(["a\u{7f}\n", 1, {"b": 2}, "c"]), Some(&["a??", "c"])),
        (json!([]), Some(&[])),
        (json!({AUDIENCE: 1}), Some(&[])),
        (json!(1), Some(&[])),
        (json!(others), Some(&others[..10].iter().map(String::as_str).collect::<Vec<_>>())),
    ];
    for (aud, seen) in rows {
        let expected = match seen {
            None => Ok(()),
            Some(seen) => {
                let seen = seen.iter().map(ToString::to_string).collect();
                Err(TokenError::Audience { expected: AUDIENCE.to_owned(), actual: seen })
            }
        };
        assert_eq!(ask(&header(), &set(claims(), "aud", aud.clone())).map(drop), expected, "{aud}");
    }
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let missing = Err(TokenError::Claim { claim: claim.to_owned() });
        assert_eq!(ask(&header(), &without(claims(), claim)).map(drop), missing);
        assert_eq!(ask(&header(), &set(claims(), claim, json!(null))).map(drop), missing);
    }
    let other_profile = tokens.clone().required_claims(["azp"]);
    let azp = set(without(without(claims(), "client_id"), "jti"), "azp", "c");
    assert!(other_profile.validate(&jwt(&key, &header(), &azp), at(NOW)).is_ok());
    assert!(other_profile.validate(&jwt(&key, &header(), &without(azp, "exp")), at(NOW)).is_err());
}

#[test]
fn v_58_exp_and_nbf_allow_five_seconds_for_clocks() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    let ask = |header: &Value, claims: &Value| tokens.validate(&jwt(&key, header, claims), at(NOW));
    // `exp` is the first moment at which the token is expired (RFC 7519 §4.1.4).
    for (exp, fine) in [
        (json!(NOW - 4), true),
        (json!(NOW - 5), false),
        (json!(NOW as f64 - 4.5), true),
        (json!("x"), false),
        (json!(-1), false),
    ] {
        assert_eq!(ask(&header(), &set(claims(), "exp", exp.clone())).is_ok(), fine, "{exp}");
    }
    for (nbf, fine) in [(NOW + 5, true), (NOW + 6, false)] {
        assert_eq!(ask(&header(), &set(claims(), "nbf", nbf)).is_ok(), fine, "{nbf}");
    }
    let strict = tokens.clone().leeway(Duration::ZERO);
    assert!(strict.validate(&jwt(&key, &header(), &set(claims(), "exp", NOW)), at(NOW)).is_err());
}

/// QV-10: "all members that are not understood by implementations MUST be ignored" (RFC 7800 §3.1).
/// `kc-jkt-type` is what Keycloak 26.7 adds.
#[test]
fn qv_10_unknown_members_of_cnf_are_ignored() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    for cnf in [
        json!({"jkt": JKT, "kc-jkt-type": "DPoP"}),
        json!({"kc-jkt-type": "DPoP", "jkt": JKT}),
        json!({"jkt": JKT, "https://as.example/more": {"jwk": {}}}),
        json!({"jkt": JKT, "": [null], "JWK": {}, "x5t": "x", "jkt ": "x"}),
        // `null` for a member that is absent.
        json!({"jkt": JKT, "x5t#S256": null, "jwk": null}),
    ] {
        let claims = set(claims(), "cnf", cnf.clone());
        let token = tokens.validate(&jwt(&key, &header(), &claims), at(NOW));
        assert_eq!(token.map(|token| token.jkt().unwrap().to_string()), Ok(JKT.to_owned()), "{cnf}");
    }
}

/// QV-11: RFC 8259 §7 allows any character of a member name to be escaped, and encoders do so. A name
/// that an RFC defines is never escaped by them; two parsers could read such a token differently (V-08).
#[test]
fn qv_11_escaped_names_are_read_unless_an_rfc_defines_them() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key);
    let ask = |header: &str, claims: &str| {
        let [header, claims] = [header, claims].map(|text| Base64UrlUnpadded::encode_string(text.as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature = Base64UrlUnpadded::encode_string(&key.sign(signed.as_bytes()).unwrap());
        tokens.validate(&format!("{signed}.{signature}"), at(NOW))
    };
    let header = r#"{"typ":"at+jwt","alg":"EdDSA"}"#;
    let with = |members: &str| format!("{},{members}}}", claims().to_string().strip_suffix('}').unwrap());
    for (written, name) in [
        (r"https:\/\/claims.example\/t", "https://claims.example/t"),
        (r"R\u0026D", "R&D"),
        (r"a\u002Bb", "a+b"),
    ] {
        let token =
            ask(header, &with(&format!(r#""{written}":{{"{written}":[{{"{written}":1}}]}}"#))).unwrap();
        assert_eq!(token.claim(name), Some(&json!({name: [{name: 1}]})));
        assert!(ask(&header.replace('}', &format!(r#","{written}":1}}"#)), &claims().to_string()).is_ok());
    }
    for members in [
        r#""n\u0062f":0"#,
        r#""\u0061ct":{}"#,
        r#""a":{"\u0073ub":"x"}"#,
        r#""a":[{"b":{"j\u006bt":"x"}}]"#,
        r#""a\/b":1,"a/b":1"#,
        r#""a":{"R&D":1,"R\u0026D":1}"#,
    ] {
        let seen = ask(header, &with(members));
        assert!(matches!(seen, Err(TokenError::Malformed(JwsError::Json { .. }))), "{members}: {seen:?}");
    }
    let seen = ask(r#"{"typ":"at+jwt","\u0061lg":"EdDSA"}"#, &claims().to_string());
    assert!(matches!(seen, Err(TokenError::Malformed(JwsError::Json { .. }))), "{seen:?}");
}

/// V-51 and V-53: a token that is bound to something never counts as unbound, and a second binding that is
/// known and not checked refuses it. The confirmation methods are those of RFC 7800 §3, RFC 8705 §3.1 and
/// RFC 9203 §3.2.1.
#[test]
fn v_51_a_cnf_without_jkt_or_with_a_second_binding_refuses_the_token() {
    let key = key(Algorithm::Es256);
    let tokens = validator(&key);
    let ask = |header: &Value, claims: &Value| tokens.validate(&jwt(&key, header, claims), at(NOW));
    for cnf in [
        json!(null),
        json!({}),
        json!([]),
        json!(JKT),
        json!({"jkt": 1}),
        json!({"jkt": ""}),
        json!({"jkt": format!("{JKT}=")}),
        json!({"jkt": "37".repeat(32)}),
        json!({"x5t#S256": JKT}),
        json!({"jkt": null}),
        json!({"jkt": null, "x5t#S256": null}),
        json!({"kc-jkt-type": "DPoP"}),
        json!({"JKT": JKT}),
        json!(true),
        json!([JKT]),
        json!({"jkt": JKT, "x5t#S256": JKT}),
        json!({"jkt": JKT, "x5t#S256": ""}),
        json!({"jkt": JKT, "jwk": {"kty": "OKP"}}),
        json!({"jkt": JKT, "jwe": "a.b.c.d.e"}),
        json!({"jkt": JKT, "jku": "https://as.example/keys", "kid": "1"}),
        json!({"jkt": JKT, "kid": "1"}),
        json!({"jkt": JKT, "osc": {"id": "AQ"}}),
        json!({"jkt": JKT, "kc-jkt-type": "DPoP", "kid": 1}),
    ] {
        assert_eq!(
            ask(&header(), &set(claims(), "cnf", cnf.clone())),
            Err(TokenError::Confirmation),
            "{cnf}"
        );
    }
    assert_eq!(ask(&header(), &without(claims(), "cnf")).unwrap().jkt(), None);
}

#[test]
fn v_58_text_that_is_not_a_jwt_is_refused() {
    let tokens = validator(&key(Algorithm::Es256));
    for garbage in ["", "a", "a.b.c", "....", &"a".repeat(20_000)] {
        assert!(matches!(tokens.validate(garbage, at(NOW)), Err(TokenError::Malformed(_))));
    }
}

/// RFC 7519 §4.1.4 and §4.1.5: `exp` is the first moment at which the token is expired, `nbf` the first at
/// which it is valid. The leeway moves both by its seconds, and no setting wraps.
#[test]
fn v_58_exp_and_nbf_count_to_the_second() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key);
    let header = set(header(), "alg", "EdDSA");
    let expired = |seconds| Err(TokenError::Expired { seconds });
    let early = |seconds| Err(TokenError::NotYetValid { seconds });
    let claim = |claim: &str| Err(TokenError::Claim { claim: claim.to_owned() });
    type Row = (u64, &'static str, Value, Result<(), TokenError>);
    let rows: Vec<Row> = vec![
        (0, "exp", json!(NOW + 1), Ok(())),
        (0, "exp", json!(NOW), expired(0)),
        (0, "exp", json!(NOW - 7), expired(7)),
        (0, "exp", json!(NOW as f64 + 0.5), Ok(())),
        (0, "exp", json!(0), expired(NOW)),
        (60, "exp", json!(NOW - 59), Ok(())),
        (60, "exp", json!(NOW - 60), expired(60)),
        (u64::MAX, "exp", json!(1), Ok(())),
        (0, "exp", json!(253_402_300_799_u64), Ok(())),
        (0, "exp", json!(253_402_300_800_u64), claim("exp")),
        (0, "exp", json!(u64::MAX), claim("exp")),
        (0, "exp", json!(-1), claim("exp")),
        (0, "exp", json!(1e300), claim("exp")),
        (0, "exp", json!(NOW.to_string()), claim("exp")),
        (0, "exp", json!(true), claim("exp")),
        (0, "exp", json!([NOW + 60]), claim("exp")),
        (0, "nbf", json!(NOW), Ok(())),
        (0, "nbf", json!(NOW + 1), early(1)),
        (0, "nbf", json!(NOW as f64 + 0.5), Ok(())), // RFC 7519 §2: the second in which it becomes valid
        (60, "nbf", json!(NOW + 60), Ok(())),
        (60, "nbf", json!(NOW + 61), early(61)),
        (u64::MAX, "nbf", json!(253_402_300_799_u64), Ok(())),
        (0, "nbf", json!("x"), claim("nbf")),
        (0, "nbf", json!(null), claim("nbf")),
        (0, "nbf", json!(-1), claim("nbf")),
    ];
    for (leeway, name, value, expected) in rows {
        let tokens = tokens.clone().leeway(Duration::from_secs(leeway));
        let seen =
            tokens.validate(&jwt(&key, &header, &set(claims(), name, value.clone())), at(NOW)).map(drop);
        assert_eq!(seen, expected, "leeway {leeway}, {name} {value}");
    }
    // A clock that cannot be right is a fault of the server, and the token is not accepted.
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
    let seen = tokens.validate(&jwt(&key, &header, &claims()), before_1970);
    assert!(matches!(seen, Err(TokenError::Unavailable(error)) if *error.kind() == ErrorKind::Clock));
}

#[test]
fn v_58_required_claims_must_not_be_empty_and_can_be_configured() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key);
    let header = set(header(), "alg", "EdDSA");
    let missing = |claim: &str| Err(TokenError::Claim { claim: claim.to_owned() });
    for claim in ["iss", "aud", "sub", "client_id", "iat", "jti", "exp"] {
        let seen = tokens.validate(&jwt(&key, &header, &set(claims(), claim, "")), at(NOW)).map(drop);
        assert_eq!(seen, missing(claim));
    }
    let profile = tokens.clone().required_claims(["azp"]);
    let plain = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "azp": "c"});
    assert!(profile.validate(&jwt(&key, &header, &plain), at(NOW)).is_ok());
    for claim in ["iss", "aud", "exp", "azp"] {
        let seen = profile.validate(&jwt(&key, &header, &without(plain.clone(), claim)), at(NOW)).map(drop);
        assert_eq!(seen, missing(claim));
    }
    // None besides the three that are always required.
    let bare = tokens.required_claims([""; 0]);
    assert!(bare.validate(&jwt(&key, &header, &without(plain.clone(), "azp")), at(NOW)).is_ok());
    for claim in ["iss", "aud", "exp"] {
        let seen = bare.validate(&jwt(&key, &header, &without(plain.clone(), claim)), at(NOW)).map(drop);
        assert_eq!(seen, missing(claim));
    }
}

/// RFC 9068 §2.2 with the types of RFC 7519 §4.1 and RFC 8693 §4.3: a claim of another type is not the
/// claim.
#[test]
fn v_58_a_required_claim_of_the_wrong_type_refuses_the_token() {
    let key = key(Algorithm::Ed25519);
    let header = set(header(), "alg", "EdDSA");
    let ask = |tokens: &JwtValidator, claim: &str, value: &Value| {
        tokens.validate(&jwt(&key, &header, &set(claims(), claim, value.clone())), at(NOW)).map(drop)
    };
    let tokens = validator(&key);
    let wrong = |claim: &str| Err(TokenError::Claim { claim: claim.to_owned() });
    let no_text =
        [json!({}), json!(["admin"]), json!([]), json!(1), json!(true), json!(false), json!(null), json!("")];
    for claim in ["sub", "client_id", "jti"] {
        for value in &no_text {
            assert_eq!(ask(&tokens, claim, value), wrong(claim), "{claim} {value}");
        }
        assert_eq!(ask(&tokens, claim, &json!("\u{e9}:/ 1")), Ok(()));
    }
    let no_date = [
        json!("yesterday"),
        json!(NOW.to_string()),
        json!({}),
        json!([NOW]),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(null),
    ];
    for claim in ["iat", "exp"] {
        for value in &no_date {
            assert_eq!(ask(&tokens, claim, value), wrong(claim), "{claim} {value}");
        }
    }
    assert_eq!(ask(&tokens, "iat", &json!(NOW as f64 - 0.5)), Ok(()));
    // The claims of other profiles.
    let other = tokens.required_claims(["azp", "auth_time", "scope", "roles"]);
    let more = |claim: &str, value: &Value| {
        let claims = set(set(set(claims(), "azp", "c"), "auth_time", NOW), "roles", json!(["a"]));
        other.validate(&jwt(&key, &header, &set(claims, claim, value.clone())), at(NOW)).map(drop)
    };
    assert_eq!(more("aud", &json!(AUDIENCE)), Ok(()));
    for value in &no_text {
        assert_eq!(more("azp", value), wrong("azp"), "{value}");
    }
    for value in &no_date {
        assert_eq!(more("auth_time", value), wrong("auth_time"), "{value}");
    }
    for (value, fine) in [
        (json!("a b"), true),
        (json!(["a", "b"]), true),
        (json!(""), false),
        (json!(1), false),
        (json!({"a": 1}), false),
        (json!(["a", 1]), false),
    ] {
        assert_eq!(more("scope", &value), if fine { Ok(()) } else { wrong("scope") }, "{value}");
    }
    // The type of this one is not known here.
    assert_eq!(more("roles", &json!({"admin": true})), Ok(()));
    assert_eq!(more("roles", &json!(null)), wrong("roles"));
}

/// A token that was issued in the future was issued by a wrong clock or for a time when nobody checks it.
/// FAPI 2.0 Security Profile §5.3.2.1: JWTs dated up to 10 seconds ahead are accepted, and none that is
/// dated more than 60 seconds ahead.
#[test]
fn v_58_a_token_that_was_issued_in_the_future_is_refused() {
    const YEAR: u64 = 31_536_000;
    let key = key(Algorithm::Ed25519);
    let header = set(header(), "alg", "EdDSA");
    let tokens = validator(&key);
    let ahead = |seconds| Err(TokenError::IssuedInFuture { seconds });
    // (leeway, iat, outcome)
    let rows = [
        (5, json!(NOW + 10), Ok(())),
        (5, json!(NOW + 60), Ok(())),
        (5, json!(NOW + 61), ahead(61)),
        (5, json!(NOW as f64 + 61.5), ahead(61)),
        (5, json!(NOW + 3_600), ahead(3_600)),
        (5, json!(NOW + YEAR), ahead(YEAR)),
        (5, json!(253_402_300_799_u64), ahead(253_402_300_799 - NOW)),
        (0, json!(NOW + 60), Ok(())),
        (120, json!(NOW + 120), Ok(())),
        (120, json!(NOW + 121), ahead(121)),
        (u64::MAX, json!(NOW + YEAR), Ok(())),
        (5, json!(0), Ok(())),
    ];
    for (leeway, iat, expected) in rows {
        let tokens = tokens.clone().leeway(Duration::from_secs(leeway));
        let claims = set(set(claims(), "exp", NOW + 2 * YEAR), "iat", iat.clone());
        let seen = tokens.validate(&jwt(&key, &header, &claims), at(NOW)).map(drop);
        assert_eq!(seen, expected, "leeway {leeway}, iat {iat}");
        // It is checked where it is not required, too.
        let bare = tokens.required_claims([""; 0]);
        assert_eq!(bare.validate(&jwt(&key, &header, &claims), at(NOW)).map(drop), expected, "{iat}");
    }
}

/// RFC 6749 §3.3 has one string with spaces. Some servers write an array.
#[test]
fn a_scope_that_is_an_array_is_read() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key);
    let scopes = |scope: &Value| {
        let token = jwt(&key, &set(header(), "alg", "EdDSA"), &set(claims(), "scope", scope.clone()));
        let token = tokens.validate(&token, at(NOW)).unwrap();
        ["read", "write", "rea", "read write", ""].map(|scope| token.has_scope(scope))
    };
    let both = [true, true, false, false, false];
    for scope in [
        json!("read write"),
        json!(["read", "write"]),
        json!(["x", "read write"]),
        json!([1, null, "write", "read"]),
    ] {
        assert_eq!(scopes(&scope), both, "{scope}");
    }
    for scope in [json!([]), json!({"read": "write"}), json!([["read", "write"]]), json!(1), json!([""])] {
        assert_eq!(scopes(&scope), [false; 5], "{scope}");
    }
}

/// What was expected and what was seen, for the log.
#[test]
fn an_error_about_a_token_names_the_expected_and_the_seen_value() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key).dangerous_accept_typ("JWT");
    let header = set(header(), "alg", "EdDSA");
    let text = |header: &Value, claims: &Value| {
        tokens.validate(&jwt(&key, header, claims), at(NOW)).unwrap_err().to_string()
    };
    let doing = "validating an access token: ";
    for (seen, expected) in [
        (
            text(&set(header.clone(), "typ", "dpop+jwt"), &claims()),
            "its `typ` is dpop+jwt (expected: at+jwt, jwt; `JwtValidator::dangerous_accept_typ` adds others)",
        ),
        (
            text(&without(header.clone(), "typ"), &claims()),
            "it has no `typ` that is a string (expected: at+jwt, jwt; \
             `JwtValidator::dangerous_accept_typ` adds others)",
        ),
        (
            text(&header, &set(claims(), "iss", "https://as.example/")),
            "its `iss` is https://as.example/ (the expected issuer is https://as.example)",
        ),
        (
            text(&header, &set(claims(), "iss", 1)),
            "its `iss` is not a string (the expected issuer is https://as.example)",
        ),
        (
            text(&header, &set(claims(), "aud", json!(["https://a.example", "https://b.example"]))),
            "its `aud` is https://a.example, https://b.example (it must contain https://api.example)",
        ),
        (
            text(&header, &set(claims(), "aud", json!([]))),
            "it has no `aud` (it must contain https://api.example)",
        ),
        (text(&header, &set(claims(), "iat", NOW + 90)), "its `iat` is 90 s ahead of this server's clock"),
    ] {
        assert_eq!(seen, format!("{doing}{expected}"));
    }
    // Text of the token is shortened and shown in printable ASCII.
    let long = "\u{1b}[2J\r\n".to_owned() + &"x".repeat(5_000);
    for seen in [
        text(&set(header.clone(), "typ", long.as_str()), &claims()),
        text(&header, &set(claims(), "iss", long.as_str())),
        text(&header, &set(claims(), "aud", json!(vec![long.as_str(); 500]))),
    ] {
        assert!(seen.len() < 3_000 && seen.chars().all(|c| matches!(c, ' '..='~')), "{seen}");
    }
}

/// RFC 7515 §4.1.9: `application/` may be left out, both in the token and in the setting.
#[test]
fn v_58_the_prefix_of_typ_may_be_left_out() {
    let key = key(Algorithm::Ed25519);
    for accepted in ["JWT", "jwt", "application/jwt", "application/JWT"] {
        let tokens = validator(&key).dangerous_accept_typ(accepted);
        for (typ, fine) in [
            ("JWT", true),
            ("jwt", true),
            ("application/jwt", true),
            ("at+jwt", true),
            ("application/application/at+jwt", false),
            ("text/jwt", false),
            ("id+jwt", false),
            ("", false),
            (" at+jwt", false),
        ] {
            let header = json!({"typ": typ, "alg": "EdDSA"});
            let seen = tokens.validate(&jwt(&key, &header, &claims()), at(NOW)).map(drop);
            let refused = wrong_typ(&["at+jwt", "jwt"], Some(typ));
            assert_eq!(seen, if fine { Ok(()) } else { Err(refused) }, "{accepted} {typ}");
        }
    }
}

/// RFC 7517 §5: an unknown key is skipped. A key that is private or not for signatures is not used.
#[test]
fn unusable_keys_of_a_set_are_skipped() {
    let (es, ed) = (key(Algorithm::Es256), key(Algorithm::Ed25519));
    let with = |keys: &[Value]| JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(keys));
    let token = jwt(&es, &header(), &claims());
    let good = jwk(&es, "k1", &json!({"use": "sig", "alg": "ES256", "key_ops": ["verify"]}));
    let unknown = json!({"kty": "ML-DSA", "kid": "k1"});
    assert!(with(&[unknown.clone(), json!(1), good]).unwrap().validate(&token, at(NOW)).is_ok());
    for more in [json!({"use": "enc"}), json!({"key_ops": ["encrypt"]}), json!({"d": "AA"})] {
        assert_eq!(*with(&[jwk(&es, "k1", &more)]).unwrap_err().kind(), ErrorKind::Key, "{more}");
    }
    for (alg, expected) in [("ES256", true), ("ES384", false)] {
        let seen = with(&[jwk(&es, "k1", &json!({"alg": alg}))]).unwrap().validate(&token, at(NOW));
        assert_eq!(seen.is_ok(), expected, "{alg}");
    }
    for bad in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
        assert!(JwtValidator::with_keys(ISSUER, AUDIENCE, bad).is_err(), "{bad}");
    }
    // Two keys with one `kid`: the one that fits is found, under both names of Ed25519.
    let both = with(&[jwk(&es, "k1", &json!({})), jwk(&ed, "k1", &json!({"alg": "EdDSA"}))]).unwrap();
    for alg in ["EdDSA", "Ed25519"] {
        assert!(both.validate(&jwt(&ed, &set(header(), "alg", alg), &claims()), at(NOW)).is_ok());
        let only_es = both.clone().algorithms([Algorithm::Es256]);
        assert!(only_es.validate(&jwt(&ed, &set(header(), "alg", alg), &claims()), at(NOW)).is_err());
    }
}

/// Q-31: .NET writes what a key does not have as `null` or as an empty array.
#[test]
fn q_31_empty_members_of_a_key_in_a_set_count_as_absent() {
    let es = key(Algorithm::Es256);
    let token = jwt(&es, &header(), &claims());
    for more in [
        json!({"alg": null, "d": null, "key_ops": [], "oth": [], "use": null, "x5c": []}),
        json!({"alg": "", "d": "", "use": "", "key_ops": null}),
        json!({"dp": null, "dq": null, "k": null, "p": null, "q": null, "qi": null}),
    ] {
        let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(&[jwk(&es, "k1", &more)])).unwrap();
        assert!(tokens.validate(&token, at(NOW)).is_ok(), "{more}");
    }
    for more in [json!({"key_ops": [null]}), json!({"use": false}), json!({"d": 0}), json!({"d": {}})] {
        let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(&[jwk(&es, "k1", &more)]));
        assert_eq!(*tokens.unwrap_err().kind(), ErrorKind::Key, "{more}");
    }
}

/// V-12 and V-22: a key that the token's own header offers is not used, be it a JWK, a URL or a
/// certificate. The issuer's public key is not used as a MAC secret, and the key of the proof, which is in
/// `cnf`, is not used either.
#[test]
fn v_22_keys_come_only_from_the_key_set_of_the_issuer() {
    let (issuer, attacker) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
    let remote = Remote::default();
    remote.responds(200, "application/json", jwks(&[jwk(&issuer, "k1", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let header = set(header(), "alg", "EdDSA");
    let own = jwk(&attacker, "k1", &json!({}));
    let bound = set(claims(), "cnf", json!({"jkt": attacker.public_key().thumbprint().to_string()}));
    for (name, value) in [
        ("jwk", own.clone()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["AAAA"])),
        ("jwks", json!({"keys": [own]})),
        ("x", json!(1)),
    ] {
        for header in
            [set(header.clone(), name, value.clone()), without(set(header.clone(), name, value), "kid")]
        {
            for claims in [&claims(), &bound] {
                let forged = jwt(&attacker, &header, claims);
                assert_eq!(tokens.validate(&forged, at(NOW)), Err(TokenError::Signature), "{name}");
                assert!(tokens.validate(&jwt(&issuer, &header, claims), at(NOW)).is_ok(), "{name}");
            }
        }
    }
    // Only the `jwks_uri` was fetched: once, and five times more because signatures were invalid.
    let sent: Vec<_> = remote.sent.lock().unwrap().iter().map(|sent| sent.uri().to_string()).collect();
    assert_eq!(sent, ["https://as.example/jwks"; 6]);
    // A MAC with the public key as its secret has a refused name, and its length is that of no accepted
    // signature.
    let mac = jwt(&attacker, &set(header, "alg", "HS256"), &claims());
    assert_eq!(tokens.validate(&mac, at(NOW)), Err(TokenError::Algorithm { alg: "HS256".to_owned() }));
}
