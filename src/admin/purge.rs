//! `POST /purge`: makes what is kept stale, for whoever has the admin token.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::{
    Admin,
    access::{Denied, admit, json, refused},
};
use crate::{
    purge::{Purge, PurgeError, Purged, SelectorError, Selectors},
    vocabulary::InvalidationCause,
};

/// Does what a purge asks for.
pub type RunPurge = Arc<dyn Fn(&Purge) -> Result<Purged, PurgeError> + Send + Sync>;

/// Why nothing was purged.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Denied(#[from] Denied),
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
    admit(admin, headers)?;
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Refusal::TooLarge } else { Refusal::Broken }
    })?;
    let selectors: Selectors = serde_json::from_slice(&body.to_bytes()).map_err(Refusal::Syntax)?;
    let purged = (admin.purge)(&Purge::try_from(selectors)?)?;
    admin.metrics.invalidations.of(InvalidationCause::Purge).inc();
    let families = purged.families.join(",");
    tracing::info!(credentials = purged.partitions, families, "purged");
    Ok(purged)
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => denied.status(),
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Syntax(_) | Self::Selectors(_) => StatusCode::BAD_REQUEST,
            Self::Purge(_) => StatusCode::NOT_FOUND,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(self.status(), &self)
    }
}
