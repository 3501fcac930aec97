//! Reading responses as JSON into the caller's types.

use http::{HeaderMap, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::{Error, ErrorKind};
use crate::text::printable;

/// The limit of a response that is read into memory, as ureq's `read_to_vec` has it.
#[cfg(feature = "ureq")]
const MAX_SIZE: u64 = 10 * 1024 * 1024;
const READING: &str = "reading a response as JSON";

/// Reads the body of a resource's response as JSON: of the responses of [`Session`](crate::Session), and of
/// other HTTP clients' responses with a body of bytes.
///
#[cfg_attr(feature = "ureq", doc = "```")]
#[cfg_attr(not(feature = "ureq"), doc = "```ignore")]
/// use possession::{JsonResponse, Session};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     item: String,
/// }
///
/// fn order(session: &Session) -> Result<Order, Box<dyn std::error::Error>> {
///     let response = session.get("https://api.example.com/orders/42")?;
///     match response.status().as_u16() {
///         200 => Ok(response.json()?),
///         status => Err(format!("no order: status {status}").into()),
///     }
/// }
///
/// let response = possession::http::Response::new(br#"{"item":"bolt","count":42}"#.to_vec());
/// assert_eq!(response.json::<Order>()?.item, "bolt");
/// # Ok::<(), possession::Error>(())
/// ```
pub trait JsonResponse: sealed::Sealed {
    /// Reads the body. Status and media type are not examined: check `status()` before, since an error
    /// document may have the members of the type as well. A body of up to 10 MiB is read, and a byte order
    /// mark is skipped (RFC 8259 §8.1).
    ///
    /// # Errors
    /// [`Content`](ErrorKind::Content) if the body is not JSON or does not fit the type. The text names
    /// status, media type and position; what serde says is the [`source`](std::error::Error::source), since
    /// it may show values of the response. Over ureq also [`TooLarge`](ErrorKind::TooLarge),
    /// [`Timeout`](ErrorKind::Timeout) and [`Transport`](ErrorKind::Transport).
    fn json<T: DeserializeOwned>(self) -> Result<T, Error>;
}

mod sealed {
    pub trait Sealed {}

    #[cfg(feature = "ureq")]
    impl Sealed for http::Response<ureq::Body> {}
    impl Sealed for http::Response<Vec<u8>> {}
}

#[cfg(feature = "ureq")]
impl JsonResponse for Response<ureq::Body> {
    fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let (parts, body) = self.into_parts();
        let body =
            body.into_with_config().limit(MAX_SIZE).read_to_vec().map_err(|error| {
                crate::client::transport::transport_error(error, None).while_doing(READING)
            })?;
        parse(parts.status, &parts.headers, &body)
    }
}

impl JsonResponse for Response<Vec<u8>> {
    fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        parse(self.status(), self.headers(), self.body())
    }
}

fn parse<T: DeserializeOwned>(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    let text = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    serde_json::from_slice(text).map_err(|error| {
        let what = match error.classify() {
            _ if text.is_empty() => "it is empty",
            Category::Data => "it does not fit the type",
            Category::Eof => "it ends too early",
            Category::Io | Category::Syntax => "it is not JSON",
        };
        let media_type =
            headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let media_type = media_type.map_or("no media type".to_owned(), |value| printable(&value, 80));
        let wrong = format!(
            "{what} at line {} column {} (status {}, {media_type}; source() says more)",
            error.line(),
            error.column(),
            status.as_u16()
        );
        Error::new(ErrorKind::Content { status: status.as_u16() }, READING, wrong).with_source(error)
    })
}
