//! A client that sends exactly the bytes it is told to and reads strictly.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls::{ClientConnection, Stream};

use super::DEADLINE;
use super::response::{Framing, Response};

/// One connection. Bytes that arrived past the current response stay for the next.
pub struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    buffer: Vec<u8>,
    framing: Framing,
}

/// Why a response could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The connection ended in good order, between responses.
    Closed,
    /// The connection ended, by FIN or RST, inside a response.
    Cut,
    /// The connection was reset between responses.
    Reset,
    /// Nothing came within the read timeout.
    Timeout,
    /// The server broke HTTP.
    Malformed(String),
}

impl Client {
    /// Connects; every read is bounded by [`DEADLINE`].
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("connect {address}: {e}"));
        Client::over(stream)
    }

    /// Connects from an address of this host's own, such as another one of the loopback network.
    #[track_caller]
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Client {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        bind(&socket, &SocketAddr::from((source, 0))).unwrap_or_else(|e| panic!("bind {source}: {e}"));
        connect(&socket, &address).unwrap_or_else(|e| panic!("connect {address}: {e}"));
        Client::over(TcpStream::from(socket))
    }

    /// Connects to a unix socket.
    #[track_caller]
    pub fn connect_unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap_or_else(|e| panic!("connect {}: {e}", path.display()));
        // To the kernel a stream is a stream: reads, writes and their timeouts are the same.
        Client::timed(TcpStream::from(OwnedFd::from(stream)))
    }

    /// Takes over a stream that a test has set up in its own way.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a TCP option");
        Client::timed(stream)
    }

    fn timed(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket option");
        Client { stream, tls: None, buffer: Vec::new(), framing: Framing::Nothing }
    }

    /// Speaks TLS from now on, as [`Client::over_tls`].
    pub fn with_tls(self, tls: ClientConnection) -> Client {
        Client { tls: Some(Box::new(tls)), ..self }
    }

    /// Speaks TLS over a stream that a test has set up: the handshake happens at the first bytes. An end that the server does not
    /// announce then counts as [`ReadError::Reset`].
    pub fn over_tls(stream: TcpStream, tls: ClientConnection) -> Client {
        Client { tls: Some(Box::new(tls)), ..Client::over(stream) }
    }

    /// The TLS session.
    #[track_caller]
    pub fn tls(&mut self) -> &mut ClientConnection {
        self.tls.as_mut().expect("a client with TLS")
    }

    /// Shakes hands now.
    pub fn handshake(&mut self) -> std::io::Result<()> {
        let tls = self.tls.as_mut().expect("a client with TLS");
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut self.stream)?;
        }
        Ok(())
    }

    /// The socket, for options and addresses.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Another bound for each read.
    pub fn read_timeout(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a socket option");
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes), "the server takes the bytes");
    }

    /// Sends bytes to a server that may have closed already; false when it had.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        match &mut self.tls {
            Some(tls) => {
                let mut stream = Stream::new(&mut **tls, &mut self.stream);
                stream.write_all(bytes.as_ref()).and_then(|()| stream.flush()).is_ok()
            }
            None => self.stream.write_all(bytes.as_ref()).is_ok(),
        }
    }

    /// Sends in pieces of `size`, each in a segment of its own.
    #[track_caller]
    pub fn send_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        for piece in bytes.as_ref().chunks(size) {
            self.send(piece);
            std::thread::yield_now();
        }
    }

    /// Sends a bodiless request with a Host field and `fields` (each line ends with CRLF).
    #[track_caller]
    pub fn request(&mut self, method: &str, target: &str, fields: &str) {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    }

    /// GET on this connection, keeping it.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, "");
        self.response("GET")
    }

    /// POST with Content-Length on this connection, keeping it.
    #[track_caller]
    pub fn post(&mut self, target: &str, fields: &str, body: &[u8]) -> Response {
        let length = body.len();
        self.request("POST", target, &format!("Content-Length: {length}\r\n{fields}"));
        self.send(body);
        self.response("POST")
    }

    /// POST in chunks of `size`.
    #[track_caller]
    pub fn post_chunked(&mut self, target: &str, body: &[u8], size: usize) -> Response {
        self.request("POST", target, "Transfer-Encoding: chunked\r\n");
        for piece in body.chunks(size) {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            self.send(chunk);
        }
        self.send("0\r\n\r\n");
        self.response("POST")
    }

    /// The whole next response to a `method` request.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap_or_else(|error| panic!("no response: {error:?}; unread: {:?}", self.unread()))
    }

    /// As [`Client::response`], for tests that expect it to fail.
    pub fn try_response(&mut self, method: &str) -> Result<Response, ReadError> {
        let mut response = self.try_head(method)?;
        while let Some(piece) = self.try_piece()? {
            response.body.extend_from_slice(&piece);
        }
        Ok(response)
    }

    /// The head alone; the body then comes by [`Client::piece`].
    #[track_caller]
    pub fn head(&mut self, method: &str) -> Response {
        self.try_head(method).unwrap_or_else(|error| panic!("no response: {error:?}; unread: {:?}", self.unread()))
    }

    /// As [`Client::head`], for tests that expect it to fail.
    pub fn try_head(&mut self, method: &str) -> Result<Response, ReadError> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            self.fill().map_err(|error| match error {
                ReadError::Closed | ReadError::Reset if !self.buffer.is_empty() => ReadError::Cut,
                other => other,
            })?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let response = Response::from_head(&head[..end])?;
        self.framing = response.framing(method)?;
        Ok(response)
    }

    /// The next piece of the body: a chunk, or what has arrived; none at its end.
    #[track_caller]
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        self.try_piece().unwrap_or_else(|error| panic!("no more body: {error:?}"))
    }

    /// As [`Client::piece`], for tests that expect it to fail.
    pub fn try_piece(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        match self.framing {
            Framing::Nothing | Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                if self.buffer.is_empty() {
                    self.fill().map_err(inside)?;
                }
                let take = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.framing = Framing::Length(left - take as u64);
                Ok(Some(self.take(take)))
            }
            Framing::Close => match self.fill_if_empty() {
                Ok(()) => Ok(Some(self.take(self.buffer.len()))),
                Err(ReadError::Closed) => Ok(None),
                Err(error) => Err(inside(error)),
            },
            Framing::Chunked => self.chunk().map_err(inside),
        }
    }

    fn chunk(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let line = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.fill()?;
        };
        let digits = String::from_utf8_lossy(&self.buffer[..line]).into_owned();
        let size =
            usize::from_str_radix(&digits, 16).map_err(|_| ReadError::Malformed(format!("chunk size {digits:?}")))?;
        while self.buffer.len() < line + 2 + size + 2 {
            self.fill()?;
        }
        if &self.buffer[line + 2 + size..line + 4 + size] != b"\r\n" {
            return Err(ReadError::Malformed(format!("no CRLF after chunk of {size}")));
        }
        self.take(line + 2);
        let piece = self.take(size);
        self.take(2);
        if size == 0 {
            self.framing = Framing::Nothing;
            return Ok(None);
        }
        Ok(Some(piece))
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        let _gone = self.stream.shutdown(Shutdown::Write);
    }

    /// Panics unless the server ends the connection in good order and without another byte.
    #[track_caller]
    pub fn expect_end(&mut self) {
        match self.fill_if_empty() {
            Err(ReadError::Closed) => {}
            Ok(()) => panic!("more bytes instead of the end: {:?}", self.unread()),
            Err(error) => panic!("{error:?} instead of the end"),
        }
    }

    /// Everything up to the end of the connection, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, ReadError) {
        loop {
            if let Err(error) = self.fill() {
                return (std::mem::take(&mut self.buffer), error);
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        if length == self.buffer.len() {
            return std::mem::take(&mut self.buffer);
        }
        self.buffer.drain(..length).collect()
    }

    fn unread(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(512)]).into_owned()
    }

    fn fill_if_empty(&mut self) -> Result<(), ReadError> {
        if self.buffer.is_empty() { self.fill() } else { Ok(()) }
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        let mut block = [0; 64 * 1024];
        let read = match &mut self.tls {
            Some(tls) => Stream::new(&mut **tls, &mut self.stream).read(&mut block),
            None => self.stream.read(&mut block),
        };
        match read {
            Ok(0) => Err(ReadError::Closed),
            Ok(length) => {
                self.buffer.extend_from_slice(&block[..length]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(ReadError::Timeout),
                ErrorKind::Interrupted => Ok(()),
                _ => Err(ReadError::Reset),
            },
        }
    }
}

/// Inside a body, the end of the connection cuts it.
fn inside(error: ReadError) -> ReadError {
    match error {
        ReadError::Closed | ReadError::Reset => ReadError::Cut,
        other => other,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
