//! HTTP/1.1 over TLS, as little of it as an authority needs: a thread for each connection, bodies with a Content-Length.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::support::tls::Authority;

/// A request.
pub struct Request {
    pub method: String,
    pub path: String,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Its answer.
pub struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub fn text(status: u16, text: &str) -> Answer {
        Answer { status, fields: Vec::new(), body: text.as_bytes().to_vec() }
    }

    pub fn json(status: u16, value: &Value) -> Answer {
        Answer::text(status, &value.to_string()).with("Content-Type", "application/json")
    }

    pub fn with(mut self, name: &str, value: &str) -> Answer {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A listener that is accepted on by a thread.
pub struct Listener {
    listener: TcpListener,
    is_over: Arc<AtomicBool>,
}

impl Listener {
    pub fn bind() -> Listener {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Listener { listener, is_over: Arc::default() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("bound").port()
    }

    /// Answers with what `answer` says; nothing ends the connection.
    pub fn serve(&self, authority: &Authority, answer: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) {
        let path = |ending: &str| authority.folder().join(format!("acme.{ending}"));
        let chain = CertificateDer::pem_file_iter(path("pem")).expect("PEM").collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_file(path("key")).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair");
        let (config, answer) = (Arc::new(config), Arc::new(answer));
        let (listener, is_over) = (self.listener.try_clone().expect("a descriptor"), self.is_over.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (config, answer) = (config.clone(), answer.clone());
                std::thread::spawn(move || {
                    let session = ServerConnection::new(config).expect("a configuration");
                    let mut stream = BufReader::new(StreamOwned::new(session, stream));
                    while let Some(request) = read(&mut stream) {
                        let Some(answer) = answer(&request) else { return };
                        if write(stream.get_mut(), &request, &answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }

    pub fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port())));
    }
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    let mut next = |stream: &mut dyn BufRead| -> Option<String> {
        line.clear();
        stream.read_line(&mut line).ok().filter(|&len| len > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = next(stream)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut fields = Vec::new();
    loop {
        let line = next(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { method, path, fields, body: Vec::new() };
    let length = request.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn write(stream: &mut impl Write, request: &Request, answer: &Answer) -> std::io::Result<()> {
    let mut out = format!("HTTP/1.1 {} Status\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.fields {
        out += &format!("{name}: {value}\r\n");
    }
    out += "\r\n";
    stream.write_all(out.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body)?;
    }
    stream.flush()
}
