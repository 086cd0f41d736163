//! Looks at challenges, as an authority does: over HTTP (RFC 8555 §8.3) and in a TLS handshake (RFC 8737 §3).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use aws_lc_rs::{digest, signature};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::extensions::GeneralName;

use super::{LOOK, Manners};

/// Looks as often as the manners say, each time on a connection of its own.
pub fn at(manners: &Manners, kind: &str, name: &str, token: &str, answer: &str) -> Result<(), String> {
    for _ in 0..manners.looks {
        match kind {
            "http-01" => over_http(manners.http_port, name, token, answer)?,
            "tls-alpn-01" => in_handshake(manners.tls_port, name, answer)?,
            other => return Err(format!("{other} was not offered")),
        }
    }
    Ok(())
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("connect: {error}"))?;
    stream.set_read_timeout(Some(LOOK)).expect("an option");
    Ok(stream)
}

fn over_http(port: u16, name: &str, token: &str, answer: &str) -> Result<(), String> {
    let mut stream = connect(port)?;
    let request =
        format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut response = String::new();
    stream.read_to_string(&mut response).map_err(|error| error.to_string())?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no head")?;
    match head.starts_with("HTTP/1.1 200 ") && body == answer {
        true => Ok(()),
        false => Err(format!("HTTP-01 has found {response:?}")),
    }
}

fn in_handshake(port: u16, name: &str, answer: &str) -> Result<(), String> {
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = name.to_owned();
    let server = ServerName::try_from(name.clone()).map_err(|error| error.to_string())?;
    let mut session = ClientConnection::new(Arc::new(config), server).map_err(|error| error.to_string())?;
    let mut stream = connect(port)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error| format!("TLS-ALPN-01: {error}"))?;
    }
    if session.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("TLS-ALPN-01: another protocol".to_owned());
    }
    let certificate = session.peer_certificates().and_then(|chain| chain.first()).ok_or("no certificate")?;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let names = parsed.subject_alternative_name().ok().flatten().ok_or("no names")?;
    if names.value.general_names != [GeneralName::DNSName(&name)] {
        return Err(format!("TLS-ALPN-01: it is for {:?}", names.value.general_names));
    }
    let identifier = parsed.extensions().iter().find(|found| found.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    let identifier = identifier.ok_or("TLS-ALPN-01: the certificate holds no digest")?;
    let digest = digest::digest(&digest::SHA256, answer.as_bytes());
    match identifier.critical && identifier.value == [&[4, 32], digest.as_ref()].concat() {
        true => Ok(()),
        false => Err("TLS-ALPN-01: the digest is wrong".to_owned()),
    }
}

/// Trusts every certificate; sees that its key has signed. (rustls does not look at certificates with a critical extension that it does
/// not know.)
#[derive(Debug)]
struct Anything;

fn verify(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let wrong = || Error::General("the signature is wrong".to_owned());
    let (_, parsed) = x509_parser::parse_x509_certificate(cert).map_err(|_| wrong())?;
    let point = parsed.public_key().subject_public_key.data.as_ref();
    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
        .verify(message, dss.signature())
        .map_err(|_| wrong())?;
    Ok(HandshakeSignatureValid::assertion())
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
