//! No input makes key import panic, and a key that is exported and imported again is the same key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use possession::{KeyPair, PublicKey, Thumbprint};

fuzz_target!(|data: &[u8]| {
    let _ = PublicKey::from_spki_der(data);
    for pair in [KeyPair::from_pkcs8_der(data), KeyPair::from_pkcs1_der(data)].into_iter().flatten() {
        let der = pair.to_pkcs8_der().expect("an imported key");
        assert_eq!(KeyPair::from_pkcs8_der(&der).expect("an exported key").to_public(), pair.to_public());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = KeyPair::from_pkcs8_pem(text);
    let _ = KeyPair::from_pkcs1_pem(text);
    let _ = PublicKey::from_spki_pem(text);
    let _ = Thumbprint::from_jwk(text);
    if let Ok(key) = PublicKey::from_jwk(text) {
        assert_eq!(PublicKey::from_jwk(key.to_jwk()).as_ref(), Ok(&key));
    }
    if let Ok(pair) = KeyPair::from_jwk(text) {
        assert_eq!(KeyPair::from_jwk(&pair.to_jwk()).expect("an exported key").to_public(), pair.to_public());
    }
});
