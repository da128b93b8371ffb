//! One connection to an upstream, as its user holds it.
//!
//! hyper's side of it runs in a task of its own, which costs less than polling it inline. The task
//! ends when the connection does; once its user has let go, it has a moment to say good-bye.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    BoxError, RequestBody,
    alarm::Alarm,
    wire::{Heard, Stream, Wire},
};
use crate::metrics::Raised;

/// An open connection; dropped, it is closed.
pub(super) struct Link<B> {
    sender: http1::SendRequest<B>,
    alarm: Alarm,
    heard: Heard,
    retire_at: Instant,
    _held: oneshot::Sender<Infallible>,
}

/// Why a request got no reply.
pub(super) enum SendError<B> {
    /// Not a byte of it was written, and here it is again.
    NotSent(Box<Request<B>>, hyper::Error),
    /// No head of a reply in time.
    TimedOut,
    /// The connection broke, or the body of the request did.
    Broken(hyper::Error),
}

/// How long a connection may take to become ready after its last reply: a few microseconds,
/// unless the reply came before its request was written whole.
const SETTLING: Duration = Duration::from_millis(50);

/// How long a connection that nobody holds may take to close.
const CLOSING: Duration = Duration::from_secs(1);

impl<B: RequestBody> Link<B> {
    /// Begins to speak HTTP on a stream.
    pub(super) async fn open(
        stream: Stream,
        http: &http1::Builder,
        retire_at: Instant,
        open: Raised,
    ) -> hyper::Result<Self>
    where
        B::Error: Into<BoxError>,
    {
        let heard = Heard::default();
        let io = TokioIo::new(Wire::new(stream, heard.clone()));
        let (sender, connection) = http.handshake(io).await?;
        let (held, let_go) = oneshot::channel();
        tokio::spawn(drive(connection, let_go, open));
        Ok(Self { sender, alarm: Alarm::default(), heard, retire_at, _held: held })
    }

    /// Waits for the moment that the end of the last exchange takes; false if it does not end.
    pub(super) async fn settled(&mut self) -> bool {
        self.sender.is_ready()
            || timeout(SETTLING, self.sender.ready()).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Sends a request and waits for the head of its reply.
    pub(super) async fn send(
        &mut self,
        request: Request<B>,
        patience: Duration,
    ) -> Result<Response<Incoming>, SendError<B>> {
        self.heard.forget();
        let deadline = Instant::now() + patience;
        let mut reply = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| match reply.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(SendError::from)),
            Poll::Pending => self.alarm.poll(deadline, cx).map(|()| Err(SendError::TimedOut)),
        })
        .await
    }
}

impl<B> Link<B> {
    /// Whether it is open and not too old.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        now < self.retire_at && !self.sender.is_closed()
    }

    /// Ready when `at` has passed.
    pub(super) fn poll_deadline(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(at, cx)
    }

    /// Whether a byte came back since the last request.
    pub(super) fn heard_anything(&self) -> bool {
        self.heard.anything()
    }
}

impl<B> From<TrySendError<Request<B>>> for SendError<B> {
    fn from(mut error: TrySendError<Request<B>>) -> Self {
        match error.take_message() {
            Some(request) => Self::NotSent(Box::new(request), error.into_error()),
            None => Self::Broken(error.into_error()),
        }
    }
}

impl<B> fmt::Debug for SendError<B> {
    /// Without the request, which holds a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(_, error) => write!(f, "NotSent({error:?})"),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::Broken(error) => write!(f, "Broken({error:?})"),
        }
    }
}

/// Runs a connection until it ends, or until shortly after it was let go.
///
/// Its error is dropped: whoever waits for a reply or a body has been told by hyper.
async fn drive<B: RequestBody>(
    connection: http1::Connection<TokioIo<Wire>, B>,
    let_go: oneshot::Receiver<Infallible>,
    _open: Raised,
) where
    B::Error: Into<BoxError>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        _ = &mut connection => return,
        _ = let_go => {}
    }
    let _ = timeout(CLOSING, connection).await;
}
