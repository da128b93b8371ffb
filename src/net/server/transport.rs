//! The plain text of a connection as hyper reads it: judged on the way in, closed with care.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{
    activity::{Activity, Awaits},
    wire_guard::{Part, WireGuard},
};
use crate::vocabulary::Protocol;

/// A connection's plain text.
#[derive(Debug)]
pub(super) struct Transport<T> {
    io: T,
    inlet: Inlet,
    activity: Arc<Activity>,
    linger: Duration,
    closing: Closing,
}

/// What is done with the bytes that arrive.
#[derive(Debug)]
enum Inlet {
    /// HTTP/1.1: judged.
    Judged(WireGuard),
    /// HTTP/1.1 after a violation: so much of [`POISON`] has been read.
    Poisoned(usize),
    /// HTTP/2 before so many bytes of its opening have come.
    Opening(usize),
    /// HTTP/2.
    Open,
}

#[derive(Debug)]
enum Closing {
    No,
    Lingering(Pin<Box<Sleep>>),
    Done,
}

/// What hyper reads in place of a violation and all that follows, until the end of the stream.
///
/// In every state of hyper's parsers it is an error before it is the end of a message: NUL is
/// allowed nowhere but in a chunk extension, and LF not there. It ends with an empty line,
/// because hyper parses a head that came in pieces only when it looks complete.
const POISON: &[u8] = b"\0\n\r\n\r\n";

/// The HTTP/2 preface and the header of the SETTINGS frame that must follow it.
const HTTP2_OPENING: usize = 24 + 9;

impl<T> Transport<T> {
    pub(super) fn new(
        io: T,
        protocol: Protocol,
        activity: Arc<Activity>,
        linger: Duration,
    ) -> Self {
        let inlet = match protocol {
            Protocol::Http1 => Inlet::Judged(WireGuard::new()),
            Protocol::Http2 => Inlet::Opening(HTTP2_OPENING),
        };
        Self { io, inlet, activity, linger, closing: Closing::No }
    }

    /// Whether the client may still be sending what nobody is going to read.
    fn is_mid_message(&self) -> bool {
        match &self.inlet {
            Inlet::Judged(guard) => guard.part() != Part::Between,
            Inlet::Poisoned(_) => true,
            Inlet::Opening(_) | Inlet::Open => false,
        }
    }

    /// Judges what was read behind `start`.
    fn receive(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let received = &buf.filled()[start..];
        if received.is_empty() {
            return;
        }
        match &mut self.inlet {
            Inlet::Judged(guard) => {
                let judged = guard.inspect(received);
                self.activity.set_complete(guard.complete());
                self.activity.await_next(match guard.part() {
                    Part::Head if judged.is_ok() => Awaits::Head,
                    Part::Head | Part::Between | Part::Body => Awaits::Request,
                });
                if let Err(offset) = judged {
                    buf.set_filled(start + offset);
                    self.inlet = Inlet::Poisoned(poison(buf, 0));
                }
            }
            Inlet::Opening(missing) if received.len() < *missing => {
                *missing -= received.len();
                self.activity.await_next(Awaits::Head);
            }
            Inlet::Opening(_) => {
                self.inlet = Inlet::Open;
                self.activity.await_next(Awaits::Request);
            }
            Inlet::Poisoned(_) | Inlet::Open => {}
        }
    }
}

impl<T: AsyncRead + Unpin> Transport<T> {
    /// Reads and forgets what still comes. A socket that is closed with bytes unread is reset,
    /// and the reset may overtake the reply that says why.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Transport<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Inlet::Poisoned(given) = &mut this.inlet {
            *given = poison(buf, *given);
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.receive(buf, start);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.closing {
                Closing::No => {
                    ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                    this.closing = if this.is_mid_message() {
                        Closing::Lingering(Box::pin(tokio::time::sleep(this.linger)))
                    } else {
                        Closing::Done
                    };
                }
                Closing::Lingering(deadline) => {
                    if deadline.as_mut().poll(cx).is_pending() {
                        ready!(this.poll_drain(cx));
                    }
                    this.closing = Closing::Done;
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Gives what of the poison was not given yet and has room; the answer is how much was given.
fn poison(buf: &mut ReadBuf<'_>, given: usize) -> usize {
    let rest = &POISON[given..];
    let part = &rest[..rest.len().min(buf.remaining())];
    buf.put_slice(part);
    given + part.len()
}
