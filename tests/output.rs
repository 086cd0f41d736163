//! What the application writes: it is in the log at every level, or comes as it is, and Gunicorn's loggers are there.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
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
    type Set = fn(Builder) -> Builder;
    let levels: [(&str, Set); 4] = [
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

/// Starts it with its standard output in a file of the test's folder.
fn with_stdout(builder: Builder) -> (Builder, PathBuf) {
    let out = builder.folder().join("stdout");
    let script = format!("exec \"$@\" >{}", out.display());
    (builder.prefix(&["sh", "-c", &script, "sh"]), out)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn raw_output_goes_to_the_servers_own_streams_as_it_is() {
    let (builder, out) = with_stdout(Builder::app("kitchen").app_key("output = \"raw\""));
    // What the import says, and a line that the log would have to cut.
    let app = "import json, sys, kitchen\nprint('imported')\n\ndef app(environ, start_response):\n    \
               if environ['PATH_INFO'] == '/long':\n        print(json.dumps({'event': 'x' * 20_000}))\n        \
               print('\\033[1mbold', file=sys.stderr)\n    \
               return kitchen.application(environ, start_response)\n";
    fs::write(builder.folder().join("told.py"), app).expect("the test's folder");
    let pythonpath = format!("pythonpath = [{:?}]", builder.folder());
    let server = builder.argument("told:app").app_key(&pythonpath).start();
    assert_eq!(server.get("/long").status, 404);
    let line = format!("{{\"event\": \"{}\"}}", "x".repeat(20_000));
    wait_until("the line is there in one piece", DEADLINE, || read(&out) == format!("imported\n{line}\n"));
    assert_eq!(server.wait_for_line("bold"), "\u{1b}[1mbold");
    assert_eq!(server.get("/errors?line=spilled").status, 200);
    wait_until("print goes to standard output", DEADLINE, || read(&out).ends_with("\nprinted spilled\n"));
    assert_eq!(server.wait_for_line("spilled"), "spilled", "wsgi.errors is standard error");
    assert_eq!(server.get("/fail").status, 500);
    server.wait_for_line("ValueError: a secret of the app");
    let lines = server.log.lines_from(0);
    for line in
        ["the application failed: GET /fail", "Traceback (most recent call last):", "ValueError: a secret of the app"]
    {
        assert!(lines.iter().any(|known| known == line), "{line:?} has nothing around it:\n{}", server.log.text());
    }
}

#[test]
fn a_reload_changes_where_output_goes() {
    let (builder, out) = with_stdout(Builder::app("kitchen"));
    let server = builder.start();
    assert_eq!(server.get("/errors?line=first").status, 200);
    server.wait_for_line("printed first worker=");
    let file = server.folder().join("maitred.toml");
    let text = read(&file).replace("[app]", "[app]\noutput = \"raw\"");
    fs::write(&file, text).expect("the test's folder");
    let mark = server.log.mark();
    server.signal(Signal::HUP);
    server.wait_for_line_from(mark, "generation serving");
    wait_until("the new workers write there", DEADLINE, || {
        server.get("/errors?line=second").status == 200 && read(&out).contains("printed second\n")
    });
}

#[test]
fn gunicorns_words_for_output_have_their_meaning() {
    let shown = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_maitred"))
            .args(["serve", "kitchen", "--print-config", "--python"])
            .arg(support::python::interpreter())
            .args(arguments)
            .current_dir(support::apps())
            .output()
            .expect("the binary is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let line = text.lines().find(|line| line.starts_with("capture_output ")).map(str::to_owned);
        line.expect("it is shown").rsplit(' ').next().expect("a value").to_owned()
    };
    for (arguments, is_captured) in [
        (&[][..], "True"),
        (&["-R"], "False"),
        (&["-R", "--capture-output"], "True"),
        (&["--dev"], "False"),
        (&["--dev", "--capture-output"], "True"),
        (&["--dev", "--error-logfile", "errors.log"], "True"),
        (&["-R", "--daemon"], "True"),
    ] {
        assert_eq!(shown(arguments), is_captured, "{arguments:?}");
    }
}

/// Takes over handlers and level of Gunicorn's logger, as applications for Flask do.
const TAKES_OVER: &str = r#"
import logging
import os

theirs = logging.getLogger("gunicorn.error")
ours = logging.getLogger("shop")
ours.handlers = theirs.handlers
ours.setLevel(theirs.level)
ours.info("imported by %s", os.environ["SERVER_SOFTWARE"])


def app(environ, start_response):
    ours.info("a quiet word")
    ours.warning("a loud word")
    logging.getLogger("gunicorn.access").info("somebody came")
    assert logging.__loader__ is logging.__spec__.loader and logging.__loader__.name == "logging"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SERVER_SOFTWARE"].encode()]
"#;

#[test]
fn gunicorns_loggers_are_there_with_handlers_and_the_level_of_the_log() {
    let begun = |set: fn(Builder) -> Builder| {
        let builder = Builder::app("shop:app").silent().server_key("listen = \"unix:web.sock\"");
        let folder = builder.folder().to_owned();
        fs::write(folder.join("shop.py"), TAKES_OVER).expect("the test's folder");
        let server = set(builder.chdir(&folder)).spawn();
        assert_eq!(client(&folder).get("/").text(), concat!("maitred/", env!("CARGO_PKG_VERSION")));
        server.wait_for_line("somebody came");
        server
    };
    let server = begun(|builder| builder);
    server.wait_for_line(concat!("INFO  [INFO] imported by maitred/", env!("CARGO_PKG_VERSION"), " generation=1"));
    server.wait_for_line("INFO  [INFO] a quiet word worker=");
    server.wait_for_line("INFO  [WARNING] a loud word worker=");
    for set in [(|builder| builder.server_key("log_level = \"warn\"")) as fn(Builder) -> Builder, |builder| {
        builder.argument("--log-level").argument("warn").app_key("preload_app = false")
    }] {
        let server = begun(set);
        server.wait_for_line("[WARNING] a loud word worker=");
        assert!(!server.log.text().contains("quiet word"), "{}", server.log.text());
    }
    // As it is it has Gunicorn's form.
    let server = begun(|builder| builder.app_key("output = \"raw\""));
    let line = server.wait_for_line("a loud word");
    let rest = line.split_once("] [").map(|(_, rest)| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    assert!(line.starts_with("[20") && rest == Some("] [WARNING] a loud word"), "{line:?}");
}

#[test]
fn an_application_without_logging_does_not_pay_for_it() {
    let builder = Builder::app("plain:app");
    let folder = builder.folder().to_owned();
    let app = "import sys\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    \
               return [str('logging' in sys.modules).encode()]\n";
    fs::write(folder.join("plain.py"), app).expect("the test's folder");
    let server = builder.chdir(&folder).start();
    assert_eq!(server.get("/").text(), "False");
}
