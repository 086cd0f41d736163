//! Field lines of applications: what passes can't end a head early, and what only the server may say is found and left out.

use maitred::http::app::{copy_without, is_hop_by_hop, scan};

pub const TARGET: super::Target = super::Target {
    name: "app_fields",
    run,
    seeds: &[
        b"\r\n",
        b"Content-Type: text/html\r\nContent-Length: 12\r\nX-A:\r\n\r\n",
        b"Connection: close\r\nTransfer-Encoding: chunked\r\nDate: x\r\nServer: y\r\n\r\n",
        b"Set-Cookie: a=b; HttpOnly\r\nProxy-Authenticate: z\r\nLocation: /\xc3\xa9\r\n\r\n",
        b"A: b\r\n c\r\n\r\n",
        b":Gone fishing\r\nA: b\r\n\r\n",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let Ok(found) = scan(input) else { return };
    let block = found.fields.as_bytes();
    let reason = found.reason.map(|reason| [b":", reason, b"\r\n"].concat()).unwrap_or_default();
    assert_eq!([&reason[..], block, b"\r\n"].concat(), input);
    assert!(!input[..input.len() - 2].windows(4).any(|end| end == b"\r\n\r\n") && !input.contains(&0));
    let lines: Vec<_> = found.fields.collect();
    assert_eq!(lines.len(), block.iter().filter(|byte| **byte == b'\n').count());
    assert_eq!(block.iter().filter(|byte| **byte == b'\r').count(), lines.len(), "no CR stands alone");
    assert_eq!(found.has_hop_by_hop, lines.iter().any(|(name, _)| is_hop_by_hop(name)));
    let mut kept = Vec::new();
    copy_without(found.fields, &mut kept, is_hop_by_hop);
    kept.extend_from_slice(b"\r\n");
    let again = scan(&kept).expect("what is left of good lines is good");
    assert!(!again.has_hop_by_hop);
    assert_eq!(
        (again.content_length, again.has_date, again.has_server),
        (found.content_length, found.has_date, found.has_server)
    );
}
