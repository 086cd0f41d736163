//! Listen addresses as they are written in the config file and after `--bind`.
//!
//! Names of hosts are resolved for listeners alone, while the configuration is read: at the start and at a reload, never while somebody waits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use super::owner::Owner;

/// Port that makes an address without a scheme one for TLS.
pub(super) const PORT_HTTPS: u16 = 443;
/// Port of an address that names none, as in gunicorn.
const PORT_DEFAULT: u16 = 8000;

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    /// TCP. Port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A Unix stream socket at this absolute path, at most 107 bytes (unix(7)).
    Unix(PathBuf),
}

/// One listener: where it is, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Where.
    pub address: Listen,
    /// TLS instead of plain HTTP.
    pub tls: bool,
    /// Plain requests are sent on to HTTPS; never together with `tls`.
    pub redirect_https: bool,
    /// Every connection begins with a PROXY header of one of the trusted proxies.
    pub proxy_protocol: bool,
    /// An IPv6 address is not listened on for IPv4 (ipv6(7), IPV6_V6ONLY); false for others.
    pub ipv6_only: bool,
    /// Permissions of a unix socket's file.
    pub mode: u32,
    /// Whose that file is; `None`: the server's own.
    pub owner: Option<Owner>,
}

/// Permissions of a unix listener's socket file, where nobody has said any: as nginx and gunicorn make it.
const SOCKET_MODE: u32 = 0o666;

impl Listener {
    /// Plain HTTP and nothing else.
    pub fn plain(address: Listen) -> Listener {
        Listener {
            address,
            tls: false,
            redirect_https: false,
            proxy_protocol: false,
            ipv6_only: false,
            mode: SOCKET_MODE,
            owner: None,
        }
    }
}

impl fmt::Display for Listener {
    /// As [`Listen`], with the scheme that is spoken.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Listen::Tcp(address) if self.tls => write!(f, "https://{address}"),
            other => other.fmt(f),
        }
    }
}

/// Longest path of a Unix socket, bytes: `sun_path` less its closing NUL (unix(7)).
const UNIX_PATH_BYTES_MAX: usize = 107;

impl Listen {
    /// Reads `ADDRESS:PORT`, `ADDRESS`, `[IPV6]:PORT`, `:PORT`, `PORT`, `localhost…`, `*…` or `unix:PATH`.
    /// A relative `PATH` starts at `base`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str, base: &Path) -> Result<Listen, String> {
        Self::read(text, base, |host, _| {
            Err(format!("\"{host}\" is not an IP address; write for example \"127.0.0.1:8000\""))
        })
    }

    /// The same, and `NAME:PORT` with the name of a host, which is resolved as getaddrinfo(3) does it. That may take its time.
    ///
    /// # Errors
    /// As [`Listen::parse`]; nobody knows the name.
    pub fn resolve(text: &str, base: &Path) -> Result<Listen, String> {
        Self::read(text, base, resolved)
    }

    fn read(
        text: &str,
        base: &Path,
        named: impl FnOnce(&str, u16) -> Result<IpAddr, String>,
    ) -> Result<Listen, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path, base);
        }
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = split(text)?;
        let ip = match host {
            "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => match host.parse() {
                Ok(ip) => ip,
                Err(_) => named(host, port)?,
            },
        };
        Ok(Listen::Tcp(SocketAddr::new(ip, port)))
    }
}

/// The address of a host by its name: one of IPv4 if it has any, as Gunicorn binds it.
fn resolved(host: &str, port: u16) -> Result<IpAddr, String> {
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    // getaddrinfo(3) would take "1.2.3" for 1.2.0.3.
    let is_number = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let shown = host.escape_debug();
    if is_number || !host.trim_end_matches('.').split('.').all(is_label) {
        return Err(format!(
            "\"{shown}\" is neither an IP address nor the name of a host; write for example \"127.0.0.1:8000\""
        ));
    }
    let found = (host, port).to_socket_addrs().map_err(|error| format!("\"{shown}\" cannot be resolved: {error}"))?;
    let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("\"{shown}\" has no address"))
}

/// Host and port of `text`; the host of `[::1]:80` comes without its brackets.
fn split(text: &str) -> Result<(&str, u16), String> {
    if text.is_empty() {
        return Err("an address must not be empty".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(("", port(text)?));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| format!("\"{text}\" lacks the closing \"]\""))?;
        return match rest.strip_prefix(':') {
            Some(digits) => Ok((host, port(digits)?)),
            None if rest.is_empty() => Ok((host, PORT_DEFAULT)),
            None => Err(format!("\"{text}\" has something other than \":PORT\" after \"]\"")),
        };
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            Err(format!("\"{text}\" must have its IPv6 address in brackets, as in \"[::1]:8000\""))
        }
        Some((host, digits)) => Ok((host, port(digits)?)),
        None => Ok((text, PORT_DEFAULT)),
    }
}

fn port(digits: &str) -> Result<u16, String> {
    let wrong = || format!("\"{digits}\" is not a port number (0 to 65535)");
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}

/// `unix:PATH` and `unix://PATH`, both of which gunicorn takes.
fn unix(path: &str, base: &Path) -> Result<Listen, String> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains('\0') {
        return Err("\"unix:\" must be followed by the path of a socket".to_owned());
    }
    let path = base.join(path);
    if path.as_os_str().len() > UNIX_PATH_BYTES_MAX {
        return Err(format!("{} is longer than the {UNIX_PATH_BYTES_MAX} bytes of a socket's path", path.display()));
    }
    Ok(Listen::Unix(path))
}

impl fmt::Display for Listen {
    /// As a person would type it into a browser or a proxy's config: `http://127.0.0.1:8000`, `unix:/run/site.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => write!(f, "http://{address}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Listen::parse(text, Path::new("/base")).map(|listen| listen.to_string())
    }

    #[test]
    fn every_spelling_is_understood() {
        for (text, expected) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("127.0.0.1", "http://127.0.0.1:8000"),
            ("0.0.0.0:0", "http://0.0.0.0:0"),
            (":8080", "http://0.0.0.0:8080"),
            ("8080", "http://0.0.0.0:8080"),
            ("*:80", "http://0.0.0.0:80"),
            ("localhost:80", "http://127.0.0.1:80"),
            ("tcp://10.0.0.1:81", "http://10.0.0.1:81"),
            ("0.0.0.0:443", "http://0.0.0.0:443"),
            ("[::1]:8000", "http://[::1]:8000"),
            ("[::]", "http://[::]:8000"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("unix:a.sock", "unix:/base/a.sock"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn names_of_hosts_are_resolved_for_listeners_alone() {
        let resolve = |text: &str| Listen::resolve(text, Path::new("/base")).map(|listen| listen.to_string());
        assert_eq!(resolve("localhost:80").as_deref(), Ok("http://127.0.0.1:80"));
        // Names that no server of names is asked for.
        let long = format!("{}.invalid:80", "x".repeat(64));
        assert!(resolve(&long).is_err_and(|message| message.contains("cannot be resolved")));
        for text in ["1.2.3:80", "a..b:80", "a b:80", "[1.2:80]", "http//a:80"] {
            assert!(resolve(text).is_err_and(|message| !message.contains("resolved")), "{text}");
        }
        // One of this machine's own, where it has any.
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut words = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
        let found = words.find_map(|mut words| {
            let ip: Ipv4Addr = words.next()?.parse().ok()?;
            Some((ip, words.find(|name| !name.starts_with("localhost"))?))
        });
        match found {
            Some((ip, name)) => {
                let same =
                    |text: String| text.starts_with("http://") && text.ends_with(":81") && parse(&text[7..]).is_ok();
                assert!(resolve(&format!("{name}:81")).is_ok_and(same), "{name}, such as {ip}");
            }
            None => eprintln!("not shown: /etc/hosts names nobody but localhost"),
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX));
        for text in [
            "",
            "example.com:80",
            "1.2.3.4:",
            "1.2.3.4:+80",
            "1.2.3.4:65536",
            "99999",
            "::1",
            "[::1",
            "[::1]80",
            "[1.2:80",
            "unix:",
            "unix:a\0b",
            "1.2.3:80",
            &long,
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }
}
