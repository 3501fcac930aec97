//! The device authorization grant (RFC 8628).

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_request::EndpointRequest;
use crate::client::endpoints::endpoint_response::EndpointResponse;
use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::{Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::{Error, ErrorKind};
use crate::jose::json::Members;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::retry_after::retry_after;
use crate::time::Clock;
use crate::url::{self, PlainHttp, Url};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 8628 §3.2: the interval where the server names none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// RFC 8628 §3.5: how much `slow_down` adds to the interval.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// A server that names a longer interval is asked this often.
const MAX_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The response to a device authorization request (RFC 8628 §3.2). Show the user
/// [`user_code`](Self::user_code) and [`verification_uri`](Self::verification_uri), or
/// [`verification_uri_complete`](Self::verification_uri_complete) as a QR code. `Debug` shows none of its
/// codes.
pub struct DeviceAuthorization {
    device_code: Zeroizing<String>,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: Duration,
    interval: Duration,
}

impl DeviceAuthorization {
    fn from_members(mut members: Members, http: PlainHttp) -> Result<Self, String> {
        let mut text = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("the response's `{name}` is not a string")),
        };
        let missing = |name: &str| format!("the response has no `{name}` (RFC 8628 §3.2)");
        let device_code = text("device_code")?.map(Zeroizing::new).ok_or_else(|| missing("device_code"))?;
        let user_code = text("user_code")?.ok_or_else(|| missing("user_code"))?;
        // Google names it so.
        let verification_uri = match text("verification_uri")? {
            Some(uri) => uri,
            None => text("verification_url")?.ok_or_else(|| missing("verification_uri"))?,
        };
        let verification_uri_complete = text("verification_uri_complete")?;
        if user_code.is_empty() || user_code.chars().any(char::is_control) {
            return Err("the response's `user_code` is empty or has control characters".to_owned());
        }
        // A terminal or a browser opens them.
        for uri in [Some(&verification_uri), verification_uri_complete.as_ref()].into_iter().flatten() {
            Url::target(uri, http)
                .map_err(|why| url::refused(ErrorKind::Url, "verification URI", uri, why).to_string())?;
        }
        let seconds = |name: &str| members.get(name).and_then(Value::as_u64).map(Duration::from_secs);
        Ok(Self {
            device_code,
            user_code,
            verification_uri,
            verification_uri_complete,
            expires_in: seconds("expires_in").ok_or_else(|| missing("expires_in"))?,
            interval: seconds("interval").unwrap_or(DEFAULT_INTERVAL),
        })
    }

    /// Returns the code that the user enters on another device. It is secret until then.
    #[must_use]
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Returns the URL where the user enters the code.
    #[must_use]
    pub fn verification_uri(&self) -> &str {
        &self.verification_uri
    }

    /// Returns the URL that has the code in it, if the server offers one. It is for QR codes; the user should
    /// compare the code nevertheless (RFC 8628 §3.3.1).
    #[must_use]
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.verification_uri_complete.as_deref()
    }

    /// Returns how long the codes are valid, counted from the response.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// Returns the least time between two token requests: 5 seconds if the server names none.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }
}

impl fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuthorization")
            .field("verification_uri", &self.verification_uri)
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// Decides when the token of a device authorization is requested again (RFC 8628 §3.5), without I/O.
///
/// ```
/// # use possession::*;
/// # fn poll(device: &DeviceAuthorization, mut request_token: impl FnMut() -> Result<TokenResponse, Error>)
/// #     -> Result<TokenResponse, Error> {
/// let clock = SystemClock::new();
/// let mut polling = DevicePolling::new(device);
/// loop {
///     clock.sleep(polling.interval());
///     match request_token() {
///         Ok(token) => return Ok(token),
///         Err(error) => polling.receive(error, clock.elapsed())?,
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct DevicePolling {
    interval: Duration,
    expires_in: Duration,
}

impl DevicePolling {
    /// Starts when the device authorization arrived.
    #[must_use]
    pub fn new(device: &DeviceAuthorization) -> Self {
        Self {
            interval: device.interval.clamp(Duration::from_secs(1), MAX_INTERVAL),
            expires_in: device.expires_in,
        }
    }

    /// Takes the error of a token request, `elapsed` after the start. `Ok` means that the token is to be
    /// requested again after the [`interval`](Self::interval): the user has not decided yet
    /// (`authorization_pending`), the server asks for a longer interval (`slow_down`), or it could not be
    /// reached.
    ///
    /// # Errors
    /// Returns the error if it is another one, such as `access_denied` or `expired_token`, and
    /// [`Timeout`](ErrorKind::Timeout) when the device code will have expired before the next request.
    pub fn receive(&mut self, error: Error, elapsed: Duration) -> Result<(), Error> {
        match error.oauth().map(crate::OAuthError::error) {
            Some("authorization_pending") => {}
            Some("slow_down") => self.interval = self.interval.saturating_add(SLOW_DOWN).min(MAX_INTERVAL),
            // RFC 8628 §3.5: back off while there is no connection, such as by doubling the interval.
            _ if error.is_transient() => {
                self.interval = self.interval.saturating_mul(2).min(MAX_INTERVAL);
            }
            _ => return Err(error),
        }
        if elapsed.saturating_add(self.interval) < self.expires_in {
            return Ok(());
        }
        let wrong = format!(
            "the user did not decide within the {} s that the code is valid (start again)",
            self.expires_in.as_secs()
        );
        Err(Error::new(ErrorKind::Timeout, "waiting for the user to authorize the device", wrong))
    }

    /// Returns the time to wait before the next token request.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }
}

impl<'a> EndpointRequest<'a> {
    /// Creates a device authorization request (RFC 8628 §3.1). It has no proof, because RFC 9449 defines none
    /// here.
    ///
    /// # Errors
    /// Those of [`revocation`](Self::revocation).
    pub fn device_authorization(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        Self::new(Endpoint::DeviceAuthorization, server, client, auth, Vec::new(), parameters, options)
    }
}

impl<'a> TokenRequest<'a> {
    /// Creates a token request of the device authorization grant (RFC 8628 §3.4).
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn device_code(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        device: &DeviceAuthorization,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = [field("device_code", device.device_code.as_str())];
        Self::with_fields(server, client, auth, DEVICE_CODE, fields, parameters, options)
    }
}

/// Starts the sign-in of a user who has a browser on another device (RFC 8628 §3.1): `scope` and `resource`
/// are parameters. Give the response to [`process_device_authorization_response`], show the user the code,
/// and wait with [`poll_device_code`].
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, prover: &Prover) -> Result<(), Error> {
/// let options = RequestOptions::new().prover(prover);
/// let parameters = Parameters::new().scope("orders:read");
/// let response = device_authorization_request(server, client, auth, parameters, &options)?;
/// let device = process_device_authorization_response(server, client, response)?;
/// println!("Open {} and enter the code {}", device.verification_uri(), device.user_code());
///
/// let clock = SystemClock::new();
/// let token = poll_device_code(server, client, auth, &device, Parameters::new(), &options, &clock)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
/// [`Metadata`](ErrorKind::Metadata) when the server has no `device_authorization_endpoint`.
pub fn device_authorization_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<EndpointResponse, Error> {
    EndpointRequest::device_authorization(server, client, auth, parameters, options)?.run(options)
}

/// Checks the response to [`device_authorization_request`] (RFC 8628 §3.2).
///
/// # Errors
/// [`OAuth`](ErrorKind::OAuth) for an OAuth error; [`Status`](ErrorKind::Status) and
/// [`Content`](ErrorKind::Content) for a response that is not one of this endpoint, such as one whose
/// `verification_uri` is not an https URL.
pub fn process_device_authorization_response(
    server: &AuthorizationServer,
    client: &Client,
    response: EndpointResponse,
) -> Result<DeviceAuthorization, Error> {
    let doing = || Endpoint::DeviceAuthorization.doing(server.issuer(), client);
    let response = response.success(doing)?;
    DeviceAuthorization::from_members(response.members(doing)?, server.http())
        .map_err(|wrong| response.content(doing(), wrong))
}

/// Requests the token of a device authorization once (RFC 8628 §3.4). Give the response to
/// [`process_device_code_response`], and its error to [`DevicePolling`], which says when to request again.
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
pub fn device_code_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    device: &DeviceAuthorization,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    TokenRequest::device_code(server, client, auth, device, parameters, options)?.run(options)
}

/// Checks the response to [`device_code_grant_request`] (RFC 8628 §3.5) and returns its tokens.
///
/// # Errors
/// Those of [`process_client_credentials_response`](crate::process_client_credentials_response).
/// `authorization_pending` and `slow_down` mean that the user has not decided yet.
pub fn process_device_code_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    response.into_token(server, client)
}

/// Requests the token of a device authorization until the user has decided or the code expires (RFC 8628
/// §3.5). It waits for the server's interval before each request, longer after `slow_down`, after failures of
/// the network and where `Retry-After` says so.
///
/// # Errors
/// [`OAuth`](ErrorKind::OAuth): `access_denied` when the user refused, `expired_token` when the time was
/// over; [`Timeout`](ErrorKind::Timeout) when this program's clock says so first. Otherwise those of
/// [`device_code_grant_request`] and [`process_device_code_response`].
pub fn poll_device_code(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    device: &DeviceAuthorization,
    parameters: Parameters,
    options: &RequestOptions<'_>,
    clock: &dyn Clock,
) -> Result<TokenResponse, Error> {
    let start = clock.elapsed();
    let mut polling = DevicePolling::new(device);
    let mut wait = polling.interval();
    loop {
        clock.sleep(wait);
        let mut asked_pause = Duration::ZERO;
        let request = TokenRequest::device_code(server, client, auth, device, parameters.clone(), options)?;
        let doing = Endpoint::Token.doing(server.issuer(), client);
        let response = options.with_http(&doing, |http| request.run_with_clock(http, &|| clock.now()));
        let result = response.and_then(|response| {
            asked_pause = retry_after(response.headers(), clock.now()).unwrap_or_default();
            process_device_code_response(server, client, response)
        });
        match result {
            Ok(token) => return Ok(token),
            Err(error) => polling.receive(error, clock.elapsed().saturating_sub(start))?,
        }
        wait = polling.interval().max(asked_pause.min(MAX_INTERVAL));
    }
}
