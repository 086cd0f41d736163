//! `maitred ctl` from the outside: what it says, its exit codes, and what it does to the site.

mod support;

use std::process::Stdio;

use support::log::Log;
use support::supervisor::{ctl, maitredctl, supervisorctl};
use support::{Builder, DEADLINE, Server, wait_until};

fn url(server: &Server) -> String {
    format!("unix://{}", server.folder().join("maitred.sock").display())
}

fn site() -> Builder {
    Builder::app("kitchen:application")
        .workers(2)
        .program("one", "command = \"sleep 1000\"\nstartsecs = 0")
        .program("two", "command = \"sleep 1000\"\nstartsecs = 0\nautostart = false")
}

/// The JSON that a command prints.
#[track_caller]
fn json(url: &str, arguments: &[&str]) -> serde_json::Value {
    let told = maitredctl(url, arguments);
    serde_json::from_str(&told.text).unwrap_or_else(|error| panic!("{error} in {}", told.text))
}

#[test]
fn verbs_and_exit_codes_are_those_of_supervisorctl() {
    let server = site().start();
    let own = url(&server);
    server.wait_workers(2);
    wait_until("both workers serve", DEADLINE, || supervisorctl(&own, &["status", "web:*"]).code == Some(0));
    for command in [
        &["status", "one", "two", "web:*"][..],
        &["start", "two"],
        &["start", "two"],
        &["stop", "two"],
        &["stop", "two"],
        &["signal", "CONT", "one"],
        &["signal", "NONSENSE", "one"],
        &["signal", "CONT", "two"],
        &["pid"],
        &["pid", "one", "two"],
        &["avail"],
        &["reread"],
        &["remove", "one"],
        &["add", "one", "nobody"],
        &["clear", "one"],
        &["tail", "nobody"],
        &["start", "nobody:*"],
    ] {
        let theirs = supervisorctl(&own, command);
        let ours = maitredctl(&own, command);
        let plain = |text: &str| {
            // A second may pass between the two.
            let lines =
                text.lines().map(|line| line.split(", uptime").next().unwrap_or_default().trim_end().to_owned());
            lines.collect::<Vec<_>>()
        };
        // Twice the same thing: the second finds it done.
        if !["start", "stop"].contains(&command[0]) || command.contains(&"nobody:*") {
            assert_eq!((ours.code, plain(&ours.text)), (theirs.code, plain(&theirs.text)), "{command:?}");
        }
    }
    assert_eq!(maitredctl(&own, &["start", "two"]).text, "two: started\n");
    assert_eq!(maitredctl(&own, &["restart", "two"]).text, "two: stopped\ntwo: started\n");
    assert_eq!(maitredctl(&own, &["start", "nobody"]).code, Some(1));
    assert_eq!(maitredctl(&own, &["nonsense"]).code, Some(2));
    assert_eq!(maitredctl("unix:///nowhere.sock", &["status"]).code, Some(4));
    assert_eq!(maitredctl("unix:///nowhere.sock", &["stop", "one"]).code, Some(7));
    assert_eq!(maitredctl("nonsense", &["stop", "one"]).code, Some(2));
}

#[test]
fn status_says_how_the_site_stands() {
    let server = site().start();
    let own = url(&server);
    server.wait_workers(2);
    let told = maitredctl(&own, &["status"]).text;
    for part in [
        "maitred 0.1.0, pid ",
        "ready",
        "2 with 1 threads each, ",
        " loop",
        "generation 1",
        "0 queued, 0 shed",
        "one  ",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let value = json(&own, &["--json", "status"]);
    assert_eq!(value["site"]["generation"], 1);
    assert_eq!(value["site"]["loop"], "native");
    let names: Vec<_> = value["processes"].as_array().expect("a list").iter().map(|info| &info["name"]).collect();
    assert_eq!(names, ["one", "two", "worker_00", "worker_01"]);
}

#[test]
fn workers_are_processes_of_a_group() {
    let server = site().start();
    let own = url(&server);
    server.wait_workers(2);
    wait_until("both workers serve", DEADLINE, || supervisorctl(&own, &["status", "web:*"]).code == Some(0));
    let before = supervisorctl(&own, &["pid", "web:worker_01"]).text;
    let told = supervisorctl(&own, &["stop", "web:worker_01"]);
    assert_eq!((told.text.as_str(), told.code), ("web:worker_01: stopped\n", Some(0)));
    let told = supervisorctl(&own, &["status", "web:*"]);
    assert!(told.text.contains("web:worker_00                    RUNNING") && told.code == Some(3), "{told:?}");
    assert!(told.text.contains("web:worker_01                    STOPPED"), "{told:?}");
    assert_eq!(server.get("/hello").status, 200, "the other one serves");
    assert_eq!(supervisorctl(&own, &["stop", "web:worker_01"]).text, "web:worker_01: ERROR (not running)\n");
    assert_eq!(supervisorctl(&own, &["start", "web:worker_01"]).text, "web:worker_01: started\n");
    assert_ne!(supervisorctl(&own, &["pid", "web:worker_01"]).text, before);
    let mark = server.log.mark();
    assert_eq!(supervisorctl(&own, &["signal", "KILL", "web:worker_00"]).code, Some(0));
    server.wait_for_line_from(mark, "worker exited");
    wait_until("it is replaced", DEADLINE, || supervisorctl(&own, &["status", "web:*"]).code == Some(0));
    let told = supervisorctl(&own, &["restart", "web:*"]);
    assert_eq!(told.text.lines().filter(|line| line.ends_with(": started")).count(), 2, "{told:?}");
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn a_reload_is_over_when_the_command_is_and_says_why_it_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.py");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'one']\n");
    let server = Builder::app("shop:application").chdir(folder.path()).start();
    let own = url(&server);
    write("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'two']\n");
    let told = maitredctl(&own, &["reload"]);
    assert_eq!((told.text.as_str(), told.code), ("reloaded\n", Some(0)));
    assert_eq!(server.get("/").body, b"two");
    write("raise RuntimeError('no such table')\n");
    let told = maitredctl(&own, &["reload", "app"]);
    assert!(told.code == Some(1) && told.text.contains("RuntimeError: no such table"), "{told:?}");
    let status = maitredctl(&own, &["status"]).text;
    assert!(status.contains("s ago: RuntimeError: no such table"), "{status}");
    assert_eq!(json(&own, &["status", "--json"])["site"]["generation"], 2);
    assert_eq!(server.get("/").body, b"two", "the old generation goes on");
}

#[test]
fn maintenance_closes_the_site_and_opens_it() {
    let server = site().section("[server.maintenance]\npaths = \"/hello\"\nretry_after = 120").start();
    let own = url(&server);
    assert_eq!(maitredctl(&own, &["maintenance"]).text, "maintenance is off\n");
    assert_eq!(maitredctl(&own, &["maintenance", "on"]).code, Some(0));
    wait_until("it is closed", DEADLINE, || server.get("/other").status == 503);
    let closed = server.get("/other");
    assert_eq!(closed.field("Retry-After"), Some("120"));
    assert_eq!(server.get("/hello").status, 200, "what is let through");
    assert_eq!(maitredctl(&own, &["maintenance", "status"]).code, Some(3));
    assert_eq!(maitredctl(&own, &["maintenance", "off"]).code, Some(0));
    wait_until("it is open", DEADLINE, || server.get("/other").status != 503);
    let filed = site().section("[server.maintenance]\nfile = \"closed\"").start();
    assert_eq!(maitredctl(&url(&filed), &["maintenance", "on"]).code, Some(0));
    assert!(filed.folder().join("closed").exists(), "the file says so after the next start too");
    assert_eq!(maitredctl(&url(&filed), &["maintenance", "off"]).code, Some(0));
    assert!(!filed.folder().join("closed").exists());
}

#[test]
fn scaling_touches_only_the_difference() {
    let lines = "command = \"sleep 1000\"\nprocess_name = \"p%(process_num)d\"\nnumprocs = 2\nstartsecs = 0";
    let server = site().program("many", lines).start();
    let own = url(&server);
    server.wait_workers(2);
    let pids = |url: &str| supervisorctl(url, &["pid", "many:p0", "many:p1"]).text;
    let before = pids(&own);
    assert_eq!(maitredctl(&own, &["scale", "many", "4"]).text, "many: scaled to 4\n");
    wait_until("four run", DEADLINE, || {
        let told = supervisorctl(&own, &["status", "many:*"]);
        told.code == Some(0) && told.text.lines().count() == 4
    });
    assert_eq!(pids(&own), before);
    // It lasts through what reads the file anew.
    assert_eq!(maitredctl(&own, &["update"]).code, Some(0));
    assert_eq!(maitredctl(&own, &["reload"]).code, Some(0));
    let all = supervisorctl(&own, &["status", "many:*"]);
    assert_eq!((all.code, all.text.lines().count()), (Some(0), 4), "{}", all.text);
    assert_eq!(pids(&own), before);
    assert_eq!(maitredctl(&own, &["scale", "many", "1"]).code, Some(0));
    wait_until("one runs", DEADLINE, || supervisorctl(&own, &["status", "many:*"]).text.lines().count() == 1);
    assert_eq!(maitredctl(&own, &["scale", "one", "2"]).code, Some(1), "its processes would have one name");
    assert_eq!(maitredctl(&own, &["scale", "nobody", "2"]).code, Some(1));
    assert_eq!(maitredctl(&own, &["scale", "web", "3"]).code, Some(0));
    wait_until("three workers", DEADLINE, || {
        let told = supervisorctl(&own, &["status", "web:*"]);
        told.code == Some(0) && told.text.lines().count() == 3
    });
}

#[test]
fn a_number_of_workers_counts_once_they_have_come_up_and_lasts() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let write = |text: &str| std::fs::write(folder.path().join("scaled.py"), text).expect("write");
    let good = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'here']\n";
    write(good);
    let server = Builder::app("scaled").chdir(folder.path()).workers(2).start();
    let own = url(&server);
    let workers = || (json(&own, &["status", "--json"])["site"]["workers"].as_u64(), server.workers().len());
    write("raise SystemError('broken on disk')\n");
    assert_eq!(maitredctl(&own, &["scale", "web", "5"]).code, Some(1));
    assert_eq!(workers(), (Some(2), 2));
    write(good);
    assert_eq!(maitredctl(&own, &["scale", "web", "3"]).code, Some(0));
    wait_until("three workers", DEADLINE, || workers() == (Some(3), 3));
    assert_eq!(maitredctl(&own, &["reload", "app"]).code, Some(0));
    wait_until("still three workers", DEADLINE, || workers() == (Some(3), 3));
    assert_eq!(maitredctl(&own, &["scale", "web", "2000"]).code, Some(1), "more than there may be");
    assert_eq!(maitredctl(&own, &["scale", "web", "0"]).code, Some(1), "none at all");
    assert_eq!(workers(), (Some(3), 3));
}

#[test]
fn a_command_for_another_project_is_refused_unless_its_server_is_named() {
    let server = Builder::app("kitchen").start();
    let (other, empty) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    std::fs::write(other.path().join("manage.py"), "").expect("write");
    let run = |directory: &std::path::Path, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_maitred"));
        command.arg("ctl").args(arguments).current_dir(directory).env("XDG_RUNTIME_DIR", server.folder());
        command.env_remove("RUNTIME_DIRECTORY").env_remove("MAITRED_CONTROL_URL");
        let output = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, told, refused) = run(other.path(), &["scale", "web", "2"]);
    assert_eq!((code, told.as_str()), (Some(1), ""), "{refused}");
    let here = other.path().display().to_string();
    for part in [server.folder().to_str().expect("UTF-8"), &here, "--server unix://", "socket = "] {
        assert!(refused.contains(part), "no {part} in {refused}");
    }
    assert_eq!(server.workers().len(), 1);
    // Whoever asks is told, with a word on whose server that is.
    let (code, told, warning) = run(other.path(), &["status"]);
    assert_eq!(code, Some(0), "{warning}");
    assert!(warning.contains(&here), "{warning}");
    let listen = format!("on http://{}", server.address);
    assert!(told.contains(server.folder().to_str().expect("UTF-8")) && told.contains(&listen), "{told}");
    // The server's own project, a folder without one, and the server's address: nothing is mistaken.
    let own = url(&server);
    let file = server.folder().join("maitred.toml");
    for (directory, arguments) in [
        (server.folder(), &["scale", "web", "2"][..]),
        (empty.path(), &["scale", "web", "2"]),
        (other.path(), &["-s", &own, "scale", "web", "2"]),
        (other.path(), &["-c", file.to_str().expect("UTF-8"), "scale", "web", "2"]),
    ] {
        let (code, _, error) = run(directory, arguments);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{directory:?} {arguments:?}");
    }
}

#[test]
fn lines_of_several_programs_stand_behind_their_names() {
    let script =
        |word: &str| format!("command = \"sh -c 'while true; do echo {word}; sleep 0.1; done'\"\nstartsecs = 0");
    let server = Builder::bare().silent().program("a", &script("tick")).program("longer", &script("tock")).run();
    let own = url(&server);
    let mut child = ctl(&own, &["logs", "-f", "a", "longer"]).stdout(Stdio::piped()).spawn().expect("runs");
    let seen = Log::new(child.stdout.take().expect("it is piped"));
    for line in ["a      | tick", "longer | tock"] {
        assert!(seen.wait_from(0, line, DEADLINE).is_some(), "{}", seen.text());
    }
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    assert!(
        seen.lines_from(0).iter().all(|line| line == "a      | tick" || line == "longer | tock"),
        "{}",
        seen.text()
    );
    let told = maitredctl(&own, &["logs", "--json", "a"]);
    assert!(told.text.starts_with("{\"line\":\"tick\",\"name\":\"a\",\"stream\":\"stdout\"}\n"), "{}", told.text);
}

#[test]
fn whoever_asks_for_the_workers_log_is_told_where_it_is() {
    let server = site().start();
    let own = url(&server);
    for names in [&["web"][..], &["-f", "web"], &["web:worker_00", "one"]] {
        let told = maitredctl(&own, &[&["logs"], names].concat());
        assert_eq!(told.code, Some(1), "{names:?}: {}", told.text);
        assert!(told.text.contains("maitred ctl maintail"), "{names:?}: {}", told.text);
    }
    // Of all processes, those are shown that have a log.
    let told = maitredctl(&own, &["logs"]);
    assert_eq!((told.code, told.text.as_str()), (Some(0), ""));
}

#[test]
fn shells_are_told_what_there_is() {
    for shell in ["bash", "zsh", "fish"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_maitred")).args(["completions", shell]).output();
        let script = String::from_utf8(output.expect("it runs").stdout).expect("text");
        assert!(script.contains("maintenance") && script.contains("scale"), "{shell}");
    }
}
