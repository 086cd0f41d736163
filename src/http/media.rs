//! Content types by file extension.
//!
//! Owns the choice for common web files; the long tail is `mime_guess`'s table. It never looks into a file. Called by `static_files`.

use std::borrow::Cow;

/// For files of which nothing is known (RFC 9110 §8.3).
pub const UNKNOWN: &str = "application/octet-stream";

/// Longest extension that is looked up, bytes.
const EXTENSION_BYTES_MAX: usize = 16;

/// The Content-Type of the file at `path`, by what follows the last dot of its name, without regard to case. Text is UTF-8. Allocates
/// only for rare text types.
pub fn content_type(path: &[u8]) -> Cow<'static, str> {
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
    if let Some(common) = common(extension) {
        return Cow::Borrowed(common);
    }
    match mime_guess::from_ext(extension).first_raw() {
        Some(text) if text.starts_with("text/") => Cow::Owned(format!("{text}; charset=utf-8")),
        Some(other) => Cow::Borrowed(other),
        None => Cow::Borrowed(UNKNOWN),
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
            assert_eq!(content_type(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(content_type(b"/a.\xff"), UNKNOWN);
    }

    #[test]
    fn common_types_are_borrowed() {
        for path in ["a.html", "a.png", "a.woff2", "a.docx"] {
            assert!(matches!(content_type(path.as_bytes()), Cow::Borrowed(_)), "{path}");
        }
    }
}
