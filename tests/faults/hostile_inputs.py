"""Inputs that are made to hurt: by the reader's name and what they are, each made when it is asked
for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

MB = 10**6


def deep(opening: bytes, closing: bytes, times: int = 500_000) -> bytes:
    return b'{"text":' + opening * times + b"1" + closing * times + b"}"


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def bomb() -> bytes:
    """A million rows of one text of 100 kB, in a dictionary: 10 kB that would be 100 GB."""
    import pyarrow as pa

    index = pa.array([0] * 1_000_000, pa.int32())
    return parquet({"text": pa.DictionaryArray.from_arrays(index, ["x" * 100_000]), "label": index})


def zigzag(number: int) -> bytearray:
    """A number of at least 0 as a footer of Parquet has it."""
    number *= 2
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return digits


def lying_parquet() -> bytes:
    """A thousand texts of a megabyte in 50 kB; its footer says that they have one byte."""
    import pyarrow.parquet as pq

    texts = {"text": ["x" * MB] * 1_000, "label": ["joy"] * 1_000}
    data = parquet(texts, use_dictionary=False, compression="zstd")
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    footer_at = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[footer_at:]
    for size in (group.total_byte_size, group.column(0).total_uncompressed_size):
        true = zigzag(size)
        false = bytearray(b"\x82" + b"\x80" * (len(true) - 2) + b"\0")
        assert footer.count(true) == 1
        footer = footer.replace(true, false)
    return data[:footer_at] + footer


def nested_parquet(depth: int = 80) -> bytes:
    import pyarrow as pa

    kind = pa.string()
    for _ in range(depth):
        kind = pa.list_(kind)
    return parquet({"text": ["a"], "label": pa.array([None], kind)})


def tensors(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


def many_tensors(count: int) -> bytes:
    """A header of empty tensors."""
    one = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return tensors(json.dumps({f"t{number}": one for number in range(count)}).encode())


def numbers(count: int) -> bytes:
    return ("[" + "0," * count + "0]").encode()


def row(cells: int) -> bytes:
    return b",".join(b"c%d" % number for number in range(cells)) + b"\n"


TEXT = b"sad words and more of them "
INPUTS: dict[tuple[str, str], Callable[[], bytes]] = {
    ("manifest", "a megabyte of brackets"): lambda: b"a = " + b"[" * (MB - 10),
    ("manifest", "a megabyte of tables in tables"): lambda: b"a = " + b"{b=" * (MB // 3 - 10),
    ("manifest", "a key of half a million parts"): (
        lambda: b"a" + b".a" * (MB // 2 - 10) + b" = 1\n"
    ),
    ("manifest", "many keys of many parts"): lambda: (b".".join([b"a"] * 190) + b"%d = 1\n") * 100,
    ("manifest", "a megabyte of empty tables"): lambda: b"".join(
        b"[t%d]\n" % n for n in range(100_000)
    )[:MB],
    ("manifest", "a megabyte of list tables"): lambda: b"[[a]]\n" * (MB // 6 - 1),
    ("manifest", "a megabyte of numbers"): lambda: b"a = " + b"9" * (MB - 10),
    ("manifest", "a megabyte of quotes"): lambda: b'a = """' + b'"' * (MB - 10),
    ("manifest", "a megabyte of escapes"): lambda: b'a = "' + b"\\u0041" * (MB // 6 - 10) + b'"\n',
    ("manifest", "100 MB"): lambda: b"# comment\n" * (10 * MB),
    ("manifest", "ten thousand tasks"): lambda: b"".join(
        b"[tasks.t%d]\n" % n for n in range(9_000)
    ),
    ("override", "a megabyte of brackets"): lambda: b"train.lr=" + b"[" * MB,
    ("override", "a key of half a million parts"): lambda: b"a" + b".a" * (MB // 2) + b"=1",
    ("study", "a row for every combination of thirty axes"): lambda: (
        b'name = "s"\ntarget = "goemotions"\n'
        + b"".join(b'[[axes.a%d]]\nname = "x%d"\n' % (n // 2, n) for n in range(60))
    ),
    ("claims", "a megabyte of claims"): (
        lambda: b'title = "t"\n' + b'[[claims]]\nsays = "a"\n' * 9_000
    ),
    ("claims-result", "50 MB of lists"): lambda: b"[" * (50 * MB),
    ("claims-analysis", "50 MB of numbers"): lambda: numbers(25 * MB),
    ("gains-csv", "50 MB of short lines"): lambda: b"auxiliary,gain\n" + b"a,1\n" * (12 * MB),
    ("gains-json", "50 MB of numbers"): lambda: numbers(25 * MB),
    ("emotion-words", "50 MB of short lines"): lambda: b"a\n" * (25 * MB),
    ("emotion-words", "50 MB of tabs"): lambda: b"\t" * (50 * MB),
    ("table-csv", "a text of 100 MB"): (
        lambda: b"text,label\n" + TEXT * (100 * MB // len(TEXT)) + b",joy\n"
    ),
    ("table-csv", "a quoted text of 100 MB in lines"): (
        lambda: b'text,label\n"' + (TEXT + b"\n") * (100 * MB // 28) + b'",joy\n'
    ),
    ("table-csv", "a quote never closed in 100 MB"): lambda: b'text,label\n"' + b"\n" * (100 * MB),
    ("table-csv", "a million columns"): lambda: row(MB) + row(MB),
    ("table-csv", "a million columns without names"): lambda: b"," * MB + b"\n",
    ("table-csv", "a row of a million cells"): lambda: b"text,label\n" + row(MB),
    ("table-csv", "nine thousand columns"): (
        lambda: b"text,label," + row(9_000) + (b"a,joy," + b"1," * 8_999 + b"1\n") * 500
    ),
    ("table-csv", "100 MB of blank lines"): lambda: b"text,label\n" + b"\n" * (100 * MB),
    ("table-csv", "ten million bad rows"): lambda: b"text,label\n" + b"a\n" * (10 * MB),
    ("table-csv", "a million labels"): (
        lambda: b"text,label\n" + b"".join(b"a,l%d\n" % n for n in range(MB))
    ),
    ("table-csv", "rows of many labels"): lambda: (
        b"text,label\n" + (b"a," + b"|".join(b"l%d" % n for n in range(9_000)) + b"\n") * 200
    ),
    ("table-jsonl", "a text of 100 MB"): (
        lambda: b'{"text": "' + TEXT * (100 * MB // len(TEXT)) + b'"}\n'
    ),
    ("table-jsonl", "lists in lists"): lambda: deep(b"[", b"]"),
    ("table-jsonl", "objects in objects"): lambda: deep(b'{"a":', b"}"),
    ("table-jsonl", "30 MB of numbers"): lambda: b'{"text": ' + numbers(15 * MB) + b"}\n",
    ("table-jsonl", "30 MB of keys"): (
        lambda: b"{" + b",".join(b'"%d":0' % n for n in range(2_500_000)) + b"}\n"
    ),
    ("table-jsonl", "a number of a million digits"): (
        lambda: b'{"text": "a", "label": ' + b"9" * MB + b"}\n"
    ),
    ("table-jsonl", "another key in each row"): lambda: b"".join(
        b'{"text":"a","k%d":1}\n' % n for n in range(200_000)
    ),
    ("table-jsonl", "30 MB of escapes"): (
        lambda: b'{"text": "' + b"\\ud800" * (5 * MB) + b'", "label": "joy"}\n'
    ),
    ("table-parquet", "a dictionary that is a bomb"): bomb,
    ("table-parquet", "a text of 100 MB"): lambda: parquet(
        {"text": ["x" * 100 * MB], "label": ["joy"]}, compression="zstd"
    ),
    ("table-parquet", "a billion bytes in pages"): lambda: parquet(
        {"text": ["x" * MB] * 1_000, "label": ["joy"] * 1_000},
        use_dictionary=False,
        compression="zstd",
    ),
    ("table-parquet", "a footer that lies"): lying_parquet,
    ("table-parquet", "ten million empty texts"): lambda: parquet(
        {"text": [""] * (10 * MB), "label": [""] * (10 * MB)}
    ),
    ("table-parquet", "twenty thousand columns"): lambda: parquet(
        {f"c{n}": [1] for n in range(20_000)}
    ),
    ("table-parquet", "lists in lists"): nested_parquet,
    ("table-parquet", "a list of fifty million"): lambda: parquet(
        {"text": ["a"], "label": [[0] * (20 * MB)]}
    ),
    ("table-parquet", "a thousand row groups"): lambda: parquet(
        {"text": ["a"] * 20_000, "label": ["joy"] * 20_000}, row_group_size=1
    ),
    ("lexicon", "a header of ten megabytes"): lambda: many_tensors(150_000),
    ("lexicon", "a header that claims all memory"): lambda: (2**63).to_bytes(8, "little") + b"{}",
    ("lexicon", "a header nested a million deep"): lambda: tensors(b"[" * MB),
    ("run-about", "60 MB of numbers"): lambda: numbers(30 * MB),
    ("run-environment", "60 MB of text"): lambda: b'{"a": "' + b"x" * (60 * MB) + b'"}',
    ("run-scores", "a megabyte of lists"): lambda: b"[" * MB,
    ("run-events", "a line of 100 MB"): lambda: b'{"event": "' + b"x" * (100 * MB) + b'"}\n',
    ("run-events", "a million odd events"): lambda: b'{"event": "x"}\n' * MB,
    ("checkpoint-list", "a megabyte of lines"): lambda: b"emomtl-checkpoint 1\n" * 49_000,
    ("checkpoint-list", "100 MB"): lambda: b"x" * (100 * MB),
    ("checkpoint-state", "60 MB of numbers"): lambda: numbers(30 * MB),
    ("checkpoint-tensors", "a header of ten megabytes"): lambda: many_tensors(150_000),
    ("checkpoint-tensors", "a header that claims 80 MB"): lambda: tensors(b" " * (80 * MB)),
    ("cache-description", "60 MB of numbers"): lambda: numbers(30 * MB),
    ("cache-description", "a megabyte of lists"): lambda: b"[" * MB,
    ("cache-ids", "a shape beyond all memory"): lambda: npy("(1152921504606846976,)"),
    ("cache-ids", "a header nested deep"): lambda: npy("(" * 60_000),
    ("rows-targets", "objects, which would be pickles"): (
        lambda: npy("(1,)", "|O") + b"cos\nsystem\n(S'touch x'\ntR."
    ),
    ("model-config", "nine megabytes of numbers"): (
        lambda: b'{"model_type": "bert", "a": ' + numbers(4 * MB) + b"}"
    ),
    (
        "model-config",
        "a million layers",
    ): lambda: b'{"model_type": "bert", "num_hidden_layers": 1000000}',
    (
        "model-config",
        "a vocabulary of a billion",
    ): lambda: b'{"model_type": "bert", "vocab_size": 1000000000}',
    ("model-config", "a megabyte of lists"): lambda: b"[" * MB,
    ("model-tokenizer", "90 MB of text"): lambda: b'{"a": "' + b"x" * (90 * MB) + b'"}',
    ("model-tokenizer", "a megabyte of lists"): lambda: b"[" * MB,
    ("model-tokenizer-config", "nine megabytes of numbers"): (
        lambda: b'{"a": ' + numbers(4 * MB) + b"}"
    ),
    ("model-weights", "a header of ten megabytes"): lambda: many_tensors(150_000),
}


def npy(shape: str, kind: str = "<i4") -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
