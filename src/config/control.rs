//! `[control]`: from its table to the places where the running server is asked and told things.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::address::Listen;
use super::error::{ConfigErrors, Problem};
use super::merge;
use super::options::{self, Unit};
use super::owner::Owner;
use super::read;
use super::section::{Bases, Reader, table};
use super::sources::Surroundings;
use super::supervisord::{self, ClientConfig};
use super::value::{Place, Table, Value};

/// Name of the socket in the directory that is chosen for it.
const SOCKET_NAME: &str = "maitred.sock";

/// Where the running server is asked and told things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlConfig {
    /// The socket.
    pub socket: SocketChoice,
    /// Its permissions.
    pub mode: u32,
    /// Whose it is; `None`: the server's user's.
    pub owner: Option<Owner>,
    /// TCP addresses beside it.
    pub listen: Vec<Listen>,
    /// Who may come over TCP; there if `listen` is not empty.
    pub credentials: Option<Credentials>,
}

/// Which socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketChoice {
    /// The one that is meant for this user, unless another server has it.
    Automatic,
    /// This one, or the server does not start.
    Path(PathBuf),
    /// None.
    Off,
}

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password, or `{SHA}` and the hexadecimal SHA-1 of it.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl ControlConfig {
    /// Reads the table, or the defaults if there is none.
    pub(super) fn read(table: Option<(Place, Table)>, bases: Bases<'_>, problems: &mut Vec<Problem>) -> ControlConfig {
        let (place, table) = table.unwrap_or((Place::Nowhere, Table::default()));
        let mut reader = Reader::new(table, options::CONTROL.name, options::CONTROL.options, bases, problems);
        let listen = reader.placed(&options::CONTROL_LISTEN);
        let username = reader.optional(&options::CONTROL_USERNAME);
        let password = reader.optional(&options::CONTROL_PASSWORD);
        let credentials = match (username, password) {
            (Some(username), Some(password)) if !username.is_empty() && !password.is_empty() => {
                Some(Credentials { username, password })
            }
            (None, None) => None,
            _ => {
                reader.problem(place, "", "must have both a \"username\" and a \"password\", neither of them empty");
                None
            }
        };
        if let (Some((_, place)), None) = (&listen, &credentials) {
            let message = "needs a \"username\" and a \"password\": whoever gets through may do everything";
            reader.problem(place.clone(), "listen", message);
        }
        let config = ControlConfig {
            socket: reader.optional(&options::CONTROL_SOCKET).unwrap_or(SocketChoice::Automatic),
            mode: reader.value(&options::CONTROL_MODE),
            owner: reader.optional(&options::CONTROL_OWNER),
            listen: listen.map_or_else(Vec::new, |(listen, _)| listen),
            credentials,
        };
        reader.finish();
        config
    }
}

/// `[control]` alone of the config file that is named, or of the one in the working directory if there is one, and what a `supervisord.conf` says
/// of the same; of nothing else is any notice taken, so that a server can be asked although its next configuration is broken.
///
/// # Errors
/// What is wrong with the file or the section.
pub fn control_of(
    file: Option<&Path>,
    conf: Option<&Path>,
    around: &Surroundings,
) -> Result<(ControlConfig, ClientConfig), ConfigErrors> {
    let mut problems = Vec::new();
    // A gunicorn.conf.py has no such section.
    let file = file.filter(|file| file.extension().is_none_or(|extension| extension != "py"));
    let (mut top, base) = merge::file(file, around, &mut problems);
    let mut table = top.take(options::CONTROL.name).and_then(|placed| {
        let place = placed.place.clone();
        Some((place, table(placed, options::CONTROL.name, options::CONTROL.header, &mut problems)?))
    });
    let client = conf.map(|conf| supervisord::add_control(conf, around, &mut table, &mut problems));
    let bases = Bases { file: &base, working: &around.directory };
    let config = ControlConfig::read(table, bases, &mut problems);
    match ConfigErrors::of(problems) {
        Some(errors) => Err(errors),
        None => Ok((config, client.unwrap_or_default())),
    }
}

/// Where the socket may be when nobody has said it, the best place first. The server takes the first one.
pub fn automatic_sockets() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // systemd separates several by colons (systemd.exec(5), RuntimeDirectory=).
    let runtime = variable("RUNTIME_DIRECTORY").map(|path| {
        let text = path.to_string_lossy().into_owned();
        PathBuf::from(text.split(':').next().unwrap_or_default())
    });
    let last = if rustix::process::geteuid().is_root() { PathBuf::from("/run") } else { own_directory() };
    let directories = runtime.into_iter().chain(variable("XDG_RUNTIME_DIR")).chain([last]);
    directories.filter(|directory| directory.is_absolute()).map(|directory| directory.join(SOCKET_NAME)).collect()
}

/// Where a client looks for a server when nobody has said it: in its own user's places, and where systemd's `RuntimeDirectory=maitred` puts the socket
/// of a unit with a user of its own, whose variables a client does not have.
pub fn client_sockets() -> Vec<PathBuf> {
    let unit = Path::new("/run/maitred").join(SOCKET_NAME);
    automatic_sockets().into_iter().chain([unit]).collect()
}

/// A directory of this user where there is no better place.
fn own_directory() -> PathBuf {
    std::env::temp_dir().join(format!("maitred-{}", rustix::process::geteuid().as_raw()))
}

/// Makes the directory of an automatic socket where it is one in the directory for temporary files, for this user alone.
///
/// # Errors
/// A sentence: it can't be made, or is somebody else's.
pub fn prepare_directory(socket: &Path) -> Result<(), String> {
    let Some(directory) = socket.parent() else { return Ok(()) };
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    if directory == own_directory() {
        match std::fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let found = directory.symlink_metadata().map_err(failed)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
            return Err(format!("{} is not a directory of this user alone", directory.display()));
        }
    }
    Ok(())
}

pub(super) fn socket(value: &Value, unit: Unit, base: &Path) -> Result<SocketChoice, String> {
    let text = match value {
        Value::Bool(false) => return Ok(SocketChoice::Off),
        _ => read::text(value, unit, base)?,
    };
    match text.as_str() {
        "off" => Ok(SocketChoice::Off),
        "" => Err("must be the path of a socket, or \"off\"".to_owned()),
        path => match Listen::parse(&format!("unix:{}", path.strip_prefix("unix:").unwrap_or(path)), base)? {
            Listen::Unix(path) => Ok(SocketChoice::Path(path)),
            Listen::Tcp(_) => unreachable!("it begins with unix:"),
        },
    }
}

pub(super) fn listen(value: &Value, unit: Unit, base: &Path) -> Result<Vec<Listen>, String> {
    let address = |value: &Value| match Listen::parse(&read::text(value, unit, base)?, base)? {
        Listen::Unix(_) => Err("must be TCP addresses; the unix socket is \"socket\"".to_owned()),
        tcp => Ok(tcp),
    };
    match value {
        Value::List(items) => items.iter().map(|item| address(&item.value)).collect(),
        other => Ok(vec![address(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_paths_or_none() {
        let read = |text: &str| socket(&Value::Text(text.to_owned()), Unit::Path, Path::new("/base"));
        assert_eq!(read("off"), Ok(SocketChoice::Off));
        assert_eq!(read("x.sock"), Ok(SocketChoice::Path("/base/x.sock".into())));
        assert_eq!(read("unix:///run/x.sock"), Ok(SocketChoice::Path("/run/x.sock".into())));
        assert!(read(&"x".repeat(200)).is_err());
    }

    #[test]
    fn the_automatic_directory_must_be_this_users_alone() {
        assert_eq!(prepare_directory(Path::new("/run/maitred.sock")), Ok(()), "others' directories are not looked at");
        assert!(client_sockets().iter().all(|path| path.is_absolute() && path.ends_with(SOCKET_NAME)));
        assert_eq!(client_sockets().last().map(PathBuf::as_path), Some(Path::new("/run/maitred/maitred.sock")));
    }
}
