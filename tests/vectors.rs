//! Every file of `test-vectors/`, through the checks of `src/bin/possession/commands/vectors`.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

#[path = "../src/bin/possession/commands/vectors/check.rs"]
mod check;
#[path = "../src/bin/possession/commands/vectors/format.rs"]
mod format;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors")
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Returns the errors of the cases of a file.
fn errors(name: &str, text: &str) -> Vec<String> {
    // Only the name counts, which is in errors.
    check::check_file(Path::new(name), text.as_bytes())
        .into_iter()
        .filter_map(|(_, outcome)| outcome.err())
        .collect()
}

#[test]
fn every_case_of_every_file() {
    let folder = folder();
    let (mut files, mut cases, mut failures) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        files += 1;
        for (id, outcome) in check::check_file(&file, &std::fs::read(&file).unwrap()) {
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
    let folder = folder();
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
        ("rfc7636-pkce.json", "\"E9Mel", "\"E9mel"),
        (
            "pkce.json",
            "\"code_verifier\": \"\"",
            "\"code_verifier\": \"0123456789012345678901234567890123456789012\"",
        ),
        ("rfc9449-dpop-jkt.json", "\"accept\"", "\"reject\""),
        ("dpop-jkt.json", "\"reject\"", "\"accept\""),
        ("rfc9207-authorization-response.json", "\"https://honest", "\"https://attacker"),
        ("authorization-response.json", "\"reason\": \"iss\"", "\"reason\": \"state\""),
        ("authorization-response.json", "\"code\": \"Splx", "\"code\": \"splx"),
        ("authorization-response.json", "\"error\": \"access_denied\"", "\"error\": \"denied\""),
    ];
    for (name, right, wrong) in bends {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains(right), "{name} has no {right} to bend");
        assert!(!errors(name, &text.replace(right, wrong)).is_empty(), "{name} passes when it is wrong");
    }
}

/// Each row of `malformed.json` puts one fault into a file that is right. A case with such a fault could
/// pass without testing anything. `.ci/schema.py` demands the same of `schema.json`.
#[test]
fn a_malformed_file_is_refused_and_the_error_names_the_member() {
    let rows = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/malformed.json"));
    let rows = rows.as_array().unwrap();
    assert!(rows.len() > 80);
    for row in rows {
        let about = &row["about"];
        let mut document = json(&folder().join(row["file"].as_str().unwrap()));
        let mut place = &mut document;
        for step in row["at"].as_array().unwrap() {
            place = match step {
                Value::String(name) => place.get_mut(name).unwrap(),
                step => place.get_mut(step.as_u64().unwrap() as usize).unwrap(),
            };
        }
        let place = place.as_object_mut().unwrap();
        for (name, value) in row["set"].as_object().into_iter().flatten() {
            assert!(place.insert(name.clone(), value.clone()).as_ref() != Some(value), "{about}");
        }
        for name in row["remove"].as_array().into_iter().flatten() {
            assert!(place.remove(name.as_str().unwrap()).is_some(), "{about}");
        }
        let errors = errors("malformed.json", &document.to_string());
        let named = format!("`{}", row["names"].as_str().unwrap());
        let named = [format!("{named}`"), format!("{named}[")];
        assert!(!errors.is_empty(), "{about}: the runner passes it");
        assert!(
            errors.iter().any(|error| named.iter().any(|name| error.contains(name))),
            "{about}: {errors:?} does not name {named:?}"
        );
    }
}

/// JSON parsers keep the first or the last of two members, so that such a file says two things.
#[test]
fn a_repeated_member_is_refused() {
    let text = std::fs::read_to_string(folder().join("rfc9449-ath.json")).unwrap();
    assert_eq!(errors("repeated.json", &text), [""; 0]);
    for (member, repeated) in [("\"kind\":", "kind"), ("\"ath\":", "ath"), ("\"id\":", "id")] {
        let twice = text.replacen(member, &format!("\"{repeated}\": \"x\", {member}"), 1);
        let errors = errors("repeated.json", &twice);
        assert!(errors.iter().any(|error| error.contains(&format!("`{repeated}`"))), "{errors:?}");
    }
}

/// The schema is skipped where all files of the folder are given, and nothing else is.
#[test]
fn no_file_of_vectors_passes_as_a_schema() {
    let file = folder().join("schema.json");
    assert!(check::check_file(&file, &std::fs::read(&file).unwrap()).is_empty());
    let schema = std::fs::read_to_string(folder().join("schema.json")).unwrap();
    assert!(!errors("not-the-schema.json", &schema).is_empty());
    assert!(
        !errors("schema.json", r#"{"$schema":"x","version":"1.0.0","source":"x","kind":"ath","cases":[]}"#)
            .is_empty()
    );
    assert!(!errors("schema.json", "{}").is_empty());
}

/// Runner and schema know the same kinds, members, reasons and algorithms.
#[test]
fn the_schema_lists_what_the_runner_knows() {
    let schema = json(&folder().join("schema.json"));
    let listed = |list: &Value| -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let names =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let kinds: Vec<_> = format::KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(listed(&schema["properties"]["kind"]["enum"]), names(&kinds));
    let version = schema["properties"]["version"]["pattern"].as_str().unwrap();
    assert!(version.starts_with(&format!("^{}\\.", format::VERSION.replace('.', "\\."))), "{version}");
    assert_eq!(listed(&schema["required"]), names(&format::FILE));
    let definitions = &schema["$defs"];
    assert_eq!(listed(&definitions["proof"]["properties"]["reason"]["enum"]), names(format::REASONS));
    assert_eq!(listed(&definitions["context"]["properties"]["algs"]["items"]["enum"]), names(format::ALGS));
    let objects = format::KINDS.iter().map(|kind| (kind.name, vec![format::COMMON, kind.members]));
    for (name, members) in objects.chain([("context", vec![format::CONTEXT])]) {
        let members: Vec<_> = members.into_iter().flatten().collect();
        let definition = &definitions[name];
        assert_eq!(definition["additionalProperties"], false, "{name}");
        let properties = definition["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            names(&members.iter().map(|member| member.name).collect::<Vec<_>>()),
            properties,
            "{name}"
        );
        let required = members.iter().filter(|member| member.required).map(|member| member.name);
        assert_eq!(names(&required.collect::<Vec<_>>()), listed(&definition["required"]), "{name}");
    }
}
