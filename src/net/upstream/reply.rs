//! The body of a reply: it holds its connection and slot until it has ended.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::pool::Lease;

/// The body of an upstream's reply, streamed.
///
/// The connection is free again at the moment of the last frame, or of the end if that is only
/// known then. Dropped before, the body closes its connection.
pub struct ReplyBody<B> {
    incoming: Incoming,
    lease: Option<Lease<B>>,
    silent_since: Option<Instant>,
}

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum ReplyBodyError {
    /// Nothing came for too long.
    #[error("the upstream stopped in the middle of a reply")]
    Idle,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection broke in the middle of a reply")]
    Broken(#[source] hyper::Error),
}

impl<B> ReplyBody<B> {
    pub(super) fn new(incoming: Incoming, lease: Lease<B>) -> Self {
        let mut body = Self { incoming, lease: Some(lease), silent_since: None };
        body.free_if_ended();
        body
    }

    fn free_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.free();
        }
    }

    fn free(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.put_back();
        }
    }

    fn fail<T>(&mut self, error: ReplyBodyError) -> Poll<Option<Result<T, ReplyBodyError>>> {
        self.lease = None;
        Poll::Ready(Some(Err(error)))
    }
}

// No bound on `B`: a body that is `Send` for every `B` stays so where `B` holds a trait object.
impl<B> Body for ReplyBody<B> {
    type Data = Bytes;
    type Error = ReplyBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyBodyError>>> {
        let this = self.get_mut();
        let Some(lease) = &mut this.lease else { return Poll::Ready(None) };
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.silent_since = None;
                this.free_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(ReplyBodyError::Broken(error)),
            Poll::Ready(None) => {
                this.free();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let since = *this.silent_since.get_or_insert_with(Instant::now);
                let at = since + lease.body_patience();
                match lease.link().poll_deadline(at, cx) {
                    Poll::Ready(()) => this.fail(ReplyBodyError::Idle),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl<B> fmt::Debug for ReplyBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody").field("ended", &self.lease.is_none()).finish()
    }
}
