//! Whose address a request comes from, as far as that can be known. Pure.

use std::net::{IpAddr, Ipv6Addr};

/// Networks whose word is taken for where a request comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<(IpAddr, u8)>);

impl Proxies {
    /// Reads a network, as in `10.0.0.0/8`, or an address.
    pub(crate) fn add(&mut self, network: &str) -> Option<()> {
        let (address, bits) =
            network.split_once('/').map_or((network, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits =
            bits.map_or(Some(bits_max), |bits| bits.trim().parse().ok().filter(|&bits| bits <= bits_max))?;
        self.0.push((address, bits));
        Some(())
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|&(network, bits)| is_in(address, network, bits))
    }

    /// The client's address: the peer's, or if that is a proxy's, the last of those in `X-Forwarded-For` that is not. What stands
    /// before it anybody may have written.
    pub(crate) fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in forwarded.rev().flat_map(|line| line.rsplit(',')) {
            if !self.trust(client) {
                break;
            }
            let Some(address) = read(hop) else { break };
            client = address;
        }
        client
    }
}

/// An address as proxies write it, with a port or without.
fn read(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = hop.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|it| it.ip()));
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(|it: IpAddr| it.to_canonical())
}

/// What counts as one client: an address of IPv4, a network of 64 bits of IPv6, which is what one customer has at least.
pub(crate) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let shift = width - u32::from(bits);
        one.checked_shr(shift).unwrap_or(0) == other.checked_shr(shift).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            same(address.to_bits().into(), network.to_bits().into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => same(address.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        let mut proxies = Proxies::default();
        for network in ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"] {
            proxies.add(network).unwrap();
        }
        proxies
    }

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let client = |peer: &str, forwarded: &[&str]| {
            proxies().client(peer.parse().unwrap(), forwarded.iter().copied()).to_string()
        };
        assert_eq!(client("198.51.100.7", &["203.0.113.1"]), "198.51.100.7", "anybody may say so");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["203.0.113.1"]), "203.0.113.1");
        assert_eq!(client("::ffff:10.1.2.3", &["203.0.113.1:5000"]), "203.0.113.1");
        assert_eq!(client("10.1.2.3", &["1.1.1.1, 203.0.113.1 , 192.0.2.1", "2001:db8::5"]), "203.0.113.1");
        assert_eq!(client("10.1.2.3", &["1.1.1.1, nonsense"]), "10.1.2.3", "whoever wrote that is no proxy");
        assert_eq!(client("192.0.2.2", &["203.0.113.1"]), "192.0.2.2");
        assert_eq!(client("10.1.2.3", &["[2001:4860::1]:443"]), "2001:4860::1");
    }

    #[test]
    fn networks_are_read_and_nonsense_is_not() {
        for network in ["10.0.0.0/33", "10.0.0/8", "::1/129", "", "/8", "a/8", "10.0.0.0/-1"] {
            assert!(Proxies::default().add(network).is_none(), "{network}");
        }
        let mut all = Proxies::default();
        all.add("0.0.0.0/0").unwrap();
        assert!(all.trust("203.0.113.1".parse().unwrap()) && !all.trust("::1".parse().unwrap()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let of = |address: &str| client_of(address.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(
            (of("::ffff:203.0.113.1"), of("203.0.113.2")),
            ("203.0.113.1".into(), "203.0.113.2".into())
        );
    }
}
