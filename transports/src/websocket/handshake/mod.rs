//! The upgrade of an HTTP/1.1 request: whether it is one, and what it asks for.
//!
//! Refusals carry the texts of Phoenix's adapter, which are what its users search the web for, but for what it repeats of the
//! request.

use std::{error, fmt};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use sha1::{Digest as _, Sha1};

/// What RFC 6455, 1.3 has appended to the key, so that nobody answers a handshake by accident.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What phoenix.js offers beside its token.
const PHOENIX: &str = "phoenix";

/// In front of the token that phoenix.js hides among the subprotocols.
const AUTH_TOKEN_PREFIX: &str = "base64url.bearer.phx.";

/// phoenix.js sends the standard alphabet, in spite of the prefix, and no padding; others take the prefix at
/// its word.
const STANDARD_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);
const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The version of WebSockets that there is.
pub(super) const VERSION: HeaderValue = HeaderValue::from_static("13");

/// The value of `Sec-WebSocket-Accept` for a request that may become a WebSocket.
///
/// The checks and their order are those of Phoenix's adapter. The key only has to be there: its value proves
/// nothing to a server.
///
/// # Errors
///
/// An [`UpgradeError`] is to be answered with 400 and its text.
///
/// ```
/// use http::Request;
/// use lapwing_transports::websocket::handshake::accept;
///
/// let request = Request::get("/socket/websocket")
///     .header("host", "example.com")
///     .header("connection", "keep-alive, Upgrade")
///     .header("upgrade", "websocket")
///     .header("sec-websocket-version", "13")
///     .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .body(())?;
/// assert_eq!(accept(&request)?, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
///
/// let request = Request::get("/").header("host", "example.com").header("connection", "close").body(())?;
/// let refused = accept(&request).unwrap_err();
/// assert_eq!(refused.to_string(), "'connection' header must contain 'upgrade'");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn accept<B>(request: &Request<B>) -> Result<HeaderValue, UpgradeError> {
    accept_parts(request.version(), request.method(), request.headers())
}

/// [`accept`], for those who have taken the request apart.
///
/// # Errors
///
/// See [`accept`].
pub fn accept_parts(
    version: Version,
    method: &Method,
    headers: &HeaderMap,
) -> Result<HeaderValue, UpgradeError> {
    if version != Version::HTTP_11 {
        return Err(UpgradeError::Version(version));
    }
    if method != Method::GET {
        return Err(UpgradeError::Method(method.clone()));
    }
    require(headers, &HOST)?;
    require_item(headers, &CONNECTION, "upgrade")?;
    require_item(headers, &UPGRADE, "websocket")?;
    let key = require(headers, &SEC_WEBSOCKET_KEY)?;
    require_value(headers, &SEC_WEBSOCKET_VERSION, "13")?;
    Ok(accept_value(key))
}

/// Why a request cannot become a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Only HTTP/1.1 upgrades.
    Version(Version),
    /// Only GET upgrades.
    Method(Method),
    /// A header is missing.
    Absent {
        /// Which one.
        header: HeaderName,
    },
    /// A header is a list that lacks an item.
    Lacks {
        /// Which one.
        header: HeaderName,
        /// What it must contain, in lower case.
        item: &'static str,
        /// Its values as they came.
        got: Vec<HeaderValue>,
    },
    /// A header has another value than it must, or several.
    Differs {
        /// Which one.
        header: HeaderName,
        /// What it must be, in lower case.
        value: &'static str,
        /// Its values as they came.
        got: Vec<HeaderValue>,
    },
}

impl UpgradeError {
    /// Whether the client speaks another version of WebSockets: it has to be told which one there is (RFC 6455, 4.4).
    pub(super) fn is_of_version(&self) -> bool {
        matches!(self, Self::Differs { header, .. } if header == SEC_WEBSOCKET_VERSION)
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Plug calls it "HTTP/2"; the others agree.
            Self::Version(Version::HTTP_2) => f.write_str("HTTP version HTTP/2 unsupported"),
            Self::Version(version) => write!(f, "HTTP version {version:?} unsupported"),
            Self::Method(method) => write!(f, "HTTP method {method} unsupported"),
            Self::Absent { header } => write!(f, "'{header}' header is absent"),
            Self::Lacks { header, item, .. } => write!(f, "'{header}' header must contain '{item}'"),
            Self::Differs { header, value, .. } => write!(f, "'{header}' header must equal '{value}'"),
        }
    }
}

impl error::Error for UpgradeError {}

/// Which subprotocols a mount speaks, and whether it looks for an `authToken` among those that are offered.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use lapwing_transports::websocket::handshake::{SubprotocolError, Subprotocols};
///
/// let offered = |value| {
///     let mut headers = HeaderMap::new();
///     headers.insert("sec-websocket-protocol", HeaderValue::from_static(value));
///     headers
/// };
/// let subprotocols = Subprotocols { auth_token: true, names: &[] };
///
/// let agreed = subprotocols.negotiate(&offered("phoenix, base64url.bearer.phx.dG9rLmVu"))?;
/// assert_eq!(agreed.auth_token.as_deref(), Some("tok.en"));
/// assert_eq!(agreed.selected.unwrap(), "phoenix");
///
/// assert_eq!(subprotocols.negotiate(&offered("mqtt")), Err(SubprotocolError::Mismatch));
/// # Ok::<(), SubprotocolError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subprotocols<'a> {
    /// Take a token from the offer, and speak `phoenix` before any of `names`.
    pub auth_token: bool,
    /// Names that may be chosen, the preferred one first. Compared exactly.
    pub names: &'a [String],
}

/// Whether the client offers a subprotocol, in any of the header's lines.
pub(super) fn offers(headers: &HeaderMap, name: &str) -> bool {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|offer| offer.trim() == name)
}

/// What client and server agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The decoded token, if one was asked for and the client sent exactly one.
    pub auth_token: Option<String>,
    /// The `Sec-WebSocket-Protocol` header of the answer, if it is to have one.
    pub selected: Option<HeaderValue>,
}

/// Why the offered subprotocols cannot be agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubprotocolError {
    /// None of those offered is spoken here. Phoenix answers 403.
    Mismatch,
    /// The token is not base64 of UTF-8. Phoenix fails with 500; since it is the client's fault, answer 400.
    BadAuthToken,
}

impl Subprotocols<'_> {
    /// Chooses among what `headers` offer, in however many lines (RFC 6455, 11.3.4). As in Phoenix, a mount that neither
    /// names subprotocols nor wants a token ignores them, unless there is a token among them: clients that bring one also
    /// offer `phoenix`, and browsers give up where nothing is chosen.
    ///
    /// # Errors
    ///
    /// See [`SubprotocolError`].
    pub fn negotiate(&self, headers: &HeaderMap) -> Result<Agreed, SubprotocolError> {
        let lines: Vec<_> =
            headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(HeaderValue::as_bytes).collect();
        let offer = &lines.join(&b","[..])[..];
        if !self.auth_token && self.names.is_empty() {
            let speaks_phoenix = items(offer).any(|item| item == PHOENIX.as_bytes());
            let has_token = items(offer).any(|item| item.starts_with(AUTH_TOKEN_PREFIX.as_bytes()));
            let selected = (speaks_phoenix && has_token).then(|| HeaderValue::from_static(PHOENIX));
            return Ok(Agreed { auth_token: None, selected });
        }
        let token = if self.auth_token { only_token(offer) } else { None };
        let auth_token = token.map(decode_token).transpose()?;
        let is_offered = |name: &str| items(offer).any(|item| item == name.as_bytes());
        let phoenix = self.auth_token.then_some(PHOENIX);
        let mut spoken = phoenix.into_iter().chain(self.names.iter().map(String::as_str));
        if let Some(name) = spoken.find(|name| is_offered(name)) {
            let selected = HeaderValue::from_str(name).map_err(|_| SubprotocolError::Mismatch)?;
            return Ok(Agreed { auth_token, selected: Some(selected) });
        }
        let tokens_taken = usize::from(auth_token.is_some());
        if items(offer).count() > tokens_taken {
            return Err(SubprotocolError::Mismatch);
        }
        Ok(Agreed { auth_token, selected: None })
    }
}

impl fmt::Display for SubprotocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mismatch => "none of the offered subprotocols is spoken here",
            Self::BadAuthToken => "the auth token is not base64 of utf-8",
        })
    }
}

impl error::Error for SubprotocolError {}

/// Base64 of SHA-1 of the key and the GUID (RFC 6455, 4.2.2).
fn accept_value(key: &HeaderValue) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    let accept = general_purpose::STANDARD.encode(digest);
    HeaderValue::from_str(&accept).expect("base64 is visible ASCII")
}

fn require<'h>(headers: &'h HeaderMap, header: &HeaderName) -> Result<&'h HeaderValue, UpgradeError> {
    headers.get(header).ok_or_else(|| UpgradeError::Absent { header: header.clone() })
}

fn require_item(headers: &HeaderMap, header: &HeaderName, item: &'static str) -> Result<(), UpgradeError> {
    let mut all = headers.get_all(header).iter().flat_map(|value| items(value.as_bytes()));
    if all.any(|found| found.eq_ignore_ascii_case(item.as_bytes())) {
        return Ok(());
    }
    let got = headers.get_all(header).iter().cloned().collect();
    Err(UpgradeError::Lacks { header: header.clone(), item, got })
}

fn require_value(headers: &HeaderMap, header: &HeaderName, value: &'static str) -> Result<(), UpgradeError> {
    let mut all = headers.get_all(header).iter();
    if let (Some(only), None) = (all.next(), all.next())
        && only.as_bytes().eq_ignore_ascii_case(value.as_bytes())
    {
        return Ok(());
    }
    let got = headers.get_all(header).iter().cloned().collect();
    Err(UpgradeError::Differs { header: header.clone(), value, got })
}

/// The items of a list header, without the empty ones.
fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// The encoded token, unless there are several: then none of them can be believed.
fn only_token(offer: &[u8]) -> Option<&[u8]> {
    let mut tokens = items(offer).filter_map(|item| item.strip_prefix(AUTH_TOKEN_PREFIX.as_bytes()));
    let token = tokens.next()?;
    tokens.next().is_none().then_some(token)
}

fn decode_token(encoded: &[u8]) -> Result<String, SubprotocolError> {
    let token = STANDARD_ANY_PADDING.decode(encoded).or_else(|_| URL_SAFE_ANY_PADDING.decode(encoded));
    let token = token.map_err(|_| SubprotocolError::BadAuthToken)?;
    String::from_utf8(token).map_err(|_| SubprotocolError::BadAuthToken)
}

#[cfg(test)]
mod tests;
