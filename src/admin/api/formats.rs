//! `/v1/formats`: the maps of formats, out and in.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{answered::json, asked::Bulk};
use crate::{
    admin::{
        Admin,
        access::{Operator, Viewer},
        problem::Refusal,
    },
    audit::event::Action,
    formats::Shown,
};

/// What became of maps that were handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportedMaps)]
pub struct Imported {
    /// How many were taken; the others' routes are proven already.
    pub taken: usize,
}

/// Where the maps are asked for.
pub const PATH: &str = "/v1/formats";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(list_formats, import_formats))
}

/// Show what has been learned of the formats of routes.
#[utoipa::path(
    get, path = "/v1/formats", tag = "formats",
    responses((status = 200, description = "The maps", body = Vec<Shown>)),
)]
async fn list_formats(State(admin): State<Admin>, _: Viewer) -> Response {
    json(StatusCode::OK, &admin.formats.shown())
}

/// Take maps that were learned elsewhere; each is used when it has reproduced a pair here.
#[utoipa::path(
    post, path = "/v1/formats", tag = "formats",
    request_body = Vec<Shown>,
    responses((status = 200, description = "They are taken", body = Imported)),
)]
async fn import_formats(
    State(admin): State<Admin>,
    Operator(caller): Operator,
    Bulk { value, .. }: Bulk<Vec<Shown>>,
) -> Result<Response, Refusal> {
    let place = admin.auditor.place().ok_or(Refusal::Unwritten)?;
    let taken = admin.formats.import(value)?;
    place.done(caller.author(), Action::FormatsImport, &format!("{taken} maps"));
    tracing::info!(taken, "maps of formats were handed in");
    Ok(json(StatusCode::OK, &Imported { taken }))
}
