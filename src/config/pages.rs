//! Error pages: what stands in place of the server's own page for a status.
//!
//! Owns the types and the reader of `error_pages`. Files are read here, once, so that a page that is not there is told at the start and no request
//! waits for it.

use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::error::Problem;
use super::section::Bases;
use super::value::{Place, Placed, Value};
use crate::base::bounds::{ERROR_PAGE_BYTES_MAX, TARGET_BYTES_MAX};
use crate::http::media;

/// Pages by status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// The first that holds counts.
    entries: Vec<(RangeInclusive<u16>, ErrorPage)>,
}

/// What stands in place of the server's own page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorPage {
    /// The content of a file.
    File(Arc<Page>),
    /// The application's answer to GET with this target.
    App(String),
}

/// A page as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Value of Content-Type.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl ErrorPages {
    /// The page for `status`.
    pub fn find(&self, status: u16) -> Option<&ErrorPage> {
        self.entries.iter().find(|(statuses, _)| statuses.contains(&status)).map(|(_, page)| page)
    }

    /// Whether there is none for any status.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether one of them is the application's.
    pub fn asks_app(&self) -> bool {
        self.entries.iter().any(|(_, page)| matches!(page, ErrorPage::App(_)))
    }

    /// These pages, and where they have none, those of `others`.
    pub fn or(mut self, others: &ErrorPages) -> ErrorPages {
        self.entries.extend(others.entries.iter().cloned());
        self
    }
}

/// Reads the table `key`. What is wrong is put into `problems`.
pub fn error_pages(placed: Placed, key: &str, bases: Bases<'_>, problems: &mut Vec<Problem>) -> ErrorPages {
    let mut problem = |place: Place, name: &str, message: String| {
        let dot = if name.is_empty() { "" } else { "." };
        problems.push(Problem { place, key: format!("{key}{dot}{name}"), message });
    };
    let Value::Table(table) = placed.value else {
        problem(placed.place, "", "must be a table of statuses and pages, as in { 404 = \"404.html\" }".to_owned());
        return ErrorPages::default();
    };
    let mut entries = Vec::new();
    for (name, Placed { place, value }) in table.into_entries() {
        let Some(statuses) = statuses(&name) else {
            let message = format!("\"{}\" is no status from 400 to 599, nor \"4xx\" or \"5xx\"", name.escape_debug());
            problem(place, "", message);
            continue;
        };
        let base = if place.is_in_file() { bases.file } else { bases.working };
        match value {
            Value::Text(text) => match page(&text, &statuses, base) {
                Ok(page) => entries.push((statuses, page)),
                Err(message) => problem(place, &name, message),
            },
            other => problem(place, &name, format!("must be a file or \"app:/PATH\", not {}", other.kind())),
        }
    }
    // One status counts more than all that begin with the same digit.
    entries.sort_by_key(|(statuses, _)| (statuses.end() - statuses.start(), *statuses.start()));
    ErrorPages { entries }
}

fn statuses(name: &str) -> Option<RangeInclusive<u16>> {
    match name {
        "4xx" => Some(400..=499),
        "5xx" => Some(500..=599),
        _ => {
            let status = name.parse().ok().filter(|status| matches!(status, 400..=599))?;
            Some(status..=status)
        }
    }
}

fn page(text: &str, statuses: &RangeInclusive<u16>, base: &Path) -> Result<ErrorPage, String> {
    let Some(target) = text.strip_prefix("app:") else {
        return file(&base.join(text)).map(|page| ErrorPage::File(Arc::new(page)));
    };
    let visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !target.starts_with('/') || !visible || target.len() > TARGET_BYTES_MAX {
        return Err("must name a path of the application, in visible ASCII, as in \"app:/errors/404\"".to_owned());
    }
    if *statuses == (503..=503) {
        return Err("503 says that the application can't be asked: name a file".to_owned());
    }
    Ok(ErrorPage::App(target.to_owned()))
}

/// Reads a page, with the type that its name says.
pub fn file(path: &Path) -> Result<Page, String> {
    let wrong = |error: std::io::Error| format!("the page {} can't be read: {error}", path.display());
    let file = File::open(path).map_err(wrong)?;
    if !file.metadata().map_err(wrong)?.is_file() {
        return Err(format!("the page {} is no regular file", path.display()));
    }
    let mut body = Vec::new();
    file.take(ERROR_PAGE_BYTES_MAX + 1).read_to_end(&mut body).map_err(wrong)?;
    if body.len() as u64 > ERROR_PAGE_BYTES_MAX {
        return Err(format!("the page {} has more than {ERROR_PAGE_BYTES_MAX} bytes", path.display()));
    }
    let content_type = media::content_type(path.as_os_str().as_encoded_bytes(), &[]).into_owned();
    Ok(Page { content_type, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(target: &str) -> ErrorPage {
        ErrorPage::App(target.to_owned())
    }

    #[test]
    fn a_status_of_its_own_comes_first_and_the_route_before_the_server() {
        let route = ErrorPages { entries: vec![(404..=404, app("/404")), (400..=499, app("/4xx"))] };
        let server =
            ErrorPages { entries: vec![(404..=404, app("/s404")), (502..=502, app("/502")), (500..=599, app("/5xx"))] };
        let pages = route.or(&server);
        for (status, expected) in [(404, "/404"), (410, "/4xx"), (502, "/502"), (500, "/5xx")] {
            assert_eq!(pages.find(status), Some(&app(expected)), "{status}");
        }
        assert_eq!(pages.find(200), None);
    }

    #[test]
    fn statuses_and_their_classes() {
        assert_eq!(statuses("404"), Some(404..=404));
        assert_eq!(statuses("5xx"), Some(500..=599));
        for name in ["200", "399", "600", "4x", "", "-404", "4XX", "99999"] {
            assert_eq!(statuses(name), None, "{name}");
        }
    }
}
