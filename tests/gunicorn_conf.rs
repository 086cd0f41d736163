//! What a `gunicorn.conf.py` does beside its settings: to the environment, to `sys.path`, to modules. The application has it all.

mod support;

use std::fs;
use std::process::Command;

use support::{Builder, python};

/// An application that is found in a directory that the file puts into `sys.path`, and tells what the file has done.
const APPLICATION: &str = "\
import json, os
SEEN = [os.environ.get(name) for name in ('FROM_CONF', 'BOTH')] + [getattr(json, 'patched', None), os.path.basename(os.getcwd())]
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [(' '.join(map(str, SEEN + [os.environ['FROM_CONF']])) + '\\n').encode()]
";

const CONF: &str = "\
import json, os, sys
print('the file speaks')
os.environ['FROM_CONF'] = os.environ['BOTH'] = 'conf'
sys.path.insert(0, os.path.abspath('lib'))
json.patched = True
wsgi_app = 'listed'
chdir = 'elsewhere'
raw_env = ['BOTH=raw']
workers = 1
";

/// A server that is told everything by this file, beside which the application lies.
fn builder(conf: &str, name: &str) -> Builder {
    let builder = Builder::command_line(&["-c", name, "--graceful-timeout", "4"]);
    let folder = builder.folder();
    for directory in ["lib", "elsewhere"] {
        fs::create_dir(folder.join(directory)).expect("mkdir");
    }
    fs::write(folder.join("lib/listed.py"), APPLICATION).expect("write");
    fs::write(folder.join("gunicorn.conf.py"), conf).expect("write");
    fs::write(folder.join("settled.py"), conf).expect("write");
    builder.argument("--python").argument(&python::interpreter().display().to_string())
}

#[test]
fn what_a_gunicorn_conf_py_does_the_application_has() {
    for (name, more) in [
        ("gunicorn.conf.py", ""),
        ("gunicorn.conf.py", "preload_app = False\n"),
        ("gunicorn.conf.py", "def post_fork(server, worker): pass\n"),
        ("python:settled", ""),
    ] {
        let server = builder(&format!("{CONF}{more}"), name).start();
        assert_eq!(server.get("/").text(), "conf raw True elsewhere conf\n", "{name} {more}");
        let log = server.log.text();
        assert_eq!(log.matches("the file speaks").count(), 1, "{log}");
    }
}

#[test]
fn a_file_that_fails_where_the_application_begins_ends_the_start() {
    let second = "if os.path.exists('marker'): raise LookupError('the second time')\nopen('marker', 'w').close()\n";
    let refusal = builder(&format!("{CONF}{second}"), "gunicorn.conf.py").refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("gunicorn.conf.py\", line"), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("LookupError: the second time"), "{}", refusal.stderr);
}

#[test]
fn a_check_shows_what_the_file_prints_and_finds_the_application_by_it() {
    let builder = builder(CONF, "gunicorn.conf.py");
    for arguments in [&["serve", "--check-config"][..], &["check"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maitred"));
        command.args(arguments).args(["-c", "gunicorn.conf.py", "-b", "127.0.0.1:0", "--python"]);
        let output = command.arg(python::interpreter()).current_dir(builder.folder()).output().expect("it runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(err.matches("the file speaks").count(), 1, "{arguments:?}: {err}");
        assert!(!out.contains("No module named") && !err.contains("No module named"), "{out}{err}");
    }
}
