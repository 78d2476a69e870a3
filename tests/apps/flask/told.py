"""Says whom a Flask application believes to be asked by, and for what: as werkzeug's ProxyFix reads
it, and as Rack 3 does, which prefers `Forwarded` (RFC 7239) to the `X-Forwarded-*` fields and takes
scheme and host from the last element, the address from the last that is no proxy."""

import re
import sys

from flask import Flask, jsonify, request
from werkzeug.middleware.proxy_fix import ProxyFix

TRUSTED = {"127.0.0.1"}
PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))')

app = Flask(__name__)
# nginx and RETTER.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=2, x_proto=1, x_host=1)


def forwarded(name):
    """All values of one parameter, as `Rack::Utils.forwarded_values` gives them."""
    pairs = PAIR.findall(request.headers.get("Forwarded", ""))
    return [quoted or plain for key, quoted, plain in pairs if key.lower() == name]


def as_rack():
    nodes = [node for node in forwarded("for") if node not in TRUSTED]
    return {
        "scheme": forwarded("proto")[-1],
        "host": forwarded("host")[-1],
        "address": nodes[-1] if nodes else forwarded("for")[0],
    }


def as_werkzeug():
    return {
        "scheme": request.scheme,
        "host": request.host,
        "address": request.remote_addr,
    }


@app.get("/told")
def told():
    return jsonify(
        rack=as_rack(),
        werkzeug=as_werkzeug(),
        fields=sorted(f"{name}: {value}" for name, value in request.headers),
    )


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
