//! The config file: whatever it holds is taken, or refused with messages that each fit a line and name one of the file's.

use std::collections::HashMap;

use maitred::config::{Config, ConfigErrors, Flags, Surroundings, load};

pub const TARGET: super::Target = super::Target {
    name: "config",
    run,
    seeds: &[
        b"[server]\nlisten = [\":0\", { address = \"[::1]:8000\" }, \"unix:a.sock\"]\nshards = \"auto\"\nhead_timeout = \"1m30s\"\nmax_body = \"1.5G\"\n",
        b"[app]\nwsgi = \"a.b:c\"\nworkers = 2\nthreads = 0x10\nraw_env = [\"A=b\"]\n[[route]]\npath = \"/\"\napp = true\n",
        b"[[route]]\nhost = \"*.example.com\"\npath = \"/a/\"\nstatic = \"/\"\nindex = []\ncache_control = \"no-store\"\nmax_body = 1e3\n",
    ],
    folders: &["tests/config_files"],
};

fn run(input: &[u8]) {
    let file = std::env::temp_dir().join(format!("{}-fuzzed.toml", std::process::id()));
    std::fs::write(&file, input).expect("the temporary folder is writable");
    let flags = Flags { config: Some(file.clone()), ..Flags::default() };
    // A working directory in which nothing can be found.
    let around = Surroundings { directory: "/nonexistent".into(), variables: HashMap::new(), cpus: 2 };
    let loaded = load(&flags, &around);
    std::fs::remove_file(&file).expect("just written");
    check(input, loaded);
}

fn check(input: &[u8], loaded: Result<Config, ConfigErrors>) {
    let Err(errors) = loaded else { return };
    let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!(errors.iter().count() > 0);
    for problem in errors.iter() {
        let text = problem.to_string();
        assert!(!text.chars().any(|letter| letter.is_control()), "{text:?} is more than a line");
        if let Some((_, rest)) = text.split_once("fuzzed.toml:")
            && let Some((line, _)) = rest.split_once(':')
            && let Ok(line) = line.parse::<usize>()
        {
            assert!((1..=lines).contains(&line), "{text:?} of {lines} lines");
        }
    }
}
