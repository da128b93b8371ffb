//! What the request path costs without sockets: all layers, from an arrival to its reply's end.
//!
//! A case is checked once, for its status and its `Cache-Status`, before it is timed. What is
//! answered at once is polled once, with a waker that wakes nobody: a future that had to wait would
//! fail the bench. README.md says how to read the figures.

mod world;

use std::{convert::Infallible, hint::black_box, net::Ipv4Addr, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use criterion::{BatchSize, Criterion};
use futures_util::FutureExt as _;
use http::{Request, StatusCode, header::IF_NONE_MATCH};
use http_body_util::BodyExt as _;
use tollgate::{
    gateway::request_path,
    layers::Answer,
    net::server::{Arrival, ClientBody},
    vocabulary::Protocol,
};
use tower::Service;

use world::World;

/// The request path in its world, and the clock that it is held against.
struct Bench<'a, S> {
    criterion: &'a mut Criterion,
    world: &'a World,
    path: S,
}

/// A read of the panel, whose reply is about so many bytes long.
struct Read {
    name: &'static str,
    length: usize,
    target: &'static str,
}

/// The status of a reply, and what it says of the cache if it says anything.
type Expected = (StatusCode, Option<&'static str>);

/// How a client shows its token.
type Scheme = fn(&str) -> String;

/// Every case runs among so few tenants, and then among so many.
const TENANTS: [usize; 2] = [10, 10_000];

const SHORT: Read =
    Read { name: "1KiB", length: 1 << 10, target: "/virtual_machines/1/disks.json" };

const LONG: Read = Read { name: "20KiB", length: 20 << 10, target: "/virtual_machines.json" };

/// A route that no token may use.
const GUARDED: &str = "/users/1/user_api_keys.json";

/// Arrivals are made untimed, so few at a time that they stay in the processor's cache.
const BATCH: BatchSize = BatchSize::NumIterations(64);

const HIT: Expected = (StatusCode::OK, Some("tollgate; hit"));
const NOT_MODIFIED: Expected = (StatusCode::NOT_MODIFIED, Some("tollgate; hit"));
const DERIVED: Expected = (StatusCode::OK, Some("tollgate; hit; detail=derived"));
const MISS: Expected = (StatusCode::OK, Some("tollgate; fwd=miss; stored"));
const UNAUTHORIZED: Expected = (StatusCode::UNAUTHORIZED, None);
const LIMITED: Expected = (StatusCode::TOO_MANY_REQUESTS, None);
const FORBIDDEN: Expected = (StatusCode::FORBIDDEN, None);

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for tenants in TENANTS {
        let world = World::new(tenants);
        let _inside = world.runtime.enter();
        let path = request_path(world.process.shared());
        let mut bench = Bench { criterion: &mut criterion, world: &world, path };
        bench.hits();
        bench.refusals();
        bench.misses();
        bench.hits_in_both_formats();
    }
    criterion.final_summary();
}

impl<S> Bench<'_, S>
where
    S: Service<Arrival, Response = Answer, Error = Infallible>,
{
    fn hits(&mut self) {
        for Read { name, length, target } in [SHORT, LONG] {
            let read = self.check(name, MISS, &self.by_first(target));
            assert!(read.abs_diff(length) < length / 10, "{name}: {read} bytes");
            self.world.share(target);
            let schemes: [(&str, Scheme); 2] = [("bearer", bearer), ("basic", basic)];
            for (shown, scheme) in schemes {
                let requests = self.by_everybody(target, scheme);
                self.at_once(&format!("hit/{name}/{shown}"), HIT, &requests);
            }
        }
        let mut requests = self.by_everybody(SHORT.target, bearer);
        let tag = self.world.entity_tag(SHORT.target);
        for request in &mut requests {
            request.headers_mut().insert(IF_NONE_MATCH, tag.clone());
        }
        self.at_once("304", NOT_MODIFIED, &requests);
    }

    /// A list in the format that was fetched, and in the one that was derived from it.
    fn hits_in_both_formats(&mut self) {
        let formats = [LONG.target.to_owned(), LONG.target.replace("json", "xml")];
        let [json, xml] = formats.map(|target| self.by_first(&target));
        let bodies = [&json, &xml].map(|request| {
            let read = self.path.call(arrival(request));
            let answer = self.world.runtime.block_on(read).unwrap_or_else(|never| match never {});
            let body = self.world.runtime.block_on(answer.into_body().collect());
            body.expect("a whole body").to_bytes()
        });
        self.world.prove(LONG.target, &bodies[0], &bodies[1]);
        self.world.forget();
        self.check("JSON, fetched", MISS, &json);
        self.check("XML, derived", DERIVED, &xml);
        self.at_once("hit/20KiB/JSON, fetched", HIT, &[json]);
        self.at_once("hit/20KiB/XML, derived", HIT, &[xml]);
    }

    fn refusals(&mut self) {
        let stranger = get(SHORT.target, Some(&bearer(&world::unknown_token())));
        self.at_once("401/unknown token", UNAUTHORIZED, &[stranger]);
        self.at_once("401/no credentials", UNAUTHORIZED, &[get(SHORT.target, None)]);
        let impatient = get(SHORT.target, Some(&bearer(&self.world.tight)));
        self.check("429/its only request", HIT, &impatient);
        self.at_once("429", LIMITED, &[impatient]);
        let curious = self.by_everybody(GUARDED, bearer);
        self.at_once("403/guarded", FORBIDDEN, &curious);
    }

    fn misses(&mut self) {
        for Read { name, target, .. } in [SHORT, LONG] {
            self.after_a_fetch(&format!("miss/{name}"), &self.by_first(target));
        }
    }

    /// A read by the tenant whom the panel knows.
    fn by_first(&self, target: &str) -> Request<()> {
        get(target, Some(&bearer(&self.world.callers[0])))
    }

    /// A read by each tenant, who take turns: what one left in the processor's cache is of little
    /// use to the next.
    fn by_everybody(&self, target: &str, scheme: Scheme) -> Vec<Request<()>> {
        self.world.callers.iter().map(|token| get(target, Some(&scheme(token)))).collect()
    }

    /// Times what is answered without waiting for anything.
    fn at_once(&mut self, name: &str, expected: Expected, requests: &[Request<()>]) {
        self.check(name, expected, &requests[0]);
        let id = self.id(name);
        let path = &mut self.path;
        self.criterion.bench_function(&id, |bencher| {
            let mut turns = requests.iter().cycle();
            bencher.iter_batched(
                || arrival(turns.next().expect("somebody asks")),
                |arrival| exchange(path, arrival).now_or_never().expect("nothing to wait for"),
                BATCH,
            );
        });
    }

    /// Times what the panel has to be asked for, over a connection that is kept.
    fn after_a_fetch(&mut self, name: &str, request: &Request<()>) {
        self.world.forget();
        self.check(name, MISS, request);
        let id = self.id(name);
        let (path, world) = (&mut self.path, self.world);
        self.criterion.bench_function(&id, |bencher| {
            bencher.iter_batched(
                || {
                    world.forget();
                    arrival(request)
                },
                |arrival| world.runtime.block_on(exchange(path, arrival)),
                BatchSize::PerIteration,
            );
        });
    }

    /// Fails unless the answer is the expected one; gives its length.
    fn check(&mut self, name: &str, expected: Expected, request: &Request<()>) -> usize {
        let runtime = &self.world.runtime;
        let Ok(answer) = runtime.block_on(self.path.call(arrival(request)));
        let cache = answer.headers().get("cache-status").map(|value| value.to_str().expect("text"));
        assert_eq!((answer.status(), cache), expected, "{}", self.id(name));
        let body = runtime.block_on(answer.into_body().collect());
        body.expect("a whole body").to_bytes().len()
    }

    fn id(&self, name: &str) -> String {
        format!("{name}/{} tenants", self.world.callers.len())
    }
}

/// One request and its reply, read to its end and let go of.
async fn exchange<S>(path: &mut S, arrival: Arrival) -> StatusCode
where
    S: Service<Arrival, Response = Answer, Error = Infallible>,
{
    let Ok(mut answer) = path.call(arrival).await;
    while let Some(frame) = answer.body_mut().frame().await {
        black_box(frame.expect("a whole body"));
    }
    answer.status()
}

/// What the server makes of a request without a body.
fn arrival(request: &Request<()>) -> Arrival {
    let peer = (Ipv4Addr::LOCALHOST, 40_000).into();
    let request = request.clone().map(|()| ClientBody::empty());
    Arrival { peer, protocol: Protocol::Http1, request }
}

fn get(target: &str, authorization: Option<&str>) -> Request<()> {
    let request = Request::get(target)
        .header("host", "cloud.example.com")
        .header("user-agent", "bench/1.0")
        .header("accept", "application/json");
    let request = match authorization {
        Some(value) => request.header("authorization", value),
        None => request,
    };
    request.body(()).expect("a request")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn basic(token: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("anybody@example.com:{token}")))
}
