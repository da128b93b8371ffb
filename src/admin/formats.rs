//! `GET /formats` and `POST /formats`: the maps of formats, out and in.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    access::{Denied, admit, json, refused},
};
use crate::{
    audit::event::Action,
    formats::{ImportError, Shown},
};

/// What became of maps that were handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// How many were taken; the others' routes are proven already.
    pub taken: usize,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the body broke off, or has more than {BODY_MAX} bytes")]
    Body,
    #[error("the body is no list of maps: {0}")]
    Syntax(serde_json::Error),
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Where the maps are asked for.
pub const PATH: &str = "/formats";

/// The largest body of maps.
const BODY_MAX: usize = 16 << 20;

/// Answers what has been learned.
pub(super) async fn shown(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    match admit(&admin, &headers) {
        Ok(()) => json(StatusCode::OK, &admin.formats.shown()),
        Err(denied) => refused(denied.status(), &denied),
    }
}

/// Takes maps that were learned elsewhere.
pub(super) async fn import(State(admin): State<Admin>, headers: HeaderMap, body: Body) -> Response {
    match take(&admin, &headers, body).await {
        Ok(imported) => json(StatusCode::OK, &imported),
        Err(refusal) => {
            let status = match &refusal {
                Refusal::Denied(denied) => denied.status(),
                Refusal::Body | Refusal::Syntax(_) | Refusal::Import(_) => StatusCode::BAD_REQUEST,
            };
            refused(status, &refusal)
        }
    }
}

async fn take(admin: &Admin, headers: &HeaderMap, body: Body) -> Result<Imported, Refusal> {
    admit(admin, headers)?;
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(|_| Refusal::Body)?;
    let maps: Vec<Shown> = serde_json::from_slice(&body.to_bytes()).map_err(Refusal::Syntax)?;
    let taken = admin.formats.import(maps)?;
    admin.auditor.done(Action::FormatsImport, &format!("{taken} maps"));
    tracing::info!(taken, "maps of formats were handed in");
    Ok(Imported { taken })
}
