//! Tollgate: an HTTPS gateway in front of the CloudFlow (OnApp) cloud API.
//!
//! `gateway.rs` is the request path; ARCHITECTURE.md is the map.

pub mod accounts;
pub mod admin;
pub mod api;
pub mod audit;
pub mod auditor;
pub mod auth;
pub mod body;
pub mod cache;
pub mod call;
pub mod canary;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod closed;
pub mod config;
pub mod demo;
pub mod dry_run;
pub mod error_chain;
pub mod explain;
pub mod formats;
pub mod gateway;
pub mod idempotency;
pub mod keeper;
pub mod layers;
pub mod limit;
pub mod metrics;
pub mod net;
pub mod objects;
pub mod operations;
pub mod policy;
pub mod purge;
pub mod record;
pub mod rejection;
pub mod rotation;
pub mod sampler;
pub mod serve;
pub mod settings;
pub mod site;
pub mod telemetry;
pub mod tenants;
pub mod transcode;
pub mod trial;
pub mod vocabulary;
pub mod watch;
