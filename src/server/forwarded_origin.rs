//! The origin that a proxy names in `Forwarded` (RFC 7239), or in `X-Forwarded-Proto` and `X-Forwarded-Host`.

use http::HeaderMap;

use crate::server::reason::Reason;

/// Returns the origin that a proxy names, if it names one.
pub(super) fn forwarded_origin(headers: &HeaderMap) -> Result<Option<String>, Reason> {
    let unclear =
        Reason::Credentials { wrong: "the proxy names several origins, or one that cannot be read" };
    let single = |name: &str| {
        let mut fields = headers.get_all(name).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Ok(None),
            (Some(field), None) => match field.to_str() {
                Ok(field) if !field.contains(',') => Ok(Some(field.trim())),
                _ => Err(unclear.clone()),
            },
            _ => Err(unclear.clone()),
        }
    };
    let (mut proto, mut host) = (single("x-forwarded-proto")?, single("x-forwarded-host")?);
    if let Some(forwarded) = single("forwarded")? {
        if proto.is_some() || host.is_some() {
            return Err(unclear);
        }
        for pair in forwarded.split(';') {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(unclear);
            };
            let slot = match name.trim() {
                name if name.eq_ignore_ascii_case("proto") => &mut proto,
                name if name.eq_ignore_ascii_case("host") => &mut host,
                _ => continue,
            };
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            if slot.replace(value).is_some() {
                return Err(unclear);
            }
        }
    }
    match (proto, host) {
        (None, None) => Ok(None),
        (Some(proto), Some(host)) => Ok(Some(format!("{proto}://{host}"))),
        _ => Err(unclear),
    }
}
