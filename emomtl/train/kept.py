"""What a run's folder keeps beside its checkpoints so that it opens alone: encoder, features, single-file plugins."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from emomtl.compose import Plan
from emomtl.inference.feature_vectors import FittedFeatures
from emomtl.model.encoder import save_encoder
from emomtl.model.loaded import LoadedEncoder
from emomtl.run import Run
from emomtl.safety.files import storage, write_bytes


def keep(encoder: LoadedEncoder, plan: Plan, run: Run, features: FittedFeatures) -> None:
    """Write the encoder's configuration and tokenizer, features and single-file plugins into the run."""
    features.keep(run.folder)
    keep_plugins(plan, run)
    run.keep_encoder(partial(_save_encoder, encoder))


def keep_plugins(plan: Plan, run: Run) -> None:
    """Write the single-file plugins into the run."""
    for plugin in plan.plugins.active:
        if not plugin.distribution and plugin.file is not None:
            folder = run.folder / "plugins"
            with storage(folder):
                folder.mkdir(exist_ok=True)
            write_bytes(folder / plugin.file.name, plugin.file.read_bytes())


def _save_encoder(encoder: LoadedEncoder, folder: Path) -> None:
    try:
        save_encoder(encoder, folder)
    except OSError:
        raise
    except Exception as error:  # tokenizers raise bare exceptions, which only say in words what the disk refused
        raise RuntimeError(str(error)) from error
