//! The redirect URI of desktop and terminal programs: a listener on loopback (RFC 8252 §7.3).

mod connection;
mod page;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crate::client::grants::authorization_code::AuthorizationCode;
use crate::client::sign_in::pending_authorization::PendingAuthorization;
use crate::error::{Error, ErrorKind};
use crate::text::is_pchar;
use crate::time::{Clock, SystemClock, TimePoint};

use connection::{Connection, Progress, RequestHead};
use page::Page;

/// How many connections may wait for the rest of their request. One more ends the oldest, so that whoever
/// opens connections and sends nothing cannot keep the browser out.
const MAX_CONNECTIONS: usize = 64;
/// How many connections are accepted before time is looked at.
const MAX_ACCEPTED: usize = 256;
/// How long a connection may take for its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the sockets are looked at. A person waits, so this is soon enough.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// Waits on loopback for the authorization response (RFC 8252 §7.3), in programs on the machine of the user.
///
/// It accepts exactly one request: `GET` of the redirect URI with the `state` of the login. Everything else
/// is refused and waiting goes on, so that neither another program nor a web page can answer or end the
/// login. The user sees a plain page without script that says to return to the program.
///
/// ```no_run
/// use possession::*;
///
/// # fn main() -> Result<(), Error> {
/// # let server = AuthorizationServer::builder("https://server.example.com").build()?;
/// # let (client, options) = (Client::new("s6BhdRkqt3")?, RequestOptions::new());
/// let listener = LoopbackListener::bind()?;
/// let request = AuthorizationRequest::new(listener.redirect_uri()).scope("orders:read");
/// let (url, pending) = request.front_channel(&server, &client, &options)?;
/// eprintln!("To sign in, open {url}");
/// // It is no error that there is no browser: the user has the URL.
/// let _ = open_browser(&url);
/// let code = listener.receive(pending)?;
/// # let _ = code;
/// # Ok(()) }
/// ```
pub struct LoopbackListener {
    listener: TcpListener,
    /// What the `Host` field of a request must be.
    authority: String,
    path: String,
    redirect_uri: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

/// Builds a [`LoopbackListener`].
///
/// ```
/// use std::time::Duration;
/// use possession::LoopbackListener;
///
/// // Registered as http://127.0.0.1/oauth/callback: servers allow any port (RFC 8252 §7.3).
/// let listener =
///     LoopbackListener::builder().path("/oauth/callback").timeout(Duration::from_secs(600)).bind()?;
/// assert!(listener.redirect_uri().starts_with("http://127.0.0.1:"));
/// assert!(listener.redirect_uri().ends_with("/oauth/callback"));
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone)]
pub struct LoopbackListenerBuilder {
    address: IpAddr,
    port: u16,
    path: String,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
}

impl LoopbackListener {
    /// Listens on 127.0.0.1, on a free port, for the path `/callback` and for five minutes.
    ///
    /// # Errors
    /// Those of [`LoopbackListenerBuilder::bind`].
    pub fn bind() -> Result<Self, Error> {
        Self::builder().bind()
    }

    /// Returns a builder, to choose another address, port, path or timeout.
    #[must_use]
    pub fn builder() -> LoopbackListenerBuilder {
        LoopbackListenerBuilder {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            path: "/callback".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            clock: None,
        }
    }

    /// Returns the redirect URI for the authorization request, such as `http://127.0.0.1:49152/callback`.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Waits for the response to this authorization request and returns its code. The socket is closed
    /// afterwards.
    ///
    /// # Errors
    /// - [`Timeout`](ErrorKind::Timeout) when no response has come in time.
    /// - Those of [`PendingAuthorization::receive_query`], for a response with the right `state`.
    /// - [`Parameter`](ErrorKind::Parameter) when the request has another redirect URI.
    pub fn receive(self, pending: PendingAuthorization) -> Result<AuthorizationCode, Error> {
        if pending.redirect_uri() != self.redirect_uri {
            let wrong = "the authorization request has another redirect URI";
            return Err(Error::new(ErrorKind::Parameter, self.doing(), wrong));
        }
        let end = TimePoint::now(&*self.clock).after(self.timeout);
        let mut connections = VecDeque::new();
        loop {
            if let Some(mut callback) = self.find_callback(&mut connections, &pending) {
                let code = pending.receive_query(&callback.query);
                callback.connection.respond(if code.is_ok() { Page::Received } else { Page::Failed });
                return code;
            }
            let now = TimePoint::now(&*self.clock);
            let remaining = end.map_or(Duration::MAX, |end| end.remaining(now));
            if remaining.is_zero() {
                let wrong = format!("no response came within {} seconds", self.timeout.as_secs());
                return Err(Error::new(ErrorKind::Timeout, self.doing(), wrong));
            }
            self.clock.sleep(POLL_INTERVAL.min(remaining));
        }
    }

    /// Accepts and reads without blocking, refuses what is no response to this request, and returns the
    /// response if it has come.
    fn find_callback(
        &self,
        connections: &mut VecDeque<Connection>,
        pending: &PendingAuthorization,
    ) -> Option<Callback> {
        let now = TimePoint::now(&*self.clock);
        for connection in std::mem::take(connections) {
            if let Some(callback) = self.advance(connection, connections, now, pending) {
                return Some(callback);
            }
        }
        for _ in 0..MAX_ACCEPTED {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // One connection failed, or there are no file descriptors at the moment.
                Err(error) => {
                    log::warn!("{}: accepting a connection: {error}", self.doing());
                    break;
                }
            };
            let Some(end) = now.after(REQUEST_TIMEOUT) else { break };
            let Ok(connection) = Connection::new(stream, end) else { continue };
            // The request is usually there already: then the connection needs no place among the waiting
            // ones.
            if let Some(callback) = self.advance(connection, connections, now, pending) {
                return Some(callback);
            }
            if connections.len() > MAX_CONNECTIONS {
                connections.pop_front();
            }
        }
        None
    }

    /// Reads from a connection. Puts it back if its request is not complete.
    fn advance(
        &self,
        mut connection: Connection,
        waiting: &mut VecDeque<Connection>,
        now: TimePoint,
        pending: &PendingAuthorization,
    ) -> Option<Callback> {
        let refusal = match connection.read(|head| self.check(head, pending)) {
            Progress::Complete(Ok(query)) => return Some(Callback { connection, query }),
            Progress::Complete(Err(page)) => page,
            Progress::Malformed => Page::BadRequest,
            Progress::TooLarge => Page::TooLarge,
            Progress::Closed => return None,
            Progress::Incomplete => {
                if !connection.has_expired(now) {
                    waiting.push_back(connection);
                }
                return None;
            }
        };
        log::debug!("{}: refused a request with {}", self.doing(), refusal.status());
        connection.respond(refusal);
        None
    }

    /// Returns the query of a request if it is the response, and the page for it otherwise.
    fn check(&self, head: &RequestHead<'_>, pending: &PendingAuthorization) -> Result<Query, Page> {
        if head.version != 1 {
            return Err(Page::Version);
        }
        // A page of another site can reach this port by a name of its own that resolves to loopback.
        if head.host != Some(self.authority.as_bytes()) {
            return Err(Page::BadRequest);
        }
        let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
        if path != self.path {
            return Err(Page::NotFound);
        }
        if head.method != "GET" {
            return Err(Page::Method);
        }
        match pending.matches_state(query) {
            true => Ok(Query::new(query.to_owned())),
            false => Err(Page::OtherLogin),
        }
    }

    fn doing(&self) -> String {
        format!("waiting for the authorization response at {}", self.redirect_uri)
    }
}

/// The query of a request, which has the code.
type Query = zeroize::Zeroizing<String>;

/// A request that is the response to the authorization request.
struct Callback {
    connection: Connection,
    query: Query,
}

impl fmt::Debug for LoopbackListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopbackListener")
            .field("redirect_uri", &self.redirect_uri)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl LoopbackListenerBuilder {
    /// Listens on `[::1]` instead of 127.0.0.1.
    #[must_use]
    pub fn ipv6(self) -> Self {
        Self { address: Ipv6Addr::LOCALHOST.into(), ..self }
    }

    /// Listens on this port, for servers that compare the port although RFC 8252 §7.3 forbids it. Another
    /// program may have it already. The default, 0, is a free port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Sets the path of the redirect URI; the default is `/callback`.
    #[must_use]
    pub fn path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Sets how long [`receive`](LoopbackListener::receive) waits; the default is five minutes.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Waits by this clock, for tests.
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Starts to listen. What arrives from now on waits for [`receive`](LoopbackListener::receive).
    ///
    /// # Errors
    /// - [`Parameter`](ErrorKind::Parameter) when the path does not start with `/` or has other characters
    ///   than those of a path.
    /// - [`Transport`](ErrorKind::Transport) when the operating system refuses, because the port is taken.
    pub fn bind(self) -> Result<LoopbackListener, Error> {
        const DOING: &str = "listening on loopback";
        if !self.path.starts_with('/') || !self.path.bytes().all(|b| is_pchar(b) || b == b'/') {
            let wrong = "the path does not start with / or has a character that no path has";
            return Err(Error::new(ErrorKind::Parameter, DOING, wrong));
        }
        let (listener, address) = listen(SocketAddr::new(self.address, self.port))
            .map_err(|error| Error::new(ErrorKind::Transport, DOING, error.to_string()).with_source(error))?;
        // A browser leaves the default port out.
        let authority = match (address.port(), address.ip()) {
            (80, IpAddr::V4(ip)) => ip.to_string(),
            (80, IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => address.to_string(),
        };
        Ok(LoopbackListener {
            listener,
            redirect_uri: format!("http://{authority}{}", self.path),
            authority,
            path: self.path,
            timeout: self.timeout,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
        })
    }
}

impl fmt::Debug for LoopbackListenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopbackListenerBuilder")
            .field("address", &self.address)
            .field("port", &self.port)
            .field("path", &self.path)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
