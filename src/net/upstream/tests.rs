//! The pool against real sockets.

mod bounds;
mod connections;
mod origin;
mod replay;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

use self::origin::TestOrigin;
use super::{BoxError, Config, ReplyBody, ReplyBodyError, Upstream, UpstreamError, never};
use crate::{
    metrics::{Metrics, upstreams::UpstreamOutcome},
    vocabulary::UpstreamCause,
};

type TestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A client of a test's origin.
struct Client {
    upstream: Arc<Upstream<TestBody>>,
    metrics: Arc<Metrics>,
    hooked: AtomicUsize,
}

/// A short time that a test waits for what must not happen, or lets pass.
const A_MOMENT: Duration = Duration::from_millis(60);

/// A long time that no test ever waits out.
const TOO_LONG: Duration = Duration::from_secs(10);

impl Client {
    fn of(origin: &TestOrigin, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::at(&format!("http://{}", origin.address), adjust)
    }

    fn at(url: &str, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { url: url.to_owned(), ..Config::default() };
        adjust(&mut config);
        let metrics = Arc::new(Metrics::new());
        let upstream =
            Upstream::new(config.validate().expect("valid settings"), config, Arc::clone(&metrics));
        Self { upstream: upstream.expect("TLS"), metrics, hooked: AtomicUsize::new(0) }
    }

    async fn send(
        &self,
        request: Request<TestBody>,
    ) -> Result<Response<ReplyBody<TestBody>>, UpstreamError> {
        self.send_or_replay(request, never).await
    }

    async fn send_or_replay(
        &self,
        request: Request<TestBody>,
        replay: impl FnOnce() -> Option<Request<TestBody>>,
    ) -> Result<Response<ReplyBody<TestBody>>, UpstreamError> {
        let on_send = || {
            self.hooked.fetch_add(1, SeqCst);
        };
        let exchange = self.upstream.exchange(UpstreamCause::Pass, request, on_send, replay);
        tokio::time::timeout(TOO_LONG, exchange).await.expect("every wait is bounded")
    }

    /// Sends a GET and reads the whole reply: the number of its connection and its body.
    async fn get(&self) -> (usize, String) {
        let reply = self.send(get()).await.expect("a reply");
        let number = reply.headers().get("x-connection").map_or("0", |v| v.to_str().expect("text"));
        (number.parse().expect("a number"), text(reply).await.expect("a body"))
    }

    fn count(&self, cause: UpstreamCause, outcome: UpstreamOutcome) -> u64 {
        self.metrics.upstreams.requests.of(cause, outcome).get()
    }
}

fn get() -> Request<TestBody> {
    request(Method::GET, "")
}

fn post() -> Request<TestBody> {
    request(Method::POST, "written")
}

fn request(method: Method, body: &'static str) -> Request<TestBody> {
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    let mut request = Request::new(body.map_err(Into::into).boxed_unsync());
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static("https://elsewhere.example/path?query");
    request
}

async fn text(reply: Response<ReplyBody<TestBody>>) -> Result<String, ReplyBodyError> {
    let body = reply.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).expect("text"))
}

/// Waits until something becomes true.
async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(TOO_LONG, wait).await.expect("it becomes true");
}
