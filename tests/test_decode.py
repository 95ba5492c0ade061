"""Picture files of every mode, compared with the same picture in plain RGB."""

import hashlib
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from scenes.decode import DecodeError, decode, header_of, linear_light, quiet_decoders, upright_size


def photograph(height: int = 40, width: int = 30) -> np.ndarray:
    """Smooth 8-bit RGB that differs at every corner."""
    y, x = np.indices((height, width)) / [[[height]], [[width]]]
    return np.stack([255 * x, 255 * y, 128 + 100 * np.sin(6 * x * y)], axis=-1).astype(np.uint8)


def photograph_16() -> np.ndarray:
    return (photograph().astype(np.uint16) << 8) + np.arange(1200, dtype=np.uint16).reshape(40, 30, 1) % 256


def matte() -> np.ndarray:
    return np.linspace(0, 255, 40 * 30).astype(np.uint8).reshape(40, 30, 1)


def as_bgra(picture: np.ndarray) -> np.ndarray:
    return picture[..., [2, 1, 0, 3][: picture.shape[2]]]


def png(width: int, height: int, bit_depth: int, colour_type: int, samples: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*c) for c in [(b"IHDR", header), (b"IDAT", zlib.compress(samples)), (b"IEND", b"")]
    )


PHOTOMETRIC, ORIENTATION, EXTRA_SAMPLES = 262, 274, 338


def tiff(picture: np.ndarray, tags: dict[int, int]) -> bytes:
    """Uncompressed TIFF with one strip, and further tags with one short value each (TIFF 6.0)."""
    height, width, channels = picture.shape
    pixels = picture.astype(picture.dtype.newbyteorder("<")).tobytes()
    bits, sample_format = 8 * picture.itemsize, {"u": 1, "i": 2, "f": 3}[picture.dtype.kind]
    per_channel = struct.pack(f"<{2 * channels}H", *[bits] * channels, *[sample_format] * channels)
    bits_at, format_at = 8 + len(pixels), 8 + len(pixels) + 2 * channels
    shorts = {256: width, 257: height, 259: 1, 262: 2 if channels > 1 else 1, 277: channels, 278: height, **tags}
    entries = {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()}
    entries[273] = struct.pack("<HHII", 273, 4, 1, 8)
    entries[279] = struct.pack("<HHII", 279, 4, 1, len(pixels))
    for tag, value, at in [(258, bits, bits_at), (339, sample_format, format_at)]:
        # One or two shorts are stored in the entry itself, more of them at its offset.
        entries[tag] = (
            struct.pack("<HHII", tag, 3, channels, at)
            if channels > 2
            else struct.pack("<HHIHH", tag, 3, channels, value, value)
        )
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels) + len(per_channel)) + pixels + per_channel + directory


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tga", ".ppm"])
def test_lossless_files_decode_to_their_bytes_and_checksum(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(photograph()).save(path)
    picture, sha256 = decode(path)
    np.testing.assert_array_equal(picture, photograph())
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["photo.jpg", "photo.webp"])
def test_lossy_files_are_near(tmp_path, name):
    Image.fromarray(photograph()).save(tmp_path / name, quality=95)
    # At quality 95 a smooth picture changes by a few levels.
    assert np.abs(decode(tmp_path / name)[0].astype(int) - photograph()).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bit_colour_keeps_its_bits(tmp_path, suffix, alpha):
    picture = photograph_16()
    if alpha:
        picture = np.concatenate([picture, matte().astype(np.uint16) * 257], axis=-1)
    cv2.imwrite(str(tmp_path / f"deep{suffix}"), as_bgra(picture))
    decoded = decode(tmp_path / f"deep{suffix}")[0]
    np.testing.assert_array_equal(decoded, picture)
    assert len(np.unique(linear_light(decoded)[..., 0])) > 256


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bit_grey_keeps_its_bits(tmp_path, suffix):
    grey = photograph_16()[..., 0]
    cv2.imwrite(str(tmp_path / f"grey{suffix}"), grey)
    np.testing.assert_array_equal(decode(tmp_path / f"grey{suffix}")[0], grey[..., None].repeat(3, -1))


def test_16_bit_grey_with_alpha(tmp_path):
    samples = np.stack([photograph_16()[..., 0], matte()[..., 0].astype(np.uint16) * 257], axis=-1)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples)
    (tmp_path / "grey.png").write_bytes(png(30, 40, 16, 4, lines))
    np.testing.assert_array_equal(decode(tmp_path / "grey.png")[0], samples[..., [0, 0, 0, 1]])


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_modes_equal_their_rgb_twin(tmp_path, mode):
    converted = Image.fromarray(photograph()).convert(mode)
    converted.save(tmp_path / "other.tif")
    np.testing.assert_array_equal(decode(tmp_path / "other.tif")[0], np.asarray(converted.convert("RGB")))


def test_16_bit_cmyk_is_read_as_8_bits(tmp_path):
    cmyk = np.asarray(Image.fromarray(photograph()).convert("CMYK"))
    (tmp_path / "cmyk.tif").write_bytes(tiff(cmyk.astype(np.uint16) * 257, {PHOTOMETRIC: 5}))
    twin = Image.frombytes("CMYK", (30, 40), cmyk.tobytes()).convert("RGB")
    np.testing.assert_array_equal(decode(tmp_path / "cmyk.tif")[0], np.asarray(twin))


def test_a_cmyk_jpeg_looks_like_its_rgb_twin(tmp_path):
    Image.fromarray(photograph()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    # Compression changes it by less. Inverted ink, the usual mistake, would differ by about 130.
    assert np.abs(decode(tmp_path / "cmyk.jpg")[0].astype(int) - photograph()).mean() < 5


def test_a_palette_keeps_its_transparent_entry(tmp_path):
    indices = Image.fromarray(np.arange(1200).reshape(40, 30).astype(np.uint8) % 3, mode="P")
    indices.putpalette([250, 10, 20, 0, 200, 0, 9, 8, 7])
    indices.save(tmp_path / "palette.png", transparency=1)
    rgba = np.array([[250, 10, 20, 255], [0, 200, 0, 0], [9, 8, 7, 255]], np.uint8)
    np.testing.assert_array_equal(decode(tmp_path / "palette.png")[0], rgba[np.asarray(indices)])


def test_grey_with_alpha_keeps_both(tmp_path):
    grey_alpha = np.concatenate([photograph()[..., :1], matte()], axis=-1)
    Image.fromarray(grey_alpha).save(tmp_path / "la.png")
    np.testing.assert_array_equal(decode(tmp_path / "la.png")[0], grey_alpha[..., [0, 0, 0, 1]])


# What a viewer does to show a file of each orientation upright (EXIF 2.32, tag 0x0112).
UPRIGHT = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_is_applied_once(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photograph()).save(tmp_path / f"turned{suffix}", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / f"turned{suffix}")[0], UPRIGHT[orientation](photograph()))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("picture", [photograph_16(), photograph_16().astype(np.float32)], ids=["16bit", "float"])
def test_exif_orientation_of_a_deep_tiff_is_applied_once(tmp_path, orientation, picture):
    (tmp_path / "deep.tif").write_bytes(tiff(picture, {ORIENTATION: orientation}))
    with quiet_decoders():
        np.testing.assert_array_equal(decode(tmp_path / "deep.tif")[0], UPRIGHT[orientation](picture))


def test_broken_exif_does_not_stop_a_sound_picture(tmp_path):
    one_entry_that_is_not_there = b"Exif\0\0II*\0\x08\0\0\0\x01\0"
    Image.fromarray(photograph()).save(tmp_path / "odd.png", exif=one_entry_that_is_not_there)
    with quiet_decoders():
        np.testing.assert_array_equal(decode(tmp_path / "odd.png")[0], photograph())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_associated_alpha_of_a_tiff_is_divided_out(tmp_path, dtype):
    white = np.iinfo(dtype).max
    straight = np.full((40, 30, 4), (0.2 * white, 0.4 * white, white, 0.5 * white)).astype(dtype)
    premultiplied = np.concatenate([straight[..., :3] // 2, straight[..., 3:]], axis=-1)
    (tmp_path / "associated.tif").write_bytes(tiff(premultiplied, {EXTRA_SAMPLES: 1}))
    (tmp_path / "unassociated.tif").write_bytes(tiff(straight, {EXTRA_SAMPLES: 2}))
    # Halving and dividing by a rounded half changes a value by up to 3 steps.
    np.testing.assert_allclose(decode(tmp_path / "associated.tif")[0].astype(int), straight, atol=3)
    np.testing.assert_array_equal(decode(tmp_path / "unassociated.tif")[0], straight)


@pytest.mark.parametrize("suffix", [".pfm", ".tif", ".hdr"])
def test_floating_point_files_are_linear_light_beyond_1(tmp_path, suffix):
    light = linear_light(photograph()) * 900.0
    if suffix == ".tif":
        (tmp_path / "hdr.tif").write_bytes(tiff(light, {}))
    else:
        cv2.imwrite(str(tmp_path / f"hdr{suffix}"), as_bgra(light))
    # Radiance HDR stores 8 bits of the largest channel, and the others with the same step. The other formats are exact.
    tolerance = light.max(-1, keepdims=True) / 128 if suffix == ".hdr" else 0.0
    assert (np.abs(linear_light(decode(tmp_path / f"hdr{suffix}")[0]) - light) <= tolerance).all()


@pytest.mark.parametrize("channels", ["RGB", "Y"])
def test_exr_is_linear_light_beyond_1(tmp_path, channels):
    light = linear_light(photograph()) * 900.0
    if channels == "Y":
        light = light[..., :1].repeat(3, -1)
    OpenEXR.File({}, {channels: light if channels == "RGB" else light[..., 0].copy()}).write(str(tmp_path / "hdr.exr"))
    np.testing.assert_array_equal(linear_light(decode(tmp_path / "hdr.exr")[0]), light)


def test_exr_alpha_is_associated_as_its_format_says(tmp_path):
    straight = np.concatenate([linear_light(photograph()), matte() / np.float32(255)], axis=-1)
    premultiplied = np.concatenate([straight[..., :3] * straight[..., 3:], straight[..., 3:]], axis=-1)
    OpenEXR.File({}, {"RGBA": premultiplied}).write(str(tmp_path / "cut.exr"))
    covered = straight[..., 3] > 0
    # One product and one quotient: two roundings of float32.
    np.testing.assert_allclose(decode(tmp_path / "cut.exr")[0][covered], straight[covered], rtol=3e-7)


def test_values_beyond_half_floats_or_below_0_are_clipped():
    wild = np.array([[[-1.0, 1e9, 0.5, 1.5]]], np.float32)
    np.testing.assert_array_equal(linear_light(wild), [[[0.0, 65504.0, 0.5, 1.0]]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_display_values_of_gamma_2_2_and_alpha_is_not(dtype):
    grey = np.full((1, 1, 4), np.iinfo(dtype).max // 5, dtype)
    np.testing.assert_allclose(linear_light(grey), [[[0.2**2.2] * 3 + [0.2]]], rtol=1e-5)  # float32 power


def test_highlights_are_expanded_as_in_bokehme():
    levels = np.array([[[0, 100, 220], [221, 240, 255]]], np.uint8)
    plain, expanded = linear_light(levels), linear_light(levels, expand_highlights=0.4)
    np.testing.assert_array_equal(expanded[0, 0], plain[0, 0])  # up to 220/255 nothing changes
    np.testing.assert_allclose(expanded[0, 1, 2], (1 + 0.4 * np.tanh(10 * 35 / 255)) ** 2.2, rtol=1e-5)
    assert (np.diff(expanded[0, 1] / plain[0, 1]) > 0).all()
    light = np.float32([[[0.95, 2.0, 3.0]]])
    np.testing.assert_array_equal(linear_light(light, expand_highlights=0.4), light)  # light needs no expansion


def save(suffix: str):
    def write(path):
        Image.fromarray(photograph(160, 130)).save(path.with_suffix(suffix))
        return path.with_suffix(suffix)

    return write


def save_float(value: float):
    def write(path):
        light = np.ones((20, 20, 3), np.float32)
        light[3, 4, 1] = value
        cv2.imwrite(str(path.with_suffix(".pfm")), light)
        return path.with_suffix(".pfm")

    return write


def save_bytes(suffix: str, data: bytes):
    def write(path):
        path.with_suffix(suffix).write_bytes(data)
        return path.with_suffix(suffix)

    return write


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (save_float(np.nan), "holds NaN or infinity"),
        (save_float(np.inf), "holds NaN or infinity"),
        (save_bytes(".png", b""), "is not a picture"),
        (save_bytes(".jpg", b"version https://git-lfs.github.com/spec/v1"), "is not a picture"),
        (save_bytes(".png", png(15, 40, 8, 0, bytes(40 * 16))), "15 x 40 px; each side needs at least 16"),
        (save_bytes(".png", png(20000, 10001, 8, 0, b"")), "20000 x 10001 px; at most 200 megapixels"),
        # 196 megapixels are allowed, but this file is truncated. Pillow alone would refuse it as a decompression bomb.
        (save_bytes(".png", png(14000, 14000, 1, 0, b"\0" * 1751)[:-20]), "truncated"),
        (save_bytes(".pfm", b"Pf\n8 40\n-1.0\n" + bytes(8 * 40 * 4)), "8 x 40 px; each side needs at least 16"),
        (lambda path: path.with_suffix(".png"), "No such file"),
    ],
    ids=["nan", "inf", "empty", "text", "thin", "huge", "large", "thin-float", "missing"],
)
def test_what_cannot_be_used_says_why(tmp_path, write, reason):
    with quiet_decoders(), pytest.raises(DecodeError, match=reason):
        decode(write(tmp_path / "bad"))


def test_32_bit_integers_say_what_to_do(tmp_path):
    (tmp_path / "int.tif").write_bytes(tiff(np.ones((40, 30, 1), np.int32), {}))
    with quiet_decoders(), pytest.raises(DecodeError, match="int32; save it with 8 or 16 bits"):
        decode(tmp_path / "int.tif")


@pytest.mark.parametrize("part", [0.3, 0.7, 0.97])
@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".gif", ".jp2", ".tga", ".ppm", ".exr", ".hdr"]
)
def test_a_file_cut_short_is_refused_quietly(tmp_path, suffix, part, capfd):
    path = tmp_path / f"whole{suffix}"
    if suffix == ".exr":
        OpenEXR.File({}, {"RGB": linear_light(photograph(160, 130))}).write(str(path))
    elif suffix == ".hdr":
        cv2.imwrite(str(path), linear_light(photograph(160, 130)))
    else:
        Image.fromarray(photograph(160, 130)).save(path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with quiet_decoders(), pytest.raises(DecodeError):
        decode(path)
    assert capfd.readouterr() == ("", "")


def test_a_deep_file_cut_short_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), photograph_16())
    data = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "deep.png").write_bytes(data[: len(data) * 9 // 10])
    with quiet_decoders(), pytest.raises(DecodeError, match="truncated"):
        decode(tmp_path / "deep.png")


def test_quiet_decoders_puts_every_setting_back():
    before = Image.MAX_IMAGE_PIXELS, cv2.getLogLevel()
    with quiet_decoders():
        pass
    assert (Image.MAX_IMAGE_PIXELS, cv2.getLogLevel()) == before


def radiance(width: int, height: int) -> bytes:
    """The header of a run-length coded Radiance HDR, and three rows of it."""
    runs = b"".join(bytes([128 + min(127, width - x), 7]) for x in range(0, width, 127))
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width) + 12 * (bytes([2, 2]) + runs)


def exr_of(width: int, height: int, folder: Path) -> bytes:
    """A small half-float EXR whose header declares another size."""
    OpenEXR.File({}, {"RGBA": np.zeros((32, 32, 4), np.float16)}).write(str(folder / "small.exr"))
    data = bytearray((folder / "small.exr").read_bytes())
    at = data.index(b"dataWindow\0box2i\0") + 21
    data[at : at + 16] = struct.pack("<4i", 0, 0, width - 1, height - 1)
    return bytes(data)


def save_as(suffix: str, *, at: bytes, offset: int, size: str, folder: Path) -> bytes:
    """A small picture of Pillow whose header declares 24000 x 24000 px."""
    Image.new("RGB", (32, 32)).save(folder / f"small{suffix}")
    data = bytearray((folder / f"small{suffix}").read_bytes())
    where = data.index(at) + offset
    data[where : where + struct.calcsize(size)] = struct.pack(size, 24000, 24000)
    return bytes(data)


def declaring_24000(folder: Path) -> dict[str, bytes]:
    """Small files of every format that the program reads; each declares 24000 x 24000 px."""
    tiff_24000 = [
        tiff(np.zeros((16, 16, 3), t), {256: 24000, 257: 24000, 278: 24000}) for t in ("u1", "u2", "f4", "f8")
    ]
    return {
        "bytes.tif": tiff_24000[0],
        "words.tif": tiff_24000[1],
        "float.tif": tiff_24000[2],
        "double.tif": tiff_24000[3],
        "rle.hdr": radiance(24000, 24000),
        "colour.pfm": b"PF\n24000 24000\n-1.0\n" + bytes(100),
        "grey.pfm": b"Pf\n24000 24000\n-1.0\n" + bytes(100),
        "words.ppm": b"P6\n24000 24000\n65535\n" + bytes(100),
        "words.pam": b"P7\nWIDTH 24000\nHEIGHT 24000\nDEPTH 3\nMAXVAL 65535\nTUPLTYPE RGB\nENDHDR\n" + bytes(100),
        "bytes.png": png(24000, 24000, 8, 6, bytes(100)),
        "words.png": png(24000, 24000, 16, 6, bytes(100)),
        "half.exr": exr_of(24000, 24000, folder),
        "photo.jpg": save_as(".jpg", at=b"\xff\xc0", offset=5, size=">HH", folder=folder),
        "few.gif": save_as(".gif", at=b"GIF", offset=6, size="<HH", folder=folder),
        "plain.bmp": save_as(".bmp", at=b"BM", offset=18, size="<ii", folder=folder),
        "plain.tga": save_as(".tga", at=bytes(8), offset=9, size="<HH", folder=folder),
    }


DECODES_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from scenes.decode import DecodeError, decode
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for path in map(Path, sys.argv[1:]):
    try:
        print(path.name, decode(path)[0].shape)
    except DecodeError as error:
        print(path.name, error)
"""

PEAKS = """
import sys
from pathlib import Path
from scenes.decode import decode
def resident(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
for path in map(Path, sys.argv[1:]):
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    before = resident("VmRSS")
    picture = decode(path)[0]
    samples, itemsize = picture.size // picture.shape[2] * 4, picture.itemsize
    del picture
    print(path.name, (resident("VmHWM") - before) / (samples * itemsize))
"""

needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured by Linux' /proc")


def output_of(code: str, paths: list[Path]) -> str:
    command = [sys.executable, "-c", code, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@needs_proc
def test_a_header_that_declares_too_much_costs_no_memory(tmp_path):
    files = declaring_24000(tmp_path)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    lines = output_of(DECODES_IN_LITTLE_MEMORY, [tmp_path / name for name in files]).splitlines()
    assert [line.split()[0] for line in lines] == list(files)
    for line in lines:
        assert "is 24000 x 24000 px; at most " in line
    limits = dict.fromkeys(["words.tif", "words.pam", "words.png"], "100 megapixels of 16 bits")
    limits |= dict.fromkeys(["float.tif", "rle.hdr", "grey.pfm", "half.exr"], "50 megapixels in floating point")
    for line in lines:
        assert limits.get(line.split()[0], "megapixels") in line


@needs_proc
def test_a_picture_is_in_memory_about_twice_while_it_is_decoded(tmp_path):
    """In RGBA: 200 megapixels of 8 bits, 100 of 16 bits and 50 in floating point are 0.8 GB each, and take 2 GB."""
    half = np.full((2000, 2000, 4), 0.5, np.float16)
    OpenEXR.File({}, {"RGBA": half}).write(str(tmp_path / "half.exr"))
    OpenEXR.File({}, {"RGBA": half.astype(np.float32)}).write(str(tmp_path / "float.exr"))
    Image.new("RGBA", (4000, 4000), (9, 80, 200, 90)).save(tmp_path / "bytes.png", compress_level=1)
    Image.new("CMYK", (4000, 4000), (9, 80, 200, 90)).save(tmp_path / "cmyk.jpg")
    cv2.imwrite(
        str(tmp_path / "words.png"), np.full((2800, 2800, 4), 9000, np.uint16), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    cv2.imwrite(str(tmp_path / "light.hdr"), np.full((2000, 2000, 3), 0.5, np.float32))
    names = ["half.exr", "float.exr", "bytes.png", "cmyk.jpg", "words.png", "light.hdr"]
    for line in output_of(PEAKS, [tmp_path / name for name in names]).splitlines():
        name, times = line.split()
        # 2 GB are 2.5 times 0.8 GB.
        assert float(times) < 2.5, name


def test_what_is_no_file_is_refused_and_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("fifo.png", "zero.png", "folder.png"):
        with pytest.raises(DecodeError, match=r"is a FIFO, a socket or a device|Is a directory"):
            decode(tmp_path / name)
    Image.fromarray(photograph()).save(tmp_path / "giant.bmp")
    os.truncate(tmp_path / "giant.bmp", 10**12)
    with pytest.raises(DecodeError, match=r"has 931\.3 GiB; files of up to 2 GiB are read"):
        decode(tmp_path / "giant.bmp")


def test_a_header_tells_the_size_as_it_is_stored_and_as_it_is_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photograph(40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert header_of(tmp_path / "turned.jpg") == (30, 40, 1)
    assert upright_size(tmp_path / "turned.jpg") == (40, 30)
    assert decode(tmp_path / "turned.jpg")[0].shape == (30, 40, 3)
    cv2.imwrite(str(tmp_path / "light.hdr"), linear_light(photograph(40, 30)))
    assert upright_size(tmp_path / "light.hdr") == (30, 40) and header_of(tmp_path / "light.hdr").sample_bytes == 4


def test_grey_pfm_keeps_its_numbers(tmp_path):
    disparity = np.linspace(0.0, 3.0, 1200, dtype=np.float32).reshape(40, 30)
    cv2.imwrite(str(tmp_path / "disparity.pfm"), disparity)
    np.testing.assert_array_equal(decode(tmp_path / "disparity.pfm")[0], disparity[..., None].repeat(3, -1))


def test_names_that_are_not_utf_8_are_read(tmp_path):
    picture = linear_light(photograph())
    OpenEXR.File({}, {"RGB": picture}).write(str(tmp_path / "plain.exr"))
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.exr"))
    (tmp_path / "plain.exr").rename(odd)
    np.testing.assert_array_equal(decode(odd)[0], picture)
