"""Parts of self-contained HTML pages: pictures and data inside the page, which needs no server and no network."""

import base64
import html
import io
import json
from typing import Any

from PIL import Image

# Browsers hold a page in one string and slow down long before its limit of 512 MB.
PAGE_BYTES_MAX = 250_000_000

_WEBP_QUALITY = 80
# Encoding effort of 0 to 6: beyond 2 it takes twice the time for 4 % fewer bytes.
_WEBP_METHOD = 2


def filled(template: str, **values: str) -> str:
    """A template with every {{name}} replaced by its escaped value."""
    for name, value in values.items():
        template = template.replace("{{" + name + "}}", html.escape(value))
    return template


def json_for_script(value: Any) -> str:
    """JSON for a <script type="application/json">: no "</script>" in a name can end the block."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def webp_uri(picture: Image.Image) -> str:
    """A picture as the address of itself, lossy."""
    return _picture_uri(picture, "WEBP", quality=_WEBP_QUALITY, method=_WEBP_METHOD)


def png_uri(picture: Image.Image) -> str:
    """A picture as the address of itself, lossless."""
    return _picture_uri(picture, "PNG", optimize=True)


def data_uri(encoded: bytes, image_format: str) -> str:
    """An encoded picture, "webp" or "png", as the address of itself."""
    return f"data:image/{image_format};base64,{base64.b64encode(encoded).decode('ascii')}"


def _picture_uri(picture: Image.Image, image_format: str, **options: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return data_uri(buffer.getvalue(), image_format.lower())
