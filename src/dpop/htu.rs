//! The `htu` claim in the form in which it is compared (RFC 9449 §4.3).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::url::{self, Url};

/// An `htu` in the form in which it is compared (RFC 9449 §4.3): without query and fragment, after the
/// syntax-based and scheme-based normalization of RFC 3986 §6.2.2 and §6.2.3. Equal values name the same
/// resource.
///
/// The case of scheme and host, a default port, percent-encoded unreserved characters, dot segments and an
/// empty path make no difference. A trailing slash, `//`, the case of the path and `%2F` do.
///
/// ```
/// use possession::Htu;
///
/// let a: Htu = "HTTPS://Server.Example.com:443/%7Euser/./token?x=1".parse()?;
/// assert_eq!(a, "https://server.example.com/~user/token".parse()?);
/// assert_ne!(a, "https://server.example.com/~user/token/".parse()?);
/// assert!("https:\\server.example.com/".parse::<Htu>().is_err()); // refused, not repaired
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Htu(String);

impl Htu {
    /// Returns the normal form of a URL.
    pub(crate) fn from_url(url: Url) -> Self {
        Self(url.into_normal_form())
    }

    /// Returns whether `text` is the normal form of this value. Another text may still have the same normal
    /// form.
    pub(crate) fn is_normal_form(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl FromStr for Htu {
    type Err = Error;

    /// Parses and normalizes an `htu`.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a text that is not an absolute URL with a host, exactly as RFC 3986
    /// defines it.
    fn from_str(text: &str) -> Result<Self, Error> {
        match Url::parse(text).and_then(Url::with_clean_query) {
            Ok(url) => Ok(Self::from_url(url)),
            Err(why) => Err(url::refused(ErrorKind::Url, "htu", text, why)),
        }
    }
}

impl fmt::Display for Htu {
    /// Writes the normal form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Htu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htu({})", self.0)
    }
}
