"""Make the library installable with pip, without ROS; pyproject.toml describes it."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import setup


def package_version() -> str:
    """Return the version in package.xml, the only place that states it."""
    version = ElementTree.parse(Path(__file__).with_name("package.xml")).findtext("version")
    if not version:
        raise ValueError("package.xml: <version> is missing or empty; the library takes its version from there")
    return version.strip()


setup(version=package_version())
