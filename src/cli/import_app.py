"""Import a WSGI application as a worker would: arguments are module, attribute and directories for sys.path.

An empty attribute means that the module is Django's settings. Ends with an exception if anything is wrong.
"""
import importlib
import os
import sys

module, attribute, *directories = sys.argv[1:]
sys.argv[1:] = []
sys.path[:] = [os.getcwd(), *directories, *(entry for entry in sys.path if entry)]

if attribute:
    target = importlib.import_module(module)
    application = getattr(target, attribute)
else:
    os.environ["DJANGO_SETTINGS_MODULE"] = module
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.utils.module_loading import import_string

    name = settings.WSGI_APPLICATION
    application = import_string(name) if name else get_wsgi_application()

if not callable(application):
    raise TypeError(f"{attribute or name!r} is not callable")
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
