//! Whether the server that answers is the one of the project that the command was given in.
//!
//! Owns the comparison. Asked only where nobody has said which server is meant: one user's servers look for their socket at the same place.

use std::path::{Path, PathBuf};

use super::client::{Client, Trouble};
use super::processes::text;
use crate::config::{FILE_DEFAULT, MANAGE_PY};
use crate::control::Value;

/// The project of the working directory, or of the config file that was named.
pub(super) struct Project {
    /// What a server of its has for its origin or its directory; real paths.
    places: Vec<PathBuf>,
    /// What it is called.
    shown: PathBuf,
}

impl Project {
    /// `None` where there is nothing to serve.
    pub fn here(file: Option<&Path>) -> Option<Project> {
        let directory = std::env::current_dir().ok()?;
        if let Some(file) = file {
            let shown = directory.join(file).canonicalize().ok()?;
            return Some(Project { places: vec![shown.clone()], shown });
        }
        let config = directory.join(FILE_DEFAULT);
        let is_there = config.exists() || directory.join(MANAGE_PY).exists();
        let places = [&config, &directory].into_iter().filter_map(|path| path.canonicalize().ok()).collect();
        is_there.then_some(Project { places, shown: directory })
    }

    /// Whether a server with this status serves it.
    fn is_of(&self, status: &Value) -> bool {
        let told = [text(status, "origin"), text(status, "chdir")];
        // A server that does not tell is not judged.
        told[0].is_empty()
            || told.into_iter().filter(|path| !path.is_empty()).any(|path| {
                let real = Path::new(path).canonicalize().unwrap_or_else(|_| PathBuf::from(path));
                self.places.contains(&real)
            })
    }
}

/// The way out, if the server is another project's than the one here.
pub(super) fn mistaken(client: &Client, status: &Value, file: Option<&Path>) -> Option<String> {
    let project = Project::here(file).filter(|project| client.is_guessed && !project.is_of(status))?;
    let listen = super::show::list(status, "listen");
    let at = if listen.is_empty() { String::new() } else { format!(" on {listen}") };
    Some(format!(
        "the server at {url} is that of {origin}{at}, not of {here}; if it is meant all the same, name it: maitred ctl --server {url} …; else start the \
         server here with a socket of its own (socket = \"./maitred.sock\" in [control])",
        url = client.url(),
        origin = text(status, "origin"),
        here = project.shown.display(),
    ))
}

/// # Errors
/// The server is another project's than the one here.
pub(super) fn require(client: &Client, file: Option<&Path>) -> Result<(), Trouble> {
    if !client.is_guessed {
        return Ok(());
    }
    let status = client.call("maitred.getStatus", Vec::new())?;
    mistaken(client, &status, file).map_or(Ok(()), |text| Err(Trouble::Broken(text)))
}
