//! Whether a chain is whole: each link as it was appended, none missing, and all as its heads say.

use std::{cmp::Ordering, iter::Peekable};

use super::{
    chain::{Link, Tail},
    head::{Checkpoint, Head, Verifier},
};

/// What was checked, and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The number of the first link that is kept, or of the next one if none is.
    pub first: u64,
    /// The number of the last link; one less than `first` if none is kept.
    pub last: u64,
    /// How many links there are.
    pub links: u64,
    /// How many heads name one of them.
    pub heads_checked: u64,
    /// The last link that a signature covers, be it a head's or the checkpoint's. What follows can
    /// have been replaced by whoever can write the store.
    pub signed_up_to: Option<u64>,
}

/// What is wrong with a chain, and at which link first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The checkpoint is of another chain, or its signature is wrong.
    #[error("the checkpoint at link {0} was not signed with this key for this chain")]
    Checkpoint(u64),
    /// The first link is not the one that follows the checkpoint, or the chain's start.
    #[error(
        "the first link is {found}, and not the link {sequence} that follows the chain's start or \
         its checkpoint"
    )]
    Detached {
        /// The number of the link that would follow.
        sequence: u64,
        /// The number of the link that comes first. An equal number is that of a link which
        /// follows something else.
        found: u64,
    },
    /// A link is not what its own hash was made of.
    #[error("link {0} was altered")]
    Altered(u64),
    /// A link of another chain is in the place of one of this chain.
    #[error("link {0} was replaced by a link of another chain")]
    OtherChain(u64),
    /// A link is not there.
    #[error("link {0} is missing")]
    Missing(u64),
    /// A link is there, but later than it should be, or again.
    #[error("link {0} is out of order")]
    OutOfOrder(u64),
    /// A link has the right number, and follows another link than the one before it.
    #[error("link {0} does not follow the link before it; one of the two was replaced")]
    Unchained(u64),
    /// The signature of a head is wrong.
    #[error("the signature of the head at link {0} is wrong")]
    HeadForged(u64),
    /// A head is of another chain.
    #[error("the head at link {0} is of another chain")]
    HeadOfAnotherChain(u64),
    /// A head names a hash that the chain does not have there.
    #[error("link {0} is not the one that its head was signed for")]
    HeadMismatch(u64),
    /// Links stand where a signature says that all were deleted.
    #[error("{links} events stand at or before link {sequence}, where the log does not begin")]
    Outside {
        /// The number of the last link that is not there.
        sequence: u64,
        /// How many there are.
        links: u64,
    },
    /// A head that was kept elsewhere names a link that was deleted.
    #[error("link {0} was deleted, and cannot be compared any more; keep a later head")]
    Deleted(u64),
    /// A head names a link beyond the end.
    #[error("link {sequence} and what follows were cut off: a head was signed at link {head}")]
    CutOff {
        /// The number of the first link that is gone.
        sequence: u64,
        /// The number of the link that the head names.
        head: u64,
    },
}

/// How far a chain has been followed.
struct Walk<'a, H: Iterator<Item = Head>> {
    verifier: &'a Verifier,
    /// What the next link has to follow.
    tail: Tail,
    /// The heads that are still ahead, in the order of their links.
    heads: Peekable<H>,
    report: Report,
}

/// Follows a chain from its start, or from its checkpoint, to its end.
///
/// Links and heads are taken in the order of their numbers, one at a time, and none is kept. Heads
/// before the first link that is kept are passed over, signature and all: retention has taken what
/// they name, and the key may have been another one then. What is found first is reported.
pub fn verify(
    chain: &str,
    links: impl IntoIterator<Item = Link>,
    heads: impl IntoIterator<Item = Head>,
    checkpoint: Option<&Checkpoint>,
    verifier: &Verifier,
) -> Result<Report, Broken> {
    let heads = heads.into_iter();
    let mut walk = Walk::begin(chain, heads, checkpoint, verifier)?;
    let mut links = links.into_iter();
    let walked = links.try_for_each(|link| walk.follow(&link));
    match walked {
        Ok(()) => walk.end(),
        Err(Broken::Missing(sequence)) => {
            // What is not here may stand further on.
            let late = links.any(|link| link.sequence == sequence && link.chain == chain);
            Err(if late { Broken::OutOfOrder(sequence) } else { Broken::Missing(sequence) })
        }
        Err(broken) => Err(broken),
    }
}

impl Broken {
    /// The number of the first link that is wrong, or whose signature is.
    pub fn sequence(self) -> u64 {
        match self {
            Self::Checkpoint(sequence)
            | Self::Detached { sequence, .. }
            | Self::Altered(sequence)
            | Self::OtherChain(sequence)
            | Self::Missing(sequence)
            | Self::OutOfOrder(sequence)
            | Self::Unchained(sequence)
            | Self::HeadForged(sequence)
            | Self::HeadOfAnotherChain(sequence)
            | Self::HeadMismatch(sequence)
            | Self::Outside { sequence, .. }
            | Self::Deleted(sequence)
            | Self::CutOff { sequence, .. } => sequence,
        }
    }
}

impl<'a, H: Iterator<Item = Head>> Walk<'a, H> {
    fn begin(
        chain: &str,
        heads: H,
        checkpoint: Option<&Checkpoint>,
        verifier: &'a Verifier,
    ) -> Result<Self, Broken> {
        let tail = match checkpoint {
            None => Tail::start(chain),
            Some(it) if it.chain == chain && verifier.has_signed_checkpoint(it) => it.tail(),
            Some(it) => return Err(Broken::Checkpoint(it.sequence)),
        };
        let mut heads = heads.peekable();
        while heads.next_if(|head| head.sequence <= tail.sequence).is_some() {}
        let report = Report {
            first: tail.sequence + 1,
            last: tail.sequence,
            links: 0,
            heads_checked: 0,
            signed_up_to: checkpoint.map(|checkpoint| checkpoint.sequence),
        };
        Ok(Self { verifier, tail, heads, report })
    }

    fn follow(&mut self, link: &Link) -> Result<(), Broken> {
        let sequence = self.tail.sequence + 1;
        // Its own hash comes first: a changed number or name is a change, and no gap.
        if link.hash != link.digest() {
            return Err(Broken::Altered(sequence));
        }
        if link.chain != self.tail.chain {
            return Err(Broken::OtherChain(sequence));
        }
        if link.sequence != sequence || link.previous != self.tail.hash {
            return Err(self.stray(link));
        }
        self.tail.sequence = sequence;
        self.tail.hash = link.hash;
        self.report.last = sequence;
        self.report.links += 1;
        while let Some(head) = self.heads.next_if(|head| head.sequence <= sequence) {
            self.check(&head)?;
            if head.tail() != self.tail {
                return Err(Broken::HeadMismatch(head.sequence));
            }
            self.report.heads_checked += 1;
            self.report.signed_up_to = Some(sequence);
        }
        Ok(())
    }

    /// What is wrong with a link of this chain that does not follow.
    fn stray(&self, link: &Link) -> Broken {
        let (sequence, found) = (self.tail.sequence + 1, link.sequence);
        if self.report.links == 0 {
            return Broken::Detached { sequence, found };
        }
        match found.cmp(&sequence) {
            Ordering::Less => Broken::OutOfOrder(found),
            Ordering::Equal => Broken::Unchained(sequence),
            Ordering::Greater => Broken::Missing(sequence),
        }
    }

    /// Whether a head says anything of this chain.
    fn check(&self, head: &Head) -> Result<(), Broken> {
        if !self.verifier.has_signed(head) {
            return Err(Broken::HeadForged(head.sequence));
        }
        if head.chain != self.tail.chain {
            return Err(Broken::HeadOfAnotherChain(head.sequence));
        }
        Ok(())
    }

    fn end(mut self) -> Result<Report, Broken> {
        let Some(head) = self.heads.next() else { return Ok(self.report) };
        self.check(&head)?;
        Err(Broken::CutOff { sequence: self.tail.sequence + 1, head: head.sequence })
    }
}

#[cfg(test)]
mod tests;
