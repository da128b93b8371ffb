//! `POST /purge`: the one route of this listener that changes something, so it asks for a token.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::sleep};

use super::{Admin, token::VARIABLE};
use crate::{
    purge::{Purge, PurgeError, Purged, SelectorError, Selectors},
    vocabulary::InvalidationCause,
};

/// Does what a purge asks for.
pub type RunPurge = Arc<dyn Fn(&Purge) -> Result<Purged, PurgeError> + Send + Sync>;

/// The body of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Why, in words.
    pub errors: Vec<String>,
}

/// Why nothing was purged.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "this server has no admin token: set admin.token_file in the configuration, or {VARIABLE}, \
         and start it anew"
    )]
    NoToken,
    #[error("the admin token is missing or wrong")]
    WrongToken,
    #[error("the body has more than {BODY_MAX} bytes")]
    TooLarge,
    #[error("the body broke off")]
    Broken,
    #[error("the body is no purge: {0}")]
    Syntax(serde_json::Error),
    #[error(transparent)]
    Selectors(#[from] SelectorError),
    #[error(transparent)]
    Purge(#[from] PurgeError),
}

/// Where a purge is asked for.
pub const PATH: &str = "/purge";

/// The largest body of a request for one.
const BODY_MAX: usize = 16 << 10;

/// Answers a request for a purge.
pub(super) async fn purge(State(admin): State<Admin>, headers: HeaderMap, body: Body) -> Response {
    match answer(&admin, &headers, body).await {
        Ok(purged) => json(StatusCode::OK, &purged),
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(admin: &Admin, headers: &HeaderMap, body: Body) -> Result<Purged, Refusal> {
    // Before anything is read for a stranger.
    let token = admin.token.as_ref().ok_or(Refusal::NoToken)?;
    if !bearer(headers).is_some_and(|presented| token.is(presented)) {
        return Err(Refusal::WrongToken);
    }
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Refusal::TooLarge } else { Refusal::Broken }
    })?;
    let selectors: Selectors = serde_json::from_slice(&body.to_bytes()).map_err(Refusal::Syntax)?;
    let purge = Purge::try_from(selectors)?;
    if !purge.is_soft() {
        return Ok(run(admin, &purge)?);
    }
    // It looks at all that is kept: beside the requests, and only one at a time does.
    let turn = Arc::clone(&admin.softening).lock_owned().await;
    let admin = admin.clone();
    let softening = spawn_blocking(move || {
        let purged = run(&admin, &purge);
        drop(turn);
        purged
    });
    let purged = softening.await.expect("to look at entries does not panic")?;
    // What is asked for within the millisecond counts as asked for before it: who is told of it
    // comes later.
    sleep(Duration::from_millis(1)).await;
    Ok(purged)
}

/// Does it, counts it and logs it, whether or not anybody waits for the answer.
fn run(admin: &Admin, purge: &Purge) -> Result<Purged, PurgeError> {
    let purged = (admin.purge)(purge)?;
    let cause =
        if purge.is_soft() { InvalidationCause::SoftPurge } else { InvalidationCause::Purge };
    admin.metrics.invalidations.of(cause).inc();
    let families = purged.families.join(",");
    let said = if purge.is_soft() { "marked stale" } else { "purged" };
    tracing::info!(credentials = purged.partitions, families, entries = purged.entries, "{said}");
    Ok(purged)
}

/// What stands behind `Bearer` in the one `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("strings and numbers always serialize");
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken => StatusCode::FORBIDDEN,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Syntax(_) | Self::Selectors(_) => StatusCode::BAD_REQUEST,
            Self::Purge(_) => StatusCode::NOT_FOUND,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = json(status, &Refused { errors: vec![self.to_string()] });
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
