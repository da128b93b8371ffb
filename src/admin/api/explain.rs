//! `/v1/explain`: why a request was answered as it was, or would be.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answered::json,
    asked::{Json, Named},
};
use crate::{
    admin::{Admin, access::Operator, problem::Refusal},
    dry_run::{DryRun, DryRunError},
    explain::Explanation,
    record::RequestId,
};

/// Explains requests.
pub trait Explain: Send + Sync {
    /// Why one was answered as it was; none if it is not remembered.
    fn past(&self, id: RequestId) -> Option<Explanation>;
    /// How one would be answered.
    fn dry_run(&self, run: &DryRun) -> Result<Explanation, DryRunError>;
}

/// Whoever explains.
pub type Explainer = Arc<dyn Explain>;

/// Where explanations are asked for.
pub const PATH: &str = "/v1/explain";

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(explain_request)).routes(routes!(explain_dry_run))
}

/// Say why a request was answered as it was.
#[utoipa::path(
    get, path = "/v1/explain/{id}", tag = "explain",
    params(("id" = String, Path, description = "The id of the request")),
    responses((status = 200, description = "Why", body = Explanation)),
)]
async fn explain_request(
    State(admin): State<Admin>,
    _: Operator,
    Named(id): Named,
) -> Result<Response, Refusal> {
    let id = RequestId::parse(&id).ok_or(Refusal::NoId(id))?;
    let past = admin.explain.past(id);
    let past = past.ok_or_else(|| Refusal::Forgotten(id.as_str().to_owned()))?;
    Ok(json(StatusCode::OK, &past))
}

/// Say how a request would be answered, and send nothing.
#[utoipa::path(
    post, path = "/v1/explain", tag = "explain",
    request_body = DryRun,
    responses(
        (status = 200, description = "How", body = Explanation),
        (status = 404, description = "There is no such token"),
    ),
)]
async fn explain_dry_run(
    State(admin): State<Admin>,
    _: Operator,
    Json { value, .. }: Json<DryRun>,
) -> Result<Response, Refusal> {
    Ok(json(StatusCode::OK, &admin.explain.dry_run(&value)?))
}
