"""The S3 protocol, for storage that is no local folder."""

from __future__ import annotations

from tests.s3 import s3, s3_server

__all__ = ["s3", "s3_server"]
