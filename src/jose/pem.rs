//! PEM (RFC 7468), read as leniently as OpenSSL, Node and Python read it.
//!
//! Lines have any length and may end with blanks. Text outside the blocks is skipped: comments, a byte
//! order mark, and blocks with other labels, such as a certificate next to its key. What is inside the
//! block is not interpreted leniently: it must be canonical base64.

use std::fmt;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::text::printable;

/// The beginning of each block, before its label.
pub(crate) const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Why a text has no block that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PemError<'a> {
    /// There is no block at all.
    NoBlock,
    /// No block has the wanted label. This is the one that comes closest: a block of the same kind, or
    /// the first one.
    Label(&'a str),
    /// Several blocks are of the wanted kind.
    Several(usize),
    /// A block has no end, or its content is not base64.
    Malformed,
    /// Line breaks are written as the two characters `\n`.
    Escaped,
    /// The content is encrypted (RFC 1421 §4.6.1.1).
    Encrypted,
}

/// One block of a text.
struct Block<'a> {
    label: &'a str,
    content: &'a str,
}

/// Decodes the only block of a kind, which must have the label `wanted`. `is_rival` says which labels
/// are of that kind: if there were two such blocks, programs would choose different ones.
pub(crate) fn decode<'a>(
    text: &'a str,
    wanted: &str,
    is_rival: impl Fn(&str) -> bool,
) -> Result<Zeroizing<Vec<u8>>, PemError<'a>> {
    let blocks = blocks(text)?;
    let mut of_kind = blocks.iter().filter(|block| is_rival(block.label));
    match (of_kind.next(), of_kind.count()) {
        (Some(block), 0) if block.label == wanted => block.decode(),
        (Some(block), 0) => Err(PemError::Label(block.label)),
        (Some(_), others) => Err(PemError::Several(others.saturating_add(1))),
        (None, _) => Err(blocks.first().map_or(PemError::NoBlock, |block| PemError::Label(block.label))),
    }
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>, PemError<'_>> {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once(BEGIN) {
        // RFC 7468 §3. Anything else is a comment that mentions a block.
        let label = after.split_once(DASHES).filter(|(label, _)| {
            !label.is_empty() && label.bytes().all(|b| matches!(b, b' '..=b'~')) && !label.contains(BEGIN)
        });
        let Some((label, content)) = label else {
            rest = after;
            continue;
        };
        let end = format!("{END}{label}{DASHES}");
        let (content, after) = content.split_once(&end).ok_or(PemError::Malformed)?;
        blocks.push(Block { label, content });
        rest = after;
    }
    Ok(blocks)
}

impl<'a> Block<'a> {
    fn decode(&self) -> Result<Zeroizing<Vec<u8>>, PemError<'a>> {
        // The buffers never grow, because growing would leave a copy of a secret behind.
        let mut base64 = Zeroizing::new(Vec::with_capacity(self.content.len()));
        base64.extend(self.content.bytes().filter(|b| !b.is_ascii_whitespace() && *b != 0x0b));
        if base64.contains(&b'\\') {
            return Err(PemError::Escaped);
        }
        if self.content.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(PemError::Encrypted);
        }
        let mut decoded = Zeroizing::new(vec![0; base64.len()]);
        let length = Base64::decode(&**base64, &mut decoded).map_err(|_| PemError::Malformed)?.len();
        decoded.truncate(length);
        Ok(decoded)
    }
}

impl fmt::Display for PemError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBlock => f.write_str("it has no block"),
            Self::Label(label) => write!(f, "its label is {}", printable(label, 40)),
            Self::Several(count) => write!(f, "it has {count} blocks of that kind, and one is needed"),
            Self::Malformed => {
                f.write_str("a block has no end, or its content is not base64 with its padding (RFC 7468 §3)")
            }
            Self::Escaped => f.write_str(
                "its line breaks are the two characters \\n (replace them by line breaks: `printf '%b' \"$PEM\"`)",
            ),
            Self::Encrypted => f.write_str("it is encrypted (`openssl pkey -in FILE` decrypts it)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN KEY-----\nAQID\n-----END KEY-----\n";
    const OTHER: &str = "-----BEGIN OTHER-----\n!\n-----END OTHER-----\n";

    fn read(text: &str) -> Result<Vec<u8>, PemError<'_>> {
        decode(text, "KEY", |label| label.ends_with("KEY")).map(|bytes| bytes.to_vec())
    }

    /// Each of these is read by `openssl pkey`, or differs from such a text in white space only.
    #[test]
    fn white_space_and_other_text_do_not_matter() {
        for text in [
            KEY.to_owned(),
            KEY.trim_end().to_owned(),
            KEY.replace('\n', "\r\n"),
            KEY.replace('\n', " \t\r\n"),
            KEY.replace('\n', "\r"),
            KEY.replace('\n', " "),
            KEY.replace('\n', ""),
            KEY.replace("AQID", "\n  A\nQ I\n\nD\n"),
            format!("\u{feff}{KEY}"),
            format!("# a comment: \u{e9}\n{KEY}# another"),
            format!("Bag Attributes\n    localKeyID: 01 \nKey Attributes: <No Attributes>\n{KEY}"),
            format!("{OTHER}{KEY}{OTHER}"),
            format!("its -----BEGIN line\n{KEY}"),
            format!("-----BEGIN {KEY}"),
        ] {
            assert_eq!(read(&text), Ok(vec![1, 2, 3]), "{text:?}");
        }
    }

    #[test]
    fn a_text_without_exactly_one_sound_block_of_the_kind_is_refused() {
        let second = KEY.replace("KEY", "SECOND KEY");
        for (text, error) in [
            (String::new(), PemError::NoBlock),
            ("-----BEGIN KEY----\nAQID\n-----END KEY-----".to_owned(), PemError::NoBlock),
            (format!("{KEY}{KEY}"), PemError::Several(2)),
            (format!("{KEY}{second}{KEY}"), PemError::Several(3)),
            (second, PemError::Label("SECOND KEY")),
            (OTHER.to_owned(), PemError::Label("OTHER")),
            (KEY.replace("AQID", "AQI"), PemError::Malformed),
            (KEY.replace("AQID", "AR=="), PemError::Malformed),
            (KEY.replace("AQID", "AQID-"), PemError::Malformed),
            (KEY.replace("AQID", "AQID\u{a0}"), PemError::Malformed),
            (KEY.replace("AQID", "A_ID"), PemError::Malformed),
            (KEY.replace("AQID", "Comment: x\n\nAQID"), PemError::Malformed),
            (KEY.replace("END KEY", "END OTHER"), PemError::Malformed),
            (KEY.replace("-----END KEY-----", ""), PemError::Malformed),
            (KEY.replace('\n', "\\n"), PemError::Escaped),
            (KEY.replace('\n', "\\r\\n"), PemError::Escaped),
            (KEY.replace("AQID", "Proc-Type: 4,ENCRYPTED\n\nAQID"), PemError::Encrypted),
        ] {
            assert_eq!(read(&text), Err(error), "{text:?}");
        }
    }
}
