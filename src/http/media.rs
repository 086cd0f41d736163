//! Content types by file extension.
//!
//! Owns the choice for common web files; the long tail is `mime_guess`'s table. It never looks into a file. Called by `static_files`.

use std::borrow::Cow;

/// For files of which nothing is known (RFC 9110 §8.3).
pub const UNKNOWN: &str = "application/octet-stream";

/// Longest extension that is looked up, bytes.
const EXTENSION_BYTES_MAX: usize = 16;

/// The Content-Type of the file at `path`, by what follows the last dot of its name, without regard to case: as `own` has it, pairs of
/// an extension in lower case and a type, else as usual, text as UTF-8.
pub fn content_type(path: &[u8], own: &[(String, String)]) -> Cow<'static, str> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = match memchr::memrchr(b'.', name) {
        // A leading dot hides a file; it doesn't begin an extension.
        None | Some(0) => return Cow::Borrowed(UNKNOWN),
        Some(dot) => &name[dot + 1..],
    };
    let mut buffer = [0; EXTENSION_BYTES_MAX];
    let Some(lower) = buffer.get_mut(..extension.len()) else {
        return Cow::Borrowed(UNKNOWN);
    };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    let Ok(extension) = std::str::from_utf8(lower) else {
        return Cow::Borrowed(UNKNOWN);
    };
    if let Some((_, media)) = own.iter().find(|(known, _)| known == extension) {
        return Cow::Owned(media.clone());
    }
    if let Some(common) = common(extension) {
        return Cow::Borrowed(common);
    }
    match mime_guess::from_ext(extension).first_raw() {
        Some(text) if text.starts_with("text/") => Cow::Owned(format!("{text}; charset=utf-8")),
        Some(other) => Cow::Borrowed(other),
        None => Cow::Borrowed(UNKNOWN),
    }
}

/// Whether content of this type gets smaller by a content coding; pictures, films, archives and web fonts are compressed already.
pub fn is_compressible(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim_end();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    match kind {
        "text" => true,
        "application" => {
            subtype.ends_with("+json")
                || subtype.ends_with("+xml")
                || matches!(
                    subtype,
                    "json"
                        | "javascript"
                        | "x-javascript"
                        | "ecmascript"
                        | "xml"
                        | "wasm"
                        | "rtf"
                        | "x-ndjson"
                        | "sql"
                        | "graphql"
                        | "toml"
                        | "yaml"
                        | "x-yaml"
                        | "vnd.ms-fontobject"
                        | "x-font-ttf"
                )
        }
        "image" => matches!(subtype, "svg+xml" | "bmp" | "x-icon" | "vnd.microsoft.icon"),
        "font" => matches!(subtype, "ttf" | "otf" | "collection"),
        "model" => subtype.ends_with("+xml") || subtype.ends_with("+json"),
        _ => false,
    }
}

/// What a site's static files mostly are.
fn common(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        // RFC 9239 §6.
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json; charset=utf-8",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mp3" => "audio/mpeg",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for (path, expected) in [
            ("/index.html", "text/html; charset=utf-8"),
            ("/a/app.min.JS", "text/javascript; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("/app.js.map", "application/json; charset=utf-8"),
            ("/logo.svg", "image/svg+xml"),
            ("/a.tar.gz", "application/gzip"),
            ("/a.vtt", "text/vtt; charset=utf-8"),
            ("/a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            ("/a.unheard-of", UNKNOWN),
            ("/a.extension-beyond-all-bounds", UNKNOWN),
            ("/README", UNKNOWN),
            ("/.html", UNKNOWN),
            ("/dir.html/file", UNKNOWN),
            ("/a.", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(content_type(path.as_bytes(), &[]), expected, "{path}");
        }
        assert_eq!(content_type(b"/a.\xff", &[]), UNKNOWN);
    }

    #[test]
    fn common_types_are_borrowed() {
        for path in ["a.html", "a.png", "a.woff2", "a.docx"] {
            assert!(matches!(content_type(path.as_bytes(), &[]), Cow::Borrowed(_)), "{path}");
        }
    }

    #[test]
    fn a_route_s_own_types_come_first() {
        let own = [("css".to_owned(), "text/x-css".to_owned()), ("foo".to_owned(), "a/b".to_owned())];
        for (path, expected) in [("a.CSS", "text/x-css"), ("b.foo", "a/b"), ("foo", UNKNOWN), ("a.png", "image/png")] {
            assert_eq!(content_type(path.as_bytes(), &own), expected, "{path}");
        }
    }

    #[test]
    fn what_is_worth_compressing() {
        for path in ["a.html", "a.css", "a.js", "a.json", "a.svg", "a.wasm", "a.webmanifest", "a.ttf", "a.ico", "a.txt"]
        {
            assert!(is_compressible(&content_type(path.as_bytes(), &[])), "{path}");
        }
        for path in ["a.png", "a.jpg", "a.woff2", "a.zip", "a.gz", "a.mp4", "a.pdf", "a", "a.unheard-of"] {
            assert!(!is_compressible(&content_type(path.as_bytes(), &[])), "{path}");
        }
        assert!(!is_compressible("") && !is_compressible("text") && is_compressible("text/html ; charset=x"));
    }
}
