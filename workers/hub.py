"""Whether a model of the Hugging Face hub can be had, told in seconds: its loaders would try for most of a minute."""

from __future__ import annotations

from manifests.errors import ModelError, one_line
from workers.reference import ModelReference

_SECONDS = 10.0


def ask_hub(reference: ModelReference) -> bool:
    """Whether the hub answers that it has the model; False where it does not answer and the model is cached here.

    ModelError where the hub has no such model, or it does not answer and nothing is cached.
    """
    from huggingface_hub import model_info, try_to_load_from_cache
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        model_info(reference.name, revision=reference.revision, timeout=_SECONDS)
    except RepositoryNotFoundError:
        raise ModelError(
            f"model {reference.text}: the hub shows no such model; correct the name, or set HF_TOKEN if it is private"
        ) from None
    except RevisionNotFoundError:
        raise ModelError(f"model {reference.text}: the hub has no revision {reference.revision!r} of it") from None
    except Exception as error:  # offline by choice or by accident: many libraries below say so in their own ways
        cached = try_to_load_from_cache(reference.name, "model_index.json", revision=reference.revision)
        if not isinstance(cached, str):
            raise ModelError(
                f"model {reference.text}: not in the cache here, and the hub cannot be reached "
                f"({one_line(error, 200)}); give a folder, or connect to the network"
            ) from error
        return False
    return True
