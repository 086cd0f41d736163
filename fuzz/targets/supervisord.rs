//! supervisord.conf: what is taken means the same natively and imported; what is refused natively is refused imported too, each time with lines.

use std::collections::HashMap;
use std::fs;

use maitred::config::{Flags, Surroundings, import, load};

pub const TARGET: super::Target = super::Target {
    name: "supervisord",
    run,
    seeds: &[
        b"[supervisord]\npidfile=x.pid\nenvironment=A=\"b\",C=d\n[program:a]\ncommand=sh -c 'a;b' ; c\n  \"d\"\nnumprocs=2\nprocess_name=%(program_name)s_%(process_num)02d\n",
        b"[DEFAULT]\nstartsecs=1\n[group:g]\nprograms=a,b\n[program:a]\ncommand:%(here)s/a\nstdout_logfile=%(ENV_A)s.log\n[program:b]\ncommand=b\nexitcodes=0,2\nautorestart=true\n",
        b"[include]\nfiles=*.ini\n[eventlistener:e]\ncommand=e\nevents=TICK_5, process_log\nbuffer_size=3\n[unix_http_server]\nfile=/x # y\n[program:c]\ncommand=c\nredirect_stderr=true\nstdout_logfile=AUTO\nstdout_logfile_maxbytes=1MB\n",
    ],
    folders: &["tests/supervisord"],
};

fn run(input: &[u8]) {
    let folder = std::env::temp_dir().join(format!("{}-fuzzed-supervisord", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let (conf, toml) = (folder.join("supervisord.conf"), folder.join("maitred.toml"));
    fs::write(&conf, input).expect("the folder is writable");
    let variables = HashMap::from([("A".to_owned(), "a".into())]);
    let around = Surroundings { directory: folder.clone(), variables, cpus: 2 };
    let native = load(&Flags { supervisord_conf: Some(conf.clone()), ..Flags::default() }, &around);
    let imported = import(&conf, &around);
    if let Ok(imported) = &imported {
        fs::write(&toml, imported.to_string()).expect("the folder is writable");
        let again = load(&Flags { config: Some(toml.clone()), ..Flags::default() }, &around);
        let programs = |config: &maitred::config::Config| config.programs.clone();
        let (ours, theirs) = (native.as_ref().map(programs).ok(), again.as_ref().map(programs).ok());
        assert_eq!(ours, theirs, "{imported}");
    } else {
        assert!(native.is_err(), "what can't be imported can't be used");
    }
    let left = imported.iter().flat_map(|imported| imported.left());
    for problem in native.as_ref().err().iter().flat_map(|errors| errors.iter()).chain(left) {
        let text = problem.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?} is more than a line");
    }
    let _ = fs::remove_file(&toml);
    fs::remove_file(&conf).expect("just written");
    let _ = fs::remove_dir(&folder);
}
