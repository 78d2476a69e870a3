"""Many pages of a Flask application whose sessions are permanent: the signed cookie, which holds them, is
set anew with each answer. Each page holds a secret of its session."""

import secrets
import sys

from flask import Flask, redirect, render_template_string, request, session

app = Flask(__name__)
app.secret_key = "known to every test"

PAGE = """<!doctype html>
<html>
<title>Shop</title>
<h1>Hello, <b id="user">{{ user }}</b></h1>
<p>This is <b id="page">{{ path }}</b>, and your secret is <b id="secret">{{ secret }}</b>.</p>
<form method="post" action="/enter"><input name="user"></form>
<ul>
{% for item in range(1, 41) %}<li>Article {{ item }} on {{ path }}</li>
{% endfor %}</ul>
</html>
"""


@app.before_request
def keep():
    session.permanent = True
    session.setdefault("secret", secrets.token_hex(16))


@app.get("/page/<int:number>")
@app.get("/enter")
def page(number=0):
    return render_template_string(
        PAGE,
        path=request.path,
        secret=session["secret"],
        user=session.get("user", "guest"),
    )


@app.post("/enter")
def enter():
    session.clear()
    keep()
    session["user"] = request.form["user"]
    return redirect("/page/0", 303)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
