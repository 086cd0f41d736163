//! Whether a program's command can be run at all, looked at before anything is started for it.
//!
//! Owns supervisord's words for it. Looks at files only, as they are now.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::ProcessConfig;

/// Why it can't be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervise) enum Unusable {
    /// There is no such file.
    Missing(String),
    /// It is none that may be run.
    NotExecutable(String),
}

impl Unusable {
    /// supervisord's sentence.
    pub fn text(&self) -> &str {
        match self {
            Unusable::Missing(text) | Unusable::NotExecutable(text) => text,
        }
    }
}

/// Looks for the command's file.
pub(in crate::supervise) fn check(config: &ProcessConfig) -> Result<(), Unusable> {
    let program = config.launch.command.first().expect("a command has a first word");
    let file = if program.contains('/') {
        let directory = config.launch.directory.as_deref().unwrap_or(Path::new(""));
        Some(directory.join(program)).filter(|file| file.exists())
    } else {
        let own = config.launch.environment.iter().rfind(|(name, _)| name == "PATH");
        let path = own.map(|(_, value)| OsString::from(value)).or_else(|| std::env::var_os("PATH"));
        let path = path.unwrap_or_else(|| OsString::from("/bin:/usr/bin:/usr/local/bin"));
        std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.exists())
    };
    let Some(file) = file else {
        return Err(Unusable::Missing(format!("can't find command {}", quoted(Path::new(program)))));
    };
    judge(file)
}

fn judge(file: PathBuf) -> Result<(), Unusable> {
    use std::os::unix::fs::PermissionsExt;
    let name = quoted(&file);
    let Ok(found) = file.metadata() else {
        return Err(Unusable::Missing(format!("can't find command {name}")));
    };
    if found.is_dir() {
        return Err(Unusable::NotExecutable(format!("command at {name} is a directory")));
    }
    if found.permissions().mode() & 0o111 == 0 {
        return Err(Unusable::NotExecutable(format!("command at {name} is not executable")));
    }
    if access(&file, Access::EXEC_OK).is_err() {
        return Err(Unusable::NotExecutable(format!("no permission to run command {name}")));
    }
    Ok(())
}

/// As Python's repr() writes most strings.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.contains('\'') && !text.contains('"') { format!("\"{text}\"") } else { format!("'{text}'") }
}
