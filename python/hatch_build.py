"""What hatchling cannot know: the version, which is that of the engine, the repository, and the engine with its platform."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class Metadata(MetadataHookInterface):
    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        manifest = Path(self.root, "..", "package.json").read_text(encoding="utf-8")
        metadata["version"] = json.loads(manifest)["version"]
        # As scripts/pack-release.js does for npm.
        repository = os.environ.get("CKPT_MERGE_REPOSITORY", "").rstrip("/")
        if repository:
            metadata["urls"] = {
                "Homepage": repository,
                "Documentation": f"{repository}/blob/HEAD/docs/python.md",
                "Issues": f"{repository}/issues",
                "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
            }


class Engine(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # In a clone, an editable install uses the engine of the clone.
        if version == "editable":
            return
        try:
            engine, tag = os.environ["CKPT_MERGE_WHEEL_ENGINE"], os.environ["CKPT_MERGE_WHEEL_TAG"]
        except KeyError:
            raise SystemExit("a wheel carries the engine: build it with python/build.py (npm run wheel)") from None
        build_data["force_include"][engine] = "ckpt_merge/_engine"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
