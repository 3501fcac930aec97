//! No text makes the URL parser panic, and the normal form of a URL is its own normal form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use possession::{Htu, Proof};

fuzz_target!(|text: &str| {
    if let Ok(htu) = text.parse::<Htu>() {
        assert_eq!(htu.to_string().parse::<Htu>().as_ref(), Ok(&htu), "{htu}");
    }
    let _ = Proof::new(&http::Method::GET, text);
});
