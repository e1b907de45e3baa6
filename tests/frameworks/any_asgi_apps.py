"""The same small application in frameworks that asynccache has no integration for.

They are imported when they are asked for, by name: two of the three come without types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["FRAMEWORKS", "Site"]

EVENTS = (b"data: 1\n\n", b"data: 2\n\n")


@dataclass
class Site:
    """What the application does, whatever it is written in."""

    runs: Counter[str] = field(default_factory=Counter[str])
    log: list[str] = field(default_factory=list[str])

    def answer(self, name: str, what: str | None = "") -> str:
        """Count a run of an endpoint, and return what it answers."""
        self.runs[name] += 1
        return f"{name} {what} run {self.runs[name]}"

    async def events(self) -> AsyncGenerator[bytes]:
        """Give the parts of a stream."""
        self.runs["live"] += 1
        for event in EVENTS:
            yield event


def quart(site: Site) -> Any:
    """Its ASGI application is an attribute of its own, made to be wrapped."""
    framework = import_module("quart")
    app = framework.Quart("any_asgi")

    async def start() -> None:
        site.log.append("start")

    async def stop() -> None:
        site.log.append("stop")

    async def item(id: str) -> str:
        return site.answer("item", id)

    async def write(id: str) -> str:
        return f"written {id}"

    async def me() -> str:
        return site.answer("me", framework.request.headers.get("authorization"))

    async def login() -> Any:
        response = await framework.make_response(site.answer("login"))
        response.set_cookie("session", "1")
        return response

    async def live() -> Any:
        return site.events(), {"Content-Type": "text/event-stream"}

    async def plain() -> str:
        return site.answer("plain")

    app.before_serving(start)
    app.after_serving(stop)
    app.put("/items/<id>")(write)
    for path, view in {
        "/items/<id>": item,
        "/me": me,
        "/login": login,
        "/live": live,
        "/plain": plain,
    }.items():
        app.get(path)(view)
    return app


def falcon(site: Site) -> Any:
    """Resources with a method for each method."""
    framework = import_module("falcon")

    class Middleware:
        async def process_startup(self, scope: Any, event: Any) -> None:
            site.log.append("start")

        async def process_shutdown(self, scope: Any, event: Any) -> None:
            site.log.append("stop")

    class Item:
        async def on_get(self, request: Any, response: Any, id: str) -> None:
            response.text = site.answer("item", id)

        async def on_put(self, request: Any, response: Any, id: str) -> None:
            response.text = f"written {id}"

    class Me:
        async def on_get(self, request: Any, response: Any) -> None:
            response.text = site.answer("me", request.get_header("authorization"))

    class Login:
        async def on_get(self, request: Any, response: Any) -> None:
            response.text = site.answer("login")
            response.set_cookie("session", "1")

    class Live:
        async def on_get(self, request: Any, response: Any) -> None:
            response.content_type = "text/event-stream"
            response.stream = site.events()

    class Plain:
        async def on_get(self, request: Any, response: Any) -> None:
            response.text = site.answer("plain")

    app = import_module("falcon.asgi").App(middleware=[Middleware()])
    routes = {"/items/{id}": Item(), "/me": Me(), "/login": Login(), "/live": Live(), "/plain": Plain()}
    for path, resource in routes.items():
        app.add_route(path, resource)
    assert framework.ASGI_SUPPORTED
    return app


def django(site: Site) -> Any:
    """It has no lifespan, and refuses to be asked for one."""
    settings = import_module("django.conf").settings
    http = import_module("django.http")
    path = import_module("django.urls").path
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="of no use", LOGGING_CONFIG=None, USE_I18N=False)
        import_module("django").setup(set_prefix=False)

    async def item(request: Any, id: str) -> Any:
        written = request.method == "PUT"
        return http.HttpResponse(f"written {id}" if written else site.answer("item", id))

    async def me(request: Any) -> Any:
        return http.HttpResponse(site.answer("me", request.headers.get("authorization")))

    async def login(_: Any) -> Any:
        response = http.HttpResponse(site.answer("login"))
        response.set_cookie("session", "1")
        return response

    async def live(_: Any) -> Any:
        return http.StreamingHttpResponse(site.events(), content_type="text/event-stream")

    async def plain(_: Any) -> Any:
        return http.HttpResponse(site.answer("plain"))

    urls: Any = ModuleType("urls_of_this_site")
    views = {"items/<id>": item, "me": me, "login": login, "live": live, "plain": plain}
    urls.urlpatterns = [path(route, view) for route, view in views.items()]
    settings.ROOT_URLCONF = urls
    return import_module("django.core.asgi").get_asgi_application()


FRAMEWORKS: dict[str, Callable[[Site], Any]] = {"quart": quart, "falcon": falcon, "django": django}
