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

/// Runs one test of this file as the first process of a kernel of its own, which has the controllers that this host keeps for others: user-mode Linux
/// (`linux.uml` of Debian's `user-mode-linux`), whose files are this host's. None: there is no such kernel here.
fn in_a_kernel_of_its_own(test: &str) -> Option<String> {
    let kernel = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|path| path.join("linux.uml"))
        .find(|path| path.exists())?;
    let folder = tempfile::tempdir().expect("a folder");
    let init = folder.path().join("init");
    let own = std::env::current_exe().expect("it has a name");
    // Whatever is under /tmp is gone in there but this file, which is open.
    let script = format!(
        "#!/bin/sh\nmount -t proc none /proc\nmount -t sysfs none /sys\nmount -t tmpfs none /tmp\nmount -t cgroup2 none /sys/fs/cgroup\n\
         ip link set lo up\nMAITRED_OWN_KERNEL=1 timeout 100 {} --exact {test} --nocapture\necho o > /proc/sysrq-trigger\nsleep 100\n",
        own.display()
    );
    fs::write(&init, script).expect("the test's own folder");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o700)).expect("its own file");
    let output = Command::new("timeout")
        .arg("120")
        .arg(kernel)
        .args([
            "mem=512M",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "con=null",
            "con1=fd:0,fd:1",
            "con0=null,fd:2",
            "console=tty0",
        ])
        .arg(format!("init={}", init.display()))
        .stdin(Stdio::null())
        .output()
        .expect("timeout is everywhere");
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn memory_and_cpu_are_limited_where_the_controllers_are_delegated() {
    let base = Path::new("/sys/fs/cgroup");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let has = |name: &str| read(&base.join("cgroup.controllers")).split_ascii_whitespace().any(|word| word == name);
    if std::env::var_os("MAITRED_OWN_KERNEL").is_none() {
        // On a host of which others have the controllers, or whose groups are not ours to change.
        match in_a_kernel_of_its_own("memory_and_cpu_are_limited_where_the_controllers_are_delegated") {
            None => eprintln!("not shown: there is no linux.uml here"),
            Some(text) => assert!(text.contains("test result: ok. 1 passed"), "{text}"),
        }
        return;
    }
    assert!(has("memory") && has("cpu"), "that is what the kernel is for");
    let limits = "memory_max = \"40M\"\nmemory_high = \"30M\"\ncpu = 0.25\nstartretries = 0\nautorestart = false";
    let mut server = alone()
        .program("modest", &format!("command = \"sleep 1000\"\n{limits}"))
        .program("greedy", "command = \"tail /dev/zero\"\nmemory_max = \"40M\"\nstartsecs = 0\nautorestart = false")
        .program("free", "command = \"sleep 1000\"")
        .run();
    let pid = started(&server, "modest");
    let group = read(Path::new(&format!("/proc/{pid}/cgroup")));
    let group = base.join(group.trim().strip_prefix("0::/").expect("a group of version 2"));
    let value = |file: &str| read(&group.join(file)).trim().to_owned();
    assert_eq!(value("memory.max"), (40 << 20).to_string());
    assert_eq!(value("memory.high"), (30 << 20).to_string());
    assert_eq!(value("cpu.max"), "25000 100000");
    let free = read(Path::new(&format!("/proc/{}/cgroup", started(&server, "free"))));
    assert_eq!(read(&base.join(free.trim().trim_start_matches("0::/")).join("memory.max")).trim(), "max");
    let line = server.wait_for_line("program was ended by the kernel: it has reached memory_max");
    assert!(line.contains("program=greedy"), "{line}");
    assert!(!server.log.text().contains("have no effect"), "{}", server.log.text());
    assert_eq!(server.stop().code(), Some(0));
    assert!(!group.exists(), "groups go with their programs");
}
