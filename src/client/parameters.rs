//! The parameters of token requests.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::json::{self, Json};
use crate::text::{is_absolute_uri, is_scope, printable};

/// Parameters that callers cannot give, since the library sets them.
const RESERVED: [&str; 5] =
    ["grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"];

/// A field of a form. Its value may be a secret.
pub(super) type Field = (String, Zeroizing<String>);

/// The parameters of a request to an authorization server: `scope`, `resource` and any others.
///
/// ```
/// use possession::Parameters;
///
/// let parameters = Parameters::new()
///     .scope("orders:read orders:write")
///     .resource("https://api.example.com")
///     .parameter("audience", "orders");
/// ```
#[derive(Clone, Default)]
pub struct Parameters {
    fields: Vec<Field>,
}

impl Parameters {
    /// Creates an empty set of parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `scope`: scope tokens separated by single spaces (RFC 6749 §3.3).
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.parameter("scope", scope)
    }

    /// Adds `resource`: the absolute URI of a protected resource (RFC 8707 §2). There may be several.
    #[must_use]
    pub fn resource(self, uri: impl Into<String>) -> Self {
        self.parameter("resource", uri)
    }

    /// Adds `authorization_details`: a JSON array of objects, each with a `type` (RFC 9396 §2).
    #[must_use]
    pub fn authorization_details(self, json: impl Into<String>) -> Self {
        self.parameter("authorization_details", json)
    }

    /// Adds any other parameter that the authorization server knows. There may be several of one name.
    /// `grant_type`, the parameters of client authentication and those that are arguments of the function,
    /// such as `code`, are refused when the request is made.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// Checks what every request checks, for a program that wants to know before it sends another one, such
    /// as for the metadata of the server. A request refuses the parameters that its grant sets as well.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) when the library sets one of the parameters in every request, or
    /// one is malformed or there twice.
    pub fn check(&self) -> Result<(), Error> {
        self.clone().into_fields(Vec::new()).map(drop)
    }

    /// Returns whether there is a parameter of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Returns the values of the parameters of that name.
    pub(super) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns a digest that is equal for equal parameters in the same order, and for no others.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut text = Zeroizing::new(String::new());
        for (name, value) in &self.fields {
            text.push_str(&format!("{} {} {name}", name.len(), value.len()));
            text.push_str(value);
        }
        crate::crypto::sha256(text.as_bytes())
    }

    /// Checks the parameters and returns the fields of the form: `fields`, which the library sets, and after
    /// them the parameters.
    pub(super) fn into_fields(self, mut fields: Vec<Field>) -> Result<Vec<Field>, Error> {
        let refuse = |wrong: String| {
            Err(Error::new(ErrorKind::Parameter, "checking the parameters of a request", wrong))
        };
        let set = fields.len();
        for (name, value) in self.fields {
            let shown = printable(&name, 80);
            match name.as_str() {
                "" => return refuse("a parameter has no name".to_owned()),
                name if RESERVED.contains(&name) || fields.iter().take(set).any(|(own, _)| own == name) => {
                    return refuse(format!("`{shown}` is set by the library and cannot be given"));
                }
                "scope" if fields.iter().any(|(name, _)| name == "scope") => {
                    return refuse("`scope` is given twice (separate scope tokens by spaces)".to_owned());
                }
                "scope" if !is_scope(&value) => {
                    return refuse(
                        "`scope` is not tokens of printable ASCII without \" and \\, \
                         separated by single spaces (RFC 6749 §3.3)"
                            .to_owned(),
                    );
                }
                "resource" if !is_absolute_uri(&value) => {
                    return refuse(
                        "`resource` is not an absolute URI without a fragment (RFC 8707 §2)".to_owned(),
                    );
                }
                "authorization_details" if fields.iter().any(|(name, _)| name == "authorization_details") => {
                    return refuse(
                        "`authorization_details` is given twice (put all objects into one array)".to_owned(),
                    );
                }
                "authorization_details" if !is_authorization_details(&value) => {
                    return refuse(
                        "`authorization_details` is not a JSON array of objects with a `type` (RFC 9396 §2)"
                            .to_owned(),
                    );
                }
                _ => fields.push((name, value)),
            }
        }
        Ok(fields)
    }
}

impl fmt::Debug for Parameters {
    /// Shows the names only, since a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields.iter().map(|(name, _)| name)).finish()
    }
}

/// Creates a field of a form.
pub(super) fn field(name: &str, value: impl Into<String>) -> Field {
    (name.to_owned(), Zeroizing::new(value.into()))
}

fn is_authorization_details(text: &str) -> bool {
    match json::parse_value(text.as_bytes()) {
        Ok(Json::Array(items)) => {
            let has_type =
                |item: &Json<'_>| matches!(item, Json::Object(object) if object.text("type").is_some());
            items.iter().all(has_type)
        }
        _ => false,
    }
}
