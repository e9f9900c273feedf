"""What generators wrote is found in real files, and nothing beside the pixels costs a picture."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from mirada.adapters.image_decoder import containers, exif, metadata
from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.kernel.file_metadata import FileMetadata
from mirada.kernel.images import PictureFacts
from mirada.kernel.user_text import MAX_TEXT_CHARS
from testing.generators import (
    SAMPLES,
    WEBUI,
    Sample,
    as_json,
    chunk,
    exif_block,
    gif_with,
    jpeg_with,
    jpeg_with_exif,
    png_by_pillow,
    png_with,
    text_chunk,
    webp_with,
)
from testing.pictures import picture, pixels

Read = Callable[[bytes], PictureFacts]
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
UNICODE, ASCII, UNDEFINED = b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8
WRITTEN = [
    "a harbour\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5",
    "janela à noite, pôr do sol 🌅\nNegative prompt: não\nSteps: 2, Sampler: Euler, Seed: 5",
    "猫が屋根で寝ている\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5",
    "قطة على السطح\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5",
]


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    decoder = SandboxedDecoder(pool_size=1)
    yield decoder
    decoder.close()


@pytest.fixture
def read(decoder: SandboxedDecoder, tmp_path: Path) -> Read:
    """Return a function that inspects bytes, after they were shown to be a picture in every way."""

    def read(data: bytes) -> PictureFacts:
        path = tmp_path / "picture"
        path.write_bytes(data)
        assert decoder.decode(path, 1000).shape == (48, 64, 3)
        assert Image.open(io.BytesIO(decoder.thumbnail(path, 100))).size == (64, 48)
        return decoder.inspect(path)

    return read


def prompt_in(facts: PictureFacts) -> str | None:
    return None if facts.file_metadata is None else facts.file_metadata.prompt


def expected_prompt(written: str) -> str:
    return written.partition("\n")[0]


# Every program, in the containers it writes


IN_PNG = [sample for sample in SAMPLES if not any(":" in name for name in sample.texts)]


@pytest.mark.parametrize("sample", IN_PNG, ids=lambda sample: sample.name)
def test_every_program_is_read_from_a_png(read: Read, sample: Sample) -> None:
    found = read(png_by_pillow(sample.texts)).file_metadata
    assert found is not None
    assert {name: getattr(found, name) for name in sample.expected} == dict(sample.expected)


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if "exif:UserComment" in s.texts], ids=lambda sample: sample.name
)
@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "PNG"])
def test_every_program_is_read_from_a_user_comment(read: Read, sample: Sample, fmt: str) -> None:
    block = exif_block(
        {}, user_comment=UNICODE + sample.texts["exif:UserComment"].encode("utf-16-be")
    )
    data = {
        "JPEG": jpeg_with_exif(block),
        "WEBP": webp_with(exif=block),
        "PNG": png_with(chunk(b"eXIf", block.removeprefix(b"Exif\0\0"))),
    }[fmt]
    found = read(data).file_metadata
    assert found is not None
    assert {name: getattr(found, name) for name in sample.expected} == dict(sample.expected)


def test_comfyui_is_read_from_the_exif_of_a_webp(read: Read) -> None:
    (sample,) = (s for s in SAMPLES if s.name == "ComfyUI in EXIF")
    tags = {0x0110: sample.texts["exif:Model"], 0x010F: sample.texts["exif:Make"]}
    exif = Image.Exif()
    for tag, text in tags.items():
        exif[tag] = text
    found = read(webp_with(exif=exif.tobytes())).file_metadata
    assert found is not None
    assert (found.prompt, found.steps) == (sample.expected["prompt"], 26)


@pytest.mark.parametrize("written", WRITTEN, ids=["English", "Portuguese", "Japanese", "Arabic"])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iTXtz"])
@pytest.mark.parametrize("at_end", [False, True], ids=["before", "behind"])
def test_every_kind_of_text_chunk_is_read(
    read: Read, written: str, kind: str, at_end: bool
) -> None:
    data = png_with(text_chunk("parameters", written, kind), at_end=at_end)
    assert prompt_in(read(data)) == expected_prompt(written)


@pytest.mark.parametrize("written", WRITTEN, ids=["English", "Portuguese", "Japanese", "Arabic"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("code", "encoding"),
    [
        (UNICODE, "utf-16-be"),
        (UNICODE, "utf-16-le"),
        (UNICODE, "utf-16"),
        (UNICODE, "utf-8"),
        (ASCII, "utf-8"),
        (UNDEFINED, "utf-8"),
        (UNDEFINED, "utf-16-be"),
        (b"", "utf-8"),
        (b"JIS\0\0\0\0\0", "utf-8"),
    ],
)
def test_a_user_comment_is_read_in_whichever_encoding_it_came(
    read: Read, written: str, order: str, code: bytes, encoding: str
) -> None:
    block = exif_block({}, order=order, user_comment=code + written.encode(encoding) + b"\0\0")
    assert prompt_in(read(jpeg_with_exif(block))) == expected_prompt(written)


def test_text_in_latin_1_is_read_as_what_it_is(read: Read) -> None:
    raw = "niña con café".encode("latin-1")
    assert prompt_in(read(png_with(text_chunk("parameters", raw)))) == "niña con café"
    assert prompt_in(read(png_with(text_chunk("parameters", raw, "zTXt")))) == "niña con café"
    behind = b"\nSteps: 2, Seed: 5"
    assert prompt_in(read(gif_with(raw + behind))) == "niña con café"
    assert prompt_in(read(jpeg_with((0xFE, raw + behind)))) == "niña con café"


def test_invalid_utf_8_is_shown_as_such(read: Read) -> None:
    found = prompt_in(read(png_with(text_chunk("parameters", b"a \xff\xc3 cat", "iTXt"))))
    assert found == "a \ufffd\ufffd cat"


def test_other_fields_are_read(read: Read) -> None:
    written = WRITTEN[1]
    for data in (
        jpeg_with((0xFE, written.encode())),
        gif_with(written.encode()),
        jpeg_with_exif(exif_block({0x010E: written.encode() + b"\0"})),
        jpeg_with_exif(exif_block({0x9C9C: written.encode("utf-16-le") + b"\0\0"}, order="<")),
    ):
        assert prompt_in(read(data)) == expected_prompt(written)


def test_xmp_is_read_from_every_format_that_has_it(read: Read) -> None:
    (sample,) = (s for s in SAMPLES if s.name == "Draw Things")
    packet = sample.texts["xmp"].encode()
    keyword = "XML:com.adobe.xmp"
    for data in (
        png_with(text_chunk(keyword, packet, "iTXt")),
        png_with(text_chunk(keyword, packet, "iTXtz"), at_end=True),
        jpeg_with((0xE1, XMP_PREFIX + packet)),
        webp_with(xmp=packet),
    ):
        assert prompt_in(read(data)) == "a paper boat & rain"


def test_an_ordinary_picture_says_nothing(read: Read) -> None:
    camera = exif_block({0x010E: b"OLYMPUS DIGITAL CAMERA\0", 0x010F: b"OLYMPUS\0", 0x0110: b"E\0"})
    for data in (picture(1, "PNG"), picture(1, "GIF"), jpeg_with_exif(camera), webp_with()):
        assert read(data).file_metadata is None


def test_what_is_read_says_the_same_as_its_texts(read: Read) -> None:
    found = read(png_by_pillow({"parameters": WEBUI})).file_metadata
    assert found is not None
    assert FileMetadata.from_json(found.to_json()) == found
    assert found.extra["Lora hashes"] == "film_grain: 1f6d9a2b, other: 22aa"


# How a picture was held


@pytest.mark.parametrize("kind", ["tEXt", "zTXt"])
def test_exif_that_is_written_as_text_turns_a_picture(
    decoder: SandboxedDecoder, tmp_path: Path, kind: str
) -> None:
    block = exif_block({})[:14] + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    digits = f"\nexif\n{len(block):8}\n" + "\n".join(
        block.hex()[start : start + 72] for start in range(0, 2 * len(block), 72)
    )
    path = tmp_path / "turned"
    path.write_bytes(png_with(text_chunk("Raw profile type exif", digits, kind)))
    assert decoder.inspect(path).width == 48
    path.write_bytes(png_with(text_chunk("Raw profile type exif", "\nexif\n 3\nxyz", kind)))
    assert decoder.inspect(path).width == 64


def test_xmp_turns_a_picture_that_has_no_exif(decoder: SandboxedDecoder, tmp_path: Path) -> None:
    path = tmp_path / "turned"
    for written in (b'tiff:Orientation="6"', b"<tiff:Orientation>6</tiff:Orientation>"):
        for data in (
            png_with(text_chunk("XML:com.adobe.xmp", written, "iTXt")),
            jpeg_with((0xE1, XMP_PREFIX + written)),
            webp_with(xmp=written),
        ):
            path.write_bytes(data)
            assert decoder.inspect(path).width == 48
    upright = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 1, 0, 0)
    path.write_bytes(
        jpeg_with(
            (0xE1, XMP_PREFIX + b'tiff:Orientation="6"'), (0xE1, exif_block({})[:14] + upright)
        )
    )
    assert decoder.inspect(path).width == 64


# What must not cost a picture


@cache
def bomb(mebibytes: int) -> bytes:
    """Return zlib data that unpacks to so many MiB of blanks."""
    packer = zlib.compressobj(9)
    block = b" " * 1024 * 1024
    return b"".join(packer.compress(block) for _ in range(mebibytes)) + packer.flush()


BOMB = bomb(100)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def many_fields(order: str = "<") -> bytes:
    """Return EXIF whose five thousand fields each are nearly the whole block."""
    count = 5_000
    fields = b"".join(
        struct.pack(order + "HHII", tag + 256, 2, 12 * count, 8) for tag in range(count)
    )
    return b"Exif\0\0II*\0" + struct.pack(order + "IH", 8, count) + fields


def looked_for_again() -> str:
    """Return a graph in which 20 samplers look for 10,000 words along 18,000 links to one place."""
    graph: dict[str, Any] = {}
    for step in range(90):
        inputs = {f"i{number}": [str(step + 1), 0] for number in range(200)}
        graph[str(step)] = {"class_type": "A", "inputs": inputs}
    graph["90"] = {"class_type": "A", "inputs": {f"i{n}": [f"w{n}", 0] for n in range(50)}}
    for number in range(50):
        inputs_of_words = {f"text{word}": "x" for word in range(199)}
        graph[f"w{number}"] = {"class_type": "A", "inputs": inputs_of_words}
    for number in range(20):
        sampler = {"negative": ["0", 0], "sampler_name": "euler", "steps": 20}
        graph[f"s{number}"] = {"class_type": "KSampler", "inputs": sampler}
    return as_json(graph)


HOSTILE = {
    "a bomb in zTXt": png_with(chunk(b"zTXt", b"parameters\0\0" + BOMB)),
    "a bomb in iTXt": png_with(chunk(b"iTXt", b"prompt\0\1\0\0\0" + BOMB), at_end=True),
    "a bomb for a profile": png_with(chunk(b"iCCP", b"p\0\0" + BOMB)),
    "a bomb for XMP": png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB)),
    "a bomb for EXIF": png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB)),
    "a thousand bombs": png_with(
        *(chunk(b"zTXt", b"k%d\0\0" % n + bomb(3)[: 2_000 + n]) for n in range(1_000))
    ),
    "a thousand broken bombs": png_with(
        *(chunk(b"zTXt", b"k%d\0\0" % n + bomb(1)[:-4] + b"abcd") for n in range(1_000))
    ),
    "packed rubbish": png_with(chunk(b"zTXt", b"parameters\0\0rubbish")),
    "a foreign packing": png_with(chunk(b"zTXt", b"parameters\0\7rubbish")),
    "no keyword": png_with(chunk(b"tEXt", b"\0text"), chunk(b"tEXt", b""), chunk(b"tEXt", b"a")),
    "half an iTXt": png_with(
        chunk(b"iTXt", b"a\0"), chunk(b"iTXt", b"a\0\1\0"), chunk(b"iTXt", b"")
    ),
    "an iTXt in no language": png_with(chunk(b"iTXt", b"a\0\0\0\xff\0\xff\0\xff")),
    "wrong checksums": png_with(
        chunk(b"tEXt", b"parameters\0x", crc=1),
        chunk(b"eXIf", b"MM", crc=2),
        chunk(b"tIME", b"", crc=3),
    ),
    "short side chunks": png_with(
        *(chunk(kind, b"") for kind in (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"iCCP", b"eXIf"))
    ),
    "texts with the names of chunks": png_with(
        *(
            text_chunk(name, "x")
            for name in ("transparency", "icc_profile", "gamma", "exif", "dpi", "bbox", "xmp")
        ),
        *(text_chunk(name, "x", "iTXt") for name in ("interlace", "loop", "duration", "comment")),
    ),
    "ten megabytes of text": png_with(text_chunk("parameters", "word " * 2_000_000)),
    "deep JSON": png_with(text_chunk("prompt", '{"a":' * 1_000_000, "zTXt")),
    "words that are looked for again and again": png_with(
        text_chunk("prompt", looked_for_again(), "zTXt")
    ),
    "fields that each are the whole block": jpeg_with_exif(many_fields()),
    "such fields in many segments": jpeg_with(*[(0xE1, many_fields())] * 40),
    "such fields in a WebP": webp_with(exif=many_fields()),
    "such fields in a PNG": png_with(chunk(b"eXIf", many_fields()[6:] + b"\0" * 10_000_000)),
    "EXIF cut off": jpeg_with_exif(exif_block({0x010E: b"Steps"}, user_comment=b"x" * 99)[:40]),
    "EXIF that points outside": jpeg_with_exif(b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "EXIF that points to itself": jpeg_with_exif(
        b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8)
    ),
    "no EXIF at all": jpeg_with((0xE1, b"Exif\0\0"), (0xE1, b"")),
    "a second picture that is not there": jpeg_with(
        (
            0xE2,
            b"MPF\0II*\0"
            + struct.pack("<IHHHIIHHII", 8, 2, 0xB001, 4, 1, 7, 0xB002, 7, 32, 38)
            + b"\0" * 40,
        )
    ),
    "a broken second picture": jpeg_with((0xE2, b"MPF\0MM\0*" + b"\xff" * 60)),
    "other segments": jpeg_with(
        (0xE0, b"JFIF"),
        (0xED, b"Photoshop 3.0\x008BIM"),
        (0xEE, b"Adobe\0\0"),
        (0xE2, b"ICC_PROFILE\0"),
    ),
    "XMP that is none": webp_with(xmp=b"\xff<a>" + b"<b>" * 100_000),
    "a long comment in a GIF": gif_with(b"\xff\0" * 2_000_000),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_no_picture_is_refused_or_changed_for_what_stands_beside_it(
    decoder: SandboxedDecoder, read: Read, tmp_path: Path, data: bytes
) -> None:
    facts = read(data)
    plain = tmp_path / "plain"
    plain.write_bytes(picture(1, facts.format))
    if facts.format == "GIF":
        plain.write_bytes(gif_with(b""))
    elif facts.format == "WEBP":
        plain.write_bytes(webp_with())
    shown = decoder.decode(tmp_path / "picture", 1000)
    assert np.array_equal(shown, decoder.decode(plain, 1000))
    assert len(prompt_in(facts) or "") <= MAX_TEXT_CHARS


def test_random_bytes_beside_the_picture_never_cost_it(read: Read) -> None:
    source = random.Random(7)
    for _ in range(60):
        block = bytearray(
            exif_block(
                {0x010E: b"Steps: 1, Seed: 2", 0x0131: b"x" * 9}, user_comment=UNICODE + b"ab"
            )
        )
        for _ in range(source.randrange(1, 12)):
            block[source.randrange(6, len(block))] = source.randrange(256)
        noise = source.randbytes(source.randrange(200))
        marker = source.choice([0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE])
        start = source.choice([b"", b"MPF\0II*\0", b"JFIF\0", b"Photoshop 3.0\x008BIM", XMP_PREFIX])
        read(jpeg_with((0xE1, bytes(block)), (marker, start + noise)))
        read(webp_with(exif=bytes(block), xmp=noise))
        kind = source.choice(
            [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"pHYs", b"caBX", b"zzZz"]
        )
        read(png_with(chunk(kind, noise), chunk(b"eXIf", bytes(block[6:]))))


def test_a_wrong_checksum_of_the_picture_itself_is_still_a_refusal(
    decoder: SandboxedDecoder, tmp_path: Path
) -> None:
    from mirada.kernel.errors import CorruptImage

    out = io.BytesIO()
    pixels(1).quantize(4).save(out, "PNG", transparency=0)
    path = tmp_path / "damaged"
    for kind in (b"PLTE", b"tRNS", b"IDAT"):
        data = bytearray(out.getvalue())
        data[data.index(kind) + 4] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(CorruptImage):
            decoder.inspect(path)


def test_a_profile_with_a_wrong_checksum_is_used_all_the_same(
    decoder: SandboxedDecoder, tmp_path: Path
) -> None:
    path = tmp_path / "profile"
    path.write_bytes(
        png_with(chunk(b"iCCP", b"p\0\0" + zlib.compress(PROFILE), crc=0), chunk(b"iCCP", b"\0"))
    )
    assert decoder.decode(path, 1000).shape == (48, 64, 3)


# How much is read


def chunks_of(data: bytes) -> list[containers.Chunk]:
    return containers.require_complete(io.BytesIO(data), "PNG", len(data)).texts


def test_texts_are_bounded_in_number_and_size() -> None:
    many = chunks_of(png_with(*(text_chunk(f"k{n}", "x" * 9) for n in range(1_000))))
    assert len(many) == containers.MAX_CHUNKS
    assert len(metadata.texts({}, many)) == metadata.MAX_TEXTS
    large = [(b"zTXt", b"k%d\0\0" % n + bomb(3)) for n in range(9)]
    texts = metadata.texts({}, large)
    assert {len(text) for text in texts.values()} == {metadata.MAX_TEXT_BYTES}
    assert sum(map(len, texts.values())) == metadata.MAX_TEXTS_BYTES
    long = chunks_of(png_with(text_chunk("a", "x" * 30_000_000), text_chunk("b", "y")))
    assert len(long[0][1]) <= containers.MAX_CHUNK_BYTES + containers.READ_BYTES
    assert set(metadata.texts({}, long)) == {"a", "b"}


def test_broken_texts_are_paid_for_as_if_they_were_whole() -> None:
    broken = [(b"zTXt", b"k%d\0\0" % n + bomb(1)[:-4] + b"abcd") for n in range(99)]
    whole = [(b"tEXt", b"last\0x")]
    assert metadata.texts({}, broken[:3] + whole) == {"last": "x"}
    assert metadata.texts({}, broken + whole) == {}


def test_the_first_of_two_texts_of_a_name_counts() -> None:
    twice = png_with(text_chunk("parameters", "one"), text_chunk("parameters", "two", "zTXt"))
    assert metadata.texts({}, chunks_of(twice)) == {"parameters": "one"}


def test_the_first_of_two_profiles_written_as_text_counts_though_it_is_broken() -> None:
    name = b"Raw profile type exif\0\0"
    broken, whole = zlib.compress(b"\nexif\n1\nzz"), zlib.compress(b"\nexif\n1\n4d4d002a")
    info: dict[str, bytes] = {}
    metadata.complete(info, [(b"zTXt", name + broken), (b"zTXt", name + whole)])
    assert info == {"exif": b""}


def test_a_field_that_comes_again_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read_fields = []
    value_of = exif._value
    monkeypatch.setattr(exif, "_value", lambda *at: read_fields.append(at) or value_of(*at))
    fields = struct.pack("<HHII", 0x9286, 2, 9, 8) + struct.pack("<HHII", 0x010E, 2, 9, 8) * 99
    _, texts, _ = exif.read(b"II*\0" + struct.pack("<IH", 8, 100) + fields)
    assert set(texts) == {"UserComment", "ImageDescription"}
    assert len(read_fields) == 2
