//! The binary from the outside: exit codes and what is written where.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `maitred` in `directory` with an environment of `PATH` and `variables` alone.
fn maitred(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maitred"));
    command.args(arguments).current_dir(directory).env_clear().envs(variables.iter().copied());
    command.env("PATH", std::env::var_os("PATH").expect("PATH is set"));
    command.output().expect("the binary runs")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `check` of `arguments`, with a port of the kernel's choice and few connections: the host's limits are not the subject.
fn check(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = maitred(directory, &[&["check", "-b", "127.0.0.1:0"], arguments].concat(), &[]);
    assert_eq!(stderr(&output), "");
    (output.status.code(), stdout(&output))
}

#[test]
fn the_version_is_told_in_both_ways() {
    let directory = directory();
    for argument in ["version", "--version", "-V"] {
        let output = maitred(directory.path(), &[argument], &[]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(stdout(&output), concat!("maitred ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn output_that_nobody_takes_is_no_failure() {
    let full = fs::File::options().write(true).open("/dev/full").expect("every Linux has it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_maitred"));
    let status = command.arg("version").stdout(full).status().expect("the binary runs");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn help_has_an_example_and_misuse_is_2() {
    let directory = directory();
    let output = maitred(directory.path(), &["serve", "--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("maitred serve mysite.wsgi"));
    for arguments in [&[][..], &["serv"], &["serve", "--wrokers", "2"], &["serve", "-w", "two"], &["serve", "a", "b"]] {
        let output = maitred(directory.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn serve_without_anything_says_what_it_looked_for() {
    let directory = directory();
    let output = maitred(directory.path(), &["serve"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    for part in ["APP", "./maitred.toml", "DJANGO_SETTINGS_MODULE", "/manage.py", "maitred serve mysite.wsgi"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn serve_reports_every_mistake_at_once() {
    let directory = directory();
    let text = "[app]\nwsgi = \"mysite.wsgi\"\nworkerz = 4\ntimeout = \"soon\"\n";
    fs::write(directory.path().join("maitred.toml"), text).expect("write");
    let output = maitred(directory.path(), &["serve", "--bind", "nowhere.invalid:1"], &[("WEB_CONCURRENCY", "0")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "maitred.toml:3: app.workerz: unknown key; did you mean \"workers\"?",
            "maitred.toml:4: app.timeout: must be a duration from 100ms to 1d, or 0, not \"soon\"",
            "environment variable WEB_CONCURRENCY: must be a number from 1 to 1024, not 0",
        ]
    );
    assert!(lines.len() == 4 && lines[3].starts_with("--bind: \"nowhere.invalid\" cannot be resolved: "), "{text}");
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let directory = directory();
    let output = maitred(directory.path(), &["serve", "app"], &[("MAITRED_LOG", "maitred=loud")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("environment variable MAITRED_LOG: "), "{}", stderr(&output));
    let output = maitred(directory.path(), &["serve", "app", "--log-level", "loud"], &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn check_is_content_with_a_good_site() {
    let directory = directory();
    fs::create_dir(directory.path().join("files")).expect("create directory");
    fs::write(directory.path().join("site.py"), "").expect("write");
    fs::write(directory.path().join("good.py"), "print('noise')\ndef application(environ, start): pass\n")
        .expect("write");
    let (code, told) = check(directory.path(), &["good", "--static", "/static/=files"]);
    assert_eq!(code, Some(0), "{told}");
    for part in
        ["ok   kernel ", "ok   memlock", "ok   listen http://127.0.0.1:0", "ok   static /static/", "ok   interpreter "]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(told.ends_with("ok   application good:application: importable\n"), "{told}");
    // Nothing is left behind in the project.
    assert!(!directory.path().join("__pycache__").exists());
}

#[test]
fn check_says_why_an_application_cannot_be_imported() {
    let directory = directory();
    fs::write(directory.path().join("broken.py"), "raise ValueError('out of order')").expect("write");
    fs::write(directory.path().join("number.py"), "application = 7").expect("write");
    fs::write(directory.path().join("manage.py"), "setdefault('DJANGO_SETTINGS_MODULE', 'absent.settings')")
        .expect("write");
    for (arguments, expected) in [
        (&["absent"][..], "FAIL application absent:application: ModuleNotFoundError: No module named 'absent'"),
        (&["broken:app"], "FAIL application broken:app: ValueError: out of order"),
        (&["number"], "FAIL application number:application: 'application' in module 'number' is not callable"),
        (&["number:app"], "FAIL application number:app: module 'number' has no attribute 'app'"),
        (&[], "FAIL application of Django settings absent.settings: ModuleNotFoundError: No module named "),
        (&["number", "--python", "/bin/true"], "FAIL interpreter /bin/true (configured): does not tell its version"),
        (&["number", "--python", "/absent"], "FAIL --python: there is no /absent"),
    ] {
        let (code, told) = check(directory.path(), arguments);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
}

#[test]
fn check_imports_as_the_workers_do() {
    let directory = directory();
    fs::create_dir_all(directory.path().join("lib")).expect("create directory");
    let text = "import os, helper\nassert os.environ['COLOUR'] == 'blue = sky'\napplication = helper.f\n";
    fs::write(directory.path().join("site_app.py"), text).expect("write");
    fs::write(directory.path().join("lib/helper.py"), "def f(): pass").expect("write");
    let (code, told) = check(directory.path(), &["site_app", "--pythonpath", "lib", "-e", "COLOUR=blue = sky"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = check(directory.path(), &["site_app", "-e", "COLOUR=blue = sky"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("No module named 'helper'"), "{told}");
}

#[test]
fn check_names_addresses_and_directories_that_cannot_be_used() {
    let directory = directory();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    fs::write(directory.path().join("plain"), "").expect("write");
    let arguments = ["-b", &address, "-b", "unix:absent/s", "--static", "/a/=absent", "--static", "/b/=plain"];
    let (code, told) = check(directory.path(), &arguments);
    assert_eq!(code, Some(2), "{told}");
    let here = directory.path().display();
    for line in [
        format!("FAIL listen http://{address}: Address already in use"),
        format!("FAIL listen unix:{here}/absent/s: No such file or directory"),
        format!("FAIL static /a/: {here}/absent does not exist; create it or correct the path"),
        format!("FAIL static /b/: {here}/plain is not a directory"),
    ] {
        assert!(told.contains(&line), "{line} is not in {told}");
    }
}

#[test]
fn check_reports_the_configuration_like_serve() {
    let directory = directory();
    fs::write(directory.path().join("bad.toml"), "[server]\nshard = 1\n").expect("write");
    let (code, told) = check(directory.path(), &["-c", "bad.toml", "app"]);
    assert_eq!(code, Some(2));
    assert!(
        told.starts_with("FAIL bad.toml:2: server.shard: unknown key; did you mean \"shards\"?\nok   kernel"),
        "{told}"
    );
}

/// Runs `maitred` as a child of Python code that first takes something away from itself.
fn maitred_after(code: &str, arguments: &[&str]) -> Output {
    let code = format!("import os, sys\n{code}\nos.execv(sys.argv[1], sys.argv[1:])");
    let mut command = Command::new("python3");
    command.args(["-c", &code, env!("CARGO_BIN_EXE_maitred")]).args(arguments);
    command.output().expect("python3 runs")
}

/// A seccomp filter like Docker's: io_uring_setup (425 on every architecture) is answered with EPERM.
const SECCOMP: &str = "
import ctypes, struct
def step(code, jt, jf, k): return struct.pack('HBBI', code, jt, jf, k)
steps = step(0x20, 0, 0, 0) + step(0x15, 0, 1, 425) + step(0x06, 0, 0, 0x50001) + step(0x06, 0, 0, 0x7fff0000)
held = ctypes.create_string_buffer(steps)
program = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 4, ctypes.addressof(held)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
";

#[test]
fn a_host_that_refuses_io_uring_is_told_apart() {
    let directory = directory();
    let files = format!("/={}", directory.path().display());
    let memlock = "import resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))";
    for (code, expected) in [(SECCOMP, "seccomp"), (memlock, "memlock 64 KiB: at least 512 KiB")] {
        let serve = maitred_after(code, &["serve", "--static", &files, "-b", "127.0.0.1:0"]);
        assert_eq!(serve.status.code(), Some(2), "{}", stderr(&serve));
        assert!(stderr(&serve).starts_with("maitred: ") && stderr(&serve).contains(expected), "{}", stderr(&serve));
        let check = maitred_after(code, &["check", "--static", &files, "-b", "127.0.0.1:0"]);
        assert_eq!(check.status.code(), Some(2), "{}", stdout(&check));
        let failed = stdout(&check).lines().filter(|line| line.starts_with("FAIL")).any(|line| line.contains(expected));
        assert!(failed, "{}", stdout(&check));
    }
}

#[test]
fn check_tells_of_a_low_descriptor_limit() {
    let directory = directory();
    let files = format!("/={}", directory.path().display());
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_maitred"), "check"])
        .args(["--static", &files, "-b", "127.0.0.1:0"])
        .output()
        .expect("sh runs");
    // A limit that may be reached one day keeps nobody from serving.
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let told = stdout(&output);
    let low = told.lines().find(|line| line.contains("file descriptors: ")).expect("it is told");
    assert!(low.starts_with("hint file descriptors: the limit of 64 is below the "), "{low}");
    assert!(low.contains("LimitNOFILE=") && low.contains("server.max_connections"), "{low}");
}

#[test]
fn check_looks_at_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "[program.good]\ncommand = \"sleep 1\"\nnumprocs = 2\nprocess_name = \"p%(process_num)d\"\n\
                [program.missing]\ncommand = \"no-such-program -x\"\n\
                [program.data]\ncommand = \"./maitred.toml\"\ndirectory = \".\"\n\
                [program.homeless]\ncommand = \"sleep 1\"\ndirectory = \"/no/such/place\"\n";
    std::fs::write(folder.path().join("maitred.toml"), text).expect("written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_maitred"))
        .arg("check")
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    let found = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{found}");
    for line in [
        "processes of programs: 5",
        "FAIL program missing: there is no no-such-program on PATH",
        "maitred.toml is not executable; make it so",
        "FAIL program homeless: its directory /no/such/place is not there",
    ] {
        assert!(found.contains(line), "{line}:\n{found}");
    }
    assert!(found.contains("ok   program good:p0: /"), "{found}");
    assert_eq!(found.matches("program good").count(), 1, "one process speaks for all:\n{found}");
}
