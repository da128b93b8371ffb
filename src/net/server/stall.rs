//! A socket that gives up on a client which does not read.
//!
//! It stands below TLS, where progress is what the kernel took: above, one write may stay pending
//! for long although the client reads all the time.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{activity::Activity, after};

/// A stream whose writes fail when none makes progress for so long.
#[derive(Debug)]
pub(super) struct StallGuard<T> {
    io: T,
    patience: Duration,
    activity: Arc<Activity>,
    /// Made when a write has to wait for the first time, and kept: who waits once waits again.
    deadline: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<T> StallGuard<T> {
    pub(super) fn new(io: T, patience: Duration, activity: Arc<Activity>) -> Self {
        Self { io, patience, activity, deadline: None, waiting: false }
    }

    fn judge(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            return self.wait(cx).map(Err);
        }
        if self.waiting {
            self.waiting = false;
            self.activity.set_writing(false);
        }
        written
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let until = after(Instant::now(), self.patience);
        let deadline =
            self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.waiting {
            self.waiting = true;
            self.activity.set_writing(true);
            deadline.as_mut().reset(until);
        }
        deadline.as_mut().poll(cx).map(|()| {
            self.activity.set_stalled();
            io::ErrorKind::TimedOut.into()
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallGuard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallGuard<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        let written = match bufs {
            // One record, as most replies are: the kernel sends it with less ado than a list of one.
            [only] => io.poll_write(cx, only),
            _ => io.poll_write_vectored(cx, bufs),
        };
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
