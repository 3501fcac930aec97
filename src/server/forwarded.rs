//! The `Forwarded` field (RFC 7239 §4).
//!
//! The crates for it, `forwarded-header-value` and `rfc7239`, split the field at commas and semicolons
//! without regard to quoted strings. A client whose text a proxy puts into a quoted string could then
//! name an origin.

use crate::text::{is_quoted_text, is_tchar};

/// The parameters of one forwarded element that say which origin the client called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) proto: Option<String>,
    pub(super) host: Option<String>,
}

/// Parses the forwarded elements of a field, in order. Elements without parameters are left out. Returns
/// `None` if the field does not follow RFC 7239 §4, or if `proto` or `host` occurs twice in one element.
///
/// White space is allowed around separators, and characters of addresses (`:`, `[`, `]`) in values
/// without quotes, because proxies write both.
pub(super) fn parse_forwarded(field: &[u8]) -> Option<Vec<Forwarded>> {
    let mut parser = Parser { rest: field };
    let mut elements = Vec::new();
    let mut element: Option<Forwarded> = None;
    loop {
        parser.skip_white_space();
        let separator = parser.rest.first().copied();
        if matches!(separator, Some(b',') | None) {
            elements.extend(element.take());
        }
        match separator {
            None => return Some(elements),
            Some(b',' | b';') => {
                parser.advance();
                continue;
            }
            Some(_) => {}
        }
        let (name, value) = parser.pair()?;
        let current = element.get_or_insert_default();
        let slot = match name {
            name if name.eq_ignore_ascii_case(b"proto") => &mut current.proto,
            name if name.eq_ignore_ascii_case(b"host") => &mut current.host,
            _ => &mut None,
        };
        if slot.replace(value).is_some() {
            return None;
        }
        parser.skip_white_space();
        if !matches!(parser.rest.first(), Some(b',' | b';') | None) {
            return None;
        }
    }
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    /// Parses `token "=" value`, with `value = token / quoted-string`.
    fn pair(&mut self) -> Option<(&'a [u8], String)> {
        let name = self.take_while(is_tchar);
        if name.is_empty() || self.advance() != Some(b'=') {
            return None;
        }
        if self.rest.first() == Some(&b'"') {
            self.advance();
            return Some((name, self.quoted_string()?));
        }
        let value = self.take_while(|b| is_tchar(b) || b":[]".contains(&b));
        let value = std::str::from_utf8(value).ok().filter(|value| !value.is_empty())?;
        Some((name, value.to_owned()))
    }

    /// Parses the rest of a quoted string (RFC 9110 §5.6.4).
    fn quoted_string(&mut self) -> Option<String> {
        let mut text = Vec::new();
        loop {
            match self.advance()? {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => text.push(self.advance().filter(|b| is_quoted_text(*b))?),
                b if is_quoted_text(b) => text.push(b),
                _ => return None,
            }
        }
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !fits(*b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        taken
    }

    fn skip_white_space(&mut self) {
        self.take_while(|b| matches!(b, b' ' | b'\t'));
    }

    /// Takes one byte.
    fn advance(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(proto: &str, host: &str) -> Forwarded {
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Forwarded { proto: value(proto), host: value(host) }
    }

    /// The fields printed in RFC 7239 §4 and §7.1, and in §6 and §6.3 for addresses.
    #[test]
    fn the_examples_of_rfc_7239_are_read() {
        let rows: [(&str, Vec<Forwarded>); 9] = [
            (r#"for="_gazonk""#, vec![element("", "")]),
            (r#"For="[2001:db8:cafe::17]:4711""#, vec![element("", "")]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec![element("http", "")]),
            ("for=192.0.2.43, for=198.51.100.17", vec![element("", ""), element("", "")]),
            (
                r#"for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown"#,
                vec![element("", ""), element("", ""), element("", "")],
            ),
            (r#"for=_hidden, for=_SEVKISEK"#, vec![element("", ""), element("", "")]),
            (
                "for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com",
                vec![element("", ""), element("http", "example.com")],
            ),
            (r#"for="192.0.2.43:47011""#, vec![element("", "")]),
            (r#"for="[2001:db8:cafe::17]:47011""#, vec![element("", "")]),
        ];
        for (field, expected) in rows {
            assert_eq!(parse_forwarded(field.as_bytes()), Some(expected), "{field}");
        }
    }

    #[test]
    fn separators_inside_quoted_strings_separate_nothing() {
        let rows = [
            (r#"for="a;host=evil";proto=https"#, vec![element("https", "")]),
            (r#"for="a,proto=http;host=evil";host=b"#, vec![element("", "b")]),
            (r#"for="\";host=evil;x=\"";host=b"#, vec![element("", "b")]),
            (r#"for="a\\";host=b"#, vec![element("", "b")]),
            (r#"host="a\"b";proto="ht\tps""#, vec![element("https", "a\"b")]),
        ];
        for (field, expected) in rows {
            assert_eq!(parse_forwarded(field.as_bytes()), Some(expected), "{field}");
        }
    }

    #[test]
    fn empty_elements_and_parameters_are_skipped() {
        for field in
            ["host=b;", ";host=b", ";;host=b;;", "host=b,", ",,host=b", " , ;host=b ; ,\t", "host=b ;"]
        {
            assert_eq!(parse_forwarded(field.as_bytes()), Some(vec![element("", "b")]), "{field}");
        }
        for field in ["", ";", ",", " ;, ;;,, "] {
            assert_eq!(parse_forwarded(field.as_bytes()), Some(vec![]), "{field}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for field in [
            "host",
            "=b",
            "host=",
            "host=b proto=https",
            "host=\"b",
            "host=\"b\"c",
            "host=b\"c\"",
            "host =b",
            "host= b",
            "host=b;host=b",
            "host=b;Host=c",
            "proto=http;for=a;PROTO=https",
            "host=a/b",
            "host=a@b",
            "host=\"a\\",
            "host=\"a\nb\"",
            "h\u{e9}st=b",
            "host=b\u{e9}",
            "host=\"a\u{7f}\"",
            "(host)=b",
            "host=b=c",
        ] {
            assert_eq!(parse_forwarded(field.as_bytes()), None, "{field}");
        }
        assert_eq!(parse_forwarded(b"host=\"\xff\""), None);
    }
}
