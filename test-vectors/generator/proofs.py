"""DPoP proofs with defects.

A proof starts from a correct header and correct claims as JSON text. A row of a table says which text is
replaced by which, or what happens to a segment or to the signature; everything else is signed as usual.
"""

from .encoding import base64url, compact_json, digest
from .keys import P256_KEY
from .table import table

NOW, MAX_AGE, FUTURE_SKEW = 1750000000, 300, 5
ACCESS_TOKEN = "3xample~access.token-of_A+b/c=="
TOKEN_URL = "https://server.example.com/token"
RESOURCE_URL = "https://resource.example.org/protectedresource"

# The contexts of a token request and of a resource request.
TOKEN_REQUEST = {
    "method": "POST",
    "url": TOKEN_URL,
    "now": NOW,
    "max_age_s": MAX_AGE,
    "future_skew_s": FUTURE_SKEW,
}
RESOURCE_REQUEST = {
    "method": "GET",
    "url": RESOURCE_URL,
    "now": NOW,
    "max_age_s": MAX_AGE,
    "future_skew_s": FUTURE_SKEW,
    "access_token": ACCESS_TOKEN,
}

# Members of a correct proof, as replacements name them. All but ATH are those of a token request.
TYP, ALG = '"typ":"dpop+jwt"', '"alg":"ES256"'
HTM, HTU, IAT = '"htm":"POST"', '"htu":"%s"' % TOKEN_URL, '"iat":%d' % NOW
ATH = '"ath":"%s"' % base64url(digest(ACCESS_TOKEN))

# Shorthands for rows.
POLICY, ACCEPT = {"expect": "policy"}, {"expect": "accept"}


def replace_all(text, replacements):
    """Replaces the first occurrence of each old text by the new one; old and new texts alternate."""
    for old, new in zip(replacements[::2], replacements[1::2]):
        assert old in text, (old, text)
        text = text.replace(old, new, 1)
    return text


def last(member):
    """Returns a replacement that adds `member` at the end of the header, the jwk or the claims."""
    return ("@end", "," + member)


def header(*replacements, **more):
    """Returns a row's specification with replacements in the header."""
    return dict(more, header=replacements)


def jwk(*replacements, **more):
    """Returns a row's specification with replacements in the jwk."""
    return dict(more, jwk=replacements)


def claims(*replacements, **more):
    """Returns a row's specification with replacements in the claims."""
    return dict(more, claims=replacements)


def signed(sign):
    """Returns a row's specification: `sign` makes the signature from the signing input."""
    return {"sign": sign}


def changed(change):
    """Returns a row's specification: `change` turns the correct signature into the one to send."""
    return {"change_signature": change}


def assembled(assemble):
    """Returns a row's specification: `assemble` makes the field value from the three segments."""
    return {"assemble": assemble}


def algs(*names):
    """Returns a row's specification: the verifier accepts these algorithms."""
    return {"context_changes": {"algs": list(names)}}


def header_text(key, header, jwk, jwk_text):
    text = replace_all((jwk_text or compact_json(key.jwk))[:-1] + "@end", jwk).replace("@end", "") + "}"
    if jwk_text and not jwk_text.startswith('{"'):
        text = jwk_text  # it is not an object with members, so there is nothing to replace
    return replace_all('{"typ":"dpop+jwt","alg":"%s","jwk":%s@end}' % (key.alg, text), header).replace(
        "@end", ""
    )


def claims_text(context):
    """Returns correct claims with the placeholders "@jti" and "@end"."""
    url = context["url"].split("?")[0].split("#")[0]
    text = '{"jti":"@jti","htm":"%s","htu":"%s","iat":%d' % (context["method"], url, NOW)
    if "access_token" in context:
        text += ',"ath":"%s"' % base64url(digest(context["access_token"]))
    return text + "@end}"


def make_proof(
    jti,
    key=P256_KEY,
    context=TOKEN_REQUEST,
    header=(),
    jwk=(),
    claims=(),
    jwk_text=None,
    sign=None,
    change_signature=None,
    change_segment=None,
    assemble=None,
    **_,
):
    """Returns a proof in JWS Compact Serialization, or what `assemble` makes of its three segments.

    - `header`, `jwk`, `claims`: replacements in the JSON text of that object
    - `jwk_text`: the text of the jwk, instead of that of `key`
    - `sign`: a function from the signing input to the signature, or to `None` if another jti has to be tried
    - `change_signature`: a function from the signature to another one
    - `change_segment`: the index of a segment and a function from its text to its new text; header and
      payload are changed before they are signed
    """
    head, correct_claims = header_text(key, header, jwk, jwk_text), claims_text(context)
    for attempt in range(400):
        unique = jti + ("~%d" % attempt if attempt else "")
        payload = replace_all(correct_claims, claims).replace("@end", "").replace("@jti", unique)
        segments = [base64url(text.encode("utf-8", "surrogateescape")) for text in (head, payload)]
        if change_segment and change_segment[0] < 2:
            segments[change_segment[0]] = change_segment[1](segments[change_segment[0]])
        signature = (sign or key.sign)(".".join(segments).encode("latin-1"))
        if signature is not None:  # some defects are not possible for every message
            break
    if change_signature:
        signature = change_signature(signature)
    segments.append(base64url(signature))
    if change_segment and change_segment[0] == 2:
        segments[2] = change_segment[1](segments[2])
    return assemble(*segments) if assemble else ".".join(segments)


class ProofFile:
    """The cases of one file of kind `proof`, collected group by group."""

    def __init__(self, description):
        self.description, self.cases = description, []

    def group(self, threat, reason, basis, rows, **shared):
        """Adds rows for one row of the catalogue of threats.

        A row is a triple: the end of the id, what is special about the case, and a specification. The
        specification and `shared` hold arguments of `make_proof` and these:

        - `value`: the value of the header field (a string) or of all header fields (a list), instead of a
          generated proof
        - `verified_in`: the context of the verifier, if the proof is made for another one
        - `context_changes`: members of the context to add or replace
        - `expect`, `reason`, `sole`, `basis`, `note`: as in the file
        """
        for slug, about, row in rows:
            row = {"context": TOKEN_REQUEST, "expect": "reject", "reason": reason, **shared, **row}
            case = {"id": f"{threat}-{slug}"}
            # The jti is derived from the id, so that no two rows have the same one.
            jti = base64url(digest(case["id"])[:12])
            value = row["value"] if "value" in row else make_proof(jti, **row)
            case["proof_headers" if isinstance(value, list) else "proof"] = value
            case["context"] = dict(row.get("verified_in", row["context"]), **row.get("context_changes", {}))
            case["expect"] = row["expect"]
            if row["expect"] == "accept":
                case["jkt"] = row.get("key", P256_KEY).thumbprint()
            elif row["expect"] == "reject":
                case["reason"] = row["reason"]
                if row.get("sole") is False:
                    case["sole"] = False
            case.update(about=about, basis=row.get("basis", basis))
            if "note" in row:
                case["note"] = row["note"]
            self.cases.append(case)

    def content(self):
        return table("proof", self.description, self.cases)
