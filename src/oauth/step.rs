//! What to do after a response.

/// What to do after a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Ask for the request once more and send it.
    Retry,
    /// Nothing more to send.
    Done(T),
}
