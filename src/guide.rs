//! How to do it, with a page for each task. Every program on these pages is compiled and tested with the
//! crate. In them, `http` is the crate `http`, which is also available as [`possession::http`](crate::http).
//!
//! | task | page |
//! |---|---|
//! | A program that runs for months and calls an API | [`daemon`] |
//! | Sign a user in from a command-line program | [`sign_in`] |
//! | A session that outlives the process, and that processes share | [`keep_a_session`] |
//! | Call another API for a user: token exchange, JWT bearer | [`act_for_a_user`] |
//! | Call an MCP server | [`mcp`] |
//! | Clients of atproto and Solid | [`atproto`] |
//! | A key in an HSM, a KMS or an agent | [`external_key`] |
//! | Another HTTP client than ureq, or none | [`http_client`] |
//! | Client authentication, certificates, proxies | [`client_authentication`] |
//! | Accept only DPoP-bound access tokens | [`protect_an_api`] |
//! | Issue DPoP-bound tokens | [`token_endpoint`] |
//! | Run the server on several nodes, change the nonce secret | [`several_nodes`] |
//! | How large the replay store must be | [`sizing`] |
//! | Run the server behind a proxy | [`behind_a_proxy`] |
//! | Serve clients in browsers | [`cors`] |
//! | Algorithms, key formats, other cryptography | [`algorithms`] |
//! | The program `possession`: call APIs, debug proofs, probe servers | [`command_line`] |
//! | Test a client against a server that misbehaves | [`testing_a_client`] |
//! | Compare implementations of RFC 9449 | [`comparing_implementations`] |
//! | What errors say, and what is retried | [`errors`] |
//! | What the crate insists on | [`security`] |

#[doc = include_str!("guide/daemon.md")]
pub mod daemon {}

#[doc = include_str!("guide/sign_in.md")]
pub mod sign_in {}

#[doc = include_str!("guide/keep_a_session.md")]
pub mod keep_a_session {}

#[doc = include_str!("guide/act_for_a_user.md")]
pub mod act_for_a_user {}

#[doc = include_str!("guide/mcp.md")]
pub mod mcp {}

#[doc = include_str!("guide/atproto.md")]
pub mod atproto {}

#[doc = include_str!("guide/external_key.md")]
pub mod external_key {}

#[doc = include_str!("guide/http_client.md")]
pub mod http_client {}

#[doc = include_str!("guide/client_authentication.md")]
pub mod client_authentication {}

#[doc = include_str!("guide/protect_an_api.md")]
pub mod protect_an_api {}

#[doc = include_str!("guide/token_endpoint.md")]
pub mod token_endpoint {}

#[doc = include_str!("guide/several_nodes.md")]
pub mod several_nodes {}

#[doc = include_str!("guide/sizing.md")]
pub mod sizing {}

#[doc = include_str!("guide/behind_a_proxy.md")]
pub mod behind_a_proxy {}

#[doc = include_str!("guide/cors.md")]
pub mod cors {}

#[doc = include_str!("guide/algorithms.md")]
pub mod algorithms {}

#[doc = include_str!("guide/command_line.md")]
pub mod command_line {}

#[doc = include_str!("guide/testing_a_client.md")]
pub mod testing_a_client {}

#[doc = include_str!("guide/comparing_implementations.md")]
pub mod comparing_implementations {}

#[doc = include_str!("guide/errors.md")]
pub mod errors {}

#[doc = include_str!("guide/security.md")]
pub mod security {}
