//! Who is let in: by address, by password, by the host that is asked for.

mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::Signal;
use support::files::put;
use support::metrics::Page;
use support::{Builder, Client, DEADLINE, Response, Server, wait_until};

/// Users whose password is `secret`, and one whose hash is none.
const USERS: &str = "# made by htpasswd\n\
    sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\
    apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n\
    plain:secret\n";
/// `sha:secret`, `sha:wrong`, `apr1:secret`, `plain:secret`, `nobody:secret`.
const SHA: &str = "Authorization: Basic c2hhOnNlY3JldA==\r\n";
const SHA_WRONG: &str = "Authorization: Basic c2hhOndyb25n\r\n";
const APR1: &str = "Authorization: Basic YXByMTpzZWNyZXQ=\r\n";
const PLAIN: &str = "Authorization: Basic cGxhaW46c2VjcmV0\r\n";
const NOBODY: &str = "Authorization: Basic bm9ib2R5OnNlY3JldA==\r\n";

/// A connection from this address of the loopback network.
fn from(host: u8, server: &Server) -> Client {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).expect("an address of this host");
    connect(&socket, &server.address).expect("the server accepts");
    Client::over(TcpStream::from(socket))
}

fn get(client: &mut Client, target: &str, fields: &str) -> Response {
    client.request("GET", target, fields);
    client.response("GET")
}

#[test]
fn addresses_are_let_in_by_the_first_rule_that_fits() {
    let server = Builder::bare()
        .server_key("deny = \"127.0.0.9\"")
        .route("path = \"/\"\nrespond = \"all but one\"")
        .route("path = \"/admin/\"\nrespond = \"some\"\nallow = [\"127.0.0.1\", \"10.0.0.0/8\"]")
        .route("path = \"/order/\"\nrespond = \"x\"\naccess = [\"allow 127.0.0.9\", \"deny 127.0.0.0/28\", \"allow 127.0.0.0/8\", \"deny all\"]")
        .start();
    for (host, target, status) in [
        (1, "/", 200),
        (9, "/", 403),
        (9, "/nowhere/", 403),
        (1, "/admin/", 200),
        (2, "/admin/", 403),
        (2, "/%61dmin/", 403),
        (2, "//admin/", 403),
        (2, "/x/../admin/", 403),
        (9, "/admin/", 403),
        (9, "/order/", 200),
        (1, "/order/", 403),
        (20, "/order/", 200),
    ] {
        assert_eq!(get(&mut from(host, &server), target, "").status, status, "127.0.0.{host} {target}");
    }
}

#[test]
fn a_password_is_asked_for_and_its_user_told_to_the_application() {
    let builder = Builder::app("kitchen:application");
    put(builder.folder(), "users", USERS);
    let server = builder
        .app_route("auth = { htpasswd = \"users\", realm = \"Staff only\" }")
        .section("[admin]\nlisten = '127.0.0.1:0'")
        .start();
    server.wait_for_line("users:4: the line has none of the hashes");
    let mut client = server.connect();
    let asked = get(&mut client, "/environ", "");
    assert_eq!(asked.status, 401);
    assert_eq!(asked.field("www-authenticate"), Some("Basic realm=\"Staff only\", charset=\"UTF-8\""));
    for (fields, user) in [(SHA, "sha"), (APR1, "apr1"), (SHA, "sha")] {
        let response =
            get(&mut client, "/environ", &format!("{fields}Remote-User: forged\r\nX-Remote-User: forged\r\n"));
        assert_eq!(response.status, 200, "{user}");
        let environ = response.json();
        assert_eq!((environ["REMOTE_USER"].as_str(), environ["AUTH_TYPE"].as_str()), (Some(user), Some("Basic")));
    }
    for fields in [SHA_WRONG, PLAIN, NOBODY, "Authorization: Bearer c2hhOnNlY3JldA==\r\n", &format!("{SHA}{APR1}")] {
        assert_eq!(get(&mut client, "/environ", fields).status, 401, "{fields}");
    }
    let line = server.wait_for_line("admin: listening on http://");
    let admin = line.split("http://").nth(1).and_then(|address| address.trim().parse().ok()).expect("an address");
    let page = Page::parse(get(&mut Client::connect(admin), "/metrics", "").text());
    let outcome = |name| page.value("maitred_auth_requests_total", &[("outcome", name)]);
    assert_eq!((outcome("verified"), outcome("known"), outcome("refused")), (2.0, 1.0, 6.0));
}

#[test]
fn users_change_with_their_file() {
    let builder = Builder::app("kitchen:application");
    put(builder.folder(), "users", USERS);
    let server = builder.app_route("auth = { htpasswd = \"users\" }").start();
    let mut client = server.connect();
    assert_eq!(get(&mut client, "/hello", SHA).status, 200);
    // As `htpasswd` does it: a new file in the old one's place.
    put(server.folder(), "users.new", "apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n");
    fs::rename(server.folder().join("users.new"), server.folder().join("users")).expect("the same folder");
    wait_until("the user is gone", DEADLINE, || get(&mut client, "/hello", SHA).status == 401);
    assert_eq!(get(&mut client, "/hello", APR1).status, 200);
    // A file that is gone changes nobody's rights; one that comes back does.
    fs::remove_file(server.folder().join("users")).expect("it is there");
    server.wait_for_line("users are not loaded");
    assert_eq!(get(&mut client, "/hello", APR1).status, 200);
    put(server.folder(), "users", USERS);
    wait_until("the user is back", DEADLINE, || get(&mut client, "/hello", SHA).status == 200);
}

#[test]
fn a_good_address_may_stand_for_a_password() {
    let builder = Builder::bare();
    put(builder.folder(), "users", USERS);
    let server = builder
        .server_key("auth = { htpasswd = \"users\" }")
        .route("path = \"/any/\"\nrespond = \"x\"\nallow = \"127.0.0.1\"\nsatisfy = \"any\"")
        .route("path = \"/both/\"\nrespond = \"x\"\nallow = \"127.0.0.1\"")
        .route("path = \"/open/\"\nrespond = \"x\"\nauth = false")
        .start();
    for (host, target, fields, status) in [
        (1, "/any/", "", 200),
        (2, "/any/", "", 401),
        (2, "/any/", SHA, 200),
        (2, "/any/", SHA_WRONG, 401),
        (1, "/both/", "", 401),
        (1, "/both/", SHA, 200),
        (2, "/both/", SHA, 403),
        (2, "/open/", "", 200),
        (1, "/nowhere", "", 401),
    ] {
        assert_eq!(get(&mut from(host, &server), target, fields).status, status, "127.0.0.{host} {target} {fields}");
    }
}

#[test]
fn verifications_are_bounded_and_do_not_hold_up_others() {
    let builder = Builder::bare();
    // A hash that takes its time; nobody knows its password.
    put(builder.folder(), "users", "slow:$2y$10$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n");
    let server = builder
        .shards(1)
        .route("path = \"/closed/\"\nrespond = \"x\"\nauth = { htpasswd = \"users\" }")
        .route("path = \"/open/\"\nrespond = \"x\"")
        .start();
    let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.read_timeout(10 * DEADLINE);
        client.request("GET", "/closed/", "Authorization: Basic c2xvdzp3cm9uZw==\r\n");
    }
    assert_eq!(server.get("/open/").status, 200, "while passwords are verified");
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.response("GET")).collect();
    let of = |status: u16| statuses.iter().filter(|response| response.status == status).count();
    assert_eq!(of(401) + of(503), 40);
    assert!(of(503) >= 1 && of(401) >= 16, "{} and {}", of(503), of(401));
    assert!(
        statuses
            .iter()
            .filter(|response| response.status == 503)
            .all(|response| response.field("retry-after").is_some())
    );
}

#[test]
fn hosts_that_are_not_served_get_nothing() {
    let server = Builder::app("kitchen:application")
        .server_key("allowed_hosts = [\"example.com\", \".example.org\", \"10.0.0.0/8\", \"[::1]\"]")
        .start();
    let request = |request: &str| {
        let mut client = server.connect();
        client.send(request);
        client.response("GET").status
    };
    for (host, status) in [
        ("example.com", 200),
        ("EXAMPLE.com:8000", 200),
        ("example.com.", 200),
        ("www.example.com", 421),
        ("example.org", 200),
        ("a.b.example.org", 200),
        ("evil-example.org", 421),
        ("10.1.2.3", 200),
        ("127.0.0.1", 421),
        ("[::1]:80", 200),
        ("[::2]", 421),
        ("localhost", 421),
    ] {
        assert_eq!(request(&format!("GET /hello HTTP/1.1\r\nHost: {host}\r\n\r\n")), status, "{host}");
    }
    // The target's authority is what counts, and a request without a host is for none.
    assert_eq!(request("GET http://evil.example/hello HTTP/1.1\r\nHost: example.com\r\n\r\n"), 421);
    assert_eq!(request("GET http://example.com/hello HTTP/1.1\r\nHost: example.com\r\n\r\n"), 200);
    assert_eq!(request("GET /hello HTTP/1.0\r\n\r\n"), 400);
    assert_eq!(request("GET /hello HTTP/1.0\r\nHost: example.com\r\n\r\n"), 200);
}

#[test]
fn hosts_and_rules_change_with_a_reload() {
    let server =
        Builder::bare().server_key("allowed_hosts = \"localhost\"").route("path = \"/\"\nrespond = \"x\"").start();
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 200);
    let file = server.folder().join("maitred.toml");
    let text = fs::read_to_string(&file).expect("the config").replace("\"localhost\"", "\"example.com\"");
    put(server.folder(), "maitred.toml", &text);
    server.signal(Signal::HUP);
    wait_until("the host is not served any more", DEADLINE, || server.get("/").status == 421);
    assert!(!server.log.text().contains("at the next start"), "nothing was left for later");
}
