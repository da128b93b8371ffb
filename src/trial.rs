//! Whether an upstream takes the secret of a credential: it is asked for the profile that it is of,
//! which every user may read.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION},
};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    net::{
        server::ClientBody,
        upstream::{Upstream, UpstreamError, never},
    },
    vocabulary::{Closed as _, Format, UpstreamCause},
};

/// How many secrets are tested at once, however many connections an upstream has.
pub const AT_ONCE: usize = 8;

/// Why nobody knows whether it does.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It could not be asked, or did not answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Whoever asks has waited long enough.
    #[error("no answer within {} ms (admin.operation_timeout)", after.as_millis())]
    Late {
        /// For how long it was waited.
        after: Duration,
    },
}

/// What an upstream, which may have one format alone, answers to a secret.
pub async fn ask(
    pool: &Arc<Upstream<ClientBody>>,
    only_format: Option<Format>,
    authorization: HeaderValue,
) -> Result<StatusCode, UpstreamError> {
    let format = only_format.unwrap_or(Format::Json).as_str();
    let (path, accept) = (format!("/profile.{format}"), format!("application/{format}"));
    let mut request = Request::new(ClientBody::empty());
    *request.uri_mut() = Uri::try_from(path).expect("a path");
    request.headers_mut().insert(AUTHORIZATION, authorization);
    request.headers_mut().insert(ACCEPT, HeaderValue::try_from(accept).expect("ASCII"));
    let reply = pool.exchange(UpstreamCause::Probe, request, || (), never).await?;
    Ok(reply.status())
}

/// The turns of those who test secrets: tenants have the same connections, and what waits for one of them
/// is refused where the queue of that upstream is short.
pub fn turns(max_connections: u32) -> Semaphore {
    let share = usize::try_from(max_connections / 4).unwrap_or(AT_ONCE);
    Semaphore::new(share.clamp(1, AT_ONCE))
}

/// The same in its turn and within a time, for whoever has to be answered himself.
pub async fn ask_within(
    patience: Duration,
    turns: &Semaphore,
    pool: &Arc<Upstream<ClientBody>>,
    only_format: Option<Format>,
    authorization: HeaderValue,
) -> Result<StatusCode, TrialError> {
    let asked = async {
        let _turn = turns.acquire().await.expect("nobody closes it");
        ask(pool, only_format, authorization).await
    };
    Ok(timeout(patience, asked).await.map_err(|_| TrialError::Late { after: patience })??)
}
