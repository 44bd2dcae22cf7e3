"""The manifest as strict models that do not change: what a run uses, and its numbers.

The text below a field is its description in the JSON Schema, in messages and in the docs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

from emomtl.contracts.feature import FOLDS

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
TASK_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Threads = Annotated[int, Field(gt=0, le=1024)]
"""torch crashes without an error when it is given far more threads than a machine has."""

BatchSize = Annotated[int, Field(gt=0, le=1_000_000)]
"""A step draws its rows before it reads them: with a typo such as 10**12 it would never begin."""

TaskName = Annotated[str, Field(pattern=TASK_NAME)]
Weight = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
"""A loss is float32, which holds numbers up to 3e38."""

Tokens = Annotated[int, Field(ge=4, le=8192)]


class Table(BaseModel):
    """A table of the manifest: unknown keys are refused, and values are not converted."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class Use(Table):
    """The name of what is used; every other key is an option of it."""

    model_config = ConfigDict(extra="allow")
    use: str
    """the name of what is used"""

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside `use`."""
        return dict(self.model_extra or {})


class HeadTable(Use):
    """The head of a task; without `use` the head that the task declares, with other options."""

    use: str = ""
    """the kind of head; left out, the one that the task declares"""


class SamplerTable(Use):
    """The sampler, and how many tasks a step trains."""

    use: str = "proportional"
    """the sampler"""
    per_step: Literal["one", "all"] = "all"
    """one task drawn a step, or every task every step"""


class ObjectiveTable(Use):
    """An extra loss on the texts that a task trains: L_t + `weight` * L_o.

    Every other key is an option of the objective.
    """

    use: str
    """the objective"""
    task: str
    """the task of the run whose texts it learns from"""
    weight: Weight = 1.0
    """its loss is multiplied by it and added to the task's"""


class WeightSchedule(Table):
    """A task's weight that moves in a straight line over the run."""

    from_: Weight = Field(alias="from")
    """the weight at the start of the run"""
    to: Weight
    """the weight at its end"""

    @model_serializer
    def _with_manifest_keys(self) -> dict[str, float]:
        """The keys of the manifest; `from` cannot be a name in Python."""
        return {"from": self.from_, "to": self.to}


class EncoderTable(Table):
    """The shared encoder."""

    use: str
    """a short name, a hub id or a folder"""
    revision: str | None = None
    """the hub revision (a commit keeps a run repeatable)"""
    max_tokens: Tokens = 64
    """tokens of a text that are read, special ones included"""
    truncate: Literal["head", "tail", "head+tail"] = "head"
    """what is kept of a text that is too long; of a pair's second text always the head"""
    head_tokens: Positive | None = None
    """first tokens that `head+tail` keeps, without special ones; left out, `max_tokens` / 4"""
    layers: Positive = 1
    """number of last layers whose vectors are used"""
    layers_by: Literal["mean", "max", "concat"] = "mean"
    """how the vectors of several layers are joined"""
    pooling: Literal["cls", "mean", "max", "pooler"] | None = None
    """how token vectors become one; left out, what suits the encoder"""
    dropout: Fraction | None = None
    """the encoder's dropout; left out, its own"""
    checkpoint_layers: bool | Positive = False
    """layers that are computed again in the backward pass, so that training takes less memory and
    more time: true for all of them, or the first n
    """
    changes: tuple[Use, ...] = ()
    """what is added to the encoder or frozen in it, in this order"""


class TaskTable(Table):
    """One task of the run; an empty table takes the task as its plugin declares it."""

    use: str | None = None
    """the task or task family; left out, the table's name"""
    source: str | None = None
    """a file, folder or `hub:ID` to read instead of what the plugin says"""
    options: dict[str, Any] = Field(default_factory=dict)
    """options of the task family"""
    head: HeadTable | None = None
    """another head, or other options of the declared one"""
    tie: str | None = None
    """answer with the head of this task, which has the same labels"""
    weight: Weight | WeightSchedule = 1.0
    """lambda_t: the loss is multiplied by it; with `from` and `to` it moves in a straight line over
    the run
    """
    patience: Count = 0
    """evaluations without gain in the task's main metric before it is trained no more, while the
    run goes on with the others; 0 never
    """
    max_tokens: Tokens | None = None
    """tokens of this task's texts that are read; left out, `encoder.max_tokens`"""
    batch_size: BatchSize | None = None
    """examples of this task a step; left out, `train.batch_size`"""
    limit: Positive | None = None
    """use at most this many training rows (a stable choice)"""
    eval_limit: Positive | None = None
    """score at most this many validation rows during training"""
    balance: Share | None = None
    """draw training rows by the balance of their labels: a row of a rare label comes up to (t /
    f)^balance times as often, f the label's share of the rows; left out, every row once a pass
    """
    balance_below: Share | None = None
    """t: labels of a smaller share of the rows are rare; left out, the largest label's share"""
    label_noise: Fraction = 0.0
    """share of the training rows whose labels are replaced, to see how much a run bears"""
    label_noise_from: str | None = None
    """the task of the same rows whose `label_noise` this one's training labels follow: a row whose
    labels were replaced there has the labels here that belong to them
    """
    learned_labels: tuple[str, ...] | None = None
    """labels that a run learned from its training rows, in order; a run writes them, and they
    change nothing about how rows read
    """
    trained: bool = True
    """whether the run trains it; if not, it is there for the tasks that are made of it"""

    def weight_at(self, progress: float) -> float:
        """lambda_t at a progress from 0 to 1: it moves from `from` to `to` in a straight line."""
        if not isinstance(self.weight, WeightSchedule):
            return self.weight
        return self.weight.from_ + (self.weight.to - self.weight.from_) * progress


class StartTable(Table):
    """Another run whose encoder and tokenizer are used instead of the pretrained ones."""

    run: str
    """the other run's directory"""
    checkpoint: Literal["best", "last"] | Positive = "best"
    """`best`, `last`, or a step that was kept"""
    heads: bool = False
    """take over the heads of tasks that have the same name, kind and outputs"""
    weights: Literal["raw", "ema"] | None = None
    """its raw weights or their average (`train.ema`); left out, those that chose its best
    checkpoint
    """


class PretrainTable(Table):
    """Masked language modelling on the training texts of some tasks, before this run."""

    on: tuple[str, ...] = Field(min_length=1)
    """tasks whose texts are read: those of this run, or any installed ones"""
    sources: dict[str, str] = Field(default_factory=dict)
    """where a task's rows are, for those outside of this run"""
    epochs: PositiveNumber | None = None
    """passes' worth of texts; left out together with `steps`, 3"""
    steps: Positive | None = None
    """optimiser steps"""
    batch_size: BatchSize = 32
    """texts a task and step"""
    lr: PositiveNumber = 5e-5
    """peak learning rate"""
    head_lr: PositiveNumber | None = None
    """peak learning rate of the heads; left out, `lr`"""
    warmup: Fraction = 0.1
    """share of the steps in which the rate rises"""
    limit: Positive | None = None
    """read at most this many training texts of a task"""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """share of tokens that are chosen"""
    mask: Annotated[float, Field(ge=0, le=1)] = 0.8
    """part of the chosen that is hidden by the mask token"""
    random: Annotated[float, Field(ge=0, le=1)] = 0.1
    """part of the chosen that becomes any other word"""

    @model_validator(mode="after")
    def _one_length(self) -> PretrainTable:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps are given; a run has one length: keep one of them")
        return self


class FeatureTable(Use):
    """Vectors made of texts, which heads read beside the encoder's.

    All other keys are options of the feature.
    """

    use: str = ""
    """the feature; left out, the table's name"""
    of: str | None = None
    """the task whose training rows it learns from; left out, the first task of the run"""
    folds: Annotated[int, Field(ge=1, le=20)] = FOLDS
    """parts of those rows, each of which gets vectors of a fit without it; 1: of the whole fit"""


class TrainTable(Table):
    """How long and how the run trains; exactly one of `epochs`, `steps` and `target_updates`."""

    epochs: PositiveNumber | None = None
    """passes' worth of examples over all tasks"""
    steps: Positive | None = None
    """optimiser steps"""
    target_updates: Positive | None = None
    """steps in which the task `target` takes part"""
    target: str | None = None
    """the task that `target_updates` counts"""
    batch_size: BatchSize = 32
    """examples a task and step"""
    accumulate: BatchSize = 1
    """micro-batches that a step's batch is cut into"""
    lr: PositiveNumber = 5e-5
    """peak learning rate"""
    head_lr: PositiveNumber | None = None
    """peak learning rate of heads; left out, `lr`"""
    layer_decay: Share = 1.0
    """xi: each layer of the encoder learns at xi times the rate of the one above it"""
    loss_scale: Literal["nats", "base-rate", "mean"] = "nats"
    """what a task's loss is, before it is weighted: the negative log-likelihood of a row, summed
    over its labels (nats); the mean over labels divided by that of the best constant prediction
    (base-rate); or that mean as it is
    """
    weighting_lr: PositiveNumber = 2e-2
    """learning rate of a weighting's own parameters, the same all along the run"""
    warmup: Fraction = 0.1
    """share of the run in which the rate rises from 0"""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """after the warm-up: decay to 0 in a straight line or by half a cosine, or constant"""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """AdamW's decay; none on norms and biases"""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """AdamW's betas"""
    eps: PositiveNumber = 1e-8
    """AdamW's epsilon"""
    clip: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """largest gradient norm; 0 for none"""
    clip_by: Literal["all", "task"] = "all"
    """what `clip` bounds: the gradient of a step, or that of each task before they add up"""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """decay of an exponential moving average of the weights, such as 0.999, which is scored and
    saved beside them; left out, none is kept
    """
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """arithmetic of the encoder"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the run computes"""
    threads: Threads | None = None
    """CPU threads; left out, what torch takes"""
    unpadded: Literal["auto", "on", "off"] = "auto"
    """train on texts without padding, all of a step in one pass; `auto`: on CUDA, for encoders
    that can
    """
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """a NaN or infinite loss or gradient ends the run, or is skipped and counted"""
    on_out_of_memory: Literal["stop", "split"] = "stop"
    """a step that does not fit into memory ends the run, or is cut into more micro-batches"""
    log_every: Positive = 50
    """steps between two lines of losses"""

    @model_validator(mode="after")
    def _one_length(self) -> TrainTable:
        given = [
            key for key in ("epochs", "steps", "target_updates") if getattr(self, key) is not None
        ]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} are given; a run has one length: keep one of them"
            )
        if (self.target_updates is None) != (self.target is None):
            raise ValueError(
                "`target_updates` and `target` go together: how many updates, and of which task"
            )
        return self


class EvalTable(Table):
    """When validation is scored, and which metric chooses the best checkpoint."""

    every: Positive | None = None
    """steps between evaluations; left out, once an epoch"""
    select: str | None = None
    """`mean` over tasks, or the `task/metric` that chooses the best; left out, the target's main
    metric, else the only task's, else `mean`
    """
    weights: Literal["raw", "ema"] | None = None
    """whose scores choose the best checkpoint, and which weights `eval`, `predict` and [start]
    take; left out, `ema` where `train.ema` is given
    """
    patience: Count = 0
    """evaluations without gain before it stops; 0 never"""
    batch_size: BatchSize = 64
    """examples a forward pass"""

    @field_validator("select")
    @classmethod
    def _no_tuned(cls, value: str | None) -> str | None:
        if value is not None and "_tuned" in value:
            raise ValueError(
                "a tuned metric is optimistic on the split it was tuned on; select by an untuned "
                "one, or by one without thresholds, such as macro_average_precision"
            )
        return value


class CheckpointTable(Table):
    """When a checkpoint is written besides those of evaluations and the end."""

    every: Positive | None = None
    """steps between checkpoints; left out, at every evaluation"""


class DataTable(Table):
    """How rows are read."""

    on_bad_row: Literal["stop", "skip"] = "stop"
    """a row that does not read ends the run, or is skipped, counted and listed"""
    unseen_labels: Literal["refuse", "wrong"] = "refuse"
    """what `emomtl eval` does with rows whose label the model does not have: refuse them, or count
    them as wrong
    """
    buckets: bool = True
    """texts of like length share a batch (less padding, still random)"""
    drop_leaks: bool = False
    """leave out training rows whose text is in validation or test of a task of the run"""


class StageStartTable(Table):
    """What a stage takes over of the stage before it."""

    checkpoint: Literal["best", "last"] = "best"
    """which checkpoint of the stage before it starts from"""
    heads: bool = True
    """take over the heads of tasks that have the same name, kind and outputs"""


class StageTable(Table):
    """One of several runs of a manifest, each of which starts from the one before.

    It has the keys that differ from the manifest's.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=40)]
    """the stage's name; its folder is runs/NAME-STAGE, and that of the last stage runs/NAME"""
    tasks: tuple[str, ...] | None = Field(default=None, min_length=1)
    """the tasks that it trains; left out, all that the manifest trains"""
    share: Share | None = None
    """its part of the length in [train]; the shares of all stages add up to 1"""
    start: StageStartTable = Field(default_factory=StageStartTable)
    changes: tuple[Use, ...] | None = None
    """`encoder.changes` of this stage; left out, the manifest's"""
    sampler: SamplerTable | None = None
    """its sampler; left out, the manifest's"""
    weighting: Use | None = None
    """its weighting; left out, the manifest's"""
    train: TrainTable | None = None
    """keys of [train] that are different; a length replaces the manifest's"""
    eval: EvalTable | None = None
    """keys of [eval] that are different"""


class Manifest(Table):
    """A whole run."""

    name: Annotated[str, Field(pattern=NAME, max_length=100)]
    """the run's name; its folder is runs/NAME"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 17
    """all randomness of the run follows from it"""
    plugins: tuple[str, ...] = ()
    """listeners by distribution name, and single files such as ./my_task.py"""
    devices: Positive | None = None
    """processes that train together; left out, as many as the launcher starts"""
    folder: str | None = None
    """where relative paths start; written by the run into its copy"""
    encoder: EncoderTable
    tasks: dict[TaskName, TaskTable] = Field(min_length=1)
    """the tasks, by name"""
    objectives: dict[TaskName, ObjectiveTable] = Field(default_factory=dict)
    """extra losses, by name"""
    features: dict[TaskName, FeatureTable] = Field(default_factory=dict)
    """vectors that every head reads beside the encoder's, by name"""
    sampler: SamplerTable = Field(default_factory=SamplerTable)
    weighting: Use = Field(default_factory=lambda: Use(use="equal"))
    train: TrainTable = Field(default_factory=TrainTable)
    eval: EvalTable = Field(default_factory=EvalTable)
    checkpoint: CheckpointTable = Field(default_factory=CheckpointTable)
    data: DataTable = Field(default_factory=DataTable)
    start: StartTable | None = None
    """another run to start from"""
    pretrain: PretrainTable | None = None
    """a run of masked language modelling before this one"""
    stages: tuple[StageTable, ...] = ()
    """runs one after another, each starting from the one before; left out, one run"""
