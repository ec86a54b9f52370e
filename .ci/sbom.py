"""Writes the software bill of materials of a release: CycloneDX 1.6, as JSON.

    python .ci/sbom.py dist

It lists every pin of requirements.txt with the SHA-256 of each file that pip accepts for it, and
the networks in the wheel. The file is DIST/facauth-VERSION.cdx.json. The same source gives the
same bytes, so the file holds no time. It does not list the libraries inside the wheels of
dependencies: NOTICE names them.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"(?m)^([a-z0-9._-]+)==([^ ;\\]+)(?: ; (.+?))?(?: \\)?\n((?:[ \t].*\n?)*)")

Json = dict[str, Any]


def packages(lock: str) -> list[Json]:
    """A component for each pin of a file of requirements."""
    found = []
    for name, version, condition, rest in PIN.findall(lock):
        purl = f"pkg:pypi/{name}@{version}"
        hashes = [sha256(each) for each in re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)]
        component: Json = {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": purl,
                    "comment": "every file of this version that pip accepts",
                    "hashes": hashes,
                }
            ],
        }
        if condition:
            component["properties"] = [{"name": "facauth:marker", "value": condition}]
        found.append(component)
    return found


def networks(manifest: Json) -> list[Json]:
    """A component for each file of weights in the wheel."""
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": f"facauth/weights/{weight['file']}",
            "name": weight["file"],
            "hashes": [sha256(weight["sha256"])],
            "licenses": [{"license": {"id": weight["licence"]}}],
            "copyright": weight["attribution"],
        }
        for weight in manifest["weights"]
    ]


def sha256(content: str) -> Json:
    """A hash as CycloneDX writes it."""
    return {"alg": "SHA-256", "content": content}


def bill(root: Path) -> Json:
    """The whole document of the project in a folder."""
    source = (root / "facauth" / "__init__.py").read_text()
    (version,) = re.findall(r'(?m)^__version__ = "(.+)"$', source)
    purl = f"pkg:pypi/facauth@{version}"
    components = [
        *packages((root / "requirements.txt").read_text()),
        *networks(json.loads((root / "facauth" / "weights" / "manifest.json").read_text())),
    ]
    number = uuid.uuid5(uuid.NAMESPACE_URL, purl + json.dumps(components, sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": purl,
                "name": "facauth",
                "version": version,
                "purl": purl,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
    }


def main(arguments: list[str], root: Path = ROOT) -> Path:
    """Write the document into the folder that is the one argument; its path."""
    (folder,) = arguments
    document = bill(root)
    path = Path(folder) / f"facauth-{document['metadata']['component']['version']}.cdx.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


if __name__ == "__main__":
    print(main(sys.argv[1:]))
