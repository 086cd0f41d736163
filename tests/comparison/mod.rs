//! What the comparison with nginx is made of: the peer, the files, the requests, and the reading of answers.

pub mod cases;
pub mod deviations;
pub mod nginx;
pub mod root;
pub mod selections;

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

/// The fields of successful responses that matter to a client or a cache.
const FIELDS: &[&str] = &[
    "Accept-Ranges",
    "Allow",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Last-Modified",
    "Location",
    "Transfer-Encoding",
    "Vary",
];
/// Those of a page of the server's own, whose text, type and length are each server's.
const FIELDS_OF_PAGES: &[&str] = &["Allow", "Content-Range", "Location"];

/// Answers in words that are the same for both servers where they mean the same. Four differences are not shown, because they are in every answer
/// of their kind and the RFC leaves them open or asks for ours:
///
/// * `Connection: keep-alive` to HTTP/1.1, which nginx sends although it is the default there (RFC 9112 §9.3); `close` is shown.
/// * Accept-Ranges in a 206, which nginx leaves out (RFC 9110 §14.3: it may be sent).
/// * Last-Modified in a 304 that has an entity tag, which nginx sends (RFC 9110 §15.4.5: it should not be).
/// * Allow in a 405, which nginx leaves out although it must be there (RFC 9110 §15.5.6); that ours has it is seen to here.
pub fn summary(own: bool, (responses, end): &(Vec<Response>, ReadError)) -> String {
    let mut words: Vec<String> = Vec::new();
    for response in responses {
        let page = response.status >= 300 && response.status != 304;
        let boundary =
            response.all("content-type").first().and_then(|value| Some(value.split_once("boundary=")?.1.to_owned()));
        words.push(response.status.to_string());
        assert!(!own || response.status != 405 || response.field("allow").is_some(), "a 405 without Allow");
        for name in if page { FIELDS_OF_PAGES } else { FIELDS } {
            let left_open = match response.status {
                206 => *name == "Accept-Ranges" || (*name == "Content-Length" && boundary.is_some()),
                304 => *name == "Last-Modified",
                405 => *name == "Allow",
                _ => false,
            };
            let values = response.all(name).into_iter().filter(|_| !left_open);
            words.extend(values.map(|value| format!("{name}={}", without(value, boundary.as_deref()))));
        }
        words.extend(
            response.all("etag").iter().map(|tag| if tag.starts_with("W/") { "weak" } else { "tag" }.to_owned()),
        );
        words.extend(response.closes().then(|| "close".to_owned()));
        if !page {
            words.push(shown(&response.body, boundary.as_deref()));
        }
        words.push("|".to_owned());
    }
    if !matches!(end, ReadError::Closed | ReadError::Reset) {
        words.push(format!("{end:?}"));
    }
    words.join(" ").trim_end_matches(" |").to_owned()
}

/// `text` without what each server chooses for itself.
fn without(text: &str, boundary: Option<&str>) -> String {
    boundary.map_or_else(|| text.to_owned(), |boundary| text.replace(boundary, "BOUNDARY"))
}

/// Short bodies as they are, long ones by length and FNV-1a.
fn shown(body: &[u8], boundary: Option<&str>) -> String {
    let body = without(&body.escape_ascii().to_string(), boundary);
    if body.len() <= 64 {
        return format!("{body:?}");
    }
    let hash = body
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{} bytes {hash:x}", body.len())
}
