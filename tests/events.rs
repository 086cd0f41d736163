//! Events and their listeners: written by Supervisor's own library, compared with what they hear under the real supervisord.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::supervisor::{Supervisord, maitredctl, program};
use support::{Builder, DEADLINE, Server, process, python, value_of, wait_until};

fn script(name: &str) -> PathBuf {
    support::repository().join("tests/events").join(name)
}

/// A command that runs a script of `tests/events`.
fn command(name: &str, arguments: &str) -> String {
    program("supervisord");
    format!("{} {} {arguments}", python::interpreter().display(), script(name).display())
}

fn url(server: &Server) -> String {
    format!("unix://{}", server.folder().join("maitred.sock").display())
}

/// A listener that records what it hears in `record` in the server's folder.
fn recorder(name: &str, events: &str, more: &str) -> String {
    let command = command("record.py", "%(here)s/record");
    format!("[eventlistener.{name}]\ncommand = \"{command}\"\nevents = {events}\nstartsecs = 0\n{more}")
}

/// What was recorded: headers and payload of each event.
fn recorded(file: &Path) -> Vec<(Value, String)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let event = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("the listener writes JSON");
        (value[0].clone(), value[1].as_str().expect("a payload").to_owned())
    };
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(event).collect()
}

/// The names and payloads of what was recorded.
fn told(file: &Path) -> Vec<String> {
    let word =
        |(headers, payload): (Value, String)| format!("{} {payload}", headers["eventname"].as_str().unwrap_or("?"));
    recorded(file).into_iter().map(word).collect()
}

#[track_caller]
fn wait_told(server: &Server, part: &str) {
    let file = server.folder().join("record");
    wait_until(&format!("an event with {part:?}"), DEADLINE, || told(&file).iter().any(|event| event.contains(part)));
}

/// Without process ids, up to the end.
fn plain(file: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for (headers, payload) in recorded(file) {
        let words = payload.split(' ').map(|word| match word.split_once('\n') {
            _ if !word.starts_with("pid:") => word.to_owned(),
            Some((_, rest)) => format!("pid:*\n{rest}"),
            None => "pid:*".to_owned(),
        });
        let payload = words.collect::<Vec<_>>().join(" ");
        // The length of a process id is part of it.
        let name = headers["eventname"].as_str().expect("a name").to_owned();
        let headers: Vec<String> =
            ["ver", "server", "serial", "pool", "poolserial"].map(|key| format!("{key}:{}", headers[key])).into();
        lines.push(format!("{name} {} {payload}", headers.join(" ")));
        if name == "SUPERVISOR_STATE_CHANGE_STOPPING" {
            break;
        }
    }
    lines
}

#[test]
fn listeners_hear_what_they_hear_under_supervisord() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = "sh -c 'while read -r line; do printf %%b \"$line\"; done'";
    let shout = "sh -c 'while read -r line; do printf %%b \"$line\" >&2; done'";
    // Nothing ends at once: whether supervisord has seen that before it answers to a start is a race.
    let sections = |folder: &Path| {
        let record = command("record.py", &folder.join("record").display().to_string());
        format!(
            "[eventlistener:record]\ncommand={record}\nenvironment=PYTHONUTF8=1\nstartsecs=0\nbuffer_size=100\n\
             events=PROCESS_STATE,PROCESS_LOG,PROCESS_COMMUNICATION,REMOTE_COMMUNICATION,PROCESS_GROUP,SUPERVISOR_STATE_CHANGE\n\n\
             [group:all]\nprograms=steady,slow,good,bad,quick,patient,talk,shout,comm,linger\n\n\
             [program:steady]\ncommand=sleep 1000\nstartsecs=0\nautorestart=false\nautostart=false\n\n\
             [program:slow]\ncommand=sleep 1000\nautostart=false\n\n\
             [program:good]\ncommand=sleep 0.1\nstartsecs=0\nautorestart=false\nautostart=false\n\n\
             [program:bad]\ncommand=sh -c 'sleep 0.1; exit 5'\nstartsecs=0\nautorestart=false\nautostart=false\n\n\
             [program:quick]\ncommand=sh -c 'sleep 0.1; exit 3'\nautostart=false\nstartretries=1\n\n\
             [program:patient]\ncommand=sh -c 'sleep 0.1; exit 3'\nautostart=false\nstartretries=100\n\n\
             [program:talk]\ncommand={listen}\nstartsecs=0\nautostart=false\nstdout_events_enabled=true\n\n\
             [program:shout]\ncommand={shout}\nstartsecs=0\nautostart=false\nstderr_events_enabled=true\n\n\
             [program:comm]\ncommand={listen}\nstartsecs=0\nautostart=false\nstdout_events_enabled=true\nstdout_capture_maxbytes=1KB\n\n\
             [program:linger]\ncommand=sh -c 'trap \"sleep 0.3; exit\" TERM; while :; do sleep 0.1; done'\nstartsecs=0\nautostart=false\n\n\
             [program:extra]\ncommand=sleep 1000\nautostart=false\n"
        )
    };
    let exercise = |url: &str, record: &Path| {
        let record = record.display().to_string();
        let script = script("exercise.py").display().to_string();
        python::run(&python::interpreter(), Path::new("."), &[], &[&script, url, &record]);
    };
    let theirs = Supervisord::start(folder.path(), &sections(folder.path()));
    let builder = Builder::bare().silent();
    let conf = builder.folder().join("s.conf");
    fs::write(&conf, format!("[supervisord]\n{}", sections(builder.folder()))).expect("written");
    let mut ours = builder.argument("--supervisord-conf").argument("s.conf").run();
    std::thread::scope(|scope| {
        scope.spawn(|| exercise(&theirs.url, &folder.path().join("record")));
        exercise(&url(&ours), &ours.folder().join("record"));
    });
    assert_eq!(ours.wait_exit(DEADLINE).and_then(|status| status.code()), Some(0));
    let (own, their) = (plain(&ours.folder().join("record")), plain(&folder.path().join("record")));
    assert!(their.len() > 60, "the exercise makes events: {their:#?}");
    for (own, their) in own.iter().zip(&their) {
        assert_eq!(own, their);
    }
    assert_eq!(own.len(), their.len());
}

#[test]
fn web_workers_are_told_of_as_processes_of_a_group() {
    let server = Builder::app("kitchen:application")
        .section(&recorder("record", "[\"PROCESS_STATE\", \"PROCESS_GROUP_ADDED\"]", "buffer_size = 100"))
        .start();
    let file = server.folder().join("record");
    let worker = || -> Vec<String> {
        let events = told(&file).into_iter().filter(|event| event.contains("groupname:web"));
        events
            .map(|event| {
                event.replace("PROCESS_STATE_", "").replace("processname:worker_00 groupname:web from_state:", "after ")
            })
            .collect()
    };
    wait_told(&server, "PROCESS_STATE_RUNNING processname:worker_00 groupname:web");
    let first = worker();
    assert_eq!(first[..2], ["PROCESS_GROUP_ADDED groupname:web\n", "STARTING after STOPPED tries:0"]);
    let pid: u32 = value_pid(&first[2]);
    assert_eq!(first[2], format!("RUNNING after STARTING pid:{pid}"));
    assert!(process::is_alive(pid));
    process::signal(pid, Signal::KILL);
    wait_until("its successor", DEADLINE, || worker().len() >= 6);
    assert_eq!(
        worker()[3..5],
        [format!("EXITED after RUNNING expected:0 pid:{pid}"), "STARTING after EXITED tries:0".to_owned()]
    );
    let next = value_pid(&worker()[5]);
    assert_eq!(maitredctl(&url(&server), &["reload", "app"]).code, Some(0));
    wait_until("a new generation", DEADLINE, || worker().len() >= 10);
    let steps: Vec<String> = worker()[6..9].to_vec();
    assert_eq!(
        steps,
        [
            format!("STOPPING after RUNNING pid:{next}"),
            format!("STOPPED after STOPPING pid:{next}"),
            "STARTING after STOPPED tries:0".to_owned()
        ]
    );
    assert!(worker()[9].starts_with("RUNNING after STARTING pid:"));
}

/// The number behind the last `pid:`.
#[track_caller]
fn value_pid(event: &str) -> u32 {
    event.rsplit("pid:").next().and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{event}"))
}

#[test]
fn listeners_start_first_end_last_and_hear_of_the_end() {
    let mut server = Builder::bare()
        .silent()
        .program(
            "one",
            "command = \"sh -c 'trap \\\"sleep 0.3; exit\\\" TERM; while :; do sleep 0.1; done'\"\nstartsecs = 0",
        )
        .section(&recorder("record", "\"EVENT\"", "buffer_size = 100"))
        .run();
    wait_told(&server, "PROCESS_STATE_RUNNING processname:one");
    let file = server.folder().join("record");
    let events = told(&file);
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event.split_whitespace().next().unwrap_or(""))
        .filter(|kind| !kind.starts_with("TICK"))
        .collect();
    assert_eq!(
        kinds,
        [
            "PROCESS_GROUP_ADDED",
            "PROCESS_GROUP_ADDED",
            "SUPERVISOR_STATE_CHANGE_RUNNING",
            "PROCESS_STATE_STARTING",
            "PROCESS_STATE_RUNNING",
            "PROCESS_STATE_STARTING",
            "PROCESS_STATE_RUNNING",
        ]
    );
    assert_eq!(server.stop().code(), Some(0));
    let events = told(&file);
    let place = |part: &str| {
        events.iter().position(|event| event.contains(part)).unwrap_or_else(|| panic!("{part}: {events:?}"))
    };
    assert!(place("SUPERVISOR_STATE_CHANGE_STOPPING") < place("PROCESS_STATE_STOPPING processname:one"));
    let stopped = |name: &str| server.log.text().find(&format!("program stopped program={name}"));
    assert!(stopped("one").is_some() && stopped("one") < stopped("record"), "{}", server.log.text());
}

#[test]
fn groups_that_come_and_go_with_a_reload_are_told_of() {
    let listener = recorder("record", "\"PROCESS_GROUP\"", "");
    let server = Builder::bare().silent().section(&listener).program("old", "command = \"sleep 1000\"").run();
    wait_told(&server, "PROCESS_GROUP_ADDED groupname:old");
    let config = server.folder().join("maitred.toml");
    let text = fs::read_to_string(&config).expect("it is there").replace("[program.old]", "[program.new]");
    fs::write(&config, text).expect("written");
    server.signal(Signal::HUP);
    wait_told(&server, "PROCESS_GROUP_ADDED groupname:new");
    wait_told(&server, "PROCESS_GROUP_REMOVED groupname:old");
    // What the listener is to hear changes without a new process.
    let mark = server.log.mark();
    let text =
        fs::read_to_string(&config).expect("it is there").replace("\"PROCESS_GROUP\"", "\"REMOTE_COMMUNICATION\"");
    fs::write(&config, text).expect("written");
    server.signal(Signal::HUP);
    server.wait_for_line_from(mark, "reloaded");
    send(&server, "kind", "and data");
    wait_told(&server, "REMOTE_COMMUNICATION type:kind\nand data");
    assert!(!server.log.text()[mark_offset(&server, mark)..].contains("program=record"), "{}", server.log.text());
}

fn mark_offset(server: &Server, mark: usize) -> usize {
    let text = server.log.text();
    let skipped: usize = text.split_inclusive('\n').take(mark).map(str::len).sum();
    skipped
}

/// Sends a remote communication event with Supervisor's own client.
#[track_caller]
fn send(server: &Server, kind: &str, data: &str) {
    let code = "import sys; from supervisor import childutils; \
                rpc = childutils.getRPCInterface({'SUPERVISOR_SERVER_URL': sys.argv[1]}); \
                assert rpc.supervisor.sendRemoteCommEvent(sys.argv[2], sys.argv[3]) is True";
    python::run(&python::interpreter(), server.folder(), &[], &["-c", code, &url(server), kind, data]);
}

#[test]
fn who_does_not_keep_up_loses_the_oldest_and_the_log_says_so() {
    let command = "sh -c 'echo READY; sleep 1000'";
    let listener = format!(
        "[eventlistener.stuck]\ncommand = \"{command}\"\nevents = \"REMOTE_COMMUNICATION\"\nbuffer_size = 2\nstartsecs = 0"
    );
    let server = Builder::bare().silent().section(&listener).run();
    server.wait_for_line("program is up program=stuck");
    for number in 0..4 {
        send(&server, "n", &number.to_string());
    }
    // One is with the listener, two wait.
    server.wait_for_line("event buffer overflowed, discarding the oldest event pool=stuck event=1");
}

#[test]
fn who_breaks_the_protocol_hears_nothing_until_it_is_started_anew() {
    let server = Builder::bare()
        .silent()
        .section("[eventlistener.rude]\ncommand = \"sh -c 'echo hello there; exec cat >heard'\"\nevents = \"EVENT\"\nstartsecs = 0")
        .run();
    let line = server.wait_for_line("event listener has broken the protocol");
    let pid: u32 = value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names it");
    send(&server, "kind", "data");
    let mark = server.log.mark();
    process::signal(pid, Signal::KILL);
    server.wait_for_line_from(mark, "event listener has broken the protocol");
    assert_eq!(fs::metadata(server.folder().join("heard")).map(|meta| meta.len()).ok(), Some(0));
}

#[test]
fn an_event_of_a_listener_that_dies_with_it_comes_again() {
    let script = "if [ -e died ]; then exec REPLACED; fi; echo READY; read line; echo \"$line\" >died; kill -9 $$";
    let script = script.replace("REPLACED", &command("record.py", "record"));
    let listener = format!(
        "[eventlistener.mortal]\ncommand = {:?}\nevents = \"REMOTE_COMMUNICATION\"\nstartsecs = 0\nautorestart = true",
        format!("sh -c '{script}'")
    );
    let server = Builder::bare().silent().section(&listener).run();
    server.wait_for_line("program is up program=mortal");
    send(&server, "kind", "data");
    wait_told(&server, "type:kind\ndata");
    let died = fs::read_to_string(server.folder().join("died")).expect("the first one wrote it");
    let (headers, _) = recorded(&server.folder().join("record")).remove(0);
    assert!(died.contains(&format!("serial:{} ", headers["serial"].as_str().unwrap_or("?"))), "{died}");
}

#[test]
fn ticks_come_every_five_seconds() {
    let server = Builder::bare().silent().section(&recorder("record", "\"TICK_5\"", "")).run();
    let file = server.folder().join("record");
    wait_until("two ticks", Duration::from_secs(15), || told(&file).len() >= 2);
    let when: Vec<u64> =
        recorded(&file).iter().filter_map(|(_, payload)| payload.strip_prefix("when:")?.parse().ok()).collect();
    assert_eq!((when[0] % 5, when[1]), (0, when[0] + 5));
}

#[test]
fn superlance_mails_of_crashes_and_restarts_what_has_grown() {
    let mail = "sh -c 'cat >mail.tmp && mv mail.tmp mail'";
    let crashmail = format!("{} -a -m admin@example.com -s {mail:?}", program("crashmail").display());
    let memmon = format!("{} -p large=1KB", program("memmon").display());
    let server = Builder::bare()
        .silent()
        .section(&format!(
            "[eventlistener.crashmail]\ncommand = {crashmail:?}\nevents = \"PROCESS_STATE_EXITED\"\nstartsecs = 0"
        ))
        .section(&format!("[eventlistener.memmon]\ncommand = {memmon:?}\nevents = \"TICK_5\"\nstartsecs = 0"))
        .program("crash", "command = \"sh -c 'exit 7'\"\nstartsecs = 0\nautorestart = false")
        .program("large", "command = \"sleep 1000\"\nstartsecs = 0")
        .run();
    let file = server.folder().join("mail");
    wait_until("the mail", DEADLINE, || file.exists());
    let text = fs::read_to_string(&file).expect("it is there");
    assert!(
        text.contains("Process crash in group crash exited unexpectedly") && text.starts_with("To: admin@example.com"),
        "{text}"
    );
    let mark = server.log.mark();
    server.wait_for_line_from(mark, "program stopped program=large");
    server.wait_for_line_from(mark, "program is up program=large");
    let memmon = server.wait_for_line("stream=stderr").to_owned();
    assert!(!memmon.contains("Traceback"), "{}", server.log.text());
}

#[test]
fn a_flood_of_events_costs_no_memory() {
    let server = Builder::bare()
        .silent()
        .section("[eventlistener.stuck]\ncommand = \"sh -c 'echo READY; sleep 1000'\"\nevents = \"PROCESS_LOG\"\nbuffer_size = 100000\nstartsecs = 0")
        .program(
            "flood",
            "command = \"sh -c 'head -c 200000000 /dev/zero; echo done >&2'\"\nstdout_logfile = \"NONE\"\nstdout_events_enabled = true\nautorestart = false",
        )
        .run();
    let before = process::resident_kib(server.main());
    server.wait_for_line("done program=flood stream=stderr");
    let grown = process::resident_kib(server.main()).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    assert!(server.log.text().contains("discarding"));
}
