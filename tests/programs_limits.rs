//! Limits of programs, control groups, the kernel's own killing, and what an earlier maitred has left, from the outside.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use support::supervisor::{ctl, maitredctl};
use support::{Builder, DEADLINE, Server, process, value_of, wait_until};

fn alone() -> Builder {
    Builder::bare().silent()
}

#[track_caller]
fn started(server: &Server, program: &str) -> u32 {
    let line = server.wait_for_line(&format!("program started program={program} "));
    value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names the process")
}

#[test]
fn a_program_runs_under_its_limits() {
    let script = "sh -c 'echo $(ulimit -n) $(nice) $(cat /proc/self/oom_score_adj) $(grep NoNewPrivs /proc/self/status); exec sleep 1000'";
    let lines = format!(
        "command = {script:?}\nnofile = 99\nnice = 5\noom_score_adj = 300\nno_new_privileges = true\nmemory_max = \"100M\"\ncpu = 0.5"
    );
    let server = alone().program("limited", &lines).run();
    server.wait_for_line("99 5 300 NoNewPrivs: 1 program=limited");
    let mounts = fs::read_to_string("/proc/mounts").expect("readable");
    let points: Vec<_> =
        mounts.lines().filter(|line| line.contains(" cgroup2 ")).filter_map(|line| line.split(' ').nth(1)).collect();
    let has_memory = |point: &&str| {
        fs::read_to_string(Path::new(point).join("cgroup.controllers")).is_ok_and(|list| list.contains("memory"))
    };
    if !points.iter().any(has_memory) {
        server.wait_for_line("memory_max, memory_high and cpu of programs have no effect: ");
    }
    if points.is_empty() {
        server.wait_for_line("programs are told apart by their session and environment alone: ");
    }
}

#[test]
fn what_the_kernel_has_ended_for_want_of_memory_is_named() {
    let group = Path::new("/sys/fs/cgroup/memory").join(format!("maitred-test-{}", std::process::id()));
    if fs::create_dir(&group).is_err() || fs::write(group.join("memory.limit_in_bytes"), "30000000").is_err() {
        return eprintln!("not shown: no memory cgroup may be made here");
    }
    let script =
        format!("sh -c 'echo $$ > {}/cgroup.procs; exec python3 -c \"x = bytearray(100 << 20)\"'", group.display());
    let mut server = alone().program("greedy", &format!("command = {script:?}\nstartretries = 0")).run();
    server.wait_for_line("program was probably ended by the kernel: out of memory program=greedy");
    server.stop();
    fs::remove_dir(&group).expect("nobody is left in it");
}

#[test]
fn what_leaves_session_and_environment_behind_is_found_by_its_control_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = format!("mount -t cgroup2 none {}", folder.path().display());
    let tried = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return eprintln!("not shown: cgroup2 can't be mounted here");
    }
    let text = format!("{mount} && exec \"$@\"");
    let script = "sh -c 'env -i setsid sleep 86399 & echo $! left; exec sleep 1000'";
    let mut server = alone()
        .prefix(&["unshare", "-m", "sh", "-c", &text, "sh"])
        .program("leaver", &format!("command = {script:?}"))
        .run();
    let line = server.wait_for_line("left program=leaver");
    let words: Vec<_> = line.split(' ').collect();
    let at = words.iter().position(|word| *word == "left").expect("it is there");
    let pid: u32 = words[at - 1].parse().expect("a number");
    let environment = || fs::read(format!("/proc/{pid}/environ"));
    wait_until("it has left", DEADLINE, || environment().is_ok_and(|text| text.is_empty()));
    let group = format!("/proc/{}/root{}/maitred-{}", server.pid(), folder.path().display(), server.pid());
    let mut groups = fs::read_dir(&group).expect("the group is there").flatten();
    assert!(groups.any(|entry| entry.file_name() == "leaver.1"));
    let main = server.pid();
    assert_eq!(server.stop().code(), Some(0));
    assert!(!process::is_alive(pid), "it is ended with its program");
    // Seen through a new mount of the same hierarchy: nothing is left of the groups.
    let look = format!("{mount} && ls {}", folder.path().display());
    let output = Command::new("unshare").args(["-m", "sh", "-c", &look]).output().expect("unshare runs");
    let left = String::from_utf8_lossy(&output.stdout);
    assert!(!left.lines().any(|name| name == format!("maitred-{main}")), "{left}");
}

#[test]
fn what_a_killed_maitred_has_left_is_ended_before_the_next_one_starts_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.toml");
    let script = "sh -c 'trap \"echo stopping >> stopped; exit 0\" TERM; sleep 86398 & while :; do sleep 0.05; done >/dev/null 2>&1'";
    let program = |name: &str| format!("[program.{name}]\ncommand = {script:?}\ndirectory = \".\"\n");
    fs::write(&file, program("kept") + &program("dropped")).expect("the test's own folder");
    let path = file.to_str().expect("UTF-8");
    let serve = || Builder::command_line(&["--config", path]).working_directory(folder.path()).silent().run();
    let mut first = serve();
    let other = alone().program("other", "command = \"sleep 1000\"").run();
    let (kept, dropped, others) = (started(&first, "kept"), started(&first, "dropped"), started(&other, "other"));
    first.wait_for_line("program is up program=kept");
    first.signal(Signal::KILL);
    first.wait_exit(DEADLINE).expect("it is killed");
    assert!(process::is_alive(kept) && process::is_alive(dropped), "they outlive it");
    fs::write(&file, program("kept")).expect("the test's own folder");
    let second = serve();
    second.wait_for_line("processes of the program are left of an earlier maitred: stopping them first program=kept");
    let again = started(&second, "kept");
    assert!(again != kept && !process::is_alive(kept), "two of them never run at the same time");
    second.wait_for_line("is left of an earlier maitred: ending it");
    assert!(process::wait_gone(dropped, DEADLINE));
    assert!(process::is_alive(others), "another maitred's programs are nothing to it");
    let stopped = fs::read_to_string(folder.path().join("stopped")).expect("they were asked");
    assert!(stopped.starts_with("stopping\n"), "{stopped}");
}

#[test]
fn what_a_killed_maitred_has_left_is_adopted_with_its_pipes_if_so_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.toml");
    // It keeps an end of its standard input's other end itself, so that it does not see the end of it in between.
    let script = "sh -c 'exec 0<>/proc/self/fd/0; sleep 86397 >/dev/null 2>&1 & while read line; do echo got $line; echo heard $line >&2; done'";
    let program = |name: &str, more: &str| format!("[program.{name}]\ncommand = {script:?}\n{more}\n");
    let names = ["crashing", "stopped", "changed"];
    let socket = folder.path().join("maitred.sock");
    let text = |more: &str| {
        let programs =
            [program(names[0], ""), program(names[1], "stopasgroup = true"), program(names[2], more)].concat();
        format!("[control]\nsocket = {:?}\n[supervisor]\norphans = \"adopt\"\n{programs}", socket.display().to_string())
    };
    fs::write(&file, text("")).expect("the test's own folder");
    let path = file.to_str().expect("UTF-8");
    let url = format!("unix://{}", socket.display());
    let serve = || Builder::command_line(&["--config", path]).working_directory(folder.path()).silent().run();
    let mut first = serve();
    let before = names.map(|name| started(&first, name));
    for name in names {
        first.wait_for_line(&format!("program is up program={name}"));
    }
    let child = |pid: u32| *process::children(pid).first().expect("it has a child");
    let children = before.map(child);
    first.signal(Signal::KILL);
    first.wait_exit(DEADLINE).expect("it is killed");
    fs::write(&file, text("environment = { NEW = \"1\" }")).expect("the test's own folder");
    let mut second = serve();
    for (name, pid) in names.iter().zip(before).take(2) {
        let line =
            second.wait_for_line(&format!("program was left by an earlier maitred, and is adopted program={name}"));
        assert_eq!(value_of(&line, "pid"), Some(pid.to_string().as_str()));
        let told = maitredctl(&url, &["status", name]);
        assert!(told.text.contains("RUNNING") && told.text.contains(&format!("pid {pid},")), "{told:?}");
    }
    assert_ne!(started(&second, "changed"), before[2], "it would not be started like this now");
    assert!(process::wait_gone(children[2], DEADLINE));
    // Both directions of its pipes are there again.
    let mut fg = ctl(&url, &["fg", "crashing"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
    fg.stdin.take().expect("piped").write_all(b"hello\n").expect("read");
    assert!(fg.wait().expect("it ends").success());
    second.wait_for_line("got hello program=crashing stream=stdout");
    second.wait_for_line("heard hello program=crashing stream=stderr");
    process::signal(before[0], Signal::KILL);
    second.wait_for_line("program exited unexpectedly program=crashing exit=unknown");
    let again = started(&second, "crashing");
    assert!(again != before[0] && !process::is_alive(children[0]), "what it had left has ended before");
    assert_eq!(maitredctl(&url, &["stop", "stopped"]).text, "stopped: stopped\n");
    assert!(process::wait_gone(before[1], DEADLINE) && process::wait_gone(children[1], DEADLINE));
    assert_eq!(maitredctl(&url, &["start", "stopped"]).code, Some(0));
    assert_eq!(second.stop().code(), Some(0));
    assert!(!process::is_alive(again));
}
