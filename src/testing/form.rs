//! The fields of a form: the body of a request to the authorization server, or a query.

pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns the first value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Returns every value of a field that may be repeated, such as `resource` (RFC 8707 §2).
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether a field occurs twice that must occur once (RFC 6749 §3.1).
    pub(super) fn has_duplicate(&self) -> bool {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.filter(|name| *name != "resource").any(|name| self.values(name).nth(1).is_some())
    }
}
