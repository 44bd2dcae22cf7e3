"""One pass of scoring and one of training over a text as long as `max_tokens`, by every path that the run would take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from emomtl.contracts.heads import TokenHead
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.model.device import arithmetic, to_device
from emomtl.model.network import beside
from emomtl.model.probe import FAILURES
from emomtl.seeds import generator
from emomtl.train.session import Session

MOST_TRIED = 2048
"""Tokens of the text that is tried; a longer one would take minutes on a CPU."""


def try_full_length(session: Session) -> None:
    """Score and train on two texts, one of them of full length; EmomtlError where that fails. Nothing is updated."""
    training = session.model.training
    try:
        for corpus in session.data.corpora:
            tokens = session.tokens[corpus.name, "train"]
            length = min(corpus.max_tokens or session.plan.encoder.max_tokens, MOST_TRIED)
            inputs = _inputs(tokens, length)
            session.model.eval()
            with torch.inference_mode():
                _outputs(session, list(corpus.tasks), inputs, tokens, train=False)
            session.model.train()
            with torch.random.fork_rng(devices=[session.device] if session.device == "cuda" else []):
                total = _outputs(session, list(corpus.tasks), inputs, tokens, train=True)
                if total.requires_grad:
                    total.backward()  # type: ignore[no-untyped-call]  # torch does not type it
    except EmomtlError:
        raise
    except FAILURES as error:
        reason = clean((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        found = f"a text of {length} tokens cannot be trained on: {reason}"
        place = "encoder.max_tokens" if corpus.max_tokens is None else f"tasks.{corpus.name}.max_tokens"
        raise EmomtlError(Problem(place, found, "fewer max_tokens, or another encoder")) from error
    finally:
        session.model.zero_grad(set_to_none=True)
        session.model.train(training)


def _inputs(tokens: Tokens, length: int) -> dict[str, Any]:
    """A text of full length and one of two tokens, made of a corpus's own tokens: (2, length)."""
    ids = np.stack([np.resize(tokens.ids, length)] * 2).astype(np.int64)
    mask = np.ones_like(ids)
    ids[1, 2:], mask[1, 2:] = tokens.pad, 0
    return {"input_ids": ids, "attention_mask": mask}


def _outputs(session: Session, tasks: list[str], arrays: dict[str, Any], tokens: Tokens, train: bool) -> torch.Tensor:
    """The sum of all that the heads of some tasks give for the texts, as one number to take gradients of."""
    model, device = session.model, session.device
    heads = {task: session.plan.tasks[task].head for task in tasks}
    plain = [task for task in tasks if not isinstance(heads[task], TokenHead)]
    features = tokens.beside(np.zeros(2, np.int64))
    sums = []
    with arithmetic(device, session.precision):
        if plain:
            pooled = model.pooled(to_device(arrays, device), dict.fromkeys(plain, 2), _unpadded(session, arrays, train))
            sums += [model.logits(task, beside(vectors, features)).float().sum() for task, vectors in pooled.items()]
        for task, head in heads.items():
            if isinstance(head, TokenHead):
                assert model.vocabulary is not None
                inputs, targets = head.prepare(arrays, model.vocabulary, generator(0))
                asked = to_device(inputs, device), torch.from_numpy(targets).to(device)
                sums.append(model.token_outputs(task, *asked, _unpadded(session, inputs, train)).float().sum())
    return torch.stack(sums).sum()


def _unpadded(session: Session, inputs: dict[str, Any], train: bool) -> Any:
    """What the encoder gives on the path without padding, where training takes it; else nothing yet."""
    if session.unpadded is None or not train:
        return None
    return session.unpadded.outputs([inputs], session.model.layers.asked)[0]
