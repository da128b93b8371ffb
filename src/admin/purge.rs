//! `POST /purge`: makes what is kept stale, for whoever has the admin token.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    Admin,
    access::{Denied, admit, json, refused},
};
use crate::{
    audit::event::Action,
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
    admin.auditor.done(Action::Purge, if families.is_empty() { "all" } else { &families });
    let said = if purge.is_soft() { "marked stale" } else { "purged" };
    tracing::info!(credentials = purged.partitions, families, entries = purged.entries, "{said}");
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
