"""Many pages as Django applications have them: `startproject`'s middleware, sessions in SQLite, a form
with its token on each page, logins by `django.contrib.auth`. Each page holds a secret of its visitor."""

import hashlib
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings

STATE = tempfile.TemporaryDirectory(prefix="retter-django-")

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(STATE.name) / "db.sqlite3",
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="known to every test",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()

from django.contrib.auth import get_user_model, login  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.shortcuts import redirect  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402

PAGE = engines["django"].from_string(
    """<!doctype html>
<html>
<title>Shop</title>
<h1>Hello, <b id="user">{{ user_name }}</b></h1>
<p>This is <b id="page">{{ path }}</b>, and your secret is <b id="secret">{{ secret }}</b>.</p>
<form method="post" action="/enter">{% csrf_token %}<input name="user"></form>
<ul>{% for item in items %}<li>Article {{ item }} on {{ path }}</li>
{% endfor %}</ul>
</html>
"""
)


def page(request, number=0):
    """What tells one visitor from another here is the cookie of the form's token, until the login."""
    cookies = request.COOKIES
    own = cookies.get("sessionid") or cookies.get("csrftoken")
    secret = hashlib.sha256(own.encode()).hexdigest()[:32] if own else "none"
    user = request.user.username if request.user.is_authenticated else "guest"
    context = {"user_name": user, "path": request.path, "secret": secret, "items": range(1, 41)}
    return HttpResponse(PAGE.render(context, request))


def enter(request):
    if request.method != "POST":
        return page(request)
    user, _ = get_user_model().objects.get_or_create(username=request.POST["user"])
    login(request, user)
    return redirect("/page/0")


urlpatterns = [path("page/<int:number>", page), path("enter", enter)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    server = ThreadedWSGIServer(("127.0.0.1", int(sys.argv[1])), Quiet)
    server.set_app(get_wsgi_application())
    print(f"listening on http://127.0.0.1:{sys.argv[1]}", flush=True)
    server.serve_forever()
