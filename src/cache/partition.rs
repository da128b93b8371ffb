//! A partition: all that one upstream credential, in one generation, was ever shown.

/// The entries of one credential in one generation.
#[derive(Debug)]
pub struct Partition {
    id: u64,
}

impl Partition {
    /// A partition under a number that no other has in this process.
    pub fn new(id: u64) -> Self {
        Self { id }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }
}
