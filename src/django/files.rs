//! Static files, uploads, and files that the application leaves to the server.

use super::facts::DirectoryState;
use super::lint::Lint;
use super::site::{Place, Site, is_same};

/// The path of a `STATIC_URL` or `MEDIA_URL` on this server, with a slash at both ends; `None` for one with a host, and for the whole site.
#[must_use]
pub fn local_path(url: &str) -> Option<String> {
    if url.contains("://") || url.starts_with("//") {
        return None;
    }
    let inner = url.trim_matches('/');
    (!inner.is_empty()).then(|| format!("/{inner}/"))
}

pub(super) fn contradictions(site: &Site<'_>, found: &mut Vec<Lint>) {
    statics(site, found);
    media(site, found);
    sendfile(site, found);
}

fn statics(site: &Site<'_>, found: &mut Vec<Lint>) {
    let facts = site.facts;
    let Some(url) = facts.static_url.as_deref().filter(|_| facts.staticfiles) else { return };
    let is_elsewhere = url.contains("://") || url.starts_with("//");
    let Some(path) = local_path(url) else {
        if !is_elsewhere {
            found.push(Lint::new(
                "maitred.W013",
                format!("STATIC_URL is \"{}\", so no route can be told from the application's pages; give it a path of its own, such as \"/static/\"", url.escape_debug()),
            ));
        }
        return;
    };
    let places = site.places(&path);
    let is_served_by_app = places.contains(&Place::App);
    if is_served_by_app && facts.whitenoise {
        found.push(Lint::new(
            "maitred.I014",
            format!(
                "static files are served by WhiteNoise, in Python; a route would leave them to the server:{}",
                route_for(&path, facts.static_root.as_deref())
            ),
        ));
        return;
    }
    let Some(root) = &facts.static_root else {
        if is_served_by_app {
            found.push(Lint::new(
                "maitred.W010",
                "STATIC_ROOT is not set, so static files are not served; set it to a directory, and run `python manage.py collectstatic`",
            ));
        }
        return;
    };
    let shown = root.display();
    match facts.static_root_state {
        Some(DirectoryState::Missing) => found.push(Lint::new(
            "maitred.W011",
            format!("STATIC_ROOT {shown} is not there; run `python manage.py collectstatic`"),
        )),
        Some(DirectoryState::Empty) => found.push(Lint::new(
            "maitred.W012",
            format!("STATIC_ROOT {shown} is empty; run `python manage.py collectstatic`"),
        )),
        _ => {}
    }
    if is_served_by_app || places.contains(&Place::Nothing) {
        found.push(Lint::new(
            "maitred.W013",
            format!(
                "no route leads from STATIC_URL {path} to static files, and Django does not serve them; add a route:{}",
                route_for(&path, Some(root))
            ),
        ));
    }
    for place in &places {
        if let Place::Files(directory) = place
            && !is_same(directory, root)
        {
            found.push(Lint::new(
                "maitred.W015",
                format!(
                    "STATIC_URL {path} is routed to {}, and collectstatic writes to STATIC_ROOT {shown}; name one directory in both",
                    directory.display()
                ),
            ));
        }
    }
    if facts.whitenoise {
        found.push(Lint::new(
            "maitred.I016",
            "WhiteNoise is not needed: the server answers for STATIC_URL, and in less time; remove its middleware",
        ));
    }
}

fn media(site: &Site<'_>, found: &mut Vec<Lint>) {
    let facts = site.facts;
    let (Some(url), Some(root)) = (facts.media_url.as_deref(), facts.media_root.as_deref()) else { return };
    let Some(path) = local_path(url) else { return };
    for place in site.places(&path) {
        match place {
            Place::App | Place::Nothing => found.push(Lint::new(
                "maitred.W020",
                format!(
                    "no route leads from MEDIA_URL {path} to uploaded files, and Django does not serve them with DEBUG off; silence this if a \
                     view answers there, or add a route:{}",
                    route_for(&path, Some(root))
                ),
            )),
            Place::Files(directory) if !is_same(&directory, root) => found.push(Lint::new(
                "maitred.W021",
                format!(
                    "MEDIA_URL {path} is routed to {}, and uploads are written to MEDIA_ROOT {}; name one directory in both",
                    directory.display(),
                    root.display()
                ),
            )),
            _ => {}
        }
    }
}

fn sendfile(site: &Site<'_>, found: &mut Vec<Lint>) {
    let facts = site.facts;
    let Some((_, backend)) = facts.sendfile_backend.as_deref().and_then(|name| name.rsplit_once('.')) else { return };
    match backend {
        "nginx" => {
            let Some(path) = facts.sendfile_url.as_deref().and_then(local_path) else { return };
            if !site.is_internal(&format!("{path}a")) {
                found.push(Lint::new(
                    "maitred.W022",
                    format!(
                        "SENDFILE_BACKEND answers with X-Accel-Redirect to {path}, and no internal route is there; add one:{}\ninternal = true",
                        route_for(&path, facts.sendfile_root.as_deref())
                    ),
                ));
            }
        }
        "xsendfile" | "mod_wsgi" => {
            let Some(root) = &facts.sendfile_root else { return };
            if !site.sendfile_roots().any(|allowed| root.starts_with(allowed)) {
                found.push(Lint::new(
                    "maitred.W023",
                    format!(
                        "SENDFILE_BACKEND answers with X-Sendfile, and files in {0} are refused; add sendfile_root = [\"{0}\"] to the application's route",
                        root.display()
                    ),
                ));
            }
        }
        _ => {}
    }
}

/// The lines of a config file that route `path` to files, behind a line break.
fn route_for(path: &str, directory: Option<&std::path::Path>) -> String {
    let directory = directory.map_or_else(|| "DIRECTORY".into(), |directory| directory.to_string_lossy());
    format!("\n[[route]]\npath = {}\nstatic = {}", quoted(path), quoted(&directory))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let escaped = text.chars().fold(String::from('"'), |mut out, c| {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out += &format!("\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
        out
    });
    escaped + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_can_be_pasted_into_a_config_file() {
        let odd = std::path::Path::new("/srv/a \"b\" \\ ü\n\u{1b}");
        let lines = route_for("/media/", Some(odd));
        assert!(lines.starts_with("\n[[route]]\npath = \"/media/\"\nstatic = \"/srv/a "), "{lines}");
        assert_eq!(lines.lines().count(), 4, "{lines}");
        let table: toml::Table = lines.parse().expect("TOML");
        assert_eq!(table["route"][0]["static"].as_str(), odd.to_str());
    }

    #[test]
    fn static_urls_become_paths() {
        assert_eq!(local_path("/static/").as_deref(), Some("/static/"));
        assert_eq!(local_path("assets/x").as_deref(), Some("/assets/x/"));
        assert_eq!(local_path("https://cdn.example.com/static/"), None);
        assert_eq!(local_path("//cdn.example.com/static/"), None);
        assert_eq!(local_path("/"), None);
    }
}
