"""What a Django project does at its first request once for all, done before the fork: URLs with their views, template engines, translations.

Owns the list. Workers share that memory then, and none of them makes its first client wait for it. Asks no view and no database for anything. Called by
the zygote.
"""
import sys


def warm():
    """Never raises: what fails here fails again at the first request, where it is said."""
    conf = sys.modules.get("django.conf")
    if "django.core.wsgi" not in sys.modules or conf is None or not conf.settings.configured:
        return
    for step in (_urls, _templates, _translations):
        try:
            step(conf.settings)
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

    engines.all()


def _translations(settings):
    if settings.USE_I18N:
        from django.utils.translation import gettext

        gettext("")
