"""Names and e-mail addresses of people, hashed before anything but the raw archive sees them."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from attention_faults.errors import InputError

SALT_FILE = "salt"  # below the archive, which git ignores: whoever has it can guess names
LEAST_SALT = 16  # bytes
DIGITS = 16  # of a hash, hexadecimal

# words of scripts without blanks may touch an address or a name
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}(?:[A-Za-z]{2,24}|[^\W\d_]{2,24})(?![A-Za-z0-9])"
)


@dataclass(frozen=True)
class Pseudonyms:
    """Keyed hashes of one study: equal names get equal hashes here, and others in another study.

    HMAC-SHA256 (RFC 2104), cut to DIGITS hexadecimal digits.
    """

    salt: bytes

    def of(self, name: str) -> str:
        """Return the hash of a person's name or e-mail address, whatever its case; nothing of nothing."""
        digest = hmac.new(self.salt, name.strip().casefold().encode(), hashlib.sha256).hexdigest()
        return digest[:DIGITS] if name.strip() else ""

    def hide(self, text: str, names: Collection[str] = ()) -> str:
        """Return a text with each e-mail address, and each `@name` of `names`, replaced by its hash.

        Only names known to take part are looked for: `@torch.jit.script` is no person.
        """
        text = _EMAIL.sub(lambda match: self.of(match[0]), text)
        known = "|".join(sorted(map(re.escape, filter(None, names)), key=len, reverse=True))
        if not known:
            return text
        mention = rf"(?<![A-Za-z0-9@])@((?i:{known}))(?![A-Za-z0-9]|[-_]\w|\.[a-z0-9])"
        return re.sub(mention, lambda match: f"@{self.of(match[1])}", text)


def of_archive(archive: Path) -> Pseudonyms:
    """Return the pseudonyms of the study whose raw archive this is; its salt is drawn once, and kept there.

    Raises:
        InputError: if the salt cannot be read.
    """
    path = archive / SALT_FILE
    try:
        archive.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            temporary = archive / f".{SALT_FILE}-{secrets.token_hex(8)}"
            temporary.touch(mode=0o600)
            temporary.write_text(secrets.token_hex(32), encoding="ascii")
            try:
                path.hardlink_to(temporary)  # who comes first draws the salt
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        salt = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a salt of hexadecimal digits: {error}") from None
    if len(salt) < LEAST_SALT:
        raise InputError(f"{path}: expected a salt of at least {LEAST_SALT} bytes, found {len(salt)}")
    return Pseudonyms(salt)
