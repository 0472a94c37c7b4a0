"""Encoded bytes to pixels: every file format and colour mode becomes gray or RGB, 8 or 16 bit.

What becomes of each:
    1-bit and gray                       one channel, 8 bit
    16-bit gray (PNG, TIFF)              one channel, 16 bit
    16-bit colour PNG                    three channels, 16 bit
    RGB, palette, CMYK, YCbCr, Lab       three channels, 8 bit
    any alpha or transparent colour      composited over white, then gray or RGB as above
    32-bit integers                      16 bit where every value fits, else refused
    floating point, 16-bit colour TIFF, TIFF with more bands than gray, RGB or RGBA    refused
Animations and multi-page files give their first frame. EXIF orientation is applied to all, where
the EXIF comes before the pixels (a PNG may have it after).
"""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ownlatent.data.pixels import Header, Pixels

# Nothing else is tried: some of Pillow's other decoders start programs or fetch files.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
_GRAY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_JPEG_START = b"\xff\xd8\xff"
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION, _SAMPLES_PER_PIXEL = 274, 277  # TIFF and EXIF tags
_USE_NPY = "save it as a uint8 or uint16 .npy array, which takes any number of channels"


def probe(file: Path | io.BytesIO) -> Header:
    """An image's size, channels and depth as `decode` will give them, from its header alone.

    Raises ValueError where `decode` would refuse the kind of pixels.
    """
    with _open(file) as image:
        width, height = image.size
        if _has_exif(image) and image.getexif().get(_ORIENTATION, 1) >= 5:
            width, height = height, width
        channels, bits = 1 if _is_gray(image) else 3, 16 if _is_deep(image) else 8
        return Header(height, width, channels, bits)


def decode(data: bytes, *, at_least: int | None = None) -> Pixels:
    """An encoded image as uint8 or uint16 ``[C, H, W]``; see the table above.

    Args:
        data: the whole file.
        at_least: if given, a JPEG may come smaller by a factor of 2, 4 or 8 (libjpeg drops
            frequencies, which is fast) as long as both sides keep this many pixels.

    Raises:
        ValueError, OSError or whatever the decoder makes of damaged data.
    """
    if at_least is None and data.startswith(_JPEG_START):
        pixels = _decode_jpeg(data)
        if pixels.shape[0] in (1, 3):  # CMYK is left to Pillow
            return pixels
    with _open(io.BytesIO(data)) as image:
        if at_least is not None:
            image.draft(None, (at_least, at_least))  # does nothing to other formats
        if image.format == "PNG" and _is_deep(image):
            return _decode_deep_png(data)
        return _plain(ImageOps.exif_transpose(image) if _has_exif(image) else image)


def _open(file: Path | io.BytesIO) -> Image.Image:
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        if isinstance(file, Path):
            with file.open("rb") as stream:
                start = stream.read(4)
        else:
            start = file.getvalue()[:4]
        if start in _TIFF_STARTS:
            raise ValueError(f"a TIFF whose kind of pixels is not known here: {_USE_NPY}") from None
        raise ValueError("not a JPEG, PNG, WebP, TIFF or BMP image") from None
    refusal = _refusal(image)
    if refusal:
        image.close()
        raise ValueError(f"{refusal}: {_USE_NPY}")
    return image


def _refusal(image: Image.Image) -> str | None:
    """Why this kind of pixels would lose something unsaid, if it would."""
    if image.mode == "F":
        return "floating-point pixels have no fixed range"
    if image.format == "TIFF":
        bands = getattr(image, "tag_v2", {}).get(_SAMPLES_PER_PIXEL, 1)
        if bands > len(image.getbands()):
            return f"a TIFF of {bands} bands would lose all but three"
        if _is_deep(image) and image.mode not in _GRAY:
            return "a 16-bit colour TIFF would lose half its bits"
    return None


def _has_exif(image: Image.Image) -> bool:
    """Whether there is EXIF to obey (and for a PNG, whether before its pixels: Pillow would decode
    them all to look behind them). A TIFF's Pillow obeys by itself, in its size too."""
    return "exif" in image.info


def _is_gray(image: Image.Image) -> bool:
    # Pillow opens a 16-bit gray PNG with alpha as RGBA.
    return image.mode in _GRAY or _layout(image) == "LA;16B"


def _is_deep(image: Image.Image) -> bool:
    """Whether the file holds 16 bits a channel; Pillow's mode alone hides it for colour."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return True
    return image.format in ("PNG", "TIFF") and ";16" in _layout(image)  # a BMP's is 16 bits in all


def _layout(image: Image.Image) -> str:
    """Pillow's name for the pixels as they lie in the file, before it has read them."""
    tiles = getattr(image, "tile", [])
    layout = tiles[0].args if tiles else ""
    return str(layout[0] if isinstance(layout, tuple) else layout)


def _decode_jpeg(data: bytes) -> Pixels:
    from torchvision.io import decode_jpeg  # slow to import, and not always needed

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        pixels: Pixels = decode_jpeg(encoded, apply_exif_orientation=True).numpy()
    except RuntimeError as error:
        raise ValueError("a JPEG that is truncated or damaged") from error
    return pixels


def _decode_deep_png(data: bytes) -> Pixels:
    from torchvision.io import decode_png

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    pixels: Pixels = decode_png(encoded, apply_exif_orientation=True).numpy()
    return _over_white(pixels) if pixels.shape[0] in (2, 4) else pixels


def _plain(image: Image.Image) -> Pixels:
    if image.mode == "I":
        return _sixteen_bits(np.asarray(image))
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[None]
    mode = "L" if image.mode in _GRAY else "RGB"
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA")).transpose(2, 0, 1)
        return _over_white(rgba[[0, 3]] if mode == "L" else rgba)
    pixels = np.asarray(image.convert(mode))
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _sixteen_bits(values: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> Pixels:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"32-bit values from {low} to {high} do not fit in 16 bits: rescale them")
    return values.astype(np.uint16)[None]


def _over_white(pixels: Pixels) -> Pixels:
    """``[C + 1, H, W]``, alpha last and not premultiplied, over white: ``[C, H, W]``, rounded."""
    white = int(np.iinfo(pixels.dtype).max)
    wide = pixels.astype(np.uint32)  # 65535² + 65535 / 2 still fits
    colour, alpha = wide[:-1], wide[-1:]
    blended = (colour * alpha + white * (white - alpha) + white // 2) // white
    return blended.astype(pixels.dtype)
