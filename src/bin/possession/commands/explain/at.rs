//! Times in the formats of logs, HTTP and clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;

/// Reads seconds since 1970, a date of RFC 3339 §5.6, or one of HTTP (RFC 9110 §5.6.7).
pub fn parse(text: &str) -> Option<SystemTime> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if is_number {
        text.parse().ok()?
    } else if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        u64::try_from(time.timestamp()).ok()?
    } else {
        return httpdate::parse_http_date(text).ok();
    };
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
