"""Whether the mirror has the packages of the release that is asked for, where there is a mirror.

Else apt would say so on the first node, with all the machines there already.
"""

from __future__ import annotations

import gzip
import http.client
import re
import urllib.error
import urllib.request
import zlib

import pulumi

from components.settings.checks import Check
from components.settings.errors import SettingsError
from components.settings.groups import Groups

_WITHIN = 5  # seconds
_LARGEST = 2**25  # bytes
_KUBEADM = r"^Package: kubeadm\n(?:.+\n)*?Version: ([^-\n]+)"
# The mirror is where the nodes are, which don't go by a proxy either.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str) -> bytes | None:
    """What is there; None where the server says: nothing. Raises OSError without an answer."""
    try:
        with _direct.open(url, timeout=_WITHIN) as answer:
            return answer.read(_LARGEST)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def _require(settings: Groups) -> None:
    """Says nothing where the mirror can't be asked from here: nodes may see it all the same."""
    mirror, version = settings.mirror.packages, settings.cluster.version
    if mirror is None or settings.cluster.kubeconfig is not None:
        return
    folder = f"{mirror}/core:/stable:/v{version.rpartition('.')[0]}/deb"
    try:
        releases = _releases(folder)
    except (OSError, EOFError, ValueError, http.client.HTTPException, zlib.error):
        return
    if releases is not None and version not in releases:
        if "version" not in settings.cluster.model_fields_set:
            # Of a new cluster the nodes say so; one that is there keeps what it has.
            pulumi.log.warn(f"{folder} lacks {version}, which a new cluster would get")
            return
        has = ", ".join(sorted(releases)) or "none of that minor release"
        wanted = f"one whose packages are in mirror.packages ({folder} has {has})"
        raise SettingsError("cluster.version", version, wanted)


def _releases(folder: str) -> set[str] | None:
    """The releases of kubeadm there; None where the index can't be read."""
    if fetch(f"{folder}/Release.key") is None:
        return set()  # nor can a node take anything from there (scripts/packages.sh)
    index = fetch(f"{folder}/Packages")
    if index is None and (packed := fetch(f"{folder}/Packages.gz")) is not None:
        index = gzip.decompress(packed)
    if index is None:
        return None
    return set(re.findall(_KUBEADM, index.decode(), re.M)) or None


CHECK = Check(_require, "cluster.version", "mirror.packages", "cluster.kubeconfig")
