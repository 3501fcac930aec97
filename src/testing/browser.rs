//! A request of a browser, without a browser and without a network.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use http::Uri;

use super::state::State;
use super::{connection, listener, service};
use crate::dpop::server_role::ServerRole;
use crate::sync::{self, Mutex};

/// Gets a URL of the authorization server and returns where its response redirects to.
pub(super) fn follow(state: &State, url: &str) -> io::Result<String> {
    let invalid = |detail| io::Error::new(io::ErrorKind::InvalidInput, format!("opening a URL: {detail}"));
    let uri: Uri = url.parse().map_err(|_| invalid("it is not a URL"))?;
    let rest = url.strip_prefix(state.issuer.as_str()).filter(|rest| rest.starts_with('/'));
    let target = rest.ok_or_else(|| invalid("it is not below the issuer of this test server"))?;
    let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let response = exchange(state, request)?;
    location(&response)
}

/// Serves a request and returns the bytes of the response.
fn exchange(state: &State, request: String) -> io::Result<Vec<u8>> {
    let received = Arc::<Mutex<Vec<u8>>>::default();
    let stream = MemoryStream { sent: Cursor::new(request.into_bytes()), received: Arc::clone(&received) };
    let number = listener::next_connection();
    connection::serve(Box::new(stream), &|request| {
        service::respond(state, ServerRole::AuthorizationServer, number, request)
    })?;
    Ok(std::mem::take(&mut *sync::lock(&received)))
}

/// Returns `Location` of a redirect.
fn location(mut response: &[u8]) -> io::Result<String> {
    let failed = |detail: String| io::Error::other(format!("opening a URL: {detail}"));
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(response) {
            Ok(httparse::Status::Complete(length)) => length,
            _ => return Err(failed("there was no response".to_owned())),
        };
        let body = response.get(length..).unwrap_or_default();
        let status = head.code.unwrap_or_default();
        if (100..200).contains(&status) {
            response = body;
            continue;
        }
        let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("location"));
        let location = field.and_then(|field| std::str::from_utf8(field.value).ok());
        return match location {
            Some(location) if (300..400).contains(&status) => Ok(location.to_owned()),
            _ => {
                let body = String::from_utf8_lossy(body);
                Err(failed(format!("status {status} without a redirect: {body}")))
            }
        };
    }
}

/// The server's end of a connection in memory.
struct MemoryStream {
    sent: Cursor<Vec<u8>>,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Read for MemoryStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.sent.read(buffer)
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sync::lock(&self.received).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
