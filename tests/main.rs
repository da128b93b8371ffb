//! The one integration test binary: whole processes of Tollgate in front of scripted origins, of
//! the simulated panel, and before real clients.
#![expect(unreachable_pub, reason = "`pub` marks what the harness offers to scenarios")]

mod api;
mod cli;
mod clients;
mod corpus;
mod harness;
mod panel;
mod program;
mod races;
mod rails;
mod release;
mod scenarios;
mod tidy;
mod wire;
