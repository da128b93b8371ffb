//! `tollgate credential test`: asks the upstream whether it takes a credential.

use std::sync::Arc;

use http::{
    HeaderValue, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION},
};
use serde::Serialize;

use super::{failure::Failure, output::Output, serve::runtime};
use crate::{
    auth::keyring::Keyring,
    clock::unix,
    config::Config,
    metrics::Metrics,
    net::{server::ClientBody, upstream::Upstream, upstream::never},
    serve::StartError,
    tenants::{
        record::Noun,
        secret::Vault,
        store::{Store, StoreError},
    },
    vocabulary::UpstreamCause,
};

#[derive(Serialize)]
struct Tested<'a> {
    credential: &'a str,
    upstream: &'a str,
    ok: bool,
}

/// Asks for the credential's own profile, which every user may read.
pub fn run(
    config: &Config,
    master: Keyring,
    name: &str,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut store = Store::open(&config.tenants)?;
    let keyring = &store.unlock(master, unix(std::time::SystemTime::now()))?;
    let records = store.records()?;
    let record = records.credentials.iter().find(|c| c.name == name);
    let missing = || StoreError::Missing { noun: Noun::Credential, name: name.to_owned() };
    let record = record.ok_or_else(missing)?;
    let refused = |why: String| Failure::Refused { name: name.to_owned(), why };
    let origin = |name: &str| config.upstreams.get(name).map(|u| u.origin.to_string());
    let opened = Vault { keyring, origin: &origin }.open(record);
    let authorization = opened.map_err(|why| refused(why.to_string()))?.authorization();
    let status = runtime(1)?.block_on(ask(config, &record.upstream, authorization))?;
    if status == StatusCode::OK {
        let tested = Tested { credential: name, upstream: &record.upstream, ok: true };
        return output.one(&tested, &format!("{} takes credential {name}", record.upstream));
    }
    Err(refused(format!("GET /profile.json answered {status}")))
}

async fn ask(
    config: &Config,
    upstream: &str,
    authorization: HeaderValue,
) -> Result<StatusCode, Failure> {
    let refused = |why: &dyn std::error::Error| Failure::Refused {
        name: upstream.to_owned(),
        why: why.to_string(),
    };
    let Some(settings) = config.upstreams.get(upstream) else {
        return Err(Failure::Refused {
            name: upstream.to_owned(),
            why: "its upstream is not configured".to_owned(),
        });
    };
    let pool =
        Upstream::new(settings.origin.clone(), settings.config.clone(), Arc::new(Metrics::new()))
            .map_err(|source| StartError::Upstream { name: upstream.to_owned(), source })?;
    let mut request = Request::new(ClientBody::empty());
    *request.uri_mut() = http::Uri::from_static("/profile.json");
    request.headers_mut().insert(AUTHORIZATION, authorization);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let reply = pool.exchange(UpstreamCause::Probe, request, || (), never).await;
    Ok(reply.map_err(|error| refused(&error))?.status())
}
