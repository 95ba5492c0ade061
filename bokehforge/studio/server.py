"""What the page is given: itself, its subjects, exact pictures, and files to keep.

Only pages of this server get an answer: the headers Host and Origin of a request must name this machine by a loopback
name. Otherwise any page in the user's browser could ask for pictures, by a name of its own that leads here (DNS
rebinding).
"""

import asyncio
import json
import re
import sys
import tempfile
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from socket import socket
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bokehdata.format import DatasetError
from bokehdata.preview import disparity_palette
from bokehforge.photograph import MOVING, Film, Photograph
from bokehforge.studio.latest import Latest, Superseded
from bokehforge.studio.layers import preview_layers
from bokehforge.studio.pictures import (
    Settings,
    aperture_for,
    exact,
    offered,
    opened,
    require_aperture,
)
from bokehforge.studio.subjects import Subject
from renderers.base import RendererError
from runtime.backend import BackendError
from runtime.command import OptionError, not_installed, require_within
from runtime.documents import shown
from runtime.workers import Worker, WorkerDied
from scenes.aperture import aperture_points, cat_eye_of
from scenes.arrays import Picture
from scenes.color import byte_levels
from scenes.layered import SceneError

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_PAGE_FILES = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "preview.js": "text/javascript",
}

# Longer sides of what the page is given: layers for the preview, and the map that a click looks up.
_PREVIEW_SIDE_PX, _MAP_SIDE_PX = 1280, 2048

_LENS_POINTS_MAX = 512
_REQUEST_BYTES_MAX = 2**16

# Exact pictures that are kept, so that what is seen is saved without being made again; most frames of a sweep.
_KEPT = 6
_SWEEP_MAX = 1000

_STILL = {"png": ".png", "exr": ".exr", "jpg": ".jpg"}

_REFUSALS = (OptionError, DatasetError, RendererError, BackendError, SceneError, WorkerDied)


class Studio:
    """What the requests share.

    worker     has begun with the subjects (`pictures.begin`)
    names      of the subjects
    weights    checkpoints of the user's own
    aperture   that the page begins with, in words
    told       further plain values for the page: title, method, commands
    """

    def __init__(
        self, worker: Worker, names: tuple[str, ...], weights: tuple[Path, ...], aperture: str, told: dict[str, Any]
    ):
        self.names, self.aperture, self.told = names, aperture, told
        self.offered = offered(weights)
        self.queue = Latest(worker)
        self.films: dict[str, Path] = {}
        self._worker = worker
        self._subjects: OrderedDict[str, Subject] = OrderedDict()
        self._pictures: OrderedDict[Settings, Picture] = OrderedDict()

    def app(self) -> Starlette:
        """The application; requests of other origins are refused."""
        get, post = ("GET",), ("POST",)
        routes = [
            Route("/", self.page, methods=get),
            Route("/studio.json", self.describe, methods=get),
            Route("/scene.json", self.describe_scene, methods=get),
            Route("/layers.bin", self.layers, methods=get),
            Route("/disparity.bin", self.disparity, methods=get),
            Route("/aperture.bin", self.lens_points, methods=get),
            Route("/truth.png", self.truth, methods=get),
            Route("/picture", self.picture, methods=post),
            Route("/save", self.save, methods=post),
            Route("/sweep", self.sweep, methods=post),
            Route("/film", self.film, methods=get),
            Route("/{name}", self.page, methods=get),
        ]
        handlers = {Superseded: _superseded, Exception: _fault} | dict.fromkeys(
            (*_REFUSALS, MemoryError, ModuleNotFoundError), _refused
        )
        return Starlette(
            routes=routes,
            middleware=[Middleware(LoopbackOnly)],
            exception_handlers=handlers,
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        queue = asyncio.create_task(self.queue.run())
        with tempfile.TemporaryDirectory(prefix="bokehforge-studio-") as folder:
            self.folder = Path(folder)
            yield
            queue.cancel()
            # Its thread waits for an answer of the process.
            self._worker.end()

    # ---------- the page and its subjects

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("name", "page.html")
        if name not in _PAGE_FILES:
            return JSONResponse({"error": f"there is no {name}"}, 404)
        content = resources.files("bokehforge.studio").joinpath(name).read_bytes()
        return Response(content, media_type=_PAGE_FILES[name])

    async def describe(self, request: Request) -> Response:
        methods = [{"name": name, "given": method.information} for name, method in self.offered.items()]
        palette = disparity_palette().tobytes().hex()
        return JSONResponse(
            {**self.told, "scenes": self.names, "renderers": methods, "aperture": self.aperture, "palette": palette}
        )

    async def describe_scene(self, request: Request) -> Response:
        subject = await self._subject(request)
        height, width = subject.given.disparity.shape
        low, high = subject.disparities
        middle = float(subject.given.disparity[height // 2, width // 2])
        document = {
            "name": subject.name,
            "width": width,
            "height": height,
            "is_metric": subject.given.is_metric,
            "disparities": [low, high],
            "shift": subject.given.shift,
            "blur_max": subject.blur_max,
            "focus": middle,
            "layers": len(subject.layers.layers),
            "is_true": subject.is_true,
            "truths": [
                {"blur": case.blur_parameter, "focus": case.focus_disparity, "gamma": case.gamma, "name": case.name}
                for case in subject.cases
            ],
        }
        return JSONResponse(document)

    async def layers(self, request: Request) -> Response:
        """The layers for the preview: a line of JSON, then colours and depths of all of them."""
        subject = await self._subject(request)
        found = await asyncio.to_thread(preview_layers, subject, _PREVIEW_SIDE_PX)
        count, height, width = found.rgba.shape[:3]
        kinds = zip(found.is_flat, found.repeats, strict=True)
        head = {
            "count": count,
            "size": [width, height],
            "extended": found.extended,
            "overscan": found.overscan,
            "layers": [{"is_flat": is_flat, "repeats": repeats} for is_flat, repeats in kinds],
        }
        return _binary(head, found.rgba, found.depth)

    async def disparity(self, request: Request) -> Response:
        subject = await self._subject(request)
        plane = subject.given.disparity
        scale = min(1.0, _MAP_SIDE_PX / max(plane.shape))
        size = tuple(max(1, round(side * scale)) for side in plane.shape[::-1])
        # Pixels as they are: a mean of two disparities would be a third one.
        reduced = await asyncio.to_thread(cv2.resize, plane, size, interpolation=cv2.INTER_NEAREST)
        return _binary({"size": size}, np.asarray(reduced, np.float32))

    async def lens_points(self, request: Request) -> Response:
        words = request.query_params.get("words", "")
        require_aperture(words, self.aperture)
        try:
            count = int(request.query_params.get("count", "64"))
        except ValueError as error:
            raise OptionError("count must be a whole number") from error
        require_within(("count", count, 1, _LENS_POINTS_MAX))
        aperture = aperture_for(await self._subject(request), words)
        points = aperture_points(aperture, count).astype(np.float32)
        return _binary({"count": count, "cat_eye": cat_eye_of(aperture)}, points)

    async def truth(self, request: Request) -> Response:
        subject = await self._subject(request)
        wanted = request.query_params.get("name")
        case = next((case for case in subject.cases if case.name == wanted), None)
        if case is None:
            raise OptionError(f"{subject.name} has no truth {shown(wanted)}")
        return await _shown(await asyncio.to_thread(case.truth))

    # ---------- pictures

    async def picture(self, request: Request) -> Response:
        """The exact picture as a PNG of 8 bits; `place` is where the page shows it, `tab` tells pages apart."""
        document = await _document(request)
        key = f"{document.get('tab')} {document.get('place')}"[:100]
        return await _shown(await self._exact(key, self._settings(document)))

    async def save(self, request: Request) -> Response:
        """The picture as a file, as `bokehforge render` writes it."""
        document = await _document(request)
        settings, ending = self._settings(document), _STILL.get(str(document.get("format")))
        if ending is None:
            raise OptionError(f"the format is {shown(document.get('format'))}; it must be one of {', '.join(_STILL)}")
        picture = await self._exact(f"{document.get('tab')} save"[:100], settings)
        photograph = (await self._open(settings.scene)).photograph
        return _keep(await asyncio.to_thread(self._written, photograph, picture, ending), settings, ending)

    def _written(self, photograph: Photograph, picture: Picture, ending: str) -> Path:
        path = self.folder / f"{uuid4().hex}{ending}"
        photograph.write(path, picture)
        return path

    async def sweep(self, request: Request) -> Response:
        """A film that focuses from the farthest to the nearest and back, as lines of JSON: how far it is, and its name.

        A page that stops reading stops the film.
        """
        document = await _document(request)
        settings, ending = self._settings(document), f".{document.get('format')}"
        pictures = document.get("pictures")
        if ending not in MOVING:
            raise OptionError(f"the format is {shown(document.get('format'))}; it must be gif or mp4")
        if type(pictures) is not int:
            raise OptionError(f"pictures is {shown(pictures)}; it must be a whole number")
        require_within(("pictures", pictures, 2, _SWEEP_MAX))
        subject = await self._open(settings.scene)
        path = self.folder / f"{uuid4().hex}{ending}"
        film = Film(path, subject.photograph, pictures, 15.0)
        key = f"{document.get('tab')} sweep"[:100]

        async def lines() -> AsyncIterator[str]:
            try:
                for i, focus in enumerate(np.linspace(*subject.disparities, pictures)):
                    frame = await self._exact(key, replace(settings, focus=float(focus)), is_patient=True)
                    film.add(frame)
                    yield json.dumps({"done": i + 1}) + "\n"
                await asyncio.to_thread(film.finish)
            except Superseded:
                return
            except Exception as error:
                yield json.dumps({"error": in_words(error)}) + "\n"
                return
            self.films[path.stem] = path
            name = _file_name(settings, ending)
            yield json.dumps({"film": path.stem, "name": name}) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def film(self, request: Request) -> Response:
        path = self.films.pop(request.query_params.get("film", ""), None)
        if path is None:
            raise OptionError("there is no such film")
        return FileResponse(path, background=BackgroundTask(path.unlink))

    # ---------- what they share

    def _settings(self, document: dict[str, Any]) -> Settings:
        settings = Settings.of(document, self.aperture)
        if settings.renderer not in self.offered:
            raise OptionError(f"there is no renderer {shown(settings.renderer)} here, or its weights are missing")
        return settings

    async def _subject(self, request: Request) -> Subject:
        return await self._open(request.query_params.get("scene", self.names[0]))

    async def _open(self, name: str) -> Subject:
        # Every request of its own: none takes the place of that of another page.
        return await _cached(self._subjects, name, 2, lambda: self.queue.ask(f"open {uuid4()}", opened, name))

    async def _exact(self, key: str, settings: Settings, *, is_patient: bool = False) -> Picture:
        if is_patient:  # frames would drive out what is seen
            return await self.queue.ask(key, exact, settings, is_patient=True)
        return await _cached(self._pictures, settings, _KEPT, lambda: self.queue.ask(key, exact, settings))


async def _cached(cache: OrderedDict, key: Any, size: int, make: Callable[[], Any]) -> Any:
    if key not in cache:
        made = await make()
        cache[key] = made
        while len(cache) > size:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]


class LoopbackOnly:
    """Refuses requests whose Host or Origin is not this machine; answers must not be used elsewhere."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_ours(scope["headers"]):
            message = "requests must come from a page of this server, at 127.0.0.1 or localhost"
            await JSONResponse({"error": message}, 403)(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_guarded)


def _is_ours(headers: list[tuple[bytes, bytes]]) -> bool:
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    origins = [value.decode("latin-1").lower() for name, value in headers if name == b"origin"]
    # Any port: a tunnel may have another one than this server.
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return False
    return all(origin == f"http://{hosts[0]}" for origin in origins)


def serve(app: Starlette, listening: socket) -> None:
    """Serve until Ctrl-C or SIGTERM, which then take their course."""
    config = uvicorn.Config(
        app, http="h11", ws="none", log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listening])


def in_words(error: Exception) -> str:
    """What a page is told of an error; the traceback of a fault of ours is printed."""
    if isinstance(error, _REFUSALS):
        return str(error)
    if isinstance(error, MemoryError):
        return f"memory ran out {error}".strip()
    if isinstance(error, ModuleNotFoundError) and (advice := not_installed(error)) is not None:
        return advice
    traceback.print_exception(error)
    print("bokehforge studio: a fault of this program, see above; the page goes on", file=sys.stderr)
    return f"a fault of this program, {type(error).__name__}: {error}; the terminal has its traceback"


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": in_words(error)}, 422)


async def _superseded(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "a newer request took the place of this one"}, 409)


async def _fault(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": in_words(error)}, 500)


async def _document(request: Request) -> dict[str, Any]:
    """The JSON object of a request; OptionError where there is none."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _REQUEST_BYTES_MAX:
            raise OptionError(f"the request is longer than {_REQUEST_BYTES_MAX} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"the request is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise OptionError(f"the request is {shown(document)}; it must be an object")
    return document


async def _shown(picture: Picture) -> Response:
    """Display values, clipped, in 8 bits."""

    def encoded() -> bytes:
        bgr = np.ascontiguousarray(byte_levels(picture)[..., ::-1])
        return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()

    return Response(await asyncio.to_thread(encoded), media_type="image/png")


def _binary(head: dict[str, Any], *arrays: np.ndarray) -> Response:
    """A line of JSON, padded so that the arrays after it are aligned."""
    line = json.dumps(head).encode()
    line += b" " * (-(len(line) + 1) % 8) + b"\n"
    content = b"".join([line, *(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays)])
    return Response(content, media_type="application/octet-stream")


def _keep(path: Path, settings: Settings, ending: str) -> Response:
    return FileResponse(
        path, filename=_file_name(settings, ending), background=BackgroundTask(path.unlink, missing_ok=True)
    )


def _file_name(settings: Settings, ending: str) -> str:
    return f"{Path(settings.scene).stem}-{settings.renderer}{ending}"
