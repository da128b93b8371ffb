//! Finds spellings in a body that comes in pieces, and says how much of its end may be the
//! beginning of one.
//!
//! The automaton is a contiguous NFA. A DFA would take half a KiB for each byte of a spelling,
//! which is some 200 MB for a thousand keys; with what is kept beside it, the NFA takes some 25
//! bytes, and the grams leave it so little to read that its slower steps do not matter.

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton, StateID},
    nfa::contiguous::NFA,
};

use super::{
    SHORTEST,
    grams::{GRAM, Grams},
    spellings::Spelling,
};

/// All spellings, compiled.
pub(super) struct Finder {
    automaton: NFA,
    start: StateID,
    /// For each state, the answer of [`Finder::open`].
    open: Vec<u32>,
    grams: Grams,
}

/// With so little open, the automaton may stop: nothing that is open would be a gram of its own,
/// so the search gets ahead.
const LITTLE: usize = GRAM - 1;

impl Finder {
    /// Compiles spellings that are sorted by length, each there once and at least [`SHORTEST`]
    /// bytes long.
    pub(super) fn new(spellings: &[Spelling]) -> Self {
        debug_assert!(spellings.iter().all(|spelling| spelling.len() >= SHORTEST));
        debug_assert!(spellings.is_sorted_by_key(|spelling| spelling.len()));
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(spellings.iter().map(|spelling| spelling.as_bytes()))
            .expect("the spellings have fewer than 2^31 bytes");
        let start = automaton.start_state(Anchored::No).expect("every NFA searches unanchored");
        let open = open_by_state(&automaton, start, spellings);
        Self { automaton, start, open, grams: Grams::new(spellings) }
    }

    /// Whether there is nothing to find.
    pub(super) fn is_empty(&self) -> bool {
        self.automaton.patterns_len() == 0
    }

    /// Where a search begins.
    pub(super) fn start(&self) -> StateID {
        self.start
    }

    /// The length of the longest end of what was read that more bytes could make a spelling: that
    /// is the beginning of one, and not all of it.
    pub(super) fn open(&self, state: StateID) -> usize {
        self.open[state.as_usize()] as usize
    }

    /// Reads the next bytes and tells of each place where spellings end: how many of the bytes are
    /// before it, and the length of the longest of them, which may begin before these bytes.
    pub(super) fn scan(
        &self,
        mut state: StateID,
        bytes: &[u8],
        mut found: impl FnMut(usize, usize),
    ) -> StateID {
        if self.is_empty() {
            return state;
        }
        let (mut at, mut until) = (0_usize, 0_usize);
        while let Some(&byte) = bytes.get(at) {
            let open = self.open(state);
            if at >= until && open <= LITTLE.min(at) {
                // What is open is read again, if it cannot be ruled out: too little for a match,
                // so none is told twice. What is read next reaches beyond it.
                at = self.grams.next(bytes, at - open);
                until = at + SHORTEST;
                state = self.start;
                continue;
            }
            state = self.automaton.next_state(Anchored::No, state, byte);
            at += 1;
            if self.automaton.is_match(state) {
                found(at, self.longest(state));
            }
        }
        state
    }

    fn longest(&self, state: StateID) -> usize {
        let automaton = &self.automaton;
        let length = |index| automaton.pattern_len(automaton.match_pattern(state, index));
        (0..automaton.match_len(state)).map(length).max().unwrap_or_default()
    }
}

/// How much is open in each state. The automaton does not tell how deep a state is, but the one
/// that it is in after the first bytes of a spelling is as deep as these are many.
fn open_by_state(automaton: &NFA, start: StateID, spellings: &[Spelling]) -> Vec<u32> {
    let step = |state, &byte: &u8| automaton.next_state(Anchored::No, state, byte);
    let mut open = vec![0; start.as_usize() + 1];
    for spelling in spellings {
        let mut state = start;
        for (depth, byte) in (1..spelling.len() as u32).zip(spelling.as_bytes()) {
            state = step(state, byte);
            *entry(&mut open, state) = depth;
        }
    }
    // At its end a spelling is not open, unless a longer one begins with it. Then that may be open
    // which is open without its first byte: a shorter one, which is known before it.
    for spelling in spellings {
        let end = spelling.as_bytes().iter().fold(start, step);
        let rest = spelling.as_bytes()[1..].iter().fold(start, step);
        let of_rest = *entry(&mut open, rest);
        let of_end = entry(&mut open, end);
        if *of_end == 0 {
            *of_end = of_rest;
        }
    }
    open
}

fn entry(open: &mut Vec<u32>, state: StateID) -> &mut u32 {
    let index = state.as_usize();
    if open.len() <= index {
        open.resize(index + 1, 0);
    }
    &mut open[index]
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn check(spellings: &[&str], body: &str, open: usize, ends: &[(usize, usize)]) {
        let owned = |s: &&str| Zeroizing::new((*s).to_owned());
        let finder = Finder::new(&spellings.iter().map(owned).collect::<Vec<_>>());
        for size in 1..=body.len().max(1) {
            let (mut state, mut before, mut told) = (finder.start(), 0, Vec::new());
            for piece in body.as_bytes().chunks(size) {
                state = finder.scan(state, piece, |end, length| told.push((before + end, length)));
                before += piece.len();
            }
            assert_eq!(finder.open(state), open, "{body} in pieces of {size}");
            assert_eq!(told, ends, "{body} in pieces of {size}");
        }
    }

    #[test]
    fn what_is_open_is_the_longest_beginning_of_a_spelling() {
        let spellings = ["abcdefgh", "cdefgxyz"];
        check(&spellings, "", 0, &[]);
        check(&spellings, "----------------", 0, &[]);
        check(&spellings, "------------abcd", 4, &[]);
        check(&spellings, "------------bcde", 3, &[]);
        check(&spellings, "abcdefgxy", 7, &[]);
        check(&spellings, "abcabcab", 2, &[]);
    }

    #[test]
    fn a_spelling_that_has_ended_is_not_open() {
        check(&["abcdefgh"], "--abcdefgh", 0, &[(10, 8)]);
        check(&["abcdefgh", "abcdefghi"], "--abcdefgh", 8, &[(10, 8)]);
        check(&["abcdefgh", "abcdefghi"], "--abcdefghi", 0, &[(10, 8), (11, 9)]);
        check(&["abcdefgh", "ghijklmn", "fghabcdefgh"], "fghabcdefgh", 3, &[(11, 11)]);
        check(&["aaaaaaaa"], "aaaaaaaaa", 7, &[(8, 8), (9, 8)]);
    }

    #[test]
    fn nothing_is_found_of_nothing() {
        check(&[], "abcdefgh", 0, &[]);
    }
}
