//! Rules out, a few bytes at a time, that any spelling begins in a stretch of a body.
//!
//! Whatever begins at one of five places in a row and is at least eight bytes long covers the same
//! four bytes: from the last of these places on. If no spelling has these four within its first
//! eight, none begins at any of the five. So one look at a table settles five bytes, and no look
//! waits for the one before it, as the steps of an automaton do.
//!
//! The table knows hashes alone. A gram that is in it by chance costs a few steps of the automaton.

use super::{SHORTEST, spellings::Spelling};

/// The grams within the first bytes of all spellings.
pub(super) struct Grams {
    /// One bit for each hash.
    bits: Vec<u64>,
    /// Brings the upper bits of a product down to a place in the table.
    shift: u32,
}

/// How many bytes a gram has.
pub(super) const GRAM: usize = 4;

/// How many places one gram settles.
const STEP: usize = SHORTEST - GRAM + 1;

/// So many bits for each gram let one in 64 other ones pass by chance.
const SPARSE: usize = 64;

/// The table has at least 8 KiB, which the first cache of any processor holds.
const BITS_MIN: usize = 1 << 16;

/// The table has at most 512 KiB, which the second cache holds.
const BITS_MAX: usize = 1 << 22;

impl Grams {
    /// The grams of spellings, each of which has at least [`SHORTEST`] bytes.
    pub(super) fn new(spellings: &[Spelling]) -> Self {
        let wanted = spellings.len().saturating_mul(STEP * SPARSE).min(BITS_MAX);
        let bits = wanted.next_power_of_two().max(BITS_MIN);
        let shift = u32::BITS - bits.trailing_zeros();
        let mut grams = Self { bits: vec![0; bits / 64], shift };
        for spelling in spellings {
            for place in 0..STEP {
                if let Some(gram) = spelling.as_bytes()[place..].first_chunk() {
                    let (word, bit) = grams.slot(*gram);
                    grams.bits[word] |= bit;
                }
            }
        }
        grams
    }

    /// The first place from `from` on where it is not ruled out that a spelling begins.
    ///
    /// Near the end of the bytes nothing is: at most seven bytes are left behind the place then.
    pub(super) fn next(&self, bytes: &[u8], from: usize) -> usize {
        let mut place = from;
        while let Some(gram) = bytes.get(place + STEP - 1..).and_then(<[u8]>::first_chunk) {
            let (word, bit) = self.slot(*gram);
            if self.bits[word] & bit != 0 {
                break;
            }
            place += STEP;
        }
        place
    }

    fn slot(&self, gram: [u8; GRAM]) -> (usize, u64) {
        // Fibonacci hashing: every bit of the gram reaches the upper bits of the product.
        let hash = u32::from_le_bytes(gram).wrapping_mul(0x9E37_79B1) >> self.shift;
        (hash as usize / 64, 1 << (hash % 64))
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn grams(spellings: &[&str]) -> Grams {
        let spellings: Vec<_> = spellings.iter().map(|s| Zeroizing::new((*s).to_owned())).collect();
        Grams::new(&spellings)
    }

    #[test]
    fn a_place_before_every_spelling_is_found_and_no_earlier_one() {
        let grams = grams(&["abcdefgh", "wholly different"]);
        for before in 0..20 {
            let body = format!("{}abcdefgh{}", "-".repeat(before), "-".repeat(20));
            let place = grams.next(body.as_bytes(), 0);
            assert!(place <= before && before < place + STEP, "{before}: {place}");
            assert_eq!(grams.next(body.as_bytes(), before), before);
        }
    }

    #[test]
    fn nothing_is_ruled_out_near_the_end() {
        for length in 0..40 {
            let place = grams(&["abcdefgh"]).next("-".repeat(length).as_bytes(), 0);
            assert!(place <= length && length - place < SHORTEST, "{length}: {place}");
        }
    }

    #[test]
    fn the_table_grows_with_the_spellings_up_to_a_bound() {
        assert_eq!(grams(&[]).bits.len() * 64, BITS_MIN);
        assert_eq!(grams(&["abcdefgh"; 1_000]).bits.len() * 64, 1 << 19);
        assert_eq!(grams(&["abcdefgh"; 100_000]).bits.len() * 64, BITS_MAX);
    }
}
