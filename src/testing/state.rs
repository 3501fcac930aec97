//! What the connections of a test server share.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::authorization_request::{AuthorizationCode, AuthorizationRequest};
use super::client_authentication::ClientAuthentication;
use super::clients::Clients;
use super::device_code::DeviceCode;
use super::issued_secrets::IssuedSecrets;
use super::issued_tokens::IssuedTokens;
use super::nonces::IssuedNonces;
use super::proof_policy::ProofPolicy;
use super::quirk_schedule::QuirkSchedule;
use super::refresh_token::RefreshToken;
use super::request_log::RequestLog;
use super::scripted_resources::ScriptedResources;
use super::settings::Settings;
use crate::client::proofs::clock_offset::ClockOffset;
use crate::crypto::random;
use crate::dpop::server_role::ServerRole;
use crate::sync::atomic::{AtomicI64, Ordering};

pub(super) struct State {
    pub(super) settings: Arc<Settings>,
    /// The origin of the authorization server.
    pub(super) issuer: String,
    pub(super) resource_origin: String,
    pub(super) quirks: QuirkSchedule,
    pub(super) scripts: ScriptedResources,
    pub(super) log: RequestLog,
    pub(super) nonces: IssuedNonces,
    pub(super) tokens: Arc<IssuedTokens>,
    pub(super) proofs: ProofPolicy,
    pub(super) clients: Arc<Clients>,
    pub(super) pushed_requests: IssuedSecrets<Arc<AuthorizationRequest>>,
    pub(super) codes: IssuedSecrets<AuthorizationCode>,
    pub(super) device_codes: IssuedSecrets<DeviceCode>,
    pub(super) refresh_tokens: IssuedSecrets<RefreshToken>,
    pub(super) client_authentication: ClientAuthentication,
    /// Seconds that are added to the clock.
    pub(super) clock_offset: AtomicI64,
}

impl State {
    pub(super) fn new(settings: Settings, issuer: String, resource_origin: String) -> io::Result<Self> {
        // Without randomness the server cannot issue anything: that is an error now rather than in a
        // response.
        random::<1>().map_err(io::Error::other)?;
        let settings = Arc::new(settings);
        let clients = Arc::new(Clients::new(&settings));
        let nonces = IssuedNonces::new(settings.nonces);
        Ok(Self {
            quirks: QuirkSchedule::default(),
            scripts: ScriptedResources::default(),
            log: RequestLog::new(settings.max_received),
            tokens: Arc::default(),
            proofs: ProofPolicy::new(&settings, nonces.clone()),
            client_authentication: ClientAuthentication::new(
                Arc::clone(&clients),
                settings.leeway,
                issuer.clone(),
            ),
            clients,
            pushed_requests: IssuedSecrets::default(),
            codes: IssuedSecrets::default(),
            device_codes: IssuedSecrets::default(),
            refresh_tokens: IssuedSecrets::default(),
            clock_offset: AtomicI64::new(0),
            settings,
            issuer,
            resource_origin,
            nonces,
        })
    }

    pub(super) fn now(&self) -> SystemTime {
        ClockOffset(self.clock_offset.load(Ordering::SeqCst)).apply(self.settings.clock.now())
    }

    /// The origin of one of the two servers.
    pub(super) fn origin(&self, role: ServerRole) -> &str {
        match role {
            ServerRole::AuthorizationServer => &self.issuer,
            ServerRole::ResourceServer => &self.resource_origin,
        }
    }
}
