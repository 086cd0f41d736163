//! Root's rights, and who has them after the start: nobody, or the supervisor alone where programs have users of their own. Only root can show it.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustix::process::Signal;
use support::supervisor::maitredctl;
use support::tls::Authority;
use support::{Builder, Client, DEADLINE, Server, process, value_of, wait_until};

/// The user that every system has to own nothing, and its group.
const NOBODY: u32 = 65_534;
/// Another one.
const DAEMON: u32 = 1;

/// Says who it is.
const APP: &str = "\
import os
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    names = ' '.join(os.environ.get(name, '') for name in ('HOME', 'USER', 'LOGNAME'))
    return [f'{os.getresuid()} {os.getresgid()} {names}'.encode()]
";

/// Whether the tests run as root, without which there is nothing to give up; says so otherwise.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not shown: only root can give up its rights");
    }
    is_root
}

/// An application in a folder that everybody may look into.
fn builder() -> Builder {
    let builder = Builder::app("app");
    let folder = builder.folder().to_owned();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("our own folder");
    fs::write(folder.join("app.py"), APP).expect("a writable folder");
    // One that everybody can run, wherever the repository is.
    builder.chdir(&folder).python(Path::new("/usr/bin/python3"))
}

/// Lines of proc_pid_status(5) of each thread, by the thread's name and number.
fn threads(pid: u32) -> BTreeMap<String, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let name = text.lines().next()?.trim_start_matches("Name:").trim().to_owned();
        Some((format!("{name} {}", task.file_name().display()), text))
    };
    tasks.flatten().filter_map(status).collect()
}

fn line<'s>(status: &'s str, name: &str) -> Vec<&'s str> {
    let found = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
    found.split_whitespace().collect()
}

/// Panics unless a thread is `uid`'s in every respect and has nothing of root's.
#[track_caller]
fn is_theirs(name: &str, status: &str, uid: u32, gid: u32) {
    let four = |id: u32| vec![id.to_string(); 4];
    assert_eq!(line(status, "Uid:"), four(uid), "{name}");
    assert_eq!(line(status, "Gid:"), four(gid), "{name}");
    assert!(!line(status, "Groups:").contains(&"0"), "{name}: root's group is left");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert!(line(status, set)[0].bytes().all(|byte| byte == b'0'), "{name}: {set} is not empty");
    }
}

#[track_caller]
fn process_is_theirs(pid: u32, uid: u32, gid: u32) {
    let threads = threads(pid);
    assert!(!threads.is_empty());
    threads.iter().for_each(|(name, status)| is_theirs(name, status, uid, gid));
}

/// A program's process.
#[track_caller]
fn pid_of(server: &Server, program: &str) -> u32 {
    let line = server.wait_for_line(&format!("program started program={program} "));
    value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names the process")
}

/// An address of this host that nobody else has, with a port that only root may listen on.
fn privileged() -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, high, low, 77), 80))
}

#[test]
fn the_whole_server_gives_up_what_it_needs_no_more() {
    if !is_root() {
        return;
    }
    let builder = builder();
    let folder = builder.folder().to_owned();
    fs::create_dir(folder.join("files")).expect("a writable folder");
    for (name, mode) in [("open.txt", 0o644), ("secret.txt", 0o600)] {
        fs::write(folder.join("files").join(name), name).expect("a writable folder");
        fs::set_permissions(folder.join("files").join(name), fs::Permissions::from_mode(mode)).expect("our own file");
    }
    let port = privileged();
    let log = folder.join("access.log");
    let mut server = builder
        .server_key("user = 'nobody'")
        .server_key(&format!("listen = ['{port}', 'unix:web.sock']"))
        .server_key(&format!("access_log = {{ path = {log:?}, flush = '100ms' }}"))
        .static_route("/files/", &folder.join("files"), "")
        .app_route("")
        .program("beside", "command = 'sleep 1000'")
        .silent()
        .run();
    server.wait_for_line("gave up root's rights user=nobody");
    let home = "/nonexistent nobody nobody";
    let expected = format!("({NOBODY}, {NOBODY}, {NOBODY}) ({NOBODY}, {NOBODY}, {NOBODY}) {home}");
    let mut client = Client::connect(port);
    assert_eq!(client.get("/").text(), expected);
    assert_eq!(client.get("/files/open.txt").text(), "open.txt");
    assert_eq!(client.get("/files/secret.txt").status, 403, "it is root's alone");
    assert_eq!(Client::connect_unix(&folder.join("web.sock")).get("/").text(), expected);
    // Every thread, also those that were there before, and every process.
    process_is_theirs(server.pid(), NOBODY, NOBODY);
    assert!(threads(server.pid()).len() >= 3, "shards, the supervisor, the log");
    process_is_theirs(server.zygote_among(&[pid_of(&server, "beside")]), NOBODY, NOBODY);
    process_is_theirs(server.workers()[0].pid, NOBODY, NOBODY);
    process_is_theirs(pid_of(&server, "beside"), NOBODY, NOBODY);
    // Nor can its user look into it, whose workers may be somebody else's by then.
    let look = format!("/proc/{}/environ", server.pid());
    let looked = Command::new("cat").arg(&look).uid(NOBODY).gid(NOBODY).output().expect("cat runs");
    assert!(!looked.status.success(), "{look} can be read");

    wait_until("the log is written", DEADLINE, || fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 4));
    assert_eq!(fs::metadata(&log).expect("the log").uid(), NOBODY, "made by root, in a directory of root's");
    assert_eq!(fs::metadata(folder.join("maitred.sock")).expect("the control socket").uid(), 0, "whose it was");

    // A reload goes on with the same rights; a restart could not have back what it needs.
    let mark = server.log.mark();
    server.signal(Signal::HUP);
    server.wait_for_line_from(mark, "worker started");
    assert_eq!(client.get("/").text(), expected);
    let socket = format!("unix://{}", folder.join("maitred.sock").display());
    let told = maitredctl(&socket, &["reload", "server"]);
    assert!(told.code != Some(0) && told.text.contains("has given up its rights"), "{:?} {}", told.code, told.text);
    assert_eq!(client.get("/").text(), expected, "and goes on");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn gunicorn_s_names_for_user_and_group_count() {
    if !is_root() {
        return;
    }
    let ids = format!("({NOBODY}, {NOBODY}, {NOBODY}) ({DAEMON}, {DAEMON}, {DAEMON})");
    let by_flags = ["-u", "nobody", "--group", "daemon", "--initgroups"];
    let server = by_flags.iter().fold(builder(), |builder, word| builder.argument(word)).start();
    server.wait_for_line("gave up root's rights user=nobody");
    assert_eq!(server.get("/").text(), format!("{ids} /nonexistent nobody nobody"));
    process_is_theirs(server.pid(), NOBODY, DAEMON);

    let arguments = ["-c", "gunicorn.conf.py", "--python", "/usr/bin/python3"];
    let builder = Builder::command_line(&arguments);
    let folder = builder.folder().to_owned();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("our own folder");
    fs::write(folder.join("app.py"), APP).expect("a writable folder");
    let conf = format!("wsgi_app = 'app'\nchdir = {folder:?}\nuser = {NOBODY}\ngroup = '{DAEMON}'\nworkers = 1\n");
    fs::write(folder.join("gunicorn.conf.py"), conf).expect("a writable folder");
    let server = builder.start();
    assert!(server.get("/").text().starts_with(&ids));
    process_is_theirs(server.workers()[0].pid, NOBODY, DAEMON);
}

#[test]
fn a_user_that_can_not_be_ends_the_start() {
    if !is_root() {
        return;
    }
    for (arguments, expected) in [
        (&["-u", "no-such-user-here"][..], "--user: there is no user \"no-such-user-here\""),
        (&["-u", "nobody", "-g", "no-such-group"], "--group: there is no group \"no-such-group\""),
        (&["-g", "daemon"], "--group: needs a \"user\""),
        (&["-u", "4000000000"], "needs a \"group\" too"),
    ] {
        let refusal = arguments.iter().fold(builder(), |builder, word| builder.argument(word)).refuse();
        assert!(refusal.code == Some(2) && refusal.stderr.contains(expected), "{arguments:?}: {}", refusal.stderr);
    }
}

#[test]
fn where_programs_have_other_users_the_supervisor_alone_stays_root() {
    if !is_root() {
        return;
    }
    let server = builder()
        .server_key("user = 'nobody'\ngroup = 'daemon'")
        .program("theirs", "command = 'sleep 1000'\nuser = 'daemon'")
        .program("ours", "command = 'sleep 1000'")
        .shards(2)
        .start();
    server.wait_for_line("the supervisor stays root");
    let ids = format!("({NOBODY}, {NOBODY}, {NOBODY}) ({DAEMON}, {DAEMON}, {DAEMON})");
    assert_eq!(server.get("/").text(), format!("{ids} /nonexistent nobody nobody"));
    let threads = threads(server.pid());
    let shards: Vec<_> = threads.iter().filter(|(name, _)| name.starts_with("shard-")).collect();
    assert!(shards.len() >= 2, "{:?}", threads.keys());
    shards.iter().for_each(|(name, status)| is_theirs(name, status, NOBODY, DAEMON));
    let (theirs, ours) = (pid_of(&server, "theirs"), pid_of(&server, "ours"));
    process_is_theirs(server.zygote_among(&[theirs, ours]), NOBODY, DAEMON);
    process_is_theirs(server.workers()[0].pid, NOBODY, DAEMON);
    process_is_theirs(theirs, DAEMON, DAEMON);
    process_is_theirs(ours, NOBODY, DAEMON);
    let main = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    assert_eq!(line(&main, "Uid:"), ["0"; 4]);
    assert!(process::is_alive(theirs) && process::is_alive(ours));
}

#[test]
fn keys_that_only_root_can_read_are_read_before_and_told_of() {
    if !is_root() {
        return;
    }
    let authority = Authority::new();
    authority.issue("site", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let key = authority.folder().join("site.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own file");
    let builder = builder().server_key("user = 'nobody'").section(&authority.table("site", ""));
    let (server, address) = support::tls::start(builder);
    let config = std::sync::Arc::new(authority.client(&support::tls::VERSIONS));
    assert!(support::tls::connect(address, &config, "localhost").get("/").text().contains("nobody"));
    let line = server.wait_for_line("changes of it take a restart");
    assert!(line.contains("site.key") && line.contains("user=nobody"), "{line}");
}

#[test]
fn what_the_server_will_write_is_its_users() {
    if !is_root() {
        return;
    }
    let builder = builder();
    let storage = builder.folder().join("state/acme");
    let server = builder
        .server_key("user = 'nobody'")
        .section("[[tls]]\nnames = 'localhost'\nacme = true")
        .section(&format!(
            "[acme]\naccept_terms = true\nstorage = {storage:?}\ndirectory = 'https://127.0.0.1:9/directory'"
        ))
        .argument("--bind")
        .argument("https://127.0.0.1:0")
        .start();
    assert!(server.get("/").text().contains("nobody"));
    let folders: Vec<_> = fs::read_dir(&storage).expect("made").flatten().map(|entry| entry.path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    for path in [&storage, &folders[0]] {
        let found = fs::metadata(path).expect("there");
        assert_eq!((found.uid(), found.mode() & 0o777), (NOBODY, 0o700), "{}", path.display());
    }
    wait_until("the keeper has written there", DEADLINE, || {
        fs::read_dir(&folders[0]).is_ok_and(|mut entries| entries.next().is_some())
    });
}

#[test]
fn what_its_user_cannot_do_is_said_before_anything_runs() {
    if !is_root() {
        return;
    }
    let builder = builder();
    let spool = builder.folder().join("spool");
    fs::create_dir(&spool).expect("a writable folder");
    let refusal = builder.server_key("user = 'nobody'").app_key(&format!("spool_dir = {spool:?}")).refuse();
    assert!(refusal.code == Some(2) && refusal.stderr.contains("cannot be written to by nobody"), "{}", refusal.stderr);

    let log = tempfile::tempdir().expect("the temporary folder is writable");
    fs::set_permissions(log.path(), fs::Permissions::from_mode(0o777)).expect("our own folder");
    let victim = log.path().join("victim");
    fs::write(&victim, "keep me").expect("a writable folder");
    std::os::unix::fs::symlink(&victim, log.path().join("access.log")).expect("a writable folder");
    let key = format!("access_log = {:?}", log.path().join("access.log"));
    let refusal = self::builder().server_key("user = 'nobody'").server_key(&key).refuse();
    assert!(refusal.code == Some(2) && refusal.stderr.contains("cannot open the access log"), "{}", refusal.stderr);
    assert_eq!(fs::metadata(&victim).expect("there").uid(), 0, "nothing of root's is given away for a name's sake");
}

#[test]
fn only_root_becomes_somebody_else() {
    if !is_root() {
        return;
    }
    let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut can_run = Command::new(as_nobody[0]);
    can_run.args(&as_nobody[1..]).args(["test", "-x", env!("CARGO_BIN_EXE_maitred")]);
    if !can_run.status().is_ok_and(|status| status.success()) {
        eprintln!("not shown: others can't run the binary where it is, or there is no setpriv");
        return;
    }
    for (user, ends) in [("daemon", true), ("nobody", false)] {
        let builder = builder().server_key(&format!("user = '{user}'")).app_key("spool_dir = '/tmp'");
        fs::set_permissions(builder.folder(), fs::Permissions::from_mode(0o777)).expect("our own folder");
        if ends {
            let refusal = builder.prefix(&as_nobody).refuse();
            let told = refusal.stderr.contains("only root can become somebody else");
            assert!(refusal.code == Some(2) && told, "{}", refusal.stderr);
        } else {
            let server = builder.prefix(&as_nobody).start();
            assert!(server.get("/").text().starts_with(&format!("({NOBODY}, ")), "who is that already stays so");
        }
    }
}

#[test]
fn check_tries_with_the_rights_of_the_servers_user() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let made = here.join("made");
    fs::create_dir(&made).expect("our own folder");
    for (directory, mode) in [(here, 0o755), (made.as_path(), 0o777)] {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("our own folder");
    }
    fs::write(here.join("app.py"), format!("open({:?}, 'w').close()\n{APP}", made.join("mine.log"))).expect("write");
    let spool = here.join("spool");
    fs::create_dir(&spool).expect("our own folder");
    let text = format!(
        "[server]\nlisten = '127.0.0.1:0'\nuser = 'nobody'\nshards = 1\n[app]\nwsgi = 'app'\npython = '/usr/bin/python3'\nspool_dir = {spool:?}\n"
    );
    fs::write(here.join("maitred.toml"), text).expect("write");
    let check = || {
        let output =
            Command::new(env!("CARGO_BIN_EXE_maitred")).arg("check").current_dir(here).output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let told = check();
    assert!(told.contains("ok   application app:application: importable"), "{told}");
    assert!(told.contains(&format!("FAIL spool_dir: {} cannot be written to by nobody", spool.display())), "{told}");
    let owner = fs::metadata(made.join("mine.log")).expect("the import made it").uid();
    assert_eq!(owner, NOBODY, "the server could not open it");
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o777)).expect("our own folder");
    // What only root may see does not work for the server.
    fs::set_permissions(here.join("app.py"), fs::Permissions::from_mode(0o600)).expect("our own file");
    let told = check();
    assert!(
        told.contains("ok   spool_dir") && told.contains("FAIL application app:application: PermissionError"),
        "{told}"
    );
}
