//! What the program prints, as it is recorded in `golden/`.
//! `TRYCMD=overwrite cargo test --features cli --test cli golden` records it anew: read the difference.

#[test]
fn the_output_is_as_it_was_recorded() {
    trycmd::TestCases::new().case("tests/cli/golden/*.trycmd");
}
