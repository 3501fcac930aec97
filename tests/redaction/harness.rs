//! The harness finds what it is there to find.

use std::panic;
use std::thread;

use base64ct::{Base64, Encoding};

use crate::capture;
use crate::watch::{QUERY, SECRET, Watch};

#[test]
fn a_secret_is_found_in_every_form() {
    let watch = Watch::new();
    assert!(!watch.is_in("nothing"));
    let bytes = SECRET.as_bytes();
    for text in [
        format!("x{SECRET}y"),
        format!("{bytes:?}"),
        format!("{bytes:02x?}"),
        format!("{bytes:02x?}").replace(", ", ""),
        format!("{bytes:02X?}").replace(", ", ""),
        SECRET[..12].to_owned(),
        SECRET[..20].to_owned(),
        SECRET[SECRET.len() - 12..].to_owned(),
        format!("Basic {}", Base64::encode_string(format!("app:{SECRET}").as_bytes())),
        format!("Basic {}", Base64::encode_string(format!("ap:{SECRET}").as_bytes())),
        format!("Basic {}", Base64::encode_string(format!("a:{SECRET}").as_bytes())),
        format!("/?{QUERY}"),
    ] {
        assert!(watch.is_in(&text), "{text}");
        let mut watch = Watch::new();
        watch.show(&text);
        assert!(!watch.leaks(&[]).is_empty(), "{text}");
    }
}

/// The secrets are used by this test alone, since the other tests search all records as well.
#[test]
fn a_secret_is_found_in_the_records_of_every_thread_and_in_panics() {
    const PLANTED: [&str; 3] = [
        "planted-aab3238922bcc25a6f606eb525ffdc56",
        "planted-9bf31c7ff062936a96d3c8bd1f8f2ff3",
        "planted-c74d97b01eae257e44aa9d5bade97baf",
    ];
    let watch = |secret: &str| {
        let mut watch = Watch::empty();
        watch.secret(secret);
        watch
    };
    let [here, elsewhere, panicking] = PLANTED.map(watch);
    log::trace!("{}", PLANTED[0]);
    thread::spawn(|| log::trace!("{}", PLANTED[1])).join().unwrap();
    assert!(panic::catch_unwind(|| panic!("provoked: {}", PLANTED[2])).is_err());
    for watch in [&here, &elsewhere, &panicking] {
        assert_eq!(watch.leaks(&capture::records()).len(), 1);
    }
    assert_eq!(elsewhere.leaks(&capture::records_of_this_thread()).len(), 0);
    let own = capture::records_of_this_thread();
    assert_eq!((here.leaks(&own).len(), panicking.leaks(&own).len()), (1, 1));
}

/// The check fails for a leak, and for an expected text that was not seen.
#[test]
fn the_check_fails_for_a_leak_and_for_a_text_that_was_not_seen() {
    const LEAKED: &str = "provoked-1ff1de774005f8da13f42943881c655f";
    let mut leaking = Watch::empty();
    leaking.secret(LEAKED);
    leaking.check(&[]);
    leaking.show(LEAKED);
    assert!(panic::catch_unwind(|| leaking.check(&[])).is_err());
    let mut watch = Watch::new();
    watch.show("something");
    watch.check(&["something"]);
    assert!(panic::catch_unwind(|| watch.check(&["provoked: a text that nothing shows"])).is_err());
}

/// An error inside an error of ureq is shown as well.
#[cfg(feature = "ureq")]
#[test]
fn a_secret_is_found_inside_an_error_of_ureq() {
    const HIDDEN: &str = "planted-6f4922f45568161a8cdf4ad2299f6d23";
    let mut watch = Watch::empty();
    watch.secret(HIDDEN);
    let error = ureq::Error::Other(Box::new(std::io::Error::other(HIDDEN)));
    watch.show_error(&error);
    assert!(watch.leaks(&[]).len() >= 2);
}
