//! `reload` and `--dev`: what is saved is served, what is broken is shown, and static files need no `collectstatic`.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use support::external::{find, run};
use support::{Builder, DEADLINE, Response, Server, python, repository, wait_until};
use tempfile::TempDir;

/// Answers with `edition.NAME`; `/lazy` imports another module for its answer.
const APP: &str = "\
import edition

def application(environ, start_response):
    name = edition.NAME
    if environ['PATH_INFO'] == '/lazy':
        from inner import lazy
        name = lazy.NAME
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(name)))])
    return [name.encode()]
";

/// A folder with that application, edition `one`.
fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    write(&folder, "site.toml", "");
    write(&folder, "shop.py", APP);
    write(&folder, "edition.py", "NAME = 'one'\n");
    write(&folder, "inner/__init__.py", "");
    write(&folder, "inner/lazy.py", "NAME = 'lazy one'\n");
    write(&folder, "inner/nobody.py", "");
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
    fs::write(path, text).expect("a writable folder");
}

/// A save as many editors do it: another file takes the name.
fn replace(folder: &TempDir, name: &str, text: &str) {
    write(folder, &format!("{name}.new"), text);
    fs::rename(folder.path().join(format!("{name}.new")), folder.path().join(name)).expect("renamed");
}

fn builder(folder: &TempDir) -> Builder {
    Builder::app("shop:application").chdir(folder.path()).app_key("reload = true")
}

fn body(server: &Server, target: &str) -> String {
    server.get(target).text().to_owned()
}

/// Waits until the body says it.
#[track_caller]
fn wait_body(server: &Server, target: &str, wanted: &str) {
    wait_until(&format!("{target} says {wanted}"), DEADLINE, || body(server, target).contains(wanted));
}

/// Waits until a change of `name` has been noticed.
#[track_caller]
fn wait_noticed(server: &Server, mark: usize, name: &str) {
    server.wait_for_line_from(mark, &format!("{name} has changed"));
}

/// Waits until the last boot is over, and the log has so many generations that serve.
#[track_caller]
fn wait_generations(server: &Server, count: usize) {
    wait_until("the generations", DEADLINE, || server.log.text().matches("generation serving").count() == count);
}

/// Waits until the server knows of the file in the worker: what it imports while it serves is told a moment later.
#[track_caller]
fn wait_reloaded(server: &Server, generation: usize) {
    wait_generations(server, generation);
    wait_until("one worker", DEADLINE, || server.workers().len() == 1);
}

#[test]
fn what_is_saved_is_served_however_the_editor_saves_it() {
    let folder = project();
    let server = builder(&folder).start();
    assert_eq!(body(&server, "/"), "one");
    write(&folder, "edition.py", "NAME = 'two'\n");
    wait_body(&server, "/", "two");
    replace(&folder, "edition.py", "NAME = 'three'\n");
    wait_body(&server, "/", "three");
    replace(&folder, "edition.py", "NAME = 'four'\n");
    wait_body(&server, "/", "four");
    wait_reloaded(&server, 4);
}

#[test]
fn only_what_is_imported_counts_and_what_is_imported_later_does_too() {
    let folder = project();
    let server = builder(&folder).start();
    for name in ["inner/nobody.py", "other.py", "edition.pyc", "edition.py~"] {
        write(&folder, name, "NAME = 'nobody'\n");
    }
    write(&folder, "edition.py", "NAME = 'two'\n");
    wait_reloaded(&server, 2);
    assert_eq!(server.log.text().matches("changed").count(), 1, "{}", server.log.text());
    assert_eq!(body(&server, "/lazy"), "lazy one");
    // The worker tells of it a moment later; an earlier save is noticed by then.
    write(&folder, "inner/lazy.py", "NAME = 'lazy two'\n");
    wait_body(&server, "/lazy", "lazy two");
    wait_reloaded(&server, 3);
    write(&folder, "inner/lazy.py", "NAME = 'lazy three'\n");
    let at_last = || {
        let _imports = body(&server, "/lazy");
        server.log.text().matches("generation serving").count() >= 4
    };
    wait_until("another generation", DEADLINE, at_last);
    wait_body(&server, "/lazy", "lazy three");
}

#[test]
fn without_preload_workers_tell_what_they_import() {
    let folder = project();
    let server = builder(&folder).app_key("preload_app = false").start();
    write(&folder, "edition.py", "NAME = 'two'\n");
    wait_body(&server, "/", "two");
    let mark = server.log.mark();
    write(&folder, "edition.py", "NAME = undefined_name\n");
    wait_body(&server, "/", "undefined_name");
    server.wait_for_line_from(mark, "reload failed");
    write(&folder, "edition.py", "NAME = 'three'\n");
    wait_body(&server, "/", "three");
}

#[track_caller]
fn assert_is_failure(response: &Response, shown: &str) {
    assert_eq!(response.status, 500);
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.field("cache-control"), Some("no-store"));
    assert!(response.text().contains(shown) && !response.text().contains("<b>oh</b>"), "{}", response.text());
}

#[test]
fn an_import_error_is_shown_and_the_next_good_save_brings_the_site_back() {
    let folder = project();
    let server = builder(&folder).start();
    assert_eq!(body(&server, "/"), "one");
    let mark = server.log.mark();
    write(&folder, "edition.py", "raise ValueError('<b>oh</b>')\n");
    wait_body(&server, "/", "could not be imported");
    let shown = server.get("/any/where?x");
    assert_is_failure(&shown, "ValueError: &lt;b&gt;oh&lt;/b&gt;");
    assert!(shown.text().contains("edition.py") && shown.text().contains("line 1"), "{}", shown.text());
    let mut client = server.connect();
    let posted = client.post("/", "Content-Type: text/plain\r\n", b"body");
    assert_is_failure(&posted, "ValueError");
    assert!(!posted.text().contains("<script"), "a POST is not repeated");
    client.request("HEAD", "/", "");
    assert_eq!(client.response("HEAD").field("maitred-import"), Some("failed"));
    assert!(server.wait_for_line_from(mark, "ValueError: <b>oh</b>").contains("ValueError"));
    // Another mistake, and then none.
    write(&folder, "edition.py", "NAME = (\n");
    wait_body(&server, "/", "SyntaxError");
    write(&folder, "edition.py", "NAME = 'two'\n");
    wait_body(&server, "/", "two");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_broken_application_is_shown_from_the_start_and_mended_by_what_it_lacks() {
    let folder = project();
    fs::remove_file(folder.path().join("edition.py")).expect("removed");
    let mut server = builder(&folder).start();
    let shown = server.get("/");
    assert_is_failure(&shown, "No module named &#39;edition&#39;".replace("&#39;", "'").as_str());
    // A package in the module's place, which is not there either at first.
    write(&folder, "edition/__init__.py", "from edition.names import NAME\n");
    wait_body(&server, "/", "edition.names");
    write(&folder, "edition/names.py", "NAME = 'from a package'\n");
    wait_body(&server, "/", "from a package");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_broken_application_that_is_never_mended_stops_as_any_other() {
    let folder = project();
    write(&folder, "edition.py", "NAME = (\n");
    let mut server = builder(&folder).start();
    assert_is_failure(&server.get("/"), "SyntaxError");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn without_reload_a_broken_application_is_nobody_s_business() {
    let folder = project();
    write(&folder, "edition.py", "raise ValueError('secret')\n");
    let refusal = Builder::app("shop:application").chdir(folder.path()).refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
}

#[test]
fn many_saves_are_few_reloads_and_one_during_a_reload_is_not_lost() {
    let folder = project();
    // Long enough for saves to come meanwhile.
    let slow = |name: &str| format!("import time\ntime.sleep(0.5)\nNAME = {name:?}\n");
    let server = builder(&folder).start();
    for number in 0..100 {
        write(&folder, "edition.py", &slow(&format!("save {number}")));
    }
    wait_body(&server, "/", "save 99");
    let generations = server.log.text().matches("generation starting").count();
    assert!(generations <= 5, "{generations} generations for a hundred saves");
    let mark = server.log.mark();
    write(&folder, "edition.py", &slow("during"));
    server.wait_for_line_from(mark, "generation starting");
    write(&folder, "edition.py", "NAME = 'at last'\n");
    wait_body(&server, "/", "at last");
}

#[test]
fn files_that_go_and_directories_that_move_are_noticed() {
    let folder = project();
    let top = folder.path();
    write(&folder, "shop.py", &format!("import inner.lazy\n{APP}"));
    let server = builder(&folder).start();
    fs::rename(top.join("inner"), top.join("away")).expect("renamed");
    wait_body(&server, "/", "No module named 'inner'");
    fs::rename(top.join("away"), top.join("inner")).expect("renamed");
    wait_body(&server, "/lazy", "lazy one");
    fs::remove_file(top.join("inner/lazy.py")).expect("removed");
    wait_body(&server, "/", "inner.lazy");
    write(&folder, "inner/lazy.py", "NAME = 'lazy two'\n");
    wait_body(&server, "/lazy", "lazy two");
    fs::remove_dir_all(top.join("inner")).expect("removed");
    wait_body(&server, "/", "No module named 'inner'");
    write(&folder, "inner/__init__.py", "");
    write(&folder, "inner/lazy.py", "NAME = 'lazy three'\n");
    wait_body(&server, "/lazy", "lazy three");
}

#[test]
fn editable_installs_count_and_installed_packages_do_not() {
    let (folder, elsewhere) = (project(), tempfile::tempdir().expect("the temporary folder is writable"));
    write(&folder, "shop.py", &format!("import editable, installed\n{APP}"));
    write(&elsewhere, "src/editable/__init__.py", "");
    write(&elsewhere, "lib/site-packages/installed.py", "");
    let path = format!("{0}/src:{0}/lib/site-packages", elsewhere.path().display());
    let server = builder(&folder).argument("--env").argument(&format!("PYTHONPATH={path}")).start();
    let mark = server.log.mark();
    write(&elsewhere, "lib/site-packages/installed.py", "x = 1\n");
    write(&elsewhere, "src/editable/__init__.py", "x = 1\n");
    wait_noticed(&server, mark, "editable/__init__.py");
    assert!(!server.log.text().contains("installed.py"), "{}", server.log.text());
}

#[test]
fn extra_files_and_directories_count() {
    let folder = project();
    write(&folder, "data/deep/x.txt", "");
    let (file, data) = (folder.path().join("some.cfg"), folder.path().join("data"));
    let arguments = ["--reload", "--reload-engine", "inotify", "--reload-extra-file"];
    let mut builder = Builder::app("shop:application").chdir(folder.path());
    for argument in arguments.into_iter().chain([&*file.display().to_string()]) {
        builder = builder.argument(argument);
    }
    let server = builder.app_key(&format!("reload_extra_files = [{data:?}]")).start();
    // A flag wins over the file.
    let mark = server.log.mark();
    write(&folder, "data/deep/x.txt", "1");
    write(&folder, "some.cfg", "1");
    wait_noticed(&server, mark, "some.cfg");
    drop(server);
    let server = self::builder(&folder).app_key(&format!("reload_extra_files = [{data:?}]")).start();
    let mark = server.log.mark();
    write(&folder, "data/deep/er/new.txt", "1");
    server.wait_for_line_from(mark, "changed");
    write(&folder, "data/deep/er/new.txt", "2");
    wait_noticed(&server, mark, "data/deep/er/new.txt");
}

/// A Django project with `DEBUG = False`, an app with templates and static files, and more of both beside it.
fn django() -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let settings = "\
from pathlib import Path
BASE = Path(__file__).resolve().parent
DEBUG = False
SECRET_KEY = 'x'
ALLOWED_HOSTS = ['*']
ROOT_URLCONF = 'urls'
WSGI_APPLICATION = None
INSTALLED_APPS = ['django.contrib.staticfiles', 'shop']
STATIC_URL = 'static/'
STATIC_ROOT = BASE / 'collected'
STATICFILES_DIRS = [('named', BASE / 'assets')]
STORAGES = {'staticfiles': {'BACKEND': 'django.contrib.staticfiles.storage.ManifestStaticFilesStorage'}}
TEMPLATES = [{'BACKEND': 'django.template.backends.django.DjangoTemplates', 'APP_DIRS': True, 'DIRS': [BASE / 'pages']}]
";
    let urls = "\
from django.shortcuts import render
from django.urls import path
urlpatterns = [path('', lambda request: render(request, 'home.html')), path('shop', lambda request: render(request, 'shop.html')), path('linked', lambda request: render(request, 'linked.html'))]
";
    let manage = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'settings')\n";
    for (name, text) in [
        ("settings.py", settings),
        ("urls.py", urls),
        ("manage.py", manage),
        ("shop/__init__.py", ""),
        ("shop/static/shop/a.css", "a { color: red }"),
        ("shop/templates/shop.html", "shop one"),
        ("pages/home.html", "home one"),
        ("pages/linked.html", "{% load static %}{% static 'shop/a.css' %}"),
        ("assets/b.js", "b"),
        ("collected/shop/a.css", "stale"),
        ("collected/only.css", "stale"),
    ] {
        write(&folder, name, text);
    }
    folder
}

fn develop(folder: &TempDir, arguments: &[&str]) -> Server {
    developer(folder, arguments).start()
}

fn developer(folder: &TempDir, arguments: &[&str]) -> Builder {
    let python = python::with_django();
    let venv = python.parent().and_then(|bin| bin.parent()).expect("python is in a bin folder").display().to_string();
    let arguments = [&["--dev"], arguments].concat();
    let builder = Builder::command_line(&arguments).environment("VIRTUAL_ENV", &venv).working_directory(folder.path());
    // Standard output, where the access log goes, in a file.
    let out = folder.path().join("out.log").display().to_string();
    builder.prefix(&["sh", "-c", "exec \"$@\" > \"$0\"", &out])
}

#[test]
fn a_page_may_ask_its_own_server_for_another_one_in_development() {
    let folder = project();
    let app = "\
from urllib.request import urlopen

def application(environ, start_response):
    body = b'inner'
    if environ['PATH_INFO'] == '/outer':
        with urlopen('http://' + environ['QUERY_STRING'] + '/inner', timeout=60) as answer:
            body = b'outer ' + answer.read()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [body]
";
    write(&folder, "shop.py", app);
    let server = Builder::app("shop").chdir(folder.path()).app_key("dev = true").start();
    assert_eq!(body(&server, &format!("/outer?{}", server.address)), "outer inner");
    server.wait_workers(1);
}

#[test]
fn the_page_of_a_broken_application_asks_without_a_line_in_the_access_log() {
    let folder = project();
    let log = folder.path().join("access.log");
    let server = builder(&folder).server_key(&format!("access_log = {{ path = {log:?}, flush = '100ms' }}")).start();
    let mark = server.log.mark();
    write(&folder, "edition.py", "NAME = undefined_name\n");
    server.wait_for_line_from(mark, "reload failed");
    wait_body(&server, "/", "undefined_name");
    let mut client = server.connect();
    let mut ask = |method: &str, target: &str, fields: &str| {
        client.request(method, target, fields);
        client.response(method)
    };
    assert!(body(&server, "/").contains("headers: { \"Maitred-Import\": \"ask\" }"));
    assert_is_failure(&ask("HEAD", "/asked", "Maitred-Import: ask\r\n"), "");
    assert_is_failure(&ask("GET", "/seen", ""), "undefined_name");
    let logged = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the access log", DEADLINE, || logged().contains("GET /seen "));
    assert!(!logged().contains("/asked"), "{}", logged());
    // Nobody else gets past the log with it.
    write(&folder, "edition.py", "NAME = 'two'\n");
    wait_body(&server, "/", "two");
    assert_eq!(ask("HEAD", "/asked", "Maitred-Import: ask\r\n").status, 200);
    wait_until("the access log", DEADLINE, || logged().contains("HEAD /asked "));
}

/// Runs the rest of its arguments at a terminal of which somebody types `c`, which lets a debugger go on.
const AT_A_TERMINAL: &str = "\
import os, pty, sys
keyboard, screen = pty.openpty()
if os.fork() == 0:
    if os.fork() == 0:
        os.close(screen)
        os.write(keyboard, b'c\\n')
        try:
            while os.read(keyboard, 1024):
                pass
        except OSError:
            pass
    os._exit(0)
os.wait()
os.close(keyboard)
os.dup2(screen, 0)
os.close(screen)
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn a_breakpoint_reads_from_the_terminal_in_development() {
    let folder = project();
    let app = "\
import sys

def application(environ, start_response):
    sys.breakpointhook()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'went on']
";
    write(&folder, "shop.py", app);
    let interpreter = python::interpreter().display().to_string();
    let terminal = [interpreter.as_str(), "-c", AT_A_TERMINAL];
    let builder = || Builder::app("shop").chdir(folder.path()).prefix(&terminal);
    assert_eq!(body(&builder().app_key("dev = true").start(), "/"), "went on");
    // Elsewhere nobody is to stop in a debugger.
    let server = builder().start();
    assert_eq!(server.get("/").status, 500);
    server.wait_for_line("BdbQuit");
}

#[test]
fn dev_serves_static_files_from_where_the_finders_find_them() {
    let folder = django();
    let server = develop(&folder, &[]);
    server.wait_workers(1);
    let found = server.get("/static/shop/a.css");
    assert_eq!((found.status, found.text()), (200, "a { color: red }"));
    assert_eq!(found.field("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(found.field("cache-control"), Some("no-cache"));
    assert_eq!(body(&server, "/static/named/b.js"), "b");
    // Pages name what is there, not the hashed names of a manifest, which is missing.
    assert_eq!(body(&server, "/linked"), "/static/shop/a.css");
    // What was collected once is left aside.
    assert_eq!(server.get("/static/only.css").status, 404);
    // A change shows at once, and so does a new file, and one in a folder that was not there.
    write(&folder, "shop/static/shop/a.css", "a { color: blue }");
    assert_eq!(body(&server, "/static/shop/a.css"), "a { color: blue }");
    write(&folder, "shop/static/new.txt", "new");
    assert_eq!(body(&server, "/static/new.txt"), "new");
    let mut client = server.connect();
    let tag = found.field("etag").expect("files have tags").to_owned();
    client.request("GET", "/static/shop/a.css", &format!("If-None-Match: {tag}\r\n"));
    let again = client.response("GET");
    assert_eq!(again.status, 200, "it has changed");
    let tag = again.field("etag").expect("files have tags").to_owned();
    client.request("GET", "/static/shop/a.css", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(client.response("GET").status, 304);
    client.request("HEAD", "/static/shop/a.css", "");
    assert_eq!(client.response("HEAD").field("content-length"), Some("17"));
    for way_out in [
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static/..%2fsettings.py",
        "/static/shop/",
        "/static/",
    ] {
        let refused = server.get(way_out);
        assert!(refused.status == 404 && !refused.text().contains("SECRET_KEY"), "{way_out}: {}", refused.text());
    }
    assert_eq!(
        server.log.text().matches("has changed").count(),
        0,
        "static files are no reason to load the application anew"
    );
}

#[test]
fn dev_reloads_for_templates_and_settings_and_writes_a_short_log() {
    let folder = django();
    let server = develop(&folder, &[]);
    assert_eq!((body(&server, "/"), body(&server, "/shop")), ("home one".to_owned(), "shop one".to_owned()));
    write(&folder, "pages/home.html", "home two");
    wait_body(&server, "/", "home two");
    replace(&folder, "shop/templates/shop.html", "shop two");
    wait_body(&server, "/shop", "shop two");
    let settings = fs::read_to_string(folder.path().join("settings.py")).expect("written before");
    write(&folder, "settings.py", &settings.replace("'pages'", "'more'"));
    write(&folder, "more/home.html", "home three");
    wait_body(&server, "/", "home three");
    let log = || fs::read_to_string(folder.path().join("out.log")).expect("the server made it");
    wait_until("the access log", DEADLINE, || log().contains("200 GET /shop "));
    let text = log();
    let line = text.lines().find(|line| line.contains("200 GET /shop ")).expect("just seen");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[0].len() == 8 && words[0].matches(':').count() == 2, "{line}");
    assert!(line.ends_with(" ms") && line.contains(" 8 B in ") && !line.contains('\x1b'), "{line}");
}

#[test]
fn dev_leaves_output_alone_and_has_one_clock() {
    let folder = django();
    let urls = fs::read_to_string(folder.path().join("urls.py")).expect("written before");
    let told = "import sys\nfrom django.http import HttpResponse\ndef told(request):\n    print('to out')\n    \
                sys.stderr.write('Traceback (most recent call last):\\n  of two lines\\n')\n    return HttpResponse('told')\n\
                urlpatterns.append(path('told', told))\n";
    write(&folder, "urls.py", &(urls + told));
    // In a zone that no test runs in: 5:30 ahead of UTC.
    let clock = |arguments: &[&str]| {
        let before = time_of_day_utc();
        let server = developer(&folder, arguments).environment("TZ", "XXX-05:30").start();
        assert_eq!(body(&server, "/told"), "told");
        assert_eq!(server.wait_for_line("Traceback"), "Traceback (most recent call last):");
        assert_eq!(server.wait_for_line("of two lines"), "  of two lines");
        let log = || fs::read_to_string(folder.path().join("out.log")).expect("the server made it");
        wait_until("the access log", DEADLINE, || log().contains(" 200 GET /told ") && log().contains("to out\n"));
        let ready = server.wait_for_line("ready: ");
        let text = log();
        let line = text.lines().find(|line| line.contains(" 200 GET /told ")).expect("just seen");
        for line in [line, &*ready] {
            let seconds = (time_of_day(line) + 86_400 - before) % 86_400;
            let ahead = 5 * 3600 + 30 * 60;
            assert!((ahead - 1..ahead + 600).contains(&seconds), "{line:?} is not of now, {before} s UTC");
        }
    };
    clock(&[]);
    clock(&["--access-logfile", "-"]);
}

/// Seconds since midnight, in Greenwich.
fn time_of_day_utc() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    now.as_secs() % 86_400
}

/// Those that a line begins with.
#[track_caller]
fn time_of_day(line: &str) -> u64 {
    let parts = line.split(' ').next().unwrap_or_default().split(':').map(|part| part.parse().ok());
    let parts: Option<Vec<u64>> = parts.collect();
    let Some([hours, minutes, seconds]) = parts.as_deref() else { panic!("{line:?} has no time of day") };
    hours * 3600 + minutes * 60 + seconds
}

#[test]
fn dev_has_one_worker_and_no_timeout_unless_told_otherwise() {
    let folder = django();
    let python = python::with_django().display().to_string();
    let printed = |arguments: &[&str]| {
        let command = [&["serve", "--dev", "--print-config", "--python", &*python], arguments].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_maitred")).args(command).current_dir(folder.path()).output();
        let output = output.expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = text.lines().filter_map(|line| {
            line.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        });
        words.collect::<std::collections::BTreeMap<_, _>>()
    };
    let shown = printed(&[]);
    let of = |name: &str| shown.get(name).map(String::as_str);
    assert_eq!(
        (of("workers"), of("timeout"), of("reload"), of("accesslog")),
        (Some("1"), Some("0"), Some("True"), Some("-")),
        "{shown:?}"
    );
    let shown = printed(&["--workers", "3", "--timeout", "7", "--access-logfile", "x.log"]);
    assert_eq!((shown["workers"].as_str(), shown["timeout"].as_str()), ("3", "7"));
    assert!(shown["accesslog"].ends_with("x.log"), "{shown:?}");
}

#[test]
fn chromium_sees_the_error_and_then_the_site_by_itself() {
    let Some(chromium) = find("chromium", "chromium") else { return };
    let folder = django();
    let server = develop(&folder, &[]);
    let script = repository().join("tests/clients/development.py").display().to_string();
    let profile = tempfile::tempdir().expect("the temporary folder is writable");
    let url = format!("http://{}", server.address);
    let (chromium, profile) = (chromium.display().to_string(), profile.path().display().to_string());
    let project: &Path = folder.path();
    let arguments = [&*script, &chromium, &url, &profile, &project.display().to_string()];
    assert_eq!(run(&python::interpreter(), &arguments), "seen\n");
}

/// A server whose user may have only so many of inotify's things.
fn limited(folder: &TempDir, what: &str, most: u32) -> Option<Server> {
    let script = format!("echo {most} > /proc/sys/user/{what} && exec \"$@\"");
    let prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", &script, "sh"];
    let tried = Command::new(prefix[0]).args(&prefix[1..]).arg("true").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        eprintln!("not shown: unshare --user is not permitted here");
        return None;
    }
    Some(builder(folder).prefix(&prefix).start())
}

#[test]
fn files_that_inotify_has_no_room_for_are_not_watched_which_the_log_says_once() {
    let folder = project();
    let Some(server) = limited(&folder, "max_inotify_watches", 0) else { return };
    server.wait_for_line("raise the sysctl fs.inotify.max_user_watches; changes elsewhere take SIGHUP");
    assert_eq!(body(&server, "/lazy"), "lazy one");
    assert_eq!(server.log.text().matches("max_user_watches").count(), 1);
    replace(&folder, "edition.py", "NAME = 'two'\n");
    server.signal(Signal::HUP);
    wait_body(&server, "/", "two");
    let Some(server) = limited(&folder, "max_inotify_instances", 0) else { return };
    server.wait_for_line("files are not watched: this user has as many inotify instances as it may");
    assert_eq!(body(&server, "/"), "two");
}
