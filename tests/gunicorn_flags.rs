//! What Gunicorn takes as flags, in variables and as values: what wins over what, what may be left short, and calls that make an application.

mod support;

use std::fs;

use support::settings::{maitred, printed, project, text};
use support::{Builder, python};

#[test]
fn what_is_said_last_counts_and_addresses_add_up() {
    let folder = project();
    let arguments = [
        "good",
        "-w",
        "1",
        "--workers",
        "2",
        "--reload",
        "--reload",
        "--log-file=-",
        "--error-logfile=err.log",
        "-b",
        "127.0.0.1:2",
        "--bind=127.0.0.1:3",
        "--log-level",
        "INFO",
        "--log-level=WARNING",
        "-e",
        "A=1",
        "-e",
        "B=2",
        // What begins a flag and no other is that flag.
        "--graceful",
        "7",
        "--backl",
        "9",
        "--print",
    ];
    let shown =
        printed(&maitred(folder.path(), &arguments, &[("MAITRED_CMD_ARGS", "-b 127.0.0.1:1 -w 5 -w 6 --threa=4")]));
    let value = |name: &str| shown.get(name).map_or("", String::as_str);
    assert_eq!((value("workers"), value("threads"), value("reload")), ("2", "4", "True"));
    assert_eq!(value("errorlog"), folder.path().canonicalize().expect("there").join("err.log").display().to_string());
    assert_eq!((value("bind"), value("raw_env")), ("['127.0.0.1:2', '127.0.0.1:3']", "['A=…', 'B=…']"));
    assert_eq!((value("graceful_timeout"), value("backlog")), ("7", "9"));
    for (flag, part) in
        [("--work", "unexpected argument '--work'"), ("--wrokers", "a similar argument exists: '--workers'")]
    {
        let output = maitred(folder.path(), &["good", flag, "3"], &[]);
        assert!(output.status.code() == Some(2) && text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}

#[test]
fn gunicorn_cmd_args_are_below_our_own_and_above_the_file() {
    let folder = project();
    fs::write(folder.path().join("maitred.toml"), "[app]\nwsgi = \"good\"\nworkers = 5\nthreads = 5\n").expect("write");
    let theirs =
        ("GUNICORN_CMD_ARGS", "elsewhere:app --access-logfile - --workers 6 --threads=6 --timeout 11 --timeout 12");
    let ours = ("MAITRED_CMD_ARGS", "--workers 7 --timeout 13");
    let shown = printed(&maitred(folder.path(), &["-t", "14", "--print-config"], &[theirs, ours]));
    let value = |name: &str| shown.get(name).map_or("", String::as_str);
    assert_eq!((value("threads"), value("workers"), value("timeout"), value("accesslog")), ("6", "7", "14", "-"));
    assert_eq!(value("wsgi_app"), "good:application", "as with Gunicorn, the variable names none");
    let output = maitred(folder.path(), &[], &[("GUNICORN_CMD_ARGS", "--workers many")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("environment variable GUNICORN_CMD_ARGS: "), "{}", text(&output.stderr));
    fs::write(folder.path().join("gunicorn.conf.py"), "wsgi_app = \"factory:create_app('x')\"\n").expect("write");
    let theirs = ("GUNICORN_CMD_ARGS", "-c gunicorn.conf.py --check-config");
    let output = maitred(folder.path(), &["--print-config"], &[theirs]);
    assert_eq!(printed(&output).get("wsgi_app").map(String::as_str), Some("factory:create_app('x')"));
}

#[test]
fn an_application_that_is_made_by_a_call_is_served() {
    let folder = project();
    let here = folder.path().display().to_string();
    let interpreter = python::interpreter().display().to_string();
    let words = format!("\"factory:create_app('hello', debug=True)\" --chdir {here} --python {interpreter}");
    let server = Builder::command_line(&["--graceful-timeout", "4", "-w", "1"])
        .environment("MAITRED_CMD_ARGS", &words)
        .environment("GUNICORN_CMD_ARGS", "--threads 2")
        .start();
    assert_eq!(server.get("/").text(), "hello True");
    server.wait_for_line("GUNICORN_CMD_ARGS: taken");
}

#[test]
fn values_that_gunicorn_takes_are_taken() {
    let folder = project();
    let conf = "workers = '2'\nthreads = '0x3'\npreload_app = 'true'\nreload = 'False'\ndaemon = ' false'\nloglevel = 'WARNING'\n\
        graceful_timeout = 0\ntimeout = 999999\nkeepalive = '0'\nTIMEOUT = 7\nDAEMON = True\nUSER = 'nobody-here'\n";
    fs::write(folder.path().join("gunicorn.conf.py"), conf).expect("write");
    let output = maitred(folder.path(), &["good", "-c", "gunicorn.conf.py", "--print-config"], &[]);
    let shown = printed(&output);
    for (name, value) in [
        ("workers", "2"),
        ("threads", "3"),
        ("preload_app", "True"),
        ("reload", "False"),
        ("daemon", "False"),
        ("loglevel", "warn"),
        ("graceful_timeout", "0.1"),
        ("keepalive", "0.1"),
        ("timeout", "86400"),
    ] {
        assert_eq!(shown.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(
        text(&output.stderr),
        "not done: gunicorn.conf.py: timeout: there is none longer than 1d, which it is now\n"
    );
    let shown =
        printed(&maitred(folder.path(), &["good", "--graceful-timeout", "0", "-t", "0", "--print-config"], &[]));
    let value = |name: &str| shown.get(name).map_or("", String::as_str);
    assert_eq!((value("graceful_timeout"), value("timeout")), ("0.1", "0"));
}

#[test]
fn flags_win_over_cmd_args_and_these_over_the_file() {
    let folder = project();
    let toml = "[server]\nbacklog = 5\nlisten = \"127.0.0.1:1\"\n[app]\nwsgi = \"good\"\nworkers = 5\nthreads = 5\n";
    fs::write(folder.path().join("maitred.toml"), toml).expect("write");
    let words = "--threads 6 --workers=6 --name 'the shop' -b 127.0.0.1:2 -b 127.0.0.1:3";
    let variables =
        [("MAITRED_CMD_ARGS", words), ("WEB_CONCURRENCY", "9"), ("PORT", "9"), ("FORWARDED_ALLOW_IPS", "10.0.0.1")];
    let shown = printed(&maitred(folder.path(), &["-w", "7", "--print-config"], &variables));
    let value = |name: &str| shown.get(name).map_or("", String::as_str);
    assert_eq!((value("backlog"), value("threads"), value("workers")), ("5", "6", "7"));
    assert_eq!((value("proc_name"), value("bind")), ("the shop", "['127.0.0.1:2', '127.0.0.1:3']"));
    assert_eq!(value("forwarded_allow_ips"), "10.0.0.1/32");
    // Variables that many programs read are defaults.
    let shown = printed(&maitred(folder.path(), &["--print-config"], &variables[1..]));
    assert_eq!(shown.get("workers").map(String::as_str), Some("5"));
    assert_eq!(shown.get("bind").map(String::as_str), Some("['127.0.0.1:1']"));
}
