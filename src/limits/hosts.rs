//! Hosts that are served, as with Django's `ALLOWED_HOSTS`: names, names below a name, addresses and networks.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// The hosts of a list; of an empty one all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    /// In lower case.
    names: HashSet<String>,
    /// In lower case, each with the dot before it.
    suffixes: Vec<String>,
    networks: Vec<IpNet>,
    all: bool,
    /// The first one that is a name.
    first_name: Option<String>,
}

/// Longest name in the DNS, bytes, with its dots (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 255;

impl AllowedHosts {
    /// Reads a list: `example.com`, `*.example.com` (names below it), `.example.com` (those and itself), an address with or without
    /// brackets, a network, `*` (all).
    ///
    /// # Errors
    /// The entry that is none of these.
    pub fn new<'t>(entries: impl IntoIterator<Item = &'t str>) -> Result<AllowedHosts, &'t str> {
        let mut hosts = AllowedHosts::default();
        for entry in entries {
            hosts.add(entry).ok_or(entry)?;
        }
        Ok(hosts)
    }

    fn add(&mut self, entry: &str) -> Option<()> {
        if entry == "*" {
            self.all = true;
        } else if let Some(address) = address(entry) {
            self.networks.push(IpNet::from(address));
        } else if let Ok(network) = entry.parse::<IpNet>() {
            self.networks.push(network.trunc());
        } else {
            let (below, with_itself) = match (entry.strip_prefix("*."), entry.strip_prefix('.')) {
                (Some(name), _) => (Some(name), None),
                (_, Some(name)) => (Some(name), Some(name)),
                (None, None) => (None, Some(entry)),
            };
            if let Some(name) = below {
                self.suffixes.push(format!(".{}", checked(name)?));
            }
            if let Some(name) = with_itself {
                let name = checked(name)?;
                self.first_name.get_or_insert_with(|| name.clone());
                self.names.insert(name);
            }
        }
        Some(())
    }

    /// The first name of the list, in lower case.
    pub fn first_name(&self) -> Option<&str> {
        self.first_name.as_deref()
    }

    /// Whether every host is served.
    pub fn are_all(&self) -> bool {
        self.all || (self.names.is_empty() && self.suffixes.is_empty() && self.networks.is_empty())
    }

    /// Whether a host is served: one without port, in any case, with or without the root's dot.
    pub fn admit(&self, host: &str) -> bool {
        if self.are_all() {
            return true;
        }
        if let Some(address) = address(host) {
            return self.networks.iter().any(|network| network.contains(&address));
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.len() > NAME_BYTES_MAX {
            return false;
        }
        let host = host.to_ascii_lowercase();
        let lies_below = |suffix: &String| host.len() > suffix.len() && host.ends_with(suffix.as_str());
        self.names.contains(&host) || self.suffixes.iter().any(lies_below)
    }
}

/// An address, an IPv6 one with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or(text).parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn checked(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = name.len() <= NAME_BYTES_MAX && name.chars().all(allowed) && !name.split('.').any(str::is_empty);
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suffixes_addresses_and_networks() {
        let entries =
            ["Example.com", "*.a.example", ".b.example", "192.0.2.1", "[2001:db8::1]", "10.0.0.0/8", "fd00::/8"];
        let hosts = AllowedHosts::new(entries).expect("a list");
        for (host, expected) in [
            ("example.com", true),
            ("EXAMPLE.COM", true),
            ("example.com.", true),
            ("www.example.com", false),
            ("notexample.com", false),
            ("a.example", false),
            ("x.a.example", true),
            ("x.y.a.example", true),
            (".a.example", false),
            ("b.example", true),
            ("x.b.example", true),
            ("xb.example", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("10.200.3.4", true),
            ("[2001:db8::1]", true),
            ("[2001:DB8:0::1]", true),
            ("[2001:db8::2]", false),
            ("[fd12::1]", true),
            ("[::ffff:10.0.0.1]", true),
            ("[::1]", false),
            ("", false),
            (".", false),
            ("example.com..", false),
        ] {
            assert_eq!(hosts.admit(host), expected, "{host}");
        }
    }

    #[test]
    fn no_list_and_a_star_are_all() {
        assert!(AllowedHosts::default().admit("anything"));
        assert!(AllowedHosts::new(["*", "example.com"]).expect("a list").admit("[::1]"));
    }

    #[test]
    fn what_is_no_host() {
        for wrong in [
            "",
            ".",
            "*.",
            "a..b",
            "example.com:80",
            "http://example.com",
            "*example.com",
            "a b",
            "é.example",
            "10.0.0.0/40",
        ] {
            assert_eq!(AllowedHosts::new([wrong]), Err(wrong));
        }
    }
}
