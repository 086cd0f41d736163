"""Makes a Wagtail project, has maitred serve it, and does in its admin what an editor does: logs in, uploads an image, publishes a page with it.

    wagtail.py MAITRED

Run by `make frameworks` with an interpreter that has Wagtail. Nothing of the project is changed for maitred. Fails, or prints what was done.
"""

import http.cookiejar
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import uuid

from PIL import Image

MAITRED = os.path.abspath(sys.argv[1])
PATIENCE_S = 120


class Browser:
    """Cookies, redirects and forms of one user."""

    def __init__(self, url):
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar))

    def open(self, path, data=None, **headers):
        """(URL at the end of redirects, type, bytes)."""
        request = urllib.request.Request(urllib.parse.urljoin(self.url, path), data, headers)
        with self.opener.open(request, timeout=PATIENCE_S) as answer:
            return answer.url, answer.headers.get("Content-Type", ""), answer.read()

    def page(self, path):
        return self.open(path)[2].decode()

    def submit(self, path, page, fields, files=()):
        """A form as multipart/form-data, with the token that stands in `page`; files are (name, file name, type, bytes)."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        boundary = uuid.uuid4().hex
        body = io.BytesIO()
        for name, value in [("csrfmiddlewaretoken", token), *fields]:
            body.write(b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % (boundary.encode(), name.encode()))
            body.write(value.encode() + b"\r\n")
        for name, file, kind, content in files:
            head = '--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: %s\r\n\r\n'
            body.write((head % (boundary, name, file, kind)).encode() + content + b"\r\n")
        body.write(b"--%b--\r\n" % boundary.encode())
        return self.open(
            path,
            body.getvalue(),
            Referer=self.url + path,
            **{"Content-Type": "multipart/form-data; boundary=" + boundary},
        )


def fields_of(page, form):
    """What a browser would send of the form with this action or id, nothing being changed: hidden fields, inputs, texts and selections."""
    html = re.search(r"<form[^>]*%s.*?</form>" % form, page, re.S)[0]
    fields = []
    for tag in re.findall(r"<input[^>]*>", html):
        attribute = {name: value for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        kind = attribute.get("type", "text")
        if "name" not in attribute or attribute["name"] == "csrfmiddlewaretoken" or kind in ("file", "submit", "button"):
            continue
        if kind in ("checkbox", "radio") and not re.search(r"\schecked\b", tag):
            continue
        fields.append((attribute["name"], attribute.get("value", "")))
    for name, text in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', html, re.S):
        fields.append((name, text.strip()))
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', html, re.S):
        chosen = re.search(r'<option[^>]*value="([^"]*)"[^>]*\sselected', options) or re.search(r'value="([^"]*)"', options)
        fields.append((name, chosen[1] if chosen else ""))
    return dict(fields)


def edit(browser):
    """What an editor does. Returns words for it."""
    page = browser.page("/")
    assert "Welcome to your new Wagtail site" in page, page[:2000]
    for path in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
        browser.open(path)
    yield "the first page with its static files"

    page = browser.page("/admin/login/")
    end, _, page = browser.submit("/admin/login/", page, [("username", "editor"), ("password", "in-the-kitchen"), ("next", "/admin/")])
    assert end == browser.url + "/admin/" and "editor" in page.decode(), end
    yield "logged in"

    picture = io.BytesIO()
    Image.effect_noise((1200, 900), 80).convert("RGB").save(picture, "PNG")
    page = browser.page("/admin/images/add/")
    fields = [("title", "Dish of the day"), ("collection", "1"), ("description", ""), ("tags", "")]
    files = [("file", "dish.png", "image/png", picture.getvalue())]
    end, _, page = browser.submit("/admin/images/add/", page, fields, files)
    assert end.endswith("/admin/images/") and b"Dish of the day" in page, (end, page[:3000])
    small = re.search(r'src="(/media/images/dish[^"]*)"', page.decode())[1]
    _, kind, content = browser.open(small)
    with Image.open(io.BytesIO(content)) as rendition:
        assert rendition.width < 1200 and kind.startswith("image/"), (rendition, kind)
    yield "uploaded an image of %d bytes, and got a smaller one" % len(picture.getvalue())

    root = json.loads(browser.open("/admin/api/main/pages/?child_of=1")[2])["items"][0]["id"]
    add = "/admin/pages/add/%s/homepage/%d/" % ("home", root)
    page = browser.page(add)
    fields = fields_of(page, 'id="page-edit-form"')
    fields.update({"title": "Men\xfc", "slug": "menu", "action-publish": "action-publish"})
    end, _, page = browser.submit(add, page, fields.items())
    assert "menu" in browser.page("/admin/pages/%d/" % root).lower(), (end, page[:3000])
    page = browser.page("/menu/")
    assert "<title>" in page and "Men\xfc" in page, page[:2000]
    yield "published a page"

    found = browser.page("/admin/images/?q=dish")
    assert "Dish of the day" in found
    _, _, page = browser.open("/admin/logout/", urllib.parse.urlencode(
        {"csrfmiddlewaretoken": next(cookie.value for cookie in browser.jar if cookie.name == "csrftoken")}).encode(),
        Referer=browser.url + "/admin/")
    assert b'name="password"' in page
    yield "searched, and logged out"


def serve(folder, *arguments):
    """The server and the address at which it is ready."""
    # The interpreter that runs this is the project's.
    server = subprocess.Popen(
        [MAITRED, "serve", "--bind", "127.0.0.1:0", "--python", sys.executable, *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": folder},
    )
    told = []
    for line in server.stderr:
        told.append(line)
        ready = re.search(r"ready: listening on (http://\S+)", line)
        if ready:
            return server, ready[1]
    raise SystemExit("the server did not get ready:\n" + "".join(told))


def main():
    with tempfile.TemporaryDirectory() as folder:
        run = lambda *command, **more: subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **more)
        run(sys.executable, "-m", "wagtail.bin.wagtail", "start", "kitchen", ".")
        manage = (sys.executable, "manage.py")
        run(*manage, "migrate", "--verbosity", "0")
        run(*manage, "collectstatic", "--noinput", "--verbosity", "0")
        account = {"DJANGO_SUPERUSER_PASSWORD": "in-the-kitchen"}
        run(*manage, "createsuperuser", "--noinput", "--username", "editor", "--email", "e@example.com", env={**os.environ, **account})
        server, url = serve(folder, "kitchen.wsgi")
        try:
            for done in edit(Browser(url)):
                print("wagtail:", done, flush=True)
        finally:
            server.send_signal(signal.SIGTERM)
            rest = server.stderr.read()
            status = server.wait(timeout=PATIENCE_S)
        assert status == 0 and "Traceback" not in rest, (status, rest)
    print("wagtail: as it should be")


main()
