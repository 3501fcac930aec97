//! Discovery of authorization server metadata (RFC 8414 §3, OpenID Connect Discovery 1.0 §4).

use http::{Request, StatusCode};

use crate::error::{Error, ErrorKind};
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::metadata::{AuthorizationServer, issuer_url};
use crate::oauth::response::require_json;
use crate::oauth::step::Step;
use crate::text::printable;
use crate::url::{self, PlainHttp, Url};

/// Finding the metadata of an issuer (RFC 8414 §3, OpenID Connect Discovery 1.0 §4), without I/O:
/// [`request`](Self::request) gives a request, [`receive`](Self::receive) takes the response.
/// [`AuthorizationServer::discover`] does both.
#[derive(Clone, Debug)]
pub struct Discovery {
    issuer: String,
    urls: [Url; 2],
    at: usize,
    hosts: Option<Vec<String>>,
    http: PlainHttp,
}

impl Discovery {
    /// For an issuer identifier: an https URL without query and fragment (RFC 8414 §2).
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when it is not one.
    pub fn new(issuer: &str) -> Result<Self, Error> {
        Self::at(issuer, PlainHttp::Refused)
    }

    /// The same, and plain http is allowed for hosts `localhost`, `127.0.0.0/8` and `[::1]`, here and in the metadata.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn dangerous_allow_http_on_loopback(issuer: &str) -> Result<Self, Error> {
        Self::at(issuer, PlainHttp::OnLoopback)
    }

    pub(crate) fn at(issuer: &str, http: PlainHttp) -> Result<Self, Error> {
        let url = issuer_url(issuer, http)?;
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let well_known = |text: String| {
            Url::target(&text, http)
                .map_err(|why| url::refused(ErrorKind::Metadata, "metadata URL", &text, why))
        };
        let urls = [
            // RFC 8414 §3.1: between host and path.
            well_known(format!("{}/.well-known/oauth-authorization-server{path}", url.origin()))?,
            // OpenID Connect Discovery 1.0 §4: after the path.
            well_known(format!("{}{path}/.well-known/openid-configuration", url.origin()))?,
        ];
        Ok(Self { issuer: issuer.to_owned(), urls, at: 0, hosts: None, http })
    }

    /// Refuses metadata with an endpoint on another host than the issuer's and these, as
    /// [`AuthorizationServerBuilder::endpoint_hosts`] does.
    #[must_use]
    pub fn endpoint_hosts<S: Into<String>>(self, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { hosts: Some(hosts.into_iter().map(Into::into).collect()), ..self }
    }

    /// Where the metadata may be: the place of RFC 8414, then that of OpenID Connect.
    #[must_use]
    pub fn urls(&self) -> [String; 2] {
        self.urls.each_ref().map(|url| url.htu().to_owned())
    }

    /// Sends the requests.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::discover`].
    pub fn run(mut self, http: &dyn HttpClient) -> Result<AuthorizationServer, Error> {
        loop {
            let response = http.send(self.request()?).map_err(|error| error.while_doing(self.doing()))?;
            match self.receive(response)? {
                Step::Retry => {}
                Step::Done(server) => return Ok(server),
            }
        }
    }

    /// The request to send next.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the issuer is too long for an HTTP request.
    pub fn request(&self) -> Result<Request<RequestBody>, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Metadata, self.doing(), wrong);
        let uri = self.urls.get(self.at).ok_or("there is no other place").and_then(Url::to_uri);
        Request::get(uri.map_err(|why| wrong(why.to_owned()))?)
            .header("accept", "application/json")
            .body(RequestBody::default())
            .map_err(|error| wrong(error.to_string()))
    }

    /// Takes the response to it. Only a 404 at the first place leads to the second.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::discover`], less the HTTP client's.
    pub fn receive(&mut self, response: http::Response<Vec<u8>>) -> Result<Step<AuthorizationServer>, Error> {
        let status = response.status();
        if status == StatusCode::NOT_FOUND && self.at == 0 {
            self.at = 1;
            return Ok(Step::Retry);
        }
        require_json(status, response.headers(), || self.doing()).map_err(|error| match error.kind() {
            ErrorKind::Status { .. } if self.at > 0 => error.noting(
                "the location of RFC 8414 had status 404 before: is this the server's issuer identifier?",
            ),
            _ => error,
        })?;
        let mut builder = AuthorizationServer::builder(self.issuer.as_str()).document(response.into_body());
        builder.hosts.clone_from(&self.hosts);
        builder.http = self.http;
        builder.build().map(Step::Done).map_err(|error| error.while_doing(self.doing()))
    }

    fn doing(&self) -> String {
        let url = self.urls.get(self.at).map(Url::htu).unwrap_or_default();
        format!("fetching the metadata at {}", printable(url, 200))
    }
}
