//! A TCP connection that can end in a reset, and a body that can take its time or break off.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How a connection is to end; shared by the connection and what is sent over it.
#[derive(Clone, Default)]
pub(crate) struct Ending {
    reset: Arc<AtomicBool>,
}

pub(crate) struct Wire {
    tcp: TcpStream,
    ending: Ending,
}

/// The connection is to end here.
#[derive(Debug, thiserror::Error)]
#[error("broken off on purpose")]
pub(crate) struct BrokenOff;

/// A body as a list of steps.
pub(crate) struct Outgoing {
    steps: VecDeque<Step>,
    length: Option<usize>,
}

pub(crate) enum Step {
    Piece(Bytes),
    Wait(Pin<Box<dyn Future<Output = ()> + Send>>),
    BreakOff,
}

impl Ending {
    /// The peer is to see a reset when the connection is dropped.
    pub(crate) fn set_reset(&self) {
        self.reset.store(true, Ordering::Release);
    }
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream, ending: Ending) -> Self {
        Self { tcp, ending }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.ending.reset.load(Ordering::Acquire) {
            // Where it is refused the peer sees an orderly end, which a test then reports.
            let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

impl Outgoing {
    /// The steps with a Content-Length, or chunked without one.
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>, length: Option<usize>) -> Self {
        Self { steps: steps.into_iter().collect(), length }
    }

    pub(crate) fn whole(body: Bytes) -> Self {
        let length = body.len();
        let piece = (length > 0).then_some(Step::Piece(body));
        Self::new(piece, Some(length))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            match self.steps.front_mut() {
                None => return Poll::Ready(None),
                Some(Step::Wait(until)) => {
                    ready!(until.as_mut().poll(cx));
                    self.steps.pop_front();
                }
                Some(Step::BreakOff) => return Poll::Ready(Some(Err(BrokenOff))),
                Some(Step::Piece(piece)) => {
                    let piece = std::mem::take(piece);
                    self.steps.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |n| SizeHint::with_exact(n as u64))
    }
}
