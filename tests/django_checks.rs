//! What of a Django project's settings contradicts the configuration: each contradiction with its id, and silence where there is none.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;

use maitred::config::{Config, Flags, Surroundings, load};
use maitred::django::{Facts, Level, contradictions};
use maitred::supervise::routes;
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Builder, DEADLINE, python, repository, wait_until};

/// Settings that contradict nothing: names, secure cookies, files where routes lead.
fn good(folder: &Path) -> Value {
    json!({
        "version": "5.2",
        "complete": true,
        "staticfiles": true,
        "static_url": "/static/",
        "static_root": folder.join("static"),
        "static_root_state": "filled",
        "media_url": "/media/",
        "media_root": folder.join("media"),
        "allowed_hosts": ["example.com", ".example.org"],
        "csrf_trusted_origins": ["https://example.com", "https://*.example.org"],
        "session_cookie_secure": true,
        "csrf_cookie_secure": true,
        "ssl_redirect": true,
        "databases": [{ "alias": "default", "engine": "django.db.backends.postgresql", "persists": true }],
    })
}

const LISTEN: &str = "[server]\nlisten = [\"127.0.0.1:8000\", { address = \"127.0.0.1:8443\", tls = true }]\n";
const PLAIN: &str = "[server]\nlisten = [\"127.0.0.1:8000\"]\n";
const TLS: &str = "[[tls]]\nnames = [\"example.com\", \"*.example.org\"]\ncert = \"tls.pem\"\nkey = \"tls.key\"\n";
const APP: &str = "[app]\nwsgi = \"site:application\"\npython = \"/bin/sh\"\nworkers = 2\n";
const FILES: &str =
    "[[route]]\npath = \"/static/\"\nstatic = \"static\"\n[[route]]\npath = \"/media/\"\nstatic = \"media\"\n";
const MEDIA: &str = "[[route]]\npath = \"/media/\"\nstatic = \"media\"\n";
const ALL: &str = "[[route]]\npath = \"/\"\napp = true\n";

/// A folder with a certificate and two directories.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let key = KeyPair::generate().expect("a key");
    let names = ["example.com".to_owned(), "*.example.org".to_owned(), "localhost".to_owned()];
    let made = CertificateParams::new(names).and_then(|params| params.self_signed(&key)).expect("a certificate");
    fs::write(folder.path().join("tls.pem"), made.pem()).expect("a writable folder");
    fs::write(folder.path().join("tls.key"), key.serialize_pem()).expect("a writable folder");
    for name in ["static", "media", "other"] {
        fs::create_dir(folder.path().join(name)).expect("a writable folder");
    }
    folder
}

fn config(folder: &Path, parts: &[&str]) -> Config {
    fs::write(folder.join("maitred.toml"), parts.concat()).expect("a writable folder");
    let around = Surroundings { directory: folder.to_owned(), variables: HashMap::new(), cpus: 1 };
    load(&Flags::default(), &around).unwrap_or_else(|errors| panic!("{errors}\n{}", parts.concat()))
}

/// The ids of what contradicts, and each with its text.
fn found(config: &Config, facts: Value) -> (Vec<&'static str>, String) {
    let facts: Facts = serde_json::from_value(facts).expect("facts");
    let lints = contradictions(config, &routes::complete(config, Some(&facts)), &facts);
    let texts: Vec<_> = lints.iter().map(ToString::to_string).collect();
    (lints.iter().map(|lint| lint.id).collect(), texts.join("\n"))
}

/// The good settings, some of them changed.
fn with(folder: &Path, changes: Value) -> Value {
    let mut facts = good(folder);
    for (name, value) in changes.as_object().expect("changes") {
        facts[name] = value.clone();
    }
    facts
}

#[test]
fn settings_in_accord_with_the_configuration_are_silent() {
    let folder = folder();
    let config = config(folder.path(), &[LISTEN, TLS, APP, FILES, ALL]);
    assert_eq!(found(&config, good(folder.path())), (vec![], String::new()));
    // In development DEBUG is meant to be on, and nobody collects static files.
    let dev = APP.replace("workers = 2", "dev = true");
    let dev = self::config(folder.path(), &[PLAIN, &dev, ALL]);
    let changes = json!({ "debug": true, "static_root_state": "missing", "allowed_hosts": ["*"] });
    assert_eq!(found(&dev, with(folder.path(), changes)), (vec![], String::new()));
    // What could not be told is not checked.
    assert_eq!(found(&config, json!({ "version": "5.2", "debug": true })), (vec![], String::new()));
}

#[test]
fn every_contradiction_has_its_id() {
    let folder = folder();
    let here = folder.path();
    let tls = config(here, &[LISTEN, TLS, APP, FILES, ALL]);
    let plain = config(here, &[PLAIN, APP, FILES, ALL]);
    let assets = config(here, &[LISTEN, TLS, APP, FILES, ALL, "[[route]]\npath = \"/assets/\"\napp = true\n"]);
    let insecure = json!({ "session_cookie_secure": false, "csrf_cookie_secure": false, "ssl_redirect": false });
    let plainly = |changes: Value| {
        let mut facts = with(here, insecure.clone());
        changes.as_object().expect("changes").iter().for_each(|(name, value)| facts[name] = value.clone());
        facts
    };
    assert_eq!(found(&plain, plainly(json!({}))).0, Vec::<&str>::new());
    let database = |changes: Value| json!({ "databases": [changes] });
    for (config, facts, id, parts) in [
        (&tls, with(here, json!({ "debug": true })), "maitred.W001", &["DEBUG = False"][..]),
        (&tls, with(here, json!({ "static_root_state": "missing" })), "maitred.W011", &["collectstatic", "/static"]),
        (&tls, with(here, json!({ "static_root_state": "empty" })), "maitred.W012", &["collectstatic", "empty"]),
        (
            &assets,
            with(here, json!({ "static_url": "/assets/" })),
            "maitred.W013",
            &["\n[[route]]\npath = \"/assets/\"\nstatic = \"/"],
        ),
        (&tls, with(here, json!({ "static_url": "/" })), "maitred.W013", &["a path of its own"]),
        (
            &tls,
            with(here, json!({ "static_root": here.join("other") })),
            "maitred.W015",
            &["/static/ is routed to", "/static, and", "/other;"],
        ),
        (&tls, with(here, json!({ "whitenoise": true })), "maitred.I016", &["WhiteNoise"]),
        (&assets, with(here, json!({ "whitenoise": true, "static_url": "/assets/" })), "maitred.I014", &["WhiteNoise"]),
        (&tls, with(here, json!({ "media_url": "/up/" })), "maitred.W020", &["MEDIA_URL /up/", "\npath = \"/up/\"\n"]),
        (&tls, with(here, json!({ "media_root": here.join("other") })), "maitred.W021", &["MEDIA_ROOT", "/other"]),
        (
            &tls,
            with(here, json!({ "sendfile_backend": "django_sendfile.backends.nginx", "sendfile_url": "/protected" })),
            "maitred.W022",
            &["\ninternal = true", "/protected/"],
        ),
        (
            &tls,
            with(here, json!({ "sendfile_backend": "django_sendfile.backends.xsendfile", "sendfile_root": "/srv/p" })),
            "maitred.W023",
            &["sendfile_root = [\"/srv/p\"]"],
        ),
        (&tls, with(here, json!({ "allowed_hosts": [] })), "maitred.E030", &["400"]),
        (&tls, with(here, json!({ "allowed_hosts": ["*"] })), "maitred.W031", &["list the names"]),
        (&tls, with(here, json!({ "allowed_hosts": ["example.com"] })), "maitred.W032", &["\"*.example.org\""]),
        (&tls, with(here, json!({ "allowed_hosts": ["a.example.org"] })), "maitred.W032", &["\"example.com\","]),
        (&tls, with(here, json!({ "use_x_forwarded_host": true })), "maitred.I034", &["trusted_proxies"]),
        (&plain, plainly(json!({ "ssl_redirect": true })), "maitred.E040", &["SECURE_SSL_REDIRECT", "trusted_proxies"]),
        (
            &tls,
            with(here, json!({ "proxy_ssl_header": ["HTTP_X_SCHEME", "https"] })),
            "maitred.W041",
            &["every client"],
        ),
        (
            &tls,
            with(here, json!({ "proxy_ssl_header": ["HTTP_X_FORWARDED_PROTO", "on"] })),
            "maitred.W041",
            &["to be \"on\""],
        ),
        (
            &tls,
            with(here, json!({ "proxy_ssl_header": ["HTTP_X_FORWARDED_SSL", "on"] })),
            "maitred.W041",
            &["never is"],
        ),
        (
            &tls,
            with(here, json!({ "proxy_ssl_header": ["HTTP_X_FORWARDED_PROTO", "https"] })),
            "maitred.I042",
            &["not needed"],
        ),
        (&plain, plainly(json!({ "hsts_seconds": 3600 })), "maitred.I044", &["no effect"]),
        (
            &tls,
            with(here, json!({ "session_cookie_secure": false })),
            "maitred.W045",
            &["SESSION_COOKIE_SECURE = True"],
        ),
        (&plain, plainly(json!({ "session_cookie_secure": true })), "maitred.W046", &["do not send the session's"]),
        (&tls, with(here, json!({ "csrf_cookie_secure": false })), "maitred.W047", &["CSRF_COOKIE_SECURE = True"]),
        (&plain, plainly(json!({ "csrf_cookie_secure": true })), "maitred.W048", &["do not send the CSRF"]),
        (
            &tls,
            with(here, json!({ "csrf_trusted_origins": ["example.com"] })),
            "maitred.W050",
            &["https://example.com"],
        ),
        (&tls, with(here, json!({ "csrf_trusted_origins": ["http://example.com"] })), "maitred.W051", &["https://"]),
        (&tls, with(here, json!({ "csrf_trusted_origins": ["https://b.test:8443"] })), "maitred.I052", &["b.test"]),
        (
            &tls,
            with(here, database(json!({ "alias": "x", "engine": "sqlite3", "is_sqlite": true, "in_memory": true }))),
            "maitred.W060",
            &["\"x\" is in memory", "2 workers"],
        ),
        (
            &tls,
            with(here, database(json!({ "alias": "x", "engine": "sqlite3", "is_sqlite": true }))),
            "maitred.I061",
            &["journal_mode=WAL"],
        ),
        (&tls, with(here, json!({ "data_upload_bytes_max": 1_000_000_000 })), "maitred.W070", &["raise max_body"]),
    ] {
        let (ids, text) = found(config, facts);
        assert_eq!(ids, [id], "{text}");
        for part in parts {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert!(text.contains(';'), "what to change is missing: {text}");
        // What is on lines of its own can be pasted.
        if let Some((_, lines)) = text.split_once('\n') {
            assert!(lines.starts_with("[[route]]"), "{text}");
            let pasted = self::config(here, &[LISTEN, TLS, APP, ALL, lines, "\n"]);
            assert_eq!(pasted.routes.len(), 2, "{text}");
        }
    }
}

#[test]
fn contradictions_that_lie_in_the_configuration() {
    let folder = folder();
    let here = folder.path();
    let many = APP.replace("workers = 2", "workers = 20\nthreads = 5");
    let hsts = TLS.to_owned() + "hsts = \"max-age=60\"\n";
    let hosts = LISTEN.to_owned() + "allowed_hosts = [\"*.example.org\"]\n";
    let proxied = PLAIN.to_owned() + "trusted_proxies = [\"127.0.0.1\"]\n";
    let unheard = "[server]\nlisten = \"unix:site.sock\"\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned();
    let proxy_header = || json!({ "ssl_redirect": false, "proxy_ssl_header": ["HTTP_X_FORWARDED_PROTO", "https"] });
    let routed = "[[route]]\npath = \"/\"\nhost = \"www.test\"\napp = true\n";
    let small = "[[route]]\npath = \"/\"\napp = true\nmax_body = \"1K\"\n";
    let sendfile = "[[route]]\npath = \"/\"\napp = true\nsendfile_root = [\"/srv/p\"]\n";
    let internal = "[[route]]\npath = \"/protected/\"\nstatic = \"other\"\ninternal = true\n";
    let wal = json!([{ "alias": "x", "engine": "sqlite3", "is_sqlite": true, "wal": true }]);
    for (parts, changes, ids) in [
        // Nothing but the project says where its static files are, also beside routes to other files.
        (&[LISTEN, TLS, APP, MEDIA][..], json!({}), &[][..]),
        (&[LISTEN, TLS, APP], json!({ "media_root": null }), &[]),
        (&[LISTEN, TLS, APP], json!({ "media_root": null, "static_root": null }), &["maitred.W010"]),
        (&[LISTEN, TLS, APP], json!({ "media_root": null, "static_url": "https://cdn.test/s/" }), &[]),
        (&[LISTEN, TLS, APP], json!({}), &["maitred.W020"]),
        (&[LISTEN, TLS, &many, FILES, ALL], json!({}), &["maitred.W062"]),
        (&[LISTEN, TLS, APP, FILES, ALL], json!({ "databases": wal }), &[]),
        (&[LISTEN, &hsts, APP, FILES, ALL], json!({ "hsts_seconds": 60 }), &["maitred.W043"]),
        (&[&hosts, TLS, APP, FILES, ALL], json!({}), &["maitred.W033"]),
        (&[&hosts, TLS, APP, FILES, ALL], json!({ "allowed_hosts": ["*"] }), &[]),
        // Somebody in front speaks TLS.
        (&[&proxied, APP, FILES, ALL], json!({ "hsts_seconds": 60, "use_x_forwarded_host": true }), &[]),
        // … who is heard, or is not.
        (&[&proxied, APP, FILES, ALL], proxy_header(), &["maitred.I042"]),
        (&[PLAIN, APP, FILES, ALL], proxy_header(), &["maitred.W049", "maitred.W046", "maitred.W048"]),
        (&[&unheard, APP, FILES, ALL], proxy_header(), &["maitred.W049"]),
        (&[LISTEN, TLS, APP, FILES, ALL], proxy_header(), &["maitred.I042"]),
        // A host with a route of its own at "/" has no others.
        (&[LISTEN, TLS, APP, FILES, ALL, routed], json!({}), &["maitred.W013", "maitred.W020", "maitred.W032"]),
        (&[LISTEN, TLS, APP, FILES, small], json!({ "data_upload_bytes_max": 2048 }), &["maitred.W070"]),
        (
            &[LISTEN, TLS, APP, FILES, sendfile],
            json!({ "sendfile_backend": "a.xsendfile", "sendfile_root": "/srv/p/q" }),
            &[],
        ),
        (
            &[LISTEN, TLS, APP, FILES, internal, ALL],
            json!({ "sendfile_backend": "a.nginx", "sendfile_url": "/protected/" }),
            &[],
        ),
    ] {
        let config = config(here, parts);
        let (found, text) = found(&config, with(here, changes.clone()));
        assert_eq!(found, ids, "{changes}\n{}\n{text}", parts.concat());
    }
}

#[test]
fn the_names_of_a_certificate_count_where_an_entry_lists_none() {
    let folder = folder();
    let entry = "[[tls]]\ncert = \"tls.pem\"\nkey = \"tls.key\"\n";
    let config = config(folder.path(), &[LISTEN, entry, APP, FILES, ALL]);
    let (ids, text) = found(&config, with(folder.path(), json!({ "allowed_hosts": ["example.com"] })));
    assert_eq!(ids, ["maitred.W032"], "{text}");
    assert!(text.contains("\"*.example.org\"") && !text.contains("localhost"), "{text}");
}

#[test]
fn the_serious_come_first_and_what_is_silenced_is_not_told() {
    let folder = folder();
    let config = config(folder.path(), &[PLAIN, APP, FILES, ALL]);
    let changes =
        json!({ "debug": true, "hsts_seconds": 1, "session_cookie_secure": false, "csrf_cookie_secure": false });
    let (ids, _) = found(&config, with(folder.path(), changes.clone()));
    assert_eq!(ids, ["maitred.E040", "maitred.W001", "maitred.I044"]);
    let mut facts = with(folder.path(), changes);
    facts["silenced"] = json!(["maitred.E040", "maitred.I044"]);
    assert_eq!(found(&config, facts).0, ["maitred.W001"]);
}

#[test]
fn every_id_is_in_the_documentation_and_none_besides() {
    let ids = |text: &str| -> BTreeSet<String> {
        text.match_indices("maitred.")
            .filter_map(|(at, _)| text.get(at..at + 12))
            .map(str::to_owned)
            .filter(is_id)
            .collect()
    };
    fn is_id(text: &String) -> bool {
        let mark = text.as_bytes()[8];
        matches!(mark, b'E' | b'W' | b'I') && text[9..].bytes().all(|byte| byte.is_ascii_digit())
    }
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(repository().join("src/django")).expect("the module is there") {
        let path = entry.expect("readable").path();
        if !path.ends_with("lint.rs") {
            written.extend(ids(&fs::read_to_string(path).expect("readable")));
        }
    }
    let page = fs::read_to_string(repository().join("docs/django.md")).expect("the page is there");
    let rows: String = page.lines().filter(|line| line.starts_with("| `maitred.")).collect();
    assert_eq!(ids(&rows), written);
    let mut numbers: Vec<_> = written.iter().map(|id| &id[9..]).collect();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "a number is used twice: {numbers:?}");
    assert_eq!(Level::Error.min(Level::Warning), Level::Error);
}

/// A project of one file, which says of itself what `settings` adds.
fn project(folder: &Path, settings: &str) {
    let text = format!(
        "import django\nfrom django.conf import settings\nfrom django.core.wsgi import get_wsgi_application\n\
         from django.http import HttpResponse\nfrom django.urls import path\n\
         values = dict(SECRET_KEY='hush-hush', ROOT_URLCONF=__name__, STATIC_URL='/static/',\n\
         INSTALLED_APPS=['django.contrib.staticfiles'], MIDDLEWARE=['django.middleware.security.SecurityMiddleware'],\n\
         DATABASES={{'default': {{'ENGINE': 'django.db.backends.postgresql', 'PASSWORD': 'hush-hush', 'HOST': 'hush-hush',\n\
         'NAME': 'hush-hush', 'CONN_MAX_AGE': 60}}}})\n\
         {settings}\n\
         settings.configure(**values)\n\
         urlpatterns = [path('', lambda request: HttpResponse('here'))]\n\
         application = get_wsgi_application()\n"
    );
    fs::write(folder.join("single.py"), text).expect("a writable folder");
}

#[test]
fn the_log_says_contradictions_once_and_check_says_them_with_an_exit_code() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    project(folder.path(), "values.update(DEBUG=True, STATIC_ROOT='collected', ALLOWED_HOSTS=['*'])");
    let python = python::with_django();
    let told = "maitred.W011: STATIC_ROOT ";
    for preload in [true, false] {
        let key = format!("preload_app = {preload}");
        let server =
            Builder::app("single:application").chdir(folder.path()).python(&python).app_key(&key).workers(2).start();
        assert_eq!(server.get("/").text(), "here");
        server.wait_for_line(told);
        // A reload that finds the same says nothing new.
        let mark = server.log.mark();
        server.signal(Signal::HUP);
        server.wait_for_line_from(mark, "application imported");
        assert_eq!(server.get("/").text(), "here");
        // Files that are collected now are served by the server itself, whoever has imported the project.
        fs::create_dir_all(folder.path().join("collected")).expect("a writable folder");
        fs::write(folder.path().join("collected/a.css"), "a{}").expect("a writable folder");
        wait_until("the file is served", DEADLINE, || server.get("/static/a.css").field("etag").is_some());
        fs::remove_dir_all(folder.path().join("collected")).expect("a writable folder");
        let lines = server.log.lines_from(0);
        for id in ["maitred.W001", "maitred.W011", "maitred.W031"] {
            let count = lines.iter().filter(|line| line.contains(id)).count();
            assert_eq!(count, 1, "{id} in {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.contains("hush-hush")), "{lines:#?}");
    }

    let check = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_maitred"))
            .args(["check", "single", "-b", "127.0.0.1:0", "--python"])
            .arg(&python)
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("hush-hush"), "{text}");
        (output.status.code(), text)
    };
    let (code, text) = check(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.lines().any(|line| line.starts_with("warn maitred.W011: STATIC_ROOT ")), "{text}");
    let (code, text) = check(&["--json", "--fail-level", "warn"]);
    assert_eq!(code, Some(2), "{text}");
    let findings: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let debug = findings.iter().find(|finding| finding["id"] == "maitred.W001").expect("it is there");
    assert_eq!(debug["verdict"], "warn");
    assert!(findings.iter().any(|finding| finding["id"].is_null() && finding["verdict"] == "ok"), "{text}");

    project(folder.path(), "values.update(SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=['a.test'])");
    let (code, text) = check(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("FAIL maitred.E040: SECURE_SSL_REDIRECT"), "{text}");
    let silence = "SILENCED_SYSTEM_CHECKS=['maitred.E040', 'maitred.W010']";
    project(folder.path(), &format!("values.update(SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=['a.test'], {silence})"));
    let (code, text) = check(&["--fail-level", "hint"]);
    let settings = text.lines().find(|line| line.contains("settings of Django")).unwrap_or_default();
    assert!(settings.starts_with("ok ") && settings.contains("in accord"), "{code:?} {text}");
}

#[test]
fn a_project_whose_settings_are_strange_is_served_all_the_same() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let strange = "class Odd:\n    def __str__(self): raise ValueError('odd')\n    __fspath__ = __bool__ = __str__\n\
                   values.update(ALLOWED_HOSTS=['*'] * 5000, STATIC_ROOT='x' * 100000, MEDIA_ROOT=Odd(), \
                   SECURE_PROXY_SSL_HEADER=7, CSRF_TRUSTED_ORIGINS=['https://\\udc80'], SENDFILE_ROOT=b'\\xff', SESSION_COOKIE_SECURE=Odd())";
    project(folder.path(), strange);
    let python = python::with_django();
    let server = Builder::app("single:application").chdir(folder.path()).python(&python).start();
    assert_eq!(server.get("/").text(), "here");
}
