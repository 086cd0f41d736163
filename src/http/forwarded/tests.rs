//! What is believed of whom, as tables.

use super::*;
use std::net::SocketAddr;

fn trust(family: Family) -> Trust {
    let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().expect("a network"));
    Trust { networks: networks.to_vec(), unix: true, family }
}

fn origin(peer: &str, fields: &str, family: Family) -> Result<String, Reject> {
    let peer = match peer {
        "unix" => PeerAddress::Unix,
        "gone" => PeerAddress::Unknown,
        peer => PeerAddress::of(peer.parse::<SocketAddr>().expect("an address")),
    };
    let block: String = fields.split('|').filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    let origin = Origin::of(peer, Fields::of_checked(block.as_bytes()), &trust(family))?;
    let show = |value: Option<String>| value.unwrap_or("-".to_owned());
    let host = origin.host.map(|host| String::from_utf8_lossy(&host).into_owned());
    let hops: Vec<_> = origin.hops.iter().map(IpAddr::to_string).collect();
    let elements: Vec<_> = origin.elements.iter().map(|raw| String::from_utf8_lossy(raw)).collect();
    let mut text =
        format!("{} {}", show(origin.client.map(|ip| ip.to_string())), show(origin.port.map(|p| p.to_string())));
    if origin.is_forwarded {
        text += &format!(
            " {} {} {} [{}] [{}]",
            origin.scheme.map_or("-", Scheme::as_str),
            show(host),
            show(origin.host_port.map(|port| port.to_string())),
            hops.join(", "),
            elements.join(", ")
        );
    }
    Ok(text)
}

#[test]
fn the_family_of_x_forwarded() {
    for (peer, fields, expected) in [
        // Who is not trusted has nothing to say.
        ("192.0.2.1:7", "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https|X-Real-IP: 1.2.3.4", "192.0.2.1 7"),
        ("gone", "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https", "- -"),
        ("10.0.0.1:7", "", "10.0.0.1 7 - - - [] []"),
        ("unix", "", "- - - - - [] []"),
        ("unix", "X-Forwarded-For: 1.2.3.4", "1.2.3.4 - - - - [1.2.3.4] []"),
        ("10.0.0.1:7", "X-Forwarded-For: 1.2.3.4", "1.2.3.4 - - - - [1.2.3.4] []"),
        ("[::ffff:10.0.0.1]:7", "X-Forwarded-For: 1.2.3.4:99", "1.2.3.4 99 - - - [1.2.3.4] []"),
        ("[2001:db8:1::1]:7", "X-Forwarded-For: [2001:db8:2::1]:99", "2001:db8:2::1 99 - - - [2001:db8:2::1] []"),
        ("10.0.0.1:7", "X-Forwarded-For: 2001:db8:2::1", "2001:db8:2::1 - - - - [2001:db8:2::1] []"),
        ("10.0.0.1:7", "X-Forwarded-For: ::ffff:1.2.3.4", "1.2.3.4 - - - - [1.2.3.4] []"),
        // The client's own additions stand to the left.
        ("10.0.0.1:7", "X-Forwarded-For: 6.6.6.6, 1.2.3.4", "1.2.3.4 - - - - [1.2.3.4] []"),
        ("10.0.0.1:7", "X-Forwarded-For: 10.9.9.9, 1.2.3.4, 10.0.0.2", "1.2.3.4 - - - - [1.2.3.4, 10.0.0.2] []"),
        (
            "10.0.0.1:7",
            "X-Forwarded-For: 6.6.6.6|x-forwarded-for: 1.2.3.4,10.0.0.2",
            "1.2.3.4 - - - - [1.2.3.4, 10.0.0.2] []",
        ),
        // An inner client.
        ("10.0.0.1:7", "X-Forwarded-For: 10.0.0.9, 10.0.0.2", "10.0.0.9 - - - - [10.0.0.9, 10.0.0.2] []"),
        // Who is not known, or can't be read.
        ("10.0.0.1:7", "X-Forwarded-For: unknown", "10.0.0.1 7 - - - [] []"),
        ("10.0.0.1:7", "X-Forwarded-For: <script>, 10.0.0.2", "10.0.0.2 - - - - [10.0.0.2] []"),
        ("10.0.0.1:7", "X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.2", "10.0.0.2 - - - - [10.0.0.2] []"),
        ("10.0.0.1:7", "X-Forwarded-For: , ,", "10.0.0.1 7 - - - [] []"),
        // X-Real-IP is asked where there is no list.
        ("10.0.0.1:7", "X-Real-IP: 1.2.3.4", "1.2.3.4 - - - - [1.2.3.4] []"),
        ("10.0.0.1:7", "X-Real-IP: 6.6.6.6|X-Forwarded-For: 1.2.3.4", "1.2.3.4 - - - - [1.2.3.4] []"),
        ("10.0.0.1:7", "X-Real-IP: 1.2.3.4|X-Real-IP: 1.2.3.5", "10.0.0.1 7 - - - [] []"),
        // Scheme, host and port.
        (
            "10.0.0.1:7",
            "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: HTTPS|X-Forwarded-Host: a.test:8443|X-Forwarded-Port: 8443",
            "1.2.3.4 - https a.test:8443 8443 [1.2.3.4] []",
        ),
        ("10.0.0.1:7", "X-Forwarded-Proto: https", "10.0.0.1 7 https - - [] []"),
        ("10.0.0.1:7", "X-Forwarded-Proto: ftp|X-Forwarded-Host: a/b|X-Forwarded-Port: 0", "10.0.0.1 7 - - - [] []"),
        ("10.0.0.1:7", "X-Forwarded-Proto: https|X-Forwarded-Proto: http", "10.0.0.1 7 http - - [] []"),
        ("10.0.0.1:7", "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https, http", "1.2.3.4 - http - - [1.2.3.4] []"),
        (
            "10.0.0.1:7",
            "X-Forwarded-For: 1.2.3.4, 10.0.0.2|X-Forwarded-Proto: https, http|X-Forwarded-Host: a, b",
            "1.2.3.4 - https a - [1.2.3.4, 10.0.0.2] []",
        ),
        (
            "10.0.0.1:7",
            "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.2|X-Forwarded-Proto: http, https, http",
            "1.2.3.4 - https - - [1.2.3.4, 10.0.0.2] []",
        ),
        // Forwarded counts for nothing beside any of these.
        ("10.0.0.1:7", "X-Forwarded-For: 1.2.3.4|Forwarded: for=6.6.6.6;proto=https", "1.2.3.4 - - - - [1.2.3.4] []"),
        ("10.0.0.1:7", "X-Real-IP: 1.2.3.4|Forwarded: \"", "1.2.3.4 - - - - [1.2.3.4] []"),
    ] {
        assert_eq!(origin(peer, fields, Family::Either).as_deref(), Ok(expected), "{peer} {fields}");
        if !fields.is_empty() {
            assert_eq!(origin(peer, fields, Family::XForwarded).as_deref(), Ok(expected), "{peer} {fields}");
        }
    }
}

#[test]
fn the_field_of_rfc_7239() {
    for (peer, fields, expected) in [
        ("192.0.2.1:7", "Forwarded: for=1.2.3.4;proto=https;host=a.test", "192.0.2.1 7"),
        ("192.0.2.1:7", "Forwarded: \"", "192.0.2.1 7"),
        (
            "10.0.0.1:7",
            "Forwarded: for=1.2.3.4;proto=https;host=a.test;by=10.0.0.1",
            "1.2.3.4 - https a.test - [1.2.3.4] [for=1.2.3.4;proto=https;host=a.test;by=10.0.0.1]",
        ),
        (
            "10.0.0.1:7",
            "Forwarded: for=6.6.6.6;proto=http|Forwarded: for=\"[2001:db8:2::1]:99\";proto=https, for=10.0.0.2;proto=http",
            "2001:db8:2::1 99 https - - [2001:db8:2::1, 10.0.0.2] [for=\"[2001:db8:2::1]:99\";proto=https, for=10.0.0.2;proto=http]",
        ),
        ("10.0.0.1:7", "Forwarded: for=6.6.6.6, for=_hidden", "10.0.0.1 7 - - - [] [for=_hidden]"),
        (
            "10.0.0.1:7",
            "Forwarded: for=6.6.6.6, for=unknown;proto=https, for=10.0.0.2",
            "10.0.0.2 - https - - [10.0.0.2] [for=unknown;proto=https, for=10.0.0.2]",
        ),
        ("10.0.0.1:7", "Forwarded: host=\"a b\";proto=wss", "10.0.0.1 7 - - - [] [host=\"a b\";proto=wss]"),
    ] {
        assert_eq!(origin(peer, fields, Family::Either).as_deref(), Ok(expected), "{peer} {fields}");
        assert_eq!(origin(peer, fields, Family::Forwarded).as_deref(), Ok(expected), "{peer} {fields}");
    }
    for fields in ["Forwarded: for=\"", "Forwarded: for=\"|Forwarded: for=1.2.3.4", "Forwarded: for=\", for=1.2.3.4"] {
        assert_eq!(origin("10.0.0.1:7", fields, Family::Either), Err(Reject::ForwardedMalformed), "{fields}");
    }
}

#[test]
fn the_family_can_be_told() {
    let both = "X-Forwarded-For: 6.6.6.6|X-Forwarded-Proto: http|Forwarded: for=1.2.3.4;proto=https";
    let by_rfc = "1.2.3.4 - https - - [1.2.3.4] [for=1.2.3.4;proto=https]";
    assert_eq!(origin("10.0.0.1:7", both, Family::Forwarded).as_deref(), Ok(by_rfc));
    let only = "Forwarded: for=6.6.6.6;proto=https";
    assert_eq!(origin("10.0.0.1:7", only, Family::XForwarded).as_deref(), Ok("10.0.0.1 7 - - - [] []"));
}

#[test]
fn no_more_hops_are_followed_than_the_bound() {
    let many = vec!["10.1.1.1"; FORWARDED_HOPS_MAX].join(", ");
    let found = origin("10.0.0.1:7", &format!("X-Forwarded-For: 1.2.3.4, {many}"), Family::Either).expect("fields");
    assert!(found.starts_with("10.1.1.1 - "), "{found}");
    let fewer = vec!["10.1.1.1"; FORWARDED_HOPS_MAX - 1].join(", ");
    let found = origin("10.0.0.1:7", &format!("X-Forwarded-For: 1.2.3.4, {fewer}"), Family::Either).expect("fields");
    assert!(found.starts_with("1.2.3.4 - "), "{found}");
}

#[test]
fn names_of_claims() {
    for name in
        ["Forwarded", "x-real-ip", "X-Forwarded-For", "x-forwarded-proto", "X-FORWARDED-HOST", "X-Forwarded-Port"]
    {
        assert!(is_claim(name.as_bytes()) && is_rewritten(name.as_bytes()), "{name}");
    }
    for name in ["X-Forwarded-Ssl", "X-Forwarded-Prefix", "X-Forwarded-"] {
        assert!(is_claim(name.as_bytes()) && !is_rewritten(name.as_bytes()), "{name}");
    }
    for name in ["Host", "X-Forwarded", "Forwarded-For", "X-Real-Ip2", "X-Realm-A", "X", ""] {
        assert!(!is_claim(name.as_bytes()) && !is_rewritten(name.as_bytes()), "{name}");
    }
}
