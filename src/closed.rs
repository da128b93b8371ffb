//! What a closed list is: an enum with one word for each of its members.

/// A closed list whose every member has one word and one place.
pub trait Closed: Copy + 'static {
    /// Every member, in order.
    const ALL: &'static [Self];

    /// The word for it in headers, logs and metrics.
    fn as_str(self) -> &'static str;

    /// Its place in [`Closed::ALL`].
    fn index(self) -> usize;
}

/// A small value that can be kept in an atomic number, or none.
pub trait Noted: Copy {
    /// As a number that is not 0.
    fn pack(self) -> u64;
    /// What a number says; none for 0.
    fn unpack(packed: u64) -> Option<Self>;
}

impl<T: Closed> Noted for T {
    fn pack(self) -> u64 {
        self.index() as u64 + 1
    }

    fn unpack(packed: u64) -> Option<Self> {
        let index = usize::try_from(packed.checked_sub(1)?).ok()?;
        T::ALL.get(index).copied()
    }
}

/// Declares an enum that is a [`Closed`] list.
#[macro_export]
macro_rules! closed {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident => $word:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl $crate::closed::Closed for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
