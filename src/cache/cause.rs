//! Why an epoch was raised last: for explanations alone, nothing is decided by it.

use crate::vocabulary::{Closed as _, InvalidationCause, Noted};

/// What raised an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A write of ours, by the number of its request.
    Request(u64),
    /// A transaction of the upstream, by its number.
    Transaction(u64),
    /// Something else.
    Other(InvalidationCause),
}

/// Two bits say which of them a number is; none of them is 0.
const KIND: u32 = 62;

impl Noted for Cause {
    // Of a number with more than 62 bits, which no transaction has, the rest is lost.
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Request(number) => (1, number),
            Self::Transaction(number) => (2, number),
            Self::Other(cause) => (3, cause.index() as u64),
        };
        kind << KIND | number & ((1 << KIND) - 1)
    }

    fn unpack(packed: u64) -> Option<Self> {
        let number = packed & ((1 << KIND) - 1);
        match packed >> KIND {
            1 => Some(Self::Request(number)),
            2 => Some(Self::Transaction(number)),
            3 => InvalidationCause::ALL.get(usize::try_from(number).ok()?).map(|c| Self::Other(*c)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_survives_its_number() {
        let others = InvalidationCause::ALL.iter().map(|cause| Cause::Other(*cause));
        let request = Cause::Request((1 << KIND) - 1);
        for cause in others.chain([request, Cause::Transaction(0), Cause::Transaction(7)]) {
            assert_ne!(cause.pack(), 0);
            assert_eq!(Cause::unpack(cause.pack()), Some(cause));
        }
        assert_eq!(Cause::unpack(0), None);
    }
}
