//! jsonwebtoken over its backend `rust_crypto`, which this package's Cargo.toml switches on.

use jsonwebtoken as _;

fn main() {
    peer_jsonwebtoken_common::main("rust_crypto");
}
