//! One round of the canary: the panel is asked, then the gateway, and the replies are compared.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, HOST},
};
use http_body_util::{BodyExt as _, Limited};
use tokio::task::spawn_blocking;
use tower::Service;
use zeroize::Zeroizing;

use super::{
    Canary,
    markers::{Markers, stands_in},
};
use crate::{
    body::{Body, Read},
    metrics::canary::CanaryOutcome,
    net::server::{Arrival, ClientBody},
    tenants::snapshot::Grant,
    vocabulary::{Closed as _, Format, Protocol, UpstreamCause},
};

/// Why a round has proved nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hindrance {
    /// A token file.
    #[error("the token file {} cannot be read", path.display())]
    Token {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A token that is none, or no longer.
    #[error("the token in {} is not good", .0.display())]
    NotGood(PathBuf),
    /// The same credential twice.
    #[error("both planted tokens stand for one credential: there is nothing to keep apart")]
    OneCredential,
    /// Replies that are alike.
    #[error("what the panel shows to the two of {0:?} does not tell them apart")]
    Alike(String),
    /// A tenant was not even shown what is its own.
    #[error("a planted tenant was not shown its own of {0:?}")]
    Unseen(String),
    /// The panel.
    #[error("the panel did not show {0:?} to a planted credential")]
    Panel(String),
    /// The gateway.
    #[error("the gateway answered {status} to a planted tenant that asked for {target:?}")]
    Gateway {
        /// What was asked for.
        target: String,
        /// The status.
        status: StatusCode,
    },
    /// A reply that did not end, or is too large.
    #[error("the reply to {0:?} is larger than canary.max_body, or broke off")]
    Body(String),
}

/// A planted tenant.
struct Planted {
    token: Zeroizing<String>,
    grant: Arc<Grant>,
}

/// Goes one round.
pub(super) async fn run<S>(canary: &Canary, mut path: S) -> Result<(), Hindrance>
where
    S: Service<Arrival, Response = Response<Body>, Error = Infallible>,
{
    let planted = [plant(canary, 0).await?, plant(canary, 1).await?];
    let [first, second] = [&planted[0].grant, &planted[1].grant];
    if first.credential.name == second.credential.name {
        return Err(Hindrance::OneCredential);
    }
    if first.credential.partition.id() == second.credential.partition.id() {
        let how = "their credentials have one partition of the cache";
        canary.leaked("", &second.tenant.name, &first.tenant.name, how);
    }
    for what in &canary.config.paths {
        look(canary, &mut path, &planted, what).await?;
    }
    present_both(canary, &mut path, &planted).await;
    Ok(())
}

async fn plant(canary: &Canary, turn: usize) -> Result<Planted, Hindrance> {
    let file = &canary.token_files[turn];
    let reading = spawn_blocking({
        let file = file.clone();
        move || std::fs::read_to_string(file).map(Zeroizing::new)
    });
    let text = reading.await.map_err(io::Error::other).flatten();
    let text = text.map_err(|source| Hindrance::Token { path: file.clone(), source })?;
    let token = Zeroizing::new(text.trim().to_owned());
    let mac = canary.directory.keyring().mac(token.as_bytes());
    let grant = canary.directory.find(&mac).ok_or_else(|| Hindrance::NotGood(file.clone()))?;
    Ok(Planted { token, grant })
}

/// Asks for one path, as both, in turns and in both formats.
async fn look<S>(
    canary: &Canary,
    path: &mut S,
    planted: &[Planted; 2],
    what: &str,
) -> Result<(), Hindrance>
where
    S: Service<Arrival, Response = Response<Body>, Error = Infallible>,
{
    let first = direct(canary, &planted[0], what).await?;
    let second = direct(canary, &planted[1], what).await?;
    let [format, other] = [0, 1].map(|turn| format_of(canary, &planted[turn]));
    let markers = Markers::of([(format, &first[..]), (other, &second[..])]);
    let markers = markers.filter(Markers::tell_apart);
    let markers = markers.ok_or_else(|| Hindrance::Alike(what.to_owned()))?;
    for format in Format::ALL {
        let target = format!("{what}.{}", format.as_str());
        // What each fills the other must not be shown, and what is kept must be its owner's.
        for turn in [0, 1, 0, 1] {
            let (own, other) = (&planted[turn], &planted[1 - turn]);
            let request = asking(&target, &[(AUTHORIZATION, basic(own, other))]);
            let answer = send(path, request).await;
            let status = answer.status();
            let target = target.clone();
            if status != StatusCode::OK {
                return Err(Hindrance::Gateway { target, status });
            }
            let read = answer.into_body().read_up_to(canary.config.max_body.get()).await;
            let Ok(Read::Whole(body)) = read else { return Err(Hindrance::Body(target)) };
            if let Some(marker) = markers.foreign_in(turn, &body)
                && !is_own_by_now(canary, own, what, marker).await
            {
                let how = "a reply shows what is the other's";
                canary.leaked(what, &own.grant.tenant.name, &other.grant.tenant.name, how);
            } else if !markers.own_in(turn, &body) {
                return Err(Hindrance::Unseen(target));
            }
        }
    }
    Ok(())
}

/// Whether the panel itself shows a marker to whom it was foreign a moment ago. While it does not
/// answer nobody knows, and what nobody knows is worth a page.
async fn is_own_by_now(canary: &Canary, planted: &Planted, what: &str, marker: &str) -> bool {
    let shown = direct(canary, planted, what).await;
    shown.is_ok_and(|body| stands_in(marker, &body))
}

/// A request with the tokens of both is nobody's.
async fn present_both<S>(canary: &Canary, path: &mut S, planted: &[Planted; 2])
where
    S: Service<Arrival, Response = Response<Body>, Error = Infallible>,
{
    let [first, second] = planted;
    let what = canary.config.paths.first().map_or("/profile", String::as_str);
    let key = sensitive(&second.token);
    let headers = [(AUTHORIZATION, basic(first, second)), (X_API_KEY, key)];
    let answer = send(path, asking(&format!("{what}.json"), &headers)).await;
    if answer.status().is_success() {
        let how = "a request with both tokens was let in";
        canary.leaked(what, &first.grant.tenant.name, &second.grant.tenant.name, how);
    }
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the panel itself shows to a planted credential.
async fn direct(canary: &Canary, planted: &Planted, what: &str) -> Result<Bytes, Hindrance> {
    let failed = || Hindrance::Panel(what.to_owned());
    let credential = &planted.grant.credential;
    let site = canary.sites.get(&*credential.upstream).ok_or_else(failed)?;
    let name = format_of(canary, planted).as_str();
    let uri: Uri = format!("{what}.{name}").parse().map_err(|_| failed())?;
    let accept = HeaderValue::try_from(format!("application/{name}")).map_err(|_| failed())?;
    let make = || {
        let mut request = Request::new(ClientBody::empty());
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, accept.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // The measure of all else comes from no cache on the way.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(AUTHORIZATION, credential.authorization.clone());
        request
    };
    let cause = UpstreamCause::Canary;
    let reply = site.pool().exchange(cause, make(), || (), || Some(make())).await;
    let (head, body) = reply.map_err(|_| failed())?.into_parts();
    if head.status != StatusCode::OK {
        return Err(failed());
    }
    let body = Limited::new(body, canary.config.max_body.get()).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|_| Hindrance::Body(what.to_owned()))
}

/// The format in which the panel is asked.
fn format_of(canary: &Canary, planted: &Planted) -> Format {
    let site = canary.sites.get(&*planted.grant.credential.upstream);
    site.and_then(|site| site.only_format()).unwrap_or(Format::Json)
}

async fn send<S>(path: &mut S, request: Request<ClientBody>) -> Response<Body>
where
    S: Service<Arrival, Response = Response<Body>, Error = Infallible>,
{
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // The path is always ready, as the layers say of themselves.
    let Ok(answer) = path.call(Arrival { peer, protocol: Protocol::Http1, request }).await;
    answer
}

fn asking(target: &str, headers: &[(HeaderName, HeaderValue)]) -> Request<ClientBody> {
    let mut request = Request::new(ClientBody::empty());
    *request.uri_mut() = target.parse().unwrap_or_default();
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    request
}

/// One's token, with the other's name as the login.
fn basic(own: &Planted, other: &Planted) -> HeaderValue {
    let pair = Zeroizing::new(format!("{}:{}", other.grant.tenant.name, *own.token));
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
    sensitive(&Zeroizing::new(format!("Basic {}", *encoded)))
}

/// A value that is not printed; what could not be sent presents nobody.
fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl Hindrance {
    /// What a round with it has come to.
    pub(super) fn outcome(&self) -> CanaryOutcome {
        match self {
            Self::Token { .. }
            | Self::NotGood(_)
            | Self::OneCredential
            | Self::Alike(_)
            | Self::Unseen(_) => CanaryOutcome::Blind,
            Self::Panel(_) | Self::Gateway { .. } | Self::Body(_) => CanaryOutcome::Failed,
        }
    }
}
