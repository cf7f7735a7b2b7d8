//! The forms in which a client takes frames compressed.

/// The forms in which a client takes frames compressed, one or none for each connection; those of several clients together are all
/// that a frame is compressed in for them.
///
/// ```
/// use lapwing_transports::forms::Forms;
///
/// let both = Forms::MESSAGES | Forms::LINES;
/// assert!(both.has(Forms::LINES) && !both.has(Forms::STRINGS));
/// assert!(Forms::NONE.is_none() && !both.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms(u8);

impl Forms {
    /// Not at all.
    pub const NONE: Self = Self(0);
    /// As messages of a WebSocket: the payload.
    pub const MESSAGES: Self = Self(1);
    /// As lines of the session dialect, in an event stream or in an answer to a poll: the payload of most texts.
    pub const LINES: Self = Self(2);
    /// As strings of JSON, in Phoenix's answers to polls: the payload of a text between quotes, with escapes.
    pub const STRINGS: Self = Self(4);

    /// How many bits there are.
    pub const BITS: u32 = 3;

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns whether all forms of the other are among these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The forms as a number, for whoever keeps them beside something else.
    ///
    /// ```
    /// use lapwing_transports::forms::Forms;
    ///
    /// let forms = Forms::LINES | Forms::STRINGS;
    /// assert!(forms.bits() < 1 << Forms::BITS);
    /// assert_eq!(Forms::of_bits(forms.bits()), forms);
    /// ```
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// The forms that a number stands for; higher bits of it are not looked at.
    #[must_use]
    pub const fn of_bits(bits: u32) -> Self {
        Self((bits & ((1 << Self::BITS) - 1)) as u8)
    }
}

impl std::ops::BitOr for Forms {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
