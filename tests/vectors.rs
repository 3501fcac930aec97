//! Every file of `test-vectors/`, through the checks of `examples/vectors`.

#[path = "../examples/vectors/check.rs"]
mod check;

use std::path::Path;

#[test]
fn every_case_of_every_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors");
    let (mut files, mut cases, mut failures) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        files += 1;
        for (id, outcome) in check::check_file(&file) {
            cases += 1;
            if let Err(why) = outcome {
                failures.push(format!("{}: {id}: {why}", file.display()));
            }
        }
    }
    assert!(files >= 25 && cases >= 1000, "only {files} files with {cases} cases were found");
    assert!(failures.is_empty(), "{} of {cases} failed:\n{}", failures.len(), failures.join("\n"));
}

/// A checker that accepts everything would pass every file, so cases are bent until they are wrong.
#[test]
fn a_wrong_expectation_fails() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors");
    let bent_folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let bends = [
        ("rfc9449-proof.json", "\"accept\"", "\"reject\""),
        ("proof-signature.json", "\"reject\"", "\"accept\""),
        ("replay.json", "\"replay\"", "\"accept\""),
        ("htu.json", "\"equal\"", "\"different\""),
        ("challenge.json", "\"dpop\"", "\"bearer\""),
        ("token-response.json", "\"error\"", "\"token\""),
        ("discovery.json", "openid-configuration", "openid"),
        ("thumbprint.json", "\"jkt\": \"", "\"jkt\": \"x"),
        ("rfc9449-ath.json", "\"ath\": \"", "\"ath\": \"x"),
        ("rfc8037-jws.json", "\"accept\"", "\"reject\""),
        ("rfc8032-signature.json", "\"signature\": \"", "\"signature\": \"00"),
        ("rfc6979-signature.json", "\"signature\": \"", "\"signature\": \"00"),
        ("proof-header.json", "\"accept\"", "\"reject\""),
        ("proof-signature.json", "\"accept\"", "\"reject\""),
    ];
    for (name, right, wrong) in bends {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains(right), "{name} has no {right} to bend");
        let bent = bent_folder.join(name);
        std::fs::write(&bent, text.replace(right, wrong)).unwrap();
        assert!(
            check::check_file(&bent).iter().any(|(_, outcome)| outcome.is_err()),
            "{name} passes when it is wrong"
        );
    }
}
