//! A connection that is listened to although nobody listens at its other end.
//!
//! A server that has refused a request may close before it has read all of it: what is written then
//! fails, while the answer that says why has already come, or is on its way. So a write that fails is
//! taken to be done, and the answer, or that there is none, is what reading says.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Takes what nobody reads any more.
pub(super) struct Hearing<S> {
    stream: S,
    unread: bool,
}

impl<S> Hearing<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, unread: false }
    }

    /// What has come of writing, if it is this much that was to be written.
    fn written<T>(&mut self, result: io::Result<T>, all: T) -> io::Result<T> {
        match result.as_ref().map_err(io::Error::kind) {
            Err(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                self.unread = true;
                Ok(all)
            }
            Ok(_) | Err(_) => result,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hearing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hearing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unread {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = parts.iter().map(|part| part.len()).sum();
        if self.unread {
            return Poll::Ready(Ok(all));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts));
        Poll::Ready(self.written(result, all))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.written(result, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http::{Request, StatusCode};
    use http_body_util::Full;

    use super::{super::answer, *};

    /// A server that reads the beginning of a request, answers, and closes.
    #[derive(Default)]
    struct Curt {
        has_answered: bool,
        has_been_heard: bool,
        waiting: Option<Waker>,
    }

    const ANSWER: &[u8] = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\n\r\nno";

    impl AsyncRead for Curt {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.has_answered {
                self.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if !std::mem::replace(&mut self.has_been_heard, true) {
                buffer.put_slice(ANSWER);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Curt {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if std::mem::replace(&mut self.has_answered, true) {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            self.waiting.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Ok(bytes.len().min(100)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_answer_that_came_is_heard_though_the_request_was_not_read() {
        let request = || Request::new(Full::from(vec![b' '; 1 << 20]));
        let unheard = answer(Curt::default(), request(), 100).await;
        assert!(unheard.is_err(), "else nothing is shown by the other: {unheard:?}");
        let heard = answer(Hearing::new(Curt::default()), request(), 100).await.expect("heard");
        assert_eq!(
            (heard.status(), &heard.body()[..]),
            (StatusCode::PAYLOAD_TOO_LARGE, &b"no"[..])
        );
    }
}
