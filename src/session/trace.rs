//! What a client's handshake says of the trace that it belongs to.

use lapwing_transports::connect::ConnectRequest;

use crate::join::assigns::Assigns;

/// Where joins find it, among what the program assigns.
const KEY: &str = "lapwing.traceparent";

/// Characters of a `traceparent`, as W3C's Trace Context has it: version, trace, parent, flags.
const TEXT_BYTES: usize = 55;

/// A `traceparent` that makes sense: hexadecimal digits and dashes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent(Box<str>);

impl TraceParent {
    /// From the header of a request, or, as browsers can give a WebSocket none, from its parameter of that name.
    pub(crate) fn of_request(request: &ConnectRequest) -> Option<Self> {
        let header = request.header("traceparent").and_then(Self::read);
        header.or_else(|| Self::read(request.param("traceparent")?))
    }

    fn read(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(TEXT_BYTES)?;
        // A later version may say more, behind a dash.
        let (version, is_longer) = (known.get(..2)?, !rest.is_empty());
        if version == "ff" || (is_longer && (version == "00" || !rest.starts_with('-'))) {
            return None;
        }
        let parts: Vec<&str> = known.split('-').collect();
        let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let has_one = |part: &str| part.bytes().any(|byte| byte != b'0');
        let [version, trace, parent, flags] = parts[..] else { return None };
        let sizes = [version, trace, parent, flags].map(str::len) == [2, 32, 16, 2];
        let is_sound = sizes && parts.iter().all(|part| is_hex(part)) && has_one(trace) && has_one(parent);
        is_sound.then(|| Self(known.into()))
    }

    /// Puts it where the client's joins find it.
    pub(crate) fn assign_to(self, assigns: &mut Assigns) {
        assigns.insert(KEY, self);
    }

    pub(crate) fn of(assigns: &Assigns) -> Option<std::sync::Arc<Self>> {
        assigns.get(KEY)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use lapwing_transports::connect::Transport;

    use super::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_makes_no_sense_is_none() {
        assert_eq!(TraceParent::read(SOUND).unwrap().as_str(), SOUND);
        let later = format!("cc{}", &SOUND[2..]);
        assert_eq!(TraceParent::read(&format!("{later}-what-the-future-says")).unwrap().as_str(), later);
        for text in [
            "",
            "00",
            &SOUND[..54],
            &format!("{SOUND}-01"),
            &format!("{later}x"),
            &format!("ff{}", &SOUND[2..]),
            &SOUND.to_uppercase(),
            &SOUND.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &SOUND.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &SOUND.replacen('-', "0", 1),
            &SOUND.replace('4', "\n"),
            &"ä".repeat(40),
        ] {
            assert_eq!(TraceParent::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_browser_says_it_in_the_query_and_the_header_counts_first() {
        let uri = format!("/websocket?traceparent={SOUND}");
        let mut request = ConnectRequest::new(Transport::Websocket, uri.parse().unwrap());
        assert_eq!(TraceParent::of_request(&request).unwrap().as_str(), SOUND);
        let other = SOUND.replace("4bf9", "ffff");
        request.headers.insert("traceparent", other.parse().unwrap());
        assert_eq!(TraceParent::of_request(&request).unwrap().as_str(), other);
        request.headers.insert("traceparent", "nonsense".parse().unwrap());
        assert_eq!(TraceParent::of_request(&request).unwrap().as_str(), SOUND);
    }
}
