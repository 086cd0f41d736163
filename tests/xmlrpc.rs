//! Python's own XML-RPC client against maitred and against supervisord: every method, its faults, fields and order, line by line.

mod support;

use std::fs;
use std::path::Path;

use support::supervisor::Supervisord;
use support::{Builder, DEADLINE, python};

/// The same for both: what starts, fails, exits, stops late, talks, and can't be run.
fn sections(here: &Path) -> String {
    let here = here.display();
    let talk = "sh -c 'echo errors >&2; while read -r line; do echo got $line; done'";
    let none = "stdout_logfile=NONE\nstderr_logfile=NONE\n";
    let files = format!("stdout_logfile={here}/%(program_name)s.out\nstderr_logfile={here}/%(program_name)s.err\n");
    format!(
        "[program:cat]\ncommand=cat\nstartsecs=0\n{none}\n\
         [program:late]\ncommand=sleep 1000\nautostart=false\npriority=5\nstartretries=7\nexitcodes=0,2\nstopsignal=INT\n\
         stopwaitsecs=7\nstopasgroup=true\nautorestart=true\nstdout_capture_maxbytes=1KB\n{none}\n\
         [program:missing]\ncommand=no-such-program-anywhere --flag 'two words'\nautostart=false\n{none}\n\
         [program:plain]\ncommand={here}/plain\nautostart=false\n{none}\n\
         [program:folder]\ncommand={here}/\nautostart=false\n{none}\n\
         [program:quick]\ncommand=sh -c 'exit 3'\nautostart=false\nstartretries=0\nredirect_stderr=true\nstdout_logfile=NONE\n\n\
         [program:short]\ncommand=sleep 0.05\nautostart=false\nstartsecs=0\nautorestart=false\n{none}\n\
         [program:failing]\ncommand=sh -c 'sleep 0.05; exit 4'\nautostart=false\nstartsecs=0\nautorestart=false\n{none}\n\
         [program:stubborn]\ncommand=sh -c 'trap \"\" TERM; while :; do sleep 0.05; done'\nstartsecs=0\nstopwaitsecs=1\nkillasgroup=true\n{none}\n\
         [program:deaf]\ncommand=sh -c 'exec <&-; while :; do sleep 0.05; done'\nstartsecs=0\n{none}\n\
         [program:talk]\ncommand={talk}\nstartsecs=0\ndirectory={here}\nstderr_events_enabled=true\n\
         stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=3\nserverurl=http://127.0.0.1:9001\n{files}\n\
         [program:two]\ncommand=sleep 1000\nnumprocs=2\nprocess_name=%(program_name)s_%(process_num)02d\nstartsecs=0\npriority=20\n\n"
    )
}

#[test]
fn every_method_answers_python_s_client_as_supervisord_does() {
    let theirs_folder = tempfile::tempdir().expect("a folder");
    let builder = Builder::bare().silent();
    let ours_folder = builder.folder().to_owned();
    for folder in [theirs_folder.path(), &ours_folder] {
        fs::write(folder.join("plain"), "no program").expect("the test's own folder");
    }
    let theirs = Supervisord::start(theirs_folder.path(), &sections(theirs_folder.path()));
    let conf = ours_folder.join("supervisord.conf");
    fs::write(&conf, format!("[supervisord]\n{}", sections(&ours_folder))).expect("the test's own folder");
    let mut ours = builder.argument("--supervisord-conf").argument("supervisord.conf").run();
    let script = support::repository().join("tests/xmlrpc/exercise.py").display().to_string();
    let run = |url: &str, folder: &Path| {
        let (here, conf) = (folder.display().to_string(), folder.join("supervisord.conf").display().to_string());
        python::run(&python::interpreter(), folder, &[("PYTHONUTF8", "1")], &[&script, url, &here, &conf])
    };
    let own = format!("unix://{}", ours_folder.join("maitred.sock").display());
    let (found, expected) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&theirs.url, theirs_folder.path()));
        (run(&own, &ours_folder), theirs.join().expect("supervisord answers"))
    });
    let differing: Vec<String> = found
        .lines()
        .zip(expected.lines())
        .filter(|(found, expected)| found != expected)
        .map(|(found, expected)| format!("maitred     {found}\nsupervisord {expected}"))
        .collect();
    assert!(differing.is_empty(), "{} lines differ:\n{}", differing.len(), differing.join("\n"));
    assert!(expected.lines().count() > 200, "{expected}");
    assert_eq!(found.lines().count(), expected.lines().count(), "{found}");
    assert_eq!(ours.wait_exit(DEADLINE).and_then(|status| status.code()), Some(0));
}
