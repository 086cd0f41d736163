//! Server hooks: when each is called, in which process, with what, and what follows when one fails.

mod support;

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use support::{Builder, DEADLINE, Server, process, wait_until};

const NAMES: [&str; 14] = [
    "on_starting",
    "on_reload",
    "when_ready",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "worker_int",
    "worker_abort",
    "pre_request",
    "post_request",
    "child_exit",
    "worker_exit",
    "nworkers_changed",
    "on_exit",
];

/// What hooks have written: the words of each line.
struct Notes(PathBuf);

impl Notes {
    fn all(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }

    /// The notes of one hook.
    fn of(&self, name: &str) -> Vec<Vec<String>> {
        self.all().into_iter().filter(|words| words[0] == name).collect()
    }

    fn wait_for(&self, name: &str, count: usize) -> Vec<Vec<String>> {
        wait_until(&format!("{count} × {name}"), DEADLINE, || self.of(name).len() >= count);
        self.of(name)
    }

    /// Where the first note of each hook stands.
    fn order(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for words in self.all() {
            if !seen.contains(&words[0]) {
                seen.push(words[0].clone());
            }
        }
        seen
    }
}

/// A server with these hooks of `tests/apps/hooked.py`.
fn hooked(names: &[&str], builder: Builder) -> (Builder, Notes) {
    let notes = Notes(builder.folder().join("notes"));
    let file = notes.0.display().to_string();
    let lines: Vec<String> = names.iter().map(|name| format!("{name} = \"hooked:{name}\"")).collect();
    let builder = builder.environment("HOOKS_FILE", &file).section(&format!("[app.hooks]\n{}", lines.join("\n")));
    (builder, notes)
}

fn pid(words: &[String]) -> u32 {
    words[1].parse().expect("a process id")
}

/// The server's folder, with the notes, is there until it is dropped.
fn stop(server: &mut Server) {
    assert!(server.stop().success());
}

#[test]
fn hooks_of_the_server_run_in_the_zygote_and_those_of_workers_in_the_worker() {
    let (builder, notes) = hooked(&NAMES, Builder::app("hooked"));
    let mut server = builder.start();
    let (worker, zygote, main) = (server.wait_workers(1)[0].pid, server.zygote(), server.main());
    assert_eq!(server.get("/a?b=c").text(), "ok\n");
    notes.wait_for("post_request", 1);
    notes.wait_for("when_ready", 1);
    assert!(server.log.text().contains("a hook says hello to the log"));
    let before = ["nworkers_changed", "on_starting", "pre_fork", "post_fork", "post_worker_init"];
    assert_eq!(notes.order()[..5], before);
    for name in ["nworkers_changed", "on_starting", "when_ready", "pre_fork"] {
        assert_eq!(pid(&notes.of(name)[0]), zygote, "{name}");
    }
    for name in ["post_fork", "post_worker_init", "pre_request", "post_request"] {
        assert_eq!(pid(&notes.of(name)[0]), worker, "{name}");
    }
    assert_eq!(notes.of("nworkers_changed")[0][2..], ["1", "None"]);
    assert_eq!(notes.of("on_starting")[0][2..], ["1".to_owned(), main.to_string()]);
    assert_eq!(notes.of("post_fork")[0][2..], ["1".to_owned(), worker.to_string()]);
    assert_eq!(notes.of("post_worker_init")[0][2..], [worker.to_string(), "True".to_owned()]);
    assert_eq!(notes.of("pre_request")[0][2..], [worker.to_string().as_str(), "GET", "/a", "b=c", "True"]);
    assert_eq!(notes.of("post_request")[0][2..], ["1", "/a", "200"]);
    stop(&mut server);
    let of_the_end: Vec<String> = notes.order().into_iter().skip_while(|name| name != "worker_exit").collect();
    assert_eq!(of_the_end, ["worker_exit", "child_exit", "on_exit"]);
    assert_eq!(notes.of("child_exit")[0][2..], [worker.to_string()]);
    assert!(notes.of("on_reload").is_empty() && notes.of("worker_int").is_empty());
}

#[test]
fn a_reload_and_a_killed_worker_have_their_hooks() {
    let names = ["on_starting", "on_reload", "when_ready", "nworkers_changed", "child_exit", "on_exit", "pre_fork"];
    let (builder, notes) = hooked(&names, Builder::app("hooked"));
    let mut server = builder.start();
    let worker = server.wait_workers(1)[0].pid;
    process::signal(worker, Signal::KILL);
    assert_eq!(notes.wait_for("child_exit", 1)[0][2..], [worker.to_string()]);
    server.signal(Signal::HUP);
    notes.wait_for("on_reload", 1);
    server.wait_for_line("generation drained");
    stop(&mut server);
    assert_eq!(notes.of("on_starting").len(), 1);
    assert_eq!(notes.of("nworkers_changed").len(), 1, "their number is the same");
    assert_eq!(notes.of("when_ready").len(), 1);
    assert_eq!(notes.of("on_exit").len(), 1, "of the server, not of each generation");
}

#[test]
fn the_hook_for_the_number_of_workers_is_called_where_it_follows_the_load() {
    let keys = Builder::app("hooked").app_key("workers_max = 3").app_key("scale_idle = '1h'");
    let (builder, notes) = hooked(&["nworkers_changed"], keys);
    let server = builder.start();
    server.wait_workers(1);
    server.signal(Signal::TTIN);
    assert_eq!(notes.wait_for("nworkers_changed", 2)[1][2..], ["2", "1"]);
    server.wait_workers(2);
}

#[test]
fn a_request_that_a_hook_refuses_is_a_500_and_one_whose_end_fails_is_answered() {
    let (builder, notes) =
        hooked(&["pre_request", "post_request"], Builder::app("hooked").app_key("worker_loop = \"auto\""));
    let server = builder.start();
    assert!(server.log.text().contains("loop=python"), "{}", server.log.text());
    assert_eq!(server.get("/refused").status, 500);
    server.wait_for_line("ValueError: refused by a hook");
    assert_eq!(server.get("/late").text(), "ok\n");
    server.wait_for_line("the hook post_request failed");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(notes.wait_for("post_request", 3).len(), 3);
}

#[test]
fn without_hooks_of_requests_the_native_loop_runs() {
    let (builder, _) = hooked(&["post_fork", "worker_exit"], Builder::app("hooked").app_key("worker_loop = \"auto\""));
    let server = builder.start();
    assert!(server.log.text().contains("loop=native"), "{}", server.log.text());
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_worker_is_told_that_it_is_aborted_or_interrupted() {
    let builder = Builder::app("kitchen").app_key("timeout = \"500ms\"");
    let (builder, notes) = hooked(&["worker_abort", "worker_int", "worker_exit"], builder);
    let server = builder.start();
    let worker = server.wait_workers(1)[0].pid;
    let gate = server.gate("stuck");
    let stuck = server.get_in_thread(&format!("/stuck?{}", gate.query()));
    assert_eq!(notes.wait_for("worker_abort", 1)[0][2..], [worker.to_string()]);
    assert_eq!(stuck.join().expect("answered").status, 504);
    server.wait_for_line("most recent call first");
    let next = notes.wait_for("worker_exit", 1);
    assert_eq!(pid(&next[0]), worker);
    server.wait_for_line("worker started worker=2");
    assert_eq!(server.get("/hello").status, 200, "its handlers are set before it takes a request");
    let worker = server.wait_workers(1)[0].pid;
    server.signal(Signal::QUIT);
    assert_eq!(pid(&notes.wait_for("worker_int", 1)[0]), worker);
    assert_eq!(notes.of("worker_abort").len(), 1, "once for a request, although its process was ended");
}

#[test]
fn a_worker_is_told_of_sigint_once() {
    let (builder, notes) = hooked(&["worker_int", "worker_exit"], Builder::app("hooked"));
    let mut server = builder.start();
    let worker = server.wait_workers(1)[0].pid;
    server.signal(Signal::INT);
    assert_eq!(pid(&notes.wait_for("worker_int", 1)[0]), worker);
    assert!(server.wait_exit(DEADLINE).expect("it ends").success());
    assert_eq!((notes.of("worker_int").len(), notes.of("worker_exit").len()), (1, 1));
}

#[test]
fn a_request_that_is_interrupted_is_told_of_once_and_its_worker_goes_on() {
    for threads in [1, 2] {
        let builder = Builder::app("kitchen").app_key("timeout = \"500ms\"").threads(threads);
        let (builder, notes) = hooked(&["worker_abort", "worker_exit"], builder);
        let server = builder.start();
        let worker = server.wait_workers(1)[0].pid;
        for count in 1..=2 {
            assert_eq!(server.get("/nap?seconds=60").status, 504);
            let told = notes.wait_for("worker_abort", count);
            assert!(told.iter().all(|words| pid(words) == worker) && told.len() == count, "{threads}: {told:?}");
        }
        assert_eq!(server.get("/hello").status, 200);
        assert!(notes.of("worker_exit").is_empty());
    }
}

#[test]
fn the_hook_after_a_request_takes_as_many_arguments_as_it_likes() {
    for (hook, words) in [
        ("with_two", &["/a"][..]),
        ("with_three", &["/a"]),
        ("with_any", &["/a", "4"]),
        ("with_object", &["/a"]),
        ("with_partial", &["/a", "partial"]),
    ] {
        let builder = Builder::app("hooked");
        let notes = Notes(builder.folder().join("notes"));
        let builder = builder.environment("HOOKS_FILE", &notes.0.display().to_string());
        let server = builder.section(&format!("[app.hooks]\npost_request = \"hooked:{hook}\"")).start();
        assert_eq!(server.get("/a").text(), "ok\n");
        assert_eq!(notes.wait_for("post_request", 1)[0][2..], *words, "{hook}");
    }
    for (name, hook) in [("post_request", "with_one"), ("post_request", "with_five"), ("on_starting", "with_two")] {
        let refusal = Builder::app("hooked").section(&format!("[app.hooks]\n{name} = \"hooked:{hook}\"")).refuse();
        assert_eq!(refusal.code, Some(3), "{hook}: {}", refusal.stderr);
        assert!(refusal.stderr.contains(&format!("the hook {name} is called with")), "{}", refusal.stderr);
    }
}

#[test]
fn hooks_find_what_gunicorn_s_documentation_has_them_look_at() {
    let conf = support::apps().join("attributes.py").display().to_string();
    let builder = Builder::command_line(&["-c", &conf]);
    let notes = Notes(builder.folder().join("notes"));
    let python = support::python::interpreter().display().to_string();
    let builder = builder.environment("HOOKS_FILE", &notes.0.display().to_string());
    let mut server = builder.argument("--python").argument(&python).start();
    let mut client = server.connect();
    client.send(b"GET /a?b=c HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response("GET").text(), "ok\n");
    drop(client);
    stop(&mut server);
    let log = server.log.text();
    assert!(!log.contains("failed"), "{log}");
    let mut told: Vec<_> = notes.all().into_iter().map(|words| words[0].clone()).collect();
    told.sort_unstable();
    let expected =
        ["child_exit", "on_starting", "post_request", "post_worker_init", "pre_fork", "pre_request", "when_ready"];
    assert_eq!(told, expected, "{log}");
}

#[test]
fn threads_that_hooks_begin_are_told_of_when_a_reload_ends_them() {
    for hook in ["on_starting", "when_ready"] {
        let builder = Builder::app("hooked").section(&format!("[app.hooks]\n{hook} = \"hooked:begin_thread\""));
        let server = builder.start();
        server.wait_workers(1);
        assert_eq!(server.get("/").status, 200);
        server.signal(Signal::HUP);
        server.wait_for_line("server hooks have begun threads (ticker)");
        server.wait_for_line("generation drained");
        assert!(!server.log.text().contains("the application starts threads"), "{}", server.log.text());
    }
}

#[test]
fn hooks_that_fail_at_the_start_end_it_and_others_are_logged() {
    for (hook, expected) in [("on_starting", 3), ("post_fork", 3), ("post_worker_init", 3)] {
        let builder = Builder::app("hooked").section(&format!("[app.hooks]\n{hook} = \"hooked:broken\""));
        let refusal = builder.refuse();
        assert_eq!(refusal.code, Some(expected), "{hook}: {}", refusal.stderr);
        assert!(refusal.stderr.contains("RuntimeError: this hook does not work"), "{hook}: {}", refusal.stderr);
    }
    let refusal = Builder::app("hooked").section("[app.hooks]\npost_fork = \"hooked:absent\"").refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("has no attribute 'absent'"), "{}", refusal.stderr);
    let lines: Vec<String> =
        ["when_ready", "pre_fork", "worker_exit"].iter().map(|name| format!("{name} = \"hooked:broken\"")).collect();
    let server = Builder::app("hooked").section(&format!("[app.hooks]\n{}", lines.join("\n"))).start();
    let line = server.wait_for_line("the hook when_ready failed");
    assert!(line.ends_with("failed generation=1"), "{line}");
    server.wait_for_line("the hook pre_fork failed");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn hooks_of_a_gunicorn_conf_py_are_called() {
    let builder = Builder::command_line(&["-c", "gunicorn.conf.py", "--graceful-timeout", "4"]);
    let notes = Notes(builder.folder().join("notes"));
    let conf = format!(
        "import os\nchdir = {:?}\nwsgi_app = 'hooked:application'\nworkers = 1\nCOUNT = 0\n\
         def post_fork(server, worker):\n    global COUNT\n    COUNT += 1\n    \
         open({:?}, 'a').write('post_fork %d %d\\n' % (os.getpid(), COUNT))\n\
         worker_exit = 'hooked.worker_exit'\n",
        support::apps(),
        notes.0,
    );
    fs::write(builder.folder().join("gunicorn.conf.py"), conf).expect("write");
    let python = support::python::interpreter().display().to_string();
    let file = notes.0.display().to_string();
    let mut server = builder.environment("HOOKS_FILE", &file).argument("--python").argument(&python).start();
    let worker = server.wait_workers(1)[0].pid;
    assert_eq!(notes.wait_for("post_fork", 1)[0][1..], [worker.to_string(), "1".to_owned()]);
    assert!(
        server.log.text().contains("taken: chdir, wsgi_app, workers, worker_exit, post_fork"),
        "{}",
        server.log.text()
    );
    stop(&mut server);
    assert_eq!(notes.of("worker_exit").len(), 1);
}

#[test]
fn workers_without_preload_have_their_hooks_too() {
    let (builder, notes) =
        hooked(&["post_fork", "post_worker_init"], Builder::app("hooked").app_key("preload_app = false"));
    let server = builder.threads(2).start();
    assert_eq!(server.get("/").status, 200);
    assert_eq!(notes.order(), ["post_fork", "post_worker_init"]);
}
