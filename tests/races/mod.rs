//! What happens at once: flights, writes and their clients, changes under load, the end.

mod changes;
mod flights;
mod isolation;
mod outage;
mod refreshes;
mod secrets;
mod shutdown;
mod writes;
