//! One TLS session: received bytes in; decrypted bytes, and bytes to be sent, out.
//!
//! Owns the session's keys and the record that has not arrived in full. Never waits and knows no socket. It uses rustls without its
//! buffers: records are decrypted where they lie, and an idle session holds no memory for either direction.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use rustls::{CipherSuite, Error, HandshakeKind, ProtocolVersion, ServerConfig};

use super::subject::distinguished_name;
use crate::base::bounds::TLS_PENDING_BYTES_MAX;

/// The server's side of a session.
pub struct ServerSession {
    connection: UnbufferedServerConnection,
    /// The beginning of a record, or of a message in several records.
    pending: Vec<u8>,
    is_closed: bool,
    /// It must not be shown anything any more.
    has_failed: bool,
}

/// The session can't go on; what the client should be told is among the bytes to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure(Error);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {}

/// What was agreed on, in the words of OpenSSL and nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `TLSv1.3` or `TLSv1.2`.
    pub protocol: &'static str,
    /// Such as `TLS_AES_128_GCM_SHA256` or `ECDHE-ECDSA-AES128-GCM-SHA256`.
    pub cipher: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The certificate that the client has shown; it was verified.
    pub client: Option<ClientCertificate>,
}

/// What an application wants to know of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject (RFC 4514).
    pub subject: String,
    /// The issuer (RFC 4514).
    pub issuer: String,
    /// The serial number, hexadecimal.
    pub serial: String,
}

/// What the records around an application's bytes add, at most: for each a header, a nonce and a tag.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// Bytes of an application in one record (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;

impl ServerSession {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<ServerSession, Failure> {
        let connection = UnbufferedServerConnection::new(config).map_err(Failure)?;
        Ok(ServerSession { connection, pending: Vec::new(), is_closed: false, has_failed: false })
    }

    /// Takes what has arrived, which is decrypted in place. Appends to `plain` what it holds for the application, and to `out`
    /// what is to be sent. One handshake step may take a signature's time.
    ///
    /// # Errors
    /// The client broke the rules, or nothing could be agreed on.
    pub fn receive(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Failure> {
        if self.has_failed {
            return Err(Failure(Error::General("the session has failed before".to_owned())));
        }
        let result = self.take(bytes, plain, out);
        self.has_failed = result.is_err();
        result
    }

    fn take(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Failure> {
        if self.pending.is_empty() {
            let used = self.process(bytes, plain, out)?;
            self.pending.extend_from_slice(&bytes[used..]);
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(bytes);
            let used = self.process(&mut pending, plain, out)?;
            if used < pending.len() {
                pending.drain(..used);
                self.pending = pending;
            }
        }
        if self.pending.len() > TLS_PENDING_BYTES_MAX {
            return Err(Failure(Error::General("a message is too long".to_owned())));
        }
        Ok(())
    }

    /// Returns how many bytes were used.
    fn process(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(&mut bytes[used..]);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(Failure)?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => append(out, 0, |out| data.encode(out))?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_closed = true,
                Ok(ConnectionState::Closed | ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    is_done = true;
                }
                // 0-RTT data is never agreed to, and there are no other states.
                Ok(_) => return Err(Failure(Error::General("unknown state".to_owned()))),
                Err(error) => {
                    used += discard;
                    self.alert(&mut bytes[used..], out);
                    return Err(Failure(error));
                }
            }
            used += discard;
            if is_done {
                return Ok(used);
            }
        }
    }

    /// Appends what a failed session has to say.
    fn alert(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) {
        // It may stand behind a part of the server's flight. With nothing to be sent the session must not be shown the bytes again.
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(bytes);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else { return };
            if append(out, 0, |out| data.encode(out)).is_err() {
                return;
            }
        }
    }

    /// Appends `plain` to `out` as records.
    ///
    /// # Errors
    /// The handshake is not complete, or the keys are worn out.
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let expected = plain.len() + plain.len().div_ceil(RECORD_BYTES_MAX) * RECORD_OVERHEAD_BYTES;
        self.write(out, expected, |traffic, out| traffic.encrypt(plain, out))
    }

    /// Appends the announcement that nothing more comes (RFC 8446 §6.1); nothing before the handshake is complete.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        // A session that can't say it ends without.
        let _ = self.write(out, RECORD_OVERHEAD_BYTES, |traffic, out| traffic.queue_close_notify(out));
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        expected: usize,
        mut what: impl FnMut(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), Failure> {
        if self.has_failed {
            return Err(Failure(Error::General("the session has failed before".to_owned())));
        }
        loop {
            // The incomplete record is shown again each time: the session counts on finding it.
            let status = self.connection.process_tls_records(&mut self.pending);
            match status.state.map_err(Failure)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return append(out, expected, |out| what(&mut traffic, out));
                }
                ConnectionState::EncodeTlsData(mut data) => append(out, 0, |out| data.encode(out))?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_closed = true,
                _ => return Err(Failure(Error::HandshakeNotComplete)),
            }
        }
    }

    /// Whether the handshake is not complete yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the client has said that it sends nothing more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What was agreed on, once the handshake is complete.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let suite = self.connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let certificate = self.connection.peer_certificates().and_then(|chain| chain.first());
        Facts {
            protocol: match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: suite.map_or("", cipher_name),
            resumed: self.connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client: certificate.and_then(|certificate| {
                let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
                Some(ClientCertificate {
                    subject: distinguished_name(parsed.subject()),
                    issuer: distinguished_name(parsed.issuer()),
                    serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
                })
            }),
        }
    }
}

/// OpenSSL's name of a suite.
fn cipher_name(suite: CipherSuite) -> &'static str {
    use CipherSuite as S;
    match suite {
        S::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        S::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        S::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

/// Why bytes could not be put into a buffer.
trait Unwritten {
    /// The size that the buffer would need; otherwise what is wrong.
    fn size(self) -> Result<usize, Failure>;
}

impl Unwritten for EncodeError {
    fn size(self) -> Result<usize, Failure> {
        match self {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Ok(required_size),
            EncodeError::AlreadyEncoded => Err(Failure(Error::General("encoded twice".to_owned()))),
        }
    }
}

impl Unwritten for EncryptError {
    fn size(self) -> Result<usize, Failure> {
        match self {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Ok(required_size),
            EncryptError::EncryptExhausted => Err(Failure(Error::EncryptError)),
        }
    }
}

/// Lets `write` fill the end of `out`, which is given `expected` bytes of room, or as many as it turns out to need.
fn append<E: Unwritten>(
    out: &mut Vec<u8>,
    expected: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Failure> {
    let start = out.len();
    let mut room = expected;
    loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]).map_err(Unwritten::size) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(Ok(required)) if required > room => room = required,
            Err(Ok(_)) => {
                out.truncate(start);
                return Err(Failure(Error::General("a buffer does not suffice".to_owned())));
            }
            Err(Err(failure)) => {
                out.truncate(start);
                return Err(failure);
            }
        }
    }
}
