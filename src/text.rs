//! Character classes of the RFCs, and text of peers as it may be shown.

/// What of a peer's text may be shown: the character set of RFC 6749 §5.2, anything else as `?`, at most `max` long.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(max)
        .map(|c| match c {
            ' '..='!' | '#'..='[' | ']'..='~' => c,
            '"' => '\'',
            _ => '?',
        })
        .collect();
    if text.chars().nth(max).is_some() {
        shown.push_str("...");
    }
    shown
}

/// 1*NQCHAR (RFC 9449 §8.1), within a bound: a server's nonce is kept and sent back.
pub(crate) fn is_nonce(nonce: &str) -> bool {
    (1..=1024).contains(&nonce.len()) && nonce.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// RFC 9110 §11.2.
pub(crate) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}
