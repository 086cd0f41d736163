//! What the comparison with nginx is made of: the peer, the cases, and the reading of answers.

pub mod cases;
pub mod nginx;

use std::net::{SocketAddr, TcpStream};

use crate::support::{Client, ReadError, Response};

/// One exchange: bytes for a connection of their own, which is then closed on this side.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    request: String,
}

impl Case {
    /// In `request`, TAG and LARGE stand for the entity tags that the server itself gives `/letters.txt` and `/large.bin`.
    pub fn new(name: String, request: String) -> Case {
        Case { name: name.escape_debug().to_string(), request }
    }

    /// The answers of a server whose entity tags are `tags`, and how the connection ended.
    pub fn ask(&self, address: SocketAddr, tags: &[String; 2]) -> (Vec<Response>, ReadError) {
        let request = self.request.replace("TAG", &tags[0]).replace("LARGE", &tags[1]);
        let mut client = Client::over(TcpStream::connect(address).expect("the server accepts"));
        client.try_send(&request);
        client.half_close();
        let mut responses = Vec::new();
        // As the methods stand in the bytes: no case has a body that looks like a request and is taken for a HEAD.
        let mut methods = request.lines().filter(|line| line.contains(" HTTP/")).map(|line| line.split(' ').next());
        loop {
            let method = methods.next().flatten().unwrap_or("GET");
            match client.try_response(method) {
                Ok(response) => responses.push(response),
                Err(end) => return (responses, end),
            }
        }
    }
}
