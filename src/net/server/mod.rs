//! The front door: accepts connections, bounds each of them in time and number, and hands every
//! request to one service.
//!
//! hyper frames the messages; everything that it leaves open is bounded here. Each file holds one
//! bound: `admission` how many connections, `activity` how long one may wait, `stall` and
//! `exchange` how long a reply may lie unread, `body` how long a request body may take,
//! `wire_guard` and `transport` which bytes are believed to be HTTP/1.1.

mod activity;
mod admission;
mod body;
mod connection;
mod exchange;
mod stall;
mod transport;
mod wire_guard;

use std::{
    collections::hash_map::RandomState,
    convert::Infallible,
    error::Error,
    hash::BuildHasher,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::body::{ClientBody, ClientBodyError};
use self::{admission::Admission, exchange::StreamExecutor};
use super::tls::Tls;
use crate::{metrics::Metrics, settings::ByteSize, vocabulary::Protocol};

crate::section! {
    /// The data listener and what one connection of it may take.
    pub struct Config {
        /// Where clients connect, `ADDRESS:PORT`.
        pub listen: SocketAddr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)),
        /// Threads that serve; 0 is one for each core. One thread alone costs least for each
        /// request.
        pub threads: usize = 0,
        /// Connections that the kernel holds until they are accepted.
        pub backlog: u32 = 1024,
        /// Connections in all; further ones are closed at once.
        pub max_connections: usize = 20_000,
        /// Connections from one IPv4 address or IPv6 /64; further ones are closed at once.
        pub max_connections_per_address: usize = 1024,
        /// TLS handshakes under way at the same time; further ones wait.
        pub max_handshakes: usize = 256,
        /// How long a connection waits for its handshake to begin.
        pub handshake_queue_timeout: Duration = Duration::from_secs(5),
        /// How long a TLS handshake may take.
        pub handshake_timeout: Duration = Duration::from_secs(10),
        /// How long after its handshake a connection may be silent.
        pub first_byte_timeout: Duration = Duration::from_secs(10),
        /// How long the head of a request may take from its first byte, and how long the HTTP/2
        /// preface.
        pub head_timeout: Duration = Duration::from_secs(10),
        /// How long a connection is kept without a request.
        pub idle_timeout: Duration = Duration::from_secs(75),
        /// How long the next piece of a request body may take.
        pub body_idle_timeout: Duration = Duration::from_secs(20),
        /// How long a whole request body may take, from when it is first waited for.
        pub body_timeout: Duration = Duration::from_secs(300),
        /// How long a client may leave a reply unread.
        pub write_stall_timeout: Duration = Duration::from_secs(30),
        /// How long after a refused or unread request the rest of it is read and dropped, so that
        /// the client gets the reply.
        pub linger_timeout: Duration = Duration::from_secs(1),
        /// The age at which a connection is closed when its requests are answered.
        pub max_age: Duration = Duration::from_secs(3600),
        /// The most that is added to `max_age` by chance, so that clients do not come back at
        /// once.
        pub max_age_jitter: Duration = Duration::from_secs(600),
        /// How long the process goes on accepting after it has said that it is not ready, so that
        /// load balancers notice first.
        pub drain_notice: Duration = Duration::ZERO,
        /// How long requests that have begun may take when a connection or the process ends;
        /// above the upstream's deadline, below the patience of whoever stops the process.
        pub drain_timeout: Duration = Duration::from_secs(75),
        /// Plain text that TLS takes per connection before it has to be written.
        pub tls_buffer: ByteSize = ByteSize::kib(256),
        /// The largest head of an HTTP/1.1 request.
        pub http1_max_head: ByteSize = ByteSize::kib(32),
        /// The most header lines of an HTTP/1.1 request; above 100 costs an allocation a request.
        pub http1_max_headers: usize = 100,
        /// What is buffered per HTTP/1.1 connection, each way; at least 8 KiB.
        pub http1_buffer: ByteSize = ByteSize::kib(256),
        /// Streams that an HTTP/2 client may have open at a time.
        pub http2_max_streams: u32 = 100,
        /// What an HTTP/2 client may send on one stream before it is read.
        pub http2_stream_window: ByteSize = ByteSize::kib(256),
        /// What an HTTP/2 client may send on all streams before it is read.
        pub http2_connection_window: ByteSize = ByteSize::mib(1),
        /// What is buffered of the reply on one HTTP/2 stream.
        pub http2_send_buffer: ByteSize = ByteSize::kib(64),
        /// The largest list of headers of an HTTP/2 request.
        pub http2_max_head: ByteSize = ByteSize::kib(16),
        /// Streams that an HTTP/2 client may have reset before they were looked at.
        pub http2_max_pending_resets: usize = 20,
        /// Streams that an HTTP/2 client may make us reset by breaking the protocol.
        pub http2_max_local_resets: usize = 100,
        /// How often an HTTP/2 client is pinged.
        pub http2_ping_interval: Duration = Duration::from_secs(20),
        /// How long an HTTP/2 client may take to answer a ping.
        pub http2_ping_timeout: Duration = Duration::from_secs(20),
    }
}

/// A request that has arrived, with what is known of where it came from.
#[derive(Debug)]
pub struct Arrival {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// What the connection speaks.
    pub protocol: Protocol,
    /// The request.
    pub request: http::Request<ClientBody>,
}

/// What all connections share.
struct Front {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    acceptor: TlsAcceptor,
    admission: Arc<Admission>,
    handshakes: Semaphore,
    http1: http1::Builder,
    http2: http2::Builder<StreamExecutor>,
    /// Chance enough for [`Front::max_age`].
    chance: RandomState,
    tasks: TaskTracker,
    /// Connections are to finish what has begun.
    leave: CancellationToken,
    /// Whether that may have been cancelled: a look at this takes no lock.
    draining: AtomicBool,
    /// The drain period is over.
    abort: CancellationToken,
}

/// The longest wait after an error of `accept` that waiting may heal.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How long tasks that were told to end may take to do so.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// A listener on the configured address, whose port other processes may not share.
pub fn listen(config: &Config) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(config.listen), Type::STREAM, None)?;
    // A restart must not wait for connections of the last process to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&config.listen.into())?;
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Serves connections until `shutdown` is cancelled, and returns when every request whose head had
/// been read is answered, at the latest when the drain period is over.
pub async fn serve<S, B>(
    listener: TcpListener,
    tls: Arc<Tls>,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    service: S,
    shutdown: CancellationToken,
) where
    S: tower::Service<Arrival, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let front = Arc::new(Front::new(&tls, config, metrics));
    while let Some(accepted) = shutdown.run_until_cancelled(accept(&listener)).await {
        let (tcp, peer) = accepted;
        let admitted = match front.admission.admit(peer) {
            Ok(admitted) => admitted,
            Err(end) => {
                front.metrics.connections.ends.of(end).inc();
                continue;
            }
        };
        // A token of its own: polling a shared one would make all connections meet at its lock.
        let leave = front.leave.child_token();
        let connection =
            connection::serve(Arc::clone(&front), tcp, peer, admitted, service.clone(), leave);
        front.tasks.spawn(connection);
    }
    drop(listener);
    front.drain().await;
}

/// The next connection. What goes wrong with one connection is passed over; when the process or
/// the system has no more descriptors or memory, it waits instead of spinning.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut backoff = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                // Replies are written whole; waiting to fill a packet would only delay them.
                if tcp.set_nodelay(true).is_ok() {
                    return (tcp, peer);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "cannot accept connections");
                sleep(backoff).await;
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
            }
        }
    }
}

/// Errors that a connection brought along when it was taken from the queue.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A moment after another; a wait too long to be represented is one that nobody sees the end of.
fn after(moment: Instant, wait: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(30 * 365 * 86_400);
    moment + wait.min(LONG)
}

impl Front {
    fn new(tls: &Tls, config: Arc<Config>, metrics: Arc<Metrics>) -> Self {
        let tasks = TaskTracker::new();
        let executor =
            StreamExecutor { tasks: tasks.clone(), patience: config.write_stall_timeout };
        Self {
            acceptor: tls.acceptor(),
            admission: Admission::new(config.max_connections, config.max_connections_per_address),
            handshakes: Semaphore::new(config.max_handshakes.min(Semaphore::MAX_PERMITS)),
            http1: http1_builder(&config),
            http2: http2_builder(&config, executor),
            chance: RandomState::new(),
            tasks,
            leave: CancellationToken::new(),
            draining: AtomicBool::new(false),
            abort: CancellationToken::new(),
            config,
            metrics,
        }
    }

    /// The age at which a connection has to go, another one for each.
    fn max_age(&self) -> Duration {
        let most = u64::try_from(self.config.max_age_jitter.as_millis()).unwrap_or(u64::MAX);
        let chance = self.chance.hash_one(Instant::now()) % most.saturating_add(1);
        self.config.max_age.saturating_add(Duration::from_millis(chance))
    }

    async fn drain(&self) {
        // In this order: a connection that is woken by the second must find the first. Otherwise it might
        // not ask its token again, and outlive the drain period.
        self.draining.store(true, Ordering::Release);
        self.leave.cancel();
        self.tasks.close();
        if timeout(self.config.drain_timeout, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "the drain period is over");
            self.abort.cancel();
            // Only a task that never yields can be left then; the process ends nevertheless.
            let _ = timeout(LAST_MOMENT, self.tasks.wait()).await;
        }
    }
}

fn http1_builder(config: &Config) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // `activity` keeps this time without making a timer for each request.
        .header_read_timeout(None)
        // Clients are known that look for `Content-Type` in exactly this spelling.
        .title_case_headers(true)
        .max_header_size(config.http1_max_head.get())
        .max_buf_size(config.http1_buffer.get().max(8 << 10));
    if config.http1_max_headers != 100 {
        builder.max_headers(config.http1_max_headers);
    }
    builder
}

fn http2_builder(config: &Config, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
    // The protocol's own bound of a window.
    let window = |size: ByteSize| u32::try_from(size.0).unwrap_or(u32::MAX).min(i32::MAX as u32);
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.http2_max_streams)
        .initial_stream_window_size(window(config.http2_stream_window))
        .initial_connection_window_size(window(config.http2_connection_window))
        .max_send_buf_size(config.http2_send_buffer.get().min(u32::MAX as usize))
        .max_header_list_size(u32::try_from(config.http2_max_head.0).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(config.http2_max_pending_resets)
        .max_local_error_reset_streams(config.http2_max_local_resets)
        .keep_alive_interval(config.http2_ping_interval)
        .keep_alive_timeout(config.http2_ping_timeout);
    builder
}

#[cfg(test)]
mod tests;
