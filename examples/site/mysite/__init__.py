"""The project package of the notes board: settings, root URLs and the WSGI entry point."""
