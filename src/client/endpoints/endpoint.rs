//! The endpoints of an authorization server that authenticate clients.

use crate::oauth::client::Client;
use crate::text::printable;

/// An endpoint that authenticates clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// RFC 6749 §3.2.
    Token,
    /// RFC 9126 §2.
    PushedAuthorizationRequest,
    /// RFC 8628 §3.1.
    DeviceAuthorization,
    /// RFC 7009 §2.
    Revocation,
    /// RFC 7662 §2.
    Introspection,
}

impl Endpoint {
    /// Returns the name of the endpoint in the server's metadata.
    pub(crate) fn metadata_name(self) -> &'static str {
        match self {
            Self::Token => "token_endpoint",
            Self::PushedAuthorizationRequest => "pushed_authorization_request_endpoint",
            Self::DeviceAuthorization => "device_authorization_endpoint",
            Self::Revocation => "revocation_endpoint",
            Self::Introspection => "introspection_endpoint",
        }
    }

    /// Returns the endpoint whose metadata say how clients authenticate here. The rules of the token endpoint
    /// hold for pushed requests and devices (RFC 9126 §2, RFC 8628 §3.1).
    pub(crate) fn client_auth_metadata(self) -> &'static str {
        match self {
            Self::Token | Self::PushedAuthorizationRequest | Self::DeviceAuthorization => "token_endpoint",
            Self::Revocation | Self::Introspection => self.metadata_name(),
        }
    }

    /// Returns whether requests have a proof (RFC 9449 §5, §10.1).
    pub(crate) fn takes_proofs(self) -> bool {
        matches!(self, Self::Token | Self::PushedAuthorizationRequest)
    }

    /// Returns what a request is called in errors and log records. `place` is the URL or the issuer.
    pub(crate) fn doing(self, place: &str, client: &Client) -> String {
        let action = match self {
            Self::Token => "requesting a token from",
            Self::PushedAuthorizationRequest => "pushing an authorization request to",
            Self::DeviceAuthorization => "requesting a device authorization from",
            Self::Revocation => "revoking a token at",
            Self::Introspection => "introspecting a token at",
        };
        format!("{action} {} as {}", printable(place, 200), printable(client.client_id(), 80))
    }
}
