//! nginx as a peer: found, configured for one document root, started in the foreground and ended by its process id.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::support::DEADLINE;

/// How often another port is tried when somebody else took the one that was free.
const TRIES: usize = 5;

/// A running nginx.
pub struct Nginx {
    child: Child,
    pub address: SocketAddr,
    _folder: TempDir,
}

/// Where nginx is, if it is installed.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("nginx")).find(|file| file.is_file())
}

impl Nginx {
    /// Serves `root` on a port that the kernel chose.
    pub fn start(binary: &Path, root: &Path) -> Nginx {
        let mut told = String::new();
        for _ in 0..TRIES {
            match Nginx::try_start(binary, root) {
                Ok(nginx) => return nginx,
                Err(error) => told = error,
            }
        }
        panic!("nginx does not start: {told}");
    }

    fn try_start(binary: &Path, root: &Path) -> Result<Nginx, String> {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("a bound socket has an address");
        drop(free);
        let (config, errors) = (folder.path().join("nginx.conf"), folder.path().join("errors"));
        fs::write(&config, configuration(folder.path(), root, address)).expect("a writable folder");
        let child = Command::new(binary)
            .args(["-e".as_ref(), errors.as_os_str(), "-p".as_ref(), folder.path().as_os_str(), "-c".as_ref()])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut nginx = Nginx { child, address, _folder: folder };
        let limit = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            if nginx.child.try_wait().is_ok_and(|status| status.is_some()) || Instant::now() > limit {
                return Err(fs::read_to_string(&errors).unwrap_or_default());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What a team would write to serve this folder. One process, so that ending it ends nginx. Types are those of the files that the cases ask for:
/// the two servers' tables are not what is compared.
fn configuration(folder: &Path, root: &Path, address: SocketAddr) -> String {
    let (folder, root) = (folder.display(), root.display());
    format!(
        r#"
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors; events {{ worker_connections 512; }}
http {{
  types {{
    text/html html; text/plain txt; text/css css; text/javascript js; application/json json; image/png png; image/svg+xml svg;
    font/woff2 woff2; application/pdf pdf; application/gzip gz;
  }}
  default_type application/octet-stream; charset utf-8; charset_types text/html text/plain text/css text/javascript application/json;
  access_log off; sendfile on; tcp_nopush on; max_ranges 16; gzip_static on; gzip_vary on; gzip_http_version 1.0; gzip_proxied any; server_tokens off; absolute_redirect off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {address} default_server; root {root}; index index.html;
    location ~ "/\.(?!well-known/)" {{ return 404; }}
  }}
}}
"#
    )
}
