//! `/v1/upstreams`: what the configuration defines.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::answered::json;
use crate::{
    admin::{Admin, access::Viewer},
    operations::{Listed, upstreams::Upstream},
};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(list_upstreams))
}

/// List the upstreams; there are never so many that it takes parts.
#[utoipa::path(
    get, path = "/v1/upstreams", tag = "upstreams",
    responses((status = 200, description = "All of them", body = Listed<Upstream>)),
)]
async fn list_upstreams(State(admin): State<Admin>, _: Viewer) -> Response {
    json(StatusCode::OK, &Listed { items: admin.upstreams.to_vec(), next: None })
}
