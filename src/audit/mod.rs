//! Who changed what, and who was refused: a log that cannot be changed unseen where it is signed.
//!
//! 1. An *event* says who did what, what came of it, from where and in which request.
//! 2. A *link* is an event in its place. Its hash covers the name of its chain, its number, its
//!    time, its event, and the hash of the link before; so whoever changes one has to change all
//!    that follow.
//! 3. A *head* is the end of a chain, signed. What stands at or before it cannot be changed at all
//!    without the key.
//! 4. Retention deletes links from the front, and leaves a *checkpoint*: the last link that went,
//!    signed. Without it a chain begins at link 1, and nowhere else. The checkpoint and the
//!    deletion belong in one transaction, since a link that should be gone breaks the chain, too.
//!
//! 5. Nothing is appended to a chain whose end has no signature of the same key: it would vouch for
//!    what others have put in. An operator can accept such a chain as it is. Then a checkpoint is its
//!    new beginning, what stands before is kept without being vouched for, and the first event
//!    behind it tells of that.
//!
//! What that does not show: links behind the latest head are bound by hashes alone, so whoever can
//! write the store can replace them, or cut them off. The same holds for what stands behind an
//! older head, once the later heads are deleted with it; a head that is also kept elsewhere
//! prevents that, and a server that runs remembers the last one that it has signed. Whoever has the
//! key can sign anything. A time is what the clock said, and is not judged.
//!
//! This folder does no I/O and holds no clock. It imports nothing of ours but the closed lists.

pub mod chain;
pub mod event;
pub mod head;
pub mod verify;

mod encoding;
mod word;
