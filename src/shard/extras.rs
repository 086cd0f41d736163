//! What a route adds to the answers of whoever handles it.
//!
//! Owns nothing that a request changes: built when the routes are opened, looked at by `respond`, `answer` and `detour`. Most routes add nothing and
//! have none, so that it costs their requests nothing.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::config::{CompressConfig, ErrorPages, RouteConfig, StaticOptions};
use crate::http::HeaderOps;
use crate::static_files::StaticRoot;

/// A route's additions.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Changes to the fields.
    pub headers: Option<HeaderOps>,
    /// Pages in place of the server's own.
    pub pages: ErrorPages,
    /// The pages also stand in place of the application's.
    pub intercept_errors: bool,
    /// How the application's answers are compressed, if they are.
    pub compress: Option<CompressConfig>,
    /// Directories whose files the application may name.
    sendfile: Vec<(PathBuf, StaticRoot)>,
    /// Such a directory could not be opened.
    pub has_missing: bool,
}

impl Extras {
    /// `None` if the route adds nothing. Opens the directories that it names.
    pub fn open(route: &RouteConfig) -> Option<Extras> {
        let mut extras = Extras {
            headers: route.headers.clone(),
            pages: route.error_pages.clone(),
            intercept_errors: route.intercept_errors,
            compress: route.compress.clone(),
            ..Extras::default()
        };
        // The application has chosen the file: no name is hidden from it, none stands for another.
        let options = StaticOptions { index: Vec::new(), dotfiles: true, ..StaticOptions::default() };
        for directory in &route.sendfile_root {
            match StaticRoot::open(directory, options.clone()) {
                Ok(root) => {
                    let root = root.of_route(route.headers.clone(), !route.error_pages.is_empty());
                    extras.sendfile.push((directory.clone(), root));
                }
                Err(error) => {
                    tracing::error!(route = route.path.text(), %error, "files beneath it are answered with 404");
                    extras.has_missing = true;
                }
            }
        }
        // The longest path that fits is the one that is meant.
        extras.sendfile.sort_by_key(|(directory, _)| std::cmp::Reverse(directory.as_os_str().len()));
        let adds = extras.headers.is_some()
            || !extras.pages.is_empty()
            || extras.compress.is_some()
            || !route.sendfile_root.is_empty();
        adds.then_some(extras)
    }

    /// Whether a request's head has to be kept for what may become of it.
    pub fn needs_head(&self) -> bool {
        self.pages.asks_app() || !self.sendfile.is_empty()
    }

    /// The directory beneath which `path` lies, and its name there.
    pub fn sendfile_root<'p>(&self, path: &'p [u8]) -> Option<(&StaticRoot, &'p [u8])> {
        self.sendfile.iter().find_map(|(directory, root)| {
            let rest = path.strip_prefix(directory.as_os_str().as_bytes())?;
            let rest = if directory.as_os_str() == "/" { Some(rest) } else { rest.strip_prefix(b"/") };
            Some((root, rest?))
        })
    }
}
