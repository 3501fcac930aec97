//! TLS for the connections of a test server.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

#[cfg(feature = "ureq")]
pub(super) use rustls::ServerConfig;

/// Without the feature `ureq` there is no TLS library, so this type has no value.
#[cfg(not(feature = "ureq"))]
pub(super) enum ServerConfig {}

pub(super) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Puts TLS on a connection if there is a configuration for it.
pub(super) fn accept(stream: TcpStream, config: Option<Arc<ServerConfig>>) -> io::Result<Box<dyn Stream>> {
    match config {
        None => Ok(Box::new(stream)),
        #[cfg(feature = "ureq")]
        Some(config) => {
            let connection = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            Ok(Box::new(rustls::StreamOwned::new(connection, stream)))
        }
        #[cfg(not(feature = "ureq"))]
        Some(config) => match *config {},
    }
}

/// Builds a configuration from a certificate chain and its private key, both PEM.
#[cfg(feature = "ureq")]
pub(super) fn server_config(chain: &[u8], key: &[u8]) -> io::Result<ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let invalid =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| invalid(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| invalid(&error))
}
