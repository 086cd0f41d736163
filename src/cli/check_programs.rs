//! What `maitred check` says of programs: whether each command, directory and user would do.
//!
//! Looks only; starts nothing. A command that only the program's own user may see is judged by this user's eyes.

use std::collections::HashSet;
use std::env::split_paths;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use super::check::Finding;
use crate::config::{GroupConfig, LaunchConfig};

/// One line for each different thing that the programs run.
pub fn programs(groups: &[GroupConfig]) -> Vec<Finding> {
    let mut seen = HashSet::new();
    let processes = groups.iter().flat_map(|group| &group.processes);
    let mut findings = Vec::new();
    for process in processes {
        let finding = program(&process.full_name(), &process.launch);
        // Of many processes of one program, the first one speaks for all.
        let key = (process.launch.command[0].clone(), process.launch.directory.clone(), process.group.clone());
        if seen.insert(key) {
            findings.push(finding);
        }
    }
    findings
}

fn program(name: &str, launch: &LaunchConfig) -> Finding {
    if let Some(user) = &launch.user
        && !geteuid().is_root()
        && geteuid().as_raw() != user.uid
    {
        return Finding::fail(format!(
            "program {name}: cannot run as {}, because this user is not root; start maitred as root or remove `user`",
            user.name
        ));
    }
    if let Some(directory) = launch.directory.as_deref().filter(|directory| !directory.is_dir()) {
        return Finding::fail(format!(
            "program {name}: its directory {} is not there; create it or correct `directory`",
            directory.display()
        ));
    }
    match find(launch) {
        Ok(path) => Finding::ok(format!("program {name}: {}", path.display())),
        Err(text) => Finding::fail(format!("program {name}: {text}")),
    }
}

/// The file that would be run (execvp(3)).
fn find(launch: &LaunchConfig) -> Result<PathBuf, String> {
    let command = &launch.command[0];
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if command.contains('/') {
        let path = launch.directory.as_deref().unwrap_or(Path::new("")).join(command);
        return match path.metadata() {
            Ok(_) if runs(&path) => Ok(path),
            Ok(_) => Err(format!("{} is not executable; make it so (chmod +x)", path.display())),
            Err(error) => Err(format!("{}: {error}; correct `command`", path.display())),
        };
    }
    let own = launch.environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| OsString::from(value));
    let path = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    split_paths(&path).map(|directory| directory.join(command)).find(|path| runs(path)).ok_or_else(|| {
        format!("there is no {command} on PATH ({}); name it with its directory", path.to_string_lossy())
    })
}
