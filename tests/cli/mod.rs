//! The program as its users start it: arguments, standard streams, signals, exit codes.

mod administration;
mod apply;
mod audit;
mod caps;
mod check;
mod demo;
mod explain;
mod formats;
mod idempotency;
mod installation;
mod lost;
mod newcomer;
mod online;
mod postgres;
mod purge;
mod rotation;
mod serve;
mod turns;
mod unheard;
mod upstreams;
mod vault;
mod way;

pub use installation::{Installation, Server};
pub use purge::{Place, TOKEN};
