"""The life cycle of every learned model: settings beside the weights, safetensors only, errors at the door."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.settings import Settings

WEIGHTS = "model.safetensors"
M = TypeVar("M", bound="LatentModel")


class LatentModel(nn.Module, PyTorchModelHubMixin, library_name="counterfactory", tags=["counterfactory", "causality"]):
    """Base of the learners: the subclass gives `loss(batch)` and what it can do of encode, decode, counterfactual.

    Attributes:
        slug: the system's name in the catalogue.
        settings: the frozen settings the model was built from; saved as `config.json` beside the weights.
    """

    slug: ClassVar[str]
    settings: Settings

    @abstractmethod
    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named loss terms of a batch; `total` is what is optimised."""

    def set_progress(self, step: int, steps: int) -> None:
        """Told before every training step, for terms with a schedule; most models need none."""

    @classmethod
    def settings_class(cls) -> type[Settings]:
        """The class of `settings`, as the subclass annotates it."""
        found = next((c.__annotations__["settings"] for c in cls.__mro__ if "settings" in c.__annotations__), None)
        assert isinstance(found, type) and issubclass(found, Settings), f"{cls.__name__} must annotate `settings`"
        return found

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write weights and settings under temporary names, then rename: a full disk leaves no half file."""
        # the mixin has just removed an old config.json, so the settings are written here, with the weights
        # not under the name "settings": the mixin would build that argument itself, without its checks
        config = {"slug": self.slug, "hyperparameters": self.settings.to_dict()}
        parts = [save_directory / f"{WEIGHTS}.part", save_directory / "config.json.part"]
        try:
            save_file({k: v.contiguous() for k, v in self.state_dict().items()}, parts[0], metadata={"slug": self.slug})
            parts[1].write_text(json.dumps(config, indent=2) + "\n")
            for part in parts:
                part.replace(part.with_suffix(""))
        except (OSError, SafetensorError) as error:
            for part in parts:
                part.unlink(missing_ok=True)
            raise CounterfactoryError(
                f"the model could not be saved to '{save_directory}'",
                given=str(error),
                expected="a writable folder with room for the weights",
                hint="free some space or choose another folder; nothing half-written was left there",
            ) from error

    @classmethod
    def _from_pretrained(
        cls: type[M], *, model_id: str, map_location: str = "cpu", strict: bool = True, **kwargs: Any
    ) -> M:
        """Read a folder or a Hub repository; only safetensors is ever opened."""
        hub = {k: kwargs.pop(k) for k in ("revision", "cache_dir", "force_download", "local_files_only", "token")}
        for key in ("proxies", "resume_download"):
            kwargs.pop(key, None)
        try:
            if Path(model_id).is_dir():
                weights, config = Path(model_id) / WEIGHTS, Path(model_id) / "config.json"
            else:
                weights = Path(hf_hub_download(model_id, WEIGHTS, **hub))
                config = Path(hf_hub_download(model_id, "config.json", **hub))
            known = json.loads(config.read_text())
            if known.get("slug") != cls.slug:
                raise _foreign(cls.slug, model_id, f"a config.json of '{known.get('slug', 'some other model')}'")
            model = cls(**{"settings": cls.settings_class().from_dict(known["hyperparameters"]), **kwargs})
            state = load_file(weights, device=map_location)
        except (OSError, EntryNotFoundError, SafetensorError, json.JSONDecodeError, KeyError) as error:
            raise _foreign(cls.slug, model_id, f"{type(error).__name__}: {error}") from error
        try:
            model.load_state_dict(state, strict=strict)
        except RuntimeError as error:
            raise _foreign(cls.slug, model_id, str(error).splitlines()[1].strip()) from error
        return model.eval()


def config_of(where: str | Path) -> dict[str, Any]:
    """The `config.json` of a folder or Hub repository.

    Raises:
        CounterfactoryError: there is none, or it cannot be read.
    """
    try:
        path = Path(where) / "config.json" if Path(where).is_dir() else Path(hf_hub_download(str(where), "config.json"))
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise CounterfactoryError(
            f"no model at '{where}'",
            given=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            expected="a folder or Hub repository with a readable config.json",
            hint="check the path; counterfactory train writes such a folder",
        ) from error
    return found if isinstance(found, dict) else {}


def _foreign(slug: str, where: str, found: str) -> CounterfactoryError:
    return CounterfactoryError(
        f"'{where}' is not a readable model of '{slug}'",
        given=found,
        expected=f"a folder or Hub repository with {WEIGHTS} and config.json, as save_pretrained writes them",
        hint="check the path; a damaged file has to be copied or trained again",
    )
