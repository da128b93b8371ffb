//! `/v1/import`: JSON lines of tenants, credentials and keys to adopt, all of them or none.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{answered::json, asked::Lines};
use crate::{
    admin::{Admin, access::Owner, problem::Refusal},
    operations::Means,
    tenants::{
        import::{Import, Imported},
        store::Store,
    },
};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(import_lines))
}

/// Import tenants, credentials and keys to adopt: all of them or none.
///
/// Each line is an object as `tollgate import --help` shows it. What is there already and equal is left
/// as it is, so an import may be repeated.
#[utoipa::path(
    post, path = "/v1/import", tag = "import",
    request_body(content((String = "application/x-ndjson"), (String = "text/plain"))),
    responses((status = 200, description = "What was added", body = Imported)),
)]
async fn import_lines(
    State(admin): State<Admin>,
    Owner(caller): Owner,
    Lines(lines): Lines,
) -> Result<Response, Refusal> {
    let import = move |store: &mut Store, means: &Means<'_>, now| {
        let Means { vault, scope, .. } = *means;
        Ok(Import { vault, scope, now }.run(store, &lines[..])?)
    };
    let imported = admin.office.work(&caller, import).await?;
    Ok(json(StatusCode::OK, &imported))
}
