//! The header field `Retry-After` (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use crate::oauth::response_facts::date;

/// Returns how long a response with status 429 or 503 asks to wait, from its `Retry-After` field (RFC 9110
/// §10.2.3): a number of seconds, or a date. A date is compared with the `Date` of the response, because it
/// is meant by the server's clock; without one, with `now`. A date in the past is zero.
///
/// The result is what the server says, without a limit. A [`Session`](crate::Session) honours it up to five
/// minutes.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use possession::http::HeaderMap;
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(possession::retry_after(&headers, SystemTime::now()), None);
/// headers.insert("retry-after", "120".parse().unwrap());
/// assert_eq!(possession::retry_after(&headers, SystemTime::now()), Some(Duration::from_secs(120)));
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(seconds) = whole_seconds(value) {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(date(headers).unwrap_or(now)).unwrap_or_default())
}

/// Reads a number of seconds. A fraction, which the grammar does not allow and some servers send, is
/// rounded up.
fn whole_seconds(value: &str) -> Option<u64> {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let seconds = whole.parse().unwrap_or(u64::MAX);
    Some(seconds.saturating_add(u64::from(fraction.bytes().any(|b| b != b'0'))))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn read(fields: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        // The time of the Date in the examples of RFC 9110 §10.2.3, a minute before.
        let now = UNIX_EPOCH + Duration::from_secs(946_684_739);
        retry_after(&headers, now).map(|pause| pause.as_secs())
    }

    /// `Retry-After: Fri, 31 Dec 1999 23:59:59 GMT` and `Retry-After: 120` are the examples of RFC 9110
    /// §10.2.3.
    #[test]
    fn reads_seconds_and_dates() {
        assert_eq!(read(&[("retry-after", "120")]), Some(120));
        assert_eq!(read(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")]), Some(60));
        let date = ("date", "Fri, 31 Dec 1999 23:59:49 GMT");
        assert_eq!(read(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"), date]), Some(10), "by the Date");
        assert_eq!(read(&[("retry-after", "120"), date]), Some(120));
        assert_eq!(read(&[("retry-after", "Fri, 31 Dec 1999 22:59:59 GMT")]), Some(0), "in the past");
        // The obsolete formats of a date must be read as well (RFC 9110 §5.6.7).
        assert_eq!(read(&[("retry-after", "Friday, 31-Dec-99 23:59:59 GMT")]), Some(60));
        assert_eq!(read(&[("retry-after", "Fri Dec 31 23:59:59 1999")]), Some(60));
        assert_eq!(read(&[("retry-after", "0")]), Some(0));
        assert_eq!(read(&[("retry-after", "1.25")]), Some(2));
        assert_eq!(read(&[("retry-after", "2.0")]), Some(2));
        assert_eq!(read(&[("retry-after", "99999999999999999999999")]), Some(u64::MAX));
    }

    #[test]
    fn anything_else_is_none() {
        for value in ["", "soon", "-1", "1e3", "+5", "1.", ".5", "1.2.3", "1 000", "١"] {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert_eq!(retry_after(&headers, UNIX_EPOCH), None, "{value}");
        }
        assert_eq!(read(&[]), None);
    }
}
