//! `/v1/audit`: who did what, and whether the log is whole.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::json,
    asked::{Asking, PageQuery, VerifyQuery},
};
use crate::{
    admin::{
        Admin,
        access::{Owner, Viewer},
        problem::Refusal,
    },
    operations::{
        Listed, Means,
        audit::{self, AuditEvent, Verified},
    },
    tenants::store::{Store, audit::Accepted},
};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_audit_events))
        .routes(routes!(verify_audit_log))
        .routes(routes!(accept_audit_log))
}

/// List the events of the audit log, the oldest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit",
    params(PageQuery),
    responses(
        (status = 200, description = "A part of the log", body = Listed<AuditEvent>),
        (status = 409, description = "What stands there is no event"),
    ),
)]
async fn list_audit_events(
    State(admin): State<Admin>,
    _: Viewer,
    Asking(query): Asking<PageQuery>,
) -> Result<Response, Refusal> {
    let page = query.page()?;
    let part = admin.office.view(move |view| Ok(audit::list(view, &page)?)).await?;
    Ok(json(StatusCode::OK, &part))
}

/// Check that no event was altered, removed or put in, and that the end is signed.
#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit",
    params(VerifyQuery),
    responses(
        (status = 200, description = "The log is whole", body = Verified),
        (status = 409, description = "The log is broken"),
    ),
)]
async fn verify_audit_log(
    State(admin): State<Admin>,
    Viewer(caller): Viewer,
    Asking(query): Asking<VerifyQuery>,
) -> Result<Response, Refusal> {
    let kept = query.place()?;
    // It may take long, and others have to do in the meantime.
    let turn = Arc::clone(&admin.verifying).try_lock_owned().map_err(|_| Refusal::Verifying)?;
    let verify = move |store: &mut Store, means: &Means<'_>, _| {
        let _turn = turn;
        Ok(audit::verify(store, means.vault.keyring, kept)?)
    };
    Ok(json(StatusCode::OK, &admin.office.work(&caller, verify).await?))
}

/// Let a log that is not whole begin anew behind what stands there, and note that.
///
/// For a log that was tampered with, or is signed under a master key that is lost: until then nothing can
/// be changed. Nothing is deleted, but nothing vouches for what stands there any more.
#[utoipa::path(
    post, path = "/v1/audit/accept", tag = "audit",
    responses(
        (status = 200, description = "It begins anew", body = Accepted),
        (status = 409, description = "The log is whole"),
    ),
)]
async fn accept_audit_log(
    State(admin): State<Admin>,
    Owner(caller): Owner,
) -> Result<Response, Refusal> {
    let turn = Arc::clone(&admin.verifying).try_lock_owned().map_err(|_| Refusal::Verifying)?;
    let accept = move |store: &mut Store, means: &Means<'_>, now| {
        let _turn = turn;
        Ok(audit::accept(store, means.vault.keyring, now)?)
    };
    Ok(json(StatusCode::OK, &admin.office.work(&caller, accept).await?))
}
