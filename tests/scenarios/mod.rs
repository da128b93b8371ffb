//! Scenarios, one file an area, the basic ones first in each.

mod absent;
mod cache;
mod canary;
mod conversion;
mod credentials;
mod derived;
mod directives;
mod disclosure;
mod formats;
mod idempotency;
mod limits;
mod members;
mod overrides;
mod passing;
mod policies;
mod precision;
mod purge;
mod rejections;
mod revalidation;
mod sampler;
mod scopes;
mod stale;
mod streaming;
mod transactions;
mod views;
mod writes;
