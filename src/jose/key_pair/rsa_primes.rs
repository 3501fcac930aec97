//! The primes of an RSA key of which only `n`, `e` and `d` are known (NIST SP 800-56B rev. 2, Appendix C.2).
//!
//! The crate crypto-bigint computes with secret numbers in constant time, so none of its functions named
//! `vartime` may be used here. Whether the result belongs to the key is checked by the import of the
//! completed key.

use crypto_bigint::{CheckedAdd, CheckedSub, CtOption, NonZero, Odd, U2048, U4096, U8192};
use zeroize::Zeroizing;

use crate::jose::backend::RsaPublicNumbers;

/// The members of a private JWK that RFC 7518 §6.3.2 recommends, big-endian and without leading zeros.
pub(super) struct RsaPrimes {
    pub(super) p: Zeroizing<Vec<u8>>,
    pub(super) q: Zeroizing<Vec<u8>>,
    pub(super) dp: Zeroizing<Vec<u8>>,
    pub(super) dq: Zeroizing<Vec<u8>>,
    pub(super) qi: Zeroizing<Vec<u8>>,
}

impl RsaPrimes {
    /// Computes the primes, the larger one first. Returns `None` when the numbers are not those of a key
    /// with two primes.
    pub(super) fn recover(public: &RsaPublicNumbers, d: &[u8]) -> Option<Self> {
        let (n, e, d) = (number(public.modulus())?, number(public.exponent())?, Zeroizing::new(number(d)?));
        // Twice the size, for products.
        let n: U8192 = n.resize();
        // Step 1.
        let multiple = Zeroizing::new(d.resize::<{ U8192::LIMBS }>().wrapping_mul(&e));
        let multiple = Zeroizing::new(some(multiple.checked_sub(&U8192::ONE))?);
        let divisor = Zeroizing::new(n.wrapping_sub(&U8192::ONE).gcd(&multiple));
        let a = Zeroizing::new(some(multiple.checked_mul(&*divisor))?);
        // Step 2.
        let (m, r) = a.div_rem(&some(NonZero::new(n))?);
        let (m, r) = (Zeroizing::new(m), Zeroizing::new(r));
        // Step 3: b is the sum of the primes.
        let (b, rest) = n.wrapping_sub(&r).div_rem(&some(NonZero::new(some(m.checked_add(&U8192::ONE))?))?);
        let b = Zeroizing::new(some(b.checked_add(&U8192::ONE))?);
        let square = Zeroizing::new(some(b.checked_square())?);
        let discriminant = Zeroizing::new(some(square.checked_sub(&n.shl(2)))?);
        // Step 4: the difference of the primes.
        let root = Zeroizing::new(discriminant.floor_sqrt());
        let is_square = root.wrapping_square() == *discriminant;
        // Step 5.
        let p = Zeroizing::new(some(b.checked_add(&root))?.shr(1));
        let q = Zeroizing::new(some(b.checked_sub(&root))?.shr(1));
        let is_factored = some(p.checked_mul(&*q))? == n;
        if rest != U8192::ZERO || !is_square || !is_factored || p.shr(U2048::BITS) != U8192::ZERO {
            return None;
        }
        let (p, q): (Zeroizing<U2048>, Zeroizing<U2048>) =
            (Zeroizing::new(p.resize()), Zeroizing::new(q.resize()));
        let exponent = |prime: &U2048| {
            let modulus = some(NonZero::new(prime.wrapping_sub(&U2048::ONE)))?;
            Some(bytes(&Zeroizing::new(d.rem(&modulus))))
        };
        let inverse = Zeroizing::new(some(q.invert_odd_mod(&some(Odd::new(*p))?))?);
        Some(Self { dp: exponent(&p)?, dq: exponent(&q)?, qi: bytes(&inverse), p: bytes(&p), q: bytes(&q) })
    }
}

fn number(bytes: &[u8]) -> Option<U4096> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).filter(|bytes| bytes.len() <= U4096::BYTES)?;
    Some(U4096::from_be_slice_truncated(bytes, U4096::BITS))
}

fn bytes(number: &U2048) -> Zeroizing<Vec<u8>> {
    let encoded = Zeroizing::new(number.to_be_bytes());
    let encoded = encoded.as_ref();
    let zeros = encoded.iter().take_while(|byte| **byte == 0).count();
    Zeroizing::new(encoded.get(zeros..).unwrap_or_default().to_vec())
}

fn some<T>(value: CtOption<T>) -> Option<T> {
    value.into()
}
