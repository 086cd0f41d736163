"""Has Chromium log into the example site over HTTPS. Fails, or prints "in".

    chromium.py CHROMIUM URL FOLDER
"""

import sys

from browser import Browser

chromium, url, folder = sys.argv[1:4]

with Browser(chromium, folder) as page:
    page.go(url + "/login/?next=/notes/new/")
    page.wait("the form", "document.querySelector('input[name=password]')")
    page.evaluate("document.querySelector('input[name=username]').value = 'demo'")
    page.evaluate("document.querySelector('input[name=password]').value = 'notes-on-the-board'")
    page.evaluate("document.querySelector('form.sheet button').click()")
    page.wait("the page behind the login", "location.pathname == '/notes/new/'")
    assert "Log out demo" in page.evaluate("document.body.innerText"), page.evaluate("document.body.innerText")
    assert page.evaluate("location.protocol + isSecureContext") == "https:true"
    cookies = {cookie["name"]: cookie for cookie in page.call("Network.getCookies", urls=[url])["cookies"]}
    assert cookies["sessionid"]["secure"] and cookies["sessionid"]["httpOnly"] and cookies["csrftoken"]["secure"], cookies
    page.evaluate("[...document.forms].find(form => form.action.endsWith('/logout/')).submit()")
    page.wait("the page behind the logout", "location.pathname == '/' && document.body.innerText.includes('Log in')")
    print("in")
