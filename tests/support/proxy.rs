//! PROXY headers, and servers that ask for them.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Builder, Client, Server};

/// Listens for connections that begin with a PROXY header: a line of `[server]`. `more`: further keys of the listener.
pub fn listen(more: &str) -> String {
    format!("listen = [{{ address = '127.0.0.1:0', proxy_protocol = true, {more} }}]")
}

/// Starts a server whose only listener is the one of [`listen`].
#[track_caller]
pub fn start(builder: Builder, more: &str) -> (Server, SocketAddr) {
    let server = builder.silent().server_key(&listen(more)).run();
    let line = server.wait_for_line("ready: listening on ");
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("the line ends in a port");
    (server, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// A header of version 1 with these words.
pub fn v1(words: impl Display) -> Vec<u8> {
    format!("PROXY {words}\r\n").into_bytes()
}

/// A header of version 2: the command (0: LOCAL, 1: PROXY), the byte of family and transport, and what follows the length.
pub fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend((block.len() as u16).to_be_bytes());
    header.extend(block);
    header
}

/// The header of version 2 for a client over TCP, with further fields behind the addresses.
pub fn v2_from(source: &str, destination: &str, further: &[u8]) -> Vec<u8> {
    let ends = [source, destination].map(|text| text.parse::<SocketAddr>().expect("an address"));
    let mut block = Vec::new();
    for end in ends {
        match end.ip() {
            IpAddr::V4(address) => block.extend(address.octets()),
            IpAddr::V6(address) => block.extend(address.octets()),
        }
    }
    ends.iter().for_each(|end| block.extend(end.port().to_be_bytes()));
    block.extend(further);
    v2(1, if ends[0].is_ipv4() { 0x11 } else { 0x21 }, &block)
}

/// A connection from `source` that has sent this header.
#[track_caller]
pub fn connect(source: Ipv4Addr, address: SocketAddr, header: &[u8]) -> Client {
    let mut client = Client::connect_from(source, address);
    client.try_send(header);
    client
}
