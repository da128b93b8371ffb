//! Requests that make a key upstream, from tokens that may have one made: the gateway keeps the key, and
//! says where it is.
//!
//! Who authorizes lets no other request to such a route through, so whatever comes here is permitted.
//! The request itself is not passed on: what is asked of the panel depends on the path alone, and of the
//! answer the client gets nothing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderValue, StatusCode, header};
use tower::{Layer, Service, layer::layer_fn};

use super::Answer;
use crate::{
    api::routes::{Mint, RouteTable},
    auditor::Auditor,
    body::Body,
    call::{Exchange, Outbound},
    rejection::Rejection,
    rotation::{Caught, Patience, Rotor, Uncaught, Wish},
    tenants::course::Way,
    transcode::errors::content_type,
    vocabulary::Format,
};

/// The service of this layer.
#[derive(Clone)]
pub struct Catch<S> {
    inner: S,
    catcher: Arc<Catcher>,
}

/// Who keeps keys.
pub struct Catcher {
    /// Has them made.
    pub rotor: Arc<Rotor>,
    /// Waits for a key that is being replaced.
    pub patience: Arc<Patience>,
    /// Which routes make one.
    pub routes: Arc<RouteTable>,
    /// Who hears that one was made.
    pub auditor: Arc<Auditor>,
}

type Kept = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>;

/// Keeps what would be made.
pub fn layer<S>(catcher: Arc<Catcher>) -> impl Layer<S, Service = Catch<S>> + Clone {
    layer_fn(move |inner| Catch { inner, catcher: Arc::clone(&catcher) })
}

impl<S> Service<Outbound> for Catch<S>
where
    S: Service<Outbound, Response = Answer, Error = Rejection>,
{
    type Response = Answer;
    type Error = Rejection;
    type Future = Either<S::Future, Kept>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, outbound: Outbound) -> Self::Future {
        let exchange = match outbound {
            Outbound::Forward(exchange) => exchange,
            fill @ Outbound::Fill { .. } => return Either::Left(self.inner.call(fill)),
        };
        let Some(wish) = self.catcher.wish(&exchange) else {
            return Either::Left(self.inner.call(Outbound::Forward(exchange)));
        };
        let catcher = Arc::clone(&self.catcher);
        Either::Right(Box::pin(async move { catcher.keep(*exchange, wish).await }))
    }
}

impl Catcher {
    /// What a request would have made.
    fn wish(&self, exchange: &Exchange) -> Option<Wish> {
        let request = &exchange.call.request;
        let (mint, user) = self.routes.mints(&request.method, &request.target)?;
        let grant = exchange.call.caller.grant();
        let way = match mint {
            Mint::Add => Way::Add,
            Mint::Replace => Way::Replace,
        };
        let (credential, token) = (Arc::clone(&grant.credential), grant.token_id.clone());
        Some(Wish { way, user, credential, token })
    }

    async fn keep(&self, exchange: Exchange, wish: Wish) -> Result<Answer, Rejection> {
        let format = exchange.format.unwrap_or(Format::Json);
        let credential = self.patience.current(&wish.credential).await;
        let wish = Wish { credential: credential.ok_or(Rejection::KeyHeld)?, ..wish };
        if let Some(touch) = &exchange.touch {
            touch.sent();
        }
        let record = &exchange.call.request.record;
        // Before the panel is asked: where its answer is lost, a key may have been made all the same.
        self.auditor.allowed(record, &self.routes);
        let caught = self.catch(wish).await.map_err(refusal);
        if let Err(rejection) = &caught {
            self.auditor.failed(record, &self.routes, rejection.code());
        }
        caught.map(|caught| confirmation(&caught, format))
    }

    /// Who is refused because his key was replaced meanwhile asks once more: no key was made.
    async fn catch(&self, wish: Wish) -> Result<Caught, Uncaught> {
        let caught = self.rotor.catch(wish.clone()).await;
        if !matches!(caught, Err(Uncaught::Refused)) {
            return caught;
        }
        match self.patience.replaced(&wish.credential).await {
            Some(credential) => self.rotor.catch(Wish { credential, ..wish }).await,
            None => caught,
        }
    }
}

/// Says where the key is. Names have no character that either format would have to escape.
fn confirmation(caught: &Caught, format: Format) -> Answer {
    let text = match (caught, format) {
        (Caught::Credential(name, generation), Format::Json) => {
            format!("{{\"key\":{{\"credential\":\"{name}\",\"generation\":{generation}}}}}")
        }
        (Caught::Pending(row), Format::Json) => format!("{{\"key\":{{\"pending\":{row}}}}}"),
        (Caught::Credential(name, generation), Format::Xml) => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<key>\n  <credential>{name}</credential>\n  \
             <generation type=\"integer\">{generation}</generation>\n</key>\n"
        ),
        (Caught::Pending(row), Format::Xml) => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<key>\n  \
             <pending type=\"integer\">{row}</pending>\n</key>\n"
        ),
    };
    let mut answer = Answer::new(Body::from(Bytes::from(text)));
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn refusal(uncaught: Uncaught) -> Rejection {
    match uncaught {
        Uncaught::Away => Rejection::VaultAway,
        Uncaught::Busy => Rejection::KeyHeld,
        Uncaught::No(note) => Rejection::NoKey(note),
        Uncaught::Refused => Rejection::CredentialRefused,
        Uncaught::Unreachable => Rejection::UpstreamUnreachable,
        Uncaught::Silent => Rejection::UpstreamTimedOut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        body::Read,
        transcode::{
            tree::Bounds,
            xml::{self, Mixed},
        },
    };

    #[tokio::test]
    async fn a_confirmation_can_be_read_in_either_format() {
        for caught in [Caught::Credential("a.b_c@d-e".to_owned(), 2), Caught::Pending(7)] {
            for format in [Format::Json, Format::Xml] {
                let (head, body) = confirmation(&caught, format).into_parts();
                let Ok(Read::Whole(body)) = body.read_up_to(1024).await else { panic!("long") };
                let read = match format {
                    Format::Json => serde_json::from_slice::<serde_json::Value>(&body).is_ok(),
                    Format::Xml => xml::read(&body, Mixed::Refused, Bounds::REPLY).is_ok(),
                };
                assert!(read, "{body:?}");
                assert_eq!(head.headers["cache-control"], "no-store");
            }
        }
    }
}
