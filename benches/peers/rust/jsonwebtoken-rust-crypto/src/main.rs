//! jsonwebtoken with its backend `rust_crypto`, which this package's Cargo.toml enables.

use jsonwebtoken as _;

fn main() {
    peer_jsonwebtoken_common::main("rust_crypto");
}
