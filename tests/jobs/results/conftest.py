"""A browser for pages, and the S3 protocol."""

from __future__ import annotations

from tests.browser import browser
from tests.s3 import s3, s3_server

__all__ = ["browser", "s3", "s3_server"]
