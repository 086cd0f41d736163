"""A Django project in a file that asks its database during the import and in a hook of the zygote's, as no project should.

ENGINE and DATABASE say which. `/` asks again; `/inherited` tells which files of the database the worker had open when it began.
"""
import os

from django.conf import settings

settings.configure(
    SECRET_KEY="for tests alone",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": os.environ["ENGINE"], "NAME": os.environ["DATABASE"], "CONN_MAX_AGE": None}},
)

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path

inherited = None


def ask():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS asked (pid)")
        cursor.execute("INSERT INTO asked VALUES (%s)", [os.getpid()])
        cursor.execute("SELECT count(*) FROM asked")
        return cursor.fetchone()[0]


def pre_fork(server, worker):
    ask()


def post_fork(server, worker):
    global inherited
    inherited = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + descriptor)
        except FileNotFoundError:
            continue
        if target.startswith(os.environ["DATABASE"]):
            inherited.append(target)


urlpatterns = [
    path("", lambda request: HttpResponse("%d %d" % (os.getpid(), ask()))),
    path("inherited", lambda request: HttpResponse(repr(inherited))),
]
application = get_wsgi_application()
ask()
