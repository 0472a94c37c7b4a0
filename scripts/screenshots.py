"""Make the pictures in docs/ again: the report on a desktop and on a phone, and a comparison.

    python scripts/screenshots.py runs/demo/report.html comparison.html
    python scripts/screenshots.py --measured runs/cells/report.html

Needs Debian's ``chromium`` (``apt-get install chromium``), which runs without a window and is told
to ask for nothing from outside.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MEASURED = (
    "<style>header, details, footer, section:not(:has(.confusion, .overlays)) { display: none }"
    "section { margin-top: 0 !important; padding-bottom: 40px }</style>"
)
TALL = 12_000  # longer than any page; what stays empty is cut off


def shoot(
    page: Path, out: Path, *, width: int, scale: float = 1, height: int | None = None
) -> None:
    """A picture of ``page`` as a window ``width`` pixels wide shows it, from the top.

    The page stands in a frame: a window cannot be as narrow as a phone, a frame can.
    """
    with tempfile.TemporaryDirectory() as folder:
        frame, picture = Path(folder, "frame.html"), Path(folder, "picture.png")
        frame.write_text(
            "<!doctype html><body style='margin:0'>"
            f"<iframe src='{page.resolve().as_uri()}' style='border:0;display:block' "
            f"width={width} height={TALL}></iframe>"
        )
        command = [
            "chromium",
            *FLAGS,
            f"--user-data-dir={folder}/profile",
            f"--window-size={max(width, 600)},{TALL}",
            f"--force-device-scale-factor={scale}",
            f"--screenshot={picture}",
            frame.as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        shown = Image.open(picture).convert("RGB")
    shown = shown.crop((0, 0, round(width * scale), shown.height))
    paper = Image.new("RGB", shown.size, shown.getpixel((1, shown.height - 1)))
    bottom = ImageChops.difference(shown, paper).getbbox()[3] + round(40 * scale)
    if height is not None:
        bottom = min(bottom, round(height * scale))
    shown = shown.crop((0, 0, shown.width, bottom))
    out.parent.mkdir(parents=True, exist_ok=True)
    shown.quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"{out}: {shown.width} x {shown.height}, {out.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, nargs="?", help="a run's report.html")
    parser.add_argument("comparison", type=Path, nargs="?", help="a comparison.html")
    parser.add_argument("--measured", type=Path, help="a report.html; what it measured is shown")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pictures go")
    given = parser.parse_args()
    if given.measured is not None:
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder, "part.html")
            part.write_text(given.measured.read_text().replace("</head>", MEASURED + "</head>", 1))
            shoot(part, given.docs / "evaluation.png", width=1100)
            shoot(part, given.docs / "evaluation-phone.png", width=390, scale=2, height=2600)
    if given.report is not None:
        shoot(given.report, given.docs / "report.png", width=1100)
        shoot(given.report, given.docs / "report-phone.png", width=390, scale=2, height=2600)
    if given.comparison is not None:
        shoot(given.comparison, given.docs / "comparison.png", width=1100)


if __name__ == "__main__":
    main()
