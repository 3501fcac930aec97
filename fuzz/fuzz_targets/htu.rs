//! No text makes the URL reader panic; normal forms are normal; and a URL that a proof can be made for names itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use possession::{Htu, Proof};

fuzz_target!(|text: &str| {
    if let Ok(htu) = text.parse::<Htu>() {
        assert_eq!(htu.to_string().parse::<Htu>().as_ref(), Ok(&htu), "{htu}");
    }
    let _ = Proof::new("GET", text);
});
