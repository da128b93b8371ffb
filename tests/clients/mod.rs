//! Real clients, unmodified, and what the others are known to send, before a demo.

mod curl;
mod libcloud;
mod prometheus;
mod quirks;
