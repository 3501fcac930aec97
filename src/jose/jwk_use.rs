//! Whether a JWK may be used for an operation: `use`, `key_ops` and `alg` (RFC 7517 §4.2 to §4.4).
//!
//! The `jwk` of a proof is read as it is. In a key that was stored or published, an empty member counts
//! as absent.

use crate::jose::algorithm::Algorithm;
use crate::jose::json::{Json, Object};

/// What a key is used for (RFC 7517 §4.3).
#[derive(Clone, Copy)]
pub(crate) enum KeyOperation {
    Sign,
    Verify,
}

/// Removes the members that are `null`, an empty array or an empty string. Libraries that write a JWK
/// from an object, such as those of .NET, write so what the key does not have: `"key_ops":[]`,
/// `"oth":[]`, `"use":null`. An empty `kid` is a name like any other (RFC 7517 §4.5), and an empty text
/// in the place of a number is left to the check of its length.
pub(crate) fn remove_empty_members(jwk: &mut Object<'_>) {
    jwk.retain(|name, value| match value {
        Json::Null => false,
        Json::Array(items) => !items.is_empty(),
        Json::String(text) => {
            !text.is_empty() || ["kid", "kty", "crv", "x", "y", "n", "e", "pub"].contains(&name)
        }
        _ => true,
    });
}

/// Checks that `use` and `key_ops`, where they are present, allow the operation. Returns what is wrong
/// otherwise.
pub(crate) fn check_operation(jwk: &Object<'_>, operation: KeyOperation) -> Result<(), String> {
    if jwk.get("use").is_some_and(|key_use| key_use.as_str() != Some("sig")) {
        return Err("its `use` is not `sig`".to_owned());
    }
    let operation = match operation {
        KeyOperation::Sign => "sign",
        KeyOperation::Verify => "verify",
    };
    match jwk.get("key_ops").is_none_or(|operations| operations.contains(operation)) {
        true => Ok(()),
        false => Err(format!("its `key_ops` do not contain `{operation}`")),
    }
}

/// Checks that `alg`, where it is present, is a name of the algorithm. Returns what is wrong otherwise.
pub(crate) fn check_algorithm(jwk: &Object<'_>, algorithm: Algorithm) -> Result<(), String> {
    match jwk.get("alg") {
        None => Ok(()),
        Some(Json::String(alg)) if allows_algorithm(Some(alg), algorithm) => Ok(()),
        Some(_) => Err(format!("its `alg` is not {}", algorithm.names().join(" or "))),
    }
}

/// Returns whether a key with this `alg`, or without one, may be used with the algorithm.
pub(crate) fn allows_algorithm(alg: Option<&str>, algorithm: Algorithm) -> bool {
    alg.is_none_or(|alg| algorithm.names().contains(&alg))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::json::parse_object;

    fn checked(members: &str, operation: KeyOperation) -> Result<(), String> {
        check_operation(&parse_object(format!("{{{members}}}").as_bytes()).unwrap(), operation)
    }

    #[test]
    fn a_key_without_use_and_key_ops_may_be_used_for_both_operations() {
        for members in
            ["", r#""use":"sig""#, r#""key_ops":["sign","verify"]"#, r#""key_ops":["x","verify","sign"]"#]
        {
            assert_eq!(checked(members, KeyOperation::Sign), Ok(()), "{members}");
            assert_eq!(checked(members, KeyOperation::Verify), Ok(()), "{members}");
        }
    }

    #[test]
    fn another_use_or_other_key_ops_are_refused() {
        for members in [r#""use":"enc""#, r#""use":"SIG""#, r#""use":null"#, r#""use":["sig"]"#] {
            for operation in [KeyOperation::Sign, KeyOperation::Verify] {
                assert_eq!(
                    checked(members, operation),
                    Err("its `use` is not `sig`".to_owned()),
                    "{members}"
                );
            }
        }
        for members in
            [r#""key_ops":[]"#, r#""key_ops":"verify""#, r#""key_ops":null"#, r#""key_ops":["sign"]"#]
        {
            let wrong = "its `key_ops` do not contain `verify`".to_owned();
            assert_eq!(checked(members, KeyOperation::Verify), Err(wrong), "{members}");
        }
        let wrong = "its `key_ops` do not contain `sign`".to_owned();
        assert_eq!(checked(r#""key_ops":["verify"]"#, KeyOperation::Sign), Err(wrong));
    }

    /// Each of them means the same as a key without the member. A member that says something stays.
    #[test]
    fn empty_members_can_be_removed_before_the_checks() {
        let kept = |members: &str| {
            let text = format!("{{{members}}}");
            let mut jwk = parse_object(text.as_bytes()).unwrap();
            remove_empty_members(&mut jwk);
            let operations = [KeyOperation::Sign, KeyOperation::Verify];
            let may = operations.map(|operation| check_operation(&jwk, operation).is_ok());
            (serde_json::Value::from(jwk.into_map()).to_string(), may)
        };
        let empty = ["null", "[]", r#""""#];
        for name in ["use", "key_ops", "alg", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "x5c", "other"] {
            for value in empty {
                assert_eq!(
                    kept(&format!(r#""{name}":{value}"#)),
                    ("{}".to_owned(), [true; 2]),
                    "{name} {value}"
                );
            }
        }
        for (members, may) in [
            (r#""use":"enc""#, [false; 2]),
            (r#""use":false"#, [false; 2]),
            (r#""use":{}"#, [false; 2]),
            (r#""use":" ""#, [false; 2]),
            (r#""key_ops":["verify"]"#, [false, true]),
            (r#""key_ops":[null]"#, [false; 2]),
            (r#""kid":"""#, [true; 2]),
            (r#""d":"AA""#, [true; 2]),
        ] {
            assert_eq!(kept(members), (format!("{{{members}}}"), may));
        }
    }

    #[test]
    fn alg_must_be_a_name_of_the_algorithm() {
        let checked = |members: &str| {
            check_algorithm(&parse_object(format!("{{{members}}}").as_bytes()).unwrap(), Algorithm::Ed25519)
        };
        for members in ["", r#""alg":"EdDSA""#, r#""alg":"Ed25519""#] {
            assert_eq!(checked(members), Ok(()), "{members}");
        }
        for members in [r#""alg":"ES256""#, r#""alg":"eddsa""#, r#""alg":null"#, r#""alg":1"#] {
            assert_eq!(checked(members), Err("its `alg` is not EdDSA or Ed25519".to_owned()), "{members}");
        }
    }
}
