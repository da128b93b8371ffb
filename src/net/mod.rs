//! Sockets: the front door, its certificates, and what every hop has to remove.

pub mod file_limit;
pub mod hop_by_hop;
pub mod server;
pub mod tls;
