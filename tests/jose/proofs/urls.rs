//! `htu`. Threats C-06 and C-48.

use possession::{ErrorKind, Proof};
use serde_json::json;

use super::{claims, sign};

/// Scheme, host and port have the one form in which clients send them (RFC 9110 §4.2.3). The path is
/// unchanged.
#[test]
fn c_48_htu_is_the_url_that_is_sent_without_query_and_fragment() {
    let cases = [
        ("https://api.example.com/a", "https://api.example.com/a"),
        ("HTTPS://API.Example.COM:443/A/b%7e", "https://api.example.com/A/b%7e"),
        ("https://api.example.com:/a", "https://api.example.com/a"),
        ("http://h:80/", "http://h/"),
        ("http://h:443/", "http://h:443/"),
        ("https://h:80/", "https://h:80/"),
        ("https://h:8443/a/", "https://h:8443/a/"),
        ("https://h", "https://h/"),
        ("https://h?a=b", "https://h/"),
        ("https://h#a", "https://h/"),
        ("https://h/a?b=c/../d&e[]=f#g/./h?i", "https://h/a"),
        ("https://h/a//b///", "https://h/a//b///"),
        ("https://h/%2F%2f%C3%A9%20%25", "https://h/%2F%2f%C3%A9%20%25"),
        ("https://h/~a;p=1,2/@me:1/(x)!$&'*+=_-.z", "https://h/~a;p=1,2/@me:1/(x)!$&'*+=_-.z"),
        ("https://h/.../..a/a../.a", "https://h/.../..a/a../.a"),
        ("https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a"),
        ("https://127.0.0.1:65535/a", "https://127.0.0.1:65535/a"),
        ("https://xn--bcher-kva.example/a", "https://xn--bcher-kva.example/a"),
        ("https://a_b.example.:8443/a", "https://a_b.example.:8443/a"),
    ];
    for (url, htu) in cases {
        let proof = Proof::new(&http::Method::GET, url).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(claims(&sign(&proof).unwrap())["htu"], json!(htu), "{url}");
    }
}

/// C-48 and C-06.
#[test]
fn c_48_urls_that_two_programs_may_read_differently_are_refused() {
    let cases: [(&str, &[&str]); 16] = [
        ("user name", &["https://u:hunter2@h/", "https://u@h/", "https://@h/", "https://h@evil.example/"]),
        (
            "dot segments",
            &[
                "https://h/a/../b",
                "https://h/./a",
                "https://h/..",
                "https://h/a/.",
                "https://h/%2e%2E/a",
                "https://h/a/.%2e",
                "https://h/%2e",
                "https://h/../a?x=https://u@h/",
            ],
        ),
        (
            "not ASCII",
            &["https://h/\u{e9}", "https://\u{e9}/", "https://h/?\u{e9}", "https://h/#\u{e9}", "\u{e9}"],
        ),
        (
            "white space",
            &[
                "https://h/a b",
                " https://h/",
                "https://h/ ",
                "https://h/\ta",
                "ht\ntps://h/",
                "https://h/?a b",
            ],
        ),
        ("control", &["https://h/\0", "https://h/\u{7f}", "https://h/#\u{1b}"]),
        (
            "absolute",
            &["", "/a", "//h/a", "h/a", "https:h/a", "https:/h/a", "https:\\\\h\\a", "https", "mailto:a"],
        ),
        ("scheme", &["://h/", "1a://h/", "ht_tps://h/"]),
        ("https", &["ftp://h/", "ws://h/", "file://h/a", "javascript://h/%0aalert(1)", "httpss://h/"]),
        (
            "percent-encoded",
            &["https://h/a\\b", "https://h/%", "https://h/%4", "https://h/%zz", "https://h/%+1"],
        ),
        (
            "percent-encoded",
            &[
                "https://h/{a}",
                "https://h/\"",
                "https://h/<a>",
                "https://h/a|b",
                "https://h/[a]",
                "https://h/a#b#c",
            ],
        ),
        (
            "port",
            &[
                "https://h:0/",
                "https://h:65536/",
                "https://h:08443/",
                "https://h:a/",
                "https://h:-1/",
                "https://h:+1/",
                "https://h:99999999999999999999/",
            ],
        ),
        ("host", &["https:///a", "https://", "https://?a", "https://:443/", "https://h\\.example/"]),
        (
            "IPv6",
            &[
                "https://[::1/",
                "https://[]/",
                "https://[::1]a/",
                "https://[fe80::1%25eth0]/",
                "https://[1.2.3.4]/",
            ],
        ),
        (
            "host",
            &[
                "https://a..b/",
                "https://.a/",
                "https://a%41/",
                "https://*.example/",
                "https://a,b/",
                "https://h../",
            ],
        ),
        (
            "IPv4",
            &[
                "https://0x7f.1/",
                "https://2130706433/",
                "https://127.1/",
                "https://1.2.3.256/",
                "https://01.2.3.4/",
                "https://1.2.3.4./",
            ],
        ),
        ("host", &["https://::1/"]),
    ];
    for (words, urls) in cases {
        for url in urls {
            let Err(error) = Proof::new(&http::Method::GET, url) else { panic!("{url:?} was accepted") };
            let text = error.to_string();
            assert_eq!(error.kind(), &ErrorKind::Url, "{text}");
            assert!(text.contains(words), "{url:?}: {words:?} is missing in: {text}");
            assert!(!text.contains("hunter2") && !text.contains("?x="), "{text}");
            assert!(text.chars().all(|c| matches!(c, ' '..='~')), "{text:?}");
        }
    }
    // V-30 on the client: long URLs are read in linear time.
    let long = format!("https://h{}", "/a/..".repeat(200_000));
    assert!(Proof::new(&http::Method::GET, &long).is_err());
}
