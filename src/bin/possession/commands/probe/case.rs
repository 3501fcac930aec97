//! Cases and verdicts.

use super::malformed_proof::{ProofParts, Target};
use super::prober::Exchange;

/// How binding a rule is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Must,
    Should,
    /// A server may refuse it, and clients expect that it does not.
    Interoperability,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Interoperability => "interoperability",
        }
    }
}

/// What is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Refuse,
    Accept,
}

/// A rule that is tested.
#[derive(Clone)]
pub struct Rule {
    /// A short name, for `--only`.
    pub id: &'static str,
    /// The RFC and its section.
    pub source: &'static str,
    pub level: Level,
    pub right: Right,
    /// What the request is like.
    pub title: &'static str,
}

/// A case that is one change of a correct proof.
#[derive(Clone)]
pub struct Defect {
    pub rule: Rule,
    pub change: fn(&mut ProofParts<'_>, &Target),
    pub needs: Needs,
}

/// What a defect needs to make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// A proof with `ath`.
    AccessToken,
    /// A server that uses nonces.
    Nonce,
    /// A key for ES256.
    Es256,
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Enforced,
    NotEnforced,
    /// What should be accepted is.
    Accepted,
    TooStrict,
    Unclear,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::NotEnforced => "NOT ENFORCED",
            Self::Accepted => "accepted",
            Self::TooStrict => "too strict",
            Self::Unclear => "unclear",
        }
    }

    pub fn is_good(self) -> bool {
        matches!(self, Self::Enforced | Self::Accepted)
    }
}

/// The result of a case.
pub struct Finding {
    pub rule: Rule,
    pub verdict: Verdict,
    /// Why, in one sentence; empty if the verdict says it all.
    pub why: String,
    pub exchanges: Vec<Exchange>,
}
