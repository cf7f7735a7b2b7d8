//! What a client offers of permessage-deflate in its handshake, and what the server answers (RFC 7692, 5 and 7.1). Pure.

use std::fmt;

const NAME: &[u8] = b"permessage-deflate";

/// The base-2 logarithm of the window that DEFLATE has unless something else is said.
const WINDOW_BITS_MAX: u8 = 15;

/// The agreement of client and server; as text, the value of `Sec-WebSocket-Extensions` in the answer.
///
/// ```
/// use lapwing_transports::deflate::offers::agree;
///
/// // What browsers offer.
/// let agreement = agree([b"permessage-deflate; client_max_window_bits".as_slice()]).unwrap();
/// assert_eq!(
///     agreement.to_string(),
///     "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
/// );
/// assert_eq!(agreement.window_bits(), 15);
///
/// assert!(agree([b"x-webkit-deflate-frame".as_slice()]).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The bound that the client set to the server's window; the answer has to repeat it.
    server_max_window_bits: Option<u8>,
}

impl Agreement {
    /// The base-2 logarithm of the window of the client's inflater: 8 to 15. What the server compresses refers to nothing
    /// farther behind.
    #[must_use]
    pub fn window_bits(self) -> u8 {
        self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX)
    }
}

impl fmt::Display for Agreement {
    /// The server asks the client for no context takeover whether the client offered it or not, as 7.1.1.2 allows, and bounds no
    /// window of the client's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate; server_no_context_takeover; client_no_context_takeover")?;
        match self.server_max_window_bits {
            Some(bits) => write!(f, "; server_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}

/// Takes the first offer of permessage-deflate that can be taken, of those in the lines of `Sec-WebSocket-Extensions`; `None` if
/// there is none, and the connection is without the extension.
///
/// An offer with a parameter that is not known, twice there, or has a value that it must not have is passed by (7.1).
pub fn agree<'h>(lines: impl IntoIterator<Item = &'h [u8]>) -> Option<Agreement> {
    lines.into_iter().flat_map(|line| Split { rest: Some(line), at: b',' }).find_map(read)
}

/// Reads one offer; `None` if it is of another extension, or cannot be taken.
fn read(offer: &[u8]) -> Option<Agreement> {
    let mut parts = Split { rest: Some(offer), at: b';' };
    if parts.next()?.trim_ascii() != NAME {
        return None;
    }
    let (mut agreement, mut seen) = (Agreement { server_max_window_bits: None }, 0_u8);
    for part in parts {
        let parameter = match split_parameter(part) {
            (b"server_no_context_takeover", None) => 1,
            (b"client_no_context_takeover", None) => 2,
            (b"server_max_window_bits", Some(value)) => {
                agreement.server_max_window_bits = Some(window_bits(value)?);
                4
            }
            // How small the client's own window may be made, or how small it is: every inflater of this server takes all of them.
            (b"client_max_window_bits", None) => 8,
            (b"client_max_window_bits", Some(value)) => window_bits(value).map(|_| 8)?,
            _ => return None,
        };
        if seen & parameter != 0 {
            return None;
        }
        seen |= parameter;
    }
    Some(agreement)
}

/// The name of a parameter and its value, which may be in quotes.
fn split_parameter(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(equals) = part.iter().position(|&byte| byte == b'=') else { return (part.trim_ascii(), None) };
    let value = part[equals + 1..].trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    (part[..equals].trim_ascii(), Some(unquoted.unwrap_or(value)))
}

/// A number from 8 to 15 without a zero before it.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The pieces of a header between the separators that are not in quotes.
struct Split<'h> {
    rest: Option<&'h [u8]>,
    at: u8,
}

impl<'h> Iterator for Split<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let rest = self.rest?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        for (index, &byte) in rest.iter().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = is_quoted,
                b'"' => is_quoted = !is_quoted,
                _ if byte == self.at && !is_quoted => {
                    self.rest = Some(&rest[index + 1..]);
                    return Some(&rest[..index]);
                }
                _ => {}
            }
        }
        self.rest = None;
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer(lines: &[&str]) -> Option<String> {
        agree(lines.iter().map(|line| line.as_bytes())).map(|agreement| agreement.to_string())
    }

    #[test]
    fn every_offer_that_can_be_taken_is() {
        for offer in [
            "permessage-deflate",
            " permessage-deflate ",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=\"15\"",
            "permessage-deflate; client_max_window_bits = 15",
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits",
            "x-other; a=\"permessage-deflate; x, y\\\",\", permessage-deflate",
            "permessage-deflate; unknown, permessage-deflate",
            "permessage-deflate; server_max_window_bits=16, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(PLAIN), "{offer}");
        }
        assert_eq!(answer(&["x-other", "", "permessage-deflate"]).as_deref(), Some(PLAIN), "in another line");
    }

    #[test]
    fn a_bound_of_the_servers_window_is_repeated_and_of_two_offers_the_first_is_taken() {
        for bits in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}, permessage-deflate");
            assert_eq!(answer(&[&offer]), Some(format!("{PLAIN}; server_max_window_bits={bits}")));
            assert_eq!(agree([offer.as_bytes()]).map(Agreement::window_bits), Some(bits));
        }
        assert_eq!(agree([NAME]).map(Agreement::window_bits), Some(15));
        let first = "permessage-deflate, permessage-deflate; server_max_window_bits=9";
        assert_eq!(answer(&[first]).as_deref(), Some(PLAIN));
    }

    #[test]
    fn what_is_malformed_unknown_or_twice_there_is_passed_by() {
        for offer in [
            "",
            ",,",
            "deflate",
            "permessage-deflate2",
            "Permessage-Deflate",
            "permessage-bzip2",
            "permessage-deflate; ",
            "permessage-deflate; x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover=\"\"",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=100",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate client_max_window_bits",
            "\"permessage-deflate\"",
            "x; y=\"permessage-deflate, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
    }
}
