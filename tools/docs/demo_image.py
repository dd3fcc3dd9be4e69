"""Makes docs/images/demo.jpg from the results of `make demo`.

python tools/docs/demo_image.py out/demo
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images" / "demo.jpg"
WIDTH = 1300  # pixels


def main() -> int:
    """Scale the overlay in the folder given on the command line down to the documentation's width."""
    overlay = Path(sys.argv[1]) / "overlay.png"
    image = cv2.imread(str(overlay))
    if image is None:
        print(f"{overlay} is missing; run `make demo`", file=sys.stderr)
        return 1
    size = (WIDTH, round(image.shape[0] * WIDTH / image.shape[1]))
    cv2.imwrite(str(TARGET), cv2.resize(image, size, interpolation=cv2.INTER_AREA), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return 0


if __name__ == "__main__":
    sys.exit(main())
