//! A place in what a kept topic remembers, as clients and programs hold it.

use std::{error, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::topics::log::Offset;

/// Longer texts are no positions: two numbers of 64 bits and a colon.
const TEXT_BYTES_MAX: usize = 34;

const RADIX: u32 = 36;

/// A place in the history of a kept topic: behind one message and before the next.
///
/// A client gets it in the reply to its join and with each message, and gives it back when it joins again. For everybody but
/// the server its text is opaque: it says which history is meant, and how far it was read.
///
/// ```
/// use lapwing::Position;
///
/// let position: Position = "k3f9:57".parse()?;
/// assert_eq!(position.to_string(), "k3f9:57");
/// assert!("57".parse::<Position>().is_err());
/// # Ok::<(), lapwing::PositionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which history: each has a number of its own.
    pub(crate) epoch: u64,
    pub(crate) offset: Offset,
}

/// A text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionError(());

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 64 bits are 13 digits at most.
        let (mut digits, mut at, mut left) = ([0; 13], 13, self.epoch);
        loop {
            at -= 1;
            let digit = (left % u64::from(RADIX)) as u8;
            digits[at] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            left /= u64::from(RADIX);
            if left == 0 {
                break;
            }
        }
        for digit in &digits[at..] {
            fmt::Write::write_char(f, char::from(*digit))?;
        }
        write!(f, ":{}", self.offset.0)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let error = PositionError(());
        let (epoch, offset) = text.split_once(':').filter(|_| text.len() <= TEXT_BYTES_MAX).ok_or(error)?;
        let is_plain = |text: &str| !text.starts_with('+');
        if !is_plain(epoch) || !is_plain(offset) {
            return Err(error);
        }
        let epoch = u64::from_str_radix(epoch, RADIX).map_err(|_| error)?;
        let offset = Offset(offset.parse().map_err(|_| error)?);
        Ok(Self { epoch, offset })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a position of a kept topic")
    }
}

impl error::Error for PositionError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_are_no_positions_are_refused() {
        for text in ["", ":", "a:", ":1", "1", "a:b", "a:1:2", "a:-1", "+a:1", "a:+1", " a:1", "ä:1"] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
        assert!(format!("{}:1", "0".repeat(40)).parse::<Position>().is_err());
        assert!("zzzzzzzzzzzzzz:1".parse::<Position>().is_err(), "more than 64 bits");
    }

    #[test]
    fn a_position_is_a_text_in_json_and_another_text_is_an_error_that_says_so() {
        let position = Position { epoch: 71, offset: Offset(7) };
        assert_eq!(serde_json::to_value(position).unwrap(), "1z:7");
        assert_eq!(serde_json::from_value::<Position>("1z:7".into()).unwrap(), position);
        let error = serde_json::from_value::<Position>("7".into()).unwrap_err().to_string();
        assert!(error.contains("not a position"), "{error}");
    }

    #[test]
    fn the_longest_text_is_read_and_a_longer_one_is_not() {
        let longest = format!("{}:1", "0".repeat(TEXT_BYTES_MAX - 2));
        assert!(longest.parse::<Position>().is_ok() && format!("0{longest}").parse::<Position>().is_err());
    }

    proptest! {
        #[test]
        fn a_position_survives_its_text(epoch: u64, offset: u64) {
            let position = Position { epoch, offset: Offset(offset) };
            let text = position.to_string();
            prop_assert!(text.len() <= TEXT_BYTES_MAX);
            prop_assert_eq!(text.parse(), Ok(position));
        }
    }
}
