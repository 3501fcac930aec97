//! The pages that a browser shows.

/// A response. None of them repeats anything of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The code has arrived.
    Received,
    /// The response has the right `state`, and is an error or is refused.
    Failed,
    /// The `state` is not that of the login.
    OtherLogin,
    BadRequest,
    NotFound,
    Method,
    TooLarge,
    Version,
}

impl Page {
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Received => "200 OK",
            Self::Failed | Self::OtherLogin | Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Version => "505 HTTP Version Not Supported",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Received => "The program has received the response. You can close this page.",
            Self::Failed => "Signing in has failed. The program says why. You can close this page.",
            Self::OtherLogin => {
                "This is not the response that the program waits for, so nothing was done. Sign in with the \
                 address that the program shows."
            }
            _ => "There is nothing here.",
        }
    }

    /// Returns the response. The URL of the request has the code: the page is not stored, has no `Referer` to
    /// send, and loads nothing.
    pub(super) fn to_http(self) -> String {
        let status = self.status();
        let title = if self == Self::Received { "Signed in" } else { "Not signed in" };
        let body = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><p>{}</p></html>\n",
            self.text()
        );
        let allow = if self == Self::Method { "Allow: GET\r\n" } else { "" };
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Connection: close\r\n\
             Cache-Control: no-store\r\n\
             Referrer-Policy: no-referrer\r\n\
             Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n\
             X-Content-Type-Options: nosniff\r\n\
             {allow}\r\n{body}",
            body.len()
        )
    }
}
