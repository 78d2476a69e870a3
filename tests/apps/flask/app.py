"""A small shop as Flask applications are written: the session is a signed cookie, and a
WebSocket echoes what it gets."""

import secrets
import sys

from flask import Flask, redirect, render_template_string, request, session
from flask_sock import Sock

app = Flask(__name__)
app.secret_key = "the same after a restart, so that users stay logged in"
sock = Sock(app)

PAGE = """<!doctype html>
<title>Shop</title>
<h1>Hello, <b id="user">{{ user }}</b></h1>
<p>Page <b id="page">{{ path }}</b>, rendering <b id="rendering">{{ rendering }}</b>.</p>
<ul>
{% for item in range(1, 41) %}<li>Article {{ item }} on {{ path }}, kept for {{ user }}</li>
{% endfor %}</ul>
"""


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    return redirect("/index", 303)


@app.get("/index")
@app.get("/profile")
@app.get("/list")
def page():
    return render_template_string(
        PAGE,
        path=request.path,
        rendering=secrets.token_hex(8),
        user=session.get("user", "guest"),
    )


@sock.route("/echo")
def echo(socket):
    # The server ends it: after a close by the client, this library's own reply races with what
    # Flask's development server writes behind it.
    while (message := socket.receive()) != "bye":
        socket.send(message)
    socket.close(1000, "bye")


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
