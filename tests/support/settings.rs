//! Runs of the program that end by themselves: what `--print-config` and `--check-config` say of an application and its settings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `program` in `folder` with an environment of `PATH` and `variables` alone.
pub fn run(program: &Path, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear().envs(variables.iter().copied());
    command.env("PATH", std::env::var_os("PATH").expect("PATH is set")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// `maitred serve` to its end.
pub fn maitred(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    run(Path::new(env!("CARGO_BIN_EXE_maitred")), folder, &[&["serve"], arguments].concat(), variables)
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with an application that can be imported, and one that can't.
pub fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("good.py"), "def application(environ, start): pass\n").expect("write");
    let factory = "def create_app(name='', debug=False):\n    def application(environ, start):\n        start('200 OK', [])\n        \
        return [('%s %s' % (name, debug)).encode()]\n    return application\n";
    fs::write(folder.path().join("factory.py"), factory).expect("write");
    fs::write(folder.path().join("broken.py"), "raise ValueError('out of order')\n").expect("write");
    folder
}

/// What `--print-config` says, by name.
pub fn printed(output: &Output) -> BTreeMap<String, String> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let pair = |line: &str| line.split_once(" = ").map(|(name, value)| (name.trim().to_owned(), value.to_owned()));
    text(&output.stdout).lines().filter_map(pair).collect()
}
