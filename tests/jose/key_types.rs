//! What the compiler guarantees about key types. Threat C-72.

use std::fmt;
use std::sync::Arc;

use possession::{Algorithm, Error, KeyPair, Proof, Prover, PublicKey, Signer, Thumbprint};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::sample_keys::BOTH;

/// Does not compile if the type implements the trait, because `f` is then ambiguous.
macro_rules! never {
    ($type:ty: $($trait:path),+) => { $(const _: fn() = || {
        trait Ambiguous<A> { fn f() {} }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Implements;
        impl<T: ?Sized + $trait> Ambiguous<Implements> for T {}
        <$type as Ambiguous<_>>::f()
    };)+ };
}

never!(KeyPair: Clone, Copy, PartialEq, PartialOrd, std::hash::Hash);
never!(KeyPair: serde::Serialize, fmt::Display, Default, AsRef<[u8]>);

/// The key types inside a `KeyPair` wipe themselves.
#[test]
fn c_72_keys_are_wiped_when_dropped_and_can_be_shared_between_threads() {
    fn wiped<T: ZeroizeOnDrop>() {}
    fn shared<T: Send + Sync + 'static>() {}
    wiped::<p256::ecdsa::SigningKey>();
    wiped::<ed25519_dalek::SigningKey>();
    wiped::<Zeroizing<Vec<u8>>>();
    shared::<(KeyPair, PublicKey, Thumbprint, Prover, Error, Algorithm, Proof<'static>)>();
    const { assert!(std::mem::needs_drop::<KeyPair>()) };
    let signers: [Arc<dyn Signer>; 2] = BOTH.map(|a| Arc::new(KeyPair::generate(a).unwrap()) as _);
    for signer in signers {
        assert!(Prover::new(Arc::clone(&signer)).is_ok()); // an `Arc<dyn Signer>` is itself a `Signer`
        assert_eq!(signer.sign(b"x").unwrap().len(), 64);
    }
}
