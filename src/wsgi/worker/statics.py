"""Development: Django's static files straight from where its finders find them, without `collectstatic`.

Owns no file and no cache: each request asks the finders anew, so that a change shows at once. Wrapped around the application by the zygote, or by
a worker without preload, and only with `dev`.
"""
import mimetypes
import os
import stat
import sys
from time import gmtime, strftime

from .files import FileWrapper


def around(application):
    """`application` with the static files of its Django project before it; as it is without one."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return application
    settings = conf.settings
    prefix = _local_path(getattr(settings, "STATIC_URL", None))
    if prefix is None or "django.contrib.staticfiles" not in settings.INSTALLED_APPS:
        return application
    _name_as_found()

    def with_static_files(environ, start_response):
        # Its links begin with where it is mounted.
        path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
        if path.startswith(prefix) and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            name = path[len(prefix) :].encode("latin-1").decode("utf-8", "replace")
            found = _find(name) if name and not name.endswith("/") else None
            if found is not None:
                return _answer(found, environ, start_response)
        return application(environ, start_response)

    return with_static_files


def _name_as_found():
    """Has the project's pages name files as the finders know them, not by the hashes of files that were collected once, or are missing."""
    from django.contrib.staticfiles.storage import staticfiles_storage

    # ManifestStaticFilesStorage and what is made from it; Django does the same with DEBUG on.
    if hasattr(staticfiles_storage, "stored_name"):
        staticfiles_storage.stored_name = lambda name: name


def _local_path(url):
    """The path of a STATIC_URL on this server, with a slash at both ends; None for one with a host, and for the whole site."""
    if url is None or "://" in str(url) or str(url).startswith("//"):
        return None
    inner = str(url).strip("/")
    return "/%s/" % inner if inner else None


def _find(name):
    """The path of a regular file, or None."""
    from django.contrib.staticfiles import finders
    from django.core.exceptions import SuspiciousOperation

    try:
        found = finders.find(name)
        if not found:
            # The finders that are kept know the folders that were there when they were made.
            finders.get_finder.cache_clear()
            found = finders.find(name)
        if found and stat.S_ISREG(os.stat(found).st_mode):
            return found
    except (SuspiciousOperation, OSError, ValueError):
        # A name that leads out of the folders, or is none.
        pass
    return None


def _answer(path, environ, start_response):
    kind, coding = mimetypes.guess_type(path)
    try:
        file = open(path, "rb")
    except OSError:
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"The file is gone, or can't be read.\n"]
    status = os.fstat(file.fileno())
    tag = '"%x-%x"' % (status.st_mtime_ns, status.st_size)
    fields = [
        ("Content-Type", _with_charset(kind or "application/octet-stream")),
        # Kept, and asked for each time.
        ("Cache-Control", "no-cache"),
        ("ETag", tag),
        ("Last-Modified", strftime("%a, %d %b %Y %H:%M:%S GMT", gmtime(status.st_mtime))),
    ]
    if coding is not None:
        fields.append(("Content-Encoding", coding))
    if environ.get("HTTP_IF_NONE_MATCH") == tag:
        file.close()
        start_response("304 Not Modified", fields)
        return []
    fields.append(("Content-Length", str(status.st_size)))
    start_response("200 OK", fields)
    if environ["REQUEST_METHOD"] == "HEAD":
        file.close()
        return []
    return FileWrapper(file)


def _with_charset(kind):
    is_text = kind.startswith("text/") or kind in ("application/javascript", "application/json", "image/svg+xml")
    return kind + "; charset=utf-8" if is_text else kind
