//! Halves of characters in JSON strings.
//!
//! A JavaScript string may hold half of a character that takes two units of UTF-16, and `JSON.stringify` writes it as an
//! escape, `\ud83d`. The grammar of JSON allows that, but no Rust string can hold it, and a parser refuses the whole text
//! for it. Browsers replace such a half by U+FFFD wherever they have to write UTF-8, and so does this.

/// Replaces each escaped half of a character in valid JSON text by `\ufffd`. `None` if there is none.
///
/// ```
/// use lapwing_transports::surrogates::replace_lone;
///
/// assert_eq!(replace_lone(r#"{"text":"cut \ud83d"}"#).as_deref(), Some(r#"{"text":"cut \ufffd"}"#));
/// assert_eq!(replace_lone(r#"{"text":"\ud83d\ude00"}"#), None);
/// ```
#[must_use]
pub fn replace_lone(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(escape) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += escape;
        match unit(bytes, at) {
            Some(0xd800..=0xdbff) if matches!(unit(bytes, at + UNIT_BYTES), Some(0xdc00..=0xdfff)) => {
                at += 2 * UNIT_BYTES;
            }
            Some(0xd800..=0xdfff) => {
                // As long as what it replaces.
                repaired.get_or_insert_with(|| bytes.to_vec())[at..at + UNIT_BYTES]
                    .copy_from_slice(br"\ufffd");
                at += UNIT_BYTES;
            }
            Some(_) => at += UNIT_BYTES,
            // Another escape: a backslash and what it escapes, perhaps a backslash.
            None => at += 2,
        }
    }
    repaired.and_then(|repaired| String::from_utf8(repaired).ok())
}

/// How long `\uXXXX` is.
const UNIT_BYTES: usize = 6;

/// The unit of UTF-16 that is escaped at this place, if one is.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + UNIT_BYTES)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> String {
        let repaired = replace_lone(json);
        serde_json::from_str(repaired.as_deref().unwrap_or(json))
            .unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn halves_become_the_replacement_character_and_pairs_stay() {
        for (json, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\uDE00""#, "\u{fffd}"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\uD83D\uDE00""#, "😀"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\ud83d\\ude00""#, "\u{fffd}\\ude00"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""\\\ud83d""#, "\\\u{fffd}"),
            (r#""\ud83d é 北""#, "\u{fffd} é 北"),
            (r#""\u00e9""#, "é"),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
        for json in [r#""plain""#, r#""\\ud83d""#, r#""\ud83d\ude00 \u0041\n""#, "[1]", ""] {
            assert_eq!(replace_lone(json), None, "{json}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_units_there_are_the_text_is_read_as_utf_16_is(units in proptest::collection::vec(
            proptest::prop_oneof![0xd7f0_u16..0xe010, 0xd800_u16..0xe000, 0x20_u16..0x7f], 0..12,
        )) {
            let json = format!("\"{}\"", units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>());
            proptest::prop_assert_eq!(read(&json), String::from_utf16_lossy(&units));
        }
    }
}
