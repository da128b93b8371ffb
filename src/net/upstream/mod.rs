//! The client of an upstream: a bounded pool of HTTP/1.1 connections, plain or TLS.
//!
//! Why not hyper-util's legacy client: it has one lock for all hosts, no cap on connections, no
//! connection age and no deadline over the TLS handshake. This pool is for one upstream and keeps
//! these rules:
//!
//! 1. A request holds a slot from before its connection is chosen until its reply has ended, so
//!    there are never more connections in use than slots, and as an idle connection goes back
//!    before its slot is freed, never more open ones either. (A connection that is being closed
//!    may overlap its successor for a moment.)
//! 2. The connection used last is reused first, so that the others grow old and are closed.
//! 3. Every wait has a deadline: for a slot, for the connection, for the reply's head, and for
//!    each next piece of its body.
//! 4. A connection is reused only when its reply ended cleanly. Whatever is dropped early, late or
//!    broken is closed.
//! 5. A request that provably was never written is sent again once, whatever its method. One that
//!    may have been written is sent again only if it is safe, has no body, met a connection that
//!    had idled, and no byte of a reply came; and that only under a budget.
//! 6. An upstream that fails again and again is left alone but for one request in an interval.
//!
//! There are no redirects here, no cookies and no knowledge of any header but `Host`.

mod alarm;
pub mod breaker;
mod budget;
mod config;
mod dial;
mod exchange;
mod link;
mod origin;
mod pool;
mod reply;
mod wire;

#[cfg(test)]
mod tests;

pub use config::{Config, Invalid};
pub use dial::TlsSetupError;
pub use exchange::{UpstreamError, never};
pub use origin::{Host, Origin, OriginError, Scheme};
pub use pool::{LeaseError, Upstream};
pub use reply::{ReplyBody, ReplyBodyError};

/// Any error, as bodies of requests bring their own.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can be the body of a request to an upstream.
///
/// Its error must be convertible into a [`BoxError`] too, but only [`Upstream::new`] asks for that:
/// asked for by every method, it would keep the futures of a body whose error *is* a `BoxError`
/// from being `Send` in the eyes of the compiler.
pub trait RequestBody: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static {}

impl<T: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static> RequestBody for T {}
