//! jsonwebtoken over its backend `aws_lc_rs`, which this package's Cargo.toml switches on.

use jsonwebtoken as _;

fn main() {
    peer_jsonwebtoken_common::main("aws_lc_rs");
}
