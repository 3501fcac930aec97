//! Certificates for the tests over TLS.

use possession::testing::TestServer;
use possession::*;

pub use crate::common::certificates::{Certificate, certificate, loopback_certificate};
use crate::common::server::{ClockWithoutPauses, with};
use crate::support::LONG;

pub fn https(certificate: &Certificate) -> TestServer {
    with(|server| server.tls(certificate.chain.as_bytes(), certificate.key.as_bytes()).unwrap())
}

pub fn trusting(ca: &str) -> TransportBuilder {
    Transport::builder().timeout(LONG).root_certificates_pem(ca.as_bytes()).unwrap()
}

/// A session as in production: plain http is not allowed anywhere.
pub fn strict(server: &TestServer, transport: TransportBuilder) -> SessionBuilder {
    let auth = ClientAuth::client_secret_basic(server.client_secret());
    let builder = Session::builder(server.issuer(), server.client_id()).auth(auth);
    builder.clock(ClockWithoutPauses::new()).transport(transport.build())
}

/// A transport with a client certificate of its own.
pub fn client_certificate() -> Transport {
    let own = rcgen::generate_simple_self_signed(vec!["client.example".to_owned()]).unwrap();
    let builder = Transport::builder()
        .client_certificate_pem(own.cert.pem().as_bytes(), own.signing_key.serialize_pem().as_bytes());
    builder.unwrap().build()
}
