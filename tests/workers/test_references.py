"""Reference images: every kind of file, every way a source can fail, and how much is held at once."""

from __future__ import annotations

import base64
import io
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manifests.row import ImageRef, Row
from manifests.storage import locate
from tests.conftest import wait_until
from tests.rows import make_row
from tests.s3 import s3, s3_server
from workers import reference_files
from workers.decode import decode
from workers.reference_files import ReferenceFailed, without_credentials
from workers.references import Reference, ReferenceFetcher

__all__ = ["s3", "s3_server"]
MANY = 10**9


def photo(width: int = 48, height: int = 32) -> Image.Image:
    """A gradient with noise."""
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    ramp = np.linspace(0, 255, width)[None, :, None] * np.array([1.0, 0.6, 0.2])
    return Image.fromarray(np.clip(ramp + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def row_of(*images: bytes | str | Path, ordinal: int = 0) -> Row:
    refs = [ImageRef(None, each) if isinstance(each, bytes) else ImageRef(str(each), None) for each in images]
    return make_row(ordinal, images=tuple(refs))


def fetch(*images: bytes | str | Path, **options: Any) -> list[Reference]:
    return ReferenceFetcher(**options).get(row_of(*images))


def failure(image: bytes | str | Path, **options: Any) -> str:
    with pytest.raises(ReferenceFailed) as failed:
        fetch(image, **options)
    assert "\n" not in str(failed.value)
    return str(failed.value)


# --- what a file may hold ---


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "TGA", "WEBP", "GIF", "JPEG", "JPEG2000", "AVIF"])
def test_formats(format: str) -> None:
    source = photo()
    finest: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 98, "subsampling": 0},
        "AVIF": {"quality": 98, "subsampling": "4:4:4"},
    }
    try:
        data = encoded(source, format, **finest.get(format, {}))
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {format}")
    far = np.abs(pixels(decode(data, MANY)) - pixels(source))
    assert far.mean() < 6 if format in ("GIF", "JPEG", "AVIF") else far.max() == 0


def test_alpha_lies_on_white() -> None:
    for mode, color, shown in [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 127), (128, 128, 128)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
    ]:
        found = decode(encoded(Image.new(mode, (2, 2), color)), MANY)
        assert found.getpixel((1, 1)) == shown, (mode, color)


def test_palettes_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert decode(encoded(image), MANY).getpixel((1, 0)) == (200, 100, 50)
    for transparency in (0, bytes([0, 255])):
        found = decode(encoded(image, transparency=transparency), MANY)
        assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 100, 50)]
    assert decode(encoded(image, "GIF", transparency=0), MANY).getpixel((0, 0)) == (255, 255, 255)


def test_one_transparent_colour_of_an_image_without_alpha() -> None:
    image = Image.new("RGB", (1, 1), (9, 8, 7))
    assert decode(encoded(image, transparency=(9, 8, 7)), MANY).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encoded(Image.new("L", (1, 1), 9), transparency=9), MANY).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_grey_of_16_bits_is_scaled(format: str) -> None:
    values = np.array([[0, 128, 257, 32768, 65535]], dtype=np.uint16)
    found = pixels(decode(encoded(Image.fromarray(values), format), MANY))
    assert found[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert (found[..., :1] == found).all()


def test_one_bit_and_grey() -> None:
    bits = Image.fromarray(np.array([[True, False]]))
    assert bits.mode == "1"
    assert pixels(decode(encoded(bits), MANY))[0].tolist() == [[255] * 3, [0] * 3]
    assert decode(encoded(Image.new("L", (1, 1), 77)), MANY).getpixel((0, 0)) == (77, 77, 77)


def test_cmyk_also_as_adobe_writes_it() -> None:
    source = photo()
    for data in (encoded(source.convert("CMYK"), "TIFF"), encoded(source.convert("CMYK"), "JPEG", quality=98)):
        assert Image.open(io.BytesIO(data)).mode == "CMYK"
        assert np.abs(pixels(decode(data, MANY)) - pixels(source)).mean() < 6
    assert b"Adobe" in data  # Pillow's JPEG is inverted, as Photoshop's is


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        red, green, blue = decode(data, MANY).getpixel((0, 0))  # type: ignore[misc]
        assert red > 240 and green < 15 and blue < 15, format


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(format: str, orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste("red", (0, 0, 16, 8))  # the upper left quarter
    ways: dict[int, Callable[[Image.Image], Image.Image]] = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.rotate(180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.rotate(90, expand=True),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.rotate(-90, expand=True),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(ways[orientation](upright), format, exif=exif), MANY)
    assert found.size == (32, 16)
    assert np.abs(pixels(found) - pixels(upright)).mean() < 8


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_is_broken_turns_nothing() -> None:
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data, MANY).size == (48, 32)


# --- what cannot be decoded ---


def test_more_pixels_than_allowed() -> None:
    data = encoded(Image.new("L", (100, 50)))
    assert decode(data, 5000).size == (100, 50)
    message = failure(data, max_pixels=4999)
    assert message.startswith("reference image given as bytes: 100x50 are 0.0 megapixels; at most 0.004999 are")


@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow itself would warn of the one and refuse the other
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    began = time.monotonic()
    message = failure(bomb)
    assert "megapixels" in message and message.endswith("; make it smaller")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_truncated(format: str) -> None:
    data = encoded(photo(200, 200), format)
    assert "damaged or not supported" in failure(data[: len(data) * 2 // 3])


def test_damaged() -> None:
    data = bytearray(encoded(photo()))
    data[60] ^= 255
    assert "damaged or not supported" in failure(bytes(data))


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        (b"<!DOCTYPE html>", "it begins with b'<!DOCTYP'"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it begins with b'%!PS-Ado'"),
        (b"\0", "it begins with"),
    ],
)
def test_not_an_image(data: bytes, begins: str) -> None:
    assert begins in failure(data) and "convert it to PNG or JPEG" in failure(data)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert failure(tmp_path / "a.png").endswith(
        "a.png: not an image that can be read (it is empty); convert it to PNG or JPEG"
    )


def test_floating_point_pixels_are_refused_not_guessed() -> None:
    assert "floating point" in failure(encoded(Image.new("F", (2, 2), 0.5), "TIFF"))
    assert "greyscale of at most 16 bits" in failure(encoded(Image.new("I", (2, 2), 70_000), "TIFF"))


# --- where it may be ---


def test_paths_uris_and_bytes(tmp_path: Path, s3: str) -> None:
    data = encoded(photo())
    path = tmp_path / "ä [1] ?.png"
    path.write_bytes(data)
    remote = locate(f"{s3}/in put/ä [1].png")
    remote.write_bytes(data)
    found = fetch(path, path.as_uri(), remote.uri, data)
    assert {each.sha256 for each in found} == {sha256(data).hexdigest()}
    assert [each.uri for each in found] == [str(path), path.as_uri(), remote.uri, None]
    assert all(np.array_equal(pixels(each.image), pixels(photo())) for each in found)


def test_what_is_missing_is_not_tried_again(tmp_path: Path, s3: str) -> None:
    began = time.monotonic()
    assert failure(tmp_path / "no.png") == f"reference image {tmp_path}/no.png: not found; check the path"
    assert failure(f"{s3}/no.png") == f"reference image {s3}/no.png: not found; check the path"
    assert "is a directory" in failure(tmp_path)
    assert "unknown scheme nosuch://" in failure("nosuch://host/a.png")
    assert time.monotonic() - began < 2


def test_files_of_more_bytes_than_allowed(tmp_path: Path) -> None:
    data = encoded(photo())
    (tmp_path / "a.png").write_bytes(data)
    assert fetch(tmp_path / "a.png", data, max_bytes=len(data))
    for source in (tmp_path / "a.png", data):
        message = failure(source, max_bytes=len(data) - 1)
        assert "MiB or more; at most" in message and message.endswith("are read; make it smaller")
    assert "at most 1 MiB are read" in failure("/dev/zero", max_bytes=2**20)


# --- over http ---


class Site:
    """A web server on this machine. `answers` maps a path to a function of the request; `seen` counts requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.seen: Counter[str] = Counter()
        self.over = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen[self.path] += 1
                site.answers[self.path.partition("?")[0]](self)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}"


def send(handler: BaseHTTPRequestHandler, data: bytes, status: int = 200, length: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data) if length is None else length))
    handler.end_headers()
    handler.wfile.write(data)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reference_files, "_FIRST_WAIT", 0.02)
    here = Site()
    yield here
    here.over.set()
    here.server.shutdown()
    here.server.server_close()


def test_http_with_anything_in_the_path(site: Site) -> None:
    data = encoded(photo())
    site.answers["/a%20b/%C3%A4.png"] = lambda handler: send(handler, data)
    (found,) = fetch(f"{site.url}/a b/ä.png?w=10&h=2")
    assert found.sha256 == sha256(data).hexdigest() and found.uri == f"{site.url}/a b/ä.png?w=10&h=2"
    assert site.seen == {"/a%20b/%C3%A4.png?w=10&h=2": 1}


@pytest.mark.parametrize("status", [503, 429, 500])
def test_a_server_that_is_busy_is_asked_again(site: Site, status: int) -> None:
    data = encoded(photo())
    site.answers["/a.png"] = lambda handler: (
        send(handler, data) if site.seen["/a.png"] == 3 else send(handler, b"", status)
    )
    assert fetch(f"{site.url}/a.png")[0].image.size == (48, 32)
    assert site.seen["/a.png"] == 3


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_final(site: Site, status: int) -> None:
    site.answers["/a.png"] = lambda handler: send(handler, b"", status)
    assert f"the server answers {status}" in failure(f"{site.url}/a.png")
    assert site.seen["/a.png"] == 1


def test_always_busy(site: Site) -> None:
    site.answers["/a.png"] = lambda handler: send(handler, b"", 503)
    message = failure(f"{site.url}/a.png", tries=2)
    assert "the server answers 503 Service Unavailable; given up after 2 tries; check the source" in message
    assert site.seen["/a.png"] == 2


def test_a_connection_that_breaks_is_tried_again(site: Site) -> None:
    data = encoded(photo())
    site.answers["/a.png"] = lambda handler: send(
        handler, data[:-9] if site.seen["/a.png"] == 1 else data, length=len(data)
    )
    assert fetch(f"{site.url}/a.png")[0].sha256 == sha256(data).hexdigest()
    assert site.seen["/a.png"] == 2


@pytest.mark.parametrize("how", ["silent", "dripping"])
def test_a_server_that_hangs_is_given_up(site: Site, how: str) -> None:
    def hang(handler: BaseHTTPRequestHandler) -> None:
        if how == "dripping":
            send(handler, b"\x89", length=10**6)
        while not site.over.wait(0.02):
            if how == "dripping":
                try:
                    handler.wfile.write(b"x")
                except OSError:
                    return

    site.answers["/a.png"] = hang
    began = time.monotonic()
    message = failure(f"{site.url}/a.png", timeout_seconds=0.2, tries=2)
    assert "not read within 0.2 s; given up after 2 tries" in message
    assert 0.4 <= time.monotonic() - began < 2


def test_nobody_listens(site: Site) -> None:
    site.server.shutdown()
    site.server.server_close()
    assert "ConnectionRefusedError" in failure(f"{site.url}/a.png", tries=2)


def test_larger_than_announced_or_allowed(site: Site) -> None:
    site.answers["/a.png"] = lambda handler: send(handler, b"", length=2**30)
    assert "1024.0 MiB or more; at most 64 MiB are read" in failure(f"{site.url}/a.png")


def test_user_and_password_are_sent_and_not_told(site: Site) -> None:
    data, asked = encoded(photo()), []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Authorization"])
        send(handler, data)

    site.answers["/a.png"] = answer
    (found,) = fetch(f"http://me:pass%40word@{site.host}/a.png")
    assert asked == ["Basic " + base64.b64encode(b"me:pass@word").decode()]
    assert found.uri == f"{site.url}/a.png"


# --- secrets ---


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/data/a@b:c.png", "/data/a@b:c.png"),
        ("s3://bucket/a@b.png", "s3://bucket/a@b.png"),
        ("https://host:8080/x@y/a.png?w=100&h=2", "https://host:8080/x@y/a.png?w=100&h=2"),
        ("https://user:word@host/a@b.png", "https://host/a@b.png"),
        ("s3://AKIA:s3cr3t/with/slashes@bucket/a.png", "s3://bucket/a.png"),
        ("https://h/a?X-Amz-Expires=60&X-Amz-Signature=abc", "https://h/a?X-Amz-Expires=...&X-Amz-Signature=..."),
        ("https://h/a?sv=2024&sig=abc", "https://h/a?sv=2024&sig=..."),
        ("https://h/a?id=7&access_token=abc", "https://h/a?id=7&access_token=..."),
        ("https://h/a?x=0123456789abcdef0123456789abcdef", "https://h/a?x=..."),
        ("https://h/a?0123456789abcdef0123456789abcdef", "https://h/a?..."),
    ],
)
def test_credentials_are_left_out(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:hunter22@127.0.0.1:1/a.png?X-Amz-Signature=hunter22",
        "http://me:hunter22@[bad/a.png",
        "http://me:hunter22@host:port/a.png",
        "http://me:hunter22@/a.png",
        "s3://me:hunter22@127.0.0.1:99999/a.png?region=x&secret=hunter22",
        "nosuch://me:hunter22@host/a.png",
        "s3:///a.png?key=hunter22",
    ],
)
def test_no_message_tells_a_secret(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_files, "_FIRST_WAIT", 0.01)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ReferenceFailed) as failed:
        fetch(uri, tries=2, timeout_seconds=1)
    error: BaseException | None = failed.value
    assert error is not None and error.__cause__ is None
    assert "hunter22" not in str(error) and len(str(error)) > 30


# --- ahead of the GPU ---


class Reads:
    """Counts what is read, by file name; a file in `held` is read once its event is set."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.held: dict[str, threading.Event] = {}

    def settle(self) -> set[str]:
        """What was read, once nothing moves any more."""
        before = None
        while before != self.counts:
            before = Counter(self.counts)
            time.sleep(0.1)
        return set(self.counts)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    found, own = Reads(), reference_files.ReferenceReader._read_file

    def read(reader: Any, uri: str) -> bytes:
        name = Path(uri).name
        found.counts[name] += 1
        assert name not in found.held or found.held[name].wait(10)
        return own(reader, uri)

    monkeypatch.setattr(reference_files.ReferenceReader, "_read_file", read)
    return found


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Ten rows of one image each, 0.png to 9.png; decoded 4096 bytes in Pillow's memory."""
    for k in range(10):
        Image.new("RGB", (32, 32), (k, k, k)).save(tmp_path / f"{k}.png")
    return [row_of(tmp_path / f"{k}.png", ordinal=k) for k in range(10)]


def shade(found: list[Reference]) -> Any:
    return found[0].image.getpixel((0, 0))[0]  # type: ignore[index]


def test_rows_are_fetched_ahead_and_each_image_once(rows: list[Row], reads: Reads) -> None:
    fetcher = ReferenceFetcher(threads=3)
    fetcher.prefetch(rows)
    assert len(reads.settle()) == 10
    assert [shade(fetcher.get(row)) for row in [*rows, *rows]] == [*range(10), *range(10)]
    assert set(reads.counts.values()) == {1}
    assert fetcher.get(rows[3])[0].image is fetcher.get(rows[3])[0].image


def test_an_image_that_several_rows_wait_for_is_read_once(rows: list[Row], reads: Reads) -> None:
    reads.held["0.png"] = threading.Event()
    fetcher = ReferenceFetcher()
    fetcher.prefetch([rows[0]] * 5)
    threading.Timer(0.1, reads.held["0.png"].set).start()
    assert shade(fetcher.get(make_row(images=rows[0].images * 2))) == 0
    assert reads.counts == {"0.png": 1}


def test_no_more_is_fetched_ahead_than_memory_allows(rows: list[Row], reads: Reads) -> None:
    fetcher = ReferenceFetcher(threads=1, keep_bytes=4 * 4096)
    fetcher.prefetch(rows)
    assert reads.settle() == {"0.png", "1.png", "2.png"}  # the third went beyond half
    for k, row in enumerate(rows):
        assert shade(fetcher.get(row)) == k
    assert set(reads.counts.values()) == {1}
    # the thread that brought the last image drops an old one just after `get` has it
    wait_until(lambda: sum(entry.memory() for entry in list(fetcher._entries.values())) <= 4 * 4096, seconds=10)


def test_a_row_that_is_passed_over_holds_nothing_up(rows: list[Row], reads: Reads) -> None:
    fetcher = ReferenceFetcher(threads=1, keep_bytes=4 * 4096)
    fetcher.prefetch(rows)
    reads.settle()
    assert shade(fetcher.get(rows[5])) == 5
    assert reads.settle() == {"0.png", "1.png", "2.png", "5.png", "6.png", "7.png", "8.png"}
    assert shade(fetcher.get(rows[3])) == 3  # though its turn was over


def test_no_more_threads_than_asked_for(rows: list[Row], reads: Reads) -> None:
    gate = threading.Event()
    reads.held = {f"{k}.png": gate for k in range(10)}
    fetcher = ReferenceFetcher(threads=2)
    fetcher.prefetch(rows)
    time.sleep(0.1)
    assert len(reads.counts) <= 2
    gate.set()
    assert len(reads.settle()) >= 2


def test_a_failure_is_told_and_then_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "late.png"
    fetcher = ReferenceFetcher()
    row = row_of(path)
    fetcher.prefetch([row])
    with pytest.raises(ReferenceFailed):
        fetcher.get(row)
    photo().save(path)
    assert fetcher.get(row)[0].image.size == (48, 32)


def test_one_bad_image_of_several_fails_the_row_alone(rows: list[Row], tmp_path: Path) -> None:
    fetcher = ReferenceFetcher()
    bad = make_row(images=(*rows[1].images, ImageRef(str(tmp_path / "none.png"), None)))
    fetcher.prefetch([rows[0], bad, rows[1]])
    assert shade(fetcher.get(rows[0])) == 0
    with pytest.raises(ReferenceFailed, match=r"none\.png: not found"):
        fetcher.get(bad)
    assert shade(fetcher.get(rows[1])) == 1


def test_rows_without_images_and_a_closed_fetcher(rows: list[Row]) -> None:
    fetcher = ReferenceFetcher()
    assert fetcher.get(make_row()) == []
    fetcher.prefetch(rows)
    fetcher.close()
    assert fetcher._entries == {} and fetcher._waiting == {}
