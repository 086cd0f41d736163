//! Nobody passes for somebody else: what the application sees of requests whose fields claim to come from elsewhere.
//!
//! Peers on 127.0.0.2 and 127.0.0.3 are trusted, one on 127.0.0.1 is not.

mod support;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use support::proxy::{self, v1, v2, v2_from};
use support::{Builder, Client, DEADLINE, Server};

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const TRUSTED: &str = "trusted_proxies = ['127.0.0.2/31', '10.0.0.0/8', '2001:db8:1::/48']";

fn server(keys: &[&str]) -> Server {
    keys.iter().fold(Builder::app("kitchen").server_key(TRUSTED), |builder, key| builder.server_key(key)).start()
}

/// `ADDRESS SCHEME`, and then what else the application sees of who asked, and how.
fn seen(environ: &Value) -> String {
    let text = |key: &str| environ[key].as_str().unwrap_or_default().to_owned();
    let scheme = text("wsgi.url_scheme");
    assert_eq!(text("HTTP_X_FORWARDED_PROTO"), scheme, "the two always agree");
    assert_eq!(environ.get("HTTPS").is_some(), scheme == "https", "and so does the third");
    let mut shown = format!("{} {scheme}", text("REMOTE_ADDR"));
    let environ: BTreeMap<_, _> = environ.as_object().expect("a table").iter().collect();
    for (key, value) in environ {
        let name = match key.as_str() {
            "HTTP_FORWARDED" => "forwarded",
            "HTTP_X_REAL_IP" => "real",
            "HTTP_X_FORWARDED_PROTO" => continue,
            key => match key.strip_prefix("HTTP_X_FORWARDED") {
                Some(rest) => &rest.to_lowercase().replace('_', ""),
                None => continue,
            },
        };
        shown += &format!(" {name}={}", value.as_str().expect("text"));
    }
    shown
}

/// What the application sees of a request from `source` with these lines, separated by `|`.
fn ask(client: &mut Client, lines: &str) -> Result<String, u16> {
    let fields: String = lines.split('|').filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    client.request("GET", "/environ", &fields);
    let response = client.response("GET");
    if response.status == 200 { Ok(seen(&response.json())) } else { Err(response.status) }
}

#[track_caller]
fn check(server: &Server, cases: &[(Ipv4Addr, &str, &str)]) {
    for &(source, lines, expected) in cases {
        let mut client = Client::connect_from(source, server.address);
        assert_eq!(ask(&mut client, lines).as_deref(), Ok(expected), "{source} sent {lines}");
    }
}

#[test]
fn the_application_never_sees_a_forged_origin() {
    let server = server(&[]);
    check(
        &server,
        &[
            // Who is not trusted has nothing to say, in whatever way it is said.
            (STRANGER, "", "127.0.0.1 http"),
            (STRANGER, "X-Forwarded-For: 203.0.113.9", "127.0.0.1 http"),
            (STRANGER, "X-Forwarded-For: 203.0.113.9, 127.0.0.2", "127.0.0.1 http"),
            (STRANGER, "X-Forwarded-Proto: https", "127.0.0.1 http"),
            (STRANGER, "x-forwarded-proto: https|X-FORWARDED-PROTO: https", "127.0.0.1 http"),
            (STRANGER, "X-Forwarded-Host: bank.test|X-Forwarded-Port: 443", "127.0.0.1 http"),
            (STRANGER, "X-Real-IP: 10.0.0.1", "127.0.0.1 http"),
            (STRANGER, "Forwarded: for=203.0.113.9;proto=https;host=bank.test", "127.0.0.1 http"),
            (STRANGER, "Forwarded: for=\"|X-Real-Ip: \"", "127.0.0.1 http"),
            (STRANGER, "X_Forwarded_For: 203.0.113.9|X_Forwarded_Proto: https|X_Real_IP: 1.1.1.1", "127.0.0.1 http"),
            (STRANGER, "X-Forwarded_Proto: https|X_Forwarded-Host: bank.test", "127.0.0.1 http"),
            (STRANGER, "X-Forwarded-Ssl: on|X-Forwarded-Scheme: https|X-Forwarded-Prefix: /a", "127.0.0.1 http"),
            // A proxy that says nothing asks for itself.
            (PROXY, "", "127.0.0.2 http"),
            (PROXY, "X-Forwarded-For: 203.0.113.9", "203.0.113.9 http for=203.0.113.9 real=203.0.113.9"),
            (PROXY, "X-Forwarded-For: 203.0.113.9:4711", "203.0.113.9 http for=203.0.113.9 real=203.0.113.9"),
            (PROXY, "X-Forwarded-For: [2001:db8::9]:443", "2001:db8::9 http for=2001:db8::9 real=2001:db8::9"),
            (PROXY, "X-Forwarded-For: 2001:DB8::9", "2001:db8::9 http for=2001:db8::9 real=2001:db8::9"),
            (PROXY, "X-Forwarded-For: ::ffff:203.0.113.9", "203.0.113.9 http for=203.0.113.9 real=203.0.113.9"),
            // What the client has put there itself stands left of what its proxy says.
            (PROXY, "X-Forwarded-For: 10.0.0.1, 203.0.113.9", "203.0.113.9 http for=203.0.113.9 real=203.0.113.9"),
            (
                PROXY,
                "X-Forwarded-For: 10.0.0.1|X-Forwarded-For: 203.0.113.9",
                "203.0.113.9 http for=203.0.113.9 real=203.0.113.9",
            ),
            (
                PROXY,
                "X-Forwarded-For: 1.1.1.1, 203.0.113.9 ,10.0.0.1,2001:db8:1::7",
                "203.0.113.9 http for=203.0.113.9, 10.0.0.1, 2001:db8:1::7 real=203.0.113.9",
            ),
            (PROXY, "X-Forwarded-For: \"', 203.0.113.9", "203.0.113.9 http for=203.0.113.9 real=203.0.113.9"),
            (PROXY, "X-Forwarded-For: 203.0.113.9, <script>, 10.0.0.1", "10.0.0.1 http for=10.0.0.1 real=10.0.0.1"),
            (PROXY, "X-Forwarded-For: unknown", "127.0.0.2 http"),
            (PROXY, "X-Forwarded-For: 203.0.113.256", "127.0.0.2 http"),
            (PROXY, "X-Forwarded-For:", "127.0.0.2 http"),
            (PROXY, "X-Forwarded-For: 10.0.0.9, 10.0.0.8", "10.0.0.9 http for=10.0.0.9, 10.0.0.8 real=10.0.0.9"),
            // Underscores are no other way to say it.
            (
                PROXY,
                "X_Forwarded_For: 1.1.1.1|X-Forwarded-For: 203.0.113.9",
                "203.0.113.9 http for=203.0.113.9 real=203.0.113.9",
            ),
            (PROXY, "X-Forwarded_Proto: https", "127.0.0.2 http"),
            // X-Real-IP.
            (PROXY, "X-Real-IP: 203.0.113.9", "203.0.113.9 http for=203.0.113.9 real=203.0.113.9"),
            (
                PROXY,
                "X-Real-IP: 1.1.1.1|X-Forwarded-For: 203.0.113.9",
                "203.0.113.9 http for=203.0.113.9 real=203.0.113.9",
            ),
            (PROXY, "X-Real-IP: 1.1.1.1|X-Real-IP: 203.0.113.9", "127.0.0.2 http"),
            (PROXY, "X-Real-IP: nobody", "127.0.0.2 http"),
            // Scheme, host and port.
            (PROXY, "X-Forwarded-Proto: https", "127.0.0.2 https"),
            (PROXY, "X-Forwarded-Proto: HTTPS", "127.0.0.2 https"),
            (PROXY, "X-Forwarded-Proto: gopher", "127.0.0.2 http"),
            (PROXY, "X-Forwarded-Proto: https|X-Forwarded-Proto: http", "127.0.0.2 http"),
            (PROXY, "X-Forwarded-Proto: http, https", "127.0.0.2 https"),
            (
                PROXY,
                "X-Forwarded-For: 203.0.113.9, 10.0.0.1|X-Forwarded-Proto: https, http",
                "203.0.113.9 https for=203.0.113.9, 10.0.0.1 real=203.0.113.9",
            ),
            (
                PROXY,
                "X-Forwarded-For: 1.1.1.1, 203.0.113.9|X-Forwarded-Proto: https, http",
                "203.0.113.9 http for=203.0.113.9 real=203.0.113.9",
            ),
            (
                PROXY,
                "X-Forwarded-Host: shop.test:8443|X-Forwarded-Port: 8443",
                "127.0.0.2 http host=shop.test:8443 port=8443",
            ),
            (PROXY, "X-Forwarded-Host: bank.test, shop.test", "127.0.0.2 http host=shop.test"),
            (PROXY, "X-Forwarded-Host: shop.test/path@x|X-Forwarded-Port: 70000", "127.0.0.2 http"),
            (PROXY, "X-Forwarded-Prefix: /shop", "127.0.0.2 http prefix=/shop"),
            // Forwarded, where there is nothing of the other family.
            (
                PROXY,
                "Forwarded: for=203.0.113.9;proto=https;host=shop.test",
                "203.0.113.9 https forwarded=for=203.0.113.9;proto=https;host=shop.test for=203.0.113.9 host=shop.test real=203.0.113.9",
            ),
            (
                PROXY,
                "Forwarded: for=1.1.1.1;proto=https, For=\"[2001:db8::9]:4711\";Proto=http",
                "2001:db8::9 http forwarded=For=\"[2001:db8::9]:4711\";Proto=http for=2001:db8::9 real=2001:db8::9",
            ),
            (
                PROXY,
                "Forwarded: for=1.1.1.1|Forwarded: for=203.0.113.9;proto=https, for=\"[2001:db8:1::1]\";proto=http",
                "203.0.113.9 https forwarded=for=203.0.113.9;proto=https, for=\"[2001:db8:1::1]\";proto=http \
                 for=203.0.113.9, 2001:db8:1::1 real=203.0.113.9",
            ),
            (PROXY, "Forwarded: for=1.1.1.1, for=_hidden", "127.0.0.2 http forwarded=for=_hidden"),
            (PROXY, "Forwarded: for=unknown;proto=https", "127.0.0.2 https forwarded=for=unknown;proto=https"),
            (
                PROXY,
                "Forwarded: for=203.0.113.9;host=\"a, for=1.1.1.1\"",
                "203.0.113.9 http forwarded=for=203.0.113.9;host=\"a, for=1.1.1.1\" for=203.0.113.9 real=203.0.113.9",
            ),
            // Beside the other family it counts for nothing: a proxy that sets that lets this one pass.
            (
                PROXY,
                "Forwarded: for=1.1.1.1;proto=https;host=bank.test|X-Forwarded-For: 203.0.113.9",
                "203.0.113.9 http for=203.0.113.9 real=203.0.113.9",
            ),
            (PROXY, "Forwarded: for=1.1.1.1;proto=https|X-Forwarded-Proto: http", "127.0.0.2 http"),
        ],
    );
    // What a proxy has added to a quote that its client has left open can't be told from what the client sent.
    for lines in ["Forwarded: for=\", for=203.0.113.9", "Forwarded: for=1.1.1.1;for=203.0.113.9", "Forwarded: 1.1.1.1"]
    {
        assert_eq!(ask(&mut Client::connect_from(PROXY, server.address), lines), Err(400), "{lines}");
    }
}

/// A case of the table below: where from, the PROXY header and what follows on its connection, fields, and what the application sees; `None`: no
/// application is asked, the connection ends.
type Proxied<'c> = (Ipv4Addr, Vec<u8>, &'c str, Option<&'c str>);

#[test]
fn the_application_never_sees_an_origin_forged_by_a_proxy_header() {
    const CLAIMS: &str =
        "X-Forwarded-For: 1.1.1.1|X-Forwarded-Proto: https|X-Forwarded-Host: bank.test|X-Real-IP: 1.1.1.1";
    const FORWARDED: &str = "Forwarded: for=1.1.1.1;proto=https;host=bank.test";
    let client = || v1("TCP4 203.0.113.9 192.0.2.1 4711 443");
    let v2_client = |further: &[u8]| v2_from("203.0.113.9:4711", "192.0.2.1:443", further);
    let (_server, address) = proxy::start(Builder::app("kitchen").server_key(TRUSTED), "");
    let cases: Vec<Proxied<'_>> = vec![
        // The client of the header is a stranger, whatever its balancer is.
        (PROXY, client(), "", Some("203.0.113.9 http")),
        (PROXY, client(), CLAIMS, Some("203.0.113.9 http")),
        (PROXY, client(), FORWARDED, Some("203.0.113.9 http")),
        (PROXY, v2_client(b""), CLAIMS, Some("203.0.113.9 http")),
        (PROXY, v1("TCP6 2001:db8::9 2001:db8::1 4711 443"), FORWARDED, Some("2001:db8::9 http")),
        (PROXY, v1("TCP6 ::ffff:203.0.113.9 ::1 4711 443"), CLAIMS, Some("203.0.113.9 http")),
        // Nor does a client without an address have its balancer's credit.
        (PROXY, v1("UNKNOWN"), CLAIMS, Some(" http")),
        (PROXY, v1("UNKNOWN 10.0.0.1 10.0.0.1 1 1"), FORWARDED, Some(" http")),
        (PROXY, v2(1, 0x00, b""), CLAIMS, Some(" http")),
        (PROXY, v2(1, 0x31, &[b'a'; 216]), CLAIMS, Some(" http")),
        // A trusted proxy behind the balancer is one.
        (
            PROXY,
            v1("TCP4 10.0.0.1 192.0.2.1 4711 443"),
            "X-Forwarded-For: 1.1.1.1, 203.0.113.9",
            Some("203.0.113.9 http for=203.0.113.9 real=203.0.113.9"),
        ),
        // The balancer itself, for a look at the server's health.
        (PROXY, v2(0, 0x00, b""), "", Some("127.0.0.2 http")),
        (PROXY, v2(0, 0x11, &[10, 0, 0, 1, 10, 0, 0, 1, 0, 1, 0, 1]), "", Some("127.0.0.2 http")),
        // Further fields are passed over, also where they look like a header, a name or TLS.
        (PROXY, v2_client(b"\x02\x00\x09bank.test\x20\x00\x05\x01\0\0\0\0"), "", Some("203.0.113.9 http")),
        (PROXY, v2_client(&v1("TCP4 1.1.1.1 1.1.1.1 1 1")), "", Some("203.0.113.9 http")),
        // A second header is the client's: the beginning of a bad request.
        (PROXY, [client(), v1("TCP4 10.0.0.1 192.0.2.1 1 1")].concat(), "", None),
        (PROXY, [v2_client(b""), client()].concat(), "", None),
        // Who is not trusted has nothing to say, in a header or without one.
        (STRANGER, client(), "", None),
        (STRANGER, v2_client(b""), "", None),
        (STRANGER, v2(0, 0x00, b""), "", None),
        (STRANGER, Vec::new(), "", None),
        (PROXY, Vec::new(), CLAIMS, None),
        // Truncated, oversized, malformed.
        (PROXY, b"PROXY TCP4 203.0.113.9\r\n".to_vec(), "", None),
        (PROXY, b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\n".to_vec(), "", None),
        (PROXY, b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443 \r\n".to_vec(), "", None),
        (PROXY, v1("TCP4 203.0.113.9, 192.0.2.1 4711 443"), "", None),
        (PROXY, v1("TCP4 0203.0.113.9 192.0.2.1 4711 443"), "", None),
        (PROXY, v1("TCP4 2001:db8::9 2001:db8::1 4711 443"), "", None),
        (PROXY, v1("TCP4 203.0.113.9 192.0.2.1 4711 65536"), "", None),
        (PROXY, v1("tcp4 203.0.113.9 192.0.2.1 4711 443"), "", None),
        (PROXY, v1(format_args!("UNKNOWN {}", "x".repeat(100))), "", None),
        (PROXY, v2(1, 0x11, &[203, 0, 113, 9, 192, 0, 2, 1, 0, 1, 0]), "", None),
        (PROXY, v2(1, 0x21, &[0; 35]), "", None),
        (PROXY, v2(1, 0x41, &[0; 36]), "", None),
        (PROXY, v2(2, 0x11, &[0; 12]), "", None),
        (PROXY, v2_client(&[0; 5000]), "", None),
    ];
    for (source, header, lines, expected) in cases {
        let shown = header.escape_ascii().to_string();
        let mut client = proxy::connect(source, address, &header);
        let fields: String =
            lines.split('|').filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
        client.try_send(format!("GET /environ HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        let found = client.try_response("GET").ok().filter(|response| response.status == 200);
        let found = found.map(|response| seen(&response.json()));
        assert_eq!(found.as_deref(), expected, "{source} sent {shown} and {lines}");
    }
}

#[test]
fn one_connection_carries_the_requests_of_many_clients() {
    let server = server(&[]);
    let mut client = Client::connect_from(PROXY, server.address);
    for address in ["203.0.113.9", "2001:db8::9", "198.51.100.7"] {
        let expected = format!("{address} https for={address} real={address}");
        let lines = format!("X-Forwarded-For: {address}|X-Forwarded-Proto: https");
        assert_eq!(ask(&mut client, &lines).as_deref(), Ok(&expected[..]));
    }
    assert_eq!(ask(&mut client, "").as_deref(), Ok("127.0.0.2 http"), "nothing is left of those before");
}

#[test]
fn proxies_that_set_one_family_alone_are_only_asked_for_that() {
    let forwarded = server(&["forwarded_headers = 'forwarded'"]);
    let both =
        "X-Forwarded-For: 1.1.1.1|X-Forwarded-Proto: https|X-Real-IP: 1.1.1.1|Forwarded: for=203.0.113.9;proto=http";
    let expected = "203.0.113.9 http forwarded=for=203.0.113.9;proto=http for=203.0.113.9 real=203.0.113.9";
    check(&forwarded, &[(PROXY, both, expected), (PROXY, "X-Forwarded-For: 1.1.1.1", "127.0.0.2 http")]);
    let x_forwarded = server(&["forwarded_headers = 'x-forwarded'"]);
    check(&x_forwarded, &[(PROXY, "Forwarded: for=1.1.1.1;proto=https", "127.0.0.2 http")]);
}

#[test]
fn without_trusted_proxies_nobody_is_one() {
    let server = Builder::app("kitchen").start();
    check(&server, &[(STRANGER, "X-Forwarded-For: 1.1.1.1|X-Forwarded-Proto: https", "127.0.0.1 http")]);
}

#[test]
fn trusted_proxies_are_taken_over_by_a_reload() {
    let server = Builder::app("kitchen").server_key("trusted_proxies = []").start();
    let mut client = server.connect();
    assert_eq!(ask(&mut client, "X-Forwarded-For: 1.1.1.1").as_deref(), Ok("127.0.0.1 http"));
    let file = server.folder().join("maitred.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    std::fs::write(&file, text.replace("trusted_proxies = []", "trusted_proxies = '127.0.0.1'"))
        .expect("a writable folder");
    let mark = server.log.mark();
    server.signal(rustix::process::Signal::HUP);
    server.wait_for_line_from(mark, "worker started");
    support::wait_until("the proxy is trusted", DEADLINE, || {
        ask(&mut client, "X-Forwarded-For: 1.1.1.1").as_deref() == Ok("1.1.1.1 http for=1.1.1.1 real=1.1.1.1")
    });
    assert!(!server.log.text().contains("take effect at the next start"));
}

#[test]
fn the_log_and_maintenance_mode_go_by_the_client() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (log, flag) = (folder.path().join("access.log"), folder.path().join("closed"));
    std::fs::write(folder.path().join("a.txt"), "a").expect("a writable folder");
    std::fs::write(&flag, "").expect("a writable folder");
    let server = Builder::app("kitchen")
        .server_key(TRUSTED)
        .server_key(&format!(
            "access_log = {{ path = {log:?}, flush = '100ms', format = '$remote_addr $realip_remote_addr $realip_remote_port $status' }}"
        ))
        .section(&format!("[server.maintenance]\nfile = {flag:?}\nallow = '203.0.113.0/24'"))
        .static_route("/files/", folder.path(), "")
        .app_route("")
        .start();
    let mut expected = String::new();
    for (source, field, client, status) in [
        (PROXY, "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9", 200),
        (PROXY, "X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7", 503),
        (STRANGER, "X-Forwarded-For: 203.0.113.9\r\n", "127.0.0.1", 503),
    ] {
        for target in ["/hello", "/files/a.txt", "/files/a.txt"] {
            let mut peer = Client::connect_from(source, server.address);
            peer.request("GET", target, &format!("{field}Connection: close\r\n"));
            assert_eq!(peer.response("GET").status, status, "{source} {field} {target}");
            let port = peer.stream().local_addr().expect("an address").port();
            expected += &format!("{client} {source} {port} {status}\n");
        }
    }
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    support::wait_until("all lines", DEADLINE, || read().lines().count() == 9);
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&read()), sorted(&expected));
}

#[test]
fn whoever_spoke_tls_with_a_trusted_proxy_is_not_sent_to_https() {
    let authority = support::tls::Authority::new();
    authority.issue("site", &["localhost"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let builder = Builder::app("kitchen").server_key(TRUSTED).server_key("redirect_https = true");
    let (server, _): (Server, SocketAddr) = support::tls::start(builder.section(&authority.table("site", "")));
    for (source, expected) in [(PROXY, 200), (STRANGER, 308)] {
        let mut client = Client::connect_from(source, server.address);
        client.request("GET", "/hello", "X-Forwarded-Proto: https\r\n");
        assert_eq!(client.response("GET").status, expected, "{source}");
    }
}

#[test]
fn a_proxy_that_nobody_has_named_is_told_of_once() {
    let server = server(&[]);
    let told = || server.log.text().matches("is dropped, and all like it").count();
    check(
        &server,
        &[(PROXY, "X-Forwarded-Proto: https", "127.0.0.2 https"), (STRANGER, "X-Real-IP: 10.0.0.1", "127.0.0.1 http")],
    );
    assert_eq!(told(), 0, "{}", server.log.text());
    check(&server, &[(STRANGER, "X-Forwarded-Proto: https", "127.0.0.1 http")]);
    let line = server.wait_for_line("is dropped, and all like it");
    assert!(line.contains("WARN") && line.contains("X-Forwarded-Proto from 127.0.0.1 "), "{line}");
    assert!(line.contains("trusted_proxies = [\"127.0.0.1\"] in [server]"), "{line}");
    check(&server, &[(STRANGER, "X-Forwarded-For: 10.0.0.1", "127.0.0.1 http"); 4]);
    assert_eq!(told(), 1, "{}", server.log.text());
}
