//! What a token's policies say of a request: what it may name, what it may remove, and how often.
//!
//! An operator writes a [`PolicyDocument`](document::PolicyDocument). It is made into
//! [`Policies`](policies::Policies), which judge an [`Act`](act::Act). What is counted is held by
//! [`Acts`](cap::Acts) and by [`Usage`](usage::Usage). Pure: no I/O, and times are arguments.
//!
//! 1. What a document leaves out says nothing; an empty one permits everything. What it does say is
//!    checked as a whole, and one wrong entry refuses all of it.
//! 2. Each part has a [`Mode`]. In shadow it is judged and counted, and refuses nothing; whether
//!    another part refuses makes no difference to that.
//! 3. Methods: the method that will run must be listed. HEAD counts as GET.
//! 4. Paths: denial wins. Where something is allowed, a path needs an allowed pattern whose
//!    parameters it fits; a denied one holds for whatever stands at a parameter's place, and
//!    whatever format suffix follows. A path that is too long for any pattern is refused.
//! 5. Resources: the path must lie at or below an item that is listed. Lists do not.
//! 6. Protected: nothing is removed or rebuilt at or below an item that is listed, nor above it,
//!    because what belongs to an item goes with it.
//! 7. An item has two names, its number and its identifier, and either stands for it. Doubt
//!    refuses: where it is not known whether two names are of one item, resources do not permit it,
//!    and what is protected stays protected. The same goes for what has the shape of neither name,
//!    since Rails takes `7-foo` for 7.
//! 8. A policy knows paths. An item that can be reached by another path as well, such as a disk
//!    under `/settings/disks`, has to be listed under both.

pub mod act;
pub mod allowance;
pub mod cap;
pub mod document;
pub mod month;
pub mod policies;
mod reference;
pub mod usage;

pub use crate::vocabulary::{PolicyMode as Mode, PolicyName};
