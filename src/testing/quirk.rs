//! The ways in which a test server can misbehave.

use std::time::Duration;

use http::Response;

/// The endpoint that received a request, or at which a [`Quirk`] takes effect.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::{Endpoint, TestServer};
///
/// let server = TestServer::start()?;
/// server.session().discover()?.get(&server.resource("/orders"))?;
/// let endpoints: Vec<_> = server.received().iter().map(|request| request.endpoint).collect();
/// // Both endpoints asked for a nonce first.
/// use Endpoint::{Metadata, Resource, Token};
/// assert_eq!(endpoints, [Metadata, Token, Token, Resource, Resource]);
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// The metadata of the authorization server (RFC 8414).
    Metadata,
    /// The authorization endpoint (RFC 6749 §3.1).
    Authorization,
    /// The pushed authorization request endpoint (RFC 9126).
    PushedAuthorization,
    /// The token endpoint.
    Token,
    /// The device authorization endpoint (RFC 8628 §3.1).
    DeviceAuthorization,
    /// The page where a user enters the code that a device shows (RFC 8628 §3.3).
    Verification,
    /// The revocation endpoint (RFC 7009).
    Revocation,
    /// The introspection endpoint (RFC 7662).
    Introspection,
    /// The registration endpoint (RFC 7591).
    Registration,
    /// The metadata of a protected resource (RFC 9728).
    ResourceMetadata,
    /// A protected resource: every other path.
    Resource,
}

/// How often a [`Quirk`] takes effect.
///
/// A response that a quirk cannot change does not count: with `Next(1)`, [`Quirk::Bearer`] waits for the
/// response that issues a token, whatever the token endpoint responds before.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::{Endpoint, Quirk, TestServer, When};
///
/// let server = TestServer::start()?;
/// let session = server.session().discover()?;
/// let url = server.resource("/");
/// session.get(&url)?;
/// let unavailable = Quirk::Refuse { status: 503, retry_after: None };
/// server.misbehave(Endpoint::Resource, When::Every(2), unavailable);
/// assert_eq!(session.get(&url)?.status(), 200);
/// assert_eq!(session.get(&url)?.status(), 503);
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// For every request.
    Always,
    /// For the next so many responses that it changes. One quirk with `Next` takes effect on a response,
    /// and several take effect on successive responses, in the order in which they were set.
    Next(u32),
    /// For every nth request: `Every(3)` means the third, the sixth and so on, if it can change their
    /// responses.
    Every(u32),
}

/// One way to misbehave. [`TestServer::misbehave`](crate::testing::TestServer::misbehave) says where and when
/// it takes effect.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::ErrorKind;
/// use possession::testing::{Endpoint, Quirk, TestServer, When};
///
/// let server = TestServer::start()?;
/// let session = server.session().discover()?;
/// server.misbehave(Endpoint::Token, When::Always, Quirk::Bearer);
/// let error = session.get(&server.resource("/")).unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::TokenType { token_type } if token_type == "Bearer"));
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Quirk {
    /// Changes one response in several ways, each of which is counted. With [`When::Next`], the quirks take
    /// effect together: the effect of one that only concerns some responses is waited for.
    All(Vec<Self>),

    // ---- Responses that replace the correct one
    /// Redirects the client.
    Redirect {
        /// The status code: 301, 302, 303, 307 or 308.
        status: u16,
        /// The value of `Location`.
        location: String,
    },
    /// Responds with a status code and no body, like a server that failed or is overloaded.
    Refuse {
        /// The status code, such as 429, 500 or 503.
        status: u16,
        /// The seconds in `Retry-After`.
        retry_after: Option<u64>,
    },
    /// Sends this response.
    Respond(Response<Vec<u8>>),
    /// Responds with an HTML page, as proxies do.
    Html {
        /// The status code.
        status: u16,
    },
    /// Sends these bytes instead of an HTTP response.
    RawBytes(Vec<u8>),

    // ---- Challenges and nonces
    /// Asks for a new nonce each time, whatever nonce the proof has.
    Challenge,
    /// Puts the refusal of a proof into another form than RFC 9449 shows.
    ChallengeForm(ChallengeForm),
    /// Replaces the error code `invalid_dpop_proof`: with `invalid_request`, as Keycloak does.
    ErrorCode(String),
    /// Refuses proofs that have a nonce, as a server may that never issued one.
    RefuseNonces,
    /// Leaves out `DPoP-Nonce`.
    WithoutNonce,
    /// Sends these nonces, each in a `DPoP-Nonce` field of its own.
    Nonce(Vec<String>),
    /// Sends the nonce of the proof in `DPoP-Nonce`.
    RepeatNonce,
    /// Sends this value in `algs` of the challenge.
    Algs(String),
    /// Sends this value in `resource_metadata` of the challenge (RFC 9728 §5.1), or leaves it out.
    ResourceMetadata(Option<String>),

    // ---- Proofs
    /// Refuses every proof with `invalid_dpop_proof`.
    RefuseProofs,
    /// Decodes the path of the request before the comparison with `htu`, as Okta does.
    DecodedHtu,
    /// Expects `htu` under this origin, as servers behind a proxy do.
    HtuOrigin(String),
    /// Accepts so many proofs and refuses all later ones with `invalid_dpop_proof`, as Spring does, which
    /// remembers a thousand for each key.
    MaxProofs(u64),

    // ---- Client authentication
    /// Compares client identifier and secret as they stand in `Basic`, without form-decoding them.
    RawBasic,
    /// Requires this audience in client assertions: for example the token endpoint, as older servers do.
    AssertionAudience(String),
    /// Requires this `typ` in client assertions, or none: `JWT`, as HelseID does.
    AssertionType(Option<String>),
    /// Limits the lifetime of client assertions.
    AssertionLifetime(Duration),

    // ---- Errors of valid requests
    /// Refuses a request that is valid with this OAuth error code. What the request would have used up, such
    /// as a code, stays unused.
    ///
    /// - At the authorization endpoint, the error goes to the redirect URI: `access_denied`.
    /// - At the token endpoint, it answers a device code: `authorization_pending`, `slow_down` (which makes
    ///   the interval longer), or `access_denied` and `expired_token` (which end the device code). Or any
    ///   other grant: `invalid_grant`.
    /// - At the other endpoints, it is in the response: `unsupported_token_type` for a revocation,
    ///   `invalid_client_metadata` for a registration.
    OAuthError(String),

    // ---- Authorization responses
    /// Sets a parameter of the redirect: another `state`, another `iss`, or one that does not belong there.
    Parameter {
        /// The name of the parameter.
        name: String,
        /// The value, which will be encoded.
        value: String,
    },
    /// Adds a parameter at the end, also when the name occurs already.
    DuplicateParameter {
        /// The name of the parameter.
        name: String,
        /// The value, which will be encoded.
        value: String,
    },
    /// Leaves out a parameter: `iss` although the metadata say that it is supported (RFC 9207), for example.
    WithoutParameter(String),

    // ---- Proofs and the keys of codes and refresh tokens
    /// Refuses pushed authorization requests without a proof (RFC 9449 §10.1 leaves it to the client).
    RequireProof,
    /// Does not look at the proof of a pushed authorization request, so that the code is not bound to its
    /// key.
    IgnoreProofs,
    /// Accepts an authorization code with a proof by another key than it is bound to, as a server that does
    /// not know `dpop_jkt`.
    IgnoreDpopJkt,
    /// Refuses the refresh token of a confidential client with a proof by another key, as Keycloak does. RFC
    /// 9449 §5 binds those of public clients only.
    BindRefreshTokens,

    // ---- Codes and refresh tokens
    /// Accepts an authorization code that was used before. The correct server refuses it and revokes the
    /// tokens that were issued for it.
    AcceptUsedCodes,
    /// Accepts a refresh token that was used before, as servers with a grace period do. The correct server
    /// refuses it and revokes all tokens of the grant.
    AcceptUsedRefreshTokens,
    /// Does not rotate the refresh token: the one that was used stays valid.
    KeepRefreshToken {
        /// Whether the response contains it.
        sent: bool,
    },
    /// Issues tokens and closes the connection without a response: the code or refresh token is used up, and
    /// the client does not get the new one.
    LoseTokenResponse,

    // ---- Token responses and other JSON documents
    /// Issues a token that is not bound to a key, with the token type `Bearer`.
    Bearer,
    /// Sets a member of a JSON document that reports success, which may replace the correct one. It may be
    /// the metadata.
    Member {
        /// The name of the member.
        name: String,
        /// The text that is written as its value, which may be invalid JSON.
        json: String,
    },
    /// Adds a member at the end, also when the name occurs already.
    DuplicateMember {
        /// The name of the member.
        name: String,
        /// The text that is written as its value.
        json: String,
    },
    /// Leaves out a member: `code_challenge_methods_supported` of the metadata, for example.
    WithoutMember(String),

    // ---- Heads and bodies
    /// Adds a header field.
    Header {
        /// The name of the field.
        name: String,
        /// The value.
        value: String,
    },
    /// Leaves out a header field.
    WithoutHeader(String),
    /// Replaces `Content-Type`.
    ContentType(String),
    /// Sends a body of so many bytes of white space. Without a length it does not end.
    LargeBody(Option<u64>),
    /// Compresses the body with gzip, although the client did not accept that.
    Gzip {
        /// The number of bytes of white space in front of the body, which makes it a decompression bomb.
        padding: usize,
    },
    /// Adds a header field of so many bytes.
    HugeHead(usize),
    /// Adds so many header fields.
    ManyFields(usize),
    /// Makes `Content-Length` larger than the body by so many bytes, or smaller if negative.
    WrongLength(i64),

    // ---- Time and connections
    /// Never responds and keeps the connection open.
    Silence,
    /// Sends the head of the response, and never the body.
    SilentBody,
    /// Sends one byte at a time, after this pause.
    Drip(Duration),
    /// Sends so many `100 Continue` responses before the final one (RFC 9110 §15.2).
    InterimResponses(usize),
    /// Closes the connection without a response.
    CloseWithoutResponse,
    /// Closes the connection in the middle of the body.
    CloseMidway,
    /// Closes the connection after the response, without `Connection: close`.
    CloseAfterResponse,
}

impl Quirk {
    /// Returns the quirks of which it consists. Those that only concern some responses come first.
    pub(super) fn flatten(self) -> Vec<Self> {
        let mut quirks = match self {
            Self::All(quirks) => quirks.into_iter().flat_map(Self::flatten).collect(),
            quirk => vec![quirk],
        };
        quirks.sort_by_key(Self::stage);
        quirks
    }

    /// Returns when it takes effect: on the request, on the response to it, or on any response.
    fn stage(&self) -> u8 {
        match self {
            Self::Redirect { .. }
            | Self::Refuse { .. }
            | Self::Respond(_)
            | Self::Html { .. }
            | Self::RawBytes(_) => 0,
            Self::Challenge
            | Self::RefuseNonces
            | Self::RefuseProofs
            | Self::DecodedHtu
            | Self::HtuOrigin(_)
            | Self::MaxProofs(_)
            | Self::RawBasic
            | Self::AssertionAudience(_)
            | Self::AssertionType(_)
            | Self::AssertionLifetime(_)
            | Self::OAuthError(_)
            | Self::RequireProof
            | Self::IgnoreProofs
            | Self::IgnoreDpopJkt
            | Self::BindRefreshTokens
            | Self::AcceptUsedCodes
            | Self::AcceptUsedRefreshTokens => 1,
            Self::ChallengeForm(_)
            | Self::ErrorCode(_)
            | Self::Algs(_)
            | Self::ResourceMetadata(_)
            | Self::Parameter { .. }
            | Self::DuplicateParameter { .. }
            | Self::WithoutParameter(_)
            | Self::KeepRefreshToken { .. }
            | Self::LoseTokenResponse
            | Self::Bearer
            | Self::Member { .. }
            | Self::DuplicateMember { .. }
            | Self::WithoutMember(_) => 2,
            _ => 3,
        }
    }

    /// Returns whether it changes every response of the endpoint, whatever the request is.
    pub(super) fn changes_every_response(&self) -> bool {
        match self {
            Self::Redirect { .. }
            | Self::Refuse { .. }
            | Self::Respond(_)
            | Self::Html { .. }
            | Self::RawBytes(_)
            | Self::Header { .. }
            | Self::LargeBody(_)
            | Self::Gzip { .. }
            | Self::Silence
            | Self::SilentBody
            | Self::Drip(_)
            | Self::CloseWithoutResponse
            | Self::CloseMidway
            | Self::CloseAfterResponse => true,
            Self::HugeHead(count) | Self::ManyFields(count) | Self::InterimResponses(count) => *count > 0,
            Self::WrongLength(difference) => *difference != 0,
            _ => false,
        }
    }
}

/// The form in which a proof is refused. RFC 9449 shows JSON for the token endpoint (§8) and a challenge for
/// a resource (§9).
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::{ChallengeForm, Endpoint, Quirk, TestServer, When};
///
/// let server = TestServer::start()?;
/// let session = server.session().discover()?;
/// server.misbehave(Endpoint::Resource, When::Always, Quirk::ChallengeForm(ChallengeForm::AfterBearer));
/// // The client finds the challenge for a nonce behind that of another scheme.
/// assert_eq!(session.get(&server.resource("/"))?.status(), 200);
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeForm {
    /// 400 and JSON, also from a resource.
    Json,
    /// 401 and a challenge, also from the token endpoint.
    Header,
    /// 400 and a challenge, as Okta's API sends it.
    HeaderWith400,
    /// A challenge with an HTML body, as rauthy sends it.
    HeaderAndHtml,
    /// `algs, authorization_uri, realm, scope, error`, as Okta sends them.
    ErrorLast,
    /// Values without quotation marks, as rauthy sends them.
    Unquoted,
    /// A `Bearer` challenge first, in the same field.
    AfterBearer,
    /// A field for each scheme.
    TwoFields,
    /// Mixed case, white space around `=`, empty list members, and another challenge with a `token68` value.
    OddlySpaced,
    /// The error in a `Bearer` challenge, as esignet sends it. There is no DPoP challenge to retry for.
    InsideBearer,
    /// The code as part of another value, as alien-id sends it: `realm="use_dpop_nonce_x"`. It does not ask
    /// for a nonce.
    InsideRealm,
}
