"""What the first pages of a Django project need besides what `warm` loads, made before the fork: compiled templates, and Django's own patterns, formats,
managers, names of static files, what it knows of fields and of the URLs that templates name.

Owns the list and its bounds. Runs no view and renders nothing, so that no database is asked and no connection opened. Called by `warm`.
"""
import os
import re
import sys
import time

# Templates that are compiled, and the bytes of their sources together: compiled they take some twenty times as much.
TEMPLATES_MAX = 128
TEMPLATE_BYTES_MAX = 256 * 1024
# Names that are looked at in search of them.
NAMES_MAX = 4096
# URLs' names that are looked up. The module `re` keeps 512 patterns.
REVERSALS_MAX = 128
_TEMPLATE_ENDS = (".html", ".txt", ".xml", ".svg", ".js", ".css", ".json")
# Whose patterns pages use. Those of validators, say, take longer than all of these.
_PATTERNS_OF = (
    "django.contrib.sessions.",
    "django.core.signing",
    "django.db.",
    "django.http.",
    "django.middleware.",
    "django.template.",
    "django.utils.cache",
    "django.utils.dateformat",
    "django.utils.formats",
)
# What models' options, their fields and those fields' columns in queries keep.
_OF_MODELS = ("fields", "pk_fields", "fields_map", "_forward_fields_map", "managers_map")
_OF_FIELDS = (
    "name",
    "unique",
    "cache_name",
    "path_infos",
    "reverse_path_infos",
    "related_fields",
    "local_related_fields",
    "foreign_related_fields",
    "reverse_related_fields",
)
_OF_COLUMNS = ("identity", "contains_aggregate", "contains_over_clause")


def templates(settings, until):
    """A project's own, and those that they extend and include, of installed packages too; as many as there is time for."""
    from django.template import engines

    room = TEMPLATE_BYTES_MAX
    for backend in engines.all():
        engine = getattr(backend, "engine", None)
        # Without a loader that keeps them there is no point in it.
        if engine is None or not _keeps(engine):
            continue
        seen, names, referred = set(), _names(engine), []
        while room > 0 and len(seen) < TEMPLATES_MAX and time.monotonic() < until:
            name = referred.pop() if referred else next(names, None)
            if name is None:
                break
            if name not in seen:
                seen.add(name)
                try:
                    template = backend.get_template(name).template
                    room -= len(template.source)
                    referred.extend(_referred(template))
                except Exception:
                    # It fails again when it is rendered, where it is said.
                    pass


def _keeps(engine):
    from django.template.loaders.cached import Loader

    return all(isinstance(loader, Loader) for loader in engine.template_loaders)


def _names(engine):
    """Names of templates in directories of the project's."""
    looked_at = 0
    for loader in engine.template_loaders:
        for top in loader.get_dirs():
            top = os.fspath(top)
            if "site-packages" in top or "dist-packages" in top:
                continue
            for folder, folders, files in os.walk(top):
                folders.sort()
                for file in sorted(files):
                    looked_at += 1
                    if looked_at > NAMES_MAX:
                        return
                    if file.endswith(_TEMPLATE_ENDS):
                        yield os.path.relpath(os.path.join(folder, file), top)


def _referred(template):
    """Names of the templates that it extends and includes, as far as it says them."""
    from django.template.loader_tags import ExtendsNode, IncludeNode

    for node in template.nodelist.get_nodes_by_type((ExtendsNode, IncludeNode)):
        name = (node.parent_name if isinstance(node, ExtendsNode) else node.template).var
        if isinstance(name, str) and not name.startswith("."):
            yield name


def patterns(settings):
    """Regular expressions that Django compiles when they are first used."""
    from django.utils.functional import SimpleLazyObject, empty

    def use(namespace):
        for value in list(namespace.values()):
            if type(value) is SimpleLazyObject and value._wrapped is empty:
                if getattr(value.__dict__["_setupfunc"], "__module__", None) == "django.utils.regex_helper":
                    value._setup()

    for name, module in list(sys.modules.items()):
        if name.startswith(_PATTERNS_OF):
            use(vars(module))
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    use(vars(value))


def url_patterns(settings):
    from django.urls import get_resolver

    def use(resolver):
        for pattern in resolver.url_patterns:
            pattern.pattern.regex
            if hasattr(pattern, "url_patterns"):
                use(pattern)

    resolver = get_resolver()
    resolver.pattern.regex
    use(resolver)


def formats(settings):
    from django.utils import formats, timezone

    timezone.get_default_timezone()
    for name in formats.FORMAT_SETTINGS:
        formats.get_format(name)


def managers(settings):
    """Classes of the managers by which models know each other."""
    from django.apps import apps

    for model in apps.get_models():
        for descriptor in list(vars(model).values()):
            if hasattr(type(descriptor), "related_manager_cls"):
                descriptor.related_manager_cls


def static_names(settings):
    """The names that `collectstatic` has given to static files, if they are in a file."""
    if "django.contrib.staticfiles" not in settings.INSTALLED_APPS:
        return
    from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
    from django.utils.functional import empty
    from django.utils.module_loading import import_string

    configured = getattr(settings, "STORAGES", {}).get("staticfiles")
    name = configured["BACKEND"] if configured else settings.STATICFILES_STORAGE
    # Others may ask a server for them.
    if issubclass(import_string(name), ManifestStaticFilesStorage) and staticfiles_storage._wrapped is empty:
        staticfiles_storage._setup()
        if not staticfiles_storage.hashed_files:
            # They were not collected yet: whoever needs them looks again.
            staticfiles_storage._wrapped = empty


def fields(settings, until):
    """What queries ask of models' fields; of as many models as there is time for."""
    from django.apps import apps

    for model in apps.get_models():
        if time.monotonic() > until:
            return
        _use(model._meta, _OF_MODELS)
        for field in model._meta.get_fields():
            _use(field, _OF_FIELDS)
            _use(getattr(field, "cached_col", None), _OF_COLUMNS)


def _use(holder, names):
    """Reads attributes that are found out when they are read first."""
    for name in names:
        try:
            getattr(holder, name)
        except Exception:
            # Some have no such thing.
            pass


def reversals(settings, until):
    """Of URLs that templates name, what is found out when they are made first; of as many as there is time for."""
    for name in sorted(_names_of_urls())[:REVERSALS_MAX]:
        if time.monotonic() > until:
            return
        try:
            _reverse(name)
        except Exception:
            # No such URL is an error of the page's.
            pass


def _names_of_urls():
    from django.template import engines
    from django.template.defaulttags import URLNode

    names = set()
    for backend in engines.all():
        engine = getattr(backend, "engine", None)
        if engine is None or not _keeps(engine):
            continue
        for loader in engine.template_loaders:
            # Among them are errors of those that were not found.
            kept = [template for template in loader.get_template_cache.values() if hasattr(template, "nodelist")]
            nodes = (node for template in kept for node in template.nodelist.get_nodes_by_type(URLNode))
            names.update(node.view_name.var for node in nodes if isinstance(node.view_name.var, str))
    return names


def _reverse(name):
    """As django.urls.reverse() begins, which has to have arguments for more."""
    from django.urls import get_resolver
    from django.urls.resolvers import get_ns_resolver

    resolver = get_resolver()
    *namespaces, view = name.split(":")
    before, converters = "", {}
    for namespace in namespaces:
        instances = resolver.app_dict.get(namespace, [namespace])
        instance = namespace if namespace in instances else instances[0]
        pattern, resolver = resolver.namespace_dict[instance]
        before += pattern
        converters.update(resolver.pattern.converters)
    if before:
        resolver = get_ns_resolver(before, resolver, tuple(converters.items()))
    for _, pattern, *_ in resolver.reverse_dict.getlist(view):
        # The text by which the module `re` knows it again.
        re.compile("^%s%s" % (re.escape("/"), pattern))
