//! The entries of a list of allowed origins.

use std::{error, fmt, str::FromStr};

use super::{Origin, default_port, split_authority};

/// A set of origins: `https://example.com`, `https://example.com:8443`, `//example.com`, `//example.com:4000`
/// or `//*.example.com`.
///
/// What is left out matches anything, except that a scheme brings its default port. `*.` stands for the host
/// itself and everything below it, however deep.
///
/// ```
/// use lapwing_transports::origin::{OriginPattern, OriginPatternError};
///
/// let pattern: OriginPattern = "//*.example.com".parse()?;
/// assert_eq!(pattern.to_string(), "//*.example.com");
///
/// // Without the slashes it could be a host or a scheme.
/// assert_eq!("example.com".parse::<OriginPattern>().unwrap_err().pattern, "example.com");
/// # Ok::<(), OriginPatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    /// Lower case.
    scheme: Option<String>,
    /// Lower case, without the brackets of an IPv6 address.
    host: String,
    includes_subdomains: bool,
    /// As written, or by the scheme.
    port: Option<u16>,
}

impl OriginPattern {
    pub(super) fn matches(&self, origin: &Origin<'_>) -> bool {
        let scheme_matches = self
            .scheme
            .as_deref()
            .is_none_or(|scheme| origin.scheme().is_some_and(|of_page| of_page.eq_ignore_ascii_case(scheme)));
        let port_matches = self.port.is_none() || self.port == origin.port();
        scheme_matches && port_matches && origin.host().is_some_and(|host| self.host_matches(host))
    }

    fn host_matches(&self, host: &str) -> bool {
        if host.eq_ignore_ascii_case(&self.host) {
            return true;
        }
        let (host, suffix) = (host.as_bytes(), self.host.as_bytes());
        let Some((above, below)) = host.len().checked_sub(suffix.len()).map(|at| host.split_at(at)) else {
            return false;
        };
        self.includes_subdomains && above.ends_with(b".") && below.eq_ignore_ascii_case(suffix)
    }
}

impl FromStr for OriginPattern {
    type Err = OriginPatternError;

    fn from_str(pattern: &str) -> Result<Self, Self::Err> {
        let refused = |problem| OriginPatternError { pattern: pattern.to_owned(), problem };
        let (scheme, authority) = pattern.split_once("//").ok_or_else(|| refused("it has no '//'"))?;
        let scheme = match scheme.strip_suffix(':') {
            Some("") => return Err(refused("its scheme is empty")),
            Some(scheme) => Some(scheme.to_ascii_lowercase()),
            None if scheme.is_empty() => None,
            None => return Err(refused("its scheme has no ':'")),
        };
        let (authority, includes_subdomains) =
            authority.strip_prefix("*.").map_or((authority, false), |authority| (authority, true));
        if authority.is_empty() {
            return Err(refused("it has no host"));
        }
        let (host, port) =
            split_authority(authority).ok_or_else(|| refused("what follows '//' is not a host and port"))?;
        Ok(Self {
            port: port.or(scheme.as_deref().and_then(default_port)),
            scheme,
            host: host.to_ascii_lowercase(),
            includes_subdomains,
        })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}:")?;
        }
        f.write_str(if self.includes_subdomains { "//*." } else { "//" })?;
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        match self.port {
            Some(port) if self.scheme.as_deref().and_then(default_port) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// A text that is not an [`OriginPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginPatternError {
    /// The text.
    pub pattern: String,
    problem: &'static str,
}

impl fmt::Display for OriginPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "origin pattern {:?} is not like \"https://host:port\" or \"//*.host\": {}",
            self.pattern, self.problem
        )
    }
}

impl error::Error for OriginPatternError {}
