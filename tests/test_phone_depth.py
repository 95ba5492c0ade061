"""Depth maps of phones: each format is made here as its specification has it, and read."""

import base64
import io
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bokehdata import embedded
from bokehdata.embedded import embedded_depth
from bokehdata.format import DatasetError
from bokehforge.cli import main
from scenes.decode import EXIF_ORIENTATION, DecodeError, decode

WIDTH, HEIGHT = 64, 48

# Levels of a map that has half of the size of its photograph: far on the left, near on the right.
LEVELS = np.tile(np.linspace(0, 255, WIDTH // 2).round().astype(np.uint8), (HEIGHT // 2, 1))


def encoded(picture: np.ndarray, suffix: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, suffix, **options)
    return buffer.getvalue()


def photograph(**options) -> bytes:
    """A JPEG whose upper left part is bright."""
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2] = 200
    return encoded(picture, "JPEG", quality=95, **options)


# ---------- JPEG


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def xmp(attributes: str, inner: str = "") -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {attributes}>{inner}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )


def with_xmp(jpeg: bytes, packet: str) -> bytes:
    return jpeg[:2] + segment(0xE1, embedded._XMP + packet.encode()) + jpeg[2:]


GDEPTH = 'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"'


def gdepth(described: str, levels: np.ndarray = LEVELS, *, chunk: int = 60_000, **options) -> bytes:
    """GDepth: the map in the extended part of the XMP, in segments of so many bytes."""
    data = base64.b64encode(encoded(levels, "PNG")).decode()
    extended = xmp(f'{GDEPTH} GDepth:Data="{data}"').encode()
    digest = "0123456789ABCDEF" * 2
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{digest}"'
    jpeg = with_xmp(photograph(**options), xmp(f"{GDEPTH} {note} {described}"))
    parts = b""
    for at in range(0, len(extended), chunk):
        head = embedded._EXTENDED_XMP + digest.encode() + struct.pack(">II", len(extended), at)
        parts += segment(0xE1, head + extended[at : at + chunk])
    return jpeg[:2] + parts + jpeg[2:]


def dynamic_depth(units: str = "Meters", *, uri: str = "android/depthmap", shorter_by: int = 0) -> bytes:
    """The map after the photograph, before a video that the container has too."""
    levels, video = encoded(LEVELS, "PNG"), b"moving"
    spaces = {"Container": "container", "Item": "item", "Camera": "camera", "DepthMap": "depthmap", "Device": "device"}
    attributes = " ".join(f'xmlns:{n}="http://ns.google.com/photos/dd/1.0/{s}/"' for n, s in spaces.items())

    def item(uri: str, length: int, padding: int) -> str:
        described = f'Item:Mime="image/png" Item:Length="{length}" Item:Padding="{padding}" Item:DataURI="{uri}"'
        return f'<rdf:li rdf:parseType="Resource"><Container:Item {described}/></rdf:li>'

    items = item("primary_image", 0, 0) + item("android/depthmap", len(levels), 3) + item("video", len(video), 0)
    depth_map = (
        f'<Camera:DepthMap DepthMap:Format="RangeLinear" DepthMap:Near="0.5" DepthMap:Far="4.5" '
        f'DepthMap:Units="{units}" DepthMap:DepthURI="{uri}"/>'
    )
    packet = xmp(attributes, f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory>{depth_map}")
    whole = with_xmp(photograph(), packet) + levels + b"\0\0\0" + video
    return whole[: len(whole) - shorter_by]


def multi_picture(described: str, byte_order: str = "<", **options) -> bytes:
    """Apple's: a second picture, in grey, whose XMP says what it is."""
    second = with_xmp(
        encoded(LEVELS, "JPEG", quality=100),
        xmp('xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/"', described),
    )
    first, head = photograph(**options), {"<": b"II*\0", ">": b"MM\0*"}[byte_order]

    def index(first_size: int, second_offset: int) -> bytes:
        entries = struct.pack(byte_order + "IIIHH", 0x030000, first_size, 0, 0, 0)
        entries += struct.pack(byte_order + "IIIHH", 0, len(second), second_offset, 0, 0)
        tags = struct.pack(byte_order + "HHIHH", 0xB001, 4, 1, 2, 0) if byte_order == "<" else b""
        tags = tags or struct.pack(byte_order + "HHII", 0xB001, 4, 1, 2)
        tags += struct.pack(byte_order + "HHII", 0xB002, 7, len(entries), 8 + 2 + 24 + 4)
        return b"MPF\0" + head + struct.pack(byte_order + "IH", 8, 2) + tags + b"\0" * 4 + entries

    size = len(segment(0xE2, index(0, 0)))
    begin = 2 + 4 + 4  # SOI, the marker with its length, and "MPF\0": offsets count from here
    whole = len(first) + size
    return first[:2] + segment(0xE2, index(whole, whole - begin)) + first[2:] + second


APPLE = (
    "<apdi:AuxiliaryImageType>{kind}</apdi:AuxiliaryImageType>"
    "<apdi:FloatMinValue>{low}</apdi:FloatMinValue><apdi:FloatMaxValue>{high}</apdi:FloatMaxValue>"
)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("chunk", [60_000, 100])
def test_gdepth_of_even_steps_of_inverse_depth(tmp_path, chunk):
    """0 is near, 2 m, and 255 far, 10 m."""
    described = 'GDepth:Format="RangeInverse" GDepth:Near="2.0" GDepth:Far="10" GDepth:Mime="image/png"'
    found = embedded_depth(write(tmp_path / "a.jpg", gdepth(described, chunk=chunk)))
    assert found is not None and (found.kind, found.is_metric) == ("GDepth", True)
    np.testing.assert_allclose(found.disparity, 0.5 + (0.1 - 0.5) * LEVELS / 255.0, rtol=1e-5)


def test_gdepth_of_even_steps_of_depth_in_millimetres(tmp_path):
    described = 'GDepth:Format="RangeLinear" GDepth:Near="500" GDepth:Far="2500" GDepth:Units="mm"'
    found = embedded_depth(write(tmp_path / "a.jpg", gdepth(described)))
    assert found is not None and found.is_metric
    np.testing.assert_allclose(1.0 / found.disparity, 0.5 + 2.0 * LEVELS / 255.0, rtol=1e-5)


def test_gdepth_of_16_bits_keeps_them(tmp_path):
    levels = np.linspace(0, 65535, WIDTH // 2).round().astype(np.uint16)[None].repeat(HEIGHT // 2, 0)
    found = embedded_depth(write(tmp_path / "a.jpg", gdepth('GDepth:Near="1" GDepth:Far="2"', levels)))
    assert found is not None
    np.testing.assert_allclose(found.disparity, 1.0 - 0.5 * levels / 65535.0, rtol=1e-6)


def test_a_map_is_turned_as_its_photograph_is(tmp_path):
    """Orientation 6: the file's left is above."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    found = embedded_depth(write(tmp_path / "a.jpg", gdepth('GDepth:Near="1" GDepth:Far="2"', exif=exif)))
    assert found is not None and found.disparity.shape == (WIDTH // 2, HEIGHT // 2)
    assert decode(tmp_path / "a.jpg")[0].shape[:2] == (WIDTH, HEIGHT)
    np.testing.assert_allclose(found.disparity[:, 0], 1.0 - 0.5 * LEVELS[0] / 255.0, rtol=1e-5)


@pytest.mark.parametrize("units, is_metric", [("Meters", True), ("Diopters", False)])
def test_dynamic_depth_is_found_behind_the_photograph(tmp_path, units, is_metric):
    found = embedded_depth(write(tmp_path / "a.jpg", dynamic_depth(units)))
    assert found is not None and (found.kind, found.is_metric) == ("Dynamic Depth", is_metric)
    np.testing.assert_allclose(1.0 / found.disparity, 0.5 + 4.0 * LEVELS / 255.0, rtol=1e-5)


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_second_picture_is_apples_disparity(tmp_path, byte_order):
    data = multi_picture(APPLE.format(kind="disparity", low=0.5, high=3.0), byte_order)
    found = embedded_depth(write(tmp_path / "a.jpg", data))
    assert found is not None and (found.kind, found.is_metric) == ("Apple", False)
    # JPEG of quality 100: a level or two.
    np.testing.assert_allclose(found.disparity, 0.5 + 2.5 * LEVELS / 255.0, atol=2.5 * 3 / 255)


def test_a_second_picture_is_apples_depth(tmp_path):
    found = embedded_depth(write(tmp_path / "a.jpg", multi_picture(APPLE.format(kind="depth", low=1.0, high=5.0))))
    assert found is not None
    np.testing.assert_allclose(1.0 / found.disparity, 1.0 + 4.0 * LEVELS / 255.0, atol=4.0 * 3 / 255)


def test_a_second_picture_that_is_none_of_depth_is_left_alone(tmp_path):
    kind = "urn:com:apple:photo:2020:aux:hdrgainmap"
    assert embedded_depth(write(tmp_path / "a.jpg", multi_picture(APPLE.format(kind=kind, low=0, high=1)))) is None


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_photograph_without_a_map_has_none(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(path)
    assert embedded_depth(path) is None


BROKEN = {
    "no near": (lambda: gdepth('GDepth:Far="2"'), "it has no Near"),
    "behind the camera": (lambda: gdepth('GDepth:Near="-1" GDepth:Far="2"'), "its Near is -1; it must be above 0"),
    "not a number": (lambda: gdepth('GDepth:Near="nan" GDepth:Far="2"'), "its Near is nan"),
    "far beyond numbers": (lambda: gdepth('GDepth:Near="1e-300" GDepth:Far="2"'), "its values are not finite"),
    "unknown steps": (
        lambda: gdepth('GDepth:Near="1" GDepth:Far="2" GDepth:Format="Wavy"'),
        "its Format is 'Wavy'; RangeInverse and RangeLinear are read",
    ),
    "another name": (lambda: dynamic_depth(uri="android/other"), "its container has no 'android/other'"),
    "cut off": (lambda: dynamic_depth(shorter_by=40), "its depth map: "),
    "apple without a range": (
        lambda: multi_picture("<apdi:AuxiliaryImageType>disparity</apdi:AuxiliaryImageType>"),
        "it has no FloatMinValue",
    ),
    "depth of 0": (lambda: multi_picture(APPLE.format(kind="depth", low=0, high=1)), "must be above 0"),
    "entities": (
        lambda: with_xmp(photograph(), '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + xmp("")),
        "its XMP defines entities",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_map_is_named(tmp_path, name):
    make, message = BROKEN[name]
    with pytest.raises(DatasetError) as refused:
        embedded_depth(write(tmp_path / "portrait.jpg", make()))
    assert str(refused.value).startswith(str(tmp_path / "portrait.jpg")) and message in str(refused.value)


# ---------- HEIC


def box(kind: bytes, *content: bytes) -> bytes:
    content_ = b"".join(content)
    return struct.pack(">I", len(content_) + 8) + kind + content_


def full_box(kind: bytes, version: int, *content: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24), *content)


def hevc(picture: np.ndarray, pixels: str) -> tuple[bytes, bytes]:
    """(hvcC box, coded picture) of (H, W) or (H, W, 3) uint8, from a film of one frame."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    height, width = picture.shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "gray" if picture.ndim == 2 else "rgb24", "-s", f"{width}x{height}"]
    coding = ["-c:v", "libx265", "-x265-params", "lossless=1:log-level=none", "-pix_fmt", pixels, "-tag:v", "hvc1"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "one.mp4"
        words = [ffmpeg, "-v", "error", "-y", *source, "-i", "-", "-frames:v", "1", *coding, str(out)]
        done = subprocess.run(words, input=picture.tobytes(), capture_output=True)
        if done.returncode:
            pytest.skip(f"ffmpeg has no libx265: {done.stderr.decode()[-200:]}")
        film = out.read_bytes()
    at = film.index(b"hvcC") - 4
    configuration = film[at : at + int.from_bytes(film[at : at + 4], "big")]
    at = film.index(b"mdat")
    return configuration, film[at + 4 : at - 4 + int.from_bytes(film[at - 4 : at], "big")]


def bits(*fields: tuple[int, int]) -> str:
    return "".join(f"{value:0{size}b}" for value, size in fields)


def golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def depth_message(kind: int, *values: float | None) -> bytes:
    """The SEI message "depth representation information" (H.265, F.14.2.3), in the form that HEIF stores it.

    values   z_near, z_far, d_min, d_max
    """
    d_min, d_max = values[2:]
    text = bits(*((int(value is not None), 1) for value in values)) + golomb(kind)
    if d_min is not None or d_max is not None:
        text += golomb(0)
    for value in values:
        if value is not None:
            exponent = int(np.floor(np.log2(abs(value))))
            text += bits((int(value < 0), 1), (exponent + 31, 7), (23 - 1, 5))
            text += bits((round((abs(value) / 2.0**exponent - 1.0) * 2**23), 23))
    text += "1" + "0" * (-(len(text) + 1) % 8)
    payload = int(text, 2).to_bytes(len(text) // 8, "big")
    unit = struct.pack(">HBB", 39 << 9 | 1, 177, len(payload)) + payload + b"\x80"
    return struct.pack(">II", len(unit) + 4, len(unit)) + unit


def heic(message: bytes = b"", *, with_depth: bool = True, levels: np.ndarray = LEVELS) -> bytes:
    """A photograph, and its map as an auxiliary picture."""
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2] = 200
    items = [(picture, *hevc(picture, "yuv420p"))]
    if with_depth:
        items.append((levels, *hevc(levels, "gray")))
    properties, associations, entries = [], [], []
    for number, (pixels, configuration, _) in enumerate(items, 1):
        size = full_box(b"ispe", 0, struct.pack(">II", pixels.shape[1], pixels.shape[0]))
        own = [configuration, size]
        if number == 2:
            own.append(full_box(b"auxC", 0, b"urn:mpeg:hevc:2015:auxid:2\0", message))
        indices = range(len(properties) + 1, len(properties) + 1 + len(own))
        properties += own
        associations.append(struct.pack(">HB", number, len(own)) + bytes(0x80 | i for i in indices))
        entries.append(full_box(b"infe", 2, struct.pack(">HH4s", number, 0, b"hvc1"), b"\0"))
    associated = full_box(b"ipma", 0, struct.pack(">I", len(items)), *associations)
    references = [full_box(b"iref", 0, box(b"auxl", struct.pack(">HHH", 2, 1, 1)))] if with_depth else []
    head = box(b"ftyp", b"heic", b"\0\0\0\0", b"mif1", b"heic")

    def meta(begin: int) -> bytes:
        places, at = [], begin
        for number, (_, _, coded) in enumerate(items, 1):
            places.append(struct.pack(">HHHII", number, 0, 1, at, len(coded)))
            at += len(coded)
        return full_box(
            b"meta",
            0,
            full_box(b"hdlr", 0, b"\0\0\0\0pict" + b"\0" * 13),
            full_box(b"pitm", 0, struct.pack(">H", 1)),
            full_box(b"iloc", 0, b"\x44\0", struct.pack(">H", len(items)), *places),
            full_box(b"iinf", 0, struct.pack(">H", len(items)), *entries),
            *references,
            box(b"iprp", box(b"ipco", *properties), associated),
        )

    begin = len(head) + len(meta(0)) + 8
    return head + meta(begin) + box(b"mdat", *(coded for _, _, coded in items))


@pytest.fixture(scope="module")
def heics() -> dict[str, bytes]:
    pytest.importorskip("pi_heif")
    return {
        "disparity": heic(depth_message(1, None, None, 0.75, 3.5)),
        "inverse": heic(depth_message(0, 0.5, 8.0, None, None)),
        "linear": heic(depth_message(2, 0.5, 8.0, None, None)),
        "plain": heic(),
        "none": heic(with_depth=False),
    }


def test_a_heic_is_a_picture(heics, tmp_path):
    picture, _ = decode(write(tmp_path / "a.heic", heics["none"]))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    # Its chroma has half of the size, and 8 bits.
    assert abs(int(picture[4, 4, 1]) - 200) < 6 and abs(int(picture[-4, -4, 1]) - 60) < 6


@pytest.mark.parametrize(
    "name, at_0, at_255", [("disparity", 0.75, 3.5), ("inverse", 1 / 8.0, 1 / 0.5), ("plain", 0.0, 1.0)]
)
def test_the_depth_of_a_heic_is_read(heics, tmp_path, name, at_0, at_255):
    found = embedded_depth(write(tmp_path / "a.heic", heics[name]))
    assert found is not None and (found.kind, found.is_metric) == ("HEIC", False)
    # Levels of films are 16 to 235, and are stretched to 0 to 255.
    np.testing.assert_allclose(found.disparity, at_0 + (at_255 - at_0) * LEVELS / 255.0, atol=(at_255 - at_0) * 3 / 255)


def test_a_heic_without_depth_has_none(heics, tmp_path):
    assert embedded_depth(write(tmp_path / "a.heic", heics["none"])) is None


def test_depth_of_a_heic_in_unknown_steps_is_named(heics, tmp_path):
    with pytest.raises(DatasetError, match=r"a\.heic: .* of type 2, which is not known; give the map by --disparity"):
        embedded_depth(write(tmp_path / "a.heic", heics["linear"]))


def test_heic_needs_a_package(tmp_path, monkeypatch):
    path = write(tmp_path / "a.heic", box(b"ftyp", b"heic", b"\0\0\0\0", b"mif1", b"heic") + b"\0" * 64)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    for read in (decode, embedded_depth):
        with pytest.raises(
            (DecodeError, DatasetError), match=r"needs the package pi-heif: pip install 'bokehforge\[phone\]'"
        ):
            read(path)


# ---------- commands


def render(photo: Path, *options: str) -> int:
    out = str(photo.with_suffix(".png"))
    return main(["render", str(photo), "--renderer", "scatter", "--max-radius", "5", "--out", out, *options])


def test_a_portrait_needs_no_map(tmp_path, capsys):
    """Focused at 2 m, the distance of what is nearest, with the disparities of its own map."""
    path = write(tmp_path / "a.jpg", gdepth('GDepth:Near="2.0" GDepth:Far="10"'))
    assert render(path, "--focus", "2m") == 0
    assert "a.jpg: its own depth map is used (GDepth)" in capsys.readouterr().err
    with_own = path.with_suffix(".png").read_bytes()
    full = np.asarray(Image.fromarray(LEVELS.astype(np.float32)).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    np.save(tmp_path / "map.npy", (0.5 - 0.4 * full / 255.0).astype(np.float32))
    assert render(path, "--disparity", str(tmp_path / "map.npy"), "--focus", "0.5") == 0
    given_one = np.asarray(Image.open(path.with_suffix(".png"))).astype(int)
    difference = np.abs(given_one - np.asarray(Image.open(io.BytesIO(with_own))).astype(int))
    # Two ways to enlarge a map.
    assert np.median(difference) <= 2 and difference.max() < 20


def test_layers_of_a_portrait_tell_where_the_map_is_from(tmp_path):
    path = write(tmp_path / "a.jpg", gdepth('GDepth:Near="2.0" GDepth:Far="10"'))
    assert main(["layers", str(path), "--out", str(tmp_path / "a.layers")]) == 0
    document = (tmp_path / "a.layers/scene.yaml").read_text()
    assert "embedded: GDepth" in document and "disparity_unit: 1/m" in document


@pytest.mark.parametrize(
    "command", [["layers", "--out", "a.layers"], ["render", "--focus", "1", "--blur", "3", "--out", "a.png"]]
)
def test_a_photograph_without_a_map_is_named(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "plain.jpg", photograph())
    assert main([command[0], "plain.jpg", *command[1:]]) == 2
    message = capsys.readouterr().err
    assert "needs --disparity or --depth: plain.jpg has no depth map of its own" in message
    assert message.count("\n") == 1
