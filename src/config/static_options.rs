//! How a static route serves its files: the checked form of its options.
//!
//! Owns the types and what holds without any option. Read by `static_files`.

use std::time::Duration;

/// How the files of a directory are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticOptions {
    /// Names of files that stand for their directory, tried in this order; may be empty.
    pub index: Vec<String>,
    /// Directories without an index are listed.
    pub listing: bool,
    /// What is tried, in this order, where there is no file.
    pub fallback: Vec<Fallback>,
    /// The file beneath the directory, without a slash at the front, that is sent with 404 where nothing is found.
    pub not_found: Option<String>,
    /// Symlinks are followed, as far as they stay beneath the directory.
    pub symlinks: bool,
    /// Names that begin with a dot are served too.
    pub dotfiles: bool,
    /// Compressed siblings are served in a file's place to clients that accept them.
    pub precompressed: bool,
    /// Files without a sibling are compressed by the server, and kept in its cache.
    pub compress: Option<Levels>,
    /// Content types by extension, over the built-in table; extensions in lower case, without the dot.
    pub types: Vec<(String, String)>,
    /// `X-Content-Type-Options: nosniff` is sent.
    pub nosniff: bool,
    /// Value of the Cache-Control field, if any.
    pub cache_control: Option<String>,
    /// What the Expires field says, if it is sent.
    pub expires: Option<Expires>,
    /// The file beneath the directory, without a slash at the front, that lists hashed names as Django's ManifestStaticFilesStorage does.
    pub manifest: Option<String>,
}

impl StaticOptions {
    /// Whether requests may come to the application through this route.
    pub fn falls_back_to_app(&self) -> bool {
        self.fallback.last() == Some(&Fallback::App)
    }
}

impl Default for StaticOptions {
    /// As for a route that names none of them.
    fn default() -> StaticOptions {
        StaticOptions {
            index: vec!["index.html".to_owned()],
            listing: false,
            fallback: Vec::new(),
            not_found: None,
            symlinks: true,
            dotfiles: false,
            precompressed: true,
            compress: None,
            types: Vec::new(),
            nosniff: false,
            cache_control: None,
            expires: None,
            manifest: Some("staticfiles.json".to_owned()),
        }
    }
}

/// What is tried where there is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// The file whose path is the request's with something before and behind it.
    Around {
        /// Without a slash at the front.
        before: String,
        /// Such as `.html`.
        after: String,
    },
    /// This file, without a slash at the front.
    File(String),
    /// The application answers. Nothing comes after it.
    App,
}

/// How hard each content coding works on the fly; none: it is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// 1 to 9.
    pub gzip: Option<u32>,
    /// 0 to 11.
    pub brotli: Option<u32>,
    /// 1 to 19.
    pub zstd: Option<u32>,
}

impl Levels {
    /// No coding at all.
    pub const NONE: Levels = Levels { gzip: None, brotli: None, zstd: None };
    /// What `compress = true` stands for: levels at which the processor time is worth the bytes.
    pub const USUAL: Levels = Levels { gzip: Some(6), brotli: Some(5), zstd: Some(3) };
}

/// What the Expires field says (RFC 9111 §5.3), and Cache-Control with it where the route has none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expires {
    /// So long after the response.
    After(Duration),
    /// In the past: stored responses are asked about before each use.
    Epoch,
    /// As far away as nginx's `expires max`.
    Max,
}
