//! Secrets in types and errors (rows C-71, C-72). Logs are tested in binaries of their own, because a logger
//! belongs to the whole process.

use std::io::Read;

use possession::*;
use zeroize::Zeroizing;

use crate::common::server::start;
use crate::support::{echoed, key};

/// Does not compile for a type that implements one of the traits (as in the crate `static_assertions`).
macro_rules! never {
    ($type:ty: $($trait:path),+) => { $(const _: fn() = || {
        trait Ambiguous<A> {
            fn f() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        #[allow(dead_code, reason = "it makes the call ambiguous")]
        struct Implements;
        impl<T: ?Sized + $trait> Ambiguous<Implements> for T {}
        <$type as Ambiguous<_>>::f()
    };)+ };
}

never!(KeyPair: Clone, Copy, PartialEq, std::hash::Hash, serde::Serialize, std::fmt::Display, AsRef<[u8]>);
never!(ClientAuth: Copy, PartialEq, std::hash::Hash, serde::Serialize, std::fmt::Display, Default);
never!(Parameters: Copy, PartialEq, std::hash::Hash, serde::Serialize, std::fmt::Display);
never!(TokenResponse: Clone, Copy, PartialEq, serde::Serialize, std::fmt::Display, AsRef<str>);
never!(Prover: Copy, PartialEq, serde::Serialize, std::fmt::Display);
never!(Session: Copy, PartialEq, serde::Serialize, std::fmt::Display);
never!(RequestBody: Copy, PartialEq, serde::Serialize, std::fmt::Display);

/// Such types do not implement the traits above. Exported keys are in buffers that are wiped on drop, and a
/// session works with the imported key after everything it came from is gone. (Safe code cannot see that
/// memory is wiped.)
#[test]
fn c_72_types_with_secrets_cannot_be_copied_compared_or_serialized_by_accident() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let made = key(algorithm);
        let jkt = made.to_public().thumbprint().to_string();
        let der: Zeroizing<Vec<u8>> = made.to_pkcs8_der().unwrap();
        let pem: Zeroizing<String> = made.to_pkcs8_pem().unwrap();
        let jwk: Zeroizing<String> = made.to_jwk();
        drop(made);
        let keys = [
            KeyPair::from_pkcs8_der(&der).unwrap(),
            KeyPair::from_pkcs8_pem(&pem).unwrap(),
            KeyPair::from_jwk(&jwk).unwrap(),
        ];
        drop((der, pem, jwk));
        for key in keys {
            const { assert!(std::mem::needs_drop::<KeyPair>()) };
            let server = start();
            let session = server.session().key(key).discover().unwrap();
            assert_eq!(echoed(&session, &server)["jkt"], jkt);
        }
    }
}

#[test]
fn c_71_no_error_of_an_agent_shows_the_secrets_of_a_url() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    let host = server.resource_origin().trim_start_matches("http://");
    for url in [format!("http://user:hunter2@{host}/?sig=SECRET"), server.resource("/?sig=SECRET")] {
        let error = agent.post(&url).send(ureq::SendBody::from_owned_reader(Failing)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && !text.contains("SECRET"), "{text}");
    }
    for url in ["https://user:hun?ter2@api.example/", "https://user:hun#ter2@api.example/"] {
        let error = session.get(url).unwrap_err().to_string();
        assert!(!error.contains("hun"), "{error}");
    }
    let builder = Session::builder("https://u:hunter2@as.example", "app");
    assert!(!format!("{builder:?}").contains("hunter2"));
}
