//! The connection to a server's control socket: where it is, calls, and tails of logs.
//!
//! Owns the little HTTP that this takes. Blocks: it runs in a command that has nothing else to do.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{GENERIC, NOT_RUNNING};
use crate::base::bounds::CONTROL_ANSWER_BYTES_MAX;
use crate::config::control::client_sockets;
use crate::config::{SocketChoice, Surroundings, control_of};
use crate::control::{Call, Fault, Value, encode_base64, parse_response, write_call};

/// Why an answer did not come.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody is there.
    Nobody(String),
    /// The connection, or what came over it, was broken.
    Broken(String),
    /// The server refused.
    Refused(Fault),
}

impl Trouble {
    /// The exit code that stands for it.
    pub fn code(&self) -> u8 {
        match self {
            Trouble::Nobody(_) => NOT_RUNNING,
            Trouble::Broken(_) | Trouble::Refused(_) => GENERIC,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Nobody(text) | Trouble::Broken(text) => f.write_str(text),
            Trouble::Refused(fault) => f.write_str(&fault.text),
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

impl Address {
    fn parse(url: &str) -> Result<Address, String> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Address::Unix(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        let Some(host) = url.strip_prefix("http://") else {
            return Err(format!("\"{url}\" is no address of a server; write unix:///PATH or http://HOST:PORT"));
        };
        let host = host.trim_end_matches('/');
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Address::Tcp(if has_port { host.to_owned() } else { format!("{host}:80") }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(host) => write!(f, "http://{host}"),
        }
    }
}

/// Asks one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    address: Address,
    /// The Authorization field's value.
    authorization: Option<String>,
    /// Nobody has said where the server is, so it may be another project's.
    pub is_guessed: bool,
}

/// The client for the server at `url`, or where the config files say, or where a server usually is.
///
/// # Errors
/// A sentence.
pub(super) fn find(
    url: Option<&str>,
    (file, conf): (Option<&Path>, Option<&Path>),
    (username, password): (Option<String>, Option<String>),
) -> Result<Client, String> {
    let Found { address, known, is_guessed } = match url {
        Some(url) => Found { address: Address::parse(url)?, known: None, is_guessed: false },
        None => configured(file, conf)?,
    };
    let credentials = match (username, password, known) {
        (Some(username), Some(password), _) => Some((username, password)),
        (Some(_), None, _) => return Err("a name takes a password; set MAITRED_CONTROL_PASSWORD".to_owned()),
        (None, _, known) => known,
    };
    let authorization = credentials
        .filter(|_| matches!(address, Address::Tcp(_)))
        .map(|(username, password)| format!("Basic {}", encode_base64(format!("{username}:{password}").as_bytes())));
    Ok(Client { address, authorization, is_guessed })
}

/// Where a server is.
struct Found {
    address: Address,
    /// A name and a password for it.
    known: Option<(String, String)>,
    /// Nobody has said so.
    is_guessed: bool,
}

fn configured(file: Option<&Path>, conf: Option<&Path>) -> Result<Found, String> {
    let around =
        Surroundings::of_process().map_err(|error| format!("the working directory cannot be used: {error}"))?;
    let (config, client) = control_of(file, conf, &around).map_err(|errors| errors.to_string())?;
    let said = |address, known| Ok(Found { address, known, is_guessed: false });
    if let Some(url) = client.url {
        return said(Address::parse(&url)?, client.username.zip(client.password));
    }
    if let SocketChoice::Path(path) = config.socket {
        return said(Address::Unix(path), None);
    }
    if config.socket == SocketChoice::Off {
        let plain = config.credentials.filter(|known| !known.password.starts_with("{SHA}"));
        let known = plain.map(|known| (known.username, known.password));
        return match config.listen.first() {
            Some(address) => said(Address::parse(&address.to_string())?, known),
            None => Err("the configuration has no control socket: socket = \"off\" in [control]".to_owned()),
        };
    }
    let sockets = client_sockets();
    // One that nobody listens on is left over.
    let answers = |path: &&PathBuf| UnixStream::connect(path).is_ok();
    let found = sockets.iter().find(answers).or_else(|| sockets.iter().find(|path| path.exists())).or(sockets.first());
    let path = found.cloned().expect("the last resort is always there");
    Ok(Found { address: Address::Unix(path), known: None, is_guessed: true })
}

/// A connection's two sides.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Client {
    /// The URL of the server.
    pub fn url(&self) -> String {
        self.address.to_string()
    }

    fn connect(&self) -> Result<Box<dyn Stream>, Trouble> {
        let connected = match &self.address {
            Address::Unix(path) => UnixStream::connect(path).map(|stream| Box::new(stream) as Box<dyn Stream>),
            Address::Tcp(host) => TcpStream::connect(host).map(|stream| Box::new(stream) as Box<dyn Stream>),
        };
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Trouble::Nobody(format!("{} no such file: is the server running?", self.address))
            }
            io::ErrorKind::ConnectionRefused => Trouble::Nobody(format!("{} refused connection", self.address)),
            _ => Trouble::Broken(format!("{}: {error}", self.address)),
        })
    }

    /// Sends a request; what its answer begins with, and the rest to be read.
    fn request(&self, head: &str, body: &[u8]) -> Result<Answer, Trouble> {
        let mut stream = self.connect()?;
        let authorization = self.authorization.as_ref();
        let authorization = authorization.map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
        let mut bytes = format!("{head}Host: localhost\r\n{authorization}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        let broken = |error: io::Error| Trouble::Broken(format!("{}: {error}", self.address));
        stream.write_all(&bytes).map_err(broken)?;
        let answer = Answer::read(BufReader::new(stream)).map_err(broken)?;
        match answer.status {
            200 => Ok(answer),
            401 => Err(Trouble::Broken(format!("{} wants a name and a password (--username)", self.address))),
            404 => Err(Trouble::Broken(format!("{} has no such log", self.address))),
            status => Err(Trouble::Broken(format!("{} answered with status {status}", self.address))),
        }
    }

    /// Calls a method.
    pub fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, Trouble> {
        let document = write_call(&Call { method: method.to_owned(), params });
        let head = format!(
            "POST /RPC2 HTTP/1.1\r\nConnection: close\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n",
            document.len()
        );
        let mut answer = self.request(&head, document.as_bytes())?;
        let mut body = Vec::new();
        let read = answer.take_body().read_to_end(&mut body);
        read.map_err(|error| Trouble::Broken(format!("{}: {error}", self.address)))?;
        match parse_response(&body) {
            Ok(result) => result.map_err(Trouble::Refused),
            Err(malformed) => {
                Err(Trouble::Broken(format!("{} is no control socket of maitred: {}", self.address, malformed.0)))
            }
        }
    }

    /// A log as it is written, piece by piece, until either side ends.
    pub fn tail(&self, path: &str, mut take: impl FnMut(&[u8])) -> Result<(), Trouble> {
        let mut answer = self.request(&format!("GET {path} HTTP/1.1\r\n"), b"")?;
        while let Some(piece) = answer.chunk().map_err(|error| Trouble::Broken(format!("{}: {error}", self.address)))? {
            take(&piece);
        }
        Ok(())
    }
}

/// An answer whose head was read.
struct Answer {
    status: u16,
    length: Option<u64>,
    rest: BufReader<Box<dyn Stream>>,
}

impl Answer {
    fn read(mut rest: BufReader<Box<dyn Stream>>) -> io::Result<Answer> {
        let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let first = line(&mut rest)?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| bad("that is no HTTP"))?;
        let mut length = None;
        loop {
            let field = line(&mut rest)?;
            if field.is_empty() {
                return Ok(Answer { status, length, rest });
            }
            if let Some((name, value)) = field.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
    }

    fn take_body(&mut self) -> impl Read + '_ {
        (&mut self.rest).take(self.length.unwrap_or(CONTROL_ANSWER_BYTES_MAX).min(CONTROL_ANSWER_BYTES_MAX))
    }

    /// The next chunk of a chunked body; `None` at its end.
    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let header = line(&mut self.rest)?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the server's answer is broken");
        let size = u64::from_str_radix(header.trim(), 16).map_err(|_| bad())?;
        if size == 0 {
            return Ok(None);
        }
        if size > CONTROL_ANSWER_BYTES_MAX {
            return Err(bad());
        }
        let mut piece = vec![0; size as usize];
        self.rest.read_exact(&mut piece)?;
        line(&mut self.rest)?;
        Ok(Some(piece))
    }
}

/// Longest line of an answer's head.
const LINE_BYTES_MAX: u64 = 8 * 1024;

/// One line, without its end.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_supervisorctl() {
        let unix = |path: &str| Ok(Address::Unix(path.into()));
        let tcp = |host: &str| Ok(Address::Tcp(host.to_owned()));
        assert_eq!(Address::parse("unix:///run/x.sock"), unix("/run/x.sock"));
        assert_eq!(Address::parse("unix:/run/x.sock"), unix("/run/x.sock"));
        assert_eq!(Address::parse("http://127.0.0.1:9001/"), tcp("127.0.0.1:9001"));
        assert_eq!(Address::parse("http://host"), tcp("host:80"));
        assert_eq!(Address::parse("http://[::1]:9001"), tcp("[::1]:9001"));
        assert!(Address::parse("127.0.0.1:9001").is_err());
    }
}
