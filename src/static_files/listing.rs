//! The page that lists a directory.
//!
//! Owns the reading of a directory, which waits for the disk and belongs to the helper's thread, the order of its entries and the page.
//! Nothing in a name gets out of its place in the page. Called by `StaticFiles::serve`.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};

use super::resolve::{encode, is_hidden};
use crate::base::bounds::LISTING_ENTRIES_MAX;
use crate::http::date;

/// What is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    name: Vec<u8>,
    kind: Kind,
    size: u64,
    /// Seconds since 1970.
    modified: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Directory,
    File,
    /// Of what it leads to nothing is said: it may lead out of the root.
    Symlink,
}

/// The entries of a directory, as many as are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    items: Vec<Item>,
    /// There are more.
    is_cut: bool,
}

/// What of a directory is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub dotfiles: bool,
    pub symlinks: bool,
}

/// By what the entries are sorted; directories come first in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    by: By,
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Name,
    Size,
    Time,
}

impl By {
    const ALL: [(By, &'static str, &'static str); 3] =
        [(By::Name, "name", "Name"), (By::Size, "size", "Size"), (By::Time, "time", "Last modified")];
}

impl Order {
    /// As `?sort=name|size|time&order=asc|desc` asks for; what is not understood is left out.
    pub fn of(query: Option<&str>) -> Order {
        let mut order = Order { by: By::Name, descending: false };
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some(("sort", value)) => {
                    let known = By::ALL.into_iter().find(|(_, name, _)| *name == value);
                    order.by = known.map_or(order.by, |(by, ..)| by);
                }
                Some(("order", value @ ("asc" | "desc"))) => order.descending = value == "desc",
                _ => {}
            }
        }
        order
    }

    fn compare(self, one: &Item, other: &Item) -> Ordering {
        let directories = (other.kind == Kind::Directory).cmp(&(one.kind == Kind::Directory));
        let value = match self.by {
            By::Name => Ordering::Equal,
            By::Size => one.size.cmp(&other.size),
            By::Time => one.modified.cmp(&other.modified),
        };
        let both = value.then_with(|| one.name.cmp(&other.name));
        directories.then(if self.descending { both.reverse() } else { both })
    }
}

impl Listing {
    /// Reads a directory. Waits for the disk.
    ///
    /// # Errors
    /// As getdents64(2).
    pub fn read(directory: &OwnedFd, shown: Shown) -> io::Result<Listing> {
        let mut items = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || (!shown.dotfiles && is_hidden(name)) {
                continue;
            }
            if items.len() == LISTING_ENTRIES_MAX {
                return Ok(Listing { items, is_cut: true });
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            let Ok(stat) = rustix::fs::statat(directory, entry.file_name(), flags) else {
                // It has gone since.
                continue;
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Kind::Directory,
                FileType::RegularFile => Kind::File,
                FileType::Symlink if shown.symlinks => Kind::Symlink,
                _ => continue,
            };
            let modified = u64::try_from(stat.st_mtime).unwrap_or(0);
            items.push(Item { name: name.to_vec(), kind, size: u64::try_from(stat.st_size).unwrap_or(0), modified });
        }
        Ok(Listing { items, is_cut: false })
    }

    /// The page for the directory at `path`, decoded, of the whole request.
    pub fn page(mut self, path: &[u8], order: Order) -> Vec<u8> {
        self.items.sort_by(|one, other| order.compare(one, other));
        let title = escape(path);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Index of {title}</title>\n\
             <style>td, th {{ text-align: left; padding: 0 2em 0 0 }} td:nth-child(2) {{ text-align: right }}</style></head>\n\
             <body>\n<h1>Index of {title}</h1>\n<table>\n<tr>"
        );
        for (by, name, heading) in By::ALL {
            let turned = by == order.by && !order.descending;
            let direction = if turned { "desc" } else { "asc" };
            push(&mut page, format_args!("<th><a href=\"?sort={name}&amp;order={direction}\">{heading}</a></th>"));
        }
        page.push_str("</tr>\n");
        if path != b"/" {
            page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
        }
        for item in &self.items {
            let slash = if item.kind == Kind::Directory { "/" } else { "" };
            let (link, text) = (link(&item.name), escape(&item.name));
            let date = date::format(item.modified);
            let time = String::from_utf8_lossy(&date);
            push(&mut page, format_args!("<tr><td><a href=\"{link}{slash}\">{text}{slash}</a></td><td>"));
            if item.kind == Kind::File {
                push(&mut page, format_args!("{}", item.size));
            }
            push(&mut page, format_args!("</td><td>{time}</td></tr>\n"));
        }
        page.push_str("</table>\n");
        if self.is_cut {
            push(&mut page, format_args!("<p>There are more than these {LISTING_ENTRIES_MAX}.</p>\n"));
        }
        page.push_str("</body>\n</html>\n");
        page.into_bytes()
    }
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes everything");
}

/// A name as a relative reference (RFC 3986 §4.2): nothing in it is taken for a scheme, a slash or a query.
fn link(name: &[u8]) -> String {
    let mut link = Vec::with_capacity(name.len());
    encode(name, b"-._~", &mut link);
    String::from_utf8(link).expect("percent-encoded text is ASCII")
}

/// Text for any place in HTML, attributes too.
fn escape(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().fold(String::new(), |mut text, c| {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c if c.is_control() => text.push('\u{fffd}'),
            c => text.push(c),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, kind: Kind, size: u64, modified: u64) -> Item {
        Item { name: name.as_bytes().to_vec(), kind, size, modified }
    }

    fn names(query: &str) -> Vec<String> {
        let items = vec![
            item("b", Kind::File, 1, 30),
            item("d", Kind::Directory, 4096, 5),
            item("a", Kind::File, 3, 20),
            item("c", Kind::Symlink, 2, 10),
        ];
        let page = Listing { items, is_cut: false }.page(b"/x/", Order::of(Some(query)));
        let page = String::from_utf8(page).unwrap();
        page.lines()
            .filter_map(|line| Some(line.strip_prefix("<tr><td><a href=\"")?.split('"').next()?.to_owned()))
            .collect()
    }

    #[test]
    fn orders() {
        for (query, order) in [
            ("", ["../", "d/", "a", "b", "c"]),
            ("sort=name&order=desc", ["../", "d/", "c", "b", "a"]),
            ("sort=size", ["../", "d/", "b", "c", "a"]),
            ("order=desc&sort=size", ["../", "d/", "a", "c", "b"]),
            ("sort=time", ["../", "d/", "c", "a", "b"]),
            ("sort=time&order=desc", ["../", "d/", "b", "a", "c"]),
            ("sort=colour&order=up&x", ["../", "d/", "a", "b", "c"]),
        ] {
            assert_eq!(names(query), order, "{query}");
        }
    }

    #[test]
    fn nothing_gets_out_of_its_place() {
        let evil = "\"><script>alert('&')</script>?a#b:c%41";
        let items = vec![item(evil, Kind::File, 1, 0), item("\u{e9}\n", Kind::File, 1, 0)];
        let page = String::from_utf8(Listing { items, is_cut: true }.page(b"/<i>/", Order::of(None))).unwrap();
        assert!(!page.contains("<script") && !page.contains("<i>") && page.contains("Index of /&lt;i&gt;/"), "{page}");
        assert!(
            page.contains("href=\"%22%3E%3Cscript%3Ealert%28%27%26%27%29%3C%2Fscript%3E%3Fa%23b%3Ac%2541\""),
            "{page}"
        );
        assert!(page.contains("href=\"%C3%A9%0A\"") && page.contains("more than these"), "{page}");
    }

    #[test]
    fn a_root_has_nothing_above() {
        let page = Listing { items: Vec::new(), is_cut: false }.page(b"/", Order::of(None));
        assert!(!String::from_utf8(page).unwrap().contains("../"));
    }
}
