"""Every file format and colour mode, against pixels known before encoding."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ownlatent.data.decode import decode, probe

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
RGB = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)


def encode(image, fmt, **options):
    file = io.BytesIO()
    image.save(file, fmt, **options)
    return file.getvalue()


def png(pixels, colour_type, extra=b""):
    """A 16-bit PNG of ``[H, W, C]``, by the PNG specification (Pillow writes no 16-bit colour)."""
    height, width, _ = pixels.shape

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def tiff(pixels, extra_samples=()):
    """An uncompressed TIFF of ``[H, W, C]``, by the TIFF 6.0 specification."""
    height, width, bands = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    after = 8 + len(data)

    def shorts(values):
        nonlocal after, tail
        if len(values) <= 2:
            return struct.pack("<2H", *values, *[0] * (2 - len(values)))
        at, after = after, after + 2 * len(values)
        tail += struct.pack(f"<{len(values)}H", *values)
        return struct.pack("<I", at)

    tail = b""
    entries = []
    for tag, values in (
        (256, [width]), (257, [height]), (258, [pixels.dtype.itemsize * 8] * bands), (259, [1]),
        (262, [2]), (273, [8]), (277, [bands]), (278, [height]), (279, [len(data)]),
        (338, list(extra_samples)),
    ):  # fmt: skip
        if values:
            entries.append(struct.pack("<HHI", tag, 3, len(values)) + shorts(values))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", after) + data + tail + directory


def check(data, expected, tolerance=0):
    """Decoded pixels are the expected ones ``[C, H, W]`` and the header foretells them."""
    got = decode(data)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    difference = np.abs(got.astype(np.int64) - expected.astype(np.int64)).max()
    assert difference <= tolerance, difference
    header = probe(io.BytesIO(data))
    assert (header.channels, header.height, header.width) == got.shape
    assert header.bits == got.dtype.itemsize * 8


def chw(pixels):
    return pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF"])
def test_gray_stays_one_channel(fmt):
    check(encode(Image.fromarray(GRAY), fmt), GRAY[None])


@pytest.mark.parametrize(
    ("fmt", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
     ("WEBP", {"lossless": True})],
)  # fmt: skip
def test_rgb_is_exact_in_lossless_formats(fmt, options):
    check(encode(Image.fromarray(RGB), fmt, **options), chw(RGB))


def test_jpeg_equals_pillows_decoder():
    smooth = np.linspace(0, 255, 64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)
    for image in (Image.fromarray(smooth), Image.fromarray(smooth[..., 0])):
        for options in ({}, {"progressive": True}, {"subsampling": 0}):
            data = encode(image, "JPEG", **options)
            pillow = np.asarray(Image.open(io.BytesIO(data)))
            check(data, pillow[None] if pillow.ndim == 2 else chw(pillow), tolerance=1)


def test_palette_becomes_rgb():
    image = Image.fromarray(RGB).quantize(16)
    check(encode(image, "PNG"), chw(np.asarray(image.convert("RGB"))))


def over_white(colour, alpha, white=255):
    blended = colour.astype(float) * alpha / white + white * (1 - alpha.astype(float) / white)
    return np.floor(blended + 0.5).astype(colour.dtype)


def test_palette_with_transparency_is_composited_over_white():
    image = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50, 7, 8, 9])
    data = encode(image, "PNG", transparency=bytes([255, 0, 128]))
    half = over_white(np.array([7, 8, 9], np.uint8), np.uint8(128))
    expected = np.array([[[10, 20, 30], [255] * 3], [[255] * 3, half]], np.uint8)
    check(data, chw(expected))


def test_alpha_is_composited_over_white():
    alpha = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
    rgba = Image.fromarray(np.dstack([RGB, alpha]))
    for data in (
        encode(rgba, "PNG"),
        encode(rgba, "TIFF"),
        encode(rgba, "WEBP", lossless=True, exact=True),
    ):
        check(data, chw(over_white(RGB, alpha[..., None])))
    la = Image.fromarray(np.dstack([GRAY, alpha]))
    assert la.mode == "LA"
    check(encode(la, "PNG"), over_white(GRAY, alpha)[None])


def test_one_transparent_colour_becomes_white():
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    check(
        encode(image, "PNG", transparency=(4, 5, 6)),
        np.array([[[1, 255]], [[2, 255]], [[3, 255]]], np.uint8),
    )
    gray = Image.fromarray(np.array([[9, 8]], np.uint8))
    check(encode(gray, "PNG", transparency=8), np.array([[[9, 255]]], np.uint8))


def test_cmyk_becomes_rgb():
    inks = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 255, 255),
            (0, 255, 255, 0): (255, 0, 0), (0, 0, 0, 255): (0, 0, 0)}  # fmt: skip
    for ink, colour in inks.items():
        image = Image.new("CMYK", (16, 8), ink)
        expected = np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, 8, 16))
        check(encode(image, "TIFF"), expected)
        check(encode(image, "JPEG", quality=100), expected, tolerance=2)


def test_one_bit_becomes_black_and_white():
    bits = GRAY > 127
    for fmt in ("PNG", "TIFF", "BMP"):
        check(encode(Image.fromarray(bits), fmt), np.where(bits, 255, 0).astype(np.uint8)[None])


def test_sixteen_bit_gray_keeps_every_bit():
    for fmt in ("PNG", "TIFF"):
        check(encode(Image.fromarray(DEEP), fmt), DEEP[None])
    big_endian = Image.frombytes("I;16B", (7, 9), DEEP.astype(">u2").tobytes())
    check(encode(big_endian, "TIFF"), DEEP[None])


def test_sixteen_bit_colour_png_keeps_every_bit():
    deep = RNG.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    check(png(deep, 2), chw(deep))
    alpha = RNG.integers(0, 65536, (9, 7, 1), dtype=np.uint16)
    check(png(np.dstack([deep, alpha]), 6), chw(over_white(deep, alpha, 65535)))
    check(png(np.dstack([DEEP, alpha]), 4), over_white(DEEP, alpha[..., 0], 65535)[None])


def test_bmp_of_sixteen_bits_a_pixel_is_eight_bits_a_channel():
    # BITMAPINFOHEADER, bit fields: five bits of red, six of green, five of blue.
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    masks = struct.pack("<3I", 31 << 11, 63 << 5, 31)
    start = b"BM" + struct.pack("<IHHI", 70, 0, 0, 66) + header + masks
    data = start + struct.pack("<2H", 31 << 11, 31)
    check(data, np.array([[[255, 0]], [[0, 0]], [[0, 255]]], np.uint8))


def test_thirty_two_bit_integers_pass_only_if_they_fit():
    check(encode(Image.fromarray(DEEP.astype(np.int32)), "TIFF"), DEEP[None])
    for value in (-1, 65536):
        with pytest.raises(ValueError, match=f"{value} .*do not fit in 16 bits"):
            decode(encode(Image.new("I", (2, 2), value), "TIFF"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (encode(Image.new("F", (3, 3), 0.5), "TIFF"), "floating-point"),
        (tiff(RNG.integers(0, 65536, (4, 5, 3), dtype=np.uint16)), "16-bit colour TIFF"),
        (tiff(RNG.integers(0, 256, (4, 5, 4), dtype=np.uint8), (0,)), "4 bands"),
        (tiff(RNG.integers(0, 256, (4, 5, 5), dtype=np.uint8), (0, 0)), "5 bands"),
        (tiff(RNG.integers(0, 256, (4, 5, 12), dtype=np.uint8), (0,) * 9), "kind of pixels"),
    ],
)  # fmt: skip
def test_what_would_lose_something_is_refused_and_points_to_npy(data, why):
    for read in (lambda: decode(data), lambda: probe(io.BytesIO(data))):
        with pytest.raises(ValueError, match=why) as error:
            read()
        assert ".npy" in str(error.value) and "\n" not in str(error.value)


def test_handmade_tiff_of_three_bands_reads_right():
    check(tiff(RGB), chw(RGB))  # so that the refusals above are not about a malformed file


def test_first_frame_of_many():
    other = Image.fromarray(255 - RGB)
    for fmt, options in (("TIFF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        data = encode(Image.fromarray(RGB), fmt, save_all=True, append_images=[other], **options)
        assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 2
        check(data, chw(RGB))
    first = encode(Image.new("RGB", (16, 8), (200, 30, 40)), "JPEG")
    both = encode(
        Image.new("RGB", (16, 8), (200, 30, 40)),
        "MPO",
        save_all=True,
        append_images=[Image.new("RGB", (16, 8))],
    )
    np.testing.assert_array_equal(decode(both), decode(first))
    assert probe(io.BytesIO(both)) == probe(io.BytesIO(first))


# EXIF 2.3, tag 0x0112: where the 0th row and 0th column of the stored image belong.
UPRIGHT = {
    1: lambda x: x,  # top, left
    2: lambda x: x[:, ::-1],  # top, right
    3: lambda x: x[::-1, ::-1],  # bottom, right
    4: lambda x: x[::-1],  # bottom, left
    5: lambda x: x.swapaxes(0, 1),  # left, top
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],  # right, top
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda x: x.swapaxes(0, 1)[::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "PNG16", "JPEG-reduced"])
def test_exif_orientation(fmt, orientation):
    stored = np.kron(
        RNG.integers(0, 256, (2, 3, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8)
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    if fmt == "PNG16":
        image, fmt, options = Image.fromarray(stored[..., 0].astype(np.uint16) * 257), "PNG", {}
        expected = UPRIGHT[orientation](np.asarray(image))[None]
    else:
        image = Image.fromarray(stored)
        expected = chw(UPRIGHT[orientation](stored))
        options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(
            fmt.removesuffix("-reduced"), {}
        )
    data = encode(image, fmt.removesuffix("-reduced"), exif=exif, **options)
    if fmt == "JPEG-reduced":
        got = decode(data, at_least=16).astype(int)  # 32 x 48 pixels by a half
        np.testing.assert_allclose(got, expected[:, ::2, ::2], atol=3)
    else:
        check(data, expected, tolerance=3 if fmt == "JPEG" else 0)


def test_one_pixel():
    for fmt in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        assert decode(encode(Image.new("RGB", (1, 1)), fmt)).shape == (3, 1, 1)


def test_a_jpeg_is_reduced_only_as_far_as_allowed():
    data = encode(Image.new("RGB", (90, 64)), "JPEG")
    assert decode(data).shape == (3, 64, 90)
    assert decode(data, at_least=33).shape == (3, 64, 90)
    assert decode(data, at_least=32).shape == (3, 32, 45)
    assert decode(data, at_least=10).shape == (3, 16, 23)
    assert decode(encode(Image.new("RGB", (90, 64)), "PNG"), at_least=8).shape == (3, 64, 90)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_truncated_file_is_refused(fmt, keep):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), fmt)
    with pytest.raises((ValueError, OSError, SyntaxError)):
        decode(data[: int(keep * len(data))])


@pytest.mark.parametrize("data", [b"", b"this is text", b"\xff\xd8\xff", b"II*\0"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises((ValueError, OSError)):
        decode(data)
    with pytest.raises((ValueError, OSError)):
        probe(io.BytesIO(data))
