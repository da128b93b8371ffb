//! Whether an upstream takes the secret of a credential: it is asked for the profile that it is of,
//! which every user may read.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION},
};

use crate::{
    net::{
        server::ClientBody,
        upstream::{Upstream, UpstreamError, never},
    },
    vocabulary::{Closed as _, Format, UpstreamCause},
};

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

/// The same within a time, for whoever has to be answered himself.
pub async fn ask_within(
    patience: Duration,
    pool: &Arc<Upstream<ClientBody>>,
    only_format: Option<Format>,
    authorization: HeaderValue,
) -> Result<StatusCode, TrialError> {
    let asked = tokio::time::timeout(patience, ask(pool, only_format, authorization)).await;
    Ok(asked.map_err(|_| TrialError::Late { after: patience })??)
}
