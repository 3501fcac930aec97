//! POST requests of a form with client authentication.

use http::{HeaderValue, Method, Request, header};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::oauth::client_auth::Credentials;
use crate::oauth::http_client::RequestBody;
use crate::url::{self, Url};

/// Creates a POST of a form with the credentials of a client.
pub(crate) fn form_request(
    endpoint: &Url,
    fields: &[(String, Zeroizing<String>)],
    credentials: Credentials,
) -> Result<Request<RequestBody>, Error> {
    let uri =
        endpoint.to_uri().map_err(|why| url::refused(ErrorKind::Url, "endpoint", endpoint.htu(), why))?;
    let fields = fields.iter().map(|(name, value)| (name.as_str(), value));
    let pairs = || fields.clone().chain(credentials.fields.iter().map(|(name, value)| (*name, value)));
    // Capacity for every character escaped, so that no reallocation leaves a secret in memory.
    let capacity = pairs().map(|(name, value)| (name.len() + value.len()) * 3 + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(capacity));
    form.extend_pairs(pairs().map(|(name, value)| (name, value.as_str())));
    let mut request = Request::new(RequestBody::from(form.finish().into_bytes()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.extend(credentials.headers);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ok(request)
}
