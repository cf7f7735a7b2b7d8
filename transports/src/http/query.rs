//! Query strings to parameters, with the nested names that Plug and phoenix.js use.

use std::{borrow::Cow, error, fmt};

use serde_json::{Map, Value};

/// Bounds of what a query may hold. A request with more is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct QueryLimits {
    pub(crate) bytes_max: usize,
    pub(crate) params_max: usize,
    pub(crate) depth_max: usize,
}

impl QueryLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self { bytes_max: 16_384, params_max: 256, depth_max: 32 }
    }

    /// Bytes of the whole query. Default 16,384: common proxies refuse a longer request line (nginx at 8 KiB,
    /// AWS load balancers at 16 KiB), so no longer one can be relied on anyway.
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Parameters, not counting empty segments. Default 256: each becomes a map entry of many times its bytes.
    pub const fn params_max(mut self, params: usize) -> Self {
        self.params_max = params;
        self
    }

    /// Names in one key: `a[b][c]` has three. Default 32, as in Plug.
    pub const fn depth_max(mut self, names: usize) -> Self {
        self.depth_max = names;
        self
    }
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// The parameters of a query, without its `?`.
///
/// * Names and values are percent-decoded, with `+` as a space, before brackets are looked at: phoenix.js
///   encodes them.
/// * `a[b]=1` gives a map, `a[]=1` a list, and both nest. `a[0]=1` is a map with the key `"0"`.
/// * A name without `=` has the empty text; an empty segment, as in `a=1&&b=2`, is ignored.
/// * If names collide, the last wins.
///
/// # Errors
///
/// See [`QueryError`]. Nothing of a query that is wrong anywhere is used.
///
/// ```
/// use lapwing_transports::query::{QueryError, QueryLimits, parse};
/// use serde_json::json;
///
/// let params = parse("user%5Bname%5D=J+D%C3%A9&tags[]=a&tags[]=b&&vsn=2.0.0", &QueryLimits::default())?;
/// let expected = json!({"user": {"name": "J Dé"}, "tags": ["a", "b"], "vsn": "2.0.0"});
/// assert_eq!(serde_json::Value::from(params), expected);
///
/// assert_eq!(parse("a=%f", &QueryLimits::default()), Err(QueryError::BadPercentEncoding));
/// # Ok::<(), QueryError>(())
/// ```
pub fn parse(query: &str, limits: &QueryLimits) -> Result<Map<String, Value>, QueryError> {
    if query.len() > limits.bytes_max {
        return Err(QueryError::TooLong { bytes_max: limits.bytes_max });
    }
    let mut params = Map::new();
    let segments = query.split('&').filter(|segment| !segment.is_empty());
    for (index, segment) in segments.enumerate() {
        if index >= limits.params_max {
            return Err(QueryError::TooManyParams { params_max: limits.params_max });
        }
        let (key, value) = segment.split_once('=').unwrap_or((segment, ""));
        let (key, value) = (decode(key)?, decode(value)?);
        let (root, names) = split_key(&key);
        if 1 + names.clone().count() > limits.depth_max {
            return Err(QueryError::TooDeep { depth_max: limits.depth_max });
        }
        let root = params.entry(root).or_insert(Value::Null);
        *place(root, names) = Value::String(value.into_owned());
    }
    Ok(params)
}

/// The reason why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// It has more bytes than the limit.
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// It has more parameters than the limit.
    TooManyParams {
        /// The limit.
        params_max: usize,
    },
    /// A key has more names than the limit.
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
    /// A `%` is not followed by two hexadecimal digits.
    BadPercentEncoding,
    /// A name or value does not decode to UTF-8.
    InvalidUtf8,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes_max } => write!(f, "query longer than {bytes_max} bytes"),
            Self::TooManyParams { params_max } => write!(f, "query with more than {params_max} parameters"),
            Self::TooDeep { depth_max } => write!(f, "query key of more than {depth_max} names"),
            Self::BadPercentEncoding => f.write_str("query with a percent sign that encodes nothing"),
            Self::InvalidUtf8 => f.write_str("query does not decode to utf-8"),
        }
    }
}

impl error::Error for QueryError {}

/// Undoes percent-encoding and `+`; borrows if there is neither.
fn decode(encoded: &str) -> Result<Cow<'_, str>, QueryError> {
    let Some(plain) = encoded.find(['%', '+']) else { return Ok(Cow::Borrowed(encoded)) };
    let (plain, encoded) = encoded.as_bytes().split_at(plain);
    let mut decoded = Vec::with_capacity(plain.len() + encoded.len());
    decoded.extend_from_slice(plain);
    let mut rest = encoded.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(QueryError::BadPercentEncoding)?;
                let low = rest.next().and_then(hex_digit).ok_or(QueryError::BadPercentEncoding)?;
                high << 4 | low
            }
            _ => byte,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| QueryError::InvalidUtf8)
}

fn hex_digit(digit: &u8) -> Option<u8> {
    char::from(*digit).to_digit(16).map(|value| value as u8)
}

/// The first name of a key and those in brackets. A key that does not end in `]`, or has no `[`, is one name
/// as it stands.
fn split_key(key: &str) -> (&str, impl Iterator<Item = &str> + Clone) {
    let nested = key.strip_suffix(']').and_then(|key| key.split_once('['));
    let (root, names) = nested.map_or((key, None), |(root, names)| (root, Some(names)));
    (root, names.into_iter().flat_map(|names| names.split("][")))
}

/// Where in `root` the value of a key with these `names` belongs. What is in the way is replaced.
fn place<'v, 'k>(root: &'v mut Value, names: impl Iterator<Item = &'k str>) -> &'v mut Value {
    let mut place = root;
    for name in names {
        place = if name.is_empty() { new_item(place) } else { entry(place, name) };
    }
    place
}

fn new_item(place: &mut Value) -> &mut Value {
    if !place.is_array() {
        *place = Value::Array(Vec::new());
    }
    let Value::Array(items) = place else { unreachable!("it has just been made a list") };
    items.push_mut(Value::Null)
}

fn entry<'v>(place: &'v mut Value, name: &str) -> &'v mut Value {
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    let Value::Object(entries) = place else { unreachable!("it has just been made a map") };
    entries.entry(name).or_insert(Value::Null)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parsed(query: &str) -> Value {
        parse(query, &QueryLimits::default())
            .map(Value::from)
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    #[test]
    fn an_error_says_which_bound_was_passed() {
        let limits = QueryLimits::new().bytes_max(3);
        assert_eq!(parse("a=12", &limits).unwrap_err().to_string(), "query longer than 3 bytes");
    }

    #[test]
    fn names_nest_as_in_plug() {
        for (query, expected) in [
            ("", json!({})),
            ("foo=bar", json!({"foo": "bar"})),
            ("foo", json!({"foo": ""})),
            ("=x", json!({"": "x"})),
            ("a=b=c", json!({"a": "b=c"})),
            ("users[name]=hello&users[age]=17", json!({"users": {"name": "hello", "age": "17"}})),
            ("a[b][c]=1&a[b][d]=2", json!({"a": {"b": {"c": "1", "d": "2"}}})),
            ("a[]=1&a[]=2", json!({"a": ["1", "2"]})),
            ("a[][b]=1&a[][b]=2", json!({"a": [{"b": "1"}, {"b": "2"}]})),
            ("a[b][]=1&a[b][]=2", json!({"a": {"b": ["1", "2"]}})),
            ("a[][]=1", json!({"a": [["1"]]})),
            ("[a]=1", json!({"": {"a": "1"}})),
            ("a[b=1", json!({"a[b": "1"})),
            ("a]=1", json!({"a]": "1"})),
            ("a[b]c=1", json!({"a[b]c": "1"})),
            (
                "my+weird+field=q1%212%22%27w%245%267%2Fz8%29%3F",
                json!({"my weird field": "q1!2\"'w$5&7/z8)?"}),
            ),
        ] {
            assert_eq!(parsed(query), expected, "{query}");
        }
    }

    #[test]
    fn what_phoenix_js_sends_is_understood() {
        for (query, expected) in [
            ("a=1&&vsn=2.0.0", json!({"a": "1", "vsn": "2.0.0"})),
            ("vsn=2.0.0&", json!({"vsn": "2.0.0"})),
            ("a%5B0%5D=x&a%5B1%5D=y", json!({"a": {"0": "x", "1": "y"}})),
            ("a%5Bb%5D%5Bc%5D=1", json!({"a": {"b": {"c": "1"}}})),
            ("u=undefined", json!({"u": "undefined"})),
            ("k%C3%A9=%F0%9F%A6%80", json!({"ké": "🦀"})),
        ] {
            assert_eq!(parsed(query), expected, "{query}");
        }
    }

    #[test]
    fn the_last_wins_whatever_its_shape() {
        for (query, expected) in [
            ("a=1&a=2", json!({"a": "2"})),
            ("a[]=1&a=2", json!({"a": "2"})),
            ("a=1&a[]=2", json!({"a": ["2"]})),
            ("a[]=1&a[b]=2", json!({"a": {"b": "2"}})),
            ("a[b]=1&a[]=2", json!({"a": ["2"]})),
            ("a[b]=1&a[b][c]=2", json!({"a": {"b": {"c": "2"}}})),
        ] {
            assert_eq!(parsed(query), expected, "{query}");
        }
    }

    #[test]
    fn bad_encodings_are_refused() {
        for (query, error) in [
            ("a=%", QueryError::BadPercentEncoding),
            ("a=%4", QueryError::BadPercentEncoding),
            ("a=%zz", QueryError::BadPercentEncoding),
            ("%é=1", QueryError::BadPercentEncoding),
            ("a=%+1", QueryError::BadPercentEncoding),
            ("a=%ff", QueryError::InvalidUtf8),
            ("%c3=1", QueryError::InvalidUtf8),
            ("a=%ed%a0%80", QueryError::InvalidUtf8),
        ] {
            assert_eq!(parse(query, &QueryLimits::default()), Err(error), "{query}");
        }
    }

    #[test]
    fn each_limit_is_reached() {
        let limits = QueryLimits::new().bytes_max(20).params_max(3).depth_max(2);
        for (within, over, error) in [
            ("a=345678901234567890", "a=3456789012345678901", QueryError::TooLong { bytes_max: 20 }),
            ("a&&b&&&c&", "a&b&a&b", QueryError::TooManyParams { params_max: 3 }),
            ("a[b]=1", "a[b][]=1", QueryError::TooDeep { depth_max: 2 }),
        ] {
            assert!(parse(within, &limits).is_ok(), "{within}");
            assert_eq!(parse(over, &limits), Err(error));
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(query in "[a-c%5BD0-9=&+\\[\\]é]{0,60}") {
            let _: Result<_, _> = parse(&query, &QueryLimits::default());
        }

        #[test]
        fn encoded_text_comes_back(name in "[^\\[\\]]{1,20}", value in any::<String>()) {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let limits = QueryLimits::new().bytes_max(usize::MAX);
            let params = parse(&format!("{}={}", encode(&name), encode(&value)), &limits);
            prop_assert_eq!(params, Ok(Map::from_iter([(name, Value::String(value))])));
        }
    }
}
