//! The numbers of public keys on P-256 and P-384 and of RSA public keys.

/// An uncompressed point of `LENGTH` bytes (SEC 1 §2.3.3: 4, x, y). That it lies on the curve is not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point<const LENGTH: usize>([u8; LENGTH]);

pub(crate) type P256Point = Point<65>;
pub(crate) type P384Point = Point<97>;

/// Modulus and exponent, big-endian and without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RsaPublicNumbers {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl P256Point {
    pub(crate) fn new(x: &[u8; 32], y: &[u8; 32]) -> Self {
        Self(uncompressed(x, y))
    }
}

impl P384Point {
    pub(crate) fn new(x: &[u8; 48], y: &[u8; 48]) -> Self {
        Self(uncompressed(x, y))
    }
}

impl<const LENGTH: usize> Point<LENGTH> {
    /// Takes an uncompressed point.
    pub(crate) fn from_sec1(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; LENGTH] = bytes.try_into().ok()?;
        (bytes.first() == Some(&4)).then_some(Self(bytes))
    }

    pub(crate) fn as_sec1(&self) -> &[u8; LENGTH] {
        &self.0
    }

    pub(crate) fn coordinates(&self) -> (&[u8], &[u8]) {
        self.0.get(1..).unwrap_or_default().split_at_checked(LENGTH / 2).unwrap_or_default()
    }
}

impl RsaPublicNumbers {
    /// Takes minimal big-endian integers (RFC 7518 §6.3.1). Numbers that make forgery easy or verification
    /// slow are refused.
    pub(crate) fn new(n: Vec<u8>, e: Vec<u8>) -> Result<Self, String> {
        let zeros = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = n.len().saturating_mul(8).saturating_sub(zeros);
        match (n.first(), e.first()) {
            (Some(0), _) | (_, Some(0)) => Err("`n` or `e` has leading zeros".to_owned()),
            _ if !(2048..=4096).contains(&bits) => {
                Err(format!("`n` has {bits} bits instead of 2048 to 4096"))
            }
            _ if n.last().is_none_or(|byte| byte % 2 == 0) => Err("`n` is even".to_owned()),
            _ if e.len() > 4 || e.last().is_none_or(|byte| byte % 2 == 0) || e == [1] => {
                Err("`e` is not an odd number from 3 to 4294967295".to_owned())
            }
            _ => Ok(Self { n, e }),
        }
    }

    pub(crate) fn from_pkcs1(key: &pkcs1::RsaPublicKeyRef<'_>) -> Result<Self, String> {
        Self::new(key.modulus.as_bytes().to_vec(), key.public_exponent.as_bytes().to_vec())
    }

    pub(crate) fn modulus(&self) -> &[u8] {
        &self.n
    }

    pub(crate) fn exponent(&self) -> &[u8] {
        &self.e
    }
}

/// Returns an uncompressed point.
fn uncompressed<const LENGTH: usize>(x: &[u8], y: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [4; LENGTH];
    let coordinates = bytes.iter_mut().skip(1);
    coordinates.zip(x.iter().chain(y)).for_each(|(place, byte)| *place = *byte);
    bytes
}
