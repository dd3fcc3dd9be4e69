"""Makes the library installable with pip where no ROS is wanted; what it consists of stands in pyproject.toml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import setup


def package_version() -> str:
    """The version in package.xml, the only place where it stands."""
    version = ElementTree.parse(Path(__file__).with_name("package.xml")).findtext("version")
    if not version:
        raise ValueError("package.xml: <version> is missing or empty; it holds the version of the library as well")
    return version.strip()


setup(version=package_version())
