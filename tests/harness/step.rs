//! A step of a scenario: what the client asks, what the origin does, what must hold.

use std::{future::IntoFuture, panic::Location, pin::Pin};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};

use super::{Answer, Reply, Seen, Speaks, World, within};

/// One request of a client; it is sent when it is awaited.
#[must_use = "a step is taken when it is awaited"]
pub struct Step<'w> {
    world: &'w World,
    request: Request<Bytes>,
    speaks: Speaks,
    origin: Option<Reply>,
    on_origin: Vec<Check<Seen>>,
    on_answer: Vec<Check<Answer>>,
    place: &'static Location<'static>,
}

type Check<T> = Box<dyn FnOnce(&T, &str) + Send>;

impl<'w> Step<'w> {
    #[track_caller]
    pub(super) fn new(world: &'w World, method: Method, target: &str) -> Self {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().expect("a target");
        Self {
            world,
            request,
            speaks: Speaks::Http1,
            origin: None,
            on_origin: Vec::new(),
            on_answer: Vec::new(),
            place: Location::caller(),
        }
    }

    /// With somebody's token as the Basic password.
    pub fn as_(self, name: &str) -> Self {
        let authorization = self.world.authorization(name);
        self.header("authorization", &authorization)
    }

    /// With a header more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a name");
        let value: HeaderValue = value.parse().expect("a value");
        self.request.headers_mut().append(name, value);
        self
    }

    /// With an `Accept`.
    pub fn accept(self, value: &str) -> Self {
        self.header("accept", value)
    }

    /// With a body of a type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = body.into();
        self.header("content-type", content_type)
    }

    /// With a body of no type.
    pub fn untyped(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// Over HTTP/2, or without ALPN.
    pub fn over(mut self, speaks: Speaks) -> Self {
        self.speaks = speaks;
        self
    }

    /// The upstream is asked once, and does this.
    pub fn origin(mut self, reply: Reply) -> Self {
        self.origin = Some(reply);
        self
    }

    /// The upstream is not asked. This is what a step means that declares no origin; to say so is
    /// for steps where it is the point.
    pub fn no_origin(mut self) -> Self {
        self.origin = None;
        self
    }

    /// What the upstream is asked: method and target.
    pub fn asks(self, line: &'static str) -> Self {
        self.sees(move |seen| assert_eq!(seen.line(), line))
    }

    /// What the upstream has to see.
    pub fn sees(mut self, check: impl FnOnce(&Seen) + Send + 'static) -> Self {
        self.on_origin.push(Box::new(move |seen, _| check(seen)));
        self
    }

    /// The status.
    pub fn expect_status(self, status: u16) -> Self {
        self.check(move |answer, place| {
            assert_eq!(answer.status, status, "{place}: {answer:?}");
        })
    }

    /// What the cache did; the words are those of [`Answer::cache`].
    pub fn expect_cache(self, outcome: &'static str) -> Self {
        self.check(move |answer, place| assert_eq!(answer.cache(), outcome, "{place}: {answer:?}"))
    }

    /// The body, byte for byte.
    pub fn expect_body(self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.check(move |answer, place| {
            assert!(answer.whole, "{place}: the body broke off");
            assert_eq!(answer.body, body, "{place}");
        })
    }

    /// A header and its value; an empty value is a header that is not there.
    pub fn expect_header(self, name: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.check(move |answer, place| assert_eq!(answer.header(name), value, "{place}: {name}"))
    }

    /// The gateway's own refusal.
    pub fn expect_refusal(self, status: u16, code: &'static str) -> Self {
        self.check(move |answer, place| {
            assert_eq!((answer.status, answer.code()), (status, code), "{place}: {answer:?}");
        })
    }

    fn check(mut self, check: impl FnOnce(&Answer, &str) + Send + 'static) -> Self {
        self.on_answer.push(Box::new(check));
        self
    }

    async fn take(self) -> Answer {
        let place = format!("{}:{}", self.place.file(), self.place.line());
        let world = self.world;
        world.undeclared_is_none(&place);
        let declared = self.origin.map(|reply| world.origin.expect(reply));
        let what = format!("the answer of {place}");
        // Boxed: a handshake's future is large.
        let exchange = Box::pin(async {
            let mut client = world.connect(self.speaks).await;
            client.send(self.request).await
        });
        let answer = within(&what, exchange);
        let answer = answer.await.unwrap_or_else(|e| panic!("{place}: no answer: {e:?}"));
        world.undeclared_is_none(&place);
        if let Some(exchange) = declared {
            assert!(exchange.has_arrived(), "{place}: the upstream was not asked: {answer:?}");
            let seen = exchange.arrived().await;
            self.on_origin.into_iter().for_each(|check| check(&seen, &place));
        }
        self.on_answer.into_iter().for_each(|check| check(&answer, &place));
        answer
    }
}

impl<'w> IntoFuture for Step<'w> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.take())
    }
}
