//! Where the endpoints are.

use super::quirk::Endpoint;
use crate::dpop::server_role::ServerRole;

/// An endpoint that the metadata list.
pub(super) struct EndpointPath {
    /// The member of the metadata (RFC 8414 §2).
    pub(super) member: &'static str,
    pub(super) path: &'static str,
    endpoint: Endpoint,
    /// Whether clients authenticate there, so that it may have an alias for mutual TLS (RFC 8705 §5).
    pub(super) has_alias: bool,
}

pub(super) const ENDPOINTS: [EndpointPath; 7] = [
    EndpointPath::new("authorization_endpoint", "/authorize", Endpoint::Authorization, false),
    EndpointPath::new("pushed_authorization_request_endpoint", "/par", Endpoint::PushedAuthorization, true),
    EndpointPath::new("token_endpoint", "/token", Endpoint::Token, true),
    EndpointPath::new(
        "device_authorization_endpoint",
        "/device_authorization",
        Endpoint::DeviceAuthorization,
        true,
    ),
    EndpointPath::new("revocation_endpoint", "/revoke", Endpoint::Revocation, true),
    EndpointPath::new("introspection_endpoint", "/introspect", Endpoint::Introspection, true),
    EndpointPath::new("registration_endpoint", "/register", Endpoint::Registration, false),
];

/// The page where a user enters the code of a device (RFC 8628 §3.3).
pub(super) const VERIFICATION: &str = "/device";

/// Where the metadata of resources are: the path of the resource follows (RFC 9728 §3.1).
pub(super) const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// The paths of the metadata.
const METADATA: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

impl EndpointPath {
    const fn new(member: &'static str, path: &'static str, endpoint: Endpoint, has_alias: bool) -> Self {
        Self { member, path, endpoint, has_alias }
    }
}

/// Returns the endpoint at a path of one of the two servers. `mtls_aliases` says whether the resource
/// server's origin has the aliases of the authorization server.
pub(super) fn endpoint(origin: ServerRole, path: &str, mtls_aliases: bool) -> Endpoint {
    let at_issuer = origin == ServerRole::AuthorizationServer;
    if at_issuer && METADATA.contains(&path) {
        return Endpoint::Metadata;
    }
    if path.strip_prefix(RESOURCE_METADATA).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Endpoint::ResourceMetadata;
    }
    if at_issuer && path == VERIFICATION {
        return Endpoint::Verification;
    }
    let is_at = |known: &&EndpointPath| known.path == path && (at_issuer || mtls_aliases && known.has_alias);
    ENDPOINTS.iter().find(is_at).map_or(Endpoint::Resource, |known| known.endpoint)
}
