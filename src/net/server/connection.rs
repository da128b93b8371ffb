//! One connection: its handshake, its service by hyper, and how it ends.

use std::{
    cell::RefCell,
    convert::Infallible,
    error::Error,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use bytes::Bytes;
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use tokio::{
    net::TcpStream,
    task::unconstrained,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    Arrival, Front, activity::Activity, admission::Admitted, after, body::Patience, exchange::Door,
    stall::StallGuard, transport::Transport,
};
use crate::{
    metrics::{Metrics, connections::Handshake},
    vocabulary::{ConnectionEnd, Protocol},
};

type Stream = TlsStream<StallGuard<TcpStream>>;

/// What a connection has come to.
enum Event {
    Ended(hyper::Result<()>),
    Shutdown,
    Abort,
    Timer,
}

/// Serves a connection to its end and counts why it ended.
pub(super) async fn serve<S, B>(
    front: Arc<Front>,
    tcp: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
    service: S,
    leave: CancellationToken,
) where
    S: tower::Service<Arrival, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let activity = Activity::new(Instant::now());
    let opened = tokio::select! {
        opened = handshake(&front, tcp, &activity) => opened,
        () = leave.cancelled() => Err(ConnectionEnd::Drained),
    };
    let end = match opened {
        Ok((stream, protocol)) => {
            activity.opened(Instant::now());
            let _raised = Metrics::raise(front.metrics.connections.open.of(protocol));
            let config = &front.config;
            let io = Transport::new(stream, protocol, activity.clone(), config.linger_timeout);
            let io = TokioIo::new(io);
            let door = Door {
                service: RefCell::new(service),
                peer,
                protocol,
                activity: activity.clone(),
                patience: Patience { idle: config.body_idle_timeout, total: config.body_timeout },
                piece: match protocol {
                    Protocol::Http1 => usize::MAX,
                    Protocol::Http2 => config.http2_send_buffer.get().max(1),
                },
            };
            // Boxed apart, so that an idle connection costs the memory of its own protocol.
            match protocol {
                Protocol::Http1 => {
                    let connection = front.http1.serve_connection(io, door);
                    let finish = http1::Connection::graceful_shutdown;
                    Box::pin(drive(connection, finish, &front, &activity, &leave)).await
                }
                Protocol::Http2 => {
                    let connection = front.http2.serve_connection(io, door);
                    let finish = http2::Connection::graceful_shutdown;
                    Box::pin(drive(connection, finish, &front, &activity, &leave)).await
                }
            }
        }
        Err(end) => end,
    };
    front.metrics.connections.ends.of(end).inc();
    drop(admitted);
}

/// A handshake, when it is its turn, within its deadline.
async fn handshake(
    front: &Front,
    tcp: TcpStream,
    activity: &Arc<Activity>,
) -> Result<(Stream, Protocol), ConnectionEnd> {
    let config = &front.config;
    let turn = timeout(config.handshake_queue_timeout, front.handshakes.acquire()).await;
    let Ok(Ok(_turn)) = turn else { return Err(ConnectionEnd::TooManyHandshakes) };
    let _raised = Metrics::raise(&front.metrics.connections.handshakes_in_flight);
    let io = StallGuard::new(tcp, config.write_stall_timeout, activity.clone());
    let done = timeout(config.handshake_timeout, front.acceptor.accept(io)).await;
    let count = |outcome| front.metrics.connections.handshakes.of(outcome).inc();
    match done {
        Ok(Ok(mut stream)) => {
            let session = stream.get_mut().1;
            session.set_buffer_limit(Some(config.tls_buffer.get()));
            count(match session.handshake_kind() {
                Some(HandshakeKind::Resumed) => Handshake::Resumed,
                _ => Handshake::Full,
            });
            let protocol = match session.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                // Some clients offer nothing; they speak HTTP/1.1.
                _ => Protocol::Http1,
            };
            Ok((stream, protocol))
        }
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn Error, "TLS handshake failed");
            count(Handshake::Failed);
            Err(ConnectionEnd::Handshake)
        }
        Err(_elapsed) => {
            count(Handshake::TimedOut);
            Err(ConnectionEnd::Handshake)
        }
    }
}

/// Runs a connection until it ends by itself or by a deadline; `finish` makes it finish what has
/// begun and take nothing new.
///
/// One timer serves all deadlines. It is only ever moved to an earlier time, or when it has fired:
/// a request moves no timer. Timer and shutdown keep the waker that they were asked with first, which
/// is the task's, so they are asked again only when they have come to pass, or the timer was moved: a
/// request costs a look at each.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    finish: impl Fn(Pin<&mut C>),
    front: &Front,
    activity: &Activity,
    leave: &CancellationToken,
) -> ConnectionEnd {
    let config = &front.config;
    let mut connection = pin!(connection);
    let mut shutdown = pin!(leave.cancelled());
    let mut abort = pin!(front.abort.cancelled());
    let mut leaving = None;
    let (mut awaits_shutdown, mut awaits_timer) = (false, false);
    // The greatest age, and once the connection leaves, the end of its grace.
    let mut last = after(Instant::now(), front.max_age());
    let mut timer = pin!(sleep_until(last.min(after(Instant::now(), config.first_byte_timeout))));
    loop {
        // A connection that leaves is idle when all is said; it has its grace to close.
        let due = || activity.due(config).filter(|(_, end)| leaving.is_none() || !is_gentle(*end));
        let event = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Event::Ended(result));
            }
            if leaving.is_none() && (!awaits_shutdown || front.draining.load(Ordering::Acquire)) {
                if shutdown.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Shutdown);
                }
                awaits_shutdown = true;
            }
            if leaving.is_some() && abort.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Abort);
            }
            if let Some((at, _)) = due().filter(|(at, _)| *at < timer.deadline()) {
                timer.as_mut().reset(at);
                awaits_timer = false;
            }
            if awaits_timer && !timer.is_elapsed() {
                return Poll::Pending;
            }
            // A timer that is polled by a task without budget left keeps no waker.
            let asked = pin!(unconstrained(timer.as_mut())).poll(cx);
            awaits_timer = asked.is_pending();
            asked.map(|()| Event::Timer)
        })
        .await;
        let now = Instant::now();
        let end = match event {
            Event::Ended(result) => return ended(result, activity, leaving),
            Event::Shutdown | Event::Abort => Some(ConnectionEnd::Drained),
            Event::Timer if now >= last => Some(ConnectionEnd::MaxAge),
            Event::Timer => due().filter(|(at, _)| *at <= now).map(|(_, end)| end),
        };
        match (end, leaving) {
            (Some(end), None) if is_gentle(end) && !activity.is_unused() => {
                leaving = Some(end);
                last = after(now, config.drain_timeout);
                finish(connection.as_mut());
            }
            (Some(end), None) => return end,
            (Some(_), Some(reason)) => return reason,
            (None, _) => {}
        }
        let recheck = after(now, config.idle_timeout);
        let next = activity.due(config).map_or(recheck, |(at, _)| at);
        timer.as_mut().reset(if next > now { next.min(last) } else { recheck.min(last) });
        awaits_timer = false;
    }
}

/// Whether a connection that ends for this reason may first finish what it has begun.
fn is_gentle(end: ConnectionEnd) -> bool {
    matches!(end, ConnectionEnd::Drained | ConnectionEnd::MaxAge | ConnectionEnd::Idle)
}

/// Why a connection is over that hyper has ended.
fn ended(
    result: hyper::Result<()>,
    activity: &Activity,
    leaving: Option<ConnectionEnd>,
) -> ConnectionEnd {
    let end = match result {
        Ok(()) => ConnectionEnd::Closed,
        Err(_) if activity.is_stalled() => ConnectionEnd::WriteStalled,
        Err(error) => broken(&error),
    };
    // A client that is told to go may as well hang up.
    leaving.filter(|_| end == ConnectionEnd::Closed).unwrap_or(end)
}

/// Why a connection broke, as hyper tells it.
fn broken(error: &hyper::Error) -> ConnectionEnd {
    tracing::debug!(error = error as &dyn Error, "connection broke");
    let http2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    if error.is_parse() || http2.is_some_and(h2::Error::is_library) {
        ConnectionEnd::Protocol
    } else if error.is_timeout() {
        ConnectionEnd::Unresponsive
    } else if error.is_user() {
        ConnectionEnd::Aborted
    } else {
        ConnectionEnd::Closed
    }
}
