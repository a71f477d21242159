#!/usr/bin/env python3
"""Tokenizers beside PyPI's tokenizers (and sentencepiece): the same ids on 2 MB of mixed text for every kind, and CPU
seconds on one thread, both sides in turns. Needs PyPI's tokenizers, sentencepiece and numpy:

    PYTHON tests/peers/tokenizers_compare.py --build build [--rounds 7] [--vocab 8000] [--text FILE] [--bible]

Prints a table of medians; ends with 1 where an id differs."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/golden/tokenizers"))

import numpy  # noqa: E402
import sentencepiece  # noqa: E402
import tokenizers  # noqa: E402

import kinds  # noqa: E402
import texts  # noqa: E402


def bible():
    return subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, stdin=subprocess.DEVNULL, check=True).stdout


class Ours:
    """fovea-bench-encode, which stays alive and encodes anew for each line."""

    def __init__(self, program, tokenizer, text):
        self.command = [str(program), str(tokenizer), str(text)]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["seconds"]

    def ids(self, file):
        subprocess.run([*self.command, "--ids", str(file)], check=True)
        numbers = numpy.fromfile(file, dtype=numpy.int32)
        return numbers[:len(numbers) // 2], numbers[len(numbers) // 2:]

    def close(self):
        self.process.communicate()


class Theirs:
    """The faster of the two calls that give ids: with offsets, and without."""

    def __init__(self, tokenizer, text):
        self.text = text
        if tokenizer.suffix == ".model":
            model = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
            self.calls = [lambda: model.encode(text)]
        else:
            model = tokenizers.Tokenizer.from_file(str(tokenizer))
            self.calls = [lambda: model.encode(text, add_special_tokens=False).ids,
                          lambda: model.encode_batch_fast([text], add_special_tokens=False)[0].ids]

    def ids(self):
        return numpy.array(self.calls[0](), dtype=numpy.int32)

    def seconds(self):
        taken = []
        for call in self.calls:
            begin = time.process_time()
            call()
            taken.append(time.process_time() - begin)
        return min(taken)


def build_all(folder, vocab):
    training = texts.mixed_text(2_000_000, seed=1).decode(errors="replace") + bible()[:1_500_000].decode()
    lines = [line for line in training.split("\n") if line]
    for kind in kinds.KINDS:
        (folder / f"{kind}.json").write_text(kinds.build(kind, lines, vocab)[1], encoding="utf-8")
    for model_type in ("bpe", "unigram"):
        (folder / f"{model_type}.model").write_bytes(kinds.sentencepiece_model(lines, min(vocab, 8000), model_type))
    return [folder / f"{kind}.json" for kind in kinds.KINDS] + [folder / "bpe.model", folder / "unigram.model"]


def compare(program, tokenizer, file, text, folder, rounds):
    """A row of the table, and whether the ids are the same and stand for the whole text."""
    ours, theirs = Ours(program, tokenizer, file), Theirs(tokenizer, text)
    ids, begins = ours.ids(folder / "ids.bin")
    same = numpy.array_equal(ids, theirs.ids()) and begins[0] == 0 and bool((numpy.diff(begins) >= 0).all())
    taken = [(ours.seconds(), theirs.seconds()) for _ in range(rounds)]
    ours.close()
    mine, others = (statistics.median(side) for side in zip(*taken))
    ratio = statistics.median(b / a for a, b in taken)
    print(f"| {tokenizer.name} | {len(ids)} | {'yes' if same else 'NO'} | {mine:.3f} | {others:.3f} | {ratio:.1f} |", flush=True)
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build", type=pathlib.Path)
    parser.add_argument("--rounds", default=7, type=int)
    parser.add_argument("--vocab", default=8000, type=int)
    parser.add_argument("--text", type=pathlib.Path, help="another text than the mixed one")
    parser.add_argument("--bible", action="store_true", help="the King James Bible instead")
    arguments = parser.parse_args()
    if arguments.bible:
        data = bible()
    else:
        data = arguments.text.read_bytes() if arguments.text else texts.mixed_text(2_000_000, seed=2)
    print(f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}; {len(data)} bytes\n")
    print("| tokenizer | tokens | same ids | fovea, CPU s | theirs, CPU s | times as fast |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        file = folder / "text"
        file.write_bytes(data)
        program = arguments.build / "src/tokenizer/fovea-bench-encode"
        rows = [compare(program, tokenizer, file, data.decode(errors="replace"), folder, arguments.rounds)
                for tokenizer in build_all(folder, arguments.vocab)]
    raise SystemExit(0 if all(rows) else 1)


if __name__ == "__main__":
    main()
