"""Finding, reading and writing suites: the shipped ones and the user's own, as TOML."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal, cast

import tomli_w

from ood_bench.errors import RequestError
from ood_bench.files import write_bytes
from ood_bench.home import Home
from ood_bench.naming import folder_name, unknown
from ood_bench.shipped import files_by_stem, shipped_files
from ood_bench.suite_types import (
    ORIENTATIONS,
    ROLES,
    VAL_OOD,
    Download,
    FprOrientation,
    Published,
    SetSpec,
    Suite,
    check_suite,
)
from ood_bench.toml_tables import Table, read_toml, without_empty

__all__ = [
    "Download",
    "FprOrientation",
    "Published",
    "SetSpec",
    "Suite",
    "check_name_is_free",
    "check_suite",
    "list_suites",
    "load_suite",
    "parse_suite",
    "suite_path",
    "suite_toml",
    "write_suite",
]

SCHEMA = 1

_SET_KEYS = (
    *("title", "count", "list_sha256", "licence", "source", "list_file", "selection", "seed"),
    *("images", "list_at", "classes", "per_class", "by_hand", "downloads"),
)
_DOWNLOAD_KEYS = ("url", "into", "sha256", "bytes")
_SUITE_KEYS = ("name", "title", "paper", "protocol", "fpr", "label_space", "models")
_SUITE_TABLES = ("roles", "groups", "shifted", "sets", "published")
_PUBLISHED_KEYS = ("table", "scorer", "model", "set", "group", "metric", "value", "orientation")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def load_suite(name: str, home: Home) -> Suite:
    """The suite of that name, shipped or the user's; an unknown name lists what there is."""
    shipped, own = shipped_files("suites"), files_by_stem(home.suites)
    if name in shipped and name in own:
        raise _shadows_shipped(name, own[name])
    if name in shipped:
        return parse_suite(shipped[name], home, "shipped")
    if name in own:
        return parse_suite(own[name], home)
    raise unknown("suite", name, {*shipped, *own})


def list_suites(home: Home) -> list[Suite]:
    """All suites by name, the shipped ones first."""
    shipped, own = shipped_files("suites"), files_by_stem(home.suites)
    if both := sorted(shipped.keys() & own.keys()):
        raise _shadows_shipped(both[0], own[both[0]])
    return [
        *(parse_suite(shipped[name], home, "shipped") for name in sorted(shipped)),
        *(parse_suite(own[name], home) for name in sorted(own)),
    ]


def parse_suite(file: Path, home: Home, origin: Literal["shipped", "home"] = "home") -> Suite:
    """The suite in a TOML file, checked whole. Sets are looked up in the file, in the home, among the shipped."""
    top = read_toml(file, (*_SUITE_KEYS, *_SUITE_TABLES), "suite file", SCHEMA)
    roles, groups, shifted = (
        top.table("roles", (*ROLES, VAL_OOD)),
        top.table("groups", None),
        top.table("shifted", None),
    )
    name = top.text("name")
    suite = Suite(
        name=name,
        source=file,
        origin=origin,
        title=top.text("title", ""),
        paper=top.text("paper", ""),
        protocol=top.text("protocol", ""),
        fpr=cast(FprOrientation, top.one_of("fpr", ORIENTATIONS, "id_positive")),
        label_space=top.text("label_space", name),
        models=top.texts("models"),
        fit=roles.optional_text("fit"),
        val=roles.optional_text("val"),
        test=roles.optional_text("test"),
        val_ood=roles.texts(VAL_OOD),
        groups={group: groups.texts(group) for group in groups.names()},
        shifted={family: shifted.texts(family) for family in shifted.names()},
        published=tuple(_published(table) for table in top.tables("published", _PUBLISHED_KEYS)),
    )
    inline = top.table("sets", None)
    own = {key: _set_spec(key, inline.table(key, _SET_KEYS)) for key in inline.names()}
    sets = {member: _resolve_set(member, own, home, top.where) for _, member in suite.members}
    if unused := [key for key in own if key not in sets]:
        raise RequestError(
            f"{top.where} describes the set {unused[0]!r}, but gives it no role; name it in a role or drop it"
        )
    suite = replace(suite, sets=sets)
    check_suite(suite, top.where)
    if name != file.name.removesuffix(".toml"):
        raise RequestError(f"{top.where} names its suite {name!r}; file name and suite name should be the same")
    return suite


def check_name_is_free(name: str) -> None:
    """Raise RequestError where a shipped suite has that name."""
    if name in shipped_files("suites"):
        raise RequestError(f"{name!r} is a suite that ships with ood-bench; give your own suite another name")


def suite_path(home: Home, name: str) -> Path:
    """Where the user's suite of that name is kept."""
    return home.suites / f"{folder_name(name)}.toml"


def write_suite(home: Home, suite: Suite) -> Path:
    """Keep a suite in the home, with its sets described in it; returns the file."""
    check_name_is_free(suite.name)
    check_suite(suite, f"suite {suite.name!r}")
    path = suite_path(home, suite.name)
    write_bytes(path, suite_toml(suite).encode())
    return path


def suite_toml(suite: Suite) -> str:
    """The suite as TOML; equal suites give equal text, wherever they were read from."""
    document = {"schema": SCHEMA, **{key: getattr(suite, key) for key in _SUITE_KEYS}}
    document |= {
        "roles": without_empty({role: getattr(suite, role) for role in (*ROLES, VAL_OOD)}),
        "groups": dict(suite.groups),
        "shifted": dict(suite.shifted),
        "sets": {
            name: without_empty({key: value for key, value in asdict(spec).items() if key in _SET_KEYS})
            | without_empty({"downloads": [without_empty(asdict(one)) for one in spec.downloads]})
            for name, spec in suite.sets.items()
        },
        "published": [without_empty(asdict(figure)) for figure in suite.published],
    }
    return tomli_w.dumps(without_empty(document))


def _published(table: Table) -> Published:
    figure = Published(
        **{key: table.text(key) for key in ("table", "scorer", "model", "metric", "value")},
        set=table.optional_text("set"),
        group=table.optional_text("group"),
        orientation=cast("FprOrientation | None", table.one_of("orientation", ORIENTATIONS))
        if "orientation" in table
        else None,
    )
    if figure.set is not None and figure.group is not None:
        raise RequestError(f"{table.where} should give a set or a group, got both {figure.set!r} and {figure.group!r}")
    if figure.metric.startswith("fpr") and figure.orientation is None:
        raise RequestError(
            f"{table.where} prints {figure.metric!r}, so it needs an orientation: {' or '.join(ORIENTATIONS)}"
        )
    return figure


def _set_spec(name: str, table: Table) -> SetSpec:
    digest = table.optional_text("list_sha256")
    if digest is not None and not _SHA256.fullmatch(digest):
        raise table.wrong("list_sha256", "64 lower-case hexadecimal digits", digest)
    return SetSpec(
        name=name,
        title=table.text("title", ""),
        count=table.count("count", minimum=1),
        list_sha256=digest,
        licence=table.text("licence", ""),
        source=table.text("source", ""),
        list_file=table.optional_text("list_file"),
        selection=table.text("selection", ""),
        seed=table.count("seed"),
        images=table.text("images", ""),
        list_at=table.text("list_at", ""),
        classes=table.optional_text("classes"),
        per_class=table.count("per_class", minimum=1),
        downloads=tuple(_download(one) for one in table.tables("downloads", _DOWNLOAD_KEYS)),
        by_hand=table.text("by_hand", ""),
    )


def _download(table: Table) -> Download:
    return Download(
        url=table.text("url"),
        into=table.text("into", ""),
        sha256=table.optional_text("sha256"),
        bytes=table.count("bytes", minimum=1),
    )


def _resolve_set(name: str, inline: dict[str, SetSpec], home: Home, where: str) -> SetSpec:
    if name in inline:
        return inline[name]
    own, stem = Path(home.root, "sets"), folder_name(name)
    file = files_by_stem(own).get(stem) or shipped_files("sets").get(stem)
    if file is not None:
        table = read_toml(file, ("name", *_SET_KEYS), "set file", SCHEMA)
        if (found := table.text("name")) != name:
            raise RequestError(f"{table.where} should describe the set {name!r}, but names it {found!r}")
        return _set_spec(name, table)
    raise RequestError(
        f"{where} refers to the set {name!r}, but nothing describes it; "
        f"add a [sets.{name}] table there, or {own}/{stem}.toml"
    )


def _shadows_shipped(name: str, file: Path) -> RequestError:
    return RequestError(
        f"{file} has the name of a suite that ships with ood-bench, {name!r}; rename the file and its suite"
    )
