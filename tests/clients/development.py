"""Has Chromium look at a site on which somebody works: its style, a mistake, and the site again. Fails, or prints "seen".

    development.py CHROMIUM URL FOLDER PROJECT
"""

import sys
from pathlib import Path

from browser import Browser

chromium, url, folder, project = sys.argv[1:5]
project = Path(project)
home, urls = project / "pages/home.html", project / "urls.py"
good = urls.read_text()

with Browser(chromium, folder) as page:
    home.write_text("<link rel=stylesheet href=/static/shop/a.css><a>styled</a>")
    page.go(url)
    for colour in ("rgb(255, 0, 0)", "rgb(0, 128, 0)"):
        while page.evaluate(f"document.querySelector('a') && getComputedStyle(document.querySelector('a')).color == '{colour}'") is not True:
            page.go(url)
            page.wait("the page", "document.body")
        # A change of a static file shows at once.
        (project / "shop/static/shop/a.css").write_text("a { color: green }")
    urls.write_text(good + "\nraise ValueError('<i>mistake</i>')\n")
    while "could not be imported" not in (page.evaluate("document.title") or ""):
        page.go(url)
        page.wait("the page", "document.body")
    text = page.evaluate("document.body.innerText")
    assert "ValueError: <i>mistake</i>" in text and "urls.py" in text, text
    assert page.evaluate("document.querySelector('i') === null"), "what the error says is text"
    # The page goes by itself.
    urls.write_text(good)
    page.wait("the site", "document.querySelector('a') && document.title == ''")
    print("seen")
