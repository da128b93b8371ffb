//! No core dump of a process that has keys in its memory, and no look into it by its user's others.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Turns core dumps off for good. Where the kernel hands them to a program instead of a file, the
/// limit does not count; so the process is marked besides, which keeps debuggers of its user out, too.
pub fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn the_process_leaves_no_core() {
        forbid().expect("to have less needs no privilege");
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(dumpable_behavior().expect("known"), DumpableBehavior::NotDumpable);
        forbid().expect("twice is no error");
    }
}
