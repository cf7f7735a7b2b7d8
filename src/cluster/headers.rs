//! Headers of a request, for another node.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers as texts. A value is bytes: each is the character with its number.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// The headers of such texts; none if they cannot be.
pub(crate) fn headers(pairs: &[(String, String)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::try_with_capacity(pairs.len()).ok()?;
    for (name, value) in pairs {
        let value: Option<Vec<u8>> = value.chars().map(|character| u8::try_from(character).ok()).collect();
        let value = HeaderValue::from_bytes(&value?).ok()?;
        headers.try_append(HeaderName::from_bytes(name.as_bytes()).ok()?, value).ok()?;
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_written_and_read_again_and_more_than_there_may_be_are_none() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let some = [pair("a", "1"), pair("b", "\u{e4}"), pair("a", "2")];
        let read = headers(&some).unwrap();
        assert_eq!(read.get("b").unwrap().as_bytes(), b"\xe4");
        assert_eq!(pairs(&read), [pair("a", "1"), pair("a", "2"), pair("b", "\u{e4}")]);
        for wrong in [pair("a b", "1"), pair("a", "\n"), pair("a", "\u{20ac}")] {
            assert!(headers(&[wrong]).is_none());
        }
        let many: Vec<_> = (0..40_000).map(|number| pair(&format!("x-{number}"), "")).collect();
        assert!(headers(&many).is_none());
    }
}
