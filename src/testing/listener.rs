//! Listening sockets and the threads that serve their connections.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::connection::{self, IncomingRequest};
use super::response::ServerResponse;
use super::tls::{self, ServerConfig};

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{self, Mutex};

/// After this time without a byte a client is assumed to be gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Counts the connections of all servers of the process.
static NEXT_CONNECTION: AtomicUsize = AtomicUsize::new(0);

/// Returns the number of a new connection.
pub(super) fn next_connection() -> usize {
    NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed)
}

/// Responds to a request. The first argument is the number of the connection.
pub(super) type Handler = dyn Fn(usize, &mut IncomingRequest<'_>) -> ServerResponse + Send + Sync;

/// Accepts connections until it is dropped.
pub(super) struct Listener {
    address: SocketAddr,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    stopped: AtomicBool,
    open: Mutex<HashMap<usize, TcpStream>>,
}

impl Listener {
    /// Serves each connection on a thread of its own.
    pub(super) fn start(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        handler: Arc<Handler>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let connections = Arc::new(Connections::default());
        let shared = Arc::clone(&connections);
        thread::Builder::new().name(format!("test server {address}")).spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (connections, tls, handler) = (Arc::clone(&shared), tls.clone(), Arc::clone(&handler));
                let serve = move || connections.serve(stream, tls, &*handler);
                let _ = thread::Builder::new().name(format!("test server {address}")).spawn(serve);
            }
        })?;
        Ok(Self { address, connections })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connections.stopped.store(true, Ordering::SeqCst);
        for stream in sync::lock(&self.connections.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // A connection ends the blocking `accept` of the listening thread.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

impl Connections {
    fn serve(&self, stream: TcpStream, tls: Option<Arc<ServerConfig>>, handler: &Handler) {
        let number = next_connection();
        if self.register(number, &stream).is_ok()
            && let Ok(stream) = tls::accept(stream, tls)
        {
            // An error here means that the client closed the connection or sent something else than HTTP.
            let _ = connection::serve(stream, &|request| handler(number, request));
        }
        sync::lock(&self.open).remove(&number);
    }

    /// Remembers the connection, so that it can be closed when the listener is dropped.
    fn register(&self, number: usize, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
        stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut open = sync::lock(&self.open);
        if self.stopped.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        open.insert(number, stream.try_clone()?);
        Ok(())
    }
}
