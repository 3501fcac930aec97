//! The character classes of the RFCs, each written once, and the form in which text of a peer is shown.

/// Returns at most `max` characters of a peer's text in the characters that RFC 6749 §5.2 allows in an error
/// description. A quotation mark becomes `'`, every other character becomes `?`.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(max)
        .map(|c| match c {
            '"' => '\'',
            _ if u8::try_from(c).is_ok_and(is_nqschar) => c,
            _ => '?',
        })
        .collect();
    if text.chars().nth(max).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Returns the text without the byte order mark that some editors write before UTF-8. RFC 8259 §8.1
/// allows a parser of JSON to skip it.
pub(crate) fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Does the same with bytes.
pub(crate) fn without_bom_bytes(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// `DPoP-Nonce = 1*NQCHAR` (RFC 9449 §8.1), at most 1,024 characters: a client stores a nonce and sends it
/// back.
pub(crate) fn is_nonce(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && text.bytes().all(is_nqchar)
}

/// `scope = scope-token *( SP scope-token )`, `scope-token = 1*NQCHAR` (RFC 6749 §3.3).
pub(crate) fn is_scope(text: &str) -> bool {
    text.split(' ').all(|token| !token.is_empty() && token.bytes().all(is_nqchar))
}

/// `error = 1*NQSCHAR` (RFC 6749 Appendix A.7).
pub(crate) fn is_error_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_nqschar)
}

/// `token = 1*tchar` (RFC 9110 §5.6.2). A scheme of HTTP authentication is one (§11.1).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// `token68 = 1*token68-char *"="` (RFC 9110 §11.2).
pub(crate) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    // Every byte is looked at, because the compiler then checks many at once.
    !body.is_empty() && body.bytes().fold(true, |all, b| all & is_token68_char(b))
}

/// `scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` (RFC 3986 §3.1).
pub(crate) fn is_uri_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// A URI with a scheme and without a fragment, in the characters of RFC 3986 and some more: visible ASCII.
pub(crate) fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    is_uri_scheme(scheme) && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// `NQCHAR = %x21 / %x23-5B / %x5D-7E` (RFC 6749 Appendix A): visible ASCII without `"` and `\`.
pub(crate) fn is_nqchar(b: u8) -> bool {
    matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

/// `NQSCHAR = %x20-21 / %x23-5B / %x5D-7E` (RFC 6749 Appendix A): `NQCHAR` or a space.
pub(crate) fn is_nqschar(b: u8) -> bool {
    b == b' ' || is_nqchar(b)
}

/// `VSCHAR = %x20-7E` (RFC 6749 Appendix A).
pub(crate) fn is_vschar(b: u8) -> bool {
    matches!(b, b' '..=b'~')
}

/// `tchar` (RFC 9110 §5.6.2).
pub(crate) fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// A character of a `token68` before its padding (RFC 9110 §11.2).
pub(crate) fn is_token68_char(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'+' | b'/')
}

/// What a `quoted-pair` may escape: `HTAB / SP / VCHAR / obs-text` (RFC 9110 §5.6.4). The rest of a
/// `quoted-string` consists of the same characters without `"` and `\`.
pub(crate) fn is_quoted_text(b: u8) -> bool {
    matches!(b, b'\t' | b' '..=b'~' | 0x80..)
}

/// `unreserved` (RFC 3986 §2.3).
pub(crate) fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` (RFC 3986 §3.3) without `pct-encoded`: `unreserved / sub-delims / ":" / "@"`.
pub(crate) fn is_pchar(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes of a class, as text.
    fn members(class: impl Fn(u8) -> bool) -> String {
        (0..0x80u8).filter(|b| class(*b)).map(char::from).collect()
    }

    #[test]
    fn each_class_has_exactly_the_characters_of_its_rule() {
        let visible = |without: &str| -> String { ('!'..='~').filter(|c| !without.contains(*c)).collect() };
        assert_eq!(members(is_nqchar), visible("\"\\"));
        assert_eq!(members(is_nqschar), format!(" {}", visible("\"\\")));
        assert_eq!(members(is_vschar), format!(" {}", visible("")));
        assert_eq!(members(is_quoted_text), format!("\t {}", visible("")));
        // RFC 9110 §5.6.2: VCHAR without delimiters.
        assert_eq!(members(is_tchar), visible("\"(),/:;<=>?@[\\]{}"));
        let letters = |more: &str| -> String {
            ('!'..='~').filter(|c| c.is_ascii_alphanumeric() || more.contains(*c)).collect()
        };
        assert_eq!(members(is_token68_char), letters("-._~+/"));
        assert_eq!(members(is_unreserved), letters("-._~"));
        assert_eq!(members(is_pchar), letters("-._~!$&'()*+,;=:@"));
        // Above ASCII there is obs-text in quoted strings, and nothing else.
        for b in 0x80..=0xffu8 {
            assert!(is_quoted_text(b));
            assert!(!is_nqschar(b) && !is_vschar(b) && !is_tchar(b) && !is_token68_char(b) && !is_pchar(b));
        }
    }

    #[test]
    fn whole_texts_follow_their_rules() {
        assert!(is_token68("YWJj==") && is_token68("a") && !is_token68("==") && !is_token68("a=b"));
        assert!(is_token("dpop") && !is_token("") && !is_token("a b"));
        assert!(is_scope("a") && is_scope("a b") && !is_scope("") && !is_scope("a  b") && !is_scope(" a"));
        assert!(
            is_uri_scheme("a+b-c.1") && !is_uri_scheme("") && !is_uri_scheme("1a") && !is_uri_scheme("a_b")
        );
        assert!(is_error_code("invalid client") && !is_error_code("") && !is_error_code("a\"b"));
        assert!(is_nonce("n") && !is_nonce("") && !is_nonce("a b"));
        assert!(is_nonce(&"n".repeat(1024)) && !is_nonce(&"n".repeat(1025)));
    }

    #[test]
    fn one_byte_order_mark_before_a_text_is_skipped() {
        assert_eq!([without_bom("\u{feff}{}"), without_bom("{}"), without_bom("")], ["{}", "{}", ""]);
        assert_eq!(without_bom("\u{feff}\u{feff}{}"), "\u{feff}{}");
    }

    #[test]
    fn text_of_a_peer_is_shown_in_safe_characters() {
        assert_eq!(printable("a \"b\"\\\r\n\u{e9}\u{7f}", 40), "a 'b'?????");
        assert_eq!(printable("abcdef", 3), "abc...");
        assert_eq!(printable("abc", 3), "abc");
    }
}
