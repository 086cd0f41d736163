//! Every bound of the configuration: what stands at it is taken, what is beyond it is refused in words that name it.

use std::collections::HashMap;
use std::fs;

use maitred::base::bounds::*;
use maitred::config::{Flags, Surroundings, load};

/// A bound, a file that keeps it, one that does not, and what is then said. `DIR` stands for an existing folder.
struct Bound {
    name: &'static str,
    kept: String,
    broken: String,
    told: String,
}

/// What is said of `text`; empty if nothing is.
fn told(text: &str) -> String {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (file, files) = (folder.path().join("maitred.toml"), folder.path().join("files"));
    fs::create_dir(&files).expect("a writable folder");
    for (name, length) in [
        ("kept.pem", TLS_FILE_BYTES_MAX),
        ("broken.pem", TLS_FILE_BYTES_MAX + 1),
        ("kept.users", HTPASSWD_BYTES_MAX),
        ("broken.users", HTPASSWD_BYTES_MAX + 1),
    ] {
        fs::write(files.join(name), vec![b'#'; length as usize]).expect("a writable folder");
    }
    fs::write(&file, text.replace("DIR", &files.display().to_string())).expect("a writable folder");
    let around = Surroundings { directory: folder.path().to_owned(), variables: HashMap::new(), cpus: 2 };
    load(&Flags { config: Some(file), ..Flags::default() }, &around)
        .map_or_else(|errors| errors.to_string(), |_| String::new())
}

/// A file with `line` in `section`, and files to serve.
fn with(section: &str, line: &str) -> String {
    format!("{section}\n{line}\n[[route]]\npath = \"/\"\nstatic = \"DIR\"\n")
}

/// A bound of a number: `max` is taken, one more is not.
fn number(name: &'static str, section: &str, key: &str, max: u64) -> Bound {
    let file = |value: u64| with(section, &format!("{key} = {value}"));
    Bound { name, kept: file(max), broken: file(max + 1), told: format!(".{key}: ") }
}

/// A bound that is reached with `count` of something and told in words.
fn counted(name: &'static str, max: usize, file: impl Fn(usize) -> String, told: &str) -> Bound {
    Bound { name, kept: file(max), broken: file(max + 1), told: told.to_owned() }
}

fn routes(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| format!("[[route]]\n{}\nstatus = 404\n", line(number))).collect()
}

/// A route with these lines.
fn route(lines: &str) -> String {
    format!("[[route]]\npath = \"/\"\n{lines}\n")
}

fn numbers() -> Vec<Bound> {
    vec![
        number("SHARDS_MAX", "[server]", "shards", SHARDS_MAX),
        number("CONNECTIONS_MAX", "[server]", "max_connections", CONNECTIONS_MAX),
        number("BODY_BYTES_MAX", "[server]", "max_body", BODY_BYTES_MAX),
        number("LISTEN_BACKLOG_MAX", "[server]", "backlog", LISTEN_BACKLOG_MAX),
        Bound {
            name: "STATSD_BYTES_MAX",
            kept: with("[server]", &format!("statsd_prefix = \"{}\"", "n".repeat(STATSD_BYTES_MAX))),
            broken: with("[server]", &format!("statsd_prefix = \"{}\"", "n".repeat(STATSD_BYTES_MAX + 1))),
            told: "server.statsd_prefix: ".to_owned(),
        },
        counted(
            "WSGI_CALL_BYTES_MAX",
            WSGI_CALL_BYTES_MAX,
            |count| {
                format!(
                    "[app]\nwsgi = \"shop:create('{}')\"\npython = \"/bin/sh\"\n",
                    "x".repeat(count - "create('')".len())
                )
            },
            "app.wsgi: is a call of more than",
        ),
        Bound {
            name: "PROC_NAME_BYTES_MAX",
            kept: with("[server]", &format!("proc_name = \"{}\"", "n".repeat(PROC_NAME_BYTES_MAX))),
            broken: with("[server]", &format!("proc_name = \"{}\"", "n".repeat(PROC_NAME_BYTES_MAX + 1))),
            told: "server.proc_name: ".to_owned(),
        },
        number("TIMEOUT_MAX_MS", "[server]", "head_timeout", TIMEOUT_MAX_MS / 1000),
        Bound {
            name: "TIMEOUT_MIN_MS",
            kept: with("[server]", &format!("head_timeout = \"{TIMEOUT_MIN_MS}ms\"")),
            broken: with("[server]", &format!("head_timeout = \"{}ms\"", TIMEOUT_MIN_MS - 1)),
            told: "server.head_timeout: ".to_owned(),
        },
        number("WORKERS_MAX", "[app]\nwsgi = \"a:b\"", "workers", WORKERS_MAX),
        number("WEAR_REQUESTS_MAX", "[app]\nwsgi = \"a:b\"", "max_requests", WEAR_REQUESTS_MAX),
        number("WORKER_THREADS_MAX", "[app]\nwsgi = \"a:b\"", "threads", WORKER_THREADS_MAX),
        number("QUEUE_MAX", "[app]\nwsgi = \"a:b\"", "queue", QUEUE_MAX),
        number("RESPONSE_BUFFER_BYTES_MAX", "[app]\nwsgi = \"a:b\"", "response_buffer", RESPONSE_BUFFER_BYTES_MAX),
        number("RESPONSE_SPOOL_BYTES_MAX", "[app]\nwsgi = \"a:b\"", "response_spool_max", RESPONSE_SPOOL_BYTES_MAX),
        number("ACCESS_BUFFER_BYTES_MAX", "[server.access_log]\npath = \"a.log\"", "buffer", ACCESS_BUFFER_BYTES_MAX),
        number(
            "ACCESS_ROTATE_BYTES_MAX",
            "[server.access_log]\npath = \"a.log\"",
            "rotate_size",
            ACCESS_ROTATE_BYTES_MAX,
        ),
        number(
            "ACCESS_ROTATED_FILES_MAX",
            "[server.access_log]\npath = \"a.log\"\nrotate_size = \"1M\"",
            "rotate_keep",
            ACCESS_ROTATED_FILES_MAX,
        ),
    ]
}

fn programs() -> Vec<Bound> {
    let program = "[program.p]\ncommand = \"true\"\nprocess_name = \"%(process_num)d\"";
    vec![
        number("PROCESSES_MAX", program, "numprocs", PROCESSES_MAX),
        number("PROCESS_NUMBER_MAX", program, "numprocs_start", PROCESS_NUMBER_MAX),
        number("START_RETRIES_MAX", program, "startretries", START_RETRIES_MAX),
        number("LOG_FILE_BYTES_MAX", program, "stdout_logfile_maxbytes", LOG_FILE_BYTES_MAX),
        number("LOG_BACKUPS_MAX", program, "stdout_logfile_backups", LOG_BACKUPS_MAX),
        number("NOFILE_MAX", program, "nofile", NOFILE_MAX),
        number("NPROC_MAX", program, "nproc", NPROC_MAX),
        number("CPUS_MAX", program, "cpu", CPUS_MAX),
        number("RSS_BYTES_MAX", program, "max_rss", RSS_BYTES_MAX),
        number(
            "CHECK_FAILURES_MAX",
            "[program.p]\ncommand = \"true\"\nready = { tcp = \"127.0.0.1:1\" }\n[program.p.liveness]\ntcp = \"127.0.0.1:1\"",
            "failures",
            CHECK_FAILURES_MAX,
        ),
        number("CAPTURE_BYTES_MAX", program, "stdout_capture_maxbytes", CAPTURE_BYTES_MAX),
        number(
            "EVENT_BUFFER_MAX",
            "[eventlistener.a]\ncommand = \"cat\"\nevents = \"EVENT\"",
            "buffer_size",
            EVENT_BUFFER_MAX,
        ),
    ]
}

fn guards() -> Vec<Bound> {
    let limit = |line: &str| route(&format!("status = 404\nlimit = {{ {line} }}"));
    let rate = |name, keep: &str, breaks: &str, told: &str| Bound {
        name,
        kept: limit(keep),
        broken: limit(breaks),
        told: told.to_owned(),
    };
    let list = |count: usize| -> String { (0..count).map(|n| format!("\"10.{}.{}.1\", ", n / 256, n % 256)).collect() };
    vec![
        rate(
            "RATE_COUNT_MAX",
            &format!("rate = \"{RATE_COUNT_MAX}/s\""),
            &format!("rate = \"{}/s\"", RATE_COUNT_MAX + 1),
            "route.limit.rate: ",
        ),
        rate(
            "RATE_WINDOW_SECONDS_MAX",
            "rate = \"1/d\", burst = 29",
            "rate = \"1/d\", burst = 30",
            "the burst is too large for so slow a rate",
        ),
        rate(
            "RATE_BURST_MAX",
            &format!("rate = \"9/s\", burst = {RATE_BURST_MAX}"),
            &format!("rate = \"9/s\", burst = {}", RATE_BURST_MAX + 1),
            "route.limit.burst: ",
        ),
        rate(
            "LIMIT_KEYS_MAX",
            &format!("rate = \"9/s\", keys = {LIMIT_KEYS_MAX}"),
            &format!("rate = \"9/s\", keys = {}", LIMIT_KEYS_MAX + 1),
            "route.limit.keys: ",
        ),
        rate(
            "LIMIT_KEYS_MIN",
            &format!("rate = \"9/s\", keys = {LIMIT_KEYS_MIN}"),
            &format!("rate = \"9/s\", keys = {}", LIMIT_KEYS_MIN - 1),
            "route.limit.keys: ",
        ),
        counted(
            "RATE_LIMITS_MAX",
            RATE_LIMITS_MAX,
            |count| route(&format!("status = 404\nlimit = [{}]", "\"9/s\", ".repeat(count))),
            "has more than 8 limits",
        ),
        Bound {
            name: "ROUTE_CONNECTIONS_MAX",
            kept: route(&format!("status = 404\nconnections = {ROUTE_CONNECTIONS_MAX}")),
            broken: route(&format!("status = 404\nconnections = {}", ROUTE_CONNECTIONS_MAX + 1)),
            told: "route.connections.per_address: ".to_owned(),
        },
        counted(
            "ACCESS_RULES_MAX",
            ACCESS_RULES_MAX,
            |count| route(&format!("status = 404\nallow = [{}]", list(count))),
            "has more than 4096 entries",
        ),
        counted(
            "ALLOWED_HOSTS_MAX",
            ALLOWED_HOSTS_MAX,
            |count| with("[server]", &format!("allowed_hosts = [{}]", list(count))),
            "has more than 4096 entries",
        ),
        Bound {
            name: "HTPASSWD_BYTES_MAX",
            kept: route("status = 404\nauth = { htpasswd = \"DIR/kept.users\" }"),
            broken: route("status = 404\nauth = { htpasswd = \"DIR/broken.users\" }"),
            told: "has more than 4194304 bytes".to_owned(),
        },
    ]
}

fn counts() -> Vec<Bound> {
    let addresses = |count: usize| {
        let list: String = (0..count).map(|number| format!("\"127.0.0.1:{}\", ", 10_000 + number)).collect();
        with("[server]", &format!("listen = [{list}]"))
    };
    let names = |count: usize, before: &str| -> String { (0..count).map(|n| format!("\"{before}{n}\", ")).collect() };
    let bytes = |count: usize| "a".repeat(count);
    vec![
        counted("LISTENERS_MAX", LISTENERS_MAX as usize, addresses, "server.listen: must have from 1 to"),
        counted(
            "ROUTES_MAX",
            ROUTES_MAX,
            |count| routes(count, |n| format!("exact = \"/{n}\"")),
            "more than 4096 routes",
        ),
        counted(
            "MAINTENANCE_EXCEPTIONS_MAX",
            MAINTENANCE_EXCEPTIONS_MAX,
            |count| with("[server]", &format!("maintenance = {{ paths = [{}] }}", names(count, "/"))),
            "has more than 256 entries",
        ),
        counted(
            "TRUSTED_PROXIES_MAX",
            TRUSTED_PROXIES_MAX,
            |count| {
                let peers: String = (0..count).map(|n| format!("\"10.0.{}.{}\", ", n / 256, n % 256)).collect();
                with("[server]", &format!("trusted_proxies = [{}]", peers.trim_end_matches(", ")))
            },
            "has more than 1024 entries",
        ),
        counted(
            "SENDFILE_ROOTS_MAX",
            SENDFILE_ROOTS_MAX,
            |count| route(&format!("status = 404\nsendfile_root = [{}]", names(count, "/srv/"))),
            "has more than 16 entries",
        ),
        counted(
            "ROUTE_REGEXES_MAX",
            ROUTE_REGEXES_MAX,
            |count| routes(count, |n| format!("regex = \"^/{n}$\"")),
            "more than 256 routes with an expression",
        ),
        counted(
            "REGEX_BYTES_MAX",
            REGEX_BYTES_MAX,
            |count| format!("[[route]]\nregex = \"{}\"\nstatus = 404\n", bytes(count)),
            "must have from 1 to 1024 bytes",
        ),
        counted(
            "FIXED_RESPONSE_BYTES_MAX",
            FIXED_RESPONSE_BYTES_MAX,
            |count| route(&format!("respond = \"{}\"", bytes(count))),
            "must not have more than 65536 bytes",
        ),
        counted(
            "STATIC_TYPES_MAX",
            STATIC_TYPES_MAX,
            |count| {
                let types: String = (0..count).map(|number| format!("x{number} = \"text/plain\", ")).collect();
                route(&format!("static = \"DIR\"\ntypes = {{ {} }}", types.trim_end_matches(", ")))
            },
            "has more than 1024 entries",
        ),
        counted(
            "STATIC_EXPIRES_SECONDS_MAX",
            STATIC_EXPIRES_SECONDS_MAX as usize,
            |seconds| route(&format!("static = \"DIR\"\nexpires = {seconds}")),
            ".expires: ",
        ),
        counted(
            "RELOAD_EXTRA_FILES_MAX",
            RELOAD_EXTRA_FILES_MAX,
            |count| with("[app]\nwsgi = \"a:b\"", &format!("reload_extra_files = [{}]", "\"f\", ".repeat(count))),
            "has more than 1024 entries",
        ),
        // Each of the fields has its name, a colon, a space and CRLF.
        counted(
            "HEADER_LINES_BYTES_MAX",
            HEADER_LINES_BYTES_MAX,
            |count| route(&format!("status = 404\nheaders = {{ set = {{ X = \"{}\" }} }}", bytes(count - 5))),
            "must not add more than 8192 bytes",
        ),
        counted(
            "CONFIG_FILE_BYTES_MAX",
            CONFIG_FILE_BYTES_MAX as usize,
            |count| {
                let file = route("status = 404");
                format!("{file}#{}", bytes(count - file.len() - 1))
            },
            "is larger than 1048576 bytes",
        ),
        counted(
            "TLS_ENTRIES_MAX",
            TLS_ENTRIES_MAX,
            |count| {
                let entries: String = (0..count)
                    .map(|n| format!("[[tls]]\nnames = [\"n{n}.example\"]\ncert = \"c\"\nkey = \"k\"\n"))
                    .collect();
                format!("{entries}{}", route("status = 404"))
            },
            "more than 4096 entries",
        ),
        counted(
            "TLS_ENTRY_CERTIFICATES_MAX",
            TLS_ENTRY_CERTIFICATES_MAX,
            |count| {
                let list = "\"c\", ".repeat(count);
                format!("[[tls]]\nnames = [\"a.example\"]\ncert = [{list}]\nkey = [{list}]\n{}", route("status = 404"))
            },
            "must not have more than 8 files",
        ),
    ]
}

fn certificate() -> Bound {
    let file = |name: &str| {
        format!(
            "[[tls]]\nnames = [\"a.example\"]\ncert = \"DIR/{name}\"\nkey = \"DIR/kept.pem\"\n{}",
            route("status = 404")
        )
    };
    Bound {
        name: "TLS_FILE_BYTES_MAX",
        kept: file("kept.pem"),
        broken: file("broken.pem"),
        told: "is larger than 1048576 bytes".to_owned(),
    }
}

#[test]
fn bounds_of_the_configuration_hold_and_are_told() {
    for Bound { name, kept, broken, told: expected } in
        numbers().into_iter().chain(counts()).chain(programs()).chain(guards()).chain([certificate()])
    {
        let at = told(&kept);
        assert!(!at.contains(&expected), "{name}, at the bound: {at:.400}");
        let over = told(&broken);
        assert!(over.contains(&expected), "{name}, beyond the bound: {over:.400} instead of {expected}");
    }
}
