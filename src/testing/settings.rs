//! The configuration of a test server.

use std::sync::Arc;
use std::time::Duration;

use super::nonces::Nonces;
use crate::jose::public_key::PublicKey;
use crate::time::{Clock, SystemClock};

pub(super) struct Settings {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    /// Verifies the client's assertions (`private_key_jwt`).
    pub(super) client_public_key: Option<PublicKey>,
    /// Whether `client_id` alone identifies the client.
    pub(super) public_client: bool,
    /// The redirect URIs of the client; if there are none, it may use all.
    pub(super) redirect_uris: Vec<String>,
    /// The resource owner who approves authorization requests.
    pub(super) subject: String,
    /// The issuers of assertions about users, each with its key (RFC 7523 §2.1).
    pub(super) assertion_issuers: Vec<(String, PublicKey)>,
    pub(super) require_pushed_authorization_requests: bool,
    pub(super) nonces: Nonces,
    pub(super) token_lifetime: Duration,
    pub(super) refresh_token_lifetime: Duration,
    pub(super) device_code_lifetime: Duration,
    /// How long a client has to wait between two token requests with a device code.
    pub(super) polling_interval: Duration,
    pub(super) leeway: Duration,
    /// Whether proofs are refused that RFC 9449 allows and some servers refuse.
    pub(super) strict_proofs: bool,
    pub(super) dpop_algorithms: Vec<String>,
    pub(super) mtls_alias: bool,
    pub(super) max_received: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            client_id: "test-client".to_owned(),
            client_secret: "test-secret-of-more-than-thirty-two-bytes".to_owned(),
            client_public_key: None,
            public_client: false,
            redirect_uris: Vec::new(),
            subject: "alice".to_owned(),
            assertion_issuers: Vec::new(),
            require_pushed_authorization_requests: false,
            nonces: Nonces::Lifetime(Duration::from_secs(300)),
            token_lifetime: Duration::from_secs(3600),
            refresh_token_lifetime: Duration::from_secs(30 * 24 * 3600),
            device_code_lifetime: Duration::from_secs(600),
            polling_interval: Duration::from_secs(5),
            leeway: Duration::from_secs(5),
            strict_proofs: true,
            dpop_algorithms: ["ES256", "EdDSA", "Ed25519"].map(str::to_owned).to_vec(),
            mtls_alias: false,
            max_received: 10_000,
        }
    }
}
