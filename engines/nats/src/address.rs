//! Where servers are, and who a node is there.

use std::fmt;

use http::uri::Authority;
use percent_encoding::percent_decode_str;

/// The port of NATS.
const PORT: u16 = 4222;

/// Addresses of the servers of one cluster, and what a node says to be let in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Hosts and ports.
    pub(crate) servers: Vec<(String, u16)>,
    pub(crate) credentials: Credentials,
    pub(crate) is_tls: bool,
}

/// Who a node says that it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    #[default]
    None,
    Password {
        user: String,
        password: String,
    },
    Token(String),
}

impl Address {
    /// Reads `nats://[user:password@|token@]host[:port][,host[:port]]…`, or the same with `tls`.
    pub(crate) fn read(url: &str) -> Result<Self, BadAddress> {
        let (scheme, rest) = url.split_once("://").ok_or(BadAddress)?;
        let is_tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return Err(BadAddress),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, rest),
        };
        let servers = hosts.split(',').map(server).collect::<Option<Vec<_>>>().ok_or(BadAddress)?;
        let credentials = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => Credentials::None,
            Some(Ok((user, password))) => {
                Credentials::Password { user: decoded(user)?, password: decoded(password)? }
            }
            Some(Err(token)) => Credentials::Token(decoded(token)?),
        };
        Ok(Self { servers, credentials, is_tls })
    }
}

/// A host and its port.
pub(crate) fn server(text: &str) -> Option<(String, u16)> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let port = match authority.port_u16() {
        Some(port) => port,
        None if host.len() == text.len() => PORT,
        None => return None,
    };
    // An address of IPv6 stands in brackets here, and in none where it is connected to.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn decoded(text: &str) -> Result<String, BadAddress> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| BadAddress)?;
    Ok(text.into_owned())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are in no log.
        match self {
            Self::None => f.write_str("none"),
            Self::Password { user, .. } => write!(f, "the password of {user:?}"),
            Self::Token(_) => f.write_str("a token"),
        }
    }
}

/// A URL is none of a NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is none of a NATS: nats://[user:password@]host[:port][,host[:port]]")
    }
}

impl std::error::Error for BadAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_who() {
        let address = Address::read("nats://a%40b:c%3Ad@one,two:99,[::1]:7/").unwrap();
        let servers = [("one", 4222), ("two", 99), ("::1", 7)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(address.servers, servers);
        let password = Credentials::Password { user: "a@b".to_owned(), password: "c:d".to_owned() };
        assert_eq!((address.credentials, address.is_tls), (password, false));
        let address = Address::read("tls://token@one").unwrap();
        assert_eq!((address.credentials, address.is_tls), (Credentials::Token("token".to_owned()), true));
        assert_eq!(Address::read("nats://one").unwrap().credentials, Credentials::None);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = |url| format!("{:?}", Address::read(url).unwrap().credentials);
        assert_eq!(shown("nats://ada:secret@one"), r#"the password of "ada""#);
        assert_eq!((shown("nats://secret@one"), shown("nats://one")), ("a token".into(), "none".into()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "one",
            "http://one",
            "nats://",
            "nats://one,",
            "nats://one:port",
            "nats://one:",
            "nats://a b",
            "nats://%ff@one",
        ] {
            let Err(error) = Address::read(url) else { panic!("{url}") };
            assert!(error.to_string().contains("none of a NATS"));
        }
    }
}
