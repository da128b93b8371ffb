//! The limit of open files, raised once at the start: every connection needs a descriptor.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one; the answer is what is in force now, none
/// for "unlimited".
///
/// The soft limit is 1024 on most systems, for the sake of programs that use `select`.
pub fn raise() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(limit.maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let most = raise().expect("raising up to the hard limit needs no privilege");
        assert_eq!(getrlimit(Resource::Nofile).current, most);
        assert_eq!(raise().expect("raising twice is no error"), most);
    }
}
