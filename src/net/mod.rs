//! Sockets: the front door with its certificates, and the connections to the upstream.

pub mod file_limit;
pub mod hop_by_hop;
pub mod server;
pub mod tls;
pub mod upstream;
