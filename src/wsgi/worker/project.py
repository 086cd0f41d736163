"""What a Django project says of itself: the settings that have to agree with the server's configuration.

Owns which settings are told, and in which form. Tells no secret: of databases the names and engines, and what has to be known of how
they are used. Never imports Django for an application that does not. Called by the zygote, by workers that import for themselves, and
by `maitred check`.
"""
import json
import os
import sys

# Longest text that is told, characters.
TEXT_CHARACTERS_MAX = 4096
# Characters of all texts of a list together; of a longer list nothing is told.
LIST_CHARACTERS_MAX = 4096
# Bytes of all that is told: it has to fit a control message beside the rest. What is beyond it is not told but for version and static files.
FACTS_BYTES_MAX = 48 * 1024


def facts():
    """The settings of the Django project that has been imported, as JSON takes them, or None. Never raises."""
    try:
        django, conf = sys.modules.get("django"), sys.modules.get("django.conf")
        if django is None or conf is None or not conf.settings.configured:
            return None
        settings = _Settings(conf.settings)
        told = {
            "version": django.get_version(),
            "static_url": settings.text("STATIC_URL"),
            "static_root": settings.path("STATIC_ROOT"),
        }
        if _bytes(told) > FACTS_BYTES_MAX:
            return None
        all_told = {**told, **_contradictable(settings)}
        return all_told if _bytes(all_told) <= FACTS_BYTES_MAX else told
    except Exception:
        # Settings may be anything. What can't be told is not checked.
        return None


def _bytes(value):
    return len(json.dumps(value))


def _contradictable(settings):
    """What the server's configuration can contradict."""
    middleware = [str(name) for name in settings.get("MIDDLEWARE") or ()]

    def has(*ends):
        return any(name.endswith(ends) for name in middleware)

    root = settings.path("STATIC_ROOT")
    return {
        "complete": True,
        "static_root_state": _state(root) if root else None,
        "staticfiles": "django.contrib.staticfiles" in (settings.get("INSTALLED_APPS") or ()),
        "whitenoise": any(name.startswith("whitenoise.") for name in middleware),
        "media_url": settings.text("MEDIA_URL"),
        "media_root": settings.path("MEDIA_ROOT"),
        "debug": bool(settings.get("DEBUG")),
        "allowed_hosts": settings.texts("ALLOWED_HOSTS"),
        "csrf_trusted_origins": settings.texts("CSRF_TRUSTED_ORIGINS"),
        # SECURE_SSL_REDIRECT and SECURE_HSTS_SECONDS are settings of this middleware.
        "ssl_redirect": has(".SecurityMiddleware") and bool(settings.get("SECURE_SSL_REDIRECT")),
        "ssl_host": settings.text("SECURE_SSL_HOST"),
        "hsts_seconds": settings.count("SECURE_HSTS_SECONDS") if has(".SecurityMiddleware") else None,
        "proxy_ssl_header": settings.texts("SECURE_PROXY_SSL_HEADER"),
        "use_x_forwarded_host": bool(settings.get("USE_X_FORWARDED_HOST")),
        "session_cookie_secure": bool(settings.get("SESSION_COOKIE_SECURE")) if has(".SessionMiddleware") else None,
        "csrf_cookie_secure": bool(settings.get("CSRF_COOKIE_SECURE"))
        if has(".CsrfViewMiddleware") and not settings.get("CSRF_USE_SESSIONS")
        else None,
        "databases": _databases(settings.get("DATABASES")),
        "data_upload_bytes_max": settings.count("DATA_UPLOAD_MAX_MEMORY_SIZE")
        if settings.is_set("DATA_UPLOAD_MAX_MEMORY_SIZE")
        else None,
        # django-sendfile2.
        "sendfile_backend": settings.text("SENDFILE_BACKEND"),
        "sendfile_url": settings.text("SENDFILE_URL"),
        "sendfile_root": settings.path("SENDFILE_ROOT"),
        "silenced": [name for name in settings.texts("SILENCED_SYSTEM_CHECKS") or () if name.startswith("maitred.")],
    }


def _databases(databases):
    """For each alias what it is, never where, and nobody's password."""
    told = []
    for alias, database in list(databases.items() if isinstance(databases, dict) else ())[:32]:
        engine = str(database.get("ENGINE") or "")
        if not engine or engine.endswith(".dummy"):
            continue
        options = database.get("OPTIONS") or {}
        name = str(database.get("NAME") or "")
        is_sqlite = "sqlite" in engine or "spatialite" in engine
        told.append(
            {
                "alias": str(alias)[:64],
                "engine": engine[:128],
                "is_sqlite": is_sqlite,
                "in_memory": is_sqlite and (name == ":memory:" or "mode=memory" in name),
                # Readers do not wait for writers.
                "wal": is_sqlite and "wal" in str(options.get("init_command") or "").lower(),
                # Connections outlive their request.
                "persists": database.get("CONN_MAX_AGE", 0) != 0,
            }
        )
    return told


def _state(directory):
    """Whether a directory is there, and anything in it."""
    try:
        with os.scandir(directory) as entries:
            return "filled" if any(entries) else "empty"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        # There, and not for this user to see.
        return "filled"


class _Settings:
    """Settings as what can be told of them; None for what is not set, is something else, or is too long."""

    def __init__(self, settings):
        self._settings = settings

    def get(self, name):
        try:
            return getattr(self._settings, name)
        except Exception:
            return None

    def is_set(self, name):
        """Whether the project says it itself."""
        try:
            return bool(self._settings.is_overridden(name))
        except Exception:
            return False

    def text(self, name):
        value = self.get(name)
        return _text(value) if value is not None else None

    def path(self, name):
        value = self.get(name)
        try:
            return _text(os.path.abspath(os.fsdecode(value))) if value else None
        except (TypeError, ValueError):
            return None

    def texts(self, name):
        value = self.get(name)
        if not isinstance(value, (list, tuple, set, frozenset)):
            return None
        found = [_text(entry) for entry in value]
        if None in found or sum(len(entry) + 4 for entry in found) > LIST_CHARACTERS_MAX:
            return None
        return found

    def count(self, name):
        value = self.get(name)
        return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**63 else None


def _text(value):
    text = str(value)
    # JSON has no lone surrogates, which stand for bytes of a file's name that are no text.
    if len(text) > TEXT_CHARACTERS_MAX or any("\ud800" <= character <= "\udfff" for character in text):
        return None
    return text
