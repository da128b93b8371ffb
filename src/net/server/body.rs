//! The body of a request, with the deadlines that hyper does not have.
//!
//! Nothing is timed before somebody wants the body and it is not there: a request whose body came with
//! its head costs no timer. A body has a place of its own, because most requests have none, and are to
//! be small as they are handed from layer to layer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::after;

/// What a client sends behind the head of its request. Trailers are dropped: nothing reads them,
/// and no field may reach the upstream that the head's rules have not seen.
#[derive(Debug)]
pub struct ClientBody(Option<Box<Coming>>);

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum ClientBodyError {
    /// Nothing of it came for too long.
    #[error("the request body stopped arriving")]
    Idle,
    /// It took too long as a whole.
    #[error("the request body did not arrive in time")]
    Deadline,
    /// It is longer than [`ClientBody::limited`] allows.
    #[error("the request body is too large")]
    TooLarge,
    /// The client went away, or broke the framing.
    #[error("the request body broke off")]
    Broken(#[source] hyper::Error),
}

/// How long a body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From one piece to the next.
    pub(super) idle: Duration,
    /// From when it was first waited for to its end.
    pub(super) total: Duration,
}

/// A body of which something may still be read.
#[derive(Debug)]
struct Coming {
    source: Source,
    patience: Patience,
    clock: Option<Clock>,
    /// How many bytes more are acceptable.
    room: u64,
}

#[derive(Debug)]
enum Source {
    Wire(Incoming),
    Memory(Option<Bytes>),
}

#[derive(Debug)]
struct Clock {
    sleep: Pin<Box<Sleep>>,
    total: Instant,
    /// The sleep is set for the piece that is waited for.
    running: bool,
}

impl ClientBody {
    pub(super) fn new(incoming: Incoming, patience: Patience) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self::coming(Source::Wire(incoming), patience)
    }

    /// No body.
    pub fn empty() -> Self {
        Self(None)
    }

    /// A body that is already there.
    pub fn from_bytes(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::empty();
        }
        let patience = Patience { idle: Duration::MAX, total: Duration::MAX };
        Self::coming(Source::Memory(Some(bytes)), patience)
    }

    /// The same body, which fails as soon as it turns out to be longer than this.
    pub fn limited(mut self, most: u64) -> Self {
        if let Some(coming) = &mut self.0 {
            coming.room = coming.room.min(most);
        }
        self
    }

    fn coming(source: Source, patience: Patience) -> Self {
        Self(Some(Box::new(Coming { source, patience, clock: None, room: u64::MAX })))
    }
}

impl Coming {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientBodyError>>> {
        if self.source.size_hint().lower() > self.room {
            return Poll::Ready(Some(Err(ClientBodyError::TooLarge)));
        }
        let Poll::Ready(data) = self.source.poll(cx) else {
            return self.poll_clock(cx).map(|error| Some(Err(error)));
        };
        if let Some(clock) = &mut self.clock {
            clock.running = false;
        }
        Poll::Ready(data.map(|data| {
            let data = data.map_err(ClientBodyError::Broken)?;
            self.room =
                self.room.checked_sub(data.len() as u64).ok_or(ClientBodyError::TooLarge)?;
            Ok(data)
        }))
    }

    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<ClientBodyError> {
        let now = Instant::now();
        let patience = self.patience;
        let clock = self.clock.get_or_insert_with(|| Clock {
            sleep: Box::pin(tokio::time::sleep_until(now)),
            total: after(now, patience.total),
            running: false,
        });
        if !clock.running {
            clock.running = true;
            clock.sleep.as_mut().reset(clock.total.min(after(now, patience.idle)));
        }
        ready!(clock.sleep.as_mut().poll(cx));
        Poll::Ready(if now >= clock.total {
            ClientBodyError::Deadline
        } else {
            ClientBodyError::Idle
        })
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        match self {
            Self::Memory(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Wire(incoming) => loop {
                match ready!(Pin::new(&mut *incoming).poll_frame(cx)?) {
                    Some(frame) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    None => return Poll::Ready(None),
                }
            },
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Wire(incoming) => incoming.is_end_stream(),
            Self::Memory(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Wire(incoming) => incoming.size_hint(),
            Self::Memory(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let Some(coming) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        coming.poll_piece(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|coming| coming.source.is_end())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |coming| coming.source.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_is_in_memory_is_one_frame_of_known_size() {
        let body = ClientBody::from_bytes(Bytes::from_static(b"four"));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
        assert_eq!(body.collect().await.expect("memory does not fail").to_bytes(), "four");
    }

    #[test]
    fn where_there_is_none_there_is_no_room_for_it() {
        assert_eq!(size_of::<ClientBody>(), size_of::<usize>());
    }

    #[test]
    fn nothing_is_the_end_at_once() {
        for body in [ClientBody::empty(), ClientBody::from_bytes(Bytes::new())] {
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        }
    }

    #[tokio::test]
    async fn a_limit_holds_for_what_is_announced() {
        let body = || ClientBody::from_bytes(Bytes::from_static(b"four"));
        assert!(body().limited(4).collect().await.is_ok());
        assert!(matches!(body().limited(3).collect().await, Err(ClientBodyError::TooLarge)));
    }
}
