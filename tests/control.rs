//! The control sockets from the outside: who gets in, what is refused, and where the socket is.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use support::supervisor::supervisorctl;
use support::{Builder, Client, Server};

/// `user:thepassword`.
const RIGHT: &str = "Authorization: Basic dXNlcjp0aGVwYXNzd29yZA==\r\n";
const GET_STATE: &[u8] = b"<?xml version='1.0'?><methodCall><methodName>supervisor.getState</methodName></methodCall>";

fn alone() -> Builder {
    Builder::bare().silent().program("one", "command = \"sleep 1000\"\nstartsecs = 0")
}

fn guarded(password: &str) -> Builder {
    alone().section(&format!("[control]\nlisten = \"127.0.0.1:0\"\nusername = \"user\"\npassword = \"{password}\""))
}

/// A connection to the TCP listener of the control socket.
#[track_caller]
fn connect(server: &Server) -> Client {
    let line = server.wait_for_line("control: listening on http://");
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the line names the port");
    Client::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

#[test]
fn over_tcp_only_those_who_know_the_password_get_in() {
    for password in ["thepassword", "{SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d"] {
        let server = guarded(password).run();
        let mut client = connect(&server);
        let response = client.post("/RPC2", RIGHT, GET_STATE);
        assert_eq!((response.status, response.field("Content-Type")), (200, Some("text/xml")));
        assert!(response.text().contains("<value><string>RUNNING</string></value>"), "{}", response.text());
        assert_eq!(client.post("/RPC2", RIGHT, GET_STATE).status, 200, "the connection goes on");
        for fields in ["", "Authorization: Basic dXNlcjp4\r\n", "Authorization: Basic !\r\n"] {
            let mut client = connect(&server);
            let response = client.post("/RPC2", fields, GET_STATE);
            assert_eq!(response.status, 401, "{fields}");
            assert_eq!(response.field("WWW-Authenticate"), Some("Basic realm=\"default\""));
            client.expect_end();
        }
    }
}

#[test]
fn what_is_no_call_is_refused_and_the_connection_goes_on_where_it_can() {
    let server = guarded("thepassword").run();
    let mut client = connect(&server);
    assert_eq!(client.post("/RPC2", RIGHT, b"<methodCall/>").status, 400);
    assert_eq!(client.post("/RPC2", RIGHT, b"").status, 400);
    let unknown = client.post("/RPC2", RIGHT, b"<methodCall><methodName>supervisor._x</methodName></methodCall>");
    assert!(unknown.text().contains("UNKNOWN_METHOD"), "{}", unknown.text());
    assert_eq!(client.post("/other", RIGHT, GET_STATE).status, 404);
    client.request("GET", "/RPC2", RIGHT);
    let response = client.response("GET");
    assert_eq!((response.status, response.field("Allow")), (405, Some("POST")));
    client.send(format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\n{RIGHT}Transfer-Encoding: chunked\r\n\r\n"));
    for piece in GET_STATE.chunks(7) {
        client.send(format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).expect("text")));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response("POST").status, 200);
    let length = 1024 * 1024 + 1;
    client.send(format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\n{RIGHT}Content-Length: {length}\r\n\r\n"));
    assert_eq!(client.response("POST").status, 413);
    client.expect_end();
    let mut client = connect(&server);
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.response("GET").status, 400);
    client.expect_end();
}

#[test]
fn a_call_that_waits_holds_up_nobody() {
    let server = guarded("thepassword").program("slow", "command = \"sleep 1000\"\nstartsecs = 1000").run();
    let mut waiting = connect(&server);
    let start = |client: &mut Client| {
        let call = b"<methodCall><methodName>supervisor.startProcess</methodName><params><param><value>slow</value></param></params></methodCall>";
        let length = call.len();
        client.send(format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\n{RIGHT}Content-Length: {length}\r\n\r\n"));
        client.send(call);
    };
    let mut other = connect(&server);
    let stop = b"<methodCall><methodName>supervisor.stopProcess</methodName><params><param><value>slow</value></param></params></methodCall>";
    assert!(other.post("/RPC2", RIGHT, stop).text().contains("<boolean>1</boolean>"));
    start(&mut waiting);
    let all = b"<methodCall><methodName>supervisor.getAllProcessInfo</methodName></methodCall>";
    support::wait_until("the start was begun", support::DEADLINE, || {
        other.post("/RPC2", RIGHT, all).text().contains("STARTING")
    });
    assert!(other.post("/RPC2", RIGHT, stop).text().contains("<boolean>1</boolean>"));
    let answer = waiting.response("POST");
    assert!(answer.text().contains("ABNORMAL_TERMINATION: slow"), "{}", answer.text());
}

#[test]
fn the_socket_is_its_user_s_alone_unless_configured_and_goes_with_the_server() {
    let mut server = alone().run();
    let socket = server.folder().join("maitred.sock");
    let mode = |path| std::fs::metadata(path).expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o700);
    assert_eq!(server.stop().code(), Some(0));
    assert!(!socket.exists());
    let server = alone().section("[control]\nsocket = \"own.sock\"\nmode = \"0770\"").run();
    let own = server.folder().join("own.sock");
    assert_eq!(mode(&own), 0o770);
    assert!(!server.folder().join("maitred.sock").exists());
    let server = alone().section("[control]\nsocket = \"off\"").run();
    assert!(!server.folder().join("maitred.sock").exists());
    assert!(!server.log.text().contains("control"));
}

#[test]
fn a_stale_socket_is_replaced_and_another_server_s_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("maitred.sock");
    drop(UnixListener::bind(&socket).expect("a server that dies"));
    let shared = |builder: Builder| builder.environment("XDG_RUNTIME_DIR", folder.path().to_str().expect("UTF-8"));
    let first = shared(alone()).run();
    let url = format!("unix://{}", socket.display());
    let pid = supervisorctl(&url, &["pid"]);
    assert_eq!(pid.text.trim(), first.main().to_string());
    let mut second = shared(alone()).run();
    second.wait_for_line("another server listens on this socket; the server runs without a control socket");
    let refused = shared(alone()).section(&format!("[control]\nsocket = {socket:?}")).refuse();
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("cannot listen on the control socket"), "{}", refused.stderr);
    assert_eq!(second.stop().code(), Some(0));
    assert_eq!(supervisorctl(&url, &["pid"]), pid, "the first one still has its socket");
}

#[test]
fn programs_are_told_where_the_control_socket_is() {
    let say = "command = \"sh -c 'echo url=$SUPERVISOR_SERVER_URL.; exec sleep 1000'\"";
    let told = |server: &Server, program: &str| {
        let line = server.wait_for_line(&format!(". program={program}"));
        line.split_once("url=").and_then(|(_, rest)| rest.split_once(". ")).map(|(url, _)| url.to_owned())
    };
    let alone = || Builder::bare().silent().program("one", say);
    let server = alone().program("own", &format!("{say}\nserverurl = \"http://elsewhere:1\"")).run();
    let socket = server.folder().join("maitred.sock");
    assert_eq!(told(&server, "one"), Some(format!("unix://{}", socket.display())));
    assert_eq!(told(&server, "own"), Some("http://elsewhere:1".to_owned()));
    let tcp = "listen = \"127.0.0.1:0\"\nusername = \"user\"\npassword = \"secret\"";
    let server = alone().section(&format!("[control]\nsocket = \"off\"\n{tcp}")).run();
    let line = server.wait_for_line("control: listening on http://");
    assert_eq!(told(&server, "one").as_deref(), line.split_once("listening on ").map(|(_, url)| url));
    let server = alone().section("[control]\nsocket = \"off\"").run();
    assert_eq!(told(&server, "one").as_deref(), Some(""));
}

#[test]
fn a_restart_is_the_same_process_with_a_new_life() {
    let server = alone().run();
    let url = format!("unix://{}", server.folder().join("maitred.sock").display());
    let mark = server.log.mark();
    let told = supervisorctl(&url, &["reload"]);
    assert_eq!((told.text.as_str(), told.code), ("Restarted supervisord\n", Some(0)));
    server.wait_for_line_from(mark, "program stopped program=one");
    server.wait_for_line_from(mark, "ready: programs alone");
    server.wait_for_line_from(mark, "program is up program=one");
    assert_eq!(supervisorctl(&url, &["pid"]).text.trim(), server.pid().to_string());
}
