//! The demo as a whole: the simulated panel behind, real sockets in front, all in one process.

mod acceptance;
mod crowd;
pub mod formats;
mod histories;
mod house;
mod isolation;
mod meanings;
mod secrets;
mod trouble;
mod walk;
mod writes;

pub use house::{House, admin_at, basic, direct, local, request};
