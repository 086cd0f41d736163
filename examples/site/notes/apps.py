"""The application's registration with Django."""

from django.apps import AppConfig


class NotesConfig(AppConfig):
    """Names the application in the admin."""

    name = "notes"
    verbose_name = "Notes board"

    def ready(self):
        from . import signals  # noqa: F401  (registers itself by being imported)
