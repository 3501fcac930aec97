//! The next step after a response.

/// The next step after a response, for requests that are sent over another HTTP client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Make the request again and send it.
    Retry,
    /// There is nothing more to send.
    Done(T),
}
