//! The routes that make a key.

use http::Method;

use super::{RouteTable, bare_segments};
use crate::api::target::Target;

/// How a route makes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mint {
    /// Beside those that there are.
    Add,
    /// In the place of the one that the profile shows.
    Replace,
}

impl RouteTable {
    /// How a request to the target makes a key, and the number of the user.
    pub fn mints(&self, method: &Method, target: &Target) -> Option<(Mint, u64)> {
        let segments = bare_segments(target);
        let found = self.mints.find(&segments).filter(|_| *method == Method::POST)?;
        let user = segments.iter().find_map(|segment| segment.parse().ok())?;
        (!found.odd).then_some((*found.value, user))
    }
}
