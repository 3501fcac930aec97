//! Token introspection by a client (RFC 7662).

use std::fmt;

use serde_json::Value;

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_request::EndpointRequest;
use crate::client::endpoints::endpoint_response::EndpointResponse;
use crate::client::parameters::{Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::Error;
use crate::jose::json::Members;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

/// What a server says about a token (RFC 7662 §2.2). `Debug` shows only whether the token is active.
pub struct Introspection {
    active: bool,
    members: Members,
}

impl Introspection {
    /// Returns whether the token is active. The other members are for an active token only.
    #[must_use]
    pub fn active(&self) -> bool {
        self.active
    }

    /// Returns a member of the response, such as `scope`, `exp` or `cnf`.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("active", &self.active).finish_non_exhaustive()
    }
}

impl<'a> EndpointRequest<'a> {
    /// Creates an introspection request (RFC 7662 §2.1). It has no proof, because RFC 9449 defines none here.
    ///
    /// # Errors
    /// Those of [`revocation`](Self::revocation).
    pub fn introspection(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        token: &str,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = vec![field("token", token)];
        Self::new(Endpoint::Introspection, server, client, auth, fields, parameters, options)
    }
}

/// Asks the server about a token (RFC 7662 §2.1). `token_type_hint` may be among the parameters. Give the
/// response to [`process_introspection_response`]. A resource server uses
/// [`Introspector`](crate::server::Introspector) instead, which checks what the response says about the
/// token.
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, token: &str) -> Result<(), Error> {
/// let options = RequestOptions::new();
/// let response = introspection_request(server, client, auth, token, Parameters::new(), &options)?;
/// let introspection = process_introspection_response(server, client, response)?;
/// println!("{} {:?}", introspection.active(), introspection.member("exp"));
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
/// [`Metadata`](crate::ErrorKind::Metadata) when the server has no `introspection_endpoint`.
pub fn introspection_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    token: &str,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<EndpointResponse, Error> {
    EndpointRequest::introspection(server, client, auth, token, parameters, options)?.run(options)
}

/// Checks the response to [`introspection_request`] (RFC 7662 §2.2).
///
/// # Errors
/// [`OAuth`](crate::ErrorKind::OAuth) for an OAuth error; [`Status`](crate::ErrorKind::Status) and
/// [`Content`](crate::ErrorKind::Content) for a response that is not one of this endpoint.
pub fn process_introspection_response(
    server: &AuthorizationServer,
    client: &Client,
    response: EndpointResponse,
) -> Result<Introspection, Error> {
    let doing = || Endpoint::Introspection.doing(server.issuer(), client);
    let response = response.success(doing)?;
    let members = response.members(doing)?;
    match members.get("active") {
        Some(&Value::Bool(active)) => Ok(Introspection { active, members }),
        _ => Err(response.content(doing(), "the response has no boolean `active`".to_owned())),
    }
}
