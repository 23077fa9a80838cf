"""A file on its way to an S3 server: in one piece, or in parts that are sent side by side."""

import base64
import hashlib
import logging
import mimetypes
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdth.errors import StorageError
from mdth.storage.retry import Failed

if TYPE_CHECKING:
    from mdth.storage.s3 import S3Files

log = logging.getLogger("mdth")

FORGOTTEN = timedelta(days=1)  # no upload takes that long: whoever began it is gone


class Upload:
    """One file; `run` stores it, where it appears complete or not at all."""

    def __init__(self, files: "S3Files", source: Path, path: str) -> None:
        self._files, self._source, self._path = files, source, path
        self._size = source.stat().st_size
        self._part_size = files.settings.part_size(self._size)

    def run(self) -> None:
        """Store it. Raises StorageError, OSError when the source cannot be read."""
        content_type, _ = mimetypes.guess_type(self._path)
        about = {"ContentType": content_type} if content_type else {}
        if self._size > self._part_size:
            self._send_parts(about)
        else:
            block = self._source.read_bytes()
            self._call("put_object", Body=block, ContentMD5=_md5(block), **about)

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._files.call(
            method, self._files.where(self._path), Key=self._files.key(self._path), **arguments
        )

    def _send_parts(self, about: dict[str, str]) -> None:
        self._abort_forgotten()
        upload: str = self._call("create_multipart_upload", **about)["UploadId"]
        count = -(-self._size // self._part_size)
        pool = ThreadPoolExecutor(self._files.settings.parallel, thread_name_prefix="mdth-upload")
        try:
            sent = pool.map(lambda number: self._send_part(upload, number), range(1, count + 1))
            self._complete(upload, list(sent))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            self._abort(upload)
            raise
        finally:
            pool.shutdown()

    def _send_part(self, upload: str, number: int) -> dict[str, Any]:
        """Part `number`, from 1; read here, so that no more parts than threads are in memory."""
        start = (number - 1) * self._part_size
        with self._source.open("rb") as file:
            file.seek(start)
            block = file.read(self._part_size)
        if len(block) != min(self._part_size, self._size - start):
            raise OSError("the file changed while it was sent")
        answer = self._call(
            "upload_part", UploadId=upload, PartNumber=number, Body=block, ContentMD5=_md5(block)
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(self, upload: str, parts: list[dict[str, Any]]) -> None:
        """Make the file appear. An answer that was lost is no failure if the file is there."""
        listed = {"Parts": parts}
        try:
            self._call("complete_multipart_upload", UploadId=upload, MultipartUpload=listed)
        except Failed as error:
            if error.code != "NoSuchUpload" or not self._is_there(parts):
                raise

    def _is_there(self, parts: list[dict[str, Any]]) -> bool:
        """Whether the store holds this very content."""
        key, where = self._files.key(self._path), self._files.where(self._path)
        answer = self._files.call("list_objects_v2", where, Prefix=key, MaxKeys=1)
        for found in answer.get("Contents", []):
            if found["Key"] == key and found["Size"] == self._size:
                return found["ETag"].strip('"') in self._etags(parts)
        return False

    def _etags(self, parts: list[dict[str, Any]]) -> set[str]:
        """What servers call the whole: the MD5 of the parts' MD5s, or that of the content."""
        digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
        joined = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        with self._source.open("rb") as file:
            whole = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        return {f"{joined}-{len(parts)}", whole.hexdigest()}

    def _abort(self, upload: str) -> None:
        _abort(self._files, self._files.key(self._path), upload)

    def _abort_forgotten(self) -> None:
        """Take back uploads of this file whose process was killed, after a day."""
        abort_forgotten(self._files, self._path)


def abort_forgotten(files: "S3Files", path: str, *, below: bool = False) -> None:
    """Take back the uploads of a file, or of all `below` a folder, that were begun a day ago."""
    key = files.key(path) + "/" * below
    try:
        answer = files.call("list_multipart_uploads", files.where(path), Prefix=key)
    except StorageError as error:  # not every server and not every permission has it
        log.info("cannot look for forgotten uploads: %s", error)
        return
    for upload in answer.get("Uploads", []):
        began = upload.get("Initiated")
        if (below or upload["Key"] == key) and began and began < datetime.now(UTC) - FORGOTTEN:
            _abort(files, upload["Key"], upload["UploadId"])


def _abort(files: "S3Files", key: str, upload: str) -> None:
    """Take back what was sent; what cannot be taken back now goes with a later upload."""
    try:
        files.call("abort_multipart_upload", key, Key=key, UploadId=upload)
    except StorageError as error:
        log.warning("an unfinished upload stays: %s", error)


def _md5(block: bytes) -> str:
    """As the header Content-MD5 wants it."""
    return base64.b64encode(hashlib.md5(block, usedforsecurity=False).digest()).decode()
