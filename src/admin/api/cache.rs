//! `/v1/purge`: makes what is kept stale.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use tokio::{task::spawn_blocking, time::sleep};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{answered::json, asked::Json};
use crate::{
    admin::{
        Admin,
        access::{Caller, Operator},
        problem::Refusal,
    },
    audit::event::Action,
    purge::{Purge, PurgeError, Purged, Selectors},
    vocabulary::InvalidationCause,
};

/// Does what a purge asks for.
pub type RunPurge = Arc<dyn Fn(&Purge) -> Result<Purged, PurgeError> + Send + Sync>;

/// Where a purge is asked for.
pub const PATH: &str = "/v1/purge";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(purge))
}

/// Make what is kept stale, so that it is fetched anew.
#[utoipa::path(
    post, path = "/v1/purge", tag = "cache",
    request_body = Selectors,
    responses(
        (status = 200, description = "It is stale", body = Purged),
        (status = 404, description = "What is named is not there"),
    ),
)]
async fn purge(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Json { value, .. }: Json<Selectors>,
) -> Result<Response, Refusal> {
    let purged = run(&admin, caller, Purge::try_from(value)?).await?;
    Ok(json(StatusCode::OK, &purged))
}

async fn run(admin: &Admin, caller: Caller, purge: Purge) -> Result<Purged, Refusal> {
    if !purge.is_soft() {
        return run_now(admin, &caller, &purge);
    }
    // It looks at all that is kept: beside the requests, and only one at a time does.
    let turn = Arc::clone(&admin.softening).lock_owned().await;
    let admin = admin.clone();
    let softening = spawn_blocking(move || {
        let purged = run_now(&admin, &caller, &purge);
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
fn run_now(admin: &Admin, caller: &Caller, purge: &Purge) -> Result<Purged, Refusal> {
    let place = admin.auditor.place().ok_or(Refusal::Unwritten)?;
    let purged = (admin.purge)(purge)?;
    let cause =
        if purge.is_soft() { InvalidationCause::SoftPurge } else { InvalidationCause::Purge };
    admin.metrics.cache.invalidations.of(cause).inc();
    let families = purged.families.join(",");
    let object = if families.is_empty() { "all" } else { &families };
    place.done(caller.author(), Action::Purge, object);
    let said = if purge.is_soft() { "marked stale" } else { "purged" };
    tracing::info!(credentials = purged.partitions, families, entries = purged.entries, "{said}");
    Ok(purged)
}
