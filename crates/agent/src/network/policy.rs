//! Which addresses tasks may reach: who may post tasks may not scan the agent's network.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network, as `ADDRESS/BITS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u128,
    bits: u32,
    is_v4: bool,
}

/// Why a text is no network.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no network: write ADDRESS or ADDRESS/BITS, like 10.0.0.0/8 or 2001:db8::/32")]
pub struct ParseNetworkError(String);

/// The networks that an operator allows and denies.
///
/// What is denied by name is never reached. Where any network is allowed by name, nothing else is reached; where none
/// is, everything is. Addresses at which clouds give away the credentials of their machines, such as link-local ones,
/// are reached only where a network that begins with such an address is allowed by name: `0.0.0.0/0` does not.
#[derive(Debug, Clone, Default)]
pub struct NetworkPolicy {
    allowed: Vec<Network>,
    denied: Vec<Network>,
    /// The hosts that may be reached beside that; `None`: all.
    hosts: Option<BTreeSet<String>>,
}

/// Where clouds tell a machine its credentials, beside link-local addresses.
const METADATA: [IpAddr; 7] = [
    // AWS
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Google
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Azure
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Alibaba
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Scaleway
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

impl NetworkPolicy {
    /// A policy of what is allowed and what is denied.
    #[must_use]
    pub fn new(allowed: Vec<Network>, denied: Vec<Network>) -> Self {
        Self { allowed, denied, hosts: None }
    }

    /// A policy that allows every address, also those where clouds keep credentials.
    pub(crate) fn everything() -> Self {
        let networks = ["0.0.0.0/0", "::/0", "169.254.0.0/16", "fe80::/10"];
        let networks = networks.iter().filter_map(|network| network.parse().ok());
        Self::new(networks.chain(METADATA.map(Network::of)).collect(), Vec::new())
    }

    /// The same policy for a task that may reach these hosts alone.
    pub(crate) fn for_hosts(self, hosts: BTreeSet<String>) -> Self {
        Self { hosts: Some(hosts), ..self }
    }

    /// The hosts that may be reached, if not all may.
    pub(crate) fn hosts(&self) -> Option<&BTreeSet<String>> {
        self.hosts.as_ref()
    }

    /// Whether a host may be reached, if its address may.
    pub(crate) fn allows_host(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(&plain_host(host)))
    }

    /// Whether tasks may reach an address.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let (written, address) = (address, plain(address));
        let denies = |network: &Network| network.contains(address) || network.contains(written);
        if self.denied.iter().any(denies) {
            return false;
        }
        let mut allowing = self.allowed.iter().filter(|network| network.contains(address));
        match is_metadata(address) {
            true => allowing.any(|network| is_metadata(network.first())),
            false => self.allowed.is_empty() || allowing.next().is_some(),
        }
    }
}

/// A host in the form in which hosts are compared.
pub(crate) fn plain_host(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => plain(address).to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

/// The address that a packet goes to in the end: one of IPv4 may be written as one of IPv6.
fn plain(address: IpAddr) -> IpAddr {
    let v6 = match address {
        // A connection to no address goes to the machine itself.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => return Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => return Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) => return address,
        IpAddr::V6(v6) => v6,
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 =
        |high: u16, low: u16| plain(IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))));
    match (a, b, c, d, e, f) {
        // Mapped, compatible, and translated (SIIT, NAT64) addresses.
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0, 0, 0, 0, 0, 0) if g != 0 => v4(g, h),
        // 6to4.
        (0x2002, ..) => v4(b, c),
        _ => address,
    }
}

fn is_metadata(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    is_link_local || METADATA.contains(&address)
}

impl Network {
    /// An address alone.
    fn of(address: IpAddr) -> Self {
        let (address, is_v4) = bits_of(address);
        Self { address, bits: if is_v4 { 32 } else { 128 }, is_v4 }
    }

    /// Its first address.
    fn first(&self) -> IpAddr {
        match u32::try_from(self.address) {
            Ok(address) if self.is_v4 => IpAddr::V4(Ipv4Addr::from_bits(address)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(self.address)),
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits_of(address);
        is_v4 == self.is_v4 && self.cut(bits) == self.address
    }

    /// A network of addresses of IPv4 that are written as ones of IPv6 (`::ffff:10.0.0.0/104`) as one of IPv4.
    fn as_v4(self) -> Self {
        match self.first() {
            IpAddr::V6(first) if self.bits >= 96 => match first.to_ipv4_mapped() {
                Some(v4) => Self { address: u128::from(v4.to_bits()), bits: self.bits - 96, is_v4: true },
                None => self,
            },
            _ => self,
        }
    }

    /// The bits of an address that belong to the network.
    fn cut(&self, address: u128) -> u128 {
        let width = if self.is_v4 { 32 } else { 128 };
        let host = width - self.bits;
        if host >= 128 { 0 } else { address >> host << host }
    }
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let wrong = || ParseNetworkError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                let is_number = !bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit());
                let bits = bits.parse().ok().filter(|_| is_number);
                (address, Some(bits.ok_or_else(wrong)?))
            }
            None => (text, None),
        };
        let (address, is_v4) = bits_of(address.trim().parse().map_err(|_| wrong())?);
        let width = if is_v4 { 32 } else { 128 };
        let network = Self { address, bits: bits.unwrap_or(width), is_v4 };
        if network.bits > width {
            return Err(wrong());
        }
        Ok(Self { address: network.cut(address), ..network }.as_v4())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str], denied: &[&str]) -> NetworkPolicy {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        NetworkPolicy::new(parse(allowed), parse(denied))
    }

    fn allows(policy: &NetworkPolicy, address: &str) -> bool {
        policy.allows(address.parse().unwrap())
    }

    #[test]
    fn by_default_all_but_where_clouds_keep_credentials_is_reached() {
        let policy = policy(&[], &[]);
        for address in ["127.0.0.1", "10.0.0.1", "203.0.113.7", "::1", "2001:db8::1", "fd00::1"] {
            assert!(allows(&policy, address), "{address}");
        }
        let denied = [
            "169.254.169.254",
            "169.254.170.2",
            "fd00:ec2::254",
            "fe80::1",
            "100.100.100.200",
            "192.0.0.192",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "::ffff:0:169.254.169.254",
            "fd20:ce::254",
            "168.63.129.16",
            "2002:a9fe:a9fe::1",
        ];
        for address in denied {
            assert!(!allows(&policy, address), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_by_name_is_all_that_is_reached_but_what_is_denied() {
        let policy = policy(&["10.0.0.0/8", "169.254.169.254", "2001:db8::/32"], &["10.1.0.0/16"]);
        for address in ["10.0.0.1", "10.2.255.255", "169.254.169.254", "2001:db8:1::1", "::ffff:10.0.0.1"] {
            assert!(allows(&policy, address), "{address}");
        }
        for address in ["10.1.0.1", "11.0.0.1", "169.254.169.253", "::1", "2001:db9::1", "::ffff:10.1.0.1"] {
            assert!(!allows(&policy, address), "{address}");
        }
        assert!(!allows(&self::policy(&[], &["0.0.0.0/0"]), "203.0.113.7"));
        assert!(!allows(&self::policy(&[], &["::/0"]), "2001:db8::1"));
        for loopback in ["0.0.0.0", "::", "::ffff:0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(!allows(&self::policy(&[], &["127.0.0.0/8", "::1"]), loopback), "{loopback}");
        }
    }

    #[test]
    fn where_clouds_keep_credentials_is_reached_only_where_it_is_allowed_itself() {
        let everything = policy(&["0.0.0.0/0", "::/0"], &[]);
        for address in ["169.254.169.254", "fe80::1", "100.100.100.200", "::ffff:169.254.169.254"] {
            assert!(!allows(&everything, address), "{address}");
        }
        assert!(allows(&everything, "203.0.113.7") && allows(&everything, "2001:db8::1"));
        // Addresses of IPv4 are not reached by way of those of IPv6.
        assert!(!allows(&policy(&["::/0"], &[]), "::ffff:203.0.113.7"));
        let named = policy(&["169.254.0.0/16", "fd00:ec2::254"], &[]);
        assert!(allows(&named, "169.254.169.254") && allows(&named, "fd00:ec2::254"));
        for address in ["169.254.169.254", "fe80::1", "168.63.129.16", "203.0.113.7", "2001:db8::1"] {
            assert!(allows(&NetworkPolicy::everything(), address), "{address}");
        }
    }

    #[test]
    fn a_network_counts_however_it_is_written() {
        for denied in ["::ffff:10.0.0.0/104", "64:ff9b::/96", "10.0.0.0/8"] {
            assert!(!allows(&policy(&[], &[denied]), "64:ff9b::10.0.0.1"), "{denied}");
        }
        for denied in ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "::ffff:0:0/96"] {
            assert!(!allows(&policy(&[], &[denied]), "10.0.0.1"), "{denied}");
            assert!(!allows(&policy(&[], &[denied]), "::ffff:10.0.0.1"), "{denied}");
        }
        assert!(allows(&policy(&["::ffff:10.0.0.0/104"], &[]), "10.0.0.1"));
    }

    #[test]
    fn a_network_is_an_address_and_a_number_of_bits() {
        for (text, network) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::1", "::1/128"),
            ("2001:db8:ffff::/32", "2001:db8::/32"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("ffff::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), network);
        }
        for text in
            ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "example.org", "10/8"]
        {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
