//! Counts, times and logs every reply, whoever gave it; so it stands outside all that may answer.
//!
//! A request whose client went away before there was a reply is recorded too, with the status 499
//! that is customary for it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderName, StatusCode};
use http_body::Body as _;
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};

use super::{Answer, always_ready};
use crate::{
    api::routes::RouteTable,
    auditor::Auditor,
    auth::scopes::Permission,
    call::Traced,
    explain::{self, Decision, Ring},
    metrics::Metrics,
    record::Record,
    telemetry::{AccessLog, Line, QueryNames},
};

/// The service of this layer.
#[derive(Clone)]
pub struct Observe<S> {
    inner: S,
    observer: Arc<Observer>,
}

/// Where requests are written down.
pub struct Observer {
    /// The series.
    pub metrics: Arc<Metrics>,
    /// The access log.
    pub log: AccessLog,
    /// The latest decisions.
    pub decisions: Arc<Ring>,
    /// The routes, for their templates.
    pub routes: Arc<RouteTable>,
    /// Takes what was refused, for the audit log.
    pub auditor: Arc<Auditor>,
}

pin_project! {
    /// The future of this layer.
    pub struct Observed<F> {
        #[pin]
        inner: F,
        open: Open,
    }
}

/// A request that has not been written down yet.
struct Open {
    record: Option<Arc<Record>>,
    // Dropped last, so that who is counted no more has been written down.
    counted: Counted,
}

/// A request that is counted as under way.
struct Counted(Arc<Observer>);

/// Why a reply is as it is, for a caller who may know.
static EXPLANATION: HeaderName = HeaderName::from_static("tollgate-explain");

/// Observes with the given observer.
pub fn layer<S>(observer: Arc<Observer>) -> impl Layer<S, Service = Observe<S>> + Clone {
    layer_fn(move |inner| Observe { inner, observer: Arc::clone(&observer) })
}

impl<S> Service<Traced> for Observe<S>
where
    S: Service<Traced, Response = Answer, Error = Infallible>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Observed<S::Future>;

    always_ready!();

    fn call(&mut self, request: Traced) -> Self::Future {
        let record = Some(Arc::clone(&request.record));
        let open = Open { record, counted: Counted::new(&self.observer) };
        Observed { inner: self.inner.call(request), open }
    }
}

impl<F: Future<Output = Result<Answer, Infallible>>> Future for Observed<F> {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut answer) = ready!(this.inner.poll(cx));
        if let Some(record) = this.open.record.take() {
            let bytes = answer.body().size_hint().exact();
            let observer = &this.open.counted.0;
            let status = answer.status();
            observer.write(&record, status, bytes);
            if record.grant.get().is_some_and(|g| g.permissions.contains(Permission::Explain)) {
                let decision = Decision::new(&record, status, record.started.elapsed());
                let why = explain::header(&decision, &observer.routes);
                answer.headers_mut().insert(&EXPLANATION, why);
            }
        }
        Poll::Ready(Ok(answer))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            let gone = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
            self.counted.0.write(&record, gone, None);
        }
    }
}

impl Counted {
    fn new(observer: &Arc<Observer>) -> Self {
        observer.metrics.in_flight.inc();
        Self(Arc::clone(observer))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

impl Observer {
    fn write(&self, record: &Record, status: StatusCode, bytes: Option<u64>) {
        let duration = record.started.elapsed();
        let route = record.route.get().map(|id| self.routes.route(id));
        let (class, cache) = (route.map(|r| r.class), record.outcome());
        self.metrics.requests.of(&record.method, status, cache).inc();
        self.metrics.durations.of(class, cache).observe(duration.as_secs_f64());
        let grant = record.grant.get();
        self.log.record(|| Line {
            time: record.received,
            request_id: record.id.as_str(),
            client: record.client,
            protocol: record.protocol,
            method: record.method.as_str(),
            route: route.map(|r| &*r.template),
            query: QueryNames::new(
                record.target.get().and_then(|t| t.query.as_deref()).unwrap_or_default(),
            ),
            format: record.format.get(),
            status: status.as_u16(),
            cache,
            class,
            tenant: grant.map(|g| &*g.tenant.name),
            token: grant.map(|g| g.token_id.as_str()),
            idempotency: record.idempotency.get(),
            rejection: record.rejection.get().copied(),
            bytes,
            duration,
        });
        if let Some(code) = record.rejection.get() {
            self.metrics.rejections.with_label_values(&[code]).inc();
        }
        if record.rejection.get().is_some() || record.policy.get().is_some() {
            self.auditor.request(record, status, &self.routes);
        }
        self.decisions.push(|| Decision::new(record, status, duration));
    }
}
