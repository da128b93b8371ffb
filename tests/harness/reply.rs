//! What the origin does with a request: answer it, in one of many ways, or not.

use std::time::Duration;

use bytes::Bytes;

/// One act of the origin.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) act: Act,
    pub(super) delay: Duration,
    pub(super) gated: bool,
    /// Answered before the request's body is read, which it then never is.
    pub(super) early: bool,
    pub(super) informational: Vec<Bytes>,
    pub(super) close: bool,
    /// The one target that it is for; none answers whatever comes next.
    pub(super) target: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Answer { status: u16, headers: Vec<(String, String)>, body: Content },
    Raw(Bytes),
    Reset,
    Close,
    Never,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Whole(Bytes),
    Chunks(Vec<Bytes>),
    /// Less than was announced, then the end of the connection.
    Cut {
        announced: usize,
        sent: Bytes,
    },
    /// Chunks that the test hands over while the reply is under way.
    Fed,
}

/// 200 with a body of JSON, as the panel sends it.
pub fn json(body: impl Into<Bytes>) -> Reply {
    Reply::new(200).header("Content-Type", "application/json; charset=utf-8").panel().body(body)
}

/// 200 with a body of XML, as the panel sends it.
pub fn xml(body: impl Into<Bytes>) -> Reply {
    Reply::new(200).header("Content-Type", "application/xml; charset=utf-8").panel().body(body)
}

/// A status with an empty JSON object.
pub fn status(code: u16) -> Reply {
    let body = if code == 204 { "" } else { "{}" };
    json(body).status(code)
}

impl Reply {
    /// A reply without headers and body.
    pub fn new(status: u16) -> Self {
        let act = Act::Answer { status, headers: Vec::new(), body: Content::Whole(Bytes::new()) };
        Self::of(act)
    }

    /// These bytes and nothing else.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::of(Act::Raw(bytes.into()))
    }

    /// The connection is reset.
    pub fn reset() -> Self {
        Self::of(Act::Reset)
    }

    /// The connection is closed in order, without a reply.
    pub fn hang_up() -> Self {
        Self::of(Act::Close)
    }

    /// Nothing comes.
    pub fn never() -> Self {
        Self::of(Act::Never)
    }

    fn of(act: Act) -> Self {
        Self {
            act,
            delay: Duration::ZERO,
            gated: false,
            early: false,
            informational: Vec::new(),
            close: false,
            target: None,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Act::Answer { headers, .. } = &mut self.act {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Takes a header away.
    pub fn without(mut self, name: &str) -> Self {
        if let Act::Answer { headers, .. } = &mut self.act {
            headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        }
        self
    }

    /// What a panel puts on every reply, and what of it must stay behind the gateway.
    fn panel(self) -> Self {
        self.header("ETag", "W/\"0123456789abcdef\"")
            .header("Cache-Control", "max-age=0, private, must-revalidate")
            .header("Set-Cookie", "_session_id=panel-session; path=/; HttpOnly")
            .header("Server", "nginx/panel")
            .header("X-Runtime", "0.040")
            .header("Accept-Ranges", "bytes")
            .header("X-Powered-By", "Phusion Passenger")
            .header("X-Request-Id", "panel-request")
    }

    /// Answers with another status.
    pub fn status(mut self, code: u16) -> Self {
        if let Act::Answer { status, .. } = &mut self.act {
            *status = code;
        }
        self
    }

    /// With a body of known length.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.content(Content::Whole(body.into()))
    }

    /// With a chunked body.
    pub fn chunks(self, chunks: &[&str]) -> Self {
        let chunks = chunks.iter().map(|c| Bytes::copy_from_slice(c.as_bytes())).collect();
        self.content(Content::Chunks(chunks))
    }

    /// With less of a body than is announced.
    pub fn cut(self, announced: usize, sent: &str) -> Self {
        let sent = Bytes::copy_from_slice(sent.as_bytes());
        self.content(Content::Cut { announced, sent })
    }

    /// With chunks that come from [`Exchange::feed`](super::Exchange::feed).
    pub fn fed(self) -> Self {
        self.content(Content::Fed)
    }

    fn content(mut self, content: Content) -> Self {
        if let Act::Answer { body, .. } = &mut self.act {
            *body = content;
        }
        self
    }

    /// After a while.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// When the test releases it.
    pub fn gated(mut self) -> Self {
        self.gated = true;
        self
    }

    /// Before the request's body is read; the connection is closed behind it.
    pub fn early(mut self) -> Self {
        self.early = true;
        self.close = true;
        self
    }

    /// With bytes in front, such as a 103.
    pub fn informational(mut self, bytes: &'static str) -> Self {
        self.informational.push(Bytes::from_static(bytes.as_bytes()));
        self
    }

    /// And closes the connection.
    pub fn then_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// For this target alone, for scenarios in which the order of arrival is open.
    pub fn on(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }
}
