//! Which web pages may connect.
//!
//! Browsers let any page open a WebSocket to any server and send the user's cookies along; what they add is
//! the `Origin` header. Clients that are no browsers send none, or what they like: this protects users from
//! pages, not the server from clients.
//!
//! Without a configured host or list, an origin is compared with what the request says of itself, its `Host`. An attacker
//! who makes a name of theirs lead to this server (DNS rebinding) is then of the same host. They get no cookies of the
//! user's, as those go by name, but they get whatever a server gives to everybody in its network: a server for a machine
//! or a house of one's own needs [`TransportOptions::host`](crate::options::TransportOptions::host) or a
//! [`CheckOrigin::List`].

mod pattern;

use std::{fmt, net::Ipv6Addr, str, sync::Arc};

use http::{
    HeaderValue,
    header::{HOST, ORIGIN},
    request::Parts,
    uri::{Authority, Scheme},
};

pub use pattern::{OriginPattern, OriginPatternError};

/// The rule by which the `Origin` header of a connecting request is judged. Requests without one pass, unless they say by
/// `Sec-Fetch-Site` that a page of another origin sent them: an image or a link, which need no `Origin` and bring the user's
/// cookies.
///
/// ```
/// use http::Request;
/// use lapwing_transports::origin::{CheckOrigin, Origin, OriginPatternError};
///
/// let request = |origin: &str| {
///     let request = Request::get("/").header("host", "chat.example:4000").header("origin", origin);
///     request.body(()).unwrap().into_parts().0
/// };
/// let same_host = CheckOrigin::default();
/// assert!(same_host.allows(&Origin::of(&request("https://chat.example")), None));
/// assert!(!same_host.allows(&Origin::of(&request("https://evil.example")), None));
///
/// let list = CheckOrigin::list(["//*.example", "https://partner.test"])?;
/// assert!(list.allows(&Origin::of(&request("https://a.b.example")), None));
/// assert!(!list.allows(&Origin::of(&request("http://partner.test")), None));
///
/// assert!(CheckOrigin::list(["example.com"]).is_err());
/// # Ok::<(), OriginPatternError>(())
/// ```
#[derive(Clone, Default)]
pub enum CheckOrigin {
    /// Every page may connect. Only for servers that give nothing to those who merely have a user's cookies.
    Off,
    /// Pages of the configured host or, if none is configured, of the host that the request was sent to.
    #[default]
    SameHost,
    /// Pages of the scheme, host and port that the request was sent to. See [`Origin::of`] for the scheme.
    SameOrigin,
    /// Pages that any of the patterns matches.
    List(Vec<OriginPattern>),
    /// Pages that the function allows. It alone is also asked about origins without a host.
    Custom(Arc<dyn Fn(&Origin<'_>) -> bool + Send + Sync>),
}

impl CheckOrigin {
    /// A [`List`](Self::List) from texts.
    ///
    /// # Errors
    ///
    /// The first text that is not a pattern; see [`OriginPattern`].
    pub fn list<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, OriginPatternError> {
        patterns.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self::List)
    }

    /// [`Custom`](Self::Custom) from a function.
    #[must_use]
    pub fn custom(allows: impl Fn(&Origin<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(allows))
    }

    /// Returns whether a page of `origin` may connect to this server, which is known as `host` if that is configured.
    #[must_use]
    pub fn allows(&self, origin: &Origin<'_>, host: Option<&str>) -> bool {
        let page = match &origin.claim {
            Claim::Absent => return true,
            Claim::Several | Claim::Concealed => return matches!(self, Self::Off),
            Claim::One(page) => page,
        };
        match self {
            Self::Off => true,
            Self::SameHost => {
                let own = host.map(unbracketed).or(origin.request.host());
                page.host.zip(own).is_some_and(|(page, own)| page.eq_ignore_ascii_case(own))
            }
            Self::SameOrigin => page.host.is_some() && page.is_same(&origin.request),
            Self::List(patterns) => patterns.iter().any(|pattern| pattern.matches(origin)),
            Self::Custom(allows) => allows(origin),
        }
    }
}

impl CheckOrigin {
    /// Whether it believes a request about the host that it was sent to, unless one is configured.
    pub(crate) fn trusts_requests(&self) -> bool {
        matches!(self, Self::SameHost | Self::SameOrigin)
    }

    /// Whether it is a list that no page can be on.
    pub(crate) fn is_empty_list(&self) -> bool {
        matches!(self, Self::List(patterns) if patterns.is_empty())
    }
}

impl fmt::Debug for CheckOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::SameHost => f.write_str("SameHost"),
            Self::SameOrigin => f.write_str("SameOrigin"),
            Self::List(patterns) => f.debug_tuple("List").field(patterns).finish(),
            Self::Custom(_) => f.write_str("Custom(..)"),
        }
    }
}

/// The page that a request comes from, and where the request went.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    claim: Claim<'a>,
    request: Place<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Claim<'a> {
    Absent,
    /// Two headers, of which a proxy and we might believe different ones.
    Several,
    /// None, from a page of another origin all the same.
    Concealed,
    One(Place<'a>),
}

/// A scheme, host and port, or what of them could be understood.
#[derive(Clone, Copy, Debug, Default)]
struct Place<'a> {
    /// As it was sent, if it was sent and is text.
    raw: Option<&'a str>,
    scheme: Option<&'a str>,
    /// Without the brackets of an IPv6 address.
    host: Option<&'a str>,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// The origin of the page that a request says it comes from.
    ///
    /// The request's own host comes from its URI or `Host` header. Its scheme comes from its extensions, if
    /// somebody who knows put an [`http::uri::Scheme`] there, or from its URI, or is taken to be `http`:
    /// HTTP/1.1 does not send it. Behind a proxy that ends TLS, [`CheckOrigin::SameOrigin`] needs that extension.
    #[must_use]
    pub fn of(request: &'a Parts) -> Self {
        let mut headers = request.headers.get_all(ORIGIN).iter();
        let claim = match (headers.next(), headers.next()) {
            (None, _) if is_of_another_origin(request) => Claim::Concealed,
            (None, _) => Claim::Absent,
            (Some(only), None) => Claim::One(Place::of_page(only)),
            (Some(_), Some(_)) => Claim::Several,
        };
        Self { claim, request: Place::of_request(request) }
    }

    /// The header as it was sent, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        self.page().raw
    }

    /// The page's scheme as it was sent, usually `https`.
    #[must_use]
    pub fn scheme(&self) -> Option<&'a str> {
        self.page().scheme
    }

    /// The page's host as it was sent, an IPv6 address without its brackets. Pages from files, sandboxed
    /// frames and headers that are no origin have none.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        self.page().host
    }

    /// The page's port, which may come from its scheme.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.page().port
    }

    /// The host that the request was sent to.
    #[must_use]
    pub fn request_host(&self) -> Option<&'a str> {
        self.request.host()
    }

    fn page(&self) -> Place<'a> {
        if let Claim::One(page) = self.claim { page } else { Place::default() }
    }
}

impl<'a> Place<'a> {
    /// `scheme://host` or `scheme://host:port`; a path behind it, which some programs that are no browsers send, says nothing
    /// of the origin. Of anything else only the text is kept.
    fn of_page(header: &'a HeaderValue) -> Self {
        let Ok(raw) = str::from_utf8(header.as_bytes()) else { return Self::default() };
        let unknown = Self { raw: Some(raw), ..Self::default() };
        let Some((scheme, authority)) = raw.split_once("://") else { return unknown };
        let unknown = Self { scheme: Some(scheme), ..unknown };
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        let Some((host, port)) = split_authority(authority) else { return unknown };
        Self { host: Some(host), port: port.or(default_port(scheme)), ..unknown }
    }

    fn of_request(request: &'a Parts) -> Self {
        let uri = &request.uri;
        let scheme = request.extensions.get::<Scheme>().or(uri.scheme()).map_or("http", Scheme::as_str);
        let unknown = Self { scheme: Some(scheme), ..Self::default() };
        let header = || request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = uri.authority().map(Authority::as_str).or_else(header);
        let Some((host, port)) = authority.and_then(split_authority) else { return unknown };
        Self { host: Some(host), port: port.or(default_port(scheme)), ..unknown }
    }

    fn host(&self) -> Option<&'a str> {
        self.host
    }

    fn is_same(&self, other: &Self) -> bool {
        let same = |own: Option<&str>, other: Option<&str>| match (own, other) {
            (Some(own), Some(other)) => own.eq_ignore_ascii_case(other),
            _ => false,
        };
        same(self.scheme, other.scheme) && same(self.host, other.host) && self.port == other.port
    }
}

/// Whether a browser says that a page of another origin is behind the request. Browsers add `Origin` where such a page may
/// read the answer, so that a request like this cannot be one of a client.
fn is_of_another_origin(request: &Parts) -> bool {
    let site = request.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

/// `host` or `host:port`, where the host may be an IPv6 address in brackets. Nothing that is no host passes:
/// neither a user's name nor a path, which could make an evil host look like a good one.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (host, port)
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_host = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':') || !byte.is_ascii()
    };
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    match port {
        None => Some((host, None)),
        Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some((host, Some(port.parse().ok()?)))
        }
        Some(_) => None,
    }
}

/// Whether a text is the name or the address of a host and no more: an IPv6 address with its brackets or without.
pub(crate) fn is_host(text: &str) -> bool {
    let is_bare_ipv6 = || text.parse::<Ipv6Addr>().is_ok();
    matches!(split_authority(text), Some((_, None))) || is_bare_ipv6()
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn default_port(scheme: &str) -> Option<u16> {
    let is = |name| scheme.eq_ignore_ascii_case(name);
    if is("http") || is("ws") {
        Some(80)
    } else if is("https") || is("wss") {
        Some(443)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
