"""Decoding once: shapes, values against Pillow, skipping, order, statistics, overlap."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import ownlatent.data.decoding as decoding
from ownlatent.data import decode_canvases, open_source, overlap, sample_id
from ownlatent.data.canvas import CanvasShape, to_canvas
from ownlatent.data.source import Source
from ownlatent.errors import UsageError

RNG = np.random.default_rng(2)


def photo(height, width, channels=3):
    """Smooth, as photos mostly are, with some noise."""
    coarse = RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = np.clip(smooth + RNG.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
    return noisy if channels == 3 else noisy[..., 0]


def save(root, name, pixels, **options):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def mixed(tmp_path):
    """Gray and RGB of different sizes in two classes."""
    for index in range(12):
        size, channels = (20 + 3 * index, 50 - 2 * index), 1 if index in (0, 4, 11) else 3
        save(tmp_path / "mixed", f"{'ab'[index % 2]}/{index:02}.png", photo(*size, channels))
    return tmp_path / "mixed"


def test_canvases_are_pillows_antialiased_bicubic_and_gray_is_repeated(mixed):
    canvases = decode_canvases(open_source(mixed, labelled=True), side=24)
    assert canvases.pixels.shape == (12, 3, 24, 24) and canvases.pixels.dtype == torch.uint8
    for row, name in enumerate(canvases.names):
        image = Image.open(mixed / name)
        assert canvases.sizes[row].tolist() == [image.height, image.width]
        expected = image.resize((24, 24), Image.Resampling.BICUBIC).convert("RGB")
        got = canvases.pixels[row].permute(1, 2, 0).numpy().astype(int)
        assert np.abs(got - np.asarray(expected)).max() <= 1
    assert canvases.ids.tolist() == [sample_id(name) for name in canvases.names]
    assert canvases.labels.tolist() == [0] * 6 + [1] * 6 and canvases.classes == ["a", "b"]
    assert (canvases.sizes.dtype, canvases.ids.dtype) == (torch.int32, torch.int64)


def test_only_gray_stays_one_channel(tmp_path):
    save(tmp_path, "1.png", photo(8, 8, 1))
    save(tmp_path, "2.jpg", photo(9, 8, 1))
    assert decode_canvases(open_source(tmp_path)).pixels.shape == (2, 1, 9, 9)


def test_the_side(mixed):
    """1.15 view sizes, at least 64, at most the data's largest dimension; one fitting size is
    kept."""

    def shape(source, **options):
        return tuple(decode_canvases(source, **options).pixels.shape[2:])

    source = open_source(mixed)  # 20 to 53 by 28 to 50
    assert shape(source) == shape(source, view_size=32) == (53, 53)
    assert shape(source, side=80) == (80, 80)
    even = open_source(RNG.integers(0, 256, (3, 90, 120, 3), dtype=np.uint8))
    assert shape(even) == shape(even, side=120) == shape(even, view_size=105) == (90, 120)
    assert shape(even, side=119) == (119, 119)
    assert shape(even, view_size=100) == (115, 115)
    assert shape(even, view_size=70) == (80, 80)  # 80.5, to even
    assert shape(even, view_size=24) == (64, 64)


def test_sixteen_bits_of_many_channels_against_pillows_float(tmp_path):
    images = RNG.integers(0, 65536, (3, 5, 40, 30), dtype=np.uint16)
    images[0, 0, :20] = 65535  # so that bicubic overshoots
    kept = decode_canvases(open_source(images), side=40)
    assert kept.pixels.dtype == torch.uint16 and kept.pixels.shape == (3, 5, 40, 30)
    np.testing.assert_array_equal(kept.pixels.numpy(), images)
    canvases = decode_canvases(open_source(images), side=16)
    for row in range(3):
        for channel in range(5):
            plane = Image.fromarray(images[row, channel].astype(np.float32))
            wanted = np.asarray(plane.resize((16, 16), Image.Resampling.BICUBIC)).clip(0, 65535)
            got = canvases.pixels[row, channel].numpy().astype(float)
            assert np.abs(got - wanted).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_canvas_is_the_same_however_the_pixels_lie(channels):
    """Decoders give channels last, arrays channels first: torch resizes them along other paths."""
    planes = RNG.integers(0, 256, (channels, 61, 47), dtype=np.uint8)
    interleaved = np.ascontiguousarray(planes.transpose(1, 2, 0)).transpose(2, 0, 1)
    shape = CanvasShape(3, 40, 40, 8)
    np.testing.assert_array_equal(to_canvas(planes, shape), to_canvas(interleaved, shape))


def test_depths_do_not_mix(tmp_path):
    save(tmp_path, "eight.png", photo(8, 8, 1))
    save(tmp_path, "sixteen.png", photo(8, 8, 1).astype(np.uint16))
    with pytest.raises(UsageError, match=r"8-bit images \(eight\.png\).*16-bit.*\(sixteen\.png\)"):
        decode_canvases(open_source(tmp_path))


def test_workers_change_nothing_and_progress_counts(mixed, monkeypatch):
    monkeypatch.setattr(decoding, "_LARGEST_BLOCK", 5)
    monkeypatch.setattr(decoding, "_SMALLEST_BLOCK", 1)
    seen = []
    source = open_source(mixed)
    one = decode_canvases(source, workers=1, progress=lambda *done: seen.append(done))
    assert seen == [(5, 12), (10, 12), (12, 12)]
    many = decode_canvases(source, workers=7)
    assert torch.equal(one.pixels, many.pixels) and one.fingerprint == many.fingerprint
    assert one.names == many.names and np.array_equal(one.digests, many.digests)


def test_decoding_leaves_torchs_threads_as_they_were(mixed):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        decode_canvases(open_source(mixed))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_unreadable_images_are_skipped_and_the_rest_stay_aligned(mixed):
    whole = decode_canvases(open_source(mixed, labelled=True), side=24)
    (mixed / "a/04.png").write_text("not an image")  # seen in the header
    data = (mixed / "b/07.png").read_bytes()
    (mixed / "b/07.png").write_bytes(data[: len(data) // 2])  # seen while decoding
    canvases = decode_canvases(open_source(mixed, labelled=True), side=24)
    assert [name for name, _ in canvases.skipped] == ["a/04.png", "b/07.png"]
    assert "2 unreadable skipped" in canvases.summary() and "10 images" in canvases.summary()
    rows = [whole.names.index(name) for name in canvases.names]
    assert len(rows) == len(canvases) == 10
    for field in ("pixels", "sizes", "ids", "labels"):
        assert torch.equal(getattr(canvases, field), getattr(whole, field)[rows]), field
    assert np.array_equal(canvases.digests, whole.digests[rows])
    assert canvases.fingerprint != whole.fingerprint


def broken(root, whole, text, cut):
    """Whole images, files of text, and images cut in half."""
    file = io.BytesIO()
    Image.fromarray(photo(16, 16)).save(file, "PNG")
    for index in range(whole + text + cut):
        data = file.getvalue()
        data = data if index < whole else data[: len(data) // 2] if index < whole + cut else b"x"
        (root / f"{index:04}.png").write_bytes(data)
    return open_source(root)


def test_too_many_unreadable_images_end_it(tmp_path):
    for whole, text, cut, ends in ((3, 5, 5, False), (3, 6, 5, True), (3, 11, 0, True),
                                   (3, 0, 11, True), (1089, 6, 5, False),
                                   (1089, 6, 6, True)):  # fmt: skip
        root = tmp_path / f"{whole}-{text}-{cut}"
        root.mkdir()
        source = broken(root, whole, text, cut)
        if ends:
            with pytest.raises(UsageError, match=f"only {whole:,} of the .* can be read"):
                decode_canvases(source)
        else:
            assert len(decode_canvases(source)) == whole


@pytest.mark.parametrize(("text", "cut"), [(2, 0), (0, 2), (1, 1)])
def test_nothing_decodable(tmp_path, text, cut):
    with pytest.raises(UsageError, match=r"none of the 2 images .* can be read") as error:
        decode_canvases(broken(tmp_path, 0, text, cut))
    assert "0000.png: " in str(error.value) and "\n" not in str(error.value)


def test_a_large_jpeg_is_decoded_reduced_and_looks_the_same(tmp_path, monkeypatch):
    save(tmp_path, "1.jpg", photo(400, 600), quality=90)
    asked = []
    read = Source.read_with_digest

    def spy(self, index, at_least=None):
        asked.append(at_least)
        return read(self, index, at_least)

    monkeypatch.setattr(Source, "read_with_digest", spy)
    source = open_source(tmp_path)
    canvases = decode_canvases(source, side=64)
    decode_canvases(source, side=101)
    assert asked == [128, None]  # at least four times the canvas, and not
    assert canvases.sizes.tolist() == [[400, 600]]
    image = Image.open(tmp_path / "1.jpg").resize((64, 64), Image.Resampling.BICUBIC)
    error = canvases.pixels[0].permute(1, 2, 0).double() - torch.from_numpy(np.array(image))
    assert 10 * np.log10(255**2 / error.square().mean().item()) > 45  # dB


def test_a_reversed_view_of_an_array():
    images = RNG.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    canvases = decode_canvases(open_source(images[::-1, :, ::-1]))
    expected = images[::-1, :, ::-1].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(canvases.pixels.numpy(), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_batches(dtype):
    images = RNG.integers(0, np.iinfo(dtype).max, (7, 6, 5, 3), dtype=dtype)
    canvases = decode_canvases(open_source(images))
    rows = torch.tensor([5, 0, 5])
    pixels, sizes, ids = canvases.batch(rows, "cpu")
    assert pixels.is_contiguous() and pixels.numpy().dtype == dtype
    np.testing.assert_array_equal(pixels.numpy(), images[[5, 0, 5]].transpose(0, 3, 1, 2))
    assert sizes.tolist() == [[6, 5]] * 3
    assert ids.tolist() == [sample_id(f"row:{row}") for row in (5, 0, 5)]


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_channel_statistics_are_those_of_numpy(dtype, white):
    images = RNG.integers(0, white, (40, 6, 5, 3), dtype=dtype)
    images[..., 2] = 7
    mean, deviation = decode_canvases(open_source(images)).channel_statistics()
    scaled = images.astype(np.float64).reshape(-1, 3) / white
    np.testing.assert_allclose(mean, scaled.mean(0), rtol=1e-6)
    np.testing.assert_allclose(deviation, scaled.std(0), rtol=1e-6, atol=1e-6)


def test_channel_statistics_look_at_the_whole_range_of_rows():
    images = np.repeat(np.arange(256, dtype=np.uint8), 16)[:, None, None, None]
    mean, _ = decode_canvases(open_source(images)).channel_statistics()
    assert abs(mean.item() - 0.5) < 1e-3


def test_overlap_counts_the_second_sets_samples(tmp_path):
    for name in ("train/1.png", "train/2.png", "test/9.png"):
        save(tmp_path, name, photo(8, 8))
    data = (tmp_path / "train/1.png").read_bytes()
    (tmp_path / "test/copy.png").write_bytes(data)
    (tmp_path / "test/again.png").write_bytes(data)
    train, test = (decode_canvases(open_source(tmp_path / part)) for part in ("train", "test"))
    assert (overlap(train, test), overlap(test, train), overlap(train, train)) == (2, 1, 2)


def test_the_fingerprint_changes_with_one_byte(tmp_path):
    save(tmp_path, "1.bmp", photo(8, 8))
    before = decode_canvases(open_source(tmp_path)).fingerprint
    assert decode_canvases(open_source(tmp_path)).fingerprint == before
    data = bytearray((tmp_path / "1.bmp").read_bytes())
    data[-1] ^= 1
    (tmp_path / "1.bmp").write_bytes(data)
    assert decode_canvases(open_source(tmp_path)).fingerprint != before


@pytest.mark.parametrize("option", ["side", "view_size", "workers"])
def test_options_below_one_are_refused(option):
    with pytest.raises(UsageError, match=f"{option} is 0: it must be at least 1"):
        decode_canvases(open_source(np.zeros((2, 8, 8), np.uint8)), **{option: 0})
