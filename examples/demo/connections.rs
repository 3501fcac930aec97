//! Serves an axum router over HTTP/1.1, and bounds what anybody can occupy: the connections in number, and
//! the head and the body of a request in time and size. `axum::serve` leaves this to a proxy in front of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// What strangers can occupy.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The number of connections. When there are more, the one is closed that has been waiting longest for a
    /// request.
    pub connections: usize,
    /// How long the head of a request may take, from the beginning of the connection or the end of the last
    /// response.
    pub head: Duration,
    /// How long its body may take after that.
    pub body: Duration,
    /// The size of the body in bytes.
    pub max_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            max_body: 64 * 1024,
        }
    }
}

/// Serves connections until the program ends.
pub fn serve(listener: std::net::TcpListener, app: Router, limits: Limits) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let mut connections = Connections { open: VecDeque::new(), max: limits.connections };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => connections.add(stream, &app, limits),
                // Such as too many open files: some will be closed.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    })
}

/// The open connections, the oldest first.
struct Connections {
    open: VecDeque<Connection>,
    max: usize,
}

struct Connection {
    task: AbortHandle,
    /// Whether a whole request has arrived that is not answered yet.
    has_request: Arc<AtomicBool>,
}

impl Connections {
    fn add(&mut self, stream: TcpStream, app: &Router, limits: Limits) {
        self.open.retain(|connection| !connection.task.is_finished());
        if self.open.len() >= self.max {
            let waits = |connection: &Connection| !connection.has_request.load(Ordering::Relaxed);
            let Some(oldest) = self.open.iter().position(waits).and_then(|oldest| self.open.remove(oldest))
            else {
                return; // Every request is being answered, and the new connection is closed.
            };
            oldest.task.abort();
        }
        let has_request = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(answer(stream, app.clone(), limits, Arc::clone(&has_request)));
        self.open.push_back(Connection { task: task.abort_handle(), has_request });
    }
}

/// Answers the requests of a connection one after another.
async fn answer(stream: TcpStream, app: Router, limits: Limits, has_request: Arc<AtomicBool>) {
    let _ = stream.set_nodelay(true);
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, has_request) = (app.clone(), Arc::clone(&has_request));
        async move {
            let (parts, body) = request.into_parts();
            let body = match timeout(limits.body, to_bytes(Body::new(body), limits.max_body)).await {
                Ok(Ok(body)) => body,
                Ok(Err(_)) => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
                Err(_) => return Ok(StatusCode::REQUEST_TIMEOUT.into_response()),
            };
            has_request.store(true, Ordering::Relaxed);
            let answer = app.call(Request::from_parts(parts, Body::from(body))).await;
            has_request.store(false, Ordering::Relaxed);
            answer as Result<Response<Body>, Infallible>
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    // Whoever sent something wrong or too late is not told more than that the connection is closed.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}
