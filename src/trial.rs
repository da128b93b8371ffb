//! Whether an upstream takes the secret of a credential: it is asked for the profile that it is of,
//! which every user may read.

use std::sync::Arc;

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
