//! Raw bytes through the whole gateway: what real and hostile clients write on the wire.

mod clients;
mod framing;
mod http2;
mod targets;
