//! The closed lists of what becomes of a client's connection.

use crate::closed;

closed! {
    /// Why a connection was not served, or no longer.
    pub enum ConnectionEnd {
        /// The client closed it.
        Closed => "closed",
        /// Over the cap of all connections.
        TooMany => "too_many",
        /// Over the cap of its address.
        TooManyFromAddress => "too_many_from_address",
        /// Too many handshakes under way.
        TooManyHandshakes => "too_many_handshakes",
        /// The handshake failed or took too long.
        Handshake => "handshake",
        /// Nothing came after the handshake.
        FirstByteTimeout => "first_byte_timeout",
        /// A head or an HTTP/2 preface was not completed in time, or the connection idled.
        HeadTimeout => "head_timeout",
        /// A reply was not read in time.
        WriteStalled => "write_stalled",
        /// It had reached its greatest age.
        MaxAge => "max_age",
        /// Nothing was asked for too long.
        Idle => "idle",
        /// The client no longer answered pings.
        Unresponsive => "unresponsive",
        /// The client broke the protocol.
        Protocol => "protocol",
        /// A reply broke off after its head had been sent.
        Aborted => "aborted",
        /// The process is ending.
        Drained => "drained",
    }
}

closed! {
    /// The protocol that a connection speaks.
    pub enum Protocol {
        /// HTTP/1.1.
        Http1 => "http/1.1",
        /// HTTP/2.
        Http2 => "h2",
    }
}
