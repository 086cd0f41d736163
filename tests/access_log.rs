//! The access log as its reader sees it: a line for every request, however that ended, and what the lines say.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::files::put;
use support::{Builder, Client, DEADLINE, Server, wait_until};

const FORMAT: &str = "$remote_addr|$request|$status|$body_bytes_sent|$bytes_sent|$request_length|$http_user_agent|$pipe|\
                      $connection_requests|$uri|$args|$host|$sent_http_content_type|$server_port|$scheme";

/// The lines of a file.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits for so many lines, and checks that there are no more.
#[track_caller]
fn wait_lines(path: &Path, count: usize) -> Vec<String> {
    wait_until("the lines", DEADLINE, || lines(path).len() >= count);
    let found = lines(path);
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

fn log_of(server: &Server) -> PathBuf {
    server.folder().join("access.log")
}

/// A server that logs in `format` to a file in its own folder.
fn logging(builder: Builder, format: &str) -> Builder {
    builder.server_key(&format!("access_log = {{ path = 'access.log', format = '{format}', flush = '100ms' }}"))
}

#[test]
fn every_end_of_a_request_has_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "hello");
    let builder = Builder::app("kitchen").static_route("/files/", folder.path(), "").app_route("max_body = 10");
    let server = logging(builder, "$request|$status|$body_bytes_sent").start();
    let log = log_of(&server);
    let mut expected = Vec::new();
    let mut client = server.connect();
    // From the disk, from the cache, without a body, not there, of the application, of the server.
    for (method, target, line) in [
        ("GET", "/files/a.txt", "GET /files/a.txt HTTP/1.1|200|5"),
        ("GET", "/files/a.txt", "GET /files/a.txt HTTP/1.1|200|5"),
        ("HEAD", "/files/a.txt", "HEAD /files/a.txt HTTP/1.1|200|0"),
        ("GET", "/hello", "GET /hello HTTP/1.1|200|14"),
        ("GET", "/status?code=404", "GET /status?code=404 HTTP/1.1|404|"),
        ("GET", "/files/absent", "GET /files/absent HTTP/1.1|404|"),
        ("DELETE", "/files/a.txt", "DELETE /files/a.txt HTTP/1.1|405|"),
        ("OPTIONS", "*", "OPTIONS * HTTP/1.1|204|0"),
    ] {
        client.request(method, target, "");
        client.response(method);
        expected.push(line.to_owned());
    }
    let found = wait_lines(&log, expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected.as_str()), "{found} is not {expected}");
    }
    // What is refused, with as much of its first line as came.
    for (bytes, line) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nbad field\r\n\r\n", "GET / HTTP/1.1|400|"),
        ("\r\nBAD\x01 \"line\"\r\n\r\n", "BAD\\x01 \\x22line\\x22|400|"),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%zz HTTP/1.1|400|"),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", "POST /echo HTTP/1.1|413|"),
        ("GET / HTTP/3.0\r\n\r\n", "GET / HTTP/3.0|505|"),
    ] {
        let before = lines(&log).len();
        let mut client = server.connect();
        client.send(bytes);
        client.response("GET");
        let found = wait_lines(&log, before + 1);
        assert!(found[before].starts_with(line), "{} is not {line}", found[before]);
    }
    // A client that leaves in the middle of a head.
    let before = lines(&log).len();
    let mut client = server.connect();
    client.send("GET /half HTTP/1.1\r\nHo");
    drop(client);
    assert_eq!(wait_lines(&log, before + 1)[before], "GET /half HTTP/1.1|400|0");
    // One that never sends anything is not worth a line.
    drop(server.connect());
    server.get("/files/a.txt");
    assert_eq!(wait_lines(&log, before + 2)[before + 1], "GET /files/a.txt HTTP/1.1|200|5");
}

#[test]
fn a_late_head_and_a_client_that_leaves_have_their_lines() {
    let builder = Builder::app("kitchen").server_key("head_timeout = '200ms'");
    let server = logging(builder, "$request|$status|$upstream_header_time").start();
    let log = log_of(&server);
    let mut client = server.connect();
    client.send("GET /late HT");
    assert_eq!(client.response("GET").status, 408);
    assert_eq!(wait_lines(&log, 1)[0], "GET /late HT|408|-");
    // The only worker holds one request; the client of the next ones, which waits in the queue, leaves.
    let gate = server.gate("hold");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    let fillers: Vec<_> = (0..8).map(|_| server.get_in_thread("/hello")).collect();
    let mut client = server.connect();
    client.request("GET", "/gone", "");
    drop(client);
    wait_until("the line of the client that left", DEADLINE, || {
        lines(&log).iter().any(|line| line == "GET /gone HTTP/1.1|499|-")
    });
    gate.open();
    held.join().expect("answered");
    fillers.into_iter().for_each(|filler| drop(filler.join()));
    wait_lines(&log, 11);
}

#[test]
fn a_dead_worker_and_a_broken_answer_have_their_lines() {
    let server = logging(Builder::app("kitchen"), "$request|$status").start();
    let log = log_of(&server);
    assert_eq!(server.get("/fail").status, 500);
    let gate = server.gate("dies");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    support::process::signal(gate.wait_started(), rustix::process::Signal::KILL);
    assert_eq!(held.join().expect("answered").status, 502);
    let found = wait_lines(&log, 2);
    assert_eq!(found[0], "GET /fail HTTP/1.1|500");
    assert!(found[1].ends_with("HTTP/1.1|502"), "{}", found[1]);
}

#[test]
fn lines_say_what_was_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "hello");
    let builder = Builder::app("kitchen").static_route("/files/", folder.path(), "").app_route("");
    let server = logging(builder, FORMAT).start();
    let mut client = server.connect();
    let request = "GET /files/./a.txt?x=1 HTTP/1.1\r\nHost: Example.COM:80\r\nUser-Agent: t\r\n\r\n";
    let post = "POST /echo HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc";
    client.send([request, request, post].concat());
    let responses: Vec<_> = ["GET", "GET", "POST"].map(|method| client.response(method)).into();
    let found = wait_lines(&log_of(&server), 3);
    let port = server.address.port();
    // These answers have no chunks, and their status line is always the same.
    let sent = |index: usize| {
        let fields = &responses[index].fields;
        let head: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        "HTTP/1.1 200 OK\r\n\r\n".len() + head + responses[index].body.len()
    };
    let first = format!(
        "127.0.0.1|GET /files/./a.txt?x=1 HTTP/1.1|200|5|{}|{}|t|.|1|/files/a.txt|x=1|example.com|text/plain; charset=utf-8|{port}|http",
        sent(0),
        request.len()
    );
    assert_eq!(found[0], first);
    assert_eq!(found[1], first.replace("|.|1|", "|p|2|"));
    let third = format!("127.0.0.1|POST /echo HTTP/1.1|200|3|{}|{}|-|p|3|/echo|-|b|", sent(2), post.len());
    assert!(found[2].starts_with(&third), "{} is not {third}", found[2]);
}

#[test]
fn paths_and_statuses_can_be_left_out_and_errors_are_never_sampled_away() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "hello");
    put(folder.path(), "quiet/a.txt", "hello");
    let server = Builder::bare()
        .static_route("/", folder.path(), "")
        .server_key(
            "access_log = { path = 'access.log', format = '$uri $status', flush = '100ms', skip = ['/healthz', \
             '/quiet/*'], skip_status = [405, '3xx'], sample = 0.000001 }",
        )
        .start();
    let mut client = server.connect();
    for (method, target) in [
        ("GET", "/a.txt"),
        ("GET", "/a.txt"),
        ("GET", "/healthz"),
        ("GET", "/quiet/a.txt"),
        ("GET", "/quiet/b.txt"),
        ("DELETE", "/a.txt"),
        ("GET", "/quiet"),
        ("GET", "/b.txt"),
    ] {
        client.request(method, target, "");
        client.response(method);
    }
    assert_eq!(wait_lines(&log_of(&server), 1), ["/b.txt 404"]);
}

#[test]
fn json_lines_are_json() {
    let server = logging(Builder::app("kitchen"), "json").start();
    let mut client = server.connect();
    client.send(b"GET /hello?\xc3\xa9 HTTP/1.1\r\nHost: a\r\nUser-Agent: \"\\\t\xff\r\n\r\n");
    client.response("GET");
    let found = wait_lines(&log_of(&server), 1);
    let line: serde_json::Value = serde_json::from_str(&found[0]).expect("JSON");
    assert_eq!(line["user_agent"], "\"\\\t\u{ff}");
    assert_eq!(line["uri"], "/hello?\u{e9}");
    assert!(line["upstream_response_time"].is_number() && line["request_id"].as_str().is_some_and(|id| id.len() == 32));
}

/// The same requests to nginx and to this server: the lines are equal to the byte, but for the sizes of error pages.
#[test]
fn combined_lines_are_nginx_s() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "hello");
    let Some(nginx) = Nginx::start(folder.path()) else {
        println!("not shown: nginx is not installed");
        return;
    };
    let server = logging(Builder::bare().static_route("/", folder.path(), ""), "combined").start();
    let requests: [&[u8]; 12] = [
        b"GET /a.txt HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nReferer: http://r/\r\nConnection: close\r\n\r\n",
        b"HEAD /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /a.txt HTTP/1.0\r\n\r\n",
        b"GET /a.txt?q=%22&r=\xc3\xa9 HTTP/1.1\r\nHost: a\r\nUser-Agent: \"q\" \\ \xc3\xa9\xff\x80\r\nConnection: close\r\n\r\n",
        b"GET /a.txt HTTP/1.1\r\nHost: a\r\nUser-Agent:\r\nReferer: \r\nConnection: close\r\n\r\n",
        b"GET /a.txt HTTP/1.1\r\nHost: a\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\nConnection: close\r\n\r\n",
        b"GET /a.txt HTTP/1.1\r\nHost: a\r\nAuthorization: Basic OnA=\r\nConnection: close\r\n\r\n",
        b"GET /a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\nConnection: close\r\n\r\n",
        b"GET /a%20b HTTP/1.1\r\nHost: a\r\nUser-Agent: tab\there\r\nConnection: close\r\n\r\n",
        b"GET http://a/a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\n\x01\"",
    ];
    for (index, request) in requests.iter().enumerate() {
        for address in [nginx.address, server.address] {
            let mut client = Client::connect(address);
            client.send(request);
            client.half_close();
            client.rest();
        }
        let theirs = wait_lines(&nginx.log, index + 1).pop().expect("a line");
        let ours = wait_lines(&log_of(&server), index + 1).pop().expect("a line");
        assert_eq!(comparable(&ours), comparable(&theirs), "request {index}");
    }
}

/// A line without its time, and without the size of what each server says in its own words.
fn comparable(line: &str) -> String {
    let (before, rest) = line.split_once('[').expect("a time begins");
    let (time, after) = rest.split_once(']').expect("a time ends");
    assert_eq!(time.len(), "24/Nov/2026:13:55:36 +0000".len());
    let (request, numbers) = after[2..].split_once("\" ").expect("a request ends");
    let mut words = numbers.splitn(3, ' ');
    let (status, size, rest) = (words.next(), words.next(), words.next());
    let size = size.filter(|_| status.is_some_and(|status| status.starts_with('2')));
    format!("{before}[]{request}|{status:?}|{size:?}|{rest:?}")
}

/// A real nginx on a port of its own.
struct Nginx {
    child: Child,
    address: std::net::SocketAddr,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(root: &Path) -> Option<Nginx> {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().display();
        // The port is free again when nginx takes it; nobody else is told of it in between.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\nevents {{ }}\n\
             http {{ access_log {at}/access.log combined; client_body_temp_path {at}/b; proxy_temp_path {at}/p;\n\
             fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
             server {{ listen {address}; root {}; }} }}\n",
            root.display()
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config).expect("written");
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
        let program = program.iter().find(|path| Path::new(path).exists())?;
        let child = Command::new(program)
            .args(["-c", file.to_str().expect("UTF-8"), "-e", "stderr"])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let log = folder.path().join("access.log");
        wait_until("nginx listens", DEADLINE, || std::net::TcpStream::connect(address).is_ok());
        Some(Nginx { child, address, log, _folder: folder })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line for each request comes over a unix socket as well, from a client without an address.
#[test]
fn clients_of_unix_sockets_are_named_as_nginx_names_them() {
    let builder = Builder::app("kitchen").argument("--bind").argument("unix:site.sock");
    let server = logging(builder, "$remote_addr|$server_addr|$status").start();
    let mut stream = std::os::unix::net::UnixStream::connect(server.folder().join("site.sock")).expect("connected");
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    stream.read_to_end(&mut Vec::new()).expect("answered");
    assert_eq!(wait_lines(&log_of(&server), 1), ["unix:|unix:|200"]);
}
