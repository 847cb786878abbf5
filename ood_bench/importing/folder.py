"""Tensors that a user already has become banks, a head and a suite of the user's own: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from pathlib import Path

from ood_bench.bank.content import StorageName
from ood_bench.bank.manifest import Manifest
from ood_bench.canonical import sha256_of, sha256_of_file, sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.heads import find_head
from ood_bench.importing.layout import scan
from ood_bench.importing.plan import Found, Unit, make_share, make_suite, plan_units
from ood_bench.importing.roles import no_roles, roles_from_flags, roles_from_toml
from ood_bench.importing.rows import SetRows, read_sets
from ood_bench.importing.target import Target
from ood_bench.suites import (
    FprOrientation,
    SetSpec,
    Suite,
    check_name_is_free,
    check_suite,
    parse_suite,
    suite_path,
    suite_toml,
    write_suite,
)

_COMPARED = (
    *("title", "paper", "protocol", "fpr", "label_space"),
    *("fit", "val", "test", "val_ood", "groups", "shifted", "sets"),
)


# Of a backbone that is imported with one head; suites over the same tensors share banks and scores by it.
LABEL_SPACE = "default"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has made, and what was there already."""

    suite: Suite
    manifests: Mapping[str, Manifest]  # by set
    already: tuple[str, ...]  # sets whose banks were there with this very content
    head_sha256: str | None
    ignored: Mapping[str, tuple[str, ...]]  # arrays that were left aside, by file
    without_role: tuple[str, ...]  # sets of the folder that the request does not mention
    suite_is_new: bool

    @property
    def nothing_new(self) -> bool:
        """Whether the same import was done before."""
        return not self.suite_is_new and len(self.already) == len(self.manifests)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A unit that can be imported; `present` are those of its sets whose banks hold these very rows already."""

    found: Found
    present: Mapping[str, Manifest]
    aside: tuple[str, ...]
    facts: tuple[tuple[str, Mapping[str, int | None]], ...]  # for each set: how errors call it, and its widths


def import_folder(
    home: Home,
    directory: Path,
    *,
    model: str,
    suite: str,
    model_seed: int | None = None,
    fit: str | None = None,
    test: str | None = None,
    val: str | None = None,
    val_from_fit: float | None = None,
    near: Sequence[str] = (),
    far: Sequence[str] = (),
    val_ood: Sequence[str] = (),
    shifted: Sequence[str] = (),
    roles_toml: Path | None = None,
    head: Path | None = None,
    label_space: str | None = None,
    dtype: StorageName = "fp32",
    replace: bool = False,
    fpr: FprOrientation | None = None,
    seed: int = 0,
) -> Imported:
    """Banks, head and suite out of a folder of tensors; the module `layout` says how sets are found and referred to.

    Everything is read and checked before anything is written; the suite is written last. The same import again does
    nothing; after an interruption it goes on. What the home has under the same names with other content is refused
    unless `replace`. `val_from_fit` moves a seeded share of the fit rows to the set `<fit>-val`; `label_space` tells
    several heads of one backbone apart; suites that import the same sets with the same head share their banks.
    Raises RequestError.
    """
    if not model.strip():
        raise RequestError("an import needs a model name, got an empty one; give it with --model")
    check_name_is_free(suite)
    layout = scan(directory)
    roles = roles_from_flags(fit, val, test, near, far, shifted, val_ood)
    if roles_toml is not None:
        if not roles.empty:
            raise RequestError(f"roles are given by flags and by {roles_toml}; give them in one of the two")
        roles = roles_from_toml(roles_toml)
    if roles.empty:
        raise no_roles(layout, model, suite)
    units = plan_units(layout, roles, make_share(val_from_fit, seed, roles))
    target = Target(home, model, model_seed, label_space or LABEL_SPACE, find_head(layout, head), dtype, replace)

    checked = [_check(unit, target) for unit in units]
    _check_agreement(checked)
    found = [item.found for item in checked]
    wanted = make_suite(suite, home, model, target.label_space, fpr, roles, found)
    check_suite(wanted, f"suite {suite!r}")
    wanted, suite_is_new = _beside_existing(wanted, home, replace)
    target.check_head()

    present = {name: manifest for item in checked for name, manifest in item.present.items()}
    for item in checked:
        present |= _write(item, target)
    head_hash = target.write_head()
    if suite_is_new:
        write_suite(home, wanted)
    used = {unit.source.place for unit in units}
    return Imported(
        suite=wanted,
        manifests={name: present[name] for _, name in wanted.members},
        already=tuple(name for item in checked for name in item.present),
        head_sha256=head_hash,
        ignored={str(item.found.unit.source): item.aside for item in checked if item.aside},
        without_role=tuple(source.name for source in layout.sources if source.place not in used),
        suite_is_new=suite_is_new,
    )


def _check(unit: Unit, target: Target) -> _Checked:
    sets, aside = read_sets(unit.source, unit.share)
    present = {rows.name: target.check(rows, unit.kind) for rows in sets}
    return _Checked(
        Found(unit, tuple(_spec(rows) for rows in sets)),
        {name: manifest for name, manifest in present.items() if manifest is not None},
        aside,
        tuple((rows.where, _facts(rows)) for rows in sets),
    )


def _write(item: _Checked, target: Target) -> dict[str, Manifest]:
    """Read the unit again and write what is not there yet: memory holds one file at a time, however many there are."""
    missing = set(item.found.names) - item.present.keys()
    if not missing:
        return {}
    unit = item.found.unit
    source = sha256_of([sha256_of_file(path) for path in unit.source.paths])
    sets, _ = read_sets(unit.source, unit.share)
    return {rows.name: target.write(rows, unit.kind, source) for rows in sets if rows.name in missing}


def _spec(rows: SetRows) -> SetSpec:
    digest = sha256_of_lines(rows.ids)
    return SetSpec(rows.name, count=rows.n, list_sha256=digest, selection=rows.selection, seed=rows.seed)


def _facts(rows: SetRows) -> dict[str, int | None]:
    """What all sets of one model have in common."""
    widths = {name: rows.arrays[name].shape[1] for name in ("features", "logits") if name in rows.arrays}
    if "logits" not in widths and "members" in rows.arrays:
        widths["logits"] = rows.arrays["members"].shape[2]
    return {"features d": widths.get("features"), "logits K": widths.get("logits"), "abstain_index": rows.abstain_index}


def _check_agreement(checked: Sequence[_Checked]) -> None:
    sets = [fact for item in checked for fact in item.facts]
    for what in ("features d", "logits K", "abstain_index"):
        # a set may lack features or logits, but an abstain column is there in all sets or in none
        known = [(where, facts[what]) for where, facts in sets if facts[what] is not None or what == "abstain_index"]
        for where, value in known[1:]:
            if value != known[0][1]:
                raise RequestError(
                    f"all sets come from one model, but {what} is {known[0][1]} in {known[0][0]} and {value} "
                    f"in {where}; leave one out, or export it from the same model"
                )


def _beside_existing(wanted: Suite, home: Home, replace: bool) -> tuple[Suite, bool]:
    """The suite to keep, and whether it differs from the kept one. The same sets of another model join the suite."""
    path = suite_path(home, wanted.name)
    if not path.is_file():
        return wanted, True
    kept = parse_suite(path, home)
    same = suite_toml(with_changes(kept, models=())) == suite_toml(with_changes(wanted, models=()))
    if not same and not replace:
        differing = [name for name in _COMPARED if getattr(kept, name) != getattr(wanted, name)]
        raise RequestError(
            f"the suite {wanted.name!r} is there already with other {', '.join(differing)} ({path}); "
            "give this one another name, or pass --replace"
        )
    # models whose banks are of other sets are no longer models of this suite
    models = kept.models if kept.sets == wanted.sets else ()
    if wanted.models[0] in models and same:
        return kept, False
    merged = with_changes(wanted, models=tuple(dict.fromkeys((*models, *wanted.models))))
    return merged, True
