//! Manual pages, completions, and the command lines that the documentation shows.

use std::collections::BTreeSet;
use std::fs;

use crate::program::{Folder, run};

const COMMANDS: [&str; 19] = [
    "token",
    "login",
    "logout",
    "call",
    "proof",
    "explain",
    "key",
    "key generate",
    "key convert",
    "key check",
    "key thumbprint",
    "key public",
    "probe",
    "probe as",
    "probe rs",
    "vectors",
    "serve",
    "completions",
    "man",
];

fn help(command: &str) -> String {
    let ran = run(&command.split(' ').filter(|name| !name.is_empty()).chain(["--help"]).collect::<Vec<_>>());
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{command}");
    ran.stdout
}

/// Returns the commands that a help text lists, but for `help`.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Returns the long options that a text names.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_manual_page_with_all_of_its_options() {
    let folder = Folder::new();
    let directory = folder.write("pages", "");
    fs::remove_file(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    assert_eq!(run(&["man", "--write-to", &directory]).status, Some(0));
    let mut written: BTreeSet<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();

    let mut commands = vec![String::new()];
    while let Some(command) = commands.pop() {
        let help = help(&command);
        for name in listed(&help) {
            commands.push(format!("{command} {name}").trim().to_owned());
        }
        assert!(command.is_empty() || COMMANDS.contains(&command.as_str()), "{command}");
        let ran = run(&["man"].into_iter().chain(command.split_whitespace()).collect::<Vec<_>>());
        let name = format!("possession {command}").trim().replace(' ', "-");
        let title =
            format!(".TH {name} 1 \" \" \"possession {}\" \"User Commands\"", env!("CARGO_PKG_VERSION"));
        assert!(ran.stdout.lines().any(|line| line == title), "{ran:?}");
        let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap().replace('-', "\\-");
        assert!(ran.stdout.contains(&format!(".SH SYNOPSIS\n{usage}\n.SH DESCRIPTION\n")), "{ran:?}");
        let page = ran.stdout.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ");
        let missing: Vec<_> = options(&help).difference(&options(&page)).cloned().collect();
        assert_eq!(missing, [""; 0], "{command}");
        assert!(written.remove(&format!("{name}.1")), "{name}");
    }
    assert!(written.is_empty(), "{written:?}");
}

#[test]
fn completions_know_every_command_in_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(&["completions", shell]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{shell}");
        for name in COMMANDS.iter().flat_map(|command| command.split(' ')) {
            assert!(ran.stdout.contains(name), "{shell}: {name}");
        }
        assert!(ran.stdout.contains("measure-iat"), "{shell}");
    }
}

/// Returns the command lines of the blocks of shell commands in a page.
fn command_lines(page: &str) -> Vec<Vec<String>> {
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(|block| {
        let joined = block.replace("\\\n", " ");
        joined.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let of_program = lines.filter_map(|line| {
        let (_, rest) = line.split_once("possession ").filter(|(before, _)| {
            // What may stand in front: variables of the environment.
            before.split_whitespace().all(|word| word.contains('='))
        })?;
        let words = rest.split_whitespace().take_while(|word| !word.starts_with(['>', '|', '#']));
        Some(words.map(|word| word.trim_matches('"').to_owned()).collect())
    });
    of_program.collect()
}

/// An option is unknown or a value is missing: then `--help` at the end does not help.
#[test]
fn the_command_lines_in_the_documentation_are_understood() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_dir(folder.join("src/guide")).unwrap().map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for page in guide.chain([folder.join("README.md")]) {
        for line in command_lines(&fs::read_to_string(&page).unwrap()) {
            seen += 1;
            let ran = run(&[&line[..], &["--help".to_owned()]].concat());
            assert_eq!(ran.status, Some(0), "{}: {line:?}: {}", page.display(), ran.stderr);
        }
    }
    assert!(seen >= 5, "{seen}");
}
