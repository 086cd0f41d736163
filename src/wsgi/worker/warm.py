"""What a Django project does at its first request once for all, done before the fork: URLs with their views, templates, translations, what models know of
each other.

Owns the list. Workers share that memory then, and none of them makes its first client wait for it. Asks no view and no database for anything. Called by
the zygote.
"""
import importlib
import sys
import time
from functools import partial

from . import pages


def warm(seconds):
    """Does so long what takes longer the larger the project is, for 0 nothing of that. Never raises: what fails here fails again at the first request,
    where it is said."""
    conf = sys.modules.get("django.conf")
    if "django.core.wsgi" not in sys.modules or conf is None or not conf.settings.configured:
        return
    # Who develops changes these, and waits for each start.
    ahead = (pages.url_patterns, pages.patterns, pages.formats, pages.managers, pages.static_names) if seconds else ()
    _take((_urls, _templates, _translations, _models, _sessions, *ahead), conf.settings)
    if seconds:
        until = time.monotonic() + seconds
        _take((partial(step, until=until) for step in (pages.templates, pages.fields, pages.reversals)), conf.settings)


def _take(steps, settings):
    for step in steps:
        try:
            step(settings)
        except Exception:
            pass


def _urls(settings):
    from django.urls import get_resolver

    # Both are made at their first use: the patterns import the views, the names are for `reverse()`.
    resolver = get_resolver()
    resolver.url_patterns
    resolver.reverse_dict


def _templates(settings):
    from django.template import engines

    for backend in engines.all():
        # Django's own; others have no such thing.
        engine = getattr(backend, "engine", None)
        if engine is not None:
            engine.template_loaders
            engine.template_context_processors


def _translations(settings):
    from django.utils.formats import get_format
    from django.utils.translation import gettext

    if settings.USE_I18N:
        gettext("")
    get_format("DATE_FORMAT")


def _models(settings):
    """Each model's fields, found at their first use and kept."""
    from django.apps import apps

    models = apps.get_models()
    if models:
        importlib.import_module("django.db.models.sql.compiler")
    for model in models:
        options = model._meta
        options.get_fields()
        options.concrete_fields
        options.related_objects
        options.get_field(options.pk.name)
        options.default_manager


def _sessions(settings):
    from django.utils.module_loading import import_string

    if "django.contrib.sessions" in settings.INSTALLED_APPS:
        importlib.import_module(settings.SESSION_ENGINE)
        import_string(settings.SESSION_SERIALIZER)
    if "django.contrib.messages" in settings.INSTALLED_APPS:
        import_string(settings.MESSAGE_STORAGE)
