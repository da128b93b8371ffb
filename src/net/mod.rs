//! Sockets: the side that faces clients and the side that faces the upstream.

pub mod upstream;
