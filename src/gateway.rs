//! The request path: every layer, outermost first, with the reason for its place.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tower::{Service, ServiceBuilder};

use crate::{
    api::routes::RouteTable,
    cache::shelf::Shelf,
    formats::Book,
    keeper::Keeper,
    layers::{
        Answer,
        authenticate::{self, Gatekeeper},
        authorise, body_limit, cache, caps,
        catch::{self, Catcher},
        coalesce::{self, Hangar},
        convert, deadline, idempotency,
        invalidate::{self, Rules},
        negotiate,
        observe::{self, Observer},
        rate_limit, request_id, respond, shed, target,
        upstream::{self, Sites},
    },
    net::server::Arrival,
    sampler::Sampler,
    settings::ByteSize,
    vocabulary::UpstreamCause,
};

crate::section! {
    /// The request path.
    pub struct Config {
        /// The address that clients know, such as `https://cloud.example.com`; the upstream's own
        /// is replaced by it in replies. Without it, locations become relative.
        pub public_url: Option<String> = None,
        /// Where the data listener answers 200 without a token, for load balancers.
        pub health_path: String = "/tollgate/health".to_owned(),
        /// Requests under way at once; further ones are refused with 503.
        pub max_requests: usize = 8192,
        /// How long a client waits for a read. Writes wait as long as the upstream may.
        pub read_timeout: Duration = Duration::from_secs(70),
        /// How long a fetch that fills the cache may take, its body included.
        pub fetch_timeout: Duration = Duration::from_secs(120),
        /// The largest body of a request.
        pub max_body: ByteSize = ByteSize::mib(16),
        /// The largest form body that is read to see which method it stands for.
        pub max_inspected_body: ByteSize = ByteSize::mib(1),
        /// The longest path with its query.
        pub max_target: ByteSize = ByteSize::kib(8),
        /// The longest single text of a reply that is searched for secrets; a reply with a longer
        /// one is not shown.
        pub max_masked_text: ByteSize = ByteSize::mib(1),
        /// The names of further fields whose values are passwords: masked, in JSON and XML, for tokens
        /// without the permission `secrets:read`.
        pub secret_fields: Vec<String> = Vec::new(),
        /// Whether reads of routes that are not listed change nothing. If not, they count as
        /// writes of their partition and need a token that may write.
        pub unlisted_reads_harmless: bool = false,
        /// Whether a request is refused whose suffix, `?format=` and Accept do not agree on a format,
        /// or whose body is neither JSON, XML nor a form.
        pub strict_formats: bool = false,
    }
}

/// What the layers share.
#[derive(Clone)]
pub struct Shared {
    /// The settings of the path.
    pub config: Config,
    /// Tells this process from others in request ids.
    pub seed: u64,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// Where requests are written down.
    pub observer: Arc<Observer>,
    /// Who is let in.
    pub gatekeeper: Arc<Gatekeeper>,
    /// What writes touch.
    pub rules: Arc<Rules>,
    /// The entries.
    pub shelf: Arc<Shelf>,
    /// What puts some of the hits to the test.
    pub sampler: Arc<Sampler>,
    /// The fetches.
    pub hangar: Arc<Hangar>,
    /// What is kept of idempotent requests.
    pub keeper: Arc<Keeper>,
    /// By what formats are negotiated.
    pub negotiation: Arc<negotiate::Rules>,
    /// Who keeps the keys that clients have made.
    pub catcher: Arc<Catcher>,
    /// By what documents are converted where there is one format alone.
    pub conversion: Arc<convert::Rules>,
    /// What is known of the formats of routes.
    pub book: Arc<Book>,
    /// The upstreams.
    pub sites: Arc<Sites>,
    /// What upstream requests are counted as, if not by what each is for.
    pub counted_as: Option<UpstreamCause>,
}

/// The way of a request, from anybody's bytes to the upstream and back.
pub fn request_path(
    shared: &Shared,
) -> impl Service<Arrival, Response = Answer, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let Shared {
        config,
        seed,
        routes,
        observer,
        gatekeeper,
        keeper,
        negotiation,
        rules,
        sampler,
        hangar,
        catcher,
        conversion,
        sites,
        counted_as,
        ..
    } = shared;
    let metrics = &observer.metrics;
    let harmless = config.unlisted_reads_harmless;
    ServiceBuilder::new()
        // First, so that everything below can name the request.
        .layer(request_id::layer(*seed))
        // Outside of all that may answer, so that no reply goes unrecorded.
        .layer(observe::layer(Arc::clone(observer)))
        // The one place where a refusal becomes HTTP, in a format decided before any refusal.
        .layer(respond::layer(config.health_path.clone()))
        // Bounds, before work is done for a stranger: how many,
        .layer(shed::layer(config.max_requests))
        // how much.
        .layer(body_limit::layer(config.max_body.0))
        // One canonical target for policy, cache key and upstream, or a refusal.
        .layer(target::layer(Arc::clone(routes), config.max_target.get(), harmless))
        // How long; below the target, because only that tells a read from a GET that writes.
        .layer(deadline::layer(config.read_timeout))
        // The trust boundary: below it there is a caller, by type.
        .layer(authenticate::layer(Arc::clone(gatekeeper)))
        // Before anything that can be refused for free, so that refusals have a price.
        .layer(rate_limit::layer(Arc::clone(metrics)))
        // Scopes, policies and guarded routes, for the method that will really run.
        .layer(authorise::layer(
            Arc::clone(routes),
            Arc::clone(metrics),
            config.max_inspected_body.0,
        ))
        // A repeated create ends here: above the formats, because it is given the very answer of the
        // first one, and above all that a write does, because nothing is done again; below what the
        // caller may, so that a replay is nobody's who may not ask.
        .layer(idempotency::layer(Arc::clone(keeper)))
        // What is made and removed counts here, since a replay makes nothing.
        .layer(caps::layer(Arc::clone(metrics), rules.tasks.clone()))
        // Which format is answered; the cache keeps each one by itself.
        .layer(negotiate::layer(Arc::clone(negotiation)))
        // Around everything that a write does, so that no outcome escapes it.
        .layer(invalidate::layer(Arc::clone(rules)))
        // Fresh hits end here, and some are put to the test.
        .layer(cache::layer(Arc::clone(sampler)))
        // Equal misses become one fetch.
        .layer(coalesce::layer(Arc::clone(hangar)))
        // Keys that clients have made stay here.
        .layer(catch::layer(Arc::clone(catcher)))
        // What an upstream has in one format alone is converted.
        .layer(convert::layer(Arc::clone(conversion)))
        // The leaf: credential in, traces out.
        .service(upstream::service(Arc::clone(sites), *counted_as))
}
