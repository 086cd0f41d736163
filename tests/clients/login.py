"""Logs into the example site as a browser would, over HTTPS: secure cookies, CSRF with its checks of Origin and Referer. Fails, or prints "in".

    login.py URL CA
"""

import http.cookiejar
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

url, ca = sys.argv[1:3]
jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
    urllib.request.HTTPCookieProcessor(jar),
)


def send(path, fields=None, **headers):
    """The status, the URL at the end of redirects, and the text."""
    data = urllib.parse.urlencode(fields).encode() if fields is not None else None
    request = urllib.request.Request(url + path, data, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.url, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.url, error.read().decode()


def form():
    """The fields of the form on the page for the login."""
    # What a client says of the scheme counts for nothing.
    status, _, page = send("/login/", X_Forwarded_Proto="http")
    assert status == 200, (status, page)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    return {"csrfmiddlewaretoken": token, "username": "demo", "password": "notes-on-the-board", "next": "/notes/new/"}


fields = form()
assert all(cookie.secure for cookie in jar) and [cookie.name for cookie in jar] == ["csrftoken"], list(jar)
# Over HTTPS Django wants to see where a form comes from.
for headers in ({}, {"Referer": "http://localhost/"}, {"Referer": "https://evil.test/"}, {"Origin": "https://evil.test"}):
    status, _, page = send("/login/", fields, **headers)
    assert status == 403, (headers, status)
status, _, page = send("/login/", {**fields, "csrfmiddlewaretoken": "x" * 64}, Referer=url + "/login/")
assert status == 403, status

status, end, page = send("/login/", fields, Referer=url + "/login/")
assert (status, end) == (200, url + "/notes/new/"), (status, end, page)
assert "Log out demo" in page
session = next(cookie for cookie in jar if cookie.name == "sessionid")
assert session.secure and session.has_nonstandard_attr("HttpOnly"), session

token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
status, end, page = send("/logout/", {"csrfmiddlewaretoken": token}, Origin=url, Referer=url + "/")
assert (status, end) == (200, url + "/") and "Log out demo" not in page, (status, end)
print("in")
