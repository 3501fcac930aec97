//! Stored sessions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use possession::{
    Error, FileStore, Grant, HttpClient, RequestBody, Session, SessionBuilder, SessionStore, Transport,
};

use crate::failure::{Failure, refused, usage};
use crate::options::client::ClientOptions;
use crate::options::server::{TransportOptions, absolute};

/// Where the session of a sign-in is kept.
#[derive(clap::Args)]
#[command(next_help_heading = "Stored session")]
pub struct SessionOptions {
    /// The name of the session [default: default]
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// The directory with the sessions [default: .possession in the home directory]
    #[arg(long, value_name = "DIRECTORY")]
    pub store: Option<PathBuf>,
}

impl SessionOptions {
    /// Returns the store of the session, whose name is `default` if none is given.
    pub fn store(&self) -> Result<FileStore, Failure> {
        let directory = match &self.store {
            Some(directory) => directory.clone(),
            None => std::env::home_dir()
                .ok_or_else(|| usage("there is no home directory (--store names another directory)"))?
                .join(".possession"),
        };
        let name = self.name();
        if name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(usage(format!("--session {name} is the name of a session, and no path")));
        }
        FileStore::new(directory, name).map_err(refused)
    }

    pub fn name(&self) -> &str {
        self.session.as_deref().unwrap_or("default")
    }

    /// The error where there is none.
    pub fn missing(&self, store: &FileStore) -> Failure {
        let (name, path) = (self.name(), store.path().display());
        format!("there is no session {name} (`possession login` makes one): no file {path}").into()
    }

    /// Returns the session that is stored. Requests to its authorization server go over `http`.
    pub fn open(
        &self,
        client: &ClientOptions,
        transport: &TransportOptions,
        http: Arc<dyn HttpClient>,
    ) -> Result<Session, Failure> {
        let store = self.store()?;
        let stored = store.load()?;
        let stored = stored.ok_or_else(|| self.missing(&store))?;
        if let Err(wrong) = absolute(stored.issuer()) {
            return Err(format!("the issuer of the session {}: {wrong}", self.name()).into());
        }
        transport.check_scheme(stored.issuer())?;
        let builder = Session::builder(stored.issuer(), stored.client_id())
            .auth(client.auth(transport)?)
            .grant(Grant::stored())
            .store(store)
            .http(SharedClient(http))
            // A person waits.
            .deadline(Duration::from_secs(15));
        Ok(with_transport(builder, transport, transport.transport()?).discover()?)
    }
}

/// An HTTP client that somebody else uses as well.
struct SharedClient(Arc<dyn HttpClient>);

impl HttpClient for SharedClient {
    fn send(&self, request: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        self.0.send(request)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.0.has_client_certificate()
    }
}

/// Sets the transport of a session.
pub fn with_transport(
    builder: SessionBuilder,
    options: &TransportOptions,
    transport: Transport,
) -> SessionBuilder {
    let builder = builder.transport(transport);
    if options.dangerous_http { builder.dangerous_allow_http_on_loopback() } else { builder }
}
