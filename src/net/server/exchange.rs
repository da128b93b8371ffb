//! One request and its reply: from hyper's request to the service's [`Arrival`], and the way back.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{
    Arrival,
    activity::{Activity, Exchange},
    after,
    body::{ClientBody, Patience},
};
use crate::vocabulary::Protocol;
use bytes::Bytes;
use http::{HeaderValue, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tokio_util::task::TaskTracker;

/// The service of one connection, as hyper calls it.
///
/// The stack is called where it stands: it is always ready (`layers/mod.rs` says why), so no request
/// needs a clone of its own to wait with, which would cost a counted reference for each layer.
#[derive(Debug)]
pub(super) struct Door<S> {
    pub(super) service: RefCell<S>,
    pub(super) peer: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) activity: Arc<Activity>,
    pub(super) patience: Patience,
    /// The largest piece of a reply that is given to hyper at once.
    pub(super) piece: usize,
}

pin_project! {
    /// A reply on its way.
    #[derive(Debug)]
    pub(super) struct Answering<F> {
        #[pin]
        service: F,
        // Moves on into the reply.
        exchange: Option<Exchange>,
        protocol: Protocol,
        piece: usize,
    }
}

pin_project! {
    /// The body of a reply.
    ///
    /// A large piece is cut, because hyper hands over whatever it gets: a cached megabyte would
    /// lie in an HTTP/2 stream's buffer whole, beyond the bound and beyond the stall deadline.
    #[derive(Debug)]
    pub(super) struct Reply<B> {
        #[pin]
        body: B,
        rest: Bytes,
        piece: usize,
        exchange: Exchange,
    }
}

/// Runs the streams of HTTP/2 connections, each with the stall deadline.
///
/// TCP tells nothing about one stream: a client that opens its window for none but pings keeps
/// the connection alive and the reply in memory.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor {
    pub(super) tasks: TaskTracker,
    pub(super) patience: Duration,
}

pin_project! {
    struct StreamTask<F> {
        #[pin]
        stream: F,
        patience: Duration,
        // Made when a stream waits for its client for the first time.
        deadline: Option<Pin<Box<Sleep>>>,
        // The pieces that had been taken when the deadline was set.
        seen: Option<u32>,
    }
}

/// How far the reply of a stream is.
#[derive(Debug, Default)]
struct Progress {
    pieces: Cell<u32>,
    /// The last piece was given, and no other was asked for: it waits for the client's window.
    with_client: Cell<bool>,
}

tokio::task_local! {
    /// Where a reply's body, deep inside hyper's future, tells the task around it how far it is.
    static PROGRESS: Progress;
}

impl<S, B> hyper::service::Service<http::Request<Incoming>> for Door<S>
where
    S: tower::Service<Arrival, Response = http::Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    type Response = http::Response<Reply<B>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let request = request.map(|incoming| ClientBody::new(incoming, self.patience));
        let arrival = Arrival { peer: self.peer, protocol: self.protocol, request };
        Answering {
            exchange: Some(self.activity.begin()),
            service: self.service.borrow_mut().call(arrival),
            protocol: self.protocol,
            piece: self.piece,
        }
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<http::Response<B>, Infallible>>,
{
    type Output = Result<http::Response<Reply<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.service.poll(cx));
        let exchange = this.exchange.take().expect("a future is not polled after it is ready");
        if *this.protocol == Protocol::Http1 && exchange.is_unfinished() {
            // hyper will close, but says so only when it knows already.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let piece = *this.piece;
        Poll::Ready(Ok(response.map(|body| Reply { body, rest: Bytes::new(), piece, exchange })))
    }
}

impl<B: Body<Data = Bytes>> Reply<B> {
    fn poll_piece(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if this.rest.is_empty() {
            let Some(frame) = ready!(this.body.poll_frame(cx)?) else { return Poll::Ready(None) };
            match frame.into_data() {
                Ok(data) => *this.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = this.rest.len().min(*this.piece);
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(length)))))
    }
}

impl<B: Body<Data = Bytes>> Body for Reply<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = self.poll_piece(cx);
        // Unset on HTTP/1.1, where the socket itself tells that the client does not read.
        let _ = PROGRESS.try_with(|progress| {
            progress.with_client.set(polled.is_ready());
            progress.pieces.set(progress.pieces.get().wrapping_add(1));
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let task = StreamTask { stream, patience: self.patience, deadline: None, seen: None };
        self.tasks.spawn(PROGRESS.scope(Progress::default(), task));
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    /// Ends early, and so resets the stream, when the client lets it wait for too long.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let waits = PROGRESS.with(|p| p.with_client.get().then(|| p.pieces.get()));
        if waits.is_none() {
            *this.seen = None;
            return Poll::Pending;
        }
        let until = after(Instant::now(), *this.patience);
        let deadline =
            this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if *this.seen != waits {
            *this.seen = waits;
            deadline.as_mut().reset(until);
        }
        deadline.as_mut().poll(cx)
    }
}
