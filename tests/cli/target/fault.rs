//! What can be wrong with a target: one check is missing, or it refuses one thing too much.

/// A check that the target makes, unless it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    // ---- The form of a proof
    /// A request has a proof.
    Proof,
    /// There is one `DPoP` field, and not several.
    OneField,
    /// The field has one proof, and not several with commas between.
    OneProof,
    /// There are three segments, and not more.
    ThreeSegments,
    /// Base64url has no padding.
    NoPadding,
    /// A name occurs once in an object.
    UniqueNames,
    /// A text that is no proof is refused. Otherwise it counts as one.
    Readable,

    // ---- The header
    Typ,
    Crit,
    /// `none` is no algorithm.
    NotNone,
    /// HS256 is no algorithm.
    Asymmetric,
    /// `alg` is that of the key. Otherwise nobody looks at it.
    AlgOfKey,
    /// The metadata list the algorithm.
    ListedAlg,
    /// `jwk` is a public key. Otherwise a signature by an unreadable key is accepted.
    ReadableKey,
    /// `jwk` has no private members.
    PublicKey,
    /// An Ed25519 key is not of small order.
    KeyOrder,
    /// An RSA key does not have e = 1.
    RsaExponent,
    /// An RSA key has 2048 bits or more.
    RsaSize,
    Signature,
    /// R and S of an ECDSA signature are not 0.
    NotZero,
    /// An ECDSA signature is not in DER.
    NotDer,

    // ---- The claims
    Jti,
    /// `htm`, `htu` and `iat` are there. Otherwise one that is missing is not compared.
    Required,
    /// `htu` and `iat` have the right types.
    Types,
    Htm,
    /// `htm` is compared with the method in this case.
    HtmCase,
    HtuScheme,
    HtuHost,
    HtuPort,
    HtuPath,
    HtuPathCase,
    /// The number of slashes in a row, and at the end, is compared.
    HtuSlashes,
    /// `htu` is all of the URL and not one that begins so.
    HtuEnd,
    NoUserInformation,
    /// `htu` has an origin.
    HtuAbsolute,
    HtuNotEmpty,
    NotOld,
    NotFuture,
    Exp,
    Nbf,
    NonceRequired,
    NonceKnown,
    /// A nonce of the other role is not accepted.
    NonceRole,
    /// A nonce is a string.
    NonceType,
    AthRequired,
    Ath,
    Binding,
    Replay,
    /// The nodes know of the proofs that another has accepted.
    SharedReplay,
    /// A `jti` is not accepted in another proof.
    ReplayedJti,

    // ---- Requests of a resource
    KnownToken,
    NoBearerWithProof,
    NoBearerWithoutProof,

    // ---- Requests of the token endpoint
    RefreshBinding,
    ParJkt,
    ParProof,
    CodeBinding,

    // ---- Responses
    Challenge,
    ChallengeAlgs,
    ErrorCode,
    OneNonce,
    NonceSyntax,
    /// A nonce is of ASCII characters.
    NonceAscii,
    NonceNoStore,
    TokenNoStore,
    TokenBinding,

    // ---- Metadata
    ListsAlgorithms,
    ListsAsymmetric,
    ListsAll,
}

/// What a target refuses although it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    UnknownHeader,
    UnknownClaim,
    JwkMembers,
    HtuQuery,
    HtuFragment,
    HtuCase,
    HtuDefaultPort,
    TenSecondsOld,
    EightSecondsAhead,
    Fraction,
    NbfAndExp,
    LongJti,
    Escapes,
    SchemeCase,
    CorsPreflight,
    CorsExpose,
    /// Demands another nonce for each token that is sent as Bearer with a proof.
    NonceForBearer,
}

/// What is wrong with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    Without(Check),
    Refuses(Excess),
}

impl Fault {
    /// Returns whether a check is made.
    pub fn makes(self, check: Check) -> bool {
        self != Self::Without(check)
    }

    pub fn refuses(self, excess: Excess) -> bool {
        self == Self::Refuses(excess)
    }
}
