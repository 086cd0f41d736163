//! One libFuzzer program for all targets: `FUZZ_TARGET` names the one to run, `--list` prints them, `FUZZ_SEEDS` names the folder into which its
//! seeds are written first. Started by `fuzz/run`.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

mod targets;

static TARGET: OnceLock<&targets::Target> = OnceLock::new();

/// Finds the target and lays out its seeds.
fn prepare() {
    if std::env::args().any(|argument| argument == "--list") {
        targets::ALL.iter().for_each(|target| println!("{}", target.name));
        std::process::exit(0);
    }
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(target) = targets::ALL.iter().find(|target| target.name == name) else {
        eprintln!("FUZZ_TARGET={name:?} names no target; --list does");
        std::process::exit(2);
    };
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        for (number, seed) in target.seeds().into_iter().enumerate() {
            let file = Path::new(&folder).join(format!("seed-{number}"));
            std::fs::write(file, seed).expect("the folder for the seeds is writable");
        }
    }
    TARGET.get_or_init(|| target);
}

fuzz_target!(init: prepare(), |input: &[u8]| {
    (TARGET.get().expect("prepared before the first input").run)(input);
});
