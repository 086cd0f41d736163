"""A Flask application that uses what Flask applications use: sessions, forms, uploads, streams, files, errors, blueprints.

It knows nothing of the server: `flask run` serves it as well.
"""

import hashlib
import os

from flask import (
    Blueprint,
    Flask,
    abort,
    flash,
    get_flashed_messages,
    jsonify,
    make_response,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)

app = Flask(__name__)
app.secret_key = "only for tests"
app.config["MAX_CONTENT_LENGTH"] = 8 * 1024 * 1024
notes = Blueprint("notes", __name__, url_prefix="/notes")
PAGE = "<title>{{ title }}</title>{% for message in messages %}<p>{{ message }}</p>{% endfor %}{{ name }}"


@app.get("/")
def index():
    return render_template_string(PAGE, title="caf\xe9 & co", messages=get_flashed_messages(), name=session.get("name", ""))


@app.post("/login")
def login():
    if request.form.get("password") != "secret":
        abort(403)
    session["name"] = request.form["name"]
    flash("welcome")
    return redirect(url_for("index"))


@app.get("/logout")
def logout():
    session.clear()
    return redirect(url_for("index"))


@app.post("/upload")
def upload():
    """Digests of the files that came, with what else was in the form."""
    files = {
        name: [file.filename, hashlib.sha256(file.read()).hexdigest()] for name, file in request.files.items(multi=True)
    }
    return jsonify(files=files, form=request.form.to_dict())


@app.post("/raw")
def raw():
    """The body as a stream, also of a length that nobody knows."""
    sha, total = hashlib.sha256(), 0
    while piece := request.stream.read(10_000):
        sha.update(piece)
        total += len(piece)
    return jsonify(total=total, sha=sha.hexdigest(), length=request.content_length)


@app.post("/json")
def echo_json():
    return jsonify(request.get_json())


@app.get("/stream")
def stream():
    @stream_with_context
    def pieces():
        for number in range(int(request.args["n"])):
            yield f"{session.get('name', 'nobody')} {number}\n"

    return app.response_class(pieces(), mimetype="text/plain")


@app.get("/download")
def download():
    return send_file(os.environ["FLASKED_FILE"], as_attachment=True, download_name="f\xfcr.bin", conditional=True)


@app.get("/cookies")
def cookies():
    answer = make_response("", 204)
    answer.set_cookie("a", "1", httponly=True)
    answer.set_cookie("b", "2", samesite="Lax")
    answer.headers.add("Link", "</a>; rel=preload")
    answer.headers.add("Link", "</b>; rel=preload")
    return answer


@app.get("/fail")
def fail():
    raise RuntimeError("fails on purpose")


@app.errorhandler(404)
def not_found(error):
    return f"nothing at {request.path}", 404


@notes.get("/<int:number>")
def note(number):
    return jsonify(number=number, url=url_for("notes.note", number=number, q="a b", _external=True), root=request.script_root)


@app.get("/of/<path:rest>")
def rest_of(rest):
    return jsonify(rest=rest, args=request.args.to_dict(flat=False), full=request.full_path)


app.register_blueprint(notes)
