//! `GET /explain/ID` and `POST /explain`: why a request was answered as it was, or would be.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use http_body_util::{BodyExt as _, Limited};

use super::{
    Admin,
    access::{Denied, admit, json, refused},
};
use crate::{
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

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{0:?} is no request id: those have 16 hexadecimal digits")]
    NoId(String),
    #[error(
        "the request {0} is not remembered: it was never made here, or more came since than \
         explain.decisions in the configuration says"
    )]
    Forgotten(String),
    #[error("the body broke off, or has more than {BODY_MAX} bytes")]
    Body,
    #[error("the body is no dry run: {0}")]
    Syntax(serde_json::Error),
    #[error(transparent)]
    DryRun(#[from] DryRunError),
}

/// Where explanations are asked for.
pub const PATH: &str = "/explain";

/// The largest body of a request for one.
const BODY_MAX: usize = 32 << 10;

/// Answers why a request was answered as it was.
pub(super) async fn past(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = admit(&admin, &headers).map_err(Refusal::from).and_then(|()| {
        let id = RequestId::parse(&id).ok_or_else(|| Refusal::NoId(id.clone()))?;
        admin.explain.past(id).ok_or_else(|| Refusal::Forgotten(id.as_str().to_owned()))
    });
    respond(found)
}

/// Answers how a request would be answered.
pub(super) async fn dry_run(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    respond(run(&admin, &headers, body).await)
}

async fn run(admin: &Admin, headers: &HeaderMap, body: Body) -> Result<Explanation, Refusal> {
    admit(admin, headers)?;
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(|_| Refusal::Body)?;
    let run: DryRun = serde_json::from_slice(&body.to_bytes()).map_err(Refusal::Syntax)?;
    Ok(admin.explain.dry_run(&run)?)
}

fn respond(found: Result<Explanation, Refusal>) -> Response {
    match found {
        Ok(explanation) => json(StatusCode::OK, &explanation),
        Err(refusal) => {
            let status = match &refusal {
                Refusal::Denied(denied) => denied.status(),
                Refusal::Forgotten(_) | Refusal::DryRun(DryRunError::NoToken(_)) => {
                    StatusCode::NOT_FOUND
                }
                Refusal::NoId(_) | Refusal::Body | Refusal::Syntax(_) | Refusal::DryRun(_) => {
                    StatusCode::BAD_REQUEST
                }
            };
            refused(status, &refusal)
        }
    }
}
