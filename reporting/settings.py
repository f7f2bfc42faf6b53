"""Section: every setting and version that the run was made with."""

from predicting.runs import PER_FOLD
from reporting.markup import DASH, Section, table, text
from reporting.results import Results
from utils.digests import versions


def settings_section(results: Results) -> Section:
    """A column of settings per run, and the versions of the training and of this page."""
    runs = {name: [fold.args for fold in folds.values()] for name, folds in results.any_runs.items()}
    split = next(iter(results.runs))
    keys = dict.fromkeys(key for args in runs.values() for key in args[0] if key not in PER_FOLD)
    rows = [
        [text(key), *(text(args[0].get(key, DASH)) for args in runs.values())] for key in sorted(keys) if key != "split"
    ]
    steps = [", ".join(str(args.get("checkpoint_step", DASH)) for args in folds) for folds in runs.values()]
    rows.append([text("step of each fold's checkpoint"), *map(text, steps)])
    here = versions()
    known = sorted({**here, **results.trained_with})
    made = [[text(key), text(results.trained_with.get(key, DASH)), text(here.get(key, DASH))] for key in known]
    body = (
        f'<div class="halves even"><div>{table("settings-table", ["setting", *runs], rows, hint="Show only")}</div>'
        f"<div>{table('versions', ['version of', 'trained with', 'this page'], made, sortable=False)}</div></div>"
    )
    lead = f"As the predictions of {split} hold them. The versions of the training come from a fold's checkpoint."
    return Section("settings", "Settings and versions", lead, body)
