//! Gunicorn's settings by their names: as flags, in `MAITRED_CMD_ARGS`, from a `gunicorn.conf.py`; what wins over what, and what is said of those
//! that have no effect.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::settings::{maitred, printed, project, run, text};
use support::{Builder, DEADLINE, process, python, wait_until};

/// The real Gunicorn beside the peers of the load tests, if it is there.
fn gunicorn() -> Option<PathBuf> {
    let own = support::repository().join(".venv-peers/bin/gunicorn");
    let there = own.exists().then_some(own);
    if there.is_none() {
        println!("not shown: there is no .venv-peers/bin/gunicorn");
    }
    there
}

#[test]
fn settings_have_gunicorn_s_flags() {
    let folder = project();
    let arguments = [
        "good",
        "-b",
        "127.0.0.1:5",
        "--backlog",
        "77",
        "-w",
        "3",
        "--threads",
        "2",
        "-k",
        "gthread",
        "--keep-alive",
        "5",
        "-t",
        "11",
        "--graceful-timeout",
        "12",
        "--limit-request-line",
        "4094",
        "--limit-request-fields",
        "50",
        "--limit-request-field_size",
        "8190",
        "--preload",
        "-p",
        "x.pid",
        "-m",
        "022",
        "-n",
        "shop",
        "--access-logfile",
        "-",
        "--access-logformat",
        "%(h)s %(s)s",
        "--error-logfile",
        "err.log",
        "--log-level",
        "warning",
        "--forwarded-allow-ips",
        "10.0.0.1,::1",
        "--worker-connections",
        "99",
        "--max-requests",
        "1000",
        "--max-requests-jitter",
        "50",
        "-e",
        "A=1",
        "--pythonpath",
        "lib",
        "--print-config",
    ];
    let output = maitred(folder.path(), &arguments, &[]);
    let shown = printed(&output);
    let here = folder.path().canonicalize().expect("there");
    for (name, value) in [
        ("max_requests", "1000"),
        ("max_requests_jitter", "50"),
        ("bind", "['127.0.0.1:5']"),
        ("backlog", "77"),
        ("workers", "3"),
        ("threads", "2"),
        ("worker_class", "gthread"),
        ("keepalive", "5"),
        ("timeout", "11"),
        ("graceful_timeout", "12"),
        ("limit_request_line", "4094"),
        ("limit_request_fields", "50"),
        ("limit_request_field_size", "8190"),
        ("preload_app", "True"),
        ("pidfile", &here.join("x.pid").display().to_string()),
        ("umask", "18"),
        ("proc_name", "shop"),
        ("accesslog", "-"),
        ("errorlog", &here.join("err.log").display().to_string()),
        ("forwarded_allow_ips", "10.0.0.1/32,::1/128"),
        ("worker_connections", "99"),
        ("raw_env", "['A=…']"),
        ("daemon", "False"),
        ("wsgi_app", "good:application"),
    ] {
        assert_eq!(shown.get(name).map(String::as_str), Some(value), "{name} of {shown:?}");
    }
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn values_that_can_not_be_are_told_with_code_2() {
    let folder = project();
    for (arguments, variable, expected) in [
        (&["good", "--backlog", "0"][..], "", "--backlog: must be a number from 1 to"),
        (&["good", "--backlog", "many"], "", "--backlog: must be a number from 1 to"),
        (&["good", "-m", "888888"], "", "--umask: must be a number up to 0o777"),
        (&["good", "-n", ""], "", "--name: must be 1 to 64"),
        (&["good"], "--workers -3", "environment variable MAITRED_CMD_ARGS: --workers: must be a number from 1"),
        (&["good"], "--wrokers 3", "environment variable MAITRED_CMD_ARGS: unexpected argument '--wrokers'"),
        (&["good"], "--name 'x", "environment variable MAITRED_CMD_ARGS: "),
        (&["good", "--forwarded-allow-ips", "nobody"], "", "--forwarded-allow-ips: "),
    ] {
        let output = maitred(folder.path(), arguments, &[("MAITRED_CMD_ARGS", variable)]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {variable}");
        assert!(text(&output.stderr).contains(expected), "{expected} is not in {}", text(&output.stderr));
    }
    let script = r#"MAITRED_CMD_ARGS=$(printf '\377') exec "$0" serve good"#;
    let output = run(Path::new("/bin/sh"), folder.path(), &["-c", script, env!("CARGO_BIN_EXE_maitred")], &[]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "environment variable MAITRED_CMD_ARGS: is not UTF-8";
    assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
}

#[test]
fn flags_without_effect_are_taken_with_their_reason() {
    let folder = project();
    let arguments = [
        "good",
        "-k",
        "gevent",
        "--no-sendfile",
        "--limit-request-fields",
        "30000",
        "--protocol",
        "uwsgi",
        "--check-config",
    ];
    let output = maitred(folder.path(), &arguments, &[("MAITRED_CMD_ARGS", "--worker-tmp-dir /dev/shm --reuse-port")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines: Vec<String> = text(&output.stderr).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for beginning in [
        "not done: environment variable MAITRED_CMD_ARGS: --worker-tmp-dir: workers write no heartbeat files",
        "not done: --worker-class: \"gevent\" is no kind of worker here",
        "not done: --no-sendfile: the server sends files",
        "not done: --limit-request-fields: the server's own bound holds",
        "not done: --protocol: HTTP is spoken, not uwsgi",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(beginning)), "{beginning} is not in {lines:?}");
    }
    let help = run(Path::new(env!("CARGO_BIN_EXE_maitred")), folder.path(), &["serve", "--help"], &[]);
    assert!(text(&help.stdout).contains("--no-sendfile") && text(&help.stdout).contains("No effect: the server sends"));
}

#[test]
fn a_config_check_says_by_its_exit_code_what_gunicorn_s_says() {
    let folder = project();
    let cases = [
        (&["good"][..], 0),
        (&["factory:create_app()"], 0),
        (&["factory:create_app('x', debug=True)"], 0),
        (&["factory:create_app(1, 2, 3)"], 1),
        (&["broken"], 1),
        (&["good:absent"], 1),
        (&["absent"], 1),
    ];
    for (arguments, code) in cases {
        let arguments = [arguments, &["--check-config"]].concat();
        let output = maitred(folder.path(), &arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(output.stderr.is_empty(), code == 0);
        assert_eq!(text(&output.stdout), "");
        if let Some(gunicorn) = gunicorn() {
            let theirs = run(&gunicorn, folder.path(), &arguments, &[]);
            assert_eq!(theirs.status.code(), Some(code), "{arguments:?}: {}", text(&theirs.stderr));
        }
    }
}

#[test]
fn every_setting_of_gunicorn_is_known_and_what_is_printed_has_its_names() {
    let Some(gunicorn) = gunicorn() else { return };
    let folder = project();
    let theirs = printed(&run(&gunicorn, folder.path(), &["good", "--print-config"], &[]));
    let hooks = [
        "on_starting",
        "on_reload",
        "when_ready",
        "pre_fork",
        "post_fork",
        "post_worker_init",
        "worker_int",
        "worker_abort",
        "pre_exec",
        "pre_request",
        "post_request",
        "child_exit",
        "worker_exit",
        "nworkers_changed",
        "on_exit",
    ];
    for name in theirs.keys().filter(|name| !hooks.contains(&name.as_str())) {
        assert!(maitred::config::gunicorn::named(name).is_some(), "{name}");
    }
    let ours = printed(&maitred(folder.path(), &["good", "--print-config"], &[]));
    assert!(ours.len() > 25, "{ours:?}");
    for name in ours.keys() {
        assert!(theirs.contains_key(name), "{name}");
    }
    // Where neither was told anything, most are the same.
    for name in [
        "bind",
        "backlog",
        "threads",
        "timeout",
        "graceful_timeout",
        "pidfile",
        "accesslog",
        "errorlog",
        "loglevel",
        "daemon",
    ] {
        assert_eq!(ours.get(name), theirs.get(name), "{name}");
    }
}

#[test]
fn a_gunicorn_conf_py_is_read_and_what_is_not_taken_is_said() {
    let folder = project();
    let conf = "import multiprocessing, os\n\
        print('hello from the file')\n\
        bind = ['127.0.0.1:7', '127.0.0.1:8']\n\
        workers = multiprocessing.cpu_count() * 0 + 2\n\
        WORKER = 7\n\
        wsgi_app = 'good:application'\n\
        chdir = os.path.dirname(os.path.abspath(__file__))\n\
        timeout = 12\n\
        accesslog = '-'\n\
        access_log_format = '%(h)s %(p)s %(x)s $'\n\
        worker_class = 'uvicorn.workers.UvicornWorker'\n\
        limit_request_line = 0\n\
        reload = False\n\
        logconfig_dict = {'version': 1}\n\
        max_requests = object()\n\
        def ssl_context(config, default): pass\n";
    fs::write(folder.path().join("gunicorn.conf.py"), conf).expect("write");
    let output = maitred(folder.path(), &["-c", "gunicorn.conf.py", "--timeout", "13", "--print-config"], &[]);
    let shown = printed(&output);
    let value = |name: &str| shown.get(name).map_or("", String::as_str);
    assert_eq!((value("bind"), value("workers")), ("['127.0.0.1:7', '127.0.0.1:8']", "2"));
    assert_eq!((value("timeout"), value("wsgi_app"), value("accesslog")), ("13", "good:application", "-"));
    assert_eq!(value("access_log_format"), "${remote_addr} <${pid}> - $$");
    let left = text(&output.stderr);
    for part in [
        "gunicorn.conf.py: access_log_format: nothing is known here of %(x)s: \"-\" stands there",
        "gunicorn.conf.py: worker_class: \"uvicorn.workers.UvicornWorker\" is no kind of worker here",
        "gunicorn.conf.py: logconfig_dict: ",
        "gunicorn.conf.py: max_requests: is neither plain data",
        "gunicorn.conf.py: ssl_context: ",
    ] {
        assert!(left.contains(part), "{part} is not in {left}");
    }
    assert!(!left.contains("reload") && !left.contains("WORKER"), "{left}");
}

#[test]
fn a_file_of_gunicorn_s_is_known_by_what_it_holds() {
    let folder = project();
    fs::write(folder.path().join("gunicorn.conf"), "workers = 3\nwsgi_app = \"good\"\n").expect("write");
    let shown = printed(&maitred(folder.path(), &["-c", "gunicorn.conf", "--print-config"], &[]));
    assert_eq!(shown.get("workers").map(String::as_str), Some("3"));
    fs::write(folder.path().join("site.conf"), "[app]\nwsgi = \"good\"\nworkers = 4\n").expect("write");
    let shown = printed(&maitred(folder.path(), &["-c", "site.conf", "--print-config"], &[]));
    assert_eq!(shown.get("workers").map(String::as_str), Some("4"));
    fs::write(folder.path().join("site.conf"), "[app]\nworkers =\n").expect("write");
    let output = maitred(folder.path(), &["-c", "site.conf"], &[]);
    assert!(
        output.status.code() == Some(2) && text(&output.stderr).starts_with("site.conf:2: "),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn what_is_in_force_is_printed_by_gunicorn_s_names() {
    let folder = project();
    let conf = "statsd_host = 'localhost:8125'\nstatsd_prefix = 'shop'\ndogstatsd_tags = 'a:b'\nproxy_protocol = True\n\
        proxy_allow_ips = '127.0.0.1'\naccesslog = '-'\naccess_log_format = '{\"a\": \"%(a)s\"}'\ndef when_ready(server): pass\n";
    fs::write(folder.path().join("gunicorn.conf.py"), conf).expect("write");
    let shown = printed(&maitred(folder.path(), &["good", "-c", "gunicorn.conf.py", "--print-config"], &[]));
    let hook = folder.path().canonicalize().expect("there").join("gunicorn.conf.py:when_ready").display().to_string();
    let id = rustix::process::geteuid().as_raw().to_string();
    for (name, value) in [
        ("statsd_host", "localhost:8125"),
        ("statsd_prefix", "shop"),
        ("dogstatsd_tags", "a:b"),
        ("proxy_protocol", "auto"),
        ("access_log_format", "{\"a\": \"${http_user_agent}\"}"),
        ("when_ready", &hook),
        ("on_exit", "None"),
        ("certfile", "None"),
        ("cert_reqs", "0"),
        ("user", &id),
    ] {
        assert_eq!(shown.get(name).map(String::as_str), Some(value), "{name} of {shown:?}");
    }
}

#[test]
fn a_gunicorn_conf_py_that_fails_is_shown_with_its_traceback() {
    let folder = project();
    fs::write(folder.path().join("gunicorn.conf.py"), "workers = 2\nbind = undefined_name\n").expect("write");
    let output = maitred(folder.path(), &["good", "-c", "gunicorn.conf.py"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    for part in [
        "gunicorn.conf.py: cannot be evaluated",
        "line 2, in <module>",
        "NameError: name 'undefined_name' is not defined",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("<string>") && !told.contains("importlib"), "its own frames alone: {told}");
    fs::write(folder.path().join("gunicorn.conf.py"), "workers = 'lots'\n").expect("write");
    let output = maitred(folder.path(), &["good", "-c", "gunicorn.conf.py"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).starts_with("gunicorn.conf.py: workers: must be a number from 1"),
        "{}",
        text(&output.stderr)
    );
    let output = maitred(folder.path(), &["good", "-c", "absent.conf.py"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("absent.conf.py"), "{}", text(&output.stderr));
}

#[test]
fn a_server_runs_from_a_gunicorn_conf_py() {
    let builder = Builder::command_line(&["--graceful-timeout", "4"]);
    let file = builder.folder().join("gunicorn.conf.py");
    let lines =
        format!("chdir = {:?}\nwsgi_app = 'kitchen:application'\nworkers = 1\nproc_name = 'shop'\n", support::apps());
    fs::write(&file, lines).expect("write");
    let interpreter = python::interpreter().display().to_string();
    let server =
        builder.argument("-c").argument("gunicorn.conf.py").argument("--python").argument(&interpreter).start();
    assert!(server.log.text().contains("gunicorn.conf.py: taken: chdir, wsgi_app, workers, proc_name"));
    let name = fs::read_to_string(format!("/proc/{}/comm", server.pid())).expect("it runs");
    assert_eq!(name.trim(), "shop");
}

#[test]
fn a_gunicorn_conf_py_that_gunicorn_would_have_read_is_told_of() {
    let builder = Builder::command_line(&["kitchen", "--graceful-timeout", "4"]);
    fs::write(builder.folder().join("gunicorn.conf.py"), "workers = 7\n").expect("write");
    let apps = support::apps().display().to_string();
    let interpreter = python::interpreter().display().to_string();
    let arguments = ["--chdir", &apps, "--python", &interpreter, "-w", "1"];
    let server = arguments.iter().fold(builder, |builder, argument| builder.argument(argument)).start();
    server.wait_for_line("gunicorn.conf.py is there and is not read; --config gunicorn.conf.py reads it");
    assert_eq!(server.wait_workers(1).len(), 1);
}

#[test]
fn heads_beyond_the_configured_limits_are_refused() {
    let server = Builder::bare()
        .route("path = \"/\"\nstatus = 404")
        .argument("--limit-request-line")
        .argument("40")
        .argument("--limit-request-fields")
        .argument("3")
        .argument("--limit-request-field_size")
        .argument("20")
        .start();
    let status = |head: &str| {
        let mut client = server.connect();
        client.send(format!("{head}\r\n\r\n").as_bytes());
        client.response("GET").status
    };
    let line = |length: usize| format!("GET /{} HTTP/1.1", "x".repeat(length - 14));
    assert_eq!(status(&format!("{}\r\nHost: a", line(40))), 404);
    assert_eq!(status(&format!("{}\r\nHost: a", line(41))), 414);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2"), 404);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3"), 431);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nABCD: 12345678901234"), 404);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nABCD: 123456789012345"), 431);
}

#[test]
fn a_pidfile_belongs_to_one_server_that_runs() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let file = folder.path().join("site.pid");
    let named = file.display().to_string();
    // Left by a server that was killed, with the id of somebody who lives.
    fs::write(&file, "1\n").expect("write");
    let builder = || Builder::bare().route("path = \"/\"\nstatus = 404").argument("--pid").argument(&named);
    let server = builder().start();
    assert_eq!(fs::read_to_string(&file).expect("written"), format!("{}\n", server.pid()));
    let refusal = builder().refuse();
    assert_eq!(refusal.code, Some(2));
    let expected = format!("belongs to another server that runs, process {}", server.pid());
    assert!(refusal.stderr.contains(&expected), "{}", refusal.stderr);
    drop(server);
    assert!(!file.exists());
}

#[test]
fn the_mask_holds_for_sockets_and_for_what_the_application_writes() {
    let builder = Builder::app("kitchen").argument("--umask").argument("027");
    let socket = builder.folder().join("site.sock");
    let address = format!("unix:{}", socket.display());
    let server = builder.argument("-b").argument(&address).start();
    let mode = fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    for worker in server.wait_workers(1) {
        let status = fs::read_to_string(format!("/proc/{}/status", worker.pid)).expect("it runs");
        let mask = status.lines().find_map(|line| line.strip_prefix("Umask:")).map(str::trim);
        assert_eq!(mask, Some("0027"));
    }
}

#[test]
fn the_log_goes_to_a_file_that_is_opened_anew() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (file, moved) = (folder.path().join("err.log"), folder.path().join("err.log.1"));
    let builder = Builder::bare()
        .route("path = \"/\"\nstatus = 404")
        .argument("--log-file")
        .argument(&file.display().to_string());
    let server = builder.spawn();
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    wait_until("it is ready", DEADLINE, || read(&file).contains("ready: listening"));
    fs::rename(&file, &moved).expect("rename");
    process::signal(server.pid(), rustix::process::Signal::USR1);
    wait_until("the file is there anew", DEADLINE, || read(&file).contains("log files are opened anew"));
    assert!(!read(&moved).contains("anew"));
    assert_eq!(server.log.text(), "");
}

#[test]
fn a_daemon_s_command_ends_when_the_server_is_ready_or_says_why_it_is_not() {
    let folder = project();
    let (pidfile, log) = (folder.path().join("site.pid"), folder.path().join("err.log"));
    let arguments = |application: &'static str| {
        let (pidfile, log) = (pidfile.display().to_string(), log.display().to_string());
        let python = python::interpreter().display().to_string();
        [application, "-b", "unix:site.sock", "-D", "--graceful-timeout", "4", "--no-preload"]
            .map(str::to_owned)
            .into_iter()
            .chain(["--pid".to_owned(), pidfile, "--error-logfile".to_owned(), log, "--python".to_owned(), python])
            .collect::<Vec<_>>()
    };
    let start = |application| {
        let arguments = arguments(application);
        maitred(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[])
    };
    let output = start("broken");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(fs::read_to_string(&log).expect("the log").contains("ValueError: out of order"));
    let output = start("good");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let pid: u32 = fs::read_to_string(&pidfile).expect("it runs").trim().parse().expect("a process id");
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = status.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    assert_eq!(fields[3], pid.to_string(), "it leads a session of its own");
    let stderr = fs::read_link(format!("/proc/{pid}/fd/2")).expect("standard error");
    assert_eq!(stderr, Path::new("/dev/null"));
    process::signal(pid, rustix::process::Signal::TERM);
    assert!(process::wait_gone(pid, DEADLINE));
    assert!(!pidfile.exists());
}

#[test]
fn the_proxy_protocol_is_spoken_with_those_whom_gunicorn_s_settings_name() {
    let builder = Builder::app("kitchen");
    let allowed = ["--forwarded-allow-ips", "10.0.0.1", "--proxy-allow-from", "127.0.0.1", "--proxy-protocol"];
    let server = allowed.iter().fold(builder, |builder, argument| builder.argument(argument)).start();
    let mut client = server.connect();
    client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n");
    client.request("GET", "/environ", "");
    assert!(client.response("GET").text().contains("192.0.2.7"));
}

#[test]
fn requests_are_told_to_statsd() {
    let statsd = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    statsd.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let port = statsd.local_addr().expect("bound").port();
    let server = Builder::app("kitchen")
        .argument("--statsd-host")
        .argument(&format!("localhost:{port}"))
        .argument("--statsd-prefix")
        .argument("shop")
        .start();
    for _ in 0..3 {
        assert_eq!(server.get("/hello").status, 200);
    }
    assert_eq!(server.get("/none").status, 404);
    let (mut requests, mut durations, mut workers) = (0, 0.0, String::new());
    let mut statuses = BTreeMap::<String, u32>::new();
    let mut buffer = [0; 2048];
    while requests < 4 || workers.is_empty() {
        let length = statsd.recv(&mut buffer).expect("it is told every second");
        for line in text(&buffer[..length]).lines() {
            let (name, value) = line.split_once(':').expect("a name and a value");
            let value = value.split('|').collect::<Vec<_>>();
            match name.strip_prefix("shop.gunicorn.").expect("the prefix") {
                "requests" => requests += value[0].parse::<u32>().expect("a count"),
                "request.duration" => {
                    durations += value.get(2).map_or(1.0, |rate| 1.0 / rate[1..].parse::<f64>().expect("a rate"))
                }
                "workers" => workers = value[0].to_owned(),
                status => *statuses.entry(status.to_owned()).or_default() += value[0].parse::<u32>().expect("a count"),
            }
        }
    }
    assert_eq!((requests, durations.round() as u32, workers.as_str()), (4, 4, "1"));
    let expected = [("request.status.2xx".to_owned(), 3), ("request.status.4xx".to_owned(), 1)];
    assert_eq!(statuses, BTreeMap::from(expected));
}
