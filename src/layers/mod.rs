//! The members of the request path, one layer a file; `gateway.rs` puts them in order.
//!
//! Every layer here is always ready: it bounds what is under way when it is called, not before, so
//! `poll_ready` only passes the question on, and a clone needs no readiness of its own (that is
//! why none is swapped with `mem::replace` before a future takes it). A clone is a pointer copy.
//! What a layer can decide at once it decides in `call`, and its future is then
//! [`Either`] that decision or the next layer's: a cache hit passes
//! all of them without a box for a future.

pub mod authenticate;
pub mod authorise;
pub mod body_limit;
pub mod cache;
pub mod caps;
pub mod catch;
pub mod coalesce;
pub mod convert;
pub mod deadline;
pub mod idempotency;
pub mod invalidate;
pub mod negotiate;
pub mod observe;
pub mod police;
pub mod rate_limit;
pub mod request_id;
pub mod respond;
pub mod shed;
pub mod target;
pub mod upstream;

use std::future::Ready;

use futures_util::future::Either;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{AGE, CONTENT_LENGTH},
};

use crate::{
    body::Body,
    cache::{
        entry::{Entry, Representation},
        shelf::Shelf,
        status::{CACHE_STATUS, CacheStatus},
    },
    call::Exchange,
    limit::{Allowed, Limit},
    metrics::{Metrics, limits::Decision},
    net::server::ClientBodyError,
    rejection::Rejection,
    tenants::record::LimitStatus,
    vocabulary::Limiter,
};

/// What a call is answered with.
pub type Answer = Response<Body>;

/// A decision of a layer, or the future of the next.
pub type Step<F> = Either<Ready<Result<Answer, Rejection>>, F>;

/// Refuses at once.
fn refuse<F>(rejection: Rejection) -> Step<F> {
    Either::Left(std::future::ready(Err(rejection)))
}

/// Asks a limiter for one request, and counts what it says.
fn charge(
    limiter: Limiter,
    limit: &Limit,
    status: LimitStatus,
    metrics: &Metrics,
) -> Result<Allowed, Rejection> {
    let checked = limit.check();
    let decision = if checked.is_ok() { Decision::Allowed } else { Decision::Limited };
    metrics.limits.decisions.of(limiter, decision).inc();
    checked.map_err(|limited| {
        let shown = (limit.state(0), limit.policy());
        Rejection::Limited { limiter, limited, status, shown }
    })
}

/// `Age`, `Cache-Status`, `X-Request-Id`, `RateLimit` and `RateLimit-Policy`.
const ADDED: usize = 5;

/// A representation as the reply to a request: whole, its head alone, or "you have it".
///
/// `room` is the map of the request's headers, which nobody needs any more: hyper takes the map of a
/// reply for the next request, so that no map is made while a connection lives.
fn reply(representation: &Representation, method: &Method, known: bool, room: HeaderMap) -> Answer {
    let mut answer = Response::new(Body::empty());
    let kept = &representation.headers;
    let mut headers = room;
    headers.clear();
    let lines = kept.iter().len() + ADDED;
    // A third more: a map that is full to its bound moves others out of their places for each that comes.
    headers.reserve(lines + lines / 3);
    for (name, value) in kept.iter() {
        headers.append(name, value.clone());
    }
    *answer.headers_mut() = headers;
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer;
    }
    *answer.status_mut() = representation.status;
    if *method == Method::HEAD {
        let length = HeaderValue::from(representation.body.len());
        answer.headers_mut().insert(CONTENT_LENGTH, length);
    } else {
        *answer.body_mut() = Body::from(representation.body.clone());
    }
    answer
}

/// What is kept as the reply to a request, and the note and the count of it.
fn show(
    shelf: &Shelf,
    exchange: &mut Exchange,
    entry: &Entry,
    now: u64,
    status: CacheStatus,
) -> Answer {
    let request = &mut exchange.call.request;
    request.record.cache.set(status);
    shelf.metrics.cache.lookups.of(status.outcome()).inc();
    let known = entry.representation.is_known_to(&request.headers);
    let room = std::mem::take(&mut request.headers);
    let mut answer = reply(&entry.representation, &request.method, known, room);
    let headers = answer.headers_mut();
    headers.insert(AGE, seconds(entry.age(now)));
    headers.insert(&CACHE_STATUS, status.header());
    answer
}

/// A number of seconds as a header's value. Most hits are young, and for those there is a text already.
fn seconds(number: u64) -> HeaderValue {
    static TWO_DIGITS: [[u8; 2]; 100] = {
        let mut texts = [[b'0'; 2]; 100];
        let mut n = 0;
        while n < 100 {
            texts[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
            n += 1;
        }
        texts
    };
    let text = usize::try_from(number).ok().and_then(|n| TWO_DIGITS.get(n));
    match text.map(|text| str::from_utf8(&text[usize::from(number < 10)..])) {
        Some(Ok(text)) => HeaderValue::from_static(text),
        _ => HeaderValue::from(number),
    }
}

/// Whether by this status the upstream may still do what it was asked for.
fn leaves_open(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The refusal for a body that did not arrive whole.
fn of_body(error: &ClientBodyError, most: u64) -> Rejection {
    match error {
        ClientBodyError::Idle | ClientBodyError::Deadline => Rejection::BodyTimedOut,
        ClientBodyError::TooLarge => Rejection::BodyTooLarge(most),
        ClientBodyError::Broken(_) => Rejection::BodyBroken,
    }
}

/// Declares `poll_ready` of a layer: it is as ready as the next one.
macro_rules! always_ready {
    () => {
        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            self.inner.poll_ready(cx)
        }
    };
}

use always_ready;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_shows_every_line_and_none_of_the_request() {
        let header = |lines: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(*name, HeaderValue::from_static(value));
            }
            map
        };
        let shown = header(&[("x-two", "a"), ("etag", "\"b\""), ("x-two", "c")]);
        let kept = Representation::new(StatusCode::OK, &shown, "[]".into());
        for (method, known) in [(Method::GET, false), (Method::GET, true), (Method::HEAD, false)] {
            let room = header(&[("accept", "*/*"), ("x-two", "of the request")]);
            let mut answer = reply(&kept, &method, known, room);
            let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
            assert_eq!(answer.status(), status);
            let length = answer.headers_mut().remove(CONTENT_LENGTH);
            assert_eq!(length.is_some(), method == Method::HEAD);
            assert_eq!(*answer.headers(), shown, "{method} {known}");
        }
    }

    #[test]
    fn seconds_are_written_in_decimal() {
        for number in (0..=101).chain([u64::MAX]) {
            assert_eq!(seconds(number), number.to_string());
        }
    }
}
