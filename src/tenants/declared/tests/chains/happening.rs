//! What can happen to chains of tokens, by chance.

use proptest::{prelude::*, sample::Index};

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    /// A token is created.
    Create { labelled: bool, life: Option<i64> },
    /// One is rotated, which may have been rotated before.
    Rotate { which: Which, overlap: i64, life: Option<i64> },
    /// One is revoked, likewise.
    Revoke(Which),
    /// So many seconds pass.
    Pass(i64),
    /// The store is exported.
    Export,
    /// An export is applied; somebody may have edited the store since it was planned.
    Apply { which: Index, prune: bool, overtaken: bool },
}

/// Any token, or any that is the last of its chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Which {
    /// Which of them.
    pub(super) index: Index,
    /// Whether those that were rotated are left out.
    pub(super) last: bool,
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    let life = || prop::option::weighted(0.5, prop_oneof![1 => -5..5_i64, 4 => 5..200_i64]);
    let which = || {
        (any::<Index>(), prop::bool::weighted(0.7)).prop_map(|(index, last)| Which { index, last })
    };
    prop_oneof![
        2 => (any::<bool>(), life())
            .prop_map(|(labelled, life)| Happening::Create { labelled, life }),
        6 => (which(), 0..150_i64, life())
            .prop_map(|(which, overlap, life)| Happening::Rotate { which, overlap, life }),
        1 => which().prop_map(Happening::Revoke),
        3 => (0..120_i64).prop_map(Happening::Pass),
        2 => Just(Happening::Export),
        4 => (any::<Index>(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(which, prune, overtaken)| Happening::Apply { which, prune, overtaken }),
    ]
}
