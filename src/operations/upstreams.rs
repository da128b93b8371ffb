//! The upstreams, which the configuration defines.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upstream {
    /// The name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// How many connections are open to it at most.
    pub max_connections: u32,
}
