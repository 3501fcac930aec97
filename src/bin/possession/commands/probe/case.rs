//! Cases and verdicts.

use super::malformed_proof::ProofParts;
use super::prober::Prober;
use super::record::Exchange;
use super::target::Target;
use crate::failure::Failure;

/// How binding a rule is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Must,
    Should,
    /// A server may do otherwise, and clients expect that it does not.
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

/// What a server does that follows the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It refuses the request.
    Refuse,
    /// It accepts the request.
    Accept,
    /// It does what the title says.
    Do,
}

/// A rule that is tested.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// A short name, for `--only`.
    pub id: &'static str,
    /// The RFC and its section.
    pub source: &'static str,
    pub level: Level,
    pub right: Right,
    /// What the request is like, or what the server does.
    pub title: &'static str,
}

impl Rule {
    /// Returns what is demanded of the server, as the beginning of a sentence that the title ends.
    pub fn demand(&self) -> &'static str {
        match (self.level, self.right) {
            (Level::Must, Right::Refuse) => "MUST refuse",
            (Level::Must, Right::Accept) => "MUST accept",
            (Level::Must, Right::Do) => "MUST have",
            (Level::Should, Right::Refuse) => "SHOULD refuse",
            (Level::Should, Right::Accept) => "SHOULD accept",
            (Level::Should, Right::Do) => "SHOULD have",
            (Level::Interoperability, Right::Refuse) => "should refuse",
            (Level::Interoperability, Right::Accept) => "should accept",
            (Level::Interoperability, Right::Do) => "should have",
        }
    }
}

/// A change of a correct proof.
pub type Change = fn(&mut ProofParts<'_>, &Target);

/// A case that is one change of a correct proof.
#[derive(Clone, Copy)]
pub struct Defect {
    pub rule: Rule,
    pub change: Change,
    pub needs: &'static [Need],
    pub at: Endpoints,
    pub is_age: bool,
}

/// Where a case can find something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoints {
    Both,
    /// The token endpoint. At a resource the binding of the token to its key hides the defect.
    Token,
    /// Protected resources, whose proofs have `ath`.
    Resource,
}

/// What a case needs to find something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A server that uses nonces.
    Nonce,
    /// A nonce of the authorization server.
    ForeignNonce,
    /// A key for ES256.
    Es256,
    /// A private key that was made for this run, and may be disclosed.
    NewKey,
    /// A URL with the default port of its scheme.
    DefaultPort,
    /// A URL with letters in its path.
    PathWithLetters,
    /// Other addresses of the resource.
    Nodes,
    /// Metadata that list the algorithms of proofs.
    ListedAlgorithms,
    /// An endpoint for pushed authorization requests, and a redirect URI.
    PushedRequests,
    /// A refresh token of a public client.
    RefreshToken,
    /// A user who signs in.
    User,
}

/// One case.
pub struct Case<P> {
    pub rule: Rule,
    pub needs: &'static [Need],
    pub run: Run<P>,
    /// Whether it may use up what correct requests need. Such a case is run at the end.
    pub is_last: bool,
    /// Whether a nonce that the server demands may do instead, since it limits the age of proofs.
    pub is_age: bool,
}

/// What a case does.
pub enum Run<P> {
    /// Sends a request whose proof is changed so.
    Proof(Change),
    /// Sends requests, and returns what the server did with them.
    Requests(fn(&mut P, &Prober) -> Result<Seen, Failure>),
    /// Returns whether the server does what the title says.
    Property(fn(&mut P, &Prober) -> Result<Property, Failure>),
}

impl<P> From<Defect> for Case<P> {
    fn from(defect: Defect) -> Self {
        let Defect { rule, change, needs, is_age, .. } = defect;
        Self { rule, needs, run: Run::Proof(change), is_last: false, is_age }
    }
}

impl<P> Case<P> {
    /// A request that is to be refused.
    pub fn refuse(
        id: &'static str,
        source: &'static str,
        level: Level,
        title: &'static str,
        run: fn(&mut P, &Prober) -> Result<Seen, Failure>,
    ) -> Self {
        Self::new(Rule { id, source, level, right: Right::Refuse, title }, Run::Requests(run))
    }

    /// A request that is to be accepted.
    pub fn accept(
        id: &'static str,
        source: &'static str,
        title: &'static str,
        run: fn(&mut P, &Prober) -> Result<Seen, Failure>,
    ) -> Self {
        let level = Level::Interoperability;
        Self::new(Rule { id, source, level, right: Right::Accept, title }, Run::Requests(run))
    }

    /// Something that the server is to do by itself.
    pub fn property(
        id: &'static str,
        source: &'static str,
        level: Level,
        title: &'static str,
        run: fn(&mut P, &Prober) -> Result<Property, Failure>,
    ) -> Self {
        Self::new(Rule { id, source, level, right: Right::Do, title }, Run::Property(run))
    }

    fn new(rule: Rule, run: Run<P>) -> Self {
        Self { rule, needs: &[], run, is_last: false, is_age: false }
    }

    pub fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    pub fn last(self) -> Self {
        Self { is_last: true, ..self }
    }
}

/// What a server did with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Accepted,
    Refused,
    /// The server prevents it in another way: this.
    PreventedBy(String),
    /// Neither can be said, because of this.
    Unclear(String),
    /// The server does not have what the case is about: this is missing.
    NotTested(String),
}

/// Whether a server does what a rule says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Property {
    Holds,
    /// What the server does instead.
    Fails(String),
    Unclear(String),
    NotTested(String),
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Enforced,
    /// What should be accepted is.
    Accepted,
    /// It was not tried, because something is missing that it needs.
    NotTested,
    Unclear,
    TooStrict,
    NotEnforced,
}

impl Verdict {
    pub const ALL: [Self; 6] =
        [Self::Enforced, Self::Accepted, Self::NotTested, Self::Unclear, Self::TooStrict, Self::NotEnforced];

    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Accepted => "accepted",
            Self::NotTested => "not tested",
            Self::Unclear => "unclear",
            Self::TooStrict => "too strict",
            Self::NotEnforced => "NOT ENFORCED",
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

impl Finding {
    /// Returns the verdict on what the server did.
    pub fn new(rule: Rule, outcome: Outcome, exchanges: Vec<Exchange>) -> Self {
        let none = String::new();
        let (verdict, why) = match (rule.right, outcome) {
            (_, Outcome::Seen(Seen::Unclear(why)) | Outcome::Property(Property::Unclear(why))) => {
                (Verdict::Unclear, why)
            }
            (_, Outcome::Seen(Seen::NotTested(why)) | Outcome::Property(Property::NotTested(why))) => {
                (Verdict::NotTested, why)
            }
            (_, Outcome::Seen(Seen::PreventedBy(how))) => (Verdict::Enforced, how),
            (Right::Accept, Outcome::Seen(Seen::Accepted)) => (Verdict::Accepted, none),
            (Right::Accept, Outcome::Seen(Seen::Refused)) => (Verdict::TooStrict, none),
            (_, Outcome::Seen(Seen::Refused)) => (Verdict::Enforced, none),
            (_, Outcome::Seen(Seen::Accepted)) => (Verdict::NotEnforced, none),
            (_, Outcome::Property(Property::Holds)) => (Verdict::Enforced, none),
            (_, Outcome::Property(Property::Fails(why))) => (Verdict::NotEnforced, why),
        };
        Self { rule, verdict, why, exchanges }
    }

    /// Returns whether the server does not do what it must.
    pub fn is_violation(&self) -> bool {
        self.verdict == Verdict::NotEnforced && self.rule.level == Level::Must
    }

    /// Returns whether the server must do what could not be found out.
    pub fn is_unclear_must(&self) -> bool {
        self.verdict == Verdict::Unclear && self.rule.level == Level::Must
    }

    /// Returns whether the server may have responded so only because it refused everything by then.
    pub fn may_be_a_lockout(&self) -> bool {
        let was_accepted = matches!(
            (self.rule.right, self.verdict),
            (Right::Refuse, Verdict::NotEnforced) | (Right::Accept, Verdict::Accepted)
        );
        !was_accepted && self.verdict != Verdict::NotTested && !self.exchanges.is_empty()
    }

    /// Takes the verdict back.
    pub fn doubt(&mut self, why: &str) {
        if self.verdict != Verdict::Unclear {
            (self.verdict, self.why) = (Verdict::Unclear, why.to_owned());
        }
    }
}

/// What a case came to.
pub enum Outcome {
    Seen(Seen),
    Property(Property),
}
