//! The configuration from the outside: bad files and their messages, precedence, discovery, the reference.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use maitred::config::{
    Action, AppTarget, Autorestart, BackoffConfig, Config, EventSet, Flags, HostPattern, InterpreterSource, Listener,
    OnFatal, OutputFormat, OutputTarget, Priority, RotationConfig, Surroundings, WorkerLoop, load,
};
use proptest::prelude::*;

/// A project directory of its own, and what a process in it would find around it.
struct Project {
    directory: tempfile::TempDir,
    variables: HashMap<String, OsString>,
}

impl Project {
    fn new() -> Project {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = std::env::var_os("PATH").expect("PATH is set");
        Project { directory, variables: HashMap::from([("PATH".to_owned(), path)]) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> &Project {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("create directory");
        fs::write(path, text).expect("write file");
        self
    }

    fn variable(&mut self, name: &str, value: &str) -> &Project {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    fn load(&self, flags: &Flags) -> Result<Config, String> {
        let directory = self.directory.path().to_owned();
        let around = Surroundings { directory, variables: self.variables.clone(), cpus: 3 };
        load(flags, &around).map_err(|errors| errors.to_string())
    }

    fn good(&self, flags: &Flags) -> Config {
        self.load(flags).expect("a good configuration")
    }
}

fn named(target: &str) -> AppTarget {
    AppTarget::Named(target.to_owned())
}

fn app_flag(target: &str) -> Flags {
    Flags { app: Some(target.to_owned()), ..Flags::default() }
}

fn listens(config: &Config) -> Vec<String> {
    config.server.listen.iter().map(Listener::to_string).collect()
}

/// Every `tests/config_files/*.toml` is refused with exactly the lines of the `.expect` file beside it, where `DIRECTORY`
/// stands for the directory that holds the file.
#[test]
fn bad_files_are_refused_with_their_message() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config_files");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&directory).expect("the directory is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        count += 1;
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let project = Project::new();
        project.file(name, &fs::read_to_string(&path).expect("readable"));
        let here = project.directory.path().to_str().expect("UTF-8");
        let found = match project.load(&Flags { config: Some(name.into()), ..Flags::default() }) {
            Ok(_) => "taken".to_owned(),
            Err(message) => message.replace(here, "DIRECTORY"),
        };
        let expected = fs::read_to_string(path.with_extension("expect")).expect("an expectation is beside it");
        if found != expected.trim_end() {
            wrong.push(format!("{name}:\n  found\n{found}\n  expected\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 40, "only {count} files");
}

#[test]
fn without_a_file_defaults_hold() {
    let project = Project::new();
    let config = project.good(&app_flag("mysite.wsgi"));
    assert_eq!(listens(&config), ["http://127.0.0.1:8000"]);
    assert_eq!((config.server.shards, config.server.max_connections), (1, 16384));
    assert_eq!(config.server.keepalive_timeout, Duration::from_secs(75));
    assert_eq!(config.server.max_body_bytes, 100 << 20);
    assert_eq!(config.routes.len(), 1);
    assert_eq!((&config.routes[0].host, config.routes[0].path.text()), (&HostPattern::Any, "/"));
    assert_eq!((&config.routes[0].action, config.routes[0].max_body_bytes), (&Action::App, 100 << 20));
    let app = config.app.expect("an app was named");
    assert_eq!(app.wsgi, named("mysite.wsgi:application"));
    assert_eq!((app.workers, app.threads, app.queue, app.preload_app), (4, 1, 1024, true));
    assert_eq!(app.worker_loop, WorkerLoop::Auto);
    assert_eq!((app.timeout, app.graceful_timeout), (Some(Duration::from_secs(30)), Duration::from_secs(30)));
    assert_eq!((app.queue_timeout, app.overload_timeout), (app.timeout, Some(Duration::from_secs(1))));
    assert_eq!(app.chdir, project.directory.path());
    assert_eq!(app.spool_dir, Path::new("/tmp"));
}

#[test]
fn everything_in_a_file_is_read() {
    let project = Project::new();
    for folder in ["site", "spool"] {
        fs::create_dir(project.path(folder)).expect("create directory");
    }
    project.file(
        "maitred.toml",
        r#"
        [server]
        listen = ["[::1]:81", { address = "unix:run/site.sock" }]
        shards = 2
        keepalive_timeout = "1m30s"
        head_timeout = 5
        body_timeout = 0.5
        send_timeout = "1h"
        max_connections = 100
        max_body = "1M"
        backlog = 10
        pidfile = "run/pid"

        [app]
        wsgi = "mysite:app"
        chdir = "./site"
        pythonpath = ["lib", "/opt/lib"]
        workers = 7
        threads = 8
        timeout = 0
        graceful_timeout = "2s"
        preload_app = false
        worker_loop = "python"
        queue = 9
        queue_timeout = "3s"
        overload_timeout = 0
        raw_env = ["A=1", "B=x=y"]
        spool_dir = "spool"

        [[route]]
        host = "*.Example.com"
        path = "/static"
        static = "files"
        cache_control = "public, max-age=60"
        index = ["a.html", "b.html"]

        [[route]]
        path = "/upload"
        app = true
        priority = "low"
        max_body = "1G"
        "#,
    );
    let config = project.good(&Flags::default());
    let socket = project.path("run/site.sock");
    assert_eq!(listens(&config), ["http://[::1]:81".to_owned(), format!("unix:{}", socket.display())]);
    let server = &config.server;
    assert_eq!((server.shards, server.max_connections, server.backlog), (2, 100, 10));
    assert_eq!((server.keepalive_timeout, server.head_timeout), (Duration::from_secs(90), Duration::from_secs(5)));
    assert_eq!((server.body_timeout, server.send_timeout), (Duration::from_millis(500), Duration::from_secs(3600)));
    assert_eq!((server.max_body_bytes, &server.pidfile), (1 << 20, &Some(project.path("run/pid"))));
    let app = config.app.as_ref().expect("[app] is there");
    assert_eq!((&app.wsgi, &app.chdir), (&named("mysite:app"), &project.path("site")));
    assert_eq!(app.pythonpath, [project.path("lib"), PathBuf::from("/opt/lib")]);
    assert_eq!((app.workers, app.threads, app.queue, app.preload_app), (7, 8, 9, false));
    assert_eq!(app.worker_loop, WorkerLoop::Python);
    assert_eq!((app.timeout, app.graceful_timeout), (None, Duration::from_secs(2)));
    assert_eq!((app.queue_timeout, app.overload_timeout), (Some(Duration::from_secs(3)), None));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(app.raw_env, [pair("A", "1"), pair("B", "x=y")]);
    assert_eq!(app.spool_dir, project.path("spool"));

    // The application has a route, so none is added.
    assert_eq!(config.routes.len(), 2);
    let route = &config.routes[0];
    assert_eq!((&route.host, route.path.text()), (&HostPattern::Suffix(".example.com".to_owned()), "/static/"));
    let Action::Static(files) = &route.action else { panic!("the first route serves files") };
    assert_eq!(files.directory, project.path("files"));
    assert_eq!(files.options.cache_control.as_deref(), Some("public, max-age=60"));
    assert_eq!(files.options.index, ["a.html", "b.html"]);
    assert_eq!(config.routes.iter().map(|route| route.max_body_bytes).collect::<Vec<_>>(), [1 << 20, 1 << 30]);
    assert_eq!(config.routes.iter().map(|route| route.priority).collect::<Vec<_>>(), [Priority::Normal, Priority::Low]);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_variables() {
    let mut project = Project::new();
    project.file("maitred.toml", "[server]\nlisten = ':1'\nshards = 2\n[app]\nwsgi = 'a'\nworkers = 5\nthreads = 6\n");
    let workers = |project: &Project, flags: &Flags| project.good(flags).app.expect("an app").workers;
    assert_eq!(workers(&project, &Flags::default()), 5);
    project.variable("WEB_CONCURRENCY", "");
    assert_eq!(workers(&project, &Flags::default()), 5);
    project.variable("WEB_CONCURRENCY", "8");
    assert_eq!(workers(&project, &Flags::default()), 5);
    let flags = Flags { workers: Some(9), no_preload: true, shards: Some("auto".to_owned()), ..app_flag("b:c") };
    let config = project.good(&flags);
    assert_eq!(config.server.shards, 1, "one for two CPUs beside an application");
    let app = config.app.expect("an app");
    assert_eq!((app.workers, app.threads, app.preload_app), (9, 6, false));
    assert_eq!(app.wsgi, named("b:c"));
    project.file("maitred.toml", "[app]\nwsgi = 'a'\n");
    assert_eq!(workers(&project, &Flags::default()), 8);
    project.variable("WEB_CONCURRENCY", "many");
    let message = project.load(&Flags::default()).expect_err("not a number");
    assert_eq!(message, "environment variable WEB_CONCURRENCY: must be a number from 1 to 1024, not \"many\"");
}

#[test]
fn port_counts_when_nobody_says_where_to_listen() {
    let mut project = Project::new();
    project.variable("PORT", "5000");
    assert_eq!(listens(&project.good(&app_flag("a"))), ["http://0.0.0.0:5000"]);
    let bind = Flags { bind: vec!["[::1]:1".to_owned(), "2".to_owned()], ..app_flag("a") };
    assert_eq!(listens(&project.good(&bind)), ["http://[::1]:1", "http://0.0.0.0:2"]);
    project.file("maitred.toml", "[server]\nlisten = ':3'\n");
    assert_eq!(listens(&project.good(&app_flag("a"))), ["http://0.0.0.0:3"]);
    assert_eq!(listens(&project.good(&bind)), ["http://[::1]:1", "http://0.0.0.0:2"]);
    fs::remove_file(project.path("maitred.toml")).expect("remove");
    project.variable("PORT", "http");
    let message = project.load(&app_flag("a")).expect_err("not a port");
    assert_eq!(message, "environment variable PORT: \"http\" is not a port number (0 to 65535)");
}

#[test]
fn a_django_project_is_found() {
    let mut project = Project::new();
    project.file("site/manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')");
    let chdir = Flags { chdir: Some("site".to_owned()), ..Flags::default() };
    let django = |settings: &str| AppTarget::Django { settings: settings.to_owned() };
    let app = |project: &Project, flags: &Flags| project.good(flags).app.expect("an app");
    assert_eq!(app(&project, &chdir).wsgi, django("mysite.settings"));
    assert_eq!(app(&project, &chdir).chdir, project.path("site"));
    let message = project.load(&Flags::default()).expect_err("no project in the working directory");
    assert!(message.contains("looked for") && message.contains("./maitred.toml"), "{message}");

    // In the working directory, beside a file that names no routes, and beside --static.
    project.file("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'outer.settings')");
    assert_eq!(app(&project, &Flags::default()).wsgi, django("outer.settings"));
    let statics = Flags { statics: vec!["/media/=media".to_owned()], ..Flags::default() };
    let config = project.good(&statics);
    assert_eq!(config.routes.iter().map(|route| route.path.text()).collect::<Vec<_>>(), ["/media/", "/"]);
    project.file("maitred.toml", "[server]\nshards = 1\n");
    project.variable("WEB_CONCURRENCY", "8");
    assert_eq!((app(&project, &Flags::default()).workers, project.good(&Flags::default()).server.shards), (8, 1));

    // The variable wins, and the one for the workers alone wins over it.
    project.variable("DJANGO_SETTINGS_MODULE", "by.variable");
    assert_eq!(app(&project, &Flags::default()).wsgi, django("by.variable"));
    let env = Flags { env: vec!["DJANGO_SETTINGS_MODULE=by.flag".to_owned()], ..Flags::default() };
    assert_eq!(app(&project, &env).wsgi, django("by.flag"));
    // A named application wins over all of them.
    assert_eq!(app(&project, &app_flag("own.wsgi:app")).wsgi, named("own.wsgi:app"));
}

#[test]
fn files_alone_are_a_server() {
    let mut project = Project::new();
    let statics =
        |urls: &[&str]| Flags { statics: urls.iter().map(|&url| url.to_owned()).collect(), ..Flags::default() };
    let config = project.good(&statics(&["/=public"]));
    assert!(config.app.is_none());
    // A variable of the environment alone makes no project out of a file with routes.
    project.file("maitred.toml", "[[route]]\npath = '/files/'\nstatic = 'files'\n");
    project.variable("DJANGO_SETTINGS_MODULE", "a.settings");
    assert!(project.good(&Flags::default()).app.is_none());
    // A flag replaces the route of the file.
    let config = project.good(&statics(&["/files/=other"]));
    let [route] = config.routes.as_slice() else { panic!("one route") };
    assert!(matches!(&route.action, Action::Static(files) if files.directory == project.path("other")));
    // Whatever is at "/" leaves nothing to a project that nobody asked for.
    project.file("manage.py", "setdefault('DJANGO_SETTINGS_MODULE', 'a')");
    for action in ["static = 'public'", "status = 404", "redirect = 'https://example.com'"] {
        project.file("maitred.toml", &format!("[[route]]\npath = '/'\n{action}\n"));
        assert!(project.good(&Flags::default()).app.is_none(), "{action}");
    }
    fs::remove_file(project.path("maitred.toml")).expect("remove");
    assert!(project.good(&statics(&["/=public"])).app.is_none());
    assert_eq!(
        project.load(&statics(&["x"])).expect_err("no URL"),
        "--static: \"x\" is not of the form URL=DIRECTORY, as in /static/=./staticfiles"
    );
}

#[test]
fn a_route_beside_a_project_leaves_the_rest_to_it() {
    let project = Project::new();
    project.file("manage.py", "setdefault('DJANGO_SETTINGS_MODULE', 'a.settings')");
    for routes in [
        "[[route]]\npath = '/media/'\nstatic = 'media'\n",
        "[[route]]\nhost = 'www.example.com'\npath = '/'\nredirect = 'https://example.com'\n",
    ] {
        project.file("maitred.toml", &format!("[server]\nlisten = ':1'\n{routes}"));
        let config = project.good(&Flags::default());
        assert_eq!(config.app.expect("the project's").wsgi, AppTarget::Django { settings: "a.settings".to_owned() });
        let last = config.routes.last().expect("a route");
        assert!(last.path.is_prefix("/") && last.action == Action::App && config.routes.len() == 2, "{routes}");
    }
}

#[test]
fn programs_beside_an_application_find_its_commands_and_start_in_its_directory() {
    let mut project = Project::new();
    project.file("site/.venv/bin/python", "");
    project.file("site/.venv/pyvenv.cfg", "");
    let python = project.path("site/.venv/bin/python");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("our own file");
    let app = "[app]\nwsgi = 'a'\nchdir = 'site'\n";
    let program = "[program.celery]\ncommand = 'celery -A mysite worker'\n";
    project.file(
        "maitred.toml",
        &format!("{app}{program}[program.own]\ncommand = 'x'\ndirectory = '/'\nenvironment = {{ PATH = '/bin' }}\n"),
    );
    project.variable("PATH", "/usr/local/bin:/usr/bin");
    let launches = |project: &Project, flags: &Flags| {
        let config = project.good(flags);
        let processes = config.programs.into_iter().flat_map(|group| group.processes);
        processes.map(|process| (process.launch.directory, process.launch.environment)).collect::<Vec<_>>()
    };
    let path = |value: String| vec![("PATH".to_owned(), value)];
    let bin = project.path("site/.venv/bin").display().to_string();
    let celery = (Some(project.path("site")), path(format!("{bin}:/usr/local/bin:/usr/bin")));
    let own = (Some(PathBuf::from("/")), path("/bin".to_owned()));
    assert_eq!(launches(&project, &Flags::default()), [celery, own]);
    // Whoever owns that directory must not choose what runs as somebody else.
    project.file("maitred.toml", &format!("{app}{program}user = 'root'\n[server]\nuser = 'nobody'\n"));
    assert_eq!(launches(&project, &Flags::default()), [(None, vec![])]);
    project.file("maitred.toml", &format!("{app}{program}user = 'nobody'\n[server]\nuser = 'nobody'\n"));
    assert_eq!(launches(&project, &Flags::default())[0].0, Some(project.path("site")));
    // Without an application, and in a supervisord.conf, all is as it is for supervisord.
    project.file("maitred.toml", program);
    assert_eq!(launches(&project, &Flags::default()), [(None, vec![])]);
    project.file("maitred.toml", app);
    project.file("supervisord.conf", "[program:celery]\ncommand=celery worker\n");
    let conf = Flags { supervisord_conf: Some("supervisord.conf".into()), ..Flags::default() };
    assert_eq!(launches(&project, &conf), [(None, vec![])]);
}

#[test]
fn paths_start_where_they_were_written() {
    let project = Project::new();
    project.file("etc/site.toml", "[app]\nwsgi = 'a'\npythonpath = 'lib,/opt'\n");
    let flags =
        Flags { config: Some("etc/site.toml".into()), statics: vec!["/s/=files".to_owned()], ..Flags::default() };
    let config = project.good(&flags);
    let app = config.app.expect("an app");
    assert_eq!(app.chdir, project.path("etc"));
    assert_eq!(app.pythonpath, [project.path("etc/lib"), PathBuf::from("/opt")]);
    assert!(matches!(&config.routes[0].action, Action::Static(files) if files.directory == project.path("files")));
    // The flag's directory, not the file's.
    let flags = Flags { chdir: Some(".".to_owned()), ..flags };
    assert_eq!(project.good(&flags).app.expect("an app").chdir, project.directory.path());
}

#[test]
fn the_interpreter_beside_the_app_is_taken() {
    let project = Project::new();
    fs::create_dir_all(project.path("site/.venv/bin")).expect("create directory");
    std::os::unix::fs::symlink("/bin/true", project.path("site/.venv/bin/python")).expect("link");
    let python = project.good(&Flags { chdir: Some("site".to_owned()), ..app_flag("a") }).app.expect("an app").python;
    assert_eq!((python.path, python.source), (project.path("site/.venv/bin/python"), InterpreterSource::BesideApp));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let project = Project::new();
    let load = |name: &str| project.load(&Flags { config: Some(name.into()), ..app_flag("a") });
    let message = load("absent.toml").expect_err("there is no such file");
    assert!(message.starts_with("absent.toml: cannot be read: No such file"), "{message}");
    fs::write(project.path("latin.toml"), b"# caf\xe9\n").expect("write");
    assert_eq!(load("latin.toml").expect_err("not UTF-8"), "latin.toml: is not UTF-8 (at byte 5)");
    project.file("large.toml", &"#\n".repeat(600 * 1024));
    assert_eq!(load("large.toml").expect_err("too large"), "large.toml: is larger than 1048576 bytes");
    assert!(load(".").expect_err("a directory").starts_with(".: cannot be read"));
}

/// Text that looks enough like a config file to get past the first check.
fn toml_like() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "[a-z_]{1,8}",
        proptest::sample::select(vec![
            "listen",
            "shards",
            "max_body",
            "head_timeout",
            "wsgi",
            "workers",
            "timeout",
            "raw_env",
            "chdir",
            "pythonpath",
            "path",
            "host",
            "static",
            "app",
            "index",
            "cache_control",
            "address",
            "pidfile",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|flag| flag.to_string()),
        "[ -~]{0,12}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,8}".prop_map(|text| format!("'{text}'")),
        "[0-9.]{0,6}[a-zKMG]{0,3}".prop_map(|text| format!("\"{text}\"")),
        "(unix:|\\[::|:|/|\\*\\.)[ -~]{0,6}".prop_map(|text| format!("{text:?}")),
        Just("1979-05-27".to_owned()),
        "\\PC{0,6}",
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            inner.prop_map(|value| format!("{{ address = {value} }}")),
        ]
    });
    let header = proptest::sample::select(vec!["", "[server]", "[app]", "[[route]]", "[route]", "[x.y]", "[[app]]"]);
    let line = (header, key, value).prop_map(|(header, key, value)| format!("{header}\n{key} = {value}\n"));
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_file_is_too_odd_to_be_answered(text in prop_oneof![toml_like(), "\\PC{0,80}", "[\\[\\]={}\"'\n#a-z0-9.,-]{0,80}"]) {
        let project = Project::new();
        project.file("maitred.toml", &text);
        match project.load(&Flags::default()) {
            Ok(config) => prop_assert!(!config.routes.is_empty() && !config.server.listen.is_empty()),
            // Each problem names its place, on one line.
            Err(message) => for line in message.lines() {
                prop_assert!(line.starts_with("maitred.toml") || line.starts_with("maitred: "), "{line:?}");
            },
        }
    }
}

#[test]
fn a_program_has_supervisord_s_defaults() {
    let project = Project::new();
    project.file("maitred.toml", "[program.celery]\ncommand = \"celery -A site worker\"\n");
    let config = project.good(&Flags::default());
    let [group] = config.programs.as_slice() else { panic!("one program is one group") };
    assert_eq!((group.name.as_str(), group.priority, group.processes.len()), ("celery", 999, 1));
    let process = &group.processes[0];
    assert_eq!((process.full_name().as_str(), process.launch.command.len()), ("celery", 4));
    let care = &process.care;
    assert_eq!((care.autostart, care.autorestart, care.startretries), (true, Autorestart::Unexpected, 3));
    assert_eq!((care.startsecs, care.stopwaitsecs), (Duration::from_secs(1), Duration::from_secs(10)));
    assert_eq!((care.exitcodes.as_slice(), care.stopsignal, care.stopasgroup), (&[0][..], 15, false));
    assert_eq!((care.backoff, care.fatal_retry, care.on_fatal), (BackoffConfig::Linear, None, OnFatal::Stay));
    let launch = &process.launch;
    assert_eq!((&launch.directory, launch.umask, &launch.user, launch.redirect_stderr), (&None, None, &None, false));
    for output in [&process.stdout, &process.stderr] {
        assert_eq!(
            (&output.target, output.rotation.max_bytes, output.rotation.backups),
            (&OutputTarget::Log, 50 << 20, 10)
        );
    }
    assert!(config.server.listen.is_empty() && config.app.is_none() && config.routes.is_empty());
}

#[test]
fn an_event_listener_has_supervisord_s_defaults() {
    let project = Project::new();
    let listener = "[eventlistener.mail]\ncommand = \"crashmail -a\"\nevents = \"PROCESS_STATE_EXITED, TICK\"\n";
    project.file("maitred.toml", &format!("[program.a]\ncommand = \"cat\"\n{listener}"));
    let config = project.good(&Flags::default());
    let [group, program] = config.programs.as_slice() else { panic!("listeners are groups beside programs") };
    assert_eq!((group.name.as_str(), group.priority, group.processes[0].care.priority), ("mail", -1, 999));
    let listens = group.listens.expect("it listens");
    let events = EventSet::named("PROCESS_STATE_EXITED").zip(EventSet::named("TICK"));
    assert_eq!(Some(listens.events), events.map(|(exited, ticks)| exited.or(ticks)));
    assert_eq!((listens.buffer_size, program.listens), (10, None));
    let stdout = &group.processes[0].stdout;
    assert_eq!((&stdout.target, stdout.is_listener, stdout.is_wanted()), (&OutputTarget::Nothing, true, true));
    assert!(!group.processes[0].stderr.is_listener && !program.processes[0].stdout.is_listener);
    project.file(
        "maitred.toml",
        &format!("{listener}priority = 7\nbuffer_size = 3\nnumprocs = 2\nprocess_name = \"m%(process_num)d\""),
    );
    let config = project.good(&Flags::default());
    let group = &config.programs[0];
    assert_eq!((group.priority, group.processes.len(), group.processes[1].care.priority), (7, 2, 7));
    assert_eq!(group.listens.map(|listens| listens.buffer_size), Some(3));
}

#[test]
fn everything_of_a_program_is_read_and_expanded() {
    let mut project = Project::new();
    project.variable("BASE", "/srv");
    let text = r#"
[program.web]
command = "%(ENV_BASE)s/run --port 80%(process_num)02d '%(ENV_NAME)s of %(group_name)s' %%"
process_name = "%(program_name)s_%(process_num)02d"
numprocs = 2
numprocs_start = 5
priority = -1
autostart = false
autorestart = true
startsecs = "2s"
startretries = 7
exitcodes = "0,2"
stopsignal = "QUIT"
stopwaitsecs = 1.5
stopasgroup = true
killasgroup = true
user = "root"
umask = "027"
directory = "sub/%(program_name)s"
environment = 'NAME="n %(process_num)d",LIST="a,b"'
redirect_stderr = true
stdout_logfile = "%(here)s/%(program_name)s-%(process_num)d.log"
stdout_logfile_maxbytes = "1MB"
stdout_logfile_backups = 2
stdout_logfile_maxage = "7d"
stdout_logfile_compress = true
stdout_logfile_format = "json"
stderr_logfile = "NONE"
backoff = "exponential"
backoff_first = "500ms"
backoff_max = "30s"
stable_after = "5m"
fatal_retry = "10m"
on_fatal = "exit"
[program.other]
command = "other"
stdout_logfile = "auto"
stderr_logfile = "errors.log"
environment = { B = "2", A = 1 }
[group.both]
programs = ["other", "web"]
priority = 3
[program.first]
command = "first"
priority = 1
"#;
    project.file("maitred.toml", text);
    let config = project.good(&Flags::default());
    let names: Vec<Vec<String>> = config
        .programs
        .iter()
        .map(|group| group.processes.iter().map(|process| process.full_name()).collect())
        .collect();
    assert_eq!(names, [vec!["first"], vec!["both:other", "both:web_05", "both:web_06"]]);
    let web = &config.programs[1].processes[2];
    assert_eq!(web.launch.command, ["/srv/run", "--port", "8006", "n 6 of both", "%"]);
    assert_eq!(web.launch.directory, Some(project.path("sub/web")));
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>();
    assert_eq!(web.launch.environment, own(&[("NAME", "n 6"), ("LIST", "a,b")]));
    assert_eq!((web.launch.umask, web.launch.redirect_stderr), (Some(0o27), true));
    assert_eq!(web.launch.user.as_ref().map(|user| user.uid), Some(0));
    assert_eq!(web.stdout.target, OutputTarget::File(project.path("web-6.log")));
    let max_age = Some(Duration::from_secs(7 * 24 * 60 * 60));
    let rotation = RotationConfig { max_bytes: 1 << 20, max_age, backups: 2, is_packed: true };
    assert_eq!((web.stdout.rotation, web.stdout.format), (rotation, OutputFormat::Json));
    assert_eq!(web.stderr.target, OutputTarget::Nothing);
    let (first, max, stable) = (Duration::from_millis(500), Duration::from_secs(30), Duration::from_secs(300));
    assert_eq!(web.care.backoff, BackoffConfig::Exponential { first, max, stable });
    assert_eq!((web.care.fatal_retry, web.care.on_fatal), (Some(Duration::from_secs(600)), OnFatal::Exit));
    assert_eq!((web.care.priority, web.care.autostart, web.care.autorestart), (-1, false, Autorestart::Always));
    assert_eq!((web.care.startretries, web.care.exitcodes.as_slice()), (7, &[0, 2][..]));
    assert_eq!((web.care.stopsignal, web.care.stopasgroup), (3, true));
    assert_eq!((web.care.startsecs, web.care.stopwaitsecs), (Duration::from_secs(2), Duration::from_millis(1500)));
    let other = &config.programs[1].processes[0];
    assert_eq!(other.launch.environment, own(&[("A", "1"), ("B", "2")]));
    assert_eq!(other.stdout.target, OutputTarget::Automatic(std::env::temp_dir()));
    assert_eq!(other.stderr.target, OutputTarget::File(project.path("errors.log")));
}

/// What is served beside programs: what is named, or a Django project that is there, unless nothing is to listen.
#[test]
fn programs_alone_listen_only_where_they_are_told_to() {
    let program = "[program.a]\ncommand = \"x\"\n";
    let mut project = Project::new();
    project.file("maitred.toml", program);
    assert!(listens(&project.good(&Flags::default())).is_empty());
    project.variable("PORT", "8123");
    assert!(listens(&project.good(&Flags::default())).is_empty(), "a variable that many programs read");
    let bound = Flags { bind: vec!["127.0.0.1:8001".to_owned()], ..Flags::default() };
    assert_eq!(listens(&project.good(&bound)), ["http://127.0.0.1:8001"]);
    project.file("maitred.toml", &format!("[server]\nlisten = \":8002\"\n{program}"));
    assert_eq!(listens(&project.good(&Flags::default())), ["http://0.0.0.0:8002"]);
    let with_files = Flags { statics: vec!["/=.".to_owned()], ..Flags::default() };
    let project = Project::new();
    project.file("maitred.toml", program);
    assert_eq!(listens(&project.good(&with_files)), ["http://127.0.0.1:8000"]);
    project.file("manage.py", "import os\nos.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"mysite.settings\")\n");
    assert!(project.good(&Flags::default()).app.is_some());
    project.file("maitred.toml", &format!("[server]\nlisten = []\n{program}"));
    let silent = project.good(&Flags::default());
    assert!(silent.app.is_none() && listens(&silent).is_empty());
}
