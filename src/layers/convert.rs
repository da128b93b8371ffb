//! Where an upstream or a route has one format alone: what was asked for in the other is asked for in
//! that, and converted.
//!
//! Above this layer the upstream has both formats, below it the one that it has. A request's body is
//! converted before it is sent, a reply's whatever its status; a page of HTML or nothing at all passes
//! as it is.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{
    HeaderValue, Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG},
};
use http_body_util::BodyExt as _;
use tokio::{sync::Semaphore, task::spawn_blocking};
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, of_body};
use crate::{
    api::{format, target::collection},
    body::{Body, BodyError, Read},
    cache::validator::Provenance,
    call::{Exchange, Outbound},
    net::server::ClientBody,
    rejection::Rejection,
    transcode::{
        errors::content_type,
        forced::{Inflection, body_to_json, body_to_xml, to_json, to_xml},
        json,
        tree::Bounds,
        xml::{self, Mixed},
    },
    vocabulary::Format,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Convert<S> {
    inner: S,
    rules: Arc<Rules>,
}

/// What conversions go by.
#[derive(Debug)]
pub struct Rules {
    /// Singulars.
    pub inflection: Inflection,
    /// The largest reply that is converted.
    pub max_reply: usize,
    /// The largest body of a request that is converted.
    pub max_body: u64,
    turns: Arc<Semaphore>,
}

/// What is done to a reply.
struct Wanted {
    /// The format that was asked for.
    format: Format,
    /// The one that the upstream has.
    native: Format,
    /// What a list is called whose items do not say.
    root: String,
    /// A reply of the cache has tags of its own.
    keeps_tag: bool,
    has_body: bool,
}

type Converted = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>;

/// Converts by these rules.
pub fn layer<S>(rules: Arc<Rules>) -> impl Layer<S, Service = Convert<S>> + Clone {
    layer_fn(move |inner| Convert { inner, rules: Arc::clone(&rules) })
}

impl<S> Service<Outbound> for Convert<S>
where
    S: Service<Outbound, Response = Answer, Error = Rejection> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Either<S::Future, Converted>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, outbound: Outbound) -> Self::Future {
        let (mut inner, rules) = (self.inner.clone(), Arc::clone(&self.rules));
        match outbound {
            Outbound::Fill { key, credential, masked, held, cause } => {
                let Some((format, native)) = key.conversion() else {
                    let fill = Outbound::Fill { key, credential, masked, held, cause };
                    return Either::Left(self.inner.call(fill));
                };
                let root = collection(key.target().path()).to_owned();
                let wanted = Wanted { format, native, root, keeps_tag: true, has_body: true };
                let key = key.in_native();
                Either::Right(Box::pin(async move {
                    let fill = Outbound::Fill { key, credential, masked, held, cause };
                    rules.convert(inner.call(fill).await?, wanted).await
                }))
            }
            Outbound::Forward(mut exchange) => {
                let Some(native) = exchange.native else {
                    return Either::Left(self.inner.call(Outbound::Forward(exchange)));
                };
                let format = exchange.format.filter(|format| *format != native);
                let wanted = format.map(|format| Wanted {
                    format,
                    native,
                    root: collection(exchange.upstream_target().path()).to_owned(),
                    keeps_tag: false,
                    has_body: exchange.call.request.method != Method::HEAD,
                });
                exchange.format = exchange.format.map(|_| native);
                Either::Right(Box::pin(async move {
                    rules.convert_body(&mut exchange, native).await?;
                    let answer = inner.call(Outbound::Forward(exchange)).await?;
                    match wanted {
                        Some(wanted) => rules.convert(answer, wanted).await,
                        None => Ok(answer),
                    }
                }))
            }
        }
    }
}

impl Rules {
    /// Rules for replies and bodies up to these sizes.
    pub fn new(inflection: Inflection, max_reply: usize, max_body: u64) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let turns = Arc::new(Semaphore::new(cores));
        Self { inflection, max_reply, max_body, turns }
    }

    /// Converts the body of a request, if it is in the format that the upstream does not have.
    async fn convert_body(&self, exchange: &mut Exchange, native: Format) -> Result<(), Rejection> {
        let request = &mut exchange.call.request;
        let kind = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind.and_then(format::of_media_type) != Some(native.other()) {
            return Ok(());
        }
        let most = self.max_body;
        let body = std::mem::replace(&mut request.body, ClientBody::empty()).limited(most);
        let body = body.collect().await.map_err(|error| of_body(&error, most))?.to_bytes();
        if body.is_empty() {
            return Ok(());
        }
        let inflection = self.inflection.clone();
        let converted = self.beside(move || match native {
            Format::Json => body_to_json(&body),
            Format::Xml => body_to_xml(&body, &inflection),
        });
        let converted = converted.await.ok_or(Rejection::Panicked)??;
        if converted.is_empty() {
            request.headers.remove(CONTENT_TYPE);
            return Ok(());
        }
        request.body = ClientBody::from_bytes(converted.into());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(native)));
        Ok(())
    }

    /// Does work beside the requests, no more of it at once than there are processors. It keeps its
    /// turn to its end, whoever waits for it.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        spawn_blocking(work).await.ok()
    }

    /// Converts a reply, if it is a document.
    async fn convert(&self, answer: Answer, wanted: Wanted) -> Result<Answer, Rejection> {
        let kept = answer.extensions().get::<Provenance>().is_some_and(|p| p.not_modified);
        // What is kept was converted when it came.
        if kept || format::of_reply(answer.headers()) != Some(wanted.native) {
            return Ok(answer);
        }
        let (mut parts, body) = answer.into_parts();
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(wanted.format)));
        if !wanted.keeps_tag {
            parts.headers.remove(ETAG);
        }
        if !wanted.has_body {
            parts.headers.remove(CONTENT_LENGTH);
            return Ok(Answer::from_parts(parts, body));
        }
        let whole = match body.read_up_to(self.max_reply).await {
            Ok(Read::Whole(bytes)) => bytes,
            Ok(Read::Longer(_)) => return Err(Rejection::Unconvertible),
            Err(BodyError::Upstream(_)) => return Err(Rejection::UpstreamBroken),
            Err(BodyError::Mask(_)) => return Err(Rejection::Unmaskable),
        };
        if whole.trim_ascii().is_empty() {
            return Ok(Answer::from_parts(parts, Body::from(whole)));
        }
        let inflection = self.inflection.clone();
        let most = self.max_reply;
        let work = self.beside(move || converted(&whole, &wanted, &inflection, most));
        let converted = work.await.flatten().ok_or(Rejection::Unconvertible)?;
        Ok(Answer::from_parts(parts, Body::from(converted)))
    }
}

/// A document in the other format; none for what is none, or would be much longer than it is.
fn converted(body: &[u8], wanted: &Wanted, inflection: &Inflection, most: usize) -> Option<Bytes> {
    let text = match wanted.format {
        Format::Xml => {
            // XML of the same is up to three times as long.
            let tree = json::read(body, Bounds::REPLY).ok()?;
            to_xml(&tree, &wanted.root, inflection, most.saturating_mul(4))?
        }
        Format::Json => to_json(&xml::read(body, Mixed::Refused, Bounds::REPLY).ok()?),
    };
    Some(text.into())
}
