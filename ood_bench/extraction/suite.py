"""From the images of a suite to its banks: everything is checked before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ood_bench.backbones.opening import Wish, open_backbone
from ood_bench.bank.heads import has_head as head_is_there
from ood_bench.bank.heads import head_sha256, read_head, write_head
from ood_bench.bank.reader import open_bank
from ood_bench.errors import RequestError
from ood_bench.extraction.accuracy import Accuracy, measure
from ood_bench.extraction.forward import cut_of
from ood_bench.extraction.listing import ImageList
from ood_bench.extraction.locate import Place
from ood_bench.extraction.options import Options
from ood_bench.extraction.parallel import Order, computed_by_several, spool_of
from ood_bench.extraction.planning import Planned, Wanted, plan, suite_as
from ood_bench.extraction.probing import Probe
from ood_bench.extraction.running import Compute, Made, Progress, Ready, computed, existing_bank, make_bank
from ood_bench.home import Home
from ood_bench.suites import Suite, load_suite, suite_path, write_suite
from ood_bench.types import Head

Say = Callable[[str], None]


@dataclass(frozen=True)
class Extraction:
    """What an extraction has made. `head_refused` says why head-based scorers will be skipped."""

    suite: Suite
    banks: Mapping[str, Made]
    head_sha256: str | None
    head_error: float | None
    head_refused: str | None
    accuracy: Accuracy | None


@dataclass(frozen=True)
class Request:
    """Which backbone sees which images."""

    suite: Suite
    model: str
    place: Place
    wish: Wish
    wanted: Wanted
    options: Options


def extract_suite(
    request: Request,
    say: Say = lambda words: None,
    progress: Progress = lambda name, done, total: None,
) -> Extraction:
    """Make the banks of a suite that are not there yet. What is there is not made again. Raises RequestError."""
    home, options = request.place.home, request.options
    suite, planned = _planned(request)
    wish = replace(request.wish, label_space=request.wish.label_space or suite.label_space)
    backbone = open_backbone(request.model, home, wish)
    ready = Ready(backbone, cut_of(backbone), suite.label_space)
    for one in planned:
        existing_bank(home, ready, one.images, options)
    head = None if ready.cut is None else ready.cut.usable
    folder = home.head_folder(backbone.name, backbone.seed, suite.label_space)
    if head is not None:
        write_head(folder, head, suite.label_space, replace=options.replace)
    refused = None if ready.cut is None else ready.cut.reason
    say(_about(ready, refused))
    banks = {}
    for one in planned:
        made = make_bank(
            home, ready, one.images, one.kind, options, _compute(request, ready, wish, one.images), progress
        )
        banks[one.images.name] = made
        say(_line(one, made))
    if ready.cut is None:
        head = _probe(request, suite, ready, banks, folder, say)
    if suite.origin == "home":
        _keep(home, suite)
    return Extraction(
        suite=suite,
        banks=banks,
        head_sha256=None if head is None else head_sha256(head),
        head_error=None if ready.cut is None else ready.cut.error,
        head_refused=refused,
        accuracy=_accuracy(home, suite, banks, head, ready),
    )


def _planned(request: Request) -> tuple[Suite, list[Planned]]:
    planned = plan(request.suite, request.place, request.wanted)
    if request.wanted.as_suite is None:
        return request.suite, planned
    return suite_as(request.suite, planned, request.place.home, request.wanted.as_suite, request.model), planned


def _compute(request: Request, ready: Ready, wish: Wish, images: ImageList) -> Compute:
    options = request.options
    if len(options.hows) == 1:
        return lambda units, begin: computed(ready, images, options, options.hows[0], units, range(begin, units.count))
    folder = ready.identity(images, options).folder(request.place.home)
    spool = spool_of(folder, options.source(ready.backbone, images))
    order = Order(
        request.model, wish, request.place.home, ready.label_space, images, options, spool, torch.get_num_threads()
    )
    return lambda units, begin: computed_by_several(order, units, begin)


def _about(ready: Ready, refused: str | None) -> str:
    backbone, cut = ready.backbone, ready.cut
    lines = [f"{backbone.name}: {backbone.preprocessing}"]
    if cut is None:
        lines.append("  it has no head; a linear probe is fitted on the fit bank")
    elif refused is not None:
        lines.append(f"  {refused}; scorers that need the head will be skipped")
    else:
        lines.append(
            f"  features before {' + '.join(cut.layers)}, features @ W.T + b is off by {cut.error:.1e} at most"
        )
    return "\n".join(lines)


def _line(one: Planned, made: Made) -> str:
    manifest = made.manifest
    state = "was there" if made.already else "done"
    shape = f"{manifest.n} rows, d={manifest.n_features}, K={manifest.n_classes}"
    lines = [f"{one.role:>8}  {one.images.name}: {shape}, bank {manifest.bank_sha256[:12]} ({state})"]
    if made.skipped:
        shown = ", ".join(list(made.skipped)[:3])
        lines.append(f"          {len(made.skipped)} images could not be read and are left out: {shown}")
    return "\n".join(lines)


def _probe(
    request: Request, suite: Suite, ready: Ready, banks: Mapping[str, Made], folder: Path, say: Say
) -> Head | None:
    """The probe that is kept beside the banks, fitted where there is none for this fit bank."""
    fit = banks.get(suite.fit or "")
    if fit is None:
        return read_head(folder) if head_is_there(folder) else None
    if fit.already and head_is_there(folder) and not request.options.replace:
        return read_head(folder)
    say(f"fitting a linear probe on {suite.fit}")
    bank = open_bank(fit.manifest.identity.folder(request.place.home))
    head = Probe().fit(bank)
    write_head(folder, head, suite.label_space, replace=True)
    return head


def _accuracy(home: Home, suite: Suite, banks: Mapping[str, Made], head: Head | None, ready: Ready) -> Accuracy | None:
    made = banks.get(suite.test or "")
    if made is None:
        return None
    return measure(made.manifest.identity.folder(home), head, ready.backbone.preset)


def _keep(home: Home, suite: Suite) -> None:
    """Write the user's suite, or add the model to the one that has these very sets."""
    path = suite_path(home, suite.name)
    if path.is_file():
        kept = load_suite(suite.name, home)
        if kept.sets != suite.sets or kept.members != suite.members:
            raise RequestError(
                f"the suite {suite.name!r} is there already with other sets ({path}); give this one another name with --as"
            )
        suite = replace(suite, models=tuple(dict.fromkeys((*kept.models, *suite.models))))
    write_suite(home, suite)
