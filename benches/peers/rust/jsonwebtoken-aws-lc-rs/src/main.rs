//! jsonwebtoken with its backend `aws_lc_rs`, which this package's Cargo.toml enables.

use jsonwebtoken as _;

fn main() {
    peer_jsonwebtoken_common::main("aws_lc_rs");
}
