//! The names of members that RFCs define for JOSE headers, keys and claims.

/// The names, sorted by their bytes.
///
/// - Header parameters: RFC 7515 §4.1, RFC 7516 §4.1, RFC 7518 §4.6 to §4.8, RFC 7797 §3, RFC 8225 §8.1
///   and RFC 8555 §6.4.
/// - Members of a JWK: RFC 7517 §4, RFC 7518 §6 and RFC 8037 §2.
/// - Claims: RFC 7519 §4.1, RFC 7800 §3.1, RFC 8225 §5.2, RFC 8417 §2.2, RFC 8485, RFC 8693 §4, RFC 9068
///   §2.2, RFC 9396 §9, RFC 9449 §4.2, RFC 9493 and RFC 9701 §5.
/// - Further: RFC 9200 §5.9.2 and §5.10, RFC 9901 and RFC 9964.
/// - Confirmation methods in `cnf`: RFC 7800 §3.1, RFC 8705 §3.1, RFC 9203 §3.2.1 and RFC 9449 §6.1.
const DEFINED_NAMES: &[&str] = &[
    "_sd",
    "_sd_alg",
    "ace_profile",
    "acr",
    "act",
    "alg",
    "amr",
    "apu",
    "apv",
    "ath",
    "aud",
    "auth_time",
    "authorization_details",
    "b64",
    "client_id",
    "cnf",
    "cnonce",
    "crit",
    "crv",
    "cty",
    "d",
    "dest",
    "dp",
    "dq",
    "e",
    "enc",
    "entitlements",
    "epk",
    "events",
    "exi",
    "exp",
    "groups",
    "htm",
    "htu",
    "iat",
    "iss",
    "iv",
    "jkt",
    "jku",
    "jti",
    "jwe",
    "jwk",
    "k",
    "key_ops",
    "kid",
    "kty",
    "may_act",
    "mky",
    "n",
    "nbf",
    "nonce",
    "orig",
    "osc",
    "oth",
    "p",
    "p2c",
    "p2s",
    "ppt",
    "priv",
    "pub",
    "q",
    "qi",
    "r",
    "roles",
    "scope",
    "sub",
    "sub_id",
    "t",
    "tag",
    "toe",
    "token_introspection",
    "txn",
    "typ",
    "url",
    "use",
    "vot",
    "vtm",
    "x",
    "x5c",
    "x5t",
    "x5t#S256",
    "x5u",
    "y",
    "zip",
];

/// Returns whether an RFC defines a member of this name for a JOSE header, a key or claims.
pub(crate) fn is_defined(name: &str) -> bool {
    DEFINED_NAMES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_so_that_each_is_found() {
        assert!(DEFINED_NAMES.is_sorted());
        assert!(DEFINED_NAMES.iter().all(|name| is_defined(name)));
        assert!(["alg", "x5t#S256", "htu", "jti", "cnf", "jkt", "kty", "d"].into_iter().all(is_defined));
        assert!(!["", "ALG", "alg ", "R&D", "https://claims.example/t", "a+b"].into_iter().any(is_defined));
    }
}
