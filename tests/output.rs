//! What the application writes: it is in the log at every level, or comes as it is, and Gunicorn's loggers are there.

mod support;

use std::fs;
use std::path::Path;

use support::{Builder, Client, DEADLINE, wait_until};

/// Kitchen on a socket in the test's folder, as its log may not say when it is ready.
fn on_socket() -> Builder {
    Builder::app("kitchen").silent().server_key("listen = \"unix:web.sock\"")
}

fn client(folder: &Path) -> Client {
    let socket = folder.join("web.sock");
    wait_until("it listens", DEADLINE, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    Client::connect_unix(&socket)
}

#[test]
fn no_log_level_drops_what_the_application_and_programs_write() {
    let program = "command = \"sh -c 'echo from a program; exec sleep 1000'\"";
    let levels: [(&str, fn(Builder) -> Builder); 4] = [
        ("error in the file", |builder| builder.server_key("log_level = \"error\"")),
        ("warn as a flag", |builder| builder.argument("--log-level").argument("warning")),
        ("a directive of the environment", |builder| builder.environment("MAITRED_LOG", "error")),
        ("nothing at all", |builder| builder.environment("MAITRED_LOG", "off")),
    ];
    for (what, set) in levels {
        let server = set(on_socket().program("chatty", program)).spawn();
        let mut client = client(server.folder());
        assert_eq!(client.get("/errors?line=spilled").status, 200, "{what}");
        assert_eq!(client.get("/fail").status, 500, "{what}");
        for line in [
            "INFO  spilled worker=",
            "INFO  printed spilled worker=",
            "the application failed: GET /fail worker=",
            "ValueError: a secret of the app worker=",
            "from a program program=chatty stream=stdout",
        ] {
            server.wait_for_line(line);
        }
        let text = server.log.text();
        assert!(!text.contains("ready: "), "{what}: the server's own messages are dropped:\n{text}");
    }
}

#[test]
fn an_import_that_fails_ends_the_log() {
    let builder = Builder::app("broken:app");
    fs::write(builder.folder().join("broken.py"), "import sys\nsys.exit('the reason')\n").expect("the test's folder");
    let folder = builder.folder().to_owned();
    let refusal = builder.chdir(&folder).refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("the reason"), "{}", refusal.stderr);
    assert!(!refusal.stderr.contains("interrupted"), "{}", refusal.stderr);
}
