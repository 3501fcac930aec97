//! The clients that the authorization server knows.

use std::collections::HashMap;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::settings::Settings;
use crate::jose::public_key::PublicKey;
use crate::sync::{self, Mutex};
use crate::text::is_uri_scheme;
use crate::url::Url;

pub(super) struct Clients {
    configured: Arc<Client>,
    /// Those that registered themselves, by their identifiers.
    registered: Mutex<HashMap<String, Arc<Client>>>,
}

pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<String>,
    /// Verifies the client's assertions (`private_key_jwt`).
    pub(super) public_key: Option<PublicKey>,
    /// Whether `client_id` alone identifies the client.
    pub(super) public: bool,
    /// The redirect URIs that it may use; if there are none, all.
    pub(super) redirect_uris: Vec<String>,
    /// The grant types that it may use; `None` means all.
    pub(super) grant_types: Option<Vec<String>>,
}

impl Clients {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { configured: Arc::new(Client::configured(settings)), registered: Mutex::default() }
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Client>> {
        if id == self.configured.id {
            return Some(Arc::clone(&self.configured));
        }
        sync::lock(&self.registered).get(id).map(Arc::clone)
    }

    pub(super) fn register(&self, client: Client) {
        sync::lock(&self.registered).insert(client.id.clone(), Arc::new(client));
    }
}

impl Client {
    /// Returns the client of the settings.
    fn configured(settings: &Settings) -> Self {
        Self {
            id: settings.client_id.clone(),
            secret: Some(settings.client_secret.clone()),
            public_key: settings.client_public_key.clone(),
            public: settings.public_client,
            redirect_uris: settings.redirect_uris.clone(),
            grant_types: None,
        }
    }

    pub(super) fn is_secret(&self, secret: &str) -> bool {
        let known = self.secret.as_ref();
        known.is_some_and(|known| secret.as_bytes().ct_eq(known.as_bytes()).into())
    }

    pub(super) fn may_use(&self, grant_type: &str) -> bool {
        let registered = self.grant_types.as_ref();
        registered.is_none_or(|registered| registered.iter().any(|known| known == grant_type))
    }

    /// Returns whether responses may be sent to that redirect URI.
    pub(super) fn may_redirect_to(&self, uri: &str) -> bool {
        let is_registered = |known: &String| known == uri || differs_by_port_of_loopback(known, uri);
        is_redirect_uri(uri)
            && (self.redirect_uris.is_empty() || self.redirect_uris.iter().any(is_registered))
    }
}

/// Returns whether it is an absolute URI without a fragment (RFC 6749 §3.1.2).
pub(super) fn is_redirect_uri(uri: &str) -> bool {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(is_uri_scheme) && uri.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// RFC 8252 §7.3: an authorization server accepts every port of the loopback address.
fn differs_by_port_of_loopback(known: &str, uri: &str) -> bool {
    let (Ok(known), Ok(uri)) = (Url::parse(known), Url::parse(uri)) else {
        return false;
    };
    let without_port = |url: &Url| (url.scheme() == "http", url.host().to_owned(), url.path().to_owned());
    let (known_parts, parts) = (without_port(&known), without_port(&uri));
    parts.0 && uri.is_loopback() && known_parts == parts && known.query() == uri.query()
}
