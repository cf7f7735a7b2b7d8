//! How the bodies of answers are encoded: as they are, or as gzip for who accepts that.

use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};

use crate::forms::Forms;

/// What client and mount agree on for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The mount encodes nothing, whatever is accepted.
    Off,
    /// The client does not accept gzip, or prefers to get things as they are.
    Identity,
    Gzip,
}

impl Encoding {
    /// The agreement between a mount and the headers of a request.
    pub(crate) fn agree(is_on: bool, headers: &HeaderMap) -> Self {
        match is_on {
            false => Self::Off,
            true if accepts_gzip(headers) => Self::Gzip,
            true => Self::Identity,
        }
    }

    pub(crate) fn is_gzip(self) -> bool {
        self == Self::Gzip
    }

    /// What the attachment of a session takes that reads frames in this form.
    pub(crate) fn forms(self, form: Forms) -> Forms {
        if self.is_gzip() { form } else { Forms::NONE }
    }

    /// An answer that says how its body is encoded, and that this hangs on the request.
    pub(crate) fn said<B>(self, is_gzip: bool, mut response: Response<B>) -> Response<B> {
        if self != Self::Off {
            response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if is_gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether a client accepts gzip, and likes it as well as what is not encoded. Who says nothing gets nothing that it may not know.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    let lines = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|line| line.to_str().ok());
    for item in lines.flat_map(|line| line.split(',')) {
        let mut words = item.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let weight = words.find_map(|word| word.strip_prefix("q=").or_else(|| word.strip_prefix("Q=")));
        let weight = weight.map_or(1.0, weight_of);
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(weight);
        } else if name == "*" {
            any = Some(weight);
        } else if name.eq_ignore_ascii_case("identity") {
            identity = Some(weight);
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// What is no weight is none.
fn weight_of(text: &str) -> f32 {
    text.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        for (lines, is_gzip) in [
            (&[][..], false),
            (&[""], false),
            (&["gzip"], true),
            (&["GZip"], true),
            (&["x-gzip"], true),
            (&["gzip, deflate, br, zstd"], true),
            (&["br;q=1.0, gzip;q=0.8, *;q=0.1"], true),
            (&["br", "gzip"], true),
            (&["deflate", "br"], false),
            (&["identity"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*;q=0, gzip"], true),
            (&["gzip;q=0, *"], false),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000"], false),
            (&["gzip; q=0.001"], true),
            (&["gzip ; Q=0"], false),
            (&["identity, gzip"], true),
            (&["identity;q=0, gzip;q=0.5"], true),
            (&["identity;q=0.6, gzip;q=0.5"], false),
            (&["gzip;q=none"], false),
            (&["gzip;q=NaN"], false),
            (&["gzip;q=-1"], false),
            (&["gzip;q=7"], false),
            (&["gzipped"], false),
            (&["gzip\u{e9}"], false),
            (&[",,;,;q=1,"], false),
        ] {
            assert_eq!(accepts_gzip(&headers(lines)), is_gzip, "{lines:?}");
        }
    }

    #[test]
    fn an_answer_that_hangs_on_what_is_accepted_says_so() {
        let said = |is_on, accepted: &str, is_gzip| {
            let response = Encoding::agree(is_on, &headers(&[accepted])).said(is_gzip, Response::new(()));
            let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            (header(VARY), header(CONTENT_ENCODING))
        };
        let (vary, gzip) = (Some("accept-encoding".to_owned()), Some("gzip".to_owned()));
        assert_eq!(said(false, "gzip", false), (None, None));
        assert_eq!(said(true, "br", false), (vary.clone(), None));
        assert_eq!(said(true, "gzip", false), (vary.clone(), None), "it was not worth it");
        assert_eq!(said(true, "gzip", true), (vary, gzip));
    }
}
