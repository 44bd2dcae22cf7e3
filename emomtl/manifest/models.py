"""The manifest as frozen, strict models: what a run uses, with numbers and never with logic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from emomtl.contracts.feature import FOLDS

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
TASK_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"

Positive = Annotated[int, Field(gt=0)]
Threads = Annotated[int, Field(gt=0, le=1024)]
"""More threads than any machine has crash torch, and not by an error."""

BatchSize = Annotated[int, Field(gt=0, le=1_000_000)]
"""A step draws its rows before it reads them: a slip of the pen such as 10**12 would never come to its first step."""

Weight = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
"""A loss is float32, which holds numbers up to 3e38."""

Tokens = Annotated[int, Field(ge=4, le=8192)]

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A table of the manifest: unknown keys are refused, values are not converted, objects do not change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Use(Table):
    """What is used, by name; every other key is an option of it."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    use: str = Field(description="the name of what is used")

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside `use`."""
        return dict(self.model_extra or {})


class HeadTable(Use):
    """The head of a task; without `use` the head that the task declares, with other options."""

    use: str = Field(default="", description="the kind of head; left out, the one that the task declares")


class SamplerTable(Use):
    """The sampler, and how many tasks a step trains."""

    use: str = Field(default="proportional", description="the sampler")
    per_step: Literal["one", "all"] = Field(default="all", description="one task drawn a step, or every task every step")


class ObjectiveTable(Use):
    """An extra loss on the texts that a task trains: L_t + `weight` * L_o; every other key is an option of what is used."""

    use: str = Field(description="the objective")
    task: str = Field(description="the task of the run whose texts it learns from")
    weight: Weight = Field(default=1.0, description="its loss is multiplied by it and added to the task's")


class WeightSchedule(Table):
    """A task's weight that moves in a straight line over the run."""

    from_: Weight = Field(alias="from", description="the weight at the begin of the run")
    to: Weight = Field(description="the weight at its end")

    @model_serializer
    def _by_its_keys(self) -> dict[str, float]:
        """As the manifest writes it: `from` is no name that Python allows."""
        return {"from": self.from_, "to": self.to}


class EncoderTable(Table):
    """The shared encoder."""

    use: str = Field(description="a short name, a hub id or a folder")
    revision: str | None = Field(default=None, description="the hub revision (a commit keeps a run repeatable)")
    max_tokens: Tokens = Field(default=64, description="tokens of a text that are read, special ones included")
    truncate: Literal["head", "tail", "head+tail"] = Field(
        default="head", description="what is kept of a text that is too long; of a pair's second text always the head"
    )
    head_tokens: Positive | None = Field(
        default=None,
        description="first tokens that `head+tail` keeps, without special ones; left out, a quarter of `max_tokens`",
    )
    layers: Positive = Field(default=1, description="last layers that are read; their vectors of a token are joined")
    layers_by: Literal["mean", "max", "concat"] = Field(
        default="mean", description="how the vectors of several layers are joined"
    )
    pooling: Literal["cls", "mean", "max", "pooler"] | None = Field(
        default=None, description="how token vectors become one; left out, what suits the encoder"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="the encoder's dropout; left out, its own"
    )
    checkpoint_layers: bool | Positive = Field(
        default=False,
        description="layers that are computed again in the backward pass, so that training takes less memory and more time: "
        "true for all of them, or the first n",
    )
    changes: tuple[Use, ...] = Field(default=(), description="what is added to the encoder or frozen in it, in this order")


class TaskTable(Table):
    """One task of the run; an empty table takes the task as its plugin declares it."""

    use: str | None = Field(default=None, description="the task or task family; left out, the table's name")
    source: str | None = Field(default=None, description="a file, folder or `hub:ID` to read instead of what the plugin says")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the task family")
    head: HeadTable | None = Field(default=None, description="another head, or other options of the declared one")
    tie: str | None = Field(default=None, description="answer with the head of this task, which has the same labels")
    weight: Weight | WeightSchedule = Field(
        default=1.0,
        description="lambda_t: the loss is multiplied by it; with `from` and `to` it moves in a straight line over the run",
    )
    patience: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="evaluations without gain in the task's main metric before it is trained no more, while the run goes on "
        "with the others; 0 never",
    )
    max_tokens: Tokens | None = Field(
        default=None, description="tokens of this task's texts that are read; left out, `encoder.max_tokens`"
    )
    batch_size: BatchSize | None = Field(default=None, description="examples of this task a step; left out, `train.batch_size`")
    limit: Positive | None = Field(default=None, description="use at most this many training rows (a stable choice)")
    eval_limit: Positive | None = Field(default=None, description="score at most this many validation rows during training")
    balance: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="draw training rows by the balance of their labels: a row of a rare label comes up to (t / f)^balance "
        "times as often, f the label's share of the rows; left out, every row once a pass",
    )
    balance_below: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="t: labels of a smaller share of the rows are rare; left out, the largest share of any label"
    )
    label_noise: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the training rows whose labels are replaced, to see how much a run bears"
    )
    label_noise_from: str | None = Field(
        default=None,
        description="the task of the same rows whose `label_noise` this one's training labels follow: a row whose labels were "
        "replaced there has the labels here that belong to them",
    )
    learned_labels: tuple[str, ...] | None = Field(
        default=None,
        description="labels that a run learned from its training rows, in order; a run writes them, and they change nothing "
        "about how rows read",
    )
    trained: bool = Field(
        default=True, description="whether the run trains it; if not, it is there for the tasks that are made of it"
    )

    def weight_at(self, progress: float) -> float:
        """lambda_t at a progress from 0 to 1: lambda_from + (lambda_to - lambda_from) * progress, or one number."""
        if not isinstance(self.weight, WeightSchedule):
            return self.weight
        return self.weight.from_ + (self.weight.to - self.weight.from_) * progress


class StartTable(Table):
    """Another run to start from: its encoder and tokenizer, and on demand its heads, instead of the pretrained encoder."""

    run: str = Field(description="the other run's directory")
    checkpoint: Literal["best", "last"] | Positive = Field(default="best", description="`best`, `last`, or a step that was kept")
    heads: bool = Field(default=False, description="take over the heads of tasks that have the same name, kind and outputs")
    weights: Literal["raw", "ema"] | None = Field(
        default=None,
        description="its raw weights or their average (`train.ema`); left out, those that chose its best checkpoint",
    )


class PretrainTable(Table):
    """A run before this one: masked language modelling on the training texts of some tasks, from which this run starts."""

    on: tuple[str, ...] = Field(min_length=1, description="tasks whose texts are read: those of this run, or any installed ones")
    sources: dict[str, str] = Field(default_factory=dict, description="where a task's rows are, for those outside of this run")
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="passes' worth of texts; left out together with `steps`, 3"
    )
    steps: Positive | None = Field(default=None, description="optimiser steps")
    batch_size: BatchSize = Field(default=32, description="texts a task and step")
    lr: Rate = Field(default=5e-5, description="peak learning rate")
    head_lr: Rate | None = Field(default=None, description="peak learning rate of the heads; left out, `lr`")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.1, description="share of the steps in which the rate rises")
    limit: Positive | None = Field(default=None, description="read at most this many training texts of a task")
    share: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.15, description="share of tokens that are chosen")
    mask: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.8, description="part of the chosen that is hidden by the mask token"
    )
    random: Annotated[float, Field(ge=0, le=1)] = Field(default=0.1, description="part of the chosen that becomes any other word")

    @model_validator(mode="after")
    def _one_length(self) -> PretrainTable:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps are given; a run has one length: keep one of them")
        return self


class FeatureTable(Use):
    """Vectors made of texts that stand beside the encoder's; all other keys are options of the feature."""

    use: str = Field(default="", description="the feature; left out, the table's name")
    of: str | None = Field(
        default=None, description="the task whose training rows it learns from; left out, the first task of the run"
    )
    folds: Annotated[int, Field(ge=1, le=20)] = Field(
        default=FOLDS,
        description="parts of those rows, each of which trains with vectors of a fit without it; 1: of the whole fit",
    )


class TrainTable(Table):
    """How long and how the run trains; exactly one of `epochs`, `steps` and `target_updates`."""

    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="passes' worth of examples over all tasks"
    )
    steps: Positive | None = Field(default=None, description="optimiser steps")
    target_updates: Positive | None = Field(default=None, description="steps in which the task `target` takes part")
    target: str | None = Field(default=None, description="the task that `target_updates` counts")
    batch_size: BatchSize = Field(default=32, description="examples a task and step")
    accumulate: BatchSize = Field(default=1, description="micro-batches that a step's batch is cut into")
    lr: Rate = Field(default=5e-5, description="peak learning rate")
    head_lr: Rate | None = Field(default=None, description="peak learning rate of heads; left out, `lr`")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="xi: each layer of the encoder learns at xi times the rate of the one above it"
    )
    loss_scale: Literal["nats", "base-rate", "mean"] = Field(
        default="nats",
        description="what a task's loss is, before anything weighs it: the negative log-likelihood of a row, summed "
        "over its labels; the mean over labels divided by that of the best constant answer; or that mean as it is",
    )
    weighting_lr: Rate = Field(
        default=2e-2, description="learning rate of a weighting's own parameters, the same all along the run"
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="share of the run in which the rate rises from 0"
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="after the warm-up: decay to 0 in a straight line or by half a cosine, or constant"
    )
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.01, description="AdamW's decay; none on norms and biases"
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.999), description="AdamW's betas"
    )
    eps: Rate = Field(default=1e-8, description="AdamW's epsilon")
    clip: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(default=1.0, description="largest gradient norm; 0 for none")
    clip_by: Literal["all", "task"] = Field(
        default="all", description="what `clip` bounds: the gradient of a step, or that of each task before they add up"
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="decay of an exponential moving average of the weights, such as 0.999, which is scored and saved "
        "beside them; left out, none is kept",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="arithmetic of the encoder")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where the run computes")
    threads: Threads | None = Field(default=None, description="CPU threads; left out, what torch takes")
    unpadded: Literal["auto", "on", "off"] = Field(
        default="auto", description="train on texts without padding, all of a step in one pass: `auto` on CUDA where it is known"
    )
    on_nonfinite: Literal["stop", "skip"] = Field(
        default="stop", description="a NaN or infinite loss or gradient ends the run, or is skipped and counted"
    )
    on_out_of_memory: Literal["stop", "split"] = Field(
        default="stop", description="a step that does not fit into memory ends the run, or is cut into more micro-batches"
    )
    log_every: Positive = Field(default=50, description="steps between two lines of losses")

    @model_validator(mode="after")
    def _one_length(self) -> TrainTable:
        given = [key for key in ("epochs", "steps", "target_updates") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; a run has one length: keep one of them")
        if (self.target_updates is None) != (self.target is None):
            raise ValueError("`target_updates` and `target` go together: how many updates, and of which task")
        return self


class EvalTable(Table):
    """When validation is scored, and which figure chooses the best checkpoint."""

    every: Positive | None = Field(default=None, description="steps between evaluations; left out, once an epoch")
    select: str | None = Field(
        default=None,
        description="`mean` over tasks, or the `task/metric` that chooses the best; left out, the target's main metric, "
        "else the only task's, else `mean`",
    )
    weights: Literal["raw", "ema"] | None = Field(
        default=None,
        description="whose scores choose the best checkpoint, and which weights `eval`, `predict` and [start] take; left "
        "out, `ema` where `train.ema` is given",
    )
    patience: Annotated[int, Field(ge=0)] = Field(default=0, description="evaluations without gain before it stops; 0 never")
    batch_size: BatchSize = Field(default=64, description="examples a forward pass")

    @field_validator("select")
    @classmethod
    def _no_tuned(cls, value: str | None) -> str | None:
        if value is not None and "_tuned" in value:
            raise ValueError(
                "a tuned figure is optimistic on the split it was tuned on; select by an untuned one, "
                "or by one without thresholds, such as macro_average_precision"
            )
        return value


class CheckpointTable(Table):
    """When a checkpoint is written besides those of evaluations and the end."""

    every: Positive | None = Field(default=None, description="steps between checkpoints; left out, at every evaluation")


class DataTable(Table):
    """How rows are read."""

    on_bad_row: Literal["stop", "skip"] = Field(
        default="stop", description="a row that does not read ends the run, or is skipped, counted and listed"
    )
    unseen_labels: Literal["refuse", "wrong"] = Field(
        default="refuse",
        description="what `emomtl eval` does with rows whose label the model does not have: refuse them, or count them as wrong",
    )
    buckets: bool = Field(default=True, description="texts of like length share a batch (less padding, still random)")
    drop_leaks: bool = Field(
        default=False, description="leave out training rows whose text stands in validation or test of a task of the run"
    )


class StageStartTable(Table):
    """What a stage takes over of the stage before it."""

    checkpoint: Literal["best", "last"] = Field(default="best", description="which checkpoint of the stage before it starts from")
    heads: bool = Field(default=True, description="take over the heads of tasks that have the same name, kind and outputs")


class StageTable(Table):
    """One of several runs that a manifest makes, each starting from the one before; it says what is different in it."""

    name: Annotated[str, Field(pattern=NAME, max_length=40)] = Field(
        description="the stage's name; its folder is runs/NAME-STAGE, and that of the last stage runs/NAME"
    )
    tasks: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the tasks that it trains; left out, all that the manifest trains"
    )
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="its part of the length in [train]; those of all stages that have one add up to 1"
    )
    start: StageStartTable = Field(default_factory=StageStartTable)
    changes: tuple[Use, ...] | None = Field(default=None, description="`encoder.changes` of this stage; left out, the manifest's")
    sampler: SamplerTable | None = Field(default=None, description="its sampler; left out, the manifest's")
    weighting: Use | None = Field(default=None, description="its weighting; left out, the manifest's")
    train: TrainTable | None = Field(
        default=None, description="keys of [train] that are different; a length replaces the manifest's"
    )
    eval: EvalTable | None = Field(default=None, description="keys of [eval] that are different")


class Manifest(Table):
    """A whole run."""

    name: Annotated[str, Field(pattern=NAME, max_length=100)] = Field(description="the run's name; its folder is runs/NAME")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(default=17, description="all randomness of the run follows from it")
    plugins: tuple[str, ...] = Field(
        default=(), description="listeners by distribution name, and single files such as ./my_task.py"
    )
    devices: Positive | None = Field(
        default=None, description="processes that train together; left out, as many as the launcher starts"
    )
    folder: str | None = Field(default=None, description="where relative paths start; written by the run into its copy")
    encoder: EncoderTable
    tasks: dict[Annotated[str, Field(pattern=TASK_NAME)], TaskTable] = Field(min_length=1, description="the tasks, by name")
    objectives: dict[Annotated[str, Field(pattern=TASK_NAME)], ObjectiveTable] = Field(
        default_factory=dict, description="extra losses, by name"
    )
    features: dict[Annotated[str, Field(pattern=TASK_NAME)], FeatureTable] = Field(
        default_factory=dict, description="vectors that every head reads beside the encoder's, by name"
    )
    sampler: SamplerTable = Field(default_factory=SamplerTable)
    weighting: Use = Field(default_factory=lambda: Use(use="equal"))
    train: TrainTable = Field(default_factory=TrainTable)
    eval: EvalTable = Field(default_factory=EvalTable)
    checkpoint: CheckpointTable = Field(default_factory=CheckpointTable)
    data: DataTable = Field(default_factory=DataTable)
    start: StartTable | None = Field(default=None, description="another run to start from")
    pretrain: PretrainTable | None = Field(default=None, description="a run of masked language modelling before this one")
    stages: tuple[StageTable, ...] = Field(
        default=(), description="runs one after another, each starting from the one before; left out, one run"
    )
