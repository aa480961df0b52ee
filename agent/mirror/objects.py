"""Objects in S3-compatible storage: the only door to the library, whose faults leave it as Dirigent's errors.

A fault is one of three: the storage cannot be reached just now (StorageFailed), it refuses (StorageUnusable), or an
object is not what the caller takes it for (`Conflict`).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import obstore
from obstore import exceptions
from obstore.store import S3Store

from agent.errors import StorageFailed, StorageUnusable
from agent.texts import mark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from obstore.store import ObjectStore

    from agent.config.sessions import Sessions

CONNECT_SECONDS, CALL_SECONDS = 5, 60
RETRIES, RETRY_SECONDS = 3, 10  # of a single call; whoever calls waits on and on
PIECE = 8 << 20
HINT = "`dirigent doctor` tries it; see [sessions] in `dirigent settings`."
UNREACHABLE = mark("The storage of sessions' files ({address}) cannot be reached: {why}.")
REFUSES = mark("The storage of sessions' files ({address}) refuses: {why}.")
AGAIN = mark("It is tried again.")
REFUSALS = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidAccessKeyId": "it does not know the access key",
    "SignatureDoesNotMatch": "the secret key does not fit",
    "InvalidBucketName": "that is no name of a bucket",
    "AuthorizationHeaderMalformed": "the region is another",
    "PermanentRedirect": "the region or the endpoint is another",
}


class Conflict(Exception):
    """An object has changed, has come or gone since it was looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object of a listing; `etag` changes with its content, `size` is in bytes."""

    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Got:
    """An object's small content with its etag and attributes."""

    data: bytes
    etag: str
    about: Mapping[str, str]


class Objects:
    """The objects below one address, such as `s3://bucket/prefix`. Keys are relative to it."""

    def __init__(self, store: ObjectStore, address: str) -> None:
        self._store = store
        self.address = address

    async def listed(self, prefix: str, *, deep: bool = True) -> dict[str, Found]:
        """Return key → what is known of it for all objects in the folder `prefix`; without `deep` not those below."""
        with self._told():
            if deep:
                metas: Sequence[Any] = await obstore.list(self._store, prefix, chunk_size=1000).collect_async()
            else:
                metas = (await obstore.list_with_delimiter_async(self._store, prefix))["objects"]
        return {str(meta["path"]): Found(_etag(meta), int(meta["size"])) for meta in metas}

    async def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders in the folder `prefix`, sorted."""
        with self._told():
            found = await obstore.list_with_delimiter_async(self._store, prefix)
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    async def get(self, key: str, *, unless: str = "") -> Got | None:
        """Return a small object; None when there is none. Raises Conflict when it still has the etag `unless`."""
        with self._told():
            try:
                result = await obstore.get_async(self._store, key, options={"if_none_match": unless} if unless else {})
                data = bytes(await result.bytes_async())
            except FileNotFoundError as error:
                if _refusal(str(error)):
                    raise
                return None
        return Got(data, _etag(result.meta), {str(name): value for name, value in result.attributes.items()})

    async def about(self, key: str) -> dict[str, str]:
        """Return an object's attributes. Raises Conflict when there is none."""
        with self._told():
            result = await obstore.get_async(self._store, key, options={"head": True})
        return {str(name): value for name, value in result.attributes.items()}

    async def pieces(self, key: str, found: Found) -> AsyncIterator[bytes]:
        """Yield a large object's content in pieces of 8 MB. Raises Conflict when it is another one by now."""
        for start in range(0, found.size, PIECE):
            with self._told():
                end = min(start + PIECE, found.size)
                result = await obstore.get_async(
                    self._store, key, options={"range": (start, end), "if_match": found.etag}
                )
                piece = bytes(await result.bytes_async())
            if len(piece) != end - start:
                raise Conflict(key)
            yield piece

    async def put(
        self,
        key: str,
        data: bytes | Iterator[bytes],
        about: Mapping[str, str] | None = None,
        *,
        replacing: str | None = None,
    ) -> str:
        """Write an object whole or not at all and return its etag.

        With `replacing` only in the place of the object with that etag ("" for none): Conflict when it is not there.
        """
        mode: Any = None if replacing is None else {"e_tag": replacing} if replacing else "create"
        with self._told():
            made = await obstore.put_async(self._store, key, data, attributes=dict(about or {}), mode=mode)
        return str(made["e_tag"] or made["version"] or "")

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is gone already is passed over."""
        with self._told(), contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store, list(keys))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.PreconditionError, exceptions.AlreadyExistsError, exceptions.NotModifiedError) as error:
            raise Conflict(str(error)) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise self._unusable(_refusal(str(error)) or "it denies access with this key") from None
        except FileNotFoundError as error:
            if said := _refusal(str(error)):
                raise self._unusable(said) from None
            raise Conflict(str(error)) from None
        except (exceptions.BaseError, OSError, ValueError) as error:
            if said := _refusal(str(error)):
                raise self._unusable(said) from None
            said = UNREACHABLE.format(address=self.address, why=_shortly(error))
            raise StorageFailed(said, hint=AGAIN) from None

    def _unusable(self, why: str) -> StorageUnusable:
        return StorageUnusable(REFUSES.format(address=self.address, why=why), hint=HINT)


def _refusal(said: str) -> str:
    return next((words for code, words in REFUSALS.items() if f"<Code>{code}" in said), "")


def _shortly(error: BaseException) -> str:
    """Return what went wrong without addresses and headers, in a few words."""
    first = str(error).strip().split("\n")[0]
    return first.rpartition(" - ")[2].partition(": <")[0].rstrip(".")[:160] or type(error).__name__


def _etag(meta: Any) -> str:
    return str(meta["e_tag"] or meta["version"] or meta["last_modified"])


def open_objects(settings: Sessions) -> Objects:
    """Return the objects that `[sessions]` names. Nothing is called yet. Raises StorageUnusable for odd settings."""
    if (settings.access_key is None) != (settings.secret_key is None):
        said = "sessions.access_key and sessions.secret_key belong together, and one of them is missing."
        raise StorageUnusable(said, hint=HINT)
    bucket, _, prefix = settings.address.removeprefix("s3://").partition("/")
    given: dict[str, Any] = {
        "region": settings.region,
        "virtual_hosted_style_request": settings.virtual_hosted,
        "endpoint": settings.endpoint,
        "access_key_id": settings.access_key.get_secret_value() if settings.access_key else None,
        "secret_access_key": settings.secret_key.get_secret_value() if settings.secret_key else None,
    }
    plain = (settings.endpoint or "").startswith("http://")
    try:
        store = S3Store(
            bucket,
            prefix=prefix or None,
            config=cast("Any", {name: value for name, value in given.items() if value is not None}),
            client_options={
                "allow_http": plain,
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=CALL_SECONDS),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        )
    except (exceptions.BaseError, ValueError) as error:
        raise StorageUnusable(f"{settings.address} cannot be used: {_shortly(error)}.", hint=HINT) from None
    return Objects(store, settings.address)
