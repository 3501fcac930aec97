//! Authorization responses (RFC 6749 §4.1.2, RFC 9207).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::client::grants::authorization_code::AuthorizationCode;
use crate::client::sign_in::authorization_request::RESPONSE_PARAMETERS;
use crate::client::sign_in::pending_authorization::PendingAuthorization;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::oauth::oauth_error::OAuthError;
use crate::text::{is_error_code, is_vschar, printable};
use crate::url::Url;

/// The parameters of a response that RFC 6749 and RFC 9207 define. All others are ignored (RFC 6749 §4.1.2),
/// such as those of the redirect URI.
struct AuthorizationResponse(Vec<(&'static str, Zeroizing<String>)>);

impl AuthorizationResponse {
    fn parse(query: &str) -> Self {
        let query = query.strip_prefix('?').unwrap_or(query);
        let pairs = form_urlencoded::parse(query.as_bytes()).filter_map(|(name, value)| {
            let name = RESPONSE_PARAMETERS.into_iter().find(|known| *known == name)?;
            Some((name, Zeroizing::new(value.into_owned())))
        });
        Self(pairs.collect())
    }

    /// Returns the value of a parameter. An empty one is the same as none (RFC 6749 §3.1).
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the name of a parameter that is there more than once.
    fn repeated(&self) -> Option<&'static str> {
        RESPONSE_PARAMETERS.into_iter().find(|name| self.count(name) > 1)
    }

    fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(known, _)| known == &name).count()
    }

    /// Returns whether there is one `state`, and it is this one. The time it takes does not depend on how
    /// much of it is right.
    fn has_state(&self, expected: &str) -> bool {
        let state = self.get("state").filter(|_| self.count("state") == 1).unwrap_or_default();
        state.as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

impl PendingAuthorization {
    /// Returns whether a query has the `state` of this request, so that it is about this request. A program
    /// that waits at an address which others can call too, such as one on loopback, ignores every other
    /// call and waits on: an error would let anybody end the login.
    #[must_use]
    pub fn matches_state(&self, query: &str) -> bool {
        AuthorizationResponse::parse(query).has_state(&self.state)
    }

    /// Takes the URL that the browser requested, checks the response in its query and returns the code (RFC
    /// 6749 §4.1.2). A server that sees only the path of its requests, or is behind a proxy that changes
    /// them, uses [`receive_query`](Self::receive_query).
    ///
    /// # Errors
    /// Those of [`receive_query`](Self::receive_query), and
    /// [`AuthorizationResponse`](ErrorKind::AuthorizationResponse) when the URL is not the redirect URI.
    pub fn receive(self, url: &str) -> Result<AuthorizationCode, Error> {
        let without_fragment = url.split('#').next().unwrap_or_default();
        let (location, query) = without_fragment.split_once('?').unwrap_or((without_fragment, ""));
        match self.is_redirect_uri(location) {
            true => self.receive_query(query),
            false => {
                let shown = printable(&self.redirect_uri, 200);
                Err(self.refused(format!("it did not come to the redirect URI {shown}")))
            }
        }
    }

    /// Checks the query that came to the redirect URI, or the form that was posted there, and returns the
    /// code (RFC 6749 §4.1.2).
    ///
    /// The response must have the `state` of this request. Its `iss` must be the issuer of the server (RFC
    /// 9207 §2.4); it may be missing if the server's metadata do not say that it sends one. Only then an
    /// error is believed.
    ///
    /// # Errors
    /// - [`AuthorizationResponse`](ErrorKind::AuthorizationResponse) when the response is not one to this
    ///   request, or not from this server.
    /// - [`OAuth`](ErrorKind::OAuth) for an error of the server (RFC 6749 §4.1.2.1), such as `access_denied`.
    pub fn receive_query(self, query: &str) -> Result<AuthorizationCode, Error> {
        let response = AuthorizationResponse::parse(query);
        if let Some(name) = response.repeated() {
            return Err(self.refused(format!("it has `{name}` more than once")));
        }
        if response.get("response").is_some() {
            return Err(self.refused("it is a JWT in `response`, which is not supported (JARM)"));
        }
        if !response.has_state(&self.state) {
            let wrong = match response.get("state") {
                Some(_) => {
                    "its `state` is not that of the request: it belongs to another login, or somebody made it up"
                }
                None => "it has no `state`",
            };
            return Err(self.refused(wrong));
        }
        match response.get("iss") {
            Some(iss) if iss != self.issuer => {
                let (seen, expected) = (printable(iss, 200), printable(&self.issuer, 200));
                return Err(
                    self.refused(format!("its `iss` is {seen}, not exactly {expected} (RFC 9207 §2.4)"))
                );
            }
            None if self.iss_required => {
                return Err(self.refused("it has no `iss`, which this server always sends (RFC 9207 §2.4)"));
            }
            _ => {}
        }
        if let Some(error) = response.get("error") {
            return Err(self.oauth_error(error, &response));
        }
        match response.get("code") {
            Some(code) if code.bytes().all(is_vschar) => Ok(self.into_code(code)),
            Some(_) => Err(self.refused("its `code` has characters that RFC 6749 does not allow")),
            None => Err(self.refused("it has neither `code` nor `error`")),
        }
    }

    fn into_code(self, code: &str) -> AuthorizationCode {
        AuthorizationCode {
            code: Zeroizing::new(code.to_owned()),
            redirect_uri: Some(self.redirect_uri),
            code_verifier: Some(self.code_verifier.into_inner()),
            requested: Some((self.issuer, self.client_id)),
            jkt: self.jkt,
        }
    }

    fn is_redirect_uri(&self, location: &str) -> bool {
        let expected = self.redirect_uri.split('?').next().unwrap_or_default();
        let normal = |uri: &str| Url::http(uri).map(Url::into_normal_form).ok();
        location == expected || normal(location).is_some_and(|uri| Some(uri) == normal(expected))
    }

    fn oauth_error(&self, error: &str, response: &AuthorizationResponse) -> Error {
        if !is_error_code(error) || error.len() > 200 {
            return self.refused("its `error` is not an error code (RFC 6749 §4.1.2.1)");
        }
        let text = |name: &str| response.get(name).map(str::to_owned);
        let error = OAuthError::in_authorization_response(
            error.to_owned(),
            text("error_description"),
            text("error_uri"),
        );
        let wrong = format!("the server responded with {error}");
        Error::new(ErrorKind::OAuth(error), self.doing(), wrong)
    }

    fn refused(&self, wrong: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::AuthorizationResponse, self.doing(), wrong)
    }

    fn doing(&self) -> String {
        let (issuer, client_id) = (printable(&self.issuer, 200), printable(&self.client_id, 80));
        format!("reading the authorization response of {issuer} for {client_id}")
    }
}

impl AuthorizationCode {
    /// Returns the issuer identifier of the server that the code is from, if it is known. The code is sent to
    /// no other server.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.requested.as_ref().map(|(issuer, _)| issuer.as_str())
    }

    /// Returns the thumbprint of the key that the code is bound to (RFC 9449 §10), if there is one.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }
}
