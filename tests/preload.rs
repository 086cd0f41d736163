//! Preload: one thread imports the application, once for each generation, and workers are forked from what it has made.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use support::{Builder, DEADLINE, process, python, wait_until};

/// Tells who has imported the module beside it, what that holds, and how much the collector leaves alone.
const APP: &str = "\
import gc, os
import beside
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'%d %s %d' % (beside.importer, beside.VALUE, gc.get_freeze_count())]
";

fn write(folder: &Path, value: &str) {
    fs::write(folder.join("preloaded.py"), APP).expect("a writable folder");
    let beside = format!("import os\nimporter = os.getpid()\nVALUE = b'{value}'\n");
    fs::write(folder.join("beside.py"), beside).expect("a writable folder");
}

#[test]
fn preloaded_code_is_frozen_and_comes_anew_with_each_deploy() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    write(folder.path(), "old");
    // Files that change within a second have the same time for the byte code's cache.
    let server = Builder::app("preloaded:application")
        .chdir(folder.path())
        .workers(2)
        .environment("PYTHONDONTWRITEBYTECODE", "1")
        .start();
    let words =
        |server: &support::Server| -> Vec<String> { server.get("/").text().split(' ').map(str::to_owned).collect() };
    let zygote = server.zygote();
    let first = words(&server);
    assert_eq!((first[0].as_str(), first[1].as_str()), (zygote.to_string().as_str(), "old"));
    assert!(first[2].parse::<u64>().is_ok_and(|frozen| frozen > 1000), "{first:?}");
    let threads = fs::read_dir(format!("/proc/{zygote}/task")).expect("it runs").count();
    assert_eq!(threads, 1, "whoever forks has no other thread");

    // A worker that comes later is forked from the same import, whatever the files say now.
    write(folder.path(), "new");
    for worker in server.wait_workers(2) {
        process::signal(worker.pid, Signal::KILL);
        server.wait_for_line(&format!("pid={} generation=1 exit=", worker.pid));
    }
    server.wait_workers(2);
    assert_eq!(words(&server)[..2], first[..2]);

    let mark = server.log.mark();
    server.signal(Signal::HUP);
    server.wait_for_line_from(mark, "application imported");
    wait_until("the new code answers", DEADLINE, || words(&server)[1] == "new");
    assert!(process::wait_gone(zygote, DEADLINE), "the zygote of the old code has gone");
    assert_eq!(words(&server)[0], server.zygote().to_string());
}

#[test]
fn a_worker_that_waits_takes_the_place_of_the_next_that_dies_and_ends_with_its_generation() {
    let mut server = Builder::app("kitchen").workers(2).start();
    let spare = server.spare();
    let killed = server.wait_workers(2)[0].pid;
    process::signal(killed, Signal::KILL);
    wait_until("the one that waited is a worker", DEADLINE, || {
        let pids: Vec<u32> = server.workers().iter().map(|worker| worker.pid).collect();
        pids.contains(&spare) && !pids.contains(&killed)
    });
    wait_until("it answers", DEADLINE, || server.get("/pid").text() == format!("{spare}\n"));
    // Another one waits, and one of the next generation's after a reload.
    let next = server.spare();
    assert_ne!(next, spare);
    let mark = server.log.mark();
    server.signal(Signal::HUP);
    server.wait_for_line_from(mark, "application imported");
    assert!(process::wait_gone(next, DEADLINE), "it goes on");
    let last = server.spare();
    assert_ne!(last, next);
    process::signal(server.zygote(), Signal::KILL);
    assert!(process::wait_gone(last, DEADLINE), "it goes on without its zygote");
    // Nobody hears of one that does not wait any more.
    process::signal(server.spare(), Signal::KILL);
    let worker = server.wait_workers(2)[0].pid;
    process::signal(worker, Signal::KILL);
    wait_until("it is replaced", DEADLINE, || {
        let workers = server.workers();
        workers.len() == 2 && workers.iter().all(|found| found.pid != worker)
    });
    assert_eq!(server.get("/hello").status, 200);
    let last = server.spare();
    assert_eq!(server.stop().code(), Some(0));
    assert!(!process::is_alive(last), "the server waits for all of its own");
}

#[test]
fn a_worker_that_waits_is_killed_with_its_generation_if_it_does_not_end() {
    let mut server = Builder::app("kitchen").start();
    let spare = server.spare();
    process::signal(spare, Signal::STOP);
    wait_until("it is stopped", DEADLINE, || process::state(spare) == Some('T'));
    assert_eq!(server.stop().code(), Some(0));
    assert!(!process::is_alive(spare));
}

/// Views in a module of their own, as Django's projects have them.
const SITE: &str = "\
import os
from django.conf import settings
settings.configure(SECRET_KEY='x', ROOT_URLCONF='site_urls', ALLOWED_HOSTS=['*'])
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
";
const URLS: &str = "\
import os
from django.http import HttpResponse
from django.urls import path
importer = os.getpid()
urlpatterns = [path('', lambda request: HttpResponse('%d' % importer))]
";

#[test]
fn views_of_a_django_project_are_imported_before_the_fork() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("site_wsgi.py"), SITE).expect("a writable folder");
    fs::write(folder.path().join("site_urls.py"), URLS).expect("a writable folder");
    let python = support::python::with_django();
    let builder = || Builder::app("site_wsgi:application").chdir(folder.path()).python(&python);
    let server = builder().start();
    assert_eq!(server.get("/").text(), server.zygote().to_string());
    // Views that can't be imported are an error of the first request, as without preload.
    fs::write(folder.path().join("site_urls.py"), "raise ValueError('no views today')\n# longer\n")
        .expect("a writable folder");
    let server = builder().start();
    assert_eq!(server.get("/").status, 500);
    server.wait_for_line("no views today");
}

/// A tag that tells who has compiled it, in a page and in what that extends and includes; and a template that can't be compiled.
const TEMPLATES: [(&str, &str); 6] = [
    (
        "tags/templatetags/who.py",
        "\
import os
from django import template
register = template.Library()
@register.tag
def compiler(parser, token):
    return template.base.TextNode('%d ' % os.getpid())
",
    ),
    ("tags/__init__.py", ""),
    (
        "tags/templates/page.html",
        "{% extends 'base.html' %}{% load who %}{% block page %}{% compiler %}{% include 'part.txt' %}{% endblock %}",
    ),
    ("tags/templates/base.html", "{% load who %}{% block page %}{% endblock %}{% compiler %}"),
    ("tags/templates/part.txt", "{% load who %}{% compiler %}"),
    ("tags/templates/broken.html", "{% no_such_tag %}"),
];

#[test]
fn templates_of_a_django_project_are_compiled_before_the_fork() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::create_dir_all(folder.path().join("tags/templatetags")).expect("a writable folder");
    fs::create_dir_all(folder.path().join("tags/templates")).expect("a writable folder");
    for (name, text) in TEMPLATES {
        fs::write(folder.path().join(name), text).expect("a writable folder");
    }
    let engines = "TEMPLATES=[{'BACKEND': 'django.template.backends.django.DjangoTemplates', 'APP_DIRS': True}], INSTALLED_APPS=['tags'], ";
    let site = SITE.replace("SECRET_KEY", &format!("{engines}SECRET_KEY"));
    fs::write(folder.path().join("site_wsgi.py"), site).expect("a writable folder");
    let urls = "from django.shortcuts import render\nfrom django.urls import path\n\
                urlpatterns = [path('<path:name>', lambda request, name: render(request, name))]\n";
    fs::write(folder.path().join("site_urls.py"), urls).expect("a writable folder");
    let builder = || Builder::app("site_wsgi:application").chdir(folder.path()).python(&support::python::with_django());
    let server = builder().start();
    let told: Vec<u32> =
        server.get("/page.html").text().split(' ').filter_map(|word| word.trim().parse().ok()).collect();
    assert_eq!(told, [server.zygote(); 3]);
    assert_eq!(server.get("/broken.html").status, 500);
    // Whoever develops changes them.
    let server = builder().app_key("reload = true").start();
    let worker = server.workers()[0].pid.to_string();
    assert!(server.get("/page.html").text().starts_with(&worker));
}

/// Tells what was found out of a field, and whether the expression of the URL that a template names is compiled; before and after that is done ahead.
const USED: &str = "\
import re
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.http import HttpResponse
from django.urls import include, path
def told(request):
    column = vars(ContentType._meta.get_field('model')).get('cached_col')
    return HttpResponse('%s %s' % ('identity' in vars(column) if column else None, any('^/named/' in str(key) for key in re._cache)))
def warm(request):
    from maitred_worker import pages
    for step in (pages.templates, pages.fields, pages.reversals):
        step(settings, until=float('inf'))
    return told(request)
urlpatterns = [path('', told), path('warm', warm), path('named/', include(([path('<int:n>/', told, name='one')], 'spaced')))]
";

#[test]
fn what_django_finds_out_of_fields_and_of_urls_in_templates_can_be_found_out_ahead() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::create_dir(folder.path().join("pages")).expect("a writable folder");
    let pages = "{% url 'spaced:one' 1 %}{% url 'nowhere:one' %}{% url 'nothing' %}";
    fs::write(folder.path().join("pages/page.html"), pages).expect("a writable folder");
    let more = "TEMPLATES=[{'BACKEND': 'django.template.backends.django.DjangoTemplates', 'DIRS': ['pages']}], \
                INSTALLED_APPS=['django.contrib.contenttypes'], ";
    let site = SITE.replace("SECRET_KEY", &format!("{more}SECRET_KEY"));
    fs::write(folder.path().join("site_wsgi.py"), site).expect("a writable folder");
    fs::write(folder.path().join("site_urls.py"), USED).expect("a writable folder");
    let builder = || Builder::app("site_wsgi:application").chdir(folder.path()).python(&support::python::with_django());
    // Whoever develops waits for each start, so it is not done then.
    let server = builder().app_key("reload = true").start();
    assert_eq!(server.get("/").text(), "None False");
    // However long it takes on a machine that has much else to do.
    assert_eq!(server.get("/warm").text(), "True True");
    drop(server);
    // Before the fork it has so much time and no more, most of it at a reload.
    let server = builder().start();
    wait_until("a zygote had the time for it", DEADLINE, || {
        if server.get("/").text() == "True True" {
            return true;
        }
        let (zygote, mark) = (server.zygote(), server.log.mark());
        server.signal(Signal::HUP);
        server.wait_for_line_from(mark, "application imported");
        assert!(process::wait_gone(zygote, DEADLINE), "the zygote of before goes on");
        false
    });
}

#[test]
fn the_collector_rests_while_the_application_is_imported_and_then_does_as_that_says() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let text = "import gc\nbefore = gc.get_threshold()\ngc.set_threshold(5000, *before[1:])\n\
                def application(environ, start_response):\n    start_response('200 OK', [])\n    \
                return [b'%d %d %d' % (before[2], gc.get_threshold()[0], gc.get_threshold()[2])]\n";
    fs::write(folder.path().join("collected.py"), text).expect("a writable folder");
    for preload in ["true", "false"] {
        let key = format!("preload_app = {preload}");
        let server = Builder::app("collected:application").chdir(folder.path()).app_key(&key).start();
        let told: Vec<u32> = server.get("/").text().split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(told[0] > 1_000_000 && told[1] == 5000 && told[2] < 1000, "preload {preload}: {told:?}");
    }
}

#[test]
fn threads_that_the_application_starts_before_the_fork_are_told_of() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let text = "import threading\n\
                threading.Thread(target=threading.Event().wait, name='metrics-sender', daemon=True).start()\n\
                from wsgiref.simple_server import demo_app as application\n";
    fs::write(folder.path().join("threaded.py"), text).expect("a writable folder");
    let told = "starts threads while it is imported (metrics-sender)";
    let server = Builder::app("threaded:application").chdir(folder.path()).start();
    assert_eq!(server.get("/").status, 200);
    server.wait_for_line(told);
    // Each worker that imports for itself has its own.
    let server = Builder::app("threaded:application").chdir(folder.path()).app_key("preload_app = false").start();
    assert_eq!(server.get("/").status, 200);
    assert!(!server.log.text().contains("starts threads"), "{}", server.log.text());
}

/// A folder whose name is no UTF-8, with a module that tells where it is, and how a hook and `sys.path` have that.
fn nameless() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().expect("the temporary folder is writable");
    let folder = outer.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&folder).expect("a writable folder");
    let app = "import os, sys\n\
        def told(worker):\n    global chdir\n    chdir = worker.cfg.chdir\n\
        def application(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [b'\\n'.join(map(os.fsencode, (os.getcwd(), sys.path[0], chdir, __file__)))]\n";
    fs::write(folder.join("placed.py"), app).expect("a writable folder");
    fs::write(folder.join("broken.py"), "import nothing_of_that_name\n").expect("a writable folder");
    (outer, folder)
}

fn in_folder(folder: &Path, application: &str) -> Builder {
    let python = support::python::interpreter();
    let python = python.to_str().expect("the interpreter of the tests has a name in UTF-8");
    Builder::command_line(&[application, "--python", python, "--workers", "1"]).working_directory(folder)
}

#[test]
fn a_directory_whose_name_is_no_text_is_told_as_it_is() {
    let (_outer, folder) = nameless();
    let config = "[app]\nwsgi = \"placed\"\n[app.hooks]\npost_worker_init = \"placed:told\"\n";
    fs::write(folder.join("maitred.toml"), config).expect("a writable folder");
    let server = in_folder(&folder, "placed").start();
    let told = server.get("/").body;
    let at = folder.as_os_str().as_bytes();
    let expected = [at, b"\n", at, b"\n", at, b"\n", at, b"/placed.py"].concat();
    assert_eq!(String::from_utf8_lossy(&told), String::from_utf8_lossy(&expected));
    assert_eq!(told, expected);
}

#[test]
fn a_failed_import_from_a_directory_whose_name_is_no_text_is_told_of() {
    let (_outer, folder) = nameless();
    let refusal = in_folder(&folder, "broken").refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("No module named 'nothing_of_that_name'"), "{}", refusal.stderr);
}

#[test]
fn a_variable_may_be_longer_than_a_message_to_the_zygote() {
    const LENGTH: usize = 100_000;
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let text = "import os\ndef told(worker):\n    global length\n    length = len(worker.cfg.env['LARGE'])\n\
                def application(environ, start_response):\n    start_response('200 OK', [])\n    \
                return [b'%d %d' % (length, len(os.environ['LARGE']))]\n";
    fs::write(folder.path().join("varied.py"), text).expect("a writable folder");
    let server = Builder::app("varied:application")
        .chdir(folder.path())
        .app_key(&format!("raw_env = [\"LARGE={}\"]", "x".repeat(LENGTH)))
        .section("[app.hooks]\npost_worker_init = \"varied:told\"")
        .start();
    assert_eq!(server.get("/").text(), format!("{LENGTH} {LENGTH}"));
}

#[test]
fn the_log_says_whose_modules_are_missing() {
    let refusal = Builder::app("nobody_has_this").refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    let interpreter = format!("{} (configured)", python::interpreter().display());
    assert!(refusal.stderr.contains(&interpreter), "{}", refusal.stderr);
    let server = Builder::app("kitchen").start();
    let line = server.wait_for_line("application imported");
    assert!(line.contains(&python::interpreter().display().to_string()) && line.contains("(configured)"), "{line}");
}
