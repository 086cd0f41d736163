//! `supervisord.conf`: read natively as supervisor's own parser reads it, run, and imported.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maitred::config::{
    Autorestart, Config, EventSet, Flags, GroupConfig, OutputConfig, OutputTarget, ProcessConfig, SocketChoice,
    Surroundings, event_names, load,
};
use serde_json::{Value, json};
use support::{Builder, Server, python};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/supervisord")
}

fn around() -> Surroundings {
    Surroundings { directory: folder(), ..Surroundings::of_process().expect("there is a working directory") }
}

fn read(file: &Path) -> Result<Config, String> {
    let flags = Flags { supervisord_conf: Some(file.to_owned()), ..Flags::default() };
    load(&flags, &around()).map_err(|errors| errors.to_string())
}

/// What supervisor makes of a file: a list of processes, or null where it refuses the file.
const ORIGINAL: &str = r#"
import json, shlex, sys
from supervisor.events import EventTypes
from supervisor.datatypes import Automatic, RestartUnconditionally, RestartWhenExitUnexpected
from supervisor.options import ServerOptions
def read(path):
    options = ServerOptions()
    options.usage = lambda message: (_ for _ in ()).throw(ValueError(message))
    try:
        options.realize(["-n", "-c", path], doc="")
    except ValueError:
        return None
    found = []
    for group in options.process_group_configs:
        if type(group).__name__ not in ["ProcessGroupConfig", "EventListenerPoolConfig"]:
            continue
        wanted = tuple(getattr(group, "pool_events", []))
        heard = [name for name in dir(EventTypes) if name.isupper() and issubclass(getattr(EventTypes, name), wanted)]
        for p in group.process_configs:
            stream = lambda name: {
                "file": {Automatic: "AUTO", None: "NONE"}.get(getattr(p, name + "_logfile"), getattr(p, name + "_logfile")),
                "maxbytes": getattr(p, name + "_logfile_maxbytes"), "backups": getattr(p, name + "_logfile_backups"),
                "capture": getattr(p, name + "_capture_maxbytes"), "events": getattr(p, name + "_events_enabled"),
                "syslog": getattr(p, name + "_syslog")}
            reserved = {"capture": 0, "events": False} if wanted else {}
            found.append({
                "heard": heard, "buffer_size": getattr(group, "buffer_size", None), "group": group.name, "group_priority": group.priority, "name": p.name, "command": shlex.split(p.command),
                "environment": p.environment, "directory": p.directory, "priority": p.priority, "autostart": p.autostart,
                "autorestart": {RestartUnconditionally: "always", RestartWhenExitUnexpected: "unexpected"}.get(p.autorestart, "never"),
                "startsecs": p.startsecs, "startretries": p.startretries, "exitcodes": p.exitcodes, "stopsignal": int(p.stopsignal),
                "stopwaitsecs": p.stopwaitsecs, "stopasgroup": p.stopasgroup, "redirect": p.redirect_stderr, "uid": p.uid,
                "umask": p.umask, "serverurl": p.serverurl, "stdout": {**stream("stdout"), **reserved}, "stderr": None if p.redirect_stderr else stream("stderr")})
    return found
print(json.dumps([read(path) for path in sys.argv[1:]]))
"#;

/// The files through supervisor's parser; `None` where supervisor is not installed.
fn original(files: &[PathBuf]) -> Option<Vec<Value>> {
    let output = Command::new(python::interpreter()).arg("-c").arg(ORIGINAL).args(files).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    if error.contains("No module named 'supervisor'") {
        eprintln!("not shown: supervisor is not installed (tests/requirements.txt)");
        return None;
    }
    assert!(output.status.success(), "{error}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn stream(output: &OutputConfig) -> Value {
    let file = match &output.target {
        OutputTarget::Automatic(_) => "AUTO".into(),
        OutputTarget::Nothing => "NONE".into(),
        OutputTarget::File(path) => path.display().to_string(),
        OutputTarget::Log => "LOG".into(),
    };
    json!({"file": file, "maxbytes": output.rotation.max_bytes, "backups": output.rotation.backups, "capture": output.capture_max_bytes,
           "events": output.has_events, "syslog": output.syslog.is_some()})
}

/// What a group hears, as supervisor's subclasses of each event's class.
fn heard(group: &GroupConfig) -> Value {
    let Some(listens) = group.listens else { return json!([]) };
    let names =
        event_names().filter(|name| EventSet::named(name).is_some_and(|set| set.or(listens.events) == listens.events));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    json!(names)
}

fn process(group: &GroupConfig, process: &ProcessConfig) -> Value {
    let (launch, care) = (&process.launch, &process.care);
    let environment: BTreeMap<_, _> = launch.environment.iter().cloned().collect();
    json!({
        "heard": heard(group), "buffer_size": group.listens.map(|listens| listens.buffer_size),
        "group": process.group, "group_priority": group.priority, "name": process.name, "command": launch.command,
        "environment": environment, "directory": launch.directory, "priority": care.priority, "autostart": care.autostart,
        "autorestart": match care.autorestart {
            Autorestart::Never => "never", Autorestart::Unexpected => "unexpected", Autorestart::Always => "always",
        },
        "startsecs": care.startsecs.as_secs(), "startretries": care.startretries, "exitcodes": care.exitcodes,
        "stopsignal": care.stopsignal, "stopwaitsecs": care.stopwaitsecs.as_secs(), "stopasgroup": care.stopasgroup,
        "redirect": launch.redirect_stderr, "uid": launch.user.as_ref().map(|user| user.uid),
        "umask": launch.umask, "serverurl": launch.server_url, "stdout": stream(&process.stdout),
        "stderr": if launch.redirect_stderr { Value::Null } else { stream(&process.stderr) },
    })
}

fn ours(config: &Config) -> Vec<Value> {
    let groups = config.programs.iter();
    groups.flat_map(|group| group.processes.iter().map(|own| process(group, own))).collect()
}

fn sorted(mut processes: Vec<Value>) -> Vec<Value> {
    processes.sort_by_key(|process| (process["group"].to_string(), process["name"].to_string()));
    processes
}

#[test]
fn files_mean_what_they_mean_to_supervisor() {
    let files = ["site.conf", "defaults.conf"].map(|name| folder().join(name));
    let Some(theirs) = original(&files) else { return };
    for (file, theirs) in files.iter().zip(theirs) {
        let mut theirs = theirs.as_array().unwrap_or_else(|| panic!("supervisor takes {}", file.display())).clone();
        let config = read(file).expect("it is taken");
        if file.ends_with("defaults.conf") {
            // The umask of supervisord itself, which its children inherit, is told to each process here.
            theirs.iter_mut().for_each(|process| process["umask"] = json!(0o077));
        }
        let (ours, theirs) = (sorted(ours(&config)), sorted(theirs));
        assert!(!theirs.is_empty());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{}", file.display());
        }
        assert_eq!(ours.len(), theirs.len(), "{}", file.display());
    }
}

#[test]
fn what_supervisor_refuses_is_refused_by_name_and_line() {
    let files = tempfile::tempdir().expect("a folder");
    let cases = [
        ("nonsense\n[supervisord]\n", ":1: stands before any [section]"),
        ("[supervisord]\nx y\n", ":2: is neither a [section]"),
        ("[supervisord]\n[program:a]\nstartsecs = 1\n", ":2: program.a: must have a \"command\""),
        (
            "[supervisord]\n[program:a]\ncommand = cat\nstartsecs = soon\n",
            ":4: [program:a] startsecs: must be a whole number",
        ),
        (
            "[supervisord]\n[program:a]\ncommand = cat\nautostart = maybe\n",
            ":4: [program:a] autostart: must be yes, true",
        ),
        ("[supervisord]\n[program:a]\ncommand = cat %(nope)s\n", ":3: program.a.command: %(nope)s is unknown"),
        (
            "[supervisord]\n[program:a]\ncommand = cat\npriority = %(ENV_NOPE_)s\n",
            ":4: [program:a] priority: %(ENV_NOPE_)s",
        ),
        ("[supervisord]\n[program:a]\ncommand = cat\nnumprocs = 2\n", "must contain %(process_num)"),
        ("[supervisord]\n[program:a b]\ncommand = cat\n", "is no name"),
        ("[supervisord]\n[program:a]\ncommand = cat\nstopsignal = NOPE\n", ":4: program.a.stopsignal: must be"),
        ("[supervisord]\n[program:a]\ncommand = cat\nuser = no-such-user\n", ":4: program.a.user: there is no user"),
        (
            "[supervisord]\n[program:a]\ncommand = cat\nenvironment = A\n",
            ":4: [program:a] environment: is not of the form",
        ),
        ("[supervisord]\n[program:a]\ncommand = cat\nexitcodes = 256\n", ":4: program.a.exitcodes: must be"),
        ("[supervisord]\n[program:a]\ncommand = cat\nstdout_logfile = /no/such/x\n", "/no/such is not a directory"),
        ("[supervisord]\n[group:g]\nprograms = a\n", ":3: group.g.programs: there is no [program.a]"),
        (
            "[supervisord]\n[eventlistener:l]\ncommand = cat\nevents = TICK_6\n",
            ":4: eventlistener.l.events: there is no event \"TICK_6\"",
        ),
        ("[supervisord]\n[eventlistener:l]\ncommand = cat\n", ":2: eventlistener.l: must have \"events\""),
        (
            "[supervisord]\n[eventlistener:l]\ncommand = cat\nevents = EVENT\nredirect_stderr = true\n",
            ":5: eventlistener.l.redirect_stderr: can not be set",
        ),
        (
            "[supervisord]\n[eventlistener:l]\ncommand = cat\nevents = EVENT\nbuffer_size = 0\n",
            ":5: eventlistener.l.buffer_size: must be a number from 1",
        ),
        ("[supervisord]\n[unix_http_server]\nchmod = 0700\n", ":2: [unix_http_server]: has no \"file\""),
        (
            "[supervisord]\n[unix_http_server]\nfile = /tmp/x.sock\nchmod = 9\n",
            ":4: control.mode: must be a string of octal digits",
        ),
        ("[supervisord]\n[inet_http_server]\nusername = a\npassword = b\n", ":2: [inet_http_server]: has no \"port\""),
        (
            "[supervisord]\n[inet_http_server]\nport = 127.0.0.1:9001\nusername = a\n",
            ":2: control: must have both a \"username\" and a \"password\"",
        ),
        ("[supervisord]\n[include]\n", ":2: [include]: has no \"files\""),
    ];
    let paths: Vec<PathBuf> = (0..cases.len()).map(|number| files.path().join(format!("{number}.conf"))).collect();
    for ((text, part), path) in cases.iter().zip(&paths) {
        fs::write(path, text).expect("written");
        let message = read(path).expect_err(text);
        assert!(message.contains(part) && message.starts_with(&path.display().to_string()), "{text}: {message}");
    }
    for (theirs, (text, _)) in original(&paths).into_iter().flatten().zip(cases) {
        assert_eq!(theirs, Value::Null, "supervisor refuses it as well: {text}");
    }
}

fn import(file: &Path) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_maitred")).arg("import").arg(file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn an_imported_file_means_the_same() {
    for name in ["site.conf", "defaults.conf"] {
        let file = folder().join(name);
        let (toml, _) = import(&file);
        let elsewhere = tempfile::tempdir().expect("a folder");
        let written = elsewhere.path().join("maitred.toml");
        fs::write(&written, &toml).expect("written");
        let flags = Flags { config: Some(written), ..Flags::default() };
        let imported = load(&flags, &around()).unwrap_or_else(|errors| panic!("{errors}\n{toml}"));
        let native = read(&file).expect("it is taken");
        assert_eq!(imported.programs, native.programs, "{toml}");
        assert_eq!(imported.server.pidfile, native.server.pidfile);
        assert_eq!(imported.control, native.control, "{toml}");
        assert!(imported.left.is_empty() && !toml.contains("%(here)s"));
    }
}

#[test]
fn check_accepts_what_import_prints() {
    let files = tempfile::tempdir().expect("a folder");
    let conf = files.path().join("s.conf");
    fs::write(&conf, "[supervisord]\n[program:a]\ncommand = sh -c \"echo 'a\\\\b'\"\n").expect("written");
    fs::write(files.path().join("maitred.toml"), import(&conf).0).expect("written");
    let output =
        Command::new(env!("CARGO_BIN_EXE_maitred")).arg("check").current_dir(files.path()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("processes of programs: 1"), "{text}");
}

#[test]
fn programs_whose_work_is_maitred_s_own_are_named() {
    let files = tempfile::tempdir().expect("a folder");
    let conf = files.path().join("s.conf");
    let text = "[supervisord]\n[program:web]\ncommand = /srv/.venv/bin/gunicorn -w 4 mysite.wsgi\n\
                [program:other]\ncommand = python3 -u /usr/bin/uwsgi --ini site.ini\n\
                [program:front]\ncommand = nginx -g 'daemon off;'\n\
                [program:celery]\ncommand = celery -A mysite worker\n[program:cat]\ncommand = cat gunicorn\n";
    fs::write(&conf, text).expect("written");
    let (toml, told) = import(&conf);
    let named = |name: &str| told.contains(&format!("to be looked at: program {name} serves "));
    assert!(named("web") && named("other") && named("front"), "{told}");
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(toml.contains("[program.web]"), "it is carried over all the same: {toml}");
}

#[test]
fn every_line_that_is_not_carried_over_is_listed_with_its_reason() {
    let file = folder().join("site.conf");
    let (_, list) = import(&file);
    let text = fs::read_to_string(&file).expect("it is there");
    let line = |start: &str| text.lines().position(|line| line.starts_with(start)).expect("it is in the file") + 1;
    for (start, part) in [
        ("logfile=", "[supervisord] logfile: maitred's own log"),
        ("logfile_maxbytes=", "[supervisord] logfile_maxbytes: "),
        ("minfds=", "[supervisord] minfds: "),
        ("colour=", "[program:merged] colour: supervisord does not know it either"),
        ("stderr_logfile=/tmp/never.log", "[program:merged] stderr_logfile: with redirect_stderr"),
        ("stdout_capture_maxbytes=2MB", "[eventlistener:mail] stdout_capture_maxbytes: it has no effect"),
        ("[fcgi-program:php]", "[fcgi-program:php]: maitred does not hand"),
        ("socket=", "[fcgi-program:php] socket: "),
        ("files = ", "[include] files: no file matches"),
    ] {
        let expected = format!("not carried over: {}:{}: {part}", file.display(), line(start));
        assert!(list.lines().any(|line| line.starts_with(&expected)), "{expected}\n{list}");
    }
    assert!(!list.contains("result_handler") && !list.contains("memmon"), "{list}");
    assert!(!list.contains("supervisorctl") && !list.contains("rpcinterface") && !list.contains("nodaemon"), "{list}");
    let config = read(&file).expect("it is taken");
    assert_eq!(config.left.len(), list.lines().count(), "the server says the same at its start");
}

#[test]
fn control_sockets_are_those_of_the_file_and_what_is_not_opened_is_listed() {
    let files = tempfile::tempdir().expect("a folder");
    let conf = files.path().join("s.conf");
    let text = "[supervisord]\n[unix_http_server]\nfile=%(here)s/s.sock\nchmod=0770\nchown=root:root\nusername=u\n\
                [inet_http_server:a]\nport=127.0.0.1:9001\nusername=u\npassword={SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d\n\
                [inet_http_server:b]\nport=*:9002\nusername=u\npassword={SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d\n\
                [inet_http_server:c]\nport=9003\nusername=other\npassword=x\n\
                [inet_http_server:d]\nport=9004\n\
                [supervisorctl]\nserverurl=http://localhost:9002\nprompt=mysite\n[program:a]\ncommand=cat\n";
    fs::write(&conf, text).expect("written");
    let config = read(&conf).expect("it is taken");
    let control = &config.control;
    assert_eq!(control.socket, SocketChoice::Path(files.path().join("s.sock")));
    assert_eq!((control.mode, control.owner.map(|owner| (owner.uid, owner.gid))), (0o770, Some((Some(0), Some(0)))));
    let listens: Vec<_> = control.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listens, ["http://127.0.0.1:9001", "http://0.0.0.0:9002"]);
    assert!(
        control.credentials.as_ref().is_some_and(|known| known.username == "u" && known.password.starts_with("{SHA}"))
    );
    let left = config.left.join("\n");
    for part in [
        ":6: [unix_http_server] username: whoever may open the socket",
        ":15: [inet_http_server:c]: there is one name and password",
        ":16: [inet_http_server:c] port: ",
        ":19: [inet_http_server:d]: without a username and a password nothing is opened",
        ":23: [supervisorctl] prompt: maitred ctl has no prompt",
    ] {
        assert!(left.contains(part), "{part}\n{left}");
    }
    assert!(!left.contains("serverurl"), "{left}");
    let (toml, _) = import(&conf);
    assert!(
        toml.contains("[control]\nsocket = ") && toml.contains("listen = [\"127.0.0.1:9001\", \"*:9002\"]"),
        "{toml}"
    );
    // The config file's own words win, and another server's URL is none of this one's.
    fs::write(files.path().join("own.toml"), "[control]\nsocket = \"own.sock\"\n").expect("written");
    fs::write(&conf, text.replace("localhost:9002", "elsewhere:9009")).expect("written");
    let flags = Flags { supervisord_conf: Some(conf), config: Some(files.path().join("own.toml")), ..Flags::default() };
    let config = load(&flags, &around()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.control.socket, SocketChoice::Path(files.path().join("own.sock")));
    assert!(config.left.iter().any(|line| line.contains("[supervisorctl] serverurl: maitred ctl asks the server of")));
}

/// A server of `conf`, in whose folder it stands as `s.conf`.
fn served(conf: &str) -> Server {
    let builder = Builder::bare().silent();
    fs::write(builder.folder().join("s.conf"), conf).expect("written");
    let server = builder.argument("--supervisord-conf").argument("s.conf").run();
    server.wait_for_line("program is up program=a");
    server
}

/// What a command in a server's folder prints.
fn printed(server: &Server, program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(server.folder()).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn clients_find_the_server_by_the_same_file_as_under_supervisord() {
    let maitred = Path::new(env!("CARGO_BIN_EXE_maitred"));
    let conf = "[supervisord]\n[unix_http_server]\nfile=%(here)s/s.sock\n[supervisorctl]\nserverurl=unix://%(here)s/s.sock\n\
                [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
                [program:a]\ncommand=sh -c 'echo $SUPERVISOR_SERVER_URL; exec sleep 1000'\nstdout_logfile=%(here)s/a.log\nstartsecs=0\n";
    let server = served(conf);
    let theirs = printed(&server, &support::supervisor::program("supervisorctl"), &["-c", "s.conf", "status"]);
    let ours = printed(&server, maitred, &["ctl", "--supervisord-conf", "s.conf", "status", "a"]);
    for text in [theirs, ours] {
        assert!(text.starts_with("a ") && text.contains(" RUNNING   pid "), "{text}");
    }
    let url = format!("unix://{}/s.sock\n", server.folder().display());
    support::wait_until("the program's word", support::DEADLINE, || {
        fs::read_to_string(server.folder().join("a.log")).is_ok_and(|text| text == url)
    });
    // Over TCP, with what its section says.
    let server = served(&format!("{conf}[inet_http_server]\nport=127.0.0.1:0\nusername=u\npassword=p\n"));
    let line = server.wait_for_line("control: listening on http://");
    let url = line.rsplit(' ').next().expect("the line ends with it");
    let client = conf.replace("unix://%(here)s/s.sock\n", &format!("{url}\nusername=u\npassword=p\n"));
    fs::write(server.folder().join("client.conf"), client).expect("written");
    let pid = printed(&server, maitred, &["ctl", "--supervisord-conf", "client.conf", "pid"]);
    assert_eq!(pid.trim(), server.main().to_string());
}

#[test]
fn the_programs_of_a_supervisord_conf_run_beside_those_of_the_config_file() {
    let builder = Builder::bare().silent().program("own", "command = \"sleep 1000\"");
    let script = "sh -c 'echo $SUPERVISOR_GROUP_NAME $SUPERVISOR_PROCESS_NAME $STAGE $OWN $SUPERVISOR_SERVER_URL; exec sleep 1000'";
    let conf = format!(
        "[supervisord]\nenvironment=STAGE=live\nloglevel=debug\n[include]\nfiles=conf.d/*.ini\n[program:a]\ncommand={script}\n\
         environment=OWN=\"%(ENV_STAGE)s; %(here)s\"\nserverurl=unix:///x.sock\nstdout_logfile=%(here)s/a.log\n"
    );
    let folder = builder.folder().to_owned();
    fs::create_dir(folder.join("conf.d")).expect("created");
    fs::write(folder.join("s.conf"), conf).expect("written");
    fs::write(folder.join("conf.d/b.ini"), "[program:b]\ncommand=sleep 1000\n").expect("written");
    let mut server = builder.argument("--supervisord-conf").argument("s.conf").run();
    for program in ["own", "a", "b"] {
        server.wait_for_line(&format!("program is up program={program}"));
    }
    server.wait_for_line("not done: s.conf:3: [supervisord] loglevel: set --log-level");
    let expected = format!("a a live live; {} unix:///x.sock\n", folder.display());
    assert_eq!(fs::read_to_string(folder.join("a.log")).expect("there"), expected);
    // A reload reads it anew.
    fs::write(folder.join("conf.d/c.ini"), "[program:c]\ncommand=sleep 1000\n").expect("written");
    server.signal(rustix::process::Signal::HUP);
    server.wait_for_line("program is up program=c");
    assert_eq!(server.stop().code(), Some(0));
}
