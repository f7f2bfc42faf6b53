"""One command for a GPU: whether it computes the same, then how fast, into benchmarks/gpu_CARD.md, in eight minutes.

It makes its own data (random features) and needs no network and none of the audio packages.  In small, without a GPU:

    python benchmarks/gpu.py --device cpu --arch mobilenet_v3_small --clips 110 --batch_size 4 --steps 1 --modes eager
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import json
import os
import subprocess
import time
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import (
    MODES,
    machine,
    markdown,
    package_versions,
    refuse_mode,
    stand_in_for_audio_packages,
)
from benchmarks.synthetic import write_dataset
from loaders.pcen import AudioSettings
from models import ARCHS
from utils.cli import make_parser, positive_float, positive_int
from utils.devices import PRECISION_HELP, PRECISIONS, pick_device, pick_precision, precision_name
from utils.errors import UserError, run

ROOT = Path(__file__).resolve().parents[1]
FOLDS, STEPS = 5, 40_000  # of the README's training
Facts = dict[str, Any]  # what a part measured


def main() -> int:
    args = parse_args()
    device = pick_device(args.device)
    args.precision = precision_name(pick_precision(args.precision, device, args.arch)[0])
    if args.worker:
        stand_in_for_audio_packages()
        from benchmarks import gpu_work  # which imports train.py

        part, _, args.mode = args.worker.partition(" ")
        print(json.dumps(gpu_work.PARTS[part](args, device)))
        return 0
    began, found, left_out = time.monotonic(), {}, []
    with TemporaryDirectory() as folder:
        write_dataset(Path(folder), args.clips, AudioSettings(n_mels=args.img_rows))
        for part in ["checks", *(f"speed {mode}" for mode in args.modes), "others"]:
            spent = time.monotonic() - began
            if spent > 60 * args.minutes:
                left_out.append(part)
                continue
            print(f"{part} ({spent:.0f} s so far)", flush=True)
            found[part] = in_a_process(part, args, Path(folder))
    text = page(args, found, left_out, time.monotonic() - began)
    print(f"\n{text}", flush=True)
    card = machine(args.device).lower().replace(" ", "_")
    output = args.output or (ROOT / "benchmarks" / f"gpu_{card}.md" if args.device == "cuda" else None)
    if output:
        output.write_text(text, encoding="utf-8")
    return int(not found.get("checks", {}).get("passed", False))


def in_a_process(part: str, args: argparse.Namespace, folder: Path) -> Facts:
    """What a part measures in a process of its own, so that none inherits another's settings or memory."""
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--worker", part]
    limit = 60 * args.minutes + 60
    cache = str(folder / part.replace(" ", "_"))  # of compiled kernels: with another process's, cold would not be cold
    caches = {"TORCHINDUCTOR_CACHE_DIR": cache, "TRITON_CACHE_DIR": cache}
    how = {"cwd": folder, "env": os.environ | caches, "stdout": subprocess.PIPE, "text": True, "timeout": limit}
    try:
        done = subprocess.run(command, check=False, **how)
    except subprocess.TimeoutExpired:
        return {"failed": f"was not done after {limit:.0f} s"}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        if part == "checks":
            raise UserError("the checks ended without a result; what they said stands above") from None
        return {"failed": f"ended with exit code {done.returncode}"}


def page(args: argparse.Namespace, found: dict[str, Facts], left_out: list[str], seconds: float) -> str:
    """All of it as Markdown."""
    facts = f"{machine(args.device)}; {package_versions()}; "
    facts += f"{args.arch}, crops {args.img_rows} x {args.img_cols}, batch {args.batch_size}, {args.precision}, "
    facts += f"{args.clips:,} clips of random features; n = {args.repeats} rounds of {args.steps} steps"
    checks = found.get("checks", {})
    parts = [
        "# On a GPU",
        f"Written by `python benchmarks/gpu.py` in {seconds:.0f} s. {facts}.",
        "## Whether it computes the same",
        markdown(checks["rows"]) if "rows" in checks else f"Not known: it {checks.get('failed', 'was left out')}.",
        "## How fast",
    ]
    if rows := [speed_row(mode, found[f"speed {mode}"]) for mode in args.modes if f"speed {mode}" in found]:
        parts += [markdown(rows), "Goal on an H100: at least 0.90 of the bare compiled network; five folds in under 20 "
                  "minutes, without compilation under 30. Validation apart."]  # fmt: skip
    others = found.get("others", {})
    parts += [markdown(others["rows"])] if "rows" in others else []
    failed = [f"{part} {facts['failed']}" for part, facts in found.items() if "failed" in facts]
    parts += [f"Not measured: {'; '.join(failed)}."] if failed else []
    parts += [f"Left out after {args.minutes:g} minutes: {', '.join(left_out)}."] if left_out else []
    return "\n\n".join(parts) + "\n"


def speed_row(mode: str, facts: Facts) -> dict[str, str]:
    """A line of the table of steps."""
    if "failed" in facts:
        cells = ["", "", "", "", "", facts["failed"]]
    else:
        whole = timedelta(seconds=round(FOLDS * (facts["cold"] + STEPS * facts["step"])))
        cells = [f"{1000 * facts[name]:.4g}" for name in ("step", "bare")]
        cells += [f"{facts['share']:.2f} ({facts['low']:.2f}..{facts['high']:.2f})", f"{facts['memory'] / 2**30:.2f}"]
        cells += [f"{facts['cold']:.3g}", str(whole)]
    names = ["ms a step", "ms of the bare network", "of its speed", "peak GiB", "s to the first steps",
             f"{FOLDS} folds x {STEPS:,} steps would take"]  # fmt: skip
    return {"network": mode} | dict(zip(names, cells, strict=True))


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/gpu.py")
    what = parser.add_argument_group("what")
    what.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="what is measured")
    what.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network; a ResNet has CBAM")
    what.add_argument("--precision", default="auto", choices=PRECISIONS, help=PRECISION_HELP)
    what.add_argument("--modes", nargs="+", default=MODES, choices=MODES, help="ways to run the network")
    what.add_argument("--batch_size", type=positive_int, default=128, help="clips of a step")
    what.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    what.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    what.add_argument("--clips", type=positive_int, default=4000, help="of the random data set")
    rounds = parser.add_argument_group("rounds")
    rounds.add_argument("--steps", type=positive_int, default=50, help="of a round")
    rounds.add_argument("--repeats", type=positive_int, default=5, help="rounds")
    rounds.add_argument("--check_steps", type=positive_int, default=20, help="of the losses that are compared")
    rounds.add_argument("--minutes", type=positive_float, default=6.0, help="after which no further part is begun")
    parser.add_argument("--output", type=Path, help="file to write; default on a GPU: benchmarks/gpu_CARD.md")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for mode in args.modes:
        refuse_mode(mode, args.device)
    return args


if __name__ == "__main__":
    run(main)
