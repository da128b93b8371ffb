//! `tollgate credential test`: asks the upstream whether it takes a credential. What is added or
//! rotated is tested likewise, before it is stored.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::{failure::Failure, output::Output, serve::runtime};
use crate::{
    auth::keyring::Keyring,
    clock::unix,
    config::{Config, Upstream as Settings},
    metrics::Metrics,
    net::upstream::Upstream,
    serve::StartError,
    tenants::{
        record::Noun,
        secret::{UpstreamSecret, Vault},
        store::{Store, StoreError},
    },
    trial,
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
    let secret = opened.map_err(|why| refused(why.to_string()))?;
    match try_out(config, &record.upstream, &secret)? {
        StatusCode::OK => {
            let tested = Tested { credential: name, upstream: &record.upstream, ok: true };
            output.one(&tested, &format!("{} takes credential {name}", record.upstream))
        }
        status => Err(refused(format!("it answered {status}"))),
    }
}

/// Lets a secret pass that is about to be stored, if its upstream takes it.
pub fn admit(
    config: &Config,
    name: &str,
    upstream: &str,
    secret: &UpstreamSecret,
) -> Result<(), Failure> {
    let name = || name.to_owned();
    let untested = |why: Failure| Failure::Untested { name: name(), why: Box::new(why) };
    match try_out(config, upstream, secret).map_err(untested)? {
        StatusCode::OK => Ok(()),
        status @ StatusCode::UNAUTHORIZED => {
            let why = format!("it answered {status}; nothing was stored");
            Err(Failure::Refused { name: name(), why })
        }
        status => Err(untested(Failure::Answered { upstream: upstream.to_owned(), status })),
    }
}

/// What an upstream answers to a secret.
fn try_out(
    config: &Config,
    upstream: &str,
    secret: &UpstreamSecret,
) -> Result<StatusCode, Failure> {
    let unknown = || Failure::UnknownUpstream(upstream.to_owned());
    let settings = config.upstreams.get(upstream).ok_or_else(unknown)?;
    runtime(1)?.block_on(ask(upstream, settings, secret.authorization()))
}

async fn ask(
    name: &str,
    settings: &Settings,
    authorization: HeaderValue,
) -> Result<StatusCode, Failure> {
    let metrics = Arc::new(Metrics::new());
    let pool = Upstream::new(settings.origin.clone(), settings.config.clone(), metrics)
        .map_err(|source| StartError::Upstream { name: name.to_owned(), source })?;
    let asked = trial::ask(&pool, settings.config.only_format, authorization).await;
    let silent = |source| Failure::Silent { upstream: name.to_owned(), source };
    asked.map_err(silent)
}
