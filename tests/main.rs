//! The one integration test binary: whole processes of Tollgate in front of scripted origins.
#![expect(unreachable_pub, reason = "`pub` marks what the harness offers to scenarios")]

mod harness;
mod scenarios;
mod tidy;
mod wire;
