"""A database backend of Django's that tells what happens on its connections: see base.py."""
