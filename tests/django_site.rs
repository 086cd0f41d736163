//! The example site (`examples/site`) end to end, as a browser uses it: pages, static files, sessions, CSRF, uploads, admin.
//! Each test migrates, collects and seeds a database of its own.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use support::{Builder, Client, Response, Server, assert_same_bytes, pattern, python, repository};

fn site() -> PathBuf {
    repository().join("examples/site")
}

/// The site with 30 notes and the user `demo`, served as `maitred serve` does without a config file.
fn board(arguments: &[&str]) -> Server {
    let python = python::with_django();
    let builder = Builder::command_line(arguments);
    let data = builder.folder().join("data").display().to_string();
    let environment = [("SITE_DATA", data.as_str())];
    for command in [
        &["manage.py", "migrate", "--verbosity", "0"][..],
        &["manage.py", "collectstatic", "--noinput", "--verbosity", "0"],
        &["manage.py", "seed", "--notes", "30"],
    ] {
        python::run(&python, &site(), &environment, command);
    }
    let venv = python.parent().and_then(|bin| bin.parent()).expect("python is in a bin folder");
    builder
        .environment("SITE_DATA", &data)
        .environment("VIRTUAL_ENV", &venv.display().to_string())
        .working_directory(&site())
        .start()
}

/// Cookies and redirects of one user.
struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new(server: &Server) -> Browser {
        Browser { client: server.connect(), cookies: BTreeMap::new() }
    }

    fn cookie_line(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() {
            return String::new();
        }
        format!("Cookie: {}\r\n", pairs.join("; "))
    }

    fn keep_cookies(&mut self, response: &Response) {
        for cookie in response.all("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    fn get(&mut self, target: &str) -> Response {
        let line = self.cookie_line();
        self.client.request("GET", target, &line);
        let response = self.client.response("GET");
        self.keep_cookies(&response);
        response
    }

    /// Posts a form of text fields and files (name, file name, bytes) with the CSRF token that `page` carries.
    fn submit(
        &mut self,
        target: &str,
        page: &Response,
        fields: &[(&str, &str)],
        files: &[(&str, &str, &[u8])],
    ) -> Response {
        let token = between(page.text(), "name=\"csrfmiddlewaretoken\" value=\"", "\"");
        let mut body = Vec::new();
        for (name, value) in fields.iter().chain(&[("csrfmiddlewaretoken", token)]) {
            body.extend_from_slice(
                format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes(),
            );
        }
        for (name, file, bytes) in files {
            body.extend_from_slice(
                format!(
                    "--frontier\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\
                     Content-Type: application/octet-stream\r\n\r\n"
                )
                .as_bytes(),
            );
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--frontier--\r\n");
        let line = self.cookie_line() + "Content-Type: multipart/form-data; boundary=frontier\r\n";
        let response = self.client.post(target, &line, &body);
        self.keep_cookies(&response);
        response
    }

    fn log_in(&mut self) {
        let page = self.get("/login/");
        assert_eq!(page.status, 200);
        let fields = [("username", "demo"), ("password", "notes-on-the-board")];
        let response = self.submit("/login/", &page, &fields, &[]);
        assert_eq!((response.status, response.field("location")), (302, Some("/")), "{}", response.text());
        assert!(self.cookies.contains_key("sessionid"));
    }
}

#[track_caller]
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before:?} in {text}"));
    rest.split(after).next().unwrap_or_default()
}

/// The targets of all stylesheets of a page; there is at least one.
#[track_caller]
fn stylesheets(page: &Response) -> Vec<String> {
    let found: Vec<_> = page
        .text()
        .split("<link")
        .filter(|link| link.contains("rel=\"stylesheet\"") && link.contains("href=\""))
        .map(|link| between(link, "href=\"", "\"").to_owned())
        .collect();
    assert!(!found.is_empty(), "no stylesheet in {}", page.text());
    found
}

#[test]
fn the_list_page_and_its_static_files_are_served_without_any_configuration() {
    let server = board(&[]);
    let mut client = server.connect();
    let page = client.get("/");
    assert_eq!(page.status, 200);
    assert!(page.field("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.text().contains("Notes board") && page.text().contains("/notes/"));
    for sheet in stylesheets(&page) {
        let css = client.get(&sheet);
        assert_eq!(css.status, 200, "{sheet}");
        assert!(css.field("content-type").is_some_and(|kind| kind.starts_with("text/css")), "{sheet}");
        // Django's own view sends none: so the file came from the server itself.
        assert!(css.field("etag").is_some(), "{sheet}");
    }
    assert_eq!(client.get("/static/missing.css").status, 404);
    assert_eq!(client.get("/static/../db.sqlite3").status / 100, 4);
    assert_eq!(client.get("/no/such/page/").status, 404);
}

#[test]
fn the_site_is_found_by_chdir_and_by_name() {
    let folder = site().display().to_string();
    for arguments in [&["--chdir", &folder][..], &["mysite.wsgi:application", "--chdir", &folder], &["mysite.wsgi"]] {
        let server = board(arguments);
        let page = server.get("/");
        assert_eq!(page.status, 200, "{arguments:?}");
        assert_eq!(server.get(&stylesheets(&page)[0]).status, 200, "{arguments:?}");
    }
}

#[test]
fn login_wants_a_csrf_token_and_gives_a_session() {
    let server = board(&["--workers", "2"]);
    let mut browser = Browser::new(&server);
    let refused = browser.client.post("/login/", "", b"username=demo&password=notes-on-the-board");
    assert_eq!(refused.status, 403);
    assert_eq!(browser.get("/notes/new/").status, 302);
    browser.log_in();
    let page = browser.get("/");
    assert!(page.text().contains("Log out demo"));
    // The session is in the cookie, not in the connection.
    assert!(!server.get("/").text().contains("Log out demo"));
}

#[test]
fn a_note_can_be_written_and_read() {
    let server = board(&["--workers", "2"]);
    let mut browser = Browser::new(&server);
    browser.log_in();
    let form = browser.get("/notes/new/");
    let fields = [
        ("title", "Cr\u{e8}me br\u{fb}l\u{e9}e"),
        ("body", "Caramelise <slowly> & serve."),
        ("colour", "slate"),
        ("tag_words", "dessert"),
    ];
    let saved = browser.submit("/notes/new/", &form, &fields, &[]);
    assert_eq!(saved.status, 302, "{}", saved.text());
    let target = saved.field("location").expect("the note's address").to_owned();
    let note = browser.get(&target);
    assert!(note.text().contains("Cr\u{e8}me br\u{fb}l\u{e9}e"));
    assert!(note.text().contains("Caramelise &lt;slowly&gt; &amp; serve."));
    assert!(browser.get("/?q=br%C3%BBl%C3%A9e").text().contains(&target));
}

#[test]
fn attachments_come_back_byte_for_byte() {
    let server = board(&["--workers", "2"]);
    let mut browser = Browser::new(&server);
    browser.log_in();
    // Inline, in a memfd, in a file.
    let files: Vec<(String, Vec<u8>)> =
        [100, 300_000, 900_000].into_iter().map(|size| (format!("f{size}.bin"), pattern(size))).collect();
    for (name, bytes) in &files {
        let form = browser.get("/notes/new/");
        let fields = [("title", name.as_str()), ("body", "with a file"), ("colour", "slate")];
        let saved = browser.submit("/notes/new/", &form, &fields, &[("files", name, bytes)]);
        assert_eq!(saved.status, 302, "{}", saved.text());
        let note = browser.get(saved.field("location").expect("the note's address"));
        let link = between(note.text(), "href=\"/attachments/", "\"").to_owned();
        let download = browser.get(&format!("/attachments/{link}"));
        assert_eq!(download.status, 200);
        assert_eq!(download.field("content-length"), Some(bytes.len().to_string().as_str()));
        assert_same_bytes(&download.body, bytes);
    }
}

#[test]
fn the_admin_comes_with_its_style_and_lets_staff_in() {
    let server = board(&[]);
    let mut browser = Browser::new(&server);
    let login = browser.get("/admin/login/?next=/admin/");
    assert_eq!(login.status, 200);
    for sheet in stylesheets(&login) {
        assert_eq!(browser.get(&sheet).status, 200, "{sheet}");
    }
    browser.log_in();
    let admin = browser.get("/admin/");
    assert_eq!(admin.status, 200);
    assert!(admin.text().contains("Site administration"));
}

#[test]
fn static_files_are_where_the_site_is_mounted() {
    for arguments in [&["--env", "SCRIPT_NAME=/board"][..], &["--env", "SCRIPT_NAME=/board", "--dev"]] {
        let server = board(arguments);
        let page = server.get("/board/login/");
        assert_eq!(page.status, 200, "{}", page.text());
        for target in stylesheets(&page) {
            assert!(target.starts_with("/board/static/"), "{target}");
            assert_eq!(server.get(&target).status, 200, "{arguments:?} {target}");
        }
        assert_eq!(server.get("/login/").status, 404);
    }
}
