//! Tollgate: an HTTPS gateway in front of the CloudFlow (OnApp) cloud API.
//!
//! `gateway.rs` is the request path; ARCHITECTURE.md is the map.

pub mod cache;
pub mod demo;
pub mod limit;
pub mod metrics;
pub mod settings;
pub mod vocabulary;
