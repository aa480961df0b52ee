"""Where sessions' folders are kept: `[sessions]` in dirigent.toml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._-]+)*/?")


def _address(value: str) -> str:
    if value and not ADDRESS.fullmatch(value):
        raise ValueError("must be an address such as s3://bucket or s3://bucket/prefix")
    return value


class Sessions(BaseModel):
    """Where the files of conversations are kept, so that several hosts work on the same ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    folder: Path | None = None
    """The folder with a folder for each conversation, such as one that several hosts share; default: `sessions/` in the
    home. On NFS it takes version 4 with locks that work (no `nolock`); the journal has to be in PostgreSQL then, and
    what one host has written another sees when its cache of attributes allows (`actimeo=1` or less is best)."""
    storage: Annotated[str, AfterValidator(_address)] = ""
    """S3-compatible storage in which the files are kept, such as `s3://bucket/prefix`. Each host then works on a copy
    in its home, which is brought up to date where it is needed; edit nothing in that copy by hand. Links, pipes and
    empty folders are not kept. Whoever may write there has the say over conversations, so keep it as safe as the home.
    `dirigent migrate-sessions` takes files there and back."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    """Root of the storage's server, such as `http://minio:9000`; default: Amazon's."""
    region: str = "us-east-1"
    """The storage's region."""
    access_key: SecretStr | None = None
    """The storage's access key id; without it what AWS_ACCESS_KEY_ID or the machine's own role says."""
    secret_key: SecretStr | None = None
    """The secret key to it. `DIRIGENT_SESSIONS__SECRET_KEY`, or `…_FILE` for a file with it."""
    virtual_hosted: bool = False
    """Whether the bucket's name is part of the server's (`bucket.server/…`) instead of the path (`server/bucket/…`)."""
    transfers: Annotated[int, Field(ge=1, le=256)] = 8
    """Files that are fetched or kept at the same time; each takes up to 8 MB of memory."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.folder is not None and self.storage:
            raise ValueError("takes either folder or storage")
        return self

    @property
    def address(self) -> str:
        """The storage without a slash at its end, "" for none."""
        return self.storage.rstrip("/")
