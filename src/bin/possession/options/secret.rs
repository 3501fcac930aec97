//! Where secrets come from: never from the command line, which other users of the machine can see.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use possession::zeroize::Zeroizing;

use crate::failure::{Failure, usage};

/// A text that nobody else should see.
pub type Secret = Zeroizing<String>;

/// Reads a secret from the environment variable or the file that options name. A line break at the end of a
/// file is not part of it. `-` is standard input.
pub fn read(env: Option<&str>, file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    match (env, file) {
        (Some(name), _) => match std::env::var(name) {
            Ok(value) if value.is_empty() => Err(usage(format!("the environment variable {name} is empty"))),
            Ok(value) => Ok(Some(Zeroizing::new(value))),
            Err(std::env::VarError::NotPresent) => {
                Err(usage(format!("the environment variable {name} is not set")))
            }
            Err(_) => Err(usage(format!("the environment variable {name} is not UTF-8"))),
        },
        (None, Some(file)) => text(Zeroizing::new(read_file(file)?), file).map(Some),
        (None, None) => Ok(None),
    }
}

/// Returns the secret in the content of a file: the text without the line break at its end.
pub fn text(content: Zeroizing<Vec<u8>>, file: &Path) -> Result<Secret, Failure> {
    let text = std::str::from_utf8(&content).map_err(|_| format!("{} is not UTF-8", file.display()))?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    match text.is_empty() {
        true => Err(format!("{} is empty", file.display()).into()),
        false => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// Reads a secret as [`read`] does, and asks for it on the terminal if no option names one.
pub fn read_or_ask(
    env: Option<&str>,
    file: Option<&Path>,
    what: &str,
    options: &str,
) -> Result<Secret, Failure> {
    if let Some(secret) = read(env, file)? {
        return Ok(secret);
    }
    if !std::io::stdin().is_terminal() {
        return Err(usage(format!("the {what} is missing: {options}")));
    }
    Ok(Zeroizing::new(rpassword::prompt_password(format!("{what}: "))?))
}

/// Reads a file; `-` is standard input.
pub fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    read_to(&mut bytes, file, u64::MAX)?;
    Ok(bytes)
}

/// Reads a file with a key; `-` is standard input. What is longer than any key is cut off.
pub fn read_key(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    const MAX_BYTES: u64 = 256 * 1024;
    // The buffer never grows, because growing would leave a copy of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_BYTES)?));
    read_to(&mut bytes, file, MAX_BYTES - 1)?;
    Ok(bytes)
}

fn read_to(bytes: &mut Vec<u8>, file: &Path, limit: u64) -> Result<(), Failure> {
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(limit).read_to_end(bytes),
        false => std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(bytes)),
    };
    match read {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("reading {}: {error}", file.display()).into()),
    }
}

/// Writes a new file that only its owner can read.
pub fn write_private(file: &Path, content: &[u8]) -> std::io::Result<()> {
    create_private(file)?.write_all(content)
}

/// Creates a new file that only its owner can read.
pub fn create_private(file: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// The access token of a call or a proof.
#[derive(clap::Args)]
pub struct TokenOptions {
    /// The environment variable with an access token
    #[arg(long, value_name = "NAME", help_heading = "Access token")]
    pub token_env: Option<String>,
    /// A file with an access token; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token_env", help_heading = "Access token")]
    pub token_file: Option<PathBuf>,
}

impl TokenOptions {
    /// Returns the access token that the options name.
    pub fn read(&self) -> Result<Option<Secret>, Failure> {
        let token = read(self.token_env.as_deref(), self.token_file.as_deref())?;
        let wrong = "the access token has characters that no token has (a token68 is needed: without `DPoP ` before \
                     it, and without the rest of a token response)";
        match (token, &self.token_file) {
            (Some(token), Some(file)) if !is_token68(&token) => {
                Err(format!("{}: {wrong}", file.display()).into())
            }
            (Some(token), None) if !is_token68(&token) => Err(usage(wrong)),
            (token, _) => Ok(token),
        }
    }
}

/// Returns whether a text has only characters of a token68 (RFC 9110 §11.2), as every access token has.
pub fn is_token68(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}
