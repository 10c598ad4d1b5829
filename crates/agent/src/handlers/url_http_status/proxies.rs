//! The proxies that the environment names, as `requests` chooses between them.

use std::net::Ipv4Addr;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::url::Prepared;
use crate::network::connect::Target;
use crate::network::http::Proxy;

/// What the environment says.
pub(super) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    all: Option<String>,
    none: Option<String>,
}

impl Proxies {
    pub(super) fn new(variable: &(dyn Fn(&str) -> Option<String> + Sync)) -> Self {
        let of = |name: &str| {
            let found = variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
            found.filter(|value| !value.is_empty())
        };
        Self { http: of("http_proxy"), https: of("https_proxy"), all: of("all_proxy"), none: of("no_proxy") }
    }

    /// The proxy for a URL.
    pub(super) fn of(&self, url: &Prepared) -> Result<Option<Proxy>, String> {
        let own = if url.is_secure { &self.https } else { &self.http };
        let Some(named) = own.as_ref().or(self.all.as_ref()) else { return Ok(None) };
        if self.none.as_ref().is_some_and(|none| is_left_out(none, url)) {
            return Ok(None);
        }
        let malformed =
            || "Please check proxy URL. It is malformed and could be missing the host.".to_owned();
        let whole = if named.contains("://") { named.clone() } else { format!("http://{named}") };
        let proxy = Url::parse(&whole).map_err(|_| malformed())?;
        match proxy.scheme() {
            "http" => {}
            "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return Err("Missing dependencies for SOCKS support.".to_owned());
            }
            scheme => return Err(format!("this agent knows no proxies with {scheme}")),
        }
        let host = proxy.host_str().ok_or_else(malformed)?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = (!proxy.username().is_empty())
            .then(|| (decoded(proxy.username()), decoded(proxy.password().unwrap_or_default())));
        Ok(Some(Proxy { target: Target::new(host, proxy.port_or_known_default().unwrap_or(80)), user }))
    }
}

/// Whether `no_proxy` has a URL's host.
fn is_left_out(none: &str, url: &Prepared) -> bool {
    let entries = none.split(',').map(|entry| entry.trim().to_ascii_lowercase());
    let mut entries = entries.filter(|entry| !entry.is_empty());
    if let Ok(address) = url.host.parse::<Ipv4Addr>() {
        return entries.any(|entry| match entry.split_once('/') {
            Some((network, bits)) => is_in(address, network, bits),
            None => entry == url.host || entry == "*",
        });
    }
    let place = url.place();
    entries.any(|entry| entry == "*" || url.host.ends_with(&entry) || place.ends_with(&entry))
}

fn is_in(address: Ipv4Addr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits @ 1..=32)) = (network.parse::<Ipv4Addr>(), bits.parse::<u32>()) else {
        return false;
    };
    address.to_bits() >> (32 - bits) == network.to_bits() >> (32 - bits)
}
