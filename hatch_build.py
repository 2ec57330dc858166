"""Compiles the native kernels when the package is built or installed, where there is a C++ compiler."""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("geoattn_jax") / "native"


class NativeKernels(BuildHookInterface):
    """A wheel with the kernels is one of the platform; without them it is one for all."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles: for an editable install in the source tree, else for the wheel alone."""
        build = _build(Path(self.root))
        self.temporary = tempfile.mkdtemp()
        folder = Path(self.root) / NATIVE if version == "editable" else Path(self.temporary)
        try:
            library = build.compile_library(folder)
        except (build.CannotCompileError, OSError) as error:
            self.app.display_warning(f"geoattn_jax without native kernels: {error}")
            return
        self.app.display_info(f"geoattn_jax with native kernels: {library.name}")
        if version != "editable":
            build_data["force_include"][str(library)] = str(NATIVE / library.name)
        build_data["pure_python"] = False
        platform = self.build_config.builder.get_best_matching_tag().rpartition("-")[2]
        build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what the wheel has now."""
        shutil.rmtree(self.temporary)


def _build(root: Path) -> ModuleType:
    """`geoattn_jax.native.build`, by its path: what the package imports is not installed yet."""
    spec = importlib.util.spec_from_file_location("build", root / NATIVE / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
