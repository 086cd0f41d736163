//! Who may come in, by address: rules in an order, of which the first that fits decides, as with nginx's `allow` and `deny`.

use std::net::IpAddr;

use ipnet::IpNet;

/// Rules in their order; whom none of them means is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRules {
    rules: Vec<(bool, Whom)>,
}

/// Whom a rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody.
    All,
    /// Clients of a unix socket.
    Unix,
    /// The addresses of this network.
    Network(IpNet),
}

impl AccessRules {
    /// These rules; `true` lets in.
    pub fn new(rules: Vec<(bool, Whom)>) -> AccessRules {
        AccessRules { rules }
    }

    /// What the keys `allow` and `deny` mean side by side, since they have no order: networks that are denied, networks that are allowed, then
    /// whoever was called `all`; with an `allow` that does not say `all`, nobody else.
    pub fn of_lists(allow: Vec<Whom>, deny: Vec<Whom>) -> AccessRules {
        let all = |whom: &Whom| *whom == Whom::All;
        let (allows_all, denies_all) = (allow.iter().any(all), deny.iter().any(all));
        let is_a_list = !allow.is_empty() && !allows_all;
        let of = |list: Vec<Whom>, lets_in| list.into_iter().filter(|whom| !all(whom)).map(move |whom| (lets_in, whom));
        let mut rules: Vec<_> = of(deny, false).chain(of(allow, true)).collect();
        if denies_all || is_a_list {
            rules.push((false, Whom::All));
        }
        AccessRules { rules }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a client is let in by its address, or without one; `is_unix`: because it is one of a unix socket.
    pub fn admit(&self, client: Option<IpAddr>, is_unix: bool) -> bool {
        let client = client.map(|address| address.to_canonical());
        let means = |whom: &Whom| match whom {
            Whom::All => true,
            Whom::Unix => client.is_none() && is_unix,
            Whom::Network(network) => client.is_some_and(|address| network.contains(&address)),
        };
        self.rules.iter().find(|(_, whom)| means(whom)).is_none_or(|(lets_in, _)| *lets_in)
    }
}

impl std::str::FromStr for Whom {
    type Err = ();

    /// `all`, `unix:`, an address or a network.
    fn from_str(text: &str) -> Result<Whom, ()> {
        match text {
            "all" => Ok(Whom::All),
            "unix:" => Ok(Whom::Unix),
            _ => {
                let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
                address
                    .or_else(|_| text.parse::<IpNet>().map(|network| network.trunc()))
                    .map(Whom::Network)
                    .map_err(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(text: &str) -> Whom {
        text.parse().unwrap_or_else(|()| panic!("{text}"))
    }

    fn lists(allow: &[&str], deny: &[&str]) -> AccessRules {
        let all = |list: &[&str]| list.iter().map(|text| whom(text)).collect();
        AccessRules::of_lists(all(allow), all(deny))
    }

    fn check(rules: &AccessRules, cases: &[(&str, bool)]) {
        for (client, expected) in cases {
            assert_eq!(rules.admit(client.parse().ok(), client.is_empty()), *expected, "{client:?} by {rules:?}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [
            ("192.168.1.1", false),
            ("192.168.1.0/24", true),
            ("10.1.1.0/16", true),
            ("2001:0db8::/32", true),
            ("all", false),
        ];
        let rules = AccessRules::new(rules.iter().map(|(text, lets_in)| (*lets_in, whom(text))).collect());
        let cases = [
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("::ffff:192.168.1.2", true),
            ("10.1.200.3", true),
            ("10.2.0.1", false),
            ("2001:db8::7", true),
            ("::1", false),
            ("", false),
        ];
        check(&rules, &cases);
        assert!(!rules.admit(None, false));
        check(&AccessRules::default(), &[("192.0.2.1", true), ("", true)]);
    }

    #[test]
    fn lists_side_by_side() {
        check(&lists(&["10.0.0.0/8"], &[]), &[("10.0.0.1", true), ("11.0.0.1", false), ("", false)]);
        check(&lists(&["10.0.0.0/8"], &["all"]), &[("10.0.0.1", true), ("11.0.0.1", false)]);
        check(&lists(&[], &["10.0.0.0/8"]), &[("10.0.0.1", false), ("11.0.0.1", true), ("", true)]);
        check(&lists(&["all"], &["10.0.0.0/8"]), &[("10.0.0.1", false), ("11.0.0.1", true)]);
        check(&lists(&["10.0.0.0/8"], &["10.1.0.0/16"]), &[("10.0.0.1", true), ("10.1.0.1", false), ("::1", false)]);
        check(&lists(&["unix:"], &[]), &[("", true), ("127.0.0.1", false)]);
        assert!(!lists(&["unix:"], &[]).admit(None, false), "an address that nobody knows is not that of a socket");
        check(&lists(&[], &["all"]), &[("", false), ("::1", false)]);
        assert!(lists(&["all"], &[]).is_empty());
    }

    #[test]
    fn who_is_nobody() {
        for text in ["", "everybody", "10.0.0.0/33", "unix", "10.0.0.0/8 ", "host.example"] {
            assert_eq!(text.parse::<Whom>(), Err(()), "{text}");
        }
    }
}
