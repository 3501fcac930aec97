//! stub
mod challenge;
mod client;
mod crypto;
mod error;
mod exchange;
mod grant;
mod json;
mod jws;
mod key;
mod metadata;
mod proof;
mod prover;
mod server;
#[cfg(feature = "ureq")]
mod session;
#[cfg(feature = "ureq")]
mod transport;
mod url;

pub use challenge::Challenge;
pub use client::{AssertionOptions, Client, ClientAuth, HmacAlgorithm, client_secret_basic_header};
pub use error::{Error, ErrorKind, OAuthError};
pub use exchange::{Exchange, HttpClient, RequestBody, ResourceExchange, Step};
pub use grant::{
    Options, Parameters, Response, TokenResponse, TokenType, client_credentials_grant_request,
    process_client_credentials_response,
};
pub use jws::Malformed;
pub use key::{Algorithm, KeyPair, PublicKey, Signer, Thumbprint};
pub use metadata::{AuthorizationServer, AuthorizationServerBuilder, Discovery};
pub use proof::{Htu, Proof, ath};
pub use prover::{Part, Prover};
pub use server::{
    Insertion, MemoryReplayStore, Nonces, Reason, ReceivedRequest, Rejection, ReplayKey, ReplayStore,
    ReplayStoreError, VerifiedProof, Verifier,
};
#[cfg(feature = "ureq")]
pub use session::{Session, SessionBuilder};
#[cfg(feature = "ureq")]
pub use transport::{Transport, TransportBuilder};
