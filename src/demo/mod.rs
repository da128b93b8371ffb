//! What `tollgate demo` and the tests stand on: a control panel that needs nothing but a port.

pub mod simulator;
